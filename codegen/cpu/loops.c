/* Loops, and stages that fold nothing.
 *
 * A loop is entered by its condition and ends by it, so its body is one straight piece; values that change in it are phis.
 * Loops of one turn are no loops, and neighbouring loops that walk through all memory as one loop become one, so that small
 * inner sizes fill vectors. */
#include "codegen/cpu/nest.h"

void loop_open(Emitter *emitter, Looping *loop, LLVMValueRef start, LLVMValueRef stop, int64_t step, int64_t trip,
               LLVMValueRef *values, int nvalues) {
  LLVMBuilderRef builder = emitter->builder;
  CHECK(nvalues <= MAX_CARRIED);
  loop->once = trip > 0 && trip <= step;
  loop->index = start;
  if (loop->once) return;
  loop->before = LLVMGetInsertBlock(builder);
  loop->body = new_block(emitter, "loop");
  loop->after = new_block(emitter, "behind");
  loop->stop = stop;
  loop->step = const_i64(emitter, step);
  loop->guarded = trip < 0;
  loop->ncarried = nvalues;
  if (loop->guarded) {
    LLVMValueRef any = LLVMBuildICmp(builder, LLVMIntSLT, start, stop, "");
    LLVMBuildCondBr(builder, any, loop->body, loop->after);
  } else {
    LLVMBuildBr(builder, loop->body);
  }
  LLVMPositionBuilderAtEnd(builder, loop->body);
  loop->index = LLVMBuildPhi(builder, emitter->i64, "");
  LLVMAddIncoming(loop->index, &start, &loop->before, 1);
  for (int k = 0; k < nvalues; k++) {
    loop->initial[k] = values[k];
    loop->phi[k] = values[k] = LLVMBuildPhi(builder, LLVMTypeOf(values[k]), "");
    LLVMAddIncoming(loop->phi[k], &loop->initial[k], &loop->before, 1);
  }
}

void loop_close(Emitter *emitter, Looping *loop, LLVMValueRef *values) {
  LLVMBuilderRef builder = emitter->builder;
  if (loop->once) return;
  LLVMBasicBlockRef latch = LLVMGetInsertBlock(builder);
  LLVMValueRef next = LLVMBuildNSWAdd(builder, loop->index, loop->step, "");
  LLVMBuildCondBr(builder, LLVMBuildICmp(builder, LLVMIntSLT, next, loop->stop, ""), loop->body, loop->after);
  LLVMAddIncoming(loop->index, &next, &latch, 1);
  for (int k = 0; k < loop->ncarried; k++) LLVMAddIncoming(loop->phi[k], &values[k], &latch, 1);
  LLVMPositionBuilderAtEnd(builder, loop->after);
  for (int k = 0; k < loop->ncarried && loop->guarded; k++) {
    LLVMValueRef last = values[k];
    values[k] = LLVMBuildPhi(builder, LLVMTypeOf(last), "");
    LLVMAddIncoming(values[k], (LLVMValueRef[]){loop->initial[k], last}, (LLVMBasicBlockRef[]){loop->before, latch}, 2);
  }
}

/* ---- a stage's nest ---- */

static void add_order(Nest *nest, int first, int last) {
  for (int turn = 0; turn < 2; turn++) {
    for (int loop = first; loop < last; loop++) {
      if ((loop == nest->vector) != (turn == 1)) continue;
      nest->at[loop] = nest->start[loop];
      if (nest->trip[loop] != 1) nest->order[nest->count++] = loop;
    }
  }
}

static void nest_ranges(Nest *nest) {
  Work *work = nest->work;
  const Stage *stage = nest->stage;
  for (int loop = 0; loop < stage->nloops; loop++) {
    if (loop < work->kernel->ntasks) {
      nest->start[loop] = work->start[loop];
      nest->stop[loop] = work->stop[loop];
      nest->trip[loop] = work->trip[loop];
      continue;
    }
    int64_t extent;
    nest->start[loop] = const_i64(work->emitter, 0);
    nest->stop[loop] = work_dim(work, stage->loops[loop].extent);
    nest->trip[loop] = dim_is_constant(stage->loops[loop].extent, &extent) && extent > 0 ? extent : -1;
  }
}

void nest_begin(Nest *nest, Work *work, const Stage *stage, int vector) {
  *nest = (Nest){.work = work, .stage = stage, .vector = vector};
  int count = stage->scalars.count;
  bool folds = stage->kind == STAGE_FOLD || stage->kind == STAGE_CONTRACT;
  nest->before = folds ? stage->after : count;
  nest_ranges(nest);
  if (vector >= 0 && nest->trip[vector] == 1) nest->vector = -1;
  add_order(nest, 0, stage->nkept);
  nest->kept = nest->count;
  add_order(nest, stage->nkept, stage->nloops);

  nest->reach = NEW_ARRAY(work->arena, Reach *, count + 1);
  nest->level = NEW_ARRAY(work->arena, int, count + 1);
  nest->depends = NEW_ARRAY(work->arena, uint32_t, count + 1);
  nest->value = NEW_ARRAY(work->arena, LLVMValueRef, count + 1);
  nest->folded = NEW_ARRAY(work->arena, LLVMValueRef, stage->folders.count + 1);
  nest->store_reach = NEW_ARRAY(work->arena, Reach *, stage->stores.count + 1);
  for (int k = 0; k < count; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    uint32_t depends = scalar->op == SCALAR_FOLDED ? (1u << stage->nkept) - 1 : 0;
    if (scalar->a >= 0) depends |= nest->depends[scalar->a];
    if (scalar->b >= 0) depends |= nest->depends[scalar->b];
    if (scalar->c >= 0) depends |= nest->depends[scalar->c];
    if (scalar->access) {
      nest->reach[k] = reach_of(nest, scalar->access);
      depends |= nest->reach[k]->depends;
    }
    nest->depends[k] = depends;
  }
  for (int k = 0; k < stage->stores.count; k++) nest->store_reach[k] = reach_of(nest, &stage->stores.items[k].access);
}

/* ---- collapsing ---- */

static bool axis_names(const Axis *axis, int loop) {
  for (int k = 0; k < axis->nterms; k++) {
    if (axis->dim[k] == loop) return true;
  }
  return false;
}

/* Whether one step of `outer` is `size` steps of `inner`, in all that the access says. */
static bool reach_collapses(Module *module, const Reach *reach, int outer, int inner, const Dim *size) {
  for (int k = 0; k < reach->access->map.naxes; k++) {
    const Axis *axis = &reach->access->map.axis[k];
    bool simple = reach->linear[k] && !reach->guarded[k];
    if (!simple && reach->access->index[k] < 0 && (axis_names(axis, outer) || axis_names(axis, inner))) return false;
  }
  return dim_multiply(module, reach->stride[inner], size) == reach->stride[outer];
}

/* argmax and argmin count in the order of the plan's loops, from which a vector loop may have been moved inwards. */
static bool counts_otherwise(const Stage *stage, int outer, int inner) {
  if (inner < stage->nkept || outer + 1 == inner) return false;
  for (int k = 0; k < stage->folders.count; k++) {
    FoldOp op = stage->folders.items[k].op;
    if (op == FOLDER_ARGMAX || op == FOLDER_ARGMIN) return true;
  }
  return false;
}

static bool nest_collapses(const Nest *nest, int outer, int inner) {
  const Stage *stage = nest->stage;
  Module *module = nest->work->module;
  const Dim *size = stage->loops[inner].extent;
  bool whole = inner >= nest->work->kernel->ntasks || dim_is(size, nest->trip[inner]);
  if (!whole || counts_otherwise(stage, outer, inner)) return false;
  for (int k = 0; k < stage->scalars.count; k++) {
    const Reach *reach = nest->reach[k];
    if (!reach) continue;
    bool named = (reach->depends >> outer | reach->depends >> inner) & 1;
    if (named && stage->scalars.items[k].op == SCALAR_INDEX) return false;
    if (!reach_collapses(module, reach, outer, inner, size)) return false;
  }
  for (int k = 0; k < stage->stores.count; k++) {
    if (!reach_collapses(module, nest->store_reach[k], outer, inner, size)) return false;
  }
  return true;
}

/* The outer loop goes, with index 0; the inner one counts through both. */
static void collapse(Nest *nest, int position) {
  Emitter *emitter = nest->work->emitter;
  int outer = nest->order[position], inner = nest->order[position + 1];
  LLVMValueRef size = work_dim(nest->work, nest->stage->loops[inner].extent);
  nest->start[inner] = LLVMBuildMul(emitter->builder, nest->start[outer], size, "");
  nest->stop[inner] = LLVMBuildMul(emitter->builder, nest->stop[outer], size, "");
  bool constant = nest->trip[outer] > 0 && nest->trip[inner] > 0;
  nest->trip[inner] = constant ? nest->trip[outer] * nest->trip[inner] : -1;
  nest->start[outer] = nest->at[outer] = const_i64(emitter, 0);
  nest->trip[outer] = 1;
  nest->count--;
  if (position + 1 < nest->kept) nest->kept--;
  for (int k = position; k < nest->count; k++) nest->order[k] = nest->order[k + 1];
}

/* From the outermost pair inwards: a loop that took its outer one in still counts in units of its own stride. */
void nest_collapse(Nest *nest, uint32_t stay) {
  for (int position = 0; position + 1 < nest->count;) {
    bool border = position + 1 == nest->kept;
    bool joined = !border && !(stay >> nest->order[position] & 1) &&
                  nest_collapses(nest, nest->order[position], nest->order[position + 1]);
    if (joined) collapse(nest, position);
    if (!joined) position++;
  }
}

void nest_start(Nest *nest) {
  for (int k = 0; k < nest->before; k++) {
    nest->level[k] = -1;
    for (int position = 0; position < nest->count; position++) {
      if (nest->depends[k] >> nest->order[position] & 1) nest->level[k] = position;
    }
  }
  nest_enter(nest, -1);
}

/* ---- walking ---- */

void nest_addresses(Nest *nest, int position) {
  for (int k = 0; k < nest->stage->scalars.count; k++) {
    if (nest->reach[k] && nest->stage->scalars.items[k].op == SCALAR_LOAD) reach_enter(nest, nest->reach[k], position);
  }
  for (int k = 0; k < nest->stage->stores.count; k++) reach_enter(nest, nest->store_reach[k], position);
}

void nest_scalars(Nest *nest, int position) {
  for (int k = 0; k < nest->before; k++) {
    if (nest->level[k] == position) nest->value[k] = emit_scalar(nest, k, position + 1);
  }
}

void nest_enter(Nest *nest, int position) {
  nest_addresses(nest, position);
  nest_scalars(nest, position);
}

void nest_after(Nest *nest) {
  for (int k = nest->before; k < nest->stage->scalars.count; k++) nest->value[k] = emit_scalar(nest, k, nest->kept);
}

void nest_stores(Nest *nest) {
  for (int k = 0; k < nest->stage->stores.count; k++) {
    reach_store(nest, nest->store_reach[k], nest->value[nest->stage->stores.items[k].value], nest->kept);
  }
}

static void kept_turn(Nest *nest, int position, NestBody *body, void *context, LLVMValueRef start, LLVMValueRef stop,
                      int64_t step, int64_t trip) {
  Emitter *emitter = nest->work->emitter;
  int loop = nest->order[position];
  Looping looping;
  loop_open(emitter, &looping, start, stop, step, trip, NULL, 0);
  nest->at[loop] = looping.index;
  if (nest->mask) {
    LLVMValueRef left = LLVMBuildSub(emitter->builder, stop, looping.index, "");
    nest->mask = trip > 0 ? constant_mask(emitter, trip) : tail_mask(emitter, left);
  }
  nest_enter(nest, position);
  nest_kept(nest, position + 1, body, context);
  loop_close(emitter, &looping, NULL);
  nest->mask = NULL;
}

/* Full vectors, then one with a mask. Long code is emitted once: all its vectors have masks. */
static void kept_vectors(Nest *nest, int position, NestBody *body, void *context) {
  Emitter *emitter = nest->work->emitter;
  int loop = nest->order[position];
  LLVMValueRef start = nest->start[loop], stop = nest->stop[loop], some = constant_mask(emitter, 0);
  int64_t trip = nest->trip[loop], rest = trip % LANES;
  if (trip < 0 && stage_is_heavy(nest->stage, 0)) {
    nest->mask = some;
    kept_turn(nest, position, body, context, start, stop, LANES, -1);
    return;
  }
  LLVMValueRef whole =
      LLVMBuildAnd(emitter->builder, LLVMBuildSub(emitter->builder, stop, start, ""), const_i64(emitter, -LANES), "");
  if (trip > 0) whole = const_i64(emitter, trip - rest);
  LLVMValueRef middle = LLVMBuildAdd(emitter->builder, start, whole, "");
  if (trip < 0 || trip >= LANES) {
    kept_turn(nest, position, body, context, start, middle, LANES, trip > 0 ? trip - rest : -1);
  }
  if (trip > 0 && rest == 0) return;
  nest->mask = some;
  kept_turn(nest, position, body, context, middle, stop, LANES, trip > 0 ? rest : -1);
}

void nest_kept(Nest *nest, int position, NestBody *body, void *context) {
  if (position == nest->kept) {
    body(nest, context);
    return;
  }
  int loop = nest->order[position];
  if (loop == nest->vector)
    kept_vectors(nest, position, body, context);
  else
    kept_turn(nest, position, body, context, nest->start[loop], nest->stop[loop], 1, nest->trip[loop]);
}

static void each_point(Nest *nest, void *context) {
  (void)context;
  nest_stores(nest);
}

void emit_each(Work *work, const Stage *stage) {
  Nest nest;
  if (emit_transposed(work, stage)) return;
  nest_begin(&nest, work, stage, stage->vector);
  nest_collapse(&nest, 0);
  nest_start(&nest);
  nest_kept(&nest, 0, each_point, NULL);
}
