/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter dd`: copy a part of an image or of a stream. */
#include <string.h>
#include <unistd.h>

#include "cmd.h"

#define BLOCK_DEFAULT	512u
#define STREAM		"-"

struct dd_options {
	struct cmd_image image;
	struct cmd_progress progress;
	struct platter_dd_options job;
	const char *source;	/* NULL: standard input */
};

static const struct argp_option options[] = {
	{ .name = "target-format", .key = 'O', .arg = "FORMAT",
	  .doc = "format of the target (raw)" },
	{ 0 },
};

/* ---- operands ---- */

/* What dd knows besides qemu-img's suffixes, longest first. */
static const struct {
	const char *suffix;
	uint64_t factor;
} suffixes[] = {
	{ "kB", 1000 },
	{ "KB", 1000 },
	{ "MB", 1000000 },
	{ "GB", 1000000000 },
	{ "TB", UINT64_C(1000000000000) },
	{ "KiB", UINT64_C(1) << 10 },
	{ "MiB", UINT64_C(1) << 20 },
	{ "GiB", UINT64_C(1) << 30 },
	{ "TiB", UINT64_C(1) << 40 },
	{ "c", 1 },
	{ "w", 2 },
};

static int parse_factor(char *text, uint64_t *out, struct platter_error *err)
{
	size_t len = strlen(text);
	uint64_t factor = 1;
	int rc;

	for (size_t i = 0; i < CMD_ARRAY_SIZE(suffixes); i++) {
		size_t n = strlen(suffixes[i].suffix);

		if (len <= n || strcmp(text + len - n, suffixes[i].suffix))
			continue;
		factor = suffixes[i].factor;
		text[len - n] = '\0';
		break;
	}
	rc = platter_size_parse(out, text, err);
	if (!rc && __builtin_mul_overflow(*out, factor, out))
		rc = platter_error_set(err, -ERANGE, "'%s' is too large",
				       text);
	return rc;
}

/* "64k", "2x512", "10MB" */
static error_t parse_amount(const struct argp_state *state, const char *what,
			    const char *arg, uint64_t *out)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	char copy[64], *text = copy;
	int rc = 0;

	if (strlen(arg) >= sizeof(copy))
		return cmd_usage(state, "%s: '%s' is not a size", what, arg);
	strcpy(copy, arg);
	/* A hexadecimal number has an x, too. */
	if (!strncmp(text, "0x", 2)) {
		rc = parse_factor(text, out, &e);
		return rc ? cmd_usage(state, "%s: %s", what, e.msg) : 0;
	}
	for (*out = 1; text && !rc;) {
		char *times = strchr(text, 'x');
		uint64_t factor;

		if (times)
			*times++ = '\0';
		rc = parse_factor(text, &factor, &e);
		if (!rc && __builtin_mul_overflow(*out, factor, out))
			rc = platter_error_set(&e, -ERANGE,
					       "'%s' is too large", arg);
		text = times;
	}
	return rc ? cmd_usage(state, "%s: %s", what, e.msg) : 0;
}

static error_t parse_block_size(const struct argp_state *state,
				const char *arg, uint64_t *out)
{
	error_t rc = parse_amount(state, "bs", arg, out);

	if (!rc && (!*out || *out > INT32_MAX))
		rc = cmd_usage(state, "bs: %s is not between 1 and %d", arg,
			       INT32_MAX);
	return rc;
}

static error_t parse_conversions(const struct argp_state *state,
				 const char *arg, struct dd_options *o)
{
	while (*arg) {
		size_t len = strcspn(arg, ",");

		if (len == 7 && !strncmp(arg, "notrunc", len))
			o->job.no_truncate = true;
		/* Always done. */
		else if ((len != 5 || strncmp(arg, "fsync", len)) &&
			 (len != 9 || strncmp(arg, "fdatasync", len)))
			return cmd_usage(state, "conv: '%.*s' is not notrunc, "
					 "fsync or fdatasync", (int)len, arg);
		arg += len + (arg[len] == ',');
	}
	return 0;
}

static const char *name_or_stream(const char *arg)
{
	return strcmp(arg, STREAM) ? arg : NULL;
}

static error_t parse_operand(const struct argp_state *state,
			     const char *name, size_t len, const char *value,
			     struct dd_options *o)
{
	struct platter_dd_options *job = &o->job;
	char key[8];

	if (len >= sizeof(key))
		return cmd_usage(state, "unrecognized operand '%s'", name);
	snprintf(key, sizeof(key), "%.*s", (int)len, name);
	if (!strcmp(key, "if"))
		o->source = name_or_stream(value);
	else if (!strcmp(key, "of"))
		job->target = name_or_stream(value);
	else if (!strcmp(key, "bs"))
		return parse_block_size(state, value, &job->block_size);
	else if (!strcmp(key, "count"))
		return parse_amount(state, key, value, &job->count);
	else if (!strcmp(key, "skip"))
		return parse_amount(state, key, value, &job->skip);
	else if (!strcmp(key, "seek"))
		return parse_amount(state, key, value, &job->seek);
	else if (!strcmp(key, "conv"))
		return parse_conversions(state, value, o);
	else
		return cmd_usage(state, "unrecognized operand '%s'", name);
	return 0;
}

static error_t parse_operands(const struct argp_state *state,
			      struct dd_options *o)
{
	const struct cmd *cmd = cmd_of(state);
	error_t rc = 0;

	for (unsigned int i = 0; i < cmd->nr_args && !rc; i++) {
		const char *arg = cmd->args[i];
		size_t len = strcspn(arg, "=");

		if (!arg[len])
			return cmd_usage(state, "unrecognized operand '%s'",
					 arg);
		rc = parse_operand(state, arg, len, arg + len + 1, o);
	}
	if (!rc && !o->job.target && isatty(fileno(cmd->out)))
		rc = cmd_usage(state, "of= is missing, and standard output is "
			       "a terminal");
	return rc;
}

static error_t init(struct argp_state *state, struct dd_options *o)
{
	o->job.block_size = BLOCK_DEFAULT;
	o->job.count = UINT64_MAX;
	state->child_inputs[0] = &o->image;
	state->child_inputs[1] = &o->progress;
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct dd_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		return init(state, o);
	case 'O':
		o->job.target_format = arg;
		return 0;
	case ARGP_KEY_END:
		return parse_operands(state, o);
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
	.args_doc = "[OPERAND]...",
	.doc = "Copy a part of an image. The operands are dd's: if=FILE, "
	       "of=FILE, bs=SIZE (512), count=BLOCKS, skip=BLOCKS, "
	       "seek=BLOCKS, conv=notrunc. Without if= or of=, or with '-', "
	       "standard input or output, which are raw.",
	.children = children,
};

/* ---- */

static int dd(struct cmd *cmd, struct dd_options *o, struct platter_image *src,
	      struct platter_dd_result *result, struct platter_error *err)
{
	/* Where the data goes to standard output nothing else may. */
	enum platter_output kind = o->job.target ? PLATTER_OUTPUT_HUMAN :
						   PLATTER_OUTPUT_JSON;
	int rc;

	o->job.input = STDIN_FILENO;
	o->job.output = fileno(cmd->out);
	rc = cmd_progress_start(cmd, &o->progress, kind, &o->job.progress,
				err);
	if (rc)
		return rc;
	return cmd_progress_end(o->job.progress,
				platter_dd(cmd->ctx, src, &o->job, result,
					   err));
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct platter_image *src cmd_auto_image = NULL;
	struct dd_options *o = options_;
	struct platter_dd_result result;
	int rc = 0;

	if (o->source)
		rc = cmd_image_open(cmd, &o->image, o->source, 0,
				    PLATTER_CACHE_WRITEBACK, &src, err);
	if (!rc)
		rc = dd(cmd, o, src, &result, err);
	/* As dd and qemu-img: a message, and no failure. */
	if (!rc && result.skipped_all)
		platter_error_set(err, -EINVAL, "%s: cannot skip to specified "
				  "offset", o->source);
	return rc;
}

const struct cmd_verb cmd_dd = {
	.name = "dd",
	.group = "Disk images",
	.summary = "copy a part of an image or a stream",
	.examples =
		"  platter dd if=disk.qcow2 of=mbr.raw bs=512 count=1\n"
		"  platter dd -O qcow2 if=disk.raw of=disk.qcow2 bs=1M\n"
		"  platter dd if=boot.img of=disk.raw conv=notrunc bs=1M "
		"seek=1\n"
		"  xz -d <disk.raw.xz | platter dd -O qcow2 of=disk.qcow2\n",
	.argp = &argp,
	.options_size = sizeof(struct dd_options),
	.flags = CMD_WRITES,
	.trouble = 1,
	.run = run,
};
