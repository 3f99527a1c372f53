/* Files of numbers: npy, npz, IDX, gz, csv, and the data sets made of them. Whatever is written reads back as it was; what
 * is cut off, changed or claims too much is refused with one sentence, never more. safetensors has a test of its own. */
#include "command/dataset.h"
#include "tests/unit/folder.h"

#include <setjmp.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

static const char *save(const char *name, const void *bytes, size_t length) {
  Failure failure = {0};
  const char *path = path_of(name);
  if (!write_file(path, bytes, length, &failure)) fail_msg("%s", failure.message);
  return path;
}

static const char *save_text(const char *name, const char *text) { return save(name, text, strlen(text)); }

static const char *save_gzip(const char *name, const void *bytes, size_t length, int times) {
  const char *path = path_of(name);
  gzFile file = gzopen(path, "wb9");
  for (int i = 0; i < times; i++) assert_int_equal(gzwrite(file, bytes, (unsigned)length), (int)length);
  assert_int_equal(gzclose(file), Z_OK);
  return path;
}

/* Bytes in a block of their own with a 0 behind them, as read_file gives them: ASan sees a read too far. */
static char *own(const void *bytes, size_t length) {
  char *copy = malloc(length + 1);
  if (!copy) abort();
  memcpy(copy, bytes, length);
  copy[length] = 0;
  return copy;
}

enum { NPY, NPZ, IDX, CSV };

static bool parse(int format, char *bytes, size_t length, Failure *failure) {
  Arena *own_arena = arena_new();
  Tensor tensor;
  Tensors tensors = {0};
  Table table;
  bool good = format == NPY   ? parse_npy(own_arena, "file", bytes, length, &tensor, failure)
              : format == NPZ ? parse_npz(own_arena, "file", bytes, length, NULL, &tensors, failure)
              : format == IDX ? parse_idx(own_arena, "file", bytes, length, &tensor, failure)
                              : parse_csv(own_arena, "file", bytes, length, &table, failure);
  arena_free(own_arena);
  return good;
}

static void refuse(int format, const void *bytes, size_t length, const char *part) {
  Failure failure = {0};
  char *copy = own(bytes, length);
  if (parse(format, copy, length, &failure)) fail_msg("taken, though it should be refused: %s", part);
  if (failure.code != EXIT_INPUT || !strstr(failure.message, part))
    fail_msg("\"%s\" (code %d) lacks \"%s\"", failure.message, failure.code, part);
  free(copy);
}

/* No beginning of a good file is good, and a changed byte never does worse than a message. */
static void cut_and_change(int format, const void *bytes, size_t length) {
  Failure failure = {0};
  char *copy = own(bytes, length);
  if (!parse(format, copy, length, &failure)) fail_msg("%s", failure.message);
  free(copy);
  for (size_t cut = 0; cut < length; cut++) refuse(format, bytes, cut, "file: byte");
  for (size_t at = 0; at < length; at++)
    for (int change = 0; change < 4; change++) {
      copy = own(bytes, length);
      copy[at] = (char)(change == 0 ? 0 : change == 1 ? 0xff : change == 2 ? copy[at] + 1 : copy[at] ^ 0x80);
      failure = (Failure){0};
      if (!parse(format, copy, length, &failure)) assert_int_equal(failure.code, EXIT_INPUT);
      free(copy);
    }
}

static Tensor sample(const char *name, ElementType type, int rank, const int64_t *size) {
  Tensor tensor = tensor_new(arena, name, type, rank, size);
  unsigned char *bytes = tensor.data;
  int64_t length = tensor_count(&tensor) * element_bytes(type);
  for (int64_t i = 0; i < length; i++) bytes[i] = (unsigned char)(type == ELEMENT_BOOL ? i % 2 : i * 37 % 113);
  return tensor;
}

static void assert_same(const Tensor *a, const Tensor *b) {
  assert_int_equal(a->type, b->type);
  assert_int_equal(a->rank, b->rank);
  for (int d = 0; d < a->rank; d++) assert_int_equal(a->size[d], b->size[d]);
  assert_memory_equal(a->data, b->data, (size_t)tensor_count(a) * (size_t)element_bytes(a->type));
}

static void good(bool succeeded, const Failure *failure) {
  if (!succeeded) fail_msg("%s", failure->message);
}

/* ---- npy and npz ---- */

static void test_npy_and_npz_round_trip(void **state) {
  (void)state;
  Failure failure = {0};
  Tensors all = {0};
  for (int type = 0; type < ELEMENT_TYPE_COUNT; type++) {
    if (!element_npy((ElementType)type)) continue;
    for (int rank = 0; rank <= 4; rank++) {
      Tensor tensor = sample("t", (ElementType)type, rank, (int64_t[]){3, 1, 2, 5}), back;
      tensor.name = arena_format(arena, "%s.%d", element_name(tensor.type), rank);
      good(write_npy(path_of("t.npy"), &tensor, &failure) && read_any(arena, path_of("t.npy"), &back, &failure), &failure);
      assert_same(&tensor, &back);
      tensors_add(arena, &all, tensor);
    }
  }
  tensors_add(arena, &all, sample("empty", ELEMENT_F32, 2, (int64_t[]){0, 7}));
  good(write_all(path_of("all.npz"), &all, &failure) && write_all(path_of("again.npz"), &all, &failure), &failure);
  char *bytes, *again;
  size_t length, length_again;
  good(read_file(arena, path_of("all.npz"), &bytes, &length, &failure), &failure);
  good(read_file(arena, path_of("again.npz"), &again, &length_again, &failure), &failure);
  assert_int_equal(length, length_again);
  assert_memory_equal(bytes, again, length);
  Tensors back = {0};
  good(read_npz(arena, path_of("all.npz"), NULL, &back, &failure), &failure);
  assert_int_equal(back.list.count, all.list.count);
  for (int i = 0; i < all.list.count; i++) {
    assert_string_equal(back.list.items[i].name, all.list.items[i].name);
    assert_same(&back.list.items[i], &all.list.items[i]);
  }
  Tensor one;
  good(read_any(arena, path_of("all.npz:f32.3"), &one, &failure), &failure);
  assert_same(&one, tensors_find(&all, "f32.3"));
  assert_false(read_any(arena, path_of("all.npz:f33.3"), &one, &failure));
  assert_non_null(strstr(failure.message, "did you mean 'f"));
}

/* np.savez_compressed(file, x=np.arange(6, dtype='<f4').reshape(2, 3).T, n=np.array(7, dtype='>i4')) */
static const char numpy_npz[] =
    "\x50\x4b\x03\x04\x2d\x00\x00\x00\x08\x00\x00\x00\x21\x00\x1a\x55\xee\x69\xff\xff\xff\xff\xff\xff"
    "\xff\xff\x05\x00\x14\x00\x78\x2e\x6e\x70\x79\x01\x00\x10\x00\x98\x00\x00\x00\x00\x00\x00\x00\x54"
    "\x00\x00\x00\x00\x00\x00\x00\x9b\xec\x17\xea\x1b\x10\xc9\xc8\x50\xc6\x50\xad\x9e\x92\x5a\x9c\x5c"
    "\xa4\x6e\xa5\xa0\x6e\x93\x66\xa2\xae\xa3\xa0\x9e\x96\x5f\x54\x52\x94\x98\x17\x9f\x5f\x94\x92\x0a"
    "\x12\x0f\x29\x2a\x4d\x05\x0a\x17\x67\x24\x16\xa4\x02\xb9\x1a\xc6\x3a\x0a\x46\x9a\x3a\x0a\xb5\x0a"
    "\xe4\x03\x2e\x06\x30\x68\xb0\x07\x12\x0e\x40\x04\xc4\x0d\x40\xbc\xc0\x01\x00\x50\x4b\x03\x04\x2d"
    "\x00\x00\x00\x08\x00\x00\x00\x21\x00\x0b\x27\x0e\x41\xff\xff\xff\xff\xff\xff\xff\xff\x05\x00\x14"
    "\x00\x6e\x2e\x6e\x70\x79\x01\x00\x10\x00\x84\x00\x00\x00\x00\x00\x00\x00\x46\x00\x00\x00\x00\x00"
    "\x00\x00\x9b\xec\x17\xea\x1b\x10\xc9\xc8\x50\xc6\x50\xad\x9e\x92\x5a\x9c\x5c\xa4\x6e\xa5\xa0\x6e"
    "\x97\x69\xa2\xae\xa3\xa0\x9e\x96\x5f\x54\x52\x94\x98\x17\x9f\x5f\x94\x92\x0a\x12\x77\x4b\xcc\x29"
    "\x4e\x05\x8a\x17\x67\x24\x16\xa4\x02\xf9\x1a\x9a\x3a\x0a\xb5\x0a\x14\x01\x2e\x06\x06\x06\x76\x00"
    "\x50\x4b\x01\x02\x2d\x03\x2d\x00\x00\x00\x08\x00\x00\x00\x21\x00\x1a\x55\xee\x69\x54\x00\x00\x00"
    "\x98\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x01\x00\x00\x00\x00\x78\x2e"
    "\x6e\x70\x79\x50\x4b\x01\x02\x2d\x03\x2d\x00\x00\x00\x08\x00\x00\x00\x21\x00\x0b\x27\x0e\x41\x46"
    "\x00\x00\x00\x84\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x01\x8b\x00\x00"
    "\x00\x6e\x2e\x6e\x70\x79\x50\x4b\x05\x06\x00\x00\x00\x00\x02\x00\x02\x00\x66\x00\x00\x00\x08\x01"
    "\x00\x00\x00\x00";

static void test_npz_by_numpy(void **state) {
  (void)state;
  Failure failure = {0};
  Tensors tensors = {0};
  char *bytes = own(numpy_npz, sizeof numpy_npz - 1);
  good(parse_npz(arena, "numpy", bytes, sizeof numpy_npz - 1, NULL, &tensors, &failure), &failure);
  const Tensor *x = tensors_find(&tensors, "x"), *n = tensors_find(&tensors, "n");
  assert_true(x && n && x->rank == 2 && x->size[0] == 3 && x->size[1] == 2 && n->rank == 0);
  for (int i = 0; i < 6; i++) assert_true(tensor_number(x, i) == (i % 2) * 3 + i / 2);
  assert_true(tensor_number(n, 0) == 7);
  free(bytes);
  cut_and_change(NPZ, numpy_npz, sizeof numpy_npz - 1);
}

static size_t npy(char *out, const char *header, size_t data) {
  size_t length = strlen(header);
  memcpy(out, "\x93NUMPY\1\0", 8);
  out[8] = (char)length;
  out[9] = 0;
  memcpy(out + 10, header, length);
  memset(out + 10 + length, 1, data);
  return 10 + length + data;
}

static void test_bad_npy(void **state) {
  (void)state;
  static const struct {
    const char *header;
    size_t data;
    const char *message;
  } cases[] = {
      {"{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", 16, "byte 20: an array of Python objects"},
      {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", 8, "records of several fields"},
      {"{'descr': '<c8', 'fortran_order': False, 'shape': (2,)}", 16, "dtype '<c8'"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 7, "[2] of f32 are 8 bytes, but 7 follow"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 9, "are 8 bytes, but 9 follow"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1073741824,)}", 4, "are 4294967296 bytes, but 4 follow"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", 4, "does not fit 63 bits"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 4, "does not fit 63 bits"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", 4, "0 or a positive integer"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", 4, "more than 8 dimensions"},
      {"{'descr': '<f4', 'fortran_order': False}", 4, "lacks one of"},
      {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4, "comes twice"},
      {"{'descr': '<f4', 'fortran_order': 0, 'shape': ()}", 4, "True or False"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': ()} x", 4, "only spaces"},
      {"[]", 4, "start with '{'"},
  };
  char bytes[256];
  for (int i = 0; i < COUNT_OF(cases); i++)
    refuse(NPY, bytes, npy(bytes, cases[i].header, cases[i].data), cases[i].message);
  cut_and_change(NPY, bytes, npy(bytes, "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }  \n", 12));
  refuse(NPY, "\x93NUMPY\2\0\xff\xff\xff\xff", 12, "4294967295 bytes is claimed");
  refuse(NPY, "\x93NUMPY\4\0\1\0 ", 11, "version 4");
}

static char *directory_entry(char *at) {
  while (at[0] != 'P' || at[1] != 'K' || at[2] != 1 || at[3] != 2) at++;
  return at;
}

/* The directory of the zip by NumPy may claim anything. */
static void test_bad_npz(void **state) {
  (void)state;
  size_t length = sizeof numpy_npz - 1;
  char *bytes = own(numpy_npz, length);
  char *entry = directory_entry(bytes), *second = directory_entry(entry + 4);
  entry[24 + 3] = 0x7f;
  refuse(NPZ, bytes, length, "more than 200 times");
  memcpy(bytes, numpy_npz, length);
  entry[24]++;
  refuse(NPZ, bytes, length, "but the directory says");
  memcpy(bytes, numpy_npz, length);
  entry[16]++;
  refuse(NPZ, bytes, length, "checksum");
  memcpy(bytes, numpy_npz, length);
  entry[8] |= 1;
  refuse(NPZ, bytes, length, "encrypted");
  memcpy(bytes, numpy_npz, length);
  entry[10] = 12;
  refuse(NPZ, bytes, length, "compression method 12");
  memcpy(bytes, numpy_npz, length);
  bytes[length - 22 + 10]++;
  refuse(NPZ, bytes, length, "more members are claimed");
  bytes[length - 22 + 10] -= 2;
  refuse(NPZ, bytes, length, "bytes follow the last entry");
  memcpy(bytes, numpy_npz, length);
  second[46] = entry[46];
  refuse(NPZ, bytes, length, "two members are named 'x'");
  free(bytes);
}

/* ---- IDX and gz ---- */

static void test_idx(void **state) {
  (void)state;
  static const char shorts[] = "\0\0\x0b\2\0\0\0\2\0\0\0\1\xff\xfe\1\0";
  Failure failure = {0};
  Tensor tensor;
  char *bytes = own(shorts, 16);
  good(parse_idx(arena, "file", bytes, 16, &tensor, &failure), &failure);
  assert_int_equal(tensor.type, ELEMENT_I16);
  assert_true(tensor_number(&tensor, 0) == -2 && tensor_number(&tensor, 1) == 256);
  free(bytes);
  cut_and_change(IDX, shorts, 16);
  refuse(IDX, "\0\0\x08\1\xff\xff\xff\xff", 8, "4294967295 bytes, but 0 follow");
  refuse(IDX, "\0\0\x0e\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16, "are more than");
  refuse(IDX, "\0\0\x0a\1\0\0\0\1a", 9, "0x0a is no element type");
  refuse(IDX, "\0\0\x08\xff", 4, "rank 255");
  refuse(IDX, "\0\0\x08\1\0\0\0\2abc", 11, "2 bytes, but 3 follow");
}

static void test_gzip(void **state) {
  (void)state;
  Failure failure = {0};
  Tensor tensor;
  const char *path = save_gzip("t-idx1-ubyte.gz", "\0\0\x08\1\0\0\0\2ab", 10, 1);
  good(read_any(arena, path, &tensor, &failure), &failure);
  assert_memory_equal(tensor.data, "ab", 2);
  char *bytes;
  size_t length;
  good(read_file(arena, path, &bytes, &length, &failure), &failure);
  for (size_t cut = 0; cut < length; cut++) {
    failure = (Failure){0};
    assert_false(read_any(arena, save("cut-idx1-ubyte.gz", bytes, cut), &tensor, &failure));
    assert_int_equal(failure.code, EXIT_INPUT);
  }
  /* Two members one after another are one file. */
  char *twice = own(bytes, 2 * length);
  memcpy(twice + length, bytes, length);
  failure = (Failure){0};
  assert_false(read_any(arena, save("twice-idx1-ubyte.gz", twice, 2 * length), &tensor, &failure));
  assert_non_null(strstr(failure.message, "2 bytes, but 12 follow"));
  free(twice);
  char *zeros = calloc(1, 1 << 20);
  failure = (Failure){0};
  assert_false(read_any(arena, save_gzip("bomb.csv.gz", zeros, 1 << 20, 100), &tensor, &failure));
  assert_non_null(strstr(failure.message, "more than 200 times its size"));
  free(zeros);
  failure = (Failure){0};
  assert_false(read_any(arena, save_text("plain.csv.gz", "1,2\n"), &tensor, &failure));
  assert_non_null(strstr(failure.message, "no gzip file"));
}

/* ---- csv ---- */

static Table table_of(const char *text) {
  Table table;
  Failure failure = {0};
  char *bytes = arena_copy(arena, text, strlen(text) + 1);
  good(parse_csv(arena, "file", bytes, strlen(text), &table, &failure), &failure);
  return table;
}

static void test_csv(void **state) {
  (void)state;
  Table t = table_of("a,\"b \"\"x\"\"\",c\r\n1, 2.5e-3 ,-inf\r\n\r\n# note\n3,\"4\",nan");
  assert_true(t.header && t.rows == 2 && t.columns == 3);
  assert_string_equal(t.column[1].name, "b \"x\"");
  assert_true(t.column[1].numbers[0] == 2.5e-3 && t.column[1].numbers[1] == 4 && isnan(t.column[2].numbers[1]));
  t = table_of("1;2;one\n3;4;\"two\nlines\"\n5;6;one\n");
  assert_true(!t.header && t.rows == 3 && t.columns == 3 && t.column[2].text);
  assert_string_equal(t.column[2].texts[1], "two\nlines");
  assert_int_equal(t.column[2].first_line, 1);
  t = table_of("word\tkind\nfoo\tx\nbar\ty\n");
  assert_true(t.header && t.rows == 2 && table_find(&t, "kind") == 1 && table_find(&t, "1") == 1);
  assert_int_equal(table_find(&t, "2"), -1);
  t = table_of("9007199254740993,0x10\n1,2\n");
  assert_true(t.header); /* hexadecimals are text */
  assert_true(table_of("1").rows == 1);
}

static void test_bad_csv(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"", "file:1: there are no rows"},
      {"# nothing\n\n", "file:3: there are no rows"},
      {"1,2\n3\n", "file:2: 1 fields, but the first line has 2"},
      {"1,2\n3,4,5\n", "file:2: 3 fields"},
      {"1,2\n\n,4\n", "file:3: field 1 is empty; write nan"},
      {"1,2\n3,", "file:2: the file ends after a separator"},
      {"1,\"2\n3,4", "file:1: a quoted field starts here"},
      {"1,\"2\"x\n", "file:1: text follows a closing quote"},
      {"1,2\n3,1e999\n", "file:2: a number is too large"},
  };
  for (int i = 0; i < COUNT_OF(cases); i++) refuse(CSV, cases[i][0], strlen(cases[i][0]), cases[i][1]);
  refuse(CSV, "1,2\n3,\0", 7, "byte 6: a zero byte");
  Failure failure = {0};
  Tensor tensor;
  assert_false(read_any(arena, save_text("words.csv", "1,2\n3,four\n"), &tensor, &failure));
  assert_non_null(strstr(failure.message, "words.csv:2: column 1 has text"));
}

static void test_csv_round_trip(void **state) {
  (void)state;
  Failure failure = {0};
  Tensors out = {0};
  Tensor p = sample("p", ELEMENT_F32, 2, (int64_t[]){5, 3}), i = sample("i", ELEMENT_I64, 1, (int64_t[]){5}), back;
  tensors_add(arena, &out, p);
  tensors_add(arena, &out, i);
  good(write_all(path_of("out.csv"), &out, &failure) && read_any(arena, path_of("out.csv"), &back, &failure), &failure);
  assert_true(back.rank == 2 && back.size[0] == 5 && back.size[1] == 4);
  for (int k = 0; k < 15; k++) assert_true((float)tensor_number(&back, k / 3 * 4 + k % 3) == ((float *)p.data)[k]);
  good(read_any(arena, path_of("out.csv:i"), &back, &failure), &failure);
  assert_true(back.rank == 1 && tensor_number(&back, 4) == tensor_number(&i, 4));
  tensors_add(arena, &out, sample("other", ELEMENT_F32, 1, (int64_t[]){4}));
  assert_false(write_all(path_of("bad.csv"), &out, &failure));
  assert_int_not_equal(access(path_of("bad.csv"), F_OK), 0);
}

/* ---- conversions ---- */

static void test_conversions(void **state) {
  (void)state;
  Failure failure = {0};
  Tensor t = tensor_new(arena, "y", ELEMENT_F64, 2, (int64_t[]){2, 3});
  double *numbers = t.data;
  numbers[4] = 2147483647;
  int32_t *ints;
  float *floats;
  good(tensor_ints(arena, &t, &ints, &failure), &failure);
  assert_int_equal(ints[4], INT32_MAX);
  static const double bad[] = {0.5, NAN, INFINITY, 2147483648.0, -2147483649.0};
  for (int i = 0; i < COUNT_OF(bad); i++) {
    failure = (Failure){0};
    numbers[5] = bad[i];
    assert_false(tensor_ints(arena, &t, &ints, &failure));
    assert_non_null(strstr(failure.message, "y[1, 2] is "));
  }
  numbers[5] = INFINITY;
  failure = (Failure){0};
  good(tensor_floats(arena, &t, &floats, &failure), &failure);
  numbers[5] = 1e39;
  assert_false(tensor_floats(arena, &t, &floats, &failure));
  assert_non_null(strstr(failure.message, "too large for f32"));
  Tensor half = tensor_new(arena, "h", ELEMENT_F16, 1, (int64_t[]){4});
  memcpy(half.data, (uint16_t[]){0x3c00, 0xc000, 0x0001, 0x7c00}, 8);
  assert_true(tensor_number(&half, 0) == 1 && tensor_number(&half, 1) == -2);
  assert_true(tensor_number(&half, 2) == ldexp(1, -24) && isinf(tensor_number(&half, 3)));
}

/* ---- data sets ---- */

static void test_digits(void **state) {
  (void)state;
  Failure failure = {0};
  Dataset digits;
  good(read_dataset(arena, NNC_SOURCE_DIR "/models/data/digits.csv.gz", NULL, &digits, &failure), &failure);
  assert_int_equal(digits.train.rows, 1797);
  assert_int_equal(digits.test.rows, 0);
  assert_int_equal(digits.class_count, 10);
  const Tensor *x = tensors_find(&digits.train.columns, "x"), *y = tensors_find(&digits.train.columns, "y");
  assert_true(x->rank == 2 && x->size[1] == 64 && y->type == ELEMENT_I32 && !digits.class_names);
  double most = 0, sum = 0;
  for (int64_t i = 0; i < tensor_count(x); i++) most = fmax(most, tensor_number(x, i)), sum += tensor_number(x, i);
  assert_true(most == 16 && sum == 561718);
}

static void test_csv_labels(void **state) {
  (void)state;
  Failure failure = {0};
  Dataset d;
  const char *path = save_text("iris.csv", "kind,a,b\nsetosa,1,2\nvirginica,3,4\nsetosa,5,6\nlinaria,7,0.5\n");
  good(read_dataset(arena, path, "kind", &d, &failure), &failure);
  const int32_t *y = tensors_find(&d.train.columns, "y")->data;
  assert_true(d.class_count == 3 && !strcmp(d.class_names[0], "linaria") && !strcmp(d.feature_names[1], "b"));
  assert_true(y[0] == 1 && y[1] == 2 && y[2] == 1 && y[3] == 0);
  assert_true(tensor_number(tensors_find(&d.train.columns, "x"), 7) == 0.5);
  assert_false(read_dataset(arena, path, NULL, &d, &failure));
  assert_non_null(strstr(failure.message, "iris.csv:2: column 0, kind has text; only the label may"));
  failure = (Failure){0};
  assert_false(read_dataset(arena, path, "c", &d, &failure));
  assert_non_null(strstr(failure.message, "no column 'c'"));
  failure = (Failure){0};
  good(read_dataset(arena, save_text("price.csv", "1,0.5\n2,3\n"), NULL, &d, &failure), &failure);
  assert_true(d.class_count == 0 && tensors_find(&d.train.columns, "y")->type == ELEMENT_F64);
}

static void test_scikit_table(void **state) {
  (void)state;
  Failure failure = {0};
  Dataset d;
  const char *path = save_text("wine.csv", "2,3,good,bad\n1,2,3,0\n4,5,6,1\n");
  good(read_dataset(arena, path, NULL, &d, &failure), &failure);
  assert_true(d.train.rows == 2 && d.class_count == 2 && !strcmp(d.class_names[1], "bad") && !d.feature_names);
  assert_false(read_dataset(arena, save_text("wine.csv", "3,3,good,bad,ugly\n1,2,3,0\n4,5,6,1\n"), NULL, &d, &failure));
  assert_non_null(strstr(failure.message, "wine.csv:2: 4 fields, but the first line has 5"));
}

static void test_idx_folder(void **state) {
  (void)state;
  Failure failure = {0};
  Dataset d;
  mkdir(path_of("mnist"), 0777);
  save("mnist/train-images-idx3-ubyte", "\0\0\x08\3\0\0\0\2\0\0\0\1\0\0\0\2abcd", 20);
  assert_false(read_dataset(arena, path_of("mnist"), NULL, &d, &failure));
  assert_non_null(strstr(failure.message, "there is train-images-idx3-ubyte, but no train-labels-idx1-ubyte"));
  save_gzip("mnist/train-labels-idx1-ubyte.gz", "\0\0\x08\1\0\0\0\2\0\3", 10, 1);
  failure = (Failure){0};
  good(read_dataset(arena, path_of("mnist"), NULL, &d, &failure), &failure);
  assert_true(d.train.rows == 2 && d.test.rows == 0 && d.class_count == 4);
  assert_int_equal(tensors_find(&d.train.columns, "x")->type, ELEMENT_U8);
  save("mnist/t10k-images.idx3-ubyte", "\0\0\x08\3\0\0\0\1\0\0\0\1\0\0\0\2ab", 18);
  save("mnist/t10k-labels-idx1-ubyte", "\0\0\x08\1\0\0\0\1\5", 9);
  good(read_dataset(arena, path_of("mnist"), NULL, &d, &failure), &failure);
  assert_true(d.test.rows == 1 && d.class_count == 6);
  save("mnist/t10k-labels-idx1-ubyte", "\0\0\x08\1\0\0\0\2\5\5", 10);
  assert_false(read_dataset(arena, path_of("mnist"), NULL, &d, &failure));
  assert_non_null(strstr(failure.message, "has 1 pictures, but"));
  failure = (Failure){0};
  save("mnist/t10k-labels-idx1-ubyte", "\0\0\x09\1\0\0\0\1\xff", 9);
  assert_false(read_dataset(arena, path_of("mnist"), NULL, &d, &failure));
  assert_non_null(strstr(failure.message, "label 0 is -1"));
  failure = (Failure){0};
  mkdir(path_of("empty"), 0777);
  assert_false(read_dataset(arena, path_of("empty"), NULL, &d, &failure));
  assert_non_null(strstr(failure.message, "neither train-images"));
}

static void test_cifar_folder(void **state) {
  (void)state;
  Failure failure = {0};
  Dataset d;
  enum { RECORD = 3073 };
  char *records = calloc(2, RECORD);
  records[0] = 9;
  records[RECORD - 1] = 7;
  records[RECORD] = 4;
  mkdir(path_of("cifar"), 0777);
  save("cifar/data_batch_1.bin", records, (size_t)2 * RECORD);
  save("cifar/data_batch_3.bin", records, RECORD);
  save("cifar/test_batch.bin", records, RECORD);
  good(read_dataset(arena, path_of("cifar"), NULL, &d, &failure), &failure);
  const Tensor *x = tensors_find(&d.train.columns, "x");
  assert_true(d.train.rows == 3 && d.test.rows == 1 && d.class_count == 10 && x->rank == 4);
  assert_true(tensor_number(x, 3071) == 7 && tensor_number(tensors_find(&d.train.columns, "y"), 1) == 4);
  save("cifar/test_batch.bin", records, RECORD - 1);
  assert_false(read_dataset(arena, path_of("cifar"), NULL, &d, &failure));
  assert_non_null(strstr(failure.message, "no multiple of the 3073"));
  failure = (Failure){0};
  records[0] = 10;
  save("cifar/test_batch.bin", records, RECORD);
  assert_false(read_dataset(arena, path_of("cifar"), NULL, &d, &failure));
  assert_non_null(strstr(failure.message, "label 10"));
  free(records);
}

static void test_named_arrays(void **state) {
  (void)state;
  Failure failure = {0};
  Dataset d;
  Tensors out = {0};
  tensors_add(arena, &out, sample("x_train", ELEMENT_F32, 2, (int64_t[]){4, 2}));
  tensors_add(arena, &out, sample("train_y", ELEMENT_I32, 1, (int64_t[]){4}));
  tensors_add(arena, &out, sample("x_test", ELEMENT_F32, 2, (int64_t[]){3, 2}));
  good(write_all(path_of("d.npz"), &out, &failure) && read_dataset(arena, path_of("d.npz"), NULL, &d, &failure), &failure);
  assert_true(d.train.rows == 4 && d.test.rows == 3 && tensors_find(&d.train.columns, "y") && d.class_count == 0);
  Tensors both = {0};
  tensors_add(arena, &both, sample("x_train", ELEMENT_F32, 1, (int64_t[]){4}));
  tensors_add(arena, &both, sample("x", ELEMENT_F32, 1, (int64_t[]){4}));
  good(write_all(path_of("both.npz"), &both, &failure), &failure);
  assert_false(read_dataset(arena, path_of("both.npz"), NULL, &d, &failure));
  assert_non_null(strstr(failure.message, "two arrays would be 'x'"));
  failure = (Failure){0};
  tensors_add(arena, &out, sample("y_test", ELEMENT_I32, 1, (int64_t[]){2}));
  good(write_all(path_of("d.safetensors"), &out, &failure), &failure);
  assert_false(read_dataset(arena, path_of("d.safetensors"), NULL, &d, &failure));
  assert_non_null(strstr(failure.message, "the test part has 3 rows of 'x', but 2 of 'y'"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_npy_and_npz_round_trip),
      cmocka_unit_test(test_npz_by_numpy),
      cmocka_unit_test(test_bad_npy),
      cmocka_unit_test(test_bad_npz),
      cmocka_unit_test(test_idx),
      cmocka_unit_test(test_gzip),
      cmocka_unit_test(test_csv),
      cmocka_unit_test(test_bad_csv),
      cmocka_unit_test(test_csv_round_trip),
      cmocka_unit_test(test_conversions),
      cmocka_unit_test(test_digits),
      cmocka_unit_test(test_csv_labels),
      cmocka_unit_test(test_scikit_table),
      cmocka_unit_test(test_idx_folder),
      cmocka_unit_test(test_cifar_folder),
      cmocka_unit_test(test_named_arrays),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
