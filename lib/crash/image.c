/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A state as a node: a prefix of the log, and patches for what differs.
 *
 * Where the rest is kept the prefix reaches to the point, and the patches are
 * the places of what is missing: each shows who wrote it last before, which
 * the log's index knows. Where the rest is dropped the prefix reaches as far
 * as everything is durable, and the patches are what is present all the same:
 * FUA, and what is listed. FUA writes are the same in all states of a point,
 * so their patches are made once and shared. So a state costs what is listed
 * in it, not what is in the log.
 *
 * Either way the places are painted over one another in the order of the log.
 * A shorn write paints the first half of each of its sectors; the other half
 * is whatever lies below.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/heap.h"
#include "base/mem.h"
#include "crash/crash.h"

#define SEGMENTS 32u

/* A range that is painted over all that comes before it in the log. */
struct stroke {
	uint64_t start, length;	/* device bytes */
	uint64_t order;		/* in the log */
	uint64_t log_offset;
	enum plt_wlog_segment_kind kind;
};

/* A range that shows what the entries before `to` left there. */
struct place {
	uint64_t start, end, to;
};

struct strokes {
	const struct platter_crash_state *state;
	struct stroke *at;
	size_t nr, room;
	/* Where the rest is kept: who wrote what, and what is left to do. */
	struct plt_wlog_state below;
	struct place *place;
	size_t nr_places, room_places;
	struct platter_error *err;
};

static int paint(struct strokes *s, uint64_t order, uint64_t start,
		 uint64_t length, enum plt_wlog_segment_kind kind,
		 uint64_t log_offset)
{
	int rc;

	rc = plt_grow(&s->at, &s->room, s->nr + 1, sizeof(*s->at), s->err);
	if (!rc)
		s->at[s->nr++] = (struct stroke){
			.start = start, .length = length, .order = order,
			.kind = kind, .log_offset = log_offset,
		};
	return rc;
}

static enum plt_wlog_segment_kind discard_kind(enum platter_crash_discard d)
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

/* Bytes [from, end) of an entry, all of one fate and not dropped. */
static int paint_part(struct strokes *s, uint64_t entry,
		      enum platter_crash_fate fate, uint64_t from,
		      uint64_t end)
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
		       discard_kind(s->state->discard) : PLT_WLOG_ZERO;
	if (kind == PLT_WLOG_NONE)
		return 0;
	return paint(s, order, start, end - from, kind,
		     e->data_offset + from);
}

static int paint_shorn(struct strokes *s, uint64_t entry, uint64_t from,
		       uint64_t end)
{
	const uint32_t sector = s->state->crash->sector;
	int rc = 0;

	for (uint64_t at = from; at < end && !rc; at += sector)
		rc = paint_part(s, entry, PLATTER_CRASH_KEPT, at,
				at + sector / 2);
	return rc;
}

static int paint_item(struct strokes *s, const struct plt_crash_item *it)
{
	const uint32_t sector = s->state->crash->sector;
	const uint64_t from = (uint64_t)it->first * sector;
	const uint64_t end = from + (uint64_t)it->count * sector;

	if (it->fate == PLATTER_CRASH_SHORN)
		return paint_shorn(s, it->entry, from, end);
	return paint_part(s, it->entry, it->fate, from, end);
}

/* ---- from strokes to patches ---- */

static int by_start(const void *a, const void *b)
{
	const struct stroke *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

struct patches {
	struct plt_wlog_patch *at;
	size_t nr, room;
	bool tagged;		/* keep whose each is, */
	uint64_t *tags;		/* by its order */
	size_t room_tags;
};

static int add_tag(struct patches *p, uint64_t tag, struct platter_error *err)
{
	int rc = plt_grow(&p->tags, &p->room_tags, p->nr + 1,
			  sizeof(*p->tags), err);

	if (!rc)
		p->tags[p->nr] = tag;
	return rc;
}

static int add_patch(struct patches *p, const struct stroke *top, uint64_t pos,
		     uint64_t until, struct platter_error *err)
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
static int layer(struct strokes *s, struct patches *p)
{
	struct plt_heap over = { .nr = 0 };
	uint64_t pos = 0, until;
	size_t next = 0;
	int rc = 0;

	if (s->nr)
		qsort(s->at, s->nr, sizeof(*s->at), by_start);
	while (!rc && (next < s->nr || over.nr)) {
		const struct stroke *top;

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

/* ---- the rest is dropped: paint what is present ---- */

static int paint_odd(struct strokes *s)
{
	const struct platter_crash *c = s->state->crash;
	const uint64_t point = s->state->point;
	const struct plt_crash_list *odd = &c->odd;
	int rc = 0;

	for (size_t i = plt_crash_list_from(odd, c->flushed[point]);
	     !rc && i < odd->nr && odd->at[i] < point; i++) {
		const struct plt_crash_entry *e = &c->entry[odd->at[i]];

		if (e->durable <= point)
			rc = paint_part(s, odd->at[i], PLATTER_CRASH_DURABLE,
					0, e->length);
	}
	return rc;
}

static int make_under(const struct platter_crash_state *state,
		      struct plt_wlog_shared **out, struct platter_error *err)
{
	struct strokes s = { .state = state, .err = err };
	struct patches p = { .tagged = true };
	struct plt_wlog_shared *under;
	int rc;

	rc = paint_odd(&s);
	if (!rc)
		rc = layer(&s, &p);
	free(s.at);
	under = rc ? NULL : plt_calloc(1, sizeof(*under), err);
	if (!under) {
		free(p.at);
		free(p.tags);
		return rc ? rc : -ENOMEM;
	}
	atomic_init(&under->refs, 1);
	under->nr = p.nr;
	under->patches = p.at;
	under->tags = p.tags;
	*out = under;
	return 0;
}

/* A hold on what is durable behind what is pending; NULL when nothing is. */
static int get_under(const struct platter_crash_state *state,
		     struct plt_wlog_shared **out, struct platter_error *err)
{
	struct platter_crash *c = state->crash;
	const size_t first = plt_crash_list_from(&c->odd,
						 c->flushed[state->point]);
	int rc;

	*out = NULL;
	if (first == c->odd.nr || c->odd.at[first] >= state->point)
		return 0;
	PLT_LOCK_SCOPE(&c->lock);
	if (!c->under || c->under_point != state->point ||
	    c->under_discard != state->discard) {
		rc = make_under(state, out, err);
		if (rc)
			return rc;
		plt_wlog_shared_unref(c->under);
		c->under = *out;
		c->under_point = state->point;
		c->under_discard = state->discard;
	}
	*out = c->under;
	atomic_fetch_add(&c->under->refs, 1);
	return 0;
}

/* The first patch below that ends behind a place. */
static size_t under_from(const struct plt_wlog_shared *under, uint64_t place)
{
	size_t low = 0, high = under->nr, mid;

	while (low < high) {
		const struct plt_wlog_patch *p;

		mid = low + (high - low) / 2;
		p = &under->patches[mid];
		if (p->start + p->length <= place)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* What of a stroke is not hidden by something durable that came later. */
static int paint_visible(struct strokes *s, const struct stroke *whole,
			 const struct plt_wlog_shared *under)
{
	const uint64_t end = whole->start + whole->length;
	uint64_t pos = whole->start;
	int rc = 0;

	for (size_t i = under_from(under, pos); !rc && pos < end; i++) {
		const struct plt_wlog_patch *p =
			i < under->nr ? &under->patches[i] : NULL;
		uint64_t until = end, next = end;

		while (i < under->nr && p->start < end &&
		       under->tags[i] < whole->order)
			p = &under->patches[++i];
		if (i < under->nr && p->start < end) {
			until = PLT_MAX(pos, p->start);
			next = PLT_MIN(end, p->start + p->length);
		}
		if (until > pos)
			rc = paint(s, whole->order, pos, until - pos,
				   whole->kind,
				   whole->log_offset + (pos - whole->start));
		pos = next;
	}
	return rc;
}

static int paint_present(struct strokes *s,
			 const struct plt_wlog_shared *under)
{
	struct strokes own = { .state = s->state, .err = s->err };
	int rc = 0;

	if (under && !under->nr)
		under = NULL;
	for (size_t i = 0; !rc && i < s->state->nr; i++)
		rc = paint_item(under ? &own : s, &s->state->item[i]);
	for (size_t i = 0; !rc && i < own.nr; i++)
		rc = paint_visible(s, &own.at[i], under);
	free(own.at);
	return rc;
}

/* ---- the rest is kept: paint what shows where something is missing ---- */

/* Later: a place may have been written as often as there are entries. */
static int show_below(struct strokes *s, uint64_t start, uint64_t end,
		      uint64_t to)
{
	int rc = plt_grow(&s->place, &s->room_places, s->nr_places + 1,
			  sizeof(*s->place), s->err);

	if (!rc)
		s->place[s->nr_places++] = (struct place){
			.start = start, .end = end, .to = to };
	return rc;
}

/* The first item that reaches behind a log sector of an entry. */
static size_t item_from(const struct platter_crash_state *st, uint64_t entry,
			uint64_t sector)
{
	size_t low = 0, high = st->nr, mid;

	while (low < high) {
		const struct plt_crash_item *it;

		mid = low + (high - low) / 2;
		it = &st->item[mid];
		if (it->entry < entry ||
		    (it->entry == entry &&
		     (uint64_t)it->first + it->count <= sector))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Half of each sector is the entry's, the other half who wrote it before. */
static int show_shorn(struct strokes *s, uint64_t entry, uint64_t start,
		      uint64_t end)
{
	const uint32_t sector = s->state->crash->sector;
	const struct plt_crash_entry *e = &s->state->crash->entry[entry];
	int rc = 0;

	while (start < end && !rc) {
		const uint64_t in = (start - e->start) % sector;
		const uint64_t half = in < sector / 2 ? sector / 2 : sector;
		const uint64_t until = PLT_MIN(end, start + (half - in));

		if (in < sector / 2)
			rc = paint(s, 0, start, until - start, PLT_WLOG_DATA,
				   e->data_offset + (start - e->start));
		else
			rc = show_below(s, start, until, entry);
		start = until;
	}
	return rc;
}

/* A range that entry wrote last, all of it of one fate. */
static int show_part(struct strokes *s, uint64_t entry,
		     enum platter_crash_fate fate, uint64_t start,
		     uint64_t end)
{
	const struct plt_crash_entry *e = &s->state->crash->entry[entry];
	enum plt_wlog_segment_kind kind = PLT_WLOG_DATA;

	switch (fate) {
	case PLATTER_CRASH_DROPPED:
		return show_below(s, start, end, entry);
	case PLATTER_CRASH_SHORN:
		return show_shorn(s, entry, start, end);
	case PLATTER_CRASH_GARBAGE:
		kind = PLT_WLOG_GARBAGE;
		break;
	case PLATTER_CRASH_PATTERN:
		kind = PLT_WLOG_PATTERN;
		break;
	default:
		if (!plt_crash_is_discard(e))
			break;
		kind = plt_crash_is_pending(e, s->state->point) ?
		       PLT_WLOG_ZERO : discard_kind(s->state->discard);
		if (kind == PLT_WLOG_NONE)
			return show_below(s, start, end, entry);
	}
	return paint(s, 0, start, end - start, kind,
		     e->data_offset + (start - e->start));
}

/* A range that entry wrote last. */
static int show_entry(struct strokes *s, uint64_t entry, uint64_t start,
		      uint64_t end)
{
	const struct platter_crash_state *st = s->state;
	const uint32_t sector = st->crash->sector;
	const uint64_t base = st->crash->entry[entry].start;
	size_t i = item_from(st, entry, (start - base) / sector);
	int rc = 0;

	for (; !rc && start < end; i++) {
		const struct plt_crash_item *it = i < st->nr ?
						  &st->item[i] : NULL;
		uint64_t from = end, until = end;

		if (it && it->entry == entry) {
			from = base + (uint64_t)it->first * sector;
			until = from + (uint64_t)it->count * sector;
			from = PLT_MAX(from, start);
			from = PLT_MIN(from, end);
			until = PLT_MIN(until, end);
		}
		if (from > start)
			rc = show_part(s, entry, PLATTER_CRASH_KEPT, start,
				       from);
		if (!rc && until > from)
			rc = show_part(s, entry, it->fate, from, until);
		start = until;
	}
	return rc;
}

static int show_place(struct strokes *s, struct place place)
{
	struct plt_wlog_segment segs[SEGMENTS];
	int rc = 0;

	s->below.to = place.to;
	while (!rc && place.start < place.end) {
		size_t count = SEGMENTS;

		rc = plt_wlog_state_map(&s->below, place.start,
					place.end - place.start, segs, &count,
					s->err);
		for (size_t i = 0; !rc && i < count; i++) {
			const struct plt_wlog_segment *seg = &segs[i];

			place.start = seg->start + seg->length;
			if (seg->kind == PLT_WLOG_NONE)
				rc = paint(s, 0, seg->start, seg->length,
					   PLT_WLOG_NONE, 0);
			else
				rc = show_entry(s, seg->entry, seg->start,
						place.start);
		}
	}
	return rc;
}

static int add_missing(const struct platter_crash_state *st,
		       struct plt_crash_ranges *missing)
{
	const struct platter_crash *c = st->crash;
	int rc = 0;

	for (size_t i = 0; !rc && i < st->nr; i++) {
		const struct plt_crash_item *it = &st->item[i];

		if (it->fate != PLATTER_CRASH_EARLY)
			rc = plt_crash_ranges_add(missing,
				c->entry[it->entry].start +
				(uint64_t)it->first * c->sector,
				(uint64_t)it->count * c->sector);
	}
	return rc;
}

/* Kept discards leave zeros, whatever the durable ones do. */
static int add_kept_discards(const struct platter_crash_state *st,
			     struct plt_crash_ranges *missing)
{
	const struct platter_crash *c = st->crash;
	const struct plt_crash_list *d = &c->discards;
	int rc = 0;

	if (st->discard == PLATTER_CRASH_DISCARD_ZERO)
		return 0;
	for (size_t i = plt_crash_list_from(d, c->flushed[st->point]);
	     !rc && i < d->nr && d->at[i] < st->point; i++)
		rc = plt_crash_ranges_add(missing, c->entry[d->at[i]].start,
					  c->entry[d->at[i]].length);
	return rc;
}

static int paint_missing(struct strokes *s)
{
	const struct platter_crash_state *st = s->state;
	struct plt_crash_ranges missing = { .nr = 0 };
	int rc;

	rc = add_missing(st, &missing);
	if (!rc)
		rc = add_kept_discards(st, &missing);
	if (rc)
		rc = plt_err_set(s->err, rc, "no memory for %zu ranges",
				 missing.nr + 1);
	plt_crash_ranges_sort(&missing);
	for (size_t i = 0; !rc && i < missing.nr; i++)
		rc = show_below(s, missing.range[i].offset,
				missing.range[i].offset +
				missing.range[i].length, st->point);
	plt_crash_ranges_free(&missing);
	while (!rc && s->nr_places)
		rc = show_place(s, s->place[--s->nr_places]);
	for (size_t i = 0; !rc && i < st->nr; i++)
		if (st->item[i].fate == PLATTER_CRASH_EARLY)
			rc = paint_item(s, &st->item[i]);
	return rc;
}

int plt_crash_state_view(const struct platter_crash_state *state,
			 struct plt_wlog_state *view,
			 struct platter_error *err)
{
	const struct platter_crash *c = state->crash;
	const bool kept = state->rest == PLATTER_CRASH_KEPT;
	struct strokes s = {
		.state = state,
		.below = { .log = c->log, .apart = true },
		.err = err,
	};
	struct plt_wlog_shared *under = NULL;
	struct patches p = { .nr = 0 };
	int rc = 0;

	if (!kept)
		rc = get_under(state, &under, err);
	if (!rc)
		rc = kept ? paint_missing(&s) : paint_present(&s, under);
	if (!rc)
		rc = layer(&s, &p);
	free(s.at);
	free(s.place);
	if (rc) {
		free(p.at);
		plt_wlog_shared_unref(under);
		return rc;
	}
	*view = (struct plt_wlog_state){
		.log = c->log,
		.to = kept ? state->point : c->flushed[state->point],
		.no_discard = state->discard == PLATTER_CRASH_DISCARD_OLD,
		.pattern_discard =
			state->discard == PLATTER_CRASH_DISCARD_PATTERN,
		.patches = p.at,
		.nr_patches = p.nr,
		.under = under,
	};
	return 0;
}

int platter_crash_state_image(struct platter_image **out,
			      const struct platter_crash_state *state,
			      struct platter_error *err)
{
	const struct platter_crash *c = state->crash;
	struct plt_wlog_state view;
	int rc;

	rc = plt_crash_state_view(state, &view, err);
	if (rc)
		return rc;
	rc = plt_wlog_view(out, &view, c->base, c->size, err);
	if (rc) {
		free((void *)view.patches);
		plt_wlog_shared_unref(view.under);
	}
	return rc;
}
