/* Which values get memory.
 *
 * What folds, sorts or scatters must. An expression gets it only where computing it again for each reader would cost more
 * than a store and the loads: when it is dear (an exp, a division, a random number somewhere in it) and is read more than
 * once, by two readers or by one that reads each element several times. And where an expression is all that is made of a
 * product, and is read more than once, it gets the memory that the product would have had: the product's store then writes
 * what its readers want. Where an index can't be composed through a value, lower marks it later. */
#include "passes/plan/lowering.h"

enum { DEAR = 8 }; /* in units of an addition: what a store and two loads are worth */

static const struct {
  Op op;
  int cost;
} op_costs[] = {{OP_exp, 10},   {OP_log, 12}, {OP_sqrt, 5},    {OP_sin, 14}, {OP_cos, 14},     {OP_tanh, 14},
                {OP_erf, 16},   {OP_div, 5},  {OP_pow, 40},    {OP_mod, 6},  {OP_floordiv, 5}, {OP_random, 40},
                {OP_gather, 4}, {OP_view, 0}, {OP_reshape, 0}, {OP_stop, 0}};

int op_cost(Op op) {
  for (int k = 0; k < COUNT_OF(op_costs); k++) {
    if (op_costs[k].op == op) return op_costs[k].cost;
  }
  return 1;
}

static bool must_be_root(const Node *node) {
  return (op_info[node->op].flags & FOLD) || node->op == OP_concat || node->op == OP_scatter || node->op == OP_argsort ||
         node->op == OP_cumsum || node->op == OP_scan || node->materialise;
}

/* How many elements there are at the bounds. */
static double count_at_bounds(const Type *type) {
  double count = 1;
  for (int k = 0; k < type->rank; k++) count *= (double)type->size[k]->high;
  return count;
}

static double space_at_bounds(const Space *space) {
  double count = 1;
  for (int k = 0; k < space->ndims; k++) count *= (double)space->extent[k]->high;
  return count;
}

/* Of so many points of an iteration space, one reads this operand: divisions are exact at the others' neighbours only. */
static double points_of_read(const Map *map) {
  double points = 1;
  for (int k = 0; k < map->naxes; k++) points *= (double)map->axis[k].divisor;
  return points;
}

/* True if this reader reads elements of operand k more than once. */
static bool reads_again(const Graph *graph, const Node *reader, int k) {
  double elements = count_at_bounds(graph_type(graph, reader->operands[k]));
  if (reader->space) return space_at_bounds(reader->space) > elements * points_of_read(&reader->space->map[k]);
  return reader->op == OP_gather;
}

static void mark_live(const Graph *graph, bool *live) {
  for (int k = 0; k < graph->results.count; k++) live[graph->results.items[k].value] = true;
  for (int k = 0; k < graph->finals.count; k++) live[graph->finals.items[k].value] = true;
  for (Id id = graph->nodes.count - 1; id > 0; id--) {
    const Node *node = graph_node(graph, id);
    for (int k = 0; live[id] && k < node->noperands; k++) live[node->operands[k]] = true;
  }
}

static bool is_leaf(const Node *node) {
  return node->op == OP_arg || node->op == OP_state || node->op == OP_constant || node->op == OP_dim ||
         node->op == OP_iota || node->op == OP_pick;
}

/* How often a value is read, an expanding reader counting twice; from the last node back, so that a view or reshape hands
 * its own readers on. */
static int *count_readers(const Lowering *lowering) {
  const Graph *graph = lowering->graph;
  int *readers = NEW_ARRAY(lowering->module->arena, int, graph->nodes.count);
  for (int k = 0; k < graph->results.count; k++) readers[graph->results.items[k].value]++;
  for (int k = 0; k < graph->finals.count; k++) readers[graph->finals.items[k].value]++;
  for (Id id = graph->nodes.count - 1; id > 0; id--) {
    const Node *node = graph_node(graph, id);
    if (!lowering->live[id]) continue;
    bool passes = (node->op == OP_view || node->op == OP_reshape || node->op == OP_stop) && !lowering->root[id];
    for (int k = 0; k < node->noperands; k++) {
      int times = passes ? MAX(readers[id], 1) : 1;
      if (reads_again(graph, node, k)) times++;
      readers[node->operands[k]] += times;
    }
  }
  return readers;
}

/* Results and new states have memory of their own, which the product's store can write. */
static bool *values_that_leave(const Graph *graph) {
  bool *leaves = NEW_ARRAY(graph->module->arena, bool, graph->nodes.count);
  for (int k = 0; graph->kind != GRAPH_BODY && k < graph->results.count; k++) leaves[graph->results.items[k].value] = true;
  for (int k = 0; k < graph->finals.count; k++) leaves[graph->finals.items[k].value] = true;
  return leaves;
}

/* All that is made of a product: it, or an elementwise op on such a value that nobody else reads, no larger or smaller. */
static bool ends_product(const Lowering *lowering, const bool *product, const int *readers, const Node *node) {
  if (node->op == OP_contract) return true;
  if (node->space || node->op < OP_neg || node->op > OP_where) return false;
  for (int k = 0; k < node->noperands; k++) {
    Id operand = node->operands[k];
    if (product[operand] && readers[operand] == 1 && type_same_sizes(graph_type(lowering->graph, operand), &node->type))
      return true;
  }
  return false;
}

/* A concatenation that only another one reads is no value of its own: its parts are the other's. */
static void join_concats(Lowering *lowering, const int *readers) {
  const Graph *graph = lowering->graph;
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    for (int k = 0; lowering->inlined && lowering->live[id] && node->op == OP_concat && k < node->noperands; k++) {
      Id part = node->operands[k];
      if (graph_node(graph, part)->op == OP_concat && readers[part] == 1) lowering->root[part] = false;
    }
  }
}

bool is_stack(const Lowering *lowering, Id id) {
  const Node *node = graph_node(lowering->graph, id);
  if (node->op != OP_concat) return false;
  for (int k = 0; k < node->noperands; k++) {
    const Node *part = graph_node(lowering->graph, node->operands[k]);
    if (!dim_is(part->type.size[node->index], 1)) return false;
    if (part->op == OP_concat && !lowering->root[node->operands[k]] && !is_stack(lowering, node->operands[k])) return false;
  }
  return true;
}

/* Of each value the stack whose one stage makes all that reads it; 0: there is none. */
static Id *find_stacks(const Lowering *lowering) {
  enum { SEVERAL = -1 };
  const Graph *graph = lowering->graph;
  Id *stack = NEW_ARRAY(lowering->module->arena, Id, graph->nodes.count);
  for (int k = 0; k < graph->results.count; k++) stack[graph->results.items[k].value] = SEVERAL;
  for (int k = 0; k < graph->finals.count; k++) stack[graph->finals.items[k].value] = SEVERAL;
  for (Id id = graph->nodes.count - 1; id > 0; id--) {
    const Node *node = graph_node(graph, id);
    if (!lowering->live[id]) continue;
    bool passes = !lowering->root[id] && !node->space && (op_cost(node->op) > 0 || node->op == OP_reshape);
    Id own = is_stack(lowering, id) && lowering->root[id] ? id : passes && stack[id] ? stack[id] : SEVERAL;
    for (int k = 0; k < node->noperands; k++) {
      Id *of = &stack[node->operands[k]];
      *of = *of == 0 || *of == own ? own : SEVERAL;
    }
  }
  for (Id id = 1; id < graph->nodes.count; id++) stack[id] = MAX(stack[id], 0);
  return stack;
}

void choose_roots(Lowering *lowering) {
  const Graph *graph = lowering->graph;
  Arena *arena = lowering->module->arena;
  int count = graph->nodes.count;
  lowering->live = NEW_ARRAY(arena, bool, count);
  lowering->root = NEW_ARRAY(arena, bool, count);
  lowering->next_root = NEW_ARRAY(arena, bool, count);
  mark_live(graph, lowering->live);
  for (Id id = 1; id < count; id++) lowering->root[id] = must_be_root(graph_node(graph, id));
  int *readers = count_readers(lowering);
  join_concats(lowering, readers);
  double *cost = NEW_ARRAY(arena, double, count);
  bool *product = NEW_ARRAY(arena, bool, count); /* what the store behind a contraction could write in its place */
  const bool *leaves = values_that_leave(graph);
  const Id *stack = find_stacks(lowering);
  for (Id id = 1; id < count; id++) {
    const Node *node = graph_node(graph, id);
    product[id] = ends_product(lowering, product, readers, node);
    if (is_leaf(node)) {
      cost[id] = node->op == OP_constant ? 0 : 1;
      continue;
    }
    cost[id] = op_cost(node->op);
    for (int k = 0; k < node->noperands; k++) cost[id] += cost[node->operands[k]];
    bool only_moves = node->op == OP_view || node->op == OP_reshape || node->op == OP_stop;
    bool dear = cost[id] >= DEAR && readers[id] > 1 && !only_moves && !stack[id];
    bool instead = product[id] && readers[id] > 1 && !leaves[id];
    if (!lowering->inlined || dear || instead) lowering->root[id] = true;
    if (lowering->root[id] && node->op != OP_contract) product[id] = false;
    if (lowering->root[id]) cost[id] = 1;
  }
}

Id state_buffer(Lowering *lowering, int symbol) {
  if (!lowering->states[symbol]) {
    const Symbol *state = &lowering->module->symbols.items[symbol];
    lowering->states[symbol] =
        plan_buffer(lowering->plan, MEMORY_STATE, symbol_stored(lowering->module, state), symbol, state->name);
  }
  return lowering->states[symbol];
}
