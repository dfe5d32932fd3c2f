/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All legal states of a point, and how many there are.
 *
 * What is pending falls into components that have no sector in common: the
 * atomic units, or with whole writes those that overlap. A component has
 * options, each with another content: of writes that all cover the same
 * sectors none or any one, else any subset. A state is one option of each.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/walk.h"

#define UNITS_MAX	4096u	/* looked at, before it is "too many" */
#define VERSIONS_MAX	1024u	/* writes on one unit */
#define SUBSET_MAX	12u	/* writes that overlap in part */

struct plt_crash_component {
	struct plt_crash_piece *piece;	/* by entry */
	size_t nr;
	bool single;		/* at most one piece shows */
	uint32_t *option;	/* a piece + 1 or 0, or a set of pieces */
	size_t nr_options;
};

/* What add_component() says when there are too many. */
#define TOO_MANY	1

void plt_crash_walk_components_free(struct platter_crash_walk *w)
{
	for (size_t i = 0; i < w->nr_components; i++) {
		free(w->component[i].piece);
		free(w->component[i].option);
	}
	free(w->component);
	w->component = NULL;
	w->nr_components = w->room_components = 0;
}

/* ---- the options of a component ---- */

/* The pieces of an option, into the candidate. */
static int add_option(struct platter_crash_walk *w,
		      const struct plt_crash_component *c, uint32_t option,
		      struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < c->nr && !rc; i++)
		if (c->single ? option == i + 1 : option & 1u << i)
			rc = plt_crash_candidate_add(w, c->piece[i].index,
						     c->piece[i].first,
						     c->piece[i].count, err);
	return rc;
}

/* Of options that give the same content the first is kept. */
static int find_options(struct platter_crash_walk *w,
			struct plt_crash_component *c,
			struct platter_error *err)
{
	const size_t nr = c->single ? c->nr + 1 : (size_t)1 << c->nr;
	struct plt_hash128 *seen plt_auto_free =
		plt_calloc(nr, sizeof(*seen), err);
	size_t same;
	int rc;

	c->option = plt_calloc(nr, sizeof(*c->option), err);
	if (!seen || !c->option)
		return -ENOMEM;
	for (size_t o = 0; o < nr; o++) {
		plt_crash_candidate_begin(w, PLATTER_CRASH_DROPPED);
		rc = add_option(w, c, o, err);
		if (rc)
			return rc;
		plt_crash_candidate_end(w);
		for (same = 0; same < c->nr_options; same++)
			if (plt_hash128_same(seen[same],
					     w->candidate.tally.disk))
				break;
		if (same < c->nr_options)
			continue;
		seen[c->nr_options] = w->candidate.tally.disk;
		c->option[c->nr_options++] = o;
	}
	return 0;
}

/* Takes the pieces over. */
static int add_component(struct platter_crash_walk *w,
			 struct plt_crash_piece *piece, size_t nr, bool single,
			 struct platter_error *err)
{
	struct plt_crash_component *c;
	int rc;

	if (!single && nr > SUBSET_MAX) {
		free(piece);
		return TOO_MANY;
	}
	rc = plt_grow(&w->component, &w->room_components, w->nr_components + 1,
		      sizeof(*w->component), err);
	if (rc) {
		free(piece);
		return rc;
	}
	c = &w->component[w->nr_components++];
	*c = (struct plt_crash_component){
		.piece = piece, .nr = nr, .single = single,
	};
	return find_options(w, c, err);
}

/* ---- components that are atomic units ---- */

/* Note the pending writes that can show in a sector. */
static int add_writers(struct platter_crash_walk *w, uint64_t sector,
		       size_t *writer, size_t *nr)
{
	struct plt_crash_units *u = plt_crash_walk_units(w);
	struct plt_crash_leaf *leaf = plt_crash_leaf_find(u, sector);
	const unsigned int i = sector % PLT_CRASH_LEAF;
	uint32_t n;

	if (!leaf || !(leaf->live & 1u << i))
		return 0;
	for (n = leaf->top[i]; plt_crash_is_live(u, n);
	     n = plt_crash_version_at(u, n)->below) {
		size_t index, k;

		if (plt_crash_version_at(u, n)->solid == n)
			break;
		if (!plt_crash_is_choice(u, leaf, n))
			continue;
		index = plt_crash_pending_of(u, n);
		for (k = 0; k < *nr && writer[k] != index; k++)
			;
		if (k < *nr)
			continue;
		if (*nr == VERSIONS_MAX)
			return TOO_MANY;
		writer[(*nr)++] = index;
	}
	return 0;
}

static int by_index(const void *a, const void *b)
{
	const size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return (x > y) - (x < y);
}

/* The part of a write that lies in a unit. */
static struct plt_crash_piece piece_in(const struct platter_crash_walk *w,
				       size_t index, uint64_t unit)
{
	const struct plt_crash_units *u = plt_crash_walk_units(w);
	const uint64_t start =
		w->crash->entry[u->pending[index].entry].start /
		w->crash->sector;
	const uint32_t part = unit - start / w->unit;
	struct plt_crash_piece p = { .index = index };

	plt_crash_walk_part(w, index, part, part + 1, &p.first, &p.count);
	return p;
}

/* Do all cover the same sectors? */
static bool all_alike(const struct platter_crash_walk *w,
		      const struct plt_crash_piece *p, size_t nr)
{
	const struct plt_crash_units *u = plt_crash_walk_units(w);
	uint64_t at, first = 0;

	for (size_t i = 0; i < nr; i++) {
		at = w->crash->entry[u->pending[p[i].index].entry].start /
		     w->crash->sector + p[i].first;
		if (!i)
			first = at;
		if (at != first || p[i].count != p[0].count)
			return false;
	}
	return true;
}

static int add_unit(struct platter_crash_walk *w, uint64_t unit,
		    struct platter_error *err)
{
	size_t writer[VERSIONS_MAX], nr = 0;
	struct plt_crash_piece *piece;
	int rc = 0;

	for (uint64_t s = unit * w->unit; s < (unit + 1) * w->unit && !rc; s++)
		rc = add_writers(w, s, writer, &nr);
	if (rc || !nr)
		return rc;
	qsort(writer, nr, sizeof(*writer), by_index);
	piece = plt_calloc(nr, sizeof(*piece), err);
	if (!piece)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++)
		piece[i] = piece_in(w, writer[i], unit);
	return add_component(w, piece, nr, all_alike(w, piece, nr), err);
}

/* The units in which there is a choice, each once. */
static int find_units(struct platter_crash_walk *w, uint64_t *unit, size_t *nr)
{
	struct plt_crash_units *u = plt_crash_walk_units(w);
	const uint32_t stamp = plt_crash_units_stamp(u);

	for (size_t c = 0; c < w->nr_choices; c++) {
		struct plt_crash_versions it = plt_crash_versions_of(
			&u->pending[w->choice[c]], 0, UINT32_MAX);
		uint32_t n;

		while (plt_crash_versions_next(&it, &n)) {
			const struct plt_crash_version *v =
				plt_crash_version_at(u, n);
			struct plt_crash_leaf *leaf =
				plt_crash_leaf_at(u, v->leaf);
			const uint64_t at = (leaf->index * PLT_CRASH_LEAF +
					     v->sector) / w->unit;

			if (!plt_crash_is_choice(u, leaf, n) ||
			    plt_crash_version_at(u, leaf->top[v->sector])
				->stamp == stamp)
				continue;
			if (*nr == UNITS_MAX)
				return TOO_MANY;
			unit[(*nr)++] = at;
			plt_crash_units_stamp_range(u, at * w->unit, w->unit,
						    stamp);
		}
	}
	return 0;
}

/* ---- components of whole writes ---- */

static bool overlap(const struct platter_crash_walk *w, size_t a, size_t b)
{
	const struct plt_crash_units *u = plt_crash_walk_units(w);
	const struct plt_crash_entry *x =
		&w->crash->entry[u->pending[a].entry];
	const struct plt_crash_entry *y =
		&w->crash->entry[u->pending[b].entry];

	return x->start < y->start + y->length &&
	       y->start < x->start + x->length;
}

/* All writes that hang together with the one at `seed`. */
static int add_group(struct platter_crash_walk *w, bool *taken, size_t seed,
		     struct platter_error *err)
{
	struct plt_crash_piece *piece;
	size_t member[64], nr = 1;
	int rc;

	member[0] = seed;
	taken[seed] = true;
	for (size_t i = 0; i < nr; i++) {
		for (size_t k = 0; k < w->nr_choices; k++) {
			if (taken[k] || !overlap(w, w->choice[member[i]],
						 w->choice[k]))
				continue;
			taken[k] = true;
			member[nr++] = k;
		}
	}
	qsort(member, nr, sizeof(*member), by_index);
	piece = plt_calloc(nr, sizeof(*piece), err);
	if (!piece)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++)
		piece[i] = (struct plt_crash_piece){
			.index = w->choice[member[i]],
			.count = plt_crash_walk_sectors(w,
							w->choice[member[i]]),
		};
	rc = add_component(w, piece, nr, nr == 1, err);
	return rc;
}

/* ---- all of them ---- */

/* How many states the components have, up to the limit and one more. */
static uint64_t product(const struct platter_crash_walk *w, uint64_t limit)
{
	uint64_t states = 1;

	for (size_t i = 0; i < w->nr_components; i++) {
		if (states > limit / w->component[i].nr_options)
			return limit + 1;
		states *= w->component[i].nr_options;
	}
	return states;
}

/* TOO_MANY when there are more states than the limit, or that is not known. */
static int find_components(struct platter_crash_walk *w, uint64_t limit,
			   struct platter_error *err)
{
	uint64_t *unit plt_auto_free =
		plt_calloc(UNITS_MAX, sizeof(*unit), err);
	bool taken[64] = { false };
	size_t nr = 0;
	int rc;

	plt_crash_walk_components_free(w);
	if (!unit)
		return -ENOMEM;
	if (w->model < PLATTER_CRASH_MODEL_SECTOR) {
		if (w->nr_choices > 63)
			return TOO_MANY;
		for (size_t i = 0; i < w->nr_choices; i++) {
			rc = taken[i] ? 0 : add_group(w, taken, i, err);
			if (rc)
				return rc;
		}
		return product(w, limit) > limit ? TOO_MANY : 0;
	}
	rc = find_units(w, unit, &nr);
	for (size_t i = 0; i < nr && !rc; i++) {
		rc = add_unit(w, unit[i], err);
		if (!rc && product(w, limit) > limit)
			rc = TOO_MANY;
	}
	return rc;
}

/*
 * Half sectors, bytes nobody wrote and writes that are yet to come are not
 * counted: where they may be there are more states than anybody would make.
 */
static bool is_countable(const struct platter_crash_walk *w)
{
	return w->model <= PLATTER_CRASH_MODEL_SECTOR && !w->early &&
	       !w->pattern;
}

int plt_crash_walk_legal(struct platter_crash_walk *w,
			 struct platter_error *err)
{
	int rc;

	if (w->have_legal)
		return 0;
	rc = plt_crash_walk_choices(w, err);
	if (rc)
		return rc;
	w->legal = UINT64_MAX;
	w->have_legal = true;
	if (!is_countable(w))
		return 0;
	if (w->model == PLATTER_CRASH_MODEL_PREFIX) {
		w->legal = w->nr_choices + 1;
		return 0;
	}
	rc = find_components(w, UINT64_MAX / 4, err);
	if (!rc)
		w->legal = product(w, UINT64_MAX / 4);
	plt_crash_walk_components_free(w);
	return rc < 0 ? rc : 0;
}

/* ---- the strategy ---- */

static int begin_exhaustive(struct platter_crash_walk *w,
			    struct platter_error *err)
{
	const unsigned int bits = plt_crash_walk_effort(w, w->point)->bits;
	int rc;

	rc = plt_crash_walk_choices(w, err);
	if (!rc)
		rc = find_components(w, UINT64_C(1) << bits, err);
	w->cursor.skipped = rc == TOO_MANY;
	return rc;
}

static int next_exhaustive(struct platter_crash_walk *w,
			   struct platter_error *err)
{
	uint64_t i = w->cursor.i++;
	int rc = 0;

	plt_crash_candidate_begin(w, PLATTER_CRASH_DROPPED);
	for (size_t k = 0; k < w->nr_components && !rc; k++) {
		const struct plt_crash_component *c = &w->component[k];

		rc = add_option(w, c, c->option[i % c->nr_options], err);
		i /= c->nr_options;
	}
	if (rc || i)
		return rc ? rc : 1;
	plt_crash_candidate_end(w);
	return 0;
}

const struct plt_crash_maker plt_crash_make_exhaustive = {
	.begin = begin_exhaustive,
	.next = next_exhaustive,
};
