/* assert: what is known at compile time holds, or is an error at the caller's line. A comparison of sizes that the dims'
 * bounds leave open becomes a check at the entry; so do several joined by `and`. Those at top level hold for each entry
 * whose parameters mention their dims. */
#include "frontend/build.h"

static void find_symbols(const Dim *dim, bool *found) {
  if (dim->kind == DIM_SYMBOL) found[dim->symbol] = true;
  if (dim->kind == DIM_FLOORDIV) {
    find_symbols(dim->a, found);
    find_symbols(dim->b, found);
  }
  for (int k = 0; dim->kind == DIM_SUM && k < dim->nterms; k++)
    for (int atom = 0; atom < dim->terms[k].natoms; atom++) find_symbols(dim->terms[k].atoms[atom], found);
}

/* Whether the entry is given all that the size is made of. */
static bool entry_knows(Builder *b, const Dim *size) {
  int count = b->module->dims.count;
  bool *wanted = NEW_ARRAY(b->arena, bool, count + 1), *given = NEW_ARRAY(b->arena, bool, count + 1), good = true;
  const Graph *graph = b->entry->graph;
  find_symbols(size, wanted);
  for (int p = 0; p < graph->parameters.count; p++) {
    const Type *type = &graph->parameters.items[p].type;
    for (int axis = 0; axis < type->rank; axis++) find_symbols(type->size[axis], given);
  }
  for (int k = 0; k < count; k++) good = good && (given[k] || !wanted[k]);
  return good;
}

static bool is_order(Operator operator) {
  return operator== OPERATOR_EQUAL ||(operator>= OPERATOR_LESS && operator<= OPERATOR_GREATER_EQUAL);
}

/* A check of the difference: >= as it is, < turned round; == leaves no room. */
static void check_at_entry(Builder *b, Operator operator, const Dim * left, const Dim *right, const char *what) {
  bool turned = operator== OPERATOR_LESS || operator== OPERATOR_LESS_EQUAL;
  const Dim *difference = dim_subtract(b->module, turned ? right : left, turned ? left : right);
  bool strict = operator== OPERATOR_LESS || operator== OPERATOR_GREATER;
  if (!difference || (b->top_asserts_run && !entry_knows(b, difference))) return;
  check_size(b, difference, strict, operator== OPERATOR_EQUAL ? 0 : difference->high, what);
}

/* As condition() does, but an open comparison counts as true, and is checked. */
static bool holds(Builder *b, const Expression *expression, const char *what, bool *truth, bool *open) {
  Operator operator= expression->operation.operator;
  bool binary = expression->kind == EXPRESSION_BINARY;
  if (binary && operator== OPERATOR_AND) {
    if (!holds(b, expression->operation.left, what, truth, open)) return false;
    return !*truth || holds(b, expression->operation.right, what, truth, open);
  }
  static const char *const help = "at run time, sizes can be held to ==, <, <=, > and >=, joined by 'and'";
  if (!binary || !is_order(operator)) return condition_of(b, expression, evaluate(b, expression), help, truth);
  Value left = evaluate(b, expression->operation.left), right = evaluate(b, expression->operation.right);
  stand_at(b, expression);
  if (!is_sizelike(&left) || !is_sizelike(&right))
    return condition_of(b, expression, operate(b, operator, left, right), help, truth);
  const Dim *a, *c;
  if (!want_size(b, &left, "a size", &a) || !want_size(b, &right, "a size", &c)) return false;
  int known = compare_sizes(b, operator, a, c);
  *truth = known != 0;
  *open |= known < 0;
  if (known < 0 && b->entry) check_at_entry(b, operator, a, c, what);
  return true;
}

Value run_assert(Builder *b, const Statement *statement) {
  bool truth, open = false;
  const char *text = statement->assertion.text;
  if (!holds(b, statement->assertion.condition, text ? text : "an assertion must hold", &truth, &open)) {
    b->frame->failed = b->frame->def;
    return value_error;
  }
  if (open && !b->entry) PUSH(b->arena, &b->open_asserts, statement);
  if (truth) return no_value;
  const Place *place = b->frame->caller ? b->frame->caller : place_of(b, statement->source, statement->offset);
  b->frame->failed = b->frame->def;
  error_at(b->diagnostics, place, "%s", text ? text : "an assertion does not hold");
  if (b->frame->caller) note_at(b->diagnostics, place_of(b, statement->source, statement->offset), "asserted here");
  return value_error;
}

void check_top_asserts(Builder *b) {
  b->top_asserts_run = true;
  for (int k = 0; k < b->open_asserts.count; k++) run_assert(b, b->open_asserts.items[k]);
  b->top_asserts_run = false;
}
