/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a keeper does with the program it runs: starts it, keeps the last of
 * what it prints, ends it when its time is over, and kills all that it leaves.
 *
 * As in the rest of a keeper, nothing here allocates or prints.
 */
#include "crash/command-keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define SWEEP_MS	10000	/* for what is killed to end */
#define SWEEP_STEP_MS	5

static int64_t now_ms(void)
{
	return (int64_t)(plt_now_ns() / 1000000);
}

/* ---- what it prints ---- */

static void keep(struct plt_keeper *k, const char *data, size_t len)
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
static bool drain(struct plt_keeper *k, int fd)
{
	ssize_t n = read(fd, k->chunk, sizeof(k->chunk));

	if (n > 0)
		keep(k, k->chunk, (size_t)n);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* ---- starting it ---- */

/*
 * In the child, which has our memory until it is another program. It goes when
 * the keeper is killed.
 */
static _Noreturn void become(const struct plt_keeper *k, int out,
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

static pid_t start(const struct plt_keeper *k, int out, volatile int *error)
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

static void watch(struct plt_keeper *k, struct running *r)
{
	while (!r->ended) {
		struct pollfd p[] = {
			{ .fd = k->children, .events = POLLIN },
			{ .fd = r->out, .events = POLLIN },
			{ .fd = PLT_KEEPER_SOCK, .events = POLLIN },
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
static void kill_children(struct plt_keeper *k)
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
static bool sweep(struct plt_keeper *k, struct running *r)
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

/* ---- all of it ---- */

static void finish(struct plt_keeper *k, struct running *r,
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

void plt_keeper_run(struct plt_keeper *k, const struct plt_keeper_request *req,
		    struct plt_keeper_answer *a)
{
	struct running r = { .grace = req->grace_ms };
	volatile int error = 0;
	int out[2];

	k->written = 0;
	if (pipe2(out, O_CLOEXEC)) {
		a->error = errno;
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
		finish(k, &r, a);
	}
	a->error = error;
	if (r.out >= 0)
		close(r.out);
}
