/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Strategies on parts of writes: a write is torn where two atomic units meet.
 *
 * Large writes have more units than states could be made of; those stand in
 * for groups of neighbours then, and of single units only some are missing in
 * turn, spread evenly. The census is told.
 */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/walk.h"

#define SINGLES_MAX	8u	/* single units missing, of one write */
#define STRIPES_MAX	64u	/* kept and missing ones in turn */

/* ---- units of a write ---- */

/* Sectors from the boundary before the write to it. */
static uint64_t lead(const struct platter_crash_walk *w, size_t index)
{
	const struct plt_crash_units *u = plt_crash_walk_units(w);
	const struct plt_crash_entry *e =
		&w->crash->entry[u->pending[index].entry];

	return e->start / w->crash->sector % w->unit;
}

uint32_t plt_crash_walk_parts(const struct platter_crash_walk *w, size_t index)
{
	if (w->model < PLATTER_CRASH_MODEL_SECTOR)
		return 1;
	return (lead(w, index) + plt_crash_walk_sectors(w, index) + w->unit -
		1) / w->unit;
}

void plt_crash_walk_part(const struct platter_crash_walk *w, size_t index,
			 uint32_t from, uint32_t to, uint32_t *first,
			 uint32_t *count)
{
	const uint64_t before = lead(w, index);
	const uint32_t sectors = plt_crash_walk_sectors(w, index);
	const uint64_t begin = (uint64_t)from * w->unit;
	const uint64_t end = (uint64_t)to * w->unit;

	if (w->model < PLATTER_CRASH_MODEL_SECTOR) {
		*first = 0;
		*count = sectors;
		return;
	}
	*first = begin > before ? begin - before : 0;
	*count = PLT_MIN(end - before, (uint64_t)sectors) - *first;
}

/* ---- tears ---- */

enum { FIRST_HALF, LAST_HALF, ALTERNATE, SINGLE };

/* Units [from, to) of a write into the candidate. */
static int add_units(struct platter_crash_walk *w, size_t index, uint32_t from,
		     uint32_t to, struct platter_error *err)
{
	uint32_t first, count;

	if (from == to)
		return 0;
	plt_crash_walk_part(w, index, from, to, &first, &count);
	return plt_crash_candidate_add(w, index, first, count, err);
}

/* Every other stripe of it: the first is there, the second is missing. */
static int add_stripes(struct platter_crash_walk *w, size_t index,
		       uint32_t parts, bool present, struct platter_error *err)
{
	const uint32_t nr = PLT_MIN(parts, STRIPES_MAX);
	int rc = 0;

	for (uint64_t i = !present; i < nr && !rc; i += 2)
		rc = add_units(w, index, parts * i / nr, parts * (i + 1) / nr,
			       err);
	return rc;
}

/* What of a write is present, or else what is missing. */
static int add_tear(struct platter_crash_walk *w, size_t index, uint32_t parts,
		    unsigned int pattern, uint32_t single, bool present,
		    struct platter_error *err)
{
	const uint32_t half = (parts + 1) / 2, rest = parts / 2;
	int rc;

	switch (pattern) {
	case FIRST_HALF:
		return present ? add_units(w, index, 0, half, err) :
		       add_units(w, index, half, parts, err);
	case LAST_HALF:
		return present ? add_units(w, index, rest, parts, err) :
		       add_units(w, index, 0, rest, err);
	case ALTERNATE:
		return add_stripes(w, index, parts, present, err);
	default:
		break;
	}
	if (!present)
		return add_units(w, index, single, single + 1, err);
	rc = add_units(w, index, 0, single, err);
	return rc ? rc : add_units(w, index, single + 1, parts, err);
}

/* How many tears of a write of so many units: two units have but two. */
static unsigned int tears_of(uint32_t parts)
{
	if (parts < 2)
		return 0;
	return parts == 2 ? 2 : SINGLE + PLT_MIN(parts, SINGLES_MAX);
}

/* Number k of the single ones, spread evenly. */
static uint32_t spread(uint32_t parts, unsigned int k)
{
	const uint32_t nr = PLT_MIN(parts, SINGLES_MAX);

	return nr == 1 ? 0 : (uint64_t)k * (parts - 1) / (nr - 1);
}

/* To the next tear: each with the others kept, then with them dropped. */
static bool find_tear(struct platter_crash_walk *w, unsigned int *tear,
		      bool *dropped)
{
	const struct plt_crash_units *u = plt_crash_walk_units(w);
	struct plt_crash_cursor *c = &w->cursor;

	while (c->i < w->nr_choices) {
		const size_t index = w->choice[c->i];
		const uint32_t parts = plt_crash_walk_parts(w, index);

		*tear = c->step / 2;
		*dropped = c->step & 1;
		if (*tear >= tears_of(parts)) {
			c->i++;
			c->step = 0;
			continue;
		}
		c->step++;
		c->skipped |= parts > SINGLES_MAX;
		if (*dropped || plt_crash_shows(u, index))
			return true;
		w->census.hidden++;
	}
	return false;
}

static int next_tear(struct platter_crash_walk *w, struct platter_error *err)
{
	unsigned int t;
	uint32_t parts;
	bool dropped;
	size_t index;
	int rc;

	if (!find_tear(w, &t, &dropped))
		return 1;
	index = w->choice[w->cursor.i];
	parts = plt_crash_walk_parts(w, index);
	plt_crash_candidate_begin(w, dropped ? PLATTER_CRASH_DROPPED :
				  PLATTER_CRASH_KEPT);
	rc = add_tear(w, index, parts, PLT_MIN(t, (unsigned int)SINGLE),
		      t < SINGLE ? 0 : spread(parts, t - SINGLE), dropped, err);
	if (!rc)
		plt_crash_candidate_end(w);
	return rc;
}

const struct plt_crash_maker plt_crash_make_tears = {
	.begin = plt_crash_walk_choices,
	.next = next_tear,
};
