/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs that checkers run: our side of the keepers.
 *
 * A keeper that is killed, by a checker or for want of memory, costs the
 * verdict of the state it had; its slot gets another.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "crash/command.h"

#define GRACE_DEFAULT	1000u	/* ms */
#define STATUS_SKIP	125	/* as git bisect has it */
#define STATUS_CANNOT	126	/* a shell: it is there, but cannot be run */
#define STATUS_MISSING	127	/* a shell: command not found */

struct slot {
	pid_t pid;		/* 0: there is none */
	int sock;
	struct plt_keeper_shared *shared;
};

struct plt_keepers {
	unsigned int nr, grace_ms;
	atomic_bool stopped;
	pthread_mutex_t mutex;	/* of `sock` and `stopped`, against stop() */
	struct plt_keeper_shared *shared;
	struct slot slot[];
};

/* ---- keepers ---- */

static int start_keeper(struct plt_keepers *r, struct slot *s,
			struct platter_error *err)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return plt_err_errno(err, -errno, "socket for a checker");
	atomic_store(&s->shared->group, 0);
	pid = fork();
	if (!pid)
		plt_keeper_main(pair[1], s->shared);
	if (pid < 0) {
		plt_err_errno(err, -errno, "process for a checker");
		close(pair[0]);
	}
	close(pair[1]);
	if (pid < 0)
		return err ? err->code : -EAGAIN;
	PLT_LOCK_SCOPE(&r->mutex);
	s->pid = pid;
	s->sock = pair[0];
	return 0;
}

/* Returns as waitpid() has it. */
static int end_keeper(struct plt_keepers *r, struct slot *s)
{
	int status = 0, sock;
	pid_t group;

	pthread_mutex_lock(&r->mutex);
	sock = plt_steal_fd(s->sock);
	pthread_mutex_unlock(&r->mutex);
	if (sock >= 0)
		close(sock);
	if (!s->pid)
		return 0;
	while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		;
	s->pid = 0;
	/* What it had in hand, if it did not come to end that itself. */
	group = atomic_exchange(&s->shared->group, 0);
	if (group > 0)
		kill(-group, SIGKILL);
	return status;
}

int plt_keepers_new(struct plt_keepers **out, unsigned int slots,
		   unsigned int grace_ms, struct platter_error *err)
{
	struct plt_keepers *r = plt_calloc(1, sizeof(*r) +
					  slots * sizeof(*r->slot), err);
	int rc = 0;

	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->mutex, NULL);
	r->nr = slots;
	r->grace_ms = grace_ms ? grace_ms : GRACE_DEFAULT;
	r->shared = mmap(NULL, slots * sizeof(*r->shared),
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);
	for (unsigned int i = 0; i < slots; i++) {
		r->slot[i].sock = -1;
		r->slot[i].shared = &r->shared[i];
	}
	if (r->shared == MAP_FAILED)
		rc = plt_err_errno(err, -errno, "memory shared by processes");
	for (unsigned int i = 0; !rc && i < slots; i++)
		rc = start_keeper(r, &r->slot[i], err);
	if (rc)
		plt_keepers_free(r);
	else
		*out = r;
	return rc;
}

void plt_keepers_free(struct plt_keepers *r)
{
	if (!r)
		return;
	plt_keepers_stop(r);
	for (unsigned int i = 0; i < r->nr; i++)
		end_keeper(r, &r->slot[i]);
	if (r->shared != MAP_FAILED)
		munmap(r->shared, r->nr * sizeof(*r->shared));
	pthread_mutex_destroy(&r->mutex);
	free(r);
}

void plt_keepers_stop(struct plt_keepers *r)
{
	PLT_LOCK_SCOPE(&r->mutex);
	atomic_store(&r->stopped, true);
	for (unsigned int i = 0; i < r->nr; i++)
		if (r->slot[i].sock >= 0)
			shutdown(r->slot[i].sock, SHUT_RDWR);
}

/* ---- what is said to them ---- */

/* Also where it has gone: then the answer tells. */
static bool send_all(int sock, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = send(sock, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return false;
		p += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

static bool receive(int sock, void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = recv(sock, p, len, 0);

		if (n <= 0 && !(n < 0 && errno == EINTR))
			return false;
		p += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

static size_t measure(char *const *list, uint32_t *count)
{
	size_t size = 0;

	for (; list && list[*count]; ++*count)
		size += strlen(list[*count]) + 1;
	return size;
}

static char *put(char *to, char *const *list)
{
	for (; list && *list; list++)
		to = stpcpy(to, *list) + 1;
	return to;
}

/* *message is the request and its strings, as one; freed by the caller. */
static int make_request(const struct plt_keepers *r, const struct plt_run *run,
			char **message, size_t *len, struct platter_error *err)
{
	struct plt_keeper_request q = {
		.timeout_ms = run->timeout_ms,
		.grace_ms = r->grace_ms,
		.keep_output = run->keep_output,
	};
	size_t size = strlen(run->program) + 1;
	char *p;

	size += measure(run->words, &q.nr_words);
	size += measure(run->env, &q.nr_env);
	if (size > UINT32_MAX)
		return plt_err_set(err, -E2BIG, "%s: words of %zu bytes are "
				   "over the limit of %u", run->program, size,
				   UINT32_MAX);
	q.size = (uint32_t)size;
	*len = sizeof(q) + size;
	*message = p = plt_calloc(1, *len, err);
	if (!p)
		return -ENOMEM;
	memcpy(p, &q, sizeof(q));
	p = stpcpy(p + sizeof(q), run->program) + 1;
	put(put(p, run->words), run->env);
	return 0;
}

/* ---- what is to be said of it ---- */

static void exited(struct platter_crash_result *res, int status)
{
	res->status = status;
	if (!status) {
		res->verdict = PLATTER_CRASH_PASS;
		return;
	}
	res->verdict = status == STATUS_SKIP ? PLATTER_CRASH_SKIP :
					       PLATTER_CRASH_FAIL;
	snprintf(res->reason, sizeof(res->reason), "exit status %d%s", status,
		 status == STATUS_MISSING ? " (a shell's: command not found)" :
		 status == STATUS_CANNOT ? " (a shell's: cannot be executed)" :
					   "");
}

static void killed(struct platter_crash_result *res, int sig)
{
	const char *text = sigdescr_np(sig);

	res->verdict = PLATTER_CRASH_FAIL;
	res->signal = sig;
	snprintf(res->reason, sizeof(res->reason), "signal %d (%s)", sig,
		 text ? text : "unknown");
}

static void judge(struct platter_crash_result *res,
		  const struct plt_keeper_answer *a, unsigned int timeout_ms)
{
	res->timed_out = a->timed_out;
	if (a->timed_out) {
		res->verdict = PLATTER_CRASH_FAIL;
		if (WIFSIGNALED(a->status))
			res->signal = WTERMSIG(a->status);
		snprintf(res->reason, sizeof(res->reason),
			 "no end within %g s", timeout_ms / 1000.0);
	} else if (WIFSIGNALED(a->status)) {
		killed(res, WTERMSIG(a->status));
	} else {
		exited(res, WEXITSTATUS(a->status));
	}
	if (a->left) {
		res->verdict = PLATTER_CRASH_ERROR;
		snprintf(res->reason, sizeof(res->reason), "it has left "
			 "processes that cannot be killed");
	}
}

/* What cannot be run in one state cannot be in the others. */
static int not_started(const struct plt_run *run, int error,
		       struct platter_crash_result *res,
		       struct platter_error *err)
{
	if (error != EAGAIN && error != ENOMEM && error != EMFILE &&
	    error != ENFILE)
		return plt_err_errno(err, -error, "%s", run->program);
	res->verdict = PLATTER_CRASH_ERROR;
	snprintf(res->reason, sizeof(res->reason), "it could not be started: "
		 "%s", strerrordesc_np(error));
	return 0;
}

/* The keeper is no more. */
static int lost(struct plt_keepers *r, struct slot *s,
		struct platter_crash_result *res, struct platter_error *err)
{
	int status = end_keeper(r, s);

	if (atomic_load(&r->stopped))
		return plt_err_set(err, -ECANCELED, "stopped");
	res->verdict = PLATTER_CRASH_ERROR;
	if (WIFSIGNALED(status))
		snprintf(res->reason, sizeof(res->reason), "the process that "
			 "keeps checkers was killed by signal %d",
			 WTERMSIG(status));
	else
		snprintf(res->reason, sizeof(res->reason), "the process that "
			 "keeps checkers has ended");
	return start_keeper(r, s, err);
}

static int take_answer(struct plt_keepers *r, struct slot *s,
		       const struct plt_run *run,
		       struct platter_crash_result *res,
		       struct platter_error *err)
{
	struct plt_keeper_answer a;

	if (!receive(s->sock, &a, sizeof(a)) ||
	    a.output > PLATTER_CRASH_OUTPUT_MAX)
		return lost(r, s, res, err);
	if (a.output) {
		/* One more, so that it can be used as a string. */
		res->output = plt_calloc(1, a.output + 1, err);
		if (!res->output)
			return -ENOMEM;
		res->output_len = a.output;
		if (!receive(s->sock, res->output, a.output))
			return lost(r, s, res, err);
	}
	if (a.error)
		return not_started(run, a.error, res, err);
	judge(res, &a, run->timeout_ms);
	return 0;
}

int plt_keepers_run(struct plt_keepers *r, unsigned int slot,
		   const struct plt_run *run, struct platter_crash_result *res,
		   struct platter_error *err)
{
	plt_auto_free char *message = NULL;
	struct slot *s = &r->slot[slot];
	uint64_t began = plt_now_ns();
	size_t len = 0;
	int rc;

	*res = (struct platter_crash_result){ .status = -1 };
	if (atomic_load(&r->stopped))
		return plt_err_set(err, -ECANCELED, "stopped");
	rc = make_request(r, run, &message, &len, err);
	if (!rc && !s->pid)
		rc = start_keeper(r, s, err);
	if (rc)
		return rc;
	/* What it did not take, it will not answer. */
	(void)send_all(s->sock, message, len);
	rc = take_answer(r, s, run, res, err);
	res->time_ns = plt_now_ns() - began;
	return rc;
}
