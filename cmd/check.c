/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter check`: is an image's metadata in order, and can it be repaired?
 *
 * Words, JSON and exit codes are qemu-img's. After a repair the image is
 * checked once more, and that is the result; what was fixed is added to it.
 */
#include <string.h>

#include "cmd.h"

/* Exit codes besides 0, and 1 for trouble. */
#define EXIT_CORRUPT	2
#define EXIT_LEAKS	3
#define EXIT_NO_CHECK	63

#define KEY_LIST	CMD_KEY_FIRST

struct check_options {
	struct cmd_image image;
	struct cmd_output output;
	struct cmd_progress progress;
	enum platter_cache cache;
	enum platter_repair repair;
	bool list;
};

static const struct argp_option options[] = {
	{ .name = "repair", .key = 'r', .arg = "leaks|all",
	  .doc = "give leaked clusters back (leaks), or repair whatever can be "
		 "repaired (all)" },
	{ .name = "list", .key = KEY_LIST,
	  .doc = "list each damaged place, with its offsets" },
	{ .name = "cache", .key = 'T', .arg = "CACHE",
	  .doc = "cache mode of the image (writeback)" },
	{ 0 },
};

static error_t parse_repair(struct argp_state *state, const char *arg,
			    enum platter_repair *out)
{
	if (!strcmp(arg, "leaks"))
		*out = PLATTER_REPAIR_LEAKS;
	else if (!strcmp(arg, "all"))
		*out = PLATTER_REPAIR_ALL;
	else
		return cmd_usage(state, "--repair is leaks or all, not '%s'",
				 arg);
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct check_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->image;
		state->child_inputs[1] = &o->progress;
		state->child_inputs[2] = &o->output;
		return 0;
	case ARGP_KEY_END:
		if (o->repair != PLATTER_REPAIR_NONE && o->image.share)
			return cmd_usage(state, "--repair cannot be used with "
					 "--force-share");
		return 0;
	case 'r':
		return parse_repair(state, arg, &o->repair);
	case 'T':
		return cmd_parse_cache(state, arg, &o->cache);
	case KEY_LIST:
		o->list = true;
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
	.args_doc = "FILE",
	.doc = "Check whether the metadata of an image is consistent, and "
	       "repair it on request.\v"
	       "Exit codes: 0 it is in order now, 1 the check could not be "
	       "completed, 2 it is corrupted, 3 it has leaked clusters, but "
	       "is not corrupted, 63 the format has nothing to check.",
	.children = children,
};

/* ---- places ---- */

static void place_data(struct platter_printer *out,
		       const struct platter_check_place *p)
{
	platter_out_row(out, "place");
	platter_out_string(out, "kind", p->kind);
	platter_out_bool(out, "leak", p->leak);
	platter_out_bool(out, "fixed", p->fixed);
	if (p->offset != UINT64_MAX)
		platter_out_u64(out, "offset", p->offset);
	if (p->guest_offset != UINT64_MAX)
		platter_out_u64(out, "guest-offset", p->guest_offset);
	platter_out_string(out, "text", p->text);
	platter_out_end(out);
}

static void place_listed(struct platter_printer *out,
			 const struct platter_check_place *p)
{
	platter_out_text(out, "%s: %s", p->kind, p->text);
	if (p->offset != UINT64_MAX)
		platter_out_text(out, ", at offset %" PRIu64, p->offset);
	if (p->guest_offset != UINT64_MAX)
		platter_out_text(out, ", guest offset %" PRIu64,
				 p->guest_offset);
	platter_out_text(out, "%s\n", p->fixed ? ", repaired" : "");
}

struct found {
	struct platter_printer *out;
	bool list;
};

static void found(void *arg, const struct platter_check_place *p)
{
	const struct found *f = arg;

	if (platter_printer_kind(f->out) != PLATTER_OUTPUT_HUMAN)
		place_data(f->out, p);
	else if (f->list)
		place_listed(f->out, p);
	else
		platter_out_text(f->out, "%s %s\n", p->fixed ? "Repairing" :
				 p->leak ? "Leaked" : "ERROR", p->text);
}

/* ---- the result ---- */

static void print_counts(struct platter_printer *out,
			 const struct platter_check_result *r)
{
	if (!r->corruptions && !r->leaks && !r->check_errors)
		platter_out_text(out, "No errors were found on the image.\n");
	if (r->corruptions)
		platter_out_text(out, "\n%" PRIu64 " errors were found on the "
				 "image.\nData may be corrupted, or further "
				 "writes to the image may corrupt it.\n",
				 r->corruptions);
	if (r->leaks)
		platter_out_text(out, "\n%" PRIu64 " leaked clusters were "
				 "found on the image.\nThis means waste of "
				 "disk space, but no harm to data.\n",
				 r->leaks);
	if (r->check_errors)
		platter_out_text(out, "\n%" PRIu64 " internal errors have "
				 "occurred during the check.\n",
				 r->check_errors);
}

static void print_human(struct platter_printer *out,
			const struct platter_check_result *r)
{
	double used = (double)r->allocated_clusters;

	print_counts(out, r);
	if (r->total_clusters && r->allocated_clusters)
		platter_out_text(out, "%" PRIu64 "/%" PRIu64 " = %0.2f%% "
				 "allocated, %0.2f%% fragmented, %0.2f%% "
				 "compressed clusters\n",
				 r->allocated_clusters, r->total_clusters,
				 used * 100.0 / (double)r->total_clusters,
				 (double)r->fragmented_clusters * 100.0 / used,
				 (double)r->compressed_clusters * 100.0 /
				 used);
	if (r->image_end_offset)
		platter_out_text(out, "Image end offset: %" PRIu64 "\n",
				 r->image_end_offset);
}

static void some(struct platter_printer *out, const char *key, uint64_t value)
{
	if (value)
		platter_out_u64(out, key, value);
}

static void print_data(struct platter_printer *out,
		       const struct platter_check_result *r,
		       struct platter_image *img)
{
	some(out, "image-end-offset", r->image_end_offset);
	some(out, "corruptions", r->corruptions);
	some(out, "leaks", r->leaks);
	some(out, "corruptions-fixed", r->corruptions_fixed);
	some(out, "leaks-fixed", r->leaks_fixed);
	some(out, "total-clusters", r->total_clusters);
	some(out, "allocated-clusters", r->allocated_clusters);
	some(out, "fragmented-clusters", r->fragmented_clusters);
	some(out, "compressed-clusters", r->compressed_clusters);
	platter_out_u64(out, "check-errors", r->check_errors);
	platter_out_string(out, "filename", platter_image_name(img));
	platter_out_string(out, "format", platter_image_format(img));
}

/* ---- the check ---- */

static int check_once(struct cmd *cmd, const struct check_options *o,
		      struct platter_image *img, struct found *tell,
		      enum platter_repair repair,
		      struct platter_check_result *result,
		      struct platter_error *err)
{
	struct platter_check_options opts = {
		.repair = repair,
		.found = tell ? found : NULL,
		.arg = tell,
	};
	int rc;

	rc = cmd_progress_start(cmd, &o->progress, o->output.kind,
				&opts.progress, err);
	if (rc)
		return rc;
	return cmd_progress_end(opts.progress,
				platter_image_check(img, &opts, result, err));
}

/* Check, and check again what was repaired. */
static int check(struct cmd *cmd, const struct check_options *o,
		 struct platter_image *img, struct platter_printer *out,
		 struct platter_check_result *r, struct platter_error *err)
{
	struct found f = { .out = out, .list = o->list };
	const bool words = o->output.kind == PLATTER_OUTPUT_HUMAN &&
			   !o->progress.quiet;
	uint64_t corruptions, leaks;
	int rc;

	rc = check_once(cmd, o, img, words || o->list ? &f : NULL, o->repair,
			r, err);
	corruptions = r->corruptions_fixed;
	leaks = r->leaks_fixed;
	if (rc || !(corruptions || leaks))
		return rc;
	if (words)
		platter_out_text(out, "The following inconsistencies were found"
				 " and repaired:\n\n    %" PRIu64 " leaked "
				 "clusters\n    %" PRIu64 " corruptions\n\n"
				 "Double checking the fixed image now...\n",
				 leaks, corruptions);
	rc = check_once(cmd, o, img, words && !o->list ? &f : NULL,
			PLATTER_REPAIR_NONE, r, err);
	r->corruptions_fixed = corruptions;
	r->leaks_fixed = leaks;
	return rc;
}

static int verdict(const struct platter_check_result *r,
		   struct platter_error *err)
{
	if (r->check_errors)
		return platter_error_set(err, -EIO, "check failed: %" PRIu64
					 " places could not be checked",
					 r->check_errors);
	if (r->corruptions)
		return EXIT_CORRUPT;
	return r->leaks ? EXIT_LEAKS : CMD_OK;
}

static int print(struct cmd *cmd, const struct check_options *o,
		 struct platter_image *img, struct platter_error *err)
{
	const bool human = o->output.kind == PLATTER_OUTPUT_HUMAN;
	struct platter_check_result result = { 0 };
	struct platter_printer *out = NULL;
	int rc = 0;

	/* Places are printed as they are found: there can be many. */
	if (human || o->list)
		rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (!rc && !human && o->list) {
		platter_out_map(out, NULL);
		platter_out_list(out, "places");
	}
	if (!rc)
		rc = check(cmd, o, img, out, &result, err);
	if (!human && out)
		platter_out_end(out);
	if (!rc && !out)
		rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	if (human && !o->progress.quiet)
		print_human(out, &result);
	if (!human && !o->list)
		platter_out_map(out, NULL);
	if (!human)
		print_data(out, &result, img);
	return verdict(&result, err);
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	const struct check_options *o = options_;
	struct platter_image *img cmd_auto_image = NULL;
	struct platter_error why = PLATTER_ERROR_INIT;
	/* A raw image is not going to be written to: it has no check. */
	unsigned int flags = PLATTER_O_CHECK | PLATTER_O_NO_BACKING |
			     PLATTER_O_PROBED_RAW;
	int rc;

	if (o->repair != PLATTER_REPAIR_NONE)
		flags |= PLATTER_O_RDWR;
	rc = cmd_image_open(cmd, &o->image, cmd->args[0], flags, o->cache,
			    &img, err);
	if (rc)
		return rc;
	rc = print(cmd, o, img, &why);
	if (rc == -ENOTSUP) {
		platter_error_set(err, rc, "This image format does not support "
				  "checks");
		return EXIT_NO_CHECK;
	}
	if (rc < 0)
		platter_error_set(err, rc, "%s", why.msg);
	return rc;
}

const struct cmd_verb cmd_check = {
	.name = "check",
	.group = "Disk images",
	.summary = "check and repair an image's metadata",
	.examples =
		"  platter check disk.qcow2\n"
		"  platter check -r leaks disk.qcow2\n"
		"  platter check --output=json --list -r all disk.qcow2\n",
	.argp = &argp,
	.options_size = sizeof(struct check_options),
	.flags = CMD_WRITES,
	.trouble = 1,
	.run = run,
};
