/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A larger L1 table.
 *
 * The new one, and what its entries refer to, is durable before the header says
 * where it is; the old one is given up after that. Nothing else is under way.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "disk/qcow2/alloc.h"

#define MAX_ENTRIES	(QCOW2_MAX_L1_BYTES / 8)

struct table {
	uint64_t *l1;		/* whole sectors */
	uint8_t *dirty;
	uint32_t entries;
	uint64_t host;
};

static int make_table(struct plt_qcow2 *s, struct table *t,
		      struct platter_error *err)
{
	size_t sectors = (t->entries + QCOW2_PER_SECTOR - 1) /
			 QCOW2_PER_SECTOR;

	t->l1 = plt_calloc(sectors, QCOW2_SECTOR, err);
	t->dirty = plt_calloc(sectors, 1, err);
	if (!t->l1 || !t->dirty)
		return -ENOMEM;
	memcpy(t->l1, s->l1, (size_t)s->h.l1_size * 8);
	return 0;
}

/* To its last cluster's end, for what was there before is junk. */
static int store_table(struct plt_qcow2 *s, const struct table *t,
		       struct platter_error *err)
{
	uint64_t len = plt_qcow2_clusters(s, (uint64_t)t->entries * 8) <<
		       s->cluster_bits;
	plt_auto_free uint8_t *buf = plt_calloc(1, len, err);

	if (!buf)
		return -ENOMEM;
	memcpy(buf, t->l1, (size_t)t->entries * 8);
	return platter_image_pwrite(s->file, buf, len, t->host, err);
}

static void use_table(struct plt_qcow2 *s, struct table *t)
{
	uint64_t *l1 = s->l1;
	uint8_t *dirty = s->l1_dirty;

	s->l1 = t->l1;
	s->l1_dirty = t->dirty;
	t->l1 = l1;
	t->dirty = dirty;
}

static int switch_header(struct plt_qcow2 *s, struct table *t,
			 struct platter_error *err)
{
	uint64_t old_offset = s->h.l1_offset;
	uint32_t old_entries = s->h.l1_size;
	int rc;

	s->h.l1_offset = t->host;
	s->h.l1_size = t->entries;
	rc = plt_qcow2_header_write_fixed(s, err);
	if (rc < 0) {
		/* It may have arrived or not: neither table may change now. */
		s->broken = true;
		s->h.l1_offset = old_offset;
		s->h.l1_size = old_entries;
		return rc;
	}
	use_table(s, t);
	plt_qcow2_give_up(s, old_offset, (uint64_t)old_entries * 8);
	return 0;
}

static int allocate(struct plt_qcow2 *s, struct table *t,
		    struct platter_error *err)
{
	PLT_LOCK_SCOPE(&s->lock);
	return plt_qcow2_alloc(s, (uint64_t)t->entries * 8, &t->host, err);
}

static int install(struct plt_qcow2 *s, struct table *t,
		   struct platter_error *err)
{
	int rc;

	rc = store_table(s, t, err);
	/* Flushes it, its refcounts, and all it refers to. */
	if (rc == 0)
		rc = plt_qcow2_writeback(s, true, err);
	PLT_LOCK_SCOPE(&s->lock);
	if (rc < 0) {
		plt_qcow2_unalloc(s, t->host, (uint64_t)t->entries * 8);
		return rc;
	}
	return switch_header(s, t, err);
}

int plt_qcow2_grow_l1(struct plt_qcow2 *s, uint64_t entries,
		      struct platter_error *err)
{
	struct table t = { .entries = (uint32_t)entries };
	int rc;

	if (entries <= s->h.l1_size)
		return 0;
	if (entries > MAX_ENTRIES)
		return plt_err_set(err, -EFBIG, "an L1 table of %" PRIu64
				   " entries is over the limit of %u", entries,
				   MAX_ENTRIES);
	rc = make_table(s, &t, err);
	if (rc == 0)
		rc = allocate(s, &t, err);
	if (rc == 0)
		rc = install(s, &t, err);
	free(t.l1);
	free(t.dirty);
	return rc < 0 ? plt_err_prefix(err, rc, "making the L1 table larger") :
			0;
}
