/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is left to be done should we be killed.
 *
 * A mount stays when its server is gone, and so do files. A small process
 * waits at a pipe whose other end is ours alone: a byte says that all has been
 * cleaned up, an end without one that it has not.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <ftw.h>
#include <mntent.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash.h"

#define NAME		"platter-guard"
#define PIPE_FD		3
#define OPEN_AT_ONCE	8

/* A mount whose server is gone cannot even be looked at. */
static void unmount_below(const char *dir)
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	size_t len = strlen(dir);
	const struct mntent *m;

	while (f && (m = getmntent(f)))
		if (!strncmp(m->mnt_dir, dir, len) && m->mnt_dir[len] == '/')
			(void)!serve_fuse_umount(m->mnt_dir, true, NULL);
	if (f)
		endmntent(f);
}

static int delete(const char *path, const struct stat *st, int type,
		  struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_D || type == FTW_DP || type == FTW_DNR)
		rmdir(path);
	else
		unlink(path);
	return 0;
}

/* Nothing of ours is held on to, nor does a signal for us end it. */
static bool let_go(int pipe)
{
	int null = open("/dev/null", O_RDWR);
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setpgid(0, 0);
	prctl(PR_SET_NAME, NAME);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(null, 2) < 0 || dup2(pipe, PIPE_FD) < 0)
		return false;
	if (syscall(SYS_close_range, PIPE_FD + 1, ~0u, 0))
		for (long fd = sysconf(_SC_OPEN_MAX); fd > PIPE_FD; fd--)
			close((int)fd);
	return true;
}

static _Noreturn void guard(const char *dir, int pipe)
{
	char byte;
	ssize_t n;

	if (!let_go(pipe))
		_exit(1);
	do {
		n = read(PIPE_FD, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 0) {
		unmount_below(dir);
		nftw(dir, delete, OPEN_AT_ONCE, FTW_PHYS | FTW_DEPTH |
						FTW_MOUNT);
	}
	_exit(0);
}

int cmd_crash_guard_start(const char *dir, int *out, pid_t *pid,
			  struct platter_error *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return platter_error_errno(err, -errno, "%s", dir);
	*pid = fork();
	if (!*pid)
		guard(dir, ends[0]);
	close(ends[0]);
	if (*pid < 0) {
		close(ends[1]);
		return platter_error_errno(err, -errno, "process that cleans "
					   "up %s", dir);
	}
	*out = ends[1];
	return 0;
}

void cmd_crash_guard_end(int out, pid_t pid)
{
	if (out < 0)
		return;
	(void)!write(out, "", 1);
	close(out);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
