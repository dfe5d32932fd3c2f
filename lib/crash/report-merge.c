/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reports of all shards of a run, joined into that of one run.
 *
 * Each shard walks all states and checks those that are its own, so what the
 * census says is the same in all that came to the end of the walk, and the
 * results need only be put into order. Where the walks were not the same, as
 * of two versions, a state is in two shards, and another one in none.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/report.h"

#define LISTED_MAX	200		/* bytes of the numbers of shards */

/* ---- is it all of one run? ---- */

/* Which of `given` are the ones asked for: "2, 5". */
static void list_shards(char text[LISTED_MAX], const uint32_t *given,
			uint32_t nr, bool missing)
{
	size_t used = 0;

	*text = '\0';
	for (uint32_t i = 0; i < nr; i++) {
		if (missing ? given[i] : given[i] < 2)
			continue;
		if (used > LISTED_MAX - 20) {
			strcpy(text + used, ", ...");
			return;
		}
		used += (size_t)snprintf(text + used, LISTED_MAX - used,
					 "%s%" PRIu32, used ? ", " : "", i);
	}
}

static int check_all_there(struct platter_crash_report *const *shards,
			   size_t count, struct platter_error *err)
{
	const uint32_t nr = shards[0]->run.plan.shards;
	uint32_t *given plt_auto_free = NULL;
	char missing[LISTED_MAX], doubled[LISTED_MAX];

	/* Not of the number a file states: of files there are not so many. */
	if (nr > 2 * count + 1000)
		return plt_err_set(err, -EINVAL, "the run has %" PRIu32
				   " shards, of which %zu are given", nr,
				   count);
	given = plt_calloc(nr, sizeof(*given), err);
	if (!given)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		given[shards[i]->run.plan.shard]++;
	list_shards(missing, given, nr, true);
	list_shards(doubled, given, nr, false);
	if (!*missing && !*doubled)
		return 0;
	return plt_err_set(err, -EINVAL, "the run has %" PRIu32 " shards; "
			   "%s%s%s%s%s",
			   nr, *missing ? "missing: " : "", missing,
			   *missing && *doubled ? "; " : "",
			   *doubled ? "given more than once: " : "", doubled);
}

static int check_shard(const struct platter_crash_run *first,
		       const struct platter_crash_run *run, size_t number,
		       struct platter_error *err)
{
	int rc;

	if (run->plan.shards != first->plan.shards)
		rc = plt_err_set(err, -EINVAL, "there are %" PRIu32 " shards "
				 "in one, %" PRIu32 " in the other",
				 first->plan.shards, run->plan.shards);
	else
		rc = platter_crash_run_same(first, run, err);
	return plt_err_prefix(err, rc, "the first report and number %zu are "
			      "of different runs", number);
}

/* ---- what they counted ---- */

static bool same_census(const struct platter_crash_census *a,
			const struct platter_crash_census *b)
{
	bool same = a->points == b->points && a->made == b->made &&
		    a->unique == b->unique && a->no_ops == b->no_ops &&
		    a->hidden == b->hidden && a->nr == b->nr &&
		    !strcmp(a->text, b->text);

	for (size_t i = 0; same && i < a->nr; i++) {
		const struct platter_crash_coverage *c = &a->strategies[i];
		const struct platter_crash_coverage *d = &b->strategies[i];

		same = c->made == d->made && c->possible == d->possible &&
		       c->points == d->points && c->complete == d->complete &&
		       !strcmp(c->strategy, d->strategy);
	}
	return same;
}

/* One that ended early has not seen all states: the one that saw most. */
static int join_census(const struct platter_crash_report *first,
		       const struct platter_crash_report *r,
		       struct platter_crash_summary *sum,
		       struct platter_error *err)
{
	const struct platter_crash_summary *s = &r->summary;

	if (s->end == PLATTER_CRASH_END_ALL &&
	    sum->end == PLATTER_CRASH_END_ALL &&
	    !same_census(&s->census, &sum->census))
		return plt_err_set(err, -EINVAL, "shards %" PRIu32 " and %"
				   PRIu32 " did not walk the same states: %"
				   PRIu64 " unique in one, %" PRIu64 " in the "
				   "other; were they run by one version?",
				   first->run.plan.shard, r->run.plan.shard,
				   sum->census.unique, s->census.unique);
	if (s->census.made > sum->census.made)
		sum->census = s->census;
	if (s->end != PLATTER_CRASH_END_ALL)
		sum->end = s->end;
	return 0;
}

static void join_counts(struct platter_crash_summary *sum,
			const struct platter_crash_summary *s)
{
	sum->done += s->done;
	for (unsigned int v = 0; v <= PLATTER_CRASH_ERROR; v++)
		sum->verdicts[v] += s->verdicts[v];
	sum->not_run += s->not_run;
	sum->rechecked += s->rechecked;
	sum->recheck_failed += s->recheck_failed;
	sum->nested += s->nested;
	/* They ran side by side, for all we know. */
	sum->time_ns = PLT_MAX(sum->time_ns, s->time_ns);
	sum->check_ns += s->check_ns;
}

/* 1: one of them has none, so neither has the whole. */
static int join_summaries(struct platter_crash_report *const *shards,
			  size_t count, struct platter_crash_summary *sum,
			  struct platter_error *err)
{
	*sum = shards[0]->summary;
	for (size_t i = 0; i < count; i++) {
		int rc = 0;

		if (!shards[i]->ended)
			return 1;
		if (i)
			rc = join_census(shards[0], shards[i], sum, err);
		if (rc)
			return rc;
		if (i)
			join_counts(sum, &shards[i]->summary);
	}
	return 0;
}

/* ---- what they found ---- */

/* A result in its shard. */
struct place {
	const struct plt_crash_kept *kept;
	size_t shard;
};

/* Those of one index are all of one shard, in their order there. */
static int by_index(const void *a_, const void *b_)
{
	const struct plt_crash_kept *a = ((const struct place *)a_)->kept;
	const struct plt_crash_kept *b = ((const struct place *)b_)->kept;

	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	return (a > b) - (a < b);
}

/* By what makes a state one of its own; those of recoveries come last. */
static int by_content(const void *a_, const void *b_)
{
	const struct plt_crash_kept *a = ((const struct place *)a_)->kept;
	const struct plt_crash_kept *b = ((const struct place *)b_)->kept;
	int order = (a->depth > 1) - (b->depth > 1);

	if (!order)
		order = memcmp(a->hash, b->hash, sizeof(a->hash));
	if (order || a->mark_entry == b->mark_entry)
		return order;
	return a->mark_entry < b->mark_entry ? -1 : 1;
}

static int check_same_walk(struct place *place, size_t nr,
			   struct platter_error *err)
{
	qsort(place, nr, sizeof(*place), by_content);
	for (size_t n = 1; n < nr; n++) {
		const struct place *a = &place[n - 1], *b = &place[n];

		if (b->kept->depth > 1)
			return 0;
		if (a->shard == b->shard || by_content(a, b))
			continue;
		if (a->kept->index > b->kept->index)
			a = b, b = &place[n - 1];
		return plt_err_set(err, -EINVAL, "reports %zu and %zu are not "
				   "of the same states: number %" PRIu64
				   " in one, %.60s, is number %" PRIu64
				   " in the other, %.60s; were they run by one "
				   "version?", a->shard + 1, b->shard + 1,
				   a->kept->index, a->kept->state,
				   b->kept->index, b->kept->state);
	}
	return 0;
}

static int join_results(struct platter_crash_report *out,
			struct platter_crash_report *const *shards,
			size_t count, struct platter_error *err)
{
	struct place *place plt_auto_free = NULL;
	size_t nr = 0, at = 0;
	int rc;

	for (size_t s = 0; s < count; s++)
		nr += shards[s]->nr;
	place = plt_calloc(nr + 1, sizeof(*place), err);
	if (!place)
		return -ENOMEM;
	for (size_t s = 0; s < count; s++) {
		for (size_t i = 0; i < shards[s]->nr; i++)
			place[at++] = (struct place){ &shards[s]->kept[i], s };
	}
	rc = check_same_walk(place, nr, err);
	qsort(place, nr, sizeof(*place), by_index);
	for (size_t n = 0; !rc && n < nr; n++) {
		const struct platter_crash_report *r = shards[place[n].shard];

		rc = platter_crash_report_add(out, platter_crash_report_get(r,
				(size_t)(place[n].kept - r->kept)), err);
	}
	return rc;
}

static int join(struct platter_crash_report *out,
		struct platter_crash_report *const *shards, size_t count,
		struct platter_error *err)
{
	struct platter_crash_summary sum;
	int rc, ended;

	ended = join_summaries(shards, count, &sum, err);
	if (ended < 0)
		return ended;
	rc = join_results(out, shards, count, err);
	if (!rc && !ended)
		rc = platter_crash_report_end(out, &sum, err);
	return rc;
}

int platter_crash_report_merge(struct platter_crash_report **out,
			       struct platter_crash_report *const *shards,
			       size_t count, struct platter_error *err)
{
	struct platter_crash_run run = { 0 };
	int rc = 0;

	if (!count)
		return plt_err_set(err, -EINVAL, "there is no report to "
				   "merge");
	for (size_t i = 1; !rc && i < count; i++)
		rc = check_shard(&shards[0]->run, &shards[i]->run, i + 1,
				 err);
	if (!rc)
		rc = check_all_there(shards, count, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < count; i++) {
		if (!shards[i]->run.plan.shard)
			run = shards[i]->run;
	}
	run.plan.shards = 1;
	rc = platter_crash_report_new(out, &run, err);
	if (rc)
		return rc;
	rc = join(*out, shards, count, err);
	if (rc) {
		platter_crash_report_free(*out);
		*out = NULL;
	}
	return rc;
}
