/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clusters for guest data that is not there yet.
 *
 * They read as zeros: the file is zeros where it has just grown, and is made so
 * where a cluster was used before. Extended L2 leaves the subclusters without
 * data, as QEMU does.
 */
#include <inttypes.h>

#include "base/checked.h"
#include "base/error.h"
#include "disk/qcow2/alloc.h"

static bool wants_cluster(const struct plt_qcow2_entry *e)
{
	return e->kind == QCOW2_UNALLOCATED || e->kind == QCOW2_ZERO;
}

/* How many entries from `raw` on have no cluster, at most `max`. */
static int measure(struct plt_qcow2 *s, const uint8_t *raw, uint64_t max,
		   bool *wants, uint64_t *nr, struct platter_error *err)
{
	struct plt_qcow2_entry e;

	for (*nr = 0; *nr < max; ++*nr) {
		int rc = plt_qcow2_entry_decode(s, raw + *nr *
						s->l2_entry_size, &e, err);

		if (rc < 0)
			return rc;
		if (*nr == 0)
			*wants = wants_cluster(&e);
		if (wants_cluster(&e) != *wants)
			break;
	}
	return 0;
}

static int place(struct plt_qcow2 *s, uint64_t guest, uint64_t nr,
		 struct plt_qcow2_run *run, struct platter_error *err)
{
	if (!s->data_file)
		return plt_qcow2_alloc_run(s, 1, nr, run, err);
	*run = (struct plt_qcow2_run) {
		.host = guest,
		.clusters = nr,
		.fresh = guest >= platter_image_size(s->data),
	};
	return 0;
}

static int make_zero(struct plt_qcow2 *s, const struct plt_qcow2_run *run,
		     struct platter_error *err)
{
	uint64_t len = run->clusters << s->cluster_bits;
	uint64_t size = platter_image_size(s->data);

	if (run->fresh || run->host >= size)
		return 0;
	return platter_image_zero(s->data, run->host,
				  PLT_MIN(len, size - run->host),
				  PLATTER_ZERO_UNMAP, err);
}

static int enter(struct plt_qcow2 *s, const struct plt_qcow2_run *run,
		 uint8_t *raw, struct platter_error *err)
{
	for (uint64_t i = 0; i < run->clusters; i++) {
		uint8_t *at = raw + i * s->l2_entry_size;
		struct plt_qcow2_entry e;
		int rc = plt_qcow2_entry_decode(s, at, &e, err);

		if (rc < 0)
			return rc;
		e.kind = e.kind == QCOW2_ZERO && !s->extl2 ?
			 QCOW2_ZERO_ALLOCATED : QCOW2_NORMAL;
		e.copied = true;
		e.host = run->host + (i << s->cluster_bits);
		plt_qcow2_entry_encode(s, &e, at);
	}
	return 0;
}

/* Some of the entries from `raw` on; *nr becomes how many. */
static int reserve(struct plt_qcow2 *s, uint64_t guest, uint64_t *nr,
		   struct plt_qcow2_slice *slice, uint8_t *raw,
		   struct platter_error *err)
{
	struct plt_qcow2_run run;
	bool wants = false;
	int rc;

	rc = measure(s, raw, *nr, &wants, nr, err);
	if (rc < 0 || !wants)
		return rc;
	rc = place(s, guest, *nr, &run, err);
	if (rc < 0)
		return rc;
	*nr = run.clusters;
	rc = make_zero(s, &run, err);
	if (rc == 0)
		rc = enter(s, &run, raw, err);
	if (rc == 0)
		plt_qcow2_slice_dirty(s, slice);
	else if (!s->data_file)
		plt_qcow2_unalloc(s, run.host, run.clusters <<
				  s->cluster_bits);
	return rc;
}

int plt_qcow2_preallocate(struct plt_qcow2 *s, uint64_t offset, uint64_t len,
			  struct platter_error *err)
{
	uint64_t at = plt_align_down(offset, s->cluster_size);
	uint64_t end = offset + len;
	int rc = 0;

	PLT_LOCK_SCOPE(&s->lock);
	if (s->data_file && platter_image_size(s->data) < end)
		rc = platter_image_resize(s->data, end, err);
	while (rc == 0 && at < end) {
		struct plt_qcow2_slice *slice;
		uint64_t nr = plt_qcow2_clusters(s, end - at), left;
		uint8_t *raw;

		rc = plt_qcow2_l2_write(s, at, &slice, &raw, &left, err);
		if (rc < 0)
			break;
		nr = PLT_MIN(nr, left);
		rc = reserve(s, at, &nr, slice, raw, err);
		plt_qcow2_slice_put(s, slice);
		at += nr << s->cluster_bits;
	}
	return rc;
}
