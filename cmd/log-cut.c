/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter log cut`: the part of a log between two points, as a log. */
#include "cmd.h"

enum {
	KEY_SQUASH = CMD_KEY_FIRST,
	KEY_BASE_FORMAT,
	KEY_FORCE,
};

struct cut_options {
	struct cmd_log log;
	struct cmd_points points;
	struct cmd_progress progress;
	struct cmd_output output;
	struct platter_log_cut_options job;
	bool squash;
};

static const struct argp_option options[] = {
	{ .name = "squash", .key = KEY_SQUASH, .arg = "FILE",
	  .flags = OPTION_ARG_OPTIONAL,
	  .doc = "also write the disk as it was at --from, a raw image "
		 "(OUT.base)" },
	{ .name = "base", .key = 'b', .arg = "FILE",
	  .doc = "with --squash: image of the disk before the log (zeros)" },
	{ .name = "base-format", .key = KEY_BASE_FORMAT, .arg = "FORMAT",
	  .doc = "format of the base (probed)" },
	{ .name = "force", .key = KEY_FORCE,
	  .doc = "replace files that are there" },
	{ 0 },
};

static error_t init(struct argp_state *state, struct cut_options *o)
{
	state->child_inputs[0] = &o->points;
	state->child_inputs[1] = &o->log;
	state->child_inputs[2] = &o->progress;
	state->child_inputs[3] = &o->output;
	return 0;
}

static error_t check(const struct argp_state *state,
		     const struct cut_options *o)
{
	if (o->job.base && !o->squash)
		return cmd_usage(state, "--base needs --squash");
	if (o->job.base_format && !o->job.base)
		return cmd_usage(state, "--base-format needs --base");
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct cut_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		return init(state, o);
	case KEY_SQUASH:
		o->squash = true;
		o->job.squash_path = arg;
		return 0;
	case 'b':
		o->job.base = arg;
		return 0;
	case KEY_BASE_FORMAT:
		o->job.base_format = arg;
		return 0;
	case KEY_FORCE:
		o->job.force = true;
		return 0;
	case ARGP_KEY_END:
		return check(state, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_POINTS,
	CMD_CHILD_LOG,
	CMD_CHILD_PROGRESS,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "LOG OUT",
	.doc = "Write the entries between two points to a new log. With "
	       "--squash, what went before becomes an image: the new log "
	       "replayed onto it gives the disk at --to.\v"
	       "Exit codes: 0 done, 1 done but the log ends early, 2 trouble.",
	.children = children,
};

static int print(struct cmd *cmd, const struct cut_options *o,
		 const struct platter_log_copy_result *r,
		 struct platter_error *err)
{
	struct platter_printer *out;
	int rc;

	if (cmd_is_quiet(&o->progress, &o->output))
		return 0;
	rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	platter_out_hide(out, true);
	platter_out_map(out, NULL);
	platter_out_string(out, "filename", cmd->args[1]);
	platter_out_u64(out, "from", o->job.from);
	platter_out_u64(out, "to", o->job.to);
	platter_out_u64(out, "entries", r->entries);
	platter_out_u64(out, "bytes", r->bytes);
	if (o->squash)
		platter_out_string(out, "base", o->job.squash_path);
	platter_out_end(out);
	platter_out_hide(out, false);
	platter_out_text(out, "%s: %" PRIu64 " entries in %" PRIu64 " bytes\n",
			 cmd->args[1], r->entries, r->bytes);
	if (o->squash)
		platter_out_text(out, "%s: the disk at entry %" PRIu64 "\n",
				 o->job.squash_path, o->job.from);
	return 0;
}

static int cut(struct cmd *cmd, struct cut_options *o,
	       struct platter_error *err)
{
	struct platter_log *log cmd_auto_log = NULL;
	struct platter_log_copy_result result;
	int rc;

	rc = cmd_log_open(cmd, &o->log, cmd->args[0], &log, err);
	if (!rc)
		rc = cmd_points_resolve(&o->points, log, &o->job.from,
					&o->job.to, err);
	if (!rc)
		rc = cmd_progress_start(cmd, &o->progress, o->output.kind,
					&o->job.progress, err);
	if (rc)
		return rc;
	rc = platter_log_cut(cmd->ctx, log, cmd->args[1], &o->job, &result,
			     err);
	rc = cmd_progress_end(o->job.progress, rc);
	if (!rc)
		rc = print(cmd, o, &result, err);
	return rc ? rc : cmd_log_verdict(log, &o->points, err);
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct cut_options *o = options_;
	char *path = NULL;
	int rc;

	if (o->squash && !o->job.squash_path) {
		if (asprintf(&path, "%s.base", cmd->args[1]) < 0)
			return platter_error_errno(err, -ENOMEM, "%s",
						   cmd->args[1]);
		o->job.squash_path = path;
	}
	rc = cut(cmd, o, err);
	free(path);
	return rc;
}

const struct cmd_verb cmd_log_cut = {
	.name = "cut",
	.group = "Make",
	.summary = "write the part between two points to a new log",
	.examples =
		"  platter log cut disk.dmlw part.dmlw --from mark:a "
		"--to mark:b\n"
		"  platter log cut disk.dmlw part.dmlw --from 400 --squash\n"
		"  platter log cut disk.dmlw part.dmlw --from 400 "
		"--squash=at400.raw --base before.raw\n",
	.argp = &argp,
	.options_size = sizeof(struct cut_options),
	.flags = CMD_WRITES,
	.trouble = CMD_TROUBLE,
	.run = run,
};
