/* Bounds of the ops that read through index maps: view, folds, contract, argmax and argmin.
 *
 * Maps are read here point by point from their definition, apart from the interpreter's readers and from the compiler's. */
#include "tests/fuzz/fuzz.h"

#include <math.h>

typedef struct Walk {
  const Space *space;
  const int64_t *dims;
  int64_t extent[MAX_LOOPS], index[MAX_LOOPS], results, folded;
} Walk;

static Walk walk_of(const BoundsOf *of, Id id) {
  Walk walk = {.space = graph_node(of->graph, id)->space, .dims = of->dims, .results = 1, .folded = 1};
  for (int d = 0; d < walk.space->ndims; d++) {
    walk.extent[d] = dim_value(walk.space->extent[d], of->dims);
    *(d < walk.space->nresult ? &walk.results : &walk.folded) *= walk.extent[d];
  }
  return walk;
}

/* Sets the dims from..to-1 to a row-major number. */
static void walk_to(Walk *walk, int from, int to, int64_t number) {
  for (int d = to - 1; d >= from; d--) {
    walk->index[d] = number % walk->extent[d];
    number /= walk->extent[d];
  }
}

static void walk_result(Walk *walk, int64_t number) { walk_to(walk, 0, walk->space->nresult, number); }
static void walk_folded(Walk *walk, int64_t number) { walk_to(walk, walk->space->nresult, walk->space->ndims, number); }

/* The operand's element at this point, -1 if it is absent. */
static int64_t element(const Walk *walk, int operand, const Array *array) {
  int64_t at = 0;
  const Map *map = &walk->space->map[operand];
  for (int k = 0; k < map->naxes; k++) {
    const Axis *axis = &map->axis[k];
    int64_t number = dim_value(axis->offset, walk->dims);
    for (int t = 0; t < axis->nterms; t++) number += axis->coefficient[t] * walk->index[axis->dim[t]];
    if (floor_modulo(number, axis->divisor) != 0) return -1;
    number = floor_divide(number, axis->divisor);
    if (number < 0 || number >= array->size[k]) return -1;
    at = at * array->size[k] + number;
  }
  return at;
}

void bound_view(const BoundsOf *of, Id id, double *out) {
  Walk walk = walk_of(of, id);
  Id operand = graph_node(of->graph, id)->operands[0];
  for (int64_t i = 0; i < walk.results; i++) {
    walk_result(&walk, i);
    int64_t at = element(&walk, 0, &of->values[operand]);
    double fill = graph_node(of->graph, id)->number;
    out[i] = at >= 0 ? of->bound[operand][at] : isfinite(fill) ? fabs(fill - (double)(float)fill) : 0;
  }
}

/* Sums add all bounds and n roundings; the largest of values moves no more than the one that moves most. */
void bound_fold(const BoundsOf *of, Id id, double *out) {
  Walk walk = walk_of(of, id);
  const Node *node = graph_node(of->graph, id);
  Id operand = node->operands[0];
  for (int64_t i = 0; i < walk.results; i++) {
    double bound = 0, sum = 0, terms = 0, most = 0;
    walk_result(&walk, i);
    bool finite = true;
    for (int64_t k = 0; k < walk.folded; k++) {
      walk_folded(&walk, k);
      int64_t at = element(&walk, 0, &of->values[operand]);
      if (at < 0) continue;
      double value = array_get(&of->values[operand], at);
      bound += of->bound[operand][at];
      most = fmax(most, of->bound[operand][at]);
      sum += fabs(value) + of->bound[operand][at];
      finite = finite && isfinite(value);
      terms++;
    }
    if (node->op != OP_fold_sum) {
      out[i] = finite || most == 0 ? most : INFINITY;
    } else if (node->type.dtype != F32) {
      out[i] = bound;
    } else {
      out[i] = finite ? bound + terms * UNIT_ROUNDOFF * sum : bound == 0 ? 0 : INFINITY;
    }
  }
}

/* What a factor, or one that is off by e, is off once it is rounded to so few bits; some of the least numbers are lost whole. */
static double rounded_bound(Precision precision, double value, double e) {
  double most = fabs(value) + e;
  if (precision == PRECISION_F32) return e;
  return most < 3e38 ? e + ldexp(most, -precision_info[precision].bits) + 0x1p-133 : INFINITY;
}

void bound_contract(const BoundsOf *of, Id id, double *out) {
  Walk walk = walk_of(of, id);
  const Id *operands = graph_node(of->graph, id)->operands;
  for (int64_t i = 0; i < walk.results; i++) {
    double bound = 0, sum = 0, terms = 1;
    walk_result(&walk, i);
    bool finite = true;
    for (int64_t k = 0; k < walk.folded; k++) {
      walk_folded(&walk, k);
      int64_t left = element(&walk, 0, &of->values[operands[0]]), right = element(&walk, 1, &of->values[operands[1]]);
      if (left < 0 || right < 0) {
        /* 0 times what is there, which must not be infinite for the product to be 0 */
        double other = left >= 0    ? array_get(&of->values[operands[0]], left)
                       : right >= 0 ? array_get(&of->values[operands[1]], right)
                                    : 0;
        finite = finite && isfinite(other);
        continue;
      }
      double a = array_get(&of->values[operands[0]], left), b = array_get(&of->values[operands[1]], right);
      double ea = rounded_bound(of->precision, a, of->bound[operands[0]][left]);
      double eb = rounded_bound(of->precision, b, of->bound[operands[1]][right]);
      bound += fabs(a) * eb + fabs(b) * ea + ea * eb;
      sum += (fabs(a) + ea) * (fabs(b) + eb);
      finite = finite && isfinite(a) && isfinite(b);
      terms++;
    }
    out[i] = finite ? bound + terms * UNIT_ROUNDOFF * sum + 0x1p-149 * terms : INFINITY;
  }
}

/* Sure where the winner is ahead of every other by more than both bounds, where ties are exact, or where nothing is there. */
void bound_argfold(const BoundsOf *of, Id id, double *out) {
  Walk walk = walk_of(of, id);
  const Node *node = graph_node(of->graph, id);
  Id operand = node->operands[0];
  double sign = node->op == OP_argmax ? 1 : -1;
  for (int64_t i = 0; i < walk.results; i++) {
    walk_result(&walk, i);
    walk_folded(&walk, (int64_t)array_get(&of->values[id], i));
    int64_t winner = element(&walk, 0, &of->values[operand]);
    double value = winner < 0 ? 0 : array_get(&of->values[operand], winner), open = 0;
    double bound = winner < 0 ? 0 : of->bound[operand][winner];
    bool exact = bound == 0, sure = bound < INFINITY;
    for (int64_t k = 0; k < walk.folded; k++) {
      walk_folded(&walk, k);
      int64_t at = element(&walk, 0, &of->values[operand]);
      if (at < 0 || at == winner) continue;
      exact = exact && of->bound[operand][at] == 0;
      open = of->bound[operand][at];
      if (!(sign * (value - array_get(&of->values[operand], at)) > bound + open)) sure = false;
    }
    out[i] = exact || sure ? 0 : INFINITY;
  }
}

/* The point that was chosen must be there, and may be ahead of every other. */
static bool choice_is_allowed(const BoundsOf *of, const Node *node, Walk *walk, double chosen, bool *known) {
  Id operand = node->operands[0];
  const Array *array = &of->values[operand];
  const double *bound = of->bound[operand];
  double sign = node->op == OP_argmax ? 1 : -1, best = -INFINITY;
  *known = true;
  for (int64_t k = 0; k < walk->folded; k++) {
    walk_folded(walk, k);
    int64_t at = element(walk, 0, array);
    if (at < 0) continue;
    *known = *known && isfinite(bound[at]) && isfinite(array_get(array, at));
    best = fmax(best, sign * array_get(array, at) - bound[at]);
  }
  if (!(chosen >= 0 && chosen < (double)walk->folded)) return false;
  walk_folded(walk, (int64_t)chosen);
  int64_t winner = element(walk, 0, array);
  return !*known || (winner >= 0 && sign * array_get(array, winner) + bound[winner] >= best);
}

bool settle_argfold(const BoundsOf *of, Id id, const Array *taken, double *out) {
  Walk walk = walk_of(of, id);
  for (int64_t i = 0; i < walk.results; i++) {
    bool known;
    if (out[i] < INFINITY) continue;
    walk_result(&walk, i);
    double chosen = array_get(taken, i);
    if (!choice_is_allowed(of, graph_node(of->graph, id), &walk, chosen, &known)) return false;
    if (!known) continue;
    array_set(&of->values[id], i, chosen);
    out[i] = 0;
  }
  return true;
}
