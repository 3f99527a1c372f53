/* What a compiled model says of itself, and how it is called: the binary interface between emitted objects and tools.
 *
 * A model's own header (lenet.h) is all that a program needs to call it. This header is for programs that drive any model
 * by its description: nnc's commands, bindings, test harnesses. Every object exports `<model>_model`, a shared object
 * `nn_model` too. Plain C99, no includes but stddef and stdint. */
#ifndef NN_H
#define NN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NN_ABI 4

/* How an entry is run. NULL in place of it: on the caller's own thread, one worker. The same text stands in every model's
 * header under the same guard, so that two models' headers go together. */
#ifndef NN_RUN_DEFINED
#define NN_RUN_DEFINED
typedef struct nn_run {
  /* Calls body(arg, index, worker) once for each index in 0..count-1, in any order, on any threads; no two calls at one
   * time share a worker number; returns when all are done. */
  void (*parallel_for)(void *user, int64_t count, void (*body)(void *arg, int64_t index, int worker), void *arg);
  void *user;
  int workers;                                           /* worker numbers are 0..workers-1 */
  void (*trace)(void *trace_user, int launch, int done); /* or NULL: before (0) and after (1) each launch */
  void *trace_user;
} nn_run;
#endif

/* What entries return. `<model>_error` names them. */
enum {
  NN_OK = 0,
  NN_BAD_DIM = 1,       /* a dim outside its bounds, or a size check that does not hold */
  NN_BAD_ALIGNMENT = 2, /* state or scratch not aligned */
  NN_NO_STATE = 3,      /* state or scratch is NULL where it is needed */
  NN_BAD_NAME = 4,      /* get, set: no param or state of that name */
  NN_BAD_PROCESSOR = 5, /* the processor lacks what the code was compiled for */
  NN_NO_GPU = 6,        /* no NVIDIA GPU, or no driver for it */
  NN_GPU_FAILED = 7     /* what the GPU's driver said is in nn_cuda_error() of cuda.h */
};

enum { NN_F32 = 1, NN_I32 = 2, NN_BOOL = 3 };
enum { NN_FN = 0, NN_STEP = 1 };
enum { NN_HOST = 0, NN_CUDA = 1 };
enum { NN_RANK = 8 };

typedef struct nn_dim {
  const char *name;
  int64_t low, high, step;
} nn_dim;

/* A parameter or result of an entry. */
typedef struct nn_value {
  const char *name;  /* as in the .nn file */
  const char *shape; /* "[N, 784]"; "[]" for a scalar; sizes are Python expressions over the dims */
  uint8_t dtype, rank, has_default, unused;
  double fallback; /* the default of a scalar parameter */
} nn_value;

typedef struct nn_factor {
  int64_t modulus, divisor, stride;
} nn_factor;

/* A param or state. offset and bytes are where it lies in the state block, in the layout that the kernels read; get and
 * set convert from and to the canonical, row-major one. */
typedef struct nn_symbol {
  const char *name;
  uint8_t dtype, rank, trainable, unused;
  int64_t size[NN_RANK];
  int64_t offset, bytes;
  const char *layout; /* "" if canonical, else the order in which axes lie: "1 0" */
  /* Element k of the canonical order is element sum of (k % modulus) / divisor * stride over these; none if they agree. */
  const nn_factor *factors;
  int64_t nfactors;
} nn_symbol;

typedef struct nn_kernel {
  const char *name;
  const char *lines;         /* "lenet.nn:5,6,9-12, blocks.nn:3" */
  const char *flops, *bytes; /* expressions over the dims */
} nn_kernel;
/* Kernels that run side by side, without a barrier between them. */
typedef struct nn_launch {
  int first_kernel, kernels;
} nn_launch;

typedef struct nn_entry {
  const char *name;
  int kind;  /* NN_FN, NN_STEP */
  int draws; /* a fn that takes a seed */
  int ndims;
  const int *dims; /* which of the model's dims it takes, in order */
  int nparameters, nresults;
  const nn_value *parameters, *results;
  int nkernels, nlaunches;
  const nn_kernel *kernels;
  const nn_launch *launches;
  /* dims: a value for every dim of the model, in the model's order (those that the entry does not take are not read).
   * parameters: a pointer each, to one element for a scalar; results: a pointer each, or NULL where not wanted. */
  int (*call)(const nn_run *run, void *state, void *scratch, const int64_t *dims, const void *const *parameters,
              void *const *results, uint64_t seed);
  size_t (*scratch)(const int64_t *dims, int workers);
  /* The sizes of all parameters' axes, then all results', one after another. */
  void (*sizes)(const int64_t *dims, int64_t *out);
} nn_entry;

typedef struct nn_model {
  uint32_t abi;   /* NN_ABI */
  uint32_t align; /* of state and scratch */
  const char *name;
  const char *compiler; /* "nnc 0.1.0" */
  uint64_t source_hash;
  int ndims, nsymbols, nentries;
  const nn_dim *dims;
  const nn_symbol *symbols;
  const nn_entry *entries;
  size_t state_bytes, inference_bytes;
  int (*init)(void *state, uint64_t seed);
  int (*get)(const void *state, const char *name, void *out); /* f32, i32 or uint8_t elements, canonical order */
  int (*set)(void *state, const char *name, const void *in);
  const char *(*error)(int code);
  int device; /* NN_HOST, NN_CUDA: whose memory state and scratch are */
} nn_model;

#ifdef __cplusplus
}
#endif
#endif
