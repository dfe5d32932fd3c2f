/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter crash explore`: results as they come, into a file of JSON lines and
 * the report, and those of a run that is gone on with.
 *
 * A file that is resumed is first written anew with what of it counts, and put
 * in place of the old one: so at any moment it has all that was known. Of a
 * run with second crashes the last state does not count, as nobody knows if it
 * had all of its own.
 */
#include <string.h>
#include <unistd.h>

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
	return 0;
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

static int write_known(struct explore *x, FILE *f, struct platter_error *err)
{
	int rc = platter_crash_jsonl_run(f, &x->run, err);

	for (size_t i = 0; !rc && i < x->nr_known; i++)
		rc = platter_crash_jsonl_record(f, known_at(x, i), err);
	if (!rc && fflush(f))
		rc = platter_error_errno(err, -errno, "%s", x->jsonl_name);
	return rc;
}

static int begin_file(struct explore *x, struct platter_error *err)
{
	bool there = !access(x->jsonl_name, F_OK);
	char *name;
	int rc;

	/* What is no regular file, such as a pipe, cannot be replaced. */
	if (asprintf(&name, "%s%s", x->jsonl_name,
		     x->before && there ? ".new" : "") < 0)
		return platter_error_errno(err, -ENOMEM, "%s", x->jsonl_name);
	x->jsonl = fopen(name, "we");
	rc = x->jsonl ? write_known(x, x->jsonl, err) :
			platter_error_errno(err, -errno, "%s", name);
	if (!rc && strcmp(name, x->jsonl_name) && rename(name, x->jsonl_name))
		rc = platter_error_errno(err, -errno, "%s", x->jsonl_name);
	if (rc && x->jsonl && strcmp(name, x->jsonl_name))
		unlink(name);
	free(name);
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
	if (!rc && x->jsonl_name)
		rc = begin_file(x, err);
	return rc;
}

int explore_result(void *arg, const struct platter_crash_record *record,
		   struct platter_error *err)
{
	struct explore *x = arg;
	int rc = platter_crash_report_add(x->report, record, err);

	x->point = record->point;
	/* Those known are in the file already, and come first. */
	if (rc || x->given++ < x->nr_known || !x->jsonl)
		return rc;
	rc = platter_crash_jsonl_record(x->jsonl, record, err);
	if (!rc && fflush(x->jsonl))
		rc = platter_error_errno(err, -errno, "%s", x->jsonl_name);
	return rc;
}

int explore_results_end(struct explore *x, struct platter_error *err)
{
	int rc = platter_crash_report_end(x->report, &x->sum, err);

	if (rc || !x->jsonl)
		return rc;
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
