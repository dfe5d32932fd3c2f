/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map walker: where the bytes of an image are, through all its layers.
 *
 * `depth` counts backing files, as `qemu-img map` does: a range that no layer
 * allocates gets the depth of the layer that knew it to be zero, which for a
 * backing file that is too short is the layer above it.
 */
#include <inttypes.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "core/rw.h"

#define MAPS 32			/* asked from a driver at a time */
#define FULL 1			/* internal: no room for another extent */

struct walk {
	struct platter_extent *ext;
	size_t count, room;
};

/* Where in the root image the range being walked is. */
struct view {
	uint64_t guest;		/* offset in the root ... */
	uint64_t offset;	/* ... of this offset in the node */
	uint64_t len;
	unsigned int depth;
	bool filtered;		/* a filter lies above */
	bool allocated;		/* a format above calls holes data */
	struct platter_image *reserved;	/* has space for it, ... */
	uint64_t host;			/* ... here; or NULL */
};

static bool mergeable(const struct platter_extent *a,
		      const struct platter_extent *b)
{
	if (a->flags != b->flags || a->depth != b->depth || a->file != b->file)
		return false;
	return !(a->flags & PLATTER_EXTENT_OFFSET) ||
	       a->host_offset + a->length == b->host_offset;
}

static int emit(struct walk *w, const struct platter_extent *e)
{
	struct platter_extent *last = w->count ? &w->ext[w->count - 1] : NULL;

	if (last && mergeable(last, e)) {
		last->length += e->length;
		return 0;
	}
	if (w->count == w->room)
		return FULL;
	w->ext[w->count++] = *e;
	return 0;
}

static int walk_node(struct walk *w, struct platter_image *img, struct view v,
		     struct platter_error *err);

/* ---- protocols ---- */

static int ask_extent(struct platter_image *img, uint64_t offset, uint64_t len,
		      struct platter_extent *e, struct platter_error *err)
{
	const struct platter_io_ops *io = img->drv->io;
	int rc = 0;

	*e = (struct platter_extent) {
		.length = len,
		.flags = PLATTER_EXTENT_DATA | PLATTER_EXTENT_PRESENT |
			 PLATTER_EXTENT_OFFSET,
		.host_offset = offset,
		.file = img,
	};
	if (io->extent)
		rc = io->extent(img, offset, len, e, err);
	if (rc == -ENOTSUP && img->drv->kind == PLATTER_DRIVER_FILTER)
		return rc;
	if (rc < 0)
		return plt_image_prefix(img, rc, err);
	if (e->length == 0 || e->length > len)
		return plt_err_set(err, -EIO, "%s: driver %s answers nonsense "
				   "for offset %" PRIu64, img->name,
				   img->drv->name, offset);
	return 0;
}

static int walk_protocol(struct walk *w, struct platter_image *img,
			 struct view v, struct platter_error *err)
{
	while (v.len) {
		struct platter_extent e;
		int rc;

		rc = ask_extent(img, v.offset, v.len, &e, err);
		if (rc < 0)
			return rc;
		e.offset = v.guest;
		e.depth = v.depth;
		if (!v.filtered && (e.flags & PLATTER_EXTENT_DATA))
			e.flags |= PLT_EXTENT_DIRECT;
		if (v.allocated)
			e.flags |= PLATTER_EXTENT_DATA;
		rc = emit(w, &e);
		if (rc)
			return rc;
		v.guest += e.length;
		v.offset += e.length;
		v.len -= e.length;
	}
	return 0;
}

/* ---- formats ---- */

static int emit_plain(struct walk *w, const struct view *v, unsigned int flags)
{
	struct platter_extent e = {
		.offset = v->guest,
		.length = v->len,
		.flags = flags,
		.depth = v->depth,
	};

	if (v->reserved)
		e.file = plt_image_stored(v->reserved, v->host, v->len,
					  &e.host_offset);
	if (e.file)
		e.flags |= PLATTER_EXTENT_OFFSET;
	return emit(w, &e);
}

/* With where the bytes are, when that is one place in one file. */
static int emit_stored(struct walk *w, const struct platter_map *m,
		       const struct view *v, unsigned int flags)
{
	struct platter_extent e = {
		.offset = v->guest,
		.length = v->len,
		.flags = flags,
		.depth = v->depth,
	};

	if (m->child)
		e.file = plt_image_stored(m->child, m->offset, v->len,
					  &e.host_offset);
	if (e.file)
		e.flags |= PLATTER_EXTENT_OFFSET;
	/* A format's last bytes may lie past the end of a truncated file. */
	if (e.file && !v->filtered && (flags & PLATTER_EXTENT_DATA) &&
	    e.host_offset + e.length <= platter_image_size(e.file))
		e.flags |= PLT_EXTENT_DIRECT;
	return emit(w, &e);
}

/* Walk the part of `img` that exists; what lies beyond its end is zeros. */
static int walk_clipped(struct walk *w, struct platter_image *img,
			struct view v, const struct view *beyond,
			unsigned int beyond_flags, struct platter_error *err)
{
	uint64_t size = platter_image_size(img);
	struct view rest = *beyond;
	int rc = 0;

	v.len = v.offset < size ? PLT_MIN(v.len, size - v.offset) : 0;
	if (v.len)
		rc = walk_node(w, img, v, err);
	if (rc || v.len == rest.len)
		return rc;
	rest.guest += v.len;
	rest.len -= v.len;
	rest.host += v.len;
	return emit_plain(w, &rest, beyond_flags);
}

static int walk_data(struct walk *w, const struct platter_map *m,
		     const struct view *v, struct platter_error *err)
{
	unsigned int beyond = PLATTER_EXTENT_ZERO | PLATTER_EXTENT_PRESENT;
	struct view child = *v;

	if (!(m->flags & (PLATTER_MAP_RECURSE | PLATTER_MAP_HOLES)))
		return emit_stored(w, m, v, PLATTER_EXTENT_DATA |
				   PLATTER_EXTENT_PRESENT);
	child.offset = m->offset;
	child.allocated |= !!(m->flags & PLATTER_MAP_HOLES);
	if (child.allocated)
		beyond |= PLATTER_EXTENT_DATA;
	return walk_clipped(w, m->child, child, v, beyond, err);
}

static int walk_map(struct walk *w, const struct platter_map *m,
		    const struct view *v, struct platter_error *err)
{
	struct view own = *v, backing = *v;

	own.reserved = m->reserved;
	own.host = m->offset;
	backing.allocated = false;
	switch (m->kind) {
	case PLATTER_MAP_DATA:
		return walk_data(w, m, v, err);
	case PLATTER_MAP_ZERO:
		return emit_stored(w, m, v, PLATTER_EXTENT_ZERO |
				   PLATTER_EXTENT_PRESENT);
	case PLATTER_MAP_BACKING:
		if (!m->child)
			return emit_plain(w, &own, PLATTER_EXTENT_ZERO);
		backing.depth++;
		return walk_clipped(w, m->child, backing, &own,
				    PLATTER_EXTENT_ZERO, err);
	case PLATTER_MAP_SPECIAL:
		break;
	}
	return emit_plain(w, v, PLATTER_EXTENT_DATA | PLATTER_EXTENT_PRESENT |
			  PLATTER_EXTENT_COMPRESSED);
}

static int ask_format(struct platter_image *img, uint64_t offset, uint64_t len,
		      struct platter_map *maps, size_t *count,
		      struct platter_error *err)
{
	int rc;

	plt_io_begin(img);
	rc = plt_image_format_map(img, offset, len, maps, count, err);
	return plt_io_end(img, rc, err);
}

static int walk_format(struct walk *w, struct platter_image *img,
		       struct view v, struct platter_error *err)
{
	struct platter_map maps[MAPS];

	while (v.len) {
		size_t count = MAPS;
		int rc;

		rc = ask_format(img, v.offset, v.len, maps, &count, err);
		for (size_t i = 0; rc == 0 && i < count; i++) {
			struct view part = v;

			part.len = maps[i].length;
			rc = walk_map(w, &maps[i], &part, err);
			v.guest += part.len;
			v.offset += part.len;
			v.len -= part.len;
		}
		if (rc)
			return rc;
	}
	return 0;
}

static int walk_node(struct walk *w, struct platter_image *img, struct view v,
		     struct platter_error *err)
{
	struct platter_image *below;
	int rc;

	if (img->drv->kind == PLATTER_DRIVER_FORMAT)
		return walk_format(w, img, v, err);
	if (img->drv->kind == PLATTER_DRIVER_PROTOCOL ||
	    (img->drv->io && img->drv->io->extent)) {
		rc = walk_protocol(w, img, v, err);
		if (rc != -ENOTSUP || img->drv->kind != PLATTER_DRIVER_FILTER)
			return rc;
	}
	below = platter_image_child(img, plt_driver_primary(img->drv));
	v.filtered = true;
	return walk_clipped(w, below, v, &v,
			    PLATTER_EXTENT_ZERO | PLATTER_EXTENT_PRESENT, err);
}

int platter_image_map(struct platter_image *img, uint64_t offset, uint64_t len,
		      struct platter_extent *ext, size_t *count,
		      struct platter_error *err)
{
	struct walk w = { .ext = ext, .room = *count };
	struct view v = { .guest = offset, .offset = offset, .len = len };
	uint64_t size = platter_image_size(img);
	int rc;

	*count = 0;
	if (offset > size || len > size - offset)
		return plt_err_set(err, -EINVAL, "%s: mapping %" PRIu64
				   " bytes at offset %" PRIu64 " is beyond the "
				   "size of %" PRIu64, img->name, len, offset,
				   size);
	if (len == 0)
		return 0;
	rc = walk_node(&w, img, v, err);
	if (rc < 0)
		return rc;
	*count = w.count;
	return 0;
}

/* ---- contiguous storage ---- */

/*
 * The protocol node that holds all of a range contiguously. `write`: only if
 * it may be written there without asking the driver.
 */
static struct platter_image *stored(struct platter_image *img,
				    uint64_t offset, uint64_t len, bool write,
				    uint64_t *host_offset)
{
	while (img->drv->kind == PLATTER_DRIVER_FORMAT) {
		struct platter_map m;
		size_t count = 1;

		if (ask_format(img, offset, len, &m, &count, NULL) ||
		    m.kind != PLATTER_MAP_DATA || m.length < len ||
		    (write && !(m.flags & PLATTER_MAP_WRITABLE)))
			return NULL;
		img = m.child;
		offset = m.offset;
		if (offset > platter_image_size(img) ||
		    len > platter_image_size(img) - offset)
			return NULL;
	}
	if (img->drv->kind != PLATTER_DRIVER_PROTOCOL)
		return NULL;
	*host_offset = offset;
	return img;
}

struct platter_image *plt_image_stored(struct platter_image *img,
				       uint64_t offset, uint64_t len,
				       uint64_t *host_offset)
{
	return stored(img, offset, len, false, host_offset);
}

struct platter_image *plt_image_plain(struct platter_image *img,
				      uint64_t offset, uint64_t len,
				      uint64_t *host_offset)
{
	uint64_t size = platter_image_size(img);

	if (len == 0 || offset > size || len > size - offset)
		return NULL;
	img = stored(img, offset, len, platter_image_writable(img),
		     host_offset);
	return img && img->drv->io->copy_range ? img : NULL;
}
