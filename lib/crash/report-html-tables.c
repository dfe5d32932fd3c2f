/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tables of the HTML report. A browser is slow with more than some
 * thousands of rows, so each table says how many it leaves out.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/report-html.h"

#define FAILING_MAX	200u	/* rows, each with an output */
#define FAILING_COLUMNS	4u
#define OUTPUT_MAX	8192u	/* bytes of it: its last ones */
#define MARKS_MAX	500u
#define STATES_MAX	2000u

/* ---- cells ---- */

static void head(FILE *f, const char *title)
{
	fputs("<h2>", f);
	plt_html_text(f, title);
	fputs("</h2>\n<div class=\"scroll\"><table>\n<tr>", f);
}

static void column(FILE *f, const char *name, bool number)
{
	fprintf(f, "<th%s>%s</th>", number ? " class=\"n\"" : "", name);
}

static void foot(FILE *f, uint64_t left_out)
{
	fputs("</table></div>\n", f);
	if (!left_out)
		return;
	fputs("<p class=\"dim\">", f);
	plt_html_number(f, left_out);
	fputs(" more are left out here; the JSON lines have all.</p>\n", f);
}

static void cell(FILE *f, const char *text)
{
	fputs("<td>", f);
	plt_html_text(f, text);
	fputs("</td>", f);
}

static void number(FILE *f, uint64_t nr)
{
	fputs("<td class=\"n\">", f);
	plt_html_number(f, nr);
	fputs("</td>", f);
}

static void state(FILE *f, const char *name)
{
	fputs("<td class=\"s\"><code>", f);
	plt_html_text(f, name);
	fputs("</code></td>", f);
}

static void verdict(FILE *f, enum platter_crash_verdict v)
{
	const char *name = platter_crash_verdict_name(v);

	fprintf(f, "<td class=\"v %s\">%s</td>", name, name);
}

/* ---- what did not pass ---- */

static bool not_passed(const struct plt_crash_kept *k)
{
	return k->verdict != PLATTER_CRASH_PASS &&
	       k->verdict != PLATTER_CRASH_SKIP;
}

static void output(FILE *f, const struct platter_crash_result *r, bool open)
{
	const size_t shown = PLT_MIN(r->output_len, (size_t)OUTPUT_MAX);

	if (!r->output_len)
		return;
	/* A row of its own: it is as wide as the page, on a phone, too. */
	fprintf(f, "<tr class=\"o\"><td colspan=\"%u\"><details%s><summary>"
		"output</summary><pre>", FAILING_COLUMNS, open ? " open" : "");
	if (shown < r->output_len)
		fprintf(f, "... %zu bytes before\n", r->output_len - shown);
	plt_html_bytes(f, r->output + r->output_len - shown, shown);
	fputs("</pre></details></td></tr>\n", f);
}

static void failing_row(FILE *f, const struct platter_crash_record *r,
			bool first)
{
	fprintf(f, "<tr%s>", r->result.output_len ? " class=\"f\"" : "");
	state(f, r->state);
	verdict(f, r->result.verdict);
	cell(f, r->mark);
	fputs("<td>", f);
	plt_html_text(f, r->result.reason);
	if (r->same_as) {
		fputs("<br><span class=\"dim\">not run, reads what ", f);
		plt_html_text(f, r->same_as);
		fputs(" reads</span>", f);
	}
	fputs("</td></tr>\n", f);
	output(f, &r->result, first);
}

static void failing(FILE *f, const struct platter_crash_report *r)
{
	uint64_t shown = 0, all = 0;

	for (size_t i = 0; i < r->nr; i++)
		all += not_passed(&r->kept[i]);
	if (!all)
		return;
	head(f, "What did not pass");
	column(f, "state", false);
	column(f, "verdict", false);
	column(f, "last mark", false);
	column(f, "why", false);
	fputs("</tr>\n", f);
	for (size_t i = 0; i < r->nr && shown < FAILING_MAX; i++) {
		if (!not_passed(&r->kept[i]))
			continue;
		failing_row(f, platter_crash_report_get(r, i), !shown);
		shown++;
	}
	foot(f, all - shown);
}

/* ---- marks ---- */

struct mark {
	uint64_t entry, states, not_passed;
	uint32_t text;
};

/* Those that were the last before a state, in the order they come. */
static int find_marks(const struct platter_crash_report *r, struct mark **out,
		      size_t *nr, struct platter_error *err)
{
	struct mark *list = NULL;
	size_t room = 0;

	*nr = 0;
	for (size_t i = 0; i < r->nr; i++) {
		const struct plt_crash_kept *k = &r->kept[i];
		int rc;

		if (!k->mark || k->depth > 1)
			continue;
		if (!*nr || list[*nr - 1].entry != k->mark_entry) {
			rc = plt_grow(&list, &room, *nr + 1, sizeof(*list),
				      err);
			if (rc) {
				free(list);
				return rc;
			}
			list[(*nr)++] = (struct mark){
				.entry = k->mark_entry, .text = k->mark,
			};
		}
		list[*nr - 1].states++;
		list[*nr - 1].not_passed += not_passed(k);
	}
	*out = list;
	return 0;
}

static int marks(FILE *f, const struct platter_crash_report *r,
		 struct platter_error *err)
{
	struct mark *list plt_auto_free = NULL;
	size_t nr;
	int rc;

	rc = find_marks(r, &list, &nr, err);
	if (rc || !nr)
		return rc;
	head(f, "Marks");
	column(f, "mark", false);
	column(f, "entry", true);
	column(f, "states behind it", true);
	column(f, "not passed", true);
	fputs("</tr>\n", f);
	for (size_t i = 0; i < nr && i < MARKS_MAX; i++) {
		fputs("<tr>", f);
		cell(f, plt_crash_report_text(r, list[i].text));
		number(f, list[i].entry);
		number(f, list[i].states);
		number(f, list[i].not_passed);
		fputs("</tr>\n", f);
	}
	foot(f, nr - PLT_MIN(nr, (size_t)MARKS_MAX));
	return 0;
}

/* ---- strategies ---- */

static void strategies(FILE *f, const struct platter_crash_census *c)
{
	head(f, "Strategies");
	column(f, "strategy", false);
	column(f, "states made", true);
	column(f, "states there are", true);
	column(f, "points", true);
	column(f, "complete at", true);
	fputs("</tr>\n", f);
	for (size_t i = 0; i < c->nr; i++) {
		const struct platter_crash_coverage *s = &c->strategies[i];

		fputs("<tr>", f);
		cell(f, s->strategy);
		number(f, s->made);
		if (s->possible == UINT64_MAX)
			fputs("<td class=\"n\">beyond counting</td>", f);
		else
			number(f, s->possible);
		number(f, s->points);
		number(f, s->complete);
		fputs("</tr>\n", f);
	}
	foot(f, 0);
	fputs("<p>", f);
	plt_html_text(f, c->text);
	fputs("</p>\n", f);
}

/* ---- all ---- */

static void state_row(FILE *f, const struct platter_crash_record *r)
{
	fputs("<tr>", f);
	state(f, r->state);
	verdict(f, r->result.verdict);
	cell(f, r->mark);
	cell(f, r->strategy);
	fputs("<td class=\"n\">", f);
	if (r->same_as)
		fputs("not run", f);
	else
		plt_html_seconds(f, r->result.time_ns);
	fputs("</td></tr>\n", f);
}

static void states(FILE *f, const struct platter_crash_report *r)
{
	const size_t shown = PLT_MIN(r->nr, (size_t)STATES_MAX);

	head(f, "All states");
	column(f, "state", false);
	column(f, "verdict", false);
	column(f, "last mark", false);
	column(f, "strategy", false);
	column(f, "time", true);
	fputs("</tr>\n", f);
	for (size_t i = 0; i < shown; i++)
		state_row(f, platter_crash_report_get(r, i));
	foot(f, r->nr - shown);
}

int plt_html_tables(FILE *f, const struct platter_crash_report *report,
		    struct platter_error *err)
{
	int rc;

	failing(f, report);
	rc = marks(f, report, err);
	if (rc)
		return rc;
	if (report->ended)
		strategies(f, &report->summary.census);
	states(f, report);
	return 0;
}
