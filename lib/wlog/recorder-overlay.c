/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recording what is written to an image that is not to change: the log is
 * where the writes are, and where they are read back from.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "wlog/overlay.h"
#include "wlog/recorder.h"
#include "wlog/wlog.h"

/* ---- opening ---- */

/* What the log has already, when it is appended to. */
static int take_in(struct plt_recorder *r, struct platter_log *log,
		   struct platter_error *err)
{
	uint64_t size = r->base_size;
	struct platter_log_cursor *c;
	struct platter_log_entry e;
	int rc;

	rc = platter_log_cursor_new(&c, log, 0, err);
	if (rc)
		return rc;
	while ((rc = platter_log_next(c, &e, err)) == 0) {
		size = PLT_MAX(size, e.start + e.length);
		if (!e.length)
			continue;
		rc = plt_overlay_resize(r->overlay, size, err);
		if (!rc)
			rc = plt_overlay_set(r->overlay, e.start, e.length,
					     e.data_offset, err);
		if (rc)
			break;
	}
	platter_log_cursor_free(c);
	platter_image_set_size(r->node, size);
	return rc < 0 ? rc : 0;
}

int plt_recorder_load(struct plt_recorder *r, bool is_new,
		      struct platter_error *err)
{
	struct platter_log *log;
	int rc;

	plt_overlay_free(r->overlay);
	r->overlay = NULL;
	r->base_size = platter_image_size(r->file);
	rc = plt_overlay_new(&r->overlay, r->base_size, err);
	if (rc || is_new)
		return rc;
	rc = plt_wlog_open(&log, r->node->ctx, r->log.img, NULL, err);
	if (rc)
		return rc;
	rc = log->sector_size >= PLT_OVERLAY_SECTOR ? take_in(r, log, err) :
	     plt_err_set(err, -EINVAL, "overlay=on needs log sectors of at "
			 "least %u bytes, the log's are %u",
			 PLT_OVERLAY_SECTOR, log->sector_size);
	platter_log_close(log);
	return rc;
}

/* ---- reading ---- */

static int read_base(struct plt_recorder *r, uint8_t *buf, uint64_t len,
		     uint64_t offset, struct platter_error *err)
{
	uint64_t there = offset < r->base_size ?
			 PLT_MIN(len, r->base_size - offset) : 0;

	memset(buf + there, 0, len - there);
	return there ? platter_image_pread(r->file, buf, there, offset, err) :
		       0;
}

int plt_recorder_overlay_read(struct plt_recorder *r, void *buf, size_t len,
			      uint64_t offset, struct platter_error *err)
{
	uint8_t *to = buf;
	int rc = 0;

	while (len && !rc) {
		struct plt_overlay_part p = plt_overlay_get(r->overlay, offset,
							    len);

		if (p.kind == PLT_OVERLAY_DATA)
			rc = platter_image_pread(r->log.img, to, p.length,
						 p.log_offset, err);
		else if (p.kind == PLT_OVERLAY_ZERO)
			memset(to, 0, p.length);
		else
			rc = read_base(r, to, p.length, offset, err);
		to += p.length;
		offset += p.length;
		len -= p.length;
	}
	return rc;
}

/* ---- the map ---- */

static int base_extent(struct plt_recorder *r, uint64_t offset, uint64_t len,
		       struct platter_extent *extent,
		       struct platter_error *err)
{
	struct platter_extent below;
	size_t count = 1;
	int rc;

	extent->length = len;
	extent->flags = PLATTER_EXTENT_ZERO | PLATTER_EXTENT_PRESENT;
	if (offset >= r->base_size)
		return 0;
	len = PLT_MIN(len, r->base_size - offset);
	rc = platter_image_map(r->file, offset, len, &below, &count, err);
	if (rc)
		return rc;
	extent->length = below.length;
	extent->flags = PLATTER_EXTENT_PRESENT |
			(below.flags & (PLATTER_EXTENT_ZERO |
					PLATTER_EXTENT_DATA));
	return 0;
}

/* Where the bytes are in a file is left out: it is not always one. */
int plt_recorder_extent(struct plt_recorder *r, uint64_t offset, uint64_t len,
			struct platter_extent *extent,
			struct platter_error *err)
{
	struct plt_overlay_part p = plt_overlay_get(r->overlay, offset, len);

	if (p.kind == PLT_OVERLAY_NONE)
		return base_extent(r, offset, p.length, extent, err);
	extent->length = p.length;
	extent->flags = PLATTER_EXTENT_PRESENT |
			(p.kind == PLT_OVERLAY_ZERO ? PLATTER_EXTENT_ZERO :
						      PLATTER_EXTENT_DATA);
	return 0;
}

/* ---- resizing ---- */

/* What becomes visible reads as zeros, whatever the base has there. */
int plt_recorder_overlay_resize(struct plt_recorder *r, uint64_t size,
				struct platter_error *err)
{
	const uint64_t old = platter_image_size(r->node);
	int rc;

	rc = plt_overlay_resize(r->overlay, size, err);
	if (!rc && size > old)
		rc = plt_overlay_set(r->overlay, old, size - old, 0, err);
	return rc;
}
