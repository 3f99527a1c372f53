/* IDX, the format of MNIST.
 *
 *     0  0  type  rank  size[0] (4 bytes, big-endian) ... size[rank - 1]  elements (big-endian)
 */
#include "command/tensor.h"

#include <string.h>

static bool idx_type(unsigned code, ElementType *type) {
  switch (code) {
  case 0x08: return *type = ELEMENT_U8, true;
  case 0x09: return *type = ELEMENT_I8, true;
  case 0x0b: return *type = ELEMENT_I16, true;
  case 0x0c: return *type = ELEMENT_I32, true;
  case 0x0d: return *type = ELEMENT_F32, true;
  case 0x0e: return *type = ELEMENT_F64, true;
  default: return false;
  }
}

bool parse_idx(Arena *arena, const char *name, char *bytes, size_t length, Tensor *tensor, Failure *failure) {
  const unsigned char *header = (const unsigned char *)bytes;
  *tensor = (Tensor){.name = name};
  if (length < 4 || header[0] || header[1])
    return fail(failure, EXIT_INPUT, "%.600s: byte 0: an IDX file starts with two zero bytes, a type and a rank", name);
  if (!idx_type(header[2], &tensor->type))
    return fail(failure, EXIT_INPUT, "%.600s: byte 2: 0x%02x is no element type of IDX (8, 9, b, c, d, e)", name,
                header[2]);
  int rank = header[3];
  if (rank > MAX_TENSOR_RANK)
    return fail(failure, EXIT_INPUT, "%.600s: byte 3: rank %d is more than the %d that nnc reads", name, rank,
                MAX_TENSOR_RANK);
  size_t start = 4 + 4 * (size_t)rank;
  if (length < start)
    return fail(failure, EXIT_INPUT, "%.600s: byte %zu: the file ends within its header of %zu bytes", name, length, start);
  tensor->rank = rank;
  for (int d = 0; d < rank; d++) {
    const unsigned char *at = header + 4 + 4 * d;
    tensor->size[d] = (int64_t)at[0] << 24 | (int64_t)at[1] << 16 | (int64_t)at[2] << 8 | (int64_t)at[3];
  }
  int64_t count, data;
  bool fits = shape_bytes(tensor->type, rank, tensor->size, &count, &data);
  if (!fits || (uint64_t)data != length - start)
    return fail(failure, EXIT_INPUT, "%.600s: byte 4: the sizes %s of %s are %s%lld bytes, but %zu follow the header", name,
                tensor_shape(arena, tensor), element_name(tensor->type), fits ? "" : "more than ",
                fits ? (long long)data : (long long)INT64_MAX, length - start);
  tensor->data = aligned_elements(arena, bytes + start, data, tensor->type);
  reverse_bytes(tensor->data, count, element_bytes(tensor->type));
  return true;
}

bool read_idx(Arena *arena, const char *path, Tensor *tensor, Failure *failure) {
  char *bytes;
  size_t length;
  return read_plain(arena, path, &bytes, &length, failure) && parse_idx(arena, path, bytes, length, tensor, failure);
}
