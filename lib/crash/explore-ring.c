/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * States between walk and result, and the threads that check them.
 *
 * They leave in the order in which they came, whichever is checked first, and
 * there is room for so many only: memory is bounded whatever the checkers'
 * speed.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "crash/explore.h"

#define WAIT_NS		100000000L

struct worker {
	struct plt_explore_ring *ring;
	unsigned int slot;
	pthread_t thread;
	bool started;
};

struct plt_explore_ring {
	const struct platter_crash_explore_options *opts;
	uint64_t deadline_ns;
	uint64_t room;
	struct plt_explore_task *task;
	pthread_mutex_t mutex;	/* guards phases and all below */
	pthread_cond_t work, done;
	uint64_t head, tail;	/* changed by the calling thread alone */
	bool likely, waiting;	/* worth being tried */
	bool quit;		/* no more are taken */
	bool late;		/* ... for want of time */
	unsigned int slots;
	struct worker worker[];
};

static struct plt_explore_task *at(struct plt_explore_ring *r, uint64_t i)
{
	return &r->task[i % r->room];
}

/* ---- a thread for each slot ---- */

/* States wait in the ring, so it is here that it may be too late for one. */
static bool is_late(const struct plt_explore_ring *r)
{
	return r->deadline_ns && plt_now_ns() >= r->deadline_ns;
}

/* The first from `from` on. */
static struct plt_explore_task *find(struct plt_explore_ring *r, uint64_t from,
				     enum plt_explore_phase phase)
{
	for (uint64_t i = from; i < r->tail; i++)
		if (at(r, i)->phase == phase)
			return at(r, i);
	return NULL;
}

/* The last, as it is the least like those that are run now. */
static struct plt_explore_task *find_waiting(struct plt_explore_ring *r)
{
	for (uint64_t i = r->tail; i-- > r->head + 1;)
		if (at(r, i)->phase == PLT_EXPLORE_WAITING)
			return at(r, i);
	return NULL;
}

/*
 * What is to be run goes first. Others are tried while the head runs; when it
 * does not, the calling thread is about to say what is next.
 */
static struct plt_explore_task *choose(struct plt_explore_ring *r)
{
	struct plt_explore_task *t = find(r, r->head, PLT_EXPLORE_READY);

	if (t || r->head == r->tail ||
	    (at(r, r->head)->phase != PLT_EXPLORE_TAKEN &&
	     at(r, r->head)->phase != PLT_EXPLORE_TRYING))
		return t;
	if (r->likely)
		t = find(r, r->head + 1, PLT_EXPLORE_LIKELY);
	if (!t && r->waiting)
		t = find_waiting(r);
	return t;
}

static struct plt_explore_task *take(struct plt_explore_ring *r)
{
	struct plt_explore_task *t;

	PLT_LOCK_SCOPE(&r->mutex);
	for (;;) {
		if (r->quit)
			return NULL;
		t = choose(r);
		if (t && is_late(r)) {
			r->late = r->quit = true;
			pthread_cond_signal(&r->done);
			return NULL;
		}
		if (t) {
			/* Another one may now try the next. */
			pthread_cond_signal(&r->work);
			t->phase = t->phase == PLT_EXPLORE_READY ?
				   PLT_EXPLORE_TAKEN : PLT_EXPLORE_TRYING;
			return t;
		}
		pthread_cond_wait(&r->work, &r->mutex);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct plt_explore_ring *r = w->ring;
	struct plt_explore_task *t;

	while ((t = take(r))) {
		plt_explore_run(r->opts, t, w->slot);
		pthread_mutex_lock(&r->mutex);
		t->phase = t->phase == PLT_EXPLORE_TAKEN ? PLT_EXPLORE_DONE :
			   PLT_EXPLORE_TRIED;
		if (t == at(r, r->head))
			pthread_cond_signal(&r->done);
		pthread_mutex_unlock(&r->mutex);
	}
	return NULL;
}

/* Signals are the calling thread's. */
static int start_workers(struct plt_explore_ring *r, struct platter_error *err)
{
	sigset_t all, old;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned int i = 0; !rc && i < r->slots; i++) {
		struct worker *w = &r->worker[i];

		*w = (struct worker){ .ring = r, .slot = i };
		rc = -pthread_create(&w->thread, NULL, work, w);
		w->started = !rc;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc ? plt_err_errno(err, rc, "threads for checkers") : 0;
}

static void end_workers(struct plt_explore_ring *r)
{
	pthread_mutex_lock(&r->mutex);
	r->quit = true;
	pthread_cond_broadcast(&r->work);
	pthread_mutex_unlock(&r->mutex);
	for (unsigned int i = 0; i < r->slots; i++)
		if (r->worker[i].started)
			pthread_join(r->worker[i].thread, NULL);
}

/* ---- the calling thread ---- */

uint64_t plt_explore_ring_count(const struct plt_explore_ring *r)
{
	return r->tail - r->head;
}

struct plt_explore_task *plt_explore_ring_free_place(struct plt_explore_ring *r)
{
	return at(r, r->tail);
}

void plt_explore_ring_put(struct plt_explore_ring *r)
{
	PLT_LOCK_SCOPE(&r->mutex);
	r->tail++;
	pthread_cond_signal(&r->work);
}

struct plt_explore_task *plt_explore_ring_head(struct plt_explore_ring *r)
{
	return at(r, r->head);
}

enum plt_explore_phase plt_explore_ring_phase(struct plt_explore_ring *r)
{
	PLT_LOCK_SCOPE(&r->mutex);
	return at(r, r->head)->phase;
}

void plt_explore_ring_set_phase(struct plt_explore_ring *r,
				enum plt_explore_phase phase)
{
	PLT_LOCK_SCOPE(&r->mutex);
	at(r, r->head)->phase = phase;
	if (phase == PLT_EXPLORE_READY)
		pthread_cond_signal(&r->work);
}

void plt_explore_ring_set_worth(struct plt_explore_ring *r, bool likely,
				bool waiting)
{
	PLT_LOCK_SCOPE(&r->mutex);
	r->likely = likely;
	r->waiting = waiting;
}

/* Has a thread to do with it, or will have? */
static bool is_under_way(struct plt_explore_ring *r)
{
	const enum plt_explore_phase phase = at(r, r->head)->phase;

	return phase == PLT_EXPLORE_TAKEN || phase == PLT_EXPLORE_TRYING ||
	       (phase == PLT_EXPLORE_READY && !r->late);
}

void plt_explore_ring_wait(struct plt_explore_ring *r, bool *late)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += WAIT_NS;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	PLT_LOCK_SCOPE(&r->mutex);
	while (is_under_way(r))
		if (pthread_cond_timedwait(&r->done, &r->mutex, &until))
			break;
	*late = r->late && at(r, r->head)->phase == PLT_EXPLORE_READY;
}

void plt_explore_ring_next(struct plt_explore_ring *r)
{
	struct plt_explore_task *t = at(r, r->head);

	pthread_mutex_lock(&r->mutex);
	r->head++;
	pthread_cond_signal(&r->work);
	pthread_mutex_unlock(&r->mutex);
	plt_explore_task_clear(t);
}

/* ---- start and end ---- */

static void prepare_locks(struct plt_explore_ring *r)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&r->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->work, NULL);
	pthread_cond_init(&r->done, &attr);
	pthread_condattr_destroy(&attr);
}

int plt_explore_ring_new(struct plt_explore_ring **out,
			 const struct platter_crash_explore_options *opts,
			 unsigned int slots, uint64_t room,
			 uint64_t deadline_ns, struct platter_error *err)
{
	struct plt_explore_ring *r;
	int rc;

	r = plt_calloc(1, sizeof(*r) + slots * sizeof(r->worker[0]), err);
	if (!r)
		return -ENOMEM;
	r->opts = opts;
	r->deadline_ns = deadline_ns;
	r->room = room;
	r->slots = slots;
	r->likely = r->waiting = true;
	prepare_locks(r);
	r->task = plt_calloc(room, sizeof(*r->task), err);
	rc = r->task ? start_workers(r, err) : -ENOMEM;
	if (rc)
		plt_explore_ring_free(r);
	else
		*out = r;
	return rc;
}

void plt_explore_ring_free(struct plt_explore_ring *r)
{
	if (!r)
		return;
	end_workers(r);
	while (r->head < r->tail)
		plt_explore_ring_next(r);
	free(r->task);
	pthread_cond_destroy(&r->work);
	pthread_cond_destroy(&r->done);
	pthread_mutex_destroy(&r->mutex);
	free(r);
}
