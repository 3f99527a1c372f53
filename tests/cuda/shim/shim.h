/* A GPU for tests, on the processor: a library that stands in for both NVRTC and NVIDIA's driver.
 *
 *   NNC_NVRTC=libshim.so NN_CUDA_DRIVER=libshim.so nnc diff model.nn --target cuda
 *
 * compile.c takes CUDA C to the host's C++ compiler (device.hpp says what its words mean); driver.c keeps memory of the
 * device apart, so that the host cannot touch it; block.c runs a block's threads as fibres. What it finds wrong (a race, a
 * barrier that some threads never reach, an access outside of memory) ends the program with a message. */
#ifndef SHIM_H
#define SHIM_H

#include <stddef.h>
#include <stdint.h>

/* As in device.hpp. */
typedef struct ShimIndex {
  unsigned x, y, z;
} ShimIndex;
typedef struct Shim {
  ShimIndex thread, block, block_size, grid;
  void (*barrier)(void);
  unsigned (*exchange)(unsigned value, int distance);
  void (*grid_barrier)(void);
} Shim;

typedef struct ShimKernel {
  void (*call)(void **arguments);
  unsigned char *(*begin)(Shim *shim); /* gives the block's shared memory */
} ShimKernel;

/* block.c: all threads of all blocks, from the first to the last, or backwards. */
void shim_run(const ShimKernel *kernel, void **arguments, unsigned blocks, unsigned threads, unsigned shared_bytes,
              int backwards);
/* The same with blocks that wait for each other at barriers of the grid. */
enum { SHIM_TOGETHER = 4 }; /* at most so many */
void shim_run_together(const ShimKernel *kernel, void **arguments, unsigned blocks, unsigned threads, unsigned shared_bytes,
                       int backwards);
void shim_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
