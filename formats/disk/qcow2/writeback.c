/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Metadata goes to disk, in the order that qcow2.h tells.
 *
 * What is dirty is copied under `lock`, all of one moment, and written from the
 * copies without it. So a table never refers to what this same writeback, or an
 * earlier one, has not brought to disk before: whoever changed the table had
 * raised the refcounts and written the data before. What changes meanwhile is
 * dirty again, and for the next time. When a step fails, everything is made
 * dirty again, as nobody knows what has arrived.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "disk/qcow2/alloc.h"
#include "disk/qcow2/cache.h"

/* Sectors of the L1 or the refcount table. */
struct sectors {
	uint8_t *data;
	uint32_t *index;	/* which sector, in order */
	size_t nr;
	uint64_t offset;	/* of the table, in the file */
};

struct batch {
	struct plt_qcow2_slice **slice;	/* L2 first, then refcount blocks */
	uint8_t *data;			/* of the slices */
	size_t nr, nr_l2;
	struct sectors l1, reftable;
};

/* ---- copying what is dirty ---- */

static size_t table_sectors(size_t entries)
{
	return (entries + QCOW2_PER_SECTOR - 1) / QCOW2_PER_SECTOR;
}

static int copy_sectors(struct sectors *out, const uint64_t *table,
			const uint8_t *dirty, size_t entries, uint64_t offset,
			struct platter_error *err)
{
	size_t all = table_sectors(entries), nr = 0;

	for (size_t i = 0; i < all; i++)
		nr += dirty[i];
	out->offset = offset;
	if (!nr)
		return 0;
	out->data = plt_calloc(nr, QCOW2_SECTOR, err);
	out->index = plt_calloc(nr, sizeof(*out->index), err);
	if (!out->data || !out->index)
		return -ENOMEM;
	for (size_t i = 0; i < all; i++) {
		if (!dirty[i])
			continue;
		memcpy(out->data + out->nr * QCOW2_SECTOR,
		       (const uint8_t *)table + i * QCOW2_SECTOR,
		       QCOW2_SECTOR);
		out->index[out->nr++] = (uint32_t)i;
	}
	return 0;
}

static void mark(uint8_t *dirty, const struct sectors *t, uint8_t value)
{
	for (size_t i = 0; i < t->nr; i++)
		dirty[t->index[i]] = value;
}

/* The tables as they are now may end past the end of the file. */
static int extend_for(struct plt_qcow2 *s, const struct batch *b,
		      struct platter_error *err)
{
	uint64_t end = 0;

	for (size_t i = 0; i < b->nr; i++)
		end = PLT_MAX(end, b->slice[i]->offset +
			      plt_qcow2_slice_size(s));
	if (b->l1.nr)
		end = PLT_MAX(end, b->l1.offset + QCOW2_SECTOR *
			      ((uint64_t)b->l1.index[b->l1.nr - 1] + 1));
	if (b->reftable.nr)
		end = PLT_MAX(end, b->reftable.offset + QCOW2_SECTOR *
			((uint64_t)b->reftable.index[b->reftable.nr - 1] + 1));
	if (end <= platter_image_size(s->file))
		return 0;
	return plt_qcow2_extend_file(s, end, err);
}

static void take_slices(struct plt_qcow2 *s, struct batch *b, size_t nr)
{
	uint32_t size = plt_qcow2_slice_size(s);

	plt_qcow2_cache_take_dirty(s, b->slice);
	b->nr = nr;
	for (size_t i = 0; i < nr; i++) {
		memcpy(b->data + i * size, b->slice[i]->data, size);
		b->nr_l2 += b->slice[i]->table == QCOW2_TABLE_L2;
	}
}

static int collect(struct plt_qcow2 *s, struct batch *b,
		   struct platter_error *err)
{
	size_t nr = plt_qcow2_cache_nr_dirty(s->cache);
	int rc;

	rc = copy_sectors(&b->l1, s->l1, s->l1_dirty, s->h.l1_size,
			  s->h.l1_offset, err);
	if (rc == 0)
		rc = copy_sectors(&b->reftable, s->reftable,
				  s->reftable_dirty, s->reftable_entries,
				  s->h.reftable_offset, err);
	if (rc < 0)
		return rc;
	b->slice = plt_calloc(nr, sizeof(struct plt_qcow2_slice *), err);
	b->data = plt_calloc(nr, plt_qcow2_slice_size(s), err);
	if (!b->slice || !b->data)
		return -ENOMEM;
	take_slices(s, b, nr);
	mark(s->l1_dirty, &b->l1, 0);
	mark(s->reftable_dirty, &b->reftable, 0);
	return extend_for(s, b, err);
}

static void release(struct plt_qcow2 *s, struct batch *b, bool again)
{
	for (size_t i = 0; i < b->nr; i++) {
		if (again)
			plt_qcow2_slice_dirty(s, b->slice[i]);
		plt_qcow2_slice_put(s, b->slice[i]);
	}
	if (again) {
		mark(s->l1_dirty, &b->l1, 1);
		mark(s->reftable_dirty, &b->reftable, 1);
	}
	free(b->slice);
	free(b->data);
	free(b->l1.data);
	free(b->l1.index);
	free(b->reftable.data);
	free(b->reftable.index);
}

/* ---- writing it ---- */

/* Slices that follow each other in the file go out in one write. */
static int write_slices(struct plt_qcow2 *s, const struct batch *b,
			size_t first, size_t end, const char *what,
			struct platter_error *err)
{
	uint32_t size = plt_qcow2_slice_size(s);
	int rc = 0;

	while (rc == 0 && first < end) {
		uint64_t offset = b->slice[first]->offset;
		size_t n = 1;

		while (first + n < end &&
		       b->slice[first + n]->offset == offset + n * size)
			n++;
		rc = platter_image_pwrite(s->file, b->data + first * size,
					  n * size, offset, err);
		first += n;
	}
	return plt_err_prefix(err, rc, "writing %s", what);
}

/* Never more than a sector at once: each arrives as a whole or not at all. */
static int write_sectors(struct plt_qcow2 *s, const struct sectors *t,
			 const char *what, struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < t->nr; i++)
		rc = platter_image_pwrite(s->file, t->data + i * QCOW2_SECTOR,
					  QCOW2_SECTOR, t->offset +
					  (uint64_t)t->index[i] *
					  QCOW2_SECTOR, err);
	return plt_err_prefix(err, rc, "writing %s", what);
}

static int flush_files(struct plt_qcow2 *s, struct platter_error *err)
{
	int rc = platter_image_flush(s->file, err);

	if (rc == 0 && s->data != s->file)
		rc = platter_image_flush(s->data, err);
	return rc;
}

static int write_batch(struct plt_qcow2 *s, const struct batch *b,
		       bool durable, struct platter_error *err)
{
	bool refers = b->nr_l2 || b->l1.nr;
	int rc;

	rc = write_slices(s, b, b->nr_l2, b->nr, "refcount blocks", err);
	/* Guest data and new tables have been written by now. */
	if (rc == 0 && (refers || b->reftable.nr))
		rc = flush_files(s, err);
	if (rc == 0)
		rc = write_sectors(s, &b->reftable, "the refcount table", err);
	if (rc == 0 && refers && b->reftable.nr)
		rc = platter_image_flush(s->file, err);
	/*
	 * No flush between L2 and L1: a new L2 table has been zeros, or the
	 * copy of the old one, on disk since the first step.
	 */
	if (rc == 0)
		rc = write_slices(s, b, 0, b->nr_l2, "L2 tables", err);
	if (rc == 0)
		rc = write_sectors(s, &b->l1, "the L1 table", err);
	if (rc == 0 && durable)
		rc = flush_files(s, err);
	return rc;
}

int plt_qcow2_writeback(struct plt_qcow2 *s, bool durable,
			struct platter_error *err)
{
	struct batch b = { 0 };
	int rc;

	PLT_LOCK_SCOPE(&s->writeback);
	pthread_mutex_lock(&s->lock);
	rc = plt_qcow2_check_broken(s, err);
	if (rc == 0)
		rc = collect(s, &b, err);
	pthread_mutex_unlock(&s->lock);
	if (rc == 0)
		rc = write_batch(s, &b, durable, err);
	pthread_mutex_lock(&s->lock);
	release(s, &b, rc < 0);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* ---- flushing ---- */

/* Step 5, with everything else written; the lowered refcounts as well. */
static int settle(struct plt_qcow2 *s, struct platter_error *err)
{
	int rc;

	rc = plt_qcow2_writeback(s, true, err);
	if (rc < 0 || plt_qcow2_limbo_empty(s))
		return rc;
	rc = plt_qcow2_limbo_process(s, err);
	if (rc == 0)
		rc = plt_qcow2_writeback(s, true, err);
	return rc;
}

int plt_qcow2_settle(struct plt_qcow2 *s, struct platter_error *err)
{
	int rc = settle(s, err);

	return rc == 0 ? plt_qcow2_trim_file(s, err) : rc;
}

static bool has_limbo(struct plt_qcow2 *s)
{
	PLT_LOCK_SCOPE(&s->lock);
	return !plt_qcow2_limbo_empty(s);
}

int plt_qcow2_flush(struct platter_image *img, struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	int rc;

	rc = plt_qcow2_writeback(s, true, err);
	if (rc < 0 || !has_limbo(s))
		return rc;
	platter_image_enter_alone(img);
	rc = settle(s, err);
	platter_image_leave_alone(img);
	return rc;
}
