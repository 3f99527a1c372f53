/* In which order the axes of values lie in memory.
 *
 * A layout is nothing but an order of axes, so it needs no notion of its own: the pass gives values other types, with their
 * axes in another order, and renames the axes in every index map that touches them. All that follows sees an ordinary
 * graph. What comes from outside (arguments, results) and what ops with fixed axes need (reshape, gather, sort, scan ...)
 * stays canonical: views stand between.
 *
 * Pictures, [N, C, H, W] and the like, are those values that a windowed contraction or fold reads or makes. Lanes run
 * along their last axis. Where the channels fill the 16 lanes better than the width does, channels come last. The choice
 * follows from the sizes alone, so all elementwise neighbours of a picture, which have its sizes, agree without being
 * asked. Kernels of such contractions, [O, C, taps...], are stored as [taps..., C, O] in the state block: then lanes run
 * along O, and rows of C lie side by side. What has a kernel's name as the beginning of its own and its sizes (momentum)
 * is stored like it. */
#include "passes/passes.h"

#include <string.h>

enum { LANES = 16 };

typedef struct Layouts {
  Module *module;
  Vec(Type) pictures; /* sizes of values that channels may be last in */
  Graph *to;
  const Graph *from;
  Id *renamed;          /* by from's Id */
  const int8_t **order; /* by from's Id: the new value's axis k is the old one's order[k]; NULL: canonical */
} Layouts;

/* ---- which ---- */

static bool is_windowed(const Space *space, int operand) {
  for (int a = 0; a < space->map[operand].naxes; a++) {
    const Axis *axis = &space->map[operand].axis[a];
    if (axis->nterms == 2 || axis->divisor != 1) return true;
  }
  return false;
}

/* What part of 16 lanes an extent fills. */
static double filled(const Dim *extent) {
  int64_t size = extent->high;
  return (double)size / (double)((size + LANES - 1) / LANES * LANES);
}

static void add_picture(Layouts *layouts, const Type *type) {
  if (type->rank < 3 || type->dtype == NONE) return;
  const Dim *channels = type->size[1], *width = type->size[type->rank - 1];
  double better = filled(channels) - filled(width);
  if (dim_is(channels, 1) || better < 0 || (type->rank == 3 && better == 0)) return;
  for (int k = 0; k < layouts->pictures.count; k++) {
    if (type_same_sizes(&layouts->pictures.items[k], type)) return;
  }
  PUSH(layouts->module->arena, &layouts->pictures, *type);
}

static void reorder_kernel(Module *module, int symbol) {
  Symbol *kernel = &module->symbols.items[symbol];
  int rank = kernel->type.rank;
  if (kernel->reordered || rank < 3 || kernel->type.dtype != F32) return;
  kernel->reordered = true;
  for (int k = 0; k < rank - 2; k++) kernel->order[k] = (int8_t)(k + 2);
  kernel->order[rank - 2] = 1;
  kernel->order[rank - 1] = 0;
}

static void find_in(Layouts *layouts, const Graph *graph) {
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    bool fold = (op_info[node->op].flags & FOLD) != 0;
    for (int k = 0; fold && k < node->space->nmaps; k++) {
      if (!is_windowed(node->space, k)) continue;
      add_picture(layouts, graph_type(graph, node->operands[k]));
      add_picture(layouts, &node->type);
      if (node->op != OP_contract) continue;
      const Node *other = graph_node(graph, node->operands[1 - k]);
      if (other->op == OP_state) reorder_kernel(layouts->module, other->index);
    }
  }
}

/* Momentum and the like lie as their param does. */
static void follow_kernels(Module *module) {
  for (int k = 0; k < module->symbols.count; k++) {
    const Symbol *kernel = &module->symbols.items[k];
    size_t length = strlen(kernel->name);
    for (int j = 0; kernel->reordered && kernel->trainable && j < module->symbols.count; j++) {
      const Symbol *other = &module->symbols.items[j];
      bool belongs = strncmp(other->name, kernel->name, length) == 0 && other->name[length] == '.';
      if (belongs && type_same_sizes(&other->type, &kernel->type)) reorder_kernel(module, j);
    }
  }
}

/* The order for a value of this type, NULL for the canonical one. */
static const int8_t *wanted_order(const Layouts *layouts, const Type *type) {
  /* a kernel's gradient, and all that its update computes, lies as the kernel does */
  for (int k = 0; k < layouts->module->symbols.count; k++) {
    const Symbol *symbol = &layouts->module->symbols.items[k];
    if (symbol->reordered && type_same_sizes(&symbol->type, type)) return symbol->order;
  }
  for (int k = 0; k < layouts->pictures.count; k++) {
    if (!type_same_sizes(&layouts->pictures.items[k], type)) continue;
    int8_t *order = arena_alloc(layouts->module->arena, MAX_RANK);
    for (int axis = 1; axis < type->rank - 1; axis++) order[axis] = (int8_t)(axis + 1);
    order[type->rank - 1] = 1;
    return order;
  }
  return NULL;
}

/* ---- values in an order ---- */

static bool same_order(const int8_t *a, const int8_t *b, int rank) {
  for (int k = 0; k < rank; k++) {
    if ((a ? a[k] : k) != (b ? b[k] : k)) return false;
  }
  return true;
}

static Type ordered_type(const Type *type, const int8_t *order) {
  Type ordered = *type;
  for (int k = 0; order && k < type->rank; k++) ordered.size[k] = type->size[order[k]];
  return ordered;
}

/* The new value of an old one, with its axes in the wanted order. */
static Id in_order(Layouts *layouts, Id id, const int8_t *order) {
  const int8_t *own = layouts->order[id];
  int rank = graph_type(layouts->from, id)->rank, axes[MAX_RANK];
  if (same_order(own, order, rank)) return layouts->renamed[id];
  for (int k = 0; k < rank; k++) {
    int axis = order ? order[k] : k; /* the old axis that comes to k; find where it lies now */
    for (int j = 0; j < rank; j++) {
      if ((own ? own[j] : j) == axis) axes[k] = j;
    }
  }
  return graph_transpose(layouts->to, layouts->renamed[id], axes);
}

/* ---- nodes ---- */

static bool is_elementwise(const Node *node) {
  static const Op none[] = {OP_constant, OP_arg,    OP_state,   OP_dim,     OP_iota,   OP_random, OP_pick, OP_reshape,
                            OP_concat,   OP_gather, OP_scatter, OP_argsort, OP_cumsum, OP_scan,   OP_grad};
  for (int k = 0; k < COUNT_OF(none); k++) {
    if (node->op == none[k]) return false;
  }
  return !node->space;
}

/* A space whose result axes come in another order, and whose operand k lies in the order of[k]. */
static Space *reordered_space(Layouts *layouts, const Space *space, const int8_t *order, const int8_t *const *of) {
  Space *new = arena_copy(layouts->module->arena, space, sizeof *space);
  int place[MAX_LOOPS]; /* by old dim: its new number */
  for (int d = 0; d < space->ndims; d++) place[d] = d;
  for (int k = 0; order && k < space->nresult; k++) {
    place[order[k]] = k;
    new->extent[k] = space->extent[order[k]];
  }
  for (int m = 0; m < space->nmaps; m++) {
    for (int a = 0; a < space->map[m].naxes; a++) {
      Axis axis = space->map[m].axis[of[m] ? of[m][a] : a];
      for (int t = 0; t < axis.nterms; t++) axis.dim[t] = place[axis.dim[t]];
      new->map[m].axis[a] = axis;
    }
  }
  return new;
}

static Id layout_space(Layouts *layouts, Id id, const int8_t *order) {
  Node node = *graph_node(layouts->from, id);
  const int8_t *of[2] = {NULL, NULL};
  Id operands[2];
  for (int k = 0; k < node.noperands; k++) {
    operands[k] = layouts->renamed[node.operands[k]];
    of[k] = layouts->order[node.operands[k]];
  }
  node.space = reordered_space(layouts, node.space, order, of);
  node.type = ordered_type(&node.type, order);
  node.operands = operands;
  return graph_add(layouts->to, &node);
}

static Id layout_elementwise(Layouts *layouts, Id id, const int8_t *order) {
  Node node = *graph_node(layouts->from, id);
  Id operands[3];
  for (int k = 0; k < node.noperands; k++) operands[k] = in_order(layouts, node.operands[k], order);
  node.type = ordered_type(&node.type, order);
  node.operands = operands;
  return graph_add(layouts->to, &node);
}

/* As it is, of canonical operands. */
static Id layout_canonical(Layouts *layouts, Id id) {
  const Node *node = graph_node(layouts->from, id);
  Id *renamed = NEW_ARRAY(layouts->module->arena, Id, layouts->from->nodes.count);
  for (int k = 0; k < node->noperands; k++) renamed[node->operands[k]] = in_order(layouts, node->operands[k], NULL);
  return graph_copy_node(layouts->to, layouts->from, id, renamed);
}

static void layout_node(Layouts *layouts, Id id) {
  const Node *node = graph_node(layouts->from, id);
  const int8_t *order = wanted_order(layouts, &node->type);
  layouts->to->here = node->place;
  if (node->op == OP_state) {
    const Symbol *symbol = &layouts->module->symbols.items[node->index];
    layouts->renamed[id] = graph_state(layouts->to, node->index);
    layouts->order[id] = symbol->reordered ? symbol->order : NULL;
    return;
  }
  bool filled_constant = node->op == OP_constant && !node->array;
  if (node->space) {
    layouts->renamed[id] = layout_space(layouts, id, order);
  } else if (is_elementwise(node) || filled_constant) {
    layouts->renamed[id] = layout_elementwise(layouts, id, order);
  } else {
    layouts->renamed[id] = layout_canonical(layouts, id);
    order = NULL;
  }
  layouts->order[id] = order;
}

static Graph *layout_graph(Layouts *layouts, const Graph *graph) {
  Arena *arena = layouts->module->arena;
  Graph *to = graph_new(layouts->module, graph->name, graph->kind);
  layouts->to = to;
  layouts->from = graph;
  layouts->renamed = NEW_ARRAY(arena, Id, graph->nodes.count);
  layouts->order = (const int8_t **)NEW_ARRAY(arena, int8_t *, graph->nodes.count);
  to->place = graph->place;
  to->draws = graph->draws;
  to->checks.items = graph->checks.items;
  to->checks.count = to->checks.capacity = graph->checks.count;
  to->parameters.items = graph->parameters.items;
  to->parameters.count = to->parameters.capacity = graph->parameters.count;
  for (Id id = 1; id < graph->nodes.count; id++) layout_node(layouts, id);
  for (int k = 0; k < graph->results.count; k++) {
    Result result = graph->results.items[k];
    result.value = in_order(layouts, result.value, NULL);
    PUSH(arena, &to->results, result);
  }
  for (int k = 0; k < graph->finals.count; k++) {
    Final final = graph->finals.items[k];
    const Symbol *symbol = &layouts->module->symbols.items[final.symbol];
    final.value = in_order(layouts, final.value, symbol->reordered ? symbol->order : NULL);
    PUSH(arena, &to->finals, final);
  }
  return to;
}

void pass_layout(Module *module) {
  Layouts layouts = {.module = module};
  for (int k = 0; k < module->symbols.count; k++) {
    if (module->symbols.items[k].reordered) return; /* a dump from after this pass, read back */
  }
  for (int k = 0; k < module->entries.count; k++) find_in(&layouts, module->entries.items[k]);
  follow_kernels(module);
  for (int k = 0; k < module->entries.count; k++) {
    module->entries.items[k] = layout_graph(&layouts, module->entries.items[k]);
  }
}
