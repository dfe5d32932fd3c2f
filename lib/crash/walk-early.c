/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Early writes: what a log has behind a point may have been on its way.
 *
 * The kernel logs a write when the flush that covers it completes, so at a FUA
 * or a mark nobody knows which of the writes logged behind it, up to the next
 * flush, were there already. Each of them is added alone, and all of them, to
 * all that is pending and to none of it. They come last in the log, so what
 * they bring shows whatever else is there.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/walk.h"

#define EARLY_MAX	64u		/* writes at one point */
#define SECTORS_MAX	(1u << 16)	/* of them together */

/* What one of them leaves in a sector. */
struct early {
	uint64_t sector, entry;
	struct plt_hash128 hash;
};

struct early_list {
	struct early *at;
	size_t nr, room;
};

static int by_sector(const void *a, const void *b)
{
	const struct early *x = a, *y = b;

	if (x->sector != y->sector)
		return x->sector < y->sector ? -1 : 1;
	return (x->entry > y->entry) - (x->entry < y->entry);
}

/* Number i of the early writes; false: there are no more. */
static bool find_early(struct platter_crash_walk *w, uint64_t i,
		       uint64_t *entry)
{
	const struct platter_crash *c = w->crash;
	uint64_t sectors = 0, nr = 0;

	for (uint64_t e = w->point; e < c->nr; e++) {
		if (c->entry[e].flags & PLATTER_LOG_FLUSH)
			return false;
		if (!plt_crash_writes(&c->entry[e]))
			continue;
		sectors += c->entry[e].length / c->sector;
		if (nr == EARLY_MAX || sectors > SECTORS_MAX) {
			w->cursor.skipped = true;
			return false;
		}
		if (nr++ == i) {
			*entry = e;
			return true;
		}
	}
	return false;
}

static int add_sectors(struct plt_crash_units *u, uint64_t number,
		       struct early_list *l, struct platter_error *err)
{
	const struct plt_crash_entry *e = &u->crash->entry[number];
	const uint32_t bytes = u->crash->sector;
	const uint32_t step = PLT_MAX(PLT_CRASH_READ / bytes, 1u);
	const uint32_t sectors = e->length / bytes;
	const bool discard = plt_crash_is_discard(e);
	const uint8_t *data = NULL;
	struct early *out;
	int rc;

	rc = plt_grow(&l->at, &l->room, l->nr + sectors, sizeof(*l->at), err);
	out = l->at + l->nr;
	for (uint32_t s = 0; s < sectors && !rc; s++) {
		if (!discard && s % step == 0)
			rc = plt_crash_units_log(u, e->data_offset +
						 (uint64_t)s * bytes,
						 (size_t)bytes *
						 PLT_MIN(step, sectors - s),
						 &data, err);
		if (rc)
			return rc;
		out[s] = (struct early){
			.sector = e->start / bytes + s, .entry = number,
		};
		out[s].hash = plt_crash_sector_hash(discard ? u->zero :
			plt_xxh3_128(data + (size_t)(s % step) * bytes, bytes),
			out[s].sector);
		l->nr++;
	}
	return rc;
}

/* Of each sector the last one counts. */
static int change(struct platter_crash_walk *w, struct early_list *l,
		  struct platter_error *err)
{
	struct plt_crash_units *u = plt_crash_walk_units(w);
	struct plt_crash_tally *t = &w->candidate.tally;
	struct plt_crash_leaf *leaf;

	qsort(l->at, l->nr, sizeof(*l->at), by_sector);
	for (size_t i = 0; i < l->nr; i++) {
		const unsigned int k = l->at[i].sector % PLT_CRASH_LEAF;
		int rc;

		if (i + 1 < l->nr && l->at[i + 1].sector == l->at[i].sector)
			continue;
		rc = plt_crash_units_touch(u, l->at[i].sector, 0, &leaf, err);
		if (rc)
			return rc;
		plt_crash_tally_change(u, t, leaf, k,
			w->candidate.rest == PLATTER_CRASH_KEPT ?
			plt_crash_shown_hash(u, leaf, k) :
			plt_crash_only_durable_hash(u, leaf, k),
			l->at[i].hash);
	}
	return 0;
}

/* Early writes [from, to), on top of all or of none. */
static int make(struct platter_crash_walk *w, uint64_t from, uint64_t to,
		enum platter_crash_fate rest, struct platter_error *err)
{
	const struct platter_crash *c = w->crash;
	struct early_list l = { .nr = 0 };
	uint64_t entry;
	int rc = 0;

	plt_crash_candidate_begin(w, rest);
	plt_crash_candidate_end(w);
	for (uint64_t i = from; i < to && !rc && find_early(w, i, &entry);
	     i++) {
		const struct plt_crash_item item = {
			.entry = entry, .fate = PLATTER_CRASH_EARLY,
			.count = c->entry[entry].length / c->sector,
		};

		rc = add_sectors(plt_crash_walk_units(w), entry, &l, err);
		if (!rc)
			rc = plt_crash_candidate_item(w, &item, err);
	}
	if (!rc)
		rc = change(w, &l, err);
	free(l.at);
	return rc;
}

/* Not in front of a flush, and not at the end of the part. */
static int begin_early(struct platter_crash_walk *w, struct platter_error *err)
{
	uint64_t entry;

	(void)err;
	return !find_early(w, 0, &entry);
}

static int next_early(struct platter_crash_walk *w, struct platter_error *err)
{
	struct plt_crash_cursor *c = &w->cursor;
	const enum platter_crash_fate rest = c->step ? PLATTER_CRASH_DROPPED :
					     PLATTER_CRASH_KEPT;
	const uint64_t i = c->i;
	uint64_t entry;

	if (c->part)
		return 1;
	if (c->step)
		c->i++;
	c->step = !c->step;
	if (find_early(w, i, &entry))
		return make(w, i, i + 1, rest, err);
	/* Behind the last: all of them, if they are several. */
	if (i < 2)
		return 1;
	c->part = rest == PLATTER_CRASH_DROPPED;
	return make(w, 0, i, rest, err);
}

const struct plt_crash_maker plt_crash_make_early = {
	.begin = begin_early,
	.next = next_early,
};
