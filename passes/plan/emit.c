/* Expressions: a node at given coordinates as scalars of a stage. See lower.c for the idea. */
#include "passes/plan/lowering.h"

#include <string.h>

/* ---- coordinates ---- */

/* Adds coefficient * loop to an index; loops that cancel out leave no term. */
static bool add_term(Axis *axis, int loop, int64_t coefficient) {
  for (int k = 0; k < axis->nterms; k++) {
    if (axis->dim[k] != loop) continue;
    axis->coefficient[k] += coefficient;
    if (axis->coefficient[k] == 0) {
      axis->nterms--;
      axis->dim[k] = axis->dim[axis->nterms];
      axis->coefficient[k] = axis->coefficient[axis->nterms];
    }
    return true;
  }
  if (axis->nterms == 2) return false;
  axis->dim[axis->nterms] = loop;
  axis->coefficient[axis->nterms++] = coefficient;
  return true;
}

bool compose_axis(Module *module, const Axis *axis, const Axis *dims, Axis *composed) {
  *composed = (Axis){.nterms = 0, .offset = axis->offset, .divisor = axis->divisor};
  for (int k = 0; k < axis->nterms; k++) {
    const Axis *dim = &dims[axis->dim[k]];
    int64_t coefficient = axis->coefficient[k];
    const Dim *scale = dim_constant(module, coefficient);
    if (dim->divisor != 1) {
      /* ((t + o) / q + offset): exact where the inner division is; anything more would divide twice */
      if (axis->nterms != 1 || coefficient != 1 || axis->divisor != 1) return false;
      composed->divisor = dim->divisor;
      composed->offset = dim_multiply(module, composed->offset, dim_constant(module, dim->divisor));
    }
    composed->offset = dim_add(module, composed->offset, dim_multiply(module, scale, dim->offset));
    for (int t = 0; t < dim->nterms; t++) {
      if (!add_term(composed, dim->dim[t], coefficient * dim->coefficient[t])) return false;
    }
  }
  return true;
}

/* ---- scalars ---- */

int emission_scalar(Emission *emission, Scalar scalar) {
  return stage_scalar(emission->lowering->plan, &emission->stage, scalar);
}

static Access *new_access(Emission *emission, Id buffer, const Type *as, const Axis *coordinates) {
  Access *access = NEW(emission->lowering->module->arena, Access);
  access->buffer = buffer;
  access->as = *as;
  access->map.naxes = as->rank;
  for (int k = 0; k < as->rank; k++) access->map.axis[k] = coordinates[k];
  for (int k = 0; k < MAX_RANK; k++) access->index[k] = -1;
  return access;
}

static Scalar plain(int op, Dtype dtype) { return (Scalar){.op = (int16_t)op, .dtype = dtype, .a = -1, .b = -1, .c = -1}; }

int emit_inside(Emission *emission, const Axis *coordinates, const Type *type) {
  Scalar scalar = plain(SCALAR_INSIDE, BOOL);
  scalar.access = new_access(emission, 0, type, coordinates);
  return emission_scalar(emission, scalar);
}

static int emit_number(Emission *emission, Dtype dtype, double number) {
  Scalar scalar = plain(SCALAR_NUMBER, dtype);
  scalar.number = number;
  return emission_scalar(emission, scalar);
}

/* The buffer of a value that has memory without being a root. */
Id source_of(Lowering *lowering, Id id) {
  const Node *node = graph_node(lowering->graph, id);
  if (lowering->source[id]) return lowering->source[id];
  Id buffer = 0;
  if (node->op == OP_state) buffer = state_buffer(lowering, node->index);
  if (node->op == OP_arg) {
    const char *name = lowering->graph->parameters.items[node->index].name;
    buffer = plan_buffer(lowering->plan, MEMORY_ARG, node->type, node->index, name);
  }
  if (node->op == OP_constant && node->array) {
    buffer = plan_buffer(lowering->plan, MEMORY_CONSTANT, node->type, 0, node->name);
    lowering->plan->buffers.items[buffer].array = node->array;
  }
  if (!buffer) bug("%%%d has no buffer", id);
  lowering->source[id] = buffer;
  return buffer;
}

/* Where a value that has memory lies, at coordinates under the sizes `as`. A scan's sequence is read at its turn. */
static Access *access_for(Emission *emission, Id id, const Type *as, const Axis *coordinates, int *lead) {
  Lowering *lowering = emission->lowering;
  const Node *node = graph_node(lowering->graph, id);
  *lead = 0;
  if (lowering->root[id]) return new_access(emission, lowering->buffer[id], as, coordinates);
  Id buffer = source_of(lowering, id);
  bool slice = node->op == OP_arg && node->index >= lowering->first_slice && node->index < lowering->end_slice;
  if (!slice) return new_access(emission, buffer, as, coordinates);
  Type whole = *as;
  Axis at[MAX_RANK];
  CHECK(as->rank < MAX_RANK);
  whole.rank++;
  whole.size[0] = lowering->plan->buffers.items[buffer].type.size[0];
  at[0] = axis_at(dim_symbol(lowering->module, lowering->turn));
  for (int k = 0; k < as->rank; k++) {
    whole.size[k + 1] = as->size[k];
    at[k + 1] = coordinates[k];
  }
  *lead = 1;
  return new_access(emission, buffer, &whole, at);
}

static int emit_load_of(Emission *emission, Id id, const Type *as, const Axis *coordinates, double absent) {
  Scalar scalar = plain(SCALAR_LOAD, as->dtype);
  int lead;
  scalar.access = access_for(emission, id, as, coordinates, &lead);
  scalar.number = absent;
  return emission_scalar(emission, scalar);
}

/* The counter of the loop whose body this is: parameter 0. */
static bool is_turn(const Lowering *lowering, const Node *node) {
  return lowering->region > 0 && node->op == OP_arg && node->index == 0;
}

bool has_buffer(const Lowering *lowering, Id id) {
  const Node *node = graph_node(lowering->graph, id);
  if (lowering->root[id]) return true;
  if (is_turn(lowering, node)) return false;
  return node->op == OP_state || node->op == OP_arg || node->op == OP_pick || (node->op == OP_constant && node->array);
}

static int needs_root(Emission *emission, Id id) {
  emission->lowering->culprit = id;
  return -1;
}

/* ---- rules, by op ---- */

static int emit_operands(Emission *emission, Id id, const Axis *coordinates) {
  const Node *node = graph_node(emission->lowering->graph, id);
  Scalar scalar = plain(node->op, node->type.dtype);
  int16_t *slot[3] = {&scalar.a, &scalar.b, &scalar.c};
  for (int k = 0; k < node->noperands; k++) {
    int value = emit(emission, node->operands[k], coordinates);
    if (value < 0) return -1;
    *slot[k] = (int16_t)value;
  }
  return emission_scalar(emission, scalar);
}

static int emit_view(Emission *emission, Id id, const Axis *coordinates) {
  Lowering *lowering = emission->lowering;
  const Node *node = graph_node(lowering->graph, id);
  Id operand = node->operands[0];
  const Type *type = graph_type(lowering->graph, operand);
  Axis composed[MAX_RANK];
  for (int k = 0; k < type->rank; k++) {
    if (!compose_axis(lowering->module, &node->space->map[0].axis[k], coordinates, &composed[k])) {
      return needs_root(emission, id);
    }
  }
  bool inside = map_always_inside(lowering->module, node->space, 0, type);
  if (has_buffer(lowering, operand)) { return emit_load_of(emission, operand, type, composed, inside ? 0 : node->number); }
  int value = emit(emission, operand, composed);
  if (value < 0 || inside) return value;
  Scalar choice = plain(OP_where, node->type.dtype);
  choice.a = (int16_t)emit_inside(emission, composed, type);
  choice.b = (int16_t)value;
  choice.c = (int16_t)emit_number(emission, node->type.dtype, node->number);
  return emission_scalar(emission, choice);
}

/* True if the two types differ in axes of size 1 alone; then axis k of `from` is axis same[k] of `to` (-1: of size 1). */
static bool same_but_units(const Type *from, const Type *to, int *same) {
  int j = 0;
  for (int k = 0; k < from->rank; k++) {
    if (dim_is(from->size[k], 1)) {
      same[k] = -1;
      continue;
    }
    while (j < to->rank && dim_is(to->size[j], 1)) j++;
    if (j == to->rank || to->size[j] != from->size[k]) return false;
    same[k] = j++;
  }
  while (j < to->rank && dim_is(to->size[j], 1)) j++;
  return j == to->rank;
}

static int emit_reshape(Emission *emission, Id id, const Axis *coordinates) {
  Lowering *lowering = emission->lowering;
  const Node *node = graph_node(lowering->graph, id);
  Id operand = node->operands[0];
  const Type *from = graph_type(lowering->graph, operand);
  int same[MAX_RANK];
  if (same_but_units(from, &node->type, same)) {
    Axis inner[MAX_RANK];
    for (int k = 0; k < from->rank; k++) {
      inner[k] = same[k] >= 0 ? coordinates[same[k]] : axis_at(dim_constant(lowering->module, 0));
    }
    return emit(emission, operand, inner);
  }
  if (!has_buffer(lowering, operand)) return needs_root(emission, operand);
  return emit_load_of(emission, operand, &node->type, coordinates, 0);
}

static int emit_gather(Emission *emission, Id id, const Axis *coordinates) {
  Lowering *lowering = emission->lowering;
  const Node *node = graph_node(lowering->graph, id);
  Id table = node->operands[0], index = node->operands[1];
  const Type *type = graph_type(lowering->graph, table);
  int nindex = graph_type(lowering->graph, index)->rank - node->batch;
  Axis at[MAX_RANK], index_at[MAX_RANK];
  if (!has_buffer(lowering, table)) return needs_root(emission, table);
  for (int k = 0; k < node->batch; k++) index_at[k] = coordinates[k];
  for (int k = 0; k < nindex; k++) index_at[node->batch + k] = coordinates[node->index + k];
  for (int k = 0; k < type->rank; k++) {
    at[k] = k < node->index   ? coordinates[k]
            : k > node->index ? coordinates[k + nindex - 1]
                              : axis_at(dim_constant(lowering->module, 0));
  }
  int which = emit(emission, index, index_at);
  if (which < 0) return -1;
  Scalar load = plain(SCALAR_LOAD, type->dtype);
  int lead;
  load.access = access_for(emission, table, type, at, &lead);
  load.access->index[node->index + lead] = (int16_t)which;
  return emission_scalar(emission, load);
}

/* The keys, element by element, folded into the stream, then one draw for the element's row-major index. */
static int emit_random(Emission *emission, Id id, const Axis *coordinates) {
  Lowering *lowering = emission->lowering;
  const Node *node = graph_node(lowering->graph, id);
  int key = -1;
  for (int k = 0; k < node->noperands; k++) {
    const Type *type = graph_type(lowering->graph, node->operands[k]);
    int64_t count = 1;
    if (type->rank > 1 || (type->rank == 1 && !dim_is_constant(type->size[0], &count))) bug("a key of %%%d is no list", id);
    for (int64_t element = 0; element < count; element++) {
      Axis at[MAX_RANK] = {axis_at(dim_constant(lowering->module, element))};
      int part = emit(emission, node->operands[k], at);
      if (part < 0) return -1;
      Scalar fold = plain(SCALAR_KEY, I32);
      fold.a = (int16_t)key;
      fold.b = (int16_t)part;
      if (key < 0) fold.number = node->stream;
      key = emission_scalar(emission, fold);
    }
  }
  if (key < 0) key = emit_number(emission, I32, (int32_t)node->stream);
  Scalar draw = plain(SCALAR_RANDOM, F32);
  draw.a = (int16_t)key;
  draw.access = new_access(emission, 0, &node->type, coordinates);
  return emission_scalar(emission, draw);
}

static int emit_source(Emission *emission, Id id, const Axis *coordinates) {
  const Node *node = graph_node(emission->lowering->graph, id);
  if (node->op == OP_constant && !node->array) return emit_number(emission, node->type.dtype, node->number);
  if (node->op == OP_dim) {
    Scalar size = plain(SCALAR_SIZE, I32);
    size.dim = node->dim;
    return emission_scalar(emission, size);
  }
  if (node->op == OP_iota) {
    Type one = type_of(I32, 1, &node->type.size[node->index]);
    Scalar index = plain(SCALAR_INDEX, I32);
    index.access = new_access(emission, 0, &one, &coordinates[node->index]);
    return emission_scalar(emission, index);
  }
  if (is_turn(emission->lowering, node)) {
    Scalar turn = plain(SCALAR_SIZE, I32);
    turn.dim = dim_symbol(emission->lowering->module, emission->lowering->turn);
    return emission_scalar(emission, turn);
  }
  bool root = emission->lowering->root[id]; /* computing a root from where it lies: not from its own buffer */
  emission->lowering->root[id] = false;
  int value = emit_load_of(emission, id, &node->type, coordinates, 0);
  emission->lowering->root[id] = root;
  return value;
}

int emit_op(Emission *emission, Id id, const Axis *coordinates) {
  const Node *node = graph_node(emission->lowering->graph, id);
  switch (node->op) {
  case OP_view: return emit_view(emission, id, coordinates);
  case OP_reshape: return emit_reshape(emission, id, coordinates);
  case OP_gather: return emit_gather(emission, id, coordinates);
  case OP_random: return emit_random(emission, id, coordinates);
  case OP_stop: return emit(emission, node->operands[0], coordinates);
  case OP_constant:
  case OP_dim:
  case OP_iota:
  case OP_arg:
  case OP_state:
  case OP_pick: return emit_source(emission, id, coordinates);
  default: break;
  }
  if (op_info[node->op].flags & (FOLD | PAIR) || node->op == OP_concat || node->op == OP_scatter ||
      node->op == OP_argsort || node->op == OP_cumsum) {
    return needs_root(emission, id);
  }
  return emit_operands(emission, id, coordinates);
}

static bool same_coordinates(const Axis *a, const Axis *b, int rank) {
  for (int k = 0; k < rank; k++) {
    if (!axis_equal(&a[k], &b[k])) return false;
  }
  return true;
}

int emit(Emission *emission, Id id, const Axis *coordinates) {
  Lowering *lowering = emission->lowering;
  const Type *type = graph_type(lowering->graph, id);
  for (int k = 0; k < emission->memo.count; k++) {
    const Memo *memo = &emission->memo.items[k];
    if (memo->node == id && same_coordinates(memo->coordinates, coordinates, type->rank)) return memo->scalar;
  }
  Memo memo = {.node = id};
  if (lowering->root[id]) {
    memo.scalar = emit_load_of(emission, id, type, coordinates, 0);
  } else {
    memo.scalar = emit_op(emission, id, coordinates);
  }
  if (memo.scalar < 0) return -1;
  memcpy(memo.coordinates, coordinates, (size_t)type->rank * sizeof *coordinates);
  PUSH(lowering->module->arena, &emission->memo, memo);
  return memo.scalar;
}
