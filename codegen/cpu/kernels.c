/* Kernels as numbers. A stage is a function, which kernels may share (stages.c); a kernel says which ones are called one
 * after another, with which buffers, and how a task's number becomes a tile of each task loop. runner.c reads it:
 *
 *   numbers[kernel]   where the kernel begins
 *
 *   first             its first stage's function, in the table of functions
 *   cuts              how many task loops are cut into several tiles; for each, the innermost first:
 *     tile, tiles     indices in a tile; how many tiles there are, for the outermost "any"
 *   memory            the frame's field with the workers' memory; the next has the bytes of each
 *   locals            how many LOCAL buffers; for each:
 *     place           in the worker's memory, in bytes
 *     stride, ...     for each cut loop, in that order, in bytes: what to go back by, as accesses name the whole index
 *   stages            how many; for each:
 *     wanted          the frame's field that is NULL if the stage is not wanted, -1: always wanted
 *     buffers         how many; for each: the frame's field with its address, or ~k for the k-th local
 *
 * Counts of tiles and strides may depend on sizes: ~field stands for what the frame holds in that field. */
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

/* The array in the object's read-only data, once for all kernels. */
LLVMValueRef emit_constant(Emitter *emitter, Id id) {
  const Buffer *buffer = &emitter->plan->buffers.items[id];
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

/* ---- functions ---- */

static void add_text_attribute(Emitter *emitter, LLVMValueRef function, const char *key, const char *value) {
  LLVMAttributeRef attribute =
      LLVMCreateStringAttribute(emitter->context, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
  LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
}

void carry_processor(Emitter *emitter, LLVMValueRef function, const Processor *processor) {
  add_text_attribute(emitter, function, "target-cpu", processor->name);
  add_text_attribute(emitter, function, "target-features", processor->features);
  if (processor->vector_bits == 512) add_text_attribute(emitter, function, "prefer-vector-width", "512");
}

LLVMValueRef emit_function(Emitter *emitter, const char *name, LLVMTypeRef type) {
  LLVMValueRef function = LLVMAddFunction(emitter->module, name, type);
  LLVMSetLinkage(function, LLVMInternalLinkage);
  carry_processor(emitter, function, emitter->processor);
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

typedef struct Writing {
  Emitter *emitter;
  Program *program;
  const Kernel *kernel;
  Arena *arena;
  Id *locals; /* of the kernel, in order */
  int nlocals;
  int64_t *offsets; /* of its locals, by buffer */
} Writing;

static void put(Writing *writing, int64_t number) {
  if (number < INT32_MIN || number > INT32_MAX) bug("a kernel's number %lld leaves 32 bits", (long long)number);
  PUSH(writing->arena, &writing->program->numbers, (int32_t)number);
}

static void put_measure(Writing *writing, const Dim *dim) {
  Program *program = writing->program;
  int64_t value;
  if (!dim) bug("a local's size leaves 64 bits");
  if (dim_is_constant(dim, &value)) {
    put(writing, value);
    return;
  }
  int found = 0;
  while (found < program->measures.count && program->measures.items[found] != dim) found++;
  if (found == program->measures.count) PUSH(writing->arena, &program->measures, dim);
  put(writing, ~(int64_t)frame_measure(writing->emitter->plan, found));
}

static void put_cuts(Writing *writing) {
  const Kernel *kernel = writing->kernel;
  Module *module = writing->emitter->plan->module;
  int left = 0;
  for (int k = 0; k < kernel->ntasks; k++) left += loop_is_cut(&kernel->tasks[k]);
  put(writing, left);
  for (int k = kernel->ntasks - 1; k >= 0; k--) {
    const Loop *loop = &kernel->tasks[k];
    if (!loop_is_cut(loop)) continue;
    put(writing, loop->tile);
    if (--left == 0) {
      put(writing, INT32_MAX);
      continue;
    }
    const Dim *whole = dim_offset(module, loop->extent, loop->tile - 1);
    put_measure(writing, whole ? dim_floordiv(module, whole, dim_constant(module, loop->tile)) : NULL);
  }
}

static void put_local(Writing *writing, Id id) {
  const Plan *plan = writing->emitter->plan;
  const Kernel *kernel = writing->kernel;
  const Type *type = &plan->buffers.items[id].type;
  put(writing, writing->offsets[id]);
  const Dim *stride = dim_constant(plan->module, plan_element_bytes(type->dtype));
  for (int k = type->rank - 1; k >= 0; k--) {
    bool tiled = k < kernel->ntasks;
    if (tiled && loop_is_cut(&kernel->tasks[k])) put_measure(writing, stride);
    stride = dim_multiply(plan->module, stride, tiled ? dim_constant(plan->module, kernel->tasks[k].tile) : type->size[k]);
    if (!stride) bug("a local's size leaves 64 bits");
  }
}

static int local_number(Writing *writing, Id id) {
  for (int k = 0; k < writing->nlocals; k++) {
    if (writing->locals[k] == id) return k;
  }
  writing->locals[writing->nlocals] = id;
  return writing->nlocals++;
}

/* A stage whose one result is not wanted is left out whole. */
static void put_stage(Writing *writing, const Stage *stage, const StageCall *call) {
  const Plan *plan = writing->emitter->plan;
  Id stored = stage->stores.count == 1 ? stage->stores.items[0].access.buffer : 0;
  bool asks = stored && plan->buffers.items[stored].memory == MEMORY_RESULT;
  put(writing, asks ? frame_pointer(plan, stored) : -1);
  put(writing, call->nbuffers);
  for (int k = 0; k < call->nbuffers; k++) {
    Id id = call->buffers[k];
    bool local = plan->buffers.items[id].memory == MEMORY_LOCAL;
    put(writing, local ? ~local_number(writing, id) : frame_pointer(plan, id));
  }
  writing->program->most_buffers = MAX(writing->program->most_buffers, call->nbuffers);
  PUSH(writing->arena, &writing->program->functions, call->function);
}

static void put_kernel(Writing *writing) {
  const Kernel *kernel = writing->kernel;
  StageCall *calls = NEW_ARRAY(writing->arena, StageCall, kernel->stages.count + 1);
  for (int k = 0; k < kernel->stages.count; k++) {
    stage_function(writing->emitter, kernel, &kernel->stages.items[k], &calls[k]);
    for (int j = 0; j < calls[k].nbuffers; j++) {
      Id id = calls[k].buffers[j];
      if (writing->emitter->plan->buffers.items[id].memory == MEMORY_LOCAL) local_number(writing, id);
    }
  }
  put(writing, writing->program->functions.count);
  put_cuts(writing);
  put(writing, frame_locals(writing->emitter->plan));
  put(writing, writing->nlocals);
  kernel_place_locals(writing->emitter->plan, (int)(kernel - writing->emitter->plan->kernels.items), writing->offsets);
  for (int k = 0; k < writing->nlocals; k++) put_local(writing, writing->locals[k]);
  put(writing, kernel->stages.count);
  for (int k = 0; k < kernel->stages.count; k++) put_stage(writing, &kernel->stages.items[k], &calls[k]);
  writing->program->most_locals = MAX(writing->program->most_locals, writing->nlocals);
}

void emit_program(Emitter *emitter, Program *program) {
  const Plan *plan = emitter->plan;
  Arena *arena = plan->module->arena;
  *program = (Program){0};
  if (!emitter->stages) {
    Emitter **self = NEW(arena, Emitter *);
    *self = emitter;
    emitter->stages = stages_new(arena, self, 1);
  }
  Writing writing = {.emitter = emitter, .program = program, .arena = arena};
  writing.locals = NEW_ARRAY(arena, Id, plan->buffers.count + 1);
  writing.offsets = NEW_ARRAY(arena, int64_t, plan->buffers.count + 1);
  for (int k = 0; k < plan->kernels.count; k++) put(&writing, 0);
  for (int k = 0; k < plan->kernels.count; k++) {
    program->numbers.items[k] = program->numbers.count;
    writing.kernel = &plan->kernels.items[k];
    writing.nlocals = 0;
    put_kernel(&writing);
  }
}
