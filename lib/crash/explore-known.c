/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exploring: results of an earlier run.
 *
 * They are known by their number in the walk, and that number means nothing if
 * the walk has been another one: of another version, of a base or a log whose
 * content has changed. So a result is taken only if the state it names has
 * that place in this walk, with that content. Of the states of a recovery,
 * which is not run again, this can be told of the state it began from alone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/explore.h"

#define MARK_SHOWN	64u	/* bytes of a mark */
#define MARK_TEXT_MAX	(MARK_SHOWN + 40u)
#define HASH_TEXT_MAX	33u

static void show_hash(char text[HASH_TEXT_MAX], const uint8_t hash[16])
{
	for (size_t i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", hash[i]);
}

static void show_mark(char text[MARK_TEXT_MAX],
		      const struct platter_crash_record *r)
{
	if (r->mark_entry == UINT64_MAX)
		strcpy(text, "none");
	else
		snprintf(text, MARK_TEXT_MAX, "%.*s at entry %" PRIu64,
			 (int)MARK_SHOWN, r->mark ? r->mark : "",
			 r->mark_entry);
}

static bool same_mark(const struct platter_crash_record *a,
		      const struct platter_crash_record *b)
{
	if (a->mark_entry != b->mark_entry || !a->mark != !b->mark)
		return false;
	return !a->mark || !strcmp(a->mark, b->mark);
}

static int check_mark(const struct platter_crash_record *then,
		      const struct platter_crash_record *now,
		      struct platter_error *err)
{
	char a[MARK_TEXT_MAX], b[MARK_TEXT_MAX];

	if (same_mark(then, now))
		return 0;
	show_mark(a, then);
	show_mark(b, now);
	return plt_err_set(err, -ESTALE, "the last mark of state %" PRIu64
			   ", %.100s, is %s there and %s now", now->index,
			   then->state, a, b);
}

static int check_state(const struct platter_crash_record *then,
		       const struct platter_crash_record *now,
		       struct platter_error *err)
{
	char a[HASH_TEXT_MAX], b[HASH_TEXT_MAX];

	if (then->depth > 1 || strcmp(then->state, now->state))
		return plt_err_set(err, -ESTALE, "state %" PRIu64 " is %.100s "
				   "there and %.100s now", now->index,
				   then->state, now->state);
	if (!memcmp(then->hash, now->hash, sizeof(now->hash)))
		return check_mark(then, now, err);
	show_hash(a, then->hash);
	show_hash(b, now->hash);
	return plt_err_set(err, -ESTALE, "the content of state %" PRIu64
			   ", %.100s, has the hash %s there and %s now",
			   now->index, now->state, a, b);
}

/* OUTER@INNER, of the state that is OUTER. */
static int check_nested(const struct platter_crash_record *then,
			const struct platter_crash_record *outer,
			struct platter_error *err)
{
	const size_t len = strlen(outer->state);

	if (then->depth == 2 && !strncmp(then->state, outer->state, len) &&
	    then->state[len] == '@')
		return check_mark(then, outer, err);
	return plt_err_set(err, -ESTALE, "%.100s is there as a second crash "
			   "of state %" PRIu64 ", which is %.100s",
			   then->state, outer->index, outer->state);
}

/* The record's strings stay whose they are. */
static int take_nested(const struct platter_crash_explore_options *o,
		       struct plt_explore_task *t, struct platter_error *err)
{
	struct platter_crash_record r;
	int rc = 0;

	while (!rc && o->known(o->arg, t->record.index,
			       (unsigned int)t->nr_nested + 1, &r) == 1) {
		rc = check_nested(&r, &t->record, err);
		if (!rc)
			rc = plt_grow(&t->nested, &t->nested_room,
				      t->nr_nested + 1, sizeof(r), err);
		if (rc)
			break;
		t->nested[t->nr_nested++] = r;
		t->nested_known = t->nr_nested;
	}
	return rc;
}

int plt_explore_known(const struct platter_crash_explore_options *o,
		      struct plt_explore_task *t, struct platter_error *err)
{
	struct platter_crash_record r;
	int rc;

	if (!o->known || o->known(o->arg, t->record.index, 0, &r) != 1)
		return 0;
	rc = check_state(&r, &t->record, err);
	if (rc)
		return rc;
	t->record.result = r.result;
	t->record.same_as = r.same_as;
	t->known = true;
	t->phase = PLT_EXPLORE_DONE;
	if (o->recover)
		rc = take_nested(o, t, err);
	return rc ? rc : 1;
}
