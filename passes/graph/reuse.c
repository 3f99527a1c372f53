/* Pass reuse: what the forward loop computed at length, the reverse loop reads.
 *
 * The reverse scan of a gradient computes the values of its turn again, from the carries that the turn began with. Where the
 * forward scan computes the same product from the same operands, it yields it (or what the product ends up in, if that is no
 * larger), and the reverse scan takes it as a slice. Where all that a product ends up in is parts of it behind functions (an
 * LSTM's gates), these are yielded, for they take no more memory and need not be computed again. What is cheap, it still computes again: a product of a turn costs more
 * than writing and reading its result, an elementwise chain does not. */
#include "passes/graph/scans.h"

enum { MOST_PARTS = 8 };

/* The yield of the forward scan that a value outside picks; -1 if it is none. */
static int yield_of(const Graph *to, Id operand, Id forward) {
  const Node *node = graph_node(to, operand);
  if (node->op != OP_pick || node->operands[0] != forward) return -1;
  return node->index >= graph_node(to, forward)->scan->ncarry ? node->index : -1;
}

/* The arg node of the forward body for what the reverse scan takes as this operand: its own parameters from `first` on. */
static Id same_operand(const Graph *to, Id forward, Id operand, int first, int count) {
  const Node *node = graph_node(to, forward);
  for (int k = first; k < first + count; k++) {
    if (node->operands[k] != operand) continue;
    for (Id id = 1; id < node->scan->body->nodes.count; id++) {
      const Node *arg = graph_node(node->scan->body, id);
      if (arg->op == OP_arg && arg->index == 1 + k) return id;
    }
  }
  return 0;
}

static Id match_arg(const Graph *to, Id forward, const Scan *reverse, const Id *operands, const Node *arg) {
  const Scan *scan = graph_node(to, forward)->scan;
  int k = arg->index - 1;
  if (k < reverse->ncarry) return 0; /* the turn's number too: few products depend on it */
  bool slice = k < reverse->ncarry + reverse->nslice;
  int yield = slice ? yield_of(to, operands[k], forward) : -1;
  if (yield >= 0) return scan->body->results.items[yield].value;
  return slice ? same_operand(to, forward, operands[k], scan->ncarry, scan->nslice)
               : same_operand(to, forward, operands[k], scan->ncarry + scan->nslice, scan->ncapture);
}

/* By node of the reverse body: the node of the forward body that has the same value in the same turn, or 0. */
static Id *match_bodies(const Graph *to, Id forward, const Scan *reverse, const Id *operands) {
  const Graph *body = reverse->body, *other = graph_node(to, forward)->scan->body;
  Arena *arena = body->module->arena;
  Id *match = NEW_ARRAY(arena, Id, body->nodes.count);
  for (Id id = 1; id < body->nodes.count; id++) {
    Node node = *graph_node(body, id);
    if (node.op == OP_arg) {
      match[id] = match_arg(to, forward, reverse, operands, &node);
      continue;
    }
    bool known = node.op != OP_scan && node.op != OP_grad && node.op != OP_pick;
    Id *same = NEW_ARRAY(arena, Id, node.noperands + 1);
    for (int k = 0; k < node.noperands; k++) known = (same[k] = match[node.operands[k]]) != 0 && known;
    node.operands = same;
    for (Id at = 1; known && !match[id] && at < other->nodes.count; at++)
      if (nodes_equal(&node, graph_node(other, at))) match[id] = at;
  }
  return match;
}

/* The forward scan, in place, with one yield more: its picks keep their numbers. Gives the pick of that yield. */
static Id yield_too(Graph *to, Id forward, Id value) {
  Arena *arena = to->module->arena;
  const Scan *old = graph_node(to, forward)->scan;
  int result = old->ncarry;
  while (result < old->body->results.count && old->body->results.items[result].value != value) result++;
  if (result == old->body->results.count) {
    Scan *scan = arena_copy(arena, old, sizeof *old);
    Graph *body = scan->body = arena_copy(arena, old->body, sizeof *old->body);
    body->results.items = arena_copy(arena, body->results.items, sizeof(Result) * (size_t)body->results.count);
    body->results.capacity = body->results.count;
    PUSH(arena, &body->results, ((Result){graph_node(body, value)->name, value}));
    scan->nyield++;
    graph_node(to, forward)->scan = scan;
  }
  return graph_pick(to, forward, result);
}

static bool is_function(Op op) {
  static const Op functions[] = {OP_exp, OP_log, OP_sqrt, OP_sin, OP_cos, OP_tanh, OP_erf, OP_pow, OP_div};
  for (int k = 0; k < COUNT_OF(functions); k++) {
    if (op == functions[k]) return true;
  }
  return false;
}

/* What the users of a value make of it, each for itself: their number, or 0 where it is better to yield the value. */
static int parts_of(const Scan *reverse, Id value, const int *users, const bool *stays, Id *parts) {
  const Graph *body = reverse->body;
  int count = 0, functions = 0;
  double bytes = 0;
  for (Id id = value + 1; id < body->nodes.count; id++) {
    const Node *node = graph_node(body, id);
    if (node->noperands != 1 || node->operands[0] != value) continue;
    if (node->op != OP_view || !stays[id] || count == MOST_PARTS) return 0;
    parts[count] = end_of_chain(body, id, users, stays);
    functions += is_function(graph_node(body, parts[count])->op);
    bytes += stacked_bytes(reverse, graph_type(body, parts[count++]));
  }
  bool all = count == users[value] && functions > 0 && bytes <= stacked_bytes(reverse, graph_type(body, value));
  return all ? count : 0;
}

static void reuse_from(Graph *to, Id forward, const Scan *reverse, const Id *operands, ScanMore *more, double *budget) {
  const Graph *body = reverse->body;
  Arena *arena = to->module->arena;
  Id *match = match_bodies(to, forward, reverse, operands);
  const int *users = count_users(body);
  bool *stays = NEW_ARRAY(arena, bool, body->nodes.count), *taken = NEW_ARRAY(arena, bool, body->nodes.count);
  for (Id id = 1; id < body->nodes.count; id++) stays[id] = match[id] != 0;
  const Depends *depends = scan_depends(reverse);
  for (int k = 0; k < more->slices.count; k++) taken[more->slices.items[k].inner] = true;
  for (Id id = 1; id < body->nodes.count; id++) {
    if (graph_node(body, id)->op != OP_contract || !match[id] || depends[id] == INVARIANT) continue;
    Id end = end_of_chain(body, id, users, stays), parts[MOST_PARTS] = {end};
    double bytes = stacked_bytes(reverse, graph_type(body, end));
    if (taken[end] || bytes > *budget) continue;
    taken[end] = true;
    *budget -= bytes;
    int count = parts_of(reverse, end, users, stays, parts);
    if (count == 0) parts[count++] = end;
    for (int k = 0; k < count; k++)
      PUSH(arena, &more->slices, ((Given){parts[k], yield_too(to, forward, match[parts[k]])}));
  }
}

static Id reuse_node(Graph *to, const Graph *from, Id id, const Id *renamed, void *user) {
  const Node *node = graph_node(from, id);
  (void)user;
  if (node->op != OP_scan) return 0;
  Id *operands = NEW_ARRAY(to->module->arena, Id, node->noperands + 1);
  for (int k = 0; k < node->noperands; k++) operands[k] = renamed[node->operands[k]];
  ScanMore more = {.slices = {0}};
  double budget = SCAN_BUDGET;
  for (Id other = 1; other < to->nodes.count; other++) {
    const Node *forward = graph_node(to, other);
    if (forward->op != OP_scan || forward->scan->trips != node->scan->trips) continue;
    reuse_from(to, other, node->scan, operands, &more, &budget);
  }
  return more.slices.count > 0 ? scan_with_more(to, node, operands, &more) : 0;
}

void pass_reuse(Module *module) { rewrite_entries(module, reuse_node, NULL); }
