// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Allocation that checks its arithmetic and says what it could not get.
 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define GROW_FIRST 16	/* elements */

int plt_grow(void *array, size_t *room, size_t need, size_t size,
	     struct platter_error *err)
{
	size_t count = *room;
	size_t bytes;
	void *old;
	void *new;

	if (need <= count)
		return 0;
	/* Half again cannot overflow before the byte count does. */
	count += count / 2;
	if (count < GROW_FIRST)
		count = GROW_FIRST;
	if (count < need)
		count = need;
	if (__builtin_mul_overflow(count, size, &bytes))
		return plt_err_set(err, -ENOMEM,
				   "out of memory for %zu times %zu bytes",
				   count, size);
	memcpy(&old, array, sizeof(old));
	new = realloc(old, bytes);
	if (!new)
		return plt_err_nomem(err, bytes);
	memcpy(array, &new, sizeof(new));
	*room = count;
	return 0;
}

void *plt_calloc(size_t count, size_t size, struct platter_error *err)
{
	/* An empty table is a table: NULL would read as a failure. */
	void *p = calloc(count ? count : 1, size ? size : 1);

	if (!p)
		plt_err_set(err, -ENOMEM,
			    "out of memory for %zu times %zu bytes", count,
			    size);
	return p;
}

char *plt_strdup(const char *text, struct platter_error *err)
{
	char *copy = strdup(text);

	if (!copy)
		plt_err_nomem(err, strlen(text) + 1);
	return copy;
}

char *plt_asprintf(struct platter_error *err, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		plt_err_set(err, -ENOMEM, "out of memory for a text");
		return NULL;
	}
	return text;
}

void *plt_memalign(size_t align, size_t size, struct platter_error *err)
{
	void *p = NULL;

	if (align < sizeof(void *))
		align = sizeof(void *);
	if (posix_memalign(&p, align, size ? size : 1)) {
		plt_err_nomem(err, size);
		return NULL;
	}
	return p;
}
