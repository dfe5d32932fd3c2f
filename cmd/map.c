/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter map`: where an image's bytes are, as qemu-img prints it. */
#include "cmd.h"

#define BATCH 256	/* extents asked for at a time */

struct map_options {
	struct cmd_image image;
	struct cmd_output output;
	uint64_t start;		/* bytes */
	uint64_t length;	/* bytes */
};

static const struct argp_option options[] = {
	{ .name = "start-offset", .key = 's', .arg = "OFFSET",
	  .doc = "begin here (0)" },
	{ .name = "max-length", .key = 'l', .arg = "LENGTH",
	  .doc = "stop after that many bytes (at the end)" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct map_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		o->length = UINT64_MAX;
		state->child_inputs[0] = &o->image;
		state->child_inputs[1] = &o->output;
		return 0;
	case 's':
		return cmd_parse_size(state, "-s", arg, &o->start);
	case 'l':
		return cmd_parse_size(state, "-l", arg, &o->length);
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
	.doc = "Print which parts of an image hold data, and where. For people "
	       "only the parts with data are listed; JSON has all, with zeros "
	       "and what lies below the image.",
	.children = children,
};

/* People are shown what holds data; the rest of the disk is zeros. */
static int print_line(struct platter_printer *out,
		      const struct platter_extent *e, struct platter_error *err)
{
	if (!(e->flags & PLATTER_EXTENT_DATA))
		return 0;
	if (!(e->flags & PLATTER_EXTENT_OFFSET))
		return platter_error_set(err, -ENOTSUP, "File contains "
			"external, encrypted or compressed clusters, the first "
			"at offset %" PRIu64 "; use --output=json", e->offset);
	if (e->flags & PLATTER_EXTENT_ZERO)
		return 0;
	platter_out_text(out, "%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64
			 "%s\n", e->offset, e->length, e->host_offset,
			 e->file ? platter_image_name(e->file) : "");
	return 0;
}

static void print_row(struct platter_printer *out,
		      const struct platter_extent *e)
{
	platter_out_row(out, "extent");
	platter_out_u64(out, "start", e->offset);
	platter_out_u64(out, "length", e->length);
	platter_out_u64(out, "depth", e->depth);
	platter_out_bool(out, "present", e->flags & PLATTER_EXTENT_PRESENT);
	platter_out_bool(out, "zero", e->flags & PLATTER_EXTENT_ZERO);
	platter_out_bool(out, "data", e->flags & PLATTER_EXTENT_DATA);
	if (e->flags & PLATTER_EXTENT_OFFSET)
		platter_out_u64(out, "offset", e->host_offset);
	platter_out_end(out);
}

static int print_extent(struct platter_printer *out,
			const struct platter_extent *e,
			struct platter_error *err)
{
	if (platter_printer_kind(out) == PLATTER_OUTPUT_HUMAN)
		return print_line(out, e, err);
	print_row(out, e);
	return 0;
}

static int map_range(struct platter_printer *out, struct platter_image *img,
		     uint64_t start, uint64_t end, struct platter_error *err)
{
	struct platter_extent batch[BATCH] = { { .offset = start } };
	int rc = 0;

	/* An empty range is an extent too, in qemu-img. */
	if (start == end)
		return print_extent(out, &batch[0], err);
	while (start < end && !rc) {
		size_t count = BATCH;

		rc = platter_image_map(img, start, end - start, batch, &count,
				       err);
		for (size_t i = 0; !rc && i < count; i++) {
			start += batch[i].length;
			rc = print_extent(out, &batch[i], err);
		}
	}
	return rc;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	struct map_options *o = options_;
	struct platter_image *img cmd_auto_image = NULL;
	struct platter_printer *out;
	uint64_t end;
	int rc;

	rc = cmd_image_open(cmd, &o->image, cmd->args[0], 0,
			    PLATTER_CACHE_WRITEBACK, &img, err);
	if (!rc)
		rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;

	end = platter_image_size(img);
	if (o->start > end)
		end = o->start;
	if (o->length < end - o->start)
		end = o->start + o->length;

	platter_out_text(out, "%-16s%-16s%-16s%s\n", "Offset", "Length",
			 "Mapped to", "File");
	if (o->output.kind != PLATTER_OUTPUT_HUMAN)
		platter_out_list(out, NULL);
	rc = map_range(out, img, o->start, end, err);
	if (o->output.kind != PLATTER_OUTPUT_HUMAN)
		platter_out_end(out);
	return rc;
}

const struct cmd_verb cmd_map = {
	.name = "map",
	.group = "Disk images",
	.summary = "print where an image's data is",
	.examples =
		"  platter map disk.raw\n"
		"  platter map --output=json -s 1M -l 64K disk.raw\n"
		"  platter map --image-opts "
		"driver=writelog,log=disk.dmlw,at=412\n",
	.argp = &argp,
	.options_size = sizeof(struct map_options),
	.trouble = 1,
	.run = run,
};
