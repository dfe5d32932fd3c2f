/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter log follow`: print entries as a recorder appends them, or run a
 * command for each.
 */
#include <sys/wait.h>

#include "child.h"

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

static error_t parse_timeout(struct argp_state *state, const char *arg,
			     struct follow_options *o)
{
	uint64_t value;
	error_t rc = cmd_parse_number(state, "--timeout", arg, 1,
				      UINT32_MAX / 1000, &value);

	if (!rc)
		o->job.timeout_ms = (unsigned int)value * 1000;
	return rc;
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
		return parse_timeout(state, arg, o);
	case KEY_SECTOR_SIZE:
		return cmd_parse_sector_size(state, arg, &o->job.sector_size);
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

/* PLATTER_MARK is there for marks only, as `log list` prints it. */
static int describe(struct cmd_environment *env,
		    const struct platter_log_entry *e,
		    struct platter_error *err)
{
	char flags[PLATTER_LOG_FLAGS_TEXT_MAX];
	char *mark;

	cmd_environment_set(env, "PLATTER_ENTRY=%" PRIu64, e->number);
	cmd_environment_set(env, "PLATTER_FLAGS=%s",
			    platter_log_flags_text(flags, e->flags));
	cmd_environment_set(env, "PLATTER_OFFSET=%" PRIu64, e->start);
	cmd_environment_set(env, "PLATTER_LENGTH=%" PRIu64, e->length);
	cmd_environment_remove(env, "PLATTER_MARK=");
	if (!e->mark)
		return 0;
	mark = platter_bytes_escape(e->mark, e->mark_len);
	if (!mark)
		return platter_error_errno(err, -ENOMEM, "PLATTER_MARK");
	cmd_environment_set(env, "PLATTER_MARK=%s", mark);
	free(mark);
	return 0;
}

/* Its exit code as a shell has it, or a negative errno. */
static int run_shell(const struct cmd_child *child, struct platter_error *err)
{
	int rc, status;
	pid_t pid;

	rc = cmd_child_start(child, &pid, err);
	if (rc)
		return rc;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return platter_error_errno(err, -errno, "%s",
						   child->line);
	return cmd_child_status(status);
}

static int run_command(const struct follow_options *o,
		       const struct platter_log_entry *e,
		       struct platter_error *err)
{
	struct cmd_environment env = { .list = NULL };
	const struct cmd_child child = { .line = o->exec, .env = &env };
	int rc;

	rc = describe(&env, e, err);
	if (!rc)
		rc = run_shell(&child, err);
	cmd_environment_free(&env);
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
