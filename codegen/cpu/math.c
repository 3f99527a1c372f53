/* Vector math, inline: polynomials over a reduced range, on one float or 16, without branches and without calls. Where a
 * processor has fused multiply-add it is used, elsewhere a product and a sum; reductions are exact either way. Coefficients
 * are our own minimax fits, rounded one after another.
 *
 *   exp    1 ULP (results below the smallest normal number: 1 of their own)
 *   log    1 ULP
 *   tanh   2 ULP
 *   erf    2 ULP
 *   sin    2 ULP up to |x| = 1e6; with fused multiply-add the angle is right to 2^-37 up to 2^50; larger ones have no
 *   cos    meaningful result, but one in [-1, 1]
 *   pow    1 ULP, through f64; all of IEEE's special cases
 *
 * Without fused multiply-add it is up to a quarter more. NaN passes through all of them. */
#include "codegen/cpu/nest.h"

#include <math.h>

/* ---- shorthand: constants take the shape of the value that they meet ---- */

static LLVMValueRef mul(Emitter *e, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFMul(e->builder, a, b, ""); }
static LLVMValueRef add(Emitter *e, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFAdd(e->builder, a, b, ""); }
static LLVMValueRef sub(Emitter *e, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFSub(e->builder, a, b, ""); }
static LLVMValueRef choose(Emitter *e, LLVMValueRef test, LLVMValueRef yes, LLVMValueRef no) {
  return LLVMBuildSelect(e->builder, test, yes, no, "");
}
static LLVMValueRef compare(Emitter *e, LLVMRealPredicate test, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildFCmp(e->builder, test, a, b, "");
}
static LLVMTypeRef element_of(LLVMValueRef x) { return is_vector(x) ? LLVMGetElementType(LLVMTypeOf(x)) : LLVMTypeOf(x); }
static LLVMValueRef number(LLVMValueRef x, double value) { return const_like(x, LLVMConstReal(element_of(x), value)); }
static LLVMValueRef whole(LLVMValueRef bits, int64_t value) {
  return const_like(bits, LLVMConstInt(element_of(bits), (unsigned long long)value, 1));
}
static LLVMValueRef bits_of(Emitter *e, LLVMValueRef x) {
  LLVMTypeRef type = element_of(x) == e->f32 ? e->i32 : e->i64;
  return LLVMBuildBitCast(e->builder, x, like(x, type), "");
}
static LLVMValueRef float_of(Emitter *e, LLVMValueRef bits) {
  LLVMTypeRef type = element_of(bits) == e->i32 ? e->f32 : LLVMDoubleTypeInContext(e->context);
  return LLVMBuildBitCast(e->builder, bits, like(bits, type), "");
}
static LLVMValueRef absolute(Emitter *e, LLVMValueRef x) { return call_unary(e, "llvm.fabs", x); }
static LLVMValueRef signed_as(Emitter *e, LLVMValueRef x, LLVMValueRef sign) {
  LLVMTypeRef type = LLVMTypeOf(x);
  return call_intrinsic(e, "llvm.copysign", &type, 1, (LLVMValueRef[]){x, sign}, 2);
}

/* coefficients[0] + coefficients[1] * x + ... */
static LLVMValueRef polynomial(Emitter *e, LLVMValueRef x, const double *coefficients, int count) {
  LLVMValueRef sum = number(x, coefficients[count - 1]);
  for (int k = count - 2; k >= 0; k--) sum = emit_fma(e, sum, x, number(x, coefficients[k]));
  return sum;
}
#define POLYNOMIAL(e, x, coefficients) polynomial(e, x, coefficients, COUNT_OF(coefficients))

/* NaN stays, as it is neither below nor above. */
static LLVMValueRef clamp(Emitter *e, LLVMValueRef x, double low, double high) {
  x = choose(e, compare(e, LLVMRealOLT, x, number(x, low)), number(x, low), x);
  return choose(e, compare(e, LLVMRealOGT, x, number(x, high)), number(x, high), x);
}

/* Nearest whole number of a small x, as float and in the low bits of `bits`: adding 1.5 * 2^23 (2^52) leaves no room for
 * a fraction. */
static LLVMValueRef nearest(Emitter *e, LLVMValueRef x, LLVMValueRef scale, LLVMValueRef *bits) {
  double shift = element_of(x) == e->f32 ? 12582912.0 : 6755399441055744.0;
  LLVMValueRef shifted = emit_fma(e, x, scale, number(x, shift));
  *bits = bits_of(e, shifted);
  return sub(e, shifted, number(x, shift));
}

/* ---- exp ---- */

/* 2^n for an integer n that a float's exponent holds. */
static LLVMValueRef power_of_two(Emitter *e, LLVMValueRef n) {
  return float_of(e, LLVMBuildShl(e->builder, LLVMBuildAdd(e->builder, n, whole(n, 127), ""), whole(n, 23), ""));
}

/* near * 2^n, rounded once where that is denormal: in two halves, so that 2^128 is reached; or by an instruction. */
static LLVMValueRef scaled(Emitter *e, LLVMValueRef near, LLVMValueRef n, LLVMValueRef power) {
  if (is_vector(near) && e->processor->vector_bits == 512) {
    LLVMTypeRef i16 = LLVMInt16TypeInContext(e->context);
    LLVMValueRef arguments[] = {near, n, near, LLVMConstAllOnes(i16), const_i32(e, 4)};
    return call_intrinsic(e, "llvm.x86.avx512.mask.scalef.ps.512", NULL, 0, arguments, COUNT_OF(arguments));
  }
  LLVMValueRef whole_n = LLVMBuildSub(e->builder, power, whole(power, 0x4B400000), "");
  LLVMValueRef half = LLVMBuildAShr(e->builder, whole_n, whole(power, 1), "");
  near = mul(e, near, power_of_two(e, half));
  return mul(e, near, power_of_two(e, LLVMBuildSub(e->builder, whole_n, half, "")));
}

/* x = n ln 2 + r, |r| <= ln 2 / 2; n times the first part of ln 2 is exact. */
LLVMValueRef emit_exp(Emitter *e, LLVMValueRef x) {
  static const double tail[] = {0.4999999403953552, 0.1666652113199234, 0.04166826605796814, 0.008368675597012043,
                                0.0013820689637213945};
  x = clamp(e, x, -104.5, 89.0);
  LLVMValueRef power, n = nearest(e, x, number(x, 1.4426950408889634), &power);
  LLVMValueRef r = emit_fma(e, n, number(x, -0.693359375), x);
  r = emit_fma(e, n, number(x, 2.12194440e-4), r);
  LLVMValueRef slope = emit_fma(e, POLYNOMIAL(e, r, tail), r, number(x, 1));
  return scaled(e, emit_fma(e, slope, r, number(x, 1)), n, power);
}

/* e^x - 1 by parts, for |x| below 80: 2^n (e^r - 1) + (2^n - 1). Where n is not 0, what ln 2 loses by being one float is small
 * beside the result. */
typedef struct Expm1 {
  LLVMValueRef scale, near; /* part * 2^n, e^r - 1 */
} Expm1;

/* Times `part`, a power of two. */
static Expm1 expm1_parts(Emitter *e, LLVMValueRef x, float part) {
  static const double tail[] = {0.4999999701976776, 0.1666654646396637, 0.04166743531823158, 0.00836626160889864,
                                0.0013870656257495284};
  LLVMValueRef power, n = nearest(e, x, number(x, 1.4426950408889634), &power);
  LLVMValueRef r = emit_fma(e, n, number(x, -0.6931471805599453), x);
  LLVMValueRef near = emit_fma(e, POLYNOMIAL(e, r, tail), mul(e, r, r), r);
  LLVMValueRef scale = LLVMBuildShl(e->builder, power, whole(power, 23), ""); /* 0x4B400000 has no low bits */
  int exponent;
  frexpf(part, &exponent);
  scale = float_of(e, LLVMBuildAdd(e->builder, scale, whole(power, (int64_t)(exponent + 126) << 23), ""));
  return (Expm1){scale, near};
}

/* The parts together, and something more. */
static LLVMValueRef expm1_plus(Emitter *e, const Expm1 *parts, double more) {
  LLVMValueRef scale = parts->scale, rest = add(e, scale, number(scale, more));
  return emit_fma(e, scale, parts->near, rest);
}

/* ---- log ---- */

/* x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)): log x = k ln 2 + f - f^2/2 + f^3 P(f), the small parts first. */
LLVMValueRef emit_log(Emitter *e, LLVMValueRef x) {
  static const double tail[] = {0.3333331346511841,   -0.25000008940696716, 0.2000207155942917,
                                -0.16667990386486053, 0.14220362901687622,  -0.12406208366155624,
                                0.1188347116112709,   -0.11670183390378952, 0.06749540567398071};
  LLVMBuilderRef builder = e->builder;
  LLVMValueRef tiny = compare(e, LLVMRealOLT, x, number(x, 0x1p-126));
  LLVMValueRef bits = bits_of(e, choose(e, tiny, mul(e, x, number(x, 0x1p23)), x));
  LLVMValueRef above = LLVMBuildSub(builder, bits, whole(bits, 0x3F3504F3), "");
  LLVMValueRef k = LLVMBuildAShr(builder, above, whole(bits, 23), "");
  LLVMValueRef f = float_of(e, LLVMBuildSub(builder, bits, LLVMBuildShl(builder, k, whole(bits, 23), ""), ""));
  f = sub(e, f, number(x, 1));
  k = LLVMBuildSIToFP(builder, k, LLVMTypeOf(x), "");
  k = sub(e, k, choose(e, tiny, number(x, 23), number(x, 0)));
  LLVMValueRef square = mul(e, f, f), sum = mul(e, mul(e, f, square), POLYNOMIAL(e, f, tail));
  sum = emit_fma(e, k, number(x, -2.12194440e-4), sum);
  sum = emit_fma(e, square, number(x, -0.5), sum);
  sum = emit_fma(e, k, number(x, 0.693359375), add(e, f, sum));
  sum = choose(e, compare(e, LLVMRealOEQ, x, number(x, INFINITY)), x, sum);
  sum = choose(e, compare(e, LLVMRealOEQ, x, number(x, 0)), number(x, -INFINITY), sum);
  sum = choose(e, compare(e, LLVMRealULT, x, number(x, 0)), number(x, NAN), sum);
  return sum;
}

/* ---- tanh, erf: by what e^x - 1 is, for |x|; then the sign ---- */

/* (E - 1) / (E + 1) of E = e^(-2 |x|), both halved. That E is at most 1 keeps the sum's rounding small where the result is:
 * e^(2 |x|) would want a correction there. */
LLVMValueRef emit_tanh(Emitter *e, LLVMValueRef x) {
  LLVMValueRef size = absolute(e, x), twice = add(e, size, size);
  twice = choose(e, compare(e, LLVMRealOGT, twice, number(x, 20)), number(x, 20), twice);
  Expm1 parts = expm1_parts(e, LLVMBuildFNeg(e->builder, twice, ""), 0.5F);
  LLVMValueRef less = expm1_plus(e, &parts, -0.5), more = expm1_plus(e, &parts, 0.5);
  return signed_as(e, LLVMBuildFDiv(e->builder, less, more, ""), x);
}

/* 1 - e^(-u), where u = t + t P(t) is -log(1 - erf t). From 4 on it is 1. */
LLVMValueRef emit_erf(Emitter *e, LLVMValueRef x) {
  static const double slope[] = {0.12837916612625122,    0.6366195678710938,      0.10277630388736725,
                                 -0.019147822633385658,  -0.00016950340068433434, 0.0016756736440584064,
                                 -0.0006373603246174753, 0.00011885986168636009,  -9.387715181219392e-06};
  LLVMValueRef size = absolute(e, x);
  LLVMValueRef t = choose(e, compare(e, LLVMRealOGT, size, number(x, 4)), number(x, 4), size);
  LLVMValueRef u = emit_fma(e, POLYNOMIAL(e, t, slope), t, t);
  Expm1 parts = expm1_parts(e, LLVMBuildFNeg(e->builder, u, ""), 1);
  return signed_as(e, expm1_plus(e, &parts, -1), x);
}

/* ---- sin, cos ---- */

/* x = q pi/2 + r, in f64: q times the first 33 bits of pi/2 is exact. The result is sin or cos of r, by q plus `ahead`. */
static LLVMValueRef emit_turned(Emitter *e, LLVMValueRef x, int ahead) {
  static const double sine[] = {-0.16666655242443085, 0.008332188241183758, -0.00019517994951456785};
  static const double cosine[] = {0.04166664555668831, -0.00138873013202101, 2.4430670237052254e-05};
  LLVMBuilderRef builder = e->builder;
  LLVMTypeRef f64 = like(x, LLVMDoubleTypeInContext(e->context));
  LLVMValueRef wide = LLVMBuildFPExt(builder, x, f64, ""), bits;
  LLVMValueRef q = nearest(e, wide, number(wide, 0.6366197723675814), &bits);
  LLVMValueRef rest = emit_fma(e, q, number(wide, -0x1.921fb544p0), wide);
  rest = emit_fma(e, q, number(wide, -0x1.0b4611a626331p-34), rest);
  LLVMValueRef r = clamp(e, LLVMBuildFPTrunc(builder, rest, LLVMTypeOf(x), ""), -0.7855, 0.7855);
  LLVMValueRef quarter = LLVMBuildTrunc(builder, bits, like(x, e->i32), "");
  quarter = LLVMBuildAdd(builder, quarter, whole(quarter, ahead), "");

  LLVMValueRef square = mul(e, r, r);
  LLVMValueRef s = emit_fma(e, mul(e, POLYNOMIAL(e, square, sine), square), r, r);
  LLVMValueRef c = emit_fma(e, square, number(x, -0.5), number(x, 1));
  c = emit_fma(e, POLYNOMIAL(e, square, cosine), mul(e, square, square), c);
  LLVMValueRef odd = LLVMBuildAnd(builder, quarter, whole(quarter, 1), "");
  LLVMValueRef is_odd = LLVMBuildICmp(builder, LLVMIntNE, odd, whole(quarter, 0), "");
  LLVMValueRef sign = LLVMBuildShl(builder, LLVMBuildAnd(builder, quarter, whole(quarter, 2), ""), whole(quarter, 30), "");
  return float_of(e, LLVMBuildXor(builder, bits_of(e, choose(e, is_odd, c, s)), sign, ""));
}

LLVMValueRef emit_sin(Emitter *e, LLVMValueRef x) { return emit_turned(e, x, 0); }
LLVMValueRef emit_cos(Emitter *e, LLVMValueRef x) { return emit_turned(e, x, 1); }

/* ---- pow ---- */

/* log2 of a float's size, in f64 to 40 bits: 2 atanh(s) / ln 2 of s = (m - 1) / (m + 1), plus the exponent. Floats that
 * are denormal are normal as f64. */
static LLVMValueRef wide_log2(Emitter *e, LLVMValueRef size) {
  static const double series[] = {2.8853900817779268,  0.9617966939259756,  0.5770780163555854, 0.41219858311113244,
                                  0.32059889797532520, 0.26230818925253884, 0.22195308321368667};
  LLVMBuilderRef builder = e->builder;
  LLVMValueRef bits = bits_of(e, size);
  LLVMValueRef exponent = LLVMBuildLShr(builder, bits, whole(bits, 52), "");
  exponent = float_of(e, LLVMBuildOr(builder, exponent, whole(bits, 0x4330000000000000), ""));
  exponent = sub(e, exponent, number(size, 4503599627370496.0 + 1023));
  LLVMValueRef fraction = LLVMBuildAnd(builder, bits, whole(bits, 0xFFFFFFFFFFFFF), "");
  LLVMValueRef m = float_of(e, LLVMBuildOr(builder, fraction, whole(bits, 0x3FF0000000000000), ""));
  LLVMValueRef large = compare(e, LLVMRealOGT, m, number(m, 1.4142135623730951));
  m = choose(e, large, mul(e, m, number(m, 0.5)), m);
  exponent = choose(e, large, add(e, exponent, number(m, 1)), exponent);
  LLVMValueRef s = LLVMBuildFDiv(builder, sub(e, m, number(m, 1)), add(e, m, number(m, 1)), "");
  return emit_fma(e, POLYNOMIAL(e, mul(e, s, s), series), s, exponent);
}

/* 2^t for t in [-160, 130], by the series of e^(r ln 2). */
static LLVMValueRef wide_exp2(Emitter *e, LLVMValueRef t) {
  static const double series[] = {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320};
  LLVMBuilderRef builder = e->builder;
  LLVMValueRef power, n = nearest(e, t, number(t, 1), &power);
  LLVMValueRef near = POLYNOMIAL(e, mul(e, sub(e, t, n), number(t, 0.6931471805599453)), series);
  LLVMValueRef shifted = LLVMBuildShl(builder, power, whole(power, 52), "");
  return float_of(e, LLVMBuildAdd(builder, bits_of(e, near), shifted, ""));
}

static LLVMValueRef is_whole(Emitter *e, LLVMValueRef y) { return compare(e, LLVMRealOEQ, emit_round(e, y), y); }

/* What differs for a negative x: odd whole powers are negative, and of numbers below 0 only whole powers exist. */
static LLVMValueRef pow_sign(Emitter *e, LLVMValueRef x, LLVMValueRef y, LLVMValueRef power) {
  LLVMBuilderRef builder = e->builder;
  LLVMValueRef half_whole = is_whole(e, mul(e, y, number(y, 0.5))), y_whole = is_whole(e, y);
  LLVMValueRef odd = LLVMBuildAnd(builder, y_whole, LLVMBuildNot(builder, half_whole, ""), "");
  power = choose(e, odd, signed_as(e, power, x), power);
  LLVMValueRef below = compare(e, LLVMRealOLT, x, number(x, 0));
  below = LLVMBuildAnd(builder, below, compare(e, LLVMRealOGT, x, number(x, -INFINITY)), "");
  LLVMValueRef none = LLVMBuildAnd(builder, below, LLVMBuildNot(builder, y_whole, ""), "");
  return choose(e, none, number(x, NAN), power);
}

LLVMValueRef emit_pow(Emitter *e, LLVMValueRef x, LLVMValueRef y) {
  LLVMBuilderRef builder = e->builder;
  LLVMTypeRef f64 = like(x, LLVMDoubleTypeInContext(e->context));
  LLVMValueRef size = absolute(e, x), wide = LLVMBuildFPExt(builder, size, f64, ""), one = number(x, 1);
  LLVMValueRef log2 = wide_log2(e, wide);
  log2 = choose(e, compare(e, LLVMRealOEQ, size, number(x, 0)), number(wide, -INFINITY), log2);
  log2 = choose(e, compare(e, LLVMRealOEQ, size, number(x, INFINITY)), number(wide, INFINITY), log2);
  LLVMValueRef t = mul(e, LLVMBuildFPExt(builder, y, f64, ""), log2);
  LLVMValueRef power = LLVMBuildFPTrunc(builder, wide_exp2(e, clamp(e, t, -160, 130)), LLVMTypeOf(x), "");
  power = choose(e, compare(e, LLVMRealOEQ, size, one), one, power);
  power = pow_sign(e, x, y, power);
  power = choose(e, compare(e, LLVMRealUNO, x, y), number(x, NAN), power);
  LLVMValueRef trivial = compare(e, LLVMRealOEQ, y, number(x, 0));
  trivial = LLVMBuildOr(builder, trivial, compare(e, LLVMRealOEQ, x, one), "");
  return choose(e, trivial, one, power);
}
