/* Builtins that compute: elementwise functions, folds over axes, choices, conversions. All else is prelude text. */
#include "frontend/build.h"

#include <math.h>
#include <string.h>

/* ---- elementwise ---- */

/* Each float op of one operand is a function under its own name: its row in ops.def is all that makes it one. */
static const Builtin elementwise_rows[OP_COUNT] = {
#define OP(name, operands, flags, shape, gradient, value, lower, meaning) [OP_##name] = {#name, "x", NULL, NULL},
#include "ir/ops.def"
};

const Builtin *elementwise_builtin(Op op) {
  return op_info[op].operands == 1 && op_info[op].flags & FLOATS ? &elementwise_rows[op] : NULL;
}

Value call_elementwise(Builder *b, const Builtin *builtin, Value x) {
  return elementwise(b, (Op)(builtin - elementwise_rows), x);
}

/* Of layers: x and y in pairs, so that two walks do for three trees. */
static Value pair_leaf(Builder *b, void *user, Value x, Value y) {
  (void)user;
  return value_list(b, (Value[]){x, y}, 2);
}

static Value builtin_where(Builder *b, Value *arguments);

static Value where_leaf(Builder *b, void *user, Value condition, Value pair) {
  (void)user;
  return builtin_where(b, (Value[]){condition, pair.list.items[0], pair.list.items[1]});
}

static Value builtin_where(Builder *b, Value *arguments) {
  Id condition, yes, no;
  Value *x = &arguments[1], *y = &arguments[2];
  if (arguments[0].kind == VALUE_BOOL) return arguments[0].truth ? *x : *y;
  if (is_tree(&arguments[0]) || is_tree(x) || is_tree(y)) {
    Value pairs = is_tree(x) || is_tree(y) ? map_trees(b, pair_leaf, NULL, *x, *y) : pair_leaf(b, NULL, *x, *y);
    return is_error(&pairs) ? value_error : map_trees(b, where_leaf, NULL, arguments[0], pairs);
  }
  if (!want_tensor(b, &arguments[0], BOOL, &condition)) return value_error;
  Dtype dx = value_dtype(b, x), dy = value_dtype(b, y), dtype = dx != NONE ? dx : dy;
  if (dx != NONE && dy != NONE && dx != dy) {
    fault(b, NULL, "'where': %s and %s", dtype_name(dx), dtype_name(dy));
    help_for(b->diagnostics, "convert one side: f32(x)");
    return value_error;
  }
  bool fraction = (x->kind == VALUE_NUMBER && !x->number.whole) || (y->kind == VALUE_NUMBER && !y->number.whole);
  if (dtype == NONE) dtype = fraction ? F32 : I32;
  if (!want_tensor(b, x, dtype, &yes) || !want_tensor(b, y, dtype, &no)) return value_error;
  Graph *graph = b->level->graph;
  Type two, all, tx = *graph_type(graph, yes), ty = *graph_type(graph, no), tc = *graph_type(graph, condition);
  if (!shapes_broadcast(b->module, &tx, &ty, &two) || !shapes_broadcast(b->module, &two, &tc, &all)) {
    return fault(b, NULL, "'where': %s, %s and %s do not match", shape_text(b, &tc), shape_text(b, &tx),
                 shape_text(b, &ty));
  }
  return value_tensor(b, graph_where(graph, condition, yes, no));
}

static Value convert(Builder *b, Value x, Dtype dtype);
static Value convert_leaf(Builder *b, void *user, Value x, Value y) {
  (void)y;
  return convert(b, x, *(Dtype *)user);
}

static Value convert(Builder *b, Value x, Dtype dtype) {
  Id id;
  if (is_tree(&x)) return map_trees(b, convert_leaf, &dtype, x, x);
  if (x.kind == VALUE_NUMBER && dtype == F32) return value_real(x.number.real);
  if (x.kind == VALUE_NUMBER && dtype == I32) {
    double real = x.number.real;
    return value_whole(isnan(real) ? 0 : real >= INT32_MAX ? INT32_MAX : real <= INT32_MIN ? INT32_MIN : (int64_t)real);
  }
  if (x.kind == VALUE_NUMBER) return value_bool(x.number.real != 0);
  if (x.kind == VALUE_LIST && dtype == F32) { return want_tensor(b, &x, F32, &id) ? value_tensor(b, id) : value_error; }
  if (!want_tensor(b, &x, NONE, &id)) return value_error;
  return value_tensor(b, graph_cast(b->level->graph, dtype, id));
}

static Value builtin_f32(Builder *b, Value *arguments) { return convert(b, arguments[0], F32); }
static Value builtin_i32(Builder *b, Value *arguments) { return convert(b, arguments[0], I32); }
static Value builtin_bool(Builder *b, Value *arguments) { return convert(b, arguments[0], BOOL); }

/* ---- folds ---- */

/* `axis`: a number, a list of them, or nothing for all. */
bool want_axes(Builder *b, const Value *value, int rank, bool *folded) {
  memset(folded, 0, MAX_RANK * sizeof *folded);
  if (value->kind == VALUE_ABSENT || value->kind == VALUE_NONE) {
    for (int k = 0; k < rank; k++) folded[k] = true;
    return true;
  }
  const Value *items = value->kind == VALUE_LIST ? value->list.items : value;
  int count = value->kind == VALUE_LIST ? value->list.count : 1;
  for (int k = 0; k < count; k++) {
    int axis;
    if (!want_axis(b, &items[k], rank, &axis)) return false;
    if (folded[axis]) return fault(b, NULL, "axis %d is named twice", axis), false;
    folded[axis] = true;
  }
  return true;
}

static bool want_keep(Builder *b, const Value *value, bool *keep) {
  *keep = false;
  return value->kind == VALUE_ABSENT || want_bool(b, value, "keep", keep);
}

/* Folds over the axes; `count` is how many elements each result has seen. */
static bool fold(Builder *b, Op op, Id x, const Value *axis, const Value *keep, Id *result, const Dim **count) {
  Graph *graph = b->level->graph;
  Type type = *graph_type(graph, x);
  bool folded[MAX_RANK], keeps, any = false;
  if (!want_axes(b, axis, type.rank, folded) || !want_keep(b, keep, &keeps)) return false;
  *count = dim_constant(b->module, 1);
  for (int k = 0; k < type.rank; k++) {
    if (!folded[k]) continue;
    any = true;
    *count = dim_multiply(b->module, *count, type.size[k]);
    if (!*count) return fault(b, NULL, "%s has too many elements", shape_text(b, &type)), false;
  }
  *result = any ? graph_fold_axes(graph, op, x, folded, keeps) : x;
  return true;
}

static Value sum_tree(Builder *b, const Value *value) {
  const Tree *tree = tree_of(b, value);
  Value total = value_absent, none = value_absent;
  for (int k = 0; k < tree->count; k++) {
    Id x, sum;
    const Dim *count;
    if (!want_tensor(b, &tree->leaves[k], F32, &x) || !fold(b, OP_fold_sum, x, &none, &none, &sum, &count))
      return value_error;
    total = total.kind == VALUE_ABSENT ? value_tensor(b, sum) : combine(b, OP_add, total, value_tensor(b, sum));
  }
  return total.kind == VALUE_ABSENT ? fault(b, NULL, "the layer has no tensors yet") : total;
}

static Value builtin_sum(Builder *b, Value *arguments) {
  Id x, result;
  const Dim *count;
  if (is_tree(&arguments[0])) return sum_tree(b, &arguments[0]);
  if (arguments[0].kind == VALUE_NUMBER) return arguments[0];
  if (!want_tensor(b, &arguments[0], NONE, &x)) return value_error;
  if (graph_type(b->level->graph, x)->dtype == BOOL) {
    fault(b, NULL, "'sum' of a bool tensor");
    help_for(b->diagnostics, "convert it: f32(x) or i32(x)");
    return value_error;
  }
  if (!fold(b, OP_fold_sum, x, &arguments[1], &arguments[2], &result, &count)) return value_error;
  return value_tensor(b, result);
}

static Value builtin_mean(Builder *b, Value *arguments) {
  Id x, result;
  const Dim *count;
  int64_t known;
  if (arguments[0].kind == VALUE_NUMBER) return value_real(arguments[0].number.real);
  if (!want_tensor(b, &arguments[0], NONE, &x)) return value_error;
  Graph *graph = b->level->graph;
  x = graph_cast(graph, F32, x);
  if (!fold(b, OP_fold_sum, x, &arguments[1], &arguments[2], &result, &count)) return value_error;
  Id divisor = dim_is_constant(count, &known) ? graph_number(graph, F32, (double)known)
                                              : graph_cast(graph, F32, graph_dim(graph, count));
  return value_tensor(b, graph_binary(graph, OP_div, result, divisor));
}

static Value combine_leaf(Builder *b, void *user, Value x, Value y) { return combine(b, *(Op *)user, x, y); }

/* One operand: the extreme over axes. Two: the larger or smaller of each pair. */
static Value extreme(Builder *b, Op op, Op fold_op, Value *arguments) {
  Id x, result;
  const Dim *count;
  if (arguments[1].kind != VALUE_ABSENT) {
    if (arguments[0].kind == VALUE_NUMBER && arguments[1].kind == VALUE_NUMBER) {
      bool first = (op == OP_max) == (arguments[0].number.real > arguments[1].number.real);
      return first ? arguments[0] : arguments[1];
    }
    if (is_tree(&arguments[0]) || is_tree(&arguments[1]))
      return map_trees(b, combine_leaf, &op, arguments[0], arguments[1]);
    return combine(b, op, arguments[0], arguments[1]);
  }
  if (!want_tensor(b, &arguments[0], NONE, &x)) return value_error;
  if (!fold(b, fold_op, x, &arguments[2], &arguments[3], &result, &count)) return value_error;
  return value_tensor(b, result);
}

static Value builtin_max(Builder *b, Value *arguments) { return extreme(b, OP_max, OP_fold_max, arguments); }
static Value builtin_min(Builder *b, Value *arguments) { return extreme(b, OP_min, OP_fold_min, arguments); }

static Value fold_truth(Builder *b, Op op, Value *arguments) {
  Id x, result;
  const Dim *count;
  if (!want_tensor(b, &arguments[0], BOOL, &x)) return value_error;
  if (!fold(b, op, x, &arguments[1], &arguments[2], &result, &count)) return value_error;
  return value_tensor(b, result);
}

static Value builtin_any(Builder *b, Value *arguments) { return fold_truth(b, OP_fold_max, arguments); }
static Value builtin_all(Builder *b, Value *arguments) { return fold_truth(b, OP_fold_min, arguments); }

static Value index_of(Builder *b, Op op, Value *arguments) {
  Id x, result;
  const Dim *count;
  Value last = value_whole(-1), *axis = arguments[1].kind == VALUE_ABSENT ? &last : &arguments[1];
  if (!want_tensor(b, &arguments[0], NONE, &x)) return value_error;
  const Type *type = graph_type(b->level->graph, x);
  if (type->dtype == BOOL || type->rank == 0)
    return fault(b, NULL, "'%s' of %s", op_info[op].name, type_text(b->module, type));
  if (!fold(b, op, x, axis, &arguments[2], &result, &count)) return value_error;
  return value_tensor(b, result);
}

static Value builtin_argmax(Builder *b, Value *arguments) { return index_of(b, OP_argmax, arguments); }
static Value builtin_argmin(Builder *b, Value *arguments) { return index_of(b, OP_argmin, arguments); }

const Builtin builtins_math[] = {
    {"where", "c a b", builtin_where, NULL},
    {"f32", "x", builtin_f32, NULL},
    {"i32", "x", builtin_i32, NULL},
    {"bool", "x", builtin_bool, NULL},
    {"sum", "x axis? keep?", builtin_sum, NULL},
    {"mean", "x axis? keep?", builtin_mean, NULL},
    {"max", "a b? axis? keep?", builtin_max, NULL},
    {"min", "a b? axis? keep?", builtin_min, NULL},
    {"any", "x axis? keep?", builtin_any, NULL},
    {"all", "x axis? keep?", builtin_all, NULL},
    {"argmax", "x axis? keep?", builtin_argmax, NULL},
    {"argmin", "x axis? keep?", builtin_argmin, NULL},
    {NULL, NULL, NULL, NULL},
};
