/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The names of states, both ways: <platter/crash.h> has the grammar.
 *
 * A name lists either what is missing ('-') or what is present ('+') of the
 * pending writes; the shorter one is the name, '-' where they are as long.
 * Writes in a row, with nothing pending between them, are A..B from three on.
 * Making the other form costs no more than its text, because it is given up
 * as soon as it is longer.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/crash.h"

/* ---- which entries a list can name ---- */

struct scope {
	const struct platter_crash *crash;
	uint64_t point;
	bool early;		/* behind the point */
};

static bool in_scope(const struct scope *s, uint64_t entry)
{
	const struct plt_crash_entry *e = &s->crash->entry[entry];

	return s->early ? plt_crash_writes(e) :
	       plt_crash_is_pending(e, s->point);
}

static uint64_t scope_end(const struct scope *s)
{
	return s->early ? s->crash->nr : s->point;
}

/* The first that can be named from `entry` on; scope_end() if there is none. */
static uint64_t next_in_scope(const struct scope *s, uint64_t entry)
{
	while (entry < scope_end(s) && !in_scope(s, entry))
		entry++;
	return entry;
}

/* The last before `entry`, where there is one from `from` on. */
static uint64_t last_in_scope(const struct scope *s, uint64_t from,
			      uint64_t entry)
{
	while (entry > from && !in_scope(s, entry - 1))
		entry--;
	return entry - 1;
}

/* ---- writing ---- */

struct text {
	char *p;
	size_t len, room;
	size_t limit;		/* no use for more than so much */
	bool full, failed;
	size_t nr;		/* items so far */
	/* A run of whole entries that is not written yet. */
	uint64_t first, last, before_last, count;
	char letter;
};

static void put(struct text *t, const char *fmt, ...) PLATTER_PRINTF(2, 3);

static void put(struct text *t, const char *fmt, ...)
{
	char piece[96];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(piece, sizeof(piece), fmt, ap);
	va_end(ap);
	if (t->full || t->failed)
		return;
	if (plt_grow(&t->p, &t->room, t->len + n + 1, 1, NULL)) {
		t->failed = true;
		return;
	}
	memcpy(t->p + t->len, piece, n + 1);
	t->len += n;
	t->full = t->len > t->limit;
}

static void put_letter(struct text *t)
{
	if (t->letter)
		put(t, "%c", t->letter);
}

static void put_entry(struct text *t, uint64_t entry)
{
	put(t, "%s%" PRIu64, t->nr++ ? "," : "", entry);
}

/* Write the run. Two in a row are shorter with a comma. */
static void end_run(struct text *t)
{
	if (t->count) {
		put_entry(t, t->first);
		if (t->count > 2)
			put(t, "..%" PRIu64, t->last);
		put_letter(t);
	}
	if (t->count == 2) {
		put_entry(t, t->last);
		put_letter(t);
	}
	t->count = 0;
}

/* Whole entries from first to last, `count` of them (3: or more). */
static void add_run(struct text *t, const struct scope *s, uint64_t first,
		    uint64_t last, uint64_t count, char letter)
{
	if (t->count && (t->letter != letter ||
			 next_in_scope(s, t->last + 1) != first))
		end_run(t);
	if (!t->count)
		t->first = first;
	t->last = last;
	t->count += count;
	t->letter = letter;
}

static void add_part(struct text *t, const struct scope *s, uint64_t entry,
		     uint32_t first, uint32_t end, char letter)
{
	const struct platter_crash *c = s->crash;

	if (first >= end)
		return;
	if (!first && end == c->entry[entry].length / c->sector) {
		add_run(t, s, entry, entry, 1, letter);
		return;
	}
	end_run(t);
	put_entry(t, entry);
	if (end - first == 1)
		put(t, "[%" PRIu32 "]", first);
	else
		put(t, "[%" PRIu32 ":%" PRIu32 "]", first, end);
	if (letter)
		put(t, "%c", letter);
}

static char letter_of(enum platter_crash_fate fate)
{
	switch (fate) {
	case PLATTER_CRASH_SHORN:
		return 's';
	case PLATTER_CRASH_GARBAGE:
		return 'g';
	case PLATTER_CRASH_PATTERN:
		return 'p';
	default:
		return 0;
	}
}

/* The items of a state that are in the scope, as they are. */
static void list_items(struct text *t, const struct platter_crash_state *st,
		       const struct scope *s)
{
	for (size_t i = 0; i < st->nr; i++) {
		const struct plt_crash_item *it = &st->item[i];

		if ((it->fate == PLATTER_CRASH_EARLY) == s->early)
			add_part(t, s, it->entry, it->first,
				 it->first + it->count, letter_of(it->fate));
	}
	end_run(t);
}

/* All pending entries in [from, to), whole. */
static void list_whole(struct text *t, const struct scope *s, uint64_t from,
		       uint64_t to)
{
	const uint64_t first = next_in_scope(s, from);
	uint64_t last, count = 1;

	if (first >= to)
		return;
	last = last_in_scope(s, first, to);
	if (last != first)
		count = next_in_scope(s, first + 1) == last ? 2 : 3;
	add_run(t, s, first, last, count, 0);
}

/* What the items of a state do not mention, and those with a letter. */
static void list_others(struct text *t, const struct platter_crash_state *st,
			const struct scope *s)
{
	const struct platter_crash *c = s->crash;
	uint64_t from = c->flushed[s->point];
	size_t i = 0;

	while (i < st->nr && st->item[i].fate != PLATTER_CRASH_EARLY &&
	       !t->full) {
		const uint64_t entry = st->item[i].entry;
		uint32_t at = 0;

		list_whole(t, s, from, entry);
		for (; i < st->nr && st->item[i].entry == entry; i++) {
			const struct plt_crash_item *it = &st->item[i];

			add_part(t, s, entry, at, it->first, 0);
			at = it->first + it->count;
			if (letter_of(it->fate))
				add_part(t, s, entry, it->first, at,
					 letter_of(it->fate));
		}
		add_part(t, s, entry, at, c->entry[entry].length / c->sector,
			 0);
		from = entry + 1;
	}
	if (!t->full)
		list_whole(t, s, from, s->point);
	end_run(t);
}

/* One of the two forms, as far as the limit. */
static void write_form(struct text *t, const struct platter_crash_state *st,
		       enum platter_crash_fate rest)
{
	const struct scope s = { .crash = st->crash, .point = st->point };
	size_t sign;

	put(t, "%" PRIu64, st->point);
	sign = t->len;
	put(t, "%c", rest == PLATTER_CRASH_KEPT ? '-' : '+');
	if (st->rest == rest)
		list_items(t, st, &s);
	else
		list_others(t, st, &s);
	/* With nothing missing there is nothing to say. */
	if (!t->nr && rest == PLATTER_CRASH_KEPT && !t->failed) {
		t->p[sign] = 0;
		t->len = sign;
		t->full = t->len > t->limit;
	}
}

/* What is the same in both forms. */
static void write_rest(struct text *t, const struct platter_crash_state *st)
{
	const struct scope s = {
		.crash = st->crash, .point = st->point, .early = true,
	};

	t->full = false;
	t->limit = SIZE_MAX;
	if (st->nr && st->item[st->nr - 1].fate == PLATTER_CRASH_EARLY) {
		put(t, "^");
		t->nr = 0;
		list_items(t, st, &s);
	}
	if (st->discard == PLATTER_CRASH_DISCARD_OLD)
		put(t, "~old");
	if (st->discard == PLATTER_CRASH_DISCARD_PATTERN)
		put(t, "~pattern");
}

static char *make_name(const struct platter_crash_state *st)
{
	const enum platter_crash_fate other =
		st->rest == PLATTER_CRASH_KEPT ? PLATTER_CRASH_DROPPED :
						 PLATTER_CRASH_KEPT;
	struct text own = { .limit = SIZE_MAX }, turned = { .nr = 0 };
	struct text *best = &own;

	write_form(&own, st, st->rest);
	turned.limit = own.len;
	write_form(&turned, st, other);
	if (!turned.full && (turned.len < own.len ||
			     other == PLATTER_CRASH_KEPT))
		best = &turned;
	write_rest(best, st);
	free(best == &own ? turned.p : own.p);
	if (own.failed || turned.failed) {
		free(best->p);
		return NULL;
	}
	return best->p;
}

const char *platter_crash_state_name(const struct platter_crash_state *state)
{
	struct platter_crash_state *s = (struct platter_crash_state *)state;
	char *name = atomic_load(&s->name), *made;

	if (name)
		return name;
	made = make_name(s);
	if (!made)
		return "(no memory for the name)";
	/* Another thread may have been faster. */
	if (atomic_compare_exchange_strong(&s->name, &name, made))
		return made;
	free(made);
	return name;
}

/* ---- reading ---- */

#define ITEMS_MAX	(16u << 20)	/* runs make many of few characters */

struct parse {
	struct platter_crash *crash;
	const char *p;
	uint64_t point;
	enum platter_crash_fate rest;
	enum platter_crash_discard discard;
	struct plt_crash_item *item;
	size_t nr, room;
	struct platter_error *err;
};

static int unexpected(const struct parse *p, const char *wanted)
{
	char what[8] = "the end";

	if (*p->p == '@')
		return plt_err_set(p->err, -EINVAL,
				   "a state of a recovery's log (STATE@STATE) "
				   "takes the command that recovers, as in "
				   "crash export --recover COMMAND");
	if (isprint((unsigned char)*p->p))
		snprintf(what, sizeof(what), "'%c'", *p->p);
	else if (*p->p)
		snprintf(what, sizeof(what), "a byte");
	return plt_err_set(p->err, -EINVAL, "%s where %s should be", what,
			   wanted);
}

static int read_number(struct parse *p, const char *what, uint64_t limit,
		       uint64_t *out)
{
	uint64_t v = 0;

	if (!isdigit((unsigned char)*p->p))
		return unexpected(p, what);
	for (; isdigit((unsigned char)*p->p); p->p++) {
		if (v > limit / 10 || v * 10 > limit - (*p->p - '0'))
			return plt_err_set(p->err, -EINVAL,
					   "%s is over the limit of %" PRIu64,
					   what, limit);
		v = v * 10 + (*p->p - '0');
	}
	*out = v;
	return 0;
}

static int add_item(struct parse *p, const struct plt_crash_item *item)
{
	int rc;

	if (p->nr == ITEMS_MAX)
		return plt_err_set(p->err, -EINVAL,
				   "more than %u entries are listed",
				   ITEMS_MAX);
	rc = plt_grow(&p->item, &p->room, p->nr + 1, sizeof(*item), p->err);
	if (!rc)
		p->item[p->nr++] = *item;
	return rc;
}

/* The writes from `item->entry` to `last`; the two must be such writes. */
static int add_entries(struct parse *p, const struct scope *s,
		       struct plt_crash_item item, uint64_t last, bool whole)
{
	const struct platter_crash *c = p->crash;
	const uint64_t first = item.entry;
	int rc = 0;

	for (uint64_t i = first; !rc && i <= last; i++) {
		if (i < c->nr && i != first && i != last && !in_scope(s, i))
			continue;
		item.entry = i;
		if (whole)	/* what has none is refused later */
			item.count = i < c->nr ?
				     c->entry[i].length / c->sector : 0;
		rc = add_item(p, &item);
	}
	return rc;
}

static int read_sectors(struct parse *p, struct plt_crash_item *item,
			bool *whole)
{
	uint64_t first, end;
	int rc;

	*whole = *p->p != '[';
	if (*whole)
		return 0;
	p->p++;
	rc = read_number(p, "a sector", UINT32_MAX - 1, &first);
	end = first + 1;
	if (!rc && *p->p == ':') {
		p->p++;
		rc = read_number(p, "the sector behind the last", UINT32_MAX,
				 &end);
	}
	if (!rc && *p->p != ']')
		rc = unexpected(p, "']'");
	if (rc)
		return rc;
	p->p++;
	if (end <= first)
		return plt_err_set(p->err, -EINVAL, "[%" PRIu64 ":%" PRIu64
				   "] has no sector in it: the second number is the one behind the last",
				   first, end);
	item->first = first;
	item->count = end - first;
	return 0;
}

static int read_letter(struct parse *p, const struct scope *s,
		       struct plt_crash_item *item)
{
	switch (*p->p) {
	case 's':
		item->fate = PLATTER_CRASH_SHORN;
		break;
	case 'g':
		item->fate = PLATTER_CRASH_GARBAGE;
		break;
	case 'p':
		item->fate = PLATTER_CRASH_PATTERN;
		break;
	default:
		return 0;
	}
	if (s->early)
		return plt_err_set(p->err, -EINVAL,
				   "an early write cannot be torn: take '%c' away",
				   *p->p);
	p->p++;
	return 0;
}

static int read_item(struct parse *p, const struct scope *s)
{
	struct plt_crash_item item = { .fate = PLATTER_CRASH_EARLY };
	uint64_t last;
	bool whole;
	int rc;

	if (!s->early)
		item.fate = p->rest == PLATTER_CRASH_KEPT ?
			    PLATTER_CRASH_DROPPED : PLATTER_CRASH_KEPT;
	rc = read_number(p, "an entry", UINT32_MAX, &item.entry);
	last = item.entry;
	if (!rc && p->p[0] == '.' && p->p[1] == '.') {
		p->p += 2;
		rc = read_number(p, "the last entry", UINT32_MAX, &last);
	}
	if (!rc && last < item.entry)
		return plt_err_set(p->err, -EINVAL, "%" PRIu64 "..%" PRIu64
				   " goes backwards: the smaller number comes first",
				   item.entry, last);
	if (!rc && last >= p->crash->nr)
		return plt_err_set(p->err, -EINVAL, "there is no entry %"
				   PRIu64 ": the log has %" PRIu64, last,
				   p->crash->nr);
	if (!rc)
		rc = read_sectors(p, &item, &whole);
	if (!rc)
		rc = read_letter(p, s, &item);
	return rc ? rc : add_entries(p, s, item, last, whole);
}

static int read_list(struct parse *p, bool early)
{
	const struct scope s = {
		.crash = p->crash, .point = p->point, .early = early,
	};
	int rc;

	for (;;) {
		rc = read_item(p, &s);
		if (rc || *p->p != ',')
			return rc;
		p->p++;
	}
}

static int read_discard(struct parse *p)
{
	if (!strcmp(p->p, "~old"))
		p->discard = PLATTER_CRASH_DISCARD_OLD;
	else if (!strcmp(p->p, "~pattern"))
		p->discard = PLATTER_CRASH_DISCARD_PATTERN;
	else if (*p->p == '~')
		return plt_err_set(p->err, -EINVAL,
				   "behind ~ comes old or pattern, and then the end");
	else if (*p->p)
		return unexpected(p, "',', '^', '~' or the end");
	return 0;
}

static int read_name(struct parse *p)
{
	int rc;

	rc = read_number(p, "a point", UINT32_MAX, &p->point);
	if (rc)
		return rc;
	if (p->point > p->crash->nr)
		return plt_err_set(p->err, -EINVAL, "there is no point %"
				   PRIu64 ": the log has %" PRIu64 " entries",
				   p->point, p->crash->nr);
	if (*p->p == '+')
		p->rest = PLATTER_CRASH_DROPPED;
	if (*p->p == '+' || *p->p == '-') {
		p->p++;
		/* "412+": none of the pending writes. */
		if (p->p[-1] == '-' || isdigit((unsigned char)*p->p))
			rc = read_list(p, false);
	}
	if (!rc && *p->p == '^') {
		p->p++;
		rc = read_list(p, true);
	}
	return rc ? rc : read_discard(p);
}

int platter_crash_state_parse(struct platter_crash_state **out,
			      struct platter_crash *crash, const char *name,
			      struct platter_error *err)
{
	struct parse p = {
		.crash = crash, .p = name, .rest = PLATTER_CRASH_KEPT,
		.err = err,
	};
	int rc;

	if (isalpha((unsigned char)*name))
		rc = platter_log_point(crash->log, name, &p.point, err);
	else
		rc = read_name(&p);
	if (!rc)
		rc = plt_crash_state_new(out, crash, p.point, p.discard,
					 p.rest, p.item, p.nr, err);
	free(p.item);
	return rc ? plt_err_prefix(err, rc, "state %s", name) : 0;
}
