/* Where a kernel's locals lie in a worker's part of the scratch block.
 *
 * A local lives from the first stage that touches it to the last; two may lie in one place if their lives don't meet, or if
 * the stage in which one ends and the other begins reads, at each point, no element of the one but that in whose place it
 * stores. So what a chain of stages hands on, the scores, exponentials and weights of attention say, takes the place of one.
 * Else each lies at the lowest offset that is free, in the order of their numbers. */
#include "ir/plan.h"

typedef struct Local {
  Id id;
  int first, last; /* stages */
  int64_t offset, bytes;
} Local;

static void touch(Local *locals, int count, Id buffer, int stage) {
  for (int k = 0; k < count; k++) {
    if (locals[k].id != buffer) continue;
    if (locals[k].first < 0) locals[k].first = stage;
    locals[k].last = stage;
  }
}

static void find_lives(const Kernel *kernel, Local *locals, int count) {
  for (int s = 0; s < kernel->stages.count; s++) {
    const Stage *stage = &kernel->stages.items[s];
    for (int k = 0; k < stage->scalars.count; k++)
      if (stage->scalars.items[k].op == SCALAR_LOAD) touch(locals, count, stage->scalars.items[k].access->buffer, s);
    for (int k = 0; k < stage->stores.count; k++) touch(locals, count, stage->stores.items[k].access.buffer, s);
  }
}

/* The stage stores `to` where it has read `from`, and reads it nowhere else. */
static bool in_place(const Plan *plan, const Stage *stage, Id from, Id to) {
  const Access *store = NULL;
  if (stage->kind != STAGE_EACH || !type_equal(&plan->buffers.items[from].type, &plan->buffers.items[to].type))
    return false;
  for (int k = 0; k < stage->stores.count; k++) {
    const Access *access = &stage->stores.items[k].access;
    if (access->buffer == from || (access->buffer == to && store)) return false;
    if (access->buffer == to) store = access;
  }
  for (int k = 0; store && k < stage->scalars.count; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    if (scalar->op != SCALAR_LOAD || (scalar->access->buffer != from && scalar->access->buffer != to)) continue;
    Access there = *store;
    there.buffer = from;
    if (!access_equal(scalar->access, &there)) return false;
  }
  return store != NULL;
}

static bool lives_meet(const Local *a, const Local *b) { return a->first <= b->last && b->first <= a->last; }

/* Where one's life ends the other's begins, and each element of it takes the place of one that was read. */
static bool takes_over(const Plan *plan, const Kernel *kernel, const Local *a, const Local *b) {
  if (a->first > b->first) return takes_over(plan, kernel, b, a);
  return a->first < a->last && a->last == b->first && in_place(plan, &kernel->stages.items[a->last], a->id, b->id);
}

/* The first of those before `index` that is in the way there, NULL: there is none. */
static const Local *in_the_way(const Plan *plan, const Kernel *kernel, const Local *locals, int index, int64_t offset) {
  const Local *own = &locals[index];
  for (int k = 0; k < index; k++) {
    const Local *other = &locals[k];
    bool apart = offset + own->bytes <= other->offset || other->offset + other->bytes <= offset;
    if (apart || !lives_meet(own, other)) continue;
    if (offset != other->offset || !takes_over(plan, kernel, own, other)) return other;
  }
  return NULL;
}

/* In the place of one that it takes over, or at the lowest offset that is free. */
static void place(const Plan *plan, const Kernel *kernel, Local *locals, int index) {
  Local *own = &locals[index];
  const Local *other;
  for (int k = 0; k < index; k++) {
    own->offset = locals[k].offset;
    bool over = lives_meet(own, &locals[k]) && takes_over(plan, kernel, own, &locals[k]);
    if (over && !in_the_way(plan, kernel, locals, index, own->offset)) return;
  }
  own->offset = 0;
  while ((other = in_the_way(plan, kernel, locals, index, own->offset))) own->offset = other->offset + other->bytes;
}

int64_t kernel_place_locals(const Plan *plan, int kernel, int64_t *offsets) {
  Arena *arena = arena_new();
  Local *locals = NEW_ARRAY(arena, Local, plan->buffers.count);
  int count = 0;
  int64_t end = 0;
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory == MEMORY_LOCAL && buffer->index == kernel)
      locals[count++] = (Local){.id = id, .first = -1, .last = -1, .bytes = buffer_tile_bytes(plan, id)};
  }
  find_lives(&plan->kernels.items[kernel], locals, count);
  for (int k = 0; k < count; k++) {
    int64_t own;
    place(plan, &plan->kernels.items[kernel], locals, k);
    if (!add_checked(locals[k].offset, locals[k].bytes, &own))
      bug("locals of %s are too large", plan->kernels.items[kernel].name);
    end = MAX(end, own);
    if (offsets) offsets[locals[k].id] = locals[k].offset;
  }
  arena_free(arena);
  return end;
}
