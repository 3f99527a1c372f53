/* Random numbers: Philox against the known answers of Random123, and what initial values promise. */
#include "ir/interpret.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

static void expect_near(double got, double expected, double tolerance, const char *what) {
  if (fabs(got - expected) <= tolerance * fmax(1, fabs(expected))) return;
  fail_msg("%s: got %.17g, expected %.17g", what, got, expected);
}

static void philox_known_answers(void **state) {
  (void)state;
  static const uint32_t rows[][5] = {
      {0, 0, 0, 0xff1dae59, 0x6cd10df2},
      {0xffffffff, 0xffffffff, 0xffffffff, 0x2c3f628b, 0xab4fd7ad},
      {0x243f6a88, 0x85a308d3, 0x13198a2e, 0xdd7ce038, 0xf62a4c12},
  };
  for (int k = 0; k < COUNT_OF(rows); k++) {
    uint32_t counter[2] = {rows[k][0], rows[k][1]};
    philox(counter, rows[k][2]);
    assert_int_equal(counter[0], rows[k][3]);
    assert_int_equal(counter[1], rows[k][4]);
  }
}

/* What the method promises: sqrt(-2 log u) cos(2 pi v) within 2^-40 of itself, and then rounded to f32. */
static void normal_numbers(void **state) {
  (void)state;
  enum { COUNT = 100000, SEED = 7 };
  Arena *arena = arena_new();
  Module *module = module_new(arena, NULL, "test");
  Type type = type_of(F32, 1, (const Dim *[]){dim_constant(module, COUNT)});
  Symbol symbol = {.name = "net.w", .type = type, .init = {.kind = INIT_NORMAL, .a = 1}};
  Array array = array_for(arena, &type, false, NULL);
  initialise(&symbol, SEED, &array);
  uint64_t name = hash_bytes(symbol.name, strlen(symbol.name));
  uint32_t key = random_key(random_key((uint32_t)(name ^ name >> 32), SEED), 0);
  for (uint32_t i = 0; i < COUNT; i++) {
    uint32_t word[2] = {i, 0};
    philox(word, key);
    double u = ((double)word[0] + 1) / 4294967296.0, quarter = (double)word[1] / 4294967296.0 - 0.25;
    double turn = quarter <= 0.25 ? -quarter : quarter - 0.5; /* cos(2 pi v) = sin(2 pi turn) */
    double z = sqrt(-2 * log(u)) * sin(6.283185307179586 * turn), tolerance = fabs(z) * (0x1p-24 + 0x1p-40);
    if (fabs(array_get(&array, i) - z) > tolerance) fail_msg("%u: got %.9g, expected %.17g", i, array_get(&array, i), z);
  }
  arena_free(arena);
}

static void initial_values(void **state) {
  (void)state;
  enum { ROWS = 40, COLUMNS = 25, COUNT = ROWS * COLUMNS };
  Arena *arena = arena_new();
  Module *module = module_new(arena, NULL, "test");
  Type type = type_of(F32, 2, (const Dim *[]){dim_constant(module, ROWS), dim_constant(module, COLUMNS)});
  Symbol symbol = {.name = "net.w", .type = type, .init = {.kind = INIT_UNIFORM, .a = -2, .b = 4}};
  Array array = array_for(arena, &type, false, NULL), wide = array_for(arena, &type, true, NULL);
  double sum = 0, squares = 0, lowest = 9, highest = -9;
  initialise(&symbol, 3, &array);
  for (int i = 0; i < COUNT; i++) {
    double u = array_get(&array, i);
    sum += u, lowest = fmin(lowest, u), highest = fmax(highest, u);
  }
  assert_true(lowest >= -2 && lowest < -1.9 && highest < 4 && highest > 3.9);
  expect_near(sum / COUNT, 1, 0.15, "mean");
  symbol.init = (Initialiser){.kind = INIT_NORMAL, .a = 3};
  initialise(&symbol, 3, &array);
  initialise(&symbol, 3, &wide);
  sum = 0;
  for (int i = 0; i < COUNT; i++) {
    double z = array_get(&array, i);
    assert_true(z == array_get(&wide, i)); /* the same numbers in f64 */
    sum += z, squares += z * z;
  }
  expect_near(sum / COUNT, 0, 0.3, "mean");
  expect_near(squares / COUNT, 9, 0.1, "variance");
  double first = array_get(&array, 0);
  initialise(&symbol, 4, &array);
  assert_true(first != array_get(&array, 0));
  symbol.init = (Initialiser){.kind = INIT_ORTHOGONAL, .a = 2};
  initialise(&symbol, 3, &wide);
  for (int j = 0; j < COLUMNS; j++)
    for (int k = 0; k < COLUMNS; k++) {
      double dot = 0;
      for (int i = 0; i < ROWS; i++) dot += array_get(&wide, i * COLUMNS + j) * array_get(&wide, i * COLUMNS + k);
      expect_near(dot, j == k ? 4 : 0, 1e-6, "orthogonal");
    }
  arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(philox_known_answers), cmocka_unit_test(normal_numbers),
                                     cmocka_unit_test(initial_values)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
