/* Borders around values instead of copies with borders.
 *
 * A convolution with padding reads a copy of its operand that has zeros around it, so that its tiles ask for no bounds. Where
 * all else that touches the operand can do with the middle of that copy, nothing needs to be copied: who made the operand
 * writes there, who reads it reads there, and one stage for each side of the border sets the zeros. A copy that a task of
 * the convolution can make for itself is left: it is how the operand comes into the processor's own cache.
 *
 * In: plans whose kernels have one stage each. The copy is an EACH that loads one element, each index moved by a constant,
 * and stores it. */
#include "passes/plan/plan_passes.h"

#include <string.h>

typedef struct Borders {
  Plan *plan;
  int copy; /* the kernel that copies */
  Id inner, outer;
  const Type *inner_type, *outer_type;
  int64_t low[MAX_RANK], high[MAX_RANK]; /* so much is added before and behind, by axis */
  double number;                         /* what stands there */
} Borders;

static Stage *stage_at(const Plan *plan, int kernel) { return &plan->kernels.items[kernel].stages.items[0]; }

/* ---- what they are ---- */

/* index = loop - low: gives low. */
static bool axis_moves(const Axis *axis, int loop, int64_t *low) {
  int64_t offset;
  if (axis->nterms != 1 || axis->dim[0] != loop || axis->coefficient[0] != 1 || axis->divisor != 1) return false;
  if (!dim_is_constant(axis->offset, &offset) || offset > 0) return false;
  *low = -offset;
  return true;
}

static bool find_sizes(Borders *borders, const Stage *stage, const Access *load) {
  Module *module = borders->plan->module;
  bool any = false;
  for (int k = 0; k < stage->nloops; k++) {
    if (load->index[k] >= 0 || !axis_moves(&load->map.axis[k], k, &borders->low[k])) return false;
    if (stage->loops[k].extent != borders->outer_type->size[k]) return false;
    const Dim *grown = dim_subtract(module, borders->outer_type->size[k], borders->inner_type->size[k]);
    if (!grown || !dim_is_constant(grown, &borders->high[k])) return false;
    borders->high[k] -= borders->low[k];
    if (borders->high[k] < 0) return false;
    any = any || borders->low[k] > 0 || borders->high[k] > 0;
  }
  return any;
}

static bool is_whole(const Access *access, const Type *own) { return type_equal(&access->as, own); }

static bool is_copy(Borders *borders) {
  const Plan *plan = borders->plan;
  const Stage *stage = stage_at(plan, borders->copy);
  if (stage->kind != STAGE_EACH || stage->scalars.count != 1 || stage->stores.count != 1) return false;
  const Scalar *load = &stage->scalars.items[0];
  const Access *store = &stage->stores.items[0].access;
  if (load->op != SCALAR_LOAD || load->dtype != F32) return false;
  const Buffer *inner = &plan->buffers.items[load->access->buffer], *outer = &plan->buffers.items[store->buffer];
  if (inner->memory != MEMORY_ARENA || outer->memory != MEMORY_ARENA) return false;
  if (inner->type.rank != stage->nloops || outer->type.rank != stage->nloops) return false;
  if (!is_whole(load->access, &inner->type) || !is_whole(store, &outer->type)) return false;
  for (int k = 0; k < stage->nloops; k++) {
    if (store->index[k] >= 0 || !axis_is_bare(&store->map.axis[k], k)) return false;
  }
  borders->inner = load->access->buffer, borders->outer = store->buffer;
  borders->inner_type = &inner->type, borders->outer_type = &outer->type;
  borders->number = load->number;
  return find_sizes(borders, stage, load->access);
}

/* True if this access of the operand can be one of the copy's middle. */
static bool can_move(const Borders *borders, const Stage *stage, const Access *access) {
  if (!is_whole(access, borders->inner_type) || !access_always_inside(borders->plan, stage, access)) return false;
  for (int k = 0; k < access->map.naxes; k++) {
    bool moves = borders->low[k] > 0;
    if (moves && (access->index[k] >= 0 || access->map.axis[k].divisor != 1)) return false;
  }
  return true;
}

static bool stage_can_move(const Borders *borders, const Stage *stage, bool *touches) {
  for (int k = 0; k < stage->scalars.count; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    if (scalar->op != SCALAR_LOAD || scalar->access->buffer != borders->inner) continue;
    *touches = true;
    if (!can_move(borders, stage, scalar->access)) return false;
  }
  for (int k = 0; k < stage->stores.count; k++) {
    const Store *store = &stage->stores.items[k];
    if (store->access.buffer == borders->outer) return false;
    if (store->access.buffer != borders->inner) continue;
    *touches = true;
    if (!can_move(borders, stage, &store->access)) return false;
  }
  return true;
}

static bool all_can_move(const Borders *borders) {
  const Plan *plan = borders->plan;
  int region = plan->kernels.items[borders->copy].region;
  for (int k = 0; k < plan->kernels.count; k++) {
    const Stage *stage = stage_at(plan, k);
    bool touches = false;
    if (k == borders->copy) continue;
    if (!stage_can_move(borders, stage, &touches)) return false;
    bool plain = stage->kind == STAGE_EACH || stage->kind == STAGE_FOLD || stage->kind == STAGE_CONTRACT;
    if (touches && (!plain || plan->kernels.items[k].region != region)) return false;
  }
  return true;
}

/* True if every contraction that reads the copy will be a kernel of its own. */
static bool readers_stay_alone(const Borders *borders, const TargetCosts *costs) {
  int contractions = 0;
  for (int k = 0; k < borders->plan->kernels.count; k++) {
    const Stage *stage = stage_at(borders->plan, k);
    bool reads = false;
    for (int s = 0; s < stage->scalars.count; s++) {
      const Scalar *scalar = &stage->scalars.items[s];
      reads = reads || (scalar->op == SCALAR_LOAD && scalar->access->buffer == borders->outer);
    }
    if (!reads || stage->kind != STAGE_CONTRACT) continue;
    contractions++;
    if (!stage_stays_alone(stage, 1, costs)) return false;
  }
  return contractions > 0;
}

/* ---- what is done ---- */

static void move_access(const Borders *borders, Access *access) {
  Module *module = borders->plan->module;
  access->buffer = borders->outer;
  access->as = *borders->outer_type;
  for (int k = 0; k < access->map.naxes; k++) {
    Axis *axis = &access->map.axis[k];
    if (borders->low[k] > 0) axis->offset = dim_offset(module, axis->offset, borders->low[k]);
  }
}

static void move_stage(const Borders *borders, Stage *stage) {
  for (int k = 0; k < stage->scalars.count; k++) {
    Scalar *scalar = &stage->scalars.items[k];
    if (scalar->op != SCALAR_LOAD || scalar->access->buffer != borders->inner) continue;
    scalar->access = arena_copy(borders->plan->module->arena, scalar->access, sizeof *scalar->access);
    move_access(borders, scalar->access);
  }
  for (int k = 0; k < stage->stores.count; k++) {
    if (stage->stores.items[k].access.buffer == borders->inner) move_access(borders, &stage->stores.items[k].access);
  }
}

/* Sets the border before (or behind) the middle along an axis: of what the axes before have left, and of all others. */
static Kernel side_of(const Borders *borders, int axis, bool behind) {
  Plan *plan = borders->plan;
  Module *module = plan->module;
  Kernel side = plan->kernels.items[borders->copy];
  Stage stage = *stage_at(plan, borders->copy);
  Store store = stage.stores.items[0];
  memset(&side.stages, 0, sizeof side.stages);
  memset(&stage.scalars, 0, sizeof stage.scalars);
  memset(&stage.stores, 0, sizeof stage.stores);
  for (int k = 0; k <= axis; k++) {
    int64_t first = k < axis ? borders->low[k] : behind ? -borders->high[k] : 0;
    const Dim *offset = first < 0 ? dim_offset(module, borders->outer_type->size[k], first) : dim_constant(module, first);
    stage.loops[k].extent =
        k < axis ? borders->inner_type->size[k] : dim_constant(module, behind ? borders->high[k] : borders->low[k]);
    store.access.map.axis[k] = axis_affine(k, 1, offset);
  }
  store.value = (int16_t)stage_scalar(plan, &stage, (Scalar){.op = SCALAR_NUMBER, .dtype = F32, .number = borders->number});
  PUSH(module->arena, &stage.stores, store);
  PUSH(module->arena, &side.stages, stage);
  for (int k = 0; k < side.ntasks; k++) side.tasks[k] = stage.loops[k];
  return side;
}

/* The sides take the copy's place in the list, but before all that touches the middle. */
static int put_sides(const Borders *borders, int first) {
  Plan *plan = borders->plan;
  Vec(Kernel) kernels = {0};
  int before = plan->kernels.count;
  const char *name = plan->kernels.items[borders->copy].name;
  for (int k = 0; k < plan->kernels.count; k++) {
    for (int axis = 0; k == first && axis < borders->outer_type->rank; axis++) {
      for (int behind = 0; behind < 2; behind++) {
        if ((behind ? borders->high[axis] : borders->low[axis]) == 0) continue;
        Kernel side = side_of(borders, axis, behind);
        side.name = arena_format(plan->module->arena, "%s_%s%d", name, behind ? "behind" : "before", axis);
        PUSH(plan->module->arena, &kernels, side);
      }
    }
    if (k != borders->copy) PUSH(plan->module->arena, &kernels, plan->kernels.items[k]);
  }
  plan->kernels.items = kernels.items;
  plan->kernels.count = kernels.count;
  plan->kernels.capacity = kernels.capacity;
  return kernels.count - before;
}

/* Gives how many kernels are before the next one more than there were. */
static int try_copy(Plan *plan, int copy, const TargetCosts *costs) {
  Borders borders = {.plan = plan, .copy = copy};
  int first = -1;
  if (!is_copy(&borders) || !readers_stay_alone(&borders, costs) || !all_can_move(&borders)) return 0;
  for (int k = 0; k < plan->kernels.count; k++) {
    bool touches = false;
    stage_can_move(&borders, stage_at(plan, k), &touches);
    if (touches && first < 0) first = k;
    if (k != copy) move_stage(&borders, stage_at(plan, k));
  }
  return put_sides(&borders, first);
}

void plan_borders(Plan *plan, const TargetCosts *costs) {
  for (int k = 0; k < plan->kernels.count; k++) k += try_copy(plan, k, costs);
}
