/* Values: how they are made, shown, and turned into what an op wants. Every want_ function reports and gives false where the
 * value is of another kind, and is silent about an error value, which was reported before. */
#include "frontend/build.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const Value value_error = {.kind = VALUE_ERROR}, no_value = {.kind = VALUE_NONE}, value_absent = {.kind = VALUE_ABSENT};

Value value_whole(int64_t value) {
  return (Value){.kind = VALUE_NUMBER, .number = {.whole = true, .value = value, .real = (double)value}};
}

Value value_real(double value) { return (Value){.kind = VALUE_NUMBER, .number = {.real = value}}; }

Value value_bool(bool truth) { return (Value){.kind = VALUE_BOOL, .truth = truth}; }

Value value_string(const char *string) { return (Value){.kind = VALUE_STRING, .string = string}; }

Value value_size(const Dim *size) {
  int64_t constant;
  if (dim_is_constant(size, &constant)) return value_whole(constant);
  return (Value){.kind = VALUE_SIZE, .size = size};
}

/* Bounds whose product leaves 64 bits would be a bug further on. */
static bool too_many_elements(const Type *type) {
  int64_t count = 1;
  for (int k = 0; k < type->rank; k++) {
    if (!multiply_checked(count, MAX(type->size[k]->high, 1), &count) || count > INT64_C(1) << 46) return true;
  }
  return false;
}

Value value_tensor(Builder *b, Id id) {
  const Type *type = graph_type(b->level->graph, id);
  if (too_many_elements(type)) {
    return fault(b, NULL, "%s may have more elements than any machine holds", shape_text(b, type));
  }
  return (Value){.kind = VALUE_TENSOR, .tensor = {id, b->level}};
}

static Value value_items(Builder *b, ValueKind kind, const Value *items, int count) {
  Value list = {.kind = kind, .list = {NULL, count}};
  if (count > 0) list.list.items = arena_copy(b->arena, items, (size_t)count * sizeof *items);
  return list;
}

Value value_list(Builder *b, const Value *items, int count) { return value_items(b, VALUE_LIST, items, count); }
Value value_tuple(Builder *b, const Value *items, int count) { return value_items(b, VALUE_TUPLE, items, count); }

Value value_shape(Builder *b, const Type *type) {
  Value sizes[MAX_RANK];
  for (int k = 0; k < type->rank; k++) sizes[k] = value_size(type->size[k]);
  return value_list(b, sizes, type->rank);
}

/* ---- kinds ---- */

bool is_error(const Value *value) {
  if (value->kind == VALUE_LIST || value->kind == VALUE_TUPLE) {
    for (int k = 0; k < value->list.count; k++) {
      if (is_error(&value->list.items[k])) return true;
    }
  }
  return value->kind == VALUE_ERROR;
}

bool is_data(const Value *value) { return value->kind == VALUE_TENSOR || value->kind == VALUE_WEIGHT; }

bool is_known(const Value *value) {
  if (value->kind == VALUE_LIST || value->kind == VALUE_TUPLE) {
    for (int k = 0; k < value->list.count; k++) {
      if (!is_known(&value->list.items[k])) return false;
    }
  }
  return !is_data(value) && value->kind != VALUE_TREE;
}

bool is_sizelike(const Value *value) {
  return value->kind == VALUE_SIZE || (value->kind == VALUE_NUMBER && value->number.whole);
}

const Type *tensor_type(const Value *tensor) { return graph_type(tensor->tensor.level->graph, tensor->tensor.id); }

Dtype value_dtype(Builder *b, const Value *value) {
  if (value->kind == VALUE_TENSOR) return tensor_type(value)->dtype;
  if (value->kind == VALUE_WEIGHT && value->weight->symbol >= 0) {
    return b->module->symbols.items[value->weight->symbol].type.dtype;
  }
  return value->kind == VALUE_BOOL ? BOOL : NONE;
}

const char *value_kind_name(const Value *value) {
  static const char *const names[] = {[VALUE_ERROR] = "an error",
                                      [VALUE_ABSENT] = "nothing",
                                      [VALUE_NONE] = "nothing",
                                      [VALUE_NUMBER] = "a number",
                                      [VALUE_SIZE] = "a size",
                                      [VALUE_BOOL] = "a truth value",
                                      [VALUE_STRING] = "a string",
                                      [VALUE_LIST] = "a list",
                                      [VALUE_TUPLE] = "a tuple",
                                      [VALUE_TENSOR] = "a tensor",
                                      [VALUE_WEIGHT] = "a param",
                                      [VALUE_LAYER] = "a layer",
                                      [VALUE_TEMPLATE] = "a def",
                                      [VALUE_TREE] = "a layer's tree of tensors",
                                      [VALUE_INITIALISER] = "an initialiser"};
  return names[value->kind];
}

bool values_equal(Builder *b, const Value *x, const Value *y) {
  if (x->kind != y->kind) return false;
  switch (x->kind) {
  case VALUE_NUMBER: return x->number.real == y->number.real;
  case VALUE_SIZE: return x->size == y->size;
  case VALUE_BOOL: return x->truth == y->truth;
  case VALUE_STRING: return strcmp(x->string, y->string) == 0;
  case VALUE_LIST:
  case VALUE_TUPLE:
    if (x->list.count != y->list.count) return false;
    for (int k = 0; k < x->list.count; k++) {
      if (!values_equal(b, &x->list.items[k], &y->list.items[k])) return false;
    }
    return true;
  default: return x->kind == VALUE_NONE;
  }
}

/* ---- text ---- */

static char *finish_text(Builder *b, Text *text) {
  char *copy = arena_copy(b->arena, text->bytes ? text->bytes : "", text->length + 1);
  text_free(text);
  return copy;
}

static void add_sizes(const Module *module, const Type *type, Text *text) {
  text_add(text, "[");
  for (int k = 0; k < type->rank; k++) {
    if (k > 0) text_add(text, ", ");
    dim_print(module, type->size[k], text);
  }
  text_add(text, "]");
}

const char *shape_text(Builder *b, const Type *type) {
  Text text = {0};
  add_sizes(b->module, type, &text);
  return finish_text(b, &text);
}

const char *size_text(Builder *b, const Dim *size) {
  Text text = {0};
  dim_print(b->module, size, &text);
  return finish_text(b, &text);
}

static void add_value(Builder *b, const Value *value, Text *text) {
  switch (value->kind) {
  case VALUE_NUMBER:
    if (value->number.whole) {
      text_add(text, "%lld", (long long)value->number.value);
    } else {
      text_add_number(text, value->number.real, false);
    }
    break;
  case VALUE_SIZE: dim_print(b->module, value->size, text); break;
  case VALUE_BOOL: text_add(text, value->truth ? "true" : "false"); break;
  case VALUE_STRING: text_add(text, "\"%s\"", value->string); break;
  case VALUE_LIST:
  case VALUE_TUPLE:
    text_add(text, value->kind == VALUE_LIST ? "[" : "(");
    for (int k = 0; k < value->list.count && k < 16; k++) {
      if (k > 0) text_add(text, ", ");
      add_value(b, &value->list.items[k], text);
    }
    text_add(text, value->list.count > 16 ? ", ..." : "");
    text_add(text, value->kind == VALUE_LIST ? "]" : ")");
    break;
  case VALUE_TENSOR: type_print(b->module, tensor_type(value), text); break;
  case VALUE_WEIGHT: text_add(text, "'%s'", value->weight->path); break;
  case VALUE_LAYER: text_add(text, "the layer '%s'", value->part->path); break;
  default: text_add(text, "%s", value_kind_name(value)); break;
  }
}

const char *value_text(Builder *b, const Value *value) {
  Text text = {0};
  add_value(b, value, &text);
  return finish_text(b, &text);
}

/* ---- places and faults ---- */

const Place *place_of(Builder *b, const Source *source, uint32_t offset) {
  Place place = {source, offset, b->frame ? b->frame->caller : NULL, b->frame ? b->frame->inside : NULL};
  return arena_copy(b->arena, &place, sizeof place);
}

const Place *place_at(Builder *b, const Expression *at) { return place_of(b, at->source, at->offset); }

void stand_at(Builder *b, const Expression *at) {
  b->at = at;
  if (b->level) b->level->graph->here = place_at(b, at);
}

Value fault(Builder *b, const Expression *at, const char *format, ...) {
  va_list list;
  va_start(list, format);
  const char *message = arena_format_list(b->arena, format, list);
  va_end(list);
  error_at(b->diagnostics, place_at(b, at ? at : b->at), "%s", message);
  return value_error;
}

void fault_in(Builder *b, const Source *source, uint32_t offset, const char *format, ...) {
  va_list list;
  va_start(list, format);
  const char *message = arena_format_list(b->arena, format, list);
  va_end(list);
  error_at(b->diagnostics, place_of(b, source, offset), "%s", message);
}

/* ---- wanting ---- */

/* An outer level's tensor inside a scan's body is one of the body's captures. */
Id import_tensor(Builder *b, Level *level, const Value *tensor) {
  if (tensor->tensor.level == level) return tensor->tensor.id;
  if (!level->outer) bug("a tensor of a graph that is finished");
  Id outer = import_tensor(b, level->outer, tensor);
  for (int k = 0; k < level->captures.count; k++) {
    if (level->captures.items[k].symbol == outer) return level->captures.items[k].id;
  }
  const Node *node = graph_node(level->outer->graph, outer);
  Id id = graph_parameter(level->graph, node->name, node->type, node->place);
  PUSH(b->arena, &level->captures, ((Read){outer, id}));
  return id;
}

static bool list_rank(const Value *list, int *rank, const Dim **size, Module *module) {
  if (list->kind != VALUE_LIST) return true;
  if (list->list.count == 0 || *rank == MAX_RANK) return false;
  size[(*rank)++] = dim_constant(module, list->list.count);
  return list_rank(&list->list.items[0], rank, size, module);
}

typedef struct Written {
  Vec(double) numbers;
  bool fraction, misfit;
} Written;

static void flatten_list(Builder *b, const Value *value, int rank, const Dim *const *size, Written *written) {
  if (value->kind == VALUE_LIST) {
    if (rank == 0 || !dim_is(size[0], value->list.count)) {
      written->misfit = true;
      return;
    }
    for (int k = 0; k < value->list.count; k++) flatten_list(b, &value->list.items[k], rank - 1, size + 1, written);
    return;
  }
  if (value->kind != VALUE_NUMBER || rank != 0) {
    written->misfit = true;
    return;
  }
  written->fraction |= !value->number.whole;
  PUSH(b->arena, &written->numbers, value->number.real);
}

/* A tensor written out: [0.5, 1, -1]. */
static bool want_list_tensor(Builder *b, const Value *value, Dtype dtype, Id *id) {
  const Dim *size[MAX_RANK];
  int rank = 0;
  Written written = {0};
  if (!list_rank(value, &rank, size, b->module)) {
    fault(b, NULL, "a tensor written out has at least one element along each axis");
    return false;
  }
  flatten_list(b, value, rank, size, &written);
  if (written.misfit) {
    fault(b, NULL, "%s is no tensor: its items are not all numbers, or its rows differ in length", value_text(b, value));
    return false;
  }
  if (dtype == NONE) dtype = written.fraction ? F32 : I32;
  if (dtype == BOOL || (dtype == I32 && written.fraction)) {
    fault(b, NULL, "%s does not fit %s", value_text(b, value), dtype_name(dtype));
    return false;
  }
  *id = graph_array(b->level->graph, type_of(dtype, rank, size), written.numbers.items);
  return true;
}

static bool want_number_tensor(Builder *b, const Value *value, Dtype dtype, Id *id) {
  if (dtype == NONE) dtype = value->number.whole ? I32 : F32;
  if (dtype == BOOL || (dtype == I32 && !value->number.whole)) {
    fault(b, NULL, "%s does not fit %s", value_text(b, value), dtype == BOOL ? "a bool tensor" : "an i32 tensor");
    help_for(b->diagnostics,
             dtype == BOOL ? "write true or false, or convert the tensor by f32(x)" : "convert the tensor by f32(x)");
    return false;
  }
  if (dtype == I32 && (value->number.value < INT32_MIN || value->number.value > INT32_MAX)) {
    fault(b, NULL, "%lld does not fit in i32", (long long)value->number.value);
    return false;
  }
  *id = graph_number(b->level->graph, dtype, value->number.real);
  return true;
}

static bool want_typed(Builder *b, Dtype dtype, Id id) {
  const Type *type = graph_type(b->level->graph, id);
  if (dtype == NONE || type->dtype == dtype) return true;
  fault(b, NULL, "%s where %s is wanted", type_text(b->module, type), dtype_name(dtype));
  help_for(b->diagnostics, "convert it by %s(x)", dtype_name(dtype));
  return false;
}

bool want_tensor(Builder *b, const Value *value, Dtype dtype, Id *id) {
  if (is_error(value)) return false;
  if (!b->level) {
    fault(b, NULL, "a tensor can only be computed in a fn, step or def");
    return false;
  }
  Graph *graph = b->level->graph;
  if (graph->nodes.count > MAX_NODES) {
    fault(b, NULL, "'%s' becomes more than %d operations", graph->name, MAX_NODES);
    return false;
  }
  switch (value->kind) {
  case VALUE_TENSOR: *id = import_tensor(b, b->level, value); return want_typed(b, dtype, *id);
  case VALUE_WEIGHT:
    if (value->weight->symbol < 0) {
      fault(b, NULL, "'%s' has no value yet", value->weight->path);
      return false;
    }
    *id = read_weight(b, b->level, value->weight);
    if (value->stop || b->frame->stop) *id = graph_stop(graph, *id);
    return want_typed(b, dtype, *id);
  case VALUE_NUMBER: return want_number_tensor(b, value, dtype, id);
  case VALUE_SIZE:
    *id = graph_dim(graph, value->size);
    if (dtype == F32) *id = graph_cast(graph, F32, *id);
    return want_typed(b, dtype, *id);
  case VALUE_BOOL: *id = graph_number(graph, BOOL, value->truth); return want_typed(b, dtype, *id);
  case VALUE_LIST: return want_list_tensor(b, value, dtype, id);
  default:
    fault(b, NULL, "%s where a tensor is wanted", value_kind_name(value));
    if (value->kind == VALUE_TEMPLATE || value->kind == VALUE_LAYER)
      help_for(b->diagnostics, "apply it to its inputs first");
    if (value->kind == VALUE_NONE) help_for(b->diagnostics, "a scan's value is what it yields, a block's its last line");
    return false;
  }
}

bool want_whole(Builder *b, const Value *value, const char *what, int64_t *whole) {
  if (is_error(value)) return false;
  if (value->kind == VALUE_NUMBER && value->number.whole) {
    *whole = value->number.value;
    return true;
  }
  fault(b, NULL, "%s is %s, not a whole number known at compile time", what, value_text(b, value));
  return false;
}

bool want_real(Builder *b, const Value *value, const char *what, double *real) {
  if (is_error(value)) return false;
  if (value->kind == VALUE_NUMBER) {
    *real = value->number.real;
    return true;
  }
  fault(b, NULL, "%s is %s, not a number known at compile time", what, value_text(b, value));
  return false;
}

bool want_size(Builder *b, const Value *value, const char *what, const Dim **size) {
  if (is_error(value)) return false;
  if (is_sizelike(value)) {
    *size = value->kind == VALUE_SIZE ? value->size : dim_constant(b->module, value->number.value);
    return true;
  }
  fault(b, NULL, "%s is %s, not a size", what, value_text(b, value));
  return false;
}

bool want_bool(Builder *b, const Value *value, const char *what, bool *truth) {
  if (is_error(value)) return false;
  if (value->kind == VALUE_BOOL) {
    *truth = value->truth;
    return true;
  }
  fault(b, NULL, "%s is %s, not true or false", what, value_text(b, value));
  return false;
}

bool want_shape(Builder *b, const Value *value, const char *what, Type *type) {
  if (is_error(value)) return false;
  if (value->kind != VALUE_LIST && !is_sizelike(value)) {
    fault(b, NULL, "%s is %s, not a list of sizes", what, value_text(b, value));
    return false;
  }
  const Value *items = value->kind == VALUE_LIST ? value->list.items : value;
  int count = value->kind == VALUE_LIST ? value->list.count : 1;
  *type = type_scalar(F32);
  if (count > MAX_RANK) {
    fault(b, NULL, "%s has %d axes; at most %d are possible", what, count, MAX_RANK);
    return false;
  }
  for (int k = 0; k < count; k++) {
    if (!want_size(b, &items[k], "a size", &type->size[k])) return false;
    if (type->size[k]->high < 1) {
      fault(b, NULL, "%s is %s: a size is at least 1", what, value_text(b, value));
      return false;
    }
    type->rank++;
  }
  if (!too_many_elements(type)) return true;
  fault(b, NULL, "%s may have more elements than any machine holds", shape_text(b, type));
  return false;
}

bool want_axis(Builder *b, const Value *value, int rank, int *axis) {
  int64_t whole;
  if (!want_whole(b, value, "the axis", &whole)) return false;
  if (whole < -rank || whole >= rank) {
    fault(b, NULL, "there is no axis %lld of %d", (long long)whole, rank);
    return false;
  }
  *axis = (int)(whole < 0 ? whole + rank : whole);
  return true;
}
