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
typedef struct Item {
  LLVMValueRef index, key;
} Item;

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

/* NaN goes behind all numbers. */
static LLVMValueRef sorts_before(Emitter *emitter, Dtype dtype, LLVMValueRef a, LLVMValueRef b) {
  LLVMBuilderRef builder = emitter->builder;
  if (dtype != F32) return LLVMBuildICmp(builder, dtype == BOOL ? LLVMIntULT : LLVMIntSLT, a, b, "");
  LLVMValueRef a_number = LLVMBuildFCmp(builder, LLVMRealORD, a, a, "");
  LLVMValueRef b_nan = LLVMBuildFCmp(builder, LLVMRealUNO, b, b, "");
  LLVMValueRef less = LLVMBuildFCmp(builder, LLVMRealOLT, a, b, "");
  return LLVMBuildOr(builder, less, LLVMBuildAnd(builder, a_number, b_nan, ""), "");
}

/* As argsort orders: equal keys by their index, so that no two are equal, and any way of sorting is a stable one. */
static LLVMValueRef comes_before(Emitter *emitter, const Sort *sort, const Item *a, const Item *b) {
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef less = sorts_before(emitter, sort->dtype, a->key, b->key);
  LLVMValueRef more = sorts_before(emitter, sort->dtype, b->key, a->key);
  LLVMValueRef earlier = LLVMBuildICmp(builder, LLVMIntSLT, a->index, b->index, "");
  return LLVMBuildOr(builder, less, LLVMBuildAnd(builder, LLVMBuildNot(builder, more, ""), earlier, ""), "");
}

/* What the result holds at this place, and its key, computed anew. */
static Item sort_item(Nest *nest, const Sort *sort, LLVMValueRef place) {
  Emitter *emitter = nest->work->emitter;
  Item item = {.index = LLVMBuildLoad2(emitter->builder, emitter->i32, sort_slot(nest, sort, place), "")};
  item.key = sort_key(nest, sort, LLVMBuildSExt(emitter->builder, item.index, emitter->i64, ""));
  return item;
}

/* The item sinks from `place` in the heap of `count`: larger ones rise, until it is the largest of what is below it. */
static void sort_sink(Nest *nest, const Sort *sort, const Item *item, LLVMValueRef place, LLVMValueRef count) {
  Emitter *emitter = nest->work->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMBasicBlockRef before = LLVMGetInsertBlock(builder), test = new_block(emitter, "sink");
  LLVMBasicBlockRef look = new_block(emitter, "look"), rise = new_block(emitter, "rise"), rest = new_block(emitter, "rest");
  LLVMValueRef one = const_i64(emitter, 1);
  LLVMBuildBr(builder, test);
  LLVMPositionBuilderAtEnd(builder, test);
  LLVMValueRef at = LLVMBuildPhi(builder, emitter->i64, "");
  LLVMValueRef left = LLVMBuildAdd(builder, LLVMBuildShl(builder, at, one, ""), one, "");
  LLVMBuildCondBr(builder, LLVMBuildICmp(builder, LLVMIntSLT, left, count, ""), look, rest);
  LLVMPositionBuilderAtEnd(builder, look);
  LLVMValueRef next = LLVMBuildAdd(builder, left, one, "");
  LLVMValueRef right = LLVMBuildSelect(builder, LLVMBuildICmp(builder, LLVMIntSLT, next, count, ""), next, left, "");
  Item a = sort_item(nest, sort, left), b = sort_item(nest, sort, right), larger;
  LLVMValueRef second = comes_before(emitter, sort, &a, &b);
  larger.index = LLVMBuildSelect(builder, second, b.index, a.index, "");
  larger.key = LLVMBuildSelect(builder, second, b.key, a.key, "");
  LLVMValueRef child = LLVMBuildSelect(builder, second, right, left, "");
  LLVMBuildCondBr(builder, comes_before(emitter, sort, item, &larger), rise, rest);
  LLVMPositionBuilderAtEnd(builder, rise);
  LLVMBuildStore(builder, larger.index, sort_slot(nest, sort, at));
  LLVMBasicBlockRef risen = LLVMGetInsertBlock(builder);
  LLVMBuildBr(builder, test);
  LLVMAddIncoming(at, (LLVMValueRef[]){place, child}, (LLVMBasicBlockRef[]){before, risen}, 2);
  LLVMPositionBuilderAtEnd(builder, rest);
  LLVMBuildStore(builder, item->index, sort_slot(nest, sort, at));
}

/* All indices, in order. */
static void sort_fill(Nest *nest, const Sort *sort) {
  Emitter *emitter = nest->work->emitter;
  Looping looping;
  loop_open(emitter, &looping, nest->start[sort->along], nest->stop[sort->along], 1, nest->trip[sort->along], NULL, 0);
  LLVMValueRef number = LLVMBuildTrunc(emitter->builder, looping.index, emitter->i32, "");
  LLVMBuildStore(emitter->builder, number, sort_slot(nest, sort, looping.index));
  loop_close(emitter, &looping, NULL);
}

/* A heap sort in the result itself, which needs no other memory. `top` falls to 0 while the heap is built; then `end` falls,
 * as the largest item goes behind the heap and the one from there sinks from the top. While the heap is built, the place
 * that an item is taken from is its own: the store before it sinks changes nothing. */
static void sort_point(Nest *nest, void *context) {
  const Sort *sort = context;
  Emitter *emitter = nest->work->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef one = const_i64(emitter, 1), zero = const_i64(emitter, 0), count = nest->stop[sort->along];
  sort_fill(nest, sort);
  LLVMBasicBlockRef before = LLVMGetInsertBlock(builder), test = new_block(emitter, "sort");
  LLVMBasicBlockRef turn = new_block(emitter, "turn"), sorted = new_block(emitter, "sorted");
  LLVMValueRef half = LLVMBuildAShr(builder, count, one, "");
  LLVMBuildBr(builder, test);
  LLVMPositionBuilderAtEnd(builder, test);
  LLVMValueRef top = LLVMBuildPhi(builder, emitter->i64, ""), end = LLVMBuildPhi(builder, emitter->i64, "");
  LLVMBuildCondBr(builder, LLVMBuildICmp(builder, LLVMIntSGT, end, one, ""), turn, sorted);
  LLVMPositionBuilderAtEnd(builder, turn);
  LLVMValueRef building = LLVMBuildICmp(builder, LLVMIntSGT, top, zero, "");
  LLVMValueRef place = LLVMBuildSelect(builder, building, LLVMBuildSub(builder, top, one, ""), zero, "");
  LLVMValueRef left = LLVMBuildSelect(builder, building, end, LLVMBuildSub(builder, end, one, ""), "");
  LLVMValueRef from = LLVMBuildSelect(builder, building, place, left, "");
  Item item = sort_item(nest, sort, from);
  LLVMValueRef first = LLVMBuildLoad2(builder, emitter->i32, sort_slot(nest, sort, place), "");
  LLVMBuildStore(builder, first, sort_slot(nest, sort, from));
  sort_sink(nest, sort, &item, place, left);
  LLVMBasicBlockRef after = LLVMGetInsertBlock(builder);
  LLVMBuildBr(builder, test);
  LLVMAddIncoming(top, (LLVMValueRef[]){half, place}, (LLVMBasicBlockRef[]){before, after}, 2);
  LLVMAddIncoming(end, (LLVMValueRef[]){count, left}, (LLVMBasicBlockRef[]){before, after}, 2);
  LLVMPositionBuilderAtEnd(builder, sorted);
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
