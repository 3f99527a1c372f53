/* Modules, graphs, and the functions that build them.
 *
 * Every builder makes one node, lets the op's shape rule (type.c) say its type, and appends it; a node that does not fit is
 * a bug of the caller. Broadcasting, slicing, padding and transposing are views, so that no later part of the compiler has
 * a rule for them. A slice keeps its axis and a new axis comes by reshape: then every axis of a map is led by a dim, but
 * for broadcast axes of size 1, and the transposition of maps (transpose.c) stays closed. */
#include "ir/ir.h"

#include <string.h>

/* ---- modules ---- */

Module *module_new(Arena *arena, Diagnostics *diagnostics, const char *name) {
  Module *module = NEW(arena, Module);
  module->arena = arena;
  module->diagnostics = diagnostics;
  module->name = intern(name);
  return module;
}

int module_add_dim(Module *module, const char *name, int64_t low, int64_t high, int64_t step, const Place *place) {
  DimSymbol symbol = {.name = intern(name), .low = low, .high = high, .step = step, .place = place};
  bool first = module->dims.count == 0 && place && place->source && place->source->first_dim > 0;
  if (first) symbol.high = place->source->first_dim;
  PUSH(module->arena, &module->dims, symbol);
  return module->dims.count - 1;
}

int module_add_symbol(Module *module, const char *name, Type type, bool trainable, Initialiser init, const Place *place) {
  Symbol symbol = {.name = intern(name), .type = type, .trainable = trainable, .init = init, .place = place};
  PUSH(module->arena, &module->symbols, symbol);
  return module->symbols.count - 1;
}

void module_canonical(Module *module) {
  for (int k = 0; k < module->symbols.count; k++) {
    module->symbols.items[k].reordered = false;
    module->symbols.items[k].panel = 0;
  }
}

Type type_in_panels(Module *module, const Type *type, int panel) {
  Type cut = *type;
  int last = type->rank - 1;
  if (type->rank == 0 || type->rank == MAX_RANK || type->size[last]->value % panel != 0)
    bug("panels of %d don't fit", panel);
  for (int k = 0; k < last; k++) cut.size[k + 1] = type->size[k];
  cut.size[0] = dim_constant(module, type->size[last]->value / panel);
  cut.size[last + 1] = dim_constant(module, panel);
  cut.rank = (uint8_t)(type->rank + 1);
  return cut;
}

Type symbol_stored(Module *module, const Symbol *symbol) {
  Type stored = symbol->type;
  for (int k = 0; symbol->reordered && k < stored.rank; k++) stored.size[k] = symbol->type.size[symbol->order[k]];
  return symbol->panel ? type_in_panels(module, &stored, symbol->panel) : stored;
}

/* Elements that lie apart by one stride although their axes differ, as those of a kernel's rows and columns, need one
 * factor; an axis of size 1 needs none. Factors are added from the innermost axis of the canonical order on. */
static int add_factor(StoredFactor *factors, int count, StoredFactor next) {
  if (next.modulus == next.divisor) return count;
  StoredFactor *last = count > 0 ? &factors[count - 1] : NULL;
  if (last && last->stride * (last->modulus / last->divisor) == next.stride) {
    last->modulus = next.modulus;
    return count;
  }
  factors[count] = next;
  return count + 1;
}

int symbol_factors(const Symbol *symbol, StoredFactor *factors) {
  int rank = symbol->type.rank, count = 0, cut = -1;
  int64_t strides[MAX_RANK], stride = 1, divisor = 1;
  for (int k = rank - 1; k >= 0; k--) {
    int axis = symbol->reordered ? symbol->order[k] : k;
    strides[axis] = stride;
    if (symbol->panel && k == rank - 1) cut = axis;
    stride *= axis == cut ? symbol->panel : symbol->type.size[axis]->value;
  }
  for (int axis = rank - 1; axis >= 0; axis--) {
    int64_t size = symbol->type.size[axis]->value, whole = divisor * size;
    if (axis == cut) { /* the place within a panel, and the panel's number */
      int64_t within = divisor * symbol->panel;
      count = add_factor(factors, count, (StoredFactor){within, divisor, strides[axis]});
      count = add_factor(factors, count, (StoredFactor){whole, within, stride});
    } else {
      count = add_factor(factors, count, (StoredFactor){whole, divisor, strides[axis]});
    }
    divisor = whole;
  }
  return count;
}

int64_t stored_place(const StoredFactor *factors, int count, int64_t index) {
  int64_t place = 0;
  for (int k = 0; k < count; k++) place += index % factors[k].modulus / factors[k].divisor * factors[k].stride;
  return place;
}

/* Moves all elements between the canonical order and that of the state block, each `bytes` wide. */
static void move_elements(const Symbol *symbol, size_t bytes, char *canonical, char *stored, bool to_stored) {
  StoredFactor factors[MAX_FACTORS];
  int nfactors = symbol_factors(symbol, factors);
  int64_t count = 1;
  for (int k = 0; k < symbol->type.rank; k++) count *= symbol->type.size[k]->value;
  bool apart = symbol->reordered || symbol->panel;
  if (!apart) memcpy(to_stored ? stored : canonical, to_stored ? canonical : stored, (size_t)count * bytes);
  for (int64_t k = 0; apart && k < count; k++) {
    char *here = canonical + (size_t)k * bytes, *there = stored + (size_t)stored_place(factors, nfactors, k) * bytes;
    memcpy(to_stored ? there : here, to_stored ? here : there, bytes);
  }
}

void symbol_store(const Symbol *symbol, size_t bytes, const void *canonical, void *stored) {
  move_elements(symbol, bytes, (char *)canonical, stored, true);
}

void symbol_load(const Symbol *symbol, size_t bytes, const void *stored, void *canonical) {
  move_elements(symbol, bytes, canonical, (char *)stored, false);
}

int module_find_symbol(const Module *module, const char *name) {
  for (int k = 0; k < module->symbols.count; k++) {
    if (strcmp(module->symbols.items[k].name, name) == 0) return k;
  }
  return -1;
}

bool is_models_own(const char *name) {
  static const char *const own[] = {"init", "get", "set", "error", "model"};
  for (int k = 0; k < COUNT_OF(own); k++)
    if (strcmp(name, own[k]) == 0) return true;
  return false;
}

Graph *module_find_entry(const Module *module, const char *name) {
  for (int k = 0; k < module->entries.count; k++) {
    if (strcmp(module->entries.items[k]->name, name) == 0) return module->entries.items[k];
  }
  return NULL;
}

Graph *graph_new(Module *module, const char *name, GraphKind kind) {
  Graph *graph = NEW(module->arena, Graph);
  Node none = {.op = OP_NONE};
  graph->module = module;
  graph->name = intern(name);
  graph->kind = kind;
  PUSH(module->arena, &graph->nodes, none);
  return graph;
}

/* ---- adding nodes ---- */

Id graph_add(Graph *graph, const Node *node) {
  Node copy = *node;
  copy.operands = NULL;
  if (node->noperands > 0) {
    copy.operands = arena_copy(graph->module->arena, node->operands, (size_t)node->noperands * sizeof(Id));
  }
  if (!copy.place) copy.place = graph->here;
  PUSH(graph->module->arena, &graph->nodes, copy);
  return graph->nodes.count - 1;
}

/* Infers the type (or checks the given one) and adds the node. */
static Id build(Graph *graph, Node node) {
  Text why = {0};
  Type type;
  if (!op_type(graph, &node, &type, &why)) bug("in %s, %s", graph->name, why.bytes);
  node.type = type;
  return graph_add(graph, &node);
}

static Id build_on(Graph *graph, Op op, Id a) { return build(graph, (Node){.op = op, .noperands = 1, .operands = &a}); }

Id graph_parameter(Graph *graph, const char *name, Type type, const Place *place) {
  Parameter parameter = {.name = name ? intern(name) : NULL, .type = type, .place = place};
  PUSH(graph->module->arena, &graph->parameters, parameter);
  return build(graph, (Node){.op = OP_arg, .type = type, .index = graph->parameters.count - 1, .name = parameter.name});
}

Id graph_constant(Graph *graph, Type type, double number) {
  return build(graph, (Node){.op = OP_constant, .type = type, .number = number});
}

Id graph_number(Graph *graph, Dtype dtype, double number) { return graph_constant(graph, type_scalar(dtype), number); }

Id graph_array(Graph *graph, Type type, const double *values) {
  int64_t count;
  if (!dim_is_constant(type_count(graph->module, &type), &count)) bug("an array of sizes that are not constant");
  const double *copy = arena_copy(graph->module->arena, values, (size_t)count * sizeof *values);
  return build(graph, (Node){.op = OP_constant, .type = type, .array = copy});
}

Id graph_state(Graph *graph, int symbol) {
  if (symbol < 0 || symbol >= graph->module->symbols.count) bug("no symbol %d", symbol);
  const Symbol *what = &graph->module->symbols.items[symbol];
  return build(graph,
               (Node){.op = OP_state, .type = symbol_stored(graph->module, what), .index = symbol, .name = what->name});
}

Id graph_dim(Graph *graph, const Dim *dim) {
  return build(graph, (Node){.op = OP_dim, .type = type_scalar(I32), .dim = dim});
}

Id graph_iota(Graph *graph, Type type, int axis) {
  type.dtype = I32;
  return build(graph, (Node){.op = OP_iota, .type = type, .index = axis});
}

Id graph_random(Graph *graph, Type type, const Id *keys, int nkeys, uint32_t stream) {
  Id *operands = arena_copy(graph->module->arena, keys, (size_t)nkeys * sizeof *keys);
  return build(graph, (Node){.op = OP_random, .type = type, .noperands = nkeys, .operands = operands, .stream = stream});
}

Id graph_unary(Graph *graph, Op op, Id a) { return build_on(graph, op, a); }

Id graph_stop(Graph *graph, Id a) { return build_on(graph, OP_stop, a); }

Id graph_cast(Graph *graph, Dtype dtype, Id a) {
  Type type = *graph_type(graph, a);
  if (type.dtype == dtype) return a;
  type.dtype = dtype;
  return build(graph, (Node){.op = OP_cast, .type = type, .noperands = 1, .operands = &a});
}

/* ---- broadcasting ---- */

bool shapes_broadcast(Module *module, const Type *a, const Type *b, Type *result) {
  (void)module;
  int rank = MAX(a->rank, b->rank);
  *result = (Type){.dtype = a->dtype, .rank = rank};
  for (int k = 1; k <= rank; k++) { /* from the last axis */
    const Dim *left = k <= a->rank ? a->size[a->rank - k] : NULL;
    const Dim *right = k <= b->rank ? b->size[b->rank - k] : NULL;
    const Dim *size = !left || (right && dim_is(left, 1)) ? right : left;
    if (left && right && left != right && !dim_is(left, 1) && !dim_is(right, 1)) return false;
    result->size[rank - k] = size;
  }
  return true;
}

Id graph_broadcast(Graph *graph, Id a, int rank, const Dim *const *size) {
  Type from = *graph_type(graph, a);
  Type to = type_of(from.dtype, rank, size);
  if (type_equal(&from, &to)) return a;
  if (from.rank > rank) bug("a broadcast to fewer axes");
  Space space = {.ndims = rank, .nresult = rank, .nmaps = 1};
  space.map[0].naxes = from.rank;
  for (int k = 0; k < rank; k++) space.extent[k] = size[k];
  for (int k = 0; k < from.rank; k++) {
    int dim = rank - from.rank + k;
    if (from.size[k] == size[dim]) {
      space.map[0].axis[k] = axis_of(graph->module, dim);
    } else if (dim_is(from.size[k], 1)) {
      space.map[0].axis[k] = axis_at(dim_constant(graph->module, 0));
    } else {
      bug("%s does not broadcast to %s", type_text(graph->module, &from), type_text(graph->module, &to));
    }
  }
  return graph_view(graph, a, &space, 0);
}

Id graph_binary(Graph *graph, Op op, Id a, Id b) {
  Type both;
  if (!shapes_broadcast(graph->module, graph_type(graph, a), graph_type(graph, b), &both)) {
    bug("%s of %s and %s", op_info[op].name, type_text(graph->module, graph_type(graph, a)),
        type_text(graph->module, graph_type(graph, b)));
  }
  Id operands[2] = {graph_broadcast(graph, a, both.rank, both.size), graph_broadcast(graph, b, both.rank, both.size)};
  return build(graph, (Node){.op = op, .noperands = 2, .operands = operands});
}

Id graph_where(Graph *graph, Id condition, Id yes, Id no) {
  Type two, all;
  if (!shapes_broadcast(graph->module, graph_type(graph, yes), graph_type(graph, no), &two) ||
      !shapes_broadcast(graph->module, &two, graph_type(graph, condition), &all)) {
    bug("where of sizes that do not broadcast");
  }
  Id operands[3] = {graph_broadcast(graph, condition, all.rank, all.size), graph_broadcast(graph, yes, all.rank, all.size),
                    graph_broadcast(graph, no, all.rank, all.size)};
  return build(graph, (Node){.op = OP_where, .noperands = 3, .operands = operands});
}

/* ---- movement ---- */

static const Space *own_space(Graph *graph, const Space *space) {
  return arena_copy(graph->module->arena, space, sizeof *space);
}

Id graph_view(Graph *graph, Id a, const Space *space, double fill) {
  const Space *own = own_space(graph, space);
  return build(graph, (Node){.op = OP_view, .noperands = 1, .operands = &a, .number = fill, .space = own});
}

/* The space whose result and only operand are alike; where most views start. */
static Space plain_space(Module *module, const Type *type) {
  Space space = {.ndims = type->rank, .nresult = type->rank, .nmaps = 1};
  space.map[0].naxes = type->rank;
  for (int k = 0; k < type->rank; k++) {
    space.extent[k] = type->size[k];
    space.map[0].axis[k] = axis_of(module, k);
  }
  return space;
}

Id graph_transpose(Graph *graph, Id a, const int *axes) {
  const Type *type = graph_type(graph, a);
  Space space = plain_space(graph->module, type);
  bool moved = false;
  unsigned seen = 0;
  for (int k = 0; k < type->rank; k++) {
    if (axes[k] < 0 || axes[k] >= type->rank || (seen & 1u << axes[k])) bug("a transposition that is no permutation");
    seen |= 1u << axes[k];
    space.extent[k] = type->size[axes[k]];
    space.map[0].axis[axes[k]] = axis_of(graph->module, k);
    moved |= axes[k] != k;
  }
  return moved ? graph_view(graph, a, &space, 0) : a;
}

static void check_axis(const Graph *graph, Id a, int axis) {
  if (axis < 0 || axis >= graph_type(graph, a)->rank)
    bug("axis %d of %s", axis, type_text(graph->module, graph_type(graph, a)));
}

Id graph_slice(Graph *graph, Id a, int axis, const Dim *start, const Dim *count, int64_t step) {
  check_axis(graph, a, axis);
  if (step == 1 && dim_is(start, 0) && count == graph_type(graph, a)->size[axis]) return a;
  Space space = plain_space(graph->module, graph_type(graph, a));
  space.extent[axis] = count;
  space.map[0].axis[axis] = axis_affine(axis, step, start);
  return graph_view(graph, a, &space, 0);
}

Id graph_pad(Graph *graph, Id a, int axis, const Dim *before, const Dim *after, double fill) {
  Module *module = graph->module;
  check_axis(graph, a, axis);
  if (dim_is(before, 0) && dim_is(after, 0)) return a;
  Space space = plain_space(module, graph_type(graph, a));
  const Dim *size = dim_add(module, dim_add(module, space.extent[axis], before), after);
  const Dim *offset = dim_subtract(module, dim_constant(module, 0), before);
  if (!size || !offset) bug("a padded size leaves 64 bits");
  space.extent[axis] = size;
  space.map[0].axis[axis] = axis_affine(axis, 1, offset);
  return graph_view(graph, a, &space, fill);
}

Id graph_reshape(Graph *graph, Id a, int rank, const Dim *const *size) {
  Type type = type_of(graph_type(graph, a)->dtype, rank, size);
  if (type_equal(&type, graph_type(graph, a))) return a;
  return build(graph, (Node){.op = OP_reshape, .type = type, .noperands = 1, .operands = &a});
}

Id graph_insert_axis(Graph *graph, Id a, int axis) {
  const Type *type = graph_type(graph, a);
  const Dim *size[MAX_RANK];
  if (axis < 0 || axis > type->rank || type->rank == MAX_RANK) bug("no room for an axis at %d", axis);
  for (int k = 0; k <= type->rank; k++) {
    size[k] = k == axis ? dim_constant(graph->module, 1) : type->size[k < axis ? k : k - 1];
  }
  return graph_reshape(graph, a, type->rank + 1, size);
}

Id graph_concat(Graph *graph, const Id *parts, int nparts, int axis) {
  if (nparts == 1) return parts[0];
  Id *operands = arena_copy(graph->module->arena, parts, (size_t)nparts * sizeof *parts);
  return build(graph, (Node){.op = OP_concat, .noperands = nparts, .operands = operands, .index = axis});
}

Id graph_gather(Graph *graph, Id a, Id index, int axis, int batch) {
  Id operands[2] = {a, index};
  return build(graph, (Node){.op = OP_gather, .noperands = 2, .operands = operands, .index = axis, .batch = batch});
}

Id graph_scatter(Graph *graph, Id base, Id index, Id values, int axis, int batch) {
  Id operands[3] = {base, index, values};
  return build(graph, (Node){.op = OP_scatter, .noperands = 3, .operands = operands, .index = axis, .batch = batch});
}

/* ---- folds ---- */

Id graph_fold(Graph *graph, Op op, Id a, const Space *space) {
  if (!(op_info[op].flags & FOLD)) bug("%s is no fold", op_info[op].name);
  return build(graph, (Node){.op = op, .noperands = 1, .operands = &a, .space = own_space(graph, space)});
}

Id graph_fold_axes(Graph *graph, Op op, Id a, const bool *folded, bool keep) {
  Type type = *graph_type(graph, a);
  Space space = {.nmaps = 1};
  const Dim *kept[MAX_RANK];
  space.map[0].naxes = type.rank;
  for (int round = 0; round < 2; round++) { /* the result's dims, then the folded ones */
    for (int k = 0; k < type.rank; k++) {
      if (folded[k] != (round == 1)) continue;
      space.map[0].axis[k] = axis_of(graph->module, space.ndims);
      space.extent[space.ndims++] = type.size[k];
    }
    if (round == 0) space.nresult = space.ndims;
  }
  Id fold = graph_fold(graph, op, a, &space);
  if (!keep) return fold;
  for (int k = 0; k < type.rank; k++) kept[k] = folded[k] ? dim_constant(graph->module, 1) : type.size[k];
  return graph_reshape(graph, fold, type.rank, kept);
}

Id graph_contract(Graph *graph, Id a, Id b, const Space *space) {
  Id operands[2] = {a, b};
  return build(graph, (Node){.op = OP_contract, .noperands = 2, .operands = operands, .space = own_space(graph, space)});
}

Id graph_argsort(Graph *graph, Id a) { return build_on(graph, OP_argsort, a); }

Id graph_cumsum(Graph *graph, Id a, int axis) {
  return build(graph, (Node){.op = OP_cumsum, .noperands = 1, .operands = &a, .index = axis});
}

/* ---- ops with several results ---- */

Id graph_scan(Graph *graph, const Scan *scan, const Id *operands) {
  int count = scan->ncarry + scan->nslice + scan->ncapture;
  Arena *arena = graph->module->arena;
  Id *copy = count > 0 ? arena_copy(arena, operands, (size_t)count * sizeof *operands) : NULL;
  const Scan *own = arena_copy(arena, scan, sizeof *scan);
  return build(graph, (Node){.op = OP_scan, .noperands = count, .operands = copy, .scan = own});
}

Id graph_grad(Graph *graph, Id loss, const Id *by, int count) {
  Id *operands = NEW_ARRAY(graph->module->arena, Id, count + 1);
  operands[0] = loss;
  for (int k = 0; k < count; k++) operands[k + 1] = by[k];
  return build(graph, (Node){.op = OP_grad, .noperands = count + 1, .operands = operands});
}

Id graph_pick(Graph *graph, Id pair, int result) {
  Type type;
  if (!pair_type(graph, graph_node(graph, pair), result, &type)) {
    bug("a pick of result %d of a %s", result, op_info[graph_node(graph, pair)->op].name);
  }
  return build(graph, (Node){.op = OP_pick, .type = type, .noperands = 1, .operands = &pair, .index = result});
}

Id graph_copy_node(Graph *to, const Graph *from, Id id, const Id *renamed) {
  const Node *node = graph_node(from, id);
  Node copy = *node;
  copy.operands = NEW_ARRAY(to->module->arena, Id, MAX(node->noperands, 1));
  for (int k = 0; k < node->noperands; k++) copy.operands[k] = renamed[node->operands[k]];
  return graph_add(to, &copy);
}
