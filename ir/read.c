/* Reads the text of a module (print.c) back.
 *
 * One pass, line by line, by recursive descent over the characters. The first fault is reported at its place and ends the
 * reading: a dump is written by nnc, or cut down by hand from one. Labels may have gaps but must rise; nodes get the next
 * free Id. Types are stated in the text and checked by the shape rules, so that what was read is well-formed. */
#include "ir/ir.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef struct Reader {
  Module *module;
  Arena *arena;
  Diagnostics *diagnostics;
  const Source *source;
  const char *at;
  bool failed;
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

/* ---- characters ---- */

static const Place *place_here(const Reader *reader) {
  Place place = {.source = reader->source, .offset = (uint32_t)(reader->at - reader->source->text)};
  return arena_copy(reader->arena, &place, sizeof place);
}

static bool refuse(Reader *reader, const char *format, ...) PRINTF_LIKE(2, 3);
static bool refuse(Reader *reader, const char *format, ...) {
  va_list list;
  if (reader->failed) return false;
  reader->failed = true;
  va_start(list, format);
  error_at(reader->diagnostics, place_here(reader), "%s", arena_format_list(reader->arena, format, list));
  va_end(list);
  return false;
}

static void skip_blanks(Reader *reader) {
  while (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\r') reader->at++;
}

static void skip_lines(Reader *reader) {
  for (;;) {
    skip_blanks(reader);
    if (*reader->at == '#') {
      while (*reader->at && *reader->at != '\n') reader->at++;
    }
    if (*reader->at != '\n') return;
    reader->at++;
  }
}

/* True, and past it, if the text goes on with `mark` (a word must end there). */
static bool accept(Reader *reader, const char *mark) {
  size_t length = strlen(mark);
  skip_blanks(reader);
  if (reader->failed || strncmp(reader->at, mark, length) != 0) return false;
  if (isalpha((unsigned char)mark[0]) && (isalnum((unsigned char)reader->at[length]) || reader->at[length] == '_')) {
    return false;
  }
  reader->at += length;
  return true;
}

static bool expect(Reader *reader, const char *mark) {
  return accept(reader, mark) || refuse(reader, "expected '%s'", mark);
}

static void expect_end(Reader *reader) {
  skip_blanks(reader);
  if (*reader->at != '\n' && *reader->at != 0 && *reader->at != '#') refuse(reader, "expected the end of the line");
}

static int64_t read_integer(Reader *reader) {
  skip_blanks(reader);
  bool negative = *reader->at == '-';
  const char *digits = reader->at + (negative ? 1 : 0);
  int64_t value = 0;
  if (!isdigit((unsigned char)*digits)) {
    refuse(reader, "expected a whole number");
    return 0;
  }
  for (; isdigit((unsigned char)*digits); digits++) {
    int digit = *digits - '0';
    if (!multiply_checked(value, 10, &value) || !add_checked(value, negative ? -digit : digit, &value)) {
      refuse(reader, "the number leaves 64 bits");
      return 0;
    }
  }
  reader->at = digits;
  return value;
}

static int read_small(Reader *reader) {
  int64_t value = read_integer(reader);
  if (value < 0 || value > INT_MAX) refuse(reader, "expected a small whole number");
  return reader->failed ? 0 : (int)value;
}

static double read_number(Reader *reader) {
  char *end;
  skip_blanks(reader);
  double value = strtod(reader->at, &end);
  if (end == reader->at) refuse(reader, "expected a number");
  reader->at = end;
  return value;
}

static const char *read_quoted(Reader *reader) {
  Text text = {0};
  text_add(&text, "%s", "");
  if (expect(reader, "\"")) {
    while (*reader->at && *reader->at != '"' && *reader->at != '\n') {
      char letter = *reader->at++;
      if (letter == '\\' && *reader->at) {
        letter = *reader->at++;
        if (letter == 'n') letter = '\n';
      }
      text_add_bytes(&text, &letter, 1);
    }
    expect(reader, "\"");
  }
  const char *name = intern_length(text.bytes, text.length);
  text_free(&text);
  return name;
}

static const char *read_name(Reader *reader) {
  skip_blanks(reader);
  if (*reader->at == '"') return read_quoted(reader);
  size_t length = 0;
  const char *start = reader->at;
  while (isalnum((unsigned char)start[length]) || start[length] == '_' || start[length] == '.') length++;
  if (length == 0) refuse(reader, "expected a name");
  reader->at += length;
  return intern_length(start, length);
}

static const Dim *read_size(Reader *reader) {
  skip_blanks(reader);
  const char *end = reader->at;
  const Dim *dim = dim_read(reader->module, &end);
  if (!dim) refuse(reader, "expected a size over the dims of the module");
  reader->at = end;
  return reader->failed ? dim_constant(reader->module, 1) : dim;
}

static Dtype read_dtype(Reader *reader) {
  for (Dtype dtype = NONE; dtype <= BOOL; dtype = (Dtype)(dtype + 1)) {
    if (accept(reader, dtype_name(dtype))) return dtype;
  }
  refuse(reader, "expected f32, i32 or bool");
  return NONE;
}

static Type read_type(Reader *reader) {
  Type type = {.dtype = read_dtype(reader)};
  if (type.dtype == NONE || !expect(reader, "[")) return type;
  while (!reader->failed && !accept(reader, "]")) {
    if (type.rank > 0) expect(reader, ",");
    if (type.rank == MAX_RANK) {
      refuse(reader, "a tensor has at most %d axes", MAX_RANK);
      return type;
    }
    type.size[type.rank++] = read_size(reader);
  }
  return type;
}

/* "[1.0, 2.0]", as many as the type has elements. */
static const double *read_array(Reader *reader, int64_t *count) {
  Vec(double) values = {0};
  expect(reader, "[");
  while (!reader->failed && !accept(reader, "]")) {
    if (values.count > 0) expect(reader, ",");
    PUSH(reader->arena, &values, read_number(reader));
  }
  *count = values.count;
  return values.items ? values.items : NEW(reader->arena, double);
}

static void check_count(Reader *reader, const Type *type, int64_t count) {
  int64_t product = 1;
  for (int k = 0; k < type->rank; k++) {
    int64_t size;
    if (!dim_is_constant(type->size[k], &size) || !multiply_checked(product, size, &product)) product = -1;
  }
  if (product != count) refuse(reader, "%lld numbers for another count of elements", (long long)count);
}

/* ---- spaces ---- */

typedef struct Loops {
  const char *name[MAX_LOOPS];
  int count;
} Loops;

/* The dim that the text names here, past it; -1 if it names none. */
static int accept_loop(Reader *reader, const Loops *loops) {
  skip_blanks(reader);
  size_t length = 0;
  while (isalnum((unsigned char)reader->at[length]) || reader->at[length] == '_') length++;
  for (int k = 0; k < loops->count; k++) {
    if (strlen(loops->name[k]) == length && memcmp(loops->name[k], reader->at, length) == 0) {
      reader->at += length;
      return k;
    }
  }
  return -1;
}

/* "a", "-2*a": true and past it if a term by a dim stands here. */
static bool accept_axis_term(Reader *reader, const Loops *loops, Axis *axis) {
  const char *start = reader->at;
  bool negative = accept(reader, "-");
  int64_t coefficient = 1;
  if (!negative && axis->nterms > 0) accept(reader, "+");
  skip_blanks(reader);
  if (isdigit((unsigned char)*reader->at)) {
    coefficient = read_integer(reader);
    if (!accept(reader, "*")) {
      reader->at = start;
      return false;
    }
  }
  int dim = accept_loop(reader, loops);
  if (dim < 0 || reader->failed) {
    reader->at = start;
    return false;
  }
  if (axis->nterms == 2) return refuse(reader, "an axis has at most two dims");
  axis->dim[axis->nterms] = dim;
  axis->coefficient[axis->nterms++] = negative ? -coefficient : coefficient;
  return true;
}

/* True if the bracket that opens here closes before a single '/'. */
static bool is_divided(const Reader *reader) {
  int depth = 0;
  if (*reader->at != '(') return false;
  for (const char *at = reader->at; *at && *at != '\n'; at++) {
    if (*at == '(') depth++;
    if (*at == ')' && --depth == 0) return at[1] == '/' && at[2] != '/';
  }
  return false;
}

static void read_axis(Reader *reader, const Loops *loops, Axis *axis) {
  skip_blanks(reader);
  bool divided = is_divided(reader);
  *axis = (Axis){.offset = dim_constant(reader->module, 0), .divisor = 1};
  if (divided) expect(reader, "(");
  while (!reader->failed && accept_axis_term(reader, loops, axis)) continue;
  skip_blanks(reader);
  if (axis->nterms == 0 || *reader->at == '+' || *reader->at == '-') {
    if (axis->nterms > 0) accept(reader, "+");
    axis->offset = read_size(reader);
  }
  if (!divided) return;
  expect(reader, ")");
  expect(reader, "/");
  axis->divisor = read_integer(reader);
}

static void read_map(Reader *reader, const Loops *loops, Map *map) {
  expect(reader, "(");
  while (!reader->failed && !accept(reader, ")")) {
    if (map->naxes > 0) expect(reader, ",");
    if (map->naxes == MAX_RANK) {
      refuse(reader, "a map has at most %d axes", MAX_RANK);
      return;
    }
    read_axis(reader, loops, &map->axis[map->naxes++]);
  }
}

static const Space *read_space(Reader *reader, int nmaps) {
  Space *space = NEW(reader->arena, Space);
  Loops loops = {0};
  expect(reader, "[");
  space->nresult = -1;
  while (!reader->failed && !accept(reader, "]")) {
    if (space->nresult < 0 && accept(reader, "|")) space->nresult = space->ndims;
    if (space->ndims == MAX_LOOPS) {
      refuse(reader, "a space has at most %d dims", MAX_LOOPS);
      break;
    }
    loops.name[loops.count++] = read_name(reader);
    expect(reader, ":");
    space->extent[space->ndims++] = read_size(reader);
  }
  if (space->nresult < 0) space->nresult = space->ndims;
  space->nmaps = nmaps;
  for (int k = 0; k < nmaps && !reader->failed; k++) read_map(reader, &loops, &space->map[k]);
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
  const char *start = reader->at;
  expect(reader, "%");
  int64_t number = read_integer(reader);
  Id id = find_label(body, number);
  if (id == 0) {
    if (!reader->failed) reader->at = start;
    refuse(reader, "no value %%%lld stands above", (long long)number);
  }
  return id;
}

static void read_operands(Reader *reader, const Body *body, Node *node) {
  Vec(Id) operands = {0};
  skip_blanks(reader);
  while (*reader->at == '%' && !reader->failed) {
    PUSH(reader->arena, &operands, read_value(reader, body));
    skip_blanks(reader);
  }
  node->noperands = operands.count;
  node->operands = operands.items;
}

static int read_symbol(Reader *reader) {
  const char *name = read_name(reader);
  int symbol = module_find_symbol(reader->module, name);
  if (symbol < 0) refuse(reader, "the module has no param or state '%s'", name);
  return symbol;
}

static const Scan *read_scan(Reader *reader, const Graph *outer) {
  Scan *scan = NEW(reader->arena, Scan);
  expect(reader, "trips");
  scan->trips = read_size(reader);
  expect(reader, "carry");
  scan->ncarry = read_small(reader);
  expect(reader, "slice");
  scan->nslice = read_small(reader);
  expect(reader, "capture");
  scan->ncapture = read_small(reader);
  expect(reader, "yield");
  scan->nyield = read_small(reader);
  scan->reverse = accept(reader, "reverse");
  scan->body = graph_new(reader->module, outer->name, GRAPH_BODY);
  scan->body->place = place_here(reader);
  /* so that sums of these counts stay inside an int */
  if (MAX(MAX(scan->ncarry, scan->nslice), MAX(scan->ncapture, scan->nyield)) > 1000000) refuse(reader, "too many");
  return scan;
}

static int read_word_number(Reader *reader, const char *word) {
  expect(reader, word);
  return read_small(reader);
}

/* What stands between the operands and the type; count: of the numbers of an array. */
static void read_attribute(Reader *reader, const Graph *graph, Node *node, int64_t *count) {
  skip_blanks(reader);
  switch (node->op) {
  case OP_constant:
    if (*reader->at == '[') {
      node->array = read_array(reader, count);
    } else {
      node->number = read_number(reader);
    }
    break;
  case OP_arg:
  case OP_pick: node->index = read_small(reader); break;
  case OP_state: node->index = read_symbol(reader); break;
  case OP_dim: node->dim = read_size(reader); break;
  case OP_random: {
    expect(reader, "stream");
    int64_t stream = read_integer(reader);
    if (stream < 0 || stream > UINT32_MAX) refuse(reader, "a stream has 32 bits");
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
  skip_blanks(reader);
  if (*reader->at == '[') node->space = read_space(reader, MIN(MAX(node->noperands, 0), 2));
  if (node->op == OP_view && accept(reader, "fill")) node->number = read_number(reader);
}

static void add_node(Reader *reader, Body *body, Node *node, int64_t number, int64_t count) {
  Graph *graph = body->graph;
  Text why = {0};
  Type type;
  if (node->array && !reader->failed) check_count(reader, &node->type, count);
  if (reader->failed) return;
  reader->at = reader->source->text + node->place->offset;
  if (!op_type(graph, node, &type, &why)) {
    refuse(reader, "%s", why.bytes);
  } else if (!type_equal(&type, &node->type)) {
    refuse(reader, "%s gives %s here", op_info[node->op].name, type_text(reader->module, &type));
  } else {
    Label label = {number, graph_add(graph, node)};
    PUSH(reader->arena, &body->labels, label);
  }
  text_free(&why);
}

static void read_node(Reader *reader, Body *body) {
  Node node = {.place = place_here(reader)};
  int64_t count = 0;
  expect(reader, "%");
  int64_t number = read_integer(reader);
  int64_t last = body->labels.count > 0 ? body->labels.items[body->labels.count - 1].number : 0;
  if (number <= last) refuse(reader, "the labels must rise");
  expect(reader, "=");
  const char *op = read_name(reader);
  node.op = op_by_name(op);
  if (node.op == OP_NONE) {
    refuse(reader, "there is no op '%s'", op);
    return;
  }
  read_operands(reader, body, &node);
  read_attribute(reader, body->graph, &node, &count);
  expect(reader, ":");
  node.type = read_type(reader);
  skip_blanks(reader);
  if (*reader->at == '"') node.name = read_quoted(reader);
  if (node.scan) read_graph(reader, node.scan->body);
  expect_end(reader);
  const char *end = reader->at;
  add_node(reader, body, &node, number, count);
  if (!reader->failed) reader->at = end;
}

/* ---- graphs ---- */

static void read_parameters(Reader *reader, Graph *graph) {
  expect(reader, "(");
  while (!reader->failed && !accept(reader, ")")) {
    if (graph->parameters.count > 0) expect(reader, ",");
    Parameter parameter = {.place = place_here(reader)};
    const char *name = read_name(reader);
    parameter.name = strcmp(name, "_") == 0 ? NULL : name;
    expect(reader, ":");
    parameter.type = read_type(reader);
    if (accept(reader, "=")) {
      parameter.has_default = true;
      parameter.fallback = read_number(reader);
    }
    PUSH(reader->arena, &graph->parameters, parameter);
  }
  graph->draws = accept(reader, "draws");
}

static void read_check(Reader *reader, Graph *graph) {
  EntryCheck check = {.place = place_here(reader)};
  check.low = read_integer(reader);
  expect(reader, "<=");
  check.dim = read_size(reader);
  expect(reader, "<=");
  check.high = read_integer(reader);
  check.what = read_quoted(reader);
  PUSH(reader->arena, &graph->checks, check);
}

static void read_line(Reader *reader, Body *body) {
  Graph *graph = body->graph;
  if (*reader->at == '%') {
    read_node(reader, body);
    return;
  }
  if (accept(reader, "result")) {
    Result result = {.name = read_name(reader)};
    if (strcmp(result.name, "_") == 0) result.name = NULL;
    result.value = read_value(reader, body);
    PUSH(reader->arena, &graph->results, result);
  } else if (accept(reader, "final")) {
    Final final = {.symbol = read_symbol(reader)};
    final.value = read_value(reader, body);
    PUSH(reader->arena, &graph->finals, final);
  } else if (accept(reader, "check")) {
    read_check(reader, graph);
  } else {
    refuse(reader, "expected a node, result, final, check or '}'");
  }
  expect_end(reader);
}

/* From the parameters to the closing brace. */
static void read_graph(Reader *reader, Graph *graph) {
  Body body = {.graph = graph};
  if (++reader->depth > MAX_BODIES) refuse(reader, "too many bodies inside each other");
  read_parameters(reader, graph);
  expect(reader, "{");
  skip_lines(reader);
  while (!reader->failed && !accept(reader, "}")) {
    read_line(reader, &body);
    skip_lines(reader);
  }
  reader->depth--;
}

/* ---- modules ---- */

static void read_dim_symbol(Reader *reader) {
  const Place *place = place_here(reader);
  int64_t low = 1, step = 1;
  skip_blanks(reader);
  if (*reader->at == '-' || isdigit((unsigned char)*reader->at)) {
    low = read_integer(reader);
    expect(reader, "<=");
  }
  const char *name = read_name(reader);
  expect(reader, "<=");
  int64_t high = read_integer(reader);
  if (accept(reader, "by")) step = read_integer(reader);
  bool turn = accept(reader, "turn");
  if (low > high || step < 1) refuse(reader, "no size is left for '%s'", name);
  if (!isalpha((unsigned char)name[0]) && name[0] != '_') refuse(reader, "a dim's name starts with a letter");
  for (int k = 0; k < reader->module->dims.count; k++) {
    if (reader->module->dims.items[k].name == name) refuse(reader, "a second dim '%s'", name);
  }
  if (reader->failed) return;
  int symbol = module_add_dim(reader->module, name, low, high, step, place);
  reader->module->dims.items[symbol].turn = turn;
}

static Initialiser read_initialiser(Reader *reader, const Type *type) {
  Initialiser init = {.kind = INIT_NUMBER};
  int64_t count;
  skip_blanks(reader);
  if (*reader->at == '[') {
    init.kind = INIT_ARRAY;
    init.array = read_array(reader, &count);
    check_count(reader, type, count);
    return init;
  }
  if (accept(reader, "uniform")) init.kind = INIT_UNIFORM;
  if (accept(reader, "normal")) init.kind = INIT_NORMAL;
  if (accept(reader, "orthogonal")) init.kind = INIT_ORTHOGONAL;
  if (init.kind != INIT_NUMBER) expect(reader, "(");
  init.a = read_number(reader);
  if (init.kind == INIT_UNIFORM) {
    expect(reader, ",");
    init.b = read_number(reader);
  }
  if (init.kind != INIT_NUMBER) expect(reader, ")");
  return init;
}

/* Behind "order": each axis once. */
static void read_order(Reader *reader, Symbol *symbol) {
  uint32_t seen = 0;
  for (int k = 0; k < symbol->type.rank; k++) {
    int64_t axis = read_integer(reader);
    if (axis < 0 || axis >= symbol->type.rank || seen >> axis & 1) {
      refuse(reader, "an order names each axis once");
      return;
    }
    symbol->order[k] = (int8_t)axis;
    seen |= (uint32_t)1 << axis;
  }
  symbol->reordered = true;
}

static void read_module_symbol(Reader *reader, bool trainable) {
  const Place *place = place_here(reader);
  const char *name = read_name(reader);
  Symbol ordered = {.type = read_type(reader)};
  if (accept(reader, "order")) read_order(reader, &ordered);
  expect(reader, "=");
  Initialiser init = read_initialiser(reader, &ordered.type);
  if (module_find_symbol(reader->module, name) >= 0) refuse(reader, "a second '%s'", name);
  if (reader->failed) return;
  int index = module_add_symbol(reader->module, name, ordered.type, trainable, init, place);
  Symbol *symbol = &reader->module->symbols.items[index];
  symbol->reordered = ordered.reordered;
  memcpy(symbol->order, ordered.order, sizeof symbol->order);
}

static void read_entry(Reader *reader, GraphKind kind) {
  const Place *place = place_here(reader);
  const char *name = read_name(reader);
  if (module_find_entry(reader->module, name)) refuse(reader, "a second entry '%s'", name);
  Graph *graph = graph_new(reader->module, name, kind);
  graph->place = place;
  read_graph(reader, graph);
  PUSH(reader->arena, &reader->module->entries, graph);
}

Module *module_read(Arena *arena, Diagnostics *diagnostics, const Source *source) {
  Reader reader = {.arena = arena, .diagnostics = diagnostics, .source = source, .at = source->text};
  skip_lines(&reader);
  expect(&reader, "module");
  reader.module = module_new(arena, diagnostics, read_name(&reader));
  skip_lines(&reader);
  while (!reader.failed && *reader.at) {
    if (accept(&reader, "dim")) {
      read_dim_symbol(&reader);
    } else if (accept(&reader, "param")) {
      read_module_symbol(&reader, true);
    } else if (accept(&reader, "state")) {
      read_module_symbol(&reader, false);
    } else if (accept(&reader, "fn")) {
      read_entry(&reader, GRAPH_FN);
    } else if (accept(&reader, "step")) {
      read_entry(&reader, GRAPH_STEP);
    } else {
      refuse(&reader, "expected dim, param, state, fn or step");
    }
    expect_end(&reader);
    skip_lines(&reader);
  }
  return reader.failed ? NULL : reader.module;
}
