/* Models on NVIDIA GPUs. A model that nnc compiled with --target cuda has the same C interface as any other; its state and
 * scratch are device memory, its arrays lie on the host or on the device, as the caller likes. A program links libnn for it:
 *
 *   if (nn_cuda_open() != NN_OK) ... nn_cuda_error() ...
 *   void *state = nn_cuda_allocate(LENET_STATE_BYTES);
 *   void *scratch = nn_cuda_allocate(lenet_train_scratch(64, 1));
 *
 * NVIDIA's driver is found at run time; nothing of CUDA is needed to build. Where an array of a call lies on the host, the
 * call returns when its results are there; else it returns when all is queued, and nn_cuda_wait waits. An array on the
 * device that does not lie at a multiple of 16 bytes is copied like one on the host. Calls are queued in order. Functions that return a code (enum NN_* of nn.h) leave a sentence in nn_cuda_error, one for each thread. */
#ifndef NN_CUDA_H
#define NN_CUDA_H

#include "nn.h"

#ifdef __cplusplus
extern "C" {
#endif

int nn_cuda_open(void); /* finds driver and GPU; each call does so by itself where nobody did before */
const char *nn_cuda_error(void);
void *nn_cuda_allocate(size_t bytes); /* NULL: nn_cuda_error tells why */
void nn_cuda_free(void *device);
int nn_cuda_write(void *device, const void *host, size_t bytes);
int nn_cuda_read(void *host, const void *device, size_t bytes);
int nn_cuda_wait(void);

/* ---- what emitted objects call; their tables are constants of the object ---- */

typedef struct nn_cuda_image {
  const char *architecture; /* "sm_90a": machine code; "compute_90": PTX, which the driver compiles */
  const void *bytes;
  int64_t size;
  int64_t part; /* which of the kernels */
} nn_cuda_image;
/* An argument is a field of the frame (bytes: 0), or a value of so many bytes to which that field points, or (-1) the tensor
 * map of this number, 128 bytes. */
typedef struct nn_cuda_argument {
  int32_t field, bytes;
} nn_cuda_argument;
/* An array of f32, of which the GPU copies squares by itself: the field that points to it. Behind `first` lie, among numbers
 * of the call, where it begins there, and by axis its sizes and its strides, neighbours first; in bytes but for the sizes. */
enum { NN_CUDA_MAP_RANK = 5, NN_CUDA_MAP_BYTES = 128 };
typedef struct nn_cuda_map {
  int32_t field, rank, first;
  int32_t box[NN_CUDA_MAP_RANK]; /* a square's size */
} nn_cuda_map;
typedef struct nn_cuda_kernel {
  const char *name;
  int32_t threads, shared_bytes, wide_bytes, unused; /* wide: of shared memory, in code for sm_90a */
  const nn_cuda_argument *arguments;
  int32_t narguments, part; /* in which images it is */
} nn_cuda_kernel;
/* An array of the caller's: the field that points to it, and whether it is a result. */
typedef struct nn_cuda_array {
  int32_t field, result;
} nn_cuda_array;
/* kind (0: kernels, 1: a loop, 2: its end), first kernel, their count, the field that counts turns, whether backwards, the
 * other end of the loop, number among launches of kernels */
typedef struct nn_cuda_launch {
  int32_t kind, first, count, turn, reverse, match, ordinal, unused;
} nn_cuda_launch;
typedef struct nn_cuda_entry {
  uint64_t hash; /* of the images: entries of one object share them */
  const nn_cuda_image *images;
  const nn_cuda_kernel *kernels;
  const nn_cuda_kernel *whole; /* all launches as one, if its blocks all run at the same time; NULL: there is none */
  const nn_cuda_array *arrays;
  const nn_cuda_launch *launches;
  const nn_cuda_map *maps;
  int32_t nimages, nkernels, narrays, nlaunches;
  int32_t state, scratch, staging; /* fields of the frame, -1: not used; arrays of the host are copied to staging */
  int32_t unused;
} nn_cuda_entry;

/* frame: 8-byte fields; tasks: by kernel; trips: by launch, of loops; bytes: by array; numbers: of maps. */
int nn_cuda_execute(const nn_run *run, uint64_t *frame, const nn_cuda_entry *entry, const int64_t *tasks,
                    const int64_t *trips, const int64_t *bytes, const int64_t *numbers);
/* The state's functions work on the host's memory: the state is brought there and back. */
int nn_cuda_init(void *state, int64_t bytes, uint64_t seed, int (*init)(void *state, uint64_t seed));
int nn_cuda_get(const void *state, int64_t bytes, const char *name, void *out,
                int (*get)(const void *state, const char *name, void *out));
int nn_cuda_set(void *state, int64_t bytes, const char *name, const void *in,
                int (*set)(void *state, const char *name, const void *in));

#ifdef __cplusplus
}
#endif
#endif
