/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Storing compressed clusters.
 *
 * They are packed at byte granularity: the next one goes on in the host cluster
 * where the last one ended, and even over its end when the one behind it is
 * free. A host cluster has a reference for each compressed cluster that it
 * holds a part of. Room is taken in the order of calls.
 */
#include <inttypes.h>

#include "base/checked.h"
#include "base/error.h"
#include "disk/qcow2/alloc.h"

/* A claim that is of no table. */
#define PACKING	(UINT64_MAX - 1)

static uint64_t left_in_cluster(const struct plt_qcow2 *s, uint64_t host)
{
	return s->cluster_size - (host & (s->cluster_size - 1));
}

/* A reference more to the cluster that is being filled; 1: it has too many. */
static int share_last(struct plt_qcow2 *s, struct platter_error *err)
{
	uint64_t next = s->compressed_next, refcount;
	int rc;

	rc = plt_qcow2_refcount_get(s, next >> s->cluster_bits, &refcount,
				    err);
	if (rc < 0 || refcount >= s->refcount_max)
		return rc < 0 ? rc : 1;
	return plt_qcow2_refcount_raise(s, next, 1, err);
}

/* The cluster being filled is not enough: take another. */
static int take_cluster(struct plt_qcow2 *s, uint64_t *host,
			struct platter_error *err)
{
	uint64_t next, more;
	int rc;

	rc = plt_qcow2_alloc(s, s->cluster_size, &more, err);
	if (rc < 0)
		return rc;
	/* Looked at only now, as choosing lets go of the lock. */
	next = s->compressed_next;
	*host = more;
	if (!next || plt_align_up(next, s->cluster_size) != more)
		return 0;
	if (!(next & (s->cluster_size - 1)))
		return 0;
	rc = share_last(s, err);
	if (rc < 0)
		plt_qcow2_unalloc(s, more, s->cluster_size);
	else if (rc == 0)
		*host = next;
	return rc < 0 ? rc : 0;
}

/* Where compressed data may begin and end is narrower than for clusters. */
static int check_reach(struct plt_qcow2 *s, uint64_t host, uint64_t len,
		       struct platter_error *err)
{
	if (host + len <= s->coffset_mask)
		return 0;
	plt_qcow2_unalloc(s, host, len);
	return plt_err_set(err, -EFBIG, "compressed data at offset %" PRIu64
			   " is over the limit of %" PRIu64, host,
			   s->coffset_mask);
}

/* References to all clusters of [*host, *host + len) are taken. */
static int take_bytes(struct plt_qcow2 *s, uint64_t len, uint64_t *host,
		      struct platter_error *err)
{
	uint64_t next = s->compressed_next;
	int rc = 1;

	if (next && left_in_cluster(s, next) >= len) {
		rc = share_last(s, err);
		*host = next;
	}
	if (rc > 0)
		rc = take_cluster(s, host, err);
	if (rc == 0)
		rc = check_reach(s, *host, len, err);
	if (rc < 0)
		return rc;
	next = *host + len;
	s->compressed_next = next & (s->cluster_size - 1) ? next : 0;
	return 0;
}

/* `lock` is let go in between, but the next one must begin where this ends. */
static int take_in_turn(struct plt_qcow2 *s, uint64_t len, uint64_t *host,
			struct platter_error *err)
{
	struct plt_claim turn;
	int rc;

	plt_claim_take(&s->tables, &turn, PACKING, PACKING + 1, &s->lock);
	rc = take_bytes(s, len, host, err);
	plt_claim_drop(&s->tables, &turn);
	return rc;
}

static int store(struct plt_qcow2 *s, const void *data, size_t len,
		 struct plt_qcow2_slice *slice, uint8_t *raw,
		 struct platter_error *err)
{
	struct plt_qcow2_entry old, e = {
		.kind = QCOW2_COMPRESSED,
		.compressed_len = (uint32_t)len,
	};
	int rc;

	rc = plt_qcow2_entry_decode(s, raw, &old, err);
	if (rc == 0)
		rc = take_in_turn(s, len, &e.host, err);
	if (rc < 0)
		return rc;
	rc = plt_qcow2_put(s, data, len, e.host, err);
	if (rc < 0) {
		plt_qcow2_unalloc(s, e.host, len);
		return rc;
	}
	plt_qcow2_entry_encode(s, &e, raw);
	plt_qcow2_slice_dirty(s, slice);
	plt_qcow2_release(s, &old, false);
	return 0;
}

static int store_claimed(struct plt_qcow2 *s, const void *data, size_t len,
			 uint64_t offset, struct platter_error *err)
{
	struct plt_qcow2_slice *slice;
	uint64_t left;
	uint8_t *raw;
	int rc;

	rc = plt_qcow2_l2_write(s, offset, &slice, &raw, &left, err);
	if (rc < 0)
		return rc;
	rc = store(s, data, len, slice, raw, err);
	plt_qcow2_slice_put(s, slice);
	return rc;
}

int plt_qcow2_write_compressed(struct platter_image *img, const void *data,
			       size_t len, uint64_t offset,
			       struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	struct plt_claim claim;
	int rc;

	if (s->data_file)
		return plt_err_set(err, -ENOTSUP, "an image with a data file "
				   "has no compressed clusters");
	if (!len || len >= s->cluster_size ||
	    (offset & (s->cluster_size - 1)))
		return plt_err_set(err, -EINVAL, "%zu compressed bytes for "
				   "offset %" PRIu64 " are not less than a "
				   "cluster of %" PRIu32 " at a multiple of it",
				   len, offset, s->cluster_size);
	PLT_LOCK_SCOPE(&s->lock);
	plt_claim_take(&s->claims, &claim, offset, offset + s->cluster_size,
		       &s->lock);
	rc = store_claimed(s, data, len, offset, err);
	plt_claim_drop(&s->claims, &claim);
	return rc;
}
