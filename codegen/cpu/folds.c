/* Stages that fold: at every kept point, accumulators start empty, take in the folded loops, and end in the scalars from
 * `after` on.
 *
 * One accumulator would wait for itself at each step, so the innermost folded loop has up to four chains, and step t goes to
 * chain t mod 4 while four are left, then to chain 0; chains, and then lanes, are folded by a fixed tree. All of it follows
 * from the plan alone, so the bits are the same on every processor and for any number of threads. */
#include "codegen/cpu/nest.h"

#include <math.h>

typedef struct Fold {
  int chains;
  bool folded_vector; /* lanes are partial results of one point, not 16 points */
} Fold;

static bool is_arg(const Folder *folder) { return folder->op == FOLDER_ARGMAX || folder->op == FOLDER_ARGMIN; }
static bool is_min(const Folder *folder) { return folder->op == FOLDER_MIN || folder->op == FOLDER_ARGMIN; }

static int folder_slots(const Stage *stage, int before) {
  int slots = 0;
  for (int f = 0; f < before; f++) slots += is_arg(&stage->folders.items[f]) ? 2 : 1;
  return slots;
}

static LLVMValueRef empty_value(Emitter *emitter, const Folder *folder) {
  if (folder->op == FOLDER_SUM) return number_value(emitter, folder->dtype, 0);
  if (folder->dtype == F32) return const_f32(emitter, is_min(folder) ? INFINITY : -INFINITY);
  if (folder->dtype == BOOL) return LLVMConstInt(emitter->i1, is_min(folder), 0);
  return const_i32(emitter, is_min(folder) ? INT32_MAX : INT32_MIN);
}

/* ---- one step ---- */

/* Whether (value, index) goes before the best so far: it is larger, or the first NaN, or as large and of a lower index. */
static LLVMValueRef goes_before(Emitter *emitter, const Folder *folder, const LLVMValueRef best[2],
                                const LLVMValueRef next[2]) {
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef larger, same, lower = LLVMBuildICmp(builder, LLVMIntSLT, next[1], best[1], "");
  if (folder->dtype == F32) {
    LLVMValueRef best_nan = LLVMBuildFCmp(builder, LLVMRealUNO, best[0], best[0], "");
    LLVMValueRef next_nan = LLVMBuildFCmp(builder, LLVMRealUNO, next[0], next[0], "");
    larger = LLVMBuildFCmp(builder, is_min(folder) ? LLVMRealOLT : LLVMRealOGT, next[0], best[0], "");
    LLVMValueRef first = LLVMBuildAnd(builder, next_nan, LLVMBuildNot(builder, best_nan, ""), "");
    larger = LLVMBuildOr(builder, larger, first, "");
    same = LLVMBuildFCmp(builder, LLVMRealOEQ, next[0], best[0], "");
    same = LLVMBuildOr(builder, same, LLVMBuildAnd(builder, best_nan, next_nan, ""), "");
  } else {
    bool truth = folder->dtype == BOOL;
    LLVMIntPredicate less = truth ? LLVMIntULT : LLVMIntSLT, more = truth ? LLVMIntUGT : LLVMIntSGT;
    larger = LLVMBuildICmp(builder, is_min(folder) ? less : more, next[0], best[0], "");
    same = LLVMBuildICmp(builder, LLVMIntEQ, next[0], best[0], "");
  }
  return LLVMBuildOr(builder, larger, LLVMBuildAnd(builder, same, lower, ""), "");
}

static void merge(Emitter *emitter, const Folder *folder, LLVMValueRef *best, const LLVMValueRef *next, LLVMValueRef when) {
  LLVMBuilderRef builder = emitter->builder;
  if (is_arg(folder)) {
    LLVMValueRef better = goes_before(emitter, folder, best, next);
    if (when) better = LLVMBuildAnd(builder, better, when, "");
    for (int k = 0; k < 2; k++) best[k] = LLVMBuildSelect(builder, better, next[k], best[k], "");
    return;
  }
  LLVMValueRef value = next[0];
  if (when) {
    LLVMValueRef empty = empty_value(emitter, folder);
    if (folder->op == FOLDER_SUM && folder->dtype == F32) empty = const_f32(emitter, -0.0); /* x + -0 is x for every x */
    value = LLVMBuildSelect(builder, when, value, const_like(value, empty), "");
  }
  if (folder->op != FOLDER_SUM)
    best[0] = select_max(emitter, best[0], value, folder->dtype, is_min(folder));
  else if (folder->dtype == F32)
    best[0] = LLVMBuildFAdd(builder, best[0], value, "");
  else
    best[0] = LLVMBuildAdd(builder, best[0], value, "");
}

/* The row-major index over the folded loops, as i32. */
static LLVMValueRef fold_index(Nest *nest, bool lanes) {
  Work *work = nest->work;
  Emitter *emitter = work->emitter;
  LLVMBuilderRef builder = emitter->builder;
  const Dim *step = dim_constant(work->module, 1), *vector_step = NULL;
  LLVMValueRef sum = const_i64(emitter, 0);
  for (int loop = nest->stage->nloops - 1; loop >= nest->stage->nkept; loop--) {
    sum = LLVMBuildAdd(builder, sum, work_dim_times(work, step, nest_at(nest, loop)), "");
    if (loop == nest->vector) vector_step = step;
    step = dim_multiply(work->module, step, nest->stage->loops[loop].extent);
    if (!step) bug("an index over folded loops leaves 64 bits");
  }
  LLVMValueRef index = LLVMBuildTrunc(builder, sum, emitter->i32, "");
  if (!lanes) return index;
  LLVMValueRef by =
      vector_step ? LLVMBuildTrunc(builder, work_dim(work, vector_step), emitter->i32, "") : const_i32(emitter, 0);
  LLVMValueRef offsets = LLVMBuildMul(builder, lane_numbers(emitter, emitter->i32, 1), splat(emitter, by), "");
  return LLVMBuildAdd(builder, splat(emitter, index), offsets, "");
}

/* A tail of a folded vector loop takes in its existing lanes alone; in a kept one the other lanes are never stored. */
static LLVMValueRef fold_condition(Nest *nest, const Fold *fold, const Folder *folder, bool lanes) {
  bool asked = folder->when >= 0 && nest->stage->kind != STAGE_CONTRACT; /* there what is outside adds 0 */
  LLVMValueRef when = asked ? nest->value[folder->when] : NULL;
  if (fold->folded_vector) when = both_masks(nest->work->emitter, when, nest->mask);
  return when && lanes ? widen(nest->work->emitter, when) : when;
}

static void fold_step(Nest *nest, const Fold *fold, int chain) {
  const Stage *stage = nest->stage;
  Emitter *emitter = nest->work->emitter;
  bool lanes = nest->vector >= 0;
  LLVMValueRef *slot = nest->carried + chain * folder_slots(stage, stage->folders.count);
  for (int f = 0; f < stage->folders.count; f++) {
    const Folder *folder = &stage->folders.items[f];
    const Scalar *scalar = &stage->scalars.items[folder->value];
    LLVMValueRef when = fold_condition(nest, fold, folder, lanes), next[2] = {nest->value[folder->value], NULL};
    if (stage->kind == STAGE_CONTRACT && scalar->op == OP_mul && !when) {
      LLVMValueRef a = nest->value[scalar->a], b = nest->value[scalar->b];
      if (lanes) a = widen(emitter, a), b = widen(emitter, b);
      slot[0] = emit_fma(emitter, a, b, slot[0]);
    } else {
      if (lanes) next[0] = widen(emitter, next[0]);
      if (is_arg(folder)) next[1] = fold_index(nest, lanes);
      merge(emitter, folder, slot, next, when);
    }
    slot += is_arg(folder) ? 2 : 1;
  }
}

/* ---- the folded loops ---- */

/* `count` steps of `width` indices from `start`, each to the chain of its number. */
static void fold_turn(Nest *nest, const Fold *fold, int position, LLVMValueRef start, LLVMValueRef stop, int64_t width,
                      int64_t trip, int count) {
  Emitter *emitter = nest->work->emitter;
  int loop = nest->order[position];
  Looping looping;
  loop_open(emitter, &looping, start, stop, width * count, trip, nest->carried, nest->ncarried);
  nest->at[loop] = looping.index;
  if (fold->folded_vector && nest->mask) {
    LLVMValueRef left = LLVMBuildSub(emitter->builder, stop, looping.index, "");
    nest->mask = trip > 0 ? constant_mask(emitter, trip) : tail_mask(emitter, left);
  }
  nest_addresses(nest, position);
  for (int step = 0; step < count; step++) {
    nest->shift[loop] = step * width;
    nest_scalars(nest, position);
    fold_step(nest, fold, step % fold->chains);
  }
  nest->shift[loop] = 0;
  loop_close(emitter, &looping, nest->carried);
}

static void fold_innermost(Nest *nest, const Fold *fold, int position) {
  Emitter *emitter = nest->work->emitter;
  LLVMBuilderRef builder = emitter->builder;
  int loop = nest->order[position];
  int64_t width = loop == nest->vector ? LANES : 1, trip = nest->trip[loop], block = width * fold->chains;
  LLVMValueRef from = nest->start[loop], stop = nest->stop[loop];
  int64_t limit = stage_is_heavy(nest->stage, 0) ? 2 : 8, done = 0;
  if (trip > 0 && trip % width == 0 && trip / width <= limit) {
    fold_turn(nest, fold, position, from, stop, width, trip, (int)(trip / width));
    return;
  }
  /* blocks of all chains, then single steps, then a vector with a mask; each part starts where the last one ended */
  for (int64_t step = block; step >= width; step = step > width ? width : 0) {
    int64_t part = trip > 0 ? (trip - done) / step * step : -1;
    LLVMValueRef left = LLVMBuildSub(builder, stop, from, "");
    LLVMValueRef whole = LLVMBuildSub(builder, left, LLVMBuildSRem(builder, left, const_i64(emitter, step), ""), "");
    LLVMValueRef to = LLVMBuildAdd(builder, from, part >= 0 ? const_i64(emitter, part) : whole, "");
    if (part) fold_turn(nest, fold, position, from, to, width, part, (int)(step / width));
    if (part > 0) done += part;
    from = to;
  }
  if (width == 1 || (trip > 0 && trip == done)) return;
  nest->mask = constant_mask(emitter, 0);
  fold_turn(nest, fold, position, from, stop, width, trip > 0 ? trip - done : -1, 1);
  nest->mask = NULL;
}

static void fold_loops(Nest *nest, const Fold *fold, int position) {
  if (position == nest->count) {
    fold_step(nest, fold, 0);
  } else if (position == nest->count - 1) {
    fold_innermost(nest, fold, position);
  } else {
    Emitter *emitter = nest->work->emitter;
    int loop = nest->order[position];
    Looping looping;
    loop_open(emitter, &looping, nest->start[loop], nest->stop[loop], 1, nest->trip[loop], nest->carried, nest->ncarried);
    nest->at[loop] = looping.index;
    nest_enter(nest, position);
    fold_loops(nest, fold, position + 1);
    loop_close(emitter, &looping, nest->carried);
  }
}

/* ---- a kept point ---- */

static void fold_begin(Nest *nest, const Fold *fold) {
  const Stage *stage = nest->stage;
  Emitter *emitter = nest->work->emitter;
  nest->ncarried = 0;
  for (int chain = 0; chain < fold->chains; chain++) {
    for (int f = 0; f < stage->folders.count; f++) {
      const Folder *folder = &stage->folders.items[f];
      LLVMValueRef empty = empty_value(emitter, folder), none = const_i32(emitter, INT32_MAX);
      nest->carried[nest->ncarried++] = nest->vector >= 0 ? splat(emitter, empty) : empty;
      if (is_arg(folder)) nest->carried[nest->ncarried++] = nest->vector >= 0 ? splat(emitter, none) : none;
    }
  }
}

static void merge_lanes(Emitter *emitter, const Folder *folder, LLVMValueRef *slot) {
  for (int half = LANES / 2; half >= 1; half /= 2) {
    LLVMValueRef low[2], high[2];
    for (int k = 0; k < (is_arg(folder) ? 2 : 1); k++) split_lanes(emitter, slot[k], half, &low[k], &high[k]);
    merge(emitter, folder, low, high, NULL);
    slot[0] = low[0];
    if (is_arg(folder)) slot[1] = low[1];
  }
  for (int k = 0; k < (is_arg(folder) ? 2 : 1); k++) {
    slot[k] = LLVMBuildExtractElement(emitter->builder, slot[k], const_i32(emitter, 0), "");
  }
}

static void fold_end(Nest *nest, const Fold *fold) {
  const Stage *stage = nest->stage;
  Emitter *emitter = nest->work->emitter;
  int slots = folder_slots(stage, stage->folders.count);
  for (int f = 0; f < stage->folders.count; f++) {
    const Folder *folder = &stage->folders.items[f];
    LLVMValueRef *slot = nest->carried + folder_slots(stage, f);
    for (int distance = 1; distance < fold->chains; distance *= 2) {
      for (int chain = 0; chain + distance < fold->chains; chain += 2 * distance) {
        merge(emitter, folder, slot + chain * slots, slot + (chain + distance) * slots, NULL);
      }
    }
    if (fold->folded_vector) merge_lanes(emitter, folder, slot);
    if (is_arg(folder)) {
      LLVMValueRef none =
          LLVMBuildICmp(emitter->builder, LLVMIntEQ, slot[1], const_like(slot[1], const_i32(emitter, INT32_MAX)), "");
      nest->folded[f] = LLVMBuildSelect(emitter->builder, none, LLVMConstNull(LLVMTypeOf(slot[1])), slot[1], "");
    } else {
      nest->folded[f] = slot[0];
    }
  }
}

static void fold_point(Nest *nest, void *context) {
  const Fold *fold = context;
  int vector = nest->vector;
  fold_begin(nest, fold);
  fold_loops(nest, fold, nest->kept);
  fold_end(nest, fold);
  if (fold->folded_vector) nest->vector = -1;
  nest_after(nest);
  nest_stores(nest);
  nest->vector = vector;
}

/* How many chains pay: as many as the innermost loop has steps for, fewer where folders need the registers. */
static int fold_chains(const Nest *nest) {
  const Stage *stage = nest->stage;
  if (nest->count == nest->kept || stage_is_heavy(stage, 0) || stage->folders.count > 4) return 1;
  int loop = nest->order[nest->count - 1], most = stage->folders.count > 2 ? 2 : MAX_CHAINS;
  int64_t width = loop == nest->vector ? LANES : 1, steps = nest->trip[loop] / width;
  if (nest->trip[loop] < 0 || steps >= most) return most;
  return steps >= 2 ? 2 : 1;
}

void emit_fold(Work *work, const Stage *stage) {
  Nest nest;
  nest_begin(&nest, work, stage, stage->kind == STAGE_FOLD ? stage->vector : -1);
  nest_collapse(&nest, 0);
  Fold fold = {.chains = fold_chains(&nest), .folded_vector = nest.vector >= stage->nkept};
  nest_start(&nest);
  nest_kept(&nest, 0, fold_point, &fold);
}
