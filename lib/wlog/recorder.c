/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recording what is written to an image: requests.
 *
 * A request is logged when it has been done, and acknowledged when it has been
 * logged. What says that it is durable - a flush, or a write with FUA - is
 * acknowledged when the super block counts it and the log has been flushed,
 * too. Requests that fail are not logged, and once the log cannot be written
 * nothing is done that would have to be.
 *
 * A FLUSH entry covers what stands before it. So a write that completes while
 * a flush is in flight, which need not cover it, is held back until every
 * flush issued before it completed has been logged. One with FUA is durable by
 * itself and is logged at once.
 *
 * Requests that overlap do not run at the same time, so what the log's order
 * gives is what the image holds. That counts whole log sectors: a request that
 * is none is logged with the bytes around it.
 *
 * A discard is done as a write of zeros that may be unmapped, and logged as a
 * discard, which reads as zeros: what stays undefined cannot be replayed.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include <platter/log.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "bitmap/dirty.h"
#include "core/core.h"
#include "wlog/overlay.h"
#include "wlog/recorder.h"

/* ---- the beginning and the end ---- */

void plt_recorder_init(struct plt_recorder *r, struct platter_image *node)
{
	r->node = node;
	r->file = platter_image_child(node, "file");
	r->log.img = platter_image_child(node, "log");
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	plt_claims_init(&r->claims);
	r->last_flush = &r->first_flush;
}

int plt_recorder_start(struct plt_recorder *r,
		       const struct plt_recorder_options *opts,
		       struct platter_error *err)
{
	struct platter_image *log = r->log.img;
	int rc;

	if (!platter_image_writable(r->node)) {
		return opts->overlay ?
		       plt_recorder_load(r, !opts->log.append ||
					    !platter_image_size(log), err) : 0;
	}
	rc = plt_wlog_appender_open(&r->log, log, &opts->log, err);
	r->started = !rc;
	if (!rc && opts->overlay)
		rc = plt_recorder_load(r, !r->log.entries, err);
	if (rc && r->started)
		plt_wlog_appender_close(&r->log);
	if (rc) {
		r->started = false;
		r->log.img = log;
	}
	return rc;
}

void plt_recorder_close(struct plt_recorder *r)
{
	if (r->started)
		plt_wlog_appender_close(&r->log);
	plt_dirty_free(r->dirty);
	plt_overlay_free(r->overlay);
	plt_claims_destroy(&r->claims);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
}

int plt_recorder_ended(const struct plt_recorder *r, struct platter_error *err)
{
	if (!r->ended)
		return 0;
	return plt_err_set(err, -EROFS, "the recording has ended; nothing can "
			   "be written any more");
}

/* ---- flushes in flight ---- */

struct plt_recorder_flush {
	struct plt_recorder_flush *next;
	uint64_t number;
};

/* The lock is held in these. */
static void flush_begin(struct plt_recorder *r, struct plt_recorder_flush *f)
{
	f->next = NULL;
	f->number = ++r->nr_flushes;
	*r->last_flush = f;
	r->last_flush = &f->next;
}

static void flush_end(struct plt_recorder *r, struct plt_recorder_flush *f)
{
	struct plt_recorder_flush **at = &r->first_flush;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	if (r->last_flush == &f->next)
		r->last_flush = at;
	pthread_cond_broadcast(&r->changed);
}

/* Wait for all that have been issued; those that come meanwhile may stay. */
static void wait_for_flushes(struct plt_recorder *r)
{
	const uint64_t last = r->nr_flushes;

	while (r->first_flush && r->first_flush->number <= last)
		pthread_cond_wait(&r->changed, &r->lock);
}

void plt_recorder_enter(struct plt_recorder *r)
{
	while (r->alone)
		pthread_cond_wait(&r->changed, &r->lock);
	r->busy++;
}

void plt_recorder_leave(struct plt_recorder *r)
{
	r->busy--;
	pthread_cond_broadcast(&r->changed);
}

/* ---- one request ---- */

struct request {
	struct plt_claim claim;
	struct plt_wlog_append entry;
	bool logged;
	uint8_t *edges;		/* the bytes around it, up to whole sectors */
};

/*
 * Claim the sectors of a range. After a 0 request_end() must follow.
 */
static int request_begin(struct plt_recorder *r, struct request *rq,
			 uint64_t offset, uint64_t len,
			 struct platter_error *err)
{
	const uint64_t sector = r->log.sector_size;
	int rc;

	memset(rq, 0, sizeof(*rq));
	rq->entry.issued = platter_context_next_issue(r->node->ctx);
	rq->entry.offset = plt_align_down(offset, sector);
	rq->entry.len = plt_align_up(offset + len, sector) - rq->entry.offset;
	pthread_mutex_lock(&r->lock);
	plt_claim_take(&r->claims, &rq->claim, rq->entry.offset,
		       rq->entry.offset + rq->entry.len, &r->lock);
	rc = plt_recorder_ended(r, err);
	if (!rc && !r->dirty)
		rc = plt_wlog_appender_check(&r->log, err);
	if (rc)
		plt_claim_drop(&r->claims, &rq->claim);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* Read what is there of a range; beyond the end there are zeros. */
static int read_edge(struct plt_recorder *r, uint8_t *buf, uint64_t len,
		     uint64_t offset, struct platter_error *err)
{
	uint64_t size = platter_image_size(r->overlay ? r->node : r->file);
	uint64_t there = offset < size ? PLT_MIN(len, size - offset) : 0;

	memset(buf + there, 0, len - there);
	return there ? plt_recorder_read(r, buf, there, offset, err) : 0;
}

/* `data` (NULL: zeros) goes to `offset`; the entry has what is around it. */
static int request_data(struct plt_recorder *r, struct request *rq,
			const void *data, uint64_t len, uint64_t offset,
			struct platter_error *err)
{
	struct plt_wlog_append *e = &rq->entry;
	uint64_t head = offset - e->offset, tail = e->len - head - len;
	int rc = 0;

	e->piece[1] = (struct plt_wlog_piece) { data, len };
	if (!head && !tail)
		return 0;
	rq->edges = plt_calloc(1, head + tail, err);
	if (!rq->edges)
		return -ENOMEM;
	e->piece[0] = (struct plt_wlog_piece) { rq->edges, head };
	e->piece[2] = (struct plt_wlog_piece) { rq->edges + head, tail };
	if (head)
		rc = read_edge(r, rq->edges, head, e->offset, err);
	if (!rc && tail)
		rc = read_edge(r, rq->edges + head, tail, offset + len, err);
	return rc;
}

/* The image has been changed: log that, or note where. */
static int request_log(struct plt_recorder *r, struct request *rq,
		       struct platter_error *err)
{
	struct plt_wlog_append *e = &rq->entry;
	int rc;

	if (r->dirty) {
		plt_dirty_set(r->dirty, e->offset, e->len);
		return 0;
	}
	e->time_ns = plt_now_ns();
	if (!(e->flags & PLATTER_LOG_FUA)) {
		pthread_mutex_lock(&r->lock);
		wait_for_flushes(r);
		pthread_mutex_unlock(&r->lock);
	}
	rc = plt_wlog_appender_add(&r->log, e, err);
	rq->logged = !rc;
	if (rc || !r->overlay)
		return rc;
	return plt_overlay_set(r->overlay, e->offset, e->len,
			       e->flags & PLATTER_LOG_DISCARD ? 0 :
			       e->log_offset + r->log.sector_size, err);
}

static void count(struct platter_record_stats *s,
		  const struct plt_wlog_append *e)
{
	if (e->flags & PLATTER_LOG_DISCARD) {
		s->discards++;
		s->discard_bytes += e->len;
		return;
	}
	s->writes++;
	s->fuas += !!(e->flags & PLATTER_LOG_FUA);
	s->data_bytes += e->len;
}

/* Passes `rc` on. */
static int request_end(struct plt_recorder *r, struct request *rq, int rc)
{
	free(rq->edges);
	pthread_mutex_lock(&r->lock);
	if (rq->logged)
		count(&r->stats, &rq->entry);
	plt_claim_drop(&r->claims, &rq->claim);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* ---- requests ---- */

int plt_recorder_read(struct plt_recorder *r, void *buf, size_t len,
		      uint64_t offset, struct platter_error *err)
{
	if (r->overlay)
		return plt_recorder_overlay_read(r, buf, len, offset, err);
	return platter_image_pread(r->file, buf, len, offset, err);
}

int plt_recorder_write(struct plt_recorder *r, const void *buf, size_t len,
		       uint64_t offset, bool fua, struct platter_error *err)
{
	struct request rq;
	int rc;

	rc = request_begin(r, &rq, offset, len, err);
	if (rc)
		return rc;
	rq.entry.flags = fua ? PLATTER_LOG_FUA : 0;
	rq.entry.counted = fua;
	rc = request_data(r, &rq, buf, len, offset, err);
	if (!rc && !r->overlay)
		rc = fua ? platter_image_pwrite_fua(r->file, buf, len, offset,
						    err) :
			   platter_image_pwrite(r->file, buf, len, offset, err);
	if (!rc)
		rc = request_log(r, &rq, err);
	rc = request_end(r, &rq, rc);
	return rc || !fua ? rc : platter_image_flush(r->log.img, err);
}

int plt_recorder_zero(struct plt_recorder *r, uint64_t offset, uint64_t len,
		      unsigned int flags, struct platter_error *err)
{
	struct request rq;
	int rc;

	rc = request_begin(r, &rq, offset, len, err);
	if (rc)
		return rc;
	rc = request_data(r, &rq, NULL, len, offset, err);
	if (!rc && !r->overlay)
		rc = platter_image_zero(r->file, offset, len, flags, err);
	if (!rc)
		rc = request_log(r, &rq, err);
	return request_end(r, &rq, rc);
}

/* Only whole sectors: a discard may be left out. */
int plt_recorder_discard(struct plt_recorder *r, uint64_t offset, uint64_t len,
			 struct platter_error *err)
{
	const uint64_t begin = plt_align_up(offset, r->log.sector_size);
	const uint64_t end = plt_align_down(offset + len, r->log.sector_size);
	struct request rq;
	int rc;

	if (begin >= end)
		return 0;
	rc = request_begin(r, &rq, begin, end - begin, err);
	if (rc)
		return rc;
	rq.entry.flags = PLATTER_LOG_DISCARD;
	if (!r->overlay)
		rc = platter_image_zero(r->file, begin, end - begin,
					PLATTER_ZERO_UNMAP, err);
	if (!rc)
		rc = request_log(r, &rq, err);
	return request_end(r, &rq, rc);
}

int plt_recorder_flush(struct plt_recorder *r, struct platter_error *err)
{
	struct plt_wlog_append e = {
		.issued = platter_context_next_issue(r->node->ctx),
		.flags = PLATTER_LOG_FLUSH,
		.counted = true,
	};
	struct plt_recorder_flush flush;
	bool log;
	int rc;

	pthread_mutex_lock(&r->lock);
	plt_recorder_enter(r);
	flush_begin(r, &flush);
	log = !r->dirty && !r->ended;
	pthread_mutex_unlock(&r->lock);
	rc = r->overlay ? 0 : platter_image_flush(r->file, err);
	e.time_ns = plt_now_ns();
	if (!rc && log)
		rc = plt_wlog_appender_add(&r->log, &e, err);
	pthread_mutex_lock(&r->lock);
	r->stats.flushes += !rc && log;
	flush_end(r, &flush);
	plt_recorder_leave(r);
	pthread_mutex_unlock(&r->lock);
	return rc ? rc : platter_image_flush(r->log.img, err);
}

/* A log has no entry for it; growing shows in the writes that follow. */
int plt_recorder_resize(struct plt_recorder *r, uint64_t size,
			struct platter_error *err)
{
	const uint64_t old = platter_image_size(r->node);
	uint64_t begin, end;
	struct request rq;
	int rc;

	begin = plt_align_up(PLT_MIN(size, old), r->log.sector_size);
	end = plt_align_up(old, r->log.sector_size);
	rc = request_begin(r, &rq, begin, end - begin, err);
	if (rc)
		return rc;
	rq.entry.flags = PLATTER_LOG_DISCARD;
	rc = r->overlay ? plt_recorder_overlay_resize(r, size, err) :
			  platter_image_resize(r->file, size, err);
	if (!rc && r->dirty)
		rc = plt_dirty_resize(r->dirty, size, err);
	if (!rc && begin < end)
		rc = request_log(r, &rq, err);
	if (!rc && !r->overlay)
		size = platter_image_size(r->file);
	if (!rc)
		platter_image_set_size(r->node, size);
	return request_end(r, &rq, rc);
}
