/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crash states inside the library.
 *
 *	open.c		the log's entries, and when each is durable
 *	name.c		the names of states, both ways
 *	state.c		states: their items, their parts
 *	state-diff.c	where states may differ
 *	image.c		a state as a node
 *	image-*.c	what it shows: strokes and patches (image.h)
 *	scratch.c	what is written on top of a node, kept in memory: in
 *			leaves (leaf.c) of pages (store.c)
 *	scratch-io.c	reading and writing it
 *	units.c		content hashes of atomic units
 *	walk*.c		which states there are
 *	command*.c	checkers that are commands (command.h)
 *	builtin*.c	checkers by name
 *	harness.c	one state, checked
 *	marks.c		the marks a checker is told of
 *	explore*.c	all of them
 *	recover.c	two crashes
 *	verdict.c	verdicts and results
 *	shrink*.c	from a state that fails to its cause (shrink.h)
 *	ddmin.c		what is left of a set that still fails
 *	bisect.c	the first prefix that fails
 *	report*.c	results, written and read
 */
#ifndef PLT_CRASH_CRASH_H
#define PLT_CRASH_CRASH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/crash.h>

#include "wlog/wlog.h"

#define PLT_CRASH_NEVER	UINT64_MAX

/* An entry of the log, as states need it. */
struct plt_crash_entry {
	uint64_t start, length;	/* bytes on the device; 0: flush or mark */
	uint64_t data_offset;	/* bytes into the log; 0 = discard or no data */
	/*
	 * The first point at which it is durable: behind itself for FUA,
	 * behind the flush that covers it otherwise, or PLT_CRASH_NEVER.
	 */
	uint64_t durable;
	uint64_t flags;		/* PLATTER_LOG_* */
};

/* Numbers of entries, ascending. */
struct plt_crash_list {
	uint64_t *at;
	size_t nr, room;
};

/* The first in the list that is `entry` or behind it; list->nr if none. */
size_t plt_crash_list_from(const struct plt_crash_list *list, uint64_t entry);

struct platter_crash {
	struct platter_context *ctx;
	struct platter_log *log;	/* with an index */
	bool owns_log;
	struct platter_image *base;	/* or NULL */
	bool owns_base;
	uint64_t size;			/* bytes of the disk */
	uint32_t sector;		/* log sectors, bytes: units of names */
	uint64_t nr;			/* entries */
	struct plt_crash_entry *entry;
	uint64_t nr_marks;
	uint64_t *mark;			/* entries that are marks, ascending */
	char **mark_text;		/* of each, with a NUL behind it */
	size_t *mark_len;
	struct plt_crash_list flushes;	/* entries that flush */
	struct plt_crash_list discards;
	/*
	 * Writes that may be durable while an earlier one is pending: FUA, and
	 * with COVER_STRICT what a flush covered that left out others.
	 */
	struct plt_crash_list odd;
	/*
	 * flushed[p], p from 0 to nr: every entry before that one is durable
	 * at point p, whatever else is. What is pending at p lies in
	 * [flushed[p], p).
	 */
	uint64_t *flushed;
	/* Of the log of a recovery: the state it began from. Else NULL. */
	const struct platter_crash_state *outer;
	/* image-dropped.c: what `odd` leaves at the point asked for last. */
	pthread_mutex_t lock;		/* guards all below */
	struct plt_wlog_shared *under;
	uint64_t under_point;
	enum platter_crash_discard under_discard;
};

static inline bool plt_crash_writes(const struct plt_crash_entry *e)
{
	return e->length != 0;
}

static inline bool plt_crash_is_discard(const struct plt_crash_entry *e)
{
	return e->flags & PLATTER_LOG_DISCARD;
}

/* At point p, p behind the entry: may it be missing? */
static inline bool plt_crash_is_pending(const struct plt_crash_entry *e,
					uint64_t p)
{
	return plt_crash_writes(e) && e->durable > p;
}

/*
 * A log with an index and a base (or NULL) that are open and stay the
 * caller's. `size` as in platter_crash_options.
 */
int plt_crash_new(struct platter_crash **out, struct platter_context *ctx,
		  struct platter_log *log, struct platter_image *base,
		  uint64_t size, enum platter_crash_cover cover,
		  struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- states ---- */

/* Some log sectors of an entry that share a fate. */
struct plt_crash_item {
	uint64_t entry;
	uint32_t first, count;	/* log sectors, count > 0 */
	/* KEPT, DROPPED, SHORN, GARBAGE, PATTERN; EARLY: from behind */
	enum platter_crash_fate fate;
};

struct platter_crash_state {
	atomic_uint refs;
	struct platter_crash *crash;
	uint64_t point;
	/* Of durable discards; a pending one that is KEPT leaves zeros. */
	enum platter_crash_discard discard;
	/* What the pending writes no item speaks of are: KEPT or DROPPED. */
	enum platter_crash_fate rest;
	size_t nr;
	struct plt_crash_item *item;	/* by entry and sector; none overlap */
	_Atomic(char *) name;		/* made when asked for */
};

/*
 * Copies the items, which may come in any order, may touch, and are put in
 * order and joined; overlapping or illegal ones are -EINVAL. Two states with
 * the same pending parts in the same fates get the same name, whichever way
 * they are written here.
 */
int plt_crash_state_new(struct platter_crash_state **out,
			struct platter_crash *crash, uint64_t point,
			enum platter_crash_discard discard,
			enum platter_crash_fate rest,
			const struct plt_crash_item *items, size_t nr,
			struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * What it holds, as lib/wlog answers it: view->patches is the caller's to
 * free, and so is a hold on view->under; neither the state nor the crash is
 * needed for it any more, only the log. Garbage and patterns: plt_wlog_noise().
 */
struct plt_wlog_state;
int plt_crash_state_view(const struct platter_crash_state *state,
			 struct plt_wlog_state *view,
			 struct platter_error *err) PLATTER_MUST_CHECK;

/* Ranges of the disk, in ascending order, not touching. Zeroed = none. */
struct plt_crash_ranges {
	struct platter_crash_range *range;
	size_t nr, room;
};
int plt_crash_ranges_add(struct plt_crash_ranges *r, uint64_t offset,
			 uint64_t length) PLATTER_MUST_CHECK;
/* All of another list, behind what is there. */
int plt_crash_ranges_append(struct plt_crash_ranges *r,
			    const struct plt_crash_ranges *from,
			    struct platter_error *err) PLATTER_MUST_CHECK;
/* Into order, joined where they touch or overlap. */
void plt_crash_ranges_sort(struct plt_crash_ranges *r);
/* Leave of `r` what lies in `by`, too; both sorted. */
int plt_crash_ranges_clip(struct plt_crash_ranges *r,
			  const struct plt_crash_ranges *by,
			  struct platter_error *err) PLATTER_MUST_CHECK;
void plt_crash_ranges_free(struct plt_crash_ranges *r);

/*
 * Where two states of one crash may differ, sorted; more than `most` ranges:
 * 1, and anything may.
 */
int plt_crash_state_diff(const struct platter_crash_state *a,
			 const struct platter_crash_state *b, size_t most,
			 struct plt_crash_ranges *out,
			 struct platter_error *err) PLATTER_MUST_CHECK;

/* Points [from, to); from == to: none. */
struct plt_crash_span {
	uint64_t from, to;
	bool early;	/* its states may have writes from behind their points */
};

/*
 * Where states at points of the span may differ, if durable discards left the
 * same in them; sorted.
 */
int plt_crash_span_ranges(const struct platter_crash *crash,
			  const struct plt_crash_span *span,
			  struct plt_crash_ranges *out,
			  struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- scratch.c: see platter_scratch_new() ---- */

/*
 * Put another node below, and forget all that was written; no I/O may be under
 * way. `written` (or NULL) gets the ranges that were.
 */
int plt_scratch_reset(struct platter_image *scratch,
		      struct platter_image *lower,
		      struct plt_crash_ranges *written,
		      struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Note which bytes of `lower` are read from now on, or no more; what the
 * reader itself had written before is not noted. `reads`: sorted.
 */
void plt_scratch_watch(struct platter_image *scratch, bool watch);
int plt_scratch_reads(struct platter_image *scratch,
		      struct plt_crash_ranges *reads,
		      struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- walking: what explore and read-guided pruning need of it ---- */

/*
 * Classes of what was read: the walk keeps, for each, a hash of what its
 * current state holds there. `reads` is sorted. *id counts from 0; at most
 * PLT_CRASH_READ_SETS, the one used least is replaced. drop_reads() forgets
 * all of them.
 */
#define PLT_CRASH_READ_SETS 64u
int plt_crash_walk_add_reads(struct platter_crash_walk *walk,
			     const struct plt_crash_ranges *reads,
			     unsigned int *id, struct platter_error *err)
	PLATTER_MUST_CHECK;
void plt_crash_walk_drop_reads(struct platter_crash_walk *walk);
/* Hash of the content the state found last has in read set `id`. */
void plt_crash_walk_read_hash(const struct platter_crash_walk *walk,
			      unsigned int id, uint8_t hash[16]);
/* The same of the state `found` some calls ago, which is still held. */
int plt_crash_walk_read_hash_of(struct platter_crash_walk *walk,
				const struct platter_crash_state *state,
				unsigned int id, uint8_t hash[16],
				struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- harness ---- */

/*
 * Of what the next checks in the slot read, note what lies where the states of
 * the span may differ (plt_crash_span_ranges()): all else is the same for them,
 * and stays in the kernel's cache. The states to come are of the span, with the
 * same left by durable discards. An empty span: note nothing.
 */
int plt_crash_harness_watch(struct platter_crash_harness *harness,
			    unsigned int slot,
			    const struct platter_crash *crash,
			    const struct plt_crash_span *span,
			    struct platter_error *err) PLATTER_MUST_CHECK;
/* What the last check in the slot read of it. */
int plt_crash_harness_reads(struct platter_crash_harness *harness,
			    unsigned int slot, struct plt_crash_ranges *reads,
			    struct platter_error *err) PLATTER_MUST_CHECK;
unsigned int plt_crash_harness_slots(const struct platter_crash_harness *h);
const struct platter_crash_harness_options *
plt_crash_harness_options(const struct platter_crash_harness *h);
/*
 * Present `task->img` in the task's slot, run the checkers on it, withdraw it;
 * path, uri and timeout of the task are filled in. `changed` NULL: anything.
 */
int plt_crash_harness_present(struct platter_crash_harness *h,
			      struct platter_crash_task *task,
			      const struct plt_crash_ranges *changed,
			      bool direct, struct platter_crash_result *result,
			      struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Somebody else has presented in this slot, or the log of its last state is to
 * be closed.
 */
void plt_crash_harness_forget(struct platter_crash_harness *h,
			      unsigned int slot);
/*
 * harness.c, for recover.c: as platter_crash_harness_check(), once, with what
 * is written logged to `log`, an empty image open for writing. The slot's node
 * is then a plt_recording_new() over its scratch (wlog/recording.h), begun
 * before present() and ended after withdraw(); a harness used so is used for
 * nothing else. -ENOTSUP where the presenter does not see all writes at once.
 */
int plt_crash_harness_record(struct platter_crash_harness *harness,
			     unsigned int slot,
			     const struct platter_crash_state *state,
			     const char *name, struct platter_image *log,
			     struct platter_crash_result *result,
			     struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- recover.c ---- */

/*
 * Run `recover` of the harness (its one checker) on the state under a
 * recording. *nested is the log of what it wrote, on top of the state, as a
 * crash of its own: its states are the second crash. `name` is the state's.
 * What the command said of the state is in `result`; it may fail and its
 * writes still be explored. *nested NULL: it wrote nothing.
 */
int plt_crash_recover(struct platter_crash_harness *harness,
		      unsigned int slot,
		      const struct platter_crash_state *state,
		      const char *name, struct platter_crash **nested,
		      struct platter_crash_result *result,
		      struct platter_error *err) PLATTER_MUST_CHECK;
/* With its log, which is in a file without a name. */
void plt_crash_recover_close(struct platter_crash *nested);

#endif
