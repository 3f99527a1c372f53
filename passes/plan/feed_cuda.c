/* Which contractions the warpgroups of Hopper's GPUs multiply, and how their operands come to shared memory.
 *
 * A warpgroup multiplies 64 rows at a time; there are two in a block. Squares that are too small for them, and operands that
 * lie in shared memory already, are left to single warps, as everything is on other GPUs. An operand is copied by the GPU
 * itself where a tensor map can describe it: one loop of its own and one that is folded, beside loops of batches; one of the
 * two runs along neighbours in memory, all others in steps of 16 bytes; what describes it is known when the entry is called,
 * so it hangs on no turn of a loop. Maps are arguments of launches: an entry that is one launch has none. All else is copied
 * by the threads, from the same index maps. */
#include "passes/plan/plan_passes.h"

enum { ACROSS = 16, GROUP_ROWS = 64, LEAST_COLUMNS = 32, LEAST_FOLDS = 32, MAP_STEP = 4, MAP_RANK = 4 };

static bool is_multiple(Module *module, const Dim *dim, int64_t by) {
  const Dim *rest = dim_mod(module, dim, dim_constant(module, by));
  return rest && dim_is(rest, 0);
}

/* What is known at the call. */
static bool is_fixed(const Module *module, const Dim *dim) {
  if (dim->kind == DIM_SYMBOL) return !module->dims.items[dim->symbol].turn;
  if (dim->kind == DIM_FLOORDIV) return is_fixed(module, dim->a) && is_fixed(module, dim->b);
  for (int k = 0; dim->kind == DIM_SUM && k < dim->nterms; k++)
    for (int atom = 0; atom < dim->terms[k].natoms; atom++)
      if (!is_fixed(module, dim->terms[k].atoms[atom])) return false;
  return true;
}

/* One index of it in a task. */
static bool is_single(const Loop *loop) { return loop->tile == 1 || loop->extent->high == 1; }

static bool map_fits(const Plan *plan, const Stage *stage, const Access *access, const Access *other) {
  const Dim *base, *strides[MAX_LOOPS];
  Memory memory = plan->buffers.items[access->buffer].memory;
  if (plan->at_once || memory == MEMORY_CONSTANT || !access_strides(plan, stage, access, &base, strides)) return false;
  if (!is_multiple(plan->module, base, MAP_STEP) || !is_fixed(plan->module, base)) return false;
  int own = 0, folds = 0, dense = 0, rank = 0;
  for (int k = 0; k < stage->nloops; k++) {
    const Loop *loop = &stage->loops[k];
    bool batch = k < stage->nkept && (access_depends(other, k) || is_single(loop));
    if (!batch && dim_is(strides[k], 1)) dense++;
    if (k >= stage->nkept)
      folds++;
    else if (!batch && !dim_is(strides[k], 0))
      own++;
    if (dim_is(strides[k], 0)) continue;
    rank++;
    if ((batch || !dim_is(strides[k], 1)) && !is_multiple(plan->module, strides[k], MAP_STEP)) return false;
    if (!is_fixed(plan->module, strides[k]) || strides[k]->low < 0) return false;
  }
  return own == 1 && folds == 1 && dense == 1 && rank <= MAP_RANK && !dim_is(strides[stage->nkept], 0);
}

static bool suits_warpgroups(const Plan *plan, const Stage *stage) {
  Operands operands = contract_operands(stage);
  const Access *both[] = {operands.a, operands.b};
  double folds = 1;
  for (int k = 0; k < 2; k++)
    if (plan->buffers.items[both[k]->buffer].memory == MEMORY_LOCAL) return false;
  for (int k = stage->nkept; k < stage->nloops; k++) folds *= (double)stage->loops[k].extent->high;
  return stage->tile.precision != PRECISION_F32 && stage->tile.rows * ACROSS >= GROUP_ROWS &&
         stage->tile.columns * ACROSS >= LEAST_COLUMNS && folds >= LEAST_FOLDS;
}

void feed_for_cuda(Plan *plan) {
  for (int k = 0; k < plan->kernels.count; k++) {
    Kernel *kernel = &plan->kernels.items[k];
    for (int s = 0; s < kernel->stages.count; s++) {
      Stage *stage = &kernel->stages.items[s];
      if (stage->kind != STAGE_CONTRACT || !suits_warpgroups(plan, stage)) continue;
      Operands operands = contract_operands(stage);
      stage->tile.feed[0] = map_fits(plan, stage, operands.a, operands.b) ? FEED_MAP : FEED_COPIES;
      stage->tile.feed[1] = map_fits(plan, stage, operands.b, operands.a) ? FEED_MAP : FEED_COPIES;
    }
  }
}
