// What CUDA C finds when the shim compiles it with the host's C++ compiler: the words of the language, and the functions of
// the device, which go to the shim's fibre of this thread.
#include <math.h>
#include <stddef.h>
#include <string.h>

#include <utility>

#define __global__
#define __device__
#define __shared__
#define __forceinline__ inline
#define __align__(bytes)
#define __launch_bounds__(threads)

// As in shim.c.
struct Shim {
  struct { unsigned x, y, z; } thread, block, block_size, grid;
  void (*barrier)(void);
  unsigned (*exchange)(unsigned value, int distance); // with the lane whose number differs in these bits
};
static Shim *shim;
#define threadIdx shim->thread
#define blockIdx shim->block
#define blockDim shim->block_size
#define gridDim shim->grid

alignas(64) unsigned char shared[228 << 10];
extern "C" unsigned char *shim_begin(Shim *own) {
  shim = own;
  return shared;
}

static inline void __syncthreads() { shim->barrier(); }
static inline float __int_as_float(int bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T> static inline T __shfl_xor_sync(unsigned, T value, int distance) {
  unsigned bits;
  static_assert(sizeof bits == sizeof value, "a shuffle moves 4 bytes");
  memcpy(&bits, &value, sizeof bits);
  bits = shim->exchange(bits, distance);
  memcpy(&value, &bits, sizeof bits);
  return value;
}

// A kernel called with the addresses of its arguments, as cuLaunchKernel gives them.
template <class... T, size_t... K>
static inline void shim_apply(void (*kernel)(T...), void **arguments, std::index_sequence<K...>) {
  (void)arguments;
  kernel(*(T *)arguments[K]...);
}
template <class... T> static inline void shim_call(void (*kernel)(T...), void **arguments) {
  shim_apply(kernel, arguments, std::index_sequence_for<T...>{});
}
