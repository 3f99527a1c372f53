/* A kernel as one function: the task's number becomes a tile of each task loop, then the stages run one after another.
 *
 * The entry block holds what is the same in the whole task: sizes, addresses of buffers, the tile's bounds. It is filled as
 * stages ask, and ends with the branch to the first stage. */
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

/* ---- what the entry block computes ---- */

static LLVMBasicBlockRef go_to_entry(Work *work) {
  LLVMBuilderRef builder = work->emitter->builder;
  LLVMBasicBlockRef here = LLVMGetInsertBlock(builder);
  LLVMPositionBuilderBefore(builder, LLVMGetBasicBlockTerminator(work->entry));
  return here;
}

LLVMValueRef work_dim(Work *work, const Dim *dim) {
  int64_t constant;
  if (dim_is_constant(dim, &constant)) return const_i64(work->emitter, constant);
  for (int k = 0; k < work->dims.count; k++) {
    if (work->dims.items[k].dim == dim) return work->dims.items[k].value;
  }
  LLVMBasicBlockRef here = go_to_entry(work);
  LLVMValueRef value = emit_dim(work->emitter, dim);
  LLVMPositionBuilderAtEnd(work->emitter->builder, here);
  PUSH(work->arena, &work->dims, ((KnownDim){dim, value}));
  return value;
}

static LLVMValueRef frame_field(Work *work, int field, LLVMTypeRef type) {
  Emitter *emitter = work->emitter;
  LLVMValueRef index = const_i64(emitter, field);
  LLVMValueRef address = LLVMBuildGEP2(emitter->builder, emitter->i64, emitter->frame, &index, 1, "");
  return LLVMBuildLoad2(emitter->builder, type, address, "");
}

static LLVMValueRef add_bytes(Emitter *emitter, LLVMValueRef pointer, LLVMValueRef bytes) {
  return LLVMBuildGEP2(emitter->builder, emitter->i8, pointer, &bytes, 1, "");
}

/* The array in the object's read-only data, once for all kernels of the module. */
static LLVMValueRef constant_array(Work *work, Id id, const Buffer *buffer) {
  Emitter *emitter = work->emitter;
  const char *name = arena_format(work->arena, "%s_%s_constant_%d", work->module->name, emitter->plan->graph->name, id);
  LLVMValueRef known = LLVMGetNamedGlobal(emitter->module, name);
  if (known) return known;
  int64_t count = 1;
  if (!dim_is_constant(type_count(work->module, &buffer->type), &count)) bug("a constant array of open size");
  LLVMTypeRef element = type_in_memory(emitter, buffer->type.dtype);
  LLVMValueRef *values = NEW_ARRAY(work->arena, LLVMValueRef, count + 1);
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

static LLVMValueRef find_buffer(Work *work, Id id) {
  Emitter *emitter = work->emitter;
  const Plan *plan = emitter->plan;
  const Buffer *buffer = &plan->buffers.items[id];
  switch (buffer->memory) {
  case MEMORY_ARG: return frame_field(work, frame_argument(plan, buffer->index), emitter->pointer);
  case MEMORY_RESULT: return frame_field(work, frame_result(plan, buffer->index), emitter->pointer);
  case MEMORY_STATE: {
    LLVMValueRef state = frame_field(work, frame_state(plan), emitter->pointer);
    return add_bytes(emitter, state, const_i64(emitter, buffer->offset));
  }
  case MEMORY_CONSTANT: return constant_array(work, id, buffer);
  case MEMORY_ARENA: {
    LLVMValueRef scratch = frame_field(work, frame_scratch(plan), emitter->pointer);
    return add_bytes(emitter, scratch, frame_field(work, frame_offset(plan, id), emitter->i64));
  }
  case MEMORY_LOCAL: {
    LLVMValueRef locals = frame_field(work, frame_locals(plan), emitter->pointer);
    LLVMValueRef each = frame_field(work, frame_local_bytes(plan), emitter->i64);
    locals = add_bytes(emitter, locals, LLVMBuildMul(emitter->builder, emitter->worker, each, ""));
    return add_bytes(emitter, locals, const_i64(emitter, local_offset(plan, id)));
  }
  }
  bug("a buffer without a memory");
}

LLVMValueRef work_pointer(Work *work, Id buffer) {
  if (work->pointers[buffer]) return work->pointers[buffer];
  LLVMBasicBlockRef here = go_to_entry(work);
  work->pointers[buffer] = find_buffer(work, buffer);
  LLVMPositionBuilderAtEnd(work->emitter->builder, here);
  return work->pointers[buffer];
}

/* ---- the task's tile ---- */

static LLVMValueRef smaller(Emitter *emitter, LLVMValueRef a, LLVMValueRef b) {
  LLVMValueRef first = LLVMBuildICmp(emitter->builder, LLVMIntSLT, a, b, "");
  return LLVMBuildSelect(emitter->builder, first, a, b, "");
}

/* Task numbers count row-major through the tiles, the last loop fastest. */
static void find_tile(Work *work) {
  Emitter *emitter = work->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef left = emitter->task;
  for (int k = work->kernel->ntasks - 1; k >= 0; k--) {
    const Loop *loop = &work->kernel->tasks[k];
    int64_t extent = -1;
    dim_is_constant(loop->extent, &extent);
    if (extent > 0 && extent <= loop->tile) {
      work->start[k] = const_i64(emitter, 0);
      work->stop[k] = const_i64(emitter, extent);
      work->trip[k] = extent;
      continue;
    }
    LLVMValueRef tile = const_i64(emitter, loop->tile), index = left, size = work_dim(work, loop->extent);
    LLVMPositionBuilderBefore(builder, LLVMGetBasicBlockTerminator(work->entry));
    if (k > 0) {
      LLVMValueRef whole = LLVMBuildAdd(builder, size, const_i64(emitter, loop->tile - 1), "");
      LLVMValueRef tiles = LLVMBuildUDiv(builder, whole, tile, "");
      index = LLVMBuildURem(builder, left, tiles, "");
      left = LLVMBuildUDiv(builder, left, tiles, "");
    }
    work->start[k] = LLVMBuildNSWMul(builder, index, tile, "");
    work->stop[k] = LLVMBuildNSWAdd(builder, work->start[k], tile, "");
    bool even = extent > 0 && extent % loop->tile == 0;
    if (!even) work->stop[k] = smaller(emitter, work->stop[k], size);
    work->trip[k] = even ? loop->tile : loop->tile == 1 ? 1 : -1;
  }
}

/* ---- functions ---- */

static void add_text_attribute(Emitter *emitter, LLVMValueRef function, const char *key, const char *value) {
  LLVMAttributeRef attribute =
      LLVMCreateStringAttribute(emitter->context, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
  LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
}

static LLVMValueRef begin_function(Emitter *emitter, const char *name) {
  LLVMTypeRef arguments[] = {emitter->pointer, emitter->i64, emitter->i64};
  LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(emitter->context), arguments, 3, 0);
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
  emitter->frame = LLVMGetParam(function, 0);
  emitter->task = LLVMGetParam(function, 1);
  emitter->worker = LLVMGetParam(function, 2);
  return function;
}

/* A stage whose one result is not wanted is left out whole. */
static void emit_stage(Work *work, const Stage *stage) {
  LLVMBasicBlockRef join = NULL;
  if (stage->stores.count == 1) begin_if(work->emitter, work_wanted(work, stage->stores.items[0].access.buffer), &join);
  work->wanted = join != NULL;
  switch (stage->kind) {
  case STAGE_EACH: emit_each(work, stage); break;
  case STAGE_FOLD: emit_fold(work, stage); break;
  case STAGE_CONTRACT: emit_contract(work, stage); break;
  case STAGE_SCATTER: emit_scatter(work, stage); break;
  case STAGE_SORT: emit_sort(work, stage); break;
  case STAGE_CUMSUM: emit_cumsum(work, stage); break;
  }
  work->wanted = false;
  end_if(work->emitter, join);
}

LLVMValueRef emit_kernel(Emitter *emitter, int kernel) {
  const Plan *plan = emitter->plan;
  Work work = {.emitter = emitter, .kernel = &plan->kernels.items[kernel], .module = plan->module};
  work.arena = plan->module->arena;
  work.pointers = NEW_ARRAY(work.arena, LLVMValueRef, plan->buffers.count + 1);
  const char *name =
      arena_format(work.arena, "%s_%s%s", plan->module->name, work.kernel->name, emitter->suffix ? emitter->suffix : "");
  LLVMValueRef function = begin_function(emitter, name);
  work.entry = new_block(emitter, "entry");
  LLVMBasicBlockRef body = new_block(emitter, "stages");
  LLVMPositionBuilderAtEnd(emitter->builder, work.entry);
  LLVMBuildBr(emitter->builder, body);
  find_tile(&work);
  LLVMPositionBuilderAtEnd(emitter->builder, body);
  for (int k = 0; k < work.kernel->stages.count; k++) emit_stage(&work, &work.kernel->stages.items[k]);
  LLVMBuildRetVoid(emitter->builder);
  return function;
}
