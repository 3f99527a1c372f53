/* Kernels into launches.
 *
 * In: kernels in an order that may be executed one after another. Out: the same, grouped into launches: each kernel goes
 * into the first launch after all that must precede it, so that kernels with nothing to wait for between them run side by
 * side and threads meet as seldom as the data allows. A scan's loop is one step for all around it, with launches of its
 * own inside. */
#include "passes/plan/plan_passes.h"

/* A kernel, or a loop with all in it, seen from the region around it. */
typedef struct Step {
  int kernel; /* -1: a loop */
  int region; /* the loop's own */
  int level;
} Step;
typedef struct Ordering {
  Plan *plan;
  Vec(Kernel) kernels;
  int *place; /* by old index */
} Ordering;

static bool step_holds(const Plan *plan, const Step *step, int kernel) {
  return step->kernel >= 0 ? step->kernel == kernel : region_holds(plan, step->region, plan->kernels.items[kernel].region);
}

static bool step_must_precede(const Plan *plan, const Step *first, const Step *second) {
  for (int a = 0; a < plan->kernels.count; a++) {
    if (!step_holds(plan, first, a)) continue;
    for (int b = a + 1; b < plan->kernels.count; b++) {
      if (step_holds(plan, second, b) && kernel_must_precede(plan, a, b)) return true;
    }
  }
  return false;
}

/* The steps of a region in the list's order: a loop stands where its first kernel does. */
static int find_steps(const Plan *plan, int region, Step *steps) {
  int count = 0;
  for (int k = 0; k < plan->kernels.count; k++) {
    int own = plan->kernels.items[k].region;
    if (!region_holds(plan, region, own)) continue;
    Step step = {.kernel = own == region ? k : -1};
    while (own != region) {
      step.region = own;
      own = plan->regions.items[own].parent;
    }
    bool known = false;
    for (int s = 0; s < count && step.kernel < 0; s++) known = known || steps[s].region == step.region;
    if (!known) steps[count++] = step;
  }
  return count;
}

static void order_region(Ordering *ordering, int region);

static void add_kernels(Ordering *ordering, const Step *steps, int count, int level) {
  Plan *plan = ordering->plan;
  Launch launch = {.kind = LAUNCH_KERNELS, .first = ordering->kernels.count, .turn = -1};
  for (int k = 0; k < count; k++) {
    if (steps[k].level != level || steps[k].kernel < 0) continue;
    ordering->place[steps[k].kernel] = ordering->kernels.count;
    PUSH(plan->module->arena, &ordering->kernels, plan->kernels.items[steps[k].kernel]);
  }
  launch.count = ordering->kernels.count - launch.first;
  if (launch.count > 0) PUSH(plan->module->arena, &plan->launches, launch);
}

static void add_loop(Ordering *ordering, int region) {
  Plan *plan = ordering->plan;
  const Region *loop = &plan->regions.items[region];
  Launch begin = {.kind = LAUNCH_LOOP, .turn = loop->turn, .trips = loop->trips, .reverse = loop->reverse};
  Launch end = {.kind = LAUNCH_END, .turn = -1};
  PUSH(plan->module->arena, &plan->launches, begin);
  order_region(ordering, region);
  PUSH(plan->module->arena, &plan->launches, end);
}

static void order_region(Ordering *ordering, int region) {
  Plan *plan = ordering->plan;
  Step *steps = NEW_ARRAY(plan->module->arena, Step, plan->kernels.count + 1);
  int count = find_steps(plan, region, steps), levels = 0;
  for (int b = 0; b < count; b++) {
    for (int a = 0; a < b; a++) {
      if (steps[a].level >= steps[b].level && step_must_precede(plan, &steps[a], &steps[b])) {
        steps[b].level = steps[a].level + 1;
      }
    }
    levels = MAX(levels, steps[b].level + 1);
  }
  for (int level = 0; level < levels; level++) {
    add_kernels(ordering, steps, count, level);
    for (int k = 0; k < count; k++) {
      if (steps[k].level == level && steps[k].kernel < 0) add_loop(ordering, steps[k].region);
    }
  }
}

void plan_order(Plan *plan) {
  Ordering ordering = {.plan = plan};
  ordering.place = NEW_ARRAY(plan->module->arena, int, plan->kernels.count + 1);
  plan->launches.count = 0;
  order_region(&ordering, 0);
  for (Id id = 1; id < plan->buffers.count; id++) {
    Buffer *buffer = &plan->buffers.items[id];
    if (buffer->memory == MEMORY_LOCAL) buffer->index = ordering.place[buffer->index];
  }
  plan->kernels.items = ordering.kernels.items;
  plan->kernels.count = ordering.kernels.count;
  plan->kernels.capacity = ordering.kernels.capacity;
}
