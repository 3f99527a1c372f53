/* A shared object of nnc, driven from Python by the same loop as the peers; a probe of what the machine can do.
 *
 * One model is open at a time, with its state and scratch; parameters and results are the caller's arrays, given once
 * before the calls, so that a timed call is `bench_call()` and nothing else. */
#include "runtime/nn.h"
#include "runtime/pool.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 16 };

static struct {
  void *library, *state, *scratch;
  const nn_model *model;
  const nn_entry *entry;
  nn_pool *pool;
  nn_run run;
  int64_t dims[MOST];
  const void *parameters[MOST];
  void *results[MOST];
} now;

void bench_close(void) {
  free(now.state);
  free(now.scratch);
  nn_pool_free(now.pool);
  if (now.library) dlclose(now.library);
  memset(&now, 0, sizeof now);
}

int bench_open(const char *path, const char *entry, const int64_t *dims, int ndims, int threads) {
  bench_close();
  now.library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  now.model = now.library ? dlsym(now.library, "nn_model") : NULL;
  if (!now.model || now.model->abi != NN_ABI || ndims != now.model->ndims || ndims > MOST) return -1;
  for (int k = 0; k < now.model->nentries; k++)
    if (strcmp(now.model->entries[k].name, entry) == 0) now.entry = &now.model->entries[k];
  if (!now.entry || now.entry->nparameters > MOST || now.entry->nresults > MOST) return -2;
  memcpy(now.dims, dims, (size_t)ndims * sizeof *dims);
  now.pool = nn_pool_new(threads);
  now.run = (nn_run){nn_pool_parallel_for, now.pool, nn_pool_workers(now.pool), NULL, NULL};
  size_t align = now.model->align, bytes = now.entry->scratch(dims, now.run.workers);
  if (posix_memalign(&now.state, align, now.model->state_bytes + align)) return -3;
  if (posix_memalign(&now.scratch, align, bytes + align)) return -3;
  return now.model->init(now.state, 0);
}

int bench_set(const char *name, const void *in) { return now.model->set(now.state, name, in); }
int bench_get(const char *name, void *out) { return now.model->get(now.state, name, out); }
void bench_parameter(int index, const void *elements) { now.parameters[index] = elements; }
void bench_result(int index, void *elements) { now.results[index] = elements; }

int bench_call(void) { return now.entry->call(&now.run, now.state, now.scratch, now.dims, now.parameters, now.results, 0); }

/* ---- the probe ---- */

static double seconds_now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

#ifdef __AVX512F__
typedef float Lanes __attribute__((vector_size(64)));
#else
typedef float Lanes __attribute__((vector_size(32)));
#endif
enum { TURNS = 300000, CHAINS = 12, ATTEMPTS = 100, FLOATS = 1 << 25, PASSES = 6 };
static volatile float sink;

static void multiply_adds(void *arg, int64_t index, int worker) {
  (void)arg, (void)index, (void)worker;
  Lanes sum[CHAINS], factor = (Lanes){0} + 0.5f, addend = (Lanes){0} + 0.25f;
  for (int k = 0; k < CHAINS; k++) sum[k] = (Lanes){0} + (float)k; /* equal chains would be joined */
  for (int turn = 0; turn < TURNS; turn++) {
#pragma GCC unroll 12
    for (int k = 0; k < CHAINS; k++) sum[k] = sum[k] * factor + addend;
    __asm__ volatile("" : "+v"(factor)); /* keeps turns from being joined */
  }
  Lanes total = sum[0];
  for (int k = 1; k < CHAINS; k++) total += sum[k];
  sink = total[0];
}

/* Each index reads a part of its own. */
static void read_part(void *arg, int64_t index, int worker) {
  (void)worker;
  const Lanes *part = (const Lanes *)((const float *)arg + index * (FLOATS / 16));
  Lanes sum[8] = {0};
  for (size_t k = 0; k < FLOATS / 16 * sizeof(float) / sizeof(Lanes); k += 8)
    for (int lane = 0; lane < 8; lane++) sum[lane] += part[k + (size_t)lane];
  sink = (sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7])[0];
}

/* The best of many short attempts: where processors are shared, a long one is never alone. */
double bench_peak_flops(int threads) {
  nn_pool *pool = nn_pool_new(threads);
  double best = 0, flops = 2.0 * CHAINS * TURNS * (sizeof(Lanes) / sizeof(float)) * nn_pool_workers(pool);
  for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
    double start = seconds_now();
    nn_pool_parallel_for(pool, nn_pool_workers(pool), multiply_adds, NULL);
    double rate = flops / (seconds_now() - start);
    if (rate > best) best = rate;
  }
  nn_pool_free(pool);
  return best;
}

double bench_bandwidth(int threads) {
  void *memory = NULL;
  if (posix_memalign(&memory, 4096, FLOATS * sizeof(float))) return 0;
  memset(memory, 1, FLOATS * sizeof(float));
  nn_pool *pool = nn_pool_new(threads);
  double best = 0;
  for (int pass = 0; pass < PASSES; pass++) {
    double start = seconds_now();
    nn_pool_parallel_for(pool, 16, read_part, memory);
    double rate = FLOATS * sizeof(float) / (seconds_now() - start);
    if (rate > best) best = rate;
  }
  nn_pool_free(pool);
  free(memory);
  return best;
}
