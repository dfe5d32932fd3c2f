/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The blklogwrites filter: passes everything on to `file`, and appends each
 * write, discard and flush that has been done to the write log `log`.
 *
 * Options are those of QEMU's filter of that name, and `overlay`, which keeps
 * the writes in the log alone. The work is done by lib/wlog/recorder.c.
 */
#include <errno.h>
#include <inttypes.h>

#include "base/checked.h"
#include "base/error.h"
#include "drivers.h"
#include "wlog/format.h"
#include "wlog/recorder.h"

#define SECTOR_MIN	512u
#define UPDATE_DEFAULT	4096u	/* entries between super blocks */

struct logwrites {
	struct plt_recorder rec;
	struct plt_recorder_options opts;
};

static struct plt_recorder *recorder(struct platter_image *img)
{
	struct logwrites *s = platter_image_state(img);

	return &s->rec;
}

/* ---- requests ---- */

static int logwrites_pread(struct platter_image *img, void *buf, size_t len,
			   uint64_t offset, struct platter_error *err)
{
	return plt_recorder_read(recorder(img), buf, len, offset, err);
}

static int logwrites_pwrite(struct platter_image *img, const void *buf,
			    size_t len, uint64_t offset,
			    struct platter_error *err)
{
	return plt_recorder_write(recorder(img), buf, len, offset, false, err);
}

static int logwrites_pwrite_fua(struct platter_image *img, const void *buf,
				size_t len, uint64_t offset,
				struct platter_error *err)
{
	return plt_recorder_write(recorder(img), buf, len, offset, true, err);
}

static int logwrites_zero(struct platter_image *img, uint64_t offset,
			  uint64_t len, unsigned int flags,
			  struct platter_error *err)
{
	return plt_recorder_zero(recorder(img), offset, len, flags, err);
}

static int logwrites_discard(struct platter_image *img, uint64_t offset,
			     uint64_t len, struct platter_error *err)
{
	return plt_recorder_discard(recorder(img), offset, len, err);
}

static int logwrites_flush(struct platter_image *img,
			   struct platter_error *err)
{
	return plt_recorder_flush(recorder(img), err);
}

static int logwrites_resize(struct platter_image *img, uint64_t size,
			    struct platter_error *err)
{
	return plt_recorder_resize(recorder(img), size, err);
}

static int logwrites_extent(struct platter_image *img, uint64_t offset,
			    uint64_t len, struct platter_extent *extent,
			    struct platter_error *err)
{
	struct plt_recorder *r = recorder(img);

	return r->overlay ? plt_recorder_extent(r, offset, len, extent, err) :
			    -ENOTSUP;
}

/* ---- recording ---- */

static int logwrites_mark(struct platter_image *img, const char *text,
			  size_t len, uint64_t issue, uint64_t *entry,
			  struct platter_error *err)
{
	(void)issue;	/* a mark's header has no room for it */
	return plt_recorder_mark(recorder(img), text, len, entry, err);
}

static int logwrites_pause(struct platter_image *img,
			   struct platter_error *err)
{
	return plt_recorder_pause(recorder(img), err);
}

static int logwrites_resume(struct platter_image *img,
			    struct platter_error *err)
{
	return plt_recorder_resume(recorder(img), err);
}

static int logwrites_end(struct platter_image *img, struct platter_error *err)
{
	return plt_recorder_end(recorder(img), err);
}

static int logwrites_stats(struct platter_image *img,
			   struct platter_record_stats *out,
			   struct platter_error *err)
{
	plt_recorder_stats(recorder(img), out);
	return 0;
}

/* ---- opening ---- */

static int parse_sector_size(uint64_t size, uint32_t *out,
			     struct platter_error *err)
{
	if (!plt_is_power_of_2(size) || size < SECTOR_MIN ||
	    size > PLT_WLOG_SECTOR_MAX)
		return plt_err_set(err, -EINVAL, "log-sector-size %" PRIu64
				   " is not a power of two from %u to %u", size,
				   SECTOR_MIN, PLT_WLOG_SECTOR_MAX);
	*out = (uint32_t)size;
	return 0;
}

static int parse(struct plt_recorder_options *o, struct platter_options *opts,
		 struct platter_error *err)
{
	uint64_t sector_size = 0;
	int rc;

	o->log.interval = UPDATE_DEFAULT;
	rc = platter_options_size(opts, "log-sector-size", &sector_size, err);
	if (!rc && platter_options_string(opts, "log-sector-size"))
		rc = parse_sector_size(sector_size, &o->log.sector_size, err);
	if (!rc)
		rc = platter_options_bool(opts, "log-append", &o->log.append,
					  err);
	if (!rc)
		rc = platter_options_size(opts, "log-super-update-interval",
					  &o->log.interval, err);
	if (!rc)
		rc = platter_options_bool(opts, "overlay", &o->overlay, err);
	if (!rc && !o->log.interval)
		return plt_err_set(err, -EINVAL, "log-super-update-interval "
				   "must be at least 1");
	return rc;
}

static int open_children(struct platter_image *img, bool overlay,
			 struct platter_options *opts,
			 struct platter_error *err)
{
	unsigned int flags = platter_image_flags(img);
	int rc;

	if (overlay)
		flags &= ~(PLATTER_O_RDWR | PLATTER_O_PROBED_RAW);
	rc = platter_image_open_child(img, "file", opts, NULL, flags, err);
	if (!rc)
		rc = platter_image_open_child(img, "log", opts, "raw",
					      PLATTER_O_RDWR, err);
	if (rc == -ENODATA)
		return plt_err_set(err, -EINVAL, "driver \"blklogwrites\" "
				   "needs the options \"file\" and \"log\"");
	return rc;
}

static int logwrites_open(struct platter_image *img,
			  struct platter_options *opts,
			  struct platter_error *err)
{
	struct logwrites *s = platter_image_state(img);
	int rc;

	rc = parse(&s->opts, opts, err);
	if (!rc)
		rc = open_children(img, s->opts.overlay, opts, err);
	if (rc)
		return rc;
	plt_recorder_init(&s->rec, img);
	rc = plt_recorder_start(&s->rec, &s->opts, err);
	if (rc)
		plt_recorder_close(&s->rec);
	return rc;
}

/* As when it is opened for writing: nothing has been written so far. */
static int logwrites_reopen_rw(struct platter_image *img,
			       struct platter_error *err)
{
	struct logwrites *s = platter_image_state(img);

	return plt_recorder_start(&s->rec, &s->opts, err);
}

static void logwrites_close(struct platter_image *img)
{
	plt_recorder_close(recorder(img));
}

static const struct platter_option options[] = {
	{ "file", "the node whose writes are logged (required)" },
	{ "log", "the file the log goes to, which must exist (required)" },
	{ "log-sector-size", "bytes in a sector of the log (512)" },
	{ "log-append", "on: go on behind the entries that are there (off)" },
	{ "log-super-update-interval",
	  "entries after which the super block is brought up to date (4096)" },
	{ "overlay",
	  "on: write to the log only, and leave file as it is (off)" },
	{ NULL, NULL },
};

static const struct platter_io_ops io_ops = {
	.pread = logwrites_pread,
	.pwrite = logwrites_pwrite,
	.pwrite_fua = logwrites_pwrite_fua,
	.zero = logwrites_zero,
	.discard = logwrites_discard,
	.flush = logwrites_flush,
	.resize = logwrites_resize,
	.extent = logwrites_extent,
	.reopen_rw = logwrites_reopen_rw,
};

static const struct platter_record_ops record_ops = {
	.mark = logwrites_mark,
	.pause = logwrites_pause,
	.resume = logwrites_resume,
	.end = logwrites_end,
	.stats = logwrites_stats,
};

const struct platter_driver plt_blklogwrites_driver = {
	.name = "blklogwrites",
	.kind = PLATTER_DRIVER_FILTER,
	.state_size = sizeof(struct logwrites),
	.options = options,
	.open = logwrites_open,
	.close = logwrites_close,
	.io = &io_ops,
	.record = &record_ops,
};
