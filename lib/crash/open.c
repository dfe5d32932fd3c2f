/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A log, ready to crash: its entries, and from which point on each is durable.
 *
 * One pass over the headers. A write waits in a heap, by the number it was
 * issued with, until a flush comes that covers it: with COVER_LOGGED each
 * flush empties the heap, with COVER_STRICT it takes what was issued before
 * it, and what carries no number. A flush that carries data flushes what is
 * before it; its own data waits for the next one. FUA waits for nobody. A
 * write that no flush covers stays pending to the end.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/heap.h"
#include "base/mem.h"
#include "core/core.h"
#include "crash/crash.h"

/* Items of states count log sectors in 32 bits. */
#define ENTRY_SECTORS_MAX	UINT32_MAX

struct reading {
	struct platter_crash *crash;
	enum platter_crash_cover cover;
	struct plt_heap waiting;	/* a: entry */
	size_t room, room_marks, room_texts, room_lens;
};

static int list_add(struct plt_crash_list *list, uint64_t entry,
		    struct platter_error *err)
{
	int rc = plt_grow(&list->at, &list->room, list->nr + 1,
			  sizeof(*list->at), err);

	if (!rc)
		list->at[list->nr++] = entry;
	return rc;
}

size_t plt_crash_list_from(const struct plt_crash_list *list, uint64_t entry)
{
	size_t low = 0, high = list->nr, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (list->at[mid] < entry)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int by_number(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* ---- reading entries ---- */

static int add_mark(struct reading *r, const struct platter_log_entry *e,
		    struct platter_error *err)
{
	struct platter_crash *c = r->crash;
	int rc;

	rc = plt_grow(&c->mark, &r->room_marks, c->nr_marks + 1,
		      sizeof(*c->mark), err);
	if (!rc)
		rc = plt_grow(&c->mark_text, &r->room_texts, c->nr_marks + 1,
			      sizeof(*c->mark_text), err);
	if (!rc)
		rc = plt_grow(&c->mark_len, &r->room_lens, c->nr_marks + 1,
			      sizeof(*c->mark_len), err);
	if (rc)
		return rc;
	c->mark_text[c->nr_marks] = plt_calloc(1, e->mark_len + 1, err);
	if (!c->mark_text[c->nr_marks])
		return -ENOMEM;
	memcpy(c->mark_text[c->nr_marks], e->mark, e->mark_len);
	c->mark_len[c->nr_marks] = e->mark_len;
	c->mark[c->nr_marks++] = e->number;
	return 0;
}

/* A flush makes durable what it covers, from the point behind it on. */
static int cover(struct reading *r, const struct platter_log_entry *flush,
		 struct platter_error *err)
{
	struct plt_heap *w = &r->waiting;
	const uint64_t until = r->cover == PLATTER_CRASH_COVER_STRICT &&
			       flush->issue ? flush->issue : UINT64_MAX;
	const size_t before = r->crash->odd.nr;
	int rc = 0;

	while (w->nr && w->item[0].key <= until && !rc) {
		r->crash->entry[w->item[0].a].durable = flush->number + 1;
		if (until != UINT64_MAX)
			rc = list_add(&r->crash->odd, w->item[0].a, err);
		plt_heap_pop(w);
	}
	/* Nobody was left out: none of them is odd. */
	if (!rc && !w->nr)
		r->crash->odd.nr = before;
	return rc ? rc : list_add(&r->crash->flushes, flush->number, err);
}

static int add_write(struct reading *r, const struct platter_log_entry *e,
		     struct platter_error *err)
{
	struct platter_crash *c = r->crash;
	const struct plt_heap_item item = { .key = e->issue, .a = e->number };
	int rc = 0;

	if (e->nr_sectors > ENTRY_SECTORS_MAX)
		return plt_err_set(err, -EFBIG, "entry %" PRIu64 " of %" PRIu64
				   " sectors is over the limit of %u",
				   e->number, e->nr_sectors,
				   ENTRY_SECTORS_MAX);
	if (e->flags & PLATTER_LOG_DISCARD)
		rc = list_add(&c->discards, e->number, err);
	if (rc)
		return rc;
	if (!(e->flags & PLATTER_LOG_FUA))
		return plt_heap_push(&r->waiting, &item, err);
	c->entry[e->number].durable = e->number + 1;
	return list_add(&c->odd, e->number, err);
}

static int add_entry(struct reading *r, const struct platter_log_entry *e,
		     struct platter_error *err)
{
	struct platter_crash *c = r->crash;
	int rc;

	rc = plt_grow(&c->entry, &r->room, e->number + 1, sizeof(*c->entry),
		      err);
	if (rc)
		return rc;
	c->entry[e->number] = (struct plt_crash_entry){
		.start = e->start,
		.length = e->length,
		.data_offset = e->data_offset,
		.durable = PLT_CRASH_NEVER,
		.flags = e->flags,
	};
	c->nr = e->number + 1;
	if (e->flags & PLATTER_LOG_MARK)
		return add_mark(r, e, err);
	if (e->flags & PLATTER_LOG_FLUSH)
		rc = cover(r, e, err);
	if (!rc && e->length)
		rc = add_write(r, e, err);
	return rc;
}

static int read_entries(struct reading *r, struct platter_error *err)
{
	const uint64_t most = r->crash->log->index->nr_entries;
	struct platter_log_cursor *cursor;
	struct platter_log_entry e;
	int rc;

	rc = platter_log_cursor_new(&cursor, r->crash->log, 0, err);
	if (rc)
		return rc;
	while (!rc && r->crash->nr < most &&
	       (rc = platter_log_next(cursor, &e, err)) == 0)
		rc = add_entry(r, &e, err);
	platter_log_cursor_free(cursor);
	if (r->crash->odd.nr)
		qsort(r->crash->odd.at, r->crash->odd.nr,
		      sizeof(*r->crash->odd.at), by_number);
	return rc < 0 ? rc : 0;
}

/* What is durable stays so, so the first that is not only moves on. */
static int find_flushed(struct platter_crash *c, struct platter_error *err)
{
	uint64_t first = 0;

	c->flushed = plt_calloc(c->nr + 1, sizeof(*c->flushed), err);
	if (!c->flushed)
		return -ENOMEM;
	for (uint64_t p = 0; p <= c->nr; p++) {
		while (first < p && !plt_crash_is_pending(&c->entry[first], p))
			first++;
		c->flushed[p] = first;
	}
	return 0;
}

/* ---- opening ---- */

static int choose_size(struct platter_crash *c, uint64_t size,
		       struct platter_error *err)
{
	uint64_t needed = c->log->index->device_sectors << c->log->sector_bits;

	if (size && size < needed)
		return plt_err_set(err, -EINVAL, "%s: a disk of %" PRIu64
				   " bytes is too small: the log writes up to %"
				   PRIu64, c->log->name, size, needed);
	if (!size && c->base)
		needed = PLT_MAX(needed, platter_image_size(c->base));
	c->size = size ? size : needed;
	return 0;
}

static int fill(struct platter_crash *c, uint64_t size,
		enum platter_crash_cover cover, struct platter_error *err)
{
	struct reading r = { .crash = c, .cover = cover };
	int rc;

	c->sector = c->log->sector_size;
	rc = choose_size(c, size, err);
	if (!rc)
		rc = read_entries(&r, err);
	plt_heap_clear(&r.waiting);
	return rc ? rc : find_flushed(c, err);
}

int plt_crash_new(struct platter_crash **out, struct platter_context *ctx,
		  struct platter_log *log, struct platter_image *base,
		  uint64_t size, enum platter_crash_cover cover,
		  struct platter_error *err)
{
	struct platter_crash *c = plt_calloc(1, sizeof(*c), err);
	int rc;

	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	c->ctx = ctx;
	c->log = log;
	c->base = base;
	rc = fill(c, size, cover, err);
	if (rc) {
		platter_crash_close(c);
		return rc;
	}
	*out = c;
	return 0;
}

static int open_base(struct platter_image **base, struct platter_context *ctx,
		     const struct platter_crash_options *opts,
		     struct platter_error *err)
{
	const struct platter_open_options base_opts = {
		.format = opts->base_format,
	};

	*base = opts->base_image;
	if (*base || !opts->base)
		return 0;
	return platter_image_open(base, ctx, opts->base, &base_opts, err);
}

int platter_crash_open(struct platter_crash **out, struct platter_context *ctx,
		       const char *log,
		       const struct platter_crash_options *opts,
		       struct platter_error *err)
{
	const struct platter_crash_options none = { .base = NULL };
	struct platter_image *base = NULL;
	struct platter_log *l;
	int rc;

	opts = opts ? opts : &none;
	rc = platter_log_open(&l, ctx, log, &opts->log, err);
	if (rc)
		return rc;
	rc = platter_log_index(l, opts->progress, err);
	if (!rc)
		rc = open_base(&base, ctx, opts, err);
	if (!rc)
		rc = plt_crash_new(out, ctx, l, base, opts->size, opts->cover,
				   err);
	if (!rc) {
		(*out)->owns_log = true;
		(*out)->owns_base = base != opts->base_image;
		return 0;
	}
	if (base != opts->base_image)
		plt_image_free(base);
	platter_log_close(l);
	return rc;
}

void platter_crash_close(struct platter_crash *c)
{
	if (!c)
		return;
	if (c->owns_base)
		plt_image_free(c->base);
	if (c->owns_log)
		platter_log_close(c->log);
	for (uint64_t i = 0; i < c->nr_marks; i++)
		free(c->mark_text[i]);
	free(c->mark_text);
	free(c->mark_len);
	free(c->mark);
	free(c->flushes.at);
	free(c->discards.at);
	free(c->odd.at);
	free(c->entry);
	free(c->flushed);
	plt_wlog_shared_unref(c->under);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* ---- asking ---- */

struct platter_log *platter_crash_log(const struct platter_crash *crash)
{
	return crash->log;
}

uint64_t platter_crash_size(const struct platter_crash *crash)
{
	return crash->size;
}

uint64_t platter_crash_entries(const struct platter_crash *crash)
{
	return crash->nr;
}

struct platter_image *platter_crash_base(const struct platter_crash *crash)
{
	return crash->base;
}

uint64_t platter_crash_mark_before(const struct platter_crash *crash,
				   uint64_t point, const char **text,
				   size_t *len)
{
	const struct plt_crash_list marks = {
		.at = crash->mark, .nr = crash->nr_marks,
	};
	const size_t i = plt_crash_list_from(&marks, point);

	if (text)
		*text = i ? crash->mark_text[i - 1] : NULL;
	if (len)
		*len = i ? crash->mark_len[i - 1] : 0;
	return i ? crash->mark[i - 1] : UINT64_MAX;
}
