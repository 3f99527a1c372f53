
/* ---- warpgroups of Hopper (sm_90a): four warps that multiply together, one operand from shared memory ----
 *
 * Tiles come as f32 in lines of 32, eight chunks of 16 bytes, of which each goes to another place by the line's number, so that
 * a warp that reads down the lines meets all banks: what the GPU calls a swizzle of 128 bytes. */

struct __align__(64) TensorMap {
  unsigned long long words[16];
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define WARPGROUPS

/* A line is a row (column), or a fold of 32 rows (columns). */
DEVICE int fold_line(int own, int fold) { return own * 32 + ((fold / 4 ^ own % 8) * 4 + fold % 4); }
DEVICE int own_line(int own, int fold) { return own / 32 * 1024 + fold_line(fold, own % 32); }

#ifndef SHIM
DEVICE unsigned shared_address(const void *at) { return (unsigned)__cvta_generic_to_shared(at); }

/* A barrier in shared memory: a phase of it ends when all arrivals that it counts are there and all bytes that are expected.
 * Copies that a thread began arrive with copies_arrive when they are done. */
DEVICE void barrier_begin(unsigned long long *barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
DEVICE void barrier_end(unsigned long long *barrier) {
  asm volatile("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(shared_address(barrier)) : "memory");
}
DEVICE void barrier_expect(unsigned long long *barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}
DEVICE void copies_arrive(unsigned long long *barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(barrier)) : "memory");
}
DEVICE void barrier_wait(unsigned long long *barrier, int parity) {
  unsigned done;
  do
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                 : "=r"(done)
                 : "r"(shared_address(barrier)), "r"(parity)
                 : "memory");
  while (!done);
}

/* A square of a tensor map, copied by the GPU itself: one thread asks for it. What is outside of the map is 0. */
DEVICE void map_copy(float *to, const TensorMap *map, unsigned long long *barrier, int i, int j) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::
                   "r"(shared_address(to)),
               "l"(map), "r"(shared_address(barrier)), "r"(i), "r"(j)
               : "memory");
}
DEVICE void map_copy(float *to, const TensorMap *map, unsigned long long *barrier, int i, int j, int k) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(
          shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(i), "r"(j), "r"(k)
      : "memory");
}
DEVICE void map_copy(float *to, const TensorMap *map, unsigned long long *barrier, int i, int j, int k, int l) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, "
               "%6}], [%2];" ::"r"(shared_address(to)),
               "l"(map), "r"(shared_address(barrier)), "r"(i), "r"(j), "r"(k), "r"(l)
               : "memory");
}

DEVICE void map_copy(float *to, const TensorMap *map, unsigned long long *barrier, int i, int j, int k, int l, int m) {
  asm volatile("cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, "
               "%6, %7}], [%2];" ::"r"(shared_address(to)),
               "l"(map), "r"(shared_address(barrier)), "r"(i), "r"(j), "r"(k), "r"(l), "r"(m)
               : "memory");
}

/* What a thread wrote to shared memory is there for the GPU's own copies and multiplications behind a barrier of threads. */
DEVICE void shared_fence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/* An operand in shared memory for warpgroup_multiply: lines of 128 bytes (swizzle 1) or 64 (swizzle 2). */
DEVICE unsigned long long operand_at(const void *at, int line_bytes, int swizzle) {
  return (unsigned long long)swizzle << 62 | (unsigned long long)(8 * line_bytes >> 4) << 32 | 1 << 16 |
         (shared_address(at) & 0x3ffff) >> 4;
}
DEVICE void warpgroup_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void warpgroup_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
DEVICE void warpgroup_wait() { asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory"); }

/* Registers that products read or write: all that is done to them before stays before, what comes behind behind. */
DEVICE void keep(unsigned &word) { asm volatile("" : "+r"(word)::"memory"); }
DEVICE void keep(float &number) { asm volatile("" : "+f"(number)::"memory"); }

/* 64 rows, whose factors are in registers as those of multiply_tf32 and multiply_bf16, by `columns` of an operand. */
#define SUMS_8(k)                                                                                                          \
  "+f"(sum[k]), "+f"(sum[k + 1]), "+f"(sum[k + 2]), "+f"(sum[k + 3]), "+f"(sum[k + 4]), "+f"(sum[k + 5]),                  \
      "+f"(sum[k + 6]), "+f"(sum[k + 7])
#define SUMS_16 SUMS_8(0)
#define SUMS_32 SUMS_16, SUMS_8(8)
#define SUMS_64 SUMS_32, SUMS_8(16), SUMS_8(24)
#define SUMS_128 SUMS_64, SUMS_8(32), SUMS_8(40), SUMS_8(48), SUMS_8(56)
#define NAMES_16 "%0, %1, %2, %3, %4, %5, %6, %7"
#define NAMES_32 NAMES_16 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define NAMES_64 NAMES_32 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NAMES_128                                                                                                          \
  NAMES_64 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, "    \
           "%53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define WARPGROUP_MULTIPLY(columns, factors)                                                                               \
  DEVICE void warpgroup_multiply_tf32_##columns(float *sum, const unsigned *a, unsigned long long b) {                     \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" #columns "k8.f32.tf32.tf32 {" NAMES_##columns "}, " factors            \
                 ", 1, 1, 1;"                                                                                              \
                 : SUMS_##columns                                                                                          \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                                    \
  }                                                                                                                        \
  DEVICE void warpgroup_multiply_bf16_##columns(float *sum, const unsigned *a, unsigned long long b) {                     \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32.bf16.bf16 {" NAMES_##columns "}, " factors           \
                 ", 1, 1, 1, 0;"                                                                                           \
                 : SUMS_##columns                                                                                          \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                                    \
  }
WARPGROUP_MULTIPLY(16, "{%8, %9, %10, %11}, %12")
WARPGROUP_MULTIPLY(32, "{%16, %17, %18, %19}, %20")
WARPGROUP_MULTIPLY(64, "{%32, %33, %34, %35}, %36")
WARPGROUP_MULTIPLY(128, "{%64, %65, %66, %67}, %68")
#endif

/* A chunk of an operand for warpgroup_multiply: four folds of tf32, or eight of bf16, of a column. */
struct __align__(16) Chunk {
  unsigned words[4];
};
DEVICE void put_tf32(unsigned char *operand, int own, int fold, const float *from) {
  Chunk chunk;
#pragma unroll
  for (int i = 0; i < 4; i++) chunk.words[i] = tf32_of(from[i]);
  *(Chunk *)(operand + 4 * fold_line(own, fold)) = chunk;
}
DEVICE void put_bf16(unsigned char *operand, int own, int fold, const float *from) {
  Chunk chunk;
#pragma unroll
  for (int i = 0; i < 4; i++) chunk.words[i] = bf16_pair(from[2 * i], from[2 * i + 1]);
  *(Chunk *)(operand + own * 64 + (fold / 8 ^ own / 2 % 4) * 16) = chunk;
}
#endif
