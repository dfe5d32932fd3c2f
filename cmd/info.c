/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter info`: what an image is, in qemu-img's words.
 *
 * JSON has the shape of qemu-img 7.2 (newer ones repeat sizes in "children",
 * which broke programs that search for the first "virtual-size"). Text has its
 * lines in its order, which scripts take apart.
 */
#include <string.h>

#include "cmd.h"
#include "snapshot-rows.h"

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
	.doc = "Print the format and the sizes of a disk image, its backing "
	       "file, snapshots and bitmaps. Its guest's data is not read, and "
	       "only --backing-chain opens another file.",
	.children = children,
};

/* ---- what there is to tell ---- */

struct facts {
	struct platter_image_facts image;
	char *backing_path;		/* or NULL */
	const struct platter_snapshot *snapshots;
	size_t nr_snapshots;
};

static void cleanup_facts(struct facts *f)
{
	free(f->backing_path);
}

static int get_facts(struct facts *f, struct platter_image *img,
		     struct platter_error *err)
{
	struct platter_error none = PLATTER_ERROR_INIT;
	int rc;

	rc = platter_image_facts(img, &f->image, err);
	if (rc == 0)
		rc = platter_image_snapshots(img, &f->snapshots,
					     &f->nr_snapshots, err);
	/* Where that cannot be known, text says so; JSON leaves it out. */
	if (rc == 0)
		f->backing_path = platter_image_backing_path(img, &none);
	return rc;
}

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

/* ---- text ---- */

static void print_backing(struct platter_printer *out, const struct facts *f)
{
	const char *name = f->image.backing_filename;
	char *line = NULL;
	int n;

	if (!name)
		return;
	if (!f->backing_path)
		n = asprintf(&line, "%s (cannot determine actual path)", name);
	else if (strcmp(name, f->backing_path))
		n = asprintf(&line, "%s (actual path: %s)", name,
			     f->backing_path);
	else
		n = asprintf(&line, "%s", name);
	platter_out_string(out, "backing file", n < 0 ? name : line);
	if (n >= 0)
		free(line);
	if (f->image.backing_format)
		platter_out_string(out, "backing file format",
				   f->image.backing_format);
}

static void print_sizes(struct platter_printer *out, struct platter_image *img)
{
	int64_t allocated = platter_image_allocated(img);
	uint64_t size = platter_image_size(img);
	char text[PLATTER_SIZE_TEXT_MAX];

	platter_out_text(out, "virtual size: %s (%" PRIu64 " bytes)\n",
			 platter_size_text(text, size), size);
	if (allocated >= 0)
		platter_size_text(text, (uint64_t)allocated);
	platter_out_string(out, "disk size",
			   allocated >= 0 ? text : "unavailable");
}

static int print_human(struct platter_printer *out, struct platter_image *img,
		       struct platter_error *err)
{
	__attribute__((cleanup(cleanup_facts))) struct facts f = { 0 };
	int rc;

	rc = get_facts(&f, img, err);
	if (rc)
		return rc;
	platter_out_map(out, NULL);
	platter_out_string(out, "image", platter_image_name(img));
	platter_out_string(out, "file format", platter_image_format(img));
	print_sizes(out, img);
	if (f.image.encrypted)
		platter_out_string(out, "encrypted", "yes");
	/* qemu-img has an underscore there. */
	if (f.image.cluster_size)
		platter_out_u64(out, "cluster_size", f.image.cluster_size);
	if (f.image.dirty)
		platter_out_string(out, "cleanly shut down", "no");
	print_backing(out, &f);
	if (f.nr_snapshots)
		cmd_snapshot_rows(out, f.snapshots, f.nr_snapshots);
	platter_out_map(out, "Format specific information");
	rc = platter_image_describe(img, out, err);
	platter_out_end(out);
	platter_out_end(out);
	return rc;
}

/* ---- JSON and XML ---- */

static void print_snapshots(struct platter_printer *out, const struct facts *f)
{
	if (!f->nr_snapshots)
		return;
	platter_out_list(out, "snapshots");
	for (size_t i = 0; i < f->nr_snapshots; i++) {
		platter_out_map(out, NULL);
		cmd_snapshot_members(out, &f->snapshots[i]);
		platter_out_end(out);
	}
	platter_out_end(out);
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

static void print_optional(struct platter_printer *out, const char *key,
			   const char *text)
{
	if (text)
		platter_out_string(out, key, text);
}

static int print_data(struct platter_printer *out, struct platter_image *img,
		      struct platter_error *err)
{
	__attribute__((cleanup(cleanup_facts))) struct facts f = { 0 };
	int64_t allocated = platter_image_allocated(img);
	int rc;

	rc = get_facts(&f, img, err);
	if (rc)
		return rc;
	platter_out_map(out, NULL);
	print_snapshots(out, &f);
	print_optional(out, "backing-filename-format", f.image.backing_format);
	platter_out_u64(out, "virtual-size", platter_image_size(img));
	platter_out_string(out, "filename", platter_image_name(img));
	if (f.image.cluster_size)
		platter_out_u64(out, "cluster-size", f.image.cluster_size);
	platter_out_string(out, "format", platter_image_format(img));
	if (allocated >= 0)
		platter_out_i64(out, "actual-size", allocated);
	rc = print_specific(out, img, err);
	print_optional(out, "full-backing-filename", f.backing_path);
	print_optional(out, "backing-filename", f.image.backing_filename);
	if (f.image.encrypted)
		platter_out_bool(out, "encrypted", true);
	platter_out_bool(out, "dirty-flag", f.image.dirty);
	platter_out_end(out);
	return rc;
}

/* ---- the verb ---- */

static int print_image(struct platter_printer *out, struct platter_image *img,
		       struct platter_error *err)
{
	if (platter_printer_kind(out) == PLATTER_OUTPUT_HUMAN)
		return print_human(out, img, err);
	return print_data(out, img, err);
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
		rc = print_image(out, img, err);
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

	rc = cmd_image_open(cmd, &o->image, cmd->args[0], PLATTER_O_NO_IO |
			    (o->chain ? 0 : PLATTER_O_NO_BACKING),
			    PLATTER_CACHE_WRITEBACK, &img, err);
	if (!rc)
		rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	if (o->chain)
		return print_chain(out, img, err);
	return print_image(out, img, err);
}

const struct cmd_verb cmd_info = {
	.name = "info",
	.group = "Disk images",
	.summary = "print an image's format and sizes",
	.examples =
		"  platter info disk.qcow2\n"
		"  platter info --output=json -f raw /dev/sdb\n"
		"  platter info --backing-chain --follow=any top.qcow2\n"
		"  platter info --image-opts "
		"driver=writelog,log=disk.dmlw,at=mark:mkfs\n",
	.argp = &argp,
	.options_size = sizeof(struct info_options),
	.trouble = 1,
	.run = run,
};
