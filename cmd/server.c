/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process in the background that serves files.
 *
 * It is forked before anything is opened, as neither threads nor locks go with
 * a fork. It writes a byte when the files can be used; until then its messages
 * go where ours would, and its exit code is ours. Afterwards it has nobody but
 * `platter umount` to tell of an error, and the system's log.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "served.h"

#define READY_FD	3	/* in the background */

/* fusermount3 was a child, and its end is not ours. */
static bool is_told_to_end(int signals)
{
	struct signalfd_siginfo si;

	while (read(signals, &si, sizeof(si)) == sizeof(si))
		if (si.ssi_signo != SIGCHLD)
			return true;
	return false;
}

static void wait_for_end(int signals, const struct serve_fuse *fuse)
{
	struct pollfd fds[] = {
		{ .fd = signals, .events = POLLIN },
		{ .fd = serve_fuse_fd(fuse), .events = POLLIN },
	};

	do
		fds[1].revents = 0;
	while (poll(fds, CMD_ARRAY_SIZE(fds), -1) < 0 ||
	       (!fds[1].revents && !is_told_to_end(signals)));
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

static int start(const struct cmd_server *server, int *signals,
		 struct serve_report **report, struct serve_fuse **fuse,
		 struct platter_error *err)
{
	sigset_t mask;
	int rc;

	rc = cmd_served_signals(signals, &mask, err);
	if (!rc)
		rc = serve_report_new(report, err);
	return rc ? rc : server->start(server->arg, *report ?
				       serve_report_source(*report) : NULL,
				       fuse, err);
}

static int serve(const struct cmd_server *server, struct platter_error *err)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	struct serve_report *report = NULL;
	struct serve_fuse *fuse = NULL;
	int signals = -1, rc, rc2;
	bool ready;

	rc = start(server, &signals, &report, &fuse, err);
	if (!rc && !server->foreground)
		rc = go_to_background(err);
	ready = !rc;
	if (ready)
		wait_for_end(signals, fuse);
	rc2 = serve_fuse_stop(fuse, &e);
	if (rc2 && !rc)
		rc = platter_error_set(err, rc2, "%s", e.msg);
	rc2 = server->finish(server->arg, &e);
	if (rc2 && !rc)
		rc = platter_error_set(err, rc2, "%s", e.msg);
	if (!serve_report_send(report, rc ? err : NULL, true) && rc && ready &&
	    !server->foreground)
		tell_log(server->path, err);
	if (signals >= 0)
		close(signals);
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

int cmd_server_run(const struct cmd_server *server, struct platter_error *err)
{
	int ready[2], rc;
	pid_t pid;

	if (server->foreground)
		return serve(server, err);
	signal(SIGCHLD, SIG_DFL);
	if (pipe2(ready, O_CLOEXEC))
		return platter_error_errno(err, -errno, "background");
	pid = fork();
	if (!pid) {
		rc = become_server(ready[1], err);
		return rc ? rc : serve(server, err);
	}
	close(ready[1]);
	rc = pid < 0 ? platter_error_errno(err, -errno, "background") :
		       wait_until_ready(ready[0], pid, err);
	close(ready[0]);
	return rc;
}
