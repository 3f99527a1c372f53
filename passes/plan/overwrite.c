/* In which order states, and the carries of a loop, are overwritten.
 *
 * Each new value is computed from old ones, by a stage that ends in overwriting its target. A stage that reads a target of
 * another must run before it. Where two read each other's (momentum with weight decay: v needs p, p needs v), they become
 * one stage if each reads just the elements that it overwrites: at each point all loads come before all stores. Where that
 * fails too (a := b beside a transposed b := a), a value must have memory of its own first. */
#include "passes/plan/lowering.h"

#include <string.h>

static Stage *stage_at(Plan *plan, int kernel) { return &plan->kernels.items[kernel].stages.items[0]; }

/* True if `stage` reads `store`'s buffer elsewhere than at the element that it overwrites itself. */
static bool reads_elsewhere(const Stage *stage, const Access *store, bool own) {
  for (int k = 0; k < stage->scalars.count; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    if (scalar->op != SCALAR_LOAD || scalar->access->buffer != store->buffer) continue;
    if (!own || !access_equal(scalar->access, store)) return true;
  }
  return false;
}

/* True if stage a must run before b overwrites. */
static bool must_read_first(Plan *plan, int a, int b) {
  const Stage *reader = stage_at(plan, a), *writer = stage_at(plan, b);
  for (int k = 0; k < writer->stores.count; k++) {
    if (reads_elsewhere(reader, &writer->stores.items[k].access, a == b)) return true;
  }
  return false;
}

/* True if a stage left must run before another left overwrites. One that need not (it copies from memory of its own) can
 * wait for all others, and is in nobody's way. */
static bool goes_first(Plan *plan, int stage, const int *left, int nleft) {
  for (int k = 0; k < nleft; k++) {
    if (left[k] != stage && must_read_first(plan, stage, left[k])) return true;
  }
  return false;
}

static bool may_merge(Plan *plan, int a, int b) {
  if (!must_read_first(plan, a, b) && !must_read_first(plan, b, a)) return false;
  if (!stages_run_alike(stage_at(plan, a), stage_at(plan, b))) return false;
  int both[2] = {a, b};
  for (int pair = 0; pair < 4; pair++) {
    const Stage *reader = stage_at(plan, both[pair / 2]), *writer = stage_at(plan, both[pair % 2]);
    for (int k = 0; k < writer->stores.count; k++) {
      if (reads_elsewhere(reader, &writer->stores.items[k].access, true)) return false;
    }
  }
  return true;
}

static bool merge_a_pair(Plan *plan, int *left, int *nleft) {
  for (int j = 0; j < *nleft; j++) {
    if (!goes_first(plan, left[j], left, *nleft)) continue;
    for (int k = j + 1; k < *nleft; k++) {
      if (!goes_first(plan, left[k], left, *nleft) || !may_merge(plan, left[j], left[k])) continue;
      stage_append(plan, stage_at(plan, left[j]), stage_at(plan, left[k]), false);
      memmove(left + k, left + k + 1, (size_t)(--*nleft - k) * sizeof *left);
      return true;
    }
  }
  return false;
}

/* The first of the stages left whose targets none of the others left still reads, -1 if there is none. */
static int free_overwriter(Plan *plan, const int *left, int nleft) {
  for (int k = 0; k < nleft; k++) {
    bool free = true;
    for (int other = 0; other < nleft && free; other++) free = !must_read_first(plan, left[other], left[k]);
    if (free) return k;
  }
  return -1;
}

/* Of stages that wait for one another, the target of one that others, or itself, wait for: once its value has memory of its
 * own, it reads no target any more. No value of a merged stage has that yet: each reads a target. */
static Id waited_for(Plan *plan, const int *left, int nleft) {
  for (int k = 0; k < nleft; k++) {
    for (int other = 0; other < nleft; other++) {
      if (must_read_first(plan, left[k], left[other])) return stage_at(plan, left[k])->stores.items[0].access.buffer;
    }
  }
  bug("plan %s: stages wait for one another, and none reads", plan->graph->name);
}

Id order_overwriters(Plan *plan, int first) {
  int nleft = plan->kernels.count - first, done = 0;
  int *left = NEW_ARRAY(plan->module->arena, int, nleft + 1);
  Kernel *ordered = NEW_ARRAY(plan->module->arena, Kernel, nleft + 1);
  for (int k = 0; k < nleft; k++) left[k] = first + k;
  while (nleft > 0) {
    int pick = free_overwriter(plan, left, nleft);
    if (pick < 0) {
      if (!merge_a_pair(plan, left, &nleft)) return waited_for(plan, left, nleft);
      continue;
    }
    ordered[done++] = plan->kernels.items[left[pick]];
    memmove(left + pick, left + pick + 1, (size_t)(--nleft - pick) * sizeof *left);
  }
  for (int k = 0; k < done; k++) plan->kernels.items[first + k] = ordered[k];
  plan->kernels.count = first + done;
  return 0;
}
