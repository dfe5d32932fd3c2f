/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The blklogwrites filter: passes everything on to `file`, and appends each
 * write, discard and flush that has been done to the write log `log`.
 *
 * Options are those of QEMU's filter of that name. A write is logged when it
 * has completed, and a flush waits until none is under way: what stands before
 * a FLUSH entry was completed before the flush was issued, so it is durable.
 * A write that is no multiple of the log's sectors is logged with the bytes
 * around it.
 */
#include <pthread.h>
#include <string.h>

#include <platter/log.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "drivers.h"
#include "wlog/wlog.h"

#define SECTOR_DEFAULT		512u
#define UPDATE_DEFAULT		4096u	/* entries between super blocks */
#define PIECE			(1u << 20)

struct logwrites {
	struct platter_image *file, *log;
	uint64_t sector_size;
	uint64_t update_interval;
	/*
	 * Held for reading from before a whole-sector write until it is
	 * logged, for writing by what must see no other write under way.
	 */
	pthread_rwlock_t order;
	pthread_mutex_t append;
	struct plt_wlog_writer writer;	/* guarded by `append` */
};

/* ---- the log ---- */

static int append(struct logwrites *s, uint64_t offset, uint64_t len,
		  uint64_t flags, const void *data, struct platter_error *err)
{
	int rc;

	PLT_LOCK_SCOPE(&s->append);
	rc = plt_wlog_writer_entry(&s->writer, offset, len, flags, data, err);
	if (!rc && s->writer.entries % s->update_interval == 0)
		rc = plt_wlog_writer_finish(&s->writer, err);
	return rc;
}

/* Log what `file` now holds in the sectors that a range touches. */
static int log_from_file(struct logwrites *s, uint64_t offset, uint64_t len,
			 struct platter_error *err)
{
	uint64_t end = plt_align_up(offset + len, s->sector_size);
	uint64_t size = platter_image_size(s->file);
	plt_auto_free uint8_t *buf = plt_memalign(4096, PIECE, err);
	int rc = buf ? 0 : -ENOMEM;

	for (uint64_t at = plt_align_down(offset, s->sector_size);
	     at < end && !rc; at += PIECE) {
		size_t n = PLT_MIN(end - at, (uint64_t)PIECE);
		size_t there = at < size ? PLT_MIN((uint64_t)n, size - at) : 0;

		memset(buf + there, 0, n - there);
		rc = platter_image_pread(s->file, buf, there, at, err);
		if (!rc)
			rc = append(s, at, n, 0, buf, err);
	}
	return rc;
}

static bool whole_sectors(const struct logwrites *s, uint64_t offset,
			  uint64_t len)
{
	return (offset | len) % s->sector_size == 0;
}

/* ---- the filter ---- */

static int logwrites_pwrite(struct platter_image *img, const void *buf,
			    size_t len, uint64_t offset,
			    struct platter_error *err)
{
	struct logwrites *s = platter_image_state(img);
	bool whole = whole_sectors(s, offset, len);
	int rc;

	if (whole)
		pthread_rwlock_rdlock(&s->order);
	else
		pthread_rwlock_wrlock(&s->order);
	rc = platter_image_pwrite(s->file, buf, len, offset, err);
	if (!rc && whole)
		rc = append(s, offset, len, 0, buf, err);
	else if (!rc)
		rc = log_from_file(s, offset, len, err);
	pthread_rwlock_unlock(&s->order);
	return rc;
}

static int logwrites_zero(struct platter_image *img, uint64_t offset,
			  uint64_t len, unsigned int flags,
			  struct platter_error *err)
{
	struct logwrites *s = platter_image_state(img);
	int rc;

	pthread_rwlock_wrlock(&s->order);
	rc = platter_image_zero(s->file, offset, len, flags, err);
	if (!rc)
		rc = log_from_file(s, offset, len, err);
	pthread_rwlock_unlock(&s->order);
	return rc;
}

/* Only whole sectors: a discard may be left out. */
static int logwrites_discard(struct platter_image *img, uint64_t offset,
			     uint64_t len, struct platter_error *err)
{
	struct logwrites *s = platter_image_state(img);
	uint64_t begin = plt_align_up(offset, s->sector_size);
	uint64_t end = plt_align_down(offset + len, s->sector_size);
	int rc;

	if (begin >= end)
		return 0;
	pthread_rwlock_wrlock(&s->order);
	rc = platter_image_discard(s->file, begin, end - begin, err);
	if (!rc)
		rc = append(s, begin, end - begin, PLATTER_LOG_DISCARD, NULL,
			    err);
	pthread_rwlock_unlock(&s->order);
	return rc;
}

static int logwrites_flush(struct platter_image *img,
			   struct platter_error *err)
{
	struct logwrites *s = platter_image_state(img);
	int rc;

	pthread_rwlock_wrlock(&s->order);
	rc = platter_image_flush(s->file, err);
	if (!rc)
		rc = append(s, 0, 0, PLATTER_LOG_FLUSH, NULL, err);
	if (!rc) {
		pthread_mutex_lock(&s->append);
		rc = plt_wlog_writer_finish(&s->writer, err);
		pthread_mutex_unlock(&s->append);
	}
	pthread_rwlock_unlock(&s->order);
	return rc ? rc : platter_image_flush(s->log, err);
}

/* A log has no entry for it; growing shows in the writes that follow. */
static int logwrites_resize(struct platter_image *img, uint64_t size,
			    struct platter_error *err)
{
	struct logwrites *s = platter_image_state(img);
	uint64_t old = platter_image_size(s->file);
	int rc;

	pthread_rwlock_wrlock(&s->order);
	rc = platter_image_resize(s->file, size, err);
	size = plt_align_up(size, s->sector_size);
	old = plt_align_up(old, s->sector_size);
	if (!rc && size < old)
		rc = append(s, size, old - size, PLATTER_LOG_DISCARD, NULL,
			    err);
	platter_image_set_size(img, platter_image_size(s->file));
	pthread_rwlock_unlock(&s->order);
	return rc;
}

/* ---- opening ---- */

static int parse(struct logwrites *s, struct platter_options *opts,
		 struct platter_error *err)
{
	int rc;

	s->sector_size = SECTOR_DEFAULT;
	s->update_interval = UPDATE_DEFAULT;
	rc = platter_options_size(opts, "log-sector-size", &s->sector_size,
				  err);
	if (!rc)
		rc = platter_options_size(opts, "log-super-update-interval",
					  &s->update_interval, err);
	if (rc)
		return rc;
	if (!plt_is_power_of_2(s->sector_size) ||
	    s->sector_size < SECTOR_DEFAULT ||
	    s->sector_size > PLT_WLOG_SECTOR_MAX)
		return plt_err_set(err, -EINVAL,
				   "log-sector-size must be a power of two from %u to %u",
				   SECTOR_DEFAULT, PLT_WLOG_SECTOR_MAX);
	if (!s->update_interval)
		return plt_err_set(err, -EINVAL,
				   "log-super-update-interval must be at least 1");
	return 0;
}

static int start_log(struct logwrites *s, struct platter_error *err)
{
	int rc = platter_image_resize(s->log, 0, err);

	if (!rc)
		rc = plt_wlog_writer_start(&s->writer, s->log,
					   (uint32_t)s->sector_size, err);
	return rc ? rc : plt_wlog_writer_finish(&s->writer, err);
}

static int logwrites_open(struct platter_image *img,
			  struct platter_options *opts,
			  struct platter_error *err)
{
	unsigned int flags = platter_image_flags(img);
	struct logwrites *s = platter_image_state(img);
	int rc;

	rc = parse(s, opts, err);
	if (!rc)
		rc = platter_image_open_child(img, "file", opts, NULL, flags,
					      err);
	if (!rc)
		rc = platter_image_open_child(img, "log", opts, "raw",
					      PLATTER_O_RDWR, err);
	if (rc == -ENODATA)
		return plt_err_set(err, -EINVAL, "driver \"blklogwrites\" "
				   "needs the options \"file\" and \"log\"");
	if (rc)
		return rc;
	s->file = platter_image_child(img, "file");
	s->log = platter_image_child(img, "log");
	if (flags & PLATTER_O_RDWR)
		rc = start_log(s, err);
	if (rc)
		return rc;
	pthread_rwlock_init(&s->order, NULL);
	pthread_mutex_init(&s->append, NULL);
	return 0;
}

/* As when it is opened for writing: nothing has been written so far. */
static int logwrites_reopen_rw(struct platter_image *img,
			       struct platter_error *err)
{
	return start_log(platter_image_state(img), err);
}

/* The super block was written by the flush that came before. */
static void logwrites_close(struct platter_image *img)
{
	struct logwrites *s = platter_image_state(img);

	pthread_rwlock_destroy(&s->order);
	pthread_mutex_destroy(&s->append);
}

static const struct platter_option options[] = {
	{ "file", "the node whose writes are logged (required)" },
	{ "log", "the file the log goes to, which must exist (required)" },
	{ "log-sector-size", "bytes in a sector of the log (512)" },
	{ "log-super-update-interval",
	  "entries after which the super block is brought up to date (4096)" },
	{ NULL, NULL },
};

static const struct platter_io_ops io_ops = {
	.pwrite = logwrites_pwrite,
	.zero = logwrites_zero,
	.discard = logwrites_discard,
	.flush = logwrites_flush,
	.resize = logwrites_resize,
	.reopen_rw = logwrites_reopen_rw,
};

const struct platter_driver plt_blklogwrites_driver = {
	.name = "blklogwrites",
	.kind = PLATTER_DRIVER_FILTER,
	.state_size = sizeof(struct logwrites),
	.options = options,
	.open = logwrites_open,
	.close = logwrites_close,
	.io = &io_ops,
};
