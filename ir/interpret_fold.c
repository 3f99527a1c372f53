/* Folds: fold_sum, fold_max, fold_min, argmax, argmin over a space.
 *
 * One dim becomes the line that inner loops run over: a result dim, where a line of results takes part in each step of the
 * fold, or a folded dim, where a line is folded into one result. The one that reads memory most densely is taken; absent
 * elements are not on the line at all (reader_line).
 *
 * Sums of floats are plain float sums in blocks, as an eager framework's are: a dense line is summed in 16 lanes and halves
 * (pairwise above 1024 elements), lines of results are summed 256 at a time. max and min don't depend on the order. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#include "ir/interpret_parts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- kernels ---- */

typedef void AcrossKernel(void *sums, int64_t sum_step, const void *line, int64_t step, int64_t count);
typedef void AlongKernel(void *sum, const void *line, int64_t step, int64_t count);
typedef struct FoldKernel {
  AcrossKernel *across; /* sums[i] = sums[i] op line[i] */
  AlongKernel *along;   /* sum = sum op line[0] op line[1] ... */
  double start;         /* of nothing at all */
} FoldKernel;

#define FOLDS(name, T, expression)                                                                                         \
  static KERNEL void name##_across(void *sums, int64_t sum_step, const void *line, int64_t step, int64_t count) {          \
    T *restrict to = sums;                                                                                                 \
    const T *restrict from = line;                                                                                         \
    if (sum_step == 1 && step == 1)                                                                                        \
      for (int64_t i = 0; i < count; i++) {                                                                                \
        T a = from[i], b = to[i];                                                                                          \
        to[i] = (T)(expression);                                                                                           \
      }                                                                                                                    \
    else if (sum_step == 1 && step == 2)                                                                                   \
      for (int64_t i = 0; i < count; i++) {                                                                                \
        T a = from[2 * i], b = to[i];                                                                                      \
        to[i] = (T)(expression);                                                                                           \
      }                                                                                                                    \
    else                                                                                                                   \
      for (int64_t i = 0; i < count; i++) {                                                                                \
        T a = from[i * step], b = to[i * sum_step];                                                                        \
        to[i * sum_step] = (T)(expression);                                                                                \
      }                                                                                                                    \
  }                                                                                                                        \
  static KERNEL void name##_along(void *sum, const void *line, int64_t step, int64_t count) {                              \
    enum { LANES = 16 };                                                                                                   \
    const T *from = line;                                                                                                  \
    if (count > 1024) {                                                                                                    \
      int64_t half = count / 2 / LANES * LANES;                                                                            \
      T rest = *(T *)sum, first = from[0];                                                                                 \
      name##_along(&first, from + step, step, half - 1);                                                                   \
      T second = from[half * step];                                                                                        \
      name##_along(&second, from + (half + 1) * step, step, count - half - 1);                                             \
      T a = second, b = first;                                                                                             \
      b = (T)(expression), a = b, b = rest;                                                                                \
      *(T *)sum = (T)(expression);                                                                                         \
      return;                                                                                                              \
    }                                                                                                                      \
    int64_t i = 0;                                                                                                         \
    if (step == 1 && count >= 2 * LANES) {                                                                                 \
      T lane[LANES];                                                                                                       \
      for (int k = 0; k < LANES; k++) lane[k] = from[k];                                                                   \
      for (i = LANES; i + LANES <= count; i += LANES)                                                                      \
        for (int k = 0; k < LANES; k++) {                                                                                  \
          T a = from[i + k], b = lane[k];                                                                                  \
          lane[k] = (T)(expression);                                                                                       \
        }                                                                                                                  \
      for (int width = LANES / 2; width > 0; width /= 2)                                                                   \
        for (int k = 0; k < width; k++) {                                                                                  \
          T a = lane[k + width], b = lane[k];                                                                              \
          lane[k] = (T)(expression);                                                                                       \
        }                                                                                                                  \
      T a = lane[0], b = *(T *)sum;                                                                                        \
      *(T *)sum = (T)(expression);                                                                                         \
    }                                                                                                                      \
    T b = *(T *)sum;                                                                                                       \
    for (; i < count; i++) {                                                                                               \
      T a = from[i * step];                                                                                                \
      b = (T)(expression);                                                                                                 \
    }                                                                                                                      \
    *(T *)sum = b;                                                                                                         \
  }

FOLDS(sum_f32, float, b + a)
FOLDS(sum_f64, double, b + a)
FOLDS(sum_i32, int32_t, (uint32_t)b + (uint32_t)a)
FOLDS(max_f32, float, a > b || a != a ? a : b)
FOLDS(max_f64, double, a > b || a != a ? a : b)
FOLDS(max_i32, int32_t, a > b ? a : b)
FOLDS(max_bool, uint8_t, a | b)
FOLDS(min_f32, float, a < b || a != a ? a : b)
FOLDS(min_f64, double, a < b || a != a ? a : b)
FOLDS(min_i32, int32_t, a < b ? a : b)
FOLDS(min_bool, uint8_t, a &b)

#define ROW(name, start) {name##_across, name##_along, start}
static const FoldKernel fold_kernels[][KIND_COUNT] = {
    [0] = {ROW(sum_f32, 0), ROW(sum_f64, 0), ROW(sum_i32, 0), {0}},
    [1] = {ROW(max_f32, -INFINITY), ROW(max_f64, -INFINITY), ROW(max_i32, INT32_MIN), ROW(max_bool, 0)},
    [2] = {ROW(min_f32, INFINITY), ROW(min_f64, INFINITY), ROW(min_i32, INT32_MAX), ROW(min_bool, 1)},
};

static const FoldKernel *fold_kernel(Op op, Kind kind) {
  const FoldKernel *kernel = &fold_kernels[op == OP_fold_max ? 1 : op == OP_fold_min ? 2 : 0][kind];
  if (!kernel->across) bug("%s of booleans", op_info[op].name);
  return kernel;
}

/* ---- loops ---- */

/* What a fold runs over: result dims with the result's strides, then folded dims. */
typedef struct FoldLoops {
  Reader reader;
  int nresult, nfolded, result_dims[MAX_LOOPS], folded_dims[MAX_LOOPS];
  int64_t to[MAX_LOOPS]; /* by dim: the result's stride */
  int64_t results;
  int line_dim; /* -1 if there is but one element */
  bool line_folds;
} FoldLoops;

/* Where nothing is tested, neighbouring dims that are one line in memory become one dim. */
static int merge_dims(FoldLoops *loops, int *dims, int ndims, bool merge) {
  Reader *reader = &loops->reader;
  int count = 0;
  for (int k = 0; k < ndims; k++) {
    int dim = dims[k], last = count > 0 ? dims[count - 1] : -1;
    int64_t extent = reader->extent[dim];
    if (extent == 1) continue;
    if (merge && last >= 0 && reader->step[last] == reader->step[dim] * extent) {
      reader->extent[last] *= extent;
      reader->step[last] = reader->step[dim], loops->to[last] = loops->to[dim];
      reader->extent[dim] = 1; /* its index stays 0 */
    } else {
      dims[count++] = dim;
    }
  }
  return count;
}

/* Roughly the nanoseconds that an element takes if dim is the line: its step through memory, whether what the line passes
 * over stays in the cache until the next one, and a share of what a line costs to set up. */
static double line_cost(const FoldLoops *loops, int dim) {
  int64_t step = llabs(loops->reader.step[dim]), extent = loops->reader.extent[dim];
  double cost = step == 1 ? 0.1 : step <= 8 ? 0.5 : step * extent * loops->reader.bytes <= 1 << 19 ? 1.5 : 3.5;
  return cost + 25.0 / (double)extent;
}

/* In row-major order a folded line can only be that of the last folded dim. */
static void choose_line(FoldLoops *loops, bool row_major) {
  double best = INFINITY;
  loops->line_dim = -1;
  for (int k = 0; k < loops->nresult + loops->nfolded; k++) {
    bool folds = k >= loops->nresult;
    if (row_major && folds && k + 1 < loops->nresult + loops->nfolded) continue;
    int dim = folds ? loops->folded_dims[k - loops->nresult] : loops->result_dims[k];
    double cost = line_cost(loops, dim) + (!folds && loops->to[dim] != 1 ? 0.5 : 0.0);
    if (cost >= best) continue;
    best = cost, loops->line_dim = dim, loops->line_folds = folds;
  }
}

/* False if nothing is folded. `row_major`: folded dims and their order matter, as they do to an index. */
static bool fold_loops(FoldLoops *loops, const Reader *reader, int nresult, const int *result_dims, int nfolded,
                       const int *folded_dims, bool row_major) {
  *loops = (FoldLoops){.reader = *reader, .results = 1};
  bool any = true;
  for (int k = nresult - 1; k >= 0; k--) {
    loops->to[result_dims[k]] = loops->results;
    loops->results *= reader->extent[result_dims[k]];
    loops->result_dims[k] = result_dims[k];
  }
  for (int k = 0; k < nfolded; k++) {
    loops->folded_dims[k] = folded_dims[k];
    any &= reader->extent[folded_dims[k]] > 0;
  }
  if (loops->results == 0 || !any) return false;
  bool merge = reader_is_plain(reader);
  loops->nresult = merge_dims(loops, loops->result_dims, nresult, merge);
  loops->nfolded = merge_dims(loops, loops->folded_dims, nfolded, merge && !row_major);
  choose_line(loops, row_major);
  return true;
}

/* The dims of a list without the line, in order. */
static int without(const int *dims, int ndims, int line_dim, int *rest) {
  int count = 0;
  for (int k = 0; k < ndims; k++)
    if (dims[k] != line_dim) rest[count++] = dims[k];
  return count;
}

static int64_t result_at(const FoldLoops *loops, int ndims, const int *dims, const int64_t *index) {
  int64_t at = 0;
  for (int k = 0; k < ndims; k++) at += loops->to[dims[k]] * index[dims[k]];
  return at;
}

/* Adds up lines of results in blocks: `partial` takes 256 lines, then joins the result. */
static void fold_lines_of_results(FoldLoops *loops, const FoldKernel *kernel, int64_t *index, const int *folded,
                                  int nfolded, char *to, char *partial, const void *start) {
  const Reader *reader = &loops->reader;
  int64_t extent = reader->extent[loops->line_dim], to_step = loops->to[loops->line_dim];
  char *sums = to;
  int64_t sum_step = to_step, done = 0;
  do {
    if (partial && done % 256 == 0) {
      if (done > 0) kernel->across(to, to_step, partial, 1, extent);
      fill_line(reader->bytes, extent, partial, start);
      sums = partial, sum_step = 1;
    }
    Line line = reader_line(reader, index, loops->line_dim);
    if (line.count > 0)
      kernel->across(sums + line.first * sum_step * reader->bytes, sum_step * line.step,
                     reader->data + line.element * reader->bytes, line.stride, line.count);
    done++;
  } while (next_index(nfolded, folded, reader->extent, index));
  if (partial) kernel->across(to, to_step, partial, 1, extent);
}

static void fold_one(const FoldLoops *loops, const FoldKernel *kernel, int64_t *index, const int *folded, int nfolded,
                     char *to) {
  const Reader *reader = &loops->reader;
  do {
    Line line = {0, 1, 1, reader->base, 0};
    if (loops->line_dim >= 0)
      line = reader_line(reader, index, loops->line_dim);
    else
      line = reader_line(reader, index, 0), line.count = MIN(line.count, 1);
    if (line.count > 0) kernel->along(to, reader->data + line.element * reader->bytes, line.stride, line.count);
  } while (next_index(nfolded, folded, reader->extent, index));
}

void fold_reader(Frame *frame, const Reader *reader, Op op, Kind kind, int nresult, const int *result_dims, int nfolded,
                 const int *folded_dims, void *result) {
  const FoldKernel *kernel = fold_kernel(op, kind);
  FoldLoops loops;
  double start = 0; /* room for an element of any kind */
  kind_set(kind, &start, 0, kernel->start);
  bool any = fold_loops(&loops, reader, nresult, result_dims, nfolded, folded_dims, false);
  if (loops.results > 0) fill_line(reader->bytes, loops.results, result, &start);
  if (!any) return;
  int outer[MAX_LOOPS], folded[MAX_LOOPS];
  int nouter = without(loops.result_dims, loops.nresult, loops.line_dim, outer);
  int nrest = without(loops.folded_dims, loops.nfolded, loops.line_dim, folded);
  int64_t steps = 1, index[MAX_LOOPS] = {0};
  for (int k = 0; k < nrest; k++) steps *= loops.reader.extent[folded[k]];
  bool across = loops.line_dim >= 0 && !loops.line_folds;
  bool blocked = across && op == OP_fold_sum && kind != KIND_I32 && steps > 512;
  Tensor partial = tensor_scratch(frame, kind, blocked ? loops.reader.extent[loops.line_dim] : 1);
  do {
    char *to = (char *)result + result_at(&loops, nouter, outer, index) * reader->bytes;
    if (across)
      fold_lines_of_results(&loops, kernel, index, folded, nrest, to, blocked ? partial.data : NULL, &start);
    else
      fold_one(&loops, kernel, index, folded, nrest, to);
  } while (next_index(nouter, outer, loops.reader.extent, index));
  tensor_drop(frame, &partial);
}

/* The dims of a space: the result's, then the folded ones. */
static void split_dims(const Space *space, int *result_dims, int *folded_dims) {
  for (int dim = 0; dim < space->ndims; dim++) {
    if (dim < space->nresult)
      result_dims[dim] = dim;
    else
      folded_dims[dim - space->nresult] = dim;
  }
}

void value_fold(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  const Space *space = node->space;
  int result_dims[MAX_LOOPS], folded_dims[MAX_LOOPS];
  Reader reader = reader_of(operands[0], space, 0, frame->run->dims);
  split_dims(space, result_dims, folded_dims);
  tensor_allocate(frame, result);
  fold_reader(frame, &reader, node->op, result->kind, space->nresult, result_dims, space->ndims - space->nresult,
              folded_dims, result->data);
}

/* ---- argmax and argmin ---- */

/* best[i], at[i] against line[i] for each i, which all have one folded index (across: index_step 0), or against one best
 * (best_step 0). at is -1 before anything was seen, so that a lone -infinity is found; a NaN beats all but an earlier NaN. */
typedef void ArgKernel(void *best, int32_t *at, int64_t best_step, const void *line, int64_t step, int64_t count,
                       int64_t index, int64_t index_step);

#define ARG(name, T, compare)                                                                                              \
  static KERNEL void name(void *best_line, int32_t *at_line, int64_t best_step, const void *line, int64_t step,            \
                          int64_t count, int64_t index, int64_t index_step) {                                              \
    T *restrict best = best_line;                                                                                          \
    int32_t *restrict at = at_line;                                                                                        \
    const T *restrict from = line;                                                                                         \
    if (best_step == 1 && index_step == 0) {                                                                               \
      for (int64_t i = 0; i < count; i++) {                                                                                \
        T a = from[i * step], b = best[i];                                                                                 \
        bool take = (at[i] < 0) | (a compare b) | ((a != a) & (b == b));                                                   \
        best[i] = take ? a : b;                                                                                            \
        at[i] = take ? (int32_t)index : at[i];                                                                             \
      }                                                                                                                    \
      return;                                                                                                              \
    }                                                                                                                      \
    for (int64_t i = 0; i < count; i++) {                                                                                  \
      T a = from[i * step], b = best[i * best_step];                                                                       \
      if (at[i * best_step] < 0 || a compare b || (a != a && b == b)) {                                                    \
        best[i * best_step] = a;                                                                                           \
        at[i * best_step] = (int32_t)(index + i * index_step);                                                             \
      }                                                                                                                    \
    }                                                                                                                      \
  }
ARG(argmax_f32, float, >)
ARG(argmax_f64, double, >)
ARG(argmax_i32, int32_t, >)
ARG(argmax_bool, uint8_t, >)
ARG(argmin_f32, float, <)
ARG(argmin_f64, double, <)
ARG(argmin_i32, int32_t, <)
ARG(argmin_bool, uint8_t, <)
static ArgKernel *const argmax_kernels[KIND_COUNT] = {argmax_f32, argmax_f64, argmax_i32, argmax_bool};
static ArgKernel *const argmin_kernels[KIND_COUNT] = {argmin_f32, argmin_f64, argmin_i32, argmin_bool};

/* A NaN that is best stays: a > NaN is false, and a != a && b == b is too. */
static void argfold_results(const FoldLoops *loops, ArgKernel *kernel, char *best, int32_t *at) {
  const Reader *reader = &loops->reader;
  int outer[MAX_LOOPS], folded[MAX_LOOPS];
  int nouter = without(loops->result_dims, loops->nresult, loops->line_dim, outer);
  int nfolded = without(loops->folded_dims, loops->nfolded, loops->line_dim, folded);
  int64_t index[MAX_LOOPS] = {0}, fold_stride[MAX_LOOPS] = {0}, stride = 1;
  for (int k = loops->nfolded - 1; k >= 0; k--) {
    fold_stride[loops->folded_dims[k]] = stride;
    stride *= reader->extent[loops->folded_dims[k]];
  }
  int line_dim = MAX(loops->line_dim, 0);
  bool folds = loops->line_dim < 0 || loops->line_folds;
  int64_t best_step = folds ? 0 : loops->to[line_dim], index_step = folds ? fold_stride[line_dim] : 0;
  do {
    int64_t to = result_at(loops, nouter, outer, index);
    do {
      int64_t folded_at = 0;
      for (int k = 0; k < nfolded; k++) folded_at += fold_stride[folded[k]] * index[folded[k]];
      Line line = reader_line(reader, index, line_dim);
      int64_t start = to + line.first * best_step;
      if (line.count > 0)
        kernel(best + start * reader->bytes, at + start, best_step * line.step, reader->data + line.element * reader->bytes,
               line.stride, line.count, folded_at + line.first * index_step, index_step * line.step);
    } while (next_index(nfolded, folded, reader->extent, index));
  } while (next_index(nouter, outer, reader->extent, index));
}

void value_argfold(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  const Space *space = node->space;
  int result_dims[MAX_LOOPS], folded_dims[MAX_LOOPS];
  Reader reader = reader_of(operands[0], space, 0, frame->run->dims);
  Kind kind = operands[0]->kind;
  FoldLoops loops;
  split_dims(space, result_dims, folded_dims);
  tensor_allocate(frame, result);
  bool any = fold_loops(&loops, &reader, space->nresult, result_dims, space->ndims - space->nresult, folded_dims, true);
  int32_t *at = (int32_t *)result->data;
  for (int64_t i = 0; i < loops.results; i++) at[i] = -1;
  if (any) {
    Tensor best = tensor_scratch(frame, kind, loops.results);
    memset(best.data, 0, (size_t)(loops.results * kind_bytes[kind]));
    argfold_results(&loops, (node->op == OP_argmax ? argmax_kernels : argmin_kernels)[kind], best.data, at);
    tensor_drop(frame, &best);
  }
  for (int64_t i = 0; i < loops.results; i++) at[i] = MAX(at[i], 0);
}
