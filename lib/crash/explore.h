/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exploring: what its files share.
 *
 *	explore.c	the walk, the order of results, limits
 *	explore-task.c	one state and, after its recovery, those of a second
 *			crash; in a thread of its slot
 *	explore-reads.c	states that need not be run, as what their checker
 *			would read has been run
 */
#ifndef PLT_CRASH_EXPLORE_H
#define PLT_CRASH_EXPLORE_H

#include "crash/crash.h"

enum plt_explore_phase {
	PLT_EXPLORE_READY,
	PLT_EXPLORE_TAKEN,
	PLT_EXPLORE_DONE,
	/* To see if one before it, which is run, has read the same. */
	PLT_EXPLORE_WAITING,
};

/* A state on its way from the walk to its result. */
struct plt_explore_task {
	enum plt_explore_phase phase;
	struct platter_crash_state *state;
	struct platter_crash_record record;
	char *mark;		/* of the record; or NULL */
	char *same_as;		/* of the record; or NULL */
	bool known;		/* the record is an earlier run's */
	/* Not to be run but to see if it is as expected: then `expected`. */
	bool recheck;
	enum platter_crash_verdict expected;
	struct plt_crash_ranges reads;	/* of its checker, if that counts */
	/* Of second crashes; names are owned, but for known ones. */
	struct platter_crash_record *nested;
	size_t nr_nested, nested_room;
	size_t nested_known;	/* so many of them, the first */
	int rc;
	struct platter_error err;
};

/* explore-task.c */
void plt_explore_run(const struct platter_crash_explore_options *opts,
		     struct plt_explore_task *task, unsigned int slot);
void plt_explore_task_clear(struct plt_explore_task *task);

/* explore-reads.c */
struct plt_explore_reads;
int plt_explore_reads_new(struct plt_explore_reads **out,
			  struct platter_error *err) PLATTER_MUST_CHECK;
void plt_explore_reads_free(struct plt_explore_reads *r);
/*
 * The state the walk has just found: when one that was run reads the same, its
 * result is put into the task. 1 = it was. 2 = one of the same batch is likely
 * to, so this one is to wait; begin() says that a batch begins.
 */
int plt_explore_reads_find(struct plt_explore_reads *r,
			   const struct platter_crash_walk *walk,
			   struct plt_explore_task *task,
			   struct platter_error *err) PLATTER_MUST_CHECK;
void plt_explore_reads_begin(struct plt_explore_reads *r);
/* The same of one that has waited, when all before it are learned: 0 or 1. */
int plt_explore_reads_find_again(struct plt_explore_reads *r,
				 struct platter_crash_walk *walk,
				 struct plt_explore_task *task,
				 struct platter_error *err) PLATTER_MUST_CHECK;
/* Take in what a task that was run has read. */
int plt_explore_reads_learn(struct plt_explore_reads *r,
			    struct platter_crash_walk *walk,
			    const struct plt_explore_task *task,
			    struct platter_error *err) PLATTER_MUST_CHECK;

#endif
