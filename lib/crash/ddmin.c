/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ddmin.
 *
 * The elements are cut into n parts. If one of the parts fails, or all but one
 * of them do, that is what is left, and it begins again; otherwise the parts
 * become smaller. When each part is a single element and taking away any one
 * was of no use, the result is 1-minimal.
 *
 * The candidates of a round are independent of each other. They are handed over
 * together, so that whoever tries them can do so in parallel; the first that
 * fails is taken, which makes the result the same however many run at once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "crash/ddmin.h"

static void take(struct plt_ddmin *d, const struct plt_ddmin_part *part)
{
	size_t n = 0;

	for (size_t i = 0; i < d->nr; i++)
		if (plt_ddmin_in(part, i))
			d->element[n++] = d->element[i];
	d->nr = n;
}

/* n parts, then all but each: with two parts, these are the same. */
static size_t cut(const struct plt_ddmin *d, size_t n,
		  struct plt_ddmin_part *parts)
{
	for (size_t i = 0; i < n; i++) {
		parts[i].begin = d->nr * i / n;
		parts[i].end = d->nr * (i + 1) / n;
		parts[i].without = false;
	}
	if (n == 2)
		return 2;
	for (size_t i = 0; i < n; i++) {
		parts[n + i] = parts[i];
		parts[n + i].without = true;
	}
	return 2 * n;
}

int plt_ddmin(struct plt_ddmin *d, struct platter_error *err)
{
	struct plt_ddmin_part *parts plt_auto_free =
		plt_calloc(2 * d->nr + 2, sizeof(*parts), err);
	size_t n = 2, count, which;
	int rc;

	if (!parts)
		return -ENOMEM;
	while (d->nr > 1) {
		n = PLT_MIN(n, d->nr);
		count = cut(d, n, parts);
		which = count;
		rc = d->first(d, parts, count, &which, err);
		if (rc)
			return rc;
		if (which < count) {
			n = which < n ? 2 : PLT_MAX(n - 1, (size_t)2);
			take(d, &parts[which]);
		} else if (n == d->nr) {
			break;
		} else {
			n *= 2;
		}
	}
	return 0;
}
