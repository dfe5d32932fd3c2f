/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What became of a server, told to whoever unmounts its files.
 *
 * A server listens on an abstract Unix socket whose name is the source of the
 * mount, "platter:PID-RANDOM". Who unmounts finds the name in mountinfo, where
 * it can be read without touching the mount, connects, unmounts, and waits. The
 * server looks at the connections only at its very end: it sends its error,
 * or an empty line, to each. A server that was killed sends nothing, and the
 * kernel closes the connection.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuse.h"

#define PREFIX	"platter:"
#define WAITERS	16	/* that can ask at once */

struct serve_report {
	int fd;
	char source[64];
};

/* A leading NUL byte makes it abstract. */
static socklen_t address(struct sockaddr_un *a, const char *source)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "%s", source);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   strlen(a->sun_path + 1));
}

static int listen_at(struct serve_report *report)
{
	struct sockaddr_un a;
	socklen_t len;
	uint64_t random;

	report->fd = -1;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	snprintf(report->source, sizeof(report->source), PREFIX "%d-%016llx",
		 (int)getpid(), (unsigned long long)random);
	len = address(&a, report->source);
	report->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			    0);
	if (report->fd < 0 ||
	    bind(report->fd, (const struct sockaddr *)&a, len) ||
	    listen(report->fd, WAITERS))
		return -errno;
	return 0;
}

int serve_report_new(struct serve_report **out, struct platter_error *err)
{
	struct serve_report *report = calloc(1, sizeof(*report));
	int rc = report ? listen_at(report) : -ENOMEM;

	if (rc) {
		if (report && report->fd >= 0)
			close(report->fd);
		free(report);
		return platter_error_errno(err, rc, "a socket for umount");
	}
	*out = report;
	return 0;
}

const char *serve_report_source(const struct serve_report *report)
{
	return report->source;
}

/* Only to the user we run as, and to root. */
static bool may_know(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) &&
	       (!peer.uid || peer.uid == geteuid());
}

unsigned int serve_report_send(struct serve_report *report,
			       const struct platter_error *err, bool exiting)
{
	unsigned int told = 0;
	char text[PLATTER_ERROR_MAX + 16];
	int fd, len = 1;

	if (!report)
		return 0;
	text[0] = '\n';
	if (err && err->code)
		len = snprintf(text, sizeof(text), "%d %s\n", err->code,
			       err->msg);
	while ((fd = accept4(report->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		bool tell = may_know(fd);

		if (tell && send(fd, text, (size_t)len,
				 MSG_NOSIGNAL | MSG_DONTWAIT) == len)
			told++;
		/* What is left open closes with the process. */
		if (!tell || !exiting)
			close(fd);
	}
	close(report->fd);
	free(report);
	return told;
}

/* ---- the other side ---- */

bool serve_report_known(const char *source)
{
	return !strncmp(source, PREFIX, strlen(PREFIX));
}

int serve_report_ask(const char *source)
{
	struct sockaddr_un a;
	socklen_t len;
	int fd;

	if (!serve_report_known(source) ||
	    strlen(source) > sizeof(a.sun_path) - 2)
		return -1;
	len = address(&a, source);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || !connect(fd, (const struct sockaddr *)&a, len))
		return fd;
	close(fd);
	return -1;
}

int serve_report_wait(int fd, struct platter_error *err)
{
	char text[PLATTER_ERROR_MAX + 16], *msg;
	size_t used = 0;
	ssize_t n = 1;
	int code;

	while (n > 0 || (n < 0 && errno == EINTR)) {
		n = read(fd, text + used, sizeof(text) - 1 - used);
		if (n > 0)
			used += (size_t)n;
	}
	close(fd);
	text[used] = '\0';
	if (!used)
		return platter_error_set(err, -EIO, "its server ended without "
			"a word: what had not been flushed may be lost");
	text[strcspn(text, "\n")] = '\0';
	if (!text[0])
		return 0;
	code = (int)strtol(text, &msg, 10);
	return platter_error_set(err, code < 0 ? code : -EIO, "%s",
				 *msg ? msg + 1 : "an error");
}
