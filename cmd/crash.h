/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the verbs of `platter crash` share. */
#ifndef CMD_CRASH_H
#define CMD_CRASH_H

#include <sys/types.h>

#include "cmd.h"
#include "serve/serve.h"

/*
 * ---- crash-options.c: option groups ----
 */

/*
 * --base, --base-format, --size, --flush-cover, --follow, --object, and those
 * of CMD_CHILD_LOG
 */
struct cmd_crash_log {
	struct cmd_log log;
	const char *base;		/* NULL = zeros */
	const char *base_format;
	uint64_t size;			/* 0 = by base and log */
	enum platter_crash_cover cover;
};
extern const struct argp cmd_crash_log_argp;
#define CMD_CHILD_CRASH_LOG \
	{ .argp = &cmd_crash_log_argp, .header = "Log:", .group = 1 }
/* Open it, with a bar on a terminal; one line on stderr says that there is no
 * base and zeros are taken, unless the log shows that it began with zeros. */
int cmd_crash_open(struct cmd *cmd, const struct cmd_crash_log *o,
		   const char *log, const struct cmd_progress *progress,
		   enum platter_output kind, struct platter_crash **out,
		   struct platter_error *err) PLATTER_MUST_CHECK;
void cmd_cleanup_crash(struct platter_crash **crash);
void cmd_cleanup_crash_state(struct platter_crash_state **state);
#define cmd_auto_crash	__attribute__((cleanup(cmd_cleanup_crash)))
#define cmd_auto_crash_state	__attribute__((cleanup(cmd_cleanup_crash_state)))

/* --from, --to, --model, --unit, --strategy, --region, --early-writes,
 * --discard, --seed, --shard (or the array variables of batch systems) */
struct cmd_crash_plan {
	struct cmd_points points;
	struct platter_crash_plan plan;	/* `from` and `to` not yet resolved */
	struct cmd_key_values regions;
	char *strategies;		/* made of --strategy and --seed */
	uint64_t seed;
	bool has_seed;
	const char *shard;		/* "I/N" or "/N"; NULL = not given */
};
extern const struct argp cmd_crash_plan_argp;
#define CMD_CHILD_CRASH_PLAN \
	{ .argp = &cmd_crash_plan_argp, .header = "States:", .group = 2 }
/* The whole plan, with its points found in the log. */
int cmd_crash_plan_resolve(struct cmd_crash_plan *o,
			   struct platter_crash *crash,
			   struct platter_crash_plan *plan,
			   struct platter_error *err) PLATTER_MUST_CHECK;
void cmd_crash_plan_free(struct cmd_crash_plan *o);
/* crash-shard.c: fill shard and shards of the plan. */
error_t cmd_crash_shard(const struct argp_state *state,
			struct cmd_crash_plan *o);

/* -j, --timeout, --confirm, --memory, --present, --fs, --image, --sqlite,
 * --acked, and the command behind "--" */
struct cmd_crash_checkers {
	const char *recover;		/* of a verb that has --recover */
	unsigned int slots;		/* 0 = as many as processors */
	unsigned int timeout_ms;
	unsigned int confirm;
	uint64_t memory;
	const char *present;		/* fuse, copy, nbd; NULL = what works */
	struct cmd_key_values builtin;	/* "fs=ext4", "acked=DIR", ... */
	char *const *words;		/* behind "--", or NULL */
	unsigned int nr_words;		/* cmd->nr_args counts them, too */
};
void cmd_crash_checkers_free(struct cmd_crash_checkers *o);
extern const struct argp cmd_crash_checkers_argp;
#define CMD_CHILD_CRASH_CHECKERS \
	{ .argp = &cmd_crash_checkers_argp, .header = "Checkers:", .group = 3 }

/* ---- crash-lab.c: checkers, presenter and harness, by the options ---- */

struct cmd_crash_lab {
	struct platter_crash_checker **checkers;
	size_t nr_checkers;
	struct platter_crash_presenter *presenter;	/* or NULL */
	struct platter_crash_harness *harness;
	unsigned int slots;
	char *description;	/* the checkers, for reports */
	char *dir;		/* private; all files and mounts are below */
	int guard;		/* see crash-guard.c; -1 = there is none */
	pid_t guard_pid;
	/* Of --recover, else NULL. */
	const char *recover[4];	/* its words */
	struct platter_crash_checker *recover_checker;
	struct platter_crash_harness *recover_harness;
};
/*
 * Nothing to check with is -EINVAL. What presenter was chosen, and why, is
 * told on stderr when it is not FUSE. Before there are threads.
 */
int cmd_crash_lab_open(struct cmd *cmd, const struct cmd_crash_checkers *o,
		       struct platter_crash *crash, bool watch_reads,
		       struct cmd_crash_lab *lab, struct platter_error *err)
	PLATTER_MUST_CHECK;
void cmd_crash_lab_close(struct cmd_crash_lab *lab);

/*
 * crash-guard.c: a process that, should we be killed, unmounts what is mounted
 * below `dir` and removes the folder. Before there are threads.
 */
int cmd_crash_guard_start(const char *dir, int *guard, pid_t *pid,
			  struct platter_error *err) PLATTER_MUST_CHECK;
/* There is nothing to be cleaned up any more. */
void cmd_crash_guard_end(int guard, pid_t pid);

/*
 * ---- crash-report.c: what came of a run; explore and merge ----
 */

#define CMD_LIMIT	3	/* exit code: ended early, and none failed */

/* --jsonl, --junit, --tap, --html; --output and -q are the verb's */
struct cmd_crash_reports {
	const char *jsonl;	/* left to the verb; NULL = none */
	const char *junit;
	const char *tap;	/* "-" = standard output */
	const char *html;
};
extern const struct argp cmd_crash_reports_argp;
#define CMD_CHILD_CRASH_REPORTS \
	{ .argp = &cmd_crash_reports_argp, .header = "Reports:", .group = 4 }
/* At the end of the options: two things cannot go to standard output. */
error_t cmd_crash_reports_check(const struct argp_state *state,
				const struct cmd_crash_reports *o,
				enum platter_output kind);
/*
 * Write the --junit, --tap and --html files, each under a name beside the
 * final one first, and print the summary (`quiet`: for people only when not
 * all is well; none for people with --tap on standard output). `crash` (or
 * NULL) is what HTML draws its picture from. Returns the exit code of the run,
 * CMD_OK, CMD_NO, CMD_TROUBLE or CMD_LIMIT, or a negative errno.
 */
int cmd_crash_report(struct cmd *cmd, const struct cmd_crash_reports *o,
		     enum platter_output kind, bool quiet,
		     const struct platter_crash_report *report,
		     struct platter_crash *crash, struct platter_error *err)
	PLATTER_MUST_CHECK;
void cmd_cleanup_crash_report(struct platter_crash_report **report);
#define cmd_auto_crash_report \
	__attribute__((cleanup(cmd_cleanup_crash_report)))

/* ---- crash-again.c: states by name, also those of a recovery ---- */

/* --recover and --recovery */
struct cmd_crash_again {
	const char *recover;	/* for the shell; or NULL */
	const char *recovery;	/* what it wrote then; or NULL */
};
extern const struct argp cmd_crash_again_argp;
#define CMD_CHILD_CRASH_AGAIN { .argp = &cmd_crash_again_argp }

/*
 * If name number 1, the state, is @FILE, it becomes what that file has: names
 * may be longer than the kernel lets an argument be.
 */
int cmd_crash_read_state(struct cmd *cmd, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* A state, and the log it is of when that is a recovery's. */
struct cmd_crash_named {
	struct platter_crash_state *state;
	struct platter_crash *nested;	/* or NULL */
	char *first;			/* the name of what it recovered */
	char recovery[PLATTER_CRASH_RECOVERY_TEXT_MAX];
};
/*
 * The state of a name. For one of a recovery that is run again; what it writes
 * has to be --recovery, if that is given. Before there are threads.
 */
int cmd_crash_named_open(struct cmd *cmd, const struct cmd_crash_again *o,
			 struct platter_crash *crash, const char *name,
			 struct cmd_crash_named *out,
			 struct platter_error *err) PLATTER_MUST_CHECK;
void cmd_crash_named_close(struct cmd_crash_named *named);
#define cmd_auto_crash_named __attribute__((cleanup(cmd_crash_named_close)))

#endif
