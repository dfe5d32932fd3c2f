/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter compare`: qemu-img's verb, messages and exit codes. */
#include <unistd.h>

#include "cmd.h"

/* Exit codes besides 0 and 1; the library has those of reading. */
#define EXIT_OPEN	2
#define EXIT_READ	4

enum {
	KEY_A_FORMAT = CMD_KEY_FIRST,
	KEY_ALL,
};

struct compare_options {
	struct cmd_image image;
	struct cmd_output output;
	struct cmd_progress progress;
	const char *b_format;
	enum platter_cache cache;
	bool strict;
	bool all;
};

static const struct argp_option options[] = {
	{ .name = "a-format", .key = KEY_A_FORMAT, .arg = "FORMAT",
	  .flags = OPTION_HIDDEN, .doc = "the same as --format" },
	{ .name = "b-format", .key = 'F', .arg = "FORMAT",
	  .doc = "format of the second image (probed)" },
	{ .name = "strict", .key = 's',
	  .doc = "sizes and allocation must be the same, too" },
	{ .name = "all", .key = KEY_ALL,
	  .doc = "go on to the end and list every range that differs; not "
		 "with -s" },
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
	case KEY_ALL:
		o->all = true;
		return 0;
	case 'T':
		return cmd_parse_cache(state, arg, &o->cache);
	case ARGP_KEY_END:
		if (o->strict && o->all)
			return cmd_usage(state, "-s and --all cannot be used "
					 "together");
		return 0;
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

/* The members of a map that is open already. */
static void print_data(struct platter_printer *out,
		       const struct platter_compare_result *r,
		       struct platter_image *const img[2])
{
	bool same = r->verdict == PLATTER_COMPARE_SAME;

	platter_out_bool(out, "identical", same);
	platter_out_string(out, "verdict", verdict_name(r->verdict));
	if (r->verdict == PLATTER_COMPARE_CONTENT ||
	    r->verdict == PLATTER_COMPARE_ALLOCATION)
		platter_out_u64(out, "offset", r->offset);
	if (r->ranges) {
		platter_out_u64(out, "ranges", r->ranges);
		platter_out_u64(out, "bytes", r->bytes);
	}
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
}

/* ---- --all ---- */

static void print_range(void *arg, uint64_t offset, uint64_t length)
{
	struct platter_printer *out = arg;

	platter_out_row(out, "range");
	platter_out_u64(out, "offset", offset);
	platter_out_u64(out, "length", length);
	platter_out_end(out);
	platter_out_text(out, "%" PRIu64 "+%" PRIu64 "\n", offset, length);
}

static void ignore_range(void *arg, uint64_t offset, uint64_t length)
{
	(void)arg;
	(void)offset;
	(void)length;
}

static void print_all_human(struct platter_printer *out,
			    const struct platter_compare_result *r)
{
	if (r->size_differs)
		platter_out_text(out, "Warning: Image size mismatch!\n");
	if (r->ranges)
		platter_out_text(out, "%" PRIu64 " bytes in %" PRIu64
				 " range%s differ.\n", r->bytes, r->ranges,
				 r->ranges == 1 ? "" : "s");
	else
		platter_out_text(out, "Images are identical.\n");
}

/* A bar on the terminal that the rows go to would be torn apart by them. */
static int start_all(struct cmd *cmd, const struct compare_options *o,
		     struct platter_compare_options *job,
		     struct platter_error *err)
{
	struct cmd_progress progress = o->progress;
	bool human = o->output.kind == PLATTER_OUTPUT_HUMAN;

	if (isatty(fileno(cmd->out)) && !(human && progress.quiet))
		progress.quiet = true;
	return cmd_progress_start(cmd, &progress, PLATTER_OUTPUT_JSON,
				  &job->progress, err);
}

static int compare_all(struct cmd *cmd, const struct compare_options *o,
		       struct platter_image *const img[2],
		       struct platter_error *err)
{
	bool human = o->output.kind == PLATTER_OUTPUT_HUMAN;
	bool quiet = human && o->progress.quiet;
	struct platter_compare_options job = {
		.found = quiet ? ignore_range : print_range,
	};
	struct platter_compare_result result = { .failed = EXIT_READ };
	struct platter_printer *out;
	int rc = cmd_printer(cmd, o->output.kind, &out, err);

	if (!rc)
		rc = start_all(cmd, o, &job, err);
	if (rc)
		return rc;
	job.arg = out;
	platter_out_map(out, NULL);
	platter_out_hide(out, true);
	platter_out_list(out, "differences");
	rc = cmd_progress_end(job.progress,
			      platter_compare(img[0], img[1], &job, &result,
					      err));
	platter_out_end(out);
	if (!rc && human && !quiet)
		print_all_human(out, &result);
	else if (!rc)
		print_data(out, &result, img);
	platter_out_hide(out, false);
	platter_out_end(out);
	if (rc == -ECANCELED)
		return rc;
	if (rc)
		return result.failed ? result.failed : EXIT_READ;
	return result.ranges ? CMD_NO : CMD_OK;
}

/* ---- up to the first difference ---- */

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
	if (o->output.kind != PLATTER_OUTPUT_HUMAN) {
		platter_out_map(out, NULL);
		print_data(out, &result, img);
		platter_out_end(out);
	} else if (!o->progress.quiet) {
		print_human(out, &result);
	}
	return result.verdict == PLATTER_COMPARE_SAME ? CMD_OK : CMD_NO;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	const struct compare_options *o = options_;
	struct platter_image *img[2] = { NULL, NULL };
	int rc;

	rc = open_both(cmd, o, img, err);
	if (!rc)
		rc = o->all ? compare_all(cmd, o, img, err) :
			      compare(cmd, o, img, err);
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
		"  platter compare --all --output=json a.qcow2 b.qcow2\n"
		"  platter compare --image-opts driver=raw,file.filename=a.raw"
		" \\\n      driver=writelog,log=disk.dmlw,at=end\n",
	.argp = &argp,
	.options_size = sizeof(struct compare_options),
	.trouble = EXIT_OPEN,
	.run = run,
};
