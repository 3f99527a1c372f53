/* Reads the text of plans (plan_print.c) back: the module's head by module_read, then plan after plan, by recursive descent
 * over the characters. The first fault is reported at its place and ends the reading.
 *
 * Buffers keep their labels as Ids, so none may be left out; scalars are numbered in order. What the text leaves out
 * because it follows is made again: dtypes of scalars, bytes of arena buffers, the task loops' tiles in stages. Every
 * index that is read is checked against what it counts in, so that a text can't make the printer or verifier read
 * elsewhere; whether the plan makes sense is plan_verify's to say. */
#include "ir/plan.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef struct Reader {
  Plan *plan;
  Module *module;
  Arena *arena;
  const Source *source;
  const char *at;
  bool failed;
  Vec(bool) known; /* by buffer Id: it was declared */
  Kernel *kernel;  /* in the reading */
  Stage *stage;
  const char *loops[MAX_LOOPS]; /* of the stage, or of the kernel's tasks */
  int nloops;
} Reader;

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
  error_at(reader->module->diagnostics, place_here(reader), "%s", arena_format_list(reader->arena, format, list));
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

static bool in_word(char letter) { return isalnum((unsigned char)letter) || letter == '_'; }

/* True, and past it, if the text goes on with `mark` (a word must end there). */
static bool accept(Reader *reader, const char *mark) {
  size_t length = strlen(mark);
  skip_blanks(reader);
  if (reader->failed || strncmp(reader->at, mark, length) != 0) return false;
  if (isalpha((unsigned char)mark[0]) && in_word(reader->at[length])) return false;
  reader->at += length;
  return true;
}

static bool expect(Reader *reader, const char *mark) {
  return accept(reader, mark) || refuse(reader, "expected '%s'", mark);
}

static void expect_end(Reader *reader) {
  skip_blanks(reader);
  if (*reader->at != '\n' && *reader->at != 0 && *reader->at != '#') refuse(reader, "expected the end of the line");
  skip_lines(reader);
}

static int64_t read_integer(Reader *reader) {
  bool negative = accept(reader, "-");
  int64_t value = 0;
  skip_blanks(reader);
  if (!isdigit((unsigned char)*reader->at)) refuse(reader, "expected a whole number");
  for (; !reader->failed && isdigit((unsigned char)*reader->at); reader->at++) {
    int digit = *reader->at - '0';
    if (!multiply_checked(value, 10, &value) || !add_checked(value, negative ? -digit : digit, &value)) {
      refuse(reader, "the number leaves 64 bits");
    }
  }
  return reader->failed ? 0 : value;
}

/* A whole number from 0 to limit - 1. */
static int read_below(Reader *reader, int limit, const char *what) {
  int64_t value = read_integer(reader);
  if (value < 0 || value >= limit) refuse(reader, "there is no %s %lld", what, (long long)value);
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

/* Plain, or in quotes. */
static const char *read_name(Reader *reader) {
  Text text = {0};
  text_add(&text, "%s", "");
  skip_blanks(reader);
  if (accept(reader, "\"")) {
    while (*reader->at && *reader->at != '"' && *reader->at != '\n') {
      if (*reader->at == '\\' && reader->at[1]) reader->at++;
      text_add_bytes(&text, reader->at++, 1);
    }
    expect(reader, "\"");
  } else {
    while (in_word(*reader->at) || *reader->at == '.') text_add_bytes(&text, reader->at++, 1);
    if (text.length == 0) refuse(reader, "expected a name");
  }
  const char *name = intern_length(text.bytes, text.length);
  text_free(&text);
  return name;
}

static const Dim *read_size(Reader *reader) {
  skip_blanks(reader);
  const Dim *dim = dim_read(reader->module, &reader->at);
  if (!dim) refuse(reader, "expected a size over the dims of the module");
  return dim ? dim : dim_constant(reader->module, 1);
}

static Dtype read_dtype(Reader *reader) {
  for (Dtype dtype = F32; dtype <= BOOL; dtype = (Dtype)(dtype + 1)) {
    if (accept(reader, dtype_name(dtype))) return dtype;
  }
  refuse(reader, "expected f32, i32 or bool");
  return F32;
}

static void read_sizes(Reader *reader, Type *type) {
  type->rank = 0;
  expect(reader, "[");
  while (!reader->failed && !accept(reader, "]")) {
    if (type->rank > 0) expect(reader, ",");
    if (type->rank == MAX_RANK) {
      refuse(reader, "a tensor has at most %d axes", MAX_RANK);
      return;
    }
    type->size[type->rank++] = read_size(reader);
  }
}

static Type read_type(Reader *reader) {
  Type type = {.dtype = read_dtype(reader)};
  read_sizes(reader, &type);
  return type;
}

/* ---- accesses ---- */

static Id read_buffer_id(Reader *reader) {
  expect(reader, "%");
  const char *start = reader->at;
  int id = read_below(reader, INT_MAX, "buffer");
  if (id > 0 && id < reader->known.count && reader->known.items[id]) return id;
  if (!reader->failed) reader->at = start;
  refuse(reader, "no buffer %%%d stands above", id);
  return 0;
}

static int16_t read_scalar_id(Reader *reader) {
  skip_blanks(reader);
  if (*reader->at != 's') refuse(reader, "expected a scalar");
  if (reader->failed) return 0;
  reader->at++;
  return (int16_t)read_below(reader, reader->stage->scalars.count, "scalar above called s");
}

/* The loop that the text names here, past it; -1 if it names none. */
static int accept_loop(Reader *reader) {
  size_t length = 0;
  skip_blanks(reader);
  while (in_word(reader->at[length])) length++;
  for (int k = 0; k < reader->nloops; k++) {
    if (strlen(reader->loops[k]) == length && memcmp(reader->loops[k], reader->at, length) == 0) {
      reader->at += length;
      return k;
    }
  }
  return -1;
}

/* "n", "-2*n", "+ k": true and past it if a term by a loop stands here. */
static bool accept_axis_term(Reader *reader, Axis *axis) {
  const char *start = reader->at;
  bool negative = accept(reader, "-");
  int64_t coefficient = 1;
  if (!negative && axis->nterms > 0) accept(reader, "+");
  skip_blanks(reader);
  bool number = isdigit((unsigned char)*reader->at);
  if (number) coefficient = read_integer(reader);
  int loop = number && !accept(reader, "*") ? -1 : accept_loop(reader);
  if (loop < 0 || reader->failed) {
    reader->at = start;
    return false;
  }
  if (axis->nterms == 2) return refuse(reader, "an axis has at most two loops");
  axis->dim[axis->nterms] = loop;
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

static Axis read_axis(Reader *reader) {
  Axis axis = {.offset = dim_constant(reader->module, 0), .divisor = 1};
  skip_blanks(reader);
  bool divided = is_divided(reader);
  if (divided) expect(reader, "(");
  while (!reader->failed && accept_axis_term(reader, &axis)) continue;
  skip_blanks(reader);
  if (axis.nterms == 0 || *reader->at == '+' || *reader->at == '-') {
    if (axis.nterms > 0) accept(reader, "+");
    axis.offset = read_size(reader);
  }
  if (!divided) return axis;
  expect(reader, ")");
  expect(reader, "/");
  axis.divisor = read_integer(reader);
  if (axis.divisor < 1) refuse(reader, "a divisor is 1 or more");
  return axis;
}

static void read_map(Reader *reader, Access *access) {
  expect(reader, "(");
  for (int k = 0; k < MAX_RANK; k++) access->index[k] = -1;
  while (!reader->failed && !accept(reader, ")")) {
    int k = access->map.naxes;
    if (k > 0) expect(reader, ",");
    if (k == MAX_RANK) {
      refuse(reader, "a map has at most %d axes", MAX_RANK);
      return;
    }
    if (accept(reader, "[")) {
      access->index[k] = read_scalar_id(reader);
      access->map.axis[k] = axis_at(dim_constant(reader->module, 0));
      expect(reader, "]");
    } else {
      access->map.axis[k] = read_axis(reader);
    }
    access->map.naxes++;
  }
}

static Access read_access(Reader *reader) {
  Access access = {.buffer = read_buffer_id(reader)};
  access.as = reader->plan->buffers.items[access.buffer].type;
  read_map(reader, &access);
  if (accept(reader, "as")) read_sizes(reader, &access.as);
  if (access.map.naxes != access.as.rank) refuse(reader, "%d indices for %d axes", access.map.naxes, access.as.rank);
  return access;
}

/* ---- scalars ---- */

static int scalar_by_name(Reader *reader) {
  static const char *const names[] = {"load", "number", "size", "index", "inside", "key", "random", "folded"};
  for (int k = 0; k < COUNT_OF(names); k++) {
    if (accept(reader, names[k])) return SCALAR_LOAD + k;
  }
  const char *start = reader->at, *name = read_name(reader);
  Op op = op_by_name(name);
  if (scalar_operands(op) >= 0 && op != OP_NONE) return op;
  if (!reader->failed) reader->at = start;
  refuse(reader, "there is no elementwise op '%s'", name);
  return SCALAR_NUMBER;
}

static Dtype folded_dtype(Reader *reader, int folder) {
  if (reader->failed) return F32;
  const Folder *own = &reader->stage->folders.items[folder];
  return own->op == FOLDER_ARGMAX || own->op == FOLDER_ARGMIN ? I32 : own->dtype;
}

/* What stands before the operands; the dtype where it does not come from an operand, NONE where it does. */
static void read_scalar_attribute(Reader *reader, Scalar *scalar) {
  Access access = {0};
  switch (scalar->op) {
  case SCALAR_LOAD:
    access = read_access(reader);
    scalar->dtype = access.as.dtype;
    if (accept(reader, "else")) scalar->number = read_number(reader);
    break;
  case SCALAR_NUMBER:
    scalar->dtype = read_dtype(reader);
    scalar->number = read_number(reader);
    break;
  case OP_cast: scalar->dtype = read_dtype(reader); break;
  case SCALAR_SIZE:
    scalar->dtype = I32;
    scalar->dim = read_size(reader);
    break;
  case SCALAR_INDEX:
  case SCALAR_INSIDE:
  case SCALAR_RANDOM:
    read_map(reader, &access);
    scalar->dtype = scalar->op == SCALAR_INDEX ? I32 : scalar->op == SCALAR_INSIDE ? BOOL : F32;
    if (scalar->op == SCALAR_INDEX) { /* what it is an index of is not printed: any i32 may be */
      const Dim *any = dim_constant(reader->module, INT32_MAX);
      access.as = type_of(I32, 1, &any);
      break;
    }
    expect(reader, "of");
    read_sizes(reader, &access.as);
    if (access.map.naxes != access.as.rank) refuse(reader, "%d indices for %d axes", access.map.naxes, access.as.rank);
    break;
  case SCALAR_KEY: scalar->dtype = I32; break;
  case SCALAR_FOLDED:
    scalar->index = (int16_t)read_below(reader, reader->stage->folders.count, "fold above with number");
    scalar->dtype = folded_dtype(reader, scalar->index);
    break;
  default: break;
  }
  if (scalar_has_access(scalar->op)) scalar->access = arena_copy(reader->arena, &access, sizeof access);
}

static void read_key(Reader *reader, Scalar *scalar) {
  if (accept(reader, "stream")) {
    int64_t stream = read_integer(reader);
    if (stream < 0 || stream > UINT32_MAX) refuse(reader, "a stream has 32 bits");
    scalar->number = (double)stream;
  } else {
    scalar->a = read_scalar_id(reader);
  }
  skip_blanks(reader);
  if (*reader->at == 's') scalar->b = read_scalar_id(reader);
}

static void read_scalar(Reader *reader) {
  Stage *stage = reader->stage;
  Scalar scalar = {.a = -1, .b = -1, .c = -1};
  reader->at++;
  if (read_below(reader, INT16_MAX, "scalar s") != stage->scalars.count) {
    refuse(reader, "scalars are numbered in order: s%d is next", stage->scalars.count);
  }
  expect(reader, "=");
  scalar.op = (int16_t)scalar_by_name(reader);
  read_scalar_attribute(reader, &scalar);
  int16_t *operands[] = {&scalar.a, &scalar.b, &scalar.c};
  if (scalar.op == SCALAR_KEY) {
    read_key(reader, &scalar);
  } else {
    for (int k = 0; k < scalar_operands(scalar.op); k++) *operands[k] = read_scalar_id(reader);
  }
  expect_end(reader);
  if (reader->failed) return;
  if (scalar.dtype == NONE) {
    int from = scalar.op == OP_where ? scalar.b : scalar.a;
    scalar.dtype = op_info[scalar.op].flags & TRUTH ? BOOL : stage->scalars.items[from].dtype;
  }
  PUSH(reader->arena, &stage->scalars, scalar);
}

/* ---- stages ---- */

static void read_loop(Reader *reader, Loop *loop) {
  loop->name = read_name(reader);
  for (int k = 0; k < reader->nloops; k++) {
    if (reader->loops[k] == loop->name) refuse(reader, "a second loop '%s'", loop->name);
  }
  expect(reader, ":");
  loop->extent = read_size(reader);
  if (reader->nloops == MAX_LOOPS) {
    refuse(reader, "more than %d loops", MAX_LOOPS);
  } else {
    reader->loops[reader->nloops++] = loop->name;
  }
}

static int read_loop_or_none(Reader *reader, const char *word) {
  expect(reader, word);
  if (accept(reader, "-")) return -1;
  int loop = accept_loop(reader);
  if (loop < 0) refuse(reader, "expected a loop of the stage");
  return loop;
}

static void read_stage_head(Reader *reader) {
  Stage *stage = reader->stage;
  bool folded = false;
  reader->nloops = 0;
  stage->nkept = 0;
  for (int k = 0; !reader->failed; k++) {
    skip_blanks(reader);
    if (accept(reader, "|")) folded = true;
    const char *start = reader->at;
    if (accept(reader, "{") || ((accept(reader, "tile") || accept(reader, "vector")) && !accept(reader, ":"))) {
      reader->at = start;
      break;
    }
    reader->at = start;
    if (k == MAX_LOOPS) {
      refuse(reader, "more than %d loops", MAX_LOOPS);
      return;
    }
    read_loop(reader, &stage->loops[k]);
    stage->loops[k].tile = k < reader->kernel->ntasks ? reader->kernel->tasks[k].tile : 0;
    stage->nloops = k + 1;
    if (!folded) stage->nkept = k + 1;
  }
  if (stage->kind == STAGE_CONTRACT && accept(reader, "tile")) {
    Tile *tile = &stage->tile;
    tile->vector = read_loop_or_none(reader, "vector");
    tile->row = read_loop_or_none(reader, "row");
    tile->column = read_loop_or_none(reader, "column");
    tile->rows = read_below(reader, 1 << 16, "tile of rows");
    if (*reader->at == 'x') reader->at++;
    tile->columns = read_below(reader, 1 << 16, "tile of columns");
    if (accept(reader, "piece")) tile->piece = read_below(reader, 1 << 16, "piece");
  } else if (accept(reader, "vector")) {
    reader->at -= strlen("vector");
    stage->vector = read_loop_or_none(reader, "vector");
  }
  expect(reader, "{");
  expect_end(reader);
}

static void read_fold(Reader *reader) {
  static const char *const names[] = {"sum", "max", "min", "argmax", "argmin"};
  Folder folder = {.when = -1};
  int op = 0;
  while (op < COUNT_OF(names) && !accept(reader, names[op])) op++;
  if (op == COUNT_OF(names)) refuse(reader, "expected sum, max, min, argmax or argmin");
  folder.op = (FoldOp)op;
  folder.value = read_scalar_id(reader);
  if (accept(reader, "when")) folder.when = read_scalar_id(reader);
  expect_end(reader);
  if (reader->failed) return;
  folder.dtype = reader->stage->scalars.items[folder.value].dtype;
  PUSH(reader->arena, &reader->stage->folders, folder);
}

static void read_stage(Reader *reader, StageKind kind) {
  const Place *place = place_here(reader);
  reader->stage = kernel_stage(reader->plan, reader->kernel, kind, place);
  read_stage_head(reader);
  while (!reader->failed && !accept(reader, "}")) {
    if (accept(reader, "fold")) {
      read_fold(reader);
    } else if (accept(reader, "after")) {
      reader->stage->after = reader->stage->scalars.count;
      expect_end(reader);
    } else if (accept(reader, "store")) {
      Store store = {.access = read_access(reader)};
      expect(reader, "=");
      store.value = read_scalar_id(reader);
      PUSH(reader->arena, &reader->stage->stores, store);
      expect_end(reader);
    } else if (*reader->at == 's') {
      read_scalar(reader);
    } else {
      refuse(reader, "expected a scalar, fold, after, store or '}'");
    }
  }
  expect_end(reader);
}

/* ---- buffers ---- */

static void read_array(Reader *reader, Buffer *buffer) {
  Vec(double) values = {0};
  int64_t count = 0;
  expect(reader, "=");
  expect(reader, "[");
  while (!reader->failed && !accept(reader, "]")) {
    if (values.count > 0) expect(reader, ",");
    PUSH(reader->arena, &values, read_number(reader));
  }
  const Dim *elements = type_count(reader->module, &buffer->type);
  if (!elements || !dim_is_constant(elements, &count) || count != values.count) {
    refuse(reader, "%d numbers for another count of elements", values.count);
  }
  buffer->array = values.items ? values.items : NEW(reader->arena, double);
}

static void read_life(Reader *reader, Buffer *buffer) {
  buffer->first = read_below(reader, INT_MAX, "launch");
  expect(reader, "..");
  buffer->last = read_below(reader, INT_MAX, "launch");
  expect(reader, "offset");
  buffer->offset = read_integer(reader);
  buffer->bytes = buffer_bytes(reader->plan, &buffer->type);
  if (!buffer->bytes) refuse(reader, "the buffer's bytes leave 64 bits");
  if (!accept(reader, "below")) return;
  skip_blanks(reader);
  for (; !reader->failed && *reader->at == '%'; skip_blanks(reader)) {
    expect(reader, "%"); /* it may be declared further down: checked when all are known */
    PUSH(reader->arena, &buffer->below, read_below(reader, INT_MAX, "buffer"));
  }
}

static void add_buffer(Reader *reader, Id id, const Buffer *buffer) {
  Plan *plan = reader->plan;
  if (reader->failed) return;
  if (id < 1 || id > 1 << 24) {
    refuse(reader, "a buffer's number is from 1 on");
    return;
  }
  while (plan->buffers.count <= id) PUSH(reader->arena, &plan->buffers, (Buffer){0});
  while (reader->known.count <= id) PUSH(reader->arena, &reader->known, false);
  if (reader->known.items[id]) refuse(reader, "a second buffer %%%d", id);
  reader->known.items[id] = true;
  plan->buffers.items[id] = *buffer;
}

static void read_buffer(Reader *reader, bool local) {
  static const char *const memories[] = {"arg", "result", "state", "constant", "arena"};
  Buffer buffer = {.memory = MEMORY_LOCAL, .index = reader->plan->kernels.count - 1};
  const Graph *graph = reader->plan->graph;
  expect(reader, "%");
  int id = read_below(reader, INT_MAX, "buffer");
  if (!local) {
    int memory = 0;
    buffer.index = 0;
    while (memory < COUNT_OF(memories) && !accept(reader, memories[memory])) memory++;
    if (memory == COUNT_OF(memories)) refuse(reader, "expected arg, result, state, constant or arena");
    buffer.memory = (Memory)memory;
  }
  if (buffer.memory == MEMORY_ARG) buffer.index = read_below(reader, graph->parameters.count, "parameter");
  if (buffer.memory == MEMORY_RESULT) buffer.index = read_below(reader, graph->results.count, "result");
  if (!accept(reader, ":")) {
    buffer.name = read_name(reader);
    expect(reader, ":");
  }
  buffer.type = read_type(reader);
  if (buffer.memory == MEMORY_STATE) {
    buffer.index = buffer.name ? module_find_symbol(reader->module, buffer.name) : -1;
    if (buffer.index < 0) refuse(reader, "the module has no such param or state");
    if (accept(reader, "offset")) buffer.offset = read_integer(reader);
  }
  if (buffer.memory == MEMORY_CONSTANT) read_array(reader, &buffer);
  if (buffer.memory == MEMORY_ARENA && accept(reader, "life")) read_life(reader, &buffer);
  add_buffer(reader, id, &buffer);
  expect_end(reader);
}

/* ---- kernels, launches, plans ---- */

static void read_tasks(Reader *reader) {
  Kernel *kernel = reader->kernel;
  reader->nloops = 0;
  while (!reader->failed && !accept(reader, "{")) {
    if (kernel->ntasks == MAX_LOOPS) {
      refuse(reader, "more than %d task loops", MAX_LOOPS);
      return;
    }
    Loop *loop = &kernel->tasks[kernel->ntasks++];
    read_loop(reader, loop);
    expect(reader, "/");
    loop->tile = read_below(reader, INT_MAX, "tile");
    if (loop->tile < 1 && !reader->plan->after) refuse(reader, "a tile has one index or more");
  }
}

static void read_kernel(Reader *reader) {
  static const char *const kinds[] = {"each", "fold", "contract", "scatter", "sort", "cumsum"};
  const Place *place = place_here(reader);
  const char *name = read_name(reader);
  for (int k = 0; k < reader->plan->kernels.count; k++) {
    if (reader->plan->kernels.items[k].name == name) refuse(reader, "a second kernel '%s'", name);
  }
  reader->kernel = plan_kernel(reader->plan, name, place);
  if (accept(reader, "region")) reader->kernel->region = read_below(reader, reader->plan->regions.count, "region");
  if (accept(reader, "tasks"))
    read_tasks(reader);
  else
    expect(reader, "{");
  expect_end(reader);
  while (!reader->failed && !accept(reader, "}")) {
    int kind = 0;
    while (kind < COUNT_OF(kinds) && !accept(reader, kinds[kind])) kind++;
    if (kind < COUNT_OF(kinds)) {
      read_stage(reader, (StageKind)kind);
    } else if (accept(reader, "local")) {
      read_buffer(reader, true);
    } else if (accept(reader, "flops")) {
      reader->kernel->flops = read_size(reader);
      expect_end(reader);
    } else if (accept(reader, "bytes")) {
      reader->kernel->bytes = read_size(reader);
      expect_end(reader);
    } else {
      refuse(reader, "expected a stage, local, flops, bytes or '}'");
    }
  }
  expect_end(reader);
}

static void read_launch(Reader *reader) {
  Plan *plan = reader->plan;
  Launch launch = {.kind = LAUNCH_KERNELS};
  skip_blanks(reader);
  while (!reader->failed && *reader->at && *reader->at != '\n' && *reader->at != '#') {
    const char *start = reader->at, *name = read_name(reader);
    int kernel = 0;
    while (kernel < plan->kernels.count && plan->kernels.items[kernel].name != name) kernel++;
    if (launch.count == 0) launch.first = kernel;
    if (kernel == plan->kernels.count || kernel != launch.first + launch.count) {
      reader->at = start;
      refuse(reader,
             kernel == plan->kernels.count ? "no kernel '%s' stands above"
                                           : "kernels of a launch stand behind each other, '%s' does not",
             name);
    }
    launch.count++;
    skip_blanks(reader);
  }
  PUSH(reader->arena, &plan->launches, launch);
  expect_end(reader);
}

/* "t trips T reverse": the dim symbol that counts the turns of a loop, how many, which way. */
static int read_turns(Reader *reader, const Dim **trips, bool *reverse) {
  int turn = -1;
  const char *name = read_name(reader);
  for (int k = 0; k < reader->module->dims.count; k++) {
    const DimSymbol *symbol = &reader->module->dims.items[k];
    if (symbol->turn && strcmp(symbol->name, name) == 0) turn = k;
  }
  if (turn < 0) refuse(reader, "the module has no turn '%s'", name);
  expect(reader, "trips");
  *trips = read_size(reader);
  if (turn >= 0) reader->module->dims.items[turn].below = *trips;
  *reverse = accept(reader, "reverse");
  return turn;
}

static void read_launch_loop(Reader *reader) {
  Launch launch = {.kind = LAUNCH_LOOP};
  launch.turn = read_turns(reader, &launch.trips, &launch.reverse);
  expect(reader, "{");
  expect_end(reader);
  PUSH(reader->arena, &reader->plan->launches, launch);
}

static void read_region(Reader *reader) {
  Plan *plan = reader->plan;
  Region region = {0};
  if (plan->kernels.count > 0) refuse(reader, "regions stand before kernels");
  if (read_integer(reader) != plan->regions.count) refuse(reader, "the next region is %d", plan->regions.count);
  expect(reader, "in");
  region.parent = read_below(reader, plan->regions.count, "region");
  expect(reader, "loop");
  region.turn = read_turns(reader, &region.trips, &region.reverse);
  expect_end(reader);
  PUSH(reader->arena, &plan->regions, region);
}

/* One line or block of a plan; false at its end. */
static bool read_part(Reader *reader, int *depth) {
  Plan *plan = reader->plan;
  if (accept(reader, "arena")) {
    plan->arena_bytes = read_integer(reader);
    expect(reader, "of");
    expect(reader, "live");
    plan->live_bytes = read_integer(reader);
    expect(reader, "local");
    plan->local_bytes = read_integer(reader);
    expect_end(reader);
  } else if (accept(reader, "buffer")) {
    read_buffer(reader, false);
  } else if (accept(reader, "region")) {
    read_region(reader);
  } else if (accept(reader, "kernel")) {
    read_kernel(reader);
  } else if (accept(reader, "launch")) {
    read_launch(reader);
  } else if (accept(reader, "loop")) {
    read_launch_loop(reader);
    ++*depth;
  } else if (accept(reader, "}")) {
    expect_end(reader);
    if (--*depth < 0) return false;
    PUSH(reader->arena, &plan->launches, ((Launch){.kind = LAUNCH_END}));
  } else {
    refuse(reader, "expected arena, buffer, region, kernel, launch, loop or '}'");
  }
  return !reader->failed;
}

static void read_plan(Reader *reader) {
  int depth = 0;
  reader->known.count = 0;
  expect(reader, "plan");
  const char *name = reader->failed ? "" : read_name(reader);
  const Graph *graph = module_find_entry(reader->module, name);
  if (!graph) refuse(reader, "the module has no entry '%s'", name);
  if (reader->failed) return;
  reader->plan = plan_new(graph);
  PUSH(reader->arena, &reader->plan->regions, (Region){.turn = -1});
  if (accept(reader, "after")) reader->plan->after = read_name(reader);
  expect(reader, "{");
  expect_end(reader);
  while (!reader->failed && read_part(reader, &depth)) continue;
  for (Id id = 1; id < reader->plan->buffers.count; id++) {
    const Buffer *buffer = &reader->plan->buffers.items[id];
    if (!reader->known.items[id]) refuse(reader, "buffer %%%d is missing in plan '%s'", id, name);
    for (int k = 0; k < buffer->below.count; k++) {
      Id below = buffer->below.items[k];
      if (below < 1 || below >= reader->plan->buffers.count) refuse(reader, "buffer %%%d lies on none", id);
    }
  }
}

/* Where the first plan begins: a line that starts with "plan ". */
static size_t head_length(const Source *source) {
  const char *text = source->text;
  if (strncmp(text, "plan ", 5) == 0) return 0;
  const char *line = strstr(text, "\nplan ");
  return line ? (size_t)(line - text) + 1 : source->length;
}

Module *plans_read(Arena *arena, Diagnostics *diagnostics, const Source *source, Plan ***plans, int *count) {
  Vec(Plan *) read = {0};
  Source *head = arena_copy(arena, source, sizeof *source);
  head->length = head_length(source);
  char *text = arena_alloc(arena, head->length + 1);
  memcpy(text, source->text, head->length);
  head->text = text;
  Module *module = module_read(arena, diagnostics, head);
  if (!module) return NULL;
  Reader reader = {.module = module, .arena = arena, .source = source, .at = source->text + head->length};
  skip_lines(&reader);
  while (!reader.failed && *reader.at) {
    read_plan(&reader);
    PUSH(arena, &read, reader.plan);
  }
  *plans = read.items;
  *count = read.count;
  return reader.failed ? NULL : module;
}
