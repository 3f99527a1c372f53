/* Where params and states lie in the state block.
 *
 * A head comes first, of which init writes what the entries must know of the machine; then what a fn may use, so that
 * inference needs only that part; then the rest: optimizers' states, counters. Each begins at a multiple of 64 bytes and
 * lies there dense and row-major. Within either part they keep the order in which the program made them. */
#include "codegen/interface.h"

static void mark_used(const Graph *graph, bool *used) {
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    if (node->op == OP_state) used[node->index] = true;
    if (node->scan) mark_used(node->scan->body, used);
  }
}

static int64_t symbol_bytes(const Symbol *symbol) {
  int64_t bytes = plan_element_bytes(symbol->type.dtype), size;
  for (int k = 0; k < symbol->type.rank; k++) {
    if (!dim_is_constant(symbol->type.size[k], &size)) bug("%s has an open size", symbol->name);
    if (!multiply_checked(bytes, size, &bytes)) bug("%s is too large", symbol->name);
  }
  return bytes;
}

StateLayout state_layout(const Module *module) {
  int count = module->symbols.count;
  bool *used = NEW_ARRAY(module->arena, bool, count + 1);
  StateLayout layout = {.offset = NEW_ARRAY(module->arena, int64_t, count + 1), .bytes = STATE_HEAD};
  for (int k = 0; k < module->entries.count; k++) {
    if (module->entries.items[k]->kind == GRAPH_FN) mark_used(module->entries.items[k], used);
  }
  for (int part = 0; part < 2; part++) {
    for (int k = 0; k < count; k++) {
      if (used[k] != (part == 0)) continue;
      layout.offset[k] = layout.bytes;
      bool fits = add_checked(layout.bytes, symbol_bytes(&module->symbols.items[k]), &layout.bytes) &&
                  layout.bytes < INT64_MAX - STATE_ALIGN;
      if (!fits) bug("the state is too large");
      layout.bytes = round_up(layout.bytes, STATE_ALIGN);
    }
    if (part == 0) layout.inference_bytes = layout.bytes;
  }
  return layout;
}
