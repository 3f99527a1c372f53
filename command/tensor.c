/* Tensors and lists of them: what an element type is, conversions that lose nothing silently, look-up by name. */
#include "command/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct ElementRow {
  const char *name;
  int bytes;
  const char *npy, *safetensors;
} ElementRow;

#define ELEMENT_ROW(id, name, bytes, npy, safetensors) [id] = {name, bytes, npy, safetensors},
static const ElementRow element_rows[ELEMENT_TYPE_COUNT] = {ELEMENT_TYPES(ELEMENT_ROW)};
#undef ELEMENT_ROW

const char *element_name(ElementType type) { return element_rows[type].name; }
int element_bytes(ElementType type) { return element_rows[type].bytes; }
const char *element_npy(ElementType type) { return element_rows[type].npy; }
const char *element_safetensors(ElementType type) { return element_rows[type].safetensors; }

bool shape_bytes(ElementType type, int rank, const int64_t *size, int64_t *count, int64_t *bytes) {
  *count = 1;
  bool empty = false, fits = true;
  for (int d = 0; d < rank; d++) {
    if (size[d] < 0) return false;
    if (size[d] == 0) empty = true;
    /* An empty array may claim any other sizes: their product is not looked at. */
    else if (fits)
      fits = multiply_checked(*count, size[d], count);
  }
  if (empty) {
    *count = *bytes = 0;
    return true;
  }
  return fits && multiply_checked(*count, element_bytes(type), bytes);
}

int64_t tensor_count(const Tensor *tensor) {
  int64_t count, bytes;
  CHECK(shape_bytes(tensor->type, tensor->rank, tensor->size, &count, &bytes));
  return count;
}

Tensor tensor_new(Arena *arena, const char *name, ElementType type, int rank, const int64_t *size) {
  CHECK(rank >= 0 && rank <= MAX_TENSOR_RANK);
  Tensor tensor = {.name = name, .type = type, .rank = rank};
  for (int d = 0; d < rank; d++) tensor.size[d] = size[d];
  int64_t count, bytes;
  CHECK(shape_bytes(type, rank, size, &count, &bytes));
  tensor.data = arena_alloc(arena, (size_t)MAX(bytes, 1));
  return tensor;
}

char *tensor_shape(Arena *arena, const Tensor *tensor) {
  Text text = {0};
  text_add(&text, "[");
  for (int d = 0; d < tensor->rank; d++) text_add(&text, "%s%lld", d ? ", " : "", (long long)tensor->size[d]);
  text_add(&text, "]");
  char *shape = arena_copy(arena, text.bytes, text.length + 1);
  text_free(&text);
  return shape;
}

static double half_number(uint16_t half) {
  int exponent = half >> 10 & 31, fraction = half & 1023;
  double size = exponent == 31  ? (fraction ? (double)NAN : (double)INFINITY)
                : exponent == 0 ? ldexp(fraction, -24)
                                : ldexp(1024 + fraction, exponent - 25);
  return half >> 15 ? -size : size;
}

static double bfloat_number(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float number;
  memcpy(&number, &bits, sizeof number);
  return number;
}

double tensor_number(const Tensor *tensor, int64_t index) {
  const void *data = tensor->data;
  switch (tensor->type) {
  case ELEMENT_BOOL: return ((const uint8_t *)data)[index] != 0;
  case ELEMENT_U8: return ((const uint8_t *)data)[index];
  case ELEMENT_I8: return ((const int8_t *)data)[index];
  case ELEMENT_U16: return ((const uint16_t *)data)[index];
  case ELEMENT_I16: return ((const int16_t *)data)[index];
  case ELEMENT_U32: return ((const uint32_t *)data)[index];
  case ELEMENT_I32: return ((const int32_t *)data)[index];
  case ELEMENT_U64: return (double)((const uint64_t *)data)[index];
  case ELEMENT_I64: return (double)((const int64_t *)data)[index];
  case ELEMENT_F16: return half_number(((const uint16_t *)data)[index]);
  case ELEMENT_BF16: return bfloat_number(((const uint16_t *)data)[index]);
  case ELEMENT_F32: return ((const float *)data)[index];
  case ELEMENT_F64: return ((const double *)data)[index];
  case ELEMENT_TYPE_COUNT: break;
  }
  bug("element type %d", (int)tensor->type);
}

/* "y[3, 4] is 0.5, ..." */
static bool bad_element(const Tensor *tensor, int64_t index, double number, const char *wrong, Failure *failure) {
  Text place = {0};
  text_add(&place, "%s", tensor->name ? tensor->name : "the array");
  int64_t within[MAX_TENSOR_RANK] = {0}, rest = index;
  for (int d = tensor->rank - 1; d >= 0; d--) {
    within[d] = rest % tensor->size[d];
    rest /= tensor->size[d];
  }
  for (int d = 0; d < tensor->rank; d++)
    text_add(&place, "%s%lld%s", d ? ", " : "[", (long long)within[d], d + 1 < tensor->rank ? "" : "]");
  fail(failure, EXIT_INPUT, "%.600s is %.17g, %s", place.bytes, number, wrong);
  text_free(&place);
  return false;
}

bool tensor_floats(Arena *arena, const Tensor *tensor, float **floats, Failure *failure) {
  *floats = tensor->data;
  if (tensor->type == ELEMENT_F32) return true;
  int64_t count = tensor_count(tensor);
  *floats = NEW_ARRAY(arena, float, MAX(count, 1));
  for (int64_t i = 0; i < count; i++) {
    double number = tensor_number(tensor, i);
    (*floats)[i] = (float)number;
    if (isfinite(number) && !isfinite((*floats)[i])) return bad_element(tensor, i, number, "too large for f32", failure);
  }
  return true;
}

bool tensor_ints(Arena *arena, const Tensor *tensor, int32_t **ints, Failure *failure) {
  *ints = tensor->data;
  if (tensor->type == ELEMENT_I32) return true;
  int64_t count = tensor_count(tensor);
  *ints = NEW_ARRAY(arena, int32_t, MAX(count, 1));
  for (int64_t i = 0; i < count; i++) {
    double number = tensor_number(tensor, i);
    if (!isfinite(number) || number != floor(number))
      return bad_element(tensor, i, number, "where an integer is wanted", failure);
    /* Rounding of 64-bit integers can't move one across a bound of i32. */
    if (number < INT32_MIN || number > INT32_MAX) return bad_element(tensor, i, number, "outside of i32", failure);
    (*ints)[i] = (int32_t)number;
  }
  return true;
}

void tensors_add(Arena *arena, Tensors *tensors, Tensor tensor) { PUSH(arena, &tensors->list, tensor); }

const Tensor *tensors_find(const Tensors *tensors, const char *name) {
  for (int i = 0; i < tensors->list.count; i++)
    if (tensors->list.items[i].name && !strcmp(tensors->list.items[i].name, name)) return &tensors->list.items[i];
  return NULL;
}

void tensors_set(Arena *arena, Tensors *tensors, const char *key, const char *value) {
  Metadata entry = {arena_copy(arena, key, strlen(key) + 1), arena_copy(arena, value, strlen(value) + 1)};
  for (int i = 0; i < tensors->metadata.count; i++) {
    if (strcmp(tensors->metadata.items[i].key, key)) continue;
    tensors->metadata.items[i] = entry;
    return;
  }
  PUSH(arena, &tensors->metadata, entry);
}

const char *tensors_get(const Tensors *tensors, const char *key) {
  for (int i = 0; i < tensors->metadata.count; i++)
    if (!strcmp(tensors->metadata.items[i].key, key)) return tensors->metadata.items[i].value;
  return NULL;
}

void reverse_bytes(void *data, int64_t count, int bytes) {
  unsigned char *at = data;
  for (int64_t i = 0; i < count; i++, at += bytes)
    for (int low = 0, high = bytes - 1; low < high; low++, high--) {
      unsigned char kept = at[low];
      at[low] = at[high];
      at[high] = kept;
    }
}

void *aligned_elements(Arena *arena, char *at, int64_t bytes, ElementType type) {
  if ((uintptr_t)at % (uintptr_t)element_bytes(type) == 0) return at;
  return arena_copy(arena, at, (size_t)bytes);
}

bool text_ends(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && !strcmp(text + length - tail, end);
}

static int compare_names(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

const char *name_twice(Arena *arena, const char *const *names, int count) {
  const char **sorted = NEW_ARRAY(arena, const char *, MAX(count, 1));
  for (int i = 0; i < count; i++) sorted[i] = names[i];
  qsort(sorted, (size_t)count, sizeof *sorted, compare_names);
  for (int i = 1; i < count; i++)
    if (!strcmp(sorted[i - 1], sorted[i])) return sorted[i];
  return NULL;
}
