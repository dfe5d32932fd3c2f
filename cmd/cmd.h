/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the verbs of the command share.
 *
 * A verb is one file that defines `const struct cmd_verb cmd_NAME`, and one
 * line in verbs.h. Its options are a struct, filled by its argp parser, which
 * passes parts of it on to the shared option groups below. Its results go to
 * a printer. Nothing at file scope is ever written to, so a verb can run
 * inside another one.
 */
#ifndef CMD_H
#define CMD_H

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <platter/platter.h>

#define CMD_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---- verbs ---- */

struct cmd_personality;

/* One run of one verb. */
struct cmd {
	const struct cmd_personality *as;	/* the program it is called as */
	const struct cmd_verb *root;	/* the whole tree of verbs */
	const struct cmd_verb *verb;
	const char *path;		/* "platter log cut" */
	struct platter_context *ctx;
	enum platter_follow follow;	/* what `ctx` is made with */
	FILE *out;			/* results */
	FILE *err;			/* everything else */
	char *const *words;		/* the whole command line */
	char **args;			/* the names given, in order */
	unsigned int nr_args;
	char *read_arg;			/* cmd_crash_read_state(); or NULL */
	struct platter_printer *printer;	/* see cmd_printer() */
};

#define CMD_RAW_ARGS	(1u << 0)	/* run() gets every word unparsed */
#define CMD_HIDDEN	(1u << 1)	/* not listed, not completed */
#define CMD_WRITES	(1u << 2)	/* makes or changes files */

/* Exit codes. */
#define CMD_OK		0
#define CMD_NO		1	/* differs, damaged, ... */
#define CMD_USAGE	1	/* as qemu-img */
#define CMD_TROUBLE	2
#define CMD_CANCELLED	130	/* as a shell reports SIGINT */

struct cmd_verb {
	const char *name;
	const char *group;	/* heading it is listed under */
	const char *summary;	/* one line, no full stop */
	const char *examples;	/* lines for --help */
	/*
	 * Options and help. The words of args_doc are the names the verb
	 * takes, those in [] may be left out, one with ... may come again:
	 * "LOG TARGET", "FILE [OUT]", "SOURCE... TARGET". Those behind a "--"
	 * are for the verb itself to count.
	 * What a metavariable is called decides how it is completed; see
	 * complete.c.
	 */
	const struct argp *argp;
	size_t options_size;	/* of what argp's parser gets as its input */
	unsigned int flags;	/* CMD_* */
	int trouble;		/* exit code for errors: 1 as qemu-img, or 2 */
	/*
	 * Do it. Returns an exit code, or a negative errno for `trouble`.
	 * Whatever the return, a message in `err` is printed.
	 */
	int (*run)(struct cmd *cmd, void *options, struct platter_error *err);
	const struct cmd_verb *const *verbs;	/* a group: NULL-terminated */
};

/* dispatch.c: find the verb, run it, report; returns the exit code. */
int cmd_main(const struct cmd_verb *all, int argc, char **argv);
/* The verb of that name in a group, or NULL. */
const struct cmd_verb *cmd_verb_find(const struct cmd_verb *group,
				     const char *name);
/* The printer for the verb's results; closed, and checked, after run(). */
int cmd_printer(struct cmd *cmd, enum platter_output kind,
		struct platter_printer **out, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* personality.c: run under the name of another program. */
#define CMD_PERSONALITY_VERBS	32	/* most one has, and a NULL */

struct cmd_personality {
	const char *name;	/* of the program; begins each message */
	const char *version;	/* the first line of --version */
	const char *summary;
	const char *const *verbs;	/* the only ones it has; NULL = all */
	const char *const (*words)[2];	/* for its --help: ours, its */
	int trouble;		/* exit code where there is no verb */
	enum platter_follow follow;	/* unless --follow is given */
	bool trace;		/* -T in front of the verb is accepted */
	bool plain_progress;	/* -p: percentages on standard output, always */
	bool no_xml;		/* --output=xml is an error */
};

/* That of a program name, a path or not. Never NULL. */
const struct cmd_personality *cmd_personality(const char *program);
/* The verbs it offers, as the root of a tree; `verbs` must live as long. */
void cmd_personality_root(const struct cmd_personality *as,
			  const struct cmd_verb *all, struct cmd_verb *root,
			  const struct cmd_verb *verbs[CMD_PERSONALITY_VERBS]);
/* --help of one with its own `words`. */
int cmd_personality_help(FILE *stream, const struct cmd_personality *as,
			 const struct cmd_verb *root, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* parse.c: what a command line asks for. */
enum cmd_action {
	CMD_ACTION_RUN,
	CMD_ACTION_HELP,
	CMD_ACTION_USAGE,
	CMD_ACTION_VERSION,
};

/* An argp of a verb's own options and those every verb has. */
struct cmd_parser {
	struct argp argp;		/* first: state->root_argp leads here */
	struct argp_child children[2];
	struct cmd *cmd;
	void *options;
	enum cmd_action action;
	struct platter_error *err;
};

void cmd_parser_init(struct cmd_parser *parser, const struct cmd_verb *verb);
/* -EINVAL with a message on a usage error. Fills cmd->args, the caller's. */
int cmd_parse(struct cmd_parser *parser, struct cmd *cmd, void *options,
	      int argc, char **argv, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* For argp parsers: `return cmd_usage(state, "...")`. */
error_t cmd_usage(const struct argp_state *state, const char *fmt, ...)
	PLATTER_PRINTF(2, 3);
/* For argp parsers: the run the command line is for. */
struct cmd *cmd_of(const struct argp_state *state);

/* scan.c: argp tables as data. */
struct cmd_option {
	const struct argp_option *opt;	/* has the name or key looked for */
	const struct argp_option *real;	/* has the argument; not an alias */
};

/* A non-zero return stops the walk and is returned. */
struct cmd_option_visitor {
	int (*visit)(struct cmd_option_visitor *self,
		     const struct cmd_option *option);
};
int cmd_options_each(const struct argp *argp,
		     struct cmd_option_visitor *visitor);
/*
 * The option of that long name (`len` bytes), or the one it is the start of.
 * Returns how many fit: 1 with *out filled, 0 for none, more if ambiguous.
 */
unsigned int cmd_option_long(const struct argp *argp, const char *name,
			     size_t len, struct cmd_option *out);
bool cmd_option_short(const struct argp *argp, int key,
		      struct cmd_option *out);
bool cmd_option_is_short(const struct argp_option *opt);
/* Name number `i` of an args_doc: false behind the last. */
bool cmd_args_doc(const char *args_doc, unsigned int i, char *buf, size_t size,
		  bool *optional);
/* Say what is wrong with the first bad option of a command line. */
int cmd_explain_options(const struct argp *argp, int argc, char *const *argv,
			struct platter_error *err);

/* help.c */
void cmd_help(FILE *stream, const struct cmd_verb *verb, const char *path,
	      bool usage_only);

/* suggest.c: the candidate nearest to a mistyped word. */
struct cmd_suggestion {
	const char *word;
	unsigned int distance;		/* of the best so far */
	char text[64];			/* the best so far, or "" */
};
void cmd_suggest_init(struct cmd_suggestion *s, const char *word);
void cmd_suggest_try(struct cmd_suggestion *s, const char *prefix,
		     const char *candidate);

/*
 * ---- shared option groups (options.c), used as argp children ----
 *
 * CMD_CHILD_x is the entry for the table of children; the struct is what it
 * wants in state->child_inputs[].
 */

/* --output */
struct cmd_output {
	enum platter_output kind;
};
extern const struct argp cmd_output_argp;
#define CMD_CHILD_OUTPUT \
	{ .argp = &cmd_output_argp, .header = "Output:", .group = 5 }

/*
 * --follow, --object. Part of CMD_CHILD_IMAGE; for verbs that open files
 * without having those options. Its input is NULL: what was given is known
 * to the context a verb runs with.
 */
extern const struct argp cmd_files_argp;
#define CMD_CHILD_FILES	{ .argp = &cmd_files_argp }

/* -f, --image-opts, -U and those of CMD_CHILD_FILES */
struct cmd_image {
	const char *format;
	bool image_opts;
	bool share;
};
extern const struct argp cmd_image_argp;
#define CMD_CHILD_IMAGE \
	{ .argp = &cmd_image_argp, .header = "Images:", .group = 2 }
int cmd_image_open(struct cmd *cmd, const struct cmd_image *opts,
		   const char *spec, unsigned int flags,
		   enum platter_cache cache, struct platter_image **out,
		   struct platter_error *err) PLATTER_MUST_CHECK;

/* -p, -q */
struct cmd_progress {
	bool show;
	bool quiet;
};
extern const struct argp cmd_progress_argp;
#define CMD_CHILD_PROGRESS \
	{ .argp = &cmd_progress_argp, .header = "Progress:", .group = 4 }
/*
 * Start reporting. `kind` is what standard output is used for. *out may be
 * NULL with -q; end it with cmd_progress_end() before printing.
 */
int cmd_progress_start(struct cmd *cmd, const struct cmd_progress *opts,
		       enum platter_output kind, struct platter_progress **out,
		       struct platter_error *err) PLATTER_MUST_CHECK;
/* Passes `rc`, the job's return, on. */
int cmd_progress_end(struct platter_progress *progress, int rc);
/* -q, and nobody asked for data: the result is not printed. */
bool cmd_is_quiet(const struct cmd_progress *opts,
		  const struct cmd_output *output);

/* --from, --to */
struct cmd_points {
	const char *from;	/* NULL = 0 */
	const char *to;		/* NULL = end */
};
extern const struct argp cmd_points_argp;
#define CMD_CHILD_POINTS \
	{ .argp = &cmd_points_argp, .header = "Part of the log:", .group = 1 }
/* As numbers; -EINVAL when --from lies behind --to. */
int cmd_points_resolve(const struct cmd_points *points,
		       struct platter_log *log, uint64_t *from, uint64_t *to,
		       struct platter_error *err) PLATTER_MUST_CHECK;

/* --sector-size, --index, -U */
struct cmd_log {
	uint32_t sector_size;
	const char *index;
	bool share;
};
extern const struct argp cmd_log_argp;
#define CMD_CHILD_LOG \
	{ .argp = &cmd_log_argp, .header = "Log:", .group = 3 }
int cmd_log_open(struct cmd *cmd, const struct cmd_log *opts, const char *name,
		 struct platter_log **out, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* Repeated -o key=value[,key=value...]; a doubled comma stands for one. */
struct cmd_key_values {
	char **list;		/* NULL-terminated, or NULL; strings of argv */
	size_t count;
};
error_t cmd_key_values_add(const struct argp_state *state,
			   struct cmd_key_values *kv, char *arg);
void cmd_key_values_free(struct cmd_key_values *kv);
/* key-values.c: the rest of what is done with such a list. */
int cmd_key_values_append(struct cmd_key_values *kv, char *item,
			  struct platter_error *err) PLATTER_MUST_CHECK;
/* The value given last, "on" for a key without one, or NULL. */
const char *cmd_key_values_get(const struct cmd_key_values *kv,
			       const char *key);
void cmd_key_values_drop(struct cmd_key_values *kv, const char *key);
/* Of a key given more than once keep the last, as qemu-img does. */
void cmd_key_values_last(struct cmd_key_values *kv);
/* -o help */
bool cmd_key_values_wants_help(const struct cmd_key_values *kv);
bool cmd_option_table_has(const struct platter_option *table,
			  const char *name);
/* What -o help prints; `table` may be NULL. */
int cmd_option_table_print(struct cmd *cmd, const struct platter_option *table,
			   const char *format, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* Values of options, each parsed in this one place. */
error_t cmd_parse_cache(const struct argp_state *state, const char *arg,
			enum platter_cache *out);
error_t cmd_parse_size(const struct argp_state *state, const char *option,
		       const char *arg, uint64_t *out);
error_t cmd_parse_number(const struct argp_state *state, const char *option,
			 const char *arg, uint64_t min, uint64_t max,
			 uint64_t *out);

/* "90", "90s", "5m" or "2h", as nanoseconds; 0 only where it may be none. */
error_t cmd_parse_time(const struct argp_state *state, const char *option,
		       const char *arg, bool may_be_none, uint64_t *out);

/* --sector-size of a log */
error_t cmd_parse_sector_size(const struct argp_state *state, const char *arg,
			      uint32_t *out);

/* -m */
error_t cmd_parse_workers(const struct argp_state *state, const char *arg,
			  unsigned int *out);

struct cmd_range {
	bool given;
	bool has_length;	/* else it means one sector, and length is 1 */
	uint64_t offset;	/* bytes */
	uint64_t length;	/* bytes */
};
error_t cmd_parse_range(const struct argp_state *state, const char *option,
			const char *arg, struct cmd_range *out);

/* Long options without a letter count up from here. */
#define CMD_KEY_FIRST	0x100
/* ... and those of the shared groups from here. */
#define CMD_KEY_SHARED	0x200

/* ---- what the verbs on logs share (log.c) ---- */

error_t cmd_parse_log_flags(const struct argp_state *state, const char *arg,
			    uint64_t *out);
/* --format of those that are read, or of those that are written. */
error_t cmd_parse_log_text(const struct argp_state *state, const char *arg,
			   bool read, enum platter_log_text *out);
/* log-entry.c: an entry as a line, or as a row for programs. */
void cmd_log_entry_heading(struct platter_printer *out);
void cmd_log_entry_print(struct platter_printer *out,
			 const struct platter_log_entry *e);
/* As a list of rows under `key`; people get a line each. */
void cmd_log_problems(struct platter_printer *out, const char *key,
		      const struct platter_log_summary *summary);
/*
 * The groups of a verb that reads a whole log. One without options of its own
 * takes parser and children as they are, another CMD_CHILD_WHOLE_LOG.
 */
struct cmd_whole_log {
	struct cmd_log log;
	struct cmd_progress progress;
	struct cmd_output output;
};
error_t cmd_whole_log_parse(int key, char *arg, struct argp_state *state);
extern const struct argp_child cmd_whole_log_children[];
extern const struct argp cmd_whole_log_argp;
#define CMD_CHILD_WHOLE_LOG { .argp = &cmd_whole_log_argp }
/* Open the log and read every header, with progress. The caller closes *log. */
int cmd_log_scan(struct cmd *cmd, const struct cmd_whole_log *opts,
		 const char *name, struct platter_log **log,
		 const struct platter_log_summary **summary,
		 struct platter_error *err) PLATTER_MUST_CHECK;
/* Make the index ready, with a bar on a terminal. Before resolving points. */
int cmd_log_prepare(struct cmd *cmd, struct platter_log *log,
		    const struct cmd_progress *opts, enum platter_output kind,
		    struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * The exit code of what has read a log up to --to: CMD_NO, with a message,
 * when that was the end and the log ends too early. Points given by name or
 * number were found, so nothing is missing before them.
 */
int cmd_log_verdict(struct platter_log *log, const struct cmd_points *points,
		    struct platter_error *err);

/* ---- time ---- */

/* For how long something takes: a clock that nobody sets. */
static inline uint64_t cmd_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- scope-owned ---- */

void cmd_cleanup_image(struct platter_image **img);
void cmd_cleanup_log(struct platter_log **log);
void cmd_cleanup_cursor(struct platter_log_cursor **cursor);
#define cmd_auto_image	__attribute__((cleanup(cmd_cleanup_image)))
#define cmd_auto_log	__attribute__((cleanup(cmd_cleanup_log)))
#define cmd_auto_cursor	__attribute__((cleanup(cmd_cleanup_cursor)))

#endif
