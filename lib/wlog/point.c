/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Points: "412", "mark:fsync-3", "flush:2+1", "fua:7", "end-10".
 *
 * A mark's text may hold any byte, the characters of the suffixes among them.
 * So every reading of the text after "mark:" is a candidate, from the longest
 * name (no suffix at all) to the shortest, each raw and unescaped, and the
 * first that some mark bears wins.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <platter/out.h>

#include "base/error.h"
#include "base/mem.h"
#include "wlog/wlog.h"

/* Entries as a point sees them, from the index or by reading the log. */
struct walk {
	struct platter_log *log;
	struct platter_log_cursor *cursor;	/* without an index */
	uint64_t need;		/* flags of entries that must be read whole */
	uint64_t next;
	uint8_t *hdr;
	struct platter_log_entry entry;
};

/* A name a mark may have, and how often it was met. */
struct candidate {
	char *name;
	size_t len;
	uint64_t wanted;	/* #K, 0 = the only one */
	int64_t shift;
	uint64_t met;
	uint64_t point;		/* behind the wanted (or last) one */
};

/* name raw and unescaped, each plain, less #K, less +k, less #K+k */
#define CANDIDATES 8

struct point {
	const char *text;
	char kind;		/* 'n'umber, 'e'nd, 'm'ark, 'f'lush, 'u' fua */
	uint64_t number;
	int64_t shift;
	struct candidate names[CANDIDATES];
	size_t nr_names;
};

static int walk_new(struct walk *w, struct platter_log *log, uint64_t need,
		    struct platter_error *err)
{
	*w = (struct walk){ .log = log, .need = need };
	if (!log->index)
		return platter_log_cursor_new(&w->cursor, log, 0, err);
	w->hdr = plt_memalign(64, plt_wlog_header_bytes(log), err);
	return w->hdr ? 0 : -ENOMEM;
}

static void walk_free(struct walk *w)
{
	platter_log_cursor_free(w->cursor);
	free(w->hdr);
}

/* Number and flags are filled, and all of an entry that has `need`ed flags. */
static int walk_next(struct walk *w, struct platter_error *err)
{
	const struct plt_wlog_index *ix = w->log->index;
	uint64_t packed;
	int rc;

	if (!ix) {
		rc = platter_log_next(w->cursor, &w->entry, err);
		w->next += !rc;
		return rc;
	}
	if (w->next == ix->nr_entries)
		return 1;
	packed = ix->entries[w->next];
	w->entry.number = w->next++;
	w->entry.flags = packed & ~PLT_WLOG_OFFSET_MASK;
	if (!(w->entry.flags & w->need))
		return 0;
	return plt_wlog_entry_at(w->log, packed & PLT_WLOG_OFFSET_MASK,
				 w->entry.number, w->hdr, &w->entry, err);
}

/* ---- parsing ---- */

static bool parse_number(const char *text, const char *end, uint64_t *out)
{
	uint64_t v = 0;

	if (text == end || end - text > 19)
		return false;
	for (; text < end; text++) {
		if (!isdigit((unsigned char)*text))
			return false;
		v = v * 10 + (*text - '0');
	}
	*out = v;
	return true;
}

/* Take "+k" or "-k" off the end; false when there is none. */
static bool take_shift(const char *text, const char **end, int64_t *shift)
{
	const char *p = *end;
	uint64_t v;

	while (p > text && isdigit((unsigned char)p[-1]))
		p--;
	if (p == text || (p[-1] != '+' && p[-1] != '-') ||
	    !parse_number(p, *end, &v) || v > INT64_MAX)
		return false;
	*shift = p[-1] == '-' ? -(int64_t)v : (int64_t)v;
	*end = p - 1;
	return true;
}

static bool take_occurrence(const char *text, const char **end, uint64_t *k)
{
	const char *p = *end;

	while (p > text && isdigit((unsigned char)p[-1]))
		p--;
	if (p == text || p[-1] != '#' || !parse_number(p, *end, k) || !*k)
		return false;
	*end = p - 1;
	return true;
}

static int add_name(struct point *pt, const char *text, const char *end,
		    uint64_t wanted, int64_t shift, struct platter_error *err)
{
	for (int unescape = 0; unescape < 2; unescape++) {
		struct candidate *c = &pt->names[pt->nr_names];

		if (unescape && !memchr(text, '\\', end - text))
			break;
		c->name = plt_asprintf(err, "%.*s", (int)(end - text), text);
		if (!c->name)
			return -ENOMEM;
		c->len = unescape ? platter_bytes_unescape(c->name) :
			 (size_t)(end - text);
		c->wanted = wanted;
		c->shift = shift;
		pt->nr_names++;
	}
	return 0;
}

static int parse_mark(struct point *pt, const char *text,
		      struct platter_error *err)
{
	const char *end = text + strlen(text), *shorter = end;
	uint64_t wanted = 0;
	int64_t shift = 0;
	int rc;

	rc = add_name(pt, text, end, 0, 0, err);
	if (!rc && take_occurrence(text, &shorter, &wanted))
		rc = add_name(pt, text, shorter, wanted, 0, err);
	if (rc || !take_shift(text, &end, &shift))
		return rc;
	rc = add_name(pt, text, end, 0, shift, err);
	if (!rc && take_occurrence(text, &end, &wanted))
		rc = add_name(pt, text, end, wanted, shift, err);
	return rc;
}

static int bad_point(const char *text, struct platter_error *err)
{
	return plt_err_set(err, -EINVAL,
			   "'%s' is not a point; use N, mark:NAME, mark:NAME#K, flush:K, fua:K or end, with +k or -k behind",
			   text);
}

static int parse(struct point *pt, const char *text, struct platter_error *err)
{
	const char *end = text + strlen(text), *body = text;

	*pt = (struct point){ .text = text, .kind = 'n' };
	if (!strncmp(text, "mark:", 5)) {
		pt->kind = 'm';
		return parse_mark(pt, text + 5, err);
	}
	take_shift(text, &end, &pt->shift);
	if (end - text == 3 && !memcmp(text, "end", 3)) {
		pt->kind = 'e';
		return 0;
	}
	if (!strncmp(text, "flush:", 6)) {
		pt->kind = 'f';
		body = text + 6;
	} else if (!strncmp(text, "fua:", 4)) {
		pt->kind = 'u';
		body = text + 4;
	}
	if (!parse_number(body, end, &pt->number) ||
	    (pt->kind != 'n' && !pt->number))
		return bad_point(text, err);
	return 0;
}

/* ---- resolving ---- */

static void meet_mark(struct point *pt, const struct platter_log_entry *e)
{
	for (size_t i = 0; i < pt->nr_names; i++) {
		struct candidate *c = &pt->names[i];

		if (c->len != e->mark_len || memcmp(c->name, e->mark, c->len))
			continue;
		c->met++;
		if (!c->wanted || c->met == c->wanted)
			c->point = e->number + 1;
	}
}

/* One walk; *point is the base without the shift, UINT64_MAX = none. */
static int resolve(struct point *pt, struct platter_log *log, uint64_t *total,
		   uint64_t *point, struct platter_error *err)
{
	uint64_t met = 0, found = UINT64_MAX;
	struct walk w;
	int rc;

	rc = walk_new(&w, log, pt->kind == 'm' ? PLATTER_LOG_MARK :
		      pt->kind == 'u' ? PLATTER_LOG_FUA : 0, err);
	while (!rc && (rc = walk_next(&w, err)) == 0) {
		const struct platter_log_entry *e = &w.entry;

		if (pt->kind == 'm' && e->flags & PLATTER_LOG_MARK)
			meet_mark(pt, e);
		if (pt->kind == 'f')
			met += !!(e->flags & PLATTER_LOG_FLUSH);
		if (pt->kind == 'u')
			met += e->flags & PLATTER_LOG_FUA && e->nr_sectors;
		if (met == pt->number && found == UINT64_MAX)
			found = e->number + 1;
	}
	*total = w.next;
	*point = found;
	if (rc == 1 && found == UINT64_MAX &&
	    (pt->kind == 'f' || pt->kind == 'u'))
		rc = plt_err_set(err, -ENOENT,
				 "%s: no point %s: the log has %" PRIu64 " %s",
				 log->name, pt->text, met,
				 pt->kind == 'f' ? "flushes" :
				 "FUA writes");
	walk_free(&w);
	return rc < 0 ? rc : 0;
}

static int choose_mark(struct point *pt, const struct platter_log *log,
		       uint64_t *point, struct platter_error *err)
{
	for (size_t i = 0; i < pt->nr_names; i++) {
		const struct candidate *c = &pt->names[i];

		if (!c->met)
			continue;
		if (c->wanted > c->met)
			return plt_err_set(err, -ENOENT,
					   "%s: no point %s: there are %" PRIu64
					   " such marks", log->name, pt->text,
					   c->met);
		if (!c->wanted && c->met > 1)
			return plt_err_set(err, -EEXIST,
					   "%s: %" PRIu64
					   " marks are named so: add #1 to #%"
					   PRIu64 " to %s", log->name, c->met,
					   c->met, pt->text);
		pt->shift = c->shift;
		*point = c->point;
		return 0;
	}
	return plt_err_set(err, -ENOENT, "%s: no mark for the point %s",
			   log->name, pt->text);
}

static int apply_shift(const struct point *pt, const struct platter_log *log,
		       uint64_t base, uint64_t total, uint64_t *point,
		       struct platter_error *err)
{
	int64_t at;

	if (base > INT64_MAX ||
	    __builtin_add_overflow((int64_t)base, pt->shift, &at) || at < 0 ||
	    (uint64_t)at > total)
		return plt_err_set(err, -ENOENT,
				   "%s: no point %s: the log has %" PRIu64
				   " entries", log->name, pt->text, total);
	*point = at;
	return 0;
}

int platter_log_point(struct platter_log *log, const char *text,
		      uint64_t *point, struct platter_error *err)
{
	uint64_t total = 0, base = 0;
	struct point pt;
	int rc;

	rc = parse(&pt, text, err);
	if (!rc && pt.kind != 'm' && log->index &&
	    (pt.kind == 'n' || pt.kind == 'e'))
		total = log->index->nr_entries;
	else if (!rc)
		rc = resolve(&pt, log, &total, &base, err);
	if (!rc && pt.kind == 'm')
		rc = choose_mark(&pt, log, &base, err);
	if (!rc && pt.kind == 'n')
		base = pt.number;
	if (!rc && pt.kind == 'e')
		base = total;
	if (!rc)
		rc = apply_shift(&pt, log, base, total, point, err);
	for (size_t i = 0; i < pt.nr_names; i++)
		free(pt.names[i].name);
	return rc;
}

/* ---- a point of a log that grows ---- */

struct plt_wlog_watch {
	struct point pt;
	uint64_t met;		/* flushes or FUA writes */
	uint64_t point;		/* UINT64_MAX = not known yet */
};

/* What lies before something that is not there yet cannot be waited for. */
static int check_watched(struct plt_wlog_watch *w, struct platter_error *err)
{
	struct point *pt = &w->pt;
	int64_t at;

	if (pt->kind == 'n') {
		if (pt->number > INT64_MAX ||
		    __builtin_add_overflow((int64_t)pt->number, pt->shift,
					   &at) || at < 0)
			return bad_point(pt->text, err);
		w->point = at;
	} else if (pt->shift < 0 || (pt->kind == 'e' && pt->shift)) {
		return plt_err_set(err, -EINVAL,
				   "the point %s of a log that grows is known only when it has passed",
				   pt->text);
	}
	return 0;
}

int plt_wlog_watch_new(struct plt_wlog_watch **out, const char *text,
		       struct platter_error *err)
{
	struct plt_wlog_watch *w = plt_calloc(1, sizeof(*w), err);
	int rc;

	if (!w)
		return -ENOMEM;
	w->point = UINT64_MAX;
	rc = parse(&w->pt, text, err);
	if (!rc)
		rc = check_watched(w, err);
	if (rc) {
		plt_wlog_watch_free(w);
		return rc;
	}
	*out = w;
	return 0;
}

void plt_wlog_watch_free(struct plt_wlog_watch *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->pt.nr_names; i++)
		free(w->pt.names[i].name);
	free(w);
}

/* The longest name that some mark bears by now; a later one may be longer. */
static void watch_mark(struct plt_wlog_watch *w,
		       const struct platter_log_entry *e)
{
	meet_mark(&w->pt, e);
	for (size_t i = 0; i < w->pt.nr_names; i++) {
		const struct candidate *c = &w->pt.names[i];

		if (c->shift >= 0 && c->met && c->met >= c->wanted) {
			w->point = c->point + c->shift;
			return;
		}
	}
}

void plt_wlog_watch_meet(struct plt_wlog_watch *w,
			 const struct platter_log_entry *e)
{
	struct point *pt = &w->pt;

	if (w->point != UINT64_MAX)
		return;
	if (pt->kind == 'm' && e->flags & PLATTER_LOG_MARK)
		watch_mark(w, e);
	if (pt->kind == 'f')
		w->met += !!(e->flags & PLATTER_LOG_FLUSH);
	if (pt->kind == 'u')
		w->met += e->flags & PLATTER_LOG_FUA && e->nr_sectors;
	if ((pt->kind == 'f' || pt->kind == 'u') && w->met == pt->number)
		w->point = e->number + 1 + pt->shift;
}

bool plt_wlog_watch_reached(const struct plt_wlog_watch *w, uint64_t entries)
{
	return entries >= w->point;
}
