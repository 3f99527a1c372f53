/* Initial random numbers, as IR: the twins of ir/random.c, operation for operation, so that a compiled model starts from
 * the very bits that the interpreter starts from. No instruction here may be contracted or reordered: none has fast-math
 * flags, and the oldest processor has no fused multiply-add. */
#include "codegen/cpu/glue.h"
#include "ir/interpret.h"

typedef struct Drawing {
  Object *object;
  LLVMBuilderRef builder;
  LLVMTypeRef i32, i64, real; /* real: double */
} Drawing;

static Drawing drawing_of(Object *object) {
  const Emitter *emitter = &object->emitter;
  return (Drawing){object, emitter->builder, emitter->i32, emitter->i64, LLVMDoubleTypeInContext(emitter->context)};
}

static LLVMValueRef high_word(Drawing *d, LLVMValueRef both) {
  return LLVMBuildTrunc(d->builder, LLVMBuildLShr(d->builder, both, glue_long(d->object, 32), ""), d->i32, "");
}
static LLVMValueRef low_word(Drawing *d, LLVMValueRef both) { return LLVMBuildTrunc(d->builder, both, d->i32, ""); }
static LLVMValueRef word(Drawing *d, uint32_t value) { return LLVMConstInt(d->i32, value, 0); }
static LLVMValueRef number(Drawing *d, double value) { return LLVMConstReal(d->real, value); }

static LLVMValueRef emit_philox(Object *object) {
  Drawing d = drawing_of(object);
  LLVMTypeRef types[] = {d.i64, d.i32};
  LLVMValueRef function = glue_declare(object, glue_name(object, "philox"), d.i64, types, 2, false);
  glue_begin(object, function);
  LLVMValueRef a = low_word(&d, LLVMGetParam(function, 0)), b = high_word(&d, LLVMGetParam(function, 0));
  LLVMValueRef key = LLVMGetParam(function, 1);
  for (int turn = 0; turn < 10; turn++) {
    LLVMValueRef wide = LLVMBuildZExt(d.builder, a, d.i64, "");
    LLVMValueRef product = LLVMBuildMul(d.builder, wide, LLVMConstInt(d.i64, 0xD256D193u, 0), "");
    a = LLVMBuildXor(d.builder, LLVMBuildXor(d.builder, high_word(&d, product), key, ""), b, "");
    b = low_word(&d, product);
    key = LLVMBuildAdd(d.builder, key, word(&d, 0x9E3779B9u), "");
  }
  LLVMValueRef low = LLVMBuildZExt(d.builder, a, d.i64, ""), high = LLVMBuildZExt(d.builder, b, d.i64, "");
  high = LLVMBuildShl(d.builder, high, glue_long(object, 32), "");
  LLVMBuildRet(d.builder, LLVMBuildOr(d.builder, low, high, ""));
  return function;
}

LLVMValueRef emit_random_key(Object *object, const Draws *draws, LLVMValueRef stream, LLVMValueRef key) {
  Drawing d = drawing_of(object);
  LLVMValueRef counter = LLVMBuildZExt(d.builder, key, d.i64, "");
  counter = LLVMBuildOr(d.builder, counter, LLVMConstInt(d.i64, (uint64_t)RANDOM_KEY_WORD << 32, 0), "");
  return low_word(&d, glue_call(object, draws->philox, (LLVMValueRef[]){counter, stream}, 2));
}

static LLVMValueRef emit_uniform(Object *object, LLVMValueRef philox) {
  Drawing d = drawing_of(object);
  LLVMTypeRef f32 = object->emitter.f32, types[] = {d.i64, d.i32};
  LLVMValueRef function = glue_declare(object, glue_name(object, "uniform"), f32, types, 2, false), arguments[2];
  LLVMGetParams(function, arguments);
  glue_begin(object, function);
  LLVMValueRef bits = LLVMBuildLShr(d.builder, low_word(&d, glue_call(object, philox, arguments, 2)), word(&d, 8), "");
  LLVMValueRef whole = LLVMBuildSIToFP(d.builder, bits, f32, "");
  LLVMBuildRet(d.builder, LLVMBuildFMul(d.builder, whole, LLVMConstReal(f32, 0x1p-24), ""));
  return function;
}

LLVMValueRef emit_square_root(Object *object, LLVMValueRef x) {
  LLVMTypeRef type = LLVMTypeOf(x);
  unsigned root = LLVMLookupIntrinsicID("llvm.sqrt", 9);
  return glue_call(object, LLVMGetIntrinsicDeclaration(object->emitter.module, root, &type, 1), &x, 1);
}

/* ---- Box and Muller ---- */

/* -2 log u */
static LLVMValueRef minus_two_log(Drawing *d, LLVMValueRef u) {
  LLVMBuilderRef builder = d->builder;
  LLVMValueRef bits = LLVMBuildBitCast(builder, u, d->i64, "");
  LLVMValueRef biased = LLVMBuildLShr(builder, bits, glue_long(d->object, 52), "");
  LLVMValueRef power = LLVMBuildSub(builder, low_word(d, biased), word(d, 1023), "");
  LLVMValueRef exponent = LLVMBuildSIToFP(builder, power, d->real, "");
  bits = LLVMBuildAnd(builder, bits, LLVMConstInt(d->i64, 0xFFFFFFFFFFFFFu, 0), "");
  bits = LLVMBuildOr(builder, bits, LLVMConstInt(d->i64, 0x3FF0000000000000u, 0), "");
  LLVMValueRef m = LLVMBuildBitCast(builder, bits, d->real, "");
  LLVMValueRef large = LLVMBuildFCmp(builder, LLVMRealOGT, m, number(d, 1.4142135623730951), "");
  m = LLVMBuildSelect(builder, large, LLVMBuildFMul(builder, m, number(d, 0.5), ""), m, "");
  LLVMValueRef raised = LLVMBuildFAdd(builder, exponent, number(d, 1), "");
  exponent = LLVMBuildSelect(builder, large, raised, exponent, "");
  LLVMValueRef below = LLVMBuildFSub(builder, m, number(d, 1), ""), above = LLVMBuildFAdd(builder, m, number(d, 1), "");
  LLVMValueRef s = LLVMBuildFDiv(builder, below, above, ""), s2 = LLVMBuildFMul(builder, s, s, "");
  LLVMValueRef series = number(d, 0);
  for (int odd = 21; odd >= 1; odd -= 2) {
    series = LLVMBuildFAdd(builder, LLVMBuildFMul(builder, series, s2, ""), number(d, 1.0 / (double)odd), "");
  }
  LLVMValueRef whole = LLVMBuildFMul(builder, exponent, number(d, 0.6931471805599453), "");
  LLVMValueRef rest = LLVMBuildFMul(builder, LLVMBuildFMul(builder, number(d, 2), s, ""), series, "");
  return LLVMBuildFMul(builder, number(d, -2), LLVMBuildFAdd(builder, whole, rest, ""), "");
}

/* 1 - x2 / divisor * series */
static LLVMValueRef taylor(Drawing *d, LLVMValueRef x2, int divisor, LLVMValueRef series) {
  LLVMValueRef part = LLVMBuildFDiv(d->builder, x2, number(d, (double)divisor), "");
  return LLVMBuildFSub(d->builder, number(d, 1), LLVMBuildFMul(d->builder, part, series, ""), "");
}

/* cos(2 pi v) */
static LLVMValueRef turned_cosine(Drawing *d, LLVMValueRef v) {
  LLVMBuilderRef builder = d->builder;
  LLVMValueRef four = LLVMBuildFMul(builder, v, number(d, 4), "");
  LLVMValueRef quarter = LLVMBuildFPToSI(builder, LLVMBuildFAdd(builder, four, number(d, 0.5), ""), d->i32, "");
  LLVMValueRef nearest = LLVMBuildFMul(builder, LLVMBuildSIToFP(builder, quarter, d->real, ""), number(d, 0.25), "");
  LLVMValueRef x = LLVMBuildFMul(builder, LLVMBuildFSub(builder, v, nearest, ""), number(d, 6.283185307179586), "");
  LLVMValueRef x2 = LLVMBuildFMul(builder, x, x, ""), cosine = number(d, 1), sine = number(d, 1);
  for (int n = 16; n >= 2; n -= 2) {
    cosine = taylor(d, x2, n * (n - 1), cosine);
    sine = taylor(d, x2, n * (n + 1), sine);
  }
  sine = LLVMBuildFMul(builder, sine, x, "");
  LLVMValueRef odd = LLVMBuildTrunc(builder, quarter, d->object->emitter.i1, "");
  LLVMValueRef half = LLVMBuildTrunc(builder, LLVMBuildLShr(builder, quarter, word(d, 1), ""), d->object->emitter.i1, "");
  LLVMValueRef turned = LLVMBuildSelect(builder, odd, LLVMBuildFNeg(builder, sine, ""), cosine, "");
  return LLVMBuildSelect(builder, half, LLVMBuildFNeg(builder, turned, ""), turned, "");
}

static LLVMValueRef emit_normal(Object *object, LLVMValueRef philox) {
  Drawing d = drawing_of(object);
  LLVMBuilderRef builder = d.builder;
  LLVMTypeRef types[] = {d.i64, d.i32};
  LLVMValueRef function = glue_declare(object, glue_name(object, "normal"), d.real, types, 2, false), arguments[2];
  LLVMGetParams(function, arguments);
  glue_begin(object, function);
  LLVMValueRef both = glue_call(object, philox, arguments, 2), scale = number(&d, 0x1p-32);
  LLVMValueRef first = LLVMBuildUIToFP(builder, low_word(&d, both), d.real, "");
  LLVMValueRef second = LLVMBuildUIToFP(builder, high_word(&d, both), d.real, "");
  LLVMValueRef u = LLVMBuildFMul(builder, LLVMBuildFAdd(builder, first, number(&d, 1), ""), scale, "");
  LLVMValueRef radius = minus_two_log(&d, u);
  radius = emit_square_root(object, radius);
  LLVMValueRef turned = turned_cosine(&d, LLVMBuildFMul(builder, second, scale, ""));
  LLVMBuildRet(builder, LLVMBuildFMul(builder, radius, turned, ""));
  return function;
}

Draws emit_draws(Object *object, bool uniform, bool normal) {
  Draws draws = {0};
  if (uniform || normal) draws.philox = emit_philox(object);
  if (uniform) draws.uniform = emit_uniform(object, draws.philox);
  if (normal) draws.normal = emit_normal(object, draws.philox);
  return draws;
}
