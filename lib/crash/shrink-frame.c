/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two states of a point, one that fails and one that passes, and all those in
 * between: for each of the elements in which they differ, as in the one or as
 * in the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/shrink.h"

/* More elements than that are not told apart at once. */
#define MAX_ELEMENTS 4096u

void plt_shrink_frame_free(struct plt_shrink_frame *f)
{
	free(f->same);
	free(f->part);
	free(f->start);
	*f = (struct plt_shrink_frame){ .crash = NULL };
}

/* ---- making one ---- */

struct maker {
	struct platter_crash_part_visitor visitor;
	struct plt_shrink_frame *f;
	enum plt_shrink_other other;
	uint64_t until;
	size_t room_same, room_parts;
	/* For the writes that are kept: */
	const struct plt_shrink_frame *except;
	bool failing;
	size_t at;			/* next part of `except` */
};

static int add_same(struct maker *m, uint64_t entry, uint32_t first,
		    uint32_t count, enum platter_crash_fate fate,
		    struct platter_error *err)
{
	struct plt_shrink_frame *f = m->f;

	if (fate == f->rest)
		return 0;
	if (plt_grow(&f->same, &m->room_same, f->nr_same + 1, sizeof(*f->same),
		     err))
		return -ENOMEM;
	f->same[f->nr_same++] = (struct plt_crash_item){
		.entry = entry, .first = first, .count = count, .fate = fate,
	};
	return 0;
}

static int add_part(struct maker *m, const struct plt_shrink_part *part,
		    struct platter_error *err)
{
	struct plt_shrink_frame *f = m->f;

	if (part->fail == part->pass)
		return add_same(m, part->entry, part->first, part->count,
				part->fail, err);
	if (plt_grow(&f->part, &m->room_parts, f->nr_parts + 1,
		     sizeof(*f->part), err))
		return -ENOMEM;
	f->part[f->nr_parts++] = *part;
	return 0;
}

static enum platter_crash_fate in_other(const struct maker *m, uint64_t entry,
					enum platter_crash_fate fate)
{
	if (fate == PLATTER_CRASH_EARLY)
		return PLATTER_CRASH_DROPPED;
	switch (m->other) {
	case PLT_SHRINK_ALL:
	case PLT_SHRINK_ALL_OF_EPOCH:
		return PLATTER_CRASH_KEPT;
	case PLT_SHRINK_NONE:
		return PLATTER_CRASH_DROPPED;
	case PLT_SHRINK_COMPLEMENT:
		return fate == PLATTER_CRASH_DROPPED ? PLATTER_CRASH_KEPT :
						       PLATTER_CRASH_DROPPED;
	case PLT_SHRINK_PREFIX:
		break;
	}
	return entry < m->until ? PLATTER_CRASH_KEPT : PLATTER_CRASH_DROPPED;
}

static int visit(struct platter_crash_part_visitor *visitor,
		 const struct platter_crash_part *part,
		 struct platter_error *err)
{
	struct maker *m = (struct maker *)visitor;

	if (part->fate == PLATTER_CRASH_DURABLE)
		return 0;
	return add_part(m, &(struct plt_shrink_part){
		.entry = part->entry.number, .first = part->first,
		.count = part->count, .fail = part->fate,
		.pass = in_other(m, part->entry.number, part->fate),
	}, err);
}

static uint32_t sectors_of(const struct platter_crash *c, uint64_t entry)
{
	return (uint32_t)(c->entry[entry].length / c->sector);
}

/*
 * What is pending and missing at a point is what is missing, with all that
 * lies between, at a later one, if no flush and no FUA does.
 */
static int add_behind(struct maker *m, uint64_t point,
		      struct platter_error *err)
{
	const struct platter_crash *c = m->f->crash;
	const struct plt_shrink_frame *f = m->f;
	uint64_t durable = UINT64_MAX;
	int rc;

	for (size_t i = 0; i < f->nr_parts; i++)
		durable = PLT_MIN(durable, c->entry[f->part[i].entry].durable);
	for (; point < PLT_MIN(c->nr, m->until); point++) {
		const struct plt_crash_entry *e = &c->entry[point];

		if (plt_crash_writes(e))
			durable = PLT_MIN(durable, e->durable);
		if (durable <= point + 1)
			break;
		if (!plt_crash_writes(e))
			continue;
		rc = add_part(m, &(struct plt_shrink_part){
			.entry = point, .count = sectors_of(c, point),
			.fail = PLATTER_CRASH_DROPPED,
			.pass = PLATTER_CRASH_KEPT,
		}, err);
		if (rc)
			return rc;
	}
	m->f->point = point;
	return 0;
}

/* An element for each entry. */
static int group(struct plt_shrink_frame *f, struct platter_error *err)
{
	free(f->start);
	f->start = plt_calloc(f->nr_parts + 1, sizeof(*f->start), err);
	if (!f->start)
		return -ENOMEM;
	f->nr = 0;
	for (size_t i = 0; i < f->nr_parts; i++)
		if (!i || f->part[i].entry != f->part[i - 1].entry)
			f->start[f->nr++] = i;
	f->start[f->nr] = f->nr_parts;
	return 0;
}

static bool has_early(const struct plt_shrink_frame *f)
{
	for (size_t i = 0; i < f->nr_parts; i++)
		if (f->part[i].fail == PLATTER_CRASH_EARLY)
			return true;
	return false;
}

int plt_shrink_frame_init(struct plt_shrink_frame *f,
			  const struct platter_crash_state *fail,
			  enum plt_shrink_other other, uint64_t until,
			  struct platter_error *err)
{
	struct maker m = {
		.visitor.visit = visit, .f = f, .other = other,
		.until = until,
	};
	int rc;

	*f = (struct plt_shrink_frame){
		.crash = fail->crash,
		.point = fail->point,
		.discard = fail->discard,
		.rest = other == PLT_SHRINK_ALL ||
			other == PLT_SHRINK_ALL_OF_EPOCH ?
			PLATTER_CRASH_KEPT : PLATTER_CRASH_DROPPED,
	};
	rc = platter_crash_state_parts(fail, &m.visitor, err);
	f->fixed = other == PLT_SHRINK_COMPLEMENT ||
		   other == PLT_SHRINK_PREFIX || has_early(f);
	if (!rc && other == PLT_SHRINK_ALL_OF_EPOCH) {
		rc = has_early(f) ? 1 : add_behind(&m, fail->point, err);
		if (!rc && f->point == fail->point)
			return 1;
	}
	if (!rc)
		rc = group(f, err);
	return rc ? rc : !f->nr;
}

/* ---- the writes that are kept ---- */

static int visit_kept(struct platter_crash_part_visitor *visitor,
		      const struct platter_crash_part *part,
		      struct platter_error *err)
{
	struct maker *m = (struct maker *)visitor;

	if (part->fate != PLATTER_CRASH_KEPT)
		return 0;
	return add_part(m, &(struct plt_shrink_part){
		.entry = part->entry.number, .first = part->first,
		.count = part->count, .fail = PLATTER_CRASH_KEPT,
		.pass = PLATTER_CRASH_DROPPED,
	}, err);
}

int plt_shrink_frame_kept(struct plt_shrink_frame *f,
			  const struct platter_crash_state *state,
			  const struct plt_shrink_frame *except, bool failing,
			  struct platter_error *err)
{
	struct maker m = { .visitor.visit = visit_kept, .f = f };
	int rc = 0;

	*f = (struct plt_shrink_frame){
		.crash = state->crash,
		.point = state->point,
		.discard = state->discard,
		.rest = PLATTER_CRASH_DROPPED,
	};
	for (size_t i = 0; !rc && i < except->nr_parts; i++) {
		const struct plt_shrink_part *p = &except->part[i];

		rc = add_same(&m, p->entry, p->first, p->count,
			      failing ? p->fail : p->pass, err);
	}
	if (!rc)
		rc = platter_crash_state_parts(state, &m.visitor, err);
	return rc ? rc : group(f, err);
}

/* ---- the states in between ---- */

int plt_shrink_frame_state(const struct plt_shrink_frame *f, const bool *chosen,
			   struct platter_crash_state **out,
			   struct platter_error *err)
{
	struct plt_crash_item *items plt_auto_free =
		plt_calloc(f->nr_same + f->nr_parts + 1, sizeof(*items), err);
	size_t n = f->nr_same;

	if (!items)
		return -ENOMEM;
	if (n)
		memcpy(items, f->same, n * sizeof(*items));
	for (size_t i = 0; i < f->nr; i++) {
		for (size_t j = f->start[i]; j < f->start[i + 1]; j++) {
			const struct plt_shrink_part *p = &f->part[j];
			enum platter_crash_fate fate =
				!chosen || chosen[i] ? p->fail : p->pass;

			if (fate == f->rest ||
			    (p->fail == PLATTER_CRASH_EARLY && fate != p->fail))
				continue;
			items[n++] = (struct plt_crash_item){
				.entry = p->entry, .first = p->first,
				.count = p->count, .fate = fate,
			};
		}
	}
	return plt_crash_state_new(out, f->crash, f->point, f->discard,
				   f->rest, items, n, err);
}

int plt_shrink_frame_ends(const struct plt_shrink_frame *f,
			  struct platter_crash_state **fail,
			  struct platter_crash_state **pass,
			  struct platter_error *err)
{
	bool *none plt_auto_free = plt_calloc(f->nr + 1, 1, err);
	int rc;

	if (!none)
		return -ENOMEM;
	rc = plt_shrink_frame_state(f, NULL, fail, err);
	return rc ? rc : plt_shrink_frame_state(f, none, pass, err);
}

/* The parts of these elements stay parts; what the others are is in `same`. */
int plt_shrink_frame_keep(struct plt_shrink_frame *f, const size_t *element,
			  size_t nr, struct platter_error *err)
{
	struct maker m = { .f = f, .room_same = f->nr_same };
	size_t parts = 0, elements = 0;
	int rc;

	for (size_t i = 0; i < f->nr; i++) {
		const size_t begin = f->start[i], end = f->start[i + 1];
		const bool kept = elements < nr && element[elements] == i;

		if (kept)
			f->start[elements++] = parts;
		for (size_t j = begin; j < end; j++) {
			const struct plt_shrink_part p = f->part[j];

			if (kept) {
				f->part[parts++] = p;
				continue;
			}
			if (p.fail == PLATTER_CRASH_EARLY)
				continue;
			rc = add_same(&m, p.entry, p.first, p.count, p.pass,
				      err);
			if (rc)
				return rc;
		}
	}
	f->start[elements] = parts;
	f->nr = elements;
	f->nr_parts = parts;
	return 0;
}

/* ---- cutting ---- */

/* Log sectors of the part from `at` on, up to the next multiple of `piece`. */
static uint32_t piece_at(const struct plt_shrink_frame *f,
			 const struct plt_shrink_part *p, uint32_t at,
			 uint64_t piece)
{
	const uint64_t start = f->crash->entry[p->entry].start;
	const uint32_t sector = f->crash->sector;
	const uint64_t here = start + (uint64_t)at * sector;
	const uint64_t left = (piece - here % piece + sector - 1) / sector;

	return (uint32_t)PLT_MIN(left, (uint64_t)p->first + p->count - at);
}

static uint64_t count_pieces(const struct plt_shrink_frame *f, uint64_t piece)
{
	uint64_t n = 0;

	for (size_t i = 0; i < f->nr_parts; i++)
		n += (uint64_t)f->part[i].count * f->crash->sector / piece + 2;
	return n;
}

int plt_shrink_frame_cut(struct plt_shrink_frame *f, uint32_t unit,
			 struct platter_error *err)
{
	uint64_t piece = PLT_MAX(unit, f->crash->sector);
	struct plt_shrink_part *parts;
	size_t n = 0, *start;

	while (count_pieces(f, piece) > MAX_ELEMENTS + 2 * f->nr_parts)
		piece *= 2;
	parts = plt_calloc(count_pieces(f, piece), sizeof(*parts), err);
	if (!parts)
		return -ENOMEM;
	for (size_t i = 0; i < f->nr_parts; i++) {
		const struct plt_shrink_part *p = &f->part[i];
		const uint32_t end = p->first + p->count;
		uint32_t count;

		for (uint32_t at = p->first; at < end; at += count) {
			count = piece_at(f, p, at, piece);
			parts[n] = *p;
			parts[n].first = at;
			parts[n++].count = count;
		}
	}
	start = plt_calloc(n + 1, sizeof(*start), err);
	if (!start) {
		free(parts);
		return -ENOMEM;
	}
	for (size_t i = 0; i <= n; i++)
		start[i] = i;
	free(f->part);
	free(f->start);
	f->part = parts;
	f->start = start;
	f->nr_parts = n;
	n = n == f->nr ? 1 : 0;
	f->nr = f->nr_parts;
	return (int)n;
}

int plt_shrink_frame_widen(struct plt_shrink_frame *f,
			   const struct plt_shrink_frame *from,
			   struct platter_error *err)
{
	*f = *from;
	f->same = NULL;
	f->start = NULL;
	f->nr_same = 0;
	f->nr_parts = 0;
	f->part = plt_calloc(from->nr_parts + 1, sizeof(*f->part), err);
	if (!f->part)
		return -ENOMEM;
	for (size_t i = 0; i < from->nr_parts; i++) {
		const struct plt_shrink_part *p = &from->part[i];

		if (p->fail != PLATTER_CRASH_DROPPED)
			return 1;
		if (f->nr_parts && f->part[f->nr_parts - 1].entry == p->entry)
			continue;
		f->part[f->nr_parts++] = (struct plt_shrink_part){
			.entry = p->entry,
			.count = sectors_of(f->crash, p->entry),
			.fail = PLATTER_CRASH_DROPPED,
			.pass = PLATTER_CRASH_KEPT,
		};
	}
	return group(f, err);
}
