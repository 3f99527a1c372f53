/* Stages whose order of points matters: scatter, argsort, running sums. */
#include "codegen/cpu/nest.h"

/* Takes a loop out of the order and puts it behind all others; false if it has one index only. */
static bool order_last(Nest *nest, int loop) {
  int count = 0;
  for (int k = 0; k < nest->count; k++) {
    if (nest->order[k] != loop) nest->order[count++] = nest->order[k];
  }
  bool found = count < nest->count;
  if (found) nest->order[count] = loop;
  return found;
}

/* ---- scatter ---- */

static void scatter_point(Nest *nest, void *context) {
  (void)context;
  for (int k = 0; k < nest->stage->stores.count; k++) {
    reach_add(nest, nest->store_reach[k], nest->value[nest->stage->stores.items[k].value], nest->kept);
  }
}

/* The folded loops run in order around the vector loop, whose points never meet. */
void emit_scatter(Work *work, const Stage *stage) {
  Nest nest;
  nest_begin(&nest, work, stage, stage->vector < stage->nkept ? stage->vector : -1);
  if (nest.vector >= 0) order_last(&nest, nest.vector);
  nest.kept = nest.count;
  nest_start(&nest);
  nest_kept(&nest, 0, scatter_point, NULL);
}

/* ---- running sums ---- */

static void cumsum_point(Nest *nest, void *context) {
  (void)context;
  const Stage *stage = nest->stage;
  Emitter *emitter = nest->work->emitter;
  int which = stage->stores.items[0].value, loop = nest->order[nest->kept];
  Dtype dtype = stage->scalars.items[which].dtype;
  LLVMValueRef sum = number_value(emitter, dtype, 0);
  if (nest->vector >= 0) sum = splat(emitter, sum);
  Looping looping;
  loop_open(emitter, &looping, nest->start[loop], nest->stop[loop], 1, nest->trip[loop], &sum, 1);
  nest->at[loop] = looping.index;
  nest_enter(nest, nest->kept);
  LLVMValueRef value = nest->vector >= 0 ? widen(emitter, nest->value[which]) : nest->value[which];
  sum = dtype == F32 ? LLVMBuildFAdd(emitter->builder, sum, value, "") : LLVMBuildAdd(emitter->builder, sum, value, "");
  reach_store(nest, nest->store_reach[0], sum, nest->kept + 1);
  loop_close(emitter, &looping, &sum);
}

void emit_cumsum(Work *work, const Stage *stage) {
  Nest nest;
  int along = stage->nkept - 1;
  nest_begin(&nest, work, stage, stage->vector == along ? -1 : stage->vector);
  if (!order_last(&nest, along)) {
    emit_each(work, stage);
    return;
  }
  nest.kept = nest.count - 1;
  nest_start(&nest);
  nest_kept(&nest, 0, cumsum_point, NULL);
}

/* ---- argsort ---- */

typedef struct Sort {
  int key, along;
  Dtype dtype;
} Sort;

static LLVMValueRef sort_key(Nest *nest, const Sort *sort, LLVMValueRef index) {
  nest->at[sort->along] = index;
  nest_enter(nest, nest->kept);
  return nest->value[sort->key];
}

/* Where the result's element `place` lies. */
static LLVMValueRef sort_slot(Nest *nest, const Sort *sort, LLVMValueRef place) {
  nest->at[sort->along] = place;
  reach_enter(nest, nest->store_reach[0], nest->kept);
  return nest->store_reach[0]->partial[nest->kept + 1];
}

/* NaN goes behind all numbers; equal keys stay in order, as the test is strict. */
static LLVMValueRef sorts_before(Emitter *emitter, Dtype dtype, LLVMValueRef a, LLVMValueRef b) {
  LLVMBuilderRef builder = emitter->builder;
  if (dtype != F32) return LLVMBuildICmp(builder, dtype == BOOL ? LLVMIntULT : LLVMIntSLT, a, b, "");
  LLVMValueRef a_number = LLVMBuildFCmp(builder, LLVMRealORD, a, a, "");
  LLVMValueRef b_nan = LLVMBuildFCmp(builder, LLVMRealUNO, b, b, "");
  LLVMValueRef less = LLVMBuildFCmp(builder, LLVMRealOLT, a, b, "");
  return LLVMBuildOr(builder, less, LLVMBuildAnd(builder, a_number, b_nan, ""), "");
}

/* Moves the sorted ones before `place` up by one while they sort behind key; gives the place that is left. */
static LLVMValueRef sort_shift(Nest *nest, const Sort *sort, LLVMValueRef key, LLVMValueRef place) {
  Emitter *emitter = nest->work->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMBasicBlockRef before = LLVMGetInsertBlock(builder), test = new_block(emitter, "test");
  LLVMBasicBlockRef look = new_block(emitter, "look"), move = new_block(emitter, "move"),
                    found = new_block(emitter, "found");
  LLVMBuildBr(builder, test);
  LLVMPositionBuilderAtEnd(builder, test);
  LLVMValueRef at = LLVMBuildPhi(builder, emitter->i64, ""), zero = const_i64(emitter, 0);
  LLVMBuildCondBr(builder, LLVMBuildICmp(builder, LLVMIntSGT, at, zero, ""), look, found);
  LLVMPositionBuilderAtEnd(builder, look);
  LLVMValueRef below = LLVMBuildSub(builder, at, const_i64(emitter, 1), "");
  LLVMValueRef other = LLVMBuildLoad2(builder, emitter->i32, sort_slot(nest, sort, below), "");
  LLVMValueRef other_key = sort_key(nest, sort, LLVMBuildSExt(builder, other, emitter->i64, ""));
  LLVMBuildCondBr(builder, sorts_before(emitter, sort->dtype, key, other_key), move, found);
  LLVMPositionBuilderAtEnd(builder, move);
  LLVMBuildStore(builder, other, sort_slot(nest, sort, at));
  LLVMBuildBr(builder, test);
  LLVMAddIncoming(at, (LLVMValueRef[]){place, below}, (LLVMBasicBlockRef[]){before, move}, 2);
  LLVMPositionBuilderAtEnd(builder, found);
  return at;
}

/* Insertion in the result itself: stable, needs no other memory; the keys are computed anew at every look. */
static void sort_point(Nest *nest, void *context) {
  const Sort *sort = context;
  Emitter *emitter = nest->work->emitter;
  Looping looping;
  loop_open(emitter, &looping, nest->start[sort->along], nest->stop[sort->along], 1, nest->trip[sort->along], NULL, 0);
  LLVMValueRef key = sort_key(nest, sort, looping.index);
  LLVMValueRef place = sort_shift(nest, sort, key, looping.index);
  LLVMValueRef number = LLVMBuildTrunc(emitter->builder, looping.index, emitter->i32, "");
  LLVMBuildStore(emitter->builder, number, sort_slot(nest, sort, place));
  loop_close(emitter, &looping, NULL);
}

void emit_sort(Work *work, const Stage *stage) {
  Nest nest;
  nest_begin(&nest, work, stage, -1);
  Sort sort = {.key = stage->stores.items[0].value, .along = stage->nkept - 1};
  sort.dtype = stage->scalars.items[sort.key].dtype;
  if (!order_last(&nest, sort.along)) nest.order[nest.count++] = sort.along;
  nest.kept = nest.count - 1;
  nest_start(&nest);
  nest_kept(&nest, 0, sort_point, &sort);
}
