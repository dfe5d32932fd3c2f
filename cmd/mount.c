/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `platter mount` and `platter umount`: an image as a file. */
#include "served.h"

enum {
	KEY_FOREGROUND = CMD_KEY_FIRST,
};

/* ---- mount ---- */

struct mount_options {
	struct cmd_served served;
	bool foreground;
};

static const struct argp_option mount_table[] = {
	{ .name = "foreground", .key = KEY_FOREGROUND,
	  .doc = "stay, and serve from this process" },
	{ 0 },
};

static error_t parse_mount(int key, char *arg, struct argp_state *state)
{
	struct mount_options *o = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->served;
		return 0;
	case KEY_FOREGROUND:
		o->foreground = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child mount_children[] = {
	CMD_CHILD_SERVED,
	{ 0 },
};

static const struct argp mount_argp = {
	.options = mount_table,
	.parser = parse_mount,
	.args_doc = "IMAGE OUT",
	.doc = "Show an image of any format, or a moment of a log, as the file "
	       "OUT, until 'platter umount OUT'. A file that is there is "
	       "covered and stays as it is, also if it is the image itself; "
	       "else one is made, and removed at the end.",
	.children = mount_children,
};

struct mounting {
	struct cmd *cmd;
	const struct mount_options *o;
	struct serve_disk disk;
};

static int start(void *arg, const char *source, struct serve_fuse **fuse,
		 struct platter_error *err)
{
	struct mounting *m = arg;
	const struct serve_fuse_options opts = {
		.path = m->cmd->args[1],
		.source = source,
		.disks = &m->disk,
		.nr_disks = 1,
		.allow_other = m->o->served.allow_other,
	};
	int rc;

	rc = cmd_served_open(m->cmd, &m->o->served, m->cmd->args[0], &m->disk,
			     err);
	return rc ? rc : serve_fuse_start(fuse, &opts, err);
}

static int finish(void *arg, struct platter_error *err)
{
	struct mounting *m = arg;

	return platter_image_close(m->disk.img, err);
}

static int run_mount(struct cmd *cmd, void *options, struct platter_error *err)
{
	const struct mount_options *o = options;
	struct mounting m = { .cmd = cmd, .o = o };
	const struct cmd_server server = {
		.path = cmd->args[1],
		.foreground = o->foreground,
		.start = start,
		.finish = finish,
		.arg = &m,
	};

	return cmd_server_run(&server, err);
}

const struct cmd_verb cmd_mount = {
	.name = "mount",
	.group = "Serve",
	.summary = "show an image as a file, in the background",
	.examples =
		"  platter mount disk.qcow2 disk.img\n"
		"  platter mount -f raw disk.raw disk.raw\n"
		"  platter mount --image-opts driver=writelog,log=run.dmlw,"
		"at=mark:done then.img\n",
	.argp = &mount_argp,
	.options_size = sizeof(struct mount_options),
	.flags = CMD_WRITES,
	.trouble = CMD_TROUBLE,
	.run = run_mount,
};

/* ---- umount ---- */

struct umount_options {
	bool lazy;
};

static const struct argp_option umount_table[] = {
	{ .name = "lazy", .key = 'l',
	  .doc = "take it away also while it is in use, and do not wait: it is "
		 "written when the last program has closed it" },
	{ 0 },
};

static error_t parse_umount(int key, char *arg, struct argp_state *state)
{
	struct umount_options *o = state->input;

	(void)arg;
	if (key != 'l')
		return ARGP_ERR_UNKNOWN;
	o->lazy = true;
	return 0;
}

static const struct argp umount_argp = {
	.options = umount_table,
	.parser = parse_umount,
	.args_doc = "OUT",
	.doc = "Take away what 'platter mount' or 'platter serve --fuse' has "
	       "put there, and wait until all has been written and the server "
	       "has ended. Its error is reported.",
};

static int run_umount(struct cmd *cmd, void *options, struct platter_error *err)
{
	const struct umount_options *o = options;

	return serve_fuse_umount(cmd->args[0], o->lazy, err);
}

const struct cmd_verb cmd_umount = {
	.name = "umount",
	.group = "Serve",
	.summary = "take away a file of mount, and wait until all is written",
	.examples =
		"  platter umount disk.img\n",
	.argp = &umount_argp,
	.options_size = sizeof(struct umount_options),
	.trouble = CMD_TROUBLE,
	.run = run_umount,
};
