/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The history of a range: every entry that wrote it, newest first.
 *
 * The index names the extents over the range and the entries of each; their
 * numbers are gathered (12 bytes each), sorted, and each entry is decoded
 * again from the log and hashed as it is reported.
 */
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "wlog/wlog.h"

#define CHUNK (256u << 10)

struct blame {
	struct platter_log *log;
	const struct plt_wlog_index *ix;
	uint64_t offset, end;		/* device bytes */
	uint64_t to;
	uint32_t *found;		/* entry numbers */
	size_t nr, room;
	struct plt_hash *hash;
	uint8_t *buf;			/* CHUNK bytes */
	uint8_t *hdr, *mark_hdr;
	struct platter_error *err;
};

static int gather(void *arg, uint64_t extent)
{
	struct blame *b = arg;
	const uint64_t n = plt_wlog_index_count(b->ix, extent, 0, b->to);
	int rc;

	rc = plt_grow(&b->found, &b->room, b->nr + n, sizeof(*b->found),
		      b->err);
	if (rc || !n)
		return rc;
	memcpy(b->found + b->nr, b->ix->versions + b->ix->first[extent],
	       n * sizeof(*b->found));
	b->nr += n;
	return 0;
}

static int gather_all(struct blame *b)
{
	const unsigned int bits = b->log->sector_bits;
	const uint64_t first = b->offset >> bits;
	const uint64_t last = (b->end - 1) >> bits;
	uint64_t i;
	int rc;

	rc = plt_wlog_index_stab(b->ix, first, gather, b);
	i = plt_wlog_index_lower_bound(b->ix, first);
	for (; !rc && i < b->ix->nr_extents && b->ix->starts[i] <= last; i++)
		rc = gather(b, i);
	return rc;
}

static int newest_first(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x > y ? -1 : x < y;
}

static int hash_part(struct blame *b, struct platter_log_version *v)
{
	uint64_t at = v->entry.data_offset + (v->start - v->entry.start);
	uint64_t left = v->length;
	int rc;

	rc = plt_hash_reset(b->hash, b->err);
	while (!rc && left) {
		const size_t n = PLT_MIN(left, (uint64_t)CHUNK);

		rc = platter_image_pread(b->log->img, b->buf, n, at, b->err);
		if (!rc)
			rc = plt_hash_update(b->hash, b->buf, n, b->err);
		at += n;
		left -= n;
	}
	if (!rc)
		rc = plt_hash_final(b->hash, v->sha256, b->err);
	v->hashed = true;
	return rc;
}

/* The last mark before the entry. */
static int find_mark(struct blame *b, struct platter_log_version *v)
{
	const struct plt_wlog_index *ix = b->ix;
	struct platter_log_entry mark;
	uint64_t low = 0, high = ix->nr_marks, mid;
	int rc;

	v->mark_entry = UINT64_MAX;
	while (low < high) {
		mid = low + (high - low) / 2;
		if (ix->marks[mid] < v->entry.number)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low)
		return 0;
	v->mark_entry = ix->marks[low - 1];
	rc = plt_wlog_entry_at(b->log, ix->entries[v->mark_entry] &
			       PLT_WLOG_OFFSET_MASK, v->mark_entry,
			       b->mark_hdr, &mark, b->err);
	v->mark = mark.mark;
	v->mark_len = mark.mark_len;
	return rc;
}

static int report(struct blame *b, uint32_t number,
		  struct platter_log_version_visitor *visitor)
{
	struct platter_log_version v = { .length = 0 };
	int rc;

	rc = plt_wlog_entry_at(b->log, b->ix->entries[number] &
			       PLT_WLOG_OFFSET_MASK, number, b->hdr, &v.entry,
			       b->err);
	if (rc)
		return rc;
	v.start = PLT_MAX(v.entry.start, b->offset);
	v.length = PLT_MIN(v.entry.start + v.entry.length, b->end) - v.start;
	if (v.entry.data_offset)
		rc = hash_part(b, &v);
	if (!rc)
		rc = find_mark(b, &v);
	return rc ? rc : visitor->visit(visitor, &v, b->err);
}

static int blame_range(struct blame *b,
		       struct platter_log_version_visitor *visitor)
{
	const size_t hdr = plt_wlog_header_bytes(b->log);
	int rc;

	b->buf = plt_memalign(4096, CHUNK, b->err);
	b->hdr = plt_memalign(64, hdr, b->err);
	b->mark_hdr = plt_memalign(64, hdr, b->err);
	if (!b->buf || !b->hdr || !b->mark_hdr)
		return -ENOMEM;
	rc = plt_hash_new(&b->hash, "sha256", b->err);
	if (!rc)
		rc = gather_all(b);
	if (rc)
		return rc;
	if (b->nr)
		qsort(b->found, b->nr, sizeof(*b->found), newest_first);
	for (size_t i = 0; i < b->nr && !rc; i++)
		rc = report(b, b->found[i], visitor);
	return rc;
}

int platter_log_blame(struct platter_log *log, uint64_t offset,
		      uint64_t length, uint64_t to,
		      struct platter_log_version_visitor *visitor,
		      struct platter_error *err)
{
	struct blame b = { .log = log, .offset = offset, .to = to, .err = err };
	int rc;

	if (!length || __builtin_add_overflow(offset, length, &b.end))
		return plt_err_set(err, -EINVAL,
				   "%s: an empty range, or one past the largest offset",
				   log->name);
	rc = platter_log_index(log, NULL, err);
	if (rc)
		return rc;
	b.ix = log->index;
	rc = blame_range(&b, visitor);
	plt_hash_free(b.hash);
	free(b.found);
	free(b.buf);
	free(b.hdr);
	free(b.mark_hdr);
	return rc;
}
