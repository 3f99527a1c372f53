/* Contractions as squares of the output: a block of 16 x 16 threads, each with rows x columns accumulators in registers.
 *
 * Kept loops are rows (only the first operand a varies with them), columns (only b), or batch (both); within a role they are
 * counted through as one, and so are the folded loops. So a dense layer, a convolution and their gradients are one piece of
 * code, an implicit product through the same index maps. For every DEPTH points of the fold the block brings a's rows and
 * b's columns to shared memory, neighbouring threads along whatever lies densely in memory; what lies outside the square is
 * 0 there. A sum's order is that of the fold, so the bits do not depend on the cut. */
#include "codegen/cuda/print.h"

#include <string.h>

enum { ACROSS = 16, DEPTH = 16, PAD = 1 };

typedef struct Side {
  const char *name;    /* "row", "column" */
  const char *operand; /* "a", "b" */
  const Scalar *factor;
  int loops[MAX_LOOPS], count;
  int each, reach;   /* accumulators of one thread; of the block */
  const char *total; /* an expression */
} Side;

typedef struct Contract {
  Print *print;
  Side side[2]; /* rows, columns */
  int batch[MAX_LOOPS], nbatch, folds[MAX_LOOPS], nfolds;
} Contract;

static bool depends(const Access *access, int loop) {
  for (int k = 0; k < access->map.naxes; k++) {
    const Axis *axis = &access->map.axis[k];
    for (int term = 0; access->index[k] < 0 && term < axis->nterms; term++)
      if (axis->dim[term] == loop) return true;
  }
  return false;
}

static Contract contract_of(Print *print) {
  const Stage *stage = print->stage;
  const Scalar *scalars = stage->scalars.items, *product = &scalars[stage->folders.items[0].value];
  Contract contract = {.print = print};
  contract.side[0] = (Side){.name = "row", .operand = "a", .factor = &scalars[product->a], .each = stage->tile.rows};
  contract.side[1] = (Side){.name = "column", .operand = "b", .factor = &scalars[product->b], .each = stage->tile.columns};
  int order[MAX_LOOPS], count = loops_in_order(0, stage->nkept, stage->tile.vector, order);
  for (int k = 0; k < count; k++) {
    bool a = depends(contract.side[0].factor->access, order[k]), b = depends(contract.side[1].factor->access, order[k]);
    Side *side = &contract.side[b];
    if (a == b)
      contract.batch[contract.nbatch++] = order[k];
    else
      side->loops[side->count++] = order[k];
  }
  contract.nfolds = loops_in_order(stage->nkept, stage->nloops, -1, contract.folds);
  for (int k = 0; k < 2; k++) {
    contract.side[k].reach = contract.side[k].each * ACROSS;
    contract.side[k].total = span_product(print, contract.side[k].loops, contract.side[k].count);
  }
  return contract;
}

/* ---- operands to shared memory ---- */

/* Whether an operand's neighbours in memory are neighbours in the fold, rather than rows (columns). */
static bool dense_in_fold(const Contract *contract, const Side *side) {
  const Print *print = contract->print;
  const Dim *base, *strides[MAX_LOOPS];
  if (contract->nfolds == 0) return false;
  if (!access_strides(print->plan, print->stage, side->factor->access, &base, strides)) return false;
  return dim_is(strides[contract->folds[contract->nfolds - 1]], 1);
}

static void print_bring(const Contract *contract, const Side *side, const char *folds) {
  Print *print = contract->print;
  bool in_fold = dense_in_fold(contract, side);
  print_line(print, "#pragma unroll");
  print_open(print, "for (int element = threadIdx.x; element < %d; element += %d)", DEPTH * side->reach, CUDA_THREADS);
  if (in_fold)
    print_line(print, "const int k = element %% %d, own = element / %d;", DEPTH, DEPTH);
  else
    print_line(print, "const int k = element / %d, own = element %% %d;", side->reach, side->reach);
  print_line(print, "const %s fold = first_fold + k, %s = first_%s + own;", print->index, side->name, side->name);
  print_line(print, "float value = 0;");
  print_open(print, "if (fold < %s && %s < %s)", folds, side->name, side->total);
  print_loops(print, "fold", contract->folds, contract->nfolds);
  print_loops(print, side->name, side->loops, side->count);
  print_line(print, "value = %s;", access_text(print, side->factor->access));
  print_close(print);
  print_line(print, "%s_tile[k * %d + own] = value;", side->operand, side->reach + PAD);
  print_close(print);
}

/* ---- multiplying ---- */

static void print_multiply(const Contract *contract) {
  Print *print = contract->print;
  const Side *rows = &contract->side[0], *columns = &contract->side[1];
  print_line(print, "#pragma unroll");
  print_open(print, "for (int k = 0; k < %d; k++)", DEPTH);
  print_line(print, "float a[%d], b[%d];", rows->each, columns->each);
  for (int k = 0; k < 2; k++) {
    const Side *side = &contract->side[k];
    print_line(print, "#pragma unroll");
    print_line(print, "for (int i = 0; i < %d; i++) %s[i] = %s_tile[k * %d + %s_thread + i * %d];", side->each,
               side->operand, side->operand, side->reach + PAD, side->name, ACROSS);
  }
  print_line(print, "#pragma unroll");
  print_line(print, "for (int i = 0; i < %d; i++)", rows->each);
  print_line(print, "#pragma unroll");
  print_line(print, "  for (int j = 0; j < %d; j++) sum[i][j] = fmaf(a[i], b[j], sum[i][j]);", columns->each);
  print_close(print);
}

static void print_results(const Contract *contract) {
  Print *print = contract->print;
  const Stage *stage = print->stage;
  const Side *rows = &contract->side[0], *columns = &contract->side[1];
  print_line(print, "#pragma unroll");
  print_open(print, "for (int i = 0; i < %d; i++)", rows->each);
  print_line(print, "#pragma unroll");
  print_open(print, "for (int j = 0; j < %d; j++)", columns->each);
  for (int k = 0; k < 2; k++) {
    const Side *side = &contract->side[k];
    print_line(print, "const %s %s = first_%s + %s_thread + %s * %d;", print->index, side->name, side->name, side->name,
               k == 0 ? "i" : "j", ACROSS);
  }
  print_open(print, "if (row < %s && column < %s)", rows->total, columns->total);
  for (int k = 0; k < 2; k++) print_loops(print, contract->side[k].name, contract->side[k].loops, contract->side[k].count);
  print_line(print, "const float folded_0 = sum[i][j];");
  print_scalars(print, stage->after, stage->scalars.count);
  print_stores(print);
  print_close(print);
  print_close(print);
  print_close(print);
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

void print_contract(Print *print) {
  Contract contract = contract_of(print);
  const Side *rows = &contract.side[0], *columns = &contract.side[1];
  int64_t a_bytes = 4 * DEPTH * (rows->reach + PAD), b_bytes = 4 * DEPTH * (columns->reach + PAD);
  int64_t at = stage_shared(print, a_bytes + b_bytes);
  const char *folds = span_product(print, contract.folds, contract.nfolds);
  print_line(print, "float *const a_tile = (float *)(shared + %lld);", (long long)at);
  print_line(print, "float *const b_tile = (float *)(shared + %lld);", (long long)(at + a_bytes));
  print_line(print, "const int row_thread = threadIdx.x / %d, column_thread = threadIdx.x %% %d;", ACROSS, ACROSS);
  print_squares(&contract);
  print_line(print, "float sum[%d][%d] = {};", rows->each, columns->each);
  print_open(print, "for (%s first_fold = 0; first_fold < %s; first_fold += %d)", print->index, folds, DEPTH);
  for (int k = 0; k < 2; k++) print_bring(&contract, &contract.side[k], folds);
  print_barrier(print);
  print_multiply(&contract);
  print_barrier(print);
  print_close(print);
  print_results(&contract);
  print_close(print);
}
