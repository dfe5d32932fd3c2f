/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Backing chains, as jobs look at them: who lies below an image, and whether
 * two chains come together in the same file.
 *
 * Two nodes are the same image when their drivers are and they are stored in
 * the same local file, whatever it is called.
 */
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "core/core.h"
#include "job/job.h"

struct platter_image *plt_chain_format(struct platter_image *img)
{
	while (img && img->drv->kind == PLATTER_DRIVER_FILTER)
		img = platter_image_child(img, plt_driver_primary(img->drv));
	return img;
}

struct platter_image *plt_chain_backing(struct platter_image *img)
{
	img = plt_chain_format(img);
	return img ? platter_image_child(img, "backing") : NULL;
}

/* ---- by name ---- */

/* `name` as one that `above` would store for `below`. */
static bool stored_name(struct platter_image *above,
			struct platter_image *below, const char *name)
{
	const char *path = plt_image_local_path(above);
	struct platter_image_facts facts = { .backing_filename = NULL };
	plt_auto_free char *full = NULL;

	if (!platter_image_facts(above, &facts, NULL) &&
	    facts.backing_filename && !strcmp(facts.backing_filename, name))
		return true;
	if (path)
		full = plt_gate_path(path, name, NULL);
	return plt_same_file(full, plt_image_local_path(below));
}

static bool own_name(struct platter_image *above, struct platter_image *below,
		     const char *name)
{
	(void)above;
	return !strcmp(platter_image_name(below), name) ||
	       plt_same_file(name, plt_image_local_path(below));
}

struct platter_image *plt_chain_find(struct platter_image *top,
				     const char *name, unsigned int *depth)
{
	static bool (*const match[])(struct platter_image *above,
				     struct platter_image *below,
				     const char *name) = {
		stored_name, own_name,
	};

	for (size_t i = 0; i < PLT_ARRAY_SIZE(match); i++) {
		struct platter_image *above = top, *below;

		*depth = 1;
		while ((below = plt_chain_backing(above))) {
			if (match[i](above, below, name))
				return below;
			above = below;
			++*depth;
		}
	}
	return NULL;
}

/* ---- by file ---- */

static bool same_image(struct platter_image *a, struct platter_image *b)
{
	a = plt_chain_format(a);
	b = plt_chain_format(b);
	return a && b && a->drv == b->drv &&
	       plt_same_file(plt_image_local_path(a),
			     plt_image_local_path(b));
}

struct platter_image *plt_chain_same(struct platter_image *top,
				     struct platter_image *img,
				     unsigned int *depth)
{
	*depth = 0;
	while (top && !same_image(top, img)) {
		top = plt_chain_backing(top);
		++*depth;
	}
	return top;
}

bool plt_same_host(struct plt_same_host *memory,
		   const struct platter_extent *a,
		   const struct platter_extent *b)
{
	if (!(a->flags & b->flags & PLT_EXTENT_DIRECT) ||
	    a->host_offset != b->host_offset)
		return false;
	if (memory->a != a->file || memory->b != b->file) {
		memory->a = a->file;
		memory->b = b->file;
		memory->same = a->file == b->file ||
			       plt_same_file(plt_image_local_path(a->file),
					     plt_image_local_path(b->file));
	}
	return memory->same;
}
