/* Where a training stands, as tensors and metadata of a checkpoint; numbers that must come back to the bit are written in
 * hexadecimal. */
#include "command/train.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void set_metadata(Train *train, Arena *arena, Tensors *beside) {
  for (int m = 0; m < train->preparation.metadata.count; m++)
    tensors_set(arena, beside, train->preparation.metadata.items[m].key, train->preparation.metadata.items[m].value);
  tensors_set(arena, beside, "nnc.model", train->machine->name);
  tensors_set(arena, beside, KEY_PLACE,
              arena_format(arena, "%" PRId64 " %" PRId64 " %" PRId64, train->epoch, train->batch, train->steps));
  tensors_set(arena, beside, KEY_ORDER, arena_format(arena, "%" PRId64 " %" PRId64, train->count, train->feed.batch));
  train_keep_settings(train, arena, beside);
  history_take(arena, &train->history, beside);
  Text sums = {0};
  text_add(&sums, "%a", train->weight);
  for (int v = 0; v < train->nof_step; v++) text_add(&sums, " %a", train->sums[v]);
  tensors_set(arena, beside, KEY_SUMS, arena_format(arena, "%s", sums.bytes));
  text_free(&sums);
  if (train->have_best)
    tensors_set(arena, beside, KEY_BEST, arena_format(arena, "%a %" PRId64, train->best, train->waited));
}

bool train_save(Train *train, Failure *failure) {
  Arena *arena = arena_new();
  Tensors beside = {0};
  set_metadata(train, arena, &beside);
  for (int t = 0; t < train->best_state.list.count; t++) tensors_add(arena, &beside, train->best_state.list.items[t]);
  bool good = checkpoint_save(train->machine, train->settings->save, &beside, failure);
  arena_free(arena);
  train->saved_at = seconds_now();
  if (good) train->saved_step = train->steps;
  return good;
}

void train_keep_best(Train *train) {
  if (train->best_arena) arena_free(train->best_arena);
  train->best_arena = arena_new();
  train->best_state = (Tensors){0};
  checkpoint_take(train->best_arena, train->machine, PREFIX_BEST, &train->best_state);
}

/* Numbers separated by blanks; false if there are not so many. */
static bool read_wholes(const char *text, int64_t *numbers, int count) {
  for (int k = 0; k < count; k++) {
    char *end;
    numbers[k] = text ? strtoll(text, &end, 10) : 0;
    if (!text || end == text || numbers[k] < 0) return false;
    text = end;
  }
  return true;
}

/* A run that goes on must meet the same rows. */
static bool check_order(const Train *train, const char *path, const int64_t *order, Failure *failure) {
  if (order[0] != train->count)
    return fail(failure, EXIT_INPUT, "%.300s was made with %lld rows to train on, here are %lld", path, (long long)order[0],
                (long long)train->count);
  return order[1] == train->feed.batch || fail(failure, EXIT_INPUT, "%.300s was made with --batch %lld, not %lld", path,
                                               (long long)order[1], (long long)train->feed.batch);
}

/* Nor other classes, characters or figures. */
static bool check_preparation(const Train *train, const char *path, const Tensors *file, Failure *failure) {
  for (int m = 0; m < train->preparation.metadata.count; m++) {
    const Metadata *item = &train->preparation.metadata.items[m];
    const char *kept = tensors_get(file, item->key);
    if (!kept || strcmp(kept, item->value) != 0)
      return fail(failure, EXIT_INPUT, "%.300s was made with other data: %.100s differs", path, item->key);
  }
  return true;
}

static void restore_best(Train *train, const Tensors *file) {
  const char *best = tensors_get(file, KEY_BEST);
  if (!best) return;
  char *end;
  train->have_best = true;
  train->best = strtod(best, &end);
  train->waited = strtoll(end, NULL, 10);
  train->best_arena = arena_new();
  for (int t = 0; t < file->list.count; t++)
    if (strncmp(file->list.items[t].name, PREFIX_BEST, strlen(PREFIX_BEST)) == 0)
      tensors_add(train->best_arena, &train->best_state, file->list.items[t]);
}

bool train_resume(Train *train, Failure *failure) {
  const char *path = train->settings->resume;
  Tensors file = {0};
  if (!checkpoint_load(train->arena, train->machine, path, false, &file, failure)) return false;
  int64_t place[3], order[2];
  const char *sums = tensors_get(&file, KEY_SUMS);
  if (!read_wholes(tensors_get(&file, KEY_PLACE), place, 3) || !read_wholes(tensors_get(&file, KEY_ORDER), order, 2) ||
      !sums)
    return fail(failure, EXIT_INPUT, "%.300s does not tell where its training stood; --state takes its weights alone",
                path);
  if (!check_order(train, path, order, failure) || !check_preparation(train, path, &file, failure)) return false;
  if (place[1] > feed_batches(&train->feed, train->count))
    return fail(failure, EXIT_INPUT, "%.300s: %s is beyond the epoch's end", path, KEY_PLACE);
  train->epoch = place[0];
  train->batch = place[1];
  train->steps = place[2];
  char *end;
  train->weight = strtod(sums, &end);
  for (int v = 0; v < train->nof_step; v++) train->sums[v] = strtod(end, &end);
  restore_best(train, &file);
  return history_restore(train->arena, &train->history, path, &file, failure);
}
