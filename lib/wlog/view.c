/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A state of a log as a node, so that everything that works on images works on
 * any moment of the past.
 *
 * The data stays where it is in the log: the map says which bytes of which
 * entry, and the core reads them. Where no entry wrote, the base shows, or
 * zeros. The node can be read and mapped, not written.
 */
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "wlog/wlog.h"

#define SEGMENTS 256u

struct view {
	struct plt_wlog_state state;
	struct platter_image *base;	/* or NULL */
};

static void to_map(const struct platter_log *log, struct platter_image *base,
		   const struct plt_wlog_segment *seg, struct platter_map *map)
{
	*map = (struct platter_map){ .length = seg->length };
	switch (seg->kind) {
	case PLT_WLOG_DATA:
		map->kind = PLATTER_MAP_DATA;
		map->child = log->img;
		map->offset = seg->log_offset;
		break;
	case PLT_WLOG_ZERO:
		map->kind = PLATTER_MAP_ZERO;
		break;
	case PLT_WLOG_NONE:
		map->kind = PLATTER_MAP_BACKING;
		map->child = base;
		break;
	case PLT_WLOG_PATTERN:
	case PLT_WLOG_GARBAGE:
		map->kind = PLATTER_MAP_SPECIAL;
		break;
	}
}

int plt_wlog_state_fill_maps(const struct plt_wlog_state *state,
			     struct platter_image *base, uint64_t offset,
			     uint64_t len, struct platter_map *maps,
			     size_t *count, struct platter_error *err)
{
	struct plt_wlog_segment segs[SEGMENTS];
	size_t n = PLT_MIN(*count, (size_t)SEGMENTS);
	int rc;

	rc = plt_wlog_state_map(state, offset, len, segs, &n, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < n; i++)
		to_map(state->log, base, &segs[i], &maps[i]);
	*count = n;
	return 0;
}

/* What is asked for is one range of the map, or a part of it. */
int plt_wlog_state_read_noise(const struct plt_wlog_state *state, void *buf,
			      size_t len, uint64_t offset,
			      struct platter_error *err)
{
	struct plt_wlog_state own = *state;
	struct plt_wlog_segment seg;
	unsigned char *p = buf;
	int rc = 0;

	own.resume = NULL;
	while (len && !rc) {
		size_t count = 1;

		rc = plt_wlog_state_map(&own, offset, len, &seg, &count, err);
		if (rc)
			break;
		plt_wlog_noise(seg.kind, offset, p, seg.length);
		p += seg.length;
		offset += seg.length;
		len -= seg.length;
	}
	return rc;
}

static int view_map(struct platter_image *img, uint64_t offset, uint64_t len,
		    struct platter_map *maps, size_t *count,
		    struct platter_error *err)
{
	const struct view *view = platter_image_state(img);

	return plt_wlog_state_fill_maps(&view->state, view->base, offset, len,
					maps, count, err);
}

static int view_read_special(struct platter_image *img, void *buf, size_t len,
			     uint64_t offset, struct platter_error *err)
{
	const struct view *view = platter_image_state(img);

	return plt_wlog_state_read_noise(&view->state, buf, len, offset, err);
}

static void view_close(struct platter_image *img)
{
	struct view *view = platter_image_state(img);

	plt_wlog_resume_free(view->state.resume);
	free((void *)view->state.patches);
	plt_wlog_shared_unref(view->state.under);
}

static const struct platter_format_ops view_ops = {
	.map = view_map,
	.read_special = view_read_special,
};

static const struct platter_driver view_driver = {
	.name = "writelog",
	.kind = PLATTER_DRIVER_FORMAT,
	.state_size = sizeof(struct view),
	.close = view_close,
	.format = &view_ops,
};

int plt_wlog_view(struct platter_image **out,
		  const struct plt_wlog_state *state,
		  struct platter_image *base, uint64_t size,
		  struct platter_error *err)
{
	struct view *view;
	int rc;

	rc = plt_image_new(out, state->log->ctx, &view_driver,
			   state->log->name, err);
	if (rc)
		return rc;
	view = platter_image_state(*out);
	view->state = *state;
	view->base = base;
	platter_image_set_size(*out, size);
	rc = plt_wlog_resume_new(&view->state.resume, err);
	if (rc) {
		view->state.patches = NULL;
		view->state.under = NULL;
		platter_image_close(*out, NULL);
	}
	return rc;
}
