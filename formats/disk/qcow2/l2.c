/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * L2 tables that may be written.
 *
 * An L1 entry without the COPIED flag has no table, or one that a snapshot
 * shares. Then a new one is written whole, zeros or a copy, before the L1 entry
 * in memory refers to it; the writeback flushes before the entry goes to disk.
 * A shared table is never changed, so the file has what is to be copied.
 */
#include <inttypes.h>

#include "base/checked.h"
#include "base/error.h"
#include "disk/qcow2/alloc.h"

int plt_qcow2_check_broken(const struct plt_qcow2 *s,
			   struct platter_error *err)
{
	if (!s->broken)
		return 0;
	return plt_err_set(err, -EIO, "the image was found to be corrupt and "
			   "is not written any more");
}

static int check_table(struct plt_qcow2 *s, uint64_t i, uint64_t table,
		       struct platter_error *err)
{
	if (!(table & (s->cluster_size - 1)))
		return 0;
	return plt_qcow2_corrupt(s, err, "L2 table offset %#" PRIx64 " of L1 "
				 "entry %" PRIu64 " is not a multiple of the "
				 "cluster size", table, i);
}

/* ---- making one ---- */

/* The old table's bytes, or zeros. */
static int fill(struct plt_qcow2 *s, uint8_t *buf, uint64_t old,
		struct platter_error *err)
{
	uint64_t size = platter_image_size(s->file);
	uint64_t len = old && old < size ? PLT_MIN(size - old,
					(uint64_t)s->cluster_size) : 0;
	int rc;

	if (!len)
		return 0;
	pthread_mutex_unlock(&s->lock);
	rc = platter_image_pread(s->file, buf, len, old, err);
	pthread_mutex_lock(&s->lock);
	return rc;
}

static int store(struct plt_qcow2 *s, uint64_t i, uint64_t old,
		 struct platter_error *err)
{
	plt_auto_free uint8_t *buf = plt_calloc(1, s->cluster_size, err);
	uint64_t host;
	int rc;

	if (!buf)
		return -ENOMEM;
	rc = fill(s, buf, old, err);
	if (rc == 0)
		rc = plt_qcow2_alloc(s, s->cluster_size, &host, err);
	if (rc < 0)
		return rc;
	rc = plt_qcow2_put(s, buf, s->cluster_size, host, err);
	if (rc < 0) {
		plt_qcow2_unalloc(s, host, s->cluster_size);
		return rc;
	}
	plt_qcow2_l1_set(s, i, host | QCOW2_COPIED);
	if (old)
		plt_qcow2_give_up(s, old, s->cluster_size);
	return 0;
}

/* Give the L1 entry a table of its own, unless somebody else just has. */
static int own_table(struct plt_qcow2 *s, uint64_t i, struct platter_error *err)
{
	struct plt_claim claim;
	uint64_t entry;
	int rc = 0;

	plt_claim_take(&s->tables, &claim, i, i + 1, &s->lock);
	entry = plt_qcow2_l1_get(s, i);
	if (!(entry & QCOW2_COPIED)) {
		rc = check_table(s, i, entry & QCOW2_OFFSET_MASK, err);
		if (rc == 0)
			rc = store(s, i, entry & QCOW2_OFFSET_MASK, err);
	}
	plt_claim_drop(&s->tables, &claim);
	return plt_err_prefix(err, rc, "making an L2 table");
}

/* ---- getting one ---- */

static uint64_t entries_per_slice(const struct plt_qcow2 *s)
{
	return plt_qcow2_slice_size(s) / s->l2_entry_size;
}

/* Where another table lies, this one is not to be written. */
static int check_slice(struct plt_qcow2 *s, struct plt_qcow2_slice *slice,
		       struct platter_error *err)
{
	int rc;

	if (slice->checked)
		return 0;
	rc = plt_qcow2_check_overlap(s, QCOW2_OL_L2, slice->offset,
				     plt_qcow2_slice_size(s), err);
	slice->checked = rc == 0;
	return rc;
}

int plt_qcow2_l2_write(struct plt_qcow2 *s, uint64_t guest,
		       struct plt_qcow2_slice **out, uint8_t **raw,
		       uint64_t *left, struct platter_error *err)
{
	uint64_t i = plt_qcow2_l1_index(s, guest), table, at;
	int rc;

	rc = plt_qcow2_check_broken(s, err);
	if (rc == 0 && i >= s->h.l1_size)
		rc = plt_err_set(err, -EIO, "guest offset %" PRIu64 " is "
				 "beyond the L1 table", guest);
	if (rc == 0 && !(plt_qcow2_l1_get(s, i) & QCOW2_COPIED))
		rc = own_table(s, i, err);
	if (rc < 0)
		return rc;
	table = plt_qcow2_l1_get(s, i) & QCOW2_OFFSET_MASK;
	rc = check_table(s, i, table, err);
	if (rc < 0)
		return rc;
	at = plt_qcow2_l2_index(s, guest) * s->l2_entry_size;
	rc = plt_qcow2_slice_get(s, QCOW2_TABLE_L2, table + at, out, err);
	if (rc < 0)
		return rc;
	rc = check_slice(s, *out, err);
	if (rc < 0) {
		plt_qcow2_slice_put(s, *out);
		return rc;
	}
	at &= plt_qcow2_slice_size(s) - 1;
	*raw = (*out)->data + at;
	*left = (plt_qcow2_slice_size(s) - at) / s->l2_entry_size;
	return 0;
}

uint64_t plt_qcow2_l2_clip(const struct plt_qcow2 *s, uint64_t offset,
			   uint64_t len)
{
	uint64_t span = entries_per_slice(s) << s->cluster_bits;

	return PLT_MIN(len, span - (offset & (span - 1)));
}

void plt_qcow2_release(struct plt_qcow2 *s, const struct plt_qcow2_entry *e,
		       bool discard)
{
	uint64_t len = s->cluster_size;

	if (e->kind == QCOW2_COMPRESSED)
		len = e->compressed_len;
	else if (!plt_qcow2_has_host(e) || s->data_file)
		return;
	if (discard)
		plt_qcow2_give_up_discard(s, e->host, len);
	else
		plt_qcow2_give_up(s, e->host, len);
}
