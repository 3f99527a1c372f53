/* From the graph to a plan of one stage for each value that needs memory.
 *
 * In: a graph without grad nodes, whose contracts read linearly (pass_linear). Out: a plan whose kernels have one stage
 * each, in an order that may be executed; the fuse pass joins them.
 *
 * A value that is a root has a buffer; any other is an expression that its readers compute where they need it. To emit
 * node v at coordinates c (an Axis in the stage's loops for each axis of v): if v is a root, load it at c; an elementwise op
 * emits its operands at c and itself; a view composes its map with c and emits its operand there. Where maps don't compose
 * (more than two loops in an index, a reshape of an expression), some value in between must be a root after all: it is
 * marked, and lowering starts over. Each round marks one more, so this ends.
 *
 * Axes of size 1 have no loop: their index is the constant 0. That makes [N] and [N, 1] the same loops, which is what lets
 * the fuse pass join stages without looking at shapes. */
#include "passes/plan/lowering.h"

#include <math.h>
#include <string.h>

/* ---- coordinates ---- */

/* Loops for the axes of a type that are longer than 1, and each axis's index in them. */
static void loops_of_sizes(Emission *emission, const Dim *const *size, int count, Axis *coordinates) {
  Stage *stage = &emission->stage;
  for (int k = 0; k < count; k++) {
    if (dim_is(size[k], 1)) {
      coordinates[k] = axis_at(dim_constant(emission->lowering->module, 0));
    } else {
      CHECK(stage->nloops < MAX_LOOPS);
      coordinates[k] = axis_of(emission->lowering->module, stage->nloops);
      stage->loops[stage->nloops++] = (Loop){.extent = size[k]};
    }
  }
}

Emission emission_begin(Lowering *lowering, StageKind kind, Id node) {
  Emission emission = {.lowering = lowering, .node = node};
  emission.stage.kind = kind;
  emission.stage.vector = -1;
  emission.stage.tile = (Tile){.vector = -1, .row = -1, .column = -1, .rows = 1, .columns = 1};
  emission.stage.place = graph_node(lowering->graph, node)->place;
  return emission;
}

void emission_kept_loops(Emission *emission, const Dim *const *size, int count, Axis *coordinates) {
  loops_of_sizes(emission, size, count, coordinates);
  emission->stage.nkept = emission->stage.nloops;
}

void emission_folded_loops(Emission *emission, const Dim *const *size, int count, Axis *coordinates) {
  loops_of_sizes(emission, size, count, coordinates);
}

/* ---- whole stages ---- */

static int kernel_number(Lowering *lowering) { return lowering->plan->kernels.count; }

/* Where the kernel comes from: the value's own place, and those of all that is computed on the way to it. */
static void keep_places(const Emission *emission, Kernel *kernel) {
  const Lowering *lowering = emission->lowering;
  const Place *own = graph_node(lowering->graph, emission->node)->place;
  if (own) PUSH(lowering->module->arena, &kernel->places, own);
  for (int k = 0; k < emission->memo.count; k++) {
    Id id = emission->memo.items[k].node;
    const Node *node = graph_node(lowering->graph, id);
    if (lowering->root[id] || op_info[node->op].flags & SOURCE || !node->place) continue;
    PUSH(lowering->module->arena, &kernel->places, node->place);
  }
}

void emission_end(Emission *emission) {
  Lowering *lowering = emission->lowering;
  const Node *node = graph_node(lowering->graph, emission->node);
  if (emission->stage.after == 0) emission->stage.after = emission->stage.scalars.count;
  const char *what = node->name ? node->name : op_info[node->op].name;
  char *name =
      arena_format(lowering->module->arena, "%s_%d_%s", lowering->plan->graph->name, kernel_number(lowering), what);
  Kernel *kernel = plan_kernel(lowering->plan, name, node->place);
  PUSH(lowering->module->arena, &kernel->stages, emission->stage);
  kernel->region = lowering->region;
  kernel->ntasks = leading_loops(&emission->stage);
  for (int k = 0; k < kernel->ntasks; k++) kernel->tasks[k] = emission->stage.loops[k];
  keep_places(emission, kernel);
}

void emission_store(Emission *emission, Id buffer, const Axis *coordinates, int scalar) {
  Plan *plan = emission->lowering->plan;
  Map map = {.naxes = plan->buffers.items[buffer].type.rank};
  memcpy(map.axis, coordinates, (size_t)map.naxes * sizeof *coordinates);
  Store store = {.access = access_of(plan, buffer, &map), .value = (int16_t)scalar};
  PUSH(emission->lowering->module->arena, &emission->stage.stores, store);
}

static Id buffer_for(Lowering *lowering, Id id) {
  const Node *node = graph_node(lowering->graph, id);
  if (!lowering->buffer[id]) {
    lowering->buffer[id] = plan_buffer(lowering->plan, MEMORY_ARENA, node->type, 0, node->name);
  }
  return lowering->buffer[id];
}

static void lower_each(Lowering *lowering, Id id) {
  const Node *node = graph_node(lowering->graph, id);
  Emission emission = emission_begin(lowering, STAGE_EACH, id);
  Axis coordinates[MAX_RANK];
  emission_kept_loops(&emission, node->type.size, node->type.rank, coordinates);
  int value = emit_op(&emission, id, coordinates);
  if (value < 0) return;
  emission_store(&emission, buffer_for(lowering, id), coordinates, value);
  emission_end(&emission);
}

/* One element of a part of emission->node, stored behind where the part begins, along each axis. */
static bool emit_part(Emission *emission, Id part, const Dim *const *start) {
  Lowering *lowering = emission->lowering;
  const Type *type = graph_type(lowering->graph, part);
  Axis coordinates[MAX_RANK];
  emission->stage.nloops = 0; /* those of parts that were emitted before are the same */
  emission_kept_loops(emission, type->size, type->rank, coordinates);
  int value = emit(emission, part, coordinates);
  if (value < 0) return false;
  for (int a = 0; a < type->rank; a++) coordinates[a].offset = dim_add(lowering->module, coordinates[a].offset, start[a]);
  emission_store(emission, buffer_for(lowering, emission->node), coordinates, value);
  return true;
}

/* The parts of `id`, in the stage given or, without one, in one for each. A part that is itself nothing but parts for this
 * has no memory of its own. */
static bool lower_parts(Lowering *lowering, Id id, Id whole, const Dim *const *start, Emission *stage) {
  const Node *node = graph_node(lowering->graph, id);
  const Dim *at[MAX_RANK];
  memcpy(at, start, sizeof at);
  for (int k = 0; k < node->noperands; k++) {
    Id part = node->operands[k];
    if (graph_node(lowering->graph, part)->op == OP_concat && !lowering->root[part]) {
      if (!lower_parts(lowering, part, whole, at, stage)) return false;
    } else if (stage) {
      if (!emit_part(stage, part, at)) return false;
    } else {
      Emission own = emission_begin(lowering, STAGE_EACH, whole);
      if (!emit_part(&own, part, at)) return false;
      emission_end(&own);
    }
    at[node->index] = dim_add(lowering->module, at[node->index], graph_type(lowering->graph, part)->size[node->index]);
  }
  return true;
}

/* The parts of a stack are made at the same point, and share what they are made of: they are one stage. */
static void lower_concat(Lowering *lowering, Id id) {
  const Dim *start[MAX_RANK];
  for (int a = 0; a < MAX_RANK; a++) start[a] = dim_constant(lowering->module, 0);
  if (!is_stack(lowering, id)) {
    lower_parts(lowering, id, id, start, NULL);
    return;
  }
  Emission stage = emission_begin(lowering, STAGE_EACH, id);
  if (lower_parts(lowering, id, id, start, &stage)) emission_end(&stage);
}

/* ---- folds ---- */

static FoldOp folder_of(Op op) {
  switch (op) {
  case OP_fold_max: return FOLDER_MAX;
  case OP_fold_min: return FOLDER_MIN;
  case OP_argmax: return FOLDER_ARGMAX;
  case OP_argmin: return FOLDER_ARGMIN;
  default: return FOLDER_SUM;
  }
}

static double fold_neutral(FoldOp op, Dtype dtype) {
  /* (double): beside a float the other arm would be rounded to one */
  double largest = dtype == F32 ? INFINITY : dtype == BOOL ? 1 : (double)INT32_MAX;
  double smallest = dtype == F32 ? -INFINITY : dtype == BOOL ? 0 : (double)INT32_MIN;
  return op == FOLDER_MAX ? smallest : op == FOLDER_MIN ? largest : 0;
}

/* Dims of a space to the coordinates of its loops, then the operand's coordinates through its map. */
static bool operand_coordinates(Emission *emission, const Space *space, int operand, const Axis *dims, Axis *out) {
  for (int k = 0; k < space->map[operand].naxes; k++) {
    if (!compose_axis(emission->lowering->module, &space->map[operand].axis[k], dims, &out[k])) return false;
  }
  return true;
}

/* A fold over nothing but axes of size 1 is no fold. */
static void finish_trivial_fold(Emission *emission, const Node *node, const Axis *dims, Folder folder) {
  Scalar scalar = {.dtype = node->type.dtype, .a = -1, .b = -1, .c = -1, .op = SCALAR_NUMBER};
  int value = folder.value;
  emission->stage.kind = STAGE_EACH;
  if (folder.op == FOLDER_ARGMAX || folder.op == FOLDER_ARGMIN) {
    value = emission_scalar(emission, scalar);
  } else if (folder.when >= 0) {
    scalar.number = fold_neutral(folder.op, folder.dtype);
    int neutral = emission_scalar(emission, scalar);
    scalar = (Scalar){.op = OP_where, .dtype = folder.dtype, .a = folder.when, .b = folder.value, .c = (int16_t)neutral};
    value = emission_scalar(emission, scalar);
  }
  emission_store(emission, buffer_for(emission->lowering, emission->node), dims, value);
  emission_end(emission);
}

static void finish_fold(Emission *emission, const Node *node, const Axis *dims, Folder folder) {
  Module *module = emission->lowering->module;
  if (emission->stage.nloops == emission->stage.nkept) {
    finish_trivial_fold(emission, node, dims, folder);
    return;
  }
  PUSH(module->arena, &emission->stage.folders, folder);
  emission->stage.after = emission->stage.scalars.count;
  Scalar folded = {.op = SCALAR_FOLDED, .dtype = node->type.dtype, .a = -1, .b = -1, .c = -1, .index = 0};
  int value = emission_scalar(emission, folded);
  emission_store(emission, buffer_for(emission->lowering, emission->node), dims, value);
  emission_end(emission);
}

static void space_loops(Emission *emission, const Space *space, Axis *dims) {
  emission_kept_loops(emission, space->extent, space->nresult, dims);
  emission_folded_loops(emission, space->extent + space->nresult, space->ndims - space->nresult, dims + space->nresult);
}

static void lower_fold(Lowering *lowering, Id id) {
  const Node *node = graph_node(lowering->graph, id);
  const Space *space = node->space;
  const Type *type = graph_type(lowering->graph, node->operands[0]);
  Emission emission = emission_begin(lowering, STAGE_FOLD, id);
  Axis dims[MAX_LOOPS], coordinates[MAX_RANK];
  space_loops(&emission, space, dims);
  if (!operand_coordinates(&emission, space, 0, dims, coordinates)) bug("a fold's own map does not compose");
  Folder folder = {.op = folder_of(node->op), .dtype = type->dtype, .when = -1};
  if (!map_always_inside(lowering->module, space, 0, type)) {
    folder.when = (int16_t)emit_inside(&emission, coordinates, type);
  }
  int value = emit(&emission, node->operands[0], coordinates);
  if (value < 0) return;
  folder.value = (int16_t)value;
  finish_fold(&emission, node, dims, folder);
}

/* A contract's operand must be a plain load; whatever else it is must have a buffer first. */
static int emit_contract_operand(Emission *emission, const Space *space, int operand, Id id, const Axis *dims) {
  Axis coordinates[MAX_RANK];
  int value = -1;
  if (!operand_coordinates(emission, space, operand, dims, coordinates)) bug("a contract's own map does not compose");
  value = emit(emission, id, coordinates);
  if (value < 0) return -1;
  const Scalar *scalar = &emission->stage.scalars.items[value];
  const Dim *base, *strides[MAX_LOOPS];
  bool plain = scalar->op == SCALAR_LOAD &&
               access_strides(emission->lowering->plan, &emission->stage, scalar->access, &base, strides) &&
               access_always_inside(emission->lowering->plan, &emission->stage, scalar->access);
  if (plain) return value;
  if (has_buffer(emission->lowering, id)) return -2;
  emission->lowering->culprit = id;
  return -1;
}

static void lower_contract(Lowering *lowering, Id id) {
  const Node *node = graph_node(lowering->graph, id);
  Emission emission = emission_begin(lowering, STAGE_CONTRACT, id);
  Axis dims[MAX_LOOPS];
  space_loops(&emission, node->space, dims);
  int a = emit_contract_operand(&emission, node->space, 0, node->operands[0], dims);
  if (a == -1) return;
  int b = emit_contract_operand(&emission, node->space, 1, node->operands[1], dims);
  if (b == -1) return;
  if (a < 0 || b < 0) { /* guarded or divided: right, if slow; pass_linear leaves none of these in what it handles */
    emission = emission_begin(lowering, STAGE_FOLD, id);
    space_loops(&emission, node->space, dims);
    Axis left[MAX_RANK], right[MAX_RANK];
    operand_coordinates(&emission, node->space, 0, dims, left);
    operand_coordinates(&emission, node->space, 1, dims, right);
    a = emit(&emission, node->operands[0], left);
    b = emit(&emission, node->operands[1], right);
    if (a < 0 || b < 0) return;
  }
  Scalar product = {.op = OP_mul, .dtype = F32, .a = (int16_t)a, .b = (int16_t)b, .c = -1};
  Folder folder = {.op = FOLDER_SUM, .dtype = F32, .when = -1, .value = (int16_t)emission_scalar(&emission, product)};
  finish_fold(&emission, node, dims, folder);
}

/* ---- scatter, sort, running sums ---- */

static void lower_scatter(Lowering *lowering, Id id) {
  const Node *node = graph_node(lowering->graph, id);
  Axis coordinates[MAX_RANK], at[MAX_RANK], index_at[MAX_RANK];
  Emission copy = emission_begin(lowering, STAGE_EACH, id);
  emission_kept_loops(&copy, node->type.size, node->type.rank, coordinates);
  int base = emit(&copy, node->operands[0], coordinates);
  if (base < 0) return;
  emission_store(&copy, buffer_for(lowering, id), coordinates, base);
  emission_end(&copy);

  const Type *values = graph_type(lowering->graph, node->operands[2]);
  int nindex = graph_type(lowering->graph, node->operands[1])->rank - node->batch;
  Emission adds = emission_begin(lowering, STAGE_SCATTER, id);
  int tail = node->index + nindex; /* values' axes: before, index's, behind */
  emission_kept_loops(&adds, values->size, node->index, coordinates);
  emission_kept_loops(&adds, values->size + tail, values->rank - tail, coordinates + tail);
  emission_folded_loops(&adds, values->size + node->index, nindex, coordinates + node->index);
  for (int k = 0; k < node->batch; k++) index_at[k] = coordinates[k];
  for (int k = 0; k < nindex; k++) index_at[node->batch + k] = coordinates[node->index + k];
  int value = emit(&adds, node->operands[2], coordinates);
  int index = value < 0 ? -1 : emit(&adds, node->operands[1], index_at);
  if (index < 0) return;
  for (int k = 0; k < node->type.rank; k++) {
    at[k] = k < node->index   ? coordinates[k]
            : k > node->index ? coordinates[k + nindex - 1]
                              : axis_at(dim_constant(lowering->module, 0));
  }
  emission_store(&adds, buffer_for(lowering, id), at, value);
  adds.stage.stores.items[0].access.index[node->index] = (int16_t)index;
  emission_end(&adds);
}

static void lower_argsort(Lowering *lowering, Id id) {
  const Node *node = graph_node(lowering->graph, id);
  Axis coordinates[MAX_RANK];
  bool trivial = dim_is(node->type.size[node->type.rank - 1], 1);
  Emission emission = emission_begin(lowering, trivial ? STAGE_EACH : STAGE_SORT, id);
  emission_kept_loops(&emission, node->type.size, node->type.rank, coordinates);
  Scalar zero = {.op = SCALAR_NUMBER, .dtype = I32, .a = -1, .b = -1, .c = -1};
  int key = trivial ? emission_scalar(&emission, zero) : emit(&emission, node->operands[0], coordinates);
  if (key < 0) return;
  emission_store(&emission, buffer_for(lowering, id), coordinates, key);
  emission_end(&emission);
}

static void lower_cumsum(Lowering *lowering, Id id) {
  const Node *node = graph_node(lowering->graph, id);
  int axis = node->index;
  Axis coordinates[MAX_RANK];
  bool trivial = dim_is(node->type.size[axis], 1);
  Emission emission = emission_begin(lowering, trivial ? STAGE_EACH : STAGE_CUMSUM, id);
  emission_kept_loops(&emission, node->type.size, axis, coordinates);
  emission_kept_loops(&emission, node->type.size + axis + 1, node->type.rank - axis - 1, coordinates + axis + 1);
  emission_kept_loops(&emission, node->type.size + axis, 1, coordinates + axis);
  int value = emit(&emission, node->operands[0], coordinates);
  if (value < 0) return;
  emission_store(&emission, buffer_for(lowering, id), coordinates, value);
  emission_end(&emission);
}

/* ---- which op how: the table's `lower` column ---- */

static void lower_none(Lowering *lowering, Id id) {
  bug("%s in a graph that is to be planned", op_info[graph_node(lowering->graph, id)->op].name);
}

#define lower_constant lower_each
#define lower_arg lower_each
#define lower_state lower_each
#define lower_dim lower_each
#define lower_iota lower_each
#define lower_random lower_each
#define lower_unary lower_each
#define lower_cast lower_each
#define lower_binary lower_each
#define lower_where lower_each
#define lower_view lower_each
#define lower_reshape lower_each
#define lower_gather lower_each
#define lower_stop lower_each
#define lower_argfold lower_fold
#define lower_pick lower_each

typedef void (*LowerRule)(Lowering *lowering, Id id);
static const LowerRule lower_rules[OP_COUNT] = {
#define OP(name, operands, flags, shape, gradient, value, lower, meaning) [OP_##name] = lower_##lower,
#include "ir/ops.def"
};

/* ---- the whole entry ---- */

/* A copy of the value, into the caller's array, the state, a loop's carry. Where the value is made for this alone, the fuse
 * pass makes its stage store there directly. */
bool lower_copy(Lowering *lowering, Id value, Id buffer, const Dim *lead) {
  const Node *node = graph_node(lowering->graph, value);
  Emission emission = emission_begin(lowering, STAGE_EACH, value);
  Axis coordinates[MAX_RANK + 1];
  int skip = lead ? 1 : 0;
  if (lead) coordinates[0] = axis_at(lead);
  emission_kept_loops(&emission, node->type.size, node->type.rank, coordinates + skip);
  int scalar = emit(&emission, value, coordinates + skip);
  if (scalar < 0) return false;
  emission_store(&emission, buffer, coordinates, scalar);
  emission_end(&emission);
  return true;
}

static bool lower_results(Lowering *lowering) {
  const Graph *graph = lowering->graph;
  for (int k = 0; k < graph->results.count; k++) {
    const Result *result = &graph->results.items[k];
    const Type *type = graph_type(graph, result->value);
    Id buffer = plan_buffer(lowering->plan, MEMORY_RESULT, *type, k, result->name);
    if (!lower_copy(lowering, result->value, buffer, NULL)) return false;
  }
  return true;
}

static bool lower_finals(Lowering *lowering) {
  const Graph *graph = lowering->graph;
  int first = lowering->plan->kernels.count;
  for (int k = 0; k < graph->finals.count; k++) {
    const Final *final = &graph->finals.items[k];
    const Node *node = graph_node(graph, final->value);
    if (node->op == OP_state && node->index == final->symbol) continue;
    if (!lower_copy(lowering, final->value, state_buffer(lowering, final->symbol), NULL)) return false;
  }
  Id stuck = order_overwriters(lowering->plan, first);
  if (!stuck) return true;
  /* Its value gets memory of its own: then it is made before any state is overwritten. */
  for (int k = 0; k < graph->finals.count; k++) {
    Id value = graph->finals.items[k].value;
    if (state_buffer(lowering, graph->finals.items[k].symbol) == stuck) lowering->culprit = value;
  }
  return false;
}

void start_round(Lowering *lowering) {
  for (Id id = 1; id < lowering->graph->nodes.count; id++) {
    if (lowering->next_root[id]) lowering->root[id] = true;
  }
}

/* True if the last stage could not be made; its culprit is a root from the next round on. */
bool stumbled(Lowering *lowering) {
  Id culprit = lowering->culprit;
  if (!culprit) return false;
  if (culprit != RESTART) {
    if (lowering->root[culprit]) bug("lowering %s makes no progress at %%%d", lowering->graph->name, culprit);
    lowering->next_root[culprit] = true;
  }
  lowering->culprit = RESTART;
  return true;
}

/* Goes on after a stumble, to find all that must be roots in few rounds. */
bool lower_roots(Lowering *lowering) {
  const Graph *graph = lowering->graph;
  bool good = true;
  lowering->buffer = NEW_ARRAY(lowering->module->arena, Id, graph->nodes.count);
  for (Id id = 1; id < graph->nodes.count; id++) {
    const Node *node = graph_node(graph, id);
    lowering->culprit = 0;
    if (!lowering->root[id] || !lowering->live[id]) continue;
    lower_rules[node->op](lowering, id);
    if (!stumbled(lowering)) continue;
    good = false;
    if (node->type.dtype != NONE) buffer_for(lowering, id); /* so that its readers can be tried */
  }
  lowering->culprit = good ? 0 : RESTART;
  return good;
}

Plan *plan_lower(const Graph *graph, bool inlined) {
  Module *module = graph->module;
  Lowering lowering = {.graph = graph, .module = module, .inlined = inlined};
  lowering.bodies = NEW_ARRAY(module->arena, Lowering *, graph->nodes.count);
  choose_roots(&lowering);
  for (;;) {
    lowering.plan = plan_new(graph);
    lowering.states = NEW_ARRAY(module->arena, Id, module->symbols.count);
    lowering.source = NEW_ARRAY(module->arena, Id, graph->nodes.count);
    PUSH(module->arena, &lowering.plan->regions, (Region){.turn = -1});
    start_round(&lowering);
    if (lower_roots(&lowering) && lower_results(&lowering) && lower_finals(&lowering)) return lowering.plan;
    stumbled(&lowering);
  }
}
