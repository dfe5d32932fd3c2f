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
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "crash/command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define NAME		"platter-keeper"
#define SOCK_FD		3
#define REQUEST_MAX	(16u << 20)	/* bytes; the kernel takes less */
#define SWEEP_MS	10000	/* for what is killed to end */
#define SWEEP_STEP_MS	5
#define READ_SIZE	(64u << 10)

struct keeper {
	struct plt_keeper_shared *shared;
	int children;		/* signalfd */
	pid_t self;
	bool gone;		/* platter is, or wants no more */
	/* The strings of a request, with the vectors that point into them. */
	void *map;
	size_t map_size;
	char **words, **env;
	const char *program;
	/* The last of the output, as a ring. */
	char output[PLATTER_CRASH_OUTPUT_MAX];
	uint64_t written;
	char chunk[READ_SIZE];
};

static int64_t now_ms(void)
{
	return (int64_t)(plt_now_ns() / 1000000);
}

/* ---- requests ---- */

/* False at the end. */
static bool receive(void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(SOCK_FD, p, len);

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

static void make_environment(struct keeper *k, char *const *changes,
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

static bool have_room(struct keeper *k, size_t size)
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
static bool take(struct keeper *k, struct plt_keeper_request *r)
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

/* ---- what it prints ---- */

static void keep(struct keeper *k, const char *data, size_t len)
{
	size_t at = k->written % sizeof(k->output);
	size_t first = sizeof(k->output) - at;

	if (first > len)
		first = len;
	memcpy(k->output + at, data, first);
	memcpy(k->output, data + first, len - first);
	k->written += len;
}

/* False when nobody can write any more. */
static bool drain(struct keeper *k, int fd)
{
	ssize_t n = read(fd, k->chunk, sizeof(k->chunk));

	if (n > 0)
		keep(k, k->chunk, (size_t)n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void answer(struct keeper *k, struct plt_keeper_answer *a, bool output)
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
		ssize_t n = sendmsg(SOCK_FD, &m, MSG_NOSIGNAL);

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

/* ---- starting it ---- */

/*
 * In the child, which has our memory until it is another program. It goes when
 * the keeper is killed.
 */
static _Noreturn void become(const struct keeper *k, int out,
			     volatile int *error)
{
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0) {
		*error = errno;
		_exit(127);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(k->program, k->words, k->env);
	*error = errno;
	_exit(127);
}

static pid_t start(const struct keeper *k, int out, volatile int *error)
{
	pid_t pid;

	*error = 0;
	/* A fork would copy the tables of all of platter's memory. */
	pid = vfork();
	if (!pid)
		become(k, out, error);
	if (pid < 0)
		*error = errno;
	return pid;
}

/* ---- ending it ---- */

struct running {
	pid_t pid;
	int out;		/* -1 when nobody can write any more */
	int64_t deadline;	/* ms; 0 = none */
	int64_t grace;
	unsigned int asked;	/* how often it was asked to end */
	bool ended, timed_out;
	int status;
};

/* Its group, and itself in case it has gone to another. */
static void signal_all(const struct running *r, int sig)
{
	kill(-r->pid, sig);
	kill(r->pid, sig);
}

static void out_of_time(struct running *r)
{
	r->timed_out = true;
	signal_all(r, r->asked++ ? SIGKILL : SIGTERM);
	r->deadline = r->asked > 1 ? 0 : now_ms() + r->grace;
}

/* Whoever has ended; the checker itself stays a zombie, and its group ours. */
static void reap(struct running *r)
{
	for (;;) {
		siginfo_t si = { .si_pid = 0 };

		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) ||
		    !si.si_pid)
			return;
		if (si.si_pid == r->pid) {
			r->ended = true;
			return;
		}
		waitpid(si.si_pid, NULL, 0);
	}
}

static void forget_signals(int fd)
{
	struct signalfd_siginfo si;

	while (read(fd, &si, sizeof(si)) == sizeof(si))
		;
}

static void watch(struct keeper *k, struct running *r)
{
	while (!r->ended) {
		struct pollfd p[] = {
			{ .fd = k->children, .events = POLLIN },
			{ .fd = r->out, .events = POLLIN },
			{ .fd = SOCK_FD, .events = POLLIN },
		};
		int64_t left = r->deadline ? r->deadline - now_ms() : -1;

		if (r->deadline && left <= 0) {
			out_of_time(r);
			continue;
		}
		if (poll(p, 3, left > INT_MAX ? INT_MAX : (int)left) <= 0)
			continue;
		if (p[1].revents && !drain(k, r->out)) {
			close(r->out);
			r->out = -1;
		}
		/* Nothing is said before our answer, but that it is over. */
		if (p[2].revents) {
			k->gone = true;
			return;
		}
		if (p[0].revents) {
			forget_signals(k->children);
			reap(r);
		}
	}
}

/* ---- what it leaves ---- */

static int child_list(pid_t self)
{
	char path[64] = "/proc/self/task/", digits[16];
	size_t n = sizeof(digits), len = strlen(path);

	digits[--n] = '\0';
	for (; self; self /= 10)
		digits[--n] = (char)('0' + self % 10);
	memcpy(path + len, digits + n, strlen(digits + n) + 1);
	memcpy(path + len + strlen(digits + n), "/children",
	       sizeof("/children"));
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Those there were when it was read; more may come meanwhile. */
static void kill_children(struct keeper *k)
{
	int fd = child_list(k->self);
	pid_t pid = 0;
	ssize_t n;

	if (fd < 0)
		return;
	while ((n = read(fd, k->chunk, sizeof(k->chunk))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			char c = k->chunk[i];

			if (c >= '0' && c <= '9') {
				pid = pid * 10 + (c - '0');
				continue;
			}
			if (pid)
				kill(pid, SIGKILL);
			pid = 0;
		}
	}
	close(fd);
}

/*
 * Until there are no children. False when something is left that does not end,
 * such as a process that waits for a disk that does not answer.
 */
static bool sweep(struct keeper *k, struct running *r)
{
	int64_t until = now_ms() + SWEEP_MS;

	for (;;) {
		struct pollfd p = { .fd = k->children, .events = POLLIN };
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid == r->pid)
			r->status = status;
		if (pid > 0)
			continue;
		if (pid < 0 && errno == ECHILD)
			return true;
		if (now_ms() > until)
			return false;
		kill_children(k);
		poll(&p, 1, SWEEP_STEP_MS);
		forget_signals(k->children);
	}
}

/* ---- the life of a keeper ---- */

static void finish(struct keeper *k, struct running *r,
		   struct plt_keeper_answer *a)
{
	signal_all(r, SIGKILL);
	a->left = !sweep(k, r);
	atomic_store(&k->shared->group, 0);
	while (r->out >= 0 && drain(k, r->out)) {
		struct pollfd p = { .fd = r->out, .events = POLLIN };

		/* Only what could not be killed might write again. */
		if (poll(&p, 1, 0) <= 0)
			break;
	}
	a->status = r->status;
	a->timed_out = r->timed_out;
}

static void run(struct keeper *k, const struct plt_keeper_request *req)
{
	struct plt_keeper_answer a = { .error = 0 };
	struct running r = { .grace = req->grace_ms };
	volatile int error = 0;
	int out[2];

	k->written = 0;
	if (pipe2(out, O_CLOEXEC)) {
		a.error = errno;
		answer(k, &a, false);
		return;
	}
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	r.pid = start(k, out[1], &error);
	close(out[1]);
	r.out = out[0];
	if (r.pid > 0) {
		atomic_store(&k->shared->group, r.pid);
		if (req->timeout_ms)
			r.deadline = now_ms() + req->timeout_ms;
		watch(k, &r);
		finish(k, &r, &a);
	}
	a.error = error;
	if (r.out >= 0)
		close(r.out);
	answer(k, &a, a.status || req->keep_output);
}

/*
 * Nothing of platter's may be held here: neither its files, whose locks would
 * last as long as we do, nor the pipes that somebody reads to their end.
 */
static bool let_go(int sock)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(null, 2) < 0 || dup2(sock, SOCK_FD) < 0)
		return false;
	if (syscall(SYS_close_range, SOCK_FD + 1, ~0u, 0))
		for (long fd = sysconf(_SC_OPEN_MAX); fd > SOCK_FD; fd--)
			close((int)fd);
	return !fcntl(SOCK_FD, F_SETFD, FD_CLOEXEC);
}

static bool prepare(struct keeper *k, int sock)
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
	struct keeper *k = mmap(NULL, sizeof(*k), PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (k == MAP_FAILED)
		_exit(1);
	k->shared = shared;
	if (!prepare(k, sock))
		_exit(1);
	while (!k->gone && take(k, &r))
		run(k, &r);
	_exit(0);
}
