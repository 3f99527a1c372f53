/* An entry as C functions.
 *
 * The exported one takes the entry's own arguments and spills them into arrays; the uniform one (nn_entry.call) takes such
 * arrays, checks all before anything changes, and fills a frame on its stack: dims, pointers, and the offsets of buffers,
 * which `place` finds by the offset program (each buffer lies on the highest end of those below it). Then it counts each
 * kernel's tasks and hands over to the executor (executor.c) with a constant table of launches. */
#include "codegen/cpu/glue.h"
#include "runtime/nn.h"

typedef struct Writing {
  Object *object;
  int entry;
  Emitter *emitter;
  const Plan *plan;
  const Graph *graph;
  EntryCode *code;
  bool *mentioned; /* by dim */
  int dims, parameters, results;
} Writing;

static Writing writing_of(Object *object, int entry) {
  const Plan *plan = object->plans[entry];
  Writing writing = {.object = object, .entry = entry, .emitter = &object->emitter, .plan = plan, .graph = plan->graph};
  writing.code = &object->entries[entry];
  writing.mentioned = NEW_ARRAY(object->arena, bool, plan->module->dims.count + 1);
  entry_dims(plan, writing.mentioned);
  writing.dims = module_declared_dims(plan->module);
  writing.parameters = entry_parameters(plan->graph);
  writing.results = plan->graph->results.count;
  return writing;
}

/* Names of internal functions, for debuggers and profiles: "lenet_train.place". */
static const char *inner_name(const Writing *writing, const char *what) {
  return arena_format(writing->object->arena, "%s_%s.%s", writing->object->module->name, writing->graph->name, what);
}

/* ---- declarations: exported names before all others, so that nothing takes them ---- */

static LLVMTypeRef scalar_type(const Emitter *emitter, Dtype dtype) {
  return dtype == F32 ? emitter->f32 : dtype == I32 ? emitter->i32 : emitter->i8;
}

static void declare_entry(Object *object, int entry) {
  Writing writing = writing_of(object, entry);
  Emitter *emitter = &object->emitter;
  const Graph *graph = writing.graph;
  Vec(LLVMTypeRef) own = {0}, sizes = {0};
  for (int k = 0; k < 3; k++) PUSH(object->arena, &own, emitter->pointer);
  for (int k = 0; k < writing.dims; k++) {
    if (!writing.mentioned[k]) continue;
    PUSH(object->arena, &own, emitter->i64);
    PUSH(object->arena, &sizes, emitter->i64);
  }
  for (int k = 0; k < writing.parameters; k++) {
    const Type *type = &graph->parameters.items[k].type;
    PUSH(object->arena, &own, type->rank == 0 ? scalar_type(emitter, type->dtype) : emitter->pointer);
  }
  for (int k = 0; k < writing.results; k++) PUSH(object->arena, &own, emitter->pointer);
  if (graph->draws) PUSH(object->arena, &own, emitter->i64);
  PUSH(object->arena, &sizes, emitter->i32);
  const char *name = arena_format(object->arena, "%s_%s", object->module->name, graph->name);
  const char *scratch = arena_format(object->arena, "%s_scratch", name);
  writing.code->entry = glue_once(object, glue_declare(object, name, emitter->i32, own.items, own.count, true));
  writing.code->scratch = glue_once(object, glue_declare(object, scratch, emitter->i64, sizes.items, sizes.count, true));
}

void declare_entries(Object *object) {
  for (int k = 0; k < object->count; k++) declare_entry(object, k);
}

/* ---- the offset program ---- */

static LLVMValueRef larger(Object *object, LLVMValueRef a, LLVMValueRef b) {
  if (!a || a == b) return b;
  LLVMValueRef more = glue_compare(object, LLVMIntSGT, a, b);
  return LLVMBuildSelect(object->emitter.builder, more, a, b, "");
}

/* Constant offsets fold as they are built. */
static LLVMValueRef end_of(Writing *writing, Id id, LLVMValueRef *offset, LLVMValueRef *end) {
  Object *object = writing->object;
  const Buffer *buffer = &writing->plan->buffers.items[id];
  if (end[id]) return end[id];
  if (!buffer->bytes) bug("buffer %d of %s has no place", id, writing->graph->name);
  LLVMValueRef start = NULL;
  for (int k = 0; k < buffer->below.count; k++) {
    start = larger(object, start, end_of(writing, buffer->below.items[k], offset, end));
  }
  offset[id] = start ? start : glue_long(object, 0);
  end[id] = LLVMBuildAdd(object->emitter.builder, offset[id], glue_size(object, buffer->bytes), "");
  return end[id];
}

static void emit_place(Writing *writing) {
  Object *object = writing->object;
  Emitter *emitter = writing->emitter;
  const Plan *plan = writing->plan;
  writing->code->place =
      glue_once(object, glue_declare(object, inner_name(writing, "place"), emitter->i64, &emitter->pointer, 1, false));
  glue_begin(object, writing->code->place);
  LLVMValueRef frame = emitter->frame = LLVMGetParam(writing->code->place, 0), highest = glue_long(object, 0);
  LLVMValueRef *offset = NEW_ARRAY(object->arena, LLVMValueRef, plan->buffers.count);
  LLVMValueRef *end = NEW_ARRAY(object->arena, LLVMValueRef, plan->buffers.count);
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory != MEMORY_ARENA || !buffer->bytes) continue; /* without bytes: nobody's */
    highest = larger(object, highest, end_of(writing, id, offset, end));
    glue_store(object, offset[id], frame, 8 * (int64_t)frame_pointer(plan, id));
  }
  LLVMBuildRet(emitter->builder, highest);
}

static LLVMValueRef rounded(Object *object, LLVMValueRef bytes) {
  LLVMValueRef more = LLVMBuildAdd(object->emitter.builder, bytes, glue_long(object, STATE_ALIGN - 1), "");
  return LLVMBuildAnd(object->emitter.builder, more, glue_long(object, -STATE_ALIGN), "");
}

/* Copies the dims that the entry takes from the caller's array to a new frame. */
static LLVMValueRef new_frame(Writing *writing, LLVMValueRef dims) {
  Object *object = writing->object;
  LLVMValueRef frame = glue_array(object, object->emitter.i64, frame_fields(writing->plan, &writing->code->program));
  object->emitter.frame = frame;
  for (int k = 0; k < writing->plan->module->dims.count; k++) {
    bool turn = k >= writing->dims;
    if (!turn && !writing->mentioned[k]) continue;
    LLVMValueRef value = turn ? glue_long(object, 0) : glue_load(object, object->emitter.i64, dims, 8 * (int64_t)k);
    glue_store(object, value, frame, 8 * (int64_t)frame_dim(writing->plan, k));
  }
  return frame;
}

static void emit_scratch(Writing *writing) {
  Object *object = writing->object;
  Emitter *emitter = writing->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMTypeRef arguments[] = {emitter->pointer, emitter->i32};
  LLVMValueRef function = writing->code->scratch_at =
      glue_once(object, glue_declare(object, inner_name(writing, "scratch"), emitter->i64, arguments, 2, false));
  glue_begin(object, function);
  LLVMValueRef frame = new_frame(writing, LLVMGetParam(function, 0));
  LLVMValueRef bytes = rounded(object, glue_call(object, writing->code->place, &frame, 1));
  if (object->options->cuda) { /* a task's locals are the device's own */
    LLVMBuildRet(builder, LLVMBuildAdd(builder, bytes, gpu_staging_bytes(object, writing->entry), ""));
    return;
  }
  LLVMValueRef workers = larger(object, glue_int(object, 1), LLVMGetParam(function, 1));
  LLVMValueRef each = glue_long(object, round_up(writing->plan->local_bytes, STATE_ALIGN));
  LLVMValueRef locals = LLVMBuildMul(builder, LLVMBuildSExt(builder, workers, emitter->i64, ""), each, "");
  LLVMBuildRet(builder, LLVMBuildAdd(builder, bytes, locals, ""));
}

/* ---- checks ---- */

static void demand_range(Object *object, LLVMValueRef value, int64_t low, int64_t high) {
  if (low > INT64_MIN) glue_demand(object, glue_compare(object, LLVMIntSGE, value, glue_long(object, low)), NN_BAD_DIM);
  if (high < INT64_MAX) glue_demand(object, glue_compare(object, LLVMIntSLE, value, glue_long(object, high)), NN_BAD_DIM);
}

static void demand_sizes(Writing *writing) {
  Object *object = writing->object;
  Module *module = writing->plan->module;
  for (int k = 0; k < writing->dims; k++) {
    const DimSymbol *symbol = &module->dims.items[k];
    if (!writing->mentioned[k]) continue;
    LLVMValueRef value = glue_size(object, dim_symbol(module, k));
    demand_range(object, value, symbol->low, symbol->high);
    if (symbol->step <= 1) continue;
    LLVMValueRef rest = LLVMBuildSRem(object->emitter.builder, value, glue_long(object, symbol->step), "");
    glue_demand(object, glue_compare(object, LLVMIntEQ, rest, glue_long(object, 0)), NN_BAD_DIM);
  }
  for (int k = 0; k < writing->graph->checks.count; k++) {
    const EntryCheck *check = &writing->graph->checks.items[k];
    demand_range(object, glue_size(object, check->dim), check->low, check->high);
  }
}

/* ---- the uniform function ---- */

static void fill_pointers(Writing *writing, LLVMValueRef frame, LLVMValueRef from, int count, int first_field) {
  Object *object = writing->object;
  for (int k = 0; k < count; k++) {
    LLVMValueRef pointer = glue_load(object, object->emitter.pointer, from, 8 * (int64_t)k);
    glue_store(object, pointer, frame, 8 * (int64_t)(first_field + k));
  }
}

/* Where each buffer is counted from, and how far from there it lies; what `place` has left says it for those in the arena. */
static LLVMValueRef buffer_table(Writing *writing) {
  Object *object = writing->object;
  const Plan *plan = writing->plan;
  LLVMTypeRef record = LLVMArrayType2(object->emitter.i64, 2);
  LLVMValueRef *records = NEW_ARRAY(object->arena, LLVMValueRef, plan->buffers.count);
  for (Id id = 0; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    int64_t from = frame_state(plan), distance = 0;
    if (buffer->memory == MEMORY_ARG) from = frame_argument(plan, buffer->index);
    if (buffer->memory == MEMORY_RESULT) from = frame_result(plan, buffer->index);
    if (buffer->memory == MEMORY_STATE) distance = buffer->offset;
    if (buffer->memory == MEMORY_ARENA && buffer->bytes) from = frame_scratch(plan), distance = -1;
    LLVMValueRef numbers[] = {glue_long(object, from), glue_long(object, distance)};
    records[id] = LLVMConstArray2(object->emitter.i64, numbers, 2);
  }
  return glue_table(object, record, records, plan->buffers.count, "buffers");
}

static void fill_buffers(Writing *writing, LLVMValueRef frame) {
  Object *object = writing->object;
  Emitter *emitter = &object->emitter;
  const Plan *plan = writing->plan;
  LLVMValueRef pointers = glue_at(object, frame, 8 * (int64_t)frame_pointer(plan, 0)), table = buffer_table(writing);
  Turns turns;
  turns_open(object, &turns, glue_long(object, plan->buffers.count), NULL);
  LLVMValueRef field = glue_element(object, emitter->i64, pointers, turns.index);
  LLVMValueRef record = glue_element(object, LLVMArrayType2(emitter->i64, 2), table, turns.index);
  LLVMValueRef from = glue_element(object, emitter->i64, frame, glue_load(object, emitter->i64, record, 0));
  LLVMValueRef distance = glue_load(object, emitter->i64, record, 8);
  LLVMValueRef placed = glue_compare(object, LLVMIntSLT, distance, glue_long(object, 0));
  distance = LLVMBuildSelect(emitter->builder, placed, glue_load(object, emitter->i64, field, 0), distance, "");
  glue_store(object, LLVMBuildAdd(emitter->builder, glue_load(object, emitter->i64, from, 0), distance, ""), field, 0);
  turns_close(object, &turns, NULL);
  for (Id id = 1; id < plan->buffers.count && !object->options->cuda; id++) {
    if (plan->buffers.items[id].memory != MEMORY_CONSTANT) continue;
    glue_store(object, emit_constant(emitter, id), pointers, 8 * (int64_t)id);
  }
}

/* What the kernels read but for dims; arguments are the uniform function's. */
static void fill_frame(Writing *writing, LLVMValueRef frame, LLVMValueRef *arguments) {
  Object *object = writing->object;
  const Plan *plan = writing->plan;
  LLVMValueRef end = rounded(object, glue_call(object, writing->code->place, &frame, 1));
  fill_pointers(writing, frame, arguments[4], writing->parameters, frame_argument(plan, 0));
  fill_pointers(writing, frame, arguments[5], writing->results, frame_result(plan, 0));
  if (writing->graph->draws) {
    LLVMValueRef seed = glue_array(object, object->emitter.i64, 1);
    glue_store(object, arguments[6], seed, 0);
    glue_store(object, seed, frame, 8 * (int64_t)frame_argument(plan, writing->parameters));
  }
  glue_store(object, arguments[1], frame, 8 * (int64_t)frame_state(plan));
  glue_store(object, arguments[2], frame, 8 * (int64_t)frame_scratch(plan));
  LLVMValueRef locals = glue_element(object, object->emitter.i8, arguments[2], end);
  glue_store(object, locals, frame, 8 * (int64_t)frame_locals(plan));
  LLVMValueRef each = glue_long(object, round_up(plan->local_bytes, STATE_ALIGN));
  glue_store(object, each, frame, 8 * (int64_t)frame_local_bytes(plan));
  fill_buffers(writing, frame);
  const Program *program = &writing->code->program;
  for (int k = 0; k < program->measures.count; k++) {
    glue_store(object, glue_size(object, program->measures.items[k]), frame, 8 * (int64_t)frame_measure(plan, k));
  }
}

/* How many tasks each kernel has; how often each loop of launches runs, how long each launch of kernels takes. */
static void fill_counts(Writing *writing, LLVMValueRef counts, LLVMValueRef extents) {
  Object *object = writing->object;
  const Plan *plan = writing->plan;
  for (int k = 0; k < plan->kernels.count; k++) {
    glue_store(object, glue_size(object, kernel_task_count(plan, k)), counts, 8 * (int64_t)k);
  }
  for (int k = 0; k < plan->launches.count; k++) {
    const Launch *launch = &plan->launches.items[k];
    const Dim *extent = launch->kind == LAUNCH_LOOP ? launch->trips : dim_constant(plan->module, 0);
    for (int j = 0; launch->kind == LAUNCH_KERNELS && extent && j < launch->count; j++) {
      const Dim *effort = kernel_effort(plan, &plan->kernels.items[launch->first + j]);
      extent = effort ? dim_add(plan->module, extent, effort) : NULL;
    }
    glue_store(object, extent ? glue_size(object, extent) : glue_long(object, INT64_MAX), extents, 8 * (int64_t)k);
  }
}

/* The functions of the version that init chose; without a state, the least able one. */
static LLVMValueRef functions_of_version(Writing *writing, LLVMValueRef state) {
  Object *object = writing->object;
  LLVMBuilderRef builder = object->emitter.builder;
  LLVMValueRef last = glue_long(object, object->nversions - 1), chosen = last;
  if (object->nversions == 1) return writing->code->functions;
  if (entry_wants_state(writing->plan)) {
    chosen = glue_load(object, object->emitter.i64, state, 0);
    chosen = LLVMBuildSelect(builder, glue_compare(object, LLVMIntULT, chosen, last), chosen, last, "");
  }
  LLVMValueRef first = LLVMBuildMul(builder, chosen, glue_long(object, writing->code->program.functions.count), "");
  return glue_element(object, object->emitter.pointer, writing->code->functions, first);
}

static int matching_loop(const Plan *plan, int end) {
  int depth = 0;
  for (int k = end; k >= 0; k--) {
    if (plan->launches.items[k].kind == LAUNCH_END) depth++;
    if (plan->launches.items[k].kind == LAUNCH_LOOP && --depth == 0) return k;
  }
  bug("launch %d of %s ends no loop", end, plan->graph->name);
}

/* One record of 8 numbers for each launch, as executor.c reads them. */
static LLVMValueRef launch_table(Writing *writing) {
  Object *object = writing->object;
  const Plan *plan = writing->plan;
  LLVMTypeRef record = LLVMArrayType2(object->emitter.i32, 8);
  LLVMValueRef *records = NEW_ARRAY(object->arena, LLVMValueRef, plan->launches.count + 1);
  int *match = NEW_ARRAY(object->arena, int, plan->launches.count + 1), ordinal = 0;
  for (int k = 0; k < plan->launches.count; k++) {
    if (plan->launches.items[k].kind != LAUNCH_END) continue;
    match[k] = matching_loop(plan, k);
    match[match[k]] = k;
  }
  for (int k = 0; k < plan->launches.count; k++) {
    const Launch *launch = &plan->launches.items[k];
    const Launch *loop = launch->kind == LAUNCH_END ? &plan->launches.items[match[k]] : launch;
    int turn = launch->kind == LAUNCH_KERNELS ? 0 : frame_dim(plan, loop->turn);
    int numbers[8] = {(int)launch->kind, launch->first, launch->count, turn, loop->reverse, match[k], ordinal, 0};
    LLVMValueRef values[8];
    if (launch->kind == LAUNCH_KERNELS) ordinal++;
    for (int j = 0; j < 8; j++) values[j] = glue_int(object, numbers[j]);
    records[k] = LLVMConstArray2(object->emitter.i32, values, 8);
  }
  return glue_table(object, record, records, plan->launches.count, "launches");
}

/* What scratch has with as many workers as this run. */
static LLVMValueRef scratch_of_run(Writing *writing, LLVMValueRef run, LLVMValueRef dims) {
  Object *object = writing->object;
  LLVMValueRef workers = glue_array(object, object->emitter.i32, 1);
  glue_store(object, glue_int(object, 1), workers, 0);
  LLVMBasicBlockRef after = glue_if(object, glue_compare(object, LLVMIntNE, run, glue_null(object)));
  glue_store(object, glue_load(object, object->emitter.i32, run, offsetof(nn_run, workers)), workers, 0);
  glue_end_if(object, after);
  LLVMValueRef arguments[] = {dims, glue_load(object, object->emitter.i32, workers, 0)};
  return glue_call(object, writing->code->scratch_at, arguments, 2);
}

static void emit_call(Writing *writing) {
  Object *object = writing->object;
  Emitter *emitter = writing->emitter;
  const Plan *plan = writing->plan;
  LLVMTypeRef pointer = emitter->pointer, types[] = {pointer, pointer, pointer, pointer, pointer, pointer, emitter->i64};
  LLVMValueRef function = writing->code->call =
      glue_once(object, glue_declare(object, inner_name(writing, "call"), emitter->i32, types, COUNT_OF(types), false));
  LLVMValueRef arguments[COUNT_OF(types)];
  LLVMGetParams(function, arguments);
  glue_begin(object, function);
  if (entry_wants_state(plan)) glue_demand_memory(object, arguments[1]);
  if (entry_wants_scratch(plan, object->options->cuda)) glue_demand_memory(object, arguments[2]);
  LLVMValueRef frame = new_frame(writing, arguments[3]);
  demand_sizes(writing);
  fill_frame(writing, frame, arguments);
  LLVMValueRef counts = glue_array(object, emitter->i64, plan->kernels.count);
  LLVMValueRef extents = glue_array(object, emitter->i64, plan->launches.count);
  fill_counts(writing, counts, extents);
  if (object->options->cuda) {
    LLVMBuildRet(emitter->builder,
                 emit_gpu_execute(object, writing->entry, arguments[0], frame, launch_table(writing), counts, extents));
    return;
  }
  LLVMValueRef execute[] = {arguments[0],
                            frame,
                            functions_of_version(writing, arguments[1]),
                            writing->code->numbers,
                            launch_table(writing),
                            glue_long(object, plan->launches.count),
                            counts,
                            extents,
                            writing->code->lives};
  LLVMValueRef all = object->options->sanitize ? scratch_of_run(writing, arguments[0], arguments[3]) : NULL;
  LLVMValueRef locals = all ? glue_load(object, emitter->pointer, frame, 8 * (int64_t)frame_locals(plan)) : NULL;
  if (all) sanitize_forbid(object, arguments[2], locals, all);
  glue_call(object, object->execute, execute, COUNT_OF(execute) - !writing->code->lives);
  if (all) sanitize_allow(object, arguments[2], all);
  LLVMBuildRet(emitter->builder, glue_int(object, NN_OK));
}

/* ---- the exported functions ---- */

/* The dims among a function's arguments, from *next on, as an array of all dims. */
static LLVMValueRef spill_dims(Writing *writing, LLVMValueRef function, unsigned *next) {
  Object *object = writing->object;
  LLVMValueRef dims = glue_array(object, object->emitter.i64, writing->dims);
  for (int k = 0; k < writing->dims; k++) {
    if (writing->mentioned[k]) glue_store(object, LLVMGetParam(function, (*next)++), dims, 8 * (int64_t)k);
  }
  return dims;
}

static void emit_own_scratch(Writing *writing) {
  Object *object = writing->object;
  LLVMValueRef function = writing->code->scratch;
  unsigned next = 0;
  glue_begin(object, function);
  LLVMValueRef dims = spill_dims(writing, function, &next);
  LLVMValueRef arguments[] = {dims, LLVMGetParam(function, next)};
  LLVMBuildRet(object->emitter.builder, glue_call(object, writing->code->scratch_at, arguments, 2));
}

static void emit_own_entry(Writing *writing) {
  Object *object = writing->object;
  Emitter *emitter = writing->emitter;
  LLVMValueRef function = writing->code->entry;
  unsigned next = 3;
  glue_begin(object, function);
  debug_begin(emitter, function, writing->graph->place);
  LLVMValueRef dims = spill_dims(writing, function, &next);
  LLVMValueRef parameters = glue_array(object, emitter->pointer, writing->parameters);
  LLVMValueRef results = glue_array(object, emitter->pointer, writing->results);
  for (int k = 0; k < writing->parameters; k++) {
    LLVMValueRef value = LLVMGetParam(function, next++);
    if (writing->graph->parameters.items[k].type.rank == 0) {
      LLVMValueRef cell = glue_array(object, emitter->i64, 1);
      glue_store(object, value, cell, 0);
      value = cell;
    }
    glue_store(object, value, parameters, 8 * (int64_t)k);
  }
  for (int k = 0; k < writing->results; k++) {
    glue_store(object, LLVMGetParam(function, next++), results, 8 * (int64_t)k);
  }
  LLVMValueRef seed = writing->graph->draws ? LLVMGetParam(function, next) : glue_long(object, 0);
  LLVMValueRef arguments[] = {
      LLVMGetParam(function, 0), LLVMGetParam(function, 1), LLVMGetParam(function, 2), dims, parameters, results, seed};
  LLVMBuildRet(emitter->builder, glue_call(object, writing->code->call, arguments, COUNT_OF(arguments)));
  debug_end(emitter);
}

/* ---- sizes ---- */

static void store_sizes(Writing *writing, const Type *type, LLVMValueRef out, int64_t *at) {
  for (int k = 0; k < type->rank; k++) {
    glue_store(writing->object, glue_size(writing->object, type->size[k]), out, 8 * (*at)++);
  }
}

/* A frame begins with the dims, so the dims stand for it. */
static void emit_sizes(Writing *writing) {
  Object *object = writing->object;
  Emitter *emitter = writing->emitter;
  const Graph *graph = writing->graph;
  LLVMTypeRef types[] = {emitter->pointer, emitter->pointer};
  LLVMTypeRef nothing = LLVMVoidTypeInContext(emitter->context);
  LLVMValueRef function = writing->code->sizes =
      glue_once(object, glue_declare(object, inner_name(writing, "sizes"), nothing, types, 2, false));
  int64_t at = 0;
  glue_begin(object, function);
  emitter->frame = LLVMGetParam(function, 0);
  for (int k = 0; k < writing->parameters; k++) {
    store_sizes(writing, &graph->parameters.items[k].type, LLVMGetParam(function, 1), &at);
  }
  for (int k = 0; k < writing->results; k++) {
    store_sizes(writing, graph_type(graph, graph->results.items[k].value), LLVMGetParam(function, 1), &at);
  }
  LLVMBuildRetVoid(emitter->builder);
}

void emit_entry(Object *object, int entry) {
  Writing writing = writing_of(object, entry);
  object->emitter.plan = object->plans[entry];
  emit_place(&writing);
  emit_scratch(&writing);
  if (object->options->sanitize == SANITIZE_ADDRESS)
    writing.code->lives = sanitize_lives(object, writing.plan, inner_name(&writing, "lives"));
  emit_call(&writing);
  emit_own_scratch(&writing);
  emit_own_entry(&writing);
  emit_sizes(&writing);
}
