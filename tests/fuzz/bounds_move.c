/* Bounds of concat, gather, scatter, argsort, cumsum and scan. */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <string.h>

static int64_t product(const Array *array, int from, int to) {
  int64_t count = 1;
  for (int k = from; k < to; k++) count *= array->size[k];
  return count;
}

void bound_concat(const BoundsOf *of, Id id, double *out) {
  const Node *node = graph_node(of->graph, id);
  const Array *whole = &of->values[id];
  int64_t outer = product(whole, 0, node->index), inner = product(whole, node->index + 1, whole->rank), start = 0;
  for (int part = 0; part < node->noperands; part++) {
    int64_t size = of->values[node->operands[part]].size[node->index];
    for (int64_t i = 0; i < outer; i++) {
      memcpy(out + (i * whole->size[node->index] + start) * inner, of->bound[node->operands[part]] + i * size * inner,
             (size_t)(size * inner) * sizeof *out);
    }
    start += size;
  }
}

/* The table as [batch, before, axis, behind], the index as [batch, index], the result as [batch, before, index, behind]. */
typedef struct Table {
  int64_t batch, before, axis, behind, index;
} Table;

static Table table_of(const BoundsOf *of, const Node *node) {
  const Array *table = &of->values[node->operands[0]], *index = &of->values[node->operands[1]];
  return (Table){product(table, 0, node->batch), product(table, node->batch, node->index), table->size[node->index],
                 product(table, node->index + 1, table->rank), product(index, node->batch, index->rank)};
}

/* For each element of gather's result and scatter's values: where in the table, or -1; and whether that is sure. */
static int64_t table_element(const BoundsOf *of, const Node *node, const Table *table, int64_t i, bool *sure) {
  int64_t behind = i % table->behind, which = i / table->behind % table->index;
  int64_t before = i / (table->behind * table->index) % table->before;
  int64_t batch = i / (table->behind * table->index * table->before);
  int64_t at = (int64_t)array_get(&of->values[node->operands[1]], batch * table->index + which);
  *sure = of->bound[node->operands[1]][batch * table->index + which] == 0;
  if (at < 0 || at >= table->axis) return -1;
  return ((batch * table->before + before) * table->axis + at) * table->behind + behind;
}

void bound_gather(const BoundsOf *of, Id id, double *out) {
  const Node *node = graph_node(of->graph, id);
  Table table = table_of(of, node);
  for (int64_t i = 0, count = array_count(&of->values[id]); i < count; i++) {
    bool sure;
    int64_t at = table_element(of, node, &table, i, &sure);
    out[i] = !sure ? INFINITY : at < 0 ? 0 : of->bound[node->operands[0]][at];
  }
}

void bound_scatter(const BoundsOf *of, Id id, double *out) {
  const Node *node = graph_node(of->graph, id);
  Table table = table_of(of, node);
  const Array *base = &of->values[id], *values = &of->values[node->operands[2]];
  int64_t count = array_count(base);
  double *sum = NEW_ARRAY(of->arena, double, count), *terms = NEW_ARRAY(of->arena, double, count);
  bool all = true, floats = node->type.dtype == F32;
  for (int64_t i = 0; i < count; i++) {
    out[i] = of->bound[node->operands[0]][i];
    sum[i] = fabs(array_get(&of->values[node->operands[0]], i)) + out[i];
  }
  for (int64_t i = 0; i < array_count(values); i++) {
    bool sure;
    int64_t at = table_element(of, node, &table, i, &sure);
    all = all && sure;
    if (at < 0) continue;
    double bound = of->bound[node->operands[2]][i];
    out[at] += bound;
    sum[at] += fabs(array_get(values, i)) + bound;
    terms[at]++;
  }
  for (int64_t i = 0; i < count; i++) {
    if (floats) out[i] += terms[i] * UNIT_ROUNDOFF * sum[i];
    if (floats && !isfinite(sum[i])) out[i] = INFINITY;
    if (!all) out[i] = INFINITY;
  }
}

/* True if element j stands before element i (or behind it) whatever their bounds let them be. */
static bool order_is_sure(const Array *keys, const double *bound, int64_t i, int64_t j) {
  double a = array_get(keys, i), b = array_get(keys, j);
  if (bound[i] == 0 && bound[j] == 0) return true;
  return fabs(a - b) > bound[i] + bound[j];
}

void bound_argsort(const BoundsOf *of, Id id, double *out) {
  Id operand = graph_node(of->graph, id)->operands[0];
  const Array *keys = &of->values[operand], *order = &of->values[id];
  int64_t line = keys->size[keys->rank - 1];
  for (int64_t i = 0, count = array_count(keys); i < count; i++) {
    int64_t start = i - i % line, at = start + (int64_t)array_get(order, i);
    out[i] = 0;
    for (int64_t j = start; j < start + line; j++) {
      if (j != at && !order_is_sure(keys, of->bound[operand], at, j)) out[i] = INFINITY;
    }
  }
}

/* A permutation in which no key stands before one that is surely to stand before it. */
static bool line_is_allowed(const Array *keys, const double *bound, const Array *taken, int64_t start, int64_t line,
                            bool *used) {
  double most = -INFINITY;
  memset(used, 0, (size_t)line * sizeof *used);
  for (int64_t k = 0; k < line; k++) {
    double chosen = array_get(taken, start + k);
    if (!(chosen >= 0 && chosen < (double)line) || used[(int64_t)chosen]) return false;
    int64_t at = start + (int64_t)chosen;
    used[(int64_t)chosen] = true;
    if (most > array_get(keys, at) + bound[at]) return false;
    most = fmax(most, array_get(keys, at) - bound[at]);
  }
  return true;
}

bool settle_argsort(const BoundsOf *of, Id id, const Array *taken, double *out) {
  Id operand = graph_node(of->graph, id)->operands[0];
  const Array *keys = &of->values[operand];
  const double *bound = of->bound[operand];
  int64_t line = keys->size[keys->rank - 1];
  bool *used = NEW_ARRAY(of->arena, bool, line);
  for (int64_t start = 0, count = array_count(keys); start < count; start += line) {
    bool open = false, known = true;
    for (int64_t k = start; k < start + line; k++) {
      open = open || out[k] == INFINITY;
      known = known && isfinite(bound[k]) && isfinite(array_get(keys, k));
    }
    if (!open || !known) continue;
    if (!line_is_allowed(keys, bound, taken, start, line, used)) return false;
    for (int64_t k = start; k < start + line; k++) {
      array_set(&of->values[id], k, array_get(taken, k));
      out[k] = 0;
    }
  }
  return true;
}

void bound_cumsum(const BoundsOf *of, Id id, double *out) {
  const Node *node = graph_node(of->graph, id);
  Id operand = node->operands[0];
  const Array *from = &of->values[operand];
  int64_t size = from->size[node->index], inner = product(from, node->index + 1, from->rank);
  bool floats = node->type.dtype == F32;
  for (int64_t line = 0, lines = array_count(from) / size; line < lines; line++) {
    double bound = 0, sum = 0;
    for (int64_t k = 0; k < size; k++) {
      int64_t at = (line / inner * size + k) * inner + line % inner;
      bound += of->bound[operand][at];
      sum += fabs(array_get(from, at)) + of->bound[operand][at];
      out[at] = floats ? bound + (double)k * UNIT_ROUNDOFF * sum : bound;
      if (floats && !isfinite(sum)) out[at] = INFINITY;
    }
  }
}

/* ---- scan: its body is a graph, run turn by turn with the values and the bounds of its carries ---- */

Array slice_of(const Array *whole, int64_t turn) {
  Array slice = *whole;
  int64_t count = array_count(whole) / whole->size[0];
  slice.data = (char *)whole->data + (size_t)(turn * count) * array_element_bytes(whole);
  slice.rank--;
  memmove(slice.size, slice.size + 1, (size_t)slice.rank * sizeof *slice.size);
  return slice;
}

static void pair_begin(const BoundsOf *of, const Node *node, int64_t trips, Bounded *pair) {
  const Scan *scan = node->scan;
  int results = scan->ncarry + scan->nyield;
  pair->values = NEW_ARRAY(of->arena, Array, results + 1);
  pair->bound = NEW_ARRAY(of->arena, double *, results + 1);
  for (int k = 0; k < scan->ncarry; k++) {
    pair->values[k] = of->values[node->operands[k]];
    pair->bound[k] = of->bound[node->operands[k]];
  }
  for (int k = scan->ncarry; k < results; k++) {
    const Type *type = graph_type(scan->body, scan->body->results.items[k].value);
    Array one = array_for(of->arena, type, true, of->dims);
    int64_t size[MAX_RANK] = {trips};
    memcpy(size + 1, one.size, (size_t)one.rank * sizeof *size);
    pair->values[k] = array_new(of->arena, one.dtype, true, one.rank + 1, size);
    pair->bound[k] = NEW_ARRAY(of->arena, double, array_count(&one) * trips + 1);
  }
}

static bool scan_turn(const BoundsOf *of, Id id, int64_t turn, Bounded *pair) {
  const Node *node = graph_node(of->graph, id);
  const Scan *scan = node->scan;
  int own = scan->ncarry + scan->nslice + scan->ncapture;
  Array *parameters = NEW_ARRAY(of->arena, Array, own + 1);
  double **bounds = NEW_ARRAY(of->arena, double *, own + 1);
  parameters[0] = array_new(of->arena, I32, false, 0, NULL);
  array_set(&parameters[0], 0, (double)turn);
  for (int k = 0; k < own; k++) {
    bool carry = k < scan->ncarry, slice = !carry && k < scan->ncarry + scan->nslice;
    parameters[k + 1] = carry ? pair->values[k] : of->values[node->operands[k]];
    bounds[k + 1] = carry ? pair->bound[k] : of->bound[node->operands[k]];
    if (!slice) continue;
    parameters[k + 1] = slice_of(&parameters[k + 1], turn);
    bounds[k + 1] += turn * array_count(&parameters[k + 1]);
  }
  Bounded body;
  Decisions decisions = decisions_at_turn(of->arena, scan->body, &of->decisions->bodies[id], turn);
  bool good = bounds_of(scan->body, of->dims, parameters, bounds, of->states, of->precision, &decisions, of->arena, &body,
                        of->failure);
  of->decisions->asked |= of->decisions->bodies[id].asked |= decisions.asked;
  if (!good) return false;
  for (int k = 0; k < scan->ncarry + scan->nyield; k++) {
    Id value = scan->body->results.items[k].value;
    if (k < scan->ncarry) {
      pair->values[k] = body.values[value];
      pair->bound[k] = body.bound[value];
    } else {
      int64_t count = array_count(&body.values[value]);
      Array slice = slice_of(&pair->values[k], turn);
      memcpy(slice.data, body.values[value].data, (size_t)count * array_element_bytes(&slice));
      memcpy(pair->bound[k] + turn * count, body.bound[value], (size_t)count * sizeof(double));
    }
  }
  return true;
}

void bound_scan(const BoundsOf *of, Id id, double *out) {
  const Node *node = graph_node(of->graph, id);
  int64_t trips = dim_value(node->scan->trips, of->dims);
  (void)out;
  pair_begin(of, node, trips, &of->pairs[id]);
  for (int64_t trip = 0; trip < trips; trip++) {
    if (!scan_turn(of, id, node->scan->reverse ? trips - 1 - trip : trip, &of->pairs[id])) return;
  }
}
