/* A program of its own that links two compiled models.
 *
 *     digits_app digits.csv.gz [checkpoint.safetensors]
 *
 * It reads the UCI digits, takes every fifth row for testing, and, on memory that it brings itself: classifies with the
 * convolutional net `digits` as the checkpoint has it (without one: as drawn from seed 0), trains that net for one more
 * pass over the other rows, on all processors, classifies again; then trains the second model, `linear`, from nothing.
 * No part of nnc runs here but the two models' own code, and libnn for threads and the file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "checkpoint.h"
#include "digits.h"
#include "linear.h"
#include "pool.h"

enum { PIXELS = 64, ROWS = 4096, BATCH = 32 };

typedef struct Rows {
  float x[ROWS][PIXELS];
  int32_t y[ROWS];
  int count;
} Rows;
static Rows training, testing;

static int read_digits(const char *path) {
  char line[1024];
  int index = 0;
  gzFile file = gzopen(path, "rb");
  if (!file) return -1;
  for (; gzgets(file, line, sizeof line); index++) {
    Rows *rows = index % 5 == 0 ? &testing : &training;
    char *at = line;
    if (rows->count == ROWS) break;
    for (int k = 0; k <= PIXELS; k++) {
      char *end;
      double value = strtod(at, &end);
      if (end == at) break;
      if (k < PIXELS) rows->x[rows->count][k] = (float)value;
      if (k == PIXELS) rows->y[rows->count++] = (int32_t)value;
      at = end + (*end == ',');
    }
  }
  gzclose(file);
  return training.count > 0 && testing.count > 0 ? 0 : -1;
}

static void *aligned(size_t bytes) {
  void *memory = aligned_alloc(DIGITS_ALIGN, (bytes + DIGITS_ALIGN - 1) / DIGITS_ALIGN * DIGITS_ALIGN);
  if (!memory) {
    fprintf(stderr, "digits_app: out of memory\n");
    exit(3);
  }
  return memory;
}

static void check(int code, const char *(*name)(int)) {
  if (code == 0) return;
  fprintf(stderr, "digits_app: %s\n", name(code));
  exit(1);
}

static int batch_at(const Rows *rows, int first) { return rows->count - first < BATCH ? rows->count - first : BATCH; }

static double accuracy_of_digits(const void *state, void *scratch) {
  int right = 0;
  for (int first = 0; first < testing.count; first += BATCH) {
    int32_t label[BATCH];
    int n = batch_at(&testing, first);
    check(digits_classify(NULL, state, scratch, n, testing.x[first], NULL, label), digits_error);
    for (int k = 0; k < n; k++) right += label[k] == testing.y[first + k];
  }
  return 100.0 * right / testing.count;
}

static double accuracy_of_linear(const void *state, void *scratch) {
  int right = 0;
  for (int first = 0; first < testing.count; first += BATCH) {
    int32_t label[BATCH];
    int n = batch_at(&testing, first);
    check(linear_classify(NULL, state, scratch, n, testing.x[first], label), linear_error);
    for (int k = 0; k < n; k++) right += label[k] == testing.y[first + k];
  }
  return 100.0 * right / testing.count;
}

static void train_digits(const nn_run *run, const char *checkpoint) {
  char message[256];
  void *state = aligned(DIGITS_STATE_BYTES), *scratch = aligned(digits_train_scratch(BATCH, run->workers));
  void *inference = aligned(digits_classify_scratch(BATCH, 1));
  check(digits_init(state, 0), digits_error);
  if (checkpoint && nn_checkpoint_load(&digits_model, state, checkpoint, message, sizeof message) != 0) {
    fprintf(stderr, "digits_app: %s\n", message);
    exit(2);
  }
  printf("digits  %s: %.2f%% of %d test rows\n", checkpoint ? "as loaded" : "as drawn",
         accuracy_of_digits(state, inference), testing.count);
  float loss = 0;
  int steps = 0;
  for (int first = 0; first < training.count; first += BATCH, steps++) {
    int n = batch_at(&training, first);
    check(digits_train(run, state, scratch, n, training.x[first], training.y + first, 0.001f, &loss, NULL), digits_error);
  }
  printf("digits  after %d more steps here, on %d threads: %.2f%%, last loss %.4f\n", steps, run->workers,
         accuracy_of_digits(state, inference), (double)loss);
  free(inference);
  free(scratch);
  free(state);
}

static void train_linear(const nn_run *run) {
  void *state = aligned(LINEAR_STATE_BYTES), *scratch = aligned(linear_train_scratch(BATCH, run->workers));
  check(linear_init(state, 0), linear_error);
  float loss = 0;
  int steps = 0;
  for (int pass = 0; pass < 10; pass++) {
    for (int first = 0; first < training.count; first += BATCH, steps++) {
      int n = batch_at(&training, first);
      check(linear_train(run, state, scratch, n, training.x[first], training.y + first, 0.005f, &loss), linear_error);
    }
  }
  printf("linear  after %d steps from nothing: %.2f%%, last loss %.4f\n", steps, accuracy_of_linear(state, scratch),
         (double)loss);
  free(scratch);
  free(state);
}

int main(int count, char **words) {
  if (count < 2 || read_digits(words[1]) != 0) {
    fprintf(stderr, "usage: digits_app digits.csv.gz [checkpoint.safetensors]\n");
    return 2;
  }
  nn_pool *pool = nn_pool_new(0);
  nn_run run = {nn_pool_parallel_for, pool, nn_pool_workers(pool), NULL, NULL};
  train_digits(&run, count > 2 ? words[2] : NULL);
  train_linear(&run);
  nn_pool_free(pool);
  return 0;
}
