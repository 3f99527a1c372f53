/* Parts of random programs that read through index maps: views, folds, contractions.
 *
 * An operand's axes are each given a way of being read: bare, by steps, flipped, padded, dilated, by a window, at one
 * index, along the diagonal, or by numbers at random; each brings the dims it needs. Dims are then shuffled, and some of
 * them folded. */
#include "tests/fuzz/generate.h"

#include <math.h>
#include <string.h>

/* A space whose dims are still in the order in which they were made. */
typedef struct Draft {
  Space space;
  bool folded[MAX_LOOPS];
  bool failed; /* more dims than there is room for */
} Draft;

static int new_dim(Draft *draft, const Dim *extent) {
  if (draft->space.ndims == MAX_LOOPS || !extent || extent->low < 1) {
    draft->failed = true;
    return 0;
  }
  draft->space.extent[draft->space.ndims] = extent;
  return draft->space.ndims++;
}

static void read_by(Draft *draft, int operand, Axis axis) {
  Map *map = &draft->space.map[operand];
  map->axis[map->naxes++] = axis;
}

/* ---- ways of reading an axis ---- */

static void read_bare(Generator *g, Draft *draft, int operand, const Dim *size) {
  read_by(draft, operand, axis_of(g->module, new_dim(draft, size)));
}

static void read_steps(Generator *g, Draft *draft, int operand, const Dim *size) {
  int64_t constant, step = 1 + below(g, 3);
  if (dim_is_constant(size, &constant)) {
    int64_t start = below(g, (int)constant), most = (constant - 1 - start) / step + 1;
    int dim = new_dim(draft, number_dim(g, 1 + below(g, (int)most)));
    read_by(draft, operand, axis_affine(dim, step, number_dim(g, start)));
    return;
  }
  const Dim *count =
      dim_offset(g->module, dim_floordiv(g->module, dim_offset(g->module, size, -1), number_dim(g, step)), 1);
  read_by(draft, operand, axis_affine(new_dim(draft, count), step, number_dim(g, 0)));
}

static void read_flipped(Generator *g, Draft *draft, int operand, const Dim *size) {
  read_by(draft, operand, axis_affine(new_dim(draft, size), -1, dim_offset(g->module, size, -1)));
}

static void read_padded(Generator *g, Draft *draft, int operand, const Dim *size) {
  int before = below(g, 3), after = below(g, 3);
  int dim = new_dim(draft, dim_offset(g->module, size, before + after));
  read_by(draft, operand, axis_affine(dim, 1, number_dim(g, -before)));
}

static void read_dilated(Generator *g, Draft *draft, int operand, const Dim *size) {
  int64_t divisor = 2 + below(g, 2), extra = below(g, 3);
  const Dim *whole = dim_multiply(g->module, number_dim(g, divisor), dim_offset(g->module, size, -1));
  Axis axis = axis_affine(new_dim(draft, dim_offset(g->module, whole, 1 + extra)), 1, number_dim(g, -below(g, 2)));
  axis.divisor = divisor;
  read_by(draft, operand, axis);
}

typedef struct Window {
  int out, tap;
} Window;

/* Taps reach `dilation` apart; what the window sticks out is padded on both sides. */
static Window read_window(Generator *g, Draft *draft, int operand, const Dim *size, int taps, int tap_dim) {
  int stride = 1 + below(g, 3), dilation = chance(g, 70) ? 1 : 2, reach = (taps - 1) * dilation;
  int64_t least = size->low, padding = chance(g, 50) ? 0 : below(g, taps + 1);
  if (least + 2 * padding <= reach) padding = (reach - least) / 2 + 1;
  Module *module = g->module;
  Window window;
  if (chance(g, 15)) { /* the transposed window: the index is divided by the stride */
    const Dim *spread = dim_multiply(module, number_dim(g, stride), dim_offset(module, size, -1));
    int64_t cut = MIN(padding, reach / 2);
    window.out = new_dim(draft, dim_offset(module, spread, reach + 1 - 2 * cut));
    window.tap = tap_dim >= 0 ? tap_dim : new_dim(draft, number_dim(g, taps));
    read_by(draft, operand, axis_window(window.out, 1, window.tap, -dilation, number_dim(g, cut), stride));
    return window;
  }
  const Dim *room = dim_offset(module, size, 2 * padding - reach - 1);
  window.out = new_dim(draft, dim_offset(module, dim_floordiv(module, room, number_dim(g, stride)), 1));
  window.tap = tap_dim >= 0 ? tap_dim : new_dim(draft, number_dim(g, taps));
  read_by(draft, operand, axis_window(window.out, stride, window.tap, dilation, number_dim(g, -padding), 1));
  return window;
}

static void read_anyhow(Generator *g, Draft *draft, int operand, const Dim *size) {
  int64_t coefficient = 1 + below(g, 3);
  Axis axis = axis_affine(new_dim(draft, number_dim(g, 1 + below(g, 6))), chance(g, 30) ? -coefficient : coefficient,
                          number_dim(g, below(g, (int)size->high + 2) - 1));
  axis.divisor = 1 + below(g, 2);
  read_by(draft, operand, axis);
}

/* The same dim again, where another axis of this operand has this size. */
static bool read_diagonal(Generator *g, Draft *draft, int operand, const Dim *size) {
  for (int dim = 0; dim < draft->space.ndims; dim++) {
    if (draft->space.extent[dim] != size) continue;
    read_by(draft, operand, axis_of(g->module, dim));
    return true;
  }
  return false;
}

static void read_axis(Generator *g, Draft *draft, int operand, const Dim *size) {
  int way = below(g, 100);
  if (way < 40) {
    read_bare(g, draft, operand, size);
  } else if (way < 52) {
    read_steps(g, draft, operand, size);
  } else if (way < 60) {
    read_flipped(g, draft, operand, size);
  } else if (way < 70) {
    read_padded(g, draft, operand, size);
  } else if (way < 75) {
    read_dilated(g, draft, operand, size);
  } else if (way < 88) {
    read_window(g, draft, operand, size, 1 + below(g, 3), -1);
  } else if (way < 93) {
    read_by(draft, operand, axis_at(number_dim(g, below(g, (int)MAX(1, size->low)))));
  } else if (way >= 96 || !read_diagonal(g, draft, operand, size)) {
    read_anyhow(g, draft, operand, size);
  }
}

/* ---- from draft to space ---- */

/* Kept dims first, both kinds shuffled. False if it is larger than it should be. */
static bool settle(Generator *g, Draft *draft, bool shuffled) {
  Space *space = &draft->space, settled = *space;
  int place_of[MAX_LOOPS], order[MAX_LOOPS];
  if (draft->failed) return false;
  for (int k = 0; k < space->ndims; k++) order[k] = k;
  for (int k = space->ndims - 1; shuffled && k > 0; k--) {
    int other = below(g, k + 1), swap = order[k];
    order[k] = order[other];
    order[other] = swap;
  }
  settled.ndims = 0;
  double points = 1, elements = 1;
  for (int round = 0; round < 2; round++) {
    for (int k = 0; k < space->ndims; k++) {
      if (draft->folded[order[k]] != (round == 1)) continue;
      place_of[order[k]] = settled.ndims;
      settled.extent[settled.ndims++] = space->extent[order[k]];
      points *= (double)space->extent[order[k]]->high;
      if (round == 0) elements = points;
    }
    if (round == 0) settled.nresult = settled.ndims;
  }
  if (settled.nresult > 6 || points > MOST_POINTS || elements > MOST_ELEMENTS) return false;
  for (int operand = 0; operand < space->nmaps; operand++) {
    for (int k = 0; k < space->map[operand].naxes; k++) {
      Axis *axis = &settled.map[operand].axis[k];
      for (int t = 0; t < axis->nterms; t++) axis->dim[t] = place_of[axis->dim[t]];
    }
  }
  draft->space = settled;
  return true;
}

static bool draft_reading(Generator *g, Draft *draft, Value a, int repeats) {
  const Type type = *type_of_value(g, a);
  memset(draft, 0, sizeof *draft);
  draft->space.nmaps = 1;
  for (int k = 0; k < type.rank; k++) read_axis(g, draft, 0, type.size[k]);
  if (chance(g, repeats)) new_dim(draft, number_dim(g, 1 + below(g, 4)));
  return !draft->failed;
}

/* ---- view and folds ---- */

bool make_view(Generator *g) {
  Value a = any_of_rank(g, chance(g, 75) ? F32 : chance(g, 60) ? I32 : BOOL, 1);
  Draft draft;
  if (!draft_reading(g, &draft, a, 15) || !settle(g, &draft, chance(g, 50))) return false;
  Dtype dtype = type_of_value(g, a)->dtype;
  double fill = chance(g, 50) ? 0 : dtype == F32 ? between(g, -2, 2) : dtype == I32 ? below(g, 5) : 1;
  keep(g, graph_view(g->graph, a.id, &draft.space, fill), fmin(a.low, fill), fmax(a.high, fill));
  return true;
}

bool make_transpose(Generator *g) {
  Value a = any_of_rank(g, chance(g, 80) ? F32 : I32, 2);
  int rank = type_of_value(g, a)->rank, axes[MAX_RANK];
  for (int k = 0; k < rank; k++) axes[k] = k;
  for (int k = rank - 1; k > 0; k--) {
    int other = below(g, k + 1), swap = axes[k];
    axes[k] = axes[other];
    axes[other] = swap;
  }
  keep(g, graph_transpose(g->graph, a.id, axes), a.low, a.high);
  return true;
}

/* Whole axes mostly (softmax, norms), else any reading at all (pools). */
static bool folding(Generator *g, Value a, Space *space) {
  const Type type = *type_of_value(g, a);
  Draft draft = {.space.nmaps = 1};
  if (chance(g, 50)) {
    for (int k = 0; k < type.rank; k++) {
      read_bare(g, &draft, 0, type.size[k]);
      draft.folded[k] = chance(g, 50);
    }
    if (!settle(g, &draft, false)) return false;
  } else {
    if (!draft_reading(g, &draft, a, 5)) return false;
    for (int k = 0; k < draft.space.ndims; k++) draft.folded[k] = chance(g, 45);
    if (!settle(g, &draft, chance(g, 50))) return false;
  }
  *space = draft.space;
  return true;
}

bool make_fold(Generator *g) {
  static const Op ops[] = {OP_fold_sum, OP_fold_max, OP_fold_min};
  Op op = ops[below(g, 3)];
  Value a = any_of_rank(g, chance(g, 75) ? F32 : op == OP_fold_sum || chance(g, 50) ? I32 : BOOL, 1);
  Space space;
  if (!folding(g, a, &space)) return false;
  double terms = 1;
  for (int k = space.nresult; k < space.ndims && op == OP_fold_sum; k++) terms *= (double)space.extent[k]->high;
  keep(g, graph_fold(g->graph, op, a.id, &space), fmin(a.low * terms, 0), fmax(a.high * terms, 0));
  return true;
}

bool make_argfold(Generator *g) {
  Value a = any_of_rank(g, chance(g, 70) ? F32 : I32, 1);
  Space space;
  if (!folding(g, a, &space)) return false;
  double points = 1;
  for (int k = space.nresult; k < space.ndims; k++) points *= (double)space.extent[k]->high;
  keep(g, graph_fold(g->graph, chance(g, 50) ? OP_argmax : OP_argmin, a.id, &space), 0, points);
  return true;
}

/* ---- contractions ---- */

static Value operand_of(Generator *g, const Type *type) {
  for (int attempt = 0; attempt < 8; attempt++) {
    Value value = g->pool.items[below(g, g->pool.count)];
    if (type_equal(type_of_value(g, value), type)) return value;
  }
  return leaf(g, *type);
}

static bool finish_contract(Generator *g, Draft *draft, Value a, Value b, bool shuffled) {
  if (!settle(g, draft, shuffled)) return false;
  double terms = 1, reach = fmax(fabs(a.low), fabs(a.high)) * fmax(fabs(b.low), fabs(b.high));
  for (int k = draft->space.nresult; k < draft->space.ndims; k++) terms *= (double)draft->space.extent[k]->high;
  keep(g, graph_contract(g->graph, a.id, b.id, &draft->space), -reach * terms, reach * terms);
  return true;
}

/* Each axis of a is a row, folded, or shared by all; b has the latter two and columns of its own. */
bool make_contract(Generator *g) {
  Value a = any_of_rank(g, F32, 1);
  const Type left = *type_of_value(g, a);
  Type right = {.dtype = F32};
  Draft draft = {.space.nmaps = 2};
  Axis axes[MAX_RANK];
  for (int k = 0; k < left.rank; k++) {
    int role = below(g, 100);
    bool window = role >= 85;
    if (window) {
      int taps = 1 + below(g, 3), tap = read_window(g, &draft, 0, left.size[k], taps, -1).tap;
      draft.folded[tap] = true;
      axes[right.rank] = axis_of(g->module, tap);
      right.size[right.rank++] = draft.space.extent[tap];
      continue;
    }
    read_bare(g, &draft, 0, left.size[k]);
    if (role < 35) continue;
    draft.folded[draft.space.ndims - 1] = role < 72;
    axes[right.rank] = axis_of(g->module, draft.space.ndims - 1);
    right.size[right.rank++] = left.size[k];
  }
  for (int columns = below(g, 3); columns > 0 && right.rank < 4; columns--) {
    const Dim *size = g->sizes[below(g, SIZES)];
    axes[right.rank] = axis_of(g->module, new_dim(&draft, size));
    right.size[right.rank++] = size;
  }
  if (draft.failed || !small_enough(&right)) return false;
  for (int k = right.rank - 1; k > 0; k--) { /* the order in which b has them */
    int other = below(g, k + 1);
    Axis axis = axes[k];
    const Dim *size = right.size[k];
    axes[k] = axes[other], right.size[k] = right.size[other];
    axes[other] = axis, right.size[other] = size;
  }
  for (int k = 0; k < right.rank; k++) read_by(&draft, 1, axes[k]);
  return finish_contract(g, &draft, a, operand_of(g, &right), chance(g, 30));
}

/* x[n, c, side, side], or with one side only; groups make the channel's index group * each + c. */
bool make_convolution(Generator *g) {
  int sides = 1 + below(g, 2), groups = chance(g, 70) ? 1 : 2, channels = 1 + below(g, 4), outputs = 1 + below(g, 5);
  Type x = {.dtype = F32, .rank = 2 + sides}, w = {.dtype = F32, .rank = 2 + sides};
  Draft draft = {.space.nmaps = 2};
  x.size[0] = chance(g, 60) ? dim_symbol(g->module, 0) : number_dim(g, 1 + below(g, 3));
  x.size[1] = number_dim(g, groups * channels);
  w.size[0] = number_dim(g, groups * outputs);
  w.size[1] = number_dim(g, channels);
  read_bare(g, &draft, 0, x.size[0]);
  int group = new_dim(&draft, number_dim(g, groups)), output = new_dim(&draft, number_dim(g, outputs));
  int channel = new_dim(&draft, w.size[1]);
  draft.folded[channel] = true;
  const Dim *zero = number_dim(g, 0);
  if (groups == 1) {
    read_by(&draft, 0, axis_of(g->module, channel));
    read_by(&draft, 1, axis_of(g->module, output));
  } else {
    read_by(&draft, 0, axis_window(group, channels, channel, 1, zero, 1));
    read_by(&draft, 1, axis_window(group, outputs, output, 1, zero, 1));
  }
  read_by(&draft, 1, axis_of(g->module, channel));
  for (int k = 0; k < sides; k++) {
    int taps = 1 + below(g, 3);
    x.size[2 + k] = number_dim(g, 3 + below(g, sides == 1 ? 20 : 6));
    w.size[2 + k] = number_dim(g, taps);
    int tap = read_window(g, &draft, 0, x.size[2 + k], taps, -1).tap;
    draft.folded[tap] = true;
    read_by(&draft, 1, axis_of(g->module, tap));
  }
  if (draft.failed || !small_enough(&x)) return false;
  Value a = operand_of(g, &x), b = operand_of(g, &w);
  return finish_contract(g, &draft, a, b, chance(g, 15));
}
