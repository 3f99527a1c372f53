/* Decisions that the bounds leave open, taken over from the run that is compared.
 *
 * Where a and b are nearer than their bounds, a < b may come out either way, and all that is made of it with it. So the
 * program is run once more with every such decision as a further result; what the run decided is looked at (it must be one
 * that operands within their bounds allow), put in place of the definition's own decision, and the values and bounds behind
 * it are computed anew: they are then as close as any others. A mod is decided by the quotient that it floors. */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <string.h>

/* ---- one element ---- */

/* Operands with their bounds, and what was taken. */
typedef struct Open {
  double a, ea, b, eb, taken;
} Open;

static bool quotient_is_allowed(const Open *open, double whole) {
  double q = open->a / open->b, e = (open->ea + fabs(q) * open->eb) / (fabs(open->b) - open->eb);
  e += 3 * UNIT_ROUNDOFF * fabs(q) + 1e-40;
  return whole == rint(whole) && whole >= floor(q - e) && whole <= floor(q + e);
}

static bool has_quotient(const Open *open) { return fabs(open->b) > open->eb && fabs(open->a / open->b) < 0x1p23; }

static bool between_ends(double (*function)(double), const Open *open) {
  return open->taken >= function(open->a - open->ea) && open->taken <= function(open->a + open->ea) &&
         open->taken == rint(open->taken);
}

static double truth(double x) { return x != 0; }

/* False if it is not allowed. `value` and `bound` come in as the taken value, exact, and NaN for "can't be told" is left. */
static bool settle_one(const Node *node, const Open *open, double *value, double *bound) {
  switch (node->op) {
  case OP_floor: return between_ends(floor, open);
  case OP_round: return between_ends(rint, open);
  case OP_cast: return node->type.dtype == BOOL ? truth(open->taken) == open->taken : between_ends(to_i32, open);
  case OP_floordiv:
    if (!has_quotient(open)) *value = NAN;
    return isnan(*value) || quotient_is_allowed(open, open->taken);
  case OP_mod: {
    double whole = rint((open->a - open->taken) / open->b);
    if (!has_quotient(open)) *value = NAN;
    if (isnan(*value)) return true;
    *value = open->a - open->b * whole;
    *bound = open->ea + fabs(whole) * open->eb + 2 * UNIT_ROUNDOFF * (fabs(open->a) + fabs(*value)) + 0x1p-149;
    return quotient_is_allowed(open, whole) && fabs(open->taken - *value) <= *bound * (1 + 1e-6);
  }
  default: return open->taken == 0 || open->taken == 1; /* lt, le, eq */
  }
}

static bool settle_elements(const BoundsOf *of, Id id, const Array *taken, double *out) {
  const Node *node = graph_node(of->graph, id);
  Id left = node->operands[0], right = node->operands[node->noperands - 1];
  for (int64_t i = 0, count = array_count(taken); i < count; i++) {
    Open open = {array_get(&of->values[left], i), of->bound[left][i], array_get(&of->values[right], i), of->bound[right][i],
                 array_get(taken, i)};
    if (out[i] < INFINITY || !isfinite(open.a + open.b + open.ea + open.eb)) continue;
    double value = open.taken, bound = 0;
    if (!settle_one(node, &open, &value, &bound)) return false;
    if (isnan(value)) continue;
    array_set(&of->values[id], i, value);
    out[i] = bound;
  }
  return true;
}

/* ---- one node ---- */

static Settle *const settles[OP_COUNT] = {
    [OP_floor] = settle_elements,    [OP_round] = settle_elements,  [OP_cast] = settle_elements,
    [OP_floordiv] = settle_elements, [OP_mod] = settle_elements,    [OP_lt] = settle_elements,
    [OP_le] = settle_elements,       [OP_eq] = settle_elements,     [OP_argmax] = settle_argfold,
    [OP_argmin] = settle_argfold,    [OP_argsort] = settle_argsort,
};

bool settle_decisions(const BoundsOf *of, Id id, double *out) {
  const Node *node = graph_node(of->graph, id);
  Decisions *decisions = of->decisions;
  if (!settles[node->op] || graph_type(of->graph, node->operands[0])->dtype != F32) return true;
  bool open = false;
  for (int64_t i = 0, count = array_count(&of->values[id]); i < count; i++) open = open || out[i] == INFINITY;
  if (!open) return true;
  decisions->open[id] = decisions->asked = true;
  const Array *taken = &decisions->taken[id];
  if (!taken->data || settles[node->op](of, id, taken, out)) return true;
  return fail(of->failure, EXIT_BUG, "%%%d: %s decides what its operands' bounds do not allow", id, op_info[node->op].name);
}

/* ---- the program that tells them ---- */

Decisions decisions_new(Arena *arena, const Graph *graph) {
  int count = graph->nodes.count;
  Decisions decisions = {.open = NEW_ARRAY(arena, bool, count),
                         .taken = NEW_ARRAY(arena, Array, count),
                         .told = NEW_ARRAY(arena, int, count),
                         .bodies = NEW_ARRAY(arena, Decisions, count)};
  for (Id id = 1; id < count; id++) {
    const Node *node = graph_node(graph, id);
    decisions.told[id] = -1;
    if (node->scan) decisions.bodies[id] = decisions_new(arena, node->scan->body);
  }
  return decisions;
}

static int tell(Graph *graph, Id value, int told) {
  const char *name = intern(arena_format(graph->module->arena, "decision%d", told));
  PUSH(graph->module->arena, &graph->results, ((Result){name, value}));
  return told + 1;
}

static Graph *telling(const Graph *from, Decisions *decisions, int depth) {
  Arena *arena = from->module->arena;
  Graph *graph = arena_copy(arena, from, sizeof *from);
  graph->nodes.items = arena_copy(arena, from->nodes.items, (size_t)from->nodes.count * sizeof(Node));
  graph->nodes.capacity = from->nodes.count;
  graph->results.items = arena_copy(arena, from->results.items, (size_t)from->results.count * sizeof(Result));
  graph->results.capacity = from->results.count;
  int told = 0;
  for (Id id = 1; id < from->nodes.count; id++) {
    const Node *node = graph_node(from, id);
    if (decisions->open[id] && node->type.rank + depth <= MAX_RANK) {
      decisions->told[id] = told;
      told = tell(graph, id, told);
    }
    if (!node->scan || !decisions->bodies[id].asked) continue;
    Scan *scan = arena_copy(arena, node->scan, sizeof *scan);
    int first = scan->ncarry + scan->nyield;
    scan->body = telling(scan->body, &decisions->bodies[id], depth + 1);
    scan->nyield = scan->body->results.count - scan->ncarry;
    graph_node(graph, id)->scan = scan;
    decisions->told[id] = told;
    for (int k = first; k < scan->body->results.count; k++) told = tell(graph, graph_pick(graph, id, k), told);
  }
  return graph;
}

Graph *tell_decisions(const Graph *graph, Decisions *decisions) { return telling(graph, decisions, 0); }

void take_decisions(const Graph *graph, Decisions *decisions, const Array *told) {
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    if (decisions->told[id] < 0) continue;
    if (node->scan)
      take_decisions(node->scan->body, &decisions->bodies[id], told + decisions->told[id]);
    else
      decisions->taken[id] = told[decisions->told[id]];
  }
}

Decisions decisions_at_turn(Arena *arena, const Graph *body, const Decisions *all, int64_t turn) {
  Decisions at = *all;
  int count = body->nodes.count;
  at.taken = arena_copy(arena, all->taken, (size_t)count * sizeof *at.taken);
  at.bodies = arena_copy(arena, all->bodies, (size_t)count * sizeof *at.bodies);
  for (Id id = 1; id < count; id++) {
    const Node *node = graph_node(body, id);
    if (at.taken[id].data) at.taken[id] = slice_of(&all->taken[id], turn);
    if (node->scan) at.bodies[id] = decisions_at_turn(arena, node->scan->body, &all->bodies[id], turn);
  }
  return at;
}
