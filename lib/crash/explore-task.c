/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exploring one state: check it and, where two crashes are asked for, let it
 * recover under a recording and check the crash states of what that wrote.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/explore.h"

struct nesting {
	const struct platter_crash_explore_options *opts;
	struct plt_explore_task *task;
	unsigned int slot;
};

static bool skips(const struct platter_crash_result *r)
{
	return r->verdict == PLATTER_CRASH_SKIP;
}

/* The record takes the name. */
static int add_record(struct plt_explore_task *t,
		      const struct platter_crash_record *record,
		      struct platter_error *err)
{
	int rc = plt_grow(&t->nested, &t->nested_room, t->nr_nested + 1,
			  sizeof(*t->nested), err);

	if (!rc)
		t->nested[t->nr_nested++] = *record;
	return rc;
}

static int check_nested(struct nesting *n,
			const struct platter_crash_found *found,
			struct platter_error *err)
{
	struct plt_explore_task *t = n->task;
	const char *inner = platter_crash_state_name(found->state);
	struct platter_crash_record r = {
		.index = t->record.index,
		.point = platter_crash_state_point(found->state),
		.strategy = found->strategy,
		.mark = t->record.mark,
		.mark_entry = t->record.mark_entry,
		.depth = 2,
	};
	char *name;
	int rc;

	name = inner ? plt_asprintf(err, "%s@%s", t->record.state, inner) :
		       NULL;
	if (!name)
		return -ENOMEM;
	memcpy(r.hash, found->hash, sizeof(r.hash));
	r.state = name;
	rc = platter_crash_harness_check(n->opts->harness, n->slot,
					 found->state, name, &r.result, err);
	if (!rc)
		rc = add_record(t, &r, err);
	if (rc) {
		platter_crash_result_clear(&r.result);
		free(name);
	}
	return rc;
}

/* All crash points of the recovery, by the same plan. */
static int walk_nested(struct nesting *n, struct platter_crash *nested,
		       struct platter_error *err)
{
	struct platter_crash_plan plan = n->opts->plan;
	struct platter_crash_walk *walk;
	struct platter_crash_found found;
	int rc;

	plan.from = 0;
	plan.to = platter_crash_entries(nested);
	plan.regions = NULL;
	plan.shard = plan.shards = 0;
	rc = platter_crash_walk_new(&walk, nested, &plan, err);
	if (rc)
		return rc;
	while (!(rc = platter_crash_walk_next(walk, &found, err))) {
		rc = check_nested(n, &found, err);
		if (rc)
			break;
	}
	platter_crash_walk_free(walk);
	return rc < 0 ? rc : 0;
}

static int second_crash(struct nesting *n, struct platter_error *err)
{
	struct plt_explore_task *t = n->task;
	struct platter_crash_result result = { .status = -1 };
	struct platter_crash *nested = NULL;
	int rc;

	plt_crash_harness_forget(n->opts->harness, n->slot);
	rc = plt_crash_recover(n->opts->recover_harness, n->slot, t->state,
			       t->record.state, &nested, &result, err);
	platter_crash_result_clear(&result);
	if (rc || !nested)
		return rc;
	nested->outer = t->state;
	rc = walk_nested(n, nested, err);
	plt_crash_harness_forget(n->opts->harness, n->slot);
	plt_crash_recover_close(nested);
	return rc;
}

/* Nothing but the state itself is watched. */
static int check(const struct platter_crash_explore_options *opts,
		 struct plt_explore_task *t, unsigned int slot)
{
	const struct plt_crash_span none = { 0, 0, false };
	struct platter_crash *crash = t->state->crash;
	int rc;

	rc = plt_crash_harness_watch(opts->harness, slot, crash, &t->span,
				     &t->err);
	if (!rc)
		rc = platter_crash_harness_check(opts->harness, slot, t->state,
						 NULL, &t->record.result,
						 &t->err);
	if (!rc)
		rc = plt_crash_harness_reads(opts->harness, slot, &t->reads,
					     &t->err);
	if (!rc && opts->recover)
		rc = plt_crash_harness_watch(opts->harness, slot, crash, &none,
					     &t->err);
	return rc;
}

void plt_explore_run(const struct platter_crash_explore_options *opts,
		     struct plt_explore_task *t, unsigned int slot)
{
	struct nesting n = { .opts = opts, .task = t, .slot = slot };

	t->rc = check(opts, t, slot);
	/* What the checker will not look at, it will not look at recovered. */
	if (!t->rc && opts->recover && !skips(&t->record.result))
		t->rc = second_crash(&n, &t->err);
}

void plt_explore_task_undo(struct plt_explore_task *t)
{
	if (!t->known)
		platter_crash_result_clear(&t->record.result);
	t->record.result = (struct platter_crash_result){ .status = -1 };
	for (size_t i = t->nested_known; i < t->nr_nested; i++) {
		platter_crash_result_clear(&t->nested[i].result);
		free((char *)(uintptr_t)t->nested[i].state);
	}
	free(t->nested);
	t->nested = NULL;
	t->nr_nested = t->nested_room = t->nested_known = 0;
	t->reads.nr = 0;
	t->rc = 0;
}

void plt_explore_task_clear(struct plt_explore_task *t)
{
	plt_explore_task_undo(t);
	free(t->mark);
	free(t->same_as);
	plt_crash_ranges_free(&t->reads);
	if (t->state)
		platter_crash_state_unref(t->state);
	*t = (struct plt_explore_task){ .rc = 0 };
}
