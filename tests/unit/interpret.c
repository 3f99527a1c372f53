/* The interpreter, op by op, against the plainest loops that can be written: elementwise ops on every pair of awkward
 * numbers and through strided operands; views, folds, argmax and contract on random index maps, in f32 and f64, and on the
 * shapes that take the roads through gemm; what moves elements; scans; states; random nodes. */
#include "ir/interpret.h"
#include "ir/scalar.h"

#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

static uint64_t seed;
static bool in_f64; /* of the graph made last */

static int64_t draw(int64_t low, int64_t high) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return low + (int64_t)((seed >> 33) % (uint64_t)(high - low + 1));
}

static double draw_number(void) { return (double)draw(-1000, 1000) / 256; }

/* ---- a graph with given parameters, run ---- */

typedef struct Bench {
  Arena *arena;
  Module *module;
  Graph *graph;
  bool f64;
  Array parameters[8];
  Array results[8];
} Bench;

static Bench bench_new(bool f64) {
  Bench bench = {.arena = arena_new(), .f64 = f64};
  in_f64 = f64;
  bench.module = module_new(bench.arena, diagnostics_new(bench.arena), "test");
  bench.graph = graph_new(bench.module, "f", GRAPH_FN);
  return bench;
}

static Type type_sized(Bench *bench, Dtype dtype, int rank, const int64_t *size) {
  const Dim *dims[MAX_RANK];
  for (int k = 0; k < rank; k++) dims[k] = dim_constant(bench->module, size[k]);
  return type_of(dtype, rank, dims);
}

/* A parameter of random numbers. */
static Id give(Bench *bench, Dtype dtype, int rank, const int64_t *size) {
  int at = bench->graph->parameters.count;
  Array *array = &bench->parameters[at];
  *array = array_new(bench->arena, dtype, bench->f64, rank, size);
  for (int64_t i = 0; i < array_count(array); i++)
    array_set(array, i, dtype == F32 ? draw_number() : dtype == I32 ? (double)draw(-9, 9) : (double)draw(0, 1));
  return graph_parameter(bench->graph, arena_format(bench->arena, "p%d", at), type_sized(bench, dtype, rank, size), NULL);
}

static void want(Bench *bench, Id value) {
  Result result = {.name = arena_format(bench->arena, "r%d", bench->graph->results.count), .value = value};
  PUSH(bench->arena, &bench->graph->results, result);
}

static void compute(Bench *bench) {
  Failure failure = {0};
  int64_t none = 0;
  Run run = {.graph = bench->graph,
             .f64 = bench->f64,
             .dims = &none,
             .parameters = bench->parameters,
             .results = bench->results,
             .arena = bench->arena};
  if (!interpret(&run, &failure)) fail_msg("%s", failure.message);
}

static void expect_near(double got, double expected, double tolerance, const char *what) {
  if (isnan(expected) ? isnan(got) : got == expected || fabs(got - expected) <= tolerance * fmax(1, fabs(expected))) return;
  fail_msg("%s: got %.17g, expected %.17g", what, got, expected);
}

/* ---- elementwise ---- */

/* Rounded as the run rounds: a quotient just below a whole number may round to it. */
static double floor_of(double a, double b) { return in_f64 ? floor(a / b) : (double)floorf((float)a / (float)b); }

static double reference(Op op, double a, double b) {
  switch (op) {
  case OP_neg: return -a;
  case OP_exp: return exp(a);
  case OP_log: return log(a);
  case OP_sqrt: return sqrt(a);
  case OP_sin: return sin(a);
  case OP_cos: return cos(a);
  case OP_tanh: return tanh(a);
  case OP_erf: return erf(a);
  case OP_floor: return floor(a);
  case OP_round: return nearbyint(a);
  case OP_add: return a + b;
  case OP_sub: return a - b;
  case OP_mul: return a * b;
  case OP_div: return a / b;
  case OP_floordiv: return floor_of(a, b);
  case OP_mod: return a - b * floor_of(a, b);
  case OP_pow: return pow(a, b);
  case OP_max: return isnan(a) || isnan(b) ? NAN : a > b ? a : b;
  case OP_min: return isnan(a) || isnan(b) ? NAN : a < b ? a : b;
  case OP_lt: return a < b;
  case OP_le: return a <= b;
  case OP_eq: return a == b;
  default: fail_msg("%s has no reference here", op_info[op].name); return NAN;
  }
}

static const Op binary_ops[] = {OP_add, OP_sub, OP_mul, OP_div, OP_floordiv, OP_mod,
                                OP_pow, OP_max, OP_min, OP_lt,  OP_le,       OP_eq};

/* Transposed, broadcast along each side, and dense operands at once: [7, 40], many enough that a copy is made dense. */
static void elementwise_through_strides(void **state) {
  (void)state;
  for (int round = 0; round < 2 * COUNT_OF(binary_ops); round++) {
    Bench bench = bench_new(round % 2);
    Op op = binary_ops[round / 2];
    int64_t turned[] = {40, 7}, row[] = {40}, column[] = {7, 1}, whole[] = {7, 40};
    Id a = graph_transpose(bench.graph, give(&bench, F32, 2, turned), (int[]){1, 0});
    Id b[] = {give(&bench, F32, 1, row), give(&bench, F32, 2, column), give(&bench, F32, 2, whole),
              graph_number(bench.graph, F32, 1.5)};
    for (int k = 0; k < 4; k++) want(&bench, graph_binary(bench.graph, op, a, b[k]));
    compute(&bench);
    for (int64_t i = 0; i < 7; i++)
      for (int64_t j = 0; j < 40; j++) {
        double left = array_get(&bench.parameters[0], j * 7 + i);
        double right[] = {array_get(&bench.parameters[1], j), array_get(&bench.parameters[2], i),
                          array_get(&bench.parameters[3], i * 40 + j), 1.5};
        for (int k = 0; k < 4; k++) {
          double tolerance = op == OP_mod || op == OP_floordiv ? 1e-4 : 1e-5;
          expect_near(array_get(&bench.results[k], i * 40 + j), reference(op, left, right[k]),
                      bench.f64 ? 1e-13 : tolerance, op_info[op].name);
        }
      }
    arena_free(bench.arena);
  }
}

static void elementwise_awkward_numbers(void **state) {
  (void)state;
  const double numbers[] = {0, -0.0, 1, -1, 0.5, 1.5, 2.5, -2.5, 3, -7, 1e-3, 20, INFINITY, -INFINITY, NAN};
  enum { COUNT = COUNT_OF(numbers) };
  for (int f64 = 0; f64 < 2; f64++) {
    Bench bench = bench_new(f64);
    Id a = give(&bench, F32, 1, (int64_t[]){COUNT});
    for (int i = 0; i < COUNT; i++) array_set(&bench.parameters[0], i, numbers[i]);
    for (Op op = 0; op < OP_COUNT; op++) {
      if (!scalar_unary(op, KIND_F32)) continue;
      bench.graph->results.count = 0;
      want(&bench, graph_unary(bench.graph, op, a));
      compute(&bench);
      for (int i = 0; i < COUNT; i++)
        expect_near(array_get(&bench.results[0], i), reference(op, array_get(&bench.parameters[0], i), 0),
                    f64 ? 1e-15 : 1e-6, op_info[op].name);
    }
    Id row = graph_insert_axis(bench.graph, a, 0), column = graph_insert_axis(bench.graph, a, 1);
    for (int k = 0; k < COUNT_OF(binary_ops); k++) {
      bench.graph->results.count = 0;
      want(&bench, graph_binary(bench.graph, binary_ops[k], column, row));
      compute(&bench);
      for (int i = 0; i < COUNT * COUNT; i++)
        expect_near(array_get(&bench.results[0], i),
                    reference(binary_ops[k], array_get(&bench.parameters[0], i / COUNT),
                              array_get(&bench.parameters[0], i % COUNT)),
                    f64 ? 1e-15 : 1e-5, op_info[binary_ops[k]].name);
    }
    arena_free(bench.arena);
  }
}

static void whole_numbers(void **state) {
  (void)state;
  static const struct {
    Op op;
    double a, b, expected;
  } rows[] = {
      {OP_add, INT32_MAX, 1, INT32_MIN},
      {OP_sub, INT32_MIN, 1, INT32_MAX},
      {OP_mul, 65536, 65536, 0},
      {OP_floordiv, 7, 2, 3},
      {OP_floordiv, -7, 2, -4},
      {OP_floordiv, 7, -2, -4},
      {OP_floordiv, 7, 0, 0},
      {OP_mod, 7, 0, 0},
      {OP_mod, -7, 3, 2},
      {OP_mod, 7, -3, -2},
      {OP_mod, INT32_MIN, -1, 0},
      {OP_floordiv, INT32_MIN, -1, INT32_MIN},
      {OP_neg, INT32_MIN, 0, INT32_MIN},
      {OP_max, -3, 2, 2},
      {OP_min, -3, 2, -3},
      {OP_lt, -3, 2, 1},
      {OP_le, 2, 2, 1},
      {OP_eq, 2, 3, 0},
  };
  for (int k = 0; k < COUNT_OF(rows); k++)
    expect_near(scalar_compute(rows[k].op, I32, rows[k].a, rows[k].b), rows[k].expected, 0, op_info[rows[k].op].name);
  expect_near(scalar_convert(F32, I32, -1.9), -1, 0, "cast");
  expect_near(scalar_convert(F32, I32, 3e9), INT32_MAX, 0, "cast");
  expect_near(scalar_convert(F32, I32, -INFINITY), INT32_MIN, 0, "cast");
  expect_near(scalar_convert(F32, I32, NAN), 0, 0, "cast");
  expect_near(scalar_convert(F32, BOOL, NAN), 1, 0, "cast");
  expect_near(scalar_convert(I32, F32, 16777217), 16777216, 0, "cast");
  expect_near(scalar_compute(OP_max, BOOL, 0, 1), 1, 0, "or");
  expect_near(scalar_compute(OP_min, BOOL, 0, 1), 0, 0, "and");
  assert_true(signbit(scalar_compute(OP_max, F32, 0.0, -0.0))); /* b at ties */
  assert_false(signbit(scalar_compute(OP_min, F32, -0.0, 0.0)));
}

static void where_and_cast(void **state) {
  (void)state;
  for (int f64 = 0; f64 < 2; f64++) {
    Bench bench = bench_new(f64);
    Id condition = give(&bench, BOOL, 2, (int64_t[]){5, 9}), yes = give(&bench, F32, 1, (int64_t[]){9});
    Id no = give(&bench, F32, 2, (int64_t[]){5, 1}), whole = give(&bench, I32, 1, (int64_t[]){9});
    want(&bench, graph_where(bench.graph, condition, yes, no));
    want(&bench, graph_where(bench.graph, condition, whole, graph_number(bench.graph, I32, 77)));
    want(&bench, graph_cast(bench.graph, F32, condition));
    want(&bench, graph_cast(bench.graph, I32, yes));
    want(&bench, graph_cast(bench.graph, F32, whole));
    compute(&bench);
    for (int64_t i = 0; i < 45; i++) {
      bool on = array_get(&bench.parameters[0], i) != 0;
      double left = array_get(&bench.parameters[1], i % 9);
      expect_near(array_get(&bench.results[0], i), on ? left : array_get(&bench.parameters[2], i / 9), 0, "where");
      expect_near(array_get(&bench.results[1], i), on ? array_get(&bench.parameters[3], i % 9) : 77, 0, "where of i32");
      expect_near(array_get(&bench.results[2], i), on, 0, "cast");
      expect_near(array_get(&bench.results[3], i % 9), trunc(left), 0, "cast");
      expect_near(array_get(&bench.results[4], i % 9), array_get(&bench.parameters[3], i % 9), 0, "cast");
    }
    arena_free(bench.arena);
  }
}

/* ---- index maps ---- */

/* The flat index of what a map reads, or -1. */
static int64_t read_at(const Map *map, const Array *array, const int64_t *index) {
  int64_t flat = 0;
  for (int k = 0; k < map->naxes; k++) {
    const Axis *axis = &map->axis[k];
    int64_t at = axis->offset->value;
    for (int term = 0; term < axis->nterms; term++) at += axis->coefficient[term] * index[axis->dim[term]];
    if (floor_modulo(at, axis->divisor) != 0) return -1;
    at = floor_divide(at, axis->divisor);
    if (at < 0 || at >= array->size[k]) return -1;
    flat = flat * array->size[k] + at;
  }
  return flat;
}

static int64_t extent_of(const Space *space, int dim) { return space->extent[dim]->value; }

static bool step_index(const Space *space, int from, int to, int64_t *index) {
  for (int dim = to - 1; dim >= from; dim--) {
    if (++index[dim] < extent_of(space, dim)) return true;
    index[dim] = 0;
  }
  return false;
}

/* One result of a space by the definition: `index` says which. */
static double fold_by_definition(Op op, const Space *space, const Array *a, const Array *b, double fill, int64_t *index) {
  double value = op == OP_fold_max   ? (a->dtype == F32 ? -INFINITY : (double)INT32_MIN)
                 : op == OP_fold_min ? (a->dtype == F32 ? INFINITY : (double)INT32_MAX)
                                     : 0;
  if (a->dtype == BOOL) value = op == OP_fold_min;
  double best = 0;
  int64_t position = 0, found = -1;
  do {
    int64_t at = read_at(&space->map[0], a, index), other = b ? read_at(&space->map[1], b, index) : 0;
    double x = at < 0 ? fill : array_get(a, at);
    if (op == OP_view) return x;
    if (at >= 0 && other >= 0) {
      if (op == OP_contract) value += x * array_get(b, other);
      if (op == OP_fold_sum) value += x;
      if (op == OP_fold_max && (x > value || isnan(x))) value = x;
      if (op == OP_fold_min && (x < value || isnan(x))) value = x;
      bool better = found < 0 || (op == OP_argmax ? x > best : x < best) || (isnan(x) && !isnan(best));
      if (better) best = x, found = position;
    }
    position++;
  } while (step_index(space, space->nresult, space->ndims, index));
  return op == OP_argmax || op == OP_argmin ? (double)(found < 0 ? 0 : found) : value;
}

static void check_space(Op op, Dtype dtype, const Space *space, const int64_t (*size)[MAX_RANK], bool f64, bool lazy) {
  Bench bench = bench_new(f64);
  Space own = *space;
  Id operand[2];
  for (int k = 0; k < space->nmaps; k++) {
    int rank = own.map[k].naxes;
    operand[k] = give(&bench, dtype, rank, size[k]);
    if (dtype == F32 && op != OP_contract && draw(0, 3) == 0)
      array_set(&bench.parameters[k], draw(0, array_count(&bench.parameters[k]) - 1), NAN);
    for (int axis = 0; axis < rank; axis++) /* sizes are interned by their module */
      own.map[k].axis[axis].offset = dim_constant(bench.module, own.map[k].axis[axis].offset->value);
  }
  for (int dim = 0; dim < space->ndims; dim++) own.extent[dim] = dim_constant(bench.module, space->extent[dim]->value);
  if (lazy) /* read through a strided value: twice transposed, once really */
    for (int k = 0; k < space->nmaps; k++) {
      int rank = own.map[k].naxes, back[MAX_RANK];
      int64_t turned[MAX_RANK];
      for (int axis = 0; axis < rank; axis++) back[axis] = rank - 1 - axis, turned[axis] = size[k][rank - 1 - axis];
      bench.graph->parameters.items[k].type = type_sized(&bench, dtype, rank, turned);
      graph_node(bench.graph, operand[k])->type = bench.graph->parameters.items[k].type;
      memcpy(bench.parameters[k].size, turned, sizeof turned);
      operand[k] = graph_transpose(bench.graph, operand[k], back);
    }
  Id value = op == OP_contract ? graph_contract(bench.graph, operand[0], operand[1], &own)
             : op == OP_view   ? graph_view(bench.graph, operand[0], &own, dtype == BOOL ? 1 : -3)
                               : graph_fold(bench.graph, op, operand[0], &own);
  want(&bench, value);
  for (int k = 0; lazy && k < space->nmaps; k++) want(&bench, operand[k]);
  compute(&bench);
  Array *a = lazy ? &bench.results[1] : &bench.parameters[0], *b = lazy ? &bench.results[2] : &bench.parameters[1];
  int64_t index[MAX_LOOPS] = {0}, at = 0, folds = 1;
  for (int dim = own.nresult; dim < own.ndims; dim++) folds *= extent_of(&own, dim);
  do {
    double expected = fold_by_definition(op, &own, a, own.nmaps > 1 ? b : NULL, dtype == BOOL ? 1 : -3, index);
    double tolerance = (f64 ? 1e-14 : 1e-5) * sqrt((double)folds) * (op == OP_contract ? 16 : 4);
    expect_near(array_get(&bench.results[0], at++), expected, tolerance, op_info[op].name);
  } while (step_index(&own, 0, own.nresult, index));
  arena_free(bench.arena);
}

/* Any map at all: one or two terms, steps of either sign, offsets that miss, divisors. */
static void draw_space(Module *module, Space *space, int nmaps, int64_t (*size)[MAX_RANK], int64_t longest) {
  *space = (Space){.nmaps = nmaps};
  space->ndims = (int)draw(1, 5);
  space->nresult = (int)draw(0, space->ndims);
  for (int dim = 0; dim < space->ndims; dim++) space->extent[dim] = dim_constant(module, draw(1, longest));
  bool plain = draw(0, 1);
  for (int k = 0; k < nmaps; k++) {
    Map *map = &space->map[k];
    map->naxes = (int)draw(0, 4);
    for (int a = 0; a < map->naxes; a++) {
      Axis *axis = &map->axis[a];
      size[k][a] = draw(1, longest + 1);
      *axis = axis_at(dim_constant(module, 0));
      if (plain) {
        int dim = (int)draw(0, space->ndims - 1);
        *axis = axis_of(module, dim);
        size[k][a] = extent_of(space, dim);
        continue;
      }
      axis->offset = dim_constant(module, draw(0, 2) ? 0 : draw(-2, 2));
      axis->nterms = (int)draw(0, 2);
      axis->divisor = draw(0, 3) ? 1 : draw(2, 3);
      for (int term = 0; term < axis->nterms; term++) {
        axis->dim[term] = (int)draw(0, space->ndims - 1);
        if (term == 1 && axis->dim[1] == axis->dim[0]) {
          axis->nterms = 1;
          break;
        }
        axis->coefficient[term] = draw(0, 2) ? 1 : draw(0, 1) ? draw(2, 3) : -draw(1, 2);
      }
    }
  }
}

static void random_maps(void **state) {
  (void)state;
  static const Op ops[] = {OP_view, OP_fold_sum, OP_fold_max, OP_fold_min, OP_argmax, OP_argmin, OP_contract};
  Arena *arena = arena_new();
  Module *module = module_new(arena, NULL, "spaces");
  for (int round = 0; round < 4000; round++) {
    seed = (uint64_t)round;
    Space space;
    int64_t size[2][MAX_RANK];
    Op op = ops[draw(0, COUNT_OF(ops) - 1)];
    draw_space(module, &space, op == OP_contract ? 2 : 1, size, draw(0, 3) ? 5 : 12);
    if (op == OP_view) space.nresult = space.ndims;
    Dtype dtype = op == OP_contract
                      ? F32
                      : (Dtype[]){F32, I32, BOOL}[draw(0, op == OP_fold_sum || op == OP_argmax || op == OP_argmin ? 1 : 2)];
    check_space(op, dtype, &space, (const int64_t(*)[MAX_RANK])size, round & 1, (round & 6) == 0);
  }
  arena_free(arena);
}

/* ---- contractions as layers make them ---- */

typedef struct Conv {
  int64_t n, groups, in, out, height, width, kernel, stride, pad, dilation;
} Conv;

/* [n g o h w | c u v] x(n, g*in + c, s*h + d*u - p, s*w + d*v - p) w(g*out + o, c, u, v): with groups, x is [n, g, c, h, w] */
static Space conv_space(Module *module, const Conv *conv, int64_t (*size)[MAX_RANK]) {
  int64_t reach = conv->dilation * (conv->kernel - 1) + 1;
  int64_t high = (conv->height + 2 * conv->pad - reach) / conv->stride + 1;
  int64_t wide = (conv->width + 2 * conv->pad - reach) / conv->stride + 1;
  int64_t extent[] = {conv->n, conv->groups, conv->out, high, wide, conv->in, conv->kernel, conv->kernel};
  Space space = {.ndims = 8, .nresult = 5, .nmaps = 2};
  for (int k = 0; k < 8; k++) space.extent[k] = dim_constant(module, extent[k]);
  const Dim *offset = dim_constant(module, -conv->pad);
  Axis picture[] = {axis_of(module, 0), axis_of(module, 1), axis_of(module, 5),
                    axis_window(3, conv->stride, 6, conv->dilation, offset, 1),
                    axis_window(4, conv->stride, 7, conv->dilation, offset, 1)};
  Axis weight[] = {axis_of(module, 1), axis_of(module, 2), axis_of(module, 5), axis_of(module, 6), axis_of(module, 7)};
  space.map[0].naxes = space.map[1].naxes = 5;
  memcpy(space.map[0].axis, picture, sizeof picture);
  memcpy(space.map[1].axis, weight, sizeof weight);
  int64_t sizes[2][5] = {{conv->n, conv->groups, conv->in, conv->height, conv->width},
                         {conv->groups, conv->out, conv->in, conv->kernel, conv->kernel}};
  for (int k = 0; k < 2; k++) memcpy(size[k], sizes[k], sizeof sizes[k]);
  return space;
}

static void convolutions(void **state) {
  (void)state;
  static const Conv rows[] = {
      {3, 1, 4, 6, 12, 12, 5, 1, 2, 1},  {2, 1, 8, 16, 14, 9, 3, 1, 1, 1},  {2, 1, 5, 7, 13, 11, 3, 2, 1, 1},
      {2, 2, 3, 4, 9, 9, 3, 1, 1, 2},    {2, 6, 1, 1, 8, 8, 3, 1, 1, 1},    {4, 1, 32, 24, 3, 3, 1, 1, 0, 1},
      {1, 1, 32, 8, 40, 40, 5, 1, 0, 1}, {17, 1, 16, 16, 2, 2, 3, 1, 1, 1}, {1, 1, 128, 4, 64, 40, 3, 1, 1, 1},
  };
  Arena *arena = arena_new();
  Module *module = module_new(arena, NULL, "spaces");
  for (int k = 0; k < COUNT_OF(rows) * 2; k++) {
    int64_t size[2][MAX_RANK];
    const Conv *conv = &rows[k / 2];
    Space space = conv_space(module, conv, size);
    if (k == 2 * COUNT_OF(rows) - 1) continue;
    check_space(OP_contract, F32, &space, (const int64_t(*)[MAX_RANK])size, k & 1, false);
    /* both gradients, as graphs have them */
    Type types[2], result;
    Bench sizes = {.module = module};
    for (int which = 0; which < 2; which++) types[which] = type_sized(&sizes, F32, 5, size[which]);
    result = type_of(F32, 5, space.extent);
    for (int by = 0; by < 2; by++) {
      Space back;
      int64_t back_size[2][MAX_RANK];
      assert_true(space_transpose(module, &space, by, types, &back));
      for (int axis = 0; axis < 5; axis++)
        back_size[0][axis] = result.size[axis]->value, back_size[1][axis] = size[1 - by][axis];
      if (k / 2 != COUNT_OF(rows) - 1)
        check_space(OP_contract, F32, &back, (const int64_t(*)[MAX_RANK])back_size, k & 1, false);
    }
  }
  arena_free(arena);
}

/* Products named by letters: "bmk,bkn->bmn"; lower letters have extent 1 more for each letter after 'a', upper ones 40. */
static void check_letters(Module *module, const char *letters, bool f64, bool lazy) {
  Space space = {.nmaps = 2};
  char dims[MAX_LOOPS + 1] = {0};
  int64_t size[2][MAX_RANK];
  const char *result = strstr(letters, "->") + 2, *operand[2] = {letters, strchr(letters, ',') + 1};
  for (const char *c = result; *c; c++) dims[space.nresult++] = *c;
  space.ndims = space.nresult;
  for (int k = 0; k < 2; k++)
    for (const char *c = operand[k]; *c && *c != ',' && *c != '-'; c++)
      if (!strchr(dims, *c)) dims[space.ndims++] = *c;
  for (int d = 0; d < space.ndims; d++) space.extent[d] = dim_constant(module, dims[d] >= 'a' ? dims[d] - 'a' + 1 : 40);
  for (int k = 0; k < 2; k++)
    for (const char *c = operand[k]; *c && *c != ',' && *c != '-'; c++) {
      int d = (int)(strchr(dims, *c) - dims);
      size[k][space.map[k].naxes] = space.extent[d]->value;
      space.map[k].axis[space.map[k].naxes++] = axis_of(module, d);
    }
  check_space(OP_contract, F32, &space, (const int64_t(*)[MAX_RANK])size, f64, lazy);
}

static void products(void **state) {
  (void)state;
  static const char *const rows[] = {
      "KM,KN->MN",  "MK,KN->MN", "MK,NK->NM",  "cMK,cKN->cMN", "bQhD,bKhD->bhQK", "bhQK,bKhD->bQhD", "nd,nd->n",
      "Nd,Nd->",    "K,K->",     "M,N->MN",    "MK,K->M",      "K,KN->N",         "MK,KN->MaN",      "bcdK,bcde->Ke",
      "MKj,KN->MN", "MK,KNj->M", "Mc,Nc->cMN", "Mc,Nc->MNc",   "cdMK,cdK->cdM",   "ijK,Kl->jil",     "nMK,nKN->MN",
      "MK,MK->KM",  "a,b->ab",   "Kz,Kz->z",   "MKp,NKp->MN",
  };
  Arena *arena = arena_new();
  Module *module = module_new(arena, NULL, "spaces");
  for (int k = 0; k < COUNT_OF(rows); k++)
    for (int way = 0; way < 4; way++) check_letters(module, rows[k], way & 1, way & 2);
  arena_free(arena);
}

static void folds_of_long_axes(void **state) {
  (void)state;
  Arena *arena = arena_new();
  Module *module = module_new(arena, NULL, "spaces");
  static const Op ops[] = {OP_fold_sum, OP_fold_max, OP_argmax, OP_argmin};
  for (int round = 0; round < 16; round++) { /* [5000, 3] by rows and by columns, dense and transposed */
    int64_t size[2][MAX_RANK] = {{round & 1 ? 5000 : 3, round & 1 ? 3 : 5000}};
    Space space = {.ndims = 2, .nresult = 1, .nmaps = 1};
    space.extent[0] = dim_constant(module, 3), space.extent[1] = dim_constant(module, 5000);
    space.map[0].naxes = 2;
    for (int axis = 0; axis < 2; axis++) space.map[0].axis[axis] = axis_of(module, round & 1 ? 1 - axis : axis);
    check_space(ops[round / 4], F32, &space, (const int64_t(*)[MAX_RANK])size, false, round & 2);
  }
  arena_free(arena);
}

/* ---- moving ---- */

static void gather_and_scatter(void **state) {
  (void)state;
  for (int round = 0; round < 16; round++) {
    int batch = round & 1, axis = batch + (round >> 1 & 1);
    Bench bench = bench_new(round & 4);
    Id a = give(&bench, F32, 3, (int64_t[]){3, 4, 5});
    int64_t index_size[] = {batch ? 3 : 2, 6};
    Id index = give(&bench, I32, 2, index_size);
    Id taken = graph_gather(bench.graph, a, index, axis, batch);
    const Type *type = graph_type(bench.graph, taken);
    int64_t size[MAX_RANK];
    for (int k = 0; k < type->rank; k++) size[k] = type->size[k]->value;
    Id values = give(&bench, F32, type->rank, size);
    want(&bench, taken);
    want(&bench, graph_scatter(bench.graph, a, index, values, axis, batch));
    compute(&bench);
    int64_t in[] = {3, 4, 5}, batches = batch ? 3 : 1, before = 1, behind = 1, places = batch ? 6 : 12, at = 0;
    for (int k = batch; k < axis; k++) before *= in[k];
    for (int k = axis + 1; k < 3; k++) behind *= in[k];
    Array *added = &bench.parameters[0];
    Array before_adding = bench.parameters[0];
    before_adding.data = arena_copy(bench.arena, added->data, 60 * array_element_bytes(added));
    for (int64_t b = 0; b < batches; b++)
      for (int64_t m = 0; m < before; m++)
        for (int64_t p = 0; p < places; p++)
          for (int64_t t = 0; t < behind; t++, at++) {
            int64_t from = (int64_t)array_get(&bench.parameters[1], b * places + p);
            bool inside = from >= 0 && from < in[axis];
            int64_t flat = ((b * before + m) * in[axis] + from) * behind + t;
            expect_near(array_get(&bench.results[0], at), inside ? array_get(&before_adding, flat) : 0, 0, "gather");
            if (inside) array_set(added, flat, array_get(added, flat) + array_get(&bench.parameters[2], at));
          }
    for (int64_t i = 0; i < 60; i++) expect_near(array_get(&bench.results[1], i), array_get(added, i), 0, "scatter");
    arena_free(bench.arena);
  }
}

static void moving_along_axes(void **state) {
  (void)state;
  for (int f64 = 0; f64 < 2; f64++) {
    Bench bench = bench_new(f64);
    Id a = give(&bench, F32, 3, (int64_t[]){3, 7, 2}), b = give(&bench, F32, 3, (int64_t[]){3, 4, 2});
    Id turned = graph_transpose(bench.graph, a, (int[]){0, 2, 1});
    array_set(&bench.parameters[0], 8, NAN);
    array_set(&bench.parameters[0], 2, array_get(&bench.parameters[0], 4));
    const Dim *flat[] = {dim_constant(bench.module, 42)};
    want(&bench, graph_concat(bench.graph, (Id[]){a, b}, 2, 1));
    want(&bench, graph_argsort(bench.graph, turned));
    want(&bench, graph_cumsum(bench.graph, b, 1));
    want(&bench, graph_reshape(bench.graph, turned, 1, flat));
    want(&bench, graph_iota(bench.graph, type_sized(&bench, I32, 2, (int64_t[]){3, 4}), 1));
    compute(&bench);
    for (int64_t i = 0; i < 3; i++)
      for (int64_t k = 0; k < 2; k++) {
        double sum = 0;
        for (int64_t j = 0; j < 11; j++)
          expect_near(array_get(&bench.results[0], (i * 11 + j) * 2 + k),
                      j < 7 ? array_get(&bench.parameters[0], (i * 7 + j) * 2 + k)
                            : array_get(&bench.parameters[1], (i * 4 + j - 7) * 2 + k),
                      0, "concat");
        for (int64_t j = 0; j < 4; j++) {
          double next = array_get(&bench.parameters[1], (i * 4 + j) * 2 + k);
          sum = f64 ? sum + next : (float)sum + (float)next;
          expect_near(array_get(&bench.results[2], (i * 4 + j) * 2 + k), sum, 1e-6, "cumsum");
        }
        for (int64_t j = 0; j < 7; j++)
          expect_near(array_get(&bench.results[3], (i * 2 + k) * 7 + j),
                      array_get(&bench.parameters[0], (i * 7 + j) * 2 + k), 0, "reshape");
        for (int64_t j = 0; j + 1 < 7; j++) {
          int64_t here = (int64_t)array_get(&bench.results[1], (i * 2 + k) * 7 + j);
          int64_t next = (int64_t)array_get(&bench.results[1], (i * 2 + k) * 7 + j + 1);
          double x = array_get(&bench.parameters[0], (i * 7 + here) * 2 + k);
          double y = array_get(&bench.parameters[0], (i * 7 + next) * 2 + k);
          assert_true(x < y || (x == y && here < next) || (isnan(y) && !isnan(x)));
        }
      }
    for (int64_t i = 0; i < 12; i++) expect_near(array_get(&bench.results[4], i), (double)(i % 4), 0, "iota");
    arena_free(bench.arena);
  }
}

/* ---- scans ---- */

/* carry, yield = 2 * carry + slice * capture + turn, the carry before it */
static void scans(void **state) {
  (void)state;
  for (int round = 0; round < 8; round++) {
    bool reverse = round & 1;
    int64_t trips = round & 4 ? 0 : 5;
    Bench bench = bench_new(round & 2);
    Id start = give(&bench, F32, 1, (int64_t[]){3}), capture = give(&bench, F32, 0, NULL);
    Id sequence = give(&bench, F32, 2, (int64_t[]){trips ? trips : 1, 3});
    if (trips == 0)
      sequence = graph_slice(bench.graph, sequence, 0, dim_constant(bench.module, 0), dim_constant(bench.module, 0), 1);
    Graph *body = graph_new(bench.module, "body", GRAPH_BODY);
    Type line = type_sized(&bench, F32, 1, (int64_t[]){3});
    Id turn = graph_parameter(body, "turn", type_scalar(I32), NULL), carry = graph_parameter(body, "carry", line, NULL);
    Id slice = graph_parameter(body, "slice", line, NULL), factor = graph_parameter(body, "factor", type_scalar(F32), NULL);
    Id next = graph_binary(body, OP_add, graph_binary(body, OP_mul, carry, graph_number(body, F32, 2)),
                           graph_binary(body, OP_mul, slice, factor));
    next = graph_binary(body, OP_add, next, graph_cast(body, F32, turn));
    Result results[] = {{"carry", next}, {"yield", carry}};
    for (int k = 0; k < 2; k++) PUSH(bench.arena, &body->results, results[k]);
    Scan scan = {.body = body,
                 .trips = dim_constant(bench.module, trips),
                 .reverse = reverse,
                 .ncarry = 1,
                 .nslice = 1,
                 .ncapture = 1,
                 .nyield = 1};
    Id pair = graph_scan(bench.graph, &scan, (Id[]){start, sequence, capture});
    for (int k = 0; k < 2; k++) want(&bench, graph_pick(bench.graph, pair, k));
    compute(&bench);
    for (int64_t i = 0; i < 3; i++) {
      double value = array_get(&bench.parameters[0], i);
      for (int64_t trip = 0; trip < trips; trip++) {
        int64_t at = reverse ? trips - 1 - trip : trip;
        expect_near(array_get(&bench.results[1], at * 3 + i), value, 1e-5, "yield");
        value = 2 * value + array_get(&bench.parameters[2], at * 3 + i) * array_get(&bench.parameters[1], 0) + (double)at;
      }
      expect_near(array_get(&bench.results[0], i), value, 1e-5, "carry");
    }
    arena_free(bench.arena);
  }
}

/* ---- states, checks ---- */

static void states_change_at_the_end(void **state) {
  (void)state;
  for (int kept = 0; kept < 2; kept++) {
    Bench bench = bench_new(false);
    Type type = type_sized(&bench, F32, 1, (int64_t[]){2});
    Array states[3], results[2];
    const char *names[] = {"a", "b", "c"};
    for (int k = 0; k < 3; k++) {
      module_add_symbol(bench.module, names[k], type, false, (Initialiser){.kind = INIT_NUMBER, .a = k + 1}, NULL);
      states[k] = array_new(bench.arena, F32, false, 1, (int64_t[]){2});
      initialise(&bench.module->symbols.items[k], 1, &states[k]);
    }
    Id value[3];
    for (int k = 0; k < 3; k++) value[k] = graph_state(bench.graph, k);
    Id sum = graph_binary(bench.graph, OP_add, value[0], value[1]);
    Final finals[] = {{0, value[1]}, {1, value[0]}, {2, sum}}; /* a, b := b, a; c := a + b */
    for (int k = 0; k < 3; k++) PUSH(bench.arena, &bench.graph->finals, finals[k]);
    want(&bench, sum);
    want(&bench, value[2]);
    Run run = {.graph = bench.graph, .dims = (int64_t[]){0}, .states = states, .results = results, .arena = bench.arena};
    run.interpreter = kept ? interpreter_new() : NULL;
    double a = 1, b = 2, c = 3;
    for (int call = 0; call < 4; call++) {
      Failure failure = {0};
      assert_true(interpret(&run, &failure));
      expect_near(array_get(&results[1], 1), c, 0, "c");
      double old = a;
      a = b, b = old, c = a + b;
      expect_near(array_get(&states[0], 1), a, 0, "a");
      expect_near(array_get(&states[1], 1), b, 0, "b");
      expect_near(array_get(&states[2], 1), c, 0, "c");
      expect_near(array_get(&results[0], 1), c, 0, "sum");
      array_set(&states[1], 1, b = b + 0.5); /* the caller's own, to write to */
    }
    interpreter_free(run.interpreter);
    arena_free(bench.arena);
  }
}

static void misfits_are_refused(void **state) {
  (void)state;
  Bench bench = bench_new(false);
  int symbol = module_add_dim(bench.module, "N", 1, 8, 1, NULL);
  const Dim *size[] = {dim_symbol(bench.module, symbol)};
  Id x = graph_parameter(bench.graph, "x", type_of(F32, 1, size), NULL);
  want(&bench, graph_unary(bench.graph, OP_neg, x));
  EntryCheck check = {.dim = size[0], .low = 2, .high = 8, .what = "N must be 2 or more"};
  PUSH(bench.arena, &bench.graph->checks, check);
  static const struct {
    int64_t dim, given;
    bool good;
  } rows[] = {{4, 4, true}, {4, 5, false}, {9, 9, false}, {1, 1, false}, {2, 2, true}};
  for (int k = 0; k < COUNT_OF(rows); k++) {
    Array given = array_new(bench.arena, F32, false, 1, &rows[k].given), result;
    Failure failure = {0};
    Run run = {.graph = bench.graph, .dims = &rows[k].dim, .parameters = &given, .results = &result, .arena = bench.arena};
    assert_int_equal(interpret(&run, &failure), rows[k].good);
    assert_int_equal(failure.code, rows[k].good ? 0 : EXIT_INPUT);
  }
  arena_free(bench.arena);
}

static void every_value_on_request(void **state) {
  (void)state;
  Bench bench = bench_new(false);
  Id a = give(&bench, F32, 1, (int64_t[]){3}), unused = graph_unary(bench.graph, OP_neg, a);
  want(&bench, graph_unary(bench.graph, OP_exp, a));
  Array values[8];
  Failure failure = {0};
  Run run = {.graph = bench.graph,
             .dims = (int64_t[]){0},
             .parameters = bench.parameters,
             .results = bench.results,
             .arena = bench.arena,
             .values = values};
  assert_true(interpret(&run, &failure));
  expect_near(array_get(&values[unused], 2), -array_get(&bench.parameters[0], 2), 0, "neg");
  arena_free(bench.arena);
}

/* ---- random numbers ---- */

static void random_nodes(void **state) {
  (void)state;
  enum { COUNT = 20000 };
  for (int f64 = 0; f64 < 2; f64++) {
    Bench bench = bench_new(f64);
    Id keys[] = {give(&bench, I32, 0, NULL), graph_number(bench.graph, I32, -5)};
    Type type = type_sized(&bench, F32, 2, (int64_t[]){COUNT / 10, 10});
    want(&bench, graph_random(bench.graph, type, keys, 2, 77));
    compute(&bench);
    uint32_t key = random_key(random_key(77, (uint32_t)(int32_t)array_get(&bench.parameters[0], 0)), (uint32_t)-5);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < COUNT; i++) {
      double u = array_get(&bench.results[0], i);
      assert_true(u == (double)random_uniform(key, (uint64_t)i) && u >= 0 && u < 1);
      sum += u, squares += u * u;
    }
    expect_near(sum / COUNT, 0.5, 0.01, "mean");
    expect_near(squares / COUNT, 1.0 / 3, 0.01, "mean square");
    arena_free(bench.arena);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(elementwise_through_strides),
      cmocka_unit_test(elementwise_awkward_numbers),
      cmocka_unit_test(whole_numbers),
      cmocka_unit_test(where_and_cast),
      cmocka_unit_test(random_maps),
      cmocka_unit_test(convolutions),
      cmocka_unit_test(products),
      cmocka_unit_test(folds_of_long_axes),
      cmocka_unit_test(gather_and_scatter),
      cmocka_unit_test(moving_along_axes),
      cmocka_unit_test(scans),
      cmocka_unit_test(states_change_at_the_end),
      cmocka_unit_test(misfits_are_refused),
      cmocka_unit_test(every_value_on_request),
      cmocka_unit_test(random_nodes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
