/* Scans and gradients in random programs. */
#include "tests/fuzz/generate.h"

#include <math.h>
#include <string.h>

/* ---- scan ---- */

/* A value of the pool brought to a carry's type, and to its interval. */
static Id carried_on(Generator *g, Type type, Value carry) {
  if (type.dtype != F32) {
    Value other = alike(g, type.dtype, &type);
    return type.dtype == BOOL ? other.id : tame(g, other, fmax(fabs(carry.low), fabs(carry.high))).id;
  }
  Value other = alike(g, F32, &type);
  Id half = graph_number(g->graph, F32, 0.5);
  Id mixed = graph_binary(g->graph, OP_add, graph_binary(g->graph, OP_mul, carry.id, half), other.id);
  return chance(g, 70) ? graph_unary(g->graph, OP_tanh, mixed) : tame(g, other, 1).id;
}

/* The carry and a product or a fold of this turn's values, as a gradient by what all turns share has it. */
static Id summed(Generator *g, Type type, Value carry) {
  Graph *graph = g->graph;
  Type wide = {.dtype = F32, .rank = type.rank + 1, .size = {number_dim(g, 1 + below(g, 4))}};
  for (int k = 0; k < type.rank; k++) wide.size[k + 1] = type.size[k];
  if (type.rank != 2 || chance(g, 30)) {
    bool folded[MAX_RANK] = {true};
    Id values = tame(g, alike(g, F32, &wide), 1).id;
    return graph_binary(graph, OP_add, carry.id, graph_fold_axes(graph, OP_fold_sum, values, folded, false));
  }
  Type left = {.dtype = F32, .rank = 2, .size = {wide.size[0], type.size[0]}};
  Type right = {.dtype = F32, .rank = 2, .size = {wide.size[0], type.size[1]}};
  Space space = {.ndims = 3, .nresult = 2, .nmaps = 2, .extent = {type.size[0], type.size[1], wide.size[0]}};
  space.map[0] = (Map){.naxes = 2, .axis = {axis_of(g->module, 2), axis_of(g->module, 0)}};
  space.map[1] = (Map){.naxes = 2, .axis = {axis_of(g->module, 2), axis_of(g->module, 1)}};
  Id a = tame(g, alike(g, F32, &left), 1).id, b = tame(g, alike(g, F32, &right), 1).id;
  return graph_binary(graph, OP_add, carry.id, graph_contract(graph, a, b, &space));
}

typedef struct ScanDraft {
  Scan scan;
  Id operands[8];
  Value carries[3];
  bool sums[3]; /* nothing else reads the carry: each turn adds to it */
  int count;
} ScanDraft;

static void parameter(Generator *body, const char *kind, int k, Type type, double low, double high) {
  Value value = {graph_parameter(body->graph, arena_format(body->arena, "%s%d", kind, k), type, body->graph->here), low,
                 high};
  PUSH(body->arena, &body->pool, value);
}

static void add_carry(Generator *g, Generator *body, ScanDraft *loop) {
  Type type = random_type(g, chance(g, 85) ? F32 : I32, 2);
  Value start = tame(g, alike(g, type.dtype, &type), type.dtype == F32 ? 1 : 100);
  double reach = type.dtype == F32 ? 1 : 100;
  parameter(body, "c", loop->scan.ncarry, type, -reach, reach);
  loop->sums[loop->scan.ncarry] = type.dtype == F32 && chance(g, 30);
  loop->carries[loop->scan.ncarry] = body->pool.items[body->pool.count - 1];
  if (loop->sums[loop->scan.ncarry++]) body->pool.count--;
  loop->operands[loop->count++] = start.id;
}

static void add_slice(Generator *g, Generator *body, ScanDraft *loop) {
  Type each = random_type(g, chance(g, 80) ? F32 : I32, 2), whole = each;
  whole.rank++;
  whole.size[0] = loop->scan.trips;
  for (int k = 0; k < each.rank; k++) whole.size[k + 1] = each.size[k];
  if (!small_enough(&whole)) return;
  Value sequence = alike(g, whole.dtype, &whole);
  parameter(body, "s", loop->scan.nslice++, each, sequence.low, sequence.high);
  loop->operands[loop->count++] = sequence.id;
}

static void add_capture(Generator *g, Generator *body, ScanDraft *loop) {
  Value captured = any_value(g, chance(g, 80) ? F32 : I32);
  parameter(body, "k", loop->scan.ncapture++, *type_of_value(g, captured), captured.low, captured.high);
  loop->operands[loop->count++] = captured.id;
}

static void give(Generator *body, const char *kind, int k, Id value) {
  PUSH(body->arena, &body->graph->results, ((Result){intern(arena_format(body->arena, "%s%d", kind, k)), value}));
}

static void add_yields(Generator *body, ScanDraft *loop) {
  for (int wanted = below(body, 3); wanted > 0; wanted--) {
    Value value = body->pool.items[body->pool.count - 1 - below(body, MIN(4, body->pool.count))];
    const Type *type = type_of_value(body, value);
    if (type->rank > 3 || elements_high(type) * (double)loop->scan.trips->high > MOST_ELEMENTS) continue;
    give(body, "y", loop->scan.nyield++, value.id);
  }
}

bool make_scan(Generator *g) {
  if (g->depth > 1 || (g->depth == 1 && chance(g, 50))) return false;
  Generator body = {.arena = g->arena, .module = g->module, .random = draw(g), .depth = g->depth + 1};
  ScanDraft loop = {.scan.reverse = chance(g, 30)};
  memcpy(body.sizes, g->sizes, sizeof body.sizes);
  loop.scan.trips = chance(g, 30) && g->sizes[0]->high <= 12 ? g->sizes[0] : number_dim(g, 1 + below(g, 5));
  loop.scan.body = body.graph = graph_new(g->module, arena_format(g->arena, "body%d", g->graph->nodes.count), GRAPH_BODY);
  body.graph->here = body.graph->place = g->graph->here;
  parameter(&body, "turn", 0, type_scalar(I32), 0, (double)loop.scan.trips->high);
  for (int k = 1 + below(g, 2); k > 0; k--) add_carry(g, &body, &loop);
  for (int k = below(g, 3); k > 0; k--) add_slice(g, &body, &loop);
  for (int k = below(g, 3); k > 0; k--) add_capture(g, &body, &loop);
  make_some(&body, 1 + below(g, 5));
  for (int k = 0; k < loop.scan.ncarry; k++) {
    Type type = *type_of_value(&body, loop.carries[k]);
    give(&body, "c", k, loop.sums[k] ? summed(&body, type, loop.carries[k]) : carried_on(&body, type, loop.carries[k]));
  }
  add_yields(&body, &loop);
  Id pair = graph_scan(g->graph, &loop.scan, loop.operands);
  for (int k = 0; k < loop.scan.ncarry; k++) {
    double reach = loop.sums[k] ? 1 + 4 * (double)loop.scan.trips->high : loop.carries[k].high;
    keep(g, graph_pick(g->graph, pair, k), -reach, reach);
  }
  for (int k = 0; k < loop.scan.nyield; k++) { keep(g, graph_pick(g->graph, pair, loop.scan.ncarry + k), -16, 16); }
  return true;
}

/* ---- gradients ---- */

/* A loss that surely depends on each value: its mean, weighted, is added; so pass_grad has nothing to report. */
static Id loss_of(Generator *g, const Value *by, int count) {
  Value loss = scalar_of(g, any_value(g, F32));
  for (int k = 0; k < count; k++) {
    Id square = graph_binary(g->graph, OP_mul, by[k].id, by[k].id);
    double reach = fmax(fabs(by[k].low), fabs(by[k].high));
    Value mean = scalar_of(g, (Value){square, 0, reach * reach});
    Id weight = graph_number(g->graph, F32, 0.5 + k);
    loss.id = graph_binary(g->graph, OP_add, loss.id, graph_binary(g->graph, OP_mul, mean.id, weight));
  }
  return loss.id;
}

bool make_grad(Generator *g) {
  Value by[3];
  int count = 0;
  for (int attempt = 0; attempt < 8 && count < 3; attempt++) {
    Value value = g->pool.items[below(g, g->pool.count)];
    const Node *node = graph_node(g->graph, value.id);
    bool wanted = node->type.dtype == F32 && (node->op == OP_arg || node->op == OP_state || chance(g, 15));
    for (int k = 0; k < count; k++) wanted = wanted && by[k].id != value.id;
    if (wanted) by[count++] = value;
  }
  if (count == 0) return false;
  Id ids[3], loss = loss_of(g, by, count);
  for (int k = 0; k < count; k++) ids[k] = by[k].id;
  Id grad = graph_grad(g->graph, loss, ids, count);
  for (int k = 0; k < count; k++) keep(g, graph_pick(g->graph, grad, k), -1000, 1000);
  return true;
}

void minimize(Generator *g, int nstates, Id *updated) {
  Value by[3];
  Id ids[3];
  int count = 0, state[3];
  for (int k = 0; k < nstates && count < 3; k++) {
    if (type_of_value(g, g->states.items[k])->dtype != F32 || !chance(g, 70)) continue;
    state[count] = k;
    ids[count] = g->states.items[k].id;
    by[count++] = g->states.items[k];
  }
  if (count == 0) return;
  Id grad = graph_grad(g->graph, loss_of(g, by, count), ids, count);
  for (int k = 0; k < count; k++) {
    Id slope = graph_pick(g->graph, grad, k), rate = graph_number(g->graph, F32, 0.125);
    if (chance(g, 30)) { /* decayed weights */
      Id decay = graph_binary(g->graph, OP_mul, ids[k], graph_number(g->graph, F32, 0.01));
      slope = graph_binary(g->graph, OP_add, slope, decay);
    }
    updated[state[k]] = graph_binary(g->graph, OP_sub, ids[k], graph_binary(g->graph, OP_mul, slope, rate));
  }
}
