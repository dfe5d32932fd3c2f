/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * NBD by a child process that runs nbdkit with our plugin.
 *
 * The plugin writes to a pipe of ours when it serves: the sockets are open and
 * connections wait for nbdkit to accept them. What nbdkit prints goes through
 * another pipe: until then, into the error; from then on, to our standard
 * error, by a thread. It has a process group of its own, because a Ctrl-C in
 * the terminal is for whoever started us to act on, not for nbdkit to end at
 * once. The plugin ends it when we close the first pipe, and so also when we
 * are killed (plugin-parent.c).
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve.h"

#define PROGRAM		"nbdkit"
#define PLUGIN_ENV	"PLATTER_NBDKIT_PLUGIN"
#define PLUGIN_NAME	"platter"	/* nbdkit looks in its own folder */
#define READY_FD	3		/* of the child */
#define READY_FD_TEXT	"3"
#define SAID_MAX	4096u		/* bytes of its messages kept */
#define PORT_MAX	65535u
#define ARGS_MAX	20		/* of nbdkit itself */

struct serve_nbd {
	char *socket;			/* absolute; or NULL, and ... */
	char *host, *port;
	pid_t pid;			/* 0: not started, or gone */
	int pidfd;
	int ready, out;			/* our ends of the pipes */
	pthread_t reader;
	bool has_reader;
	/* The end of what it said; the reader's while there is one. */
	char said[SAID_MAX + 1];
	size_t len;
};

/* ---- what it says ---- */

static void keep(struct serve_nbd *nbd, const char *text, size_t len)
{
	size_t over;

	if (len > SAID_MAX) {
		text += len - SAID_MAX;
		len = SAID_MAX;
	}
	over = nbd->len + len > SAID_MAX ? nbd->len + len - SAID_MAX : 0;
	memmove(nbd->said, nbd->said + over, nbd->len - over);
	nbd->len -= over;
	memcpy(nbd->said + nbd->len, text, len);
	nbd->len += len;
	nbd->said[nbd->len] = '\0';
}

/*
 * The first line that tells of an error, without nbdkit's words around it, or
 * the first of all. Cuts `said` up.
 */
static const char *complaint(struct serve_nbd *nbd)
{
	static const char word[] = "error: ";
	char *save, *line, *first = NULL;

	for (line = strtok_r(nbd->said, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *at = strstr(line, word);

		if (at)
			return at + strlen(word);
		if (!first)
			first = line;
	}
	return first ? first : "it did not say why";
}

/* Read once what there is; false at the end. */
static bool listen_once(struct serve_nbd *nbd, bool pass_on)
{
	char buf[1024];
	ssize_t n = read(nbd->out, buf, sizeof(buf));

	if (n < 0)
		return errno == EINTR;
	if (n == 0)
		return false;
	keep(nbd, buf, (size_t)n);
	/* When our standard error is gone there is nobody to tell. */
	if (pass_on && write(STDERR_FILENO, buf, (size_t)n) < 0)
		return errno != EPIPE;
	return true;
}

/* Until it has ended; its own children may have the pipe open for longer. */
static void *pass_on(void *arg)
{
	struct serve_nbd *nbd = arg;
	struct pollfd fds[] = {
		{ .fd = nbd->out, .events = POLLIN },
		{ .fd = nbd->pidfd, .events = POLLIN },
	};

	while (poll(fds, 2, -1) > 0 || errno == EINTR) {
		if (fds[0].revents) {
			if (!listen_once(nbd, true))
				break;
		} else if (fds[1].revents) {
			break;
		}
	}
	return NULL;
}

/* No signal of the process may end up in the thread. */
static int start_reader(struct serve_nbd *nbd, struct platter_error *err)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&nbd->reader, NULL, pass_on, nbd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return platter_error_errno(err, -rc, "starting a thread");
	nbd->has_reader = true;
	return 0;
}

/* ---- the end ---- */

static void free_nbd(struct serve_nbd *nbd)
{
	if (nbd->pidfd >= 0)
		close(nbd->pidfd);
	if (nbd->ready >= 0)
		close(nbd->ready);
	if (nbd->out >= 0)
		close(nbd->out);
	free(nbd->socket);
	free(nbd->host);
	free(nbd->port);
	free(nbd);
}

static int wait_for(struct serve_nbd *nbd)
{
	int status = 0;

	while (waitpid(nbd->pid, &status, 0) < 0 && errno == EINTR)
		;
	nbd->pid = 0;
	if (nbd->has_reader)
		pthread_join(nbd->reader, NULL);
	nbd->has_reader = false;
	/* nbdkit leaves it. */
	if (nbd->socket)
		unlink(nbd->socket);
	return status;
}

static int judge(struct serve_nbd *nbd, int status, struct platter_error *err)
{
	if (WIFSIGNALED(status))
		return platter_error_set(err, -EIO, "nbdkit was killed by "
					 "signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status))
		return platter_error_set(err, -EIO, "nbdkit ended with exit "
					 "code %d: %s", WEXITSTATUS(status),
					 complaint(nbd));
	return 0;
}

int serve_nbd_stop(struct serve_nbd *nbd, struct platter_error *err)
{
	int rc;

	if (!nbd)
		return 0;
	close(nbd->ready);
	nbd->ready = -1;
	rc = judge(nbd, wait_for(nbd), err);
	free_nbd(nbd);
	return rc;
}

/* ---- where it listens ---- */

/* Is a server behind the file that is in the way? */
static int socket_in_the_way(const char *path, const struct stat *st,
			     const struct sockaddr_un *addr,
			     struct platter_error *err)
{
	int fd, rc;

	if (!S_ISSOCK(st->st_mode))
		return platter_error_set(err, -EEXIST, "%s: exists and is not "
					 "a socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return platter_error_errno(err, -errno, "making a socket");
	rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
	if (rc)
		rc = -errno;
	close(fd);
	if (rc == -ECONNREFUSED)
		return platter_error_set(err, -EEXIST, "%s: was left by a "
					 "server that has ended; remove it",
					 path);
	return platter_error_set(err, -EADDRINUSE, "%s: another server "
				 "listens there", path);
}

static int take_socket(struct serve_nbd *nbd, const char *path,
		       struct platter_error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const size_t max = sizeof(addr.sun_path) - 1;
	char *cwd = NULL;
	struct stat st;
	size_t len;
	int n;

	if (*path != '/') {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return platter_error_errno(err, -errno,
						   "the current folder");
	}
	n = asprintf(&nbd->socket, "%s%s%s", cwd ? cwd : "", cwd ? "/" : "",
		     path);
	free(cwd);
	if (n < 0) {
		nbd->socket = NULL;
		return platter_error_set(err, -ENOMEM, "out of memory");
	}
	len = (size_t)n;
	if (len > max)
		return platter_error_set(err, -ENAMETOOLONG, "%s: a socket's "
					 "path of %zu bytes is over the limit "
					 "of %zu", nbd->socket, len, max);
	memcpy(addr.sun_path, nbd->socket, len);
	if (!lstat(nbd->socket, &st))
		return socket_in_the_way(path, &st, &addr, err);
	return 0;
}

/* "PORT" or "ADDRESS:PORT". */
static int take_port(struct serve_nbd *nbd, const char *text,
		     struct platter_error *err)
{
	const char *colon = strrchr(text, ':');
	const char *port = colon ? colon + 1 : text;
	unsigned long n;
	char *end;

	n = strtoul(port, &end, 10);
	if (!isdigit((unsigned char)*port) || *end || n < 1 || n > PORT_MAX)
		return platter_error_set(err, -EINVAL, "'%s' is not a TCP port "
					 "from 1 to %u", port, PORT_MAX);
	nbd->port = strdup(port);
	nbd->host = colon ? strndup(text, (size_t)(colon - text)) :
			    strdup("127.0.0.1");
	if (!nbd->port || !nbd->host)
		return platter_error_set(err, -ENOMEM, "out of memory");
	return 0;
}

/* ---- the start ---- */

/*
 * The plugin to name to nbdkit: a file, or the name it has when it was
 * installed among nbdkit's own.
 */
static const char *find_plugin(void)
{
	const char *env = getenv(PLUGIN_ENV);

	if (env && *env)
		return env;
	return access(NBDKIT_PLUGIN, R_OK) ? PLUGIN_NAME : NBDKIT_PLUGIN;
}

static char **make_args(const struct serve_nbd *nbd,
			const struct serve_nbd_options *opts,
			const char *plugin, char threads[static 16])
{
	size_t n = 0, nr_params = 0;
	char **argv;

	while (opts->params && opts->params[nr_params])
		nr_params++;
	argv = calloc(ARGS_MAX + nr_params + 1, sizeof(*argv));
	if (!argv)
		return NULL;
#define ADD(word)	(argv[n++] = (char *)(word))
	ADD(PROGRAM);
	ADD("--foreground");
	ADD(nbd->socket ? "--unix" : "--port");
	ADD(nbd->socket ? nbd->socket : nbd->port);
	if (!nbd->socket) {
		ADD("--ipaddr");
		ADD(nbd->host);
	}
	if (opts->threads) {
		snprintf(threads, 16, "%u", opts->threads);
		ADD("--threads");
		ADD(threads);
	}
	if (opts->read_only)
		ADD("--readonly");
	ADD(plugin);
	for (size_t i = 0; i < nr_params; i++)
		ADD(opts->params[i]);
	ADD("parent-fd=" READY_FD_TEXT);
#undef ADD
	return argv;
}

static int spawn(struct serve_nbd *nbd, char **argv, int ready, int out)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t set;
	int rc;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null",
					 O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, out, STDERR_FILENO);
	posix_spawn_file_actions_adddup2(&files, ready, READY_FD);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP |
				 POSIX_SPAWN_SETSIGDEF |
				 POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setpgroup(&attr, 0);
	sigfillset(&set);
	posix_spawnattr_setsigdefault(&attr, &set);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&attr, &set);
	rc = posix_spawnp(&nbd->pid, PROGRAM, &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	if (rc)
		nbd->pid = 0;
	return -rc;
}

/* A pipe with `write` away from the numbers that the child gives a meaning. */
static int make_pipe(int *read, int *write, struct platter_error *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return platter_error_errno(err, -errno, "making a pipe");
	*read = fds[0];
	*write = fcntl(fds[1], F_DUPFD_CLOEXEC, READY_FD + 1);
	close(fds[1]);
	if (*write < 0)
		return platter_error_errno(err, -errno, "making a pipe");
	return 0;
}

static int run(struct serve_nbd *nbd, const struct serve_nbd_options *opts,
	       const char *plugin, struct platter_error *err)
{
	int ready = -1, out = -1, rc;
	char threads[16];
	char **argv;

	argv = make_args(nbd, opts, plugin, threads);
	if (!argv)
		return platter_error_set(err, -ENOMEM, "out of memory");
	rc = make_pipe(&nbd->ready, &ready, err);
	if (!rc)
		rc = make_pipe(&nbd->out, &out, err);
	if (!rc) {
		rc = spawn(nbd, argv, ready, out);
		if (rc == -ENOENT)
			rc = platter_error_set(err, -ENOTSUP, PROGRAM " was "
					"not found: install it (Debian: "
					"apt-get install nbdkit)");
		else if (rc)
			platter_error_errno(err, rc, PROGRAM);
	}
	free(argv);
	if (ready >= 0)
		close(ready);
	if (out >= 0)
		close(out);
	if (rc)
		return rc;
	nbd->pidfd = (int)syscall(SYS_pidfd_open, nbd->pid, 0);
	return nbd->pidfd < 0 ? platter_error_errno(err, -errno, "watching "
						    PROGRAM) : 0;
}

/* It has ended instead of serving. */
static int not_started(struct serve_nbd *nbd, const char *plugin,
		       struct platter_error *err)
{
	int status = wait_for(nbd);
	const char *why;

	if (WIFSIGNALED(status))
		return judge(nbd, status, err);
	why = complaint(nbd);
	if (strncmp(why, "cannot open plugin", strlen("cannot open plugin")))
		return platter_error_set(err, -EIO, PROGRAM ": %s", why);
	if (strcmp(plugin, PLUGIN_NAME))
		return platter_error_set(err, -ENOTSUP, PROGRAM ": %s", why);
	return platter_error_set(err, -ENOTSUP, "the plugin of " PROGRAM
				 ", %s, was not found: install it, or set "
				 PLUGIN_ENV " to its path", NBDKIT_PLUGIN);
}

static int wait_ready(struct serve_nbd *nbd, const char *plugin,
		      struct platter_error *err)
{
	struct pollfd fds[] = {
		{ .fd = nbd->ready, .events = POLLIN },
		{ .fd = nbd->out, .events = POLLIN },
		{ .fd = nbd->pidfd, .events = POLLIN },
	};

	for (;;) {
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return platter_error_errno(err, -errno, "waiting for "
						   PROGRAM);
		if (fds[1].revents & POLLIN)
			listen_once(nbd, false);
		else if (fds[0].revents & POLLIN)
			return 0;
		else if (fds[2].revents)
			return not_started(nbd, plugin, err);
	}
}

static int start(struct serve_nbd *nbd, const struct serve_nbd_options *opts,
		 struct platter_error *err)
{
	const char *plugin = find_plugin();
	int rc;

	rc = opts->socket ? take_socket(nbd, opts->socket, err) :
			    take_port(nbd, opts->port, err);
	if (!rc)
		rc = run(nbd, opts, plugin, err);
	if (!rc)
		rc = wait_ready(nbd, plugin, err);
	if (!rc)
		rc = start_reader(nbd, err);
	/* What it had to say although it started. */
	if (!rc && nbd->len && write(STDERR_FILENO, nbd->said, nbd->len) < 0)
		nbd->len = 0;
	return rc;
}

int serve_nbd_start(struct serve_nbd **out,
		    const struct serve_nbd_options *opts,
		    struct platter_error *err)
{
	struct serve_nbd *nbd = calloc(1, sizeof(*nbd));
	int rc;

	if (!nbd)
		return platter_error_set(err, -ENOMEM, "out of memory");
	nbd->pidfd = nbd->ready = nbd->out = -1;
	rc = start(nbd, opts, err);
	if (!rc) {
		*out = nbd;
		return 0;
	}
	if (nbd->pid) {
		kill(nbd->pid, SIGTERM);
		wait_for(nbd);
	}
	free_nbd(nbd);
	return rc;
}

/* ---- asked about ---- */

int serve_nbd_fd(const struct serve_nbd *nbd)
{
	return nbd->pidfd;
}

/* What may stand in a URI as it is, or with "/" in a path. */
static void encode(FILE *f, const char *text)
{
	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x80 && (isalnum(c) || strchr("-._~/", c)))
			fputc(c, f);
		else
			fprintf(f, "%%%02X", c);
	}
}

char *serve_nbd_uri(const struct serve_nbd *nbd, const char *name)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fputs(nbd->socket ? "nbd+unix:///" : "nbd://", f);
	if (!nbd->socket) {
		bool local = !strcmp(nbd->host, "127.0.0.1") ||
			     !strcmp(nbd->host, "0.0.0.0");

		fprintf(f, "%s:%s/", local ? "localhost" : nbd->host,
			nbd->port);
	}
	encode(f, name ? name : "");
	if (nbd->socket) {
		fputs("?socket=", f);
		encode(f, nbd->socket);
	}
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
