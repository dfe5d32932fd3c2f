/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dropping all data of an image, so that its backing file shows. Runs alone.
 *
 * The quick way needs no walk over the L2 tables: an L1 table of zeros is made
 * durable first. After that only the header, the L1 table and the refcount
 * structures are in use, and when these lie where one refcount block counts
 * them, that block is written anew and all others are dropped. In between
 * clusters leak, no more. Everything else goes cluster by cluster.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "disk/qcow2/alloc.h"
#include "disk/qcow2/zero.h"

/* ---- the quick way ---- */

static uint64_t table_end(const struct plt_qcow2 *s)
{
	uint64_t l1 = s->h.l1_offset + (uint64_t)s->h.l1_size * 8;
	uint64_t reftable = s->h.reftable_offset +
			    ((uint64_t)s->h.reftable_clusters <<
			     s->cluster_bits);
	uint64_t block = plt_be64(&s->reftable[0]) &
			 QCOW2_REFTABLE_OFFSET_MASK;

	block += s->cluster_size;
	l1 = PLT_MAX(l1, reftable);
	return plt_qcow2_clusters(s, PLT_MAX(l1, block)) << s->cluster_bits;
}

static bool can_be_quick(const struct plt_qcow2 *s)
{
	const struct plt_qcow2_header *h = &s->h;
	uint64_t first = plt_be64(&s->reftable[0]) &
			 QCOW2_REFTABLE_OFFSET_MASK;

	return !h->nb_snapshots && !h->has_bitmaps && !h->has_crypto &&
	       !s->data_file && first && !(first & (s->cluster_size - 1)) &&
	       table_end(s) >> s->cluster_bits <=
	       UINT64_C(1) << s->refblock_bits;
}

static void clear_l1(struct plt_qcow2 *s)
{
	PLT_LOCK_SCOPE(&s->lock);
	for (uint64_t i = 0; i < s->h.l1_size; i++) {
		if (plt_qcow2_l1_get(s, i))
			plt_qcow2_l1_set(s, i, 0);
	}
	/* Nothing refers to these any more, and their refcounts go as well. */
	plt_qcow2_limbo_free(plt_steal(s->limbo));
	plt_qcow2_cache_drop(s, 0, UINT64_MAX);
	s->compressed_next = 0;
}

static void count(const struct plt_qcow2 *s, uint8_t *block, uint64_t offset,
		  uint64_t len)
{
	uint64_t first = offset >> s->cluster_bits;
	uint64_t nr = plt_qcow2_clusters(s, len);

	for (uint64_t i = first; i < first + nr; i++)
		plt_qcow2_refcount_store(block, i, s->h.refcount_order, 1);
}

/* Only the first entry stays. */
static void clear_reftable(struct plt_qcow2 *s)
{
	PLT_LOCK_SCOPE(&s->lock);
	for (size_t i = 1; i < s->reftable_entries; i++) {
		if (!s->reftable[i])
			continue;
		s->reftable[i] = 0;
		s->reftable_dirty[i / QCOW2_PER_SECTOR] = 1;
	}
}

static int store_block(struct plt_qcow2 *s, struct platter_error *err)
{
	uint64_t host = plt_be64(&s->reftable[0]) & QCOW2_REFTABLE_OFFSET_MASK;
	plt_auto_free uint8_t *block = plt_calloc(1, s->cluster_size, err);

	if (!block)
		return -ENOMEM;
	count(s, block, 0, s->cluster_size);
	count(s, block, host, s->cluster_size);
	count(s, block, s->h.l1_offset, (uint64_t)s->h.l1_size * 8);
	count(s, block, s->h.reftable_offset,
	      (uint64_t)s->h.reftable_clusters << s->cluster_bits);
	return platter_image_pwrite(s->file, block, s->cluster_size, host,
				    err);
}

static int empty_quickly(struct plt_qcow2 *s, struct platter_error *err)
{
	uint64_t end = table_end(s);
	int rc;

	clear_l1(s);
	rc = plt_qcow2_writeback(s, true, err);
	if (rc < 0)
		return rc;
	clear_reftable(s);
	rc = plt_qcow2_writeback(s, true, err);
	if (rc == 0)
		rc = store_block(s, err);
	if (rc == 0)
		rc = platter_image_flush(s->file, err);
	if (rc < 0)
		return rc;
	s->free_guess = 0;
	return end < platter_image_size(s->file) ?
	       platter_image_resize(s->file, end, err) : 0;
}

/* ---- in general ---- */

int plt_qcow2_make_empty(struct platter_image *img, struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	int rc;

	rc = plt_qcow2_check_broken(s, err);
	if (rc < 0)
		return rc;
	/* A block that counts what it does not know of cannot be made anew. */
	rc = plt_qcow2_settle(s, err);
	if (rc == 0 && can_be_quick(s))
		return empty_quickly(s, err);
	if (rc == 0)
		rc = plt_qcow2_clear(s, QCOW2_CLEAR_EMPTY, 0,
				     platter_image_size(img), err);
	return rc == 0 ? plt_qcow2_settle(s, err) : rc;
}
