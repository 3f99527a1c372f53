#include "command/index_bound.h"

/* Elements are moved or passed on by these, never changed. */
static bool passes_on(Op op) { return op == OP_view || op == OP_reshape || op == OP_stop; }

static bool is_parameter(const Graph *graph, Id id, int parameter) {
  const Node *node = graph_node(graph, id);
  while (passes_on(node->op)) node = graph_node(graph, node->operands[0]);
  return node->op == OP_arg && node->index == parameter;
}

int64_t index_bound(const Graph *graph, int parameter, const Place **place) {
  int64_t bound = 0;
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    if (node->op != OP_gather || !is_parameter(graph, node->operands[1], parameter)) continue;
    const Dim *extent = graph_node(graph, node->operands[0])->type.size[node->index];
    if (extent->low != extent->high || (bound && extent->high >= bound)) continue;
    bound = extent->high;
    *place = node->place;
    while (!(*place)->source->users && (*place)->caller) *place = (*place)->caller;
  }
  return bound;
}
