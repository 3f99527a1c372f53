/* Contracts that a tile can run: operands read linearly, with a loop for the lanes.
 *
 * A contract's operand may be padded (indices outside are 0) or dilated (indices that don't divide are absent). A tile
 * wants neither a branch nor a division in its inner loop, so such an operand is written out once, by a view over the
 * range of the numerators: j = c0*d0 + c1*d1 + (offset - lowest) indexes it with no guard. That copy costs a load and a
 * store per element; the contract reads each element once for every tap.
 *
 * Lanes must run along a loop in which every operand that varies lies one element apart, and the result too (or the loop
 * is folded: then each lane sums its part). If the layouts at hand offer no good loop, an operand is transposed into memory
 * first. The choice is by a count of cycles that is rough but orders the candidates rightly.
 *
 * And totals in two steps: a sum of very many elements into one number is cut into a sum along each of the first dim's
 * indices, and the sum of those. Each addend then meets fewer roundings (a norm over an embedding has millions of terms), and
 * the first step has tasks for several threads. */
#include "passes/graph/rewrite.h"

#include <stdlib.h>
#include <string.h>

enum { LANES = 16, MANY = 1 << 15 /* elements of a total that is worth two steps */ };

/* ---- padding and dilation ---- */

static bool needs_copy(Module *module, const Space *space, int operand, const Type *type) {
  for (int k = 0; k < type->rank; k++) {
    if (space->map[operand].axis[k].divisor != 1) return true;
  }
  return !map_always_inside(module, space, operand, type);
}

/* The smallest and the number of different numerators of an index. */
static void numerator_range(Module *module, const Space *space, const Axis *axis, const Dim **lowest, const Dim **count) {
  const Dim *low = axis->offset, *high = axis->offset;
  for (int k = 0; k < axis->nterms; k++) {
    const Dim *last = dim_offset(module, space->extent[axis->dim[k]], -1);
    const Dim *reach = dim_multiply(module, dim_constant(module, axis->coefficient[k]), last);
    if (axis->coefficient[k] > 0) high = dim_add(module, high, reach);
    if (axis->coefficient[k] < 0) low = dim_add(module, low, reach);
  }
  *lowest = low;
  *count = dim_offset(module, dim_subtract(module, high, low), 1);
}

/* The operand written out over its numerators; the space's map then reads that. */
static Id write_out(Graph *to, Id operand, Space *space, int k) {
  Module *module = to->module;
  const Type *type = graph_type(to, operand);
  int rank = type->rank;
  Space view = {.ndims = rank, .nresult = rank, .nmaps = 1, .map[0].naxes = rank};
  for (int a = 0; a < rank; a++) {
    Axis *axis = &space->map[k].axis[a];
    bool inside = axis->divisor == 1 && axis_always_inside(module, space, axis, type->size[a]);
    const Dim *lowest, *count;
    if (inside) {
      view.extent[a] = type->size[a];
      view.map[0].axis[a] = axis_of(module, a);
      continue;
    }
    numerator_range(module, space, axis, &lowest, &count);
    view.extent[a] = count;
    view.map[0].axis[a] = axis_affine(a, 1, lowest);
    view.map[0].axis[a].divisor = axis->divisor;
    axis->offset = dim_subtract(module, axis->offset, lowest);
    axis->divisor = 1;
  }
  Id written = graph_view(to, operand, &view, 0);
  graph_node(to, written)->materialise = true;
  return written;
}

/* ---- lanes ---- */

static double at_bounds(const Dim *dim) { return (double)dim->high; }

/* One operand as it lies in memory: how many elements apart neighbours along each dim of the space are; 2 stands for
 * anything but 0 and 1. */
typedef struct Strides {
  int8_t of[MAX_LOOPS];
  double elements[MAX_LOOPS]; /* the same in elements, at the bounds */
} Strides;

static int product_is_one(const Type *type, int from) {
  for (int k = from; k < type->rank; k++) {
    if (!dim_is(type->size[k], 1)) return 0;
  }
  return 1;
}

/* `map` reads a tensor of this type that lies row-major. */
static Strides strides_of(const Type *type, const Map *map) {
  Strides strides = {{0}, {0}};
  double inner = 1;
  for (int a = map->naxes - 1; a >= 0; inner *= at_bounds(type->size[a]), a--) {
    for (int t = 0; t < map->axis[a].nterms; t++) {
      strides.elements[map->axis[a].dim[t]] += inner * (double)llabs(map->axis[a].coefficient[t]);
      int8_t *stride = &strides.of[map->axis[a].dim[t]];
      bool unit = *stride == 0 && map->axis[a].coefficient[t] == 1 && product_is_one(type, a + 1);
      *stride = unit ? 1 : 2;
    }
  }
  return strides;
}

/* The strides in which lowering will read the operand: through a view or transposition that needs no memory. */
static Strides strides_through(const Graph *graph, Id id, const Space *space, int operand) {
  const Node *node = graph_node(graph, id);
  Space outer = *space;
  outer.map[0] = space->map[operand];
  outer.nmaps = 1;
  while (node->op == OP_view && !node->materialise) {
    Space composed;
    const Type *below = graph_type(graph, node->operands[0]);
    if (!map_always_inside(graph->module, node->space, 0, below)) break;
    if (!space_compose(graph->module, &outer, 0, &node->type, node->space, &composed)) break;
    outer = composed;
    id = node->operands[0];
    node = graph_node(graph, id);
  }
  return strides_of(&node->type, &outer.map[0]);
}

typedef struct Choice {
  double cycles;
  int dim;
  bool transpose[2];
} Choice;

/* Neighbours along dim d are neighbours in the result. */
static bool is_last(const Space *space, int d) {
  for (int k = d + 1; k < space->nresult; k++) {
    if (!dim_is(space->extent[k], 1)) return false;
  }
  return true;
}

/* Cycles if lanes run along dim d, with two fused multiply-adds of 16 lanes a cycle. */
static Choice try_lanes(const Graph *graph, const Space *space, const Id *operands, const Strides *strides, int d) {
  double extent = at_bounds(space->extent[d]), work = 1, outputs = 1;
  for (int k = 0; k < space->ndims; k++) {
    work *= at_bounds(space->extent[k]);
    if (k < space->nresult) outputs *= at_bounds(space->extent[k]);
  }
  double vectors = (double)((int64_t)(extent + LANES - 1) / LANES);
  Choice choice = {.dim = d, .cycles = work / extent * vectors / 2};
  if (d >= space->nresult) {
    choice.cycles += outputs * 6; /* the lanes of each result are added up at its end */
  } else if (!is_last(space, d)) {
    choice.cycles += outputs * 2; /* the result is stored element by element */
  }
  for (int k = 0; k < 2; k++) {
    if (strides[k].of[d] != 2) continue;
    double elements = 1;
    const Type *type = graph_type(graph, operands[k]);
    for (int a = 0; a < type->rank; a++) elements *= at_bounds(type->size[a]);
    choice.cycles += elements * 2;
    choice.transpose[k] = true;
  }
  return choice;
}

/* The axis that dim d indexes bare, or -1. */
static int bare_axis(const Map *map, int d) {
  int found = -1;
  for (int a = 0; a < map->naxes; a++) {
    for (int t = 0; t < map->axis[a].nterms; t++) {
      if (map->axis[a].dim[t] != d) continue;
      if (found >= 0 || map->axis[a].coefficient[t] != 1) return -1;
      found = a;
    }
  }
  return found;
}

/* Operand k with this axis last, in memory: of all others the part that is read. The space's map then reads that. */
static Id transpose_last(Graph *to, Id operand, Space *space, int k, int axis) {
  Module *module = to->module;
  const Type *type = graph_type(to, operand);
  const Map old = space->map[k];
  Space view = {.ndims = type->rank, .nresult = type->rank, .nmaps = 1, .map[0].naxes = type->rank};
  for (int a = 0, place = 0; a < type->rank; a++) {
    int to_axis = a == axis ? type->rank - 1 : place++;
    const Dim *lowest, *count;
    numerator_range(module, space, &old.axis[a], &lowest, &count);
    view.extent[to_axis] = count;
    view.map[0].axis[a] = axis_affine(to_axis, 1, lowest);
    space->map[k].axis[to_axis] = old.axis[a];
    space->map[k].axis[to_axis].offset = dim_subtract(module, old.axis[a].offset, lowest);
  }
  if (map_is_identity(&view, 0, type)) return operand;
  Id turned = graph_view(to, operand, &view, 0);
  graph_node(to, turned)->materialise = true;
  return turned;
}

/* Gives the dim that lanes should run along, -1 if there is none. */
static int choose_lanes(Graph *to, Id *operands, Space *space) {
  Strides strides[2] = {strides_through(to, operands[0], space, 0), strides_through(to, operands[1], space, 1)};
  Choice best = {.dim = -1};
  for (int d = 0; d < space->ndims; d++) {
    if (dim_is(space->extent[d], 1)) continue;
    Choice choice = try_lanes(to, space, operands, strides, d);
    bool possible = true;
    for (int k = 0; k < 2; k++) possible = possible && (!choice.transpose[k] || bare_axis(&space->map[k], d) >= 0);
    if (possible && (best.dim < 0 || choice.cycles < best.cycles)) best = choice;
  }
  for (int k = 0; k < 2 && best.dim >= 0; k++) {
    if (!best.transpose[k]) continue;
    operands[k] = transpose_last(to, operands[k], space, k, bare_axis(&space->map[k], best.dim));
  }
  return best.dim;
}

/* The folded dims from the farthest neighbours to the nearest, as the operand that lanes run along lies (the larger one
 * where both have lanes): so it is read from front to back. */
static void order_folds(const Graph *to, const Id *operands, Space *space, int lanes) {
  Strides strides[2] = {strides_through(to, operands[0], space, 0), strides_through(to, operands[1], space, 1)};
  double elements[2] = {1, 1}, reach[MAX_LOOPS];
  int order[MAX_LOOPS], place[MAX_LOOPS], first = space->nresult;
  for (int k = 0; k < 2; k++) {
    bool has_lanes = lanes < 0 || strides[k].of[lanes] != 0;
    for (int d = 0; d < space->ndims; d++) elements[k] *= strides[k].of[d] ? at_bounds(space->extent[d]) : 1;
    if (!has_lanes) elements[k] = 0;
  }
  int wide = elements[1] >= elements[0] ? 1 : 0;
  for (int d = 0; d < space->ndims; d++) {
    order[d] = d;
    reach[d] = strides[wide].elements[d] > 0 ? strides[wide].elements[d] : 1e18;
  }
  for (int d = first + 1; d < space->ndims; d++) {
    int moved = order[d], at = d;
    for (; at > first && reach[order[at - 1]] < reach[moved]; at--) order[at] = order[at - 1];
    order[at] = moved;
  }
  Space old = *space;
  for (int d = 0; d < space->ndims; d++) {
    space->extent[d] = old.extent[order[d]];
    place[order[d]] = d;
  }
  for (int k = 0; k < 2; k++) {
    for (int a = 0; a < space->map[k].naxes; a++) {
      for (int t = 0; t < space->map[k].axis[a].nterms; t++) {
        space->map[k].axis[a].dim[t] = place[old.map[k].axis[a].dim[t]];
      }
    }
  }
}

static Id sum_in_two(Graph *to, const Node *node, Id operand) {
  Space parts = *node->space;
  double elements = 1;
  for (int d = 0; d < parts.ndims; d++) elements *= at_bounds(parts.extent[d]);
  if (parts.nresult > 0 || parts.ndims < 2 || elements < MANY) return 0;
  parts.nresult = 1;
  Space total = {.ndims = 1, .nmaps = 1, .extent[0] = parts.extent[0], .map[0].naxes = 1};
  total.map[0].axis[0] = axis_of(to->module, 0);
  return graph_fold(to, OP_fold_sum, graph_fold(to, OP_fold_sum, operand, &parts), &total);
}

static Id linear_contract(Graph *to, Id *operands, Space *space) {
  for (int k = 0; k < 2; k++) {
    const Type type = *graph_type(to, operands[k]);
    if (needs_copy(to->module, space, k, &type)) operands[k] = write_out(to, operands[k], space, k);
  }
  int lanes = choose_lanes(to, operands, space);
  order_folds(to, operands, space, lanes);
  return graph_contract(to, operands[0], operands[1], space);
}

static Id linear_node(Graph *to, const Graph *from, Id id, const Id *renamed, void *user) {
  const Node *node = graph_node(from, id);
  (void)user;
  if (node->op == OP_fold_sum) return sum_in_two(to, node, renamed[node->operands[0]]);
  if (node->op != OP_contract) return 0;
  Space space = *node->space, spread;
  Id operands[2] = {renamed[node->operands[0]], renamed[node->operands[1]]};
  if (!thin_contract(to, operands, &space, &spread)) return linear_contract(to, operands, &space);
  Id contract = linear_contract(to, operands, &space);
  return spread.nresult == space.nresult ? contract : graph_view(to, contract, &spread, 0);
}

void pass_linear(Module *module) {
  for (int k = 0; k < module->entries.count; k++) {
    module->entries.items[k] = graph_rewrite(module->entries.items[k], linear_node, NULL);
  }
}
