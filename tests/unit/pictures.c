/* Pictures: PNGs of every depth and kind as libpng writes them, PGM and PPM, channels, sheets, PNG as a result, a folder of
 * pictures by class; and what is cut off, changed or claims too much. */
#include "command/dataset.h"
#include "command/picture.h"
#include "tests/unit/folder.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

static void save(const char *name, const void *bytes, size_t length) {
  Failure failure = {0};
  if (!write_file(path_of(name), bytes, length, &failure)) fail_msg("%s", failure.message);
}

static void append(png_structp png, png_bytep bytes, png_size_t length) {
  text_add_bytes(png_get_io_ptr(png), (const char *)bytes, length);
}

/* A PNG of any kind: rows are packed as the kind wants them. */
static Text make_png(int width, int height, int depth, int kind, int interlaced, const void *const *rows) {
  static const png_color palette[] = {{0, 0, 0}, {255, 0, 0}, {0, 128, 255}};
  Text out = {0};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
  png_infop info = png_create_info_struct(png);
  assert_false(setjmp(png_jmpbuf(png)));
  png_set_write_fn(png, &out, append, NULL);
  png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, depth, kind, interlaced, 0, 0);
  if (kind == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(png, info, palette, COUNT_OF(palette));
  png_set_rows(png, info, (png_bytepp)(uintptr_t)rows);
  png_write_png(png, info, 0, NULL);
  png_destroy_write_struct(&png, &info);
  return out;
}

static void reads_as(Text file, int channels, int height, int width, const uint8_t *planes) {
  Failure failure = {0};
  Tensor picture;
  if (!parse_png(arena, "file", file.bytes, file.length, &picture, &failure)) fail_msg("%s", failure.message);
  assert_true(picture.type == ELEMENT_U8 && picture.rank == 3);
  assert_true(picture.size[0] == channels && picture.size[1] == height && picture.size[2] == width);
  assert_memory_equal(picture.data, planes, (size_t)channels * (size_t)height * (size_t)width);
  text_free(&file);
}

static void every_kind_of_png(void **state) {
  (void)state;
  reads_as(make_png(3, 2, 8, PNG_COLOR_TYPE_GRAY, 0, (const void *[]){"\1\2\3", "\xff\x80\0"}), 1, 2, 3,
           (const uint8_t *)"\1\2\3\xff\x80\0");
  reads_as(make_png(3, 2, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_ADAM7, (const void *[]){"\1\2\3", "\xff\x80\0"}), 1, 2, 3,
           (const uint8_t *)"\1\2\3\xff\x80\0");
  reads_as(make_png(3, 1, 1, PNG_COLOR_TYPE_GRAY, 0, (const void *[]){"\xa0"}), 1, 1, 3, (const uint8_t *)"\xff\0\xff");
  reads_as(make_png(2, 1, 4, PNG_COLOR_TYPE_GRAY, 0, (const void *[]){"\x1f"}), 1, 1, 2, (const uint8_t *)"\x11\xff");
  reads_as(make_png(2, 1, 16, PNG_COLOR_TYPE_GRAY, 0, (const void *[]){"\x40\x40\xc0\xc0"}), 1, 1, 2,
           (const uint8_t *)"\x40\xc0");
  reads_as(make_png(2, 1, 8, PNG_COLOR_TYPE_RGB, 0, (const void *[]){"abcdef"}), 3, 1, 2, (const uint8_t *)"adbecf");
  reads_as(make_png(2, 1, 8, PNG_COLOR_TYPE_RGB_ALPHA, 0, (const void *[]){"abc\xff\144ef\x7f"}), 4, 1, 2,
           (const uint8_t *)"a\144becf\xff\x7f");
  reads_as(make_png(1, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, 0, (const void *[]){"\x40\x80"}), 2, 1, 1,
           (const uint8_t *)"\x40\x80");
  reads_as(make_png(3, 1, 2, PNG_COLOR_TYPE_PALETTE, 0, (const void *[]){"\x18"}), 3, 1, 3,
           (const uint8_t *)"\0\xff\0\0\0\x80\0\0\xff");
}

static void refuse(bool (*parse)(Arena *, const char *, char *, size_t, Tensor *, Failure *), const void *bytes,
                   size_t length, const char *part) {
  Failure failure = {0};
  Tensor tensor;
  Arena *scratch = arena_new();
  char *copy = malloc(length + 1);
  if (!copy) abort();
  memcpy(copy, bytes, length);
  copy[length] = 0;
  if (parse(scratch, "file", copy, length, &tensor, &failure)) {
    if (part) fail_msg("taken, though it should be refused: %s", part);
  } else if (failure.code != EXIT_INPUT || (part && !strstr(failure.message, part))) {
    fail_msg("\"%s\" (code %d) lacks \"%s\"", failure.message, failure.code, part ? part : "");
  }
  free(copy);
  arena_free(scratch);
}

static void bad_png(void **state) {
  (void)state;
  Text file = make_png(3, 2, 8, PNG_COLOR_TYPE_GRAY, 0, (const void *[]){"\1\2\3", "\xff\x80\0"});
  for (size_t cut = 0; cut + 12 < file.length; cut++) refuse(parse_png, file.bytes, cut, "file: ");
  for (size_t at = 0; at < file.length; at++)
    for (int change = 1; change < 256; change += 51) {
      file.bytes[at] = (char)(file.bytes[at] ^ change);
      refuse(parse_png, file.bytes, file.length, NULL);
      file.bytes[at] = (char)(file.bytes[at] ^ change);
    }
  /* A header of 60,000 by 60,000 pixels, its checksum right, before the same data. */
  memcpy(file.bytes + 16, "\0\0\xea\x60\0\0\xea\x60\x08\0\0\0\0", 13);
  uint32_t sum = 0xffffffff;
  for (int i = 12; i < 29; i++) {
    sum ^= (unsigned char)file.bytes[i];
    for (int bit = 0; bit < 8; bit++) sum = sum >> 1 ^ (sum & 1 ? 0xedb88320 : 0);
  }
  for (int i = 0; i < 4; i++) file.bytes[29 + i] = (char)(~sum >> (24 - 8 * i));
  refuse(parse_png, file.bytes, file.length, "60000 by 60000 pixels are claimed");
  text_free(&file);
}

static void pnm_reads_as(const char *file, size_t length, int channels, int height, int width, const void *planes) {
  Failure failure = {0};
  Tensor picture;
  char *copy = arena_copy(arena, file, length);
  if (!parse_pnm(arena, "file", copy, length, &picture, &failure)) fail_msg("%s", failure.message);
  assert_true(picture.size[0] == channels && picture.size[1] == height && picture.size[2] == width);
  assert_memory_equal(picture.data, planes, (size_t)channels * (size_t)height * (size_t)width);
  for (size_t cut = 0; cut < length - 1; cut++) refuse(parse_pnm, file, cut, "file: byte");
}

#define BYTES(text) text, sizeof text - 1

static void pgm_and_ppm(void **state) {
  (void)state;
  pnm_reads_as(BYTES("P5 3 1 255\nabc"), 1, 1, 3, "abc");
  pnm_reads_as(BYTES("P6\n# made by hand\n2 1\n255\nabcdef"), 3, 1, 2, "adbecf");
  pnm_reads_as(BYTES("P5 2 1 1000\n\3\xe8\0\x64"), 1, 1, 2, "\xff\x1a");
  pnm_reads_as(BYTES("P2 3 1 15 0 15 # last\n 7"), 1, 1, 3, "\0\xff\x77");
  pnm_reads_as(BYTES("P3 1 1 255\n1 2 3"), 3, 1, 1, "\1\2\3");
  refuse(parse_pnm, BYTES("P7 1 1 255\na"), "P2, P3, P5 or P6");
  refuse(parse_pnm, BYTES("P5 99999999999 1 255\na"), "too large");
  refuse(parse_pnm, BYTES("P5 60000 60000 255\na"), "60000 by 60000 pixels want 3600000000 bytes, but 1 are left");
  refuse(parse_pnm, BYTES("P5 1 1 255\nab"), "want 1 bytes, but 2");
  refuse(parse_pnm, BYTES("P5 0 1 255\n"), "1 or more");
  refuse(parse_pnm, BYTES("P5 1 1 10\n\x0b"), "beyond the largest");
  refuse(parse_pnm, BYTES("P2 1 1 10 11"), "too large");
  refuse(parse_pnm, BYTES("P5 1 x"), "byte 5: a number is wanted");
}

static void channels_are_changed(void **state) {
  (void)state;
  Tensor color = {"x", ELEMENT_U8, 3, {3, 1, 2}, (uint8_t[]){255, 10, 0, 201, 0, 30}};
  assert_memory_equal(picture_channels(arena, &color, 1).data, ((uint8_t[]){76, 124}), 2);
  assert_memory_equal(picture_channels(arena, &color, 4).data, ((uint8_t[]){255, 10, 0, 201, 0, 30, 255, 255}), 8);
  Tensor gray = {"x", ELEMENT_U8, 3, {2, 1, 2}, (uint8_t[]){5, 6, 100, 200}};
  assert_memory_equal(picture_channels(arena, &gray, 1).data, ((uint8_t[]){5, 6}), 2);
  assert_memory_equal(picture_channels(arena, &gray, 3).data, ((uint8_t[]){5, 6, 5, 6, 5, 6}), 6);
  assert_memory_equal(picture_channels(arena, &gray, 4).data, ((uint8_t[]){5, 6, 5, 6, 5, 6, 100, 200}), 8);
}

static void tensors_become_pixels(void **state) {
  (void)state;
  Pixels pixels;
  Tensor floats = {"x", ELEMENT_F32, 2, {1, 4}, (float[]){-1, 0.5f, 2, __builtin_nanf("")}};
  assert_true(pixels_of(arena, &floats, &pixels));
  assert_true(pixels.channels == 1 && pixels.height == 1 && pixels.width == 4);
  assert_memory_equal(pixels.bytes, "\0\x80\xff\0", 4);
  Tensor color = {"x", ELEMENT_I32, 3, {3, 1, 2}, (int32_t[]){1, 2, 3, 4, 300, -7}};
  assert_true(pixels_of(arena, &color, &pixels) && pixels.channels == 3);
  assert_memory_equal(pixels.bytes, "\1\3\xff\2\4\0", 6);
  /* five pictures of one pixel: three columns, two rows, gaps of two between them */
  Tensor sheet = {"x", ELEMENT_U8, 4, {5, 1, 1, 1}, "\1\2\3\4\5"};
  assert_true(pixels_of(arena, &sheet, &pixels) && pixels.height == 4 && pixels.width == 7);
  assert_memory_equal(pixels.bytes, "\1\x80\x80\2\x80\x80\3", 7);
  assert_memory_equal(pixels.bytes + 21, "\4\x80\x80\5\x80\x80\x80", 7);
  Tensor pair = {"x", ELEMENT_U8, 3, {2, 1, 1}, "\1\2"}; /* two channels are none: two gray pictures */
  assert_true(pixels_of(arena, &pair, &pixels) && pixels.channels == 1 && pixels.width == 4);
  Tensor vector = {"x", ELEMENT_U8, 1, {2}, "\1\2"}, two = {"x", ELEMENT_U8, 4, {1, 2, 1, 1}, "\1\2"};
  assert_false(pixels_of(arena, &vector, &pixels) || pixels_of(arena, &two, &pixels));
}

static void results_are_written(void **state) {
  (void)state;
  Failure failure = {0};
  Tensors results = {0};
  tensors_add(arena, &results, (Tensor){"p", ELEMENT_F32, 1, {2}, (float[]){0, 1}});
  assert_false(write_all(path_of("out.png"), &results, &failure));
  assert_non_null(strstr(failure.message, "no result is a picture"));
  failure = (Failure){0};
  tensors_add(arena, &results, (Tensor){"y", ELEMENT_F32, 3, {4, 1, 1}, (float[]){0, 0.2f, 0.4f, 0.6f}});
  Tensor back;
  if (!write_all(path_of("out.png"), &results, &failure) || !read_any(arena, path_of("out.png"), &back, &failure))
    fail_msg("%s", failure.message);
  assert_true(back.size[0] == 4);
  assert_memory_equal(back.data, "\0\x33\x66\x99", 4);
  tensors_add(arena, &results, (Tensor){"z", ELEMENT_F32, 2, {1, 1}, (float[]){0}});
  assert_false(write_all(path_of("out.png"), &results, &failure));
  assert_non_null(strstr(failure.message, "both 'y' and 'z'"));
}

static void refuses_folder(const char *name, const char *part) {
  Dataset data;
  Failure failure = {0};
  assert_false(read_dataset(arena, path_of(name), NULL, &data, &failure));
  if (!strstr(failure.message, part)) fail_msg("\"%s\" lacks \"%s\"", failure.message, part);
}

static void folders_are_classes(void **state) {
  (void)state;
  static const char *const folders[] = {"pets",           "pets/train", "pets/train/dog",
                                        "pets/train/cat", "pets/test",  "pets/test/cat"};
  for (int k = 0; k < COUNT_OF(folders); k++) mkdir(path_of(folders[k]), 0777);
  save("pets/train/dog/1.ppm", BYTES("P6 2 1 255\nabcdef"));
  save("pets/train/dog/note.txt", BYTES("a note"));
  save("pets/train/cat/b.pgm", BYTES("P5 2 1 255\nxy"));
  save("pets/train/cat/a.pgm", BYTES("P5 2 1 255\nvw"));
  save("pets/test/cat/c.pgm", BYTES("P5 2 1 255\nzz"));
  Dataset data;
  Failure failure = {0};
  if (!read_dataset(arena, path_of("pets"), NULL, &data, &failure)) fail_msg("%s", failure.message);
  assert_true(data.class_count == 2 && data.train.rows == 3 && data.test.rows == 1);
  assert_string_equal(data.class_names[0], "cat");
  assert_string_equal(data.class_names[1], "dog");
  const Tensor *x = tensors_find(&data.train.columns, "x"), *y = tensors_find(&data.train.columns, "y");
  assert_true(x->rank == 4 && x->size[0] == 3 && x->size[1] == 3 && x->size[2] == 1 && x->size[3] == 2);
  assert_memory_equal(x->data, "vwvwvwxyxyxyadbecf", 18);
  assert_memory_equal(y->data, ((int32_t[]){0, 0, 1}), 12);
  if (!read_dataset(arena, path_of("pets/train"), NULL, &data, &failure)) fail_msg("%s", failure.message);
  assert_true(data.train.rows == 3 && data.test.rows == 0);
  mkdir(path_of("pets/test/cow"), 0777);
  refuses_folder("pets", "has a class 'cow'");
  save("pets/train/dog/2.ppm", BYTES("P6 1 2 255\nabcdef"));
  refuses_folder("pets/train", "dog/2.ppm is 1 pixels wide and 2 high, but ");
  save("pets/train/dog/2.ppm", BYTES("P6 1 2 255\nabcde"));
  refuses_folder("pets/train", "dog/2.ppm: byte 11: ");
  refuses_folder("pets/test/cat", "nor folders of pictures");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_kind_of_png),     cmocka_unit_test(bad_png),
      cmocka_unit_test(pgm_and_ppm),           cmocka_unit_test(channels_are_changed),
      cmocka_unit_test(tensors_become_pixels), cmocka_unit_test(results_are_written),
      cmocka_unit_test(folders_are_classes),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
