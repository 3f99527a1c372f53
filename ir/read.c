/* Reads the text of a module (print.c) back.
 *
 * One pass, line by line, by recursive descent over the characters. The first fault is reported at its place and ends the
 * reading: a dump is written by nnc, or cut down by hand from one. Labels may have gaps but must rise; nodes get the next
 * free Id. Types are stated in the text and checked by the shape rules, so that what was read is well-formed. */
#include "ir/cursor.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef struct Reader {
  Cursor cursor;
  int depth; /* of nested bodies */
} Reader;

typedef struct Label {
  int64_t number;
  Id id;
} Label;
/* A graph in the reading, and what its labels stand for. */
typedef struct Body {
  Graph *graph;
  Vec(Label) labels;
} Body;

enum { MAX_BODIES = 100 };

/* "[1.0, 2.0]", as many as the type has elements. */
static const double *read_array(Reader *reader, int64_t *count) {
  Vec(double) values = {0};
  cursor_expect(&reader->cursor, "[");
  while (!reader->cursor.failed && !cursor_accept(&reader->cursor, "]")) {
    if (values.count > 0) cursor_expect(&reader->cursor, ",");
    PUSH(reader->cursor.arena, &values, cursor_number(&reader->cursor));
  }
  *count = values.count;
  return values.items ? values.items : NEW(reader->cursor.arena, double);
}

static void check_count(Reader *reader, const Type *type, int64_t count) {
  int64_t product = 1;
  for (int k = 0; k < type->rank; k++) {
    int64_t size;
    if (!dim_is_constant(type->size[k], &size) || !multiply_checked(product, size, &product)) product = -1;
  }
  if (product != count) cursor_refuse(&reader->cursor, "%lld numbers for another count of elements", (long long)count);
}

/* ---- spaces ---- */

static void read_map(Reader *reader, const Loops *loops, Map *map) {
  cursor_expect(&reader->cursor, "(");
  while (!reader->cursor.failed && !cursor_accept(&reader->cursor, ")")) {
    if (map->naxes > 0) cursor_expect(&reader->cursor, ",");
    if (map->naxes == MAX_RANK) {
      cursor_refuse(&reader->cursor, "a map has at most %d axes", MAX_RANK);
      return;
    }
    cursor_axis(&reader->cursor, loops, &map->axis[map->naxes++]);
  }
}

static const Space *read_space(Reader *reader, int nmaps) {
  Space *space = NEW(reader->cursor.arena, Space);
  Loops loops = {0};
  cursor_expect(&reader->cursor, "[");
  space->nresult = -1;
  while (!reader->cursor.failed && !cursor_accept(&reader->cursor, "]")) {
    if (space->nresult < 0 && cursor_accept(&reader->cursor, "|")) space->nresult = space->ndims;
    if (space->ndims == MAX_LOOPS) {
      cursor_refuse(&reader->cursor, "a space has at most %d dims", MAX_LOOPS);
      break;
    }
    loops.name[loops.count++] = cursor_name(&reader->cursor);
    cursor_expect(&reader->cursor, ":");
    space->extent[space->ndims++] = cursor_size(&reader->cursor);
  }
  if (space->nresult < 0) space->nresult = space->ndims;
  space->nmaps = nmaps;
  for (int k = 0; k < nmaps && !reader->cursor.failed; k++) read_map(reader, &loops, &space->map[k]);
  return space;
}

/* ---- nodes ---- */

static void read_graph(Reader *reader, Graph *graph);

static Id find_label(const Body *body, int64_t number) {
  int low = 0, high = body->labels.count;
  while (low < high) {
    int middle = low + (high - low) / 2;
    if (body->labels.items[middle].number < number) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < body->labels.count && body->labels.items[low].number == number ? body->labels.items[low].id : 0;
}

static Id read_value(Reader *reader, const Body *body) {
  const char *start = reader->cursor.at;
  cursor_expect(&reader->cursor, "%");
  int64_t number = cursor_integer(&reader->cursor);
  Id id = find_label(body, number);
  if (id == 0) {
    if (!reader->cursor.failed) reader->cursor.at = start;
    cursor_refuse(&reader->cursor, "no value %%%lld stands above", (long long)number);
  }
  return id;
}

static void read_operands(Reader *reader, const Body *body, Node *node) {
  Vec(Id) operands = {0};
  cursor_skip_blanks(&reader->cursor);
  while (*reader->cursor.at == '%' && !reader->cursor.failed) {
    PUSH(reader->cursor.arena, &operands, read_value(reader, body));
    cursor_skip_blanks(&reader->cursor);
  }
  node->noperands = operands.count;
  node->operands = operands.items;
}

static int read_symbol(Reader *reader) {
  const char *name = cursor_name(&reader->cursor);
  int symbol = module_find_symbol(reader->cursor.module, name);
  if (symbol < 0) cursor_refuse(&reader->cursor, "the module has no param or state '%s'", name);
  return symbol;
}

static const Scan *read_scan(Reader *reader, const Graph *outer) {
  Scan *scan = NEW(reader->cursor.arena, Scan);
  cursor_expect(&reader->cursor, "trips");
  scan->trips = cursor_size(&reader->cursor);
  cursor_expect(&reader->cursor, "carry");
  scan->ncarry = cursor_small(&reader->cursor);
  cursor_expect(&reader->cursor, "slice");
  scan->nslice = cursor_small(&reader->cursor);
  cursor_expect(&reader->cursor, "capture");
  scan->ncapture = cursor_small(&reader->cursor);
  cursor_expect(&reader->cursor, "yield");
  scan->nyield = cursor_small(&reader->cursor);
  scan->reverse = cursor_accept(&reader->cursor, "reverse");
  scan->body = graph_new(reader->cursor.module, outer->name, GRAPH_BODY);
  scan->body->place = cursor_place(&reader->cursor);
  /* so that sums of these counts stay inside an int */
  if (MAX(MAX(scan->ncarry, scan->nslice), MAX(scan->ncapture, scan->nyield)) > 1000000)
    cursor_refuse(&reader->cursor, "too many");
  return scan;
}

static int read_word_number(Reader *reader, const char *word) {
  cursor_expect(&reader->cursor, word);
  return cursor_small(&reader->cursor);
}

/* What stands between the operands and the type; count: of the numbers of an array. */
static void read_attribute(Reader *reader, const Graph *graph, Node *node, int64_t *count) {
  cursor_skip_blanks(&reader->cursor);
  switch (node->op) {
  case OP_constant:
    if (*reader->cursor.at == '[') {
      node->array = read_array(reader, count);
    } else {
      node->number = cursor_number(&reader->cursor);
    }
    break;
  case OP_arg:
  case OP_pick: node->index = cursor_small(&reader->cursor); break;
  case OP_state: node->index = read_symbol(reader); break;
  case OP_dim: node->dim = cursor_size(&reader->cursor); break;
  case OP_random: {
    cursor_expect(&reader->cursor, "stream");
    int64_t stream = cursor_integer(&reader->cursor);
    if (stream < 0 || stream > UINT32_MAX) cursor_refuse(&reader->cursor, "a stream has 32 bits");
    node->stream = (uint32_t)stream;
    break;
  }
  case OP_iota:
  case OP_concat:
  case OP_cumsum: node->index = read_word_number(reader, "axis"); break;
  case OP_gather:
  case OP_scatter:
    node->index = read_word_number(reader, "axis");
    node->batch = read_word_number(reader, "batch");
    break;
  case OP_scan: node->scan = read_scan(reader, graph); break;
  default: break;
  }
  cursor_skip_blanks(&reader->cursor);
  if (*reader->cursor.at == '[') node->space = read_space(reader, MIN(MAX(node->noperands, 0), 2));
  if (node->op == OP_view && cursor_accept(&reader->cursor, "fill")) node->number = cursor_number(&reader->cursor);
}

static void add_node(Reader *reader, Body *body, Node *node, int64_t number, int64_t count) {
  Graph *graph = body->graph;
  Text why = {0};
  Type type;
  if (node->array && !reader->cursor.failed) check_count(reader, &node->type, count);
  if (reader->cursor.failed) return;
  reader->cursor.at = reader->cursor.source->text + node->place->offset;
  if (!op_type(graph, node, &type, &why)) {
    cursor_refuse(&reader->cursor, "%s", why.bytes);
  } else if (!type_equal(&type, &node->type)) {
    cursor_refuse(&reader->cursor, "%s gives %s here", op_info[node->op].name, type_text(reader->cursor.module, &type));
  } else {
    Label label = {number, graph_add(graph, node)};
    PUSH(reader->cursor.arena, &body->labels, label);
  }
  text_free(&why);
}

static void read_node(Reader *reader, Body *body) {
  Node node = {.place = cursor_place(&reader->cursor)};
  int64_t count = 0;
  cursor_expect(&reader->cursor, "%");
  int64_t number = cursor_integer(&reader->cursor);
  int64_t last = body->labels.count > 0 ? body->labels.items[body->labels.count - 1].number : 0;
  if (number <= last) cursor_refuse(&reader->cursor, "the labels must rise");
  cursor_expect(&reader->cursor, "=");
  const char *op = cursor_name(&reader->cursor);
  node.op = op_by_name(op);
  if (node.op == OP_NONE) {
    cursor_refuse(&reader->cursor, "there is no op '%s'", op);
    return;
  }
  read_operands(reader, body, &node);
  read_attribute(reader, body->graph, &node, &count);
  cursor_expect(&reader->cursor, ":");
  node.type = cursor_type(&reader->cursor);
  cursor_skip_blanks(&reader->cursor);
  if (*reader->cursor.at == '"') node.name = cursor_quoted(&reader->cursor);
  if (node.scan) read_graph(reader, node.scan->body);
  cursor_expect_end(&reader->cursor);
  const char *end = reader->cursor.at;
  add_node(reader, body, &node, number, count);
  if (!reader->cursor.failed) reader->cursor.at = end;
}

/* ---- graphs ---- */

static void read_parameters(Reader *reader, Graph *graph) {
  cursor_expect(&reader->cursor, "(");
  while (!reader->cursor.failed && !cursor_accept(&reader->cursor, ")")) {
    if (graph->parameters.count > 0) cursor_expect(&reader->cursor, ",");
    Parameter parameter = {.place = cursor_place(&reader->cursor)};
    const char *name = cursor_name(&reader->cursor);
    parameter.name = strcmp(name, "_") == 0 ? NULL : name;
    cursor_expect(&reader->cursor, ":");
    parameter.type = cursor_type(&reader->cursor);
    if (cursor_accept(&reader->cursor, "=")) {
      parameter.has_default = true;
      parameter.fallback = cursor_number(&reader->cursor);
    }
    PUSH(reader->cursor.arena, &graph->parameters, parameter);
  }
  graph->draws = cursor_accept(&reader->cursor, "draws");
}

static void read_check(Reader *reader, Graph *graph) {
  EntryCheck check = {.place = cursor_place(&reader->cursor)};
  check.low = cursor_integer(&reader->cursor);
  cursor_expect(&reader->cursor, "<=");
  check.dim = cursor_size(&reader->cursor);
  cursor_expect(&reader->cursor, "<=");
  check.high = cursor_integer(&reader->cursor);
  check.what = cursor_quoted(&reader->cursor);
  PUSH(reader->cursor.arena, &graph->checks, check);
}

static void read_line(Reader *reader, Body *body) {
  Graph *graph = body->graph;
  if (*reader->cursor.at == '%') {
    read_node(reader, body);
    return;
  }
  if (cursor_accept(&reader->cursor, "result")) {
    Result result = {.name = cursor_name(&reader->cursor)};
    if (strcmp(result.name, "_") == 0) result.name = NULL;
    result.value = read_value(reader, body);
    PUSH(reader->cursor.arena, &graph->results, result);
  } else if (cursor_accept(&reader->cursor, "final")) {
    Final final = {.symbol = read_symbol(reader)};
    final.value = read_value(reader, body);
    PUSH(reader->cursor.arena, &graph->finals, final);
  } else if (cursor_accept(&reader->cursor, "check")) {
    read_check(reader, graph);
  } else {
    cursor_refuse(&reader->cursor, "expected a node, result, final, check or '}'");
  }
  cursor_expect_end(&reader->cursor);
}

/* From the parameters to the closing brace. */
static void read_graph(Reader *reader, Graph *graph) {
  Body body = {.graph = graph};
  if (++reader->depth > MAX_BODIES) cursor_refuse(&reader->cursor, "too many bodies inside each other");
  read_parameters(reader, graph);
  cursor_expect(&reader->cursor, "{");
  cursor_skip_lines(&reader->cursor);
  while (!reader->cursor.failed && !cursor_accept(&reader->cursor, "}")) {
    read_line(reader, &body);
    cursor_skip_lines(&reader->cursor);
  }
  reader->depth--;
}

/* ---- modules ---- */

static void read_dim_symbol(Reader *reader) {
  const Place *place = cursor_place(&reader->cursor);
  int64_t low = 1, step = 1;
  cursor_skip_blanks(&reader->cursor);
  if (*reader->cursor.at == '-' || isdigit((unsigned char)*reader->cursor.at)) {
    low = cursor_integer(&reader->cursor);
    cursor_expect(&reader->cursor, "<=");
  }
  const char *name = cursor_name(&reader->cursor);
  cursor_expect(&reader->cursor, "<=");
  int64_t high = cursor_integer(&reader->cursor);
  if (cursor_accept(&reader->cursor, "by")) step = cursor_integer(&reader->cursor);
  bool turn = cursor_accept(&reader->cursor, "turn");
  if (low > high || step < 1) cursor_refuse(&reader->cursor, "no size is left for '%s'", name);
  if (!isalpha((unsigned char)name[0]) && name[0] != '_')
    cursor_refuse(&reader->cursor, "a dim's name starts with a letter");
  for (int k = 0; k < reader->cursor.module->dims.count; k++) {
    if (reader->cursor.module->dims.items[k].name == name) cursor_refuse(&reader->cursor, "a second dim '%s'", name);
  }
  if (reader->cursor.failed) return;
  int symbol = module_add_dim(reader->cursor.module, name, low, high, step, place);
  reader->cursor.module->dims.items[symbol].turn = turn;
}

static Initialiser read_initialiser(Reader *reader, const Type *type) {
  Initialiser init = {.kind = INIT_NUMBER};
  int64_t count;
  cursor_skip_blanks(&reader->cursor);
  if (*reader->cursor.at == '[') {
    init.kind = INIT_ARRAY;
    init.array = read_array(reader, &count);
    check_count(reader, type, count);
    return init;
  }
  if (cursor_accept(&reader->cursor, "uniform")) init.kind = INIT_UNIFORM;
  if (cursor_accept(&reader->cursor, "normal")) init.kind = INIT_NORMAL;
  if (cursor_accept(&reader->cursor, "orthogonal")) init.kind = INIT_ORTHOGONAL;
  if (init.kind != INIT_NUMBER) cursor_expect(&reader->cursor, "(");
  init.a = cursor_number(&reader->cursor);
  if (init.kind == INIT_UNIFORM) {
    cursor_expect(&reader->cursor, ",");
    init.b = cursor_number(&reader->cursor);
  }
  if (init.kind != INIT_NUMBER) cursor_expect(&reader->cursor, ")");
  return init;
}

/* Behind "order": each axis once. */
static void read_order(Reader *reader, Symbol *symbol) {
  uint32_t seen = 0;
  for (int k = 0; k < symbol->type.rank; k++) {
    int64_t axis = cursor_integer(&reader->cursor);
    if (axis < 0 || axis >= symbol->type.rank || seen >> axis & 1) {
      cursor_refuse(&reader->cursor, "an order names each axis once");
      return;
    }
    symbol->order[k] = (int8_t)axis;
    seen |= (uint32_t)1 << axis;
  }
  symbol->reordered = true;
}

/* Behind "panel": a part of the last axis in memory. */
static void read_panel(Reader *reader, Symbol *symbol) {
  int64_t panel = cursor_integer(&reader->cursor), rank = symbol->type.rank;
  if (reader->cursor.failed) return;
  int last = rank == 0 ? 0 : symbol->reordered ? symbol->order[rank - 1] : (int)rank - 1;
  if (rank == 0 || rank == MAX_RANK || panel < 1 || panel > INT32_MAX || symbol->type.size[last]->value % panel != 0) {
    cursor_refuse(&reader->cursor, "a panel is a part of the last axis");
    return;
  }
  symbol->panel = (int)panel;
}

static void read_module_symbol(Reader *reader, bool trainable) {
  const Place *place = cursor_place(&reader->cursor);
  const char *name = cursor_name(&reader->cursor);
  Symbol ordered = {.type = cursor_type(&reader->cursor)};
  for (int k = 0; k < ordered.type.rank; k++) {
    if (!dim_is_constant(ordered.type.size[k], NULL))
      cursor_refuse(&reader->cursor, "the sizes of '%s' are not constant", name);
  }
  if (cursor_accept(&reader->cursor, "order")) read_order(reader, &ordered);
  if (cursor_accept(&reader->cursor, "panel")) read_panel(reader, &ordered);
  cursor_expect(&reader->cursor, "=");
  Initialiser init = read_initialiser(reader, &ordered.type);
  if (module_find_symbol(reader->cursor.module, name) >= 0) cursor_refuse(&reader->cursor, "a second '%s'", name);
  if (reader->cursor.failed) return;
  int index = module_add_symbol(reader->cursor.module, name, ordered.type, trainable, init, place);
  Symbol *symbol = &reader->cursor.module->symbols.items[index];
  symbol->reordered = ordered.reordered;
  symbol->panel = ordered.panel;
  memcpy(symbol->order, ordered.order, sizeof symbol->order);
}

static void read_entry(Reader *reader, GraphKind kind) {
  const Place *place = cursor_place(&reader->cursor);
  const char *name = cursor_name(&reader->cursor);
  if (module_find_entry(reader->cursor.module, name)) cursor_refuse(&reader->cursor, "a second entry '%s'", name);
  Graph *graph = graph_new(reader->cursor.module, name, kind);
  graph->place = place;
  read_graph(reader, graph);
  PUSH(reader->cursor.arena, &reader->cursor.module->entries, graph);
  Text why = {0};
  if (!reader->cursor.failed && !graph_verify(graph, &why)) {
    error_at(reader->cursor.diagnostics, place, "%s", why.bytes);
    reader->cursor.failed = true;
  }
  text_free(&why);
}

Module *module_read(Arena *arena, Diagnostics *diagnostics, const Source *source) {
  Cursor start = {.arena = arena, .diagnostics = diagnostics, .source = source, .at = source->text};
  Reader reader = {.cursor = start};
  cursor_skip_lines(&reader.cursor);
  cursor_expect(&reader.cursor, "module");
  reader.cursor.module = module_new(arena, diagnostics, cursor_name(&reader.cursor));
  cursor_skip_lines(&reader.cursor);
  while (!reader.cursor.failed && *reader.cursor.at) {
    if (cursor_accept(&reader.cursor, "dim")) {
      read_dim_symbol(&reader);
    } else if (cursor_accept(&reader.cursor, "param")) {
      read_module_symbol(&reader, true);
    } else if (cursor_accept(&reader.cursor, "state")) {
      read_module_symbol(&reader, false);
    } else if (cursor_accept(&reader.cursor, "fn")) {
      read_entry(&reader, GRAPH_FN);
    } else if (cursor_accept(&reader.cursor, "step")) {
      read_entry(&reader, GRAPH_STEP);
    } else {
      cursor_refuse(&reader.cursor, "expected dim, param, state, fn or step");
    }
    cursor_expect_end(&reader.cursor);
    cursor_skip_lines(&reader.cursor);
  }
  return reader.cursor.failed ? NULL : reader.cursor.module;
}
