/* Contractions as register tiles.
 *
 * A tile is rows x columns accumulators, each a vector of 16 lanes, that live in registers while the folded loops run:
 *
 *   rows      consecutive indices of the row loop
 *   columns   consecutive vectors of the vector loop if that is kept and there is no column loop, else consecutive indices
 *             of the column loop
 *   lanes     of the vector loop: kept, 16 elements of the result; folded, 16 partial sums of one element
 *
 * What an operand gives to accumulator (i, j) follows from its strides alone: one that does not vary along the vector loop is
 * one element, splatted (which becomes a broadcast from memory), one of stride 1 is a vector load; an operand that does not
 * vary with the rows (columns) is loaded once for all of them.
 *
 * Columns are walked outside, rows inside, so that the panel of the operand with lanes stays in cache. Where a size is known,
 * its rest is a tile of its own; where it is not, rows end with tiles of 8 and of 4, the last of which repeats its last row
 * and does not store it, and one of a single row, which is all there is where one example is inferred. Every element sums in the same order in whichever tile it lies.
 *
 * Where the plan cuts the fold into pieces, a piece is run over all rows of the task before the next one is, so that its part
 * of the operand with lanes stays in cache; between pieces the accumulators wait on the stack. The pieces of an element are
 * added in order, so that it sums as it would without them. */
#include "codegen/cpu/tiling.h"

/* ---- operands ---- */

static bool varies(const Reach *reach, int loop) { return loop >= 0 && !dim_is(reach->stride[loop], 0); }
bool vector_columns(const Tiling *tiling) { return tiling->column < 0 && !tiling->folded; }

static LLVMValueRef step_pointer(Tiling *tiling, const Reach *reach, LLVMValueRef pointer, int loop, int64_t by) {
  Nest *nest = &tiling->nest;
  if (loop < 0 || by == 0 || !varies(reach, loop)) return pointer;
  LLVMValueRef elements = work_dim_times(nest->work, reach->stride[loop], const_i64(nest->work->emitter, by));
  return access_advance(nest->work, pointer, elements, nest->work->emitter->f32);
}

static LLVMValueRef load_lanes(Tiling *tiling, const Reach *reach, LLVMValueRef pointer, LLVMValueRef mask) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  LLVMValueRef zero = LLVMConstNull(emitter->v16f32), load;
  const Dim *stride = reach->stride[tiling->vector];
  if (!dim_is(stride, 1)) {
    LLVMValueRef by = splat(emitter, work_dim(nest->work, stride));
    LLVMValueRef lanes = LLVMBuildMul(emitter->builder, lane_numbers(emitter, emitter->i64, 1), by, "");
    LLVMValueRef pointers = LLVMBuildGEP2(emitter->builder, emitter->f32, pointer, &lanes, 1, "");
    return masked_gather(emitter, emitter->v16f32, pointers, mask, zero);
  }
  if (mask) return masked_load(emitter, emitter->v16f32, pointer, mask, zero);
  prefetch_ahead(tiling, reach, pointer);
  load = LLVMBuildLoad2(emitter->builder, emitter->v16f32, pointer, "");
  LLVMSetAlignment(load, 4);
  return load;
}

/* What one operand gives to accumulator (i, j) in step `unrolled` of loop `inner`. */
static LLVMValueRef load_operand(Tiling *tiling, const Reach *reach, int i, int j, int inner, int64_t unrolled) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  LLVMValueRef pointer = reach->partial[nest->count];
  if (tiling->limit && varies(reach, tiling->row)) {
    LLVMValueRef elements = work_dim_times(nest->work, reach->stride[tiling->row], tiling->row_number[i]);
    pointer = access_advance(nest->work, pointer, elements, emitter->f32);
  } else {
    pointer = step_pointer(tiling, reach, pointer, tiling->row, i);
  }
  bool vectors = vector_columns(tiling);
  pointer = vectors ? step_pointer(tiling, reach, pointer, tiling->vector, (int64_t)j * LANES)
                    : step_pointer(tiling, reach, pointer, tiling->column, j);
  pointer = step_pointer(tiling, reach, pointer, inner, unrolled);
  if (!varies(reach, tiling->vector)) {
    LLVMValueRef load = LLVMBuildLoad2(emitter->builder, emitter->f32, pointer, "");
    LLVMSetAlignment(load, 4);
    return splat(emitter, load);
  }
  LLVMValueRef mask = tiling->folded ? nest->mask : (!vectors || j == tiling->columns - 1) ? tiling->last_mask : NULL;
  return load_lanes(tiling, reach, pointer, mask);
}

/* acc[i, j] += a[i, j] * b[i, j], each operand loaded once for all accumulators that share it. */
static void tile_step(Tiling *tiling, int inner, int64_t unrolled) {
  Nest *nest = &tiling->nest;
  LLVMValueRef loaded[2][MAX_CARRIED] = {{NULL}};
  int columns_loop = vector_columns(tiling) ? tiling->vector : tiling->column;
  for (int i = tiling->first_row; i < tiling->end_row; i++) {
    for (int j = 0; j < tiling->columns; j++) {
      LLVMValueRef value[2];
      for (int which = 0; which < 2; which++) {
        const Reach *reach = tiling->operand[which];
        int own_row = varies(reach, tiling->row) ? i : 0, own_column = varies(reach, columns_loop) ? j : 0;
        LLVMValueRef *slot = &loaded[which][own_row * tiling->columns + own_column];
        if (!*slot) *slot = load_operand(tiling, reach, own_row, own_column, inner, unrolled);
        value[which] = *slot;
      }
      LLVMValueRef *sum = &nest->carried[i * tiling->columns + j];
      *sum = emit_fma(nest->work->emitter, value[0], value[1], *sum);
    }
  }
}

/* ---- the folded loops ---- */

static void fold_turns(Tiling *tiling, int position, LLVMValueRef start, LLVMValueRef stop, int64_t width, int64_t trip,
                       int unroll) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  int loop = nest->order[position];
  Looping looping;
  loop_open(emitter, &looping, start, stop, width * unroll, trip, nest->carried, nest->ncarried);
  nest->at[loop] = looping.index;
  if (nest->mask) {
    LLVMValueRef left = LLVMBuildSub(emitter->builder, stop, looping.index, "");
    nest->mask = trip > 0 ? constant_mask(emitter, trip) : tail_mask(emitter, left);
  }
  nest_addresses(nest, position);
  for (int k = 0; k < unroll; k++) tile_step(tiling, loop, k * width);
  loop_close(emitter, &looping, nest->carried);
}

/* The vector loop, folded: whole vectors, then one with a mask whose missing lanes add 0 * 0. */
static void fold_vectors(Tiling *tiling, int position) {
  Nest *nest = &tiling->nest;
  LLVMBuilderRef builder = nest->work->emitter->builder;
  int loop = nest->order[position];
  int64_t trip = nest->trip[loop], rest = trip % LANES;
  LLVMValueRef start = nest->start[loop], stop = nest->stop[loop];
  LLVMValueRef whole =
      LLVMBuildAnd(builder, LLVMBuildSub(builder, stop, start, ""), const_i64(nest->work->emitter, -LANES), "");
  if (trip > 0) whole = const_i64(nest->work->emitter, trip - rest);
  LLVMValueRef middle = LLVMBuildAdd(builder, start, whole, "");
  if (trip < 0 || trip >= LANES) fold_turns(tiling, position, start, middle, LANES, trip > 0 ? trip - rest : -1, 1);
  if (trip > 0 && rest == 0) return;
  nest->mask = constant_mask(nest->work->emitter, 0);
  fold_turns(tiling, position, middle, stop, LANES, trip > 0 ? rest : -1, 1);
  nest->mask = NULL;
}

void tile_folds(Tiling *tiling, int position) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  if (skip_rows(tiling, position)) return;
  if (position == nest->count) {
    tile_step(tiling, -1, 0);
    return;
  }
  int loop = nest->order[position];
  LLVMValueRef start = nest->start[loop], stop = nest->stop[loop];
  Skipping skipping = skip_turns(tiling, position, &start, &stop);
  int64_t trip = skipping == SKIP_NOTHING ? nest->trip[loop] : -1;
  if (position == nest->count - 1) {
    /* short loops whole, others two steps a turn where that comes out even, and the code is not for few rows of few tiles */
    int accumulators = tiling->rows * tiling->columns;
    bool whole = trip > 0 && trip <= 4 && trip * accumulators <= 112;
    bool all = tiling->end_row - tiling->first_row == tiling->rows;
    int unroll = whole ? (int)trip : all && trip > 0 && trip % 2 == 0 ? 2 : 1;
    if (loop == tiling->vector)
      fold_vectors(tiling, position);
    else
      fold_turns(tiling, position, start, stop, 1, trip, unroll);
    return;
  }
  if (skipping == SKIP_NOTHING && skip_unrolls(tiling, position)) {
    for (int64_t turn = 0; turn < trip; turn++) {
      nest->at[loop] = LLVMBuildAdd(emitter->builder, start, const_i64(emitter, turn), "");
      nest_addresses(nest, position);
      tile_folds(tiling, position + 1);
    }
    return;
  }
  Looping looping;
  if (skipping == SKIP_SOME) trip = nest->trip[loop]; /* it is entered, which is all that is asked */
  loop_open(emitter, &looping, start, stop, 1, trip, nest->carried, nest->ncarried);
  nest->at[loop] = looping.index;
  nest_addresses(nest, position);
  tile_folds(tiling, position + 1);
  loop_close(emitter, &looping, nest->carried);
}

/* ---- the epilogue ---- */

static int columns_loop(const Tiling *tiling) { return vector_columns(tiling) ? tiling->vector : tiling->column; }

/* The scalars from `after` on, for accumulator (i, j); what is the same in a row or column was emitted for its first. */
static void epilogue_scalars(Tiling *tiling, int i, int j) {
  Nest *nest = &tiling->nest;
  int column = columns_loop(tiling);
  for (int k = nest->before; k < nest->stage->scalars.count; k++) {
    bool again = (i == 0 && j == 0) || (tiling->row >= 0 && (nest->depends[k] >> tiling->row & 1)) ||
                 (i == 0 && column >= 0 && (nest->depends[k] >> column & 1));
    if (again) nest->value[k] = emit_scalar(nest, k, nest->kept);
  }
}

static void epilogue_column(Tiling *tiling, int j) {
  Nest *nest = &tiling->nest;
  int column = columns_loop(tiling);
  bool vectors = vector_columns(tiling);
  if (column >= 0) nest->shift[column] = vectors ? (int64_t)j * LANES : j;
  nest->mask = tiling->folded || (vectors && j < tiling->columns - 1) ? NULL : tiling->last_mask;
}

static void epilogue_reset(Tiling *tiling) {
  Nest *nest = &tiling->nest;
  if (columns_loop(tiling) >= 0) nest->shift[columns_loop(tiling)] = 0;
  if (tiling->row >= 0) nest->shift[tiling->row] = 0;
  nest->mask = NULL;
}

/* In registers: every accumulator has its own code. */
static void epilogue_unrolled(Tiling *tiling) {
  Nest *nest = &tiling->nest;
  for (int j = 0; j < tiling->columns; j++) {
    epilogue_column(tiling, j);
    for (int i = 0; i < tiling->rows; i++) {
      if (tiling->row >= 0) nest->shift[tiling->row] = i;
      nest->folded[0] = nest->carried[i * tiling->columns + j];
      epilogue_scalars(tiling, i, j);
      nest_stores(nest);
    }
  }
  epilogue_reset(tiling);
}

static LLVMValueRef spill_slot(Tiling *tiling, LLVMTypeRef type, LLVMValueRef row, int j) {
  Emitter *emitter = tiling->nest.work->emitter;
  LLVMValueRef first = LLVMBuildNSWMul(emitter->builder, row, const_i64(emitter, tiling->columns), "");
  LLVMValueRef index = LLVMBuildNSWAdd(emitter->builder, first, const_i64(emitter, j), "");
  return LLVMBuildGEP2(emitter->builder, type, tiling->spill, &index, 1, "");
}

/* `count` vectors on the stack. */
static LLVMValueRef stack_vectors(Work *work, int64_t count) {
  Emitter *emitter = work->emitter;
  LLVMBasicBlockRef here = LLVMGetInsertBlock(emitter->builder);
  LLVMPositionBuilderBefore(emitter->builder, LLVMGetFirstInstruction(work->entry));
  LLVMValueRef array = LLVMBuildAlloca(emitter->builder, LLVMArrayType2(emitter->v16f32, (uint64_t)count), "");
  LLVMSetAlignment(array, 64);
  LLVMPositionBuilderAtEnd(emitter->builder, here);
  return array;
}

/* By a loop over the rows, the accumulators in memory: for long epilogues, and where not all rows exist. */
static void epilogue_loop(Tiling *tiling) {
  Nest *nest = &tiling->nest;
  Work *work = nest->work;
  Emitter *emitter = work->emitter;
  LLVMTypeRef type = tiling->folded ? emitter->f32 : emitter->v16f32;
  if (!tiling->spill) tiling->spill = stack_vectors(work, (int64_t)tiling->most_rows * tiling->most_columns);
  for (int k = 0; k < nest->ncarried; k++) {
    LLVMValueRef slot = spill_slot(tiling, type, const_i64(emitter, k / tiling->columns), k % tiling->columns);
    LLVMBuildStore(emitter->builder, nest->carried[k], slot);
  }
  Looping looping;
  LLVMValueRef count = tiling->limit ? tiling->limit : const_i64(emitter, tiling->rows);
  loop_open(emitter, &looping, const_i64(emitter, 0), count, 1, tiling->limit ? -1 : tiling->rows, NULL, 0);
  LLVMValueRef base = nest->at[tiling->row];
  LLVMValueRef *saved = NEW_ARRAY(work->arena, LLVMValueRef, nest->stage->scalars.count + nest->stage->stores.count);
  int nsaved = nest->stage->scalars.count + nest->stage->stores.count;
  for (int k = 0; k < nsaved; k++) {
    int store = k - nest->stage->scalars.count;
    Reach *reach = store < 0 ? nest->reach[k] : nest->store_reach[store];
    if (!reach || !reach->partial[nest->kept]) continue;
    saved[k] = reach->partial[nest->kept];
    LLVMValueRef elements = work_dim_times(work, reach->stride[tiling->row], looping.index);
    reach->partial[nest->kept] = access_advance(work, saved[k], elements, reach_type(nest, reach));
  }
  nest->at[tiling->row] = LLVMBuildNSWAdd(emitter->builder, base, looping.index, "");
  for (int j = 0; j < tiling->columns; j++) {
    epilogue_column(tiling, j);
    nest->folded[0] = LLVMBuildLoad2(emitter->builder, type, spill_slot(tiling, type, looping.index, j), "");
    epilogue_scalars(tiling, 0, j);
    nest_stores(nest);
  }
  epilogue_reset(tiling);
  nest->at[tiling->row] = base;
  loop_close(emitter, &looping, NULL);
  for (int k = 0; k < nsaved; k++) {
    int store = k - nest->stage->scalars.count;
    if (saved[k]) (store < 0 ? nest->reach[k] : nest->store_reach[store])->partial[nest->kept] = saved[k];
  }
}

/* ---- the fold in pieces ---- */

static LLVMValueRef waiting_slot(Tiling *tiling, int i, int j) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef index = const_i64(emitter, 0);
  for (int position = tiling->pieces; position < nest->kept; position++) {
    int loop = nest->order[position];
    if (tiling->room[loop] == 0) continue;
    LLVMValueRef at = LLVMBuildNSWSub(builder, nest->at[loop], nest->start[loop], "");
    if (loop == tiling->row)
      at = LLVMBuildNSWAdd(builder, at, tiling->limit ? tiling->row_number[i] : const_i64(emitter, i), "");
    index = LLVMBuildNSWMul(builder, index, const_i64(emitter, tiling->room[loop]), "");
    index = LLVMBuildNSWAdd(builder, index, at, "");
  }
  index = LLVMBuildNSWMul(builder, index, const_i64(emitter, tiling->most_columns), "");
  index = LLVMBuildNSWAdd(builder, index, const_i64(emitter, j), "");
  return LLVMBuildGEP2(builder, emitter->v16f32, tiling->waiting, &index, 1, "");
}

static void store_waiting(Tiling *tiling) {
  Nest *nest = &tiling->nest;
  for (int k = 0; k < nest->ncarried; k++) {
    LLVMValueRef slot = waiting_slot(tiling, k / tiling->columns, k % tiling->columns);
    LLVMBuildStore(nest->work->emitter->builder, nest->carried[k], slot);
  }
}

/* The accumulators as the piece before left them. */
static void load_waiting(Tiling *tiling) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  LLVMBasicBlockRef join;
  begin_if(emitter, tiling->first, &join);
  store_waiting(tiling);
  end_if(emitter, join);
  for (int k = 0; k < nest->ncarried; k++) {
    LLVMValueRef slot = waiting_slot(tiling, k / tiling->columns, k % tiling->columns);
    nest->carried[k] = LLVMBuildLoad2(emitter->builder, emitter->v16f32, slot, "");
  }
}

/* ---- one tile ---- */

static void emit_tile(Tiling *tiling) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  nest->ncarried = tiling->rows * tiling->columns;
  CHECK(nest->ncarried <= MAX_CARRIED);
  for (int k = 0; k < nest->ncarried; k++) nest->carried[k] = LLVMConstNull(emitter->v16f32);
  for (int i = 0; i < tiling->rows && tiling->limit; i++) {
    LLVMValueRef own = const_i64(emitter, i),
                 last = LLVMBuildSub(emitter->builder, tiling->limit, const_i64(emitter, 1), "");
    LLVMValueRef there = LLVMBuildICmp(emitter->builder, LLVMIntSLT, own, tiling->limit, "");
    tiling->row_number[i] = LLVMBuildSelect(emitter->builder, there, own, last, "");
  }
  if (tiling->waiting) load_waiting(tiling);
  tiling->first_row = 0, tiling->end_row = tiling->rows;
  prefetch_tile(tiling);
  tile_folds(tiling, nest->kept);
  LLVMBasicBlockRef join = NULL;
  if (tiling->waiting) {
    store_waiting(tiling);
    begin_if(emitter, tiling->last, &join);
  }
  if (tiling->folded) {
    for (int k = 0; k < nest->ncarried; k++) nest->carried[k] = sum_lanes(emitter, nest->carried[k]);
    nest->vector = -1;
  }
  bool loops = tiling->limit || (tiling->rows > 1 && stage_is_heavy(nest->stage, nest->before));
  if (loops)
    epilogue_loop(tiling);
  else
    epilogue_unrolled(tiling);
  end_if(emitter, join);
  nest->vector = tiling->vector;
}

/* ---- walking over the result ---- */

static void tile_turns(Tiling *tiling, int position, LLVMValueRef start, LLVMValueRef stop, int64_t step, int64_t trip);

/* Rows of a known count: tiles of two neighbouring heights, so that none is low. */
static void walk_known_rows(Tiling *tiling, int position, int64_t trip) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  int64_t tiles = (trip + tiling->most_rows - 1) / tiling->most_rows, high = (trip + tiles - 1) / tiles;
  int64_t nhigh = trip - tiles * (high - 1);
  LLVMValueRef start = nest->start[tiling->row], middle;
  middle = LLVMBuildAdd(emitter->builder, start, const_i64(emitter, nhigh * high), "");
  tiling->rows = (int)high;
  tile_turns(tiling, position, start, middle, high, nhigh * high);
  if (nhigh == tiles) return;
  tiling->rows = (int)high - 1;
  tile_turns(tiling, position, middle, nest->stop[tiling->row], high - 1, trip - nhigh * high);
}

static void walk_rows(Tiling *tiling, int position) {
  Nest *nest = &tiling->nest;
  LLVMBuilderRef builder = nest->work->emitter->builder;
  int64_t trip = nest->trip[tiling->row];
  if (trip > 0) {
    walk_known_rows(tiling, position, trip);
    return;
  }
  LLVMValueRef from = nest->start[tiling->row], stop = nest->stop[tiling->row];
  const int heights[] = {tiling->most_rows, tiling->most_columns > 1 ? 8 : tiling->most_rows}; /* one column: little work */
  for (int k = 0; k < COUNT_OF(heights); k++) {
    if (k > 0 && heights[k] >= tiling->most_rows) continue;
    LLVMValueRef left = LLVMBuildSub(builder, stop, from, ""), height = const_i64(nest->work->emitter, heights[k]);
    LLVMValueRef to = LLVMBuildSub(builder, stop, LLVMBuildSRem(builder, left, height, ""), "");
    tiling->rows = heights[k];
    tile_turns(tiling, position, from, to, heights[k], -1);
    from = to;
  }
  if (tiling->most_rows == 1) return;
  tiling->rows = MIN(4, tiling->most_rows);
  LLVMValueRef left = LLVMBuildSub(builder, stop, from, ""), rows = const_i64(nest->work->emitter, tiling->rows);
  LLVMValueRef rest = LLVMBuildSRem(builder, left, rows, ""), one = const_i64(nest->work->emitter, 1);
  LLVMValueRef single =
      LLVMBuildZExt(builder, LLVMBuildICmp(builder, LLVMIntEQ, rest, one, ""), nest->work->emitter->i64, "");
  LLVMValueRef last = LLVMBuildSub(builder, stop, single, "");
  tiling->limit = last;
  tile_turns(tiling, position, from, last, tiling->rows, -1);
  tiling->limit = NULL;
  tiling->rows = 1;
  tile_turns(tiling, position, last, stop, 1, -1);
}

/* The loop whose consecutive vectors, or indices, are the tile's columns. */
static void walk_columns(Tiling *tiling, int position, int loop, int most) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  LLVMBuilderRef builder = emitter->builder;
  bool lanes = loop == tiling->vector, sets = lanes ? vector_columns(tiling) : true;
  int64_t trip = nest->trip[loop], width = lanes ? LANES : 1, step = width * most, rest = trip % step;
  LLVMValueRef start = nest->start[loop], stop = nest->stop[loop];
  LLVMValueRef left = LLVMBuildSub(builder, stop, start, "");
  LLVMValueRef whole = LLVMBuildSub(builder, left, LLVMBuildSRem(builder, left, const_i64(emitter, step), ""), "");
  LLVMValueRef middle = LLVMBuildAdd(builder, start, trip > 0 ? const_i64(emitter, trip - rest) : whole, "");
  if (sets) tiling->columns = most;
  if (trip < 0 || trip >= step) tile_turns(tiling, position, start, middle, step, trip > 0 ? trip - rest : -1);
  if (trip > 0 && rest == 0) return;
  if (trip > 0) {
    if (sets) tiling->columns = (int)((rest + width - 1) / width);
    if (lanes && rest % LANES) tiling->last_mask = constant_mask(emitter, rest % LANES);
    tile_turns(tiling, position, middle, stop, step, rest);
  } else if (lanes || most > 1) {
    if (sets) tiling->columns = 1;
    if (lanes) tiling->last_mask = constant_mask(emitter, 0); /* found in tile_turns */
    tile_turns(tiling, position, middle, stop, width, -1);
  }
  if (lanes) tiling->last_mask = NULL;
}

static void walk(Tiling *tiling, int position);

static LLVMValueRef both(LLVMBuilderRef builder, LLVMValueRef known, LLVMValueRef a, LLVMValueRef b) {
  LLVMValueRef same = LLVMBuildICmp(builder, LLVMIntEQ, a, b, "");
  return known ? LLVMBuildAnd(builder, known, same, "") : same;
}

/* A folded loop outside the rows, one index a piece or, if it is the cut one, one chunk of it. */
static void walk_pieces(Tiling *tiling, int position, int loop) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  LLVMBuilderRef builder = emitter->builder;
  bool cut = loop == tiling->chunked;
  int64_t trip = nest->trip[loop], step = cut ? tiling->chunk : 1;
  LLVMValueRef start = nest->start[loop], stop = nest->stop[loop], first = tiling->first, last = tiling->last;
  Looping looping;
  loop_open(emitter, &looping, start, stop, step, trip, NULL, 0);
  LLVMValueRef end = LLVMBuildNSWAdd(builder, looping.index, const_i64(emitter, step), "");
  tiling->first = both(builder, first, looping.index, start);
  if (cut) {
    bool even = trip > 0 && trip % step == 0;
    LLVMValueRef inside = LLVMBuildICmp(builder, LLVMIntSLT, end, stop, "");
    if (!even) end = LLVMBuildSelect(builder, inside, end, stop, "");
    tiling->last = both(builder, last, end, stop);
    nest->start[loop] = looping.index, nest->stop[loop] = end, nest->trip[loop] = even ? step : -1;
    tiling->chunked = -1;
    walk(tiling, position);
    tiling->chunked = loop;
    nest->start[loop] = start, nest->stop[loop] = stop, nest->trip[loop] = trip;
  } else {
    tiling->last = both(builder, last, end, stop);
    nest->at[loop] = looping.index;
    nest_addresses(nest, position);
    walk(tiling, position + 1);
  }
  loop_close(emitter, &looping, NULL);
  tiling->first = first, tiling->last = last;
}

static void walk(Tiling *tiling, int position) {
  Nest *nest = &tiling->nest;
  if (tiling->waiting && tiling->chunked >= 0 && position == tiling->pieces + tiling->outside) {
    walk_pieces(tiling, position, tiling->chunked);
    return;
  }
  if (position == nest->kept) {
    emit_tile(tiling);
    return;
  }
  int loop = nest->order[position];
  if (loop >= nest->stage->nkept)
    walk_pieces(tiling, position, loop);
  else if (loop == tiling->row)
    walk_rows(tiling, position);
  else if (loop == tiling->column)
    walk_columns(tiling, position, loop, tiling->most_columns);
  else if (loop == tiling->vector)
    walk_columns(tiling, position, loop, vector_columns(tiling) ? tiling->most_columns : 1);
  else
    tile_turns(tiling, position, nest->start[loop], nest->stop[loop], 1, nest->trip[loop]);
}

static void tile_turns(Tiling *tiling, int position, LLVMValueRef start, LLVMValueRef stop, int64_t step, int64_t trip) {
  Nest *nest = &tiling->nest;
  Emitter *emitter = nest->work->emitter;
  int loop = nest->order[position];
  Looping looping;
  loop_open(emitter, &looping, start, stop, step, trip, NULL, 0);
  nest->at[loop] = looping.index;
  LLVMValueRef left = LLVMBuildSub(emitter->builder, stop, looping.index, "");
  if (loop == tiling->vector && tiling->last_mask && trip < 0) tiling->last_mask = tail_mask(emitter, left);
  if (loop == tiling->row && tiling->limit) {
    LLVMValueRef rows = const_i64(emitter, tiling->rows);
    LLVMValueRef few = LLVMBuildICmp(emitter->builder, LLVMIntSLT, left, rows, "");
    tiling->limit = LLVMBuildSelect(emitter->builder, few, left, rows, "");
  }
  nest_addresses(nest, position);
  walk(tiling, position + 1);
  loop_close(emitter, &looping, NULL);
}

/* ---- the stage ---- */

/* Kept loops: others first, then the vector's, the columns', the rows'. Folded: as they are, the vector's last. */
static void tile_order(Tiling *tiling) {
  Nest *nest = &tiling->nest;
  int order[MAX_LOOPS], count = 0;
  const int inner[] = {tiling->folded ? -1 : tiling->vector, tiling->column, tiling->row};
  for (int k = 0; k < nest->kept; k++) {
    int loop = nest->order[k];
    if (loop != inner[0] && loop != inner[1] && loop != inner[2]) order[count++] = loop;
  }
  for (int k = 0; k < COUNT_OF(inner); k++) {
    if (inner[k] >= 0) order[count++] = inner[k];
  }
  CHECK(count == nest->kept);
  for (int k = 0; k < count; k++) nest->order[k] = order[k];
}

static int many(const Nest *nest, int loop) { return loop >= 0 && nest->trip[loop] != 1 ? loop : -1; }

static uint32_t bit(int loop) { return loop >= 0 ? 1u << loop : 0; }

/* A plan may have been scheduled for more registers than this processor has; as the order of a sum does not depend on the
 * tile, a smaller one gives the same bits. */
static void fit_registers(Tiling *tiling, const Processor *processor) {
  int vectors = processor->registers * processor->vector_bits / 512;
  if (tiling->most_rows * tiling->most_columns + tiling->most_columns + 1 <= vectors) return;
  int columns = tiling->most_rows == 1 ? (vectors - 1) / 2 : vectors >= 16 ? 2 : 1;
  tiling->most_columns = MIN(tiling->most_columns, MAX(columns, 1));
  int rows = (vectors - 1 - tiling->most_columns) / tiling->most_columns;
  tiling->most_rows = MIN(tiling->most_rows, MAX(rows, 1));
}

static void avoid_remainders(Tiling *tiling) {
  Nest *nest = &tiling->nest;
  int64_t rows = tiling->row >= 0 ? nest->trip[tiling->row] : 1, columns = 1;
  if (vector_columns(tiling))
    columns = tiling->vector >= 0 ? nest->trip[tiling->vector] : 1;
  else if (tiling->column >= 0)
    columns = nest->trip[tiling->column];
  if (vector_columns(tiling) && columns > 0) columns = (columns + LANES - 1) / LANES;
  tile_avoid_rest(rows, columns, &tiling->most_rows, &tiling->most_columns);
}

/* ---- where the fold is cut ---- */

/* A loop's most indices in a task; -1: unknown. */
static int64_t most_indices(const Nest *nest, int loop) {
  if (nest->trip[loop] > 0) return nest->trip[loop];
  return loop < nest->work->kernel->ntasks ? nest->work->kernel->tasks[loop].tile : -1;
}

/* Which folded loops stand outside the rows: as few as leave `piece` points inside. False: none. */
static bool cut_fold(Tiling *tiling, int64_t piece) {
  Nest *nest = &tiling->nest;
  int64_t inside = 1;
  for (int loop = nest->stage->nkept; loop < nest->stage->nloops; loop++) {
    if (nest->stage->loops[loop].extent->low < 1) return false; /* nothing would be stored */
  }
  for (int position = nest->count - 1; position >= nest->kept; position--) {
    int loop = nest->order[position];
    int64_t trip = nest->trip[loop], chunk = MAX(piece / inside, 1);
    if (trip > 0 && trip <= chunk) {
      inside *= trip;
      continue;
    }
    bool cut = chunk > 1 || position == nest->count - 1;
    int64_t pieces = (trip + chunk - 1) / chunk;
    for (int64_t more = pieces; trip > 0 && more <= 2 * pieces; more++) {
      chunk = (trip + pieces - 1) / pieces;
      if (trip % more) continue;
      chunk = trip / more;
      break;
    }
    tiling->chunked = cut ? loop : -1;
    tiling->chunk = chunk;
    tiling->outside = position - nest->kept + !cut;
    return true;
  }
  return false;
}

/* Brings the order into that of pieces. Loops that move inside the pieces are those that the operand with lanes does not vary
 * with, from the rows outwards, as long as their accumulators find room. */
static void order_pieces(Tiling *tiling, int64_t piece) {
  enum { ROOM = 32 << 10 };
  Nest *nest = &tiling->nest;
  Work *work = nest->work;
  int outer[MAX_LOOPS], inner[MAX_LOOPS], nouter = 0, ninner = 0;
  int64_t bytes = (int64_t)tiling->most_columns * LANES * 4;
  if (piece <= 0 || tiling->folded || tiling->row < 0 || !cut_fold(tiling, piece)) return;
  for (int position = nest->kept - 1; position >= 0; position--) {
    int loop = nest->order[position];
    int64_t most = most_indices(nest, loop);
    bool columns = loop == tiling->vector || loop == tiling->column;
    bool moves = !columns && !varies(tiling->operand[1], loop) && most > 0 && bytes * most <= ROOM;
    if (loop == tiling->row && !moves) return;
    if (!moves) {
      outer[nouter++] = loop;
      continue;
    }
    bytes *= most;
    tiling->room[loop] = most;
    inner[ninner++] = loop;
  }
  int folded[MAX_LOOPS], count = 0;
  for (int k = 0; k < tiling->outside; k++) folded[k] = nest->order[nest->kept + k];
  while (nouter > 0) nest->order[count++] = outer[--nouter];
  tiling->pieces = count;
  for (int k = 0; k < tiling->outside; k++) nest->order[count++] = folded[k];
  while (ninner > 0) nest->order[count++] = inner[--ninner];
  nest->kept = count;
  tiling->waiting = stack_vectors(work, bytes / (LANES * 4));
  prefetch_pieces(tiling);
}

void emit_contract(Work *work, const Stage *stage) {
  const Tile *tile = &stage->tile;
  Tiling tiling = {.most_rows = MAX(tile->rows, 1), .most_columns = MAX(tile->columns, 1), .rows = 1, .columns = 1};
  Nest *nest = &tiling.nest;
  fit_registers(&tiling, work->emitter->processor);
  nest_begin(nest, work, stage, tile->vector);
  const Scalar *product = &stage->scalars.items[stage->folders.items[0].value];
  bool tiles = nest->vector >= 0 && product->op == OP_mul;
  for (int k = 0; tiles && k < 2; k++) {
    const Reach *reach = tiling.operand[k] = nest->reach[k == 0 ? product->a : product->b];
    tiles = reach && reach->plain;
  }
  if (!tiles) {
    emit_fold(work, stage);
    return;
  }
  uint32_t kept = tile->piece > 0 ? (1u << stage->nkept) - 1 : 0; /* loops that move are loops of the plan */
  nest_collapse(nest, kept | bit(tile->vector) | bit(tile->row) | bit(tile->column));
  tiling.vector = nest->vector;
  tiling.row = many(nest, tile->row);
  tiling.column = many(nest, tile->column);
  tiling.folded = tiling.vector >= stage->nkept;
  avoid_remainders(&tiling);
  skip_begin(&tiling);
  tile_order(&tiling);
  order_pieces(&tiling, tile->piece);
  nest->before = 0;
  nest_start(nest);
  nest->before = stage->after;
  walk(&tiling, 0);
}
