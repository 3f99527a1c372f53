/* Training: what the files of `nnc train` share. train.c sets up, train_data.c reads the data, train_loop.c
 * runs, train_state.c keeps and restores. */
#ifndef NNC_TRAIN_H
#define NNC_TRAIN_H

#include "command/checkpoint.h"
#include "command/feed.h"
#include "command/prepare.h"
#include "command/progress.h"
#include "command/schedule.h"

/* Metadata of a checkpoint beside those of prepare.h: the place where a run stands. */
#define KEY_PLACE "nnc.place"  /* epoch, batch within it, steps so far */
#define KEY_ORDER "nnc.order"  /* seed, rows, rows of a batch, shuffled or not */
#define KEY_SUMS "nnc.sums"    /* weight, then sums of the results of this epoch so far; hexadecimal floats */
#define KEY_BEST "nnc.best"    /* best watched value, epochs without a better one */
#define PREFIX_BEST "nn.best." /* tensors of the best state */

/* Rows to evaluate on, and how. rows is NULL where there are none. */
typedef struct Held {
  const char *name; /* "test", "valid" */
  Feed feed;
  int64_t *rows, count;
} Held;

typedef struct Train {
  Arena *arena;
  const Settings *settings;
  Machine *machine;
  int step, test; /* entries; test is -1 where there is none */
  Dataset data;
  Feed feed;
  int64_t *rows, *order, count; /* to train on: which rows, and this epoch's order of them */
  Held held[2];                 /* the part for validation, the part for tests */
  Schedule *schedules;          /* by parameter of the step */
  bool *scheduled;
  Tensors kept;        /* what the checkpoint of --state or --resume holds */
  Tensors preparation; /* metadata on the data alone */
  /* where it stands */
  int64_t epoch, batch, steps;
  double weight, *sums; /* rows of this epoch so far; sums of results by row */
  double *averages;     /* of the test fn's results, of the last evaluation */
  double best;
  int64_t waited;
  bool have_best;
  Tensors best_state;
  Arena *best_arena; /* of best_state, made anew for each */
  double saved_at;
  int64_t saved_step; /* -1: nothing was saved */
  Progress progress;
  Text log;
} Train;

/* Fills data, rows, count, held (but for the feeds) and preparation. */
bool train_read_data(Train *train, Failure *failure);
bool train_shuffles(const Settings *settings);
bool train_run(Train *train, Failure *failure);
/* Averages of the test fn's results over held-out rows, in `averages`, by result. */
bool train_evaluate(Train *train, const Held *held, double *averages, Failure *failure);
bool train_save(Train *train, Failure *failure);
bool train_resume(Train *train, Failure *failure);
void train_keep_best(Train *train);

#endif
