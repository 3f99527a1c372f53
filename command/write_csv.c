/* csv under one header line; numbers are the shortest that read back as the same f32 or f64. */
#include "command/tensor.h"

#include <inttypes.h>
#include <string.h>

static int64_t rows_of(const Tensor *tensor) { return tensor->rank ? tensor->size[0] : 1; }
static int64_t columns_of(const Tensor *tensor) { return tensor->rank == 2 ? tensor->size[1] : 1; }

static void add_name(Text *out, const Tensor *tensor, int64_t column) {
  const char *name = tensor->name ? tensor->name : "value";
  bool quoted = strpbrk(name, ",\"\n\r;\t #") != NULL;
  if (quoted) text_add(out, "\"");
  for (const char *at = name; *at; at++) {
    if (*at == '"') text_add(out, "\"");
    text_add_bytes(out, at, 1);
  }
  if (tensor->rank == 2) text_add(out, ".%" PRId64, column);
  if (quoted) text_add(out, "\"");
}

static void add_element(Text *out, const Tensor *tensor, int64_t index) {
  switch (tensor->type) {
  case ELEMENT_U64: text_add(out, "%" PRIu64, ((const uint64_t *)tensor->data)[index]); break;
  case ELEMENT_I64: text_add(out, "%" PRId64, ((const int64_t *)tensor->data)[index]); break;
  case ELEMENT_F16:
  case ELEMENT_BF16:
  case ELEMENT_F32: text_add_number(out, tensor_number(tensor, index), true); break;
  case ELEMENT_F64: text_add_number(out, tensor_number(tensor, index), false); break;
  default: text_add(out, "%.0f", tensor_number(tensor, index)); break;
  }
}

bool write_csv(const char *path, const Tensors *tensors, Failure *failure) {
  const Tensor *list = tensors->list.items;
  int count = tensors->list.count;
  if (count == 0) return fail(failure, EXIT_INPUT, "%.600s: there is nothing to write", path);
  for (int i = 0; i < count; i++) {
    const char *name = list[i].name ? list[i].name : "the array";
    if (list[i].rank > 2)
      return fail(failure, EXIT_INPUT, "%.500s: '%.200s' has rank %d, and a csv has rows and columns; write .npz", path,
                  name, list[i].rank);
    if (rows_of(&list[i]) != rows_of(&list[0]))
      return fail(failure, EXIT_INPUT, "%.400s: '%.100s' has %" PRId64 " rows, and '%.100s' %" PRId64 "; write .npz", path,
                  name, rows_of(&list[i]), list[0].name ? list[0].name : "the array", rows_of(&list[0]));
  }
  Text out = {0};
  for (int i = 0; i < count; i++)
    for (int64_t c = 0; c < columns_of(&list[i]); c++) {
      if (out.length) text_add(&out, ",");
      add_name(&out, &list[i], c);
    }
  text_add(&out, "\n");
  for (int64_t row = 0; row < rows_of(&list[0]); row++) {
    bool first = true;
    for (int i = 0; i < count; i++)
      for (int64_t c = 0; c < columns_of(&list[i]); c++) {
        if (!first) text_add(&out, ",");
        first = false;
        add_element(&out, &list[i], row * columns_of(&list[i]) + c);
      }
    text_add(&out, "\n");
  }
  bool good = write_file(path, out.bytes, out.length, failure);
  text_free(&out);
  return good;
}
