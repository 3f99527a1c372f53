/* The threads of a block as fibres of one thread: each runs until it meets a barrier or a shuffle, then the next does. So
 * what threads do to each other's memory without a barrier between them hangs on the order, which is why each launch is run
 * in two orders. Shared memory holds NaN when a block begins. Blocks run one after another; those that wait for each other
 * in turns, from barrier to barrier of the grid, each with a copy of its shared memory meanwhile. */
#include "shim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { MAX_THREADS = 1024, STACK = 128 << 10, WARP = 32 };

typedef enum Waits { RUNS, AT_BARRIER, AT_EXCHANGE, AT_GRID, AT_YIELD, ENDED } Waits;
typedef struct Fibre {
  jmp_buf place;
  Waits waits;
  unsigned given, taken;
  int distance;
} Fibre;

static struct {
  Shim shim;
  jmp_buf scheduler;
  ucontext_t start;
  Fibre *fibre; /* of this block */
  char **stack;
  Fibre fibres[SHIM_TOGETHER * MAX_THREADS];
  char *stacks[SHIM_TOGETHER * MAX_THREADS];
  unsigned now, threads;
  const ShimKernel *kernel;
  void **arguments;
} run;

void shim_die(const char *format, ...) {
  va_list list;
  va_start(list, format);
  fprintf(stderr, "shim: ");
  vfprintf(stderr, format, list);
  fprintf(stderr, "\n");
  va_end(list);
  fflush(NULL);
  abort();
}

/* ---- fibres: each is a loop over the threads that it is given, one a block ---- */

static void leave(Waits why) {
  Fibre *own = &run.fibre[run.now];
  own->waits = why;
  if (_setjmp(own->place) == 0) _longjmp(run.scheduler, 1);
}

static void fibre_main(void) {
  for (;;) {
    run.kernel->call(run.arguments);
    leave(ENDED);
  }
}

static void barrier(void) { leave(AT_BARRIER); }
static void grid_barrier(void) { leave(AT_GRID); }
static void yield(void) { leave(AT_YIELD); }

static unsigned exchange(unsigned value, int distance) {
  Fibre *own = &run.fibre[run.now];
  own->given = value;
  own->distance = distance;
  leave(AT_EXCHANGE);
  return own->taken;
}

static void go_on(unsigned thread) {
  run.now = thread;
  run.shim.thread.x = thread;
  run.fibre[thread].waits = RUNS;
  if (_setjmp(run.scheduler) != 0) return;
  if (run.stack[thread]) _longjmp(run.fibre[thread].place, 1);
  ucontext_t here, there;
  getcontext(&there);
  run.stack[thread] = malloc(STACK);
  if (!run.stack[thread]) shim_die("out of memory");
  there.uc_stack.ss_sp = run.stack[thread];
  there.uc_stack.ss_size = STACK;
  there.uc_link = NULL;
  makecontext(&there, fibre_main, 0);
  swapcontext(&here, &there);
}

/* ---- a block ---- */

/* Those of a warp that all wait for each other's values get them. */
static int settle_warp(unsigned first) {
  int distance = run.fibre[first].distance;
  for (unsigned t = first; t < first + WARP; t++) {
    if (run.fibre[t].waits != AT_EXCHANGE) return 0;
    if (run.fibre[t].distance != distance) shim_die("a warp's lanes are at different shuffles");
  }
  for (unsigned t = first; t < first + WARP; t++) run.fibre[t].taken = run.fibre[t ^ (unsigned)distance].given;
  return 1;
}

static unsigned count_waiting(Waits why) {
  unsigned count = 0;
  for (unsigned t = 0; t < run.threads; t++) count += run.fibre[t].waits == why;
  return count;
}

static void go_on_all(unsigned first, unsigned count, int backwards) {
  for (unsigned k = 0; k < count; k++) go_on(backwards ? first + count - 1 - k : first + k);
}

/* Those that wait for what others do look again; whether one of them found it. */
static int look_again(int backwards) {
  int found = 0;
  for (unsigned k = 0; k < run.threads; k++) {
    unsigned thread = backwards ? run.threads - 1 - k : k;
    if (run.fibre[thread].waits != AT_YIELD) continue;
    go_on(thread);
    found |= run.fibre[thread].waits != AT_YIELD;
  }
  return found;
}

/* Until all threads have ended or wait for other blocks; gives which. */
static Waits run_block(int backwards) {
  go_on_all(0, run.threads, backwards);
  for (;;) {
    int moved = 0;
    unsigned ended = count_waiting(ENDED);
    if (ended == run.threads) return ENDED;
    if (count_waiting(AT_GRID) == run.threads) return AT_GRID;
    if (count_waiting(AT_BARRIER) == run.threads) {
      go_on_all(0, run.threads, backwards);
      continue;
    }
    for (unsigned k = 0; k < run.threads / WARP; k++) {
      unsigned warp = backwards ? run.threads / WARP - 1 - k : k;
      if (!settle_warp(warp * WARP)) continue;
      go_on_all(warp * WARP, WARP, backwards);
      moved = 1;
    }
    if (!moved && !look_again(backwards))
      shim_die(
          "of %u threads %u are at a barrier, %u at a shuffle, %u at a barrier of the grid, %u at one in memory, %u have "
          "ended: they wait for ever",
          run.threads, count_waiting(AT_BARRIER), count_waiting(AT_EXCHANGE), count_waiting(AT_GRID),
          count_waiting(AT_YIELD), ended);
  }
}

static void begin(const ShimKernel *kernel, void **arguments, unsigned blocks, unsigned threads, int backwards) {
  if (threads > MAX_THREADS || threads % WARP != 0) shim_die("blocks of %u threads", threads);
  run.shim = (Shim){.block_size = {threads, 1, 1},
                    .grid = {blocks, 1, 1},
                    .barrier = barrier,
                    .exchange = exchange,
                    .grid_barrier = grid_barrier,
                    .yield = yield,
                    .die = shim_die,
                    .backwards = backwards};
  run.kernel = kernel;
  run.arguments = arguments;
  run.threads = threads;
  run.fibre = run.fibres;
  run.stack = run.stacks;
}

void shim_run(const ShimKernel *kernel, void **arguments, unsigned blocks, unsigned threads, unsigned shared_bytes,
              int backwards) {
  begin(kernel, arguments, blocks, threads, backwards);
  for (unsigned k = 0; k < blocks; k++) {
    unsigned char *shared = kernel->begin(&run.shim);
    memset(shared, 0xFF, shared_bytes);
    run.shim.block.x = backwards ? blocks - 1 - k : k;
    if (run_block(backwards) == AT_GRID) shim_die("a barrier of the grid in a launch that is not together");
  }
}

void shim_run_together(const ShimKernel *kernel, void **arguments, unsigned blocks, unsigned threads, unsigned shared_bytes,
                       int backwards) {
  unsigned char *memory = malloc((size_t)blocks * shared_bytes + 1);
  unsigned ended = 0;
  if (!memory || blocks > SHIM_TOGETHER) shim_die("%u blocks together", blocks);
  memset(memory, 0xFF, (size_t)blocks * shared_bytes);
  begin(kernel, arguments, blocks, threads, backwards);
  unsigned char *shared = kernel->begin(&run.shim);
  while (ended < blocks) {
    ended = 0;
    for (unsigned k = 0; k < blocks; k++) {
      unsigned block = run.shim.block.x = backwards ? blocks - 1 - k : k;
      run.fibre = &run.fibres[block * MAX_THREADS];
      run.stack = &run.stacks[block * MAX_THREADS];
      memcpy(shared, memory + (size_t)block * shared_bytes, shared_bytes);
      ended += run_block(backwards) == ENDED;
      memcpy(memory + (size_t)block * shared_bytes, shared, shared_bytes);
    }
    if (ended > 0 && ended < blocks)
      shim_die("of %u blocks %u have ended, the others wait for them for ever", blocks, ended);
  }
  free(memory);
}
