/* The line is drawn at most ten times a second, so that it costs a fast step nothing. The spark line holds at most SPARKS
 * means; when it is full, neighbours are joined and a part becomes twice as long, so it always shows the whole run. */
#include "command/progress.h"

#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_begin(Progress *progress, bool quiet, int64_t rows_done) {
  progress->shown = !quiet && isatty(STDERR_FILENO);
  progress->began = progress->drawn = seconds_now();
  progress->first = rows_done;
  if (progress->part == 0) progress->part = 1;
}

static void add_loss(Progress *progress, double loss) {
  progress->sum += loss;
  if (++progress->count < progress->part) return;
  if (progress->losses == SPARKS) {
    for (int k = 0; k < SPARKS / 2; k++) progress->loss[k] = (progress->loss[2 * k] + progress->loss[2 * k + 1]) / 2;
    progress->losses = SPARKS / 2;
    progress->part *= 2;
    return; /* the part goes on to its new length */
  }
  progress->loss[progress->losses++] = progress->sum / (double)progress->count;
  progress->sum = 0;
  progress->count = 0;
}

static void add_sparks(const Progress *progress, Text *line) {
  double low = INFINITY, high = -INFINITY;
  for (int k = 0; k < progress->losses; k++) {
    low = MIN(low, progress->loss[k]);
    high = MAX(high, progress->loss[k]);
  }
  for (int k = 0; k < progress->losses; k++) {
    int level = high > low ? (int)((progress->loss[k] - low) / (high - low) * 7.99) : 0;
    char spark[] = {(char)0xE2, (char)0x96, (char)(0x81 + level), 0}; /* U+2581 .. U+2588 */
    text_add(line, "%s", spark);
  }
}

void progress_step(Progress *progress, int64_t epoch, int64_t rows_done, int64_t rows, const char *name, double loss) {
  if (!progress->shown) return;
  if (isfinite(loss)) add_loss(progress, loss);
  double now = seconds_now();
  if (now - progress->drawn < 0.1) return;
  progress->drawn = now;
  double rate = (double)(rows_done - progress->first) / MAX(now - progress->began, 1e-9);
  double left = (double)(rows - rows_done) / MAX(rate, 1e-9);
  Text line = {0};
  text_add(&line, "\r\033[Kepoch %lld  %3.0f%%  %.0f rows/s  %.0f:%02d left", (long long)epoch,
           100.0 * (double)rows_done / (double)MAX(rows, 1), rate, floor(left / 60), (int)fmod(left, 60));
  if (name) text_add(&line, "  %s %.4g  ", name, loss);
  add_sparks(progress, &line);
  fwrite(line.bytes, 1, line.length, stderr);
  fflush(stderr);
  text_free(&line);
}

void progress_clear(Progress *progress) {
  if (progress->shown) fputs("\r\033[K", stderr);
}
