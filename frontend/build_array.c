/* Builtins that make and move arrays. */
#include "frontend/build.h"

#include <string.h>

/* ---- sources ---- */

static Value fill(Builder *b, const Value *shape, double number) {
  Type type;
  if (!want_shape(b, shape, "the shape", &type)) return value_error;
  if (b->frame->initialising) {
    return (Value){.kind = VALUE_INITIALISER, .initialiser = {.kind = INIT_NUMBER, .a = number}};
  }
  if (!b->level) return fault(b, NULL, "a tensor can only be made in a fn, step or def");
  return value_tensor(b, graph_constant(b->level->graph, type, number));
}

static Value builtin_zeros(Builder *b, Value *arguments) { return fill(b, &arguments[0], 0); }
static Value builtin_ones(Builder *b, Value *arguments) { return fill(b, &arguments[0], 1); }

static Value builtin_full(Builder *b, Value *arguments) {
  Type type;
  Id id;
  if (arguments[1].kind == VALUE_NUMBER && (!arguments[1].number.whole || b->frame->initialising)) {
    return fill(b, &arguments[0], arguments[1].number.real);
  }
  if (!want_shape(b, &arguments[0], "the shape", &type) || !want_tensor(b, &arguments[1], NONE, &id)) return value_error;
  Type from = *graph_type(b->level->graph, id), both;
  if (!shapes_broadcast(b->module, &from, &type, &both) || !type_same_sizes(&both, &type)) {
    return fault(b, NULL, "%s does not broadcast to %s", shape_text(b, &from), shape_text(b, &type));
  }
  return value_tensor(b, graph_broadcast(b->level->graph, id, type.rank, type.size));
}

/* arange(n), arange(low, high, step): i32 */
static Value builtin_arange(Builder *b, Value *arguments) {
  bool alone = arguments[1].kind == VALUE_ABSENT;
  const Dim *low = dim_constant(b->module, 0), *high;
  int64_t step = 1;
  if (!alone && !want_size(b, &arguments[0], "the start", &low)) return value_error;
  if (!want_size(b, alone ? &arguments[0] : &arguments[1], "the end", &high)) return value_error;
  if (arguments[2].kind != VALUE_ABSENT && !want_whole(b, &arguments[2], "the step", &step)) return value_error;
  if (step < 1) return fault(b, NULL, "the step is %lld, not above 0", (long long)step);
  if (!b->level) return fault(b, NULL, "a tensor can only be made in a fn, step or def");
  Graph *graph = b->level->graph;
  const Dim *room = dim_offset(b->module, dim_subtract(b->module, high, low), step - 1);
  const Dim *count = room ? dim_floordiv(b->module, room, dim_constant(b->module, step)) : NULL;
  if (!count || count->high < 1) return fault(b, NULL, "the range is empty");
  check_size(b, count, 1, count->high, "arange holds at least one number");
  Id id = graph_iota(graph, type_of(I32, 1, &count), 0);
  if (step != 1) id = graph_binary(graph, OP_mul, id, graph_number(graph, I32, (double)step));
  if (!dim_is(low, 0)) id = graph_binary(graph, OP_add, id, graph_dim(graph, low));
  return value_tensor(b, id);
}

static Value builtin_uniform(Builder *b, Value *arguments) {
  Type type;
  Value low = arguments[1].kind == VALUE_ABSENT ? value_whole(0) : arguments[1];
  Value high = arguments[2].kind == VALUE_ABSENT ? value_whole(1) : arguments[2];
  if (!want_shape(b, &arguments[0], "the shape", &type)) return value_error;
  if (b->frame->initialising) {
    double from, to;
    if (!want_real(b, &low, "the lower end", &from) || !want_real(b, &high, "the upper end", &to)) return value_error;
    return (Value){.kind = VALUE_INITIALISER, .initialiser = {.kind = INIT_UNIFORM, .a = from, .b = to}};
  }
  if (!b->entry || !b->level) return fault(b, NULL, "random numbers are drawn in a fn, step or def");
  Value drawn = value_tensor(b, draw_uniform(b, &type));
  bool plain = low.kind == VALUE_NUMBER && low.number.real == 0;
  if (!(high.kind == VALUE_NUMBER && plain && high.number.real == 1)) {
    drawn = operate(b, OPERATOR_MULTIPLY, drawn, plain ? high : operate(b, OPERATOR_SUBTRACT, high, low));
  }
  return plain ? drawn : operate(b, OPERATOR_ADD, drawn, low);
}

static Value builtin_initial_normal(Builder *b, Value *arguments) {
  double deviation;
  if (!want_real(b, &arguments[0], "the deviation", &deviation)) return value_error;
  return (Value){.kind = VALUE_INITIALISER, .initialiser = {.kind = INIT_NORMAL, .a = deviation}};
}

static Value builtin_orthogonal(Builder *b, Value *arguments) {
  double gain = 1;
  if (arguments[1].kind != VALUE_ABSENT && !want_real(b, &arguments[1], "the gain", &gain)) return value_error;
  if (!b->frame->initialising) return fault(b, NULL, "'orthogonal' only says what a param starts from");
  return (Value){.kind = VALUE_INITIALISER, .initialiser = {.kind = INIT_ORTHOGONAL, .a = gain}};
}

/* ---- shapes ---- */

static Value shape_of_weight(Builder *b, Value x) {
  return value_shape(b, &b->module->symbols.items[x.weight->symbol].type);
}

static Value shape_leaf(Builder *b, void *user, Value x, Value y) {
  (void)user;
  (void)y;
  if (x.kind == VALUE_WEIGHT) return shape_of_weight(b, x);
  return value_shape(b, tensor_type(&x));
}

static Value builtin_shape(Builder *b, Value *arguments) {
  Id id;
  if (arguments[0].kind == VALUE_WEIGHT && arguments[0].weight->symbol >= 0) return shape_of_weight(b, arguments[0]);
  if (is_tree(&arguments[0])) return map_trees(b, shape_leaf, NULL, arguments[0], arguments[0]);
  if (arguments[0].kind == VALUE_NUMBER || arguments[0].kind == VALUE_SIZE) return value_list(b, NULL, 0);
  if (!want_tensor(b, &arguments[0], NONE, &id)) return value_error;
  return value_shape(b, graph_type(b->level->graph, id));
}

static Value builtin_rank(Builder *b, Value *arguments) {
  if (arguments[0].kind == VALUE_LIST) return value_whole(arguments[0].list.count);
  Value shape = builtin_shape(b, arguments);
  return shape.kind == VALUE_LIST ? value_whole(shape.list.count) : value_error;
}

static Value builtin_reshape(Builder *b, Value *arguments) {
  Id id;
  const Dim *size[MAX_RANK], *known = dim_constant(b->module, 1);
  int open = -1, rank = arguments[1].list.count;
  if (!want_tensor(b, &arguments[0], NONE, &id)) return value_error;
  if (arguments[1].kind != VALUE_LIST || rank > MAX_RANK)
    return fault(b, NULL, "the shape is %s", value_text(b, &arguments[1]));
  Type type = *graph_type(b->level->graph, id);
  for (int k = 0; k < rank; k++) {
    Value item = arguments[1].list.items[k];
    if (item.kind == VALUE_NUMBER && item.number.whole && item.number.value == -1 && open < 0) {
      open = k;
      continue;
    }
    if (!want_size(b, &item, "a size", &size[k])) return value_error;
    if (size[k]->low < 1 && size[k]->high >= 1) check_size(b, size[k], 1, size[k]->high, "a size is at least 1");
    if (size[k]->high < 1) return fault(b, NULL, "%s is no size", value_text(b, &item));
    known = dim_multiply(b->module, known, size[k]);
    if (!known) return fault(b, NULL, "the shape has too many elements");
  }
  const Dim *count = type_count(b->module, &type);
  if (open >= 0 && count) {
    size[open] = dim_floordiv(b->module, count, known);
    known = size[open] ? dim_multiply(b->module, known, size[open]) : NULL;
  }
  if (!known || known != count) {
    return fault(b, NULL, "%s cannot be reshaped to %s: the numbers of elements differ", shape_text(b, &type),
                 value_text(b, &arguments[1]));
  }
  return value_tensor(b, graph_reshape(b->level->graph, id, rank, size));
}

static Value builtin_transpose(Builder *b, Value *arguments) {
  Id id;
  int order[MAX_RANK];
  unsigned seen = 0;
  if (!want_tensor(b, &arguments[0], NONE, &id)) return value_error;
  int rank = graph_type(b->level->graph, id)->rank;
  for (int k = 0; k < rank; k++) order[k] = k;
  if (arguments[1].kind == VALUE_ABSENT) {
    if (rank < 2) return fault(b, NULL, "only one axis to transpose");
    order[rank - 1] = rank - 2;
    order[rank - 2] = rank - 1;
    return value_tensor(b, graph_transpose(b->level->graph, id, order));
  }
  if (arguments[1].kind != VALUE_LIST || arguments[1].list.count != rank) {
    return fault(b, NULL, "%s does not name %d axes", value_text(b, &arguments[1]), rank);
  }
  for (int k = 0; k < rank; k++) {
    if (!want_axis(b, &arguments[1].list.items[k], rank, &order[k])) return value_error;
    if (seen & 1u << order[k]) return fault(b, NULL, "axis %d is named twice", order[k]);
    seen |= 1u << order[k];
  }
  return value_tensor(b, graph_transpose(b->level->graph, id, order));
}

/* ---- joining and parting ---- */

/* The parts as tensors of one dtype; literals take it. */
static bool want_parts(Builder *b, const Value *items, Id *parts, int *count) {
  Dtype dtype = NONE;
  for (*count = 0; items[*count].kind != VALUE_ABSENT; ++*count) {
    if (dtype == NONE) dtype = value_dtype(b, &items[*count]);
  }
  for (int k = 0; k < *count; k++) {
    if (!want_tensor(b, &items[k], dtype, &parts[k])) return false;
  }
  if (*count == 0) fault(b, NULL, "nothing to join");
  return *count > 0;
}

/* concat((a, b)) is concat(a, b) */
static void open_tuple(Value *items) {
  if ((items[0].kind != VALUE_TUPLE && items[0].kind != VALUE_LIST) || items[1].kind != VALUE_ABSENT) return;
  Value tuple = items[0];
  if (tuple.list.count > 0 && !is_data(&tuple.list.items[0])) return;
  for (int k = 0; k < tuple.list.count && k < 60; k++) items[k] = tuple.list.items[k];
}

/* The first axis where the sizes differ, but for `skipped`. */
static Value fault_beside(Builder *b, const char *what, const Type *x, const Type *y, int skipped) {
  int axis = 0;
  if (x->rank != y->rank) return fault(b, NULL, "'%s': %s does not match %s", what, shape_text(b, x), shape_text(b, y));
  while (axis == skipped || x->size[axis] == y->size[axis]) axis++;
  return fault(b, NULL, "'%s': %s does not match %s (axis %d: %s and %s)", what, shape_text(b, x), shape_text(b, y), axis,
               size_text(b, x->size[axis]), size_text(b, y->size[axis]));
}

static Value builtin_concat(Builder *b, Value *arguments) {
  Id parts[64];
  int count, axis;
  open_tuple(&arguments[1]);
  if (!want_parts(b, &arguments[1], parts, &count)) return value_error;
  Graph *graph = b->level->graph;
  Type first = *graph_type(graph, parts[0]);
  Value last = value_whole(-1);
  if (!want_axis(b, arguments[0].kind == VALUE_ABSENT ? &last : &arguments[0], first.rank, &axis)) return value_error;
  for (int k = 1; k < count; k++) {
    Type type = *graph_type(graph, parts[k]), same = type;
    if (type.rank == first.rank) same.size[axis] = first.size[axis];
    if (!type_same_sizes(&same, &first)) return fault_beside(b, "concat", &first, &type, axis);
  }
  return value_tensor(b, graph_concat(graph, parts, count, axis));
}

static Value builtin_stack(Builder *b, Value *arguments) {
  Id parts[64];
  int count, axis;
  open_tuple(&arguments[1]);
  if (!want_parts(b, &arguments[1], parts, &count)) return value_error;
  Graph *graph = b->level->graph;
  Type first = *graph_type(graph, parts[0]);
  Value front = value_whole(0);
  if (first.rank == MAX_RANK) return fault(b, NULL, "more than %d axes", MAX_RANK);
  if (!want_axis(b, arguments[0].kind == VALUE_ABSENT ? &front : &arguments[0], first.rank + 1, &axis)) return value_error;
  for (int k = 0; k < count; k++) {
    Type type = *graph_type(graph, parts[k]);
    if (!type_same_sizes(&type, &first)) return fault_beside(b, "stack", &first, &type, -1);
    parts[k] = graph_insert_axis(graph, parts[k], axis);
  }
  return value_tensor(b, graph_concat(graph, parts, count, axis));
}

/* split(x, 4) makes 4 equal parts, split(x, [2, 6]) parts of those sizes. */
static Value builtin_split(Builder *b, Value *arguments) {
  Id id;
  int axis, count = 0;
  const Dim *sizes[64], *start = dim_constant(b->module, 0);
  Value last = value_whole(-1), parts[64];
  if (!want_tensor(b, &arguments[0], NONE, &id)) return value_error;
  Type type = *graph_type(b->level->graph, id);
  if (!want_axis(b, arguments[2].kind == VALUE_ABSENT ? &last : &arguments[2], type.rank, &axis)) return value_error;
  if (arguments[1].kind == VALUE_LIST) {
    for (; count < arguments[1].list.count && count < COUNT_OF(sizes); count++) {
      if (!want_size(b, &arguments[1].list.items[count], "a size", &sizes[count])) return value_error;
    }
  } else {
    int64_t whole;
    if (!want_whole(b, &arguments[1], "the number of parts", &whole)) return value_error;
    if (whole < 1 || whole > COUNT_OF(sizes)) return fault(b, NULL, "%lld parts: 1 to 64 are possible", (long long)whole);
    const Dim *each = dim_floordiv(b->module, type.size[axis], dim_constant(b->module, whole));
    for (; count < (int)whole; count++) sizes[count] = each;
  }
  for (int k = 0; k < count; k++) {
    if (sizes[k]->low < 1) return fault(b, NULL, "%s cannot be split so", shape_text(b, &type));
    parts[k] = value_tensor(b, graph_slice(b->level->graph, id, axis, start, sizes[k], 1));
    start = dim_add(b->module, start, sizes[k]);
  }
  if (start != type.size[axis]) {
    return fault(b, NULL, "axis %d of %s cannot be split into %s parts", axis, shape_text(b, &type),
                 value_text(b, &arguments[1]));
  }
  return value_tuple(b, parts, count);
}

/* pad(x, [[0, 0], [1, 2]], 0): before and after, by axis; a number for all */
static Value builtin_pad(Builder *b, Value *arguments) {
  Id id;
  double filling = 0;
  if (!want_tensor(b, &arguments[0], NONE, &id)) return value_error;
  if (arguments[2].kind != VALUE_ABSENT && !want_real(b, &arguments[2], "the fill", &filling)) return value_error;
  int rank = graph_type(b->level->graph, id)->rank;
  const Value *widths = &arguments[1];
  if (widths->kind == VALUE_LIST && widths->list.count != rank)
    return fault(b, NULL, "widths for %d axes are wanted", rank);
  for (int k = 0; k < rank; k++) {
    const Value *width = widths->kind == VALUE_LIST ? &widths->list.items[k] : widths;
    bool pair = width->kind == VALUE_LIST && width->list.count == 2;
    const Dim *before, *after;
    if (!want_size(b, pair ? &width->list.items[0] : width, "the width", &before)) return value_error;
    if (!want_size(b, pair ? &width->list.items[1] : width, "the width", &after)) return value_error;
    if (before->low < 0 || after->low < 0) return fault(b, NULL, "a width below 0; a slice takes elements away");
    id = graph_pad(b->level->graph, id, k, before, after, filling);
  }
  return value_tensor(b, id);
}

static Value builtin_flip(Builder *b, Value *arguments) {
  Id id;
  bool turned[MAX_RANK];
  if (!want_tensor(b, &arguments[0], NONE, &id)) return value_error;
  Type type = *graph_type(b->level->graph, id);
  if (!want_axes(b, &arguments[1], type.rank, turned)) return value_error;
  Space space = {.ndims = type.rank, .nresult = type.rank, .nmaps = 1};
  space.map[0].naxes = type.rank;
  for (int k = 0; k < type.rank; k++) {
    space.extent[k] = type.size[k];
    space.map[0].axis[k] = turned[k] ? axis_affine(k, -1, dim_offset(b->module, type.size[k], -1)) : axis_of(b->module, k);
  }
  return value_tensor(b, graph_view(b->level->graph, id, &space, 0));
}

/* ---- by index ---- */

static bool want_gather(Builder *b, Value *arguments, int at, Id *x, Id *index, int *axis, int *batch) {
  int64_t whole = 0;
  if (!want_tensor(b, &arguments[0], NONE, x) || !want_tensor(b, &arguments[1], I32, index)) return false;
  Type type = *graph_type(b->level->graph, *x), tindex = *graph_type(b->level->graph, *index);
  if (arguments[at + 1].kind != VALUE_ABSENT && !want_whole(b, &arguments[at + 1], "batch", &whole)) return false;
  Value first = value_whole(whole);
  if (!want_axis(b, arguments[at].kind == VALUE_ABSENT ? &first : &arguments[at], type.rank, axis)) return false;
  if (whole < 0 || whole > *axis || whole > tindex.rank) return fault(b, NULL, "batch is %lld", (long long)whole), false;
  for (int k = 0; k < whole; k++) {
    if (type.size[k] == tindex.size[k]) continue;
    fault(b, NULL, "%s and indices %s do not match (axis %d: %s and %s)", shape_text(b, &type), shape_text(b, &tindex), k,
          size_text(b, type.size[k]), size_text(b, tindex.size[k]));
    return false;
  }
  *batch = (int)whole;
  if (type.rank - 1 + tindex.rank - *batch > MAX_RANK) return fault(b, NULL, "more than %d axes", MAX_RANK), false;
  return true;
}

static Value builtin_gather(Builder *b, Value *arguments) {
  Id x, index;
  int axis, batch;
  if (!want_gather(b, arguments, 2, &x, &index, &axis, &batch)) return value_error;
  return value_tensor(b, graph_gather(b->level->graph, x, index, axis, batch));
}

static Value builtin_scatter_add(Builder *b, Value *arguments) {
  Id base, index, values;
  int axis, batch;
  if (!want_gather(b, arguments, 3, &base, &index, &axis, &batch)) return value_error;
  Graph *graph = b->level->graph;
  Type type = *graph_type(graph, base), places = *graph_type(graph, index);
  if (!want_tensor(b, &arguments[2], type.dtype, &values)) return value_error;
  Type wanted = {.dtype = type.dtype}, given = *graph_type(graph, values), both;
  for (int k = 0; k < axis; k++) wanted.size[wanted.rank++] = type.size[k];
  for (int k = batch; k < places.rank; k++) wanted.size[wanted.rank++] = places.size[k];
  for (int k = axis + 1; k < type.rank; k++) wanted.size[wanted.rank++] = type.size[k];
  if (type.dtype == BOOL) return fault(b, NULL, "'scatter_add' to a bool tensor");
  if (!shapes_broadcast(b->module, &given, &wanted, &both) || !type_same_sizes(&both, &wanted)) {
    return fault(b, NULL, "the values are %s, not %s", shape_text(b, &given), shape_text(b, &wanted));
  }
  values = graph_broadcast(graph, values, wanted.rank, wanted.size);
  return value_tensor(b, graph_scatter(graph, base, index, values, axis, batch));
}

/* An axis and the last one change places. */
static Id swap_with_last(Builder *b, Id id, int axis) {
  int order[MAX_RANK], last = graph_type(b->level->graph, id)->rank - 1;
  if (axis == last) return id;
  for (int k = 0; k <= last; k++) order[k] = k == axis ? last : k == last ? axis : k;
  return graph_transpose(b->level->graph, id, order);
}

static Value builtin_argsort(Builder *b, Value *arguments) {
  Id id;
  int axis;
  Value last = value_whole(-1);
  if (!want_tensor(b, &arguments[0], NONE, &id)) return value_error;
  const Type *type = graph_type(b->level->graph, id);
  if (type->rank == 0 || type->dtype == BOOL) return fault(b, NULL, "'argsort' of %s", type_text(b->module, type));
  if (!want_axis(b, arguments[1].kind == VALUE_ABSENT ? &last : &arguments[1], type->rank, &axis)) return value_error;
  id = graph_argsort(b->level->graph, swap_with_last(b, id, axis));
  return value_tensor(b, swap_with_last(b, id, axis));
}

/* Without an axis, as NumPy: over all elements in a row. */
static Value builtin_cumsum(Builder *b, Value *arguments) {
  Id id;
  int axis = 0;
  if (!want_tensor(b, &arguments[0], NONE, &id)) return value_error;
  const Type *type = graph_type(b->level->graph, id);
  if (type->dtype == BOOL) return fault(b, NULL, "'cumsum' of a bool tensor");
  if (arguments[1].kind == VALUE_ABSENT || arguments[1].kind == VALUE_NONE) {
    const Dim *count = type_count(b->module, type);
    if (!count) return fault(b, NULL, "%s has too many elements", shape_text(b, type));
    if (type->rank != 1) id = graph_reshape(b->level->graph, id, 1, &count);
  } else if (!want_axis(b, &arguments[1], type->rank, &axis)) {
    return value_error;
  }
  return value_tensor(b, graph_cumsum(b->level->graph, id, axis));
}

const Builtin builtins_array[] = {
    {"zeros", "shape", builtin_zeros, NULL},
    {"ones", "shape", builtin_ones, NULL},
    {"full", "shape value", builtin_full, NULL},
    {"arange", "low high? step?", builtin_arange, NULL},
    {"uniform", "shape low? high?", builtin_uniform, NULL},
    {"initial_normal", "deviation", builtin_initial_normal, NULL},
    {"orthogonal", "shape gain?", builtin_orthogonal, NULL},
    {"shape", "x", builtin_shape, NULL},
    {"rank", "x", builtin_rank, NULL},
    {"reshape", "x shape", builtin_reshape, NULL},
    {"transpose", "x axes?", builtin_transpose, NULL},
    {"concat", "axis? *", builtin_concat, NULL},
    {"stack", "axis? *", builtin_stack, NULL},
    {"split", "x parts axis?", builtin_split, NULL},
    {"pad", "x widths fill?", builtin_pad, NULL},
    {"flip", "x axis?", builtin_flip, NULL},
    {"gather", "x index axis? batch?", builtin_gather, NULL},
    {"scatter_add", "base index values axis? batch?", builtin_scatter_add, NULL},
    {"argsort", "x axis?", builtin_argsort, NULL},
    {"cumsum", "x axis?", builtin_cumsum, NULL},
    {NULL, NULL, NULL, NULL},
};
