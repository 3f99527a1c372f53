/* npy, NumPy's format for one array.
 *
 *     \x93NUMPY  major  minor  header length (2 bytes, from version 2 on 4)  header  elements
 *
 * The header is a Python dict of three entries, padded with spaces:
 *
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
 *
 * Only that much of Python is read. What comes out is in C order and in the machine's byte order. */
#include "command/tensor.h"

#include <string.h>

typedef struct Header {
  const char *name;
  const char *bytes; /* the whole file */
  size_t at, end;    /* what is left of the header */
  ElementType type;
  bool swapped, fortran;
  bool has_descr, has_order, has_shape;
  int rank;
  int64_t size[MAX_TENSOR_RANK];
  Failure *failure;
} Header;

static bool header_fault(Header *h, const char *wrong) {
  return fail(h->failure, EXIT_INPUT, "%.600s: byte %zu: %s", h->name, h->at, wrong);
}

static void skip_space(Header *h) {
  while (h->at < h->end && (h->bytes[h->at] == ' ' || h->bytes[h->at] == '\n')) h->at++;
}

static bool accept(Header *h, char wanted) {
  skip_space(h);
  if (h->at == h->end || h->bytes[h->at] != wanted) return false;
  h->at++;
  return true;
}

/* A quoted string of Python without escapes, into a small buffer. */
static bool string(Header *h, char *out, size_t room) {
  skip_space(h);
  char quote = h->at < h->end ? h->bytes[h->at] : 0;
  if (quote != '\'' && quote != '"') return header_fault(h, "a quoted string should stand here");
  size_t length = 0;
  for (h->at++; h->at < h->end && h->bytes[h->at] != quote; h->at++) {
    if (length + 1 == room || h->bytes[h->at] == '\\') return header_fault(h, "this string is too long or has an escape");
    out[length++] = h->bytes[h->at];
  }
  if (h->at == h->end) return header_fault(h, "the header ends within a string");
  h->at++;
  out[length] = 0;
  return true;
}

static bool descr(Header *h) {
  size_t start = h->at;
  char code[16];
  if (accept(h, '[')) return h->at = start, header_fault(h, "records of several fields are not read; save plain arrays");
  if (!string(h, code, sizeof code)) return false;
  h->at = start;
  if (code[0] && code[1] == 'O')
    return header_fault(h, "an array of Python objects is not read (loading it would run code); save numbers");
  char order = code[0];
  if (order != '<' && order != '>' && order != '|' && order != '=') return header_fault(h, "dtype without a byte order");
  h->swapped = order == '>';
  for (int type = 0; type < ELEMENT_TYPE_COUNT; type++) {
    const char *npy = element_npy((ElementType)type);
    if (!npy || strcmp(npy + 1, code + 1)) continue;
    h->type = (ElementType)type;
    h->at += strlen(code) + 2;
    return h->has_descr = true;
  }
  return fail(h->failure, EXIT_INPUT,
              "%.600s: byte %zu: elements of dtype '%s' are not read; f2, f4, f8, i1 to i8, u1 to u8 "
              "and b1 are",
              h->name, start, code);
}

static bool shape(Header *h) {
  if (!accept(h, '(')) return header_fault(h, "the shape should be a tuple: (3, 4)");
  while (!accept(h, ')')) {
    if (h->rank == MAX_TENSOR_RANK) return header_fault(h, "more than 8 dimensions are not read");
    skip_space(h);
    size_t start = h->at;
    int64_t size = 0;
    for (; h->at < h->end && h->bytes[h->at] >= '0' && h->bytes[h->at] <= '9'; h->at++)
      if (!multiply_checked(size, 10, &size) || !add_checked(size, h->bytes[h->at] - '0', &size))
        return header_fault(h, "this size does not fit 63 bits");
    if (h->at == start) return header_fault(h, "a size should stand here: 0 or a positive integer");
    h->size[h->rank++] = size;
    if (accept(h, ',')) continue;
    if (!accept(h, ')')) return header_fault(h, "',' or ')' should follow a size");
    break;
  }
  return h->has_shape = true;
}

static bool order(Header *h) {
  skip_space(h);
  const char *at = h->bytes + h->at;
  size_t left = h->end - h->at;
  h->fortran = left >= 4 && !memcmp(at, "True", 4);
  if (!h->fortran && (left < 5 || memcmp(at, "False", 5))) return header_fault(h, "fortran_order should be True or False");
  h->at += h->fortran ? 4 : 5;
  return h->has_order = true;
}

static bool dictionary(Header *h) {
  if (!accept(h, '{')) return header_fault(h, "the header should start with '{'");
  while (!accept(h, '}')) {
    char key[32];
    skip_space(h);
    size_t start = h->at;
    if (!string(h, key, sizeof key)) return false;
    bool is_descr = !strcmp(key, "descr"), is_order = !strcmp(key, "fortran_order"), is_shape = !strcmp(key, "shape");
    if (is_descr ? h->has_descr : is_order ? h->has_order : is_shape ? h->has_shape : true)
      return h->at = start, header_fault(h, "this key comes twice or is none of descr, fortran_order, shape");
    if (!accept(h, ':')) return header_fault(h, "':' should follow a key");
    skip_space(h);
    if (!(is_descr ? descr(h) : is_order ? order(h) : shape(h))) return false;
    if (accept(h, ',')) continue;
    if (!accept(h, '}')) return header_fault(h, "',' or '}' should follow a value");
    break;
  }
  if (!h->has_descr || !h->has_order || !h->has_shape)
    return header_fault(h, "the header lacks one of descr, fortran_order, shape");
  skip_space(h);
  return h->at == h->end || header_fault(h, "only spaces may follow the header's '}'");
}

/* Where the header is: sets at and end. */
static bool preamble(Header *h, size_t length) {
  const unsigned char *bytes = (const unsigned char *)h->bytes;
  if (length < 10 || memcmp(bytes, "\x93NUMPY", 6)) return header_fault(h, "a npy file starts with \\x93NUMPY");
  if (bytes[6] < 1 || bytes[6] > 3)
    return fail(h->failure, EXIT_INPUT, "%.600s: byte 6: version %d of npy is not known (1, 2 and 3 are)", h->name,
                bytes[6]);
  size_t start = bytes[6] == 1 ? 10 : 12, header = bytes[8] | (size_t)bytes[9] << 8;
  if (bytes[6] > 1 && length >= 12) header |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
  if (length < start || header > length - start)
    return fail(h->failure, EXIT_INPUT, "%.600s: byte 8: a header of %zu bytes is claimed, but the file has %zu in all",
                h->name, header, length);
  h->at = start;
  h->end = start + header;
  return true;
}

/* Fortran order has the first index fastest; ours has the last one. */
static void *transposed(Arena *arena, const Tensor *tensor, const char *from, int64_t count) {
  int bytes = element_bytes(tensor->type);
  char *to = arena_alloc(arena, (size_t)MAX(count, 1) * (size_t)bytes);
  int64_t stride[MAX_TENSOR_RANK], index[MAX_TENSOR_RANK] = {0}, at = 0, step = bytes;
  for (int d = 0; d < tensor->rank; d++) {
    stride[d] = step;
    step *= tensor->size[d];
  }
  for (int64_t i = 0; i < count; i++) {
    memcpy(to + i * bytes, from + at, (size_t)bytes);
    for (int d = tensor->rank - 1; d >= 0; d--) {
      at += stride[d];
      if (++index[d] < tensor->size[d]) break;
      at -= stride[d] * tensor->size[d];
      index[d] = 0;
    }
  }
  return to;
}

bool parse_npy(Arena *arena, const char *name, char *bytes, size_t length, Tensor *tensor, Failure *failure) {
  Header h = {.name = name, .bytes = bytes, .failure = failure};
  if (!preamble(&h, length) || !dictionary(&h)) return false;
  *tensor = (Tensor){.name = name, .type = h.type, .rank = h.rank};
  memcpy(tensor->size, h.size, sizeof h.size);
  int64_t count, data;
  size_t left = length - h.end;
  if (!shape_bytes(h.type, h.rank, h.size, &count, &data))
    return fail(failure, EXIT_INPUT, "%.600s: byte %zu: the product of the sizes %s does not fit 63 bits", name, h.end,
                tensor_shape(arena, tensor));
  if ((uint64_t)data != left)
    return fail(failure, EXIT_INPUT, "%.600s: byte %zu: %s of %s are %lld bytes, but %zu follow the header", name, h.end,
                tensor_shape(arena, tensor), element_name(h.type), (long long)data, left);
  if (h.fortran && h.rank > 1 && count)
    tensor->data = transposed(arena, tensor, bytes + h.end, count);
  else
    tensor->data = aligned_elements(arena, bytes + h.end, data, h.type);
  if (h.swapped) reverse_bytes(tensor->data, count, element_bytes(h.type));
  return true;
}

bool read_npy(Arena *arena, const char *path, Tensor *tensor, Failure *failure) {
  char *bytes;
  size_t length;
  return read_plain(arena, path, &bytes, &length, failure) && parse_npy(arena, path, bytes, length, tensor, failure);
}
