/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter log export`: the entries of a log as text for other programs. */
#include <signal.h>

#include "cmd.h"

enum {
	KEY_FORMAT = CMD_KEY_FIRST,
	KEY_DEVICE,
	KEY_FORCE,
};

struct export_options {
	struct cmd_points points;
	struct cmd_log log;
	const char *path;
	bool has_format;
	struct platter_log_export_options job;
};

static const struct argp_option options[] = {
	{ .name = "format", .key = KEY_FORMAT,
	  .arg = "blkparse|fio|fio3|tsv|jsonl",
	  .doc = "blkparse's default output, fio's iolog (version 2, or 3 with "
		 "times), tab-separated values, or a line of JSON an entry" },
	{ .name = "out", .key = 'o', .arg = "OUT",
	  .doc = "write to this new file (standard output)" },
	{ .name = "device", .key = KEY_DEVICE, .arg = "NAME",
	  .doc = "what the disk is called: a file for fio (disk), MAJOR,MINOR "
		 "for blkparse (0,0)" },
	{ .name = "force", .key = KEY_FORCE,
	  .doc = "replace the file if it exists" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct export_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->points;
		state->child_inputs[1] = &o->log;
		return 0;
	case KEY_FORMAT:
		o->has_format = true;
		return cmd_parse_log_text(state, arg, false,
					  &o->job.format);
	case 'o':
		o->path = arg;
		return 0;
	case KEY_DEVICE:
		o->job.device = arg;
		return 0;
	case KEY_FORCE:
		o->job.force = true;
		return 0;
	case ARGP_KEY_END:
		if (!o->has_format)
			return cmd_usage(state, "--format is missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_POINTS,
	CMD_CHILD_LOG,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "LOG",
	.doc = "Print the entries of a write log, without their data, as text "
	       "that other programs read.\v"
	       "Exit codes: 0 done, 1 done but the log ends early, 2 trouble.",
	.children = children,
};

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	const struct cmd_progress quiet = { .quiet = true };
	struct export_options *o = options_;
	struct platter_log *log cmd_auto_log = NULL;
	int rc;

	rc = cmd_log_open(cmd, &o->log, cmd->args[0], &log, err);
	if (!rc)
		rc = cmd_points_resolve(&o->points, log, &o->job.from,
					&o->job.to, err);
	/* Nothing is in the making then, and nobody wants to know. */
	if (!o->path)
		signal(SIGPIPE, SIG_DFL);
	/* Shows nothing beside the text, but makes SIGINT leave no part. */
	if (!rc)
		rc = cmd_progress_start(cmd, &quiet, PLATTER_OUTPUT_HUMAN,
					&o->job.progress, err);
	if (rc)
		return rc;
	rc = platter_log_export(log, o->path, cmd->out, &o->job, err);
	rc = cmd_progress_end(o->job.progress, rc);
	return rc ? rc : cmd_log_verdict(log, &o->points, err);
}

const struct cmd_verb cmd_log_export = {
	.name = "export",
	.group = "Make",
	.summary = "print the entries as text for other programs",
	.examples =
		"  platter log export disk.dmlw --format tsv | cut -f 3,4\n"
		"  platter log export disk.dmlw --format fio3 -o disk.fio "
		"--device disk.raw\n",
	.argp = &argp,
	.options_size = sizeof(struct export_options),
	.flags = CMD_WRITES,
	.trouble = CMD_TROUBLE,
	.run = run,
};
