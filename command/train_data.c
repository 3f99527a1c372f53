/* The data of a training: read, parted into rows to train on, to validate and to test on, and prepared by the figures of the
 * first alone. */
#include "command/train.h"

#include "command/shuffle.h"

#include <string.h>

/* ---- reading ---- */

/* The length of the step's windows: the last axis of its first parameter of two, at the largest dims. */
static bool window_length(const Train *train, int64_t *length, Failure *failure) {
  Machine *machine = train->machine;
  const MachineEntry *entry = &machine->entries[train->step];
  int64_t *dims = NEW_ARRAY(train->arena, int64_t, machine->ndims + 1), size[MAX_RANK];
  for (int k = 0; k < machine->ndims; k++) dims[k] = machine->dims[k].high;
  for (int p = 0; p < entry->nparameters; p++) {
    if (entry->parameters[p].rank != 2) continue;
    machine_sizes(machine, train->step, p, dims, size);
    *length = size[1];
    return true;
  }
  return fail(failure, EXIT_INPUT, "%s has no parameter of two axes that windows of a text could meet", entry->name);
}

static bool read_data(Train *train, Failure *failure) {
  const char *path = train->settings->words.items[1];
  if (strncmp(path, "text:", 5) != 0)
    return read_dataset(train->arena, path, train->settings->label, &train->data, failure);
  int64_t length = 0;
  return window_length(train, &length, failure) &&
         read_text_dataset(train->arena, path + 5, length, tensors_get(&train->kept, KEY_CHARACTERS), &train->data,
                           failure);
}

static int64_t *all_rows(Arena *arena, int64_t count) {
  int64_t *rows = NEW_ARRAY(arena, int64_t, count + 1);
  for (int64_t k = 0; k < count; k++) rows[k] = k;
  return rows;
}

/* Parts the rows: every test_every-th for tests, the first --rows of the others to train on, then a share of these for
 * validation, chosen by the seed; of a text its end, which shares no sentence with what is trained on. */
static bool part_rows(Train *train, Failure *failure) {
  const Settings *settings = train->settings;
  Arena *arena = train->arena;
  int64_t rows = train->data.train.rows;
  train->rows = NEW_ARRAY(arena, int64_t, rows + 1);
  train->held[0].name = "valid";
  train->held[1].name = "test";
  if (train->data.test.rows > 0) {
    if (settings->test_every) return fail(failure, EXIT_INPUT, "--test-every: the data have a part for tests already");
    train->held[1].rows = all_rows(arena, train->held[1].count = train->data.test.rows);
  } else if (settings->test_every) {
    train->held[1].rows = NEW_ARRAY(arena, int64_t, rows + 1);
  }
  for (int64_t k = 0; k < rows; k++) {
    if (settings->test_every && k % settings->test_every == 0)
      train->held[1].rows[train->held[1].count++] = k;
    else if (!settings->rows || train->count < settings->rows)
      train->rows[train->count++] = k;
  }
  if (settings->valid > 0) {
    int64_t held = (int64_t)(settings->valid * (double)train->count);
    if (held == 0)
      return fail(failure, EXIT_INPUT, "--valid %g: that is not one row of %lld", settings->valid, (long long)train->count);
    if (!train->data.characters)
      shuffle_rows(train->rows, train->count, (uint64_t)settings->seed, UINT32_MAX); /* an epoch that never comes */
    train->count -= held;
    train->held[0].rows = train->rows + train->count;
    train->held[0].count = held;
  }
  train->order = NEW_ARRAY(arena, int64_t, train->count + 1);
  return true;
}

/* ---- preparation ---- */

static int find_column(const DataPart *part, const char *name) {
  for (int c = 0; c < part->columns.list.count; c++)
    if (strcmp(part->columns.list.items[c].name, name) == 0) return c;
  return -1;
}

/* The first data parameter's column, by the figures of the rows to train on alone. */
static bool standardize_data(Train *train, Failure *failure) {
  const char *name = feed_first_column(train->machine, train->step, &train->data);
  int column = name ? find_column(&train->data.train, name) : -1;
  if (column < 0) return fail(failure, EXIT_INPUT, "--standardize: no column of the data meets the step");
  const Tensor *x = &train->data.train.columns.list.items[column];
  if (x->type == ELEMENT_U8 || x->type == ELEMENT_I32 || x->type == ELEMENT_BOOL)
    return fail(failure, EXIT_INPUT, "--standardize: '%.100s' holds %s, not floats", name, element_name(x->type));
  Standard standard = standard_of(train->arena, x, train->rows, train->count);
  train->data.train.columns.list.items[column] = standardized(train->arena, x, &standard);
  int test = find_column(&train->data.test, name);
  Tensor *tests = train->data.test.columns.list.items;
  if (test >= 0) tests[test] = standardized(train->arena, &tests[test], &standard);
  /* Kept under the parameter's name, by which `run` meets it again. */
  const MachineEntry *entry = &train->machine->entries[train->step];
  const char *parameter = name;
  for (int p = entry->nparameters - 1; p >= 0; p--)
    if (entry->parameters[p].rank > 0) parameter = entry->parameters[p].name;
  standard_keep(train->arena, &standard, parameter, &train->preparation);
  return true;
}

static void keep_classes(Train *train) {
  if (train->data.characters) tensors_set(train->arena, &train->preparation, KEY_CHARACTERS, train->data.characters);
  if (!train->data.class_names) return;
  Text text = {0};
  for (int k = 0; k < train->data.class_count; k++) text_add(&text, "%s%s", k ? "\n" : "", train->data.class_names[k]);
  tensors_set(train->arena, &train->preparation, KEY_CLASSES, arena_format(train->arena, "%s", text.bytes));
  text_free(&text);
}

/* ---- all together ---- */

bool train_read_data(Train *train, Failure *failure) {
  if (!read_data(train, failure) || !part_rows(train, failure)) return false;
  if (train->count == 0) return fail(failure, EXIT_INPUT, "%.300s: no row is left to train on", train->data.path);
  if (train->settings->standardize && !standardize_data(train, failure)) return false;
  keep_classes(train);
  return true;
}
