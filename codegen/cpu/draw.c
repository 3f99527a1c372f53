/* Initial random numbers, as IR: the twins of ir/random.c, operation for operation, so that a compiled model starts from
 * the very bits that the interpreter starts from. No instruction here may be contracted or reordered: none has fast-math
 * flags.
 *
 * Numbers are drawn by the vector: each depends on its own index alone, so that how many a vector holds is nobody's matter.
 * Where code is made for one processor its vectors are taken, as init refuses all others; else those that any has. */
#include "codegen/cpu/glue.h"
#include "ir/interpret.h"

enum { PHILOX_TURNS = 10, MOST_LANES = DRAW_PADDING + 1 };

/* The types of a draw's lanes; with one lane they are no vectors. */
typedef struct Drawing {
  Object *object;
  LLVMBuilderRef builder;
  int lanes;
  LLVMTypeRef wide, real, narrow, whole; /* i64, double, float, i32 */
} Drawing;

static Drawing drawing_of(Object *object, int lanes) {
  const Emitter *emitter = &object->emitter;
  LLVMTypeRef types[] = {emitter->i64, LLVMDoubleTypeInContext(emitter->context), emitter->f32, emitter->i32};
  for (int k = 0; lanes > 1 && k < COUNT_OF(types); k++) types[k] = LLVMVectorType(types[k], (unsigned)lanes);
  return (Drawing){object, emitter->builder, lanes, types[0], types[1], types[2], types[3]};
}

static LLVMValueRef in_all_lanes(const Drawing *d, LLVMValueRef constant) {
  LLVMValueRef lanes[MOST_LANES];
  for (int k = 0; k < d->lanes; k++) lanes[k] = constant;
  return d->lanes > 1 ? LLVMConstVector(lanes, (unsigned)d->lanes) : constant;
}
static LLVMValueRef bits_of(const Drawing *d, uint64_t value) {
  return in_all_lanes(d, LLVMConstInt(d->object->emitter.i64, value, 0));
}
static LLVMValueRef number(const Drawing *d, double value) {
  return in_all_lanes(d, LLVMConstReal(LLVMDoubleTypeInContext(d->object->emitter.context), value));
}

static LLVMValueRef times(const Drawing *d, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFMul(d->builder, a, b, ""); }
static LLVMValueRef plus(const Drawing *d, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFAdd(d->builder, a, b, ""); }
static LLVMValueRef low_word(const Drawing *d, LLVMValueRef both) {
  return LLVMBuildAnd(d->builder, both, bits_of(d, 0xFFFFFFFFu), "");
}
static LLVMValueRef high_word(const Drawing *d, LLVMValueRef both) {
  return LLVMBuildLShr(d->builder, both, bits_of(d, 32), "");
}

static LLVMValueRef to_all_lanes(const Drawing *d, LLVMValueRef scalar) {
  if (d->lanes == 1) return scalar;
  LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)d->lanes), i32 = d->object->emitter.i32;
  LLVMValueRef nothing = LLVMGetPoison(type), zeros = LLVMConstNull(LLVMVectorType(i32, (unsigned)d->lanes));
  LLVMValueRef first = LLVMBuildInsertElement(d->builder, nothing, scalar, glue_int(d->object, 0), "");
  return LLVMBuildShuffleVector(d->builder, first, nothing, zeros, "");
}

/* A whole number below 2^52 as a double, exactly: it is put into the mantissa of 2^52. All processors have this, and few a
 * conversion. */
static LLVMValueRef as_number(const Drawing *d, LLVMValueRef whole) {
  LLVMValueRef placed = LLVMBuildOr(d->builder, whole, bits_of(d, 0x4330000000000000u), "");
  return LLVMBuildFSub(d->builder, LLVMBuildBitCast(d->builder, placed, d->real, ""), number(d, 0x1p52), "");
}

/* ---- Philox ---- */

/* One word in the low half of each lane. */
typedef struct Words {
  LLVMValueRef first, second;
} Words;

/* keys[turn]: the i32 key of each turn, in the low half of each lane. */
static void philox_keys(const Drawing *d, LLVMValueRef key, LLVMValueRef *keys) {
  const Emitter *emitter = &d->object->emitter;
  for (int turn = 0; turn < PHILOX_TURNS; turn++) {
    LLVMValueRef step = LLVMConstInt(emitter->i32, (uint32_t)turn * 0x9E3779B9u, 0);
    LLVMValueRef own = LLVMBuildZExt(d->builder, LLVMBuildAdd(d->builder, key, step, ""), emitter->i64, "");
    keys[turn] = to_all_lanes(d, own);
  }
}

static Words emit_philox(const Drawing *d, Words counter, LLVMValueRef *keys) {
  LLVMBuilderRef builder = d->builder;
  LLVMValueRef a = counter.first, b = counter.second;
  for (int turn = 0; turn < PHILOX_TURNS; turn++) {
    LLVMValueRef product = LLVMBuildMul(builder, a, bits_of(d, 0xD256D193u), "");
    a = LLVMBuildXor(builder, LLVMBuildXor(builder, high_word(d, product), keys[turn], ""), b, "");
    b = low_word(d, product);
  }
  return (Words){a, b};
}

/* i32 (stream, key) */
static LLVMValueRef emit_key_function(Object *object) {
  Drawing d = drawing_of(object, 1);
  LLVMTypeRef types[] = {d.whole, d.whole};
  LLVMValueRef function = glue_declare(object, glue_name(object, "key"), d.whole, types, 2, false), keys[PHILOX_TURNS];
  glue_begin(object, function);
  philox_keys(&d, LLVMGetParam(function, 0), keys);
  Words counter = {LLVMBuildZExt(d.builder, LLVMGetParam(function, 1), d.wide, ""), bits_of(&d, RANDOM_KEY_WORD)};
  LLVMBuildRet(d.builder, LLVMBuildTrunc(d.builder, emit_philox(&d, counter, keys).first, d.whole, ""));
  return function;
}

LLVMValueRef emit_random_key(Object *object, const Draws *draws, LLVMValueRef stream, LLVMValueRef key) {
  return glue_call(object, draws->key, (LLVMValueRef[]){stream, key}, 2);
}

/* ---- uniform ---- */

/* As drawn: a + b * u */
static LLVMValueRef emit_uniform(const Drawing *d, Words words, LLVMValueRef a, LLVMValueRef b) {
  const Emitter *emitter = &d->object->emitter;
  LLVMBuilderRef builder = d->builder;
  LLVMValueRef bits = LLVMBuildTrunc(builder, LLVMBuildLShr(builder, words.first, bits_of(d, 8), ""), d->whole, "");
  LLVMValueRef scale = in_all_lanes(d, LLVMConstReal(emitter->f32, 0x1p-24));
  LLVMValueRef u = times(d, LLVMBuildSIToFP(builder, bits, d->narrow, ""), scale);
  LLVMValueRef low = LLVMBuildFPTrunc(builder, a, d->narrow, ""), span = LLVMBuildFPTrunc(builder, b, d->narrow, "");
  return plus(d, low, times(d, span, u));
}

/* ---- Box and Muller ---- */

LLVMValueRef emit_square_root(Object *object, LLVMValueRef x) {
  LLVMTypeRef type = LLVMTypeOf(x);
  unsigned root = LLVMLookupIntrinsicID("llvm.sqrt", 9);
  return glue_call(object, LLVMGetIntrinsicDeclaration(object->emitter.module, root, &type, 1), &x, 1);
}

static LLVMValueRef absolute(const Drawing *d, LLVMValueRef x) {
  LLVMValueRef bits = LLVMBuildBitCast(d->builder, x, d->wide, "");
  bits = LLVMBuildAnd(d->builder, bits, bits_of(d, INT64_MAX), "");
  return LLVMBuildBitCast(d->builder, bits, d->real, "");
}

static LLVMValueRef emit_series(const Drawing *d, LLVMValueRef x, const double *coefficients, int count) {
  LLVMValueRef sum = number(d, coefficients[count - 1]);
  for (int k = count - 2; k >= 0; k--) sum = plus(d, times(d, sum, x), number(d, coefficients[k]));
  return sum;
}

static LLVMValueRef minus_two_log(const Drawing *d, LLVMValueRef u) {
  LLVMBuilderRef builder = d->builder;
  LLVMValueRef bits = LLVMBuildBitCast(builder, u, d->wide, ""), one = number(d, 1);
  bits = LLVMBuildAdd(builder, bits, bits_of(d, NORMAL_ONE - NORMAL_ROOT_HALF), "");
  LLVMValueRef biased = as_number(d, LLVMBuildLShr(builder, bits, bits_of(d, 52), ""));
  LLVMValueRef exponent = LLVMBuildFSub(builder, biased, number(d, 1023), "");
  bits = LLVMBuildAnd(builder, bits, bits_of(d, NORMAL_MANTISSA), "");
  bits = LLVMBuildAdd(builder, bits, bits_of(d, NORMAL_ROOT_HALF), "");
  LLVMValueRef m = LLVMBuildBitCast(builder, bits, d->real, "");
  LLVMValueRef s = LLVMBuildFDiv(builder, LLVMBuildFSub(builder, m, one, ""), plus(d, m, one), "");
  LLVMValueRef series = emit_series(d, times(d, s, s), normal_log, NORMAL_LOG_TERMS);
  return plus(d, times(d, exponent, number(d, NORMAL_TWO_LOG)), times(d, s, series));
}

/* cos(2 pi v), of v * 2^32 */
static LLVMValueRef turned_cosine(const Drawing *d, LLVMValueRef v) {
  LLVMValueRef z = LLVMBuildFSub(d->builder, times(d, v, number(d, 0x1p-30)), number(d, 2), "");
  z = LLVMBuildFSub(d->builder, absolute(d, z), number(d, 1), "");
  return times(d, emit_series(d, times(d, z, z), normal_sine, NORMAL_SINE_TERMS), z);
}

/* As drawn: a * z */
static LLVMValueRef emit_normal(const Drawing *d, Words words, LLVMValueRef a, LLVMValueRef b) {
  (void)b;
  LLVMValueRef u = times(d, plus(d, as_number(d, words.first), number(d, 1)), number(d, 0x1p-32));
  LLVMValueRef radius = emit_square_root(d->object, minus_two_log(d, u));
  LLVMValueRef normal = times(d, radius, turned_cosine(d, as_number(d, words.second)));
  return LLVMBuildFPTrunc(d->builder, times(d, a, normal), d->narrow, "");
}

/* ---- drawing many ---- */

typedef LLVMValueRef EmitDrawn(const Drawing *d, Words words, LLVMValueRef a, LLVMValueRef b);

static LLVMValueRef lane_indices(const Drawing *d) {
  LLVMValueRef lanes[MOST_LANES];
  for (int k = 0; k < d->lanes; k++) lanes[k] = glue_long(d->object, k);
  return LLVMConstVector(lanes, (unsigned)d->lanes);
}

/* void (ptr floats, i64 start, i64 count, i32 key, double a, double b): elements start, start + 1, ... of a stream, as
 * whole vectors, so that up to DRAW_PADDING more are written. */
static LLVMValueRef emit_draw(Object *object, const char *name, EmitDrawn *drawn) {
  Emitter *emitter = &object->emitter;
  bool one = object->nversions == 1;
  Drawing d = drawing_of(object, (one ? object->versions[0]->vector_bits : 128) / 64);
  LLVMTypeRef i64 = emitter->i64, real = LLVMDoubleTypeInContext(emitter->context);
  LLVMTypeRef types[] = {emitter->pointer, i64, i64, emitter->i32, real, real};
  LLVMTypeRef nothing = LLVMVoidTypeInContext(emitter->context);
  LLVMValueRef function = glue_declare(object, glue_name(object, name), nothing, types, COUNT_OF(types), false);
  LLVMValueRef arguments[COUNT_OF(types)], keys[PHILOX_TURNS], lanes = glue_long(object, d.lanes);
  if (one) carry_processor(emitter, function, object->versions[0]);
  LLVMGetParams(function, arguments);
  glue_begin(object, function);
  philox_keys(&d, arguments[3], keys);
  LLVMValueRef a = to_all_lanes(&d, arguments[4]), b = to_all_lanes(&d, arguments[5]);
  LLVMValueRef more = LLVMBuildAdd(d.builder, arguments[2], glue_long(object, d.lanes - 1), "");
  Turns turns;
  turns_open(object, &turns, LLVMBuildUDiv(d.builder, more, lanes, ""), NULL);
  LLVMValueRef at = LLVMBuildMul(d.builder, turns.index, lanes, "");
  LLVMValueRef first = to_all_lanes(&d, LLVMBuildAdd(d.builder, arguments[1], at, ""));
  LLVMValueRef index = LLVMBuildAdd(d.builder, first, lane_indices(&d), "");
  LLVMValueRef values = drawn(&d, emit_philox(&d, (Words){low_word(&d, index), high_word(&d, index)}, keys), a, b);
  LLVMSetAlignment(LLVMBuildStore(d.builder, values, glue_element(object, emitter->f32, arguments[0], at)), 4);
  turns_close(object, &turns, NULL);
  LLVMBuildRetVoid(d.builder);
  return function;
}

Draws emit_draws(Object *object, bool uniform, bool normal) {
  Draws draws = {0};
  if (uniform || normal) draws.key = emit_key_function(object);
  if (uniform) draws.uniform = emit_draw(object, "uniform", emit_uniform);
  if (normal) draws.normal = emit_draw(object, "normal", emit_normal);
  return draws;
}
