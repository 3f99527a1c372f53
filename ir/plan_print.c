/* The text of plans: what --dump shows behind plan passes and plan_read.c reads back, to the same text.
 *
 *     plan train {
 *       arena 8192 of live 8000 local 640
 *       buffer %1 arg 0 x : f32[N, 784]
 *       buffer %3 state net.w : f32[784, 128]
 *       buffer %7 arena h : f32[N, 128] life 0..3 offset 0 below %4 %5
 *       kernel train_0_dense tasks n:N/14 {
 *         local %12 t : f32[N, 10]                 # a task holds [14, 10] of it
 *         contract n:N o:128 | k:784 tile vector o row n column - 14x2 {
 *           s0 = load %1(n, k)
 *           s1 = load %3(k, o)
 *           s2 = mul s0 s1
 *           fold sum s2
 *         after
 *           s3 = folded 0
 *           store %12(n, o) = s3
 *         }
 *       }
 *       launch train_0_dense
 *       loop t trips T reverse {
 *         launch train_1_cell
 *       }
 *     }
 *
 * One that a GPU does as one launch says so: `plan train at once {`. So does one for which passes are still to come: `plan
 * train after fuse {`. Before `order` it has no launches; lines
 * `region 1 in 0 loop t trips T reverse` and `kernel train_1_cell region 1` then tell what is in which loop.
 *
 * Dtypes are printed where they don't follow from the operands. A load whose element may be absent says what it then reads
 * (else 0.0); [s4] as an index is the value of scalar s4. Loops keep their names where these are free: a loop called as a
 * size of the model or as an earlier loop of its stage gets an underscore. */
#include "ir/plan.h"

#include <ctype.h>
#include <string.h>

/* What the lines of one stage share. */
typedef struct Printer {
  const Plan *plan;
  const Module *module;
  const Stage *stage;
  const char *loops[MAX_LOOPS];
  Text *out;
} Printer;

static void print_name(const char *name, Text *out) {
  bool plain = *name != 0;
  for (const char *at = name; *at; at++) plain = plain && (isalnum((unsigned char)*at) || *at == '_' || *at == '.');
  if (plain) {
    text_add(out, "%s", name);
    return;
  }
  text_add(out, "\"");
  for (const char *at = name; *at; at++) {
    if (*at == '"' || *at == '\\') text_add(out, "\\");
    text_add(out, "%c", *at == '\n' ? ' ' : *at);
  }
  text_add(out, "\"");
}

/* ---- loops ---- */

static bool loop_name_is_taken(const Module *module, const char *const *loops, int count, const char *name) {
  for (int k = 0; k < module->dims.count; k++) {
    if (strcmp(module->dims.items[k].name, name) == 0) return true;
  }
  for (int k = 0; k < count; k++) {
    if (strcmp(loops[k], name) == 0) return true;
  }
  return false;
}

/* The loops' names as they are printed: identifiers, none twice, none a size's. */
static void name_loops(const Module *module, const Loop *loops, int count, const char **names) {
  for (int k = 0; k < count; k++) {
    const char *wanted = loops[k].name ? loops[k].name : "i";
    char *name = arena_format(module->arena, "%s%s", isalpha((unsigned char)wanted[0]) ? "" : "i", wanted);
    for (char *at = name; *at; at++) {
      if (!isalnum((unsigned char)*at)) *at = '_';
    }
    while (loop_name_is_taken(module, names, k, name)) name = arena_format(module->arena, "%s_", name);
    names[k] = name;
  }
}

static void print_loop(const Module *module, const char *name, const Loop *loop, Text *out) {
  text_add(out, " %s:", name);
  bool sum = loop->extent->kind == DIM_SUM; /* in brackets, so that a tile behind it belongs to all of it */
  if (sum) text_add(out, "(");
  dim_print(module, loop->extent, out);
  if (sum) text_add(out, ")");
}

/* ---- accesses ---- */

static void print_offset(const Module *module, const Dim *offset, bool first, Text *out) {
  Text text = {0};
  if (!first && dim_is(offset, 0)) return;
  dim_print(module, offset, &text);
  bool negative = text.bytes[0] == '-';
  if (first) {
    text_add(out, "%s", text.bytes);
  } else {
    text_add(out, negative ? " - %s" : " + %s", text.bytes + (negative ? 1 : 0));
  }
  text_free(&text);
}

static void print_axis(const Printer *printer, const Axis *axis) {
  Text *out = printer->out;
  if (axis->divisor != 1) text_add(out, "(");
  for (int k = 0; k < axis->nterms; k++) {
    int64_t coefficient = axis->coefficient[k];
    uint64_t size = coefficient < 0 ? 0 - (uint64_t)coefficient : (uint64_t)coefficient;
    text_add(out, "%s", k == 0 ? (coefficient < 0 ? "-" : "") : (coefficient < 0 ? " - " : " + "));
    if (size != 1) text_add(out, "%llu*", (unsigned long long)size);
    text_add(out, "%s", printer->loops[axis->dim[k]]);
  }
  print_offset(printer->module, axis->offset, axis->nterms == 0, out);
  if (axis->divisor != 1) text_add(out, ")/%lld", (long long)axis->divisor);
}

static void print_sizes(const Module *module, const Type *type, Text *out) {
  text_add(out, "[");
  for (int k = 0; k < type->rank; k++) {
    if (k > 0) text_add(out, ", ");
    dim_print(module, type->size[k], out);
  }
  text_add(out, "]");
}

static void print_map(const Printer *printer, const Access *access) {
  text_add(printer->out, "(");
  for (int k = 0; k < access->map.naxes; k++) {
    if (k > 0) text_add(printer->out, ", ");
    if (access->index[k] >= 0) {
      text_add(printer->out, "[s%d]", access->index[k]);
    } else {
      print_axis(printer, &access->map.axis[k]);
    }
  }
  text_add(printer->out, ")");
}

static void print_access(const Printer *printer, const Access *access) {
  text_add(printer->out, " %%%d", access->buffer);
  print_map(printer, access);
  if (type_same_sizes(&access->as, &printer->plan->buffers.items[access->buffer].type)) return;
  text_add(printer->out, " as ");
  print_sizes(printer->module, &access->as, printer->out);
}

/* ---- stages ---- */

static void print_scalar_attribute(const Printer *printer, const Scalar *scalar) {
  Text *out = printer->out;
  switch (scalar->op) {
  case SCALAR_LOAD:
    print_access(printer, scalar->access);
    if (access_always_inside(printer->plan, printer->stage, scalar->access)) break;
    text_add(out, " else ");
    text_add_number(out, scalar->number, false);
    break;
  case SCALAR_NUMBER:
    text_add(out, " %s ", dtype_name(scalar->dtype));
    text_add_number(out, scalar->number, false);
    break;
  case OP_cast: text_add(out, " %s", dtype_name(scalar->dtype)); break;
  case SCALAR_SIZE:
    text_add(out, " ");
    dim_print(printer->module, scalar->dim, out);
    break;
  case SCALAR_INDEX:
    text_add(out, " ");
    print_map(printer, scalar->access);
    break;
  case SCALAR_INSIDE:
  case SCALAR_RANDOM:
    text_add(out, " ");
    print_map(printer, scalar->access);
    text_add(out, " of ");
    print_sizes(printer->module, &scalar->access->as, out);
    break;
  case SCALAR_KEY:
    if (scalar->a < 0) text_add(out, " stream %lld", (long long)scalar->number);
    break;
  case SCALAR_FOLDED: text_add(out, " %d", scalar->index); break;
  default: break;
  }
}

static const char *scalar_name(int op) {
  static const char *const names[] = {"load", "number", "size", "index", "inside", "key", "random", "folded"};
  return op < SCALAR_LOAD ? op_info[op].name : names[op - SCALAR_LOAD];
}

static void print_scalar(const Printer *printer, int k) {
  const Scalar *scalar = &printer->stage->scalars.items[k];
  text_add(printer->out, "      s%d = %s", k, scalar_name(scalar->op));
  print_scalar_attribute(printer, scalar);
  const int16_t operands[] = {scalar->a, scalar->b, scalar->c};
  for (int operand = 0; operand < scalar_operands(scalar->op); operand++) {
    if (operands[operand] >= 0) text_add(printer->out, " s%d", operands[operand]);
  }
  text_add(printer->out, "\n");
}

const char *const feed_names[FEED_COUNT] = {"none", "copies", "map"};

static void print_tile(const Printer *printer) {
  const Stage *stage = printer->stage;
  const Tile *tile = &stage->tile;
  Text *out = printer->out;
  if (stage->kind != STAGE_CONTRACT) {
    if (stage->vector >= 0) text_add(out, " vector %s", printer->loops[stage->vector]);
    return;
  }
  if (tile->rows == 0) return;
  text_add(out, " tile vector %s", tile->vector >= 0 ? printer->loops[tile->vector] : "-");
  text_add(out, " row %s", tile->row >= 0 ? printer->loops[tile->row] : "-");
  text_add(out, " column %s", tile->column >= 0 ? printer->loops[tile->column] : "-");
  text_add(out, " %dx%d", tile->rows, tile->columns);
  if (tile->piece > 0) text_add(out, " piece %d", tile->piece);
  if (tile->precision != PRECISION_F32) text_add(out, " %s", precision_info[tile->precision].name);
  if (tile->feed[0] != FEED_NONE) text_add(out, " warpgroups %s %s", feed_names[tile->feed[0]], feed_names[tile->feed[1]]);
}

static void print_stage(const Plan *plan, const Stage *stage, Text *out) {
  static const char *const kinds[] = {"each", "fold", "contract", "scatter", "sort", "cumsum"};
  static const char *const folds[] = {"sum", "max", "min", "argmax", "argmin"};
  Printer printer = {.plan = plan, .module = plan->module, .stage = stage, .out = out};
  bool folded = stage->kind == STAGE_FOLD || stage->kind == STAGE_CONTRACT;
  int after = folded ? stage->after : stage->scalars.count;
  name_loops(plan->module, stage->loops, stage->nloops, printer.loops);
  text_add(out, "    %s", kinds[stage->kind]);
  for (int k = 0; k < stage->nloops; k++) {
    if (k == stage->nkept) text_add(out, " |");
    print_loop(plan->module, printer.loops[k], &stage->loops[k], out);
  }
  print_tile(&printer);
  text_add(out, " {\n");
  for (int k = 0; k < after; k++) print_scalar(&printer, k);
  for (int k = 0; k < stage->folders.count; k++) {
    const Folder *folder = &stage->folders.items[k];
    text_add(out, "      fold %s s%d", folds[folder->op], folder->value);
    if (folder->when >= 0) text_add(out, " when s%d", folder->when);
    text_add(out, "\n");
  }
  if (folded) text_add(out, "    after\n");
  for (int k = after; k < stage->scalars.count; k++) print_scalar(&printer, k);
  for (int k = 0; k < stage->stores.count; k++) {
    const Store *store = &stage->stores.items[k];
    text_add(out, "      store");
    print_access(&printer, &store->access);
    text_add(out, " = s%d\n", store->value);
  }
  text_add(out, "    }\n");
}

/* ---- buffers, kernels, launches ---- */

static void print_array(const Buffer *buffer, Text *out) {
  int64_t count = 1, size;
  for (int k = 0; k < buffer->type.rank; k++) {
    if (!dim_is_constant(buffer->type.size[k], &size)) bug("a constant of sizes that are not constant");
    count *= size;
  }
  text_add(out, " = [");
  for (int64_t k = 0; k < count; k++) {
    if (k > 0) text_add(out, ", ");
    text_add_number(out, buffer->array[k], false);
  }
  text_add(out, "]");
}

static void print_buffer(const Plan *plan, Id id, Text *out) {
  static const char *const memories[] = {"arg", "result", "state", "constant", "arena", "local"};
  const Buffer *buffer = &plan->buffers.items[id];
  bool local = buffer->memory == MEMORY_LOCAL;
  text_add(out, local ? "    local %%%d" : "  buffer %%%d %s", id, memories[buffer->memory]);
  if (buffer->memory == MEMORY_ARG || buffer->memory == MEMORY_RESULT) text_add(out, " %d", buffer->index);
  const char *name = buffer->memory == MEMORY_STATE ? plan->module->symbols.items[buffer->index].name : buffer->name;
  if (name) {
    text_add(out, " ");
    print_name(name, out);
  }
  text_add(out, " : ");
  type_print(plan->module, &buffer->type, out);
  if (buffer->memory == MEMORY_STATE && buffer->offset) text_add(out, " offset %lld", (long long)buffer->offset);
  if (buffer->memory == MEMORY_CONSTANT) print_array(buffer, out);
  if (buffer->memory == MEMORY_ARENA && buffer->bytes) {
    text_add(out, " life %d..%d offset %lld", buffer->first, buffer->last, (long long)buffer->offset);
    if (buffer->below.count) text_add(out, " below");
    for (int k = 0; k < buffer->below.count; k++) text_add(out, " %%%d", buffer->below.items[k]);
  }
  if (local) {
    text_add(out, "   # a task holds [");
    const Kernel *kernel = &plan->kernels.items[buffer->index];
    for (int k = 0; k < buffer->type.rank; k++) {
      if (k > 0) text_add(out, ", ");
      if (k < kernel->ntasks)
        text_add(out, "%d", kernel->tasks[k].tile);
      else
        dim_print(plan->module, buffer->type.size[k], out);
    }
    text_add(out, "]");
  }
  text_add(out, "\n");
}

static void print_cost(const Module *module, const char *what, const Dim *dim, Text *out) {
  if (!dim) return;
  text_add(out, "    %s ", what);
  dim_print(module, dim, out);
  text_add(out, "\n");
}

static void print_kernel(const Plan *plan, int number, Text *out) {
  const Kernel *kernel = &plan->kernels.items[number];
  const char *names[MAX_LOOPS];
  name_loops(plan->module, kernel->tasks, kernel->ntasks, names);
  text_add(out, "  kernel ");
  print_name(kernel->name, out);
  if (kernel->region > 0 && plan->launches.count == 0) text_add(out, " region %d", kernel->region);
  if (kernel->ntasks) text_add(out, " tasks");
  for (int k = 0; k < kernel->ntasks; k++) {
    print_loop(plan->module, names[k], &kernel->tasks[k], out);
    text_add(out, "/%d", kernel->tasks[k].tile);
  }
  text_add(out, " {\n");
  print_cost(plan->module, "flops", kernel->flops, out);
  print_cost(plan->module, "bytes", kernel->bytes, out);
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory == MEMORY_LOCAL && buffer->index == number) print_buffer(plan, id, out);
  }
  for (int k = 0; k < kernel->stages.count; k++) print_stage(plan, &kernel->stages.items[k], out);
  text_add(out, "  }\n");
}

/* Loops of the model, as long as there are no launches to tell which kernels belong to them. */
static void print_regions(const Plan *plan, Text *out) {
  for (int k = 1; k < plan->regions.count && plan->launches.count == 0; k++) {
    const Region *region = &plan->regions.items[k];
    text_add(out, "  region %d in %d loop %s trips ", k, region->parent, plan->module->dims.items[region->turn].name);
    dim_print(plan->module, region->trips, out);
    text_add(out, "%s\n", region->reverse ? " reverse" : "");
  }
}

static void print_launches(const Plan *plan, Text *out) {
  int depth = 1;
  for (int k = 0; k < plan->launches.count; k++) {
    const Launch *launch = &plan->launches.items[k];
    if (launch->kind == LAUNCH_END) depth--;
    for (int blank = 0; blank < depth; blank++) text_add(out, "  ");
    switch (launch->kind) {
    case LAUNCH_KERNELS:
      text_add(out, "launch");
      for (int kernel = 0; kernel < launch->count; kernel++) {
        text_add(out, " ");
        print_name(plan->kernels.items[launch->first + kernel].name, out);
      }
      text_add(out, "\n");
      break;
    case LAUNCH_LOOP:
      text_add(out, "loop %s trips ", plan->module->dims.items[launch->turn].name);
      dim_print(plan->module, launch->trips, out);
      text_add(out, "%s {\n", launch->reverse ? " reverse" : "");
      depth++;
      break;
    case LAUNCH_END: text_add(out, "}\n"); break;
    }
  }
}

void plan_print(const Plan *plan, Text *out) {
  text_add(out, "plan ");
  print_name(plan->graph->name, out);
  if (plan->at_once) text_add(out, " at once");
  if (plan->after) text_add(out, " after %s", plan->after);
  text_add(out, " {\n");
  text_add(out, "  arena %lld of live %lld local %lld\n", (long long)plan->arena_bytes, (long long)plan->live_bytes,
           (long long)plan->local_bytes);
  for (Id id = 1; id < plan->buffers.count; id++) {
    if (plan->buffers.items[id].memory != MEMORY_LOCAL) print_buffer(plan, id, out);
  }
  print_regions(plan, out);
  for (int k = 0; k < plan->kernels.count; k++) print_kernel(plan, k, out);
  print_launches(plan, out);
  text_add(out, "}\n");
}

/* ---- files ---- */

/* An entry without its nodes. Its results and finals need values to be text of a module; they stand as constants, which
 * keep their types. */
static Graph *head_of(Module *module, const Plan *plan) {
  const Graph *graph = plan->graph;
  Graph *head = graph_new(module, graph->name, graph->kind);
  head->place = graph->place;
  head->draws = graph->draws;
  head->here = graph->place;
  for (int k = 0; k < graph->parameters.count; k++) PUSH(module->arena, &head->parameters, graph->parameters.items[k]);
  for (int k = 0; k < graph->checks.count; k++) PUSH(module->arena, &head->checks, graph->checks.items[k]);
  for (int k = 0; k < graph->results.count; k++) {
    Result result = graph->results.items[k];
    result.value = graph_constant(head, *graph_type(graph, result.value), 0);
    PUSH(module->arena, &head->results, result);
  }
  for (int k = 0; k < graph->finals.count; k++) {
    Final final = graph->finals.items[k];
    final.value = graph_constant(head, symbol_stored(module, &module->symbols.items[final.symbol]), 0);
    PUSH(module->arena, &head->finals, final);
  }
  return head;
}

void plans_print(const Module *module, Plan *const *plans, int count, Text *out) {
  Module head = *module;
  memset(&head.entries, 0, sizeof head.entries);
  for (int k = 0; k < count; k++) PUSH(module->arena, &head.entries, head_of(plans[k]->module, plans[k]));
  module_print(&head, out);
  for (int k = 0; k < count; k++) plan_print(plans[k], out);
}
