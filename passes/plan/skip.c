/* What a border of zeros adds to a sum is 0, and is not computed.
 *
 * A contraction that reads a value with a border around it (a convolution with padding, and both of its gradients) gets a
 * condition: where the index along a bordered axis falls inside. Code may skip the points outside, and skips those that it
 * can skip in whole turns of a loop; as they add 0 (where the other factor is neither infinite nor NaN), it need not skip
 * all of them. What lies outside is known from all that is stored to a buffer: zeros, or a copy that has zeros around it.
 *
 * In: a plan that is scheduled. A buffer that later takes another's place is read as long as it holds what it holds now. */
#include "passes/plan/plan_passes.h"

/* Where along an axis of a buffer something else than 0 may stand. */
typedef struct Inner {
  int64_t low;
  const Dim *size; /* NULL: not known yet */
} Inner;

static bool same_inner(const Inner *a, const Inner *b) { return a->low == b->low && a->size == b->size; }

/* loop + offset: gives the offset; loop: -1 where the axis is one index. */
static bool moved_loop(const Axis *axis, int *loop, int64_t *offset) {
  if (axis->nterms > 1 || axis->divisor != 1 || !dim_is_constant(axis->offset, offset)) return false;
  *loop = axis->nterms == 0 ? -1 : axis->dim[0];
  return axis->nterms == 0 || axis->coefficient[0] == 1;
}

/* Of a copy: its indices of this loop for which something is read at all. */
static void narrow_to_copied(const Scalar *scalar, int loop, Inner *inner) {
  if (scalar->op != SCALAR_LOAD || scalar->number != 0) return;
  for (int k = 0; k < scalar->access->map.naxes; k++) {
    int64_t offset;
    int own;
    if (scalar->access->index[k] >= 0 || !moved_loop(&scalar->access->map.axis[k], &own, &offset)) continue;
    if (own != loop || offset > 0) continue;
    inner->low -= offset;
    inner->size = scalar->access->as.size[k];
    return;
  }
}

/* True if nothing is stored here but zeros, or what is stored to `found`, which is set by the first. */
static bool add_store(Plan *plan, const Stage *stage, const Store *store, int axis, Inner *found) {
  const Type *type = &plan->buffers.items[store->access.buffer].type;
  const Scalar *value = &stage->scalars.items[store->value];
  Inner inner;
  int loop;
  if (stage->kind == STAGE_SCATTER || stage->kind == STAGE_SORT || stage->kind == STAGE_CUMSUM) return false;
  if (value->op == SCALAR_NUMBER && value->number == 0) return true;
  if (!type_equal(&store->access.as, type) || store->access.index[axis] >= 0) return false;
  if (!moved_loop(&store->access.map.axis[axis], &loop, &inner.low)) return false;
  inner.size = loop < 0 ? dim_constant(plan->module, 1) : stage->loops[loop].extent;
  if (loop >= 0) narrow_to_copied(value, loop, &inner);
  if (found->size && !same_inner(found, &inner)) return false;
  *found = inner;
  return true;
}

/* False: there may be something anywhere. */
static bool find_inner(Plan *plan, Id buffer, int axis, Inner *found) {
  Memory memory = plan->buffers.items[buffer].memory;
  *found = (Inner){0};
  if (memory != MEMORY_ARENA && memory != MEMORY_LOCAL) return false;
  for (int k = 0; k < plan->kernels.count; k++) {
    const Kernel *kernel = &plan->kernels.items[k];
    for (int s = 0; s < kernel->stages.count; s++) {
      const Stage *stage = &kernel->stages.items[s];
      for (int j = 0; j < stage->stores.count; j++) {
        const Store *store = &stage->stores.items[j];
        if (store->access.buffer == buffer && !add_store(plan, stage, store, axis, found)) return false;
      }
    }
  }
  return found->size != NULL && (found->low != 0 || found->size != plan->buffers.items[buffer].type.size[axis]);
}

static bool names_a_fold(const Stage *stage, const Axis *axis) {
  for (int k = 0; k < axis->nterms; k++)
    if (axis->dim[k] >= stage->nkept) return true;
  return false;
}

/* Adds the bordered axes of what is read to those of the condition. */
static void add_axes(Plan *plan, const Stage *stage, const Access *read, Access *condition) {
  Space space = {.ndims = stage->nloops, .nresult = stage->nkept};
  for (int k = 0; k < stage->nloops; k++) space.extent[k] = stage->loops[k].extent;
  if (!type_equal(&read->as, &plan->buffers.items[read->buffer].type)) return;
  for (int k = 0; k < read->map.naxes && condition->map.naxes < MAX_RANK; k++) {
    const Axis *axis = &read->map.axis[k];
    Inner inner;
    if (axis->divisor != 1 || !names_a_fold(stage, axis) || !find_inner(plan, read->buffer, k, &inner)) continue;
    Axis moved = *axis;
    moved.offset = dim_offset(plan->module, axis->offset, -inner.low);
    if (axis_always_inside(plan->module, &space, &moved, inner.size)) continue;
    int own = condition->map.naxes++;
    condition->map.axis[own] = moved;
    condition->as.size[own] = inner.size;
    condition->index[own] = -1;
  }
  condition->as.rank = condition->map.naxes;
}

/* In front of the scalars of kept points, whose numbers grow by one. */
static void insert_condition(Plan *plan, Stage *stage, const Access *condition) {
  Arena *arena = plan->module->arena;
  Scalar inside = {.op = SCALAR_INSIDE, .dtype = BOOL, .a = -1, .b = -1, .c = -1};
  int at = stage->after;
  inside.access = arena_copy(arena, condition, sizeof *condition);
  PUSH(arena, &stage->scalars, inside);
  for (int k = stage->scalars.count - 1; k > at; k--) {
    Scalar *scalar = &stage->scalars.items[k];
    *scalar = stage->scalars.items[k - 1];
    if (scalar->a >= at) scalar->a++;
    if (scalar->b >= at) scalar->b++;
    if (scalar->c >= at) scalar->c++;
    if (scalar->access && scalar_has_access(scalar->op)) {
      scalar->access = arena_copy(arena, scalar->access, sizeof *scalar->access);
      for (int axis = 0; axis < scalar->access->map.naxes; axis++)
        if (scalar->access->index[axis] >= at) scalar->access->index[axis]++;
    }
  }
  stage->scalars.items[at] = inside;
  stage->folders.items[0].when = (int16_t)at;
  stage->after++;
  for (int k = 0; k < stage->stores.count; k++)
    if (stage->stores.items[k].value >= at) stage->stores.items[k].value++;
}

static void skip_in_stage(Plan *plan, Stage *stage) {
  Access condition = {.as = {.dtype = BOOL}};
  if (stage->kind != STAGE_CONTRACT) return;
  Operands operands = contract_operands(stage);
  add_axes(plan, stage, operands.a, &condition);
  add_axes(plan, stage, operands.b, &condition);
  if (condition.map.naxes > 0) insert_condition(plan, stage, &condition);
}

void plan_skip(Plan *plan) {
  for (int k = 0; k < plan->kernels.count; k++) {
    Kernel *kernel = &plan->kernels.items[k];
    for (int s = 0; s < kernel->stages.count; s++) skip_in_stage(plan, &kernel->stages.items[s]);
  }
}
