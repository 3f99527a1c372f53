/* x[1:, ::2, None, ..., 0]: lists are cut at compile time; of a tensor every item is one slice, gather or reshape. */
#include "frontend/build.h"

/* ---- sizes that a bound may leave open ---- */

void check_size(Builder *b, const Dim *size, int64_t low, int64_t high, const char *what) {
  if (!b->entry || (size->low >= low && size->high <= high)) return;
  Graph *graph = b->entry->graph;
  for (int k = 0; k < graph->checks.count; k++) {
    if (graph->checks.items[k].dim == size && graph->checks.items[k].low >= low && graph->checks.items[k].high <= high)
      return;
  }
  PUSH(b->arena, &graph->checks, ((EntryCheck){size, low, high, what, place_at(b, b->at)}));
}

static bool inside(Builder *b, const Dim *room, const char *what, const Value *index, const Dim *size) {
  if (room && room->high >= 0) {
    check_size(b, room, 0, room->high, "an index or slice lies inside its axis");
    return true;
  }
  fault(b, NULL, "%s %s lies outside an axis of %s", what, value_text(b, index), size_text(b, size));
  return false;
}

Id drop_axis(Builder *b, Id id, int axis, const Dim *index) {
  Graph *graph = b->level->graph;
  const Dim *size[MAX_RANK];
  Id slice = graph_slice(graph, id, axis, index, dim_constant(b->module, 1), 1);
  Type type = *graph_type(graph, slice);
  int rank = 0;
  for (int k = 0; k < type.rank; k++) {
    if (k != axis) size[rank++] = type.size[k];
  }
  return graph_reshape(graph, slice, rank, size);
}

/* Counted from the end where it is negative. */
static bool want_position(Builder *b, const Value *value, const Dim *size, const Dim **position) {
  if (!want_size(b, value, "the index", position)) return false;
  if ((*position)->high < 0) *position = dim_add(b->module, *position, size);
  if (!*position || (*position)->high < 0) {
    fault(b, NULL, "index %s lies outside an axis of %s", value_text(b, value), size_text(b, size));
    return false;
  }
  return true;
}

typedef struct Cut {
  const Dim *start, *count;
  int64_t step;
} Cut;

static bool cut_axis(Builder *b, const IndexItem *item, const Dim *size, Cut *cut) {
  Module *module = b->module;
  Value start = item->start ? evaluate(b, item->start) : value_whole(0);
  Value stop = item->stop ? evaluate(b, item->stop) : value_size(size);
  Value step = item->step ? evaluate(b, item->step) : value_whole(1);
  const Dim *end;
  if (!want_position(b, &start, size, &cut->start) || !want_whole(b, &step, "the step", &cut->step)) return false;
  if (!want_position(b, &stop, size, &end)) return false;
  if (cut->step < 1) return fault(b, NULL, "steps are positive; flip turns an axis round"), false;
  if (!inside(b, dim_subtract(module, size, end), "a slice up to", &stop, size)) return false;
  const Dim *length = dim_offset(module, dim_subtract(module, end, cut->start), cut->step - 1);
  cut->count = length ? dim_floordiv(module, length, dim_constant(module, cut->step)) : NULL;
  if (!cut->count || cut->count->high < 1) return fault(b, NULL, "the slice is empty"), false;
  check_size(b, cut->count, 1, cut->count->high, "a slice holds at least one element");
  return true;
}

/* ---- tensors ---- */

static bool index_axis(Builder *b, const IndexItem *item, Id *id, int *axis) {
  Graph *graph = b->level->graph;
  const Dim *size = graph_type(graph, *id)->size[*axis], *position;
  Value at = evaluate(b, item->at);
  if (is_error(&at)) return false;
  if (is_data(&at) || at.kind == VALUE_LIST) {
    Id index;
    if (!want_tensor(b, &at, I32, &index)) return false;
    int rank = graph_type(graph, index)->rank;
    if (graph_type(graph, *id)->rank - 1 + rank > MAX_RANK) return fault(b, NULL, "more than %d axes", MAX_RANK), false;
    *id = graph_gather(graph, *id, index, *axis, 0);
    *axis += rank;
    return true;
  }
  if (!want_position(b, &at, size, &position)) return false;
  if (!inside(b, dim_subtract(b->module, dim_offset(b->module, size, -1), position), "index", &at, size)) return false;
  *id = drop_axis(b, *id, *axis, position);
  return true;
}

static bool index_item(Builder *b, const IndexItem *item, int open, Id *id, int *axis) {
  Graph *graph = b->level->graph;
  Cut cut;
  switch (item->kind) {
  case INDEX_AT: return index_axis(b, item, id, axis);
  case INDEX_SLICE:
    if (!cut_axis(b, item, graph_type(graph, *id)->size[*axis], &cut)) return false;
    *id = graph_slice(graph, *id, (*axis)++, cut.start, cut.count, cut.step);
    return true;
  case INDEX_NEW_AXIS:
    if (graph_type(graph, *id)->rank == MAX_RANK) return fault(b, NULL, "more than %d axes", MAX_RANK), false;
    *id = graph_insert_axis(graph, *id, (*axis)++);
    return true;
  case INDEX_ELLIPSIS: *axis += open; return true;
  }
  return false;
}

static Value index_tensor(Builder *b, const Expression *expression, Value object) {
  Id id;
  int axis = 0, taken = 0, ellipses = 0;
  if (!want_tensor(b, &object, NONE, &id)) return value_error;
  Type type = *graph_type(b->level->graph, id);
  for (int k = 0; k < expression->index.items.count; k++) {
    IndexKind kind = expression->index.items.items[k].kind;
    taken += kind == INDEX_AT || kind == INDEX_SLICE;
    ellipses += kind == INDEX_ELLIPSIS;
  }
  if (taken > type.rank) return fault(b, NULL, "%d indices for %s", taken, shape_text(b, &type));
  if (ellipses > 1) return fault(b, NULL, "'...' twice in one index");
  for (int k = 0; k < expression->index.items.count; k++) {
    const IndexItem *item = &expression->index.items.items[k];
    stand_at(b, expression);
    if (!index_item(b, item, type.rank - taken, &id, &axis)) return value_error;
  }
  return value_tensor(b, id);
}

/* ---- lists ---- */

static Value index_list(Builder *b, const Expression *expression, const Value *list) {
  int64_t start = 0, stop = list->list.count, step = 1, count = stop;
  const IndexItem *item = &expression->index.items.items[0];
  if (expression->index.items.count != 1 || (item->kind != INDEX_AT && item->kind != INDEX_SLICE)) {
    return fault(b, NULL, "a list has one axis");
  }
  if (item->kind == INDEX_AT) {
    Value at = evaluate(b, item->at);
    if (!want_whole(b, &at, "the index", &start)) return value_error;
    if (start < -count || start >= count)
      return fault(b, NULL, "there is no item %lld of %lld", (long long)start, (long long)count);
    return list->list.items[start < 0 ? start + count : start];
  }
  Value value = item->start ? evaluate(b, item->start) : value_whole(0);
  if (!want_whole(b, &value, "the start", &start)) return value_error;
  value = item->stop ? evaluate(b, item->stop) : value_whole(count);
  if (!want_whole(b, &value, "the end", &stop)) return value_error;
  value = item->step ? evaluate(b, item->step) : value_whole(1);
  if (!want_whole(b, &value, "the step", &step)) return value_error;
  if (step < 1) return fault(b, NULL, "steps are positive");
  start = start < 0 ? MAX(start + count, 0) : MIN(start, count);
  stop = stop < 0 ? MAX(stop + count, 0) : MIN(stop, count);
  Vec(Value) items = {0};
  for (int64_t k = start; k < stop; k += step) PUSH(b->arena, &items, list->list.items[k]);
  return value_list(b, items.items, items.count);
}

Value evaluate_index(Builder *b, const Expression *expression) {
  Value object = evaluate(b, expression->index.object);
  stand_at(b, expression);
  if (is_error(&object)) return value_error;
  if (object.kind == VALUE_LIST || object.kind == VALUE_TUPLE) return index_list(b, expression, &object);
  return index_tensor(b, expression, object);
}
