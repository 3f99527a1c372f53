/* How far rounding may lead, by Monte Carlo arithmetic (after: Parker, "Monte Carlo arithmetic: exploiting randomness in
 * floating-point computations", 1997): in a run in f64 what each op gives is moved a little, at random, where f32 would have
 * to round it.
 *
 * One operation is off by so much of its result; a sum, in whatever order it is taken, by so much of the sum of its terms'
 * magnitudes, however small it is itself. What f32 holds exactly stays: an op that gives whole numbers gives them in f32 too. */
#include "ir/interpret_parts.h"

#include <float.h>
#include <math.h>

/* The others choose, move or count. */
typedef enum Rounding { EXACT, ROUNDS, SUMS } Rounding;
static const Rounding rounding[OP_COUNT] = {
    [OP_exp] = ROUNDS,   [OP_log] = ROUNDS,  [OP_sqrt] = ROUNDS, [OP_sin] = ROUNDS,    [OP_cos] = ROUNDS,
    [OP_tanh] = ROUNDS,  [OP_erf] = ROUNDS,  [OP_add] = ROUNDS,  [OP_sub] = ROUNDS,    [OP_mul] = ROUNDS,
    [OP_div] = ROUNDS,   [OP_mod] = ROUNDS,  [OP_pow] = ROUNDS,  [OP_fold_sum] = SUMS, [OP_contract] = SUMS,
    [OP_scatter] = SUMS, [OP_cumsum] = SUMS,
};

/* SplitMix64's mix: good enough, and in a tenth of Philox's time. */
static double minus_one_to_one(uint64_t draw) {
  draw *= 0x9E3779B97F4A7C15u;
  draw = (draw ^ (draw >> 30)) * 0xBF58476D1CE4E5B9u;
  draw = (draw ^ (draw >> 27)) * 0x94D049BB133111EBu;
  return (double)(int64_t)(draw ^ (draw >> 31)) * 0x1p-63;
}

static Tensor magnitudes(Frame *frame, const Tensor *of) {
  Tensor tensor = *of;
  tensor_dense_strides(&tensor);
  tensor_allocate(frame, &tensor);
  copy_strided(kind_bytes[of->kind], of->rank, of->size, tensor.data, tensor.stride, of->data, of->stride);
  if (of->kind != KIND_F64) return tensor; /* indices */
  double *data = (double *)tensor.data;
  for (int64_t i = 0, count = tensor_elements(&tensor); i < count; i++) data[i] = fabs(data[i]);
  return tensor;
}

/* The op of its operands' magnitudes. */
static Tensor sum_of_magnitudes(Frame *frame, const Node *node, Tensor *const *operands, const Tensor *result,
                                ValueFunction *value) {
  enum { MOST = 3 };
  Tensor own[MOST], *list[MOST], sum = *result;
  CHECK(node->noperands <= MOST);
  for (int k = 0; k < node->noperands; k++) {
    own[k] = magnitudes(frame, operands[k]);
    list[k] = &own[k];
  }
  sum.block = NULL, sum.data = NULL;
  tensor_dense_strides(&sum);
  value(frame, node, list, &sum);
  for (int k = 0; k < node->noperands; k++) tensor_drop(frame, &own[k]);
  return sum;
}

void shake_result(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result, ValueFunction *value) {
  if (rounding[node->op] == EXACT || result->kind != KIND_F64) return;
  if (!tensor_is_dense(result)) { /* one element that is read again and again */
    Tensor dense = tensor_dense(frame, result);
    tensor_drop(frame, result);
    *result = dense;
  }
  Shake *shake = frame->run->shake;
  Tensor sum = {0};
  if (rounding[node->op] == SUMS) sum = sum_of_magnitudes(frame, node, operands, result, value);
  double *data = (double *)result->data, unit = shake->units * (double)FLT_EPSILON;
  if (shake->more && node->op == OP_contract) unit *= shake->more(shake->user, frame->graph, node);
  const double *size = sum.data ? (const double *)sum.data : data;
  for (int64_t i = 0, count = tensor_elements(result); i < count; i++) {
    double off = minus_one_to_one(shake->draws++);
    if ((double)(float)data[i] != data[i]) data[i] += unit * off * fabs(size[i]);
  }
  tensor_drop(frame, &sum);
}
