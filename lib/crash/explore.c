/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exploring the crash states of a log.
 *
 * The calling thread walks and gives out results, a thread for each slot
 * checks. States go through a ring, and a result leaves it when those before
 * have: so the order is the walk's, and memory is bounded, whatever the
 * checkers' speed. Whatever decides about a later state (a limit, a failure, a
 * read set) is looked at when results leave, never when they come, and is the
 * same for any number of slots.
 */
#include <signal.h>
#include <string.h>
#include <time.h>

#include <platter/out.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "crash/explore.h"

#define WINDOW		64u	/* states between walk and result, and */
#define WINDOW_SLOT	4u	/* so many for each slot */
#define BATCH		32u	/* states that learn nothing of each other */
#define BATCH_FIRST	4u	/* the first is small, each next one twice */
#define RECHECK		64u
#define TICK_NS		100000000L

struct explore {
	struct platter_crash *crash;
	const struct platter_crash_explore_options *o;
	struct platter_crash_summary *sum;
	struct platter_crash_walk *walk;
	struct plt_explore_reads *reads;
	uint64_t began;
	uint64_t pulled;	/* states */
	uint64_t failing;
	uint64_t skipped;	/* by what they read */
	unsigned int batch;
	bool no_more;		/* nothing is pulled any more */
	bool over;		/* nothing is given out any more */
	/* The ring: given out up to `head`, taken to `next`, filled to `tail`. */
	struct plt_explore_task *task;
	uint64_t window, head, next, tail;
	pthread_mutex_t mutex;
	pthread_cond_t work, done;
	bool quit;		/* no more are taken */
	bool late;		/* ... for want of time */
};

struct worker {
	struct explore *e;
	unsigned int slot;
	pthread_t thread;
	bool started;
};

static struct plt_explore_task *at(struct explore *e, uint64_t i)
{
	return &e->task[i % e->window];
}

/* ---- a thread for each slot ---- */

/* States wait in the ring, so it is here that it may be too late for one. */
static bool is_late(const struct explore *e)
{
	return e->o->max_time_ns && plt_now_ns() - e->began >= e->o->max_time_ns;
}

static struct plt_explore_task *take(struct explore *e)
{
	PLT_LOCK_SCOPE(&e->mutex);
	for (;;) {
		while (!e->quit && e->next < e->tail) {
			struct plt_explore_task *t = at(e, e->next);

			if (t->phase == PLT_EXPLORE_READY && is_late(e)) {
				e->late = e->quit = true;
				pthread_cond_signal(&e->done);
				return NULL;
			}
			e->next++;
			if (t->phase != PLT_EXPLORE_READY)
				continue;
			t->phase = PLT_EXPLORE_TAKEN;
			return t;
		}
		if (e->quit)
			return NULL;
		pthread_cond_wait(&e->work, &e->mutex);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct explore *e = w->e;
	struct plt_explore_task *t;

	while ((t = take(e))) {
		plt_explore_run(e->o, t, w->slot);
		pthread_mutex_lock(&e->mutex);
		t->phase = PLT_EXPLORE_DONE;
		if (t == at(e, e->head))
			pthread_cond_signal(&e->done);
		pthread_mutex_unlock(&e->mutex);
	}
	return NULL;
}

/* Signals are the calling thread's. */
static int start_workers(struct worker *w, struct explore *e, unsigned int nr,
			 struct platter_error *err)
{
	sigset_t all, old;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned int i = 0; !rc && i < nr; i++) {
		w[i] = (struct worker){ .e = e, .slot = i };
		rc = -pthread_create(&w[i].thread, NULL, work, &w[i]);
		w[i].started = !rc;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc ? plt_err_errno(err, rc, "threads for checkers") : 0;
}

static void end_workers(struct worker *w, struct explore *e, unsigned int nr)
{
	pthread_mutex_lock(&e->mutex);
	e->quit = true;
	pthread_cond_broadcast(&e->work);
	pthread_mutex_unlock(&e->mutex);
	for (unsigned int i = 0; i < nr; i++)
		if (w[i].started)
			pthread_join(w[i].thread, NULL);
}

/* ---- from the walk into the ring ---- */

static int fill_mark(struct explore *e, struct plt_explore_task *t,
		     struct platter_error *err)
{
	const char *text = NULL;
	size_t len = 0;

	t->record.mark_entry = platter_crash_mark_before(e->crash,
							 t->record.point,
							 &text, &len);
	if (t->record.mark_entry == UINT64_MAX)
		return 0;
	t->mark = platter_bytes_escape(text, len);
	t->record.mark = t->mark;
	return t->mark ? 0 : plt_err_nomem(err, len);
}

static int fill(struct explore *e, struct plt_explore_task *t,
		const struct platter_crash_found *found,
		struct platter_error *err)
{
	*t = (struct plt_explore_task){
		.state = platter_crash_state_ref(found->state),
		.record = {
			.index = found->index,
			.state = platter_crash_state_name(found->state),
			.point = platter_crash_state_point(found->state),
			.strategy = found->strategy,
			.result.status = -1,
			.depth = 1,
		},
	};
	memcpy(t->record.hash, found->hash, sizeof(t->record.hash));
	if (!t->record.state)
		return plt_err_nomem(err, 1);
	return fill_mark(e, t, err);
}

/* One in so many of those not run is run all the same. */
static void decide_recheck(struct explore *e, struct plt_explore_task *t)
{
	uint64_t every = e->o->recheck ? e->o->recheck : RECHECK;

	t->phase = PLT_EXPLORE_DONE;
	if (++e->skipped % every)
		return;
	t->phase = PLT_EXPLORE_READY;
	t->recheck = true;
	t->expected = t->record.result.verdict;
	t->record.same_as = NULL;
	t->record.result = (struct platter_crash_result){ .status = -1 };
}

/* Does it have to be run? */
static int decide(struct explore *e, struct plt_explore_task *t,
		  struct platter_error *err)
{
	struct platter_crash_record known;
	int rc;

	if (e->o->known &&
	    e->o->known(e->o->arg, t->record.index, 0, &known) == 1) {
		t->record = known;
		t->known = true;
		/* With second crashes the thread has to look for theirs. */
		t->phase = e->o->recover ? PLT_EXPLORE_READY :
					   PLT_EXPLORE_DONE;
		return 0;
	}
	if (!e->reads)
		return 0;
	rc = plt_explore_reads_find(e->reads, e->walk, t, err);
	if (rc == 1)
		decide_recheck(e, t);
	else if (rc == 2)
		t->phase = PLT_EXPLORE_WAITING;
	return rc < 0 ? rc : 0;
}

static void no_more(struct explore *e, enum platter_crash_end end)
{
	e->no_more = true;
	e->sum->end = end;
}

/* The next state of the walk, unless a limit is reached. */
static int pull(struct explore *e, struct platter_error *err)
{
	struct plt_explore_task *t = at(e, e->tail);
	struct platter_crash_found found;
	int rc;

	rc = platter_crash_walk_next(e->walk, &found, err);
	if (rc == 1)
		no_more(e, PLATTER_CRASH_END_ALL);
	else if (!rc && e->o->max_states && e->pulled == e->o->max_states)
		no_more(e, PLATTER_CRASH_END_STATES);
	if (rc || e->no_more)
		return rc < 0 ? rc : 0;
	e->pulled++;
	rc = fill(e, t, &found, err);
	if (!rc)
		rc = decide(e, t, err);
	if (rc) {
		plt_explore_task_clear(t);
		return rc;
	}
	PLT_LOCK_SCOPE(&e->mutex);
	e->tail++;
	if (t->phase == PLT_EXPLORE_READY)
		pthread_cond_signal(&e->work);
	return 0;
}

/* Read sets are learned between batches, so those are pulled as a whole. */
static int pull_some(struct explore *e, struct platter_error *err)
{
	uint64_t most = e->window;
	int rc = 0;

	if (e->reads && e->head != e->tail)
		return 0;
	if (e->reads) {
		plt_explore_reads_begin(e->reads);
		most = e->batch;
		e->batch = PLT_MIN(e->batch * 2, BATCH);
	}
	while (!rc && !e->no_more && e->tail - e->head < most)
		rc = pull(e, err);
	return rc;
}

/* ---- from the ring to the caller ---- */

static int give(struct explore *e, const struct platter_crash_record *r,
		struct platter_error *err)
{
	enum platter_crash_verdict v = r->result.verdict;
	int rc = 0;

	if (e->o->result)
		rc = e->o->result(e->o->arg, r, err);
	if (rc)
		return rc;
	e->sum->done++;
	e->sum->verdicts[v]++;
	e->sum->not_run += r->same_as != NULL;
	e->sum->nested += r->depth > 1;
	e->sum->check_ns += r->result.time_ns;
	if (v != PLATTER_CRASH_FAIL && v != PLATTER_CRASH_FLAKY)
		return 0;
	e->failing++;
	if (e->o->stop_on_first) {
		no_more(e, PLATTER_CRASH_END_FIRST);
		e->over = true;
	}
	return 0;
}

static int give_task(struct explore *e, struct plt_explore_task *t,
		     struct platter_error *err)
{
	int rc = t->rc;

	if (rc)
		return plt_err_set(err, rc, "%s", t->err.msg);
	if (t->recheck) {
		e->sum->rechecked++;
		e->sum->recheck_failed +=
			t->record.result.verdict != t->expected;
	}
	rc = give(e, &t->record, err);
	for (size_t i = 0; !rc && !e->over && i < t->nr_nested; i++)
		rc = give(e, &t->nested[i], err);
	if (!rc && e->reads && !t->known && !t->record.same_as)
		rc = plt_explore_reads_learn(e->reads, e->walk, t, err);
	return rc;
}

/* The first one, if it waits: all that were before it are learned. */
static int end_wait(struct explore *e, struct platter_error *err)
{
	struct plt_explore_task *t = at(e, e->head);
	bool waits;
	int rc;

	pthread_mutex_lock(&e->mutex);
	waits = t->phase == PLT_EXPLORE_WAITING;
	pthread_mutex_unlock(&e->mutex);
	if (!waits)
		return 0;
	rc = plt_explore_reads_find_again(e->reads, e->walk, t, err);
	if (rc < 0)
		return rc;
	PLT_LOCK_SCOPE(&e->mutex);
	t->phase = PLT_EXPLORE_READY;
	if (rc == 1)
		decide_recheck(e, t);
	if (t->phase == PLT_EXPLORE_READY) {
		/* The threads have passed it. */
		e->next = e->head;
		pthread_cond_signal(&e->work);
	}
	return 0;
}

/* Nobody will take the next one any more. */
static bool is_end(struct explore *e)
{
	return e->late && at(e, e->head)->phase == PLT_EXPLORE_READY;
}

/* False when it is time for a tick. */
static bool wait_head(struct explore *e)
{
	struct timespec until;
	bool ready;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += TICK_NS;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	PLT_LOCK_SCOPE(&e->mutex);
	while (at(e, e->head)->phase != PLT_EXPLORE_DONE && !is_end(e))
		if (pthread_cond_timedwait(&e->done, &e->mutex, &until))
			break;
	if (is_end(e)) {
		no_more(e, PLATTER_CRASH_END_TIME);
		e->over = true;
	}
	ready = at(e, e->head)->phase == PLT_EXPLORE_DONE;
	return ready;
}

static int give_head(struct explore *e, struct platter_error *err)
{
	struct plt_explore_task *t = at(e, e->head);
	int rc = give_task(e, t, err);

	pthread_mutex_lock(&e->mutex);
	e->head++;
	/* What was not to be run no thread has passed; cleared, it is ready. */
	e->next = PLT_MAX(e->next, e->head);
	pthread_mutex_unlock(&e->mutex);
	plt_explore_task_clear(t);
	return rc;
}

static bool is_ready(struct explore *e)
{
	PLT_LOCK_SCOPE(&e->mutex);
	return e->head < e->tail && at(e, e->head)->phase == PLT_EXPLORE_DONE;
}

/*
 * The caller may want to stop; then what is under way is broken off, and
 * what has ended is given out.
 */
static int tick(struct explore *e, struct platter_error *err)
{
	struct platter_crash_census census;
	int rc = 0;

	if (e->over || !e->o->tick)
		return 0;
	platter_crash_walk_census(e->walk, &census);
	if (!e->o->tick(e->o->arg, &census, e->sum->done, e->failing))
		return 0;
	while (!rc && !e->over && is_ready(e))
		rc = give_head(e, err);
	if (!e->over)
		no_more(e, PLATTER_CRASH_END_STOPPED);
	e->over = true;
	platter_crash_harness_stop(e->o->harness);
	if (e->o->recover_harness)
		platter_crash_harness_stop(e->o->recover_harness);
	return rc;
}

static int loop(struct explore *e, struct platter_error *err)
{
	uint64_t ticked = 0;
	int rc = 0;

	while (!rc && !e->over) {
		rc = pull_some(e, err);
		if (rc || e->head == e->tail)
			break;
		rc = end_wait(e, err);
		if (rc)
			break;
		if (wait_head(e))
			rc = give_head(e, err);
		if (plt_now_ns() - ticked >= TICK_NS / 2) {
			ticked = plt_now_ns();
			rc = rc ? rc : tick(e, err);
		}
	}
	return rc;
}

/* ---- all of it ---- */

static int check_options(const struct platter_crash_explore_options *o,
			 struct platter_error *err)
{
	const struct platter_crash_harness_options *h =
		plt_crash_harness_options(o->harness);

	if (o->read_guided && h->presenter && !h->presenter->sees_reads)
		return plt_err_set(err, -ENOTSUP, "what checkers read cannot "
				   "be seen with %s; it takes FUSE",
				   h->presenter->how);
	if (o->read_guided && !h->watch_reads)
		return plt_err_set(err, -EINVAL, "a harness that does not "
				   "watch what is read");
	if (o->recover && !o->recover_harness)
		return plt_err_set(err, -EINVAL, "a recovery without a "
				   "harness");
	return 0;
}

static void prepare_locks(struct explore *e)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&e->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&e->work, NULL);
	pthread_cond_init(&e->done, &attr);
	pthread_condattr_destroy(&attr);
}

static int prepare(struct explore *e, struct platter_error *err)
{
	int rc;

	e->task = plt_calloc(e->window, sizeof(*e->task), err);
	if (!e->task)
		return -ENOMEM;
	rc = platter_crash_walk_new(&e->walk, e->crash, &e->o->plan, err);
	if (!rc && e->o->read_guided)
		rc = plt_explore_reads_new(&e->reads, err);
	return rc;
}

static void cleanup(struct explore *e)
{
	for (uint64_t i = e->head; e->task && i < e->tail; i++)
		plt_explore_task_clear(at(e, i));
	free(e->task);
	plt_explore_reads_free(e->reads);
	if (e->walk)
		platter_crash_walk_free(e->walk);
	pthread_cond_destroy(&e->work);
	pthread_cond_destroy(&e->done);
	pthread_mutex_destroy(&e->mutex);
}

int platter_crash_explore(struct platter_crash *crash,
			  const struct platter_crash_explore_options *opts,
			  struct platter_crash_summary *summary,
			  struct platter_error *err)
{
	unsigned int most = plt_crash_harness_slots(opts->harness);
	unsigned int slots = opts->slots ? PLT_MIN(opts->slots, most) : most;
	struct explore e = {
		.crash = crash, .o = opts, .sum = summary,
		.window = WINDOW + slots * WINDOW_SLOT,
		.batch = BATCH_FIRST,
		.began = plt_now_ns(),
	};
	plt_auto_free struct worker *workers = NULL;
	int rc;

	*summary = (struct platter_crash_summary){ .done = 0 };
	rc = check_options(opts, err);
	if (rc)
		return rc;
	prepare_locks(&e);
	workers = plt_calloc(slots, sizeof(*workers), err);
	rc = workers ? prepare(&e, err) : -ENOMEM;
	if (!rc)
		rc = start_workers(workers, &e, slots, err);
	if (!rc)
		rc = loop(&e, err);
	if (workers)
		end_workers(workers, &e, slots);
	if (e.walk)
		platter_crash_walk_census(e.walk, &summary->census);
	summary->time_ns = plt_now_ns() - e.began;
	cleanup(&e);
	return rc;
}
