/* A contraction being emitted by register tiles: what tile.c, skip.c and prefetch.c share. */
#ifndef NNC_TILING_H
#define NNC_TILING_H

#include "codegen/cpu/nest.h"

/* An axis of the stage's condition: points where it is not from 0 to size - 1 add 0. */
typedef struct Border {
  const Axis *axis;
  const Dim *size;
  bool done; /* it was seen to, in what is being emitted */
} Border;

typedef struct Tiling {
  Nest nest;
  int vector, row, column; /* loops that have more than one index; -1: none */
  bool folded;             /* the vector loop is */
  int most_rows, most_columns;
  int rows, columns;      /* of the tile being emitted */
  LLVMValueRef last_mask; /* lanes of the last vector; NULL: all */
  LLVMValueRef limit;     /* rows of a repeating tile that exist; NULL: all */
  LLVMValueRef row_number[MAX_CARRIED];
  const Reach *operand[2];
  LLVMValueRef spill; /* accumulators in memory, for epilogues that are loops */
  /* The fold in pieces; order is: outer kept loops and columns, folded loops outside, inner kept loops, the rest. */
  int pieces, chunked; /* position of the first loop outside; the folded loop that is cut, -1: none */
  int outside;         /* how many are outside; the cut one comes behind them */
  int64_t chunk;
  LLVMValueRef waiting;     /* accumulators between pieces; NULL: the fold is whole */
  LLVMValueRef first, last; /* i1: this is the element's first piece, its last */
  int64_t room[MAX_LOOPS];  /* of the inner kept loops: how many indices there are at most; else 0 */
  /* What may be skipped; rows of the tile from first_row on, before end_row, are computed. */
  Border borders[MAX_RANK];
  int nborders, first_row, end_row;
  const Dim *ahead; /* elements of the operand with lanes from a piece to the next; NULL: there are none */
} Tiling;

/* ---- tile.c ---- */
bool vector_columns(const Tiling *tiling); /* columns are vectors of the vector loop */
/* The folded loops from `position` on. */
void tile_folds(Tiling *tiling, int position);

/* ---- skip.c ---- */
void skip_begin(Tiling *tiling);
typedef enum Skipping { SKIP_NOTHING, SKIP_SOME, SKIP_PERHAPS_ALL } Skipping;
/* Narrows the bounds of the folded loop at `position` to where something else than 0 may be added. */
Skipping skip_turns(Tiling *tiling, int position, LLVMValueRef *start, LLVMValueRef *stop);
/* True if the folded loop at `position` is short, and rows have nothing to add in some of its turns. */
bool skip_unrolls(const Tiling *tiling, int position);
/* With all loops before `position` open: emits what is left of the fold for those rows alone to which it may add something
 * else than 0. False: there is nothing to skip, and nothing was emitted. */
bool skip_rows(Tiling *tiling, int position);

/* ---- prefetch.c ---- */
/* Once the pieces are known; before an operand is read at this address; before a tile's fold. */
void prefetch_pieces(Tiling *tiling);
void prefetch_ahead(Tiling *tiling, const Reach *reach, LLVMValueRef pointer);
void prefetch_tile(Tiling *tiling);

#endif
