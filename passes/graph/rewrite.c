/* The frame of most graph passes: a copy of a graph in which a rule may replace each node, and the copy of one graph into
 * another.
 *
 * Nodes are visited in order, so a rule sees operands that were already renamed. The bodies of all scans of a graph are
 * rewritten before its first node is: a rule that keeps notes on the graph it works in may drop them when `from` changes. */
#include "passes/graph/rewrite.h"

/* The graph with the bodies of its scans rewritten, the nodes else as they are. */
static const Graph *with_new_bodies(const Graph *graph, RewriteRule rule, void *user) {
  Arena *arena = graph->module->arena;
  Graph *copy = NULL;
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    if (node->op != OP_scan) continue;
    if (!copy) {
      copy = arena_copy(arena, graph, sizeof *graph);
      copy->nodes.items = arena_copy(arena, graph->nodes.items, sizeof(Node) * (size_t)graph->nodes.count);
      copy->nodes.capacity = graph->nodes.count;
    }
    Scan *scan = arena_copy(arena, node->scan, sizeof *scan);
    scan->body = graph_rewrite(scan->body, rule, user);
    graph_node(copy, id)->scan = scan;
  }
  return copy ? copy : graph;
}

Graph *graph_rewrite(const Graph *graph, RewriteRule rule, void *user) {
  const Graph *from = with_new_bodies(graph, rule, user);
  Arena *arena = from->module->arena;
  Graph *to = graph_new(from->module, from->name, from->kind);
  to->place = from->place;
  to->draws = from->draws;
  for (int i = 0; i < from->parameters.count; i++) PUSH(arena, &to->parameters, from->parameters.items[i]);
  for (int i = 0; i < from->checks.count; i++) PUSH(arena, &to->checks, from->checks.items[i]);
  Id *renamed = NEW_ARRAY(arena, Id, from->nodes.count);
  for (Id id = 1; id < from->nodes.count; id++) {
    to->here = graph_node(from, id)->place;
    renamed[id] = rule(to, from, id, renamed, user);
    if (!renamed[id]) renamed[id] = graph_copy_node(to, from, id, renamed);
  }
  to->here = from->here;
  for (int i = 0; i < from->results.count; i++) {
    Result result = from->results.items[i];
    result.value = renamed[result.value];
    PUSH(arena, &to->results, result);
  }
  for (int i = 0; i < from->finals.count; i++) {
    Final final = from->finals.items[i];
    final.value = renamed[final.value];
    PUSH(arena, &to->finals, final);
  }
  return to;
}

void graph_inline(Graph *to, const Graph *from, const Id *arguments, Id *renamed) {
  const Place *here = to->here;
  for (Id id = 1; id < from->nodes.count; id++) {
    const Node *node = graph_node(from, id);
    to->here = node->place ? node->place : here;
    renamed[id] = node->op == OP_arg ? arguments[node->index] : graph_copy_node(to, from, id, renamed);
  }
  to->here = here;
}

void rewrite_entries(Module *module, RewriteRule rule, void *user) {
  for (int i = 0; i < module->entries.count; i++)
    module->entries.items[i] = graph_rewrite(module->entries.items[i], rule, user);
}

bool is_number(const Graph *graph, Id id, double *number) {
  const Node *node = graph_node(graph, id);
  if (node->op == OP_constant) {
    if (node->array) return false;
    *number = node->number;
    return true;
  }
  if (node->op != OP_view || !is_number(graph, node->operands[0], number)) return false;
  /* Comparing bits, not values: a fill of -0 is not 0. */
  if (hash_bytes(&node->number, sizeof node->number) == hash_bytes(number, sizeof *number)) return true;
  return map_always_inside(graph->module, node->space, 0, graph_type(graph, node->operands[0]));
}
