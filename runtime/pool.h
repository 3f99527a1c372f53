/* A small pool of threads for programs that call compiled models, to be plugged into an nn_run:
 *
 *     nn_pool *pool = nn_pool_new(0);
 *     nn_run run = {nn_pool_parallel_for, pool, nn_pool_workers(pool), NULL, NULL};
 *     lenet_train(&run, state, scratch, ...);
 *     nn_pool_free(pool);
 *
 * The caller's thread works too and is worker 0. There are no globals: a program may have several pools. A pool that is
 * used from several threads serves them one after another. A body that uses its own pool again gets a plain loop on its own
 * thread, under its own worker number. After fork() the child has no threads of the pool: there it is a plain loop on the
 * caller's thread, and nn_pool_free only gives the memory back. Signals are left to the program's own threads. The pool's
 * threads run on those processors that its maker may use, but not on the one on which a caller has woken them. C99. */
#ifndef NN_POOL_H
#define NN_POOL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nn_pool nn_pool;

/* `threads` counts the caller; 0 or less takes as many as the process may use processors. NULL if there is no memory.
 * Where the system refuses a thread, there are fewer: ask nn_pool_workers. */
nn_pool *nn_pool_new(int threads);
void nn_pool_free(nn_pool *pool); /* NULL is fine; not while the pool is in use */
int nn_pool_workers(const nn_pool *pool);

/* Binds each worker to a processor of its own among those that the process may use, the calling thread as worker 0; for
 * machines that do nothing else. 0, with nothing or a part done, where there are fewer processors than workers or the system
 * refuses. */
int nn_pool_pin(nn_pool *pool);

/* Calls body(arg, index, worker) once for each index from 0 to count - 1, and returns when all are done; what bodies wrote
 * is then seen by the caller. `pool` is an nn_pool; NULL is a plain loop. */
void nn_pool_parallel_for(void *pool, int64_t count, void (*body)(void *arg, int64_t index, int worker), void *arg);

#ifdef __cplusplus
}
#endif
#endif
