/* What stays with a task: buffers that one kernel alone uses, each task a part of its own, are LOCAL.
 *
 * In: kernels that are cut into tasks. A task's locals should fit into a processor's own cache. A buffer that no cache holds
 * as a whole (wide.c) is LOCAL even if they don't: a task's part is reused by the next task, the whole would go through
 * memory; and before that, tasks are made of fewer rows. */
#include "passes/plan/plan_passes.h"

enum { WIDE_LOCALS = 8 << 20 };

static bool leading_bare(const Plan *plan, const Kernel *kernel, const Stage *stage, const Access *access) {
  const Type *own = &plan->buffers.items[access->buffer].type;
  for (int t = 0; t < kernel->ntasks; t++) {
    if (t >= own->rank || t >= access->as.rank || own->size[t] != access->as.size[t]) return false;
    if (own->size[t] != stage->loops[t].extent || access->index[t] >= 0) return false;
    if (!axis_is_bare(&access->map.axis[t], t)) return false;
  }
  return true;
}

/* The kernel that alone uses each buffer, -1 where there are several or where a task reads another's part. */
static int *only_users(const Plan *plan) {
  int *user = NEW_ARRAY(plan->module->arena, int, plan->buffers.count);
  for (int k = 0; k < plan->buffers.count; k++) user[k] = -2;
  for (int k = 0; k < plan->kernels.count; k++) {
    const Kernel *kernel = &plan->kernels.items[k];
    for (int s = 0; s < kernel->stages.count; s++) {
      const Stage *stage = &kernel->stages.items[s];
      for (int a = 0; a < stage->scalars.count + stage->stores.count; a++) {
        bool store = a >= stage->scalars.count;
        const Access *access =
            store ? &stage->stores.items[a - stage->scalars.count].access : stage->scalars.items[a].access;
        if (!store && stage->scalars.items[a].op != SCALAR_LOAD) continue;
        bool alone = user[access->buffer] == -2 || user[access->buffer] == k;
        user[access->buffer] = alone && leading_bare(plan, kernel, stage, access) ? k : -1;
      }
    }
  }
  return user;
}

/* What all locals of a kernel take; where stages don't wait for each other, none may lie in another's place. */
static int64_t locals_of(const Plan *plan, int kernel, const TargetCosts *costs) {
  int64_t sum = 0;
  if (costs->locals_share) return kernel_local_bytes(plan, kernel);
  for (Id id = 1; id < plan->buffers.count; id++)
    if (plan->buffers.items[id].memory == MEMORY_LOCAL && plan->buffers.items[id].index == kernel)
      sum += buffer_tile_bytes(plan, id);
  return sum;
}

static bool is_wide(const Plan *plan, Id id, const TargetCosts *costs) {
  return costs->wide_bytes > 0 && buffer_bytes_at_bounds(plan, id) >= costs->wide_bytes;
}

/* Tasks of fewer rows, where these are what keeps a wide buffer from staying with them. */
static void narrow_tasks(Plan *plan, int index, const int *user, const TargetCosts *costs) {
  enum { FEWEST = 8 };
  Kernel *kernel = &plan->kernels.items[index];
  Loop *last = kernel->ntasks > 0 ? &kernel->tasks[kernel->ntasks - 1] : NULL;
  bool wide = false, changed = false;
  for (Id id = 1; id < plan->buffers.count; id++) {
    if (plan->buffers.items[id].memory != MEMORY_ARENA || user[id] != index) continue;
    wide = wide || is_wide(plan, id, costs);
    plan->buffers.items[id].memory = MEMORY_LOCAL;
    plan->buffers.items[id].index = index;
  }
  while (wide && last && last->tile > FEWEST && locals_of(plan, index, costs) > costs->local_bytes) {
    last->tile = (int)round_up(last->tile / 2, FEWEST);
    changed = true;
  }
  for (Id id = 1; id < plan->buffers.count; id++) {
    Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory == MEMORY_LOCAL && buffer->index == index) buffer->memory = MEMORY_ARENA, buffer->index = 0;
  }
  if (!changed) return;
  use_tasks(kernel, kernel->ntasks);
  cut_stages(kernel, costs);
}

void plan_make_local(Plan *plan, const TargetCosts *costs) {
  const int *user = only_users(plan);
  for (int k = 0; k < plan->kernels.count && costs->wide_bytes > 0; k++) narrow_tasks(plan, k, user, costs);
  for (Id id = 1; id < plan->buffers.count; id++) {
    Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory != MEMORY_ARENA || user[id] < 0) continue;
    buffer->memory = MEMORY_LOCAL;
    buffer->index = user[id];
    int64_t most = is_wide(plan, id, costs) ? WIDE_LOCALS : costs->local_bytes;
    if (locals_of(plan, user[id], costs) <= most) continue;
    buffer->memory = MEMORY_ARENA;
    buffer->index = 0;
  }
}
