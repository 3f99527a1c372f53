/* Stages as functions, each made once: layers repeat, and a model's entries run the same layers.
 *
 *   void stage(const frame *, const int64_t *starts, void *const *buffers)
 *
 * starts holds where the task's tile begins, for each task loop that is cut, the innermost first; buffers stand in the order
 * in which the stage names them, so that stages that differ in buffers alone are one
 * function. What the code of a stage depends on is written down as its key: all of the stage but places and names, the
 * kernel's task loops, the processor, and of each buffer what the emitters ask; with -g also the line, so that a profile
 * tells layers apart. Dims are interned, so their addresses stand for them.
 *
 * Functions are dealt out to the emitters that share the table, the least filled one first. */
#include "codegen/cpu/nest.h"
#include "codegen/interface.h"

#include <llvm-c/Core.h>
#include <string.h>

struct StageCode {
  uint64_t hash;
  size_t length;
  const char *key;
  const char *name;
  Emitter *home; /* whose module it is in */
  LLVMValueRef function;
};

Stages *stages_new(Arena *arena, Emitter **emitters, int count) {
  Stages *stages = NEW(arena, Stages);
  *stages = (Stages){.arena = arena, .emitters = emitters, .nemitters = count, .filled = NEW_ARRAY(arena, int64_t, count)};
  return stages;
}

/* ---- keys ---- */

typedef struct Key {
  const Plan *plan;
  const Kernel *kernel;
  const Stage *stage;
  StageCall *call;
  Text text;
} Key;

static void add_number(Key *key, int64_t number) { text_add_bytes(&key->text, (const char *)&number, sizeof number); }
static void add_pointer(Key *key, const void *pointer) { add_number(key, (int64_t)(intptr_t)pointer); }
static void add_real(Key *key, double number) { text_add_bytes(&key->text, (const char *)&number, sizeof number); }

static void add_buffer(Key *key, Id id) {
  StageCall *call = key->call;
  for (int k = 0; k < call->nbuffers; k++) {
    if (call->buffers[k] != id) continue;
    add_number(key, k);
    return;
  }
  const Buffer *buffer = &key->plan->buffers.items[id];
  add_number(key, call->nbuffers);
  add_number(key, buffer->type.dtype);
  add_number(key, buffer->memory == MEMORY_RESULT && key->stage->stores.count > 1); /* asks whether it is wanted */
  call->buffers[call->nbuffers++] = id;
}

static void add_access(Key *key, const Access *access) {
  add_number(key, access->buffer != 0);
  if (access->buffer) add_buffer(key, access->buffer);
  add_number(key, access->map.naxes);
  for (int k = 0; k < access->map.naxes; k++) {
    const Axis *axis = &access->map.axis[k];
    add_pointer(key, access->as.size[k]);
    if (k > 0) add_pointer(key, access_storage_size(key->plan, key->kernel, access, k)); /* strides come from these */
    add_number(key, access->index[k]);
    add_pointer(key, axis->offset);
    add_number(key, axis->divisor);
    add_number(key, axis->nterms);
    for (int term = 0; term < axis->nterms; term++) {
      add_number(key, axis->dim[term]);
      add_number(key, axis->coefficient[term]);
    }
  }
}

static void add_scalar(Key *key, const Scalar *scalar) {
  const int16_t numbers[] = {scalar->op, (int16_t)scalar->dtype, scalar->a, scalar->b, scalar->c, scalar->index};
  text_add_bytes(&key->text, (const char *)numbers, sizeof numbers);
  add_real(key, scalar->number);
  add_pointer(key, scalar->dim);
  add_number(key, scalar->access != NULL);
  if (scalar->access) add_access(key, scalar->access);
}

static void add_loops(Key *key) {
  const Stage *stage = key->stage;
  add_number(key, key->kernel->ntasks);
  for (int k = 0; k < key->kernel->ntasks; k++) {
    add_pointer(key, key->kernel->tasks[k].extent);
    add_number(key, key->kernel->tasks[k].tile);
  }
  add_number(key, stage->nloops);
  add_number(key, stage->nkept);
  for (int k = 0; k < stage->nloops; k++) add_pointer(key, stage->loops[k].extent);
}

static void add_line(Key *key) {
  int line = 0, column = 0;
  const Place *place = place_of_user(key->stage->place);
  if (place && place->source) place_position(place, &line, &column);
  add_number(key, line);
}

/* Also finds the buffers, in order. */
static void write_key(Key *key) {
  const Stage *stage = key->stage;
  const Tile *tile = &stage->tile;
  add_number(key, stage->kind);
  add_loops(key);
  add_number(key, stage->scalars.count);
  add_number(key, stage->after);
  for (int k = 0; k < stage->scalars.count; k++) add_scalar(key, &stage->scalars.items[k]);
  add_number(key, stage->folders.count);
  for (int k = 0; k < stage->folders.count; k++) {
    const Folder *folder = &stage->folders.items[k];
    const int16_t numbers[] = {(int16_t)folder->op, (int16_t)folder->dtype, folder->value, folder->when};
    text_add_bytes(&key->text, (const char *)numbers, sizeof numbers);
  }
  add_number(key, stage->stores.count);
  for (int k = 0; k < stage->stores.count; k++) {
    add_number(key, stage->stores.items[k].value);
    add_access(key, &stage->stores.items[k].access);
  }
  const int numbers[] = {tile->vector, tile->row, tile->column, tile->rows, tile->columns, tile->piece, stage->vector};
  text_add_bytes(&key->text, (const char *)numbers, sizeof numbers);
}

/* ---- functions ---- */

LLVMTypeRef stage_type(const Emitter *emitter) {
  LLVMTypeRef types[] = {emitter->pointer, emitter->pointer, emitter->pointer};
  return LLVMFunctionType(LLVMVoidTypeInContext(emitter->context), types, 3, 0);
}

static LLVMValueRef load_parameter(Emitter *emitter, unsigned parameter, LLVMTypeRef type, int at) {
  LLVMValueRef index = const_i64(emitter, at), array = LLVMGetParam(emitter->function, parameter);
  return LLVMBuildLoad2(emitter->builder, type, LLVMBuildGEP2(emitter->builder, type, array, &index, 1, ""), "");
}

static LLVMValueRef smaller(Emitter *emitter, LLVMValueRef a, LLVMValueRef b) {
  LLVMValueRef first = LLVMBuildICmp(emitter->builder, LLVMIntSLT, a, b, "");
  return LLVMBuildSelect(emitter->builder, first, a, b, "");
}

/* The bounds of the task's tile; the builder stands in the entry block. */
static void find_bounds(Work *work) {
  Emitter *emitter = work->emitter;
  int next = 0;
  for (int k = work->kernel->ntasks - 1; k >= 0; k--) {
    const Loop *loop = &work->kernel->tasks[k];
    int64_t extent = -1;
    dim_is_constant(loop->extent, &extent);
    if (!loop_is_cut(loop)) {
      work->start[k] = const_i64(emitter, 0);
      work->stop[k] = const_i64(emitter, extent);
      work->trip[k] = extent;
      continue;
    }
    work->start[k] = load_parameter(emitter, 1, emitter->i64, next++);
    work->stop[k] = LLVMBuildNSWAdd(emitter->builder, work->start[k], const_i64(emitter, loop->tile), "");
    bool even = extent > 0 && extent % loop->tile == 0;
    if (!even) work->stop[k] = smaller(emitter, work->stop[k], emit_dim(emitter, loop->extent));
    work->trip[k] = even ? loop->tile : loop->tile == 1 ? 1 : -1;
  }
}

static void emit_body(Work *work, const Stage *stage) {
  switch (stage->kind) {
  case STAGE_EACH: emit_each(work, stage); break;
  case STAGE_FOLD: emit_fold(work, stage); break;
  case STAGE_CONTRACT: emit_contract(work, stage); break;
  case STAGE_SCATTER: emit_scatter(work, stage); break;
  case STAGE_SORT: emit_sort(work, stage); break;
  case STAGE_CUMSUM: emit_cumsum(work, stage); break;
  }
}

static LLVMValueRef emit_stage(Emitter *emitter, const Kernel *kernel, const Stage *stage, const StageCall *call,
                               const char *name) {
  const Plan *plan = emitter->plan;
  Work work = {.emitter = emitter, .kernel = kernel, .module = plan->module, .arena = plan->module->arena};
  LLVMValueRef function = emit_function(emitter, name, stage_type(emitter));
  emitter->frame = LLVMGetParam(function, 0);
  work.pointers = NEW_ARRAY(work.arena, LLVMValueRef, plan->buffers.count + 1);
  work.wanted = stage->stores.count == 1; /* the kernel has asked */
  work.entry = new_block(emitter, "entry");
  LLVMBasicBlockRef body = new_block(emitter, "stage");
  LLVMPositionBuilderAtEnd(emitter->builder, work.entry);
  debug_begin(emitter, function, stage->place);
  find_bounds(&work);
  for (int k = 0; k < call->nbuffers; k++)
    work.pointers[call->buffers[k]] = load_parameter(emitter, 2, emitter->pointer, k);
  LLVMBuildBr(emitter->builder, body);
  LLVMPositionBuilderAtEnd(emitter->builder, body);
  emit_body(&work, stage);
  LLVMBuildRetVoid(emitter->builder);
  debug_end(emitter);
  return function;
}

/* ---- the table ---- */

static StageCode *find_code(Stages *stages, uint64_t hash, const Text *text) {
  for (int k = 0; k < stages->codes.count; k++) {
    StageCode *code = stages->codes.items[k];
    if (code->hash == hash && code->length == text->length && memcmp(code->key, text->bytes, text->length) == 0)
      return code;
  }
  return NULL;
}

static int64_t count_instructions(LLVMValueRef function) {
  int64_t count = 0;
  for (LLVMBasicBlockRef block = LLVMGetFirstBasicBlock(function); block; block = LLVMGetNextBasicBlock(block)) {
    for (LLVMValueRef at = LLVMGetFirstInstruction(block); at; at = LLVMGetNextInstruction(at)) count++;
  }
  return count;
}

void stages_count(Stages *stages, LLVMModuleRef module) {
  LLVMValueRef function = LLVMGetFirstFunction(module);
  for (; function; function = LLVMGetNextFunction(function)) stages->filled[0] += count_instructions(function);
}

static void make_code(Stages *stages, StageCode *code, const Emitter *asker, const Key *key) {
  int least = 0;
  for (int k = 1; k < stages->nemitters; k++) {
    if (stages->filled[k] < stages->filled[least]) least = k;
  }
  Emitter *home = code->home = stages->emitters[least];
  const char *suffix = asker->suffix ? asker->suffix : "";
  int number = (int)(key->stage - key->kernel->stages.items);
  code->name = arena_format(stages->arena, "%s_%s.%d%s", asker->plan->module->name, key->kernel->name, number, suffix);
  home->plan = asker->plan;
  home->stages = stages;
  home->processor = asker->processor;
  code->function = emit_stage(home, key->kernel, key->stage, key->call, code->name);
  if (stages->nemitters > 1) {
    LLVMSetLinkage(code->function, LLVMExternalLinkage);
    LLVMSetVisibility(code->function, LLVMHiddenVisibility);
  }
  stages->filled[least] += count_instructions(code->function);
}

static LLVMValueRef function_in(const Emitter *emitter, const StageCode *code) {
  if (emitter->module == code->home->module) return code->function;
  LLVMValueRef known = LLVMGetNamedFunction(emitter->module, code->name);
  if (known) return known;
  LLVMValueRef declared = LLVMAddFunction(emitter->module, code->name, stage_type(emitter));
  LLVMSetVisibility(declared, LLVMHiddenVisibility);
  return declared;
}

void stage_function(Emitter *emitter, const Kernel *kernel, const Stage *stage, StageCall *call) {
  Stages *stages = emitter->stages;
  Key key = {.plan = emitter->plan, .kernel = kernel, .stage = stage, .call = call};
  call->nbuffers = 0;
  call->buffers = NEW_ARRAY(stages->arena, Id, stage->scalars.count + stage->stores.count);
  add_pointer(&key, emitter->processor);
  if (emitter->debug) add_line(&key);
  write_key(&key);
  uint64_t hash = hash_bytes(key.text.bytes, key.text.length);
  StageCode *code = find_code(stages, hash, &key.text);
  if (!code) {
    code = NEW(stages->arena, StageCode);
    *code = (StageCode){.hash = hash, .length = key.text.length};
    code->key = arena_copy(stages->arena, key.text.bytes, key.text.length);
    make_code(stages, code, emitter, &key);
    PUSH(stages->arena, &stages->codes, code);
  }
  call->function = function_in(emitter, code);
  text_free(&key.text);
}
