/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recording what is written to an image: behind driver blklogwrites.
 *
 * What a request is logged as, and when, is decided here; see recorder.c.
 */
#ifndef PLT_WLOG_RECORDER_H
#define PLT_WLOG_RECORDER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <platter/record.h>

#include "base/claims.h"
#include "wlog/append.h"

struct plt_dirty;
struct plt_overlay;

struct plt_recorder_flush;	/* one in flight; recorder.c */

struct plt_recorder {
	struct platter_image *node;	/* the filter's */
	struct platter_image *file;	/* what is below it */
	struct plt_overlay *overlay;	/* or NULL; locks for itself */
	struct plt_wlog_appender log;	/* locks for itself */
	bool started;		/* `log` is open; else only log.img is set */
	uint64_t base_size;		/* of `file`, with an overlay */
	pthread_mutex_t lock;
	/* Told of flushes that end, and of `busy` and `alone`. */
	pthread_cond_t changed;
	/* All below is guarded by `lock`. */
	struct plt_claims claims;	/* device bytes, whole log sectors */
	struct plt_recorder_flush *first_flush, **last_flush;
	uint64_t nr_flushes;		/* issued so far */
	unsigned int busy;		/* flushes and marks under way */
	bool alone;			/* somebody wants there to be none */
	bool ended;
	/*
	 * Written where recording is paused, else NULL. It comes and goes
	 * while all of the device is claimed, so a claim is enough to look.
	 */
	struct plt_dirty *dirty;
	struct platter_record_stats stats;	/* without entries and size */
};

struct plt_recorder_options {
	struct plt_wlog_append_options log;
	bool overlay;
};

/*
 * `node` is the filter's node; its children `file` and `log` stay its own. The
 * locks are made at once; start begins the log if the node is writable, and may
 * be called again when it has become so. With an overlay `file` is only read.
 */
void plt_recorder_init(struct plt_recorder *r, struct platter_image *node);
int plt_recorder_start(struct plt_recorder *r,
		       const struct plt_recorder_options *opts,
		       struct platter_error *err) PLATTER_MUST_CHECK;
void plt_recorder_close(struct plt_recorder *r);

int plt_recorder_read(struct plt_recorder *r, void *buf, size_t len,
		      uint64_t offset, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_recorder_write(struct plt_recorder *r, const void *buf, size_t len,
		       uint64_t offset, bool fua, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_recorder_zero(struct plt_recorder *r, uint64_t offset, uint64_t len,
		      unsigned int flags, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_recorder_discard(struct plt_recorder *r, uint64_t offset, uint64_t len,
			 struct platter_error *err) PLATTER_MUST_CHECK;
int plt_recorder_flush(struct plt_recorder *r, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* No request but flushes may be under way. */
int plt_recorder_resize(struct plt_recorder *r, uint64_t size,
			struct platter_error *err) PLATTER_MUST_CHECK;
/* The extent at `offset`, of a recorder with an overlay. */
int plt_recorder_extent(struct plt_recorder *r, uint64_t offset, uint64_t len,
			struct platter_extent *extent,
			struct platter_error *err) PLATTER_MUST_CHECK;

/* recorder-control.c: see <platter/record.h>. */
int plt_recorder_mark(struct plt_recorder *r, const char *text, size_t len,
		      uint64_t *entry, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_recorder_pause(struct plt_recorder *r, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_recorder_resume(struct plt_recorder *r, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_recorder_end(struct plt_recorder *r, struct platter_error *err)
	PLATTER_MUST_CHECK;
void plt_recorder_stats(struct plt_recorder *r,
			struct platter_record_stats *out);

/* Between the two of them. */
int plt_recorder_ended(const struct plt_recorder *r, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Flushes and marks; the lock is held. */
void plt_recorder_enter(struct plt_recorder *r);
void plt_recorder_leave(struct plt_recorder *r);

/* recorder-overlay.c */
/* Make the overlay, of what log.img holds unless it `is_new`. */
int plt_recorder_load(struct plt_recorder *r, bool is_new,
		      struct platter_error *err) PLATTER_MUST_CHECK;
int plt_recorder_overlay_read(struct plt_recorder *r, void *buf, size_t len,
			      uint64_t offset, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_recorder_overlay_resize(struct plt_recorder *r, uint64_t size,
				struct platter_error *err) PLATTER_MUST_CHECK;

#endif
