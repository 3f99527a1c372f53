/* Calls every entry of a model that was compiled with --sanitize, at small sizes, on two threads: what is wrong the sanitizer
 * tells. Numbers in are drawn; arrays have just the bytes that they need, so that the bounds of the caller's memory are watched
 * as well. Prints "ENTRY ok" for each; a result that is not a number ends it with 1, as scratch was NaN before.
 *
 *     cc -fsanitize=address -DMODEL=mlp_model -I. scripts/sanitize.d/drive.c runtime/pool.c mlp.o -lpthread -lm */
#include "runtime/nn.h"
#include "runtime/pool.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const nn_model MODEL;
enum { MOST = 64 };

#ifndef CALLS /* of each entry: the first by nn_pool, the others by halves, where AddressSanitizer has nothing more to see */
#define CALLS 3
#endif

static uint32_t draw(void) {
  static uint64_t state = 1;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33);
}

static void *aligned(size_t bytes, size_t align) {
  void *memory = NULL;
  if (posix_memalign(&memory, align, bytes ? bytes : 1)) exit(3);
  return memory;
}

static size_t bytes_of(const nn_value *value, const int64_t *sizes) {
  size_t count = 1;
  for (int k = 0; k < value->rank; k++) count *= (size_t)sizes[k];
  return count * (value->dtype == NN_BOOL ? 1 : 4);
}

/* ---- threads that share work whatever it is: a race is found only between two of them ---- */

typedef struct Half {
  void (*body)(void *arg, int64_t index, int worker);
  void *arg;
  int64_t count;
  int shift, worker;
} Half;

static void *run_half(void *argument) {
  const Half *half = argument;
  for (int64_t index = 0; index < half->count; index++)
    if (((index >> half->shift) & 1) == half->worker) half->body(half->arg, index, half->worker);
  return NULL;
}

/* Tasks whose number has a 0 as its bit *user on one thread, the others on another. */
static void by_halves(void *user, int64_t count, void (*body)(void *arg, int64_t index, int worker), void *arg) {
  Half halves[2] = {{body, arg, count, *(int *)user, 0}, {body, arg, count, *(int *)user, 1}};
  pthread_t other;
  if (pthread_create(&other, NULL, run_half, &halves[1])) exit(3);
  run_half(&halves[0]);
  pthread_join(other, NULL);
}

/* ---- calls ---- */

/* Floats from 0 to below 1, whole numbers 0 and 1; a scalar with a default is that. */
static void *argument(const nn_value *value, size_t bytes) {
  void *memory = malloc(bytes ? bytes : 1);
  if (!memory) exit(3);
  for (size_t k = 0; k < bytes / (value->dtype == NN_BOOL ? 1 : 4); k++) {
    double number = value->has_default       ? value->fallback
                    : value->dtype == NN_F32 ? (double)(draw() % 4096) / 4096
                                             : draw() % 2;
    if (value->dtype == NN_F32) ((float *)memory)[k] = (float)number;
    if (value->dtype == NN_I32) ((int32_t *)memory)[k] = (int32_t)number;
    if (value->dtype == NN_BOOL) ((uint8_t *)memory)[k] = (uint8_t)number;
  }
  return memory;
}

static int count_bad(const nn_value *value, const float *result, size_t bytes) {
  int bad = 0;
  for (size_t k = 0; value->dtype == NN_F32 && k < bytes / 4; k++) bad += isnan(result[k]) != 0;
  return bad;
}

/* The code that the entry gives; the results that are no numbers are counted. */
static int call(const nn_entry *entry, const nn_run *run, void *state, const int64_t *dims, int *bad) {
  int64_t sizes[2 * MOST * NN_RANK];
  const void *parameters[MOST];
  void *results[MOST], *scratch = aligned(entry->scratch(dims, run->workers), MODEL.align);
  size_t bytes[MOST];
  const int64_t *at = sizes;
  if (entry->nparameters > MOST || entry->nresults > MOST) exit(3);
  entry->sizes(dims, sizes);
  for (int k = 0; k < entry->nparameters; at += entry->parameters[k++].rank)
    parameters[k] = argument(&entry->parameters[k], bytes_of(&entry->parameters[k], at));
  for (int k = 0; k < entry->nresults; at += entry->results[k++].rank) {
    bytes[k] = bytes_of(&entry->results[k], at);
    if (!(results[k] = malloc(bytes[k] ? bytes[k] : 1))) exit(3);
  }
  int code = entry->call(run, state, scratch, dims, parameters, results, 1);
  for (int k = 0; k < entry->nresults; k++) {
    if (code == NN_OK) *bad += count_bad(&entry->results[k], results[k], bytes[k]);
    free(results[k]);
  }
  for (int k = 0; k < entry->nparameters; k++) free((void *)parameters[k]);
  free(scratch);
  return code;
}

static void choose_dims(int64_t wanted, int64_t *dims) {
  for (int k = 0; k < MODEL.ndims; k++) {
    const nn_dim *dim = &MODEL.dims[k];
    int64_t step = dim->step > 1 ? dim->step : 1, size = (wanted + step - 1) / step * step;
    dims[k] = size < dim->low ? dim->low : size > dim->high ? dim->high : size;
  }
}

int main(int argc, char **argv) {
  int64_t dims[MOST], wanted = argc > 1 ? atoi(argv[1]) : 3;
  int failed = 0;
  nn_pool *pool = nn_pool_new(2);
  int shifts[] = {0, 1};
  const nn_run runs[3] = {{nn_pool_parallel_for, pool, nn_pool_workers(pool), NULL, NULL},
                          {by_halves, &shifts[0], 2, NULL, NULL},
                          {by_halves, &shifts[1], 2, NULL, NULL}};
  void *state = aligned(MODEL.state_bytes, MODEL.align);
  if (MODEL.ndims > MOST) return 3;
  for (int e = 0; e < MODEL.nentries; e++) {
    const nn_entry *entry = &MODEL.entries[e];
    int code = NN_BAD_DIM, bad = 0;
    int64_t size = wanted; /* what an entry asserts of its sizes may want larger ones */
    for (; code == NN_BAD_DIM && size <= 1024 * wanted; size *= 2) {
      choose_dims(size, dims);
      if (MODEL.init(state, 0) != NN_OK) return 3; /* weights that steps on numbers drawn led astray are no entry's fault */
      for (int k = 0; k < CALLS && (k == 0 || code == NN_OK); k++) code = call(entry, &runs[k], state, dims, &bad);
    }
    printf("%s %s", entry->name, code ? MODEL.error(code) : bad ? "gives results that are not numbers" : "ok");
    printf(" at sizes of %lld\n", (long long)size / 2);
    fflush(stdout);
    failed |= code != NN_OK || bad > 0;
  }
  free(state);
  nn_pool_free(pool);
  return failed;
}
