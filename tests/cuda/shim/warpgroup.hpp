// What warpgroup.cu has for Hopper, by the same descriptors: barriers in shared memory, squares by tensor maps, products of
// warpgroups. What is asynchronous is done as late as a GPU might, when it is waited for, or, where threads run backwards, at
// once: so neither an operand that is overwritten too early nor a buffer that is filled too early goes unseen. What only a GPU
// can show: whether the fences between its own engines and the threads (shared_fence, warpgroup_begin) suffice.
#include <vector>

struct ShimMap {
  unsigned long long magic, array, sizes[5], strides[5];
  unsigned box[5], rank, unused[2];
};
struct ShimBarrier { int bytes; short pending, expected : 15; unsigned short phase : 1; };
static_assert(sizeof(ShimBarrier) == 8, "a barrier has 8 bytes");
// Copies that arrive at a barrier: a thread's, or a square of a map.
struct ShimArrival {
  unsigned long long *barrier;
  std::vector<ShimCopy> copies;
  float *to;
  ShimMap map;
  int at[5];
};
static std::vector<ShimArrival> shim_arrivals[4]; // by block, as copies
static inline std::vector<ShimArrival> &shim_own_arrivals() { return shim_arrivals[shim->block.x % 4]; }
static inline size_t shim_offset(const void *at) {
  const size_t offset = (const unsigned char *)at - shared;
  if (offset >= sizeof shared) shim->die("%p is not in shared memory", at);
  return offset;
}

static inline ShimBarrier *shim_barrier(unsigned long long *barrier) {
  ShimBarrier *own = (ShimBarrier *)barrier;
  if (shim_offset(barrier) % 8 != 0 || own->expected < 1) shim->die("a barrier in memory was not begun");
  return own;
}
static inline void shim_arrive(ShimBarrier *own, int arrivals, int bytes) {
  own->pending -= arrivals;
  own->bytes -= bytes;
  if (own->pending < 0 || own->bytes < 0) shim->die("a barrier in memory gets more than it expects");
  if (own->pending > 0 || own->bytes > 0) return;
  own->phase ^= 1;
  own->pending = own->expected;
}
static inline void barrier_begin(unsigned long long *barrier, int arrivals) {
  *(ShimBarrier *)barrier = {0, (short)arrivals, (short)arrivals, 0};
}
static inline void barrier_end(unsigned long long *barrier) {
  shim_barrier(barrier);
  for (const ShimArrival &arrival : shim_own_arrivals())
    if (arrival.barrier == barrier) shim->die("a barrier in memory ends while copies are under way");
  memset(barrier, 0, sizeof *barrier);
}
static inline void barrier_expect(unsigned long long *barrier, int bytes) {
  shim_barrier(barrier)->bytes += bytes;
  shim_arrive(shim_barrier(barrier), 1, 0);
}

// A line of 128 bytes goes to chunks of 16 whose numbers are crossed with the line's.
static inline void shim_do_square(const ShimArrival &own) {
  const ShimMap &map = own.map;
  size_t to = shim_offset(own.to), lines = 1;
  if (map.magic != 0x70616d74 || to % 128 != 0) shim->die("a square of no map, or to no line of shared memory");
  for (unsigned k = 1; k < map.rank; k++) lines *= map.box[k];
  for (size_t line = 0; line < lines; line++, to += 128) {
    size_t rest = line, from = map.array;
    bool inside = true;
    for (unsigned k = 1; k < map.rank; rest /= map.box[k++]) {
      const long long index = own.at[k] + (long long)(rest % map.box[k]);
      inside = inside && index >= 0 && index < (long long)map.sizes[k];
      from += (size_t)index * map.strides[k];
    }
    for (int k = 0; k < 32; k++) {
      const long long index = own.at[0] + (long long)k;
      const bool here = inside && index >= 0 && index < (long long)map.sizes[0];
      const size_t chunk = (k / 4 ^ to / 128 % 8) * 16 + k % 4 * 4;
      *(float *)(shared + to + chunk) = here ? *(const float *)(from + 4 * index) : 0;
    }
  }
  shim_arrive(shim_barrier(own.barrier), 0, (int)lines * 128);
}
static inline void shim_do_arrival(const ShimArrival &own) {
  if (own.to) return shim_do_square(own);
  for (const ShimCopy &copy : own.copies) shim_do(copy);
  shim_arrive(shim_barrier(own.barrier), 1, 0);
}
static inline void shim_later(const ShimArrival &own) {
  if (shim->backwards)
    shim_do_arrival(own);
  else
    shim_own_arrivals().push_back(own);
}
static inline void copies_arrive(unsigned long long *barrier) {
  ShimCopies *own = &shim_copies[shim_own()];
  const ShimCopy *const copies = shim_copy_of[shim_own()];
  const int first = own->groups > 0 ? own->end[own->groups - 1] : 0;
  shim_later({barrier, {copies + first, copies + own->copies}, NULL, {}, {}});
  own->copies = first;
}
template <class Map>
static inline void map_copy(float *to, const Map *map, unsigned long long *barrier, int i, int j, int k = 0, int l = 0,
                            int m = 0) {
  ShimArrival own = {barrier, {}, to, {}, {i, j, k, l, m}};
  static_assert(sizeof *map == sizeof own.map, "a tensor map has 128 bytes");
  memcpy(&own.map, map, sizeof own.map);
  shim_later(own);
}
static inline void barrier_wait(unsigned long long *barrier, int parity) {
  for (;;) {
    if (shim_barrier(barrier)->phase != parity) return;
    std::vector<ShimArrival> &all = shim_own_arrivals();
    bool any = false;
    for (size_t k = 0; k < all.size() && !any; k++) {
      if (all[k].barrier != barrier) continue;
      const ShimArrival own = all[k];
      all.erase(all.begin() + k);
      shim_do_arrival(own);
      any = true;
    }
    if (!any) shim->yield();
  }
}
static inline void shared_fence() {}

// ---- products ----

static inline unsigned long long operand_at(const void *at, int line_bytes, int swizzle) {
  return (unsigned long long)swizzle << 62 | (unsigned long long)(8 * line_bytes >> 4) << 32 | 1 << 16 | shim_offset(at) >> 4;
}
struct ShimProduct { float *sum; const unsigned *a; unsigned long long b; int columns, each; };
struct ShimProducts { std::vector<ShimProduct> open, closed; };
static ShimProducts shim_products[4 * 1024];
static inline ShimProducts *shim_own_products() { return &shim_products[shim->block.x % 4 * 1024 + shim->thread.x]; }

// Column by column of 128 or 64 bytes, eight of them in a group, in chunks whose numbers are crossed with the line's.
static inline float shim_operand(unsigned long long b, int column, int fold, int each) {
  const size_t kind = b >> 62, group = (b >> 32 & 0x3fff) << 4, line = group / 8;
  if (line != (kind == 1 ? 128u : 64u) || kind < 1 || kind > 2) shim->die("an operand's lines do not suit its swizzle");
  size_t at = ((b & 0x3fff) << 4) + column / 8 * group + column % 8 * line + fold * (each == 1 ? 4 : 2);
  at ^= (at >> 7 & (kind == 1 ? 7 : 3)) << 4;
  if (each == 1) return __int_as_float(*(const unsigned *)(shared + at) & ~0x1fffu);
  return __int_as_float((unsigned)*(const unsigned short *)(shared + at) << 16);
}
static inline void shim_do_product(const ShimProduct &own) {
  const unsigned lane = shim->thread.x % 32;
  ShimFactors *const warp = &shim_factors[shim->thread.x - lane];
  memcpy(warp[lane].a, own.a, sizeof warp->a);
  shim->exchange(0, 0); // all are there
  for (int j = 0; j < own.columns / 2; j++) {
    const int row = lane / 4 + j % 4 / 2 * 8, column = j / 4 * 8 + lane % 4 * 2 + j % 2;
    for (int fold = 0; fold < 8 * own.each; fold++)
      own.sum[j] += shim_factor(&warp[row % 8 * 4 + fold / own.each % 4].a[row / 8], 2, fold, own.each) *
                    shim_operand(own.b, column, fold, own.each);
  }
  shim->exchange(0, 0); // nobody reads them any more
}
static inline void shim_multiply_later(float *sum, const unsigned *a, unsigned long long b, int columns, int each) {
  if (shim->backwards)
    shim_do_product({sum, a, b, columns, each});
  else
    shim_own_products()->open.push_back({sum, a, b, columns, each});
}
#define SHIM_WARPGROUP_MULTIPLY(columns)                                                                                   \
  static inline void warpgroup_multiply_tf32_##columns(float *sum, const unsigned *a, unsigned long long b) {              \
    shim_multiply_later(sum, a, b, columns, 1);                                                                            \
  }                                                                                                                        \
  static inline void warpgroup_multiply_bf16_##columns(float *sum, const unsigned *a, unsigned long long b) {              \
    shim_multiply_later(sum, a, b, columns, 2);                                                                            \
  }
SHIM_WARPGROUP_MULTIPLY(16)
SHIM_WARPGROUP_MULTIPLY(32)
SHIM_WARPGROUP_MULTIPLY(64)
SHIM_WARPGROUP_MULTIPLY(128)
template <class T> static inline void keep(T &) {}
static inline void warpgroup_begin() {}
static inline void warpgroup_commit() {
  ShimProducts *own = shim_own_products();
  own->closed.insert(own->closed.end(), own->open.begin(), own->open.end());
  own->open.clear();
}
static inline void warpgroup_wait() {
  std::vector<ShimProduct> done;
  std::swap(done, shim_own_products()->closed);
  for (const ShimProduct &own : done) shim_do_product(own);
}

static inline void shim_begin_warpgroups() {
  for (std::vector<ShimArrival> &all : shim_arrivals) all.clear();
  for (ShimProducts &all : shim_products) all = ShimProducts();
}
