/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bitmap directory: read and checked, encoded, written in place.
 *
 * Rows begin at multiples of 8: table offset and size, flags, type,
 * granularity, lengths; then extra data, of which none is known, and the name
 * (QEMU docs/interop/qcow2.rst, "Bitmaps"). The header says how many bytes the
 * directory has and how many rows; both must come out even.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/bitmap.h"

/* ---- reading ---- */

/* The numbers of a row, besides those of the bitmap itself. */
struct row {
	uint32_t flags;
	uint8_t type, granularity_bits;
	uint16_t name_len;
	uint32_t extra_len;
};

static int check_table_place(const struct plt_qcow2 *s,
			     const struct plt_qcow2_bitmap *b,
			     struct platter_error *err)
{
	uint64_t room = (uint64_t)b->table_size << s->cluster_bits;
	uint64_t file = platter_image_size(s->file);
	uint64_t bits = plt_qcow2_bitmap_bits(b, s->h.size);

	if (!b->table_size || !b->table_offset ||
	    (b->table_offset & (s->cluster_size - 1)))
		return plt_err_set(err, -EINVAL, "bitmap '%s' has a table of %"
				   PRIu32 " entries at offset %" PRIu64
				   ", which is no cluster's offset", b->name,
				   b->table_size, b->table_offset);
	if (room > QCOW2_MAX_BITMAP_RAM)
		return plt_err_set(err, -EFBIG, "bitmap '%s' of %" PRIu64
				   " bytes is over the limit of %u", b->name,
				   room, QCOW2_MAX_BITMAP_RAM);
	if (b->table_offset > file ||
	    (uint64_t)b->table_size * 8 > file - b->table_offset)
		return plt_err_set(err, -EINVAL, "the table of bitmap '%s' at "
				   "offset %" PRIu64 " reaches beyond the end "
				   "of the file at %" PRIu64, b->name,
				   b->table_offset, file);
	if (!b->broken && plt_qcow2_bitmap_entries(s, bits) > b->table_size)
		return plt_err_set(err, -EINVAL, "bitmap '%s' has a table of %"
				   PRIu32 " entries, too few for %" PRIu64
				   " bits", b->name, b->table_size, bits);
	return 0;
}

static int check_row(const struct plt_qcow2 *s, const struct row *r,
		     const struct plt_qcow2_bitmap *b,
		     struct platter_error *err)
{
	if (r->extra_len)
		return plt_err_set(err, -ENOTSUP, "bitmap '%s' has %" PRIu32
				   " bytes of extra data, which are not "
				   "supported", b->name, r->extra_len);
	if (r->type != QCOW2_BITMAP_TYPE_DIRTY)
		return plt_err_set(err, -EINVAL, "bitmap '%s' has the unknown "
				   "type %u", b->name, r->type);
	if (r->flags & QCOW2_BITMAP_RESERVED)
		return plt_err_set(err, -EINVAL, "bitmap '%s' has the unknown "
				   "flags %#" PRIx32, b->name,
				   r->flags & QCOW2_BITMAP_RESERVED);
	if (r->granularity_bits < QCOW2_MIN_GRANULARITY_BITS ||
	    r->granularity_bits > QCOW2_MAX_GRANULARITY_BITS)
		return plt_err_set(err, -EINVAL, "bitmap '%s' has granularity "
				   "2^%u, not between 2^%u and 2^%u", b->name,
				   r->granularity_bits,
				   QCOW2_MIN_GRANULARITY_BITS,
				   QCOW2_MAX_GRANULARITY_BITS);
	return check_table_place(s, b, err);
}

/* The row at *at of `dir`; `b` owns its name even on errors. */
static int decode_row(const struct plt_qcow2 *s, const uint8_t *dir,
		      uint64_t len, uint64_t *at, struct plt_qcow2_bitmap *b,
		      struct platter_error *err)
{
	const uint8_t *p = dir + *at;
	struct row r;
	uint64_t size;

	if (len - *at < QCOW2_BITMAP_ROW)
		return plt_err_set(err, -EINVAL, "bitmap directory ends in the "
				   "row at byte %" PRIu64, *at);
	b->table_offset = plt_be64(p);
	b->table_size = plt_be32(p + 8);
	r.flags = plt_be32(p + 12);
	r.type = p[16];
	r.granularity_bits = p[17];
	r.name_len = plt_be16(p + 18);
	r.extra_len = plt_be32(p + 20);
	b->granularity_bits = r.granularity_bits & 63;
	b->enabled = r.flags & QCOW2_BITMAP_AUTO;
	b->broken = r.flags & QCOW2_BITMAP_IN_USE;
	size = plt_align_up(QCOW2_BITMAP_ROW + (uint64_t)r.extra_len +
			    r.name_len, 8);
	if (size > len - *at)
		return plt_err_set(err, -EINVAL, "bitmap directory ends in the "
				   "row at byte %" PRIu64, *at);
	if (!r.name_len || r.name_len > QCOW2_MAX_BITMAP_NAME)
		return plt_err_set(err, -EINVAL, "bitmap name of %u bytes is "
				   "not between 1 and %u", r.name_len,
				   QCOW2_MAX_BITMAP_NAME);
	b->name = plt_calloc(1, r.name_len + 1u, err);
	if (!b->name)
		return -ENOMEM;
	memcpy(b->name, p + QCOW2_BITMAP_ROW + r.extra_len, r.name_len);
	*at += size;
	b->valid = plt_qcow2_bitmap_bits(b, s->h.size);
	return check_row(s, &r, b, err);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_names(const struct plt_qcow2_bitmaps *all,
		       struct platter_error *err)
{
	const char **names plt_auto_free = NULL;

	names = plt_calloc(all->nr + 1, sizeof(*names), err);
	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < all->nr; i++)
		names[i] = all->list[i].name;
	qsort(names, all->nr, sizeof(*names), by_name);
	for (size_t i = 1; i < all->nr; i++) {
		if (!strcmp(names[i - 1], names[i]))
			return plt_err_set(err, -EINVAL, "there are two "
					   "bitmaps '%s'", names[i]);
	}
	return 0;
}

static int decode_all(const struct plt_qcow2 *s, const uint8_t *dir,
		      struct plt_qcow2_bitmaps *all, struct platter_error *err)
{
	uint64_t len = s->h.bitmap_directory_size, at = 0;
	int rc = 0;

	while (at < len && !rc) {
		if (all->nr == s->h.nb_bitmaps)
			return plt_err_set(err, -EINVAL, "bitmap directory "
					   "has more than the %" PRIu32
					   " bitmaps the header tells of",
					   s->h.nb_bitmaps);
		rc = plt_grow(&all->list, &all->room, all->nr + 1,
			      sizeof(*all->list), err);
		if (rc)
			return rc;
		all->list[all->nr] = (struct plt_qcow2_bitmap){ .valid = 0 };
		rc = decode_row(s, dir, len, &at, &all->list[all->nr++], err);
	}
	if (!rc && all->nr < s->h.nb_bitmaps)
		return plt_err_set(err, -EINVAL, "bitmap directory has %zu "
				   "bitmaps, fewer than the %" PRIu32
				   " the header tells of", all->nr,
				   s->h.nb_bitmaps);
	return rc ? rc : check_names(all, err);
}

int plt_qcow2_bitmaps_decode(const struct plt_qcow2 *s,
			     struct plt_qcow2_bitmaps *all,
			     struct platter_error *err)
{
	const struct plt_qcow2_header *h = &s->h;
	uint64_t file = platter_image_size(s->file);
	uint8_t *dir plt_auto_free = NULL;
	int rc;

	if (h->nb_bitmaps > QCOW2_MAX_BITMAPS ||
	    h->bitmap_directory_size > QCOW2_MAX_BITMAP_DIRECTORY)
		return plt_err_set(err, -EFBIG, "%" PRIu32 " bitmaps in %"
				   PRIu64 " bytes are over the limits of %u "
				   "and %u", h->nb_bitmaps,
				   h->bitmap_directory_size, QCOW2_MAX_BITMAPS,
				   QCOW2_MAX_BITMAP_DIRECTORY);
	if (h->bitmap_directory_offset > file ||
	    h->bitmap_directory_size > file - h->bitmap_directory_offset)
		return plt_err_set(err, -EINVAL, "bitmap directory of %" PRIu64
				   " bytes at offset %" PRIu64 " reaches "
				   "beyond the end of the file at %" PRIu64,
				   h->bitmap_directory_size,
				   h->bitmap_directory_offset, file);
	dir = plt_calloc(1, h->bitmap_directory_size + 1, err);
	if (!dir)
		return -ENOMEM;
	rc = 0;
	if (h->bitmap_directory_size)
		rc = platter_image_pread(s->file, dir,
					 h->bitmap_directory_size,
					 h->bitmap_directory_offset, err);
	return rc ? plt_err_prefix(err, rc, "reading the bitmap directory") :
		    decode_all(s, dir, all, err);
}

/* ---- writing ---- */

static uint64_t row_size(const struct plt_qcow2_bitmap *b)
{
	return plt_align_up(QCOW2_BITMAP_ROW + strlen(b->name), 8);
}

uint64_t plt_qcow2_bitmaps_directory_size(const struct plt_qcow2_bitmaps *all)
{
	uint64_t size = 0;

	for (size_t i = 0; i < all->nr; i++)
		size += row_size(&all->list[i]);
	return size;
}

uint8_t *plt_qcow2_bitmaps_encode(const struct plt_qcow2_bitmaps *all,
				  struct platter_error *err)
{
	uint64_t size = plt_qcow2_bitmaps_directory_size(all);
	uint8_t *dir = plt_calloc(1, size + 1, err), *p = dir;

	for (size_t i = 0; dir && i < all->nr; i++) {
		const struct plt_qcow2_bitmap *b = &all->list[i];
		uint32_t flags = b->enabled ? QCOW2_BITMAP_AUTO : 0;

		if (b->broken || b->marked)
			flags |= QCOW2_BITMAP_IN_USE;
		plt_put_be64(p, b->table_offset);
		plt_put_be32(p + 8, b->table_size);
		plt_put_be32(p + 12, flags);
		p[16] = QCOW2_BITMAP_TYPE_DIRTY;
		p[17] = (uint8_t)b->granularity_bits;
		plt_put_be16(p + 18, (uint16_t)strlen(b->name));
		memcpy(p + QCOW2_BITMAP_ROW, b->name, strlen(b->name));
		p += row_size(b);
	}
	return dir;
}

int plt_qcow2_bitmaps_rewrite(struct plt_qcow2 *s, struct platter_error *err)
{
	uint64_t set = s->h.autoclear | QCOW2_AUTOCLEAR_BITMAPS;
	uint8_t *dir plt_auto_free = NULL;
	int rc;

	dir = plt_qcow2_bitmaps_encode(s->bitmaps, err);
	if (!dir)
		return -ENOMEM;
	rc = plt_qcow2_set_features(s, s->h.incompatible,
				    set & ~QCOW2_AUTOCLEAR_BITMAPS, err);
	if (!rc)
		rc = platter_image_pwrite(s->file, dir,
					  s->h.bitmap_directory_size,
					  s->h.bitmap_directory_offset, err);
	if (!rc)
		rc = platter_image_flush(s->file, err);
	if (!rc)
		rc = plt_qcow2_set_features(s, s->h.incompatible, set, err);
	return rc ? plt_err_prefix(err, rc, "writing the bitmap directory") : 0;
}
