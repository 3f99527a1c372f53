/* Borders around values instead of copies with borders.
 *
 * A convolution with padding reads a copy of its operand that has zeros around it, so that its tiles ask for no bounds. Where
 * all else that touches the operand can do with the middle of that copy, nothing needs to be copied: who made the operand
 * writes there, who reads it reads there, and one stage for each side of the border sets the zeros.
 *
 * That is done twice: before stages are joined, where the copy would be a kernel of its own (one that a task of the
 * convolution makes for itself is how the operand comes into the processor's own cache), and behind that, where a task makes
 * both, of which a step's backward part would read one here and the other there.
 *
 * The copy is an EACH that loads one element, each index moved by a constant, and stores it. */
#include "passes/plan/plan_passes.h"

#include <string.h>

typedef struct Borders {
  Plan *plan;
  int kernel, stage; /* of the copy */
  Id inner, outer;
  const Type *inner_type, *outer_type;
  int64_t low[MAX_RANK], high[MAX_RANK]; /* so much is added before and behind, by axis */
  double number;                         /* what stands there */
} Borders;

static Stage *copy_of(const Borders *borders) {
  return &borders->plan->kernels.items[borders->kernel].stages.items[borders->stage];
}

static bool is_the_copy(const Borders *borders, int kernel, int stage) {
  return kernel == borders->kernel && stage == borders->stage;
}

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
  const Stage *stage = copy_of(borders);
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

static bool is_plain(const Stage *stage) {
  return stage->kind == STAGE_EACH || stage->kind == STAGE_FOLD || stage->kind == STAGE_CONTRACT;
}

/* True if all that touches the operand can do with the copy's middle. */
static bool all_can_move(const Borders *borders) {
  const Plan *plan = borders->plan;
  int region = plan->kernels.items[borders->kernel].region;
  for (int k = 0; k < plan->kernels.count; k++) {
    const Kernel *kernel = &plan->kernels.items[k];
    for (int s = 0; s < kernel->stages.count; s++) {
      const Stage *stage = &kernel->stages.items[s];
      bool touches = false;
      if (is_the_copy(borders, k, s)) continue;
      if (!stage_can_move(borders, stage, &touches)) return false;
      if (touches && (!is_plain(stage) || kernel->region != region)) return false;
    }
  }
  return true;
}

/* True if every contraction that reads the copy will be a kernel of its own. */
static bool readers_stay_alone(const Borders *borders, const TargetCosts *costs) {
  int contractions = 0;
  for (int k = 0; k < borders->plan->kernels.count; k++) {
    const Stage *stage = &borders->plan->kernels.items[k].stages.items[0];
    if (stage->kind != STAGE_CONTRACT || !stage_reads(stage, borders->outer)) continue;
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

static void move_all(const Borders *borders) {
  Plan *plan = borders->plan;
  for (int k = 0; k < plan->kernels.count; k++) {
    Kernel *kernel = &plan->kernels.items[k];
    for (int s = 0; s < kernel->stages.count; s++)
      if (!is_the_copy(borders, k, s)) move_stage(borders, &kernel->stages.items[s]);
  }
}

/* Sets the border before (or behind) the middle along an axis: of what the axes before have left, and of all others. */
static Stage side_of(const Borders *borders, int axis, bool behind) {
  Plan *plan = borders->plan;
  Module *module = plan->module;
  Stage stage = *copy_of(borders);
  Store store = stage.stores.items[0];
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
  return stage;
}

/* A side of the border for each call, false behind the last; `next` begins at 0. */
static bool next_side(const Borders *borders, int *next, int *axis, bool *behind) {
  for (; *next < 2 * borders->outer_type->rank; (*next)++) {
    *axis = *next / 2, *behind = *next % 2 == 1;
    if ((*behind ? borders->high[*axis] : borders->low[*axis]) == 0) continue;
    (*next)++;
    return true;
  }
  return false;
}

/* ---- before stages are joined ---- */

/* The sides take the copy's place in the list, but before all that touches the middle. */
static int put_kernels(const Borders *borders, int first) {
  Plan *plan = borders->plan;
  Arena *arena = plan->module->arena;
  Vec(Kernel) kernels = {0};
  int before = plan->kernels.count;
  const Kernel *copy = &plan->kernels.items[borders->kernel];
  for (int k = 0; k < plan->kernels.count; k++) {
    int axis;
    bool behind;
    for (int next = 0; k == first && next_side(borders, &next, &axis, &behind);) {
      Kernel side = *copy;
      side.name = arena_format(arena, "%s_%s%d", copy->name, behind ? "behind" : "before", axis);
      memset(&side.stages, 0, sizeof side.stages);
      PUSH(arena, &side.stages, side_of(borders, axis, behind));
      for (int t = 0; t < side.ntasks; t++) side.tasks[t] = side.stages.items[0].loops[t];
      PUSH(arena, &kernels, side);
    }
    if (k != borders->kernel) PUSH(arena, &kernels, plan->kernels.items[k]);
  }
  plan->kernels.items = kernels.items;
  plan->kernels.count = kernels.count;
  plan->kernels.capacity = kernels.capacity;
  return kernels.count - before;
}

/* Gives how many kernels are before the next one more than there were. */
static int try_copy(Plan *plan, int copy, const TargetCosts *costs) {
  Borders borders = {.plan = plan, .kernel = copy};
  int first = 0;
  if (!is_copy(&borders) || !readers_stay_alone(&borders, costs) || !all_can_move(&borders)) return 0;
  while (!kernel_touches(&plan->kernels.items[first], borders.inner, stage_reads) &&
         !kernel_touches(&plan->kernels.items[first], borders.inner, stage_stores_to))
    first++;
  move_all(&borders);
  return put_kernels(&borders, first);
}

void plan_borders(Plan *plan, const TargetCosts *costs) {
  for (int k = 0; k < plan->kernels.count; k++) k += try_copy(plan, k, costs);
}

/* ---- behind that ---- */

/* The sides take the copy's place in its kernel. (No task loop runs along an axis with a border: maker and copy share these.) */
static void put_stages(const Borders *borders) {
  Arena *arena = borders->plan->module->arena;
  Kernel *kernel = &borders->plan->kernels.items[borders->kernel];
  Kernel changed = *kernel;
  memset(&changed.stages, 0, sizeof changed.stages);
  for (int s = 0; s < kernel->stages.count; s++) {
    int axis;
    bool behind;
    if (s != borders->stage) PUSH(arena, &changed.stages, kernel->stages.items[s]);
    for (int next = 0; s == borders->stage && next_side(borders, &next, &axis, &behind);)
      PUSH(arena, &changed.stages, side_of(borders, axis, behind));
  }
  *kernel = changed;
}

/* True if a kernel other than the copy's touches the buffer. */
static bool others_touch(const Borders *borders, Id buffer, bool (*touches)(const Stage *stage, Id buffer)) {
  for (int k = 0; k < borders->plan->kernels.count; k++)
    if (k != borders->kernel && kernel_touches(&borders->plan->kernels.items[k], buffer, touches)) return true;
  return false;
}

static void try_task(Plan *plan, int kernel, int stage) {
  Borders borders = {.plan = plan, .kernel = kernel, .stage = stage};
  if (!is_copy(&borders) || !all_can_move(&borders)) return;
  if (others_touch(&borders, borders.inner, stage_stores_to)) return;
  /* A copy that stays with the task may be larger than what is kept; one that is kept too is not. */
  if (others_touch(&borders, borders.inner, stage_reads) && !others_touch(&borders, borders.outer, stage_reads)) return;
  move_all(&borders);
  put_stages(&borders);
}

void plan_borders_of_tasks(Plan *plan) {
  for (int k = 0; k < plan->kernels.count; k++)
    for (int s = 0; s < plan->kernels.items[k].stages.count; s++) try_task(plan, k, s);
}
