/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Persistent bitmaps: what the files that read and write them share. */
#ifndef PLT_QCOW2_BITMAP_H
#define PLT_QCOW2_BITMAP_H

#include "bitmap/dirty.h"
#include "disk/qcow2/qcow2.h"

struct plt_qcow2_bitmap {
	char *name;
	uint64_t table_offset;
	uint32_t table_size;		/* entries */
	unsigned int granularity_bits;
	bool enabled;			/* the flag "auto" */
	bool broken;			/* was in use when opened: left alone */
	/* The rest is for those that are not broken. */
	bool marked;			/* we have set "in use" on disk */
	uint64_t valid;			/* stored bits behind these are void */
	struct plt_dirty *since;	/* set since, or NULL; not stored yet */
};

struct plt_qcow2_bitmaps {
	size_t nr, room;
	struct plt_qcow2_bitmap *list;
	struct platter_bitmap_info *info;	/* as many; for listing */
};

static inline uint64_t plt_qcow2_bitmap_bits(const struct plt_qcow2_bitmap *b,
					     uint64_t size)
{
	return (size >> b->granularity_bits) +
	       !!(size & ((UINT64_C(1) << b->granularity_bits) - 1));
}

/* Bits in a cluster of a bitmap. */
static inline uint64_t plt_qcow2_bitmap_per(const struct plt_qcow2 *s)
{
	return (uint64_t)s->cluster_size * 8;
}

/* Entries of a table for so many bits. */
static inline uint64_t plt_qcow2_bitmap_entries(const struct plt_qcow2 *s,
						uint64_t bits)
{
	uint64_t per = plt_qcow2_bitmap_per(s);

	return bits / per + !!(bits % per);
}

/* ---- bitmap.c ---- */

/* NULL when there is none of that name. */
struct plt_qcow2_bitmap *plt_qcow2_bitmap_find(const struct plt_qcow2 *s,
					       const char *name);
/* Make s->bitmaps->info what s->bitmaps->list says. */
int plt_qcow2_bitmaps_inform(struct plt_qcow2_bitmaps *all,
			     struct platter_error *err) PLATTER_MUST_CHECK;
void plt_qcow2_bitmap_clear(struct plt_qcow2_bitmap *b);

/* ---- bitmap-directory.c ---- */

/* Fill `all` from the directory, with every limit checked. */
int plt_qcow2_bitmaps_decode(const struct plt_qcow2 *s,
			     struct plt_qcow2_bitmaps *all,
			     struct platter_error *err) PLATTER_MUST_CHECK;
uint64_t plt_qcow2_bitmaps_directory_size(const struct plt_qcow2_bitmaps *all);
/* As bytes: "in use" stands where a bitmap is broken or marked. */
uint8_t *plt_qcow2_bitmaps_encode(const struct plt_qcow2_bitmaps *all,
				  struct platter_error *err);
/*
 * Write the directory over the old one, which is as long, while the image says
 * that its bitmaps are not to be trusted (R9). Durable before and after.
 */
int plt_qcow2_bitmaps_rewrite(struct plt_qcow2 *s, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- bitmap-data.c ---- */

/* The table, host-endian and checked, NULL for none; the caller frees. */
int plt_qcow2_bitmap_table(const struct plt_qcow2 *s,
			   const struct plt_qcow2_bitmap *b, uint64_t **table,
			   struct platter_error *err) PLATTER_MUST_CHECK;
/* The stored bits of one entry: a cluster. */
int plt_qcow2_bitmap_cluster(const struct plt_qcow2 *s, uint64_t entry,
			     uint8_t *buf, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Clear the bits of `buf` from `first` to the end of a cluster. */
void plt_qcow2_bitmap_trim(const struct plt_qcow2 *s, uint8_t *buf,
			   uint64_t first);

#endif
