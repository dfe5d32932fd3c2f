/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter create`: make a new image, as qemu-img does. */
#include <string.h>

#include "cmd.h"

struct create_options {
	struct cmd_key_values create;
	const char *format;
	const char *size;
	char *backing[2];	/* "backing_file=...", "backing_fmt=..." */
	bool unsafe;
	bool quiet;
};

static const struct argp_option options[] = {
	{ .name = "format", .key = 'f', .arg = "FORMAT",
	  .doc = "format of the new image (raw)" },
	{ .name = "options", .key = 'o', .arg = "KEY=VALUE,...",
	  .doc = "options of the format; \"help\" lists them" },
	{ .name = "backing", .key = 'b', .arg = "FILE",
	  .doc = "what the new image shows where it has no data of its own; "
		 "a relative name is relative to the new image" },
	{ .name = "backing-format", .key = 'F', .arg = "FORMAT",
	  .doc = "format of the backing file" },
	{ .name = "backing-fmt", .key = 'B', .arg = "FORMAT",
	  .flags = OPTION_HIDDEN, .doc = "the same as -F" },
	{ .name = "backing-unsafe", .key = 'u',
	  .doc = "do not open the backing file, which need not be there" },
	{ .name = "quiet", .key = 'q', .doc = "print nothing but errors" },
	{ 0 },
};

static error_t set_backing(const struct argp_state *state, char **out,
			   const char *key, const char *value)
{
	free(*out);
	if (asprintf(out, "%s=%s", key, value) >= 0)
		return 0;
	*out = NULL;
	return cmd_usage(state, "no memory for an option");
}

static void clean_up(struct create_options *o)
{
	cmd_key_values_free(&o->create);
	free(o->backing[0]);
	free(o->backing[1]);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct create_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		return 0;
	case 'f':
		o->format = arg;
		return 0;
	case 'o':
		return cmd_key_values_add(state, &o->create, arg);
	case 'b':
		return set_backing(state, &o->backing[0], "backing_file", arg);
	case 'F':
	case 'B':
		return set_backing(state, &o->backing[1], "backing_fmt", arg);
	case 'u':
		o->unsafe = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case ARGP_KEY_ERROR:
		clean_up(o);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_FILES,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "[TARGET] [SIZE]",
	.doc = "Make an image of SIZE bytes; k, M, G, T, P and E stand for "
	       "powers of 1024. With a backing file the size may be left out. "
	       "A file that exists is replaced, when all went well.",
	.children = children,
};

/* ---- the size ---- */

static int find_size(struct cmd *cmd, const struct create_options *o,
		     struct platter_create_options *create,
		     struct platter_error *err)
{
	const char *option = cmd_key_values_get(&o->create, "size");
	const char *arg = cmd->nr_args > 1 ? cmd->args[1] : NULL;
	const char *text = arg ? arg : option;

	if (arg && option)
		return platter_error_set(err, -EINVAL,
			"the size is given twice: %s and -o size=%s", arg,
			option);
	create->backing_size = !text;
	if (!text)
		return 0;
	while (*text == ' ')
		text++;
	return platter_size_parse(&create->size, text, err);
}

/* ---- the line qemu-img prints ---- */

/* The protocol of a plain file name, whose options come last. */
#define PROTOCOL	"file"

struct line {
	struct platter_printer *out;
	const struct create_options *o;
	uint64_t size;			/* bytes */
};

static void print_value(const struct line *l, const struct platter_option *opt,
			const char *value)
{
	uint64_t n;

	platter_out_text(l->out, " %s=", opt->name);
	if (opt->type == PLATTER_OPTION_SIZE &&
	    !platter_size_parse(&n, value, NULL)) {
		platter_out_text(l->out, "%" PRIu64, n);
	} else if (opt->type == PLATTER_OPTION_NUMBER) {
		platter_out_text(l->out, "%llu", strtoull(value, NULL, 0));
	} else if (opt->type == PLATTER_OPTION_BOOL) {
		bool on = strchr("oyt", value[0]) && strcmp(value, "off");

		platter_out_text(l->out, "%s", on ? "on" : "off");
	} else {
		for (; *value; value++)
			platter_out_text(l->out, "%s%c",
					 *value == ',' ? "," : "", *value);
	}
}

static void print_table(const struct line *l,
			const struct platter_option *table,
			const struct platter_option *before)
{
	for (; table && table->name; table++) {
		const char *value = cmd_key_values_get(&l->o->create,
						       table->name);

		if (before && cmd_option_table_has(before, table->name))
			continue;
		if (!strcmp(table->name, "size"))
			platter_out_text(l->out, " size=%" PRIu64, l->size);
		else if (value || table->def)
			print_value(l, table, value ? value : table->def);
	}
}

static int print_line(struct cmd *cmd, const struct create_options *o,
		      const struct platter_create_options *create,
		      struct platter_error *err)
{
	const struct platter_option *own, *protocol;
	struct line l = { .o = o, .size = create->size };
	int rc;

	rc = cmd_printer(cmd, PLATTER_OUTPUT_HUMAN, &l.out, err);
	if (rc)
		return rc;
	own = platter_create_option_table(cmd->ctx, create->format);
	protocol = platter_create_option_table(cmd->ctx, PROTOCOL);
	platter_out_text(l.out, "Formatting '%s', fmt=%s", cmd->args[0],
			 create->format);
	print_table(&l, own, NULL);
	print_table(&l, protocol, own);
	platter_out_text(l.out, "\n");
	return 0;
}

/* Where it was taken from the backing file. */
static int size_of_new(struct cmd *cmd, const char *format, uint64_t *out,
		       struct platter_error *err)
{
	const struct platter_open_options open = {
		.format = format,
		.flags = PLATTER_O_NO_IO | PLATTER_O_NO_BACKING,
	};
	struct platter_image *img cmd_auto_image = NULL;
	int rc;

	rc = platter_image_open(&img, cmd->ctx, cmd->args[0], &open, err);
	if (!rc)
		*out = platter_image_size(img);
	return rc;
}

/* ---- doing it ---- */

static int create(struct cmd *cmd, struct create_options *o,
		  struct platter_error *err)
{
	struct platter_create_options create = {
		.format = o->format ? o->format : "raw",
		.backing_unsafe = o->unsafe,
		.replace = true,
	};
	int rc;

	if (!cmd->nr_args)
		return platter_error_set(err, -EINVAL, "TARGET is missing");
	rc = find_size(cmd, o, &create, err);
	if (rc)
		return rc;
	cmd_key_values_drop(&o->create, "size");
	create.options = (const char *const *)o->create.list;
	rc = platter_image_create(cmd->ctx, cmd->args[0], &create, err);
	if (rc || o->quiet)
		return rc;
	if (create.backing_size)
		rc = size_of_new(cmd, create.format, &create.size, err);
	return rc ? rc : print_line(cmd, o, &create, err);
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct create_options *o = options_;
	int rc = 0;

	for (int i = 0; i < 2 && !rc; i++)
		if (o->backing[i])
			rc = cmd_key_values_append(&o->create, o->backing[i],
						   err);
	if (!rc && cmd_key_values_wants_help(&o->create))
		rc = cmd_option_table_print(cmd,
			platter_create_option_table(cmd->ctx, o->format),
			o->format ? o->format : "raw", err);
	else if (!rc) {
		cmd_key_values_last(&o->create);
		rc = create(cmd, o, err);
	}
	clean_up(o);
	return rc;
}

const struct cmd_verb cmd_create = {
	.name = "create",
	.group = "Disk images",
	.summary = "make a new image",
	.examples =
		"  platter create disk.raw 10G\n"
		"  platter create -f qcow2 -o preallocation=metadata "
		"disk.qcow2 10G\n"
		"  platter create -f qcow2 -b base.qcow2 -F qcow2 "
		"overlay.qcow2\n",
	.argp = &argp,
	.options_size = sizeof(struct create_options),
	.flags = CMD_WRITES,
	.trouble = 1,
	.run = run,
};
