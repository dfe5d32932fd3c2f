/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Appending to a write log: the writing.
 *
 * Small entries are put one behind the other into a buffer and written with
 * one call; the data of large ones is written from where it is. A file grows
 * with each call, so that a reader, or who comes after a crash, takes nothing
 * for an entry that is not there in full. Where that does not hold - storage
 * of a fixed size, and data that is a hole - the header comes last.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <platter/log.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "wlog/append.h"
#include "wlog/format.h"

#define SMALL	(64u << 10)	/* data copied, or zeros written, at most */
#define STEP	(64u << 20)	/* by which a fixed size is made larger */

bool plt_wlog_has_room_for_ext(uint32_t sector_size)
{
	return sector_size >= PLT_WLOG_EXT_OFFSET +
			      sizeof(struct plt_wlog_disk_ext);
}

/* ---- errors ---- */

static bool is_full(int rc)
{
	return rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG;
}

static int full(const struct plt_wlog_batch *b, int rc,
		struct platter_error *err)
{
	return plt_err_set(err, -ENOSPC, "the write log is full at %" PRIu64
			   " bytes (%s); nothing can be written that cannot be "
			   "logged", b->end, strerror(-rc));
}

int plt_wlog_reserve(struct plt_wlog_appender *a, uint64_t end,
		     struct platter_error *err)
{
	int rc;

	if (a->grows || end <= platter_image_size(a->img))
		return 0;
	rc = platter_image_resize(a->img, plt_align_up(end, STEP), err);
	return rc ? -ENOSPC : 0;
}

/* ---- the buffer ---- */

static uint64_t header_flags(const struct plt_wlog_append *e)
{
	return e->flags | (e->mark ? PLATTER_LOG_MARK : 0);
}

static void encode(const struct plt_wlog_appender *a,
		   const struct plt_wlog_append *e, uint8_t *hdr)
{
	struct plt_wlog_disk_ext ext = {
		.issued = htole64(e->issued),
		.time_ns = htole64(e->time_ns),
	};

	memset(hdr, 0, a->sector_size);
	plt_put_le64(hdr, e->offset / a->sector_size);
	plt_put_le64(hdr + 8, e->len / a->sector_size);
	plt_put_le64(hdr + 16, header_flags(e));
	plt_put_le64(hdr + 24, e->mark_len);
	if (e->mark) {
		memcpy(hdr + sizeof(struct plt_wlog_disk_entry), e->mark,
		       e->mark_len);
	} else if (plt_wlog_has_room_for_ext(a->sector_size)) {
		memcpy(ext.tag, PLT_WLOG_EXT_TAG, sizeof(ext.tag));
		memcpy(hdr + PLT_WLOG_EXT_OFFSET, &ext, sizeof(ext));
	}
}

static uint8_t *stage_more(struct plt_wlog_appender *a, size_t len)
{
	uint8_t *p = a->stage + a->stage_len;

	a->stage_len += len;
	return p;
}

/* The buffer has room for a sector more than it is filled with. */
static int write_fixed(struct plt_wlog_appender *a, uint64_t at,
		       struct platter_error *err)
{
	const size_t sector = a->sector_size;
	size_t len = a->stage_len;
	int rc = plt_wlog_reserve(a, at + len, err);

	if (rc)
		return rc;
	if (platter_image_size(a->img) - at - len >= sector) {
		memset(a->stage + len, 0, sector);
		len += sector;
	}
	if (len > sector)
		rc = platter_image_pwrite(a->img, a->stage + sector,
					  len - sector, at + sector, err);
	if (!rc)
		rc = platter_image_pwrite(a->img, a->stage, sector, at, err);
	return rc;
}

/* Write the buffer behind b->end, where `entries` are whole with it. */
static int write_stage(struct plt_wlog_appender *a, struct plt_wlog_batch *b,
		       uint64_t entries, struct platter_error *err)
{
	const size_t len = a->stage_len;
	int rc;

	if (!len)
		return 0;
	if (a->grows)
		rc = plt_image_pwrite_grow(a->img, a->stage, len, b->end, err);
	else
		rc = write_fixed(a, b->end, err);
	a->stage_len = 0;
	if (rc)
		return rc;
	b->end += len;
	b->entries = entries;
	return 0;
}

static void stage_entry(struct plt_wlog_appender *a,
			const struct plt_wlog_append *e)
{
	encode(a, e, stage_more(a, a->sector_size));
	for (size_t i = 0; i < PLT_WLOG_PIECES; i++) {
		const struct plt_wlog_piece *p = &e->piece[i];

		if (p->data)
			memcpy(stage_more(a, p->len), p->data, p->len);
		else if (p->len)
			memset(stage_more(a, p->len), 0, p->len);
	}
}

/* ---- large entries ---- */

/* A hole in a file that has just been made longer, or what is like one. */
static int write_zeros(struct plt_wlog_appender *a, uint64_t at, uint64_t len,
		       struct platter_error *err)
{
	return a->grows ? 0 : platter_image_zero(a->img, at, len,
						 PLATTER_ZERO_UNMAP, err);
}

static bool has_zeros(const struct plt_wlog_append *e)
{
	for (size_t i = 0; i < PLT_WLOG_PIECES; i++) {
		if (!e->piece[i].data && e->piece[i].len)
			return true;
	}
	return false;
}

/* A header of zeros, where there is room for one. */
static int end_with_zeros(struct plt_wlog_appender *a, uint64_t at,
			  struct platter_error *err)
{
	if (a->grows || platter_image_size(a->img) < at + a->sector_size)
		return 0;
	memset(a->stage, 0, a->sector_size);
	return platter_image_pwrite(a->img, a->stage, a->sector_size, at, err);
}

/* The data first, then what is to follow, then the header. */
static int write_behind(struct plt_wlog_appender *a, struct plt_wlog_batch *b,
			const struct plt_wlog_append *e,
			struct platter_error *err)
{
	uint64_t at = b->end + a->sector_size, end = at + e->len;
	int rc;

	rc = a->grows ? platter_image_resize(a->img, end, err) :
			plt_wlog_reserve(a, end, err);
	for (size_t i = 0; i < PLT_WLOG_PIECES && !rc; i++) {
		const struct plt_wlog_piece *p = &e->piece[i];

		if (p->data)
			rc = platter_image_pwrite(a->img, p->data, p->len, at,
						  err);
		else if (p->len)
			rc = write_zeros(a, at, p->len, err);
		at += p->len;
	}
	if (!rc)
		rc = end_with_zeros(a, end, err);
	if (rc)
		return rc;
	encode(a, e, a->stage);
	rc = platter_image_pwrite(a->img, a->stage, a->sector_size, b->end,
				  err);
	b->end = rc ? b->end : end;
	return rc;
}

/* The header, then the data: it is an entry when the last byte is there. */
static int write_growing(struct plt_wlog_appender *a, struct plt_wlog_batch *b,
			 const struct plt_wlog_append *e,
			 struct platter_error *err)
{
	uint64_t at = b->end + a->sector_size;
	int rc;

	encode(a, e, a->stage);
	rc = plt_image_pwrite_grow(a->img, a->stage, a->sector_size, b->end,
				   err);
	for (size_t i = 0; i < PLT_WLOG_PIECES && !rc; i++) {
		const struct plt_wlog_piece *p = &e->piece[i];

		if (!p->len)
			continue;
		rc = plt_image_pwrite_grow(a->img, p->data, p->len, at, err);
		at += p->len;
	}
	b->end = rc ? b->end : at;
	return rc;
}

/* ---- a batch ---- */

static int write_entry(struct plt_wlog_appender *a, struct plt_wlog_batch *b,
		       struct plt_wlog_append *e, struct platter_error *err)
{
	uint64_t data = e->flags & PLATTER_LOG_DISCARD ? 0 : e->len;
	bool small = data <= SMALL;
	int rc = 0;

	if (e->number >= PLT_WLOG_ENTRIES_MAX)
		rc = plt_err_set(err, -ENOSPC, "the write log has %u entries, "
				 "which is the limit", PLT_WLOG_ENTRIES_MAX);
	/* A sector is kept free for the zeros behind: see write_fixed(). */
	else if (!small || a->stage_len + 2ull * a->sector_size + data >
			   a->stage_room)
		rc = write_stage(a, b, e->number, err);
	if (rc)
		return rc;
	e->log_offset = b->end + a->stage_len;
	if (small) {
		stage_entry(a, e);
		return 0;
	}
	rc = has_zeros(e) || !a->grows ? write_behind(a, b, e, err) :
					 write_growing(a, b, e, err);
	if (!rc)
		b->entries = e->number + 1;
	return rc;
}

int plt_wlog_write_batch(struct plt_wlog_appender *a, struct plt_wlog_batch *b,
			 struct platter_error *err)
{
	struct plt_wlog_append *e = b->first;
	uint64_t number = b->entries;
	bool count = false;
	int rc;

	a->stage_len = 0;
	for (;;) {
		e->number = number++;
		count |= e->counted;
		rc = write_entry(a, b, e, err);
		if (rc || e == b->last)
			break;
		e = e->next;
	}
	if (!rc)
		rc = write_stage(a, b, number, err);
	if (!rc && (count || b->entries - b->counted >= a->interval)) {
		rc = plt_wlog_write_super(a, b->entries, err);
		b->counted = rc ? b->counted : b->entries;
	}
	return is_full(rc) && b->entries < PLT_WLOG_ENTRIES_MAX ?
	       full(b, rc, err) : rc;
}

int plt_wlog_write_super(struct plt_wlog_appender *a, uint64_t entries,
			 struct platter_error *err)
{
	const struct plt_wlog_disk_super super = {
		.magic = htole64(PLT_WLOG_MAGIC),
		.version = htole64(PLT_WLOG_VERSION),
		.nr_entries = htole64(entries),
		.sector_size = htole32(a->sector_size),
	};

	return platter_image_pwrite(a->img, &super, sizeof(super), 0, err);
}

int plt_wlog_cut_at(struct plt_wlog_appender *a, uint64_t end,
		    struct platter_error *err)
{
	return a->grows ? platter_image_resize(a->img, end, err) :
			  end_with_zeros(a, end, err);
}
