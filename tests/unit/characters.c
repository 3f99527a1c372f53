/* Texts as data: which characters there are, their indices and back; windows and their targets; what a checkpoint's metadata
 * make of arguments and results. */
#include "command/prepare.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static Arena *arena;
static char path[] = "characters-XXXXXX";

static int set_up(void **state) {
  (void)state;
  arena = arena_new();
  int file = mkstemp(path);
  return file < 0 ? -1 : close(file);
}

static int tear_down(void **state) {
  (void)state;
  arena_free(arena);
  return unlink(path);
}

static void save(const char *text, size_t length) {
  Failure failure = {0};
  if (!write_file(path, text, length, &failure)) fail_msg("%s", failure.message);
}

static Characters of(const char *text) {
  Characters characters;
  Failure failure = {0};
  if (!characters_of(arena, "text", text, strlen(text), &characters, &failure)) fail_msg("%s", failure.message);
  return characters;
}

static void well_formed_utf8_is_told(void **state) {
  (void)state;
  static const struct {
    const char *text;
    size_t length;
  } cases[] = {{"a", 1},
               {"\x7f", 1},
               {"\xc3\xa4", 2},
               {"\xe2\x82\xac", 3},
               {"\xf0\x9f\x98\x80", 4},
               {"\x80", 0},
               {"\xc0\x80", 0},
               {"\xc1\xbf", 0},
               {"\xe0\x9f\xbf", 0},
               {"\xe0\xa0\x80", 3},
               {"\xed\xa0\x80", 0},
               {"\xed\x9f\xbf", 3},
               {"\xf0\x8f\xbf\xbf", 0},
               {"\xf4\x90\x80\x80", 0},
               {"\xf4\x8f\xbf\xbf", 4},
               {"\xf5\x80\x80\x80", 0},
               {"\xc3z", 0},
               {"\xe2\x82z", 0},
               {"\xff", 0}};
  for (int k = 0; k < COUNT_OF(cases); k++) {
    size_t length = strlen(cases[k].text);
    assert_int_equal(character_bytes(cases[k].text, length), cases[k].length);
    if (length > 1) assert_int_equal(character_bytes(cases[k].text, length - 1), 0);
  }
  assert_int_equal(character_bytes("", 0), 0);
}

static void characters_are_sorted_and_come_back(void **state) {
  (void)state;
  const char *text = "b\xc3\xa4r \xf0\x9f\x90\xbb\nb\xe2\x82\xac";
  Characters characters = of(text);
  assert_int_equal(characters.count, 7);
  assert_string_equal(characters.text, "\n br\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\xbb");
  Tensor indices;
  Failure failure = {0};
  assert_true(characters_encode(arena, &characters, "x", text, strlen(text), &indices, &failure));
  static const int32_t wanted[] = {2, 4, 3, 1, 6, 0, 2, 5};
  assert_int_equal(indices.size[0], COUNT_OF(wanted));
  assert_memory_equal(indices.data, wanted, sizeof wanted);
  Text back = {0};
  assert_true(characters_decode(&characters, &indices, &back));
  assert_string_equal(back.bytes, text);
  ((int32_t *)indices.data)[1] = 7;
  assert_false(characters_decode(&characters, &indices, &back));
  ((int32_t *)indices.data)[1] = -1;
  assert_false(characters_decode(&characters, &indices, &back));
  assert_string_equal(back.bytes, text);
  text_free(&back);
}

static void encode_refuses(const char *text, size_t length, const char *part) {
  Characters characters = of("abc \n");
  Tensor indices;
  Failure failure = {0};
  assert_false(characters_encode(arena, &characters, "x", text, length, &indices, &failure));
  assert_int_equal(failure.code, EXIT_INPUT);
  if (!strstr(failure.message, part)) fail_msg("\"%s\" lacks \"%s\"", failure.message, part);
}

static void what_is_no_text_is_told(void **state) {
  (void)state;
  encode_refuses("ab\nd", 4, "x:2: 'd' is none of the 5 characters");
  encode_refuses("ab\n\xc3", 4, "x:2: byte 3: this is not UTF-8");
  encode_refuses("a\0b", 3, "x:1: byte 1: a zero");
}

static void windows_follow_each_other(void **state) {
  (void)state;
  Dataset data;
  Failure failure = {0};
  save("abcabdab", 8);
  assert_true(read_text_dataset(arena, path, 3, NULL, &data, &failure));
  assert_int_equal(data.train.rows, 2); /* the third window has no target for its last character */
  assert_int_equal(data.class_count, 4);
  assert_string_equal(data.characters, "abcd");
  const Tensor *x = tensors_find(&data.train.columns, "x"), *y = tensors_find(&data.train.columns, "y");
  assert_memory_equal(x->data, ((int32_t[]){0, 1, 2, 0, 1, 3}), 24);
  assert_memory_equal(y->data, ((int32_t[]){1, 2, 0, 1, 3, 0}), 24);
  assert_true(read_text_dataset(arena, path, 7, "abcdz", &data, &failure));
  assert_int_equal(data.train.rows, 1);
  assert_int_equal(data.class_count, 5);
  assert_false(read_text_dataset(arena, path, 8, NULL, &data, &failure));
  assert_non_null(strstr(failure.message, "8 characters are no window of 8"));
  failure = (Failure){0};
  assert_false(read_text_dataset(arena, path, 3, "abc", &data, &failure));
  assert_non_null(strstr(failure.message, "'d' is none of the 3 characters"));
}

static void arguments_and_results_of_texts(void **state) {
  (void)state;
  Tensors kept = {0};
  Failure failure = {0};
  MachineValue parameter = {.name = "x", .shape = "[N, T]", .dtype = I32, .rank = 2};
  MachineEntry entry = {.name = "f", .nparameters = 1, .parameters = &parameter};
  Argument argument;
  assert_true(argument_read(arena, "x=\"cab\"", &argument, &failure));
  assert_false(prepare_argument(arena, &entry, &kept, &argument, &failure));
  assert_non_null(strstr(failure.message, "--state wants"));
  tensors_set(arena, &kept, KEY_CHARACTERS, "abc");
  assert_true(prepare_argument(arena, &entry, &kept, &argument, &failure));
  assert_true(argument.tensor.rank == 2 && argument.tensor.size[0] == 1 && argument.tensor.size[1] == 3);
  assert_memory_equal(argument.tensor.data, ((int32_t[]){2, 0, 1}), 12);
  Text text = {0};
  bool is_text;
  assert_true(result_meaning(arena, &kept, &argument.tensor, &is_text, &text) && is_text);
  assert_string_equal(text.bytes, "cab");
  failure = (Failure){0};
  assert_false(argument_read(arena, "x=\"cab", &argument, &failure));
  assert_non_null(strstr(failure.message, "does not end"));
  text_free(&text);
}

static void classes_get_their_names(void **state) {
  (void)state;
  Tensors kept = {0};
  tensors_set(arena, &kept, KEY_CLASSES, "red\ndark green\nblue");
  int32_t labels[] = {2, 0, 1};
  Tensor result = {"label", ELEMENT_I32, 1, {3}, labels};
  Text text = {0};
  bool is_text;
  assert_true(result_meaning(arena, &kept, &result, &is_text, &text) && !is_text);
  assert_string_equal(text.bytes, "blue, red, dark green");
  labels[1] = 3;
  assert_false(result_meaning(arena, &kept, &result, &is_text, &text));
  text_free(&text);
}

static void standardized_rows_meet_their_figures_again(void **state) {
  (void)state;
  double numbers[] = {1, 5, 5, 5, 1003, 7};
  Tensor column = {"x", ELEMENT_F64, 2, {3, 2}, numbers};
  Standard standard = standard_of(arena, &column, (int64_t[]){0, 1}, 2); /* the third row is held out */
  assert_true(standard.mean[0] == 3 && standard.mean[1] == 5 && standard.deviation[0] == 2 && standard.deviation[1] == 0);
  Tensor all = standardized(arena, &column, &standard);
  assert_memory_equal(all.data, ((float[]){-1, 0, 1, 0, 500, 0}), 24);
  Tensors kept = {0};
  Failure failure = {0};
  MachineEntry entry = {.name = "f"};
  standard_keep(arena, &standard, "x", &kept);
  Argument argument = {.name = "x", .tensor = column};
  assert_true(prepare_argument(arena, &entry, &kept, &argument, &failure));
  assert_memory_equal(argument.tensor.data, all.data, 24);
  argument.tensor = (Tensor){"x", ELEMENT_F64, 1, {3}, numbers};
  assert_false(prepare_argument(arena, &entry, &kept, &argument, &failure));
  assert_non_null(strstr(failure.message, "rows of 2"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(well_formed_utf8_is_told),
      cmocka_unit_test(characters_are_sorted_and_come_back),
      cmocka_unit_test(what_is_no_text_is_told),
      cmocka_unit_test(windows_follow_each_other),
      cmocka_unit_test(arguments_and_results_of_texts),
      cmocka_unit_test(classes_get_their_names),
      cmocka_unit_test(standardized_rows_meet_their_figures_again),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
