/* A square of a contraction multiplied by the block's two warpgroups (Hopper's wgmma): m64nNk8 of tf32, m64nNk16 of bf16.
 *
 * Arrays stay f32, so a piece of 32 folds of both operands comes as f32 into one of two buffers, by the GPU's own copies
 * where a tensor map feeds it, else by copies of all threads; a barrier in shared memory counts both, so that what waits for
 * a piece need not know how it comes. The warpgroups take rows from registers: a lane reads and rounds the factors that it
 * must bring, whatever way they lie in the buffer. Columns they take from shared memory, fold by fold side by side and rounded:
 * all threads make such an operand of the piece while the warpgroups still multiply the one before. Then the piece's buffer
 * is free, and the piece after the next is called for. So factors are rounded to nearest, as warps by themselves round them
 * (tf32 left to the hardware would be cut off), and the order of folds is the same: one bound holds for both ways. */
#include "codegen/cuda/contract.h"

enum {
  GROUPS = 2,
  GROUP_THREADS = CUDA_THREADS / GROUPS,
  GROUP_ROWS = 64,
  BUFFERS = 2,
  TILE_ALIGN = 1024,
  BARRIER_BYTES = 8
};

static bool is_bf16(const Contract *contract) { return contract->print->stage->tile.precision == PRECISION_BF16; }
static int step_folds(const Contract *contract) { return is_bf16(contract) ? 16 : 8; }
static int steps_each(const Contract *contract) { return contract->piece / step_folds(contract); }
/* Columns of one warpgroup. */
static int group_columns(const Contract *contract) { return contract->side[1].reach * contract->warps / GROUPS; }

/* `warps`: warpgroups one below the other. */
void give_warpgroups(Contract *contract) {
  Print *print = contract->print;
  int number = print->maps.count;
  contract->warps = contract->side[0].reach / GROUP_ROWS;
  for (int k = 0; k < 2; k++) {
    Side *side = &contract->side[k];
    if (side->feed != FEED_MAP) continue;
    if (!plan_operand_map(print->plan, print->stage, k, side->reach, &side->map)) bug("an operand has no tensor map");
    side->number = number++;
  }
}

/* ---- shared memory: buffers of pieces, two operands, a barrier for each buffer ---- */

static int piece_floats(const Contract *contract) {
  return tile_floats(contract, &contract->side[0]) + tile_floats(contract, &contract->side[1]);
}

static int operand_bytes(const Contract *contract) {
  return contract->side[1].reach * contract->piece * (is_bf16(contract) ? 2 : 4);
}

int wide_floats(const Contract *contract) { return BUFFERS * (piece_floats(contract) + operand_bytes(contract) / 4); }

/* ---- tensor maps ---- */

/* Where a square begins, ", i_4, i_2 + i_5, i_0". */
static const char *map_place(const Print *print, const OperandMap *map, int more) {
  const char *place = "";
  for (int k = 0; k < map->rank; k++) {
    const MapAxis *axis = &map->axis[k];
    for (int j = 0; j < axis->nloops; j++)
      place = arena_format(print->arena, "%s%s%s", place, j > 0 ? " + " : ", ", print->loops[axis->loops[j]]);
    if (k == 0 && more > 0) place = arena_format(print->arena, "%s + %d", place, more);
  }
  return place;
}

static int map_squares(const Side *side) { return side->map.in_fold ? 1 : side->reach / MAP_LINE; }
static int map_bytes(const Side *side) { return 4 * MAP_LINE * side->map.lines * map_squares(side); }

static void print_map_copies(const Contract *contract, const Side *side) {
  Print *print = contract->print;
  print_block(print);
  print_loops(print, "first_fold", contract->folds, contract->nfolds);
  print_loops(print, arena_format(print->arena, "first_%s", side->name), side->loops, side->count);
  for (int k = 0; k < map_squares(side); k++)
    print_line(print, "map_copy(%s_tile + %d, &map_%d, &arrived[buffer]%s);", side->operand, k * MAP_LINE * side->map.lines,
               side->number, map_place(print, &side->map, k * MAP_LINE));
  print_close(print);
}

/* ---- pieces ---- */

static void print_buffer(const Contract *contract) {
  print_line(contract->print, "const int buffer = step %% %d;", BUFFERS);
  print_line(contract->print, "float *const a_tile = tiles + buffer * %d, *const b_tile = a_tile + %d;",
             piece_floats(contract), tile_floats(contract, &contract->side[0]));
}

/* A function that calls for a piece. */
static void print_call(const Contract *contract) {
  Print *print = contract->print;
  bool copies = false;
  int mapped = 0;
  print_open(print, "const auto bring = [&](const %s step)", print->index);
  print_buffer(contract);
  print_line(print, "const %s first_fold = step * %d;", print->index, contract->piece);
  for (int k = 0; k < 2; k++) {
    const Side *side = &contract->side[k];
    if (side->feed == FEED_MAP) {
      mapped += map_bytes(side);
    } else {
      print_bring(contract, side);
      copies = true;
    }
  }
  if (copies) print_line(print, "copies_arrive(&arrived[buffer]);");
  if (mapped > 0) {
    print_open(print, "if (threadIdx.x == 0)");
    print_line(print, "barrier_expect(&arrived[buffer], %d);", mapped);
    for (int k = 0; k < 2; k++)
      if (contract->side[k].feed == FEED_MAP) print_map_copies(contract, &contract->side[k]);
    print_close(print);
  }
  print->depth--;
  print_line(print, "};");
}

static int arrivals(const Contract *contract) {
  bool copies = contract->side[0].feed != FEED_MAP || contract->side[1].feed != FEED_MAP;
  bool maps = contract->side[0].feed == FEED_MAP || contract->side[1].feed == FEED_MAP;
  return (copies ? CUDA_THREADS : 0) + maps;
}

/* Columns, rounded, as the warpgroups read them. */
static void print_operand(const Contract *contract) {
  Print *print = contract->print;
  const Side *columns = &contract->side[1];
  int chunk = is_bf16(contract) ? 8 : 4;
  print_line(print, "unsigned char *const operand = operands + buffer * %d;", operand_bytes(contract));
  print_line(print, "#pragma unroll");
  print_open(print, "for (int chunk = threadIdx.x; chunk < %d; chunk += %d)", columns->reach * contract->piece / chunk,
             CUDA_THREADS);
  print_line(print, "const int own = chunk %% %d, k = chunk / %d * %d;", columns->reach, columns->reach, chunk);
  print_line(print, "float factors[%d];", chunk);
  if (columns->in_fold) {
    for (int k = 0; k < chunk; k += WIDE)
      print_line(print, k == 0 ? "fetch_16(factors, &%s);" : "fetch_16(factors + 4, &%s);",
                 tile_element(contract, columns, "own", k == 0 ? "k" : "k + 4"));
  } else {
    print_line(print, "#pragma unroll");
    print_line(print, "for (int i = 0; i < %d; i++) factors[i] = %s;", chunk,
               tile_element(contract, columns, "own", "k + i"));
  }
  print_line(print, "put_%s(operand, own, k, factors);", is_bf16(contract) ? "bf16" : "tf32");
  print_close(print);
}

/* Rows: factor e of step k of what this lane must bring. */
static void print_rows(const Contract *contract) {
  Print *print = contract->print;
  const Side *rows = &contract->side[0];
  print_line(print, "#pragma unroll");
  print_open(print, "for (int at = 0; at < %d; at++)", 4 * steps_each(contract));
  print_line(print, "const int e = at %% 4, own = first_own + e %% 2 * 8, fold = at / 4 * %d + %s;", step_folds(contract),
             is_bf16(contract) ? "lane_column * 2 + e / 2 * 8" : "lane_column + e / 2 * 4");
  if (is_bf16(contract))
    print_line(print, "a[at / 4][e] = bf16_pair(%s, %s);", tile_element(contract, rows, "own", "fold"),
               tile_element(contract, rows, "own", "fold + 1"));
  else
    print_line(print, "a[at / 4][e] = tf32_of(%s);", tile_element(contract, rows, "own", "fold"));
  print_line(print, "keep(a[at / 4][e]);");
  print_close(print);
}

static void print_multiply(const Contract *contract) {
  Print *print = contract->print;
  int line = operand_bytes(contract) / contract->side[1].reach;
  print_line(print, "const unsigned long long columns = operand_at(operand + group_column * %d, %d, %d);",
             group_columns(contract) * line, line, is_bf16(contract) ? 2 : 1);
  print_line(print, "warpgroup_begin();");
  print_line(print, "#pragma unroll");
  print_line(print, "for (int k = 0; k < %d; k++) warpgroup_multiply_%s_%d(sum, a[k], columns + 2 * k);",
             steps_each(contract), is_bf16(contract) ? "bf16" : "tf32", group_columns(contract));
  print_line(print, "warpgroup_commit();");
}

static void print_barriers(const Contract *contract, const char *call) {
  Print *print = contract->print;
  print_line(print, "if (threadIdx.x == 0)");
  print_line(print, "  for (int buffer = 0; buffer < %d; buffer++) %s;", BUFFERS, call);
}

static void print_keep_sums(const Contract *contract) {
  print_line(contract->print, "#pragma unroll");
  print_line(contract->print, "for (int i = 0; i < %d; i++) keep(sum[i]);", group_columns(contract) / 2);
}

/* ---- what contract.c calls ---- */

void print_wide_head(const Contract *contract) {
  Print *print = contract->print;
  int64_t at = round_up(print->shared_bytes, TILE_ALIGN), bytes = 4 * wide_floats(contract);
  print->wide_bytes = MAX(print->wide_bytes, at - print->shared_bytes + bytes + BUFFERS * BARRIER_BYTES);
  for (int k = 0; k < 2; k++)
    if (contract->side[k].feed == FEED_MAP)
      PUSH(print->module->arena, &print->maps,
           ((CudaMap){contract->side[k].factor->access->buffer, contract->side[k].map}));
  print_line(print, "float *const tiles = (float *)(shared + %lld);", (long long)at);
  print_line(print, "unsigned char *const operands = shared + %lld;",
             (long long)(at + 4 * BUFFERS * piece_floats(contract)));
  print_line(print, "unsigned long long *const arrived = (unsigned long long *)(shared + %lld);", (long long)(at + bytes));
  print_line(print, "const int lane = threadIdx.x %% 32, lane_column = lane %% 4;");
  print_line(print, "const int group_row = %s, group_column = %s;",
             contract->warps == GROUPS ? arena_format(print->arena, "threadIdx.x / %d", GROUP_THREADS) : "0",
             contract->warps == GROUPS ? "0" : arena_format(print->arena, "threadIdx.x / %d", GROUP_THREADS));
  print_line(print, "const int first_own = group_row * %d + threadIdx.x %% %d / 32 * 16 + lane / 4;", GROUP_ROWS,
             GROUP_THREADS);
}

void print_wide_pieces(const Contract *contract) {
  Print *print = contract->print;
  print_barriers(contract, arena_format(print->arena, "barrier_begin(&arrived[buffer], %d)", arrivals(contract)));
  print_line(print, "shared_fence();");
  print_barrier(print);
  print_call(contract);
  print_line(print, "float sum[%d] = {};", group_columns(contract) / 2);
  print_keep_sums(contract);
  print_line(print, "unsigned a[%d][4];", steps_each(contract));
  print_line(print, "for (%s step = 0; step < %d && step < steps; step++) bring(step);", print->index, BUFFERS);
  print_open(print, "for (%s step = 0; step < steps; step++)", print->index);
  print_buffer(contract);
  print_line(print, "barrier_wait(&arrived[buffer], step / %d %% 2);", BUFFERS);
  print_operand(contract);
  print_line(print, "warpgroup_wait();");
  print_rows(contract);
  print_line(print, "shared_fence();");
  print_barrier(print);
  print_line(print, "if (step + %d < steps) bring(step + %d);", BUFFERS, BUFFERS);
  print_multiply(contract);
  print_close(print);
  print_line(print, "warpgroup_wait();");
  print_keep_sums(contract);
}

void print_put_wide_sums(const Contract *contract) {
  Print *print = contract->print;
  int pitch = contract->side[1].reach + SUMS_PAD, columns = group_columns(contract);
  print_barriers(contract, "barrier_end(&arrived[buffer])");
  print_line(print, "#pragma unroll");
  print_line(print, "for (int j = 0; j < %d; j++)", columns / 8);
  print_line(print, "#pragma unroll");
  print_line(print, "  for (int e = 0; e < 4; e++)");
  print_line(
      print,
      "    tiles[(first_own + e / 2 * 8) * %d + group_column * %d + j * 8 + lane_column * 2 + e %% 2] = sum[j * 4 + e];",
      pitch, columns);
}

bool plan_has_warpgroups(const Plan *plan) {
  for (int k = 0; k < plan->kernels.count; k++) {
    const Kernel *kernel = &plan->kernels.items[k];
    for (int s = 0; s < kernel->stages.count; s++)
      if (kernel->stages.items[s].kind == STAGE_CONTRACT && kernel->stages.items[s].tile.feed[0] != FEED_NONE) return true;
  }
  return false;
}
