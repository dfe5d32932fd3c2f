/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exploring: what its files share.
 *
 *	explore.c	the walk, the order of results, limits
 *	explore-ring.c	states between walk and result, and the threads that
 *			check them
 *	explore-task.c	one state and, after its recovery, those of a second
 *			crash; in a thread of its slot
 *	explore-known.c	results of an earlier run
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
	/*
	 * To see, when it is the first, if one before it has read the same and
	 * it need not be run, which is likely not so, or is. Threads without
	 * other work begin with those already, and then they are TRIED.
	 */
	PLT_EXPLORE_LIKELY,
	PLT_EXPLORE_WAITING,
	PLT_EXPLORE_TRYING,
	PLT_EXPLORE_TRIED,
};

/* A state on its way from the walk to its result. */
struct plt_explore_task {
	enum plt_explore_phase phase;
	struct platter_crash_state *state;
	struct platter_crash_record record;
	char *mark;		/* of the record; or NULL */
	char *same_as;		/* of the record; or NULL */
	bool known;		/* the record is an earlier run's */
	bool likely;		/* was LIKELY, not WAITING */
	/* Not to be run but to see if it is as expected: then `expected`. */
	bool recheck;
	enum platter_crash_verdict expected;
	struct plt_crash_span span;	/* to be watched in; or empty */
	struct plt_crash_ranges reads;	/* of its checker there */
	/* Of second crashes; names are owned, but for known ones. */
	struct platter_crash_record *nested;
	size_t nr_nested, nested_room;
	size_t nested_known;	/* so many of them, the first */
	int rc;
	struct platter_error err;
};

/* ---- explore-ring.c ---- */

/*
 * States in the order of the walk. The calling thread puts them in at the end
 * and takes them out at the head, when they are DONE; in between a thread for
 * each slot runs those that are READY. Only the calling thread may look at a
 * task that is not TAKEN or TRYING.
 */
struct plt_explore_ring;
/* Room for `room` tasks; none is begun behind `deadline_ns` (0: never). */
int plt_explore_ring_new(struct plt_explore_ring **out,
			 const struct platter_crash_explore_options *opts,
			 unsigned int slots, uint64_t room,
			 uint64_t deadline_ns, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* What runs is waited for; what is left is cleared. NULL is ok. */
void plt_explore_ring_free(struct plt_explore_ring *ring);
uint64_t plt_explore_ring_count(const struct plt_explore_ring *ring);
/* The place behind the last, free to be filled; then put() puts it in. */
struct plt_explore_task *plt_explore_ring_free_place(
	struct plt_explore_ring *ring);
void plt_explore_ring_put(struct plt_explore_ring *ring);
/* The first, which there is, and what becomes of it. */
struct plt_explore_task *plt_explore_ring_head(struct plt_explore_ring *ring);
enum plt_explore_phase plt_explore_ring_phase(struct plt_explore_ring *ring);
void plt_explore_ring_set_phase(struct plt_explore_ring *ring,
				enum plt_explore_phase phase);
/* Are tasks that are LIKELY, WAITING, worth being tried? */
void plt_explore_ring_set_worth(struct plt_explore_ring *ring, bool likely,
				bool waiting);
/*
 * Wait, not for long, until the first is neither READY, TAKEN nor TRYING.
 * *late: the deadline is over and nobody has begun it.
 */
void plt_explore_ring_wait(struct plt_explore_ring *ring, bool *late);
/* Clear the first, and on to the next. */
void plt_explore_ring_next(struct plt_explore_ring *ring);

/* ---- explore-task.c ---- */

void plt_explore_run(const struct platter_crash_explore_options *opts,
		     struct plt_explore_task *task, unsigned int slot);
/* All that running it has left. */
void plt_explore_task_undo(struct plt_explore_task *task);
void plt_explore_task_clear(struct plt_explore_task *task);

/* ---- explore-known.c ---- */

/*
 * If the result of a task that is filled is known, it becomes the task's, and
 * it is DONE: 1, else 0. -ESTALE: it is of another state.
 */
int plt_explore_known(const struct platter_crash_explore_options *opts,
		      struct plt_explore_task *task, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- explore-reads.c ---- */

struct plt_explore_reads;
/* `early`: the walk makes states with early writes. */
int plt_explore_reads_new(struct plt_explore_reads **out, bool early,
			  struct platter_error *err) PLATTER_MUST_CHECK;
void plt_explore_reads_free(struct plt_explore_reads *r);
/* The span, if the point is in it, else NULL. */
const struct plt_crash_span *
plt_explore_reads_span(const struct plt_explore_reads *r, uint64_t point);
/* A span begins with this state; all that was learned is forgotten. */
int plt_explore_reads_enter(struct plt_explore_reads *r,
			    struct platter_crash_walk *walk,
			    const struct platter_crash_state *state,
			    struct platter_error *err) PLATTER_MUST_CHECK;
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
/*
 * The same of one that has waited, when all before it are learned: 0 or 1. Its
 * record has no result yet.
 */
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
