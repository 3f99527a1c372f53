/* nnc plot: the logs of several trainings in one picture, so that they can be compared.
 *
 * Each file is what `nnc train --log` wrote, or any csv with a header. A number that several files have makes one chart with
 * a curve for each; where a log has it of held-out rows too ("valid loss" beside "loss"), that is the solid curve and the
 * training's is dashed, in the same color. */
#include "command/chart.h"
#include "command/commands.h"
#include "command/history.h"
#include "command/tensor.h"

#include <string.h>
#include <unistd.h>

typedef struct Log {
  const char *name; /* what the legend says */
  Table table;
  int x; /* the column that runs along the horizontal axis */
} Log;

typedef struct Plot {
  Arena *arena;
  Log *logs;
  int count;
  bool linear; /* no axis is logarithmic */
  Vec(Chart) charts;
} Plot;

/* "lr0.1" of "runs/lr0.1.csv" and of "runs/lr0.1.csv.gz". */
static const char *stem_of(Arena *arena, const char *file) {
  const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
  size_t length = strlen(name) - (text_ends(name, ".gz") ? 3 : 0);
  for (size_t k = length; k-- > 1;)
    if (name[k] == '.') return arena_format(arena, "%.*s", (int)k, name);
  return arena_format(arena, "%.*s", (int)length, name);
}

/* NAME=FILE, FILE, or a FILE with = in its name. NAME may hold = too: "lr=0.1=a.csv". */
static bool read_log(Plot *plot, const char *word, Failure *failure) {
  Log *log = &plot->logs[plot->count++];
  const char *equals = access(word, F_OK) == 0 ? NULL : strrchr(word, '='), *file = equals ? equals + 1 : word;
  log->name = equals ? arena_format(plot->arena, "%.*s", (int)(equals - word), word) : stem_of(plot->arena, file);
  if (!read_csv(plot->arena, file, &log->table, failure)) return false;
  if (!log->table.header)
    return fail(failure, EXIT_INPUT, "%.600s: it has no header that names its columns, as a log of nnc train has", file);
  int epoch = table_find(&log->table, "epoch");
  log->x = epoch < 0 ? 0 : epoch;
  return !log->table.column[log->x].text ||
         fail(failure, EXIT_INPUT, "%.600s: its column '%.100s' holds words and cannot be an axis", file,
              log->table.column[log->x].name);
}

/* ---- which columns make which charts ---- */

/* Is the chart of that name among those of --columns, a list with commas? Without it, all but what only counts is drawn. */
static bool is_wanted(const char *columns, const char *name) {
  size_t length = strlen(name);
  if (!columns) return strcmp(name, "step") != 0 && strcmp(name, "seconds") != 0;
  for (const char *at = columns; *at; at += strcspn(at, ","), at += *at == ',')
    if (strcspn(at, ",") == length && memcmp(at, name, length) == 0) return true;
  return false;
}

static Chart *chart_of(Plot *plot, const Log *log, const char *name) {
  for (int k = 0; k < plot->charts.count; k++)
    if (strcmp(plot->charts.items[k].y_label, name) == 0) return &plot->charts.items[k];
  int most = 0;
  for (int k = 0; k < plot->count; k++) most += plot->logs[k].table.columns;
  Chart chart = {.x_label = log->table.column[log->x].name,
                 .y_label = name,
                 .series = NEW_ARRAY(plot->arena, Series, most),
                 .may_be_logarithmic = !plot->linear && strncmp(name, "acc", 3) != 0};
  PUSH(plot->arena, &plot->charts, chart);
  return &plot->charts.items[plot->charts.count - 1];
}

/* Does the log have the number of held-out rows, "valid loss" for "loss"? */
static bool has_held_out(const Log *log, const char *name) {
  for (int c = 0; c < log->table.columns; c++) {
    const char *other = log->table.column[c].name;
    if (strcmp(other, name) != 0 && strcmp(history_plain_name(other), name) == 0) return true;
  }
  return false;
}

static void add_column(Plot *plot, int l, int c) {
  const Log *log = &plot->logs[l];
  const char *full = log->table.column[c].name, *name = history_plain_name(full);
  Chart *chart = chart_of(plot, log, name);
  bool named = false, dashed = strcmp(full, name) == 0 && has_held_out(log, name);
  for (int s = 0; s < chart->count; s++) named = named || (chart->series[s].color == l && chart->series[s].name);
  chart->series[chart->count++] = (Series){.name = named || dashed ? NULL : log->name,
                                           .x = log->table.column[log->x].numbers,
                                           .y = log->table.column[c].numbers,
                                           .count = (int)log->table.rows,
                                           .marks = !dashed && log->table.rows <= 60,
                                           .dashed = dashed,
                                           .color = l};
}

/* The label tells what dashes mean, where there are some. */
static void explain_dashes(Plot *plot) {
  for (int k = 0; k < plot->charts.count; k++) {
    Chart *chart = &plot->charts.items[k];
    bool dashed = false;
    for (int s = 0; s < chart->count; s++) dashed = dashed || chart->series[s].dashed;
    if (dashed) chart->y_label = arena_format(plot->arena, "%s; dashed: training", chart->y_label);
  }
}

static bool make_charts(Plot *plot, const char *columns, Failure *failure) {
  for (int l = 0; l < plot->count; l++)
    for (int c = 0; c < plot->logs[l].table.columns; c++) {
      const TableColumn *column = &plot->logs[l].table.column[c];
      if (c != plot->logs[l].x && !column->text && is_wanted(columns, history_plain_name(column->name)))
        add_column(plot, l, c);
    }
  for (const char *at = columns; at && *at; at += strcspn(at, ","), at += *at == ',') {
    bool found = false;
    const char *name = arena_format(plot->arena, "%.*s", (int)strcspn(at, ","), at);
    for (int k = 0; k < plot->charts.count; k++) found = found || strcmp(plot->charts.items[k].y_label, name) == 0;
    if (!found) return fail(failure, EXIT_INPUT, "--columns: no log has numbers called '%.100s'", name);
  }
  explain_dashes(plot);
  return plot->charts.count > 0 || fail(failure, EXIT_INPUT, "the logs have no column of numbers to draw");
}

static int run_plot(Arena *arena, Settings *settings, Failure *failure) {
  Plot plot = {.arena = arena, .logs = NEW_ARRAY(arena, Log, settings->words.count + 1), .linear = settings->linear};
  if (settings->words.count == 0 || !settings->output)
    return fail(failure, EXIT_INPUT, "plot wants logs and a picture: nnc plot LOG.csv ... -o OUT.svg"), failure->code;
  if (strcmp(settings->output, "-") != 0 && !text_ends(settings->output, ".svg"))
    return fail(failure, EXIT_INPUT, "-o %.300s: a picture of curves is an .svg", settings->output), failure->code;
  if (settings->words.count > CHART_COLORS)
    return fail(failure, EXIT_INPUT, "%d logs are too many for one picture, which has %d colors", settings->words.count,
                CHART_COLORS),
           failure->code;
  for (int w = 0; w < settings->words.count; w++)
    if (!read_log(&plot, settings->words.items[w], failure)) return failure->code;
  if (!make_charts(&plot, settings->columns, failure)) return failure->code;
  Text svg = {0};
  charts_draw(plot.charts.items, plot.charts.count, &svg);
  if (strcmp(settings->output, "-") == 0)
    fwrite(svg.bytes, 1, svg.length, stdout);
  else
    write_file(settings->output, svg.bytes, svg.length, failure);
  text_free(&svg);
  return failure->code;
}

static const Option options[] = {
    TEXT("output", 'o', output, "FILE", "the picture (.svg); '-' is standard output"),
    TEXT("columns", 0, columns, "NAME,...", "only these numbers, a chart for each: loss,acc (default: all)"),
    FLAG("linear", 0, linear, "no logarithmic axis, which a number that ranges far has else"),
    OPTIONS_OF_ALL,
};

const Command command_plot = {
    .name = "plot",
    .usage = "nnc plot LOG.csv ... -o OUT.svg\nnnc plot NAME=LOG.csv ... -o OUT.svg",
    .summary = "the logs of several trainings in one picture",
    .about =
        "Draws what 'nnc train --log' wrote, of several runs beside each other: a chart for each number, a color for each\n"
        "run, up to six. Solid is what was measured on held-out rows, dashed the training's own. NAME is what the legend\n"
        "calls a run (default: the file's name).",
    .options = options,
    .count = COUNT_OF(options),
    .after = "examples:\n"
             "  nnc plot sgd.csv adam.csv -o optimizers.svg\n"
             "  nnc plot 'lr 0.1=a.csv' 'lr 0.01=b.csv' --columns loss -o rates.svg",
    .run = run_plot,
};
