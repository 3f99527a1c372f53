/* Which convolutions winograd.c may take, and which are worth it. */
#include "passes/graph/convs.h"

#include <math.h>

/* ---- what is a convolution ---- */

static bool is_dim_of(const Axis *axis, int *dim) {
  *dim = axis->nterms == 1 ? axis->dim[0] : -1;
  return axis->nterms <= 1 && axis->divisor == 1;
}

/* An axis that one tap moves along, next to the result's index. */
static bool match_window(Module *module, const Space *space, const Axis *axis, Conv *conv, int which) {
  int kept = axis->dim[0] < space->nresult ? 0 : 1;
  int row = axis->dim[kept], tap = axis->dim[1 - kept];
  int64_t step = axis->coefficient[1 - kept];
  if (row >= space->nresult || tap < space->nresult || axis->divisor != 1) return false;
  if (axis->coefficient[kept] != 1 || (step != 1 && step != -1)) return false;
  if (!dim_is(space->extent[tap], TAPS) || !dim_is_constant(space->extent[row], &conv->size[which])) return false;
  conv->at[which] = row;
  conv->tap[which] = tap;
  conv->flipped[which] = step < 0;
  conv->offset[which] = step < 0 ? dim_offset(module, axis->offset, 1 - TAPS) : axis->offset;
  return conv->offset[which] && conv->size[which] > 0;
}

/* The picture: two windows; all other axes are the channel's, a batch's, or fixed. */
static bool match_picture(Module *module, const Space *space, const Map *map, Conv *conv, uint32_t *seen) {
  int windows = 0;
  for (int a = 0; a < map->naxes; a++) {
    const Axis *axis = &map->axis[a];
    int dim;
    if (axis->nterms == 2) {
      if (windows == 2 || !match_window(module, space, axis, conv, windows)) return false;
      conv->axis[windows] = a;
      *seen |= 1u << conv->at[windows] | 1u << conv->tap[windows];
      windows++;
      continue;
    }
    if (!is_dim_of(axis, &dim)) return false;
    if (dim < 0) continue;
    if (*seen >> dim & 1) return false;
    *seen |= 1u << dim;
    if (dim < space->nresult)
      conv->batch[conv->nbatch++] = dim;
    else if (conv->channel >= 0)
      return false;
    else
      conv->channel = dim;
  }
  return windows == 2 && conv->at[0] != conv->at[1] && conv->tap[0] != conv->tap[1] && conv->channel >= 0;
}

/* The kernel: both taps, the channel, one dim of the result. */
static bool match_kernel(const Space *space, const Map *map, Conv *conv) {
  uint32_t own = 0;
  for (int a = 0; a < map->naxes; a++) {
    int dim;
    if (!is_dim_of(&map->axis[a], &dim)) return false;
    if (dim < 0) continue;
    if (own >> dim & 1) return false;
    own |= 1u << dim;
    if (dim < space->nresult) conv->out = dim;
  }
  return conv->out >= 0 && own == (1u << conv->tap[0] | 1u << conv->tap[1] | 1u << conv->channel | 1u << conv->out);
}

bool conv_of(const Graph *graph, const Node *node, Conv *conv) {
  const Space *space = node->space;
  if (node->op != OP_contract || space->ndims - space->nresult != 3) return false;
  for (int k = 0; k < 2; k++) {
    uint32_t seen = 0;
    *conv = (Conv){.picture = k, .kernel = 1 - k, .channel = -1, .out = -1};
    if (!match_picture(graph->module, space, &space->map[k], conv, &seen)) continue;
    if (!match_kernel(space, &space->map[1 - k], conv)) continue;
    if ((seen | 1u << conv->out) != (1u << space->ndims) - 1) continue;
    if (conv->nbatch > 2) continue;
    return map_always_inside(graph->module, space, 1 - k, graph_type(graph, node->operands[1 - k]));
  }
  return false;
}

/* ---- what it costs ----
 *
 * In units of what one multiply-add of 16 lanes takes. Measured on a Zen 4, which in that time reads or writes 8 bytes in its
 * caches, 3.5 beyond: rough, but it orders the candidates. */

enum { LANES = 16, CACHE_BYTES = 12 << 20 };

static const double direct_share = 0.86, tiles_share = 0.92, bytes_in_cache = 8, bytes_beyond = 3.5, worth = 1.1;

typedef struct Extents {
  double pictures, height, width, channels, outs;
} Extents;

static double direct_cost(const Extents *of) {
  return of->pictures * of->height * of->width * TAPS * TAPS * of->channels * of->outs / LANES / direct_share;
}

/* An array of so many bytes is written and read once. */
static double passing_cost(double bytes) { return 2 * bytes / (bytes < CACHE_BYTES ? bytes_in_cache : bytes_beyond); }

/* The squares' products, what the transforms make for them and read of them, and the kernel's own. */
static double tiles_cost(const Extents *of, int tile) {
  int64_t down = ((int64_t)of->height + tile - 1) / tile, across = ((int64_t)of->width + tile - 1) / tile;
  double squares = (tile + TAPS - 1) * (tile + TAPS - 1), elements = squares * of->pictures * (double)(down * across);
  return elements * of->channels * of->outs / LANES / tiles_share + passing_cost(elements * of->channels * 4) +
         passing_cost(elements * of->outs * 4) + passing_cost(squares * of->channels * of->outs * 4);
}

/* How many times faster at the fewest pictures and at the most, in the geometric mean; 0: slower at either. */
static double gain(const Extents *few, const Extents *many, int tile) {
  double at_few = direct_cost(few) / tiles_cost(few, tile), at_many = direct_cost(many) / tiles_cost(many, tile);
  return at_few < 1 || at_many < 1 ? 0 : sqrt(at_few * at_many);
}

int conv_tile(const Node *node, const Conv *conv, FastConv fast) {
  if (fast != FAST_CONV_BEST) return fast == FAST_CONV_2 ? 2 : 4;
  const Space *space = node->space;
  Extents few = {.pictures = 1, .height = (double)conv->size[0], .width = (double)conv->size[1]};
  few.channels = (double)space->extent[conv->channel]->high;
  few.outs = (double)space->extent[conv->out]->high;
  Extents many = few;
  for (int k = 0; k < conv->nbatch; k++) {
    few.pictures *= (double)MAX(space->extent[conv->batch[k]]->low, 1);
    many.pictures *= (double)space->extent[conv->batch[k]]->high;
  }
  double best = worth;
  int choice = 0;
  for (int tile = 2; tile <= MOST_TILE; tile += 2) {
    double found = gain(&few, &many, tile);
    if (found <= best) continue;
    best = found;
    choice = tile;
  }
  return choice;
}

int fast_conv_tile(const Graph *graph, const Node *node, FastConv fast) {
  Conv conv;
  return fast != FAST_CONV_NONE && conv_of(graph, node, &conv) ? conv_tile(node, &conv, fast) : 0;
}

double fast_conv_error(int tile) { return tile ? transforms_of(tile)->error : 1; }
