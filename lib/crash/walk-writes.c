/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Strategies on whole writes: boundaries, 2cp, subsets.
 *
 * A pending write that changes nothing, whatever else is there, is no choice.
 * One that a later one covers makes no state of its own where that is kept.
 */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/walk.h"

/* States of subsets=K at one point; K is lowered where there would be more. */
#define SUBSETS_MAX	(UINT64_C(1) << 22)

/* ---- candidates ---- */

uint32_t plt_crash_walk_sectors(const struct platter_crash_walk *w,
				size_t index)
{
	const struct plt_crash_units *u = plt_crash_walk_units(w);

	return w->crash->entry[u->pending[index].entry].length /
	       w->crash->sector;
}

void plt_crash_candidate_begin(struct platter_crash_walk *w,
			       enum platter_crash_fate rest)
{
	w->candidate.rest = rest;
	w->candidate.nr = 0;
	w->nr_pieces = 0;
}

int plt_crash_candidate_item(struct platter_crash_walk *w,
			     const struct plt_crash_item *item,
			     struct platter_error *err)
{
	struct plt_crash_candidate *c = &w->candidate;
	int rc = plt_grow(&c->item, &c->room, c->nr + 1, sizeof(*c->item),
			  err);

	if (!rc)
		c->item[c->nr++] = *item;
	return rc;
}

int plt_crash_candidate_add(struct platter_crash_walk *w, size_t index,
			    uint32_t first, uint32_t count,
			    struct platter_error *err)
{
	const struct plt_crash_units *u = plt_crash_walk_units(w);
	const bool kept = w->candidate.rest == PLATTER_CRASH_KEPT;
	const struct plt_crash_item item = {
		.entry = u->pending[index].entry,
		.first = first, .count = count,
		.fate = kept ? PLATTER_CRASH_DROPPED : PLATTER_CRASH_KEPT,
	};
	int rc;

	rc = plt_grow(&w->piece, &w->room_pieces, w->nr_pieces + 1,
		      sizeof(*w->piece), err);
	if (rc)
		return rc;
	w->piece[w->nr_pieces++] = (struct plt_crash_piece){
		.index = index, .first = first, .count = count,
	};
	return plt_crash_candidate_item(w, &item, err);
}

static void sort_pieces(struct plt_crash_piece *p, size_t nr)
{
	bool rising = true;

	/* They come in the order of the log, or nearly. */
	for (size_t i = 1; i < nr; i++)
		rising &= p[i - 1].index <= p[i].index;
	for (size_t i = 0; rising && i < nr / 2; i++) {
		const struct plt_crash_piece t = p[i];

		p[i] = p[nr - 1 - i];
		p[nr - 1 - i] = t;
	}
	for (size_t i = 1; !rising && i < nr; i++) {
		const struct plt_crash_piece t = p[i];
		size_t k = i;

		for (; k && p[k - 1].index < t.index; k--)
			p[k] = p[k - 1];
		p[k] = t;
	}
}

void plt_crash_candidate_end(struct platter_crash_walk *w)
{
	struct plt_crash_units *u = plt_crash_walk_units(w);

	if (w->candidate.rest == PLATTER_CRASH_KEPT) {
		plt_crash_units_without(u, w->piece, w->nr_pieces,
					&w->candidate.tally);
		return;
	}
	sort_pieces(w->piece, w->nr_pieces);
	plt_crash_units_with(u, w->piece, w->nr_pieces, &w->candidate.tally);
}

/* ---- which writes make a difference ---- */

static bool is_choice(const struct plt_crash_units *u, size_t index)
{
	const struct plt_crash_pending *p = &u->pending[index];
	struct plt_crash_versions it = plt_crash_versions_of(p, 0, UINT32_MAX);
	uint32_t n;

	if (p->durable)
		return false;
	while (plt_crash_versions_next(&it, &n))
		if (plt_crash_is_choice(u, plt_crash_leaf_at(u,
				plt_crash_version_at(u, n)->leaf), n))
			return true;
	return false;
}

int plt_crash_walk_choices(struct platter_crash_walk *w,
			   struct platter_error *err)
{
	struct plt_crash_units *u = plt_crash_walk_units(w);
	int rc;

	if (w->have_choices)
		return 0;
	w->nr_choices = 0;
	for (size_t i = u->first; i < u->nr; i++) {
		if (!is_choice(u, i))
			continue;
		rc = plt_grow(&w->choice, &w->room_choices, w->nr_choices + 1,
			      sizeof(*w->choice), err);
		if (rc)
			return rc;
		w->choice[w->nr_choices++] = i;
	}
	w->have_choices = true;
	return 0;
}

static int add_whole(struct platter_crash_walk *w, size_t choice,
		     struct platter_error *err)
{
	const size_t index = w->choice[choice];

	return plt_crash_candidate_add(w, index, 0,
				       plt_crash_walk_sectors(w, index), err);
}

/* Does anything of it show where all are present? */
bool plt_crash_shows(const struct plt_crash_units *u, size_t index)
{
	struct plt_crash_versions it =
		plt_crash_versions_of(&u->pending[index], 0, UINT32_MAX);
	uint32_t n, top;

	while (plt_crash_versions_next(&it, &n)) {
		const struct plt_crash_version *v = plt_crash_version_at(u, n);

		top = plt_crash_leaf_at(u, v->leaf)->top[v->sector];
		if (plt_crash_visible(u, &top) && top == n)
			return true;
	}
	return false;
}

/* ---- boundaries ---- */

static int begin_boundaries(struct platter_crash_walk *w,
			    struct platter_error *err)
{
	(void)w;
	(void)err;
	return 0;
}

static int next_boundary(struct platter_crash_walk *w,
			 struct platter_error *err)
{
	struct plt_crash_cursor *c = &w->cursor;

	(void)err;
	/* What is durable alone is no prefix where something FUA is. */
	if (c->i == 2 ||
	    (c->i == 1 && w->model == PLATTER_CRASH_MODEL_PREFIX))
		return 1;
	plt_crash_candidate_begin(w, c->i++ ? PLATTER_CRASH_DROPPED :
				  PLATTER_CRASH_KEPT);
	plt_crash_candidate_end(w);
	return 0;
}

const struct plt_crash_maker plt_crash_make_boundaries = {
	.begin = begin_boundaries,
	.next = next_boundary,
};

/* ---- none, all, each alone, all but each ---- */

static int next_2cp(struct platter_crash_walk *w, struct platter_error *err)
{
	struct plt_crash_cursor *c = &w->cursor;
	const struct plt_crash_units *u = plt_crash_walk_units(w);
	size_t nr = w->nr_choices < 2 ? 0 : w->nr_choices;
	uint64_t i;
	int rc = 0;

	/*
	 * With one choice, alone is all and all but it is none; without any,
	 * there is only what the prefix has, too.
	 */
	if (!w->nr_choices && plt_crash_walk_effort(w, w->point)->use &
			      1u << PLT_CRASH_PREFIXES)
		return 1;
	while ((i = c->i++) < 2 + 2 * nr) {
		const bool without = i & 1;

		if (!w->nr_choices && !without)
			continue;
		plt_crash_candidate_begin(w, without ? PLATTER_CRASH_KEPT :
					  PLATTER_CRASH_DROPPED);
		if (i >= 2 && without &&
		    !plt_crash_shows(u, w->choice[i / 2 - 1])) {
			w->census.hidden++;
			continue;
		}
		if (i >= 2)
			rc = add_whole(w, i / 2 - 1, err);
		if (!rc)
			plt_crash_candidate_end(w);
		return rc;
	}
	return 1;
}

const struct plt_crash_maker plt_crash_make_2cp = {
	.begin = plt_crash_walk_choices,
	.next = next_2cp,
};

/* ---- all subsets of up to K, kept and dropped ---- */

/* n over k, or UINT64_MAX. */
static uint64_t binomial(uint64_t n, unsigned int k)
{
	uint64_t r = 1;

	for (unsigned int i = 0; i < k; i++) {
		if (r > UINT64_MAX / (n - i))
			return UINT64_MAX;
		r = r * (n - i) / (i + 1);
	}
	return r;
}

static int begin_subsets(struct platter_crash_walk *w,
			 struct platter_error *err)
{
	struct plt_crash_cursor *c = &w->cursor;
	unsigned int most = plt_crash_walk_effort(w, w->point)->subsets;
	uint64_t states = 0, more;
	unsigned int k;
	int rc = plt_crash_walk_choices(w, err);

	if (rc)
		return rc;
	most = PLT_MIN((size_t)most, w->nr_choices);
	for (k = 0; k <= most; k++) {
		more = binomial(w->nr_choices, k);
		if (more > SUBSETS_MAX / 2 || states > SUBSETS_MAX - 2 * more)
			break;
		states += 2 * more;
	}
	c->skipped = k <= most;
	c->part = k;		/* sizes below this one */
	return !k;
}

/* The next subset of the size, in order; false behind the last. */
static bool next_pick(struct plt_crash_cursor *c, size_t nr)
{
	unsigned int k = c->step;

	while (k-- > 0) {
		if (c->pick[k] < nr - (c->step - k)) {
			c->pick[k]++;
			while (++k < c->step)
				c->pick[k] = c->pick[k - 1] + 1;
			return true;
		}
	}
	return false;
}

static int next_subset(struct platter_crash_walk *w, struct platter_error *err)
{
	struct plt_crash_cursor *c = &w->cursor;
	int rc = 0;

	/* Each subset twice: dropped, then kept. */
	if (c->i && !c->dropped && !next_pick(c, w->nr_choices)) {
		c->step++;
		for (unsigned int k = 0; k < c->step; k++)
			c->pick[k] = k;
	}
	if (c->step >= c->part)
		return 1;
	c->i++;
	plt_crash_candidate_begin(w, c->dropped ? PLATTER_CRASH_DROPPED :
				  PLATTER_CRASH_KEPT);
	for (unsigned int k = 0; k < c->step && !rc; k++)
		rc = add_whole(w, c->pick[k], err);
	if (!rc)
		plt_crash_candidate_end(w);
	c->dropped = !c->dropped;
	return rc;
}

const struct plt_crash_maker plt_crash_make_subsets = {
	.begin = begin_subsets,
	.next = next_subset,
};
