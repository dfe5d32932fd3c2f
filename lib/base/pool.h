/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bounded pool of worker threads.
 *
 * The queue holds at most `depth` tasks and submit blocks while it is full, so
 * memory is bounded by the pool. After the first failing task the rest are
 * dropped (their `arg` goes to `drop`), and wait returns that first error.
 */
#ifndef PLT_BASE_POOL_H
#define PLT_BASE_POOL_H

#include <platter/error.h>

struct plt_pool;

/* `workers` 0 = one per processor this process may use, at most 16. */
int plt_pool_new(struct plt_pool **out, unsigned int workers,
		 unsigned int depth, void (*drop)(void *arg),
		 struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Run fn(arg) on a worker. Returns the first error so far, without a message,
 * so a producer can stop early; `arg` has then been dropped.
 */
int plt_pool_submit(struct plt_pool *pool,
		    int (*fn)(void *arg, struct platter_error *err), void *arg)
	PLATTER_MUST_CHECK;
/* Wait for the queue to drain. 0, or the first error with its message. */
int plt_pool_wait(struct plt_pool *pool, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Drop what is queued, join the workers. NULL is ok. */
void plt_pool_free(struct plt_pool *pool);

unsigned int plt_pool_workers(const struct plt_pool *pool);
unsigned int plt_processors(void);	/* at least 1 */

#endif
