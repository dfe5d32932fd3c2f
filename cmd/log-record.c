/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter log record`: run a command on an image, and log what it writes.
 *
 * The parts: log-record-disks.c what is recorded into what, -serve.c where the
 * command finds it, -command.c running it, -report.c what is told.
 */
#include <string.h>

#include "log-record.h"

enum {
	KEY_LOG = CMD_KEY_FIRST,
	KEY_APPEND,
	KEY_FORCE,
	KEY_DISK,
	KEY_BASE_COPY,
	KEY_OVERLAY,
	KEY_NBD,
	KEY_SECTOR_SIZE,
	KEY_STOP_AFTER,
	KEY_SESSION,
};

/* As timeout(1) has it. */
#define STATUS_STOPPED	124
/* As shells have them. */
#define STATUS_CANNOT	126
#define STATUS_NOT_FOUND 127

static const struct argp_option options[] = {
	{ .name = "log", .key = KEY_LOG, .arg = "FILE",
	  .doc = "the log (IMAGE.log); with --disk NAME=FILE is one disk's, "
		 "and FILE stands for FILE.NAME.log" },
	{ .name = "append", .key = KEY_APPEND,
	  .doc = "go on with a log that is there" },
	{ .name = "force", .key = KEY_FORCE,
	  .doc = "replace a log, or a copy, that is there" },
	{ .name = "disk", .key = KEY_DISK, .arg = "NAME=FILE",
	  .doc = "record this disk as {NAME}, in place of IMAGE; may come "
		 "again, and the logs then have one order" },
	{ .name = "base-copy", .key = KEY_BASE_COPY, .arg = "FILE",
	  .flags = OPTION_ARG_OPTIONAL,
	  .doc = "first copy what the image holds to a raw file (LOG.base), "
		 "for the log to be replayed onto" },
	{ .name = "overlay", .key = KEY_OVERLAY,
	  .doc = "leave the image untouched: what is written goes to the log "
		 "only" },
	{ .name = "nbd", .key = KEY_NBD,
	  .doc = "serve by NBD in place of a file, as when the command has "
		 "{nbd}" },
	{ .name = "sector-size", .key = KEY_SECTOR_SIZE, .arg = "BYTES",
	  .doc = "bytes of a log sector (512, or as in the log that is "
		 "appended to)" },
	{ .name = "cache", .key = 't', .arg = "CACHE",
	  .doc = "cache mode of image and log (writeback)" },
	{ .name = "stop-after", .key = KEY_STOP_AFTER, .arg = "SIZE|TIME",
	  .doc = "end the command when the logs have grown by that much, as "
		 "10G, or after that time, as 90s, 5m or 2h" },
	{ .name = "session", .key = KEY_SESSION, .arg = "SOCKET",
	  .doc = "where to make the socket that log mark, pause and resume "
		 "use (in a private folder)" },
	{ .doc = "Progress:", .group = 4 },
	{ .name = "progress", .key = 'p', .group = 4,
	  .doc = "show how it goes while the command runs" },
	{ .name = "quiet", .key = 'q', .group = 4,
	  .doc = "print nothing but errors" },
	{ 0 },
};

/* ---- the command line ---- */

/*
 * How many words stand behind "--". To be asked before argp has put the names
 * together: then those before it stand behind it, too.
 */
static unsigned int command_words(const struct cmd *cmd)
{
	char *const *word = cmd->words;
	unsigned int n = 0;

	while (*word && strcmp(*word, "--"))
		word++;
	while (*word && word[++n])
		;
	return *word ? n - 1 : 0;
}

/* "5m" is five minutes, "5M" five megabytes. */
static error_t parse_stop(const struct argp_state *state, const char *arg,
			  struct record_options *o)
{
	size_t len = strlen(arg);

	if (len && strchr("smh", arg[len - 1]))
		return cmd_parse_time(state, "--stop-after", arg, false,
				      &o->stop_ns);
	if (cmd_parse_size(state, "--stop-after", arg, &o->stop_size))
		return EINVAL;
	return o->stop_size ? 0 :
	       cmd_usage(state, "--stop-after: 0 would record nothing");
}

static error_t parse_sector(const struct argp_state *state, const char *arg,
			    struct record_options *o)
{
	error_t rc = cmd_parse_size(state, "--sector-size", arg,
				    &o->sector_size);

	if (!rc && !o->sector_size)
		rc = cmd_usage(state, "--sector-size: 0 is no size");
	return rc;
}

static error_t append_value(const struct argp_state *state,
			    struct cmd_key_values *list, char *arg)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	return cmd_key_values_append(list, arg, &e) ?
	       cmd_usage(state, "%s", e.msg) : 0;
}

static error_t check_names(const struct argp_state *state,
			   const struct record_options *o)
{
	const struct cmd *cmd = cmd_of(state);
	unsigned int words = o->nr_words;

	if (!words)
		return cmd_usage(state, "COMMAND is missing: write it behind "
				 "--");
	if (cmd->nr_args > words && o->disks.count)
		return cmd_usage(state, "IMAGE '%s' and --disk exclude each "
				 "other", cmd->args[0]);
	if (cmd->nr_args == words && !o->disks.count)
		return cmd_usage(state, "IMAGE is missing: write it before --");
	if (cmd->nr_args > words + 1)
		return cmd_usage(state, "unexpected argument '%s'; the command "
				 "is what stands behind --", cmd->args[1]);
	return 0;
}

static error_t check(const struct argp_state *state,
		     const struct record_options *o)
{
	const struct cmd_parser *p = (const void *)state->root_argp;

	if (p->action != CMD_ACTION_RUN)
		return 0;
	if (o->append && o->force)
		return cmd_usage(state, "--append and --force exclude each "
				 "other");
	if (o->base_copy && o->append)
		return cmd_usage(state, "--base-copy and --append exclude each "
				 "other: the base is the image before the "
				 "log's first entry");
	if (o->base_copy && o->overlay)
		return cmd_usage(state, "--base-copy and --overlay exclude "
				 "each other: the image stays as it is, and is "
				 "the base");
	if (o->base_path && o->disks.count > 1)
		return cmd_usage(state, "--base-copy=FILE is for one disk, not "
				 "for %zu", o->disks.count);
	return check_names(state, o);
}

static error_t init(struct argp_state *state, struct record_options *o)
{
	o->nr_words = command_words(cmd_of(state));
	state->child_inputs[0] = &o->image;
	state->child_inputs[1] = &o->output;
	return 0;
}

static error_t parse_flags(int key, char *arg, struct record_options *o)
{
	switch (key) {
	case KEY_APPEND:
		o->append = true;
		return 0;
	case KEY_FORCE:
		o->force = true;
		return 0;
	case KEY_BASE_COPY:
		o->base_copy = true;
		o->base_path = arg;
		return 0;
	case KEY_OVERLAY:
		o->overlay = true;
		return 0;
	case KEY_NBD:
		o->nbd = true;
		return 0;
	case KEY_SESSION:
		o->session = arg;
		return 0;
	case 'p':
		o->progress = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct record_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		return init(state, o);
	case KEY_LOG:
		return append_value(state, &o->logs, arg);
	case KEY_DISK:
		return append_value(state, &o->disks, arg);
	case KEY_SECTOR_SIZE:
		return parse_sector(state, arg, o);
	case KEY_STOP_AFTER:
		return parse_stop(state, arg, o);
	case 't':
		o->cache_name = arg;
		return cmd_parse_cache(state, arg, &o->cache);
	case ARGP_KEY_END:
		return check(state, o);
	case ARGP_KEY_FINI:
		return 0;
	case ARGP_KEY_ERROR:
		cmd_key_values_free(&o->disks);
		cmd_key_values_free(&o->logs);
		return 0;
	default:
		return parse_flags(key, arg, o);
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_IMAGE,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "[IMAGE] -- COMMAND...",
	.doc = "Run a command on an image, and log everything it writes to "
	       "it. In the command's words {} stands for a file that is the "
	       "image's disk, whatever the image's format, and {nbd} for an "
	       "NBD URI of it; with --disk, {NAME} and {nbd:NAME}. It finds "
	       "them, and the session, in PLATTER_PATH, PLATTER_NBD and "
	       "PLATTER_SESSION as well, with --disk in PLATTER_PATH_NAME and "
	       "PLATTER_NBD_NAME.\v"
	       "Exit codes: those of the command; 124 stopped by --stop-after, "
	       "126 it cannot be executed, 127 it was not found, 128+N it was "
	       "killed by signal N, 2 trouble with the recording.",
	.children = children,
};

/* ---- recording ---- */

/*
 * Blocked in all threads, the signals are there for the one that reads them.
 * One that is ignored stays so.
 */
static void hold_signals(struct record *r)
{
	static const int signals[] = {
		SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1,
	};
	sigset_t set;

	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	for (size_t i = 0; i < CMD_ARRAY_SIZE(signals); i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(SIG_SETMASK, &set, &r->mask);
}

/* A command that could not be begun. */
static int not_begun(int rc)
{
	switch (rc) {
	case -ENOENT:
		return STATUS_NOT_FOUND;
	case -EACCES:
	case -ENOEXEC:
		return STATUS_CANNOT;
	default:
		return rc;
	}
}

/* An own error is worth more than what the command says of it. */
static int record(struct record *r, struct platter_error *err)
{
	struct platter_error late = PLATTER_ERROR_INIT;
	int status, rc;

	hold_signals(r);
	status = record_serve(r, err);
	if (!status)
		status = not_begun(record_command_run(r, err));
	rc = record_serve_end(r, &late);
	if (!r->began)
		return status;
	if (r->stopped) {
		status = STATUS_STOPPED;
		platter_error_set(err, -ETIMEDOUT, "%s: stopped, as "
				  "--stop-after was reached", r->command[0]);
	}
	if (rc) {
		platter_error_set(err, rc, "%s", late.msg);
		status = CMD_TROUBLE;
	}
	rc = record_summary(r, status, err);
	return rc ? rc : status;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct record_options *o = options_;
	struct record r = { .cmd = cmd, .o = o };
	int rc;

	r.nr_words = o->nr_words;
	r.command = cmd->args + cmd->nr_args - r.nr_words;
	rc = not_begun(platter_program_find(&r.program, r.command[0],
					    err));
	if (!rc)
		rc = record_disks(&r, err);
	if (!rc)
		rc = record_command_needs(&r, err);
	if (!rc)
		rc = record_prepare(&r, err);
	if (!rc)
		rc = record(&r, err);
	record_disks_free(&r, r.began);
	cmd_key_values_free(&o->disks);
	cmd_key_values_free(&o->logs);
	free(r.program);
	return rc;
}

const struct cmd_verb cmd_log_record = {
	.name = "record",
	.group = "Record",
	.summary = "run a command on an image and log what it writes",
	.examples =
		"  platter log record --log run.log disk.qcow2 -- "
		"mkfs.ext4 {}\n"
		"  platter log record -f raw --base-copy disk.img -- "
		"sh test.sh {}\n"
		"  platter log record --overlay disk.qcow2 -- "
		"qemu-io -f raw {nbd}\n"
		"  platter log record --log run --disk a=x.qcow2 "
		"--disk b=y.qcow2 -- cp {a} {b}\n",
	.argp = &argp,
	.options_size = sizeof(struct record_options),
	.flags = CMD_WRITES,
	.trouble = CMD_TROUBLE,
	.run = run,
};
