/* PNG by libpng's simplified interface, which knows every depth, palette and interlacing, checks each checksum and returns
 * its faults. What a header claims is compared with the bytes that are there before memory is asked for. */
#include "command/picture.h"

#include <png.h>
#include <string.h>

static bool png_fault(const char *name, png_image *image, Failure *failure) {
  fail(failure, EXIT_INPUT, "%.600s: this PNG cannot be read: %.64s", name, image->message);
  png_image_free(image);
  return false;
}

bool parse_png(Arena *arena, const char *name, char *bytes, size_t length, Tensor *tensor, Failure *failure) {
  png_image image = {.version = PNG_IMAGE_VERSION};
  if (!png_image_begin_read_from_memory(&image, bytes, length)) return png_fault(name, &image, failure);
  int64_t channels = (image.format & PNG_FORMAT_FLAG_COLOR ? 3 : 1) + (image.format & PNG_FORMAT_FLAG_ALPHA ? 1 : 0);
  int64_t height = image.height, width = image.width, count, all;
  image.format &= PNG_FORMAT_FLAG_COLOR | PNG_FORMAT_FLAG_ALPHA; /* as bytes, without a palette */
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;                      /* 16 bits are not taken for linear light */
  if (!shape_bytes(ELEMENT_U8, 3, (int64_t[]){channels, height, width}, &count, &all) ||
      !inflate_allowed((uint64_t)all, length)) {
    png_image_free(&image);
    return fail(failure, EXIT_INPUT, "%.600s: %lld by %lld pixels are claimed by %zu bytes", name, (long long)width,
                (long long)height, length);
  }
  Arena *scratch = arena_new();
  uint8_t *pixels = arena_alloc(scratch, (size_t)all);
  bool good = png_image_finish_read(&image, NULL, pixels, 0, NULL) || png_fault(name, &image, failure);
  if (good) {
    *tensor = tensor_new(arena, name, ELEMENT_U8, 3, (int64_t[]){channels, height, width});
    uint8_t *to = tensor->data;
    for (int64_t c = 0; c < channels; c++)
      for (int64_t i = 0; i < height * width; i++) *to++ = pixels[i * channels + c];
  }
  arena_free(scratch);
  return good;
}
