/* One function that runs a task of any kernel, by the numbers that kernels.c writes. A few dozen instructions for a task are
 * nothing beside the task, and a function for each kernel would take as long to make as what it calls.
 *
 *   void run(const frame *, functions, numbers, int64_t kernel, int64_t task, int64_t worker) */
#include "codegen/cpu/nest.h"

typedef struct Running {
  Emitter *emitter;
  LLVMValueRef frame, functions, task, worker;
  LLVMValueRef starts, locals, buffers; /* on the stack */
  LLVMValueRef cuts;                    /* how many */
} Running;

static LLVMValueRef element(Emitter *emitter, LLVMTypeRef type, LLVMValueRef pointer, LLVMValueRef index) {
  return LLVMBuildGEP2(emitter->builder, type, pointer, &index, 1, "");
}

static LLVMValueRef skip(Emitter *emitter, LLVMValueRef cursor, int64_t numbers) {
  return element(emitter, emitter->i32, cursor, const_i64(emitter, numbers));
}

/* The number at the cursor, which goes on. */
static LLVMValueRef take(Emitter *emitter, LLVMValueRef *cursor) {
  LLVMValueRef number = LLVMBuildLoad2(emitter->builder, emitter->i32, *cursor, "");
  *cursor = skip(emitter, *cursor, 1);
  return LLVMBuildSExt(emitter->builder, number, emitter->i64, "");
}

static LLVMValueRef is_negative(Emitter *emitter, LLVMValueRef number) {
  return LLVMBuildICmp(emitter->builder, LLVMIntSLT, number, const_i64(emitter, 0), "");
}

/* A number, or the frame's field that it stands for. */
static LLVMValueRef take_measure(Running *running, LLVMValueRef *cursor) {
  Emitter *emitter = running->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef number = take(emitter, cursor), open = is_negative(emitter, number);
  LLVMValueRef field = LLVMBuildSelect(builder, open, LLVMBuildNot(builder, number, ""), const_i64(emitter, 0), "");
  LLVMValueRef held = LLVMBuildLoad2(builder, emitter->i64, element(emitter, emitter->i64, running->frame, field), "");
  return LLVMBuildSelect(builder, open, held, number, "");
}

static void find_starts(Running *running, LLVMValueRef *cursor) {
  Emitter *emitter = running->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef carried[] = {*cursor, running->task}, zero = const_i64(emitter, 0);
  Looping loop;
  loop_open(emitter, &loop, zero, running->cuts, 1, -1, carried, 2);
  LLVMValueRef tile = take(emitter, &carried[0]), tiles = take_measure(running, &carried[0]);
  LLVMValueRef index = LLVMBuildURem(builder, carried[1], tiles, "");
  carried[1] = LLVMBuildUDiv(builder, carried[1], tiles, "");
  LLVMBuildStore(builder, LLVMBuildMul(builder, index, tile, ""),
                 element(emitter, emitter->i64, running->starts, loop.index));
  loop_close(emitter, &loop, carried);
  *cursor = carried[0];
}

/* Each local's element 0 of the whole, of which the worker's memory holds only the task's tile. */
static void find_locals(Running *running, LLVMValueRef *cursor) {
  Emitter *emitter = running->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef fields = element(emitter, emitter->i64, running->frame, take(emitter, cursor));
  LLVMValueRef memory = LLVMBuildLoad2(builder, emitter->pointer, fields, "");
  LLVMValueRef each =
      LLVMBuildLoad2(builder, emitter->i64, element(emitter, emitter->i64, fields, const_i64(emitter, 1)), "");
  memory = element(emitter, emitter->i8, memory, LLVMBuildMul(builder, running->worker, each, ""));
  LLVMValueRef zero = const_i64(emitter, 0), count = take(emitter, cursor), outer[] = {*cursor};
  Looping loop, cuts;
  loop_open(emitter, &loop, zero, count, 1, -1, outer, 1);
  LLVMValueRef place = take(emitter, &outer[0]);
  LLVMValueRef carried[] = {outer[0], element(emitter, emitter->i8, memory, place)};
  loop_open(emitter, &cuts, zero, running->cuts, 1, -1, carried, 2);
  LLVMValueRef stride = take_measure(running, &carried[0]);
  LLVMValueRef start =
      LLVMBuildLoad2(builder, emitter->i64, element(emitter, emitter->i64, running->starts, cuts.index), "");
  LLVMValueRef back = LLVMBuildNeg(builder, LLVMBuildMul(builder, start, stride, ""), "");
  carried[1] = element(emitter, emitter->i8, carried[1], back);
  loop_close(emitter, &cuts, carried);
  outer[0] = carried[0];
  LLVMBuildStore(builder, carried[1], element(emitter, emitter->pointer, running->locals, loop.index));
  loop_close(emitter, &loop, outer);
  *cursor = outer[0];
}

static void find_buffers(Running *running, LLVMValueRef *cursor) {
  Emitter *emitter = running->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef count = take(emitter, cursor), carried[] = {*cursor};
  Looping loop;
  loop_open(emitter, &loop, const_i64(emitter, 0), count, 1, -1, carried, 1);
  LLVMValueRef number = take(emitter, &carried[0]), local = is_negative(emitter, number);
  LLVMValueRef table = LLVMBuildSelect(builder, local, running->locals, running->frame, "");
  LLVMValueRef index = LLVMBuildSelect(builder, local, LLVMBuildNot(builder, number, ""), number, "");
  LLVMValueRef from = element(emitter, emitter->pointer, table, index);
  LLVMValueRef pointer = LLVMBuildLoad2(builder, emitter->pointer, from, "");
  LLVMBuildStore(builder, pointer, element(emitter, emitter->pointer, running->buffers, loop.index));
  loop_close(emitter, &loop, carried);
  *cursor = carried[0];
}

static LLVMValueRef is_wanted(Running *running, LLVMValueRef field) {
  Emitter *emitter = running->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef always = is_negative(emitter, field);
  LLVMValueRef index = LLVMBuildSelect(builder, always, const_i64(emitter, 0), field, "");
  LLVMValueRef from = element(emitter, emitter->i64, running->frame, index);
  LLVMValueRef there = LLVMBuildLoad2(builder, emitter->i64, from, "");
  there = LLVMBuildICmp(builder, LLVMIntNE, there, const_i64(emitter, 0), "");
  return LLVMBuildOr(builder, always, there, "");
}

static void call_stages(Running *running, LLVMValueRef cursor, LLVMValueRef first) {
  Emitter *emitter = running->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef count = take(emitter, &cursor), carried[] = {cursor};
  LLVMBasicBlockRef join;
  Looping loop;
  loop_open(emitter, &loop, const_i64(emitter, 0), count, 1, -1, carried, 1);
  LLVMValueRef wanted = is_wanted(running, take(emitter, &carried[0]));
  find_buffers(running, &carried[0]);
  begin_if(emitter, wanted, &join);
  LLVMValueRef from = element(emitter, emitter->pointer, running->functions, LLVMBuildAdd(builder, first, loop.index, ""));
  LLVMValueRef function = LLVMBuildLoad2(builder, emitter->pointer, from, "");
  LLVMValueRef arguments[] = {running->frame, running->starts, running->buffers};
  LLVMBuildCall2(builder, stage_type(emitter), function, arguments, 3, "");
  end_if(emitter, join);
  loop_close(emitter, &loop, carried);
}

static LLVMValueRef stack_array(Emitter *emitter, LLVMTypeRef type, int count) {
  return LLVMBuildAlloca(emitter->builder, LLVMArrayType2(type, (uint64_t)MAX(count, 1)), "");
}

void emit_runner(Emitter *emitter, LLVMValueRef function, int most_buffers, int most_locals) {
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef arguments[6];
  LLVMGetParams(function, arguments);
  emitter->function = function;
  LLVMPositionBuilderAtEnd(builder, new_block(emitter, "entry"));
  Running running = {.emitter = emitter, .frame = arguments[0], .functions = arguments[1]};
  running.task = arguments[4];
  running.worker = arguments[5];
  running.starts = stack_array(emitter, emitter->i64, MAX_LOOPS);
  running.locals = stack_array(emitter, emitter->pointer, most_locals);
  running.buffers = stack_array(emitter, emitter->pointer, most_buffers);
  LLVMValueRef cursor = element(emitter, emitter->i32, arguments[2], arguments[3]);
  cursor = element(emitter, emitter->i32, arguments[2], take(emitter, &cursor));
  LLVMValueRef first = take(emitter, &cursor);
  running.cuts = take(emitter, &cursor);
  find_starts(&running, &cursor);
  find_locals(&running, &cursor);
  call_stages(&running, cursor, first);
  LLVMBuildRetVoid(builder);
}
