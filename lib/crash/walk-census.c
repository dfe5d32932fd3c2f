/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The census: how many states each strategy made, of how many there are.
 *
 * A strategy is complete at a crash point when it made as many different
 * contents there as are legal, which is compared only where they are few.
 * Prefixes are made on the way to a crash point, so theirs are counted since
 * what is durable grew last: all those are legal at it, too.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "crash/walk.h"

static void add_few(struct plt_crash_few *few, struct plt_hash128 hash)
{
	if (few->nr == PLT_CRASH_FEW)
		return;
	for (size_t i = 0; i < few->nr; i++)
		if (plt_hash128_same(few->hash[i], hash))
			return;
	few->hash[few->nr++] = hash;
}

static struct plt_crash_few *few_of(struct platter_crash_walk *w)
{
	return w->strategy == PLT_CRASH_PREFIXES ? &w->prefixes : &w->few;
}

void plt_crash_census_made(struct platter_crash_walk *w)
{
	w->census.made++;
	w->census.strategies[w->strategy].made++;
	add_few(few_of(w), w->candidate.tally.disk);
}

static bool made_all(struct platter_crash_walk *w)
{
	const size_t nr = few_of(w)->nr;

	if (w->strategy == PLT_CRASH_EXHAUSTIVE)
		return !w->cursor.skipped && w->legal != UINT64_MAX;
	/* Those on the way were made with other things discards leave, too. */
	if (w->strategy == PLT_CRASH_PREFIXES && w->nr_units > 1)
		return false;
	/* Full, it may stand for any number. */
	return nr == w->legal && nr < PLT_CRASH_FEW;
}

int plt_crash_census_strategy(struct platter_crash_walk *w,
			      struct platter_error *err)
{
	struct platter_crash_coverage *c = &w->census.strategies[w->strategy];
	int rc;

	if (!w->crash_point)
		return 0;
	rc = plt_crash_walk_legal(w, err);
	if (rc)
		return rc;
	if (w->cursor.skipped)
		w->skipped |= 1u << w->strategy;
	if (w->legal > UINT64_MAX - c->possible)
		c->possible = UINT64_MAX;
	else
		c->possible += w->legal;
	if (!w->unit_nr) {
		c->points++;
		w->complete = true;
	}
	w->complete &= made_all(w);
	if (w->unit_nr + 1 == w->nr_units && w->complete) {
		c->complete++;
		w->point_complete = true;
	}
	return 0;
}

void plt_crash_census_arrive(struct platter_crash_walk *w, bool grew)
{
	w->census.points += w->crash_point;
	w->point_complete = false;
	if (grew || w->nr_units > 1)
		w->prefixes.nr = 0;
}

void plt_crash_census_leave(struct platter_crash_walk *w)
{
	if (!w->crash_point)
		return;
	w->complete_points += w->point_complete;
	/* A flush may follow, and what was legal is no more. */
	w->prefixes.nr = 0;
	w->crash_point = false;
}

static void say(const struct platter_crash_walk *w, char *text, size_t size)
{
	const char *between = "; too many to make all of: ";
	size_t n;

	if (w->census.points && w->complete_points == w->census.points)
		n = snprintf(text, size, "all legal states");
	else
		n = snprintf(text, size, "all legal states at %" PRIu64
			     " of %" PRIu64 " crash points",
			     w->complete_points, w->census.points);
	for (unsigned int s = 0; s < PLT_CRASH_NR_STRATEGIES; s++) {
		if (!(w->skipped & 1u << s) || n >= size)
			continue;
		n += snprintf(text + n, size - n, "%s%s", between,
			      plt_crash_strategy_names[s]);
		between = ", ";
	}
}

void platter_crash_walk_census(const struct platter_crash_walk *w,
			       struct platter_crash_census *out)
{
	unsigned int use = w->effort.use;

	for (size_t i = 0; i < w->nr_regions; i++)
		use |= w->region[i].effort.use;
	*out = w->census;
	out->nr = 0;
	out->no_ops = w->units[0]->no_ops - w->no_ops;
	for (unsigned int s = 0; s < PLT_CRASH_NR_STRATEGIES; s++) {
		if (!(use & 1u << s))
			continue;
		out->strategies[out->nr] = w->census.strategies[s];
		out->strategies[out->nr++].strategy =
			plt_crash_strategy_names[s];
	}
	memset(&out->strategies[out->nr], 0,
	       (PLATTER_CRASH_STRATEGIES - out->nr) *
	       sizeof(out->strategies[0]));
	say(w, out->text, sizeof(out->text));
}
