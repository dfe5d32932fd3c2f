/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A report as TAP, version 13, in which each state is a test.
 *
 * What did not pass has a block of YAML. Its texts are JSON strings, which
 * are YAML, and which the small readers of TAP programs know, too; an output
 * is a list of its lines.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <platter/out.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "crash/report.h"

#define REPLACEMENT	"\xef\xbf\xbd"	/* U+FFFD */

/* As a JSON string. Each byte that is no text is one strange character. */
static void put_string(FILE *f, const char *text, size_t len)
{
	putc_unlocked('"', f);
	for (size_t n; len; text += n, len -= n) {
		n = plt_text_plain(text, len);
		if (n == 1 && (*text == '"' || *text == '\\'))
			putc_unlocked('\\', f);
		if (n)
			fwrite(text, 1, n, f);
		else if (*text == '\t')
			fputs("\\t", f);
		else
			fputs(REPLACEMENT, f);
		n = n ? n : 1;
	}
	putc_unlocked('"', f);
}

static void put_text(FILE *f, const char *key, const char *text)
{
	if (!text)
		return;
	fprintf(f, "  %s: ", key);
	put_string(f, text, strlen(text));
	putc_unlocked('\n', f);
}

static void put_output(FILE *f, const char *text, size_t len)
{
	if (!len)
		return;
	fputs("  output:\n", f);
	while (len) {
		const char *end = memchr(text, '\n', len);
		const size_t n = end ? (size_t)(end - text) : len;

		fputs("    - ", f);
		put_string(f, text, n);
		putc_unlocked('\n', f);
		text += n + !!end;
		len -= n + !!end;
	}
}

static void put_diagnostics(FILE *f, const struct platter_crash_record *rec)
{
	const struct platter_crash_result *r = &rec->result;

	fputs("  ---\n", f);
	put_text(f, "message", r->reason);
	put_text(f, "severity", platter_crash_verdict_name(r->verdict));
	put_text(f, "mark", rec->mark);
	put_text(f, "strategy", rec->strategy);
	put_text(f, "same_as", rec->same_as);
	fprintf(f, "  duration_ms: %" PRIu64 "\n", r->time_ns / 1000000);
	put_output(f, r->output, r->output_len);
	fputs("  ...\n", f);
}

/* A line of its own has no line end in it, and no second directive. */
static void put_plain(FILE *f, const char *text)
{
	for (size_t n, len = strlen(text); len; text += n, len -= n) {
		n = plt_text_plain(text, len);
		if (n == 1 && (*text == '#' || *text == '\\'))
			putc_unlocked('\\', f);
		if (n)
			fwrite(text, 1, n, f);
		else
			fputs(REPLACEMENT, f);
		n = n ? n : 1;
	}
}

static void put_test(FILE *f, size_t number,
		     const struct platter_crash_record *rec)
{
	const struct platter_crash_result *r = &rec->result;
	const bool ok = r->verdict == PLATTER_CRASH_PASS ||
			r->verdict == PLATTER_CRASH_SKIP;

	fprintf(f, "%s %zu - ", ok ? "ok" : "not ok", number);
	put_plain(f, rec->state);
	if (r->verdict == PLATTER_CRASH_SKIP) {
		fputs(" # SKIP ", f);
		put_plain(f, r->reason);
	}
	putc_unlocked('\n', f);
	if (!ok)
		put_diagnostics(f, rec);
}

static void put_comment(FILE *f, const char *text)
{
	fputs("# ", f);
	put_plain(f, text);
	putc_unlocked('\n', f);
}

int platter_crash_write_tap(const struct platter_crash_report *report,
			    FILE *stream, struct platter_error *err)
{
	fputs("TAP version 13\n", stream);
	fprintf(stream, "1..%zu", report->nr);
	fputs(report->nr ? "\n" : " # SKIP there is no state\n", stream);
	for (size_t i = 0; i < report->nr; i++)
		put_test(stream, i + 1, platter_crash_report_get(report, i));
	if (report->ended)
		put_comment(stream, report->summary.census.text);
	if (!report->ended || report->summary.end != PLATTER_CRASH_END_ALL)
		put_comment(stream, "not all states were looked at");
	errno = 0;
	if (fflush(stream) || ferror(stream))
		return plt_err_errno(err, errno ? -errno : -EIO,
				     "writing TAP");
	return 0;
}
