/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter log record`: the command that is run on the disks.
 *
 * It belongs to our process group, so that what is typed at the terminal goes
 * to it as if we were not there: a Ctrl-C is its to act on, and ours to wait
 * for what becomes of it. The signals have been blocked since before there
 * were threads; here they are read, one by one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "log-record.h"

#define SECOND		UINT64_C(1000000000)	/* ns */
#define GRACE		(10 * SECOND)	/* from SIGTERM to SIGKILL */
#define SHOW_EVERY	(SECOND / 2)
#define MEASURE_EVERY	(SECOND / 20)	/* for --stop-after SIZE */

/* ---- its words ---- */

/*
 * The placeholder at `p`: *len is how long it is and *uri what it stands for.
 * NULL when it is none; braces have other uses.
 */
static const struct record_disk *placeholder(const struct record *r,
					     const char *p, size_t *len,
					     bool *uri)
{
	const char *end = strchr(p, '}');
	size_t n;

	if (*p != '{' || !end)
		return NULL;
	*len = (size_t)(end - p) + 1;
	n = (size_t)(end - ++p);
	*uri = !strncmp(p, "nbd", 3) && (p[3] == '}' || p[3] == ':');
	if (*uri) {
		p += 3 + (p[3] == ':');
		n = (size_t)(end - p);
	}
	if (!n && r->nr_disks == 1)
		return p[-1] == ':' ? NULL : r->disks;
	for (size_t i = 0; n && i < r->nr_disks; i++) {
		const char *name = r->disks[i].name;

		if (name && strlen(name) == n && !strncmp(name, p, n))
			return &r->disks[i];
	}
	return NULL;
}

int record_command_needs(struct record *r, struct platter_error *err)
{
	bool file = false, uri;
	size_t len;

	for (unsigned int i = 0; i < r->nr_words; i++) {
		for (const char *p = r->command[i]; *p; p++) {
			if (!placeholder(r, p, &len, &uri))
				continue;
			r->wants_nbd |= uri;
			file |= !uri;
		}
		if (r->nr_disks > 1 && (strstr(r->command[i], "{}") ||
					strstr(r->command[i], "{nbd}")))
			return platter_error_set(err, -EINVAL, "'%s' does not "
						 "say which of the disks it "
						 "means: write {%s} or "
						 "{nbd:%s}", r->command[i],
						 r->disks[0].name,
						 r->disks[0].name);
	}
	r->wants_nbd |= r->o->nbd;
	r->wants_file = file || !r->wants_nbd;
	return 0;
}

static char *expand(const struct record *r, const char *word)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	while (*word) {
		size_t len;
		bool uri;
		const struct record_disk *d = placeholder(r, word, &len, &uri);

		if (d) {
			fputs(uri ? d->uri : d->path, f);
			word += len;
		} else {
			putc(*word++, f);
		}
	}
	return fclose(f) ? NULL : text;
}

static void free_words(char **words)
{
	for (char **w = words; w && *w; w++)
		free(*w);
	free(words);
}

static char **command_words(const struct record *r)
{
	char **words = calloc(r->nr_words + 1, sizeof(*words));

	for (unsigned int i = 0; words && i < r->nr_words; i++) {
		words[i] = expand(r, r->command[i]);
		if (!words[i]) {
			free_words(words);
			return NULL;
		}
	}
	return words;
}

/* ---- its environment ---- */

/* What an outer recording has set is of no use to the command. */
static void remove_outer(struct cmd_environment *env)
{
	static const char *const ours[] = {
		SERVE_SESSION_ENV "=", "PLATTER_PATH=", "PLATTER_PATH_",
		"PLATTER_NBD=", "PLATTER_NBD_",
	};

	for (size_t i = 0; i < CMD_ARRAY_SIZE(ours); i++)
		cmd_environment_remove(env, ours[i]);
}

static void set(struct cmd_environment *env, const char *name, const char *of,
		const char *value)
{
	if (value)
		cmd_environment_set(env, "%s%s%s=%s", name, of ? "_" : "",
				    of ? of : "", value);
}

static void command_environment(struct cmd_environment *env,
				const struct record *r)
{
	remove_outer(env);
	set(env, SERVE_SESSION_ENV, NULL, r->session_path);
	if (r->nr_disks == 1) {
		set(env, "PLATTER_PATH", NULL, r->disks->path);
		set(env, "PLATTER_NBD", NULL, r->disks->uri);
	}
	for (size_t i = 0; i < r->nr_disks; i++) {
		const struct record_disk *d = &r->disks[i];

		if (!d->name)
			continue;
		set(env, "PLATTER_PATH", d->name, d->path);
		set(env, "PLATTER_NBD", d->name, d->uri);
	}
}

static int start(const struct record *r, pid_t *pid, struct platter_error *err)
{
	char **words = command_words(r);
	struct cmd_environment env = { .list = NULL };
	const struct cmd_child child = {
		.program = r->program,
		.words = words,
		.env = &env,
		.mask = &r->mask,
		/* Standard output is for the summary then. */
		.output_to_stderr = r->o->output.kind != PLATTER_OUTPUT_HUMAN,
	};
	int rc;

	command_environment(&env, r);
	rc = words ? cmd_child_start(&child, pid, err) :
		     platter_error_errno(err, -ENOMEM, "%s", r->command[0]);
	cmd_environment_free(&env);
	free_words(words);
	return rc;
}

/* ---- waiting for it ---- */

struct watch {
	struct record *r;
	pid_t pid;
	int signals;		/* signalfd */
	unsigned int stops;	/* how often it was asked to end */
	uint64_t kill_at;	/* ns; 0 = not set */
	uint64_t measure_at, show_at;
	bool done;
	int status;
};

static void ask_to_end(struct watch *w, int sig, bool knows)
{
	if (w->stops++)
		sig = SIGKILL;
	if (sig == SIGKILL || !knows)
		kill(w->pid, sig);
}

static void take_signal(struct watch *w, const struct signalfd_siginfo *si)
{
	int sig = (int)si->ssi_signo;

	switch (sig) {
	case SIGCHLD:
		if (waitpid(w->pid, &w->status, WNOHANG) == w->pid)
			w->done = true;
		break;
	case SIGUSR1:
		record_progress_line(w->r);
		break;
	case SIGQUIT:
		/* The terminal sends it to all; for us it means nothing. */
		if (si->ssi_code <= 0)
			kill(w->pid, sig);
		break;
	default:
		ask_to_end(w, sig, si->ssi_code > 0);
	}
}

static void take_signals(struct watch *w)
{
	struct signalfd_siginfo si;

	while (!w->done && read(w->signals, &si, sizeof(si)) == sizeof(si))
		take_signal(w, &si);
}

static void check_limits(struct watch *w, uint64_t now)
{
	struct record *r = w->r;
	bool enough = r->o->stop_ns && now - r->began >= r->o->stop_ns;

	if (r->o->stop_size && now >= w->measure_at) {
		w->measure_at = now + MEASURE_EVERY;
		enough |= record_ask(r) && record_grown(r) >= r->o->stop_size;
	}
	if (enough && !r->stopped) {
		r->stopped = true;
		w->kill_at = now + GRACE;
		kill(w->pid, SIGTERM);
	} else if (w->kill_at && now >= w->kill_at) {
		w->kill_at = 0;
		kill(w->pid, SIGKILL);
	}
	if (r->o->progress && now >= w->show_at) {
		w->show_at = now + SHOW_EVERY;
		record_progress(r);
	}
}

/* Until something is due; -1 = until a signal comes. */
static int patience(const struct watch *w)
{
	const struct record *r = w->r;
	uint64_t now = cmd_now_ns(), due = UINT64_MAX;

	if (r->o->stop_ns && !r->stopped)
		due = r->began + r->o->stop_ns;
	if (r->o->stop_size && !r->stopped && w->measure_at < due)
		due = w->measure_at;
	if (w->kill_at && w->kill_at < due)
		due = w->kill_at;
	if (r->o->progress && w->show_at < due)
		due = w->show_at;
	if (due == UINT64_MAX)
		return -1;
	if (due <= now)
		return 0;
	due = (due - now) / (SECOND / 1000) + 1;
	return due > INT32_MAX ? INT32_MAX : (int)due;
}

static void watch(struct watch *w)
{
	struct pollfd p = { .fd = w->signals, .events = POLLIN };

	while (!w->done) {
		if (poll(&p, 1, patience(w)) > 0)
			take_signals(w);
		if (!w->done)
			check_limits(w, cmd_now_ns());
	}
	if (w->r->o->progress)
		record_progress_end(w->r);
}

/* What came while the disks were made ready: then it is not even begun. */
static bool is_stopped(int signals)
{
	struct signalfd_siginfo si;

	while (read(signals, &si, sizeof(si)) == sizeof(si))
		if (si.ssi_signo != SIGCHLD && si.ssi_signo != SIGUSR1)
			return true;
	return false;
}

static int exit_status(const struct watch *w, struct platter_error *err)
{
	int sig = WIFSIGNALED(w->status) ? WTERMSIG(w->status) : 0;

	/* Who typed Ctrl-C, or set a limit, knows. */
	if (sig && sig != SIGINT && !w->r->stopped)
		platter_error_set(err, -EINTR, "%s: killed by signal %d (%s)",
				  w->r->command[0], sig, strsignal(sig));
	return cmd_child_status(w->status);
}

int record_command_run(struct record *r, struct platter_error *err)
{
	struct watch w = { .r = r };
	sigset_t set;
	int rc;

	sigemptyset(&set);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	w.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (w.signals < 0)
		return platter_error_errno(err, -errno, "signals");
	rc = is_stopped(w.signals) ? -ECANCELED : start(r, &w.pid, err);
	if (!rc) {
		r->began = cmd_now_ns();
		watch(&w);
		rc = exit_status(&w, err);
		r->ended = cmd_now_ns();
	}
	close(w.signals);
	return rc;
}
