/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter rebase`: give an image another backing file. */
#include "cmd.h"

struct rebase_options {
	struct cmd_image image;
	struct cmd_progress progress;
	struct platter_rebase_options job;
	enum platter_cache cache;
};

static const struct argp_option options[] = {
	{ .name = "backing", .key = 'b', .arg = "FILE",
	  .doc = "the new backing file, relative to the image; \"\" for none" },
	{ .name = "backing-format", .key = 'F', .arg = "FORMAT",
	  .doc = "format of the new backing file" },
	{ .name = "backing-fmt", .key = 'B', .arg = "FORMAT",
	  .flags = OPTION_HIDDEN, .doc = "the same as -F" },
	{ .name = "backing-unsafe", .key = 'u',
	  .doc = "change only the name, and with it what the image reads as; "
		 "no backing file is opened" },
	{ .name = "compress", .key = 'c',
	  .doc = "compress what is copied into the image" },
	{ .name = "cache", .key = 't', .arg = "CACHE",
	  .doc = "cache mode of the image (writeback)" },
	{ .name = "backing-cache", .key = 'T', .arg = "CACHE",
	  .doc = "cache mode of the new backing file (writeback)" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct rebase_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->image;
		state->child_inputs[1] = &o->progress;
		return 0;
	case 'b':
		o->job.backing = arg;
		return 0;
	case 'F':
	case 'B':
		o->job.format = arg;
		return 0;
	case 'u':
		o->job.names_only = true;
		return 0;
	case 'c':
		o->job.compress = true;
		return 0;
	case 't':
		return cmd_parse_cache(state, arg, &o->cache);
	case 'T':
		return cmd_parse_cache(state, arg, &o->job.cache);
	case ARGP_KEY_END:
		if (!o->job.backing && !o->job.names_only)
			return cmd_usage(state, "Must specify backing file "
					 "(-b) or use unsafe mode (-u)");
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
	.args_doc = "FILE",
	.doc = "Give an image another backing file, or none. Where the new one "
	       "differs from the old, the image gets a copy of the old one's "
	       "data first, so that it reads the same.",
	.children = children,
};

static int rebase(struct cmd *cmd, struct rebase_options *o,
		  struct platter_image *img, struct platter_error *err)
{
	int rc;

	if (o->image.share)
		o->job.open_flags |= PLATTER_O_SHARE;
	rc = cmd_progress_start(cmd, &o->progress, PLATTER_OUTPUT_HUMAN,
				&o->job.progress, err);
	if (rc)
		return rc;
	return cmd_progress_end(o->job.progress,
				platter_rebase(img, &o->job, err));
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct rebase_options *o = options_;
	struct platter_image *img;
	unsigned int flags = PLATTER_O_RDWR;
	int rc, closed;

	if (o->job.names_only)
		flags |= PLATTER_O_NO_BACKING;
	rc = cmd_image_open(cmd, &o->image, cmd->args[0], flags, o->cache,
			    &img, err);
	if (rc)
		return rc;
	rc = rebase(cmd, o, img, err);
	closed = platter_image_close(img, rc ? NULL : err);
	return rc ? rc : closed;
}

const struct cmd_verb cmd_rebase = {
	.name = "rebase",
	.group = "Disk images",
	.summary = "give an image another backing file",
	.examples =
		"  platter rebase -b new-base.qcow2 -F qcow2 overlay.qcow2\n"
		"  platter rebase -p -b \"\" overlay.qcow2\n"
		"  platter rebase -u -b moved/base.raw -F raw overlay.qcow2\n",
	.argp = &argp,
	.options_size = sizeof(struct rebase_options),
	.flags = CMD_WRITES,
	.trouble = 1,
	.run = run,
};
