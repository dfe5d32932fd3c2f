/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Refcounts: reading and changing those of host clusters.
 *
 * Refcounts have 1 to 64 bits; those smaller than a byte fill it from its least
 * significant bit on. A raised refcount reaches the disk before anything that
 * refers to the cluster (writeback.c). A lowered one is only lowered, even in
 * memory, when nothing on disk refers to it any more (limbo.c), so refcount
 * blocks may be written in any order and at any time.
 */
#include <inttypes.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "disk/qcow2/alloc.h"

/* ---- numbers of 1 to 64 bits ---- */

/* Less than a byte wide: the first is in the least significant bits. */
uint64_t plt_qcow2_refcount_load(const uint8_t *block, uint64_t index,
				 unsigned int order)
{
	unsigned int shift;

	switch (order) {
	case 3:
		return block[index];
	case 4:
		return plt_be16(block + index * 2);
	case 5:
		return plt_be32(block + index * 4);
	case 6:
		return plt_be64(block + index * 8);
	default:
		shift = (unsigned int)(index << order) & 7;
		return block[index >> (3 - order)] >> shift &
		       ((1u << (1u << order)) - 1);
	}
}

void plt_qcow2_refcount_store(uint8_t *block, uint64_t index,
			      unsigned int order, uint64_t value)
{
	unsigned int shift, mask;
	uint8_t *byte;

	switch (order) {
	case 3:
		block[index] = (uint8_t)value;
		return;
	case 4:
		plt_put_be16(block + index * 2, (uint16_t)value);
		return;
	case 5:
		plt_put_be32(block + index * 4, (uint32_t)value);
		return;
	case 6:
		plt_put_be64(block + index * 8, value);
		return;
	default:
		shift = (unsigned int)(index << order) & 7;
		mask = ((1u << (1u << order)) - 1) << shift;
		byte = &block[index >> (3 - order)];
		*byte = (uint8_t)((*byte & ~mask) | (value << shift & mask));
	}
}

/* ---- where they are ---- */

uint64_t plt_qcow2_refcounts_per_slice(const struct plt_qcow2 *s)
{
	return (uint64_t)plt_qcow2_slice_size(s) * 8 >> s->h.refcount_order;
}

int plt_qcow2_refblock(struct plt_qcow2 *s, uint64_t cluster, uint64_t *block,
		       struct platter_error *err)
{
	uint64_t i = cluster >> s->refblock_bits;

	*block = 0;
	if (i >= s->reftable_entries)
		return 0;
	*block = plt_be64(&s->reftable[i]) & QCOW2_REFTABLE_OFFSET_MASK;
	if (*block & (s->cluster_size - 1))
		return plt_qcow2_corrupt(s, err, "refcount block offset %#"
					 PRIx64 " of entry %" PRIu64 " is not "
					 "a multiple of the cluster size",
					 *block, i);
	return 0;
}

int plt_qcow2_refcount_slice(struct plt_qcow2 *s, uint64_t cluster,
			     uint64_t block, struct plt_qcow2_slice **out,
			     uint64_t *index, struct platter_error *err)
{
	uint64_t i = cluster & ((UINT64_C(1) << s->refblock_bits) - 1);

	*index = i & (plt_qcow2_refcounts_per_slice(s) - 1);
	return plt_qcow2_slice_get(s, QCOW2_TABLE_REFBLOCK,
				   block + ((i << s->h.refcount_order) >> 3),
				   out, err);
}

int plt_qcow2_refcount_get(struct plt_qcow2 *s, uint64_t cluster,
			   uint64_t *out, struct platter_error *err)
{
	struct plt_qcow2_slice *slice;
	uint64_t block, i;
	int rc;

	*out = 0;
	rc = plt_qcow2_refblock(s, cluster, &block, err);
	if (rc < 0 || !block)
		return rc;
	rc = plt_qcow2_refcount_slice(s, cluster, block, &slice, &i, err);
	if (rc < 0)
		return rc;
	*out = plt_qcow2_refcount_load(slice->data, i, s->h.refcount_order);
	plt_qcow2_slice_put(s, slice);
	return 0;
}

/* ---- changing them ---- */

/* Where other metadata lies, a block is not to be written. */
static int check_slice(struct plt_qcow2 *s, struct plt_qcow2_slice *slice,
		       struct platter_error *err)
{
	int rc;

	if (slice->checked)
		return 0;
	rc = plt_qcow2_check_overlap(s, QCOW2_OL_REFBLOCK, slice->offset,
				     plt_qcow2_slice_size(s), err);
	slice->checked = rc == 0;
	return rc;
}

/* The slice for changing the refcount of `cluster`. */
static int slice_for(struct plt_qcow2 *s, uint64_t cluster,
		     struct plt_qcow2_slice **out, uint64_t *index,
		     struct platter_error *err)
{
	uint64_t block;
	int rc;

	rc = plt_qcow2_check_broken(s, err);
	if (rc == 0)
		rc = plt_qcow2_refblock(s, cluster, &block, err);
	if (rc < 0)
		return rc;
	if (!block)
		return plt_err_set(err, -EIO, "host cluster %" PRIu64 " has no "
				   "refcount block", cluster);
	rc = plt_qcow2_refcount_slice(s, cluster, block, out, index, err);
	if (rc < 0)
		return rc;
	rc = check_slice(s, *out, err);
	if (rc < 0)
		plt_qcow2_slice_put(s, *out);
	return rc;
}

/* Raise as many as one slice has; *clusters is how many that was. */
static int raise_some(struct plt_qcow2 *s, uint64_t first, uint64_t *clusters,
		      struct platter_error *err)
{
	uint64_t per = plt_qcow2_refcounts_per_slice(s);
	uint64_t want = *clusters, at, n = 0;
	struct plt_qcow2_slice *slice;
	int rc;

	*clusters = 0;
	rc = slice_for(s, first, &slice, &at, err);
	if (rc < 0)
		return rc;
	for (; n < want && at < per; n++, at++) {
		uint64_t v = plt_qcow2_refcount_load(slice->data, at,
						     s->h.refcount_order);

		if (v >= s->refcount_max) {
			rc = plt_err_set(err, -EFBIG, "refcount %" PRIu64
					 " of host cluster %" PRIu64 " is at "
					 "the limit of %" PRIu64, v, first + n,
					 s->refcount_max);
			break;
		}
		plt_qcow2_refcount_store(slice->data, at,
					 s->h.refcount_order, v + 1);
	}
	if (n)
		plt_qcow2_slice_dirty(s, slice);
	plt_qcow2_slice_put(s, slice);
	*clusters = n;
	return rc;
}

int plt_qcow2_refcount_raise(struct plt_qcow2 *s, uint64_t host, uint64_t len,
			     struct platter_error *err)
{
	uint64_t first = host >> s->cluster_bits;
	uint64_t end = plt_qcow2_clusters(s, host + len);
	uint64_t at = first;
	int rc = 0;

	while (rc == 0 && at < end) {
		uint64_t n = end - at;

		rc = raise_some(s, at, &n, err);
		at += n;
	}
	if (rc < 0 && at > first)
		plt_qcow2_unalloc(s, first << s->cluster_bits,
				  (at - first) << s->cluster_bits);
	return rc;
}

/* What is known about a cluster ends with its last reference. */
static void freed(struct plt_qcow2 *s, uint64_t cluster)
{
	s->free_guess = PLT_MIN(s->free_guess, cluster);
	if (s->compressed_next >> s->cluster_bits == cluster)
		s->compressed_next = 0;
	plt_qcow2_cache_drop(s, cluster << s->cluster_bits, s->cluster_size);
}

int plt_qcow2_refcount_lower(struct plt_qcow2 *s, uint64_t cluster,
			     struct platter_error *err)
{
	struct plt_qcow2_slice *slice;
	uint64_t at, v;
	int rc;

	rc = slice_for(s, cluster, &slice, &at, err);
	if (rc < 0)
		return rc;
	v = plt_qcow2_refcount_load(slice->data, at, s->h.refcount_order);
	if (v) {
		plt_qcow2_refcount_store(slice->data, at,
					 s->h.refcount_order, v - 1);
		plt_qcow2_slice_dirty(s, slice);
	}
	plt_qcow2_slice_put(s, slice);
	/* In use with a refcount of 0: damaged already, check -r mends it. */
	if (v == 1)
		freed(s, cluster);
	return v == 1;
}
