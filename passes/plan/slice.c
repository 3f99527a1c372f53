/* The part of a kernel that makes certain buffers: the stages that store them, and those that make what these read of the
 * task's locals, each without what nobody wants. Tasks, tiles and lanes stay, so that the same bits come out. */
#include "passes/plan/plan_passes.h"

#include <string.h>

/* Scalars of `stage` that its folders and the stores that `kept` has of it need. */
static void mark_scalars(const Stage *stage, const Stage *kept, bool *needed) {
  for (int k = 0; k < kept->stores.count; k++) {
    const Store *store = &kept->stores.items[k];
    if (store->value >= 0) needed[store->value] = true;
    for (int axis = 0; axis < store->access.map.naxes; axis++)
      if (store->access.index[axis] >= 0) needed[store->access.index[axis]] = true;
  }
  for (int k = 0; k < stage->folders.count; k++) {
    needed[stage->folders.items[k].value] = true;
    if (stage->folders.items[k].when >= 0) needed[stage->folders.items[k].when] = true;
  }
  for (int k = stage->scalars.count - 1; k >= 0; k--) {
    const Scalar *scalar = &stage->scalars.items[k];
    if (!needed[k]) continue;
    const int16_t operands[] = {scalar->a, scalar->b, scalar->c};
    for (int j = 0; j < COUNT_OF(operands); j++)
      if (operands[j] >= 0) needed[operands[j]] = true;
    for (int axis = 0; scalar->access && axis < scalar->access->map.naxes; axis++)
      if (scalar->access->index[axis] >= 0) needed[scalar->access->index[axis]] = true;
  }
}

static int16_t moved(const int16_t *place, int16_t scalar) { return scalar < 0 ? scalar : place[scalar]; }

Scalar scalar_moved(Arena *arena, const Scalar *from, const int16_t *place) {
  Scalar scalar = *from;
  scalar.a = moved(place, scalar.a), scalar.b = moved(place, scalar.b), scalar.c = moved(place, scalar.c);
  if (!scalar.access) return scalar;
  scalar.access = arena_copy(arena, scalar.access, sizeof *scalar.access);
  for (int axis = 0; axis < scalar.access->map.naxes; axis++)
    scalar.access->index[axis] = moved(place, scalar.access->index[axis]);
  return scalar;
}

Folder folder_moved(const Folder *from, const int16_t *place) {
  Folder folder = *from;
  folder.value = moved(place, folder.value), folder.when = moved(place, folder.when);
  return folder;
}

Store store_moved(const Store *from, const int16_t *place) {
  Store store = *from;
  store.value = moved(place, store.value);
  for (int axis = 0; axis < store.access.map.naxes; axis++)
    store.access.index[axis] = moved(place, store.access.index[axis]);
  return store;
}

static void keep_scalars(Arena *arena, Stage *stage, const Stage *from) {
  bool *needed = NEW_ARRAY(arena, bool, from->scalars.count + 1);
  int16_t *place = NEW_ARRAY(arena, int16_t, from->scalars.count + 1);
  mark_scalars(from, stage, needed);
  for (int k = 0; k < from->scalars.count; k++) {
    if (k == from->after) stage->after = stage->scalars.count;
    if (!needed[k]) continue;
    Scalar scalar = scalar_moved(arena, &from->scalars.items[k], place);
    place[k] = (int16_t)stage->scalars.count;
    PUSH(arena, &stage->scalars, scalar);
  }
  if (from->after == from->scalars.count) stage->after = stage->scalars.count;
  for (int k = 0; k < stage->stores.count; k++) stage->stores.items[k] = store_moved(&stage->stores.items[k], place);
  for (int k = 0; k < from->folders.count; k++) PUSH(arena, &stage->folders, folder_moved(&from->folders.items[k], place));
}

/* The stage with the stores to wanted buffers alone; false if there are none. */
static bool keep_stage(Arena *arena, const Stage *from, const bool *wanted, Stage *stage) {
  *stage = *from;
  memset(&stage->stores, 0, sizeof stage->stores);
  memset(&stage->scalars, 0, sizeof stage->scalars);
  memset(&stage->folders, 0, sizeof stage->folders);
  for (int k = 0; k < from->stores.count; k++)
    if (wanted[from->stores.items[k].access.buffer]) PUSH(arena, &stage->stores, from->stores.items[k]);
  if (stage->stores.count == 0) return false;
  keep_scalars(arena, stage, from);
  return true;
}

Kernel kernel_slice(const Plan *plan, const Kernel *from, bool *wanted, Arena *arena) {
  Stage *stages = NEW_ARRAY(arena, Stage, from->stages.count + 1);
  int count = 0;
  for (int k = from->stages.count - 1; k >= 0; k--) {
    Stage *stage = &stages[count];
    if (!keep_stage(arena, &from->stages.items[k], wanted, stage)) continue;
    count++;
    for (int j = 0; j < stage->scalars.count; j++) {
      const Scalar *scalar = &stage->scalars.items[j];
      if (scalar->op != SCALAR_LOAD) continue;
      Id read = scalar->access->buffer;
      if (plan->buffers.items[read].memory == MEMORY_LOCAL) wanted[read] = true;
    }
  }
  Kernel kernel = *from;
  memset(&kernel.stages, 0, sizeof kernel.stages);
  kernel.flops = kernel.bytes = NULL;
  for (int k = count - 1; k >= 0; k--) PUSH(arena, &kernel.stages, stages[k]);
  return kernel;
}

/* Adds what a kernel's stages read, and what they add to. */
static void mark_read(const Kernel *kernel, bool *read) {
  for (int s = 0; s < kernel->stages.count; s++) {
    const Stage *stage = &kernel->stages.items[s];
    for (int k = 0; k < stage->scalars.count; k++)
      if (stage->scalars.items[k].op == SCALAR_LOAD) read[stage->scalars.items[k].access->buffer] = true;
    for (int k = 0; k < stage->stores.count && stage->kind == STAGE_SCATTER; k++)
      read[stage->stores.items[k].access.buffer] = true;
  }
}

static int count_stores(const Kernel *kernel) {
  int count = 0;
  for (int s = 0; s < kernel->stages.count; s++) count += kernel->stages.items[s].stores.count;
  return count;
}

bool plan_drop_unread(Plan *plan) {
  Arena *arena = plan->module->arena;
  bool *wanted = NEW_ARRAY(arena, bool, plan->buffers.count), dropped = false;
  for (int k = 0; k < plan->kernels.count; k++) mark_read(&plan->kernels.items[k], wanted);
  for (Id id = 1; id < plan->buffers.count; id++)
    if (plan->buffers.items[id].memory != MEMORY_ARENA) wanted[id] = true;
  int kept = 0;
  for (int k = 0; k < plan->kernels.count; k++) {
    Kernel kernel = plan->kernels.items[k], rest = kernel_slice(plan, &kernel, wanted, arena);
    bool less = count_stores(&rest) < count_stores(&kernel);
    dropped = dropped || less;
    if (rest.stages.count > 0) plan->kernels.items[kept++] = less ? rest : kernel;
  }
  plan->kernels.count = kept;
  return dropped;
}
