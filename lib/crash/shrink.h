/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shrinking: what its files share.
 *
 *	shrink.c	the way from a failing state to its cause
 *	shrink-cause.c	what else there is to say of it
 *	shrink-frame.c	two states of a point, and those in between
 *	shrink-try.c	trying states: in parallel, none twice
 *	shrink-say.c	the cause in words
 *	ddmin.c
 */
#ifndef PLT_CRASH_SHRINK_H
#define PLT_CRASH_SHRINK_H

#include "base/hash.h"
#include "crash/crash.h"
#include "crash/ddmin.h"

/* ---- shrink-frame.c ---- */

/* Log sectors of an entry that fare otherwise in the one than in the other. */
struct plt_shrink_part {
	uint64_t entry;
	uint32_t first, count;
	enum platter_crash_fate fail, pass;
};

/*
 * A state that fails, one that passes, and what they differ in. Each element
 * is some of the parts, as they are in the failing state or in the passing one.
 */
struct plt_shrink_frame {
	struct platter_crash *crash;
	uint64_t point;
	enum platter_crash_discard discard;
	enum platter_crash_fate rest;
	bool fixed;			/* to its point */
	struct plt_crash_item *same;	/* in both, and not as `rest` says */
	size_t nr_same;
	struct plt_shrink_part *part;	/* in order */
	size_t nr_parts;
	size_t *start;		/* part each element begins with, and the end */
	size_t nr;
};

/* What the passing state has of the pending writes. */
enum plt_shrink_other {
	PLT_SHRINK_ALL,
	PLT_SHRINK_ALL_OF_EPOCH,	/* and those behind, up to a barrier */
	PLT_SHRINK_NONE,
	PLT_SHRINK_COMPLEMENT,	/* what is missing in the failing one */
	PLT_SHRINK_PREFIX,	/* those in front of an entry */
};
/*
 * `until`: the entry of PREFIX, or the last point for ALL_OF_EPOCH.
 * 1: there is no such frame, or they do not differ. What is in the frame is to
 * be freed in any case. Its elements are whole entries.
 */
int plt_shrink_frame_init(struct plt_shrink_frame *f,
			  const struct platter_crash_state *fail,
			  enum plt_shrink_other other, uint64_t until,
			  struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * The writes that are kept in a state, as elements that are missing from what
 * passes; `except` are as they are in its failing, or its passing state.
 */
int plt_shrink_frame_kept(struct plt_shrink_frame *f,
			  const struct platter_crash_state *state,
			  const struct plt_shrink_frame *except, bool failing,
			  struct platter_error *err) PLATTER_MUST_CHECK;
void plt_shrink_frame_free(struct plt_shrink_frame *f);

/* The state with some elements as they fail; NULL = all of them. */
int plt_shrink_frame_state(const struct plt_shrink_frame *f, const bool *chosen,
			   struct platter_crash_state **out,
			   struct platter_error *err) PLATTER_MUST_CHECK;
/* Both ends: all of them as they fail, and as they pass. */
int plt_shrink_frame_ends(const struct plt_shrink_frame *f,
			  struct platter_crash_state **fail,
			  struct platter_crash_state **pass,
			  struct platter_error *err) PLATTER_MUST_CHECK;
/* Forget all elements but these; the others are as they pass. */
int plt_shrink_frame_keep(struct plt_shrink_frame *f, const size_t *element,
			  size_t nr, struct platter_error *err)
	PLATTER_MUST_CHECK;
/*
 * Cut the elements into atomic units of `unit` bytes of the disk, or into as
 * many pieces as can be dealt with. 1: they are no larger already.
 */
int plt_shrink_frame_cut(struct plt_shrink_frame *f, uint32_t unit,
			 struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * A copy in which entries of which anything is missing are missing as a whole;
 * they are its elements. 1: in some of them it is not that which differs.
 */
int plt_shrink_frame_widen(struct plt_shrink_frame *f,
			   const struct plt_shrink_frame *from,
			   struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- shrink-try.c ---- */

struct plt_shrink_tried {
	char hash[PLT_SHA256_HEX];	/* of what differs from `like` */
	uint64_t mark;			/* entry of the last one */
	struct platter_crash_result result;
	bool done, told;
};

struct plt_shrink {
	struct platter_crash *crash;
	const struct platter_crash_shrink_options *opts;
	unsigned int slots;
	struct platter_crash_state *like;	/* to compare with */
	struct platter_image *image;		/* of it */
	struct plt_shrink_tried **tried;
	size_t nr, room;
	uint64_t told;
};

/* What is in `s` is to be freed in any case. */
int plt_shrink_init(struct plt_shrink *s,
		    const struct platter_crash_state *like,
		    const struct platter_crash_shrink_options *opts,
		    struct platter_error *err) PLATTER_MUST_CHECK;
void plt_shrink_free(struct plt_shrink *s);

/* What is looked for: `fail` fails and, unless it is NULL, `pass` passes. */
struct plt_shrink_pair {
	struct platter_crash_state *fail, *pass;
};

struct plt_shrink_search {
	/* Makes number `i`; the pair's states go to the caller. */
	int (*make)(struct plt_shrink_search *self, size_t i,
		    struct plt_shrink_pair *pair, struct platter_error *err);
	size_t nr;
	bool *all;	/* or NULL: look on, this is to say of each */
};
/* The first that is so; *which = nr: none is. -ECANCELED: told to stop. */
int plt_shrink_first(struct plt_shrink *s, struct plt_shrink_search *search,
		     size_t *which, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* What became of one state; the result stays the shrink's. */
int plt_shrink_try(struct plt_shrink *s, struct platter_crash_state *state,
		   const struct platter_crash_result **result,
		   struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- shrink-cause.c ---- */

/* Fill `cause` from the frame that is left. */
int plt_shrink_conclude(struct plt_shrink *s, const struct plt_shrink_frame *f,
			struct platter_crash_cause *cause,
			struct platter_error *err) PLATTER_MUST_CHECK;
/* What became of cause->failing. */
int plt_shrink_take_result(struct plt_shrink *s,
			   struct platter_crash_cause *cause,
			   struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- shrink-say.c ---- */

/* The sentence, from all else there is in the cause. */
void plt_shrink_say(struct platter_crash_cause *cause);

#endif
