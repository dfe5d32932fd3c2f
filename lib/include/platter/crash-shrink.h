/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Crash states: finding the cause of a failure. */
#ifndef PLATTER_CRASH_SHRINK_H
#define PLATTER_CRASH_SHRINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/crash-check.h>
#include <platter/crash-state.h>
#include <platter/crash-walk.h>
#include <platter/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct platter_crash_shrink_options {
	struct platter_crash_harness *harness;
	unsigned int slots;
	enum platter_crash_model model;
	uint32_t unit;		/* as in the plan */
	/* Told of each state that was tried. Non-zero: stop. */
	int (*tried)(void *arg, const char *state,
		     const struct platter_crash_result *result, uint64_t left);
	void *arg;
};

/* Some log sectors of an entry. */
struct platter_crash_piece {
	uint64_t entry;
	uint64_t flags;			/* of the entry, PLATTER_LOG_* */
	uint32_t first, count;		/* log sectors of it */
	uint64_t offset, length;	/* of them on the disk, bytes */
	enum platter_crash_fate fate;	/* in the state that fails */
	bool whole;			/* that is all of the entry */
};

struct platter_crash_cause {
	struct platter_crash_state *failing;	/* 1-minimal */
	struct platter_crash_state *passing;	/* of the same point */
	/*
	 * What they differ in: of the atomic units in `pieces`, none can be
	 * given back, or taken away where it is one too many, that `failing`
	 * still fails. Nothing: it is in what discards leave.
	 */
	struct platter_crash_piece *pieces;
	size_t nr_pieces;
	bool whole;	/* all of the entries they are of may be missing */
	/* What it takes besides, so that it does fail. */
	struct platter_crash_piece *present;
	size_t nr_present;
	uint64_t mark;	/* entry that has to be passed; UINT64_MAX = none */
	struct platter_crash_result result;	/* of `failing` */
	uint64_t tried;		/* states */
	char sentence[512];	/* what is missing while what is present */
};
/*
 * ddmin on the difference between `state`, which fails, and the nearest state
 * that passes: first writes, then units, then an earlier point. What the
 * checker will not say of a state counts as no failure. The result, and what
 * tried() is told, do not depend on how many slots there are. -ENOENT: no
 * legal state near it passes; -EINVAL: it does not fail. `cause` is for
 * platter_crash_cause_clear() in any case.
 */
int platter_crash_shrink(const struct platter_crash_state *state,
			 const struct platter_crash_shrink_options *opts,
			 struct platter_crash_cause *cause,
			 struct platter_error *err) PLATTER_MUST_CHECK;
void platter_crash_cause_clear(struct platter_crash_cause *cause);

struct platter_crash_bisect_options {
	struct platter_crash_harness *harness;
	uint64_t good, bad;	/* points */
	/* Verdicts of before, by point: 1 = *verdict filled, 0 = not known. */
	int (*known)(void *arg, uint64_t point,
		     enum platter_crash_verdict *verdict);
	/*
	 * Told of each prefix that was checked, or known; `left`: how many it
	 * takes yet, more or less. Negative: trouble; positive: stop.
	 */
	int (*tried)(void *arg, const struct platter_crash_state *state,
		     const struct platter_crash_result *result, uint64_t left,
		     struct platter_error *err);
	void *arg;
};
struct platter_crash_first {
	uint64_t bad;		/* the first point that fails */
	/* The last before it that passes: those between were skipped. */
	uint64_t good;
	uint64_t tried;		/* of them, those checked now */
};
/*
 * The first point behind `good` whose prefix fails, by halving. `good` has to
 * pass and `bad` to fail, else -EINVAL. What is neither pass nor fail is
 * stepped around. Points that differ in nothing but flushes are one.
 */
int platter_crash_bisect(struct platter_crash *crash,
			 const struct platter_crash_bisect_options *opts,
			 struct platter_crash_first *first,
			 struct platter_error *err) PLATTER_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
