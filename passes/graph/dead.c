/* Pass dead: what no result and no final needs is gone.
 *
 * Walks each graph from its last node to its first. A scan is trimmed to what its picks ask for: a carry stays if its last
 * value or, through its body, anything that stays needs it; a yield if it is picked; slices and captures if the body reads
 * them. A scan without a needed pick vanishes. Entries keep their parameters: they are the C function's. */
#include "passes/graph/rewrite.h"

/* What is needed of one graph, and of each scan in it. */
typedef struct Need {
  const Graph *graph;
  bool *nodes;
  bool *parameters;     /* those that are read */
  bool **picks;         /* by the Id of a scan: the results that are asked for, then all that must stay */
  struct Need **bodies; /* by the Id of a scan; NULL: it is not needed */
} Need;

static Need *find_need(const Graph *graph, const bool *results);

/* The body's need once every carry that it needs is computed too; `results` grows by those. */
static Need *find_body_need(const Scan *scan, bool *results) {
  for (;;) {
    Need *need = find_need(scan->body, results);
    bool changed = false;
    for (int i = 0; i < scan->ncarry; i++) {
      if (!need->parameters[1 + i] || results[i]) continue;
      results[i] = changed = true;
    }
    if (!changed) return need;
  }
}

static void need_scan(Need *need, Id id) {
  const Node *node = graph_node(need->graph, id);
  const Scan *scan = node->scan;
  if (!need->picks[id]) return;
  Need *body = need->bodies[id] = find_body_need(scan, need->picks[id]);
  for (int i = 0; i < node->noperands; i++)
    if (body->parameters[1 + i] || (i < scan->ncarry && need->picks[id][i])) need->nodes[node->operands[i]] = true;
}

/* results NULL: all of them. */
static Need *find_need(const Graph *graph, const bool *results) {
  Arena *arena = graph->module->arena;
  int count = graph->nodes.count;
  Need *need = NEW(arena, Need);
  *need = (Need){.graph = graph,
                 .nodes = NEW_ARRAY(arena, bool, count),
                 .parameters = NEW_ARRAY(arena, bool, graph->parameters.count + 1),
                 .picks = NEW_ARRAY(arena, bool *, count),
                 .bodies = NEW_ARRAY(arena, Need *, count)};
  for (int i = 0; i < graph->results.count; i++)
    if (!results || results[i]) need->nodes[graph->results.items[i].value] = true;
  for (int i = 0; i < graph->finals.count; i++) need->nodes[graph->finals.items[i].value] = true;
  for (Id id = count - 1; id > 0; id--) {
    const Node *node = graph_node(graph, id);
    if (!need->nodes[id]) continue;
    if (node->op == OP_arg) need->parameters[node->index] = true;
    if (node->op == OP_scan) {
      need_scan(need, id);
      continue;
    }
    for (int i = 0; i < node->noperands; i++) need->nodes[node->operands[i]] = true;
    if (node->op != OP_pick || graph_node(graph, node->operands[0])->op != OP_scan) continue;
    Id pair = node->operands[0];
    const Scan *scan = graph_node(graph, pair)->scan;
    if (!need->picks[pair]) need->picks[pair] = NEW_ARRAY(arena, bool, scan->ncarry + scan->nyield);
    need->picks[pair][node->index] = true;
  }
  return need;
}

/* ---- copying what is needed ---- */

static int count_true(const bool *flags, int from, int count) {
  int sum = 0;
  for (int i = from; i < from + count; i++) sum += flags[i];
  return sum;
}

static Graph *copy_needed(const Need *need, const bool *parameters, const bool *results);

/* The scan and its operands without what is not needed. */
static Id copy_scan(Graph *to, const Need *need, Id id, const Id *renamed) {
  const Node *node = graph_node(need->graph, id);
  const Scan *scan = node->scan;
  const bool *results = need->picks[id], *read = need->bodies[id]->parameters;
  Arena *arena = to->module->arena;
  bool *stays = NEW_ARRAY(arena, bool, node->noperands + 1);
  Id *operands = NEW_ARRAY(arena, Id, node->noperands);
  int count = 0;
  stays[0] = true;
  for (int i = 0; i < node->noperands; i++) {
    stays[1 + i] = i < scan->ncarry ? results[i] : read[1 + i];
    if (stays[1 + i]) operands[count++] = renamed[node->operands[i]];
  }
  Scan trimmed = {.trips = scan->trips, .reverse = scan->reverse};
  trimmed.body = copy_needed(need->bodies[id], stays, results);
  trimmed.ncarry = count_true(stays, 1, scan->ncarry);
  trimmed.nslice = count_true(stays, 1 + scan->ncarry, scan->nslice);
  trimmed.ncapture = count_true(stays, 1 + scan->ncarry + scan->nslice, scan->ncapture);
  trimmed.nyield = count_true(results, scan->ncarry, scan->nyield);
  Id copy = graph_scan(to, &trimmed, operands);
  graph_node(to, copy)->name = node->name;
  return copy;
}

/* parameters, results NULL: all. */
static Graph *copy_needed(const Need *need, const bool *parameters, const bool *results) {
  const Graph *from = need->graph;
  Arena *arena = from->module->arena;
  Graph *to = graph_new(from->module, from->name, from->kind);
  to->place = from->place;
  to->draws = from->draws;
  Id *renamed = NEW_ARRAY(arena, Id, from->nodes.count);
  int *numbered = NEW_ARRAY(arena, int, from->parameters.count + 1);
  for (int i = 0; i < from->parameters.count; i++) {
    numbered[i] = to->parameters.count;
    if (!parameters || parameters[i]) PUSH(arena, &to->parameters, from->parameters.items[i]);
  }
  for (int i = 0; i < from->checks.count; i++) PUSH(arena, &to->checks, from->checks.items[i]);
  for (Id id = 1; id < from->nodes.count; id++) {
    const Node *node = graph_node(from, id);
    bool keeps_parameter = node->op == OP_arg && (!parameters || parameters[node->index]);
    if (!need->nodes[id] && !keeps_parameter) continue;
    to->here = node->place;
    renamed[id] = node->op == OP_scan ? copy_scan(to, need, id, renamed) : graph_copy_node(to, from, id, renamed);
    if (node->op == OP_arg) graph_node(to, renamed[id])->index = numbered[node->index];
    if (node->op == OP_pick && need->picks[node->operands[0]])
      graph_node(to, renamed[id])->index = count_true(need->picks[node->operands[0]], 0, node->index);
  }
  to->here = from->here;
  for (int i = 0; i < from->results.count; i++) {
    Result result = from->results.items[i];
    if (results && !results[i]) continue;
    result.value = renamed[result.value];
    PUSH(arena, &to->results, result);
  }
  for (int i = 0; i < from->finals.count; i++)
    PUSH(arena, &to->finals, ((Final){from->finals.items[i].symbol, renamed[from->finals.items[i].value]}));
  return to;
}

void pass_dead(Module *module) {
  for (int i = 0; i < module->entries.count; i++)
    module->entries.items[i] = copy_needed(find_need(module->entries.items[i], NULL), NULL, NULL);
}
