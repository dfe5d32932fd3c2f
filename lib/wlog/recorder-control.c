/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recording what is written to an image: marks, pauses and the end.
 *
 * What changes whether a request is logged waits until none is under way, and
 * lets none begin: all of the device is claimed, and flushes and marks, which
 * claim nothing, are counted.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <platter/log.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "bitmap/dirty.h"
#include "core/core.h"
#include "wlog/format.h"
#include "wlog/recorder.h"

#define DIRTY		4096u		/* bytes for a bit, at least */
#define PIECE		(1u << 20)	/* bytes of an entry, when resuming */

/* ---- alone ---- */

static void begin_alone(struct plt_recorder *r, struct plt_claim *claim)
{
	pthread_mutex_lock(&r->lock);
	while (r->alone)
		pthread_cond_wait(&r->changed, &r->lock);
	r->alone = true;
	plt_claim_take(&r->claims, claim, 0, UINT64_MAX, &r->lock);
	while (r->busy)
		pthread_cond_wait(&r->changed, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

/* Passes `rc` on. */
static int end_alone(struct plt_recorder *r, struct plt_claim *claim, int rc)
{
	pthread_mutex_lock(&r->lock);
	plt_claim_drop(&r->claims, claim);
	r->alone = false;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* ---- marks ---- */

static int add_mark(struct plt_recorder *r, const char *text, size_t len,
		    uint64_t *entry, struct platter_error *err)
{
	struct plt_wlog_append e = {
		.mark = text,
		.mark_len = len,
		.counted = true,
	};
	int rc = plt_wlog_appender_add(&r->log, &e, err);

	if (rc)
		return rc;
	if (entry)
		*entry = e.number;
	pthread_mutex_lock(&r->lock);
	r->stats.marks++;
	pthread_mutex_unlock(&r->lock);
	return 0;
}

static int check_mark(const struct plt_recorder *r, const char *text,
		      size_t len, struct platter_error *err)
{
	const size_t header = PLT_MIN((size_t)r->log.sector_size,
				      (size_t)PLT_WLOG_HEADER_MAX);
	const size_t room = header - sizeof(struct plt_wlog_disk_entry) - 1;

	if (!len)
		return plt_err_set(err, -EINVAL, "the text of a mark is empty");
	if (len > room)
		return plt_err_set(err, -EINVAL, "a mark of %zu bytes is over "
				   "the limit of %zu", len, room);
	if (memchr(text, '\0', len))
		return plt_err_set(err, -EINVAL,
				   "the text of a mark has a NUL byte");
	return 0;
}

/* What has been acknowledged is in the log already, and so before it. */
int plt_recorder_mark(struct plt_recorder *r, const char *text, size_t len,
		      uint64_t *entry, struct platter_error *err)
{
	int rc = check_mark(r, text, len, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&r->lock);
	plt_recorder_enter(r);
	rc = plt_recorder_ended(r, err);
	pthread_mutex_unlock(&r->lock);
	if (!rc)
		rc = add_mark(r, text, len, entry, err);
	pthread_mutex_lock(&r->lock);
	plt_recorder_leave(r);
	pthread_mutex_unlock(&r->lock);
	return rc ? rc : platter_image_flush(r->log.img, err);
}

/* ---- pausing ---- */

static int pause_alone(struct plt_recorder *r, struct platter_error *err)
{
	const uint64_t bytes = PLT_MAX(r->log.sector_size, DIRTY);
	struct plt_dirty *dirty;
	int rc;

	rc = plt_recorder_ended(r, err);
	if (rc || r->dirty)
		return rc;
	if (r->overlay)
		return plt_err_set(err, -ENOTSUP, "with overlay=on the log is "
				   "where writes go: it cannot be paused");
	rc = plt_dirty_new(&dirty, platter_image_size(r->node),
			   plt_log2(bytes), err);
	if (rc)
		return rc;
	rc = add_mark(r, PLATTER_RECORD_PAUSE_MARK,
		      strlen(PLATTER_RECORD_PAUSE_MARK), NULL, err);
	if (rc)
		plt_dirty_free(dirty);
	else
		r->dirty = dirty;
	return rc;
}

/* The bytes of a piece, with zeros behind the end of the image. */
static int log_piece(struct plt_recorder *r, uint8_t *buf, uint64_t offset,
		     uint64_t len, struct platter_error *err)
{
	const uint64_t whole = plt_align_up(len, r->log.sector_size);
	struct plt_wlog_append e = {
		.offset = offset,
		.len = whole,
		.issued = platter_context_next_issue(r->node->ctx),
		.time_ns = plt_now_ns(),
		.piece = { { buf, whole } },
	};
	int rc;

	memset(buf + len, 0, whole - len);
	rc = platter_image_pread(r->file, buf, len, offset, err);
	if (rc)
		return rc;
	if (plt_is_zero(buf, len))
		e.piece[0].data = NULL;
	rc = plt_wlog_appender_add(&r->log, &e, err);
	if (rc)
		return rc;
	pthread_mutex_lock(&r->lock);
	r->stats.writes++;
	r->stats.data_bytes += whole;
	pthread_mutex_unlock(&r->lock);
	return 0;
}

static int log_dirty(struct plt_recorder *r, struct platter_error *err)
{
	const uint64_t step = PLT_MAX(r->log.sector_size, PIECE);
	uint64_t start = 0, len;
	uint8_t *buf;
	int rc = 0;

	buf = plt_memalign(4096, step, err);
	if (!buf)
		return -ENOMEM;
	while (!rc && plt_dirty_next(r->dirty, start, &start, &len)) {
		len = PLT_MIN(len, step);
		rc = log_piece(r, buf, start, len, err);
		start += len;
	}
	free(buf);
	return rc;
}

static int resume_alone(struct plt_recorder *r, struct platter_error *err)
{
	int rc;

	rc = plt_recorder_ended(r, err);
	if (rc || !r->dirty)
		return rc;
	rc = log_dirty(r, err);
	if (!rc)
		rc = add_mark(r, PLATTER_RECORD_RESUME_MARK,
			      strlen(PLATTER_RECORD_RESUME_MARK), NULL, err);
	if (rc)
		return rc;
	plt_dirty_free(r->dirty);
	r->dirty = NULL;
	return 0;
}

int plt_recorder_pause(struct plt_recorder *r, struct platter_error *err)
{
	struct plt_claim all;
	int rc;

	begin_alone(r, &all);
	rc = end_alone(r, &all, pause_alone(r, err));
	return rc ? rc : platter_image_flush(r->log.img, err);
}

int plt_recorder_resume(struct plt_recorder *r, struct platter_error *err)
{
	struct plt_claim all;
	int rc;

	begin_alone(r, &all);
	rc = end_alone(r, &all, resume_alone(r, err));
	return rc ? rc : platter_image_flush(r->log.img, err);
}

/* ---- the end ---- */

static int stop_alone(struct plt_recorder *r, struct platter_error *err)
{
	int rc;

	if (r->ended)
		return 0;
	rc = resume_alone(r, err);
	if (!rc)
		rc = add_mark(r, PLT_WLOG_END_MARK, strlen(PLT_WLOG_END_MARK),
			      NULL, err);
	pthread_mutex_lock(&r->lock);
	r->ended = !rc;
	pthread_mutex_unlock(&r->lock);
	return rc;
}

int plt_recorder_end(struct plt_recorder *r, struct platter_error *err)
{
	struct plt_claim all;
	int rc;

	begin_alone(r, &all);
	rc = end_alone(r, &all, stop_alone(r, err));
	return rc ? rc : platter_image_flush(r->log.img, err);
}

void plt_recorder_stats(struct plt_recorder *r,
			struct platter_record_stats *out)
{
	pthread_mutex_lock(&r->lock);
	*out = r->stats;
	out->paused = r->dirty;
	out->ended = r->ended;
	pthread_mutex_unlock(&r->lock);
	pthread_mutex_lock(&r->log.lock);
	out->entries = r->log.entries;
	out->log_size = r->log.end;
	pthread_mutex_unlock(&r->log.lock);
}
