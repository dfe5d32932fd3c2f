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

#include <stddef.h>
#include <stdint.h>

#include <platter/image.h>

/* Longest segment whose bytes pass through a buffer. */
#define PLT_CHUNK_MAX	(1u << 20)

struct plt_segment {
	uint64_t offset;	/* guest bytes */
	uint64_t length;	/* > 0 */
	unsigned int kind;	/* the user's */
	uint64_t host_offset;	/* the user's: as in struct platter_extent */
	struct platter_image *file;
};

struct plt_runner;

/*
 * `work` runs on a worker, with `arg` and a buffer of `buffer` bytes, aligned
 * for O_DIRECT, that is the worker's own for the time. `workers` 0 = one per
 * processor.
 */
int plt_runner_new(struct plt_runner **out, unsigned int workers,
		   size_t buffer,
		   int (*work)(void *arg, const struct plt_segment *seg,
			       void *buf, struct platter_error *err),
		   void *arg, struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Queue a segment; `bytes` of it are read or written, and decide when a batch
 * is full. Once a worker has failed, returns that error with its message.
 */
int plt_runner_add(struct plt_runner *run, const struct plt_segment *seg,
		   uint64_t bytes, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Wait for everything queued. 0, or the first error with its message. */
int plt_runner_finish(struct plt_runner *run, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Drop what is queued; what a worker has begun ends after one segment. */
void plt_runner_free(struct plt_runner *run);	/* NULL is ok */

/* Guest bytes of the segments that are done. */
uint64_t plt_runner_done(const struct plt_runner *run);

#endif
