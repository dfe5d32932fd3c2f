/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Walking over the states of a log.
 *
 *	walk.c		from point to point, and from strategy to strategy
 *	walk-plan.c	what was asked for
 *	walk-seen.c	which states have been
 *	walk-census.c	how many there were, and of how many
 *	walk-writes.c	strategies on whole writes
 *	walk-parts.c	strategies on parts of writes
 *	walk-random.c walk-exhaustive.c walk-early.c walk-damage.c
 *	walk-reads.c	read sets
 *
 * At each point strategies make candidates, one at a time: what differs from
 * all or from none of what is pending, and the hash of it. Only a candidate
 * whose hash is new becomes a state.
 */
#ifndef PLT_CRASH_WALK_H
#define PLT_CRASH_WALK_H

#include "crash/units.h"

/* In this order at each point. */
enum plt_crash_strategy {
	PLT_CRASH_PREFIXES,
	PLT_CRASH_BOUNDARIES,
	PLT_CRASH_2CP,
	PLT_CRASH_SUBSETS,
	PLT_CRASH_TEARS,
	PLT_CRASH_EXHAUSTIVE,
	PLT_CRASH_RANDOM,
	/* Not asked for by name, but by the model and other choices. */
	PLT_CRASH_EARLY,
	PLT_CRASH_DISCARDS,
	PLT_CRASH_SHORN,
	PLT_CRASH_GARBAGE,
	PLT_CRASH_NR_STRATEGIES,
};
_Static_assert(PLT_CRASH_NR_STRATEGIES <= PLATTER_CRASH_STRATEGIES,
	       "the census has room for them");

/* Which of them, and how much. */
struct plt_crash_effort {
	unsigned int use;	/* bits 1 << enum plt_crash_strategy */
	unsigned int subsets;	/* K */
	unsigned int bits;	/* of exhaustive */
	uint64_t random, seed;
};

struct plt_crash_region {
	uint64_t from, to;	/* points, `to` not included */
	struct plt_crash_effort effort;
};

/* Hashes that were seen since the last mark. */
struct plt_crash_seen {
	struct plt_hash128 *slot;	/* all zero: free */
	uint64_t nr, room;
	bool zero;			/* the hash that is all zero was, too */
};

/* A state that may be a new one. */
struct plt_crash_candidate {
	enum platter_crash_fate rest;
	struct plt_crash_item *item;
	size_t nr, room;
	struct plt_crash_tally tally;
};

/* How many different contents a strategy made at a point, if few. */
#define PLT_CRASH_FEW	256u
struct plt_crash_few {
	struct plt_hash128 hash[PLT_CRASH_FEW];
	size_t nr;
};

/* Where a strategy is at a point. */
struct plt_crash_cursor {
	uint64_t i;
	unsigned int step, part;
	bool dropped;		/* the others are dropped, else kept */
	bool skipped;		/* it could not do all it is there for */
	size_t pick[8];		/* of subsets */
};

struct plt_crash_component;

struct platter_crash_walk {
	struct platter_crash *crash;
	uint64_t from, to;
	enum platter_crash_model model;
	uint32_t unit;			/* log sectors */
	bool early;
	bool pattern;			/* discards that are pending, too */
	uint32_t shard, shards;
	struct plt_crash_effort effort;	/* where no region is */
	struct plt_crash_region *region;
	size_t nr_regions;

	/* One for each thing durable discards may leave. */
	struct plt_crash_units *units[3];
	size_t nr_units;

	/* Where it is: at a point, a strategy there, and one of the units. */
	uint64_t point;
	bool crash_point;
	enum plt_crash_strategy strategy;
	size_t unit_nr;
	bool started;			/* the strategy's cursor is set */
	bool ended;
	struct plt_crash_cursor cursor;

	/* Of the point and units: pending writes that make a difference. */
	size_t *choice;			/* units->pending[] */
	size_t nr_choices, room_choices;
	bool have_choices;
	/* ... how many legal states there are: UINT64_MAX, too many. */
	uint64_t legal;
	bool have_legal;
	struct plt_crash_few few;
	struct plt_crash_few prefixes;	/* since what is durable grew last */
	bool complete;			/* the strategy, so far */
	bool point_complete;		/* one of the strategies */
	uint64_t complete_points;

	struct plt_crash_component *component;	/* of exhaustive */
	size_t nr_components, room_components;

	/* The disk before the window, for what is shorn; or NULL. */
	struct platter_image *before;
	uint64_t before_to;
	enum platter_crash_discard before_discard;

	struct plt_crash_piece *piece;	/* scratch */
	size_t nr_pieces, room_pieces;
	struct plt_crash_candidate candidate;
	struct plt_crash_seen seen;
	uint64_t mark;			/* of the point; UINT64_MAX = none */
	uint64_t index;			/* of the next unique state */
	struct platter_crash_state *state;
	struct platter_crash_census census;
	uint64_t no_ops;		/* in front of the part */
	unsigned int skipped;		/* bits: strategies that had to */
	uint64_t used[PLT_CRASH_READ_SETS];	/* when, for replacing */
	uint64_t clock;
};

/* ---- walk-plan.c ---- */

extern const char *const plt_crash_strategy_names[PLT_CRASH_NR_STRATEGIES];
int plt_crash_walk_plan(struct platter_crash_walk *w,
			const struct platter_crash_plan *plan,
			struct platter_error *err) PLATTER_MUST_CHECK;
/* What is to be made at a point. */
const struct plt_crash_effort *
plt_crash_walk_effort(const struct platter_crash_walk *w, uint64_t point);

/* ---- walk-seen.c ---- */

/* 1 = it is new, and known from now on. */
int plt_crash_seen_add(struct plt_crash_seen *s, struct plt_hash128 hash,
		       struct platter_error *err) PLATTER_MUST_CHECK;
void plt_crash_seen_clear(struct plt_crash_seen *s);
void plt_crash_seen_free(struct plt_crash_seen *s);

/* ---- walk-census.c ---- */

/* The candidate counts, whether it is new or not. */
void plt_crash_census_made(struct platter_crash_walk *w);
/* The strategy has no more at this crash point with these units. */
int plt_crash_census_strategy(struct platter_crash_walk *w,
			      struct platter_error *err) PLATTER_MUST_CHECK;
/* `w->point` is reached, or left. */
void plt_crash_census_arrive(struct platter_crash_walk *w, bool grew);
void plt_crash_census_leave(struct platter_crash_walk *w);

/* ---- making candidates ---- */

static inline struct plt_crash_units *
plt_crash_walk_units(const struct platter_crash_walk *w)
{
	return w->units[w->unit_nr];
}

/* Find the pending writes that make a difference, unless that has been done. */
int plt_crash_walk_choices(struct platter_crash_walk *w,
			   struct platter_error *err) PLATTER_MUST_CHECK;
/* Does anything of pending[index] show where all are present? */
bool plt_crash_shows(const struct plt_crash_units *u, size_t index);
/* How many legal states the point has. */
int plt_crash_walk_legal(struct platter_crash_walk *w,
			 struct platter_error *err) PLATTER_MUST_CHECK;
void plt_crash_walk_components_free(struct platter_crash_walk *w);
/* A candidate to be filled: all present, or none. */
void plt_crash_candidate_begin(struct platter_crash_walk *w,
			       enum platter_crash_fate rest);
/* Another fate for some sectors of pending[index]. */
int plt_crash_candidate_add(struct platter_crash_walk *w, size_t index,
			    uint32_t first, uint32_t count,
			    struct platter_error *err) PLATTER_MUST_CHECK;
/* Hash it. The pieces are brought into the order units_with() needs. */
void plt_crash_candidate_end(struct platter_crash_walk *w);
/* An item as it is; what it does to the hash is the caller's. */
int plt_crash_candidate_item(struct platter_crash_walk *w,
			     const struct plt_crash_item *item,
			     struct platter_error *err) PLATTER_MUST_CHECK;

/* Sectors of pending[index]; units of the model it consists of. */
uint32_t plt_crash_walk_sectors(const struct platter_crash_walk *w,
				size_t index);
uint32_t plt_crash_walk_parts(const struct platter_crash_walk *w, size_t index);
/* The sectors of it that lie in its units [from, to). */
void plt_crash_walk_part(const struct platter_crash_walk *w, size_t index,
			 uint32_t from, uint32_t to, uint32_t *first,
			 uint32_t *count);

/*
 * Strategies: begin() returns 1 when there is nothing to do, next() fills the
 * candidate, or returns 1 when there are no more.
 */
struct plt_crash_maker {
	int (*begin)(struct platter_crash_walk *w, struct platter_error *err);
	int (*next)(struct platter_crash_walk *w, struct platter_error *err);
};
extern const struct plt_crash_maker plt_crash_make_boundaries;
extern const struct plt_crash_maker plt_crash_make_2cp;
extern const struct plt_crash_maker plt_crash_make_subsets;
extern const struct plt_crash_maker plt_crash_make_tears;
extern const struct plt_crash_maker plt_crash_make_exhaustive;
extern const struct plt_crash_maker plt_crash_make_random;
extern const struct plt_crash_maker plt_crash_make_early;
extern const struct plt_crash_maker plt_crash_make_discards;
extern const struct plt_crash_maker plt_crash_make_damage;

#endif
