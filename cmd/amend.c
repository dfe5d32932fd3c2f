/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter amend`: change the creation options of an image that exists. */
#include <string.h>

#include "cmd.h"

#define KEY_FORCE	CMD_KEY_FIRST

struct amend_options {
	struct cmd_image image;
	struct cmd_progress progress;
	struct cmd_key_values amend;
	enum platter_cache cache;
	bool force;
};

static const struct argp_option options[] = {
	{ .name = "options", .key = 'o', .arg = "KEY=VALUE,...",
	  .doc = "what to change; \"help\" lists it" },
	{ .name = "cache", .key = 't', .arg = "CACHE",
	  .doc = "cache mode of the image (writeback)" },
	{ .name = "force", .key = KEY_FORCE,
	  .doc = "do what could make data unreadable, too" },
	{ 0 },
};

static error_t check(const struct argp_state *state,
		     const struct amend_options *o)
{
	if (!o->amend.count)
		return cmd_usage(state, "-o is missing");
	if (o->image.share)
		return cmd_usage(state, "-U is for reading: an image in use "
				 "is not changed");
	if (!cmd_key_values_wants_help(&o->amend) &&
	    !cmd_of(state)->nr_args)
		return cmd_usage(state, "IMAGE is missing");
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct amend_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->image;
		state->child_inputs[1] = &o->progress;
		return 0;
	case 'o':
		return cmd_key_values_add(state, &o->amend, arg);
	case 't':
		return cmd_parse_cache(state, arg, &o->cache);
	case KEY_FORCE:
		o->force = true;
		return 0;
	case ARGP_KEY_END:
		return check(state, o);
	case ARGP_KEY_ERROR:
		cmd_key_values_free(&o->amend);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_IMAGE,
	CMD_CHILD_PROGRESS,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "[IMAGE]",
	.doc = "Change what an image was created with: its version, its "
	       "refcounts, its size and more.",
	.children = children,
};

static int amend(struct cmd *cmd, struct amend_options *o,
		 struct platter_error *err)
{
	struct platter_progress *progress;
	struct platter_image *img;
	int rc, closed;

	rc = cmd_image_open(cmd, &o->image, cmd->args[0], PLATTER_O_RDWR,
			    o->cache, &img, err);
	if (rc)
		return rc;
	cmd_key_values_last(&o->amend);
	rc = cmd_progress_start(cmd, &o->progress, PLATTER_OUTPUT_HUMAN,
				&progress, err);
	if (!rc)
		rc = cmd_progress_end(progress, platter_image_amend(img,
				(const char *const *)o->amend.list, o->force,
				progress, err));
	closed = platter_image_close(img, rc ? NULL : err);
	return rc ? rc : closed;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct amend_options *o = options_;
	const char *format = o->image.format ? o->image.format : "qcow2";
	int rc;

	if (cmd_key_values_wants_help(&o->amend))
		rc = cmd_option_table_print(cmd,
			platter_amend_option_table(cmd->ctx, format), format,
			err);
	else
		rc = amend(cmd, o, err);
	cmd_key_values_free(&o->amend);
	return rc;
}

const struct cmd_verb cmd_amend = {
	.name = "amend",
	.group = "Disk images",
	.summary = "change what an image was created with",
	.examples =
		"  platter amend -o compat=0.10 disk.qcow2\n"
		"  platter amend -f qcow2 -o help\n",
	.argp = &argp,
	.options_size = sizeof(struct amend_options),
	.flags = CMD_WRITES,
	.trouble = 1,
	.run = run,
};
