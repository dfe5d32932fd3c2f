/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter log check`: is a log sound, and if not, how far can it be read? */
#include "cmd.h"

struct check_options {
	struct cmd_log log;
	struct cmd_progress progress;
	struct cmd_output output;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct check_options *o = state->input;

	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = &o->log;
	state->child_inputs[1] = &o->progress;
	state->child_inputs[2] = &o->output;
	return 0;
}

static const struct argp_child children[] = {
	CMD_CHILD_LOG,
	CMD_CHILD_PROGRESS,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.parser = parse,
	.args_doc = "LOG",
	.doc = "Read every entry of a write log and list what is wrong with "
	       "it.\v"
	       "Exit codes: 0 sound, 1 damaged but readable up to the point "
	       "stated, 2 unreadable.",
	.children = children,
};

static void print(struct platter_printer *out, const char *name,
		  const struct platter_log_summary *s)
{
	bool human = platter_printer_kind(out) == PLATTER_OUTPUT_HUMAN;

	if (!human) {
		platter_out_map(out, NULL);
		platter_out_string(out, "filename", name);
		platter_out_string(out, "verdict",
				   s->damaged ? "damaged" : "sound");
		platter_out_u64(out, "entries", s->entries);
		platter_out_u64(out, "recovered", s->recovered);
		platter_out_u64(out, "log-end", s->end);
	}
	cmd_log_problems(out, "problems", s);
	if (!human)
		platter_out_end(out);
	else if (s->damaged)
		platter_out_text(out, "%s: damaged; readable up to point %"
				 PRIu64 ", log offset %" PRIu64 "\n", name,
				 s->entries, s->end);
	else
		platter_out_text(out, "%s: sound, to point %" PRIu64 "\n", name,
				 s->entries);
}

static int run(struct cmd *cmd, void *options, struct platter_error *err)
{
	struct check_options *o = options;
	struct platter_log *log cmd_auto_log = NULL;
	const struct platter_log_summary *summary;
	struct platter_progress *progress;
	struct platter_printer *out;
	int rc;

	rc = cmd_log_open(cmd, &o->log, cmd->args[0], &log, err);
	if (!rc)
		rc = cmd_progress_start(cmd, &o->progress, o->output.kind,
					&progress, err);
	if (rc)
		return rc;
	rc = platter_log_scan(log, progress, &summary, err);
	rc = cmd_progress_end(progress, rc);
	if (!rc)
		rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	if (!o->progress.quiet || o->output.kind != PLATTER_OUTPUT_HUMAN)
		print(out, platter_log_name(log), summary);
	return summary->damaged ? CMD_NO : CMD_OK;
}

const struct cmd_verb cmd_log_check = {
	.name = "check",
	.group = "Mend",
	.summary = "say whether a log is sound",
	.examples =
		"  platter log check disk.dmlw\n"
		"  platter log check -q disk.dmlw || echo damaged\n",
	.argp = &argp,
	.options_size = sizeof(struct check_options),
	.trouble = CMD_TROUBLE,
	.run = run,
};
