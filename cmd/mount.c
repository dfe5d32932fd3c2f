/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter mount` and `platter umount`: an image as a file, served by a process
 * in the background.
 *
 * That process is forked before the image is opened, as neither threads nor
 * locks go with a fork. It writes a byte when the file can be used; until then
 * its messages go where ours would, and its exit code is ours. Afterwards it
 * has nobody but `platter umount` to tell of an error, and the system's log.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "served.h"

#define READY_FD	3	/* in the background */

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
	struct serve_fuse *fuse;
	struct serve_report *report;
	int signals;
};

static int start(struct mounting *m, struct platter_error *err)
{
	struct serve_fuse_options fuse = {
		.path = m->cmd->args[1],
		.disks = &m->disk,
		.nr_disks = 1,
		.allow_other = m->o->served.allow_other,
	};
	sigset_t mask;
	int rc;

	rc = cmd_served_signals(&m->signals, &mask, err);
	if (!rc)
		rc = cmd_served_open(m->cmd, &m->o->served, m->cmd->args[0],
				     &m->disk, err);
	if (!rc)
		rc = serve_report_new(&m->report, err);
	if (!rc && m->report)
		fuse.source = serve_report_source(m->report);
	return rc ? rc : serve_fuse_start(&m->fuse, &fuse, err);
}

/* fusermount3 was a child, and its end is not ours. */
static bool is_told_to_end(const struct mounting *m)
{
	struct signalfd_siginfo si;

	while (read(m->signals, &si, sizeof(si)) == sizeof(si))
		if (si.ssi_signo != SIGCHLD)
			return true;
	return false;
}

static void wait_for_end(const struct mounting *m)
{
	struct pollfd fds[] = {
		{ .fd = m->signals, .events = POLLIN },
		{ .fd = serve_fuse_fd(m->fuse), .events = POLLIN },
	};

	do
		fds[1].revents = 0;
	while (poll(fds, CMD_ARRAY_SIZE(fds), -1) < 0 ||
	       (!fds[1].revents && !is_told_to_end(m)));
}

/* From here on nobody sees what is printed, and no place is kept busy. */
static int go_to_background(struct platter_error *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || chdir("/"))
		return platter_error_errno(err, -errno, "background");
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(null, fd) < 0)
			return platter_error_errno(err, -errno, "background");
	close(null);
	if (write(READY_FD, "", 1) != 1)
		return platter_error_errno(err, -errno, "background");
	close(READY_FD);
	return 0;
}

static void tell_log(const char *path, const struct platter_error *err)
{
	openlog("platter", LOG_PID, LOG_DAEMON);
	syslog(LOG_ERR, "%s: %s", path, err->msg);
	closelog();
}

static int serve(struct cmd *cmd, const struct mount_options *o,
		 struct platter_error *err)
{
	struct mounting m = { .cmd = cmd, .o = o, .signals = -1 };
	struct platter_error e = PLATTER_ERROR_INIT;
	bool ready;
	int rc, rc2;

	rc = start(&m, err);
	if (!rc && !o->foreground)
		rc = go_to_background(err);
	ready = !rc;
	if (ready)
		wait_for_end(&m);
	rc2 = serve_fuse_stop(m.fuse, &e);
	if (rc2 && !rc)
		rc = platter_error_set(err, rc2, "%s", e.msg);
	rc2 = platter_image_close(m.disk.img, &e);
	if (rc2 && !rc)
		rc = platter_error_set(err, rc2, "%s", e.msg);
	if (!serve_report_send(m.report, rc ? err : NULL, true) && rc &&
	    ready && !o->foreground)
		tell_log(cmd->args[1], err);
	if (m.signals >= 0)
		close(m.signals);
	return rc;
}

/* The child's: what the caller has open is not its business. */
static int become_server(int ready, struct platter_error *err)
{
	setsid();
	if (dup2(ready, READY_FD) < 0 || close_range(READY_FD + 1, ~0u, 0))
		return platter_error_errno(err, -errno, "background");
	return 0;
}

static int wait_until_ready(int ready, pid_t pid, struct platter_error *err)
{
	int status = 0;
	ssize_t n;
	char byte;

	do
		n = read(ready, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return CMD_OK;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	/* It has printed why. */
	if (WIFEXITED(status) && WEXITSTATUS(status))
		return WEXITSTATUS(status);
	return platter_error_set(err, -EIO, "the server was killed by signal "
				 "%d", WTERMSIG(status));
}

static int run_mount(struct cmd *cmd, void *options, struct platter_error *err)
{
	const struct mount_options *o = options;
	int ready[2], rc;
	pid_t pid;

	if (o->foreground)
		return serve(cmd, o, err);
	signal(SIGCHLD, SIG_DFL);
	if (pipe2(ready, O_CLOEXEC))
		return platter_error_errno(err, -errno, "background");
	pid = fork();
	if (!pid) {
		rc = become_server(ready[1], err);
		return rc ? rc : serve(cmd, o, err);
	}
	close(ready[1]);
	rc = pid < 0 ? platter_error_errno(err, -errno, "background") :
		       wait_until_ready(ready[0], pid, err);
	close(ready[0]);
	return rc;
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
