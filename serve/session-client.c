/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A running server's control socket: the end that asks. See session.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "serve.h"
#include "session.h"

#define ANSWER_MAX (PLATTER_ERROR_MAX + 64)

static int find_path(const char **path, struct platter_error *err)
{
	if (!*path)
		*path = getenv(SERVE_SESSION_ENV);
	if (*path && **path)
		return 0;
	return platter_error_set(err, -ENOENT, "no session: " SERVE_SESSION_ENV
				 " is not set; run this from a command that "
				 "'platter log record' runs, or name the "
				 "session's socket with --session");
}

static int connect_to(const char *path, int *out, struct platter_error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, rc = 0;

	if (strlen(path) >= sizeof(addr.sun_path))
		return platter_error_set(err, -ENAMETOOLONG, "session %s: a "
					 "socket's path of %zu bytes is over "
					 "the limit of %zu", path, strlen(path),
					 sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return platter_error_errno(err, -errno, "session %s", path);
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		rc = -errno;
	if (!rc) {
		*out = fd;
		return 0;
	}
	close(fd);
	if (rc == -ENOENT || rc == -ECONNREFUSED)
		return platter_error_set(err, rc, "session %s: nobody listens "
					 "there; the recording has ended, or "
					 "has not begun", path);
	return platter_error_errno(err, rc, "session %s", path);
}

static int send_all(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* One line, less its end. */
static int receive(int fd, char *text, size_t room)
{
	size_t len = 0;

	for (;;) {
		ssize_t n = recv(fd, text + len, room - 1 - len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		len += (size_t)n;
		if (len && text[len - 1] == '\n') {
			text[len - 1] = '\0';
			return 0;
		}
		if (!n || len == room - 1)
			return -ECONNRESET;
	}
}

static int server_error(const char *answer, struct platter_error *err)
{
	char *message;
	long code = strtol(answer + strlen("error "), &message, 10);

	if (code <= 0 || code > 4095)
		code = EPROTO;
	return platter_error_set(err, (int)-code, "%s",
				 message + strspn(message, " "));
}

static int ask(const char *path, const char *request, char answer[ANSWER_MAX],
	       struct platter_error *err)
{
	int fd = -1;
	int rc;

	rc = find_path(&path, err);
	if (!rc)
		rc = connect_to(path, &fd, err);
	if (rc)
		return rc;
	rc = send_all(fd, request);
	if (!rc)
		rc = receive(fd, answer, ANSWER_MAX);
	close(fd);
	if (rc == -ECONNRESET || rc == -EPIPE)
		return platter_error_set(err, rc, "session %s: it ended before "
					 "it answered", path);
	if (rc)
		return platter_error_errno(err, rc, "session %s", path);
	if (!strncmp(answer, "error ", 6))
		return server_error(answer, err);
	return strncmp(answer, "ok", 2) ?
	       platter_error_set(err, -EPROTO, "session %s: no answer of a "
				 "recording: '%.64s'", path, answer) : 0;
}

int serve_session_mark(const char *path, const char *text, size_t len,
		       struct platter_error *err)
{
	char answer[ANSWER_MAX];
	char *escaped, *request;
	int rc;

	if (len > SERVE_SESSION_MARK_MAX)
		return platter_error_set(err, -EINVAL, "a mark of %zu bytes is "
					 "over the limit of %u", len,
					 SERVE_SESSION_MARK_MAX);
	escaped = platter_bytes_escape(text, len);
	if (!escaped || asprintf(&request, "mark %s\n", escaped) < 0) {
		free(escaped);
		return platter_error_errno(err, -ENOMEM, "mark");
	}
	rc = ask(path, request, answer, err);
	free(request);
	free(escaped);
	return rc;
}

int serve_session_pause(const char *path, struct platter_error *err)
{
	char answer[ANSWER_MAX];

	return ask(path, "pause\n", answer, err);
}

int serve_session_resume(const char *path, struct platter_error *err)
{
	char answer[ANSWER_MAX];

	return ask(path, "resume\n", answer, err);
}

int serve_session_end(const char *path, struct platter_error *err)
{
	char answer[ANSWER_MAX];

	return ask(path, "end\n", answer, err);
}

int serve_session_stats(const char *path, size_t disk,
			struct platter_record_stats *out,
			struct platter_error *err)
{
	char answer[ANSWER_MAX], request[32];
	int paused, ended, rc;

	snprintf(request, sizeof(request), "stats %zu\n", disk);
	rc = ask(path, request, answer, err);
	if (rc)
		return rc;
	memset(out, 0, sizeof(*out));
	if (sscanf(answer, "ok %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		   " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
		   " %d %d", &out->entries, &out->log_size, &out->writes,
		   &out->flushes, &out->fuas, &out->discards, &out->marks,
		   &out->data_bytes, &out->discard_bytes, &paused,
		   &ended) != SERVE_SESSION_NR_STATS)
		return platter_error_set(err, -EPROTO, "no statistics: '%.64s'",
					 answer);
	out->paused = paused;
	out->ended = ended;
	return 0;
}
