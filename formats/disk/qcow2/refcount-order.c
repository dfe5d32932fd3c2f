/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qcow2: giving refcounts another width.
 *
 * A new refcount table with new blocks is written behind everything in use,
 * where the old refcounts say that nothing is. It counts itself and does not
 * count the old table and blocks. When all of it is durable, one write of the
 * header's first sector changes the table's offset, its size and the width at
 * once. A crash before leaves the old image, one after it the new one, and
 * neither has a leak.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "core/core.h"
#include "disk/qcow2/alloc.h"
#include "disk/qcow2/amend.h"
#include "disk/qcow2/settings.h"

struct change {
	struct plt_qcow2 *s;
	unsigned int order;		/* the new one */
	uint64_t max;			/* largest refcount of that width */
	unsigned int block_bits;	/* log2 of refcounts in a new block */
	struct platter_progress *progress;
	uint64_t *old;			/* clusters of old table and blocks */
	size_t nr_old, next_old;	/* sorted; how many are dealt with */
	uint64_t base;			/* first cluster behind what is used */
	uint64_t table_clusters;
	uint64_t blocks;		/* written so far */
	uint8_t *table;			/* the new one, as on disk */
	uint8_t *block;			/* one new block */
};

static void free_change(struct change *c)
{
	free(c->old);
	free(c->table);
	free(c->block);
}

/* ---- what there is ---- */

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int list_old(struct change *c, struct platter_error *err)
{
	struct plt_qcow2 *s = c->s;
	uint64_t first = s->h.reftable_offset >> s->cluster_bits;
	size_t room = s->reftable_entries + s->h.reftable_clusters;

	c->old = plt_calloc(room, sizeof(*c->old), err);
	if (!c->old)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->h.reftable_clusters; i++)
		c->old[c->nr_old++] = first + i;
	for (size_t i = 0; i < s->reftable_entries; i++) {
		uint64_t block = plt_be64(&s->reftable[i]) &
				 QCOW2_REFTABLE_OFFSET_MASK;

		if (block)
			c->old[c->nr_old++] = block >> s->cluster_bits;
	}
	qsort(c->old, c->nr_old, sizeof(*c->old), by_number);
	return 0;
}

/* The refcount of `cluster`; *skip is how many from it on have no block. */
static int get(struct plt_qcow2 *s, uint64_t cluster, uint64_t *value,
	       uint64_t *skip, struct platter_error *err)
{
	uint64_t part = UINT64_C(1) << s->refblock_bits, block;
	int rc;

	*skip = 0;
	rc = plt_qcow2_refblock(s, cluster, &block, err);
	if (rc < 0)
		return rc;
	if (!block) {
		*skip = part - cluster % part;
		return 0;
	}
	return plt_qcow2_refcount_get(s, cluster, value, err);
}

/* Every refcount must fit; the last one in use is where the new begins. */
static int look_through(struct change *c, struct platter_error *err)
{
	struct plt_qcow2 *s = c->s;
	uint64_t end = (uint64_t)s->reftable_entries << s->refblock_bits;
	uint64_t at = 0, v, skip;

	PLT_LOCK_SCOPE(&s->lock);
	while (at < end) {
		int rc = get(s, at, &v, &skip, err);

		if (rc < 0)
			return rc;
		at += skip;
		if (skip)
			continue;
		if (v > c->max)
			return plt_err_set(err, -EINVAL, "the cluster at "
				"offset %" PRIu64 " has refcount %" PRIu64
				", which does not fit into %u bits",
				at << s->cluster_bits, v,
				1u << c->order);
		at++;
		if (v)
			c->base = at;
	}
	return 0;
}

static int plan(struct change *c, struct platter_error *err)
{
	struct plt_qcow2 *s = c->s;
	uint64_t blocks, bytes;

	plt_qcow2_refcount_clusters(s->cluster_bits, c->order,
				    c->base, &blocks, &c->table_clusters);
	bytes = c->table_clusters << s->cluster_bits;
	if (bytes > QCOW2_MAX_REFTABLE_BYTES)
		return plt_err_set(err, -EFBIG, "a refcount table of %" PRIu64
				   " bytes is over the limit of %u", bytes,
				   QCOW2_MAX_REFTABLE_BYTES);
	c->table = plt_calloc(1, bytes, err);
	c->block = plt_calloc(1, s->cluster_size, err);
	return c->table && c->block ? 0 : -ENOMEM;
}

/* ---- new blocks ---- */

/* What the old structure says of [first, first + n), less itself. */
static int fill_block(struct change *c, uint64_t first, uint64_t n,
		      struct platter_error *err)
{
	struct plt_qcow2 *s = c->s;
	uint64_t at = first, v, skip;

	memset(c->block, 0, s->cluster_size);
	PLT_LOCK_SCOPE(&s->lock);
	while (at < first + n) {
		int rc = get(s, at, &v, &skip, err);

		if (rc < 0)
			return rc;
		if (!skip && v)
			plt_qcow2_refcount_store(c->block, at - first,
						 c->order, v);
		at += skip ? skip : 1;
	}
	for (; c->next_old < c->nr_old && c->old[c->next_old] < first + n;
	     c->next_old++) {
		at = c->old[c->next_old] - first;
		v = plt_qcow2_refcount_load(c->block, at, c->order);
		if (v)
			plt_qcow2_refcount_store(c->block, at, c->order,
						 v - 1);
	}
	return 0;
}

static int write_new(struct change *c, const void *buf, uint64_t len,
		     uint64_t cluster, struct platter_error *err)
{
	struct plt_qcow2 *s = c->s;
	uint64_t host = cluster << s->cluster_bits;
	int rc;

	PLT_LOCK_SCOPE(&s->lock);
	rc = plt_qcow2_check_overlap(s, 0, host, len, err);
	if (rc == 0)
		rc = plt_qcow2_extend_file(s, host + len, err);
	if (rc == 0)
		rc = plt_qcow2_put(s, buf, len, host, err);
	return rc;
}

static int add_block(struct change *c, uint64_t index,
		     struct platter_error *err)
{
	uint64_t cluster = c->base + c->table_clusters + c->blocks;

	if (plt_is_zero(c->block, c->s->cluster_size))
		return 0;
	plt_put_be64(c->table + index * 8, cluster << c->s->cluster_bits);
	c->blocks++;
	return write_new(c, c->block, c->s->cluster_size, cluster, err);
}

/* Count [base, end) once, where block `index` has part of it. */
static void count_new(struct change *c, uint64_t index, uint64_t end)
{
	uint64_t first = index << c->block_bits;
	uint64_t stop = first + (UINT64_C(1) << c->block_bits);

	for (uint64_t at = PLT_MAX(first, c->base); at < PLT_MIN(stop, end);
	     at++)
		plt_qcow2_refcount_store(c->block, at - first, c->order, 1);
}

/* The blocks from `first` on count the new structure, with themselves. */
static uint64_t end_of_new(const struct change *c, uint64_t first)
{
	uint64_t per = UINT64_C(1) << c->block_bits;
	uint64_t before = c->base + c->table_clusters + c->blocks;
	uint64_t more = 0, need;

	while ((need = (before + more + per - 1) / per - first) != more)
		more = need;
	return before + more;
}

static int write_blocks(struct change *c, struct platter_error *err)
{
	uint64_t per = UINT64_C(1) << c->block_bits;
	uint64_t first = c->base / per, end = UINT64_MAX;
	int rc = 0;

	for (uint64_t i = 0; rc == 0 && (i <= first || i * per < end); i++) {
		rc = fill_block(c, i * per, per, err);
		if (rc == 0 && i == first)
			end = end_of_new(c, first);
		if (rc == 0 && i >= first)
			count_new(c, i, end);
		if (rc == 0)
			rc = add_block(c, i, err);
		if (rc == 0)
			rc = plt_progress(c->progress, i, first + 1, err);
	}
	return rc;
}

/* ---- the switch ---- */

static int switch_over(struct change *c, struct platter_error *err)
{
	struct plt_qcow2 *s = c->s;
	struct plt_qcow2_header was = s->h;
	int rc;

	s->h.reftable_offset = c->base << s->cluster_bits;
	s->h.reftable_clusters = (uint32_t)c->table_clusters;
	s->h.refcount_order = c->order;
	rc = plt_qcow2_header_write_fixed(s, err);
	if (rc < 0) {
		/* It may have arrived or not. */
		s->broken = true;
		s->h = was;
		return rc;
	}
	PLT_LOCK_SCOPE(&s->lock);
	for (size_t i = 0; i < c->nr_old; i++)
		plt_qcow2_cache_drop(s, c->old[i] << s->cluster_bits,
				     s->cluster_size);
	s->refblock_bits = c->block_bits;
	s->refcount_max = c->max;
	s->free_guess = 0;
	rc = plt_qcow2_reftable_load(s, err);
	if (rc < 0)
		s->broken = true;
	return rc;
}

static int run(struct change *c, struct platter_error *err)
{
	struct plt_qcow2 *s = c->s;
	int rc;

	rc = plt_qcow2_settle(s, err);
	if (rc == 0)
		rc = list_old(c, err);
	if (rc == 0)
		rc = look_through(c, err);
	if (rc == 0)
		rc = plan(c, err);
	if (rc == 0)
		rc = write_blocks(c, err);
	if (rc == 0)
		rc = write_new(c, c->table, c->table_clusters <<
			       s->cluster_bits, c->base, err);
	if (rc == 0)
		rc = platter_image_flush(s->file, err);
	return rc == 0 ? switch_over(c, err) : rc;
}

int plt_qcow2_change_refcount_order(struct plt_qcow2 *s, unsigned int order,
				    struct platter_progress *progress,
				    struct platter_error *err)
{
	struct change c = {
		.s = s,
		.order = order,
		.max = UINT64_MAX >> (64 - (1u << order)),
		.block_bits = s->cluster_bits + 3 - order,
		.progress = progress,
	};
	int rc;

	if (order == s->h.refcount_order)
		return 0;
	rc = run(&c, err);
	free_change(&c);
	return plt_err_prefix(err, rc, "changing the width of refcounts");
}
