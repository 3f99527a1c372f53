/* Values that are made in the place of others.
 *
 * In: a plan whose launches are ordered. Out: where a stage is the last to read a buffer, and each point of it reads no
 * element of that but the one in whose place it stores, what it stores to takes the buffer over: both are one from then on.
 * A gradient that a ReLU lets through, a sum with a residual, an update of an update thus need no memory of their own, and
 * writing them fetches no new lines into the cache.
 *
 * Nobody else may touch the old one in that launch, for tasks run in any order, nor store to the new one. A buffer is taken
 * over once, and takes over one. */
#include "passes/plan/plan_passes.h"

/* ---- what a kernel lets ---- */

static bool stage_touches(const Stage *stage, Id buffer) {
  return stage_reads(stage, buffer) || stage_stores_to(stage, buffer);
}

static bool others_touch(const Kernel *kernel, int stage, Id from, Id to) {
  for (int k = 0; k < kernel->stages.count; k++) {
    const Stage *other = &kernel->stages.items[k];
    if (k != stage && (stage_touches(other, from) || stage_stores_to(other, to))) return true;
  }
  return stage_stores_to(&kernel->stages.items[stage], from);
}

/* At each point the stage reads, of the buffer, but what lies where it stores; a fold stores when all is folded. */
static bool reads_in_place(const Stage *stage, const Access *store, Id from) {
  Access there = *store;
  there.buffer = from;
  for (int k = 0; k < stage->scalars.count; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    if (scalar->op != SCALAR_LOAD || scalar->access->buffer != from) continue;
    if (!access_equal(scalar->access, &there)) return false;
  }
  return true;
}

static void find_in_stage(const Plan *plan, int kernel, int number, TakeOvers *found, Arena *arena) {
  const Stage *stage = &plan->kernels.items[kernel].stages.items[number];
  if (stage->kind != STAGE_EACH && stage->kind != STAGE_FOLD) return;
  for (int s = 0; s < stage->stores.count; s++) {
    const Access *store = &stage->stores.items[s].access;
    const Buffer *to = &plan->buffers.items[store->buffer];
    if (to->memory != MEMORY_ARENA || stage_reads(stage, store->buffer)) continue;
    Id from = 0;
    for (int k = 0; k < stage->scalars.count; k++) {
      const Scalar *scalar = &stage->scalars.items[k];
      if (scalar->op != SCALAR_LOAD || scalar->access->buffer == from) continue;
      from = scalar->access->buffer;
      const Buffer *old = &plan->buffers.items[from];
      if (old->memory != MEMORY_ARENA || !type_equal(&old->type, &to->type)) continue;
      if (!reads_in_place(stage, store, from)) continue;
      if (!others_touch(&plan->kernels.items[kernel], number, from, store->buffer))
        PUSH(arena, found, ((TakeOver){kernel, from, store->buffer}));
    }
  }
}

TakeOvers plan_take_overs(const Plan *plan, Arena *arena) {
  TakeOvers found = {0};
  for (int k = 0; k < plan->kernels.count; k++)
    for (int s = 0; s < plan->kernels.items[k].stages.count; s++) find_in_stage(plan, k, s, &found, arena);
  return found;
}

/* ---- what the launches let ---- */

static bool kernel_meets(const Kernel *kernel, const TakeOver *change) {
  for (int k = 0; k < kernel->stages.count; k++) {
    const Stage *stage = &kernel->stages.items[k];
    if (stage_touches(stage, change->from) || stage_stores_to(stage, change->to)) return true;
  }
  return false;
}

/* Buffers begin and end in launches of kernels only if they lie in one turn of a loop. */
Id *plan_places(const Plan *plan, const Life *lives, Arena *arena) {
  TakeOvers changes = plan_take_overs(plan, arena);
  bool *taken = NEW_ARRAY(arena, bool, plan->buffers.count);
  Id *over = NEW_ARRAY(arena, Id, plan->buffers.count);
  for (int at = 0, next = 0; at < plan->launches.count; at++) {
    const Launch *launch = &plan->launches.items[at];
    int end = launch->kind == LAUNCH_KERNELS ? launch->first + launch->count : 0;
    for (; next < changes.count && changes.items[next].kernel < end; next++) {
      const TakeOver *change = &changes.items[next];
      bool free = !over[change->to] && !taken[change->from];
      free = free && lives[change->from].first < at && lives[change->from].last == at && lives[change->to].first == at;
      for (int k = launch->first; k < end && free; k++)
        free = k == change->kernel || !kernel_meets(&plan->kernels.items[k], change);
      if (!free) continue;
      over[change->to] = change->from;
      taken[change->from] = true;
    }
  }
  return over;
}

/* ---- the change ---- */

void kernel_rename_buffer(Plan *plan, Kernel *kernel, Id from, Id to) {
  Arena *arena = plan->module->arena;
  for (int s = 0; s < kernel->stages.count; s++) {
    Stage *stage = &kernel->stages.items[s];
    for (int k = 0; k < stage->scalars.count; k++) {
      Scalar *scalar = &stage->scalars.items[k];
      if (!scalar->access || scalar->access->buffer != from) continue;
      scalar->access = arena_copy(arena, scalar->access, sizeof *scalar->access);
      scalar->access->buffer = to;
    }
    for (int k = 0; k < stage->stores.count; k++)
      if (stage->stores.items[k].access.buffer == from) stage->stores.items[k].access.buffer = to;
  }
}

void plan_share_places(Plan *plan) {
  Arena *arena = arena_new();
  const Life *lives = plan_lives(plan, arena);
  const Id *over = plan_places(plan, lives, arena);
  plan->apart_bytes = 0;
  for (Id id = 1; id < plan->buffers.count; id++) {
    bool lives_there = plan->buffers.items[id].memory == MEMORY_ARENA && lives[id].first >= 0;
    if (lives_there) plan->apart_bytes += buffer_bytes_at_bounds(plan, id);
    Id root = id;
    while (over[root]) root = over[root];
    for (int k = 0; root != id && k < plan->kernels.count; k++)
      kernel_rename_buffer(plan, &plan->kernels.items[k], id, root);
  }
  arena_free(arena);
}
