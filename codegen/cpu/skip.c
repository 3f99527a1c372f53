/* What a border of zeros adds to a contraction, left out.
 *
 * The plan's condition says along which axes there is a border. Each index is the sum of at most two loops: in a convolution
 * that of a row of the picture and that of a row of the window.
 *
 *   where the folded one is inside   its turns start later, or end earlier
 *   where it is outside (of pieces)  what is left of the fold is done or not
 *   where the other one is the tile's rows, a few of these have nothing to add: there is code for all rows, for all but the
 *   first, for all but the last, ...; a short folded loop is unrolled, as each of its turns wants few of these
 *
 * A point that is skipped adds 0, so whatever is not worth skipping need not be; and elements sum in the same order. */
#include "codegen/cpu/tiling.h"

#include <stdlib.h>

enum {
  MOST_SKIPPED = 2, /* rows at one end */
  MOST_UNROLLED = 3,
  ENOUGH_TURNS = 8,      /* of loops inside: fewer are not worth a branch */
  ENOUGH_PRODUCTS = 200, /* of vectors, in a loop: fewer are not worth bounds of their own */
  FEW_ROWS = 32          /* in all: of more, borders are too small a part */
};

void skip_begin(Tiling *tiling) {
  const Stage *stage = tiling->nest.stage;
  int when = stage->folders.items[0].when;
  tiling->nborders = 0;
  if (when < 0) return;
  const Access *inside = stage->scalars.items[when].access;
  for (int k = 0; k < inside->map.naxes; k++) {
    if (inside->index[k] >= 0 || inside->map.axis[k].divisor != 1) continue;
    tiling->borders[tiling->nborders++] = (Border){.axis = &inside->map.axis[k], .size = inside->as.size[k]};
  }
}

/* ---- where along the axis we are ---- */

static bool is_open(const Nest *nest, int loop, int position) {
  for (int k = position; k < nest->count; k++)
    if (nest->order[k] == loop) return false;
  return true;
}

static int64_t coefficient_of(const Axis *axis, int loop) {
  int64_t sum = 0;
  for (int k = 0; k < axis->nterms; k++)
    if (axis->dim[k] == loop) sum += axis->coefficient[k];
  return sum;
}

/* True if the tile's rows lie along the axis, more than one of them. */
static bool is_along_rows(const Tiling *tiling, const Border *border) {
  return tiling->row >= 0 && tiling->rows > 1 && coefficient_of(border->axis, tiling->row) != 0;
}

static bool all_open(const Nest *nest, const Axis *axis, int position, int but) {
  for (int k = 0; k < axis->nterms; k++)
    if (axis->dim[k] != but && !is_open(nest, axis->dim[k], position)) return false;
  return true;
}

/* How many indices of a loop the tile holds beside the one that is open. */
static int64_t beside(const Tiling *tiling, int loop) {
  if (loop == tiling->row) return tiling->rows - 1;
  if (loop == tiling->vector && !tiling->folded) return (vector_columns(tiling) ? (int64_t)tiling->columns : 1) * LANES - 1;
  return loop == tiling->column ? tiling->columns - 1 : 0;
}

/* The axis at the open indices of all loops but one: the least of the tile, or the largest. */
static LLVMValueRef axis_at_open(Tiling *tiling, const Axis *axis, int but, bool largest) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  LLVMValueRef sum = work_dim(nest->work, axis->offset);
  for (int k = 0; k < axis->nterms; k++) {
    int loop = axis->dim[k];
    int64_t coefficient = axis->coefficient[k], more = coefficient * beside(tiling, loop);
    if (loop == but) continue;
    LLVMValueRef own = LLVMBuildNSWMul(emitter->builder, nest->at[loop], const_i64(emitter, coefficient), "");
    sum = LLVMBuildNSWAdd(emitter->builder, sum, own, "");
    if ((more > 0) == largest) sum = LLVMBuildNSWAdd(emitter->builder, sum, const_i64(emitter, more), "");
  }
  return sum;
}

/* The least that the axis can be, or the largest, wherever the tile is, without one of its loops; false where that is not
 * known. */
static bool extreme_of_axis(const Tiling *tiling, const Axis *axis, int but, bool largest, int64_t *extreme) {
  const Nest *nest = &tiling->nest;
  if (!dim_is_constant(axis->offset, extreme)) return false;
  for (int k = 0; k < axis->nterms; k++) {
    int64_t extent, coefficient = axis->coefficient[k];
    LLVMValueRef at = nest->at[axis->dim[k]];
    if (axis->dim[k] == but) continue;
    bool fixed = axis->dim[k] >= nest->stage->nkept && at && LLVMIsAConstantInt(at);
    if (!fixed && !dim_is_constant(nest->stage->loops[axis->dim[k]].extent, &extent)) return false;
    if (fixed)
      *extreme += coefficient * LLVMConstIntGetSExtValue(at);
    else if ((coefficient > 0) == largest)
      *extreme += coefficient * (extent - 1);
  }
  return true;
}

/* Turns of the loops inside, -1 where one is not known. */
static int64_t turns_inside(const Nest *nest, int position) {
  int64_t turns = 1;
  for (int k = position; k < nest->count; k++) {
    int64_t trip = nest->trip[nest->order[k]];
    if (trip < 0) return -1;
    turns *= trip;
  }
  return turns;
}

/* ---- turns ---- */

static LLVMValueRef limit(Emitter *emitter, LLVMValueRef a, LLVMValueRef b, bool larger) {
  LLVMValueRef first = LLVMBuildICmp(emitter->builder, larger ? LLVMIntSGT : LLVMIntSLT, a, b, "");
  return LLVMBuildSelect(emitter->builder, first, a, b, "");
}

/* (sum + more) / by, where a negative result may be 0. */
static LLVMValueRef quotient(Emitter *emitter, LLVMValueRef sum, int64_t more, int64_t by) {
  LLVMValueRef whole = LLVMBuildNSWAdd(emitter->builder, sum, const_i64(emitter, more), "");
  return by == 1 ? whole : LLVMBuildSDiv(emitter->builder, whole, const_i64(emitter, by), "");
}

/* Indices l of the loop with 0 <= sum + coefficient * l < size, for a sum from `least` to `largest`. */
static void narrow(Emitter *emitter, int64_t coefficient, LLVMValueRef least, LLVMValueRef largest, LLVMValueRef size,
                   LLVMValueRef *start, LLVMValueRef *stop) {
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef from, to;
  if (coefficient > 0) {
    from = quotient(emitter, LLVMBuildNSWNeg(builder, largest, ""), coefficient - 1, coefficient);
    to = quotient(emitter, LLVMBuildNSWSub(builder, size, least, ""), coefficient - 1, coefficient);
  } else {
    from = quotient(emitter, LLVMBuildNSWSub(builder, least, size, ""), -coefficient, -coefficient);
    to = LLVMBuildNSWAdd(builder, quotient(emitter, largest, 0, -coefficient), const_i64(emitter, 1), "");
  }
  *start = limit(emitter, from, *start, true);
  *stop = limit(emitter, to, *stop, false);
}

/* True if some turn of the loop, which is not cut, is inside, wherever the tile is. */
static bool some_inside(const Tiling *tiling, const Border *border, int loop) {
  int64_t least, largest, size, trip, coefficient = coefficient_of(border->axis, loop);
  if (!dim_is_constant(tiling->nest.stage->loops[loop].extent, &trip) || tiling->nest.trip[loop] != trip) return false;
  if (trip < 1 || coefficient == 0 || !dim_is_constant(border->size, &size)) return false;
  if (!extreme_of_axis(tiling, border->axis, loop, false, &least)) return false;
  if (!extreme_of_axis(tiling, border->axis, loop, true, &largest)) return false;
  int64_t up = coefficient > 0 ? coefficient * (trip - 1) : 0, down = coefficient < 0 ? coefficient * (trip - 1) : 0;
  return size >= llabs(coefficient) && least + up >= 0 && largest + down < size;
}

Skipping skip_turns(Tiling *tiling, int position, LLVMValueRef *start, LLVMValueRef *stop) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  int loop = nest->order[position];
  Skipping skipping = SKIP_NOTHING;
  int64_t turns = turns_inside(nest, position);
  bool few = turns >= 0 && turns * tiling->rows * tiling->columns < ENOUGH_PRODUCTS;
  if (loop == tiling->vector || few) return SKIP_NOTHING;
  for (int k = 0; k < tiling->nborders; k++) {
    const Border *border = &tiling->borders[k];
    int64_t coefficient = coefficient_of(border->axis, loop);
    bool rows = is_along_rows(tiling, border);
    if (coefficient == 0 || rows || border->done || !all_open(nest, border->axis, position, loop)) continue;
    LLVMValueRef least = axis_at_open(tiling, border->axis, loop, false);
    LLVMValueRef largest = axis_at_open(tiling, border->axis, loop, true);
    narrow(emitter, coefficient, least, largest, work_dim(nest->work, border->size), start, stop);
    bool sure = skipping == SKIP_NOTHING && some_inside(tiling, border, loop);
    skipping = sure ? SKIP_SOME : SKIP_PERHAPS_ALL;
  }
  return skipping;
}

/* ---- rows ---- */

/* Ways that part and meet again, each with accumulators of its own. */
typedef struct Ways {
  LLVMBasicBlockRef join, from[2 * MOST_SKIPPED + 1];
  LLVMValueRef sums[2 * MOST_SKIPPED + 1][MAX_CARRIED];
  int count;
} Ways;

static void end_way(Tiling *tiling, Ways *ways) {
  Nest *nest = &tiling->nest;
  LLVMBuilderRef builder = nest->work->emitter->builder;
  ways->from[ways->count] = LLVMGetInsertBlock(builder);
  for (int k = 0; k < nest->ncarried; k++) ways->sums[ways->count][k] = nest->carried[k];
  ways->count++;
  LLVMBuildBr(builder, ways->join);
}

static void join_ways(Tiling *tiling, const Ways *ways) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  LLVMPositionBuilderAtEnd(emitter->builder, ways->join);
  for (int k = 0; k < nest->ncarried; k++) {
    nest->carried[k] = LLVMBuildPhi(emitter->builder, emitter->v16f32, "");
    for (int way = 0; way < ways->count; way++)
      LLVMAddIncoming(nest->carried[k], (LLVMValueRef[]){ways->sums[way][k]}, (LLVMBasicBlockRef[]){ways->from[way]}, 1);
  }
}

/* Where `condition` holds, the rest of the fold for these rows; behind it, where it does not. */
static void rows_where(Tiling *tiling, int position, Ways *ways, LLVMValueRef condition, int first, int end) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  LLVMValueRef before[MAX_CARRIED];
  LLVMBasicBlockRef some = new_block(emitter, "rows"), others = new_block(emitter, "others");
  int first_before = tiling->first_row, end_before = tiling->end_row;
  LLVMBuildCondBr(emitter->builder, condition, some, others);
  for (int k = 0; k < nest->ncarried; k++) before[k] = nest->carried[k];
  LLVMPositionBuilderAtEnd(emitter->builder, some);
  tiling->first_row = first, tiling->end_row = end;
  if (first < end) tile_folds(tiling, position);
  end_way(tiling, ways);
  for (int k = 0; k < nest->ncarried; k++) nest->carried[k] = before[k];
  tiling->first_row = first_before, tiling->end_row = end_before;
  LLVMPositionBuilderAtEnd(emitter->builder, others);
}

static LLVMValueRef is_below(Emitter *emitter, LLVMValueRef a, LLVMValueRef b, int64_t more) {
  return LLVMBuildICmp(emitter->builder, LLVMIntSLT, LLVMBuildNSWAdd(emitter->builder, a, const_i64(emitter, more), ""), b,
                       "");
}

/* How many rows at one end of a tile may be outside. */
static int most_outside(const Tiling *tiling, const Border *border, bool last) {
  int64_t extreme, size, most = MIN(MOST_SKIPPED, tiling->rows), step = coefficient_of(border->axis, tiling->row);
  if (!dim_is_constant(border->size, &size) || !extreme_of_axis(tiling, border->axis, -1, last, &extreme)) return (int)most;
  int64_t beyond = last ? extreme - (size - 1) : -extreme;
  return (int)(beyond <= 0 ? 0 : MIN(most, (beyond + step - 1) / step));
}

/* The first rows, then the last ones, each where so many are outside; most first. */
static void emit_ways(Tiling *tiling, int position, const Border *border) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  int rows = tiling->rows, low = most_outside(tiling, border, false), high = most_outside(tiling, border, true);
  if (low + high == 0) {
    tile_folds(tiling, position);
    return;
  }
  Ways ways = {.join = new_block(emitter, "joined")};
  int64_t step = coefficient_of(border->axis, tiling->row);
  LLVMValueRef zero = const_i64(emitter, 0), size = work_dim(nest->work, border->size);
  LLVMValueRef first = axis_at_open(tiling, border->axis, -1, false);
  LLVMValueRef last = axis_at_open(tiling, border->axis, -1, true);
  for (int skipped = low; skipped > 0; skipped--)
    rows_where(tiling, position, &ways, is_below(emitter, first, zero, step * (skipped - 1)), skipped, rows);
  for (int skipped = high; skipped > 0; skipped--) {
    LLVMValueRef inside = is_below(emitter, last, size, -step * (skipped - 1));
    rows_where(tiling, position, &ways, LLVMBuildNot(emitter->builder, inside, ""), 0, rows - skipped);
  }
  tile_folds(tiling, position);
  end_way(tiling, &ways);
  join_ways(tiling, &ways);
}

static bool pays(const Tiling *tiling, const Border *border, int position) {
  const Nest *nest = &tiling->nest;
  int64_t turns = turns_inside(nest, position), rows = 0;
  if (tiling->limit || coefficient_of(border->axis, tiling->row) <= 0 || (turns >= 0 && turns < ENOUGH_TURNS)) return false;
  return dim_is_constant(nest->stage->loops[tiling->row].extent, &rows) && rows <= FEW_ROWS;
}

/* All or nothing: the folded loop is outside, the tile in one place. */
static void emit_if_inside(Tiling *tiling, int position, const Border *border) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  Ways ways = {.join = new_block(emitter, "joined")};
  LLVMValueRef least = axis_at_open(tiling, border->axis, -1, false);
  LLVMValueRef largest = axis_at_open(tiling, border->axis, -1, true);
  LLVMValueRef before = is_below(emitter, largest, const_i64(emitter, 0), 0);
  LLVMValueRef inside = is_below(emitter, least, work_dim(nest->work, border->size), 0);
  LLVMValueRef outside = LLVMBuildOr(emitter->builder, before, LLVMBuildNot(emitter->builder, inside, ""), "");
  rows_where(tiling, position, &ways, outside, 0, 0);
  tile_folds(tiling, position);
  end_way(tiling, &ways);
  join_ways(tiling, &ways);
}

bool skip_unrolls(const Tiling *tiling, int position) {
  const Nest *nest = &tiling->nest;
  int loop = nest->order[position];
  for (int k = 0; k < tiling->nborders; k++) {
    const Border *border = &tiling->borders[k];
    bool rows = is_along_rows(tiling, border);
    if (!rows || border->done || coefficient_of(border->axis, loop) == 0 || nest->trip[loop] > MOST_UNROLLED) continue;
    if (nest->trip[loop] > 0 && all_open(nest, border->axis, position, loop) && pays(tiling, border, position + 1))
      return true;
  }
  return false;
}

bool skip_rows(Tiling *tiling, int position) {
  for (int k = 0; k < tiling->nborders; k++) {
    Border *border = &tiling->borders[k];
    bool rows = is_along_rows(tiling, border);
    bool outside = position == tiling->nest.kept && tiling->waiting;
    if (border->done || !all_open(&tiling->nest, border->axis, position, -1)) continue;
    if (rows ? !pays(tiling, border, position) : !outside) continue;
    border->done = true;
    if (rows)
      emit_ways(tiling, position, border);
    else
      emit_if_inside(tiling, position, border);
    border->done = false;
    return true;
  }
  return false;
}
