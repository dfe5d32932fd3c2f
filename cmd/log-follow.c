/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter log follow`: print entries as a recorder appends them, or run a
 * command for each.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"

#define SIGNAL_STATUS	128	/* and the signal, as a shell says it */
#define NR_VARIABLES	5

enum {
	KEY_FROM = CMD_KEY_FIRST,
	KEY_UNTIL,
	KEY_JSONL,
	KEY_EXEC,
	KEY_WAIT,
	KEY_TIMEOUT,
	KEY_SECTOR_SIZE,
};

struct follow_options {
	struct platter_log_follow_options job;
	char *exec;
	bool jsonl;
};

static const struct argp_option options[] = {
	{ .name = "from", .key = KEY_FROM, .arg = "POINT",
	  .doc = "start at this point, also one still to come (0); end: "
		 "behind what is there" },
	{ .name = "until", .key = KEY_UNTIL, .arg = "POINT",
	  .doc = "stop at this point (when the recorder ends)" },
	{ .name = "jsonl", .key = KEY_JSONL,
	  .doc = "print a line of JSON for each entry" },
	{ .name = "exec", .key = KEY_EXEC, .arg = "COMMAND",
	  .doc = "print nothing; run this with sh for each entry, which the "
		 "environment describes" },
	{ .name = "wait", .key = KEY_WAIT,
	  .doc = "wait for a recorder that has not begun" },
	{ .name = "timeout", .key = KEY_TIMEOUT, .arg = "SECONDS",
	  .doc = "that long without an entry is an error" },
	{ .name = "sector-size", .key = KEY_SECTOR_SIZE, .arg = "BYTES",
	  .doc = "log sector size, against what the super block says" },
	{ 0 },
};

static error_t parse_number(struct argp_state *state, int key, const char *arg,
			    struct follow_options *o)
{
	uint64_t value;
	error_t rc;

	if (key == KEY_TIMEOUT) {
		rc = cmd_parse_number(state, "--timeout", arg, 1,
				      UINT32_MAX / 1000, &value);
		if (!rc)
			o->job.timeout_ms = (unsigned int)value * 1000;
		return rc;
	}
	rc = cmd_parse_size(state, "--sector-size", arg, &value);
	if (rc)
		return rc;
	if (!value || value > UINT32_MAX)
		return cmd_usage(state, "--sector-size: %s is not between 1 "
				 "and 4 GiB", arg);
	o->job.sector_size = (uint32_t)value;
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct follow_options *o = state->input;

	switch (key) {
	case KEY_FROM:
		o->job.from = arg;
		return 0;
	case KEY_UNTIL:
		o->job.until = arg;
		return 0;
	case KEY_JSONL:
		o->jsonl = true;
		return 0;
	case KEY_EXEC:
		o->exec = arg;
		return 0;
	case KEY_WAIT:
		o->job.wait = true;
		return 0;
	case KEY_TIMEOUT:
	case KEY_SECTOR_SIZE:
		return parse_number(state, key, arg, o);
	case ARGP_KEY_END:
		if (o->exec && o->jsonl)
			return cmd_usage(state, "--exec prints no entries; "
					 "leave out --jsonl");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "LOG",
	.doc = "Print the entries of a write log as they are appended, until "
	       "the recorder ends.\v"
	       "Exit codes: 0 the recorder ended, 1 so it did but the log ends "
	       "early, 2 trouble. A COMMAND that fails ends it with its own.",
};

/* ---- --exec ---- */

static int set(char **variable, const char *name, const char *value,
	       struct platter_error *err)
{
	if (asprintf(variable, "%s=%s", name, value) < 0) {
		*variable = NULL;
		return platter_error_errno(err, -ENOMEM, "%s", name);
	}
	return 0;
}

static int set_number(char **variable, const char *name, uint64_t value,
		      struct platter_error *err)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return set(variable, name, text, err);
}

/* PLATTER_MARK is there for marks only, as `log list` prints it. */
static int describe(const struct platter_log_entry *e,
		    char *variables[NR_VARIABLES], struct platter_error *err)
{
	char flags[PLATTER_LOG_FLAGS_TEXT_MAX];
	char *mark;
	int rc;

	rc = set_number(&variables[0], "PLATTER_ENTRY", e->number, err);
	if (!rc)
		rc = set(&variables[1], "PLATTER_FLAGS",
			 platter_log_flags_text(flags, e->flags), err);
	if (!rc)
		rc = set_number(&variables[2], "PLATTER_OFFSET", e->start, err);
	if (!rc)
		rc = set_number(&variables[3], "PLATTER_LENGTH", e->length,
				err);
	if (rc || !e->mark)
		return rc;
	mark = platter_bytes_escape(e->mark, e->mark_len);
	rc = mark ? set(&variables[4], "PLATTER_MARK", mark, err) : -ENOMEM;
	free(mark);
	return rc;
}

static bool is_ours(const char *variable)
{
	static const char *const ours[] = {
		"PLATTER_ENTRY=", "PLATTER_FLAGS=", "PLATTER_OFFSET=",
		"PLATTER_LENGTH=", "PLATTER_MARK=",
	};

	for (size_t i = 0; i < CMD_ARRAY_SIZE(ours); i++)
		if (!strncmp(variable, ours[i], strlen(ours[i])))
			return true;
	return false;
}

static char **make_environment(char *const variables[NR_VARIABLES],
			       struct platter_error *err)
{
	size_t n = 0;
	char **all;

	while (environ[n])
		n++;
	all = calloc(n + NR_VARIABLES + 1, sizeof(*all));
	if (!all) {
		platter_error_errno(err, -ENOMEM, "the environment");
		return NULL;
	}
	n = 0;
	for (char **v = environ; *v; v++)
		if (!is_ours(*v))
			all[n++] = *v;
	for (size_t i = 0; i < NR_VARIABLES; i++)
		if (variables[i])
			all[n++] = variables[i];
	return all;
}

/* Its exit code as a shell has it, or a negative errno. */
static int spawn(char *command, char **environment,
		 struct platter_error *err)
{
	char name[] = "sh", flag[] = "-c";
	char *argv[] = { name, flag, command, NULL };
	int rc, status;
	pid_t pid;

	rc = posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environment);
	if (rc)
		return platter_error_errno(err, -rc, "/bin/sh");
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return platter_error_errno(err, -errno, "%s", command);
	return WIFSIGNALED(status) ? SIGNAL_STATUS + WTERMSIG(status) :
				     WEXITSTATUS(status);
}

static int run_command(const struct follow_options *o,
		       const struct platter_log_entry *e,
		       struct platter_error *err)
{
	char *variables[NR_VARIABLES] = { NULL };
	char **environment = NULL;
	int rc;

	rc = describe(e, variables, err);
	if (!rc)
		environment = make_environment(variables, err);
	if (!rc)
		rc = environment ? spawn(o->exec, environment, err) : -ENOMEM;
	free(environment);
	for (size_t i = 0; i < NR_VARIABLES; i++)
		free(variables[i]);
	if (rc > 0)
		platter_error_set(err, -ECHILD, "entry %" PRIu64
				  ": '%s' ended with status %d", e->number,
				  o->exec, rc);
	return rc;
}

/* ---- the loop ---- */

static int take_batch(struct platter_log_follow *f,
		      const struct follow_options *o,
		      struct platter_printer *out, struct platter_error *err)
{
	struct platter_log_entry e;
	int rc;

	while ((rc = platter_log_follow_next(f, &e, err)) == 0) {
		if (!o->exec)
			cmd_log_entry_print(out, &e);
		else if ((rc = run_command(o, &e, err)) != 0)
			return rc;
	}
	platter_printer_flush(out);
	return rc < 0 ? rc : 0;
}

/* The exit code: 0, CMD_NO, or the command's. */
static int follow(struct cmd *cmd, const struct follow_options *o,
		  struct platter_log_follow *f, struct platter_error *err)
{
	struct platter_printer *out;
	const char *why;
	int rc;

	rc = cmd_printer(cmd, o->jsonl ? PLATTER_OUTPUT_JSON :
			 PLATTER_OUTPUT_HUMAN, &out, err);
	if (rc)
		return rc;
	if (!o->exec)
		cmd_log_entry_heading(out);
	while ((rc = platter_log_follow_wait(f, err)) == 0) {
		rc = take_batch(f, o, out, err);
		if (rc)
			return rc;
	}
	if (rc < 0)
		return rc;
	if (platter_log_follow_ended(f, &why) == PLATTER_LOG_FOLLOW_UNTIL)
		return CMD_OK;
	return cmd_log_verdict(platter_log_follow_log(f), NULL, err);
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	const struct cmd_progress quiet = { .quiet = true };
	struct follow_options *o = options_;
	struct platter_log_follow *f = NULL;
	int rc;

	/* Shows nothing, but makes SIGINT an end like any. */
	rc = cmd_progress_start(cmd, &quiet, PLATTER_OUTPUT_HUMAN,
				&o->job.progress, err);
	if (rc)
		return rc;
	rc = platter_log_follow_new(&f, cmd->ctx, cmd->args[0], &o->job, err);
	if (!rc)
		rc = follow(cmd, o, f, err);
	platter_log_follow_free(f);
	return cmd_progress_end(o->job.progress, rc);
}

const struct cmd_verb cmd_log_follow = {
	.name = "follow",
	.group = "Look",
	.summary = "print entries as a recorder appends them",
	.examples =
		"  platter log follow run.dmlw\n"
		"  platter log follow run.dmlw --wait --until mark:done "
		"--jsonl\n"
		"  platter log follow run.dmlw --from end "
		"--exec 'echo \"$PLATTER_ENTRY $PLATTER_MARK\"'\n",
	.argp = &argp,
	.options_size = sizeof(struct follow_options),
	.trouble = CMD_TROUBLE,
	.run = run,
};
