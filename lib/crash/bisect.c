/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The first prefix that fails, by halving.
 *
 * Between the last point known to pass and the first known to fail lies the
 * one looked for. What is skipped says nothing about either side: points
 * farther and farther away are tried then, in turn on both sides, so that a
 * long stretch that cannot be checked costs little. When all that is left was
 * skipped, so is the answer: it is one of these.
 *
 * A flush that carries no data changes nothing on the disk, so the points in
 * front of it and behind it are one, and the first of them stands for all.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/crash.h"

struct halving {
	struct platter_crash *crash;
	const struct platter_crash_bisect_options *opts;
	struct platter_crash_first *first;
	uint64_t *skipped;		/* in no order */
	size_t nr, room;
};

static uint64_t same_as(const struct platter_crash *c, uint64_t point)
{
	while (point && !plt_crash_writes(&c->entry[point - 1]) &&
	       !(c->entry[point - 1].flags & PLATTER_LOG_MARK))
		point--;
	return point;
}

static uint64_t rounds_left(const struct halving *h)
{
	const uint64_t n = h->first->bad - h->first->good;
	uint64_t rounds = 0;

	while ((n >> rounds) > 1)
		rounds++;
	return rounds;
}

static int check(struct halving *h, const struct platter_crash_state *state,
		 struct platter_crash_result *result, struct platter_error *err)
{
	const struct platter_crash_bisect_options *o = h->opts;
	int rc = 0;

	if (!o->known || !o->known(o->arg, state->point, &result->verdict)) {
		rc = platter_crash_harness_check(o->harness, 0, state, NULL,
						 result, err);
		h->first->tried += !rc;
	}
	if (!rc && o->tried)
		rc = o->tried(o->arg, state, result, rounds_left(h), err);
	if (rc > 0)
		rc = plt_err_set(err, -ECANCELED,
				 "stopped between the points %" PRIu64
				 " and %" PRIu64, h->first->good,
				 h->first->bad);
	return rc;
}

static int verdict_of(struct halving *h, uint64_t point,
		      enum platter_crash_verdict *verdict,
		      struct platter_error *err)
{
	struct platter_crash_result result = { .verdict = PLATTER_CRASH_PASS };
	struct platter_crash_state *state;
	int rc;

	rc = plt_crash_state_new(&state, h->crash, same_as(h->crash, point),
				 PLATTER_CRASH_DISCARD_ZERO,
				 PLATTER_CRASH_KEPT, NULL, 0, err);
	if (rc)
		return rc;
	rc = check(h, state, &result, err);
	*verdict = result.verdict;
	platter_crash_result_clear(&result);
	platter_crash_state_unref(state);
	return rc;
}

/* The ends are what they are said to be, or there is nothing to look for. */
static int check_end(struct halving *h, uint64_t point,
		     enum platter_crash_verdict wanted,
		     struct platter_error *err)
{
	enum platter_crash_verdict verdict;
	int rc;

	rc = verdict_of(h, point, &verdict, err);
	if (rc || verdict == wanted)
		return rc;
	return plt_err_set(err, -EINVAL, "the state at point %" PRIu64
			   " should %s, and the verdict is %s: choose another",
			   point, platter_crash_verdict_name(wanted),
			   platter_crash_verdict_name(verdict));
}

static bool is_skipped(const struct halving *h, uint64_t point)
{
	for (size_t i = 0; i < h->nr; i++)
		if (h->skipped[i] == point)
			return true;
	return false;
}

static bool is_candidate(const struct halving *h, uint64_t point)
{
	return point > h->first->good && point < h->first->bad &&
	       !is_skipped(h, same_as(h->crash, point));
}

/* False: all there are between the ends were skipped. */
static bool choose(const struct halving *h, uint64_t *point)
{
	const uint64_t good = h->first->good, bad = h->first->bad;
	const uint64_t middle = good + (bad - good) / 2;

	for (uint64_t d = 0; d <= bad - good; d = d ? 2 * d : 1) {
		*point = middle - PLT_MIN(d, middle);
		if (is_candidate(h, *point))
			return true;
		*point = middle + d;
		if (is_candidate(h, *point))
			return true;
	}
	for (*point = good + 1; *point < bad; ++*point)
		if (is_candidate(h, *point))
			return true;
	return false;
}

static int skip(struct halving *h, uint64_t point, struct platter_error *err)
{
	if (plt_grow(&h->skipped, &h->room, h->nr + 1, sizeof(point), err))
		return -ENOMEM;
	h->skipped[h->nr++] = same_as(h->crash, point);
	return 0;
}

static int halve(struct halving *h, struct platter_error *err)
{
	enum platter_crash_verdict verdict;
	uint64_t point;
	int rc = 0;

	while (!rc && choose(h, &point)) {
		if (same_as(h->crash, point) <= h->first->good) {
			h->first->good = point;
			continue;
		}
		rc = verdict_of(h, point, &verdict, err);
		if (rc)
			break;
		if (verdict == PLATTER_CRASH_PASS)
			h->first->good = point;
		else if (verdict == PLATTER_CRASH_FAIL)
			h->first->bad = same_as(h->crash, point);
		else
			rc = skip(h, point, err);
	}
	return rc;
}

int platter_crash_bisect(struct platter_crash *crash,
			 const struct platter_crash_bisect_options *opts,
			 struct platter_crash_first *first,
			 struct platter_error *err)
{
	struct halving h = { .crash = crash, .opts = opts, .first = first };
	int rc;

	*first = (struct platter_crash_first){
		.good = opts->good, .bad = opts->bad,
	};
	if (opts->bad > crash->nr || opts->good >= opts->bad)
		return plt_err_set(err, -EINVAL, "point %" PRIu64
				   " is not behind point %" PRIu64
				   " in a log of %" PRIu64 " entries",
				   opts->bad, opts->good, crash->nr);
	rc = check_end(&h, opts->bad, PLATTER_CRASH_FAIL, err);
	if (!rc)
		rc = check_end(&h, opts->good, PLATTER_CRASH_PASS, err);
	/* Where they are one they would have the same verdict. */
	first->bad = PLT_MAX(same_as(crash, opts->bad), opts->good + 1);
	if (!rc)
		rc = halve(&h, err);
	free(h.skipped);
	return rc;
}
