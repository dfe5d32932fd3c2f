/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading the bits of persistent bitmaps.
 *
 * A table entry is the offset of a cluster of bits, or says that all are zero
 * or all are one. Bits behind the last one are zero.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/bitmap.h"

static int check_entry(const struct plt_qcow2 *s,
		       const struct plt_qcow2_bitmap *b, uint64_t entry,
		       struct platter_error *err)
{
	uint64_t offset = entry & QCOW2_OFFSET_MASK;
	uint64_t known = QCOW2_OFFSET_MASK;

	if (!offset)
		known |= QCOW2_BITMAP_ALL_ONES;
	if (!(entry & ~known) && !(offset & (s->cluster_size - 1)))
		return 0;
	return plt_err_set(err, -EINVAL, "the table of bitmap '%s' has the "
			   "entry %#" PRIx64 ", which is no cluster's offset",
			   b->name, entry);
}

int plt_qcow2_bitmap_table(const struct plt_qcow2 *s,
			   const struct plt_qcow2_bitmap *b, uint64_t **table,
			   struct platter_error *err)
{
	uint64_t *t plt_auto_free = NULL;
	int rc;

	*table = NULL;
	if (!b->table_size)
		return 0;
	t = plt_calloc(b->table_size, 8, err);
	if (!t)
		return -ENOMEM;
	rc = platter_image_pread(s->file, t, (size_t)b->table_size * 8,
				 b->table_offset, err);
	for (uint32_t i = 0; i < b->table_size && !rc; i++) {
		t[i] = plt_be64(&t[i]);
		rc = check_entry(s, b, t[i], err);
	}
	if (!rc)
		*table = plt_steal(t);
	return rc;
}

int plt_qcow2_bitmap_cluster(const struct plt_qcow2 *s, uint64_t entry,
			     uint8_t *buf, struct platter_error *err)
{
	uint64_t offset = entry & QCOW2_OFFSET_MASK;
	uint64_t file = platter_image_size(s->file);
	uint64_t len = s->cluster_size;

	if (!offset) {
		memset(buf, entry & QCOW2_BITMAP_ALL_ONES ? 0xff : 0, len);
		return 0;
	}
	if (offset >= file)
		return plt_err_set(err, -EINVAL, "bitmap cluster at offset %"
				   PRIu64 " lies beyond the end of the file at "
				   "%" PRIu64, offset, file);
	len = PLT_MIN(len, file - offset);
	memset(buf + len, 0, s->cluster_size - len);
	return platter_image_pread(s->file, buf, len, offset, err);
}

void plt_qcow2_bitmap_trim(const struct plt_qcow2 *s, uint8_t *buf,
			   uint64_t first)
{
	if (first >= plt_qcow2_bitmap_per(s))
		return;
	if (first % 8) {
		buf[first / 8] &= (uint8_t)((1u << first % 8) - 1);
		first = plt_align_up(first, 8);
	}
	memset(buf + first / 8, 0, s->cluster_size - first / 8);
}

/* All clusters of a bitmap, one behind the other. */
static int read_bits(const struct plt_qcow2 *s,
		     const struct plt_qcow2_bitmap *b, uint64_t bits,
		     uint8_t *out, struct platter_error *err)
{
	uint64_t per = plt_qcow2_bitmap_per(s);
	uint64_t entries = plt_qcow2_bitmap_entries(s, bits);
	uint64_t *table plt_auto_free = NULL;
	int rc;

	rc = plt_qcow2_bitmap_table(s, b, &table, err);
	for (uint64_t i = 0; i < entries && !rc; i++) {
		uint8_t *buf = out + i * s->cluster_size;

		if (i < b->table_size && i * per < b->valid)
			rc = plt_qcow2_bitmap_cluster(s, table[i], buf, err);
		if (!rc && i * per < b->valid)
			plt_qcow2_bitmap_trim(s, buf, b->valid - i * per);
		if (!rc && b->since)
			plt_dirty_or_into(b->since, i * per, per, buf);
		if (!rc)
			plt_qcow2_bitmap_trim(s, buf, bits - i * per);
	}
	return rc;
}

int plt_qcow2_bitmap_read(struct platter_image *img, const char *name,
			  uint8_t **bits, size_t *len,
			  struct platter_error *err)
{
	const struct plt_qcow2 *s = platter_image_state(img);
	const struct plt_qcow2_bitmap *b = plt_qcow2_bitmap_find(s, name);
	uint8_t *buf plt_auto_free = NULL;
	uint64_t nr;
	int rc;

	if (!b)
		return plt_err_set(err, -ENOENT, "Dirty bitmap '%s' not found",
				   name);
	if (b->broken)
		return plt_err_set(err, -EUCLEAN, "Bitmap '%s' is inconsistent "
				   "and cannot be used", name);
	nr = plt_qcow2_bitmap_bits(b, s->h.size);
	buf = plt_calloc(plt_qcow2_bitmap_entries(s, nr) + 1, s->cluster_size,
			 err);
	if (!buf)
		return -ENOMEM;
	rc = read_bits(s, b, nr, buf, err);
	if (rc)
		return plt_err_prefix(err, rc, "bitmap '%s'", name);
	*bits = plt_steal(buf);
	*len = (size_t)(nr / 8 + !!(nr % 8));
	return 0;
}
