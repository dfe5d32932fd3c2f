// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Read an image from front to back.
 *
 * Workers read batches of the map's data at the same time and then take turns,
 * in order, to hand them on.
 */
#include "copy/scan.h"

#include <platter/sys/driver.h>

#include "base/error.h"
#include "base/mem.h"
#include "copy/extents.h"
#include "copy/runner.h"
#include "core/core.h"

struct scan {
	struct platter_image *img;
	const struct plt_scan_options *opts;
	struct plt_runner *run;
	uint64_t skipped;		/* guest bytes no worker sees */
};

static int read_batch(struct scan *s, const struct plt_segment *segs,
		      size_t nr, uint8_t *buf, struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < nr && !rc && !plt_runner_stopped(s->run); i++) {
		const struct plt_segment *seg = &segs[i];

		rc = platter_image_pread(seg->file ? seg->file : s->img, buf,
					 seg->length, seg->file ?
					 seg->host_offset : seg->offset, err);
		buf += seg->length;
	}
	return rc;
}

static int hand_on(struct scan *s, const struct plt_segment *segs, size_t nr,
		   const uint8_t *buf, struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < nr && !rc; i++) {
		rc = s->opts->data(s->opts->arg, segs[i].offset, buf,
				   segs[i].length, err);
		buf += segs[i].length;
	}
	return rc;
}

static int scan_batch(void *arg, const struct plt_segment *segs, size_t nr,
		      void *buf, struct platter_error *err)
{
	struct scan *s = arg;
	int rc;

	rc = read_batch(s, segs, nr, buf, err);
	if (!rc)
		rc = plt_runner_begin_turn(s->run, segs, 0);
	if (rc)
		return rc;
	rc = hand_on(s, segs, nr, buf, err);
	plt_runner_end_turn(s->run, segs, 0);
	return rc;
}

static int add_extent(struct scan *s, const struct platter_extent *ext,
		      struct platter_error *err)
{
	struct plt_segment seg = {
		.offset = ext->offset,
		.file = ext->flags & PLT_EXTENT_DIRECT ? ext->file : NULL,
		.host_offset = ext->host_offset,
	};
	uint64_t left = ext->length;
	int rc = 0;

	if (ext->flags & PLATTER_EXTENT_ZERO) {
		s->skipped += left;
		left = 0;
	}
	while (left && !rc) {
		seg.length = PLT_MIN(left, PLT_CHUNK_MAX -
				     seg.offset % PLT_CHUNK_MAX);
		rc = plt_runner_add(s->run, &seg, seg.length, err);
		seg.offset += seg.length;
		seg.host_offset += seg.length;
		left -= seg.length;
	}
	return rc ? rc : plt_runner_report(s->run, s->opts->progress,
					   s->skipped, s->opts->length, err);
}

static int walk(struct scan *s, struct platter_error *err)
{
	uint64_t end = s->opts->offset + s->opts->length;
	uint64_t offset = s->opts->offset;
	plt_auto_free struct plt_extents *map = NULL;
	int rc = plt_extents_new(&map, s->img, end, err);

	while (!rc && offset < end) {
		struct platter_extent ext;

		rc = plt_extents_at(map, offset, &ext, err);
		if (rc)
			break;
		rc = add_extent(s, &ext, err);
		offset += ext.length;
	}
	return rc ? rc : plt_runner_finish(s->run, err);
}

int plt_scan(struct platter_image *img, const struct plt_scan_options *opts,
	     struct platter_error *err)
{
	struct scan s = { .img = img, .opts = opts };
	int rc;

	rc = plt_range_check(img, opts->offset, opts->length, err);
	if (!rc)
		rc = plt_runner_new(&s.run, opts->workers, PLT_CHUNK_MAX,
				    scan_batch, &s, err);
	if (rc)
		return rc;
	plt_runner_order(s.run, 1);
	rc = walk(&s, err);
	plt_runner_free(s.run);
	return rc ? rc : plt_progress(opts->progress, opts->length,
				      opts->length, err);
}
