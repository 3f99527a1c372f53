/* The line is drawn at most ten times a second, so that it costs a fast step nothing. Its end is a spark line of the whole
 * run, as wide as the terminal leaves room for. */
#include "command/progress.h"

#include <math.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MOST_SPARKS = 32 };

double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_begin(Progress *progress, bool quiet, int64_t rows_done) {
  progress->shown = !quiet && isatty(STDERR_FILENO);
  progress->began = progress->drawn = seconds_now();
  progress->first = rows_done;
}

/* Means over equal parts of the curve, as levels between the lowest and the highest. */
static void add_sparks(const ProgressNow *now, int room, Text *line) {
  double mean[MOST_SPARKS], low = INFINITY, high = -INFINITY;
  int count = MIN(MIN(now->points, room), MOST_SPARKS);
  for (int k = 0; k < count; k++) {
    int from = k * now->points / count, to = (k + 1) * now->points / count;
    mean[k] = 0;
    for (int p = from; p < to; p++) mean[k] += now->curve[p * now->stride] / (to - from);
    low = fmin(low, mean[k]);
    high = fmax(high, mean[k]);
  }
  for (int k = 0; k < count; k++) {
    int level = high > low ? (int)((mean[k] - low) / (high - low) * 7.99) : 0;
    char spark[] = {(char)0xE2, (char)0x96, (char)(0x81 + level), 0}; /* U+2581 .. U+2588 */
    text_add(line, "%s", spark);
  }
}

void progress_line(const ProgressNow *now, double rate, int columns, Text *line) {
  int64_t rows_left = (now->epochs - now->epoch) * now->rows + now->rows - now->done;
  int64_t left = (int64_t)fmin((double)rows_left / fmax(rate, 1e-9), 1e9);
  text_add(line, "epoch %lld/%lld %3.0f%%  %.0f rows/s  ", (long long)now->epoch, (long long)now->epochs,
           100.0 * (double)now->done / (double)MAX(now->rows, 1), rate);
  if (left >= 3600) text_add(line, "%lld:", (long long)(left / 3600));
  text_add(line, left >= 3600 ? "%02d:%02d left" : "%d:%02d left", (int)(left / 60 % 60), (int)(left % 60));
  if (now->name) text_add(line, "  %s %.4g", now->name, now->value);
  if (now->held_name) text_add(line, "  %s %.4g", now->held_name, now->held_value);
  int room = columns - 1 - 2 - (int)line->length;
  if (room < 0) {
    line->length = (size_t)MAX(columns - 1, 0);
    line->bytes[line->length] = 0;
  } else if (now->name) {
    text_add(line, "  ");
    add_sparks(now, room, line);
  }
}

void progress_step(Progress *progress, const ProgressNow *now) {
  if (!progress->shown) return;
  double time = seconds_now();
  if (time - progress->drawn < 0.1) return;
  progress->drawn = time;
  struct winsize window;
  bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0;
  Text line = {0};
  progress_line(now, (double)(now->done - progress->first) / MAX(time - progress->began, 1e-9), known ? window.ws_col : 80,
                &line);
  fprintf(stderr, "\r\033[K%s", line.bytes);
  fflush(stderr);
  text_free(&line);
}

void progress_clear(Progress *progress) {
  if (progress->shown) fputs("\r\033[K", stderr);
}
