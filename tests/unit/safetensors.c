/* safetensors: what is written reads back in the same order and the same bytes; every lie that a header can tell is refused. */
#include "command/tensor.h"
#include "tests/unit/folder.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static void good(bool succeeded, const Failure *failure) {
  if (!succeeded) fail_msg("%s", failure->message);
}

/* Length, header, data bytes of 1: in a block of its own with a 0 behind it, as read_file gives it. */
static char *build(const char *header, size_t header_length, size_t data, size_t *length) {
  *length = 8 + header_length + data;
  char *bytes = calloc(1, *length + 1);
  if (!bytes) abort();
  for (int i = 0; i < 8; i++) bytes[i] = (char)(header_length >> 8 * i & 255);
  memcpy(bytes + 8, header, header_length);
  memset(bytes + 8 + header_length, 1, data);
  return bytes;
}

static void refuse_bytes(char *bytes, size_t length, const char *part) {
  Failure failure = {0};
  Tensors tensors = {0};
  Arena *own = arena_new();
  if (parse_safetensors(own, "file", bytes, length, &tensors, &failure)) fail_msg("taken, should be refused: %s", part);
  if (failure.code != EXIT_INPUT || !strstr(failure.message, part))
    fail_msg("\"%s\" (code %d) lacks \"%s\"", failure.message, failure.code, part);
  arena_free(own);
}

static void refuse(const char *header, size_t data, const char *part) {
  size_t length;
  char *bytes = build(header, strlen(header), data, &length);
  refuse_bytes(bytes, length, part);
  free(bytes);
}

#define F32(name, shape, begin, end)                                                                                       \
  "\"" name "\":{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[" #begin "," #end "]}"

static void test_round_trip(void **state) {
  (void)state;
  Failure failure = {0};
  Tensors out = {0}, back = {0};
  for (int type = 0; type < ELEMENT_TYPE_COUNT; type++) {
    Tensor tensor = tensor_new(arena, element_name((ElementType)type), (ElementType)type, type % 4, (int64_t[]){3, 1, 5});
    memset(tensor.data, type, (size_t)tensor_count(&tensor) * (size_t)element_bytes(tensor.type));
    tensors_add(arena, &out, tensor);
  }
  tensors_add(arena, &out, tensor_new(arena, "a \"b\"\\ \n \xc3\xa9", ELEMENT_F32, 1, (int64_t[]){0}));
  tensors_set(arena, &out, "epoch", "2");
  tensors_set(arena, &out, "classes", "[\"cat\", \"dog\"]");
  tensors_set(arena, &out, "epoch", "3");
  const char *path = path_of("t.safetensors"), *again = path_of("u.safetensors");
  good(write_safetensors(path, &out, &failure) && read_safetensors(arena, path, &back, &failure), &failure);
  assert_int_equal(back.list.count, out.list.count);
  for (int i = 0; i < out.list.count; i++) {
    const Tensor *a = &out.list.items[i], *b = &back.list.items[i];
    assert_string_equal(a->name, b->name);
    assert_true(a->type == b->type && a->rank == b->rank && !memcmp(a->size, b->size, sizeof a->size));
    assert_memory_equal(a->data, b->data, (size_t)tensor_count(a) * (size_t)element_bytes(a->type));
  }
  assert_int_equal(back.metadata.count, 2);
  assert_string_equal(tensors_get(&back, "epoch"), "3");
  assert_string_equal(tensors_get(&back, "classes"), "[\"cat\", \"dog\"]");
  assert_null(tensors_get(&back, "none"));
  good(write_safetensors(again, &back, &failure), &failure);
  char *first, *second;
  size_t first_length, second_length;
  good(read_file(arena, path, &first, &first_length, &failure), &failure);
  good(read_file(arena, again, &second, &second_length, &failure), &failure);
  assert_int_equal(first_length, second_length);
  assert_memory_equal(first, second, first_length);
  assert_int_equal((unsigned char)first[0] % 8, 0);
  Tensor one;
  good(read_any(arena, arena_format(arena, "%s:f64", path), &one, &failure), &failure);
  assert_int_equal(one.type, ELEMENT_F64);
  assert_false(read_any(arena, path, &one, &failure));
  assert_non_null(strstr(failure.message, "it holds 14 tensors; say which"));
}

/* Tensors may lie in another order than the header lists them. */
static void test_order(void **state) {
  (void)state;
  static const char header[] = "{" F32("b", "2", 4, 12) "," F32("a", "", 0, 4) "}  ";
  Failure failure = {0};
  Tensors tensors = {0};
  size_t length;
  char *bytes = build(header, sizeof header - 1, 12, &length);
  good(parse_safetensors(arena, "file", bytes, length, &tensors, &failure), &failure);
  assert_string_equal(tensors.list.items[0].name, "b");
  assert_int_equal(tensors.list.items[1].rank, 0);
  free(bytes);
}

static void test_lies(void **state) {
  (void)state;
  static const struct {
    const char *header;
    size_t data;
    const char *message;
  } cases[] = {
      {"{" F32("a", "4611686018427387904,4", 0, 4) "}", 4, "not an integer from 0 to 2^53"},
      {"{" F32("a", "4294967296,4294967296", 0, 0) "}", 0, "does not fit 63 bits"},
      {"{" F32("a", "2147483648,2147483648,4", 0, 0) "}", 0, "does not fit 63 bits"},
      {"{" F32("a", "1", 4, 0) "}", 4, "reversed"},
      {"{" F32("a", "1", 0, 4) "," F32("b", "1", 0, 4) "}", 8, "'b': it starts at byte 0 of the data, overlapping byte 4"},
      {"{" F32("a", "2", 0, 8) "," F32("b", "2", 4, 12) "}", 12, "overlapping byte 8"},
      {"{" F32("a", "1", 0, 4) "," F32("b", "1", 8, 12) "}", 12, "after a gap from byte 4"},
      {"{" F32("a", "1", 4, 8) "}", 8, "after a gap from byte 0"},
      {"{" F32("a", "1", 0, 4) "}", 5, "1 bytes follow the last tensor"},
      {"{" F32("a", "1", 0, 4) "}", 3, "which has 3"},
      {"{}", 4, "4 bytes follow"},
      {"{" F32("a", "2", 0, 4) "}", 4, "[2] of f32 are 8 bytes, but its data_offsets span 4"},
      {"{" F32("a", "1073741824", 0, 4294967296) "}", 4, "ends at byte 4294967296"},
      {"{" F32("a", "1", 0, 4) "," F32("a", "1", 4, 8) "}", 8, "two tensors are named 'a'"},
      {"{" F32("a", "-1", 0, 4) "}", 4, "not an integer"},
      {"{" F32("a", "0.5", 0, 4) "}", 4, "not an integer"},
      {"{" F32("a", "1e400", 0, 4) "}", 4, "not an integer"},
      {"{" F32("a", "\"1\"", 0, 4) "}", 4, "not an integer"},
      {"{" F32("a", "1,1,1,1,1,1,1,1,1", 0, 4) "}", 4, "more than 8 sizes"},
      {"{\"a\":{\"dtype\":\"F31\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "dtype 'F31' is not known"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0]}}", 4, "should be two integers"},
      {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "its shape is missing"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, "each once"},
      {"{\"a\":[1]}", 4, "it should be {"},
      {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ 'a' is no string"},
      {"{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", 0, "__metadata__ has 'a' twice"},
      {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ comes twice"},
      {"{\"\\u0000\":1}", 0, "byte 10: a name holds a zero character"},
      {"{\"a\":{\"b\":{\"c\":{}}}}", 0, "nested too deeply"},
      {"{\"a\":", 0, "no JSON object"},
      {"{} {}", 0, "byte 11: only spaces"},
      {"[]", 0, "byte 8: the header should start with '{'"},
      {"", 0, "byte 8: the header should start with '{'"},
  };
  for (int i = 0; i < COUNT_OF(cases); i++) refuse(cases[i].header, cases[i].data, cases[i].message);
  char huge[] = "\1\xe1\xf5\5\0\0\0\0{}";
  refuse_bytes(huge, 10, "a header of 100000001 bytes is claimed; 100 MB is the most");
  char wrap[] = "\xff\xff\xff\xff\xff\xff\xff\xff{}";
  refuse_bytes(wrap, 10, "100 MB is the most");
  char claims[] = "\3\0\0\0\0\0\0\0{}";
  refuse_bytes(claims, 10, "3 bytes is claimed, but 2 are there");
}

/* Deep nesting and long lists end before a tree is built of them. */
static void test_large_headers(void **state) {
  (void)state;
  enum { LENGTH = 10000000 };
  static const char *const parts[][3] = {{"[", "{\"a\":", "nested too deeply"}, {"1,", "{\"a\":[", "more than 8 sizes"}};
  for (int i = 0; i < COUNT_OF(parts); i++) {
    Text text = {0};
    text_add(&text, "%s", parts[i][1]);
    while (text.length < LENGTH) text_add_bytes(&text, parts[i][0], strlen(parts[i][0]));
    refuse(text.bytes, 0, parts[i][2]);
    text_free(&text);
  }
}

/* No beginning of a good file is good, and a changed byte never does worse than a message. */
static void test_cut_and_change(void **state) {
  (void)state;
  static const char header[] = "{\"__metadata__\":{\"k\":\"v\\u00e9\"}," F32("a", "2,1", 0, 8) "," F32("b", "", 8, 12) "}";
  size_t length;
  char *bytes = build(header, sizeof header - 1, 12, &length);
  for (size_t cut = 0; cut < length; cut++) {
    char *copy = malloc(cut + 1);
    if (!copy) abort();
    memcpy(copy, bytes, cut);
    copy[cut] = 0;
    refuse_bytes(copy, cut, "file");
    free(copy);
  }
  for (size_t at = 0; at < length; at++)
    for (int change = 0; change < 256; change++) {
      char kept = bytes[at];
      bytes[at] = (char)change;
      Failure failure = {0};
      Tensors tensors = {0};
      Arena *own = arena_new();
      if (!parse_safetensors(own, "file", bytes, length, &tensors, &failure)) assert_int_equal(failure.code, EXIT_INPUT);
      arena_free(own);
      bytes[at] = kept;
    }
  free(bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_order),          cmocka_unit_test(test_lies),
      cmocka_unit_test(test_large_headers), cmocka_unit_test(test_cut_and_change),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
