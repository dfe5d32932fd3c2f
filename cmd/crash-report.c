/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What came of a run of crash states: its summary, its reports, its exit code.
 *
 * A failure outweighs all else, because it is certain. Then comes what makes
 * the rest worth less: states that could not be checked, a run that broke off,
 * results taken from other states that should not have been.
 */
#include <string.h>

#include "crash.h"

enum {
	KEY_JSONL = CMD_KEY_SHARED + 0x80,
	KEY_JUNIT,
	KEY_TAP,
	KEY_HTML,
};

#define LISTED	20u	/* states named in the summary */

/* ---- --jsonl, --junit, --tap, --html ---- */

static const struct argp_option options[] = {
	{ .name = "jsonl", .key = KEY_JSONL, .arg = "FILE",
	  .doc = "every result, a line of JSON each" },
	{ .name = "junit", .key = KEY_JUNIT, .arg = "FILE",
	  .doc = "JUnit XML, a test case for each state" },
	{ .name = "tap", .key = KEY_TAP, .arg = "FILE",
	  .flags = OPTION_ARG_OPTIONAL,
	  .doc = "TAP, a test for each state; without FILE in place of the "
		 "summary" },
	{ .name = "html", .key = KEY_HTML, .arg = "FILE",
	  .doc = "a page for people, with a picture of the log" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct cmd_crash_reports *o = state->input;

	switch (key) {
	case KEY_JSONL:
		o->jsonl = arg;
		return 0;
	case KEY_JUNIT:
		o->junit = arg;
		return 0;
	case KEY_TAP:
		o->tap = arg ? arg : "-";
		return 0;
	case KEY_HTML:
		o->html = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp cmd_crash_reports_argp = {
	.options = options,
	.parser = parse,
};

error_t cmd_crash_reports_check(const struct argp_state *state,
				const struct cmd_crash_reports *o,
				enum platter_output kind)
{
	if (o->tap && !strcmp(o->tap, "-") && kind != PLATTER_OUTPUT_HUMAN)
		return cmd_usage(state, "--tap and --output are both for "
				 "standard output; give --tap=FILE");
	return 0;
}

/* ---- counting ---- */

struct counts {
	uint64_t verdicts[PLATTER_CRASH_ERROR + 1];
	uint64_t done;
	uint64_t not_passed;	/* and not skipped */
};

static struct counts count(const struct platter_crash_report *report)
{
	struct counts c = { .done = platter_crash_report_count(report) };

	for (size_t i = 0; i < c.done; i++)
		c.verdicts[platter_crash_report_get(report, i)
				   ->result.verdict]++;
	c.not_passed = c.done - c.verdicts[PLATTER_CRASH_PASS] -
		       c.verdicts[PLATTER_CRASH_SKIP];
	return c;
}

static int trouble(const struct counts *c,
		   const struct platter_crash_summary *s,
		   struct platter_error *err)
{
	if (!s && err->code)
		return CMD_TROUBLE;	/* which file it was has been said */
	if (!s)
		platter_error_set(err, -EINTR, "the run did not come to its "
				  "end; crash explore --resume goes on with "
				  "it");
	else if (s->recheck_failed)
		platter_error_set(err, -EINVAL, "%" PRIu64 " of %" PRIu64
				  " states that were not run give another "
				  "result when they are: leave out "
				  "--read-guided", s->recheck_failed,
				  s->rechecked);
	else
		platter_error_set(err, -EINVAL, "%" PRIu64 " states could not "
				  "be checked",
				  c->verdicts[PLATTER_CRASH_ERROR]);
	return CMD_TROUBLE;
}

static int exit_code(const struct counts *c,
		     const struct platter_crash_summary *s,
		     struct platter_error *err)
{
	if (c->verdicts[PLATTER_CRASH_FAIL])
		return CMD_NO;
	if (!s || s->recheck_failed || c->verdicts[PLATTER_CRASH_ERROR])
		return trouble(c, s, err);
	if (c->verdicts[PLATTER_CRASH_FLAKY])
		return CMD_NO;
	return s->end == PLATTER_CRASH_END_ALL ? CMD_OK : CMD_LIMIT;
}

/* ---- for people ---- */

/* What came with a report may hold anything; a terminal is not to see it. */
static void print_safe(struct platter_printer *out, const char *before,
		       const char *text)
{
	char *safe = platter_bytes_escape(text, strlen(text));

	platter_out_text(out, "%s%s", before, safe ? safe : "");
	free(safe);
}

static void print_run(struct platter_printer *out,
		      const struct platter_crash_run *run)
{
	print_safe(out, "", run->log);
	platter_out_text(out, ": %" PRIu64 " entries", run->entries);
	print_safe(out, ", on ", run->base ? run->base : "zeros");
	print_safe(out, "\nchecked with ", run->checker);
	if (*run->how)
		print_safe(out, ", by ", run->how);
	platter_out_text(out, "\n");
	if (run->plan.shards > 1)
		platter_out_text(out, "shard %" PRIu32 "/%" PRIu32 "\n",
				 run->plan.shard, run->plan.shards);
}

static void print_coverage(struct platter_printer *out,
			   const struct platter_crash_coverage *c)
{
	print_safe(out, "  ", c->strategy);
	platter_out_text(out, ": %" PRIu64 " states", c->made);
	if (c->possible != UINT64_MAX && c->possible > c->made)
		platter_out_text(out, " of %" PRIu64, c->possible);
	platter_out_text(out, ", at %" PRIu64 " points, complete at %" PRIu64
			 " of them\n", c->points, c->complete);
}

static void print_census(struct platter_printer *out,
			 const struct platter_crash_census *c)
{
	platter_out_text(out, "%" PRIu64 " states at %" PRIu64 " crash points, "
			 "%" PRIu64 " of them unique\n", c->made, c->points,
			 c->unique);
	for (size_t i = 0; i < c->nr; i++)
		print_coverage(out, &c->strategies[i]);
	if (*c->text)
		print_safe(out, "", c->text);
	platter_out_text(out, *c->text ? "\n" : "");
}

static void print_state(struct platter_printer *out,
			const struct platter_crash_record *r)
{
	print_safe(out, "  ", r->state);
	platter_out_text(out, "  %s",
			 platter_crash_verdict_name(r->result.verdict));
	if (*r->result.reason)
		print_safe(out, ": ", r->result.reason);
	if (r->mark)
		print_safe(out, ", after mark ", r->mark);
	platter_out_text(out, "\n");
}

static bool is_listed(const struct platter_crash_record *r)
{
	return r->result.verdict != PLATTER_CRASH_PASS &&
	       r->result.verdict != PLATTER_CRASH_SKIP;
}

static void print_not_passed(struct platter_printer *out,
			     const struct platter_crash_report *report,
			     const struct counts *c)
{
	uint64_t listed = 0;

	for (size_t i = 0; i < c->done && listed < LISTED; i++) {
		const struct platter_crash_record *r =
			platter_crash_report_get(report, i);

		if (!is_listed(r))
			continue;
		print_state(out, r);
		listed++;
	}
	if (listed < c->not_passed)
		platter_out_text(out, "  ... and %" PRIu64 " more\n",
				 c->not_passed - listed);
}

static void print_cost(struct platter_printer *out,
		       const struct platter_crash_summary *s)
{
	if (s->nested)
		platter_out_text(out, "%" PRIu64 " results are of a second "
				 "crash\n", s->nested);
	if (s->not_run)
		platter_out_text(out, "%" PRIu64 " states were not run, for "
				 "what they read; %" PRIu64 " of those were "
				 "all the same, and %" PRIu64 " came out "
				 "otherwise\n", s->not_run, s->rechecked,
				 s->recheck_failed);
	platter_out_text(out, "%.1f s, %.1f s of it in checkers\n",
			 (double)s->time_ns / 1e9, (double)s->check_ns / 1e9);
}

static void print_verdict(struct platter_printer *out, const struct counts *c,
			  const struct platter_crash_summary *s)
{
	static const char *const ends[] = {
		[PLATTER_CRASH_END_ALL] = "",
		[PLATTER_CRASH_END_FIRST] = "; stopped at the first",
		[PLATTER_CRASH_END_STATES] = "; stopped at --max-states",
		[PLATTER_CRASH_END_TIME] = "; stopped at --max-time",
		[PLATTER_CRASH_END_STOPPED] = "; stopped",
	};
	const char *const words[] = {
		[PLATTER_CRASH_PASS] = "passed",
		[PLATTER_CRASH_FAIL] = "failed",
		[PLATTER_CRASH_SKIP] = "skipped",
		[PLATTER_CRASH_FLAKY] = "flaky",
		[PLATTER_CRASH_ERROR] = "not checked",
	};
	const char *comma = " ";

	platter_out_text(out, "%s%" PRIu64 " states:",
			 c->verdicts[PLATTER_CRASH_FAIL] ? "FAILED. " : "",
			 c->done);
	for (unsigned int v = 0; v <= PLATTER_CRASH_ERROR; v++) {
		if (v > PLATTER_CRASH_FAIL && !c->verdicts[v])
			continue;
		platter_out_text(out, "%s%" PRIu64 " %s", comma,
				 c->verdicts[v], words[v]);
		comma = ", ";
	}
	platter_out_text(out, "%s\n", s ? ends[s->end] : "; broken off");
}

static void print_text(struct platter_printer *out,
		       const struct platter_crash_report *report,
		       const struct counts *c)
{
	const struct platter_crash_summary *s =
		platter_crash_report_summary(report);

	print_run(out, platter_crash_report_run(report));
	if (s)
		print_census(out, &s->census);
	print_not_passed(out, report, c);
	if (s)
		print_cost(out, s);
	print_verdict(out, c, s);
}

/* ---- for programs ---- */

static void print_data(struct platter_printer *out,
		       const struct platter_crash_report *report)
{
	const size_t nr = platter_crash_report_count(report);
	const struct platter_crash_summary *s =
		platter_crash_report_summary(report);

	platter_out_map(out, NULL);
	platter_crash_run_print(out, platter_crash_report_run(report));
	platter_out_list(out, "not-passed");
	for (size_t i = 0; i < nr; i++) {
		const struct platter_crash_record *r =
			platter_crash_report_get(report, i);

		if (is_listed(r))
			platter_crash_record_print(out, r);
	}
	platter_out_end(out);
	if (s)
		platter_crash_summary_print(out, s);
	platter_out_end(out);
}

/* ---- all of it ---- */

static int save(const struct cmd_crash_reports *o,
		const struct platter_crash_report *report,
		struct platter_crash *crash, struct platter_error *err)
{
	const struct {
		const char *path;
		enum platter_crash_form form;
	} files[] = {
		{ o->junit, PLATTER_CRASH_JUNIT },
		{ o->tap, PLATTER_CRASH_TAP },
		{ o->html, PLATTER_CRASH_HTML },
	};
	int rc = 0;

	for (size_t i = 0; !rc && i < CMD_ARRAY_SIZE(files); i++) {
		if (files[i].path && strcmp(files[i].path, "-"))
			rc = platter_crash_report_save(report, files[i].form,
						       files[i].path, crash,
						       err);
	}
	return rc;
}

int cmd_crash_report(struct cmd *cmd, const struct cmd_crash_reports *o,
		     enum platter_output kind, bool quiet,
		     const struct platter_crash_report *report,
		     struct platter_crash *crash, struct platter_error *err)
{
	const bool tap = o->tap && !strcmp(o->tap, "-");
	const struct counts c = count(report);
	struct platter_printer *out;
	int rc, code;

	rc = save(o, report, crash, err);
	if (rc)
		return rc;
	code = exit_code(&c, platter_crash_report_summary(report), err);
	if (tap) {
		rc = platter_crash_write_tap(report, cmd->out, err);
		return rc ? rc : code;
	}
	if (kind == PLATTER_OUTPUT_HUMAN && quiet && code == CMD_OK)
		return code;
	rc = cmd_printer(cmd, kind, &out, err);
	if (rc)
		return rc;
	if (kind == PLATTER_OUTPUT_HUMAN)
		print_text(out, report, &c);
	else
		print_data(out, report);
	return code;
}

void cmd_cleanup_crash_report(struct platter_crash_report **report)
{
	platter_crash_report_free(*report);
}
