/* safetensors, in the order given; the header ends in spaces so that the elements start at a multiple of 8. */
#include "command/picture.h"

#include <inttypes.h>
#include <string.h>

enum { HEADER_ALIGN = 8 };

static void add_string(Text *out, const char *text) {
  text_add(out, "\"");
  for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
    if (*at == '"' || *at == '\\')
      text_add(out, "\\%c", *at);
    else if (*at < 32)
      text_add(out, "\\u%04x", *at);
    else
      text_add_bytes(out, (const char *)at, 1);
  }
  text_add(out, "\"");
}

static int64_t bytes_of(const Tensor *tensor) { return tensor_count(tensor) * element_bytes(tensor->type); }

static void add_header(Text *out, const Tensors *tensors) {
  text_add(out, "{");
  if (tensors->metadata.count) {
    text_add(out, "\"__metadata__\":{");
    for (int i = 0; i < tensors->metadata.count; i++) {
      if (i) text_add(out, ",");
      add_string(out, tensors->metadata.items[i].key);
      text_add(out, ":");
      add_string(out, tensors->metadata.items[i].value);
    }
    text_add(out, "}");
  }
  int64_t offset = 0;
  for (int i = 0; i < tensors->list.count; i++) {
    const Tensor *tensor = &tensors->list.items[i];
    if (i || tensors->metadata.count) text_add(out, ",");
    add_string(out, tensor->name);
    text_add(out, ":{\"dtype\":\"%s\",\"shape\":[", element_safetensors(tensor->type));
    for (int d = 0; d < tensor->rank; d++) text_add(out, "%s%" PRId64, d ? "," : "", tensor->size[d]);
    int64_t end = offset + bytes_of(tensor);
    text_add(out, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", offset, end);
    offset = end;
  }
  text_add(out, "}");
  while (out->length % HEADER_ALIGN) text_add(out, " ");
}

bool write_safetensors(const char *path, const Tensors *tensors, Failure *failure) {
  for (int i = 0; i < tensors->list.count; i++)
    if (!tensors->list.items[i].name || !strcmp(tensors->list.items[i].name, "__metadata__"))
      return fail(failure, EXIT_INPUT, "%.600s: tensor %d has no name that safetensors can keep", path, i);
  Text out = {0}, header = {0};
  add_header(&header, tensors);
  char length[8];
  for (int i = 0; i < 8; i++) length[i] = (char)((uint64_t)header.length >> 8 * i & 255);
  text_add_bytes(&out, length, sizeof length);
  text_add_bytes(&out, header.bytes, header.length);
  text_free(&header);
  for (int i = 0; i < tensors->list.count; i++) {
    const Tensor *tensor = &tensors->list.items[i];
    text_add_bytes(&out, tensor->data, (size_t)bytes_of(tensor));
  }
  bool good = write_file(path, out.bytes, out.length, failure);
  text_free(&out);
  return good;
}

bool write_all(const char *path, const Tensors *tensors, Failure *failure) {
  if (text_ends(path, ".npz")) return write_npz(path, tensors, failure);
  if (text_ends(path, ".safetensors")) return write_safetensors(path, tensors, failure);
  if (text_ends(path, ".csv")) return write_csv(path, tensors, failure);
  if (text_ends(path, ".png")) return write_png(path, tensors, failure);
  if (!text_ends(path, ".npy"))
    return fail(failure, EXIT_INPUT, "%.600s: the name should end in .npz, .npy, .safetensors, .csv or .png", path);
  if (tensors->list.count != 1)
    return fail(failure, EXIT_INPUT, "%.600s: an npy holds one array, and there are %d; write .npz", path,
                tensors->list.count);
  return write_npy(path, &tensors->list.items[0], failure);
}
