/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter info`: what an image is, in qemu-img's words.
 *
 * JSON has the shape of qemu-img 7.2 (newer ones repeat sizes in "children",
 * which broke programs that search for the first "virtual-size").
 */
#include <string.h>

#include "cmd.h"

#define KEY_CHAIN	CMD_KEY_FIRST

struct info_options {
	struct cmd_image image;
	struct cmd_output output;
	bool chain;
};

static const struct argp_option options[] = {
	{ .name = "backing-chain", .key = KEY_CHAIN,
	  .doc = "also what lies below, from the image down" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct info_options *o = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->image;
		state->child_inputs[1] = &o->output;
		return 0;
	case KEY_CHAIN:
		o->chain = true;
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
	.args_doc = "FILE",
	.doc = "Print the format and the sizes of a disk image. Its guest's "
	       "data is not read.",
	.children = children,
};

/* Whether the driver has anything to say of its own. */
static int describes(struct platter_image *img, bool *out,
		     struct platter_error *err)
{
	struct platter_printer *p;
	char *text = NULL;
	size_t len = 0;
	FILE *stream = open_memstream(&text, &len);
	int rc, rc2;

	if (!stream)
		return platter_error_errno(err, -errno, "describing an image");
	rc = platter_printer_new(&p, PLATTER_OUTPUT_HUMAN, stream, "x", err);
	if (!rc) {
		platter_out_map(p, NULL);
		rc = platter_image_describe(img, p, err);
		rc2 = platter_printer_close(p, rc ? NULL : err);
		rc = rc ? rc : rc2;
	}
	fclose(stream);
	*out = len > 0;
	free(text);
	return rc;
}

static int print_human(struct platter_printer *out, struct platter_image *img,
		       struct platter_error *err)
{
	int64_t allocated = platter_image_allocated(img);
	uint64_t size = platter_image_size(img);
	char text[PLATTER_SIZE_TEXT_MAX];
	int rc;

	platter_out_map(out, NULL);
	platter_out_string(out, "image", platter_image_name(img));
	platter_out_string(out, "file format", platter_image_format(img));
	platter_out_text(out, "virtual size: %s (%" PRIu64 " bytes)\n",
			 platter_size_text(text, size), size);
	if (allocated >= 0)
		platter_size_text(text, (uint64_t)allocated);
	platter_out_string(out, "disk size",
			   allocated >= 0 ? text : "unavailable");
	platter_out_map(out, "Format specific information");
	rc = platter_image_describe(img, out, err);
	platter_out_end(out);
	platter_out_end(out);
	return rc;
}

static int print_specific(struct platter_printer *out,
			  struct platter_image *img, struct platter_error *err)
{
	bool any = false;
	int rc;

	rc = describes(img, &any, err);
	if (rc || !any)
		return rc;
	platter_out_map(out, "format-specific");
	platter_out_string(out, "type", platter_image_format(img));
	platter_out_map(out, "data");
	rc = platter_image_describe(img, out, err);
	platter_out_end(out);
	platter_out_end(out);
	return rc;
}

static int print_data(struct platter_printer *out, struct platter_image *img,
		      const char *key, struct platter_error *err)
{
	int64_t allocated = platter_image_allocated(img);
	int rc;

	platter_out_map(out, key);
	platter_out_u64(out, "virtual-size", platter_image_size(img));
	platter_out_string(out, "filename", platter_image_name(img));
	platter_out_string(out, "format", platter_image_format(img));
	if (allocated >= 0)
		platter_out_i64(out, "actual-size", allocated);
	rc = print_specific(out, img, err);
	platter_out_bool(out, "dirty-flag", false);
	platter_out_end(out);
	return rc;
}

static int print_chain(struct platter_printer *out, struct platter_image *img,
		       struct platter_error *err)
{
	bool human = platter_printer_kind(out) == PLATTER_OUTPUT_HUMAN;
	int rc = 0;

	if (!human)
		platter_out_list(out, NULL);
	for (bool first = true; img && !rc; first = false) {
		if (!first)
			platter_out_text(out, "\n");
		rc = human ? print_human(out, img, err) :
			     print_data(out, img, NULL, err);
		img = platter_image_child(img, "backing");
	}
	if (!human)
		platter_out_end(out);
	return rc;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct info_options *o = options_;
	struct platter_image *img cmd_auto_image = NULL;
	struct platter_printer *out;
	int rc;

	rc = cmd_image_open(cmd, &o->image, cmd->args[0], PLATTER_O_NO_IO,
			    PLATTER_CACHE_WRITEBACK, &img, err);
	if (!rc)
		rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	if (o->chain)
		return print_chain(out, img, err);
	if (o->output.kind == PLATTER_OUTPUT_HUMAN)
		return print_human(out, img, err);
	return print_data(out, img, NULL, err);
}

const struct cmd_verb cmd_info = {
	.name = "info",
	.group = "Disk images",
	.summary = "print an image's format and sizes",
	.examples =
		"  platter info disk.raw\n"
		"  platter info --output=json -f raw /dev/sdb\n"
		"  platter info --image-opts "
		"driver=writelog,log=disk.dmlw,at=mark:mkfs\n",
	.argp = &argp,
	.options_size = sizeof(struct info_options),
	.trouble = 1,
	.run = run,
};
