/* Sizes: random expressions against plain integers. Whatever way a size is built, its normal form has the same value at
 * every choice of the symbols, lies inside its bounds, and reads back from its text to the same pointer. */
#include "ir/ir.h"

#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

static uint64_t seed;

static int64_t draw(int64_t low, int64_t high) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return low + (int64_t)((seed >> 33) % (uint64_t)(high - low + 1));
}

static Module *small_module(Arena *arena) {
  Module *module = module_new(arena, NULL, "test");
  module_add_dim(module, "N", 1, 9, 1, NULL);
  module_add_dim(module, "T", 2, 7, 1, NULL);
  module_add_dim(module, "H", 4, 16, 4, NULL);
  return module;
}

static const Dim *number(Module *module, int64_t value) { return dim_constant(module, value); }

enum { SAMPLES = 12 };

/* A size and its value at each sample of the symbols. */
typedef struct Sampled {
  const Dim *dim;
  int64_t value[SAMPLES];
} Sampled;

static int64_t samples[SAMPLES][3];

static void draw_samples(void) {
  for (int k = 0; k < SAMPLES; k++) {
    samples[k][0] = draw(1, 9);
    samples[k][1] = draw(2, 7);
    samples[k][2] = 4 * draw(1, 4);
  }
}

static Sampled draw_leaf(Module *module) {
  Sampled leaf;
  int symbol = (int)draw(0, 4);
  int64_t value = draw(-6, 12);
  leaf.dim = symbol < 3 ? dim_symbol(module, symbol) : number(module, value);
  for (int k = 0; k < SAMPLES; k++) leaf.value[k] = symbol < 3 ? samples[k][symbol] : value;
  return leaf;
}

static Sampled draw_size(Module *module, int depth) {
  if (depth == 0 || draw(0, 5) == 0) return draw_leaf(module);
  Sampled a = draw_size(module, depth - 1), b = draw_size(module, depth - 1), result;
  int op = (int)draw(0, 4);
  const Dim *made = op == 0   ? dim_add(module, a.dim, b.dim)
                    : op == 1 ? dim_subtract(module, a.dim, b.dim)
                    : op == 2 ? dim_multiply(module, a.dim, b.dim)
                    : op == 3 ? dim_floordiv(module, a.dim, b.dim)
                              : dim_mod(module, a.dim, b.dim);
  if (!made) return a;
  result.dim = made;
  for (int k = 0; k < SAMPLES; k++) {
    int64_t x = a.value[k], y = b.value[k];
    result.value[k] = op == 0   ? x + y
                      : op == 1 ? x - y
                      : op == 2 ? x * y
                      : op == 3 ? floor_divide(x, y)
                                : floor_modulo(x, y);
  }
  return result;
}

static void check_size(Module *module, const Sampled *size) {
  for (int k = 0; k < SAMPLES; k++) {
    assert_int_equal(dim_value(size->dim, samples[k]), size->value[k]);
    assert_true(size->dim->low <= size->value[k] && size->value[k] <= size->dim->high);
  }
  Text text = {0};
  dim_print(module, size->dim, &text);
  const char *at = text.bytes;
  const Dim *again = dim_read(module, &at);
  if (again != size->dim || *at) print_error("%s does not read back\n", text.bytes);
  assert_ptr_equal(again, size->dim);
  assert_int_equal(*at, 0);
  text_free(&text);
}

static void random_sizes_keep_their_value(void **state) {
  (void)state;
  for (seed = 1; seed < 2000;) {
    uint64_t start = seed;
    Arena *arena = arena_new();
    Module *module = small_module(arena);
    draw_samples();
    for (int k = 0; k < 10; k++) {
      Sampled size = draw_size(module, 4);
      check_size(module, &size);
    }
    arena_free(arena);
    seed = start + 1;
  }
}

/* a + b == b + a, (a + b)*c == a*c + b*c, (a - b) + b == a, as pointers */
static void normal_form_is_unique(void **state) {
  (void)state;
  for (uint64_t start = 5000; start < 5400; start++) {
    seed = start;
    Arena *arena = arena_new();
    Module *module = small_module(arena);
    draw_samples();
    const Dim *a = draw_size(module, 3).dim, *b = draw_size(module, 3).dim, *c = draw_size(module, 2).dim;
    assert_ptr_equal(dim_add(module, a, b), dim_add(module, b, a));
    assert_ptr_equal(dim_multiply(module, a, b), dim_multiply(module, b, a));
    assert_ptr_equal(dim_multiply(module, dim_add(module, a, b), c),
                     dim_add(module, dim_multiply(module, a, c), dim_multiply(module, b, c)));
    assert_ptr_equal(dim_add(module, dim_subtract(module, a, b), b), a);
    arena_free(arena);
  }
}

static void reads_as(Module *module, const char *text, const char *normal) {
  const char *at = text;
  const Dim *dim = dim_read(module, &at);
  Text out = {0};
  assert_non_null(dim);
  dim_print(module, dim, &out);
  assert_string_equal(out.bytes, normal);
  text_free(&out);
}

static void sizes_simplify(void **state) {
  (void)state;
  Arena *arena = arena_new();
  Module *module = small_module(arena);
  module_add_dim(module, "W", 1, 64, 1, NULL);
  reads_as(module, "N + N", "2*N");
  reads_as(module, "N - N", "0");
  reads_as(module, "1 + N*T*2 - 2", "2*N*T - 1");
  reads_as(module, "(2*N + 3)//2", "N + 1");
  reads_as(module, "(W//2)//2", "W//4");
  reads_as(module, "((W - 3)//2 + 1)//2", "(W + 3)//4 - 1");
  reads_as(module, "(6*W + 2)//4", "(3*W + 1)//2");
  reads_as(module, "N//10", "0");
  reads_as(module, "4*(H//4)", "H");
  reads_as(module, "H%4", "0");
  reads_as(module, "H//2", "2*(H//4)");
  reads_as(module, "H*T//4*4", "T*H");
  reads_as(module, "N*T//T", "N");
  reads_as(module, "(N*T + N)//(T + 1)", "N");
  reads_as(module, "(N + 1)*(N - 1)", "N*N - 1");
  reads_as(module, "-W//2*3", "3*((-W)//2)");
  arena_free(arena);
}

static void bounds_are_tight_for_mod(void **state) {
  (void)state;
  Arena *arena = arena_new();
  Module *module = module_new(arena, NULL, "test");
  const Dim *size = dim_symbol(module, module_add_dim(module, "W", 1, 1000, 1, NULL));
  const Dim *rest = dim_mod(module, size, number(module, 32));
  assert_int_equal(rest->low, 0);
  assert_int_equal(rest->high, 31);
  const Dim *rounded = dim_floordiv(module, dim_offset(module, size, 31), number(module, 32));
  const Dim *padding = dim_subtract(module, dim_multiply(module, rounded, number(module, 32)), size);
  assert_int_equal(padding->low, 0);
  assert_int_equal(padding->high, 31);
  arena_free(arena);
}

/* All elements of [N, 3*N - 2, (N + 1)//3 + 1]: no fewer than with N = 1, though single terms may be below 0. */
static void products_are_bounded_as_such(void **state) {
  (void)state;
  Arena *arena = arena_new();
  Module *module = small_module(arena);
  const Dim *n = dim_symbol(module, 0);
  const Dim *a = dim_offset(module, dim_multiply(module, n, number(module, 3)), -2);
  const Dim *b = dim_offset(module, dim_floordiv(module, dim_offset(module, n, 1), number(module, 3)), 1);
  assert_int_equal(dim_multiply(module, a, b)->low, 1);
  assert_int_equal(dim_multiply(module, n, dim_multiply(module, a, b))->low, 1);
  arena_free(arena);
}

static void overflow_gives_null(void **state) {
  (void)state;
  Arena *arena = arena_new();
  Module *module = small_module(arena);
  const Dim *large = number(module, INT64_MAX);
  assert_null(dim_add(module, large, number(module, 1)));
  assert_null(dim_multiply(module, dim_multiply(module, large, dim_symbol(module, 0)), number(module, 2)));
  assert_null(dim_floordiv(module, large, number(module, 0)));
  assert_null(dim_mod(module, large, dim_subtract(module, dim_symbol(module, 0), dim_symbol(module, 1))));
  static const char *const malformed[] = {"", "M", "N +", "(N", "N//0", "99999999999999999999", "-", "*N"};
  for (int k = 0; k < COUNT_OF(malformed); k++) {
    const char *at = malformed[k];
    assert_null(dim_read(module, &at));
    assert_ptr_equal(at, malformed[k]);
  }
  arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_sizes_keep_their_value),
      cmocka_unit_test(normal_form_is_unique),
      cmocka_unit_test(sizes_simplify),
      cmocka_unit_test(bounds_are_tight_for_mod),
      cmocka_unit_test(products_are_bounded_as_such),
      cmocka_unit_test(overflow_gives_null),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
