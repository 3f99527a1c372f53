/* A probe of independent multiply-adds in registers: enough of them that each pipe always has one to begin (latency 4, two
 * pipes: 8; more do no harm up to the registers there are). All workers run it at once, since clocks fall under load. Of
 * many short attempts the best counts: where processors are shared, a long one is never alone. */
#include "command/peak.h"

#include "command/progress.h"
#include "runtime/pool.h"

#include <stdint.h>

enum { TURNS = 300000, ATTEMPTS = 80, CHAINS = 12 }; /* an attempt takes about a millisecond */

#define ALL_CHAINS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

static volatile float sink; /* so that no chain can be left out */

#if defined(__x86_64__)
#include <immintrin.h>

#define BEGIN512(k) __m512 sum##k = _mm512_set1_ps((float)k);
#define STEP512(k) sum##k = _mm512_fmadd_ps(factor, sum##k, addend);
#define TOTAL512(k) total = _mm512_add_ps(total, sum##k);
__attribute__((target("avx512f"))) static void chains_512(void) {
  __m512 factor = _mm512_set1_ps(0.5f), addend = _mm512_set1_ps(0.25f), total = _mm512_setzero_ps();
  ALL_CHAINS(BEGIN512)
  for (int turn = 0; turn < TURNS; turn++) {
    ALL_CHAINS(STEP512)
    __asm__ volatile("" : "+v"(factor)); /* keeps turns from being joined */
  }
  ALL_CHAINS(TOTAL512)
  sink = _mm512_cvtss_f32(total);
}

#define BEGIN256(k) __m256 sum##k = _mm256_set1_ps((float)k);
#define STEP256(k) sum##k = _mm256_fmadd_ps(factor, sum##k, addend);
#define TOTAL256(k) total = _mm256_add_ps(total, sum##k);
__attribute__((target("avx2,fma"))) static void chains_256(void) {
  __m256 factor = _mm256_set1_ps(0.5f), addend = _mm256_set1_ps(0.25f), total = _mm256_setzero_ps();
  ALL_CHAINS(BEGIN256)
  for (int turn = 0; turn < TURNS; turn++) {
    ALL_CHAINS(STEP256)
    __asm__ volatile("" : "+x"(factor));
  }
  ALL_CHAINS(TOTAL256)
  sink = _mm256_cvtss_f32(total);
}

static void (*choose_chains(int *lanes))(void) {
  __builtin_cpu_init();
  *lanes = __builtin_cpu_supports("avx512f") ? 16 : 8;
  if (*lanes == 16) return chains_512;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? chains_256 : 0;
}
#elif defined(__aarch64__)
#include <arm_neon.h>

#define BEGIN128(k) float32x4_t sum##k = vdupq_n_f32((float)k);
#define STEP128(k) sum##k = vfmaq_f32(addend, factor, sum##k);
#define TOTAL128(k) total = vaddq_f32(total, sum##k);
static void chains_128(void) {
  float32x4_t factor = vdupq_n_f32(0.5f), addend = vdupq_n_f32(0.25f), total = vdupq_n_f32(0);
  ALL_CHAINS(BEGIN128)
  for (int turn = 0; turn < TURNS; turn++) {
    ALL_CHAINS(STEP128)
    __asm__ volatile("" : "+w"(factor));
  }
  ALL_CHAINS(TOTAL128)
  sink = vgetq_lane_f32(total, 0);
}
static void (*choose_chains(int *lanes))(void) {
  *lanes = 4;
  return chains_128;
}
#else
static void (*choose_chains(int *lanes))(void) {
  *lanes = 0;
  return 0;
}
#endif

typedef struct Probe {
  void (*chains)(void);
} Probe;

static void probe_body(void *arg, int64_t index, int worker) {
  (void)index, (void)worker;
  ((Probe *)arg)->chains();
}

double measure_peak(int threads) {
  int lanes;
  Probe probe = {choose_chains(&lanes)};
  if (!probe.chains) return 0;
  nn_pool *pool = nn_pool_new(threads);
  int workers = pool ? nn_pool_workers(pool) : 1;
  double best = 0, flops = 2.0 * CHAINS * TURNS * lanes * workers;
  for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
    double start = seconds_now();
    nn_pool_parallel_for(pool, workers, probe_body, &probe);
    double rate = flops / MAX(seconds_now() - start, 1e-9);
    best = MAX(best, rate);
  }
  nn_pool_free(pool);
  return best;
}
