/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter snapshot`: the snapshots inside an image, as qemu-img has it. */
#include "cmd.h"
#include "snapshot-rows.h"

struct snapshot_options {
	struct cmd_image image;
	struct cmd_output output;
	int action;		/* the option's letter; 0 is 'l' */
	const char *name;
	bool quiet;
};

static const struct argp_option options[] = {
	{ .name = "list", .key = 'l',
	  .doc = "list the snapshots (this is done without an option, too)" },
	{ .name = "create", .key = 'c', .arg = "NAME",
	  .doc = "make a snapshot of what the disk holds now" },
	{ .name = "apply", .key = 'a', .arg = "SNAPSHOT",
	  .doc = "go back to a snapshot, named by its ID or name" },
	{ .name = "delete", .key = 'd', .arg = "SNAPSHOT",
	  .doc = "delete a snapshot, named by its name or ID" },
	{ .name = "quiet", .key = 'q',
	  .doc = "print nothing but errors and the list" },
	{ 0 },
};

static error_t set_action(const struct argp_state *state,
			  struct snapshot_options *o, int key, const char *name)
{
	if (o->action)
		return cmd_usage(state, "Cannot mix '-l', '-a', '-c', '-d'");
	o->action = key;
	o->name = name;
	return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct snapshot_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->image;
		state->child_inputs[1] = &o->output;
		return 0;
	case 'l':
	case 'c':
	case 'a':
	case 'd':
		return set_action(state, o, key, arg);
	case 'q':
		o->quiet = true;
		return 0;
	case ARGP_KEY_END:
		if (o->action && o->action != 'l' &&
		    o->output.kind != PLATTER_OUTPUT_HUMAN)
			return cmd_usage(state, "--output is for the list");
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
	.doc = "List, make, apply and delete the snapshots inside an image. "
	       "A snapshot shares all with the disk that neither has changed "
	       "since.",
	.children = children,
};

/* ---- the list ---- */

static int list(struct cmd *cmd, const struct snapshot_options *o,
		struct platter_error *err)
{
	struct platter_image *img cmd_auto_image = NULL;
	const struct platter_snapshot *list;
	struct platter_printer *out;
	size_t nr;
	int rc;

	rc = cmd_image_open(cmd, &o->image, cmd->args[0], PLATTER_O_NO_IO,
			    PLATTER_CACHE_WRITEBACK, &img, err);
	if (!rc)
		rc = platter_image_snapshots(img, &list, &nr, err);
	if (!rc)
		rc = cmd_printer(cmd, o->output.kind, &out, err);
	if (rc)
		return rc;
	if (o->output.kind == PLATTER_OUTPUT_HUMAN) {
		if (nr)
			cmd_snapshot_rows(out, list, nr);
		return 0;
	}
	platter_out_list(out, NULL);
	for (size_t i = 0; i < nr; i++) {
		platter_out_map(out, NULL);
		cmd_snapshot_members(out, &list[i]);
		platter_out_u64(out, "disk-size", list[i].disk_size);
		platter_out_end(out);
	}
	platter_out_end(out);
	return 0;
}

/* ---- changes ---- */

static int change(struct platter_image *img, const struct snapshot_options *o,
		  struct platter_error *err)
{
	const char *what;
	int rc;

	switch (o->action) {
	case 'c':
		what = "create";
		rc = platter_image_snapshot_create(img, o->name, err);
		break;
	case 'a':
		what = "apply";
		rc = platter_image_snapshot_apply(img, o->name, err);
		break;
	default:
		what = "delete";
		rc = platter_image_snapshot_delete(img, o->name, err);
	}
	if (rc)
		platter_error_prefix(err, rc, "Could not %s snapshot '%s'",
				     what, o->name);
	return rc;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	const struct snapshot_options *o = options_;
	struct platter_image *img;
	int rc, closed;

	if (!o->action || o->action == 'l')
		return list(cmd, o, err);
	/* Nothing of the backing file is read. */
	rc = cmd_image_open(cmd, &o->image, cmd->args[0],
			    PLATTER_O_RDWR | PLATTER_O_NO_BACKING,
			    PLATTER_CACHE_WRITEBACK, &img, err);
	if (rc)
		return rc;
	rc = change(img, o, err);
	closed = platter_image_close(img, rc ? NULL : err);
	return rc ? rc : closed;
}

const struct cmd_verb cmd_snapshot = {
	.name = "snapshot",
	.group = "Disk images",
	.summary = "list, make, apply and delete snapshots inside an image",
	.examples =
		"  platter snapshot -c before-upgrade disk.qcow2\n"
		"  platter snapshot disk.qcow2\n"
		"  platter snapshot -a before-upgrade disk.qcow2\n",
	.argp = &argp,
	.options_size = sizeof(struct snapshot_options),
	.flags = CMD_WRITES,
	.trouble = 1,
	.run = run,
};
