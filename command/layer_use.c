/* Every node knows its place, and a place inside a def knows the call that led there. A layer's nodes are those whose places
 * lead through the call in which its param is read; its value is the first of them that another node takes. Gradients have
 * the places of what they are the gradients of, but come behind it. */
#include "command/layer_use.h"

static bool led_through(const Place *place, const Place *call) {
  for (; place; place = place->caller)
    if (place->caller == call) return true;
  return false;
}

static Id first_read(const Graph *graph, int symbol) {
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    if (node->op == OP_state && node->index == symbol) return id;
  }
  return 0;
}

static bool leaves(const Graph *graph, Id id, const Place *call) {
  for (Id user = id + 1; user < graph->nodes.count; user++) {
    const Node *node = graph_node(graph, user);
    for (int k = 0; k < node->noperands; k++)
      if (node->operands[k] == id && !led_through(node->place, call)) return true;
  }
  for (int k = 0; k < graph->results.count; k++)
    if (graph->results.items[k].value == id) return true;
  return false;
}

static LayerUse use_in(const Graph *graph, Id read) {
  const Place *place = graph_node(graph, read)->place;
  LayerUse use = {0};
  if (!place || !place->caller) return use;
  use.call = place->inside;
  for (Id id = read + 1; id < graph->nodes.count && !use.output; id++) {
    const Node *node = graph_node(graph, id);
    if (node->type.dtype != NONE && led_through(node->place, place->caller) && leaves(graph, id, place->caller))
      use.output = &node->type;
  }
  return use;
}

/* A fn is asked before a step: it has the layer without the noise and the statistics of training. */
LayerUse layer_use(const Machine *machine, int symbol) {
  for (int step = 0; step < 2; step++) {
    for (int k = 0; k < machine->nentries; k++) {
      const Graph *graph = machine->entries[k].step == step ? machine_graph(machine, k) : NULL;
      Id read = graph ? first_read(graph, symbol) : 0;
      if (read) return use_in(graph, read);
    }
  }
  return (LayerUse){0};
}
