/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the verbs that serve images do alike: serve, mount, log record. */
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "served.h"

enum {
	KEY_ALLOW_OTHER = CMD_KEY_SHARED + 0x40,
};

static const struct argp_option options[] = {
	{ .name = "read-only", .key = 'r',
	  .doc = "refuse writes (only where the image cannot be written, such "
		 "as a moment of a log)" },
	{ .name = "allow-other", .key = KEY_ALLOW_OTHER,
	  .doc = "let other users in, as the file's mode says (only the user "
		 "who mounts, not even root)" },
	{ .name = "cache", .key = 't', .arg = "CACHE",
	  .doc = "cache mode of the image (writeback)" },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct cmd_served *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->image;
		return 0;
	case 'r':
		o->read_only = true;
		return 0;
	case KEY_ALLOW_OTHER:
		o->allow_other = true;
		return 0;
	case 't':
		o->cache_name = arg;
		return cmd_parse_cache(state, arg, &o->cache);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {
	CMD_CHILD_IMAGE,
	{ 0 },
};

const struct argp cmd_served_argp = {
	.options = options,
	.parser = parse,
	.children = children,
};

int cmd_served_open(struct cmd *cmd, const struct cmd_served *o,
		    const char *spec, struct serve_disk *disk,
		    struct platter_error *err)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	int rc = -EROFS;

	disk->name = "disk";
	disk->read_only = o->read_only;
	if (!o->read_only)
		rc = cmd_image_open(cmd, &o->image, spec, PLATTER_O_RDWR,
				    o->cache, &disk->img, &e);
	if (rc && rc != -EROFS)
		return platter_error_set(err, rc, "%s", e.msg);
	if (!rc)
		return 0;
	disk->read_only = true;
	return cmd_image_open(cmd, &o->image, spec, 0, o->cache, &disk->img,
			      err);
}

int cmd_served_signals(int *fd, sigset_t *mask, struct platter_error *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	/* Inherited as ignored, nobody would ever be told. */
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_BLOCK, &set, mask);
	*fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *fd < 0 ? platter_error_errno(err, -errno, "signals") : 0;
}

int cmd_served_make_dir(char **dir, struct platter_error *err)
{
	const char *tmp = getenv("TMPDIR");
	char *made;
	int rc;

	if (!tmp || !*tmp)
		tmp = "/tmp";
	if (asprintf(&made, "%s/platter-XXXXXX", tmp) < 0)
		return platter_error_errno(err, -ENOMEM, "%s", tmp);
	if (!mkdtemp(made)) {
		rc = platter_error_errno(err, -errno, "%s: making a folder to "
					 "serve from (set TMPDIR to another "
					 "place)", tmp);
		free(made);
		return rc;
	}
	*dir = realpath(made, NULL);
	rc = *dir ? 0 : platter_error_errno(err, -errno, "%s", made);
	if (rc)
		rmdir(made);
	free(made);
	return rc;
}
