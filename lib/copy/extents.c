/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A cursor over an image's map that asks for many extents at a time. */
#include "copy/extents.h"

#include <inttypes.h>

#include "base/error.h"
#include "base/mem.h"

int plt_extents_new(struct plt_extents **out, struct platter_image *img,
		    uint64_t end, struct platter_error *err)
{
	struct plt_extents *e = plt_calloc(1, sizeof(*e), err);

	if (!e)
		return -ENOMEM;
	e->img = img;
	e->end = PLT_MIN(end, platter_image_size(img));
	*out = e;
	return 0;
}

static int refill(struct plt_extents *e, uint64_t offset,
		  struct platter_error *err)
{
	size_t count = PLT_EXTENTS_ROOM;
	int rc;

	rc = platter_image_map(e->img, offset, e->end - offset, e->ext, &count,
			       err);
	if (rc)
		return rc;
	e->next = 0;
	e->nr = count;
	return 0;
}

int plt_extents_at(struct plt_extents *e, uint64_t offset,
		   struct platter_extent *out, struct platter_error *err)
{
	uint64_t skip;
	int rc;

	while (e->next < e->nr &&
	       e->ext[e->next].offset + e->ext[e->next].length <= offset)
		e->next++;
	if (e->next == e->nr) {
		rc = refill(e, offset, err);
		if (rc)
			return rc;
	}
	*out = e->ext[e->next];
	skip = offset - out->offset;
	out->offset += skip;
	out->length -= skip;
	out->host_offset += skip;
	return 0;
}

int plt_range_check(const struct platter_image *img, uint64_t offset,
		    uint64_t length, struct platter_error *err)
{
	uint64_t size = platter_image_size(img);

	if (offset <= size && length <= size - offset)
		return 0;
	return plt_err_set(err, -EINVAL, "%s: %" PRIu64 " bytes at %" PRIu64
			   " reach beyond its end at %" PRIu64,
			   platter_image_name(img), length, offset, size);
}
