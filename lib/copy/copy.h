/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The copy engine: every job that moves blocks from one node to another.
 *
 * It walks the source's extents in ascending order, never reads what the map
 * says is zero, gathers neighbouring data into chunks of at most 1 MiB and
 * hands them to a bounded pool of workers. They read and compress at the same
 * time and write one after the other, in order, unless told otherwise, so that
 * what the target allocates lies in the order of the guest. A plain file in the
 * page cache needs no such order.
 */
#ifndef PLT_COPY_COPY_H
#define PLT_COPY_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include <platter/image.h>

struct platter_progress;
struct plt_digest;

/*
 * Told of each range that could not be read and is taken for zeros; on a
 * worker, never by two at once.
 */
struct plt_salvage {
	void (*unreadable)(void *arg, uint64_t offset, uint64_t length,
			   const struct platter_error *why);
	void *arg;
};

struct plt_copy_options {
	uint64_t offset;	/* bytes; the range to copy, in both nodes */
	uint64_t length;
	/* Zeros need not be written, from the offset `zero_from` on. */
	bool target_is_zero;
	uint64_t zero_from;
	/*
	 * Copy only what the source itself holds (depth 0, present): leave
	 * the target alone where the source is unallocated or its backing's.
	 */
	bool only_present;
	/*
	 * Not 0: the target has the source's layers from this depth on below
	 * itself, as `shared_size` bytes: leave it alone where they show.
	 */
	unsigned int shared_depth;
	uint64_t shared_size;
	/* ... and behind that it was made to show what no layer holds. */
	bool rest_is_new;
	uint64_t sparse_size;	/* zero runs this long are zeroed, 0 = never */
	/* Zeros take space too: never unmap, never rely on target_is_zero. */
	bool allocate;
	/* The target's format can; `offset` is a multiple of its clusters. */
	bool compress;
	bool unordered;		/* write as it comes; not with compress */
	uint64_t rate;		/* bytes of data per second, 0 = no limit */
	/* Fed with all of the range in order; the caller ends it. Or NULL. */
	struct plt_digest *digest;
	const struct plt_salvage *salvage;	/* NULL: read errors end it */
	unsigned int workers;	/* 0 = one per processor */
	struct platter_progress *progress;	/* or NULL */
};

struct plt_copy_result {
	uint64_t written;	/* bytes of data written to the target */
	/* Bytes the source itself holds as zeros, or as data that is zeros. */
	uint64_t zeroed;
};

/* Does not flush the target. `result` may be NULL. */
int plt_copy(struct platter_image *src, struct platter_image *dst,
	     const struct plt_copy_options *opts,
	     struct plt_copy_result *result, struct platter_error *err)
	PLATTER_MUST_CHECK;

#endif
