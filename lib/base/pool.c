// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A bounded pool of worker threads around one ring of tasks.
 *
 * One mutex guards the ring; three conditions say what changed about it. A
 * failed pool stays failed: workers keep taking tasks, but only to drop them,
 * so a producer blocked on a full ring always gets on. Tasks run and are
 * dropped without the mutex held. A task must not submit to its own pool: with
 * a full ring it would wait for itself.
 */
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"

#define DEFAULT_WORKERS	16	/* most, when the caller leaves it to us */
#define MAX_WORKERS	1024
#define MAX_CPUS	65536	/* over any kernel's limit (8192 on x86) */

struct task {
	int (*fn)(void *arg, struct platter_error *err);
	void *arg;
};

struct plt_pool {
	/* Set before the first worker starts, then only read. */
	void (*drop)(void *arg);
	unsigned int depth;		/* tasks in `ring` */
	struct task *ring;		/* its elements: `lock` */

	/* Only the thread that owns the pool. */
	pthread_t *threads;
	unsigned int workers;

	pthread_mutex_t lock;		/* guards all below */
	pthread_cond_t work;		/* queued > 0, or stop */
	pthread_cond_t room;		/* queued < depth, or failed */
	pthread_cond_t idle;		/* queued == 0 and running == 0 */
	unsigned int first;		/* oldest task in `ring` */
	unsigned int queued;
	unsigned int running;		/* taken, not finished */
	bool stop;
	int rc;				/* of the first failing task */
	struct platter_error error;	/* and its message */
};

unsigned int plt_processors(void)
{
	unsigned int n = 0;

	/* The set must be as large as the kernel's, which only trying tells. */
	for (int cpus = CPU_SETSIZE; cpus <= MAX_CPUS && !n; cpus *= 2) {
		cpu_set_t *set = CPU_ALLOC((size_t)cpus);
		size_t size = CPU_ALLOC_SIZE((size_t)cpus);

		if (!set)
			break;
		if (!sched_getaffinity(0, size, set))
			n = (unsigned int)CPU_COUNT_S(size, set);
		else if (errno != EINVAL)
			cpus = MAX_CPUS;
		CPU_FREE(set);
	}
	return n ? n : 1;
}

static void drop_arg(const struct plt_pool *pool, void *arg)
{
	if (pool->drop)
		pool->drop(arg);
}

/* Wait for a task and take it; false when the pool stops. Lock held. */
static bool take(struct plt_pool *pool, struct task *task)
{
	while (!pool->queued && !pool->stop)
		pthread_cond_wait(&pool->work, &pool->lock);
	if (!pool->queued)
		return false;
	*task = pool->ring[pool->first];
	pool->first = (pool->first + 1) % pool->depth;
	pool->queued--;
	pool->running++;
	pthread_cond_signal(&pool->room);
	return true;
}

static void *worker(void *arg)
{
	struct plt_pool *pool = arg;
	struct task task;

	pthread_mutex_lock(&pool->lock);
	while (take(pool, &task)) {
		bool skip = pool->rc || pool->stop;
		struct platter_error error = PLATTER_ERROR_INIT;
		int rc = 0;

		pthread_mutex_unlock(&pool->lock);
		if (skip)
			drop_arg(pool, task.arg);
		else
			rc = task.fn(task.arg, &error);
		pthread_mutex_lock(&pool->lock);

		if (rc < 0 && !pool->rc) {
			pool->rc = rc;
			pool->error = error;
			pthread_cond_broadcast(&pool->room);
		}
		pool->running--;
		if (!pool->queued && !pool->running)
			pthread_cond_broadcast(&pool->idle);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/*
 * Signals are for the thread that started the job, never for a worker; except
 * those a worker raises by its own fault, which a debugger wants to see.
 */
static void worker_signals(sigset_t *set)
{
	static const int faults[] = {
		SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT,
	};

	sigfillset(set);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(faults); i++)
		sigdelset(set, faults[i]);
}

static int start_workers(struct plt_pool *pool, unsigned int count,
			 struct platter_error *err)
{
	sigset_t masked;
	sigset_t old;
	int rc = 0;

	worker_signals(&masked);
	pthread_sigmask(SIG_SETMASK, &masked, &old);
	while (pool->workers < count) {
		rc = pthread_create(&pool->threads[pool->workers], NULL,
				    worker, pool);
		if (rc)
			break;
		pool->workers++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	/* Fewer than asked for still do the work. */
	if (!pool->workers)
		return plt_err_errno(err, -rc, "starting a worker thread");
	return 0;
}

int plt_pool_new(struct plt_pool **out, unsigned int workers,
		 unsigned int depth, void (*drop)(void *arg),
		 struct platter_error *err)
{
	struct plt_pool *pool;
	int rc;

	if (!workers)
		workers = PLT_MIN(plt_processors(), DEFAULT_WORKERS + 0u);
	if (workers > MAX_WORKERS)
		return plt_err_set(err, -EINVAL,
				   "%u workers are over the limit of %d",
				   workers, MAX_WORKERS);
	pool = plt_calloc(1, sizeof(*pool), err);
	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->room, NULL);
	pthread_cond_init(&pool->idle, NULL);
	pool->drop = drop;
	pool->depth = depth ? depth : 1;
	pool->ring = plt_calloc(pool->depth, sizeof(*pool->ring), err);
	pool->threads = plt_calloc(workers, sizeof(*pool->threads), err);
	rc = pool->ring && pool->threads ? start_workers(pool, workers, err) :
					   -ENOMEM;
	if (rc) {
		plt_pool_free(pool);
		return rc;
	}
	*out = pool;
	return 0;
}

int plt_pool_submit(struct plt_pool *pool,
		    int (*fn)(void *arg, struct platter_error *err), void *arg)
{
	int rc;

	pthread_mutex_lock(&pool->lock);
	while (pool->queued == pool->depth && !pool->rc)
		pthread_cond_wait(&pool->room, &pool->lock);
	rc = pool->rc;
	if (!rc) {
		unsigned int last = (pool->first + pool->queued) % pool->depth;

		pool->ring[last] = (struct task){ .fn = fn, .arg = arg };
		pool->queued++;
		pthread_cond_signal(&pool->work);
	}
	pthread_mutex_unlock(&pool->lock);
	if (rc)
		drop_arg(pool, arg);
	return rc;
}

int plt_pool_wait(struct plt_pool *pool, struct platter_error *err)
{
	PLT_LOCK_SCOPE(&pool->lock);

	while (pool->queued || pool->running)
		pthread_cond_wait(&pool->idle, &pool->lock);
	if (pool->rc && err)
		*err = pool->error;
	return pool->rc;
}

void plt_pool_free(struct plt_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned int i = 0; i < pool->workers; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->idle);
	pthread_cond_destroy(&pool->room);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool->threads);
	free(pool->ring);
	free(pool);
}

unsigned int plt_pool_workers(const struct plt_pool *pool)
{
	return pool->workers;
}
