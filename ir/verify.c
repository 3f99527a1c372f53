/* What is legal of every graph, whatever pass made it.
 *
 * Types are checked by the same shape rules that infer them; beyond these: operands stand before their users, results and
 * finals exist and fit, names of the interface are there and differ, sizes and offsets belong to this module. What only
 * some stage demands (no grad nodes left, say) is that stage's own check. */
#include "ir/ir.h"

#include <string.h>

static bool fault(const Graph *graph, Id id, Text *why, const char *format, ...) PRINTF_LIKE(4, 5);
static bool fault(const Graph *graph, Id id, Text *why, const char *format, ...) {
  va_list list;
  if (!why) return false;
  text_add(why, "%s: ", graph->name);
  if (id > 0) text_add(why, "%%%d: ", id);
  va_start(list, format);
  text_add_list(why, format, list);
  va_end(list);
  return false;
}

/* True if a size is built over this module's symbols; interned sizes of another module are the usual mistake. */
static bool belongs(Module *module, const Dim *dim) {
  return dim && dim_offset(module, dim_offset(module, dim, 1), -1) == dim;
}

static bool type_belongs(Module *module, const Type *type) {
  for (int k = 0; k < type->rank; k++) {
    if (!belongs(module, type->size[k])) return false;
  }
  return true;
}

static bool verify_space(const Graph *graph, Id id, Text *why) {
  const Space *space = graph_node(graph, id)->space;
  for (int k = 0; k < space->ndims; k++) {
    if (!belongs(graph->module, space->extent[k])) return fault(graph, id, why, "an extent of another module");
    if (space->extent[k]->high < 0) return fault(graph, id, why, "dim %d has a negative extent", k);
  }
  for (int operand = 0; operand < space->nmaps; operand++) {
    for (int k = 0; k < space->map[operand].naxes; k++) {
      if (!belongs(graph->module, space->map[operand].axis[k].offset)) {
        return fault(graph, id, why, "an offset of another module");
      }
    }
  }
  return true;
}

/* Before the scan itself, whose shape rule looks at the body's results. */
static bool verify_body(const Graph *graph, Id id, Text *why) {
  const Scan *scan = graph_node(graph, id)->scan;
  if (!scan || !scan->body || !belongs(graph->module, scan->trips)) return fault(graph, id, why, "a scan without a body");
  if (scan->body->kind != GRAPH_BODY) return fault(graph, id, why, "the body of a scan is an entry");
  if (scan->ncarry < 0 || scan->nslice < 0 || scan->ncapture < 0 || scan->nyield < 0) {
    return fault(graph, id, why, "a scan of less than no operands");
  }
  return graph_verify(scan->body, why);
}

static bool verify_node(const Graph *graph, Id id, Text *why) {
  const Node *node = graph_node(graph, id);
  Text reason = {0};
  Type type;
  if (node->op <= OP_NONE || node->op >= OP_COUNT) return fault(graph, id, why, "no such op");
  for (int k = 0; k < node->noperands; k++) {
    if (node->operands[k] <= 0) return fault(graph, id, why, "operand %d is none", k + 1);
    if (node->operands[k] >= id) return fault(graph, id, why, "operand %%%d does not stand before it", node->operands[k]);
  }
  if (node->op == OP_scan && !verify_body(graph, id, why)) return false;
  if (!op_type(graph, node, &type, &reason)) {
    fault(graph, id, why, "%s", reason.bytes ? reason.bytes : "does not fit");
    text_free(&reason);
    return false;
  }
  if (!type_equal(&type, &node->type)) {
    return fault(graph, id, why, "%s gives %s, but the node says %s", op_info[node->op].name,
                 type_text(graph->module, &type), type_text(graph->module, &node->type));
  }
  if (!type_belongs(graph->module, &node->type)) return fault(graph, id, why, "a size of another module");
  if (node->space && !verify_space(graph, id, why)) return false;
  if (node->op == OP_dim && !belongs(graph->module, node->dim)) return fault(graph, id, why, "a size of another module");
  if (node->op == OP_state && graph->kind == GRAPH_BODY) return fault(graph, id, why, "a body reads a state");
  return true;
}

static bool verify_interface(const Graph *graph, Text *why) {
  bool entry = graph->kind != GRAPH_BODY;
  for (int k = 0; k < graph->parameters.count; k++) {
    const Parameter *parameter = &graph->parameters.items[k];
    if (!type_belongs(graph->module, &parameter->type)) return fault(graph, 0, why, "a parameter of another module");
    if (parameter->has_default && parameter->type.rank > 0) return fault(graph, 0, why, "a default that is no scalar");
    if (entry && !parameter->name) return fault(graph, 0, why, "parameter %d has no name", k + 1);
    for (int j = 0; j < k && entry; j++) {
      if (strcmp(graph->parameters.items[j].name, parameter->name) == 0) {
        return fault(graph, 0, why, "two parameters '%s'", parameter->name);
      }
    }
  }
  for (int k = 0; k < graph->results.count; k++) {
    const Result *result = &graph->results.items[k];
    if (result->value <= 0 || result->value >= graph->nodes.count) return fault(graph, 0, why, "result %d is none", k + 1);
    if (graph_type(graph, result->value)->dtype == NONE) return fault(graph, 0, why, "result %d is a pair", k + 1);
    if (entry && !result->name) return fault(graph, 0, why, "result %d has no name", k + 1);
  }
  return true;
}

static bool verify_finals(const Graph *graph, Text *why) {
  if (graph->kind != GRAPH_STEP && graph->finals.count > 0) return fault(graph, 0, why, "only a step changes states");
  for (int k = 0; k < graph->finals.count; k++) {
    const Final *final = &graph->finals.items[k];
    if (final->symbol < 0 || final->symbol >= graph->module->symbols.count) return fault(graph, 0, why, "no such symbol");
    const Symbol *symbol = &graph->module->symbols.items[final->symbol];
    if (final->value <= 0 || final->value >= graph->nodes.count) {
      return fault(graph, 0, why, "the final of %s is none", symbol->name);
    }
    Type stored = symbol_stored(graph->module, symbol);
    if (!type_equal(graph_type(graph, final->value), &stored)) {
      return fault(graph, final->value, why, "%s is %s, its final %s", symbol->name, type_text(graph->module, &stored),
                   type_text(graph->module, graph_type(graph, final->value)));
    }
    for (int j = 0; j < k; j++) {
      if (graph->finals.items[j].symbol == final->symbol) return fault(graph, 0, why, "two finals of %s", symbol->name);
    }
  }
  return true;
}

bool graph_verify(const Graph *graph, Text *why) {
  for (Id id = 1; id < graph->nodes.count; id++) {
    if (!verify_node(graph, id, why)) return false;
  }
  for (int k = 0; k < graph->checks.count; k++) {
    if (!belongs(graph->module, graph->checks.items[k].dim)) return fault(graph, 0, why, "a check of another module");
  }
  return verify_interface(graph, why) && verify_finals(graph, why);
}

bool module_verify(const Module *module, Text *why) {
  for (int k = 0; k < module->symbols.count; k++) {
    const Symbol *symbol = &module->symbols.items[k];
    for (int axis = 0; axis < symbol->type.rank; axis++) {
      if (dim_is_constant(symbol->type.size[axis], NULL)) continue;
      if (why) text_add(why, "%s has a size that is not constant", symbol->name);
      return false;
    }
  }
  for (int k = 0; k < module->entries.count; k++) {
    if (!graph_verify(module->entries.items[k], why)) return false;
  }
  return true;
}
