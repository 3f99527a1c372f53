/* Small nets through the whole pipeline: what the plan computes is what the graph means.
 *
 * Each case builds an entry; the pipeline runs over it with and without fusion, verified after every pass; plan_run then
 * computes it at several run-time sizes, and its results and finals are held to those of the interpreter in f64. Random
 * programs are the fuzzer's (tests/fuzz); these are the shapes of nets that people write. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "ir/interpret.h"
#include "ir/plan.h"
#include "passes/passes.h"

#include <cmocka.h> /* last: it has a macro named fail */

enum { LARGEST = 37 /* of dim N */, DIMS = 64 /* room for the turns of scans */ };

typedef struct Net {
  Arena *arena;
  Module *module;
  Graph *graph;
  Vec(Id) states; /* by symbol: its node */
} Net;

static const Source source = {.name = "test.nn", .text = "", .users = true};
static const Place place = {.source = &source};

/* ---- building ---- */

static const Dim *size(Net *net, int64_t value) {
  return value < 0 ? dim_symbol(net->module, 0) : dim_constant(net->module, value);
}

/* A type by its sizes; -1 is the dim N. */
static Type type_with(Net *net, Dtype dtype, int rank, const int *sizes) {
  Type type = {.dtype = dtype, .rank = rank};
  for (int k = 0; k < rank; k++) type.size[k] = size(net, sizes[k]);
  return type;
}

#define COUNTED(...)                                                                                                       \
  (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), (const int[]) { __VA_ARGS__ }
#define TYPE(net, dtype, ...) type_with((net), (dtype), COUNTED(__VA_ARGS__))

static Id input(Net *net, const char *name, Type type) { return graph_parameter(net->graph, name, type, &place); }
static Id param(Net *net, const char *name, Type type) {
  Initialiser init = {.kind = INIT_UNIFORM, .a = -1, .b = 1};
  Id state = graph_state(net->graph, module_add_symbol(net->module, name, type, true, init, &place));
  return PUSH(net->arena, &net->states, state);
}
static Id op2(Net *net, Op op, Id a, Id b) { return graph_binary(net->graph, op, a, b); }
static Id op1(Net *net, Op op, Id a) { return graph_unary(net->graph, op, a); }
static Id num(Net *net, double value) { return graph_number(net->graph, F32, value); }
static void give_back(Net *net, const char *name, Id value) {
  PUSH(net->arena, &net->graph->results, ((Result){name, value}));
}
static void leave(Net *net, Id state, Id value) {
  PUSH(net->arena, &net->graph->finals, ((Final){graph_node(net->graph, state)->index, value}));
}

static Id fold_last(Net *net, Op op, Id a, bool keep) {
  bool folded[MAX_RANK] = {false};
  folded[graph_type(net->graph, a)->rank - 1] = true;
  return graph_fold_axes(net->graph, op, a, folded, keep);
}

static Id fold_all(Net *net, Op op, Id a) {
  bool folded[MAX_RANK];
  for (int k = 0; k < MAX_RANK; k++) folded[k] = true;
  return graph_fold_axes(net->graph, op, a, folded, false);
}

static Id mean(Net *net, Id a) {
  Id count = graph_cast(net->graph, F32, graph_dim(net->graph, type_count(net->module, graph_type(net->graph, a))));
  return op2(net, OP_div, fold_all(net, OP_fold_sum, a), count);
}

static Id reshape(Net *net, Id a, int rank, const int *sizes) {
  Type type = type_with(net, F32, rank, sizes);
  return graph_reshape(net->graph, a, rank, type.size);
}

static Axis bare(Net *net, int dim) { return axis_of(net->module, dim); }

static Id matmul(Net *net, Id a, Id b) {
  Space space = {.ndims = 3, .nresult = 2, .nmaps = 2};
  space.extent[0] = graph_type(net->graph, a)->size[0];
  space.extent[1] = graph_type(net->graph, b)->size[1];
  space.extent[2] = graph_type(net->graph, a)->size[1];
  space.map[0] = (Map){.naxes = 2, .axis = {bare(net, 0), bare(net, 2)}};
  space.map[1] = (Map){.naxes = 2, .axis = {bare(net, 2), bare(net, 1)}};
  return graph_contract(net->graph, a, b, &space);
}

static Id dense(Net *net, Id x, int in, int out, const char *name) {
  Id w = param(net, arena_format(net->arena, "%s.w", name), TYPE(net, F32, in, out));
  Id b = param(net, arena_format(net->arena, "%s.b", name), TYPE(net, F32, out));
  return op2(net, OP_add, matmul(net, x, w), b);
}

static Id relu(Net *net, Id x) { return op2(net, OP_max, x, num(net, 0)); }

static Id conv(Net *net, Id x, int in, int out, int kernel, int stride, int padding, int side, const char *name) {
  Id w = param(net, arena_format(net->arena, "%s.w", name), TYPE(net, F32, out, in, kernel, kernel));
  Space space = {.ndims = 7, .nresult = 4, .nmaps = 2};
  const int64_t extents[] = {-1, out, side, side, in, kernel, kernel};
  for (int d = 0; d < 7; d++) space.extent[d] = size(net, extents[d]);
  space.map[0] = (Map){.naxes = 4, .axis = {bare(net, 0), bare(net, 4)}};
  for (int k = 0; k < 2; k++) {
    space.map[0].axis[2 + k] = axis_window(2 + k, stride, 5 + k, 1, dim_constant(net->module, -padding), 1);
  }
  space.map[1] = (Map){.naxes = 4, .axis = {bare(net, 1), bare(net, 4), bare(net, 5), bare(net, 6)}};
  return graph_contract(net->graph, x, w, &space);
}

static Id maxpool(Net *net, Id x, int channels, int window, int stride, int side) {
  Space space = {.ndims = 6, .nresult = 4, .nmaps = 1};
  const int64_t extents[] = {-1, channels, side, side, window, window};
  for (int d = 0; d < 6; d++) space.extent[d] = size(net, extents[d]);
  space.map[0] = (Map){.naxes = 4, .axis = {bare(net, 0), bare(net, 1)}};
  for (int k = 0; k < 2; k++) {
    space.map[0].axis[2 + k] = axis_window(2 + k, stride, 4 + k, 1, dim_constant(net->module, 0), 1);
  }
  return graph_fold(net->graph, OP_fold_max, x, &space);
}

static Id softmax(Net *net, Id x) {
  Id e = op1(net, OP_exp, op2(net, OP_sub, x, graph_stop(net->graph, fold_last(net, OP_fold_max, x, true))));
  return op2(net, OP_div, e, fold_last(net, OP_fold_sum, e, true));
}

/* The mean of -log softmax(x)[label]; labels: i32[N]. */
static Id cross_entropy(Net *net, Id x, Id labels) {
  Id shifted = op2(net, OP_sub, x, graph_stop(net->graph, fold_last(net, OP_fold_max, x, true)));
  Id sums = op1(net, OP_log, fold_last(net, OP_fold_sum, op1(net, OP_exp, shifted), false));
  Id of_label = graph_gather(net->graph, shifted, graph_insert_axis(net->graph, labels, 1), 1, 1);
  const Dim *rows = size(net, -1);
  return mean(net, op2(net, OP_sub, sums, graph_reshape(net->graph, of_label, 1, &rows)));
}

/* Every param of the module so far: p := p - rate * gradient, through a velocity if there is a momentum. */
static void descend(Net *net, Id loss, double momentum) {
  int count = net->states.count;
  Id rate = input(net, "rate", type_scalar(F32)), grad = graph_grad(net->graph, loss, net->states.items, count);
  for (int k = 0; k < count; k++) {
    Id value = net->states.items[k], step = graph_pick(net->graph, grad, k);
    if (momentum > 0) {
      Id velocity = param(net, arena_format(net->arena, "velocity%d", k), *graph_type(net->graph, value));
      step = op2(net, OP_add, op2(net, OP_mul, velocity, num(net, momentum)), step);
      leave(net, velocity, step);
    }
    leave(net, value, op2(net, OP_sub, value, op2(net, OP_mul, rate, step)));
  }
}

/* ---- running ---- */

static uint64_t random_state = 1;
static double random_between(double low, double high) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return low + (high - low) * (double)(random_state >> 11) / 9007199254740992.0;
}

/* i32 inputs are labels and indices in these nets: 0..3. */
static Array random_array(Net *net, const Type *type, const int64_t *dims) {
  Array array = array_for(net->arena, type, false, dims);
  for (int64_t k = 0; k < array_count(&array); k++) {
    array_set(&array, k, type->dtype == F32 ? random_between(-1, 1) : floor(random_between(0, 4)));
  }
  return array;
}

static Array doubled(Net *net, const Array *array) {
  if (array->dtype != F32) return *array;
  Array wide = array_new(net->arena, F32, true, array->rank, array->size);
  for (int64_t k = 0; k < array_count(array); k++) array_set(&wide, k, array_get(array, k));
  return wide;
}

static void expect_near(const char *what, const Array *found, const Array *expected) {
  for (int64_t k = 0; k < array_count(expected); k++) {
    double x = array_get(found, k), y = array_get(expected, k);
    if (x == y || fabs(x - y) <= 1e-5 * (1 + fabs(y)) || (isnan(x) && isnan(y))) continue;
    fail_msg("%s [%lld] is %.9g, expected %.9g", what, (long long)k, x, y);
  }
}

static void compare(Net *net, const char *name, const Plan *plan, const Graph *graph, int64_t n) {
  int64_t dims[DIMS] = {n};
  int nstates = net->module->symbols.count, nparameters = graph->parameters.count, nresults = graph->results.count;
  Array *parameters = NEW_ARRAY(net->arena, Array, 2 * nparameters + 1), *wide = parameters + nparameters;
  Array *states = NEW_ARRAY(net->arena, Array, 2 * nstates + 1), *wide_states = states + nstates;
  Array *results = NEW_ARRAY(net->arena, Array, 2 * nresults + 1), *expected = results + nresults;
  for (int k = 0; k < nparameters; k++) {
    parameters[k] = random_array(net, &graph->parameters.items[k].type, dims);
    wide[k] = doubled(net, &parameters[k]);
  }
  for (int k = 0; k < nstates; k++) {
    states[k] = random_array(net, &net->module->symbols.items[k].type, dims);
    wide_states[k] = doubled(net, &states[k]);
  }
  Run run = {.graph = graph, .dims = dims, .parameters = parameters, .states = states, .results = results};
  run.arena = net->arena;
  Run exact = run;
  exact.f64 = true, exact.parameters = wide, exact.states = wide_states, exact.results = expected;
  Failure failure = {0};
  if (!interpret(&exact, &failure) || !plan_run(plan, &run, &failure)) fail_msg("%s: %s", name, failure.message);
  for (int k = 0; k < nresults; k++) {
    expect_near(arena_format(net->arena, "%s, N=%d: %s", name, (int)n, graph->results.items[k].name), &results[k],
                &expected[k]);
  }
  for (int k = 0; k < nstates; k++) {
    expect_near(arena_format(net->arena, "%s, N=%d: %s", name, (int)n, net->module->symbols.items[k].name), &states[k],
                &wide_states[k]);
  }
}

typedef void Build(Net *net);

static void check(const char *name, Build *build) {
  static const int64_t sizes[] = {1, 2, 5, 16, LARGEST};
  for (int unfused = 0; unfused < 2; unfused++) {
    Net net = {.arena = arena_new()};
    net.module = module_new(net.arena, diagnostics_new(net.arena), "test");
    module_add_dim(net.module, "N", 1, LARGEST, 1, &place);
    net.graph = graph_new(net.module, "f", GRAPH_STEP);
    net.graph->here = net.graph->place = &place;
    build(&net);
    PUSH(net.arena, &net.module->entries, net.graph);
    PipelineOptions options = default_pipeline;
    options.verify = true, options.unfused = unfused;
    Plan **plans;
    Graph **interpreted;
    assert_true(pipeline_run(net.module, &options, &plans, &interpreted));
    char *label = arena_format(net.arena, "%s, %s", name, unfused ? "unfused" : "fused");
    for (int k = 0; k < COUNT_OF(sizes); k++) compare(&net, label, plans[0], interpreted[0], sizes[k]);
    arena_free(net.arena);
  }
}

/* ---- the nets ---- */

static Id mlp(Net *net) {
  Id x = input(net, "x", TYPE(net, F32, -1, 12));
  return dense(net, relu(net, dense(net, x, 12, 20, "first")), 20, 4, "second");
}

static void mlp_step(Net *net) {
  Id y = mlp(net), loss = cross_entropy(net, y, input(net, "labels", TYPE(net, I32, -1)));
  descend(net, loss, 0);
  give_back(net, "loss", loss);
}

static void mlp_momentum(Net *net) {
  Id y = mlp(net), loss = mean(net, op2(net, OP_mul, y, y));
  descend(net, loss, 0.9);
  give_back(net, "loss", loss);
  give_back(net, "y", y);
}

static void conv_step(Net *net) {
  Id x = input(net, "x", TYPE(net, F32, -1, 2, 9, 9));
  Id first = relu(net, conv(net, x, 2, 3, 3, 1, 1, 9, "first"));
  Id second = relu(net, conv(net, maxpool(net, first, 3, 3, 2, 4), 3, 5, 3, 2, 1, 2, "second"));
  static const int flat[] = {-1, 20};
  Id y = dense(net, reshape(net, second, 2, flat), 20, 4, "head");
  Id loss = cross_entropy(net, y, input(net, "labels", TYPE(net, I32, -1)));
  descend(net, loss, 0.5);
  give_back(net, "loss", loss);
}

static void softmax_rows(Net *net) { give_back(net, "y", softmax(net, input(net, "x", TYPE(net, F32, -1, 19)))); }

static void layernorm_rows(Net *net) {
  Id x = input(net, "x", TYPE(net, F32, -1, 3, 17)), count = num(net, 17);
  Id centred = op2(net, OP_sub, x, op2(net, OP_div, fold_last(net, OP_fold_sum, x, true), count));
  Id variance = op2(net, OP_div, fold_last(net, OP_fold_sum, op2(net, OP_mul, centred, centred), true), count);
  Id scaled = op2(net, OP_div, centred, op1(net, OP_sqrt, op2(net, OP_add, variance, num(net, 1e-3))));
  Id y = op2(net, OP_mul, scaled, param(net, "gain", TYPE(net, F32, 17)));
  give_back(net, "y", y);
  descend(net, mean(net, op2(net, OP_mul, y, op1(net, OP_sin, y))), 0);
}

static void moving(Net *net) {
  Id x = input(net, "x", TYPE(net, F32, -1, 6)), table = param(net, "table", TYPE(net, F32, 4, 6));
  Id which = input(net, "which", TYPE(net, I32, -1)), rows = graph_gather(net->graph, table, which, 0, 0);
  Id parts[] = {x, rows, op1(net, OP_neg, x)};
  give_back(net, "all", graph_concat(net->graph, parts, 3, 1));
  give_back(net, "stacked", graph_concat(net->graph, parts, 3, 0));
  give_back(net, "added", graph_scatter(net->graph, table, which, x, 0, 0));
  give_back(net, "order", graph_argsort(net->graph, x));
  give_back(net, "sorted", graph_gather(net->graph, x, graph_argsort(net->graph, x), 1, 1));
  give_back(net, "sums", graph_cumsum(net->graph, x, 1));
  give_back(net, "down", graph_cumsum(net->graph, op1(net, OP_exp, x), 0));
  give_back(net, "best", fold_last(net, OP_argmax, x, false));
  give_back(net, "worst", fold_all(net, OP_argmin, x));
  descend(net, fold_all(net, OP_fold_sum, op1(net, OP_sin, rows)), 0);
}

static void swapping(Net *net) {
  Id a = param(net, "a", TYPE(net, F32, 5)), b = param(net, "b", TYPE(net, F32, 5)), c = param(net, "c", TYPE(net, F32, 5));
  Space space = {.ndims = 1, .nresult = 1, .nmaps = 1, .extent = {size(net, 5)}, .map[0].naxes = 1};
  space.map[0].axis[0] = axis_affine(0, -1, size(net, 4));
  leave(net, a, b);
  leave(net, b, a);
  leave(net, c, graph_view(net->graph, c, &space, 0));
  give_back(net, "a", a); /* what the call found */
  give_back(net, "sum", op2(net, OP_add, a, b));
  give_back(net, "constant", num(net, 3));
}

static void rotating(Net *net) {
  Id a = param(net, "a", TYPE(net, F32, 2, 7)), b = param(net, "b", TYPE(net, F32, 2, 7));
  Id c = param(net, "c", TYPE(net, F32, 2, 7)), sum = fold_all(net, OP_fold_sum, op2(net, OP_mul, a, b));
  leave(net, a, op2(net, OP_add, b, sum));
  leave(net, b, op2(net, OP_mul, c, a));
  leave(net, c, a);
  give_back(net, "sum", sum);
}

/* The same value goes out twice, and into a state that another result reads. */
static void shared(Net *net) {
  Id x = input(net, "x", TYPE(net, F32, -1, 3)), a = param(net, "a", TYPE(net, F32, 3));
  Id y = op1(net, OP_exp, op2(net, OP_mul, x, a));
  bool rows[MAX_RANK] = {true};
  Id sum = graph_fold_axes(net->graph, OP_fold_sum, y, rows, false);
  leave(net, a, sum);
  give_back(net, "x", x);
  give_back(net, "first", y);
  give_back(net, "second", y);
  give_back(net, "sum", sum);
  give_back(net, "old", op2(net, OP_add, a, sum));
}

#define TEST(build)                                                                                                        \
  static void test_##build(void **unused) {                                                                                \
    (void)unused;                                                                                                          \
    check(#build, build);                                                                                                  \
  }
TEST(mlp_step)
TEST(mlp_momentum)
TEST(conv_step)
TEST(softmax_rows)
TEST(layernorm_rows)
TEST(moving)
TEST(swapping)
TEST(rotating)
TEST(shared)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_softmax_rows), cmocka_unit_test(test_layernorm_rows), cmocka_unit_test(test_swapping),
      cmocka_unit_test(test_rotating),     cmocka_unit_test(test_shared),         cmocka_unit_test(test_moving),
      cmocka_unit_test(test_mlp_step),     cmocka_unit_test(test_mlp_momentum),   cmocka_unit_test(test_conv_step),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
