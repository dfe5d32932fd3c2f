/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Segments of an image, handed to a bounded pool of workers in batches.
 *
 * An image may be millions of 4 KiB pieces; waking a worker for each would
 * cost more than the work. A batch is up to 1 MiB or 256 segments, so memory
 * is bounded by the number of workers and never by the image.
 */
#ifndef PLT_COPY_RUNNER_H
#define PLT_COPY_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/image.h>

/* Most bytes that pass through a buffer at a time. */
#define PLT_CHUNK_MAX	(1u << 20)
#define PLT_BATCH_SEGMENTS 256u		/* most in a batch */

struct platter_progress;

struct plt_segment {
	uint64_t offset;	/* guest bytes */
	uint64_t length;	/* > 0 */
	unsigned int kind;	/* the user's */
	struct platter_image *file;	/* read from here, NULL = the image */
	uint64_t host_offset;
};

struct plt_runner;

/*
 * `work` runs on a worker, with `arg` and a batch of segments in the order they
 * were added. It has a buffer of `buffer` bytes, aligned for O_DIRECT, that is
 * the worker's own for the time. `workers` 0 = one per processor.
 */
int plt_runner_new(struct plt_runner **out, unsigned int workers,
		   size_t buffer,
		   int (*work)(void *arg, const struct plt_segment *segs,
			       size_t nr, void *buf,
			       struct platter_error *err),
		   void *arg, struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Queue a segment; `bytes` of it are read or written. A batch of more than one
 * segment has at most PLT_CHUNK_MAX of those. Once a worker has failed, returns
 * that error with its message.
 */
int plt_runner_add(struct plt_runner *run, const struct plt_segment *seg,
		   uint64_t bytes, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Wait for everything queued. 0, or the first error with its message. */
int plt_runner_finish(struct plt_runner *run, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Drop what is queued, wait for what a worker has begun. */
void plt_runner_free(struct plt_runner *run);	/* NULL is ok */

/*
 * Stages of a batch that are done in the order the batches were queued, while
 * the rest is done at the same time. Before the first segment; a worker then
 * takes its turn in each stage once, 0 first, or not at all.
 */
#define PLT_RUNNER_STAGES 2
void plt_runner_order(struct plt_runner *run, unsigned int stages);
/*
 * From within `work`: wait until every batch before this one is through that
 * stage. -ECANCELED, without a message, when one of them has failed.
 */
int plt_runner_begin_turn(struct plt_runner *run,
			  const struct plt_segment *segs, unsigned int stage)
	PLATTER_MUST_CHECK;
void plt_runner_end_turn(struct plt_runner *run,
			 const struct plt_segment *segs, unsigned int stage);

/* True when the rest of a batch need not be done: it has failed elsewhere. */
bool plt_runner_stopped(const struct plt_runner *run);
/* Guest bytes of the segments that are done. */
uint64_t plt_runner_done(const struct plt_runner *run);
/*
 * From the thread that adds: report those and `skipped` bytes of `total`, not
 * more often than anyone can see. -ECANCELED when the user stopped it.
 */
int plt_runner_report(struct plt_runner *run,
		      struct platter_progress *progress, uint64_t skipped,
		      uint64_t total, struct platter_error *err)
	PLATTER_MUST_CHECK;

#endif
