/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nbdkit ends when the program that started it says so, or is gone.
 *
 * The program holds the reading end of a pipe, and a thread here watches the
 * other end. A signal would not do: nbdkit then waits until the last client
 * has left, and one that has nothing to ask may stay for ever. So its
 * connection is shut for reading, which ends it when all it has asked for has
 * been answered.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "plugin.h"

#define AGAIN_MS	50	/* a client may just be connecting */

struct serve_parent {
	pthread_t thread;
	int fd;			/* our end of the parent's pipe */
	int stop[2];		/* a pipe; readable: the thread is to end */
	const char *spared;	/* path of a socket that is not nbdkit's */
};

/* A connection, and none of the session's. */
static bool is_client(int fd, const char *spared)
{
	struct sockaddr_un peer, addr = { .sun_family = AF_UNSPEC };
	socklen_t peer_len = sizeof(peer), len = sizeof(addr) - 1;

	if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) ||
	    getsockname(fd, (struct sockaddr *)&addr, &len))
		return false;
	return !spared || addr.sun_family != AF_UNIX ||
	       strncmp(addr.sun_path, spared, sizeof(addr.sun_path));
}

static void hang_up(const char *spared)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (fd > STDERR_FILENO && is_client(fd, spared))
			shutdown(fd, SHUT_RD);
	}
	if (dir)
		closedir(dir);
}

static void *watch(void *arg)
{
	struct serve_parent *parent = arg;
	struct pollfd fds[] = {
		{ .fd = parent->stop[0], .events = POLLIN },
		{ .fd = parent->fd },	/* POLLERR: nobody reads */
	};

	for (;;) {
		bool gone = fds[1].fd < 0;

		if (poll(fds, 2, gone ? AGAIN_MS : -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			break;
		if (!gone && fds[1].revents) {
			nbdkit_shutdown();
			fds[1].fd = -1;
		}
		if (fds[1].fd < 0)
			hang_up(parent->spared);
	}
	return NULL;
}

int serve_parent_watch(struct serve_parent **out, int fd, const char *spared)
{
	struct serve_parent *parent = calloc(1, sizeof(*parent));
	sigset_t all, old;
	int rc;

	if (!parent) {
		nbdkit_error("out of memory");
		return -1;
	}
	parent->fd = fd;
	parent->spared = spared;
	if (pipe2(parent->stop, O_CLOEXEC) < 0) {
		nbdkit_error("making a pipe: %s", strerror(errno));
		free(parent);
		return -1;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&parent->thread, NULL, watch, parent);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!rc) {
		*out = parent;
		return 0;
	}
	nbdkit_error("starting a thread: %s", strerror(rc));
	close(parent->stop[0]);
	close(parent->stop[1]);
	free(parent);
	return -1;
}

void serve_parent_unwatch(struct serve_parent *parent)
{
	if (!parent)
		return;
	close(parent->stop[1]);
	pthread_join(parent->thread, NULL);
	close(parent->stop[0]);
	free(parent);
}

int serve_parent_tell(int fd)
{
	if (write(fd, "\n", 1) == 1)
		return 0;
	nbdkit_error("parent-fd: %d: %s", fd, strerror(errno));
	return -1;
}
