/* Values that are made again instead of being kept, where memory is bounded.
 *
 * In: a plan with launches, and how many bytes its scratch may take with one worker. Out: one that stays below, or as near
 * as this can bring it. While more lives at some launch than may, a value that nobody reads there is chosen, the parts of
 * the kernels that made it are launched once more just before its next reader, into a buffer of its own, and all later
 * readers read that. Chosen is what costs least for what it frees: bytes above the bound, summed over launches, for the
 * work that is done again; what the part reads must stay alive until then, which counts against it, or is made again in
 * turn. Kernels are pure and random numbers counted, so the second run gives the same bits.
 *
 * Not made again is what a loop makes, and what is made of states that were overwritten since. */
#include "passes/plan/plan_passes.h"

#include <string.h>

/* What moving a byte costs, in operations: about what processors are made for. */
enum { OPERATIONS_OF_BYTE = 8 };

/* The kernels that store to a buffer, each to a part of it: what is inside a border and the border, say. */
enum { MOST_MAKERS = 8 };
typedef struct Makers {
  int count; /* 0: nobody, or more, or one of them in a loop */
  int kernels[MOST_MAKERS];
} Makers;

typedef struct Recompute {
  Plan *plan;
  Arena *arena; /* of one step */
  int64_t bound;
  const Life *lives;
  const int64_t *live;
  int peak;
  int *launch_of; /* by kernel: its launch, or the outermost loop that it lies in */
  Makers *makers; /* by buffer */
} Recompute;

typedef struct Choice {
  Id buffer;
  int last;                    /* the last launch before the peak that touches it */
  int before;                  /* the first one behind it, in front of which it is made again */
  Kernel kernels[MOST_MAKERS]; /* by which, as many as it has makers; still of the old buffers */
  double worth;
} Choice;

/* ---- what is known of a plan ---- */

static void find_launches(Recompute *own) {
  const Plan *plan = own->plan;
  own->launch_of = NEW_ARRAY(own->arena, int, plan->kernels.count + 1);
  for (int k = 0, depth = 0, loop = 0; k < plan->launches.count; k++) {
    const Launch *launch = &plan->launches.items[k];
    if (launch->kind == LAUNCH_LOOP && depth++ == 0) loop = k;
    if (launch->kind == LAUNCH_END) depth--;
    for (int j = 0; launch->kind == LAUNCH_KERNELS && j < launch->count; j++)
      own->launch_of[launch->first + j] = depth > 0 ? loop : k;
  }
}

static void add_maker(Recompute *own, Id buffer, int kernel, bool *beyond) {
  Makers *makers = &own->makers[buffer];
  if (makers->count > 0 && makers->kernels[makers->count - 1] == kernel) return;
  bool in_loop = own->plan->launches.items[own->launch_of[kernel]].kind == LAUNCH_LOOP;
  beyond[buffer] = beyond[buffer] || in_loop || makers->count == MOST_MAKERS;
  if (!beyond[buffer]) makers->kernels[makers->count++] = kernel;
}

/* Where there are several, none may read what another made. */
static void find_makers(Recompute *own) {
  const Plan *plan = own->plan;
  bool *beyond = NEW_ARRAY(own->arena, bool, plan->buffers.count);
  own->makers = NEW_ARRAY(own->arena, Makers, plan->buffers.count);
  for (int k = 0; k < plan->kernels.count; k++) {
    const Kernel *kernel = &plan->kernels.items[k];
    for (int s = 0; s < kernel->stages.count; s++)
      for (int j = 0; j < kernel->stages.items[s].stores.count; j++)
        add_maker(own, kernel->stages.items[s].stores.items[j].access.buffer, k, beyond);
  }
  for (Id id = 1; id < plan->buffers.count; id++) {
    Makers *makers = &own->makers[id];
    for (int k = 0; k < makers->count && makers->count > 1; k++)
      if (kernel_touches(&plan->kernels.items[makers->kernels[k]], id, stage_reads)) beyond[id] = true;
    if (beyond[id]) makers->count = 0;
  }
}

/* ---- a candidate ---- */

/* The launches on both sides of the peak that touch the choice's buffer; false if one does at it. */
static bool idle_at_peak(const Recompute *own, Choice *choice) {
  const Plan *plan = own->plan;
  const Makers *makers = &own->makers[choice->buffer];
  choice->last = own->launch_of[makers->kernels[makers->count - 1]]; /* they come in order */
  choice->before = plan->launches.count;
  for (int k = 0; k < plan->kernels.count; k++) {
    int launch = own->launch_of[k], end = launch;
    if (launch >= choice->before || !kernel_touches(&plan->kernels.items[k], choice->buffer, stage_reads)) continue;
    if (plan->launches.items[launch].kind == LAUNCH_LOOP) end = plan_loop_end(plan, launch);
    if (launch <= own->peak && end >= own->peak) return false;
    if (launch > own->peak)
      choice->before = launch;
    else
      choice->last = MAX(choice->last, end);
  }
  return choice->last < own->peak && choice->before < plan->launches.count;
}

/* What the maker itself stores must be whole before any stage of it reads it. */
static bool stored_before_read(const Kernel *kernel, Id buffer) {
  int stored = -1, read = kernel->stages.count;
  for (int k = 0; k < kernel->stages.count; k++)
    if (stage_stores_to(&kernel->stages.items[k], buffer)) stored = k;
  for (int k = kernel->stages.count - 1; k >= 0; k--)
    if (stage_reads(&kernel->stages.items[k], buffer)) read = k;
  return stored < read;
}

/* True if what the maker read is the same just in front of launch `before`. */
static bool still_there(const Recompute *own, Id read, int maker, int before) {
  const Plan *plan = own->plan;
  Memory memory = plan->buffers.items[read].memory;
  if (memory == MEMORY_RESULT) return false; /* the caller may not have wanted it */
  if (memory != MEMORY_ARENA && memory != MEMORY_STATE) return true;
  for (int k = 0; k < plan->kernels.count; k++) {
    if (own->launch_of[k] < own->launch_of[maker] || own->launch_of[k] >= before) continue;
    const Kernel *kernel = &plan->kernels.items[k];
    if (!kernel_touches(kernel, read, stage_stores_to)) continue;
    if (k != maker || memory == MEMORY_STATE || !stored_before_read(kernel, read)) return false;
  }
  return true;
}

static double above(const Recompute *own, int64_t bytes) { return (double)MAX(bytes - own->bound, 0); }

/* By how many bytes times launches less is above the bound. `longer`: bytes that are added at each launch of the gap. */
static double relief(const Recompute *own, const Choice *choice, const int64_t *longer) {
  int64_t size = buffer_bytes_at_bounds(own->plan, choice->buffer);
  double sum = 0;
  for (int at = choice->last + 1; at < choice->before; at++)
    sum += above(own, own->live[at]) - above(own, own->live[at] - size + longer[at]);
  int64_t begins = 0; /* at the new launch lives what lives on both sides of it, and what it reads */
  for (Id id = 1; id < own->plan->buffers.count; id++) {
    bool arena = own->plan->buffers.items[id].memory == MEMORY_ARENA;
    if (arena && own->lives[id].first == choice->before) begins += buffer_bytes_at_bounds(own->plan, id);
  }
  return sum - above(own, own->live[choice->before] - begins + longer[choice->before]);
}

/* What the choice's kernel reads, of the arena, lives on until it is made again. False if it may not be made again. */
static bool lengthen(const Recompute *own, const Choice *choice, int maker, bool *seen, int64_t *longer) {
  const Plan *plan = own->plan;
  const Kernel *kernel = &choice->kernels[maker];
  for (int s = 0; s < kernel->stages.count; s++) {
    const Stage *stage = &kernel->stages.items[s];
    for (int k = 0; k < stage->scalars.count; k++) {
      if (stage->scalars.items[k].op != SCALAR_LOAD) continue;
      Id read = stage->scalars.items[k].access->buffer;
      Memory memory = plan->buffers.items[read].memory;
      if (read == choice->buffer || memory == MEMORY_LOCAL) continue;
      if (!still_there(own, read, own->makers[choice->buffer].kernels[maker], choice->before)) return false;
      if (memory != MEMORY_ARENA || seen[read]) continue;
      seen[read] = true;
      int64_t bytes = buffer_bytes_at_bounds(plan, read);
      for (int at = own->lives[read].last + 1; at <= choice->before; at++) longer[at] += bytes;
    }
  }
  return true;
}

static bool weigh(const Recompute *own, Choice *choice) {
  const Plan *plan = own->plan;
  const Makers *makers = &own->makers[choice->buffer];
  int64_t *longer = NEW_ARRAY(own->arena, int64_t, plan->launches.count + 1);
  bool *seen = NEW_ARRAY(own->arena, bool, plan->buffers.count);
  double cost = 1;
  for (int k = 0; k < makers->count; k++) {
    bool *wanted = NEW_ARRAY(own->arena, bool, plan->buffers.count);
    wanted[choice->buffer] = true;
    choice->kernels[k] = kernel_slice(plan, &plan->kernels.items[makers->kernels[k]], wanted, own->arena);
    if (!lengthen(own, choice, k, seen, longer)) return false;
    const Dim *flops = kernel_flops(plan, &choice->kernels[k]), *bytes = kernel_bytes(plan, &choice->kernels[k]);
    if (!flops || !bytes) return false;
    cost += (double)flops->high + OPERATIONS_OF_BYTE * (double)bytes->high;
  }
  choice->worth = relief(own, choice, longer) / cost;
  return choice->worth > 0;
}

static bool choose(const Recompute *own, Choice *best) {
  const Plan *plan = own->plan;
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Life *life = &own->lives[id];
    Choice choice = {.buffer = id};
    if (plan->buffers.items[id].memory != MEMORY_ARENA || own->makers[id].count == 0) continue;
    if (life->first >= own->peak || life->last <= own->peak || !idle_at_peak(own, &choice)) continue;
    if (weigh(own, &choice) && choice.worth > best->worth) *best = choice;
  }
  return best->worth > 0;
}

/* ---- the change ---- */

/* Room for a launch of so many kernels in front of launch `at`; gives the first one's index. */
static int insert_launch(Plan *plan, int at, int count) {
  Arena *arena = plan->module->arena;
  int index = plan->kernels.count;
  for (int k = plan->launches.count - 1; k >= at; k--)
    if (plan->launches.items[k].kind == LAUNCH_KERNELS) index = plan->launches.items[k].first;
  for (int k = 0; k < count; k++) PUSH(arena, &plan->kernels, (Kernel){0});
  memmove(&plan->kernels.items[index + count], &plan->kernels.items[index],
          (size_t)(plan->kernels.count - count - index) * sizeof *plan->kernels.items);
  for (Id id = 1; id < plan->buffers.count; id++) {
    Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory == MEMORY_LOCAL && buffer->index >= index) buffer->index += count;
  }
  Launch launch = {.kind = LAUNCH_KERNELS, .first = index, .count = count, .turn = -1};
  PUSH(arena, &plan->launches, launch);
  for (int k = plan->launches.count - 1; k > at; k--) {
    plan->launches.items[k] = plan->launches.items[k - 1];
    if (plan->launches.items[k].kind == LAUNCH_KERNELS) plan->launches.items[k].first += count;
  }
  plan->launches.items[at] = launch;
  return index;
}

/* The kernel without stores to arena buffers that nobody reads; where it has no others, it stays as it is. */
static void drop_dead_stores(Plan *plan, int index, Arena *arena) {
  bool *wanted = NEW_ARRAY(arena, bool, plan->buffers.count);
  for (Id id = 1; id < plan->buffers.count; id++) {
    Memory memory = plan->buffers.items[id].memory;
    wanted[id] = memory != MEMORY_ARENA && memory != MEMORY_LOCAL;
    for (int k = 0; k < plan->kernels.count && memory == MEMORY_ARENA && !wanted[id]; k++)
      wanted[id] = kernel_touches(&plan->kernels.items[k], id, stage_reads);
  }
  Kernel rest = kernel_slice(plan, &plan->kernels.items[index], wanted, plan->module->arena);
  if (rest.stages.count > 0) plan->kernels.items[index].stages = rest.stages;
}

/* The clone has locals of its own. */
static void own_locals(Plan *plan, int from, int index) {
  for (Id id = 1, count = plan->buffers.count; id < count; id++) {
    Buffer local = plan->buffers.items[id];
    if (local.memory != MEMORY_LOCAL || local.index != from) continue;
    if (!kernel_touches(&plan->kernels.items[index], id, stage_stores_to)) continue;
    kernel_rename_buffer(plan, &plan->kernels.items[index], id,
                         plan_buffer(plan, MEMORY_LOCAL, local.type, index, local.name));
  }
}

/* The part of this kernel that makes the buffer, as a kernel of its own. */
static Kernel clone(Plan *plan, int maker, Id buffer, Arena *arena) {
  bool *wanted = NEW_ARRAY(arena, bool, plan->buffers.count);
  wanted[buffer] = true;
  Kernel kernel = kernel_slice(plan, &plan->kernels.items[maker], wanted, plan->module->arena);
  kernel.name = plan_kernel_name(plan, arena_format(arena, "%s_again", kernel.name));
  plan->again.kernels++;
  plan->again.flops += kernel_flops(plan, &kernel)->high;
  plan->again.bytes += kernel_bytes(plan, &kernel)->high;
  return kernel;
}

static void make_again(Plan *plan, const Makers *makers, const Choice *choice, Arena *arena) {
  int index = insert_launch(plan, choice->before, makers->count);
  for (int k = 0; k < makers->count; k++) {
    plan->kernels.items[index + k] = clone(plan, makers->kernels[k], choice->buffer, arena);
    own_locals(plan, makers->kernels[k], index + k);
  }
  Buffer buffer = plan->buffers.items[choice->buffer];
  Id own = plan_buffer(plan, MEMORY_ARENA, buffer.type, 0, buffer.name);
  for (int k = index; k < plan->kernels.count; k++)
    kernel_rename_buffer(plan, &plan->kernels.items[k], choice->buffer, own);
  for (int k = 0; k < makers->count; k++) drop_dead_stores(plan, makers->kernels[k], arena);
}

/* One value more that is made again; false if none would help. */
static bool step(Plan *plan, int64_t bound) {
  Arena *arena = arena_new();
  Recompute own = {.plan = plan, .arena = arena, .bound = bound, .lives = plan_lives(plan, arena)};
  own.live = plan_live_bytes(plan, own.lives, arena);
  for (int at = 1; at < plan->launches.count; at++)
    if (own.live[at] > own.live[own.peak]) own.peak = at;
  find_launches(&own);
  find_makers(&own);
  Choice best = {0};
  bool found = choose(&own, &best);
  if (found) make_again(plan, &own.makers[best.buffer], &best, arena);
  arena_free(arena);
  return found;
}

static int64_t scratch_of(Plan *plan) {
  plan_pack(plan, true);
  return plan->arena_bytes + round_up(plan->local_bytes, 64);
}

/* Bytes above the bound, summed over launches. */
static double excess_of(const Plan *plan, int64_t bound) {
  Arena *arena = arena_new();
  const int64_t *live = plan_live_bytes(plan, plan_lives(plan, arena), arena);
  double sum = 0;
  for (int at = 0; at < plan->launches.count; at++) sum += (double)MAX(live[at] - bound, 0);
  arena_free(arena);
  return sum;
}

/* A choice is weighed as if no value took another's place; what is made again may have taken one. So a step may turn out
 * to help nothing, and the next, which undoes it, neither: then it ends. */
static void make_room(Plan *plan, int64_t bound) {
  enum { PATIENCE = 8 };
  double least = excess_of(plan, bound), excess = least;
  for (int idle = 0; excess > 0 && idle < PATIENCE && step(plan, bound); idle++) {
    excess = excess_of(plan, bound);
    if (excess >= least) continue;
    least = excess;
    idle = -1;
  }
}

/* No packing ends below what lives at once; where one ends above, as much more is made again. */
void plan_recompute(Plan *plan, int64_t bytes) {
  enum { TRIES = 8 };
  int64_t scratch = scratch_of(plan), least = scratch;
  plan->again = (Again){.before = scratch, .needs = scratch};
  int64_t bound = bytes - round_up(plan->local_bytes, 64);
  for (int k = 0; k < TRIES && plan->again.needs > bytes; k++) {
    make_room(plan, bound);
    plan->again.needs = scratch_of(plan);
    bound -= plan->again.needs - bytes;
    least = MIN(least, plan->again.needs);
  }
  plan->again.fits = plan->again.needs <= bytes;
  if (!plan->again.fits) plan->again.needs = least;
}
