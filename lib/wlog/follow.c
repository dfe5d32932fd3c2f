/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a log while somebody appends to it.
 *
 * A cursor reads until it runs dry; then size and super block are looked at
 * again and it goes on from the same place. What is tricky is what may be
 * believed. Whether anybody writes is asked before the log is read to its end,
 * so that what was written last is seen when the answer was no. And as the
 * file could be used for another recording at any time, the last entry read
 * has to be there still, byte for byte, each time before more is read.
 *
 * inotify says when to look. It says nothing of a lock that was given back, of
 * memory-mapped writes and of other machines, so no wait is longer than a
 * moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "core/core.h"
#include "wlog/wlog.h"

#define MS		UINT64_C(1000000)	/* ns */
#define LOOK_AGAIN_MS	30
#define SUPER_BYTES	sizeof(struct plt_wlog_disk_super)
#define KEPT_BYTES	64u	/* of the last header: fields and extension */

struct platter_log_follow {
	struct platter_context *ctx;
	char *path;
	struct platter_log_follow_options opts;
	struct plt_wlog_watch *from, *until;	/* or NULL */
	int fd;			/* the log's file; -1: not there yet */
	int notify;		/* -1: none to be had */
	bool regular;
	bool writer;		/* somebody has the file open to write */
	bool begun;		/* a recorder has been seen at work */
	bool waited;		/* all there was at the start has been read */
	bool closing;		/* the last entry came after that */
	bool from_end;		/* leave out what was there at the start */
	struct platter_log *log;
	struct platter_log_cursor *cursor;
	struct platter_log_entry entry;
	bool pending;		/* `entry` is to be given out */
	uint64_t kept_offset;	/* of the last entry's header; 0 = none */
	uint8_t kept[KEPT_BYTES];
	uint64_t heard;		/* ns: when something new was there */
	enum platter_log_follow_end end;
};

static bool is_end(const char *point)
{
	return point && !strcmp(point, "end");
}

int platter_log_follow_new(struct platter_log_follow **out,
			   struct platter_context *ctx, const char *path,
			   const struct platter_log_follow_options *opts,
			   struct platter_error *err)
{
	struct platter_log_follow *f = plt_calloc(1, sizeof(*f), err);
	int rc = 0;

	if (!f)
		return -ENOMEM;
	f->ctx = ctx;
	f->fd = -1;
	f->notify = -1;
	if (opts)
		f->opts = *opts;
	f->heard = plt_now_ns();
	f->begun = !f->opts.wait;
	f->path = plt_strdup(path, err);
	if (!f->path)
		rc = -ENOMEM;
	f->from_end = is_end(f->opts.from);
	if (!rc && f->opts.from && !f->from_end)
		rc = plt_wlog_watch_new(&f->from, f->opts.from, err);
	if (!rc && f->opts.until && !is_end(f->opts.until))
		rc = plt_wlog_watch_new(&f->until, f->opts.until, err);
	if (rc) {
		platter_log_follow_free(f);
		return rc;
	}
	*out = f;
	return 0;
}

static void close_log(struct platter_log_follow *f)
{
	platter_log_cursor_free(f->cursor);
	platter_log_close(f->log);
	f->cursor = NULL;
	f->log = NULL;
}

void platter_log_follow_free(struct platter_log_follow *f)
{
	if (!f)
		return;
	close_log(f);
	plt_wlog_watch_free(f->from);
	plt_wlog_watch_free(f->until);
	if (f->fd >= 0)
		close(f->fd);
	if (f->notify >= 0)
		close(f->notify);
	free(f->path);
	free(f);
}

struct platter_log *platter_log_follow_log(const struct platter_log_follow *f)
{
	return f->log;
}

const char *plt_wlog_follow_path(const struct platter_log_follow *f)
{
	return f->path;
}

enum platter_log_follow_end
platter_log_follow_ended(const struct platter_log_follow *f,
			 const char **reason)
{
	static const char *const reasons[] = {
		[PLATTER_LOG_FOLLOWING] = "not at its end",
		[PLATTER_LOG_FOLLOW_END_MARK] =
			"the recorder closed the log with its end mark",
		[PLATTER_LOG_FOLLOW_GONE] =
			"nobody writes to the log any more",
		[PLATTER_LOG_FOLLOW_UNTIL] = "the point to end at",
	};

	if (reason)
		*reason = reasons[f->end];
	return f->end;
}

/* ---- opening, which may have to be tried again ---- */

/* 0 = open, 1 = not there yet. */
static int open_file(struct platter_log_follow *f, struct platter_error *err)
{
	struct stat st;

	f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (f->fd < 0 && errno == ENOENT && f->opts.wait)
		return 1;
	if (f->fd < 0 || fstat(f->fd, &st))
		return plt_err_errno(err, -errno, "%s", f->path);
	f->regular = S_ISREG(st.st_mode);
	if (!f->regular && !S_ISBLK(st.st_mode))
		return plt_err_set(err, -EINVAL,
				   "%s: is neither a regular file nor a block device",
				   f->path);
	f->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (f->notify >= 0)
		(void)inotify_add_watch(f->notify, f->path, IN_MODIFY |
					IN_CLOSE_WRITE | IN_ATTRIB);
	return 0;
}

/* Whether a log could still come to be in what is none yet. */
static bool may_become_log(const struct platter_log_follow *f)
{
	uint8_t magic[8] = { 0 };

	if (!f->writer && f->begun)
		return false;
	return plt_pread(f->fd, magic, sizeof(magic), 0) >= 0 &&
	       plt_is_zero(magic, sizeof(magic));
}

static int open_log(struct platter_log_follow *f, struct platter_error *err)
{
	const struct platter_log_options opts = {
		.flags = PLATTER_O_SHARE,
		.sector_size = f->opts.sector_size,
		.index = "",
	};
	struct platter_error why = PLATTER_ERROR_INIT;
	int rc;

	rc = platter_log_open(&f->log, f->ctx, f->path, &opts, &why);
	if (rc == -EINVAL && may_become_log(f))
		return 1;
	if (rc)
		return plt_err_set(err, rc, "%s", why.msg);
	/* What came to be while we waited has been begun. */
	f->begun |= f->waited;
	rc = platter_log_cursor_new(&f->cursor, f->log, 0, err);
	if (rc)
		close_log(f);
	return rc;
}

/* ---- looking again ---- */

static int stale(struct platter_log_follow *f, struct platter_error *err,
		 const char *fmt, ...) PLATTER_PRINTF(3, 4);

static int stale(struct platter_log_follow *f, struct platter_error *err,
		 const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return plt_err_set(err, -ESTALE,
			   "%s: %s; another recording has begun in it, or it "
			   "was cut: follow it anew", f->path, what);
}

/* Every node between us and the file has the size it had when opened. */
static void set_size(struct platter_log_follow *f, uint64_t size)
{
	struct platter_image *img = f->log->img;

	for (; img; img = platter_image_child(img, "file"))
		img->size = size;
	f->log->size = size;
}

static int check_super(struct platter_log_follow *f,
		       const struct plt_wlog_disk_super *super,
		       struct platter_error *err)
{
	struct platter_log *log = f->log;
	const uint64_t entries = le64toh(super->nr_entries);
	const uint32_t sector_size = le32toh(super->sector_size);
	bool valid = le64toh(super->magic) == PLT_WLOG_MAGIC &&
		     le64toh(super->version) == PLT_WLOG_VERSION;

	if (!log->super_valid && !valid)
		return 0;
	if (log->super_valid && !valid)
		return stale(f, err, "its super block is gone");
	if (sector_size != log->sector_size && !f->opts.sector_size &&
	    (!log->super_valid || plt_le32(log->super + 24) != sector_size) &&
	    !f->kept_offset) {
		close_log(f);
		return 1;
	}
	if (sector_size != plt_le32(log->super + 24) && log->super_valid)
		return stale(f, err, "its super block says sectors of %" PRIu32
			     " bytes, before it said %" PRIu32, sector_size,
			     plt_le32(log->super + 24));
	if (log->super_valid && entries < log->super_entries)
		return stale(f, err, "its super block counts %" PRIu64
			     " entries, before it counted %" PRIu64, entries,
			     log->super_entries);
	if (entries > log->super_entries)
		f->begun |= f->waited;
	log->super_valid = true;
	log->super_entries = entries;
	memcpy(log->super, super, SUPER_BYTES);
	return 0;
}

static int check_last(struct platter_log_follow *f, struct platter_error *err)
{
	uint8_t now[KEPT_BYTES];
	size_t len = PLT_MIN(KEPT_BYTES, f->log->sector_size);

	if (!f->kept_offset)
		return 0;
	if (plt_pread(f->fd, now, len, f->kept_offset) != (ssize_t)len ||
	    memcmp(now, f->kept, len))
		return stale(f, err, "its entry %" PRIu64 " is another than "
			     "it was", f->cursor->number - 1);
	return 0;
}

static int refresh(struct platter_log_follow *f, struct platter_error *err)
{
	struct platter_log_cursor *c = f->cursor;
	struct plt_wlog_disk_super super;
	uint64_t size;
	int rc;

	/* What was cached of a device may have been written past the cache. */
	if (!f->regular)
		(void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
	rc = plt_fd_size(f->fd, &size);
	if (rc)
		return plt_err_errno(err, rc, "%s: asking for the size",
				     f->path);
	if (size < SUPER_BYTES || (f->kept_offset && size < c->offset))
		return stale(f, err, "it shrank to %" PRIu64 " bytes, of %"
			     PRIu64 " read", size, c->offset);
	if (plt_pread(f->fd, &super, SUPER_BYTES, 0) != SUPER_BYTES)
		return plt_err_errno(err, -EIO, "%s: reading the super block",
				     f->path);
	rc = check_super(f, &super, err);
	if (!rc)
		rc = check_last(f, err);
	if (rc)
		return rc;
	if (size > f->log->size)
		f->begun |= f->waited;
	set_size(f, size);
	c->buf_len = 0;
	c->stop.kind = PLT_WLOG_STOP_NONE;
	/* Appended to after its end: the count has gone past it. */
	c->closed &= f->log->super_entries <= c->number;
	return 0;
}

/* ---- entries ---- */

static bool is_certain(const struct platter_log_follow *f,
		       const struct platter_log_entry *e)
{
	if (!e->recovered)
		return true;
	return f->regular && (!f->writer || f->cursor->last_ext ||
			      e->flags & PLATTER_LOG_MARK);
}

/* The header that was just decoded is in the cursor's window still. */
static void keep(struct platter_log_follow *f)
{
	const struct platter_log_cursor *c = f->cursor;

	f->kept_offset = f->entry.offset;
	memcpy(f->kept, c->buf + (f->kept_offset - c->buf_offset),
	       PLT_MIN(KEPT_BYTES, f->log->sector_size));
}

static bool at_until(const struct platter_log_follow *f)
{
	return f->until &&
	       plt_wlog_watch_reached(f->until, f->cursor->number);
}

/* The next certain entry to `entry`, those before `from` left out. */
static int advance(struct platter_log_follow *f, struct platter_error *err)
{
	struct platter_log_cursor *c = f->cursor;
	int rc = 0;

	while (!f->pending && !rc && !at_until(f)) {
		const struct platter_log_cursor before = *c;

		rc = platter_log_next(c, &f->entry, err);
		if (rc)
			return rc;
		if (!is_certain(f, &f->entry)) {
			*c = before;
			return 1;
		}
		keep(f);
		f->closing = f->waited;
		f->pending = f->from_end ? f->waited : !f->from ||
			     plt_wlog_watch_reached(f->from, before.number);
		if (f->from)
			plt_wlog_watch_meet(f->from, &f->entry);
		if (f->until)
			plt_wlog_watch_meet(f->until, &f->entry);
		if ((before.number & 0xfff) == 0)
			rc = plt_progress(f->opts.progress, before.offset,
					  f->log->size, err);
	}
	if (rc)
		return rc;
	return f->pending ? 0 : 1;
}

int platter_log_follow_next(struct platter_log_follow *f,
			    struct platter_log_entry *entry,
			    struct platter_error *err)
{
	int rc = 1;

	if (f->cursor)
		rc = advance(f, err);
	if (rc)
		return rc;
	f->pending = false;
	*entry = f->entry;
	/* Not counted yet is not recovered, as long as somebody may. */
	entry->recovered &= !f->writer;
	return 0;
}

/* ---- waiting ---- */

/* 0 = an entry is pending, 1 = there is none. */
static int look(struct platter_log_follow *f, struct platter_error *err)
{
	int rc = 0;

	if (f->fd < 0)
		rc = open_file(f, err);
	if (rc)
		return rc;
	f->writer = plt_lock_has_writer(f->fd);
	f->begun |= f->writer;
	if (!f->log)
		rc = open_log(f, err);
	else
		rc = refresh(f, err);
	return rc ? rc : advance(f, err);
}

static int ended(struct platter_log_follow *f, enum platter_log_follow_end end,
		 struct platter_error *err)
{
	f->end = end;
	if (f->from && !plt_wlog_watch_reached(f->from, f->cursor->number))
		return plt_err_set(err, -ENOENT,
				   "%s: ended at entry %" PRIu64
				   " before the point %s", f->path,
				   f->cursor->number, f->opts.from);
	if (f->until && !at_until(f))
		return plt_err_set(err, -ENOENT,
				   "%s: ended at entry %" PRIu64
				   " before the point %s", f->path,
				   f->cursor->number, f->opts.until);
	return 1;
}

/* Nothing more is there: 0 = for now, 1 = ever. */
static int judge(struct platter_log_follow *f, struct platter_error *err)
{
	if (!f->log)
		return 0;
	if (at_until(f))
		return ended(f, PLATTER_LOG_FOLLOW_UNTIL, err);
	/* One that was there at the start may be appended to just now. */
	if (f->cursor->closed && (f->closing || !f->writer) && f->begun)
		return ended(f, PLATTER_LOG_FOLLOW_END_MARK, err);
	if (!f->writer && f->begun)
		return ended(f, PLATTER_LOG_FOLLOW_GONE, err);
	return 0;
}

static void drain_notify(int fd)
{
	char events[4096];

	while (read(fd, events, sizeof(events)) > 0)
		;
}

static int pause_a_moment(struct platter_log_follow *f,
			  struct platter_error *err)
{
	struct pollfd p = { .fd = f->notify, .events = POLLIN };
	const uint64_t offset = f->cursor ? f->cursor->offset : 0;
	int rc;

	f->waited = true;
	rc = plt_progress(f->opts.progress, offset,
			  f->log ? f->log->size : 0, err);
	if (rc)
		return rc;
	if (f->opts.timeout_ms &&
	    plt_now_ns() - f->heard >= f->opts.timeout_ms * MS)
		return plt_err_set(err, -ETIMEDOUT,
				   "%s: nothing new for %u ms, at entry %"
				   PRIu64, f->path, f->opts.timeout_ms,
				   f->cursor ? f->cursor->number : 0);
	if (poll(&p, 1, LOOK_AGAIN_MS) > 0)
		drain_notify(f->notify);
	return 0;
}

int platter_log_follow_wait(struct platter_log_follow *f,
			    struct platter_error *err)
{
	int rc;

	while (!f->pending && !f->end) {
		rc = look(f, err);
		if (rc == 1)
			rc = judge(f, err);
		else if (!rc)
			f->heard = plt_now_ns();
		if (rc)
			return rc;
		if (!f->pending)
			rc = pause_a_moment(f, err);
		if (rc)
			return rc;
	}
	return f->end ? 1 : 0;
}
