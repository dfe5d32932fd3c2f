/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keeper of a slot: a small process that runs checkers and ends all they
 * leave behind.
 *
 * It is a subreaper: what a checker starts becomes its child when the parents
 * have ended, whatever session it has moved to, so the keeper need only kill
 * its children until it has none. It lives as long as the socket to platter,
 * which closes also when platter is killed; the kernel's signal for the death
 * of a parent would kill the keeper itself, and nobody would clean up.
 *
 * A new keeper can be forked while there are threads, which may hold locks of
 * the C library. So nothing here allocates or prints. All signals are blocked:
 * SIGCHLD is read from a descriptor, the others are nothing to us.
 */
#include "crash/command-keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NAME		"platter-keeper"
#define REQUEST_MAX	(16u << 20)	/* bytes; the kernel takes less */

/* ---- requests ---- */

/* False at the end. */
static bool receive(void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(PLT_KEEPER_SOCK, p, len);

		if (n <= 0 && !(n < 0 && errno == EINTR))
			return false;
		p += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

static bool is_changed(const char *variable, char *const *changes,
		       uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		size_t len = strcspn(changes[i], "=");

		if (!strncmp(variable, changes[i], len) && variable[len] == '=')
			return true;
	}
	return false;
}

static void make_environment(struct plt_keeper *k, char *const *changes,
			     uint32_t count)
{
	size_t n = 0;

	for (char **v = environ; *v; v++)
		if (!is_changed(*v, changes, count))
			k->env[n++] = *v;
	for (uint32_t i = 0; i < count; i++)
		if (strchr(changes[i], '='))
			k->env[n++] = changes[i];
	k->env[n] = NULL;
}

static size_t environment_size(void)
{
	size_t n = 0;

	while (environ[n])
		n++;
	return n;
}

static bool have_room(struct plt_keeper *k, size_t size)
{
	if (size <= k->map_size)
		return true;
	if (k->map)
		munmap(k->map, k->map_size);
	k->map_size = 0;
	k->map = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (k->map == MAP_FAILED) {
		k->map = NULL;
		return false;
	}
	k->map_size = size;
	return true;
}

/* Read a request and lay its vectors out. */
static bool take(struct plt_keeper *k, struct plt_keeper_request *r)
{
	size_t vectors;
	char **changes, *p, *end;

	if (!receive(r, sizeof(*r)) || !r->size || r->size > REQUEST_MAX ||
	    r->nr_words > r->size || r->nr_env > r->size)
		return false;
	vectors = ((size_t)r->nr_words + 1 + 2 * ((size_t)r->nr_env + 1) +
		   environment_size()) * sizeof(char *);
	if (!have_room(k, vectors + r->size))
		return false;
	k->words = k->map;
	changes = k->words + r->nr_words + 1;
	k->env = changes + r->nr_env + 1;
	p = (char *)k->map + vectors;
	end = p + r->size;
	if (!receive(p, r->size) || end[-1])
		return false;
	k->program = p;
	for (uint32_t i = 0; i < r->nr_words + r->nr_env && p < end; i++) {
		p += strlen(p) + 1;
		*(i < r->nr_words ? k->words + i :
				    changes + (i - r->nr_words)) = p;
	}
	k->words[r->nr_words] = NULL;
	make_environment(k, changes, r->nr_env);
	return p < end;
}

/* ---- answers ---- */

static void answer(struct plt_keeper *k, struct plt_keeper_answer *a,
		   bool output)
{
	size_t size = sizeof(k->output), at = 0;
	struct iovec iov[3] = { { .iov_base = a, .iov_len = sizeof(*a) } };

	if (k->written < size)
		size = (size_t)k->written;
	else
		at = k->written % size;
	if (!output)
		size = at = 0;
	iov[1].iov_base = k->output + at;
	iov[1].iov_len = size - at;
	iov[2].iov_base = k->output;
	iov[2].iov_len = at;
	a->output = (uint32_t)size;
	for (int i = 0; i < 3;) {
		struct msghdr m = { .msg_iov = iov + i,
				    .msg_iovlen = (size_t)(3 - i) };
		ssize_t n = sendmsg(PLT_KEEPER_SOCK, &m, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR) {
			k->gone = true;
			return;
		}
		while (i < 3 && n >= (ssize_t)iov[i].iov_len)
			n -= (ssize_t)iov[i++].iov_len;
		if (i < 3 && n > 0) {
			iov[i].iov_base = (char *)iov[i].iov_base + n;
			iov[i].iov_len -= (size_t)n;
		}
	}
}

/* ---- the life of a keeper ---- */

/*
 * Nothing of platter's may be held here: neither its files, whose locks would
 * last as long as we do, nor the pipes that somebody reads to their end.
 */
static bool let_go(int sock)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(null, 2) < 0 || dup2(sock, PLT_KEEPER_SOCK) < 0)
		return false;
	if (syscall(SYS_close_range, PLT_KEEPER_SOCK + 1, ~0u, 0))
		for (long fd = sysconf(_SC_OPEN_MAX); fd > PLT_KEEPER_SOCK;
		     fd--)
			close((int)fd);
	return !fcntl(PLT_KEEPER_SOCK, F_SETFD, FD_CLOEXEC);
}

static bool prepare(struct plt_keeper *k, int sock)
{
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	/* What is ignored would be so in the checker. */
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	if (!let_go(sock))
		return false;
	setpgid(0, 0);
	prctl(PR_SET_NAME, NAME);
	k->self = getpid();
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	k->children = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return k->children >= 0 && !prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void plt_keeper_main(int sock, struct plt_keeper_shared *shared)
{
	struct plt_keeper_request r;
	struct plt_keeper *k = mmap(NULL, sizeof(*k), PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (k == MAP_FAILED)
		_exit(1);
	k->shared = shared;
	if (!prepare(k, sock))
		_exit(1);
	while (!k->gone && take(k, &r)) {
		struct plt_keeper_answer a = { .error = 0 };

		plt_keeper_run(k, &r, &a);
		answer(k, &a, a.status || r.keep_output);
	}
	_exit(0);
}
