/* nnc show: what is in a model, for people and, with --json, for programs. */
#include "command/arguments.h"
#include "command/bounded.h"
#include "command/commands.h"
#include "command/flops.h"
#include "command/layer_use.h"
#include "command/memory_use.h"
#include "command/program.h"
#include "command/show_cuda.h"

#include "runtime/nn.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

static int64_t count_trainable(const Machine *machine, int *tensors) {
  int64_t count = 0;
  *tensors = 0;
  for (int k = 0; k < machine->nsymbols; k++) {
    if (!machine->symbols[k].trainable) continue;
    count += machine->symbols[k].count;
    (*tensors)++;
  }
  return count;
}

/* "1234567" as "1,234,567". */
static const char *grouped(Arena *arena, int64_t number) {
  const char *digits = arena_format(arena, "%lld", (long long)number);
  size_t length = strlen(digits);
  char *text = arena_alloc(arena, length * 2), *to = text;
  for (size_t k = 0; k < length; k++) {
    if (k > 0 && (length - k) % 3 == 0) *to++ = ',';
    *to++ = digits[k];
  }
  return text;
}

/* "1 launch", "2 launches". */
static const char *counted(Arena *arena, int64_t number, const char *what) {
  const char *ending = number == 1 ? "" : text_ends(what, "ch") ? "es" : "s";
  return arena_format(arena, "%s %s%s", grouped(arena, number), what, ending);
}

static int64_t *dims_at_bounds(Arena *arena, const Machine *machine) {
  int64_t *dims = NEW_ARRAY(arena, int64_t, machine->ndims + 1);
  for (int k = 0; k < machine->ndims; k++) dims[k] = machine->dims[k].high;
  return dims;
}

/* ---- for people ---- */

static void print_values(const MachineValue *values, int count) {
  for (int k = 0; k < count; k++) {
    printf("%s%s: %s%s", k ? ", " : "", values[k].name, dtype_name(values[k].dtype), values[k].shape);
    if (values[k].has_default) printf(" = %g", values[k].fallback);
  }
}

/* 0 where there is no graph to count them in. */
static double flops_at_bounds(Arena *arena, Machine *machine, const Settings *settings, int index) {
  if (!machine->program) return 0;
  return flops_asked(machine->program, settings, index, dims_at_bounds(arena, machine));
}

static const char *flops_text(Arena *arena, double flops) {
  static const struct {
    double of;
    const char *name;
  } units[] = {{1e12, "TFLOP"}, {1e9, "GFLOP"}, {1e6, "MFLOP"}, {1e3, "kFLOP"}, {1, "FLOP"}};
  int unit = 0;
  while (unit < COUNT_OF(units) - 1 && flops < units[unit].of) unit++;
  return arena_format(arena, "%.3g %s", flops / units[unit].of, units[unit].name);
}

/* How far the arena is from what no packing can beat; for other sizes than the bounds only where it is farther. */
static void print_arena(Arena *arena, const Machine *machine, const Plan *plan) {
  const Module *module = plan->module;
  int64_t *sizes = NEW_ARRAY(arena, int64_t, module->dims.count + 1);
  MemoryUse worst = memory_use_worst(plan, sizes);
  double ratio = plan->live_bytes ? (double)plan->arena_bytes / (double)plan->live_bytes : 1;
  double most = worst.live ? (double)worst.arena / (double)worst.live : 1;
  printf("       arena: %s, proven ", counted(arena, plan->arena_bytes, "byte"));
  printf(ratio > 1 ? "within %.4f of the least" : "the least", ratio);
  if (most > ratio) printf(", within %.4f", most);
  for (int k = 0, told = 0; k < machine->ndims && most > ratio; k++)
    printf("%s%s=%lld", told++ ? " " : " at ", module->dims.items[k].name, (long long)sizes[k]);
  printf("\n");
}

static void print_memory(Arena *arena, Machine *machine, const Settings *settings, int index) {
  const MachineEntry *entry = &machine->entries[index];
  int64_t *dims = dims_at_bounds(arena, machine);
  size_t one = machine->model->entries[index].scratch(dims, 1), all = machine->functions->scratch(machine, index, dims);
  printf("       %s in %s; scratch at the bounds: %s bytes with 1 worker", counted(arena, entry->nkernels, "kernel"),
         counted(arena, entry->nlaunches, "launch"), grouped(arena, (int64_t)one));
  if (machine->workers > 1) printf(", %s with %d", grouped(arena, (int64_t)all), machine->workers);
  printf("\n");
  const Plan *plan = machine_plan(machine, settings, index);
  Text text = {0};
  if (plan && plan->arena_bytes) print_arena(arena, machine, plan);
  if (plan && settings->memory) bounded_tell(plan, &text);
  if (text.length) printf("       --mem: %s\n", text.bytes);
  text_free(&text);
}

/* The convolutions that --fast-conv may take, in a graph and in the bodies of its loops, and by which tiles it does. */
typedef struct ConvTiles {
  int all, by2, by4;
} ConvTiles;

static ConvTiles count_conv_tiles(const Graph *graph) {
  ConvTiles count = {0};
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    int tile = fast_conv_tile(graph, node, FAST_CONV_BEST);
    ConvTiles own = {fast_conv_tile(graph, node, FAST_CONV_2) != 0, tile == 2, tile == 4};
    if (node->op == OP_scan) own = count_conv_tiles(node->scan->body);
    count = (ConvTiles){count.all + own.all, count.by2 + own.by2, count.by4 + own.by4};
  }
  return count;
}

static ConvTiles entry_conv_tiles(const Machine *machine, const Settings *settings, int index) {
  bool known = settings->fast_conv && machine->program && machine->program->interpreted;
  return known ? count_conv_tiles(machine->program->interpreted[index]) : (ConvTiles){0};
}

static void print_conv_tiles(const ConvTiles *count) {
  printf("       --fast-conv: %d of %d convolutions of 3 x 3 by tiles", count->by2 + count->by4, count->all);
  if (count->by2) printf("; %d of 2 x 2, with %.1f times the rounding error", count->by2, fast_conv_error(2));
  if (count->by4) printf("; %d of 4 x 4, with %.0f times the rounding error", count->by4, fast_conv_error(4));
  printf("\n");
}

static void print_entry(Arena *arena, Machine *machine, const Settings *settings, int index) {
  const MachineEntry *entry = &machine->entries[index];
  printf("%-4s %s(", entry->step ? "step" : "fn", entry->name);
  print_values(entry->parameters, entry->nparameters);
  printf(")%s", entry->nresults ? " -> (" : "");
  print_values(entry->results, entry->nresults);
  printf("%s%s\n", entry->nresults ? ")" : "", entry->draws ? "   draws: takes a seed" : "");
  if (machine->compiled) print_memory(arena, machine, settings, index);
  ConvTiles tiles = entry_conv_tiles(machine, settings, index);
  if (tiles.all > 0) print_conv_tiles(&tiles);
  double flops = flops_at_bounds(arena, machine, settings, index);
  if (flops > 0) printf("       %s at the bounds\n", flops_text(arena, flops));
}

/* The layer of "net.conv1.w" is "net.conv1"; a name without a dot is its own. */
static size_t layer_length(const char *name) {
  const char *dot = strrchr(name, '.');
  return dot ? (size_t)(dot - name) : strlen(name);
}

static bool same_layer(const MachineSymbol *a, const MachineSymbol *b) {
  size_t length = layer_length(a->name);
  return a->trainable && b->trainable && layer_length(b->name) == length && memcmp(a->name, b->name, length) == 0;
}

/* A row of the table of layers, as text. */
enum { LAYER_NAME, LAYER_CALL, LAYER_OUTPUT, LAYER_COUNT, LAYER_TENSORS, LAYER_COLUMNS };
typedef struct LayerRow {
  const char *text[LAYER_COLUMNS];
} LayerRow;

static LayerRow layer_row(Arena *arena, const Machine *machine, int first) {
  const MachineSymbol *symbol = &machine->symbols[first];
  size_t length = layer_length(symbol->name);
  int64_t count = 0;
  Text tensors = {0}, output = {0};
  for (int k = first; k < machine->nsymbols; k++) {
    const MachineSymbol *of = &machine->symbols[k];
    if (!same_layer(symbol, of)) continue;
    Tensor tensor = {.rank = of->rank};
    memcpy(tensor.size, of->size, sizeof of->size);
    text_add(&tensors, "%s%s %s", count ? ", " : "", of->name[length] ? of->name + length + 1 : of->name,
             tensor_shape(arena, &tensor));
    count += of->count;
  }
  LayerUse use = layer_use(machine, first);
  if (use.output) type_print(machine->program->module, use.output, &output);
  LayerRow row = {{arena_format(arena, "%.*s", (int)length, symbol->name), use.call ? use.call : "",
                   output.length ? arena_format(arena, "%s", output.bytes) : "", grouped(arena, count),
                   arena_format(arena, "%s", tensors.bytes)}};
  text_free(&tensors);
  text_free(&output);
  return row;
}

/* As wide as the longest text, up to a limit: one long call must not move all columns out of sight. */
static void print_layers(Arena *arena, const Machine *machine) {
  enum { WIDEST = 40 };
  Vec(LayerRow) rows = {0};
  PUSH(arena, &rows, ((LayerRow){{"layer", "made by", "output", "parameters", "tensors"}}));
  for (int k = 0; k < machine->nsymbols; k++) {
    bool seen = !machine->symbols[k].trainable;
    for (int before = 0; before < k && !seen; before++) seen = same_layer(&machine->symbols[before], &machine->symbols[k]);
    if (!seen) PUSH(arena, &rows, layer_row(arena, machine, k));
  }
  int width[LAYER_COLUMNS] = {0};
  for (int r = 0; r < rows.count; r++)
    for (int c = 0; c < LAYER_COLUMNS; c++)
      if (r > 0 || c == LAYER_NAME || c == LAYER_COUNT)
        width[c] = MAX(width[c], (int)MIN(strlen(rows.items[r].text[c]), (size_t)WIDEST));
  for (int c = 0; c < LAYER_COLUMNS; c++)
    if (width[c]) width[c] = MAX(width[c], (int)strlen(rows.items[0].text[c]));
  for (int r = 0; r < rows.count; r++) {
    const LayerRow *row = &rows.items[r];
    for (int c = 0; c < LAYER_TENSORS; c++)
      if (width[c]) printf(c == LAYER_COUNT ? "  %*s" : "  %-*s", width[c], row->text[c]);
    printf("  %s\n", row->text[LAYER_TENSORS]);
  }
}

static void print_all(Arena *arena, Machine *machine, const Settings *settings) {
  int tensors;
  int64_t trainable = count_trainable(machine, &tensors);
  printf("model %s\n", machine->name);
  for (int k = 0; k < machine->ndims; k++) {
    const MachineDim *dim = &machine->dims[k];
    printf("dim  %lld <= %s <= %lld", (long long)dim->low, dim->name, (long long)dim->high);
    printf(dim->step > 1 ? " by %lld\n" : "\n", (long long)dim->step);
  }
  for (int k = 0; k < machine->nentries; k++) print_entry(arena, machine, settings, k);
  printf("\n%s", tensors ? counted(arena, trainable, "parameter") : "no parameters\n");
  if (tensors) printf(" in %s:\n", counted(arena, tensors, "trainable tensor"));
  if (tensors) print_layers(arena, machine);
  if (machine->nsymbols == 0) return;
  printf("\nstate: %s, %s in all", counted(arena, (int64_t)machine->state_bytes, "byte"),
         counted(arena, machine->nsymbols, "tensor"));
  if (machine->compiled) printf("; inference needs the first %s", grouped(arena, (int64_t)machine->model->inference_bytes));
  printf("\n");
}

static void print_kernels(Machine *machine) {
  for (int e = 0; machine->compiled && e < machine->nentries; e++) {
    const nn_entry *entry = &machine->model->entries[e];
    printf("\n%s:\n", entry->name);
    for (int l = 0; l < entry->nlaunches; l++)
      for (int k = 0; k < entry->launches[l].kernels; k++) {
        const nn_kernel *kernel = &entry->kernels[entry->launches[l].first_kernel + k];
        printf("  %3d  %-32s flops %-28s bytes %-28s %s\n", l, kernel->name, kernel->flops, kernel->bytes, kernel->lines);
      }
  }
}

/* ---- for programs ---- */

static cJSON *values_json(const MachineValue *values, int count) {
  cJSON *list = cJSON_CreateArray();
  for (int k = 0; k < count; k++) {
    cJSON *value = cJSON_CreateObject();
    cJSON_AddStringToObject(value, "name", values[k].name);
    cJSON_AddStringToObject(value, "dtype", dtype_name(values[k].dtype));
    cJSON_AddStringToObject(value, "shape", values[k].shape);
    if (values[k].has_default) cJSON_AddNumberToObject(value, "default", values[k].fallback);
    cJSON_AddItemToArray(list, value);
  }
  return list;
}

static cJSON *kernels_json(const nn_entry *entry) {
  cJSON *list = cJSON_CreateArray();
  for (int l = 0; l < entry->nlaunches; l++)
    for (int k = 0; k < entry->launches[l].kernels; k++) {
      const nn_kernel *kernel = &entry->kernels[entry->launches[l].first_kernel + k];
      cJSON *item = cJSON_CreateObject();
      cJSON_AddStringToObject(item, "name", kernel->name);
      cJSON_AddNumberToObject(item, "launch", l);
      cJSON_AddStringToObject(item, "flops", kernel->flops);
      cJSON_AddStringToObject(item, "bytes", kernel->bytes);
      cJSON_AddStringToObject(item, "lines", kernel->lines);
      cJSON_AddItemToArray(list, item);
    }
  return list;
}

static void add_conv_tiles(cJSON *item, const ConvTiles *count) {
  if (count->all == 0) return;
  cJSON *tiles = cJSON_AddObjectToObject(item, "fast_conv");
  cJSON_AddNumberToObject(tiles, "convolutions", count->all);
  cJSON_AddNumberToObject(tiles, "by_tiles_of_2", count->by2);
  cJSON_AddNumberToObject(tiles, "by_tiles_of_4", count->by4);
  cJSON_AddNumberToObject(tiles, "error_by_tiles_of_2", fast_conv_error(2)); /* times the direct way's */
  cJSON_AddNumberToObject(tiles, "error_by_tiles_of_4", fast_conv_error(4));
}

/* At the bounds: what the arena holds at once, what it comes to, and all that ever lies in it side by side. */
static void add_memory(Arena *arena, cJSON *item, const Plan *plan) {
  const Module *module = plan->module;
  int64_t *sizes = NEW_ARRAY(arena, int64_t, module->dims.count + 1);
  MemoryUse use = memory_use_worst(plan, sizes);
  cJSON_AddNumberToObject(item, "arena_bytes", (double)plan->arena_bytes);
  cJSON_AddNumberToObject(item, "live_bytes", (double)plan->live_bytes);
  cJSON_AddNumberToObject(item, "one_by_one_bytes", (double)plan->one_by_one_bytes); /* the same in the program's order */
  cJSON_AddNumberToObject(item, "buffer_bytes", (double)plan->apart_bytes);
  cJSON_AddNumberToObject(item, "worker_bytes", (double)plan->local_bytes);
  cJSON *worst = cJSON_AddObjectToObject(item, "worst"); /* of many sizes, where the arena is farthest above what lives */
  cJSON_AddNumberToObject(worst, "arena_bytes", (double)use.arena);
  cJSON_AddNumberToObject(worst, "live_bytes", (double)use.live);
  cJSON *dims = cJSON_AddObjectToObject(worst, "dims");
  for (int k = 0; k < module->dims.count; k++)
    if (!module->dims.items[k].turn) cJSON_AddNumberToObject(dims, module->dims.items[k].name, (double)sizes[k]);
}

static cJSON *entry_json(Arena *arena, Machine *machine, const Settings *settings, int index) {
  const MachineEntry *entry = &machine->entries[index];
  cJSON *item = cJSON_CreateObject();
  cJSON_AddStringToObject(item, "name", entry->name);
  cJSON_AddStringToObject(item, "kind", entry->step ? "step" : "fn");
  cJSON_AddBoolToObject(item, "draws", entry->draws);
  cJSON_AddItemToObject(item, "parameters", values_json(entry->parameters, entry->nparameters));
  cJSON_AddItemToObject(item, "results", values_json(entry->results, entry->nresults));
  double flops = flops_at_bounds(arena, machine, settings, index);
  if (flops > 0) cJSON_AddNumberToObject(item, "flops", flops);
  ConvTiles tiles = entry_conv_tiles(machine, settings, index);
  add_conv_tiles(item, &tiles);
  if (!machine->compiled) return item;
  size_t scratch = machine->model->entries[index].scratch(dims_at_bounds(arena, machine), 1);
  cJSON_AddNumberToObject(item, "scratch_bytes", (double)scratch);
  const Plan *plan = machine_plan(machine, settings, index);
  if (plan) add_memory(arena, item, plan);
  cJSON_AddItemToObject(item, "kernels", kernels_json(&machine->model->entries[index]));
  return item;
}

static cJSON *symbols_json(const Machine *machine) {
  cJSON *list = cJSON_CreateArray();
  for (int k = 0; k < machine->nsymbols; k++) {
    const MachineSymbol *symbol = &machine->symbols[k];
    cJSON *item = cJSON_CreateObject(), *shape = cJSON_CreateArray();
    cJSON_AddStringToObject(item, "name", symbol->name);
    cJSON_AddStringToObject(item, "dtype", dtype_name(symbol->dtype));
    for (int axis = 0; axis < symbol->rank; axis++)
      cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)symbol->size[axis]));
    cJSON_AddItemToObject(item, "shape", shape);
    cJSON_AddBoolToObject(item, "trainable", symbol->trainable);
    cJSON_AddItemToArray(list, item);
  }
  return list;
}

static void print_json(Arena *arena, Machine *machine, const Settings *settings) {
  int tensors;
  cJSON *root = cJSON_CreateObject(), *dims = cJSON_AddArrayToObject(root, "dims");
  cJSON_AddStringToObject(root, "model", machine->name);
  cJSON_AddNumberToObject(root, "parameters", (double)count_trainable(machine, &tensors));
  cJSON_AddNumberToObject(root, "trainable_tensors", tensors);
  cJSON_AddNumberToObject(root, "state_bytes", (double)machine->state_bytes);
  if (machine->compiled) cJSON_AddNumberToObject(root, "inference_bytes", (double)machine->model->inference_bytes);
  for (int k = 0; k < machine->ndims; k++) {
    cJSON *dim = cJSON_CreateObject();
    cJSON_AddStringToObject(dim, "name", machine->dims[k].name);
    cJSON_AddNumberToObject(dim, "low", (double)machine->dims[k].low);
    cJSON_AddNumberToObject(dim, "high", (double)machine->dims[k].high);
    cJSON_AddNumberToObject(dim, "step", (double)MAX(machine->dims[k].step, 1));
    cJSON_AddItemToArray(dims, dim);
  }
  cJSON *entries = cJSON_AddArrayToObject(root, "entries");
  for (int k = 0; k < machine->nentries; k++) cJSON_AddItemToArray(entries, entry_json(arena, machine, settings, k));
  cJSON_AddItemToObject(root, "tensors", symbols_json(machine));
  char *text = cJSON_Print(root);
  printf("%s\n", text);
  cJSON_free(text);
  cJSON_Delete(root);
}

/* Pictures are what compiling writes under these endings. */
static bool draw(Arena *arena, Settings *settings, Failure *failure) {
  const char *out = settings->output;
  if (text_ends(settings->words.items[0], ".so"))
    return fail(failure, EXIT_INPUT, "-o %.300s: pictures are drawn from the .nn file", out);
  if (!text_ends(out, ".svg") && !text_ends(out, ".dot") && !text_ends(out, ".html"))
    return fail(failure, EXIT_INPUT, "-o %.300s: end it in .svg or .dot for the graph, in .html for the memory", out);
  return command_compile.run(arena, settings, failure) == 0;
}

static int run_show(Arena *arena, Settings *settings, Failure *failure) {
  if (settings->words.count != 1) {
    fail(failure, EXIT_INPUT, "show wants one model: nnc show MODEL");
    return failure->code;
  }
  if (settings->output) {
    draw(arena, settings, failure);
    return failure->code;
  }
  const char *path = settings->words.items[0];
  if (settings->kernels && !settings->json && target_is_cuda(settings) && !text_ends(path, ".so"))
    return show_cuda(arena, path, settings, failure);
  Machine *machine = machine_open(arena, path, settings, failure);
  if (!machine) return failure->code;
  if (settings->json)
    print_json(arena, machine, settings);
  else
    print_all(arena, machine, settings);
  if (settings->kernels && !settings->json) print_kernels(machine);
  machine_close(machine);
  return 0;
}

static const Option options[] = {
    TEXT("output", 'o', output, "FILE", "draws: the graph (.svg, by Graphviz, or .dot), the memory over time (.html)"),
    FLAG("kernels", 0, kernels,
         "lists the kernels of each entry, with the lines that they came from;\n"
         "with --target cuda what each takes of a GPU, of which none is needed"),
    FLAG("json", 0, json, "prints all of it as JSON"),
    FLAG("interpret", 0, interpret, "does not compile: tells nothing about kernels and scratch"),
    OPTIONS_OF_MACHINES,
    OPTIONS_OF_ALL,
};

const Command command_show = {
    .name = "show",
    .usage = "nnc show MODEL [options]",
    .summary = "entries, layers, FLOPs, memory, kernels",
    .about =
        "Tells what is in a model: its dims, its fns and steps, its layers with what they put out and how "
        "many\nparameters they have, and what it needs. FLOPs and scratch are told for the largest sizes of the dims.\n"
        "Scratch is the arena, which buffers share, and what each worker needs. The least that an arena could take is the\n"
        "largest sum of bytes alive at one time; how near it comes to that is told, at the bounds and at those smaller\n"
        "sizes where it is farther.",
    .options = options,
    .count = COUNT_OF(options),
    .run = run_show,
};
