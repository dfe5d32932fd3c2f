/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Repairing qcow2: a new refcount table and new refcount blocks.
 *
 * They go behind everything there is, where no reference that was overlooked
 * leads, and hold what was counted without the old structures. Once they
 * are durable, one write to the header puts them in force; until then the
 * image is what it was.
 */
#include <inttypes.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/check.h"

struct layout {
	uint64_t first;		/* cluster of the first new block */
	uint64_t blocks;	/* how many blocks */
	uint64_t table;		/* clusters of the table, behind the blocks */
	uint64_t indices;	/* entries of the table in use, at most */
};

static bool block_needed(const struct plt_qcow2_checker *c, uint64_t index,
			 const struct layout *l)
{
	const unsigned int bits = c->s->refblock_bits;
	const uint64_t first = index << bits, nr = UINT64_C(1) << bits;

	if (first < l->first + l->blocks + l->table && first + nr > l->first)
		return true;
	if (!plt_qcow2_counts_any(&c->counts, first, nr))
		return false;
	for (uint64_t i = 0; i < nr; i++)
		if (plt_qcow2_counts_wanted(&c->counts, first + i))
			return true;
	return false;
}

/*
 * The new structures count themselves, so their size depends on itself; it
 * grows until it is enough.
 */
static int plan(const struct plt_qcow2_checker *c, struct layout *l,
		struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	uint64_t blocks, table, end;

	do {
		end = l->first + l->blocks + l->table;
		l->indices = ((end - 1) >> s->refblock_bits) + 1;
		blocks = l->blocks;
		table = l->table;
		l->blocks = 0;
		for (uint64_t i = 0; i < l->indices; i++)
			l->blocks += block_needed(c, i, &(struct layout){
				.first = l->first,
				.blocks = blocks,
				.table = table,
			});
		l->table = (l->indices * 8 + s->cluster_size - 1) >>
			   s->cluster_bits;
		if (l->table << s->cluster_bits > QCOW2_MAX_REFTABLE_BYTES)
			return plt_err_set(err, -EFBIG, "refcount table of %"
					   PRIu64 " clusters is over the limit"
					   " of %u bytes", l->table,
					   QCOW2_MAX_REFTABLE_BYTES);
	} while (l->blocks != blocks || l->table != table);
	return 0;
}

static int write_block(struct plt_qcow2_checker *c, uint64_t index,
		       uint64_t cluster, struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	const uint64_t first = index << s->refblock_bits;

	memset(c->refblock, 0, s->cluster_size);
	c->refblock_at = UINT64_MAX;
	for (uint64_t i = 0; i >> s->refblock_bits == 0; i++) {
		uint64_t refs = plt_qcow2_counts_wanted(&c->counts,
							first + i);

		if (refs)
			plt_qcow2_refcount_store(c->refblock, i,
						 s->h.refcount_order, refs);
	}
	return platter_image_pwrite(c->file, c->refblock, s->cluster_size,
				    cluster << s->cluster_bits, err);
}

static int write_structures(struct plt_qcow2_checker *c,
			    const struct layout *l, struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	const size_t bytes = (size_t)l->table << s->cluster_bits;
	plt_auto_free uint8_t *table = plt_calloc(1, bytes, err);
	uint64_t cluster = l->first;
	int rc;

	if (!table)
		return -ENOMEM;
	for (uint64_t i = 0; i < l->indices; i++) {
		if (!block_needed(c, i, l))
			continue;
		rc = write_block(c, i, cluster, err);
		if (rc)
			return rc;
		plt_put_be64(table + i * 8, cluster << s->cluster_bits);
		cluster++;
	}
	rc = platter_image_pwrite(c->file, table, bytes,
				  cluster << s->cluster_bits, err);
	return rc ? rc : platter_image_flush(c->file, err);
}

static int by_first(const void *a, const void *b)
{
	const struct plt_qcow2_beyond *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

/*
 * Something may be said to lie behind the end of the file, and reads as zeros
 * there. It is not to become what the new structures are.
 */
static int plan_beyond(struct plt_qcow2_checker *c, struct layout *l,
		       struct platter_error *err)
{
	int rc;

	if (c->nr_beyond)
		qsort(c->beyond, c->nr_beyond, sizeof(c->beyond[0]), by_first);
	rc = plan(c, l, err);
	for (size_t i = 0; i < c->nr_beyond && !rc; i++) {
		const struct plt_qcow2_beyond *b = &c->beyond[i];

		if (b->end <= l->first ||
		    b->first >= l->first + l->blocks + l->table)
			continue;
		*l = (struct layout){ .first = b->end };
		rc = plan(c, l, err);
	}
	return rc;
}

/*
 * At the end of the file; where that cannot grow, as on a block device, behind
 * the last cluster that is in use or is said to be.
 */
static int place(struct plt_qcow2_checker *c, struct layout *l,
		 struct platter_error *err)
{
	const uint64_t size = platter_image_size(c->file);
	uint64_t end;
	int rc;

	l->first = c->counts.clusters;
	rc = plan_beyond(c, l, err);
	if (rc)
		return rc;
	end = (l->first + l->blocks + l->table) << c->s->cluster_bits;
	rc = platter_image_resize(c->file, end, err);
	if (!rc)
		return 0;
	*l = (struct layout){ .first = c->highest + 1 };
	if (plan(c, l, NULL) ||
	    (l->first + l->blocks + l->table) << c->s->cluster_bits > size)
		return rc;
	if (err)
		*err = (struct platter_error)PLATTER_ERROR_INIT;
	return 0;
}

static int count_new(struct plt_qcow2_checker *c, const struct layout *l,
		     struct platter_error *err)
{
	const uint64_t end = l->first + l->blocks + l->table;
	int rc = plt_qcow2_counts_extend(&c->counts, end, err);

	for (uint64_t i = l->first; i < end && !rc; i++)
		rc = plt_qcow2_counts_set(&c->counts, i, 1, err);
	return rc;
}

static int switch_over(struct plt_qcow2 *s, const struct layout *l,
		       struct platter_error *err)
{
	const uint64_t old_offset = s->h.reftable_offset;
	const uint32_t old_clusters = s->h.reftable_clusters;
	int rc;

	s->h.reftable_offset = (l->first + l->blocks) << s->cluster_bits;
	s->h.reftable_clusters = (uint32_t)l->table;
	rc = plt_qcow2_header_write_fixed(s, err);
	if (rc) {
		s->h.reftable_offset = old_offset;
		s->h.reftable_clusters = old_clusters;
	}
	return rc;
}

int plt_qcow2_repair_rebuild(struct plt_qcow2_checker *c,
			     struct platter_error *err)
{
	struct layout l = { 0 };
	int rc;

	if (!plt_qcow2_check_alone(c, 0, c->s->cluster_size))
		return plt_err_set(err, -EIO, "the refcounts cannot be rebuilt:"
				   " something else is where the header is");
	c->silent = true;
	rc = plt_qcow2_check_count_all(c, false, err);
	c->silent = false;
	if (!rc)
		rc = place(c, &l, err);
	if (!rc)
		rc = count_new(c, &l, err);
	if (!rc)
		rc = write_structures(c, &l, err);
	if (!rc)
		rc = switch_over(c->s, &l, err);
	if (rc)
		return plt_err_prefix(err, rc, "rebuilding the refcounts");
	c->highest = l.first + l.blocks + l.table - 1;
	c->file_size = platter_image_size(c->file);
	c->rebuild = false;
	c->mismatches = 0;
	return plt_qcow2_check_load_reftable(c, err);
}
