/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The strings of a report.
 *
 * A million results have few marks, strategies, reasons and outputs, so those
 * are kept once and known by number. Names of states differ all; they are
 * copied into the same blocks. Nothing is freed before all is.
 */
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/report.h"

#define BLOCK	(UINT32_C(1) << 16)	/* bytes of strings in one */

struct block {
	struct block *next;
	size_t used;
	char text[];
};

const char *plt_crash_strings_copy(struct plt_crash_strings *s,
				   const char *text, size_t len,
				   struct platter_error *err)
{
	struct block *b = s->blocks;
	char *to;

	if (!b || len >= s->left) {
		const size_t size = PLT_MAX(len + 1, (size_t)BLOCK);

		b = plt_calloc(1, sizeof(*b) + size, err);
		if (!b)
			return NULL;
		b->next = s->blocks;
		s->blocks = b;
		s->left = size;
	}
	to = b->text + b->used;
	memcpy(to, text, len);
	to[len] = '\0';
	b->used += len + 1;
	s->left -= len + 1;
	return to;
}

/* Where it is, or the free slot where it belongs. */
static uint32_t *find(const struct plt_crash_strings *s, const char *text,
		      size_t len)
{
	/* Reports come from anybody: seeded, so that none can be made slow. */
	uint64_t at = XXH3_64bits_withSeed(text, len, (uintptr_t)s);

	for (;; at++) {
		uint32_t *slot = &s->slot[at & (s->slots - 1)];
		const struct plt_crash_string *found = &s->string[*slot];

		if (!*slot || (found->len == len &&
			       !memcmp(found->text, text, len)))
			return slot;
	}
}

static int grow_table(struct plt_crash_strings *s, struct platter_error *err)
{
	const size_t slots = s->slots ? s->slots * 2 : 64;
	uint32_t *slot = plt_calloc(slots, sizeof(*slot), err);

	if (!slot)
		return -ENOMEM;
	free(s->slot);
	s->slot = slot;
	s->slots = slots;
	for (size_t i = 1; i < s->nr; i++)
		*find(s, s->string[i].text, s->string[i].len) = (uint32_t)i;
	return 0;
}

int plt_crash_strings_share(struct plt_crash_strings *s, const char *text,
			    size_t len, uint32_t *id,
			    struct platter_error *err)
{
	uint32_t *slot;
	int rc;

	*id = 0;
	if (s->nr >= UINT32_MAX)
		return plt_err_set(err, -EOVERFLOW, "more than %u strings",
				   UINT32_MAX);
	rc = plt_grow(&s->string, &s->room, s->nr + 2, sizeof(*s->string),
		      err);
	if (!rc && !s->nr)
		s->string[s->nr++] = (struct plt_crash_string){ 0 };
	if (!rc && 2 * s->nr >= s->slots)
		rc = grow_table(s, err);
	if (rc || !text)
		return rc;
	slot = find(s, text, len);
	if (!*slot) {
		const char *copy = plt_crash_strings_copy(s, text, len, err);

		if (!copy)
			return -ENOMEM;
		s->string[s->nr] = (struct plt_crash_string){ copy, len };
		*slot = (uint32_t)s->nr++;
	}
	*id = *slot;
	return 0;
}

void plt_crash_strings_free(struct plt_crash_strings *s)
{
	for (struct block *b = s->blocks; b;) {
		struct block *next = b->next;

		free(b);
		b = next;
	}
	free(s->string);
	free(s->slot);
	*s = (struct plt_crash_strings){ 0 };
}
