/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing a log of another one's entries; recording is in append.c.
 *
 * Entries of a log with the same sector size are taken over as they are,
 * headers and data in one piece; runs of zeros stay holes, so a sparse log
 * stays sparse. The super block comes last: until then the file is a log
 * without one, whose entries can still be salvaged.
 */
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "core/core.h"
#include "wlog/wlog.h"

#define CHUNK	(1u << 20)
#define HOLE	(64u << 10)	/* zeros are skipped in pieces of this size */

int plt_wlog_writer_start(struct plt_wlog_writer *w, struct platter_image *img,
			  uint32_t sector_size, struct platter_error *err)
{
	w->img = img;
	w->sector_size = sector_size;
	w->end = sector_size;
	w->entries = 0;
	return platter_image_resize(img, sector_size, err);
}

/* Write what is not zero of `buf` into a file that reads as zeros there. */
static int write_sparse(struct platter_image *img, const uint8_t *buf,
			size_t len, uint64_t offset, struct platter_error *err)
{
	size_t piece, begin = 0, at;
	int rc = 0;

	for (at = 0; at < len && !rc; at += piece) {
		piece = PLT_MIN(len - at, (size_t)HOLE);
		if (!plt_is_zero(buf + at, piece))
			continue;
		if (at > begin)
			rc = platter_image_pwrite(img, buf + begin, at - begin,
						  offset + begin, err);
		begin = at + piece;
	}
	if (!rc && begin < len)
		rc = platter_image_pwrite(img, buf + begin, len - begin,
					  offset + begin, err);
	return rc;
}

int plt_wlog_writer_append(struct plt_wlog_writer *w, struct platter_log *log,
			   uint64_t begin, uint64_t end, uint64_t entries,
			   struct platter_progress *progress,
			   struct platter_error *err)
{
	plt_auto_free uint8_t *buf = plt_memalign(4096, CHUNK, err);
	uint64_t at = begin;
	size_t n;
	int rc;

	if (!buf)
		return -ENOMEM;
	rc = platter_image_resize(w->img, w->end + (end - begin), err);
	while (!rc && at < end) {
		n = PLT_MIN(end - at, (uint64_t)CHUNK);
		rc = platter_image_pread(log->img, buf, n, at, err);
		if (!rc)
			rc = write_sparse(w->img, buf, n, w->end + (at - begin),
					  err);
		if (!rc)
			rc = plt_progress(progress, at - begin, end - begin,
					  err);
		at += n;
	}
	if (rc)
		return rc;
	w->end += end - begin;
	w->entries += entries;
	return 0;
}

int plt_wlog_writer_finish(struct plt_wlog_writer *w, struct platter_error *err)
{
	const struct plt_wlog_disk_super super = {
		.magic = htole64(PLT_WLOG_MAGIC),
		.version = htole64(PLT_WLOG_VERSION),
		.nr_entries = htole64(w->entries),
		.sector_size = htole32(w->sector_size),
	};

	return platter_image_pwrite(w->img, &super, sizeof(super), 0, err);
}
