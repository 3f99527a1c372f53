/* How far an evaluation in f32 may be from one in f64, element by element.
 *
 * The interpreter gives every value in f64. Going through the nodes in their order, an element's bound is what its
 * operands' bounds may change (by evaluating monotone functions at both ends, by products of bounds elsewhere: no
 * derivative is taken for constant) plus the rounding of the op itself. Sums count gamma_n * sum |x|, which holds for any
 * order and for fused multiply-adds. Where a decision is taken (comparing, rounding, choosing) and the bounds leave it
 * open, the result's bound is infinite: nothing is asked of that element, nor of what is made of it.
 *
 * A value that is infinite or NaN has the bound 0 where nothing upstream was rounded: then f32 must give the same. */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <string.h>

/* ---- the ground ---- */

double bound_finish(Dtype dtype, double value, double bound) {
  if (dtype != F32) return bound == 0 ? 0 : INFINITY;
  if (isnan(bound)) return INFINITY;
  if (isfinite(value) && !(fabs(value) + bound < 3e38)) return INFINITY;
  return bound;
}

static int64_t count_of(const BoundsOf *of, Id id) { return array_count(&of->values[id]); }

/* The larger change of a monotone function at the ends of [x - e, x + e]. */
static double ends(double (*function)(double), double x, double e) {
  double y = function(x);
  return fmax(fabs(function(x + e) - y), fabs(function(x - e) - y));
}

/* What computing the op itself costs, its operands given: basic arithmetic is rounded once (division may be by a
 * reciprocal), functions are good to four units in the last place. */
static double rounding(Op op, double y, double a, double b) {
  const double tiny = 0x1p-149, least = 0x1p-126;
  switch (op) {
  case OP_add:
  case OP_sub:
  case OP_mul: return UNIT_ROUNDOFF * fabs(y) + tiny;
  case OP_div: return 2 * UNIT_ROUNDOFF * fabs(y) + least;
  case OP_sqrt: return 2 * UNIT_ROUNDOFF * fabs(y) + tiny;
  case OP_sin:
  case OP_cos: return 8 * UNIT_ROUNDOFF * fmax(fabs(y), 0x1p-20 * fabs(a)) + least;
  case OP_exp:
  case OP_log:
  case OP_tanh:
  case OP_erf: return 8 * UNIT_ROUNDOFF * fabs(y) + least;
  case OP_pow: return 8 * UNIT_ROUNDOFF * fabs(y) * (1 + fabs(b * log(fabs(a) + 1e-30)) / 8) + least;
  case OP_mod: return 2 * UNIT_ROUNDOFF * (fabs(a) + fabs(y)) + tiny;
  default: return 0;
  }
}

/* ---- one operand ---- */

static double unary_change(Op op, double a, double e) {
  switch (op) {
  case OP_exp: return ends(exp, a, e);
  case OP_log: return a > e ? ends(log, a, e) : INFINITY;
  case OP_sqrt: return a >= e ? ends(sqrt, a, e) : INFINITY;
  case OP_sin:
  case OP_cos: return fmin(e, 2);
  case OP_tanh: return ends(tanh, a, e);
  case OP_erf: return ends(erf, a, e);
  case OP_floor: return floor(a - e) == floor(a + e) ? 0 : INFINITY;
  case OP_round: return rint(a - e) == rint(a + e) ? 0 : INFINITY;
  default: return e;
  }
}

/* NaN, and nothing else in f32. */
static bool surely_nan(double value, double bound) { return isnan(value) && bound == 0; }

static void bound_unary(const BoundsOf *of, Id id, double *out) {
  const Node *node = graph_node(of->graph, id);
  Id operand = node->operands[0];
  for (int64_t i = 0, count = count_of(of, id); i < count; i++) {
    double a = array_get(&of->values[operand], i), e = of->bound[operand][i], y = array_get(&of->values[id], i);
    if (node->type.dtype != F32) {
      out[i] = e;
    } else if (!isfinite(a) || !isfinite(y)) {
      out[i] = e == 0 ? 0 : INFINITY;
    } else {
      out[i] = rounding(node->op, y, a, 0) + (e == 0 ? 0 : unary_change(node->op, a, e));
    }
  }
}

double to_i32(double x) { return isnan(x) ? 0 : trunc(fmin(fmax(x, -2147483648.0), 2147483647.0)); }

static void bound_cast(const BoundsOf *of, Id id, double *out) {
  const Node *node = graph_node(of->graph, id);
  Id operand = node->operands[0];
  Dtype from = graph_type(of->graph, operand)->dtype, to = node->type.dtype;
  for (int64_t i = 0, count = count_of(of, id); i < count; i++) {
    double a = array_get(&of->values[operand], i), e = of->bound[operand][i];
    if (e == 0) {
      out[i] = to == F32 && fabs(a) > 0x1p24 ? UNIT_ROUNDOFF * fabs(a) : 0;
    } else if (from == F32 && to == I32) {
      out[i] = to_i32(a - e) == to_i32(a + e) && isfinite(a) ? 0 : INFINITY;
    } else if (from == F32 && to == BOOL) {
      out[i] = fabs(a) > e ? 0 : INFINITY;
    } else {
      out[i] = e;
    }
  }
}

/* ---- two operands ---- */

static double product_change(double a, double ea, double b, double eb) { return fabs(a) * eb + fabs(b) * ea + ea * eb; }

static double power_change(double a, double ea, double b, double eb, double y) {
  double most = 0;
  bool whole = eb == 0 && b == rint(b) && b >= 0 && b < 64;
  if (a <= ea && !whole) return INFINITY;
  if (whole) { /* monotone in |a| */
    double size = pow(fabs(a), b);
    return fmax(pow(fabs(a) + ea, b) - size, fabs(a) > ea ? size - pow(fabs(a) - ea, b) : size + pow(ea, b));
  }
  for (int corner = 0; corner < 4; corner++) {
    double at = pow(corner & 1 ? a - ea : a + ea, corner & 2 ? b - eb : b + eb);
    most = fmax(most, fabs(at - y));
  }
  return most;
}

/* floor(a / b), where the quotient itself is rounded before it is floored. */
static bool floor_is_sure(double a, double ea, double b, double eb) {
  if (fabs(b) <= eb) return false;
  double q = a / b, e = (ea + fabs(q) * eb) / (fabs(b) - eb);
  if (e == 0 && q == rint(q) && fabs(q) < 0x1p24) return true;
  e += 3 * UNIT_ROUNDOFF * fabs(q) + 1e-40;
  return floor(q - e) == floor(q + e) && fabs(q) < 0x1p24;
}

static double binary_change(Op op, double a, double ea, double b, double eb, double y) {
  switch (op) {
  case OP_add:
  case OP_sub: return ea + eb;
  case OP_mul: return product_change(a, ea, b, eb);
  case OP_div: return fabs(b) > eb ? (ea + fabs(y) * eb) / (fabs(b) - eb) : INFINITY;
  case OP_max:
  case OP_min: return fmax(ea, eb);
  case OP_pow: return ea == 0 && eb == 0 ? 0 : power_change(a, ea, b, eb, y);
  case OP_floordiv: return floor_is_sure(a, ea, b, eb) ? 0 : INFINITY;
  case OP_mod: return floor_is_sure(a, ea, b, eb) ? ea + fabs(floor(a / b)) * eb : INFINITY;
  default: return fabs(a - b) > ea + eb ? 0 : INFINITY; /* lt, le, eq */
  }
}

static double binary_bound(Op op, double a, double ea, double b, double eb, double y) {
  bool truth = (op_info[op].flags & TRUTH) != 0;
  if (op == OP_div && b == 0) return INFINITY; /* the sign of a zero is no one's promise */
  if (ea == 0 && eb == 0 && (truth || !isfinite(a) || !isfinite(b) || !isfinite(y))) return 0;
  if (!isfinite(a) || !isfinite(b) || !isfinite(y))
    return isnan(y) && (surely_nan(a, ea) || surely_nan(b, eb)) ? 0 : INFINITY;
  return binary_change(op, a, ea, b, eb, y) + rounding(op, y, a, b);
}

static void bound_binary(const BoundsOf *of, Id id, double *out) {
  const Node *node = graph_node(of->graph, id);
  Id left = node->operands[0], right = node->operands[1];
  bool floats = graph_type(of->graph, left)->dtype == F32;
  for (int64_t i = 0, count = count_of(of, id); i < count; i++) {
    double ea = of->bound[left][i], eb = of->bound[right][i];
    double a = array_get(&of->values[left], i), b = array_get(&of->values[right], i);
    out[i] = floats ? binary_bound(node->op, a, ea, b, eb, array_get(&of->values[id], i)) : ea + eb;
  }
}

static void bound_where(const BoundsOf *of, Id id, double *out) {
  const Node *node = graph_node(of->graph, id);
  for (int64_t i = 0, count = count_of(of, id); i < count; i++) {
    bool yes = array_get(&of->values[node->operands[0]], i) != 0;
    out[i] = of->bound[node->operands[0]][i] + of->bound[node->operands[yes ? 1 : 2]][i];
  }
}

/* ---- sources, and what only hands on ---- */

static void bound_zero(const BoundsOf *of, Id id, double *out) { memset(out, 0, (size_t)count_of(of, id) * sizeof *out); }
#define bound_dim bound_zero
#define bound_iota bound_zero
#define bound_state bound_zero

static void bound_constant(const BoundsOf *of, Id id, double *out) {
  for (int64_t i = 0, count = count_of(of, id); i < count; i++) {
    double value = array_get(&of->values[id], i);
    bool rounded = graph_type(of->graph, id)->dtype == F32 && isfinite(value);
    out[i] = rounded ? fabs(value - (double)(float)value) : 0;
  }
}

static void bound_arg(const BoundsOf *of, Id id, double *out) {
  const double *from = of->parameter_bounds ? of->parameter_bounds[graph_node(of->graph, id)->index] : NULL;
  for (int64_t i = 0, count = count_of(of, id); i < count; i++) out[i] = from ? from[i] : 0;
}

static void bound_random(const BoundsOf *of, Id id, double *out) {
  const Node *node = graph_node(of->graph, id);
  double open = 0;
  for (int k = 0; k < node->noperands; k++) open += of->bound[node->operands[k]][0];
  for (int64_t i = 0, count = count_of(of, id); i < count; i++) out[i] = open;
}

static void bound_stop(const BoundsOf *of, Id id, double *out) {
  memcpy(out, of->bound[graph_node(of->graph, id)->operands[0]], (size_t)count_of(of, id) * sizeof *out);
}
#define bound_reshape bound_stop

static void bound_pick(const BoundsOf *of, Id id, double *out) {
  const Node *node = graph_node(of->graph, id);
  memcpy(out, of->pairs[node->operands[0]].bound[node->index], (size_t)count_of(of, id) * sizeof *out);
}

static void bound_none(const BoundsOf *of, Id id, double *out) {
  (void)out;
  bug("no bounds of %s", op_info[graph_node(of->graph, id)->op].name);
}

/* ---- the whole graph ---- */

static BoundRule *const rules[OP_COUNT] = {
#define OP(name, operands, flags, shape, gradient, value, lower, meaning) [OP_##name] = bound_##value,
#include "ir/ops.def"
};

/* The node's value in f64, by the interpreter: a graph of that node alone, its operands parameters. */
static bool evaluate(const BoundsOf *of, Id id) {
  const Node *node = graph_node(of->graph, id);
  Graph *single = graph_new(of->graph->module, "node", GRAPH_FN);
  Array *operands = NEW_ARRAY(of->arena, Array, node->noperands + 1);
  single->here = single->place = node->place;
  for (int k = 0; k < node->noperands; k++) {
    Id operand = node->operands[k];
    operands[k] = of->values[operand];
    of->renamed[operand] = graph_parameter(single, "operand", *graph_type(of->graph, operand), node->place);
  }
  Id value = graph_copy_node(single, of->graph, id, of->renamed);
  PUSH(of->arena, &single->results, ((Result){"value", value}));
  Run run = {.graph = single, .f64 = true, .dims = of->dims, .parameters = operands, .arena = of->arena};
  run.results = &of->values[id];
  return interpret(&run, of->failure);
}

/* What an arg and a state hold is given; a scan is run turn by turn by its bound's rule, and its picks hand that on. */
static bool value_of(const BoundsOf *of, Id id) {
  const Node *node = graph_node(of->graph, id);
  switch (node->op) {
  case OP_arg: of->values[id] = of->parameters[node->index]; return true;
  case OP_state: of->values[id] = of->states[node->index]; return true;
  case OP_pick: of->values[id] = of->pairs[node->operands[0]].values[node->index]; return true;
  case OP_scan: return true;
  default: return evaluate(of, id);
  }
}

bool bounds_of(const Graph *graph, const int64_t *dims, const Array *parameters, double *const *parameter_bounds,
               const Array *states, Precision precision, Decisions *decisions, Arena *arena, Bounded *bounded,
               Failure *failure) {
  int count = graph->nodes.count;
  bounded->values = NEW_ARRAY(arena, Array, count);
  bounded->bound = NEW_ARRAY(arena, double *, count);
  BoundsOf of = {.graph = graph,
                 .dims = dims,
                 .arena = arena,
                 .states = states,
                 .parameters = parameters,
                 .values = bounded->values,
                 .bound = bounded->bound,
                 .parameter_bounds = parameter_bounds,
                 .precision = precision,
                 .pairs = NEW_ARRAY(arena, Bounded, count),
                 .renamed = NEW_ARRAY(arena, Id, count),
                 .decisions = decisions,
                 .failure = failure};
  for (Id id = 1; id < count; id++) {
    Dtype dtype = graph_type(graph, id)->dtype;
    bool pair = dtype == NONE;
    if (!value_of(&of, id)) return false;
    int64_t elements = pair ? 0 : count_of(&of, id);
    double *out = bounded->bound[id] = NEW_ARRAY(arena, double, elements + 1);
    rules[graph_node(graph, id)->op](&of, id, out);
    if (failure->code) return false;
    for (int64_t i = 0; i < elements; i++) out[i] = bound_finish(dtype, array_get(&of.values[id], i), out[i]);
    if (!settle_decisions(&of, id, out)) return false;
  }
  return true;
}
