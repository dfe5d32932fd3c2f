/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checking qcow2: L1 tables, their L2 tables, and what these refer to.
 *
 * An entry is judged by its bits alone, as it may break every rule: an L2 table
 * may be said to lie on the header, between two clusters or behind the end of
 * the file, and is then read from there all the same, as QEMU does.
 *
 * L2 tables that lie near one another are read with one large read.
 */
#include <inttypes.h>

#include "base/endian.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "disk/qcow2/check.h"

#define SPAN		(4u << 20)	/* bytes read at once, at most */
#define GAP		(64u << 10)	/* ... and bytes wasted between tables */
#define ZERO_STEP	4096u

#define ALL_ALLOC	UINT64_C(0x00000000ffffffff)
#define ALL_ZERO	UINT64_C(0xffffffff00000000)

enum plt_qcow2_kind plt_qcow2_check_kind(const struct plt_qcow2 *s,
					 uint64_t entry)
{
	uint64_t host = entry & QCOW2_OFFSET_MASK;

	if (entry & QCOW2_L2_COMPRESSED)
		return QCOW2_COMPRESSED;
	if ((entry & QCOW2_L2_ZERO) && !s->extl2)
		return host ? QCOW2_ZERO_ALLOCATED : QCOW2_ZERO;
	if (host || (s->data_file && (entry & QCOW2_COPIED)))
		return QCOW2_NORMAL;
	return QCOW2_UNALLOCATED;
}

/* ---- going through the tables ---- */

static uint64_t l2_offset(const uint64_t *l1, uint32_t i)
{
	return l1[i] & QCOW2_OFFSET_MASK;
}

/* The last of the entries behind `first` that one read can bring, too. */
static uint32_t span_end(const struct plt_qcow2_checker *c, const uint64_t *l1,
			 uint32_t l1_size, uint32_t first)
{
	const uint64_t size = c->s->cluster_size;
	uint64_t start = l2_offset(l1, first), last = start;
	uint32_t end = first;

	for (uint32_t i = first + 1; i < l1_size; i++) {
		uint64_t at = l2_offset(l1, i);

		if (!l1[i])
			continue;
		if (at < last + size || at > last + size + GAP ||
		    at + size > start + SPAN)
			break;
		last = at;
		end = i;
	}
	return end;
}

int plt_qcow2_check_l2_tables(struct plt_qcow2_checker *c, const uint64_t *l1,
			      uint32_t l1_size, bool with_zero_offset,
			      struct plt_qcow2_l2_visitor *visitor,
			      struct platter_error *err)
{
	const uint32_t size = c->s->cluster_size;
	plt_auto_free uint8_t *buf = plt_memalign(4096, SPAN, err);
	int rc;

	if (!buf)
		return -ENOMEM;
	for (uint32_t i = 0; i < l1_size; i++) {
		uint64_t start = l2_offset(l1, i), len;
		uint32_t end;

		if (!l1[i] || (!start && !with_zero_offset))
			continue;
		end = span_end(c, l1, l1_size, i);
		len = l2_offset(l1, end) - start + size;
		rc = plt_qcow2_check_read(c, buf, len, start, err);
		if (rc)
			return plt_err_prefix(err, rc, "L2 table %" PRIu32, i);
		for (;; i++) {
			if (l1[i])
				rc = visitor->visit(visitor, c, i,
						    l2_offset(l1, i), buf +
						    (l2_offset(l1, i) - start),
						    err);
			if (!rc)
				rc = plt_qcow2_check_progress(
					c, l1[i] ? size : 0, err);
			if (rc)
				return rc;
			if (i == end)
				break;
		}
	}
	return 0;
}

/* ---- one L2 table ---- */

struct l2_walk {
	struct plt_qcow2_l2_visitor visitor;
	bool active;
	uint64_t next;		/* where the next cluster would be contiguous */
	/* Of the entry at hand. */
	uint64_t guest;		/* UINT64_MAX in a snapshot */
	uint64_t table;		/* where it lies in the file */
	uint64_t at;		/* of the entry, there too */
	uint64_t entry, bitmap;
};

static void corrupt(struct plt_qcow2_checker *c, const struct l2_walk *w,
		    const char *kind, const char *what)
{
	plt_qcow2_check_found(c, QCOW2_FOUND_CORRUPTION, false, kind, w->at,
			      w->guest, "%s: L2 entry %#" PRIx64, what,
			      w->entry);
}

/*
 * The reference does not count, as in QEMU; but the data may well be good. It
 * is not given away.
 */
static int keep(struct plt_qcow2_checker *c, uint64_t host, uint64_t len,
		struct platter_error *err)
{
	const unsigned int bits = c->s->cluster_bits;
	int rc = 0;

	for (uint64_t i = host >> bits; i <= (host + len - 1) >> bits &&
	     i < c->counts.clusters && !rc; i++)
		rc = plt_qcow2_counts_keep(&c->counts, i, err);
	return rc;
}

static int check_compressed(struct plt_qcow2_checker *c,
			    const struct l2_walk *w, struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	uint64_t host = w->entry & s->coffset_mask;
	uint64_t sectors = (w->entry >> s->csize_shift & s->csize_mask) + 1;

	if (w->entry & QCOW2_COPIED)
		corrupt(c, w, "copied-compressed",
			"copied flag must never be set for compressed "
			"clusters");
	if (s->data_file) {
		corrupt(c, w, "compressed-data-file",
			"compressed cluster with data file");
		return 0;
	}
	if (w->bitmap) {
		corrupt(c, w, "compressed-subclusters",
			"compressed cluster with non-zero subcluster "
			"allocation bitmap");
		return keep(c, host, sectors * 512 - (host & 511), err);
	}
	if (w->active && !c->silent) {
		c->res->allocated_clusters++;
		c->res->compressed_clusters++;
		/* It needs a read of its own: fragmented by nature. */
		c->res->fragmented_clusters++;
	}
	return plt_qcow2_check_count(c, host, sectors * 512 - (host & 511),
				     "compressed cluster", w->guest, err);
}

/* The cluster cannot be had, but it reads as zeros anyway: say just that. */
static int mend_later(struct plt_qcow2_checker *c, const struct l2_walk *w,
		      uint64_t host, struct platter_error *err)
{
	struct plt_qcow2_mend m = {
		.table = w->table,
		.at = w->at,
		.guest = w->guest,
		.host = host,
	};

	if (c->s->extl2)
		plt_put_be64(m.raw + 8, (w->bitmap | w->bitmap << 32) &
			     ALL_ZERO);
	else
		plt_put_be64(m.raw, QCOW2_L2_ZERO);
	return plt_qcow2_check_mend(c, &m, err);
}

/* 1: the entry will be mended, and then refers to nothing. */
static int check_alignment(struct plt_qcow2_checker *c,
			   const struct l2_walk *w, uint64_t host,
			   struct platter_error *err)
{
	bool data = c->s->extl2 ? w->bitmap & ALL_ALLOC :
				  !(w->entry & QCOW2_L2_ZERO);

	if (!(host & (c->s->cluster_size - 1)))
		return 0;
	if (!data && c->fix_errors && !c->silent) {
		int rc = mend_later(c, w, host, err);

		return rc ? rc : 1;
	}
	plt_qcow2_check_found(c, QCOW2_FOUND_CORRUPTION, false,
			      "data-unaligned", w->at, w->guest,
			      "offset=%" PRIx64 ": %s cluster is not properly "
			      "aligned; L2 entry corrupted.", host,
			      data ? "Data" : "Preallocated");
	return 0;
}

static int check_standard(struct plt_qcow2_checker *c, struct l2_walk *w,
			  struct platter_error *err)
{
	uint64_t host = w->entry & QCOW2_OFFSET_MASK;
	int rc;

	if (w->bitmap >> 32 & w->bitmap)
		corrupt(c, w, "subcluster-conflict",
			"Allocated cluster has corrupted subcluster "
			"allocation bitmap");
	rc = check_alignment(c, w, host, err);
	if (rc)
		return rc < 0 ? rc : 0;
	if (w->active && !c->silent) {
		c->res->allocated_clusters++;
		c->res->fragmented_clusters += w->next && host != w->next;
		w->next = host + c->s->cluster_size;
	}
	/* What lies in a data file belongs to its cluster alone. */
	if (c->s->data_file) {
		c->flags_suspect |= !(w->entry & QCOW2_COPIED);
		return 0;
	}
	rc = plt_qcow2_check_count(c, host, c->s->cluster_size,
				   "data cluster", w->guest, err);
	if (!rc && w->active)
		rc = plt_qcow2_check_mark(c, w->entry, err);
	return rc;
}

static int check_entry(struct plt_qcow2_checker *c, struct l2_walk *w,
		       struct platter_error *err)
{
	enum plt_qcow2_kind kind = plt_qcow2_check_kind(c->s, w->entry);

	if (kind != QCOW2_COMPRESSED && (w->entry & QCOW2_L2_RESERVED))
		corrupt(c, w, "l2-reserved", "found L2 entry with reserved "
			"bits set");
	switch (kind) {
	case QCOW2_COMPRESSED:
		return check_compressed(c, w, err);
	case QCOW2_NORMAL:
	case QCOW2_ZERO_ALLOCATED:
		return check_standard(c, w, err);
	case QCOW2_UNALLOCATED:
		if (w->bitmap & ALL_ALLOC)
			corrupt(c, w, "subcluster-unallocated",
				"Unallocated cluster has non-zero subcluster "
				"allocation map");
		return 0;
	case QCOW2_ZERO:
		break;
	}
	return 0;
}

static int walk_l2(struct plt_qcow2_l2_visitor *self,
		   struct plt_qcow2_checker *c, uint32_t l1_index,
		   uint64_t offset, uint8_t *l2, struct platter_error *err)
{
	struct l2_walk *w = (struct l2_walk *)self;
	const struct plt_qcow2 *s = c->s;
	const unsigned int step = s->l2_entry_size;
	uint64_t guest = (uint64_t)l1_index << (s->l2_bits + s->cluster_bits);
	int rc;

	w->next = 0;
	w->table = offset;
	for (uint32_t at = 0; at < s->cluster_size; at += step) {
		/* Most of a table of a large, thin image is zeros. */
		if (!(at % ZERO_STEP) && s->cluster_size >= ZERO_STEP &&
		    plt_is_zero(l2 + at, ZERO_STEP)) {
			at += ZERO_STEP - step;
			continue;
		}
		w->at = offset + at;
		w->entry = plt_be64(l2 + at);
		w->bitmap = s->extl2 ? plt_be64(l2 + at + 8) : 0;
		if (!(w->entry | w->bitmap))
			continue;
		w->guest = w->active ? guest + ((uint64_t)(at / step) <<
						s->cluster_bits) :
				       QCOW2_NOWHERE;
		rc = check_entry(c, w, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- an L1 table ---- */

struct l1_walk {
	struct plt_qcow2_l2_visitor visitor;
	struct l2_walk l2;
	const uint64_t *l1;
	uint64_t l1_offset;
};

static int walk_l1(struct plt_qcow2_l2_visitor *self,
		   struct plt_qcow2_checker *c, uint32_t i, uint64_t offset,
		   uint8_t *l2, struct platter_error *err)
{
	struct l1_walk *w = (struct l1_walk *)self;
	const struct plt_qcow2 *s = c->s;
	const uint64_t guest = w->l2.active ?
		(uint64_t)i << (s->l2_bits + s->cluster_bits) : QCOW2_NOWHERE;
	const uint64_t at = w->l1_offset + (uint64_t)i * 8;
	int rc;

	if (w->l1[i] & QCOW2_L1_RESERVED)
		plt_qcow2_check_found(c, QCOW2_FOUND_CORRUPTION, false,
				      "l1-reserved", at, guest, "found L1 "
				      "entry with reserved bits set: %" PRIx64,
				      w->l1[i]);
	rc = plt_qcow2_check_count(c, offset, s->cluster_size, "L2 table",
				   guest, err);
	if (!rc && offset >> s->cluster_bits < c->counts.clusters)
		rc = plt_qcow2_counts_add_table(&c->counts, offset >>
						s->cluster_bits, err);
	if (!rc && w->l2.active && offset)
		rc = plt_qcow2_check_mark(c, w->l1[i], err);
	if (rc)
		return rc;
	if (offset & (s->cluster_size - 1))
		plt_qcow2_check_found(c, QCOW2_FOUND_CORRUPTION, false,
				      "l2-unaligned", at, guest,
				      "l2_offset=%" PRIx64 ": Table is not "
				      "cluster aligned; L1 entry corrupted",
				      offset);
	return walk_l2(&w->l2.visitor, c, i, offset, l2, err);
}

int plt_qcow2_check_l1(struct plt_qcow2_checker *c, uint64_t l1_offset,
		       uint32_t l1_size, bool active,
		       struct platter_error *err)
{
	const size_t bytes = (size_t)l1_size * 8;
	plt_auto_free uint64_t *l1 = NULL;
	struct l1_walk w = {
		.visitor = { walk_l1 },
		.l2 = { .visitor = { walk_l2 }, .active = active },
		.l1_offset = l1_offset,
	};
	int rc;

	if (!l1_size)
		return 0;
	rc = plt_qcow2_check_count(c, l1_offset, bytes, "L1 table",
				   QCOW2_NOWHERE, err);
	if (rc)
		return rc;
	l1 = plt_calloc(l1_size, sizeof(*l1), err);
	if (!l1)
		return -ENOMEM;
	rc = plt_qcow2_check_read(c, l1, bytes, l1_offset, err);
	if (rc)
		return plt_err_prefix(err, rc, "L1 table");
	for (uint32_t i = 0; i < l1_size; i++) {
		l1[i] = be64toh(l1[i]);
		if (l1[i])
			c->total += c->s->cluster_size;
	}
	w.l1 = l1;
	return plt_qcow2_check_l2_tables(c, l1, l1_size, true, &w.visitor,
					 err);
}
