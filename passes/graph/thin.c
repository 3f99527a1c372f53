/* Contractions over less than they say.
 *
 * A dim of the result that neither operand varies along repeats what is computed without it. A folded dim that only one
 * operand varies along is summed over in that operand first. Both come from values that were spread out: behind a mean over
 * tokens all of them have the same gradient, so the products with it, by which the last layer learns, are as many times
 * smaller as there are tokens. Part of pass linear, which knows what the contraction will read in place of views. */
#include "passes/graph/rewrite.h"

/* The operand in place of views of it, as lowering will read it. */
static void see_through(Graph *to, Id *operand, Space *space, int k) {
  for (;;) {
    const Node *node = graph_node(to, *operand);
    Space composed;
    if (node->op != OP_view || node->materialise) return;
    if (!map_always_inside(to->module, node->space, 0, graph_type(to, node->operands[0]))) return;
    if (!space_compose(to->module, space, k, &node->type, node->space, &composed)) return;
    *space = composed;
    *operand = node->operands[0];
  }
}

static int axes_with(const Map *map, int d, int *last) {
  int count = 0;
  for (int a = 0; a < map->naxes; a++) {
    for (int t = 0; t < map->axis[a].nterms; t++) {
      if (map->axis[a].dim[t] != d) continue;
      *last = a;
      count++;
    }
  }
  return count;
}

/* The axis of operand k that folded dim d runs along, whole and alone, where the other operand lacks it; else -1. */
static int axis_of_one(const Graph *to, const Space *space, const Id *operands, int d, int k) {
  int axis = -1, other;
  if (axes_with(&space->map[1 - k], d, &other) > 0 || axes_with(&space->map[k], d, &axis) != 1) return -1;
  bool whole = axis_is_bare(&space->map[k].axis[axis], d) && space->extent[d] == graph_type(to, operands[k])->size[axis];
  return whole ? axis : -1;
}

static void drop_axes(Map *map, const bool *dropped) {
  int count = 0;
  for (int a = 0; a < map->naxes; a++) {
    if (!dropped[a]) map->axis[count++] = map->axis[a];
  }
  map->naxes = count;
}

/* The space without these dims, and how its result is spread over those that were in the old one. */
static void drop_dims(Module *module, Space *space, const bool *dropped, Space *spread) {
  const Space old = *space;
  int place[MAX_LOOPS];
  space->ndims = space->nresult = 0;
  *spread = (Space){.ndims = old.nresult, .nresult = old.nresult, .nmaps = 1};
  for (int d = 0; d < old.ndims; d++) {
    if (d < old.nresult) spread->extent[d] = old.extent[d];
    if (dropped[d]) continue;
    place[d] = space->ndims;
    space->extent[space->ndims++] = old.extent[d];
    if (d >= old.nresult) continue;
    spread->map[0].axis[space->nresult++] = axis_of(module, d);
  }
  spread->map[0].naxes = space->nresult;
  for (int k = 0; k < space->nmaps; k++) {
    for (int a = 0; a < space->map[k].naxes; a++) {
      Axis *axis = &space->map[k].axis[a];
      for (int t = 0; t < axis->nterms; t++) axis->dim[t] = (int8_t)place[axis->dim[t]];
    }
  }
}

bool thin_contract(Graph *to, Id *operands, Space *space, Space *spread) {
  Space seen = *space;
  Id below[2] = {operands[0], operands[1]};
  bool dropped[MAX_LOOPS] = {false}, summed[2][MAX_RANK] = {{false}}, any = false, sums[2] = {false, false};
  int left = seen.ndims - seen.nresult, ignored;
  for (int k = 0; k < 2; k++) see_through(to, &below[k], &seen, k);
  for (int d = 0; d < seen.ndims; d++) {
    if (dim_is(seen.extent[d], 1)) continue;
    if (d < seen.nresult) {
      dropped[d] = axes_with(&seen.map[0], d, &ignored) + axes_with(&seen.map[1], d, &ignored) == 0;
      any = any || dropped[d];
      continue;
    }
    for (int k = 0; k < 2 && left > 1 && !dropped[d]; k++) {
      int axis = axis_of_one(to, &seen, below, d, k);
      if (axis < 0) continue;
      dropped[d] = summed[k][axis] = sums[k] = any = true;
      left--;
    }
  }
  if (!any) return false;
  for (int k = 0; k < 2; k++) {
    operands[k] = sums[k] ? graph_fold_axes(to, OP_fold_sum, below[k], summed[k], false) : below[k];
    drop_axes(&seen.map[k], summed[k]);
  }
  drop_dims(to->module, &seen, dropped, spread);
  *space = seen;
  return true;
}
