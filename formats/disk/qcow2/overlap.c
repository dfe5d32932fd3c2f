/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nothing may be written where metadata lies.
 *
 * In a sound image that cannot happen. In a damaged one, or one made to do
 * harm, refcounts may call a cluster free that a table is in. These are the
 * checks that QEMU calls "cached": of what is in memory anyway.
 */
#include <inttypes.h>

#include "base/error.h"
#include "disk/qcow2/alloc.h"

struct place {
	uint64_t host, len;
};

static bool overlaps(const struct place *p, uint64_t offset, uint64_t len)
{
	return len && p->len && p->host < offset + len &&
	       offset < p->host + p->len;
}

/* Any of the clusters a table in memory points to. */
static bool overlaps_pointed(const struct plt_qcow2 *s, const struct place *p,
			     const uint64_t *table, size_t entries,
			     uint64_t mask)
{
	for (size_t i = 0; i < entries; i++) {
		uint64_t offset;

		if (!table[i])
			continue;
		offset = plt_be64(&table[i]) & mask;
		if (offset && overlaps(p, offset, s->cluster_size))
			return true;
	}
	return false;
}

static bool overlaps_inactive_l1(const struct plt_qcow2 *s,
				 const struct place *p)
{
	uint64_t offset;
	uint32_t entries;

	for (size_t i = 0; plt_qcow2_snapshot_l1(s, i, &offset, &entries);
	     i++) {
		if (overlaps(p, offset, (uint64_t)entries * 8))
			return true;
	}
	return false;
}

/* Entries further on count clusters behind the end of the file. */
static size_t refblocks(const struct plt_qcow2 *s)
{
	uint64_t n = platter_image_size(s->file) >> s->cluster_bits;

	return PLT_MIN((n >> s->refblock_bits) + 1, s->reftable_entries);
}

static const char *in_tables(const struct plt_qcow2 *s, unsigned int check,
			     const struct place *p)
{
	if ((check & QCOW2_OL_L2) &&
	    overlaps_pointed(s, p, s->l1, s->h.l1_size, QCOW2_OFFSET_MASK))
		return "an active L2 table";
	if ((check & QCOW2_OL_REFBLOCK) &&
	    overlaps_pointed(s, p, s->reftable, refblocks(s),
			     QCOW2_REFTABLE_OFFSET_MASK))
		return "a refcount block";
	return NULL;
}

/* What lies there, or NULL. */
static const char *what_lies(const struct plt_qcow2 *s, unsigned int check,
			     const struct place *p)
{
	const struct plt_qcow2_header *h = &s->h;

	if ((check & QCOW2_OL_HEADER) && overlaps(p, 0, s->cluster_size))
		return "the header";
	if ((check & QCOW2_OL_L1) &&
	    overlaps(p, h->l1_offset, (uint64_t)h->l1_size * 8))
		return "the active L1 table";
	if ((check & QCOW2_OL_REFTABLE) &&
	    overlaps(p, h->reftable_offset, (uint64_t)s->reftable_entries * 8))
		return "the refcount table";
	if (check & QCOW2_OL_SNAPSHOTS) {
		if (h->nb_snapshots &&
		    overlaps(p, h->snapshots_offset,
			     plt_qcow2_snapshot_table_size(s)))
			return "the snapshot table";
		if (overlaps_inactive_l1(s, p))
			return "the L1 table of a snapshot";
	}
	if ((check & QCOW2_OL_BITMAPS) && h->has_bitmaps &&
	    overlaps(p, h->bitmap_directory_offset, h->bitmap_directory_size))
		return "the bitmap directory";
	return in_tables(s, check, p);
}

bool plt_qcow2_overlaps(const struct plt_qcow2 *s, uint64_t host, uint64_t len)
{
	const struct place p = { host, len };

	return what_lies(s, ~0u, &p);
}

int plt_qcow2_check_overlap(struct plt_qcow2 *s, unsigned int ignore,
			    uint64_t host, uint64_t len,
			    struct platter_error *err)
{
	const struct place p = { host, len };
	const char *what = what_lies(s, ~ignore, &p);

	if (!what)
		return 0;
	return plt_qcow2_corrupt(s, err, "writing %" PRIu64 " bytes at offset "
				 "%" PRIu64 " of the file would overwrite %s",
				 len, host, what);
}
