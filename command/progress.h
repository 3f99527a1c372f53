/* One line on a terminal that tells how far an epoch is; nothing anywhere else. */
#ifndef NNC_PROGRESS_H
#define NNC_PROGRESS_H

#include "ir/base.h"

typedef struct Progress {
  bool shown;
  double began, drawn; /* seconds */
  int64_t first;       /* rows of the epoch that were done when it began */
} Progress;

/* Where the training is, and what to tell of it. */
typedef struct ProgressNow {
  int64_t epoch, epochs, done, rows; /* epochs from 1; rows of this one */
  const char *name, *held_name;      /* of the step's first number and of the held-out rows' last one; or NULL */
  double value, held_value;
  const double *curve; /* the value so far: every stride-th of these, `points` of them */
  int points, stride;
} ProgressNow;

double seconds_now(void);
void progress_begin(Progress *progress, bool quiet, int64_t rows_done);
void progress_step(Progress *progress, const ProgressNow *now);
void progress_clear(Progress *progress);
/* The line as it is drawn, at most so many columns wide, at so many rows a second. */
void progress_line(const ProgressNow *now, double rate, int columns, Text *line);

#endif
