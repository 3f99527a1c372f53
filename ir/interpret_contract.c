/* contract: sums of products, through gemm.
 *
 * A dim's role follows from who uses it: the result and a make rows, the result and b columns, a and b are folded, and what
 * all three use is a loop around the product (batch). Folded dims that one operand alone uses are summed out first. The
 * product wants three matrices whose rows and columns are each one stride in memory, so dims that stand in the way become
 * loops too: the pictures of a batch in a convolution, whose result is [n, o, h, w].
 *
 * An operand that is a matrix in memory already goes to gemm as it is, transposed or not. Any other one (windows, padding,
 * divisors) is gathered first: that is im2col, for each picture or each part of one, so that what was gathered is still in
 * the cache. Products too small for gemm, or without rows and columns, run as plain loops over lines. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#include "ir/interpret_parts.h"
#include <cblas.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { GATHER_BYTES = 2 << 20, SMALL_PRODUCT = 256, WORTH_A_CALL = 4096, WORTH_FOLDING = 32 };

typedef struct Dims {
  int count, dim[MAX_LOOPS];
} Dims;

/* One operand: read where it lies, or gathered into `gathered` whenever a loop that it uses moves. */
typedef struct Side {
  Reader reader;
  Tensor own;              /* the sum over its own folded dims, or the whole reading made dense */
  bool direct, fold_inner; /* gathered: the folded dims are the inner ones */
  int64_t outer_stride, fold_stride;
  Tensor gathered;
  int64_t gathered_at[MAX_LOOPS];
  bool filled;
} Side;

typedef struct Product {
  Frame *frame;
  Kind kind;
  int ndims, nresult;
  int64_t extent[MAX_LOOPS], to[MAX_LOOPS]; /* to: the result's stride by dim, 0 for folded ones */
  Side side[2];
  Dims loops, fold_loops; /* around the product: over the result, then over folded dims, where gemm adds up */
  Dims outer[2], folded;  /* rows, columns, and what one gemm folds */
} Product;

static void dims_add(Dims *dims, int dim) { dims->dim[dims->count++] = dim; }

static int dims_take_first(Dims *dims) {
  int first = dims->dim[0];
  memmove(dims->dim, dims->dim + 1, (size_t)(--dims->count) * sizeof *dims->dim);
  return first;
}

static int64_t dims_extent(const Product *product, const Dims *dims) {
  int64_t extent = 1;
  for (int k = 0; k < dims->count; k++) extent *= product->extent[dims->dim[k]];
  return extent;
}

/* True if the dims, in their order, are one stride in memory; *stride is that of the last. */
static bool dims_are_one(const Product *product, const Dims *dims, const int64_t *step, int64_t *stride) {
  for (int k = 0; k + 1 < dims->count; k++)
    if (step[dims->dim[k]] != step[dims->dim[k + 1]] * product->extent[dims->dim[k + 1]]) return false;
  *stride = dims->count > 0 ? step[dims->dim[dims->count - 1]] : 1;
  return true;
}

static int64_t volume(const Product *product) {
  return dims_extent(product, &product->outer[0]) * dims_extent(product, &product->outer[1]) *
         dims_extent(product, &product->folded);
}

/* ---- roles ---- */

/* Replaces a side's reader by a plain one of a dense array over the given dims, made by `fold` or by gathering. */
static void make_dense(Product *product, Side *side, const Dims *kept, const Dims *summed) {
  int64_t count = dims_extent(product, kept), index[MAX_LOOPS] = {0};
  double zero = 0;
  Tensor own = tensor_scratch(product->frame, product->kind, count);
  if (summed->count > 0)
    fold_reader(product->frame, &side->reader, OP_fold_sum, product->kind, kept->count, kept->dim, summed->count,
                summed->dim, own.data);
  else
    reader_gather(&side->reader, kept->count, kept->dim, index, own.data, &zero);
  Reader *reader = &side->reader;
  reader->data = own.data, reader->base = 0, reader->nchecked = 0;
  memset(reader->step, 0, sizeof reader->step);
  memset(reader->uses, 0, sizeof reader->uses);
  for (int64_t k = kept->count - 1, stride = 1; k >= 0; stride *= product->extent[kept->dim[k]], k--) {
    reader->step[kept->dim[k]] = stride;
    reader->uses[kept->dim[k]] = true;
  }
  if (side->own.data) tensor_drop(product->frame, &side->own);
  side->own = own;
}

static void sum_own_dims(Product *product, int which) {
  Side *side = &product->side[which];
  const bool *uses = side->reader.uses, *other_uses = product->side[1 - which].reader.uses;
  Dims kept = {0}, summed = {0};
  for (int dim = 0; dim < product->ndims; dim++) {
    if (product->extent[dim] == 1 || !uses[dim]) continue;
    if (dim >= product->nresult && !other_uses[dim])
      dims_add(&summed, dim);
    else
      dims_add(&kept, dim);
  }
  if (summed.count == 0) return;
  make_dense(product, side, &kept, &summed);
  for (int k = 0; k < summed.count; k++) product->extent[summed.dim[k]] = 1; /* it is done with */
  for (int k = 0; k < summed.count; k++)
    for (int s = 0; s < 2; s++) product->side[s].reader.extent[summed.dim[k]] = 1;
}

/* The folded dims from the outermost in memory to the innermost, as a plain operand (the larger one) has them. */
static void order_folded(Product *product) {
  const Reader *a = &product->side[0].reader, *b = &product->side[1].reader;
  int64_t rows = dims_extent(product, &product->outer[0]), columns = dims_extent(product, &product->outer[1]);
  const Reader *by = reader_is_plain(a) && (rows >= columns || !reader_is_plain(b)) ? a : b;
  if (!reader_is_plain(by)) return;
  Dims *folded = &product->folded;
  for (int k = 1; k < folded->count; k++)
    for (int j = k; j > 0 && llabs(by->step[folded->dim[j]]) > llabs(by->step[folded->dim[j - 1]]); j--) {
      int dim = folded->dim[j];
      folded->dim[j] = folded->dim[j - 1], folded->dim[j - 1] = dim;
    }
}

static void give_roles(Product *product) {
  const bool *a = product->side[0].reader.uses, *b = product->side[1].reader.uses;
  product->loops.count = product->fold_loops.count = product->folded.count = 0;
  product->outer[0].count = product->outer[1].count = 0;
  for (int dim = 0; dim < product->ndims; dim++) {
    if (product->extent[dim] == 1) continue;
    if (dim >= product->nresult)
      dims_add(&product->folded, dim);
    else if (a[dim] == b[dim])
      dims_add(&product->loops, dim);
    else
      dims_add(&product->outer[a[dim] ? 0 : 1], dim);
  }
  order_folded(product);
}

/* ---- loops around the product ---- */

/* Makes loops of outer dims until rows and columns are each one stride of the result, one of them dense. False if the batch
 * is innermost in the result, which no order of loops helps. */
static bool fit_result(Product *product) {
  int64_t stride[2] = {1, 1};
  for (int which = 0; which < 2; which++)
    while (!dims_are_one(product, &product->outer[which], product->to, &stride[which]))
      dims_add(&product->loops, dims_take_first(&product->outer[which]));
  bool none = product->outer[0].count + product->outer[1].count == 0;
  return none || (product->outer[0].count && stride[0] == 1) || (product->outer[1].count && stride[1] == 1);
}

static int64_t gather_bytes(const Product *product, int which) {
  return dims_extent(product, &product->outer[which]) * dims_extent(product, &product->folded) * kind_bytes[product->kind];
}

static bool side_is_direct(const Product *product, int which) {
  const Side *side = &product->side[which];
  int64_t outer, folded, outer_extent = dims_extent(product, &product->outer[which]);
  int64_t fold_extent = dims_extent(product, &product->folded);
  if (!reader_is_plain(&side->reader)) return false;
  if (!dims_are_one(product, &product->outer[which], side->reader.step, &outer)) return false;
  if (!dims_are_one(product, &product->folded, side->reader.step, &folded)) return false;
  if (fold_extent == 1) return outer == 1 || outer_extent == 1 || outer >= 1;
  if (outer_extent == 1) return folded >= 1;
  return (outer == 1 && folded >= outer_extent) || (folded == 1 && outer >= fold_extent);
}

/* A folded dim becomes a loop where that makes two plain operands direct, or cuts a gathering that would leave the cache. */
static void split_folded(Product *product) {
  for (;;) {
    Dims *folded = &product->folded;
    if (folded->count < 2) return;
    int64_t rest = dims_extent(product, folded) / product->extent[folded->dim[0]];
    int64_t smaller = volume(product) / product->extent[folded->dim[0]];
    bool wide = false, plain = true, in_the_way = false;
    for (int which = 0; which < 2; which++) {
      const Reader *reader = &product->side[which].reader;
      int64_t stride;
      plain &= reader_is_plain(reader);
      if (side_is_direct(product, which)) continue;
      wide |= gather_bytes(product, which) > GATHER_BYTES;
      in_the_way |= !dims_are_one(product, folded, reader->step, &stride);
    }
    if (smaller < 4 * WORTH_A_CALL || !((plain && in_the_way) || (wide && rest >= WORTH_FOLDING))) return;
    dims_add(&product->fold_loops, dims_take_first(folded));
  }
}

static void split_outer(Product *product) {
  for (int which = 0; which < 2; which++) {
    Dims *outer = &product->outer[which];
    while (outer->count > 1 && !side_is_direct(product, which) && gather_bytes(product, which) > GATHER_BYTES &&
           volume(product) / product->extent[outer->dim[0]] >= 4 * WORTH_A_CALL)
      dims_add(&product->loops, dims_take_first(outer));
  }
}

/* ---- sides ---- */

/* Chooses how a gathered side lies: the dims whose last one reads memory most densely, and is longest, are inner. */
static void lay_out_side(Product *product, int which) {
  Side *side = &product->side[which];
  const Dims *outer = &product->outer[which], *folded = &product->folded;
  side->direct = side_is_direct(product, which);
  dims_are_one(product, outer, side->reader.step, &side->outer_stride);
  dims_are_one(product, folded, side->reader.step, &side->fold_stride);
  if (side->direct) return;
  int64_t outer_extent = dims_extent(product, outer), fold_extent = dims_extent(product, folded);
  double score[2] = {0, 0};
  for (int k = 0; k < 2; k++) {
    const Dims *dims = k ? folded : outer;
    if (dims->count == 0) continue;
    int last = dims->dim[dims->count - 1];
    int64_t step = llabs(side->reader.step[last]);
    score[k] = (double)product->extent[last] / (step == 1 || step == 0 ? 1 : step <= 8 ? 2 : 100);
  }
  side->fold_inner = score[1] > score[0];
  side->outer_stride = side->fold_inner ? fold_extent : 1;
  side->fold_stride = side->fold_inner ? 1 : outer_extent;
  side->gathered = tensor_scratch(product->frame, product->kind, outer_extent * fold_extent);
}

static bool loops_moved(const Side *side, const Dims *loops, const int64_t *index) {
  for (int k = 0; k < loops->count; k++)
    if (side->reader.uses[loops->dim[k]] && side->gathered_at[loops->dim[k]] != index[loops->dim[k]]) return true;
  return false;
}

/* Where the side's matrix is for the loops' present index. */
static const char *side_matrix(Product *product, int which, int64_t *index) {
  Side *side = &product->side[which];
  Reader *reader = &side->reader;
  if (side->direct) {
    int64_t at = reader->base;
    for (int k = 0; k < product->loops.count; k++) at += reader->step[product->loops.dim[k]] * index[product->loops.dim[k]];
    for (int k = 0; k < product->fold_loops.count; k++)
      at += reader->step[product->fold_loops.dim[k]] * index[product->fold_loops.dim[k]];
    return reader->data + at * reader->bytes;
  }
  if (side->filled && !loops_moved(side, &product->loops, index) && !loops_moved(side, &product->fold_loops, index))
    return side->gathered.data;
  const Dims *first = side->fold_inner ? &product->outer[which] : &product->folded;
  const Dims *second = side->fold_inner ? &product->folded : &product->outer[which];
  int dims[2 * MAX_LOOPS];
  memcpy(dims, first->dim, (size_t)first->count * sizeof *dims);
  memcpy(dims + first->count, second->dim, (size_t)second->count * sizeof *dims);
  double zero = 0;
  reader_gather(reader, first->count + second->count, dims, index, side->gathered.data, &zero);
  memcpy(side->gathered_at, index, sizeof side->gathered_at);
  side->filled = true;
  return side->gathered.data;
}

/* ---- gemm ---- */

static int blas_size(int64_t size) {
  if (size > INT_MAX) bug("a product of %lld rows", (long long)size);
  return (int)size;
}

/* One operand as BLAS wants it: `across` is its stride along rows (or columns) of the result, `along` that along the fold. */
static enum CBLAS_TRANSPOSE blas_order(int64_t across, int64_t along, int64_t outer, int64_t folded, bool first,
                                       int *leading) {
  bool along_dense = folded == 1 ? outer > 1 && across != 1 : along == 1 && (outer == 1 || across >= folded);
  if (folded == 1 && outer == 1) along_dense = true;
  *leading = blas_size(along_dense ? MAX(outer == 1 ? folded : across, folded) : MAX(folded == 1 ? outer : along, outer));
  return along_dense == first ? CblasNoTrans : CblasTrans;
}

static void run_gemm(Product *product, char *result) {
  int rows = 0, columns = 1;
  int64_t to[2] = {1, 1};
  for (int which = 0; which < 2; which++) dims_are_one(product, &product->outer[which], product->to, &to[which]);
  /* the result's rows are the side that is not dense in it; of two possible ones, a */
  bool columns_dense = product->outer[1].count > 0 ? to[1] == 1 : product->outer[0].count == 0 || to[0] != 1;
  if (!columns_dense) rows = 1, columns = 0;
  Side *left = &product->side[rows], *right = &product->side[columns];
  int64_t m = dims_extent(product, &product->outer[rows]), n = dims_extent(product, &product->outer[columns]);
  int64_t k = dims_extent(product, &product->folded), index[MAX_LOOPS] = {0};
  int left_leading, right_leading, leading = blas_size(m == 1 ? n : MAX(to[rows], n));
  enum CBLAS_TRANSPOSE left_order = blas_order(left->outer_stride, left->fold_stride, m, k, true, &left_leading);
  enum CBLAS_TRANSPOSE right_order = blas_order(right->outer_stride, right->fold_stride, n, k, false, &right_leading);
  do {
    int64_t at = 0;
    double keep = 0;
    for (int l = 0; l < product->loops.count; l++) at += product->to[product->loops.dim[l]] * index[product->loops.dim[l]];
    do {
      const void *a = side_matrix(product, rows, index), *b = side_matrix(product, columns, index);
      void *c = result + at * kind_bytes[product->kind];
      if (product->kind == KIND_F64)
        cblas_dgemm(CblasRowMajor, left_order, right_order, blas_size(m), blas_size(n), blas_size(k), 1, a, left_leading, b,
                    right_leading, keep, c, leading);
      else
        cblas_sgemm(CblasRowMajor, left_order, right_order, blas_size(m), blas_size(n), blas_size(k), 1, a, left_leading, b,
                    right_leading, (float)keep, c, leading);
      keep = 1;
    } while (next_index(product->fold_loops.count, product->fold_loops.dim, product->extent, index));
  } while (next_index(product->loops.count, product->loops.dim, product->extent, index));
}

/* ---- plain loops ---- */

#define LINES(T)                                                                                                           \
  static KERNEL void add_products_##T(void *to_line, int64_t to_step, const void *a_line, int64_t a_step,                  \
                                      const void *b_line, int64_t b_step, int64_t count) {                                 \
    T *restrict to = to_line;                                                                                              \
    const T *a = a_line, *b = b_line;                                                                                      \
    if (to_step == 1 && a_step == 1 && b_step == 1)                                                                        \
      for (int64_t i = 0; i < count; i++) to[i] += a[i] * b[i];                                                            \
    else if (to_step == 1 && a_step == 1 && b_step == 0)                                                                   \
      for (int64_t i = 0; i < count; i++) to[i] += a[i] * *b;                                                              \
    else if (to_step == 1 && a_step == 0 && b_step == 1)                                                                   \
      for (int64_t i = 0; i < count; i++) to[i] += *a * b[i];                                                              \
    else                                                                                                                   \
      for (int64_t i = 0; i < count; i++) to[i * to_step] += a[i * a_step] * b[i * b_step];                                \
  }
LINES(float)
LINES(double)

static void add_products(Kind kind, char *to, int64_t to_step, const char *a, int64_t a_step, const char *b, int64_t b_step,
                         int64_t count) {
  if (kind == KIND_F32)
    add_products_float(to, to_step, a, a_step, b, b_step, count);
  else
    add_products_double(to, to_step, a, a_step, b, b_step, count);
}

static void add_dot(Kind kind, char *to, const char *a, int64_t a_step, const char *b, int64_t b_step, int64_t count) {
  int n = blas_size(count);
  if (kind == KIND_F32)
    *(float *)to += cblas_sdot(n, (const float *)a, blas_size(a_step), (const float *)b, blas_size(b_step));
  else
    *(double *)to += cblas_ddot(n, (const double *)a, blas_size(a_step), (const double *)b, blas_size(b_step));
}

static double line_cost(const Product *product, int dim) {
  double cost = 10.0 / (double)product->extent[dim];
  for (int which = 0; which < 2; which++) cost += product->side[which].reader.step[dim] > 1 ? 1.0 : 0.0;
  return cost + (product->to[dim] > 1 ? 1.0 : 0.0);
}

/* All dims in order, the line apart: the result's first, then the folded ones, so that a result stays near while it grows. */
static void run_lines(Product *product, char *result) {
  Dims used, rest = {0};
  int line = -1;
  double zero = 0;
  for (int which = 0; which < 2; which++) {
    used.count = 0;
    Side *side = &product->side[which];
    for (int dim = 0; dim < product->ndims; dim++)
      if (product->extent[dim] > 1 && side->reader.uses[dim]) dims_add(&used, dim);
    if (!reader_is_plain(&side->reader)) make_dense(product, side, &used, &(Dims){0});
  }
  for (int dim = 0; dim < product->ndims; dim++) {
    if (product->extent[dim] == 1) continue;
    if (line < 0 || line_cost(product, dim) < line_cost(product, line)) line = dim;
  }
  for (int dim = 0; dim < product->ndims; dim++)
    if (product->extent[dim] > 1 && dim != line) dims_add(&rest, dim);
  int64_t count = 1;
  for (int dim = 0; dim < product->nresult; dim++) count *= product->extent[dim];
  int bytes = kind_bytes[product->kind];
  fill_line(bytes, count, result, &zero);
  const Reader *a = &product->side[0].reader, *b = &product->side[1].reader;
  int64_t length = line >= 0 ? product->extent[line] : 1, a_step = line >= 0 ? a->step[line] : 0;
  int64_t b_step = line >= 0 ? b->step[line] : 0, to_step = line >= 0 ? product->to[line] : 0, index[MAX_LOOPS] = {0};
  bool dot = line >= product->nresult && a_step > 0 && b_step > 0;
  do {
    int64_t to_at = 0, a_at = a->base, b_at = b->base;
    for (int k = 0; k < rest.count; k++) {
      int dim = rest.dim[k];
      to_at += product->to[dim] * index[dim], a_at += a->step[dim] * index[dim], b_at += b->step[dim] * index[dim];
    }
    if (dot)
      add_dot(product->kind, result + to_at * bytes, a->data + a_at * bytes, a_step, b->data + b_at * bytes, b_step,
              length);
    else
      add_products(product->kind, result + to_at * bytes, to_step, a->data + a_at * bytes, a_step, b->data + b_at * bytes,
                   b_step, length);
  } while (next_index(rest.count, rest.dim, product->extent, index));
}

/* ---- the op ---- */

/* Computes into memory that has the batch in front, and then puts the axes where the result has them. */
static void run_apart(Product *product, Tensor *result) {
  Dims order = {0};
  give_roles(product);
  const Dims *parts[] = {&product->loops, &product->outer[0], &product->outer[1]};
  for (int part = 0; part < 3; part++)
    for (int k = 0; k < parts[part]->count; k++) dims_add(&order, parts[part]->dim[k]);
  int64_t size[MAX_LOOPS], from[MAX_LOOPS], to[MAX_LOOPS], stride = 1;
  for (int k = order.count - 1; k >= 0; k--) {
    size[k] = product->extent[order.dim[k]], from[k] = stride, to[k] = product->to[order.dim[k]];
    product->to[order.dim[k]] = stride;
    stride *= size[k];
  }
  Tensor apart = tensor_scratch(product->frame, product->kind, stride);
  split_folded(product);
  split_outer(product);
  for (int which = 0; which < 2; which++) lay_out_side(product, which);
  run_gemm(product, apart.data);
  copy_strided(kind_bytes[product->kind], order.count, size, result->data, to, apart.data, from);
  tensor_drop(product->frame, &apart);
}

static void run_product(Product *product, Tensor *result) {
  give_roles(product);
  int64_t whole = volume(product);
  bool no_matrix = product->outer[0].count + product->outer[1].count == 0;
  if (whole < SMALL_PRODUCT || no_matrix) {
    run_lines(product, result->data);
    return;
  }
  bool fits = fit_result(product);
  if (!fits || (volume(product) < WORTH_A_CALL && volume(product) < whole)) {
    run_apart(product, result);
    return;
  }
  split_folded(product);
  split_outer(product);
  for (int which = 0; which < 2; which++) lay_out_side(product, which);
  run_gemm(product, result->data);
}

/* A dense copy whose elements have so many bits, to nearest, ties to even. */
static Tensor rounded(Frame *frame, const Tensor *tensor, int bits) {
  Tensor own = *tensor;
  int64_t count = tensor_elements(tensor);
  Tensor line = tensor_scratch(frame, tensor->kind, count);
  own.data = line.data;
  own.block = line.block;
  tensor_dense_strides(&own);
  copy_strided(kind_bytes[own.kind], own.rank, own.size, own.data, own.stride, tensor->data, tensor->stride);
  int drop = 24 - bits;
  for (int64_t k = 0; k < count; k++) {
    uint32_t word;
    memcpy(&word, own.data + 4 * k, sizeof word);
    if ((word & 0x7f800000u) == 0x7f800000u) continue; /* no number */
    word += (1u << (drop - 1)) - 1 + (word >> drop & 1);
    word &= ~((1u << drop) - 1);
    memcpy(own.data + 4 * k, &word, sizeof word);
  }
  return own;
}

static void contract(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  const Space *space = node->space;
  Product product = {.frame = frame, .kind = result->kind, .ndims = space->ndims, .nresult = space->nresult};
  tensor_allocate(frame, result);
  int64_t steps = 1, results = tensor_elements(result);
  double zero = 0;
  for (int which = 0; which < 2; which++)
    product.side[which].reader = reader_of(operands[which], space, which, frame->run->dims);
  for (int dim = 0; dim < space->ndims; dim++) {
    product.extent[dim] = product.side[0].reader.extent[dim];
    if (dim < space->nresult)
      product.to[dim] = result->stride[dim];
    else
      steps *= product.extent[dim];
  }
  if (results == 0) return;
  if (steps == 0) {
    fill_line(kind_bytes[result->kind], results, result->data, &zero);
    return;
  }
  for (int which = 0; which < 2; which++) sum_own_dims(&product, which);
  run_product(&product, result);
  for (int which = 0; which < 2; which++) {
    if (product.side[which].own.data) tensor_drop(frame, &product.side[which].own);
    if (product.side[which].gathered.data) tensor_drop(frame, &product.side[which].gathered);
  }
}

void value_contract(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  int bits = precision_info[frame->run->precision].bits;
  if (bits == 24 || result->kind != KIND_F32) {
    contract(frame, node, operands, result);
    return;
  }
  Tensor own[] = {rounded(frame, operands[0], bits), rounded(frame, operands[1], bits)};
  Tensor *const both[] = {&own[0], &own[1]};
  contract(frame, node, both, result);
  for (int k = 0; k < 2; k++) tensor_drop(frame, &own[k]);
}
