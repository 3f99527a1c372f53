/* Objects: what a compiled model exports, what it says of itself, how it starts, and that its entries compute what the
 * interpreter computes; through the description, in this process, and through the header, from a C program of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codegen/codegen.h"
#include "ir/interpret.h"
#include "passes/passes.h"
#include "runtime/nn.h"

#include <cmocka.h> /* last: it has a macro named fail */

enum { ROWS = 64, IN = 64, OUT = 128 };

static const Source source = {.name = "toy.nn", .text = "model toy\n", .users = true};
static const Place place = {.source = &source};

/* ---- the model ---- */

typedef struct Toy {
  Module *module;
  Plan **plans;
  Graph **graphs;
  int64_t dims[2];
} Toy;

static const Dim *constant(Module *module, int64_t value) { return dim_constant(module, value); }

static Type matrix(Module *module, const Dim *rows, int64_t columns) {
  const Dim *size[] = {rows, constant(module, columns)};
  return type_of(F32, 2, size);
}

static Graph *new_entry(Module *module, const char *name, GraphKind kind) {
  Graph *graph = graph_new(module, name, kind);
  graph->here = graph->place = &place;
  PUSH(module->arena, &module->entries, graph);
  return graph;
}

static void result(Graph *graph, const char *name, Id value) {
  PUSH(graph->module->arena, &graph->results, ((Result){intern(name), value}));
}

static void final(Graph *graph, const char *symbol, Id value) {
  PUSH(graph->module->arena, &graph->finals, ((Final){module_find_symbol(graph->module, symbol), value}));
}

static Id state(Graph *graph, const char *name) { return graph_state(graph, module_find_symbol(graph->module, name)); }

/* x @ w */
static Id product(Graph *graph, Id x, Id w) {
  Module *module = graph->module;
  Space space = {.ndims = 3, .nresult = 2, .nmaps = 2};
  space.extent[0] = graph_type(graph, x)->size[0];
  space.extent[1] = graph_type(graph, w)->size[1];
  space.extent[2] = graph_type(graph, w)->size[0];
  space.map[0] = (Map){.naxes = 2, .axis = {axis_of(module, 0), axis_of(module, 2)}};
  space.map[1] = (Map){.naxes = 2, .axis = {axis_of(module, 2), axis_of(module, 1)}};
  return graph_contract(graph, x, w, &space);
}

static void add_symbols(Module *module) {
  static const double written[] = {0.5, 1, -1, 0};
  Type weights = matrix(module, constant(module, IN), OUT), vector = type_of(F32, 1, &weights.size[0]);
  const Dim *four = constant(module, 4), *two = constant(module, 2), *three = constant(module, 3);
  module_add_symbol(module, "velocity", weights, false, (Initialiser){.kind = INIT_NUMBER}, &place);
  module_add_symbol(module, "w", weights, true, (Initialiser){.kind = INIT_NORMAL, .a = 0.1}, &place);
  Initialiser uniform = {.kind = INIT_UNIFORM, .a = -0.3, .b = 0.9};
  module_add_symbol(module, "scale", vector, true, uniform, &place);
  Initialiser array = {.kind = INIT_ARRAY, .array = written}, seven = {.kind = INIT_NUMBER, .a = 7};
  module_add_symbol(module, "written", type_of(F32, 1, &four), true, array, &place);
  Initialiser orthogonal = {.kind = INIT_ORTHOGONAL, .a = 1.5};
  module_add_symbol(module, "tall", matrix(module, four, 3), true, orthogonal, &place);
  module_add_symbol(module, "wide", matrix(module, three, 7), true, orthogonal, &place);
  module_add_symbol(module, "sevens", type_of(I32, 1, &three), false, seven, &place);
  module_add_symbol(module, "truths", type_of(BOOL, 1, &three), false, seven, &place);
  module_add_symbol(module, "nn.seed", type_of(I32, 1, &two), false, (Initialiser){.kind = INIT_NUMBER}, &place);
  module_add_symbol(module, "nn.calls", type_scalar(I32), false, (Initialiser){.kind = INIT_NUMBER}, &place);
}

/* fn apply(x: [N, 64], a: f32[] = 2) -> y = a * x * scale + x, z = y @ w */
static void add_apply(Module *module) {
  Graph *graph = new_entry(module, "apply", GRAPH_FN);
  Id x = graph_parameter(graph, "x", matrix(module, dim_symbol(module, 0), IN), &place);
  Id a = graph_parameter(graph, "int", type_scalar(F32), &place);
  graph->parameters.items[1].has_default = true;
  graph->parameters.items[1].fallback = 2;
  Id scaled = graph_binary(graph, OP_mul, graph_binary(graph, OP_mul, a, x), state(graph, "scale"));
  Id y = graph_binary(graph, OP_add, scaled, x);
  result(graph, "x", y);
  result(graph, "z", product(graph, y, state(graph, "w")));
}

/* step train(x: [N, 64], lr) -> loss: the weights move along the sum of all products' squares; M must divide nothing. */
static void add_train(Module *module) {
  Graph *graph = new_entry(module, "train", GRAPH_STEP);
  Id x = graph_parameter(graph, "x", matrix(module, dim_symbol(module, 0), IN), &place);
  Id lr = graph_parameter(graph, "lr", type_scalar(F32), &place);
  Id w = state(graph, "w"), z = product(graph, x, w);
  const bool both[] = {true, true};
  Id size = graph_binary(graph, OP_mul, graph_cast(graph, F32, graph_dim(graph, dim_symbol(module, 0))),
                         graph_number(graph, F32, OUT));
  Id loss = graph_binary(graph, OP_div, graph_fold_axes(graph, OP_fold_sum, graph_binary(graph, OP_mul, z, z), both, false),
                         size);
  result(graph, "loss", loss);
  Id gradient = graph_pick(graph, graph_grad(graph, loss, &w, 1), 0);
  Id decayed = graph_binary(graph, OP_mul, graph_number(graph, F32, 0.9), state(graph, "velocity"));
  Id velocity = graph_binary(graph, OP_add, decayed, gradient);
  final(graph, "velocity", velocity);
  final(graph, "w", graph_binary(graph, OP_sub, w, graph_binary(graph, OP_mul, lr, velocity)));
  final(graph, "nn.calls", graph_binary(graph, OP_add, state(graph, "nn.calls"), graph_number(graph, I32, 1)));
  PUSH(module->arena, &graph->checks, ((EntryCheck){dim_symbol(module, 0), 2, 60, "a window fits", &place}));
}

/* fn noise(seed) -> y: [N, 4], which needs no state */
static void add_noise(Module *module) {
  Graph *graph = new_entry(module, "noise", GRAPH_FN);
  const Dim *two = constant(module, 2), *zero = constant(module, 0), *one = constant(module, 1);
  graph->draws = true;
  Id seed = graph_parameter(graph, "seed", type_of(I32, 1, &two), &place), keys[2];
  for (int k = 0; k < 2; k++) {
    keys[k] = graph_reshape(graph, graph_slice(graph, seed, 0, k ? one : zero, one, 1), 0, NULL);
  }
  result(graph, "y", graph_random(graph, matrix(module, dim_symbol(module, 0), 4), keys, 2, 77));
}

static Toy toy_new(void) {
  Arena *arena = arena_new();
  Toy toy = {.module = module_new(arena, diagnostics_new(arena), "toy"), .dims = {ROWS, 4}};
  module_add_dim(toy.module, "N", 1, ROWS, 1, &place);
  module_add_dim(toy.module, "M", 4, 64, 4, &place);
  add_symbols(toy.module);
  add_apply(toy.module);
  add_train(toy.module);
  add_noise(toy.module);
  PipelineOptions options = default_pipeline;
  options.verify = true;
  assert_true(pipeline_run(toy.module, &options, &toy.plans, &toy.graphs));
  return toy;
}

static const CodegenOptions native = {.cpus = "native", .compiler = "nnc test", .source_hash = 42};

static Loaded *toy_load(const Toy *toy, const char *cpus) {
  CodegenOptions options = native;
  Failure failure = {0};
  options.cpus = cpus;
  Loaded *loaded = codegen_load(toy->module, toy->plans, toy->module->entries.count, &options, &failure);
  if (!loaded) fail_msg("%s", failure.message);
  return loaded;
}

static void toy_free(Toy *toy) { arena_free(toy->module->arena); }

static void *aligned(size_t bytes) {
  void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
  assert_non_null(memory);
  memset(memory, 0xA5, bytes);
  return memory;
}

static const nn_entry *entry_of(const nn_model *model, const char *name) {
  for (int k = 0; k < model->nentries; k++) {
    if (strcmp(model->entries[k].name, name) == 0) return &model->entries[k];
  }
  fail_msg("no entry %s", name);
  return NULL;
}

/* ---- init, get, set ---- */

static void test_initial_state_is_the_interpreters(void **unused) {
  (void)unused;
  Toy toy = toy_new();
  Loaded *loaded = toy_load(&toy, "native");
  const nn_model *model = loaded_model(loaded);
  uint64_t seed = 0x123456789ABCDEF0u;
  void *block = aligned(model->state_bytes);
  assert_int_equal(model->init(block, seed), NN_OK);
  for (int k = 0; k < toy.module->symbols.count; k++) {
    const Symbol *symbol = &toy.module->symbols.items[k];
    Array array = array_for(toy.module->arena, &symbol->type, false, toy.dims);
    initialise(symbol, seed, &array);
    size_t bytes = (size_t)array_count(&array) * array_element_bytes(&array);
    char *out = malloc(bytes);
    assert_int_equal(model->get(block, symbol->name, out), NN_OK);
    if (memcmp(out, array.data, bytes) != 0) fail_msg("%s starts otherwise", symbol->name);
    memset(out, 1, bytes);
    assert_int_equal(model->set(block, symbol->name, out), NN_OK);
    assert_memory_equal((char *)block + model->symbols[k].offset, out, bytes);
    assert_int_equal(model->symbols[k].bytes, bytes);
    free(out);
  }
  char none[8];
  assert_int_equal(model->get(block, "scal", none), NN_BAD_NAME);
  assert_int_equal(model->get(block, "scales", none), NN_BAD_NAME);
  assert_int_equal(model->init(NULL, 0), NN_NO_STATE);
  assert_int_equal(model->init((char *)block + 4, 0), NN_BAD_ALIGNMENT);
  assert_string_equal(model->error(99), "unknown code");
  assert_non_null(strstr(model->error(NN_BAD_DIM), "bounds"));
  free(block);
  codegen_unload(loaded);
  toy_free(&toy);
}

/* ---- the description ---- */

static void test_description(void **unused) {
  (void)unused;
  Toy toy = toy_new();
  Loaded *loaded = toy_load(&toy, "native");
  const nn_model *model = loaded_model(loaded);
  assert_int_equal(model->abi, NN_ABI);
  assert_int_equal(model->align, 64);
  assert_string_equal(model->name, "toy");
  assert_int_equal(model->source_hash, 42);
  assert_int_equal(model->ndims, 2);
  assert_int_equal(model->dims[1].step, 4);
  assert_true(model->inference_bytes < model->state_bytes);
  const nn_entry *apply = entry_of(model, "apply");
  assert_int_equal(apply->ndims, 1);
  assert_int_equal(apply->nparameters, 2);
  assert_string_equal(apply->parameters[0].shape, "[N, 64]");
  assert_true(apply->parameters[1].has_default && apply->parameters[1].fallback == 2);
  assert_string_equal(apply->results[0].name, "x");
  int64_t sizes[8] = {0}, dims[] = {5, 8}, expected[] = {5, IN, 5, IN, 5, OUT};
  apply->sizes(dims, sizes);
  assert_memory_equal(sizes, expected, sizeof expected);
  for (int k = 0; k < apply->nkernels; k++) assert_string_equal(apply->kernels[k].lines, "toy.nn:1");
  for (int k = 0; k < model->nsymbols; k++) {
    bool early = strcmp(model->symbols[k].name, "w") == 0 || strcmp(model->symbols[k].name, "scale") == 0;
    assert_int_equal(early, model->symbols[k].offset < (int64_t)model->inference_bytes);
  }
  assert_true(entry_of(model, "noise")->draws);
  codegen_unload(loaded);
  toy_free(&toy);
}

/* ---- calls ---- */

/* Everything out of order, on many workers; counts launches. */
typedef struct Crowd {
  int launches, shared;
} Crowd;
static void crowd_for(void *user, int64_t count, void (*body)(void *arg, int64_t index, int worker), void *arg) {
  ((Crowd *)user)->shared++;
  for (int64_t k = count - 1; k >= 0; k--) body(arg, k, (int)(k % 3));
}
static void crowd_trace(void *user, int launch, int done) {
  (void)launch;
  ((Crowd *)user)->launches += done ? 1 : 0;
}

static void fill(float *values, int64_t count) {
  for (int64_t k = 0; k < count; k++) values[k] = (float)((k * 37) % 101) / 50 - 1;
}

static void near_all(const float *got, const float *expected, int64_t count, double relative) {
  for (int64_t k = 0; k < count; k++) {
    double error = (double)got[k] - (double)expected[k], bound = relative * ((double)expected[k] * expected[k] + 1);
    if (!(error * error <= bound * bound)) {
      fail_msg("element %lld is %g, not %g", (long long)k, (double)got[k], (double)expected[k]);
    }
  }
}

typedef struct Call {
  const Toy *toy;
  const nn_model *model;
  void *block, *scratch;
  float *x;
  float scalar;
} Call;

static Call call_new(const Toy *toy, const nn_model *model) {
  Call call = {.toy = toy, .model = model, .block = aligned(model->state_bytes), .scalar = 0.5f};
  size_t scratch = 64;
  for (int k = 0; k < model->nentries; k++) scratch = MAX(scratch, model->entries[k].scratch(toy->dims, 3));
  call.scratch = aligned(scratch);
  call.x = malloc(sizeof(float) * ROWS * IN);
  fill(call.x, ROWS * IN);
  assert_int_equal(model->init(call.block, 1), NN_OK);
  return call;
}

static void call_free(Call *call) {
  free(call->block);
  free(call->scratch);
  free(call->x);
}

/* The same call by the interpreter, from the block's state; results are arrays in the module's arena. */
static Array *interpreted(const Call *call, int entry, int64_t rows, Array **states) {
  Module *module = call->toy->module;
  Arena *arena = module->arena;
  *states = NEW_ARRAY(arena, Array, module->symbols.count);
  for (int k = 0; k < module->symbols.count; k++) {
    int64_t dims[2] = {rows, 4};
    (*states)[k] = array_for(arena, &module->symbols.items[k].type, false, dims);
    memcpy((*states)[k].data, (char *)call->block + call->model->symbols[k].offset, (size_t)call->model->symbols[k].bytes);
  }
  int64_t *dims = NEW_ARRAY(arena, int64_t, module->dims.count);
  memcpy(dims, (int64_t[]){rows, 4}, 2 * sizeof *dims);
  const Graph *graph = call->toy->graphs[entry];
  Array parameters[2] = {0};
  for (int k = 0; k < graph->parameters.count; k++) {
    parameters[k] = array_for(arena, &graph->parameters.items[k].type, false, dims);
    const void *from = graph->draws ? (const void *)(uint32_t[]){9, 0} : k == 0 ? (const void *)call->x : &call->scalar;
    memcpy(parameters[k].data, from, (size_t)array_count(&parameters[k]) * array_element_bytes(&parameters[k]));
  }
  Run run = {.graph = graph, .dims = dims, .parameters = parameters, .states = *states, .arena = arena};
  run.results = NEW_ARRAY(arena, Array, graph->results.count);
  Failure failure = {0};
  if (!interpret(&run, &failure)) fail_msg("%s", failure.message);
  return run.results;
}

static void check_apply(Call *call, const nn_run *run, int64_t rows, float *y, float *z) {
  const nn_entry *entry = entry_of(call->model, "apply");
  const void *parameters[] = {call->x, &call->scalar};
  void *results[] = {y, z};
  int64_t dims[] = {rows, 0};
  Array *states, *expected = interpreted(call, 0, rows, &states);
  assert_int_equal(entry->call(run, call->block, call->scratch, dims, parameters, results, 0), NN_OK);
  if (y) near_all(y, expected[0].data, rows * IN, 1e-6);
  near_all(z, expected[1].data, rows * OUT, 1e-5);
}

static void test_calls(void **unused) {
  (void)unused;
  Toy toy = toy_new();
  Loaded *loaded = toy_load(&toy, "native");
  Call call = call_new(&toy, loaded_model(loaded));
  float *y = malloc(sizeof(float) * ROWS * IN), *z = malloc(sizeof(float) * ROWS * OUT);
  float *alone = malloc(sizeof(float) * ROWS * OUT);
  check_apply(&call, NULL, 1, y, z);
  check_apply(&call, NULL, 33, NULL, z);
  check_apply(&call, NULL, ROWS, y, alone);
  Crowd crowd = {0};
  nn_run run = {crowd_for, &crowd, 3, crowd_trace, &crowd};
  check_apply(&call, &run, ROWS, y, z);
  assert_memory_equal(z, alone, sizeof(float) * ROWS * OUT);
  assert_true(crowd.shared > 0);
  assert_int_equal(crowd.launches, entry_of(call.model, "apply")->nlaunches);
  const nn_entry *noise = entry_of(call.model, "noise");
  Array *states, *expected = interpreted(&call, 2, ROWS, &states);
  void *results[] = {y};
  assert_int_equal(noise->call(NULL, NULL, call.scratch, toy.dims, NULL, results, 9), NN_OK);
  assert_memory_equal(y, expected[0].data, sizeof(float) * ROWS * 4);
  free(y);
  free(z);
  free(alone);
  call_free(&call);
  codegen_unload(loaded);
  toy_free(&toy);
}

static void test_steps_change_the_state(void **unused) {
  (void)unused;
  Toy toy = toy_new();
  Loaded *loaded = toy_load(&toy, "native");
  Call call = call_new(&toy, loaded_model(loaded));
  const nn_entry *train = entry_of(call.model, "train");
  const void *parameters[] = {call.x, &call.scalar};
  float loss;
  void *results[] = {&loss};
  int64_t dims[] = {40, 0};
  for (int turn = 0; turn < 3; turn++) {
    Array *states, *expected = interpreted(&call, 1, dims[0], &states);
    assert_int_equal(train->call(NULL, call.block, call.scratch, dims, parameters, results, 0), NN_OK);
    near_all(&loss, expected[0].data, 1, 1e-5);
    for (int k = 0; k < 2; k++) {
      near_all((float *)((char *)call.block + call.model->symbols[k].offset), states[k].data, IN * OUT, 1e-5);
    }
  }
  int32_t calls;
  assert_int_equal(call.model->get(call.block, "nn.calls", &calls), NN_OK);
  assert_int_equal(calls, 3);
  call_free(&call);
  codegen_unload(loaded);
  toy_free(&toy);
}

static void test_refusals_change_nothing(void **unused) {
  (void)unused;
  Toy toy = toy_new();
  Loaded *loaded = toy_load(&toy, "native");
  Call call = call_new(&toy, loaded_model(loaded));
  const nn_entry *train = entry_of(call.model, "train");
  const void *parameters[] = {call.x, &call.scalar};
  void *results[] = {NULL}, *before = aligned(call.model->state_bytes);
  memcpy(before, call.block, call.model->state_bytes);
  char *block = call.block, *scratch = call.scratch;
  int64_t good[] = {8, 0};
  assert_int_equal(train->call(NULL, NULL, scratch, good, parameters, results, 0), NN_NO_STATE);
  assert_int_equal(train->call(NULL, block + 32, scratch, good, parameters, results, 0), NN_BAD_ALIGNMENT);
  if (train->scratch(good, 1) > 0) {
    assert_int_equal(train->call(NULL, block, NULL, good, parameters, results, 0), NN_NO_STATE);
    assert_int_equal(train->call(NULL, block, scratch + 8, good, parameters, results, 0), NN_BAD_ALIGNMENT);
  }
  static const int64_t bad[] = {0, -1, ROWS + 1, INT64_MIN, INT64_MAX, 1, 61}; /* the last two by the entry's check */
  for (int k = 0; k < COUNT_OF(bad); k++) {
    int64_t dims[] = {bad[k], 0};
    assert_int_equal(train->call(NULL, block, scratch, dims, parameters, results, 0), NN_BAD_DIM);
  }
  assert_memory_equal(before, call.block, call.model->state_bytes);
  assert_int_equal(train->call(NULL, block, scratch, good, parameters, results, 0), NN_OK);
  free(before);
  call_free(&call);
  codegen_unload(loaded);
  toy_free(&toy);
}

/* The version is chosen by what this machine can do; all versions compute the same. */
static void test_several_processors(void **unused) {
  (void)unused;
  Toy toy = toy_new();
  Loaded *loaded = toy_load(&toy, "x86-64,x86-64-v4,x86-64-v3,x86-64");
  Call call = call_new(&toy, loaded_model(loaded));
  float *z = malloc(sizeof(float) * ROWS * OUT);
  check_apply(&call, NULL, ROWS, NULL, z);
  for (int64_t version = *(int64_t *)call.block; version < 3; version++) {
    *(int64_t *)call.block = version;
    check_apply(&call, NULL, ROWS, NULL, z);
  }
  Failure failure = {0};
  CodegenOptions options = native;
  Text bytes = {0};
  options.cpus = "x86-64,vax";
  assert_false(codegen_emit(toy.module, toy.plans, 3, &options, OUTPUT_OBJECT, &bytes, &failure));
  assert_int_equal(failure.code, EXIT_INPUT);
  assert_non_null(strstr(failure.message, "'vax'"));
  options = native;
  options.triple = "vax-dec-ultrix";
  failure = (Failure){0};
  assert_false(codegen_emit(toy.module, toy.plans, 3, &options, OUTPUT_OBJECT, &bytes, &failure));
  assert_int_equal(failure.code, EXIT_INPUT);
  assert_int_equal(bytes.length, 0);
  free(z);
  call_free(&call);
  codegen_unload(loaded);
  toy_free(&toy);
}

/* ---- files ---- */

static Text emitted(const Toy *toy, CodegenOutput output, bool shared) {
  CodegenOptions options = native;
  Failure failure = {0};
  Text bytes = {0};
  options.shared = shared;
  options.cpus = "x86-64-v3";
  if (!codegen_emit(toy->module, toy->plans, 3, &options, output, &bytes, &failure)) fail_msg("%s", failure.message);
  return bytes;
}

static void test_output_is_the_same_twice(void **unused) {
  (void)unused;
  for (int output = OUTPUT_OBJECT; output <= OUTPUT_LLVM; output++) {
    Toy one = toy_new(), two = toy_new();
    Text a = emitted(&one, (CodegenOutput)output, false), b = emitted(&two, (CodegenOutput)output, false);
    assert_int_equal(a.length, b.length);
    assert_memory_equal(a.bytes, b.bytes, a.length);
    text_free(&a);
    text_free(&b);
    toy_free(&one);
    toy_free(&two);
  }
}

static const char *const program =
    "#include \"toy.h\"\n"
    "#include <stdio.h>\n"
    "#include <stdlib.h>\n"
    "int main(void) {\n"
    "  void *state = aligned_alloc(TOY_ALIGN, TOY_STATE_BYTES);\n"
    "  void *scratch = aligned_alloc(TOY_ALIGN, toy_apply_scratch(TOY_MAX_N, 1) + 64);\n"
    "  static float x[64 * 64], y[64 * 64], z[64 * 128], loss;\n"
    "  size_t k = toy_train_scratch(TOY_MAX_N, 1);\n"
    "  if (k > TOY_TRAIN_SCRATCH_BYTES) return 2;\n"
    "  if (toy_init(state, 3)) { puts(toy_error(toy_init(state, 3))); return 77; }\n"
    "  for (k = 0; k < 64 * 64; k++) x[k] = (float)k / 4096;\n"
    "  if (toy_apply(NULL, state, scratch, 2, x, TOY_APPLY_INT, y, z)) return 3;\n"
    "  if (toy_apply(NULL, state, scratch, TOY_MAX_N + 1, x, TOY_APPLY_INT, y, z) != 1) return 4;\n"
    "  if (!(y[65] > x[65] * 0.39 && y[65] < x[65] * 2.81)) return 5;\n"
    "  free(scratch);\n"
    "  scratch = aligned_alloc(TOY_ALIGN, TOY_TRAIN_SCRATCH_BYTES + 64);\n"
    "  if (toy_train(NULL, state, scratch, 8, x, 0.1f, &loss) || !(loss > 0)) return 6;\n"
    "  if (toy_noise(NULL, state, scratch, 2, y, 5) || !(y[0] >= 0 && y[7] < 1)) return 7;\n"
    "  free(scratch);\n"
    "  free(state);\n"
    "  return 0;\n"
    "}\n";

static void write_text(const char *path, const char *bytes, size_t length) {
  Failure failure = {0};
  if (!write_file(path, bytes, length, &failure)) fail_msg("%s", failure.message);
}

static int shell(const char *folder, const char *command) {
  char line[1024];
  snprintf(line, sizeof line, "cd %s && %s", folder, command);
  int status = system(line);
  return status == -1 ? -1 : (status >> 8) & 0xFF;
}

static void check_files(const char *folder) {
  if (shell(folder, "command -v gcc nm readelf > found 2>&1") != 0) return;
  assert_int_equal(shell(folder, "gcc -std=c11 -Wall -Wextra -Werror -c main.c && gcc main.o toy.o -o main"), 0);
  int status = shell(folder, "./main");
  assert_true(status == 0 || status == 77);
  assert_int_equal(shell(folder, "gcc -std=c99 -x c -Wall -Wextra -pedantic -Werror -fsyntax-only toy.h"), 0);
  assert_int_equal(
      shell(folder, "! command -v g++ > found || g++ -x c++ -Wall -Wextra -pedantic -Werror -fsyntax-only toy.h"), 0);
  assert_int_equal(shell(folder, "nm -u toy.o | grep -v -w -e memcpy -e memset -e memmove"), 1);
  assert_int_equal(shell(folder, "nm -g --defined-only toy.o | grep -v ' toy_'"), 1);
  assert_int_equal(shell(folder, "nm -g --defined-only shared.o | grep -q -w nn_model"), 0);
  assert_int_equal(shell(folder, "nm toy.o | grep -i ' [bdc] ' | grep -v -i -e _model -e table -e '\\.L'"), 1);
  assert_int_equal(shell(folder, "gcc -shared -Wl,-z,text -Wl,-z,defs -nostdlib shared.o -lc -o toy.so"), 0);
  assert_int_equal(shell(folder, "readelf -SW toy.o | grep -q '\\.note\\.GNU-stack'"), 0);
  assert_int_equal(shell(folder, "readelf -lW toy.so | grep GNU_STACK | grep -q RWE"), 1);
}

static void test_object_and_header(void **unused) {
  (void)unused;
  Toy toy = toy_new();
  char folder[] = "/tmp/nnc-object-XXXXXX", path[64];
  assert_non_null(mkdtemp(folder));
  Text object = emitted(&toy, OUTPUT_OBJECT, false), shared = emitted(&toy, OUTPUT_OBJECT, true), header = {0};
  header_print(toy.module, toy.plans, 3, &native, &header);
  snprintf(path, sizeof path, "%s/toy.o", folder);
  write_text(path, object.bytes, object.length);
  snprintf(path, sizeof path, "%s/shared.o", folder);
  write_text(path, shared.bytes, shared.length);
  snprintf(path, sizeof path, "%s/toy.h", folder);
  write_text(path, header.bytes, header.length);
  snprintf(path, sizeof path, "%s/main.c", folder);
  write_text(path, program, strlen(program));
  check_files(folder);
  assert_non_null(strstr(header.bytes, "float *x_out, float *z);"));
  assert_non_null(strstr(header.bytes, "const float *x, float int_,"));
  assert_non_null(strstr(header.bytes, "#define TOY_APPLY_INT 2.0f\n"));
  assert_non_null(strstr(header.bytes, "#define TOY_MIN_M 4\n"));
  text_free(&object);
  text_free(&shared);
  text_free(&header);
  if (!getenv("NNC_KEEP")) {
    snprintf(path, sizeof path, "rm -r %s", folder);
    assert_int_equal(system(path), 0);
  }
  toy_free(&toy);
}

static void test_names_that_clash(void **unused) {
  (void)unused;
  Toy toy = toy_new();
  Failure failure = {0};
  Text bytes = {0};
  toy.module->entries.items[0]->name = intern("init");
  assert_false(codegen_emit(toy.module, toy.plans, 3, &native, OUTPUT_OBJECT, &bytes, &failure));
  assert_non_null(strstr(failure.message, "toy_init"));
  toy_free(&toy);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_initial_state_is_the_interpreters),
      cmocka_unit_test(test_description),
      cmocka_unit_test(test_calls),
      cmocka_unit_test(test_steps_change_the_state),
      cmocka_unit_test(test_refusals_change_nothing),
      cmocka_unit_test(test_several_processors),
      cmocka_unit_test(test_output_is_the_same_twice),
      cmocka_unit_test(test_object_and_header),
      cmocka_unit_test(test_names_that_clash),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
