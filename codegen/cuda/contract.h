/* A contraction being printed: what contract.c, which prints it, and mma.c and warpgroup.c, which multiply by tensor cores,
 * share. */
#ifndef NNC_CUDA_CONTRACT_H
#define NNC_CUDA_CONTRACT_H

#include "codegen/cuda/print.h"

enum { ACROSS = 16 };
/* Behind each line of a tile in shared memory, so that threads which read together meet different banks. */
enum { FOLD_PAD = 4, OWN_PAD = 8, SUMS_PAD = 4 };

typedef struct Side {
  const char *name;    /* "row", "column" */
  const char *operand; /* "a", "b" */
  const Scalar *factor;
  int loops[MAX_LOOPS], count;
  int each, reach;   /* accumulators of one thread; of the block */
  const char *total; /* an expression */
  bool in_fold; /* neighbours in memory are neighbours in the fold: a line of the tile is a row (column), else a fold */
  bool local;   /* the operand is in shared memory already */
  int width;    /* of a copy */
  int pitch;    /* from line to line of the tile */
  OperandFeed feed;
  int number; /* of the map, where one feeds it */
  OperandMap map;
} Side;

typedef struct Contract {
  Print *print;
  Side side[2]; /* rows, columns */
  int batch[MAX_LOOPS], nbatch, folds[MAX_LOOPS], nfolds;
  const char *fold_total;
  int piece, ahead; /* of the fold; how many pieces are on their way while one is multiplied */
  int warps;        /* of the block's eight, one below the other; 0: threads multiply by themselves */
  int tiles[2];     /* of a warp: rows of 16, columns of 8 */
  bool wide;        /* warpgroups multiply */
} Contract;

/* An element of a side's tile in shared memory; own: which row (column). */
const char *tile_element(const Contract *contract, const Side *side, const char *own, const char *fold);

/* ---- mma.c ---- */
void give_warps(Contract *contract); /* cuts the square for warps */
void print_warp_multiply(const Contract *contract);
void print_put_warp_sums(const Contract *contract, int parts); /* those of a part of the rows, to shared memory */

/* ---- contract.c, for warpgroup.c ---- */
void print_bring(const Contract *contract, const Side *side); /* a piece of an operand, copied by all threads */
int tile_floats(const Contract *contract, const Side *side);

/* ---- warpgroup.c ---- */
enum { WIDE_PIECE = MAP_LINE };
void give_warpgroups(Contract *contract);
int wide_floats(const Contract *contract); /* of shared memory, in all */
void print_wide_head(const Contract *contract);
void print_wide_pieces(const Contract *contract);
void print_put_wide_sums(const Contract *contract);

#endif
