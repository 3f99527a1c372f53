/* Graphs as pictures: a box for each value that is computed, its type below the op; parameters, states and results in
 * shapes of their own. Bodies of scans are left out. */
#include "command/compile.h"

static void print_node(const Module *module, const Graph *graph, int entry, Id id, Text *out) {
  const Node *node = graph_node(graph, id);
  const char *shape = node->op == OP_arg ? "invhouse" : node->op == OP_state ? "cylinder" : "box";
  const char *name = node->op == OP_arg     ? graph->parameters.items[node->index].name
                     : node->op == OP_state ? module->symbols.items[node->index].name
                                            : node->name;
  text_add(out, "    e%d_%d [shape=%s, label=\"%s", entry, id, shape, op_info[node->op].name);
  if (name) text_add(out, " %s", name);
  if (node->type.dtype != NONE) {
    text_add(out, "\\n");
    type_print(module, &node->type, out);
  }
  text_add(out, "\"];\n");
  for (int k = 0; k < node->noperands; k++) text_add(out, "    e%d_%d -> e%d_%d;\n", entry, node->operands[k], entry, id);
}

static void print_entry(const Module *module, int entry, Text *out) {
  const Graph *graph = module->entries.items[entry];
  text_add(out, "  subgraph cluster_%d {\n    label=\"%s %s\";\n", entry, graph->kind == GRAPH_STEP ? "step" : "fn",
           graph->name);
  for (Id id = 1; id < graph->nodes.count; id++) print_node(module, graph, entry, id, out);
  for (int r = 0; r < graph->results.count; r++)
    text_add(out, "    e%d_result%d [shape=house, label=\"%s\"];\n    e%d_%d -> e%d_result%d;\n", entry, r,
             graph->results.items[r].name, entry, graph->results.items[r].value, entry, r);
  for (int f = 0; f < graph->finals.count; f++)
    text_add(out, "    e%d_final%d [shape=cylinder, label=\"%s :=\"];\n    e%d_%d -> e%d_final%d;\n", entry, f,
             module->symbols.items[graph->finals.items[f].symbol].name, entry, graph->finals.items[f].value, entry, f);
  text_add(out, "  }\n");
}

void dot_print(const Module *module, Text *out) {
  text_add(out, "digraph %s {\n  rankdir=TB;\n", module->name);
  for (int entry = 0; entry < module->entries.count; entry++) print_entry(module, entry, out);
  text_add(out, "}\n");
}
