/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checking qcow2: the snapshot table and the bitmaps.
 *
 * Both are read anew and not taken from what opening the image made of them:
 * that is only what could be used.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/check.h"

/* Offsets in a row of the snapshot table. */
#define ROW_L1_OFFSET	0
#define ROW_L1_SIZE	8
#define ROW_ID_LEN	12
#define ROW_NAME_LEN	14
#define ROW_EXTRA	36

/* ---- snapshots ---- */

/*
 * What was understood of the table at open is what would be written again. If
 * that is not all of it, it is left alone.
 */
static bool can_rewrite(const struct plt_qcow2_checker *c)
{
	uint64_t offset;
	uint32_t entries;

	return c->fix_errors &&
	       plt_qcow2_snapshot_l1(c->s, c->s->h.nb_snapshots - 1, &offset,
				     &entries);
}

/* Row `i` at *offset; which then is where the next would be, unaligned. */
static int read_row(struct plt_qcow2_checker *c, uint32_t i, uint64_t *offset,
		    struct platter_error *err)
{
	struct plt_qcow2_check_snapshot *sn = &c->snapshots[i];
	uint8_t row[QCOW2_SNAPSHOT_ROW];
	int rc;

	*offset = plt_align_up(*offset, 8);
	rc = plt_qcow2_check_read(c, row, sizeof(row), *offset, err);
	if (rc)
		return plt_err_prefix(err, rc, "snapshot table entry %" PRIu32,
				      i);
	sn->l1_offset = plt_be64(row + ROW_L1_OFFSET);
	sn->l1_size = plt_be32(row + ROW_L1_SIZE);
	sn->extra = plt_be32(row + ROW_EXTRA);
	if (sn->extra > QCOW2_MAX_SNAPSHOT_EXTRA) {
		if (!c->fix_snapshots)
			return plt_err_set(err, -EINVAL, "snapshot table entry"
					   " %" PRIu32 " has %" PRIu32
					   " bytes of extra data, over the "
					   "limit of %u; 'check -r all' can "
					   "remove them", i, sn->extra,
					   QCOW2_MAX_SNAPSHOT_EXTRA);
		c->snapshot_corruptions++;
		plt_qcow2_check_found(c, QCOW2_FOUND_CORRUPTION, true,
				      "snapshot-extra", *offset, QCOW2_NOWHERE,
				      "Discarding too much extra metadata in "
				      "snapshot table entry %" PRIu32 " (%"
				      PRIu32 " > %u)", i, sn->extra,
				      QCOW2_MAX_SNAPSHOT_EXTRA);
	}
	if (c->s->h.version >= 3 && sn->extra < QCOW2_SNAPSHOT_EXTRA_V3) {
		c->snapshot_corruptions++;
		plt_qcow2_check_found(c, QCOW2_FOUND_CORRUPTION,
				      c->fix_snapshots, "snapshot-extra",
				      *offset, QCOW2_NOWHERE, "snapshot table "
				      "entry %" PRIu32 " is incomplete", i);
	}
	*offset += QCOW2_SNAPSHOT_ROW + sn->extra +
		   plt_be16(row + ROW_ID_LEN) + plt_be16(row + ROW_NAME_LEN);
	return 0;
}

int plt_qcow2_check_read_snapshots(struct plt_qcow2_checker *c,
				   struct platter_error *err)
{
	const struct plt_qcow2_header *h = &c->s->h;
	uint64_t offset = h->snapshots_offset;
	int rc;

	if (h->nb_snapshots > QCOW2_MAX_SNAPSHOTS)
		return plt_err_set(err, -EFBIG, "snapshot table of %" PRIu32
				   " entries is over the limit of %u",
				   h->nb_snapshots, QCOW2_MAX_SNAPSHOTS);
	/* QEMU wants that of a table of no entries, too. */
	if (offset > PLT_OFFSET_MAX - h->nb_snapshots * QCOW2_SNAPSHOT_ROW ||
	    (offset & (c->s->cluster_size - 1)))
		return plt_err_set(err, -EINVAL, "snapshot table offset %"
				   PRIu64 " is invalid", offset);
	if (!h->nb_snapshots)
		return 0;
	c->fix_snapshots = can_rewrite(c);
	c->snapshots = plt_calloc(h->nb_snapshots, sizeof(c->snapshots[0]),
				  err);
	if (!c->snapshots)
		return -ENOMEM;
	for (uint32_t i = 0; i < h->nb_snapshots; i++) {
		rc = read_row(c, i, &offset, err);
		if (rc)
			return rc;
		if (offset - h->snapshots_offset > QCOW2_MAX_SNAPSHOT_TABLE)
			return plt_err_set(err, -EFBIG, "snapshot table is "
					   "over the limit of %u bytes",
					   QCOW2_MAX_SNAPSHOT_TABLE);
	}
	c->nr_snapshots = h->nb_snapshots;
	c->snapshots_size = offset - h->snapshots_offset;
	return 0;
}

static void corrupt_snapshot(struct plt_qcow2_checker *c, const char *kind,
			     uint32_t i, const char *what)
{
	plt_qcow2_check_found(c, QCOW2_FOUND_CORRUPTION, false, kind,
			      c->s->h.snapshots_offset, QCOW2_NOWHERE,
			      "snapshot %" PRIu32 " l1_offset=%#" PRIx64
			      " l1_size=%#" PRIx32 ": %s; snapshot table entry"
			      " corrupted", i, c->snapshots[i].l1_offset,
			      c->snapshots[i].l1_size, what);
}

int plt_qcow2_check_snapshots(struct plt_qcow2_checker *c,
			      struct platter_error *err)
{
	int rc;

	if (c->s->data_file && c->nr_snapshots)
		plt_qcow2_check_found(c, QCOW2_FOUND_CORRUPTION, false,
				      "snapshot-data-file",
				      c->s->h.snapshots_offset, QCOW2_NOWHERE,
				      "%" PRIu32 " snapshots in image with "
				      "data file", c->nr_snapshots);
	for (uint32_t i = 0; i < c->nr_snapshots; i++) {
		const struct plt_qcow2_check_snapshot *sn = &c->snapshots[i];

		if (sn->l1_offset & (c->s->cluster_size - 1)) {
			corrupt_snapshot(c, "snapshot-l1-unaligned", i,
					 "L1 table is not cluster aligned");
			continue;
		}
		if (sn->l1_size > QCOW2_MAX_L1_BYTES / 8) {
			corrupt_snapshot(c, "snapshot-l1-size", i,
					 "L1 table is too large");
			continue;
		}
		rc = plt_qcow2_check_l1(c, sn->l1_offset, sn->l1_size, false,
					err);
		if (rc)
			return plt_err_prefix(err, rc, "snapshot %" PRIu32, i);
	}
	return plt_qcow2_check_count(c, c->s->h.snapshots_offset,
				     c->snapshots_size, "snapshot table",
				     QCOW2_NOWHERE, err);
}

/* ---- bitmaps ---- */

/* Offsets in a directory entry. */
#define DIR_TABLE	0
#define DIR_TABLE_SIZE	8
#define DIR_FLAGS	12
#define DIR_TYPE	16
#define DIR_GRANULARITY	17
#define DIR_NAME_LEN	18
#define DIR_EXTRA	20

#define MAX_TABLE	0x8000000u	/* entries; QEMU's BME_MAX_TABLE_SIZE */
#define TABLE_RESERVED	UINT64_C(0xff000000000001fe)
/* QEMU refuses all flags but the two it knows. */
#define FLAGS_RESERVED	(~(QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO))
#define TABLE_STEP	(64u << 10)	/* bytes read at once; divides */

struct dir_entry {
	uint64_t table;		/* offset in the file */
	uint32_t entries, flags, extra;
	uint16_t name_len;
	uint8_t type, granularity;
};

static bool dir_entry_good(const struct plt_qcow2_checker *c,
			   const struct dir_entry *e)
{
	uint64_t bytes = (uint64_t)e->entries << c->s->cluster_bits;

	if (!e->entries || !e->table || e->entries > MAX_TABLE ||
	    (e->table & (c->s->cluster_size - 1)) ||
	    e->table > QCOW2_MAX_HOST_OFFSET ||
	    e->granularity > QCOW2_MAX_GRANULARITY_BITS ||
	    e->granularity < QCOW2_MIN_GRANULARITY_BITS ||
	    (e->flags & FLAGS_RESERVED) || !e->name_len ||
	    e->name_len > QCOW2_MAX_BITMAP_NAME || e->extra ||
	    e->type != QCOW2_BITMAP_TYPE_DIRTY)
		return false;
	if (bytes > QCOW2_MAX_BITMAP_RAM)
		return false;
	return (e->flags & QCOW2_BITMAP_IN_USE) ||
	       c->s->h.size <= bytes * 8 << e->granularity;
}

static bool table_entry_good(const struct plt_qcow2_checker *c, uint64_t entry)
{
	uint64_t offset = entry & QCOW2_OFFSET_MASK;

	if (entry & TABLE_RESERVED)
		return false;
	return !offset || !((offset & (c->s->cluster_size - 1)) ||
			    (entry & QCOW2_BITMAP_ALL_ONES));
}

static int bad_bitmap(struct plt_qcow2_checker *c, uint64_t offset,
		      struct platter_error *err, const char *what)
{
	plt_qcow2_check_found(c, QCOW2_FOUND_CORRUPTION, false, "bitmap",
			      offset, QCOW2_NOWHERE, "%s", what);
	return plt_err_set(err, -EINVAL, "%s at offset %" PRIu64, what,
			   offset);
}

/* One bitmap's table, and the clusters it names. */
static int check_table(struct plt_qcow2_checker *c, const struct dir_entry *e,
		       struct platter_error *err)
{
	const uint64_t bytes = (uint64_t)e->entries * 8;
	plt_auto_free uint8_t *buf = plt_calloc(1, TABLE_STEP, err);
	int rc;

	if (!buf)
		return -ENOMEM;
	rc = plt_qcow2_check_count(c, e->table, bytes, "bitmap table",
				   QCOW2_NOWHERE, err);
	for (uint64_t at = 0; at < bytes && !rc; at += TABLE_STEP) {
		size_t len = PLT_MIN(bytes - at, (uint64_t)TABLE_STEP);

		rc = plt_qcow2_check_read(c, buf, len, e->table + at, err);
		for (size_t i = 0; i < len && !rc; i += 8) {
			uint64_t entry = plt_be64(buf + i);
			uint64_t offset = entry & QCOW2_OFFSET_MASK;

			if (!table_entry_good(c, entry))
				rc = bad_bitmap(c, e->table + at + i, err,
						"bitmap table entry is "
						"corrupted");
			else if (offset)
				rc = plt_qcow2_check_count(
					c, offset, c->s->cluster_size,
					"bitmap data", QCOW2_NOWHERE, err);
		}
	}
	return rc;
}

static void decode_dir_entry(const uint8_t *p, struct dir_entry *e)
{
	*e = (struct dir_entry){
		.table = plt_be64(p + DIR_TABLE),
		.entries = plt_be32(p + DIR_TABLE_SIZE),
		.flags = plt_be32(p + DIR_FLAGS),
		.type = p[DIR_TYPE],
		.granularity = p[DIR_GRANULARITY],
		.name_len = plt_be16(p + DIR_NAME_LEN),
		.extra = plt_be32(p + DIR_EXTRA),
	};
}

/* QEMU judges the whole directory before it counts what one entry names. */
static int check_directory(struct plt_qcow2_checker *c, const uint8_t *dir,
			   bool count, struct platter_error *err)
{
	const struct plt_qcow2_header *h = &c->s->h;
	uint64_t at = 0, len;
	struct dir_entry e;
	uint32_t nr = 0;
	int rc;

	for (; at < h->bitmap_directory_size; at += len, nr++) {
		uint64_t left = h->bitmap_directory_size - at;

		if (nr == h->nb_bitmaps || left < QCOW2_BITMAP_ROW)
			break;
		decode_dir_entry(dir + at, &e);
		len = plt_align_up(QCOW2_BITMAP_ROW + (uint64_t)e.name_len +
				   e.extra, 8);
		if (len > left || !dir_entry_good(c, &e))
			break;
		rc = count ? check_table(c, &e, err) : 0;
		if (rc)
			return rc;
	}
	if (at == h->bitmap_directory_size && nr == h->nb_bitmaps)
		return 0;
	return bad_bitmap(c, h->bitmap_directory_offset + at, err,
			  "bitmap directory is corrupted");
}

int plt_qcow2_check_bitmaps(struct plt_qcow2_checker *c,
			    struct platter_error *err)
{
	const struct plt_qcow2_header *h = &c->s->h;
	plt_auto_free uint8_t *dir = NULL;
	int rc;

	/* Without the autoclear bit the extension means nothing. */
	if (!h->has_bitmaps || !(h->autoclear & QCOW2_AUTOCLEAR_BITMAPS))
		return 0;
	if (!h->nb_bitmaps || !h->bitmap_directory_size || h->nb_bitmaps > QCOW2_MAX_BITMAPS ||
	    h->bitmap_directory_size > QCOW2_MAX_BITMAP_DIRECTORY ||
	    h->bitmap_directory_offset > QCOW2_MAX_HOST_OFFSET ||
	    (h->bitmap_directory_offset & (c->s->cluster_size - 1)))
		return plt_err_set(err, -EINVAL, "bitmap directory of %" PRIu32
				   " bitmaps in %" PRIu64 " bytes at offset %"
				   PRIu64 " is invalid", h->nb_bitmaps,
				   h->bitmap_directory_size,
				   h->bitmap_directory_offset);
	rc = plt_qcow2_check_count(c, h->bitmap_directory_offset,
				   h->bitmap_directory_size,
				   "bitmap directory", QCOW2_NOWHERE, err);
	if (rc)
		return rc;
	dir = plt_calloc(1, h->bitmap_directory_size, err);
	if (!dir)
		return -ENOMEM;
	rc = plt_qcow2_check_read(c, dir, h->bitmap_directory_size,
				  h->bitmap_directory_offset, err);
	if (!rc)
		rc = check_directory(c, dir, false, err);
	return rc ? rc : check_directory(c, dir, true, err);
}
