/* One program, run every way there is, held to its bounds.
 *
 * The definition is the graph with its gradients expanded and nothing else done to it, in f64. Against it stand: that graph
 * in f32, the graph that the optimising passes leave in f32, the plan with and without fusion and for CUDA, and compiled
 * code. Where decisions were open, all of this is done once more with the program that tells them (decisions.c), and what
 * could not be compared before is compared under the decisions of each run.
 *
 * With --fast-conv the definition has its convolutions by tiles: the bounds are then of what these round, and the plain graph
 * must give the same in f64, to within what f64 rounds. */
#include "codegen/cuda/cuda.h"
#include "passes/plan/plan_passes.h"
#include "runtime/cuda.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <string.h>

/* ---- what is run ---- */

typedef struct Inputs {
  int64_t dims[FUZZ_DIMS];
  Array *parameters, *states;           /* f32 */
  Array *wide_parameters, *wide_states; /* the same in f64 */
} Inputs;

typedef struct Check {
  Arena *arena;
  Module *module;
  const CheckOptions *options;
  Counts *counts;
  Text *why;
  Graph **definitions;  /* by entry */
  Graph **direct;       /* the same with convolutions as they were, NULL: no other */
  Decisions *decisions; /* by entry */
  bool telling;         /* the runs tell their decisions */
  /* the entry at hand */
  int entry;
  const Graph *graph;  /* the definition */
  const Graph *called; /* it, or the same telling its decisions: what runs take and give */
  Inputs inputs;
  Bounded plain; /* with nothing taken over */
  bool undecided;
} Check;

typedef struct Outcome {
  Array *results, *states;
} Outcome;

static Array widened(Arena *arena, const Array *array) {
  if (array->dtype != F32) return *array;
  Array wide = array_new(arena, F32, true, array->rank, array->size);
  for (int64_t k = 0; k < array_count(array); k++) array_set(&wide, k, array_get(array, k));
  return wide;
}

static void fill_inputs(Check *check, int64_t n) {
  Inputs *in = &check->inputs;
  Arena *arena = check->arena;
  for (int k = 0; k < FUZZ_DIMS; k++) in->dims[k] = n;
  int nparameters = check->graph->parameters.count, nstates = check->module->symbols.count;
  in->parameters = NEW_ARRAY(arena, Array, nparameters + 1);
  in->wide_parameters = NEW_ARRAY(arena, Array, nparameters + 1);
  in->states = NEW_ARRAY(arena, Array, nstates + 1);
  in->wide_states = NEW_ARRAY(arena, Array, nstates + 1);
  for (int k = 0; k < nparameters; k++) {
    const Parameter *parameter = &check->graph->parameters.items[k];
    in->parameters[k] = array_for(arena, &parameter->type, false, in->dims);
    fill_input(parameter->name, &in->parameters[k]);
    in->wide_parameters[k] = widened(arena, &in->parameters[k]);
  }
  for (int k = 0; k < nstates; k++) {
    const Symbol *symbol = &check->module->symbols.items[k];
    in->states[k] = array_for(arena, &symbol->type, false, in->dims);
    fill_input(symbol->name, &in->states[k]);
    in->wide_states[k] = widened(arena, &in->states[k]);
  }
}

static Outcome outcome_new(const Check *check) {
  int nstates = check->module->symbols.count;
  Outcome outcome = {.results = NEW_ARRAY(check->arena, Array, check->called->results.count + 1),
                     .states = NEW_ARRAY(check->arena, Array, nstates + 1)};
  for (int k = 0; k < nstates; k++) outcome.states[k] = check->inputs.states[k];
  return outcome;
}

static Run run_of(const Check *check, const Graph *graph, Outcome *outcome) {
  return (Run){.graph = graph,
               .dims = check->inputs.dims,
               .parameters = check->inputs.parameters,
               .states = outcome->states,
               .results = outcome->results,
               .arena = check->arena};
}

/* ---- comparing ---- */

static bool agrees(double found, double exact, double bound) {
  if (found == exact || (isnan(found) && isnan(exact))) return true;
  return fabs(found - exact) <= bound * (1 + 1e-6);
}

/* What could be compared with nothing taken over was counted then. */
static void count_element(Check *check, bool plain, double exact, double bound) {
  Counts *counts = check->counts;
  bool decided = bound < INFINITY, close = bound <= 1e-3 * fabs(exact) || bound == 0;
  if (!check->telling) {
    counts->compared++;
    counts->undecided += !decided;
    counts->close += decided && close;
    check->undecided = check->undecided || !decided;
  } else if (!plain && decided) {
    counts->taken++;
    counts->undecided--;
    counts->close += close;
  }
}

static bool compare_array(Check *check, const char *way, const char *name, const Array *found, const Bounded *bounded,
                          Id value) {
  const Array *exact = &bounded->values[value];
  for (int64_t k = 0; k < array_count(exact); k++) {
    double x = array_get(found, k), y = array_get(exact, k), bound = bounded->bound[value][k];
    count_element(check, check->plain.bound[value][k] < INFINITY, y, bound);
    if (bound == INFINITY || agrees(x, y, bound)) continue;
    text_add(check->why, "%s, N=%lld: %s %s[%lld] is %.9g, but should be %.9g to within %.3g", way,
             (long long)check->inputs.dims[0], check->graph->name, name, (long long)k, x, y, bound);
    return false;
  }
  return true;
}

static bool failed(const Check *check, const char *way, const Failure *failure) {
  text_add(check->why, "%s, N=%lld: %s: %s", way, (long long)check->inputs.dims[0], check->graph->name, failure->message);
  return false;
}

static bool bound_values(const Check *check, Decisions *decisions, Bounded *bounded, Failure *failure) {
  const Inputs *in = &check->inputs;
  return bounds_of(check->graph, in->dims, in->wide_parameters, NULL, in->wide_states, check->options->precision, decisions,
                   check->arena, bounded, failure);
}

static bool compare(Check *check, const char *way, const Outcome *outcome) {
  const Graph *graph = check->graph;
  Bounded bounded = check->plain;
  if (check->telling) {
    Failure failure = {0};
    Decisions *decisions = &check->decisions[check->entry];
    take_decisions(graph, decisions, outcome->results + graph->results.count);
    if (!bound_values(check, decisions, &bounded, &failure)) return failed(check, way, &failure);
  }
  for (int k = 0; k < graph->results.count; k++) {
    const Result *result = &graph->results.items[k];
    if (!compare_array(check, way, result->name, &outcome->results[k], &bounded, result->value)) return false;
  }
  for (int k = 0; k < graph->finals.count; k++) {
    const Final *final = &graph->finals.items[k];
    const char *name = check->module->symbols.items[final->symbol].name;
    if (!compare_array(check, way, name, &outcome->states[final->symbol], &bounded, final->value)) return false;
  }
  return true;
}

static bool check_graph(Check *check, const char *way, const Graph *graph) {
  Outcome outcome = outcome_new(check);
  Run run = run_of(check, graph, &outcome);
  Failure failure = {0};
  return interpret(&run, &failure) ? compare(check, way, &outcome) : failed(check, way, &failure);
}

/* What it is in f64 must be the definition's value in f64, to within a little more than f64's part of the bound. */
static bool check_direct(Check *check, const Graph *graph) {
  Outcome outcome = outcome_new(check);
  Run run = run_of(check, graph, &outcome);
  Failure failure = {0};
  run.f64 = true;
  run.parameters = check->inputs.wide_parameters;
  for (int k = 0; k < check->module->symbols.count; k++) run.states[k] = check->inputs.wide_states[k];
  if (!interpret(&run, &failure)) return failed(check, "direct", &failure);
  for (int r = 0; r < graph->results.count; r++) {
    Id value = check->graph->results.items[r].value;
    for (int64_t k = 0; k < array_count(&run.results[r]); k++) {
      double exact = array_get(&check->plain.values[value], k), found = array_get(&run.results[r], k);
      double bound = check->plain.bound[value][k];
      if (bound == INFINITY || agrees(found, exact, ldexp(bound, -24))) continue;
      text_add(check->why, "direct, N=%lld: %s %s[%lld] is %.17g, by tiles %.17g", (long long)check->inputs.dims[0],
               graph->name, graph->results.items[r].name, (long long)k, found, exact);
      return false;
    }
  }
  return true;
}

static bool check_plan(Check *check, const char *way, const Plan *plan, Outcome *outcome) {
  *outcome = outcome_new(check);
  Run run = run_of(check, plan->graph, outcome);
  Failure failure = {0};
  return plan_run(plan, &run, &failure) ? compare(check, way, outcome) : failed(check, way, &failure);
}

/* ---- compiled ---- */

/* What must give the same to the bit: two threads and one, in little memory and in much. */
static bool same_bits(const Check *check, const char *way, const char *other, const Outcome *one, const Outcome *two) {
  int nresults = check->called->results.count, nstates = check->module->symbols.count;
  for (int k = 0; k < nresults + nstates; k++) {
    const Array *a = k < nresults ? &one->results[k] : &one->states[k - nresults];
    const Array *b = k < nresults ? &two->results[k] : &two->states[k - nresults];
    if (memcmp(a->data, b->data, (size_t)array_count(a) * array_element_bytes(a)) == 0) continue;
    const char *name =
        k < nresults ? check->called->results.items[k].name : check->module->symbols.items[k - nresults].name;
    text_add(check->why, "%s, N=%lld: %s gives other bits of %s %s", way, (long long)check->inputs.dims[0], other,
             check->graph->name, name);
    return false;
  }
  return true;
}

typedef struct Code {
  Loaded *loaded;
  const char *way;
} Code;

static bool check_code(Check *check, const Code *code) {
  Outcome one = outcome_new(check), two = outcome_new(check);
  Run run = run_of(check, check->called, &one), again = run_of(check, check->called, &two);
  Failure failure = {0};
  if (!compiled_run(code->loaded, check->entry, &run, 1, &failure)) return failed(check, code->way, &failure);
  if (!compare(check, code->way, &one)) return false;
  if (!compiled_run(code->loaded, check->entry, &again, 2, &failure)) return failed(check, code->way, &failure);
  return same_bits(check, code->way, "a second thread", &one, &two);
}

/* Chooses between ways by the module's name, which a seed gives and cutting leaves. */
static uint64_t program_hash(const Check *check) {
  return hash_bytes(check->module->name, strlen(check->module->name)) * 0x9E3779B97F4A7C15u >> 32;
}

enum { CODES = 3 }; /* the last: for CUDA */
static const char *const processors[] = {"native", "x86-64-v3", "x86-64"};

/* How params and states lie is the module's to say, and each run of the passes chooses anew. */
static void set_symbols(const Check *check, const Symbol *symbols) {
  for (int k = 0; k < check->module->symbols.count; k++) check->module->symbols.items[k] = symbols[k];
}

/* Fused for this processor, and one of the other ways, by the program's own text. */
static bool load_codes(const Check *check, Plan **const *plans, Symbol *const *symbols, Code codes[CODES]) {
  uint64_t choice = program_hash(check);
  for (int k = 0; k < CODES - 1; k++) {
    int which = k == 0 ? 0 : 1 + (int)(choice % 5), unfused = which % 2;
    const char *cpus = processors[which / 2];
    CodegenOptions options = {.cpus = cpus, .compiler = "fuzz"};
    Failure failure = {0};
    codes[k].way = arena_format(check->arena, "compiled for %s, %s", cpus, unfused ? "unfused" : "fused");
    set_symbols(check, symbols[unfused]);
    codes[k].loaded = codegen_load(check->module, plans[unfused], check->module->entries.count, &options, &failure);
    if (codes[k].loaded) continue;
    text_add(check->why, "%s: %s", codes[k].way, failure.message);
    return false;
  }
  return true;
}

/* Kernels of CUDA, by whatever $NNC_NVRTC and $NN_CUDA_DRIVER name. */
static bool load_cuda(const Check *check, Plan *const *plans, Code *own) {
  static const ExternalFunction functions[] = {{"nn_cuda_execute", (void (*)(void))nn_cuda_execute},
                                               {"nn_cuda_init", (void (*)(void))nn_cuda_init},
                                               {"nn_cuda_get", (void (*)(void))nn_cuda_get},
                                               {"nn_cuda_set", (void (*)(void))nn_cuda_set},
                                               {NULL, NULL}};
  CudaCode code;
  CodegenOptions options = {.cpus = "x86-64", .compiler = "fuzz", .externals = functions, .cuda = &code};
  Failure failure = {0};
  own->way = "compiled for CUDA";
  int count = check->module->entries.count;
  bool warpgroups = check->options->precision != PRECISION_F32 && program_hash(check) / 4 % 2;
  if (cuda_compile(check->module, plans, count, warpgroups ? "sm_90a" : "sm_90", NULL, &code, &failure)) {
    own->loaded = codegen_load(check->module, plans, count, &options, &failure);
    cuda_free(&code);
  }
  if (!own->loaded) text_add(check->why, "%s: %s", own->way, failure.message);
  return own->loaded != NULL;
}

static void unload_codes(Code codes[CODES]) {
  for (int k = 0; k < CODES; k++) codegen_unload(codes[k].loaded);
}

/* ---- the whole ---- */

enum { FUSED, UNFUSED, BOUNDED, FOR_CUDA, PLANS };
static const char *const plan_ways[PLANS] = {"plan, fused", "plan, unfused", "plan, unfused, in as little memory as can be",
                                             "plan, for CUDA"};
typedef struct Ways {
  Plan **plans[PLANS]; /* by entry */
  Symbol *symbols[PLANS];
  Graph **optimised; /* by entry */
  Code codes[CODES];
} Ways;

/* As for a real machine, or for one so small that the programs here are cut into many tasks with little local memory. */
static TargetCosts costs_for(const Check *check) {
  static const double task_cycles[] = {16384, 16, 64, 400, 1};
  static const int registers[] = {32, 32, 16, 8, 4};
  uint64_t choice = program_hash(check);
  TargetCosts costs = default_costs;
  costs.task_cycles = task_cycles[choice % 5];
  costs.registers = registers[choice / 5 % 5];
  if (choice / 25 % 4 == 0) costs.local_bytes = 4096;
  if (choice / 25 % 4 == 1) costs.shared_bytes = 4096;
  if (choice / 25 % 4 >= 2) costs.alone_cycles = choice / 25 % 4 == 2 ? 1 : 100;
  if (choice / 100 % 4) { /* sizes are small here */
    costs.panel = choice / 400 % 2 ? 2 : 3;
    costs.panel_columns = costs.panel_rows = 2;
  }
  return costs;
}

static void set_entries(const Check *check, Graph *const *graphs) {
  for (int k = 0; k < check->module->entries.count; k++) check->module->entries.items[k] = graphs[k];
}

static void print_plans(const Check *check, const char *way, Plan *const *plans) {
  Text text = {0};
  for (int k = 0; k < check->module->entries.count; k++) plan_print(plans[k], &text);
  fprintf(stderr, "--- %s\n%s", way, text.bytes);
  text_free(&text);
}

static bool make_ways(Check *check, Graph *const *graphs, Ways *ways) {
  TargetCosts costs = costs_for(check), gpu = *cuda_costs[check->options->precision];
  if (program_hash(check) % 2) gpu.split_fold = 4;       /* so that these small folds are split too */
  if (program_hash(check) / 8 % 2) gpu.short_launch = 0; /* graphs of launches, whose kernels may have tensor maps */
  gpu.small_products = check->options->precision != PRECISION_F32 || program_hash(check) / 2 % 2;
  for (int way = 0; way < PLANS; way++) {
    PipelineOptions options = default_pipeline;
    options.verify = true;
    options.fast_conv = check->options->fast_conv;
    options.unfused = way == UNFUSED || way == BOUNDED; /* which leaves more to be made again */
    options.memory = way == BOUNDED;                    /* a byte is never enough, so that all is made again that can be */
    options.costs = way == FOR_CUDA ? &gpu : &costs;
    set_entries(check, graphs);
    module_canonical(check->module);
    *check->options->progress = way;
    if (!pipeline_run(check->module, &options, &ways->plans[way], &ways->optimised)) {
      text_add(check->why, "the pipeline reports: ");
      diagnostics_text(check->module->diagnostics, check->why);
      return false;
    }
    const Symbol *chosen = check->module->symbols.items;
    ways->symbols[way] = arena_copy(check->arena, chosen, (size_t)check->module->symbols.count * sizeof *chosen);
    if (check->options->verbose) print_plans(check, plan_ways[way], ways->plans[way]);
  }
  set_entries(check, graphs);
  if (check->options->compiled && !load_codes(check, ways->plans, ways->symbols, ways->codes)) return false;
  set_symbols(check, ways->symbols[FOR_CUDA]);
  return !check->options->cuda || load_cuda(check, ways->plans[FOR_CUDA], &ways->codes[CODES - 1]);
}

static bool check_at(Check *check, const Ways *ways, int64_t n) {
  Failure failure = {0};
  int entry = check->entry;
  fill_inputs(check, n);
  Decisions none = decisions_new(check->arena, check->graph);
  Decisions *decisions = check->telling ? &none : &check->decisions[entry];
  if (!bound_values(check, decisions, &check->plain, &failure)) return failed(check, "in f64", &failure);
  bool good = check_graph(check, "interpreted", check->called) && check_graph(check, "optimised", ways->optimised[entry]);
  if (check->direct && !check->telling) good = good && check_direct(check, check->direct[entry]);
  Outcome outcomes[PLANS];
  for (int way = 0; way < PLANS && good; way++) {
    set_symbols(check, ways->symbols[way]);
    good = check_plan(check, plan_ways[way], ways->plans[way][entry], &outcomes[way]);
  }
  good = good && same_bits(check, plan_ways[UNFUSED], "little memory", &outcomes[UNFUSED], &outcomes[BOUNDED]);
  for (int k = 0; k < CODES && good; k++) good = !ways->codes[k].loaded || check_code(check, &ways->codes[k]);
  return good;
}

/* At the least, the largest and a middling run-time size. */
static bool check_sizes(Check *check, const Ways *ways) {
  const Module *module = check->module;
  const DimSymbol *dim = module->dims.count > 0 ? &module->dims.items[0] : NULL;
  int64_t low = dim ? dim->low : 1, high = dim ? dim->high : 1, sizes[] = {high, low, (low + high + 1) / 2};
  for (int k = 0; k < COUNT_OF(sizes); k++) {
    if (k > 0 && (sizes[k] == high || (k == 2 && sizes[k] == low))) continue;
    if (!check_at(check, ways, sizes[k])) return false;
  }
  return true;
}

static bool check_entries(Check *check, Graph *const *called) {
  Ways ways = {0};
  bool good = make_ways(check, called, &ways);
  for (check->entry = 0; good && check->entry < check->module->entries.count; check->entry++) {
    check->graph = check->definitions[check->entry];
    check->called = called[check->entry];
    good = check_sizes(check, &ways);
  }
  unload_codes(ways.codes);
  return good;
}

static bool check_telling(Check *check) {
  int count = check->module->entries.count;
  Graph **called = NEW_ARRAY(check->arena, Graph *, count);
  for (int k = 0; k < count; k++) called[k] = tell_decisions(check->definitions[k], &check->decisions[k]);
  check->telling = true;
  return check_entries(check, called);
}

static int64_t count_by_tiles(const Graph *graph, FastConv fast) {
  int64_t count = 0;
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    count += node->scan ? count_by_tiles(node->scan->body, fast) : fast_conv_tile(graph, node, fast) != 0;
  }
  return count;
}

bool check_module(const Module *module, const CheckOptions *options, Counts *counts, Text *why) {
  int64_t none = 0;
  int count = module->entries.count;
  CheckOptions own = *options;
  if (!own.progress) own.progress = &none;
  Check check = {.arena = module->arena, .module = (Module *)module, .options = &own, .counts = counts, .why = why};
  if (!module_verify(module, why)) return false;
  count_module(module, counts);
  pass_grad(check.module);
  if (diagnostics_errors(module->diagnostics) > 0) {
    text_add(why, NOT_A_PROGRAM "\n");
    diagnostics_text(module->diagnostics, why);
    return false;
  }
  if (own.fast_conv) {
    for (int k = 0; k < count; k++) counts->by_tiles += count_by_tiles(module->entries.items[k], own.fast_conv);
    check.direct = arena_copy(module->arena, module->entries.items, (size_t)count * sizeof(Graph *));
    pass_winograd(check.module, own.fast_conv);
  }
  check.definitions = arena_copy(module->arena, module->entries.items, (size_t)count * sizeof(Graph *));
  check.decisions = NEW_ARRAY(module->arena, Decisions, count);
  for (int k = 0; k < count; k++) check.decisions[k] = decisions_new(module->arena, check.definitions[k]);
  return check_entries(&check, check.definitions) && (!check.undecided || check_telling(&check));
}

/* ---- what programs are made of ---- */

static void count_map(const Space *space, const Map *map, Counts *counts) {
  bool used[MAX_LOOPS] = {false}, bare_before[MAX_LOOPS] = {false};
  for (int k = 0; k < map->naxes; k++) {
    const Axis *axis = &map->axis[k];
    counts->fixed += axis->nterms == 0;
    counts->windows += axis->nterms == 2;
    counts->dilated += axis->divisor > 1;
    counts->padded += axis->offset->low < 0;
    for (int t = 0; t < axis->nterms; t++) {
      counts->flipped += axis->coefficient[t] < 0;
      counts->strided += axis->coefficient[t] > 1;
      counts->diagonal += bare_before[axis->dim[t]];
      used[axis->dim[t]] = bare_before[axis->dim[t]] = true;
    }
  }
  for (int d = 0; d < space->ndims; d++) counts->repeated += !used[d];
}

/* What lies downstream of a gradient. */
static bool *after_gradients(const Graph *graph) {
  bool *after = NEW_ARRAY(graph->module->arena, bool, graph->nodes.count);
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    after[id] = node->op == OP_grad;
    for (int k = 0; k < node->noperands; k++) after[id] = after[id] || after[node->operands[k]];
  }
  return after;
}

static void count_features(const Graph *graph, Counts *counts) {
  const bool *after = after_gradients(graph);
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    counts->ops[node->op]++;
    counts->nested += node->scan && graph->kind == GRAPH_BODY;
    counts->second += node->op == OP_grad && after[node->operands[0]];
    if (node->scan) count_features(node->scan->body, counts);
    for (int k = 0; node->space && k < node->space->nmaps; k++) count_map(node->space, &node->space->map[k], counts);
    counts->filled += node->op == OP_view && node->number != 0;
    for (int k = 0; k < node->type.rank; k++) {
      const Dim *size = node->type.size[k];
      counts->size_one += dim_is(size, 1);
      counts->symbolic += size->kind != DIM_CONSTANT;
      counts->lanes_below += size->high > 1 && size->high < 16;
      counts->lanes_above += size->high > 16;
    }
  }
  for (int k = 0; k < graph->finals.count; k++) counts->minimized += after[graph->finals.items[k].value];
}

static bool has_state(const Graph *graph, int symbol) {
  for (Id id = 1; id < graph->nodes.count; id++) {
    if (graph_node(graph, id)->op == OP_state && graph_node(graph, id)->index == symbol) return true;
  }
  return false;
}

void count_module(const Module *module, Counts *counts) {
  counts->programs++;
  counts->entries += module->entries.count;
  for (int k = 0; k < module->entries.count; k++) {
    counts->steps += module->entries.items[k]->kind == GRAPH_STEP;
    count_features(module->entries.items[k], counts);
  }
  for (int symbol = 0; symbol < module->symbols.count; symbol++) {
    int users = 0;
    for (int k = 0; k < module->entries.count; k++) users += has_state(module->entries.items[k], symbol);
    counts->shared += users > 1;
  }
}
