/* How kernels are cut for a GPU: a task is a block of threads.
 *
 * A block wants a few points for each of its threads, and there should be more blocks than a large GPU has processors;
 * where a kernel has too little work for both, blocks get smaller. A contraction's task is a square of its output: rows
 * (loops that only its first operand varies with) times columns, and `piece` points of its fold are in shared memory at a
 * time. In `tile`, rows x columns are the accumulators of one thread, of 16 x 16 in a block; `vector` is the loop that neighbouring threads run along, here and in stages of
 * all kinds. A contraction with few rows or columns leaves most of such a square empty: it becomes a fold. */
#include "passes/plan/plan_passes.h"

enum {
  THREADS_ACROSS = 16,
  WARP = 32,
  SQUARE = 128,
  PIECE = 2048, /* floats of one operand that are brought at a time, within */
  LEAST_PIECE = 16,
  MOST_PIECE = 64,
  TASK_POINTS = 2048,
  FEW_POINTS = 256,
  FEW_FOR_WARPS = 1024, /* 32 x 32, what eight warps of tensor cores want */
  ENOUGH_TASKS = 256,
  FEW_ROWS = 8
};

static void cut_for_cuda(Kernel *kernel, const TargetCosts *costs);
/* Locals lie in shared memory, beside a contraction's operands. Each contraction is cut by itself: two in one kernel would
 * have but the tasks that they share, a picture each say, which leave most of a large GPU idle. */
#define CUDA_COSTS(own)                                                                                                    \
  {.registers = 32,                                                                                                        \
   .local_bytes = 24 << 10,                                                                                                \
   .shared_bytes = 128 << 10,                                                                                              \
   .contractions = 1,                                                                                                      \
   .task_cycles = 0,                                                                                                       \
   .enough_tasks = ENOUGH_TASKS,                                                                                           \
   .split_fold = 2048,                                                                                                     \
   .precision = own,                                                                                                       \
   .short_launch = 32e6,                                                                                                   \
   .cut = cut_for_cuda,                                                                                                    \
   .feed = feed_for_cuda}
static const TargetCosts f32_costs = CUDA_COSTS(PRECISION_F32), tf32_costs = CUDA_COSTS(PRECISION_TF32),
                         bf16_costs = CUDA_COSTS(PRECISION_BF16);
const TargetCosts *const cuda_costs[PRECISION_COUNT] = {&f32_costs, &tf32_costs, &bf16_costs};

typedef enum Role { ROLE_BATCH, ROLE_ROW, ROLE_COLUMN } Role;

static Role role_of(const Stage *stage, int loop) {
  Operands operands = contract_operands(stage);
  bool a = access_depends(operands.a, loop), b = access_depends(operands.b, loop);
  return a == b ? ROLE_BATCH : a ? ROLE_ROW : ROLE_COLUMN;
}

static double product(const Stage *stage, int from, int to) {
  double points = 1;
  for (int k = from; k < to; k++) points *= (double)stage->loops[k].extent->high;
  return points;
}

/* Rows or columns of one task; of all tasks, where nothing is cut yet. */
static double reach(const Stage *stage, Role role) {
  double reach = 1;
  for (int k = 0; k < stage->nkept; k++) {
    const Loop *loop = &stage->loops[k];
    if (role_of(stage, k) != role) continue;
    reach *= (double)(loop->tile > 0 ? MIN(loop->tile, loop->extent->high) : loop->extent->high);
  }
  return reach;
}

static bool few_rows(const Stage *stage, const TargetCosts *costs) {
  if (costs->small_products) return false;
  return reach(stage, ROLE_ROW) < FEW_ROWS || reach(stage, ROLE_COLUMN) < FEW_ROWS;
}

/* The contraction with the most work, NULL without any. */
static const Stage *main_contract(const Kernel *kernel) {
  const Stage *best = NULL;
  for (int k = 0; k < kernel->stages.count; k++) {
    const Stage *stage = &kernel->stages.items[k];
    if (stage->kind != STAGE_CONTRACT) continue;
    if (!best || product(stage, 0, stage->nloops) > product(best, 0, best->nloops)) best = stage;
  }
  return best;
}

/* ---- tasks ---- */

/* What one index of all task loops costs at most, in points. */
static double points_inside(const Kernel *kernel) {
  double most = 1;
  for (int k = 0; k < kernel->stages.count; k++) {
    const Stage *stage = &kernel->stages.items[k];
    int to = stage->kind == STAGE_CONTRACT ? stage->nkept : stage->nloops;
    double points = product(stage, kernel->ntasks, to);
    most = MAX(most, points);
  }
  return most;
}

/* The tile's part of an extent: even parts where they fill what is left, so that a picture's rows are not cut unevenly. */
static int64_t square_part(const Dim *extent, int64_t left) {
  int64_t even = even_part(extent, left);
  return extent->high <= left ? extent->high : 8 * even >= 7 * left ? even : left;
}

static void cut_square(Kernel *kernel, const Stage *contract, int64_t rows, int64_t columns) {
  for (int loop = contract->nkept - 1; loop >= 0; loop--) {
    Role role = role_of(contract, loop);
    int64_t *left = role == ROLE_ROW ? &rows : &columns, tile = 1;
    if (role != ROLE_BATCH) tile = square_part(contract->loops[loop].extent, MAX(*left, 1));
    if (role != ROLE_BATCH) *left /= tile;
    if (loop < kernel->ntasks) kernel->tasks[loop].tile = (int)tile;
  }
}

static double count_tasks(const Kernel *kernel) {
  double tasks = 1;
  for (int k = 0; k < kernel->ntasks; k++) {
    const Loop *loop = &kernel->tasks[k];
    tasks *= (double)((loop->extent->high + loop->tile - 1) / loop->tile);
  }
  return tasks;
}

static void cut_squares(Kernel *kernel, const Stage *contract, Precision precision) {
  int64_t rows = SQUARE, columns = SQUARE, few = precision == PRECISION_F32 ? FEW_POINTS : FEW_FOR_WARPS;
  cut_square(kernel, contract, rows, columns);
  while (count_tasks(kernel) < ENOUGH_TASKS && rows * columns > few) {
    if (rows >= columns)
      rows /= 2;
    else
      columns /= 2;
    cut_square(kernel, contract, rows, columns);
  }
}

/* Neighbouring threads run along a stage's vector: a warp of them stays together. */
static int least_tile(const Kernel *kernel, int loop) {
  for (int k = 0; k < kernel->stages.count; k++)
    if (kernel->stages.items[k].vector == loop) return (int)MIN(WARP, kernel->tasks[loop].extent->high);
  return 1;
}

static void cut_points(Kernel *kernel) {
  int64_t left = MAX((int64_t)(TASK_POINTS / points_inside(kernel)), 1);
  for (int loop = kernel->ntasks - 1; loop >= 0; loop--) {
    int64_t tile = MAX(even_part(kernel->tasks[loop].extent, left), least_tile(kernel, loop));
    kernel->tasks[loop].tile = (int)tile;
    left = MAX(left / tile, 1);
  }
}

/* Halves the largest tile while there are too few tasks and each has more than a point for each thread. */
static void cut_further(Kernel *kernel) {
  while (count_tasks(kernel) < ENOUGH_TASKS) {
    double points = points_inside(kernel);
    int largest = -1;
    for (int k = 0; k < kernel->ntasks; k++) {
      const Loop *loop = &kernel->tasks[k];
      points *= loop->tile;
      bool halves = loop->tile / 2 >= least_tile(kernel, k);
      if (halves && (largest < 0 || loop->tile > kernel->tasks[largest].tile)) largest = k;
    }
    if (largest < 0 || points <= FEW_POINTS) return;
    kernel->tasks[largest].tile = (kernel->tasks[largest].tile + 1) / 2;
  }
}

static void cut_tasks(Kernel *kernel, const TargetCosts *costs) {
  const Stage *contract = main_contract(kernel);
  if (contract && !few_rows(contract, costs)) {
    cut_squares(kernel, contract, costs->precision);
  } else {
    cut_points(kernel);
    cut_further(kernel);
  }
  int count = kernel->ntasks; /* a loop that is not cut, behind all that are, is no task loop */
  while (count > 0 && kernel->tasks[count - 1].tile >= kernel->tasks[count - 1].extent->high) count--;
  use_tasks(kernel, count);
}

/* ---- stages ---- */

static int accumulators(double reach) {
  int each = 1;
  while (each * THREADS_ACROSS < reach && each * THREADS_ACROSS < SQUARE) each *= 2;
  return each;
}

/* Neighbouring threads store neighbours: the loop of columns that is dense in the result, or the last one. */
static int column_loop(const Stage *stage) {
  int last = -1;
  for (int k = 0; k < stage->nkept; k++) {
    if (role_of(stage, k) != ROLE_COLUMN) continue;
    last = k;
    if (stage->stores.count > 0 && access_is_dense(&stage->stores.items[0].access, k)) return k;
  }
  return last;
}

static bool stores_rows_densely(const Stage *stage) {
  for (int k = 0; k < stage->nkept && stage->stores.count > 0; k++)
    if (role_of(stage, k) == ROLE_ROW && access_is_dense(&stage->stores.items[0].access, k)) return true;
  return false;
}

/* How many points of the fold are brought at a time: many where rows and columns are few, so that barriers are. */
static int piece_of(const Stage *stage) {
  int across = THREADS_ACROSS * MAX(stage->tile.rows, stage->tile.columns), piece = MOST_PIECE;
  double folds = product(stage, stage->nkept, stage->nloops);
  while (piece > LEAST_PIECE && (piece * across > PIECE || piece >= 2 * folds)) piece /= 2;
  return piece;
}

/* Rows and columns for all warps; rows for warpgroups. */
enum { FOR_WARPS = 2, FOR_WARPGROUPS = 4 };
static bool suits_tensor_cores(const Stage *stage) { return MIN(stage->tile.rows, stage->tile.columns) >= FOR_WARPS; }

static void choose_stage(Stage *stage, const TargetCosts *costs) {
  if (stage->kind == STAGE_CONTRACT && few_rows(stage, costs)) {
    stage->kind = STAGE_FOLD;
    stage->tile = (Tile){.vector = -1, .row = -1, .column = -1};
  }
  if (stage->kind != STAGE_CONTRACT) return;
  stage->vector = -1;
  if (stores_rows_densely(stage)) contract_swap(stage);
  stage->tile = (Tile){.vector = column_loop(stage), .row = -1, .column = -1};
  int least = costs->small_products ? FOR_WARPS : 1;
  bool grouped = costs->small_products && costs->precision != PRECISION_F32;
  stage->tile.rows = MAX(accumulators(reach(stage, ROLE_ROW)), grouped ? FOR_WARPGROUPS : least);
  stage->tile.columns = MAX(accumulators(reach(stage, ROLE_COLUMN)), least);
  stage->tile.piece = piece_of(stage);
  if (suits_tensor_cores(stage)) stage->tile.precision = costs->precision;
}

static void cut_for_cuda(Kernel *kernel, const TargetCosts *costs) {
  for (int k = 0; k < kernel->stages.count; k++) choose_vector(&kernel->stages.items[k]); /* of folds; by whole loops */
  cut_tasks(kernel, costs);
  for (int k = 0; k < kernel->stages.count; k++) choose_stage(&kernel->stages.items[k], costs);
}
