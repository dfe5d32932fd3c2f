/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exploring the crash states of a log.
 *
 * The calling thread walks and gives out results, others check. The order is
 * the walk's: whatever decides about a later state (a limit, a failure, a read
 * set) is looked at when results leave the ring, never when they come, and is
 * the same for any number of slots.
 */
#include <string.h>

#include <platter/out.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "crash/explore.h"

#define WINDOW		64u	/* states between walk and result, and */
#define WINDOW_SLOT	4u	/* so many for each slot */
#define BATCH		32u	/* states pulled at once, with read sets: */
#define BATCH_FIRST	2u	/* the first of a span, each next one twice */
#define RECHECK		64u
#define ODDS		64u	/* tasks that odds are made of, more or less */
#define TICK_NS		50000000L

/* Of tasks that were to wait: had to be run after all, or not. */
struct odds {
	unsigned int run, not_run;
};

struct explore {
	struct platter_crash *crash;
	const struct platter_crash_explore_options *o;
	struct platter_crash_summary *sum;
	struct platter_crash_walk *walk;
	struct plt_explore_reads *reads;
	struct plt_explore_ring *ring;
	uint64_t window;	/* room in the ring */
	uint64_t last_batch;	/* states in it */
	struct plt_explore_task held;	/* pulled, and for the next batch */
	uint64_t pulled;	/* states */
	uint64_t failing;
	uint64_t skipped;	/* by what they read */
	unsigned int batch;
	struct odds likely, waiting;
	bool no_more;		/* nothing is pulled any more */
	bool over;		/* nothing is given out any more */
};

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

/*
 * It need not be run; one in so many is all the same. `own` (or NULL) is what
 * it has said when it was.
 */
static enum plt_explore_phase skip(struct explore *e,
				   struct plt_explore_task *t,
				   const struct platter_crash_result *own)
{
	static const struct platter_crash_result none = { .status = -1 };
	uint64_t every = e->o->recheck ? e->o->recheck : RECHECK;

	if (++e->skipped % every)
		return PLT_EXPLORE_DONE;
	t->recheck = true;
	t->expected = t->record.result.verdict;
	t->record.same_as = NULL;
	t->record.result = own ? *own : none;
	return own ? PLT_EXPLORE_DONE : PLT_EXPLORE_READY;
}

/* Does it have to be run? */
static int decide(struct explore *e, struct plt_explore_task *t,
		  struct platter_error *err)
{
	int rc = plt_explore_known(e->o, t, err);

	if (rc)
		return rc < 0 ? rc : 0;
	if (!e->reads)
		return 0;
	t->span = *plt_explore_reads_span(e->reads, t->record.point);
	rc = plt_explore_reads_find(e->reads, e->walk, t, err);
	if (rc == 1)
		t->phase = skip(e, t, NULL);
	else if (rc == 2)
		t->phase = PLT_EXPLORE_WAITING;
	else
		t->phase = PLT_EXPLORE_LIKELY;
	t->likely = t->phase == PLT_EXPLORE_LIKELY;
	return rc < 0 ? rc : 0;
}

static void no_more(struct explore *e, enum platter_crash_end end)
{
	e->no_more = true;
	e->sum->end = end;
}

/* The next state of the walk, unless a limit is reached; 1 = it is. */
static int pull_new(struct explore *e, struct plt_explore_task *t,
		    struct platter_error *err)
{
	struct platter_crash_found found;
	int rc;

	rc = platter_crash_walk_next(e->walk, &found, err);
	if (rc == 1)
		no_more(e, PLATTER_CRASH_END_ALL);
	else if (!rc && e->o->max_states && e->pulled == e->o->max_states)
		no_more(e, PLATTER_CRASH_END_STATES);
	if (rc || e->no_more)
		return rc < 0 ? rc : 1;
	e->pulled++;
	return fill(e, t, &found, err);
}

static int pull(struct explore *e, struct platter_error *err)
{
	struct plt_explore_task *t = plt_explore_ring_free_place(e->ring);
	int rc = 0;

	*t = e->held;
	e->held = (struct plt_explore_task){ .state = NULL };
	if (!t->state)
		rc = pull_new(e, t, err);
	/* A span begins when all of the last one is learned. */
	if (!rc && e->reads &&
	    !plt_explore_reads_span(e->reads, t->record.point)) {
		if (plt_explore_ring_count(e->ring)) {
			e->held = *t;
			*t = (struct plt_explore_task){ .state = NULL };
			return 1;
		}
		e->batch = BATCH_FIRST;
		rc = plt_explore_reads_enter(e->reads, e->walk, t->state, err);
	}
	if (!rc)
		rc = decide(e, t, err);
	if (rc)
		plt_explore_task_clear(t);
	else
		plt_explore_ring_put(e->ring);
	return rc;
}

/* `before` tasks were in the ring; a span may have begun with a small batch. */
static bool is_full(const struct explore *e, uint64_t before)
{
	const uint64_t count = plt_explore_ring_count(e->ring);

	return count == e->window || (e->reads && count == before + e->batch);
}

/*
 * What is known of read sets when a state is pulled must be the same in each
 * run: a batch is pulled as a whole, when all before the last one are out.
 */
static int pull_some(struct explore *e, struct platter_error *err)
{
	const uint64_t before = plt_explore_ring_count(e->ring);
	int rc = 0;

	if (e->reads && before > e->last_batch)
		return 0;
	if (e->reads)
		plt_explore_reads_begin(e->reads);
	while (!rc && !e->no_more && !is_full(e, before))
		rc = pull(e, err);
	e->last_batch = plt_explore_ring_count(e->ring) - before;
	e->batch = PLT_MIN(e->batch * 2, BATCH);
	return rc < 0 ? rc : 0;
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

/* What is tried in vain takes time from what is not. */
static bool is_worth(const struct odds *odds)
{
	return odds->run * 2 >= odds->not_run;
}

static void learn_odds(struct explore *e, const struct plt_explore_task *t,
		       bool run)
{
	struct odds *odds = t->likely ? &e->likely : &e->waiting;

	odds->run += run;
	odds->not_run += !run;
	if (odds->run + odds->not_run >= ODDS) {
		odds->run /= 2;
		odds->not_run /= 2;
	}
	plt_explore_ring_set_worth(e->ring, is_worth(&e->likely),
				   is_worth(&e->waiting));
}

/* The first has waited: all that were before it are learned. */
static int end_wait(struct explore *e, enum plt_explore_phase phase,
		    struct platter_error *err)
{
	struct plt_explore_task *t = plt_explore_ring_head(e->ring);
	const bool tried = phase == PLT_EXPLORE_TRIED;
	struct platter_crash_result own = t->record.result;
	int rc;

	rc = plt_explore_reads_find_again(e->reads, e->walk, t, err);
	if (rc < 0)
		return rc;
	learn_odds(e, t, !rc);
	phase = tried ? PLT_EXPLORE_DONE : PLT_EXPLORE_READY;
	if (rc == 1)
		phase = skip(e, t, tried ? &own : NULL);
	if (tried && t->record.same_as) {
		struct platter_crash_result taken = t->record.result;

		t->record.result = own;
		plt_explore_task_undo(t);
		t->record.result = taken;
	}
	plt_explore_ring_set_phase(e->ring, phase);
	return 0;
}

static int give_head(struct explore *e, struct platter_error *err)
{
	int rc = give_task(e, plt_explore_ring_head(e->ring), err);

	plt_explore_ring_next(e->ring);
	return rc;
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
	while (!rc && !e->over && plt_explore_ring_count(e->ring) &&
	       plt_explore_ring_phase(e->ring) == PLT_EXPLORE_DONE)
		rc = give_head(e, err);
	if (!e->over)
		no_more(e, PLATTER_CRASH_END_STOPPED);
	e->over = true;
	platter_crash_harness_stop(e->o->harness);
	if (e->o->recover_harness)
		platter_crash_harness_stop(e->o->recover_harness);
	return rc;
}

/* One result, or a short wait for it. */
static int step(struct explore *e, struct platter_error *err)
{
	enum plt_explore_phase phase;
	bool late;

	plt_explore_ring_wait(e->ring, &late);
	if (late) {
		no_more(e, PLATTER_CRASH_END_TIME);
		e->over = true;
		return 0;
	}
	phase = plt_explore_ring_phase(e->ring);
	if (phase == PLT_EXPLORE_DONE)
		return give_head(e, err);
	if (phase == PLT_EXPLORE_LIKELY || phase == PLT_EXPLORE_WAITING ||
	    phase == PLT_EXPLORE_TRIED)
		return end_wait(e, phase, err);
	return 0;
}

static int loop(struct explore *e, struct platter_error *err)
{
	uint64_t ticked = 0;
	int rc = 0;

	while (!rc && !e->over) {
		rc = pull_some(e, err);
		if (rc || !plt_explore_ring_count(e->ring))
			break;
		rc = step(e, err);
		if (plt_now_ns() - ticked >= TICK_NS) {
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
	if (o->recover && !o->recover_harness)
		return plt_err_set(err, -EINVAL, "a recovery without a "
				   "harness");
	return 0;
}

static int prepare(struct explore *e, unsigned int slots, uint64_t began,
		   struct platter_error *err)
{
	const uint64_t time = e->o->max_time_ns;
	int rc;

	e->window = WINDOW + slots * WINDOW_SLOT;
	rc = platter_crash_walk_new(&e->walk, e->crash, &e->o->plan, err);
	if (!rc && e->o->read_guided)
		rc = plt_explore_reads_new(&e->reads, e->o->plan.early_writes,
					   err);
	return rc ? rc : plt_explore_ring_new(&e->ring, e->o, slots, e->window,
					      time ? began + time : 0, err);
}

static void cleanup(struct explore *e)
{
	plt_explore_ring_free(e->ring);
	plt_explore_task_clear(&e->held);
	plt_explore_reads_free(e->reads);
	if (e->walk)
		platter_crash_walk_free(e->walk);
}

int platter_crash_explore(struct platter_crash *crash,
			  const struct platter_crash_explore_options *opts,
			  struct platter_crash_summary *summary,
			  struct platter_error *err)
{
	unsigned int most = plt_crash_harness_slots(opts->harness);
	const uint64_t began = plt_now_ns();
	struct explore e = {
		.crash = crash, .o = opts, .sum = summary,
		.batch = BATCH_FIRST,
	};
	int rc;

	*summary = (struct platter_crash_summary){ .done = 0 };
	rc = check_options(opts, err);
	if (!rc)
		rc = prepare(&e, opts->slots ? PLT_MIN(opts->slots, most) :
					       most, began, err);
	if (!rc)
		rc = loop(&e, err);
	if (e.walk)
		platter_crash_walk_census(e.walk, &summary->census);
	cleanup(&e);
	summary->time_ns = plt_now_ns() - began;
	return rc;
}
