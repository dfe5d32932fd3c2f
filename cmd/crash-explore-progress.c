/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter crash explore`: how far it is.
 *
 * How many states there are nobody knows before the walk has ended; but
 * walking costs next to nothing beside checking, so another walk runs ahead
 * in a thread of its own and only counts. Until it has ended, the points of
 * the log that are behind us have to do.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "crash-explore.h"

#define SECOND	1000000000u	/* ns */
#define SCALE	10000u		/* of progress by points */

/* ---- counting ---- */

static void *count_states(void *arg)
{
	struct explore_count *c = arg;
	struct platter_crash_walk *walk;
	struct platter_crash_found found;
	unsigned long long total = 0;
	int rc;

	if (platter_crash_walk_new(&walk, c->crash, c->plan, NULL))
		return NULL;
	do {
		rc = platter_crash_walk_next(walk, &found, NULL);
		total += rc == 0;
	} while (!rc && !atomic_load(&c->stop));
	platter_crash_walk_free(walk);
	if (rc == 1)
		atomic_store(&c->total, total);
	return NULL;
}

/* Signals are the main thread's. Without the thread there is no number. */
static void start_count(struct explore *x)
{
	struct explore_count *c = &x->count;
	sigset_t all, old;

	c->crash = x->crash;
	c->plan = &x->plan;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	c->started = !pthread_create(&c->thread, NULL, count_states, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int explore_progress_begin(struct explore *x, struct platter_error *err)
{
	const struct cmd_progress *o = &x->o->progress;
	int rc = cmd_progress_start(x->cmd, o, x->o->output.kind, &x->progress,
				    err);

	x->began = cmd_now_ns();
	x->point = x->plan.from;
	if (!rc && !o->quiet && (o->show || isatty(fileno(x->cmd->err))))
		start_count(x);
	return rc;
}

void explore_progress_end(struct explore *x, bool done)
{
	atomic_store(&x->count.stop, true);
	if (x->count.started)
		pthread_join(x->count.thread, NULL);
	if (x->progress)
		platter_progress_free(x->progress, done);
	x->progress = NULL;
}

/* ---- showing ---- */

/* "0:07", "1:02:03", or "-:--" where nobody can tell. */
static void put_clock(char *text, size_t size, double seconds)
{
	unsigned long s = (unsigned long)(seconds + 0.5);

	if (!(seconds >= 0 && seconds < 360000))
		snprintf(text, size, "-:--");
	else if (s >= 3600)
		snprintf(text, size, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60,
			 s % 60);
	else
		snprintf(text, size, "%lu:%02lu", s / 60, s % 60);
}

/* How much is done, of *total; both of some unit or other. */
static uint64_t measure(const struct explore *x, uint64_t done,
			uint64_t *total)
{
	uint64_t states = atomic_load(&x->count.total);
	uint64_t points = x->plan.to - x->plan.from;

	if (x->o->max_states && (!states || states > x->o->max_states))
		states = x->o->max_states;
	if (states) {
		*total = states;
		return done < states ? done : states;
	}
	*total = SCALE;
	return points && x->point > x->plan.from ?
	       (uint64_t)((double)(x->point - x->plan.from) / (double)points *
			  (SCALE - 1)) : 0;
}

static void put_facts(const struct explore *x, uint64_t done, uint64_t failing,
		      uint64_t part, uint64_t whole)
{
	double seconds = (double)(cmd_now_ns() - x->began) / SECOND;
	uint64_t states = atomic_load(&x->count.total);
	uint64_t fresh = done > x->nr_known ? done - x->nr_known : 0;
	char text[128], of[32] = "", left[32];

	if (states)
		snprintf(of, sizeof(of), "/%" PRIu64, states);
	put_clock(left, sizeof(left), part && fresh ? seconds *
		  (double)(whole - part) / (double)part : -1);
	snprintf(text, sizeof(text), "%" PRIu64 "%s states, %" PRIu64
		 " failing %8.1f/s %7s left", done, of, failing,
		 seconds > 0 ? (double)fresh / seconds : 0, left);
	platter_progress_facts(x->progress, text);
}

int explore_tick(void *arg, const struct platter_crash_census *census,
		 uint64_t done, uint64_t failing)
{
	struct explore *x = arg;
	uint64_t part, whole;

	(void)census;
	if (!x->progress)
		return 0;
	part = measure(x, done, &whole);
	put_facts(x, done, failing, part, whole);
	x->stopped = x->progress->update(x->progress, part, whole) != 0;
	return x->stopped;
}
