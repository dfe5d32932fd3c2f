/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The copy engine: every job that moves blocks from one node to another.
 *
 * It walks the source's extents in ascending order, never reads what the map
 * says is zero, gathers neighbouring data into chunks of at most 1 MiB and
 * hands them to a bounded pool of workers.
 */
#ifndef PLT_COPY_COPY_H
#define PLT_COPY_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include <platter/image.h>

struct platter_progress;

struct plt_copy_options {
	uint64_t offset;	/* bytes; the range to copy, in both nodes */
	uint64_t length;
	bool target_is_zero;	/* zeros need not be written */
	/*
	 * Copy only what the source itself holds (depth 0, present): leave
	 * the target alone where the source is unallocated or its backing's.
	 */
	bool only_present;
	uint64_t sparse_size;	/* zero runs this long are zeroed, 0 = never */
	/* Zeros take space too: never unmap, never rely on target_is_zero. */
	bool allocate;
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
