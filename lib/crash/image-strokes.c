/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is painted of a state: strokes, one over the other, and the patches they
 * come to.
 *
 * A shorn write paints the first half of each of its sectors; the other half is
 * whatever lies below.
 */
#include <stdlib.h>

#include "base/heap.h"
#include "base/mem.h"
#include "crash/image.h"

int plt_paint(struct plt_strokes *s, uint64_t order, uint64_t start,
	      uint64_t length, enum plt_wlog_segment_kind kind,
	      uint64_t log_offset)
{
	int rc;

	rc = plt_grow(&s->at, &s->room, s->nr + 1, sizeof(*s->at), s->err);
	if (!rc)
		s->at[s->nr++] = (struct plt_stroke){
			.start = start, .length = length, .order = order,
			.kind = kind, .log_offset = log_offset,
		};
	return rc;
}

enum plt_wlog_segment_kind plt_paint_discard_kind(enum platter_crash_discard d)
{
	switch (d) {
	case PLATTER_CRASH_DISCARD_OLD:
		return PLT_WLOG_NONE;
	case PLATTER_CRASH_DISCARD_PATTERN:
		return PLT_WLOG_PATTERN;
	case PLATTER_CRASH_DISCARD_ZERO:
		break;
	}
	return PLT_WLOG_ZERO;
}

/* ---- what an entry leaves where it is present ---- */

int plt_paint_part(struct plt_strokes *s, uint64_t entry,
		   enum platter_crash_fate fate, uint64_t from, uint64_t end)
{
	const struct plt_crash_entry *e = &s->state->crash->entry[entry];
	const uint64_t order = entry + 1, start = e->start + from;
	enum plt_wlog_segment_kind kind = PLT_WLOG_DATA;

	if (fate == PLATTER_CRASH_GARBAGE)
		kind = PLT_WLOG_GARBAGE;
	else if (fate == PLATTER_CRASH_PATTERN)
		kind = PLT_WLOG_PATTERN;
	else if (plt_crash_is_discard(e))
		kind = fate == PLATTER_CRASH_DURABLE ?
		       plt_paint_discard_kind(s->state->discard) :
		       PLT_WLOG_ZERO;
	if (kind == PLT_WLOG_NONE)
		return 0;
	return plt_paint(s, order, start, end - from, kind,
			 e->data_offset + from);
}

static int paint_shorn(struct plt_strokes *s, uint64_t entry, uint64_t from,
		       uint64_t end)
{
	const uint32_t sector = s->state->crash->sector;
	int rc = 0;

	for (uint64_t at = from; at < end && !rc; at += sector)
		rc = plt_paint_part(s, entry, PLATTER_CRASH_KEPT, at,
				    at + sector / 2);
	return rc;
}

int plt_paint_item(struct plt_strokes *s, const struct plt_crash_item *it)
{
	const uint32_t sector = s->state->crash->sector;
	const uint64_t from = (uint64_t)it->first * sector;
	const uint64_t end = from + (uint64_t)it->count * sector;

	if (it->fate == PLATTER_CRASH_SHORN)
		return paint_shorn(s, it->entry, from, end);
	return plt_paint_part(s, it->entry, it->fate, from, end);
}

/* ---- from strokes to patches ---- */

static int by_start(const void *a, const void *b)
{
	const struct plt_stroke *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

static int add_tag(struct plt_patches *p, uint64_t tag,
		   struct platter_error *err)
{
	int rc = plt_grow(&p->tags, &p->room_tags, p->nr + 1,
			  sizeof(*p->tags), err);

	if (!rc)
		p->tags[p->nr] = tag;
	return rc;
}

static int add_patch(struct plt_patches *p, const struct plt_stroke *top,
		     uint64_t pos, uint64_t until, struct platter_error *err)
{
	struct plt_wlog_patch *last = p->nr ? &p->at[p->nr - 1] : NULL;
	const bool data = top->kind == PLT_WLOG_DATA;
	const uint64_t place = data ? top->log_offset + (pos - top->start) : 0;
	int rc;

	if (last && last->start + last->length == pos &&
	    last->kind == top->kind &&
	    (!p->tagged || p->tags[p->nr - 1] == top->order) &&
	    (!data || last->log_offset + last->length == place)) {
		last->length += until - pos;
		return 0;
	}
	rc = plt_grow(&p->at, &p->room, p->nr + 1, sizeof(*p->at), err);
	if (!rc && p->tagged)
		rc = add_tag(p, top->order, err);
	if (!rc)
		p->at[p->nr++] = (struct plt_wlog_patch){
			.start = pos, .length = until - pos,
			.kind = top->kind, .log_offset = place,
		};
	return rc;
}

/* Along the device; of the strokes over a place the last in the log counts. */
int plt_paint_layer(struct plt_strokes *s, struct plt_patches *p)
{
	struct plt_heap over = { .nr = 0 };
	uint64_t pos = 0, until;
	size_t next = 0;
	int rc = 0;

	if (s->nr)
		qsort(s->at, s->nr, sizeof(*s->at), by_start);
	while (!rc && (next < s->nr || over.nr)) {
		const struct plt_stroke *top;

		if (!over.nr)
			pos = s->at[next].start;
		while (!rc && next < s->nr && s->at[next].start <= pos) {
			const struct plt_heap_item item = {
				.key = UINT64_MAX - s->at[next].order,
				.a = next,
			};

			rc = plt_heap_push(&over, &item, s->err);
			next++;
		}
		top = rc ? NULL : &s->at[over.item[0].a];
		if (top && top->start + top->length <= pos) {
			plt_heap_pop(&over);
		} else if (top) {
			until = top->start + top->length;
			if (next < s->nr)
				until = PLT_MIN(until, s->at[next].start);
			rc = add_patch(p, top, pos, until, s->err);
			pos = until;
		}
	}
	plt_heap_clear(&over);
	return rc;
}
