/* What the tiles read along lanes, as they read it: in panels.
 *
 * A contraction reads such an operand, [.., O], a few vectors of columns at a time and then all rows of them. Row-major,
 * these rows lie O elements apart: each in another page, and where O is a large power of two all in the same sets of the
 * cache. In panels, [O / 64, .., 64], they follow one another. Weights lie so, and values that one kernel makes for another:
 * a transposed copy, or the gradient of a layer's result, which the gradient of its weights reads. The optimizer's states
 * lie like their param; the canonical order is only seen by get, set, init and checkpoints, which go by the symbol's
 * factors.
 *
 * This is the one pass that looks at the plans of all entries at once, for they share the state. A symbol or buffer is cut if
 * a contraction reads it along lanes, it is large, and every access to it runs along its last axis by a loop that can be cut
 * as well. That loop, o, becomes two, o1 and o0, with 64 * o1 + o0 in o's place in all maps; the buffer's own index (.., o)
 * becomes (o1, .., o0). What comes after sees an ordinary buffer of one more axis. A buffer that one kernel alone uses stays
 * as it is, for its parts can stay with the tasks.
 * An elementwise kernel that makes panels alone goes through them in memory's order.
 *
 * Narrow weights gain nothing by it (`scripts/marks tries` puts those of an mlp of 128 columns into panels), so the target
 * says from how many rows and columns on it is done. */
#include "passes/plan/plan_passes.h"

#include <string.h>

/* What may lie in panels: a symbol, or a buffer in the arena of some plan. They are numbered, symbols first. */
typedef struct Subject {
  bool wanted; /* some contraction's lanes run along its last axis */
  bool barred; /* some access can't be cut */
  bool chosen;
  const Kernel *user; /* of a buffer: a kernel that uses it */
  bool shared;        /* and there are others */
} Subject;

typedef struct Panels {
  Module *module;
  Plan *const *plans;
  const TargetCosts *costs;
  Subject *subjects;
  int *first; /* by plan: the number of its buffer 0 */
  int plan;   /* the one at hand */
} Panels;

/* ---- what a stage reads and writes ---- */

static int access_count(const Stage *stage) { return stage->scalars.count + stage->stores.count; }

/* NULL: the scalar has none. */
static Access *access_at(const Stage *stage, int k) {
  if (k >= stage->scalars.count) return &stage->stores.items[k - stage->scalars.count].access;
  return scalar_has_access(stage->scalars.items[k].op) ? stage->scalars.items[k].access : NULL;
}

/* What it touches, NULL: nothing that may lie in panels. */
static Subject *subject_of(const Panels *panels, const Access *access) {
  if (!access || !access->buffer) return NULL;
  const Buffer *buffer = &panels->plans[panels->plan]->buffers.items[access->buffer];
  if (buffer->memory == MEMORY_STATE) return &panels->subjects[buffer->index];
  return buffer->memory == MEMORY_ARENA ? &panels->subjects[panels->first[panels->plan] + access->buffer] : NULL;
}

static bool is_chosen(const Panels *panels, const Access *access) {
  const Subject *subject = subject_of(panels, access);
  return subject && subject->chosen;
}

static int term_of(const Axis *axis, int loop) {
  for (int t = 0; t < axis->nterms; t++) {
    if (axis->dim[t] == loop) return t;
  }
  return -1;
}

/* ---- which ---- */

static bool is_large(const Panels *panels, const Type *type) {
  int64_t rows = 1;
  if (panels->costs->panel == 0 || type->dtype != F32 || type->rank < 2 || type->rank >= MAX_RANK) return false;
  int64_t columns;
  for (int k = 0; k < type->rank - 1; k++) rows *= MAX(type->size[k]->high, 0);
  return dim_is_constant(type->size[type->rank - 1], &columns) && columns >= panels->costs->panel_columns &&
         columns % panels->costs->panel == 0 && rows >= panels->costs->panel_rows;
}

static bool whole_panels(const Dim *dim, int panel) {
  int64_t value;
  return dim_is_constant(dim, &value) && value % panel == 0;
}

/* The loop along the last axis of a symbol, if it steps through whole panels; else -1. */
static int panel_loop(const Plan *plan, const Stage *stage, const Access *access, int panel) {
  const Type *type = &plan->buffers.items[access->buffer].type;
  int last = type->rank - 1;
  if (!type_same_sizes(&access->as, type) || access->index[last] >= 0) return -1;
  const Axis *axis = &access->map.axis[last];
  if (axis->nterms != 1 || axis->coefficient[0] != 1 || axis->divisor != 1 || !whole_panels(axis->offset, panel)) return -1;
  return whole_panels(stage->loops[axis->dim[0]].extent, panel) ? axis->dim[0] : -1;
}

/* True if each index that mentions the loop has room for a second term in its place. */
static bool can_cut(const Stage *stage, int loop, int cuts) {
  bool last_matters = stage->kind == STAGE_SORT || stage->kind == STAGE_CUMSUM;
  if (stage->nloops + cuts > MAX_LOOPS || (last_matters && loop == stage->nkept - 1)) return false;
  for (int k = 0; k < access_count(stage); k++) {
    const Access *access = access_at(stage, k);
    for (int a = 0; access && a < access->map.naxes; a++) {
      if (access->map.axis[a].nterms == 2 && term_of(&access->map.axis[a], loop) >= 0) return false;
    }
  }
  return true;
}

/* The loop that this access wants cut, -1: none. */
static int loop_to_cut(const Panels *panels, const Stage *stage, const Access *access) {
  const Plan *plan = panels->plans[panels->plan];
  if (!subject_of(panels, access) || !is_large(panels, &plan->buffers.items[access->buffer].type)) return -1;
  return panel_loop(plan, stage, access, panels->costs->panel);
}

/* The loops of a stage that would be cut if all that is large were in panels. */
static uint32_t loops_in_question(const Panels *panels, const Stage *stage) {
  uint32_t loops = 0;
  for (int k = 0; k < access_count(stage); k++) {
    int loop = loop_to_cut(panels, stage, access_at(stage, k));
    if (loop >= 0) loops |= 1u << loop;
  }
  return loops;
}

/* All stages of a kernel share its task loops: those are cut in each of them. */
static bool kernel_can_cut(const Panels *panels, const Kernel *kernel, const Stage *stage, int loop) {
  uint32_t shared = 0, tasks = (1u << kernel->ntasks) - 1;
  for (int s = 0; s < kernel->stages.count; s++) shared |= loops_in_question(panels, &kernel->stages.items[s]) & tasks;
  for (int s = 0; s < kernel->stages.count; s++) {
    const Stage *other = &kernel->stages.items[s];
    if (other != stage && loop >= kernel->ntasks) continue;
    if (!can_cut(other, loop, __builtin_popcount(shared | loops_in_question(panels, other)))) return false;
  }
  return true;
}

/* Lanes run along the loop: one operand has it, and so have neighbours of the result. */
static bool is_lanes_of_contract(const Stage *stage, const Access *access, int loop) {
  if (stage->kind != STAGE_CONTRACT || loop >= stage->nkept) return false;
  const Scalar *product = &stage->scalars.items[stage->folders.items[0].value];
  const Access *a = stage->scalars.items[product->a].access, *b = stage->scalars.items[product->b].access;
  if (access != a && access != b) return false;
  const Access *other = access == a ? b : a;
  for (int k = 0; other && k < other->map.naxes; k++) {
    if (term_of(&other->map.axis[k], loop) >= 0) return false;
  }
  for (int k = 0; k < stage->stores.count; k++) {
    if (access_is_dense(&stage->stores.items[k].access, loop)) return true;
  }
  return false;
}

static void look_at_stage(Panels *panels, const Kernel *kernel, const Stage *stage) {
  for (int k = 0; k < access_count(stage); k++) {
    const Access *access = access_at(stage, k);
    Subject *subject = subject_of(panels, access);
    if (!subject) continue;
    int loop = loop_to_cut(panels, stage, access);
    if (loop < 0 || !kernel_can_cut(panels, kernel, stage, loop))
      subject->barred = true;
    else if (is_lanes_of_contract(stage, access, loop))
      subject->wanted = true;
    if (subject->user && subject->user != kernel) subject->shared = true;
    subject->user = kernel;
  }
}

static void look_at_plan(Panels *panels) {
  const Plan *plan = panels->plans[panels->plan];
  for (int k = 0; k < plan->kernels.count; k++) {
    const Kernel *kernel = &plan->kernels.items[k];
    for (int s = 0; s < kernel->stages.count; s++) look_at_stage(panels, kernel, &kernel->stages.items[s]);
  }
}

/* Momentum and the like: it has its param's name as the beginning of its own, and its sizes. */
static bool follows(const Symbol *symbol, const Symbol *param) {
  size_t length = strlen(param->name);
  return strncmp(symbol->name, param->name, length) == 0 && symbol->name[length] == '.' &&
         type_same_sizes(&symbol->type, &param->type);
}

static bool choose_symbols(Panels *panels) {
  bool any = false;
  Module *module = panels->module;
  for (int k = 0; k < module->symbols.count; k++) {
    Symbol *param = &module->symbols.items[k];
    if (!panels->subjects[k].wanted || panels->subjects[k].barred) continue;
    panels->subjects[k].chosen = any = true;
    for (int j = 0; j < module->symbols.count; j++) {
      Symbol *symbol = &module->symbols.items[j];
      if (!panels->subjects[j].barred && follows(symbol, param) && symbol->reordered == param->reordered)
        panels->subjects[j].chosen = true;
    }
  }
  for (int k = 0; k < module->symbols.count; k++) {
    if (panels->subjects[k].chosen) module->symbols.items[k].panel = panels->costs->panel;
  }
  return any;
}

static bool choose_buffers(Panels *panels, int count) {
  bool any = false;
  for (int k = panels->module->symbols.count; k < count; k++) {
    Subject *subject = &panels->subjects[k];
    subject->chosen = subject->wanted && subject->shared && !subject->barred;
    any = any || subject->chosen;
  }
  return any;
}

/* ---- the cut ---- */

/* Loop `loop` becomes two, it and the one behind it. */
static void cut_axis(Axis *axis, int loop, int panel) {
  int term = term_of(axis, loop);
  for (int t = 0; t < axis->nterms; t++) {
    if (axis->dim[t] > loop) axis->dim[t]++;
  }
  if (term < 0) return;
  CHECK(axis->nterms == 1);
  axis->dim[1] = (int8_t)(loop + 1);
  axis->coefficient[1] = axis->coefficient[0];
  axis->coefficient[0] *= panel;
  axis->nterms = 2;
}

static void cut_loops(Module *module, Loop *loops, int count, int loop, int panel) {
  for (int k = count; k > loop + 1; k--) loops[k] = loops[k - 1];
  loops[loop + 1] = (Loop){.extent = dim_constant(module, panel)};
  loops[loop].extent = dim_constant(module, loops[loop].extent->value / panel);
}

static void cut_stage(Plan *plan, Stage *stage, int loop, int panel) {
  for (int k = 0; k < access_count(stage); k++) {
    Access *access = access_at(stage, k);
    for (int a = 0; access && a < access->map.naxes; a++) cut_axis(&access->map.axis[a], loop, panel);
  }
  cut_loops(plan->module, stage->loops, stage->nloops, loop, panel);
  stage->nloops++;
  if (loop < stage->nkept) stage->nkept++;
}

/* Accesses may be shared between stages and plans that were copied from one another. */
static void own_accesses(Plan *plan, Stage *stage) {
  for (int k = 0; k < stage->scalars.count; k++) {
    Scalar *scalar = &stage->scalars.items[k];
    if (scalar_has_access(scalar->op)) scalar->access = arena_copy(plan->module->arena, scalar->access, sizeof(Access));
  }
}

/* (.., 64 * o1 + o0) of [.., O] as (o1, .., o0) of [O / 64, .., 64]. */
static void index_panels(Plan *plan, Access *access, int panel) {
  Axis column = access->map.axis[access->map.naxes - 1];
  int last = access->map.naxes;
  for (int k = last - 1; k > 0; k--) {
    access->map.axis[k] = access->map.axis[k - 1];
    access->index[k] = access->index[k - 1];
  }
  access->map.axis[0] = axis_affine(column.dim[0], 1, dim_constant(plan->module, column.offset->value / panel));
  access->index[0] = access->index[last] = -1;
  access->map.axis[last] = axis_of(plan->module, column.dim[1]);
  access->map.naxes++;
  access->as = type_in_panels(plan->module, &access->as, panel);
}

/* The loops of this stage that run along some panels. */
static uint32_t loops_to_cut(const Panels *panels, const Stage *stage) {
  uint32_t loops = 0;
  for (int k = 0; k < access_count(stage); k++) {
    const Access *access = access_at(stage, k);
    if (is_chosen(panels, access))
      loops |= 1u << panel_loop(panels->plans[panels->plan], stage, access, panels->costs->panel);
  }
  return loops;
}

/* The loop through the panels of all that the stage stores; -1: it stores more than that. */
static int loop_of_panels(const Panels *panels, const Stage *stage) {
  int loop = -1;
  for (int k = 0; k < stage->stores.count; k++) {
    const Access *access = &stage->stores.items[k].access;
    const Axis *panel = &access->map.axis[0];
    if (!is_chosen(panels, access) || panel->nterms != 1 || (k > 0 && panel->dim[0] != loop)) return -1;
    loop = panel->dim[0];
  }
  return loop;
}

/* An elementwise kernel may go through its points in any order. One panel after another is that of memory: what it writes to
 * several places of each, a picture's transformed kernel say, are lines that follow one another. */
static void go_by_panels(const Panels *panels, Plan *plan, Kernel *kernel) {
  Stage *stage = &kernel->stages.items[0];
  int place[MAX_LOOPS], loop = loop_of_panels(panels, stage);
  if (kernel->stages.count > 1 || stage->kind != STAGE_EACH || kernel->ntasks < stage->nloops || loop <= 0) return;
  for (int k = 0; k < MAX_LOOPS; k++) place[k] = k < loop ? k + 1 : k == loop ? 0 : k;
  *stage = stage_reordered(plan, stage, place);
  memcpy(kernel->tasks, stage->loops, sizeof kernel->tasks);
}

static void cut_kernel(const Panels *panels, Plan *plan, Kernel *kernel) {
  uint32_t shared = 0, tasks = (1u << kernel->ntasks) - 1;
  int ntasks = kernel->ntasks, panel = panels->costs->panel;
  for (int s = 0; s < kernel->stages.count; s++) shared |= loops_to_cut(panels, &kernel->stages.items[s]) & tasks;
  for (int s = 0; s < kernel->stages.count; s++) {
    Stage *stage = &kernel->stages.items[s];
    uint32_t loops = shared | loops_to_cut(panels, stage);
    if (loops == 0) continue;
    own_accesses(plan, stage);
    for (int loop = MAX_LOOPS - 1; loop >= 0; loop--) {
      if (loops >> loop & 1) cut_stage(plan, stage, loop, panel);
    }
    for (int k = 0; k < access_count(stage); k++) {
      Access *access = access_at(stage, k);
      if (is_chosen(panels, access)) index_panels(plan, access, panel);
    }
  }
  for (int loop = ntasks - 1; loop >= 0; loop--) {
    if (!(shared >> loop & 1)) continue;
    cut_loops(plan->module, kernel->tasks, kernel->ntasks, loop, panel);
    kernel->ntasks++;
  }
  go_by_panels(panels, plan, kernel);
}

static void cut_plan(const Panels *panels, Plan *plan) {
  for (int k = 0; k < plan->kernels.count; k++) cut_kernel(panels, plan, &plan->kernels.items[k]);
  for (Id id = 1; id < plan->buffers.count; id++) {
    Buffer *buffer = &plan->buffers.items[id];
    if (is_chosen(panels, &(Access){.buffer = id}))
      buffer->type = type_in_panels(plan->module, &buffer->type, panels->costs->panel);
  }
}

void plans_panels(Module *module, Plan *const *plans, int count, const TargetCosts *costs) {
  if (costs->panel == 0) return;
  Panels panels = {.module = module, .plans = plans, .costs = costs};
  int subjects = module->symbols.count;
  panels.first = NEW_ARRAY(module->arena, int, count + 1);
  for (int k = 0; k < count; k++) {
    panels.first[k] = subjects;
    subjects += plans[k]->buffers.count;
  }
  panels.subjects = NEW_ARRAY(module->arena, Subject, subjects + 1);
  for (panels.plan = 0; panels.plan < count; panels.plan++) look_at_plan(&panels);
  bool symbols = choose_symbols(&panels), buffers = choose_buffers(&panels, subjects);
  if (!symbols && !buffers) return;
  for (panels.plan = 0; panels.plan < count; panels.plan++) cut_plan(&panels, plans[panels.plan]);
}
