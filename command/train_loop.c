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

/* Sums the scalar results by row; false where one is not finite. */
static bool add_results(Train *train, int64_t rows, double *first, Failure *failure) {
  const MachineEntry *entry = &train->machine->entries[train->step];
  *first = NAN;
  for (int r = 0; r < entry->nresults; r++) {
    bool scalar;
    double value = feed_result(&train->feed, r, &scalar);
    if (!scalar) continue;
    if (!isfinite(value)) return fail_numbers(train, entry->results[r].name, value, failure);
    train->sums[r] += value * (double)rows;
    if (isnan(*first)) *first = value;
  }
  train->weight += (double)rows;
  return true;
}

static bool run_batch(Train *train, int64_t steps_in_all, Failure *failure) {
  int64_t at = train->batch * train->feed.batch, rows = MIN(train->feed.batch, train->count - at);
  double first;
  set_scalars(train, steps_in_all);
  feed_rows(&train->feed, train->order + at, rows);
  if (!call_run(train->machine, &train->feed.call, 0, failure)) return false;
  train->steps++;
  if (!add_results(train, rows, &first, failure)) return false;
  train->batch++;
  const MachineEntry *entry = &train->machine->entries[train->step];
  progress_step(&train->progress, train->epoch + 1, at + rows, train->count,
                entry->nresults ? entry->results[0].name : NULL, first);
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
  progress_begin(&train->progress, settings->quiet, train->batch * train->feed.batch);
  while (train->batch < batches && !asked_to_stop) {
    if (!run_batch(train, steps_in_all, failure)) return false;
    bool due = settings->every > 0 && train->steps % settings->every == 0;
    due = due || seconds_now() - train->saved_at > SECONDS_BETWEEN_SAVES;
    if (due && train->batch < batches && !save(train, failure)) return false;
  }
  progress_clear(&train->progress);
  return true;
}

/* ---- evaluation and what is told ---- */

bool train_evaluate(Train *train, const Held *held, double *averages, Failure *failure) {
  Feed feed = held->feed;
  const MachineEntry *entry = &train->machine->entries[train->test];
  double weight = 0;
  for (int r = 0; r < entry->nresults; r++) averages[r] = 0;
  for (int64_t batch = 0; batch < feed_batches(&feed, held->count); batch++) {
    int64_t at = batch * feed.batch, rows = MIN(feed.batch, held->count - at);
    feed_rows(&feed, held->rows + at, rows);
    if (!call_run(train->machine, &feed.call, (uint64_t)train->settings->seed, failure)) return false;
    for (int r = 0; r < entry->nresults; r++) {
      bool scalar;
      averages[r] += feed_result(&feed, r, &scalar) * (double)rows;
    }
    weight += (double)rows;
  }
  for (int r = 0; r < entry->nresults; r++) averages[r] = weight > 0 ? averages[r] / weight : NAN;
  return true;
}

static const Held *watched_part(const Train *train) {
  for (int k = 0; k < COUNT_OF(train->held); k++)
    if (train->held[k].rows) return &train->held[k];
  return NULL;
}

static void tell(Train *train, const Held *held, const double *averages, double seconds, int64_t rows) {
  const MachineEntry *step = &train->machine->entries[train->step];
  Text line = {0}, names = {0}, row = {0};
  text_add(&line, "epoch %lld", (long long)train->epoch + 1);
  text_add(&names, "epoch,step,seconds");
  text_add(&row, "%lld,%lld,%.3f", (long long)train->epoch + 1, (long long)train->steps, seconds);
  for (int r = 0; r < step->nresults; r++) {
    if (step->results[r].rank > 0) continue;
    double mean = train->sums[r] / train->weight;
    text_add(&line, "  %s %.5g", step->results[r].name, mean);
    text_add(&names, ",%s", step->results[r].name);
    text_add(&row, ",%.9g", mean);
  }
  for (int r = 0; held && r < train->machine->entries[train->test].nresults; r++) {
    const MachineValue *value = &train->machine->entries[train->test].results[r];
    if (value->rank > 0) continue;
    text_add(&line, "  %s %s %.5g", held->name, value->name, averages[r]);
    text_add(&names, ",%s %s", held->name, value->name);
    text_add(&row, ",%.9g", averages[r]);
  }
  text_add(&line, "  %.2f s, %.0f rows/s", seconds, (double)rows / MAX(seconds, 1e-9));
  if (!train->settings->quiet) printf("%s\n", line.bytes);
  fflush(stdout);
  if (train->log.length == 0) text_add(&train->log, "%s\n", names.bytes);
  text_add(&train->log, "%s\n", row.bytes);
  text_free(&line);
  text_free(&names);
  text_free(&row);
}

/* ---- early stopping ---- */

/* The watched value: of the held-out part if the test fn gives it, else of the step. */
static bool watched(const Train *train, const Held *held, const double *averages, double *value, Failure *failure) {
  const char *name = train->settings->watch;
  const MachineEntry *step = &train->machine->entries[train->step];
  for (int r = 0; held && r < train->machine->entries[train->test].nresults; r++) {
    *value = averages[r];
    if (strcmp(train->machine->entries[train->test].results[r].name, name) == 0) return true;
  }
  for (int r = 0; r < step->nresults; r++) {
    *value = train->sums[r] / train->weight;
    if (strcmp(step->results[r].name, name) == 0 && step->results[r].rank == 0) return true;
  }
  return fail(failure, EXIT_INPUT, "--watch %.100s: neither the test nor the step gives a number of that name", name);
}

static bool is_better(const char *name, double value, double than) {
  return strncmp(name, "acc", 3) == 0 ? value > than : value < than;
}

/* Sets `stop` after patience epochs without a better value. */
static bool watch(Train *train, const Held *held, const double *averages, bool *stop, Failure *failure) {
  double value = NAN;
  *stop = false;
  if (train->settings->patience == 0) return true;
  if (!watched(train, held, averages, &value, failure)) return false;
  if (!train->have_best || is_better(train->settings->watch, value, train->best)) {
    train->have_best = true;
    train->best = value;
    train->waited = 0;
    train_keep_best(train);
  } else {
    *stop = ++train->waited >= train->settings->patience;
  }
  return true;
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

static bool end_epoch(Train *train, double began, bool *stop, Failure *failure) {
  const Held *held = watched_part(train);
  double *averages = train->averages;
  if (held && !train_evaluate(train, held, averages, failure)) return false;
  tell(train, held, averages, seconds_now() - began, train->count);
  if (!watch(train, held, averages, stop, failure)) return false;
  if (train->settings->log && !write_file(train->settings->log, train->log.bytes, train->log.length, failure)) return false;
  train->epoch++;
  train->batch = 0;
  train->weight = 0;
  memset(train->sums, 0, sizeof *train->sums * (size_t)train->machine->entries[train->step].nresults);
  return true;
}

static bool finish(Train *train, bool stopped, Failure *failure) {
  if (asked_to_stop) {
    if (!save(train, failure)) return false;
    fprintf(stderr, "nnc: stopped after step %lld%s%s%s\n", (long long)train->steps,
            train->settings->save ? "; go on with --resume " : "", train->settings->save ? train->settings->save : "",
            train->settings->save ? "" : "; nothing was saved, as there was no --save");
    return true;
  }
  if (stopped && !train->settings->quiet)
    printf("stopped: %lld epochs without a better %s; the best is %.5g\n", (long long)train->waited, train->settings->watch,
           train->best);
  if (!restore_best(train, failure) || !save(train, failure)) return false;
  const Held *last = &train->held[1];
  if (!last->rows || watched_part(train) == last || train->settings->quiet) return true;
  double *averages = train->averages;
  if (!train_evaluate(train, last, averages, failure)) return false;
  printf("%s", last->name);
  for (int r = 0; r < train->machine->entries[train->test].nresults; r++)
    if (train->machine->entries[train->test].results[r].rank == 0)
      printf("  %s %.5g", train->machine->entries[train->test].results[r].name, averages[r]);
  printf("\n");
  return true;
}

bool train_run(Train *train, Failure *failure) {
  int64_t steps_in_all = train->settings->epochs * feed_batches(&train->feed, train->count);
  bool stop = false;
  catch_signals();
  train->saved_at = seconds_now();
  while (train->epoch < train->settings->epochs && !stop) {
    double began = seconds_now();
    if (!run_epoch(train, steps_in_all, failure)) return false;
    if (asked_to_stop && train->batch < feed_batches(&train->feed, train->count)) break;
    if (!end_epoch(train, began, &stop, failure)) return false;
    if (asked_to_stop) break;
    bool last = train->epoch == train->settings->epochs || stop;
    bool due = train->settings->every > 0 && train->steps % train->settings->every == 0;
    if (!last && due && !save(train, failure)) return false;
  }
  return finish(train, stop, failure);
}
