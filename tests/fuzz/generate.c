/* Random programs: the pool of values, leaves, and the whole module.
 *
 * A program grows by parts: each takes values from the pool, makes one op or a few of them, and puts the result back with
 * an interval that it must lie in. Intervals keep ops where they are sane (no log of 0, no exp of 100), so that the bounds
 * of nearly all elements stay small enough to say something. Sizes are few for a program, so that values meet. */
#include "tests/fuzz/generate.h"

#include <math.h>
#include <string.h>

static const Source source = {.name = "fuzz", .text = "", .users = true};
static const Place place = {.source = &source};

/* ---- choices ---- */

uint64_t draw(Generator *g) { /* SplitMix64 */
  uint64_t x = g->random += 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return x ^ x >> 31;
}

int below(Generator *g, int count) { return (int)(draw(g) % (uint64_t)count); }
bool chance(Generator *g, int percent) { return below(g, 100) < percent; }

/* Numbers are often short in binary, as those in programs are. */
double between(Generator *g, double low, double high) {
  double x = low + (high - low) * (double)(draw(g) >> 11) * 0x1p-53;
  return chance(g, 60) ? fmin(fmax(rint(x * 8) / 8, low), high) : (double)(float)x;
}

/* ---- types ---- */

double elements_high(const Type *type) {
  double count = 1;
  for (int k = 0; k < type->rank; k++) count *= (double)type->size[k]->high;
  return count;
}

bool small_enough(const Type *type) { return elements_high(type) <= MOST_ELEMENTS; }

Type random_type(Generator *g, Dtype dtype, int most_rank) {
  Type type = {.dtype = dtype, .rank = chance(g, 8) ? 0 : 1 + below(g, most_rank)};
  for (int k = 0; k < type.rank; k++) type.size[k] = g->sizes[below(g, SIZES)];
  while (!small_enough(&type)) type.rank--;
  return type;
}

static bool constant_sizes(const Type *type) {
  for (int k = 0; k < type->rank; k++) {
    if (!dim_is_constant(type->size[k], NULL)) return false;
  }
  return true;
}

/* ---- leaves: the letter that begins a name says what fill_input gives it ---- */

static const struct {
  char letter;
  double low, high;
} kinds[] = {{'x', -1, 1}, {'p', 0.25, 2}, {'q', -2, 2}, {'i', -3, 9}};

void fill_input(const char *name, Array *array) {
  uint64_t hash = hash_bytes(name, strlen(name));
  for (int64_t k = 0; k < array_count(array); k++) {
    Generator g = {.random = hash ^ ((uint64_t)k + 1) * 0xD1342543DE82EF95u};
    double unit = (double)(draw(&g) >> 40) * 0x1p-24, value = 2 * unit - 1;
    if (name[0] == 'p') value = 0.25 + 1.75 * unit;
    if (name[0] == 'q') value = rint(16 * unit) / 4 - 2;
    if (array->dtype == F32) value = (double)(float)value;
    if (array->dtype == I32) value = floor(unit * 13) - 3;
    if (array->dtype == BOOL) value = unit < 0.5;
    array_set(array, k, value);
  }
}

static Value input(Generator *g, Type type, bool state) {
  int kind = type.dtype == F32 ? below(g, 3) : 3;
  char *name = arena_format(g->arena, "%c%d", type.dtype == BOOL ? 'b' : kinds[kind].letter, g->named++);
  Value value = {.low = kinds[kind].low, .high = kinds[kind].high};
  if (state) {
    Initialiser init = {.kind = INIT_NUMBER};
    value.id = graph_state(g->graph, module_add_symbol(g->module, name, type, type.dtype == F32, init, &place));
    PUSH(g->arena, &g->states, value);
  } else {
    value.id = graph_parameter(g->graph, name, type, &place);
  }
  return value;
}

static Value array_constant(Generator *g, Type type) {
  int64_t count = (int64_t)elements_high(&type);
  double *values = NEW_ARRAY(g->arena, double, count);
  for (int64_t k = 0; k < count; k++) {
    values[k] = type.dtype == F32 ? between(g, -1, 1) : type.dtype == I32 ? below(g, 9) - 2 : below(g, 2);
  }
  return (Value){graph_array(g->graph, type, values), -2, 7};
}

static Value counted(Generator *g, Type type) {
  if (type.rank == 0) return (Value){graph_dim(g->graph, g->sizes[below(g, SIZES)]), 1, 64};
  int axis = below(g, type.rank);
  return (Value){graph_iota(g->graph, type, axis), 0, (double)type.size[axis]->high};
}

static Value drawn(Generator *g, Type type) {
  Id keys[2];
  int nkeys = below(g, 3);
  for (int k = 0; k < nkeys; k++) {
    keys[k] = chance(g, 50) ? graph_number(g->graph, I32, below(g, 100)) : graph_dim(g->graph, g->sizes[below(g, SIZES)]);
  }
  return (Value){graph_random(g->graph, type, keys, nkeys, (uint32_t)draw(g)), 0, 1};
}

static Value drawn_as(Generator *g, Type type) {
  Dtype dtype = type.dtype;
  type.dtype = F32;
  Value value = drawn(g, type);
  if (dtype == F32) return value;
  Id scaled = graph_binary(g->graph, OP_mul, value.id, graph_number(g->graph, F32, 8));
  if (dtype == I32) return (Value){graph_cast(g->graph, I32, scaled), 0, 8};
  return (Value){graph_binary(g->graph, OP_lt, scaled, graph_number(g->graph, F32, 4)), 0, 1};
}

Value leaf(Generator *g, Type type) {
  int choice = below(g, 100);
  Value value;
  if (choice < 12 && constant_sizes(&type) && elements_high(&type) <= 200) {
    value = array_constant(g, type);
  } else if (choice < 22) {
    double number = type.dtype == F32 ? between(g, -2, 2) : type.dtype == I32 ? below(g, 7) - 2 : below(g, 2);
    value = (Value){graph_constant(g->graph, type, number), number, number};
  } else if (choice < 32 && type.dtype == F32) {
    value = drawn(g, type);
  } else if (choice < 40 && type.dtype != BOOL) {
    value = counted(g, type);
    if (type.dtype == F32) value.id = graph_cast(g->graph, F32, value.id);
    if (type.dtype == F32) value = tame(g, value, 4);
  } else if (g->depth > 0) { /* a body has no parameters to add */
    value = drawn_as(g, type);
  } else {
    value = input(g, type, constant_sizes(&type) && chance(g, 45));
  }
  PUSH(g->arena, &g->pool, value);
  return value;
}

/* ---- the pool ---- */

static Id number(Generator *g, double value) { return graph_number(g->graph, F32, value); }

Value tame(Generator *g, Value value, double most) {
  double reach = fmax(fabs(value.low), fabs(value.high));
  if (reach <= most) return value;
  if (type_of_value(g, value)->dtype == I32) {
    if (reach < 1e6 && most >= 1e6) return value;
    Id modulus = graph_number(g->graph, I32, (double)(int)most);
    return (Value){graph_binary(g->graph, OP_mod, value.id, modulus), 0, most};
  }
  if (!isfinite(reach) || chance(g, 15)) return (Value){graph_unary(g->graph, OP_tanh, value.id), -1, 1};
  double factor = exp2(floor(log2(most / reach)));
  Id scaled = graph_binary(g->graph, OP_mul, value.id, number(g, factor));
  return (Value){scaled, value.low * factor, value.high * factor};
}

Value keep(Generator *g, Id id, double low, double high) {
  Value value = {id, low, high};
  Dtype dtype = graph_type(g->graph, id)->dtype;
  if (dtype != BOOL) value = tame(g, value, dtype == F32 ? 16 : 1e6);
  PUSH(g->arena, &g->pool, value);
  return value;
}

/* Late ones are taken more often, so that programs grow deep. */
static bool find(Generator *g, Dtype dtype, int least_rank, Value *found) {
  for (int attempt = 0; attempt < 12 && g->pool.count > 0; attempt++) {
    int from = chance(g, 60) ? MAX(0, g->pool.count - 6) : 0;
    *found = g->pool.items[from + below(g, g->pool.count - from)];
    const Type *type = type_of_value(g, *found);
    if (type->dtype == dtype && type->rank >= least_rank) return true;
  }
  return false;
}

Value any_of_rank(Generator *g, Dtype dtype, int least_rank) {
  Value value;
  if (find(g, dtype, least_rank, &value)) return value;
  Type type = random_type(g, dtype, 3);
  while (type.rank < least_rank) type.size[type.rank++] = g->sizes[below(g, SIZES)];
  while (!small_enough(&type)) {
    for (int k = 0; k < type.rank; k++) type.size[k] = number_dim(g, 2 + below(g, 3));
  }
  return leaf(g, type);
}

Value any_value(Generator *g, Dtype dtype) { return any_of_rank(g, dtype, 0); }

Value alike(Generator *g, Dtype dtype, const Type *sizes) {
  Value value;
  Type both;
  for (int attempt = 0; attempt < 6; attempt++) {
    if (!find(g, dtype, 0, &value)) break;
    const Type *type = type_of_value(g, value);
    if (type->rank > sizes->rank || !shapes_broadcast(g->module, type, sizes, &both)) continue;
    if (!type_same_sizes(&both, sizes)) continue;
    value.id = graph_broadcast(g->graph, value.id, sizes->rank, sizes->size);
    return value;
  }
  Type type = *sizes;
  type.dtype = dtype;
  for (int k = 0; k < type.rank; k++) {
    if (chance(g, 12)) type.size[k] = number_dim(g, 1);
  }
  if (chance(g, 20) && type.rank > 0) { /* only the last axes */
    int cut = below(g, type.rank + 1);
    type.rank -= cut;
    for (int k = 0; k < type.rank; k++) type.size[k] = type.size[k + cut];
  }
  value = leaf(g, type);
  value.id = graph_broadcast(g->graph, value.id, sizes->rank, sizes->size);
  return value;
}

Value scalar_of(Generator *g, Value value) {
  bool all[MAX_RANK] = {true, true, true, true, true, true, true, true};
  double reach = fmax(fabs(value.low), fabs(value.high)) * elements_high(type_of_value(g, value));
  Id id = type_of_value(g, value)->rank ? graph_fold_axes(g->graph, OP_fold_sum, value.id, all, false) : value.id;
  return tame(g, (Value){id, -reach, reach}, 8);
}

/* ---- the whole ---- */

bool make_leaf(Generator *g) {
  leaf(g, random_type(g, chance(g, 70) ? F32 : chance(g, 60) ? I32 : BOOL, 3));
  return true;
}

static const struct {
  Part *part;
  int weight;
} parts[] = {
    {make_leaf, 5},   {make_unary, 14},    {make_binary, 14}, {make_integer, 4}, {make_compare, 4},  {make_where, 4},
    {make_cast, 4},   {make_view, 12},     {make_fold, 9},    {make_argfold, 3}, {make_contract, 8}, {make_convolution, 4},
    {make_concat, 4}, {make_transpose, 3}, {make_gather, 4},  {make_scatter, 3}, {make_reshape, 5},  {make_argsort, 3},
    {make_cumsum, 4}, {make_scan, 3},      {make_grad, 5},    {make_stop, 1},
};

void make_some(Generator *g, int count) {
  int total = 0;
  for (int k = 0; k < COUNT_OF(parts); k++) total += parts[k].weight;
  for (int made = 0; made < count;) {
    int pick = below(g, total), k = 0;
    while (pick >= parts[k].weight) pick -= parts[k++].weight;
    made += parts[k].part(g) ? 1 : 0;
  }
}

static void choose_sizes(Generator *g) {
  static const int lengths[] = {1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 16, 17, 19, 31, 32, 37, 40, 64};
  int64_t high = chance(g, 50) ? 2 + below(g, 8) : 9 + below(g, 30);
  module_add_dim(g->module, "N", 1, high, 1, &place);
  for (int k = 0; k < SIZES; k++) {
    bool symbolic = k == 0 || chance(g, 10);
    g->sizes[k] = symbolic ? dim_symbol(g->module, 0) : number_dim(g, lengths[below(g, COUNT_OF(lengths))]);
  }
  if (chance(g, 50)) g->sizes[SIZES - 1] = number_dim(g, 1);
}

/* Another entry may use what those before it have. */
static void share_states(Generator *g) {
  for (int symbol = 0; symbol < g->module->symbols.count; symbol++) {
    if (!chance(g, 60)) continue;
    const char *name = g->module->symbols.items[symbol].name;
    Value value = {graph_state(g->graph, symbol), -3, 9};
    for (int k = 0; k < COUNT_OF(kinds); k++) {
      if (kinds[k].letter == name[0]) value.low = kinds[k].low, value.high = kinds[k].high;
    }
    PUSH(g->arena, &g->states, value);
    PUSH(g->arena, &g->pool, value);
  }
}

static bool is_input(const Generator *g, Id id) {
  Op op = graph_node(g->graph, id)->op;
  return op == OP_arg || op == OP_state;
}

/* A value of the state's type: one of its sizes, or the state decayed and a mean added. */
static Id next_of(Generator *g, Value state) {
  const Type type = *type_of_value(g, state);
  for (int attempt = 0; attempt < 10; attempt++) {
    Value other = g->pool.items[below(g, g->pool.count)];
    if (type_equal(type_of_value(g, other), &type)) return other.id;
  }
  if (type.dtype == F32) {
    Id decayed = graph_binary(g->graph, OP_mul, state.id, number(g, 0.75));
    return graph_binary(g->graph, OP_sub, decayed, scalar_of(g, any_value(g, F32)).id);
  }
  return alike(g, type.dtype, &type).id;
}

static void give_out(Generator *g) {
  int wanted = 1 + below(g, 3);
  int nstates = g->graph->kind == GRAPH_STEP ? g->states.count : 0;
  Id *trained = NEW_ARRAY(g->arena, Id, nstates + 1);
  if (chance(g, 50)) minimize(g, nstates, trained);
  for (int k = 0; k < nstates; k++) {
    if (!trained[k] && !chance(g, 80)) continue;
    Id value = trained[k] ? trained[k] : next_of(g, g->states.items[k]);
    PUSH(g->arena, &g->graph->finals, ((Final){graph_node(g->graph, g->states.items[k].id)->index, value}));
  }
  for (int k = g->pool.count - 1; k >= 0 && g->graph->results.count < wanted; k--) {
    Id value = g->pool.items[k].id;
    if (is_input(g, value) && !(k == 0 || chance(g, 5))) continue;
    const char *name = intern(arena_format(g->arena, "y%d", g->graph->results.count));
    PUSH(g->arena, &g->graph->results, ((Result){name, value}));
    k -= below(g, 4);
  }
}

static void make_entry(Generator *g, const char *name) {
  g->graph = graph_new(g->module, name, chance(g, 60) ? GRAPH_STEP : GRAPH_FN);
  g->graph->here = g->graph->place = &place;
  PUSH(g->arena, &g->module->entries, g->graph);
  g->pool.count = g->states.count = 0;
  share_states(g);
  leaf(g, random_type(g, F32, 3));
  make_some(g, 3 + below(g, 22));
  give_out(g);
}

Module *generate(Arena *arena, uint64_t seed) {
  static const char *const names[] = {"f", "g", "h"};
  Generator g = {.arena = arena, .random = seed * 0x2545F4914F6CDD1Du + 0x1234567};
  g.module = module_new(arena, diagnostics_new(arena), arena_format(arena, "fuzz%llu", (unsigned long long)seed));
  choose_sizes(&g);
  int entries = chance(&g, 75) ? 1 : 2 + below(&g, 2);
  for (int k = 0; k < entries; k++) make_entry(&g, names[k]);
  return g.module;
}
