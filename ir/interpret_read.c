/* Reading memory by strides and by index maps.
 *
 * A Reader is a map at run-time sizes. What every axis moves is linear in the dims, so it is summed into one base and one step
 * for each dim; an axis whose index may leave its size (padding), or that divides, keeps a test besides. Reading goes by
 * lines along one dim: on a line the elements that are present are an arithmetic progression, found once (reader_line), so
 * that inner loops have no tests and no divisions. Gathering takes the two innermost dims together where no test involves
 * both, as im2col does: the rows of a picture then share one progression. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3", "no-tree-loop-distribute-patterns") /* short lines: a call of memcpy costs more than they do */
#endif
#include "ir/interpret_parts.h"
#include <string.h>

/* ---- strided copies ---- */

#define LINE_OF(T)                                                                                                         \
  static inline void copy_line_##T(int64_t count, void *to_line, int64_t to_stride, const void *from_line,                 \
                                   int64_t from_stride) {                                                                  \
    T *restrict to = to_line;                                                                                              \
    const T *restrict from = from_line;                                                                                    \
    if (to_stride == 1 && from_stride == 1)                                                                                \
      for (int64_t i = 0; i < count; i++) to[i] = from[i];                                                                 \
    else if (to_stride == 1 && from_stride == 0)                                                                           \
      for (int64_t i = 0; i < count; i++) to[i] = *from;                                                                   \
    else if (to_stride == 1 && from_stride == 2)                                                                           \
      for (int64_t i = 0; i < count; i++) to[i] = from[2 * i];                                                             \
    else                                                                                                                   \
      for (int64_t i = 0; i < count; i++) to[i * to_stride] = from[i * from_stride];                                       \
  }
LINE_OF(uint8_t)
LINE_OF(uint32_t)
LINE_OF(uint64_t)

/* A short dense line, by blocks of 16 bytes of which the last two may overlap. */
static inline void copy_short(size_t length, char *to, const char *from) {
  for (size_t i = 0; i + 16 <= length; i += 16) memcpy(to + i, from + i, 16);
  memcpy(to + length - 16, from + length - 16, 16);
}

static inline void line_copy(int bytes, int64_t count, void *to, int64_t to_stride, const void *from, int64_t from_stride) {
  size_t length = (size_t)count * (size_t)bytes;
  bool dense = to_stride == 1 && from_stride == 1;
  if (dense && length >= 256)
    memcpy(to, from, length);
  else if (dense && length >= 16)
    copy_short(length, to, from);
  else if (bytes == 4)
    copy_line_uint32_t(count, to, to_stride, from, from_stride);
  else if (bytes == 8)
    copy_line_uint64_t(count, to, to_stride, from, from_stride);
  else
    copy_line_uint8_t(count, to, to_stride, from, from_stride);
}

void copy_line(int bytes, int64_t count, void *to, int64_t to_stride, const void *from, int64_t from_stride) {
  line_copy(bytes, count, to, to_stride, from, from_stride);
}

void fill_line(int bytes, int64_t count, void *to, const void *element) { line_copy(bytes, count, to, 1, element, 0); }

bool next_index(int ndims, const int *dims, const int64_t *extent, int64_t *index) {
  for (int k = ndims - 1; k >= 0; k--) {
    if (++index[dims[k]] < extent[dims[k]]) return true;
    index[dims[k]] = 0;
  }
  return false;
}

/* A plane whose one side is dense in `to` along columns and in `from` along rows: by tiles that stay in the first cache. */
static void copy_tiles(int bytes, int64_t rows, int64_t columns, char *to, int64_t to_row, int64_t to_column,
                       const char *from, int64_t from_row, int64_t from_column) {
  enum { TILE = 32 };
  for (int64_t row = 0; row < rows; row += TILE)
    for (int64_t column = 0; column < columns; column += TILE)
      for (int64_t r = row; r < MIN(row + TILE, rows); r++)
        line_copy(bytes, MIN(TILE, columns - column), to + (r * to_row + column * to_column) * bytes, to_column,
                  from + (r * from_row + column * from_column) * bytes, from_column);
}

typedef struct Loops {
  int rank;
  int64_t size[MAX_LOOPS], to[MAX_LOOPS], from[MAX_LOOPS];
} Loops;

/* Drops axes of one element and merges axes that are one line in both places; false if there is nothing to copy. */
static bool merge_loops(Loops *loops, int rank, const int64_t *size, const int64_t *to, const int64_t *from) {
  loops->rank = 0;
  for (int axis = 0; axis < rank; axis++) {
    if (size[axis] <= 0) return false;
    if (size[axis] == 1) continue;
    int last = loops->rank - 1;
    if (last >= 0 && loops->to[last] == to[axis] * size[axis] && loops->from[last] == from[axis] * size[axis]) {
      loops->size[last] *= size[axis];
      loops->to[last] = to[axis], loops->from[last] = from[axis];
    } else {
      loops->size[loops->rank] = size[axis];
      loops->to[loops->rank] = to[axis], loops->from[loops->rank] = from[axis];
      loops->rank++;
    }
  }
  return true;
}

void copy_strided(int bytes, int rank, const int64_t *size, void *to_start, const int64_t *to_stride,
                  const void *from_start, const int64_t *from_stride) {
  Loops loops;
  if (!merge_loops(&loops, rank, size, to_stride, from_stride)) return;
  char *to = to_start;
  const char *from = from_start;
  if (loops.rank == 0) {
    memcpy(to, from, (size_t)bytes);
    return;
  }
  int column = loops.rank - 1, row = -1; /* row: an axis that is dense in `from`, if the columns are not */
  for (int axis = 0; axis < column && loops.from[column] != 1 && loops.from[column] != 0; axis++)
    if (loops.from[axis] == 1) row = axis;
  if (row < 0) row = loops.rank - 2; /* -1: a single line */
  bool tiled = row >= 0 && loops.from[row] == 1 && loops.from[column] > 1 && loops.size[row] > 4;
  if (!tiled && row >= 0 && loops.size[column] < 8) { /* few columns, a window's taps say: lines along the longest axis */
    int longest = column;
    for (int axis = 0; axis < loops.rank; axis++)
      if (loops.size[axis] > loops.size[longest]) longest = axis;
    if (longest != column) row = column, column = longest;
  }
  int dims[MAX_LOOPS], ndims = 0;
  for (int axis = 0; axis < loops.rank; axis++)
    if (axis != column && axis != row) dims[ndims++] = axis;
  int64_t rows = row >= 0 ? loops.size[row] : 1, to_row = row >= 0 ? loops.to[row] : 0;
  int64_t from_row = row >= 0 ? loops.from[row] : 0, index[MAX_LOOPS] = {0};
  do {
    int64_t at_to = 0, at_from = 0;
    for (int k = 0; k < ndims; k++) {
      at_to += index[dims[k]] * loops.to[dims[k]];
      at_from += index[dims[k]] * loops.from[dims[k]];
    }
    if (tiled) {
      copy_tiles(bytes, rows, loops.size[column], to + at_to * bytes, to_row, loops.to[column], from + at_from * bytes,
                 from_row, loops.from[column]);
      continue;
    }
    for (int64_t r = 0; r < rows; r++)
      line_copy(bytes, loops.size[column], to + (at_to + r * to_row) * bytes, loops.to[column],
                from + (at_from + r * from_row) * bytes, loops.from[column]);
  } while (next_index(ndims, dims, loops.size, index));
}

/* ---- readers ---- */

/* Puts one axis in its place: the linear part, or the linear part and a test, or, dividing, a test that also moves. */
static void add_axis(Reader *reader, const Axis *axis, int64_t size, int64_t stride, const int64_t *dims) {
  CheckedAxis checked = {.offset = dim_value(axis->offset, dims), .divisor = axis->divisor, .size = size, .stride = stride};
  int64_t low = checked.offset, high = checked.offset;
  bool divides = true;
  for (int term = 0; term < axis->nterms; term++) {
    int dim = axis->dim[term];
    int64_t coefficient = axis->coefficient[term], reach = coefficient * (reader->extent[dim] - 1);
    if (coefficient == 0 || reader->extent[dim] <= 1) continue;
    if (checked.nterms == 1 && checked.dim[0] == dim) {
      checked.coefficient[0] += coefficient;
    } else {
      checked.dim[checked.nterms] = dim;
      checked.coefficient[checked.nterms++] = coefficient;
    }
    low += MIN(reach, 0), high += MAX(reach, 0);
    divides &= coefficient % axis->divisor == 0;
  }
  if (divides && checked.offset % checked.divisor == 0) { /* always exact: no divisor at all */
    for (int term = 0; term < checked.nterms; term++) checked.coefficient[term] /= checked.divisor;
    checked.offset /= checked.divisor, low /= checked.divisor, high /= checked.divisor;
    checked.divisor = 1;
  }
  for (int term = 0; term < checked.nterms; term++)
    if (stride != 0 || checked.divisor > 1) reader->uses[checked.dim[term]] = true;
  if (checked.divisor == 1) {
    reader->base += checked.offset * stride;
    for (int term = 0; term < checked.nterms; term++) reader->step[checked.dim[term]] += checked.coefficient[term] * stride;
    if (low >= 0 && high < size) return;
  }
  for (int term = 0; term < checked.nterms; term++) reader->uses[checked.dim[term]] = true;
  reader->checked[reader->nchecked++] = checked;
}

Reader reader_of(const Tensor *tensor, const Space *space, int operand, const int64_t *dims) {
  Reader reader = {.data = tensor->data, .bytes = kind_bytes[tensor->kind], .ndims = space->ndims};
  for (int dim = 0; dim < MAX_LOOPS; dim++)
    reader.extent[dim] = dim < space->ndims ? dim_value(space->extent[dim], dims) : 1;
  const Map *map = &space->map[operand];
  CHECK(map->naxes == tensor->rank);
  for (int axis = 0; axis < map->naxes; axis++)
    add_axis(&reader, &map->axis[axis], tensor->size[axis], tensor->stride[axis], dims);
  return reader;
}

static int64_t ceiling_divide(int64_t a, int64_t b) { return -floor_divide(-a, b); }

static int64_t greatest_divisor(int64_t a, int64_t b) {
  while (b) {
    int64_t rest = a % b;
    a = b, b = rest;
  }
  return a < 0 ? -a : a;
}

/* The axis' numerator at `index`, and its coefficients of two dims, which are left out of it. */
static int64_t numerator_at(const CheckedAxis *axis, const int64_t *index, int dim, int64_t *coefficient) {
  int64_t numerator = axis->offset;
  *coefficient = 0;
  for (int term = 0; term < axis->nterms; term++)
    if (axis->dim[term] == dim)
      *coefficient = axis->coefficient[term];
    else
      numerator += axis->coefficient[term] * index[axis->dim[term]];
  return numerator;
}

/* The progression along a dim as far as the axes say that move with it. first and count are absolute; `element` is what the
 * dim's first position and the dividing axes add. */
static Line line_of(const Reader *reader, const int64_t *index, int dim) {
  int64_t low = 0, high = reader->extent[dim], period = 1, coefficient;
  for (int k = 0; k < reader->nchecked; k++) {
    const CheckedAxis *axis = &reader->checked[k];
    int64_t numerator = numerator_at(axis, index, dim, &coefficient), last = (axis->size - 1) * axis->divisor;
    if (coefficient == 0) continue;
    if (axis->size == 0) return (Line){0};
    if (coefficient == 1) {
      low = MAX(low, -numerator), high = MIN(high, last - numerator + 1);
    } else if (coefficient > 0) {
      low = MAX(low, ceiling_divide(-numerator, coefficient));
      high = MIN(high, floor_divide(last - numerator, coefficient) + 1);
    } else {
      low = MAX(low, ceiling_divide(numerator - last, -coefficient));
      high = MIN(high, floor_divide(numerator, -coefficient) + 1);
    }
    int64_t own = axis->divisor / greatest_divisor(axis->divisor, coefficient);
    period *= own / greatest_divisor(period, own);
  }
  Line line = {.first = low, .step = period, .stride = reader->step[dim] * period};
  bool exact = period == 1;
  for (int64_t tried = 0; tried < period && line.first < high; tried++, line.first++) {
    exact = true;
    for (int k = 0; k < reader->nchecked && exact; k++) {
      const CheckedAxis *axis = &reader->checked[k];
      int64_t numerator = numerator_at(axis, index, dim, &coefficient);
      if (coefficient != 0 && (numerator + coefficient * line.first) % axis->divisor != 0) exact = false;
    }
    if (exact) break;
  }
  if (!exact || line.first >= high) return (Line){0};
  line.count = (high - line.first + period - 1) / period;
  line.element = reader->step[dim] * line.first;
  for (int k = 0; k < reader->nchecked; k++) {
    const CheckedAxis *axis = &reader->checked[k];
    if (axis->divisor == 1) continue;
    int64_t numerator = numerator_at(axis, index, dim, &coefficient);
    if (coefficient == 0) continue;
    line.element += (numerator + coefficient * line.first) / axis->divisor * axis->stride;
    line.stride += coefficient * period / axis->divisor * axis->stride;
  }
  return line;
}

/* The axes that move with neither dim: false if they miss, else what they and the linear part of other dims add. */
static bool rest_of(const Reader *reader, const int64_t *index, int dim, int other, int64_t *element) {
  int64_t sum = reader->base;
  for (int d = 0; d < reader->ndims; d++)
    if (d != dim && d != other) sum += reader->step[d] * index[d];
  for (int k = 0; k < reader->nchecked; k++) {
    const CheckedAxis *axis = &reader->checked[k];
    int64_t coefficient, other_coefficient = 0, numerator = numerator_at(axis, index, dim, &coefficient);
    if (other >= 0) numerator_at(axis, index, other, &other_coefficient);
    if (coefficient != 0 || other_coefficient != 0) continue;
    if (numerator < 0 || numerator > (axis->size - 1) * axis->divisor) return false;
    if (axis->divisor == 1) continue;
    if (numerator % axis->divisor != 0) return false;
    sum += numerator / axis->divisor * axis->stride;
  }
  *element = sum;
  return true;
}

Line reader_line(const Reader *reader, const int64_t *index, int line_dim) {
  int64_t element;
  if (!rest_of(reader, index, line_dim, -1, &element)) return (Line){0};
  if (reader->nchecked == 0) return (Line){0, reader->extent[line_dim], 1, element, reader->step[line_dim]};
  Line line = line_of(reader, index, line_dim);
  line.element += element;
  return line;
}

/* ---- gathering ---- */

static bool tests_share(const Reader *reader, int a, int b) {
  for (int k = 0; k < reader->nchecked; k++) {
    const CheckedAxis *axis = &reader->checked[k];
    if (axis->nterms == 2 && ((axis->dim[0] == a && axis->dim[1] == b) || (axis->dim[0] == b && axis->dim[1] == a)))
      return true;
  }
  return false;
}

/* The rows that `row` names of the plane of the two innermost dims, and the columns that `line` names in each of them. */
static void gather_plane(const Reader *reader, const Line *row, const Line *line, int64_t rows, int64_t columns,
                         int64_t element, char *to, const void *fill) {
  int bytes = reader->bytes;
  if (row->count == 0 || line->count == 0) {
    fill_line(bytes, rows * columns, to, fill);
    return;
  }
  if (row->count < rows || line->count < columns) fill_line(bytes, rows * columns, to, fill);
  const char *from = reader->data + (element + row->element + line->element) * bytes;
  to += (row->first * columns + line->first) * bytes;
  for (int64_t r = 0; r < row->count; r++, from += row->stride * bytes, to += row->step * columns * bytes)
    line_copy(bytes, line->count, to, line->step, from, line->stride);
}

void reader_gather(const Reader *reader, int ndims, const int *given_dims, int64_t *index, void *to_start,
                   const void *fill) {
  int dims[MAX_LOOPS], count = 0;
  char *to = to_start;
  int64_t elements = 1;
  for (int k = 0; k < ndims; k++) {
    elements *= reader->extent[given_dims[k]];
    if (reader->extent[given_dims[k]] > 1) dims[count++] = given_dims[k];
    index[given_dims[k]] = 0;
  }
  if (elements == 0) return;
  if (reader_is_plain(reader)) {
    int64_t size[MAX_LOOPS], from_stride[MAX_LOOPS], to_stride[MAX_LOOPS], element, dense = 1;
    for (int k = count - 1; k >= 0; k--) {
      size[k] = reader->extent[dims[k]], from_stride[k] = reader->step[dims[k]];
      to_stride[k] = dense, dense *= size[k];
    }
    rest_of(reader, index, -1, -1, &element);
    copy_strided(reader->bytes, count, size, to, to_stride, reader->data + element * reader->bytes, from_stride);
    return;
  }
  int line_dim = count > 0 ? dims[count - 1] : -1, row_dim = count > 1 ? dims[count - 2] : -1;
  if (row_dim >= 0 && tests_share(reader, row_dim, line_dim)) row_dim = -1;
  const Line whole = {0, 1, 1, 0, 0};
  int outer = count - (line_dim >= 0) - (row_dim >= 0);
  int64_t columns = line_dim >= 0 ? reader->extent[line_dim] : 1, rows = row_dim >= 0 ? reader->extent[row_dim] : 1;
  do {
    int64_t element = 0;
    Line line = whole, row = whole;
    if (!rest_of(reader, index, line_dim, row_dim, &element)) {
      row.count = 0;
    } else {
      if (line_dim >= 0) line = line_of(reader, index, line_dim);
      if (row_dim >= 0) row = line_of(reader, index, row_dim);
    }
    gather_plane(reader, &row, &line, rows, columns, element, to, fill);
    to += rows * columns * reader->bytes;
  } while (next_index(outer, dims, reader->extent, index));
}
