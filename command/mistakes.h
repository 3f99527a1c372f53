/* What a trained net gets wrong: which fn of the model tells classes, and on which rows it differs from the labels. */
#ifndef NNC_MISTAKES_H
#define NNC_MISTAKES_H

#include "command/train.h"

enum { MOST_MISTAKES = 24, MOST_CLASSES = 20 };

typedef struct Mistake {
  int64_t row;
  int32_t label, guess;
  double sureness; /* what the fn gives for its guess; NaN if it gives none */
} Mistake;

typedef struct Mistakes {
  const char *entry, *part; /* the fn; which rows: "test", "valid", "training" */
  Feed feed;
  const Tensor *column; /* of the data: what the fn's first parameter meets */
  int64_t rows, wrong;
  int classes;                                   /* 0: too many for a table */
  int64_t confusion[MOST_CLASSES][MOST_CLASSES]; /* [label][guess] */
  int count;
  Mistake worst[MOST_MISTAKES]; /* the surest ones first */
} Mistakes;

/* False without a failure if the data have no class labels or no fn tells classes from the other columns alone. */
bool mistakes_find(Train *train, Mistakes *mistakes, Failure *failure);
/* The picture that the fn was given for a row; false if it takes none. */
bool mistakes_picture(Arena *arena, Mistakes *mistakes, int64_t row, Tensor *picture);

#endif
