/* The executor: one small function for all entries of an object, driven by a table of launches.
 *
 *   void execute(run, frame, functions, numbers, launches, nlaunches, counts, extents [, lives])
 *
 * launches  records of 8 i32: kind, first, count, turn, reverse, match, ordinal, 0; match is a loop's end, an end's loop;
 *           turn is the field of the frame that counts
 * functions, numbers: what the runner (runner.c) reads; counts: how many tasks each kernel has
 * extents   by launch: LOOP: how often it runs; KERNELS: how long it takes, in flops of a contraction
 *
 * lives     with AddressSanitizer: the function that is called before and after each launch (sanitize.c)
 *
 * Tasks of all kernels of a launch are numbered through; `task` finds the kernel of a number. A launch of one task, or one
 * that takes less time than it takes to wake another thread, stays on the caller's. */
#include "codegen/cpu/glue.h"
#include "runtime/nn.h"

enum { RECORD = 32, SHARED_FROM = 1 << 18 };
enum { AT_KIND = 0, AT_FIRST = 4, AT_COUNT = 8, AT_TURN = 12, AT_REVERSE = 16, AT_MATCH = 20, AT_ORDINAL = 24 };
enum {
  WORK_FRAME = 0,
  WORK_FUNCTIONS = 8,
  WORK_NUMBERS = 16,
  WORK_FIRST = 24,
  WORK_COUNTS = 32,
  WORK_BYTES = 40
}; /* what a task is handed */

typedef struct Executing {
  Object *object;
  Emitter *emitter;
  LLVMBuilderRef builder;
  LLVMValueRef task; /* the function */
  LLVMValueRef run, frame, functions, numbers, launches, nlaunches, counts, extents, lives;
  LLVMValueRef at, work;               /* the launch's number, in memory; what its tasks are handed */
  LLVMValueRef launch, number, extent; /* this launch: its record, its number, its extent */
} Executing;

static LLVMTypeRef void_of(const Emitter *emitter) { return LLVMVoidTypeInContext(emitter->context); }

static LLVMValueRef emit_run(Object *object) {
  Emitter *emitter = &object->emitter;
  LLVMTypeRef types[] = {emitter->pointer, emitter->pointer, emitter->pointer, emitter->i64, emitter->i64, emitter->i64};
  LLVMValueRef function = glue_declare(object, glue_name(object, "run"), void_of(emitter), types, COUNT_OF(types), false);
  int most_buffers = 0, most_locals = 0;
  for (int k = 0; k < object->count; k++) {
    most_buffers = MAX(most_buffers, object->entries[k].program.most_buffers);
    most_locals = MAX(most_locals, object->entries[k].program.most_locals);
  }
  emit_runner(emitter, function, most_buffers, most_locals);
  return function;
}

/* void task(work, index, worker): the kernel whose range of numbers holds index. */
static LLVMValueRef emit_task(Object *object, LLVMValueRef run) {
  Emitter *emitter = &object->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMTypeRef types[] = {emitter->pointer, emitter->i64, emitter->i32};
  LLVMValueRef function = glue_declare(object, glue_name(object, "task"), void_of(emitter), types, 3, false);
  glue_begin(object, function);
  LLVMValueRef work = LLVMGetParam(function, 0), index = LLVMGetParam(function, 1), zero = glue_long(object, 0);
  LLVMValueRef frame = glue_load(object, emitter->pointer, work, WORK_FRAME);
  LLVMValueRef first = glue_load(object, emitter->i64, work, WORK_FIRST);
  LLVMValueRef counts = glue_load(object, emitter->pointer, work, WORK_COUNTS);
  LLVMBasicBlockRef before = LLVMGetInsertBlock(builder), search = glue_block(object), next = glue_block(object);
  LLVMBasicBlockRef found = glue_block(object);
  LLVMBuildBr(builder, search);
  LLVMPositionBuilderAtEnd(builder, search);
  LLVMValueRef kernel = LLVMBuildPhi(builder, emitter->i64, ""), left = LLVMBuildPhi(builder, emitter->i64, "");
  LLVMValueRef count = glue_load(object, emitter->i64, glue_element(object, emitter->i64, counts, kernel), 0);
  LLVMBuildCondBr(builder, glue_compare(object, LLVMIntSLT, left, count), found, next);
  LLVMPositionBuilderAtEnd(builder, next);
  LLVMValueRef kernel_after = LLVMBuildAdd(builder, kernel, glue_long(object, 1), "");
  LLVMValueRef left_after = LLVMBuildSub(builder, left, count, "");
  LLVMBuildBr(builder, search);
  LLVMAddIncoming(kernel, (LLVMValueRef[]){zero, kernel_after}, (LLVMBasicBlockRef[]){before, next}, 2);
  LLVMAddIncoming(left, (LLVMValueRef[]){index, left_after}, (LLVMBasicBlockRef[]){before, next}, 2);
  LLVMPositionBuilderAtEnd(builder, found);
  LLVMValueRef arguments[] = {frame,
                              glue_load(object, emitter->pointer, work, WORK_FUNCTIONS),
                              glue_load(object, emitter->pointer, work, WORK_NUMBERS),
                              LLVMBuildAdd(builder, first, kernel, ""),
                              left,
                              LLVMBuildSExt(builder, LLVMGetParam(function, 2), emitter->i64, "")};
  glue_call(object, run, arguments, COUNT_OF(arguments));
  LLVMBuildRetVoid(builder);
  return function;
}

static LLVMValueRef record_field(Executing *e, int64_t bytes) {
  return glue_load(e->object, e->emitter->i32, e->launch, bytes);
}

static LLVMValueRef wide(Executing *e, LLVMValueRef value) { return LLVMBuildSExt(e->builder, value, e->emitter->i64, ""); }

static void go_to(Executing *e, LLVMValueRef launch, LLVMBasicBlockRef head) {
  glue_store(e->object, launch, e->at, 0);
  LLVMBuildBr(e->builder, head);
}

static LLVMValueRef following(Executing *e, LLVMValueRef launch) {
  return LLVMBuildAdd(e->builder, launch, glue_long(e->object, 1), "");
}

static LLVMValueRef is_set(Executing *e, LLVMValueRef pointer) {
  return glue_compare(e->object, LLVMIntNE, pointer, glue_null(e->object));
}

/* if (run && run->trace) run->trace(run->trace_user, ordinal, done) */
static void emit_trace(Executing *e, int done) {
  Emitter *emitter = e->emitter;
  LLVMBasicBlockRef no_run = glue_if(e->object, is_set(e, e->run));
  LLVMValueRef hook = glue_load(e->object, emitter->pointer, e->run, offsetof(nn_run, trace));
  LLVMBasicBlockRef no_hook = glue_if(e->object, is_set(e, hook));
  LLVMTypeRef types[] = {emitter->pointer, emitter->i32, emitter->i32};
  LLVMTypeRef type = LLVMFunctionType(void_of(emitter), types, 3, 0);
  LLVMValueRef arguments[] = {glue_load(e->object, emitter->pointer, e->run, offsetof(nn_run, trace_user)),
                              record_field(e, AT_ORDINAL), glue_int(e->object, done)};
  LLVMBuildCall2(e->builder, type, hook, arguments, 3, "");
  glue_end_if(e->object, no_hook);
  glue_end_if(e->object, no_run);
}

/* Before (0) or after (1) this launch, or loop of launches. */
static void emit_lives(Executing *e, int done) {
  Emitter *emitter = e->emitter;
  if (!e->lives) return;
  LLVMTypeRef types[] = {emitter->pointer, emitter->i64, emitter->i64};
  LLVMTypeRef type = LLVMFunctionType(void_of(emitter), types, 3, 0);
  LLVMValueRef arguments[] = {e->frame, e->number, glue_long(e->object, done)};
  LLVMBuildCall2(e->builder, type, e->lives, arguments, 3, "");
}

static LLVMValueRef count_tasks(Executing *e, LLVMValueRef counts) {
  Turns turns;
  turns_open(e->object, &turns, wide(e, record_field(e, AT_COUNT)), glue_long(e->object, 0));
  LLVMValueRef count = glue_element(e->object, e->emitter->i64, counts, turns.index);
  turns_close(e->object, &turns,
              LLVMBuildAdd(e->builder, turns.carried, glue_load(e->object, e->emitter->i64, count, 0), ""));
  return turns.carried;
}

/* Goes to `serial` unless the launch is worth sharing and the run can share; stays where it can. */
static void unless_shared(Executing *e, LLVMValueRef total, LLVMBasicBlockRef serial) {
  Object *object = e->object;
  LLVMValueRef several = glue_compare(object, LLVMIntSGT, total, glue_long(object, 1));
  bool always = object->options->sanitize == SANITIZE_THREAD; /* races are what is looked for */
  LLVMValueRef enough = glue_compare(object, LLVMIntSGE, e->extent, glue_long(object, always ? 0 : SHARED_FROM));
  LLVMValueRef worth = LLVMBuildAnd(e->builder, LLVMBuildAnd(e->builder, several, enough, ""), is_set(e, e->run), "");
  LLVMBasicBlockRef ask = glue_block(object), share = glue_block(object);
  LLVMBuildCondBr(e->builder, worth, ask, serial);
  LLVMPositionBuilderAtEnd(e->builder, ask);
  LLVMValueRef function = glue_load(object, e->emitter->pointer, e->run, offsetof(nn_run, parallel_for));
  LLVMValueRef workers = glue_load(object, e->emitter->i32, e->run, offsetof(nn_run, workers));
  LLVMValueRef many = glue_compare(object, LLVMIntSGT, workers, glue_int(object, 1));
  LLVMBuildCondBr(e->builder, LLVMBuildAnd(e->builder, many, is_set(e, function), ""), share, serial);
  LLVMPositionBuilderAtEnd(e->builder, share);
}

static void emit_kernels_launch(Executing *e, LLVMBasicBlockRef head) {
  Object *object = e->object;
  Emitter *emitter = e->emitter;
  LLVMValueRef first = wide(e, record_field(e, AT_FIRST));
  LLVMValueRef counts = glue_element(object, emitter->i64, e->counts, first);
  emit_lives(e, 0);
  emit_trace(e, 0);
  glue_store(object, first, e->work, WORK_FIRST);
  glue_store(object, counts, e->work, WORK_COUNTS);
  LLVMValueRef total = count_tasks(e, counts);
  LLVMBasicBlockRef serial = glue_block(object), done = glue_block(object);
  unless_shared(e, total, serial);
  LLVMTypeRef types[] = {emitter->pointer, emitter->i64, emitter->pointer, emitter->pointer};
  LLVMTypeRef type = LLVMFunctionType(void_of(emitter), types, 4, 0);
  LLVMValueRef user = glue_load(object, emitter->pointer, e->run, offsetof(nn_run, user));
  LLVMValueRef parallel_for = glue_load(object, emitter->pointer, e->run, offsetof(nn_run, parallel_for));
  LLVMBuildCall2(e->builder, type, parallel_for, (LLVMValueRef[]){user, total, e->task, e->work}, 4, "");
  LLVMBuildBr(e->builder, done);
  LLVMPositionBuilderAtEnd(e->builder, serial);
  Turns turns;
  turns_open(object, &turns, total, NULL);
  glue_call(object, e->task, (LLVMValueRef[]){e->work, turns.index, glue_int(object, 0)}, 3);
  turns_close(object, &turns, NULL);
  glue_end_if(object, done);
  emit_trace(e, 1);
  emit_lives(e, 1);
  go_to(e, following(e, e->number), head);
}

static LLVMValueRef turn_field(Executing *e) {
  return glue_element(e->object, e->emitter->i64, e->frame, wide(e, record_field(e, AT_TURN)));
}

static LLVMValueRef is_reverse(Executing *e) {
  return glue_compare(e->object, LLVMIntNE, record_field(e, AT_REVERSE), glue_int(e->object, 0));
}

/* Sets the turn's first value; a loop of no turns is left at once. */
static void emit_loop(Executing *e, LLVMBasicBlockRef head) {
  Object *object = e->object;
  emit_lives(e, 0);
  LLVMValueRef zero = glue_long(object, 0), last = LLVMBuildSub(e->builder, e->extent, glue_long(object, 1), "");
  glue_store(object, LLVMBuildSelect(e->builder, is_reverse(e), last, zero, ""), turn_field(e), 0);
  LLVMValueRef end = wide(e, record_field(e, AT_MATCH)), any = glue_compare(object, LLVMIntSGT, e->extent, zero);
  go_to(e, following(e, LLVMBuildSelect(e->builder, any, e->number, end, "")), head);
}

static void emit_end(Executing *e, LLVMBasicBlockRef head) {
  Object *object = e->object;
  LLVMValueRef field = turn_field(e), loop = wide(e, record_field(e, AT_MATCH));
  LLVMValueRef trips = glue_load(object, e->emitter->i64, glue_element(object, e->emitter->i64, e->extents, loop), 0);
  LLVMValueRef step = LLVMBuildSelect(e->builder, is_reverse(e), glue_long(object, -1), glue_long(object, 1), "");
  LLVMValueRef turn = LLVMBuildAdd(e->builder, glue_load(object, e->emitter->i64, field, 0), step, "");
  glue_store(object, turn, field, 0);
  LLVMValueRef more = glue_compare(object, LLVMIntULT, turn, trips); /* -1 is beyond all trips */
  LLVMBasicBlockRef leaving = e->lives ? glue_if(object, LLVMBuildNot(e->builder, more, "")) : NULL;
  emit_lives(e, 1);
  if (leaving) glue_end_if(object, leaving);
  go_to(e, following(e, LLVMBuildSelect(e->builder, more, loop, e->number, "")), head);
}

static Executing begin_execute(Object *object) {
  Emitter *emitter = &object->emitter;
  LLVMTypeRef pointer = emitter->pointer,
              types[] = {pointer, pointer, pointer, pointer, pointer, emitter->i64, pointer, pointer, pointer};
  bool lives = object->options->sanitize == SANITIZE_ADDRESS;
  int count = COUNT_OF(types) - !lives;
  Executing e = {
      .object = object, .emitter = emitter, .builder = emitter->builder, .task = emit_task(object, emit_run(object))};
  object->execute = glue_declare(object, glue_name(object, "execute"), void_of(emitter), types, count, false);
  LLVMValueRef arguments[COUNT_OF(types)];
  LLVMGetParams(object->execute, arguments);
  e.run = arguments[0];
  e.frame = arguments[1];
  e.functions = arguments[2];
  e.numbers = arguments[3];
  e.launches = arguments[4];
  e.nlaunches = arguments[5];
  e.counts = arguments[6];
  e.extents = arguments[7];
  e.lives = lives ? arguments[8] : NULL;
  glue_begin(object, object->execute);
  e.at = glue_array(object, emitter->i64, 1);
  e.work = glue_array(object, emitter->i8, WORK_BYTES);
  glue_store(object, e.frame, e.work, WORK_FRAME);
  glue_store(object, e.functions, e.work, WORK_FUNCTIONS);
  glue_store(object, e.numbers, e.work, WORK_NUMBERS);
  return e;
}

void emit_executor(Object *object) {
  Executing e = begin_execute(object);
  LLVMBasicBlockRef head = glue_block(object), body = glue_block(object), done = glue_block(object);
  LLVMBasicBlockRef kernels = glue_block(object), loop = glue_block(object), end = glue_block(object);
  go_to(&e, glue_long(object, 0), head);
  LLVMPositionBuilderAtEnd(e.builder, head);
  e.number = glue_load(object, e.emitter->i64, e.at, 0);
  LLVMBuildCondBr(e.builder, glue_compare(object, LLVMIntSLT, e.number, e.nlaunches), body, done);
  LLVMPositionBuilderAtEnd(e.builder, done);
  LLVMBuildRetVoid(e.builder);
  LLVMPositionBuilderAtEnd(e.builder, body);
  e.launch = glue_element(object, LLVMArrayType2(e.emitter->i8, RECORD), e.launches, e.number);
  e.extent = glue_load(object, e.emitter->i64, glue_element(object, e.emitter->i64, e.extents, e.number), 0);
  LLVMValueRef choice = LLVMBuildSwitch(e.builder, record_field(&e, AT_KIND), kernels, 2);
  LLVMAddCase(choice, glue_int(object, LAUNCH_LOOP), loop);
  LLVMAddCase(choice, glue_int(object, LAUNCH_END), end);
  LLVMPositionBuilderAtEnd(e.builder, kernels);
  emit_kernels_launch(&e, head);
  LLVMPositionBuilderAtEnd(e.builder, loop);
  emit_loop(&e, head);
  LLVMPositionBuilderAtEnd(e.builder, end);
  emit_end(&e, head);
}
