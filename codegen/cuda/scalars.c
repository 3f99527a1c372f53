/* Scalars of a stage as CUDA C: each is a constant of its own name, computed from those before it. What C leaves undefined,
 * and what differs between a GPU's functions and the definition in ir/scalar.c, is a function of prelude.cu. Products and
 * sums are never contracted: NVRTC is told so. */
#include "codegen/cuda/print.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

const char *number_text(Print *print, Dtype dtype, double number) {
  if (dtype == BOOL) return number != 0 ? "true" : "false";
  if (dtype == I32 && number <= (double)INT32_MIN) return "(-2147483647 - 1)";
  if (dtype == I32) return arena_format(print->arena, "%lld", (long long)number);
  float single = (float)number;
  if (isnan(single)) return "NOT_A_NUMBER";
  if (isinf(single)) return single > 0 ? "INFINITE" : "-INFINITE";
  Text text = {0};
  text_add_number(&text, (double)single, true);
  const char *own = arena_format(print->arena, "%sf", text.bytes);
  text_free(&text);
  return own;
}

/* By op and dtype of the operands: an operator, or the name of a function. */
static const char *const op_text[OP_COUNT][BOOL + 1] = {
    [OP_neg] = {[F32] = "-", [I32] = "wrapping_neg"},
    [OP_exp] = {[F32] = "expf"},
    [OP_log] = {[F32] = "logf"},
    [OP_sqrt] = {[F32] = "sqrtf"},
    [OP_sin] = {[F32] = "sinf"},
    [OP_cos] = {[F32] = "cosf"},
    [OP_tanh] = {[F32] = "tanhf"},
    [OP_erf] = {[F32] = "erff"},
    [OP_floor] = {[F32] = "floorf"},
    [OP_round] = {[F32] = "rintf"},
    [OP_add] = {[F32] = "+", [I32] = "wrapping_add"},
    [OP_sub] = {[F32] = "-", [I32] = "wrapping_sub"},
    [OP_mul] = {[F32] = "*", [I32] = "wrapping_mul"},
    [OP_div] = {[F32] = "/"},
    [OP_floordiv] = {[F32] = "floor_divide", [I32] = "floor_divide"},
    [OP_mod] = {[F32] = "floor_modulo", [I32] = "floor_modulo"},
    [OP_pow] = {[F32] = "powf"},
    [OP_max] = {[F32] = "larger", [I32] = "larger", [BOOL] = "larger"},
    [OP_min] = {[F32] = "smaller", [I32] = "smaller", [BOOL] = "smaller"},
    [OP_lt] = {[F32] = "<", [I32] = "<", [BOOL] = "<"},
    [OP_le] = {[F32] = "<=", [I32] = "<=", [BOOL] = "<="},
    [OP_eq] = {[F32] = "==", [I32] = "==", [BOOL] = "=="},
};

static const char *cast_text(Print *print, Dtype from, Dtype to, int a) {
  if (from == to) return arena_format(print->arena, "s%d", a);
  if (to == BOOL) return arena_format(print->arena, "s%d != 0", a);
  if (from == F32) return arena_format(print->arena, "saturate(s%d)", a);
  return arena_format(print->arena, "(%s)s%d", type_text_of(to), a);
}

static const char *elementwise_text(Print *print, const Scalar *scalar) {
  Dtype from = print->stage->scalars.items[scalar->a].dtype;
  if (scalar->op == OP_cast) return cast_text(print, from, scalar->dtype, scalar->a);
  if (scalar->op == OP_where) return arena_format(print->arena, "s%d ? s%d : s%d", scalar->a, scalar->b, scalar->c);
  const char *text = op_text[scalar->op][from];
  if (!text) bug("no CUDA C for %s of %s", op_info[scalar->op].name, dtype_name(from));
  bool function = isalpha((unsigned char)text[0]);
  if (scalar->b < 0) return arena_format(print->arena, function ? "%s(s%d)" : "%ss%d", text, scalar->a);
  if (function) return arena_format(print->arena, "%s(s%d, s%d)", text, scalar->a, scalar->b);
  return arena_format(print->arena, "s%d %s s%d", scalar->a, text, scalar->b);
}

static const char *load_text(Print *print, const Scalar *scalar) {
  const char *element = access_text(print, scalar->access), *guard = access_guard(print, scalar->access);
  if (scalar->dtype == BOOL) element = arena_format(print->arena, "%s != 0", element);
  if (!guard) return element;
  return arena_format(print->arena, "%s ? %s : %s", guard, element, number_text(print, scalar->dtype, scalar->number));
}

static const char *scalar_text(Print *print, const Scalar *scalar) {
  switch (scalar->op) {
  case SCALAR_LOAD: return load_text(print, scalar);
  case SCALAR_NUMBER: return number_text(print, scalar->dtype, scalar->number);
  case SCALAR_SIZE: return arena_format(print->arena, "(int)%s", dim_text(print, scalar->dim));
  case SCALAR_INDEX: return arena_format(print->arena, "(int)(%s)", axis_index(print, scalar->access, 0));
  case SCALAR_INSIDE: {
    const char *guard = access_guard(print, scalar->access);
    return guard ? guard : "true";
  }
  case SCALAR_KEY:
    if (scalar->a < 0)
      return arena_format(print->arena, "random_key(%uu, s%d)", (unsigned)(uint32_t)(int64_t)scalar->number, scalar->b);
    return arena_format(print->arena, scalar->b < 0 ? "s%d" : "random_key(s%d, s%d)", scalar->a, scalar->b);
  case SCALAR_RANDOM:
    return arena_format(print->arena, "random_uniform(s%d, %s)", scalar->a, access_number(print, scalar->access));
  case SCALAR_FOLDED: return arena_format(print->arena, "folded_%d", scalar->index);
  default: return elementwise_text(print, scalar);
  }
}

void print_scalar(Print *print, int scalar, const char *text) {
  print_line(print, "const %s s%d = %s;", type_text_of(print->stage->scalars.items[scalar].dtype), scalar, text);
}

void print_scalars(Print *print, int from, int to) {
  for (int k = from; k < to; k++) print_scalar(print, k, scalar_text(print, &print->stage->scalars.items[k]));
}

const char *store_open(Print *print, const Store *store) {
  const Buffer *buffer = &print->plan->buffers.items[store->access.buffer];
  if (buffer->memory != MEMORY_RESULT) return "";
  return arena_format(print->arena, "if (%s) ", buffer_text(print, store->access.buffer));
}

int count_loads(const Stage *stage, int from, int to) {
  int loads = 0;
  for (int k = from; k < to; k++) loads += stage->scalars.items[k].op == SCALAR_LOAD;
  return loads;
}

void print_stores(Print *print) {
  for (int k = 0; k < print->stage->stores.count; k++) {
    const Store *store = &print->stage->stores.items[k];
    print_line(print, "%s%s = s%d;", store_open(print, store), access_text(print, &store->access), store->value);
  }
}
