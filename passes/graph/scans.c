/* What the passes over scans share. See scans.h. */
#include "passes/graph/scans.h"

/* ---- what values depend on ---- */

/* Ops whose values of all turns are one op over a further axis. */
static bool stacks(const Node *node) {
  if (node->type.rank + 1 > MAX_RANK) return false;
  if (node->space) {
    if (node->space->ndims + 1 > MAX_LOOPS) return false;
    for (int k = 0; k < node->space->nmaps; k++)
      if (node->space->map[k].naxes + 1 > MAX_RANK) return false;
    return true;
  }
  switch (node->op) {
  case OP_random:
  case OP_gather:
  case OP_scatter:
  case OP_argsort:
  case OP_cumsum:
  case OP_scan:
  case OP_grad:
  case OP_pick: return false;
  default: return true;
  }
}

Depends *scan_depends(const Scan *scan) {
  const Graph *body = scan->body;
  Depends *depends = NEW_ARRAY(body->module->arena, Depends, body->nodes.count);
  for (Id id = 1; id < body->nodes.count; id++) {
    const Node *node = graph_node(body, id);
    if (node->op == OP_arg) {
      bool carry = node->index >= 1 && node->index <= scan->ncarry;
      depends[id] = carry ? CARRIED : node->index <= scan->ncarry + scan->nslice ? AHEAD : INVARIANT;
      continue;
    }
    for (int k = 0; k < node->noperands; k++)
      if (depends[node->operands[k]] > depends[id]) depends[id] = depends[node->operands[k]];
    bool whole = node->op == OP_scan || node->op == OP_grad || node->op == OP_pick;
    if (whole || (depends[id] == AHEAD && !stacks(node))) depends[id] = CARRIED;
  }
  return depends;
}

int *count_users(const Graph *graph) {
  int *users = NEW_ARRAY(graph->module->arena, int, graph->nodes.count);
  for (Id id = 1; id < graph->nodes.count; id++)
    for (int k = 0; k < graph_node(graph, id)->noperands; k++) users[graph_node(graph, id)->operands[k]]++;
  for (int i = 0; i < graph->results.count; i++) users[graph->results.items[i].value]++;
  for (int i = 0; i < graph->finals.count; i++) users[graph->finals.items[i].value]++;
  return users;
}

Id only_user(const Graph *graph, Id id, const int *users) {
  if (users[id] != 1) return 0;
  for (Id user = id + 1; user < graph->nodes.count; user++)
    for (int k = 0; k < graph_node(graph, user)->noperands; k++)
      if (graph_node(graph, user)->operands[k] == id) return user;
  return 0;
}

double elements_at_bounds(const Type *type) {
  double elements = 1;
  for (int k = 0; k < type->rank; k++) elements *= (double)type->size[k]->high;
  return elements;
}

double stacked_bytes(const Scan *scan, const Type *type) {
  return (double)scan->trips->high * elements_at_bounds(type) * (type->dtype == BOOL ? 1 : 4);
}

static bool elementwise(const Node *node) {
  return !node->space && node->noperands > 0 && node->op >= OP_neg && node->op <= OP_where;
}

Id end_of_chain(const Graph *body, Id id, const int *users, const bool *stays) {
  for (;;) {
    Id user = only_user(body, id, users);
    if (!user || !stays[user] || !elementwise(graph_node(body, user))) return id;
    if (!type_equal(graph_type(body, user), graph_type(body, id))) return id;
    id = user;
  }
}

static bool map_reads(const Map *map, int dim) {
  for (int a = 0; a < map->naxes; a++)
    for (int t = 0; t < map->axis[a].nterms; t++)
      if (map->axis[a].dim[t] == dim) return true;
  return false;
}

bool turn_fills_tiles(const Space *space, int k) {
  enum { TILES_ROWS = 32 }; /* a few tiles' */
  double rows = 1;
  for (int d = 0; d < space->nresult; d++)
    if (map_reads(&space->map[k], d) && !map_reads(&space->map[1 - k], d)) rows *= (double)space->extent[d]->high;
  return rows >= TILES_ROWS;
}

/* ---- values of all turns ---- */

Outside outside_new(Graph *to, const Scan *scan, const Id *operands, const Depends *depends) {
  Id *built = NEW_ARRAY(to->module->arena, Id, scan->body->nodes.count);
  return (Outside){.to = to, .scan = scan, .operands = operands, .depends = depends, .built = built};
}

static void insert_turn(Module *module, const Map *map, int at, bool stacked, Map *result) {
  *result = *map;
  if (stacked) {
    result->naxes++;
    for (int a = map->naxes; a > 0; a--) result->axis[a] = map->axis[a - 1];
    result->axis[0] = axis_of(module, at);
  }
  for (int a = stacked; a < result->naxes; a++)
    for (int t = 0; t < result->axis[a].nterms; t++) result->axis[a].dim[t] += result->axis[a].dim[t] >= at;
}

Space space_with_turn(Module *module, const Space *space, const Dim *trips, bool folded, const bool *stacked) {
  int at = folded ? space->nresult : 0;
  Space result = {.ndims = space->ndims + 1, .nresult = space->nresult + !folded, .nmaps = space->nmaps};
  for (int d = 0; d < result.ndims; d++) result.extent[d] = d == at ? trips : space->extent[d - (d > at)];
  for (int k = 0; k < space->nmaps; k++) insert_turn(module, &space->map[k], at, stacked[k], &result.map[k]);
  return result;
}

static Type stacked_type(const Outside *outside, const Type *type) {
  Type stacked = {.dtype = type->dtype, .rank = type->rank + 1, .size = {outside->scan->trips}};
  for (int k = 0; k < type->rank; k++) stacked.size[k + 1] = type->size[k];
  return stacked;
}

/* An operand with the turns' axis, even where all turns have the same. */
static Id build_stacked(Outside *outside, Id id) {
  Id built = outside_build(outside, id);
  if (outside->depends[id] != INVARIANT) return built;
  Type type = stacked_type(outside, graph_type(outside->scan->body, id));
  return graph_broadcast(outside->to, built, type.rank, type.size);
}

static Id build_arg(Outside *outside, const Node *node) {
  if (node->index > 0) return outside->operands[node->index - 1];
  Type turns = {.dtype = I32, .rank = 1, .size = {outside->scan->trips}};
  return graph_iota(outside->to, turns, 0);
}

/* The node as it is, over operands outside. */
static Id build_invariant(Outside *outside, Id id) {
  const Node *node = graph_node(outside->scan->body, id);
  for (int k = 0; k < node->noperands; k++) outside_build(outside, node->operands[k]);
  return graph_copy_node(outside->to, outside->scan->body, id, outside->built);
}

static Id build_ahead(Outside *outside, Id id) {
  const Graph *body = outside->scan->body;
  const Node *node = graph_node(body, id);
  Module *module = outside->to->module;
  Node copy = *node;
  copy.type = stacked_type(outside, &node->type);
  copy.operands = NEW_ARRAY(module->arena, Id, node->noperands + 1);
  bool stacked[2] = {false, false};
  for (int k = 0; k < node->noperands; k++) {
    copy.operands[k] = node->space ? outside_build(outside, node->operands[k]) : build_stacked(outside, node->operands[k]);
    if (node->space) stacked[k] = outside->depends[node->operands[k]] != INVARIANT;
  }
  if (node->op == OP_reshape) return graph_reshape(outside->to, copy.operands[0], copy.type.rank, copy.type.size);
  if (node->op == OP_concat) copy.index++;
  if (node->space) {
    Space space = space_with_turn(module, node->space, outside->scan->trips, false, stacked);
    copy.space = arena_copy(module->arena, &space, sizeof space);
  }
  return graph_add(outside->to, &copy);
}

Id outside_build(Outside *outside, Id id) {
  if (outside->built[id]) return outside->built[id];
  const Node *node = graph_node(outside->scan->body, id);
  CHECK(outside->depends[id] != CARRIED);
  const Place *here = outside->to->here;
  if (node->place) outside->to->here = node->place;
  Id built = node->op == OP_arg                  ? build_arg(outside, node)
             : outside->depends[id] == INVARIANT ? build_invariant(outside, id)
                                                 : build_ahead(outside, id);
  outside->to->here = here;
  return outside->built[id] = built;
}

/* ---- a scan with more slots ---- */

typedef struct Copying {
  const Node *node;
  const ScanMore *more;
  Graph *body;
  Id *renamed;
  Id *operands;
} Copying;

static void add_parameter(Copying *copying, Parameter parameter, Id operand) {
  Arena *arena = copying->body->module->arena;
  copying->operands[copying->body->parameters.count - 1] = operand;
  PUSH(arena, &copying->body->parameters, parameter);
}

/* An arg node that stands for a node of the old body. */
static void add_given(Copying *copying, Given given) {
  const Node *inner = graph_node(copying->node->scan->body, given.inner);
  Node arg = {.op = OP_arg, .type = inner->type, .index = copying->body->parameters.count, .place = inner->place};
  Parameter parameter = {.name = inner->name, .type = inner->type, .place = inner->place};
  add_parameter(copying, parameter, given.outer);
  copying->renamed[given.inner] = graph_add(copying->body, &arg);
}

/* The parameters: turn, carries, slices and new ones, captures and new ones. Gives by how much old captures move. */
static void copy_parameters(Copying *copying, const Id *operands) {
  const Scan *scan = copying->node->scan;
  const Graph *from = scan->body;
  int first = 1 + scan->ncarry + scan->nslice;
  PUSH(from->module->arena, &copying->body->parameters, from->parameters.items[0]);
  for (int p = 1; p < first; p++) add_parameter(copying, from->parameters.items[p], operands[p - 1]);
  for (int k = 0; k < copying->more->slices.count; k++) add_given(copying, copying->more->slices.items[k]);
  for (int p = first; p < from->parameters.count; p++) add_parameter(copying, from->parameters.items[p], operands[p - 1]);
  for (int k = 0; k < copying->more->captures.count; k++) add_given(copying, copying->more->captures.items[k]);
}

Id scan_with_more(Graph *to, const Node *node, const Id *operands, const ScanMore *more) {
  const Scan *scan = node->scan;
  const Graph *from = scan->body;
  Arena *arena = to->module->arena;
  Copying copying = {.node = node, .more = more, .body = graph_new(to->module, from->name, GRAPH_BODY)};
  Graph *body = copying.body;
  body->place = from->place;
  copying.renamed = NEW_ARRAY(arena, Id, from->nodes.count);
  copying.operands = NEW_ARRAY(arena, Id, node->noperands + more->slices.count + more->captures.count + 1);
  copy_parameters(&copying, operands);
  for (Id id = 1; id < from->nodes.count; id++) {
    if (copying.renamed[id]) continue;
    body->here = graph_node(from, id)->place;
    if (more->replace) copying.renamed[id] = more->replace(body, from, id, copying.renamed, more->user);
    if (copying.renamed[id]) continue;
    Id copy = copying.renamed[id] = graph_copy_node(body, from, id, copying.renamed);
    bool capture = graph_node(from, id)->op == OP_arg && graph_node(from, id)->index > scan->ncarry + scan->nslice;
    if (capture) graph_node(body, copy)->index += more->slices.count;
  }
  for (int i = 0; i < from->results.count; i++) {
    Result result = from->results.items[i];
    PUSH(arena, &body->results, ((Result){result.name, copying.renamed[result.value]}));
  }
  for (int k = 0; k < more->yields.count; k++) {
    Id value = more->yields.items[k];
    PUSH(arena, &body->results, ((Result){graph_node(from, value)->name, copying.renamed[value]}));
  }
  Scan wider = *scan;
  wider.body = body;
  wider.nslice += more->slices.count;
  wider.ncapture += more->captures.count;
  wider.nyield += more->yields.count;
  Id copy = graph_scan(to, &wider, copying.operands);
  graph_node(to, copy)->name = node->name;
  return copy;
}
