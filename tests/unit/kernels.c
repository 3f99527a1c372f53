/* Emitted kernels against plan_run, the plain executor of plans: the same plan, the same arrays.
 *
 * Nets go through the whole pipeline. Then every choice that the schedule made is changed at random (which loop lanes run
 * along, how large a register tile is, which loops are rows and columns), as any choice must compute the same. */
#include "codegen/cpu/nest.h"
#include "codegen/cpu/processor.h"
#include "ir/interpret.h"
#include "ir/scalar.h"
#include "passes/passes.h"
#include "tests/unit/jit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <cmocka.h> /* last: it has a macro named fail */

enum { LARGEST = 37, DIMS = 64 };
static const Source source = {.name = "test.nn", .text = "", .users = true};
static const Place place = {.source = &source};

typedef struct Net {
  Arena *arena;
  Module *module;
  Graph *graph;
} Net;
typedef void Build(Net *net);
typedef void RunFunction(const void *frame, void **functions, const int32_t *numbers, int64_t kernel, int64_t task,
                         int64_t worker);

/* ---- building ---- */

static const Dim *size(Net *net, int64_t value) {
  return value < 0 ? dim_symbol(net->module, 0) : dim_constant(net->module, value);
}
static Type type_with(Net *net, Dtype dtype, int rank, const int *sizes) {
  Type type = {.dtype = dtype, .rank = rank};
  for (int k = 0; k < rank; k++) type.size[k] = size(net, sizes[k]);
  return type;
}
#define TYPE(net, dtype, ...)                                                                                              \
  type_with((net), (dtype), (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), (const int[]){__VA_ARGS__})
static Id input(Net *net, const char *name, Type type) { return graph_parameter(net->graph, name, type, &place); }
static Id param(Net *net, const char *name, Type type) {
  Initialiser init = {.kind = INIT_UNIFORM, .a = -1, .b = 1};
  return graph_state(net->graph, module_add_symbol(net->module, name, type, true, init, &place));
}
static Id op1(Net *net, Op op, Id a) { return graph_unary(net->graph, op, a); }
static Id op2(Net *net, Op op, Id a, Id b) { return graph_binary(net->graph, op, a, b); }
static Id num(Net *net, double value) { return graph_number(net->graph, F32, value); }
static void give(Net *net, const char *name, Id value) { PUSH(net->arena, &net->graph->results, ((Result){name, value})); }
static void leave(Net *net, Id state, Id value) {
  PUSH(net->arena, &net->graph->finals, ((Final){graph_node(net->graph, state)->index, value}));
}
static Id fold_axis(Net *net, Op op, Id a, int axis) {
  bool folded[MAX_RANK] = {false};
  folded[axis] = true;
  return graph_fold_axes(net->graph, op, a, folded, false);
}
static Id fold_keep(Net *net, Op op, Id a, int axis) {
  bool folded[MAX_RANK] = {false};
  folded[axis] = true;
  return graph_fold_axes(net->graph, op, a, folded, true);
}
static Axis bare(Net *net, int dim) { return axis_of(net->module, dim); }

/* a: [m, k], or [k, m] if turned; b: [k, n], or [n, k] */
static Id product(Net *net, Id a, bool a_turned, Id b, bool b_turned) {
  Space space = {.ndims = 3, .nresult = 2, .nmaps = 2};
  space.extent[0] = graph_type(net->graph, a)->size[a_turned];
  space.extent[1] = graph_type(net->graph, b)->size[!b_turned];
  space.extent[2] = graph_type(net->graph, a)->size[!a_turned];
  space.map[0] = (Map){.naxes = 2, .axis = {bare(net, a_turned ? 2 : 0), bare(net, a_turned ? 0 : 2)}};
  space.map[1] = (Map){.naxes = 2, .axis = {bare(net, b_turned ? 1 : 2), bare(net, b_turned ? 2 : 1)}};
  return graph_contract(net->graph, a, b, &space);
}

/* ---- loading and running ---- */

typedef struct Code {
  Jit jit;
  Program program;
  RunFunction *run;
  void **functions, **constants; /* constants: by buffer */
  double seconds;
} Code;

static int64_t layout_states(Plan *plan, int64_t *offsets) {
  int64_t bytes = 0;
  for (int k = 0; k < plan->module->symbols.count; k++) {
    const Type *type = &plan->module->symbols.items[k].type;
    offsets[k] = bytes;
    bytes += round_up(4 * dim_value(type_count(plan->module, type), NULL), 64);
  }
  for (int k = 1; k < plan->buffers.count; k++) {
    Buffer *buffer = &plan->buffers.items[k];
    if (buffer->memory == MEMORY_STATE) buffer->offset = offsets[buffer->index];
  }
  return bytes;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const char *exported(Arena *arena, LLVMValueRef global) {
  size_t length;
  LLVMSetLinkage(global, LLVMExternalLinkage);
  const char *name = LLVMGetValueName2(global, &length);
  return arena_copy(arena, name, length + 1);
}

static void load(Code *code, Plan *plan, const Processor *processor) {
  Emitter emitter;
  double start = now();
  jit_begin(&code->jit, &emitter, processor);
  emitter.plan = plan;
  layout_states(plan, NEW_ARRAY(plan->module->arena, int64_t, plan->module->symbols.count + 1));
  emit_program(&emitter, &code->program);
  int count = code->program.functions.count;
  const char **names = NEW_ARRAY(plan->module->arena, const char *, count + 1);
  const char **constants = NEW_ARRAY(plan->module->arena, const char *, plan->buffers.count);
  for (int k = 0; k < count; k++) names[k] = exported(plan->module->arena, code->program.functions.items[k]);
  for (int k = 1; k < plan->buffers.count; k++) {
    if (plan->buffers.items[k].memory != MEMORY_CONSTANT) continue;
    constants[k] = exported(plan->module->arena, emit_constant(&emitter, k));
  }
  LLVMTypeRef types[] = {emitter.pointer, emitter.pointer, emitter.pointer, emitter.i64, emitter.i64, emitter.i64};
  LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(emitter.context), types, COUNT_OF(types), 0);
  LLVMValueRef run = LLVMAddFunction(emitter.module, "run", type);
  emit_runner(&emitter, run, code->program.most_buffers, code->program.most_locals);
  if (getenv("DUMP_LLVM")) LLVMDumpModule(emitter.module);
  jit_end(&code->jit, &emitter);
  code->run = (RunFunction *)jit_find(&code->jit, "run");
  code->functions = NEW_ARRAY(plan->module->arena, void *, count + 1);
  for (int k = 0; k < count; k++) code->functions[k] = jit_find(&code->jit, names[k]);
  code->constants = NEW_ARRAY(plan->module->arena, void *, plan->buffers.count);
  for (int k = 1; k < plan->buffers.count; k++) {
    if (constants[k]) code->constants[k] = jit_find(&code->jit, constants[k]);
  }
  code->seconds = now() - start;
}

static void run_launches(const Plan *plan, const Code *code, int64_t *frame, int first, int last) {
  for (int k = first; k < last; k++) {
    const Launch *launch = &plan->launches.items[k];
    if (launch->kind == LAUNCH_KERNELS) {
      for (int kernel = launch->first; kernel < launch->first + launch->count; kernel++) {
        int64_t tasks = dim_value(kernel_task_count(plan, kernel), frame);
        for (int64_t task = 0; task < tasks; task++) {
          code->run(frame, code->functions, code->program.numbers.items, kernel, tasks - 1 - task, task % 2);
        }
      }
      continue;
    }
    int end = k + 1, depth = 1;
    for (; depth > 0; end++) {
      depth += plan->launches.items[end].kind == LAUNCH_LOOP;
      depth -= plan->launches.items[end].kind == LAUNCH_END;
    }
    int64_t trips = dim_value(launch->trips, frame);
    for (int64_t turn = 0; turn < trips; turn++) {
      frame[launch->turn] = launch->reverse ? trips - 1 - turn : turn;
      run_launches(plan, code, frame, k + 1, end - 1);
    }
    k = end - 1;
  }
}

static void *aligned(Arena *arena, int64_t bytes, int fill) {
  char *memory = arena_alloc(arena, (size_t)bytes + 128);
  memory += 63 - ((uintptr_t)memory + 63) % 64;
  memset(memory, fill, (size_t)bytes);
  return memory;
}

static int64_t buffer_address(const Plan *plan, const Code *code, const int64_t *frame, int id) {
  const Buffer *buffer = &plan->buffers.items[id];
  switch (buffer->memory) {
  case MEMORY_ARG: return frame[frame_argument(plan, buffer->index)];
  case MEMORY_RESULT: return frame[frame_result(plan, buffer->index)];
  case MEMORY_STATE: return frame[frame_state(plan)] + buffer->offset;
  case MEMORY_ARENA: return frame[frame_scratch(plan)] + buffer->offset;
  case MEMORY_CONSTANT: return (int64_t)(intptr_t)code->constants[id];
  case MEMORY_LOCAL: break;
  }
  return 0;
}

/* Results and states are set as plan_run sets them; a result whose array has no data is not wanted. */
static void run_code(Plan *plan, const Code *code, Run *run, const bool *wanted) {
  Arena *arena = run->arena;
  const Graph *graph = plan->graph;
  int64_t *frame = NEW_ARRAY(arena, int64_t, frame_fields(plan, &code->program) + 1);
  int64_t *offsets = NEW_ARRAY(arena, int64_t, plan->module->symbols.count + 1);
  for (int k = 0; k < plan->module->dims.count; k++) frame[frame_dim(plan, k)] = run->dims[k];
  for (int k = 0; k < graph->parameters.count; k++) {
    frame[frame_argument(plan, k)] = (int64_t)(intptr_t)run->parameters[k].data;
  }
  for (int k = 0; k < graph->results.count; k++) {
    run->results[k] = array_for(arena, graph_type(graph, graph->results.items[k].value), false, run->dims);
    if (!wanted[k]) run->results[k].data = NULL;
    frame[frame_result(plan, k)] = (int64_t)(intptr_t)run->results[k].data;
  }
  char *state = aligned(arena, layout_states(plan, offsets), 0xFF);
  for (int k = 0; k < plan->module->symbols.count; k++) {
    const Symbol *symbol = &plan->module->symbols.items[k];
    symbol_store(symbol, (size_t)plan_element_bytes(symbol->type.dtype), run->states[k].data, state + offsets[k]);
  }
  frame[frame_state(plan)] = (int64_t)(intptr_t)state;
  frame[frame_scratch(plan)] = (int64_t)(intptr_t)aligned(arena, plan->arena_bytes, 0xFF);
  frame[frame_locals(plan)] = (int64_t)(intptr_t)aligned(arena, 2 * round_up(plan->local_bytes, 64), 0xFF);
  frame[frame_local_bytes(plan)] = round_up(plan->local_bytes, 64);
  for (int k = 1; k < plan->buffers.count; k++) frame[frame_pointer(plan, k)] = buffer_address(plan, code, frame, k);
  for (int k = 0; k < code->program.measures.count; k++) {
    frame[frame_measure(plan, k)] = dim_value(code->program.measures.items[k], run->dims);
  }
  run_launches(plan, code, frame, 0, plan->launches.count);
  for (int k = 0; k < plan->module->symbols.count; k++) {
    const Symbol *symbol = &plan->module->symbols.items[k];
    run->states[k] = array_for(arena, &symbol->type, false, run->dims);
    symbol_load(symbol, (size_t)plan_element_bytes(symbol->type.dtype), state + offsets[k], run->states[k].data);
  }
}

/* ---- comparing ---- */

static uint64_t random_state = 1;
static uint64_t draw(uint64_t below) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (random_state >> 33) % below;
}

static Array random_array(Net *net, const Type *type, const int64_t *dims) {
  Array array = array_for(net->arena, type, false, dims);
  for (int64_t k = 0; k < array_count(&array); k++) {
    double value = type->dtype == F32   ? (double)draw(2001) / 1000 - 1
                   : type->dtype == I32 ? (double)draw(11) - 5
                                        : (double)draw(2);
    if (type->dtype == F32 && draw(50) == 0) value = (double)draw(3) - 1; /* ties */
    array_set(&array, k, value);
  }
  return array;
}

static void expect_near(const char *what, const Array *found, const Array *expected) {
  for (int64_t k = 0; k < array_count(expected); k++) {
    double x = array_get(found, k), y = array_get(expected, k);
    if (x == y || (found->dtype == F32 && fabs(x - y) <= 2e-5 * (1 + fabs(y))) || (isnan(x) && isnan(y))) continue;
    fail_msg("%s [%lld] is %.9g, expected %.9g", what, (long long)k, x, y);
  }
}

static void compare(Net *net, const char *name, Plan *plan, const Code *code, int64_t n) {
  const Graph *graph = plan->graph;
  int64_t dims[DIMS] = {n};
  int nstates = net->module->symbols.count, nresults = graph->results.count;
  Array *parameters = NEW_ARRAY(net->arena, Array, graph->parameters.count + 1);
  Array *states = NEW_ARRAY(net->arena, Array, 2 * nstates + 1), *results = NEW_ARRAY(net->arena, Array, 2 * nresults + 1);
  bool *wanted = NEW_ARRAY(net->arena, bool, nresults + 1);
  for (int k = 0; k < graph->parameters.count; k++) {
    parameters[k] = random_array(net, &graph->parameters.items[k].type, dims);
  }
  for (int k = 0; k < nstates; k++) {
    states[k] = states[nstates + k] = random_array(net, &net->module->symbols.items[k].type, dims);
  }
  for (int k = 0; k < nresults; k++) wanted[k] = nresults == 1 || draw(8) != 0;
  Run run = {
      .graph = graph, .dims = dims, .parameters = parameters, .states = states, .results = results, .arena = net->arena};
  Run compiled = run;
  compiled.states = states + nstates, compiled.results = results + nresults;
  Failure failure = {0};
  if (!plan_run(plan, &run, &failure)) fail_msg("%s: %s", name, failure.message);
  run_code(plan, code, &compiled, wanted);
  for (int k = 0; k < nresults; k++) {
    char *what = arena_format(net->arena, "%s, N=%d: %s", name, (int)n, graph->results.items[k].name);
    if (wanted[k]) expect_near(what, &compiled.results[k], &results[k]);
  }
  for (int k = 0; k < nstates; k++) {
    char *what = arena_format(net->arena, "%s, N=%d: %s", name, (int)n, net->module->symbols.items[k].name);
    expect_near(what, &compiled.states[k], &states[k]);
  }
}

/* ---- other choices than the schedule's ---- */

/* What plan_verify wants of a tile: rows are in one operand, columns in the other, lanes not in the first alone. */
static void change_tile(Stage *stage) {
  const Scalar *scalars = stage->scalars.items, *mul = &scalars[stage->folders.items[0].value];
  uint32_t in[2] = {0, 0};
  for (int which = 0; which < 2; which++) {
    const Access *access = scalars[which ? mul->b : mul->a].access;
    for (int k = 0; k < access->map.naxes; k++) {
      for (int t = 0; t < access->map.axis[k].nterms; t++) in[which] |= 1u << access->map.axis[k].dim[t];
    }
  }
  Tile tile = {.vector = (int)draw((uint64_t)stage->nloops), .row = -1, .column = -1};
  if (!(in[1] >> tile.vector & 1)) return;
  bool alone = !(in[0] >> tile.vector & 1);
  for (int loop = 0; loop < stage->nkept; loop++) {
    if (loop == tile.vector) continue;
    if ((in[0] & ~in[1]) >> loop & 1 && draw(3)) tile.row = loop;
    if ((in[1] & ~in[0]) >> loop & 1 && draw(2) && !(alone && tile.vector < stage->nkept && draw(2))) tile.column = loop;
  }
  tile.rows = tile.row < 0 ? 1 : 1 + (int)draw(14);
  tile.columns = tile.column < 0 && !(alone && tile.vector < stage->nkept) ? 1 : 1 + (int)draw(4);
  tile.piece = (int)draw(2) * (1 + (int)draw(12));
  stage->tile = tile;
}

static void change_choices(Plan *plan) {
  for (int k = 0; k < plan->kernels.count; k++) {
    for (int s = 0; s < plan->kernels.items[k].stages.count; s++) {
      Stage *stage = &plan->kernels.items[k].stages.items[s];
      if (stage->kind == STAGE_CONTRACT) change_tile(stage);
      int last = stage->kind == STAGE_SCATTER  ? stage->nkept
                 : stage->kind == STAGE_CUMSUM ? stage->nkept - 1
                                               : stage->nloops;
      if (stage->kind != STAGE_CONTRACT && stage->kind != STAGE_SORT && last > 0) {
        stage->vector = (int)draw((uint64_t)last + 1) - 1;
      }
    }
  }
}

static Plan *plan_of(Net *net, Build *build, bool unfused) {
  *net = (Net){.arena = arena_new()};
  net->module = module_new(net->arena, diagnostics_new(net->arena), "test");
  module_add_dim(net->module, "N", 1, LARGEST, 1, &place);
  net->graph = graph_new(net->module, "f", GRAPH_STEP);
  net->graph->here = net->graph->place = &place;
  build(net);
  PUSH(net->arena, &net->module->entries, net->graph);
  PipelineOptions options = default_pipeline;
  options.verify = true, options.unfused = unfused;
  Plan **plans;
  assert_true(pipeline_run(net->module, &options, &plans, NULL));
  return plans[0];
}

static void check_on(const char *name, Build *build, const Processor *processor, int turn) {
  static const int64_t sizes[] = {1, 5, 16, LARGEST};
  Net net;
  Plan *plan = plan_of(&net, build, turn % 2 == 1);
  if (turn > 1) change_choices(plan);
  Code code;
  if (getenv("DUMP_PLAN")) {
    Text text = {0};
    plan_print(plan, &text);
    fputs(text.bytes, stderr);
    text_free(&text);
  }
  load(&code, plan, processor);
  char *label = arena_format(net.arena, "%s, %s, turn %d", name, processor->name, turn);
  for (int k = 0; k < COUNT_OF(sizes); k++) compare(&net, label, plan, &code, sizes[k]);
  if (turn == 0)
    print_message("%-14s %-10s %d kernels, %.1f ms\n", name, processor->name, plan->kernels.count, 1e3 * code.seconds);
  jit_free(&code.jit);
  arena_free(net.arena);
}

static void check(const char *name, Build *build) {
  static const char *const names[] = {"native", "x86-64-v3", "x86-64"};
  const int turns = getenv("KERNEL_TURNS") ? atoi(getenv("KERNEL_TURNS")) : 8;
  Arena *arena = arena_new();
  for (int turn = 0; turn < turns; turn++) {
    const Processor *processor = processor_find(arena, architecture_find("x86_64-"), names[turn < 2 ? 0 : turn % 3]);
    if (processor_runs_here(processor)) check_on(name, build, processor, turn);
  }
  for (int k = 1; k < COUNT_OF(names); k++) {
    const Processor *processor = processor_find(arena, architecture_find("x86_64-"), names[k]);
    if (processor_runs_here(processor)) check_on(name, build, processor, 0);
  }
  arena_free(arena);
}

/* ---- the same bits ---- */

/* One plan, one input, code for one processor: its results, in the order of the graph. */
static Array *results_on(Net *net, Plan *plan, const char *name, int64_t n) {
  int64_t dims[DIMS] = {n};
  const Graph *graph = plan->graph;
  Array *parameters = NEW_ARRAY(net->arena, Array, graph->parameters.count + 1);
  Array *states = NEW_ARRAY(net->arena, Array, net->module->symbols.count + 1);
  Array *results = NEW_ARRAY(net->arena, Array, graph->results.count + 1);
  bool *wanted = NEW_ARRAY(net->arena, bool, graph->results.count + 1);
  random_state = 7;
  for (int k = 0; k < graph->parameters.count; k++) {
    parameters[k] = random_array(net, &graph->parameters.items[k].type, dims);
  }
  for (int k = 0; k < net->module->symbols.count; k++) {
    states[k] = random_array(net, &net->module->symbols.items[k].type, dims);
  }
  for (int k = 0; k < graph->results.count; k++) wanted[k] = true;
  Run run = {.graph = graph, .dims = dims, .parameters = parameters, .states = states, .results = results};
  run.arena = net->arena;
  Code code;
  load(&code, plan, processor_find(net->arena, architecture_find("x86_64-"), name));
  run_code(plan, &code, &run, wanted);
  jit_free(&code.jit);
  return results;
}

/* AVX2 and AVX-512 add in the same order and fuse the same products. */
static void check_bits(const char *name, Build *build) {
  Arena *arena = arena_new();
  bool able = processor_runs_here(processor_find(arena, architecture_find("x86_64-"), "x86-64-v4"));
  arena_free(arena);
  if (!able) return;
  Net net;
  Plan *plan = plan_of(&net, build, false);
  Array *wide = results_on(&net, plan, "x86-64-v4", LARGEST), *narrow = results_on(&net, plan, "x86-64-v3", LARGEST);
  for (int k = 0; k < plan->graph->results.count; k++) {
    size_t bytes = (size_t)array_count(&wide[k]) * array_element_bytes(&wide[k]);
    if (memcmp(wide[k].data, narrow[k].data, bytes) == 0) continue;
    fail_msg("%s: %s differs between processors", name, plan->graph->results.items[k].name);
  }
  arena_free(net.arena);
}

/* ---- nets ---- */

static void products(Net *net) {
  Id x = input(net, "x", TYPE(net, F32, -1, 45)), w = param(net, "w", TYPE(net, F32, 45, 70));
  Id b = param(net, "b", TYPE(net, F32, 70)), y = op2(net, OP_add, product(net, x, false, w, false), b);
  y = op2(net, OP_max, y, num(net, 0));
  give(net, "y", y);
  Id v = param(net, "v", TYPE(net, F32, 10, 70));
  give(net, "z", op1(net, OP_tanh, product(net, y, false, v, true)));
  Id gradient = product(net, x, true, y, false);
  leave(net, w, op2(net, OP_sub, w, op2(net, OP_mul, gradient, num(net, 0.01))));
  give(net, "square", product(net, x, false, x, true));
  Id column = param(net, "column", TYPE(net, F32, 70, 1));
  give(net, "one", product(net, y, false, column, false));
  Id a = param(net, "a", TYPE(net, F32, 15, 32)), c = param(net, "c", TYPE(net, F32, 32, 33));
  give(net, "constant", product(net, a, false, c, false));
}

static void convolutions(Net *net) {
  Id x = input(net, "x", TYPE(net, F32, -1, 3, 9, 9)), w = param(net, "w", TYPE(net, F32, 5, 3, 3, 3));
  Space space = {.ndims = 7, .nresult = 4, .nmaps = 2};
  const int64_t extents[] = {-1, 5, 9, 9, 3, 3, 3};
  for (int d = 0; d < 7; d++) space.extent[d] = size(net, extents[d]);
  space.map[0] = (Map){.naxes = 4, .axis = {bare(net, 0), bare(net, 4)}};
  for (int k = 0; k < 2; k++) {
    space.map[0].axis[2 + k] = axis_window(2 + k, 1, 5 + k, 1, dim_constant(net->module, -1), 1);
  }
  space.map[1] = (Map){.naxes = 4, .axis = {bare(net, 1), bare(net, 4), bare(net, 5), bare(net, 6)}};
  Id y = graph_contract(net->graph, x, w, &space);
  Space pool = {.ndims = 6, .nresult = 4, .nmaps = 1};
  const int64_t windows[] = {-1, 5, 4, 4, 3, 3};
  for (int d = 0; d < 6; d++) pool.extent[d] = size(net, windows[d]);
  pool.map[0] = (Map){.naxes = 4, .axis = {bare(net, 0), bare(net, 1)}};
  for (int k = 0; k < 2; k++) pool.map[0].axis[2 + k] = axis_window(2 + k, 2, 4 + k, 1, dim_constant(net->module, 0), 1);
  Id best = graph_fold(net->graph, OP_fold_max, y, &pool);
  give(net, "best", best);
  give(net, "which", graph_fold(net->graph, OP_argmax, y, &pool));
  Id loss = op1(net, OP_sin, best);
  for (int k = 0; k < 4; k++) loss = fold_axis(net, OP_fold_sum, loss, 0);
  Id by[] = {w, x};
  Id grad = graph_grad(net->graph, loss, by, 2);
  give(net, "dx", graph_pick(net->graph, grad, 1));
  leave(net, w, op2(net, OP_sub, w, graph_pick(net->graph, grad, 0)));
}

/* Row and column folds, and what follows them. */
static void folds(Net *net) {
  Id x = input(net, "x", TYPE(net, F32, -1, 3, 23));
  Id centred = op2(net, OP_sub, x, fold_keep(net, OP_fold_max, x, 2)), e = op1(net, OP_exp, centred);
  give(net, "softmax", op2(net, OP_div, e, fold_keep(net, OP_fold_sum, e, 2)));
  for (int axis = 0; axis < 3; axis++) {
    give(net, arena_format(net->arena, "sum%d", axis), fold_axis(net, OP_fold_sum, x, axis));
    give(net, arena_format(net->arena, "min%d", axis), fold_axis(net, OP_fold_min, x, axis));
    give(net, arena_format(net->arena, "argmax%d", axis), fold_axis(net, OP_argmax, x, axis));
    give(net, arena_format(net->arena, "argmin%d", axis), fold_axis(net, OP_argmin, x, axis));
  }
  bool all[MAX_RANK] = {true, true, true};
  give(net, "all", graph_fold_axes(net->graph, OP_fold_sum, x, all, false));
  give(net, "where", graph_fold_axes(net->graph, OP_argmax, x, all, false));
  Id positive = op2(net, OP_lt, num(net, 0), x);
  give(net, "any", fold_axis(net, OP_fold_max, positive, 2));
  give(net, "every", fold_axis(net, OP_fold_min, positive, 0));
  Id counts = graph_cast(net->graph, I32, positive);
  give(net, "count", fold_axis(net, OP_fold_sum, counts, 1));
}

static void scalars(Net *net) {
  Id x = input(net, "x", TYPE(net, F32, -1, 11)), y = input(net, "y", TYPE(net, F32, -1, 11));
  Id k = input(net, "k", TYPE(net, I32, -1, 11)), m = input(net, "m", TYPE(net, I32, 11)),
     t = input(net, "t", TYPE(net, BOOL, -1, 11));
  const Op binary[] = {OP_add, OP_sub, OP_mul, OP_div, OP_floordiv, OP_mod, OP_pow, OP_max, OP_min, OP_lt, OP_le, OP_eq};
  for (Op op = 0; op < OP_COUNT; op++)
    if (scalar_unary(op, KIND_F32)) give(net, op_info[op].name, op1(net, op, x));
  for (int f = 0; f < COUNT_OF(binary); f++) {
    give(net, op_info[binary[f]].name, op2(net, binary[f], x, y));
    if (binary[f] == OP_div || binary[f] == OP_pow) continue;
    give(net, arena_format(net->arena, "%s_i32", op_info[binary[f]].name), op2(net, binary[f], k, m));
  }
  give(net, "large", graph_cast(net->graph, I32, op2(net, OP_mul, x, num(net, 3e9))));
  give(net, "as_f32", graph_cast(net->graph, F32, k));
  give(net, "as_bool", graph_cast(net->graph, BOOL, k));
  give(net, "from_bool", graph_cast(net->graph, F32, t));
  give(net, "chosen", graph_where(net->graph, t, x, y));
  give(net, "both", op2(net, OP_max, t, op2(net, OP_lt, x, y)));
  give(net, "iota", graph_iota(net->graph, TYPE(net, I32, -1, 11), 1));
  Id keys[] = {graph_number(net->graph, I32, 7), fold_axis(net, OP_fold_sum, m, 0)};
  give(net, "random", graph_random(net->graph, TYPE(net, F32, -1, 11), keys, 2, 0x9ABCDEF0u));
}

static void moving(Net *net) {
  Id x = input(net, "x", TYPE(net, F32, -1, 6)), table = param(net, "table", TYPE(net, F32, 4, 6));
  Id which = input(net, "which", TYPE(net, I32, -1)), rows = graph_gather(net->graph, table, which, 0, 0);
  Id parts[] = {x, rows, op1(net, OP_neg, x)};
  give(net, "all", graph_concat(net->graph, parts, 3, 1));
  give(net, "stacked", graph_concat(net->graph, parts, 3, 0));
  give(net, "added", graph_scatter(net->graph, table, which, x, 0, 0));
  give(net, "order", graph_argsort(net->graph, x));
  give(net, "sorted", graph_gather(net->graph, x, graph_argsort(net->graph, x), 1, 1));
  give(net, "sums", graph_cumsum(net->graph, x, 1));
  give(net, "down", graph_cumsum(net->graph, op1(net, OP_exp, x), 0));
  const int turned[] = {1, 0};
  give(net, "turned", graph_transpose(net->graph, x, turned));
  give(net, "flat",
       graph_reshape(net->graph, x, 1, (const Dim *[]){dim_multiply(net->module, size(net, -1), size(net, 6))}));
  Space space = {.ndims = 2, .nresult = 2, .nmaps = 1, .extent = {size(net, -1), size(net, 13)}};
  space.map[0] = (Map){.naxes = 2, .axis = {bare(net, 0), axis_window(1, 1, 1, 0, dim_constant(net->module, -1), 2)}};
  space.map[0].axis[1] =
      (Axis){.nterms = 1, .dim = {1}, .coefficient = {1}, .offset = dim_constant(net->module, -1), .divisor = 2};
  give(net, "spread", graph_view(net->graph, x, &space, 0.5));
  space.extent[1] = size(net, 9);
  space.map[0].axis[1] = axis_affine(1, -1, dim_constant(net->module, 7));
  give(net, "padded", graph_view(net->graph, x, &space, -2));
}

#define TEST(build)                                                                                                        \
  static void test_##build(void **unused) {                                                                                \
    (void)unused;                                                                                                          \
    check(#build, build);                                                                                                  \
  }
TEST(products)
TEST(convolutions)
TEST(folds)
TEST(scalars)
TEST(moving)

static void test_same_bits(void **unused) {
  (void)unused;
  check_bits("products", products);
  check_bits("convolutions", convolutions);
  check_bits("folds", folds);
  check_bits("scalars", scalars);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_scalars),      cmocka_unit_test(test_folds),
                                     cmocka_unit_test(test_moving),       cmocka_unit_test(test_products),
                                     cmocka_unit_test(test_convolutions), cmocka_unit_test(test_same_bits)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
