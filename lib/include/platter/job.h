/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Jobs: convert, compare, commit, rebase, replay and more, on whole images.
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
struct platter_log_follow;
struct platter_progress;

struct platter_convert_options {
	const char *target;		/* spec; a file name unless no_create */
	const char *target_format;	/* "raw" when NULL */
	const char *const *target_options;	/* "key=value", NULL-ended */
	uint64_t target_size;		/* bytes; 0 = that of the source */
	bool target_image_opts;		/* `target` is key=value; no_create */
	enum platter_cache target_cache;
	bool no_create;			/* the target exists: write into it */
	bool target_is_zero;		/* ... and reads as zeros already */
	/*
	 * The backing file of the target, and its format; NULL = none. What
	 * the source shows from its own layer of that name, or else from
	 * everything below it, is not copied.
	 */
	const char *backing_file;
	const char *backing_format;
	/*
	 * Runs of zeros at least this long become holes; 0 writes every byte
	 * of data areas and fully allocates the target, as `qemu-img -S 0`.
	 */
	uint64_t sparse_size;
	bool compress;			/* where the format can */
	bool copy_range;		/* let the kernel; no zeros sought */
	bool unordered;			/* write in any order */
	uint64_t rate;			/* bytes per second, 0 = no limit */
	bool bitmaps;			/* copy the persistent ones, too */
	bool skip_broken_bitmaps;
	/*
	 * Not NULL: a range that cannot be read is zeros in the target, and
	 * told of; from any thread, but not from two at once.
	 */
	void (*unreadable)(void *arg, uint64_t offset, uint64_t length,
			   const struct platter_error *why);
	void *unreadable_arg;
	/*
	 * Hash the source's content on the way: "sha256" or another name that
	 * platter_hash() takes, or NULL. The digits go to `hash_hex`, which
	 * has room for PLATTER_HASH_HEX_MAX bytes.
	 */
	const char *hash;
	char *hash_hex;
	unsigned int workers;		/* 0 = one per processor, at most 16 */
	unsigned int open_flags;	/* extra PLATTER_O_* for the target */
	struct platter_progress *progress;	/* or NULL */
};

/*
 * Copy the whole of `src` into a target of the same size, or a larger one.
 * For more than one source see platter_image_concat().
 */
int platter_convert(struct platter_context *ctx, struct platter_image *src,
		    const struct platter_convert_options *opts,
		    struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * The same to a descriptor, which may be a pipe: in one pass, front to back.
 * `target` is for messages; the formats that can are raw and qcow2.
 */
int platter_convert_stream(struct platter_context *ctx,
			   struct platter_image *src, int fd,
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
	/* With `found` only. */
	uint64_t ranges;	/* how many differ */
	uint64_t bytes;		/* in them */
};

struct platter_compare_options {
	bool strict;		/* sizes and allocation must match as well */
	unsigned int workers;	/* 0 = one per processor */
	struct platter_progress *progress;
	/*
	 * NULL: stop at the first difference. Else it is told of every range
	 * that differs, in ascending order and never by two threads at once;
	 * what is less than 512 bytes apart is one range. Not with `strict`.
	 */
	void (*found)(void *arg, uint64_t offset, uint64_t length);
	void *arg;
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

#define PLATTER_HASH_HEX_MAX	129	/* digits of the longest, and a NUL */
#define PLATTER_HASHES_MAX	8u	/* at once */

/* A part of the disk with its hashes, `nr` of each. */
struct platter_hash_piece {
	uint64_t offset;		/* bytes */
	uint64_t length;
	unsigned int nr;
	const char *const *names;	/* "sha256" */
	const char (*hex)[PLATTER_HASH_HEX_MAX];	/* lower case */
};

struct platter_hash_options {
	/* NULL-ended, from md5 sha1 sha224 sha256 sha384 sha512; NULL: sha256 */
	const char *const *algorithms;
	uint64_t piece;			/* bytes; 0 = all in one piece */
	/*
	 * Told of each piece in turn, from front to back; not by two threads
	 * at once, but not by the caller's either. An error ends the job.
	 */
	int (*found)(void *arg, const struct platter_hash_piece *piece,
		     struct platter_error *err);
	void *arg;
	unsigned int workers;		/* 0 = one per processor, at most 16 */
	struct platter_progress *progress;	/* or NULL */
};

/*
 * Hash what the guest sees: the same for the same content, whatever the
 * format. What the map says is zero is not read. An empty image is one piece.
 */
int platter_hash(struct platter_image *img,
		 const struct platter_hash_options *opts,
		 struct platter_error *err) PLATTER_MUST_CHECK;

struct platter_commit_options {
	/*
	 * The image of the chain to commit into, by the name the image above
	 * it stores or by its path; NULL = the backing file itself.
	 */
	const char *base;
	bool keep;		/* do not empty the image afterwards */
	uint64_t rate;		/* bytes of data per second, 0 = no limit */
	unsigned int workers;	/* 0 = one per processor */
	struct platter_progress *progress;
};

/*
 * Copy what `top`, and everything between it and the base, holds into the
 * base, which becomes writable and grows where it is smaller; then empty `top`
 * if its format can, unless `keep`. `top` is open for writing. A crash at any
 * point leaves it reading as before.
 */
int platter_commit(struct platter_image *top,
		   const struct platter_commit_options *opts,
		   struct platter_error *err) PLATTER_MUST_CHECK;

struct platter_rebase_options {
	const char *backing;	/* name to store; NULL or "" = none */
	const char *format;	/* of the backing file, to store as well */
	bool names_only;	/* the content changes with the name (-u) */
	bool compress;		/* what is written */
	unsigned int open_flags;	/* PLATTER_O_* for the new backing */
	enum platter_cache cache;	/* of the new backing */
	unsigned int workers;	/* 0 = one per processor */
	struct platter_progress *progress;
};

/*
 * Give `top`, open for writing with its backing file, another one and keep
 * what it reads as: where the new chain differs from the old, `top` gets the
 * old content first. All of that is durable before the name changes.
 */
int platter_rebase(struct platter_image *top,
		   const struct platter_rebase_options *opts,
		   struct platter_error *err) PLATTER_MUST_CHECK;

struct platter_dd_options {
	const char *target;		/* file name; NULL: `output` */
	const char *target_format;	/* "raw" when NULL */
	int input;			/* descriptor, when there is no source */
	int output;			/* descriptor, when there is no target */
	uint64_t block_size;		/* bytes; of the three below */
	uint64_t skip;			/* blocks of the source */
	uint64_t seek;			/* blocks of the target */
	uint64_t count;			/* blocks; UINT64_MAX = all */
	bool no_truncate;		/* write into what is there */
	enum platter_cache target_cache;
	unsigned int open_flags;	/* extra PLATTER_O_* for the target */
	struct platter_progress *progress;
};

struct platter_dd_result {
	uint64_t copied;	/* bytes of the guest, holes and all */
	bool skipped_all;	/* `skip` is beyond the end of the source */
};

/*
 * Copy a part of `src`, or of a stream (NULL), into a file or a stream. A file
 * is made anew, beside its name, unless no_truncate.
 */
int platter_dd(struct platter_context *ctx, struct platter_image *src,
	       const struct platter_dd_options *opts,
	       struct platter_dd_result *result, struct platter_error *err)
	PLATTER_MUST_CHECK;

struct platter_bench_options {
	uint64_t count;		/* requests */
	uint64_t offset;	/* bytes; of the first */
	uint64_t step;		/* bytes between two; wraps at the end */
	uint32_t size;		/* bytes of a request, at most 2 GiB - 1 */
	unsigned int threads;	/* requests in flight, > 0 */
	bool write;
	uint8_t pattern;	/* byte written */
	uint64_t flush_interval;	/* flush every so many writes, 0 = never */
	bool no_drain;		/* flush while others are in flight */
	bool random;		/* at random multiples of `size` instead */
	uint64_t seed;
	struct platter_progress *progress;
};

struct platter_bench_result {
	uint64_t requests;
	uint64_t flushes;
	double seconds;
};

/* Send requests of one kind and take the time. */
int platter_bench(struct platter_image *img,
		  const struct platter_bench_options *opts,
		  struct platter_bench_result *result,
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
	uint64_t from, to;	/* the two points */
	uint64_t entries;	/* entries between them */
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

/*
 * Keep a target a step behind a log that grows, until the end of `f`, which
 * has the points; those in `opts` are not looked at, nor is in_order, which is
 * what this does: entry by entry, in the order of the log, by one thread. So
 * the target is the device at a point of the log at any moment, but for the
 * part of one entry; killed, it is that in the page cache. A logged flush is
 * one of the target, as its cache mode has it.
 *
 * The target is opened, or made from the base, before the log is waited for,
 * and is there under its name from then on: a regular file grows as the log
 * asks, a block device that is too small is an error when the log reaches
 * beyond it. Cancelled, it is flushed and stays at the point it is at.
 */
int platter_replay_follow(struct platter_context *ctx,
			  struct platter_log_follow *f,
			  const struct platter_replay_options *opts,
			  struct platter_replay_result *result,
			  struct platter_error *err) PLATTER_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
