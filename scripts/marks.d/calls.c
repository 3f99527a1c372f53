/* calls MODEL.so ENTRY N THREADS SECONDS: calls an entry of a compiled model for so long, and prints the median and the fastest
 * call's seconds, and the most memory that the process had. Nothing of nnc's is linked but the pool, so that the process is as large as a program with the model. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/nn.h"
#include "runtime/pool.h"

enum { MOST_VALUES = 32, MOST_CALLS = 100000 };
static double seconds[MOST_CALLS];

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int by_size(const void *a, const void *b) {
  double one = *(const double *)a, other = *(const double *)b;
  return (one > other) - (one < other);
}

static void *block_new(size_t bytes) {
  void *block = aligned_alloc(64, (bytes + 64) / 64 * 64);
  if (!block) exit(3);
  return block;
}

/* Elements in -1 to 1, class 0 for whole numbers, defaults for scalars. */
static void *value_new(const nn_value *value, const int64_t **sizes) {
  int64_t count = 1;
  for (int k = 0; k < value->rank; k++) count *= *(*sizes)++;
  float *elements = block_new((size_t)count * 4);
  memset(elements, 0, (size_t)count * 4);
  for (int64_t k = 0; k < count && value->dtype == NN_F32; k++)
    elements[k] = value->has_default ? (float)value->fallback : (float)(k * 31 % 101) / 50 - 1;
  return elements;
}

/* The largest resident memory of this program (what wait4 tells includes its parent's before exec). */
static long peak_bytes(void) {
  char line[256];
  long kilobytes = 0;
  FILE *file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof line, file)) sscanf(line, "VmHWM: %ld", &kilobytes);
  if (file) fclose(file);
  return kilobytes * 1024;
}

int main(int count, char **words) {
  if (count != 6) return 2;
  void *shared = dlopen(words[1], RTLD_NOW);
  const nn_model *model = shared ? dlsym(shared, "nn_model") : NULL;
  if (!model || model->ndims > MOST_VALUES) return 2;
  const nn_entry *entry = model->entries;
  while (entry < model->entries + model->nentries && strcmp(entry->name, words[2]) != 0) entry++;
  if (entry == model->entries + model->nentries || entry->nparameters + entry->nresults > MOST_VALUES) return 2;
  int64_t dims[MOST_VALUES], sizes[MOST_VALUES * NN_RANK];
  for (int k = 0; k < model->ndims; k++)
    dims[k] = atoll(words[3]) < model->dims[k].high ? atoll(words[3]) : model->dims[k].high;
  entry->sizes(dims, sizes);
  const int64_t *size = sizes;
  const void *parameters[MOST_VALUES];
  void *results[MOST_VALUES];
  for (int k = 0; k < entry->nparameters; k++) parameters[k] = value_new(&entry->parameters[k], &size);
  for (int k = 0; k < entry->nresults; k++) results[k] = value_new(&entry->results[k], &size);
  nn_pool *pool = nn_pool_new(atoi(words[4]));
  nn_run run = {nn_pool_parallel_for, pool, nn_pool_workers(pool), NULL, NULL};
  void *state = block_new(model->state_bytes), *scratch = block_new(entry->scratch(dims, run.workers));
  if (model->init(state, 0) != NN_OK) return 1;
  int calls = 0;
  for (double start = now(), before = start; calls < MOST_CALLS && (calls < 3 || before - start < atof(words[5]));
       calls++) {
    before = now();
    if (entry->call(&run, state, scratch, dims, parameters, results, 0) != NN_OK) return 1;
    seconds[calls] = now() - before;
  }
  qsort(seconds, (size_t)calls, sizeof *seconds, by_size);
  printf("%.9f %.9f %ld\n", seconds[calls / 2], seconds[0], peak_bytes());
  nn_pool_free(pool);
  return 0;
}
