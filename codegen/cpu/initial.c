/* What a program does with the state block: <model>_init draws it, get and set move one param or state by name, error names
 * a code.
 *
 * init walks a table with one record for each symbol that does not start as zeros (the block is zeroed first, so that the
 * gaps are the same in every run too). The numbers are ir/random.c's initialise(), bit for bit. */
#include "codegen/cpu/glue.h"
#include "ir/interpret.h"
#include "runtime/nn.h"

#include <string.h>

/* One record: {i64 offset, i64 count, i32 kind, i32 stream, double a, double b, ptr array, i64 symbol}. What a and b are, the
 * kind says: UNIFORM: from a on, so far as b; NORMAL: deviation a; ORTHOGONAL: gain a, and b rows. */
enum { RECORD_OFFSET = 0, RECORD_COUNT = 8, RECORD_KIND = 16, RECORD_STREAM = 20, RECORD_A = 24, RECORD_B = 32 };
enum { RECORD_ARRAY = 40, RECORD_SYMBOL = 48, RECORD_FIELDS = 8, RECORD_BYTES = 56 };
enum { DRAW_COPY, DRAW_WORDS, DRAW_BYTES, DRAW_UNIFORM, DRAW_NORMAL, DRAW_ORTHOGONAL, DRAW_SEED, DRAW_KINDS };

/* ---- the table ---- */

/* A symbol's first value where no seed matters, as bytes; count: of elements, at most all. */
static const char *plain_bytes(Object *object, const Symbol *symbol, int64_t count, int64_t *bytes) {
  Array array = array_new(object->arena, symbol->type.dtype, false, 1, &count);
  initialise(symbol, 0, &array);
  *bytes = count * plan_element_bytes(symbol->type.dtype);
  return array.data;
}

static LLVMValueRef array_constant(Object *object, const Symbol *symbol, int64_t count, int64_t *bytes) {
  const char *canonical = plain_bytes(object, symbol, count, bytes);
  char *data = arena_copy(object->arena, canonical, (size_t)*bytes);
  StoredFactor factors[MAX_FACTORS];
  int nfactors = symbol_factors(symbol, factors);
  int64_t width = plan_element_bytes(symbol->type.dtype);
  for (int64_t index = 0; index < count; index++) {
    int64_t place = stored_place(factors, nfactors, index);
    memcpy(data + place * width, canonical + index * width, (size_t)width);
  }
  LLVMValueRef value = LLVMConstStringInContext2(object->emitter.context, data, (size_t)*bytes, 1);
  return glue_constant(object, value, "initial");
}

/* False if zeros are right. */
static bool describe_draw(Object *object, int symbol_index, LLVMValueRef *record, bool *used) {
  const Symbol *symbol = &object->module->symbols.items[symbol_index];
  const Initialiser *init = &symbol->init;
  int64_t count = 1, kind = DRAW_COPY, bytes;
  uint64_t name = hash_bytes(symbol->name, strlen(symbol->name));
  uint32_t stream = (uint32_t)(name ^ name >> 32);
  double a = init->a, b = init->b;
  LLVMValueRef array = glue_null(object);
  for (int k = 0; k < symbol->type.rank; k++) count *= symbol->type.size[k]->value;
  if (strcmp(symbol->name, "nn.calls") == 0) return false;
  if (strcmp(symbol->name, "nn.seed") == 0) {
    kind = DRAW_SEED;
  } else if (init->kind == INIT_NUMBER) {
    const char *value = plain_bytes(object, symbol, 1, &bytes);
    static const char zeros[4];
    if (memcmp(value, zeros, (size_t)bytes) == 0) return false;
    kind = bytes == 1 ? DRAW_BYTES : DRAW_WORDS;
    memcpy(&stream, value, (size_t)bytes);
    if (bytes == 1) stream = (uint8_t)*value;
  } else if (init->kind == INIT_ARRAY) {
    array = array_constant(object, symbol, count, &bytes);
    count = bytes;
  } else {
    CHECK(symbol->type.dtype == F32);
    kind = init->kind == INIT_UNIFORM ? DRAW_UNIFORM : init->kind == INIT_NORMAL ? DRAW_NORMAL : DRAW_ORTHOGONAL;
    if (kind == DRAW_ORTHOGONAL) b = symbol->type.rank > 0 ? (double)symbol->type.size[0]->value : 1;
    if (kind == DRAW_UNIFORM) a = (float)init->a, b = (float)init->b - (float)init->a;
  }
  LLVMTypeRef real = LLVMDoubleTypeInContext(object->emitter.context);
  LLVMValueRef fields[RECORD_FIELDS] = {glue_long(object, object->layout.offset[symbol_index]),
                                        glue_long(object, count),
                                        glue_int(object, kind),
                                        LLVMConstInt(object->emitter.i32, stream, 0),
                                        LLVMConstReal(real, a),
                                        LLVMConstReal(real, b),
                                        array,
                                        glue_long(object, symbol_index)};
  *record = glue_struct(object, fields, RECORD_FIELDS);
  used[kind] = true;
  return true;
}

typedef struct DrawTable {
  LLVMValueRef records;
  int count;
  bool used[DRAW_KINDS];
} DrawTable;

static DrawTable draw_table(Object *object) {
  LLVMValueRef *records = NEW_ARRAY(object->arena, LLVMValueRef, object->module->symbols.count + 1);
  DrawTable table = {.count = 0};
  for (int k = 0; k < object->module->symbols.count; k++) {
    table.count += describe_draw(object, k, &records[table.count], table.used);
  }
  LLVMTypeRef type = table.count ? LLVMTypeOf(records[0]) : NULL;
  table.records = glue_table(object, type, records, table.count, "draws");
  return table;
}

/* ---- init ---- */

typedef struct Filling {
  Object *object;
  LLVMBuilderRef builder;
  const Draws *draws;
  LLVMValueRef seed, record, to, count, stream;
  LLVMValueRef key;        /* of this symbol's random stream */
  LLVMValueRef symbol;     /* its description */
  LLVMValueRef move_in;    /* the function of emit_move_elements */
  LLVMValueRef orthogonal; /* of emit_orthogonal, where it is used */
} Filling;

static void fill_copy(Filling *f) {
  LLVMValueRef from = glue_load(f->object, f->object->emitter.pointer, f->record, RECORD_ARRAY);
  LLVMBuildMemCpy(f->builder, f->to, 1, from, 1, f->count);
}

static void fill_each(Filling *f, LLVMTypeRef type, LLVMValueRef value) {
  Turns turns;
  turns_open(f->object, &turns, f->count, NULL);
  glue_store(f->object, value, glue_element(f->object, type, f->to, turns.index), 0);
  turns_close(f->object, &turns, NULL);
}

static void fill_words(Filling *f) { fill_each(f, f->object->emitter.i32, f->stream); }

static void fill_bytes(Filling *f) {
  LLVMTypeRef i8 = f->object->emitter.i8;
  fill_each(f, i8, LLVMBuildTrunc(f->builder, f->stream, i8, ""));
}

static LLVMValueRef record_number(Filling *f, int64_t at) {
  return glue_load(f->object, LLVMDoubleTypeInContext(f->object->emitter.context), f->record, at);
}

/* So many at a time, on the stack: an object has no other memory. */
enum { DRAWN_AT_ONCE = 512 };

static void fill_drawn(Filling *f, LLVMValueRef draw, LLVMValueRef a, LLVMValueRef b) {
  Object *object = f->object;
  LLVMValueRef floats = glue_array(object, object->emitter.f32, DRAWN_AT_ONCE + DRAW_PADDING);
  LLVMValueRef most = glue_long(object, DRAWN_AT_ONCE), more = LLVMBuildAdd(f->builder, f->count, most, "");
  Turns turns;
  more = LLVMBuildSub(f->builder, more, glue_long(object, 1), "");
  turns_open(object, &turns, LLVMBuildUDiv(f->builder, more, most, ""), NULL);
  LLVMValueRef start = LLVMBuildMul(f->builder, turns.index, most, "");
  LLVMValueRef count = LLVMBuildSub(f->builder, f->count, start, "");
  count = LLVMBuildSelect(f->builder, glue_compare(object, LLVMIntSLT, count, most), count, most, "");
  glue_call(object, draw, (LLVMValueRef[]){floats, start, count, f->key, a, b}, 6);
  glue_call(object, f->move_in, (LLVMValueRef[]){f->symbol, f->to, floats, start, count}, 5);
  turns_close(object, &turns, NULL);
}

static void fill_uniform(Filling *f) {
  fill_drawn(f, f->draws->uniform, record_number(f, RECORD_A), record_number(f, RECORD_B));
}

static void fill_normal(Filling *f) {
  LLVMValueRef deviation = record_number(f, RECORD_A);
  fill_drawn(f, f->draws->normal, deviation, deviation);
}

static void fill_orthogonal(Filling *f) {
  LLVMValueRef rows = LLVMBuildFPToSI(f->builder, record_number(f, RECORD_B), f->object->emitter.i64, "");
  LLVMValueRef columns = LLVMBuildSDiv(f->builder, f->count, rows, "");
  LLVMValueRef one = LLVMConstReal(LLVMDoubleTypeInContext(f->object->emitter.context), 1);
  LLVMValueRef arguments[] = {f->to, f->symbol, rows, columns, record_number(f, RECORD_A)};
  fill_drawn(f, f->draws->normal, one, one);
  glue_call(f->object, f->orthogonal, arguments, COUNT_OF(arguments));
}

/* i32[2], the low word first: the bytes of the uint64_t. */
static void fill_seed(Filling *f) { glue_store(f->object, f->seed, f->to, 0); }

static void emit_kinds(Filling *f, const bool *used) {
  static void (*const fill[DRAW_KINDS])(Filling *) = {
      [DRAW_COPY] = fill_copy,       [DRAW_WORDS] = fill_words,   [DRAW_BYTES] = fill_bytes,
      [DRAW_UNIFORM] = fill_uniform, [DRAW_NORMAL] = fill_normal, [DRAW_ORTHOGONAL] = fill_orthogonal,
      [DRAW_SEED] = fill_seed,
  };
  Object *object = f->object;
  LLVMBasicBlockRef after = glue_block(object);
  LLVMValueRef kind = glue_load(object, object->emitter.i32, f->record, RECORD_KIND);
  LLVMValueRef choice = LLVMBuildSwitch(f->builder, kind, after, DRAW_KINDS);
  for (int k = 0; k < DRAW_KINDS; k++) {
    if (!used[k]) continue;
    LLVMBasicBlockRef block = glue_block(object);
    LLVMAddCase(choice, glue_int(object, k), block);
    LLVMPositionBuilderAtEnd(f->builder, block);
    fill[k](f);
    LLVMBuildBr(f->builder, after);
  }
  LLVMPositionBuilderAtEnd(f->builder, after);
}

/* The functions that init calls. */
typedef struct Helpers {
  Draws draws;
  LLVMValueRef place, move_in, move_out, orthogonal;
} Helpers;

static void emit_fillings(Object *object, const Helpers *helpers, const DrawTable *table, LLVMValueRef state,
                          LLVMValueRef seed) {
  const Draws *draws = &helpers->draws;
  LLVMBuilderRef builder = object->emitter.builder;
  LLVMTypeRef i32 = object->emitter.i32, i64 = object->emitter.i64;
  if (table->count == 0) return;
  Filling f = {.object = object, .builder = builder, .draws = draws, .seed = seed};
  f.move_in = helpers->move_in, f.orthogonal = helpers->orthogonal;
  LLVMValueRef low = LLVMBuildTrunc(builder, seed, i32, "");
  LLVMValueRef high = LLVMBuildTrunc(builder, LLVMBuildLShr(builder, seed, glue_long(object, 32), ""), i32, "");
  Turns turns;
  turns_open(object, &turns, glue_long(object, table->count), NULL);
  f.record = glue_element(object, LLVMArrayType2(object->emitter.i8, RECORD_BYTES), table->records, turns.index);
  f.to = glue_element(object, object->emitter.i8, state, glue_load(object, i64, f.record, RECORD_OFFSET));
  f.count = glue_load(object, i64, f.record, RECORD_COUNT);
  f.stream = glue_load(object, i32, f.record, RECORD_STREAM);
  LLVMTypeRef symbol = LLVMArrayType2(object->emitter.i8, sizeof(nn_symbol));
  f.symbol = glue_element(object, symbol, object->symbols, glue_load(object, i64, f.record, RECORD_SYMBOL));
  if (draws->key) f.key = emit_random_key(object, draws, emit_random_key(object, draws, f.stream, low), high);
  emit_kinds(&f, table->used);
  turns_close(object, &turns, NULL);
}

static void emit_init(Object *object, const Helpers *helpers, const DrawTable *table) {
  LLVMBuilderRef builder = object->emitter.builder;
  LLVMValueRef state = LLVMGetParam(object->host_init, 0), seed = LLVMGetParam(object->host_init, 1);
  glue_begin(object, object->host_init);
  glue_demand_memory(object, state);
  LLVMValueRef version = emit_choose_version(object);
  glue_demand(object, glue_compare(object, LLVMIntSGE, version, glue_int(object, 0)), NN_BAD_PROCESSOR);
  LLVMValueRef zero = LLVMConstNull(object->emitter.i8);
  LLVMBuildMemSet(builder, state, zero, glue_long(object, object->layout.bytes), STATE_ALIGN);
  glue_store(object, LLVMBuildZExt(builder, version, object->emitter.i64, ""), state, 0);
  emit_fillings(object, helpers, table, state, seed);
  LLVMBuildRet(builder, glue_int(object, NN_OK));
}

/* ---- get, set, error ---- */

/* ptr find(name): the symbol's description, or NULL. */
static LLVMValueRef emit_find(Object *object) {
  Emitter *emitter = &object->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMTypeRef pointer = emitter->pointer;
  LLVMValueRef function = glue_once(object, glue_declare(object, glue_name(object, "find"), pointer, &pointer, 1, false));
  LLVMValueRef name = LLVMGetParam(function, 0), zero = glue_long(object, 0);
  glue_begin(object, function);
  Turns turns;
  turns_open(object, &turns, glue_long(object, object->module->symbols.count), NULL);
  LLVMTypeRef record = LLVMArrayType2(emitter->i8, sizeof(nn_symbol));
  LLVMValueRef symbol = glue_element(object, record, object->symbols, turns.index);
  LLVMValueRef own = glue_load(object, emitter->pointer, symbol, offsetof(nn_symbol, name));
  LLVMBasicBlockRef before = LLVMGetInsertBlock(builder), compare = glue_block(object), same = glue_block(object);
  LLVMBasicBlockRef more = glue_block(object), found = glue_block(object), other = glue_block(object);
  LLVMBuildBr(builder, compare);
  LLVMPositionBuilderAtEnd(builder, compare);
  LLVMValueRef at = LLVMBuildPhi(builder, emitter->i64, "");
  LLVMValueRef a = glue_load(object, emitter->i8, glue_element(object, emitter->i8, name, at), 0);
  LLVMValueRef b = glue_load(object, emitter->i8, glue_element(object, emitter->i8, own, at), 0);
  LLVMBuildCondBr(builder, glue_compare(object, LLVMIntEQ, a, b), same, other);
  LLVMPositionBuilderAtEnd(builder, same);
  LLVMBuildCondBr(builder, glue_compare(object, LLVMIntEQ, a, LLVMConstNull(emitter->i8)), found, more);
  LLVMPositionBuilderAtEnd(builder, more);
  LLVMValueRef next = LLVMBuildAdd(builder, at, glue_long(object, 1), "");
  LLVMBuildBr(builder, compare);
  LLVMAddIncoming(at, (LLVMValueRef[]){zero, next}, (LLVMBasicBlockRef[]){before, more}, 2);
  LLVMPositionBuilderAtEnd(builder, found);
  LLVMBuildRet(builder, symbol);
  LLVMPositionBuilderAtEnd(builder, other);
  turns_close(object, &turns, NULL);
  LLVMBuildRet(builder, glue_null(object));
  return function;
}

/* i64 place(symbol, index): where element `index` of the canonical order lies. */
static LLVMValueRef emit_place(Object *object) {
  Emitter *emitter = &object->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMTypeRef types[] = {emitter->pointer, emitter->i64};
  LLVMValueRef function = glue_declare(object, glue_name(object, "place"), emitter->i64, types, 2, false);
  LLVMValueRef symbol = LLVMGetParam(function, 0), index = LLVMGetParam(function, 1), zero = glue_long(object, 0);
  glue_begin(object, function);
  LLVMValueRef count = glue_load(object, emitter->i64, symbol, offsetof(nn_symbol, nfactors));
  LLVMBasicBlockRef after = glue_if(object, glue_compare(object, LLVMIntEQ, count, zero));
  LLVMBuildRet(builder, index);
  LLVMPositionBuilderAtEnd(builder, after);
  LLVMValueRef factors = glue_load(object, emitter->pointer, symbol, offsetof(nn_symbol, factors));
  Turns turns;
  turns_open(object, &turns, count, zero);
  LLVMValueRef factor = glue_element(object, LLVMArrayType2(emitter->i8, sizeof(nn_factor)), factors, turns.index);
  LLVMValueRef modulus = glue_load(object, emitter->i64, factor, offsetof(nn_factor, modulus));
  LLVMValueRef divisor = glue_load(object, emitter->i64, factor, offsetof(nn_factor, divisor));
  LLVMValueRef stride = glue_load(object, emitter->i64, factor, offsetof(nn_factor, stride));
  LLVMValueRef digit = LLVMBuildUDiv(builder, LLVMBuildURem(builder, index, modulus, ""), divisor, "");
  turns_close(object, &turns, LLVMBuildAdd(builder, turns.carried, LLVMBuildMul(builder, digit, stride, ""), ""));
  LLVMBuildRet(builder, turns.carried);
  return function;
}

/* The host's words need not be aligned. */
static void emit_move_word(Object *object, LLVMValueRef inside, LLVMValueRef outside, bool out) {
  Emitter *emitter = &object->emitter;
  LLVMValueRef value = LLVMBuildLoad2(emitter->builder, emitter->i32, out ? inside : outside, "");
  LLVMSetAlignment(value, out ? 4 : 1);
  LLVMSetAlignment(LLVMBuildStore(emitter->builder, value, out ? outside : inside), out ? 1 : 4);
}

/* Within one turn of the fastest factor, elements lie a stride apart: only where each turn begins is looked up. */
static void emit_move_runs(Object *object, LLVMValueRef place, const LLVMValueRef *arguments, bool out) {
  Emitter *emitter = &object->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef symbol = arguments[0], start = arguments[3], end = LLVMBuildAdd(builder, start, arguments[4], "");
  LLVMValueRef factors = glue_load(object, emitter->pointer, symbol, offsetof(nn_symbol, factors));
  LLVMValueRef length = glue_load(object, emitter->i64, factors, offsetof(nn_factor, modulus));
  LLVMValueRef stride = glue_load(object, emitter->i64, factors, offsetof(nn_factor, stride));
  LLVMValueRef first = LLVMBuildUDiv(builder, start, length, ""), one = glue_long(object, 1);
  LLVMValueRef last = LLVMBuildUDiv(builder, LLVMBuildSub(builder, end, one, ""), length, "");
  Turns runs, turns;
  turns_open(object, &runs, LLVMBuildAdd(builder, LLVMBuildSub(builder, last, first, ""), one, ""), NULL);
  LLVMValueRef begin = LLVMBuildMul(builder, LLVMBuildAdd(builder, first, runs.index, ""), length, "");
  LLVMValueRef stop = LLVMBuildAdd(builder, begin, length, "");
  LLVMValueRef from = LLVMBuildSelect(builder, glue_compare(object, LLVMIntSLT, begin, start), start, begin, "");
  LLVMValueRef to = LLVMBuildSelect(builder, glue_compare(object, LLVMIntSLT, end, stop), end, stop, "");
  LLVMValueRef own = glue_call(object, place, (LLVMValueRef[]){symbol, from}, 2);
  LLVMValueRef here = glue_element(object, emitter->i32, arguments[1], own);
  LLVMValueRef there = glue_element(object, emitter->i32, arguments[2], LLVMBuildSub(builder, from, start, ""));
  turns_open(object, &turns, LLVMBuildSub(builder, to, from, ""), NULL);
  LLVMValueRef at = LLVMBuildMul(builder, turns.index, stride, "");
  emit_move_word(object, glue_element(object, emitter->i32, here, at),
                 glue_element(object, emitter->i32, there, turns.index), out);
  turns_close(object, &turns, NULL);
  turns_close(object, &runs, NULL);
}

/* void (ptr symbol, ptr inside, ptr outside, i64 start, i64 count): elements `start` and on of the canonical order, which
 * lie in a row outside, into the symbol's memory or out of it. Of one word each: only f32 has another order. */
static LLVMValueRef emit_move_elements(Object *object, LLVMValueRef place, bool out) {
  Emitter *emitter = &object->emitter;
  LLVMTypeRef types[] = {emitter->pointer, emitter->pointer, emitter->pointer, emitter->i64, emitter->i64};
  LLVMTypeRef nothing = LLVMVoidTypeInContext(emitter->context);
  const char *name = glue_name(object, out ? "move_out" : "move_in");
  LLVMValueRef function = glue_declare(object, name, nothing, types, COUNT_OF(types), false), arguments[COUNT_OF(types)];
  LLVMGetParams(function, arguments);
  glue_begin(object, function);
  LLVMValueRef count = glue_load(object, emitter->i64, arguments[0], offsetof(nn_symbol, nfactors));
  LLVMBasicBlockRef after = glue_if(object, glue_compare(object, LLVMIntEQ, count, glue_long(object, 0)));
  LLVMValueRef inside = glue_element(object, emitter->i32, arguments[1], arguments[3]);
  LLVMValueRef bytes = LLVMBuildShl(emitter->builder, arguments[4], glue_long(object, 2), "");
  LLVMBuildMemCpy(emitter->builder, out ? arguments[2] : inside, 1, out ? inside : arguments[2], 1, bytes);
  LLVMBuildRetVoid(emitter->builder);
  LLVMPositionBuilderAtEnd(emitter->builder, after);
  emit_move_runs(object, place, arguments, out);
  LLVMBuildRetVoid(emitter->builder);
  return function;
}

/* get(state, name, out), set(state, name, in) */
static void emit_move(Object *object, LLVMValueRef function, LLVMValueRef find, LLVMValueRef move, bool out) {
  Emitter *emitter = &object->emitter;
  LLVMValueRef arguments[3];
  LLVMGetParams(function, arguments);
  glue_begin(object, function);
  glue_demand_memory(object, arguments[0]);
  LLVMValueRef symbol = glue_call(object, find, &arguments[1], 1);
  glue_demand(object, glue_compare(object, LLVMIntNE, symbol, glue_null(object)), NN_BAD_NAME);
  LLVMValueRef offset = glue_load(object, emitter->i64, symbol, offsetof(nn_symbol, offset));
  LLVMValueRef bytes = glue_load(object, emitter->i64, symbol, offsetof(nn_symbol, bytes));
  LLVMValueRef inside = glue_element(object, emitter->i8, arguments[0], offset);
  LLVMValueRef factors = glue_load(object, emitter->i64, symbol, offsetof(nn_symbol, nfactors));
  LLVMBasicBlockRef canonical = glue_if(object, glue_compare(object, LLVMIntNE, factors, glue_long(object, 0)));
  LLVMValueRef words = LLVMBuildLShr(emitter->builder, bytes, glue_long(object, 2), "");
  glue_call(object, move, (LLVMValueRef[]){symbol, inside, arguments[2], glue_long(object, 0), words}, 5);
  LLVMBuildRet(emitter->builder, glue_int(object, NN_OK));
  LLVMPositionBuilderAtEnd(emitter->builder, canonical);
  LLVMBuildMemCpy(emitter->builder, out ? arguments[2] : inside, 1, out ? inside : arguments[2], 1, bytes);
  LLVMBuildRet(emitter->builder, glue_int(object, NN_OK));
}

static void emit_error(Object *object) {
  static const char *const texts[] = {
      [NN_OK] = "no error",
      [NN_BAD_DIM] = "a size is outside its bounds, or a check of sizes does not hold",
      [NN_BAD_ALIGNMENT] = "state or scratch is not aligned to 64 bytes",
      [NN_NO_STATE] = "state or scratch is NULL where it is needed",
      [NN_BAD_NAME] = "there is no param or state of that name",
      [NN_BAD_PROCESSOR] = "this processor lacks what the code was compiled for",
      [NN_NO_GPU] = "there is no NVIDIA GPU here, or no driver for it",
      [NN_GPU_FAILED] = "the GPU failed",
  };
  Emitter *emitter = &object->emitter;
  LLVMValueRef table[COUNT_OF(texts) + 1], code = LLVMGetParam(object->error, 0);
  for (int k = 0; k < COUNT_OF(texts); k++) table[k] = glue_string(object, texts[k]);
  table[COUNT_OF(texts)] = glue_string(object, "unknown code");
  LLVMValueRef all = glue_table(object, emitter->pointer, table, COUNT_OF(texts) + 1, "errors");
  glue_begin(object, object->error);
  LLVMValueRef last = glue_int(object, COUNT_OF(texts));
  code = LLVMBuildSelect(emitter->builder, glue_compare(object, LLVMIntULT, code, last), code, last, "");
  code = LLVMBuildZExt(emitter->builder, code, emitter->i64, "");
  LLVMValueRef text = glue_load(object, emitter->pointer, glue_element(object, emitter->pointer, all, code), 0);
  LLVMBuildRet(emitter->builder, text);
}

void declare_state_functions(Object *object) {
  Emitter *emitter = &object->emitter;
  LLVMTypeRef pointer = emitter->pointer, three[] = {pointer, pointer, pointer}, init[] = {pointer, emitter->i64};
  const char *model = object->module->name;
  Arena *arena = object->arena;
  object->init = glue_declare(object, arena_format(arena, "%s_init", model), emitter->i32, init, 2, true);
  object->get = glue_declare(object, arena_format(arena, "%s_get", model), emitter->i32, three, 3, true);
  object->set = glue_declare(object, arena_format(arena, "%s_set", model), emitter->i32, three, 3, true);
  object->error = glue_declare(object, arena_format(arena, "%s_error", model), pointer, &emitter->i32, 1, true);
  object->host_init = object->init, object->host_get = object->get, object->host_set = object->set;
  if (!object->options->cuda) return;
  object->host_init = glue_declare(object, glue_name(object, "host_init"), emitter->i32, init, 2, false);
  object->host_get = glue_declare(object, glue_name(object, "host_get"), emitter->i32, three, 3, false);
  object->host_set = glue_declare(object, glue_name(object, "host_set"), emitter->i32, three, 3, false);
}

void emit_state_functions(Object *object) {
  DrawTable table = draw_table(object);
  bool orthogonal = table.used[DRAW_ORTHOGONAL];
  Helpers helpers = {.draws = emit_draws(object, table.used[DRAW_UNIFORM], table.used[DRAW_NORMAL] || orthogonal)};
  LLVMValueRef find = emit_find(object);
  helpers.place = emit_place(object);
  helpers.move_in = emit_move_elements(object, helpers.place, false);
  helpers.move_out = emit_move_elements(object, helpers.place, true);
  if (orthogonal) helpers.orthogonal = emit_orthogonal(object, helpers.place);
  emit_init(object, &helpers, &table);
  emit_move(object, object->host_get, find, helpers.move_out, true);
  emit_move(object, object->host_set, find, helpers.move_in, false);
  if (object->options->cuda) emit_gpu_state_functions(object);
  emit_error(object);
}
