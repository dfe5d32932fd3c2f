/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter crash export`: a crash state as an image. */
#include <string.h>
#include <unistd.h>

#include "crash.h"

#define SPARSE	4096u	/* bytes of zeros that become a hole */

enum {
	KEY_FORCE = CMD_KEY_FIRST,
};

struct export_options {
	struct cmd_crash_log log;
	struct cmd_crash_again again;
	struct cmd_progress progress;
	struct cmd_key_values create;
	struct platter_convert_options job;
	bool force;
};

static const struct argp_option options[] = {
	{ .name = "target-format", .key = 'O', .arg = "FORMAT",
	  .doc = "format of the image (raw)" },
	{ .name = "options", .key = 'o', .arg = "KEY=VALUE,...",
	  .doc = "options of the format" },
	{ .name = "force", .key = KEY_FORCE,
	  .doc = "replace an image that exists" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct export_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->log;
		state->child_inputs[1] = &o->again;
		state->child_inputs[2] = &o->progress;
		o->job.sparse_size = SPARSE;
		return 0;
	case 'O':
		o->job.target_format = arg;
		return 0;
	case 'o':
		return cmd_key_values_add(state, &o->create, arg);
	case KEY_FORCE:
		o->force = true;
		return 0;
	case ARGP_KEY_ERROR:
		cmd_key_values_free(&o->create);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_CRASH_LOG,
	CMD_CHILD_CRASH_AGAIN,
	CMD_CHILD_PROGRESS,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "LOG STATE FILE",
	.doc = "Write a crash state into a new image: the same bytes on every "
	       "machine. STATE is a name as in platter-crash(7), or a point of "
	       "the log. The image appears under its name when it is "
	       "complete.\v"
	       "Exit codes: 0 done, 1 done but the log ends early, 2 trouble.",
	.children = children,
};

static int export(struct cmd *cmd, struct export_options *o,
		  const struct platter_crash_state *state,
		  struct platter_error *err)
{
	struct platter_image *img cmd_auto_image = NULL;
	int rc;

	rc = platter_crash_state_image(&img, state, err);
	if (!rc)
		rc = cmd_progress_start(cmd, &o->progress,
					PLATTER_OUTPUT_HUMAN,
					&o->job.progress, err);
	if (rc)
		return rc;
	return cmd_progress_end(o->job.progress,
				platter_convert(cmd->ctx, img, &o->job, err));
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct export_options *o = options_;
	struct platter_crash *crash cmd_auto_crash = NULL;
	struct cmd_crash_named named cmd_auto_crash_named = { .state = NULL };
	struct cmd_points points = { .to = NULL };
	int rc = cmd_crash_read_state(cmd, err);

	points.to = cmd->args[1];
	o->job.target = cmd->args[2];
	o->job.target_options = (const char *const *)o->create.list;
	if (!rc && !o->force && !access(o->job.target, F_OK))
		rc = platter_error_set(err, -EEXIST, "%s: it exists; --force "
				       "replaces it", o->job.target);
	if (!rc)
		rc = cmd_crash_open(cmd, &o->log, cmd->args[0], &o->progress,
				    PLATTER_OUTPUT_HUMAN, &crash, err);
	if (!rc)
		rc = cmd_crash_named_open(cmd, &o->again, crash, cmd->args[1],
					  &named, err);
	if (!rc)
		rc = export(cmd, o, named.state, err);
	cmd_key_values_free(&o->create);
	return rc ? rc : cmd_log_verdict(platter_crash_log(crash), &points,
					 err);
}

const struct cmd_verb cmd_crash_export = {
	.name = "export",
	.group = "Look at states",
	.summary = "write a state into an image",
	.examples =
		"  platter crash export run.log 412-405,409 broken.raw\n"
		"  platter crash export --base start.img run.log 412+ "
		"then.qcow2 -O qcow2\n",
	.argp = &argp,
	.options_size = sizeof(struct export_options),
	.flags = CMD_WRITES,
	.trouble = CMD_TROUBLE,
	.run = run,
};
