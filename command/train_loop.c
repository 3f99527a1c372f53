/* The loop over epochs and batches, the evaluation on held-out rows, and its three ways out: the end, a signal, a number
 * that is none.
 *
 * Between two batches everything that matters stands in the machine's state and in a few fields of Train, and these are
 * what a checkpoint holds; the order of rows follows from seed and epoch. So a run that goes on from a checkpoint is the
 * run that was never interrupted, to the bit. */
#include "command/train.h"

#include "command/shuffle.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECONDS_BETWEEN_SAVES = 30 };

/* ---- signals: the first asks for an end, the second is left to the system ---- */

static volatile sig_atomic_t asked_to_stop;
static void on_signal(int number) { asked_to_stop = number; }

static void catch_signals(void) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

/* ---- one batch ---- */

static void set_scalars(Train *train, int64_t steps_in_all) {
  const MachineEntry *entry = &train->machine->entries[train->step];
  for (int p = 0; p < entry->nparameters; p++)
    if (train->scheduled[p]) feed_scalar(&train->feed, p, schedule_value(&train->schedules[p], train->steps, steps_in_all));
}

static bool fail_numbers(Train *train, const char *result, double value, Failure *failure) {
  int symbol = machine_first_not_finite(train->machine);
  Text kept = {0};
  if (train->saved_step >= 0)
    text_add(&kept, "; %.300s keeps the state after step %lld", train->settings->save, (long long)train->saved_step);
  fail(failure, EXIT_NUMBERS, "step %lld (epoch %lld, batch %lld): %s is %s%s%s%s", (long long)train->steps,
       (long long)train->epoch + 1, (long long)train->batch + 1, result,
       isnan(value) ? "nan"
       : value < 0  ? "-infinity"
                    : "infinity",
       symbol >= 0 ? "; the first tensor that is not finite is " : "",
       symbol >= 0 ? train->machine->symbols[symbol].name : "", kept.bytes ? kept.bytes : "");
  text_free(&kept);
  return false;
}

/* Sums the step's numbers by row; false where one is not finite. */
static bool add_results(Train *train, int64_t rows, double *values, Failure *failure) {
  const MachineEntry *entry = &train->machine->entries[train->step];
  for (int v = 0; v < train->nof_step; v++) {
    values[v] = feed_result(&train->feed, train->of_step[v]);
    if (!isfinite(values[v])) return fail_numbers(train, entry->results[train->of_step[v]].name, values[v], failure);
    train->sums[v] += values[v] * (double)rows;
  }
  train->weight += (double)rows;
  history_step(&train->history, values);
  return true;
}

static void draw_progress(Train *train, int64_t done, const double *values) {
  const History *history = &train->history;
  const HistoryRow *last = history->rows.count ? &history->rows.items[history->rows.count - 1] : NULL;
  bool held = last && history->count > history->of_step;
  ProgressNow now = {.epoch = train->epoch + 1,
                     .epochs = train->settings->epochs,
                     .done = done,
                     .rows = train->count,
                     .name = history->of_step ? history->names[0] : NULL,
                     .value = history->of_step ? values[0] : NAN,
                     .held_name = held ? history->names[history->of_step] : NULL,
                     .held_value = held ? last->values[history->of_step] : NAN,
                     .curve = history->curve.points,
                     .points = history->curve.count,
                     .stride = history->of_step};
  progress_step(&train->progress, &now);
}

static void on_launch(void *user, int launch, int done) {
  Profile *profile = user;
  if (done)
    profile->seconds[launch] += seconds_now() - profile->began;
  else
    profile->began = seconds_now();
}

static bool run_batch(Train *train, int64_t steps_in_all, double *values, Failure *failure) {
  int64_t at = train->batch * train->feed.batch, rows = MIN(train->feed.batch, train->count - at);
  set_scalars(train, steps_in_all);
  feed_rows(&train->feed, train->order + at, rows);
  train->machine->trace = train->profile.seconds ? on_launch : NULL;
  train->machine->trace_user = &train->profile;
  bool good = call_run(train->machine, &train->feed.call, 0, failure);
  train->machine->trace = NULL;
  if (!good) return false;
  train->profile.calls++;
  train->steps++;
  if (!add_results(train, rows, values, failure)) return false;
  train->batch++;
  draw_progress(train, at + rows, values);
  return true;
}

/* A state that is not finite must not replace one that is. */
static bool save(Train *train, Failure *failure) {
  if (!train->settings->save || train->saved_step == train->steps) return true;
  int symbol = machine_first_not_finite(train->machine);
  if (symbol >= 0) return fail_numbers(train, "a number of the state", NAN, failure);
  return train_save(train, failure);
}

/* Without a shuffle, a text is read in as many streams as a batch has rows: each row goes on where the same row of the batch
 * before ended, so that a model may keep its state from step to step. What is left of the rows comes last. */
static void order_streams(int64_t *order, const int64_t *rows, int64_t count, int64_t streams) {
  int64_t length = count / streams;
  for (int64_t k = 0; k < length * streams; k++) order[k] = rows[k % streams * length + k / streams];
  memcpy(order + length * streams, rows + length * streams, (size_t)(count - length * streams) * sizeof *order);
}

static void order_rows(Train *train) {
  const Settings *settings = train->settings;
  memcpy(train->order, train->rows, (size_t)train->count * sizeof *train->order);
  if (train_shuffles(settings))
    shuffle_rows(train->order, train->count, (uint64_t)settings->seed, (uint32_t)train->epoch);
  else if (train->data.characters)
    order_streams(train->order, train->rows, train->count, train->feed.batch);
}

static bool run_epoch(Train *train, int64_t steps_in_all, Failure *failure) {
  const Settings *settings = train->settings;
  order_rows(train);
  int64_t batches = feed_batches(&train->feed, train->count);
  double *values = NEW_ARRAY(train->arena, double, train->nof_step + 1);
  progress_begin(&train->progress, settings->quiet, train->batch * train->feed.batch);
  while (train->batch < batches && !asked_to_stop) {
    if (!run_batch(train, steps_in_all, values, failure)) return false;
    bool due = settings->every > 0 && train->steps % settings->every == 0;
    due = due || seconds_now() - train->saved_at > SECONDS_BETWEEN_SAVES;
    if (due && train->batch < batches && !save(train, failure)) return false;
  }
  progress_clear(&train->progress);
  return true;
}

/* ---- evaluation and what is told ---- */

bool train_evaluate(Train *train, const Held *held, double *means, Failure *failure) {
  Feed feed = held->feed;
  double weight = 0;
  for (int v = 0; v < train->nof_test; v++) means[v] = 0;
  for (int64_t batch = 0; batch < feed_batches(&feed, held->count); batch++) {
    int64_t at = batch * feed.batch, rows = MIN(feed.batch, held->count - at);
    if (asked_to_stop) return false;
    feed_rows(&feed, held->rows + at, rows);
    if (!call_run(train->machine, &feed.call, (uint64_t)train->settings->seed, failure)) return false;
    for (int v = 0; v < train->nof_test; v++) means[v] += feed_result(&feed, train->of_test[v]) * (double)rows;
    weight += (double)rows;
  }
  for (int v = 0; v < train->nof_test; v++) means[v] = weight > 0 ? means[v] / weight : NAN;
  return true;
}

static void tell(const Train *train) {
  const History *history = &train->history;
  const HistoryRow *row = &history->rows.items[history->rows.count - 1];
  if (train->settings->quiet) return;
  printf("epoch %lld", (long long)row->epoch);
  for (int v = 0; v < history->count; v++) printf("  %s %.5g", history->names[v], row->values[v]);
  printf("  %.2f s, %.0f rows/s\n", row->seconds, (double)train->count / MAX(row->seconds, 1e-9));
  fflush(stdout);
}

bool train_write_curves(Train *train, Failure *failure) {
  const Settings *settings = train->settings;
  Text text = {0};
  bool good = true;
  if (settings->log) {
    history_csv(&train->history, &text);
    good = write_file(settings->log, text.bytes, text.length, failure);
  }
  if (good && settings->plot) {
    text_clear(&text);
    Arena *arena = arena_new();
    history_charts(arena, &train->history, feed_batches(&train->feed, train->count), &text);
    good = write_file(settings->plot, text.bytes, text.length, failure);
    arena_free(arena);
  }
  text_free(&text);
  return good;
}

/* ---- early stopping ---- */

static bool is_better(const char *name, double value, double than) {
  return *name == '+' || strncmp(name, "acc", 3) == 0 ? value > than : value < than;
}

/* Sets `stop` after patience epochs without a better value. */
static void watch(Train *train, const double *values, bool *stop) {
  *stop = false;
  if (train->settings->patience == 0) return;
  double value = values[train->watched];
  if (!train->have_best || is_better(train->settings->watch, value, train->best)) {
    train->have_best = true;
    train->best = value;
    train->waited = 0;
    train_keep_best(train);
  } else {
    *stop = ++train->waited >= train->settings->patience;
  }
}

static bool restore_best(Train *train, Failure *failure) {
  if (!train->have_best) return true;
  Arena *arena = arena_new();
  bool good = checkpoint_set(arena, train->machine, "the best state", &train->best_state, PREFIX_BEST, false, failure);
  arena_free(arena);
  train->best_state = (Tensors){0};
  train->have_best = false;
  train->saved_step = -1;
  return good;
}

/* ---- all epochs ---- */

/* False with no failure if a signal came before the evaluation was done; it is made again when the run is resumed. */
static bool end_epoch(Train *train, double began, bool *stop, Failure *failure) {
  double *values = NEW_ARRAY(train->arena, double, train->history.count + 1);
  int symbol = machine_first_not_finite(train->machine);
  if (symbol >= 0) return fail_numbers(train, "a number of the state", NAN, failure);
  for (int v = 0; v < train->nof_step; v++) values[v] = train->sums[v] / train->weight;
  if (train->each && !train_evaluate(train, train->each, values + train->nof_step, failure)) return false;
  history_row(train->arena, &train->history, train->epoch + 1, train->steps, seconds_now() - began, values);
  tell(train);
  watch(train, values, stop);
  train->epoch++;
  train->batch = 0;
  train->weight = 0;
  memset(train->sums, 0, sizeof *train->sums * (size_t)train->nof_step);
  return train_write_curves(train, failure);
}

static bool stop_at_signal(Train *train, Failure *failure) {
  const char *path = train->settings->save;
  if (!save(train, failure)) return false;
  fprintf(stderr, "nnc: stopped after step %lld%s%s\n", (long long)train->steps,
          path ? "; go on with --resume " : "; nothing was saved, as there was no --save", path ? path : "");
  return true;
}

/* The part for tests chooses nothing where there is one for validation: it is met once, at the end. */
static bool test_at_end(Train *train, Failure *failure) {
  const Held *last = &train->held[1];
  const MachineEntry *entry = train->test >= 0 ? &train->machine->entries[train->test] : NULL;
  if (!last->rows || train->each == last || (train->settings->quiet && !train->settings->report)) return true;
  double *means = NEW_ARRAY(train->arena, double, train->nof_test + 1);
  if (!train_evaluate(train, last, means, failure)) return false;
  train->last_test = means;
  if (train->settings->quiet) return true;
  printf("%s", last->name);
  for (int v = 0; v < train->nof_test; v++) printf("  %s %.5g", entry->results[train->of_test[v]].name, means[v]);
  printf("\n");
  return true;
}

static bool finish(Train *train, bool stopped, Failure *failure) {
  if (stopped && !train->settings->quiet)
    printf("stopped: %lld epochs without a better %s; the best is %.5g\n", (long long)train->waited,
           train->history.names[train->watched], train->best);
  if (!restore_best(train, failure) || !save(train, failure)) return false;
  if (!test_at_end(train, failure)) return !failure->code;
  return !train->settings->report || train_write_report(train, failure);
}

bool train_run(Train *train, Failure *failure) {
  int64_t steps_in_all = train->settings->epochs * feed_batches(&train->feed, train->count);
  bool stop = false;
  catch_signals();
  train->saved_at = seconds_now();
  while (train->epoch < train->settings->epochs && !stop && !asked_to_stop) {
    double began = seconds_now();
    if (!run_epoch(train, steps_in_all, failure)) return false;
    if (asked_to_stop && train->batch < feed_batches(&train->feed, train->count)) break;
    if (!end_epoch(train, began, &stop, failure)) {
      if (failure->code) return false;
      break;
    }
    bool last = train->epoch == train->settings->epochs || stop;
    bool due = train->settings->every > 0 && train->steps % train->settings->every == 0;
    if (!last && due && !save(train, failure)) return false;
  }
  return asked_to_stop ? stop_at_signal(train, failure) : finish(train, stop, failure);
}
