/* What a training has come to so far: for each epoch the means of all numbers that it gives, and within epochs a curve of
 * the step's. Kept in checkpoints, so that the log, the curves and the report of a resumed run are those of the whole. */
#ifndef NNC_HISTORY_H
#define NNC_HISTORY_H

#include "command/tensor.h"

enum { CURVE_POINTS = 128 };

/* Means over stretches of equally many steps. When all points are taken, neighbours are joined and a stretch becomes twice
 * as long, so that the curve always shows the whole run. */
typedef struct Curve {
  int64_t stretch, filled; /* steps of a point; of the one at hand */
  int count;
  double *points, *sums; /* [CURVE_POINTS][of_step]; of the one at hand */
} Curve;

typedef struct HistoryRow {
  int64_t epoch, step;
  double seconds; /* NaN where an earlier run took them */
  const double *values;
} HistoryRow;

typedef struct History {
  int count, of_step; /* numbers of a row; the first of them are the step's */
  const char **names; /* "loss", "test loss" */
  Vec(HistoryRow) rows;
  Curve curve;
} History;

History history_new(Arena *arena, const char *const *names, int count, int of_step);
void history_step(History *history, const double *values); /* of_step of them */
void history_row(Arena *arena, History *history, int64_t epoch, int64_t step, double seconds, const double *values);

void history_take(Arena *arena, const History *history, Tensors *beside);
bool history_restore(Arena *arena, History *history, const char *path, const Tensors *file, Failure *failure);

/* "loss" of "valid loss" and of "loss": numbers that belong in one chart. */
const char *history_plain_name(const char *name);
/* As csv: epoch, step, seconds, names. Rows whose seconds are not known take them from a csv of that kind at `path`. */
void history_seconds(Arena *arena, History *history, const char *path);
void history_csv(const History *history, Text *out);
/* A chart for each name, the step's curve beside the values at the epochs' ends. */
void history_charts(Arena *arena, const History *history, int64_t steps_of_epoch, Text *svg);

#endif
