/* Medians with the fastest run in brackets: on a shared machine the one tells what is usual, the other what the code can do. */
#include "command/bench.h"

#include "command/markup.h"

#include <cjson/cJSON.h>

static bool was_measured(const Measured *measured, int which) { return measured->timing[which].count > 0; }

double measured_ratio(const Measured *measured) {
  if (!was_measured(measured, INTERPRETED) || !was_measured(measured, COMPILED)) return 0;
  return measured->timing[INTERPRETED].median / MAX(measured->timing[COMPILED].median, 1e-12);
}

/* Operations a second of the compiled code, or where there is none of the interpreter. */
static double rate_of(const Measured *measured) {
  return measured->flops / MAX(measured->timing[was_measured(measured, COMPILED) ? COMPILED : INTERPRETED].median, 1e-12);
}

/* ---- the table ---- */

void report_head(const BenchReport *report) {
  printf("%s: %d threads, peak %.1f GFLOP/s of f32 multiply-adds; medians, the fastest in brackets\n",
         report->machine->name, report->machine->workers, 1e-9 * report->peak);
  printf("%-12s  %21s  %21s  %6s  %8s  %5s  %14s  %14s\n", "entry", "interpreted, ms", "compiled, ms", "ratio", "GFLOP/s",
         "peak", "arena, bytes", "state, bytes");
}

static const char *time_text(const Measured *measured, int which, char *text, size_t size) {
  const Timing *timing = &measured->timing[which];
  snprintf(text, size, "-");
  if (timing->count) snprintf(text, size, "%.4f (%.4f)", 1e3 * timing->median, 1e3 * timing->fastest);
  return text;
}

void report_row(const BenchReport *report, const Measured *measured) {
  char times[2][48], ratio[24] = "-", rate[24] = "-", share[24] = "-", arena[24] = "-";
  if (measured_ratio(measured) > 0) snprintf(ratio, sizeof ratio, "%.2f", measured_ratio(measured));
  if (measured->flops > 0) {
    snprintf(rate, sizeof rate, "%.1f", 1e-9 * rate_of(measured));
    if (report->peak > 0) snprintf(share, sizeof share, "%.0f%%", 100 * rate_of(measured) / report->peak);
  }
  if (was_measured(measured, COMPILED)) snprintf(arena, sizeof arena, "%zu", measured->arena);
  printf("%-12s  %21s  %21s  %6s  %8s  %5s  %14s  %14zu\n", measured->entry,
         time_text(measured, INTERPRETED, times[0], sizeof times[0]),
         time_text(measured, COMPILED, times[1], sizeof times[1]), ratio, rate, share, arena, report->machine->state_bytes);
}

/* ---- JSON ---- */

static void add_timing(cJSON *row, const char *name, const Timing *timing) {
  if (timing->count == 0) return;
  cJSON *item = cJSON_AddObjectToObject(row, name);
  cJSON_AddNumberToObject(item, "median_seconds", timing->median);
  cJSON_AddNumberToObject(item, "fastest_seconds", timing->fastest);
  cJSON_AddNumberToObject(item, "slowest_seconds", timing->seconds[timing->count - 1]);
  cJSON_AddNumberToObject(item, "turns", timing->count);
}

static cJSON *row_of(const BenchReport *report, const Measured *measured) {
  const Machine *machine = report->machine;
  cJSON *row = cJSON_CreateObject(), *dims = cJSON_CreateObject();
  cJSON_AddStringToObject(row, "entry", measured->entry);
  for (int k = 0; k < machine->ndims; k++) cJSON_AddNumberToObject(dims, machine->dims[k].name, (double)measured->dims[k]);
  cJSON_AddItemToObject(row, "dims", dims);
  add_timing(row, "interpreted", &measured->timing[INTERPRETED]);
  add_timing(row, "compiled", &measured->timing[COMPILED]);
  if (measured_ratio(measured) > 0) cJSON_AddNumberToObject(row, "ratio", measured_ratio(measured));
  if (was_measured(measured, INTERPRETED)) cJSON_AddNumberToObject(row, "flops", measured->flops);
  if (was_measured(measured, COMPILED)) cJSON_AddNumberToObject(row, "arena_bytes", (double)measured->arena);
  cJSON_AddNumberToObject(row, "state_bytes", (double)machine->state_bytes);
  return row;
}

void report_json(const BenchReport *report) {
  cJSON *root = cJSON_CreateObject();
  cJSON_AddStringToObject(root, "model", report->machine->name);
  cJSON_AddNumberToObject(root, "threads", report->machine->workers);
  cJSON_AddNumberToObject(root, "peak_flops_per_second", report->peak);
  cJSON *rows = cJSON_AddArrayToObject(root, "entries");
  for (int k = 0; k < report->rows.count; k++) cJSON_AddItemToArray(rows, row_of(report, report->rows.items[k]));
  char *text = cJSON_Print(root);
  printf("%s\n", text);
  cJSON_free(text);
  cJSON_Delete(root);
}

/* ---- the picture ---- */

enum { WIDTH = 720, LEFT = 130, RIGHT = 190, TOP = 40, BAR = 15, ENTRY = 52 };

/* The longest bar of an entry is the whole width: entries differ by orders of magnitude, and are not to be compared. */
static void draw_bar(const Timing *timing, double longest, int y, const char *color, const char *name, double ratio,
                     Text *out) {
  if (timing->count == 0) return;
  double scale = (WIDTH - LEFT - RIGHT) / MAX(longest, 1e-12), width = scale * timing->median;
  text_add(out, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>", LEFT, y, width, BAR, color);
  text_add(out, "<path class=\"fastest\" d=\"M%.1f %dv%d\"/>", LEFT + scale * timing->fastest, y, BAR);
  text_add(out, "<text x=\"%.1f\" y=\"%d\">%s %.4g ms", LEFT + width + 8, y + BAR - 3, name, 1e3 * timing->median);
  if (ratio > 0) text_add(out, ", %.2f times as fast", ratio);
  text_add(out, "</text>\n");
}

void report_picture(const BenchReport *report, Text *out) {
  int height = TOP + ENTRY * report->rows.count;
  text_add(out,
           "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n"
           "<style>text{font:12px sans-serif;fill:#333}.end{text-anchor:end}.fastest{stroke:#fff;stroke-width:2}</style>\n"
           "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"12\" y=\"20\">",
           WIDTH, height, WIDTH, height);
  markup_text(out, report->machine->name);
  text_add(out, ": medians on %d threads; the white line is the fastest run</text>\n", report->machine->workers);
  for (int k = 0; k < report->rows.count; k++) {
    const Measured *measured = report->rows.items[k];
    const Timing *one = &measured->timing[INTERPRETED], *other = &measured->timing[COMPILED];
    double longest = MAX(MAX(one->median, other->median), MAX(one->fastest, other->fastest));
    int y = TOP + ENTRY * k;
    text_add(out, "<text class=\"end\" x=\"%d\" y=\"%d\">", LEFT - 10, y + BAR + 5);
    markup_text(out, measured->entry);
    text_add(out, "</text>\n");
    draw_bar(one, longest, y, "#b8b8b8", "interpreted", 0, out);
    draw_bar(other, longest, y + BAR + 3, "#2458b8", "compiled", measured_ratio(measured), out);
  }
  text_add(out, "</svg>\n");
}
