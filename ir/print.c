/* The text of a module: what --dump shows and read.c reads back, to the same text.
 *
 *     module lenet
 *     dim N <= 256
 *     param net.conv1.w f32[6, 1, 5, 5] = uniform(-0.2, 0.2)
 *     step train(x: f32[N, 1, 28, 28], y: i32[N], lr: f32[] = 0.01) {
 *       %1 = arg 0 : f32[N, 1, 28, 28] "x"
 *       %5 = contract %3 %4 [a:N b:6 c:24 | d:5] (a, c + d) (b, d) : f32[N, 6, 24] "z"
 *       result loss %99
 *       final net.conv1.w %120
 *     }
 *
 * A line is a node: its operands, then its attribute, its type, the name that the program gave it. The dims of a space are
 * letters; those before the bar are the result's axes. Places are not printed: a module that was read has its own. */
#include "ir/ir.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

/* Plain if the reader can tell where it ends, quoted otherwise. */
static void print_name(const char *name, bool quoted, Text *out) {
  bool plain = *name != 0;
  for (const char *at = name; *at; at++) plain = plain && (isalnum((unsigned char)*at) || *at == '_' || *at == '.');
  if (plain && !quoted) {
    text_add(out, "%s", name);
    return;
  }
  text_add(out, "\"");
  for (const char *at = name; *at; at++) {
    if (*at == '"' || *at == '\\') text_add(out, "\\");
    if (*at == '\n') {
      text_add(out, "\\n");
    } else {
      text_add(out, "%c", *at);
    }
  }
  text_add(out, "\"");
}

/* ---- spaces ---- */

/* The letter of a dim, with an underscore if a size of the model has that name. */
static void print_loop(const Module *module, int dim, Text *out) {
  char letter[2] = {(char)('a' + dim), 0};
  bool taken = false;
  for (int k = 0; k < module->dims.count; k++) taken = taken || strcmp(module->dims.items[k].name, letter) == 0;
  text_add(out, "%s%s", letter, taken ? "_" : "");
}

static void print_axis_sum(const Module *module, const Axis *axis, Text *out) {
  for (int k = 0; k < axis->nterms; k++) {
    int64_t coefficient = axis->coefficient[k];
    uint64_t size = coefficient < 0 ? 0 - (uint64_t)coefficient : (uint64_t)coefficient;
    text_add(out, "%s", k == 0 ? (coefficient < 0 ? "-" : "") : (coefficient < 0 ? " - " : " + "));
    if (size != 1) text_add(out, "%llu*", (unsigned long long)size);
    print_loop(module, axis->dim[k], out);
  }
  if (axis->nterms > 0 && dim_is(axis->offset, 0)) return;
  Text offset = {0};
  dim_print(module, axis->offset, &offset);
  bool negative = offset.bytes[0] == '-';
  if (axis->nterms == 0) {
    text_add(out, "%s", offset.bytes);
  } else {
    text_add(out, negative ? " - %s" : " + %s", offset.bytes + (negative ? 1 : 0));
  }
  text_free(&offset);
}

void space_print(const Module *module, const Space *space, Text *out) {
  text_add(out, "[");
  for (int k = 0; k < space->ndims; k++) {
    if (k > 0) text_add(out, " ");
    if (k == space->nresult) text_add(out, "| ");
    print_loop(module, k, out);
    text_add(out, ":");
    dim_print(module, space->extent[k], out);
  }
  text_add(out, "]");
  for (int operand = 0; operand < space->nmaps; operand++) {
    const Map *map = &space->map[operand];
    text_add(out, " (");
    for (int k = 0; k < map->naxes; k++) {
      const Axis *axis = &map->axis[k];
      if (k > 0) text_add(out, ", ");
      if (axis->divisor != 1) text_add(out, "(");
      print_axis_sum(module, axis, out);
      if (axis->divisor != 1) text_add(out, ")/%lld", (long long)axis->divisor);
    }
    text_add(out, ")");
  }
}

/* ---- nodes ---- */

static void print_graph(const Graph *graph, int depth, Text *out);

static void print_array(const double *array, int64_t count, Text *out) {
  text_add(out, "[");
  for (int64_t k = 0; k < count; k++) {
    if (k > 0) text_add(out, ", ");
    text_add_number(out, array[k], false);
  }
  text_add(out, "]");
}

static int64_t constant_count(const Type *type) {
  int64_t count = 1;
  for (int k = 0; k < type->rank; k++) {
    int64_t size;
    if (!dim_is_constant(type->size[k], &size) || !multiply_checked(count, size, &count)) {
      bug("an array of sizes that are not constant");
    }
  }
  return count;
}

static void print_scan(const Module *module, const Scan *scan, Text *out) {
  text_add(out, " trips ");
  dim_print(module, scan->trips, out);
  text_add(out, " carry %d slice %d capture %d yield %d", scan->ncarry, scan->nslice, scan->ncapture, scan->nyield);
  if (scan->reverse) text_add(out, " reverse");
}

static void print_attribute(const Module *module, const Node *node, Text *out) {
  switch (node->op) {
  case OP_constant:
    text_add(out, " ");
    if (node->array) {
      print_array(node->array, constant_count(&node->type), out);
    } else {
      text_add_number(out, node->number, false);
    }
    break;
  case OP_arg:
  case OP_pick: text_add(out, " %d", node->index); break;
  case OP_state:
    text_add(out, " ");
    print_name(module->symbols.items[node->index].name, false, out);
    break;
  case OP_dim:
    text_add(out, " ");
    dim_print(module, node->dim, out);
    break;
  case OP_random: text_add(out, " stream %lu", (unsigned long)node->stream); break;
  case OP_iota:
  case OP_concat:
  case OP_cumsum: text_add(out, " axis %d", node->index); break;
  case OP_gather:
  case OP_scatter: text_add(out, " axis %d batch %d", node->index, node->batch); break;
  case OP_scan: print_scan(module, node->scan, out); break;
  default: break;
  }
  if (node->space) {
    text_add(out, " ");
    space_print(module, node->space, out);
  }
  if (node->op == OP_view && (node->number != 0 || signbit(node->number))) {
    text_add(out, " fill ");
    text_add_number(out, node->number, false);
  }
}

static void indent(int depth, Text *out) {
  for (int k = 0; k < depth; k++) text_add(out, "  ");
}

static void print_node(const Graph *graph, Id id, int depth, Text *out) {
  const Node *node = graph_node(graph, id);
  indent(depth, out);
  text_add(out, "%%%d = %s", id, op_info[node->op].name);
  for (int k = 0; k < node->noperands; k++) text_add(out, " %%%d", node->operands[k]);
  print_attribute(graph->module, node, out);
  text_add(out, " : ");
  type_print(graph->module, &node->type, out);
  if (node->name) {
    text_add(out, " ");
    print_name(node->name, true, out);
  }
  if (node->op == OP_scan) {
    text_add(out, " ");
    print_graph(node->scan->body, depth, out);
  }
  text_add(out, "\n");
}

/* ---- graphs ---- */

static void print_parameters(const Graph *graph, Text *out) {
  text_add(out, "(");
  for (int k = 0; k < graph->parameters.count; k++) {
    const Parameter *parameter = &graph->parameters.items[k];
    if (k > 0) text_add(out, ", ");
    print_name(parameter->name ? parameter->name : "_", false, out);
    text_add(out, ": ");
    type_print(graph->module, &parameter->type, out);
    if (parameter->has_default) {
      text_add(out, " = ");
      text_add_number(out, parameter->fallback, false);
    }
  }
  text_add(out, ")%s {\n", graph->draws ? " draws" : "");
}

/* From the parameters to the closing brace. */
static void print_graph(const Graph *graph, int depth, Text *out) {
  const Module *module = graph->module;
  print_parameters(graph, out);
  for (Id id = 1; id < graph->nodes.count; id++) print_node(graph, id, depth + 1, out);
  for (int k = 0; k < graph->results.count; k++) {
    const Result *result = &graph->results.items[k];
    indent(depth + 1, out);
    text_add(out, "result ");
    print_name(result->name ? result->name : "_", false, out);
    text_add(out, " %%%d\n", result->value);
  }
  for (int k = 0; k < graph->finals.count; k++) {
    indent(depth + 1, out);
    text_add(out, "final ");
    print_name(module->symbols.items[graph->finals.items[k].symbol].name, false, out);
    text_add(out, " %%%d\n", graph->finals.items[k].value);
  }
  for (int k = 0; k < graph->checks.count; k++) {
    const EntryCheck *check = &graph->checks.items[k];
    indent(depth + 1, out);
    text_add(out, "check %lld <= ", (long long)check->low);
    dim_print(module, check->dim, out);
    text_add(out, " <= %lld ", (long long)check->high);
    print_name(check->what ? check->what : "", true, out);
    text_add(out, "\n");
  }
  indent(depth, out);
  text_add(out, "}");
}

void graph_print(const Graph *graph, Text *out) {
  static const char *const kinds[] = {[GRAPH_FN] = "fn", [GRAPH_STEP] = "step", [GRAPH_BODY] = "body"};
  text_add(out, "%s ", kinds[graph->kind]);
  print_name(graph->name, false, out);
  print_graph(graph, 0, out);
  text_add(out, "\n");
}

/* ---- modules ---- */

static void print_dim_symbol(const DimSymbol *symbol, Text *out) {
  text_add(out, "dim ");
  if (symbol->low != 1) text_add(out, "%lld <= ", (long long)symbol->low);
  text_add(out, "%s <= %lld", symbol->name, (long long)symbol->high);
  if (symbol->step != 1) text_add(out, " by %lld", (long long)symbol->step);
  text_add(out, "%s\n", symbol->turn ? " turn" : "");
}

static void print_initialiser(const Symbol *symbol, Text *out) {
  const Initialiser *init = &symbol->init;
  switch (init->kind) {
  case INIT_NUMBER: text_add_number(out, init->a, false); return;
  case INIT_UNIFORM: text_add(out, "uniform("); break;
  case INIT_NORMAL: text_add(out, "normal("); break;
  case INIT_ORTHOGONAL: text_add(out, "orthogonal("); break;
  case INIT_ARRAY: print_array(init->array, constant_count(&symbol->type), out); return;
  }
  text_add_number(out, init->a, false);
  if (init->kind == INIT_UNIFORM) {
    text_add(out, ", ");
    text_add_number(out, init->b, false);
  }
  text_add(out, ")");
}

void module_print(const Module *module, Text *out) {
  text_add(out, "module ");
  print_name(module->name, false, out);
  text_add(out, "\n");
  for (int k = 0; k < module->dims.count; k++) print_dim_symbol(&module->dims.items[k], out);
  for (int k = 0; k < module->symbols.count; k++) {
    const Symbol *symbol = &module->symbols.items[k];
    text_add(out, symbol->trainable ? "param " : "state ");
    print_name(symbol->name, false, out);
    text_add(out, " ");
    type_print(module, &symbol->type, out);
    for (int axis = 0; symbol->reordered && axis < symbol->type.rank; axis++) {
      text_add(out, "%s%d", axis == 0 ? " order " : " ", symbol->order[axis]);
    }
    if (symbol->panel) text_add(out, " panel %d", symbol->panel);
    text_add(out, " = ");
    print_initialiser(symbol, out);
    text_add(out, "\n");
  }
  for (int k = 0; k < module->entries.count; k++) graph_print(module->entries.items[k], out);
}
