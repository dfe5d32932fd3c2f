/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ddmin: of the elements that together make something fail, a smallest part
 * that still does (Zeller and Hildebrandt, "Simplifying and Isolating
 * Failure-Inducing Input", IEEE TSE 28(2), 2002).
 */
#ifndef PLT_CRASH_DDMIN_H
#define PLT_CRASH_DDMIN_H

#include <stdbool.h>
#include <stddef.h>

#include <platter/error.h>

/* element[begin] to element[end - 1] are in, or, `without`, all the others. */
struct plt_ddmin_part {
	size_t begin, end;
	bool without;
};

struct plt_ddmin {
	size_t *element;	/* what is left of them, in their order */
	size_t nr;
	/* Which of the parts is the first to fail; *which = nr: none does. */
	int (*first)(struct plt_ddmin *self,
		     const struct plt_ddmin_part *parts, size_t nr,
		     size_t *which, struct platter_error *err);
};

/*
 * All elements together fail, and none of them does not: neither is asked
 * again. The result is 1-minimal: less any one element it does not fail.
 */
int plt_ddmin(struct plt_ddmin *d, struct platter_error *err)
	PLATTER_MUST_CHECK;

static inline bool plt_ddmin_in(const struct plt_ddmin_part *part, size_t i)
{
	return (i >= part->begin && i < part->end) != part->without;
}

#endif
