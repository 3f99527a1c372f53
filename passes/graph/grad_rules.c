/* The gradient rules, one short function for each name in the gradient column of ops.def.
 *
 * A rule builds ordinary ops from the node's operands x and z, its value y and its cotangent g. Two things are wanted of each.
 * It builds only what is wanted (GIVE), so x ** 2 never forms log x. And its contribution is finite wherever the value is,
 * to any order: where a formula has a pole at a finite value, a `where` replaces the operand that makes the pole, not the
 * quotient, so that differentiating again meets no 0 * inf. At such a point (sqrt at 0) the contribution is 0.
 *
 * Views and folds share one idea: the gradient of reading by an index map is reading by the transposed map. A map that is
 * not closed under transposition is first split into a view, which makes the elements that are folded, and a fold over bare
 * dims, which always is. What is left are views like a diagonal: they add each element where it came from. */
#include "passes/graph/grad.h"

#include <math.h>

#include "passes/graph/rewrite.h"

/* ---- a notation for formulas: one argument of a call makes nodes, since C leaves open which of several would come first ---- */

static Id neg(Backward *b, Id x) { return graph_unary(b->graph, OP_neg, x); }
static Id add(Backward *b, Id x, Id z) { return graph_binary(b->graph, OP_add, x, z); }
static Id sub(Backward *b, Id x, Id z) { return graph_binary(b->graph, OP_sub, x, z); }
static Id mul(Backward *b, Id x, Id z) { return graph_binary(b->graph, OP_mul, x, z); }
static Id quotient(Backward *b, Id x, Id z) { return graph_binary(b->graph, OP_div, x, z); }
static Id power(Backward *b, Id x, Id z) { return graph_binary(b->graph, OP_pow, x, z); }
static Id both(Backward *b, Id x, Id z) { return graph_binary(b->graph, OP_min, x, z); }
static Id less(Backward *b, Id x, Id z) { return graph_binary(b->graph, OP_lt, x, z); }
static Id equal(Backward *b, Id x, Id z) { return graph_binary(b->graph, OP_eq, x, z); }
static Id where(Backward *b, Id c, Id x, Id z) { return graph_where(b->graph, c, x, z); }
/* A number in the shape of a value. */
static Id number(Backward *b, Id like, double value) {
  return graph_constant(b->graph, *graph_type(b->graph, like), value);
}
static Id zeros(Backward *b, Type type) { return graph_constant(b->graph, type, 0); }
/* A size as an i32 scalar. */
static Id size_of(Backward *b, const Dim *dim) {
  int64_t value;
  if (dim_is_constant(dim, &value)) return graph_number(b->graph, I32, (double)value);
  return graph_dim(b->graph, dim);
}

#define RULE(name) static void grad_##name(Backward *b, const Node *node, Id y, Id g)
#define UNUSED_RULE_ARGUMENTS (void)b, (void)node, (void)y, (void)g
#define UNARY(name, formula)                                                                                               \
  RULE(name) {                                                                                                             \
    Id x = node->operands[0];                                                                                              \
    (void)y;                                                                                                               \
    GIVE(b, x, formula);                                                                                                   \
  }
#define BINARY(name, formula_x, formula_z)                                                                                 \
  RULE(name) {                                                                                                             \
    Id x = node->operands[0], z = node->operands[1];                                                                       \
    (void)y;                                                                                                               \
    GIVE(b, x, formula_x);                                                                                                 \
    GIVE(b, z, formula_z);                                                                                                 \
  }

/* ---- element by element ---- */

RULE(zero) { UNUSED_RULE_ARGUMENTS; }
RULE(none) {
  UNUSED_RULE_ARGUMENTS;
  bug("a gradient by way of %s", op_info[node->op].name);
}

/* 2y, but infinite where y = 0, so that dividing by it gives 0 there to any order. */
static Id twice_or_infinite(Backward *b, Id y) {
  Id twice = mul(b, number(b, y, 2), y), infinite = number(b, y, INFINITY);
  return where(b, equal(b, y, number(b, y, 0)), infinite, twice);
}

static Id slope_of_tanh(Backward *b, Id y) {
  Id square = mul(b, y, y);
  return sub(b, number(b, y, 1), square);
}

static Id back_through_erf(Backward *b, Id x, Id g) {
  Id bell = graph_unary(b->graph, OP_exp, neg(b, mul(b, x, x)));
  return mul(b, mul(b, g, number(b, x, M_2_SQRTPI)), bell);
}

/* g where x < z, else 0; and the other way round */
static Id where_less(Backward *b, Id x, Id z, Id g) {
  Id zero = number(b, g, 0);
  return where(b, less(b, x, z), g, zero);
}
static Id unless_less(Backward *b, Id x, Id z, Id g) {
  Id zero = number(b, g, 0);
  return where(b, less(b, x, z), zero, g);
}

UNARY(neg, neg(b, g))
UNARY(exp, mul(b, g, y))
UNARY(log, quotient(b, g, x))
UNARY(sqrt, quotient(b, g, twice_or_infinite(b, y)))
UNARY(sin, mul(b, g, graph_unary(b->graph, OP_cos, x)))
UNARY(cos, neg(b, mul(b, g, graph_unary(b->graph, OP_sin, x))))
UNARY(tanh, mul(b, g, slope_of_tanh(b, y)))
UNARY(erf, back_through_erf(b, x, g))
UNARY(cast, g) /* what is reached is f32 on both sides */

BINARY(add, g, g)
BINARY(sub, g, neg(b, g))
BINARY(mul, mul(b, g, z), mul(b, g, x))
BINARY(div, quotient(b, g, z), neg(b, quotient(b, mul(b, g, y), z)))
BINARY(mod, g, neg(b, mul(b, g, graph_binary(b->graph, OP_floordiv, x, z))))
/* z at ties, and z where either is NaN: exactly one of the two gets g. x is asked through y, which lies on the same side of
 * z: then relu's gradient needs only what the next layer keeps anyway. */
BINARY(max, where_less(b, z, y, g), unless_less(b, z, y, g))
BINARY(min, where_less(b, y, z, g), unless_less(b, y, z, g))

/* d/dx x**z. At x = 0 and z < 1 the power x**(z-1) has a pole: taking the exponent 1 there makes it 0. */
static Id power_by_base(Backward *b, Id x, Id z) {
  double exponent;
  bool known = is_number(b->graph, z, &exponent);
  if (known && exponent == 2) return mul(b, z, x);
  if (known && exponent == 1) return number(b, x, 1);
  Id less_one = known ? number(b, z, exponent - 1) : sub(b, z, number(b, z, 1));
  if (known && exponent > 1) return mul(b, z, power(b, x, less_one));
  Id pole = equal(b, x, number(b, x, 0));
  if (!known) pole = both(b, pole, less(b, z, number(b, z, 1)));
  return mul(b, z, power(b, x, where(b, pole, number(b, z, 1), less_one)));
}

/* d/dz x**z = x**z log x; 0 where x <= 0: log has no value there. */
static Id power_by_exponent(Backward *b, Id x, Id y) {
  Id one = number(b, x, 1), safe = where(b, less(b, number(b, x, 0), x), x, one);
  return mul(b, y, graph_unary(b->graph, OP_log, safe));
}

BINARY(pow, mul(b, g, power_by_base(b, x, z)), mul(b, g, power_by_exponent(b, x, y)))

RULE(where) {
  Id condition = node->operands[0], yes = node->operands[1], no = node->operands[2];
  (void)y;
  GIVE(b, yes, where(b, condition, g, number(b, g, 0)));
  GIVE(b, no, where(b, condition, number(b, g, 0), g));
}

RULE(pick) {
  Id pair = node->operands[0];
  (void)y;
  const bool *reached = b->pair_reached[pair];
  if (!reached || !reached[node->index]) return;
  const Scan *scan = graph_node(b->graph, pair)->scan;
  if (!b->pair_cotangent[pair])
    b->pair_cotangent[pair] = NEW_ARRAY(b->graph->module->arena, Id, scan->ncarry + scan->nyield);
  Id *sum = &b->pair_cotangent[pair][node->index];
  *sum = *sum ? add(b, *sum, g) : g;
}

/* ---- elements added where they came from: the gradient of any view ---- */

/* Where a map reads an operand, as the operand's row-major index, -1 where it is absent; dims[d] is the value of dim d. */
static Id linear_index(Backward *b, const Map *map, const Type *operand, const Id *dims) {
  Id index = graph_number(b->graph, I32, 0), zero = index, inside = graph_number(b->graph, BOOL, 1);
  for (int k = 0; k < map->naxes; k++) {
    const Axis *axis = &map->axis[k];
    Id place = size_of(b, axis->offset), size = size_of(b, operand->size[k]);
    for (int t = 0; t < axis->nterms; t++)
      place = add(b, place, mul(b, dims[axis->dim[t]], graph_number(b->graph, I32, (double)axis->coefficient[t])));
    if (axis->divisor != 1) {
      Id divisor = graph_number(b->graph, I32, (double)axis->divisor);
      inside = both(b, inside, equal(b, graph_binary(b->graph, OP_mod, place, divisor), zero));
      place = graph_binary(b->graph, OP_floordiv, place, divisor);
    }
    Id below = less(b, place, size);
    inside = both(b, inside, both(b, graph_binary(b->graph, OP_le, zero, place), below));
    index = add(b, mul(b, index, size), place);
  }
  return where(b, inside, index, graph_number(b->graph, I32, -1));
}

/* Zeros of an operand's type with g's elements added at row-major indices; the index may lack axes of size 1. */
static Id scattered(Backward *b, const Type *operand, Id index, Id g) {
  Module *module = b->graph->module;
  const Type type = *graph_type(b->graph, g);
  const Dim *from = type_count(module, operand), *count = type_count(module, &type);
  index = graph_reshape(b->graph, graph_broadcast(b->graph, index, type.rank, type.size), 1, &count);
  Id base = zeros(b, type_of(F32, 1, &from));
  Id sum = graph_scatter(b->graph, base, index, graph_reshape(b->graph, g, 1, &count), 0, 0);
  return graph_reshape(b->graph, sum, operand->rank, operand->size);
}

static Id iota_along(Backward *b, int rank, const Dim *const *size, int axis) {
  return graph_iota(b->graph, type_of(I32, rank, size), axis);
}

/* ---- transposed maps ---- */

/* True if an axis always reads one place among several: it is in no dim, so transposing finds nothing to solve for. (With
 * one place, a broadcast, nothing need be solved.) */
static bool axis_is_fixed(const Axis *axis, const Dim *size) {
  return axis->nterms == 0 && axis->divisor == 1 && !(dim_is(size, 1) && dim_is(axis->offset, 0));
}

/* Takes the fixed axes out (`kept` lists the others); afterwards the gradient is put at its place along them. */
static int drop_fixed_axes(Map *map, Type *type, int *kept) {
  int count = 0;
  for (int k = 0; k < type->rank; k++)
    if (!axis_is_fixed(&map->axis[k], type->size[k])) kept[count++] = k;
  for (int k = 0; k < count; k++) {
    map->axis[k] = map->axis[kept[k]];
    type->size[k] = type->size[kept[k]];
  }
  map->naxes = type->rank = count;
  return count;
}

static Id restore_fixed_axes(Backward *b, const Map *map, const Type *type, const int *kept, int count, Id gradient) {
  Module *module = b->graph->module;
  if (count == type->rank) return gradient;
  const Dim *zero = dim_constant(module, 0);
  Space space = {.ndims = type->rank, .nresult = type->rank, .nmaps = 1};
  space.map[0].naxes = type->rank;
  for (int k = 0, next = 0; k < type->rank; k++) {
    space.extent[k] = type->size[k];
    if (next < count && kept[next] == k) {
      space.map[0].axis[k] = axis_of(module, k);
      next++;
    } else {
      gradient = graph_insert_axis(b->graph, gradient, k);
      space.map[0].axis[k] = axis_affine(k, 1, dim_subtract(module, zero, map->axis[k].offset));
    }
  }
  return graph_view(b->graph, gradient, &space, 0);
}

/* The gradient by operand `by` of a view or fold_sum (other is 0), or of a contraction with `other`, given the result's
 * cotangent; 0 if the map is not closed under transposition. */
static Id transposed(Backward *b, const Space *space, int by, const Type *types, Id g, Id other) {
  Space open = *space, back;
  Type open_types[2] = {types[0], other ? types[1] : types[0]};
  int kept[MAX_RANK];
  int count = drop_fixed_axes(&open.map[by], &open_types[by], kept);
  if (!space_transpose(b->graph->module, &open, by, open_types, &back)) return 0;
  Id gradient = other                        ? graph_contract(b->graph, g, other, &back)
                : back.ndims == back.nresult ? graph_view(b->graph, g, &back, 0)
                                             : graph_fold(b->graph, OP_fold_sum, g, &back);
  return restore_fixed_axes(b, &space->map[by], &types[by], kept, count, gradient);
}

static Id view_back(Backward *b, const Space *space, const Type *operand, Id g) {
  Id gradient = transposed(b, space, 0, operand, g, 0);
  if (gradient) return gradient;
  Id dims[MAX_RANK];
  for (int d = 0; d < space->ndims; d++) dims[d] = iota_along(b, space->ndims, space->extent, d);
  return scattered(b, operand, linear_index(b, &space->map[0], operand, dims), g);
}

/* Splits an operand's part of a space in two: `window`, a view that makes one element for each value of the dims that the
 * operand's map reads, and in `space` itself a map that reads that view by bare dims. Gives the view's type. */
static Type split_map(Module *module, Space *space, int operand, Space *window) {
  Map *map = &space->map[operand];
  bool used[MAX_LOOPS] = {false};
  for (int k = 0; k < map->naxes; k++)
    for (int t = 0; t < map->axis[k].nterms; t++) used[map->axis[k].dim[t]] = true;
  *window = (Space){.nmaps = 1, .map = {*map}};
  Map bare = {0};
  int place[MAX_LOOPS];
  Type type = {.dtype = F32};
  for (int d = 0; d < space->ndims; d++) {
    if (!used[d]) continue;
    if (type.rank == MAX_RANK) bug("the gradient of a fold needs a view of more than %d axes", MAX_RANK);
    place[d] = type.rank;
    window->extent[type.rank] = type.size[type.rank] = space->extent[d];
    bare.axis[bare.naxes++] = axis_of(module, d);
    type.rank++;
  }
  window->ndims = window->nresult = type.rank;
  for (int k = 0; k < map->naxes; k++)
    for (int t = 0; t < map->axis[k].nterms; t++) window->map[0].axis[k].dim[t] = place[map->axis[k].dim[t]];
  *map = bare;
  return type;
}

static Id fold_back(Backward *b, const Space *space, int by, const Type *types, Id g, Id other) {
  Id gradient = transposed(b, space, by, types, g, other);
  if (gradient) return gradient;
  Module *module = b->graph->module;
  Space bare = *space, window, other_window;
  Type bare_types[2] = {types[0], other ? types[1] : types[0]};
  bare_types[by] = split_map(module, &bare, by, &window);
  gradient = transposed(b, &bare, by, bare_types, g, other);
  if (!gradient && other) {
    bare_types[1 - by] = split_map(module, &bare, 1 - by, &other_window);
    gradient = transposed(b, &bare, by, bare_types, g, graph_view(b->graph, other, &other_window, 0));
  }
  if (!gradient) bug("a fold over bare dims has no transposition");
  return view_back(b, &window, &types[by], gradient);
}

/* Copies of the operand's type: the graph's nodes move while the formula builds. */
RULE(view) {
  Id x = node->operands[0];
  const Type type = *graph_type(b->graph, x);
  (void)y;
  GIVE(b, x, view_back(b, node->space, &type, g));
}

RULE(fold_sum) {
  Id x = node->operands[0];
  const Type type = *graph_type(b->graph, x);
  (void)y;
  GIVE(b, x, fold_back(b, node->space, 0, &type, g, 0));
}

RULE(contract) {
  Id x = node->operands[0], z = node->operands[1];
  const Type types[2] = {*graph_type(b->graph, x), *graph_type(b->graph, z)};
  (void)y;
  GIVE(b, x, fold_back(b, node->space, 0, types, g, z));
  GIVE(b, z, fold_back(b, node->space, 1, types, g, x));
}

/* ---- the largest and the smallest ---- */

/* The result's elements, repeated over the folded dims. */
static Id over_space(Backward *b, const Space *space, Id value) {
  Space all = {.ndims = space->ndims, .nresult = space->ndims, .nmaps = 1};
  for (int d = 0; d < space->ndims; d++) all.extent[d] = space->extent[d];
  all.map[0].naxes = space->nresult;
  for (int d = 0; d < space->nresult; d++) all.map[0].axis[d] = axis_of(b->graph->module, d);
  return graph_view(b->graph, value, &all, 0);
}

/* Every value of the folded dims asks whether it was the one: one loop, and max-pools with overlap need no atomic add. */
static Id extreme_by_question(Backward *b, const Space *space, const Type *operand, Id found, Id g) {
  Space window = *space;
  window.nresult = space->ndims;
  Id index = graph_number(b->graph, I32, 0);
  for (int d = space->nresult; d < space->ndims; d++) {
    Id own = iota_along(b, space->ndims, space->extent, d);
    index = add(b, mul(b, index, size_of(b, space->extent[d])), own);
  }
  Id cotangent = over_space(b, space, g);
  Id mine = equal(b, over_space(b, space, found), index);
  return view_back(b, &window, operand, where(b, mine, cotangent, number(b, cotangent, 0)));
}

/* The same where the space has too many dims for a tensor: each result says where its element came from. */
static Id extreme_by_place(Backward *b, const Space *space, const Type *operand, Id found, Id g) {
  Id dims[MAX_LOOPS];
  for (int d = 0; d < space->nresult; d++) dims[d] = iota_along(b, space->nresult, space->extent, d);
  for (int d = space->ndims - 1; d >= space->nresult; d--) {
    Id extent = size_of(b, space->extent[d]);
    dims[d] = graph_binary(b->graph, OP_mod, found, extent);
    found = graph_binary(b->graph, OP_floordiv, found, extent);
  }
  return scattered(b, operand, linear_index(b, &space->map[0], operand, dims), g);
}

static Id extreme_back(Backward *b, const Node *node, Op which, Id g) {
  const Space *space = node->space;
  const Type operand = *graph_type(b->graph, node->operands[0]);
  Id found = graph_fold(b->graph, which, node->operands[0], space);
  return space->ndims <= MAX_RANK ? extreme_by_question(b, space, &operand, found, g)
                                  : extreme_by_place(b, space, &operand, found, g);
}

UNARY(fold_max, extreme_back(b, node, OP_argmax, g))
UNARY(fold_min, extreme_back(b, node, OP_argmin, g))

/* ---- movement ---- */

static Id reshape_like(Backward *b, Id g, Id like) {
  const Type type = *graph_type(b->graph, like);
  return graph_reshape(b->graph, g, type.rank, type.size);
}

static Id flip(Backward *b, Id x, int axis) {
  Module *module = b->graph->module;
  const Type type = *graph_type(b->graph, x);
  Space space = {.ndims = type.rank, .nresult = type.rank, .nmaps = 1};
  space.map[0].naxes = type.rank;
  for (int k = 0; k < type.rank; k++) {
    space.extent[k] = type.size[k];
    space.map[0].axis[k] = axis_of(module, k);
  }
  space.map[0].axis[axis] = axis_affine(axis, -1, dim_offset(module, type.size[axis], -1));
  return graph_view(b->graph, x, &space, 0);
}

UNARY(reshape, reshape_like(b, g, x))
UNARY(cumsum, flip(b, graph_cumsum(b->graph, flip(b, g, node->index), node->index), node->index))

RULE(concat) {
  Module *module = b->graph->module;
  const Dim *start = dim_constant(module, 0);
  (void)y;
  for (int i = 0; i < node->noperands; i++) {
    Id part = node->operands[i];
    const Dim *count = graph_type(b->graph, part)->size[node->index];
    GIVE(b, part, graph_slice(b->graph, g, node->index, start, count, 1));
    start = dim_add(module, start, count);
  }
}

/* With one index (for each batch), every element asks whether it was the one: a loop that fuses. This keeps
 * cross-entropy one loop. g lacks the gathered axis, or has the index's axes of size 1 in its place. */
static Id single_gather_back(Backward *b, const Node *node, Id index, const Type *type, Id g) {
  Module *module = b->graph->module;
  int axis = node->index, extra = graph_type(b->graph, index)->rank - node->batch;
  Space of_g = {.ndims = type->rank, .nresult = type->rank, .nmaps = 1};
  for (int k = 0; k < type->rank; k++) of_g.extent[k] = type->size[k];
  Space of_index = of_g;
  Map *map = &of_g.map[0];
  for (int k = 0; k < axis; k++) map->axis[map->naxes++] = axis_of(module, k);
  for (int k = 0; k < extra; k++) map->axis[map->naxes++] = axis_at(dim_constant(module, 0));
  for (int k = axis + 1; k < type->rank; k++) map->axis[map->naxes++] = axis_of(module, k);
  map = &of_index.map[0];
  for (int k = 0; k < node->batch; k++) map->axis[map->naxes++] = axis_of(module, k);
  for (int k = 0; k < extra; k++) map->axis[map->naxes++] = axis_at(dim_constant(module, 0));
  Id wanted = graph_view(b->graph, index, &of_index, 0);
  Id mine = equal(b, iota_along(b, type->rank, type->size, axis), wanted), nothing = zeros(b, *type);
  return where(b, mine, graph_view(b->graph, g, &of_g, 0), nothing);
}

static Id gather_back(Backward *b, const Node *node, Id g) {
  Id index = node->operands[1];
  const Type type = *graph_type(b->graph, node->operands[0]), index_type = *graph_type(b->graph, index);
  bool single = true;
  for (int k = node->batch; k < index_type.rank; k++) single = single && dim_is(index_type.size[k], 1);
  if (single) return single_gather_back(b, node, index, &type, g);
  return graph_scatter(b->graph, zeros(b, type), index, g, node->index, node->batch);
}

UNARY(gather, gather_back(b, node, g))

RULE(scatter) {
  Id base = node->operands[0], index = node->operands[1], values = node->operands[2];
  (void)y;
  GIVE(b, base, g);
  GIVE(b, values, graph_gather(b->graph, g, index, node->index, node->batch));
}

/* ---- the table ---- */

const GradientRule gradient_rules[OP_COUNT] = {
#define OP(name, operands, flags, shape, gradient, ...) [OP_##name] = grad_##gradient,
#include "ir/ops.def"
};

bool gradient_stops(Op op) { return gradient_rules[op] == grad_zero; }
