/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The walk: from point to point, at each from strategy to strategy, and with
 * each through what durable discards may leave.
 *
 * Crash points are where something else may be missing than before: in front
 * of each flush, behind each FUA and each mark, and the end. In between what
 * is pending only grows, so what could happen at a point in between can happen
 * at the next crash point. Prefixes alone are made at every point.
 *
 * The order is the same for every shard and any machine; a walk depends on
 * the log, its base and the plan alone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "crash/walk.h"

static const struct plt_crash_maker *const makers[PLT_CRASH_NR_STRATEGIES] = {
	[PLT_CRASH_BOUNDARIES] = &plt_crash_make_boundaries,
	[PLT_CRASH_2CP] = &plt_crash_make_2cp,
	[PLT_CRASH_SUBSETS] = &plt_crash_make_subsets,
	[PLT_CRASH_TEARS] = &plt_crash_make_tears,
	[PLT_CRASH_EXHAUSTIVE] = &plt_crash_make_exhaustive,
	[PLT_CRASH_RANDOM] = &plt_crash_make_random,
	[PLT_CRASH_EARLY] = &plt_crash_make_early,
	[PLT_CRASH_DISCARDS] = &plt_crash_make_discards,
	[PLT_CRASH_SHORN] = &plt_crash_make_damage,
	[PLT_CRASH_GARBAGE] = &plt_crash_make_damage,
};

/* ---- points ---- */

/* A write of FUA lets something be durable whose elders are not. */
static bool is_behind(const struct platter_crash_walk *w, uint64_t p)
{
	const struct plt_crash_entry *e = p ? &w->crash->entry[p - 1] : NULL;

	return e && (e->flags & PLATTER_LOG_MARK ||
		     (plt_crash_writes(e) && e->durable == p));
}

static bool is_crash_point(const struct platter_crash_walk *w, uint64_t p)
{
	if (p == w->to || is_behind(w, p))
		return true;
	return w->crash->entry[p].flags & PLATTER_LOG_FLUSH &&
	       !(w->crash->entry[p].flags & PLATTER_LOG_MARK);
}

static void arrive(struct platter_crash_walk *w)
{
	const uint64_t mark =
		platter_crash_mark_before(w->crash, w->point, NULL, NULL);

	if (mark != w->mark)
		plt_crash_seen_clear(&w->seen);
	w->mark = mark;
	w->crash_point = is_crash_point(w, w->point);
	plt_crash_census_arrive(w, is_behind(w, w->point));
	w->strategy = PLT_CRASH_PREFIXES;
	w->unit_nr = 0;
	w->started = false;
	w->have_choices = w->have_legal = false;
}

static int advance(struct platter_crash_walk *w, struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < w->nr_units && !rc; i++)
		rc = plt_crash_units_advance(w->units[i], err);
	w->point += !rc;
	return rc;
}

/* ---- the strategies of a point ---- */

static int make_prefix(struct platter_crash_walk *w)
{
	if (w->cursor.i++)
		return 1;
	plt_crash_candidate_begin(w, PLATTER_CRASH_KEPT);
	plt_crash_candidate_end(w);
	return 0;
}

/* 0 = there is a candidate, 1 = the strategy has no more with these units. */
static int step(struct platter_crash_walk *w, struct platter_error *err)
{
	const struct plt_crash_maker *maker = makers[w->strategy];
	int rc = 0;

	if (!w->started) {
		w->started = true;
		memset(&w->cursor, 0, sizeof(w->cursor));
		w->few.nr = 0;
		if (maker)
			rc = maker->begin(w, err);
		if (rc)
			return rc;
	}
	return maker ? maker->next(w, err) : make_prefix(w);
}

/* Do these units tell other states than the first? */
static bool differ(const struct platter_crash_walk *w)
{
	const struct plt_crash_list *d = &w->crash->discards;

	return !w->unit_nr || (d->nr && d->at[0] < w->point);
}

static bool used_here(const struct platter_crash_walk *w)
{
	const unsigned int use = plt_crash_walk_effort(w, w->point)->use;

	return use & 1u << w->strategy && differ(w) &&
	       (w->crash_point || w->strategy == PLT_CRASH_PREFIXES);
}

/* What durable discards leave next, and then the next strategy. */
static void next_units(struct platter_crash_walk *w)
{
	w->started = false;
	if (w->nr_units > 1)
		w->have_choices = w->have_legal = false;
	if (++w->unit_nr < w->nr_units)
		return;
	w->unit_nr = 0;
	w->strategy++;
}

/* To the next candidate: 1 = the walk has ended. */
static int next_candidate(struct platter_crash_walk *w,
			  struct platter_error *err)
{
	int rc = 0;

	while (!rc) {
		if (w->strategy == PLT_CRASH_NR_STRATEGIES) {
			plt_crash_census_leave(w);
			if (w->point == w->to)
				return 1;
			rc = advance(w, err);
			if (!rc)
				arrive(w);
			continue;
		}
		if (used_here(w)) {
			rc = step(w, err);
			if (rc <= 0)
				return rc;
			rc = plt_crash_census_strategy(w, err);
		}
		next_units(w);
	}
	return rc;
}

/* ---- finding states ---- */

static int judge(struct platter_crash_walk *w, struct platter_error *err)
{
	int rc = plt_crash_seen_add(&w->seen, w->candidate.tally.disk, err);

	plt_crash_census_made(w);
	w->census.unique += rc > 0;
	return rc;
}

static int make_state(struct platter_crash_walk *w, uint64_t index,
		      struct platter_crash_found *found,
		      struct platter_error *err)
{
	const struct plt_crash_candidate *c = &w->candidate;
	int rc;

	platter_crash_state_unref(w->state);
	w->state = NULL;
	rc = plt_crash_state_new(&w->state, w->crash, w->point,
				 plt_crash_walk_units(w)->discard, c->rest,
				 c->item, c->nr, err);
	if (rc)
		return rc;
	*found = (struct platter_crash_found){
		.state = w->state,
		.index = index,
		.strategy = plt_crash_strategy_names[w->strategy],
		.mark = w->mark,
	};
	plt_put_le64(found->hash, c->tally.disk.lo);
	plt_put_le64(found->hash + 8, c->tally.disk.hi);
	return 0;
}

int platter_crash_walk_next(struct platter_crash_walk *w,
			    struct platter_crash_found *found,
			    struct platter_error *err)
{
	uint64_t index;
	int rc;

	if (w->ended)
		return 1;
	/* All of the log before the part, once. */
	while (w->point < w->from) {
		rc = advance(w, err);
		if (rc)
			return rc;
		if (w->point == w->from) {
			w->no_ops = w->units[0]->no_ops;
			arrive(w);
		}
	}
	for (;;) {
		rc = next_candidate(w, err);
		w->ended = rc > 0;
		if (rc)
			return rc;
		rc = judge(w, err);
		if (rc < 0)
			return rc;
		if (!rc)
			continue;
		index = w->index++;
		if (index % w->shards == w->shard)
			return make_state(w, index, found, err);
	}
}

/* ---- making and freeing ---- */

static int make_units(struct platter_crash_walk *w, unsigned int discards,
		      struct platter_error *err)
{
	int rc = 0;

	if (!discards || !w->crash->discards.nr)
		discards = 1u << PLATTER_CRASH_DISCARD_ZERO;
	for (unsigned int d = 0; d <= PLATTER_CRASH_DISCARD_PATTERN && !rc;
	     d++) {
		if (!(discards & 1u << d))
			continue;
		rc = plt_crash_units_new(&w->units[w->nr_units], w->crash, d,
					 err);
		w->nr_units += !rc;
	}
	return rc;
}

int platter_crash_walk_new(struct platter_crash_walk **out,
			   struct platter_crash *crash,
			   const struct platter_crash_plan *plan,
			   struct platter_error *err)
{
	struct platter_crash_walk *w = plt_calloc(1, sizeof(*w), err);
	int rc;

	if (!w)
		return -ENOMEM;
	w->crash = crash;
	rc = plt_crash_walk_plan(w, plan, err);
	if (!rc)
		rc = make_units(w, plan->discards, err);
	if (rc) {
		platter_crash_walk_free(w);
		return rc;
	}
	w->mark = UINT64_MAX;
	if (!w->from)
		arrive(w);
	*out = w;
	return 0;
}

void platter_crash_walk_free(struct platter_crash_walk *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->nr_units; i++)
		plt_crash_units_free(w->units[i]);
	platter_crash_state_unref(w->state);
	plt_crash_seen_free(&w->seen);
	plt_crash_walk_components_free(w);
	plt_image_free(w->before);
	free(w->region);
	free(w->choice);
	free(w->piece);
	free(w->candidate.item);
	free(w);
}
