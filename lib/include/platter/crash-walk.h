/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Crash states: which there are, one after the other, and how many. */
#ifndef PLATTER_CRASH_WALK_H
#define PLATTER_CRASH_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/crash-state.h>
#include <platter/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct platter_printer;
struct platter_crash_walk;

enum platter_crash_model {	/* from strict to weak */
	PLATTER_CRASH_MODEL_PREFIX,	/* in log order */
	PLATTER_CRASH_MODEL_EPOCH,	/* whole writes are missing */
	PLATTER_CRASH_MODEL_SECTOR,	/* atomic units are missing */
	PLATTER_CRASH_MODEL_SHORN,	/* ... or half written */
	PLATTER_CRASH_MODEL_GARBAGE,	/* ... or trashed */
};
int platter_crash_model_parse(enum platter_crash_model *out, const char *name,
			      struct platter_error *err) PLATTER_MUST_CHECK;
const char *platter_crash_model_name(enum platter_crash_model model);

#define PLATTER_CRASH_STRATEGY	"prefixes,2cp,tears"	/* by default */

struct platter_crash_plan {
	uint64_t from, to;	/* points; crashes in between, both included */
	enum platter_crash_model model;
	uint32_t unit;		/* atomic unit, bytes; 0 = the log's sector */
	/*
	 * Comma-separated: boundaries, prefixes, 2cp, subsets=K,
	 * exhaustive=BITS, tears, random=N (with seed=S). NULL = default.
	 */
	const char *strategies;
	/*
	 * Other strategies between marks, NULL-terminated or NULL:
	 * "MARK..MARK=STRATEGIES"; either mark may be empty.
	 */
	const char *const *regions;
	bool early_writes;
	/* What discards may leave: bits 1 << enum platter_crash_discard. */
	unsigned int discards;	/* 0 = zeros */
	/* Only states whose index has this rest: shard 0 of 1 has all. */
	uint32_t shard, shards;	/* shards 0 = 1 */
};

int platter_crash_walk_new(struct platter_crash_walk **out,
			   struct platter_crash *crash,
			   const struct platter_crash_plan *plan,
			   struct platter_error *err) PLATTER_MUST_CHECK;

/* A state the walk has come to; all of it is the walk's until the next call. */
struct platter_crash_found {
	const struct platter_crash_state *state;	/* ref to keep it */
	uint64_t index;		/* among the unique states of all shards */
	uint8_t hash[16];	/* of the content */
	const char *strategy;	/* that made it first; static */
	uint64_t mark;		/* entry of the last mark, UINT64_MAX = none */
};
/*
 * The next unique state (by content and last mark), always in the same order:
 * by crash point, then by strategy. 0 = *found filled, 1 = there are no more.
 */
int platter_crash_walk_next(struct platter_crash_walk *walk,
			    struct platter_crash_found *found,
			    struct platter_error *err) PLATTER_MUST_CHECK;
void platter_crash_walk_free(struct platter_crash_walk *walk);

#define PLATTER_CRASH_STRATEGIES 16

struct platter_crash_coverage {
	const char *strategy;	/* static */
	uint64_t made;		/* states */
	uint64_t possible;	/* UINT64_MAX: more than can be counted */
	uint64_t points;	/* at which it was used */
	uint64_t complete;	/* of them: all legal states were made there */
};
struct platter_crash_census {
	uint64_t points;	/* crash points looked at */
	uint64_t made;		/* states */
	uint64_t unique;
	uint64_t no_ops;	/* pending units that change nothing */
	uint64_t hidden;	/* states left out: covered by a later write */
	size_t nr;
	struct platter_crash_coverage strategies[PLATTER_CRASH_STRATEGIES];
	char text[256];		/* how complete, in a sentence */
};
/* So far; whole once the walk has ended. Of all shards, not of this one. */
void platter_crash_walk_census(const struct platter_crash_walk *walk,
			       struct platter_crash_census *out);
/* As the members of an open map or row, as in the JSON-lines report. */
void platter_crash_census_print(struct platter_printer *out,
				const struct platter_crash_census *census);

#ifdef __cplusplus
}
#endif
#endif
