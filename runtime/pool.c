/* The pool: each worker takes the indices of a part of its own from the front, and when these are gone, those of others
 * from the back, so that a slow worker takes fewer. Parts are cut alike in every job: what a worker wrote in one, rows of a
 * picture, it mostly reads in the next, where its cache holds them still. Between processors a line comes five to ten times
 * as slowly.
 *
 * One job is published at a time. A worker that sees a new generation steps inside (inside++), and only then looks whether
 * the job is still open; the caller closes the job when no index is left and waits until nobody is inside. Both do these
 * two steps in sequentially consistent order, so either the worker sees that the job is closed and touches nothing of it,
 * or the caller sees the worker and waits. Hence a worker that wakes late costs nothing: the caller does not wait for those
 * who have not come.
 *
 * Whoever waits spins for some microseconds first, since the next kernel of a net comes soon, and then sleeps. The sleeper
 * counts itself before it looks a last time, and the waker changes the state before it looks for sleepers, so no wake-up is
 * lost. If there are more workers than processors, nobody spins. */
#include "runtime/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum { SPINS = 4000, MAX_WORKERS = 1024, LINE = 64 };

typedef struct worker {
  _Alignas(LINE) _Atomic uint64_t
      part; /* indices that nobody has taken: the first, and in the upper half the one behind the last */
  nn_pool *pool;
  pthread_t thread;
  int number;
} worker;

struct nn_pool {
  /* The job; written by the caller while it is closed and nobody is inside. */
  void (*body)(void *arg, int64_t index, int worker);
  void *arg;
  int64_t first;                         /* of the round's indices; parts count from there */
  _Alignas(LINE) atomic_uint generation; /* counts jobs */
  atomic_bool open, stop;
  _Alignas(LINE) atomic_int inside; /* workers that may be reading the job */
  atomic_int sleepers;
  atomic_bool caller_sleeps;
  pthread_mutex_t turn; /* held by the caller for the length of a job; knows its holder */
  pthread_mutex_t lock; /* for the two conditions alone */
  pthread_cond_t work, finished;
  int workers, spins;
  pid_t process;
  cpu_set_t processors; /* those that may be used; none: not known, or too few */
  int kept_off;         /* the one that workers keep off, -1: none */
  bool pinned;
  worker worker[]; /* worker[0] is the caller's place and has no thread */
};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static uint64_t part_of(uint32_t begin, uint32_t end) { return (uint64_t)end << 32 | begin; }

/* The next index of a part, the last one for others than its owner; -1 if none is left. */
static int64_t take(worker *owner, bool own) {
  uint64_t part = atomic_load_explicit(&owner->part, memory_order_relaxed);
  for (;;) {
    uint32_t begin = (uint32_t)part, end = (uint32_t)(part >> 32);
    if (begin >= end) return -1;
    uint64_t rest = own ? part_of(begin + 1, end) : part_of(begin, end - 1);
    if (atomic_compare_exchange_weak_explicit(&owner->part, &part, rest, memory_order_relaxed, memory_order_relaxed))
      return own ? begin : end - 1;
  }
}

static void take_indices(nn_pool *pool, int number) {
  for (int k = 0; k < pool->workers; k++) {
    worker *owner = &pool->worker[(number + k) % pool->workers];
    for (int64_t index; (index = take(owner, k == 0)) >= 0;) pool->body(pool->arg, pool->first + index, number);
  }
}

static void cut_into_parts(nn_pool *pool, uint64_t count) {
  uint64_t workers = (uint64_t)pool->workers;
  for (uint64_t k = 0; k < workers; k++) {
    uint64_t part = part_of((uint32_t)(count * k / workers), (uint32_t)(count * (k + 1) / workers));
    atomic_store_explicit(&pool->worker[k].part, part, memory_order_relaxed);
  }
}

/* Returns when there is a job after the one of `seen`, or the pool ends. */
static unsigned wait_for_work(nn_pool *pool, unsigned seen) {
  unsigned generation;
  for (int i = 0; i < pool->spins; i++) {
    if ((generation = atomic_load(&pool->generation)) != seen) return generation;
    relax();
  }
  pthread_mutex_lock(&pool->lock);
  atomic_fetch_add(&pool->sleepers, 1);
  while ((generation = atomic_load(&pool->generation)) == seen) pthread_cond_wait(&pool->work, &pool->lock);
  atomic_fetch_sub(&pool->sleepers, 1);
  pthread_mutex_unlock(&pool->lock);
  return generation;
}

static void *work(void *argument) {
  worker *self = argument;
  nn_pool *pool = self->pool;
  for (unsigned seen = 0;;) {
    seen = wait_for_work(pool, seen);
    if (atomic_load(&pool->stop)) return NULL;
    atomic_fetch_add(&pool->inside, 1);
    if (atomic_load(&pool->open)) take_indices(pool, self->number);
    if (atomic_fetch_sub(&pool->inside, 1) == 1 && atomic_load(&pool->caller_sleeps)) {
      pthread_mutex_lock(&pool->lock);
      pthread_cond_signal(&pool->finished);
      pthread_mutex_unlock(&pool->lock);
    }
  }
}

static void allow_processors(nn_pool *pool, const cpu_set_t *set, int kept_off) {
  for (int i = 1; i < pool->workers; i++) pthread_setaffinity_np(pool->worker[i].thread, sizeof *set, set);
  pool->kept_off = kept_off;
}

/* A worker that wakes beside its caller, on the same processor, would wait for it until the system spreads them, which takes
 * milliseconds; so workers wake on others. */
static void keep_off_caller(nn_pool *pool) {
  int here = sched_getcpu();
  cpu_set_t others = pool->processors;
  if (here < 0 || here >= CPU_SETSIZE || here == pool->kept_off || !CPU_ISSET(here, &others)) return;
  CPU_CLR(here, &others);
  if (!pool->pinned && CPU_COUNT(&others) > 0) allow_processors(pool, &others, here);
}

/* The caller goes to sleep: one that waits behind another process may come here. */
static void leave_processor(nn_pool *pool) {
  if (pool->kept_off >= 0 && !pool->pinned) allow_processors(pool, &pool->processors, -1);
}

static void wait_until_outside(nn_pool *pool) {
  for (int i = 0; i < pool->spins; i++) {
    if (atomic_load(&pool->inside) == 0) return;
    relax();
  }
  leave_processor(pool);
  pthread_mutex_lock(&pool->lock);
  atomic_store(&pool->caller_sleeps, true);
  while (atomic_load(&pool->inside) != 0) pthread_cond_wait(&pool->finished, &pool->lock);
  atomic_store(&pool->caller_sleeps, false);
  pthread_mutex_unlock(&pool->lock);
}

static void wake(nn_pool *pool, int64_t wanted) {
  int sleepers = atomic_load(&pool->sleepers);
  if (sleepers == 0) return;
  keep_off_caller(pool);
  pthread_mutex_lock(&pool->lock);
  if (wanted >= sleepers)
    pthread_cond_broadcast(&pool->work);
  else
    for (int64_t i = 0; i < wanted; i++) pthread_cond_signal(&pool->work);
  pthread_mutex_unlock(&pool->lock);
}

/* The worker that this thread is, or 0: none, or the caller. */
static int own_number(const nn_pool *pool) {
  pthread_t self = pthread_self();
  for (int i = 1; i < pool->workers; i++)
    if (pthread_equal(pool->worker[i].thread, self)) return i;
  return 0;
}

static void plain_loop(int64_t count, void (*body)(void *arg, int64_t index, int worker), void *arg, int number) {
  for (int64_t index = 0; index < count; index++) body(arg, index, number);
}

/* The caller holds the turn. */
static void run_job(nn_pool *pool, int64_t first, int64_t count, void (*body)(void *arg, int64_t index, int worker),
                    void *arg) {
  pool->body = body;
  pool->arg = arg;
  pool->first = first;
  cut_into_parts(pool, (uint64_t)count);
  atomic_store(&pool->open, true);
  atomic_fetch_add(&pool->generation, 1);
  wake(pool, count - 1);
  take_indices(pool, 0);
  atomic_store(&pool->open, false);
  wait_until_outside(pool);
}

void nn_pool_parallel_for(void *user, int64_t count, void (*body)(void *arg, int64_t index, int worker), void *arg) {
  nn_pool *pool = user;
  if (!pool || pool->workers == 1 || pool->process != getpid()) {
    plain_loop(count, body, arg, 0);
    return;
  }
  int number = own_number(pool);
  if (number != 0) {
    plain_loop(count, body, arg, number);
    return;
  }
  /* The lock is taken for a single index too: another thread's job may be running, whose caller is worker 0 as well. */
  if (pthread_mutex_lock(&pool->turn) != 0) { /* EDEADLK: a body of our own job */
    plain_loop(count, body, arg, 0);
    return;
  }
  if (count <= 1) {
    plain_loop(count, body, arg, 0);
  } else {
    for (int64_t first = 0; first < count; first += INT32_MAX) /* parts hold numbers of 32 bits */
      run_job(pool, first, count - first < INT32_MAX ? count - first : INT32_MAX, body, arg);
  }
  pthread_mutex_unlock(&pool->turn);
}

static int processors(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (int)online : 1;
}

static void start_threads(nn_pool *pool, int threads) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (int i = 1; i < threads; i++) {
    pool->worker[i].pool = pool;
    pool->worker[i].number = i;
    if (pthread_create(&pool->worker[i].thread, NULL, work, &pool->worker[i]) != 0) break;
    pool->workers = i + 1;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

nn_pool *nn_pool_new(int threads) {
  int available = processors();
  if (threads <= 0) threads = available;
  if (threads > MAX_WORKERS) threads = MAX_WORKERS;
  size_t bytes = sizeof(nn_pool) + (size_t)threads * sizeof(worker);
  nn_pool *pool = aligned_alloc(LINE, (bytes + LINE - 1) / LINE * LINE);
  if (!pool) return NULL;
  *pool = (nn_pool){.workers = 1, .spins = threads > available ? 0 : SPINS, .process = getpid(), .kept_off = -1};
  if (threads > available || sched_getaffinity(0, sizeof pool->processors, &pool->processors) != 0)
    CPU_ZERO(&pool->processors);
  pthread_mutexattr_t checked;
  pthread_mutexattr_init(&checked);
  pthread_mutexattr_settype(&checked, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&pool->turn, &checked);
  pthread_mutexattr_destroy(&checked);
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->work, NULL);
  pthread_cond_init(&pool->finished, NULL);
  start_threads(pool, threads);
  return pool;
}

void nn_pool_free(nn_pool *pool) {
  if (!pool) return;
  if (pool->process == getpid()) {
    atomic_store(&pool->stop, true);
    atomic_fetch_add(&pool->generation, 1);
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 1; i < pool->workers; i++) pthread_join(pool->worker[i].thread, NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->turn);
  }
  free(pool);
}

int nn_pool_pin(nn_pool *pool) {
  cpu_set_t all, one;
  if (!pool || pool->process != getpid()) return 0;
  if (sched_getaffinity(0, sizeof all, &all) != 0 || pool->workers > CPU_COUNT(&all)) return 0;
  for (int i = 0, processor = 0; i < pool->workers; i++, processor++) {
    while (!CPU_ISSET(processor, &all)) processor++;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    pthread_t thread = i == 0 ? pthread_self() : pool->worker[i].thread;
    pool->pinned = true;
    if (pthread_setaffinity_np(thread, sizeof one, &one) != 0) return 0;
  }
  return 1;
}

int nn_pool_workers(const nn_pool *pool) { return pool ? pool->workers : 1; }
