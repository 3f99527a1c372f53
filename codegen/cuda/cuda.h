/* From plans to CUDA C, and what a launch of each kernel needs. The plans must be scheduled for CUDA.
 *
 * A plan's kernel is a __global__ function of the same name behind the model's; a task is a block of THREADS threads, and a
 * grid of any size runs them all. Its arguments are pointers to buffers, values of scalar parameters, and sizes, in the
 * order of CudaKernel.arguments. Kernels of one launch are independent; between launches all wait for all. */
#ifndef NNC_CUDA_H
#define NNC_CUDA_H

#include "codegen/interface.h"

enum { CUDA_THREADS = 256 };

typedef enum CudaArgumentKind {
  CUDA_BUFFER, /* the address of buffer `index` on the device; of a result: NULL where it is not wanted */
  CUDA_VALUE,  /* the value of scalar parameter `index`: float, int, or unsigned char */
  CUDA_SIZE,   /* dim symbol `index`, as long long */
  CUDA_MAP     /* a tensor map, by value: maps.items[index] of the kernel */
} CudaArgumentKind;
typedef struct CudaArgument {
  CudaArgumentKind kind;
  int index;
} CudaArgument;
typedef struct CudaMap {
  Id buffer;
  OperandMap map;
} CudaMap;
typedef struct CudaKernel {
  const char *name;     /* "lenet_train_3_dense" */
  int64_t shared_bytes; /* dynamic shared memory */
  int64_t wide_bytes;   /* the same of code for sm_90a, where warpgroups multiply */
  int blocks;           /* for how many on one processor its registers do */
  int part;             /* of the source */
  Vec(CudaArgument) arguments;
  Vec(CudaMap) maps;
} CudaKernel;
typedef struct CudaSource {
  Text text;            /* the file, whole */
  Vec(Text) parts;      /* the same in programs that can be compiled side by side, each with some of the kernels */
  CudaKernel **kernels; /* [entry][kernel], as in the plans */
  CudaKernel *wholes;   /* [entry]: all its launches as one, whose blocks must all run at the same time; name NULL: none */
} CudaSource;

/* Code for one kind of GPU ("sm_90a", a cubin) or for all later ones ("compute_90", PTX). */
typedef struct CudaImage {
  const char *architecture;
  int part; /* of the source */
  Text bytes;
} CudaImage;
typedef struct CudaCode {
  CudaSource source;
  Vec(CudaImage) images;
} CudaCode;

/* Texts are the caller's to free; all else is the module's arena's. */
CudaSource cuda_print(const Module *module, Plan *const *plans, int count);
void cuda_source_free(CudaSource *source);

/* Compiles by NVRTC for a list of architectures, "sm_80,sm_90a,sm_120" (NULL: a default), and adds PTX of the highest that is
 * of use to later GPUs (sm_90a's is not). `log` gets what NVRTC says of each kernel, if it is not NULL. */
bool cuda_compile(const Module *module, Plan *const *plans, int count, const char *architectures, Text *log, CudaCode *code,
                  Failure *failure);
void cuda_free(CudaCode *code);
/* That PTX alone, of all kernels in one text; where no kind's suits later GPUs, the first one's. */
bool cuda_compile_ptx(const Module *module, Plan *const *plans, int count, const char *architectures, Text *log, Text *ptx,
                      Failure *failure);
typedef struct CudaUsage {
  int64_t registers, spilled; /* of a thread; bytes of a thread */
} CudaUsage;
/* What the log of cuda_compile tells of a kernel; false where it tells nothing. */
bool cuda_usage(const char *log, const char *function, const char *architecture, CudaUsage *usage);
extern const char cuda_default_architectures[];

#endif
