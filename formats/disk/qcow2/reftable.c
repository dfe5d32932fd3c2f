/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The refcount table: read at open, and made larger with the file.
 *
 * It is held as on disk. A new block is written, all of it, before the table
 * in memory refers to it; the writeback flushes between the two. A new table
 * begins where the old one's reach ends, with the blocks that hold its own
 * refcounts in front: both are durable before the header says where it is, and
 * the old one is given up after that.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "disk/qcow2/alloc.h"

#define MAX_ENTRIES	(QCOW2_MAX_REFTABLE_BYTES / 8)

/* Whole sectors, as it is written. */
static size_t sectors(size_t entries)
{
	return PLT_MAX((entries + QCOW2_PER_SECTOR - 1) / QCOW2_PER_SECTOR,
		       (size_t)1);
}

int plt_qcow2_reftable_load(struct plt_qcow2 *s, struct platter_error *err)
{
	size_t entries = ((size_t)s->h.reftable_clusters << s->cluster_bits) /
			 8;
	uint64_t end = platter_image_size(s->file), len = entries * 8;
	plt_auto_free uint64_t *table = NULL;
	plt_auto_free uint8_t *dirty = NULL;
	int rc = 0;

	table = plt_calloc(sectors(entries), QCOW2_SECTOR, err);
	dirty = plt_calloc(sectors(entries), 1, err);
	if (!table || !dirty)
		return -ENOMEM;
	/* Past the end of a truncated file there is nothing. */
	len = s->h.reftable_offset < end ?
	      PLT_MIN(len, end - s->h.reftable_offset) : 0;
	if (len)
		rc = platter_image_pread(s->file, table, len,
					 s->h.reftable_offset, err);
	if (rc < 0)
		return plt_err_prefix(err, rc, "reading the refcount table");
	free(s->reftable);
	free(s->reftable_dirty);
	s->reftable = plt_steal(table);
	s->reftable_dirty = plt_steal(dirty);
	s->reftable_entries = entries;
	return 0;
}

/* ---- a new block ---- */

int plt_qcow2_refblock_add(struct plt_qcow2 *s, uint64_t index,
			   uint64_t cluster, struct platter_error *err)
{
	uint64_t mask = (UINT64_C(1) << s->refblock_bits) - 1;
	uint64_t host = cluster << s->cluster_bits;
	bool own = cluster >> s->refblock_bits == index;
	plt_auto_free uint8_t *buf = NULL;
	int rc;

	rc = plt_qcow2_check_overlap(s, 0, host, s->cluster_size, err);
	if (rc < 0)
		return rc;
	buf = plt_calloc(1, s->cluster_size, err);
	if (!buf)
		return -ENOMEM;
	if (own)
		plt_qcow2_refcount_store(buf, cluster & mask,
					 s->h.refcount_order, 1);
	else
		rc = plt_qcow2_refcount_raise(s, host, s->cluster_size, err);
	if (rc < 0)
		return rc;
	rc = plt_qcow2_extend_file(s, host + s->cluster_size, err);
	if (rc == 0)
		rc = plt_qcow2_put(s, buf, s->cluster_size, host, err);
	if (rc < 0) {
		if (!own)
			plt_qcow2_unalloc(s, host, s->cluster_size);
		return plt_err_prefix(err, rc, "writing a refcount block");
	}
	plt_put_be64(&s->reftable[index], host);
	s->reftable_dirty[index / QCOW2_PER_SECTOR] = 1;
	return 0;
}

/* ---- a new table ---- */

/* Where the new table and the blocks in front of it will be. */
struct plan {
	uint64_t entries, clusters;	/* of the table */
	uint64_t blocks;
	uint64_t base;			/* the first block's cluster */
};

static uint64_t div_up(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

static int plan_table(const struct plt_qcow2 *s, uint64_t last, struct plan *p,
		      struct platter_error *err)
{
	uint64_t part = UINT64_C(1) << s->refblock_bits;
	uint64_t per = s->cluster_size / 8, need;

	*p = (struct plan) {
		.base = (uint64_t)s->reftable_entries << s->refblock_bits,
		/* Half as much again, so that this is seldom. */
		.entries = (uint64_t)s->reftable_entries * 3 / 2,
	};
	p->entries = PLT_MAX(p->entries, last + 1);
	p->entries = PLT_MIN(p->entries, (uint64_t)MAX_ENTRIES);
	do {
		p->clusters = div_up(p->entries, per);
		p->entries = p->clusters * per;
		/* They count themselves as well. */
		p->blocks = div_up(p->clusters, part - 1);
		need = s->reftable_entries + p->blocks;
		need = PLT_MAX(need, last + 1);
		if (need > MAX_ENTRIES)
			return plt_err_set(err, -EFBIG, "a refcount table of %"
				PRIu64 " entries is over the limit of %u",
				need, MAX_ENTRIES);
		if (need <= p->entries)
			return 0;
		p->entries = need;
	} while (true);
}

static uint8_t *fill_table(const struct plt_qcow2 *s, const struct plan *p,
			   struct platter_error *err)
{
	uint64_t part = UINT64_C(1) << s->refblock_bits;
	uint64_t all = p->blocks + p->clusters;
	uint8_t *buf = plt_calloc(all, s->cluster_size, err);
	uint8_t *table;

	if (!buf)
		return NULL;
	for (uint64_t i = 0; i < all; i++)
		plt_qcow2_refcount_store(buf + (i / part << s->cluster_bits),
					 i % part, s->h.refcount_order, 1);
	table = buf + (p->blocks << s->cluster_bits);
	memcpy(table, s->reftable, s->reftable_entries * 8);
	for (uint64_t i = 0; i < p->blocks; i++)
		plt_put_be64(table + (s->reftable_entries + i) * 8,
			     (p->base + i) << s->cluster_bits);
	return buf;
}

/* Everything the new table refers to is durable after this. */
static int store_table(struct plt_qcow2 *s, const struct plan *p,
		       const uint8_t *buf, struct platter_error *err)
{
	uint64_t len = (p->blocks + p->clusters) << s->cluster_bits;
	uint64_t host = p->base << s->cluster_bits;
	int rc;

	rc = plt_qcow2_check_overlap(s, 0, host, len, err);
	if (rc == 0)
		rc = plt_qcow2_extend_file(s, host + len, err);
	if (rc == 0)
		rc = platter_image_pwrite(s->file, buf, len, host, err);
	if (rc == 0)
		rc = platter_image_flush(s->file, err);
	return rc;
}

static int switch_header(struct plt_qcow2 *s, const struct plan *p,
			 struct platter_error *err)
{
	uint64_t old_offset = s->h.reftable_offset;
	uint32_t old_clusters = s->h.reftable_clusters;
	int rc;

	s->h.reftable_offset = (p->base + p->blocks) << s->cluster_bits;
	s->h.reftable_clusters = (uint32_t)p->clusters;
	rc = plt_qcow2_header_write_fixed(s, err);
	if (rc < 0) {
		/* It may have arrived or not: neither table may change now. */
		s->broken = true;
		s->h.reftable_offset = old_offset;
		s->h.reftable_clusters = old_clusters;
		return rc;
	}
	plt_qcow2_give_up(s, old_offset,
			  (uint64_t)old_clusters << s->cluster_bits);
	return 0;
}

/* With `lock` all the while: this is rare. */
int plt_qcow2_reftable_grow(struct plt_qcow2 *s, uint64_t last,
			    struct platter_error *err)
{
	plt_auto_free uint64_t *table = NULL;
	plt_auto_free uint8_t *dirty = NULL, *buf = NULL;
	struct plan p;
	int rc;

	rc = plan_table(s, last, &p, err);
	if (rc < 0)
		return rc;
	buf = fill_table(s, &p, err);
	table = plt_calloc(sectors(p.entries), QCOW2_SECTOR, err);
	dirty = plt_calloc(sectors(p.entries), 1, err);
	if (!buf || !table || !dirty)
		return -ENOMEM;
	memcpy(table, buf + (p.blocks << s->cluster_bits), p.entries * 8);
	rc = store_table(s, &p, buf, err);
	if (rc == 0)
		rc = switch_header(s, &p, err);
	if (rc < 0)
		return plt_err_prefix(err, rc, "making the refcount table "
				      "larger");
	free(s->reftable);
	free(s->reftable_dirty);
	s->reftable = plt_steal(table);
	s->reftable_dirty = plt_steal(dirty);
	s->reftable_entries = p.entries;
	return 0;
}
