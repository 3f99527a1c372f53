/* What is too large to keep is made again where it is read.
 *
 * In: fused kernels. The weights of attention are a number for each query and each key: from a few thousand of these on no
 * cache holds them, and kept for the gradients they are most of what a step needs. Yet a dot product and an exponential make
 * them from what is narrow: queries, keys, and for each row its maximum and its sum.
 *
 * Such a wide buffer, made by stages that compute one element of it at each point from narrow buffers or from elements at
 * the same point of other wide ones, need not go from kernel to kernel. A kernel that reads it gets stages of its own that
 * make it again, into a buffer of its own, before all others. Where it folds along an axis of it that would be a task loop
 * (the gradients of keys and values are sums over queries), it is turned: its own buffers have that axis last, and tasks go
 * along the others. Then no task reads another's part, so that these buffers are LOCAL, and tasks of a few rows keep them in
 * a cache. What made the wide buffer at first keeps it for itself in the same way.
 *
 * Kernels are pure, and sums go in the same order: the same bits come out. */
#include "passes/plan/lowering.h"

#include <string.h>

/* What a point may cost again: a fold so deep, which takes about as long as it takes to fetch the point from memory. What is
 * read for it, all in all, is so many times smaller at least. */
enum { DEEPEST = 128, MOST_STAGES = 32, NARROWER = 8 };

typedef struct Maker {
  int kernel, stage; /* the only ones that store to a buffer, -1: none, -2: several */
} Maker;

typedef struct Widening {
  Plan *plan;
  const TargetCosts *costs;
  Arena *arena;
  Maker *makers; /* by buffer */
} Widening;

/* ---- what can be made again ---- */

static bool is_wide(const Widening *own, Id id) {
  return own->plan->buffers.items[id].memory == MEMORY_ARENA &&
         buffer_bytes_at_bounds(own->plan, id) >= own->costs->wide_bytes;
}

static void find_makers(Widening *own) {
  const Plan *plan = own->plan;
  own->makers = NEW_ARRAY(own->arena, Maker, plan->buffers.count);
  for (Id id = 0; id < plan->buffers.count; id++) own->makers[id] = (Maker){-1, -1};
  for (int k = 0; k < plan->kernels.count; k++) {
    const Kernel *kernel = &plan->kernels.items[k];
    for (int s = 0; s < kernel->stages.count; s++)
      for (int j = 0; j < kernel->stages.items[s].stores.count; j++) {
        Maker *maker = &own->makers[kernel->stages.items[s].stores.items[j].access.buffer];
        *maker = maker->kernel == -1 ? (Maker){k, s} : (Maker){-2, -2};
      }
  }
}

static const Stage *stage_of(const Widening *own, Maker maker) {
  return &own->plan->kernels.items[maker.kernel].stages.items[maker.stage];
}

/* Axis k is loop k, and there are no others. */
static bool is_identity(const Plan *plan, const Stage *stage, const Access *access) {
  const Type *type = &plan->buffers.items[access->buffer].type;
  if (type->rank != stage->nkept || access->as.rank != type->rank) return false;
  for (int k = 0; k < type->rank; k++) {
    if (access->index[k] >= 0 || !axis_is_bare(&access->map.axis[k], k)) return false;
    if (access->as.size[k] != type->size[k] || type->size[k] != stage->loops[k].extent) return false;
  }
  return true;
}

/* Nobody changes it behind its first use in kernel `after`. */
static bool stays(const Widening *own, Id id, int after) {
  const Plan *plan = own->plan;
  Memory memory = plan->buffers.items[id].memory;
  if (memory == MEMORY_ARG || memory == MEMORY_CONSTANT) return true;
  if (memory != MEMORY_ARENA && memory != MEMORY_STATE) return false;
  for (int k = after + (memory == MEMORY_ARENA); k < plan->kernels.count; k++) {
    const Kernel *kernel = &plan->kernels.items[k];
    for (int s = 0; s < kernel->stages.count; s++)
      for (int j = 0; j < kernel->stages.items[s].stores.count; j++)
        if (kernel->stages.items[s].stores.items[j].access.buffer == id) return false;
  }
  return true;
}

static double folded_points(const Stage *stage) {
  double points = 1;
  for (int k = stage->nkept; k < stage->nloops; k++) points *= (double)stage->loops[k].extent->high;
  return points;
}

/* How many elements of a buffer the whole stage reads. */
static double elements_read(const Stage *stage, const Access *access) {
  double count = 1;
  for (int k = 0; k < stage->nloops; k++)
    if (access_depends(access, k)) count *= (double)stage->loops[k].extent->high;
  return count;
}

static double elements_made(const Stage *stage) {
  double count = 1;
  for (int k = 0; k < stage->nkept; k++) count *= (double)stage->loops[k].extent->high;
  return count;
}

bool stage_expands(const Stage *stage) {
  for (int k = 0; k < stage->scalars.count; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    if (scalar->op == SCALAR_LOAD && elements_read(stage, scalar->access) > elements_made(stage) / NARROWER) return false;
  }
  return true;
}

static bool list_cone(const Widening *own, Id id, int region, Id *cone, int *count);

/* What a stage of a cone reads is in the cone too, or narrow. */
static bool list_read(const Widening *own, Id id, int region, int scalar, Id *cone, int *count) {
  const Plan *plan = own->plan;
  const Stage *stage = stage_of(own, own->makers[id]);
  const Access *access = stage->scalars.items[scalar].access;
  bool same_point = is_identity(plan, stage, access) && (stage->kind == STAGE_EACH || scalar >= stage->after);
  if (same_point && is_wide(own, access->buffer) && list_cone(own, access->buffer, region, cone, count)) return true;
  bool narrow = elements_read(stage, access) <= elements_made(stage) / NARROWER;
  return narrow && stays(own, access->buffer, own->makers[id].kernel);
}

/* Lists the wide buffers that are to be made for this one, each behind those that it is made of; false if it can't be. */
static bool list_cone(const Widening *own, Id id, int region, Id *cone, int *count) {
  const Plan *plan = own->plan;
  for (int k = 0; k < *count; k++)
    if (cone[k] == id) return true;
  Maker maker = own->makers[id];
  if (maker.kernel < 0 || plan->kernels.items[maker.kernel].region != region) return false;
  const Stage *stage = stage_of(own, maker);
  if (stage->kind != STAGE_EACH && (stage->kind != STAGE_CONTRACT || folded_points(stage) > DEEPEST)) return false;
  for (int k = 0; k < stage->stores.count; k++) {
    const Access *store = &stage->stores.items[k].access;
    if (store->buffer == id && !is_identity(plan, stage, store)) return false;
  }
  for (int k = 0; k < stage->scalars.count; k++) {
    if (stage->scalars.items[k].op == SCALAR_LOAD && !list_read(own, id, region, k, cone, count)) return false;
  }
  if (*count == MOST_STAGES) return false;
  cone[(*count)++] = id;
  return true;
}

/* ---- loops in another order ---- */

static Access renumbered(const Access *access, const int *place) {
  Access own = *access;
  for (int k = 0; k < own.map.naxes; k++) {
    Axis *axis = &own.map.axis[k];
    for (int term = 0; term < axis->nterms; term++) axis->dim[term] = place[axis->dim[term]];
  }
  return own;
}

Stage stage_reordered(Plan *plan, const Stage *stage, const int *place) {
  Arena *arena = plan->module->arena;
  Stage own = *stage;
  memset(&own.scalars, 0, sizeof own.scalars);
  memset(&own.stores, 0, sizeof own.stores);
  for (int k = 0; k < stage->nloops; k++) own.loops[place[k]] = stage->loops[k];
  for (int k = 0; k < stage->scalars.count; k++) {
    Scalar scalar = stage->scalars.items[k];
    if (scalar_has_access(scalar.op)) {
      Access access = renumbered(scalar.access, place);
      scalar.access = arena_copy(arena, &access, sizeof access);
    }
    PUSH(arena, &own.scalars, scalar);
  }
  for (int k = 0; k < stage->stores.count; k++) {
    Store store = {renumbered(&stage->stores.items[k].access, place), stage->stores.items[k].value};
    PUSH(arena, &own.stores, store);
  }
  return own;
}

/* ---- a reader's own ---- */

/* How a kernel reads wide buffers: order[k] is the axis of theirs that is axis k of its own; the first `tasks` are what it
 * has as task loops. */
typedef struct Turn {
  int rank, tasks, order[MAX_RANK];
  int place[MAX_LOOPS]; /* what the reader's loops become */
} Turn;

/* Each axis of the buffer is a loop of its own; gives which. */
static bool is_bare(const Plan *plan, const Stage *stage, const Access *access, int *loop) {
  const Type *type = &plan->buffers.items[access->buffer].type;
  bool used[MAX_LOOPS] = {false};
  if (access->as.rank != type->rank) return false;
  for (int k = 0; k < type->rank; k++) {
    const Axis *axis = &access->map.axis[k];
    int dim = axis->nterms == 1 ? axis->dim[0] : -1;
    if (dim < 0 || used[dim] || access->index[k] >= 0 || !axis_is_bare(axis, dim)) return false;
    if (type->size[k] != stage->loops[dim].extent || access->as.size[k] != type->size[k]) return false;
    used[dim] = true;
    loop[k] = dim;
  }
  return true;
}

/* A kernel of one stage is turned so that the axes that it keeps come first. */
static bool turn_one(const Plan *plan, const Stage *stage, const Access *access, Turn *turn) {
  int loop[MAX_RANK], next = 0;
  if (!is_bare(plan, stage, access, loop)) return false;
  turn->rank = access->as.rank;
  turn->tasks = 0;
  for (int k = 0; k < stage->nloops; k++) turn->place[k] = -1;
  for (int k = 0; k < turn->rank; k++)
    if (loop[k] < stage->nkept) turn->place[loop[k]] = next++, turn->order[turn->tasks++] = k;
  for (int k = 0, at = turn->tasks; k < turn->rank; k++)
    if (loop[k] >= stage->nkept) turn->order[at++] = k;
  for (int k = 0; k < stage->nloops; k++)
    if (turn->place[k] < 0) turn->place[k] = next++;
  return turn->tasks > 0 && turn->tasks < turn->rank;
}

static bool same_turn(const Turn *a, const Turn *b) {
  bool same = a->rank == b->rank && a->tasks == b->tasks;
  for (int k = 0; same && k < a->rank; k++) same = a->order[k] == b->order[k];
  for (int k = 0; same && k < MAX_LOOPS; k++) same = a->place[k] == b->place[k];
  return same;
}

/* The wide buffers that kernel `index` reads and others make are to be made in this order; false if it can't be done. */
static bool find_turn(const Widening *own, int index, Turn *turn, Id *cone, int *count) {
  const Plan *plan = own->plan;
  const Kernel *kernel = &plan->kernels.items[index];
  bool any = false;
  for (int s = 0; s < kernel->stages.count; s++) {
    const Stage *stage = &kernel->stages.items[s];
    for (int k = 0; k < stage->scalars.count; k++) {
      const Scalar *scalar = &stage->scalars.items[k];
      if (scalar->op != SCALAR_LOAD || !is_wide(own, scalar->access->buffer)) continue;
      Id id = scalar->access->buffer;
      int listed = *count;
      if (own->makers[id].kernel == index) continue;
      if (!list_cone(own, id, kernel->region, cone, count)) {
        *count = listed;
        continue;
      }
      Turn found = {.rank = scalar->access->as.rank, .tasks = kernel->ntasks};
      if (kernel->stages.count == 1) {
        if (!turn_one(plan, stage, scalar->access, &found)) return false;
      } else {
        int loop[MAX_RANK];
        if (found.tasks < 1 || found.tasks >= found.rank || !is_bare(plan, stage, scalar->access, loop)) return false;
        for (int axis = 0; axis < found.rank; axis++) {
          found.order[axis] = axis;
          if (axis < found.tasks && loop[axis] != axis) return false;
        }
        for (int l = 0; l < MAX_LOOPS; l++) found.place[l] = l;
      }
      if (any && !same_turn(turn, &found)) return false;
      *turn = found;
      any = true;
    }
  }
  return any;
}

static Id own_buffer(Plan *plan, Id id, const Turn *turn) {
  Buffer buffer = plan->buffers.items[id];
  const Dim *size[MAX_RANK];
  for (int k = 0; k < turn->rank; k++) size[k] = buffer.type.size[turn->order[k]];
  return plan_buffer(plan, MEMORY_ARENA, type_of(buffer.type.dtype, turn->rank, size), 0, buffer.name);
}

/* An access of a wide buffer, as one of the reader's own. */
static Access redirected(const Plan *plan, const Access *access, Id buffer, const Turn *turn) {
  Access own = *access;
  own.buffer = buffer;
  own.as = plan->buffers.items[buffer].type;
  for (int k = 0; k < turn->rank; k++) own.map.axis[k] = access->map.axis[turn->order[k]];
  return own;
}

/* Loads of wide buffers become ones of the reader's own; in stages that make these, loads at the same point alone. */
static void redirect(Plan *plan, const Stage *old, Stage *stage, bool makes, const Id *renamed, const Turn *turn) {
  Arena *arena = plan->module->arena;
  for (int k = 0; k < stage->scalars.count; k++) {
    Scalar *scalar = &stage->scalars.items[k];
    if (scalar->op != SCALAR_LOAD || !renamed[scalar->access->buffer]) continue;
    if (makes && !is_identity(plan, old, old->scalars.items[k].access)) continue;
    Access access = redirected(plan, scalar->access, renamed[scalar->access->buffer], turn);
    scalar->access = arena_copy(arena, &access, sizeof access);
  }
}

/* The stage that makes `id`, making the reader's own instead, and nothing else. */
static Stage made_again(const Widening *own, Id id, const Id *renamed, const Turn *turn) {
  Plan *plan = own->plan;
  Kernel kernel = {0}, slice;
  bool *wanted = NEW_ARRAY(own->arena, bool, plan->buffers.count);
  wanted[id] = true;
  PUSH(own->arena, &kernel.stages, *stage_of(own, own->makers[id]));
  slice = kernel_slice(plan, &kernel, wanted, own->arena);
  int place[MAX_LOOPS];
  for (int k = 0; k < MAX_LOOPS; k++) place[k] = k;
  for (int k = 0; k < turn->rank; k++) place[turn->order[k]] = k;
  Stage stage = stage_reordered(plan, &slice.stages.items[0], place);
  stage.folders = (__typeof__(stage.folders)){0};
  for (int k = 0; k < slice.stages.items[0].folders.count; k++)
    PUSH(plan->module->arena, &stage.folders, slice.stages.items[0].folders.items[k]);
  redirect(plan, &slice.stages.items[0], &stage, true, renamed, turn);
  stage.stores.items[0].access = redirected(plan, &stage.stores.items[0].access, renamed[id], turn);
  return stage;
}

/* ---- operands of turned contractions ---- */

/* What a transposed copy was made of is read in its place: the lanes for which it was made run elsewhere now. */
static void see_through(const Widening *own, Access *access) {
  const Plan *plan = own->plan;
  Maker maker = own->makers[access->buffer];
  const Stage *copy = maker.kernel < 0 ? NULL : stage_of(own, maker);
  if (!copy || copy->kind != STAGE_EACH || copy->stores.count != 1 ||
      !is_identity(plan, copy, &copy->stores.items[0].access))
    return;
  const Scalar *load = &copy->scalars.items[copy->stores.items[0].value];
  if (load->op != SCALAR_LOAD || !access_always_inside(plan, copy, load->access)) return;
  if (!stays(own, load->access->buffer, maker.kernel)) return;
  if (!type_same_sizes(&access->as, &plan->buffers.items[access->buffer].type)) return;
  Access seen = *load->access;
  for (int k = 0; k < MAX_RANK; k++)
    if (seen.index[k] >= 0 || access->index[k] >= 0) return;
  for (int k = 0; k < seen.map.naxes; k++)
    if (!compose_axis(plan->module, &load->access->map.axis[k], access->map.axis, &seen.map.axis[k])) return;
  *access = seen;
}

/* A copy of what the access reads, its last axis the loop `last`; the access becomes one of that. */
static Kernel turned_copy(Plan *plan, const Stage *stage, int region, int last, Access *access) {
  Arena *arena = plan->module->arena;
  int place[MAX_LOOPS], loops = 0;
  Stage copy = {.kind = STAGE_EACH, .vector = -1, .place = stage->place};
  const Dim *size[MAX_RANK];
  copy.tile = (Tile){.vector = -1, .row = -1, .column = -1};
  for (int k = 0; k < stage->nloops; k++) {
    place[k] = 0;
    if (!access_depends(access, k) || k == last) continue;
    copy.loops[loops] = stage->loops[k];
    place[k] = loops++;
  }
  copy.loops[loops] = stage->loops[last];
  place[last] = loops++;
  for (int k = 0; k < loops; k++) size[k] = copy.loops[k].extent;
  copy.nloops = copy.nkept = loops;
  Dtype dtype = plan->buffers.items[access->buffer].type.dtype;
  Id buffer = plan_buffer(plan, MEMORY_ARENA, type_of(dtype, loops, size), 0, plan->buffers.items[access->buffer].name);
  Access from = renumbered(access, place), to;
  Map bare = {.naxes = loops}, read = {.naxes = loops};
  for (int k = 0; k < loops; k++) bare.axis[k] = axis_of(plan->module, k);
  for (int k = 0; k < stage->nloops; k++)
    if (access_depends(access, k)) read.axis[place[k]] = axis_of(plan->module, k);
  Scalar load = {.op = SCALAR_LOAD, .dtype = dtype, .a = -1, .b = -1, .c = -1};
  load.access = arena_copy(arena, &from, sizeof from);
  to = access_of(plan, buffer, &bare);
  PUSH(arena, &copy.scalars, load);
  copy.after = 0;
  PUSH(arena, &copy.stores, ((Store){to, 0}));
  *access = access_of(plan, buffer, &read);
  Kernel kernel = {.place = stage->place, .region = region, .ntasks = loops};
  kernel.name = plan_kernel_name(plan, arena_format(arena, "%s_turned_%d", plan->graph->name, buffer));
  for (int k = 0; k < loops; k++) kernel.tasks[k] = copy.loops[k];
  PUSH(arena, &kernel.stages, copy);
  PUSH(arena, &kernel.places, stage->place);
  return kernel;
}

typedef Vec(Kernel) Kernels;

/* Lanes are to run along a contraction's last kept loop, as what it makes is stored so. */
static void turn_operands(const Widening *own, Stage *stage, int region, Kernels *before) {
  Plan *plan = own->plan;
  int last = stage->nkept - 1, loops = 0;
  if (stage->kind != STAGE_CONTRACT) return;
  Scalar *product = &stage->scalars.items[stage->folders.items[0].value];
  Access *a = stage->scalars.items[product->a].access, *b = stage->scalars.items[product->b].access;
  see_through(own, a);
  see_through(own, b);
  if (access_is_dense(a, last) || access_is_dense(b, last)) return;
  Access *turned = access_depends(a, last) ? a : b;
  for (int k = 0; k < stage->nloops; k++) loops += access_depends(turned, k);
  if (!access_depends(turned, last) || loops > MAX_RANK) return;
  for (int k = 0; k < turned->map.naxes; k++)
    if (turned->index[k] >= 0) return;
  Kernel copy = turned_copy(plan, stage, region, last, turned);
  PUSH(plan->module->arena, before, copy);
}

/* ---- the whole ---- */

static void add_part(Plan *plan, Kernels *kernels, const Kernel *whole, int from, int to) {
  Arena *arena = plan->module->arena;
  Kernel part = *whole;
  if (from >= to) return;
  memset(&part.stages, 0, sizeof part.stages);
  for (int s = from; s < to; s++) PUSH(arena, &part.stages, whole->stages.items[s]);
  if (from > 0) part.name = arena_format(arena, "%s_%d", whole->name, from);
  PUSH(arena, kernels, part);
}

/* A stage that alone reads wide buffers which others make, among stages with which it shares so few loops that a task would
 * hold too much of them, gets a kernel of its own. True if there was one. */
static bool part_reader(const Widening *own, int index) {
  Plan *plan = own->plan;
  const Kernel whole = plan->kernels.items[index];
  int reader = -1;
  for (int s = 0; s < whole.stages.count; s++) {
    const Stage *stage = &whole.stages.items[s];
    for (int k = 0; k < stage->scalars.count; k++) {
      Id id = stage->scalars.items[k].op == SCALAR_LOAD ? stage->scalars.items[k].access->buffer : 0, cone[MOST_STAGES];
      int count = 0;
      if (!id || !is_wide(own, id) || own->makers[id].kernel == index) continue;
      if (!list_cone(own, id, whole.region, cone, &count)) continue;
      int64_t bytes = buffer_bytes_at_bounds(plan, id);
      for (int t = 0; t < whole.ntasks; t++) bytes /= MAX(whole.tasks[t].extent->high, 1);
      if ((reader >= 0 && reader != s) || bytes <= own->costs->local_bytes) return false;
      reader = s;
    }
  }
  if (reader < 0 || whole.stages.count < 2) return false;
  Kernels kernels = {0};
  for (int k = 0; k < plan->kernels.count; k++) {
    const Kernel *kernel = &plan->kernels.items[k];
    add_part(plan, &kernels, kernel, 0, k == index ? reader : kernel->stages.count);
    if (k != index) continue;
    add_part(plan, &kernels, kernel, reader, reader + 1);
    add_part(plan, &kernels, kernel, reader + 1, kernel->stages.count);
  }
  plan->kernels.items = kernels.items;
  plan->kernels.count = kernels.count;
  plan->kernels.capacity = kernels.capacity;
  return true;
}

static bool widen(Widening *own, int index) {
  Plan *plan = own->plan;
  Arena *arena = plan->module->arena;
  Id cone[MOST_STAGES], *renamed = NEW_ARRAY(own->arena, Id, plan->buffers.count);
  int count = 0;
  Turn turn;
  if (!find_turn(own, index, &turn, cone, &count)) return false;
  Kernel kernel = plan->kernels.items[index], made = kernel;
  Kernels kernels = {0}, before = {0};
  memset(&made.stages, 0, sizeof made.stages);
  for (int k = 0; k < count; k++) {
    renamed[cone[k]] = own_buffer(plan, cone[k], &turn);
    Stage stage = made_again(own, cone[k], renamed, &turn);
    if (turn.order[turn.rank - 1] != turn.rank - 1) turn_operands(own, &stage, kernel.region, &before);
    PUSH(arena, &made.stages, stage);
  }
  for (int s = 0; s < kernel.stages.count; s++) {
    Stage stage = stage_reordered(plan, &kernel.stages.items[s], turn.place);
    redirect(plan, &kernel.stages.items[s], &stage, false, renamed, &turn);
    PUSH(arena, &made.stages, stage);
  }
  made.ntasks = turn.tasks;
  for (int k = 0; k < turn.tasks; k++) made.tasks[k] = made.stages.items[0].loops[k];
  for (int k = 0; k < plan->kernels.count; k++) {
    for (int j = 0; k == index && j < before.count; j++) PUSH(arena, &kernels, before.items[j]);
    PUSH(arena, &kernels, k == index ? made : plan->kernels.items[k]);
  }
  plan->kernels.items = kernels.items;
  plan->kernels.count = kernels.count;
  plan->kernels.capacity = kernels.capacity;
  return true;
}

void plan_widen(Plan *plan, const TargetCosts *costs) {
  bool any = false;
  if (costs->wide_bytes <= 0) return;
  for (int k = 0; k < plan->kernels.count;) {
    Arena *arena = arena_new();
    Widening own = {.plan = plan, .costs = costs, .arena = arena};
    find_makers(&own);
    int before = plan->kernels.count;
    bool parted = part_reader(&own, k), widened = !parted && widen(&own, k); /* what was parted is looked at again */
    if (!parted) k += plan->kernels.count - before + 1;
    any = any || widened;
    arena_free(arena);
  }
  while (any && plan_drop_unread(plan)) continue;
}
