/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter commit`: write an overlay's data into an image below it. */
#include "cmd.h"

struct commit_options {
	struct cmd_image image;
	struct cmd_progress progress;
	struct platter_commit_options job;
	enum platter_cache cache;
};

static const struct argp_option options[] = {
	{ .name = "base", .key = 'b', .arg = "FILE",
	  .doc = "commit into that image of the backing chain; implies -d "
		 "(the backing file itself)" },
	{ .name = "drop", .key = 'd',
	  .doc = "do not empty the image afterwards: it will be deleted" },
	{ .name = "rate-limit", .key = 'r', .arg = "SIZE",
	  .doc = "copy at most that many bytes per second (no limit)" },
	{ .name = "cache", .key = 't', .arg = "CACHE",
	  .doc = "cache mode of the images (writeback)" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct commit_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->image;
		state->child_inputs[1] = &o->progress;
		return 0;
	case 'b':
		o->job.base = arg;
		o->job.keep = true;
		return 0;
	case 'd':
		o->job.keep = true;
		return 0;
	case 'r':
		return cmd_parse_size(state, "-r", arg, &o->job.rate);
	case 't':
		return cmd_parse_cache(state, arg, &o->cache);
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
	.doc = "Write what an image holds into its backing file, which grows "
	       "where it is smaller, and empty the image. What the image reads "
	       "as stays the same, at every moment.",
	.children = children,
};

static int print(struct cmd *cmd, const struct commit_options *o,
		 struct platter_error *err)
{
	struct platter_printer *out;
	int rc;

	if (o->progress.quiet)
		return 0;
	rc = cmd_printer(cmd, PLATTER_OUTPUT_HUMAN, &out, err);
	if (!rc)
		platter_out_text(out, "Image committed.\n");
	return rc;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct commit_options *o = options_;
	struct platter_image *img;
	int rc, closed;

	rc = cmd_image_open(cmd, &o->image, cmd->args[0], PLATTER_O_RDWR,
			    o->cache, &img, err);
	if (rc)
		return rc;
	rc = cmd_progress_start(cmd, &o->progress, PLATTER_OUTPUT_HUMAN,
				&o->job.progress, err);
	if (!rc)
		rc = cmd_progress_end(o->job.progress,
				      platter_commit(img, &o->job, err));
	closed = platter_image_close(img, rc ? NULL : err);
	rc = rc ? rc : closed;
	return rc ? rc : print(cmd, o, err);
}

const struct cmd_verb cmd_commit = {
	.name = "commit",
	.group = "Disk images",
	.summary = "write an overlay's data into its backing file",
	.examples =
		"  platter commit overlay.qcow2\n"
		"  platter commit -p -b base.qcow2 overlay.qcow2\n",
	.argp = &argp,
	.options_size = sizeof(struct commit_options),
	.flags = CMD_WRITES,
	.trouble = 1,
	.run = run,
};
