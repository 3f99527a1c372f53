/* A square of a contraction multiplied by tensor cores, which round factors to tf32 or bf16 and sum in f32.
 *
 * The block's eight warps share the square: `warps` of them one below the other, the rest side by side. A warp has tiles of
 * 16 x 8 sums, four of which each lane holds: of lane l, rows l / 4 and l / 4 + 8, columns l % 4 * 2 and the next. One
 * instruction multiplies 16 rows by 8 columns over 8 folds of tf32 or 16 of bf16; which lane brings which factors is the
 * instruction's: below, factor e of a row's four (a column's two). */
#include "codegen/cuda/contract.h"

enum { WARPS = CUDA_THREADS / 32, TILE_ROWS = 16, TILE_COLUMNS = 8 };

static int warps_across(const Contract *contract) { return WARPS / contract->warps; }
static bool is_bf16(const Contract *contract) { return contract->print->stage->tile.precision == PRECISION_BF16; }

void give_warps(Contract *contract) {
  const Side *rows = &contract->side[0], *columns = &contract->side[1];
  contract->warps = rows->reach / TILE_ROWS < WARPS / 2 ? rows->reach / TILE_ROWS : WARPS / 2;
  contract->tiles[0] = rows->reach / contract->warps / TILE_ROWS;
  contract->tiles[1] = columns->reach / warps_across(contract) / TILE_COLUMNS;
}

/* Made anew where they are used: what hangs on them would be kept all through the loop over folds, and the sums leave little
 * room for that in the 128 registers that two blocks of a multiprocessor leave a thread. */
static void print_warps(const Contract *contract) {
  print_line(contract->print,
             "const int thread = anew(threadIdx.x), lane_row = thread %% 32 / 4, lane_column = thread %% 4;");
  print_line(contract->print, "const int warp_row = thread / %d, warp_column = thread / 32 %% %d;",
             32 * warps_across(contract), warps_across(contract));
}

/* Factor e of tile i: a number of tf32, or two neighbours of bf16. */
static void print_factors(const Contract *contract, int which) {
  Print *print = contract->print;
  const Side *side = &contract->side[which];
  int tiles = contract->tiles[which], size = which == 0 ? TILE_ROWS : TILE_COLUMNS;
  const char *own = arena_format(print->arena, "warp_%s * %d + i * %d + lane_row%s", side->name, tiles * size, size,
                                 which == 0 ? " + e % 2 * 8" : "");
  const char *step = which == 0 ? "e / 2" : "e";
  print_line(print, "#pragma unroll");
  print_line(print, "for (int i = 0; i < %d; i++)", tiles);
  print_line(print, "#pragma unroll");
  print_line(print, "  for (int e = 0; e < %d; e++)", which == 0 ? 4 : 2);
  if (is_bf16(contract)) {
    const char *fold = arena_format(print->arena, "k + lane_column * 2 + %s * 8", step);
    print_line(print, "    %s[i][e] = bf16_pair(%s, %s);", side->operand, tile_element(contract, side, own, fold),
               tile_element(contract, side, own, arena_format(print->arena, "%s + 1", fold)));
  } else {
    const char *fold = arena_format(print->arena, "k + lane_column + %s * 4", step);
    print_line(print, "    %s[i][e] = tf32_of(%s);", side->operand, tile_element(contract, side, own, fold));
  }
}

/* One step of folds after the other: the factors of two find no room either. */
void print_warp_multiply(const Contract *contract) {
  Print *print = contract->print;
  bool bf16 = is_bf16(contract);
  print_warps(contract);
  print_line(print, "#pragma unroll 1");
  print_open(print, "for (int k = 0; k < %d; k += %d)", contract->piece, bf16 ? 16 : 8);
  print_line(print, "unsigned a[%d][4], b[%d][2];", contract->tiles[0], contract->tiles[1]);
  for (int k = 0; k < 2; k++) print_factors(contract, k);
  print_line(print, "#pragma unroll");
  print_line(print, "for (int i = 0; i < %d; i++)", contract->tiles[0]);
  print_line(print, "#pragma unroll");
  print_line(print, "  for (int j = 0; j < %d; j++) multiply_%s(sum[i][j], a[i], b[j]);", contract->tiles[1],
             bf16 ? "bf16" : "tf32");
  print_close(print);
}

void print_put_warp_sums(const Contract *contract, int parts) {
  Print *print = contract->print;
  const Side *rows = &contract->side[0], *columns = &contract->side[1];
  const char *first = parts > 1 ? arena_format(print->arena, " - part * %d", rows->reach / parts) : "";
  print_block(print);
  print_warps(contract);
  if (parts > 1) print_open(print, "if (warp_row / %d == part)", contract->warps / parts);
  print_line(print, "#pragma unroll");
  print_line(print, "for (int i = 0; i < %d; i++)", contract->tiles[0]);
  print_line(print, "#pragma unroll");
  print_line(print, "  for (int j = 0; j < %d; j++)", contract->tiles[1]);
  print_line(print, "#pragma unroll");
  print_line(print, "    for (int e = 0; e < 4; e++)");
  print_line(
      print,
      "      tiles[(warp_row * %d + i * %d + lane_row + e / 2 * 8%s) * %d + warp_column * %d + j * %d + lane_column * 2 + "
      "e %% 2] = sum[i][j][e];",
      contract->tiles[0] * TILE_ROWS, TILE_ROWS, first, columns->reach + SUMS_PAD, contract->tiles[1] * TILE_COLUMNS,
      TILE_COLUMNS);
  if (parts > 1) print_close(print);
  print_close(print);
}
