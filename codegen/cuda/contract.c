/* Contractions as squares of the output: a block of 16 x 16 threads, each with rows x columns accumulators in registers.
 *
 * Kept loops are rows (only the first operand a varies with them), columns (only b), or batch (both); within a role they are
 * counted through as one, and so are the folded loops. So a dense layer, a convolution and their gradients are one piece of
 * code, an implicit product through the same index maps. The fold goes in pieces: while the block multiplies one, the next
 * is on its way from memory, copied without passing through registers, 16 bytes at a time where shapes and strides prove that
 * so many lie together; what lies outside the square is 0 there. A sum's order is that of the fold, so the bits do not
 * depend on the cut. What is done to the sums is an ordinary loop over the square, which they reach through shared memory:
 * its code is short, and neighbouring threads store neighbours. mma.c multiplies by tensor cores where the plan says so. */
#include "codegen/cuda/contract.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- what lies together ---- */

/* An expression that is a multiple of `by` at sight. */
static bool is_multiple(const char *total, int by) {
  char *end;
  if (!isdigit((unsigned char)total[0])) return false;
  int64_t value = strtoll(total, &end, 10);
  return *end == 0 && value % by == 0;
}

static bool is_dense_along(const Print *print, const Access *access, int loop) {
  const Dim *base, *strides[MAX_LOOPS];
  return access_strides(print->plan, print->stage, access, &base, strides) && dim_is(strides[loop], 1);
}

/* ---- roles ---- */

/* Rows are free in their order: those that lie side by side in memory run fastest. */
static void sort_rows(const Print *print, Side *rows) {
  for (int k = 0; k + 1 < rows->count; k++) {
    int loop = rows->loops[k];
    if (!is_dense_along(print, rows->factor->access, loop)) continue;
    memmove(&rows->loops[k], &rows->loops[k + 1], (size_t)(rows->count - 1 - k) * sizeof *rows->loops);
    rows->loops[rows->count - 1] = loop;
    return;
  }
}

static void choose_copies(const Contract *contract, Side *side) {
  const Print *print = contract->print;
  const Access *access = side->factor->access;
  int last = contract->nfolds > 0 ? contract->folds[contract->nfolds - 1] : -1;
  side->local = print->plan->buffers.items[access->buffer].memory == MEMORY_LOCAL;
  side->in_fold = last >= 0 && is_dense_along(print, access, last);
  int dense = side->in_fold ? last : side->count > 0 ? side->loops[side->count - 1] : -1;
  side->width = !side->local && dense >= 0 && lies_wide(print, access, dense) ? WIDE : 1;
  side->pitch = side->in_fold ? contract->piece + FOLD_PAD : side->reach + OWN_PAD;
}

static Contract contract_of(Print *print, bool wide) {
  const Stage *stage = print->stage;
  const Scalar *scalars = stage->scalars.items, *product = &scalars[stage->folders.items[0].value];
  Contract contract = {.print = print, .piece = wide ? WIDE_PIECE : stage->tile.piece, .wide = wide};
  contract.side[0] = (Side){.name = "row", .operand = "a", .factor = &scalars[product->a], .each = stage->tile.rows};
  contract.side[1] = (Side){.name = "column", .operand = "b", .factor = &scalars[product->b], .each = stage->tile.columns};
  int order[MAX_LOOPS], count = loops_in_order(0, stage->nkept, stage->tile.vector, order);
  for (int k = 0; k < count; k++) {
    bool a = access_moves_along(contract.side[0].factor->access, order[k]),
         b = access_moves_along(contract.side[1].factor->access, order[k]);
    Side *side = &contract.side[b];
    if (a == b)
      contract.batch[contract.nbatch++] = order[k];
    else
      side->loops[side->count++] = order[k];
  }
  sort_rows(print, &contract.side[0]);
  contract.ahead = stage->tile.precision == PRECISION_F32 ? 1 : 2;
  contract.nfolds = loops_in_order(stage->nkept, stage->nloops, -1, contract.folds);
  contract.fold_total = span_product(print, contract.folds, contract.nfolds);
  for (int k = 0; k < 2; k++) {
    contract.side[k].reach = contract.side[k].each * ACROSS;
    contract.side[k].total = span_product(print, contract.side[k].loops, contract.side[k].count);
    choose_copies(&contract, &contract.side[k]);
    contract.side[k].feed = stage->tile.feed[k];
  }
  if (wide)
    give_warpgroups(&contract);
  else if (stage->tile.precision != PRECISION_F32)
    give_warps(&contract);
  return contract;
}

/* ---- tiles in shared memory ---- */

int tile_floats(const Contract *contract, const Side *side) {
  if (contract->wide) return side->reach * contract->piece;
  return side->pitch * (side->in_fold ? side->reach : contract->piece);
}

const char *tile_element(const Contract *contract, const Side *side, const char *own, const char *fold) {
  const char *line = side->in_fold ? own : fold, *at = side->in_fold ? fold : own;
  if (contract->wide)
    return arena_format(contract->print->arena, "%s_tile[%s(%s, %s)]", side->operand,
                        side->in_fold ? "fold_line" : "own_line", own, fold);
  return arena_format(contract->print->arena, strchr(line, '+') ? "%s_tile[(%s) * %d + %s]" : "%s_tile[%s * %d + %s]",
                      side->operand, line, side->pitch, at);
}

static void print_tiles(const Contract *contract, const char *step) {
  int a = tile_floats(contract, &contract->side[0]), b = tile_floats(contract, &contract->side[1]);
  print_line(contract->print, "float *const a_tile = tiles + %s %% %d * %d, *const b_tile = a_tile + %d;", step,
             contract->ahead + 1, a + b, a);
}

static const char *inside_text(const Contract *contract, const Side *side) {
  Arena *arena = contract->print->arena;
  const char *fold =
      is_multiple(contract->fold_total, contract->piece) ? "" : arena_format(arena, "fold < %s", contract->fold_total);
  const char *own = is_multiple(side->total, side->reach) ? "" : arena_format(arena, "%s < %s", side->name, side->total);
  if (!*fold && !*own) return "true";
  return arena_format(arena, "%s%s%s", fold, *fold && *own ? " && " : "", own);
}

static const char *times(Print *print, const char *text, int factor) {
  return factor == 1 ? text : arena_format(print->arena, "%s * %d", text, factor);
}

void print_bring(const Contract *contract, const Side *side) {
  Print *print = contract->print;
  int line = (side->in_fold ? contract->piece : side->reach) / side->width;
  const char *at = times(print, arena_format(print->arena, "copy %% %d", line), side->width);
  const char *of = arena_format(print->arena, "copy / %d", line);
  int copies = contract->piece * side->reach / side->width;
  print_some(print, contract->wide ? 1 : (double)copies / CUDA_THREADS, 1); /* wide: sums take most registers */
  print_open(print, "for (int copy = threadIdx.x; copy < %d; copy += %d)", copies, CUDA_THREADS);
  print_line(print, "const int k = %s, own = %s;", side->in_fold ? at : of, side->in_fold ? of : at);
  print_line(print, "const %s fold = first_fold + k, %s = first_%s + own;", print->index, side->name, side->name);
  print_loops(print, "fold", contract->folds, contract->nfolds);
  print_loops(print, side->name, side->loops, side->count);
  const char *to = tile_element(contract, side, "own", "k"), *from = access_text(print, side->factor->access);
  if (side->local)
    print_line(print, "%s = %s ? %s : 0;", to, inside_text(contract, side), from);
  else
    print_line(print, "copy_%d(&%s, &%s, %s);", 4 * side->width, to, from, inside_text(contract, side));
  print_close(print);
}

/* ---- multiplying ---- */

/* The row (column) within the square of a thread's accumulator number `each`: a thread's rows lie together, so that a part
 * of the threads has a part of the rows; its columns so that threads which read together meet different banks. */
static const char *own_text(const Contract *contract, const Side *side, const char *each) {
  Arena *arena = contract->print->arena;
  if (side->each == 1) return arena_format(arena, "%s_thread", side->name);
  if (side == &contract->side[0] || (!side->in_fold && side->each < WIDE))
    return arena_format(arena, "%s_thread * %d + %s", side->name, side->each, each);
  if (side->in_fold) return arena_format(arena, "%s_thread + %s * %d", side->name, each, ACROSS);
  if (side->each == WIDE) return arena_format(arena, "%s_thread * %d + %s", side->name, WIDE, each);
  return arena_format(arena, "%s_thread * %d + %s / %d * %d + %s %% %d", side->name, WIDE, each, WIDE, WIDE * ACROSS, each,
                      WIDE);
}

/* WIDE folds of a thread's rows (columns): of each row together, or of each fold, as the tile holds them. */
static void print_fetch(const Contract *contract, const Side *side) {
  Print *print = contract->print;
  const char *own = own_text(contract, side, "i");
  print_line(print, "#pragma unroll");
  if (side->in_fold) {
    print_line(print, "for (int i = 0; i < %d; i++) fetch_16(%s[i], &%s);", side->each, side->operand,
               tile_element(contract, side, own, "k"));
    return;
  }
  print_open(print, "for (int l = 0; l < %d; l++)", WIDE);
  print_line(print, "#pragma unroll");
  if (side->each % WIDE == 0)
    print_line(print, "for (int i = 0; i < %d; i += %d) fetch_16(&%s[l][i], &%s);", side->each, WIDE, side->operand,
               tile_element(contract, side, own, "k + l"));
  else
    print_line(print, "for (int i = 0; i < %d; i++) %s[l][i] = %s;", side->each, side->operand,
               tile_element(contract, side, own, "k + l"));
  print_close(print);
}

static void print_multiply(const Contract *contract) {
  Print *print = contract->print;
  const Side *rows = &contract->side[0], *columns = &contract->side[1];
  print_line(print, "#pragma unroll %d", MAX(1, MIN(4, 16 / (rows->each * columns->each))));
  print_open(print, "for (int k = 0; k < %d; k += %d)", contract->piece, WIDE);
  for (int k = 0; k < 2; k++) {
    const Side *side = &contract->side[k];
    print_line(print, "float %s[%d][%d];", side->operand, side->in_fold ? side->each : WIDE,
               side->in_fold ? WIDE : side->each);
  }
  for (int k = 0; k < 2; k++) print_fetch(contract, &contract->side[k]);
  print_line(print, "#pragma unroll");
  print_line(print, "for (int l = 0; l < %d; l++)", WIDE);
  print_line(print, "#pragma unroll");
  print_line(print, "  for (int i = 0; i < %d; i++)", rows->each);
  print_line(print, "#pragma unroll");
  print_line(print, "    for (int j = 0; j < %d; j++) sum[i][j] = fmaf(%s, %s, sum[i][j]);", columns->each,
             rows->in_fold ? "a[i][l]" : "a[l][i]", columns->in_fold ? "b[j][l]" : "b[l][j]");
  print_close(print);
}

/* Piece by piece: a barrier says that a piece is there and that nobody reads the one before, whose place the next gets. */
static void print_pieces(const Contract *contract) {
  Print *print = contract->print;
  if (contract->warps)
    print_line(print, "float sum[%d][%d][4] = {};", contract->tiles[0], contract->tiles[1]);
  else
    print_line(print, "float sum[%d][%d] = {};", contract->side[0].each, contract->side[1].each);
  print_open(print, "for (%s step = 0; step < steps + %d; step++)", print->index, contract->ahead);
  print_line(print, "copies_wait<%d>();", contract->ahead - 1);
  print_barrier(print);
  print_open(print, "if (step < steps)");
  print_tiles(contract, "step");
  print_line(print, "const %s first_fold = step * %d;", print->index, contract->piece);
  for (int k = 0; k < 2; k++) print_bring(contract, &contract->side[k]);
  print_close(print);
  print_line(print, "copies_commit();");
  print_open(print, "if (step >= %d)", contract->ahead);
  print_tiles(contract, arena_format(print->arena, "(step - %d)", contract->ahead));
  if (contract->warps)
    print_warp_multiply(contract);
  else
    print_multiply(contract);
  print_close(print);
  print_close(print);
}

/* ---- what is done to the sums ---- */

static int operand_floats(const Contract *contract) {
  if (contract->wide) return wide_floats(contract);
  return (contract->ahead + 1) * (tile_floats(contract, &contract->side[0]) + tile_floats(contract, &contract->side[1]));
}

/* They lie where the operands were: all at once, or a part of the rows at a time. */
static int count_parts(const Contract *contract) {
  int parts = 1, pitch = contract->side[1].reach + SUMS_PAD, most = contract->warps ? contract->warps : ACROSS;
  while (parts < most && contract->side[0].reach / parts * pitch > operand_floats(contract)) parts *= 2;
  return parts;
}

static void print_put_sums(const Contract *contract, int parts) {
  Print *print = contract->print;
  const Side *rows = &contract->side[0], *columns = &contract->side[1];
  bool wide = columns->each % WIDE == 0 && !columns->in_fold; /* then WIDE neighbours are one thread's */
  const char *place = arena_format(print->arena, "tiles[(%s%s) * %d + %s]", own_text(contract, rows, "i"),
                                   parts > 1 ? arena_format(print->arena, " - part * %d", rows->reach / parts) : "",
                                   columns->reach + SUMS_PAD, own_text(contract, columns, "j"));
  if (parts > 1) print_open(print, "if (row_thread / %d == part)", ACROSS / parts);
  print_line(print, "#pragma unroll");
  print_line(print, "for (int i = 0; i < %d; i++)", rows->each);
  print_line(print, "#pragma unroll");
  if (wide)
    print_line(print, "  for (int j = 0; j < %d; j += %d) put_16(&%s, &sum[i][j]);", columns->each, WIDE, place);
  else
    print_line(print, "  for (int j = 0; j < %d; j++) %s = sum[i][j];", columns->each, place);
  if (parts > 1) print_close(print);
}

static void print_results(const Contract *contract) {
  Print *print = contract->print;
  const Side *rows = &contract->side[0], *columns = &contract->side[1];
  int parts = count_parts(contract), some = rows->reach / parts;
  if (parts > 1) print_open(print, "for (int part = 0; part < %d; part++)", parts);
  print_barrier(print);
  if (contract->wide)
    print_put_wide_sums(contract);
  else if (contract->warps)
    print_put_warp_sums(contract, parts);
  else
    print_put_sums(contract, parts);
  print_barrier(print);
  int loads = 1 + count_loads(print->stage, print->stage->after, print->stage->scalars.count);
  if (contract->warps && !contract->wide) loads = MAX(loads, 2); /* no more than two at once, for registers */
  print_some(print, (double)(some * columns->reach) / CUDA_THREADS, loads);
  print_open(print, "for (int point = threadIdx.x; point < %d; point += %d)", some * columns->reach, CUDA_THREADS);
  print_line(print, "const %s row = first_row + %spoint / %d, column = first_column + point %% %d;", print->index,
             parts > 1 ? arena_format(print->arena, "part * %d + ", some) : "", columns->reach, columns->reach);
  print_open(print, "if (row < %s && column < %s)", rows->total, columns->total);
  for (int k = 0; k < 2; k++) print_loops(print, contract->side[k].name, contract->side[k].loops, contract->side[k].count);
  print_line(print, "const float folded_0 = tiles[point / %d * %d + point %% %d];", columns->reach,
             columns->reach + SUMS_PAD, columns->reach);
  print_scalars(print, print->stage->after, print->stage->scalars.count);
  print_stores(print);
  print_close(print);
  print_close(print);
  if (parts > 1) print_close(print);
}

/* ---- the whole ---- */

/* The task in squares of the block's reach: batch by batch, rows by columns. */
static void print_squares(const Contract *contract) {
  Print *print = contract->print;
  const char *batches = span_product(print, contract->batch, contract->nbatch), *squares = "row_squares * column_squares";
  for (int k = 0; k < 2; k++) {
    const Side *side = &contract->side[k];
    print_line(print, "const %s %s_squares = (%s + %d) / %d;", print->index, side->name, side->total, side->reach - 1,
               side->reach);
  }
  print_open(print, "for (%s square = 0; square < %s; square++)", print->index, dims_product(print, batches, squares));
  print_line(print, "const %s first_row = square / column_squares %% row_squares * %d;", print->index,
             contract->side[0].reach);
  print_line(print, "const %s first_column = square %% column_squares * %d;", print->index, contract->side[1].reach);
  print_loops(print, arena_format(print->arena, "square / (%s)", squares), contract->batch, contract->nbatch);
}

static void print_narrow(Print *print) {
  Contract contract = contract_of(print, false);
  int64_t at = stage_shared(print, 4 * operand_floats(&contract));
  print_line(print, "float *const tiles = (float *)(shared + %lld);", (long long)at);
  if (!contract.warps)
    print_line(print, "const int row_thread = threadIdx.x / %d, column_thread = threadIdx.x %% %d;", ACROSS, ACROSS);
  print_line(print, "const %s steps = (%s + %d) / %d;", print->index, contract.fold_total, contract.piece - 1,
             contract.piece);
  print_squares(&contract);
  print_pieces(&contract);
  print_results(&contract);
  print_close(print);
}

static void print_wide(Print *print) {
  Contract contract = contract_of(print, true);
  print_wide_head(&contract);
  print_line(print, "const %s steps = (%s + %d) / %d;", print->index, contract.fold_total, contract.piece - 1,
             contract.piece);
  print_squares(&contract);
  print_wide_pieces(&contract);
  print_results(&contract);
  print_close(print);
}

/* Where warpgroups multiply on GPUs that have them, one text has both. */
void print_contract(Print *print) {
  if (print->stage->tile.feed[0] == FEED_NONE) {
    print_narrow(print);
    return;
  }
  print_line(print, "#ifdef WARPGROUPS");
  print_wide(print);
  print_line(print, "#else");
  print_narrow(print);
  print_line(print, "#endif");
}
