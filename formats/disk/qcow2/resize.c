/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another size of the guest's disk. Runs alone.
 *
 * Growing: a larger L1 table if need be; zeros where a larger backing file
 * would show in the new part; then the size in the header. Shrinking: clusters
 * and tables behind the new end are let go of; then the size; then the file is
 * cut behind its last cluster in use. A crash in between leaves the old size,
 * with less or no data at its end.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "disk/qcow2/alloc.h"
#include "disk/qcow2/zero.h"

static uint64_t l1_entries(const struct plt_qcow2 *s, uint64_t size)
{
	unsigned int shift = s->cluster_bits + s->l2_bits;

	return (size >> shift) + !!(size & ((UINT64_C(1) << shift) - 1));
}

static int check_size(const struct plt_qcow2 *s, uint64_t size,
		      struct platter_error *err)
{
	if (size % 512)
		return plt_err_set(err, -EINVAL, "the new size of %" PRIu64
				   " is not a multiple of 512", size);
	if (s->h.nb_snapshots && s->h.version < 3)
		return plt_err_set(err, -ENOTSUP, "an image of version 2 with "
				   "%" PRIu32 " snapshots cannot change its "
				   "size", s->h.nb_snapshots);
	return plt_qcow2_check_broken(s, err);
}

static int store_size(struct plt_qcow2 *s, uint64_t size,
		      struct platter_error *err)
{
	uint64_t old = s->h.size;
	int rc;

	s->h.size = size;
	rc = plt_qcow2_header_write_fixed(s, err);
	if (rc < 0)
		s->h.size = old;
	return rc;
}

/* ---- growing ---- */

/* The new part must not show what a longer backing file has there. */
static int hide_backing(struct plt_qcow2 *s, uint64_t old, uint64_t size,
			struct platter_error *err)
{
	int rc;

	if (!s->backing || platter_image_size(s->backing) <= old)
		return 0;
	rc = plt_qcow2_zero(s->img, old, size - old, 0, err);
	if (rc == -ENOTSUP)
		return plt_err_set(err, rc, "the backing file of %" PRIu64
				   " bytes would show in what is added, and "
				   "version 2 has no zero clusters",
				   platter_image_size(s->backing));
	return rc;
}

static int grow(struct plt_qcow2 *s, uint64_t old, uint64_t size,
		struct platter_error *err)
{
	int rc;

	rc = plt_qcow2_grow_l1(s, l1_entries(s, size), err);
	if (rc < 0)
		return rc;
	/* So that the range is one that can be written. */
	platter_image_set_size(s->img, size);
	rc = hide_backing(s, old, size, err);
	/* A raw data file is all there is to read: so it is all allocated. */
	if (rc == 0 && s->data_raw)
		rc = plt_qcow2_preallocate(s, old, size - old, err);
	if (rc == 0)
		rc = plt_qcow2_writeback(s, true, err);
	if (rc == 0)
		rc = store_size(s, size, err);
	if (rc < 0)
		platter_image_set_size(s->img, old);
	return rc;
}

/* ---- shrinking ---- */

/* The L2 tables that are wholly behind `size` refer to nothing any more. */
static void drop_tables(struct plt_qcow2 *s, uint64_t size)
{
	PLT_LOCK_SCOPE(&s->lock);
	for (uint64_t i = l1_entries(s, size); i < s->h.l1_size; i++) {
		uint64_t table = plt_qcow2_l1_get(s, i) & QCOW2_OFFSET_MASK;

		if (!plt_qcow2_l1_get(s, i))
			continue;
		plt_qcow2_l1_set(s, i, 0);
		if (table && !(table & (s->cluster_size - 1)))
			plt_qcow2_give_up(s, table, s->cluster_size);
	}
}

/* Where the last cluster in use ends, at most `end`. */
static int used_end(struct plt_qcow2 *s, uint64_t *end,
		    struct platter_error *err)
{
	uint64_t cluster = plt_qcow2_clusters(s, *end), refcount;
	int rc;

	PLT_LOCK_SCOPE(&s->lock);
	for (; cluster; cluster--) {
		rc = plt_qcow2_refcount_get(s, cluster - 1, &refcount, err);
		if (rc < 0)
			return rc;
		if (refcount)
			break;
	}
	if (cluster << s->cluster_bits < *end)
		*end = cluster << s->cluster_bits;
	return 0;
}

/* The file may stay as long as it is: that is no failure. */
static void cut_file(struct plt_qcow2 *s)
{
	uint64_t end = platter_image_size(s->file);
	int rc;

	rc = used_end(s, &end, NULL);
	if (rc == 0 && end < platter_image_size(s->file))
		rc = platter_image_resize(s->file, end, NULL);
	(void)rc;
}

static int shrink(struct plt_qcow2 *s, uint64_t old, uint64_t size,
		  struct platter_error *err)
{
	uint64_t first = plt_align_up(size, s->cluster_size);
	int rc = 0;

	if (first < old)
		rc = plt_qcow2_clear(s, QCOW2_CLEAR_EMPTY, first, old - first,
				     err);
	if (rc < 0)
		return rc;
	drop_tables(s, size);
	rc = plt_qcow2_settle(s, err);
	if (rc == 0)
		rc = store_size(s, size, err);
	if (rc < 0)
		return rc;
	platter_image_set_size(s->img, size);
	cut_file(s);
	return 0;
}

/* ---- either ---- */

static int resize_data_file(struct plt_qcow2 *s, uint64_t size,
			    struct platter_error *err)
{
	if (!s->data_file || platter_image_size(s->data) == size)
		return 0;
	return platter_image_resize(s->data, size, err);
}

int plt_qcow2_resize(struct platter_image *img, uint64_t size,
		     struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	uint64_t old = platter_image_size(img);
	int rc;

	rc = check_size(s, size, err);
	if (rc < 0 || size == old)
		return rc;
	rc = plt_qcow2_bitmaps_resize(s, size, err);
	if (rc == 0 && size > old)
		rc = resize_data_file(s, size, err);
	if (rc == 0)
		rc = size > old ? grow(s, old, size, err) :
				  shrink(s, old, size, err);
	if (rc == 0)
		rc = resize_data_file(s, size, err);
	return rc;
}
