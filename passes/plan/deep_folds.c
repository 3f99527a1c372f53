/* Deep folds with few results, for processors that run hundreds of tasks at a time: the gradient of a kernel of a
 * convolution, say, has few elements, each a sum over all pictures and places.
 *
 * In: kernels whose task loops are all that their stages share. Such a fold becomes two: one of its folded loops, L, turns
 * into the outermost kept loop of a kernel of its own, which leaves a share of each result for each index of L in memory;
 * then the stage folds the shares. The cut depends on shapes and bounds alone, so the bits do too. The loop is the shortest
 * that makes tasks enough, or the longest there is. */
#include "passes/plan/plan_passes.h"

#include <string.h>

enum { RESULTS_EACH = 256, MOST_BYTES = 64 << 20 };

static double product(const Stage *stage, int from, int to) {
  double points = 1;
  for (int k = from; k < to; k++) points *= (double)stage->loops[k].extent->high;
  return points;
}

/* ---- what to split ---- */

static bool stores_into(const Kernel *kernel, Id buffer) {
  for (int k = 0; k < kernel->stages.count; k++) {
    const Stage *stage = &kernel->stages.items[k];
    for (int j = 0; j < stage->stores.count; j++)
      if (stage->stores.items[j].access.buffer == buffer) return true;
  }
  return false;
}

/* Shares are made before the kernel: by values that it does not make itself, merged by what needs no indices. */
static bool can_split(const Kernel *kernel, const Stage *stage) {
  if (stage->kind != STAGE_FOLD && stage->kind != STAGE_CONTRACT) return false;
  if (stage->nkept + 1 > MAX_RANK || stage->nloops - stage->nkept < 2) return false;
  for (int k = 0; k < stage->folders.count; k++) {
    FoldOp op = stage->folders.items[k].op;
    if (op == FOLDER_ARGMAX || op == FOLDER_ARGMIN) return false;
  }
  for (int k = 0; k < stage->after; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    if (scalar->op == SCALAR_LOAD && stores_into(kernel, scalar->access->buffer)) return false;
  }
  return true;
}

/* The folded loop that becomes a kept one, -1: none. */
static int loop_to_split(const Kernel *kernel, const Stage *stage, const TargetCosts *costs) {
  if (!can_split(kernel, stage)) return -1;
  double results = product(stage, 0, stage->nkept), tasks = results / RESULTS_EACH;
  tasks = MAX(tasks, 1);
  if (tasks >= costs->enough_tasks || product(stage, stage->nkept, stage->nloops) < costs->split_fold) return -1;
  int best = -1;
  for (int k = stage->nkept; k < stage->nloops; k++) {
    double extent = (double)stage->loops[k].extent->high, rest = product(stage, stage->nkept, stage->nloops) / extent;
    if (extent < 2 || rest < extent / 8 || 4 * extent * results > MOST_BYTES) continue;
    double most = best < 0 ? 0 : (double)stage->loops[best].extent->high;
    bool enough = tasks * extent >= costs->enough_tasks, before = tasks * most >= costs->enough_tasks;
    if (best < 0 || (enough ? !before || extent < most : !before && extent > most)) best = k;
  }
  return best;
}

/* ---- making shares ---- */

/* Loops of the stage as they are numbered in the kernel of shares: L first, then the kept ones, then the other folded ones. */
static int shares_loop(const Stage *stage, int split, int loop) {
  (void)stage;
  return loop == split ? 0 : loop < split ? loop + 1 : loop;
}

static Access *renumbered(Plan *plan, const Stage *stage, int split, const Access *access) {
  Access *own = arena_copy(plan->module->arena, access, sizeof *access);
  for (int k = 0; k < own->map.naxes; k++) {
    Axis *axis = &own->map.axis[k];
    for (int term = 0; term < axis->nterms; term++) axis->dim[term] = shares_loop(stage, split, axis->dim[term]);
  }
  return own;
}

static void add_share_scalars(Plan *plan, Stage *shares, const Stage *stage, int split) {
  Arena *arena = plan->module->arena;
  for (int k = 0; k < stage->after; k++) {
    Scalar scalar = stage->scalars.items[k];
    if (scalar.access) scalar.access = renumbered(plan, stage, split, scalar.access);
    PUSH(arena, &shares->scalars, scalar);
  }
  shares->after = stage->after;
  for (int k = 0; k < stage->folders.count; k++) PUSH(arena, &shares->folders, stage->folders.items[k]);
}

static Id share_buffer(Plan *plan, const Stage *stage, int split, Dtype dtype, const char *name) {
  const Dim *size[MAX_RANK] = {stage->loops[split].extent};
  for (int k = 0; k < stage->nkept; k++) size[k + 1] = stage->loops[k].extent;
  Type type = type_of(dtype, stage->nkept + 1, size);
  return plan_buffer(plan, MEMORY_ARENA, type, 0, name);
}

/* [L, kept loops] of shares; loops: which of a stage's loops these are. */
static Access share_access(Plan *plan, Id buffer, const int *loops, int count) {
  Map map = {.naxes = count};
  for (int k = 0; k < count; k++) map.axis[k] = axis_of(plan->module, loops[k]);
  return access_of(plan, buffer, &map);
}

static Kernel shares_kernel(Plan *plan, const Kernel *kernel, const Stage *stage, int split, Id *buffers) {
  Arena *arena = plan->module->arena;
  Kernel own = {.place = stage->place, .region = kernel->region, .ntasks = stage->nkept + 1};
  int which = (int)(stage - kernel->stages.items); /* several stages of a kernel may be split */
  own.name = plan_kernel_name(plan, arena_format(arena, which ? "%s_shares_%d" : "%s_shares", kernel->name, which));
  Stage shares = {
      .kind = stage->kind, .nloops = stage->nloops, .nkept = stage->nkept + 1, .vector = -1, .place = stage->place};
  shares.tile = stage->tile;
  int loops[MAX_LOOPS];
  for (int k = 0; k < stage->nloops; k++) shares.loops[shares_loop(stage, split, k)] = stage->loops[k];
  for (int k = 0; k < shares.nkept; k++) own.tasks[k] = shares.loops[k], loops[k] = k;
  add_share_scalars(plan, &shares, stage, split);
  for (int k = 0; k < stage->folders.count; k++) {
    Dtype dtype = stage->folders.items[k].dtype;
    buffers[k] = share_buffer(plan, stage, split, dtype, "share");
    Scalar folded = {.op = SCALAR_FOLDED, .dtype = dtype, .a = -1, .b = -1, .c = -1, .index = (int16_t)k};
    Store store = {.access = share_access(plan, buffers[k], loops, shares.nkept), .value = (int16_t)shares.scalars.count};
    PUSH(arena, &shares.scalars, folded);
    PUSH(arena, &shares.stores, store);
  }
  PUSH(arena, &own.stages, shares);
  PUSH(arena, &own.places, stage->place);
  return own;
}

/* ---- folding shares ---- */

static int16_t moved(int16_t operand, int by) { return operand < 0 ? operand : (int16_t)(operand + by); }

static void move_access(Access *access, int by) {
  for (int k = 0; k < access->map.naxes; k++)
    if (access->index[k] >= 0) access->index[k] = moved(access->index[k], by);
}

/* The stage as it was, but that what it folds are shares. */
static void fold_shares(Plan *plan, Stage *stage, int split, const Id *buffers) {
  Arena *arena = plan->module->arena;
  Stage old = *stage;
  int loops[MAX_LOOPS] = {old.nkept}, by = old.folders.count - old.after;
  *stage = (Stage){.kind = STAGE_FOLD, .nkept = old.nkept, .nloops = old.nkept + 1, .vector = -1, .place = old.place};
  stage->tile = (Tile){.vector = -1, .row = -1, .column = -1};
  stage->after = old.folders.count;
  memcpy(stage->loops, old.loops, sizeof stage->loops);
  stage->loops[old.nkept] = old.loops[split];
  for (int k = 0; k < old.nkept; k++) loops[k + 1] = k;
  for (int k = 0; k < old.folders.count; k++) {
    Access *access = NEW(arena, Access);
    *access = share_access(plan, buffers[k], loops, old.nkept + 1);
    Folder folder = {.op = old.folders.items[k].op, .dtype = old.folders.items[k].dtype, .value = (int16_t)k, .when = -1};
    PUSH(arena, &stage->scalars,
         ((Scalar){.op = SCALAR_LOAD, .dtype = folder.dtype, .a = -1, .b = -1, .c = -1, .access = access}));
    PUSH(arena, &stage->folders, folder);
  }
  for (int k = old.after; k < old.scalars.count; k++) {
    Scalar scalar = old.scalars.items[k];
    scalar.a = moved(scalar.a, by), scalar.b = moved(scalar.b, by), scalar.c = moved(scalar.c, by);
    if (scalar.access) move_access(scalar.access = arena_copy(arena, scalar.access, sizeof *scalar.access), by);
    PUSH(arena, &stage->scalars, scalar);
  }
  for (int k = 0; k < old.stores.count; k++) {
    Store store = old.stores.items[k];
    store.value = moved(store.value, by);
    move_access(&store.access, by);
    PUSH(arena, &stage->stores, store);
  }
}

/* ---- the whole ---- */

void split_folds(Plan *plan, const TargetCosts *costs) {
  Arena *arena = plan->module->arena;
  Vec(Kernel) kernels = {0};
  for (int k = 0; k < plan->kernels.count; k++) {
    Kernel kernel = plan->kernels.items[k];
    for (int s = 0; s < kernel.stages.count; s++) {
      Stage *stage = &kernel.stages.items[s];
      int split = loop_to_split(&kernel, stage, costs);
      if (split < 0) continue;
      Id *buffers = NEW_ARRAY(arena, Id, stage->folders.count);
      PUSH(arena, &kernels, shares_kernel(plan, &kernel, stage, split, buffers));
      fold_shares(plan, stage, split, buffers);
    }
    PUSH(arena, &kernels, kernel);
  }
  plan->kernels.items = kernels.items;
  plan->kernels.count = kernels.count;
  plan->kernels.capacity = kernels.capacity;
}
