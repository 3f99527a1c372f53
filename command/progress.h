/* One line on a terminal that tells how far an epoch is; nothing anywhere else. */
#ifndef NNC_PROGRESS_H
#define NNC_PROGRESS_H

#include "ir/base.h"

enum { SPARKS = 24 };
typedef struct Progress {
  bool shown;
  double began, drawn; /* seconds */
  int64_t first;       /* rows that were done when it began */
  double loss[SPARKS]; /* means over parts of the run so far, newest last */
  int losses;
  double sum; /* of the part that is not full */
  int64_t count, part;
} Progress;

double seconds_now(void);
void progress_begin(Progress *progress, bool quiet, int64_t rows_done);
void progress_step(Progress *progress, int64_t epoch, int64_t rows_done, int64_t rows, const char *name, double loss);
void progress_clear(Progress *progress);

#endif
