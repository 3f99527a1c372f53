/* A scan becomes a loop over launches.
 *
 * Its carries have a buffer each: set before the loop, overwritten at the end of each turn, so that after the loop they hold
 * the last values. Yields have a buffer of all turns, written at the turn; sequences are read at the turn. The body's stages
 * go into a region of their own, in the list between those before the loop and those after it; what the body captures lies
 * in memory, so that nothing of the outer graph is computed again in each turn. */
#include "passes/plan/lowering.h"

#include <string.h>

/* The counter of a loop, 0..trips-1. Its name is that of no other size: graphs inside graphs are all called "scan". */
static int add_turn(Module *module, const char *graph, Id id, const Dim *trips) {
  const char *name = NULL;
  for (int copy = 1, taken = 1; taken; copy++) {
    name = copy == 1 ? arena_format(module->arena, "%s.turn%d", graph, id)
                     : arena_format(module->arena, "%s.turn%d_%d", graph, id, copy);
    taken = 0;
    for (int k = 0; k < module->dims.count; k++) taken |= strcmp(module->dims.items[k].name, name) == 0;
  }
  int turn = module_add_dim(module, name, 0, MAX(trips->high - 1, 0), 1, NULL);
  module->dims.items[turn].turn = true;
  module->dims.items[turn].below = trips;
  return turn;
}

static Lowering *body_of(Lowering *lowering, Id id) {
  const Scan *scan = graph_node(lowering->graph, id)->scan;
  if (!lowering->bodies[id]) {
    Lowering *body = NEW(lowering->module->arena, Lowering);
    body->graph = scan->body;
    body->module = lowering->module;
    body->inlined = lowering->inlined;
    body->bodies = NEW_ARRAY(lowering->module->arena, Lowering *, scan->body->nodes.count);
    body->turn = add_turn(lowering->module, lowering->graph->name, id, scan->trips);
    body->first_slice = 1 + scan->ncarry;
    body->end_slice = body->first_slice + scan->nslice;
    choose_roots(body);
    lowering->bodies[id] = body;
  }
  Lowering *body = lowering->bodies[id];
  start_round(body);
  body->plan = lowering->plan;
  body->states = lowering->states;
  body->source = NEW_ARRAY(lowering->module->arena, Id, scan->body->nodes.count);
  return body;
}

/* The buffer where an operand of the scan lies; 0, with a culprit, if it must be a root first: so must a slice of an outer
 * scan, of which there is only the whole sequence. */
static Id operand_buffer(Lowering *lowering, Id operand) {
  const Node *node = graph_node(lowering->graph, operand);
  bool slice = node->op == OP_arg && node->index >= lowering->first_slice && node->index < lowering->end_slice;
  if (!has_buffer(lowering, operand) || (slice && !lowering->root[operand])) {
    lowering->culprit = operand;
    return 0;
  }
  return lowering->root[operand] ? lowering->buffer[operand] : source_of(lowering, operand);
}

static Id carry_buffer(Lowering *lowering, const Scan *scan, int k) {
  const Parameter *parameter = &scan->body->parameters.items[1 + k];
  return plan_buffer(lowering->plan, MEMORY_ARENA, parameter->type, 0, parameter->name);
}

/* Gives the body's parameters their buffers: carries new ones that start as the scan's first operands. */
static bool bind_parameters(Lowering *lowering, const Node *node, Lowering *body, const Id *carries) {
  const Scan *scan = node->scan;
  int count = scan->ncarry + scan->nslice + scan->ncapture;
  Id *buffers = NEW_ARRAY(lowering->module->arena, Id, count + 1);
  for (int k = 0; k < count; k++) {
    buffers[k] = k < scan->ncarry ? carries[k] : operand_buffer(lowering, node->operands[k]);
    if (!buffers[k]) return false;
  }
  for (Id id = 1; id < scan->body->nodes.count; id++) {
    const Node *inner = graph_node(scan->body, id);
    if (inner->op == OP_arg && inner->index > 0) body->source[id] = buffers[inner->index - 1];
  }
  return true;
}

/* The ends of a turn: yields first, then the carries, each of which may still be read for the next value of another. */
static bool finish_turn(Lowering *body, const Scan *scan, const Id *carries, const Id *yields) {
  const Graph *graph = scan->body;
  for (int k = 0; k < scan->nyield; k++) {
    Id value = graph->results.items[scan->ncarry + k].value;
    if (!lower_copy(body, value, yields[k], dim_symbol(body->module, body->turn))) return false;
  }
  int first = body->plan->kernels.count;
  for (int k = 0; k < scan->ncarry; k++) {
    Id value = graph->results.items[k].value;
    const Node *node = graph_node(graph, value);
    if (node->op == OP_arg && node->index == 1 + k) continue;
    if (!lower_copy(body, value, carries[k], NULL)) return false;
  }
  Id stuck = order_overwriters(body->plan, first);
  for (int k = 0; stuck && k < scan->ncarry; k++) {
    if (carries[k] == stuck) body->culprit = graph->results.items[k].value;
  }
  return !stuck;
}

/* The picks of the scan, wherever they stand, read these buffers. */
static void bind_picks(Lowering *lowering, Id id, const Id *carries, const Id *yields) {
  int ncarry = graph_node(lowering->graph, id)->scan->ncarry;
  for (Id user = id + 1; user < lowering->graph->nodes.count; user++) {
    const Node *node = graph_node(lowering->graph, user);
    if (node->op != OP_pick || node->operands[0] != id) continue;
    lowering->source[user] = node->index < ncarry ? carries[node->index] : yields[node->index - ncarry];
  }
}

void lower_scan(Lowering *lowering, Id id) {
  const Node *node = graph_node(lowering->graph, id);
  const Scan *scan = node->scan;
  Arena *arena = lowering->module->arena;
  Lowering *body = body_of(lowering, id);
  Id *carries = NEW_ARRAY(arena, Id, scan->ncarry + 1), *yields = NEW_ARRAY(arena, Id, scan->nyield + 1);
  for (int k = 0; k < scan->ncarry; k++) carries[k] = carry_buffer(lowering, scan, k);
  for (int k = 0; k < scan->nyield; k++) {
    Type type;
    if (!pair_type(lowering->graph, node, scan->ncarry + k, &type)) bug("a scan without its yield %d", k);
    yields[k] = plan_buffer(lowering->plan, MEMORY_ARENA, type, 0, scan->body->results.items[scan->ncarry + k].name);
  }
  bind_picks(lowering, id, carries, yields); /* first of all: they are read on even if this stumbles */
  for (int k = 0; k < scan->ncarry; k++) {
    if (!lower_copy(lowering, node->operands[k], carries[k], NULL)) return;
  }
  if (!bind_parameters(lowering, node, body, carries)) return;
  Region region = {.parent = lowering->region, .turn = body->turn, .trips = scan->trips, .reverse = scan->reverse};
  PUSH(arena, &lowering->plan->regions, region);
  body->region = lowering->plan->regions.count - 1;
  if (!lower_roots(body) || !finish_turn(body, scan, carries, yields)) {
    stumbled(body);
    lowering->culprit = RESTART;
  }
}
