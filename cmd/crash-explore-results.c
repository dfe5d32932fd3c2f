/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter crash explore`: results as they come, into a file of JSON lines and
 * the report, and those of a run that is gone on with.
 *
 * A file that is resumed stays as it is until all results in it have turned out
 * to be those of this run, and there is a new one: then it is written anew, put
 * in place of the old one, and added to. So at any moment it has all that was
 * known. Of a run with second crashes the last state does not count, as nobody
 * knows if it had all of its own.
 */
#include <string.h>

#include "crash-explore.h"

/* ---- an earlier run ---- */

static const struct platter_crash_record *known_at(const struct explore *x,
						   size_t i)
{
	return platter_crash_report_get(x->before, i);
}

static bool is_whole(const struct platter_crash_report *report)
{
	const struct platter_crash_summary *s =
		platter_crash_report_summary(report);

	return s && (s->end == PLATTER_CRASH_END_ALL ||
		     s->end == PLATTER_CRASH_END_STATES ||
		     s->end == PLATTER_CRASH_END_TIME);
}

/* A run has the states of its shard in a row; one joined of shards may not. */
static int check_row(const struct explore *x, struct platter_error *err)
{
	uint64_t next = x->run.plan.shard;

	for (size_t i = 0; i < x->nr_known; i++) {
		const struct platter_crash_record *r = known_at(x, i);

		if (r->depth > 1)
			continue;
		if (r->index != next)
			return platter_error_set(err, -EINVAL, "%s: state %"
						 PRIu64 " is missing, and "
						 "there are later ones: go on "
						 "with the report of its "
						 "shard, or start again "
						 "without --resume",
						 x->o->resume, next);
		next += x->run.plan.shards;
	}
	return 0;
}

static int read_before(struct explore *x, struct platter_error *err)
{
	const struct platter_crash_run *run;
	int rc;

	rc = platter_crash_report_read(&x->before, x->o->resume, err);
	if (rc)
		return rc;
	run = platter_crash_report_run(x->before);
	rc = platter_crash_run_same(run, &x->run, err);
	if (!rc && (run->plan.shard != x->run.plan.shard ||
		    run->plan.shards != x->run.plan.shards))
		rc = platter_error_set(err, -EINVAL, "it is of shard %" PRIu32
				       "/%" PRIu32 ", not of %" PRIu32 "/%"
				       PRIu32, run->plan.shard,
				       run->plan.shards, x->run.plan.shard,
				       x->run.plan.shards);
	if (rc)
		return platter_error_prefix(err, rc, "%s: another run",
					    x->o->resume);
	x->nr_known = platter_crash_report_count(x->before);
	if (x->run.depth > 1 && x->nr_known && !is_whole(x->before)) {
		uint64_t last = known_at(x, x->nr_known - 1)->index;

		while (x->nr_known && known_at(x, x->nr_known - 1)->index ==
				      last)
			x->nr_known--;
	}
	return check_row(x, err);
}

/* They are in the order of the walk. */
int explore_known(void *arg, uint64_t index, unsigned int nested,
		  struct platter_crash_record *record)
{
	const struct explore *x = arg;
	size_t low = 0, high = x->nr_known;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (known_at(x, mid)->index < index)
			low = mid + 1;
		else
			high = mid;
	}
	if (low + nested >= x->nr_known ||
	    known_at(x, low + nested)->index != index)
		return 0;
	*record = *known_at(x, low + nested);
	return 1;
}

/* ---- the file ---- */

static int begin_file(struct explore *x, struct platter_error *err)
{
	int rc = 0;

	if (x->before)
		rc = platter_crash_report_save(x->report, PLATTER_CRASH_JSONL,
					       x->jsonl_name, NULL, err);
	if (rc)
		return rc;
	x->jsonl = fopen(x->jsonl_name, x->before ? "ae" : "we");
	if (!x->jsonl)
		return platter_error_errno(err, -errno, "%s", x->jsonl_name);
	if (!x->before)
		rc = platter_crash_jsonl_run(x->jsonl, &x->run, err);
	if (!rc && fflush(x->jsonl))
		rc = platter_error_errno(err, -errno, "%s", x->jsonl_name);
	return rc;
}

static int put_result(struct explore *x,
		      const struct platter_crash_record *record,
		      struct platter_error *err)
{
	int rc;

	/* It is in the report, of which the file is made. */
	if (!x->jsonl)
		return begin_file(x, err);
	rc = platter_crash_jsonl_record(x->jsonl, record, err);
	if (!rc && fflush(x->jsonl))
		rc = platter_error_errno(err, -errno, "%s", x->jsonl_name);
	return rc;
}

int explore_results_begin(struct explore *x, struct platter_error *err)
{
	int rc = 0;

	if (x->o->resume)
		rc = read_before(x, err);
	if (!rc)
		rc = platter_crash_report_new(&x->report, &x->run, err);
	x->jsonl_name = x->o->reports.jsonl ? x->o->reports.jsonl :
					      x->o->resume;
	if (!rc && x->jsonl_name && !x->before)
		rc = begin_file(x, err);
	return rc;
}

int explore_result(void *arg, const struct platter_crash_record *record,
		   struct platter_error *err)
{
	struct explore *x = arg;
	int rc = platter_crash_report_add(x->report, record, err);

	x->point = record->point;
	/* Those known come first. */
	if (rc || x->given++ < x->nr_known || !x->jsonl_name)
		return rc;
	return put_result(x, record, err);
}

/* This run has stopped before the end of those known: they are kept. */
static int end_early(struct explore *x, struct platter_error *err)
{
	if (x->sum.end == PLATTER_CRASH_END_ALL)
		return platter_error_set(err, -ESTALE, "state %" PRIu64
					 ", %.100s, is there and not now",
					 known_at(x, x->given)->index,
					 known_at(x, x->given)->state);
	if (!strcmp(x->jsonl_name, x->o->resume))
		return 0;
	return platter_crash_report_save(x->report, PLATTER_CRASH_JSONL,
					 x->jsonl_name, NULL, err);
}

int explore_results_end(struct explore *x, struct platter_error *err)
{
	int rc = platter_crash_report_end(x->report, &x->sum, err);

	if (rc || !x->jsonl_name)
		return rc;
	if (x->given < x->nr_known)
		return end_early(x, err);
	/* All were known: with its end it is whole. */
	if (!x->jsonl)
		return platter_crash_report_save(x->report,
						 PLATTER_CRASH_JSONL,
						 x->jsonl_name, NULL, err);
	rc = platter_crash_jsonl_end(x->jsonl, &x->sum, err);
	if (fclose(x->jsonl) && !rc)
		rc = platter_error_errno(err, -errno, "%s", x->jsonl_name);
	x->jsonl = NULL;
	return rc;
}

void explore_results_free(struct explore *x)
{
	if (x->jsonl)
		fclose(x->jsonl);
	platter_crash_report_free(x->report);
	platter_crash_report_free(x->before);
}
