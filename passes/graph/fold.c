/* Pass fold: what can be said more simply is.
 *
 * Numbers known now are computed now, by the interpreter's own rules (ir/scalar.h); ops that change nothing go; a view that
 * reads a view, and a fold or contraction that reads one, read its operand instead, so that padding, slicing, broadcasting
 * and transposing cost nothing where they are consumed. Equality is that of numbers: x + 0 becomes x although -0 + 0 is 0.
 * But x * 0 stays: it is NaN where x is infinite. Works in one sweep, since operands are simplified before their users. */
#include "ir/scalar.h"
#include "passes/graph/rewrite.h"

#include <math.h>

enum { MOST_PARTS = 16 /* of a sum that is a concatenation */ };

/* Gives what the node may be replaced by, 0 if nothing better is known; x are its operands in `to`. */
typedef Id (*Simplify)(Graph *to, const Node *node, const Id *x);

/* ---- numbers ---- */

static bool all_numbers(const Graph *to, const Node *node, const Id *x, double *numbers) {
  for (int i = 0; i < node->noperands; i++)
    if (!is_number(to, x[i], &numbers[i])) return false;
  return true;
}

static Id simplify_unary(Graph *to, const Node *node, const Id *x) {
  const Node *operand = graph_node(to, x[0]);
  double number[1];
  if (all_numbers(to, node, x, number))
    return graph_constant(to, node->type, scalar_compute(node->op, node->type.dtype, number[0], 0));
  return node->op == OP_neg && operand->op == OP_neg ? operand->operands[0] : 0;
}

static Id simplify_cast(Graph *to, const Node *node, const Id *x) {
  Dtype from = graph_type(to, x[0])->dtype;
  double number[1];
  if (from == node->type.dtype) return x[0];
  if (!all_numbers(to, node, x, number)) return 0;
  return graph_constant(to, node->type, scalar_convert(from, node->type.dtype, number[0]));
}

/* x op number, where that is x itself or cheaper. */
static Id right_number(Graph *to, Op op, Id x, double number) {
  if ((op == OP_add || op == OP_sub) && number == 0) return x;
  if ((op == OP_mul || op == OP_div || op == OP_pow) && number == 1) return x;
  if (op == OP_pow && number == 2) return graph_binary(to, OP_mul, x, x);
  return 0;
}

/* The axis along which a view pads its operand with zeros, reading the others as they are; -1 if it is not such a view. */
static int padded_axis(const Graph *to, const Node *view) {
  if (view->op != OP_view || view->number != 0 || view->space->map[0].naxes != view->type.rank) return -1;
  const Type *operand = graph_type(to, view->operands[0]);
  int padded = -1;
  for (int a = 0; a < view->type.rank; a++) {
    const Axis *axis = &view->space->map[0].axis[a];
    if (axis->nterms != 1 || axis->dim[0] != a || axis->coefficient[0] != 1 || axis->divisor != 1) return -1;
    if (dim_is(axis->offset, 0) && operand->size[a] == view->type.size[a]) continue;
    if (padded >= 0) return -1;
    padded = a;
  }
  return padded;
}

/* The addends of a sum that are views padded along this axis. False if there are others, or too many. */
static bool padded_parts(const Graph *to, Id id, int axis, Id *parts, int *count) {
  const Node *node = graph_node(to, id);
  if (node->op == OP_add)
    return padded_parts(to, node->operands[0], axis, parts, count) &&
           padded_parts(to, node->operands[1], axis, parts, count);
  if (*count == MOST_PARTS || padded_axis(to, node) != axis) return false;
  parts[(*count)++] = id;
  return true;
}

/* A sum of views that pad their operands with zeros, so that they lie one behind the other, is a concatenation: each element
 * is computed once then, and not once for each addend. The gradient of a split is such a sum. */
static Id join_parts(Graph *to, const Node *node, const Id *x) {
  Module *module = to->module;
  Id parts[MOST_PARTS], ordered[MOST_PARTS];
  int count = 0, axis = padded_axis(to, graph_node(to, x[1]));
  if (axis < 0 || !padded_parts(to, x[0], axis, parts, &count) || !padded_parts(to, x[1], axis, parts, &count)) return 0;
  const Dim *end = dim_constant(module, 0);
  for (int place = 0; place < count; place++) {
    ordered[place] = 0;
    for (int k = 0; k < count && !ordered[place]; k++) {
      const Node *view = graph_node(to, parts[k]);
      const Dim *start = dim_subtract(module, dim_constant(module, 0), view->space->map[0].axis[axis].offset);
      if (start == end && !dim_is(graph_type(to, view->operands[0])->size[axis], 0)) ordered[place] = view->operands[0];
    }
    if (!ordered[place]) return 0;
    end = dim_add(module, end, graph_type(to, ordered[place])->size[axis]);
    if (!end) return 0;
  }
  return end == node->type.size[axis] ? graph_concat(to, ordered, count, axis) : 0;
}

static Id simplify_binary(Graph *to, const Node *node, const Id *x) {
  double number[2];
  bool left = is_number(to, x[0], &number[0]), right = is_number(to, x[1], &number[1]);
  if (left && right)
    return graph_constant(to, node->type, scalar_compute(node->op, graph_type(to, x[0])->dtype, number[0], number[1]));
  if (right) return right_number(to, node->op, x[0], number[1]);
  if (left && (op_info[node->op].flags & COMMUTES)) return right_number(to, node->op, x[1], number[0]);
  return node->op == OP_add && node->type.dtype == F32 ? join_parts(to, node, x) : 0;
}

static Id simplify_where(Graph *to, const Node *node, const Id *x) {
  (void)node;
  double condition;
  if (is_number(to, x[0], &condition)) return condition != 0 ? x[1] : x[2];
  return x[1] == x[2] ? x[1] : 0;
}

/* ---- movement ---- */

/* The one axis along which a view reads a part of its operand, neighbours as neighbours; -1 if it is not such a view. */
static int sliced_axis(const Graph *to, const Node *view) {
  const Type *operand = graph_type(to, view->operands[0]);
  int sliced = -1;
  if (view->space->ndims != operand->rank || !map_always_inside(to->module, view->space, 0, operand)) return -1;
  for (int a = 0; a < operand->rank; a++) {
    const Axis *axis = &view->space->map[0].axis[a];
    if (axis->nterms != 1 || axis->dim[0] != a || axis->coefficient[0] != 1) return -1;
    if (view->type.size[a] == operand->size[a]) continue;
    if (sliced >= 0) return -1;
    sliced = a;
  }
  return sliced;
}

/* A slice whose axis is then cut in several (a head's features, of queries, keys and values side by side): cut first, it is a
 * slice that needs no memory of its own. */
static Id cut_before_slice(Graph *to, const Node *node, Id x) {
  const Node view = *graph_node(to, x);
  int a = sliced_axis(to, &view), parts = node->type.rank - view.type.rank + 1;
  int64_t whole, start, part, inner = 1;
  if (a < 0 || parts < 2) return 0;
  const Type *operand = graph_type(to, view.operands[0]);
  Type cut = node->type;
  for (int k = 0; k < view.type.rank; k++)
    if (k != a && node->type.size[k < a ? k : k + parts - 1] != view.type.size[k]) return 0;
  for (int k = a + 1; k < a + parts; k++) {
    if (!dim_is_constant(node->type.size[k], &part)) return 0;
    inner *= part;
  }
  if (!dim_is_constant(operand->size[a], &whole) || !dim_is_constant(view.space->map[0].axis[a].offset, &start)) return 0;
  if (inner == 0 || whole % inner != 0 || start % inner != 0) return 0;
  cut.size[a] = dim_constant(to->module, whole / inner);
  Id reshaped = graph_reshape(to, view.operands[0], cut.rank, cut.size);
  return graph_slice(to, reshaped, a, dim_constant(to->module, start / inner), node->type.size[a], 1);
}

static Id simplify_reshape(Graph *to, const Node *node, const Id *x) {
  const Node operand = *graph_node(to, x[0]);
  double number;
  if (type_equal(&operand.type, &node->type)) return x[0];
  if (is_number(to, x[0], &number)) return graph_constant(to, node->type, number);
  if (operand.op == OP_view) return cut_before_slice(to, node, x[0]);
  if (operand.op != OP_reshape) return 0;
  return graph_reshape(to, operand.operands[0], node->type.rank, node->type.size);
}

static bool same_number(double a, double b) { return a == b && signbit(a) == signbit(b); }

/* The space in which an op reads behind the view that makes its operand. Composing is refused where the outer map may leave
 * the view, so what is absent behind it is what the view would have filled: `fill` says as what the op takes absent
 * elements, NaN that it must not meet any. */
static bool read_behind(Graph *to, const Space *space, int operand, Id x, double fill, Space *composed) {
  const Node *view = graph_node(to, x);
  if (view->op != OP_view) return false;
  if (!same_number(view->number, fill) && !map_always_inside(to->module, view->space, 0, graph_type(to, view->operands[0])))
    return false;
  return space_compose(to->module, space, operand, &view->type, view->space, composed);
}

static Id simplify_view(Graph *to, const Node *node, const Id *x) {
  const Node operand = *graph_node(to, x[0]);
  double number;
  if (map_is_identity(node->space, 0, &operand.type)) return x[0];
  if (is_number(to, x[0], &number) &&
      (same_number(number, node->number) || map_always_inside(to->module, node->space, 0, &operand.type)))
    return graph_constant(to, node->type, number);
  Space composed;
  if (operand.op != OP_view || !read_behind(to, node->space, 0, x[0], operand.number, &composed)) return 0;
  Id behind = operand.operands[0];
  if (map_is_identity(&composed, 0, graph_type(to, behind))) return behind;
  return graph_view(to, behind, &composed, operand.number);
}

static Id simplify_fold(Graph *to, const Node *node, const Id *x) {
  Space composed;
  double absent = node->op == OP_fold_sum ? 0 : NAN;
  if (!read_behind(to, node->space, 0, x[0], absent, &composed)) return 0;
  return graph_fold(to, node->op, graph_node(to, x[0])->operands[0], &composed);
}

static Id simplify_contract(Graph *to, const Node *node, const Id *x) {
  Space space = *node->space, composed;
  Id behind[2] = {x[0], x[1]};
  for (int k = 0; k < 2; k++) {
    if (!read_behind(to, &space, k, x[k], 0, &composed)) continue;
    space = composed;
    behind[k] = graph_node(to, x[k])->operands[0];
  }
  return behind[0] == x[0] && behind[1] == x[1] ? 0 : graph_contract(to, behind[0], behind[1], &space);
}

/* ---- the table: by the column that says how an op's value is found ---- */

#define simplify_argfold simplify_fold
#define simplify_constant NULL
#define simplify_arg NULL
#define simplify_state NULL
#define simplify_dim NULL
#define simplify_iota NULL
#define simplify_random NULL
#define simplify_concat NULL
#define simplify_gather NULL
#define simplify_scatter NULL
#define simplify_argsort NULL
#define simplify_cumsum NULL
#define simplify_scan NULL
#define simplify_pick NULL
#define simplify_stop NULL
#define simplify_none NULL

static const Simplify simplify[OP_COUNT] = {
#define OP(name, operands, flags, shape, gradient, value, ...) [OP_##name] = simplify_##value,
#include "ir/ops.def"
};

static Id rule_fold(Graph *to, const Graph *from, Id id, const Id *renamed, void *user) {
  (void)user;
  const Node *node = graph_node(from, id);
  enum { MOST = 3 };
  Id x[MOST] = {0};
  if (!simplify[node->op]) return 0;
  CHECK(node->noperands <= MOST);
  for (int i = 0; i < node->noperands; i++) x[i] = renamed[node->operands[i]];
  return simplify[node->op](to, node, x);
}

void pass_fold(Module *module) { rewrite_entries(module, rule_fold, NULL); }
