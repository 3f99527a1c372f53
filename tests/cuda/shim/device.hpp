// What CUDA C finds when the shim compiles it with the host's C++ compiler: the words of the language, and the functions of
// the device, which go to the shim's fibre of this thread.
#include <math.h>
#include <stddef.h>
#include <string.h>

#include <deque>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __align__(bytes)
#define __launch_bounds__(threads)

// As in shim.c.
struct Shim {
  struct { unsigned x, y, z; } thread, block, block_size, grid;
  void (*barrier)(void);
  unsigned (*exchange)(unsigned value, int distance); // with the lane whose number differs in these bits
  void (*grid_barrier)(void);
};
static Shim *shim;
#define threadIdx shim->thread
#define blockIdx shim->block
#define blockDim shim->block_size
#define gridDim shim->grid

alignas(64) unsigned char shared[228 << 10];

#define SHIM

static inline void __syncthreads() { shim->barrier(); }
static inline void grid_barrier(unsigned *) { shim->grid_barrier(); }

// Copies are done when they are waited for, as late as a GPU might.
struct ShimCopy { float *to; const float *from; int count; bool inside; };
struct ShimCopies { std::deque<std::vector<ShimCopy>> groups; std::vector<ShimCopy> open; };
static ShimCopies shim_copies[4 * 1024]; // of the blocks that may be under way at the same time
static inline ShimCopies *shim_own_copies() { return &shim_copies[shim->block.x % 4 * 1024 + shim->thread.x]; }
static inline void shim_copy(float *to, const float *from, int count, bool inside) {
  if ((size_t)to % (4 * count) != 0 || (inside && (size_t)from % (4 * count) != 0)) __builtin_trap(); // as a GPU does
  shim_own_copies()->open.push_back({to, from, count, inside});
}
static inline void copy_4(float *to, const float *from, bool inside) { shim_copy(to, from, 1, inside); }
static inline void copy_16(float *to, const float *from, bool inside) { shim_copy(to, from, 4, inside); }
static inline void copies_commit() {
  ShimCopies *own = shim_own_copies();
  own->groups.push_back(std::move(own->open));
  own->open.clear();
}
template <int pending> static inline void copies_wait() {
  ShimCopies *own = shim_own_copies();
  for (; own->groups.size() > pending; own->groups.pop_front())
    for (const ShimCopy &copy : own->groups.front())
      for (int k = 0; k < copy.count; k++) copy.to[k] = copy.inside ? copy.from[k] : 0;
}

extern "C" unsigned char *shim_begin(Shim *own) {
  shim = own;
  for (ShimCopies &copies : shim_copies) copies = ShimCopies();
  return shared;
}

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
