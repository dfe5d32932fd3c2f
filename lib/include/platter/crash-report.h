/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Crash states: the results of a run, written, read and joined. */
#ifndef PLATTER_CRASH_REPORT_H
#define PLATTER_CRASH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <platter/crash-explore.h>
#include <platter/crash-state.h>
#include <platter/crash-walk.h>
#include <platter/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct platter_printer;

/* What a run was, the first line of a JSON-lines report. */
struct platter_crash_run {
	const char *log;
	const char *base;	/* or NULL */
	uint64_t entries, size;
	uint64_t log_hash;	/* of headers: another log is another run */
	uint32_t sector_size;
	struct platter_crash_plan plan;
	const char *checker;	/* its words, or names */
	const char *how;	/* presented */
	bool read_guided;
	unsigned int depth;
};

/* Describe a run; strings are the caller's and the crash's. */
int platter_crash_run_fill(struct platter_crash_run *run,
			   struct platter_crash *crash,
			   const struct platter_crash_plan *plan,
			   struct platter_error *err) PLATTER_MUST_CHECK;

struct platter_crash_report;	/* results, in order, with their run */

int platter_crash_report_new(struct platter_crash_report **out,
			     const struct platter_crash_run *run,
			     struct platter_error *err) PLATTER_MUST_CHECK;
void platter_crash_report_free(struct platter_crash_report *report);
/*
 * Copied; kept small: outputs only of what did not pass. In the order of
 * their indices, states of a recovery behind the one they came from.
 */
int platter_crash_report_add(struct platter_crash_report *report,
			     const struct platter_crash_record *record,
			     struct platter_error *err) PLATTER_MUST_CHECK;
int platter_crash_report_end(struct platter_crash_report *report,
			     const struct platter_crash_summary *summary,
			     struct platter_error *err) PLATTER_MUST_CHECK;
size_t platter_crash_report_count(const struct platter_crash_report *report);
/* Good until the next call for the same report. */
const struct platter_crash_record *
platter_crash_report_get(const struct platter_crash_report *report, size_t i);
const struct platter_crash_run *
platter_crash_report_run(const struct platter_crash_report *report);
/* NULL when the run did not come to its end. */
const struct platter_crash_summary *
platter_crash_report_summary(const struct platter_crash_report *report);

/* All there is to say of each, as a row. */
void platter_crash_run_print(struct platter_printer *out,
			     const struct platter_crash_run *run);
void platter_crash_record_print(struct platter_printer *out,
				const struct platter_crash_record *record);
void platter_crash_summary_print(struct platter_printer *out,
				 const struct platter_crash_summary *summary);

/* The same as JSON lines, one at a time, as a run goes on. */
int platter_crash_jsonl_run(FILE *stream, const struct platter_crash_run *run,
			    struct platter_error *err) PLATTER_MUST_CHECK;
int platter_crash_jsonl_record(FILE *stream,
			       const struct platter_crash_record *record,
			       struct platter_error *err) PLATTER_MUST_CHECK;
int platter_crash_jsonl_end(FILE *stream,
			    const struct platter_crash_summary *summary,
			    struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Read such a file, whole or cut off in its last line. -EINVAL names the line
 * that is wrong.
 */
int platter_crash_report_read(struct platter_crash_report **out,
			      const char *path, struct platter_error *err)
	PLATTER_MUST_CHECK;
/*
 * -EINVAL says in what two runs differ, but for what may be otherwise on
 * another machine: shards, how states are presented, the names of folders.
 */
int platter_crash_run_same(const struct platter_crash_run *a,
			   const struct platter_crash_run *b,
			   struct platter_error *err) PLATTER_MUST_CHECK;
/* Join shards of one run; missing or doubled ones are -EINVAL. */
int platter_crash_report_merge(struct platter_crash_report **out,
			       struct platter_crash_report *const *shards,
			       size_t count, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* To a stream; `crash` (or NULL) is what the picture is drawn from. */
int platter_crash_write_junit(const struct platter_crash_report *report,
			      FILE *stream, struct platter_error *err)
	PLATTER_MUST_CHECK;
int platter_crash_write_tap(const struct platter_crash_report *report,
			    FILE *stream, struct platter_error *err)
	PLATTER_MUST_CHECK;
int platter_crash_write_html(const struct platter_crash_report *report,
			     struct platter_crash *crash, FILE *stream,
			     struct platter_error *err) PLATTER_MUST_CHECK;

enum platter_crash_form {
	PLATTER_CRASH_JSONL,
	PLATTER_CRASH_JUNIT,
	PLATTER_CRASH_TAP,
	PLATTER_CRASH_HTML,
};
/*
 * The whole report to a file, which gets its name, or is replaced, when it is
 * complete; what is no regular file is written to. `crash` as for HTML.
 */
int platter_crash_report_save(const struct platter_crash_report *report,
			      enum platter_crash_form form, const char *path,
			      struct platter_crash *crash,
			      struct platter_error *err) PLATTER_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
