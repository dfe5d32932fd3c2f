/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crash states: what a disk may hold after a power cut, by its write log.
 *
 * At a point of the log (see <platter/log.h>) a write is durable when a flush
 * logged behind it and before the point covers it, or when it is FUA; every
 * other write so far is pending. A crash state takes, for each atomic unit of
 * the disk, what is durable there or any of the pending versions of it.
 * doc/man/platter-crash.7.scd tells the whole model and its words.
 *
 *	open -> walk (which states are there)     -> names, images
 *	     -> harness (where they are checked)  -> explore, shrink, bisect
 *
 * Threads: a platter_crash is immutable once open, and so is a state; any
 * number of threads may use both. A walk belongs to one thread. Of a harness,
 * each slot belongs to one thread at a time.
 */
#ifndef PLATTER_CRASH_H
#define PLATTER_CRASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <platter/error.h>
#include <platter/image.h>
#include <platter/log.h>

#ifdef __cplusplus
extern "C" {
#endif

struct platter_printer;
struct platter_progress;
struct platter_crash;
struct platter_crash_state;
struct platter_crash_walk;
struct platter_crash_harness;

/* ---- a log, ready to crash ---- */

/* What a discard that is durable leaves behind. */
enum platter_crash_discard {
	PLATTER_CRASH_DISCARD_ZERO,
	PLATTER_CRASH_DISCARD_OLD,	/* what was there before */
	PLATTER_CRASH_DISCARD_PATTERN,	/* bytes nobody wrote */
};

/* Which writes a flush covers. */
enum platter_crash_cover {
	PLATTER_CRASH_COVER_LOGGED,	/* all that are logged before it */
	/* Of those, the ones issued before it, where the log knows. */
	PLATTER_CRASH_COVER_STRICT,
};

struct platter_crash_options {
	const char *base;	/* image before entry 0; NULL = zeros */
	const char *base_format;	/* NULL = probe */
	/* Or a node that is open; the caller's, must outlive. */
	struct platter_image *base_image;
	struct platter_log_options log;
	uint64_t size;		/* of the disk, bytes; 0 = as the base, or as
				   far as the log reaches */
	enum platter_crash_cover cover;
	struct platter_progress *progress;	/* or NULL */
};

/* Reads all headers. `opts` may be NULL. */
int platter_crash_open(struct platter_crash **out, struct platter_context *ctx,
		       const char *log,
		       const struct platter_crash_options *opts,
		       struct platter_error *err) PLATTER_MUST_CHECK;
void platter_crash_close(struct platter_crash *crash);	/* NULL is ok */

struct platter_log *platter_crash_log(const struct platter_crash *crash);
uint64_t platter_crash_size(const struct platter_crash *crash);	/* bytes */
uint64_t platter_crash_entries(const struct platter_crash *crash);
/* The node of the base, or NULL for zeros. */
struct platter_image *platter_crash_base(const struct platter_crash *crash);

/* The last mark before a point: its entry, or UINT64_MAX for none. */
uint64_t platter_crash_mark_before(const struct platter_crash *crash,
				   uint64_t point, const char **text,
				   size_t *len);

/* ---- states and their names ---- */

/*
 *	POINT			all of the first POINT entries
 *	POINT-LIST		without the listed writes
 *	POINT+LIST		of the pending writes, only the listed ones;
 *				with nothing listed: only what is durable
 *	... ^LIST		and these from behind the point (early writes)
 *	... ~old, ... ~pattern	what durable discards leave, if not zeros
 *	LIST			ITEM,ITEM,...
 *	ITEM			ENTRY or ENTRY..ENTRY, then [FIRST:END] for
 *				some of its log sectors, counted from 0, END
 *				not with them, or [SECTOR]; then a letter:
 *				s shorn (the first half of each sector is new),
 *				g garbage, p pattern (of a discard)
 *	STATE@STATE		of the log of a recovery from the first one
 *
 * Items of a letter may stand in either list. The same name gives the same
 * bytes on every machine. A name that a point of the log gives ("mark:a") is
 * accepted, too. -EINVAL says what is wrong: a write that is durable there
 * cannot be missing.
 */
int platter_crash_state_parse(struct platter_crash_state **out,
			      struct platter_crash *crash, const char *name,
			      struct platter_error *err) PLATTER_MUST_CHECK;
/* Another hold on it. */
struct platter_crash_state *
platter_crash_state_ref(const struct platter_crash_state *state);
void platter_crash_state_unref(struct platter_crash_state *state);
/* The shortest name; made when first asked for, owned by the state. */
const char *platter_crash_state_name(const struct platter_crash_state *state);
uint64_t platter_crash_state_point(const struct platter_crash_state *state);
struct platter_crash *
platter_crash_state_crash(const struct platter_crash_state *state);

/* What a state consists of, for people and programs. */
enum platter_crash_fate {
	PLATTER_CRASH_DURABLE,	/* present, and must be */
	PLATTER_CRASH_KEPT,	/* pending, and present */
	PLATTER_CRASH_DROPPED,	/* pending, and missing */
	PLATTER_CRASH_SHORN,
	PLATTER_CRASH_GARBAGE,
	PLATTER_CRASH_PATTERN,	/* of a discard */
	PLATTER_CRASH_EARLY,	/* from behind the point, and present */
};
/* "durable", "kept", ... */
const char *platter_crash_fate_name(enum platter_crash_fate fate);
struct platter_crash_part {
	struct platter_log_entry entry;
	enum platter_crash_fate fate;
	uint32_t first, count;	/* log sectors of it */
};
/* A non-zero return stops the walk and is returned. */
struct platter_crash_part_visitor {
	int (*visit)(struct platter_crash_part_visitor *self,
		     const struct platter_crash_part *part,
		     struct platter_error *err);
};
/*
 * In log order, in parts of one fate: each pending write; DURABLE, too, are
 * those among them that are not (FUA); and early writes.
 */
int platter_crash_state_parts(const struct platter_crash_state *state,
			      struct platter_crash_part_visitor *visitor,
			      struct platter_error *err) PLATTER_MUST_CHECK;

/* The state as a node to read. The crash must outlive it. */
int platter_crash_state_image(struct platter_image **out,
			      const struct platter_crash_state *state,
			      struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * A node to write on top of one to read, `lower`, which stays the caller's.
 * What is written is kept in memory, from `memory` bytes on in an unlinked
 * file below TMPDIR, and gone when the node is closed. Any number of threads.
 */
int platter_scratch_new(struct platter_image **out, struct platter_image *lower,
			uint64_t memory, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- which states ---- */

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

/* ---- checking ---- */

enum platter_crash_verdict {
	PLATTER_CRASH_PASS,
	PLATTER_CRASH_FAIL,
	PLATTER_CRASH_SKIP,	/* the checker would not say: exit 125 */
	PLATTER_CRASH_FLAKY,	/* two runs on the same state differ */
	PLATTER_CRASH_ERROR,	/* it could not be run */
};
const char *platter_crash_verdict_name(enum platter_crash_verdict verdict);
int platter_crash_verdict_parse(enum platter_crash_verdict *out,
				const char *name, struct platter_error *err)
	PLATTER_MUST_CHECK;

#define PLATTER_CRASH_OUTPUT_MAX (64u << 10)	/* kept: its last bytes */

struct platter_crash_result {
	enum platter_crash_verdict verdict;
	char reason[256];	/* "exit status 4", "signal 11 (...)", ... */
	int status;		/* exit status, or -1 */
	int signal;		/* it died of, or 0 */
	bool timed_out;
	uint64_t time_ns;
	char *output;		/* of what did not pass, or NULL; freed by */
	size_t output_len;	/* platter_crash_result_clear() */
};
void platter_crash_result_clear(struct platter_crash_result *result);

/* One state in one slot, ready to be looked at and to be written to. */
struct platter_crash_task {
	const struct platter_crash_state *state;
	const char *name;	/* of the state, with those it came from */
	unsigned int slot;
	struct platter_image *img;	/* the slot's; private to it */
	const char *path;	/* as a file, or NULL */
	const char *uri;	/* by NBD, or NULL */
	uint64_t mark;		/* entry of the last mark, UINT64_MAX = none */
	const char *mark_text;	/* escaped as platter_bytes_escape() does, "" */
	const char *marks_file;	/* with all marks so far, a line each */
	unsigned int timeout_ms;	/* 0 = none */
};

/*
 * Decides on a state. Called by as many threads at once as there are slots.
 * A negative return is trouble that ends the run; what is wrong with one state
 * alone is a verdict.
 */
struct platter_crash_checker {
	int (*check)(struct platter_crash_checker *self,
		     const struct platter_crash_task *task,
		     struct platter_crash_result *result,
		     struct platter_error *err);
	/*
	 * End what check() does in all slots, at once, and do no more: it
	 * returns -ECANCELED. From any thread. NULL: it is waited for.
	 */
	void (*stop)(struct platter_crash_checker *self);
	void (*free)(struct platter_crash_checker *self);
	const char *name;	/* for reports */
	bool needs_path;	/* else the image is enough */
	bool needs_uri;
};
void platter_crash_checker_free(struct platter_crash_checker *checker);

/*
 * The path of a program as a shell finds it, for free(): -ENOENT when there is
 * none of that name, -EACCES when it cannot be executed.
 */
int platter_program_find(char **path, const char *name,
			 struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * Any command: {} is the path and {nbd} the URI in its words; the environment
 * has PLATTER_STATE, PLATTER_ENTRY (the point), PLATTER_MARK, PLATTER_MARKS,
 * PLATTER_PATH, PLATTER_NBD.
 * Exit 0 passes, 125 skips, all else fails, and so do a signal and no end in
 * time. Each runs below a process of its own that ends whatever it leaves
 * behind. `slots`: how many may run at once. To be made before there are
 * threads. The words stay the caller's.
 */
struct platter_crash_command_options {
	char *const *words;	/* NULL-terminated */
	unsigned int slots;
	unsigned int grace_ms;	/* from SIGTERM to SIGKILL; 0 = 1000 */
};
int platter_crash_command_new(struct platter_crash_checker **out,
			      const struct platter_crash_command_options *opts,
			      struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * One of platter's own, by name: "fs=ext4", "fs=xfs", "fs=btrfs", "fs=vfat",
 * "fs=ntfs", "image=qcow2", "sqlite=PATH" (a file in the file system, or
 * "sqlite=" when the disk itself is the database), "acked=DIR". -EINVAL lists
 * them; -ENOENT names the program that is missing and its package.
 */
struct platter_crash_builtin_options {
	struct platter_crash *crash;
	const char *spec;
	const char *fs;		/* for sqlite and acked: where files are; NULL =
				   probed */
	unsigned int slots;
	const char *dir;	/* for small files, private; NULL = TMPDIR */
};
int platter_crash_builtin_new(struct platter_crash_checker **out,
			      const struct platter_crash_builtin_options *opts,
			      struct platter_error *err) PLATTER_MUST_CHECK;

/* How states get to where programs can use them; made outside the library. */
struct platter_crash_range {
	uint64_t offset, length;	/* bytes */
};
struct platter_crash_place {
	const char *path;	/* absolute; or NULL */
	const char *uri;	/* or NULL */
};
struct platter_crash_presenter {
	/*
	 * Put `img` in place of what the slot held before, under that name.
	 * `img` is the same node for all states of a slot; `changed` says
	 * which ranges of it differ from what the last reader could have seen
	 * (nr_changed SIZE_MAX: anything). `direct`: every read and write is
	 * to arrive at `img`, as it is made; else what was read or written once
	 * may be kept in between until all is closed. The place is the
	 * presenter's until withdraw().
	 */
	int (*present)(struct platter_crash_presenter *self, unsigned int slot,
		       const char *name, struct platter_image *img,
		       const struct platter_crash_range *changed,
		       size_t nr_changed, bool direct,
		       struct platter_crash_place *place,
		       struct platter_error *err);
	/*
	 * Nobody may use it any more; what was written to it has arrived at
	 * `img` when this returns. Returns 1 when somebody still has it open:
	 * whatever he does reaches no later state.
	 */
	int (*withdraw)(struct platter_crash_presenter *self, unsigned int slot,
			struct platter_error *err);
	void (*free)(struct platter_crash_presenter *self);
	const char *how;	/* "FUSE", "scratch copies (reflink)", ... */
	bool sees_reads;	/* they arrive at `img`; else not even writes do */
};

/* A mount, a copier, ... freed by its own free(). NULL is ok. */
void platter_crash_presenter_free(struct platter_crash_presenter *presenter);

struct platter_crash_harness_options {
	unsigned int slots;
	struct platter_crash_checker *const *checkers;	/* in this order, until */
	size_t nr_checkers;		/* one does not pass */
	struct platter_crash_presenter *presenter;	/* NULL: images only */
	unsigned int timeout_ms;	/* of each checker; 0 = none */
	unsigned int confirm;	/* run what fails so often again */
	uint64_t memory;	/* for what checkers write; 0 = 64 MiB in all */
	const char *dir;	/* for small files, private; NULL = TMPDIR */
	bool watch_reads;
};
/* Checkers and presenter stay the caller's. */
int platter_crash_harness_new(struct platter_crash_harness **out,
			      const struct platter_crash_harness_options *opts,
			      struct platter_error *err) PLATTER_MUST_CHECK;
void platter_crash_harness_free(struct platter_crash_harness *harness);
/* End the checks under way, for good: they are -ECANCELED. Any thread. */
void platter_crash_harness_stop(struct platter_crash_harness *harness);
/*
 * Check one state. `name` NULL is the state's own. Negative returns are
 * trouble; `result` is for platter_crash_result_clear() in any case.
 */
int platter_crash_harness_check(struct platter_crash_harness *harness,
				unsigned int slot,
				const struct platter_crash_state *state,
				const char *name,
				struct platter_crash_result *result,
				struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- two crashes ---- */

/*
 * What a recovery wrote. One that is run again may differ: most note the time,
 * which changes the content and not the places.
 */
struct platter_crash_recovery {
	uint64_t entries;	/* of its log */
	uint64_t places;	/* hash: where, how much, flags, in order */
	uint64_t content;	/* hash: and what */
};

/*
 * The state of a name STATE@STATE: the recovery from the first one is run
 * again, by a harness of its own (slot 0) whose checker is the command that
 * recovers and whose presenter sees writes; `did` (or NULL) is what it wrote,
 * and `result` what came of it, for platter_crash_result_clear() in any case.
 * The state's crash is for platter_crash_recovery_close(), after the state.
 * -ENOENT: it wrote nothing. -ENOTSUP: the presenter does not see writes.
 */
int platter_crash_recover_state(struct platter_crash_state **out,
				struct platter_crash *crash, const char *name,
				struct platter_crash_harness *recover,
				struct platter_crash_recovery *did,
				struct platter_crash_result *result,
				struct platter_error *err) PLATTER_MUST_CHECK;
void platter_crash_recovery_close(struct platter_crash *nested);
/* Of the log of a recovery; -EINVAL for any other. */
int platter_crash_recovery_of(const struct platter_crash *nested,
			      struct platter_crash_recovery *out,
			      struct platter_error *err) PLATTER_MUST_CHECK;
/* "ENTRIES:PLACES:CONTENT", the hashes in hexadecimal, and back. */
#define PLATTER_CRASH_RECOVERY_TEXT_MAX 64
char *platter_crash_recovery_text(char buf[PLATTER_CRASH_RECOVERY_TEXT_MAX],
				  const struct platter_crash_recovery *r);
int platter_crash_recovery_parse(struct platter_crash_recovery *out,
				 const char *text, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* -ESTALE says in what they differ. */
int platter_crash_recovery_compare(const struct platter_crash_recovery *then,
				   const struct platter_crash_recovery *now,
				   struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- exploring ---- */

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
	/* Results of an earlier run, by index: 1 = filled, 0 = not known. */
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

/* ---- finding the cause ---- */

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

/* ---- reports ---- */

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
