/* A GPU for tests, on the processor: a library that stands in for both NVRTC and NVIDIA's driver.
 *
 *   NNC_NVRTC=libshim.so NN_CUDA_DRIVER=libshim.so nnc diff model.nn --target cuda
 *
 * compile.c takes CUDA C to the host's C++ compiler (device.hpp says what its words mean); driver.c keeps memory of the
 * device apart, so that the host cannot touch it; block.c runs a block's threads as fibres. What it finds wrong (a race, a
 * barrier that some threads never reach, an access outside of memory) ends the program with a message. graph.c keeps launches
 * for later; SHIM_FAIL names functions of the driver that fail. */
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
  void (*yield)(void); /* what it waits for, others must do */
  void (*die)(const char *format, ...);
  int backwards; /* then what may be done late is done early */
} Shim;

/* A tensor map as this driver encodes it. */
typedef struct ShimMap {
  uint64_t magic, array, sizes[5], strides[5]; /* in bytes */
  uint32_t box[5], rank, unused[2];
} ShimMap;
enum { SHIM_MAP_MAGIC = 0x70616d74 };

typedef struct ShimKernel {
  void (*call)(void **arguments);
  void **(*keep)(void **arguments);    /* a copy of them, to be freed */
  unsigned char *(*begin)(Shim *shim); /* gives the block's shared memory */
  struct ShimKernel *next;             /* of all that were asked for */
} ShimKernel;

/* block.c: all threads of all blocks, from the first to the last, or backwards. */
void shim_run(const ShimKernel *kernel, void **arguments, unsigned blocks, unsigned threads, unsigned shared_bytes,
              int backwards);
/* The same with blocks that wait for each other at barriers of the grid. */
enum { SHIM_TOGETHER = 4 }; /* at most so many */
void shim_run_together(const ShimKernel *kernel, void **arguments, unsigned blocks, unsigned threads, unsigned shared_bytes,
                       int backwards);

/* driver.c: does something twice, from the same memory; the second time backwards. It must leave the same bits. */
void shim_twice(void (*work)(void *user, int backwards), void *user);
/* Whether a test lets this function of the driver fail: they stand in SHIM_FAIL, between commas. */
int shim_fails(const char *function);
enum { SHIM_GOOD = 0, SHIM_INVALID = 1, SHIM_NO_MEMORY = 2, SHIM_NOT_FOUND = 500 };
#define MAY_FAIL()                                                                                                         \
  do {                                                                                                                     \
    if (shim_fails(__func__)) return SHIM_NO_MEMORY;                                                                       \
  } while (0)
void shim_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
