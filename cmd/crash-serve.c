/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter crash serve`: crash states as files, for whoever wants to look.
 *
 * One state is a file like an image that is mounted, and keeps what is written
 * to it until it is unmounted. Without one, every name is a file of a folder.
 */
#include <string.h>

#include "crash.h"
#include "served.h"

#define MEMORY_DEFAULT	(UINT64_C(64) << 20)

enum {
	KEY_FOREGROUND = CMD_KEY_FIRST,
	KEY_ALLOW_OTHER,
	KEY_MEMORY,
};

struct serve_options {
	struct cmd_crash_log log;
	uint64_t memory;
	bool foreground;
	bool allow_other;
	bool read_only;
};

static const struct argp_option options[] = {
	{ .name = "foreground", .key = KEY_FOREGROUND,
	  .doc = "stay, and serve from this process" },
	{ .name = "read-only", .key = 'r',
	  .doc = "refuse writes (only with a STATE)" },
	{ .name = "allow-other", .key = KEY_ALLOW_OTHER,
	  .doc = "let other users in, as the file's mode says (only the user "
		 "who mounts, not even root)" },
	{ .name = "memory", .key = KEY_MEMORY, .arg = "SIZE",
	  .doc = "memory for what is written, of all states together; the "
		 "rest goes to files in TMPDIR (64M)" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct serve_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->log;
		o->memory = MEMORY_DEFAULT;
		return 0;
	case KEY_FOREGROUND:
		o->foreground = true;
		return 0;
	case 'r':
		o->read_only = true;
		return 0;
	case KEY_ALLOW_OTHER:
		o->allow_other = true;
		return 0;
	case KEY_MEMORY:
		return cmd_parse_size(state, "--memory", arg, &o->memory);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_CRASH_LOG,
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "LOG [STATE] OUT",
	.doc = "Show a crash state as the file OUT, until 'platter umount "
	       "OUT'; or, without a STATE, all of them as files of the folder "
	       "OUT, which need not be listed to be there. STATE is a name as "
	       "in platter-crash(7), or a point of the log. What is written to "
	       "a file is private to it, and gone at the end.",
	.children = children,
};

struct serving {
	struct cmd *cmd;
	const struct serve_options *o;
	const char *state_name;		/* or NULL */
	struct platter_crash *crash;
	struct platter_crash_state *state;
	struct platter_image *lower;
	struct serve_disk disk;
};

/* A point may have the sign in the name of its mark. */
static bool is_of_recovery(const char *name)
{
	return strchr(name, '@') && strncmp(name, "mark:", strlen("mark:"));
}

static int open_state(struct serving *s, struct platter_error *err)
{
	int rc;

	if (is_of_recovery(s->state_name))
		return platter_error_set(err, -EINVAL, "%s: a state of a "
					 "recovery is made by running the "
					 "recovery again, which crash serve "
					 "does not: write it into an image "
					 "with platter crash export --recover "
					 "COMMAND, and platter mount that",
					 s->state_name);
	rc = platter_crash_state_parse(&s->state, s->crash, s->state_name, err);
	if (!rc)
		rc = platter_crash_state_image(&s->lower, s->state, err);
	if (!rc && !s->o->read_only)
		rc = platter_scratch_new(&s->disk.img, s->lower, s->o->memory,
					 err);
	return rc;
}

static int start(void *arg, const char *source, struct serve_fuse **fuse,
		 struct platter_error *err)
{
	const struct cmd_progress progress = { 0 };
	struct serving *s = arg;
	struct serve_fuse_options opts = {
		.path = s->cmd->args[s->cmd->nr_args - 1],
		.source = source,
		.allow_other = s->o->allow_other,
	};
	struct serve_disk disk;
	int rc;

	rc = cmd_crash_open(s->cmd, &s->o->log, s->cmd->args[0], &progress,
			    PLATTER_OUTPUT_HUMAN, &s->crash, err);
	if (!rc && !s->state_name)
		return serve_fuse_states(fuse, &opts, s->crash, s->o->memory,
					 err);
	if (!rc)
		rc = open_state(s, err);
	disk = (struct serve_disk){
		.name = "disk",
		.img = s->disk.img ? s->disk.img : s->lower,
		.read_only = s->o->read_only,
	};
	opts.disks = &disk;
	opts.nr_disks = 1;
	return rc ? rc : serve_fuse_start(fuse, &opts, err);
}

static int finish(void *arg, struct platter_error *err)
{
	struct serving *s = arg;
	int rc = platter_image_close(s->disk.img, err);

	/* It was only read. */
	platter_image_close(s->lower, NULL);
	platter_crash_state_unref(s->state);
	platter_crash_close(s->crash);
	return rc;
}

static int run(struct cmd *cmd, void *options_, struct platter_error *err)
{
	const struct serve_options *o = options_;
	struct serving s = {
		.cmd = cmd,
		.o = o,
	};
	const struct cmd_server server = {
		.path = cmd->args[cmd->nr_args - 1],
		.foreground = o->foreground,
		.start = start,
		.finish = finish,
		.arg = &s,
	};

	if (cmd->nr_args > 2) {
		int rc = cmd_crash_read_state(cmd, err);

		if (rc)
			return rc;
		s.state_name = cmd->args[1];
	}
	if (o->read_only && !s.state_name)
		return platter_error_set(err, -EINVAL, "-r is for one STATE; "
					 "the files of a folder are private");
	return cmd_server_run(&server, err);
}

const struct cmd_verb cmd_crash_serve = {
	.name = "serve",
	.group = "Look at states",
	.summary = "show crash states as files, in the background",
	.examples =
		"  platter crash serve --base start.img run.log 412-405,409 "
		"disk.img\n"
		"  mkdir states; platter crash serve run.log states\n"
		"  e2fsck -fn states/412-405,409; platter umount states\n",
	.argp = &argp,
	.options_size = sizeof(struct serve_options),
	.flags = CMD_WRITES,
	.trouble = CMD_TROUBLE,
	.run = run,
};
