/* Kernels into launches.
 *
 * In: kernels in an order that may be executed one after another. Out: the same, grouped into launches. Each kernel goes
 * into the first launch after all that must precede it, so that kernels with nothing to wait for between them run side by
 * side and threads meet as seldom as the data allows. Then, from the last one back, a kernel that makes more than it is the
 * last to need sinks to just before its first reader: a transposed weight need not lie there all through the forward
 * pass. Then kernels move where that lowers the largest sum of bytes alive at once. A scan's loop is one step for all
 * around it, with launches of its own inside.
 *
 * That sum may not be more than if the kernels ran one by one in the order in which they came: where it is, the launch at
 * which it is becomes two; and if that doesn't help, that order is kept, with neighbours joined as far as it allows. What
 * `places` will let take another's place counts once. */
#include "passes/plan/plan_passes.h"

#include <limits.h>

typedef struct Touch {
  int step;
  bool reads, writes;
  int region; /* the kernel's own */
} Touch;
typedef Vec(Touch) Touches;

/* A kernel, or a loop with all in it, seen from the region around it. */
typedef struct Step {
  int kernel; /* -1: a loop */
  int region; /* the loop's own */
  int level;
  Vec(Id) buffers; /* that it touches */
} Step;

enum { LOOKS = 1 << 22 };

typedef struct Ordering {
  Plan *plan;
  Arena *arena;
  const int64_t *sizes; /* by buffer, at the bounds */
  TakeOvers changes; /* by step instead of kernel; none while a loop is ordered, where more than order decides on lives */
  bool one_by_one;
  int64_t most;     /* what may live at once, as far as an order can help */
  int64_t looks;    /* how many more buffers may be looked at in search of that: the same plan comes out everywhere */
  Vec(int) kernels; /* in the new order: old indices */
} Ordering;

/* The steps of one region, in the list's order, and who touches what. */
typedef struct Steps {
  int count;
  Step *items;
  Touches *touches; /* by buffer, in the order of steps */
} Steps;

/* ---- steps ---- */

static void add_touch(Ordering *ordering, Steps *steps, int step, Id buffer, bool reads, bool writes, int region) {
  Touches *touches = &steps->touches[buffer];
  Touch *last = touches->count ? &touches->items[touches->count - 1] : NULL;
  if (!last || last->step != step) PUSH(ordering->arena, &steps->items[step].buffers, buffer);
  if (last && last->step == step && last->region == region) {
    last->reads = last->reads || reads;
    last->writes = last->writes || writes;
  } else {
    PUSH(ordering->arena, touches, ((Touch){step, reads, writes, region}));
  }
}

static void add_kernel(Ordering *ordering, Steps *steps, int step, const Kernel *kernel) {
  for (int s = 0; s < kernel->stages.count; s++) {
    const Stage *stage = &kernel->stages.items[s];
    for (int k = 0; k < stage->scalars.count; k++) {
      const Scalar *scalar = &stage->scalars.items[k];
      if (scalar->op == SCALAR_LOAD) add_touch(ordering, steps, step, scalar->access->buffer, true, false, kernel->region);
    }
    for (int k = 0; k < stage->stores.count; k++) {
      bool adds = stage->kind == STAGE_SCATTER;
      add_touch(ordering, steps, step, stage->stores.items[k].access.buffer, adds, true, kernel->region);
    }
  }
}

/* A loop stands where its first kernel does. */
static Steps find_steps(Ordering *ordering, int region) {
  const Plan *plan = ordering->plan;
  Steps steps = {.items = NEW_ARRAY(ordering->arena, Step, plan->kernels.count + 1),
                 .touches = NEW_ARRAY(ordering->arena, Touches, plan->buffers.count)};
  int *step_of_loop = NEW_ARRAY(ordering->arena, int, plan->regions.count + 1);
  for (int k = 0; k < plan->kernels.count; k++) {
    int own = plan->kernels.items[k].region, loop = -1;
    if (!region_holds(plan, region, own)) continue;
    for (; own != region; own = plan->regions.items[own].parent) loop = own;
    int step = loop >= 0 && step_of_loop[loop] ? step_of_loop[loop] - 1 : steps.count++;
    if (loop >= 0) step_of_loop[loop] = step + 1;
    steps.items[step].kernel = loop < 0 ? k : -1;
    steps.items[step].region = loop;
    add_kernel(ordering, &steps, step, &plan->kernels.items[k]);
  }
  return steps;
}

/* ---- levels ---- */

static bool conflict(const Touch *a, const Touch *b) {
  /* two that only write one buffer write different parts of it (concat), but for a carry: it is set before its loop */
  return (a->writes && b->reads) || (a->reads && b->writes) || (a->writes && b->writes && a->region != b->region);
}

/* The highest level of the steps before this one that must precede it, -1 without any; or, `later`, the lowest of those
 * that it must precede, or `levels`. */
static int level_beside(const Steps *steps, int step, bool later, int levels) {
  int found = later ? levels : -1;
  for (int k = 0; k < steps->items[step].buffers.count; k++) {
    const Touches *touches = &steps->touches[steps->items[step].buffers.items[k]];
    for (int own = 0; own < touches->count; own++) {
      if (touches->items[own].step != step) continue;
      for (int j = 0; j < touches->count; j++) {
        const Touch *other = &touches->items[j];
        if (later ? other->step <= step : other->step >= step) continue;
        if (!conflict(&touches->items[own], other)) continue;
        int level = steps->items[other->step].level;
        found = later ? MIN(found, level) : MAX(found, level);
      }
    }
  }
  return found;
}

/* What sinking from its level to `level` saves: bytes times levels, of what begins with this step, less of what would now
 * end with it. */
static double gain_of_sinking(const Ordering *ordering, const Steps *steps, int step, int level) {
  double gain = 0;
  const Step *own = &steps->items[step];
  for (int k = 0; k < own->buffers.count; k++) {
    Id id = own->buffers.items[k];
    if (ordering->plan->buffers.items[id].memory != MEMORY_ARENA) continue;
    int first = level, last = -1; /* levels of other steps; an earlier touch comes first, a later one last */
    for (int j = 0; j < steps->touches[id].count; j++) {
      const Touch *other = &steps->touches[id].items[j];
      if (other->step == step) continue;
      first = MIN(first, steps->items[other->step].level);
      last = MAX(last, steps->items[other->step].level);
    }
    if (last < 0) continue; /* nobody else's: it moves along */
    double bytes = (double)ordering->sizes[id];
    gain += bytes * MAX(first - own->level, 0);
    gain -= bytes * MAX(level - MAX(last, own->level), 0);
  }
  return gain;
}

/* The last level up to this one at which other kernels run: sinking must not make a launch more. */
static int last_shared_level(const Steps *steps, int step, int level) {
  int found = steps->items[step].level;
  for (int k = 0; k < steps->count; k++) {
    bool beside = k != step && steps->items[k].kernel >= 0 && steps->items[k].level <= level;
    if (beside) found = MAX(found, steps->items[k].level);
  }
  return found;
}

/* The first level from this one on at which other kernels run. */
static int first_shared_level(const Steps *steps, int step, int level) {
  int found = INT_MAX;
  for (int k = 0; k < steps->count; k++)
    if (k != step && steps->items[k].kernel >= 0 && steps->items[k].level >= level)
      found = MIN(found, steps->items[k].level);
  return found;
}

/* ---- what lives at once ---- */

/* The most bytes at one level, and at how many levels it is so many: what is to become less. */
typedef struct Peak {
  int64_t bytes;
  int level, count;
} Peak;

/* Levels of the first step that touches a buffer, and of the last. */
typedef struct Span {
  int first, last;
  bool takes, taken; /* another's place, by another */
} Span;

static bool step_meets(const Steps *steps, const TakeOver *change, int level) {
  for (int side = 0; side < 2; side++) {
    const Touches *touches = &steps->touches[side == 0 ? change->from : change->to];
    for (int k = 0; k < touches->count; k++) {
      const Touch *other = &touches->items[k];
      if (other->step == change->kernel || steps->items[other->step].level != level) continue;
      if (side == 0 || other->writes) return true;
    }
  }
  return false;
}

/* What takes another's place, as plan_places will have it, counts once beside that. */
static void count_places(const Ordering *ordering, const Steps *steps, Span *spans, int64_t *bytes) {
  for (int k = 0; k < ordering->changes.count; k++) {
    const TakeOver *change = &ordering->changes.items[k];
    Span *from = &spans[change->from], *to = &spans[change->to];
    int level = steps->items[change->kernel].level;
    if (from->taken || from->first >= level || from->last != level || to->takes || to->first != level) continue;
    if (step_meets(steps, change, level)) continue;
    bytes[level] -= ordering->sizes[change->to];
    bytes[level + 1] += ordering->sizes[change->to];
    from->taken = to->takes = true;
  }
}

static Peak find_peak(Ordering *ordering, const Steps *steps, int levels) {
  int64_t *bytes = NEW_ARRAY(ordering->arena, int64_t, levels + 2);
  Span *spans = NEW_ARRAY(ordering->arena, Span, ordering->plan->buffers.count);
  ordering->looks -= ordering->plan->buffers.count;
  for (Id id = 1; id < ordering->plan->buffers.count; id++) {
    const Touches *touches = &steps->touches[id];
    if (touches->count == 0 || ordering->plan->buffers.items[id].memory != MEMORY_ARENA) continue;
    int first = levels, last = 0;
    for (int k = 0; k < touches->count; k++) {
      first = MIN(first, steps->items[touches->items[k].step].level);
      last = MAX(last, steps->items[touches->items[k].step].level);
    }
    bytes[first] += ordering->sizes[id];
    bytes[last + 1] -= ordering->sizes[id];
    spans[id] = (Span){.first = first, .last = last};
  }
  count_places(ordering, steps, spans, bytes);
  Peak peak = {0};
  for (int level = 0; level < levels; level++) {
    if (level > 0) bytes[level] += bytes[level - 1];
    if (bytes[level] > peak.bytes) peak = (Peak){bytes[level], level, 0};
    peak.count += bytes[level] == peak.bytes;
  }
  return peak;
}

typedef struct Move {
  int step, level;
  Peak peak; /* then */
} Move;

static bool is_lower(const Peak *a, const Peak *b) {
  return a->bytes != b->bytes ? a->bytes < b->bytes : a->count < b->count;
}

/* The step at another level, if that lowers the peak the most yet. */
static void try_level(Ordering *ordering, Steps *steps, int levels, int step, int level, Move *best) {
  int old = steps->items[step].level;
  if (level == old) return;
  steps->items[step].level = level;
  Peak peak = find_peak(ordering, steps, levels);
  if (is_lower(&peak, &best->peak)) *best = (Move){step, level, peak};
  steps->items[step].level = old;
}

/* Kernels move from one side of the peak to the other, to levels at which others run, as long as that lowers it. */
static void move_kernels(Ordering *ordering, Steps *steps, int levels) {
  for (int turn = 0; turn < steps->count && ordering->looks > 0; turn++) {
    Peak peak = find_peak(ordering, steps, levels);
    Move best = {-1, 0, peak};
    for (int k = 0; k < steps->count; k++) {
      if (steps->items[k].kernel < 0) continue;
      int earliest = level_beside(steps, k, false, 0) + 1, latest = level_beside(steps, k, true, levels) - 1;
      if (earliest > peak.level || latest < peak.level || earliest == latest) continue;
      bool before = steps->items[k].level <= peak.level;
      int level = before ? first_shared_level(steps, k, peak.level + 1) : last_shared_level(steps, k, peak.level);
      if (level >= earliest && level <= latest) try_level(ordering, steps, levels, k, level, &best);
    }
    if (best.step < 0) return;
    steps->items[best.step].level = best.level;
  }
}

static void shift_levels(Steps *steps, int above, int by) {
  for (int k = 0; k < steps->count; k++)
    if (steps->items[k].level > above) steps->items[k].level += by;
}

/* The level of the peak becomes two, as long as that helps and more lives there than may; gives how many there are then. */
static int part_levels(Ordering *ordering, Steps *steps, int levels) {
  for (Peak peak; (peak = find_peak(ordering, steps, levels)).bytes > ordering->most && ordering->looks > 0;) {
    shift_levels(steps, peak.level, 1);
    Move best = {-1, 0, peak};
    for (int k = 0; k < steps->count; k++)
      if (steps->items[k].level == peak.level) try_level(ordering, steps, levels + 1, k, peak.level + 1, &best);
    if (best.step < 0) {
      shift_levels(steps, peak.level, -1);
      break;
    }
    steps->items[best.step].level = best.level;
    levels++;
  }
  return levels;
}

/* In the program's order, each with the one before it where it need not wait for that, and where no more lives than may. */
static int join_levels(Ordering *ordering, Steps *steps) {
  int last = 0;
  for (int k = 0; k < steps->count; k++) steps->items[k].level = k;
  for (int k = 1; k < steps->count; k++) {
    steps->items[k].level = last;
    bool joins = steps->items[k].kernel >= 0 && level_beside(steps, k, false, 0) < last;
    if (!joins || find_peak(ordering, steps, steps->count).bytes > ordering->most) steps->items[k].level = ++last;
  }
  return last + 1;
}

/* What a loop's turn has alive is beside what lives around it, so that it has a bound of its own. */
static void bound_loop(Ordering *ordering, Steps *steps) {
  for (int k = 0; k < steps->count; k++) steps->items[k].level = k;
  ordering->most = MIN(ordering->most, find_peak(ordering, steps, steps->count).bytes);
}

static int find_levels(Ordering *ordering, Steps *steps) {
  int levels = 0;
  for (int k = 0; k < steps->count; k++) {
    int after = ordering->one_by_one ? k - 1 : level_beside(steps, k, false, 0);
    steps->items[k].level = after + 1;
    levels = MAX(levels, after + 2);
  }
  for (int k = steps->count - 1; k >= 0 && !ordering->one_by_one; k--) {
    if (steps->items[k].kernel < 0) continue;
    int latest = last_shared_level(steps, k, level_beside(steps, k, true, levels) - 1);
    if (gain_of_sinking(ordering, steps, k, latest) > 0) steps->items[k].level = latest;
  }
  if (ordering->one_by_one) return levels;
  move_kernels(ordering, steps, levels);
  levels = part_levels(ordering, steps, levels);
  return find_peak(ordering, steps, levels).bytes > ordering->most ? join_levels(ordering, steps) : levels;
}

/* ---- launches ---- */

static void order_region(Ordering *ordering, int region);

static void add_kernels(Ordering *ordering, const Steps *steps, int level) {
  Plan *plan = ordering->plan;
  Launch launch = {.kind = LAUNCH_KERNELS, .first = ordering->kernels.count, .turn = -1};
  for (int k = 0; k < steps->count; k++) {
    const Step *step = &steps->items[k];
    if (step->level == level && step->kernel >= 0) PUSH(ordering->arena, &ordering->kernels, step->kernel);
  }
  launch.count = ordering->kernels.count - launch.first;
  if (launch.count > 0) PUSH(plan->module->arena, &plan->launches, launch);
}

static void add_loop(Ordering *ordering, int region) {
  Plan *plan = ordering->plan;
  const Region *loop = &plan->regions.items[region];
  Launch begin = {.kind = LAUNCH_LOOP, .turn = loop->turn, .trips = loop->trips, .reverse = loop->reverse};
  Launch end = {.kind = LAUNCH_END, .turn = -1};
  PUSH(plan->module->arena, &plan->launches, begin);
  order_region(ordering, region);
  PUSH(plan->module->arena, &plan->launches, end);
}

static void find_changes(Ordering *ordering, const Steps *steps) {
  TakeOvers changes = plan_take_overs(ordering->plan, ordering->arena);
  int *step_of = NEW_ARRAY(ordering->arena, int, ordering->plan->kernels.count + 1);
  for (int k = 0; k < steps->count; k++)
    if (steps->items[k].kernel >= 0) step_of[steps->items[k].kernel] = k + 1;
  for (int k = 0; k < changes.count; k++) {
    TakeOver change = changes.items[k];
    change.kernel = step_of[change.kernel] - 1;
    if (change.kernel >= 0) PUSH(ordering->arena, &ordering->changes, change);
  }
}

static void order_region(Ordering *ordering, int region) {
  Steps steps = find_steps(ordering, region);
  ordering->changes.count = 0;
  int64_t most = ordering->most;
  if (region == 0)
    find_changes(ordering, &steps);
  else
    bound_loop(ordering, &steps);
  int levels = find_levels(ordering, &steps);
  for (int level = 0; level < levels; level++) {
    add_kernels(ordering, &steps, level);
    for (int k = 0; k < steps.count; k++) {
      if (steps.items[k].level == level && steps.items[k].kernel < 0) add_loop(ordering, steps.items[k].region);
    }
  }
  ordering->most = most;
}

/* Kernels in the order of their launches. */
static void permute_kernels(Ordering *ordering) {
  Plan *plan = ordering->plan;
  int *place = NEW_ARRAY(ordering->arena, int, plan->kernels.count + 1);
  const Kernel *old = arena_copy(ordering->arena, plan->kernels.items, (size_t)plan->kernels.count * sizeof *old);
  for (int k = 0; k < ordering->kernels.count; k++) {
    place[ordering->kernels.items[k]] = k;
    plan->kernels.items[k] = old[ordering->kernels.items[k]];
  }
  for (Id id = 1; id < plan->buffers.count; id++) {
    Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory == MEMORY_LOCAL) buffer->index = place[buffer->index];
  }
}

static void order(Plan *plan, bool one_by_one, int64_t most) {
  Arena *arena = arena_new();
  int64_t *sizes = NEW_ARRAY(arena, int64_t, plan->buffers.count);
  for (Id id = 1; id < plan->buffers.count; id++) sizes[id] = buffer_bytes_at_bounds(plan, id);
  Ordering ordering = {
      .plan = plan, .arena = arena, .sizes = sizes, .one_by_one = one_by_one, .most = most, .looks = LOOKS};
  plan->launches.count = 0;
  order_region(&ordering, 0);
  permute_kernels(&ordering);
  arena_free(arena);
}

void plan_order(Plan *plan) {
  order(plan, true, 0);
  plan->one_by_one_bytes = plan_largest_live(plan);
  order(plan, false, plan->one_by_one_bytes);
}
