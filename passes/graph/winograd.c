/* Pass winograd: 3 x 3 convolutions by tiles, of fewer multiplications (tiles.c has the formulas).
 *
 * The result is cut into tiles of 2 x 2 or 4 x 4. What a tile reads, 4 x 4 or 6 x 6 elements, is transformed into as many
 * values V[square, tile, channel], the kernel into U[square, channel, out]; their products, one for each square, are one
 * contraction; and each tile's results are sums of its squares. All of it is ordinary ops: views that step from tile to tile
 * (the border and what the last tiles read too much are absent, so 0), additions, one concatenation. What follows sees a
 * graph like any other, so that gradients (this runs behind grad), fusion, memory and GPUs need to know nothing of it.
 *
 * What an elementwise op makes of a convolution that nobody else reads, it makes of each of the tile's results, before they
 * come together: so bias, batchnorm, a residual and relu are done where the sums are, and the picture is written once. */
#include "passes/graph/convs.h"
#include "passes/graph/scans.h"

#include <string.h>

/* A value that is not put together yet: element (row, column) of tile (i, j) is value[row % tile][column % tile]. */
typedef struct Tiled {
  const Transforms *by;
  Conv conv;
  Id value[MOST_TILE * MOST_TILE]; /* sizes: the result's, but for the tiles down and across in place of height and width */
} Tiled;

/* Where the squares' axis stands in V and M: in front of all (0), so that a product has all tiles as its rows; or, where the
 * transformed kernel is small enough for every task to read it whole, behind the rows of tiles: then V and M of such a row
 * stay with the task that makes and reads them (plan/fuse.c). */
static int squares_axis(const Space *space, const Conv *conv, const Transforms *by) {
  enum { KERNEL_BYTES = 640 << 10, ROW_BYTES = 160 << 10, FEW = 7 };
  int64_t channels = space->extent[conv->channel]->high, outs = space->extent[conv->out]->high;
  int64_t squares = (int64_t)by->read * by->read, across = (conv->size[1] + by->tile - 1) / by->tile;
  bool small = squares * channels * outs * 4 <= KERNEL_BYTES && squares * across * MAX(channels, outs) * 4 <= ROW_BYTES;
  return small && across >= FEW ? conv->nbatch + 1 : 0;
}

typedef struct Winograd {
  FastConv fast;
  const Graph *from;
  const int *users;
  Tiled **tiled; /* by Id of `from`; NULL: an ordinary value */
} Winograd;

static const Dim *number(Graph *graph, int64_t value) { return dim_constant(graph->module, value); }

/* ---- the kernel ---- */

/* One tap: [channel, out]. */
static Id one_tap(Graph *to, Id kernel, const Space *space, const Conv *conv, const int *tap) {
  Space view = {.ndims = 2, .nresult = 2, .nmaps = 1, .map[0] = space->map[conv->kernel]};
  view.extent[0] = space->extent[conv->channel];
  view.extent[1] = space->extent[conv->out];
  for (int a = 0; a < view.map[0].naxes; a++) {
    Axis *axis = &view.map[0].axis[a];
    if (axis->nterms == 0) continue;
    if (axis->dim[0] == conv->channel || axis->dim[0] == conv->out) {
      axis->dim[0] = axis->dim[0] == conv->channel ? 0 : 1;
      continue;
    }
    int which = axis->dim[0] == conv->tap[0] ? 0 : 1;
    int64_t at = conv->flipped[which] ? TAPS - 1 - tap[which] : tap[which];
    *axis = axis_at(dim_offset(to->module, axis->offset, axis->coefficient[0] * at));
  }
  return graph_view(to, kernel, &view, 0);
}

/* The kernel with the result's channels last, in memory: lanes run along them. */
static Id turn_kernel(Graph *to, Id kernel, Space *space, const Conv *conv) {
  const Type type = *graph_type(to, kernel);
  Map *map = &space->map[conv->kernel];
  int last = type.rank - 1, place = 0, axes[MAX_RANK] = {0};
  for (int a = 0; a < type.rank; a++) {
    bool out = map->axis[a].nterms == 1 && map->axis[a].dim[0] == conv->out;
    axes[out ? last : place++] = a;
  }
  Id turned = graph_transpose(to, kernel, axes);
  if (turned == kernel) return kernel;
  graph_node(to, turned)->materialise = true;
  const Map old = *map;
  for (int a = 0; a < type.rank; a++) map->axis[a] = old.axis[axes[a]];
  return turned;
}

/* One value for each square, put side by side along a new axis. */
static Id stack(Graph *to, const Id *values, int count, int axis) {
  Id parts[MOST_READ * MOST_READ];
  for (int k = 0; k < count; k++) parts[k] = graph_insert_axis(to, values[k], axis);
  return graph_concat(to, parts, count, axis);
}

/* U[square, channel, out]. */
static Id transformed_kernel(Graph *to, Id kernel, const Space *old, const Conv *conv, const Transforms *by) {
  Id taps[TAPS * TAPS], squares[MOST_READ * MOST_READ];
  Space space = *old;
  kernel = turn_kernel(to, kernel, &space, conv);
  for (int k = 0; k < TAPS * TAPS; k++) taps[k] = one_tap(to, kernel, &space, conv, (int[]){k / TAPS, k % TAPS});
  transform_square(to, by->kernel, TAPS, by->read, taps, squares);
  return stack(to, squares, by->read * by->read, 0);
}

/* ---- pictures ---- */

/* The dims that values by tiles have: batches, tiles down, tiles across, and one more. */
static int tile_sizes(Graph *to, const Space *space, const Conv *conv, int tile, const Dim *last, const Dim **size) {
  int count = 0;
  for (int k = 0; k < conv->nbatch; k++) size[count++] = space->extent[conv->batch[k]];
  for (int k = 0; k < 2; k++) size[count++] = number(to, (conv->size[k] + tile - 1) / tile);
  size[count++] = last;
  return count;
}

/* Element (row, column) of what each tile reads: [batch.., down, across, channel]. */
static Id one_element(Graph *to, Id picture, const Space *space, const Conv *conv, int tile, const int *at) {
  Space view = {.nmaps = 1, .map[0] = space->map[conv->picture]};
  view.ndims = view.nresult = tile_sizes(to, space, conv, tile, space->extent[conv->channel], view.extent);
  for (int a = 0; a < view.map[0].naxes; a++) {
    Axis *axis = &view.map[0].axis[a];
    int which = a == conv->axis[0] ? 0 : a == conv->axis[1] ? 1 : -1;
    if (which >= 0) {
      *axis = axis_affine(conv->nbatch + which, tile, dim_offset(to->module, conv->offset[which], at[which]));
      continue;
    }
    for (int k = 0; k < conv->nbatch && axis->nterms == 1; k++) {
      if (axis->dim[0] != conv->batch[k]) continue;
      axis->dim[0] = k;
      break;
    }
    if (axis->nterms == 1 && space->map[conv->picture].axis[a].dim[0] == conv->channel) axis->dim[0] = view.ndims - 1;
  }
  return graph_view(to, picture, &view, 0);
}

/* V[batch.., down, across, channel], with the squares at this axis. */
static Id transformed_picture(Graph *to, Id picture, const Space *space, const Conv *conv, const Transforms *by, int axis) {
  Id elements[MOST_READ * MOST_READ], squares[MOST_READ * MOST_READ];
  int count = by->read * by->read;
  for (int k = 0; k < count; k++)
    elements[k] = one_element(to, picture, space, conv, by->tile, (int[]){k / by->read, k % by->read});
  transform_square(to, by->picture, by->read, by->read, elements, squares);
  return stack(to, squares, count, axis);
}

/* For each square the product of all tiles with the kernel: M, which is as V is, but for `outs` in place of channels. */
static Id product_by_rows(Graph *to, Id picture, Id kernel, const Dim *outs, int axis) {
  Module *module = to->module;
  const Type type = *graph_type(to, picture);
  int last = type.rank - 1;
  Space space = {.ndims = type.rank + 1, .nresult = type.rank, .nmaps = 2};
  memcpy(space.extent, type.size, sizeof type.size);
  space.extent[last] = outs;
  space.extent[last + 1] = type.size[last];
  space.map[0].naxes = type.rank;
  for (int a = 0; a < type.rank; a++) space.map[0].axis[a] = axis_of(module, a < last ? a : last + 1);
  space.map[1] = (Map){3, {axis_of(module, axis), axis_of(module, last + 1), axis_of(module, last)}};
  return graph_contract(to, picture, kernel, &space);
}

/* The same with the squares in front, where all tiles are one axis. */
static Id product_of_all(Graph *to, Id picture, Id kernel, const Dim *outs) {
  const Type type = *graph_type(to, picture);
  int last = type.rank - 1;
  const Dim *flat[3] = {type.size[0], number(to, 1), type.size[last]}, *whole[MAX_RANK];
  for (int k = 1; k < last && flat[1]; k++) flat[1] = dim_multiply(to->module, flat[1], type.size[k]);
  if (!flat[1]) return product_by_rows(to, picture, kernel, outs, 0);
  Id product = product_by_rows(to, graph_reshape(to, picture, 3, flat), kernel, outs, 0);
  memcpy(whole, type.size, sizeof type.size);
  whole[last] = outs;
  return graph_reshape(to, product, type.rank, whole);
}

/* ---- the result ---- */

/* Of M, one square: its axes as the result's are, the tiles' in place of height and width. */
static Id one_square(Graph *to, Id squares, const Space *space, const Conv *conv, int square, int axis) {
  const Type *type = graph_type(to, squares);
  Space view = {.ndims = space->nresult, .nresult = space->nresult, .nmaps = 1, .map[0].naxes = type->rank};
  for (int a = 0, own = 0; a < type->rank; a++) {
    if (a == axis) {
      view.map[0].axis[a] = axis_at(number(to, square));
      continue;
    }
    int k = own - conv->nbatch, dim = k < 0 ? conv->batch[own] : k < 2 ? conv->at[k] : conv->out;
    view.map[0].axis[a] = axis_of(to->module, dim);
    view.extent[dim] = type->size[a];
    own++;
  }
  return graph_view(to, squares, &view, 0);
}

static Tiled *tiled_result(Graph *to, Id squares, const Space *space, const Conv *conv, const Transforms *by, int axis) {
  Tiled *tiled = NEW(to->module->arena, Tiled);
  Id square[MOST_READ * MOST_READ];
  for (int k = 0; k < by->read * by->read; k++) square[k] = one_square(to, squares, space, conv, k, axis);
  tiled->by = by;
  tiled->conv = *conv;
  transform_square(to, by->result, by->read, by->tile, square, tiled->value);
  return tiled;
}

/* All of a picture: the tiles' results side by side, without what lies beyond its edges. */
static Id put_together(Graph *to, const Tiled *tiled, const Type *type) {
  Module *module = to->module;
  const Conv *conv = &tiled->conv;
  int tile = tiled->by->tile, first = MIN(conv->at[0], conv->at[1]), second = MAX(conv->at[0], conv->at[1]);
  bool turned = conv->at[0] > conv->at[1];
  Id rows[MOST_TILE], parts[MOST_TILE];
  for (int r = 0; r < tile; r++) {
    for (int c = 0; c < tile; c++) {
      Id value = tiled->value[turned ? c * tile + r : r * tile + c];
      parts[c] = graph_insert_axis(to, graph_insert_axis(to, value, second + 1), first + 1);
    }
    rows[r] = graph_concat(to, parts, tile, second + 2);
  }
  Id all = graph_concat(to, rows, tile, first + 1);
  const Dim *whole[MAX_RANK];
  const Type tiles = *graph_type(to, tiled->value[0]);
  for (int a = 0; a < type->rank; a++) {
    bool edge = a == first || a == second;
    whole[a] = edge ? number(to, tile * tiles.size[a]->value) : type->size[a];
  }
  all = graph_reshape(to, all, type->rank, whole);
  for (int k = 0; k < 2; k++) all = graph_slice(to, all, conv->at[k], dim_constant(module, 0), type->size[conv->at[k]], 1);
  return all;
}

/* ---- what follows ---- */

static bool is_elementwise(const Node *node) { return node->op >= OP_neg && node->op <= OP_where && !node->space; }

static bool cut_alike(const Tiled *a, const Tiled *b) {
  return a->by == b->by && a->conv.at[0] == b->conv.at[0] && a->conv.at[1] == b->conv.at[1];
}

/* True if the one reader of this value can take it tile by tile, beside its other operands. */
static bool stays_in_tiles(const Winograd *winograd, Id id, const Tiled *tiled) {
  const Graph *from = winograd->from;
  Id user = only_user(from, id, winograd->users);
  const Node *reader = graph_node(from, user);
  if (!user || !is_elementwise(reader) || !type_same_sizes(&reader->type, graph_type(from, id))) return false;
  for (int k = 0; k < reader->noperands; k++) {
    const Tiled *other = winograd->tiled[reader->operands[k]];
    if (other && !cut_alike(tiled, other)) return false;
  }
  return true;
}

static bool varies_along(const Map *map, int dim) {
  for (int a = 0; a < map->naxes; a++) {
    for (int t = 0; t < map->axis[a].nterms; t++) {
      if (map->axis[a].dim[t] == dim) return true;
    }
  }
  return false;
}

/* Of an ordinary value, what meets tiled->value[k]. */
static Id part_for(Graph *to, Id value, const Tiled *tiled, int k) {
  const Node *node = graph_node(to, value);
  const Conv *conv = &tiled->conv;
  Type type = node->type;
  Space view = {.ndims = type.rank, .nresult = type.rank, .nmaps = 1, .map[0].naxes = type.rank};
  for (int j = 0; j < 2; j++) type.size[conv->at[j]] = graph_type(to, tiled->value[0])->size[conv->at[j]];
  memcpy(view.extent, type.size, sizeof type.size);
  if (node->op == OP_constant && !node->array) return graph_constant(to, type, node->number);
  if (node->op == OP_view && !varies_along(&node->space->map[0], conv->at[0]) &&
      !varies_along(&node->space->map[0], conv->at[1])) {
    view.map[0] = node->space->map[0];
    return graph_view(to, node->operands[0], &view, node->number);
  }
  int tile = tiled->by->tile, at[2] = {k / tile, k % tile};
  for (int a = 0; a < type.rank; a++) view.map[0].axis[a] = axis_of(to->module, a);
  for (int j = 0; j < 2; j++) view.map[0].axis[conv->at[j]] = axis_affine(conv->at[j], tile, number(to, at[j]));
  return graph_view(to, value, &view, 0);
}

static Tiled *elementwise_by_tiles(const Winograd *winograd, Graph *to, Id id, const Id *renamed, const Tiled *first) {
  const Node *node = graph_node(winograd->from, id);
  Tiled *tiled = arena_copy(to->module->arena, first, sizeof *first);
  for (int k = 0; k < first->by->tile * first->by->tile; k++) {
    Node part = *node;
    Id operands[3];
    for (int j = 0; j < node->noperands; j++) {
      const Tiled *own = winograd->tiled[node->operands[j]];
      operands[j] = own ? own->value[k] : part_for(to, renamed[node->operands[j]], first, k);
    }
    part.operands = operands;
    part.type = *graph_type(to, operands[0]);
    part.type.dtype = node->type.dtype;
    tiled->value[k] = graph_add(to, &part);
  }
  return tiled;
}

/* ---- the pass ---- */

static Tiled *convolve(Winograd *winograd, Graph *to, Id id, const Id *renamed) {
  const Node *node = graph_node(winograd->from, id);
  Conv conv;
  if (!conv_of(winograd->from, node, &conv)) return NULL;
  int tile = conv_tile(node, &conv, winograd->fast);
  if (!tile) return NULL;
  const Transforms *by = transforms_of(tile);
  const Space *space = node->space;
  const Dim *outs = space->extent[conv.out];
  int axis = squares_axis(space, &conv, by);
  Id kernel = transformed_kernel(to, renamed[node->operands[conv.kernel]], space, &conv, by);
  Id picture = transformed_picture(to, renamed[node->operands[conv.picture]], space, &conv, by, axis);
  Id squares = axis ? product_by_rows(to, picture, kernel, outs, axis) : product_of_all(to, picture, kernel, outs);
  return tiled_result(to, squares, space, &conv, by, axis);
}

static void keep_notes(Winograd *winograd, const Graph *from) {
  if (winograd->from == from) return;
  winograd->from = from;
  winograd->users = count_users(from);
  winograd->tiled = (Tiled **)NEW_ARRAY(from->module->arena, Tiled *, from->nodes.count);
}

/* The first operand that is by tiles, NULL: none is; those that are, are cut alike. */
static const Tiled *operand_by_tiles(const Winograd *winograd, const Node *node) {
  const Tiled *first = NULL;
  for (int k = 0; k < node->noperands; k++) {
    if (!first) first = winograd->tiled[node->operands[k]];
  }
  return first;
}

static Id winograd_node(Graph *to, const Graph *from, Id id, const Id *renamed, void *user) {
  Winograd *winograd = user;
  const Node *node = graph_node(from, id);
  keep_notes(winograd, from);
  const Tiled *before = operand_by_tiles(winograd, node);
  Tiled *tiled = before ? elementwise_by_tiles(winograd, to, id, renamed, before) : convolve(winograd, to, id, renamed);
  if (!tiled) return 0;
  if (stays_in_tiles(winograd, id, tiled)) {
    winograd->tiled[id] = tiled;
    return tiled->value[0]; /* its one reader takes them all */
  }
  return put_together(to, tiled, &node->type);
}

void pass_winograd(Module *module, FastConv fast) {
  Winograd winograd = {.fast = fast};
  if (fast != FAST_CONV_NONE) rewrite_entries(module, winograd_node, &winograd);
}
