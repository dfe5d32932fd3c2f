/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recording over a node that is open already.
 *
 * It is a protocol, not a filter: children belong to their node, and `lower`
 * is somebody else's. A log is begun and ended as often as one likes, each
 * time with a recorder of its own; without one requests are passed on.
 */
#include <errno.h>
#include <string.h>

#include <platter/record.h>

#include "base/error.h"
#include "core/core.h"
#include "wlog/recorder.h"
#include "wlog/recording.h"

#define INTERVAL	4096u	/* entries between super blocks */

struct recording {
	struct platter_image *lower;
	bool on;		/* `rec` is started */
	struct plt_recorder rec;
};

static int recording_pread(struct platter_image *img, void *buf, size_t len,
			   uint64_t offset, struct platter_error *err)
{
	const struct recording *s = platter_image_state(img);

	return platter_image_pread(s->lower, buf, len, offset, err);
}

static int write_to(struct platter_image *img, const void *buf, size_t len,
		    uint64_t offset, bool fua, struct platter_error *err)
{
	struct recording *s = platter_image_state(img);

	if (s->on)
		return plt_recorder_write(&s->rec, buf, len, offset, fua, err);
	return fua ? platter_image_pwrite_fua(s->lower, buf, len, offset, err) :
		     platter_image_pwrite(s->lower, buf, len, offset, err);
}

static int recording_pwrite(struct platter_image *img, const void *buf,
			    size_t len, uint64_t offset,
			    struct platter_error *err)
{
	return write_to(img, buf, len, offset, false, err);
}

static int recording_pwrite_fua(struct platter_image *img, const void *buf,
				size_t len, uint64_t offset,
				struct platter_error *err)
{
	return write_to(img, buf, len, offset, true, err);
}

static int recording_zero(struct platter_image *img, uint64_t offset,
			  uint64_t len, unsigned int flags,
			  struct platter_error *err)
{
	struct recording *s = platter_image_state(img);

	if (s->on)
		return plt_recorder_zero(&s->rec, offset, len, flags, err);
	return platter_image_zero(s->lower, offset, len, flags, err);
}

static int recording_discard(struct platter_image *img, uint64_t offset,
			     uint64_t len, struct platter_error *err)
{
	struct recording *s = platter_image_state(img);

	if (s->on)
		return plt_recorder_discard(&s->rec, offset, len, err);
	return platter_image_discard(s->lower, offset, len, err);
}

static int recording_flush(struct platter_image *img,
			   struct platter_error *err)
{
	struct recording *s = platter_image_state(img);

	return s->on ? plt_recorder_flush(&s->rec, err) :
		       platter_image_flush(s->lower, err);
}

static int recording_extent(struct platter_image *img, uint64_t offset,
			    uint64_t len, struct platter_extent *extent,
			    struct platter_error *err)
{
	const struct recording *s = platter_image_state(img);
	size_t count = 1;
	int rc;

	rc = platter_image_map(s->lower, offset, len, extent, &count, err);
	extent->flags &= PLATTER_EXTENT_DATA | PLATTER_EXTENT_ZERO;
	extent->depth = 0;
	return rc;
}

static void recording_close(struct platter_image *img)
{
	struct recording *s = platter_image_state(img);

	if (s->on)
		plt_recorder_close(&s->rec);
}

static const struct platter_io_ops io_ops = {
	.pread = recording_pread,
	.pwrite = recording_pwrite,
	.pwrite_fua = recording_pwrite_fua,
	.zero = recording_zero,
	.discard = recording_discard,
	.flush = recording_flush,
	.extent = recording_extent,
};

static const struct platter_driver recording_driver = {
	.name = "recording",
	.kind = PLATTER_DRIVER_PROTOCOL,
	.state_size = sizeof(struct recording),
	.close = recording_close,
	.io = &io_ops,
};

int plt_recording_new(struct platter_image **out, struct platter_image *lower,
		      struct platter_error *err)
{
	struct recording *s;
	int rc;

	rc = plt_image_new(out, lower->ctx, &recording_driver, lower->name,
			   err);
	if (rc)
		return rc;
	s = platter_image_state(*out);
	s->lower = lower;
	(*out)->flags = lower->flags;
	platter_image_set_size(*out, platter_image_size(lower));
	return 0;
}

int plt_recording_begin(struct platter_image *node, struct platter_image *log,
			uint32_t sector_size, struct platter_error *err)
{
	struct recording *s = platter_image_state(node);
	const struct plt_recorder_options opts = {
		.log = { .sector_size = sector_size, .interval = INTERVAL },
	};
	int rc;

	memset(&s->rec, 0, sizeof(s->rec));
	plt_recorder_init(&s->rec, node);
	s->rec.file = s->lower;
	s->rec.log.img = log;
	rc = plt_recorder_start(&s->rec, &opts, err);
	if (rc)
		plt_recorder_close(&s->rec);
	s->on = !rc;
	return rc;
}

int plt_recording_end(struct platter_image *node, uint64_t *entries,
		      struct platter_error *err)
{
	struct recording *s = platter_image_state(node);
	struct platter_record_stats stats;
	int rc;

	plt_recorder_stats(&s->rec, &stats);
	*entries = stats.entries;
	rc = plt_recorder_end(&s->rec, err);
	plt_recorder_close(&s->rec);
	s->on = false;
	return rc;
}
