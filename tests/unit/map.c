/* Index maps by their definition: a plain evaluator of spaces, and on it
 *
 *   transposition  <dy, F(x, w)> = <T(dy, w), x> for F's transposition T by each operand, and the same for T's own
 *                  transpositions: F is linear in each operand, so this is the gradient, to second order;
 *   composition    outer(inner(x)) = composed(x).
 *
 * Families that must be closed (views, windows, strided, dilated, padded, grouped and transposed convolutions) are asserted
 * to be; arbitrary maps need only be right where they are accepted. Numbers are small integers, so sums are exact. */
#include "ir/ir.h"

#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

static uint64_t seed;

static int64_t draw(int64_t low, int64_t high) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return low + (int64_t)((seed >> 33) % (uint64_t)(high - low + 1));
}

static Arena *arena;
static Module *module;
static const int64_t symbols[1] = {5}; /* N is 5 */

static void begin(uint64_t from) {
  seed = from;
  arena = arena_new();
  module = module_new(arena, NULL, "test");
  module_add_dim(module, "N", 4, 6, 1, NULL);
}

static const Dim *number(int64_t value) { return dim_constant(module, value); }

/* ---- plain tensors ---- */

typedef struct Tensor {
  Type type;
  double *data;
} Tensor;

static int64_t size_of(const Dim *dim) { return dim_value(dim, symbols); }

static int64_t count_of(const Type *type) {
  int64_t count = 1;
  for (int k = 0; k < type->rank; k++) count *= size_of(type->size[k]);
  return count;
}

static Tensor tensor_new(Type type) { return (Tensor){type, NEW_ARRAY(arena, double, count_of(&type))}; }

static Tensor tensor_draw(Type type) {
  Tensor tensor = tensor_new(type);
  for (int64_t k = 0; k < count_of(&type); k++) tensor.data[k] = (double)draw(-3, 3);
  return tensor;
}

static double inner_product(const Tensor *a, const Tensor *b) {
  double sum = 0;
  assert_true(type_equal(&a->type, &b->type));
  for (int64_t k = 0; k < count_of(&a->type); k++) sum += a->data[k] * b->data[k];
  return sum;
}

/* The element that a map reads at a point of the space; absent ones are 0. */
static double read_at(const Map *map, const Tensor *from, const int64_t *point) {
  int64_t flat = 0;
  for (int k = 0; k < map->naxes; k++) {
    const Axis *axis = &map->axis[k];
    int64_t sum = size_of(axis->offset), size = size_of(from->type.size[k]);
    for (int j = 0; j < axis->nterms; j++) sum += axis->coefficient[j] * point[axis->dim[j]];
    if (sum % axis->divisor != 0 || sum / axis->divisor < 0 || sum / axis->divisor >= size) return 0;
    flat = flat * size + sum / axis->divisor;
  }
  return from->data[flat];
}

static Tensor evaluate(const Space *space, const Tensor *operands) {
  Tensor result = tensor_new(type_of(F32, space->nresult, space->extent));
  int64_t total = 1, extent[MAX_LOOPS], point[MAX_LOOPS];
  for (int k = 0; k < space->ndims; k++) total *= extent[k] = size_of(space->extent[k]);
  for (int64_t step = 0; step < total; step++) {
    int64_t rest = step, flat = 0;
    double product = 1;
    for (int k = space->ndims - 1; k >= 0; k--) {
      point[k] = rest % extent[k];
      rest /= extent[k];
    }
    for (int k = 0; k < space->nresult; k++) flat = flat * extent[k] + point[k];
    for (int k = 0; k < space->nmaps; k++) product *= read_at(&space->map[k], &operands[k], point);
    result.data[flat] += product;
  }
  return result;
}

/* ---- transposition ---- */

static int refused; /* transpositions that were not expressible */

static void show(const char *what, const Space *space) {
  Text text = {0};
  space_print(module, space, &text);
  print_error("%s (seed %llu): %s\n", what, (unsigned long long)seed, text.bytes);
  text_free(&text);
}

/* Checks the transposition by each operand, and by each of theirs, `order` times. */
static void check_gradients(const Space *space, const Tensor *operands, int order, bool closed) {
  Tensor result = evaluate(space, operands);
  Type types[2] = {operands[0].type, space->nmaps > 1 ? operands[1].type : operands[0].type};
  for (int by = 0; by < space->nmaps; by++) {
    Space transposed;
    if (!space_transpose(module, space, by, types, &transposed)) {
      if (closed) show("not closed", space);
      assert_false(closed);
      refused++;
      continue;
    }
    Tensor given[2] = {tensor_draw(result.type), operands[1 - by < space->nmaps ? 1 - by : 0]};
    Tensor gradient = evaluate(&transposed, given);
    if (inner_product(&given[0], &result) != inner_product(&gradient, &operands[by])) {
      show("wrong", space);
      show("transposed", &transposed);
    }
    assert_true(inner_product(&given[0], &result) == inner_product(&gradient, &operands[by]));
    if (order > 1) check_gradients(&transposed, given, order - 1, closed);
  }
}

static Tensor draw_sized(int rank, const int64_t *size) {
  const Dim *dims[MAX_RANK];
  for (int k = 0; k < rank; k++) dims[k] = number(size[k]);
  return tensor_draw(type_of(F32, rank, dims));
}

/* y[n, g*o, h] = sum of x[n, g*C + c, (s*h + d*k - p)/q] * w[g, o, c, k], the groups a dim of their own */
static void convolutions_transpose(void **state) {
  (void)state;
  for (uint64_t from = 1; from <= 400; from++) {
    begin(from);
    int64_t stride = draw(1, 3), dilation = draw(1, 3), pad = draw(0, 2), spread = draw(1, 3), taps = draw(1, 3);
    int64_t size = draw(2, 7), groups = draw(1, 2), inputs = draw(1, 2), outputs = draw(1, 2), height = draw(1, 6);
    bool flipped = draw(0, 3) == 0;
    enum { N, G, O, H, C, K };
    Space space = {.ndims = 6, .nresult = 4, .nmaps = 2};
    int64_t extent[6] = {2, groups, outputs, height, inputs, taps};
    for (int k = 0; k < 6; k++) space.extent[k] = number(extent[k]);
    space.map[0] = (Map){3,
                         {axis_of(module, N), axis_window(G, inputs, C, 1, number(0), 1),
                          axis_window(H, stride, K, flipped ? -dilation : dilation, number(-pad), spread)}};
    space.map[1] = (Map){4, {axis_of(module, G), axis_of(module, O), axis_of(module, C), axis_of(module, K)}};
    Tensor operands[2] = {draw_sized(3, (int64_t[]){2, groups * inputs, size}),
                          draw_sized(4, (int64_t[]){groups, outputs, inputs, taps})};
    check_gradients(&space, operands, 2, true);
    arena_free(arena);
  }
}

/* y[n, o, h, w] = x[n, c, s*h + k - p, s*w + l - p] * w[o, c, k, l], to third order */
static void pictures_transpose(void **state) {
  (void)state;
  for (uint64_t from = 1000; from < 1025; from++) {
    begin(from);
    int64_t stride = draw(1, 2), pad = draw(0, 1), taps = draw(1, 3), size = draw(3, 5);
    int64_t height = (size + 2 * pad - taps) / stride + 1;
    Space space = {.ndims = 7, .nresult = 4, .nmaps = 2};
    int64_t extent[7] = {2, 2, height, height, 2, taps, taps};
    for (int k = 0; k < 7; k++) space.extent[k] = number(extent[k]);
    space.map[0] = (Map){4,
                         {axis_of(module, 0), axis_of(module, 4), axis_window(2, stride, 5, 1, number(-pad), 1),
                          axis_window(3, stride, 6, 1, number(-pad), 1)}};
    space.map[1] = (Map){4, {axis_of(module, 1), axis_of(module, 4), axis_of(module, 5), axis_of(module, 6)}};
    Tensor operands[2] = {draw_sized(4, (int64_t[]){2, 2, size, size}), draw_sized(4, (int64_t[]){2, 2, taps, taps})};
    check_gradients(&space, operands, 3, true);
    arena_free(arena);
  }
}

/* Sums over windows, and views: slices, steps, flips, pads, transpositions, broadcasts; some of symbolic size. */
static void windows_and_views_transpose(void **state) {
  (void)state;
  for (uint64_t from = 2000; from < 2400; from++) {
    begin(from);
    int64_t size = draw(1, 7), taps = draw(1, 3);
    Space space = {.nmaps = 1};
    const Dim *sizes[3] = {dim_symbol(module, 0), number(size), number(1)};
    bool window = draw(0, 1);
    space.nresult = 3;
    space.ndims = window ? 4 : 3;
    space.extent[0] = number(draw(1, 6));
    space.extent[1] = dim_offset(module, dim_symbol(module, 0), draw(-2, 3));
    space.extent[2] = number(draw(1, 3));
    space.extent[3] = number(taps);
    int64_t step = draw(1, 3) * (draw(0, 2) ? 1 : -1);
    const Dim *start = step < 0 ? number(size - 1) : number(draw(-2, 2));
    Axis rows = window ? axis_window(0, step, 3, draw(1, 2), start, draw(1, 2)) : axis_affine(0, step, start);
    Axis symbolic = draw(0, 1) ? axis_affine(1, 1, number(draw(-2, 2)))
                               : axis_affine(1, -1, dim_offset(module, dim_symbol(module, 0), -1));
    space.map[0] = (Map){3, {symbolic, rows, axis_at(number(0))}};
    Tensor operand = tensor_draw(type_of(F32, 3, sizes));
    check_gradients(&space, &operand, 2, true);
    arena_free(arena);
  }
}

static Axis draw_axis(int ndims) {
  int kind = (int)draw(0, 9), dim = (int)draw(0, ndims - 1), other = (int)draw(0, ndims - 1);
  if (kind == 0) return axis_at(number(draw(-1, 1)));
  if (kind < 4) return axis_of(module, dim);
  int64_t coefficient = draw(1, 3) * (draw(0, 1) ? 1 : -1), offset = draw(-3, 3), divisor = draw(1, 3);
  if (kind < 6 || dim == other) {
    Axis axis = axis_affine(dim, coefficient, number(offset));
    axis.divisor = divisor;
    return axis;
  }
  return axis_window(dim, coefficient, other, draw(0, 1) ? draw(1, 2) : -draw(1, 2), number(offset), divisor);
}

static void arbitrary_maps_transpose_or_refuse(void **state) {
  (void)state;
  int tried = 0;
  refused = 0;
  for (uint64_t from = 3000; from < 6000; from++) {
    begin(from);
    Space space = {.ndims = (int)draw(1, 4), .nmaps = (int)draw(1, 2)};
    Tensor operands[2];
    space.nresult = (int)draw(0, space.ndims);
    for (int k = 0; k < space.ndims; k++) space.extent[k] = number(draw(1, 4));
    for (int k = 0; k < space.nmaps; k++) {
      int64_t size[2] = {draw(1, 5), draw(1, 5)};
      space.map[k].naxes = (int)draw(0, 2);
      for (int axis = 0; axis < space.map[k].naxes; axis++) space.map[k].axis[axis] = draw_axis(space.ndims);
      operands[k] = draw_sized(space.map[k].naxes, size);
    }
    tried += space.nmaps;
    check_gradients(&space, operands, 2, false);
    arena_free(arena);
  }
  assert_true(refused < tried); /* else nothing was tested */
}

/* ---- composition ---- */

static void views_compose_or_refuse(void **state) {
  (void)state;
  int composed_count = 0;
  for (uint64_t from = 7000; from < 10000; from++) {
    begin(from);
    Space inner = {.ndims = 2, .nresult = 2, .nmaps = 1}, outer = {.ndims = (int)draw(2, 3), .nmaps = 1}, composed;
    inner.map[0].naxes = outer.map[0].naxes = 2;
    outer.nresult = (int)draw(1, outer.ndims);
    for (int k = 0; k < 2; k++) {
      inner.extent[k] = number(draw(1, 8));
      inner.map[0].axis[k] = draw_axis(2);
      outer.map[0].axis[k] = draw_axis(outer.ndims);
    }
    for (int k = 0; k < outer.ndims; k++) outer.extent[k] = number(draw(1, 3));
    Tensor operand = draw_sized(2, (int64_t[]){draw(1, 6), draw(1, 6)});
    Tensor between = evaluate(&inner, &operand);
    if (space_compose(module, &outer, 0, &between.type, &inner, &composed)) {
      Tensor two = evaluate(&outer, &between), one = evaluate(&composed, &operand);
      composed_count++;
      for (int64_t k = 0; k < count_of(&two.type); k++) assert_true(one.data[k] == two.data[k]);
    }
    arena_free(arena);
  }
  assert_true(composed_count > 100);
}

static void expect_composed(const Space *outer, const Space *inner, const char *text) {
  Type between = type_of(F32, inner->nresult, inner->extent);
  Space composed;
  Text out = {0};
  assert_true(space_compose(module, outer, 0, &between, inner, &composed));
  space_print(module, &composed, &out);
  assert_string_equal(out.bytes, text);
  text_free(&out);
}

static void padding_composes_with_windows(void **state) {
  (void)state;
  begin(1);
  const Dim *size = dim_symbol(module, 0);
  Space pad = {.ndims = 1, .nresult = 1, .nmaps = 1, .extent = {dim_offset(module, size, 4)}};
  pad.map[0] = (Map){1, {axis_affine(0, 1, number(-2))}};
  Space window = {.ndims = 2, .nresult = 1, .nmaps = 1, .extent = {size, number(5)}};
  window.map[0] = (Map){1, {axis_window(0, 1, 1, 1, number(0), 1)}};
  expect_composed(&window, &pad, "[a:N | b:5] (a + b - 2)");
  Space flip = {.ndims = 1, .nresult = 1, .nmaps = 1, .extent = {dim_offset(module, size, 4)}};
  flip.map[0] = (Map){1, {axis_affine(0, -1, dim_offset(module, size, 3))}};
  expect_composed(&flip, &pad, "[a:N + 4] (-a + N + 1)");
  arena_free(arena);
}

static void bounds_prove_inside(void **state) {
  (void)state;
  begin(1);
  const Dim *size = dim_symbol(module, 0);
  Space space = {.ndims = 2, .nresult = 1, .nmaps = 1, .extent = {size, number(3)}};
  Axis window = axis_window(0, 2, 1, 1, number(0), 1);
  const Dim *exact = dim_offset(module, dim_multiply(module, size, number(2)), 1);
  assert_true(axis_always_inside(module, &space, &window, exact));
  assert_false(axis_always_inside(module, &space, &window, dim_offset(module, exact, -1)));
  window.offset = number(-1);
  assert_false(axis_always_inside(module, &space, &window, exact));
  Axis halved = {.nterms = 1, .dim = {0}, .coefficient = {4}, .offset = number(2), .divisor = 2};
  assert_true(axis_always_inside(module, &space, &halved, dim_multiply(module, size, number(2))));
  halved.offset = number(1);
  assert_false(axis_always_inside(module, &space, &halved, exact));
  arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(convolutions_transpose),      cmocka_unit_test(pictures_transpose),
      cmocka_unit_test(windows_and_views_transpose), cmocka_unit_test(arbitrary_maps_transpose_or_refuse),
      cmocka_unit_test(views_compose_or_refuse),     cmocka_unit_test(padding_composes_with_windows),
      cmocka_unit_test(bounds_prove_inside),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
