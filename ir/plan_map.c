/* Operands of contractions as tensor maps: what a GPU wants of an array whose squares it copies by itself.
 *
 * Loops of one stride are one axis: in a convolution a picture's place and the window's offset. Neighbours lie side by side,
 * other axes are multiples of 16 bytes apart, each a multiple of the one before and beyond its end; all of it is known when
 * the entry is called. Lines of the square are rows (columns), in the order of their loops, of the last fold's 32 neighbours,
 * or folds of 32 neighbouring rows (columns). What lies outside of the array comes as 0, so a fold that the pieces do not
 * divide has its axis to itself. */
#include "ir/plan.h"

enum { STEP = 4, MOST_BOX = 256 };

static bool is_multiple(Module *module, const Dim *dim, const Dim *by) {
  const Dim *rest = by->low > 0 ? dim_mod(module, dim, by) : NULL;
  return rest && dim_is(rest, 0);
}

static bool is_multiple_of(Module *module, const Dim *dim, int64_t by) {
  return is_multiple(module, dim, dim_constant(module, by));
}

static bool is_at_least(Module *module, const Dim *a, const Dim *b) {
  const Dim *more = a && b ? dim_subtract(module, a, b) : NULL;
  return more && more->low >= 0;
}

/* Known at the call: it hangs on no turn of a loop. */
static bool is_fixed(const Module *module, const Dim *dim) {
  if (dim->kind == DIM_SYMBOL) return !module->dims.items[dim->symbol].turn;
  if (dim->kind == DIM_FLOORDIV) return is_fixed(module, dim->a) && is_fixed(module, dim->b);
  for (int k = 0; dim->kind == DIM_SUM && k < dim->nterms; k++)
    for (int atom = 0; atom < dim->terms[k].natoms; atom++)
      if (!is_fixed(module, dim->terms[k].atoms[atom])) return false;
  return true;
}

/* ---- axes ---- */

static int axis_with(const OperandMap *map, int loop) {
  for (int k = 0; k < map->rank; k++)
    for (int j = 0; j < map->axis[k].nloops; j++)
      if (map->axis[k].loops[j] == loop) return k;
  return -1;
}

/* In front of those with larger strides. */
static bool add_loop(Module *module, OperandMap *map, const Stage *stage, int loop, const Dim *stride) {
  const Dim *extent = stage->loops[loop].extent;
  int at = 0;
  while (at < map->rank && map->axis[at].stride != stride && is_at_least(module, stride, map->axis[at].stride)) at++;
  if (at == map->rank || map->axis[at].stride != stride) {
    if (map->rank == MAP_RANK) return false;
    for (int k = map->rank++; k > at; k--) map->axis[k] = map->axis[k - 1];
    map->axis[at] = (MapAxis){.stride = stride, .size = dim_constant(module, 1), .box = 1};
  }
  MapAxis *axis = &map->axis[at];
  axis->loops[axis->nloops++] = loop;
  axis->size = dim_add(module, axis->size, dim_offset(module, extent, -1));
  return axis->size && is_fixed(module, stride) && stride->low > 0;
}

static bool axes_are_apart(Module *module, const OperandMap *map) {
  if (map->rank < 2 || !dim_is(map->axis[0].stride, 1)) return false;
  for (int k = 1; k < map->rank; k++) {
    const MapAxis *axis = &map->axis[k], *before = &map->axis[k - 1];
    if (!is_multiple_of(module, axis->stride, STEP) || !is_multiple(module, axis->stride, before->stride)) return false;
    if (!is_at_least(module, axis->stride, dim_multiply(module, before->size, before->stride))) return false;
  }
  return true;
}

/* ---- squares ---- */

/* The loops of rows (columns), but those with one index in a task. */
static int find_own(const Stage *stage, const Access *access, const Access *other, int *own) {
  int count = 0;
  for (int k = 0; k < stage->nkept; k++) {
    const Loop *loop = &stage->loops[k];
    if (access_moves_along(access, k) && !access_moves_along(other, k) && loop->tile != 1 && loop->extent->high > 1)
      own[count++] = k;
  }
  return count;
}

/* How many indices it has in each task, 0: that differs. The outermost may have fewer in the last. */
static int64_t span_of(const Loop *loop, bool outermost) {
  int64_t extent = 0;
  bool constant = dim_is_constant(loop->extent, &extent);
  if (loop->tile > 0 && loop->tile < loop->extent->high)
    return outermost || (constant && extent % loop->tile == 0) ? loop->tile : 0;
  return constant ? extent : 0;
}

/* All rows (columns) of a task, loop by loop, the last one running fastest; or so many of the only one. */
static bool box_rows(OperandMap *map, const Stage *stage, const int *own, int count, int reach) {
  int64_t lines = 1;
  int before = 0;
  if (count == 1) {
    map->lines = map->axis[axis_with(map, own[0])].box = reach;
    return reach <= MOST_BOX;
  }
  for (int k = count - 1; k >= 0; k--) {
    int64_t span = span_of(&stage->loops[own[k]], k == 0);
    int axis = axis_with(map, own[k]);
    if (span < 1 || span > MOST_BOX || axis <= before) return false;
    map->axis[axis].box = (int)span;
    lines *= span;
    before = axis;
  }
  map->lines = (int)lines;
  return lines <= reach;
}

static bool choose_box(Module *module, OperandMap *map, const Stage *stage, const int *own, int count, int reach) {
  int fold = stage->nloops - 1, fold_axis = axis_with(map, fold);
  bool alone = stage->nloops - stage->nkept == 1 && fold_axis >= 0 && map->axis[fold_axis].nloops == 1;
  if (fold_axis < 0 || count == 0) return false;
  if (!alone && !is_multiple_of(module, stage->loops[fold].extent, MAP_LINE)) return false;
  for (int k = 0; k < count; k++)
    if (axis_with(map, own[k]) < 0 || axis_with(map, own[k]) == fold_axis) return false;
  map->in_fold = fold_axis == 0;
  map->axis[0].box = MAP_LINE;
  if (map->in_fold) return box_rows(map, stage, own, count, reach);
  map->lines = map->axis[fold_axis].box = MAP_LINE;
  return count == 1 && axis_with(map, own[0]) == 0;
}

bool plan_operand_map(const Plan *plan, const Stage *stage, int operand, int reach, OperandMap *map) {
  Module *module = plan->module;
  const Scalar *product = &stage->scalars.items[stage->folders.items[0].value];
  const Access *access = stage->scalars.items[operand ? product->b : product->a].access;
  const Access *other = stage->scalars.items[operand ? product->a : product->b].access;
  const Dim *strides[MAX_LOOPS];
  Memory memory = plan->buffers.items[access->buffer].memory;
  int own[MAX_LOOPS], count = find_own(stage, access, other, own);
  *map = (OperandMap){0};
  if (memory == MEMORY_CONSTANT || memory == MEMORY_LOCAL || stage->nloops == stage->nkept) return false;
  if (operand == 1 && count > 1 && stage->tile.vector != own[count - 1]) return false; /* columns have it last */
  if (!access_strides(plan, stage, access, &map->base, strides)) return false;
  for (int k = 0; k < stage->nloops; k++)
    if (!dim_is(strides[k], 0) && !add_loop(module, map, stage, k, strides[k])) return false;
  return is_multiple_of(module, map->base, STEP) && is_fixed(module, map->base) && axes_are_apart(module, map) &&
         choose_box(module, map, stage, own, count, reach);
}
