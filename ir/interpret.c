/* The interpreter's loop: checks what it was given, runs the nodes that lead to a result or a final in their order, each
 * through the `value` column of ops.def, and gives every value's memory back after its last use.
 *
 * Nothing the caller owns is written before all is computed: states are replaced at the very end. A scan runs its body as a
 * frame of its own, once for each turn. What the ops compute is in interpret_scalar.c (elementwise and sources),
 * interpret_move.c, interpret_fold.c, interpret_contract.c; interpret_read.c reads index maps. */
#include "ir/interpret_parts.h"
#include <string.h>

static ValueFunction *const value_functions[OP_COUNT] = {
#define OP(name, operands, flags, shape, gradient, value, lower, meaning) [OP_##name] = value_##value,
#include "ir/ops.def"
};

/* ---- checks: all of them before anything changes ---- */

static bool check_dims(const Module *module, const Dim *dim, const int64_t *dims, Failure *failure) {
  if (dim->kind == DIM_FLOORDIV)
    return check_dims(module, dim->a, dims, failure) && check_dims(module, dim->b, dims, failure);
  for (int term = 0; dim->kind == DIM_SUM && term < dim->nterms; term++)
    for (int atom = 0; atom < dim->terms[term].natoms; atom++)
      if (!check_dims(module, dim->terms[term].atoms[atom], dims, failure)) return false;
  if (dim->kind != DIM_SYMBOL) return true;
  const DimSymbol *symbol = &module->dims.items[dim->symbol];
  int64_t value = dims[dim->symbol];
  if (value < symbol->low || value > symbol->high)
    return fail(failure, EXIT_INPUT, "%s is %lld, but must be from %lld to %lld", symbol->name, (long long)value,
                (long long)symbol->low, (long long)symbol->high);
  if (symbol->step > 1 && value % symbol->step != 0)
    return fail(failure, EXIT_INPUT, "%s is %lld, but must be a multiple of %lld", symbol->name, (long long)value,
                (long long)symbol->step);
  return true;
}

static bool check_array(const Run *run, const Array *array, const Type *type, const char *what, const char *name,
                        Failure *failure) {
  const Module *module = run->graph->module;
  bool good = array->dtype == type->dtype && array->rank == type->rank;
  for (int axis = 0; good && axis < type->rank; axis++) good = array->size[axis] == dim_value(type->size[axis], run->dims);
  if (good && array->dtype == F32 && array->f64 != run->f64) bug("%s %s is not of the run's precision", what, name);
  if (good) return true;
  Text text = {0};
  type_print(module, type, &text);
  text_add(&text, ", but was given %s[", dtype_name(array->dtype));
  for (int axis = 0; axis < array->rank; axis++) text_add(&text, "%s%lld", axis ? ", " : "", (long long)array->size[axis]);
  fail(failure, EXIT_INPUT, "%s: %s %s is %s]", run->graph->name, what, name, text.bytes);
  text_free(&text);
  return false;
}

static bool check_entry_checks(const Run *run, const Graph *graph, Failure *failure) {
  for (int i = 0; i < graph->checks.count; i++) {
    const EntryCheck *check = &graph->checks.items[i];
    int64_t value = dim_value(check->dim, run->dims);
    if (value >= check->low && value <= check->high) continue;
    return fail(failure, EXIT_INPUT, "%s: %s (it is %lld, and must be from %lld to %lld)", run->graph->name, check->what,
                (long long)value, (long long)check->low, (long long)check->high);
  }
  for (int id = 1; id < graph->nodes.count; id++) {
    const Node *node = &graph->nodes.items[id];
    if (node->op == OP_scan && !check_entry_checks(run, node->scan->body, failure)) return false;
  }
  return true;
}

static bool check_run(const Run *run, Failure *failure) {
  const Graph *graph = run->graph;
  for (int p = 0; p < graph->parameters.count; p++) {
    const Parameter *parameter = &graph->parameters.items[p];
    for (int axis = 0; axis < parameter->type.rank; axis++)
      if (!check_dims(graph->module, parameter->type.size[axis], run->dims, failure)) return false;
    if (!check_array(run, &run->parameters[p], &parameter->type, "parameter", parameter->name, failure)) return false;
  }
  if (!check_entry_checks(run, graph, failure)) return false;
  for (int id = 1; id < graph->nodes.count; id++) {
    const Node *node = &graph->nodes.items[id];
    if (node->op != OP_state) continue;
    const Symbol *symbol = &graph->module->symbols.items[node->index];
    if (!check_array(run, &run->states[node->index], &node->type, "state", symbol->name, failure)) return false;
  }
  return true;
}

/* ---- frames ---- */

/* Users that lead to a result or a final: what leads nowhere is not computed, unless every value is wanted. */
static void count_uses(Frame *frame, bool all) {
  const Graph *graph = frame->graph;
  for (int r = 0; r < graph->results.count; r++) frame->uses[graph->results.items[r].value]++;
  for (int f = 0; f < graph->finals.count; f++) frame->uses[graph->finals.items[f].value]++;
  for (int id = graph->nodes.count - 1; id > 0; id--) {
    const Node *node = graph_node(graph, id);
    if (all) frame->uses[id]++;
    if (frame->uses[id] == 0) continue;
    for (int k = 0; k < node->noperands; k++) frame->uses[node->operands[k]]++;
  }
}

static Frame frame_new(Run *run, Interpreter *interpreter, const Graph *graph, Arena *arena, bool all) {
  int count = graph->nodes.count;
  Frame frame = {.run = run, .interpreter = interpreter, .graph = graph};
  frame.values = NEW_ARRAY(arena, Tensor, count);
  frame.uses = NEW_ARRAY(arena, int, count);
  frame.left = NEW_ARRAY(arena, int, count);
  count_uses(&frame, all);
  for (int id = 1; id < count; id++) tensor_sizes(&frame.values[id], graph_type(graph, id), run->f64, run->dims);
  return frame;
}

static void frame_done_with(Frame *frame, Id id) {
  if (--frame->left[id] == 0) tensor_drop(frame, &frame->values[id]);
}

static void frame_run(Frame *frame) {
  const Graph *graph = frame->graph;
  memcpy(frame->left, frame->uses, (size_t)graph->nodes.count * sizeof *frame->left);
  for (int id = 1; id < graph->nodes.count; id++) {
    if (frame->uses[id] == 0) continue;
    const Node *node = graph_node(graph, id);
    Tensor *few[8], **operands = few, *result = &frame->values[id];
    Block *list = NULL;
    if (node->noperands > COUNT_OF(few)) {
      list = block_new(frame->interpreter, (size_t)node->noperands * sizeof *operands);
      operands = block_data(list);
    }
    for (int k = 0; k < node->noperands; k++) operands[k] = &frame->values[node->operands[k]];
    tensor_dense_strides(result); /* a turn before may have left a view's strides */
    value_functions[node->op](frame, node, operands, result);
    if (frame->run->shake) shake_result(frame, node, operands, result, value_functions[node->op]);
    for (int k = 0; k < node->noperands; k++) frame_done_with(frame, node->operands[k]);
    block_drop(frame->interpreter, list);
  }
}

static void frame_release_results(Frame *frame) {
  for (int r = 0; r < frame->graph->results.count; r++) frame_done_with(frame, frame->graph->results.items[r].value);
}

/* ---- scan ---- */

typedef struct ScanWork {
  const Scan *scan;
  Frame body;
  Tensor *parameters, *carries, *yields;
  Tensor *const *operands;
  int64_t trips;
} ScanWork;

/* The elements of a stacked tensor at one turn. */
static Tensor slice_at(const Tensor *sequence, int64_t turn) {
  Tensor slice = *sequence;
  slice.rank--;
  slice.data += turn * sequence->stride[0] * kind_bytes[sequence->kind];
  for (int axis = 0; axis < slice.rank; axis++) {
    slice.size[axis] = sequence->size[axis + 1];
    slice.stride[axis] = sequence->stride[axis + 1];
  }
  return slice;
}

static void scan_turn(Frame *frame, ScanWork *work, int64_t turn) {
  const Scan *scan = work->scan;
  int32_t turn_number = (int32_t)turn;
  Tensor *parameter = work->parameters;
  *parameter++ = (Tensor){.dtype = I32, .kind = KIND_I32, .data = (char *)&turn_number};
  for (int k = 0; k < scan->ncarry; k++) *parameter++ = work->carries[k];
  for (int k = 0; k < scan->nslice; k++) *parameter++ = slice_at(work->operands[scan->ncarry + k], turn);
  for (int k = 0; k < scan->ncapture; k++) *parameter++ = *work->operands[scan->ncarry + scan->nslice + k];
  frame_run(&work->body);
  const Graph *body = scan->body;
  for (int k = 0; k < scan->nyield; k++) {
    const Tensor *from = &work->body.values[body->results.items[scan->ncarry + k].value];
    Tensor to = slice_at(&work->yields[k], turn);
    copy_strided(kind_bytes[to.kind], to.rank, to.size, to.data, to.stride, from->data, from->stride);
  }
  /* all new carries are taken before an old one is dropped: they may be one another */
  for (int k = 0; k < scan->ncarry; k++) work->parameters[1 + k] = work->body.values[body->results.items[k].value];
  for (int k = 0; k < scan->ncarry; k++) {
    Tensor *carry = &work->parameters[1 + k];
    if (carry->data == (char *)&turn_number) {
      Tensor kept = *carry; /* the turn itself is carried on: it needs memory that outlives this turn */
      tensor_allocate(frame, &kept);
      memcpy(kept.data, carry->data, sizeof turn_number);
      *carry = kept;
    } else {
      block_use(carry->block);
    }
  }
  for (int k = 0; k < scan->ncarry; k++) {
    tensor_drop(frame, &work->carries[k]);
    work->carries[k] = work->parameters[1 + k];
  }
  frame_release_results(&work->body);
}

void value_scan(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  const Scan *scan = node->scan;
  Arena *arena = arena_new();
  ScanWork work = {.scan = scan, .operands = operands, .trips = dim_value(scan->trips, frame->run->dims)};
  int nparts = scan->ncarry + scan->nyield;
  Block *parts = block_new(frame->interpreter, (size_t)MAX(nparts, 1) * sizeof(Tensor));
  result->block = parts;
  result->parts = block_data(parts);
  result->nparts = nparts;
  work.carries = result->parts;
  work.yields = result->parts + scan->ncarry;
  work.parameters = NEW_ARRAY(arena, Tensor, 1 + scan->ncarry + scan->nslice + scan->ncapture);
  work.body = frame_new(frame->run, frame->interpreter, scan->body, arena, false);
  work.body.parameters = work.parameters;
  CHECK(scan->body->results.count == nparts);
  for (int k = 0; k < scan->ncarry; k++) {
    work.carries[k] = *operands[k];
    block_use(work.carries[k].block);
  }
  for (int k = 0; k < scan->nyield; k++) {
    Tensor *yield = &work.yields[k];
    const Type *type = graph_type(scan->body, scan->body->results.items[scan->ncarry + k].value);
    tensor_sizes(yield, type, frame->run->f64, frame->run->dims);
    CHECK(yield->rank < MAX_RANK);
    memmove(yield->size + 1, yield->size, (size_t)yield->rank * sizeof *yield->size);
    yield->size[0] = work.trips;
    yield->rank++;
    tensor_dense_strides(yield);
    tensor_allocate(frame, yield);
  }
  for (int64_t trip = 0; trip < work.trips; trip++) scan_turn(frame, &work, scan->reverse ? work.trips - 1 - trip : trip);
  arena_free(arena);
}

void value_pick(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  (void)frame;
  CHECK(node->index < operands[0]->nparts);
  const Tensor *part = &operands[0]->parts[node->index];
  tensor_alias(result, part);
  memcpy(result->stride, part->stride, sizeof result->stride);
}

void value_none(Frame *frame, const Node *node, Tensor *const *operands, Tensor *result) {
  (void)frame, (void)operands, (void)result;
  bug("the interpreter met a %s node, which pass grad should have expanded", op_info[node->op].name);
}

/* ---- an entry ---- */

/* A value as the caller sees it, copied into the arena. */
static Array copy_out(Frame *frame, Id id) {
  const Tensor *tensor = &frame->values[id];
  Array array = array_new(frame->run->arena, tensor->dtype, tensor->kind == KIND_F64, tensor->rank, tensor->size);
  Tensor to = tensor_of_array(&array);
  copy_strided(kind_bytes[to.kind], to.rank, to.size, to.data, to.stride, tensor->data, tensor->stride);
  return array;
}

/* The same in the interpreter's memory: the value's own block where nobody else has it, so that a step of training copies no
 * weights. Memory that the caller owns is never handed back to him, nor one block as two states, which he may write. */
static Array keep_out(Frame *frame, Id id, Blocks *blocks) {
  Tensor tensor = frame->values[id];
  bool own = tensor.block && tensor_is_dense(&tensor) && tensor.data == (char *)block_data(tensor.block) &&
             !block_is_kept(tensor.block);
  Tensor kept = tensor;
  if (own) {
    block_use(kept.block);
  } else {
    tensor_dense_strides(&kept);
    tensor_allocate(frame, &kept);
    copy_strided(kind_bytes[kept.kind], kept.rank, kept.size, kept.data, kept.stride, tensor.data, tensor.stride);
  }
  blocks_keep(blocks, kept.block);
  Array array = {.dtype = kept.dtype, .f64 = kept.kind == KIND_F64, .rank = kept.rank, .data = kept.data};
  memcpy(array.size, kept.size, sizeof array.size);
  return array;
}

static void hand_out(Frame *frame, bool own, Arena *arena) {
  Run *run = frame->run;
  const Graph *graph = frame->graph;
  Interpreter *interpreter = frame->interpreter;
  Array *finals =
      NEW_ARRAY(arena, Array, MAX(graph->finals.count, 1)); /* all are read before one is replaced: a, b := b, a */
  for (int f = 0; f < graph->finals.count; f++) {
    Id value = graph->finals.items[f].value;
    finals[f] = own ? copy_out(frame, value) : keep_out(frame, value, &interpreter->states);
  }
  for (int r = 0; r < graph->results.count; r++) {
    Id value = graph->results.items[r].value;
    run->results[r] = own ? copy_out(frame, value) : keep_out(frame, value, &interpreter->results);
  }
  for (int id = 1; run->values && id < graph->nodes.count; id++)
    run->values[id] = graph_type(graph, id)->dtype == NONE ? (Array){0} : copy_out(frame, id);
  for (int f = 0; f < graph->finals.count; f++) {
    Array *state = &run->states[graph->finals.items[f].symbol];
    if (!own) blocks_give_back(interpreter, &interpreter->states, state->data);
    *state = finals[f];
  }
  for (int id = 1; id < graph->nodes.count; id++)
    if (frame->left[id] > 0) tensor_drop(frame, &frame->values[id]);
}

bool interpret(Run *run, Failure *failure) {
  if (!check_run(run, failure)) return false;
  const Graph *graph = run->graph;
  bool own = run->interpreter == NULL;
  Interpreter *interpreter = own ? interpreter_new() : run->interpreter;
  while (interpreter->results.count > 0)
    blocks_give_back(interpreter, &interpreter->results, block_data(interpreter->results.items[0]));
  Arena *arena = arena_new();
  Frame frame = frame_new(run, interpreter, graph, arena, run->values != NULL);
  Tensor *parameters = NEW_ARRAY(arena, Tensor, MAX(graph->parameters.count, 1));
  for (int p = 0; p < graph->parameters.count; p++) parameters[p] = tensor_of_array(&run->parameters[p]);
  frame.parameters = parameters;
  frame_run(&frame);
  hand_out(&frame, own, arena);
  arena_free(arena);
  if (own) interpreter_free(interpreter);
  return true;
}
