/* Parts of random programs that move values about, sort and accumulate them. */
#include "tests/fuzz/generate.h"

#include <math.h>

static Dtype some_dtype(Generator *g) { return chance(g, 70) ? F32 : chance(g, 60) ? I32 : BOOL; }

/* Flat, two neighbours merged, one split, or an axis of size 1 more or less. */
bool make_reshape(Generator *g) {
  Value a = any_of_rank(g, some_dtype(g), 1);
  const Type type = *type_of_value(g, a);
  const Dim *size[MAX_RANK];
  int way = below(g, 4), at = below(g, type.rank), rank = 0;
  int64_t whole;
  if (way == 0) {
    size[rank++] = type_count(g->module, &type);
  } else if (way == 1 && at + 1 < type.rank) {
    for (int k = 0; k < type.rank; k++) {
      bool merged = k == at + 1;
      if (merged) size[rank - 1] = dim_multiply(g->module, size[rank - 1], type.size[k]);
      if (!merged) size[rank++] = type.size[k];
    }
  } else if (way == 2 && type.rank < 5 && dim_is_constant(type.size[at], &whole) && whole > 3) {
    int64_t factor = 2;
    while (whole % factor != 0) factor++;
    for (int k = 0; k < type.rank; k++) {
      if (k == at) size[rank++] = number_dim(g, whole / factor);
      size[rank++] = k == at ? number_dim(g, factor) : type.size[k];
    }
  } else {
    if (type.rank >= 5) return false;
    for (int k = 0; k < type.rank; k++) {
      if (k == at) size[rank++] = number_dim(g, 1);
      size[rank++] = type.size[k];
    }
  }
  keep(g, graph_reshape(g->graph, a.id, rank, size), a.low, a.high);
  return true;
}

bool make_concat(Generator *g) {
  Value a = any_of_rank(g, some_dtype(g), 1), all = a;
  Type type = *type_of_value(g, a);
  int axis = below(g, type.rank), count = 2 + below(g, 2);
  Id parts[3] = {a.id};
  for (int k = 1; k < count; k++) {
    type.size[axis] = chance(g, 40) ? type.size[axis] : g->sizes[below(g, SIZES)];
    if (elements_high(&type) * count > MOST_ELEMENTS) return false;
    Value part = alike(g, type.dtype, &type);
    parts[k] = part.id;
    all.low = fmin(all.low, part.low), all.high = fmax(all.high, part.high);
  }
  keep(g, graph_concat(g->graph, parts, count, axis), all.low, all.high);
  return true;
}

/* ---- tables ---- */

/* Mostly inside the axis. */
static Id indices(Generator *g, Type type, const Dim *size) {
  type.dtype = I32;
  Id index = alike(g, I32, &type).id;
  return chance(g, 75) ? graph_binary(g->graph, OP_mod, index, graph_dim(g->graph, size)) : index;
}

typedef struct Lookup {
  int axis, batch;
  Type index, values;
} Lookup;

static bool choose_lookup(Generator *g, Value table, Lookup *lookup) {
  const Type type = *type_of_value(g, table);
  *lookup = (Lookup){.axis = below(g, type.rank), .index = {.dtype = I32}, .values = {.dtype = type.dtype}};
  lookup->batch = below(g, lookup->axis + 1);
  for (int k = 0; k < lookup->batch; k++) lookup->index.size[lookup->index.rank++] = type.size[k];
  for (int more = below(g, 3); more > 0; more--) lookup->index.size[lookup->index.rank++] = g->sizes[below(g, SIZES)];
  Type *values = &lookup->values;
  if (type.rank + lookup->index.rank > 6) return false;
  for (int k = 0; k < lookup->axis; k++) values->size[values->rank++] = type.size[k];
  for (int k = lookup->batch; k < lookup->index.rank; k++) values->size[values->rank++] = lookup->index.size[k];
  for (int k = lookup->axis + 1; k < type.rank; k++) values->size[values->rank++] = type.size[k];
  return small_enough(&lookup->index) && small_enough(values);
}

bool make_gather(Generator *g) {
  Value a = any_of_rank(g, some_dtype(g), 1);
  Lookup lookup;
  if (!choose_lookup(g, a, &lookup)) return false;
  Id index = indices(g, lookup.index, type_of_value(g, a)->size[lookup.axis]);
  keep(g, graph_gather(g->graph, a.id, index, lookup.axis, lookup.batch), fmin(a.low, 0), fmax(a.high, 0));
  return true;
}

bool make_scatter(Generator *g) {
  Value a = any_of_rank(g, chance(g, 75) ? F32 : I32, 1);
  Lookup lookup;
  if (!choose_lookup(g, a, &lookup)) return false;
  Id index = indices(g, lookup.index, type_of_value(g, a)->size[lookup.axis]);
  Value added = alike(g, lookup.values.dtype, &lookup.values);
  double reach = fmax(fabs(added.low), fabs(added.high)) * fmin(elements_high(&lookup.index), 100);
  keep(g, graph_scatter(g->graph, a.id, index, added.id, lookup.axis, lookup.batch), a.low - reach, a.high + reach);
  return true;
}

/* ---- along an axis ---- */

bool make_argsort(Generator *g) {
  Value a = any_of_rank(g, chance(g, 75) ? F32 : I32, 1);
  const Type type = *type_of_value(g, a);
  Id order = graph_argsort(g->graph, a.id);
  if (chance(g, 50)) {
    keep(g, order, 0, (double)type.size[type.rank - 1]->high);
  } else {
    keep(g, graph_gather(g->graph, a.id, order, type.rank - 1, type.rank - 1), a.low, a.high);
  }
  return true;
}

bool make_cumsum(Generator *g) {
  Value a = any_of_rank(g, chance(g, 75) ? F32 : I32, 1);
  int axis = below(g, type_of_value(g, a)->rank);
  double terms = (double)type_of_value(g, a)->size[axis]->high;
  keep(g, graph_cumsum(g->graph, a.id, axis), fmin(a.low * terms, a.low), fmax(a.high * terms, a.high));
  return true;
}
