/* Lives of buffers: from the first launch that touches one to the last.
 *
 * In: a plan whose launches are ordered. In a loop of launches, a buffer that the body reads before it writes it holds
 * something from one turn to the next, and so does one that a turn writes in part (its index depends on the turn), and one
 * that is touched outside the loop too. These live as long as the loop, from its LOOP to its END. All others begin anew in
 * each turn. */
#include "passes/plan/plan_passes.h"

bool stage_stores_to(const Stage *stage, Id buffer) {
  for (int k = 0; k < stage->stores.count; k++)
    if (stage->stores.items[k].access.buffer == buffer) return true;
  return false;
}

bool stage_reads(const Stage *stage, Id buffer) {
  if (stage->kind == STAGE_SCATTER && stage_stores_to(stage, buffer)) return true;
  for (int k = 0; k < stage->scalars.count; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    if (scalar->op == SCALAR_LOAD && scalar->access->buffer == buffer) return true;
  }
  return false;
}

bool kernel_touches(const Kernel *kernel, Id buffer, bool (*touches)(const Stage *stage, Id buffer)) {
  for (int s = 0; s < kernel->stages.count; s++)
    if (touches(&kernel->stages.items[s], buffer)) return true;
  return false;
}

/* What is known of a buffer in a range of launches. */
typedef struct Touch {
  int first, last;  /* -1: not touched */
  bool reads_first; /* it reads what was there before */
} Touch;

typedef struct Lives {
  const Plan *plan;
  Arena *arena;
  Touch *touches; /* by buffer: of all launches so far, of the innermost range */
  bool *partly;   /* by module dim and buffer: a store's index depends on that turn */
} Lives;

static bool dim_uses(const Dim *dim, int symbol) {
  switch (dim->kind) {
  case DIM_CONSTANT: return false;
  case DIM_SYMBOL: return dim->symbol == symbol;
  case DIM_FLOORDIV: return dim_uses(dim->a, symbol) || dim_uses(dim->b, symbol);
  case DIM_SUM:
    for (int k = 0; k < dim->nterms; k++) {
      for (int atom = 0; atom < dim->terms[k].natoms; atom++) {
        if (dim_uses(dim->terms[k].atoms[atom], symbol)) return true;
      }
    }
  }
  return false;
}

static bool *partly_at(const Lives *lives, int symbol, Id buffer) {
  return &lives->partly[(int64_t)symbol * lives->plan->buffers.count + buffer];
}

/* A turn stores a part of the buffer if an index or how far a loop runs depends on it. Scalars that choose an index may
 * depend on anything. */
static bool store_uses_turn(const Stage *stage, const Access *access, int turn) {
  for (int k = 0; k < stage->nloops; k++) {
    if (dim_uses(stage->loops[k].extent, turn)) return true;
  }
  for (int k = 0; k < access->map.naxes; k++) {
    if (access->index[k] >= 0 || dim_uses(access->map.axis[k].offset, turn)) return true;
  }
  return false;
}

static void note_turns(Lives *lives, const Stage *stage, const Access *access) {
  const Module *module = lives->plan->module;
  for (int symbol = 0; symbol < module->dims.count; symbol++) {
    bool turn = module->dims.items[symbol].turn;
    if (turn && store_uses_turn(stage, access, symbol)) *partly_at(lives, symbol, access->buffer) = true;
  }
}

static void touch(Touch *touches, Id buffer, int launch, bool reads) {
  Touch *own = &touches[buffer];
  if (own->first < 0) *own = (Touch){.first = launch, .last = launch, .reads_first = reads};
  own->last = MAX(own->last, launch);
}

static void touch_kernel(Lives *lives, Touch *touches, const Kernel *kernel, int launch) {
  for (int s = 0; s < kernel->stages.count; s++) {
    const Stage *stage = &kernel->stages.items[s];
    for (int k = 0; k < stage->scalars.count; k++) {
      const Scalar *scalar = &stage->scalars.items[k];
      if (scalar->op == SCALAR_LOAD) touch(touches, scalar->access->buffer, launch, true);
    }
    for (int k = 0; k < stage->stores.count; k++) {
      const Access *access = &stage->stores.items[k].access;
      note_turns(lives, stage, access);
      touch(touches, access->buffer, launch, stage->kind == STAGE_SCATTER);
    }
  }
}

static Touch *touches_new(const Lives *lives) {
  Touch *touches = NEW_ARRAY(lives->arena, Touch, lives->plan->buffers.count);
  for (Id id = 0; id < lives->plan->buffers.count; id++) touches[id] = (Touch){-1, -1, false};
  return touches;
}

/* The loop at launches loop..end, seen from outside, joined to what was touched before it. */
static void touch_loop(const Lives *lives, Touch *touches, const Touch *body, int loop, int end) {
  int turn = lives->plan->launches.items[loop].turn;
  for (Id id = 1; id < lives->plan->buffers.count; id++) {
    if (body[id].first < 0) continue;
    bool lasts = body[id].reads_first || *partly_at(lives, turn, id);
    touch(touches, id, lasts ? loop : body[id].first, body[id].reads_first);
    touches[id].last = MAX(touches[id].last, lasts ? end : body[id].last);
  }
}

static void touch_range(Lives *lives, Touch *touches, int from, int to) {
  for (int k = from; k < to; k++) {
    const Launch *launch = &lives->plan->launches.items[k];
    if (launch->kind == LAUNCH_KERNELS) {
      for (int kernel = 0; kernel < launch->count; kernel++) {
        touch_kernel(lives, touches, &lives->plan->kernels.items[launch->first + kernel], k);
      }
    }
    if (launch->kind != LAUNCH_LOOP) continue;
    int end = plan_loop_end(lives->plan, k);
    Touch *body = touches_new(lives);
    touch_range(lives, body, k + 1, end);
    touch_loop(lives, touches, body, k, end);
    k = end;
  }
}

/* Loops from the inside out: END by END. */
typedef struct Loops {
  Vec(Life) ranges;
} Loops;

static Loops find_loops(const Plan *plan, Arena *arena) {
  Loops loops = {0};
  for (int k = 0; k < plan->launches.count; k++) {
    if (plan->launches.items[k].kind != LAUNCH_END) continue;
    int loop = k - 1;
    for (int depth = 1; depth > 0; loop--) {
      LaunchKind kind = plan->launches.items[loop].kind;
      depth += (kind == LAUNCH_END) - (kind == LAUNCH_LOOP);
    }
    PUSH(arena, &loops.ranges, ((Life){loop + 1, k}));
  }
  return loops;
}

/* A life that crosses the border of a loop lasts for the whole of it. */
static void round_up_to_loops(const Loops *loops, Touch *life) {
  for (int k = 0; k < loops->ranges.count; k++) {
    int loop = loops->ranges.items[k].first, end = loops->ranges.items[k].last;
    bool inside = life->first > loop && life->last < end, outside = life->last < loop || life->first > end;
    if (inside || outside) continue;
    life->first = MIN(life->first, loop);
    life->last = MAX(life->last, end);
  }
}

Life *plan_lives(const Plan *plan, Arena *arena) {
  Lives lives = {.plan = plan, .arena = arena};
  lives.touches = touches_new(&lives);
  lives.partly = NEW_ARRAY(arena, bool, (int64_t)(plan->module->dims.count + 1) * plan->buffers.count);
  touch_range(&lives, lives.touches, 0, plan->launches.count);
  Loops loops = find_loops(plan, arena);
  Life *result = NEW_ARRAY(arena, Life, plan->buffers.count);
  for (Id id = 1; id < plan->buffers.count; id++) {
    Touch *own = &lives.touches[id];
    if (own->first >= 0) round_up_to_loops(&loops, own);
    result[id] = (Life){own->first, own->last};
  }
  return result;
}

int64_t *plan_live_bytes(const Plan *plan, const Life *lives, Arena *arena) {
  const Id *over = plan_places(plan, lives, arena);
  int64_t *bytes = NEW_ARRAY(arena, int64_t, plan->launches.count + 1);
  for (Id id = 1; id < plan->buffers.count; id++) {
    if (plan->buffers.items[id].memory != MEMORY_ARENA || lives[id].first < 0) continue;
    int64_t size = buffer_bytes_at_bounds(plan, id);
    bytes[lives[id].first + (over[id] != 0)] += size;
    bytes[lives[id].last + 1] -= size;
  }
  for (int at = 1; at < plan->launches.count; at++) bytes[at] += bytes[at - 1];
  return bytes;
}

int64_t plan_largest_live(const Plan *plan) {
  Arena *arena = arena_new();
  const int64_t *bytes = plan_live_bytes(plan, plan_lives(plan, arena), arena);
  int found = 0;
  for (int at = 1; at < plan->launches.count; at++)
    if (bytes[at] > bytes[found]) found = at;
  int64_t largest = bytes[found];
  arena_free(arena);
  return largest;
}

/* Sums of these stay within 64 bits, unless there are so many that no machine could hold their list. */
int64_t buffer_bytes_at_bounds(const Plan *plan, Id buffer) {
  enum { LIMIT = 40 };
  const Dim *bytes = buffer_bytes(plan, &plan->buffers.items[buffer].type);
  return bytes ? MAX(0, MIN(bytes->high, (int64_t)1 << LIMIT)) : (int64_t)1 << LIMIT;
}
