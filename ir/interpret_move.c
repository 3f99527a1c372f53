/* Ops that move elements: view, reshape, concat, gather, scatter, and what goes along an axis (argsort, cumsum).
 *
 * A view that is linear in its dims and never misses costs nothing: its result is a reading of the operand's memory by other
 * strides. Any other one is gathered through its map. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#include "ir/interpret_parts.h"
#include <math.h>
#include <string.h>

void value_view(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  Reader reader = reader_of(operands[0], node->space, 0, frame->run->dims);
  int dims[MAX_LOOPS];
  int64_t index[MAX_LOOPS] = {0};
  if (reader_is_plain(&reader) && tensor_elements(operands[0]) > 0) {
    tensor_alias(result, operands[0]);
    result->data += reader.base * reader.bytes;
    for (int axis = 0; axis < result->rank; axis++) result->stride[axis] = reader.step[axis];
    return;
  }
  double fill = 0; /* room for an element of any kind */
  kind_set(result->kind, &fill, 0, node->number);
  for (int dim = 0; dim < reader.ndims; dim++) dims[dim] = dim;
  tensor_allocate(frame, result);
  reader_gather(&reader, reader.ndims, dims, index, result->data, &fill);
}

/* Free where the operand is dense. */
void value_reshape(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  (void)node;
  Tensor dense = tensor_dense(frame, operands[0]);
  CHECK(tensor_elements(&dense) == tensor_elements(result));
  result->data = dense.data;
  result->block = dense.block;
}

/* Axes before, along and behind one axis, as three loops. */
typedef struct Around {
  int64_t outer, along, inner;
} Around;

static Around around_axis(const Tensor *tensor, int axis) {
  Around around = {1, tensor->size[axis], 1};
  for (int k = 0; k < axis; k++) around.outer *= tensor->size[k];
  for (int k = axis + 1; k < tensor->rank; k++) around.inner *= tensor->size[k];
  return around;
}

void value_concat(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  tensor_allocate(frame, result);
  int bytes = kind_bytes[result->kind];
  int64_t at = 0;
  for (int k = 0; k < node->noperands; k++) {
    const Tensor *part = operands[k];
    copy_strided(bytes, part->rank, part->size, result->data + at * result->stride[node->index] * bytes, result->stride,
                 part->data, part->stride);
    at += part->size[node->index];
  }
  CHECK(at == result->size[node->index]);
}

/* ---- gather and scatter: [batch][before][along][behind] at index [batch][places] ---- */

typedef struct Pick {
  int64_t batch, before, along, behind, places;
} Pick;

static Pick pick_sizes(const Tensor *a, const Tensor *index, int axis, int batch) {
  Pick pick = {1, 1, a->size[axis], 1, 1};
  for (int k = 0; k < batch; k++) pick.batch *= a->size[k];
  for (int k = batch; k < axis; k++) pick.before *= a->size[k];
  for (int k = axis + 1; k < a->rank; k++) pick.behind *= a->size[k];
  for (int k = batch; k < index->rank; k++) pick.places *= index->size[k];
  return pick;
}

void value_gather(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  Tensor a = tensor_dense(frame, operands[0]), index = tensor_dense(frame, operands[1]);
  Pick size = pick_sizes(&a, &index, node->index, node->batch);
  tensor_allocate(frame, result);
  CHECK(tensor_elements(result) == size.batch * size.before * size.places * size.behind);
  int64_t width = size.behind * kind_bytes[a.kind];
  char *to = result->data;
  for (int64_t outer = 0; outer < size.batch * size.before; outer++) {
    const int32_t *place = (const int32_t *)index.data + outer / size.before * size.places;
    const char *from = a.data + outer * size.along * width;
    for (int64_t k = 0; k < size.places; k++, to += width) {
      if (place[k] < 0 || place[k] >= size.along)
        memset(to, 0, (size_t)width);
      else
        copy_line(kind_bytes[a.kind], size.behind, to, 1, from + place[k] * width, 1);
    }
  }
  tensor_drop(frame, &a);
  tensor_drop(frame, &index);
}

void value_scatter(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  Tensor index = tensor_dense(frame, operands[1]), values = tensor_dense(frame, operands[2]);
  Pick size = pick_sizes(operands[0], &index, node->index, node->batch);
  tensor_allocate(frame, result);
  copy_strided(kind_bytes[result->kind], result->rank, result->size, result->data, result->stride, operands[0]->data,
               operands[0]->stride);
  BinaryKernel *add = scalar_binary(OP_add, result->kind);
  if (!add) bug("scatter of dtype %s", dtype_name(result->dtype));
  int64_t width = size.behind * kind_bytes[result->kind];
  Tensor sum = tensor_scratch(frame, result->kind, size.behind);
  const char *from = values.data;
  for (int64_t outer = 0; outer < size.batch * size.before; outer++) {
    const int32_t *place = (const int32_t *)index.data + outer / size.before * size.places;
    for (int64_t k = 0; k < size.places; k++, from += width) {
      if (place[k] < 0 || place[k] >= size.along) continue;
      char *to = result->data + (outer * size.along + place[k]) * width;
      add(to, 1, from, 1, sum.data, size.behind);
      memcpy(to, sum.data, (size_t)width);
    }
  }
  tensor_drop(frame, &sum);
  tensor_drop(frame, &index);
  tensor_drop(frame, &values);
}

/* ---- along an axis ---- */

/* a's running sum is that of the row before plus this row; behind the axis lie `inner` sums side by side. */
void value_cumsum(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  Tensor a = tensor_dense(frame, operands[0]);
  BinaryKernel *add = scalar_binary(OP_add, result->kind);
  if (!add) bug("cumsum of dtype %s", dtype_name(result->dtype));
  tensor_allocate(frame, result);
  Around size = around_axis(&a, node->index);
  int64_t width = size.inner * kind_bytes[a.kind];
  for (int64_t outer = 0; outer < size.outer; outer++)
    for (int64_t row = 0; row < size.along; row++) {
      int64_t at = (outer * size.along + row) * width;
      if (row == 0)
        copy_line(kind_bytes[a.kind], size.inner, result->data + at, 1, a.data + at, 1);
      else
        add(result->data + at - width, 1, a.data + at, 1, result->data + at, size.inner);
    }
  tensor_drop(frame, &a);
}

/* True if element `right` must come before `left`: smaller, or a number before a NaN. Equal ones keep their order. */
static bool goes_before(Kind kind, const char *line, int32_t right, int32_t left) {
  if (kind == KIND_I32) return ((const int32_t *)line)[right] < ((const int32_t *)line)[left];
  double r = kind_get(kind, line, right), l = kind_get(kind, line, left);
  return r < l || (isnan(l) && !isnan(r));
}

/* Merge sort from the bottom: stable, and no worse on any input. */
static void sort_line(Kind kind, const char *line, int64_t count, int32_t *order, int32_t *other) {
  int32_t *from = order, *to = other;
  for (int64_t i = 0; i < count; i++) order[i] = (int32_t)i;
  for (int64_t width = 1; width < count; width *= 2) {
    for (int64_t start = 0; start < count; start += 2 * width) {
      int64_t middle = MIN(start + width, count), end = MIN(start + 2 * width, count), left = start, right = middle;
      for (int64_t k = start; k < end; k++) {
        bool take_right = left == middle || (right < end && goes_before(kind, line, from[right], from[left]));
        to[k] = take_right ? from[right++] : from[left++];
      }
    }
    int32_t *sorted = to;
    to = from, from = sorted;
  }
  if (from != order && count > 0) memcpy(order, from, (size_t)count * sizeof *order);
}

void value_argsort(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  (void)node;
  Tensor a = tensor_dense(frame, operands[0]);
  tensor_allocate(frame, result);
  int64_t count = a.rank ? a.size[a.rank - 1] : 1, rows = count ? tensor_elements(&a) / count : 0;
  Tensor other = tensor_scratch(frame, KIND_I32, count);
  for (int64_t row = 0; row < rows; row++)
    sort_line(a.kind, a.data + row * count * kind_bytes[a.kind], count, (int32_t *)result->data + row * count,
              (int32_t *)other.data);
  tensor_drop(frame, &other);
  tensor_drop(frame, &a);
}
