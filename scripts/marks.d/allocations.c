/* Counts what is allocated while compiled entries run: every way to memory in libc is ours here. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "mlp.h"

static long count;
static _Alignas(64) unsigned char heap[1 << 20];
static size_t used;

void *malloc(size_t bytes) {
  count++;
  used = (used + 63) / 64 * 64;
  if (bytes > sizeof heap - used) return NULL;
  used += bytes;
  return heap + used - bytes;
}
void free(void *block) { (void)block; }
void *calloc(size_t number, size_t bytes) { return malloc(number * bytes); }
void *realloc(void *block, size_t bytes) {
  void *other = malloc(bytes);
  if (other && block) memcpy(other, block, bytes);
  return other;
}
void *aligned_alloc(size_t alignment, size_t bytes) { return alignment <= 64 ? malloc(bytes) : NULL; }
int posix_memalign(void **block, size_t alignment, size_t bytes) {
  *block = aligned_alloc(alignment, bytes);
  return *block == NULL;
}

enum { ROWS = 64, CALLS = 100 };
static _Alignas(4096) unsigned char state[MLP_STATE_BYTES], scratch[64 << 20];
static float x[ROWS][784], p[ROWS][10], loss, first;
static int32_t y[ROWS];

int main(void) {
  for (int k = 0; k < ROWS; k++) {
    y[k] = k % 10;
    for (int i = 0; i < 784; i++) x[k][i] = (float)((k * 31 + i * 17) % 101) / 101;
  }
  if (mlp_train_scratch(ROWS, 1) > sizeof scratch || mlp_classify_scratch(ROWS, 1) > sizeof scratch) return 2;
  long before = count;
  int code = mlp_init(state, 0);
  for (int k = 0; k < CALLS && code == 0; k++) {
    code = mlp_train(NULL, state, scratch, ROWS, &x[0][0], y, 0.05f, &loss);
    if (code == 0) code = mlp_classify(NULL, state, scratch, ROWS, &x[0][0], &p[0][0]);
    if (k == 0) first = loss;
  }
  long during = count - before;
  if (code != 0 || !(loss < first)) return 3;
  printf("%ld in init, %d steps and %d inferences\n", during, CALLS, CALLS);
  return during != 0;
}
