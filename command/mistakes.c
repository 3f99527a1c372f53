/* A fn tells classes if columns other than the labels fill its parameters and it gives, for each row, an i32, or else a row
 * of numbers whose largest one is the class. Where it gives both, the numbers say how sure it is. */
#include "command/mistakes.h"

#include <math.h>
#include <string.h>

typedef struct Judge {
  int label, sureness; /* results; -1: there is none */
} Judge;

/* ---- which fn ---- */

static const Tensor *labels_of(const DataPart *part) {
  const Tensor *y = tensors_find(&part->columns, "y");
  return y && y->rank == 1 && y->type <= ELEMENT_I64 && y->type != ELEMENT_BOOL ? y : NULL;
}

static DataPart without_labels(Arena *arena, const DataPart *part) {
  DataPart others = {.rows = part->rows};
  for (int c = 0; c < part->columns.list.count; c++)
    if (strcmp(part->columns.list.items[c].name, "y") != 0)
      tensors_add(arena, &others.columns, part->columns.list.items[c]);
  return others;
}

static bool judges(const Feed *feed, Judge *judge) {
  const MachineEntry *entry = &feed->machine->entries[feed->call.entry];
  *judge = (Judge){-1, -1};
  for (int r = entry->nresults - 1; r >= 0; r--) {
    int64_t size[MAX_RANK];
    machine_sizes(feed->machine, feed->call.entry, entry->nparameters + r, feed->call.dims, size);
    const MachineValue *result = &entry->results[r];
    if (result->rank == 0 || size[0] != feed->batch) continue;
    if (result->dtype == I32 && result->rank == 1) judge->label = r;
    if (result->dtype == F32 && result->rank == 2 && size[1] > 1) judge->sureness = r;
  }
  return judge->label >= 0 || judge->sureness >= 0;
}

static bool find_judge(Train *train, const DataPart *part, Mistakes *mistakes, Judge *judge) {
  Machine *machine = train->machine;
  for (int e = 0; e < machine->nentries; e++) {
    Failure none = {0};
    if (machine->entries[e].step || e == train->test) continue;
    if (!feed_new(train->arena, machine, e, &train->data, part, NULL, 0, 0, &mistakes->feed, &none)) continue;
    if (mistakes->feed.columns.count == 0 || !judges(&mistakes->feed, judge)) continue;
    mistakes->entry = machine->entries[e].name;
    mistakes->column = &part->columns.list.items[0];
    return true;
  }
  return false;
}

/* ---- which rows ---- */

static double number_of(const Feed *feed, int result, int64_t index) {
  const void *at = feed->call.results[result];
  return feed->machine->wide ? ((const double *)at)[index] : (double)((const float *)at)[index];
}

static void judge_row(const Feed *feed, const Judge *judge, int64_t k, Mistake *mistake) {
  int64_t classes = judge->sureness < 0 ? 0 : feed->call.result_count[judge->sureness] / feed->batch;
  if (judge->label >= 0) {
    mistake->guess = ((const int32_t *)feed->call.results[judge->label])[k];
  } else {
    mistake->guess = 0;
    for (int64_t c = 1; c < classes; c++)
      if (number_of(feed, judge->sureness, k * classes + c) >
          number_of(feed, judge->sureness, k * classes + mistake->guess))
        mistake->guess = (int32_t)c;
  }
  bool known = mistake->guess >= 0 && mistake->guess < classes;
  mistake->sureness = known ? number_of(feed, judge->sureness, k * classes + mistake->guess) : NAN;
}

/* Among the worst if it is surer than one of them, or if there is room. */
static void keep(Mistakes *mistakes, Mistake mistake) {
  int at = mistakes->count;
  while (at > 0 && mistake.sureness > mistakes->worst[at - 1].sureness) at--;
  if (at == MOST_MISTAKES) return;
  mistakes->count = MIN(mistakes->count + 1, MOST_MISTAKES);
  memmove(&mistakes->worst[at + 1], &mistakes->worst[at], sizeof mistake * (size_t)(mistakes->count - 1 - at));
  mistakes->worst[at] = mistake;
}

static void count_row(Mistakes *mistakes, Mistake mistake) {
  int most = MAX(mistake.label, mistake.guess);
  if (mistake.label < 0 || mistake.guess < 0 || most >= MOST_CLASSES)
    mistakes->classes = -1;
  else if (mistakes->classes >= 0) {
    mistakes->confusion[mistake.label][mistake.guess]++;
    mistakes->classes = MAX(mistakes->classes, most + 1);
  }
  if (mistake.label == mistake.guess) return;
  mistakes->wrong++;
  keep(mistakes, mistake);
}

bool mistakes_find(Train *train, Mistakes *mistakes, Failure *failure) {
  *mistakes = (Mistakes){.part = "training"};
  const int64_t *rows = train->rows;
  const DataPart *part = &train->data.train;
  int64_t count = train->count;
  for (int k = 0; k < COUNT_OF(train->held); k++) {
    const Held *held = &train->held[k];
    if (!held->rows) continue;
    mistakes->part = held->name;
    rows = held->rows;
    count = held->count;
    if (k == 1 && train->data.test.rows > 0) part = &train->data.test;
  }
  const Tensor *y = labels_of(part);
  DataPart others = without_labels(train->arena, part);
  Judge judge;
  int32_t *labels;
  if (!y || others.columns.list.count == 0 || !tensor_ints(train->arena, y, &labels, failure)) return false;
  if (!find_judge(train, &others, mistakes, &judge)) return false;
  Feed *feed = &mistakes->feed;
  for (int64_t batch = 0; batch < feed_batches(feed, count); batch++) {
    int64_t at = batch * feed->batch, n = MIN(feed->batch, count - at);
    feed_rows(feed, rows + at, n);
    if (!call_run(train->machine, &feed->call, (uint64_t)train->settings->seed, failure)) return false;
    for (int64_t k = 0; k < n; k++) {
      Mistake mistake = {.row = rows[at + k], .label = labels[rows[at + k]]};
      judge_row(feed, &judge, k, &mistake);
      count_row(mistakes, mistake);
    }
    mistakes->rows += n;
  }
  mistakes->classes = MAX(mistakes->classes, 0);
  return true;
}

/* ---- pictures ---- */

bool mistakes_picture(Arena *arena, Mistakes *mistakes, int64_t row, Tensor *picture) {
  Feed *feed = &mistakes->feed;
  int64_t *rows = NEW_ARRAY(arena, int64_t, feed->batch), size[MAX_RANK];
  for (int64_t k = 0; k < feed->batch; k++) rows[k] = row;
  feed_rows(feed, rows, feed->batch); /* so many that any bound of the dim is kept */
  const FeedColumn *column = &feed->columns.items[0];
  const MachineEntry *entry = &feed->machine->entries[feed->call.entry];
  if (entry->parameters[column->parameter].dtype != F32) return false;
  int first = feed->batch_dim >= 0 || feed->batch > 1 ? 1 : 0; /* the axis of rows, if there is one */
  int rank = entry->parameters[column->parameter].rank - first;
  machine_sizes(feed->machine, feed->call.entry, column->parameter, feed->call.dims, size);
  const int64_t *sizes = size + first;
  if (rank < 2) {
    rank = mistakes->column->rank - 1;
    sizes = mistakes->column->size + 1;
  }
  if (rank < 2 || rank > 3 || (rank == 3 && sizes[0] != 1 && sizes[0] != 3 && sizes[0] != 4)) return false;
  *picture = tensor_new(arena, "picture", ELEMENT_F32, rank, sizes);
  float *to = picture->data, low = 0, high = 1;
  for (int64_t i = 0; i < column->per_row; i++) {
    const void *from = feed->call.parameters[column->parameter];
    to[i] = feed->machine->wide ? (float)((const double *)from)[i] : ((const float *)from)[i];
    low = fminf(low, to[i]);
    high = fmaxf(high, to[i]);
  }
  for (int64_t i = 0; i < column->per_row; i++) to[i] = (to[i] - low) / (high - low);
  return true;
}
