/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter log check`: is a log sound, and if not, how far can it be read? */
#include "cmd.h"

static const struct argp argp = {
	.parser = cmd_whole_log_parse,
	.args_doc = "LOG",
	.doc = "Read every entry of a write log and list what is wrong with "
	       "it.\v"
	       "Exit codes: 0 sound, 1 damaged but readable up to the point "
	       "stated, 2 unreadable.",
	.children = cmd_whole_log_children,
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
	const struct cmd_whole_log *o = options;
	struct platter_log *log cmd_auto_log = NULL;
	const struct platter_log_summary *summary;
	struct platter_printer *out;
	int rc;

	rc = cmd_log_scan(cmd, o, cmd->args[0], &log, &summary, err);
	if (!rc)
		rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	if (!cmd_is_quiet(&o->progress, &o->output))
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
	.options_size = sizeof(struct cmd_whole_log),
	.trouble = CMD_TROUBLE,
	.run = run,
};
