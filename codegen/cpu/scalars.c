/* Scalars of a stage as IR: one value, or 16 of them. An operand that does not vary along the vector loop is a scalar and is
 * splatted where it meets a vector. Floats are never contracted; what would be undefined in C is what ir/scalar.c says. */
#include "codegen/cpu/nest.h"

#include <llvm-c/Core.h>
#include <math.h>

LLVMValueRef number_value(const Emitter *emitter, Dtype dtype, double number) {
  if (dtype == F32) return LLVMConstReal(emitter->f32, (double)(float)number);
  if (dtype == BOOL) return LLVMConstInt(emitter->i1, number != 0, 0);
  return const_i32(emitter, (int64_t)number);
}

/* ---- i32 ---- */

/* The quotient towards minus infinity, through f64: with 53 bits, a quotient of two i32 that is no whole number is never
 * rounded to one. b = 0 gives 0 and b = -1 wraps, so no instruction can trap. */
static LLVMValueRef emit_i32_floordiv(Emitter *emitter, LLVMValueRef a, LLVMValueRef b) {
  LLVMBuilderRef builder = emitter->builder;
  LLVMTypeRef type = LLVMTypeOf(a), f64 = like(a, LLVMDoubleTypeInContext(emitter->context));
  LLVMValueRef zero = LLVMConstNull(type), minus_one = LLVMConstAllOnes(type), one = const_like(a, const_i32(emitter, 1));
  LLVMValueRef none = LLVMBuildICmp(builder, LLVMIntEQ, b, zero, "");
  LLVMValueRef negates = LLVMBuildICmp(builder, LLVMIntEQ, b, minus_one, "");
  LLVMValueRef safe = LLVMBuildSelect(builder, LLVMBuildOr(builder, none, negates, ""), one, b, "");
  LLVMValueRef ratio =
      LLVMBuildFDiv(builder, LLVMBuildSIToFP(builder, a, f64, ""), LLVMBuildSIToFP(builder, safe, f64, ""), "");
  LLVMValueRef quotient = LLVMBuildFPToSI(builder, ratio, type, "");
  LLVMValueRef rest = LLVMBuildSub(builder, a, LLVMBuildMul(builder, quotient, safe, ""), "");
  LLVMValueRef inexact = LLVMBuildICmp(builder, LLVMIntNE, rest, zero, "");
  LLVMValueRef signs = LLVMBuildICmp(builder, LLVMIntSLT, LLVMBuildXor(builder, a, safe, ""), zero, "");
  LLVMValueRef down = LLVMBuildAnd(builder, inexact, signs, "");
  quotient = LLVMBuildAdd(builder, quotient, LLVMBuildSExt(builder, down, type, ""), "");
  quotient = LLVMBuildSelect(builder, negates, LLVMBuildSub(builder, zero, a, ""), quotient, "");
  return LLVMBuildSelect(builder, none, zero, quotient, "");
}

static LLVMValueRef emit_i32_mod(Emitter *emitter, LLVMValueRef a, LLVMValueRef b) {
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef quotient = emit_i32_floordiv(emitter, a, b), zero = LLVMConstNull(LLVMTypeOf(a));
  LLVMValueRef rest = LLVMBuildSub(builder, a, LLVMBuildMul(builder, quotient, b, ""), "");
  return LLVMBuildSelect(builder, LLVMBuildICmp(builder, LLVMIntEQ, b, zero, ""), zero, rest, "");
}

/* ---- ops ---- */

static LLVMValueRef emit_cast(Emitter *emitter, Dtype from, Dtype to, LLVMValueRef a) {
  LLVMBuilderRef builder = emitter->builder;
  LLVMTypeRef type = like(a, type_of_dtype(emitter, to)), source = LLVMTypeOf(a);
  if (from == to) return a;
  if (to == BOOL && from == F32) return LLVMBuildFCmp(builder, LLVMRealUNE, a, LLVMConstNull(source), "");
  if (to == BOOL) return LLVMBuildICmp(builder, LLVMIntNE, a, LLVMConstNull(source), "");
  if (to == F32) return from == BOOL ? LLVMBuildUIToFP(builder, a, type, "") : LLVMBuildSIToFP(builder, a, type, "");
  if (from == BOOL) return LLVMBuildZExt(builder, a, type, "");
  return call_intrinsic(emitter, "llvm.fptosi.sat", (LLVMTypeRef[]){type, source}, 2, &a, 1);
}

static LLVMValueRef emit_compare(Emitter *emitter, int op, Dtype dtype, LLVMValueRef a, LLVMValueRef b) {
  if (dtype == F32) {
    LLVMRealPredicate test = op == OP_lt ? LLVMRealOLT : op == OP_le ? LLVMRealOLE : LLVMRealOEQ;
    return LLVMBuildFCmp(emitter->builder, test, a, b, "");
  }
  bool truth = dtype == BOOL;
  LLVMIntPredicate less = truth ? LLVMIntULT : LLVMIntSLT, most = truth ? LLVMIntULE : LLVMIntSLE;
  return LLVMBuildICmp(emitter->builder, op == OP_lt ? less : op == OP_le ? most : LLVMIntEQ, a, b, "");
}

static LLVMValueRef emit_f32_op(Emitter *emitter, int op, LLVMValueRef a, LLVMValueRef b) {
  LLVMBuilderRef builder = emitter->builder;
  switch (op) {
  case OP_neg: return LLVMBuildFNeg(builder, a, "");
  case OP_exp: return emit_exp(emitter, a);
  case OP_log: return emit_log(emitter, a);
  case OP_sqrt: return call_unary(emitter, "llvm.sqrt", a);
  case OP_sin: return emit_sin(emitter, a);
  case OP_cos: return emit_cos(emitter, a);
  case OP_tanh: return emit_tanh(emitter, a);
  case OP_erf: return emit_erf(emitter, a);
  case OP_floor: return emit_floor(emitter, a);
  case OP_round: return emit_round(emitter, a);
  case OP_add: return LLVMBuildFAdd(builder, a, b, "");
  case OP_sub: return LLVMBuildFSub(builder, a, b, "");
  case OP_mul: return LLVMBuildFMul(builder, a, b, "");
  case OP_div: return LLVMBuildFDiv(builder, a, b, "");
  case OP_floordiv: return emit_floor(emitter, LLVMBuildFDiv(builder, a, b, ""));
  case OP_pow: return emit_pow(emitter, a, b);
  case OP_mod: {
    LLVMValueRef whole = emit_floor(emitter, LLVMBuildFDiv(builder, a, b, ""));
    return LLVMBuildFSub(builder, a, LLVMBuildFMul(builder, b, whole, ""), "");
  }
  default: bug("no f32 code for op %d", op);
  }
}

static LLVMValueRef emit_i32_op(Emitter *emitter, int op, LLVMValueRef a, LLVMValueRef b) {
  LLVMBuilderRef builder = emitter->builder;
  switch (op) {
  case OP_neg: return LLVMBuildNeg(builder, a, "");
  case OP_add: return LLVMBuildAdd(builder, a, b, "");
  case OP_sub: return LLVMBuildSub(builder, a, b, "");
  case OP_mul: return LLVMBuildMul(builder, a, b, "");
  case OP_floordiv: return emit_i32_floordiv(emitter, a, b);
  case OP_mod: return emit_i32_mod(emitter, a, b);
  default: bug("no i32 code for op %d", op);
  }
}

LLVMValueRef emit_elementwise(Emitter *emitter, int op, Dtype from, Dtype to, LLVMValueRef a, LLVMValueRef b,
                              LLVMValueRef c) {
  if ((b && is_vector(b)) || (c && is_vector(c)) || is_vector(a)) {
    a = widen(emitter, a);
    if (b) b = widen(emitter, b);
    if (c) c = widen(emitter, c);
  }
  switch (op) {
  case OP_cast: return emit_cast(emitter, from, to, a);
  case OP_where: return LLVMBuildSelect(emitter->builder, a, b, c, "");
  case OP_max: return select_max(emitter, a, b, from, false);
  case OP_min: return select_max(emitter, a, b, from, true);
  case OP_lt:
  case OP_le:
  case OP_eq: return emit_compare(emitter, op, from, a, b);
  default: return from == F32 ? emit_f32_op(emitter, op, a, b) : emit_i32_op(emitter, op, a, b);
  }
}

/* ---- random numbers: ir/random.c's, 16 at a time ---- */

static LLVMValueRef as_i32(Emitter *emitter, LLVMValueRef value, int bits) {
  LLVMTypeRef wide = LLVMTypeOf(value);
  LLVMValueRef by = LLVMConstInt(is_vector(value) ? LLVMGetElementType(wide) : wide, (unsigned)bits, 0);
  if (bits) value = LLVMBuildLShr(emitter->builder, value, const_like(value, by), "");
  return LLVMBuildTrunc(emitter->builder, value, like(value, emitter->i32), "");
}

/* The first word of Philox 2x32-10 of counter {first, second}. */
static LLVMValueRef emit_philox(Emitter *emitter, LLVMValueRef first, LLVMValueRef second, LLVMValueRef key) {
  LLVMBuilderRef builder = emitter->builder;
  if (is_vector(first) || is_vector(second) || is_vector(key)) {
    first = widen(emitter, first), second = widen(emitter, second), key = widen(emitter, key);
  }
  LLVMTypeRef wide = like(first, emitter->i64);
  LLVMValueRef factor = const_like(first, const_i64(emitter, 0xD256D193));
  LLVMValueRef raise = const_like(first, const_i32(emitter, (int32_t)0x9E3779B9));
  for (int turn = 0; turn < 10; turn++) {
    LLVMValueRef product = LLVMBuildMul(builder, LLVMBuildZExt(builder, first, wide, ""), factor, "");
    LLVMValueRef high = as_i32(emitter, product, 32), low = as_i32(emitter, product, 0);
    first = LLVMBuildXor(builder, LLVMBuildXor(builder, high, key, ""), second, "");
    second = low;
    if (turn < 9) key = LLVMBuildAdd(builder, key, raise, "");
  }
  return first;
}

static LLVMValueRef emit_random(Nest *nest, const Reach *reach, LLVMValueRef key) {
  Emitter *emitter = nest->work->emitter;
  LLVMBuilderRef builder = emitter->builder;
  LLVMValueRef index = reach_index(nest, reach);
  LLVMValueRef first = emit_philox(emitter, as_i32(emitter, index, 0), as_i32(emitter, index, 32), key);
  LLVMValueRef top = LLVMBuildLShr(builder, first, const_like(first, const_i32(emitter, 8)), "");
  LLVMValueRef number = LLVMBuildSIToFP(builder, top, like(first, emitter->f32), "");
  return LLVMBuildFMul(builder, number, const_like(number, const_f32(emitter, 0x1p-24)), "");
}

/* The second word of a key's counter, RANDOM_KEY_WORD of ir/interpret.h. */
static const int32_t key_word = 0x6E6E6373;

static LLVMValueRef emit_key(Nest *nest, const Scalar *scalar) {
  Emitter *emitter = nest->work->emitter;
  LLVMValueRef stream =
      scalar->a < 0 ? const_i32(emitter, (int32_t)(uint32_t)(int64_t)scalar->number) : nest->value[scalar->a];
  return emit_philox(emitter, nest->value[scalar->b], const_i32(emitter, key_word), stream);
}

/* ---- scalars ---- */

static LLVMValueRef emit_index(Nest *nest, const Reach *reach) {
  Emitter *emitter = nest->work->emitter;
  LLVMValueRef exact, index = reach_axis(nest, reach, 0, &exact);
  return is_vector(index) ? index : LLVMBuildTrunc(emitter->builder, index, emitter->i32, "");
}

LLVMValueRef emit_scalar(Nest *nest, int which, int position) {
  Emitter *emitter = nest->work->emitter;
  const Scalar *scalar = &nest->stage->scalars.items[which];
  const Reach *reach = nest->reach[which];
  switch (scalar->op) {
  case SCALAR_LOAD: return reach_load(nest, reach, scalar->dtype, scalar->number, position);
  case SCALAR_NUMBER: return number_value(emitter, scalar->dtype, scalar->number);
  case SCALAR_SIZE: return LLVMBuildTrunc(emitter->builder, work_dim(nest->work, scalar->dim), emitter->i32, "");
  case SCALAR_INDEX: return emit_index(nest, reach);
  case SCALAR_INSIDE: {
    LLVMValueRef inside = reach_guard(nest, reach);
    return inside ? inside : LLVMConstInt(emitter->i1, 1, 0);
  }
  case SCALAR_KEY: return emit_key(nest, scalar);
  case SCALAR_RANDOM: return emit_random(nest, reach, nest->value[scalar->a]);
  case SCALAR_FOLDED: return nest->folded[scalar->index];
  default: break;
  }
  const Scalar *scalars = nest->stage->scalars.items;
  LLVMValueRef a = nest->value[scalar->a], b = scalar->b >= 0 ? nest->value[scalar->b] : NULL;
  LLVMValueRef c = scalar->c >= 0 ? nest->value[scalar->c] : NULL;
  return emit_elementwise(emitter, scalar->op, scalars[scalar->a].dtype, scalar->dtype, a, b, c);
}

static int scalar_weight(int op) {
  switch (op) {
  case OP_exp:
  case OP_log:
  case OP_tanh:
  case OP_erf: return 20;
  case OP_sin:
  case OP_cos:
  case SCALAR_RANDOM:
  case SCALAR_KEY: return 40;
  case OP_pow: return 100;
  case OP_floordiv:
  case OP_mod: return 10;
  default: return 1;
  }
}

bool stage_is_heavy(const Stage *stage, int from) {
  int weight = 0;
  for (int k = from; k < stage->scalars.count; k++) weight += scalar_weight(stage->scalars.items[k].op);
  return weight > 16;
}
