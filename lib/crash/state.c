/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * States: what is dropped, kept or torn of the pending writes at a point.
 *
 * A state is a point, what becomes of the pending writes nobody mentions, and
 * items for those that fare otherwise. Items are kept in order, joined where
 * they touch and share a fate, and none says what would be so anyway.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/crash.h"

/* ---- what is legal ---- */

static uint32_t sectors_of(const struct platter_crash *c, uint64_t entry)
{
	return c->entry[entry].length / c->sector;
}

static int check_early(const struct platter_crash *c, uint64_t point,
		       const struct plt_crash_item *it,
		       struct platter_error *err)
{
	const size_t i = plt_crash_list_from(&c->flushes, point);

	if (it->entry < point)
		return plt_err_set(err, -EINVAL, "entry %" PRIu64
				   " is not behind the point %" PRIu64
				   ": take it out of the list behind ^",
				   it->entry, point);
	if (i < c->flushes.nr && c->flushes.at[i] <= it->entry)
		return plt_err_set(err, -EINVAL, "entry %" PRIu64
				   " cannot be early: the flush of entry %"
				   PRIu64 " lies between it and the point %"
				   PRIu64, it->entry, c->flushes.at[i], point);
	return 0;
}

static int check_pending(const struct platter_crash *c, uint64_t point,
			 const struct plt_crash_item *it,
			 struct platter_error *err)
{
	const struct plt_crash_entry *e = &c->entry[it->entry];

	if (it->entry >= point)
		return plt_err_set(err, -EINVAL, "entry %" PRIu64
				   " lies behind the point %" PRIu64
				   ": put it behind ^, or take a later point",
				   it->entry, point);
	if (e->durable > point)
		return 0;
	if (e->flags & PLATTER_LOG_FUA)
		return plt_err_set(err, -EINVAL, "entry %" PRIu64
				   " is durable: it is FUA; leave it out",
				   it->entry);
	return plt_err_set(err, -EINVAL, "entry %" PRIu64
			   " is durable: the flush of entry %" PRIu64
			   " covers it; leave it out, or take a point before that",
			   it->entry, e->durable - 1);
}

static int check_fate(const struct platter_crash *c,
		      const struct plt_crash_item *it,
		      struct platter_error *err)
{
	const bool discard = plt_crash_is_discard(&c->entry[it->entry]);

	switch (it->fate) {
	case PLATTER_CRASH_SHORN:
	case PLATTER_CRASH_GARBAGE:
		if (discard)
			return plt_err_set(err, -EINVAL, "entry %" PRIu64
					   " is a discard: of the letters only p can stand behind it",
					   it->entry);
		return 0;
	case PLATTER_CRASH_PATTERN:
		if (!discard)
			return plt_err_set(err, -EINVAL, "entry %" PRIu64
					   " is no discard: use g instead of p",
					   it->entry);
		return 0;
	case PLATTER_CRASH_KEPT:
	case PLATTER_CRASH_DROPPED:
	case PLATTER_CRASH_EARLY:
		return 0;
	case PLATTER_CRASH_DURABLE:
		break;
	}
	return plt_err_set(err, -EINVAL, "entry %" PRIu64 " has no such fate",
			   it->entry);
}

static int check_item(const struct platter_crash *c, uint64_t point,
		      const struct plt_crash_item *it,
		      struct platter_error *err)
{
	const struct plt_crash_entry *e;
	uint32_t sectors;
	int rc;

	if (it->entry >= c->nr)
		return plt_err_set(err, -EINVAL, "there is no entry %" PRIu64
				   ": the log has %" PRIu64, it->entry, c->nr);
	e = &c->entry[it->entry];
	if (!plt_crash_writes(e))
		return plt_err_set(err, -EINVAL, "entry %" PRIu64
				   " is %s and writes nothing: leave it out",
				   it->entry, e->flags & PLATTER_LOG_MARK ?
				   "a mark" : "an empty flush");
	sectors = sectors_of(c, it->entry);
	if (!it->count || it->first >= sectors ||
	    it->count > sectors - it->first)
		return plt_err_set(err, -EINVAL, "sectors %" PRIu32 " to %"
				   PRIu64 " of entry %" PRIu64
				   ": it has %" PRIu32 ", counted from 0",
				   it->first, (uint64_t)it->first + it->count,
				   it->entry, sectors);
	rc = it->fate == PLATTER_CRASH_EARLY ? check_early(c, point, it, err) :
	     check_pending(c, point, it, err);
	return rc ? rc : check_fate(c, it, err);
}

/* ---- bringing items into their one form ---- */

static int by_place(const void *a, const void *b)
{
	const struct plt_crash_item *x = a, *y = b;

	if (x->entry != y->entry)
		return x->entry < y->entry ? -1 : 1;
	return (x->first > y->first) - (x->first < y->first);
}

static bool in_order(const struct plt_crash_item *it, size_t nr)
{
	for (size_t i = 1; i < nr; i++)
		if (by_place(&it[i - 1], &it[i]) >= 0)
			return false;
	return true;
}

/* Join neighbours, and leave out what goes without saying. */
static int join(struct platter_crash_state *s, struct platter_error *err)
{
	struct plt_crash_item *it = s->item;
	uint64_t entry = UINT64_MAX, end = 0;	/* of the item before */
	size_t n = 0;

	for (size_t i = 0; i < s->nr; i++) {
		const struct plt_crash_item this = it[i];

		if (this.entry == entry && this.first < end)
			return plt_err_set(err, -EINVAL, "entry %" PRIu64
					   " is listed twice: sector %" PRIu32
					   " of it has one fate", entry,
					   this.first);
		entry = this.entry;
		end = (uint64_t)this.first + this.count;
		if (this.fate == s->rest)
			continue;
		if (n && it[n - 1].entry == entry &&
		    it[n - 1].fate == this.fate &&
		    it[n - 1].first + it[n - 1].count == this.first)
			it[n - 1].count += this.count;
		else
			it[n++] = this;
	}
	s->nr = n;
	return 0;
}

static int fill(struct platter_crash_state *s,
		const struct plt_crash_item *items, size_t nr,
		struct platter_error *err)
{
	int rc;

	if (s->point > s->crash->nr)
		return plt_err_set(err, -EINVAL, "there is no point %" PRIu64
				   ": the log has %" PRIu64 " entries",
				   s->point, s->crash->nr);
	if (s->rest != PLATTER_CRASH_KEPT && s->rest != PLATTER_CRASH_DROPPED)
		return plt_err_set(err, -EINVAL,
				   "the rest is either kept or dropped");
	for (size_t i = 0; i < nr; i++) {
		rc = check_item(s->crash, s->point, &items[i], err);
		if (rc)
			return rc;
	}
	if (!nr)
		return 0;
	s->item = plt_calloc(nr, sizeof(*items), err);
	if (!s->item)
		return -ENOMEM;
	memcpy(s->item, items, nr * sizeof(*items));
	s->nr = nr;
	if (!in_order(s->item, nr))
		qsort(s->item, nr, sizeof(*s->item), by_place);
	return join(s, err);
}

int plt_crash_state_new(struct platter_crash_state **out,
			struct platter_crash *crash, uint64_t point,
			enum platter_crash_discard discard,
			enum platter_crash_fate rest,
			const struct plt_crash_item *items, size_t nr,
			struct platter_error *err)
{
	struct platter_crash_state *s = plt_calloc(1, sizeof(*s), err);
	int rc;

	if (!s)
		return -ENOMEM;
	atomic_init(&s->refs, 1);
	s->crash = crash;
	s->point = point;
	s->discard = discard;
	s->rest = rest;
	rc = fill(s, items, nr, err);
	if (rc) {
		platter_crash_state_unref(s);
		return rc;
	}
	*out = s;
	return 0;
}

struct platter_crash_state *
platter_crash_state_ref(const struct platter_crash_state *state)
{
	struct platter_crash_state *s = (struct platter_crash_state *)state;

	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void platter_crash_state_unref(struct platter_crash_state *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1,
					    memory_order_acq_rel) != 1)
		return;
	free(s->item);
	free(atomic_load(&s->name));
	free(s);
}

uint64_t platter_crash_state_point(const struct platter_crash_state *state)
{
	return state->point;
}

struct platter_crash *
platter_crash_state_crash(const struct platter_crash_state *state)
{
	return state->crash;
}

const char *platter_crash_fate_name(enum platter_crash_fate fate)
{
	switch (fate) {
	case PLATTER_CRASH_DURABLE:
		return "durable";
	case PLATTER_CRASH_KEPT:
		return "kept";
	case PLATTER_CRASH_DROPPED:
		return "dropped";
	case PLATTER_CRASH_SHORN:
		return "shorn";
	case PLATTER_CRASH_GARBAGE:
		return "garbage";
	case PLATTER_CRASH_PATTERN:
		return "pattern";
	case PLATTER_CRASH_EARLY:
		return "early";
	}
	return NULL;
}

/* ---- parts ---- */

struct parts {
	const struct platter_crash_state *s;
	struct platter_crash_part_visitor *visitor;
	size_t at;		/* next item */
	struct platter_error *err;
};

static int show(const struct parts *w, const struct platter_log_entry *e,
		uint32_t first, uint32_t end, enum platter_crash_fate fate)
{
	const struct platter_crash_part part = {
		.entry = *e, .fate = fate, .first = first,
		.count = end - first,
	};

	return end > first ? w->visitor->visit(w->visitor, &part, w->err) : 0;
}

/* What the items say of an entry, and `rest` between them. */
static int show_entry(struct parts *w, const struct platter_log_entry *e,
		      enum platter_crash_fate rest)
{
	const struct platter_crash_state *s = w->s;
	const uint32_t sectors = sectors_of(s->crash, e->number);
	uint32_t at = 0;
	int rc = 0;

	for (; !rc && w->at < s->nr && s->item[w->at].entry == e->number;
	     w->at++) {
		const struct plt_crash_item *it = &s->item[w->at];

		if (rest != PLATTER_CRASH_EARLY)
			rc = show(w, e, at, it->first, rest);
		at = it->first + it->count;
		if (!rc)
			rc = show(w, e, it->first, at, it->fate);
	}
	if (!rc && rest != PLATTER_CRASH_EARLY)
		rc = show(w, e, at, sectors, rest);
	return rc;
}

static int visit_entry(struct parts *w, const struct platter_log_entry *e)
{
	const struct platter_crash_state *s = w->s;
	const struct plt_crash_entry *own = &s->crash->entry[e->number];

	if (e->number >= s->point)
		return show_entry(w, e, PLATTER_CRASH_EARLY);
	if (!plt_crash_writes(own))
		return 0;
	if (plt_crash_is_pending(own, s->point))
		return show_entry(w, e, s->rest);
	return show_entry(w, e, PLATTER_CRASH_DURABLE);
}

int platter_crash_state_parts(const struct platter_crash_state *state,
			      struct platter_crash_part_visitor *visitor,
			      struct platter_error *err)
{
	const struct platter_crash *c = state->crash;
	struct parts w = { .s = state, .visitor = visitor, .err = err };
	uint64_t end = state->point;
	struct platter_log_cursor *cursor;
	struct platter_log_entry e;
	int rc;

	if (state->nr)
		end = PLT_MAX(end, state->item[state->nr - 1].entry + 1);
	rc = platter_log_cursor_new(&cursor, c->log, c->flushed[state->point],
				    err);
	if (rc)
		return rc;
	for (uint64_t i = c->flushed[state->point]; !rc && i < end; i++) {
		rc = platter_log_next(cursor, &e, err);
		if (rc > 0)
			rc = plt_err_set(err, -ESTALE, "%s: entry %" PRIu64
					 " is gone: the log has changed",
					 c->log->name, i);
		if (!rc)
			rc = visit_entry(&w, &e);
	}
	platter_log_cursor_free(cursor);
	return rc;
}
