// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Several images as one, each behind the one before: for convert.
 *
 * A format without a file of its own, whose map points into its children. The
 * walker looks through it, so what a child knows to be zero stays known.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"

struct concat {
	uint64_t end[PLT_MAX_CHILDREN];	/* of each child, bytes */
};

/* The first child that ends behind `offset`. */
static size_t child_at(const struct platter_image *img,
		       const struct concat *s, uint64_t offset)
{
	size_t low = 0, high = img->nr_children;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->end[mid] <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int concat_map(struct platter_image *img, uint64_t offset, uint64_t len,
		      struct platter_map *maps, size_t *count,
		      struct platter_error *err)
{
	const struct concat *s = platter_image_state(img);
	size_t i = child_at(img, s, offset), n = 0;

	(void)err;
	for (; len && n < *count && i < img->nr_children; i++) {
		uint64_t length = PLT_MIN(len, s->end[i] - offset);

		if (!length)	/* an empty image */
			continue;
		maps[n++] = (struct platter_map){
			.length = length,
			.kind = PLATTER_MAP_DATA,
			.flags = PLATTER_MAP_RECURSE,
			.child = img->children[i].img,
			.offset = offset - (i ? s->end[i - 1] : 0),
		};
		offset += length;
		len -= length;
	}
	*count = n;
	return 0;
}

static const struct platter_format_ops concat_ops = {
	.map = concat_map,
};

static const struct platter_driver concat_driver = {
	.name = "concat",
	.kind = PLATTER_DRIVER_FORMAT,
	.state_size = sizeof(struct concat),
	.format = &concat_ops,
};

/* Takes `child` over. */
static int append(struct platter_image *img, struct platter_image *child,
		  size_t i, struct platter_error *err)
{
	struct concat *s = platter_image_state(img);
	uint64_t size = platter_image_size(child);
	char role[32];
	int rc;

	snprintf(role, sizeof(role), "source.%zu", i);
	rc = plt_image_add_child(img, role, child, err);
	if (rc)
		return rc;
	if (!plt_add_u64(&s->end[i], platter_image_size(img), size) ||
	    s->end[i] > PLT_OFFSET_MAX)
		return plt_err_set(err, -EFBIG, "the images are larger "
				   "together than the limit of %" PRIu64
				   " bytes", PLT_OFFSET_MAX);
	platter_image_set_size(img, s->end[i]);
	return 0;
}

int platter_image_concat(struct platter_image **out,
			 struct platter_context *ctx,
			 struct platter_image *const *images, size_t count,
			 struct platter_error *err)
{
	struct platter_image *img = NULL;
	size_t i = 0;
	int rc;

	rc = plt_image_new(&img, ctx, &concat_driver, count ?
			   platter_image_name(images[0]) : "concat", err);
	while (!rc && i < count) {
		rc = append(img, images[i], i, err);
		i++;
	}
	if (!rc) {
		*out = img;
		return 0;
	}
	while (i < count)
		plt_image_free(images[i++]);
	plt_image_free(img);
	return rc;
}
