/* Pass fold: what can be said more simply is.
 *
 * Numbers known now are computed now, by the interpreter's own rules (ir/scalar.h); ops that change nothing go; a view that
 * reads a view, and a fold or contraction that reads one, read its operand instead, so that padding, slicing, broadcasting
 * and transposing cost nothing where they are consumed. Equality is that of numbers: x + 0 becomes x although -0 + 0 is 0.
 * But x * 0 stays: it is NaN where x is infinite. Works in one sweep, since operands are simplified before their users. */
#include "ir/scalar.h"
#include "passes/graph/rewrite.h"

#include <math.h>

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

static Id simplify_binary(Graph *to, const Node *node, const Id *x) {
  double number[2];
  bool left = is_number(to, x[0], &number[0]), right = is_number(to, x[1], &number[1]);
  if (left && right)
    return graph_constant(to, node->type, scalar_compute(node->op, graph_type(to, x[0])->dtype, number[0], number[1]));
  if (right) return right_number(to, node->op, x[0], number[1]);
  if (left && (op_info[node->op].flags & COMMUTES)) return right_number(to, node->op, x[1], number[0]);
  return 0;
}

static Id simplify_where(Graph *to, const Node *node, const Id *x) {
  (void)node;
  double condition;
  if (is_number(to, x[0], &condition)) return condition != 0 ? x[1] : x[2];
  return x[1] == x[2] ? x[1] : 0;
}

/* ---- movement ---- */

static Id simplify_reshape(Graph *to, const Node *node, const Id *x) {
  const Node operand = *graph_node(to, x[0]);
  double number;
  if (type_equal(&operand.type, &node->type)) return x[0];
  if (is_number(to, x[0], &number)) return graph_constant(to, node->type, number);
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
