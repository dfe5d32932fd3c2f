/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One pass over a log's headers, and what it tells: counts, epochs, who wrote
 * the log, and every problem with its place.
 *
 * Epochs are counted by size in a table, so that the median is exact and the
 * memory does not grow with the log; the few epochs larger than the table are
 * kept one by one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/core.h"
#include "wlog/text.h"
#include "wlog/wlog.h"

#define EPOCH_TABLE (1u << 16)

struct pass {
	struct platter_log *log;
	struct platter_log_summary *s;
	uint32_t *epochs;		/* how many of each size */
	uint64_t *large;		/* sizes from EPOCH_TABLE on */
	size_t nr_large, room_large;
	uint64_t in_epoch;
	uint64_t ext;			/* headers with platter's extension */
	uint64_t empty_fua;
	bool end_mark;
};

static int problem(struct platter_log *log, enum platter_log_severity severity,
		   uint64_t offset, uint64_t entry, struct platter_error *err,
		   const char *fmt, ...) PLATTER_PRINTF(6, 7);

static int problem(struct platter_log *log, enum platter_log_severity severity,
		   uint64_t offset, uint64_t entry, struct platter_error *err,
		   const char *fmt, ...)
{
	struct platter_log_problem *p;
	va_list ap;
	int rc;

	rc = plt_grow(&log->problems, &log->room_problems,
		      log->nr_problems + 1, sizeof(*log->problems), err);
	if (rc)
		return rc;
	p = &log->problems[log->nr_problems++];
	p->severity = severity;
	p->offset = offset;
	p->entry = entry;
	va_start(ap, fmt);
	vsnprintf(p->text, sizeof(p->text), fmt, ap);
	va_end(ap);
	if (severity == PLATTER_LOG_DAMAGE)
		log->summary->damaged = true;
	return 0;
}

static int end_epoch(struct pass *p, struct platter_error *err)
{
	const uint64_t size = p->in_epoch;
	int rc;

	p->in_epoch = 0;
	if (!size)
		return 0;
	p->s->epochs++;
	p->s->epoch_largest = PLT_MAX(p->s->epoch_largest, size);
	if (size < EPOCH_TABLE) {
		p->epochs[size]++;
		return 0;
	}
	rc = plt_grow(&p->large, &p->room_large, p->nr_large + 1,
		      sizeof(*p->large), err);
	if (!rc)
		p->large[p->nr_large++] = size;
	return rc;
}

static int compare_u64(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The lower median: with an even number of epochs, the smaller middle one. */
static uint64_t median_epoch(struct pass *p)
{
	uint64_t rank, seen = 0;

	if (!p->s->epochs)
		return 0;
	rank = (p->s->epochs - 1) / 2;
	for (uint64_t size = 1; size < EPOCH_TABLE; size++) {
		seen += p->epochs[size];
		if (seen > rank)
			return size;
	}
	qsort(p->large, p->nr_large, sizeof(*p->large), compare_u64);
	return p->large[rank - seen];
}

/* The first entry says when the data is not what was written. */
static void note_import(struct platter_log_summary *s,
			const struct platter_log_entry *e)
{
	const size_t skip = strlen(PLT_WLOG_IMPORT_MARK);

	if (e->mark_len > skip &&
	    !memcmp(e->mark, PLT_WLOG_IMPORT_MARK, skip) &&
	    plt_text_all_plain(e->mark, e->mark_len))
		snprintf(s->imported, sizeof(s->imported), "%.*s",
			 (int)(e->mark_len - skip), e->mark + skip);
}

static int count(struct pass *p, const struct platter_log_entry *e,
		 struct platter_error *err)
{
	struct platter_log_summary *s = p->s;
	int rc = 0;

	if (!s->entries++)
		note_import(s, e);
	s->recovered += e->recovered;
	s->metadata += !!(e->flags & PLATTER_LOG_METADATA);
	if (e->flags & PLATTER_LOG_MARK)
		s->marks++;
	if (e->flags & PLATTER_LOG_FLUSH) {
		s->flushes++;
		rc = end_epoch(p, err);
	}
	if (!e->length) {
		s->empty += !(e->flags & PLATTER_LOG_MARK);
		p->empty_fua += !!(e->flags & PLATTER_LOG_FUA);
		return rc;
	}
	p->in_epoch++;
	s->device_size = PLT_MAX(s->device_size, e->start + e->length);
	s->fuas += !!(e->flags & PLATTER_LOG_FUA);
	if (e->flags & PLATTER_LOG_DISCARD) {
		s->discards++;
		s->discard_bytes += e->length;
	} else {
		s->writes++;
		s->data_bytes += e->length;
	}
	return rc;
}

static void identify(struct pass *p)
{
	struct platter_log_summary *s = p->s;

	if (s->imported[0]) {
		s->writer = PLATTER_LOG_WRITER_IMPORT;
		s->writer_text = "platter log import (its mark is there): the data is made up";
		s->flush_cover = "as the text has it: in the order of completion, a write before a flush need not be covered by it";
	} else if (p->ext) {
		s->writer = PLATTER_LOG_WRITER_PLATTER;
		s->writer_text = "platter (issue order and time are recorded)";
		s->flush_cover = "issue order: a flush covers every write logged before it";
	} else if (s->clean_end || s->metadata || p->empty_fua || s->fuas ||
		   s->marks) {
		s->writer = PLATTER_LOG_WRITER_KERNEL;
		s->writer_text = s->clean_end ?
			"Linux dm-log-writes (its end mark is there)" :
			"Linux dm-log-writes (QEMU writes no FUA, METADATA or MARK)";
		s->flush_cover = "issue order: a flush covers every write logged before it";
	} else if (s->entries) {
		s->writer = PLATTER_LOG_WRITER_QEMU;
		s->writer_text = "probably QEMU blklogwrites (no FUA, METADATA or MARK)";
		s->flush_cover = "completion order: a write logged before a flush may have been issued after it, and not be covered";
	} else {
		s->writer = PLATTER_LOG_WRITER_UNKNOWN;
		s->writer_text = "unknown (no entries)";
		s->flush_cover = "none: no entries";
	}
}

/* Whether the walk ended before the log should; why, for people, in `text`. */
static bool is_broken_off(const struct platter_log *log, uint64_t entries,
			  const struct plt_wlog_stop *stop, char *text,
			  size_t size)
{
	if (log->super_valid && entries < log->super_entries)
		snprintf(text, size, "the super block counts %" PRIu64
			 " entries, entry %" PRIu64 " cannot be proven: %s",
			 log->super_entries, entries, stop->text);
	else if (stop->kind == PLT_WLOG_STOP_TORN)
		snprintf(text, size, "torn tail: %s", stop->text);
	else
		return false;
	return true;
}

/* What the end of the walk means, given what the super block counts. */
static int judge_end(struct pass *p, const struct plt_wlog_stop *stop,
		     struct platter_error *err)
{
	struct platter_log *log = p->log;
	struct platter_log_summary *s = p->s;
	char text[sizeof(log->problems->text)];

	if (is_broken_off(log, s->entries, stop, text, sizeof(text)))
		return problem(log, PLATTER_LOG_DAMAGE, stop->offset,
			       s->entries, err, "%s", text);
	if (stop->kind == PLT_WLOG_STOP_NOT_ENTRY)
		return problem(log, PLATTER_LOG_NOTE, stop->offset, s->entries,
			       err, "what lies behind the last entry is none: %s",
			       stop->text);
	return 0;
}

static int judge_start(struct pass *p, struct platter_error *err)
{
	struct platter_log *log = p->log;
	int rc = 0;

	if (log->super_problem[0])
		rc = problem(log, PLATTER_LOG_DAMAGE, 0, 0, err, "%s",
			     log->super_problem);
	if (!rc && log->super_valid && p->s->recovered)
		rc = problem(log, PLATTER_LOG_DAMAGE, 16,
			     p->s->entries - p->s->recovered, err,
			     "the super block counts %" PRIu64
			     " entries, %" PRIu64 " more lie behind them",
			     log->super_entries, p->s->recovered);
	return rc;
}

static int walk(struct pass *p, struct platter_progress *progress,
		struct plt_wlog_stop *stop, struct platter_error *err)
{
	struct platter_log *log = p->log;
	struct platter_log_cursor *c;
	struct platter_log_entry e;
	int rc;

	rc = platter_log_cursor_new(&c, log, 0, err);
	if (rc)
		return rc;
	while ((rc = platter_log_next(c, &e, err)) == 0) {
		p->ext += c->last_ext;
		rc = count(p, &e, err);
		if (!rc && (e.number & 0xfff) == 0)
			rc = plt_progress(progress, e.offset, log->size, err);
		if (rc)
			break;
	}
	p->s->end = c->offset;
	p->s->clean_end = c->closed;
	*stop = c->stop;
	platter_log_cursor_free(c);
	if (rc >= 0)
		rc = end_epoch(p, err);
	return rc;
}

static int summarize(struct pass *p, struct platter_progress *progress,
		     struct platter_error *err)
{
	struct platter_log *log = p->log;
	struct platter_log_summary *s = p->s;
	struct plt_wlog_stop stop;
	int rc;

	s->sector_size = log->sector_size;
	s->super_valid = log->super_valid;
	s->super_entries = log->super_entries;
	s->log_size = log->size;
	rc = walk(p, progress, &stop, err);
	if (rc)
		return rc;
	s->epoch_median = median_epoch(p);
	identify(p);
	rc = judge_start(p, err);
	if (!rc)
		rc = judge_end(p, &stop, err);
	s->problems = log->problems;
	s->nr_problems = log->nr_problems;
	return rc;
}

int platter_log_scan(struct platter_log *log,
		     struct platter_progress *progress,
		     const struct platter_log_summary **summary,
		     struct platter_error *err)
{
	struct pass p = { .log = log };
	int rc = 0;

	if (!log->summary) {
		p.epochs = plt_calloc(EPOCH_TABLE, sizeof(*p.epochs), err);
		p.s = plt_calloc(1, sizeof(*p.s), err);
		log->summary = p.s;
		rc = p.epochs && p.s ? summarize(&p, progress, err) : -ENOMEM;
		free(p.epochs);
		free(p.large);
		if (rc) {
			free(log->summary);
			log->summary = NULL;
			log->nr_problems = 0;
		}
	}
	*summary = log->summary;
	return rc;
}

int platter_log_end(struct platter_log *log,
		    struct platter_log_problem *problem,
		    struct platter_error *err)
{
	struct plt_wlog_stop end;
	int rc;

	rc = plt_wlog_find_end(log, &end, err);
	if (rc)
		return rc;
	problem->severity = PLATTER_LOG_DAMAGE;
	problem->offset = end.offset;
	problem->entry = end.number;
	return is_broken_off(log, end.number, &end, problem->text,
			     sizeof(problem->text));
}

int platter_log_extent_of(struct platter_log *log, uint64_t from, uint64_t to,
			  uint64_t *device_size, struct platter_error *err)
{
	struct platter_log_cursor *c;
	struct platter_log_entry e;
	int rc = 0;

	*device_size = 0;
	if (log->index && from == 0 && to >= log->index->nr_entries) {
		*device_size = log->index->device_sectors << log->sector_bits;
		return 0;
	}
	rc = platter_log_cursor_new(&c, log, from, err);
	if (rc)
		return rc;
	while (c->number < to && (rc = platter_log_next(c, &e, err)) == 0)
		if (e.length)	/* an empty flush has a place, but no part */
			*device_size = PLT_MAX(*device_size,
					       e.start + e.length);
	platter_log_cursor_free(c);
	return rc < 0 ? rc : 0;
}
