/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a write log: judging entry headers, and walking them in order.
 *
 * The format has no checksum, no sequence number and no way back, so every
 * rule that a real writer keeps is used as evidence: known flags only, zeros
 * behind the header, data inside the storage, a place on the device that fits
 * a file. The first header that breaks one ends what can be proven; reading
 * payload as headers is the mistake this file exists to avoid.
 *
 * Whether data follows depends on nr_sectors and DISCARD alone. data_len is a
 * mark's text length, and non-zero on data entries the kernel's DAX era wrote
 * inline; readers that skip by it lose their place.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "wlog/wlog.h"

/*
 * Headers closer than this are cheaper to read together with what lies
 * between them than one by one (a system call costs about as much as copying
 * 2 KiB that are cached). How much is read at once grows while they stay so,
 * because one close neighbour says little about the next.
 */
#define DENSE_STEP	2048u
#define DENSE_FIRST	4096u
#define DENSE_GROWTH	4u

size_t plt_wlog_header_bytes(const struct platter_log *log)
{
	return PLT_MIN(log->sector_size, PLT_WLOG_WINDOW);
}

static int stop(struct plt_wlog_stop *s, enum plt_wlog_stop_kind kind,
		uint64_t offset, const char *fmt, ...) PLATTER_PRINTF(4, 5);

static int stop(struct plt_wlog_stop *s, enum plt_wlog_stop_kind kind,
		uint64_t offset, const char *fmt, ...)
{
	va_list ap;

	s->kind = kind;
	s->offset = offset;
	va_start(ap, fmt);
	vsnprintf(s->text, sizeof(s->text), fmt, ap);
	va_end(ap);
	return 1;
}

bool plt_wlog_has_ext(const struct platter_log *log, const uint8_t *hdr)
{
	const size_t end = PLT_WLOG_EXT_OFFSET +
			   sizeof(struct plt_wlog_disk_ext);

	return log->sector_size >= end &&
	       memcmp(hdr + PLT_WLOG_EXT_OFFSET, PLT_WLOG_EXT_TAG, 8) == 0;
}

/* The first byte behind the header that has to be zero. */
static size_t blank_from(const struct platter_log *log, const uint8_t *hdr,
			 const struct platter_log_entry *e)
{
	if (e->flags & PLATTER_LOG_MARK)
		return sizeof(struct plt_wlog_disk_entry) + e->data_len;
	if (plt_wlog_has_ext(log, hdr) &&
	    plt_is_zero(hdr + sizeof(struct plt_wlog_disk_entry), 8))
		return PLT_WLOG_EXT_OFFSET + sizeof(struct plt_wlog_disk_ext);
	return sizeof(struct plt_wlog_disk_entry);
}

static int check_mark(const struct platter_log *log,
		      const struct platter_log_entry *e,
		      struct plt_wlog_stop *s)
{
	const size_t room = plt_wlog_header_bytes(log) -
			    sizeof(struct plt_wlog_disk_entry);

	if (e->flags != PLATTER_LOG_MARK || e->nr_sectors)
		return stop(s, PLT_WLOG_STOP_NOT_ENTRY, e->offset,
			    "a mark with flags 0x%" PRIx64 " and %" PRIu64
			    " sectors", e->flags, e->nr_sectors);
	if (e->data_len > room)
		return stop(s, PLT_WLOG_STOP_NOT_ENTRY, e->offset,
			    "a mark of %" PRIu64 " bytes; a header holds %zu",
			    e->data_len, room);
	return 0;
}

/* Turn sectors into bytes, and see that device and storage can hold them. */
static int check_extent(const struct platter_log *log,
			struct platter_log_entry *e, struct plt_wlog_stop *s)
{
	uint64_t end;

	if (!plt_mul_u64(&e->start, e->sector, log->sector_size) ||
	    !plt_mul_u64(&e->length, e->nr_sectors, log->sector_size) ||
	    !plt_add_u64(&end, e->start, e->length) || end > PLT_OFFSET_MAX)
		return stop(s, PLT_WLOG_STOP_NOT_ENTRY, e->offset,
			    "sector %" PRIu64 " + %" PRIu64
			    " sectors is past the largest offset a device can have",
			    e->sector, e->nr_sectors);
	if (!e->length || (e->flags & PLATTER_LOG_DISCARD))
		return 0;
	if (e->data_len > e->length)
		return stop(s, PLT_WLOG_STOP_NOT_ENTRY, e->offset,
			    "%" PRIu64 " bytes of inline data in a write of %"
			    PRIu64, e->data_len, e->length);
	e->data_offset = e->offset + log->sector_size;
	if (e->length > log->size - e->data_offset)
		return stop(s, PLT_WLOG_STOP_TORN, e->offset,
			    "the entry needs %" PRIu64
			    " bytes of data, the log has %" PRIu64 " left",
			    e->length, log->size - e->data_offset);
	return 0;
}

int plt_wlog_decode(const struct platter_log *log, const uint8_t *hdr,
		    uint64_t offset, uint64_t number,
		    struct platter_log_entry *e, struct plt_wlog_stop *s)
{
	const size_t bytes = plt_wlog_header_bytes(log);
	size_t blank;

	memset(e, 0, sizeof(*e));
	e->number = number;
	e->offset = offset;
	e->sector = plt_le64(hdr);
	e->nr_sectors = plt_le64(hdr + 8);
	e->flags = plt_le64(hdr + 16);
	e->data_len = plt_le64(hdr + 24);
	e->recovered = number >= log->super_entries;

	if (e->flags & ~(uint64_t)PLATTER_LOG_FLAGS)
		return stop(s, PLT_WLOG_STOP_NOT_ENTRY, offset,
			    "unknown flags 0x%" PRIx64, e->flags);
	if (e->flags & PLATTER_LOG_MARK && check_mark(log, e, s))
		return 1;
	blank = blank_from(log, hdr, e);
	if (!plt_is_zero(hdr + blank, bytes - blank))
		return stop(s, PLT_WLOG_STOP_NOT_ENTRY, offset,
			    "the header's sector is not zero from byte %zu on",
			    blank);
	if (!e->nr_sectors && !e->flags && !e->data_len && !e->sector)
		return stop(s, PLT_WLOG_STOP_ZERO, offset,
			    "the header is all zeros");
	if (!e->nr_sectors && !e->flags && e->recovered)
		return stop(s, PLT_WLOG_STOP_NOT_ENTRY, offset,
			    "neither flags nor sectors");
	if (check_extent(log, e, s))
		return 1;
	if (!(e->flags & PLATTER_LOG_MARK) && plt_wlog_has_ext(log, hdr)) {
		e->issue = plt_le64(hdr + PLT_WLOG_EXT_OFFSET + 8);
		e->time_ns = plt_le64(hdr + PLT_WLOG_EXT_OFFSET + 16);
	}
	if (e->flags & PLATTER_LOG_MARK) {
		e->mark = (const char *)hdr +
			  sizeof(struct plt_wlog_disk_entry);
		e->mark_len = e->data_len;
	}
	return 0;
}

int plt_wlog_entry_at(struct platter_log *log, uint64_t offset,
		      uint64_t number, uint8_t *hdr,
		      struct platter_log_entry *entry,
		      struct platter_error *err)
{
	struct plt_wlog_stop why;
	int rc;

	rc = platter_image_pread(log->img, hdr, plt_wlog_header_bytes(log),
				 offset, err);
	if (rc)
		return plt_err_prefix(err, rc, "entry %" PRIu64, number);
	if (plt_wlog_decode(log, hdr, offset, number, entry, &why))
		return plt_err_set(err, -EUCLEAN,
				   "%s: entry %" PRIu64 " at offset %" PRIu64
				   ": %s; the index is not for this log",
				   log->name, number, offset, why.text);
	return 0;
}

/* ---- the cursor ---- */

/* Make the header at `offset` available in the window. 1 = past the end. */
static int window(struct platter_log_cursor *c, uint64_t offset,
		  const uint8_t **hdr, struct platter_error *err)
{
	struct platter_log *log = c->log;
	const size_t need = plt_wlog_header_bytes(log);
	size_t want;
	int rc;

	if (offset > log->size || log->size - offset < log->sector_size)
		return 1;
	if (offset < c->buf_offset ||
	    offset + need > c->buf_offset + c->buf_len) {
		want = PLT_MAX(c->ahead, need);
		want = PLT_MIN((uint64_t)want, log->size - offset);
		c->buf_len = 0;
		rc = platter_image_pread(log->img, c->buf, want, offset, err);
		if (rc)
			return plt_err_prefix(err, rc, "entry %" PRIu64,
					      c->number);
		c->buf_offset = offset;
		c->buf_len = want;
		c->ahead = PLT_MAX(c->ahead * DENSE_GROWTH,
				   (size_t)DENSE_FIRST);
		c->ahead = PLT_MIN(c->ahead, (size_t)PLT_WLOG_WINDOW);
	}
	*hdr = c->buf + (offset - c->buf_offset);
	return 0;
}

/*
 * QEMU logs a zero-length write at sector 0 as a header of zeros. Inside the
 * count, one that a true entry follows is that; any other is the end.
 */
static int zero_header_is_entry(struct platter_log_cursor *c,
				struct platter_error *err)
{
	struct platter_log_entry next;
	struct plt_wlog_stop why;
	const uint8_t *hdr;
	int rc;

	if (c->number + 1 >= c->log->super_entries)
		return 0;
	rc = window(c, c->offset + c->log->sector_size, &hdr, err);
	if (rc)
		return rc < 0 ? rc : 0;
	return !plt_wlog_decode(c->log, hdr, c->offset + c->log->sector_size,
				c->number + 1, &next, &why);
}

static int at_end(struct platter_log_cursor *c)
{
	const uint64_t left = c->offset < c->log->size ?
			      c->log->size - c->offset : 0;

	if (!left)
		return stop(&c->stop, PLT_WLOG_STOP_EOF, c->offset,
			    "the log ends");
	return stop(&c->stop, PLT_WLOG_STOP_TORN, c->offset,
		    "%" PRIu64 " bytes are left, a header takes %u", left,
		    c->log->sector_size);
}

static void advance(struct platter_log_cursor *c,
		    const struct platter_log_entry *e, const uint8_t *hdr)
{
	uint64_t next = e->offset + c->log->sector_size;

	if (e->data_offset)
		next += e->length;
	if (next - e->offset > DENSE_STEP)
		c->ahead = 0;
	c->last_ext = plt_wlog_has_ext(c->log, hdr);
	/* A mark of the same text inside the count is only somebody's mark. */
	c->closed = e->mark_len == strlen(PLT_WLOG_END_MARK) &&
		    memcmp(e->mark, PLT_WLOG_END_MARK, e->mark_len) == 0 &&
		    e->number + 1 >= c->log->super_entries;
	c->number++;
	c->offset = next;
}

static int next_entry(struct platter_log_cursor *c,
		      struct platter_log_entry *e, struct platter_error *err)
{
	const uint8_t *hdr;
	int rc;

	if (c->closed)
		return stop(&c->stop, PLT_WLOG_STOP_END_MARK, c->offset,
			    "the kernel closed the log");
	if (c->number >= PLT_WLOG_ENTRIES_MAX)
		return stop(&c->stop, PLT_WLOG_STOP_NOT_ENTRY, c->offset,
			    "more than %u entries", PLT_WLOG_ENTRIES_MAX);
	rc = window(c, c->offset, &hdr, err);
	if (rc)
		return rc < 0 ? rc : at_end(c);
	rc = plt_wlog_decode(c->log, hdr, c->offset, c->number, e, &c->stop);
	if (rc && c->stop.kind == PLT_WLOG_STOP_ZERO) {
		rc = zero_header_is_entry(c, err);
		if (rc < 0)
			return rc;
		rc = !rc;
	}
	if (rc)
		return 1;
	c->stop.kind = PLT_WLOG_STOP_NONE;
	advance(c, e, hdr);
	return 0;
}

int platter_log_next(struct platter_log_cursor *c,
		     struct platter_log_entry *e, struct platter_error *err)
{
	int rc;

	if (c->stop.kind != PLT_WLOG_STOP_NONE)
		return 1;
	rc = next_entry(c, e, err);
	if (rc == 1) {
		PLT_LOCK_SCOPE(&c->log->end_lock);

		c->stop.number = c->number;
		c->log->end = c->stop;
	}
	return rc;
}

/* Put the cursor at entry `from`, by index or by reading headers. */
static int seek(struct platter_log_cursor *c, uint64_t from,
		struct platter_error *err)
{
	const struct plt_wlog_index *ix = c->log->index;
	struct platter_log_entry e;
	int rc;

	/* The end itself is reached over the last entry, which may close it. */
	if (ix && from && ix->nr_entries) {
		c->number = PLT_MIN(from, ix->nr_entries - 1);
		c->offset = ix->entries[c->number] & PLT_WLOG_OFFSET_MASK;
	}
	while (c->number < from) {
		rc = platter_log_next(c, &e, err);
		if (rc < 0)
			return rc;
		if (rc)
			return plt_err_set(err, -ERANGE,
					   "%s: point %" PRIu64
					   " is past the end; the log has %"
					   PRIu64 " entries", c->log->name,
					   from, c->number);
	}
	return 0;
}

int platter_log_cursor_new(struct platter_log_cursor **out,
			   struct platter_log *log, uint64_t from,
			   struct platter_error *err)
{
	struct platter_log_cursor *c = plt_calloc(1, sizeof(*c), err);
	int rc;

	if (!c)
		return -ENOMEM;
	c->log = log;
	c->offset = log->sector_size;
	c->buf = plt_memalign(4096, PLT_WLOG_WINDOW, err);
	rc = c->buf ? seek(c, from, err) : -ENOMEM;
	if (rc) {
		platter_log_cursor_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void platter_log_cursor_free(struct platter_log_cursor *c)
{
	if (!c)
		return;
	free(c->buf);
	free(c);
}

int plt_wlog_find_end(struct platter_log *log, struct plt_wlog_stop *end,
		      struct platter_error *err)
{
	struct platter_log_cursor *c;
	struct platter_log_entry e;
	int rc;

	pthread_mutex_lock(&log->end_lock);
	*end = log->end;
	pthread_mutex_unlock(&log->end_lock);
	if (end->kind != PLT_WLOG_STOP_NONE)
		return 0;
	rc = platter_log_cursor_new(&c, log,
				    log->index ? log->index->nr_entries : 0,
				    err);
	if (rc)
		return rc;
	do
		rc = platter_log_next(c, &e, err);
	while (!rc);
	*end = c->stop;
	platter_log_cursor_free(c);
	return rc < 0 ? rc : 0;
}
