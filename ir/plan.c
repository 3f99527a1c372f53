/* Making a plan and asking it: buffers, kernels, stages and their scalars are added here; sizes of locals, counts of
 * tasks, and how an access walks through memory are answered here. The order of things is the caller's; plan_verify says
 * what is legal. All memory is the module's arena's. */
#include "ir/plan.h"

#include <string.h>

/* ---- making ---- */

Plan *plan_new(const Graph *graph) {
  Arena *arena = graph->module->arena;
  Plan *plan = NEW(arena, Plan);
  plan->module = graph->module;
  plan->graph = graph;
  PUSH(arena, &plan->buffers, ((Buffer){.memory = MEMORY_ARENA}));
  return plan;
}

Id plan_buffer(Plan *plan, Memory memory, Type type, int index, const char *name) {
  Buffer buffer = {.memory = memory, .type = type, .index = index, .name = name};
  PUSH(plan->module->arena, &plan->buffers, buffer);
  return plan->buffers.count - 1;
}

static bool kernel_name_is_taken(const Plan *plan, const char *name) {
  for (int k = 0; k < plan->kernels.count; k++) {
    if (plan->kernels.items[k].name == name) return true;
  }
  return false;
}

const char *plan_kernel_name(const Plan *plan, const char *name) {
  const char *own = intern(name);
  for (int k = 2; kernel_name_is_taken(plan, own); k++) own = intern(arena_format(plan->module->arena, "%s_%d", name, k));
  return own;
}

Kernel *plan_kernel(Plan *plan, const char *name, const Place *place) {
  Arena *arena = plan->module->arena;
  Kernel kernel = {.name = plan_kernel_name(plan, name), .place = place};
  PUSH(arena, &plan->kernels, kernel);
  return &plan->kernels.items[plan->kernels.count - 1];
}

Stage *kernel_stage(Plan *plan, Kernel *kernel, StageKind kind, const Place *place) {
  Stage stage = {.kind = kind, .nloops = kernel->ntasks, .nkept = kernel->ntasks, .vector = -1, .place = place};
  stage.tile = (Tile){.vector = -1, .row = -1, .column = -1};
  memcpy(stage.loops, kernel->tasks, sizeof stage.loops);
  PUSH(plan->module->arena, &kernel->stages, stage);
  return &kernel->stages.items[kernel->stages.count - 1];
}

Access access_of(Plan *plan, Id buffer, const Map *map) {
  Access access = {.buffer = buffer, .as = plan->buffers.items[buffer].type, .map = *map};
  for (int k = 0; k < MAX_RANK; k++) access.index[k] = -1;
  return access;
}

int plan_loop_end(const Plan *plan, int loop) {
  int depth = 0;
  for (int k = loop; k < plan->launches.count; k++) {
    if (plan->launches.items[k].kind == LAUNCH_LOOP) depth++;
    if (plan->launches.items[k].kind == LAUNCH_END && --depth == 0) return k;
  }
  bug("a loop of plan %s has no end", plan->graph->name);
}

/* ---- scalars ---- */

int scalar_operands(int op) {
  switch (op) {
  case SCALAR_LOAD:
  case SCALAR_NUMBER:
  case SCALAR_SIZE:
  case SCALAR_INDEX:
  case SCALAR_INSIDE:
  case SCALAR_FOLDED: return 0;
  case SCALAR_RANDOM: return 1;
  case SCALAR_KEY: return 2;
  default: break;
  }
  bool elementwise = op >= OP_neg && op <= OP_where;
  return elementwise ? op_info[op].operands : -1;
}

bool scalar_has_access(int op) {
  return op == SCALAR_LOAD || op == SCALAR_INDEX || op == SCALAR_INSIDE || op == SCALAR_RANDOM;
}

bool access_moves_along(const Access *access, int loop) {
  for (int k = 0; k < access->map.naxes; k++) {
    const Axis *axis = &access->map.axis[k];
    for (int term = 0; access->index[k] < 0 && term < axis->nterms; term++)
      if (axis->dim[term] == loop) return true;
  }
  return false;
}

bool access_equal(const Access *a, const Access *b) {
  if (a->buffer != b->buffer || !type_equal(&a->as, &b->as) || a->map.naxes != b->map.naxes) return false;
  for (int k = 0; k < a->map.naxes; k++) {
    if (a->index[k] != b->index[k]) return false;
    if (a->index[k] < 0 && !axis_equal(&a->map.axis[k], &b->map.axis[k])) return false;
  }
  return true;
}

/* By bits, so that a NaN equals itself and 0 differs from -0. */
static bool same_number(double a, double b) { return memcmp(&a, &b, sizeof a) == 0; }

static bool scalar_equal(const Scalar *a, const Scalar *b) {
  if (a->op != b->op || a->dtype != b->dtype || a->a != b->a || a->b != b->b || a->c != b->c) return false;
  if (a->index != b->index || !same_number(a->number, b->number) || a->dim != b->dim) return false;
  return !a->access == !b->access && (!a->access || access_equal(a->access, b->access));
}

/* What the op doesn't use is set to nothing, so that equal scalars compare as equal. */
static Scalar scalar_normal(Arena *arena, const Scalar *scalar) {
  int operands = scalar_operands(scalar->op);
  if (operands < 0) bug("scalar op %d is not elementwise", scalar->op);
  Scalar own = {.op = scalar->op, .dtype = scalar->dtype, .a = -1, .b = -1, .c = -1};
  if (operands > 0) own.a = scalar->a;
  if (operands > 1) own.b = scalar->b;
  if (operands > 2) own.c = scalar->c;
  if (own.op == SCALAR_FOLDED) own.index = scalar->index;
  if (own.op == SCALAR_SIZE) own.dim = scalar->dim;
  bool numbered = own.op == SCALAR_LOAD || own.op == SCALAR_NUMBER || (own.op == SCALAR_KEY && own.a < 0);
  if (numbered) own.number = scalar->number;
  if (scalar_has_access(own.op)) own.access = arena_copy(arena, scalar->access, sizeof *scalar->access);
  return own;
}

int stage_scalar(Plan *plan, Stage *stage, Scalar scalar) {
  Scalar own = scalar_normal(plan->module->arena, &scalar);
  /* once `after` is set, scalars before it vary with the folded loops and are out of reach */
  for (int k = stage->after; k < stage->scalars.count; k++) {
    if (scalar_equal(&stage->scalars.items[k], &own)) return k;
  }
  CHECK(stage->scalars.count < INT16_MAX);
  PUSH(plan->module->arena, &stage->scalars, own);
  return stage->scalars.count - 1;
}

/* ---- sizes ---- */

int64_t plan_element_bytes(Dtype dtype) { return dtype == BOOL ? 1 : 4; }

/* Size of axis k in a LOCAL's storage, as a Dim. */
static const Dim *local_size(const Plan *plan, const Buffer *buffer, const Type *as, int k) {
  const Kernel *kernel = &plan->kernels.items[buffer->index];
  return k < kernel->ntasks ? dim_constant(plan->module, kernel->tasks[k].tile) : as->size[k];
}

int64_t buffer_tile_bytes(const Plan *plan, Id local) {
  const Buffer *buffer = &plan->buffers.items[local];
  int64_t bytes = plan_element_bytes(buffer->type.dtype);
  for (int k = 0; k < buffer->type.rank; k++) {
    if (!multiply_checked(bytes, MAX(local_size(plan, buffer, &buffer->type, k)->high, 0), &bytes)) {
      bug("local %%%d is too large", local);
    }
  }
  return round_up(bytes, 64);
}

int64_t kernel_local_bytes(const Plan *plan, int kernel) { return kernel_place_locals(plan, kernel, NULL); }

const Dim *kernel_task_count(const Plan *plan, int kernel) {
  const Kernel *own = &plan->kernels.items[kernel];
  Module *module = plan->module;
  const Dim *count = dim_constant(module, 1);
  for (int k = 0; k < own->ntasks && count; k++) {
    const Dim *whole = dim_offset(module, own->tasks[k].extent, own->tasks[k].tile - 1);
    const Dim *tiles = whole ? dim_floordiv(module, whole, dim_constant(module, own->tasks[k].tile)) : NULL;
    count = tiles ? dim_multiply(module, count, tiles) : NULL;
  }
  if (!count) bug("%s has more tasks than 64 bits count", own->name);
  return count;
}

const Dim *buffer_bytes(const Plan *plan, const Type *type) {
  Module *module = plan->module;
  const Dim *bytes = dim_multiply(module, type_count(module, type), dim_constant(module, plan_element_bytes(type->dtype)));
  const Dim *upward = bytes ? dim_offset(module, bytes, 63) : NULL;
  const Dim *lines = upward ? dim_floordiv(module, upward, dim_constant(module, 64)) : NULL;
  return lines ? dim_multiply(module, lines, dim_constant(module, 64)) : NULL;
}

/* ---- tiles ---- */

void tile_avoid_rest(int64_t rows, int64_t columns, int *tile_rows, int *tile_columns) {
  enum { ENOUGH = 12 };
  int best_rows = *tile_rows, best_columns = *tile_columns, most = -1;
  for (int r = 1; r <= *tile_rows; r++) {
    for (int c = 1; c <= *tile_columns; c++) {
      bool whole_rows = rows < 0 ? r == *tile_rows : rows % r == 0;
      bool whole_columns = columns < 0 ? c == *tile_columns : columns % c == 0;
      bool all = (rows < 0 || r == rows) && (columns < 0 || c == columns); /* one tile is all: as many as there are */
      bool busy = r * c >= ENOUGH && 3 * (r + c) <= 2 * r * c;
      if (!whole_rows || !whole_columns || !(busy || all) || r * c <= most) continue;
      best_rows = r, best_columns = c, most = r * c;
    }
  }
  *tile_rows = best_rows;
  *tile_columns = best_columns;
}

/* ---- accesses ---- */

bool access_always_inside(const Plan *plan, const Stage *stage, const Access *access) {
  Space space = {.ndims = stage->nloops, .nresult = stage->nkept};
  for (int k = 0; k < stage->nloops; k++) space.extent[k] = stage->loops[k].extent;
  for (int k = 0; k < access->map.naxes; k++) {
    if (access->index[k] >= 0) return false;
    if (!axis_always_inside(plan->module, &space, &access->map.axis[k], access->as.size[k])) return false;
  }
  return true;
}

/* A LOCAL's task axes count from the task's start: only the bare task loop may stand there, and nowhere else. */
static bool local_axis_fits(const Plan *plan, const Buffer *buffer, const Axis *axis, int k) {
  int ntasks = plan->kernels.items[buffer->index].ntasks;
  if (k < ntasks) return axis_is_bare(axis, k);
  for (int term = 0; term < axis->nterms; term++) {
    if (axis->dim[term] < ntasks) return false;
  }
  return true;
}

/* sum += a * b */
static bool add_product(Module *module, const Dim **sum, const Dim *a, const Dim *b) {
  const Dim *product = dim_multiply(module, a, b);
  const Dim *result = product ? dim_add(module, *sum, product) : NULL;
  if (result) *sum = result;
  return result != NULL;
}

bool access_strides(const Plan *plan, const Stage *stage, const Access *access, const Dim **base,
                    const Dim *strides[MAX_LOOPS]) {
  Module *module = plan->module;
  const Buffer *buffer = &plan->buffers.items[access->buffer];
  const Dim *step = dim_constant(module, 1); /* elements from one index of the axis to the next */
  *base = dim_constant(module, 0);
  for (int loop = 0; loop < stage->nloops; loop++) strides[loop] = *base;
  for (int k = access->map.naxes - 1; k >= 0; k--) {
    const Axis *axis = &access->map.axis[k];
    if (access->index[k] >= 0 || axis->divisor != 1) return false;
    bool local = buffer->memory == MEMORY_LOCAL;
    if (local && !local_axis_fits(plan, buffer, axis, k)) return false;
    if (!add_product(module, base, axis->offset, step)) return false;
    for (int term = 0; term < axis->nterms; term++) {
      const Dim *coefficient = dim_constant(module, axis->coefficient[term]);
      if (!add_product(module, &strides[axis->dim[term]], coefficient, step)) return false;
    }
    step = dim_multiply(module, step, local ? local_size(plan, buffer, &access->as, k) : access->as.size[k]);
    if (!step) return false;
  }
  return true;
}
