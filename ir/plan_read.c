/* Reads the text of plans (plan_print.c) back: the module's head by module_read, then plan after plan, by recursive descent
 * over the characters. The first fault is reported at its place and ends the reading.
 *
 * Buffers keep their labels as Ids, so none may be left out; scalars are numbered in order. What the text leaves out
 * because it follows is made again: dtypes of scalars, bytes of arena buffers, the task loops' tiles in stages. Every
 * index that is read is checked against what it counts in, so that a text can't make the printer or verifier read
 * elsewhere; whether the plan makes sense is plan_verify's to say. */
#include "ir/cursor.h"
#include "ir/plan.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef struct Reader {
  Cursor cursor;
  Plan *plan;
  Vec(bool) known; /* by buffer Id: it was declared */
  Kernel *kernel;  /* in the reading */
  Stage *stage;
  Loops loops; /* of the stage, or of the kernel's tasks */
} Reader;

/* ---- small things ---- */

static void expect_end(Reader *reader) {
  cursor_expect_end(&reader->cursor);
  cursor_skip_lines(&reader->cursor);
}

/* A whole number from 0 to limit - 1. */
static int read_below(Reader *reader, int limit, const char *what) {
  int64_t value = cursor_integer(&reader->cursor);
  if (value < 0 || value >= limit) cursor_refuse(&reader->cursor, "there is no %s %lld", what, (long long)value);
  return reader->cursor.failed ? 0 : (int)value;
}

static Dtype read_dtype(Reader *reader) {
  Dtype dtype = cursor_dtype(&reader->cursor);
  if (dtype == NONE) cursor_refuse(&reader->cursor, "expected f32, i32 or bool");
  return dtype == NONE ? F32 : dtype;
}

static Type read_type(Reader *reader) {
  Type type = {.dtype = read_dtype(reader)};
  cursor_sizes(&reader->cursor, &type);
  return type;
}

/* ---- accesses ---- */

static Id read_buffer_id(Reader *reader) {
  cursor_expect(&reader->cursor, "%");
  const char *start = reader->cursor.at;
  int id = read_below(reader, INT_MAX, "buffer");
  if (id > 0 && id < reader->known.count && reader->known.items[id]) return id;
  if (!reader->cursor.failed) reader->cursor.at = start;
  cursor_refuse(&reader->cursor, "no buffer %%%d stands above", id);
  return 0;
}

static int16_t read_scalar_id(Reader *reader) {
  cursor_skip_blanks(&reader->cursor);
  if (*reader->cursor.at != 's') cursor_refuse(&reader->cursor, "expected a scalar");
  if (reader->cursor.failed) return 0;
  reader->cursor.at++;
  return (int16_t)read_below(reader, reader->stage->scalars.count, "scalar above called s");
}

static void read_map(Reader *reader, Access *access) {
  cursor_expect(&reader->cursor, "(");
  for (int k = 0; k < MAX_RANK; k++) access->index[k] = -1;
  while (!reader->cursor.failed && !cursor_accept(&reader->cursor, ")")) {
    int k = access->map.naxes;
    if (k > 0) cursor_expect(&reader->cursor, ",");
    if (k == MAX_RANK) {
      cursor_refuse(&reader->cursor, "a map has at most %d axes", MAX_RANK);
      return;
    }
    if (cursor_accept(&reader->cursor, "[")) {
      access->index[k] = read_scalar_id(reader);
      access->map.axis[k] = axis_at(dim_constant(reader->cursor.module, 0));
      cursor_expect(&reader->cursor, "]");
    } else {
      cursor_axis(&reader->cursor, &reader->loops, &access->map.axis[k]);
    }
    access->map.naxes++;
  }
}

static Access read_access(Reader *reader) {
  Access access = {.buffer = read_buffer_id(reader)};
  access.as = reader->plan->buffers.items[access.buffer].type;
  read_map(reader, &access);
  if (cursor_accept(&reader->cursor, "as")) cursor_sizes(&reader->cursor, &access.as);
  if (access.map.naxes != access.as.rank)
    cursor_refuse(&reader->cursor, "%d indices for %d axes", access.map.naxes, access.as.rank);
  return access;
}

/* ---- scalars ---- */

static int scalar_by_name(Reader *reader) {
  static const char *const names[] = {"load", "number", "size", "index", "inside", "key", "random", "folded"};
  for (int k = 0; k < COUNT_OF(names); k++) {
    if (cursor_accept(&reader->cursor, names[k])) return SCALAR_LOAD + k;
  }
  const char *start = reader->cursor.at, *name = cursor_name(&reader->cursor);
  Op op = op_by_name(name);
  if (scalar_operands(op) >= 0 && op != OP_NONE) return op;
  if (!reader->cursor.failed) reader->cursor.at = start;
  cursor_refuse(&reader->cursor, "there is no elementwise op '%s'", name);
  return SCALAR_NUMBER;
}

static Dtype folded_dtype(Reader *reader, int folder) {
  if (reader->cursor.failed) return F32;
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
    if (cursor_accept(&reader->cursor, "else")) scalar->number = cursor_number(&reader->cursor);
    break;
  case SCALAR_NUMBER:
    scalar->dtype = read_dtype(reader);
    scalar->number = cursor_number(&reader->cursor);
    break;
  case OP_cast: scalar->dtype = read_dtype(reader); break;
  case SCALAR_SIZE:
    scalar->dtype = I32;
    scalar->dim = cursor_size(&reader->cursor);
    break;
  case SCALAR_INDEX:
  case SCALAR_INSIDE:
  case SCALAR_RANDOM:
    read_map(reader, &access);
    scalar->dtype = scalar->op == SCALAR_INDEX ? I32 : scalar->op == SCALAR_INSIDE ? BOOL : F32;
    if (scalar->op == SCALAR_INDEX) { /* what it is an index of is not printed: any i32 may be */
      const Dim *any = dim_constant(reader->cursor.module, INT32_MAX);
      access.as = type_of(I32, 1, &any);
      break;
    }
    cursor_expect(&reader->cursor, "of");
    cursor_sizes(&reader->cursor, &access.as);
    if (access.map.naxes != access.as.rank)
      cursor_refuse(&reader->cursor, "%d indices for %d axes", access.map.naxes, access.as.rank);
    break;
  case SCALAR_KEY: scalar->dtype = I32; break;
  case SCALAR_FOLDED:
    scalar->index = (int16_t)read_below(reader, reader->stage->folders.count, "fold above with number");
    scalar->dtype = folded_dtype(reader, scalar->index);
    break;
  default: break;
  }
  if (scalar_has_access(scalar->op)) scalar->access = arena_copy(reader->cursor.arena, &access, sizeof access);
}

static void read_key(Reader *reader, Scalar *scalar) {
  if (cursor_accept(&reader->cursor, "stream")) {
    int64_t stream = cursor_integer(&reader->cursor);
    if (stream < 0 || stream > UINT32_MAX) cursor_refuse(&reader->cursor, "a stream has 32 bits");
    scalar->number = (double)stream;
  } else {
    scalar->a = read_scalar_id(reader);
  }
  cursor_skip_blanks(&reader->cursor);
  if (*reader->cursor.at == 's') scalar->b = read_scalar_id(reader);
}

static void read_scalar(Reader *reader) {
  Stage *stage = reader->stage;
  Scalar scalar = {.a = -1, .b = -1, .c = -1};
  reader->cursor.at++;
  if (read_below(reader, INT16_MAX, "scalar s") != stage->scalars.count) {
    cursor_refuse(&reader->cursor, "scalars are numbered in order: s%d is next", stage->scalars.count);
  }
  cursor_expect(&reader->cursor, "=");
  scalar.op = (int16_t)scalar_by_name(reader);
  read_scalar_attribute(reader, &scalar);
  int16_t *operands[] = {&scalar.a, &scalar.b, &scalar.c};
  if (scalar.op == SCALAR_KEY) {
    read_key(reader, &scalar);
  } else {
    for (int k = 0; k < scalar_operands(scalar.op); k++) *operands[k] = read_scalar_id(reader);
  }
  expect_end(reader);
  if (reader->cursor.failed) return;
  if (scalar.dtype == NONE) {
    int from = scalar.op == OP_where ? scalar.b : scalar.a;
    scalar.dtype = op_info[scalar.op].flags & TRUTH ? BOOL : stage->scalars.items[from].dtype;
  }
  PUSH(reader->cursor.arena, &stage->scalars, scalar);
}

/* ---- stages ---- */

static void read_loop(Reader *reader, Loop *loop) {
  loop->name = cursor_name(&reader->cursor);
  for (int k = 0; k < reader->loops.count; k++) {
    if (reader->loops.name[k] == loop->name) cursor_refuse(&reader->cursor, "a second loop '%s'", loop->name);
  }
  cursor_expect(&reader->cursor, ":");
  loop->extent = cursor_size(&reader->cursor);
  if (reader->loops.count == MAX_LOOPS) {
    cursor_refuse(&reader->cursor, "more than %d loops", MAX_LOOPS);
  } else {
    reader->loops.name[reader->loops.count++] = loop->name;
  }
}

static int read_loop_or_none(Reader *reader, const char *word) {
  cursor_expect(&reader->cursor, word);
  if (cursor_accept(&reader->cursor, "-")) return -1;
  int loop = cursor_loop(&reader->cursor, &reader->loops);
  if (loop < 0) cursor_refuse(&reader->cursor, "expected a loop of the stage");
  return loop;
}

static void read_tile(Reader *reader, Tile *tile) {
  tile->vector = read_loop_or_none(reader, "vector");
  tile->row = read_loop_or_none(reader, "row");
  tile->column = read_loop_or_none(reader, "column");
  tile->rows = read_below(reader, 1 << 16, "tile of rows");
  if (*reader->cursor.at == 'x') reader->cursor.at++;
  tile->columns = read_below(reader, 1 << 16, "tile of columns");
  if (cursor_accept(&reader->cursor, "piece")) tile->piece = read_below(reader, 1 << 16, "piece");
  for (int k = PRECISION_F32 + 1; k < PRECISION_COUNT; k++)
    if (cursor_accept(&reader->cursor, precision_info[k].name)) tile->precision = (Precision)k;
  if (!cursor_accept(&reader->cursor, "warpgroups")) return;
  for (int side = 0; side < 2; side++)
    for (int k = FEED_NONE + 1; k < FEED_COUNT; k++)
      if (cursor_accept(&reader->cursor, feed_names[k])) tile->feed[side] = (OperandFeed)k;
}

static void read_stage_head(Reader *reader) {
  Stage *stage = reader->stage;
  bool folded = false;
  reader->loops.count = 0;
  stage->nkept = 0;
  for (int k = 0; !reader->cursor.failed; k++) {
    cursor_skip_blanks(&reader->cursor);
    if (cursor_accept(&reader->cursor, "|")) folded = true;
    const char *start = reader->cursor.at;
    if (cursor_accept(&reader->cursor, "{") ||
        ((cursor_accept(&reader->cursor, "tile") || cursor_accept(&reader->cursor, "vector")) &&
         !cursor_accept(&reader->cursor, ":"))) {
      reader->cursor.at = start;
      break;
    }
    reader->cursor.at = start;
    if (k == MAX_LOOPS) {
      cursor_refuse(&reader->cursor, "more than %d loops", MAX_LOOPS);
      return;
    }
    read_loop(reader, &stage->loops[k]);
    stage->loops[k].tile = k < reader->kernel->ntasks ? reader->kernel->tasks[k].tile : 0;
    stage->nloops = k + 1;
    if (!folded) stage->nkept = k + 1;
  }
  if (stage->kind == STAGE_CONTRACT && cursor_accept(&reader->cursor, "tile")) {
    read_tile(reader, &stage->tile);
  } else if (cursor_accept(&reader->cursor, "vector")) {
    reader->cursor.at -= strlen("vector");
    stage->vector = read_loop_or_none(reader, "vector");
  }
  cursor_expect(&reader->cursor, "{");
  expect_end(reader);
}

static void read_fold(Reader *reader) {
  static const char *const names[] = {"sum", "max", "min", "argmax", "argmin"};
  Folder folder = {.when = -1};
  int op = 0;
  while (op < COUNT_OF(names) && !cursor_accept(&reader->cursor, names[op])) op++;
  if (op == COUNT_OF(names)) cursor_refuse(&reader->cursor, "expected sum, max, min, argmax or argmin");
  folder.op = (FoldOp)op;
  folder.value = read_scalar_id(reader);
  if (cursor_accept(&reader->cursor, "when")) folder.when = read_scalar_id(reader);
  expect_end(reader);
  if (reader->cursor.failed) return;
  folder.dtype = reader->stage->scalars.items[folder.value].dtype;
  PUSH(reader->cursor.arena, &reader->stage->folders, folder);
}

static void read_stage(Reader *reader, StageKind kind) {
  const Place *place = cursor_place(&reader->cursor);
  reader->stage = kernel_stage(reader->plan, reader->kernel, kind, place);
  read_stage_head(reader);
  while (!reader->cursor.failed && !cursor_accept(&reader->cursor, "}")) {
    if (cursor_accept(&reader->cursor, "fold")) {
      read_fold(reader);
    } else if (cursor_accept(&reader->cursor, "after")) {
      reader->stage->after = reader->stage->scalars.count;
      expect_end(reader);
    } else if (cursor_accept(&reader->cursor, "store")) {
      Store store = {.access = read_access(reader)};
      cursor_expect(&reader->cursor, "=");
      store.value = read_scalar_id(reader);
      PUSH(reader->cursor.arena, &reader->stage->stores, store);
      expect_end(reader);
    } else if (*reader->cursor.at == 's') {
      read_scalar(reader);
    } else {
      cursor_refuse(&reader->cursor, "expected a scalar, fold, after, store or '}'");
    }
  }
  expect_end(reader);
}

/* ---- buffers ---- */

static void read_array(Reader *reader, Buffer *buffer) {
  Vec(double) values = {0};
  int64_t count = 0;
  cursor_expect(&reader->cursor, "=");
  cursor_expect(&reader->cursor, "[");
  while (!reader->cursor.failed && !cursor_accept(&reader->cursor, "]")) {
    if (values.count > 0) cursor_expect(&reader->cursor, ",");
    PUSH(reader->cursor.arena, &values, cursor_number(&reader->cursor));
  }
  const Dim *elements = type_count(reader->cursor.module, &buffer->type);
  if (!elements || !dim_is_constant(elements, &count) || count != values.count) {
    cursor_refuse(&reader->cursor, "%d numbers for another count of elements", values.count);
  }
  buffer->array = values.items ? values.items : NEW(reader->cursor.arena, double);
}

static void read_life(Reader *reader, Buffer *buffer) {
  buffer->first = read_below(reader, INT_MAX, "launch");
  cursor_expect(&reader->cursor, "..");
  buffer->last = read_below(reader, INT_MAX, "launch");
  cursor_expect(&reader->cursor, "offset");
  buffer->offset = cursor_integer(&reader->cursor);
  buffer->bytes = buffer_bytes(reader->plan, &buffer->type);
  if (!buffer->bytes) cursor_refuse(&reader->cursor, "the buffer's bytes leave 64 bits");
  if (!cursor_accept(&reader->cursor, "below")) return;
  cursor_skip_blanks(&reader->cursor);
  for (; !reader->cursor.failed && *reader->cursor.at == '%'; cursor_skip_blanks(&reader->cursor)) {
    cursor_expect(&reader->cursor, "%"); /* it may be declared further down: checked when all are known */
    PUSH(reader->cursor.arena, &buffer->below, read_below(reader, INT_MAX, "buffer"));
  }
}

static void add_buffer(Reader *reader, Id id, const Buffer *buffer) {
  Plan *plan = reader->plan;
  if (reader->cursor.failed) return;
  if (id < 1 || id > 1 << 24) {
    cursor_refuse(&reader->cursor, "a buffer's number is from 1 on");
    return;
  }
  while (plan->buffers.count <= id) PUSH(reader->cursor.arena, &plan->buffers, (Buffer){0});
  while (reader->known.count <= id) PUSH(reader->cursor.arena, &reader->known, false);
  if (reader->known.items[id]) cursor_refuse(&reader->cursor, "a second buffer %%%d", id);
  reader->known.items[id] = true;
  plan->buffers.items[id] = *buffer;
}

static void read_buffer(Reader *reader, bool local) {
  static const char *const memories[] = {"arg", "result", "state", "constant", "arena"};
  Buffer buffer = {.memory = MEMORY_LOCAL, .index = reader->plan->kernels.count - 1};
  const Graph *graph = reader->plan->graph;
  cursor_expect(&reader->cursor, "%");
  int id = read_below(reader, INT_MAX, "buffer");
  if (!local) {
    int memory = 0;
    buffer.index = 0;
    while (memory < COUNT_OF(memories) && !cursor_accept(&reader->cursor, memories[memory])) memory++;
    if (memory == COUNT_OF(memories)) cursor_refuse(&reader->cursor, "expected arg, result, state, constant or arena");
    buffer.memory = (Memory)memory;
  }
  if (buffer.memory == MEMORY_ARG) buffer.index = read_below(reader, graph->parameters.count, "parameter");
  if (buffer.memory == MEMORY_RESULT) buffer.index = read_below(reader, graph->results.count, "result");
  if (!cursor_accept(&reader->cursor, ":")) {
    buffer.name = cursor_name(&reader->cursor);
    cursor_expect(&reader->cursor, ":");
  }
  buffer.type = read_type(reader);
  if (buffer.memory == MEMORY_STATE) {
    buffer.index = buffer.name ? module_find_symbol(reader->cursor.module, buffer.name) : -1;
    if (buffer.index < 0) cursor_refuse(&reader->cursor, "the module has no such param or state");
    if (cursor_accept(&reader->cursor, "offset")) buffer.offset = cursor_integer(&reader->cursor);
  }
  if (buffer.memory == MEMORY_CONSTANT) read_array(reader, &buffer);
  if (buffer.memory == MEMORY_ARENA && cursor_accept(&reader->cursor, "life")) read_life(reader, &buffer);
  add_buffer(reader, id, &buffer);
  expect_end(reader);
}

/* ---- kernels, launches, plans ---- */

static void read_tasks(Reader *reader) {
  Kernel *kernel = reader->kernel;
  reader->loops.count = 0;
  while (!reader->cursor.failed && !cursor_accept(&reader->cursor, "{")) {
    if (kernel->ntasks == MAX_LOOPS) {
      cursor_refuse(&reader->cursor, "more than %d task loops", MAX_LOOPS);
      return;
    }
    Loop *loop = &kernel->tasks[kernel->ntasks++];
    read_loop(reader, loop);
    cursor_expect(&reader->cursor, "/");
    loop->tile = read_below(reader, INT_MAX, "tile");
    if (loop->tile < 1 && !reader->plan->after) cursor_refuse(&reader->cursor, "a tile has one index or more");
  }
}

static void read_kernel(Reader *reader) {
  static const char *const kinds[] = {"each", "fold", "contract", "scatter", "sort", "cumsum"};
  const Place *place = cursor_place(&reader->cursor);
  const char *name = cursor_name(&reader->cursor);
  for (int k = 0; k < reader->plan->kernels.count; k++) {
    if (reader->plan->kernels.items[k].name == name) cursor_refuse(&reader->cursor, "a second kernel '%s'", name);
  }
  reader->kernel = plan_kernel(reader->plan, name, place);
  if (cursor_accept(&reader->cursor, "region"))
    reader->kernel->region = read_below(reader, reader->plan->regions.count, "region");
  if (cursor_accept(&reader->cursor, "tasks"))
    read_tasks(reader);
  else
    cursor_expect(&reader->cursor, "{");
  expect_end(reader);
  while (!reader->cursor.failed && !cursor_accept(&reader->cursor, "}")) {
    int kind = 0;
    while (kind < COUNT_OF(kinds) && !cursor_accept(&reader->cursor, kinds[kind])) kind++;
    if (kind < COUNT_OF(kinds)) {
      read_stage(reader, (StageKind)kind);
    } else if (cursor_accept(&reader->cursor, "local")) {
      read_buffer(reader, true);
    } else if (cursor_accept(&reader->cursor, "flops")) {
      reader->kernel->flops = cursor_size(&reader->cursor);
      expect_end(reader);
    } else if (cursor_accept(&reader->cursor, "bytes")) {
      reader->kernel->bytes = cursor_size(&reader->cursor);
      expect_end(reader);
    } else {
      cursor_refuse(&reader->cursor, "expected a stage, local, flops, bytes or '}'");
    }
  }
  expect_end(reader);
}

static void read_launch(Reader *reader) {
  Plan *plan = reader->plan;
  Launch launch = {.kind = LAUNCH_KERNELS};
  cursor_skip_blanks(&reader->cursor);
  while (!reader->cursor.failed && *reader->cursor.at && *reader->cursor.at != '\n' && *reader->cursor.at != '#') {
    const char *start = reader->cursor.at, *name = cursor_name(&reader->cursor);
    int kernel = 0;
    while (kernel < plan->kernels.count && plan->kernels.items[kernel].name != name) kernel++;
    if (launch.count == 0) launch.first = kernel;
    if (kernel == plan->kernels.count || kernel != launch.first + launch.count) {
      reader->cursor.at = start;
      cursor_refuse(&reader->cursor,
                    kernel == plan->kernels.count ? "no kernel '%s' stands above"
                                                  : "kernels of a launch stand behind each other, '%s' does not",
                    name);
    }
    launch.count++;
    cursor_skip_blanks(&reader->cursor);
  }
  PUSH(reader->cursor.arena, &plan->launches, launch);
  expect_end(reader);
}

/* "t trips T reverse": the dim symbol that counts the turns of a loop, how many, which way. */
static int read_turns(Reader *reader, const Dim **trips, bool *reverse) {
  int turn = -1;
  const char *name = cursor_name(&reader->cursor);
  for (int k = 0; k < reader->cursor.module->dims.count; k++) {
    const DimSymbol *symbol = &reader->cursor.module->dims.items[k];
    if (symbol->turn && strcmp(symbol->name, name) == 0) turn = k;
  }
  if (turn < 0) cursor_refuse(&reader->cursor, "the module has no turn '%s'", name);
  cursor_expect(&reader->cursor, "trips");
  *trips = cursor_size(&reader->cursor);
  if (turn >= 0) reader->cursor.module->dims.items[turn].below = *trips;
  *reverse = cursor_accept(&reader->cursor, "reverse");
  return turn;
}

static void read_launch_loop(Reader *reader) {
  Launch launch = {.kind = LAUNCH_LOOP};
  launch.turn = read_turns(reader, &launch.trips, &launch.reverse);
  cursor_expect(&reader->cursor, "{");
  expect_end(reader);
  PUSH(reader->cursor.arena, &reader->plan->launches, launch);
}

static void read_region(Reader *reader) {
  Plan *plan = reader->plan;
  Region region = {0};
  if (plan->kernels.count > 0) cursor_refuse(&reader->cursor, "regions stand before kernels");
  if (cursor_integer(&reader->cursor) != plan->regions.count)
    cursor_refuse(&reader->cursor, "the next region is %d", plan->regions.count);
  cursor_expect(&reader->cursor, "in");
  region.parent = read_below(reader, plan->regions.count, "region");
  cursor_expect(&reader->cursor, "loop");
  region.turn = read_turns(reader, &region.trips, &region.reverse);
  expect_end(reader);
  PUSH(reader->cursor.arena, &plan->regions, region);
}

/* One line or block of a plan; false at its end. */
static bool read_part(Reader *reader, int *depth) {
  Plan *plan = reader->plan;
  if (cursor_accept(&reader->cursor, "arena")) {
    plan->arena_bytes = cursor_integer(&reader->cursor);
    cursor_expect(&reader->cursor, "of");
    cursor_expect(&reader->cursor, "live");
    plan->live_bytes = cursor_integer(&reader->cursor);
    cursor_expect(&reader->cursor, "local");
    plan->local_bytes = cursor_integer(&reader->cursor);
    expect_end(reader);
  } else if (cursor_accept(&reader->cursor, "buffer")) {
    read_buffer(reader, false);
  } else if (cursor_accept(&reader->cursor, "region")) {
    read_region(reader);
  } else if (cursor_accept(&reader->cursor, "kernel")) {
    read_kernel(reader);
  } else if (cursor_accept(&reader->cursor, "launch")) {
    read_launch(reader);
  } else if (cursor_accept(&reader->cursor, "loop")) {
    read_launch_loop(reader);
    ++*depth;
  } else if (cursor_accept(&reader->cursor, "}")) {
    expect_end(reader);
    if (--*depth < 0) return false;
    PUSH(reader->cursor.arena, &plan->launches, ((Launch){.kind = LAUNCH_END}));
  } else {
    cursor_refuse(&reader->cursor, "expected arena, buffer, region, kernel, launch, loop or '}'");
  }
  return !reader->cursor.failed;
}

static void read_plan(Reader *reader) {
  int depth = 0;
  reader->known.count = 0;
  cursor_expect(&reader->cursor, "plan");
  const char *name = reader->cursor.failed ? "" : cursor_name(&reader->cursor);
  const Graph *graph = module_find_entry(reader->cursor.module, name);
  if (!graph) cursor_refuse(&reader->cursor, "the module has no entry '%s'", name);
  if (reader->cursor.failed) return;
  reader->plan = plan_new(graph);
  PUSH(reader->cursor.arena, &reader->plan->regions, (Region){.turn = -1});
  if (cursor_accept(&reader->cursor, "at")) {
    cursor_expect(&reader->cursor, "once");
    reader->plan->at_once = true;
  }
  if (cursor_accept(&reader->cursor, "after")) reader->plan->after = cursor_name(&reader->cursor);
  cursor_expect(&reader->cursor, "{");
  expect_end(reader);
  while (!reader->cursor.failed && read_part(reader, &depth)) continue;
  for (Id id = 1; id < reader->plan->buffers.count; id++) {
    const Buffer *buffer = &reader->plan->buffers.items[id];
    if (!reader->known.items[id]) cursor_refuse(&reader->cursor, "buffer %%%d is missing in plan '%s'", id, name);
    for (int k = 0; k < buffer->below.count; k++) {
      Id below = buffer->below.items[k];
      if (below < 1 || below >= reader->plan->buffers.count) cursor_refuse(&reader->cursor, "buffer %%%d lies on none", id);
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
  Cursor start = {.module = module, .arena = arena, .diagnostics = diagnostics, .source = source};
  Reader reader = {.cursor = start};
  reader.cursor.at = source->text + head->length;
  cursor_skip_lines(&reader.cursor);
  while (!reader.cursor.failed && *reader.cursor.at) {
    read_plan(&reader);
    PUSH(arena, &read, reader.plan);
  }
  *plans = read.items;
  *count = read.count;
  return reader.cursor.failed ? NULL : module;
}
