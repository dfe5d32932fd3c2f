/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A report as JUnit XML, in the shape bats writes it: one suite, a case for
 * each state.
 *
 * A state whose checker could not make up its mind, or could not be run, is a
 * failure of type "flaky" or "error": a CI system that knows "error" elements
 * as broken tests would not show what was put out. XML has no way to write
 * most control characters, which checkers like to colour their output with.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libxml/xmlwriter.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "crash/report.h"

#define REPLACEMENT	"\xef\xbf\xbd"	/* U+FFFD */
#define PIECE		1024u		/* bytes of text written at a time */

struct junit {
	xmlTextWriterPtr w;
	FILE *stream;
	int rc;				/* first error, negative errno */
};

static int write_cb(void *context, const char *text, int len)
{
	struct junit *j = context;

	errno = 0;
	if (!j->rc && fwrite(text, 1, (size_t)len, j->stream) != (size_t)len)
		j->rc = errno ? -errno : -EIO;
	return len;
}

/* The writer returns a byte count; anything negative is a lack of memory. */
static void check(struct junit *j, int rc)
{
	if (rc < 0 && !j->rc)
		j->rc = -ENOMEM;
}

/* ---- text ---- */

static bool is_xml_char(uint32_t c)
{
	if (c < 0x20)
		return c == '\t' || c == '\n' || c == '\r';
	return c != 0xfffe && c != 0xffff;
}

/* The next characters of *text as XML can hold them, up to PIECE bytes. */
static void take_piece(char piece[PIECE + 8], const char **text, size_t *len)
{
	size_t used = 0;

	while (*len && used < PIECE) {
		uint32_t c;
		size_t n = plt_utf8(*text, *len, &c);

		if (n && is_xml_char(c)) {
			memcpy(piece + used, *text, n);
			used += n;
		} else {
			n = 1;
			memcpy(piece + used, REPLACEMENT, 3);
			used += 3;
		}
		*text += n;
		*len -= n;
	}
	piece[used] = '\0';
}

static void put(struct junit *j, const char *text, size_t len)
{
	char piece[PIECE + 8];

	while (len) {
		take_piece(piece, &text, &len);
		check(j, xmlTextWriterWriteString(j->w,
						  (const xmlChar *)piece));
	}
}

static void begin(struct junit *j, const char *name)
{
	check(j, xmlTextWriterStartElement(j->w, (const xmlChar *)name));
}

static void end(struct junit *j)
{
	check(j, xmlTextWriterEndElement(j->w));
}

static void attribute(struct junit *j, const char *name, const char *value)
{
	check(j, xmlTextWriterStartAttribute(j->w, (const xmlChar *)name));
	put(j, value, strlen(value));
	check(j, xmlTextWriterEndAttribute(j->w));
}

static void number(struct junit *j, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	attribute(j, name, text);
}

static void seconds(struct junit *j, uint64_t ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64 ".%03" PRIu64,
		 ns / 1000000000, ns / 1000000 % 1000);
	attribute(j, "time", text);
}

/* ---- the suite ---- */

static void property(struct junit *j, const char *name, const char *value)
{
	begin(j, "property");
	attribute(j, "name", name);
	attribute(j, "value", value);
	end(j);
}

static void number_property(struct junit *j, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	property(j, name, text);
}

static void properties(struct junit *j, const struct platter_crash_report *r)
{
	const struct platter_crash_run *run = &r->run;
	const struct platter_crash_plan *plan = &run->plan;
	const char *seed = strstr(plan->strategies, "seed=");

	begin(j, "properties");
	property(j, "log", run->log);
	property(j, "base", run->base ? run->base : "zeros");
	property(j, "checker", run->checker);
	property(j, "model", platter_crash_model_name(plan->model));
	property(j, "strategies", plan->strategies);
	if (seed)
		property(j, "seed", seed + strlen("seed="));
	number_property(j, "from", plan->from);
	number_property(j, "to", plan->to);
	if (r->ended) {
		number_property(j, "states", r->summary.census.made);
		number_property(j, "unique", r->summary.census.unique);
		property(j, "completeness", r->summary.census.text);
	}
	property(j, "end", r->ended ? plt_crash_end_names[r->summary.end] :
				      "interrupted");
	end(j);
}

static void suite_attributes(struct junit *j,
			     const struct platter_crash_report *r)
{
	char host[256] = "", date[32] = "";
	const time_t now = time(NULL);
	uint64_t ns = 0;
	struct tm tm;

	for (size_t i = 0; i < r->nr; i++)
		ns += r->kept[i].time_ns;
	attribute(j, "name", r->run.log);
	number(j, "tests", r->nr);
	number(j, "failures", r->nr - r->verdicts[PLATTER_CRASH_PASS] -
			      r->verdicts[PLATTER_CRASH_SKIP]);
	number(j, "errors", 0);
	number(j, "skipped", r->verdicts[PLATTER_CRASH_SKIP]);
	seconds(j, ns);
	if (gmtime_r(&now, &tm))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	attribute(j, "timestamp", date);
	if (gethostname(host, sizeof(host) - 1))
		strcpy(host, "localhost");
	attribute(j, "hostname", host);
}

/* ---- a case ---- */

static void failure(struct junit *j, const struct platter_crash_record *rec)
{
	static const char *const types[] = {
		[PLATTER_CRASH_FAIL] = "failure",
		[PLATTER_CRASH_FLAKY] = "flaky",
		[PLATTER_CRASH_ERROR] = "error",
	};
	const struct platter_crash_result *r = &rec->result;

	begin(j, "failure");
	attribute(j, "type", types[r->verdict]);
	attribute(j, "message", r->reason);
	if (rec->mark) {
		put(j, "after mark ", 11);
		put(j, rec->mark, strlen(rec->mark));
		put(j, "\n", 1);
	}
	if (rec->same_as) {
		put(j, "not run: all it reads is as in ", 31);
		put(j, rec->same_as, strlen(rec->same_as));
		put(j, "\n", 1);
	}
	put(j, r->output, r->output_len);
	end(j);
}

static void testcase(struct junit *j, const char *class_name,
		     const struct platter_crash_record *rec)
{
	const struct platter_crash_result *r = &rec->result;

	begin(j, "testcase");
	attribute(j, "classname", class_name);
	attribute(j, "name", rec->state);
	seconds(j, r->time_ns);
	if (r->verdict == PLATTER_CRASH_SKIP) {
		begin(j, "skipped");
		put(j, r->reason, strlen(r->reason));
		end(j);
	} else if (r->verdict != PLATTER_CRASH_PASS) {
		failure(j, rec);
	}
	end(j);
}

static void document(struct junit *j, const struct platter_crash_report *r)
{
	check(j, xmlTextWriterSetIndent(j->w, 1));
	check(j, xmlTextWriterStartDocument(j->w, "1.0", "UTF-8", NULL));
	begin(j, "testsuites");
	begin(j, "testsuite");
	suite_attributes(j, r);
	properties(j, r);
	for (size_t i = 0; i < r->nr; i++)
		testcase(j, r->run.log, platter_crash_report_get(r, i));
	end(j);
	end(j);
	check(j, xmlTextWriterEndDocument(j->w));
}

int platter_crash_write_junit(const struct platter_crash_report *report,
			      FILE *stream, struct platter_error *err)
{
	struct junit j = { .stream = stream };
	xmlOutputBufferPtr buffer;

	buffer = xmlOutputBufferCreateIO(write_cb, NULL, &j, NULL);
	j.w = buffer ? xmlNewTextWriter(buffer) : NULL;
	if (!j.w) {
		if (buffer)
			xmlOutputBufferClose(buffer);
		return plt_err_nomem(err, sizeof(j));
	}
	document(&j, report);
	xmlFreeTextWriter(j.w);
	if (!j.rc && fflush(stream))
		j.rc = -errno;
	return j.rc ? plt_err_errno(err, j.rc, "writing JUnit XML") : 0;
}
