/* Training: what the files of `nnc train` share. train.c sets up, train_settings.c keeps what was typed for a run that is
 * resumed, train_data.c reads the data, train_loop.c runs, train_state.c keeps and restores, train_report.c tells. */
#ifndef NNC_TRAIN_H
#define NNC_TRAIN_H

#include "command/checkpoint.h"
#include "command/feed.h"
#include "command/history.h"
#include "command/prepare.h"
#include "command/progress.h"
#include "command/schedule.h"

/* Metadata of a checkpoint beside those of prepare.h and history.h: the place where a run stands. */
#define KEY_SETTINGS "nnc.settings" /* what was typed: "batch 32", one a line */
#define KEY_PLACE "nnc.place"       /* epoch, batch within it, steps so far */
#define KEY_ORDER "nnc.order"       /* rows to train on, rows of a batch */
#define KEY_SUMS "nnc.sums"         /* weight, then sums of the results of this epoch so far; hexadecimal floats */
#define KEY_BEST "nnc.best"         /* best watched value, epochs without a better one */
#define PREFIX_BEST "nn.best."      /* tensors of the best state */

/* Rows to evaluate on, and how. rows is NULL where there are none. */
typedef struct Held {
  const char *name; /* "test", "valid" */
  Feed feed;
  int64_t *rows, count;
} Held;

/* The time of each launch of the step, where a report wants it. */
typedef struct Profile {
  double *seconds, began;
  int64_t calls;
} Profile;

typedef struct Train {
  Arena *arena;
  const Settings *settings;
  Machine *machine;
  int step, test; /* entries; test is -1 where there is none */
  Dataset data;
  Feed feed;
  int64_t *rows, *order, count; /* to train on: which rows, and this epoch's order of them */
  Held held[2];                 /* the part for validation, the part for tests */
  const Held *each;             /* which of them each epoch is evaluated on, or NULL */
  Schedule *schedules;          /* by parameter of the step */
  bool *scheduled;
  Tensors kept;        /* what the checkpoint of --state or --resume holds */
  Tensors preparation; /* metadata on the data alone */
  /* The numbers that it gives: scalar results of the step, then of the test fn. */
  int *of_step, nof_step, *of_test, nof_test;
  int watched; /* which of them --watch is about, counted over both; -1: none */
  /* where it stands */
  int64_t epoch, batch, steps;
  double weight, *sums; /* rows of this epoch so far; sums of the step's numbers by row */
  double *last_test;    /* what the part for tests gave at the end, if it is met only then; or NULL */
  double best;
  int64_t waited;
  bool have_best;
  Tensors best_state;
  Arena *best_arena; /* of best_state, made anew for each */
  double saved_at;
  int64_t saved_step; /* -1: nothing was saved */
  History history;
  Progress progress;
  Profile profile;
} Train;

/* For a run that is resumed: what was not typed now is taken from the checkpoint, what was must not contradict it. Fills
 * train->kept. Then, for any run, the defaults. */
bool train_settings(Train *train, Settings *settings, Failure *failure);
void train_keep_settings(const Train *train, Arena *arena, Tensors *beside);
bool train_shuffles(const Settings *settings);
/* Fills data, rows, count, held (but for the feeds) and preparation. */
bool train_read_data(Train *train, Failure *failure);
bool train_run(Train *train, Failure *failure);
/* The means of the test fn's numbers over held-out rows; false with no failure if a signal came. */
bool train_evaluate(Train *train, const Held *held, double *means, Failure *failure);
bool train_save(Train *train, Failure *failure);
bool train_resume(Train *train, Failure *failure);
void train_keep_best(Train *train);
/* --log and --plot, as far as the training has come. */
bool train_write_curves(Train *train, Failure *failure);
bool train_write_report(Train *train, Failure *failure);

#endif
