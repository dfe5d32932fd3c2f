/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter log index`: write the sidecar that makes later reads fast. */
#include "cmd.h"

struct index_options {
	struct cmd_whole_log whole;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct index_options *o = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->whole;
		return 0;
	case ARGP_KEY_END:
		if (o->whole.log.index && !o->whole.log.index[0])
			return cmd_usage(state, "--index=none leaves nothing "
					 "to do");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_WHOLE_LOG,
	{ 0 },
};

static const struct argp argp = {
	.parser = parse,
	.args_doc = "LOG",
	.doc = "Write the index of a log to LOG.idx. Every verb uses it from "
	       "then on while it matches the log, and none needs it.",
	.children = children,
};

static int run(struct cmd *cmd, void *options, struct platter_error *err)
{
	struct index_options *o = options;
	struct platter_log *log cmd_auto_log = NULL;
	struct platter_progress *progress;
	struct platter_printer *out;
	int rc;

	rc = cmd_log_open(cmd, &o->whole.log, cmd->args[0], &log, err);
	if (!rc)
		rc = cmd_progress_start(cmd, &o->whole.progress,
					o->whole.output.kind, &progress, err);
	if (rc)
		return rc;
	rc = platter_log_index_save(log, progress, err);
	rc = cmd_progress_end(progress, rc);
	if (rc || cmd_is_quiet(&o->whole.progress, &o->whole.output))
		return rc;
	rc = cmd_printer(cmd, o->whole.output.kind, &out, err);
	if (rc)
		return rc;
	platter_out_map(out, NULL);
	platter_out_string(out, "index", platter_log_index_name(log));
	platter_out_end(out);
	return CMD_OK;
}

const struct cmd_verb cmd_log_index = {
	.name = "index",
	.group = "Make",
	.summary = "write the index that makes later reads fast",
	.examples =
		"  platter log index disk.dmlw\n"
		"  platter log index --index=/tmp/disk.idx disk.dmlw\n",
	.argp = &argp,
	.options_size = sizeof(struct index_options),
	.flags = CMD_WRITES,
	.trouble = CMD_TROUBLE,
	.run = run,
};
