/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Statistics of a log: how large writes are, how often the same bytes are
 * written again, how long epochs are, and where it is hot.
 *
 * Sizes and epochs come from one pass over the headers. Rewrites come from a
 * sweep over the index's extents: each adds the number of entries that wrote
 * it from its start on and takes it away at its end, so every stretch of the
 * device is met once with its count.
 */
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/heap.h"
#include "base/mem.h"
#include "wlog/wlog.h"

struct heat {
	struct platter_log *log;
	struct platter_log_stat *stat;
	size_t max_hot;
	struct plt_heap ends;	/* of extents: log sector, writes */
	uint64_t writes;	/* of all extents over the sweep */
	struct platter_log_hot run;	/* being gathered; length 0 = none */
	struct platter_error *err;
};

static int push(struct heat *h, uint64_t end, uint64_t writes)
{
	const struct plt_heap_item item = { .key = end, .a = writes };

	h->writes += writes;
	return plt_heap_push(&h->ends, &item, h->err);
}

/* Keep the hottest runs, hottest first; the lower place wins a tie. */
static void keep_run(struct heat *h)
{
	struct platter_log_stat *s = h->stat;
	size_t i = s->nr_hot;

	if (!h->run.length || !h->max_hot)
		return;
	if (i == h->max_hot) {
		if (s->hot[i - 1].writes >= h->run.writes)
			return;
		i--;
	} else {
		s->nr_hot++;
	}
	while (i && s->hot[i - 1].writes < h->run.writes) {
		s->hot[i] = s->hot[i - 1];
		i--;
	}
	s->hot[i] = h->run;
}

/* Bytes from `pos` to `until` were written `h->writes` times each. */
static void stretch(struct heat *h, uint64_t pos, uint64_t until)
{
	const uint64_t start = pos << h->log->sector_bits;
	const uint64_t length = (until - pos) << h->log->sector_bits;

	if (h->writes && length) {
		h->stat->rewrite_bytes[plt_log2(h->writes)] += length;
		h->stat->distinct += length;
	}
	if (h->run.length && h->run.writes == h->writes &&
	    h->run.start + h->run.length == start) {
		h->run.length += length;
		return;
	}
	keep_run(h);
	h->run = (struct platter_log_hot){
		.start = start, .writes = h->writes,
		.length = h->writes ? length : 0,
	};
}

/* End the extents that end at or before `limit`; *pos follows. */
static void end_until(struct heat *h, uint64_t *pos, uint64_t limit)
{
	while (h->ends.nr && h->ends.item[0].key <= limit) {
		const struct plt_heap_item ended = h->ends.item[0];

		if (ended.key > *pos) {
			stretch(h, *pos, ended.key);
			*pos = ended.key;
		}
		h->writes -= ended.a;
		plt_heap_pop(&h->ends);
	}
}

static int measure_rewrites(struct heat *h, uint64_t from, uint64_t to)
{
	const struct plt_wlog_index *ix = h->log->index;
	uint64_t pos = 0, writes;
	int rc = 0;

	for (uint64_t i = 0; i < ix->nr_extents && !rc; i++) {
		if (ix->lengths[i] & PLT_WLOG_EXTENT_DISCARD)
			continue;
		writes = plt_wlog_index_count(ix, i, from, to);
		if (!writes)
			continue;
		end_until(h, &pos, ix->starts[i]);
		if (ix->starts[i] > pos) {
			stretch(h, pos, ix->starts[i]);
			pos = ix->starts[i];
		}
		rc = push(h, plt_wlog_extent_end(ix, i), writes);
	}
	end_until(h, &pos, UINT64_MAX);
	keep_run(h);
	return rc;
}

static void measure_entry(struct platter_log_stat *s,
			  const struct platter_log_entry *e, uint64_t *epoch)
{
	if (e->flags & PLATTER_LOG_FLUSH && *epoch) {
		s->epoch_count[plt_log2(*epoch)]++;
		*epoch = 0;
	}
	if (!e->length)
		return;
	++*epoch;
	if (e->flags & PLATTER_LOG_DISCARD) {
		s->discarded += e->length;
		return;
	}
	s->written += e->length;
	s->size_count[plt_log2(e->length)]++;
	s->size_bytes[plt_log2(e->length)] += e->length;
}

static int measure_entries(struct platter_log *log, uint64_t from, uint64_t to,
			   struct platter_log_stat *s,
			   struct platter_error *err)
{
	struct platter_log_cursor *c;
	struct platter_log_entry e;
	uint64_t epoch = 0;
	int rc;

	rc = platter_log_cursor_new(&c, log, from, err);
	if (rc)
		return rc;
	while (c->number < to && (rc = platter_log_next(c, &e, err)) == 0)
		measure_entry(s, &e, &epoch);
	platter_log_cursor_free(c);
	if (epoch)
		s->epoch_count[plt_log2(epoch)]++;
	return rc < 0 ? rc : 0;
}

int platter_log_stat(struct platter_log *log, uint64_t from, uint64_t to,
		     size_t nr_hot, struct platter_log_stat *stat,
		     struct platter_error *err)
{
	struct heat h = {
		.log = log, .stat = stat, .err = err,
		.max_hot = PLT_MIN(nr_hot, (size_t)PLATTER_LOG_STAT_HOT),
	};
	int rc;

	memset(stat, 0, sizeof(*stat));
	rc = platter_log_index(log, NULL, err);
	if (!rc)
		rc = measure_entries(log, from, to, stat, err);
	if (!rc)
		rc = measure_rewrites(&h, from, to);
	plt_heap_clear(&h.ends);
	return rc;
}
