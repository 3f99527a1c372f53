/* Types, the table of ops as data, and the shape rules.
 *
 * A shape rule is the function that the table's `shape` column names: it says whether the operands and the attribute of a
 * node fit together, and what type comes out. The builder infers with it, the verifier checks with it, so the two cannot
 * differ. Sizes are compared as pointers: equal sizes are one size. */
#include "ir/ir.h"

#include <string.h>

const struct PrecisionInfo precision_info[PRECISION_COUNT] = {
    [PRECISION_F32] = {"f32", 24}, [PRECISION_TF32] = {"tf32", 11}, [PRECISION_BF16] = {"bf16", 8}};

const OpInfo op_info[OP_COUNT] = {
    [OP_NONE] = {"none", 0, 0, "no node"},
#define OP(name, operands, flags, shape, gradient, value, lower, meaning) [OP_##name] = {#name, operands, flags, meaning},
#include "ir/ops.def"
};

Op op_by_name(const char *name) {
  for (int op = OP_NONE + 1; op < OP_COUNT; op++) {
    if (strcmp(op_info[op].name, name) == 0) return (Op)op;
  }
  return OP_NONE;
}

/* ---- types ---- */

const char *dtype_name(Dtype dtype) {
  static const char *const names[] = {[NONE] = "none", [F32] = "f32", [I32] = "i32", [BOOL] = "bool"};
  return names[dtype];
}

Type type_scalar(Dtype dtype) { return (Type){.dtype = dtype}; }

Type type_of(Dtype dtype, int rank, const Dim *const *size) {
  Type type = {.dtype = dtype, .rank = rank};
  if (rank < 0 || rank > MAX_RANK) bug("a type of rank %d", rank);
  for (int k = 0; k < rank; k++) type.size[k] = size[k];
  return type;
}

bool type_same_sizes(const Type *a, const Type *b) {
  if (a->rank != b->rank) return false;
  for (int k = 0; k < a->rank; k++) {
    if (a->size[k] != b->size[k]) return false;
  }
  return true;
}

bool type_equal(const Type *a, const Type *b) { return a->dtype == b->dtype && type_same_sizes(a, b); }

/* NULL where the product leaves 64 bits. */
static const Dim *count_elements(Module *module, const Type *type) {
  const Dim *count = dim_constant(module, 1);
  for (int k = 0; k < type->rank; k++) count = dim_multiply(module, count, type->size[k]);
  return count;
}

const Dim *type_count(Module *module, const Type *type) {
  const Dim *count = count_elements(module, type);
  if (!count) bug("the number of elements of a tensor leaves 64 bits");
  return count;
}

void type_print(const Module *module, const Type *type, Text *out) {
  text_add(out, "%s", dtype_name(type->dtype));
  if (type->dtype == NONE) return;
  text_add(out, "[");
  for (int k = 0; k < type->rank; k++) {
    if (k > 0) text_add(out, ", ");
    dim_print(module, type->size[k], out);
  }
  text_add(out, "]");
}

char *type_text(const Module *module, const Type *type) {
  Text text = {0};
  type_print(module, type, &text);
  char *copy = arena_copy(module->arena, text.bytes, text.length + 1);
  text_free(&text);
  return copy;
}

/* ---- shape rules ---- */

/* What a rule sees and gives. */
typedef struct Rule {
  const Graph *graph;
  Module *module;
  const Node *node;
  Type *type;
  Text *why;
} Rule;

static bool misfit(const Rule *rule, const char *format, ...) PRINTF_LIKE(2, 3);
static bool misfit(const Rule *rule, const char *format, ...) {
  va_list list;
  if (!rule->why) return false;
  text_add(rule->why, "%s: ", op_info[rule->node->op].name);
  va_start(list, format);
  text_add_list(rule->why, format, list);
  va_end(list);
  return false;
}

static const Type *operand(const Rule *rule, int k) { return graph_type(rule->graph, rule->node->operands[k]); }

static bool wants(const Rule *rule, int k, Dtype dtype, int rank) {
  const Type *type = operand(rule, k);
  if (type->dtype != dtype) {
    return misfit(rule, "operand %d is %s, not %s", k + 1, type_text(rule->module, type), dtype_name(dtype));
  }
  return rank < 0 || type->rank == rank ||
         misfit(rule, "operand %d is %s, not of rank %d", k + 1, type_text(rule->module, type), rank);
}

static bool equal_operands(const Rule *rule, int j, int k) {
  return type_equal(operand(rule, j), operand(rule, k)) ||
         misfit(rule, "operands %d and %d differ: %s and %s", j + 1, k + 1, type_text(rule->module, operand(rule, j)),
                type_text(rule->module, operand(rule, k)));
}

static bool axis_exists(const Rule *rule, int axis, int rank) {
  return (axis >= 0 && axis < rank) || misfit(rule, "axis %d of rank %d", axis, rank);
}

/* given: the node says it; what each op asks of what was said */

static bool given_random(const Rule *rule) {
  for (int k = 0; k < rule->node->noperands; k++) {
    if (!wants(rule, k, I32, 0)) return false;
  }
  return rule->node->type.dtype == F32 || misfit(rule, "gives f32");
}

static bool given_reshape(const Rule *rule) {
  const Type *from = operand(rule, 0), *to = &rule->node->type;
  if (from->dtype != to->dtype) return misfit(rule, "changes the dtype");
  const Dim *count = count_elements(rule->module, from);
  return (count && count == count_elements(rule->module, to)) ||
         misfit(rule, "%s has not as many elements as %s", type_text(rule->module, from), type_text(rule->module, to));
}

bool pair_type(const Graph *graph, const Node *pair, int result, Type *type) {
  if (result < 0) return false;
  if (pair->op == OP_grad) {
    if (result + 1 >= pair->noperands) return false;
    *type = *graph_type(graph, pair->operands[result + 1]);
    return true;
  }
  if (pair->op != OP_scan || result >= pair->scan->ncarry + pair->scan->nyield) return false;
  if (result < pair->scan->ncarry) {
    *type = *graph_type(graph, pair->operands[result]);
    return true;
  }
  const Type *each = graph_type(pair->scan->body, pair->scan->body->results.items[result].value);
  if (each->rank == MAX_RANK) return false;
  *type = (Type){.dtype = each->dtype, .rank = each->rank + 1, .size = {pair->scan->trips}};
  for (int k = 0; k < each->rank; k++) type->size[k + 1] = each->size[k];
  return true;
}

static bool given_pick(const Rule *rule) {
  const Node *pair = graph_node(rule->graph, rule->node->operands[0]);
  Type type;
  if (!pair_type(rule->graph, pair, rule->node->index, &type)) {
    return misfit(rule, "there is no result %d of a %s", rule->node->index, op_info[pair->op].name);
  }
  return type_equal(&type, &rule->node->type) || misfit(rule, "the type should be %s", type_text(rule->module, &type));
}

static bool given_arg(const Rule *rule) {
  const Graph *graph = rule->graph;
  if (rule->node->index < 0 || rule->node->index >= graph->parameters.count) return misfit(rule, "no such parameter");
  return type_equal(&graph->parameters.items[rule->node->index].type, &rule->node->type) ||
         misfit(rule, "the parameter has another type");
}

static bool given_state(const Rule *rule) {
  Module *module = rule->module;
  if (rule->node->index < 0 || rule->node->index >= module->symbols.count) return misfit(rule, "no such symbol");
  Type stored = symbol_stored(module, &module->symbols.items[rule->node->index]);
  return type_equal(&stored, &rule->node->type) || misfit(rule, "the symbol has another type");
}

static bool given_constant(const Rule *rule) {
  for (int k = 0; rule->node->array && k < rule->node->type.rank; k++) {
    if (!dim_is_constant(rule->node->type.size[k], NULL)) return misfit(rule, "an array of sizes that are not constant");
  }
  return true;
}

static bool shape_given(const Rule *rule) {
  const Node *node = rule->node;
  *rule->type = node->type;
  if (node->type.dtype == NONE) return misfit(rule, "without a type");
  switch (node->op) {
  case OP_constant: return given_constant(rule);
  case OP_arg: return given_arg(rule);
  case OP_state: return given_state(rule);
  case OP_dim: return (node->dim && node->type.dtype == I32 && node->type.rank == 0) || misfit(rule, "gives i32[]");
  case OP_iota:
    return axis_exists(rule, node->index, node->type.rank) && (node->type.dtype == I32 || misfit(rule, "gives i32"));
  case OP_random: return given_random(rule);
  case OP_cast: return type_same_sizes(&node->type, operand(rule, 0)) || misfit(rule, "changes sizes");
  case OP_reshape: return given_reshape(rule);
  case OP_pick: return given_pick(rule);
  default: return true;
  }
}

/* same: the operand's type; argsort, which has the flag INDEX, gives i32 */

static bool shape_same(const Rule *rule) {
  const Node *node = rule->node;
  *rule->type = *operand(rule, 0);
  if (op_info[node->op].flags & FLOATS) return wants(rule, 0, F32, -1);
  if (op_info[node->op].flags & INDEX) {
    rule->type->dtype = I32;
    return operand(rule, 0)->rank > 0 || misfit(rule, "a scalar has no axis");
  }
  if (node->op == OP_cumsum && !axis_exists(rule, node->index, rule->type->rank)) return false;
  if (node->op != OP_stop && rule->type->dtype == BOOL) return misfit(rule, "of bool");
  return true;
}

static bool shape_both(const Rule *rule) {
  Op op = rule->node->op;
  *rule->type = *operand(rule, 0);
  if (!equal_operands(rule, 0, 1)) return false;
  if (op_info[op].flags & FLOATS) return wants(rule, 0, F32, -1);
  return rule->type->dtype != BOOL || op == OP_max || op == OP_min || misfit(rule, "of bool");
}

static bool shape_truth(const Rule *rule) {
  *rule->type = *operand(rule, 0);
  rule->type->dtype = BOOL;
  return equal_operands(rule, 0, 1) &&
         (operand(rule, 0)->dtype != BOOL || rule->node->op == OP_eq || misfit(rule, "of bool"));
}

static bool shape_choice(const Rule *rule) {
  *rule->type = *operand(rule, 1);
  if (!wants(rule, 0, BOOL, -1) || !equal_operands(rule, 1, 2)) return false;
  return type_same_sizes(operand(rule, 0), rule->type) || misfit(rule, "the condition has other sizes");
}

static bool axis_fits(const Rule *rule, const Space *space, const Axis *axis) {
  if (axis->nterms < 0 || axis->nterms > 2) return misfit(rule, "an axis of %d terms", axis->nterms);
  if (!axis->offset) return misfit(rule, "an axis without an offset");
  if (axis->divisor < 1) return misfit(rule, "an axis with divisor %lld", (long long)axis->divisor);
  for (int k = 0; k < axis->nterms; k++) {
    if (axis->dim[k] < 0 || axis->dim[k] >= space->ndims) return misfit(rule, "an axis by dim %d", axis->dim[k]);
    if (axis->coefficient[k] == 0) return misfit(rule, "an axis with a coefficient of 0");
  }
  return axis->nterms < 2 || axis->dim[0] != axis->dim[1] || misfit(rule, "an axis by one dim twice");
}

static bool shape_space(const Rule *rule) {
  const Node *node = rule->node;
  const Space *space = node->space;
  if (!space) return misfit(rule, "without a space");
  if (space->nresult < 0 || space->nresult > MAX_RANK || space->ndims < space->nresult || space->ndims > MAX_LOOPS) {
    return misfit(rule, "a space of %d dims, %d of them the result's", space->ndims, space->nresult);
  }
  if (space->nmaps != node->noperands) return misfit(rule, "%d maps for %d operands", space->nmaps, node->noperands);
  if (node->op == OP_view && space->ndims != space->nresult) return misfit(rule, "folds");
  for (int k = 0; k < space->ndims; k++) {
    if (!space->extent[k]) return misfit(rule, "dim %d has no extent", k);
  }
  for (int k = 0; k < space->nmaps; k++) {
    const Map *map = &space->map[k];
    if (map->naxes != operand(rule, k)->rank) {
      return misfit(rule, "a map of %d axes for operand %d, %s", map->naxes, k + 1,
                    type_text(rule->module, operand(rule, k)));
    }
    for (int axis = 0; axis < map->naxes; axis++) {
      if (!axis_fits(rule, space, &map->axis[axis])) return false;
    }
    if (node->op == OP_contract && !wants(rule, k, F32, -1)) return false;
  }
  Dtype dtype = operand(rule, 0)->dtype;
  if (dtype == BOOL && (node->op == OP_fold_sum || (op_info[node->op].flags & INDEX))) return misfit(rule, "of bool");
  *rule->type = type_of(op_info[node->op].flags & INDEX ? I32 : dtype, space->nresult, space->extent);
  return true;
}

static bool shape_concat(const Rule *rule) {
  const Node *node = rule->node;
  if (node->noperands < 1) return misfit(rule, "of nothing");
  Type *type = rule->type;
  *type = *operand(rule, 0);
  if (!axis_exists(rule, node->index, type->rank)) return false;
  for (int k = 1; k < node->noperands; k++) {
    const Type *part = operand(rule, k);
    if (part->dtype != type->dtype || part->rank != type->rank) return misfit(rule, "part %d is of another kind", k + 1);
    for (int axis = 0; axis < type->rank; axis++) {
      if (axis == node->index) continue;
      if (part->size[axis] != type->size[axis]) return misfit(rule, "part %d has another size", k + 1);
    }
    type->size[node->index] = dim_add(rule->module, type->size[node->index], part->size[node->index]);
    if (!type->size[node->index]) return misfit(rule, "a size leaves 64 bits");
  }
  return true;
}

/* a's axes before the axis, index's behind the batch, a's behind the axis: the type of gather, and of scatter's values */
static bool gathered_type(const Rule *rule, Type *type) {
  const Node *node = rule->node;
  const Type *a = operand(rule, 0), *index = operand(rule, 1);
  if (!wants(rule, 1, I32, -1) || !axis_exists(rule, node->index, a->rank)) return false;
  if (node->batch < 0 || node->batch > node->index || node->batch > index->rank) {
    return misfit(rule, "%d batch axes", node->batch);
  }
  for (int k = 0; k < node->batch; k++) {
    if (a->size[k] != index->size[k]) return misfit(rule, "batch axis %d has two sizes", k);
  }
  if (a->rank - 1 + index->rank - node->batch > MAX_RANK) return misfit(rule, "gives more than %d axes", MAX_RANK);
  *type = (Type){.dtype = a->dtype};
  for (int k = 0; k < node->index; k++) type->size[type->rank++] = a->size[k];
  for (int k = node->batch; k < index->rank; k++) type->size[type->rank++] = index->size[k];
  for (int k = node->index + 1; k < a->rank; k++) type->size[type->rank++] = a->size[k];
  return true;
}

static bool shape_gather(const Rule *rule) { return gathered_type(rule, rule->type); }

static bool shape_first(const Rule *rule) {
  Type values;
  *rule->type = *operand(rule, 0);
  if (!gathered_type(rule, &values)) return false;
  if (rule->type->dtype == BOOL) return misfit(rule, "of bool");
  return type_equal(&values, operand(rule, 2)) ||
         misfit(rule, "the values are %s, not %s", type_text(rule->module, operand(rule, 2)),
                type_text(rule->module, &values));
}

/* pair: no type of its own; picks take it apart */

static bool scan_fits(const Rule *rule) {
  const Scan *scan = rule->node->scan;
  int own = scan->ncarry + scan->nslice + scan->ncapture;
  const Graph *body = scan->body;
  if (!body || !scan->trips) return misfit(rule, "without a body or a number of trips");
  if (rule->node->noperands != own) return misfit(rule, "%d operands, not %d", rule->node->noperands, own);
  if (body->parameters.count != own + 1) return misfit(rule, "a body of %d parameters", body->parameters.count);
  if (body->results.count != scan->ncarry + scan->nyield) return misfit(rule, "a body of %d results", body->results.count);
  Type turn = type_scalar(I32);
  if (!type_equal(&body->parameters.items[0].type, &turn)) return misfit(rule, "the body's turn is not i32[]");
  for (int k = 0; k < own; k++) {
    const Type *inside = &body->parameters.items[k + 1].type;
    Type outside = *operand(rule, k);
    if (k >= scan->ncarry && k < scan->ncarry + scan->nslice) {
      if (outside.rank == 0 || outside.size[0] != scan->trips) return misfit(rule, "slice %d has other trips", k);
      outside.rank--;
      for (int axis = 0; axis < outside.rank; axis++) outside.size[axis] = outside.size[axis + 1];
    }
    if (!type_equal(&outside, inside)) {
      return misfit(rule, "operand %d gives %s, the body takes %s", k + 1, type_text(rule->module, &outside),
                    type_text(rule->module, inside));
    }
    if (k < scan->ncarry && !type_equal(graph_type(body, body->results.items[k].value), inside)) {
      return misfit(rule, "carry %d changes its type", k + 1);
    }
  }
  return true;
}

static bool shape_pair(const Rule *rule) {
  *rule->type = (Type){.dtype = NONE};
  if (rule->node->op == OP_scan) return rule->node->scan ? scan_fits(rule) : misfit(rule, "without a body");
  if (rule->node->noperands < 2) return misfit(rule, "of one value by another: %d operands", rule->node->noperands);
  for (int k = 0; k < rule->node->noperands; k++) {
    if (!wants(rule, k, F32, k == 0 ? 0 : -1)) return false;
  }
  return true;
}

bool op_type(const Graph *graph, const Node *node, Type *type, Text *why) {
  static bool (*const rules[OP_COUNT])(const Rule *) = {
#define OP(name, operands, flags, shape, gradient, value, lower, meaning) [OP_##name] = shape_##shape,
#include "ir/ops.def"
  };
  Rule rule = {.graph = graph, .module = graph->module, .node = node, .type = type, .why = why};
  if (node->op <= OP_NONE || node->op >= OP_COUNT) {
    if (why) text_add(why, "no such op");
    return false;
  }
  int operands = op_info[node->op].operands;
  if (operands != ANY_NUMBER && node->noperands != operands) return misfit(&rule, "%d operands", node->noperands);
  for (int k = 0; k < node->noperands; k++) {
    if (node->operands[k] <= 0 || node->operands[k] >= graph->nodes.count) return misfit(&rule, "no operand %d", k + 1);
    if (operand(&rule, k)->dtype == NONE && node->op != OP_pick) return misfit(&rule, "operand %d is a pair", k + 1);
  }
  return rules[node->op](&rule);
}
