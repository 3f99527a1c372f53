/* Columns stay in the smallest form that they came in (pictures as bytes), and become elements as batches are gathered. */
#include "command/feed.h"

#include <string.h>

enum { USUAL_BATCH = 64 };

/* ---- which column meets which parameter ---- */

static bool is_bound(const char *name, const char *const *bound, int count) {
  for (int k = 0; k < count; k++)
    if (strcmp(bound[k], name) == 0) return true;
  return false;
}

static bool takes_data(const MachineValue *value, const char *const *bound, int nbound) {
  return !is_bound(value->name, bound, nbound) && (value->rank > 0 || !value->has_default);
}

/* Column for each parameter, or -1. */
static bool match(Arena *arena, const Machine *machine, int index, const DataPart *part, const char *const *bound,
                  int nbound, int *column_of, Failure *failure) {
  const MachineEntry *entry = &machine->entries[index];
  int columns = part->columns.list.count;
  bool *taken = NEW_ARRAY(arena, bool, columns + 1);
  for (int p = 0; p < entry->nparameters; p++) {
    column_of[p] = -1;
    if (!takes_data(&entry->parameters[p], bound, nbound)) continue;
    for (int c = 0; c < columns; c++)
      if (!taken[c] && strcmp(part->columns.list.items[c].name, entry->parameters[p].name) == 0) column_of[p] = c;
    if (column_of[p] >= 0) taken[column_of[p]] = true;
  }
  int next = 0;
  for (int p = 0; p < entry->nparameters; p++) {
    const MachineValue *value = &entry->parameters[p];
    if (column_of[p] >= 0 || !takes_data(value, bound, nbound)) continue;
    while (next < columns && taken[next]) next++;
    if (next == columns)
      return fail(failure, EXIT_INPUT, "%s wants %s: %s%s, but the data have only %d column%s; give %s=... or more data",
                  entry->name, value->name, dtype_name(value->dtype), value->shape, columns, columns == 1 ? "" : "s",
                  value->name);
    taken[next] = true;
    column_of[p] = next;
  }
  return true;
}

const char *feed_first_column(const Machine *machine, int entry, const Dataset *data) {
  Arena *arena = arena_new();
  Failure failure = {0};
  const MachineEntry *e = &machine->entries[entry];
  int *column_of = NEW_ARRAY(arena, int, e->nparameters + 1);
  const char *found = NULL;
  if (match(arena, machine, entry, &data->train, NULL, 0, column_of, &failure))
    for (int p = 0; p < e->nparameters && !found; p++)
      if (column_of[p] >= 0) found = data->train.columns.list.items[column_of[p]].name;
  arena_free(arena);
  return found;
}

/* ---- batches ---- */

static void find_batch(Feed *feed, const MachineValue *value, int64_t wanted) {
  const Machine *machine = feed->machine;
  size_t length = 0;
  const char *axis = value->rank > 0 ? shape_axis(value->shape, 0, &length) : "";
  feed->batch_dim = machine_find_dim(machine, axis, length);
  feed->smallest = feed->step = 1;
  feed->batch = 1;
  if (feed->batch_dim < 0) return;
  const MachineDim *dim = &machine->dims[feed->batch_dim];
  feed->smallest = dim->low;
  feed->step = MAX(dim->step, 1);
  feed->batch = wanted ? wanted : MAX(dim->low, MIN(dim->high, USUAL_BATCH));
  if (!wanted && feed->batch % feed->step) feed->batch = MIN(round_up(feed->batch, feed->step), dim->high);
}

static bool check_batch(const Feed *feed, int64_t wanted, Failure *failure) {
  if (feed->batch_dim < 0)
    return !wanted || wanted == feed->batch ||
           fail(failure, EXIT_INPUT, "--batch %lld: the entry takes %lld rows at a time, by its shapes", (long long)wanted,
                (long long)feed->batch);
  const MachineDim *dim = &feed->machine->dims[feed->batch_dim];
  if (feed->batch >= dim->low && feed->batch <= dim->high && feed->batch % feed->step == 0) return true;
  return fail(failure, EXIT_INPUT, "--batch %lld: the model has %lld <= %s <= %lld%s", (long long)feed->batch,
              (long long)dim->low, dim->name, (long long)dim->high, feed->step > 1 ? ", in steps" : "");
}

int64_t feed_batches(const Feed *feed, int64_t rows) {
  int64_t last = rows % feed->batch;
  bool usable = feed->batch_dim >= 0 && last >= feed->smallest && last % feed->step == 0 && last > 0;
  return rows / feed->batch + (usable ? 1 : 0);
}

/* ---- columns ---- */

static bool set_kind(Arena *arena, const Feed *feed, const MachineValue *value, const Tensor *tensor, const Dataset *data,
                     int64_t elements, FeedColumn *column, Failure *failure) {
  bool whole = tensor->type == ELEMENT_I32;
  column->data = tensor->data;
  if (value->dtype == BOOL) {
    column->kind = FEED_TRUTH;
    void *truths = NULL;
    bool good = machine_elements(arena, feed->machine, BOOL, value->name, tensor, &truths, failure);
    column->data = truths;
    return good;
  }
  if (value->dtype == F32 && whole && data->class_count > 0 && elements == 1 && column->per_row > 1) {
    column->kind = FEED_ONE_HOT;
    return data->class_count <= column->per_row || fail(failure, EXIT_INPUT, "a label is %d, but %s has classes 0 to %lld",
                                                        data->class_count - 1, value->name, (long long)column->per_row - 1);
  }
  if (is_picture(tensor, value->dtype)) {
    column->kind = FEED_PICTURE;
    return true;
  }
  column->kind = value->dtype == I32 ? FEED_INTS : FEED_FLOATS;
  int32_t *ints = NULL;
  float *floats = NULL;
  bool good =
      value->dtype == I32 ? tensor_ints(arena, tensor, &ints, failure) : tensor_floats(arena, tensor, &floats, failure);
  column->data = value->dtype == I32 ? (void *)ints : (void *)floats;
  return good;
}

static bool set_dims(Feed *feed, const MachineValue *value, const Tensor *tensor, Failure *failure) {
  Tensor batch = *tensor;
  batch.size[0] = feed->batch;
  if (feed->batch_dim >= 0) feed->call.dims[feed->batch_dim] = feed->batch;
  return feed->batch_dim < 0 || dims_from_tensor(feed->machine, value, &batch, feed->call.dims, failure);
}

/* Where no dim counts rows: the parameter holds one row, or so many as its first axis says. */
static void find_fixed_batch(Feed *feed, int parameter, int64_t elements) {
  int64_t size[MAX_RANK], count = machine_sizes(feed->machine, feed->call.entry, parameter, feed->call.dims, size);
  if (count == elements)
    feed->batch = 1;
  else if (feed->machine->entries[feed->call.entry].parameters[parameter].rank > 0)
    feed->batch = size[0];
}

static bool add_column(Arena *arena, Feed *feed, int parameter, const Tensor *tensor, const Dataset *data,
                       Failure *failure) {
  const MachineEntry *entry = &feed->machine->entries[feed->call.entry];
  const MachineValue *value = &entry->parameters[parameter];
  int64_t rows = tensor->size[0], elements = rows ? tensor_count(tensor) / rows : 0, size[MAX_RANK];
  if (feed->batch_dim < 0 && feed->columns.count == 0) find_fixed_batch(feed, parameter, elements);
  FeedColumn column = {.parameter = parameter};
  int64_t count = machine_sizes(feed->machine, feed->call.entry, parameter, feed->call.dims, size);
  column.per_row = count / feed->batch;
  if (!set_kind(arena, feed, value, tensor, data, elements, &column, failure)) return false;
  if (column.per_row * feed->batch != count || (column.kind != FEED_ONE_HOT && column.per_row != elements)) {
    Tensor row = *tensor;
    row.rank--;
    memmove(row.size, row.size + 1, sizeof row.size - sizeof row.size[0]);
    return fail(failure, EXIT_INPUT, "%s: %s is %s, but a row of the data's '%s' is %s", entry->name, value->name,
                value->shape, tensor->name, tensor_shape(arena, &row));
  }
  feed->call.parameters[parameter] =
      arena_alloc_array(arena, (size_t)count + 1, (size_t)machine_element_bytes(feed->machine, value->dtype));
  PUSH(arena, &feed->columns, column);
  return true;
}

bool feed_new(Arena *arena, Machine *machine, int entry, const Dataset *data, const DataPart *part,
              const char *const *bound, int nbound, int64_t wanted, Feed *feed, Failure *failure) {
  const MachineEntry *e = &machine->entries[entry];
  *feed = (Feed){.machine = machine, .call = call_new(arena, machine, entry), .batch_dim = -1, .batch = 1};
  int *column_of = NEW_ARRAY(arena, int, e->nparameters + 1);
  if (!match(arena, machine, entry, part, bound, nbound, column_of, failure)) return false;
  for (int p = 0; p < e->nparameters && feed->batch_dim < 0; p++)
    if (column_of[p] >= 0) find_batch(feed, &e->parameters[p], wanted);
  if (feed->batch_dim >= 0 && !check_batch(feed, wanted, failure)) return false;
  for (int p = 0; p < e->nparameters; p++)
    if (column_of[p] >= 0 && !set_dims(feed, &e->parameters[p], &part->columns.list.items[column_of[p]], failure))
      return false;
  for (int k = 0; k < machine->ndims; k++) /* a dim that no data tell is as large as it may be */
    if (!feed->call.dims[k]) feed->call.dims[k] = machine->dims[k].high;
  for (int p = 0; p < e->nparameters; p++) {
    if (column_of[p] >= 0) {
      if (!add_column(arena, feed, p, &part->columns.list.items[column_of[p]], data, failure)) return false;
    } else {
      feed->call.parameters[p] = arena_alloc(arena, 8);
      feed_scalar(feed, p, e->parameters[p].fallback);
    }
  }
  call_results(arena, machine, &feed->call);
  return check_batch(feed, wanted, failure);
}

/* ---- gathering ---- */

/* The number as the machine keeps floats; f64 gets the very number that f32 gets. */
static inline void put(const Feed *feed, void *to, int64_t at, float number) {
  if (feed->machine->wide)
    ((double *)to)[at] = (double)number;
  else
    ((float *)to)[at] = number;
}

static void gather_row(const Feed *feed, const FeedColumn *column, void *to, int64_t row, int64_t place) {
  int64_t n = column->per_row, from = row * n, at = place * n;
  switch (column->kind) {
  case FEED_PICTURE:
    for (int64_t i = 0; i < n; i++) put(feed, to, at + i, (float)((const uint8_t *)column->data)[from + i] / 255.0f);
    break;
  case FEED_FLOATS:
    for (int64_t i = 0; i < n; i++) put(feed, to, at + i, ((const float *)column->data)[from + i]);
    break;
  case FEED_INTS: memcpy((int32_t *)to + at, (const int32_t *)column->data + from, (size_t)n * sizeof(int32_t)); break;
  case FEED_TRUTH: memcpy((uint8_t *)to + at, (const uint8_t *)column->data + from, (size_t)n); break;
  case FEED_ONE_HOT:
    for (int64_t i = 0; i < n; i++) put(feed, to, at + i, ((const int32_t *)column->data)[row] == i ? 1.0f : 0.0f);
    break;
  }
}

void feed_rows(Feed *feed, const int64_t *rows, int64_t count) {
  if (feed->batch_dim >= 0) feed->call.dims[feed->batch_dim] = count;
  for (int c = 0; c < feed->columns.count; c++) {
    const FeedColumn *column = &feed->columns.items[c];
    void *to = feed->call.parameters[column->parameter];
    for (int64_t k = 0; k < count; k++) gather_row(feed, column, to, rows[k], k);
  }
}

void feed_scalar(Feed *feed, int parameter, double value) {
  void *to = feed->call.parameters[parameter];
  switch (feed->machine->entries[feed->call.entry].parameters[parameter].dtype) {
  case BOOL: *(uint8_t *)to = value != 0; break;
  case I32: *(int32_t *)to = (int32_t)value; break;
  default: put(feed, to, 0, (float)value); break;
  }
}

double feed_result(const Feed *feed, int result) {
  const MachineValue *value = &feed->machine->entries[feed->call.entry].results[result];
  const void *at = feed->call.results[result];
  if (value->dtype == BOOL) return *(const uint8_t *)at;
  if (value->dtype == I32) return *(const int32_t *)at;
  return feed->machine->wide ? *(const double *)at : (double)*(const float *)at;
}
