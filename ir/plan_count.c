/* What a kernel computes and moves: the arithmetic as written in the plan, a multiplication and an addition for each point
 * of a contraction, one for each other scalar op; each array that is touched moved once. Beyond 64 bits a count is NULL,
 * and stays it. */
#include "ir/plan.h"

static const Dim *times(Module *module, const Dim *a, int64_t b) {
  return a ? dim_multiply(module, a, dim_constant(module, b)) : NULL;
}
static const Dim *plus(Module *module, const Dim *a, const Dim *b) { return a && b ? dim_add(module, a, b) : NULL; }

static const Dim *points(const Plan *plan, const Stage *stage, int loops) {
  const Dim *count = dim_constant(plan->module, 1);
  for (int k = 0; k < loops && count; k++) count = dim_multiply(plan->module, count, stage->loops[k].extent);
  return count;
}

static int count_ops(const Stage *stage, int from, int to) {
  int count = 0;
  for (int k = from; k < to; k++) count += stage->scalars.items[k].op < SCALAR_LOAD;
  return count;
}

static const Dim *stage_flops(const Plan *plan, const Stage *stage) {
  Module *module = plan->module;
  const Dim *all = points(plan, stage, stage->nloops), *kept = points(plan, stage, stage->nkept);
  bool folds = stage->kind == STAGE_FOLD || stage->kind == STAGE_CONTRACT;
  int after = folds ? stage->after : stage->scalars.count;
  int each = count_ops(stage, 0, after) + stage->folders.count;
  if (stage->kind == STAGE_SCATTER || stage->kind == STAGE_CUMSUM) each++;
  const Dim *flops = times(module, all, each);
  return plus(module, flops, times(module, kept, count_ops(stage, after, stage->scalars.count)));
}

const Dim *kernel_flops(const Plan *plan, const Kernel *kernel) {
  if (kernel->flops) return kernel->flops;
  const Dim *sum = dim_constant(plan->module, 0);
  for (int k = 0; k < kernel->stages.count; k++) sum = plus(plan->module, sum, stage_flops(plan, &kernel->stages.items[k]));
  return sum;
}

static void touch(const Access *access, bool *touched) {
  if (access) touched[access->buffer] = true;
}

const Dim *kernel_bytes(const Plan *plan, const Kernel *kernel) {
  if (kernel->bytes) return kernel->bytes;
  Module *module = plan->module;
  Arena *arena = arena_new();
  bool *touched = NEW_ARRAY(arena, bool, plan->buffers.count);
  for (int k = 0; k < kernel->stages.count; k++) {
    const Stage *stage = &kernel->stages.items[k];
    for (int j = 0; j < stage->scalars.count; j++) {
      if (stage->scalars.items[j].op == SCALAR_LOAD) touch(stage->scalars.items[j].access, touched);
    }
    for (int j = 0; j < stage->stores.count; j++) touch(&stage->stores.items[j].access, touched);
  }
  const Dim *sum = dim_constant(module, 0);
  for (Id id = 1; id < plan->buffers.count; id++) {
    const Buffer *buffer = &plan->buffers.items[id];
    if (!touched[id] || buffer->memory == MEMORY_LOCAL) continue;
    const Dim *count = type_count(module, &buffer->type);
    sum = plus(module, sum, times(module, count, plan_element_bytes(buffer->type.dtype)));
  }
  arena_free(arena);
  return sum;
}

/* A contraction's op is the measure; others wait for memory, divide, compare: about eight times as long. */
const Dim *kernel_effort(const Plan *plan, const Kernel *kernel) {
  Module *module = plan->module;
  const Dim *sum = dim_constant(module, 0);
  for (int k = 0; k < kernel->stages.count; k++) {
    const Stage *stage = &kernel->stages.items[k];
    const Dim *all = points(plan, stage, stage->nloops);
    int64_t each = stage->kind == STAGE_CONTRACT ? 2 : 8 * (int64_t)stage->scalars.count;
    sum = plus(module, sum, times(module, all, each));
  }
  return sum;
}
