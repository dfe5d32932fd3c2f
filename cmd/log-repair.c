/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter log repair`: a clean log of all that can be proven of another. */
#include "cmd.h"

#define KEY_FORCE	CMD_KEY_FIRST

struct repair_options {
	struct cmd_whole_log whole;
	bool force;
};

static const struct argp_option options[] = {
	{ .name = "force", .key = KEY_FORCE,
	  .doc = "replace OUT if it is there" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct repair_options *o = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->whole;
		return 0;
	case KEY_FORCE:
		o->force = true;
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
	.options = options,
	.parser = parse,
	.args_doc = "LOG OUT",
	.doc = "Write a clean log of every entry of LOG that can be proven, "
	       "and say what was left out and why. LOG is not changed.",
	.children = children,
};

static void print(struct platter_printer *out, const char *name,
		  const struct platter_log_copy_result *r,
		  const struct platter_log_summary *s)
{
	bool human = platter_printer_kind(out) == PLATTER_OUTPUT_HUMAN;

	platter_out_hide(out, true);
	platter_out_map(out, NULL);
	platter_out_string(out, "filename", name);
	platter_out_u64(out, "entries", r->entries);
	platter_out_u64(out, "bytes", r->bytes);
	platter_out_u64(out, "dropped-entries", r->dropped_entries);
	platter_out_u64(out, "dropped-bytes", r->dropped_bytes);
	if (!human || s->nr_problems)
		cmd_log_problems(out, "problems", s);
	platter_out_end(out);
	platter_out_hide(out, false);
	platter_out_text(out, "%s: kept %" PRIu64 " entries in %" PRIu64
			 " bytes, dropped %" PRIu64 " entries, %" PRIu64
			 " bytes\n", name, r->entries, r->bytes,
			 r->dropped_entries, r->dropped_bytes);
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct repair_options *o = options_;
	struct platter_log *log cmd_auto_log = NULL;
	const struct platter_log_summary *summary;
	struct platter_log_copy_result result;
	struct platter_progress *progress;
	struct platter_printer *out;
	int rc;

	rc = cmd_log_scan(cmd, &o->whole, cmd->args[0], &log, &summary, err);
	if (!rc)
		rc = cmd_progress_start(cmd, &o->whole.progress,
					o->whole.output.kind, &progress, err);
	if (rc)
		return rc;
	rc = platter_log_repair(log, cmd->args[1], o->force, progress,
				&result, err);
	rc = cmd_progress_end(progress, rc);
	if (rc || cmd_is_quiet(&o->whole.progress, &o->whole.output))
		return rc;
	rc = cmd_printer(cmd, o->whole.output.kind, &out, err);
	if (!rc)
		print(out, cmd->args[1], &result, summary);
	return rc;
}

const struct cmd_verb cmd_log_repair = {
	.name = "repair",
	.group = "Mend",
	.summary = "write a clean log of all that can be proven",
	.examples =
		"  platter log repair torn.dmlw clean.dmlw\n",
	.argp = &argp,
	.options_size = sizeof(struct repair_options),
	.flags = CMD_WRITES,
	.trouble = CMD_TROUBLE,
	.run = run,
};
