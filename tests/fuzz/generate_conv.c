/* Programs about convolutions of 3 x 3, for --fast-conv: among programs of all kinds there is hardly one.
 *
 * A contraction with axes in any order, any sizes of picture and result, any offset, taps read from either end, with or without
 * a batch; then some elementwise ops that all tiles' results take, other convolutions' results among them; and gradients. */
#include "tests/fuzz/generate.h"

static Id input(Generator *g, Type type) {
  return graph_parameter(g->graph, arena_format(g->arena, "x%d", g->named++), type, NULL);
}

static void shuffle(Generator *g, int *order, int count) {
  for (int k = 0; k < count; k++) order[k] = k;
  for (int k = count - 1; k > 0; k--) {
    int other = below(g, k + 1), swap = order[k];
    order[k] = order[other];
    order[other] = swap;
  }
}

/* An operand with these axes, in any order. */
static Id operand(Generator *g, const Axis *axes, const Dim *const *sizes, int count, Map *map) {
  int order[MAX_RANK];
  Type type = {.dtype = F32, .rank = count};
  shuffle(g, order, count);
  map->naxes = count;
  for (int k = 0; k < count; k++) {
    map->axis[k] = axes[order[k]];
    type.size[k] = sizes[order[k]];
  }
  return input(g, type);
}

/* Result dims: batch (if `batch`), height, width, out in the order that the result has; folded: channel, taps. */
static Id convolution(Generator *g, const Type *result, const int *dims, bool batch, Id *picture, Id *kernel) {
  Module *module = g->module;
  Space space = {.nmaps = 2, .nresult = result->rank, .ndims = result->rank + 3};
  int channel = result->rank, first = result->rank + 1, count = 0;
  for (int k = 0; k < result->rank; k++) space.extent[k] = result->size[k];
  space.extent[channel] = number_dim(g, 1 + below(g, 7));
  space.extent[first] = space.extent[first + 1] = number_dim(g, 3);
  Axis axes[4], taps[4];
  const Dim *sizes[4], *kernel_sizes[4];
  for (int k = 0; k < 2; k++) {
    bool flipped = chance(g, 30);
    int64_t offset = below(g, 5) - 2 + (flipped ? 2 : 0);
    axes[count] = axis_window(dims[k], 1, first + k, flipped ? -1 : 1, number_dim(g, offset), 1);
    sizes[count++] = number_dim(g, 1 + below(g, 11));
    taps[k] = chance(g, 20) ? axis_affine(first + k, -1, number_dim(g, 2)) : axis_of(module, first + k);
    kernel_sizes[k] = number_dim(g, 3);
  }
  axes[count] = axis_of(module, channel);
  sizes[count++] = space.extent[channel];
  if (batch) {
    axes[count] = axis_of(module, dims[3]);
    sizes[count++] = result->size[dims[3]];
  }
  taps[2] = axis_of(module, channel);
  taps[3] = axis_of(module, dims[2]);
  kernel_sizes[2] = space.extent[channel];
  kernel_sizes[3] = result->size[dims[2]];
  int which = below(g, 2);
  Map *maps[2] = {&space.map[which], &space.map[1 - which]};
  *picture = operand(g, axes, sizes, count, maps[0]);
  *kernel = operand(g, taps, kernel_sizes, 4, maps[1]);
  return graph_contract(g->graph, which ? *kernel : *picture, which ? *picture : *kernel, &space);
}

static Id follow(Generator *g, Id value, Id other) {
  const Type *type = graph_type(g->graph, value);
  switch (below(g, 4)) {
  case 0: return graph_binary(g->graph, OP_max, value, graph_constant(g->graph, *type, 0));
  case 1: return graph_binary(g->graph, OP_mul, value, other);
  case 2: return graph_binary(g->graph, OP_add, value, input(g, type_of(F32, 1, &type->size[type->rank - 1])));
  default: return graph_binary(g->graph, OP_sub, other, value);
  }
}

static void give_gradients(Generator *g, Id value, Id picture, Id kernel) {
  bool folded[MAX_RANK] = {true, true, true, true};
  Id by[2] = {picture, kernel}, square = graph_binary(g->graph, OP_mul, value, value);
  Id gradient = graph_grad(g->graph, graph_fold_axes(g->graph, OP_fold_sum, square, folded, false), by, 2);
  for (int k = 0; k < 2; k++)
    PUSH(g->arena, &g->graph->results, ((Result){k ? "dw" : "dx", graph_pick(g->graph, gradient, k)}));
}

Module *generate_conv(Arena *arena, uint64_t seed) {
  Generator g = {.arena = arena, .random = seed * 0x2545F4914F6CDD1Du + 0x7654321};
  g.module = module_new(arena, diagnostics_new(arena), arena_format(arena, "conv%llu", (unsigned long long)seed));
  int symbol = module_add_dim(g.module, "N", 1, 1 + below(&g, 3), 1, NULL);
  g.graph = graph_new(g.module, "f", GRAPH_FN);
  PUSH(arena, &g.module->entries, g.graph);
  bool batch = chance(&g, 80);
  int order[4], rank = batch ? 4 : 3;
  Type type = {.dtype = F32, .rank = rank};
  shuffle(&g, order, rank); /* of height, width, out, batch: its dim */
  for (int k = 0; k < rank; k++)
    type.size[order[k]] = k == 3 ? dim_symbol(g.module, symbol) : number_dim(&g, 1 + below(&g, k < 2 ? 12 : 7));
  Id picture, kernel, value = convolution(&g, &type, order, batch, &picture, &kernel);
  for (int k = below(&g, 4); k > 0; k--) {
    Id unused[2];
    bool another = chance(&g, 25) && g.named < 4;
    Id other = another ? convolution(&g, &type, order, batch, &unused[0], &unused[1]) : input(&g, type);
    value = follow(&g, value, other);
  }
  PUSH(arena, &g.graph->results, ((Result){"y", value}));
  if (chance(&g, 50)) give_gradients(&g, value, picture, kernel);
  return g.module;
}
