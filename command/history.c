#include "command/history.h"

#include "command/chart.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TENSOR_ROWS "nn.history"  /* epoch, step, values */
#define TENSOR_CURVE "nn.curve"   /* the points, then the sums at hand */
#define KEY_STRETCH "nnc.stretch" /* steps of a point, and of the one at hand */

History history_new(Arena *arena, const char *const *names, int count, int of_step) {
  History history = {.count = count, .of_step = of_step, .names = NEW_ARRAY(arena, const char *, count + 1)};
  for (int k = 0; k < count; k++) history.names[k] = names[k];
  history.curve.stretch = 1;
  history.curve.points = NEW_ARRAY(arena, double, CURVE_POINTS *of_step + 1);
  history.curve.sums = NEW_ARRAY(arena, double, of_step + 1);
  return history;
}

static void join_neighbours(Curve *curve, int width) {
  for (int k = 0; k < CURVE_POINTS / 2; k++)
    for (int v = 0; v < width; v++)
      curve->points[k * width + v] = (curve->points[2 * k * width + v] + curve->points[(2 * k + 1) * width + v]) / 2;
  curve->count = CURVE_POINTS / 2;
  curve->stretch *= 2;
}

void history_step(History *history, const double *values) {
  Curve *curve = &history->curve;
  int width = history->of_step;
  for (int v = 0; v < width; v++) curve->sums[v] += values[v];
  if (++curve->filled < curve->stretch) return;
  if (curve->count == CURVE_POINTS) {
    join_neighbours(curve, width);
    return; /* the stretch at hand goes on to its new length */
  }
  for (int v = 0; v < width; v++) {
    curve->points[curve->count * width + v] = curve->sums[v] / (double)curve->stretch;
    curve->sums[v] = 0;
  }
  curve->count++;
  curve->filled = 0;
}

void history_row(Arena *arena, History *history, int64_t epoch, int64_t step, double seconds, const double *values) {
  HistoryRow row = {epoch, step, seconds, arena_copy(arena, values, sizeof *values * (size_t)MAX(history->count, 1))};
  PUSH(arena, &history->rows, row);
}

/* ---- in checkpoints ---- */

void history_take(Arena *arena, const History *history, Tensors *beside) {
  const Curve *curve = &history->curve;
  int width = history->of_step, rows = history->rows.count;
  if (rows > 0) {
    Tensor tensor = tensor_new(arena, TENSOR_ROWS, ELEMENT_F64, 2, (int64_t[]){rows, 2 + history->count});
    double *to = tensor.data;
    for (int k = 0; k < rows; k++) {
      *to++ = (double)history->rows.items[k].epoch;
      *to++ = (double)history->rows.items[k].step;
      for (int v = 0; v < history->count; v++) *to++ = history->rows.items[k].values[v];
    }
    tensors_add(arena, beside, tensor);
  }
  if (width == 0) return;
  Tensor tensor = tensor_new(arena, TENSOR_CURVE, ELEMENT_F64, 2, (int64_t[]){curve->count + 1, width});
  memcpy(tensor.data, curve->points, sizeof(double) * (size_t)(curve->count * width));
  memcpy((double *)tensor.data + curve->count * width, curve->sums, sizeof(double) * (size_t)width);
  tensors_add(arena, beside, tensor);
  tensors_set(arena, beside, KEY_STRETCH, arena_format(arena, "%" PRId64 " %" PRId64, curve->stretch, curve->filled));
}

static bool fits(const Tensor *tensor, int width, int64_t most) {
  return tensor->type == ELEMENT_F64 && tensor->rank == 2 && tensor->size[1] == width && tensor->size[0] > 0 &&
         tensor->size[0] <= most;
}

static bool restore_curve(Curve *curve, int width, const Tensor *tensor, const char *stretch) {
  if (!stretch || !fits(tensor, width, CURVE_POINTS + 1)) return false;
  char *end;
  curve->stretch = strtoll(stretch, &end, 10);
  curve->filled = strtoll(end, NULL, 10);
  curve->count = (int)tensor->size[0] - 1;
  memcpy(curve->points, tensor->data, sizeof(double) * (size_t)(curve->count * width));
  memcpy(curve->sums, (const double *)tensor->data + curve->count * width, sizeof(double) * (size_t)width);
  return curve->stretch > 0 && curve->filled >= 0 && curve->filled < curve->stretch;
}

bool history_restore(Arena *arena, History *history, const char *path, const Tensors *file, Failure *failure) {
  const Tensor *rows = tensors_find(file, TENSOR_ROWS), *curve = tensors_find(file, TENSOR_CURVE);
  int width = 2 + history->count;
  if ((rows && !fits(rows, width, INT32_MAX)) ||
      (curve && !restore_curve(&history->curve, history->of_step, curve, tensors_get(file, KEY_STRETCH))))
    return fail(failure, EXIT_INPUT, "%.300s: its history is not of %d numbers an epoch, as here", path, history->count);
  for (int64_t k = 0; rows && k < rows->size[0]; k++) {
    const double *row = (const double *)rows->data + k * width;
    history_row(arena, history, (int64_t)row[0], (int64_t)row[1], NAN, row + 2);
  }
  return true;
}

/* ---- as csv ---- */

void history_seconds(Arena *arena, History *history, const char *path) {
  Table table;
  Failure none = {0};
  if (history->rows.count == 0 || !read_csv(arena, path, &table, &none)) return; /* there is none: nothing to take */
  int epoch = table_find(&table, "epoch"), seconds = table_find(&table, "seconds");
  if (epoch < 0 || seconds < 0 || table.column[epoch].text || table.column[seconds].text) return;
  for (int k = 0; k < history->rows.count; k++)
    for (int64_t row = 0; row < table.rows; row++)
      if (table.column[epoch].numbers[row] == (double)history->rows.items[k].epoch)
        history->rows.items[k].seconds = table.column[seconds].numbers[row];
}

void history_csv(const History *history, Text *out) {
  text_add(out, "epoch,step,seconds");
  for (int v = 0; v < history->count; v++) text_add(out, ",%s", history->names[v]);
  text_add(out, "\n");
  for (int k = 0; k < history->rows.count; k++) {
    const HistoryRow *row = &history->rows.items[k];
    text_add(out, "%" PRId64 ",%" PRId64 ",%.3f", row->epoch, row->step, row->seconds);
    for (int v = 0; v < history->count; v++) text_add(out, ",%.9g", row->values[v]);
    text_add(out, "\n");
  }
}

/* ---- as charts ---- */

/* Of the step: the curve within epochs. Stretches lie in their middles. */
static Series curve_series(Arena *arena, const History *history, int value, double steps_of_epoch) {
  const Curve *curve = &history->curve;
  double *x = NEW_ARRAY(arena, double, curve->count + 1), *y = NEW_ARRAY(arena, double, curve->count + 1);
  for (int k = 0; k < curve->count; k++) {
    x[k] = ((double)k + 0.5) * (double)curve->stretch / steps_of_epoch;
    y[k] = curve->points[k * history->of_step + value];
  }
  return (Series){.name = "training", .x = x, .y = y, .count = curve->count};
}

/* Of what was held out: a number at the end of each epoch. */
static Series row_series(Arena *arena, const History *history, int value, double steps_of_epoch) {
  int count = history->rows.count;
  double *x = NEW_ARRAY(arena, double, count + 1), *y = NEW_ARRAY(arena, double, count + 1);
  for (int k = 0; k < count; k++) {
    x[k] = (double)history->rows.items[k].step / steps_of_epoch;
    y[k] = history->rows.items[k].values[value];
  }
  const char *space = strchr(history->names[value], ' ');
  const char *name = space ? arena_format(arena, "%.*s", (int)(space - history->names[value]), history->names[value]) : "";
  return (Series){.name = name, .x = x, .y = y, .count = count, .marks = count <= 60};
}

const char *history_plain_name(const char *name) {
  const char *space = strchr(name, ' ');
  return space ? space + 1 : name;
}

void history_charts(Arena *arena, const History *history, int64_t steps_of_epoch, Text *svg) {
  Chart *charts = NEW_ARRAY(arena, Chart, history->count + 1);
  int count = 0;
  for (int v = 0; v < history->count; v++) {
    bool of_step = v < history->of_step;
    Series series = of_step ? curve_series(arena, history, v, (double)steps_of_epoch)
                            : row_series(arena, history, v, (double)steps_of_epoch);
    const char *name = history_plain_name(history->names[v]);
    int c = 0;
    while (c < count && strcmp(charts[c].y_label, name) != 0) c++;
    if (c == count) {
      charts[count++] = (Chart){"epoch", name, NEW_ARRAY(arena, Series, history->count), 0, strncmp(name, "acc", 3) != 0};
    }
    series.color = charts[c].count;
    charts[c].series[charts[c].count++] = series;
  }
  charts_draw(charts, count, svg);
}
