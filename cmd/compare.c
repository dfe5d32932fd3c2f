/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter compare`: qemu-img's verb, messages and exit codes. */
#include "cmd.h"

/* Exit codes besides 0 and 1; the library has those of reading. */
#define EXIT_OPEN	2
#define EXIT_READ	4

#define KEY_A_FORMAT	(CMD_KEY_FIRST + 0)

struct compare_options {
	struct cmd_image image;
	struct cmd_output output;
	struct cmd_progress progress;
	const char *b_format;
	enum platter_cache cache;
	bool strict;
};

static const struct argp_option options[] = {
	{ .name = "a-format", .key = KEY_A_FORMAT, .arg = "FORMAT",
	  .flags = OPTION_HIDDEN, .doc = "the same as --format" },
	{ .name = "b-format", .key = 'F', .arg = "FORMAT",
	  .doc = "format of the second image (probed)" },
	{ .name = "strict", .key = 's',
	  .doc = "sizes and allocation must be the same, too" },
	{ .name = "cache", .key = 'T', .arg = "CACHE",
	  .doc = "cache mode of both images (writeback)" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct compare_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->image;
		state->child_inputs[1] = &o->progress;
		state->child_inputs[2] = &o->output;
		return 0;
	case KEY_A_FORMAT:
		o->image.format = arg;
		return 0;
	case 'F':
		o->b_format = arg;
		return 0;
	case 's':
		o->strict = true;
		return 0;
	case 'T':
		return cmd_parse_cache(state, arg, &o->cache);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_IMAGE,
	CMD_CHILD_PROGRESS,
	CMD_CHILD_OUTPUT,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "FILE1 FILE2",
	.doc = "Compare the content of two images, whatever their formats. "
	       "Where one is longer, the rest of it must be zeros.\v"
	       "Exit codes: 0 the same, 1 different, 2 an image cannot be "
	       "opened, 3 or 4 it cannot be mapped or read.",
	.children = children,
};

static int open_both(struct cmd *cmd, const struct compare_options *o,
		     struct platter_image *img[2], struct platter_error *err)
{
	struct cmd_image second = o->image;
	int rc;

	second.format = o->b_format;
	rc = cmd_image_open(cmd, &o->image, cmd->args[0], 0, o->cache, &img[0],
			    err);
	if (!rc)
		rc = cmd_image_open(cmd, &second, cmd->args[1], 0, o->cache,
				    &img[1], err);
	return rc;
}

static const char *verdict_name(enum platter_compare_verdict verdict)
{
	switch (verdict) {
	case PLATTER_COMPARE_SAME:
		return "same";
	case PLATTER_COMPARE_CONTENT:
		return "content";
	case PLATTER_COMPARE_SIZE:
		return "size";
	case PLATTER_COMPARE_ALLOCATION:
		return "allocation";
	}
	return "unknown";
}

static void print_human(struct platter_printer *out,
			const struct platter_compare_result *r)
{
	if (r->size_differs && r->verdict != PLATTER_COMPARE_SIZE)
		platter_out_text(out, "Warning: Image size mismatch!\n");
	switch (r->verdict) {
	case PLATTER_COMPARE_SAME:
		platter_out_text(out, "Images are identical.\n");
		break;
	case PLATTER_COMPARE_CONTENT:
		platter_out_text(out, "Content mismatch at offset %" PRIu64
				 "!\n", r->offset);
		break;
	case PLATTER_COMPARE_SIZE:
		platter_out_text(out, "Strict mode: Image size mismatch!\n");
		break;
	case PLATTER_COMPARE_ALLOCATION:
		platter_out_text(out, "Strict mode: Offset %" PRIu64
				 " block status mismatch!\n", r->offset);
		break;
	}
}

static void print_data(struct platter_printer *out,
		       const struct platter_compare_result *r,
		       struct platter_image *const img[2])
{
	bool same = r->verdict == PLATTER_COMPARE_SAME;

	platter_out_map(out, NULL);
	platter_out_bool(out, "identical", same);
	platter_out_string(out, "verdict", verdict_name(r->verdict));
	if (r->verdict == PLATTER_COMPARE_CONTENT ||
	    r->verdict == PLATTER_COMPARE_ALLOCATION)
		platter_out_u64(out, "offset", r->offset);
	platter_out_list(out, "images");
	for (int i = 0; i < 2; i++) {
		platter_out_map(out, NULL);
		platter_out_string(out, "filename", platter_image_name(img[i]));
		platter_out_string(out, "format",
				   platter_image_format(img[i]));
		platter_out_u64(out, "virtual-size",
				platter_image_size(img[i]));
		platter_out_end(out);
	}
	platter_out_end(out);
	platter_out_end(out);
}

static int compare(struct cmd *cmd, const struct compare_options *o,
		   struct platter_image *const img[2],
		   struct platter_error *err)
{
	struct platter_compare_options options_ = { .strict = o->strict };
	struct platter_compare_result result = { .failed = EXIT_READ };
	struct platter_printer *out;
	int rc;

	rc = cmd_progress_start(cmd, &o->progress, o->output.kind,
				&options_.progress, err);
	if (rc)
		return rc;
	rc = cmd_progress_end(options_.progress,
			      platter_compare(img[0], img[1], &options_,
					      &result, err));
	if (rc == -ECANCELED)
		return rc;
	if (rc)
		return result.failed ? result.failed : EXIT_READ;

	rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	if (o->output.kind != PLATTER_OUTPUT_HUMAN)
		print_data(out, &result, img);
	else if (!o->progress.quiet)
		print_human(out, &result);
	return result.verdict == PLATTER_COMPARE_SAME ? CMD_OK : CMD_NO;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct platter_image *img[2] = { NULL, NULL };
	int rc;

	rc = open_both(cmd, options_, img, err);
	if (!rc)
		rc = compare(cmd, options_, img, err);
	platter_image_close(img[1], NULL);
	platter_image_close(img[0], NULL);
	return rc;
}

const struct cmd_verb cmd_compare = {
	.name = "compare",
	.group = "Disk images",
	.summary = "compare the content of two images",
	.examples =
		"  platter compare a.raw b.raw\n"
		"  platter compare -s -f raw -F raw a.raw b.raw\n"
		"  platter compare --image-opts driver=raw,file.filename=a.raw"
		" \\\n      driver=writelog,log=disk.dmlw,at=end\n",
	.argp = &argp,
	.options_size = sizeof(struct compare_options),
	.trouble = EXIT_OPEN,
	.run = run,
};
