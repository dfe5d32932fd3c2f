/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of image.c share: strokes that are painted over one another,
 * and patches made of them.
 */
#ifndef PLT_CRASH_IMAGE_H
#define PLT_CRASH_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crash/crash.h"

/* A range that is painted over all that comes before it in the log. */
struct plt_stroke {
	uint64_t start, length;	/* device bytes */
	uint64_t order;		/* in the log */
	uint64_t log_offset;
	enum plt_wlog_segment_kind kind;
};

struct plt_strokes {
	const struct platter_crash_state *state;
	struct plt_stroke *at;
	size_t nr, room;
	/* Where the rest is kept: who wrote what, and what is left to do. */
	struct plt_wlog_state below;
	struct plt_place *place;
	size_t nr_places, room_places;
	struct platter_error *err;
};

struct plt_patches {
	struct plt_wlog_patch *at;
	size_t nr, room;
	bool tagged;		/* keep whose each is, */
	uint64_t *tags;		/* by its order */
	size_t room_tags;
};

/* ---- image-strokes.c ---- */

int plt_paint(struct plt_strokes *s, uint64_t order, uint64_t start,
	      uint64_t length, enum plt_wlog_segment_kind kind,
	      uint64_t log_offset);
/* Bytes [from, end) of an entry, all of one fate and not dropped. */
int plt_paint_part(struct plt_strokes *s, uint64_t entry,
		   enum platter_crash_fate fate, uint64_t from, uint64_t end);
int plt_paint_item(struct plt_strokes *s, const struct plt_crash_item *it);
/* What a durable discard leaves; NONE: what was there. */
enum plt_wlog_segment_kind
plt_paint_discard_kind(enum platter_crash_discard d);
/* The patches that strokes come to. */
int plt_paint_layer(struct plt_strokes *s, struct plt_patches *p);

/* ---- image-dropped.c: the rest is dropped ---- */

/* A hold on what is durable behind what is pending; NULL when nothing is. */
int plt_paint_get_under(const struct platter_crash_state *state,
			struct plt_wlog_shared **out,
			struct platter_error *err);
/* What is present, but where that hides it. */
int plt_paint_present(struct plt_strokes *s,
		      const struct plt_wlog_shared *under);

/* ---- image-kept.c: the rest is kept ---- */

/* What shows where something is missing. */
int plt_paint_missing(struct plt_strokes *s);

#endif
