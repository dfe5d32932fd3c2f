/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A state of which the rest is dropped: what is present is painted over what is
 * durable.
 *
 * FUA writes are the same in all states of a point, so their patches are made
 * once and shared. Where they came later they hide what is listed.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "crash/image.h"

static int paint_odd(struct plt_strokes *s)
{
	const struct platter_crash *c = s->state->crash;
	const uint64_t point = s->state->point;
	const struct plt_crash_list *odd = &c->odd;
	int rc = 0;

	for (size_t i = plt_crash_list_from(odd, c->flushed[point]);
	     !rc && i < odd->nr && odd->at[i] < point; i++) {
		const struct plt_crash_entry *e = &c->entry[odd->at[i]];

		if (e->durable <= point)
			rc = plt_paint_part(s, odd->at[i],
					    PLATTER_CRASH_DURABLE, 0,
					    e->length);
	}
	return rc;
}

static int make_under(const struct platter_crash_state *state,
		      struct plt_wlog_shared **out, struct platter_error *err)
{
	struct plt_strokes s = { .state = state, .err = err };
	struct plt_patches p = { .tagged = true };
	struct plt_wlog_shared *under;
	int rc;

	rc = paint_odd(&s);
	if (!rc)
		rc = plt_paint_layer(&s, &p);
	free(s.at);
	under = rc ? NULL : plt_calloc(1, sizeof(*under), err);
	if (!under) {
		free(p.at);
		free(p.tags);
		return rc ? rc : -ENOMEM;
	}
	atomic_init(&under->refs, 1);
	under->nr = p.nr;
	under->patches = p.at;
	under->tags = p.tags;
	*out = under;
	return 0;
}

int plt_paint_get_under(const struct platter_crash_state *state,
			struct plt_wlog_shared **out,
			struct platter_error *err)
{
	struct platter_crash *c = state->crash;
	const size_t first = plt_crash_list_from(&c->odd,
						 c->flushed[state->point]);
	int rc;

	*out = NULL;
	if (first == c->odd.nr || c->odd.at[first] >= state->point)
		return 0;
	PLT_LOCK_SCOPE(&c->lock);
	if (!c->under || c->under_point != state->point ||
	    c->under_discard != state->discard) {
		rc = make_under(state, out, err);
		if (rc)
			return rc;
		plt_wlog_shared_unref(c->under);
		c->under = *out;
		c->under_point = state->point;
		c->under_discard = state->discard;
	}
	*out = c->under;
	atomic_fetch_add(&c->under->refs, 1);
	return 0;
}

/* The first patch below that ends behind a place. */
static size_t under_from(const struct plt_wlog_shared *under, uint64_t place)
{
	size_t low = 0, high = under->nr, mid;

	while (low < high) {
		const struct plt_wlog_patch *p;

		mid = low + (high - low) / 2;
		p = &under->patches[mid];
		if (p->start + p->length <= place)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* What of a stroke is not hidden by something durable that came later. */
static int paint_visible(struct plt_strokes *s, const struct plt_stroke *whole,
			 const struct plt_wlog_shared *under)
{
	const uint64_t end = whole->start + whole->length;
	uint64_t pos = whole->start;
	int rc = 0;

	for (size_t i = under_from(under, pos); !rc && pos < end; i++) {
		const struct plt_wlog_patch *p =
			i < under->nr ? &under->patches[i] : NULL;
		uint64_t until = end, next = end;

		while (i < under->nr && p->start < end &&
		       under->tags[i] < whole->order)
			p = &under->patches[++i];
		if (i < under->nr && p->start < end) {
			until = PLT_MAX(pos, p->start);
			next = PLT_MIN(end, p->start + p->length);
		}
		if (until > pos)
			rc = plt_paint(s, whole->order, pos, until - pos,
				       whole->kind,
				       whole->log_offset +
				       (pos - whole->start));
		pos = next;
	}
	return rc;
}

int plt_paint_present(struct plt_strokes *s,
		      const struct plt_wlog_shared *under)
{
	struct plt_strokes own = { .state = s->state, .err = s->err };
	int rc = 0;

	if (under && !under->nr)
		under = NULL;
	for (size_t i = 0; !rc && i < s->state->nr; i++)
		rc = plt_paint_item(under ? &own : s, &s->state->item[i]);
	for (size_t i = 0; !rc && i < own.nr; i++)
		rc = paint_visible(s, &own.at[i], under);
	free(own.at);
	return rc;
}
