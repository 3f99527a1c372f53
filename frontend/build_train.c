/* grad and minimize.
 *
 * A loss is a node; the params that it reaches are found by walking back from it along f32 values through ops that pass a
 * gradient. Every value that a symbol had in this graph was noted as a Read when it came up, so that the loss is
 * differentiated by the params as they were when it was computed, whatever was assigned since. */
#include "frontend/build.h"

#include <stdlib.h>
#include <string.h>

/* ---- what a value depends on ---- */

static bool passes_gradient(Op op) {
  static const char *const rules[OP_COUNT] = {
#define OP(name, operands, flags, shape, gradient, value, lower, meaning) [OP_##name] = #gradient,
#include "ir/ops.def"
  };
  if (op == OP_grad) return true;
  return op != OP_NONE && strcmp(rules[op], "zero") != 0 && strcmp(rules[op], "none") != 0;
}

static void mark_back(const Graph *graph, bool *reached);

/* A scan passes on to those operands whose parameter some result of the body depends on. */
static void mark_scan(const Graph *graph, const Node *node, bool *reached) {
  const Graph *body = node->scan->body;
  bool *inside = calloc((size_t)body->nodes.count, sizeof *inside);
  if (!inside) out_of_memory();
  for (int k = 0; k < body->results.count; k++) inside[body->results.items[k].value] = true;
  mark_back(body, inside);
  for (Id id = 1; id < body->nodes.count; id++) {
    const Node *parameter = graph_node(body, id);
    if (!inside[id] || parameter->op != OP_arg || parameter->index == 0) continue;
    Id operand = node->operands[parameter->index - 1];
    if (graph_type(graph, operand)->dtype == F32) reached[operand] = true;
  }
  free(inside);
}

static void mark_back(const Graph *graph, bool *reached) {
  for (Id id = graph->nodes.count - 1; id > 0; id--) {
    const Node *node = graph_node(graph, id);
    if (!reached[id] || !passes_gradient(node->op)) continue;
    if (node->op == OP_scan) {
      mark_scan(graph, node, reached);
      continue;
    }
    for (int k = 0; k < node->noperands; k++) {
      Dtype dtype = graph_type(graph, node->operands[k])->dtype;
      if (dtype == F32 || dtype == NONE) reached[node->operands[k]] = true;
    }
  }
}

static bool *reached_by(Builder *b, Id loss) {
  const Graph *graph = b->level->graph;
  bool *reached = NEW_ARRAY(b->arena, bool, graph->nodes.count);
  reached[loss] = true;
  mark_back(graph, reached);
  return reached;
}

static bool want_loss(Builder *b, const Value *value, Id *loss) {
  if (!want_tensor(b, value, F32, loss)) return false;
  const Type *type = graph_type(b->level->graph, *loss);
  if (type->rank == 0) return true;
  fault(b, NULL, "the loss is %s, not a scalar", shape_text(b, type));
  help_for(b->diagnostics, "fold it: mean(loss)");
  return false;
}

/* ---- gradients by symbols ---- */

typedef struct Gradients {
  Id loss;
  bool *reached;
  Vec(int) symbols;
  Vec(Id) gradients; /* by symbol of the list */
} Gradients;

static bool in_list(const int *symbols, int count, int symbol) {
  for (int k = 0; k < count; k++) {
    if (symbols[k] == symbol) return true;
  }
  return false;
}

static int by_number(const void *a, const void *c) { return *(const int *)a - *(const int *)c; }

/* Of the wanted symbols (NULL: all trainable ones) those that the loss reaches, in the order of the module. */
static void choose_symbols(Builder *b, Gradients *g, const int *wanted, int count) {
  for (int k = 0; k < b->level->reads.count; k++) {
    Read read = b->level->reads.items[k];
    if (!g->reached[read.id] || in_list(g->symbols.items, g->symbols.count, read.symbol)) continue;
    if (wanted ? !in_list(wanted, count, read.symbol) : !b->module->symbols.items[read.symbol].trainable) continue;
    PUSH(b->arena, &g->symbols, read.symbol);
  }
  if (g->symbols.count) qsort(g->symbols.items, (size_t)g->symbols.count, sizeof(int), by_number);
}

/* One grad node by every value that the symbols had; several values of one symbol add up. */
static void differentiate(Builder *b, Gradients *g) {
  Graph *graph = b->level->graph;
  Vec(Id) by = {0};
  Vec(int) owner = {0};
  for (int s = 0; s < g->symbols.count; s++) {
    for (int k = 0; k < b->level->reads.count; k++) {
      Read read = b->level->reads.items[k];
      if (read.symbol != g->symbols.items[s] || !g->reached[read.id]) continue;
      bool seen = false;
      for (int j = 0; j < by.count; j++) seen |= by.items[j] == read.id;
      if (seen) continue;
      PUSH(b->arena, &by, read.id);
      PUSH(b->arena, &owner, s);
    }
    PUSH(b->arena, &g->gradients, 0);
  }
  Id pair = graph_grad(graph, g->loss, by.items, by.count);
  for (int k = 0; k < by.count; k++) {
    Id *sum = &g->gradients.items[owner.items[k]], gradient = graph_pick(graph, pair, k);
    *sum = *sum ? graph_binary(graph, OP_add, *sum, gradient) : gradient;
  }
}

/* ---- grad(loss, x) ---- */

static Value grad_by_layer(Builder *b, Id loss, const Value *x) {
  Gradients g = {.loss = loss, .reached = reached_by(b, loss)};
  Vec(int) wanted = {0};
  const Tree *tree = x->kind == VALUE_LAYER ? tree_of(b, x) : NULL;
  if (tree) {
    for (int k = 0; k < tree->count; k++) {
      if (tree->leaves[k].weight->trainable) PUSH(b->arena, &wanted, tree->leaves[k].weight->symbol);
    }
  } else {
    PUSH(b->arena, &wanted, x->weight->symbol);
  }
  choose_symbols(b, &g, wanted.items, wanted.count);
  if (g.symbols.count == 0) return fault(b, NULL, "the loss does not depend on %s", value_text(b, x));
  differentiate(b, &g);
  if (!tree) return value_tensor(b, g.gradients.items[0]);
  Tree *gradients = NEW(b->arena, Tree);
  gradients->names = NEW_ARRAY(b->arena, const char *, g.symbols.count);
  gradients->leaves = NEW_ARRAY(b->arena, Value, g.symbols.count);
  size_t prefix = strlen(x->part->path) + 1;
  for (int k = 0; k < g.symbols.count; k++) {
    gradients->names[k] = b->weights.items[g.symbols.items[k]]->path + prefix;
    gradients->leaves[k] = value_tensor(b, g.gradients.items[k]);
  }
  gradients->count = g.symbols.count;
  return (Value){.kind = VALUE_TREE, .tree = gradients};
}

Value builtin_grad(Builder *b, Value *arguments) {
  Id loss, x;
  if (!want_loss(b, &arguments[0], &loss)) return value_error;
  if (arguments[1].kind == VALUE_LAYER || arguments[1].kind == VALUE_WEIGHT) return grad_by_layer(b, loss, &arguments[1]);
  if (arguments[1].kind != VALUE_TENSOR) {
    return fault(b, NULL, "a gradient with respect to %s", value_text(b, &arguments[1]));
  }
  if (!want_tensor(b, &arguments[1], F32, &x)) return value_error;
  if (!reached_by(b, loss)[x]) {
    fault(b, NULL, "the loss does not depend on what it is differentiated by");
    help_for(b->diagnostics, "no gradient flows through stop, :=, comparisons and whole numbers");
    return value_error;
  }
  Id pair = graph_grad(b->level->graph, loss, &x, 1);
  return value_tensor(b, graph_pick(b->level->graph, pair, 0));
}

/* ---- minimize ---- */

static bool collect_over(Builder *b, const Statement *statement, int *symbols, int *count, int capacity) {
  for (int k = 0; k < statement->minimize.over.count; k++) {
    const Expression *name = statement->minimize.over.items[k];
    Value value = evaluate(b, name);
    if (is_error(&value)) return false;
    if (value.kind == VALUE_LAYER) {
      collect_weights(value.part, true, symbols, count, capacity);
    } else if (value.kind == VALUE_WEIGHT && *count < capacity) {
      symbols[(*count)++] = value.weight->symbol;
    } else {
      fault(b, name, "over names layers and params, not %s", value_text(b, &value));
      return false;
    }
  }
  return true;
}

/* All gradients scaled so that their common norm is at most `most`, as PyTorch's clip_grad_norm_. */
static bool clip_gradients(Builder *b, Gradients *g, const Expression *clip) {
  Graph *graph = b->level->graph;
  Value most = evaluate(b, clip);
  Id limit, total = 0;
  if (!want_tensor(b, &most, F32, &limit)) return false;
  if (graph_type(graph, limit)->rank != 0) return fault(b, clip, "what is clipped to is not a scalar"), false;
  for (int k = 0; k < g->gradients.count; k++) {
    bool folded[MAX_RANK] = {true, true, true, true, true, true, true, true};
    Id gradient = g->gradients.items[k];
    Id square = graph_binary(graph, OP_mul, gradient, gradient);
    if (graph_type(graph, square)->rank > 0) square = graph_fold_axes(graph, OP_fold_sum, square, folded, false);
    total = total ? graph_binary(graph, OP_add, total, square) : square;
  }
  Id least = graph_number(graph, F32, 1e-6), norm = graph_binary(graph, OP_add, graph_unary(graph, OP_sqrt, total), least);
  Id one = graph_number(graph, F32, 1), scale = graph_binary(graph, OP_min, graph_binary(graph, OP_div, limit, norm), one);
  for (int k = 0; k < g->gradients.count; k++) {
    g->gradients.items[k] = graph_binary(graph, OP_mul, g->gradients.items[k], scale);
  }
  return true;
}

static Value apply_optimizer(Builder *b, const Template *optimizer, const Arguments *given, Weight *weight, Id gradient,
                             const Expression *at) {
  Arguments arguments = {0};
  give_argument(b, &arguments, NULL, (Value){.kind = VALUE_WEIGHT, .weight = weight}, at);
  give_argument(b, &arguments, NULL, value_tensor(b, gradient), at);
  for (int k = 0; k < given->count; k++) PUSH(b->arena, &arguments, given->items[k]);
  Part *part = find_part(b, find_part(b, weight->part, weight->name, true), optimizer->routine->name, true);
  Naming *naming = NEW(b->arena, Naming);
  naming->part = part;
  part->applied = true;
  return run_def(b, optimizer, &arguments, naming, at);
}

static Value no_params(Builder *b, const Statement *statement) {
  bool over = statement->minimize.over.count > 0;
  fault(b, statement->minimize.loss, "the loss reaches no param%s", over ? " of those named" : "");
  help_for(b->diagnostics, "no gradient flows through stop, frozen, :=, comparisons and whole numbers");
  return value_error;
}

static bool find_optimizer(Builder *b, const Expression *at, const Template **optimizer, Arguments *given) {
  const Expression *callee = at->kind == EXPRESSION_CALL ? at->call.callee : at;
  Value value = callee->kind == EXPRESSION_NAME ? name_value(b, callee, true) : evaluate(b, callee);
  bool good = at->kind != EXPRESSION_CALL || collect_arguments(b, at, given);
  if (is_error(&value) || !good) return false;
  if (value.kind != VALUE_TEMPLATE || !value.template->routine || value.template->routine->parameters.count < 2) {
    fault(b, at, "an optimizer is a def of a param, its gradient and settings, as in sgd(lr)");
    return false;
  }
  *optimizer = value.template;
  return true;
}

Value run_minimize(Builder *b, const Statement *statement) {
  Gradients g = {0};
  const Template *optimizer = NULL;
  Arguments given = {0};
  int capacity = b->module->symbols.count + 1, count = 0;
  int *over = NEW_ARRAY(b->arena, int, capacity);
  if (!in_training(b)) {
    if (b->frame->def) return no_value;
    fault_in(b, statement->source, statement->offset, "minimize in a fn: a fn changes no state");
    if (b->entry) help_for(b->diagnostics, "make '%s' a step", b->entry->routine->name);
    return value_error;
  }
  Value loss = evaluate(b, statement->minimize.loss);
  b->at = statement->minimize.loss;
  bool good = want_loss(b, &loss, &g.loss);
  good = collect_over(b, statement, over, &count, capacity) && good;
  if (good) {
    stand_at(b, statement->minimize.loss);
    g.reached = reached_by(b, g.loss);
    choose_symbols(b, &g, statement->minimize.over.count ? over : NULL, count);
    if (g.symbols.count == 0) return no_params(b, statement);
    differentiate(b, &g);
    if (statement->minimize.clip) good = clip_gradients(b, &g, statement->minimize.clip);
  }
  good = find_optimizer(b, statement->minimize.optimizer, &optimizer, &given) && good;
  for (int k = 0; k < g.symbols.count && good; k++) {
    Weight *weight = b->weights.items[g.symbols.items[k]];
    Value done = apply_optimizer(b, optimizer, &given, weight, g.gradients.items[k], statement->minimize.optimizer);
    good = !is_error(&done);
  }
  return good ? no_value : value_error;
}
