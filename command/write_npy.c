/* npy and npz, written so that equal tensors give equal bytes: version 1.0, the header padded to 64 bytes as NumPy pads it,
 * members stored, in the order given, dated 1980-01-01 (the earliest date of a zip). */
#include "command/tensor.h"

#include <string.h>
#include <zlib.h>

enum { NPY_ALIGN = 64, PREAMBLE_BYTES = 10, ZIP_DATE = 1 << 5 | 1, ZIP_VERSION = 20 };

static bool npy_text(const char *path, const Tensor *tensor, Text *out, Failure *failure) {
  const char *descr = element_npy(tensor->type);
  if (!descr)
    return fail(failure, EXIT_INPUT, "%.500s: npy has no dtype for '%.200s' of %s; write .safetensors", path,
                tensor->name ? tensor->name : "the array", element_name(tensor->type));
  Text header = {0};
  text_add(&header, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
  for (int d = 0; d < tensor->rank; d++)
    text_add(&header, "%lld%s", (long long)tensor->size[d], d + 1 < tensor->rank ? ", " : tensor->rank == 1 ? "," : "");
  text_add(&header, "), }");
  while ((PREAMBLE_BYTES + header.length + 1) % NPY_ALIGN) text_add(&header, " ");
  text_add(&header, "\n");
  char preamble[PREAMBLE_BYTES] = "\x93NUMPY\1\0";
  preamble[8] = (char)(header.length & 255);
  preamble[9] = (char)(header.length >> 8);
  text_add_bytes(out, preamble, sizeof preamble);
  text_add_bytes(out, header.bytes, header.length);
  text_add_bytes(out, tensor->data, (size_t)tensor_count(tensor) * (size_t)element_bytes(tensor->type));
  text_free(&header);
  return true;
}

bool write_npy(const char *path, const Tensor *tensor, Failure *failure) {
  Text out = {0};
  bool good = npy_text(path, tensor, &out, failure) && write_file(path, out.bytes, out.length, failure);
  text_free(&out);
  return good;
}

static void add_number(Text *out, uint64_t number, int bytes) {
  char little[8];
  for (int i = 0; i < bytes; i++) little[i] = (char)(number >> 8 * i & 255);
  text_add_bytes(out, little, (size_t)bytes);
}

/* What the local header and the directory's entry have in common. */
static void add_common(Text *out, uint32_t crc, size_t bytes, size_t name) {
  add_number(out, ZIP_VERSION, 2);
  add_number(out, 1u << 11, 2); /* the name is UTF-8 */
  add_number(out, 0, 2);        /* stored */
  add_number(out, 0, 2);        /* midnight */
  add_number(out, ZIP_DATE, 2);
  add_number(out, crc, 4);
  add_number(out, bytes, 4);
  add_number(out, bytes, 4);
  add_number(out, name, 2);
  add_number(out, 0, 2); /* no extra field */
}

static bool add_member(const char *path, const Tensor *tensor, Text *out, Text *directory, Failure *failure) {
  if (!tensor->name || !*tensor->name || strlen(tensor->name) > 60000)
    return fail(failure, EXIT_INPUT, "%.600s: an array without a name can't be a member of an npz", path);
  Text npy = {0}, name = {0};
  bool good = npy_text(path, tensor, &npy, failure);
  if (good && (npy.length > UINT32_MAX || out->length + npy.length > UINT32_MAX - 65536))
    good = fail(failure, EXIT_INPUT, "%.600s: more than 4 GB do not fit a plain zip; write .safetensors", path);
  if (good) {
    text_add(&name, "%s.npy", tensor->name);
    uint32_t crc = (uint32_t)crc32_z(0, (const Bytef *)npy.bytes, npy.length);
    add_number(directory, 0x02014b50, 4);
    add_number(directory, ZIP_VERSION, 2);
    add_common(directory, crc, npy.length, name.length);
    add_number(directory, 0, 2 + 2 + 2); /* no comment, disk 0, no internal attributes */
    add_number(directory, 0, 4);         /* no external attributes */
    add_number(directory, out->length, 4);
    text_add_bytes(directory, name.bytes, name.length);
    add_number(out, 0x04034b50, 4);
    add_common(out, crc, npy.length, name.length);
    text_add_bytes(out, name.bytes, name.length);
    text_add_bytes(out, npy.bytes, npy.length);
  }
  text_free(&npy);
  text_free(&name);
  return good;
}

bool write_npz(const char *path, const Tensors *tensors, Failure *failure) {
  Text out = {0}, directory = {0};
  bool good = tensors->list.count < 0xffff;
  if (!good) fail(failure, EXIT_INPUT, "%.600s: more than 65,534 arrays do not fit a plain zip; write .safetensors", path);
  for (int i = 0; good && i < tensors->list.count; i++)
    good = add_member(path, &tensors->list.items[i], &out, &directory, failure);
  if (good) {
    size_t start = out.length;
    text_add_bytes(&out, directory.bytes, directory.length);
    add_number(&out, 0x06054b50, 4);
    add_number(&out, 0, 4);
    add_number(&out, (uint64_t)tensors->list.count, 2);
    add_number(&out, (uint64_t)tensors->list.count, 2);
    add_number(&out, directory.length, 4);
    add_number(&out, start, 4);
    add_number(&out, 0, 2);
    good = write_file(path, out.bytes, out.length, failure);
  }
  text_free(&out);
  text_free(&directory);
  return good;
}
