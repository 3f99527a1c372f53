/* What the kernels below are made of. Nothing is included: NVRTC's time is in headers. */

#define NOT_A_NUMBER __int_as_float(0x7fc00000)
#define INFINITE __int_as_float(0x7f800000)
#define DEVICE static __device__ __forceinline__

/* ---- numbers: what C leaves open is as nnc's definition of its ops has it ---- */

DEVICE int wrapping_neg(int a) { return (int)(0u - (unsigned)a); }
DEVICE int wrapping_add(int a, int b) { return (int)((unsigned)a + (unsigned)b); }
DEVICE int wrapping_sub(int a, int b) { return (int)((unsigned)a - (unsigned)b); }
DEVICE int wrapping_mul(int a, int b) { return (int)((unsigned)a * (unsigned)b); }
DEVICE float plain_add(float a, float b) { return a + b; }

DEVICE float floor_divide(float a, float b) { return floorf(a / b); }
DEVICE float floor_modulo(float a, float b) { return a - b * floorf(a / b); }
DEVICE int floor_divide(int a, int b) {
  if (b == 0) return 0;
  if (b == -1) return wrapping_neg(a);
  int quotient = a / b;
  return quotient * b != a && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}
DEVICE long long floor_divide(long long a, long long b) {
  long long quotient = a / b;
  return quotient * b != a && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}
DEVICE int floor_modulo(int a, int b) {
  return b == 0 ? 0 : wrapping_sub(a, wrapping_mul(floor_divide(a, b), b));
}

/* A NaN on either side wins; b at ties. */
DEVICE float larger(float a, float b) { return a > b || a != a ? a : b; }
DEVICE float smaller(float a, float b) { return a < b || a != a ? a : b; }
DEVICE int larger(int a, int b) { return a > b ? a : b; }
DEVICE int smaller(int a, int b) { return a < b ? a : b; }
DEVICE bool larger(bool a, bool b) { return a || b; }
DEVICE bool smaller(bool a, bool b) { return a && b; }

DEVICE int saturate(float a) {
  if (a != a) return 0;
  if (a >= 2147483648.0f) return 2147483647;
  return a < -2147483648.0f ? -2147483647 - 1 : (int)a;
}

/* ---- random numbers: Philox 2x32-10, the same bits as on every processor ---- */

DEVICE unsigned philox(unsigned first, unsigned second, unsigned key) {
#pragma unroll
  for (int turn = 0; turn < 10; turn++) {
    const unsigned long long product = (unsigned long long)first * 0xD256D193u;
    first = (unsigned)(product >> 32) ^ key ^ second;
    second = (unsigned)product;
    key += 0x9E3779B9u;
  }
  return first;
}
DEVICE int random_key(unsigned stream, unsigned key) { return (int)philox(key, 0x6E6E6373u, stream); }
DEVICE float random_uniform(int key, unsigned long long index) {
  return (float)(int)(philox((unsigned)index, (unsigned)(index >> 32), (unsigned)key) >> 8) * 5.9604644775390625e-8f;
}

/* ---- folds: how one begins, takes a value, and what comes of it ---- */

template <class T> struct Limit;
template <> struct Limit<float> {
  DEVICE float low() { return -INFINITE; }
  DEVICE float high() { return INFINITE; }
};
template <> struct Limit<int> {
  DEVICE int low() { return -2147483647 - 1; }
  DEVICE int high() { return 2147483647; }
};
template <> struct Limit<bool> {
  DEVICE bool low() { return false; }
  DEVICE bool high() { return true; }
};

DEVICE bool is_nan(float a) { return a != a; }
DEVICE bool is_nan(int) { return false; }
DEVICE bool is_nan(bool) { return false; }
DEVICE float add(float a, float b) { return a + b; }
DEVICE int add(int a, int b) { return wrapping_add(a, b); }

DEVICE float from_lane(float a, int distance) { return __shfl_xor_sync(0xffffffffu, a, distance); }
DEVICE int from_lane(int a, int distance) { return __shfl_xor_sync(0xffffffffu, a, distance); }
DEVICE bool from_lane(bool a, int distance) { return __shfl_xor_sync(0xffffffffu, (int)a, distance) != 0; }

template <class T> struct Sum {
  typedef T Value;
  DEVICE T none() { return 0; }
  DEVICE T merge(T a, T b) { return add(a, b); }
  DEVICE T result(T a) { return a; }
};
/* A NaN beats all; at ties the first stays. */
template <class T> struct Max {
  typedef T Value;
  DEVICE T none() { return Limit<T>::low(); }
  DEVICE bool beats(T a, T b) { return !is_nan(b) && (is_nan(a) || a > b); }
  DEVICE T merge(T a, T b) { return beats(b, a) ? b : a; }
  DEVICE T result(T a) { return a; }
};
template <class T> struct Min {
  typedef T Value;
  DEVICE T none() { return Limit<T>::high(); }
  DEVICE bool beats(T a, T b) { return !is_nan(b) && (is_nan(a) || a < b); }
  DEVICE T merge(T a, T b) { return beats(b, a) ? b : a; }
  DEVICE T result(T a) { return a; }
};

template <class T> struct Found {
  T value;
  int at; /* -1: nothing yet */
};
template <class T> DEVICE Found<T> from_lane(Found<T> a, int distance) {
  Found<T> other = {from_lane(a.value, distance), from_lane(a.at, distance)};
  return other;
}
template <class T, class Order> struct Arg {
  typedef Found<T> Value;
  DEVICE Value none() {
    Value value = {0, -1};
    return value;
  }
  DEVICE Value at(T value, int at) {
    Value found = {value, at};
    return found;
  }
  DEVICE Value merge(Value a, Value b) {
    if (a.at < 0 || b.at < 0) return a.at < 0 ? b : a;
    if (Order::beats(a.value, b.value)) return a;
    if (Order::beats(b.value, a.value)) return b;
    return a.at < b.at ? a : b;
  }
  DEVICE int result(Value a) { return a.at < 0 ? 0 : a.at; }
};
template <class T> struct ArgMax : Arg<T, Max<T> > {};
template <class T> struct ArgMin : Arg<T, Min<T> > {};

/* Merged over a warp by a fixed tree; every lane gets it. */
template <class Fold> DEVICE typename Fold::Value warp_fold(typename Fold::Value value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value = Fold::merge(value, from_lane(value, distance));
  return value;
}

/* The same over a block of 256: its warps' values meet in shared memory, where all of it may be overwritten behind. */
template <class Fold> DEVICE typename Fold::Value block_fold(typename Fold::Value value, unsigned char *memory) {
  typedef typename Fold::Value Value;
  Value *const warps = (Value *)memory;
  value = warp_fold<Fold>(value);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  value = warps[0];
  for (int warp = 1; warp < 8; warp++) value = Fold::merge(value, warps[warp]);
  __syncthreads();
  return value;
}

/* Merged over the threads of a block that have the same lane, of warp after warp. */
template <class Fold> DEVICE typename Fold::Value column_fold(typename Fold::Value value, unsigned char *memory) {
  typedef typename Fold::Value Value;
  Value *const shares = (Value *)memory;
  shares[threadIdx.x] = value;
  __syncthreads();
  value = shares[threadIdx.x % 32];
  for (int warp = 1; warp < 8; warp++) value = Fold::merge(value, shares[32 * warp + threadIdx.x % 32]);
  __syncthreads();
  return value;
}

/* ---- sorting: NaN behind all numbers ---- */

DEVICE bool sorts_before(float a, float b) { return a < b || (a == a && b != b); }
DEVICE bool sorts_before(int a, int b) { return a < b; }
DEVICE bool sorts_before(bool a, bool b) { return a < b; }

/* ---- tiles in shared memory ---- */

struct __align__(16) Four {
  float x, y, z, w;
};
DEVICE void fetch_16(float *to, const float *from) {
  const Four four = *(const Four *)from;
  to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
}
DEVICE void put_16(float *to, const float *from) { *(Four *)to = Four{from[0], from[1], from[2], from[3]}; }

#ifndef SHIM
/* From memory of the device to shared memory, past the registers; zeros where it is not inside. A group of copies, closed by
 * copies_commit, has arrived for its own thread after copies_wait<the number of later groups>. */
DEVICE void copy_4(float *to, const float *from, bool inside) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)),
               "l"(__cvta_generic_to_global(from)), "r"(inside ? 4 : 0)
               : "memory");
}
DEVICE void copy_16(float *to, const float *from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)),
               "l"(__cvta_generic_to_global(from)), "r"(inside ? 16 : 0)
               : "memory");
}
DEVICE void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int pending> DEVICE void copies_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory"); }

/* The same number, of which the compiler does not know that. */
DEVICE int anew(int a) {
  asm volatile("" : "+r"(a));
  return a;
}

/* Tensor cores: a warp multiplies 16 rows by 8 columns; of its sums each lane has four. */
DEVICE unsigned tf32_of(float a) {
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(a));
  return rounded;
}
DEVICE unsigned bf16_pair(float low, float high) {
  unsigned pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
DEVICE void multiply_tf32(float *sum, const unsigned *a, const unsigned *b) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
DEVICE void multiply_bf16(float *sum, const unsigned *a, const unsigned *b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* All blocks of the grid, which must all run at the same time, wait for each other. What they add makes 2^31, so the last
 * one to come flips the uppermost bit and leaves the others 0, as they were: the counter serves again. */
static __device__ __noinline__ void grid_barrier(unsigned *counter) {
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    const unsigned before = atomicAdd(counter, blockIdx.x == 0 ? 0x80000000u - (gridDim.x - 1) : 1u);
    while (((before ^ *(volatile unsigned *)counter) & 0x80000000u) == 0) continue;
    __threadfence();
  }
  __syncthreads();
}
#endif

/* ---- an entry at once ---- */

/* This block's first task, where the blocks before have `tasks` of another kernel to do. */
DEVICE int block_behind(unsigned tasks) { return (blockIdx.x + gridDim.x - tasks % gridDim.x) % gridDim.x; }
