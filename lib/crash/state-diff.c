/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where states may differ, by the entries of the log they are made of: two of
 * them, or all in a span of points.
 */
#include "base/error.h"
#include "base/mem.h"
#include "crash/crash.h"

struct difference {
	struct plt_crash_ranges *out;
	size_t most;
};

/* 1 when there are too many. */
static int add(struct difference *d, uint64_t offset, uint64_t length)
{
	if (plt_crash_ranges_add(d->out, offset, length))
		return -ENOMEM;
	if (d->out->nr <= 2 * d->most)
		return 0;
	plt_crash_ranges_sort(d->out);
	return d->out->nr > d->most;
}

static int add_entry(struct difference *d, const struct platter_crash *c,
		     uint64_t entry)
{
	return add(d, c->entry[entry].start, c->entry[entry].length);
}

static int add_list(struct difference *d, const struct platter_crash *c,
		    const struct plt_crash_list *list, uint64_t from,
		    uint64_t to)
{
	int rc = 0;

	for (size_t i = plt_crash_list_from(list, from);
	     !rc && i < list->nr && list->at[i] < to; i++)
		rc = add_entry(d, c, list->at[i]);
	return rc;
}

/* Where a state may differ from the prefix it is made from. */
static int add_state(struct difference *d,
		     const struct platter_crash_state *s)
{
	const struct platter_crash *c = s->crash;
	const uint64_t from = c->flushed[s->point];
	int rc = 0;

	for (size_t i = 0; !rc && i < s->nr; i++) {
		const struct plt_crash_item *it = &s->item[i];

		rc = add(d, c->entry[it->entry].start +
			 (uint64_t)it->first * c->sector,
			 (uint64_t)it->count * c->sector);
	}
	if (!rc && s->rest == PLATTER_CRASH_DROPPED)
		rc = add_list(d, c, &c->odd, from, s->point);
	if (!rc && s->discard != PLATTER_CRASH_DISCARD_ZERO)
		rc = add_list(d, c, &c->discards, from, s->point);
	return rc;
}

static uint64_t prefix_of(const struct platter_crash_state *s)
{
	return s->rest == PLATTER_CRASH_KEPT ? s->point :
	       s->crash->flushed[s->point];
}

int plt_crash_state_diff(const struct platter_crash_state *a,
			 const struct platter_crash_state *b, size_t most,
			 struct plt_crash_ranges *out,
			 struct platter_error *err)
{
	const struct platter_crash *c = a->crash;
	const uint64_t x = prefix_of(a), y = prefix_of(b);
	struct difference d = { .out = out, .most = most };
	int rc;

	out->nr = 0;
	if (a->discard != b->discard && c->discards.nr)
		return 1;
	rc = add_state(&d, a);
	if (!rc)
		rc = add_state(&d, b);
	for (uint64_t i = PLT_MIN(x, y); !rc && i < PLT_MAX(x, y); i++)
		rc = add_entry(&d, c, i);
	if (rc < 0)
		return plt_err_set(err, rc, "no memory for %zu ranges",
				   out->nr + 1);
	plt_crash_ranges_sort(out);
	return rc || out->nr > most;
}

/* ---- in a span ---- */

/* Behind the last entry that states of the span may have. */
static uint64_t end_of(const struct platter_crash *c,
		       const struct plt_crash_span *span)
{
	const uint64_t last = span->to - 1;
	size_t flush;

	if (!span->early)
		return last;
	flush = plt_crash_list_from(&c->flushes, last);
	return flush < c->flushes.nr ? c->flushes.at[flush] : c->nr;
}

int plt_crash_span_ranges(const struct platter_crash *c,
			  const struct plt_crash_span *span,
			  struct plt_crash_ranges *out,
			  struct platter_error *err)
{
	const uint64_t end = span->to > span->from ? end_of(c, span) : 0;

	out->nr = 0;
	for (uint64_t i = c->flushed[span->from]; i < end; i++)
		if (plt_crash_ranges_add(out, c->entry[i].start,
					 c->entry[i].length))
			return plt_err_nomem(err, out->nr * sizeof(*out->range));
	plt_crash_ranges_sort(out);
	return 0;
}
