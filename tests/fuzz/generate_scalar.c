/* Elementwise parts of random programs: each op where its operands' intervals let it be. */
#include "tests/fuzz/generate.h"

#include <math.h>

static Id number(Generator *g, double value) { return graph_number(g->graph, F32, value); }
static Id op2(Generator *g, Op op, Id a, Id b) { return graph_binary(g->graph, op, a, b); }
static Id op1(Generator *g, Op op, Id a) { return graph_unary(g->graph, op, a); }
static double reach_of(Value value) { return fmax(fabs(value.low), fabs(value.high)); }

/* At least `least`: cut off, squared, or as it is. */
static Value above(Generator *g, Value a, double least) {
  if (a.low >= least) return a;
  if (chance(g, 50)) return (Value){op2(g, OP_max, a.id, number(g, least)), least, fmax(a.high, least)};
  Id square = op2(g, OP_mul, a.id, a.id);
  double reach = reach_of(a);
  return (Value){op2(g, OP_add, square, number(g, least)), least, reach * reach + least};
}

/* ---- one operand ---- */

static bool make_smooth(Generator *g, Op op, Value a) {
  switch (op) {
  case OP_exp:
    a = tame(g, a, 3);
    keep(g, op1(g, op, a.id), exp(a.low), exp(a.high));
    return true;
  case OP_log:
    a = above(g, a, 0.125);
    keep(g, op1(g, op, a.id), log(a.low), log(a.high));
    return true;
  case OP_sqrt:
    a = above(g, a, 0.125);
    keep(g, op1(g, op, a.id), sqrt(a.low), sqrt(a.high));
    return true;
  case OP_tanh: keep(g, op1(g, op, a.id), tanh(a.low), tanh(a.high)); return true;
  case OP_erf: keep(g, op1(g, op, a.id), erf(a.low), erf(a.high)); return true;
  default: keep(g, op1(g, op, a.id), -1, 1); return true;
  }
}

bool make_unary(Generator *g) {
  static const Op ops[] = {OP_neg, OP_exp, OP_log, OP_sqrt, OP_sin, OP_cos, OP_tanh, OP_erf, OP_floor, OP_round};
  Op op = ops[below(g, COUNT_OF(ops))];
  Value a = any_value(g, F32);
  if (op == OP_neg) {
    keep(g, op1(g, op, a.id), -a.high, -a.low);
  } else if (op == OP_floor || op == OP_round) {
    Id scaled = op2(g, OP_mul, a.id, number(g, 4));
    keep(g, op1(g, op, scaled), floor(4 * a.low), ceil(4 * a.high));
  } else {
    return make_smooth(g, op, a);
  }
  return true;
}

bool make_stop(Generator *g) {
  Value a = any_value(g, chance(g, 80) ? F32 : BOOL);
  keep(g, graph_stop(g->graph, a.id), a.low, a.high);
  return true;
}

/* ---- two operands ---- */

static void quotient(Generator *g, Value a, Value b) {
  b = above(g, b, 0.25);
  double reach = reach_of(a) / b.low;
  keep(g, op2(g, OP_div, a.id, b.id), -reach, reach);
}

static void power(Generator *g, Value a) {
  if (chance(g, 50)) {
    double exponent = below(g, 4);
    a = tame(g, a, 4);
    double reach = pow(reach_of(a), exponent);
    keep(g, op2(g, OP_pow, a.id, number(g, exponent)), -reach, fmax(reach, 1));
    return;
  }
  a = tame(g, above(g, a, 0.25), 4);
  Value b = tame(g, alike(g, F32, type_of_value(g, a)), 2);
  double low = fmin(a.low, 0.0625), most = fmax(pow(fmax(a.high, 1), 2), pow(low, -2));
  a = above(g, a, 0.125);
  keep(g, op2(g, OP_pow, a.id, b.id), 0, most);
}

static void remainder_of(Generator *g, Op op, Value a, Value b) {
  b = chance(g, 50) ? (Value){number(g, 0.75), 0.75, 0.75} : above(g, b, 0.5);
  double reach = reach_of(a) / b.low + 1;
  if (op == OP_mod) reach = b.high;
  keep(g, op2(g, op, a.id, b.id), op == OP_mod ? -b.high / 1000 : -reach, reach);
}

bool make_binary(Generator *g) {
  static const Op ops[] = {OP_add, OP_add, OP_sub, OP_mul, OP_mul, OP_div, OP_floordiv, OP_mod, OP_pow, OP_max, OP_min};
  Op op = ops[below(g, COUNT_OF(ops))];
  Value a = any_value(g, F32), b = chance(g, 12) ? a : alike(g, F32, type_of_value(g, a));
  double product = reach_of(a) * reach_of(b);
  switch (op) {
  case OP_add: keep(g, op2(g, op, a.id, b.id), a.low + b.low, a.high + b.high); break;
  case OP_sub: keep(g, op2(g, op, a.id, b.id), a.low - b.high, a.high - b.low); break;
  case OP_mul: keep(g, op2(g, op, a.id, b.id), a.id == b.id ? 0 : -product, product); break;
  case OP_div: quotient(g, a, b); break;
  case OP_pow: power(g, a); break;
  case OP_floordiv:
  case OP_mod: remainder_of(g, op, a, b); break;
  case OP_max: keep(g, op2(g, op, a.id, b.id), fmax(a.low, b.low), fmax(a.high, b.high)); break;
  default: keep(g, op2(g, op, a.id, b.id), fmin(a.low, b.low), fmin(a.high, b.high)); break;
  }
  return true;
}

bool make_integer(Generator *g) {
  static const Op ops[] = {OP_add, OP_sub, OP_mul, OP_floordiv, OP_mod, OP_max, OP_min, OP_neg};
  Op op = ops[below(g, COUNT_OF(ops))];
  Value a = any_value(g, I32), b = alike(g, I32, type_of_value(g, a));
  double reach = reach_of(a) + reach_of(b);
  if (op == OP_mul) reach = reach_of(a) * reach_of(b);
  keep(g, op == OP_neg ? op1(g, op, a.id) : op2(g, op, a.id, b.id), -reach, reach);
  return true;
}

/* ---- bool ---- */

bool make_compare(Generator *g) {
  static const Op ops[] = {OP_lt, OP_le, OP_eq}, choices[] = {OP_max, OP_min, OP_eq};
  Dtype dtype = chance(g, 60) ? F32 : chance(g, 60) ? I32 : BOOL;
  Op op = dtype == BOOL ? choices[below(g, 3)] : ops[below(g, 3)];
  Value a = any_value(g, dtype), b = alike(g, dtype, type_of_value(g, a));
  if (op == OP_eq && dtype == F32) { /* equal often, and surely */
    a.id = op1(g, OP_round, a.id);
    b.id = op1(g, OP_round, b.id);
  }
  keep(g, op2(g, op, a.id, b.id), 0, 1);
  return true;
}

bool make_where(Generator *g) {
  Dtype dtype = chance(g, 70) ? F32 : chance(g, 60) ? I32 : BOOL;
  Value a = any_value(g, dtype), b = alike(g, dtype, type_of_value(g, a)), condition = alike(g, BOOL, type_of_value(g, a));
  keep(g, graph_where(g->graph, condition.id, a.id, b.id), fmin(a.low, b.low), fmax(a.high, b.high));
  return true;
}

bool make_cast(Generator *g) {
  static const Dtype dtypes[] = {F32, I32, BOOL};
  Dtype from = dtypes[below(g, 3)], to = dtypes[below(g, 3)];
  Value a = any_value(g, from);
  if (from == to) return false;
  if (from == F32 && to == I32) a.id = op2(g, OP_mul, a.id, number(g, 4));
  if (from == F32 && to == I32) a.low *= 4, a.high *= 4;
  bool truth = from == BOOL || to == BOOL;
  keep(g, graph_cast(g->graph, to, a.id), truth ? 0 : a.low, truth ? 1 : a.high);
  return true;
}
