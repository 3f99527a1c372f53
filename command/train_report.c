/* --report run.html: one page that needs nothing beside it, pictures within it. What it shows is measured in the run itself:
 * the curves, the rows that the net gets wrong, its layers, its memory, and where the time of its steps went. */
#include "command/markup.h"
#include "command/memory_chart.h"
#include "command/mistakes.h"
#include "command/picture.h"

#include "runtime/nn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:800px;margin:2em auto;padding:0 1em}"
    "h1{font-size:1.6em;margin-bottom:0}h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid #ddd}"
    "svg{max-width:100%;height:auto}table{border-collapse:collapse;margin:.6em 0}"
    "td,th{padding:.15em .7em;text-align:right;font-variant-numeric:tabular-nums}th{font-weight:600;color:#555}"
    "td:first-child,th:first-child,.text{text-align:left}tr+tr td{border-top:1px solid #eee}"
    ".mistakes{display:flex;flex-wrap:wrap;gap:.8em}.mistakes figure{margin:0;width:104px;font-size:12px;line-height:1.3}"
    ".mistakes img{width:104px;height:104px;object-fit:contain;image-rendering:pixelated;background:#888}"
    ".confusion td,.confusion th{padding:.1em .45em;font-size:13px;text-align:center}"
    ".profile{font-size:13px}.profile td{vertical-align:top}.profile td:first-child{max-width:190px;overflow-wrap:anywhere}"
    ".profile td:last-child{white-space:nowrap}.profile code{font-size:12px}"
    ".bar{display:inline-block;height:.7em;background:#2458b8}code{font-size:13px;color:#444}"
    ".note{color:#666;font-size:13px}";

static void add_code(Text *out, const char *text) {
  text_add(out, "<code>");
  markup_text(out, text);
  text_add(out, "</code>");
}

/* ---- what it was ---- */

static void add_head(const Train *train, Text *out) {
  const Machine *machine = train->machine;
  const History *history = &train->history;
  text_add(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
  markup_text(out, machine->name);
  text_add(
      out,
      ": training</title><meta name=\"viewport\" content=\"width=device-width\">\n<style>%s</style></head><body>\n<h1>",
      style);
  markup_text(out, machine->name);
  text_add(out, "</h1>\n<p>%lld rows of ", (long long)train->count);
  add_code(out, train->data.path);
  text_add(out, ", %lld epochs, %lld steps of up to %lld rows; %s on %d thread%s</p>\n", (long long)train->epoch,
           (long long)train->steps, (long long)train->feed.batch, machine->compiled ? "compiled" : "interpreted",
           machine->workers, machine->workers == 1 ? "" : "s");
  if (history->rows.count == 0 || history->count == 0) return;
  const double *last = history->rows.items[history->rows.count - 1].values;
  text_add(out, "<table><tr><th></th><th>first epoch</th><th>last epoch</th></tr>\n");
  for (int v = 0; v < history->count; v++) {
    text_add(out, "<tr><td>%s</td><td>%.4g</td><td>%.4g</td></tr>\n", history->names[v], history->rows.items[0].values[v],
             last[v]);
  }
  const MachineEntry *test = train->test >= 0 ? &train->machine->entries[train->test] : NULL;
  for (int v = 0; train->last_test && v < train->nof_test; v++)
    text_add(out, "<tr><td>test %s</td><td></td><td>%.4g</td></tr>\n", test->results[train->of_test[v]].name,
             train->last_test[v]);
  text_add(out, "</table>\n");
}

static void add_curves(const Train *train, Text *out) {
  if (train->history.count == 0) return;
  Arena *arena = arena_new();
  text_add(out, "<h2>Curves</h2>\n");
  history_charts(arena, &train->history, feed_batches(&train->feed, train->count), out);
  text_add(out, "<p class=\"note\">training: means over %lld step%s, as the steps met their rows</p>\n",
           (long long)train->history.curve.stretch, train->history.curve.stretch == 1 ? "" : "s");
  arena_free(arena);
}

/* ---- mistakes ---- */

static void add_class(const Train *train, int32_t label, Text *out) {
  if (train->data.class_names && label >= 0 && label < train->data.class_count)
    markup_text(out, train->data.class_names[label]);
  else
    text_add(out, "%d", (int)label);
}

static bool add_picture(Arena *arena, Mistakes *mistakes, int64_t row, Text *out, Failure *failure) {
  Tensor picture;
  Pixels pixels;
  if (!mistakes_picture(arena, mistakes, row, &picture) || !pixels_of(arena, &picture, &pixels)) return true;
  Text png = {0};
  bool good = encode_png(&pixels, "the report", &png, failure);
  text_add(out, "<img alt=\"row %lld\" src=\"data:image/png;base64,", (long long)row);
  if (good) markup_base64(out, png.bytes, png.length);
  text_add(out, "\">");
  text_free(&png);
  return good;
}

static void add_confusion(const Train *train, const Mistakes *mistakes, Text *out) {
  text_add(
      out,
      "<p>Rows by their class (down) and what they were taken for (across):</p>\n<table class=\"confusion\"><tr><th></th>");
  for (int32_t c = 0; c < mistakes->classes; c++) {
    text_add(out, "<th>");
    add_class(train, c, out);
    text_add(out, "</th>");
  }
  text_add(out, "</tr>\n");
  for (int32_t label = 0; label < mistakes->classes; label++) {
    int64_t all = 0;
    text_add(out, "<tr><th>");
    add_class(train, label, out);
    text_add(out, "</th>");
    for (int guess = 0; guess < mistakes->classes; guess++) all += mistakes->confusion[label][guess];
    for (int guess = 0; guess < mistakes->classes; guess++) {
      int64_t count = mistakes->confusion[label][guess];
      double share = sqrt((double)count / (double)MAX(all, 1)); /* few wrong ones are to be seen too */
      text_add(out, "<td style=\"background:rgba(%s,%.2f)\">", label == guess ? "46,139,87" : "209,73,91", 0.8 * share);
      text_add(out, count ? "%lld</td>" : "</td>", (long long)count);
    }
    text_add(out, "</tr>\n");
  }
  text_add(out, "</table>\n");
}

static bool add_mistakes(Train *train, Text *out, Failure *failure) {
  Mistakes *mistakes = NEW(train->arena, Mistakes);
  text_add(out, "<h2>Mistakes</h2>\n");
  if (!mistakes_find(train, mistakes, failure)) {
    text_add(out, "<p class=\"note\">Shown where the data have class labels and a fn of the model tells classes from the "
                  "other columns alone.</p>\n");
    return !failure->code;
  }
  text_add(out, "<p>%lld of %lld %s rows (%.2f%%) are taken by ", (long long)mistakes->wrong, (long long)mistakes->rows,
           mistakes->part, 100.0 * (double)mistakes->wrong / (double)MAX(mistakes->rows, 1));
  add_code(out, mistakes->entry);
  text_add(out, " for another class.%s</p>\n<div class=\"mistakes\">\n", mistakes->count ? " The surest of them:" : "");
  bool good = true;
  for (int k = 0; good && k < mistakes->count; k++) {
    const Mistake *mistake = &mistakes->worst[k];
    Arena *arena = arena_new();
    text_add(out, "<figure>");
    good = add_picture(arena, mistakes, mistake->row, out, failure);
    text_add(out, "<figcaption>row %lld: ", (long long)mistake->row);
    add_class(train, mistake->label, out);
    text_add(out, ", taken for ");
    add_class(train, mistake->guess, out);
    if (isfinite(mistake->sureness)) text_add(out, " (%.3g)", mistake->sureness);
    text_add(out, "</figcaption></figure>\n");
    arena_free(arena);
  }
  text_add(out, "</div>\n");
  if (mistakes->classes > 0) add_confusion(train, mistakes, out);
  return good;
}

/* ---- layers and memory ---- */

static size_t layer_length(const char *name) {
  const char *dot = strrchr(name, '.');
  return dot ? (size_t)(dot - name) : strlen(name);
}

static bool same_layer(const MachineSymbol *a, const MachineSymbol *b) {
  size_t length = layer_length(a->name);
  return layer_length(b->name) == length && memcmp(a->name, b->name, length) == 0;
}

/* Trainable tensors of one layer stand beside each other in the list. */
static void add_layers(Arena *arena, const Machine *machine, Text *out) {
  int64_t all = 0;
  for (int k = 0; k < machine->nsymbols; k++) all += machine->symbols[k].trainable ? machine->symbols[k].count : 0;
  if (all == 0) return;
  text_add(
      out,
      "<h2>Layers</h2>\n<table><tr><th>layer</th><th class=\"text\">tensors</th><th>parameters</th><th>share</th></tr>\n");
  for (int k = 0; k < machine->nsymbols; k++) {
    const MachineSymbol *symbol = &machine->symbols[k];
    int before = 0;
    while (before < k && !(machine->symbols[before].trainable && same_layer(&machine->symbols[before], symbol))) before++;
    if (!symbol->trainable || before < k) continue;
    text_add(out, "<tr><td>%.*s</td><td class=\"text\">", (int)layer_length(symbol->name), symbol->name);
    int64_t count = 0;
    for (int other = k; other < machine->nsymbols; other++) {
      const MachineSymbol *of = &machine->symbols[other];
      if (!of->trainable || !same_layer(of, symbol)) continue;
      Tensor tensor = {.rank = of->rank};
      memcpy(tensor.size, of->size, sizeof of->size);
      const char *dot = strrchr(of->name, '.');
      text_add(out, "%s%s %s", count ? ", " : "", dot ? dot + 1 : of->name, tensor_shape(arena, &tensor));
      count += of->count;
    }
    text_add(out, "</td><td>%lld</td><td>%.1f%%</td></tr>\n", (long long)count, 100.0 * (double)count / (double)all);
  }
  text_add(out, "<tr><td>all</td><td></td><td>%lld</td><td></td></tr></table>\n", (long long)all);
}

static void add_memory_row(Text *out, const char *what, double bytes, double all) {
  text_add(out,
           "<tr><td>%s</td><td>%.0f</td><td class=\"text\"><span class=\"bar\" style=\"width:%.1fpx\"></span></td></tr>\n",
           what, bytes, 300 * bytes / fmax(all, 1));
}

static void add_memory(const Train *train, Text *out) {
  Machine *machine = train->machine;
  double parameters = 0, state = (double)machine->state_bytes, scratch = 0;
  for (int k = 0; k < machine->nsymbols; k++)
    if (machine->symbols[k].trainable)
      parameters += (double)machine->symbols[k].count * machine_element_bytes(machine, machine->symbols[k].dtype);
  if (machine->compiled) scratch = (double)machine->functions->scratch(machine, train->step, train->feed.call.dims);
  text_add(out, "<h2>Memory</h2>\n<table><tr><th></th><th>bytes</th><th></th></tr>\n");
  add_memory_row(out, "parameters", parameters, state + scratch);
  add_memory_row(out, "optimizer, statistics, padding", fmax(state - parameters, 0), state + scratch);
  if (machine->compiled) add_memory_row(out, "scratch of a step, all threads", scratch, state + scratch);
  text_add(out, "</table>\n");
  const Plan *plan = machine_plan(machine, train->settings, train->step);
  if (!plan || plan->arena_bytes == 0) return;
  text_add(
      out,
      "<p>A step's buffers over its launches, at the largest sizes: %lld bytes, of which %lld are in use at once.</p>\n",
      (long long)plan->arena_bytes, (long long)plan->live_bytes);
  memory_draw(plan, out);
}

/* ---- profile ---- */

/* The text of line "model.nn:12" of one of the model's files; NULL if it is in none of them. */
static const char *source_line(Arena *arena, const Program *program, const char *line) {
  const char *colon = strrchr(line, ':');
  for (int k = 0; program && colon && k < program->module->sources.count; k++) {
    const Source *source = program->module->sources.items[k];
    const char *slash = strrchr(source->name, '/'), *name = slash ? slash + 1 : source->name, *at = source->text;
    if (strlen(name) != (size_t)(colon - line) || memcmp(name, line, strlen(name)) != 0) continue;
    for (long left = strtol(colon + 1, NULL, 10); left > 1 && at; left--)
      at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL;
    if (!at) return NULL;
    at += strspn(at, " ");
    return arena_format(arena, "%.*s", (int)MIN(strcspn(at, "\r\n"), (size_t)44), at);
  }
  return NULL;
}

typedef Vec(const char *) Lines;

/* "lenet.nn:5,7-9, blocks.nn:3" line by line, each that is not yet among them: "lenet.nn:5", "lenet.nn:7" ... */
static void collect_lines(Arena *arena, const char *text, Lines *lines) {
  char *rest, *file = "", *list = arena_format(arena, "%s", text);
  for (char *item = strtok_r(list, ", ", &rest); item; item = strtok_r(NULL, ", ", &rest)) {
    char *colon = strrchr(item, ':'), *numbers = colon ? colon + 1 : item, *end;
    if (colon) *colon = 0, file = item;
    long first = strtol(numbers, &end, 10), last = *end == '-' ? strtol(end + 1, NULL, 10) : first;
    for (long number = first; number <= last; number++) {
      const char *line = arena_format(arena, "%s:%ld", file, number);
      int known = 0;
      while (known < lines->count && strcmp(lines->items[known], line) != 0) known++;
      if (known == lines->count) PUSH(arena, lines, line);
    }
  }
}

/* The lines that all kernels of a launch come from, each once. */
static void add_lines(const Train *train, const nn_kernel *kernels, int count, Text *out) {
  enum { MOST_LINES = 5 };
  Arena *arena = arena_new();
  Lines lines = {0};
  for (int k = 0; k < count; k++) collect_lines(arena, kernels[k].lines, &lines);
  for (int k = 0; k < MIN(lines.count, MOST_LINES); k++) {
    const char *text = source_line(arena, train->machine->program, lines.items[k]);
    text_add(out, k ? "<br>" : "");
    markup_text(out, lines.items[k]);
    text_add(out, " ");
    if (text) add_code(out, text);
  }
  if (lines.count > MOST_LINES) text_add(out, "<br>and %d lines more", lines.count - MOST_LINES);
  arena_free(arena);
}

static void add_launch(const Train *train, const nn_entry *entry, int launch, double all, Text *out) {
  const Profile *profile = &train->profile;
  double seconds = profile->seconds[launch];
  const nn_kernel *first = &entry->kernels[entry->launches[launch].first_kernel];
  int count = entry->launches[launch].kernels;
  text_add(out, "<tr><td>");
  for (int k = 0; k < count; k++) {
    text_add(out, k ? ", " : "");
    markup_text(out, first[k].name);
  }
  text_add(out,
           "</td><td>%.4g</td><td>%.1f%%</td><td class=\"text\"><span class=\"bar\" style=\"width:%.0fpx\"></span></td>"
           "<td class=\"text\">",
           1e3 * seconds / (double)MAX(profile->calls, 1), 100 * seconds / all, 60 * seconds / all);
  add_lines(train, first, count, out);
  text_add(out, "</td></tr>\n");
}

static void add_profile(const Train *train, Text *out) {
  enum { MOST_ROWS = 20 };
  const Machine *machine = train->machine;
  text_add(out, "<h2>Profile</h2>\n");
  if (!machine->compiled || train->profile.calls == 0) {
    text_add(out, "<p class=\"note\">Measured where steps are compiled and at least one was made.</p>\n");
    return;
  }
  const nn_entry *entry = &machine->model->entries[train->step];
  Arena *arena = arena_new();
  bool *shown = NEW_ARRAY(arena, bool, entry->nlaunches + 1);
  double all = 1e-12;
  for (int l = 0; l < entry->nlaunches; l++) all += train->profile.seconds[l];
  text_add(out,
           "<p>Of %lld steps, %.4g ms each in %d launches; the ones that took most:</p>\n<table "
           "class=\"profile\"><tr><th>kernels</th>"
           "<th>ms a step</th><th>share</th><th></th><th class=\"text\">from</th></tr>\n",
           (long long)train->profile.calls, 1e3 * all / (double)train->profile.calls, entry->nlaunches);
  for (int row = 0; row < MIN(MOST_ROWS, entry->nlaunches); row++) {
    int most = -1;
    for (int l = 0; l < entry->nlaunches; l++)
      if (!shown[l] && (most < 0 || train->profile.seconds[l] > train->profile.seconds[most])) most = l;
    shown[most] = true;
    add_launch(train, entry, most, all, out);
  }
  text_add(out, "</table>\n");
  arena_free(arena);
}

bool train_write_report(Train *train, Failure *failure) {
  Text out = {0};
  Tensors settings = {0};
  Arena *arena = arena_new();
  add_head(train, &out);
  add_curves(train, &out);
  bool good = add_mistakes(train, &out, failure);
  add_layers(arena, train->machine, &out);
  add_memory(train, &out);
  add_profile(train, &out);
  train_keep_settings(train, arena, &settings);
  text_add(&out, "<h2>As it was called</h2>\n<pre>");
  markup_text(&out, tensors_get(&settings, KEY_SETTINGS));
  text_add(&out, "</pre>\n</body></html>\n");
  good = good && write_file(train->settings->report, out.bytes, out.length, failure);
  text_free(&out);
  arena_free(arena);
  return good;
}
