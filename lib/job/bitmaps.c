/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Carrying persistent bitmaps from one image to another, as qemu-img convert
 * --bitmaps does. Those of the image itself, not of what lies below it.
 */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "job/job.h"

/* The format node below the filters, or NULL. */
static struct platter_image *format_of(struct platter_image *img)
{
	while (img && img->drv->kind == PLATTER_DRIVER_FILTER)
		img = platter_image_child(img, plt_driver_primary(img->drv));
	return img && img->drv->kind == PLATTER_DRIVER_FORMAT ? img : NULL;
}

int plt_bitmaps_check(struct platter_image *src, bool skip_broken,
		      struct platter_error *err)
{
	const struct platter_bitmap_info *list;
	struct platter_image *f = format_of(src);
	size_t nr;
	int rc;

	if (!f || !f->drv->format->bitmap_read)
		return plt_err_set(err, -ENOTSUP, "%s: Source lacks bitmap "
				   "support", platter_image_name(src));
	rc = platter_image_bitmaps(f, &list, &nr, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < nr && !skip_broken; i++) {
		if (list[i].in_use)
			return plt_err_set(err, -EUCLEAN, "%s: Cannot copy "
				"inconsistent bitmap '%s': try "
				"--skip-broken-bitmaps, or remove it",
				platter_image_name(src), list[i].name);
	}
	return 0;
}

static int copy_one(struct platter_image *src, struct platter_image *dst,
		    const struct platter_bitmap_info *info,
		    struct platter_error *err)
{
	uint8_t *bits plt_auto_free = NULL;
	size_t len = 0;
	int rc;

	rc = src->drv->format->bitmap_read(src, info->name, &bits, &len, err);
	if (rc)
		return plt_image_prefix(src, rc, err);
	platter_image_enter_alone(dst);
	rc = dst->drv->format->bitmap_add(dst, info, bits, len, err);
	platter_image_leave_alone(dst);
	if (rc)
		plt_err_prefix(err, rc, "Failed to create bitmap %s",
			       info->name);
	return plt_image_prefix(dst, rc, err);
}

int plt_bitmaps_copy(struct platter_image *src, struct platter_image *dst,
		     bool skip_broken, struct platter_error *err)
{
	struct platter_image *to = format_of(dst);
	const struct platter_bitmap_info *list;
	size_t nr;
	int rc;

	rc = plt_bitmaps_check(src, skip_broken, err);
	if (rc)
		return rc;
	if (!to || !to->drv->format->bitmap_add)
		return plt_err_set(err, -ENOTSUP, "%s: Format driver '%s' does "
				   "not support bitmaps",
				   platter_image_name(dst), dst->drv->name);
	src = format_of(src);
	rc = platter_image_bitmaps(src, &list, &nr, err);
	for (size_t i = 0; i < nr && !rc; i++) {
		if (!list[i].in_use)
			rc = copy_one(src, to, &list[i], err);
	}
	return rc;
}
