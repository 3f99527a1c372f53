/* Times one entry of a model compiled for CUDA, with all arrays on the GPU: microseconds of a call, the fastest of several
 * batches that are queued without waiting in between.
 *
 *   time MODEL.so ENTRY [DIM=value ...]       dims that are not given are at their upper bounds */
#include "runtime/cuda.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 64, BATCHES = 5, NO_GPU = 3 };

static void *library;

static void die(int code, const char *what, const char *why) {
  fprintf(stderr, "time: %s: %s\n", what, why);
  exit(code);
}

static const nn_model *load(const char *path) {
  library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  const nn_model *model = library ? dlsym(library, "nn_model") : NULL;
  if (!model || model->abi != NN_ABI) die(2, path, library ? "no model of this interface" : dlerror());
  if (model->device != NN_CUDA) die(2, path, "not compiled for CUDA");
  return model;
}

static const nn_entry *find_entry(const nn_model *model, const char *name) {
  for (int k = 0; k < model->nentries; k++)
    if (strcmp(model->entries[k].name, name) == 0) return &model->entries[k];
  die(2, name, "no such entry");
  return NULL;
}

static void read_dims(const nn_model *model, int count, char **words, int64_t *dims) {
  for (int k = 0; k < model->ndims; k++) {
    size_t length = strlen(model->dims[k].name);
    dims[k] = model->dims[k].high;
    for (int w = 0; w < count; w++)
      if (strncmp(words[w], model->dims[k].name, length) == 0 && words[w][length] == '=')
        dims[k] = atoll(words[w] + length + 1);
  }
}

/* Numbers in -1..1, or 0 and 1: of 4 bytes each, which is more than bools want. */
static void *new_array(int64_t count, int dtype) {
  uint32_t random = 1, *host = malloc(4 * (size_t)count + 4);
  void *device = nn_cuda_allocate(4 * (size_t)count + 4);
  if (!host || !device) die(NO_GPU, "memory", host ? nn_cuda_error() : "none left");
  for (int64_t k = 0; k < count; k++) {
    random = random * 1664525 + 1013904223;
    float number = (float)(random >> 8) / 8388608.0f - 1;
    host[k] = random >> 31;
    if (dtype == NN_F32) memcpy(&host[k], &number, sizeof number);
    if (dtype == NN_BOOL) ((uint8_t *)host)[k] = (uint8_t)(random >> 31);
  }
  if (nn_cuda_write(device, host, 4 * (size_t)count) != NN_OK) die(NO_GPU, "memory", nn_cuda_error());
  free(host);
  return device;
}

/* The sizes of its axes come one after another. */
static void *value_for(const nn_value *value, const int64_t **sizes, float *scalar, int result) {
  int64_t count = 1;
  for (int axis = 0; axis < value->rank; axis++) count *= *(*sizes)++;
  if (value->rank > 0 || result) return new_array(count, value->dtype);
  int32_t whole = (int32_t)value->fallback;
  *scalar = (float)value->fallback;
  if (value->dtype != NN_F32) memcpy(scalar, &whole, sizeof whole);
  return scalar;
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

typedef struct Call {
  const nn_entry *entry;
  void *state, *scratch;
  int64_t dims[MOST];
  const void *parameters[MOST];
  void *results[MOST];
} Call;

static double batch(const Call *call, int count) {
  double start = seconds();
  for (int k = 0; k < count; k++) {
    int code =
        call->entry->call(NULL, call->state, call->scratch, call->dims, call->parameters, call->results, (uint64_t)k);
    if (code != NN_OK) die(code == NN_NO_GPU ? NO_GPU : 1, call->entry->name, nn_cuda_error());
  }
  if (nn_cuda_wait() != NN_OK) die(1, call->entry->name, nn_cuda_error());
  return seconds() - start;
}

int main(int count, char **words) {
  int64_t sizes[MOST * NN_RANK];
  const int64_t *at = sizes;
  float scalars[MOST];
  Call call = {0};
  if (count < 3) die(2, "usage", "time MODEL.so ENTRY [DIM=value ...]");
  if (nn_cuda_open() != NN_OK) die(NO_GPU, "no GPU", nn_cuda_error());
  const nn_model *model = load(words[1]);
  const nn_entry *entry = call.entry = find_entry(model, words[2]);
  if (model->ndims > MOST || entry->nparameters > MOST || entry->nresults > MOST) die(2, words[1], "too many values");
  read_dims(model, count - 3, words + 3, call.dims);
  entry->sizes(call.dims, sizes);
  for (int k = 0; k < entry->nparameters; k++) call.parameters[k] = value_for(&entry->parameters[k], &at, &scalars[k], 0);
  for (int k = 0; k < entry->nresults; k++) call.results[k] = value_for(&entry->results[k], &at, NULL, 1);
  call.state = nn_cuda_allocate(model->state_bytes + 1);
  call.scratch = nn_cuda_allocate(entry->scratch(call.dims, 1) + 1);
  if (!call.state || !call.scratch || model->init(call.state, 0) != NN_OK) die(NO_GPU, "memory", nn_cuda_error());
  double once = batch(&call, 2) / 2, best = 0;
  once = batch(&call, 3) / 3;
  int repeat = once > 0.1 ? 1 : (int)(0.1 / once) + 1;
  for (int k = 0; k < BATCHES; k++) {
    double own = batch(&call, repeat) / repeat;
    best = k == 0 || own < best ? own : best;
  }
  printf("%.2f\n", 1e6 * best);
  return 0;
}
