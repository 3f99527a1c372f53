/* One program, run every way there is, held to its bounds.
 *
 * The definition is the graph with its gradients expanded and nothing else done to it, in f64. Against it stand: that graph
 * in f32, the graph that the optimising passes leave in f32, the plan with and without fusion, and compiled code. */
#include "passes/plan/plan_passes.h"
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
  const Graph *graph; /* the definition */
  const CheckOptions *options;
  Counts *counts;
  Text *why;
  Bounded exact;
  Inputs inputs;
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
  Outcome outcome = {.results = NEW_ARRAY(check->arena, Array, check->graph->results.count + 1),
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

static bool compare_array(const Check *check, const char *way, const char *name, const Array *found, Id value) {
  const Array *exact = &check->exact.values[value];
  const double *bounds = check->exact.bound[value];
  for (int64_t k = 0; k < array_count(exact); k++) {
    double x = array_get(found, k), y = array_get(exact, k), bound = bounds[k];
    check->counts->compared++;
    if (bound == INFINITY) {
      check->counts->undecided++;
      continue;
    }
    if (bound <= 1e-3 * fabs(y) || bound == 0) check->counts->close++;
    if (agrees(x, y, bound)) continue;
    text_add(check->why, "%s, N=%lld: %s[%lld] is %.9g, but should be %.9g to within %.3g", way,
             (long long)check->inputs.dims[0], name, (long long)k, x, y, bound);
    return false;
  }
  return true;
}

static bool compare(const Check *check, const char *way, const Outcome *outcome) {
  const Graph *graph = check->graph;
  for (int k = 0; k < graph->results.count; k++) {
    const Result *result = &graph->results.items[k];
    if (!compare_array(check, way, result->name, &outcome->results[k], result->value)) return false;
  }
  for (int k = 0; k < graph->finals.count; k++) {
    const Final *final = &graph->finals.items[k];
    const char *name = check->module->symbols.items[final->symbol].name;
    if (!compare_array(check, way, name, &outcome->states[final->symbol], final->value)) return false;
  }
  return true;
}

static bool failed(const Check *check, const char *way, const Failure *failure) {
  text_add(check->why, "%s, N=%lld: %s", way, (long long)check->inputs.dims[0], failure->message);
  return false;
}

static bool check_graph(const Check *check, const char *way, const Graph *graph) {
  Outcome outcome = outcome_new(check);
  Run run = run_of(check, graph, &outcome);
  Failure failure = {0};
  return interpret(&run, &failure) ? compare(check, way, &outcome) : failed(check, way, &failure);
}

static bool check_plan(const Check *check, const char *way, const Plan *plan) {
  Outcome outcome = outcome_new(check);
  Run run = run_of(check, plan->graph, &outcome);
  Failure failure = {0};
  return plan_run(plan, &run, &failure) ? compare(check, way, &outcome) : failed(check, way, &failure);
}

/* ---- compiled ---- */

/* Two threads must give what one gave, to the bit. */
static bool same_bits(const Check *check, const char *way, const Outcome *one, const Outcome *two) {
  int nresults = check->graph->results.count, nstates = check->module->symbols.count;
  for (int k = 0; k < nresults + nstates; k++) {
    const Array *a = k < nresults ? &one->results[k] : &one->states[k - nresults];
    const Array *b = k < nresults ? &two->results[k] : &two->states[k - nresults];
    if (memcmp(a->data, b->data, (size_t)array_count(a) * array_element_bytes(a)) == 0) continue;
    const char *name = k < nresults ? check->graph->results.items[k].name : check->module->symbols.items[k - nresults].name;
    text_add(check->why, "%s, N=%lld: two threads give other bits of %s", way, (long long)check->inputs.dims[0], name);
    return false;
  }
  return true;
}

typedef struct Code {
  Loaded *loaded;
  const char *way;
} Code;

static bool check_code(const Check *check, const Code *code) {
  Outcome one = outcome_new(check), two = outcome_new(check);
  Run run = run_of(check, check->graph, &one), again = run_of(check, check->graph, &two);
  Failure failure = {0};
  if (!compiled_run(code->loaded, &run, 1, &failure)) return failed(check, code->way, &failure);
  if (!compare(check, code->way, &one)) return false;
  if (!compiled_run(code->loaded, &again, 2, &failure)) return failed(check, code->way, &failure);
  return same_bits(check, code->way, &one, &two);
}

/* Chooses between ways by the module's name, which a seed gives and cutting leaves. */
static uint64_t program_hash(const Check *check) {
  return hash_bytes(check->module->name, strlen(check->module->name)) * 0x9E3779B97F4A7C15u >> 32;
}

enum { CODES = 2 };
static const char *const processors[] = {"native", "x86-64-v3", "x86-64"};

/* Fused for this processor, and one of the other ways, by the program's own text. */
static bool load_codes(Check *check, Plan *const plans[2], Code codes[CODES]) {
  uint64_t choice = program_hash(check);
  for (int k = 0; k < CODES; k++) {
    int which = k == 0 ? 0 : 1 + (int)(choice % 5), unfused = which % 2;
    const char *cpus = processors[which / 2];
    CodegenOptions options = {.cpus = cpus, .compiler = "fuzz"};
    Failure failure = {0};
    codes[k].way = arena_format(check->arena, "compiled for %s, %s", cpus, unfused ? "unfused" : "fused");
    codes[k].loaded = codegen_load(check->module, &plans[unfused], 1, &options, &failure);
    if (codes[k].loaded) continue;
    text_add(check->why, "%s: %s", codes[k].way, failure.message);
    return false;
  }
  return true;
}

static void unload_codes(Code codes[CODES]) {
  for (int k = 0; k < CODES; k++) codegen_unload(codes[k].loaded);
}

/* ---- the whole ---- */

typedef struct Ways {
  Plan *plans[2]; /* fused, not */
  Graph *optimised;
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
  return costs;
}

static bool make_ways(Check *check, Ways *ways) {
  TargetCosts costs = costs_for(check);
  Graph **entry = &check->module->entries.items[0], *definition = *entry;
  for (int unfused = 0; unfused < 2; unfused++) {
    PipelineOptions options = default_pipeline;
    Plan **plans;
    Graph **interpreted;
    options.verify = true;
    options.unfused = unfused;
    options.costs = &costs;
    *entry = definition;
    module_canonical(check->module);
    *check->options->progress = unfused;
    if (!pipeline_run(check->module, &options, &plans, &interpreted)) {
      text_add(check->why, "the pipeline reports: ");
      diagnostics_text(check->module->diagnostics, check->why);
      return false;
    }
    ways->plans[unfused] = plans[0];
    if (check->options->verbose) {
      Text text = {0};
      plan_print(plans[0], &text);
      fprintf(stderr, "--- %s\n%s", unfused ? "unfused" : "fused", text.bytes);
      text_free(&text);
    }
    ways->optimised = interpreted[0];
  }
  *entry = definition;
  return true;
}

static bool check_at(Check *check, const Ways *ways, int64_t n) {
  Failure failure = {0};
  fill_inputs(check, n);
  const Inputs *in = &check->inputs;
  if (!bounds_of(check->graph, in->dims, in->wide_parameters, NULL, in->wide_states, check->arena, &check->exact,
                 &failure)) {
    return failed(check, "in f64", &failure);
  }
  bool good = check_graph(check, "interpreted", check->graph) && check_graph(check, "optimised", ways->optimised) &&
              check_plan(check, "plan, fused", ways->plans[0]) && check_plan(check, "plan, unfused", ways->plans[1]);
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

bool check_module(const Module *module, const CheckOptions *options, Counts *counts, Text *why) {
  int64_t none = 0;
  CheckOptions own = *options;
  if (!own.progress) own.progress = &none;
  Check check = {.arena = module->arena, .module = (Module *)module, .options = &own, .counts = counts, .why = why};
  if (!module_verify(module, why)) return false;
  count_features(module->entries.items[0], counts);
  counts->programs++;
  pass_grad(check.module);
  if (diagnostics_errors(module->diagnostics) > 0) {
    text_add(why, NOT_A_PROGRAM "\n");
    diagnostics_text(module->diagnostics, why);
    return false;
  }
  check.graph = module->entries.items[0];
  Ways ways = {0};
  if (!make_ways(&check, &ways)) return false;
  bool good = (!options->compiled || load_codes(&check, ways.plans, ways.codes)) && check_sizes(&check, &ways);
  unload_codes(ways.codes);
  return good;
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

void count_features(const Graph *graph, Counts *counts) {
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    counts->ops[node->op]++;
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
}
