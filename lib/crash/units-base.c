/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the hashes are made of: the data of the log, read once and in large
 * pieces where entries follow each other, and the base, read only where the
 * log writes and the map does not say that there are zeros.
 */
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "crash/units.h"

int plt_crash_units_log(struct plt_crash_units *u, uint64_t offset, size_t len,
			const uint8_t **data, struct platter_error *err)
{
	struct platter_log *log = u->crash->log;
	size_t n;
	int rc;

	if (offset < u->buf_offset ||
	    offset + len > u->buf_offset + u->buf_len) {
		n = PLT_MAX(len, (size_t)PLT_CRASH_READ);
		n = PLT_MIN((uint64_t)n, log->size - offset);
		u->buf_len = 0;
		rc = platter_image_pread(log->img, u->buf, n, offset, err);
		if (rc)
			return plt_err_prefix(err, rc, "%s", log->name);
		u->buf_offset = offset;
		u->buf_len = n;
	}
	*data = u->buf + (offset - u->buf_offset);
	return 0;
}

int plt_crash_base_extent(struct plt_crash_units *u, uint64_t offset,
			  bool *zero, uint64_t *until,
			  struct platter_error *err)
{
	struct platter_image *base = u->crash->base;
	const uint64_t size = base ? platter_image_size(base) : 0;
	struct platter_extent e;
	size_t count = 1;
	int rc;

	if (offset >= size) {
		*zero = true;
		*until = UINT64_MAX;
		return 0;
	}
	if (offset < u->extent || offset >= u->extent_end) {
		rc = platter_image_map(base, offset, size - offset, &e, &count,
				       err);
		if (rc)
			return rc;
		u->extent = offset;
		u->extent_end = offset + e.length;
		u->extent_zero = e.flags & PLATTER_EXTENT_ZERO;
	}
	*zero = u->extent_zero;
	*until = u->extent_end;
	return 0;
}

/* Bytes behind the end of the base are zeros. */
static int read_base(struct plt_crash_units *u, uint64_t offset, size_t len,
		     struct platter_error *err)
{
	const uint64_t size = platter_image_size(u->crash->base);
	const size_t n = PLT_MIN((uint64_t)len, size - offset);
	int rc;

	u->base_len = 0;
	rc = platter_image_pread(u->crash->base, u->base, n, offset, err);
	if (rc)
		return plt_err_prefix(err, rc, "%s",
				      platter_image_name(u->crash->base));
	memset(u->base + n, 0, len - n);
	u->base_offset = offset;
	u->base_len = len;
	return 0;
}

int plt_crash_base_hash(struct plt_crash_units *u, uint64_t sector,
			uint64_t end, struct plt_hash128 *out,
			struct platter_error *err)
{
	const uint32_t bytes = u->crash->sector;
	const uint64_t offset = sector * bytes;
	uint64_t until, len;
	bool zero;
	int rc;

	rc = plt_crash_base_extent(u, offset, &zero, &until, err);
	if (rc)
		return rc;
	if (zero && until - offset >= bytes) {
		*out = plt_crash_sector_hash(u->zero, sector);
		return 0;
	}
	if (offset < u->base_offset ||
	    offset + bytes > u->base_offset + u->base_len) {
		/* To the end of what is asked for and not zeros. */
		end = PLT_MIN(end, until);
		len = end > offset ? end - offset : 0;
		len = PLT_MIN(len, (uint64_t)PLT_CRASH_READ);
		len = PLT_MAX(plt_align_down(len, bytes), (uint64_t)bytes);
		rc = read_base(u, offset, len, err);
		if (rc)
			return rc;
	}
	*out = plt_crash_sector_hash(
		plt_xxh3_128(u->base + (offset - u->base_offset), bytes),
		sector);
	return 0;
}
