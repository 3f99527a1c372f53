/* text:FILE: windows that do not overlap, one after another, so that an epoch reads each character once. A character is a
 * byte: what is not ASCII becomes several, which a net learns as well. */
#include "command/train_text.h"

#include <string.h>

static void name_classes(Arena *arena, Dataset *dataset, const bool *occurs, int32_t *class_of) {
  dataset->class_names = NEW_ARRAY(arena, const char *, 256);
  for (int byte = 0; byte < 256; byte++) {
    if (!occurs[byte]) continue;
    class_of[byte] = dataset->class_count;
    /* Names go into metadata, one a line: blanks and what is not ASCII are written by number. */
    dataset->class_names[dataset->class_count++] =
        byte > ' ' && byte < 127 ? arena_format(arena, "%c", byte) : arena_format(arena, "\\x%02x", byte);
  }
}

bool read_text_dataset(Arena *arena, const char *path, int64_t length, Dataset *dataset, Failure *failure) {
  char *bytes;
  size_t count;
  if (!read_plain(arena, path, &bytes, &count, failure)) return false;
  int64_t rows = count > 0 ? ((int64_t)count - 1) / length : 0;
  if (rows == 0)
    return fail(failure, EXIT_INPUT, "%.300s: %zu characters are no window of %lld and the one behind it", path, count,
                (long long)length);
  bool occurs[256] = {false};
  int32_t class_of[256] = {0};
  for (size_t i = 0; i < count; i++) occurs[(unsigned char)bytes[i]] = true;
  *dataset = (Dataset){.path = path};
  name_classes(arena, dataset, occurs, class_of);
  Tensor x = tensor_new(arena, "x", ELEMENT_I32, 2, (int64_t[]){rows, length});
  Tensor y = tensor_new(arena, "y", ELEMENT_I32, 2, (int64_t[]){rows, length});
  for (int64_t i = 0; i < rows * length; i++) {
    ((int32_t *)x.data)[i] = class_of[(unsigned char)bytes[i]];
    ((int32_t *)y.data)[i] = class_of[(unsigned char)bytes[i + 1]];
  }
  tensors_add(arena, &dataset->train.columns, x);
  tensors_add(arena, &dataset->train.columns, y);
  dataset->train.rows = rows;
  return true;
}
