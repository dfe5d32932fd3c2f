/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Persistent dirty bitmaps: loading, recording writes, resizing.
 *
 * Opening an image reads the directory only. What is written is recorded
 * apart from what is stored, and the two are joined when the image is closed
 * (bitmap-store.c): so opening costs nothing, however large the bitmaps are,
 * and memory is taken only for where the guest writes.
 *
 * An enabled bitmap is marked in use on disk before the guest can write (R10):
 * when we are killed, everybody knows that it lacks writes. Disabled ones do
 * not change and are not marked, but for a resize. Bitmaps that another program
 * left in use are listed and otherwise left as they are; and where the header's
 * autoclear bit is not set, a program that knows no bitmaps has written to the
 * image, and there are none, as QEMU sees it.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/bitmap.h"

void plt_qcow2_bitmap_clear(struct plt_qcow2_bitmap *b)
{
	free(b->name);
	plt_dirty_free(b->since);
	*b = (struct plt_qcow2_bitmap){ .name = NULL };
}

void plt_qcow2_bitmaps_free(struct plt_qcow2 *s)
{
	struct plt_qcow2_bitmaps *all = s->bitmaps;

	s->bitmaps = NULL;
	if (!all)
		return;
	for (size_t i = 0; i < all->nr; i++)
		plt_qcow2_bitmap_clear(&all->list[i]);
	free(all->list);
	free(all->info);
	free(all);
}

/* ---- loading ---- */

int plt_qcow2_bitmaps_inform(struct plt_qcow2_bitmaps *all,
			     struct platter_error *err)
{
	struct platter_bitmap_info *info;

	info = plt_calloc(all->nr + 1, sizeof(*info), err);
	if (!info)
		return -ENOMEM;
	for (size_t i = 0; i < all->nr; i++) {
		const struct plt_qcow2_bitmap *b = &all->list[i];

		info[i] = (struct platter_bitmap_info){
			.name = b->name,
			.granularity = UINT64_C(1) << b->granularity_bits,
			.in_use = b->broken,
			.enabled = b->enabled,
		};
	}
	free(all->info);
	all->info = info;
	return 0;
}

/* Begin to record what the guest writes. */
static int record(struct plt_qcow2 *s, struct platter_error *err)
{
	bool any = false;

	for (size_t i = 0; i < s->bitmaps->nr; i++) {
		struct plt_qcow2_bitmap *b = &s->bitmaps->list[i];
		int rc;

		if (!b->enabled || b->broken)
			continue;
		rc = plt_dirty_new(&b->since, s->h.size, b->granularity_bits,
				   err);
		if (rc)
			return rc;
		b->marked = true;
		any = true;
	}
	return any ? plt_qcow2_bitmaps_rewrite(s, err) : 0;
}

int plt_qcow2_bitmaps_load(struct plt_qcow2 *s, struct platter_error *err)
{
	unsigned int flags = platter_image_flags(s->img);
	int rc;

	plt_qcow2_bitmaps_free(s);
	if (s->h.version < 3 || !s->h.has_bitmaps || s->snapshot_view ||
	    !(s->h.autoclear & QCOW2_AUTOCLEAR_BITMAPS))
		return 0;
	s->bitmaps = plt_calloc(1, sizeof(*s->bitmaps), err);
	if (!s->bitmaps)
		return -ENOMEM;
	rc = plt_qcow2_bitmaps_decode(s, s->bitmaps, err);
	if (!rc)
		rc = plt_qcow2_bitmaps_inform(s->bitmaps, err);
	if (!rc && (flags & PLATTER_O_RDWR) &&
	    !(flags & (PLATTER_O_NO_IO | PLATTER_O_CHECK)))
		rc = record(s, err);
	if (rc)
		plt_qcow2_bitmaps_free(s);
	return rc;
}

/* ---- in use ---- */

int plt_qcow2_bitmaps_list(struct platter_image *img,
			   const struct platter_bitmap_info **list,
			   size_t *count, struct platter_error *err)
{
	const struct plt_qcow2 *s = platter_image_state(img);

	(void)err;
	*list = s->bitmaps ? s->bitmaps->info : NULL;
	*count = s->bitmaps ? s->bitmaps->nr : 0;
	return 0;
}

struct plt_qcow2_bitmap *plt_qcow2_bitmap_find(const struct plt_qcow2 *s,
					       const char *name)
{
	for (size_t i = 0; s->bitmaps && i < s->bitmaps->nr; i++) {
		if (!strcmp(s->bitmaps->list[i].name, name))
			return &s->bitmaps->list[i];
	}
	return NULL;
}

void plt_qcow2_bitmaps_written(struct platter_image *img, uint64_t offset,
			       uint64_t len)
{
	const struct plt_qcow2 *s = platter_image_state(img);

	for (size_t i = 0; s->bitmaps && i < s->bitmaps->nr; i++) {
		if (s->bitmaps->list[i].since)
			plt_dirty_set(s->bitmaps->list[i].since, offset, len);
	}
}

/* ---- resizing ---- */

static int can_resize(const struct plt_qcow2 *s, uint64_t size,
		      struct platter_error *err)
{
	for (size_t i = 0; i < s->bitmaps->nr; i++) {
		const struct plt_qcow2_bitmap *b = &s->bitmaps->list[i];
		uint64_t bytes = plt_qcow2_bitmap_bits(b, size) / 8;

		if (b->broken)
			return plt_err_set(err, -ENOTSUP, "Bitmap '%s' is "
				"inconsistent and cannot be used: it must be "
				"removed before the image is resized", b->name);
		if (bytes > QCOW2_MAX_BITMAP_RAM)
			return plt_err_set(err, -EFBIG, "bitmap '%s' would "
				"have %" PRIu64 " bytes, over the limit of %u",
				b->name, bytes, QCOW2_MAX_BITMAP_RAM);
	}
	return 0;
}

/* What an earlier resize has cut off is gone for good, whatever comes now. */
static int catch_up(struct plt_qcow2 *s, struct plt_qcow2_bitmap *b,
		    struct platter_error *err)
{
	uint64_t bits = plt_qcow2_bitmap_bits(b, s->h.size);

	b->valid = PLT_MIN(b->valid, bits);
	return b->since ? plt_dirty_resize(b->since, s->h.size, err) : 0;
}

/*
 * A table that does not fit the size must not look as if it did: from here to
 * the closing of the image all are in use, those that are disabled as well.
 * Bits are cut off later, when the image has become smaller.
 */
int plt_qcow2_bitmaps_resize(struct plt_qcow2 *s, uint64_t size,
			     struct platter_error *err)
{
	bool unmarked = false;
	int rc;

	if (!s->bitmaps || !s->bitmaps->nr)
		return 0;
	rc = can_resize(s, size, err);
	for (size_t i = 0; i < s->bitmaps->nr && !rc; i++) {
		struct plt_qcow2_bitmap *b = &s->bitmaps->list[i];

		rc = catch_up(s, b, err);
		if (!rc && b->since && size > s->h.size)
			rc = plt_dirty_resize(b->since, size, err);
	}
	if (rc)
		return rc;
	for (size_t i = 0; i < s->bitmaps->nr; i++) {
		unmarked |= !s->bitmaps->list[i].marked;
		s->bitmaps->list[i].marked = true;
	}
	return unmarked ? plt_qcow2_bitmaps_rewrite(s, err) : 0;
}
