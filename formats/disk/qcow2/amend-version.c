/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qcow2: from version 2 to 3 and back.
 *
 * Upwards the header grows. Downwards all that version 2 lacks must go first,
 * while the image is still version 3 and every step of it is a valid image:
 * clusters that are zero by a flag become unallocated where there is no backing
 * file, else clusters of zeros. An L2 table that snapshots share is changed
 * where it is, as what it says stays the same.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "disk/qcow2/alloc.h"
#include "disk/qcow2/amend.h"
#include "disk/qcow2/settings.h"
#include "disk/qcow2/snapshot.h"

#define SETTLE_TABLES	64	/* L2 tables between two writebacks */

/* ---- up ---- */

int plt_qcow2_upgrade(struct plt_qcow2 *s, struct platter_error *err)
{
	int rc = 0;

	/* Its rows need more in version 3, which version 2 may have as well. */
	if (s->h.nb_snapshots)
		rc = plt_qcow2_snapshots_store(s, err);
	if (rc < 0)
		return rc;
	s->h.version = 3;
	s->h.length = QCOW2_HDR_OUR_LENGTH;
	rc = plt_qcow2_header_write(s, err);
	if (rc < 0) {
		s->broken = true;
		s->h.version = 2;
		s->h.length = QCOW2_HDR_V2_LENGTH;
	}
	return rc;
}

/* ---- may it go down ---- */

static int check_snapshots(const struct plt_qcow2 *s, struct platter_error *err)
{
	for (size_t i = 0; s->snapshots && i < s->snapshots->nr; i++) {
		const struct platter_snapshot *sn = &s->snapshots->list[i];

		if (sn->vm_state_size > UINT32_MAX)
			return plt_err_set(err, -ENOTSUP, "snapshot \"%s\" has "
				"a VM state of %" PRIu64 " bytes, over the "
				"limit of compat 0.10", sn->name,
				sn->vm_state_size);
		if (sn->disk_size != s->h.size)
			return plt_err_set(err, -ENOTSUP, "snapshot \"%s\" is "
				"of a disk of %" PRIu64 " bytes, not %" PRIu64
				", which compat 0.10 cannot hold", sn->name,
				sn->disk_size, s->h.size);
	}
	return 0;
}

int plt_qcow2_check_downgrade(struct plt_qcow2 *s, bool force,
			      struct platter_error *err)
{
	uint64_t features = s->h.incompatible & ~QCOW2_INCOMPAT_DIRTY;

	if (s->data_file)
		return plt_err_set(err, -ENOTSUP, "compat 0.10 cannot hold an "
				   "image with a data file");
	if (s->extl2)
		return plt_err_set(err, -ENOTSUP, "compat 0.10 cannot hold an "
				   "image with extended L2 entries");
	if (s->h.compression != QCOW2_COMPRESSION_ZLIB)
		return plt_err_set(err, -ENOTSUP, "compat 0.10 cannot hold an "
				   "image whose compression type is not zlib");
	if (features)
		return plt_err_set(err, -ENOTSUP, "compat 0.10 cannot hold an "
				   "image with the incompatible features %#"
				   PRIx64, features);
	if (s->h.has_bitmaps && s->h.nb_bitmaps && !force)
		return plt_err_set(err, -ENOTSUP, "compat 0.10 cannot hold the "
				   "%" PRIu32 " bitmaps of the image; --force "
				   "drops them", s->h.nb_bitmaps);
	return check_snapshots(s, err);
}

/* ---- zero clusters ---- */

struct expand {
	struct plt_qcow2 *s;
	struct platter_progress *progress;
	uint8_t *zeros;			/* a cluster of them */
	uint64_t done, total;		/* L1 entries */
	unsigned int tables;		/* since the last writeback */
};

/* Under `lock`. A cluster of zeros with `refs` references. */
static int new_zeros(struct expand *x, uint64_t refs, uint64_t *host,
		     struct platter_error *err)
{
	struct plt_qcow2 *s = x->s;
	uint64_t n;
	int rc;

	rc = plt_qcow2_alloc(s, s->cluster_size, host, err);
	if (rc < 0)
		return rc;
	for (n = 1; rc == 0 && n < refs; n++)
		rc = plt_qcow2_refcount_raise(s, *host, s->cluster_size, err);
	if (rc == 0)
		rc = plt_qcow2_extend_file(s, *host + s->cluster_size, err);
	if (rc == 0)
		rc = plt_qcow2_put(s, x->zeros, s->cluster_size, *host, err);
	for (; rc < 0 && n; n--)
		plt_qcow2_unalloc(s, *host, s->cluster_size);
	return rc;
}

/*
 * Under `lock`. `refs` tables refer to the table that has this entry. A zero
 * cluster that keeps a place keeps it, unless others see data there.
 */
static int expand_entry(struct expand *x, struct plt_qcow2_entry *e,
			uint64_t refs, struct platter_error *err)
{
	struct plt_qcow2 *s = x->s;
	uint64_t old = e->host, count = 0, host = 0;
	bool had = e->kind == QCOW2_ZERO_ALLOCATED;
	int rc = 0;

	if (had)
		rc = plt_qcow2_refcount_get(s, old >> s->cluster_bits, &count,
					    err);
	if (rc < 0)
		return rc;
	if (had && count == refs) {
		host = old;
		rc = plt_qcow2_put(s, x->zeros, s->cluster_size, host, err);
	} else if (s->h.backing_filename) {
		rc = new_zeros(x, refs, &host, err);
	}
	if (rc < 0)
		return rc;
	for (uint64_t i = 0; had && host != old && i < refs; i++)
		plt_qcow2_give_up(s, old, s->cluster_size);
	*e = (struct plt_qcow2_entry) {
		.kind = host ? QCOW2_NORMAL : QCOW2_UNALLOCATED,
		.host = host,
		.copied = host && refs == 1,
		.alloc = host ? UINT32_MAX : 0,
	};
	return 0;
}

static int expand_slice(struct expand *x, uint64_t offset, uint64_t refs,
			struct platter_error *err)
{
	struct plt_qcow2 *s = x->s;
	struct plt_qcow2_slice *slice;
	int rc;

	PLT_LOCK_SCOPE(&s->lock);
	rc = plt_qcow2_slice_get(s, QCOW2_TABLE_L2, offset, &slice, err);
	if (rc < 0)
		return rc;
	for (uint32_t at = 0; rc == 0 && at < plt_qcow2_slice_size(s);
	     at += s->l2_entry_size) {
		struct plt_qcow2_entry e;

		rc = plt_qcow2_entry_decode(s, slice->data + at, &e, err);
		if (rc < 0 || (e.kind != QCOW2_ZERO &&
			       e.kind != QCOW2_ZERO_ALLOCATED))
			continue;
		rc = expand_entry(x, &e, refs, err);
		if (rc < 0)
			continue;
		plt_qcow2_entry_encode(s, &e, slice->data + at);
		plt_qcow2_slice_dirty(s, slice);
	}
	plt_qcow2_slice_put(s, slice);
	return rc;
}

static int expand_table(struct expand *x, uint64_t table,
			struct platter_error *err)
{
	struct plt_qcow2 *s = x->s;
	uint64_t refs;
	int rc;

	if (table & (s->cluster_size - 1))
		return plt_qcow2_corrupt(s, err, "L2 table offset %#" PRIx64
					 " is not a multiple of the cluster "
					 "size", table);
	pthread_mutex_lock(&s->lock);
	rc = plt_qcow2_refcount_get(s, table >> s->cluster_bits, &refs, err);
	if (rc == 0)
		rc = plt_qcow2_check_overlap(s, QCOW2_OL_L2, table,
					     s->cluster_size, err);
	pthread_mutex_unlock(&s->lock);
	if (rc == 0 && !refs)
		rc = plt_err_set(err, -EIO, "the L2 table at offset %" PRIu64
				 " has refcount 0", table);
	for (uint64_t at = 0; rc == 0 && at < s->cluster_size;
	     at += plt_qcow2_slice_size(s))
		rc = expand_slice(x, table + at, refs, err);
	if (rc == 0 && ++x->tables % SETTLE_TABLES == 0)
		rc = plt_qcow2_settle(s, err);
	return rc;
}

/* `l1` as on disk; that of the image itself may change meanwhile. */
static int expand_l1(struct expand *x, const uint64_t *l1, uint32_t entries,
		     struct platter_error *err)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < entries; i++) {
		uint64_t table = plt_be64(&l1[i]) & QCOW2_OFFSET_MASK;

		if (table)
			rc = expand_table(x, table, err);
		if (rc == 0)
			rc = plt_progress(x->progress, ++x->done, x->total,
					  err);
	}
	return rc;
}

static int expand_snapshots(struct expand *x, struct platter_error *err)
{
	struct plt_qcow2 *s = x->s;
	int rc = 0;

	for (size_t i = 0; s->snapshots && rc == 0 && i < s->snapshots->nr;
	     i++) {
		plt_auto_free uint64_t *l1 = NULL;

		rc = plt_qcow2_snapshot_read_l1(s, i, &l1, err);
		if (rc == 0)
			rc = expand_l1(x, l1, s->snapshots->row[i].l1_size,
				       err);
	}
	return rc;
}

static int expand_zeros(struct plt_qcow2 *s, struct platter_progress *progress,
			struct platter_error *err)
{
	struct expand x = {
		.s = s,
		.progress = progress,
		.total = s->h.l1_size,
	};
	int rc = 0;

	for (size_t i = 0; s->snapshots && i < s->snapshots->nr; i++)
		x.total += s->snapshots->row[i].l1_size;
	x.zeros = plt_calloc(1, s->cluster_size, err);
	if (!x.zeros)
		return -ENOMEM;
	rc = expand_l1(&x, s->l1, s->h.l1_size, err);
	if (rc == 0)
		rc = expand_snapshots(&x, err);
	free(x.zeros);
	return rc;
}

/* ---- down ---- */

int plt_qcow2_downgrade(struct plt_qcow2 *s, struct platter_progress *progress,
			struct platter_error *err)
{
	int rc;

	rc = expand_zeros(s, progress, err);
	if (rc == 0)
		rc = plt_qcow2_settle(s, err);
	if (rc < 0)
		return plt_err_prefix(err, rc, "removing zero clusters");
	plt_qcow2_bitmaps_free(s);
	s->h.has_bitmaps = false;
	s->h.nb_bitmaps = 0;
	free(plt_steal(s->h.beyond));
	s->h.version = 2;
	s->h.length = QCOW2_HDR_V2_LENGTH;
	s->h.incompatible = s->h.compatible = s->h.autoclear = 0;
	s->marked_dirty = false;
	rc = plt_qcow2_header_write(s, err);
	if (rc < 0)
		s->broken = true;
	return rc;
}
