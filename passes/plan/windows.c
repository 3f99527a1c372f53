/* Folds over windows that do not overlap.
 *
 * What a pooling window took from, its gradient goes back to: at each point p of the picture, a sum over the taps t of the
 * window, of those that hit: (p - t) / s is a window's number where s divides it. Windows of the size of their stride do not
 * overlap: of their s taps one hits, the one that p leaves when divided by s. So with p = s * q + t there is nothing to
 * fold. The loop along p becomes one along q, the loop along t is kept, and the stage runs over the loops by which the values
 * of the windows were made; the two can become one. What alone reads the result, element by element (the gradient of a ReLU),
 * is cut in the same way.
 *
 * In: plans whose kernels have one stage each. A stage is changed only if all that it folds is of this kind, and the bounds
 * prove each index to be inside then. */
#include "passes/plan/plan_passes.h"

#include <string.h>

typedef struct Windows {
  Plan *plan;
  const Stage *old;
  Stage new;
  int point[MAX_LOOPS]; /* by folded loop t: the kept loop p that it cuts */
  int tap[MAX_LOOPS];   /* by kept loop p: the folded loop t, -1: none */
  int place[MAX_LOOPS]; /* by old loop: its number in the new stage; of p: that of q */
} Windows;

/* ---- what they are ---- */

/* (p - t) / s: gives p. */
static int point_of(const Axis *axis, int tap, int64_t size) {
  if (axis->nterms != 2 || axis->divisor != size) return -1;
  int t = axis->dim[0] == tap ? 0 : 1;
  if (axis->dim[t] != tap || axis->coefficient[t] != -1 || axis->coefficient[1 - t] != 1) return -1;
  return axis->dim[1 - t];
}

static bool find_point(Windows *windows, int tap) {
  const Stage *old = windows->old;
  int64_t size;
  if (!dim_is_constant(old->loops[tap].extent, &size) || size < 2) return false;
  for (int k = 0; k < old->after; k++) {
    const Scalar *scalar = &old->scalars.items[k];
    if (scalar->op != SCALAR_INSIDE) continue;
    for (int a = 0; a < scalar->access->map.naxes; a++) {
      int point = point_of(&scalar->access->map.axis[a], tap, size);
      if (point < 0 || point >= old->nkept || windows->tap[point] >= 0) continue;
      windows->point[tap] = point;
      windows->tap[point] = tap;
      return true;
    }
  }
  return false;
}

static bool find_windows(Windows *windows) {
  const Stage *old = windows->old;
  if (old->kind != STAGE_FOLD) return false;
  for (int k = 0; k < old->folders.count; k++) {
    if (old->folders.items[k].op != FOLDER_SUM) return false;
  }
  for (int loop = 0; loop < old->nkept; loop++) windows->tap[loop] = -1;
  for (int tap = old->nkept; tap < old->nloops; tap++) {
    if (!find_point(windows, tap)) return false;
  }
  return old->nloops > old->nkept;
}

/* ---- the new stage ---- */

/* The taps come before the last kept loop, along which lanes run, unless that is cut itself. False: some extent is not a whole
 * number of windows. */
static bool order_loops(Windows *windows) {
  Module *module = windows->plan->module;
  const Stage *old = windows->old;
  int last = old->nkept - 1, count = 0, taps = windows->tap[last] < 0 ? last : old->nkept;
  for (int loop = 0; loop <= old->nkept; loop++) {
    for (int tap = old->nkept; loop == taps && tap < old->nloops; tap++) {
      windows->place[tap] = count;
      windows->new.loops[count++] = old->loops[tap];
    }
    if (loop == old->nkept) break;
    windows->place[loop] = count;
    Loop *own = &windows->new.loops[count++];
    *own = old->loops[loop];
    if (windows->tap[loop] < 0) continue;
    const Dim *size = old->loops[windows->tap[loop]].extent;
    own->extent = dim_floordiv(module, own->extent, size);
    if (!own->extent || dim_multiply(module, own->extent, size) != old->loops[loop].extent) return false;
  }
  windows->new.nloops = windows->new.nkept = count;
  return true;
}

/* The index with s * q + t for p. */
static bool move_axis(const Windows *windows, Axis *axis) {
  const Axis old = *axis;
  int64_t size, offset;
  axis->nterms = 0;
  if (old.divisor != 1) {
    int tap = old.nterms == 2 ? MAX(old.dim[0], old.dim[1]) : -1;
    if (tap < windows->old->nkept || point_of(&old, tap, old.divisor) != windows->point[tap]) return false;
    if (!dim_is(windows->old->loops[tap].extent, old.divisor)) return false;
    if (!dim_is_constant(old.offset, &offset) || offset % old.divisor != 0) return false;
    *axis = axis_affine(windows->place[windows->point[tap]], 1, dim_constant(windows->plan->module, offset / old.divisor));
    return true;
  }
  for (int k = 0; k < old.nterms; k++) {
    int loop = old.dim[k], tap = loop < windows->old->nkept ? windows->tap[loop] : -1;
    if (axis->nterms + (tap < 0 ? 1 : 2) > COUNT_OF(axis->dim)) return false;
    bool cut = tap >= 0 && dim_is_constant(windows->old->loops[tap].extent, &size);
    axis->dim[axis->nterms] = (int8_t)windows->place[loop];
    axis->coefficient[axis->nterms++] = old.coefficient[k] * (cut ? size : 1);
    if (!cut) continue;
    axis->dim[axis->nterms] = (int8_t)windows->place[tap];
    axis->coefficient[axis->nterms++] = old.coefficient[k];
  }
  return true;
}

static bool move_access(const Windows *windows, Access *access, const int *renamed) {
  for (int a = 0; a < access->map.naxes; a++) {
    if (access->index[a] >= 0) access->index[a] = (int16_t)renamed[access->index[a]];
    if (!move_axis(windows, &access->map.axis[a])) return false;
  }
  return access_always_inside(windows->plan, &windows->new, access);
}

static int16_t moved(const int *renamed, int16_t operand) { return operand < 0 ? operand : (int16_t)renamed[operand]; }

/* Scalars of the new stage: what was folded is the one value that hits. */
static bool move_scalars(Windows *windows, const Stage *stage, int *renamed) {
  for (int k = 0; k < stage->scalars.count; k++) {
    Scalar scalar = stage->scalars.items[k];
    if (scalar.op == SCALAR_FOLDED) {
      renamed[k] = renamed[stage->folders.items[scalar.index].value];
      continue;
    }
    if (scalar_has_access(scalar.op)) {
      scalar.access = arena_copy(windows->plan->module->arena, scalar.access, sizeof *scalar.access);
      if (!move_access(windows, scalar.access, renamed)) return false;
    }
    renamed[k] = -1;
    if (scalar.op == SCALAR_INSIDE && stage->kind == STAGE_FOLD) continue; /* it is, and only folders ask */
    scalar.a = moved(renamed, scalar.a), scalar.b = moved(renamed, scalar.b), scalar.c = moved(renamed, scalar.c);
    renamed[k] = stage_scalar(windows->plan, &windows->new, scalar);
  }
  return true;
}

/* The stage over the new loops, as windows->new. */
static bool move_stage(Windows *windows, const Stage *stage) {
  int *renamed = NEW_ARRAY(windows->plan->module->arena, int, stage->scalars.count + 1);
  windows->new.place = stage->place;
  memset(&windows->new.scalars, 0, sizeof windows->new.scalars);
  memset(&windows->new.stores, 0, sizeof windows->new.stores);
  windows->new.after = 0;
  if (!move_scalars(windows, stage, renamed)) return false;
  for (int k = 0; k < stage->stores.count; k++) {
    Store store = stage->stores.items[k];
    store.value = (int16_t)renamed[store.value];
    if (!move_access(windows, &store.access, renamed)) return false;
    PUSH(windows->plan->module->arena, &windows->new.stores, store);
  }
  windows->new.after = windows->new.scalars.count;
  return true;
}

/* Each folder asks for nothing but to be inside, and nobody else does. */
static bool only_folders_ask(const Stage *stage) {
  for (int k = 0; k < stage->scalars.count; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    const int16_t operands[] = {scalar->a, scalar->b, scalar->c};
    for (int o = 0; o < scalar_operands(scalar->op); o++) {
      if (operands[o] >= 0 && stage->scalars.items[operands[o]].op == SCALAR_INSIDE) return false;
    }
  }
  for (int k = 0; k < stage->folders.count; k++) {
    int when = stage->folders.items[k].when;
    if (when < 0 || stage->scalars.items[when].op != SCALAR_INSIDE) return false;
    if (stage->scalars.items[stage->folders.items[k].value].op == SCALAR_INSIDE) return false;
  }
  return true;
}

/* The one stage that reads this buffer, NULL: there is none, or several. */
static Stage *only_reader(const Plan *plan, Id buffer) {
  Stage *found = NULL;
  for (int k = 0; k < plan->kernels.count; k++) {
    Stage *stage = &plan->kernels.items[k].stages.items[0];
    if (!stage_reads(stage, buffer)) continue;
    if (found) return NULL;
    found = stage;
  }
  return found;
}

static void try_stage(Plan *plan, Stage *stage) {
  const Stage old = *stage;
  Windows windows = {.plan = plan, .old = &old};
  windows.new = (Stage){.kind = STAGE_EACH, .tile = stage->tile, .vector = stage->vector};
  if (!find_windows(&windows) || !only_folders_ask(stage) || !order_loops(&windows)) return;
  if (!move_stage(&windows, &old)) return;
  *stage = windows.new;
  Stage *reader = old.stores.count == 1 ? only_reader(plan, old.stores.items[0].access.buffer) : NULL;
  bool alike = reader && reader->kind == STAGE_EACH && stages_run_alike(reader, &old);
  if (alike && move_stage(&windows, reader)) *reader = windows.new;
}

void plan_windows(Plan *plan) {
  for (int k = 0; k < plan->kernels.count; k++) try_stage(plan, &plan->kernels.items[k].stages.items[0]);
}
