/* What all else stands on: arithmetic at its edges, numbers that read back, near names, files, and how a fault looks. */
#include "ir/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static void test_memory(void **state) {
  (void)state;
  Arena *arena = arena_new();
  Vec(int) numbers = {0};
  for (int i = 0; i < 100000; i++) PUSH(arena, &numbers, i);
  for (int i = 0; i < numbers.count; i++) assert_int_equal(numbers.items[i], i);
  static const size_t sizes[] = {0, 1, 15, 16, 17, 5000, 1 << 20, 3 << 20, 8};
  for (int i = 0; i < COUNT_OF(sizes); i++) {
    unsigned char *bytes = arena_alloc(arena, sizes[i]);
    assert_int_equal((uintptr_t)bytes % 16, 0);
    for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(bytes[k], 0);
    memset(bytes, 0xFF, sizes[i]);
  }
  assert_string_equal(arena_format(arena, "%s-%d", "a", 3), "a-3");
  arena_free(arena);
}

static void test_names(void **state) {
  (void)state;
  assert_ptr_equal(intern("conv"), intern_length("convolution", 4));
  assert_ptr_not_equal(intern("conv"), intern("conv1"));
  Text text = {0};
  for (int i = 0; i < 5000; i++) {
    text_clear(&text);
    text_add(&text, "name%d", i);
    assert_ptr_equal(intern(text.bytes), intern_length(text.bytes, text.length));
  }
  text_free(&text);
  static const char *const names[] = {"dense", "relu", "batchnorm", "softmax"};
  assert_string_equal(nearest_name("desne", names, 4), "dense");
  assert_string_equal(nearest_name("BatchNorm", names, 4), "batchnorm");
  assert_string_equal(nearest_name("batch_norm", names, 4), "batchnorm");
  assert_null(nearest_name("lstm", names, 4));
  assert_null(nearest_name("", names, 4));
}

static void test_numbers(void **state) {
  (void)state;
  static const struct {
    double number;
    bool single;
    const char *text;
  } cases[] = {
      {0.1, false, "0.1"},           {0.1, true, "0.1"},       {3, false, "3.0"},
      {-0.0, false, "-0.0"},         {1e300, false, "1e+300"}, {5e-324, false, "5e-324"},
      {1e-45, true, "1e-45"},        {INFINITY, false, "inf"}, {-INFINITY, true, "-inf"},
      {1.0 / 3, true, "0.33333334"}, {NAN, false, "nan"},      {1e16, false, "1e+16"},
  };
  Text text = {0};
  for (int i = 0; i < COUNT_OF(cases); i++) {
    text_clear(&text);
    text_add_number(&text, cases[i].number, cases[i].single);
    assert_string_equal(text.bytes, cases[i].text);
  }
  uint64_t bits = 1;
  for (int i = 0; i < 20000; i++) {
    bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    double number;
    memcpy(&number, &bits, sizeof number);
    if (!isfinite(number)) continue;
    text_clear(&text);
    text_add_number(&text, number, false);
    assert_true(strtod(text.bytes, NULL) == number);
    text_clear(&text);
    text_add_number(&text, number, true);
    assert_true(strtof(text.bytes, NULL) == (float)number);
  }
  text_free(&text);
}

static void test_arithmetic(void **state) {
  (void)state;
  int64_t result = 7;
  assert_false(add_checked(INT64_MAX, 1, &result));
  assert_false(add_checked(INT64_MIN, -1, &result));
  assert_false(multiply_checked(INT64_MIN, -1, &result));
  assert_false(multiply_checked(-1, INT64_MIN, &result));
  assert_false(multiply_checked(INT64_C(1) << 32, INT64_C(1) << 31, &result));
  assert_int_equal(result, 7);
  assert_true(multiply_checked(INT64_C(1) << 32, -(INT64_C(1) << 31), &result) && result == INT64_MIN);
  assert_true(add_checked(INT64_MIN, INT64_MAX, &result) && result == -1);
  for (int64_t a = -20; a <= 20; a++) {
    for (int64_t b = -7; b <= 7; b++) {
      if (!b) continue;
      assert_true(floor_divide(a, b) == (int64_t)floor((double)a / (double)b));
      assert_true(floor_divide(a, b) * b + floor_modulo(a, b) == a);
    }
  }
  assert_int_equal(floor_modulo(INT64_MIN, -1), 0);
  assert_int_equal(round_up(17, 16), 32);
  assert_int_equal(round_up(32, 16), 32);
}

/* The leading place is the user's; what lies in the prelude is a note; the same fault is told once; source order. */
static void test_diagnostics(void **state) {
  (void)state;
  Arena *arena = arena_new();
  Diagnostics *diagnostics = diagnostics_new(arena);
  static const char users[] = "model m\n\n  relu(x + y)\nlayer b = Basic(256)\n\t\xC3\xA9 + \x01\xFF q\n";
  static const char ours[] = "def dense =\n  x @ w\n";
  Source user = {.name = "m.nn", .text = users, .length = sizeof users - 1, .users = true};
  Source prelude = {.name = "prelude.nn", .text = ours, .length = sizeof ours - 1};
  Place call = {&user, 33, NULL, NULL};
  Place inner = {&user, 18, &call, "Basic(256)"};
  Place deep = {&prelude, 16, &inner, "dense(4)"};
  Place last = {&user, 50, NULL, NULL};
  warning_at(diagnostics, &last, "odd");
  note_at(diagnostics, &call, "see here");
  for (int i = 0; i < 2; i++) {
    error_at(diagnostics, &deep, "'@': [%d] does not match", 3);
    help_for(diagnostics, "transpose it");
  }
  assert_int_equal(diagnostics_errors(diagnostics), 1);
  Text text = {0};
  diagnostics_text(diagnostics, &text);
  assert_string_equal(text.bytes, "m.nn:3:10: error: '@': [3] does not match\n"
                                  "  relu(x + y)\n"
                                  "         ^\n"
                                  "prelude.nn:2:5: note: in dense(4), here\n"
                                  "m.nn:4:11: note: in Basic(256), made here\n"
                                  "help: transpose it\n"
                                  "m.nn:5:6: warning: odd\n"
                                  "  \xC3\xA9 + ?? q\n"
                                  "      ^\n"
                                  "m.nn:4:11: note: see here\n");
  text_clear(&text);
  for (uint32_t i = 0; i < 150; i++) error_at(diagnostics, &last, "fault %u", i);
  diagnostics_text(diagnostics, &text);
  assert_int_equal(diagnostics_errors(diagnostics), 151);
  assert_non_null(strstr(text.bytes, "note: and 51 more errors\n"));
  text_free(&text);
  arena_free(arena);
}

static void test_files(void **state) {
  (void)state;
  Arena *arena = arena_new();
  Failure failure = {0};
  char folder[] = "/tmp/nnc-test-XXXXXX";
  assert_non_null(mkdtemp(folder));
  const char *path = arena_format(arena, "%s/a.bin", folder);
  char *bytes;
  size_t length;
  for (int round = 0; round < 2; round++) {
    assert_true(write_file(path, "a\0b", 3 - (size_t)round, &failure));
    assert_true(read_file(arena, path, &bytes, &length, &failure));
    assert_int_equal(length, 3 - round);
    assert_memory_equal(bytes, "a\0b", length);
    assert_int_equal(bytes[length], 0);
  }
  assert_true(write_file("/dev/null", "x", 1, &failure));
  assert_int_equal(access("/dev/null", F_OK), 0);
  assert_false(write_file(folder, "x", 1, &failure));
  assert_int_equal(failure.code, EXIT_INPUT);
  assert_false(read_file(arena, "/nowhere/x", &bytes, &length, &failure));
  assert_non_null(strstr(failure.message, "cannot write")); /* the first one is kept */
  unlink(path);
  assert_int_equal(rmdir(folder), 0); /* so nothing temporary was left */
  arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_memory),     cmocka_unit_test(test_names),       cmocka_unit_test(test_numbers),
      cmocka_unit_test(test_arithmetic), cmocka_unit_test(test_diagnostics), cmocka_unit_test(test_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
