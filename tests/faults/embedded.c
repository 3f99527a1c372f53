/* A program that links a model: loads a checkpoint, trains a step on threads, saves. embedded IN OUT */
#include "tiny.h"

#include "checkpoint.h"
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 4, WORKERS = 2, FAULT = 3 };

static int train(const nn_pool *pool, void *state) {
  static const float x[ROWS * 3] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1};
  static const int32_t y[ROWS] = {0, 1, 0, 1};
  float loss;
  nn_run run = {nn_pool_parallel_for, (void *)(uintptr_t)pool, pool ? nn_pool_workers(pool) : 1, NULL, NULL};
  void *scratch = aligned_alloc(TINY_ALIGN, (tiny_train_scratch(ROWS, run.workers) + 64) / 64 * 64);
  if (!scratch) return -1;
  int code = tiny_train(&run, state, scratch, ROWS, x, y, 0.1f, &loss);
  free(scratch);
  return code;
}

int main(int count, char **words) {
  char message[256] = "no memory";
  if (count != 3) return 2;
  void *state = aligned_alloc(TINY_ALIGN, (TINY_STATE_BYTES + TINY_ALIGN - 1) / TINY_ALIGN * TINY_ALIGN);
  nn_pool *pool = nn_pool_new(WORKERS);
  int code = state ? tiny_init(state, 0) : -1;
  if (code == 0) code = nn_checkpoint_load(&tiny_model, state, words[1], message, sizeof message);
  if (code == 0) code = train(pool, state);
  if (code == 0) code = nn_checkpoint_save(&tiny_model, state, words[2], message, sizeof message);
  if (code != 0) fprintf(stderr, "error: %s\n", message);
  nn_pool_free(pool);
  free(state);
  return code == 0 ? 0 : FAULT;
}
