/* Pass grad: every grad node becomes ordinary ops.
 *
 * The idea is reverse accumulation. Of the nodes between what is differentiated by (`by`) and the loss, walked from the last
 * to the first, each one's cotangent (d loss / d value) is whole when its turn comes, because all users have larger Ids; its
 * rule (grad_rules.c, by the gradient column of ops.def) then adds to the cotangents of its operands. Only what lies on a path
 * is visited, and only what is wanted is built. What the rules build is appended to the same graph as ordinary nodes, so
 * that a grad node further on differentiates it like anything else: grad nodes are expanded in order, scan bodies first.
 *
 * A `by` is a value, not an expression: what is made equal to it elsewhere does not count. So this pass comes before any
 * that merges equal values (fold, cse). States are the exception: all reads of one symbol are one value. When all grad
 * nodes of a graph are gone, its stop nodes have done their work and go too. */
#include "passes/graph/grad.h"

#include "passes/graph/rewrite.h"

/* ---- reverse accumulation ---- */

bool wants(const Backward *b, Id value) { return b->reached[value]; }

void give(Backward *b, Id value, Id contribution) {
  CHECK(wants(b, value) && type_same_sizes(graph_type(b->graph, value), graph_type(b->graph, contribution)));
  Id sum = b->cotangent[value];
  b->cotangent[value] = sum ? graph_binary(b->graph, OP_add, sum, contribution) : contribution;
}

static bool any_reached(const Node *node, const bool *reached) {
  for (int i = 0; i < node->noperands; i++)
    if (reached[node->operands[i]]) return true;
  return false;
}

void mark_reached(const Graph *graph, bool *reached, bool **pairs) {
  Arena *arena = graph->module->arena;
  if (!pairs) pairs = NEW_ARRAY(arena, bool *, graph->nodes.count);
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    if (node->op == OP_pick) {
      const bool *picks = pairs[node->operands[0]];
      if (picks && picks[node->index]) reached[id] = true;
    } else if (!reached[id] && !gradient_stops(node->op) && any_reached(node, reached)) {
      if (node->op == OP_scan) pairs[id] = scan_reached(graph, node, reached);
      reached[id] = node->op == OP_scan || node->type.dtype == F32;
    }
  }
}

/* Runs the rules from the last node to the first. Cotangents of the results are in place. */
static void run_rules(Backward *b) {
  const Place *here = b->graph->here;
  for (Id id = b->count - 1; id > 0; id--) {
    if (!b->reached[id] || (!b->cotangent[id] && !b->pair_cotangent[id])) continue;
    const Node node = *graph_node(b->graph, id);
    if (!any_reached(&node, b->reached)) continue; /* one of `by`, with nothing behind it that matters */
    if (node.place) b->graph->here = node.place;   /* a profile should name the line of the forward op */
    gradient_rules[node.op](b, &node, id, b->cotangent[id]);
  }
  b->graph->here = here;
}

void accumulate(Graph *graph, const Id *values, const Id *cotangents, int nvalues, const Id *by, int nby, Id *gradients) {
  Arena *arena = graph->module->arena;
  Backward b = {.graph = graph, .count = graph->nodes.count};
  b.reached = NEW_ARRAY(arena, bool, b.count);
  b.cotangent = NEW_ARRAY(arena, Id, b.count);
  b.pair_reached = NEW_ARRAY(arena, bool *, b.count);
  b.pair_cotangent = NEW_ARRAY(arena, Id *, b.count);
  for (int i = 0; i < nby; i++) b.reached[by[i]] = graph_type(graph, by[i])->dtype == F32;
  mark_reached(graph, b.reached, b.pair_reached);
  for (int i = 0; i < nvalues; i++) GIVE(&b, values[i], cotangents[i]);
  run_rules(&b);
  for (int i = 0; i < nby; i++) gradients[i] = b.cotangent[by[i]];
}

/* ---- the pass ---- */

/* What is known of the graph being rewritten. */
typedef struct Expansion {
  const Graph *from;
  Id **gradients; /* by from's Id of a grad node: the gradients, in `to` */
  Id *states;     /* by symbol: its node in `to` */
} Expansion;

static const char *name_of(const Graph *graph, Id id) {
  const Node *node = graph_node(graph, id);
  if (node->op == OP_state) return graph->module->symbols.items[node->index].name;
  if (node->op == OP_arg && !node->name) return graph->parameters.items[node->index].name;
  return node->name;
}

/* None of the values is reached. A long list of params helps nobody: the first few are named. */
static void report_unreached(const Graph *graph, const Node *grad, const Id *by, int count) {
  enum { NAMED = 4 };
  Text names = {0};
  int named = 0;
  for (int i = 0; i < count; i++) {
    const char *name = name_of(graph, by[i]);
    if (name && named++ < NAMED) text_add(&names, "%s'%s'", named > 1 ? ", " : "", name);
  }
  if (named > NAMED) text_add(&names, " and %d more", named - NAMED);
  error_at(graph->module->diagnostics, grad->place, "the loss does not depend on %s",
           named ? names.bytes : "what it is differentiated by");
  help_for(graph->module->diagnostics,
           "stop(), floor, round, comparisons, index arithmetic and := let no gradient through");
  text_free(&names);
}

static Id *expand(Graph *to, const Node *grad, const Id *renamed) {
  Arena *arena = to->module->arena;
  int count = grad->noperands - 1;
  Id *by = NEW_ARRAY(arena, Id, count), *gradients = NEW_ARRAY(arena, Id, count);
  for (int i = 0; i < count; i++) by[i] = renamed[grad->operands[i + 1]];
  Id loss = renamed[grad->operands[0]];
  Id one = graph_constant(to, *graph_type(to, loss), 1);
  accumulate(to, &loss, &one, 1, by, count, gradients);
  bool any = count == 0;
  for (int i = 0; i < count; i++) {
    any = any || gradients[i];
    if (!gradients[i]) gradients[i] = graph_constant(to, *graph_type(to, by[i]), 0);
  }
  if (!any) report_unreached(to, grad, by, count);
  return gradients;
}

static Id rule_expand(Graph *to, const Graph *from, Id id, const Id *renamed, void *user) {
  Expansion *expansion = user;
  Arena *arena = to->module->arena;
  if (expansion->from != from) {
    *expansion = (Expansion){.from = from,
                             .gradients = NEW_ARRAY(arena, Id *, from->nodes.count),
                             .states = NEW_ARRAY(arena, Id, to->module->symbols.count + 1)};
  }
  const Node *node = graph_node(from, id);
  if (node->op == OP_state) {
    Id *state = &expansion->states[node->index];
    if (!*state) *state = graph_copy_node(to, from, id, renamed);
    return *state;
  }
  if (node->op == OP_pick && expansion->gradients[node->operands[0]])
    return expansion->gradients[node->operands[0]][node->index];
  if (node->op != OP_grad) return 0;
  expansion->gradients[id] = expand(to, node, renamed);
  return renamed[node->operands[0]]; /* only picks use a grad node, and they look up the gradients: any Id will do */
}

static Id rule_drop_stop(Graph *to, const Graph *from, Id id, const Id *renamed, void *user) {
  (void)to, (void)user;
  const Node *node = graph_node(from, id);
  return node->op == OP_stop ? renamed[node->operands[0]] : 0;
}

void pass_grad(Module *module) {
  Expansion expansion = {0};
  rewrite_entries(module, rule_expand, &expansion);
  rewrite_entries(module, rule_drop_stop, NULL);
}
