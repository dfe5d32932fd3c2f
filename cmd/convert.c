/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter convert`: copy images into another one, as qemu-img does.
 *
 * Opening the sources is in convert-source.c.
 */
#include <string.h>

#include "cmd.h"
#include "convert.h"

enum {
	KEY_SOURCE_FORMAT = CMD_KEY_FIRST,
	KEY_TARGET_IS_ZERO,
	KEY_TARGET_IMAGE_OPTS,
	KEY_BITMAPS,
	KEY_SKIP_BROKEN_BITMAPS,
	KEY_SALVAGE,
	KEY_HASH,
};

/* qemu-img's limits and defaults. */
#define SPARSE_DEFAULT	4096u
#define SPARSE_UNIT	512u
#define SPARSE_MAX	(16u << 20)

#define STANDARD_OUTPUT	"-"

struct convert_options {
	struct cmd_sources sources;
	struct cmd_progress progress;
	struct cmd_key_values create;
	struct platter_convert_options job;
	bool sparse_given;
	bool salvage;
	char hash_hex[PLATTER_HASH_HEX_MAX];
};

static const struct argp_option options[] = {
	{ .name = "source-format", .key = KEY_SOURCE_FORMAT, .arg = "FORMAT",
	  .flags = OPTION_HIDDEN, .doc = "the same as --format" },
	{ .name = "target-format", .key = 'O', .arg = "FORMAT",
	  .doc = "format of the target (raw)" },
	{ .name = "options", .key = 'o', .arg = "KEY=VALUE,...",
	  .doc = "options of the target's format; \"help\" lists them" },
	{ .name = "backing", .key = 'B', .arg = "FILE",
	  .doc = "backing file of the target; what the source shows from "
		 "there is not copied" },
	{ .key = 'b', .arg = "FILE", .flags = OPTION_HIDDEN,
	  .doc = "the same as -B" },
	{ .name = "backing-format", .key = 'F', .arg = "FORMAT",
	  .doc = "format of the backing file" },
	{ .name = "no-create", .key = 'n',
	  .doc = "write into a target that exists" },
	{ .name = "target-is-zero", .key = KEY_TARGET_IS_ZERO,
	  .doc = "with -n: the target reads as zeros already" },
	{ .name = "target-image-opts", .key = KEY_TARGET_IMAGE_OPTS,
	  .doc = "with -n: the target is driver=...,key=value,..." },
	{ .name = "snapshot", .key = 'l', .arg = "SNAPSHOT",
	  .doc = "copy that internal snapshot: an ID, a name, or "
		 "snapshot.id=ID,snapshot.name=NAME" },
	{ .name = "compress", .key = 'c', .doc = "compress the target" },
	{ .name = "sparse-size", .key = 'S', .arg = "SIZE",
	  .doc = "make holes of that many zeros in a row (4K); 0 makes none" },
	{ .name = "bitmaps", .key = KEY_BITMAPS,
	  .doc = "copy the persistent bitmaps, too" },
	{ .name = "skip-broken-bitmaps", .key = KEY_SKIP_BROKEN_BITMAPS,
	  .doc = "with --bitmaps: leave out inconsistent ones" },
	{ .name = "salvage", .key = KEY_SALVAGE,
	  .doc = "take what cannot be read for zeros" },
	{ .name = "hash", .key = KEY_HASH, .arg = "NAME",
	  .doc = "print a hash of what is copied: md5, sha1, sha224, sha256, "
		 "sha384 or sha512" },
	{ .name = "target-cache", .key = 't', .arg = "CACHE",
	  .doc = "cache mode of the target (unsafe: nothing is flushed, as "
		 "with qemu-img)" },
	{ .name = "source-cache", .key = 'T', .arg = "CACHE",
	  .doc = "cache mode of the source (writeback)" },
	{ .name = "rate-limit", .key = 'r', .arg = "SIZE",
	  .doc = "copy at most that many bytes a second (0: no limit)" },
	{ .name = "parallel", .key = 'm', .arg = "NUMBER",
	  .doc = "copy with that many threads, 1 to 16 (one per processor)" },
	{ .name = "copy-range-offloading", .key = 'C',
	  .doc = "let the kernel copy; zeros are not looked for" },
	{ .name = "oob-writes", .key = 'W',
	  .doc = "write out of order; never with -c" },
	{ 0 },
};

/* ---- the command line ---- */

static error_t parse_sparse(const struct argp_state *state, const char *arg,
			    struct convert_options *o)
{
	uint64_t *out = &o->job.sparse_size;
	error_t rc = cmd_parse_size(state, "-S", arg, out);

	if (!rc && (*out % SPARSE_UNIT || *out > SPARSE_MAX))
		rc = cmd_usage(state, "-S: %s is not a multiple of %u up to %u",
			       arg, SPARSE_UNIT, SPARSE_MAX);
	o->sparse_given = true;
	return rc;
}

static error_t check_existing(const struct argp_state *state,
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

static error_t check_ways(const struct argp_state *state,
			  const struct convert_options *o)
{
	if (o->job.copy_range && o->sparse_given)
		return cmd_usage(state, "-C and -S cannot be used together: "
				 "the kernel does not look for zeros");
	if (o->job.copy_range && o->job.compress)
		return cmd_usage(state, "-C and -c cannot be used together: "
				 "the kernel does not compress");
	if (o->job.copy_range && o->salvage)
		return cmd_usage(state, "-C and --salvage cannot be used "
				 "together");
	if (o->job.skip_broken_bitmaps && !o->job.bitmaps)
		return cmd_usage(state, "--skip-broken-bitmaps needs "
				 "--bitmaps");
	return 0;
}

static error_t check_sources(const struct argp_state *state,
			     const struct convert_options *o, unsigned int nr)
{
	if (nr > 2 && o->sources.snapshot)
		return cmd_usage(state, "-l is for one source, not for %u",
				 nr - 1);
	if (nr > 2 && o->job.bitmaps)
		return cmd_usage(state, "--bitmaps is for one source, not for "
				 "%u", nr - 1);
	if (nr > 2 && o->job.backing_file)
		return cmd_usage(state, "-B is for one source, not for %u",
				 nr - 1);
	return 0;
}

static error_t check(const struct argp_state *state,
		     const struct convert_options *o)
{
	const struct cmd_parser *p = (const void *)state->root_argp;
	unsigned int nr = cmd_of(state)->nr_args;
	error_t rc;

	if (p->action != CMD_ACTION_RUN ||
	    cmd_key_values_wants_help(&o->create))
		return 0;
	if (nr < 2)
		return cmd_usage(state, "%s is missing", nr ? "TARGET" :
				 "SOURCE");
	rc = check_existing(state, o);
	if (!rc)
		rc = check_ways(state, o);
	return rc ? rc : check_sources(state, o, nr);
}

static error_t init(struct argp_state *state, struct convert_options *o)
{
	o->job.sparse_size = SPARSE_DEFAULT;
	o->job.target_cache = PLATTER_CACHE_UNSAFE;
	state->child_inputs[0] = &o->sources.image;
	state->child_inputs[1] = &o->progress;
	return 0;
}

static error_t parse_target(int key, char *arg, struct argp_state *state)
{
	struct convert_options *o = state->input;

	switch (key) {
	case 'O':
		o->job.target_format = arg;
		return 0;
	case 'o':
		return cmd_key_values_add(state, &o->create, arg);
	case 'B':
	case 'b':
		o->job.backing_file = arg;
		return 0;
	case 'F':
		o->job.backing_format = arg;
		return 0;
	case 'n':
		o->job.no_create = true;
		return 0;
	case KEY_TARGET_IS_ZERO:
		o->job.target_is_zero = true;
		return 0;
	case KEY_TARGET_IMAGE_OPTS:
		o->job.target_image_opts = true;
		return 0;
	case 't':
		return cmd_parse_cache(state, arg, &o->job.target_cache);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_source(int key, char *arg, struct argp_state *state)
{
	struct convert_options *o = state->input;

	switch (key) {
	case KEY_SOURCE_FORMAT:
		o->sources.image.format = arg;
		return 0;
	case 'l':
		o->sources.snapshot = arg;
		return 0;
	case 'T':
		return cmd_parse_cache(state, arg, &o->sources.cache);
	case KEY_BITMAPS:
		o->job.bitmaps = true;
		return 0;
	case KEY_SKIP_BROKEN_BITMAPS:
		o->job.skip_broken_bitmaps = true;
		return 0;
	case KEY_SALVAGE:
		o->salvage = true;
		return 0;
	case KEY_HASH:
		o->job.hash = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct convert_options *o = state->input;
	error_t rc;

	switch (key) {
	case ARGP_KEY_INIT:
		return init(state, o);
	case 'S':
		return parse_sparse(state, arg, o);
	case 'c':
		o->job.compress = true;
		return 0;
	case 'm':
		return cmd_parse_workers(state, arg, &o->job.workers);
	case 'r':
		return cmd_parse_size(state, "-r", arg, &o->job.rate);
	case 'C':
		o->job.copy_range = true;
		return 0;
	case 'W':
		o->job.unordered = true;
		return 0;
	case ARGP_KEY_END:
		return check(state, o);
	case ARGP_KEY_ERROR:
		cmd_key_values_free(&o->create);
		return 0;
	default:
		rc = parse_target(key, arg, state);
		return rc == ARGP_ERR_UNKNOWN ? parse_source(key, arg, state) :
						rc;
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
	.args_doc = "[SOURCE]... [TARGET]",
	.doc = "Copy an image, or any moment of a write log, into a new image. "
	       "More sources are put one behind the other. The target - is "
	       "standard output. A new file appears under its name when it is "
	       "complete.",
	.children = children,
};

/* ---- doing it ---- */

/* Options of the target that are not for its format to know. */
static int take_options(struct convert_options *o, struct platter_error *err)
{
	const char *size = cmd_key_values_get(&o->create, "size");
	const char *file = cmd_key_values_get(&o->create, "backing_file");
	const char *format = cmd_key_values_get(&o->create, "backing_fmt");
	int rc = 0;

	if (size)
		rc = platter_size_parse(&o->job.target_size, size, err);
	if (!o->job.backing_file)
		o->job.backing_file = file;
	if (!o->job.backing_format)
		o->job.backing_format = format;
	cmd_key_values_drop(&o->create, "size");
	cmd_key_values_drop(&o->create, "backing_file");
	cmd_key_values_drop(&o->create, "backing_fmt");
	cmd_key_values_last(&o->create);
	o->job.target_options = (const char *const *)o->create.list;
	return rc;
}

static void tell_unreadable(void *arg, uint64_t offset, uint64_t length,
			    const struct platter_error *why)
{
	struct cmd *cmd = arg;

	fprintf(cmd->err, "%s: warning: error while reading offset %" PRIu64
		", %" PRIu64 " bytes: %s\n", cmd->as->name, offset, length,
		why->msg);
}

static int print_hash(struct cmd *cmd, const struct convert_options *o,
		      struct platter_error *err)
{
	struct platter_printer *out;
	int rc;

	if (!o->job.hash)
		return 0;
	/* Standard output is the image. */
	if (!strcmp(o->job.target, STANDARD_OUTPUT)) {
		fprintf(cmd->err, "%s  %s\n", o->job.hash, o->hash_hex);
		return 0;
	}
	rc = cmd_printer(cmd, PLATTER_OUTPUT_HUMAN, &out, err);
	if (!rc)
		platter_out_text(out, "%s  %s\n", o->job.hash, o->hash_hex);
	return rc;
}

static int convert(struct cmd *cmd, struct convert_options *o,
		   struct platter_image *src, struct platter_error *err)
{
	bool stream = !strcmp(o->job.target, STANDARD_OUTPUT);
	int rc;

	rc = cmd_progress_start(cmd, &o->progress, stream ?
				PLATTER_OUTPUT_JSON : PLATTER_OUTPUT_HUMAN,
				&o->job.progress, err);
	if (rc)
		return rc;
	if (stream)
		rc = platter_convert_stream(cmd->ctx, src, fileno(cmd->out),
					    &o->job, err);
	else
		rc = platter_convert(cmd->ctx, src, &o->job, err);
	return cmd_progress_end(o->job.progress, rc);
}

static int copy(struct cmd *cmd, struct convert_options *o,
		struct platter_error *err)
{
	struct platter_image *src = NULL;
	int rc;

	o->job.target = cmd->args[cmd->nr_args - 1];
	o->job.hash_hex = o->hash_hex;
	if (o->salvage) {
		o->job.unreadable = tell_unreadable;
		o->job.unreadable_arg = cmd;
	}
	rc = take_options(o, err);
	if (!rc)
		rc = cmd_sources_open(cmd, &o->sources, cmd->args,
				      cmd->nr_args - 1, &src, err);
	if (!rc)
		rc = convert(cmd, o, src, err);
	platter_image_close(src, NULL);
	return rc ? rc : print_hash(cmd, o, err);
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct convert_options *o = options_;
	const char *format = o->job.target_format;
	int rc;

	if (cmd_key_values_wants_help(&o->create))
		rc = cmd_option_table_print(cmd,
			platter_create_option_table(cmd->ctx, format),
			format ? format : "raw", err);
	else
		rc = copy(cmd, o, err);
	cmd_key_values_free(&o->create);
	return rc;
}

const struct cmd_verb cmd_convert = {
	.name = "convert",
	.group = "Disk images",
	.summary = "copy an image into a new one",
	.examples =
		"  platter convert -p -O qcow2 disk.raw copy.qcow2\n"
		"  platter convert -c -O qcow2 disk.raw small.qcow2\n"
		"  platter convert -n -t none disk.raw /dev/sdb\n"
		"  platter convert -O qcow2 disk.raw - | xz >disk.qcow2.xz\n"
		"  platter convert --image-opts driver=writelog,"
		"log=disk.dmlw,base=base.raw,at=mark:a then.raw\n",
	.argp = &argp,
	.options_size = sizeof(struct convert_options),
	.flags = CMD_WRITES,
	.trouble = 1,
	.run = run,
};
