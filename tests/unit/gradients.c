/* Every op's gradient, by finite differences (jacobian.h), and what the rules promise besides.
 *
 * The table loop calls case_<op> for each row of ops.def: a row without a case does not compile. Operands are broadcast, of
 * size 1, repeated (f(x, x)), read by strided, padded, dilated and grouped windows; the gradient of the gradient is
 * checked wherever an op is smooth. */
#include "tests/unit/jacobian.h"

/* Defines case_<op> where y is one expression; checked once, or twice. */
#define CASE(op, order, ...)                                                                                               \
  static Id build_##op(Bench *b) { return __VA_ARGS__; }                                                                   \
  static void case_##op(void) { order(#op, build_##op); }

/* x * x + f32(value): whatever the value's op does, no gradient comes by it. */
static Id beside(Bench *b, Id x, Id value) {
  return op2(b, OP_add, op2(b, OP_mul, x, x), graph_cast(b->graph, F32, value));
}

/* ---- sources ---- */

static Id build_constant(Bench *b) {
  Id x = input(b, TYPE(b, F32, 2), -1, 1);
  return op2(b, OP_mul, x, graph_array(b->graph, TYPE(b, F32, 2), (const double[]){0.5, -2}));
}
static void case_constant(void) { twice("constant", build_constant); }

CASE(arg, twice, op2(b, OP_mul, input(b, TYPE(b, F32, -1), -1, 1), num(b, 3)))
static Id build_state(Bench *b) {
  int symbol = module_add_symbol(b->module, "w", TYPE(b, F32, 2), true, (Initialiser){0}, NULL);
  return op2(b, OP_mul, graph_state(b->graph, symbol), input(b, TYPE(b, F32, 3, 2), -1, 1));
}
static void case_state(void) { first("state", build_state); }

static Id build_dim(Bench *b) {
  Id x = input(b, TYPE(b, F32, -1), -1, 1);
  return beside(b, x, graph_dim(b->graph, size(b, -1)));
}
static void case_dim(void) { first("dim", build_dim); }

static Id build_iota(Bench *b) {
  Id x = input(b, TYPE(b, F32, -1, 2), -1, 1);
  return beside(b, x, graph_iota(b->graph, *graph_type(b->graph, x), 0));
}
static void case_iota(void) { first("iota", build_iota); }

static Id build_random(Bench *b) {
  Id x = input(b, TYPE(b, F32, 4), -1, 1);
  Id key = graph_number(b->graph, I32, 5);
  return op2(b, OP_mul, x, graph_random(b->graph, *graph_type(b->graph, x), &key, 1, 7));
}
static void case_random(void) { first("random", build_random); }

/* ---- one operand ---- */

CASE(neg, twice, op1(b, OP_neg, input(b, TYPE(b, F32, 2, 1), -1, 1)))
CASE(exp, twice, op1(b, OP_exp, input(b, TYPE(b, F32, -1), -1, 1)))
CASE(log, twice, op1(b, OP_log, input(b, TYPE(b, F32, 3), 0.5, 2)))
CASE(sqrt, twice, op1(b, OP_sqrt, input(b, TYPE(b, F32, 3), 0.5, 2)))
CASE(sin, twice, op1(b, OP_sin, input(b, TYPE(b, F32, 3), -3, 3)))
CASE(cos, twice, op1(b, OP_cos, input(b, TYPE(b, F32, 3), -3, 3)))
CASE(tanh, twice, op1(b, OP_tanh, input(b, TYPE(b, F32, 3), -2, 2)))
CASE(erf, twice, op1(b, OP_erf, input(b, TYPE(b, F32, 3), -2, 2)))
static Id build_floor(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3), 0.1, 0.9);
  return beside(b, x, op1(b, OP_floor, x));
}
static void case_floor(void) { first("floor", build_floor); }

static Id build_round(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3), 0.6, 0.9);
  return beside(b, x, op1(b, OP_round, x));
}
static void case_round(void) { first("round", build_round); }

static Id build_cast(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3), 1.1, 1.9);
  return beside(b, x, graph_cast(b->graph, F32, graph_cast(b->graph, I32, x)));
}
static void case_cast(void) { first("cast", build_cast); }

static Id build_stop(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3), -1, 1);
  return op2(b, OP_mul, x, op2(b, OP_add, graph_stop(b->graph, num(b, 4)), num(b, 1)));
}
static void case_stop(void) { first("stop", build_stop); }

/* ---- two operands: rows against a column (broadcast, size 1), then one value as both ---- */

#define BINARY(op, order, low, high)                                                                                       \
  static Id repeated_##op(Bench *b) {                                                                                      \
    Id x = input(b, TYPE(b, F32, 3), low, high);                                                                           \
    return op2(b, OP_##op, x, x);                                                                                          \
  }                                                                                                                        \
  static Id build_##op(Bench *b) {                                                                                         \
    Id x = input(b, TYPE(b, F32, 2, 1), low, high), z = input(b, TYPE(b, F32, -1), low, high);                             \
    return op2(b, OP_##op, x, z);                                                                                          \
  }                                                                                                                        \
  static void case_##op(void) {                                                                                            \
    order(#op, build_##op);                                                                                                \
    order(#op " of one value", repeated_##op);                                                                             \
  }
BINARY(add, twice, -1, 1)
BINARY(sub, twice, -1, 1)
BINARY(mul, twice, -1, 1)
BINARY(div, twice, 0.5, 2)
BINARY(max, first, -1, 1)
BINARY(min, first, -1, 1)

static Id pow_both(Bench *b) {
  Id x = input(b, TYPE(b, F32, 2, 1), 0.5, 2);
  Id z = input(b, TYPE(b, F32, -1), -2, 3);
  return op2(b, OP_pow, x, z);
}

static Id pow_same(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3), 0.5, 2);
  return op2(b, OP_pow, x, x);
}

static Id pow_2(Bench *b) { return op2(b, OP_pow, input(b, TYPE(b, F32, 4), -2, 2), num(b, 2)); }

static Id pow_3(Bench *b) { return op2(b, OP_pow, input(b, TYPE(b, F32, 4), -2, 2), num(b, 3)); }

static Id pow_half(Bench *b) { return op2(b, OP_pow, input(b, TYPE(b, F32, 4), 0.5, 2), num(b, 0.5)); }

static Id pow_of_number(Bench *b) { return op2(b, OP_pow, num(b, 0.75), input(b, TYPE(b, F32, 4), -2, 2)); }

static void case_pow(void) {
  twice("pow", pow_both);
  twice("pow of one value", pow_same);
  twice("pow 2", pow_2);
  twice("pow 3", pow_3);
  twice("pow 0.5", pow_half);
  twice("pow of a number", pow_of_number);
}

static Id build_floordiv(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3), 5.1, 5.9);
  Id z = input(b, TYPE(b, F32, 3), 1.9, 2.1);
  return op2(b, OP_add, beside(b, x, op2(b, OP_floordiv, x, z)), z);
}
static void case_floordiv(void) { first("floordiv", build_floordiv); }

static Id build_mod(Bench *b) {
  return op2(b, OP_mod, input(b, TYPE(b, F32, 3), 5.1, 5.4), input(b, TYPE(b, F32, 2, 1), 2.1, 2.4));
}
static void case_mod(void) { first("mod", build_mod); }

static Id build_lt(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3), -1, 1);
  return beside(b, x, op2(b, OP_lt, x, num(b, 0)));
}
static void case_lt(void) { first("lt", build_lt); }

static Id build_le(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3), -1, 1);
  return beside(b, x, op2(b, OP_le, x, num(b, 0)));
}
static void case_le(void) { first("le", build_le); }

static Id build_eq(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3), -1, 1);
  return beside(b, x, op2(b, OP_eq, x, num(b, 0)));
}
static void case_eq(void) { first("eq", build_eq); }

static Id where_three(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3), -1, 1);
  Id y = input(b, TYPE(b, F32, 2, 3), -1, 1);
  Id z = input(b, TYPE(b, F32, 2, 1), -1, 1);
  return graph_where(b->graph, op2(b, OP_lt, x, num(b, 0)), y, op2(b, OP_mul, z, x));
}

static Id where_same(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3), -1, 1);
  return graph_where(b->graph, op2(b, OP_lt, x, num(b, 0)), x, x);
}

static void case_where(void) {
  twice("where", where_three);
  twice("where of one value", where_same);
}

/* ---- movement ---- */

static Id view_padded(Bench *b) {
  Id x = input(b, TYPE(b, F32, -1, 3), -1, 1);
  Id padded = graph_pad(b->graph, x, 1, size(b, 2), size(b, 1), 0.5);
  return graph_transpose(b->graph, padded, (const int[]){1, 0});
}

static Id view_strided(Bench *b) {
  Id x = input(b, TYPE(b, F32, 7, 2), -1, 1);
  return graph_slice(b->graph, x, 0, size(b, 1), size(b, 3), 2);
}

static Id view_windows(Bench *b) {
  Id x = input(b, TYPE(b, F32, 2, 6), -1, 1);
  const int extents[] = {2, 3, 3};
  Space space = space_of(b, 3, 3, extents);
  read_axis(&space, 0, bare(b, 0));
  read_axis(&space, 0, window(b, 1, 2, 2, 1, -1, 1));
  return graph_view(b->graph, x, &space, 0);
}

static Id view_dilated(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3), -1, 1);
  const int extents[] = {7};
  Space space = space_of(b, 1, 1, extents);
  Axis axis = axis_affine(0, 1, dim_constant(b->module, -1));
  axis.divisor = 2;
  read_axis(&space, 0, axis);
  return graph_view(b->graph, x, &space, 0.25);
}

static Id view_fixed(Bench *b) {
  Id x = input(b, TYPE(b, F32, -1, 4, 2), -1, 1);
  const int extents[] = {2, -1};
  Space space = space_of(b, 2, 2, extents);
  read_axis(&space, 0, bare(b, 1));
  read_axis(&space, 0, axis_at(size(b, 2)));
  read_axis(&space, 0, bare(b, 0));
  return graph_view(b->graph, x, &space, 0);
}

static Id view_diagonal(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3, 4), -1, 1);
  const int extents[] = {4};
  Space space = space_of(b, 1, 1, extents);
  read_axis(&space, 0, bare(b, 0));
  read_axis(&space, 0, bare(b, 0));
  return graph_view(b->graph, x, &space, 0);
}

static Id view_flipped(Bench *b) {
  Id x = input(b, TYPE(b, F32, -1), -1, 1);
  const int extents[] = {-1};
  Space space = space_of(b, 1, 1, extents);
  read_axis(&space, 0, axis_affine(0, -1, dim_offset(b->module, size(b, -1), -1)));
  return graph_view(b->graph, x, &space, 0);
}

static void case_view(void) {
  twice("pad and transpose", view_padded);
  twice("slice with step", view_strided);
  twice("windows", view_windows);
  twice("dilation", view_dilated);
  twice("a fixed place", view_fixed);
  twice("diagonal", view_diagonal);
  twice("flip", view_flipped);
}

static Id build_reshape(Bench *b) {
  Id x = input(b, TYPE(b, F32, -1, 2, 2), -1, 1);
  const Dim *sizes[] = {size(b, -1), size(b, 4)};
  return graph_reshape(b->graph, x, 2, sizes);
}
static void case_reshape(void) { twice("reshape", build_reshape); }

static Id build_concat(Bench *b) {
  Id x = input(b, TYPE(b, F32, 2, -1), -1, 1);
  Id z = input(b, TYPE(b, F32, 2, 1), -1, 1);
  Id parts[] = {x, z, x};
  return graph_concat(b->graph, parts, 3, 1);
}
static void case_concat(void) { twice("concat", build_concat); }

static Id indices(Bench *b, Type type, const double *values) { return graph_array(b->graph, type, values); }
static Id gather_many(Bench *b) {
  Id x = input(b, TYPE(b, F32, 2, 4, -1), -1, 1);
  return graph_gather(b->graph, x, indices(b, TYPE(b, I32, 2, 3), (const double[]){3, 0, 3, 1, -1, 9}), 1, 0);
}

static Id gather_rows(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3, 4), -1, 1);
  return graph_gather(b->graph, x, indices(b, TYPE(b, I32, 3), (const double[]){3, 7, 0}), 1, 1);
}

static Id gather_rows_kept(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3, 4, 2), -1, 1);
  return graph_gather(b->graph, x, indices(b, TYPE(b, I32, 3, 1), (const double[]){3, 2, 0}), 1, 1);
}

static Id gather_batch(Bench *b) {
  Id x = input(b, TYPE(b, F32, 2, 3, 4), -1, 1);
  return graph_gather(b->graph, x, indices(b, TYPE(b, I32, 2, 2), (const double[]){3, 2, 0, 0}), 2, 1);
}

static Id gather_one(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3, 4), -1, 1);
  return graph_gather(b->graph, x, graph_number(b->graph, I32, 2), 1, 0);
}

static void case_gather(void) {
  twice("gather", gather_many);
  twice("gather by row", gather_rows);
  twice("gather by row, kept", gather_rows_kept);
  twice("gather in batches", gather_batch);
  twice("gather one", gather_one);
}

static Id scatter_many(Bench *b) {
  Id x = input(b, TYPE(b, F32, 2, 4), -1, 1);
  Id v = input(b, TYPE(b, F32, 2, 3), -1, 1);
  return graph_scatter(b->graph, x, indices(b, TYPE(b, I32, 3), (const double[]){3, 0, 3}), v, 1, 0);
}

static Id scatter_batch(Bench *b) {
  Id x = input(b, TYPE(b, F32, 2, 4), -1, 1);
  Id v = input(b, TYPE(b, F32, 2, 3), -1, 1);
  return graph_scatter(b->graph, x, indices(b, TYPE(b, I32, 2, 3), (const double[]){3, 0, 3, 8, 1, -1}), v, 1, 1);
}

static void case_scatter(void) {
  twice("scatter", scatter_many);
  twice("scatter in batches", scatter_batch);
}

CASE(cumsum, twice, graph_cumsum(b->graph, input(b, TYPE(b, F32, 2, -1), -1, 1), 1))

/* ---- folds ---- */

static Id fold_first_axis(Bench *b, Op op) {
  Id x = input(b, TYPE(b, F32, -1, 4), -1, 1);
  return graph_fold_axes(b->graph, op, x, (const bool[]){true, false}, false);
}
static Id fold_windows(Bench *b, Op op) { /* 2-d pooling, kernel 3, stride 2, pad 1: windows overlap */
  Id x = input(b, TYPE(b, F32, 1, 2, 5, 4), -1, 1);
  const int extents[] = {1, 2, 3, 2, 3, 3};
  Space space = space_of(b, 4, 6, extents);
  read_axis(&space, 0, bare(b, 0));
  read_axis(&space, 0, bare(b, 1));
  read_axis(&space, 0, window(b, 2, 2, 4, 1, -1, 1));
  read_axis(&space, 0, window(b, 3, 2, 5, 1, -1, 1));
  return graph_fold(b->graph, op, x, &space);
}
static Id fold_wide(Bench *b, Op op) { /* nine dims: no tensor has as many axes */
  Id x = input(b, TYPE(b, F32, 1, 1, 2, 1, 2, 2, 1, 2), -1, 1);
  const int extents[] = {1, 1, 2, 1, 2, 1, 1, 2, 2};
  Space space = space_of(b, 7, 9, extents);
  for (int k = 0; k < 5; k++) read_axis(&space, 0, bare(b, k));
  read_axis(&space, 0, window(b, 5, 1, 7, 1, 0, 1));
  read_axis(&space, 0, bare(b, 6));
  read_axis(&space, 0, bare(b, 8));
  return graph_fold(b->graph, op, x, &space);
}
static Id fold_strided(Bench *b, Op op) { /* only every other element, seen by a fold: nothing guards the transposed dim */
  Id x = input(b, TYPE(b, F32, 2, 7), -1, 1);
  const int extents[] = {2, 3};
  Space space = space_of(b, 1, 2, extents);
  read_axis(&space, 0, bare(b, 0));
  read_axis(&space, 0, axis_affine(1, 2, size(b, 1)));
  return graph_fold(b->graph, op, x, &space);
}

/* Over a view whose fill takes part: 0 is the largest of it where x is negative, but not of x. */
static Id fold_filled(Bench *b, Op op) {
  Id x = input(b, TYPE(b, F32, -1, 2), -1, 1);
  Id padded = graph_pad(b->graph, x, 0, size(b, 1), size(b, 1), 0);
  return graph_fold_axes(b->graph, op, padded, (const bool[]){true, false}, false);
}

#define FOLD(op, order)                                                                                                    \
  static Id axis_##op(Bench *b) { return fold_first_axis(b, OP_##op); }                                                    \
  static Id windows_##op(Bench *b) { return fold_windows(b, OP_##op); }                                                    \
  static Id wide_##op(Bench *b) { return fold_wide(b, OP_##op); }                                                          \
  static Id filled_##op(Bench *b) { return fold_filled(b, OP_##op); }                                                      \
  static Id strided_##op(Bench *b) { return fold_strided(b, OP_##op); }                                                    \
  static void case_##op(void) {                                                                                            \
    order(#op " of an axis", axis_##op);                                                                                   \
    order(#op " of windows", windows_##op);                                                                                \
    order(#op " in nine dims", wide_##op);                                                                                 \
    order(#op " with step", strided_##op);                                                                                 \
    order(#op " of a filled view", filled_##op);                                                                           \
  }
FOLD(fold_sum, twice)
FOLD(fold_max, twice)
FOLD(fold_min, twice)

static Id build_argmax(Bench *b) {
  Id x = input(b, TYPE(b, F32, 2, -1), -1, 1);
  Id found = graph_fold_axes(b->graph, OP_argmax, x, (const bool[]){false, true}, true);
  return beside(b, x, found);
}
static void case_argmax(void) { first("argmax", build_argmax); }

static Id build_argmin(Bench *b) {
  Id x = input(b, TYPE(b, F32, 2, -1), -1, 1);
  Id found = graph_fold_axes(b->graph, OP_argmin, x, (const bool[]){false, true}, true);
  return beside(b, x, found);
}
static void case_argmin(void) { first("argmin", build_argmin); }

static Id build_argsort(Bench *b) {
  Id x = input(b, TYPE(b, F32, 2, 4), -1, 1);
  return beside(b, x, graph_argsort(b->graph, x));
}
static void case_argsort(void) { first("argsort", build_argsort); }

/* A 1-d convolution, [n c x] by [o c/groups k]: dims n g o' y | c' k, with the channel axes written g, c'. */
typedef struct Convolution {
  int size, kernel, stride, pad, dilation, groups, divisor;
} Convolution;
static Id convolve(Bench *b, Convolution c) {
  int full = (c.size - 1) * c.divisor + 1;
  int out = (full + 2 * c.pad - c.dilation * (c.kernel - 1) - 1) / c.stride + 1;
  Id x = input(b, TYPE(b, F32, 2, c.groups, 2, c.size), -1, 1);
  Id w = input(b, TYPE(b, F32, c.groups, 2, 2, c.kernel), -1, 1);
  const int extents[] = {2, c.groups, 2, out, 2, c.kernel};
  Space space = space_of(b, 4, 6, extents);
  read_axis(&space, 0, bare(b, 0));
  read_axis(&space, 0, bare(b, 1));
  read_axis(&space, 0, bare(b, 4));
  read_axis(&space, 0, window(b, 3, c.stride, 5, c.dilation, -c.pad, c.divisor));
  const int kernel_dims[] = {1, 2, 4, 5};
  for (int k = 0; k < 4; k++) read_axis(&space, 1, bare(b, kernel_dims[k]));
  return graph_contract(b->graph, x, w, &space);
}
static Id conv_plain(Bench *b) { return convolve(b, (Convolution){5, 3, 1, 0, 1, 1, 1}); }

static Id conv_strided(Bench *b) { return convolve(b, (Convolution){6, 3, 2, 1, 1, 1, 1}); }

static Id conv_dilated(Bench *b) { return convolve(b, (Convolution){6, 2, 1, 1, 2, 1, 1}); }

static Id conv_grouped(Bench *b) { return convolve(b, (Convolution){5, 2, 2, 0, 1, 2, 1}); }

static Id conv_transposed(Bench *b) { return convolve(b, (Convolution){3, 3, 1, 2, 1, 1, 2}); }

static Id matrix_product(Bench *b) {
  Id x = input(b, TYPE(b, F32, -1, 4), -1, 1);
  Id w = input(b, TYPE(b, F32, 4, 2), -1, 1);
  const int extents[] = {-1, 2, 4};
  Space space = space_of(b, 2, 3, extents);
  read_axis(&space, 0, bare(b, 0));
  read_axis(&space, 0, bare(b, 2));
  read_axis(&space, 1, bare(b, 2));
  read_axis(&space, 1, bare(b, 1));
  return graph_contract(b->graph, x, w, &space);
}

static Id gram_matrix(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3, 2), -1, 1);
  const int extents[] = {3, 3, 2};
  Space space = space_of(b, 2, 3, extents);
  read_axis(&space, 0, bare(b, 0));
  read_axis(&space, 0, bare(b, 2));
  read_axis(&space, 1, bare(b, 1));
  read_axis(&space, 1, bare(b, 2));
  return graph_contract(b->graph, x, x, &space);
}

/* Both operands read by windows over the same dims: closed under nothing. */
static Id two_windows(Bench *b) {
  Id x = input(b, TYPE(b, F32, 5), -1, 1);
  Id w = input(b, TYPE(b, F32, 6), -1, 1);
  const int extents[] = {3, 3};
  Space space = space_of(b, 1, 2, extents);
  read_axis(&space, 0, window(b, 0, 1, 1, 1, 0, 1));
  read_axis(&space, 1, window(b, 0, 1, 1, 2, -1, 1));
  return graph_contract(b->graph, x, w, &space);
}

static Id row_of_matrix(Bench *b) {
  Id x = input(b, TYPE(b, F32, 3, 4), -1, 1);
  Id w = input(b, TYPE(b, F32, 4), -1, 1);
  const int extents[] = {4};
  Space space = space_of(b, 0, 1, extents);
  read_axis(&space, 0, axis_at(size(b, 1)));
  read_axis(&space, 0, bare(b, 0));
  read_axis(&space, 1, bare(b, 0));
  return graph_contract(b->graph, x, w, &space);
}

static void case_contract(void) {
  twice("matrix product", matrix_product);
  twice("product of one value", gram_matrix);
  twice("convolution", conv_plain);
  twice("convolution, stride 2", conv_strided);
  twice("convolution, dilation 2", conv_dilated);
  twice("convolution, 2 groups", conv_grouped);
  twice("convolution, transposed", conv_transposed);
  twice("windows of both operands", two_windows);
  twice("row of a matrix", row_of_matrix);
}

/* ---- scans ---- */

/* The body of a test's scan while it is built: its parameters come in the order of Scan. */
typedef struct Loop {
  Bench *b;
  Graph *outer, *body;
  Scan scan;
  Id operands[8];
  int count;
} Loop;

static Loop loop_new(Bench *b, const Dim *trips, bool reverse, Id *turn) {
  Loop loop = {.b = b, .outer = b->graph, .body = graph_new(b->module, "body", GRAPH_BODY)};
  loop.body->here = loop.body->place = b->graph->place;
  loop.scan = (Scan){.body = loop.body, .trips = trips, .reverse = reverse};
  *turn = graph_parameter(loop.body, "turn", type_scalar(I32), loop.body->place);
  b->graph = loop.body; /* op1, op2 ... now build the body */
  return loop;
}

static Id loop_operand(Loop *loop, const char *name, Id operand, int *kind) {
  Type type = *graph_type(loop->outer, operand);
  if (kind == &loop->scan.nslice) {
    type.rank--;
    for (int k = 0; k < type.rank; k++) type.size[k] = type.size[k + 1];
  }
  loop->operands[loop->count++] = operand;
  ++*kind;
  return graph_parameter(loop->body, name, type, loop->body->place);
}

static Id loop_end(Loop *loop, const Id *results, int count) {
  for (int i = 0; i < count; i++) PUSH(loop->b->arena, &loop->body->results, ((Result){NULL, results[i]}));
  loop->scan.nyield = count - loop->scan.ncarry;
  loop->b->graph = loop->outer;
  return graph_scan(loop->outer, &loop->scan, loop->operands);
}

static Id vector_times_matrix(Bench *b, Id x, Id w) {
  const int extents[] = {2, 2};
  Space space = space_of(b, 1, 2, extents);
  read_axis(&space, 0, bare(b, 1));
  read_axis(&space, 1, bare(b, 1));
  read_axis(&space, 1, bare(b, 0));
  return graph_contract(b->graph, x, w, &space);
}

/* A recurrent net: s = tanh(x + s @ w), halved at every second turn as a carried counter says; yields s * c and x. A carry
 * that nothing asks for, and one that each turn overwrites, come along. */
static Id recur(Bench *b, bool reverse) {
  Id s0 = input(b, TYPE(b, F32, 2), -1, 1), xs = input(b, TYPE(b, F32, -1, 2), -1, 1);
  Id w0 = input(b, TYPE(b, F32, 2, 2), -1, 1), turn;
  Id zero = graph_number(b->graph, I32, 0), unasked = num(b, 1), over = sum_all(b, s0);
  Loop loop = loop_new(b, size(b, -1), reverse, &turn);
  Id s = loop_operand(&loop, "s", s0, &loop.scan.ncarry);
  Id count = loop_operand(&loop, "count", zero, &loop.scan.ncarry);
  Id product = loop_operand(&loop, "product", unasked, &loop.scan.ncarry);
  Id last = loop_operand(&loop, "last", over, &loop.scan.ncarry);
  Id x = loop_operand(&loop, "x", xs, &loop.scan.nslice), w = loop_operand(&loop, "w", w0, &loop.scan.ncapture);
  Id two = graph_number(b->graph, I32, 2), one = graph_number(b->graph, I32, 1);
  Id even = op2(b, OP_eq, op2(b, OP_mod, count, two), graph_number(b->graph, I32, 0));
  Id next = op1(b, OP_tanh, op2(b, OP_add, x, vector_times_matrix(b, s, w)));
  next = graph_where(b->graph, even, next, op2(b, OP_mul, next, num(b, 0.5)));
  Id by_turn = op2(b, OP_mul, next, op2(b, OP_add, graph_cast(b->graph, F32, turn), last));
  const Id results[] = {next,    op2(b, OP_add, count, one), op2(b, OP_mul, product, sum_all(b, x)), num(b, 1),
                        by_turn, op2(b, OP_mul, x, x)};
  Id scan = loop_end(&loop, results, COUNT_OF(results));
  Id parts[] = {graph_pick(b->graph, scan, 0), flat(b, graph_pick(b->graph, scan, 4)),
                flat(b, graph_pick(b->graph, scan, 5))};
  return graph_concat(b->graph, parts, 3, 0);
}

/* A scan in a scan: the inner one multiplies what the outer one carries by each of its own captures in turn. */
static Id nested(Bench *b) {
  Id s0 = input(b, TYPE(b, F32, 2), 0.5, 1), xs = input(b, TYPE(b, F32, 2, 2), 0.5, 1), turn, inner_turn;
  Loop loop = loop_new(b, size(b, 2), false, &turn);
  Id s = loop_operand(&loop, "s", s0, &loop.scan.ncarry), x = loop_operand(&loop, "x", xs, &loop.scan.nslice);
  Loop inner = loop_new(b, size(b, 3), true, &inner_turn);
  Id t = loop_operand(&inner, "t", s, &inner.scan.ncarry), z = loop_operand(&inner, "z", x, &inner.scan.ncapture);
  Id sine = op1(b, OP_sin, op2(b, OP_mul, t, z));
  Id inner_scan = loop_end(&inner, &sine, 1);
  Id carried = graph_pick(b->graph, inner_scan, 0);
  const Id results[] = {carried, op2(b, OP_mul, carried, s)};
  Id scan = loop_end(&loop, results, 2);
  Id parts[] = {graph_pick(b->graph, scan, 0), flat(b, graph_pick(b->graph, scan, 1))};
  return graph_concat(b->graph, parts, 2, 0);
}

/* A gradient taken inside a body, by a carry; the scan around it is differentiated again. */
static Id descends(Bench *b) {
  Id s0 = input(b, TYPE(b, F32, 2), 0.5, 1), w0 = input(b, TYPE(b, F32, 2), 0.5, 1), turn;
  Loop loop = loop_new(b, size(b, 2), false, &turn);
  Id s = loop_operand(&loop, "s", s0, &loop.scan.ncarry), w = loop_operand(&loop, "w", w0, &loop.scan.ncapture);
  Id loss = sum_all(b, op2(b, OP_mul, op1(b, OP_exp, op2(b, OP_mul, s, s)), w));
  Id grad = graph_pick(b->graph, graph_grad(b->graph, loss, &s, 1), 0);
  Id next = op2(b, OP_sub, s, op2(b, OP_mul, num(b, 0.1), grad));
  Id scan = loop_end(&loop, &next, 1);
  return graph_pick(b->graph, scan, 0);
}

static Id recur_forward(Bench *b) { return recur(b, false); }
static Id recur_backward(Bench *b) { return recur(b, true); }
static void case_scan(void) {
  twice("scan", recur_forward);
  twice("scan in reverse", recur_backward);
  twice("scan in a scan", nested);
  twice("gradient in a scan", descends);
}
static void case_pick(void) { first("pick", recur_forward); }

/* Three orders: the gradient of a gradient's gradient. */
static Id third(Bench *b) {
  Id x = input(b, TYPE(b, F32, 2), 0.5, 1);
  Id y = op2(b, OP_mul, op1(b, OP_exp, x), op1(b, OP_sin, x));
  for (int order = 0; order < 2; order++) y = graph_pick(b->graph, graph_grad(b->graph, sum_all(b, y), &x, 1), 0);
  return y;
}
static void case_grad(void) { first("grad of grad", third); }

static void test_every_op(void **unused) {
  (void)unused;
#define OP(name, ...) case_##name();
#include "ir/ops.def"
}

/* ---- at kinks and poles, and what is said when nothing is reached ---- */

/* dy/dx of one op with x and z scalars; by 0: x, 1: z. */
static double slope(Op op, double x, double z, int by) {
  Bench b = bench_new(op_info[op].name);
  Id inputs[] = {input(&b, type_scalar(F32), 0, 0), input(&b, type_scalar(F32), 0, 0)};
  Id y = op_info[op].operands == 1 ? op1(&b, op, inputs[0]) : op2(&b, op, inputs[0], inputs[1]);
  Id grad = graph_grad(b.graph, y, &inputs[by], 1);
  PUSH(b.arena, &b.graph->results, ((Result){"g", graph_pick(b.graph, grad, 0)}));
  PUSH(b.arena, &b.module->entries, b.graph);
  pass_grad(b.module);
  Type scalar = type_scalar(F32);
  Array parameters[] = {array_for(b.arena, &scalar, true, b.dims), array_for(b.arena, &scalar, true, b.dims)};
  array_set(&parameters[0], 0, x);
  array_set(&parameters[1], 0, z);
  double result = array_get(&evaluate(&b, b.module->entries.items[0], parameters, b.arena)[0], 0);
  arena_free(b.arena);
  return result;
}

static void test_kinks(void **unused) {
  (void)unused;
  static const struct {
    Op op;
    double x, z;
    int by;
    double expected;
  } points[] = {
      {OP_max, 0, 0, 0, 0},     {OP_max, 0, 0, 1, 1}, {OP_max, 100, 0, 0, 1},  {OP_max, -100, 0, 0, 0},
      {OP_min, 0, 0, 0, 0},     {OP_min, 0, 0, 1, 1}, {OP_min, -1, 0, 0, 1},   {OP_sqrt, 0, 0, 0, 0},
      {OP_sqrt, 4, 0, 0, 0.25}, {OP_pow, 0, 2, 0, 0}, {OP_pow, 0, 1, 0, 1},    {OP_pow, 0, 0, 0, 0},
      {OP_pow, 0, 0.5, 0, 0},   {OP_pow, 0, 2, 1, 0}, {OP_pow, 0, 0, 1, 0},    {OP_pow, -2, 2, 0, -4},
      {OP_pow, -2, 2, 1, 0},    {OP_pow, 3, 0, 0, 0}, {OP_tanh, 100, 0, 0, 0}, {OP_tanh, -100, 0, 0, 0},
      {OP_erf, 100, 0, 0, 0},   {OP_div, 0, 2, 1, 0}, {OP_mod, 5, 3, 1, -1},   {OP_exp, -1000, 0, 0, 0},
  };
  for (int i = 0; i < COUNT_OF(points); i++) {
    double found = slope(points[i].op, points[i].x, points[i].z, points[i].by);
    if (fabs(found - points[i].expected) <= 1e-12) continue;
    fail_msg("%s(%g, %g) by operand %d: %g, not %g", op_info[points[i].op].name, points[i].x, points[i].z, points[i].by,
             found, points[i].expected);
  }
}

static void test_unreached(void **unused) {
  (void)unused;
  Bench b = bench_new("unreached");
  Id x = input(&b, TYPE(&b, F32, 2), 0, 1), z = input(&b, TYPE(&b, F32, 2), 0, 1);
  Id loss = sum_all(&b, op2(&b, OP_mul, graph_stop(b.graph, x), z)), by[] = {x, z};
  Id one = graph_grad(b.graph, loss, by, 1), two = graph_grad(b.graph, loss, by, 2);
  PUSH(b.arena, &b.graph->results, ((Result){"one", graph_pick(b.graph, one, 0)}));
  PUSH(b.arena, &b.graph->results, ((Result){"two", graph_pick(b.graph, two, 0)}));
  PUSH(b.arena, &b.module->entries, b.graph);
  pass_grad(b.module);
  verify(&b);
  assert_int_equal(diagnostics_errors(b.module->diagnostics), 1); /* the second reaches z */
  Text text = {0};
  diagnostics_text(b.module->diagnostics, &text);
  assert_non_null(strstr(text.bytes, "the loss does not depend on 'x0'"));
  text_free(&text);
  arena_free(b.arena);
}

/* Two reads of a state are one value: the gradient of sum(w * w) by the first is 2 w. */
static void test_states(void **unused) {
  (void)unused;
  Bench b = bench_new("states");
  int symbol = module_add_symbol(b.module, "w", TYPE(&b, F32, 3), true, (Initialiser){0}, NULL);
  Id w = graph_state(b.graph, symbol), again = graph_state(b.graph, symbol);
  Id grad = graph_grad(b.graph, sum_all(&b, op2(&b, OP_mul, again, w)), &w, 1);
  PUSH(b.arena, &b.graph->results, ((Result){"g", graph_pick(b.graph, grad, 0)}));
  PUSH(b.arena, &b.module->entries, b.graph);
  pass_grad(b.module);
  Array found = evaluate(&b, b.module->entries.items[0], NULL, b.arena)[0];
  for (int k = 0; k < 3; k++) assert_true(array_get(&found, k) == 2 * (0.25 + 0.5 * k)); /* as evaluate() sets them */
  arena_free(b.arena);
}

/* x ** 2 must not form log x, nor anything else that only the exponent's gradient would need. */
static void test_on_demand(void **unused) {
  (void)unused;
  Bench b = bench_new("on demand");
  Id x = input(&b, TYPE(&b, F32, 2), 0, 1);
  Id grad = graph_grad(b.graph, sum_all(&b, op2(&b, OP_pow, x, num(&b, 2))), &x, 1);
  PUSH(b.arena, &b.graph->results, ((Result){"g", graph_pick(b.graph, grad, 0)}));
  PUSH(b.arena, &b.module->entries, b.graph);
  pass_grad(b.module);
  const Graph *graph = b.module->entries.items[0];
  for (Id id = 1; id < graph->nodes.count; id++) {
    assert_int_not_equal(graph_node(graph, id)->op, OP_log);
    assert_int_not_equal(graph_node(graph, id)->op, OP_grad);
  }
  arena_free(b.arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_op), cmocka_unit_test(test_kinks),     cmocka_unit_test(test_unreached),
      cmocka_unit_test(test_states),   cmocka_unit_test(test_on_demand),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
