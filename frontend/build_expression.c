/* Expressions: constants are computed, tensors become nodes.
 *
 * An operator first tries what is known: numbers, sizes, strings, lists. Where a tensor is among its operands, a literal or
 * a size takes that tensor's dtype, and the shapes must broadcast. On layers it works leaf by leaf. */
#include "frontend/build.h"
#include "ir/scalar.h"

#include <math.h>
#include <string.h>

/* ---- bringing two operands together ---- */

static bool mismatch(Builder *b, const char *what, const Type *x, const Type *y) {
  Type both;
  if (shapes_broadcast(b->module, x, y, &both)) return false;
  int rank = MAX(x->rank, y->rank);
  for (int axis = 0; axis < rank; axis++) {
    int left = axis - (rank - x->rank), right = axis - (rank - y->rank);
    if (left < 0 || right < 0 || x->size[left] == y->size[right]) continue;
    if (dim_is(x->size[left], 1) || dim_is(y->size[right], 1)) continue;
    fault(b, NULL, "'%s': %s does not match %s (axis %d: %s and %s)", what, shape_text(b, x), shape_text(b, y), axis,
          size_text(b, x->size[left]), size_text(b, y->size[right]));
    if (axis == 1 && x->rank == 4 && y->rank == 4) {
      help_for(b->diagnostics, "project the shortcut, for instance x | conv(%s, 1)", size_text(b, y->size[right]));
    } else {
      help_for(b->diagnostics, "an axis broadcasts only if its size is the constant 1; reshape, or x[:, None], makes one");
    }
    return true;
  }
  return true;
}

static const char *op_text(Op op) {
  switch (op) {
  case OP_add: return "+";
  case OP_sub: return "-";
  case OP_mul: return "*";
  case OP_div: return "/";
  case OP_floordiv: return "//";
  case OP_mod: return "%";
  case OP_pow: return "**";
  case OP_lt: return "<";
  case OP_le: return "<=";
  case OP_eq: return "==";
  default: return op_info[op].name;
  }
}

static bool is_fraction(const Value *value) { return value->kind == VALUE_NUMBER && !value->number.whole; }

/* The dtype that both operands take; NONE after an error. */
static Dtype common_dtype(Builder *b, Op op, const Value *x, const Value *y) {
  Dtype dx = value_dtype(b, x), dy = value_dtype(b, y);
  if (dx != NONE && dy != NONE && dx != dy) {
    fault(b, NULL, "'%s': %s and %s", op_text(op), dtype_name(dx), dtype_name(dy));
    help_for(b->diagnostics, "convert one side: f32(x)");
    return NONE;
  }
  Dtype dtype = dx != NONE ? dx : dy;
  if (dtype == NONE) dtype = is_fraction(x) || is_fraction(y) || op == OP_div || op == OP_pow ? F32 : I32;
  if (dtype == BOOL && op != OP_eq && op != OP_max && op != OP_min) {
    fault(b, NULL, "'%s' on bool tensors", op_text(op));
    help_for(b->diagnostics, "convert them: f32(x) or i32(x)");
    return NONE;
  }
  return dtype;
}

Value combine(Builder *b, Op op, Value x, Value y) {
  Id left, right;
  if (is_error(&x) || is_error(&y)) return value_error;
  Dtype dtype = common_dtype(b, op, &x, &y);
  if (dtype == NONE) return value_error;
  Dtype read = dtype;
  if ((op == OP_div || op == OP_pow) && dtype == I32) { /* `/` divides truly */
    if (op == OP_pow) {
      fault(b, NULL, "'**' on i32 tensors");
      help_for(b->diagnostics, "convert them: f32(x)");
      return value_error;
    }
    if (is_fraction(&x) || is_fraction(&y)) read = NONE;
    dtype = F32;
  }
  if (!want_tensor(b, &x, is_data(&x) ? NONE : read, &left)) return value_error;
  if (!want_tensor(b, &y, is_data(&y) ? NONE : read, &right)) return value_error;
  Graph *graph = b->level->graph;
  left = dtype == F32 ? graph_cast(graph, F32, left) : left;
  right = dtype == F32 ? graph_cast(graph, F32, right) : right;
  Type tx = *graph_type(graph, left), ty = *graph_type(graph, right);
  if (mismatch(b, op_text(op), &tx, &ty)) return value_error;
  return value_tensor(b, graph_binary(graph, op, left, right));
}

/* ---- operators ---- */

static Value negate_truth(Builder *b, Value x) {
  Id id;
  if (x.kind == VALUE_BOOL) return value_bool(!x.truth);
  if (!want_tensor(b, &x, BOOL, &id)) return value_error;
  Graph *graph = b->level->graph;
  return value_tensor(b, graph_binary(graph, OP_eq, id, graph_number(graph, BOOL, 0)));
}

static Value negate(Builder *b, Value x) {
  Id id;
  if (x.kind == VALUE_NUMBER && x.number.whole) return value_whole(-x.number.value);
  if (x.kind == VALUE_NUMBER) return value_real(-x.number.real);
  if (x.kind == VALUE_SIZE) return operate(b, OPERATOR_SUBTRACT, value_whole(0), x);
  if (!want_tensor(b, &x, NONE, &id)) return value_error;
  if (graph_type(b->level->graph, id)->dtype == BOOL) return fault(b, NULL, "'-' on a bool tensor");
  return value_tensor(b, graph_unary(b->level->graph, OP_neg, id));
}

/* Whole powers are products, so that no gradient forms a logarithm and no negative base is lost. */
static Value power(Builder *b, Value x, Value y) {
  if (y.kind == VALUE_NUMBER && y.number.real == 0.5) return elementwise(b, OP_sqrt, x);
  if (y.kind == VALUE_NUMBER && y.number.real == floor(y.number.real) && y.number.real >= 1 && y.number.real <= 4) {
    Id id;
    if (!want_tensor(b, &x, NONE, &id)) return value_error;
    x = value_tensor(b, id);
    Value result = x;
    for (int k = 1; k < (int)y.number.real && !is_error(&result); k++) {
      result = k == 2 && y.number.real == 4 ? combine(b, OP_mul, result, result) : combine(b, OP_mul, result, x);
      if (k == 2 && y.number.real == 4) break;
    }
    return result;
  }
  return combine(b, OP_pow, x, y);
}

static Value operate_leaf(Builder *b, void *user, Value x, Value y) { return operate(b, *(Operator *)user, x, y); }

static Value operate_tensors(Builder *b, Operator operator, Value x, Value y) {
  switch (operator) {
  case OPERATOR_ADD: return combine(b, OP_add, x, y);
  case OPERATOR_SUBTRACT: return combine(b, OP_sub, x, y);
  case OPERATOR_MULTIPLY: return combine(b, OP_mul, x, y);
  case OPERATOR_DIVIDE: return combine(b, OP_div, x, y);
  case OPERATOR_FLOOR_DIVIDE: return combine(b, OP_floordiv, x, y);
  case OPERATOR_MODULO: return combine(b, OP_mod, x, y);
  case OPERATOR_POWER: return power(b, x, y);
  case OPERATOR_MATMUL: return matrix_product(b, x, y);
  case OPERATOR_EQUAL: return combine(b, OP_eq, x, y);
  case OPERATOR_NOT_EQUAL: {
    Value equal = combine(b, OP_eq, x, y);
    return is_error(&equal) ? equal : negate_truth(b, equal);
  }
  case OPERATOR_LESS: return combine(b, OP_lt, x, y);
  case OPERATOR_LESS_EQUAL: return combine(b, OP_le, x, y);
  case OPERATOR_GREATER: return combine(b, OP_lt, y, x);
  case OPERATOR_GREATER_EQUAL: return combine(b, OP_le, y, x);
  default: return value_error;
  }
}

Value operate(Builder *b, Operator operator, Value left, Value right) {
  if (is_error(&left) || is_error(&right)) return value_error;
  if (operator==
      OPERATOR_MULTIPLY &&(left.kind == VALUE_TEMPLATE || (left.kind == VALUE_LAYER && right.kind == VALUE_TEMPLATE))) {
    return repeat_template(b, left, right, b->at);
  }
  if (is_tree(&left) || is_tree(&right)) {
    if (operator== OPERATOR_MATMUL) return fault(b, NULL, "'@' is not defined on layers");
    return map_trees(b, operate_leaf, &operator, left, right);
  }
  Value known = operate_known(b, operator, & left, &right);
  if (known.kind != VALUE_ABSENT) return known;
  return operate_tensors(b, operator, left, right);
}

static Value elementwise_leaf(Builder *b, void *user, Value x, Value y) {
  (void)y;
  return elementwise(b, *(Op *)user, x);
}

static double known_value(Op op, double x) {
  double y;
  scalar_unary(op, KIND_F64)(&x, 1, &y, 1);
  return y;
}

Value elementwise(Builder *b, Op op, Value a) {
  Id id;
  if (is_error(&a)) return value_error;
  if (a.kind == VALUE_NUMBER && a.number.whole && (op == OP_floor || op == OP_round)) return a;
  if (a.kind == VALUE_NUMBER) return value_real(known_value(op, a.number.real));
  if (is_tree(&a)) return map_trees(b, elementwise_leaf, &op, a, a);
  if (!want_tensor(b, &a, a.kind == VALUE_SIZE || a.kind == VALUE_LIST ? F32 : NONE, &id)) return value_error;
  Dtype dtype = graph_type(b->level->graph, id)->dtype;
  if (dtype != F32) {
    fault(b, NULL, "'%s' of an %s tensor", op_info[op].name, dtype_name(dtype));
    help_for(b->diagnostics, "convert it: f32(x)");
    return value_error;
  }
  return value_tensor(b, graph_unary(b->level->graph, op, id));
}

/* `and`, `or`: the right side of a known left one is evaluated only if it decides. */
static Value evaluate_logic(Builder *b, const Expression *expression) {
  bool is_and = expression->operation.operator== OPERATOR_AND;
  Value left = evaluate(b, expression->operation.left);
  if (is_error(&left)) return value_error;
  if (left.kind == VALUE_BOOL && left.truth != is_and) return left;
  Value right = evaluate(b, expression->operation.right);
  stand_at(b, expression);
  if (is_error(&right)) return value_error;
  if (left.kind == VALUE_BOOL && right.kind == VALUE_BOOL) return right;
  Id x, y;
  if (!want_tensor(b, &left, BOOL, &x) || !want_tensor(b, &right, BOOL, &y)) return value_error;
  return combine(b, is_and ? OP_min : OP_max, value_tensor(b, x), value_tensor(b, y));
}

static Value evaluate_operation(Builder *b, const Expression *expression) {
  Operator operator= expression->operation.operator;
  if (expression->kind == EXPRESSION_UNARY) {
    Value x = evaluate(b, expression->operation.right);
    stand_at(b, expression);
    if (is_error(&x)) return value_error;
    if (operator== OPERATOR_NOT) return negate_truth(b, x);
    return is_tree(&x) ? operate(b, OPERATOR_SUBTRACT, value_whole(0), x) : negate(b, x);
  }
  if (operator== OPERATOR_PIPE) return evaluate_pipe(b, expression);
  if (operator== OPERATOR_AND || operator== OPERATOR_OR) return evaluate_logic(b, expression);
  Value left = evaluate(b, expression->operation.left);
  Value right = evaluate(b, expression->operation.right);
  stand_at(b, expression);
  return operate(b, operator, left, right);
}

/* ---- the rest ---- */

static Value evaluate_list(Builder *b, const Expression *expression) {
  Vec(Value) items = {0};
  bool good = true;
  for (int k = 0; k < expression->items.count; k++) {
    const Expression *item = expression->items.items[k];
    if (item->kind == EXPRESSION_ELLIPSIS) {
      fault(b, item, "'...' stands for axes only in the shape of a def's input");
      good = false;
      continue;
    }
    if (item->kind != EXPRESSION_SPREAD) {
      Value value = evaluate(b, item);
      good &= !is_error(&value);
      PUSH(b->arena, &items, value);
      continue;
    }
    Value list = name_value(b, item, false);
    if (list.kind != VALUE_LIST) {
      if (!is_error(&list)) fault(b, item, "'%s' is %s, not a list", item->name, value_text(b, &list));
      good = false;
      continue;
    }
    for (int j = 0; j < list.list.count; j++) PUSH(b->arena, &items, list.list.items[j]);
  }
  if (!good) return value_error;
  return expression->kind == EXPRESSION_TUPLE ? value_tuple(b, items.items, items.count)
                                              : value_list(b, items.items, items.count);
}

bool condition_of(Builder *b, const Expression *expression, Value value, const char *help, bool *truth) {
  if (is_error(&value)) return false;
  if (value.kind == VALUE_BOOL) {
    *truth = value.truth;
    return true;
  }
  if (is_data(&value)) {
    fault(b, expression, "the condition is not known at compile time");
    help_for(b->diagnostics, "%s", help);
  } else {
    fault(b, expression, "the condition is %s, not true or false", value_text(b, &value));
  }
  return false;
}

bool condition(Builder *b, const Expression *expression, bool *truth) {
  return condition_of(b, expression, evaluate(b, expression), "where(c, a, b) chooses per element at run time", truth);
}

/* Whatever the branches would have set is not known either. */
static void spoil_assigned(Builder *b, const Block *block) {
  for (int k = 0; block && k < block->statements.count; k++) {
    const Statement *statement = block->statements.items[k];
    if (statement->kind != STATEMENT_ASSIGN) continue;
    for (int j = 0; j < statement->assign.targets.count; j++) {
      set_variable(b, statement->assign.targets.items[j]->name, value_error);
    }
  }
}

static Value evaluate_if(Builder *b, const Expression *expression) {
  bool truth;
  if (!condition(b, expression->branch.condition, &truth)) {
    spoil_assigned(b, &expression->branch.then);
    spoil_assigned(b, expression->branch.otherwise);
    return value_error;
  }
  if (truth) return evaluate_block(b, &expression->branch.then, true);
  return expression->branch.otherwise ? evaluate_block(b, expression->branch.otherwise, true) : no_value;
}

Value evaluate_block(Builder *b, const Block *block, bool value_wanted) {
  Value value = no_value;
  for (int k = 0; k < block->statements.count; k++) {
    bool last = k + 1 == block->statements.count;
    value = run_statement(b, block->statements.items[k], value_wanted && last);
    if (b->frame->failed) return value_error;
  }
  return value;
}

Value evaluate(Builder *b, const Expression *expression) {
  stand_at(b, expression);
  switch (expression->kind) {
  case EXPRESSION_NUMBER: return (Value){.kind = VALUE_NUMBER, .number = expression->number};
  case EXPRESSION_STRING: return value_string(expression->string);
  case EXPRESSION_BOOL: return value_bool(expression->truth);
  case EXPRESSION_NAME: {
    Value value = name_value(b, expression, false);
    if (value.kind != VALUE_ABSENT) return value;
    return fault(b, expression, "'%s' has no value here", expression->name);
  }
  case EXPRESSION_MEMBER: return member_value(b, expression);
  case EXPRESSION_CALL: return evaluate_call(b, expression);
  case EXPRESSION_INDEX: return evaluate_index(b, expression);
  case EXPRESSION_LIST:
  case EXPRESSION_TUPLE: return evaluate_list(b, expression);
  case EXPRESSION_UNARY:
  case EXPRESSION_BINARY: return evaluate_operation(b, expression);
  case EXPRESSION_IF: return evaluate_if(b, expression);
  case EXPRESSION_SCAN: return evaluate_scan(b, expression);
  case EXPRESSION_RANGE: return fault(b, expression, "a range stands only after the 'in' of a for or scan");
  case EXPRESSION_ELLIPSIS:
  case EXPRESSION_SPREAD: return fault(b, expression, "'...' stands only in a shape");
  }
  return value_error;
}
