/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Switching over to changed metadata: the shadow's blocks and refcount table
 * are given their places and counted, all is flushed, the header is written.
 *
 * See shadow.c. From the header's write on the image is the new one; what then
 * fails in memory makes the image unwritable, but harms nothing on disk.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/shadow.h"

/* ---- places ---- */

/* Give up the old block of `index`; *again when anything changed. */
static int settle_block(struct plt_qcow2_shadow *sh, size_t index, bool *again,
			struct platter_error *err)
{
	struct plt_qcow2_shadow_block *b = sh->block[index];
	uint64_t first, offset;
	int rc;

	if (!b || b->released)
		return 0;
	*again = true;
	b->released = true;
	if (!b->offset) {
		rc = plt_qcow2_shadow_take(sh, 1, &first, err);
		if (rc)
			return rc;
		b->offset = first << sh->s->cluster_bits;
	}
	rc = plt_qcow2_shadow_change(sh, b->offset, 1, SHADOW_TAKE, err);
	if (!rc)
		rc = plt_qcow2_shadow_old(sh, index, &offset, err);
	if (!rc && offset)
		rc = plt_qcow2_shadow_change(sh, offset, 1, SHADOW_LOWER, err);
	return rc;
}

/* Find a place for the new refcount table, once it is known how long it is. */
static int settle_table(struct plt_qcow2_shadow *sh, bool *again,
			struct platter_error *err)
{
	const struct plt_qcow2 *s = sh->s;
	uint64_t len = plt_align_up(sh->entries * 8, s->cluster_size), first;
	int rc = 0;

	if (!sh->table_released) {
		sh->table_released = true;
		*again = true;
		rc = plt_qcow2_shadow_change(sh, s->h.reftable_offset,
			    (uint64_t)s->h.reftable_clusters << s->cluster_bits,
			    SHADOW_LOWER, err);
	}
	if (rc || len == sh->table_len)
		return rc;
	*again = true;
	if (sh->table_len)
		rc = plt_qcow2_shadow_change(sh, sh->table_offset,
					     sh->table_len, SHADOW_LOWER, err);
	if (!rc)
		rc = plt_qcow2_shadow_take(sh, len >> s->cluster_bits, &first,
					   err);
	if (rc)
		return rc;
	sh->table_offset = first << s->cluster_bits;
	sh->table_len = len;
	return plt_qcow2_shadow_change(sh, sh->table_offset, len, SHADOW_TAKE,
				       err);
}

/*
 * Every place taken for a block changes a block, perhaps another one; but
 * places lie next to one another, so this ends soon.
 */
static int settle_all(struct plt_qcow2_shadow *sh, struct platter_error *err)
{
	bool again = true;
	int rc = 0;

	while (again && !rc) {
		again = false;
		for (size_t i = 0; i < sh->entries && !rc; i++)
			rc = settle_block(sh, i, &again, err);
		if (!rc)
			rc = settle_table(sh, &again, err);
	}
	return rc;
}

/* ---- the switch ---- */

static int write_all(struct plt_qcow2_shadow *sh, struct platter_error *err)
{
	uint64_t *table = plt_calloc(1, sh->table_len, err);
	int rc = 0;

	if (!table)
		return -ENOMEM;
	memcpy(table, sh->old, sh->old_entries * 8);
	for (size_t i = 0; i < sh->entries && !rc; i++) {
		struct plt_qcow2_shadow_block *b = sh->block[i];

		if (!b)
			continue;
		if (b->data)
			rc = plt_qcow2_shadow_put_block(sh, b, err);
		plt_put_be64(&table[i], b->offset);
	}
	if (!rc)
		rc = plt_qcow2_shadow_put(sh, table, sh->table_len,
					  sh->table_offset, err);
	free(table);
	if (!rc)
		rc = platter_image_flush(sh->s->file, err);
	return rc;
}

static int write_header(struct plt_qcow2_shadow *sh,
			const struct plt_qcow2_switch *to,
			struct platter_error *err)
{
	struct plt_qcow2_header *h = &sh->s->h, old = *h;
	int rc;

	h->size = to->size;
	h->l1_size = to->l1_size;
	h->l1_offset = to->l1_offset;
	h->nb_snapshots = to->nb_snapshots;
	h->snapshots_offset = to->snapshots_offset;
	h->reftable_offset = sh->table_offset;
	h->reftable_clusters = (uint32_t)(sh->table_len >>
					  sh->s->cluster_bits);
	rc = plt_qcow2_header_write_fixed(sh->s, err);
	if (rc) {
		/* Old or new, either is good; but which it is we cannot say. */
		*h = old;
		sh->s->broken = true;
	}
	return rc;
}

/* Make memory agree with what is on disk now. */
static int install(struct plt_qcow2_shadow *sh, struct plt_qcow2_switch *to,
		   uint8_t *l1_dirty, struct platter_error *err)
{
	struct plt_qcow2 *s = sh->s;
	int rc;

	pthread_mutex_lock(&s->lock);
	if (to->l1) {
		free(s->l1);
		s->l1 = plt_steal(to->l1);
		free(s->l1_dirty);
		s->l1_dirty = l1_dirty;
	}
	plt_qcow2_cache_drop(s, 0, QCOW2_MAX_HOST_OFFSET);
	free(s->reftable);
	free(s->reftable_dirty);
	s->reftable = NULL;
	s->reftable_dirty = NULL;
	s->reftable_entries = 0;
	s->free_guess = 0;
	s->compressed_next = 0;
	rc = plt_qcow2_reftable_load(s, err);
	if (rc)
		s->broken = true;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

int plt_qcow2_shadow_commit(struct plt_qcow2_shadow *sh,
			    struct plt_qcow2_switch *to,
			    struct platter_error *err)
{
	size_t sectors = to->l1_size / QCOW2_PER_SECTOR + 1;
	uint8_t *l1_dirty = NULL;
	int rc;

	if (to->l1) {
		l1_dirty = plt_calloc(sectors, 1, err);
		if (!l1_dirty)
			return -ENOMEM;
	}
	rc = settle_all(sh, err);
	if (!rc)
		rc = write_all(sh, err);
	if (!rc)
		rc = write_header(sh, to, err);
	if (rc) {
		free(l1_dirty);
		return rc;
	}
	rc = install(sh, to, l1_dirty, err);
	for (size_t i = 0; i < sh->nr_freed && !rc; i++) {
		uint64_t size = platter_image_size(sh->s->file);
		struct plt_qcow2_shadow_run *r = &sh->freed[i];

		/* Only a service to the file system: never an error. */
		if (r->offset < size)
			(void)!platter_image_discard(sh->s->file, r->offset,
				PLT_MIN(r->len, size - r->offset), NULL);
	}
	return rc;
}
