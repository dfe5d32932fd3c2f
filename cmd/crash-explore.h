/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of `platter crash explore` share. */
#ifndef CMD_CRASH_EXPLORE_H
#define CMD_CRASH_EXPLORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "crash.h"

struct explore_options {
	struct cmd_crash_log log;
	struct cmd_crash_plan plan;
	struct cmd_crash_checkers checkers;
	struct cmd_crash_reports reports;
	struct cmd_progress progress;
	struct cmd_output output;
	bool read_guided, stop_on_first;
	uint64_t depth;			/* 0 = as --recover has it */
	uint64_t max_states, max_time_ns;
	const char *resume;		/* a report, or NULL */
};

/* How many states there are, found out by a thread of its own. */
struct explore_count {
	pthread_t thread;
	bool started;
	struct platter_crash *crash;
	const struct platter_crash_plan *plan;
	atomic_bool stop;
	atomic_ullong total;		/* 0 = not known yet */
};

struct explore {
	struct cmd *cmd;
	const struct explore_options *o;
	struct platter_crash *crash;
	struct platter_crash_plan plan;
	struct cmd_crash_lab lab;
	struct platter_crash_run run;
	struct platter_crash_report *report;
	struct platter_crash_summary sum;
	/* crash-explore-results.c */
	struct platter_crash_report *before;	/* of --resume, or NULL */
	size_t nr_known;		/* records of it that count */
	size_t given;			/* results so far */
	const char *jsonl_name;		/* or NULL */
	FILE *jsonl;
	/* crash-explore-progress.c */
	struct platter_progress *progress;
	struct explore_count count;
	uint64_t began, point;		/* ns; of the last result */
	bool stopped;			/* by a signal */
};

/* ---- crash-explore-results.c ---- */

/* Read what --resume names, and begin the report and its file. */
int explore_results_begin(struct explore *x, struct platter_error *err)
	PLATTER_MUST_CHECK;
int explore_results_end(struct explore *x, struct platter_error *err)
	PLATTER_MUST_CHECK;
void explore_results_free(struct explore *x);
/* As platter_crash_explore_options has them; `arg` is the struct explore. */
int explore_known(void *arg, uint64_t index, unsigned int nested,
		  struct platter_crash_record *record);
int explore_result(void *arg, const struct platter_crash_record *record,
		   struct platter_error *err);

/* ---- crash-explore-progress.c ---- */

int explore_progress_begin(struct explore *x, struct platter_error *err)
	PLATTER_MUST_CHECK;
void explore_progress_end(struct explore *x, bool done);
int explore_tick(void *arg, const struct platter_crash_census *census,
		 uint64_t done, uint64_t failing);

/* ---- crash-explore-next.c: what the user may want to do next ---- */

/* To standard output: the command that shrinks the first failing state. */
void explore_print_next(const struct explore *x);
/* To standard error: how to go on with a run that was stopped. */
void explore_say_resume(const struct explore *x);

#endif
