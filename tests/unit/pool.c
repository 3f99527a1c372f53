/* The pool runs every index once, under a worker number that no two threads share at a time, whatever is asked of it: few
 * indices, many jobs, callers on several threads, its own use from inside, and a fork. Run it under TSan too. */
#include "runtime/nn.h"
#include "runtime/pool.h"

#include <setjmp.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { MOST = 5000, WORKERS = 64 };

typedef struct Job {
  nn_pool *pool;
  atomic_int runs[MOST];    /* by index */
  atomic_int busy[WORKERS]; /* by worker */
  atomic_int clashes, wrong_worker;
  int inner; /* indices of the nested job; 0: none */
  atomic_int inner_runs, inner_elsewhere;
} Job;

static void inner_body(void *arg, int64_t index, int worker) {
  Job *job = arg;
  (void)index;
  atomic_fetch_add(&job->inner_runs, 1);
  /* The outer body of this worker holds the number: only the same thread may use it. */
  if (atomic_load(&job->busy[worker]) != 1) atomic_fetch_add(&job->inner_elsewhere, 1);
}

static void body(void *arg, int64_t index, int worker) {
  Job *job = arg;
  if (worker < 0 || worker >= nn_pool_workers(job->pool)) {
    atomic_fetch_add(&job->wrong_worker, 1);
    return;
  }
  if (atomic_fetch_add(&job->busy[worker], 1) != 0) atomic_fetch_add(&job->clashes, 1);
  atomic_fetch_add(&job->runs[index], 1);
  if (job->inner) nn_pool_parallel_for(job->pool, job->inner, inner_body, job);
  atomic_fetch_sub(&job->busy[worker], 1);
}

static void run_job(Job *job, int count) {
  nn_pool_parallel_for(job->pool, count, body, job);
  for (int i = 0; i < MOST; i++) assert_int_equal(atomic_exchange(&job->runs[i], 0), i < count);
  assert_int_equal(job->clashes, 0);
  assert_int_equal(job->wrong_worker, 0);
}

static void test_counts_and_threads(void **state) {
  (void)state;
  static Job job;
  static const int threads[] = {1, 2, 3, 8, 33}, counts[] = {0, 1, 2, 7, 32, 34, MOST};
  for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
    job.pool = nn_pool_new(threads[t]);
    assert_int_equal(nn_pool_workers(job.pool), threads[t]);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) run_job(&job, counts[c]);
    nn_pool_free(job.pool);
  }
  nn_pool *pool = nn_pool_new(0);
  assert_true(nn_pool_workers(pool) >= 1);
  nn_pool_free(pool);
  nn_pool_free(NULL);
}

static void test_no_pool_is_a_loop(void **state) {
  (void)state;
  static Job job;
  run_job(&job, 10);
  assert_int_equal(nn_pool_workers(NULL), 1);
}

/* What bodies write with no atomics is seen after the call, job after job. */
static void add_one(void *arg, int64_t index, int worker) {
  (void)worker;
  ((int64_t *)arg)[index]++;
}

static void test_many_short_jobs(void **state) {
  (void)state;
  for (int threads = 2; threads <= 6; threads += 4) {
    nn_pool *pool = nn_pool_new(threads);
    int64_t sums[8] = {0};
    for (int i = 0; i < 20000; i++) {
      nn_pool_parallel_for(pool, 1 + i % 8, add_one, sums);
      if (i % 1000 == 0) usleep(1000); /* long enough for the workers to sleep */
    }
    for (int i = 0; i < 8; i++) assert_int_equal(sums[i], 2500 * (8 - i));
    nn_pool_free(pool);
  }
}

static void test_nested_use(void **state) {
  (void)state;
  static Job job;
  job.pool = nn_pool_new(4);
  job.inner = 3;
  run_job(&job, 500);
  assert_int_equal(job.inner_runs, 1500);
  assert_int_equal(job.inner_elsewhere, 0);
  nn_pool_free(job.pool);
}

static void *call_from_thread(void *arg) {
  for (int i = 0; i < 200; i++) nn_pool_parallel_for(((Job *)arg)->pool, 1 + i % 20, body, arg);
  return NULL;
}

static void test_several_callers(void **state) {
  (void)state;
  static Job job;
  job.pool = nn_pool_new(3);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, call_from_thread, &job);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  assert_int_equal(job.clashes, 0);
  for (int i = 0; i < 20; i++) assert_int_equal(job.runs[i], 4 * (200 - 10 * i));
  nn_pool_free(job.pool);
}

static void test_fork(void **state) {
  (void)state;
  nn_pool *pool = nn_pool_new(3);
  int64_t sums[8] = {0};
  nn_pool_parallel_for(pool, 8, add_one, sums);
  pid_t child = fork();
  if (child == 0) {
    nn_pool_parallel_for(pool, 8, add_one, sums);
    nn_pool_free(pool);
    _exit(sums[7] == 2 ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  nn_pool_parallel_for(pool, 8, add_one, sums);
  assert_int_equal(sums[0], 2);
  nn_pool_free(pool);
}

/* The signature is the one that nn_run wants. */
static void note_processor(void *arg, int64_t index, int worker) {
  (void)index;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1) atomic_store(&((atomic_int *)arg)[worker], 1);
}

static void test_pinned(void **state) {
  (void)state;
  cpu_set_t before;
  assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
  assert_int_equal(nn_pool_pin(NULL), 0);
  nn_pool *many = nn_pool_new(CPU_COUNT(&before) + 1);
  assert_int_equal(nn_pool_pin(many), 0);
  nn_pool_free(many);
  nn_pool *pool = nn_pool_new(CPU_COUNT(&before));
  assert_int_equal(nn_pool_pin(pool), 1);
  atomic_int pinned[1024] = {0};
  for (int k = 0; k < 1000; k++) nn_pool_parallel_for(pool, 64, note_processor, pinned);
  assert_int_equal(atomic_load(&pinned[0]), 1);
  nn_pool_free(pool);
  assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void test_fits_nn_run(void **state) {
  (void)state;
  nn_pool *pool = nn_pool_new(2);
  nn_run run = {.parallel_for = nn_pool_parallel_for, .user = pool, .workers = nn_pool_workers(pool)};
  int64_t sums[8] = {0};
  run.parallel_for(run.user, 8, add_one, sums);
  for (int i = 0; i < 8; i++) assert_int_equal(sums[i], 1);
  nn_pool_free(pool);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_counts_and_threads),
      cmocka_unit_test(test_no_pool_is_a_loop),
      cmocka_unit_test(test_many_short_jobs),
      cmocka_unit_test(test_nested_use),
      cmocka_unit_test(test_several_callers),
      cmocka_unit_test(test_fork),
      cmocka_unit_test(test_pinned),
      cmocka_unit_test(test_fits_nn_run),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
