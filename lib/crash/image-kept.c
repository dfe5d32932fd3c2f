/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A state of which the rest is kept: where something is missing shows who wrote
 * there last before.
 *
 * The log's index knows who that is; it may be missing as well, and then shows
 * who was before him.
 */
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/image.h"

#define SEGMENTS 32u

/* A range that shows what the entries before `to` left there. */
struct plt_place {
	uint64_t start, end, to;
};

/* Later: a place may have been written as often as there are entries. */
static int show_below(struct plt_strokes *s, uint64_t start, uint64_t end,
		      uint64_t to)
{
	int rc = plt_grow(&s->place, &s->room_places, s->nr_places + 1,
			  sizeof(*s->place), s->err);

	if (!rc)
		s->place[s->nr_places++] = (struct plt_place){
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
static int show_shorn(struct plt_strokes *s, uint64_t entry, uint64_t start,
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
			rc = plt_paint(s, 0, start, until - start,
				       PLT_WLOG_DATA,
				       e->data_offset + (start - e->start));
		else
			rc = show_below(s, start, until, entry);
		start = until;
	}
	return rc;
}

/* A range that entry wrote last, all of it of one fate. */
static int show_part(struct plt_strokes *s, uint64_t entry,
		     enum platter_crash_fate fate, uint64_t start, uint64_t end)
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
		       PLT_WLOG_ZERO :
		       plt_paint_discard_kind(s->state->discard);
		if (kind == PLT_WLOG_NONE)
			return show_below(s, start, end, entry);
	}
	return plt_paint(s, 0, start, end - start, kind,
			 e->data_offset + (start - e->start));
}

/* A range that entry wrote last. */
static int show_entry(struct plt_strokes *s, uint64_t entry, uint64_t start,
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

static int show_place(struct plt_strokes *s, struct plt_place place)
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
				rc = plt_paint(s, 0, seg->start, seg->length,
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

int plt_paint_missing(struct plt_strokes *s)
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
			rc = plt_paint_item(s, &st->item[i]);
	return rc;
}
