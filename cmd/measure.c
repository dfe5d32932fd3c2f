/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter measure`: how large an image would be in another format. */
#include <string.h>

#include "cmd.h"
#include "convert.h"

#define KEY_SIZE	CMD_KEY_FIRST

struct measure_options {
	struct cmd_sources source;
	struct cmd_output output;
	struct cmd_key_values create;
	struct platter_measure_options job;
	bool has_size;
};

static const struct argp_option options[] = {
	{ .name = "target-format", .key = 'O', .arg = "FORMAT",
	  .doc = "format it would have (raw)" },
	{ .name = "options", .key = 'o', .arg = "KEY=VALUE,...",
	  .doc = "options it would be created with; \"help\" lists them" },
	{ .name = "size", .key = 's', .arg = "SIZE",
	  .doc = "of an empty disk of that size, instead of IMAGE" },
	{ .name = "snapshot", .key = 'l', .arg = "SNAPSHOT",
	  .doc = "of an internal snapshot of IMAGE: name, ID, or "
		 "snapshot.id=ID,snapshot.name=NAME" },
	{ 0 },
};

static error_t check(const struct argp_state *state,
		     const struct measure_options *o)
{
	bool named = cmd_of(state)->nr_args > 0;

	if (cmd_key_values_wants_help(&o->create))
		return 0;
	if (o->has_size && named)
		return cmd_usage(state, "--size and IMAGE cannot be used "
				 "together");
	if (!o->has_size && !named)
		return cmd_usage(state, "IMAGE is missing, or --size");
	if (!named && (o->source.image.format ||
		       o->source.image.image_opts || o->source.snapshot))
		return cmd_usage(state, "-f, --image-opts and -l need IMAGE");
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct measure_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->source.image;
		state->child_inputs[1] = &o->output;
		return 0;
	case 'O':
		o->job.format = arg;
		return 0;
	case 'o':
		return cmd_key_values_add(state, &o->create, arg);
	case 's':
		o->has_size = true;
		return cmd_parse_size(state, "--size", arg, &o->job.size);
	case 'l':
		o->source.snapshot = arg;
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
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "[IMAGE]",
	.doc = "Print the bytes that an image converted to another format "
	       "would take: now, and when all of it has been written.",
	.children = children,
};

static int print(struct cmd *cmd, const struct measure_options *o,
		 const struct platter_measure *m, struct platter_error *err)
{
	bool human = o->output.kind == PLATTER_OUTPUT_HUMAN;
	struct platter_printer *out;
	int rc = cmd_printer(cmd, o->output.kind, &out, err);

	if (rc)
		return rc;
	platter_out_map(out, NULL);
	platter_out_u64(out, human ? "required size" : "required",
			m->required);
	platter_out_u64(out, human ? "fully allocated size" :
			"fully-allocated", m->fully_allocated);
	if (m->has_bitmaps)
		platter_out_u64(out, human ? "bitmaps size" : "bitmaps",
				m->bitmaps);
	platter_out_end(out);
	return 0;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct measure_options *o = options_;
	struct platter_image *src cmd_auto_image = NULL;
	const char *format = o->job.format ? o->job.format : "raw";
	struct platter_measure result;
	int rc = 0;

	if (cmd_key_values_wants_help(&o->create)) {
		rc = cmd_option_table_print(cmd,
			platter_create_option_table(cmd->ctx, format), format,
			err);
		cmd_key_values_free(&o->create);
		return rc;
	}
	cmd_key_values_last(&o->create);
	o->job.options = (const char *const *)o->create.list;
	if (cmd->nr_args)
		rc = cmd_sources_open(cmd, &o->source, cmd->args, 1, &src,
				      err);
	if (!rc)
		rc = platter_measure(cmd->ctx, src, &o->job, &result, err);
	if (!rc)
		rc = print(cmd, o, &result, err);
	cmd_key_values_free(&o->create);
	return rc;
}

const struct cmd_verb cmd_measure = {
	.name = "measure",
	.group = "Disk images",
	.summary = "tell how large an image would be in another format",
	.examples =
		"  platter measure -O qcow2 disk.raw\n"
		"  platter measure -O qcow2 -o cluster_size=2M --size 1T\n",
	.argp = &argp,
	.options_size = sizeof(struct measure_options),
	.trouble = 1,
	.run = run,
};
