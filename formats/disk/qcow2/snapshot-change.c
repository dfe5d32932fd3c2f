/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making, applying and deleting internal snapshots.
 *
 * A cluster's refcount is the number of ways that lead to it from the L1 tables
 * of the image and its snapshots; an L2 table that several share counts once
 * for each, and so does all it refers to. COPIED stands in the active tables
 * exactly where the count is 1. Order of writes, for each of the three:
 *   1. all metadata so far is made durable, and nothing is in limbo;
 *   2. changed L2 tables, the L1 tables, the snapshot table, all refcount
 *      blocks that change and a new refcount table are written to clusters
 *      that are free (shadow.c), and made durable;
 *   3. one write of the header refers to all of them, and is made durable;
 *   4. what was there before is free by then: space is given back.
 * A crash leaves the image before or after, never between: nothing is leaked,
 * and no COPIED flag is wrong at any time (R1-R4 and R8 hold by step 2 and 3).
 *
 * An L2 table that must change because flags in it do is replaced, in all L1
 * tables that this touches. L2 tables are read and written whole; runs of data
 * clusters that lie together are counted by one call.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/snapshot-tables.h"

#define MAX_NAME	255u	/* bytes; longer ones QEMU cuts when it lists */

static void change_free(struct plt_qcow2_change *c)
{
	plt_qcow2_shadow_free(c->sh);
	plt_qcow2_snapshots_table_free(c->table);
	free(c->to.l1);
	free(c->l2);
}

static int refuse(const struct plt_qcow2 *s, struct platter_error *err)
{
	if (s->data_file)
		return plt_err_set(err, -ENOTSUP, "an image with a data file "
				   "cannot have internal snapshots");
	if (s->broken)
		return plt_err_set(err, -EIO, "the image is not written after "
				   "an error");
	return 0;
}

/* `skip` is the snapshot the new table is to be without. */
static int begin(struct plt_qcow2_change *c, struct plt_qcow2 *s, size_t skip,
		 struct platter_error *err)
{
	int rc;

	*c = (struct plt_qcow2_change){ .s = s };
	rc = plt_qcow2_settle(s, err);
	if (rc)
		return rc;
	c->to = (struct plt_qcow2_switch){
		.size = s->h.size,
		.l1_size = s->h.l1_size,
		.l1_offset = s->h.l1_offset,
		.nb_snapshots = s->h.nb_snapshots,
		.snapshots_offset = s->h.snapshots_offset,
	};
	c->l2 = plt_calloc(1, s->cluster_size, err);
	if (!c->l2)
		return -ENOMEM;
	rc = plt_qcow2_snapshots_copy(&c->table, s->snapshots, skip, err);
	if (!rc)
		rc = plt_qcow2_shadow_new(&c->sh, s, err);
	return rc;
}

/* ---- the end of every change ---- */

static int write_table(struct plt_qcow2_change *c, struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	uint64_t old = plt_qcow2_snapshot_table_size(s);
	uint8_t *buf = NULL;
	int rc;

	rc = plt_qcow2_snapshots_encode(c->table, &buf, err);
	c->to.nb_snapshots = (uint32_t)c->table->nr;
	c->to.snapshots_offset = 0;
	if (!rc && buf)
		rc = plt_qcow2_shadow_write(c->sh, buf, c->table->table_size,
					    &c->to.snapshots_offset, err);
	free(buf);
	if (!rc && old)
		rc = plt_qcow2_shadow_lower(c->sh, s->h.snapshots_offset, old,
					    err);
	return rc;
}

/* Whatever `rc`: when it is good, switch; then clean up. */
static int finish(struct plt_qcow2_change *c, int rc, struct platter_error *err)
{
	struct plt_qcow2 *s = c->s;
	bool resized = c->to.size != s->h.size;

	if (!rc)
		rc = plt_qcow2_shadow_commit(c->sh, &c->to, err);
	if (!rc) {
		plt_qcow2_snapshots_free(s);
		s->snapshots = plt_steal(c->table);
		if (resized)
			platter_image_set_size(s->img, plt_align_down(
					       s->h.size, QCOW2_SECTOR));
	}
	change_free(c);
	return rc;
}

/* ---- create ---- */

static unsigned long next_id(const struct plt_qcow2 *s)
{
	unsigned long max = 0;

	for (size_t i = 0; i < s->snapshots->nr; i++) {
		unsigned long id = strtoul(s->snapshots->list[i].id, NULL, 10);

		max = PLT_MAX(max, id);
	}
	return max + 1;
}

static int add_row(struct plt_qcow2_change *c, const char *name,
		   uint64_t l1_offset, struct platter_error *err)
{
	struct plt_qcow2_snapshot_row row = {
		.l1_offset = l1_offset,
		.l1_size = c->s->h.l1_size,
	};
	struct platter_snapshot info = {
		.name = name,
		.disk_size = c->s->h.size,
	};
	struct timespec now;
	char id[32];

	clock_gettime(CLOCK_REALTIME, &now);
	info.date_sec = (uint32_t)now.tv_sec;
	info.date_nsec = (uint32_t)now.tv_nsec;
	snprintf(id, sizeof(id), "%lu", next_id(c->s));
	info.id = id;
	return plt_qcow2_snapshots_append(c->table, &info, &row, err);
}

/* Both L1 tables are the same then: all they lead to is shared. */
static int create_tables(struct plt_qcow2_change *c, const char *name,
			 struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	uint32_t entries = s->h.l1_size;
	uint64_t entry, copy;
	int rc = 0;

	c->to.l1 = plt_qcow2_change_new_l1(entries, err);
	if (!c->to.l1)
		return -ENOMEM;
	for (uint32_t i = 0; i < entries && !rc; i++) {
		rc = plt_qcow2_change_share(c, s->l1, i, true, &entry, err);
		plt_put_be64(&c->to.l1[i], entry);
	}
	if (!rc)
		rc = plt_qcow2_change_put_l1(c, c->to.l1, entries,
					     &c->to.l1_offset, err);
	if (!rc)
		rc = plt_qcow2_change_put_l1(c, c->to.l1, entries, &copy, err);
	if (!rc)
		rc = plt_qcow2_change_lower_l1(c, s->h.l1_offset, entries, err);
	if (!rc)
		rc = add_row(c, name, copy, err);
	if (!rc)
		rc = write_table(c, err);
	return rc;
}

int plt_qcow2_snapshot_create(struct platter_image *img, const char *name,
			      struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	struct plt_qcow2_change c = { .s = s };
	int rc;

	rc = refuse(s, err);
	if (rc)
		return rc;
	if (s->snapshots->nr >= QCOW2_MAX_SNAPSHOTS)
		return plt_err_set(err, -EFBIG, "there are %zu snapshots "
				   "already, the limit", s->snapshots->nr);
	if (strlen(name) > MAX_NAME)
		return plt_err_set(err, -ENAMETOOLONG, "snapshot name of %zu "
				   "bytes is over the limit of %u",
				   strlen(name), MAX_NAME);
	rc = begin(&c, s, SIZE_MAX, err);
	if (!rc)
		rc = create_tables(&c, name, err);
	return finish(&c, rc, err);
}

/* ---- apply ---- */

static uint64_t l1_needed(const struct plt_qcow2 *s, uint64_t size)
{
	uint64_t per = UINT64_C(1) << (s->cluster_bits + s->l2_bits);

	return size / per + !!(size % per);
}

static int apply_tables(struct plt_qcow2_change *c, size_t index,
			const uint64_t *l1, struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	uint32_t entries = s->snapshots->row[index].l1_size;
	uint64_t need, entry;
	int rc;

	c->to.size = s->snapshots->list[index].disk_size;
	need = l1_needed(s, c->to.size);
	if (c->to.size > PLT_OFFSET_MAX || need * 8 > QCOW2_MAX_L1_BYTES)
		return plt_err_set(err, -EFBIG, "snapshot size %" PRIu64
				   " needs an L1 table over the limit of %u "
				   "entries", c->to.size,
				   QCOW2_MAX_L1_BYTES / 8);
	c->to.l1_size = PLT_MAX(entries, (uint32_t)need);
	c->to.l1 = plt_qcow2_change_new_l1(c->to.l1_size, err);
	if (!c->to.l1)
		return -ENOMEM;
	/*
	 * Down first, so that no refcount is higher between than before or
	 * after: the snapshot itself keeps what both have from going to 0.
	 */
	rc = plt_qcow2_change_lower(c, s->l1, s->h.l1_size, err);
	if (!rc)
		rc = plt_qcow2_change_lower_l1(c, s->h.l1_offset, s->h.l1_size,
					       err);
	for (uint32_t i = 0; i < entries && !rc; i++) {
		rc = plt_qcow2_change_share(c, l1, i, false, &entry, err);
		plt_put_be64(&c->to.l1[i], entry);
	}
	return rc ? rc : plt_qcow2_change_put_l1(c, c->to.l1, c->to.l1_size,
				  &c->to.l1_offset, err);
}

int plt_qcow2_snapshot_apply(struct platter_image *img, const char *name,
			     struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	const struct platter_bitmap_info *bitmaps;
	uint64_t *l1 plt_auto_free = NULL;
	struct plt_qcow2_change c = { .s = s };
	size_t index, nr = 0;
	int rc;

	rc = refuse(s, err);
	if (!rc)
		rc = plt_qcow2_snapshot_find(s, name, false, &index, err);
	if (!rc)
		rc = plt_qcow2_bitmaps_list(img, &bitmaps, &nr, err);
	if (rc)
		return rc;
	/* They would not know what has changed. */
	if (nr)
		return plt_err_set(err, -EBUSY, "the image has %zu dirty "
				   "bitmaps, which cannot follow", nr);
	rc = begin(&c, s, SIZE_MAX, err);
	if (!rc)
		rc = plt_qcow2_snapshot_read_l1(s, index, &l1, err);
	if (!rc)
		rc = apply_tables(&c, index, l1, err);
	rc = finish(&c, rc, err);
	if (!rc)
		plt_qcow2_inflated_drop(s, 0, UINT64_MAX);
	return rc;
}

/* ---- delete ---- */

static int own_tables(struct plt_qcow2_change *c, struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	uint64_t entry;
	int rc = 0;

	c->to.l1 = plt_qcow2_change_new_l1(s->h.l1_size, err);
	if (!c->to.l1)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->h.l1_size && !rc; i++) {
		rc = plt_qcow2_change_own(c, i, &entry, err);
		plt_put_be64(&c->to.l1[i], entry);
	}
	if (rc)
		return rc;
	if (!memcmp(c->to.l1, s->l1, (size_t)s->h.l1_size * 8)) {
		free(plt_steal(c->to.l1));
		return 0;
	}
	rc = plt_qcow2_change_put_l1(c, c->to.l1, s->h.l1_size,
				     &c->to.l1_offset, err);
	if (!rc)
		rc = plt_qcow2_change_lower_l1(c, s->h.l1_offset, s->h.l1_size,
					       err);
	return rc;
}

int plt_qcow2_snapshot_delete(struct platter_image *img, const char *name,
			      struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	uint64_t *l1 plt_auto_free = NULL;
	struct plt_qcow2_change c = { .s = s };
	const struct plt_qcow2_snapshot_row *row;
	size_t index;
	int rc;

	rc = plt_qcow2_snapshot_find(s, name, true, &index, err);
	if (!rc)
		rc = refuse(s, err);
	if (rc)
		return rc;
	row = &s->snapshots->row[index];
	rc = begin(&c, s, index, err);
	if (!rc)
		rc = plt_qcow2_snapshot_read_l1(s, index, &l1, err);
	if (!rc)
		rc = plt_qcow2_change_lower(&c, l1, row->l1_size, err);
	if (!rc)
		rc = plt_qcow2_change_lower_l1(&c, row->l1_offset, row->l1_size,
					       err);
	if (!rc)
		rc = own_tables(&c, err);
	if (!rc)
		rc = write_table(&c, err);
	return finish(&c, rc, err);
}

/* ---- amend ---- */

int plt_qcow2_snapshots_store(struct plt_qcow2 *s, struct platter_error *err)
{
	struct plt_qcow2_change c;
	int rc;

	rc = begin(&c, s, SIZE_MAX, err);
	if (!rc)
		rc = write_table(&c, err);
	return finish(&c, rc, err);
}
