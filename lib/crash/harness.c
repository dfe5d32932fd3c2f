/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checking one state: present it, run the checkers, take it away.
 *
 * A slot keeps one scratch node for all its states, and with it what the
 * kernel has cached of its file. Going from a state to the next, only what the
 * checkers wrote and where the two states differ has to be forgotten.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <platter/out.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/crash.h"
#include "crash/marks.h"
#include "wlog/recording.h"

#define MEMORY_DEFAULT	(UINT64_C(64) << 20)	/* bytes, of all slots */
#define CHANGED_MAX	4096u	/* ranges; for more, all is forgotten */

struct slot {
	struct platter_image *recording;	/* over `scratch`, or NULL */
	struct platter_image *scratch;
	struct platter_image *lower;	/* the state; below `scratch` */
	struct platter_crash_state *last;	/* NULL: nothing is known */
	struct plt_crash_ranges changed;
	struct plt_crash_span span;	/* whose states are watched, */
	struct plt_crash_ranges watched;	/* and what of them; or none */
	struct plt_crash_marks marks;
};

struct platter_crash_harness {
	struct platter_crash_harness_options o;
	atomic_bool stopped;
	struct slot slot[];
};

int platter_crash_harness_new(struct platter_crash_harness **out,
			      const struct platter_crash_harness_options *opts,
			      struct platter_error *err)
{
	unsigned int slots = opts->slots ? opts->slots : 1;
	struct platter_crash_harness *h;

	for (size_t i = 0; i < opts->nr_checkers; i++)
		if (opts->checkers[i]->needs_path && !opts->presenter)
			return plt_err_set(err, -EINVAL, "%s: needs a file, "
					   "and there is no presenter",
					   opts->checkers[i]->name);
	h = plt_calloc(1, sizeof(*h) + slots * sizeof(*h->slot), err);
	if (!h)
		return -ENOMEM;
	h->o = *opts;
	h->o.slots = slots;
	if (!h->o.memory)
		h->o.memory = MEMORY_DEFAULT;
	*out = h;
	return 0;
}

/* Until the next state the slot refers to none, nor to its log. */
static void release(struct slot *s)
{
	platter_image_close(s->recording, NULL);
	platter_image_close(s->scratch, NULL);
	platter_image_close(s->lower, NULL);
	if (s->last)
		platter_crash_state_unref(s->last);
	s->recording = s->scratch = s->lower = NULL;
	s->last = NULL;
}

void platter_crash_harness_free(struct platter_crash_harness *h)
{
	if (!h)
		return;
	for (unsigned int i = 0; i < h->o.slots; i++) {
		release(&h->slot[i]);
		plt_crash_ranges_free(&h->slot[i].changed);
		plt_crash_ranges_free(&h->slot[i].watched);
		plt_crash_marks_free(&h->slot[i].marks);
	}
	free(h);
}

void platter_crash_harness_stop(struct platter_crash_harness *h)
{
	atomic_store(&h->stopped, true);
	for (size_t i = 0; i < h->o.nr_checkers; i++)
		if (h->o.checkers[i]->stop)
			h->o.checkers[i]->stop(h->o.checkers[i]);
}

unsigned int plt_crash_harness_slots(const struct platter_crash_harness *h)
{
	return h->o.slots;
}

const struct platter_crash_harness_options *
plt_crash_harness_options(const struct platter_crash_harness *h)
{
	return &h->o;
}

static void forget(struct slot *s)
{
	if (s->last)
		platter_crash_state_unref(s->last);
	s->last = NULL;
}

void plt_crash_harness_forget(struct platter_crash_harness *h,
			      unsigned int slot)
{
	release(&h->slot[slot]);
}

int plt_crash_harness_watch(struct platter_crash_harness *h, unsigned int slot,
			    const struct platter_crash *crash,
			    const struct plt_crash_span *span,
			    struct platter_error *err)
{
	struct slot *s = &h->slot[slot];

	if (s->span.from == span->from && s->span.to == span->to &&
	    s->span.early == span->early)
		return 0;
	s->span = *span;
	return plt_crash_span_ranges(crash, span, &s->watched, err);
}

int plt_crash_harness_reads(struct platter_crash_harness *h, unsigned int slot,
			    struct plt_crash_ranges *reads,
			    struct platter_error *err)
{
	const struct slot *s = &h->slot[slot];
	int rc;

	reads->nr = 0;
	if (!s->watched.nr)
		return 0;
	rc = plt_scratch_reads(s->scratch, reads, err);
	return rc ? rc : plt_crash_ranges_clip(reads, &s->watched, err);
}

/* ---- the state, below the slot's scratch ---- */

/* Into s->changed, too: where this state differs from the last. */
static int changes(struct slot *s, const struct platter_crash_state *state,
		   bool *anything, struct platter_error *err)
{
	struct plt_crash_ranges diff = { .range = NULL };
	int rc = 0;

	*anything = !s->last || s->last->crash != state->crash;
	if (!*anything && s->last != state)
		rc = plt_crash_state_diff(s->last, state, CHANGED_MAX, &diff,
					  err);
	*anything |= rc == 1 || s->changed.nr > CHANGED_MAX;
	if (!rc && !*anything)
		rc = plt_crash_ranges_append(&s->changed, &diff, err);
	plt_crash_ranges_free(&diff);
	if (rc == -ENOMEM && err && !err->code)
		return plt_err_nomem(err, s->changed.nr);
	if (rc >= 0)
		plt_crash_ranges_sort(&s->changed);
	return rc < 0 ? rc : 0;
}

/* What checkers wrote before is gone. */
static int put_state(struct platter_crash_harness *h, struct slot *s,
		     const struct platter_crash_state *state, bool *anything,
		     struct platter_error *err)
{
	struct platter_image *lower = NULL;
	int rc;

	s->changed.nr = 0;
	rc = platter_crash_state_image(&lower, state, err);
	if (!rc && s->scratch)
		rc = plt_scratch_reset(s->scratch, lower, &s->changed, err);
	else if (!rc)
		rc = platter_scratch_new(&s->scratch, lower,
					 h->o.memory / h->o.slots, err);
	if (rc) {
		platter_image_close(lower, NULL);
		return rc;
	}
	platter_image_close(s->lower, NULL);
	s->lower = lower;
	/* What is watched must not be answered from what was read before. */
	rc = plt_crash_ranges_append(&s->changed, &s->watched, err);
	if (!rc)
		rc = changes(s, state, anything, err);
	forget(s);
	if (!rc)
		s->last = platter_crash_state_ref(state);
	return rc;
}

/* ---- one run of the checkers ---- */

/* The first that does not pass has the say. */
static int run_checkers(const struct platter_crash_harness *h,
			const struct platter_crash_task *task,
			struct platter_crash_result *result,
			struct platter_error *err)
{
	uint64_t time_ns = 0;
	int rc = 0;

	for (size_t i = 0; !rc && i < h->o.nr_checkers; i++) {
		struct platter_crash_checker *c = h->o.checkers[i];

		platter_crash_result_clear(result);
		rc = c->check(c, task, result, err);
		time_ns += result->time_ns;
		if (result->verdict != PLATTER_CRASH_PASS)
			break;
	}
	result->time_ns = time_ns;
	return rc;
}

int plt_crash_harness_present(struct platter_crash_harness *h,
			      struct platter_crash_task *task,
			      const struct plt_crash_ranges *changed,
			      bool direct, struct platter_crash_result *result,
			      struct platter_error *err)
{
	struct platter_crash_presenter *p = h->o.presenter;
	struct platter_crash_place place = { .path = NULL };
	struct platter_error late = PLATTER_ERROR_INIT;
	int rc = 0, rc2;

	task->timeout_ms = h->o.timeout_ms;
	if (p)
		rc = p->present(p, task->slot, task->name, task->img,
				changed ? changed->range : NULL,
				changed ? changed->nr : SIZE_MAX, direct, &place,
				err);
	if (rc)
		return rc;
	task->path = place.path;
	task->uri = place.uri;
	rc = run_checkers(h, task, result, err);
	if (!p)
		return rc;
	rc2 = p->withdraw(p, task->slot, &late);
	if (rc2 < 0 && rc >= 0)
		return plt_err_set(err, rc2, "%s", late.msg);
	return rc;
}

static int run_once(struct platter_crash_harness *h, unsigned int slot,
		    const struct platter_crash_state *state, const char *name,
		    struct platter_crash_result *result,
		    struct platter_error *err)
{
	struct slot *s = &h->slot[slot];
	struct platter_crash_task task = {
		.state = state,
		.name = name,
		.slot = slot,
	};
	bool anything;
	int rc;

	if (atomic_load(&h->stopped))
		return plt_err_set(err, -ECANCELED, "stopped");
	rc = put_state(h, s, state, &anything, err);
	if (!rc)
		rc = plt_crash_marks_fill(&s->marks, h->o.dir, state, &task,
					  err);
	if (rc)
		return rc;
	task.img = s->scratch;
	plt_scratch_watch(s->scratch, s->watched.nr != 0);
	rc = plt_crash_harness_present(h, &task, anything ? NULL : &s->changed,
				       false, result, err);
	if (rc)
		forget(s);
	return rc;
}

/* ---- under a recording ---- */

static int record_once(struct platter_crash_harness *h, struct slot *s,
		       struct platter_crash_task *task,
		       struct platter_image *log,
		       struct platter_crash_result *result,
		       struct platter_error *err)
{
	struct platter_error late = PLATTER_ERROR_INIT;
	uint64_t entries;
	int rc, rc2;

	rc = plt_recording_begin(s->recording, log,
				 task->state->crash->sector, err);
	if (rc)
		return rc;
	task->img = s->recording;
	/* A write has to be logged when it is made. */
	rc = plt_crash_harness_present(h, task, NULL, true, result, err);
	rc2 = plt_recording_end(s->recording, &entries, &late);
	return rc2 && !rc ? plt_err_set(err, rc2, "%s", late.msg) : rc;
}

int plt_crash_harness_record(struct platter_crash_harness *h,
			     unsigned int slot,
			     const struct platter_crash_state *state,
			     const char *name, struct platter_image *log,
			     struct platter_crash_result *result,
			     struct platter_error *err)
{
	struct platter_crash_task task = {
		.state = state, .name = name, .slot = slot,
	};
	struct slot *s = &h->slot[slot];
	bool anything;
	int rc;

	*result = (struct platter_crash_result){ .status = -1 };
	if (h->o.presenter && !h->o.presenter->sees_reads)
		return plt_err_set(err, -ENOTSUP, "states are %s, where writes "
				   "cannot be recorded; it takes FUSE",
				   h->o.presenter->how);
	if (atomic_load(&h->stopped))
		return plt_err_set(err, -ECANCELED, "stopped");
	rc = put_state(h, s, state, &anything, err);
	if (!rc && !s->recording)
		rc = plt_recording_new(&s->recording, s->scratch, err);
	if (!rc)
		rc = plt_crash_marks_fill(&s->marks, h->o.dir, state, &task,
					  err);
	if (!rc)
		rc = record_once(h, s, &task, log, result, err);
	return rc;
}

/* ---- again, for what fails ---- */

static void call_flaky(struct platter_crash_result *first,
		       const struct platter_crash_result *other,
		       unsigned int runs)
{
	char reason[sizeof(first->reason)];

	snprintf(reason, sizeof(reason), "%.*s, but run %u %s%s%.*s", 100,
		 first->reason, runs,
		 platter_crash_verdict_name(other->verdict),
		 other->reason[0] ? ": " : "", 100, other->reason);
	memcpy(first->reason, reason, sizeof(reason));
	first->verdict = PLATTER_CRASH_FLAKY;
}

static int confirm(struct platter_crash_harness *h, unsigned int slot,
		   const struct platter_crash_state *state, const char *name,
		   struct platter_crash_result *result,
		   struct platter_error *err)
{
	for (unsigned int i = 0; i < h->o.confirm; i++) {
		struct platter_crash_result again = { .status = -1 };
		bool differs;
		int rc = run_once(h, slot, state, name, &again, err);

		result->time_ns += again.time_ns;
		differs = !rc && again.verdict != result->verdict;
		if (differs)
			call_flaky(result, &again, i + 2);
		platter_crash_result_clear(&again);
		if (rc || differs)
			return rc;
	}
	return 0;
}

int platter_crash_harness_check(struct platter_crash_harness *h,
				unsigned int slot,
				const struct platter_crash_state *state,
				const char *name,
				struct platter_crash_result *result,
				struct platter_error *err)
{
	int rc;

	*result = (struct platter_crash_result){ .status = -1 };
	if (slot >= h->o.slots)
		return plt_err_set(err, -EINVAL, "slot %u of %u", slot,
				   h->o.slots);
	if (!name)
		name = platter_crash_state_name(state);
	if (!name)
		return plt_err_nomem(err, 1);
	rc = run_once(h, slot, state, name, result, err);
	if (!rc && result->verdict == PLATTER_CRASH_FAIL)
		rc = confirm(h, slot, state, name, result, err);
	return rc ? plt_err_prefix(err, rc, "state %s", name) : 0;
}
