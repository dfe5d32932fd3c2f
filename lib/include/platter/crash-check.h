/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crash states: checking one, by commands and by checkers of our own; and what
 * its recovery wrote.
 */
#ifndef PLATTER_CRASH_CHECK_H
#define PLATTER_CRASH_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/crash-state.h>
#include <platter/error.h>
#include <platter/image.h>

#ifdef __cplusplus
extern "C" {
#endif

struct platter_crash_harness;

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
 * PLATTER_PATH, PLATTER_NBD; of these no PLATTER_STATE if the kernel takes no
 * variable as long as the name.
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

#ifdef __cplusplus
}
#endif
#endif
