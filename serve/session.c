/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A running server's control socket: the end that listens.
 *
 * One thread does what clients ask, one request after the other; the requests
 * are in session.h. It never waits for a client: what has come of a line is
 * kept until the rest has, and a client that does not take its answers is
 * dropped, as is the one that has been silent for longest when there are too
 * many.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "serve.h"
#include "session.h"

#define CLIENTS_MAX	64
#define BACKLOG		64

struct client {
	int fd;
	uint64_t heard;		/* when, in requests and connections */
	size_t len;		/* bytes of `line` */
	char line[SERVE_SESSION_LINE_MAX];
};

struct serve_session {
	char *path;
	int fd, wake;
	pthread_t thread;
	const struct serve_disk *disks;
	struct platter_image **nodes;	/* of the disks */
	size_t nr_disks;
	struct client *clients[CLIENTS_MAX];
	size_t nr_clients;
	uint64_t clock;
};

/* ---- requests ---- */

static int mark(struct serve_session *s, char *text, struct platter_error *err)
{
	size_t len = platter_bytes_unescape(text);

	return platter_record_mark(s->nodes, s->nr_disks, text, len, NULL, err);
}

/* All of them, also behind one that fails; the first error is the one told. */
static int each(struct serve_session *s,
		int (*fn)(struct platter_image *node,
			  struct platter_error *err),
		struct platter_error *err)
{
	int first = 0;

	for (size_t i = 0; i < s->nr_disks; i++) {
		int rc = fn(s->nodes[i], first ? NULL : err);

		first = first ? first : rc;
	}
	return first;
}

static int stats(struct serve_session *s, const char *arg, char *answer,
		 size_t room, struct platter_error *err)
{
	struct platter_record_stats st;
	size_t disk = strtoul(arg, NULL, 10);
	int rc;

	if (disk >= s->nr_disks)
		return platter_error_set(err, -ERANGE, "disk %zu is behind the "
					 "last of %zu", disk, s->nr_disks);
	rc = platter_record_stats(s->nodes[disk], &st, err);
	if (rc)
		return rc;
	snprintf(answer, room, "ok %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
		 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
		 " %d %d\n", st.entries, st.log_size, st.writes, st.flushes,
		 st.fuas, st.discards, st.marks, st.data_bytes,
		 st.discard_bytes, st.paused, st.ended);
	return 0;
}

static int carry_out(struct serve_session *s, char *line, char *answer,
		     size_t room, struct platter_error *err)
{
	snprintf(answer, room, "ok\n");
	if (!strncmp(line, "mark ", 5))
		return mark(s, line + 5, err);
	if (!strncmp(line, "stats ", 6))
		return stats(s, line + 6, answer, room, err);
	if (!strcmp(line, "pause"))
		return each(s, platter_record_pause, err);
	if (!strcmp(line, "resume"))
		return each(s, platter_record_resume, err);
	if (!strcmp(line, "end"))
		return each(s, platter_record_end, err);
	return platter_error_set(err, -EINVAL, "unknown request '%.32s'", line);
}

/* ---- clients ---- */

static void drop(struct serve_session *s, size_t i)
{
	close(s->clients[i]->fd);
	free(s->clients[i]);
	s->clients[i] = s->clients[--s->nr_clients];
}

static bool answer(int fd, const char *text)
{
	size_t len = strlen(text);

	return send(fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT) ==
	       (ssize_t)len;
}

static bool request(struct serve_session *s, int fd, char *line)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	char text[PLATTER_ERROR_MAX + 64];
	int rc;

	rc = carry_out(s, line, text, sizeof(text), &err);
	if (rc)
		snprintf(text, sizeof(text), "error %d %s\n", -rc, err.msg);
	return answer(fd, text);
}

/* False when the client is to go. */
static bool requests(struct serve_session *s, struct client *c)
{
	char *line = c->line;
	char *end;

	while ((end = memchr(line, '\n', c->len - (size_t)(line - c->line)))) {
		*end = '\0';
		if (!request(s, c->fd, line))
			return false;
		line = end + 1;
	}
	c->len -= (size_t)(line - c->line);
	memmove(c->line, line, c->len);
	if (c->len < sizeof(c->line))
		return true;
	answer(c->fd, "error 7 the request is too long\n");
	return false;
}

static bool hear(struct serve_session *s, struct client *c)
{
	ssize_t n = recv(c->fd, c->line + c->len, sizeof(c->line) - c->len,
			 MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (!n)
		return false;
	c->heard = ++s->clock;
	c->len += (size_t)n;
	return requests(s, c);
}

static void drop_most_silent(struct serve_session *s)
{
	size_t at = 0;

	for (size_t i = 1; i < s->nr_clients; i++)
		if (s->clients[i]->heard < s->clients[at]->heard)
			at = i;
	drop(s, at);
}

static void welcome(struct serve_session *s)
{
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
	struct client *c;

	if (fd < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	if (s->nr_clients == CLIENTS_MAX)
		drop_most_silent(s);
	c->fd = fd;
	c->heard = ++s->clock;
	s->clients[s->nr_clients++] = c;
}

static void *run(void *arg)
{
	struct serve_session *s = arg;
	struct pollfd p[2 + CLIENTS_MAX];

	for (;;) {
		size_t nr = s->nr_clients;

		p[0] = (struct pollfd){ .fd = s->wake, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = s->fd, .events = POLLIN };
		for (size_t i = 0; i < nr; i++)
			p[2 + i] = (struct pollfd){ .fd = s->clients[i]->fd,
						    .events = POLLIN };
		if (poll(p, 2 + nr, -1) < 0 && errno != EINTR)
			return NULL;
		if (p[0].revents)
			return NULL;
		/* From the last on: drop() fills a gap with the last. */
		while (nr--)
			if (p[2 + nr].revents && !hear(s, s->clients[nr]))
				drop(s, nr);
		if (p[1].revents)
			welcome(s);
	}
}

/* ---- start and stop ---- */

static bool is_dead(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool dead;

	if (fd < 0)
		return false;
	dead = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 &&
	       errno == ECONNREFUSED;
	close(fd);
	return dead;
}

/* A socket that a killed server left behind makes way. */
static int bind_to(int fd, const struct sockaddr_un *addr)
{
	const struct sockaddr *sa = (const struct sockaddr *)addr;
	struct stat st;

	if (!bind(fd, sa, sizeof(*addr)))
		return 0;
	if (errno != EADDRINUSE)
		return -1;
	if (lstat(addr->sun_path, &st) || !S_ISSOCK(st.st_mode) ||
	    !is_dead(addr)) {
		errno = EADDRINUSE;
		return -1;
	}
	unlink(addr->sun_path);
	return bind(fd, sa, sizeof(*addr));
}

static int listen_at(struct serve_session *s, struct platter_error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(s->path) >= sizeof(addr.sun_path))
		return platter_error_set(err, -ENAMETOOLONG, "session %s: a "
					 "socket's path of %zu bytes is over "
					 "the limit of %zu", s->path,
					 strlen(s->path),
					 sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, s->path);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0 || bind_to(s->fd, &addr))
		return platter_error_errno(err, -errno, "session %s", s->path);
	/* Nobody can connect before listen(). */
	if (chmod(s->path, 0600) || listen(s->fd, BACKLOG)) {
		int rc = -errno;

		unlink(s->path);
		return platter_error_errno(err, rc, "session %s", s->path);
	}
	return 0;
}

/* Signals are for the program's own threads. */
static int start_thread(struct serve_session *s)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&s->thread, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

static void release(struct serve_session *s)
{
	while (s->nr_clients)
		drop(s, s->nr_clients - 1);
	if (s->fd >= 0)
		close(s->fd);
	if (s->wake >= 0)
		close(s->wake);
	free(s->nodes);
	free(s->path);
	free(s);
}

static struct serve_session *session_new(const char *path,
					 const struct serve_disk *disks,
					 size_t nr_disks)
{
	struct serve_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->fd = -1;
	s->wake = eventfd(0, EFD_CLOEXEC);
	s->path = strdup(path);
	s->nodes = calloc(nr_disks + 1, sizeof(*s->nodes));
	if (s->wake < 0 || !s->path || !s->nodes) {
		release(s);
		return NULL;
	}
	s->disks = disks;
	s->nr_disks = nr_disks;
	for (size_t i = 0; i < nr_disks; i++)
		s->nodes[i] = disks[i].img;
	return s;
}

int serve_session_start(struct serve_session **out, const char *path,
			const struct serve_disk *disks, size_t nr_disks,
			struct platter_error *err)
{
	struct serve_session *s = session_new(path, disks, nr_disks);
	int rc;

	if (!s)
		return platter_error_errno(err, -ENOMEM, "session %s", path);
	rc = listen_at(s, err);
	if (!rc) {
		rc = start_thread(s);
		if (rc) {
			unlink(path);
			platter_error_errno(err, rc, "session %s", path);
		}
	}
	if (rc)
		release(s);
	else
		*out = s;
	return rc;
}

void serve_session_stop(struct serve_session *session)
{
	uint64_t one = 1;

	if (!session)
		return;
	/* Until it is heard: an eventfd has room for one. */
	while (write(session->wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(session->thread, NULL);
	unlink(session->path);
	release(session);
}
