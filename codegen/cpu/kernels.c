/* A kernel as a function: the task's number becomes a tile of each task loop, then its stages, which are functions that
 * kernels may share (stages.c), are called one after another with the addresses of their buffers. */
#include "codegen/cpu/nest.h"

#include <llvm-c/Core.h>
#include <string.h>

void emitter_begin(Emitter *emitter) {
  LLVMContextRef context = emitter->context;
  emitter->builder = LLVMCreateBuilderInContext(context);
  emitter->f32 = LLVMFloatTypeInContext(context);
  emitter->i1 = LLVMInt1TypeInContext(context);
  emitter->i8 = LLVMInt8TypeInContext(context);
  emitter->i32 = LLVMInt32TypeInContext(context);
  emitter->i64 = LLVMInt64TypeInContext(context);
  emitter->pointer = LLVMPointerTypeInContext(context, 0);
  emitter->v16f32 = LLVMVectorType(emitter->f32, LANES);
  emitter->v16i32 = LLVMVectorType(emitter->i32, LANES);
  emitter->v16i1 = LLVMVectorType(emitter->i1, LANES);
  emitter->v16i64 = LLVMVectorType(emitter->i64, LANES);
}

void emitter_end(Emitter *emitter) { LLVMDisposeBuilder(emitter->builder); }

LLVMTypeRef type_in_memory(const Emitter *emitter, Dtype dtype) {
  return dtype == F32 ? emitter->f32 : dtype == I32 ? emitter->i32 : emitter->i8;
}

/* ---- what a stage's entry block computes ---- */

LLVMValueRef work_dim(Work *work, const Dim *dim) {
  int64_t constant;
  if (dim_is_constant(dim, &constant)) return const_i64(work->emitter, constant);
  for (int k = 0; k < work->dims.count; k++) {
    if (work->dims.items[k].dim == dim) return work->dims.items[k].value;
  }
  LLVMBuilderRef builder = work->emitter->builder;
  LLVMBasicBlockRef here = LLVMGetInsertBlock(builder);
  LLVMPositionBuilderBefore(builder, LLVMGetBasicBlockTerminator(work->entry));
  LLVMValueRef value = emit_dim(work->emitter, dim);
  LLVMPositionBuilderAtEnd(builder, here);
  PUSH(work->arena, &work->dims, ((KnownDim){dim, value}));
  return value;
}

LLVMValueRef work_pointer(Work *work, Id buffer) {
  if (!work->pointers[buffer]) bug("a stage reads buffer %d, which its key leaves out", buffer);
  return work->pointers[buffer];
}

/* ---- buffers ---- */

static LLVMValueRef frame_field(Emitter *emitter, int field, LLVMTypeRef type) {
  LLVMValueRef index = const_i64(emitter, field);
  LLVMValueRef address = LLVMBuildGEP2(emitter->builder, emitter->i64, emitter->frame, &index, 1, "");
  return LLVMBuildLoad2(emitter->builder, type, address, "");
}

static LLVMValueRef add_bytes(Emitter *emitter, LLVMValueRef pointer, LLVMValueRef bytes) {
  return LLVMBuildGEP2(emitter->builder, emitter->i8, pointer, &bytes, 1, "");
}

/* The array in the object's read-only data, once for all kernels of the module. */
static LLVMValueRef constant_array(Emitter *emitter, Id id, const Buffer *buffer) {
  Module *module = emitter->plan->module;
  const char *name = arena_format(module->arena, "%s_%s_constant_%d", module->name, emitter->plan->graph->name, id);
  LLVMValueRef known = LLVMGetNamedGlobal(emitter->module, name);
  if (known) return known;
  int64_t count = 1;
  if (!dim_is_constant(type_count(module, &buffer->type), &count)) bug("a constant array of open size");
  LLVMTypeRef element = type_in_memory(emitter, buffer->type.dtype);
  LLVMValueRef *values = NEW_ARRAY(module->arena, LLVMValueRef, count + 1);
  for (int64_t k = 0; k < count; k++) {
    values[k] = buffer->type.dtype == BOOL ? LLVMConstInt(element, buffer->array[k] != 0, 0)
                                           : number_value(emitter, buffer->type.dtype, buffer->array[k]);
  }
  LLVMValueRef global = LLVMAddGlobal(emitter->module, LLVMArrayType2(element, (uint64_t)count), name);
  LLVMSetInitializer(global, LLVMConstArray2(element, values, (uint64_t)count));
  LLVMSetLinkage(global, LLVMInternalLinkage);
  LLVMSetGlobalConstant(global, 1);
  LLVMSetAlignment(global, 64);
  return global;
}

static int64_t local_offset(const Plan *plan, Id id) {
  int64_t offset = 0;
  for (Id other = 1; other < id; other++) {
    const Buffer *buffer = &plan->buffers.items[other];
    bool beside = buffer->memory == MEMORY_LOCAL && buffer->index == plan->buffers.items[id].index;
    if (beside) offset += buffer_tile_bytes(plan, other);
  }
  return offset;
}

static LLVMValueRef find_buffer(Emitter *emitter, Id id) {
  const Plan *plan = emitter->plan;
  const Buffer *buffer = &plan->buffers.items[id];
  switch (buffer->memory) {
  case MEMORY_ARG: return frame_field(emitter, frame_argument(plan, buffer->index), emitter->pointer);
  case MEMORY_RESULT: return frame_field(emitter, frame_result(plan, buffer->index), emitter->pointer);
  case MEMORY_STATE: {
    LLVMValueRef state = frame_field(emitter, frame_state(plan), emitter->pointer);
    return add_bytes(emitter, state, const_i64(emitter, buffer->offset));
  }
  case MEMORY_CONSTANT: return constant_array(emitter, id, buffer);
  case MEMORY_ARENA: {
    LLVMValueRef scratch = frame_field(emitter, frame_scratch(plan), emitter->pointer);
    return add_bytes(emitter, scratch, frame_field(emitter, frame_offset(plan, id), emitter->i64));
  }
  case MEMORY_LOCAL: bug("a local's place depends on the task");
  }
  bug("a buffer without a memory");
}

/* ---- functions ---- */

static void add_text_attribute(Emitter *emitter, LLVMValueRef function, const char *key, const char *value) {
  LLVMAttributeRef attribute =
      LLVMCreateStringAttribute(emitter->context, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
  LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
}

LLVMValueRef emit_function(Emitter *emitter, const char *name, LLVMTypeRef type) {
  LLVMValueRef function = LLVMAddFunction(emitter->module, name, type);
  LLVMSetLinkage(function, LLVMInternalLinkage);
  const Processor *processor = emitter->processor;
  add_text_attribute(emitter, function, "target-cpu", processor->name);
  add_text_attribute(emitter, function, "target-features", processor->features);
  if (processor->vector_bits == 512) add_text_attribute(emitter, function, "prefer-vector-width", "512");
  unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", 8);
  LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                          LLVMCreateEnumAttribute(emitter->context, nounwind, 0));
  emitter->function = function;
  return function;
}

bool loop_is_cut(const Loop *task) {
  int64_t extent;
  return !dim_is_constant(task->extent, &extent) || extent > task->tile;
}

/* ---- kernels ---- */

typedef struct Calls {
  Emitter *emitter;
  const Kernel *kernel;
  LLVMValueRef start[MAX_LOOPS]; /* of the task's tile, by cut task loop */
  int nstarts;
  LLVMValueRef *pointers; /* by buffer, in the entry block; NULL: not asked for yet */
  LLVMBasicBlockRef entry;
} Calls;

/* Task numbers count row-major through the tiles, the last loop fastest. */
static void find_starts(Calls *calls) {
  Emitter *emitter = calls->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef left = emitter->task, found[MAX_LOOPS];
  int count = 0;
  for (int k = calls->kernel->ntasks - 1; k >= 0; k--) {
    const Loop *loop = &calls->kernel->tasks[k];
    if (!loop_is_cut(loop)) continue;
    LLVMValueRef tile = const_i64(emitter, loop->tile), index = left;
    if (k > 0) {
      LLVMValueRef size = emit_dim(emitter, loop->extent);
      LLVMValueRef whole = LLVMBuildAdd(builder, size, const_i64(emitter, loop->tile - 1), "");
      LLVMValueRef tiles = LLVMBuildUDiv(builder, whole, tile, "");
      index = LLVMBuildURem(builder, left, tiles, "");
      left = LLVMBuildUDiv(builder, left, tiles, "");
    }
    found[count++] = LLVMBuildNSWMul(builder, index, tile, "");
  }
  for (int k = 0; k < count; k++) calls->start[k] = found[count - 1 - k];
  calls->nstarts = count;
}

/* Element 0 of the whole, of which the worker's memory holds only the task's tile. */
static LLVMValueRef local_pointer(const Calls *calls, Id id) {
  Emitter *emitter = calls->emitter;
  const Plan *plan = emitter->plan;
  const Type *type = &plan->buffers.items[id].type;
  LLVMValueRef locals = frame_field(emitter, frame_locals(plan), emitter->pointer);
  LLVMValueRef each = frame_field(emitter, frame_local_bytes(plan), emitter->i64);
  LLVMValueRef pointer = add_bytes(emitter, locals, LLVMBuildMul(emitter->builder, emitter->worker, each, ""));
  pointer = add_bytes(emitter, pointer, const_i64(emitter, local_offset(plan, id)));
  const Dim *stride = dim_constant(plan->module, plan_element_bytes(type->dtype));
  int next = calls->nstarts;
  for (int k = type->rank - 1; k >= 0; k--) {
    bool tiled = k < calls->kernel->ntasks;
    if (tiled && loop_is_cut(&calls->kernel->tasks[k])) {
      LLVMValueRef skipped = LLVMBuildMul(emitter->builder, calls->start[--next], emit_dim(emitter, stride), "");
      pointer = add_bytes(emitter, pointer, LLVMBuildNeg(emitter->builder, skipped, ""));
    }
    const Dim *size = tiled ? dim_constant(plan->module, calls->kernel->tasks[k].tile) : type->size[k];
    stride = dim_multiply(plan->module, stride, size);
    if (!stride) bug("a local's size leaves 64 bits");
  }
  return pointer;
}

static LLVMValueRef buffer_pointer(Calls *calls, Id id) {
  if (calls->pointers[id]) return calls->pointers[id];
  LLVMBuilderRef builder = calls->emitter->builder;
  LLVMBasicBlockRef here = LLVMGetInsertBlock(builder);
  LLVMPositionBuilderBefore(builder, LLVMGetBasicBlockTerminator(calls->entry));
  bool local = calls->emitter->plan->buffers.items[id].memory == MEMORY_LOCAL;
  calls->pointers[id] = local ? local_pointer(calls, id) : find_buffer(calls->emitter, id);
  LLVMPositionBuilderAtEnd(builder, here);
  return calls->pointers[id];
}

/* A stage whose one result is not wanted is left out whole. */
static void call_stage(Calls *calls, const Stage *stage, const StageCall *call) {
  Emitter *emitter = calls->emitter;
  LLVMBasicBlockRef join = NULL;
  Id stored = stage->stores.count == 1 ? stage->stores.items[0].access.buffer : 0;
  if (stored && emitter->plan->buffers.items[stored].memory == MEMORY_RESULT) {
    begin_if(emitter, LLVMBuildIsNotNull(emitter->builder, buffer_pointer(calls, stored), ""), &join);
  }
  Arena *arena = emitter->stages->arena;
  LLVMValueRef *arguments = NEW_ARRAY(arena, LLVMValueRef, 1 + calls->nstarts + call->nbuffers);
  unsigned count = 0;
  arguments[count++] = emitter->frame;
  for (int k = 0; k < calls->nstarts; k++) arguments[count++] = calls->start[k];
  for (int k = 0; k < call->nbuffers; k++) arguments[count++] = buffer_pointer(calls, call->buffers[k]);
  LLVMBuildCall2(emitter->builder, call->type, call->function, arguments, count, "");
  end_if(emitter, join);
}

static LLVMValueRef begin_kernel(Emitter *emitter, const char *name) {
  LLVMTypeRef arguments[] = {emitter->pointer, emitter->i64, emitter->i64};
  LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(emitter->context), arguments, 3, 0);
  LLVMValueRef function = emit_function(emitter, name, type);
  emitter->frame = LLVMGetParam(function, 0);
  emitter->task = LLVMGetParam(function, 1);
  emitter->worker = LLVMGetParam(function, 2);
  return function;
}

LLVMValueRef emit_kernel(Emitter *emitter, int number) {
  const Plan *plan = emitter->plan;
  const Kernel *kernel = &plan->kernels.items[number];
  Arena *arena = plan->module->arena;
  if (!emitter->stages) {
    Emitter **self = NEW(arena, Emitter *);
    *self = emitter;
    emitter->stages = stages_new(arena, self, 1);
  }
  StageCall *stage_calls = NEW_ARRAY(arena, StageCall, kernel->stages.count + 1);
  for (int k = 0; k < kernel->stages.count; k++) {
    stage_function(emitter, kernel, &kernel->stages.items[k], &stage_calls[k]);
  }
  const char *suffix = emitter->suffix ? emitter->suffix : "";
  const char *name = arena_format(arena, "%s_%s%s", plan->module->name, kernel->name, suffix);
  LLVMValueRef function = begin_kernel(emitter, name);
  Calls calls = {.emitter = emitter, .kernel = kernel, .entry = new_block(emitter, "entry")};
  calls.pointers = NEW_ARRAY(arena, LLVMValueRef, plan->buffers.count + 1);
  LLVMBasicBlockRef body = new_block(emitter, "stages");
  LLVMPositionBuilderAtEnd(emitter->builder, calls.entry);
  find_starts(&calls);
  LLVMBuildBr(emitter->builder, body);
  LLVMPositionBuilderAtEnd(emitter->builder, body);
  for (int k = 0; k < kernel->stages.count; k++) call_stage(&calls, &kernel->stages.items[k], &stage_calls[k]);
  LLVMBuildRetVoid(emitter->builder);
  return function;
}
