/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter log mark`, `pause` and `resume`: asked of a recording that runs. */
#include <string.h>

#include "cmd.h"
#include "serve/serve.h"

enum {
	KEY_SESSION = CMD_KEY_FIRST,
};

struct session_options {
	const char *session;		/* NULL: see serve.h */
	struct cmd_output output;
};

static const struct argp_option options[] = {
	{ .name = "session", .key = KEY_SESSION, .arg = "SOCKET",
	  .doc = "the recording's socket (the one in the environment)" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct session_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->output;
		return 0;
	case KEY_SESSION:
		o->session = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_OUTPUT,
	{ 0 },
};

/* People are told nothing but errors: these stand between other commands. */
static int print(struct cmd *cmd, const struct session_options *o,
		 const char *key, const char *value, size_t len,
		 struct platter_error *err)
{
	struct platter_printer *out;
	int rc;

	if (o->output.kind == PLATTER_OUTPUT_HUMAN)
		return 0;
	rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	platter_out_map(out, NULL);
	if (value)
		platter_out_bytes(out, key, value, len);
	else
		platter_out_bool(out, key, true);
	platter_out_end(out);
	return 0;
}

/* ---- mark ---- */

static const struct argp mark_argp = {
	.options = options,
	.parser = parse,
	.args_doc = "NAME",
	.doc = "Put a mark into the log, or logs, of a recording that is under "
	       "way. When this returns it is there, behind everything that "
	       "was acknowledged before.\v"
	       "Exit codes: 0 done, 2 trouble.",
	.children = children,
};

static int mark_run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	const struct session_options *o = options_;
	const char *name = cmd->args[0];
	int rc = serve_session_mark(o->session, name, strlen(name), err);

	return rc ? rc : print(cmd, o, "mark", name, strlen(name), err);
}

const struct cmd_verb cmd_log_mark = {
	.name = "mark",
	.group = "Record",
	.summary = "put a mark into the log of a running recording",
	.examples =
		"  platter log mark before-upgrade\n"
		"  platter log mark fsync-3 --session /tmp/rec.sock\n",
	.argp = &mark_argp,
	.options_size = sizeof(struct session_options),
	.trouble = CMD_TROUBLE,
	.run = mark_run,
};

/* ---- pause, resume ---- */

static const struct argp pause_argp = {
	.options = options,
	.parser = parse,
	.doc = "Stop logging in a recording that is under way; what is written "
	       "goes into the image only, until \"platter log resume\". A mark "
	       "in the log, platter-pause, says so.\v"
	       "Exit codes: 0 done, or paused already, 2 trouble.",
	.children = children,
};

static int pause_run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	const struct session_options *o = options_;
	int rc = serve_session_pause(o->session, err);

	return rc ? rc : print(cmd, o, "paused", NULL, 0, err);
}

const struct cmd_verb cmd_log_pause = {
	.name = "pause",
	.group = "Record",
	.summary = "stop logging in a running recording, for a while",
	.examples =
		"  platter log pause\n"
		"  platter log pause --session /tmp/rec.sock\n",
	.argp = &pause_argp,
	.options_size = sizeof(struct session_options),
	.trouble = CMD_TROUBLE,
	.run = pause_run,
};

static const struct argp resume_argp = {
	.options = options,
	.parser = parse,
	.doc = "Go on logging in a recording that was paused. What was written "
	       "meanwhile is logged first, as it is now; then a mark, "
	       "platter-resume. From there on the log gives the image "
	       "again.\v"
	       "Exit codes: 0 done, or not paused, 2 trouble.",
	.children = children,
};

static int resume_run(struct cmd *cmd, void *options_,
		      struct platter_error *err)
{
	const struct session_options *o = options_;
	int rc = serve_session_resume(o->session, err);

	return rc ? rc : print(cmd, o, "resumed", NULL, 0, err);
}

const struct cmd_verb cmd_log_resume = {
	.name = "resume",
	.group = "Record",
	.summary = "go on logging in a running recording",
	.examples =
		"  platter log resume\n"
		"  platter log resume --session /tmp/rec.sock\n",
	.argp = &resume_argp,
	.options_size = sizeof(struct session_options),
	.trouble = CMD_TROUBLE,
	.run = resume_run,
};
