/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Segments of an image, handed to a bounded pool of workers in batches.
 *
 * Buffers belong to nobody while idle: a worker takes one from a stack for the
 * length of a batch, and makes one when the stack is empty, which happens at
 * most once for each worker.
 *
 * Turns: the pool takes batches in the order they were queued, so the oldest
 * one that is not done is always with a worker, and those that wait for it get
 * on. Once a batch has failed nobody waits any more.
 */
#include "copy/runner.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/pool.h"
#include "core/core.h"

#define BATCH_BYTES	PLT_CHUNK_MAX
#define DEFAULT_WORKERS	16u	/* most, as <platter/job.h> says */
#define BUFFER_ALIGN	4096u	/* enough for any O_DIRECT */
#define PROGRESS_NS	20000000	/* between two reports */

struct batch {
	struct plt_runner *run;
	uint64_t number;	/* counted from 0 */
	unsigned int stage;	/* the next to take its turn in */
	size_t nr;
	uint64_t bytes;		/* to be moved */
	uint64_t length;	/* of the segments */
	struct plt_segment segs[PLT_BATCH_SEGMENTS];
};

struct plt_runner {
	struct plt_pool *pool;
	int (*work)(void *arg, const struct plt_segment *segs, size_t nr,
		    void *buf, struct platter_error *err);
	void *arg;
	size_t buffer;
	struct batch *batch;		/* being filled, or NULL */
	uint64_t batches;		/* made so far */
	unsigned int stages;		/* in order; constant once it runs */
	int64_t reported_ns;
	_Atomic bool stop;
	_Atomic uint64_t done;
	pthread_mutex_t lock;		/* guards all below */
	void **idle;			/* buffers; room for every worker's */
	size_t nr_idle;
	uint64_t turn[PLT_RUNNER_STAGES];	/* the batch whose turn it is */
	pthread_cond_t turned;		/* `turn` or `stop` has changed */
	struct platter_error failed;	/* why it stopped */
};

static void *take_buffer(struct plt_runner *run, struct platter_error *err)
{
	PLT_LOCK_SCOPE(&run->lock);

	if (run->nr_idle)
		return run->idle[--run->nr_idle];
	return plt_memalign(BUFFER_ALIGN, run->buffer, err);
}

static void give_buffer(struct plt_runner *run, void *buf)
{
	PLT_LOCK_SCOPE(&run->lock);

	run->idle[run->nr_idle++] = buf;
}

/* ---- turns ---- */

static struct batch *batch_of(const struct plt_segment *segs)
{
	return (struct batch *)((char *)(uintptr_t)segs -
				offsetof(struct batch, segs));
}

void plt_runner_order(struct plt_runner *run, unsigned int stages)
{
	run->stages = PLT_MIN(stages, (unsigned int)PLT_RUNNER_STAGES);
}

static int begin_turn(struct plt_runner *run, const struct batch *batch,
		      unsigned int stage)
{
	PLT_LOCK_SCOPE(&run->lock);

	while (run->turn[stage] != batch->number && !run->stop)
		pthread_cond_wait(&run->turned, &run->lock);
	return run->stop ? -ECANCELED : 0;
}

static void end_turn(struct plt_runner *run, struct batch *batch,
		     unsigned int stage)
{
	PLT_LOCK_SCOPE(&run->lock);

	run->turn[stage]++;
	batch->stage = stage + 1;
	pthread_cond_broadcast(&run->turned);
}

int plt_runner_begin_turn(struct plt_runner *run,
			  const struct plt_segment *segs, unsigned int stage)
{
	return begin_turn(run, batch_of(segs), stage);
}

void plt_runner_end_turn(struct plt_runner *run,
			 const struct plt_segment *segs, unsigned int stage)
{
	end_turn(run, batch_of(segs), stage);
}

/* The turns that the worker had no use for. */
static void pass_turns(struct plt_runner *run, struct batch *batch)
{
	while (batch->stage < run->stages) {
		unsigned int stage = batch->stage;

		if (begin_turn(run, batch, stage))
			return;
		end_turn(run, batch, stage);
	}
}

/* The pool drops the other batches; this ends those under way. */
static void stop(struct plt_runner *run)
{
	PLT_LOCK_SCOPE(&run->lock);

	run->stop = true;
	pthread_cond_broadcast(&run->turned);
}

/*
 * A batch has failed. Those that end because another one did may be the first
 * to tell the pool: every one of them gives the reason of the first.
 */
static int fail(struct plt_runner *run, int rc, struct platter_error *err)
{
	PLT_LOCK_SCOPE(&run->lock);

	if (!run->failed.code)
		plt_err_set(&run->failed, rc, "%s", err->msg);
	run->stop = true;
	pthread_cond_broadcast(&run->turned);
	return plt_err_set(err, run->failed.code, "%s", run->failed.msg);
}

/* ---- batches ---- */

static int run_batch(void *arg, struct platter_error *err)
{
	plt_auto_free struct batch *batch = arg;
	struct plt_runner *run = batch->run;
	void *buf = take_buffer(run, err);
	int rc;

	if (!buf)
		return fail(run, -ENOMEM, err);
	rc = run->work(run->arg, batch->segs, batch->nr, buf, err);
	run->done += batch->length;
	if (!rc)
		pass_turns(run, batch);
	give_buffer(run, buf);
	return rc ? fail(run, rc, err) : 0;
}

int plt_runner_new(struct plt_runner **out, unsigned int workers,
		   size_t buffer,
		   int (*work)(void *arg, const struct plt_segment *segs,
			       size_t nr, void *buf,
			       struct platter_error *err),
		   void *arg, struct platter_error *err)
{
	struct plt_runner *run = plt_calloc(1, sizeof(*run), err);
	int rc;

	if (!run)
		return -ENOMEM;
	pthread_mutex_init(&run->lock, NULL);
	pthread_cond_init(&run->turned, NULL);
	run->work = work;
	run->arg = arg;
	run->buffer = buffer;
	if (!workers)
		workers = PLT_MIN(plt_processors(), DEFAULT_WORKERS);
	/* One in line for each keeps them busy while the map is read. */
	rc = plt_pool_new(&run->pool, workers, workers, free, err);
	if (!rc) {
		run->idle = plt_calloc(plt_pool_workers(run->pool),
				       sizeof(*run->idle), err);
		rc = run->idle ? 0 : -ENOMEM;
	}
	if (rc) {
		plt_runner_free(run);
		return rc;
	}
	*out = run;
	return 0;
}

static int submit(struct plt_runner *run, struct platter_error *err)
{
	int rc;

	if (!run->batch)
		return 0;
	rc = plt_pool_submit(run->pool, run_batch, plt_steal(run->batch));
	/* It came without a message; waiting brings that. */
	return rc ? plt_pool_wait(run->pool, err) : 0;
}

static int new_batch(struct plt_runner *run, struct platter_error *err)
{
	struct batch *batch = malloc(sizeof(*batch));

	if (!batch)
		return plt_err_nomem(err, sizeof(*batch));
	batch->run = run;
	batch->number = run->batches++;
	batch->stage = 0;
	batch->nr = 0;
	batch->bytes = 0;
	batch->length = 0;
	run->batch = batch;
	return 0;
}

int plt_runner_add(struct plt_runner *run, const struct plt_segment *seg,
		   uint64_t bytes, struct platter_error *err)
{
	struct batch *batch = run->batch;
	int rc = 0;

	if (batch && (batch->nr == PLT_BATCH_SEGMENTS ||
		      batch->bytes + bytes > BATCH_BYTES))
		rc = submit(run, err);
	if (!rc && !run->batch)
		rc = new_batch(run, err);
	if (rc)
		return rc;
	batch = run->batch;
	batch->segs[batch->nr++] = *seg;
	batch->bytes += bytes;
	batch->length += seg->length;
	return 0;
}

int plt_runner_finish(struct plt_runner *run, struct platter_error *err)
{
	int rc = submit(run, err);

	return rc ? rc : plt_pool_wait(run->pool, err);
}

void plt_runner_free(struct plt_runner *run)
{
	if (!run)
		return;
	stop(run);
	plt_pool_free(run->pool);
	for (size_t i = 0; i < run->nr_idle; i++)
		free(run->idle[i]);
	free(run->idle);
	free(run->batch);
	pthread_cond_destroy(&run->turned);
	pthread_mutex_destroy(&run->lock);
	free(run);
}

bool plt_runner_stopped(const struct plt_runner *run)
{
	return run->stop;
}

uint64_t plt_runner_done(const struct plt_runner *run)
{
	return run->done;
}

int plt_runner_report(struct plt_runner *run,
		      struct platter_progress *progress, uint64_t skipped,
		      uint64_t total, struct platter_error *err)
{
	struct timespec ts;
	int64_t now;

	if (!progress)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	if (now - run->reported_ns < PROGRESS_NS)
		return 0;
	run->reported_ns = now;
	return plt_progress(progress, skipped + run->done, total, err);
}
