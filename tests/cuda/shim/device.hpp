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
#define __noinline__ __attribute__((noinline))
#define __align__(bytes)
#define __launch_bounds__(...)
#define __grid_constant__

// As in shim.c.
struct Shim {
  struct { unsigned x, y, z; } thread, block, block_size, grid;
  void (*barrier)(void);
  unsigned (*exchange)(unsigned value, int distance); // with the lane whose number differs in these bits
  void (*grid_barrier)(void);
  void (*yield)(void);
  void (*die)(const char *format, ...);
  int backwards;
};
static Shim *shim;
#define threadIdx shim->thread
#define blockIdx shim->block
#define blockDim shim->block_size
#define gridDim shim->grid

alignas(1024) unsigned char shared[228 << 10];

#define SHIM

static inline void __syncthreads() { shim->barrier(); }
static inline void grid_barrier(unsigned *) { shim->grid_barrier(); }

// Copies are done when they are waited for, as late as a GPU might, or at once, where threads run backwards. Those under way
// are in order, behind each other.
struct ShimCopy { float *to; const float *from; int count; bool inside; };
struct ShimCopies { int end[16], copies, groups; }; // where each closed group ends
enum { SHIM_THREADS = 4 * 1024 };                   // of the blocks that may be under way at the same time
static ShimCopies shim_copies[SHIM_THREADS];
static ShimCopy shim_copy_of[SHIM_THREADS][256];
static inline unsigned shim_own() { return shim->block.x % 4 * 1024 + shim->thread.x; }
static inline void shim_do(const ShimCopy &copy) {
  for (int k = 0; k < copy.count; k++) copy.to[k] = copy.inside ? copy.from[k] : 0;
}
static void shim_copy(float *to, const float *from, int count, bool inside) {
  ShimCopies *own = &shim_copies[shim_own()];
  const ShimCopy copy = {to, from, count, inside};
  if ((size_t)to % (4 * count) != 0 || (inside && (size_t)from % (4 * count) != 0)) __builtin_trap(); // as a GPU does
  if (own->copies == sizeof *shim_copy_of / sizeof **shim_copy_of) __builtin_trap();
  if (shim->backwards)
    shim_do(copy);
  else
    shim_copy_of[shim_own()][own->copies++] = copy;
}
static inline void copy_4(float *to, const float *from, bool inside) { shim_copy(to, from, 1, inside); }
static inline void copy_16(float *to, const float *from, bool inside) { shim_copy(to, from, 4, inside); }
static inline void copies_commit() {
  ShimCopies *own = &shim_copies[shim_own()];
  if (own->groups == sizeof own->end / sizeof *own->end) __builtin_trap();
  own->end[own->groups++] = own->copies;
}
static void shim_wait(int pending) {
  ShimCopies *own = &shim_copies[shim_own()];
  const int done = own->groups - pending;
  if (done <= 0) return;
  const int end = own->end[done - 1];
  ShimCopy *const first = shim_copy_of[shim_own()];
  for (const ShimCopy *copy = first; copy < first + end; copy++) shim_do(*copy);
  memmove(first, first + end, (own->copies - end) * sizeof *first);
  own->copies -= end;
  for (int k = done; k < own->groups; k++) own->end[k - done] = own->end[k] - end;
  own->groups = pending;
}
template <int pending> static inline void copies_wait() { shim_wait(pending); }

static inline void shim_begin_warpgroups();

extern "C" unsigned char *shim_begin(Shim *own) {
  shim = own;
  for (ShimCopies &copies : shim_copies) copies.copies = copies.groups = 0;
  shim_begin_warpgroups();
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

// Tensor cores: each lane lays its factors open, then all of the warp compute their sums from them.
static inline unsigned shim_bits(float value) {
  unsigned bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
static inline int anew(int a) { return a; }
static inline unsigned tf32_of(float a) { return (shim_bits(a) + 0x1000) & ~0x1fffu; } // ties away from 0
static inline unsigned shim_bf16(float a) {
  const unsigned bits = shim_bits(a);
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16; // ties to even
}
static inline unsigned bf16_pair(float low, float high) { return shim_bf16(high) << 16 | shim_bf16(low); }
struct ShimFactors { unsigned a[4], b[2]; };
static ShimFactors shim_factors[1024];
// Factor `fold` of a row (of 16) or a column, where a register holds `each` folds.
static inline float shim_factor(const unsigned *registers, int register_step, int fold, int each) {
  const unsigned bits = registers[fold / (4 * each) * register_step];
  return __int_as_float(each == 1 ? bits : fold % 2 ? bits & 0xffff0000u : bits << 16);
}
static inline void shim_multiply(float *sum, const unsigned *a, const unsigned *b, int each) {
  const unsigned lane = shim->thread.x % 32;
  ShimFactors *const warp = &shim_factors[shim->thread.x - lane];
  memcpy(warp[lane].a, a, sizeof warp->a);
  memcpy(warp[lane].b, b, sizeof warp->b);
  shim->exchange(0, 0); // all are there
  for (int e = 0; e < 4; e++) {
    const int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
    for (int fold = 0; fold < 8 * each; fold++) {
      const int of = fold / each % 4; // the lane of four that holds it
      sum[e] += shim_factor(&warp[row % 8 * 4 + of].a[row / 8], 2, fold, each) *
                shim_factor(warp[column * 4 + of].b, 1, fold, each);
    }
  }
  shim->exchange(0, 0); // nobody reads them any more
}
static inline void multiply_tf32(float *sum, const unsigned *a, const unsigned *b) { shim_multiply(sum, a, b, 1); }
static inline void multiply_bf16(float *sum, const unsigned *a, const unsigned *b) { shim_multiply(sum, a, b, 2); }

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#include "warpgroup.hpp"
#else
static inline void shim_begin_warpgroups() {}
#endif

// A kernel called with the addresses of its arguments, as cuLaunchKernel gives them.
template <class... T, size_t... K>
static inline void shim_apply(void (*kernel)(T...), void **arguments, std::index_sequence<K...>) {
  (void)arguments;
  kernel(*(T *)arguments[K]...);
}
template <class... T> static inline void shim_call(void (*kernel)(T...), void **arguments) {
  shim_apply(kernel, arguments, std::index_sequence_for<T...>{});
}
// Copies of these arguments, for a kernel that is called later: pointers, then values; one block, to be freed.
template <class... T> static inline void **shim_keep(void (*)(T...), void **arguments) {
  const size_t bytes[] = {sizeof(T)..., 0}, count = sizeof...(T), each = 128, head = (8 * count + 127) / 128 * 128;
  char *const block = (char *)aligned_alloc(128, head + count * each + 128);
  for (size_t k = 0; k < count; k++) {
    ((void **)block)[k] = block + head + k * each;
    memcpy(block + head + k * each, arguments[k], bytes[k]);
  }
  return (void **)block;
}
