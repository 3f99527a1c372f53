/* scan: a loop whose body is a graph of its own.
 *
 * The body is evaluated once, as one turn, with parameters for the turn, the carries and the slices; whatever it touches of
 * the graph around it becomes a capture. Two things are known only afterwards: which states the body changes (they must be
 * carries too), and that a carry that started from a whole number holds fractions. Then the body is thrown away and
 * evaluated again, with what was learnt. */
#include "frontend/build.h"

#include <string.h>

enum { MAX_SEQUENCES = 32, MAX_CARRIES = 32, MAX_TRIES = 40 };

typedef struct Loop {
  const ScanSyntax *syntax;
  const Expression *at;
  int axis;
  bool axis_given;
  const Dim *trips;
  int nsequences;                /* bindings over tensors; ranges are counted from the turn */
  Id sequence[MAX_SEQUENCES];    /* in the outer graph, the axis in front */
  const Dim *low[MAX_SEQUENCES]; /* by binding: where its range starts; NULL for a tensor */
  Value start[MAX_CARRIES];
  Id carry[MAX_CARRIES]; /* in the outer graph */
  Level *level;
  ScanBuild build;
} Loop;

/* ---- what the scan runs over ---- */

static bool set_trips(Builder *b, Loop *loop, const Expression *at, const Dim *trips) {
  if (!loop->trips) {
    loop->trips = trips;
    if (trips->high < 1) return fault(b, at, "the scan has no turns: %s", size_text(b, trips)), false;
    if (trips->low < 1) check_size(b, trips, 1, trips->high, "a scan has at least one turn");
    return true;
  }
  if (loop->trips == trips) return true;
  fault(b, at, "the scan runs over %s and over %s turns at once", size_text(b, loop->trips), size_text(b, trips));
  return false;
}

static Id axis_to_front(Builder *b, Id id, int axis) {
  int order[MAX_RANK], count = 0, rank = graph_type(b->level->graph, id)->rank;
  order[count++] = axis;
  for (int k = 0; k < rank; k++) {
    if (k != axis) order[count++] = k;
  }
  return graph_transpose(b->level->graph, id, order);
}

static Id front_to_axis(Builder *b, Id id, int axis) {
  int order[MAX_RANK], rank = graph_type(b->level->graph, id)->rank;
  for (int k = 0; k < rank; k++) order[k] = k < axis ? k + 1 : k == axis ? 0 : k;
  return graph_transpose(b->level->graph, id, order);
}

static bool bind_range(Builder *b, Loop *loop, int k, const Expression *over) {
  const Dim *low, *high;
  Value from = evaluate(b, over->range.low), to = evaluate(b, over->range.high);
  stand_at(b, over);
  if (!want_size(b, &from, "the range's start", &low) || !want_size(b, &to, "the range's end", &high)) return false;
  loop->low[k] = low;
  const Dim *trips = dim_subtract(b->module, high, low);
  return trips && set_trips(b, loop, over, trips);
}

static bool bind_sequence(Builder *b, Loop *loop, const Expression *over) {
  Id id;
  int axis = 0;
  Value value = evaluate(b, over);
  stand_at(b, over);
  if (!want_tensor(b, &value, NONE, &id)) return false;
  Type type = *graph_type(b->level->graph, id);
  if (type.rank == 0) return fault(b, over, "a scan runs along an axis, and a scalar has none"), false;
  Value wanted = value_whole(loop->axis);
  if (!want_axis(b, &wanted, type.rank, &axis)) return false;
  if (loop->axis < 0) loop->axis = axis;
  loop->sequence[loop->nsequences++] = axis_to_front(b, id, axis);
  return set_trips(b, loop, over, type.size[axis]);
}

static bool bind_all(Builder *b, Loop *loop) {
  const ScanSyntax *syntax = loop->syntax;
  int64_t axis = 0;
  if (syntax->bindings.count > MAX_SEQUENCES || syntax->carries.count > MAX_CARRIES) {
    return fault(b, loop->at, "a scan over more than %d things", MAX_SEQUENCES), false;
  }
  if (syntax->axis) {
    Value value = evaluate(b, syntax->axis);
    if (!want_whole(b, &value, "the axis", &axis)) return false;
    if (axis < -MAX_RANK || axis >= MAX_RANK)
      return fault(b, syntax->axis, "there is no axis %lld", (long long)axis), false;
  }
  loop->axis = (int)axis;
  for (int k = 0; k < syntax->bindings.count; k++) {
    const Expression *over = syntax->bindings.items[k].over;
    if (over->kind == EXPRESSION_RANGE ? !bind_range(b, loop, k, over) : !bind_sequence(b, loop, over)) return false;
  }
  for (int k = 0; k < syntax->carries.count; k++) {
    loop->start[k] = evaluate(b, syntax->carries.items[k].start);
    stand_at(b, syntax->carries.items[k].start);
    if (!want_tensor(b, &loop->start[k], NONE, &loop->carry[k])) return false;
  }
  return true;
}

/* ---- one evaluation of the body ---- */

static Type slice_type(const Type *whole) {
  Type type = {.dtype = whole->dtype, .rank = whole->rank - 1};
  for (int k = 0; k < type.rank; k++) type.size[k] = whole->size[k + 1];
  return type;
}

/* The body's parameters and the names that stand for them. */
static void open_body(Builder *b, Loop *loop) {
  const ScanSyntax *syntax = loop->syntax;
  Level *outer = b->level, *level = NEW(b->arena, Level);
  Graph *graph = graph_new(b->module, "scan", GRAPH_BODY);
  const Place *place = place_at(b, loop->at);
  level->outer = outer;
  level->graph = graph;
  level->scan = &loop->build;
  graph->place = graph->here = place;
  level->turn = graph_parameter(graph, "turn", type_scalar(I32), place);
  b->level = loop->level = level;
  for (int k = 0; k < syntax->carries.count; k++) {
    const Carry *carry = &syntax->carries.items[k];
    Type type = *graph_type(outer->graph, loop->carry[k]);
    Id id = graph_parameter(graph, carry->name, type, place_of(b, loop->at->source, carry->offset));
    set_variable(b, carry->name, value_tensor(b, id));
  }
  for (int k = 0; k < loop->build.carried.count; k++) {
    int symbol = loop->build.carried.items[k];
    const Symbol *what = &b->module->symbols.items[symbol];
    set_current(b, level, symbol, graph_parameter(graph, what->name, what->type, place));
  }
  int sequence = 0;
  for (int k = 0; k < syntax->bindings.count; k++) {
    const Binding *binding = &syntax->bindings.items[k];
    if (loop->low[k]) continue;
    Type type = slice_type(graph_type(outer->graph, loop->sequence[sequence++]));
    Id id = graph_parameter(graph, binding->name, type, place_of(b, loop->at->source, binding->offset));
    set_variable(b, binding->name, value_tensor(b, id));
  }
  for (int k = 0; k < syntax->bindings.count; k++) {
    if (!loop->low[k]) continue;
    Id turn = level->turn;
    if (!dim_is(loop->low[k], 0)) turn = graph_binary(graph, OP_add, turn, graph_dim(graph, loop->low[k]));
    set_variable(b, syntax->bindings.items[k].name, value_tensor(b, turn));
  }
}

/* A carry's value after the turn. A start written as a whole number becomes f32 where the body makes it so. */
static bool close_carry(Builder *b, Loop *loop, int k) {
  const Carry *carry = &loop->syntax->carries.items[k];
  Graph *graph = loop->level->graph;
  Type type = *graph_type(loop->level->outer->graph, loop->carry[k]);
  Value value = local_variable(b->scope, carry->name)->value;
  Id id;
  if (!want_tensor(b, &value, is_data(&value) ? NONE : type.dtype, &id)) return false;
  Type after = *graph_type(graph, id);
  if (!type_equal(&type, &after)) {
    bool literal = !is_data(&loop->start[k]) && type.dtype == I32 && after.dtype == F32;
    if (literal && type_same_sizes(&type, &after)) {
      Level *level = b->level;
      b->level = level->outer;
      bool good = want_tensor(b, &loop->start[k], F32, &loop->carry[k]);
      b->level = level;
      loop->build.again = true;
      return good;
    }
    fault_in(b, loop->at->source, carry->offset, "the carry '%s' starts as %s and is %s after a turn", carry->name,
             type_text(b->module, &type), type_text(b->module, &after));
    return false;
  }
  PUSH(b->arena, &graph->results, ((Result){carry->name, id}));
  return true;
}

static bool close_body(Builder *b, Loop *loop) {
  Level *level = loop->level;
  bool good = true;
  stand_at(b, loop->at);
  for (int k = 0; k < loop->syntax->carries.count; k++) good = close_carry(b, loop, k) && good;
  for (int k = 0; k < loop->build.carried.count; k++) {
    int symbol = loop->build.carried.items[k];
    PUSH(b->arena, &level->graph->results, ((Result){b->module->symbols.items[symbol].name, level->current.items[symbol]}));
  }
  for (int k = 0; k < level->yields.count; k++) {
    Id id = level->yields.items[k].tensor.id;
    if (graph_type(level->graph, id)->rank == MAX_RANK) return fault(b, loop->at, "a yield of rank %d", MAX_RANK), false;
    PUSH(b->arena, &level->graph->results, ((Result){arena_format(b->arena, "yield%d", k + 1), id}));
  }
  return good;
}

/* What evaluating the body counts up and another evaluation must count again. */
typedef struct Counts {
  Naming *naming;
  Naming copy;
  int draws;
} Counts;

static Counts keep_counts(Builder *b) {
  Counts counts = {.naming = b->frame->naming};
  if (counts.naming) {
    counts.copy = *counts.naming;
    int count = counts.copy.counts.count;
    counts.copy.counts.items =
        count ? arena_copy(b->arena, counts.copy.counts.items, (size_t)count * sizeof *counts.copy.counts.items) : NULL;
    counts.copy.counts.capacity = count;
  }
  return counts;
}

static void restore_counts(Counts *counts) {
  if (counts->naming) counts->naming->counts = counts->copy.counts;
}

static bool evaluate_body(Builder *b, Loop *loop) {
  Level *outer = b->level;
  Scope *outer_scope = b->scope;
  int errors = diagnostics_errors(b->diagnostics);
  bool good = false;
  loop->build.frame = b->frame;
  for (int tries = 0; tries < MAX_TRIES; tries++) {
    Counts counts = keep_counts(b);
    Vec(DrawCount) draws = {0};
    for (int k = 0; k < b->entry->draws.count; k++) PUSH(b->arena, &draws, b->entry->draws.items[k]);
    loop->build.again = false;
    b->scope = push_scope(b, outer_scope->file, outer_scope);
    open_body(b, loop);
    evaluate_block(b, &loop->syntax->body, false);
    good = close_body(b, loop) && diagnostics_errors(b->diagnostics) == errors;
    b->level = outer;
    b->scope = outer_scope;
    if (!good || !loop->build.again) break;
    good = false;
    restore_counts(&counts);
    b->entry->draws.count = draws.count;
    for (int k = 0; k < draws.count; k++) b->entry->draws.items[k] = draws.items[k];
  }
  stand_at(b, loop->at);
  return good;
}

/* ---- the node ---- */

static Value close_scan(Builder *b, Loop *loop) {
  Level *level = loop->level;
  Graph *graph = b->level->graph;
  int written = loop->syntax->carries.count, carried = loop->build.carried.count;
  Vec(Id) operands = {0};
  for (int k = 0; k < written; k++) PUSH(b->arena, &operands, loop->carry[k]);
  for (int k = 0; k < carried; k++) {
    PUSH(b->arena, &operands, read_weight(b, b->level, b->weights.items[loop->build.carried.items[k]]));
  }
  for (int k = 0; k < loop->nsequences; k++) PUSH(b->arena, &operands, loop->sequence[k]);
  for (int k = 0; k < level->captures.count; k++) PUSH(b->arena, &operands, level->captures.items[k].symbol);
  Scan scan = {.body = level->graph,
               .trips = loop->trips,
               .ncarry = written + carried,
               .nslice = loop->nsequences,
               .ncapture = level->captures.count,
               .nyield = level->yields.count};
  Id pair = graph_scan(graph, &scan, operands.items);
  for (int k = 0; k < written; k++) {
    set_variable(b, loop->syntax->carries.items[k].name, value_tensor(b, graph_pick(graph, pair, k)));
  }
  for (int k = 0; k < carried; k++) {
    Weight *weight = b->weights.items[loop->build.carried.items[k]];
    if (!update_weight(b, weight, graph_pick(graph, pair, written + k))) return value_error;
  }
  if (scan.nyield == 0) return no_value;
  Value *yields = NEW_ARRAY(b->arena, Value, scan.nyield);
  for (int k = 0; k < scan.nyield; k++) {
    Id id = graph_pick(graph, pair, scan.ncarry + k);
    int rank = graph_type(graph, id)->rank, axis = loop->axis < 0 ? loop->axis + rank : loop->axis;
    if (axis < 0 || axis >= rank) return fault(b, loop->at, "what is yielded has no axis %d to be stacked along", axis);
    yields[k] = value_tensor(b, front_to_axis(b, id, axis));
  }
  return scan.nyield == 1 ? yields[0] : value_tuple(b, yields, scan.nyield);
}

Value evaluate_scan(Builder *b, const Expression *expression) {
  Loop *loop = NEW(b->arena, Loop);
  loop->syntax = expression->scan;
  loop->at = expression;
  if (!b->level) return fault(b, expression, "a scan stands in a fn, step or def");
  bool good = bind_all(b, loop);
  stand_at(b, expression);
  if (good) good = evaluate_body(b, loop);
  if (good) return close_scan(b, loop);
  for (int k = 0; k < loop->syntax->carries.count; k++) set_variable(b, loop->syntax->carries.items[k].name, value_error);
  return value_error;
}
