/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Replay in order: each entry is issued as it was logged.
 *
 * For targets that watch the stream itself (a device under test, another
 * recorder), so nothing is merged, left out or done by two threads. A flush
 * that carries data comes before the data, as the kernel logs it.
 */
#include <inttypes.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "job/job.h"
#include "wlog/wlog.h"

#define BUFFER		(UINT64_C(1) << 20)
#define ALIGN		4096u
#define REPORT_EVERY	(UINT64_C(4) << 20)	/* bytes of log */

/* Bytes into the log, for progress. */
struct report {
	uint64_t first, last;
	uint64_t reported;
};

static int flush(struct plt_player *p, struct platter_error *err)
{
	p->result->flushes++;
	return platter_image_flush(p->job->target, err);
}

static int play_data(struct plt_player *p, uint64_t log_offset, uint64_t start,
		     uint64_t end, struct platter_error *err)
{
	int rc = 0;

	while (start < end && !rc) {
		uint64_t n = PLT_MIN(end - start, BUFFER);

		rc = platter_image_pread(p->job->log->img, p->buf, n,
					 log_offset, err);
		if (!rc)
			rc = platter_image_pwrite(p->job->target, p->buf, n,
						  start, err);
		start += n;
		log_offset += n;
		p->result->written += n;
	}
	return rc;
}

/* The part of an entry that lies in the range to replay. */
static int play_range(struct plt_player *p, const struct platter_log_entry *e,
		      struct platter_error *err)
{
	uint64_t start = PLT_MAX(e->start, p->job->begin);
	uint64_t end = PLT_MIN(e->start + e->length, p->job->end);

	if (start >= end)
		return 0;
	if (!(e->flags & PLATTER_LOG_DISCARD))
		return play_data(p, e->data_offset + (start - e->start), start,
				 end, err);
	if (p->job->no_discard)
		return 0;
	p->result->zeroed += end - start;
	return platter_image_zero(p->job->target, start, end - start,
				  PLATTER_ZERO_UNMAP, err);
}

int plt_player_entry(struct plt_player *p, const struct platter_log_entry *e,
		     struct platter_error *err)
{
	int rc = 0;

	if (e->flags & PLATTER_LOG_MARK)
		return 0;
	if (e->flags & PLATTER_LOG_FLUSH)
		rc = flush(p, err);
	if (!rc && e->length)
		rc = play_range(p, e, err);
	/* What a kernel logs as an empty FLUSH|FUA is one flush, not two. */
	if (!rc && (e->flags & PLATTER_LOG_FUA) &&
	    (e->length || !(e->flags & PLATTER_LOG_FLUSH)))
		rc = flush(p, err);
	return rc;
}

int plt_player_begin(struct plt_player *p, const struct plt_in_order *job,
		     struct platter_replay_result *result,
		     struct platter_error *err)
{
	*p = (struct plt_player){ .job = job, .result = result };
	p->buf = plt_memalign(ALIGN, BUFFER, err);
	return p->buf ? 0 : -ENOMEM;
}

void plt_player_end(struct plt_player *p)
{
	free(p->buf);
	p->buf = NULL;
}

static int report(const struct plt_player *p, struct report *r,
		  uint64_t offset, struct platter_error *err)
{
	if (offset - r->reported < REPORT_EVERY)
		return 0;
	r->reported = offset;
	return plt_progress(p->job->progress, offset - r->first,
			    r->last - r->first, err);
}

static int play_all(struct plt_player *p, struct report *r,
		    struct platter_log_cursor *cursor,
		    struct platter_error *err)
{
	struct platter_log_entry e;
	int rc = 0;

	while (!rc && cursor->number < p->job->to) {
		rc = platter_log_next(cursor, &e, err);
		if (rc > 0)
			return plt_err_set(err, -ERANGE, "%s: has no entry %"
					   PRIu64, p->job->log->name,
					   cursor->number);
		if (!rc)
			rc = plt_player_entry(p, &e, err);
		if (rc)
			return plt_err_prefix(err, rc, "entry %" PRIu64,
					      e.number);
		rc = report(p, r, e.offset, err);
	}
	return rc;
}

/* Where the entry at point `number` begins, or would. */
static int point_offset(struct platter_log *log, uint64_t number,
			uint64_t *offset, struct platter_error *err)
{
	struct platter_log_cursor *cursor;
	int rc;

	rc = platter_log_cursor_new(&cursor, log, number, err);
	if (rc)
		return rc;
	*offset = cursor->offset;
	platter_log_cursor_free(cursor);
	return 0;
}

int plt_replay_in_order(const struct plt_in_order *job,
			struct platter_replay_result *result,
			struct platter_error *err)
{
	struct platter_log_cursor *cursor;
	struct plt_player p;
	struct report r;
	int rc;

	rc = point_offset(job->log, job->to, &r.last, err);
	if (!rc)
		rc = platter_log_cursor_new(&cursor, job->log, job->from, err);
	if (rc)
		return rc;
	r.first = cursor->offset;
	r.reported = cursor->offset;
	rc = plt_player_begin(&p, job, result, err);
	if (!rc)
		rc = play_all(&p, &r, cursor, err);
	plt_player_end(&p);
	platter_log_cursor_free(cursor);
	if (!rc)
		rc = plt_progress(job->progress, r.last - r.first,
				  r.last - r.first, err);
	return rc;
}
