/* Channels, sheets, and PNG as a result. */
#include "command/picture.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 2, GAP_LEVEL = 128 }; /* between the pictures of a sheet */

bool is_picture_name(const char *path) {
  static const char *const endings[] = {".png", ".ppm", ".pgm", ".pnm"};
  for (int k = 0; k < COUNT_OF(endings); k++) {
    char packed[8];
    snprintf(packed, sizeof packed, "%s.gz", endings[k]);
    if (text_ends(path, endings[k]) || text_ends(path, packed)) return true;
  }
  return false;
}

/* The weights of ITU-R BT.601, as most programs take them. */
static uint8_t brightness(const uint8_t *plane, int64_t pixel, int64_t pixels) {
  int red = plane[pixel], green = plane[pixel + pixels], blue = plane[pixel + 2 * pixels];
  return (uint8_t)((299 * red + 587 * green + 114 * blue + 500) / 1000);
}

Tensor picture_channels(Arena *arena, const Tensor *picture, int channels) {
  int had = (int)picture->size[0];
  if (had == channels) return *picture;
  int64_t pixels = picture->size[1] * picture->size[2];
  const uint8_t *from = picture->data;
  Tensor tensor =
      tensor_new(arena, picture->name, ELEMENT_U8, 3, (int64_t[]){channels, picture->size[1], picture->size[2]});
  uint8_t *to = tensor.data;
  for (int c = 0; c < channels; c++)
    for (int64_t i = 0; i < pixels; i++) {
      bool alpha = c == 3 || (c == 1 && channels == 2);
      if (alpha)
        *to++ = had % 2 == 0 ? from[(had - 1) * pixels + i] : 255;
      else if (had >= 3)
        *to++ = channels >= 3 ? from[c * pixels + i] : brightness(from, i, pixels);
      else
        *to++ = from[i];
    }
  return tensor;
}

/* ---- tensors as pixels ---- */

/* What the axes of a tensor mean: so many pictures of so many channels; false if it holds none. */
static bool picture_axes(const Tensor *tensor, int64_t *count, int64_t *channels) {
  const int64_t *size = tensor->size;
  *count = *channels = 1;
  if (tensor->rank < 2 || tensor->rank > 4 || tensor_count(tensor) == 0) return false;
  if (tensor->rank == 3 && (size[0] == 1 || size[0] == 3 || size[0] == 4))
    *channels = size[0];
  else if (tensor->rank == 3)
    *count = size[0];
  else if (tensor->rank == 4)
    *count = size[0], *channels = size[1];
  return *channels == 1 || *channels == 3 || *channels == 4;
}

static uint8_t level(const Tensor *tensor, int64_t index) {
  double number = tensor_number(tensor, index);
  bool unit = tensor->type == ELEMENT_BOOL || tensor->type == ELEMENT_F16 || tensor->type == ELEMENT_BF16 ||
              tensor->type == ELEMENT_F32 || tensor->type == ELEMENT_F64;
  double scaled = unit ? number * 255 : number;
  return scaled >= 255 ? 255 : scaled > 0 ? (uint8_t)lrint(scaled) : 0; /* NaN is 0 */
}

static void draw(const Tensor *tensor, int64_t picture, int64_t top, int64_t left, Pixels *to) {
  int64_t height = tensor->size[tensor->rank - 2], width = tensor->size[tensor->rank - 1];
  for (int64_t c = 0; c < to->channels; c++)
    for (int64_t y = 0; y < height; y++)
      for (int64_t x = 0; x < width; x++)
        to->bytes[((top + y) * to->width + left + x) * to->channels + c] =
            level(tensor, ((picture * to->channels + c) * height + y) * width + x);
}

bool pixels_of(Arena *arena, const Tensor *tensor, Pixels *pixels) {
  int64_t count, channels, bytes;
  if (!picture_axes(tensor, &count, &channels)) return false;
  int64_t height = tensor->size[tensor->rank - 2], width = tensor->size[tensor->rank - 1], columns = 1;
  while (columns * columns * width < count * height) columns++; /* so that the sheet is about as wide as high */
  columns = MIN(columns, count);
  int64_t rows = (count + columns - 1) / columns;
  int64_t size[] = {rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels};
  if (size[0] > INT32_MAX || size[1] > INT32_MAX || !shape_bytes(ELEMENT_U8, 3, size, &bytes, &bytes)) return false;
  *pixels = (Pixels){(int)channels, (int)size[0], (int)size[1], arena_alloc(arena, (size_t)bytes)};
  memset(pixels->bytes, GAP_LEVEL, (size_t)bytes);
  for (int64_t k = 0; k < count; k++) draw(tensor, k, k / columns * (height + GAP), k % columns * (width + GAP), pixels);
  return true;
}

/* ---- PNG ---- */

bool encode_png(const Pixels *pixels, const char *name, Text *out, Failure *failure) {
  png_image image = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)pixels->width,
                     .height = (png_uint_32)pixels->height,
                     .format = pixels->channels == 1   ? PNG_FORMAT_GRAY
                               : pixels->channels == 3 ? PNG_FORMAT_RGB
                                                       : PNG_FORMAT_RGBA};
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
  char *buffer = malloc(bytes);
  bool good = buffer && png_image_write_to_memory(&image, buffer, &bytes, 0, pixels->bytes, 0, NULL);
  if (good)
    text_add_bytes(out, buffer, bytes);
  else
    fail(failure, EXIT_ENVIRONMENT, "%.600s: cannot make this PNG: %.64s", name, buffer ? image.message : "no memory");
  free(buffer);
  png_image_free(&image);
  return good;
}

bool write_png(const char *path, const Tensors *tensors, Failure *failure) {
  const Tensor *found = NULL;
  for (int i = 0; i < tensors->list.count; i++) {
    const Tensor *tensor = &tensors->list.items[i];
    int64_t count, channels;
    if (!picture_axes(tensor, &count, &channels)) continue;
    if (found)
      return fail(failure, EXIT_INPUT, "%.400s: both '%.100s' and '%.100s' could be the picture; write .npz", path,
                  found->name, tensor->name);
    found = tensor;
  }
  if (!found)
    return fail(failure, EXIT_INPUT, "%.500s: no result is a picture, [H, W], [C, H, W] or [N, C, H, W] with C 1, 3 or 4",
                path);
  Arena *arena = arena_new();
  Pixels pixels;
  Text out = {0};
  bool good = pixels_of(arena, found, &pixels) || fail(failure, EXIT_INPUT, "%.500s: the picture is too large", path);
  good = good && encode_png(&pixels, path, &out, failure) && write_file(path, out.bytes, out.length, failure);
  text_free(&out);
  arena_free(arena);
  return good;
}
