/* Convolutions that fewer multiplications can compute: what they look like, by which tiles, and what that costs in accuracy
 * (convs.c); and the transforms of a tile (tiles.c). winograd.c puts them together. */
#ifndef NNC_CONVS_H
#define NNC_CONVS_H

#include "passes/passes.h"

enum { TAPS = 3, MOST_TILE = 4, MOST_READ = MOST_TILE + TAPS - 1 };

/* A contraction that moves a window of 3 x 3 over pictures, step by step: out[batch.., row, column, out] is the sum over
 * channels and taps of picture[batch.., row + tap + offset, .., channel] * kernel[tap, tap, channel, out], axes in any order.
 * What is numbered are dims of its space. */
typedef struct Conv {
  int picture, kernel; /* which operand is which */
  int nbatch, batch[MAX_RANK];
  int at[2];            /* the result's height and width */
  int64_t size[2];      /* and how large these are */
  int tap[2];           /* the kernel's */
  bool flipped[2];      /* the last tap meets the first element: so an input's gradient is read */
  int axis[2];          /* of the picture: its height and width */
  const Dim *offset[2]; /* of index row + tap, where taps count as the picture is read */
  int channel, out;
} Conv;
bool conv_of(const Graph *graph, const Node *node, Conv *conv);

/* By tiles of so many results each way; 0: directly. */
int conv_tile(const Node *node, const Conv *conv, FastConv fast);

/* One dimension of F(tile x tile, 3 x 3): what is read, the kernel's taps, and the sums of their products, which give the
 * results. */
typedef struct Transforms {
  int tile, read;                                       /* read == tile + TAPS - 1, and so many products there are */
  void (*picture)(Graph *graph, const Id *in, Id *out); /* read to read values */
  void (*kernel)(Graph *graph, const Id *in, Id *out);  /* TAPS to read */
  void (*result)(Graph *graph, const Id *in, Id *out);  /* read to tile */
  double error; /* how many times the direct way's rounding error is to be expected: see tiles.c */
} Transforms;
const Transforms *transforms_of(int tile);
/* Along columns, then along rows: from rows x rows values to columns x columns. */
void transform_square(Graph *graph, void (*one)(Graph *, const Id *, Id *), int from, int to, const Id *in, Id *out);

#endif
