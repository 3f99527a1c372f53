/* Which contractions the warpgroups of Hopper's GPUs multiply, and how their operands come to shared memory.
 *
 * A warpgroup multiplies 64 rows at a time; there are two in a block. Squares that are too small for them, and operands that
 * lie in shared memory already, are left to single warps, as everything is on other GPUs. An operand is copied by the GPU
 * itself where a tensor map can describe it (ir/plan_map.c). Maps are arguments of launches: an entry that is one launch has
 * none. All else is copied by the threads, from the same index maps. */
#include "passes/plan/plan_passes.h"

enum { ACROSS = 16, GROUP_ROWS = 64, LEAST_COLUMNS = 32, LEAST_FOLDS = 32 };

static bool suits_warpgroups(const Plan *plan, const Stage *stage, const TargetCosts *costs) {
  Operands operands = contract_operands(stage);
  const Access *both[] = {operands.a, operands.b};
  double folds = 1;
  for (int k = 0; k < 2; k++)
    if (plan->buffers.items[both[k]->buffer].memory == MEMORY_LOCAL) return false;
  for (int k = stage->nkept; k < stage->nloops; k++) folds *= (double)stage->loops[k].extent->high;
  return stage->tile.precision != PRECISION_F32 && stage->tile.rows * ACROSS >= GROUP_ROWS &&
         stage->tile.columns * ACROSS >= LEAST_COLUMNS && (folds >= LEAST_FOLDS || costs->small_products);
}

void feed_for_cuda(Plan *plan, const TargetCosts *costs) {
  for (int k = 0; k < plan->kernels.count; k++) {
    Kernel *kernel = &plan->kernels.items[k];
    for (int s = 0; s < kernel->stages.count; s++) {
      Stage *stage = &kernel->stages.items[s];
      if (stage->kind != STAGE_CONTRACT || !suits_warpgroups(plan, stage, costs)) continue;
      for (int operand = 0; operand < 2; operand++) {
        int reach = ACROSS * (operand == 0 ? stage->tile.rows : stage->tile.columns);
        OperandMap map;
        bool fits = !plan->at_once && plan_operand_map(plan, stage, operand, reach, &map);
        stage->tile.feed[operand] = fits ? FEED_MAP : FEED_COPIES;
      }
    }
  }
}
