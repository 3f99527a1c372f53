/* Operators on what is known at compile time: numbers, sizes, truth values, strings, lists. */
#include "frontend/build.h"

#include <math.h>
#include <string.h>

static Value too_large(Builder *b, Operator operator) {
  return fault(b, NULL, "'%s': the result does not fit in 64 bits", operator_text(operator));
}

static Value whole_power(Builder *b, int64_t base, int64_t exponent) {
  int64_t result = 1;
  if (base == 1 || base == 0 || base == -1) {
    return value_whole(exponent == 0 || base == 1 ? 1 : base == 0 ? 0 : exponent % 2 ? -1 : 1);
  }
  for (int64_t k = 0; k < exponent; k++) {
    if (!multiply_checked(result, base, &result)) return too_large(b, OPERATOR_POWER);
  }
  return value_whole(result);
}

static Value whole_numbers(Builder *b, Operator operator, int64_t x, int64_t y) {
  int64_t result;
  switch (operator) {
  case OPERATOR_ADD: return add_checked(x, y, &result) ? value_whole(result) : too_large(b, operator);
  case OPERATOR_SUBTRACT:
    if (y == INT64_MIN || !add_checked(x, -y, &result)) return too_large(b, operator);
    return value_whole(result);
  case OPERATOR_MULTIPLY: return multiply_checked(x, y, &result) ? value_whole(result) : too_large(b, operator);
  case OPERATOR_FLOOR_DIVIDE:
  case OPERATOR_MODULO:
    if (y == 0) return fault(b, NULL, "'%s' by 0", operator_text(operator));
    if (y == -1) return operator== OPERATOR_MODULO ? value_whole(0) : whole_numbers(b, OPERATOR_SUBTRACT, 0, x);
    return value_whole(operator== OPERATOR_MODULO ? floor_modulo(x, y) : floor_divide(x, y));
  case OPERATOR_POWER:
    if (y >= 0) return whole_power(b, x, y);
    return value_real(pow((double)x, (double)y));
  default: return value_absent;
  }
}

static Value real_numbers(Builder *b, Operator operator, double x, double y) {
  switch (operator) {
  case OPERATOR_ADD: return value_real(x + y);
  case OPERATOR_SUBTRACT: return value_real(x - y);
  case OPERATOR_MULTIPLY: return value_real(x * y);
  case OPERATOR_DIVIDE:
  case OPERATOR_FLOOR_DIVIDE:
  case OPERATOR_MODULO:
    if (y == 0) return fault(b, NULL, "'%s' by 0", operator_text(operator));
    if (operator== OPERATOR_DIVIDE) return value_real(x / y);
    return value_real(operator== OPERATOR_MODULO ? x - y * floor(x / y) : floor(x / y));
  case OPERATOR_POWER: return value_real(pow(x, y));
  case OPERATOR_EQUAL: return value_bool(x == y);
  case OPERATOR_NOT_EQUAL: return value_bool(x != y);
  case OPERATOR_LESS: return value_bool(x < y);
  case OPERATOR_LESS_EQUAL: return value_bool(x <= y);
  case OPERATOR_GREATER: return value_bool(x > y);
  case OPERATOR_GREATER_EQUAL: return value_bool(x >= y);
  default: return value_absent;
  }
}

int compare_sizes(Builder *b, Operator operator, const Dim * left, const Dim *right) {
  const Dim *difference = dim_subtract(b->module, left, right);
  if (!difference) return -1;
  int64_t low = difference->low, high = difference->high;
  switch (operator) {
  case OPERATOR_EQUAL: return left == right ? 1 : low > 0 || high < 0 ? 0 : -1;
  case OPERATOR_NOT_EQUAL: return left == right ? 0 : low > 0 || high < 0 ? 1 : -1;
  case OPERATOR_LESS: return high < 0 ? 1 : low >= 0 ? 0 : -1;
  case OPERATOR_LESS_EQUAL: return high <= 0 ? 1 : low > 0 ? 0 : -1;
  case OPERATOR_GREATER: return low > 0 ? 1 : high <= 0 ? 0 : -1;
  case OPERATOR_GREATER_EQUAL: return low >= 0 ? 1 : high < 0 ? 0 : -1;
  default: return -1;
  }
}

static Value sizes(Builder *b, Operator operator, const Value * x, const Value *y) {
  const Dim *left, *right, *result = NULL;
  if (!want_size(b, x, "a size", &left) || !want_size(b, y, "a size", &right)) return value_error;
  if (operator>= OPERATOR_EQUAL && operator<= OPERATOR_GREATER_EQUAL) {
    int truth = compare_sizes(b, operator, left, right);
    return truth < 0 ? value_absent : value_bool(truth);
  }
  switch (operator) {
  case OPERATOR_ADD: result = dim_add(b->module, left, right); break;
  case OPERATOR_SUBTRACT: result = dim_subtract(b->module, left, right); break;
  case OPERATOR_MULTIPLY: result = dim_multiply(b->module, left, right); break;
  case OPERATOR_FLOOR_DIVIDE:
  case OPERATOR_MODULO:
    if (right->low <= 0) {
      return fault(b, NULL, "'%s' of sizes by %s, which may be 0 or less", operator_text(operator), value_text(b, y));
    }
    result = operator== OPERATOR_MODULO ? dim_mod(b->module, left, right) : dim_floordiv(b->module, left, right);
    break;
  case OPERATOR_POWER:
    if (y->kind != VALUE_NUMBER || y->number.value < 0 || y->number.value > 8) return value_absent;
    result = dim_constant(b->module, 1);
    for (int64_t k = 0; k < y->number.value; k++) result = dim_multiply(b->module, result, left);
    break;
  default: return value_absent;
  }
  return result ? value_size(result) : too_large(b, operator);
}

static Value lists(Builder *b, Operator operator, const Value * x, const Value *y) {
  if (operator== OPERATOR_EQUAL || operator== OPERATOR_NOT_EQUAL) {
    return value_bool(values_equal(b, x, y) == (operator== OPERATOR_EQUAL));
  }
  if (operator!= OPERATOR_ADD) { return fault(b, NULL, "'%s' is not defined on lists", operator_text(operator)); }
  Value joined = {.kind = VALUE_LIST, .list = {NULL, x->list.count + y->list.count}};
  if (joined.list.count > MAX_ITEMS) return fault(b, NULL, "a list of more than %d items", MAX_ITEMS);
  joined.list.items = NEW_ARRAY(b->arena, Value, joined.list.count + 1);
  for (int k = 0; k < joined.list.count; k++) {
    joined.list.items[k] = k < x->list.count ? x->list.items[k] : y->list.items[k - x->list.count];
  }
  return joined;
}

static bool is_plain(const Value *value) {
  return value->kind == VALUE_STRING || value->kind == VALUE_BOOL || value->kind == VALUE_NONE ||
         value->kind == VALUE_TUPLE;
}

Value operate_known(Builder *b, Operator operator, const Value * x, const Value *y) {
  bool equality = operator== OPERATOR_EQUAL || operator== OPERATOR_NOT_EQUAL;
  if (x->kind == VALUE_NUMBER && y->kind == VALUE_NUMBER) {
    Value value =
        x->number.whole && y->number.whole ? whole_numbers(b, operator, x->number.value, y->number.value) : value_absent;
    return value.kind != VALUE_ABSENT ? value : real_numbers(b, operator, x->number.real, y->number.real);
  }
  if (is_sizelike(x) && is_sizelike(y)) return sizes(b, operator, x, y);
  if (x->kind == VALUE_LIST && y->kind == VALUE_LIST) return lists(b, operator, x, y);
  if (is_known(x) && is_known(y) && equality && (is_plain(x) || is_plain(y))) {
    return value_bool(values_equal(b, x, y) == (operator== OPERATOR_EQUAL));
  }
  if (equality && ((x->kind == VALUE_NONE) != (y->kind == VALUE_NONE))) return value_bool(operator== OPERATOR_NOT_EQUAL);
  if (is_plain(x) || is_plain(y)) {
    const Value *odd = is_plain(x) ? x : y;
    if (odd->kind == VALUE_BOOL && equality) return value_absent;
    return fault(b, NULL, "'%s' is not defined on %s", operator_text(operator), value_kind_name(odd));
  }
  return value_absent;
}
