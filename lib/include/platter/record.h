/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recording: what can be asked of a node that logs what is written through it.
 *
 * Such a node is made by opening one of driver "blklogwrites"; these calls take
 * it, or a node with only filters between. Other nodes: -ENOTSUP.
 *
 * What the log promises: an entry is in it before the request it stands for is
 * acknowledged; a write that completed after a flush was issued stands behind
 * that flush's entry, unless it was durable by itself (FUA); requests that
 * failed are not in it.
 *
 * Threads: all of these may be called while others read and write.
 */
#ifndef PLATTER_RECORD_H
#define PLATTER_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/error.h>
#include <platter/image.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Append a mark to the logs of `count` nodes, under one issue number. On
 * return it is in each of them, counted by the super block, behind every
 * request that had been acknowledged before the call. `len` is at most the
 * log's sector size less 33 bytes; a longer text, an empty one, and one with a
 * NUL byte are -EINVAL. entries[i], if `entries` is not NULL, is the number
 * of the entry in log i.
 */
int platter_record_mark(struct platter_image *const *nodes, size_t count,
			const char *text, size_t len, uint64_t *entries,
			struct platter_error *err) PLATTER_MUST_CHECK;

/* The marks pause and resume leave. */
#define PLATTER_RECORD_PAUSE_MARK	"platter-pause"
#define PLATTER_RECORD_RESUME_MARK	"platter-resume"

/*
 * Stop logging; writes go on to be done. A mark says so. Resuming first logs
 * what the ranges written meanwhile now hold, then the mark, so that from
 * there on the log gives the image again. Pausing what is paused is ok.
 */
int platter_record_pause(struct platter_image *node,
			 struct platter_error *err) PLATTER_MUST_CHECK;
int platter_record_resume(struct platter_image *node,
			  struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * Resume if paused, append the mark "dm-log-writes-end", as the kernel's
 * recorder does at a clean end, and bring the super block up to date. What is
 * written to the node afterwards is -EROFS.
 */
int platter_record_end(struct platter_image *node,
		       struct platter_error *err) PLATTER_MUST_CHECK;

struct platter_record_stats {
	uint64_t entries;	/* in the log, with those it was appended to */
	uint64_t log_size;	/* bytes up to the end of the last entry */
	/* Logged by this node since it was opened: */
	uint64_t writes, flushes, fuas, discards, marks;
	uint64_t data_bytes;	/* of writes */
	uint64_t discard_bytes;
	bool paused;
	bool ended;
};
int platter_record_stats(struct platter_image *node,
			 struct platter_record_stats *out,
			 struct platter_error *err) PLATTER_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
