/* The parts of the commands that can be called alone: flags, schedules, shuffling, arguments, printing, what meets what in
 * training. */
#include "command/arguments.h"
#include "command/feed.h"
#include "command/options.h"
#include "command/print_array.h"
#include "command/schedule.h"
#include "command/shuffle.h"

#include <math.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

/* ---- flags ---- */

static const Option options[] = {
    WHOLE("epochs", 'e', epochs, "K", 1, 100, "epochs"),
    FRACTION("valid", 0, valid, "F", "share"),
    FLAG("quiet", 'q', quiet, "quiet"),
    TEXT("shuffle", 0, shuffle, "[=yes|no]", "order"),
    TEXT("save", 0, save, "FILE", "where"),
    OPTION_SEED,
};
static const Command command = {.name = "test", .options = options, .count = COUNT_OF(options)};

static bool parse(Arena *arena, Settings *settings, Failure *failure, const char *line) {
  char *words[16] = {"test"}, *rest, *copy = arena_format(arena, "%s", line);
  int count = 1;
  for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) words[count++] = word;
  *failure = (Failure){0};
  *settings = (Settings){0};
  return options_read(arena, &command, count, words, settings, failure);
}

static void flags_are_read(void **state) {
  (void)state;
  Arena *arena = arena_new();
  Settings settings;
  Failure failure;
  assert_true(parse(arena, &settings, &failure, "model -e 7 --valid=0.25 data -q lr=-1 --shuffle --save x"));
  assert_int_equal(settings.epochs, 7);
  assert_true(settings.valid == 0.25);
  assert_true(settings.quiet);
  assert_string_equal(settings.shuffle, "");
  assert_string_equal(settings.save, "x");
  assert_int_equal(settings.words.count, 3);
  assert_string_equal(settings.words.items[2], "lr=-1");
  assert_false(settings.seed_given);
  assert_true(parse(arena, &settings, &failure, "--seed 9223372036854775807 -- --epochs"));
  assert_true(settings.seed_given && settings.seed == INT64_MAX);
  assert_string_equal(settings.words.items[0], "--epochs");
  arena_free(arena);
}

static void wrong_flags_are_told(void **state) {
  (void)state;
  static const char *const wrong[][2] = {
      {"--epochs", "wants a value"},
      {"--epochs 0", "from 1 to 100"},
      {"--epochs 101", "from 1 to 100"},
      {"-e 5x", "'5x'"},
      {"-e 5 --epochs 6", "twice"},
      {"--valid 1", "below 1"},
      {"--valid nan", "'nan'"},
      {"--sve x", "--save"},
      {"-x", "-x"},
      {"--seed 9223372036854775808", "0"},
      {"--quiet=1", "no value"},
      {"--seed -1", "0 or more"},
  };
  Arena *arena = arena_new();
  for (int k = 0; k < COUNT_OF(wrong); k++) {
    Settings settings;
    Failure failure;
    assert_false(parse(arena, &settings, &failure, wrong[k][0]));
    assert_int_equal(failure.code, EXIT_INPUT);
    assert_non_null(strstr(failure.message, wrong[k][1]));
  }
  arena_free(arena);
}

/* ---- schedules and order ---- */

static void schedules_follow_their_formulas(void **state) {
  (void)state;
  Schedule schedule;
  Failure failure = {0};
  assert_true(schedule_read("lr", "0.05", &schedule, &failure));
  assert_true(schedule_value(&schedule, 99, 100) == 0.05);
  assert_true(schedule_read("lr", "cosine(0.1, warmup=10)", &schedule, &failure));
  assert_true(fabs(schedule_value(&schedule, 5, 110) - 0.05) < 1e-12);
  assert_true(fabs(schedule_value(&schedule, 10, 110) - 0.1) < 1e-12);
  assert_true(fabs(schedule_value(&schedule, 60, 110) - 0.05) < 1e-12);
  assert_true(fabs(schedule_value(&schedule, 110, 110)) < 1e-12);
  assert_true(schedule_read("lr", "staircase(1, 10, factor=0.5)", &schedule, &failure));
  assert_true(schedule_value(&schedule, 9, 0) == 1 && schedule_value(&schedule, 25, 0) == 0.25);
  static const char *const wrong[] = {
      "", "fast", "cosine", "cosine()", "cosine(x)", "cosine(0.1, 1, 2)", "cosine(0.1, up=2)"};
  for (int k = 0; k < COUNT_OF(wrong); k++) {
    failure = (Failure){0};
    assert_false(schedule_read("lr", wrong[k], &schedule, &failure));
    assert_int_equal(failure.code, EXIT_INPUT);
  }
}

static void shuffling_keeps_all_rows(void **state) {
  (void)state;
  enum { ROWS = 1000 };
  int64_t rows[2][ROWS];
  bool seen[ROWS] = {false};
  int moved = 0;
  for (int turn = 0; turn < 2; turn++) {
    for (int k = 0; k < ROWS; k++) rows[turn][k] = k;
    shuffle_rows(rows[turn], ROWS, 7, (uint32_t)turn);
  }
  for (int k = 0; k < ROWS; k++) {
    assert_false(seen[rows[0][k]]);
    seen[rows[0][k]] = true;
    moved += rows[0][k] != rows[1][k];
  }
  assert_true(moved > ROWS * 9 / 10);
  int64_t again[ROWS];
  for (int k = 0; k < ROWS; k++) again[k] = k;
  shuffle_rows(again, ROWS, 7, 0);
  assert_memory_equal(again, rows[0], sizeof again);
}

/* ---- arguments ---- */

static void arguments_are_numbers_and_lists(void **state) {
  (void)state;
  Arena *arena = arena_new();
  Failure failure = {0};
  Argument argument = {0};
  assert_true(argument_read(arena, "k=-2.5e1", &argument, &failure));
  assert_int_equal(argument.tensor.rank, 0);
  assert_true(tensor_number(&argument.tensor, 0) == -25);
  assert_true(argument_read(arena, "x=[[1, 2, 3], [4,5,6]]", &argument, &failure));
  assert_int_equal(argument.tensor.rank, 2);
  assert_true(argument.tensor.size[0] == 2 && argument.tensor.size[1] == 3);
  assert_true(tensor_number(&argument.tensor, 5) == 6);
  assert_true(argument_read(arena, "b=true", &argument, &failure));
  static const char *const wrong[] = {"x",       "=1",  "x=", "x=[", "x=[1, [2]]", "x=[[1], 2]", "x=[[1, 2], [3]]",
                                      "x=[1] 2", "2x=1"};
  for (int k = 0; k < COUNT_OF(wrong); k++) {
    failure = (Failure){0};
    assert_false(argument_read(arena, wrong[k], &argument, &failure));
    assert_int_equal(failure.code, EXIT_INPUT);
  }
  arena_free(arena);
}

static void axes_of_shapes(void **state) {
  (void)state;
  size_t length;
  const char *axis = shape_axis("[N, (H + 1)//2, f(2, 3), 7]", 1, &length);
  assert_int_equal(length, 10);
  assert_memory_equal(axis, "(H + 1)//2", length);
  axis = shape_axis("[N, (H + 1)//2, f(2, 3), 7]", 3, &length);
  assert_memory_equal(axis, "7", length);
  axis = shape_axis("[]", 0, &length);
  assert_int_equal(length, 0);
}

/* ---- printing, against what NumPy 2 prints ---- */

static void prints(const char *wanted, int rank, const int64_t *size, const float *numbers) {
  Tensor tensor = {.type = ELEMENT_F32, .rank = rank, .data = (void *)(uintptr_t)numbers};
  for (int axis = 0; axis < rank; axis++) tensor.size[axis] = size[axis];
  Text text = {0};
  print_array(&tensor, &text);
  assert_string_equal(text.bytes, wanted);
  text_free(&text);
}

static void arrays_look_like_numpys(void **state) {
  (void)state;
  prints("[ 0.1   0.25 -3.  ]", 1, (int64_t[]){3}, (float[]){0.1f, 0.25f, -3});
  prints("[1. 2. 3.]", 1, (int64_t[]){3}, (float[]){1, 2, 3});
  prints("[1.e-05 1.e+00]", 1, (int64_t[]){2}, (float[]){1e-5f, 1});
  prints("[ nan   1.  inf -inf]", 1, (int64_t[]){4}, (float[]){NAN, 1, INFINITY, -INFINITY});
  prints("[[1.5 2. ]\n [3.  4. ]]", 2, (int64_t[]){2, 2}, (float[]){1.5f, 2, 3, 4});
  prints("0.1", 0, NULL, (float[]){0.1f});
  float many[1200];
  for (int k = 0; k < 1200; k++) many[k] = (float)k;
  prints("[0.000e+00 1.000e+00 2.000e+00 ... 1.197e+03 1.198e+03 1.199e+03]", 1, (int64_t[]){1200}, many);
}

/* ---- what meets what ---- */

static bool no_call(Machine *machine, int entry, const int64_t *dims, const void *const *parameters, void *const *results,
                    uint64_t seed, Failure *failure) {
  (void)machine, (void)entry, (void)dims, (void)parameters, (void)results, (void)seed, (void)failure;
  return true;
}

/* step train(p: [N, 1, 2, 2], t: [N, 3], lr = 0.5): every size by hand. */
static void sizes_by_hand(Machine *machine, int entry, const int64_t *dims, int64_t *sizes) {
  (void)machine, (void)entry;
  const int64_t all[] = {dims[0], 1, 2, 2, dims[0], 3};
  memcpy(sizes, all, sizeof all);
}

static void data_meet_parameters(void **state) {
  (void)state;
  Arena *arena = arena_new();
  Failure failure = {0};
  MachineValue parameters[] = {
      {"p", "[N, 1, 2, 2]", F32, 4, false, 0}, {"t", "[N, 3]", F32, 2, false, 0}, {"lr", "[]", F32, 0, true, 0.5}};
  MachineEntry entry = {.name = "train", .step = true, .nparameters = 3, .parameters = parameters};
  MachineDim dim = {"N", 1, 4, 1};
  MachineFunctions functions = {.call = no_call, .sizes = sizes_by_hand};
  Machine machine = {.functions = &functions, .arena = arena, .nentries = 1, .entries = &entry, .ndims = 1, .dims = &dim};
  uint8_t pictures[5 * 4];
  for (int k = 0; k < 20; k++) pictures[k] = (uint8_t)(k * 10);
  int32_t labels[] = {0, 2, 1, 1, 0};
  Dataset data = {.path = "data", .class_count = 3};
  data.train.rows = 5;
  tensors_add(arena, &data.train.columns, (Tensor){"x", ELEMENT_U8, 3, {5, 2, 2}, pictures});
  tensors_add(arena, &data.train.columns, (Tensor){"y", ELEMENT_I32, 1, {5}, labels});
  Feed feed;
  assert_true(feed_new(arena, &machine, 0, &data, &data.train, NULL, 0, 0, &feed, &failure));
  assert_int_equal(feed.batch, 4);
  assert_int_equal(feed_batches(&feed, 5), 2);
  feed_rows(&feed, (int64_t[]){4, 1}, 2);
  assert_int_equal(feed.call.dims[0], 2);
  const float *p = feed.call.parameters[0], *t = feed.call.parameters[1];
  assert_true(p[0] == 160.0f / 255.0f && p[4] == 40.0f / 255.0f);
  assert_true(t[0] == 1 && t[1] == 0 && t[2] == 0 && t[3] == 0 && t[4] == 0 && t[5] == 1);
  assert_true(*(const float *)feed.call.parameters[2] == 0.5f);
  assert_false(feed_new(arena, &machine, 0, &data, &data.train, NULL, 0, 5, &feed, &failure));
  assert_non_null(strstr(failure.message, "--batch 5"));
  failure = (Failure){0};
  data.train.columns.list.count = 1;
  assert_false(feed_new(arena, &machine, 0, &data, &data.train, NULL, 0, 0, &feed, &failure));
  assert_non_null(strstr(failure.message, "wants t"));
  arena_free(arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(flags_are_read),
      cmocka_unit_test(wrong_flags_are_told),
      cmocka_unit_test(schedules_follow_their_formulas),
      cmocka_unit_test(shuffling_keeps_all_rows),
      cmocka_unit_test(arguments_are_numbers_and_lists),
      cmocka_unit_test(axes_of_shapes),
      cmocka_unit_test(arrays_look_like_numpys),
      cmocka_unit_test(data_meet_parameters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
