/* Gradients against finite differences: the whole Jacobian, in f64, rtol 1e-6, atol 1e-8.
 *
 * A case builds y of some inputs in a Bench; check() then differentiates sum(y * seed) by all inputs, runs that with each
 * unit seed (a row of the Jacobian each) and compares it with the columns found by nudging each input element. The same is
 * done after fold, cse and dead, which must change nothing. */
#ifndef NNC_JACOBIAN_H
#define NNC_JACOBIAN_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "ir/interpret.h"
#include "passes/passes.h"

#include <cmocka.h> /* last: it has a macro named fail */

enum { MAX_INPUTS = 4, N = 3 /* what dim N is at run time */ };

typedef struct Bench {
  const char *name;
  Arena *arena;
  Module *module;
  Graph *graph;
  int ninputs;
  Id inputs[MAX_INPUTS];
  double low[MAX_INPUTS], high[MAX_INPUTS];
  int64_t dims[1];
} Bench;

/* ---- building ---- */

static Bench bench_new(const char *name) {
  static const Source source = {.name = "test.nn", .text = "", .users = true};
  static const Place place = {.source = &source};
  Bench b = {.name = name, .arena = arena_new(), .dims = {N}};
  b.module = module_new(b.arena, diagnostics_new(b.arena), "test");
  module_add_dim(b.module, "N", 1, 8, 1, &place);
  b.graph = graph_new(b.module, "f", GRAPH_FN);
  b.graph->here = b.graph->place = &place;
  return b;
}

static const Dim *size(Bench *b, int64_t value) {
  return value < 0 ? dim_symbol(b->module, 0) : dim_constant(b->module, value);
}

/* A type by its sizes; -1 is the dim N. */
static Type type_with(Bench *b, Dtype dtype, int rank, const int *sizes) {
  Type type = {.dtype = dtype, .rank = rank};
  for (int k = 0; k < rank; k++) type.size[k] = size(b, sizes[k]);
  return type;
}

#define TYPE(b, dtype, ...)                                                                                                \
  type_with((b), (dtype), (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), (const int[]){__VA_ARGS__})

static Id input(Bench *b, Type type, double low, double high) {
  b->low[b->ninputs] = low;
  b->high[b->ninputs] = high;
  char *name = arena_format(b->arena, "x%d", b->ninputs);
  return b->inputs[b->ninputs++] = graph_parameter(b->graph, name, type, b->graph->place);
}

static Id op2(Bench *b, Op op, Id x, Id z) { return graph_binary(b->graph, op, x, z); }
static Id op1(Bench *b, Op op, Id x) { return graph_unary(b->graph, op, x); }
static Id num(Bench *b, double value) { return graph_number(b->graph, F32, value); }

static Id sum_all(Bench *b, Id x) {
  bool all[MAX_RANK];
  for (int k = 0; k < MAX_RANK; k++) all[k] = true;
  return graph_fold_axes(b->graph, OP_fold_sum, x, all, false);
}

static Id flat(Bench *b, Id x) {
  const Dim *count = type_count(b->module, graph_type(b->graph, x));
  return graph_reshape(b->graph, x, 1, &count);
}

static Space space_of(Bench *b, int nresult, int ndims, const int *extents) {
  Space space = {.ndims = ndims, .nresult = nresult, .nmaps = 1};
  for (int d = 0; d < ndims; d++) space.extent[d] = size(b, extents[d]);
  return space;
}

static void read_axis(Space *space, int operand, Axis axis) {
  space->map[operand].axis[space->map[operand].naxes++] = axis;
  if (operand == 1) space->nmaps = 2;
}

static Axis bare(Bench *b, int dim) { return axis_of(b->module, dim); }
static Axis window(Bench *b, int dim, int stride, int tap, int dilation, int offset, int divisor) {
  return axis_window(dim, stride, tap, dilation, dim_constant(b->module, offset), divisor);
}

/* ---- running ---- */

static uint64_t random_state = 1;
static double random_between(double low, double high) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return low + (high - low) * (double)(random_state >> 11) / 9007199254740992.0;
}

/* Runs the graph's results into the arena. The parameters are the inputs, then the seed if the graph has one. */
static Array *evaluate(Bench *b, const Graph *graph, const Array *parameters, Arena *arena) {
  Array *results = NEW_ARRAY(arena, Array, graph->results.count);
  Array *states = NEW_ARRAY(arena, Array, b->module->symbols.count + 1);
  for (int i = 0; i < b->module->symbols.count; i++) {
    states[i] = array_for(arena, &b->module->symbols.items[i].type, true, b->dims);
    for (int64_t k = 0; k < array_count(&states[i]); k++) array_set(&states[i], k, 0.25 + 0.5 * (double)k);
  }
  Run run = {.graph = graph,
             .f64 = true,
             .dims = b->dims,
             .parameters = parameters,
             .states = states,
             .results = results,
             .arena = arena};
  Failure failure = {0};
  if (!interpret(&run, &failure)) fail_msg("%s: %s", b->name, failure.message);
  return results;
}

static void expect_close(const char *name, const char *what, int64_t i, int64_t j, double found, double expected,
                         double bound) {
  if (fabs(found - expected) <= 1e-8 + bound * fabs(expected)) return;
  fail_msg("%s: %s [%lld, %lld] is %.12g, expected %.12g", name, what, (long long)i, (long long)j, found, expected);
}

static void verify(const Bench *b) {
  Text why = {0};
  if (!module_verify(b->module, &why)) fail_msg("%s: %s", b->name, why.bytes);
  text_free(&why);
}

/* Compares the rows of the Jacobian (results 1.. of the graph, one run for each unit seed) with its columns by
 * differences. The seed is the last parameter. */
static void compare(Bench *b, const char *what, Array *parameters) {
  const double step = 1e-5;
  const Graph *graph = b->module->entries.items[0];
  Array *seed = &parameters[b->ninputs];
  int64_t outputs = array_count(seed);
  Arena *arena = arena_new();
  Array **rows = NEW_ARRAY(arena, Array *, outputs);
  for (int64_t j = 0; j < outputs; j++) {
    for (int64_t k = 0; k < outputs; k++) array_set(seed, k, k == j);
    rows[j] = evaluate(b, graph, parameters, arena);
  }
  for (int i = 0; i < b->ninputs; i++) {
    char *label = arena_format(arena, "%s by x%d", what, i);
    for (int64_t k = 0; k < array_count(&parameters[i]); k++) {
      double at = array_get(&parameters[i], k);
      array_set(&parameters[i], k, at + step);
      Array above = evaluate(b, graph, parameters, arena)[0];
      array_set(&parameters[i], k, at - step);
      Array below = evaluate(b, graph, parameters, arena)[0];
      array_set(&parameters[i], k, at);
      for (int64_t j = 0; j < outputs; j++) {
        double difference = (array_get(&above, j) - array_get(&below, j)) / (2 * step);
        expect_close(b->name, label, j, k, array_get(&rows[j][1 + i], k), difference, 1e-6);
      }
    }
  }
  arena_free(arena);
}

static void optimise(Bench *b) {
  void (*const passes[])(Module *) = {pass_fold, pass_cse, pass_dead, pass_fold, pass_cse, pass_dead};
  for (int i = 0; i < COUNT_OF(passes); i++) {
    passes[i](b->module);
    verify(b);
  }
}

/* The optimised graph gives what the graph gave. (Folded constants are f32, so in f64 this is not to the last bit.) */
static void expect_same_results(Bench *b, const Graph *original, Array *parameters) {
  const Graph *graph = b->module->entries.items[0];
  Array *seed = &parameters[b->ninputs];
  for (int64_t k = 0; k < array_count(seed); k++) array_set(seed, k, random_between(-1, 1));
  const Array *expected = evaluate(b, original, parameters, b->arena), *found = evaluate(b, graph, parameters, b->arena);
  for (int i = 0; i < graph->results.count; i++)
    for (int64_t k = 0; k < array_count(&found[i]); k++)
      expect_close(b->name, "optimised result", i, k, array_get(&found[i], k), array_get(&expected[i], k), 1e-6);
}

static void check(Bench *b, const char *what, Id y) {
  Graph *graph = b->graph;
  Type type = *graph_type(graph, y);
  Id seed = graph_parameter(graph, "seed", type, graph->place);
  Id loss = sum_all(b, op2(b, OP_mul, y, seed));
  Id grad = graph_grad(graph, loss, b->inputs, b->ninputs);
  PUSH(b->arena, &graph->results, ((Result){"y", y}));
  for (int i = 0; i < b->ninputs; i++) PUSH(b->arena, &graph->results, ((Result){"g", graph_pick(graph, grad, i)}));
  PUSH(b->arena, &b->module->entries, graph);
  verify(b);
  pass_grad(b->module);
  verify(b);
  assert_int_equal(diagnostics_errors(b->module->diagnostics), 0);
  Array *parameters = NEW_ARRAY(b->arena, Array, b->ninputs + 1);
  for (int i = 0; i < b->ninputs; i++) {
    parameters[i] = array_for(b->arena, graph_type(graph, b->inputs[i]), true, b->dims);
    for (int64_t k = 0; k < array_count(&parameters[i]); k++)
      array_set(&parameters[i], k, random_between(b->low[i], b->high[i]));
  }
  parameters[b->ninputs] = array_for(b->arena, &type, true, b->dims);
  compare(b, what, parameters);
  const Graph *original = b->module->entries.items[0];
  optimise(b);
  expect_same_results(b, original, parameters);
  compare(b, arena_format(b->arena, "%s, optimised,", what), parameters);
  arena_free(b->arena);
}

/* The gradients of sum(y * y * weights) by all inputs, in one row: their Jacobian is a Hessian. */
static Id gradients_of(Bench *b, Id y) {
  Id square = flat(b, op2(b, OP_mul, y, y)), parts[MAX_INPUTS];
  Type type = *graph_type(b->graph, square);
  Id weights = op1(b, OP_cos, graph_cast(b->graph, F32, graph_iota(b->graph, type, 0)));
  Id grad = graph_grad(b->graph, sum_all(b, op2(b, OP_mul, square, weights)), b->inputs, b->ninputs);
  for (int i = 0; i < b->ninputs; i++) parts[i] = flat(b, graph_pick(b->graph, grad, i));
  return graph_concat(b->graph, parts, b->ninputs, 0);
}

typedef Id Build(Bench *b);

static void first(const char *name, Build *build) {
  Bench b = bench_new(name);
  check(&b, "gradient", build(&b));
}

static void twice(const char *name, Build *build) {
  first(name, build);
  Bench b = bench_new(name);
  check(&b, "second gradient", gradients_of(&b, build(&b)));
}

#endif
