/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A cursor over an image's map that asks for many extents at a time. */
#ifndef PLT_COPY_EXTENTS_H
#define PLT_COPY_EXTENTS_H

#include <stddef.h>
#include <stdint.h>

#include <platter/image.h>

#define PLT_EXTENTS_ROOM 256u

struct plt_extents {
	struct platter_image *img;
	uint64_t end;		/* there is nothing beyond */
	size_t next;
	size_t nr;
	struct platter_extent ext[PLT_EXTENTS_ROOM];
};

/* Up to `end`, or to where the image ends. Freed with free(). */
int plt_extents_new(struct plt_extents **out, struct platter_image *img,
		    uint64_t end, struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * What the map says from `offset` on, which only grows from call to call and
 * is below `end`: the extent there, less what lies before `offset`.
 */
int plt_extents_at(struct plt_extents *e, uint64_t offset,
		   struct platter_extent *out, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* -EINVAL when a range reaches beyond the end of the image. */
int plt_range_check(const struct platter_image *img, uint64_t offset,
		    uint64_t length, struct platter_error *err)
	PLATTER_MUST_CHECK;

#endif
