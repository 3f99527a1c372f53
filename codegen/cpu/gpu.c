/* The host's side of a model for CUDA: entries check their sizes and fill their frames as any do, then hand the frame to
 * nn_cuda_execute with constant tables (runtime/cuda.h): the code for each kind of GPU, the kernels with their arguments as
 * fields of the frame, and the caller's arrays. */
#include "codegen/cpu/glue.h"
#include "codegen/cuda/cuda.h"
#include "runtime/cuda.h"

/* ---- the caller's arrays ---- */

/* What is copied, no byte more. */
static LLVMValueRef array_bytes(Object *object, const Plan *plan, const Buffer *buffer) {
  Module *module = plan->module;
  const Dim *width = dim_constant(module, plan_element_bytes(buffer->type.dtype));
  const Dim *bytes = dim_multiply(module, type_count(module, &buffer->type), width);
  if (!bytes) bug("an array of %s leaves 64 bits", plan->graph->name);
  return glue_size(object, bytes);
}

LLVMValueRef gpu_staging_bytes(Object *object, int entry) {
  const Plan *plan = object->plans[entry];
  LLVMBuilderRef builder = object->emitter.builder;
  LLVMValueRef sum = glue_long(object, 0);
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (!buffer_is_callers(buffer)) continue;
    LLVMValueRef bytes = LLVMBuildAdd(builder, array_bytes(object, plan, buffer), glue_long(object, STAGING_ALIGN - 1), "");
    sum = LLVMBuildAdd(builder, sum, LLVMBuildAnd(builder, bytes, glue_long(object, -STAGING_ALIGN), ""), "");
  }
  return sum;
}

/* Their sizes in memory; `records` gets an nn_cuda_array for each. */
static LLVMValueRef list_arrays(Object *object, const Plan *plan, LLVMValueRef *records, int *count) {
  LLVMValueRef sizes = glue_array(object, object->emitter.i64, plan->buffers.count);
  *count = 0;
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (!buffer_is_callers(buffer)) continue;
    LLVMValueRef fields[] = {glue_int(object, frame_pointer(plan, id)), glue_int(object, buffer->memory == MEMORY_RESULT)};
    glue_store(object, array_bytes(object, plan, buffer), sizes, 8 * (int64_t)*count);
    records[(*count)++] = glue_struct(object, fields, COUNT_OF(fields));
  }
  return sizes;
}

/* ---- constant tables ---- */

static LLVMValueRef struct_table(Object *object, LLVMValueRef *records, int count, const char *name) {
  return glue_table(object, count ? LLVMTypeOf(records[0]) : NULL, records, count, name);
}

/* Once for all entries. */
static LLVMValueRef image_table(Object *object) {
  const CudaCode *code = object->options->cuda;
  LLVMValueRef known = LLVMGetNamedGlobal(object->emitter.module, "images");
  if (known) return known;
  LLVMValueRef *records = NEW_ARRAY(object->arena, LLVMValueRef, code->images.count + 1);
  for (int k = 0; k < code->images.count; k++) {
    const CudaImage *image = &code->images.items[k];
    /* with a zero behind, which PTX needs */
    LLVMValueRef bytes = LLVMConstStringInContext2(object->emitter.context, image->bytes.bytes, image->bytes.length, 0);
    LLVMValueRef own = glue_constant(object, bytes, "image");
    LLVMSetAlignment(own, 64);
    LLVMValueRef fields[] = {glue_string(object, image->architecture), own, glue_long(object, (int64_t)image->bytes.length),
                             glue_long(object, image->part)};
    records[k] = glue_struct(object, fields, COUNT_OF(fields));
  }
  return struct_table(object, records, code->images.count, "images");
}

/* An nn_cuda_argument; maps of the entry's kernels are numbered through, this kernel's from `maps`. */
static LLVMValueRef argument_record(Object *object, const Plan *plan, const CudaArgument *argument, int maps) {
  int field = 0, bytes = 0;
  switch (argument->kind) {
  case CUDA_BUFFER: field = frame_pointer(plan, argument->index); break;
  case CUDA_SIZE: field = frame_dim(plan, argument->index); break;
  case CUDA_MAP:
    field = maps + argument->index;
    bytes = -1;
    break;
  case CUDA_VALUE:
    field = frame_argument(plan, argument->index);
    bytes = (int)plan_element_bytes(plan->graph->parameters.items[argument->index].type.dtype);
  }
  LLVMValueRef fields[] = {glue_int(object, field), glue_int(object, bytes)};
  return glue_struct(object, fields, COUNT_OF(fields));
}

static LLVMValueRef kernel_record(Object *object, const Plan *plan, const CudaKernel *kernel, int maps) {
  LLVMValueRef *arguments = NEW_ARRAY(object->arena, LLVMValueRef, kernel->arguments.count + 1);
  for (int k = 0; k < kernel->arguments.count; k++)
    arguments[k] = argument_record(object, plan, &kernel->arguments.items[k], maps);
  LLVMValueRef fields[] = {glue_string(object, kernel->name),
                           glue_int(object, CUDA_THREADS),
                           glue_int(object, kernel->shared_bytes),
                           glue_int(object, kernel->wide_bytes),
                           glue_int(object, 0),
                           struct_table(object, arguments, kernel->arguments.count, "arguments"),
                           glue_int(object, kernel->arguments.count),
                           glue_int(object, kernel->part)};
  return glue_struct(object, fields, COUNT_OF(fields));
}

static LLVMValueRef kernel_table(Object *object, int entry) {
  const Plan *plan = object->plans[entry];
  const CudaKernel *kernels = object->options->cuda->source.kernels[entry];
  LLVMValueRef *records = NEW_ARRAY(object->arena, LLVMValueRef, plan->kernels.count + 1);
  for (int k = 0, maps = 0; k < plan->kernels.count; k++) {
    records[k] = kernel_record(object, plan, &kernels[k], maps);
    maps += kernels[k].maps.count;
  }
  return struct_table(object, records, plan->kernels.count, "cuda_kernels");
}

/* ---- tensor maps ---- */

static LLVMValueRef map_number(Object *object, const Plan *plan, const Dim *elements) {
  const Dim *bytes = dim_multiply(plan->module, elements, dim_constant(plan->module, 4));
  if (!bytes) bug("a tensor map leaves 64 bits");
  return glue_size(object, bytes);
}

/* An nn_cuda_map; its numbers are stored behind *count. */
static LLVMValueRef map_record(Object *object, const Plan *plan, const CudaMap *own, LLVMValueRef numbers, int *count) {
  const OperandMap *map = &own->map;
  LLVMValueRef box[MAP_RANK];
  for (int k = 0; k < MAP_RANK; k++) box[k] = glue_int(object, k < map->rank ? map->axis[k].box : 0);
  LLVMValueRef fields[] = {glue_int(object, frame_pointer(plan, own->buffer)), glue_int(object, map->rank),
                           glue_int(object, *count), LLVMConstArray2(object->emitter.i32, box, MAP_RANK)};
  glue_store(object, map_number(object, plan, map->base), numbers, 8 * (int64_t)(*count)++);
  for (int k = 0; k < map->rank; k++)
    glue_store(object, glue_size(object, map->axis[k].size), numbers, 8 * (int64_t)(*count)++);
  for (int k = 0; k < map->rank; k++)
    glue_store(object, map_number(object, plan, map->axis[k].stride), numbers, 8 * (int64_t)(*count)++);
  return glue_struct(object, fields, COUNT_OF(fields));
}

/* All maps of an entry; `numbers` gets those of the call. */
static LLVMValueRef map_table(Object *object, int entry, LLVMValueRef *numbers) {
  const Plan *plan = object->plans[entry];
  const CudaKernel *kernels = object->options->cuda->source.kernels[entry];
  int maps = 0, count = 0;
  for (int k = 0; k < plan->kernels.count; k++) maps += kernels[k].maps.count;
  LLVMValueRef *records = NEW_ARRAY(object->arena, LLVMValueRef, maps + 1);
  *numbers = glue_array(object, object->emitter.i64, maps * (1 + 2 * MAP_RANK) + 1);
  maps = 0;
  for (int k = 0; k < plan->kernels.count; k++)
    for (int j = 0; j < kernels[k].maps.count; j++)
      records[maps++] = map_record(object, plan, &kernels[k].maps.items[j], *numbers, &count);
  return struct_table(object, records, maps, "cuda_maps");
}

static LLVMValueRef whole_kernel(Object *object, int entry) {
  const CudaKernel *whole = &object->options->cuda->source.wholes[entry];
  if (!whole->name) return glue_null(object);
  return glue_constant(object, kernel_record(object, object->plans[entry], whole, 0), "cuda_whole");
}

/* So that code is loaded anew where another object comes to lie at the same place. */
static uint64_t hash_of_images(const CudaCode *code) {
  uint64_t hash = 0;
  for (int k = 0; k < code->images.count; k++) {
    const Text *bytes = &code->images.items[k].bytes;
    hash = hash * 31 + hash_bytes(bytes->bytes, bytes->length);
  }
  return hash;
}

/* ---- functions of the runtime ---- */

static LLVMValueRef runtime_function(Object *object, const char *name, LLVMTypeRef *types, int count) {
  LLVMValueRef known = LLVMGetNamedFunction(object->emitter.module, name);
  return known ? known : glue_declare(object, name, object->emitter.i32, types, count, true);
}

LLVMValueRef emit_gpu_execute(Object *object, int entry, LLVMValueRef run, LLVMValueRef frame, LLVMValueRef launches,
                              LLVMValueRef counts, LLVMValueRef extents) {
  const Plan *plan = object->plans[entry];
  const CudaCode *code = object->options->cuda;
  LLVMValueRef *records = NEW_ARRAY(object->arena, LLVMValueRef, plan->buffers.count);
  int narrays;
  LLVMValueRef sizes = list_arrays(object, plan, records, &narrays), numbers;
  LLVMValueRef maps = map_table(object, entry, &numbers);
  LLVMValueRef fields[] = {LLVMConstInt(object->emitter.i64, hash_of_images(code), 0),
                           image_table(object),
                           kernel_table(object, entry),
                           whole_kernel(object, entry),
                           struct_table(object, records, narrays, "arrays"),
                           launches,
                           maps,
                           glue_int(object, code->images.count),
                           glue_int(object, plan->kernels.count),
                           glue_int(object, narrays),
                           glue_int(object, plan->launches.count),
                           glue_int(object, entry_wants_state(plan) ? frame_state(plan) : -1),
                           glue_int(object, entry_wants_scratch(plan, true) ? frame_scratch(plan) : -1),
                           glue_int(object, frame_locals(plan)),
                           glue_int(object, 0)};
  LLVMValueRef table = glue_constant(object, glue_struct(object, fields, COUNT_OF(fields)), "cuda_entry");
  LLVMTypeRef pointer = object->emitter.pointer, types[] = {pointer, pointer, pointer, pointer, pointer, pointer, pointer};
  LLVMValueRef execute = runtime_function(object, "nn_cuda_execute", types, COUNT_OF(types));
  return glue_call(object, execute, (LLVMValueRef[]){run, frame, table, counts, extents, sizes, numbers}, COUNT_OF(types));
}

/* init(state, seed): nn_cuda_init(state, bytes, seed, host_init); get and set(state, name, data) likewise. */
static void emit_state_function(Object *object, LLVMValueRef function, LLVMValueRef host, const char *name, int count) {
  Emitter *emitter = &object->emitter;
  LLVMTypeRef types[5] = {emitter->pointer, emitter->i64};
  LLVMValueRef arguments[5] = {LLVMGetParam(function, 0), glue_long(object, object->layout.bytes)};
  for (int k = 1; k < count; k++) {
    arguments[k + 1] = LLVMGetParam(function, (unsigned)k);
    types[k + 1] = LLVMTypeOf(arguments[k + 1]);
  }
  arguments[count + 1] = host;
  types[count + 1] = emitter->pointer;
  glue_begin(object, function);
  glue_demand_memory(object, arguments[0]);
  LLVMValueRef own = runtime_function(object, name, types, count + 2);
  LLVMBuildRet(emitter->builder, glue_call(object, own, arguments, count + 2));
}

void emit_gpu_state_functions(Object *object) {
  emit_state_function(object, object->init, object->host_init, "nn_cuda_init", 2);
  emit_state_function(object, object->get, object->host_get, "nn_cuda_get", 3);
  emit_state_function(object, object->set, object->host_set, "nn_cuda_set", 3);
}
