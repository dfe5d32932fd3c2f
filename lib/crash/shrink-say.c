/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cause in words: "entry 412 (sectors 2048-2055, after mark fsync-3)
 * missing while 415 (sectors 8-15) is present".
 *
 * Sectors are those of the disk, in the log's size; those of an entry are
 * counted from its first, as in the names of states.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <platter/out.h>

#include "base/mem.h"
#include "crash/shrink.h"

#define MOST	4u	/* entries told of, each with all there is */

struct text {
	char *at;
	size_t left;
};

static void say(struct text *t, const char *fmt, ...) PLATTER_PRINTF(2, 3);

static void say(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->at, t->left, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= t->left)
		n = (int)t->left - 1;
	t->at += n;
	t->left -= (size_t)n;
}

static void say_range(struct text *t, uint64_t first, uint64_t count)
{
	if (count == 1)
		say(t, "sector %" PRIu64, first);
	else
		say(t, "sectors %" PRIu64 "-%" PRIu64, first,
		    first + count - 1);
}

static void say_mark(struct text *t, const char *text, size_t len)
{
	char *shown plt_auto_free = platter_bytes_escape(text, len);

	say(t, "mark %.64s", shown ? shown : "");
}

/* Where on the disk, and when. */
static void say_place(struct text *t, const struct platter_crash *c,
		      const struct platter_crash_piece *p, bool mark)
{
	const char *text;
	size_t len;

	say(t, " (");
	say_range(t, p->offset / c->sector, p->length / c->sector);
	if (p->flags & PLATTER_LOG_DISCARD)
		say(t, ", a discard");
	if (p->flags & PLATTER_LOG_FUA)
		say(t, ", FUA");
	if (mark && platter_crash_mark_before(c, p->entry, &text, &len) !=
		    UINT64_MAX) {
		say(t, ", after ");
		say_mark(t, text, len);
	}
	say(t, ")");
}

/* The pieces of one entry end where those of the next begin. */
static size_t end_of(const struct platter_crash_piece *p, size_t nr, size_t i)
{
	size_t end = i;

	while (end < nr && p[end].entry == p[i].entry &&
	       p[end].fate == p[i].fate)
		end++;
	return end;
}

static void say_join(struct text *t, size_t i, bool last)
{
	if (i)
		say(t, last ? " and " : ", ");
}

/* Of the pieces from `i` to `end`, which are of one entry. */
static void say_entry(struct text *t, const struct platter_crash *c,
		      const struct platter_crash_piece *p, size_t i, size_t end,
		      bool whole)
{
	const struct plt_crash_entry *e = &c->entry[p[i].entry];
	struct platter_crash_piece all = p[i];

	if (!whole && !p[i].whole) {
		for (size_t j = i; j < end; j++) {
			say_join(t, j - i, j + 1 == end);
			say_range(t, p[j].first, p[j].count);
		}
		say(t, " of ");
	}
	say(t, "entry %" PRIu64, p[i].entry);
	if (whole) {
		all.offset = e->start;
		all.length = e->length;
	} else {
		all.length = p[end - 1].offset + p[end - 1].length -
			     p[i].offset;
	}
	say_place(t, c, &all, true);
}

static const char *const fates[] = {
	[PLATTER_CRASH_DURABLE] = "present",
	[PLATTER_CRASH_KEPT] = "present",
	[PLATTER_CRASH_DROPPED] = "missing",
	[PLATTER_CRASH_SHORN] = "shorn",
	[PLATTER_CRASH_GARBAGE] = "trashed",
	[PLATTER_CRASH_PATTERN] = "a pattern",
	[PLATTER_CRASH_EARLY] = "present too early",
};

static void say_pieces(struct text *t, const struct platter_crash_cause *cause)
{
	const struct platter_crash_piece *p = cause->pieces;
	const struct platter_crash *c = cause->failing->crash;
	const size_t nr = cause->nr_pieces;
	size_t said = 0, more = 0, end;

	for (size_t i = 0; i < nr; i = end) {
		end = end_of(p, nr, i);
		if (said == MOST) {
			more++;
			continue;
		}
		say_join(t, said++, end == nr);
		say_entry(t, c, p, i, end, cause->whole);
		if (end == nr || p[end].fate != p[i].fate)
			say(t, " %s", fates[p[i].fate]);
	}
	if (more)
		say(t, " and parts of %zu more", more);
}

/* An entry that is torn has its other sectors. */
static bool is_piece(const struct platter_crash_cause *cause, uint64_t entry)
{
	for (size_t i = 0; i < cause->nr_pieces; i++)
		if (cause->pieces[i].entry == entry)
			return true;
	return false;
}

static void say_present(struct text *t,
			const struct platter_crash_cause *cause)
{
	const struct platter_crash_piece *p = cause->present;
	const size_t nr = cause->nr_present;
	size_t said = 0, more = 0, end;

	if (!nr)
		return;
	say(t, " while ");
	for (size_t i = 0; i < nr; i = end) {
		end = end_of(p, nr, i);
		if (said == MOST) {
			more++;
			continue;
		}
		say_join(t, said++, end == nr);
		if (is_piece(cause, p[i].entry))
			say(t, "the rest of it");
		else
			say(t, "%" PRIu64, p[i].entry);
		if (!is_piece(cause, p[i].entry))
			say_place(t, cause->failing->crash, &p[i], false);
	}
	if (more)
		say(t, " and %zu more", more);
	say(t, said == 1 ? " is present" : " are present");
}

static bool is_torn(const struct platter_crash_cause *cause)
{
	for (size_t i = 0; i < cause->nr_pieces; i++)
		if (!cause->pieces[i].whole)
			return true;
	return false;
}

void plt_shrink_say(struct platter_crash_cause *cause)
{
	const bool old = cause->failing->discard == PLATTER_CRASH_DISCARD_OLD;
	const char *left = old ? "what was there" : "a pattern";
	struct text t = { cause->sentence, sizeof(cause->sentence) };
	const char *text;
	size_t len;

	if (!cause->nr_pieces) {
		say(&t, "discards that are durable leave %s", left);
		return;
	}
	if (cause->failing->crash->outer)
		say(&t, "of the recovery ");
	say_pieces(&t, cause);
	say_present(&t, cause);
	if (cause->mark != UINT64_MAX) {
		platter_crash_mark_before(cause->failing->crash,
					  cause->mark + 1, &text, &len);
		say(&t, " once ");
		say_mark(&t, text, len);
		say(&t, " has been passed");
	}
	if (cause->whole && is_torn(cause) && cause->nr_pieces == 1) {
		say(&t, "; ");
		say_range(&t, cause->pieces[0].first, cause->pieces[0].count);
		say(&t, " of it %s enough",
		    cause->pieces[0].count == 1 ? "is" : "are");
	} else if (cause->whole && is_torn(cause)) {
		say(&t, "; some sectors of them are enough");
	}
	if (cause->failing->discard != PLATTER_CRASH_DISCARD_ZERO)
		say(&t, "; discards that are durable leave %s", left);
}
