/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Appending to a write log, by many threads at once.
 *
 * Entries get into the log in the order in which they are handed in, and with
 * everything before them: there are never holes. The file grows by being
 * written, so that one which was cut off can be told by its length. Storage of
 * a fixed size, a device, has old bytes behind the log: there a header is
 * written behind what belongs to it, and always a header of zeros behind that.
 */
#ifndef PLT_WLOG_APPEND_H
#define PLT_WLOG_APPEND_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/error.h>
#include <platter/image.h>

/* `data` NULL: zeros. */
struct plt_wlog_piece {
	const void *data;
	uint64_t len;
};

#define PLT_WLOG_PIECES 3

/* One entry; what is not set is 0. */
struct plt_wlog_append {
	uint64_t offset, len;	/* device bytes, whole log sectors */
	uint64_t flags;		/* PLATTER_LOG_* */
	uint64_t issued;	/* number of the request; not for marks */
	uint64_t time_ns;	/* when it was complete; not for marks */
	const char *mark;
	size_t mark_len;
	/* The data, `len` in all; none of a discard. */
	struct plt_wlog_piece piece[PLT_WLOG_PIECES];
	bool counted;		/* the super block must count it */
	/* Set once it is in the log: */
	uint64_t number;
	uint64_t log_offset;	/* of its header, bytes into the log */
	/* The appender's own. */
	struct plt_wlog_append *next;
	pthread_cond_t wake;
	bool done;
};

struct plt_wlog_appender {
	struct platter_image *img;	/* what the log is stored in */
	uint32_t sector_size;
	uint64_t interval;	/* entries between super blocks, at most */
	bool grows;		/* a file, not storage of a fixed size */
	pthread_mutex_t lock;
	/* Guarded by `lock`. The first in the queue writes for all. */
	struct plt_wlog_append *first, *last;
	uint64_t end;		/* bytes of log, all of them written */
	uint64_t entries;
	uint64_t counted;	/* what the super block says */
	struct platter_error failed;	/* code 0: all is well */
	_Atomic bool broken;	/* failed.code is set */
	/* Only of who writes. */
	uint8_t *stage;
	size_t stage_room, stage_len;
};

struct plt_wlog_append_options {
	uint32_t sector_size;	/* 0: not given */
	uint64_t interval;
	bool append;		/* go on behind what is there */
};

/* From which size a log sector has room for the extension. */
bool plt_wlog_has_room_for_ext(uint32_t sector_size);

/*
 * append-open.c: begin a log in `log`, an image open for writing that stays the
 * caller's, or go on with the one that is there. What is there is lost unless
 * `append` is set. -EINVAL when it is no log or has other sectors, -EUCLEAN
 * when fewer entries can be proven than it counts.
 */
int plt_wlog_appender_open(struct plt_wlog_appender *a,
			   struct platter_image *log,
			   const struct plt_wlog_append_options *opts,
			   struct platter_error *err) PLATTER_MUST_CHECK;
void plt_wlog_appender_close(struct plt_wlog_appender *a);

/*
 * Append one entry; it is in the file when this returns. An error is that of
 * this entry and of all that come later: what cannot be recorded must not be
 * done. -ENOSPC: the log is full.
 */
int plt_wlog_appender_add(struct plt_wlog_appender *a,
			  struct plt_wlog_append *entry,
			  struct platter_error *err) PLATTER_MUST_CHECK;
/* The error entries get from now on, or 0. */
int plt_wlog_appender_check(struct plt_wlog_appender *a,
			    struct platter_error *err) PLATTER_MUST_CHECK;

/* append-write.c: for whoever is first in the queue. */
struct plt_wlog_batch {
	struct plt_wlog_append *first, *last;
	uint64_t end, entries, counted;	/* of the log: in and out */
};
/* On error `end` and `entries` are those of what has been written whole. */
int plt_wlog_write_batch(struct plt_wlog_appender *a, struct plt_wlog_batch *b,
			 struct platter_error *err) PLATTER_MUST_CHECK;
int plt_wlog_write_super(struct plt_wlog_appender *a, uint64_t entries,
			 struct platter_error *err) PLATTER_MUST_CHECK;
/* Make storage of a fixed size that long, or -ENOSPC. */
int plt_wlog_reserve(struct plt_wlog_appender *a, uint64_t end,
		     struct platter_error *err) PLATTER_MUST_CHECK;
/* Let the log end at `end`, whatever is behind. */
int plt_wlog_cut_at(struct plt_wlog_appender *a, uint64_t end,
		    struct platter_error *err) PLATTER_MUST_CHECK;

#endif
