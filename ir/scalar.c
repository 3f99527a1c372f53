/* The elementwise ops: one expression for each op and kind, made into kernels by macros. -ffp-contract=off is part of the
 * definition: a * b + c rounds twice. Where a result would be undefined in C, the expression says what it is: i32 wraps,
 * division by 0 gives 0, casts saturate. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3", "no-trapping-math") /* -O2 leaves loops of unknown length scalar; nobody looks at flags */
#endif
#include "ir/scalar.h"
#include <math.h>
#include <string.h>

const int kind_bytes[KIND_COUNT] = {4, 8, 4, 1};

Kind kind_of(Dtype dtype, bool f64) {
  switch (dtype) {
  case F32: return f64 ? KIND_F64 : KIND_F32;
  case I32: return KIND_I32;
  case BOOL: return KIND_BOOL;
  default: bug("an element without a dtype");
  }
}

double kind_get(Kind kind, const void *data, int64_t index) {
  switch (kind) {
  case KIND_F32: return (double)((const float *)data)[index];
  case KIND_F64: return ((const double *)data)[index];
  case KIND_I32: return ((const int32_t *)data)[index];
  default: return ((const uint8_t *)data)[index];
  }
}

static inline int32_t saturate(double a) {
  if (a != a) return 0;
  if (a >= 2147483647.0) return INT32_MAX;
  if (a <= -2147483648.0) return INT32_MIN;
  return (int32_t)a;
}

void kind_set(Kind kind, void *data, int64_t index, double value) {
  switch (kind) {
  case KIND_F32: ((float *)data)[index] = (float)value; break;
  case KIND_F64: ((double *)data)[index] = value; break;
  case KIND_I32: ((int32_t *)data)[index] = saturate(value); break;
  default: ((uint8_t *)data)[index] = value != 0; break;
  }
}

/* ---- i32, without undefined behaviour ---- */

static inline int32_t i32_add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
static inline int32_t i32_sub(int32_t a, int32_t b) { return (int32_t)((uint32_t)a - (uint32_t)b); }
static inline int32_t i32_mul(int32_t a, int32_t b) { return (int32_t)((uint32_t)a * (uint32_t)b); }

static inline int32_t i32_floordiv(int32_t a, int32_t b) {
  if (b == 0) return 0;
  if (b == -1) return i32_sub(0, a);
  int32_t quotient = a / b;
  return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

static inline int32_t i32_mod(int32_t a, int32_t b) {
  if (b == 0 || b == -1) return 0;
  int32_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

/* ---- exp and tanh of f32: by way of f64, without branches, so that their loops vectorise ---- */

/* e^x - 1 is power * (1 + rest) - 1, which loses no digits near 0, where the power is 1. To 2e-10 of it for x from -700 to
 * 700, NaN for NaN. x is k ln 2 and at most ln 2 / 2; adding 1.5 * 2^52 rounds to the whole k and leaves it in the low
 * bits, from where it goes into the exponent. */
static inline double rest_of_exp(double x, double *power) {
  const double rounder = 0x1.8p52;
  double shifted = x * 1.4426950408889634 + rounder, y = x - (shifted - rounder) * 0.6931471805599453;
  uint64_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023) << 52;
  memcpy(power, &bits, sizeof *power);
  double sum = 1.0 / 40320;
  sum = sum * y + 1.0 / 5040;
  sum = sum * y + 1.0 / 720;
  sum = sum * y + 1.0 / 120;
  sum = sum * y + 1.0 / 24;
  sum = sum * y + 1.0 / 6;
  sum = sum * y + 0.5;
  return (sum * y + 1) * y;
}

static inline float exp_single(float a) {
  double x = (double)a, power;
  x = x < -150 ? -150 : x; /* f32 is 0 there, and infinite at the other end */
  x = x > 150 ? 150 : x;
  double rest = rest_of_exp(x, &power);
  return (float)(power + power * rest);
}

static inline float tanh_single(float a) {
  double x = -2 * fabs((double)a), power;
  x = x < -40 ? -40 : x;
  double rest = rest_of_exp(x, &power), less = (power - 1) + power * rest; /* e^x - 1 */
  return copysignf((float)(-less / (less + 2)), a);
}

/* ---- kernels ---- */

#define UNARY(name, A, R, expression)                                                                                      \
  static KERNEL void name(const void *a_line, int64_t a_step, void *result_line, int64_t count) {                          \
    const A *as = a_line;                                                                                                  \
    R *restrict result = result_line;                                                                                      \
    if (a_step == 1)                                                                                                       \
      for (int64_t i = 0; i < count; i++) {                                                                                \
        A a = as[i];                                                                                                       \
        result[i] = (R)(expression);                                                                                       \
      }                                                                                                                    \
    else                                                                                                                   \
      for (int64_t i = 0; i < count; i++) {                                                                                \
        A a = as[i * a_step];                                                                                              \
        result[i] = (R)(expression);                                                                                       \
      }                                                                                                                    \
  }

/* The first three loops are those that vectorise: both dense, or one of them the same element all along. */
#define BINARY(name, A, R, expression)                                                                                     \
  static KERNEL void name(const void *a_line, int64_t a_step, const void *b_line, int64_t b_step, void *result_line,       \
                          int64_t count) {                                                                                 \
    const A *as = a_line, *bs = b_line;                                                                                    \
    R *restrict result = result_line;                                                                                      \
    if (a_step == 1 && b_step == 1) {                                                                                      \
      for (int64_t i = 0; i < count; i++) {                                                                                \
        A a = as[i], b = bs[i];                                                                                            \
        result[i] = (R)(expression);                                                                                       \
      }                                                                                                                    \
    } else if (a_step == 1 && b_step == 0) {                                                                               \
      A b = *bs;                                                                                                           \
      for (int64_t i = 0; i < count; i++) {                                                                                \
        A a = as[i];                                                                                                       \
        result[i] = (R)(expression);                                                                                       \
      }                                                                                                                    \
    } else if (a_step == 0 && b_step == 1) {                                                                               \
      A a = *as;                                                                                                           \
      for (int64_t i = 0; i < count; i++) {                                                                                \
        A b = bs[i];                                                                                                       \
        result[i] = (R)(expression);                                                                                       \
      }                                                                                                                    \
    } else {                                                                                                               \
      for (int64_t i = 0; i < count; i++) {                                                                                \
        A a = as[i * a_step], b = bs[i * b_step];                                                                          \
        result[i] = (R)(expression);                                                                                       \
      }                                                                                                                    \
    }                                                                                                                      \
  }

#define FLOAT_UNARY(op, single, full)                                                                                      \
  UNARY(op##_f32, float, float, single)                                                                                    \
  UNARY(op##_f64, double, double, full)
#define FLOAT_BINARY(op, single, full)                                                                                     \
  BINARY(op##_f32, float, float, single)                                                                                   \
  BINARY(op##_f64, double, double, full)
#define COMPARISON(op, expression)                                                                                         \
  BINARY(op##_f32, float, uint8_t, expression)                                                                             \
  BINARY(op##_f64, double, uint8_t, expression)                                                                            \
  BINARY(op##_i32, int32_t, uint8_t, expression)                                                                           \
  BINARY(op##_bool, uint8_t, uint8_t, expression)

FLOAT_UNARY(neg, -a, -a)
FLOAT_UNARY(exp, exp_single(a), exp(a))
FLOAT_UNARY(log, logf(a), log(a))
FLOAT_UNARY(sqrt, sqrtf(a), sqrt(a))
FLOAT_UNARY(sin, sinf(a), sin(a))
FLOAT_UNARY(cos, cosf(a), cos(a))
FLOAT_UNARY(tanh, tanh_single(a), tanh(a))
FLOAT_UNARY(erf, erff(a), erf(a))
FLOAT_UNARY(floor, floorf(a), floor(a))
FLOAT_UNARY(round, rintf(a), rint(a))
UNARY(neg_i32, int32_t, int32_t, i32_sub(0, a))

FLOAT_BINARY(add, a + b, a + b)
FLOAT_BINARY(sub, a - b, a - b)
FLOAT_BINARY(mul, a *b, a *b)
FLOAT_BINARY(div, a / b, a / b)
FLOAT_BINARY(floordiv, floorf(a / b), floor(a / b))
FLOAT_BINARY(mod, a - b * floorf(a / b), a - b * floor(a / b))
FLOAT_BINARY(pow, powf(a, b), pow(a, b))
FLOAT_BINARY(max, a > b || a != a ? a : b, a > b || a != a ? a : b)
FLOAT_BINARY(min, a < b || a != a ? a : b, a < b || a != a ? a : b)
BINARY(add_i32, int32_t, int32_t, i32_add(a, b))
BINARY(sub_i32, int32_t, int32_t, i32_sub(a, b))
BINARY(mul_i32, int32_t, int32_t, i32_mul(a, b))
BINARY(floordiv_i32, int32_t, int32_t, i32_floordiv(a, b))
BINARY(mod_i32, int32_t, int32_t, i32_mod(a, b))
BINARY(max_i32, int32_t, int32_t, a > b ? a : b)
BINARY(min_i32, int32_t, int32_t, a < b ? a : b)
BINARY(max_bool, uint8_t, uint8_t, a | b)
BINARY(min_bool, uint8_t, uint8_t, a &b)
COMPARISON(lt, a < b)
COMPARISON(le, a <= b)
COMPARISON(eq, a == b)

UNARY(same_f32, float, float, a)
UNARY(same_f64, double, double, a)
UNARY(same_i32, int32_t, int32_t, a)
UNARY(same_bool, uint8_t, uint8_t, a)
UNARY(f32_to_f64, float, double, a)
UNARY(f64_to_f32, double, float, a)
UNARY(f32_to_i32, float, int32_t, saturate((double)a))
UNARY(f64_to_i32, double, int32_t, saturate(a))
UNARY(f32_to_bool, float, uint8_t, a != 0)
UNARY(f64_to_bool, double, uint8_t, a != 0)
UNARY(i32_to_f32, int32_t, float, a)
UNARY(i32_to_f64, int32_t, double, a)
UNARY(i32_to_bool, int32_t, uint8_t, a != 0)
UNARY(bool_to_f32, uint8_t, float, a)
UNARY(bool_to_f64, uint8_t, double, a)
UNARY(bool_to_i32, uint8_t, int32_t, a)

/* ---- tables ---- */

#define FLOATS_OF(op) [OP_##op] = {op##_f32, op##_f64, NULL, NULL}
#define NUMBERS_OF(op) [OP_##op] = {op##_f32, op##_f64, op##_i32, NULL}
#define ALL_OF(op) [OP_##op] = {op##_f32, op##_f64, op##_i32, op##_bool}

static UnaryKernel *const unary_kernels[OP_COUNT][KIND_COUNT] = {
    NUMBERS_OF(neg), FLOATS_OF(exp),  FLOATS_OF(log), FLOATS_OF(sqrt),  FLOATS_OF(sin),
    FLOATS_OF(cos),  FLOATS_OF(tanh), FLOATS_OF(erf), FLOATS_OF(floor), FLOATS_OF(round),
};
static BinaryKernel *const binary_kernels[OP_COUNT][KIND_COUNT] = {
    NUMBERS_OF(add), NUMBERS_OF(sub), NUMBERS_OF(mul), FLOATS_OF(div), NUMBERS_OF(floordiv), NUMBERS_OF(mod),
    FLOATS_OF(pow),  ALL_OF(max),     ALL_OF(min),     ALL_OF(lt),     ALL_OF(le),           ALL_OF(eq),
};
static UnaryKernel *const cast_kernels[KIND_COUNT][KIND_COUNT] = {
    {same_f32, f32_to_f64, f32_to_i32, f32_to_bool},
    {f64_to_f32, same_f64, f64_to_i32, f64_to_bool},
    {i32_to_f32, i32_to_f64, same_i32, i32_to_bool},
    {bool_to_f32, bool_to_f64, bool_to_i32, same_bool},
};

UnaryKernel *scalar_unary(Op op, Kind kind) { return unary_kernels[op][kind]; }
BinaryKernel *scalar_binary(Op op, Kind kind) { return binary_kernels[op][kind]; }
UnaryKernel *scalar_cast(Kind from, Kind to) { return cast_kernels[from][to]; }

double scalar_compute(Op op, Dtype dtype, double a, double b) {
  Kind kind = kind_of(dtype, false);
  Kind result_kind = op_info[op].flags & TRUTH ? KIND_BOOL : kind;
  double a_bits = 0, b_bits = 0, result = 0; /* room for an element of any kind */
  kind_set(kind, &a_bits, 0, a);
  kind_set(kind, &b_bits, 0, b);
  if (binary_kernels[op][kind])
    binary_kernels[op][kind](&a_bits, 1, &b_bits, 1, &result, 1);
  else if (unary_kernels[op][kind])
    unary_kernels[op][kind](&a_bits, 1, &result, 1);
  else
    bug("%s has no scalar of dtype %s", op_info[op].name, dtype_name(dtype));
  return kind_get(result_kind, &result, 0);
}

double scalar_convert(Dtype from, Dtype to, double a) {
  Kind from_kind = kind_of(from, false), to_kind = kind_of(to, false);
  double bits = 0, result = 0;
  kind_set(from_kind, &bits, 0, a);
  cast_kernels[from_kind][to_kind](&bits, 1, &result, 1);
  return kind_get(to_kind, &result, 0);
}
