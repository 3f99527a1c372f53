/* Values without operands, and the elementwise ops: one pass over memory each.
 *
 * Operands may be broadcast or transposed readings. The loops of result and operands are merged as far as all of them are
 * lines; the innermost is a kernel of scalar.c, which knows dense and repeated operands; an operand that is neither along
 * it is copied dense first, which moves it by tiles instead of by single elements. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#include "ir/interpret_parts.h"
#include <string.h>

/* ---- sources ---- */

/* One element, repeated by strides of 0. */
static void repeat(Frame *frame, Tensor *result, double number) {
  result->block = block_new(frame->interpreter, 8);
  result->data = block_data(result->block);
  kind_set(result->kind, result->data, 0, number);
  memset(result->stride, 0, sizeof result->stride);
}

void value_constant(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  (void)operands;
  if (!node->array) {
    repeat(frame, result, node->number);
    return;
  }
  tensor_allocate(frame, result);
  for (int64_t i = 0, count = tensor_elements(result); i < count; i++)
    kind_set(result->kind, result->data, i, node->array[i]);
}

void value_arg(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  (void)operands;
  const Tensor *parameter = &frame->parameters[node->index];
  tensor_alias(result, parameter);
  memcpy(result->stride, parameter->stride, sizeof result->stride);
}

void value_state(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  (void)operands;
  result->data = frame->run->states[node->index].data;
}

void value_dim(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  (void)operands;
  repeat(frame, result, (double)dim_value(node->dim, frame->run->dims));
}

void value_iota(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  (void)operands;
  int64_t count = result->size[node->index];
  result->block = block_new(frame->interpreter, (size_t)count * sizeof(int32_t));
  result->data = block_data(result->block);
  memset(result->stride, 0, sizeof result->stride);
  result->stride[node->index] = 1;
  for (int64_t i = 0; i < count; i++) ((int32_t *)result->data)[i] = (int32_t)i;
}

/* Numbers are drawn as f32 in an f64 run too, so that both see the same. */
void value_random(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  uint32_t key = node->stream;
  for (int k = 0; k < node->noperands; k++) {
    Tensor keys = tensor_dense(frame, operands[k]);
    for (int64_t i = 0, count = tensor_elements(&keys); i < count; i++)
      key = random_key(key, ((const uint32_t *)keys.data)[i]);
    tensor_drop(frame, &keys);
  }
  tensor_allocate(frame, result);
  int64_t count = tensor_elements(result);
  if (result->kind == KIND_F32)
    random_fill(key, 0, (float *)result->data, count);
  else
    for (int64_t i = 0; i < count; i++) ((double *)result->data)[i] = (double)random_uniform(key, (uint64_t)i);
}

void value_stop(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  (void)frame, (void)node;
  tensor_alias(result, operands[0]);
  memcpy(result->stride, operands[0]->stride, sizeof result->stride);
}

/* ---- loops over several operands ---- */

enum { MOST_OPERANDS = 3, SHORT_LINE = 16 };

typedef struct Sweep {
  int noperands, rank; /* the last loop is the kernel's */
  int64_t size[MAX_RANK + 1], step[MOST_OPERANDS][MAX_RANK + 1];
} Sweep;

static bool continues(const Sweep *sweep, int last, int64_t size, Tensor *const *operands, int axis) {
  for (int k = 0; k < sweep->noperands; k++)
    if (sweep->step[k][last] != operands[k]->stride[axis] * size) return false;
  return true;
}

static Sweep sweep_over(const Tensor *result, Tensor *const *operands, int noperands) {
  Sweep sweep = {.noperands = noperands};
  for (int axis = 0; axis < result->rank; axis++) {
    int64_t size = result->size[axis];
    if (size == 1) continue;
    int at = sweep.rank - 1;
    if (at >= 0 && continues(&sweep, at, size, operands, axis))
      sweep.size[at] *= size;
    else
      sweep.size[at = sweep.rank++] = size;
    for (int k = 0; k < noperands; k++) sweep.step[k][at] = operands[k]->stride[axis];
  }
  if (sweep.rank == 0) sweep.size[sweep.rank++] = 1;
  return sweep;
}

/* The loops of an elementwise op; `own` holds readings that had to be made dense, to be dropped afterwards. */
typedef struct Elementwise {
  Sweep sweep;
  Tensor own[MOST_OPERANDS], *operands[MOST_OPERANDS];
  int64_t index[MAX_RANK + 1], at[MOST_OPERANDS]; /* elements, of the current line */
  char *to;
} Elementwise;

/* A value of one element repeated in all places stays one element. */
static bool all_repeat(Tensor *const *operands, int noperands) {
  for (int k = 0; k < noperands; k++)
    for (int axis = 0; axis < operands[k]->rank; axis++)
      if (operands[k]->stride[axis] != 0 && operands[k]->size[axis] != 1) return false;
  return true;
}

static void elementwise_start(Frame *frame, Elementwise *work, Tensor *const *operands, int noperands, Tensor *result) {
  memset(work, 0, sizeof *work);
  tensor_allocate(frame, result);
  for (int k = 0; k < noperands; k++) work->operands[k] = operands[k];
  work->sweep = sweep_over(result, work->operands, noperands);
  int64_t count = tensor_elements(result);
  if (work->sweep.rank > 1 && count > 256) {
    for (int k = 0; k < noperands; k++) {
      int64_t step = work->sweep.step[k][work->sweep.rank - 1];
      if (all_repeat(&operands[k], 1)) continue; /* a step of 0 in whatever loops the others leave */
      if ((step == 0 || step == 1) && work->sweep.size[work->sweep.rank - 1] >= SHORT_LINE) continue;
      work->own[k] = tensor_dense(frame, operands[k]);
      work->operands[k] = &work->own[k];
    }
    work->sweep = sweep_over(result, work->operands, noperands);
  }
  work->to = count > 0 ? result->data : NULL; /* NULL: no line at all */
}

static bool elementwise_next(Elementwise *work, int64_t result_bytes) {
  Sweep *sweep = &work->sweep;
  work->to += result_bytes;
  for (int loop = sweep->rank - 2; loop >= 0; loop--) {
    for (int k = 0; k < sweep->noperands; k++) work->at[k] += sweep->step[k][loop];
    if (++work->index[loop] < sweep->size[loop]) return true;
    for (int k = 0; k < sweep->noperands; k++) work->at[k] -= sweep->step[k][loop] * sweep->size[loop];
    work->index[loop] = 0;
  }
  return false;
}

static const char *line_start(const Elementwise *work, int k) {
  const Tensor *operand = work->operands[k];
  return operand->data + work->at[k] * kind_bytes[operand->kind];
}

static void elementwise_end(Frame *frame, Elementwise *work) {
  for (int k = 0; k < work->sweep.noperands; k++) tensor_drop(frame, &work->own[k]);
}

static void run_unary(Frame *frame, UnaryKernel *kernel, Tensor *operand, Tensor *result) {
  if (tensor_elements(result) > 0 && all_repeat(&operand, 1)) {
    repeat(frame, result, 0);
    kernel(operand->data, 1, result->data, 1);
    return;
  }
  Elementwise work;
  elementwise_start(frame, &work, &operand, 1, result);
  int64_t count = work.sweep.size[work.sweep.rank - 1], step = work.sweep.step[0][work.sweep.rank - 1];
  for (bool more = work.to != NULL; more; more = elementwise_next(&work, count * kind_bytes[result->kind]))
    kernel(line_start(&work, 0), step, work.to, count);
  elementwise_end(frame, &work);
}

void value_unary(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  UnaryKernel *kernel = scalar_unary(node->op, operands[0]->kind);
  if (!kernel) bug("%s of dtype %s", op_info[node->op].name, dtype_name(operands[0]->dtype));
  run_unary(frame, kernel, operands[0], result);
}

void value_cast(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  if (operands[0]->kind == result->kind)
    value_stop(frame, node, operands, result);
  else
    run_unary(frame, scalar_cast(operands[0]->kind, result->kind), operands[0], result);
}

void value_binary(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  BinaryKernel *kernel = scalar_binary(node->op, operands[0]->kind);
  if (!kernel) bug("%s of dtype %s", op_info[node->op].name, dtype_name(operands[0]->dtype));
  if (tensor_elements(result) > 0 && all_repeat(operands, 2)) {
    repeat(frame, result, 0);
    kernel(operands[0]->data, 1, operands[1]->data, 1, result->data, 1);
    return;
  }
  Elementwise work;
  elementwise_start(frame, &work, operands, 2, result);
  int last = work.sweep.rank - 1;
  int64_t count = work.sweep.size[last], a_step = work.sweep.step[0][last], b_step = work.sweep.step[1][last];
  for (bool more = work.to != NULL; more; more = elementwise_next(&work, count * kind_bytes[result->kind]))
    kernel(line_start(&work, 0), a_step, line_start(&work, 1), b_step, work.to, count);
  elementwise_end(frame, &work);
}

/* ---- where: moves elements, so only their width matters ---- */

#define WHERE(T)                                                                                                           \
  static KERNEL void where_##T(const uint8_t *condition, int64_t condition_step, const T *yes, int64_t yes_step,           \
                               const T *no, int64_t no_step, T *restrict result, int64_t count) {                          \
    if (condition_step == 1 && yes_step == 1 && no_step == 1)                                                              \
      for (int64_t i = 0; i < count; i++) {                                                                                \
        T a = yes[i], b = no[i];                                                                                           \
        result[i] = condition[i] ? a : b;                                                                                  \
      }                                                                                                                    \
    else if (condition_step == 1 && yes_step == 1 && no_step == 0)                                                         \
      for (int64_t i = 0; i < count; i++) {                                                                                \
        T a = yes[i], b = *no;                                                                                             \
        result[i] = condition[i] ? a : b;                                                                                  \
      }                                                                                                                    \
    else                                                                                                                   \
      for (int64_t i = 0; i < count; i++) result[i] = condition[i * condition_step] ? yes[i * yes_step] : no[i * no_step]; \
  }
WHERE(uint8_t)
WHERE(uint32_t)
WHERE(uint64_t)

void value_where(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  (void)node;
  Elementwise work;
  elementwise_start(frame, &work, operands, 3, result);
  int last = work.sweep.rank - 1, bytes = kind_bytes[result->kind];
  int64_t count = work.sweep.size[last], step[3];
  for (int k = 0; k < 3; k++) step[k] = work.sweep.step[k][last];
  for (bool more = work.to != NULL; more; more = elementwise_next(&work, count * bytes)) {
    const void *condition = line_start(&work, 0), *yes = line_start(&work, 1), *no = line_start(&work, 2);
    void *to = work.to;
    if (bytes == 4)
      where_uint32_t(condition, step[0], yes, step[1], no, step[2], to, count);
    else if (bytes == 8)
      where_uint64_t(condition, step[0], yes, step[1], no, step[2], to, count);
    else
      where_uint8_t(condition, step[0], yes, step[1], no, step[2], to, count);
  }
  elementwise_end(frame, &work);
}
