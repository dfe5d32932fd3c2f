/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a state that fails to its cause.
 *
 * First a state that passes is looked for, of the same point or, with all the
 * writes up to the next barrier, of a later one. What the two differ in is
 * minimised: whole entries, then atomic units of those that are left. Then the
 * earliest point is looked for at which it still fails, while what it is
 * compared with still passes. Fewer writes may do there, so that all of it is
 * done again until nothing changes.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/shrink.h"

/* Prefixes, and later points, tried when nothing else passes. */
#define MAX_PREFIXES	32u
#define MAX_POINTS	64u

/* ---- ddmin on the elements of a frame ---- */

struct minimiser {
	struct plt_ddmin ddmin;
	struct plt_shrink_search search;
	struct plt_shrink *s;
	struct plt_shrink_frame *f;
	const struct plt_ddmin_part *parts;
};

static int make_part(struct plt_shrink_search *search, size_t i,
		     struct plt_shrink_pair *pair, struct platter_error *err)
{
	struct minimiser *m = (struct minimiser *)
		((char *)search - offsetof(struct minimiser, search));
	bool *chosen plt_auto_free = plt_calloc(m->f->nr + 1, 1, err);

	if (!chosen)
		return -ENOMEM;
	for (size_t j = 0; j < m->ddmin.nr; j++)
		chosen[m->ddmin.element[j]] = plt_ddmin_in(&m->parts[i], j);
	return plt_shrink_frame_state(m->f, chosen, &pair->fail, err);
}

static int first_part(struct plt_ddmin *d, const struct plt_ddmin_part *parts,
		      size_t nr, size_t *which, struct platter_error *err)
{
	struct minimiser *m = (struct minimiser *)d;

	m->parts = parts;
	m->search.nr = nr;
	return plt_shrink_first(m->s, &m->search, which, err);
}

/* Afterwards the frame has those elements only that are needed. */
static int minimise(struct plt_shrink *s, struct plt_shrink_frame *f,
		    struct platter_error *err)
{
	size_t *element plt_auto_free =
		plt_calloc(f->nr + 1, sizeof(*element), err);
	struct minimiser m = {
		.ddmin = { .element = element, .nr = f->nr,
			   .first = first_part },
		.search.make = make_part,
		.s = s, .f = f,
	};
	int rc;

	if (!element)
		return -ENOMEM;
	for (size_t i = 0; i < f->nr; i++)
		element[i] = i;
	rc = plt_ddmin(&m.ddmin, err);
	return rc ? rc : plt_shrink_frame_keep(f, element, m.ddmin.nr, err);
}

/* Down to atomic units, by way of pieces where there are very many. */
static int minimise_units(struct plt_shrink *s, struct plt_shrink_frame *f,
			  struct platter_error *err)
{
	size_t before;
	int rc;

	do {
		before = f->nr;
		rc = plt_shrink_frame_cut(f, s->opts->unit, err);
		if (rc)
			return rc < 0 ? rc : 0;
		before = PLT_MAX(before, f->nr);
		rc = minimise(s, f, err);
	} while (!rc && f->nr < before);
	return rc;
}

/* ---- a state that passes ---- */

/*
 * The frames that may have one, in the order they are tried: those of enum
 * plt_shrink_other, up to a barrier, then up to points in front of it, and
 * prefixes.
 */
struct chooser {
	struct plt_shrink_search search;
	const struct platter_crash_state *fail;
	uint64_t behind, before;	/* entries up to the barriers */
	size_t points;			/* how many of them in front of it */
};

static int frame_of(const struct chooser *c, size_t i,
		    struct plt_shrink_frame *f, struct platter_error *err)
{
	const uint64_t point = c->fail->point;

	if (i < PLT_SHRINK_PREFIX)
		return plt_shrink_frame_init(f, c->fail,
					     (enum plt_shrink_other)i,
					     UINT64_MAX, err);
	i -= PLT_SHRINK_PREFIX;
	if (i < c->points)
		return plt_shrink_frame_init(f, c->fail,
					     PLT_SHRINK_ALL_OF_EPOCH, point +
					     c->behind - c->behind * (i + 1) /
					     (c->points + 1), err);
	/* From the last on back. */
	i -= c->points;
	return plt_shrink_frame_init(f, c->fail, PLT_SHRINK_PREFIX, point -
				     PLT_MAX(c->before * (i + 1) / MAX_PREFIXES,
					     i + 1), err);
}

static int make_frame(struct plt_shrink_search *search, size_t i,
		      struct plt_shrink_pair *pair, struct platter_error *err)
{
	struct chooser *c = (struct chooser *)search;
	struct plt_shrink_frame f;
	int rc;

	rc = frame_of(c, i, &f, err);
	if (!rc)
		rc = plt_shrink_frame_ends(&f, &pair->fail, &pair->pass, err);
	plt_shrink_frame_free(&f);
	if (rc <= 0)
		return rc;
	/* Nothing differs: it is not passed by what has failed. */
	pair->fail = platter_crash_state_ref(c->fail);
	pair->pass = platter_crash_state_ref(c->fail);
	return 0;
}

/* How far it is to the barriers on both sides. */
static int measure(struct chooser *c, struct platter_error *err)
{
	const uint64_t point = c->fail->point;
	struct plt_shrink_frame f;
	int rc;

	rc = plt_shrink_frame_init(&f, c->fail, PLT_SHRINK_ALL_OF_EPOCH,
				   UINT64_MAX, err);
	if (!rc)
		c->behind = f.point - point;
	plt_shrink_frame_free(&f);
	c->before = point - c->fail->crash->flushed[point];
	c->points = PLT_MIN(c->behind, (uint64_t)MAX_POINTS);
	c->search.nr = PLT_SHRINK_PREFIX + c->points +
		       PLT_MIN(c->before, (uint64_t)MAX_PREFIXES);
	return rc < 0 ? rc : 0;
}

/* 1: none of them passes. */
static int choose(struct plt_shrink *s, const struct platter_crash_state *fail,
		  struct plt_shrink_frame *f, struct platter_error *err)
{
	struct chooser c = { .search.make = make_frame, .fail = fail };
	size_t which;
	int rc;

	rc = measure(&c, err);
	if (!rc)
		rc = plt_shrink_first(s, &c.search, &which, err);
	if (rc || which == c.search.nr)
		return rc ? rc : 1;
	return frame_of(&c, which, f, err);
}

/* ---- an earlier point ---- */

/* With its elements at another point; it is not changed. */
struct mover {
	struct plt_shrink_search search;
	struct plt_shrink_frame f;
};

static int make_moved(struct plt_shrink_search *search, size_t i,
		      struct plt_shrink_pair *pair, struct platter_error *err)
{
	(void)i;
	return plt_shrink_frame_ends(&((struct mover *)search)->f, &pair->fail,
				     &pair->pass, err);
}

static int fails_at(struct plt_shrink *s, const struct plt_shrink_frame *f,
		    uint64_t point, bool *fails, struct platter_error *err)
{
	struct mover m = {
		.search = { .make = make_moved, .nr = 1 }, .f = *f,
	};
	size_t which;
	int rc;

	m.f.point = point;
	rc = plt_shrink_first(s, &m.search, &which, err);
	*fails = !which;
	return rc;
}

/* The earliest point, found by halving, at which all that differs is there. */
static int move(struct plt_shrink *s, struct plt_shrink_frame *f,
		struct platter_error *err)
{
	uint64_t first = f->part[f->nr_parts - 1].entry + 1, last = f->point;
	uint64_t middle = first;
	int rc = 0;

	if (f->fixed)
		return 0;
	while (!rc && first < last) {
		bool fails = false;

		rc = fails_at(s, f, middle, &fails, err);
		if (fails)
			last = middle;
		else
			first = middle + 1;
		middle = first + (last - first) / 2;
	}
	if (!rc)
		f->point = last;
	return rc;
}

/* ---- all of it ---- */

static int reduce(struct plt_shrink *s, struct plt_shrink_frame *f,
		  struct platter_error *err)
{
	const bool units = s->opts->model != PLATTER_CRASH_MODEL_EPOCH;
	uint64_t point;
	size_t parts;
	int rc;

	rc = minimise(s, f, err);
	do {
		point = f->point;
		if (!rc && units)
			rc = minimise_units(s, f, err);
		parts = f->nr_parts;
		if (!rc)
			rc = move(s, f, err);
		if (!rc && f->point != point)
			rc = minimise(s, f, err);
	} while (!rc && (f->point != point || f->nr_parts != parts));
	return rc;
}

static int with_zeros(const struct platter_crash_state *state,
		      struct platter_crash_state **out,
		      struct platter_error *err)
{
	return plt_crash_state_new(out, state->crash, state->point,
				   PLATTER_CRASH_DISCARD_ZERO, state->rest,
				   state->item, state->nr, err);
}

/* If it fails with zeros where discards were, what they leave is no cause. */
static int try_zeros(struct plt_shrink *s, struct platter_crash_state **fail,
		     struct platter_error *err)
{
	const struct platter_crash_result *result;
	struct platter_crash_state *zeros;
	int rc;

	if ((*fail)->discard == PLATTER_CRASH_DISCARD_ZERO)
		return 0;
	rc = with_zeros(*fail, &zeros, err);
	if (rc)
		return rc;
	rc = plt_shrink_try(s, zeros, &result, err);
	if (!rc && result->verdict == PLATTER_CRASH_FAIL) {
		platter_crash_state_unref(*fail);
		*fail = zeros;
	} else {
		platter_crash_state_unref(zeros);
	}
	return rc;
}

/*
 * What durable discards leave may be all there is to it: then the state that
 * passes is the same with zeros there. 1: it is not.
 */
static int blame_discards(struct plt_shrink *s,
			  const struct platter_crash_state *fail,
			  struct platter_crash_cause *cause,
			  struct platter_error *err)
{
	const struct platter_crash_result *result;
	int rc;

	if (fail->discard == PLATTER_CRASH_DISCARD_ZERO)
		return 1;
	rc = with_zeros(fail, &cause->passing, err);
	if (!rc)
		rc = plt_shrink_try(s, cause->passing, &result, err);
	if (rc)
		return rc;
	if (result->verdict != PLATTER_CRASH_PASS)
		return 1;
	cause->failing = platter_crash_state_ref(fail);
	return plt_shrink_take_result(s, cause, err);
}

static int shrink(struct plt_shrink *s, const struct platter_crash_state *state,
		  struct platter_crash_cause *cause, struct platter_error *err)
{
	struct platter_crash_state *fail = platter_crash_state_ref(state);
	struct plt_shrink_frame f = { .crash = NULL };
	const struct platter_crash_result *result;
	int rc;

	rc = plt_shrink_try(s, fail, &result, err);
	if (!rc && result->verdict != PLATTER_CRASH_FAIL)
		rc = plt_err_set(err, -EINVAL,
				 "state %s does not fail: %s; nothing to shrink",
				 platter_crash_state_name(state),
				 platter_crash_verdict_name(result->verdict));
	if (!rc)
		rc = try_zeros(s, &fail, err);
	if (!rc)
		rc = choose(s, fail, &f, err);
	if (!rc) {
		rc = reduce(s, &f, err);
		if (!rc)
			rc = plt_shrink_conclude(s, &f, cause, err);
	} else if (rc > 0) {
		rc = blame_discards(s, fail, cause, err);
	}
	if (rc > 0)
		rc = plt_err_set(err, -ENOENT,
				 "no state near %s passes, with whatever of its "
				 "pending writes: see platter crash bisect for "
				 "the first point that fails",
				 platter_crash_state_name(state));
	plt_shrink_frame_free(&f);
	platter_crash_state_unref(fail);
	return rc;
}

int platter_crash_shrink(const struct platter_crash_state *state,
			 const struct platter_crash_shrink_options *opts,
			 struct platter_crash_cause *cause,
			 struct platter_error *err)
{
	struct plt_shrink s = { .crash = NULL };
	int rc;

	*cause = (struct platter_crash_cause){ .mark = UINT64_MAX };
	if (opts->model == PLATTER_CRASH_MODEL_PREFIX)
		return plt_err_set(err, -EINVAL,
				   "model prefix leaves nothing to shrink: see "
				   "platter crash bisect for the first point "
				   "that fails");
	rc = plt_shrink_init(&s, state, opts, err);
	if (!rc)
		rc = shrink(&s, state, cause, err);
	cause->tried = s.told;
	plt_shrink_free(&s);
	if (rc)
		platter_crash_cause_clear(cause);
	else
		plt_shrink_say(cause);
	return rc;
}

void platter_crash_cause_clear(struct platter_crash_cause *cause)
{
	platter_crash_state_unref(cause->failing);
	platter_crash_state_unref(cause->passing);
	platter_crash_result_clear(&cause->result);
	free(cause->pieces);
	free(cause->present);
	*cause = (struct platter_crash_cause){ .mark = UINT64_MAX };
}
