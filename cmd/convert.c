/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter convert`: copy an image into another one, as qemu-img does. */
#include <string.h>

#include "cmd.h"

enum {
	KEY_SOURCE_FORMAT = CMD_KEY_FIRST,
	KEY_TARGET_IS_ZERO,
	KEY_TARGET_IMAGE_OPTS,
};

/* qemu-img's limits and defaults. */
#define SPARSE_DEFAULT	4096u
#define SPARSE_UNIT	512u
#define SPARSE_MAX	(16u << 20)
struct convert_options {
	struct cmd_image image;
	struct cmd_progress progress;
	struct cmd_key_values create;
	struct platter_convert_options job;
	enum platter_cache source_cache;
};

static const struct argp_option options[] = {
	{ .name = "source-format", .key = KEY_SOURCE_FORMAT, .arg = "FORMAT",
	  .flags = OPTION_HIDDEN, .doc = "the same as --format" },
	{ .name = "target-format", .key = 'O', .arg = "FORMAT",
	  .doc = "format of the target (raw)" },
	{ .name = "options", .key = 'o', .arg = "KEY=VALUE,...",
	  .doc = "options of the target's format" },
	{ .name = "no-create", .key = 'n',
	  .doc = "write into a target that exists" },
	{ .name = "target-is-zero", .key = KEY_TARGET_IS_ZERO,
	  .doc = "with -n: the target reads as zeros already" },
	{ .name = "target-image-opts", .key = KEY_TARGET_IMAGE_OPTS,
	  .doc = "with -n: the target is driver=...,key=value,..." },
	{ .name = "sparse-size", .key = 'S', .arg = "SIZE",
	  .doc = "make holes of that many zeros in a row (4K); 0 makes none" },
	{ .name = "target-cache", .key = 't', .arg = "CACHE",
	  .doc = "cache mode of the target (unsafe: nothing is flushed, as "
		 "with qemu-img)" },
	{ .name = "source-cache", .key = 'T', .arg = "CACHE",
	  .doc = "cache mode of the source (writeback)" },
	{ .name = "parallel", .key = 'm', .arg = "NUMBER",
	  .doc = "copy with that many threads, 1 to 16 (one per processor)" },
	{ .name = "oob-writes", .key = 'W',
	  .doc = "allowed, and always done: write out of order" },
	{ 0 },
};

static error_t parse_sparse(const struct argp_state *state, const char *arg,
			    uint64_t *out)
{
	error_t rc = cmd_parse_size(state, "-S", arg, out);

	if (!rc && (*out % SPARSE_UNIT || *out > SPARSE_MAX))
		rc = cmd_usage(state, "-S: %s is not a multiple of %u up to %u",
			       arg, SPARSE_UNIT, SPARSE_MAX);
	return rc;
}

static error_t check(const struct argp_state *state,
		     const struct convert_options *o)
{
	if (o->create.count && o->job.no_create)
		return cmd_usage(state, "-o has no effect with -n: "
				 "the target is not created");
	if (o->job.target_is_zero && !o->job.no_create)
		return cmd_usage(state, "--target-is-zero needs -n");
	if (o->job.target_image_opts && !o->job.no_create)
		return cmd_usage(state, "--target-image-opts needs -n");
	if (o->job.target_image_opts && o->job.target_format)
		return cmd_usage(state, "-O and --target-image-opts cannot be "
				 "used together");
	return 0;
}

static error_t init(struct argp_state *state, struct convert_options *o)
{
	o->job.sparse_size = SPARSE_DEFAULT;
	o->job.target_cache = PLATTER_CACHE_UNSAFE;
	state->child_inputs[0] = &o->image;
	state->child_inputs[1] = &o->progress;
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct convert_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		return init(state, o);
	case KEY_SOURCE_FORMAT:
		o->image.format = arg;
		return 0;
	case 'O':
		o->job.target_format = arg;
		return 0;
	case 'o':
		return cmd_key_values_add(state, &o->create, arg);
	case 'n':
		o->job.no_create = true;
		return 0;
	case KEY_TARGET_IS_ZERO:
		o->job.target_is_zero = true;
		return 0;
	case KEY_TARGET_IMAGE_OPTS:
		o->job.target_image_opts = true;
		return 0;
	case 'S':
		return parse_sparse(state, arg, &o->job.sparse_size);
	case 't':
		return cmd_parse_cache(state, arg, &o->job.target_cache);
	case 'T':
		return cmd_parse_cache(state, arg, &o->source_cache);
	case 'm':
		return cmd_parse_workers(state, arg, &o->job.workers);
	case 'W':
		return 0;
	case ARGP_KEY_END:
		return check(state, o);
	case ARGP_KEY_ERROR:
		cmd_key_values_free(&o->create);
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
	.args_doc = "SOURCE TARGET",
	.doc = "Copy an image, or any moment of a write log, into a new image. "
	       "A new file appears under its name when it is complete.",
	.children = children,
};

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct convert_options *o = options_;
	struct platter_image *src = NULL;
	int rc;

	o->job.target = cmd->args[1];
	o->job.target_options = (const char *const *)o->create.list;

	rc = cmd_image_open(cmd, &o->image, cmd->args[0], 0, o->source_cache,
			    &src, err);
	if (!rc)
		rc = cmd_progress_start(cmd, &o->progress,
					PLATTER_OUTPUT_HUMAN,
					&o->job.progress, err);
	if (!rc)
		rc = cmd_progress_end(o->job.progress,
				      platter_convert(cmd->ctx, src, &o->job,
						      err));
	platter_image_close(src, NULL);
	cmd_key_values_free(&o->create);
	return rc;
}

const struct cmd_verb cmd_convert = {
	.name = "convert",
	.group = "Disk images",
	.summary = "copy an image into a new one",
	.examples =
		"  platter convert -p disk.raw copy.raw\n"
		"  platter convert -n -t none disk.raw /dev/sdb\n"
		"  platter convert --image-opts driver=writelog,"
		"log=disk.dmlw,base=base.raw,at=mark:a then.raw\n",
	.argp = &argp,
	.options_size = sizeof(struct convert_options),
	.flags = CMD_WRITES,
	.trouble = 1,
	.run = run,
};
