/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A report as one HTML page, for people: it needs no script and no other
 * file, follows the reader's choice of light or dark, and begins with the
 * verdict.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "crash/report-html.h"

static const char *last_part(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash && slash[1] ? slash + 1 : name;
}

/* ---- the verdict ---- */

static void put_verdict(FILE *f, const struct platter_crash_report *r)
{
	const uint64_t *v = r->verdicts;
	const uint64_t unsure = v[PLATTER_CRASH_FLAKY] + v[PLATTER_CRASH_ERROR];
	const bool whole = r->ended && r->summary.end == PLATTER_CRASH_END_ALL;

	fprintf(f, "<p class=\"verdict %s\">", v[PLATTER_CRASH_FAIL] ? "fail" :
		unsure || !whole || !v[PLATTER_CRASH_PASS] ? "warn" : "pass");
	if (v[PLATTER_CRASH_FAIL]) {
		plt_html_number(f, v[PLATTER_CRASH_FAIL]);
		fputs(" of ", f);
		plt_html_count(f, r->nr, "state", "states");
		fputs(v[PLATTER_CRASH_FAIL] == 1 ? " fails" : " fail", f);
	} else if (unsure) {
		fputs("No state fails, but ", f);
		plt_html_number(f, unsure);
		fputs(" of ", f);
		plt_html_count(f, r->nr, "state has no sure verdict",
			       "states have no sure verdict");
	} else {
		plt_html_count(f, v[PLATTER_CRASH_PASS], "state passes",
			       "states pass");
		fputs(", none fails", f);
	}
	if (v[PLATTER_CRASH_SKIP]) {
		fputs("; ", f);
		plt_html_number(f, v[PLATTER_CRASH_SKIP]);
		fputs(" skipped", f);
	}
	if (!whole)
		fprintf(f, "; the run %s", r->ended ? "was stopped early" :
			"did not come to its end");
	fputs("</p>\n", f);
}

/* ---- the summary ---- */

static void item(FILE *f, const char *name, const char *text, bool wide)
{
	fprintf(f, "<div%s><dt>%s</dt><dd>", wide ? " class=\"wide\"" : "",
		name);
	plt_html_text(f, text);
	fputs("</dd></div>\n", f);
}

static void begin_item(FILE *f, const char *name)
{
	fprintf(f, "<div><dt>%s</dt><dd>", name);
}

static void end_item(FILE *f)
{
	fputs("</dd></div>\n", f);
}

static void put_plan(FILE *f, const struct platter_crash_run *run)
{
	const struct platter_crash_plan *plan = &run->plan;

	begin_item(f, "crashes");
	fputs("between points ", f);
	plt_html_number(f, plan->from);
	fputs(" and ", f);
	plt_html_number(f, plan->to);
	fputs(" of ", f);
	plt_html_number(f, run->entries);
	end_item(f);
	begin_item(f, "model");
	plt_html_text(f, platter_crash_model_name(plan->model));
	fprintf(f, ", atomic unit of %" PRIu32 " bytes%s", plan->unit,
		plan->early_writes ? ", early writes" : "");
	end_item(f);
	item(f, "strategies", plan->strategies, false);
	for (size_t i = 0; plan->regions && plan->regions[i]; i++)
		item(f, "but between", plan->regions[i], false);
	if (plan->shards > 1) {
		begin_item(f, "shard");
		fprintf(f, "%" PRIu32 " of %" PRIu32, plan->shard,
			plan->shards);
		end_item(f);
	}
}

static void put_numbers(FILE *f, const struct platter_crash_summary *s)
{
	begin_item(f, "states");
	plt_html_count(f, s->census.made, "made", "made");
	fputs(", ", f);
	plt_html_count(f, s->census.unique, "unique", "unique");
	fputs(", at ", f);
	plt_html_count(f, s->census.points, "crash point", "crash points");
	end_item(f);
	if (s->not_run) {
		begin_item(f, "not run, by what they read");
		plt_html_number(f, s->not_run);
		fputs("; ", f);
		plt_html_number(f, s->rechecked);
		fputs(" run all the same, ", f);
		plt_html_count(f, s->recheck_failed, "came out otherwise",
			       "came out otherwise");
		end_item(f);
	}
	begin_item(f, "time");
	plt_html_seconds(f, s->time_ns);
	fputs(", in checkers ", f);
	plt_html_seconds(f, s->check_ns);
	end_item(f);
}

static void put_summary(FILE *f, const struct platter_crash_report *r)
{
	const struct platter_crash_run *run = &r->run;
	char size[PLATTER_SIZE_TEXT_MAX];

	fputs("<dl>\n", f);
	item(f, "checker", run->checker, true);
	begin_item(f, "log");
	plt_html_text(f, run->log);
	fputs(", ", f);
	plt_html_count(f, run->entries, "entry", "entries");
	end_item(f);
	item(f, "disk before it", run->base ? run->base : "zeros", false);
	item(f, "size of the disk", platter_size_text(size, run->size), false);
	put_plan(f, run);
	if (*run->how)
		item(f, "states presented by", run->how, false);
	if (r->ended)
		put_numbers(f, &r->summary);
	if (r->ended && *r->summary.census.text)
		item(f, "how complete", r->summary.census.text, true);
	fputs("</dl>\n", f);
}

int platter_crash_write_html(const struct platter_crash_report *report,
			     struct platter_crash *crash, FILE *stream,
			     struct platter_error *err)
{
	FILE *f = stream;
	int rc;

	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
	      "<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
	      "content=\"width=device-width,initial-scale=1\">\n"
	      "<title>Crash states of ", f);
	plt_html_text(f, last_part(report->run.log));
	fputs("</title>\n<style>\n", f);
	fputs(plt_html_style, f);
	fputs("</style>\n</head>\n<body>\n<h1>Crash states of ", f);
	plt_html_text(f, last_part(report->run.log));
	fputs("</h1>\n", f);
	put_verdict(f, report);
	put_summary(f, report);
	rc = plt_html_picture(f, report, crash, err);
	if (!rc)
		rc = plt_html_tables(f, report, err);
	if (rc)
		return rc;
	fputs("</body>\n</html>\n", f);
	errno = 0;
	if (fflush(f) || ferror(f))
		return plt_err_errno(err, errno ? -errno : -EIO,
				     "writing HTML");
	return 0;
}
