/* Kernels into launches.
 *
 * In: kernels in an order that may be executed one after another. Out: the same, grouped into launches: each kernel goes
 * into the first launch after all that must precede it, so that kernels with nothing to wait for between them run side by
 * side and threads meet as seldom as the data allows. */
#include "passes/plan/plan_passes.h"

void plan_order(Plan *plan) {
  int count = plan->kernels.count;
  int *level = NEW_ARRAY(plan->module->arena, int, count + 1);
  int levels = 0;
  for (int b = 0; b < count; b++) {
    for (int a = 0; a < b; a++) {
      if (level[a] >= level[b] && kernel_must_precede(plan, a, b)) level[b] = level[a] + 1;
    }
    levels = MAX(levels, level[b] + 1);
  }
  Vec(Kernel) kernels = {0};
  int *place = NEW_ARRAY(plan->module->arena, int, count + 1);
  plan->launches.count = 0;
  for (int at = 0; at < levels; at++) {
    Launch launch = {.kind = LAUNCH_KERNELS, .first = kernels.count, .turn = -1};
    for (int k = 0; k < count; k++) {
      if (level[k] != at) continue;
      place[k] = kernels.count;
      PUSH(plan->module->arena, &kernels, plan->kernels.items[k]);
    }
    launch.count = kernels.count - launch.first;
    PUSH(plan->module->arena, &plan->launches, launch);
  }
  for (Id id = 1; id < plan->buffers.count; id++) {
    Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory == MEMORY_LOCAL) buffer->index = place[buffer->index];
  }
  plan->kernels.items = kernels.items;
  plan->kernels.count = kernels.count;
  plan->kernels.capacity = kernels.capacity;
}
