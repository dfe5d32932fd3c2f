/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Crash states: checking all that a walk comes to. */
#ifndef PLATTER_CRASH_EXPLORE_H
#define PLATTER_CRASH_EXPLORE_H

#include <stdbool.h>
#include <stdint.h>

#include <platter/crash-check.h>
#include <platter/crash-state.h>
#include <platter/crash-walk.h>
#include <platter/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What became of one state; a line of the JSON-lines report. */
struct platter_crash_record {
	uint64_t index;		/* of the state, or of that it came from */
	const char *state;	/* its name */
	uint64_t point;
	const char *strategy;
	const char *mark;	/* last before the point, escaped; or NULL */
	uint64_t mark_entry;	/* UINT64_MAX = none */
	uint8_t hash[16];
	struct platter_crash_result result;
	/* Not run: all it reads is as in that state. Or NULL. */
	const char *same_as;
	unsigned int depth;	/* 2: of a recovery's log */
};

struct platter_crash_explore_options {
	struct platter_crash_plan plan;
	struct platter_crash_harness *harness;
	unsigned int slots;	/* threads; 0 = one for each of the harness */
	bool stop_on_first;
	uint64_t max_states;	/* 0 = no limit */
	uint64_t max_time_ns;
	bool read_guided;	/* the harness watches reads */
	/* Of those not run, check one in so many all the same; 0 = 64. */
	uint64_t recheck;
	/*
	 * Two crashes: the command that recovers, run on each state under a
	 * recording whose own states are checked. NULL = none. Its own
	 * harness has a checker made of it and the same presenter.
	 */
	char *const *recover;
	struct platter_crash_harness *recover_harness;
	/*
	 * Results of an earlier run, by index: 1 = filled, 0 = not known; with
	 * `nested` from 1 on, those of its recovery. One whose name, hash or
	 * mark is not that of the state ends the run with -ESTALE.
	 */
	int (*known)(void *arg, uint64_t index, unsigned int nested,
		     struct platter_crash_record *record);
	/* Each result once, in the order of the walk. One thread at a time. */
	int (*result)(void *arg, const struct platter_crash_record *record,
		      struct platter_error *err);
	/* How far; called often, by one thread at a time. Non-zero: stop. */
	int (*tick)(void *arg, const struct platter_crash_census *census,
		    uint64_t done, uint64_t failing);
	void *arg;
};

enum platter_crash_end {
	PLATTER_CRASH_END_ALL,		/* every state was looked at */
	PLATTER_CRASH_END_FIRST,	/* a failure, with stop_on_first */
	PLATTER_CRASH_END_STATES,	/* max_states */
	PLATTER_CRASH_END_TIME,		/* max_time_ns */
	PLATTER_CRASH_END_STOPPED,	/* by tick() */
};

struct platter_crash_summary {
	struct platter_crash_census census;
	uint64_t done;		/* results given */
	uint64_t verdicts[PLATTER_CRASH_ERROR + 1];
	uint64_t not_run;	/* of done: by what they read */
	uint64_t rechecked, recheck_failed;
	uint64_t nested;	/* of done: of recoveries */
	uint64_t time_ns;	/* of all */
	uint64_t check_ns;	/* in checkers, all slots together */
	enum platter_crash_end end;
};

int platter_crash_explore(struct platter_crash *crash,
			  const struct platter_crash_explore_options *opts,
			  struct platter_crash_summary *summary,
			  struct platter_error *err) PLATTER_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
