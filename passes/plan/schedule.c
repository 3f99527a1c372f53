/* How kernels are cut: tasks, lanes, register tiles, and what stays in a task's own memory.
 *
 * In: fused kernels whose task loops are all that their stages share. Out: the task loops that are used, each with a tile;
 * for each stage the loop that lanes run along; for contractions the register tile; buffers that live and die inside one
 * task are LOCAL. All of it follows from shapes and bounds alone, never from the number of threads, so that the bits do
 * not either. Costs are counted in cycles at the bounds of run-time sizes: rough, but they order the candidates. */
#include "passes/plan/plan_passes.h"

#include <string.h>

enum { LANES = 16, ROWS_BLOCK = 8, MOST_ROWS = 14, MOST_COLUMNS = 8 }; /* columns: vectors of lanes */

/* A fused multiply-add of a tile costs 1/32 cycle, an element of a simple loop about 1/4. */
static void cut_for_cpu(Kernel *kernel, const TargetCosts *costs);
const TargetCosts default_costs = {.registers = 32,
                                   .local_bytes = 512 << 10,
                                   .locals_share = true,
                                   .skips = true,
                                   .wide_bytes = 32 << 20,
                                   .shared_bytes = 768 << 10,
                                   .task_cycles = 16384,
                                   .alone_cycles = 1 << 21,
                                   .alone_inference = 1 << 17,
                                   .panel = 64,
                                   .panel_columns = 256,
                                   .panel_rows = 64,
                                   .cut = cut_for_cpu};

static double extent_of(const Stage *stage, int loop) { return (double)stage->loops[loop].extent->high; }

double stage_cycles(const Stage *stage, int loops) {
  double points = 1;
  for (int k = loops; k < stage->nloops; k++) points *= extent_of(stage, k);
  return stage->kind == STAGE_CONTRACT ? points / 24 : points * stage->scalars.count / LANES;
}

/* What ops take that are longer than others. */
static double longer_cycles(const Stage *stage) {
  enum { LONG_OP = 16 };
  double points = 1;
  int more = 0;
  for (int k = 0; k < stage->nloops; k++) points *= extent_of(stage, k);
  for (int k = 0; k < stage->scalars.count; k++) {
    int op = stage->scalars.items[k].op;
    if (op < SCALAR_LOAD && op_info[op].flags & LONG) more += LONG_OP - 1;
  }
  return points * more / LANES;
}

/* ---- lanes ---- */

typedef enum Stride { STRIDE_NONE, STRIDE_ONE, STRIDE_OTHER } Stride;

/* How far apart an access's elements are for neighbours along a loop. */
static Stride stride_along(const Access *access, int loop) {
  Stride stride = STRIDE_NONE;
  for (int k = 0; k < access->as.rank; k++) {
    const Axis *axis = &access->map.axis[k];
    if (access->index[k] >= 0) return STRIDE_OTHER;
    for (int t = 0; t < axis->nterms; t++) {
      if (axis->dim[t] != loop) continue;
      bool last = true;
      for (int j = k + 1; j < access->as.rank; j++) last = last && dim_is(access->as.size[j], 1);
      bool one = last && stride == STRIDE_NONE && axis->coefficient[t] == 1 && axis->divisor == 1;
      stride = one ? STRIDE_ONE : STRIDE_OTHER;
    }
  }
  return stride;
}

static double access_cycles(const Access *access, int loop) {
  Stride stride = stride_along(access, loop);
  return stride == STRIDE_NONE ? 0.1 : stride == STRIDE_ONE ? 1 : 16;
}

/* Of these scalars, for a vector of points. */
static double scalar_cycles(const Stage *stage, int from, int to, int loop) {
  double cycles = 0;
  for (int k = from; k < to; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    cycles += scalar->op == SCALAR_LOAD ? access_cycles(scalar->access, loop) : 1;
  }
  return cycles;
}

/* Cycles of a stage, all in all, if lanes run along this loop. */
static double lane_cycles(const Stage *stage, int loop) {
  enum { FOLDED_LANES = 16 }; /* what makes one of them, and computes what is done with it */
  double extent = extent_of(stage, loop), points = 1, results = 1;
  if (stage->loops[loop].tile > 0) extent = MIN(extent, stage->loops[loop].tile);
  for (int k = 0; k < stage->nloops; k++) {
    points *= extent_of(stage, k);
    if (k < stage->nkept) results *= extent_of(stage, k);
  }
  double vectors = (double)((int64_t)(extent + LANES - 1) / LANES) / extent;
  int after = stage->after > 0 ? stage->after : stage->scalars.count;
  double behind = scalar_cycles(stage, after, stage->scalars.count, loop);
  for (int k = 0; k < stage->stores.count; k++) behind += access_cycles(&stage->stores.items[k].access, loop);
  if (loop >= stage->nkept)
    behind = FOLDED_LANES + stage->scalars.count - after; /* one by one */
  else
    behind *= vectors;
  return points * vectors * scalar_cycles(stage, 0, after, loop) + results * behind;
}

void choose_vector(Stage *stage) {
  double best = 0;
  int last = stage->kind == STAGE_SCATTER ? stage->nkept : stage->kind == STAGE_CUMSUM ? stage->nkept - 1 : stage->nloops;
  stage->vector = -1;
  if (stage->kind == STAGE_SORT) return;
  for (int loop = 0; loop < last; loop++) {
    double cycles = lane_cycles(stage, loop);
    if (stage->vector < 0 || cycles < best) {
      best = cycles;
      stage->vector = loop;
    }
  }
}

/* ---- register tiles ---- */

bool access_depends(const Access *access, int loop) { return stride_along(access, loop) != STRIDE_NONE; }
bool access_is_dense(const Access *access, int loop) { return stride_along(access, loop) == STRIDE_ONE; }

Operands contract_operands(const Stage *stage) {
  const Scalar *product = &stage->scalars.items[stage->folders.items[0].value];
  return (Operands){stage->scalars.items[product->a].access, stage->scalars.items[product->b].access};
}

void contract_swap(Stage *stage) {
  Scalar *product = &stage->scalars.items[stage->folders.items[0].value];
  int16_t a = product->a;
  product->a = product->b;
  product->b = a;
}

/* ---- deep folds ---- */

/* A contraction whose operand with lanes outgrows a processor's own cache. It is cut along columns as well, in tasks of many
 * rows, and its fold in pieces: so that each part of that operand comes from afar once a task, not once a row of tiles. */
enum { DEEP_FOLD = 768, DEEP_BYTES = 1 << 20, DEEP_PIECE = 512, DEEP_ROWS = 128, DEEP_COLUMNS = 64 };

typedef struct Deep {
  const Access *narrow, *wide; /* NULL: the fold is not deep */
  int lanes, nkept;
} Deep;

static Deep deep_along(const Stage *stage, int loop, const Access *narrow, const Access *wide) {
  double rows = 1, columns = 1, folded = 1;
  if (stride_along(wide, loop) != STRIDE_ONE || access_depends(narrow, loop)) return (Deep){0};
  if (extent_of(stage, loop) < 2 * LANES) return (Deep){0}; /* it would not fill them: kw of a kernel, say */
  for (int k = 0; k < stage->nloops; k++) {
    bool row = access_depends(narrow, k), column = access_depends(wide, k);
    if (k >= stage->nkept) folded *= extent_of(stage, k);
    if (k < stage->nkept && row && !column) rows *= extent_of(stage, k);
    if (k < stage->nkept && column && !row) columns *= extent_of(stage, k);
  }
  bool deep = folded >= DEEP_FOLD && folded * columns * 4 >= DEEP_BYTES && columns >= DEEP_COLUMNS && rows >= 16;
  return deep ? (Deep){.narrow = narrow, .wide = wide, .lanes = loop, .nkept = stage->nkept} : (Deep){0};
}

static Deep deep_fold(const Stage *stage) {
  Deep none = {0};
  if (stage->kind != STAGE_CONTRACT) return none;
  Operands operands = contract_operands(stage);
  for (int loop = stage->nkept - 1; loop >= 0; loop--) {
    Deep deep = deep_along(stage, loop, operands.a, operands.b);
    if (!deep.wide) deep = deep_along(stage, loop, operands.b, operands.a);
    if (deep.wide) return deep;
  }
  return none;
}

/* The largest part of an extent, up to `most`, that leaves no rest, or one that leaves a small one. */
int64_t even_part(const Dim *extent, int64_t most) {
  int64_t whole;
  if (extent->high <= most) return extent->high;
  for (int64_t part = most; dim_is_constant(extent, &whole) && 2 * part > most; part--) {
    if (whole % part == 0) return part;
  }
  return most;
}

/* How many indices of an open loop a task takes, where `most` would do: a batch of small pictures brings few rows each, so
 * that it may be twice as many, and a power of two leaves no rest of most batches. */
static int64_t open_part(const Dim *extent, int64_t most) {
  int64_t part = 1;
  if (most == DEEP_ROWS) return MIN(extent->high, most);
  while (2 * part <= MIN(extent->high, 2 * most)) part *= 2;
  return part;
}

/* A loop that moves a window over what is folded: its indices read nearly the same elements. */
static bool moves_window(const Deep *deep, int loop) {
  for (int a = 0; a < deep->narrow->map.naxes; a++) {
    const Axis *axis = &deep->narrow->map.axis[a];
    if (axis->nterms != 2 || (axis->dim[0] != loop && axis->dim[1] != loop)) continue;
    if (axis->dim[0] >= deep->nkept || axis->dim[1] >= deep->nkept) return true;
  }
  return false;
}

/* What a task takes of a loop of rows. Channels beside taps fill whole tiles, of 6 rows and 4 vectors. */
static int64_t part_of_rows(const Dim *extent, int64_t most, bool window) {
  enum { TILE_ROWS = 6 };
  if (extent->kind != DIM_CONSTANT) return open_part(extent, most);
  bool beside = !window && most < DEEP_ROWS && most >= TILE_ROWS && extent->high > most;
  return beside ? most - most % TILE_ROWS : even_part(extent, most);
}

/* Rows that move windows come first: all taps of a kernel's gradient, and few of its channels, take one walk over pictures. */
static void choose_deep_tasks(Kernel *kernel, const Deep *deep) {
  int64_t most = DEEP_ROWS;
  for (int loop = 0; loop < kernel->ntasks; loop++) {
    Loop *task = &kernel->tasks[loop];
    task->tile = loop == deep->lanes ? (int)MIN(task->extent->high, DEEP_COLUMNS) : 1;
  }
  for (int turn = 0; turn < 2; turn++) {
    for (int loop = kernel->ntasks - 1; loop >= 0; loop--) {
      Loop *task = &kernel->tasks[loop];
      bool window = moves_window(deep, loop);
      bool row = access_depends(deep->narrow, loop) && !access_depends(deep->wide, loop);
      if (!row || most < 1 || window == (turn == 1)) continue;
      task->tile = (int)part_of_rows(task->extent, most, window);
      most /= task->tile;
    }
  }
}

/* ---- the cheapest tile ---- */

static double vectors_of(double extent) { return (double)((int64_t)(extent + LANES - 1) / LANES); }

static double reach_of(const Stage *stage, int loop) {
  double extent = extent_of(stage, loop);
  return stage->loops[loop].tile > 0 ? MIN(extent, stage->loops[loop].tile) : extent;
}

/* Cycles per point of the remaining loops to cover an extent of rows and one of columns by tiles of this size, remainders
 * by smaller ones: bound by multiply-adds (two a cycle), by loads (two a cycle), or by their latency of four cycles. */
static double tile_cycles(double rows, double columns, int tile_rows, int tile_columns) {
  double total = 0;
  for (double r = 0; r < rows; r += tile_rows) {
    for (double c = 0; c < columns; c += tile_columns) {
      double nr = MIN(tile_rows, rows - r), nc = MIN(tile_columns, columns - c);
      double cycles = MAX(nr * nc / 2, (nr + nc) / 2);
      total += MAX(cycles, 4) + 0.15 * (nr + 2 * nc); /* what loads cost where they miss L1; columns' are wider */
    }
  }
  return total;
}

/* How many indices of a loop each task has, -1 where they differ. */
static int64_t known_reach(const Stage *stage, int loop) {
  int64_t extent;
  if (loop < 0) return 1;
  if (!dim_is_constant(stage->loops[loop].extent, &extent)) return -1;
  int tile = stage->loops[loop].tile;
  return tile == 0 || tile >= extent ? extent : extent % tile == 0 ? tile : -1;
}

/* The kept loop that `in` depends on and `out` does not, other than the lanes', with the largest reach; -1 if none. */
static int blocked_loop(const Stage *stage, const Access *in, const Access *out, int vector) {
  int best = -1;
  for (int loop = 0; loop < stage->nkept; loop++) {
    if (loop == vector || !access_depends(in, loop) || access_depends(out, loop)) continue;
    if (reach_of(stage, loop) < 2) continue;
    if (best < 0 || MIN(reach_of(stage, loop), 8) >= MIN(reach_of(stage, best), 8)) best = loop;
  }
  return best;
}

/* Code takes a smaller tile where that leaves no rest. Where another one that leaves none is better than that, it is this. */
static void settle_tile(const Stage *stage, Tile *tile, const TargetCosts *costs) {
  enum { SHORT_FOLD = 8 };
  int64_t rows = known_reach(stage, tile->row), columns = known_reach(stage, tile->vector);
  bool kept = tile->column < 0 && tile->vector < stage->nkept;
  if (!kept || rows < 0 || columns < 0 || stage->loops[stage->nloops - 1].extent->high < SHORT_FOLD) return;
  columns = (columns + LANES - 1) / LANES;
  Tile best = *tile;
  tile_avoid_rest(rows, columns, &best.rows, &best.columns);
  double cycles = tile_cycles((double)rows, (double)columns, best.rows, best.columns);
  for (int r = 1; r <= MOST_ROWS; r++) {
    for (int c = 1; c <= MOST_COLUMNS; c++) {
      if (rows % r != 0 || columns % c != 0 || r * c + c + 1 > costs->registers - 1) continue;
      double found = tile_cycles((double)rows, (double)columns, r, c);
      if (found >= cycles) continue;
      cycles = found;
      tile->rows = r, tile->columns = c;
    }
  }
}

/* The best tile with lanes along `vector`, and what the stage then costs per point of the rest. */
static Tile tile_along(const Stage *stage, int vector, const TargetCosts *costs, double *cycles) {
  Operands operands = contract_operands(stage);
  bool both = access_depends(operands.a, vector) && access_depends(operands.b, vector);
  Tile best = {.vector = vector, .rows = 1, .columns = 1};
  best.row = blocked_loop(stage, operands.a, operands.b, vector);
  best.column = blocked_loop(stage, operands.b, operands.a, vector);
  double vectors = vectors_of(reach_of(stage, vector));
  if (!both && (best.column < 0 || vectors > 1)) best.column = -1; /* columns along the lanes themselves */
  double rows = best.row < 0 ? 1 : reach_of(stage, best.row);
  double columns = best.column >= 0 ? reach_of(stage, best.column) : both ? 1 : vectors;
  Tile tile = best;
  *cycles = -1;
  for (tile.rows = 1; tile.rows <= MIN(rows, MOST_ROWS); tile.rows++) {
    for (tile.columns = 1; tile.columns <= MIN(columns, MOST_COLUMNS); tile.columns++) {
      int registers = tile.rows * tile.columns + tile.columns + (both ? tile.rows : 1);
      if (registers > costs->registers - 1 && tile.rows * tile.columns > 1) continue;
      double found = tile_cycles(MIN(rows, 512), MIN(columns, 512), tile.rows, tile.columns);
      if (*cycles >= 0 && found >= *cycles) continue;
      *cycles = found;
      best = tile;
    }
  }
  double rest = 1;
  for (int k = 0; k < stage->nloops; k++) {
    bool inside = k == best.row || k == best.column || k == vector;
    if (!inside) rest *= extent_of(stage, k);
  }
  *cycles *= rest * extent_of(stage, vector) / reach_of(stage, vector);
  if (both || best.column >= 0) *cycles *= vectors;
  return best;
}

static double results_of(const Stage *stage) {
  double results = 1;
  for (int k = 0; k < stage->nkept; k++) results *= extent_of(stage, k);
  return results;
}

static void choose_tile(Stage *stage, const TargetCosts *costs) {
  double best = -1;
  Deep deep = deep_fold(stage);
  for (int loop = 0; loop < stage->nloops; loop++) {
    if (deep.wide && loop != deep.lanes) continue;
    for (int swapped = 0; swapped < 2; swapped++, contract_swap(stage)) {
      Operands operands = contract_operands(stage);
      double cycles;
      if (stride_along(operands.b, loop) != STRIDE_ONE || stride_along(operands.a, loop) == STRIDE_OTHER) continue;
      Tile tile = tile_along(stage, loop, costs, &cycles);
      if (loop >= stage->nkept) {
        cycles += results_of(stage) * 6;
      } else {
        bool scattered = false;
        for (int k = 0; k < stage->stores.count; k++) {
          scattered = scattered || stride_along(&stage->stores.items[k].access, loop) != STRIDE_ONE;
        }
        if (scattered) cycles += results_of(stage) * 2;
      }
      if (best >= 0 && cycles >= best) continue;
      best = cycles;
      stage->tile = tile;
    }
  }
  if (best < 0) {
    stage->tile = (Tile){.vector = -1, .row = -1, .column = -1, .rows = 1, .columns = 1};
    return;
  }
  /* Swapping twice left the operands as they were: bring b to the lanes. */
  if (stride_along(contract_operands(stage).b, stage->tile.vector) != STRIDE_ONE ||
      (stage->tile.row >= 0 && access_depends(contract_operands(stage).b, stage->tile.row))) {
    contract_swap(stage);
  }
  if (deep.wide) stage->tile.piece = DEEP_PIECE;
  settle_tile(stage, &stage->tile, costs);
}

/* ---- tasks ---- */

/* True if a loop inside `loop` can be a tile's rows in its place: a picture's height or width beside the batch. */
static bool has_other_rows(const Stage *stage, int loop) {
  Operands operands = contract_operands(stage);
  for (int other = loop + 1; other < stage->nkept; other++) {
    bool a = access_depends(operands.a, other), b = access_depends(operands.b, other);
    bool same_side = a != b && a == access_depends(operands.a, loop);
    if (same_side && extent_of(stage, other) >= 7) return true;
  }
  return false;
}

static bool is_dense_along(const Stage *stage, int loop) {
  Operands operands = contract_operands(stage);
  return stride_along(operands.a, loop) == STRIDE_ONE || stride_along(operands.b, loop) == STRIDE_ONE;
}

/* True if lanes can run along a kept loop inside this one. */
static bool has_other_lanes(const Stage *stage, int loop) {
  for (int other = loop + 1; other < stage->nkept; other++) {
    if (is_dense_along(stage, other)) return true;
  }
  return false;
}

/* A fold whose lanes will run along a kept loop: it reads a few lines at each of its points, better neighbouring ones. Where
 * there are loops outside, they make tasks enough. */
static bool folds_beside(const Stage *stage, int loop) {
  for (int k = 0; stage->kind == STAGE_FOLD && k < stage->after; k++) {
    const Scalar *scalar = &stage->scalars.items[k];
    if (scalar->op == SCALAR_LOAD && stride_along(scalar->access, loop) == STRIDE_ONE) return true;
  }
  return false;
}

/* True if some contraction of the kernel blocks registers along this task loop: then its tile should hold whole blocks. */
static int block_along(const Kernel *kernel, int loop) {
  int block = 1;
  for (int k = 0; k < kernel->stages.count; k++) {
    const Stage *stage = &kernel->stages.items[k];
    if (stage->kind != STAGE_CONTRACT) {
      if (loop == stage->nkept - 1) block = MAX(block, loop > 0 && folds_beside(stage, loop) ? 4 * LANES : LANES);
      continue;
    }
    Operands operands = contract_operands(stage);
    if (is_dense_along(stage, loop)) {
      block = MAX(block, has_other_lanes(stage, loop) ? ROWS_BLOCK : 2 * LANES);
    } else if (access_depends(operands.a, loop) != access_depends(operands.b, loop) && !has_other_rows(stage, loop)) {
      block = MAX(block, ROWS_BLOCK);
    }
  }
  return block;
}

static int64_t round_to_block(double value, int block) { return round_up((int64_t)(value < 1 ? 1 : value), block); }

static bool contracts(const Kernel *kernel) {
  for (int k = 0; k < kernel->stages.count; k++)
    if (kernel->stages.items[k].kind == STAGE_CONTRACT) return true;
  return false;
}

/* Of about so many indices, in whole blocks: a part that leaves no rest, for then tasks are alike and vectors have no masks.
 * Run-time sizes are mostly powers of two. */
static int64_t level_part(const Dim *extent, int64_t tile, int block) {
  int64_t whole, part = block;
  if (tile >= extent->high) return tile;
  if (!dim_is_constant(extent, &whole)) {
    while (2 * part <= tile) part *= 2;
    return part;
  }
  for (part = tile; 2 * part > tile && part >= block; part -= block)
    if (whole % part == 0) return part;
  return tile;
}

/* Of about so many rows, up to twice as many: a part that leaves no rest, which would be a low tile. */
static int64_t even_rows(const Dim *extent, int64_t rows) {
  int64_t whole, most = 2 * rows;
  if (!dim_is_constant(extent, &whole)) return rows;
  for (; rows <= most; rows++)
    if (whole % rows == 0) return rows;
  return even_part(extent, most / 2);
}

/* Uses leading loops as task loops, the outer ones index by index, until a task is small enough. One whose few rows take
 * very long is cut along columns too: there may be one row. With a contraction a task wants rows for its tiles, whatever the
 * rest of it takes. */
static void choose_tasks(Kernel *kernel, const TargetCosts *costs) {
  enum { LONG_TASK = 10 };
  double cycles = 0;
  int leading = kernel->ntasks;
  bool level = !contracts(kernel);
  for (int k = 0; k < kernel->stages.count; k++) {
    const Stage *stage = &kernel->stages.items[k];
    cycles += stage_cycles(stage, 0) + (level ? longer_cycles(stage) : 0);
  }
  kernel->ntasks = 0;
  for (int loop = 0; loop < leading && cycles > costs->task_cycles; loop++) {
    double extent = (double)kernel->tasks[loop].extent->high;
    double each = cycles / extent;
    int block = block_along(kernel, loop);
    int64_t tile = round_to_block(costs->task_cycles / each, block);
    if (each * block > 4 * costs->task_cycles) tile = block;
    if (level) tile = level_part(kernel->tasks[loop].extent, tile, block);
    if (!level && block == ROWS_BLOCK) tile = even_rows(kernel->tasks[loop].extent, tile);
    kernel->tasks[loop].tile = (int)MIN(tile, kernel->tasks[loop].extent->high);
    kernel->ntasks = loop + 1;
    bool long_still = each * (double)kernel->tasks[loop].tile > LONG_TASK * costs->task_cycles;
    if (kernel->tasks[loop].tile > 1 && !long_still) break;
    cycles = each * (double)kernel->tasks[loop].tile;
  }
}

static void choose_cut(Kernel *kernel, const TargetCosts *costs) {
  Deep deep = {0};
  for (int k = 0; k < kernel->stages.count && !deep.wide; k++) deep = deep_fold(&kernel->stages.items[k]);
  if (deep.wide)
    choose_deep_tasks(kernel, &deep);
  else
    choose_tasks(kernel, costs);
  use_tasks(kernel, kernel->ntasks);
}

void use_tasks(Kernel *kernel, int count) {
  kernel->ntasks = count;
  for (int k = 0; k < kernel->stages.count; k++) {
    for (int loop = 0; loop < MAX_LOOPS; loop++) {
      kernel->stages.items[k].loops[loop].tile = loop < count ? kernel->tasks[loop].tile : 0;
    }
  }
}

void cut_stages(Kernel *kernel, const TargetCosts *costs) {
  for (int s = 0; s < kernel->stages.count; s++) {
    Stage *stage = &kernel->stages.items[s];
    if (stage->kind == STAGE_CONTRACT) {
      choose_tile(stage, costs);
    } else {
      choose_vector(stage);
    }
  }
}

static void cut_for_cpu(Kernel *kernel, const TargetCosts *costs) {
  choose_cut(kernel, costs);
  cut_stages(kernel, costs);
}

/* Short ones cost less as one launch with barriers. Its arguments are all buffers. */
static bool launches_are_short(const Plan *plan, const TargetCosts *costs) {
  enum { MOST_BUFFERS = 400 };
  double points = 0;
  for (int k = 0; k < plan->kernels.count; k++) {
    const Kernel *kernel = &plan->kernels.items[k];
    for (int s = 0; s < kernel->stages.count; s++) {
      double own = 1;
      for (int loop = 0; loop < kernel->stages.items[s].nloops; loop++) own *= extent_of(&kernel->stages.items[s], loop);
      points += own;
    }
  }
  return plan->kernels.count > 1 && plan->buffers.count + plan->module->dims.count < MOST_BUFFERS &&
         points < costs->short_launch * plan->kernels.count;
}

void plan_schedule(Plan *plan, const TargetCosts *costs) {
  if (costs->enough_tasks > 0) split_folds(plan, costs);
  for (int k = 0; k < plan->kernels.count; k++) costs->cut(&plan->kernels.items[k], costs);
  plan_make_local(plan, costs);
  plan->at_once = launches_are_short(plan, costs);
  if (costs->feed) costs->feed(plan, costs);
}
