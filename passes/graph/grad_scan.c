/* The gradient of a scan is a scan that runs the other way.
 *
 * One turn of the forward scan takes carries, slices and captures to new carries and yields. One turn of the reverse scan
 * takes the cotangents of that turn's results to the cotangents of its parameters. Its body holds a copy of the forward
 * body, to compute the turn's values again from the carries that the turn began with, and behind it what the ordinary
 * rules build. So:
 *
 *   carries    cotangents of the forward carries; for each capture that matters, the sum of its cotangents so far
 *   slices     the forward carries at the start of each turn, the forward sequences, the cotangents of the yields
 *   captures   the forward captures
 *   yields     cotangents of the sequences
 *
 * The forward scan must yield its carries for that: yields are added behind those it has, in place, so that no pick of it
 * changes its number. Slots of the reverse scan that nothing reads are left out, and with them the saved carries. All this is
 * again an ordinary scan, so that it can be differentiated. */
#include "passes/graph/grad.h"

/* ---- which results are reached, which parameters matter ---- */

/* Marks the body from its parameters; carries hand on what they are given, so this repeats until nothing is new. */
static bool *mark_body(const Scan *scan, bool *parameters) {
  const Graph *body = scan->body;
  bool *inside = NULL;
  for (bool changed = true; changed;) {
    changed = false;
    inside = NEW_ARRAY(body->module->arena, bool, body->nodes.count);
    for (Id id = 1; id < body->nodes.count; id++) {
      const Node *node = graph_node(body, id);
      if (node->op == OP_arg) inside[id] = parameters[node->index] && node->type.dtype == F32;
    }
    mark_reached(body, inside, NULL);
    for (int i = 0; i < scan->ncarry; i++) {
      if (!inside[body->results.items[i].value] || parameters[1 + i]) continue;
      parameters[1 + i] = changed = true;
    }
  }
  return inside;
}

static bool *reached_parameters(const Graph *graph, const Node *node, const bool *reached) {
  bool *parameters = NEW_ARRAY(graph->module->arena, bool, node->noperands + 1);
  for (int i = 0; i < node->noperands; i++) parameters[1 + i] = reached[node->operands[i]];
  return parameters;
}

bool *scan_reached(const Graph *graph, const Node *node, const bool *reached) {
  const Scan *scan = node->scan;
  const bool *inside = mark_body(scan, reached_parameters(graph, node, reached));
  int count = scan->ncarry + scan->nyield;
  bool *results = NEW_ARRAY(graph->module->arena, bool, count);
  for (int i = 0; i < count; i++) results[i] = inside[scan->body->results.items[i].value];
  return results;
}

/* Which parameters the results with a cotangent are reached from. `live` (by result) comes in as those that were given a
 * cotangent, and goes out with the carries that get one from a later turn. */
static bool *mark_live(const Scan *scan, const bool *inside, bool *live) {
  const Graph *body = scan->body;
  Arena *arena = body->module->arena;
  bool *parameters = NULL;
  for (bool changed = true; changed;) {
    changed = false;
    parameters = NEW_ARRAY(arena, bool, body->parameters.count);
    bool *needed = NEW_ARRAY(arena, bool, body->nodes.count);
    for (int i = 0; i < scan->ncarry + scan->nyield; i++)
      if (live[i]) needed[body->results.items[i].value] = true;
    for (Id id = body->nodes.count - 1; id > 0; id--) {
      const Node *node = graph_node(body, id);
      if (!needed[id] || !inside[id]) continue;
      if (node->op == OP_arg) parameters[node->index] = true;
      for (int k = 0; k < node->noperands; k++) needed[node->operands[k]] = true;
    }
    for (int i = 0; i < scan->ncarry; i++) {
      if (!parameters[1 + i] || live[i] || !inside[body->results.items[i].value]) continue;
      live[i] = changed = true;
    }
  }
  return parameters;
}

/* ---- building ---- */

/* A parameter of the reverse body, and what the scan is given for it. */
typedef struct Slot {
  Id arg;     /* in the reverse body */
  Id operand; /* in the graph; 0 for a saved carry until the forward scan yields it */
  int carry;  /* of the forward scan: whose cotangent (carries) or history (slices) this is; -1: neither */
} Slot;
typedef Vec(Slot) Slots;

typedef struct Reverse {
  Backward *b;
  const Node *node; /* the forward scan */
  Id id;
  const Scan *scan;
  Graph *body;   /* the reverse body */
  Id *arguments; /* by forward parameter: what stands for it in the reverse body */
  Slots carries, slices, captures;
  Vec(Id) sums;   /* operands that get their gradient from the carry after the forward carries' */
  Vec(Id) stacks; /* operands that get it from a yield */
  Vec(Id) yields; /* in the reverse body */
  Vec(Id) lasts;
} Reverse;

static Arena *arena_of(const Reverse *r) { return r->body->module->arena; }

/* An arg node; its number is known when all are there. */
static Id add_slot(Reverse *r, Slots *slots, Type type, Id operand, int carry) {
  Node arg = {.op = OP_arg, .type = type, .index = -1};
  Id id = graph_add(r->body, &arg);
  PUSH(arena_of(r), slots, ((Slot){id, operand, carry}));
  return id;
}

/* The forward body inside the reverse one. Gives where its values went. */
static Id *inline_forward(Reverse *r) {
  const Scan *scan = r->scan;
  const Graph *forward = scan->body;
  Node turn = {.op = OP_arg, .type = type_scalar(I32), .index = 0};
  r->arguments = NEW_ARRAY(arena_of(r), Id, forward->parameters.count);
  r->arguments[0] = graph_add(r->body, &turn);
  for (int p = 1; p < forward->parameters.count; p++) {
    Type type = forward->parameters.items[p].type;
    bool carry = p <= scan->ncarry, slice = !carry && p <= scan->ncarry + scan->nslice;
    Id operand = carry ? 0 : r->node->operands[p - 1];
    r->arguments[p] = add_slot(r, carry || slice ? &r->slices : &r->captures, type, operand, carry ? p - 1 : -1);
  }
  Id *renamed = NEW_ARRAY(arena_of(r), Id, forward->nodes.count);
  graph_inline(r->body, forward, r->arguments, renamed);
  return renamed;
}

/* Runs the rules over the inlined body: gives the gradient by each forward parameter that is live, 0 for the others. */
static Id *differentiate(Reverse *r, const Id *renamed, const Id *given, const bool *inside, const bool *live,
                         const bool *parameters) {
  const Scan *scan = r->scan;
  const Graph *forward = scan->body;
  Arena *arena = arena_of(r);
  int nresults = scan->ncarry + scan->nyield, nparameters = forward->parameters.count, nvalues = 0, nby = 0;
  Id *values = NEW_ARRAY(arena, Id, nresults), *cotangents = NEW_ARRAY(arena, Id, nresults);
  for (int i = 0; i < nresults; i++) {
    Id value = forward->results.items[i].value;
    Type type = *graph_type(forward, value);
    bool carry = i < scan->ncarry;
    if (!live[i] && !(carry && parameters[1 + i])) continue;
    Id operand = given[i];
    if (carry && !operand) operand = graph_constant(r->b->graph, type, 0);
    Id cotangent = add_slot(r, carry ? &r->carries : &r->slices, type, operand, carry ? i : -1);
    if (!inside[value]) continue; /* a carry that the turn overwrites: only what it was at the start matters */
    values[nvalues] = renamed[value];
    cotangents[nvalues++] = cotangent;
  }
  Id *by = NEW_ARRAY(arena, Id, nparameters), *found = NEW_ARRAY(arena, Id, nparameters);
  Id *gradients = NEW_ARRAY(arena, Id, nparameters);
  for (int p = 1; p < nparameters; p++)
    if (parameters[p]) by[nby++] = r->arguments[p];
  accumulate(r->body, values, cotangents, nvalues, by, nby, found);
  for (int p = 1, next = 0; p < nparameters; p++)
    if (parameters[p]) gradients[p] = found[next++];
  return gradients;
}

/* The results of the reverse body: cotangents of carries, sums for captures, then a yield for each sequence. */
static void collect(Reverse *r, const Id *gradients) {
  const Scan *scan = r->scan;
  Arena *arena = arena_of(r);
  for (int i = 0; i < r->carries.count; i++) {
    Slot slot = r->carries.items[i];
    Id gradient = gradients[1 + slot.carry];
    if (!gradient) gradient = graph_constant(r->body, *graph_type(r->body, slot.arg), 0);
    PUSH(arena, &r->lasts, gradient);
  }
  for (int p = 1 + scan->ncarry; p < scan->body->parameters.count; p++) {
    Id operand = r->node->operands[p - 1];
    if (!gradients[p] || !wants(r->b, operand)) continue;
    if (p <= scan->ncarry + scan->nslice) {
      PUSH(arena, &r->stacks, operand);
      PUSH(arena, &r->yields, gradients[p]);
    } else {
      Type type = *graph_type(r->body, gradients[p]);
      Id sum = add_slot(r, &r->carries, type, graph_constant(r->b->graph, type, 0), -1);
      PUSH(arena, &r->sums, operand);
      PUSH(arena, &r->lasts, graph_binary(r->body, OP_add, sum, gradients[p]));
    }
  }
}

/* ---- leaving out what nothing reads ---- */

static bool *read_in_body(const Reverse *r) {
  const Graph *body = r->body;
  bool *read = NEW_ARRAY(arena_of(r), bool, body->nodes.count);
  for (int i = 0; i < body->results.count; i++) read[body->results.items[i].value] = true;
  for (Id id = body->nodes.count - 1; id > 0; id--)
    for (int k = 0; read[id] && k < graph_node(body, id)->noperands; k++) read[graph_node(body, id)->operands[k]] = true;
  return read;
}

/* An arg that is not read becomes a constant, so that the body stays well formed; the others get their places. */
static void number_slots(Reverse *r, Slots *slots, const bool *read) {
  int kept = 0;
  for (int i = 0; i < slots->count; i++) {
    Slot slot = slots->items[i];
    Node *arg = graph_node(r->body, slot.arg);
    if (read && !read[slot.arg]) {
      arg->op = OP_constant;
      arg->index = 0;
      continue;
    }
    arg->index = r->body->parameters.count;
    Parameter parameter = {.name = arg->name, .type = arg->type, .place = arg->place};
    PUSH(arena_of(r), &r->body->parameters, parameter);
    slots->items[kept++] = slot;
  }
  slots->count = kept;
}

static void finish_body(Reverse *r) {
  Arena *arena = arena_of(r);
  for (int i = 0; i < r->lasts.count; i++) PUSH(arena, &r->body->results, ((Result){NULL, r->lasts.items[i]}));
  for (int i = 0; i < r->yields.count; i++) PUSH(arena, &r->body->results, ((Result){NULL, r->yields.items[i]}));
  const bool *read = read_in_body(r);
  Parameter turn = {.name = intern("turn"), .type = type_scalar(I32), .place = r->node->place};
  PUSH(arena, &r->body->parameters, turn);
  number_slots(r, &r->carries, NULL);
  number_slots(r, &r->slices, read);
  number_slots(r, &r->captures, read);
}

/* ---- the forward scan yields its carries ---- */

/* The pick of `yields[...]` that stacks a carry's values at the start of each turn; the yield is made if it is not there. */
static Id saved_carry(Reverse *r, Scan *scan, int carry) {
  Graph *body = scan->body;
  Id arg = 0;
  for (Id id = 1; id < body->nodes.count && !arg; id++) {
    const Node *node = graph_node(body, id);
    if (node->op == OP_arg && node->index == 1 + carry) arg = id;
  }
  CHECK(arg); /* the reverse body reads a copy of it */
  int result = scan->ncarry;
  while (result < body->results.count && body->results.items[result].value != arg) result++;
  if (result == body->results.count) {
    PUSH(arena_of(r), &body->results, ((Result){body->parameters.items[1 + carry].name, arg}));
    scan->nyield++;
  }
  graph_node(r->b->graph, r->id)->scan = scan;
  return graph_pick(r->b->graph, r->id, result);
}

static void save_carries(Reverse *r) {
  Arena *arena = arena_of(r);
  Scan *scan = arena_copy(arena, r->scan, sizeof *scan);
  Graph *body = arena_copy(arena, scan->body, sizeof *body);
  body->results.items = arena_copy(arena, body->results.items, sizeof(Result) * (size_t)body->results.count);
  body->results.capacity = body->results.count;
  scan->body = body;
  for (int i = 0; i < r->slices.count; i++) {
    Slot *slot = &r->slices.items[i];
    if (slot->carry >= 0) slot->operand = saved_carry(r, scan, slot->carry);
  }
}

/* ---- the scan itself ---- */

static Id add_reverse_scan(Reverse *r) {
  Scan scan = {.body = r->body,
               .trips = r->scan->trips,
               .reverse = !r->scan->reverse,
               .ncarry = r->carries.count,
               .nslice = r->slices.count,
               .ncapture = r->captures.count,
               .nyield = r->yields.count};
  Id *operands = NEW_ARRAY(arena_of(r), Id, scan.ncarry + scan.nslice + scan.ncapture);
  int count = 0;
  for (int i = 0; i < r->carries.count; i++) operands[count++] = r->carries.items[i].operand;
  for (int i = 0; i < r->slices.count; i++) operands[count++] = r->slices.items[i].operand;
  for (int i = 0; i < r->captures.count; i++) operands[count++] = r->captures.items[i].operand;
  return graph_scan(r->b->graph, &scan, operands);
}

void grad_scan(Backward *b, const Node *node, Id value, Id g) {
  (void)g;
  const Scan *scan = node->scan;
  Arena *arena = b->graph->module->arena;
  const Id *given = b->pair_cotangent[value];
  int nresults = scan->ncarry + scan->nyield;
  const bool *inside = mark_body(scan, reached_parameters(b->graph, node, b->reached));
  bool *live = NEW_ARRAY(arena, bool, nresults);
  for (int i = 0; i < nresults; i++) live[i] = given[i] != 0;
  const bool *parameters = mark_live(scan, inside, live);

  Reverse r = {.b = b, .node = node, .id = value, .scan = scan};
  r.body = graph_new(b->graph->module, scan->body->name, GRAPH_BODY);
  r.body->place = scan->body->place;
  r.body->here = node->place ? node->place : b->graph->here;
  const Id *renamed = inline_forward(&r);
  collect(&r, differentiate(&r, renamed, given, inside, live, parameters));
  finish_body(&r);
  save_carries(&r);
  Id reverse = add_reverse_scan(&r);
  int pick = 0;
  for (int i = 0; i < r.carries.count; i++, pick++) {
    int carry = r.carries.items[i].carry;
    Id operand = carry >= 0 ? node->operands[carry] : r.sums.items[i - (r.carries.count - r.sums.count)];
    GIVE(b, operand, graph_pick(b->graph, reverse, pick));
  }
  for (int i = 0; i < r.stacks.count; i++) give(b, r.stacks.items[i], graph_pick(b->graph, reverse, pick++));
}
