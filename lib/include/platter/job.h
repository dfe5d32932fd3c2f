/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Jobs: convert, compare and replay whole images.
 *
 * A job runs in the calling thread with a bounded pool of workers of its own;
 * its memory does not grow with the image. A target that is a new regular file
 * is written beside its final name and renamed when complete, so a job that
 * fails, is cancelled or is killed leaves nothing under that name.
 */
#ifndef PLATTER_JOB_H
#define PLATTER_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include <platter/error.h>
#include <platter/image.h>

#ifdef __cplusplus
extern "C" {
#endif

struct platter_log;
struct platter_progress;

struct platter_convert_options {
	const char *target;		/* spec; a file name unless no_create */
	const char *target_format;	/* "raw" when NULL */
	const char *const *target_options;	/* "key=value", NULL-ended */
	bool target_image_opts;		/* `target` is key=value; needs no_create */
	enum platter_cache target_cache;
	bool no_create;			/* the target exists: write into it */
	bool target_is_zero;		/* ... and reads as zeros already */
	/*
	 * Runs of zeros at least this long become holes; 0 writes every byte
	 * of data areas and fully allocates the target, as `qemu-img -S 0`.
	 */
	uint64_t sparse_size;
	unsigned int workers;		/* 0 = one per processor, at most 16 */
	unsigned int open_flags;	/* extra PLATTER_O_* for the target */
	struct platter_progress *progress;	/* or NULL */
};

/* Copy the whole of `src` into a target of the same size. */
int platter_convert(struct platter_context *ctx, struct platter_image *src,
		    const struct platter_convert_options *opts,
		    struct platter_error *err) PLATTER_MUST_CHECK;

/* What an image in another format would take. */
struct platter_measure {
	uint64_t required;		/* bytes for the data there is */
	uint64_t fully_allocated;	/* bytes when all is written */
	uint64_t bitmaps;		/* bytes more for the bitmaps */
	bool has_bitmaps;		/* source and target can have them */
};

struct platter_measure_options {
	const char *format;		/* of the target; "raw" when NULL */
	const char *const *options;	/* "key=value", NULL-ended */
	uint64_t size;			/* bytes, when there is no source */
};

/* Reads the map of `src`, which may be NULL, but no data. */
int platter_measure(struct platter_context *ctx, struct platter_image *src,
		    const struct platter_measure_options *opts,
		    struct platter_measure *result, struct platter_error *err)
	PLATTER_MUST_CHECK;

enum platter_compare_verdict {
	PLATTER_COMPARE_SAME,
	PLATTER_COMPARE_CONTENT,	/* bytes differ at `offset` */
	PLATTER_COMPARE_SIZE,		/* strict: sizes differ */
	PLATTER_COMPARE_ALLOCATION,	/* strict: allocated in one only */
};

struct platter_compare_result {
	enum platter_compare_verdict verdict;
	uint64_t offset;	/* first difference, in bytes */
	bool size_differs;	/* the rest of the longer one is all zeros */
	int failed;		/* which call failed: see platter_compare() */
};

struct platter_compare_options {
	bool strict;		/* sizes and allocation must match as well */
	unsigned int workers;	/* 0 = one per processor */
	struct platter_progress *progress;
};

/*
 * Compare the content of two images; beyond the end of the shorter one the
 * longer must be zero. On error, result->failed is qemu-img's exit code for
 * it: 3 = asking for allocation, 4 = reading.
 */
int platter_compare(struct platter_image *a, struct platter_image *b,
		    const struct platter_compare_options *opts,
		    struct platter_compare_result *result,
		    struct platter_error *err) PLATTER_MUST_CHECK;

struct platter_replay_options {
	const char *target;		/* file or block device */
	const char *target_format;	/* NULL: raw, and refuse other magic */
	enum platter_cache target_cache;
	unsigned int open_flags;	/* extra PLATTER_O_* for the target */
	const char *base;		/* image to start from, or NULL */
	const char *base_format;	/* NULL = probe */
	uint64_t from;			/* points, as platter_log_point() gives */
	uint64_t to;
	bool has_range;			/* replay only this part of the device */
	uint64_t range_offset;		/* bytes */
	uint64_t range_length;
	bool no_discard;		/* leave discards out */
	bool in_order;			/* every entry as logged, with flushes */
	bool verify;			/* read back and compare */
	unsigned int workers;		/* 0 = one per processor */
	struct platter_progress *progress;
};

struct platter_replay_result {
	uint64_t entries;	/* entries between the two points */
	uint64_t written;	/* bytes of data written to the target */
	uint64_t zeroed;	/* bytes of discards, and of data left a hole */
	uint64_t flushes;	/* issued, in order only */
	uint64_t target_size;	/* bytes */
	bool created;		/* the target did not exist, or was replaced */
};

/*
 * Bring a target to the state of the device between entries `from` and `to`.
 * A target that exists is changed in place, unless a base is given: then a
 * regular file is made anew from the base. A regular file too small for the
 * log grows; a block device too small is an error before anything is written.
 * A verify that finds a difference is -EIO naming the offset.
 */
int platter_replay(struct platter_context *ctx, struct platter_log *log,
		   const struct platter_replay_options *opts,
		   struct platter_replay_result *result,
		   struct platter_error *err) PLATTER_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
