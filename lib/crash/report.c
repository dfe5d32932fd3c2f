/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Results in memory, in the order of the walk.
 *
 * Records are kept in a small form and given out in the public one, of which
 * there is one at a time: with its room for a reason that is four times the
 * size.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/report.h"

/* ---- the run ---- */

static int keep(struct platter_crash_report *r, const char **text,
		struct platter_error *err)
{
	uint32_t id;
	int rc;

	if (!*text)
		return 0;
	rc = plt_crash_strings_share(&r->strings, *text, strlen(*text), &id,
				     err);
	if (!rc)
		*text = plt_crash_report_text(r, id);
	return rc;
}

static int keep_regions(struct platter_crash_report *r,
			struct platter_error *err)
{
	const char *const *from = r->run.plan.regions;
	const char **list;
	size_t nr = 0;
	int rc = 0;

	r->run.plan.regions = NULL;
	while (from && from[nr])
		nr++;
	if (!nr)
		return 0;
	list = plt_calloc(nr + 1, sizeof(*list), err);
	if (!list)
		return -ENOMEM;
	r->run.plan.regions = (const char *const *)list;
	for (size_t i = 0; !rc && i < nr; i++) {
		list[i] = from[i];
		rc = keep(r, &list[i], err);
	}
	return rc;
}

static int keep_run(struct platter_crash_report *r, struct platter_error *err)
{
	const char **const texts[] = {
		&r->run.log, &r->run.base, &r->run.checker, &r->run.how,
		&r->run.plan.strategies,
	};
	int rc;

	rc = keep_regions(r, err);
	for (size_t i = 0; !rc && i < PLT_ARRAY_SIZE(texts); i++)
		rc = keep(r, texts[i], err);
	return rc;
}

int platter_crash_report_new(struct platter_crash_report **out,
			     const struct platter_crash_run *run,
			     struct platter_error *err)
{
	struct platter_crash_report *r = plt_calloc(1, sizeof(*r), err);
	uint32_t none;
	int rc;

	if (!r)
		return -ENOMEM;
	r->run = *run;
	r->view = plt_calloc(1, sizeof(*r->view), err);
	rc = r->view ? plt_crash_strings_share(&r->strings, NULL, 0, &none,
					       err) : -ENOMEM;
	if (rc)
		r->run.plan.regions = NULL;
	else
		rc = keep_run(r, err);
	if (rc) {
		platter_crash_report_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void platter_crash_report_free(struct platter_crash_report *report)
{
	if (!report)
		return;
	free((void *)report->run.plan.regions);
	plt_crash_strings_free(&report->strings);
	free(report->kept);
	free(report->view);
	free(report);
}

/* ---- records ---- */

/* The walk has one state of an index; those of its recovery follow it. */
static int check_order(const struct platter_crash_report *r,
		       const struct platter_crash_record *record,
		       struct platter_error *err)
{
	const struct plt_crash_kept *last = r->nr ? &r->kept[r->nr - 1] : NULL;

	if (record->depth > 1) {
		if (last && record->index == last->index)
			return 0;
		return plt_err_set(err, -EINVAL, "a second crash of state %"
				   PRIu64 " does not come behind it",
				   record->index);
	}
	if (!last || record->index > last->index)
		return 0;
	return plt_err_set(err, -EINVAL, "state %" PRIu64 " comes after state "
			   "%" PRIu64, record->index, last->index);
}

static int share(struct platter_crash_report *r, const char *text,
		 uint32_t *id, struct platter_error *err)
{
	return plt_crash_strings_share(&r->strings, text,
				       text ? strlen(text) : 0, id, err);
}

static int share_all(struct platter_crash_report *r, struct plt_crash_kept *k,
		     const struct platter_crash_record *record,
		     struct platter_error *err)
{
	const struct platter_crash_result *result = &record->result;
	int rc;

	rc = share(r, record->strategy, &k->strategy, err);
	if (!rc)
		rc = share(r, record->mark, &k->mark, err);
	if (!rc)
		rc = share(r, record->same_as, &k->same_as, err);
	if (!rc)
		rc = share(r, result->reason, &k->reason, err);
	if (!rc && result->verdict != PLATTER_CRASH_PASS)
		rc = plt_crash_strings_share(&r->strings, result->output,
					     result->output_len, &k->output,
					     err);
	if (rc)
		return rc;
	k->state = plt_crash_strings_copy(&r->strings, record->state,
					  strlen(record->state), err);
	return k->state ? 0 : -ENOMEM;
}

int platter_crash_report_add(struct platter_crash_report *report,
			     const struct platter_crash_record *record,
			     struct platter_error *err)
{
	const struct platter_crash_result *result = &record->result;
	struct plt_crash_kept *k;
	int rc;

	rc = plt_grow(&report->kept, &report->room, report->nr + 1,
		      sizeof(*report->kept), err);
	if (!rc)
		rc = check_order(report, record, err);
	if (rc)
		return rc;
	k = &report->kept[report->nr];
	*k = (struct plt_crash_kept){
		.index = record->index,
		.point = record->point,
		.mark_entry = record->mark_entry,
		.time_ns = result->time_ns,
		.status = result->status,
		.verdict = (uint8_t)result->verdict,
		.signal = (uint8_t)result->signal,
		.depth = (uint8_t)record->depth,
		.timed_out = result->timed_out,
	};
	memcpy(k->hash, record->hash, sizeof(k->hash));
	rc = share_all(report, k, record, err);
	if (rc)
		return rc;
	report->nr++;
	report->verdicts[k->verdict]++;
	report->nested += k->depth > 1;
	return 0;
}

int platter_crash_report_end(struct platter_crash_report *report,
			     const struct platter_crash_summary *summary,
			     struct platter_error *err)
{
	struct platter_crash_census *census = &report->summary.census;
	int rc = 0;

	report->summary = *summary;
	if (census->nr > PLATTER_CRASH_STRATEGIES)
		return plt_err_set(err, -EINVAL, "%zu strategies are over the "
				   "limit of %u", census->nr,
				   PLATTER_CRASH_STRATEGIES);
	for (size_t i = 0; !rc && i < census->nr; i++)
		rc = keep(report, &census->strategies[i].strategy, err);
	report->ended = !rc;
	return rc;
}

/* ---- looking ---- */

size_t platter_crash_report_count(const struct platter_crash_report *report)
{
	return report->nr;
}

const struct platter_crash_record *
platter_crash_report_get(const struct platter_crash_report *report, size_t i)
{
	const struct plt_crash_kept *k = &report->kept[i];
	struct platter_crash_record *v = report->view;
	const struct plt_crash_string *output =
		&report->strings.string[k->output];
	const char *reason = plt_crash_report_text(report, k->reason);

	v->index = k->index;
	v->state = k->state;
	v->point = k->point;
	v->strategy = plt_crash_report_text(report, k->strategy);
	v->mark = plt_crash_report_text(report, k->mark);
	v->mark_entry = k->mark_entry;
	memcpy(v->hash, k->hash, sizeof(v->hash));
	v->result.verdict = (enum platter_crash_verdict)k->verdict;
	strcpy(v->result.reason, reason);
	v->result.status = k->status;
	v->result.signal = k->signal;
	v->result.timed_out = k->timed_out;
	v->result.time_ns = k->time_ns;
	/* The report's own, whatever the type says. */
	v->result.output = (char *)(uintptr_t)output->text;
	v->result.output_len = output->len;
	v->same_as = plt_crash_report_text(report, k->same_as);
	v->depth = k->depth;
	return v;
}

const struct platter_crash_run *
platter_crash_report_run(const struct platter_crash_report *report)
{
	return &report->run;
}

const struct platter_crash_summary *
platter_crash_report_summary(const struct platter_crash_report *report)
{
	return report->ended ? &report->summary : NULL;
}
