/* Draws the digits model's weights, trains it for some steps on numbers that are the same everywhere, classifies, and writes
 * all of it in hexadecimal: so bits can be compared between processors. Ends with 3 where init refuses this one. */
#include "digits.h"

#include <stdio.h>
#include <stdlib.h>

enum { N = 5, STEPS = 3 };

static _Alignas(DIGITS_ALIGN) unsigned char state[DIGITS_STATE_BYTES];
static float x[N * 64], p[N * 10], weights[1 << 16];
static int32_t y[N], label[N];

static void print(const char *name, const float *elements, int count) {
  for (int k = 0; k < count; k++) printf("%s %a\n", name, (double)elements[k]);
}

static void print_weights(const char *when) {
  static const struct {
    const char *name;
    int count;
  } some[] = {{"net.conv1.w", 16 * 9}, {"net.conv2.w", 32 * 16 * 9}, {"net.dense2.b", 10}};
  for (int k = 0; k < (int)(sizeof some / sizeof *some); k++) {
    if (digits_get(state, some[k].name, weights) != 0) exit(1);
    print(when, weights, some[k].count);
  }
}

int main(void) {
  size_t bytes = digits_train_scratch(N, 1), other = digits_classify_scratch(N, 1);
  if (other > bytes) bytes = other;
  void *scratch = aligned_alloc(DIGITS_ALIGN, (bytes + DIGITS_ALIGN) / DIGITS_ALIGN * DIGITS_ALIGN);
  int code = digits_init(state, 7);
  if (code != 0) {
    fprintf(stderr, "%s\n", digits_error(code));
    return 3;
  }
  print_weights("drawn");
  unsigned random = 1;
  for (int step = 0; step < STEPS; step++) {
    for (int k = 0; k < N * 64; k++) x[k] = (float)((random = random * 1664525u + 1013904223u) >> 28);
    for (int k = 0; k < N; k++) y[k] = (int32_t)((random = random * 1664525u + 1013904223u) >> 16) % 10;
    for (int k = 0; k < N; k++) y[k] = y[k] < 0 ? -y[k] : y[k];
    float loss;
    if (digits_train(NULL, state, scratch, N, x, y, 0.02f, &loss, NULL) != 0) return 1;
    print("loss", &loss, 1);
  }
  print_weights("trained");
  if (digits_classify(NULL, state, scratch, N, x, p, label) != 0) return 1;
  print("p", p, N * 10);
  free(scratch);
  return 0;
}
