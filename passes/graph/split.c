/* Pass split: products by parts, where not all of a product is wanted at one place.
 *
 * In a loop whose turns have few rows, a product with a concatenation, concat(x, s) @ w, is a sum of products by slices of
 * w, if some part follows from what is known ahead of the loop and some does not: the one can then be computed for all turns
 * at once. And a product of which only a slice is read computes that slice: the gradient by concat(x, s) where nobody asks
 * for x's. Where each turn reads weights across, along the folded dim, so that a tile would want them transposed, they are
 * turned round by a view of its own, which pass hoist moves in front of the loop. */
#include "passes/graph/scans.h"

typedef struct Users {
  const Graph *of;
  int *count;
} Users;

/* ---- products with concatenations ---- */

/* The folded dim that operand k's axis is, bare, if the other operand can be read from an offset along it; else -1. */
static int split_dim(const Space *space, int k, int axis) {
  const Axis *own = &space->map[k].axis[axis];
  if (own->nterms != 1 || !axis_is_bare(own, own->dim[0]) || own->dim[0] < space->nresult) return -1;
  for (int a = 0; a < space->map[k].naxes; a++)
    for (int t = 0; t < space->map[k].axis[a].nterms; t++)
      if (a != axis && space->map[k].axis[a].dim[t] == own->dim[0]) return -1;
  return own->dim[0];
}

/* The indices of dim d in a map move on by `start`. */
static bool move_on(Module *module, Map *map, int d, const Dim *start) {
  for (int a = 0; a < map->naxes; a++) {
    Axis *axis = &map->axis[a];
    for (int t = 0; t < axis->nterms; t++) {
      if (axis->dim[t] != d) continue;
      const Dim *reach = dim_multiply(module, dim_constant(module, axis->coefficient[t]), start);
      const Dim *offset = reach ? dim_add(module, axis->offset, reach) : NULL;
      if (!offset) return false;
      axis->offset = offset;
    }
  }
  return true;
}

static bool parts_differ(const Depends *of, const Node *concat) {
  bool ahead = false, carried = false;
  for (int k = 0; k < concat->noperands; k++) {
    ahead = ahead || of[concat->operands[k]] == AHEAD;
    carried = carried || of[concat->operands[k]] == CARRIED;
  }
  return ahead && carried;
}

/* Operand k of the contract is a concatenation: the sum of the products of its parts. */
static Id split_operand(Graph *to, const Node *node, const Node *concat, int k, const Id *renamed) {
  Module *module = to->module;
  int d = split_dim(node->space, k, concat->index);
  if (d < 0 || node->space->extent[d] != concat->type.size[concat->index]) return 0;
  const Dim *start = dim_constant(module, 0);
  Id sum = 0;
  for (int part = 0; part < concat->noperands; part++) {
    Id operands[2] = {renamed[node->operands[0]], renamed[node->operands[1]]};
    operands[k] = renamed[concat->operands[part]];
    Space space = *node->space;
    space.extent[d] = graph_type(to, operands[k])->size[concat->index];
    if (!move_on(module, &space.map[1 - k], d, start)) return 0;
    Id product = graph_contract(to, operands[0], operands[1], &space);
    sum = sum ? graph_binary(to, OP_add, sum, product) : product;
    start = dim_add(module, start, space.extent[d]);
    if (!start) return 0;
  }
  return sum;
}

/* ---- weights that lie across ---- */

static bool is_bare_step(const Axis *axis, int from, int to) {
  return axis->nterms == 1 && axis->coefficient[0] == 1 && axis->divisor == 1 && axis->dim[0] >= from && axis->dim[0] < to;
}

/* A matrix whose rows are read along a result's dim and whose columns along a folded one, as the gradient by a product's left
 * operand reads its right one. Gives it with the folded dim first; `map` then reads that. */
static Id turn_round(Graph *to, Id matrix, const Space *space, Map *map) {
  Module *module = to->module;
  const Axis *row = &map->axis[0], *column = &map->axis[1];
  if (map->naxes != 2 || !is_bare_step(row, 0, space->nresult) || !is_bare_step(column, space->nresult, space->ndims))
    return 0;
  if (row->dim[0] != space->nresult - 1) return 0; /* lanes run along what lies last in the result */
  Space view = {
      .ndims = 2, .nresult = 2, .nmaps = 1, .extent = {space->extent[column->dim[0]], space->extent[row->dim[0]]}};
  view.map[0] = (Map){.naxes = 2, .axis = {axis_affine(1, 1, row->offset), axis_affine(0, 1, column->offset)}};
  *map = (Map){.naxes = 2, .axis = {axis_of(module, column->dim[0]), axis_of(module, row->dim[0])}};
  Id turned = graph_view(to, matrix, &view, 0);
  graph_node(to, turned)->materialise = true;
  return turned;
}

static Id turn_weights(Graph *to, const Node *node, const Depends *depends, const Id *renamed) {
  for (int k = 0; k < 2; k++) {
    if (depends[node->operands[k]] != INVARIANT || depends[node->operands[1 - k]] != CARRIED) continue;
    Space space = *node->space;
    Id operands[2] = {renamed[node->operands[0]], renamed[node->operands[1]]};
    if (!map_always_inside(to->module, &space, k, graph_type(to, operands[k]))) continue;
    operands[k] = turn_round(to, operands[k], node->space, &space.map[k]);
    if (operands[k]) return graph_contract(to, operands[0], operands[1], &space);
  }
  return 0;
}

/* A rule for the body of a scan; `user` tells what its nodes depend on. */
static Id split_product(Graph *to, const Graph *from, Id id, const Id *renamed, void *user) {
  const Node *node = graph_node(from, id);
  for (int k = 0; node->op == OP_contract && k < 2; k++) {
    const Node *concat = graph_node(from, node->operands[k]);
    if (concat->op != OP_concat || !parts_differ(user, concat) || turn_fills_tiles(node->space, k)) continue;
    Id sum = split_operand(to, node, concat, k, renamed);
    if (sum) return sum;
  }
  return node->op == OP_contract ? turn_weights(to, node, user, renamed) : 0;
}

/* ---- slices of products ---- */

/* A view that reads a box of its operand, axis by axis. */
static bool is_box(Module *module, const Node *view, const Type *operand) {
  const Space *space = view->space;
  if (space->ndims != operand->rank || !map_always_inside(module, space, 0, operand)) return false;
  for (int a = 0; a < operand->rank; a++) {
    const Axis *axis = &space->map[0].axis[a];
    if (axis->nterms != 1 || axis->dim[0] != a || axis->coefficient[0] != 1 || axis->divisor != 1) return false;
  }
  return true;
}

/* A view of a box of a contract that nobody else reads. */
static Id slice_product(Graph *to, const Graph *from, const Node *view, const Id *renamed, const int *users) {
  const Node *product = graph_node(from, view->operands[0]);
  if (product->op != OP_contract || users[view->operands[0]] != 1) return 0;
  if (!is_box(to->module, view, &product->type)) return 0;
  Space space = *product->space;
  for (int d = 0; d < space.nresult; d++) {
    space.extent[d] = view->space->extent[d];
    for (int k = 0; k < 2; k++)
      if (!move_on(to->module, &space.map[k], d, view->space->map[0].axis[d].offset)) return 0;
  }
  return graph_contract(to, renamed[product->operands[0]], renamed[product->operands[1]], &space);
}

static Id split_node(Graph *to, const Graph *from, Id id, const Id *renamed, void *user) {
  Users *users = user;
  const Node *node = graph_node(from, id);
  if (users->of != from) *users = (Users){from, count_users(from)};
  if (node->op == OP_view) return slice_product(to, from, node, renamed, users->count);
  if (node->op != OP_scan) return 0;
  Id *operands = NEW_ARRAY(to->module->arena, Id, node->noperands + 1);
  for (int k = 0; k < node->noperands; k++) operands[k] = renamed[node->operands[k]];
  ScanMore more = {.replace = split_product, .user = scan_depends(node->scan)};
  return scan_with_more(to, node, operands, &more);
}

void pass_split(Module *module) {
  Users users = {0};
  rewrite_entries(module, split_node, &users);
}
