/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets of ranges of the disk. */
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/crash.h"

int plt_crash_ranges_add(struct plt_crash_ranges *r, uint64_t offset,
			 uint64_t length)
{
	struct platter_crash_range *last = r->nr ? &r->range[r->nr - 1] : NULL;
	int rc;

	if (!length)
		return 0;
	if (last && last->offset + last->length == offset) {
		last->length += length;
		return 0;
	}
	rc = plt_grow(&r->range, &r->room, r->nr + 1, sizeof(*r->range), NULL);
	if (!rc)
		r->range[r->nr++] = (struct platter_crash_range){
			.offset = offset, .length = length };
	return rc;
}

int plt_crash_ranges_append(struct plt_crash_ranges *r,
			    const struct plt_crash_ranges *from,
			    struct platter_error *err)
{
	for (size_t i = 0; i < from->nr; i++)
		if (plt_crash_ranges_add(r, from->range[i].offset,
					 from->range[i].length))
			return plt_err_nomem(err, from->nr *
					     sizeof(*from->range));
	return 0;
}

static int by_offset(const void *a, const void *b)
{
	const struct platter_crash_range *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

void plt_crash_ranges_sort(struct plt_crash_ranges *r)
{
	size_t n = 0;

	if (r->nr < 2)
		return;
	qsort(r->range, r->nr, sizeof(*r->range), by_offset);
	for (size_t i = 1; i < r->nr; i++) {
		struct platter_crash_range *to = &r->range[n];
		const struct platter_crash_range *from = &r->range[i];

		if (from->offset > to->offset + to->length)
			r->range[++n] = *from;
		else
			to->length = PLT_MAX(to->length, from->offset +
					     from->length - to->offset);
	}
	r->nr = n + 1;
}

int plt_crash_ranges_clip(struct plt_crash_ranges *r,
			  const struct plt_crash_ranges *by,
			  struct platter_error *err)
{
	struct plt_crash_ranges both = { .range = NULL };
	size_t i = 0, j = 0;
	int rc = 0;

	while (!rc && i < r->nr && j < by->nr) {
		const struct platter_crash_range *a = &r->range[i];
		const struct platter_crash_range *b = &by->range[j];
		const uint64_t a_end = a->offset + a->length;
		const uint64_t b_end = b->offset + b->length;
		const uint64_t from = PLT_MAX(a->offset, b->offset);
		const uint64_t to = PLT_MIN(a_end, b_end);

		if (from < to)
			rc = plt_crash_ranges_add(&both, from, to - from);
		if (a_end < b_end)
			i++;
		else
			j++;
	}
	if (rc) {
		plt_crash_ranges_free(&both);
		return plt_err_nomem(err, r->nr * sizeof(*r->range));
	}
	plt_crash_ranges_free(r);
	*r = both;
	return 0;
}

void plt_crash_ranges_free(struct plt_crash_ranges *r)
{
	free(r->range);
	*r = (struct plt_crash_ranges){ .nr = 0 };
}
