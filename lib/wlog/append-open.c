/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Appending to a write log: beginning one, or going on with one.
 *
 * A new log leaves nothing of what was in its file before: an old super block
 * over new entries would count what is not there. To go on with a log, its
 * end is looked for as any reader does (reader.c), with the index at hand when
 * there is one that matches.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "wlog/append.h"
#include "wlog/wlog.h"

#define SECTOR_DEFAULT	512u
#define STAGE		(256u << 10)	/* bytes written with a call, at most */

/*
 * A file that is the log from its first byte on can grow by being written to,
 * which it cannot through the format above it.
 */
static struct platter_image *storage(struct platter_image *log)
{
	struct platter_map m;
	size_t count = 1;

	if (log->drv->kind != PLATTER_DRIVER_FORMAT ||
	    log->drv->format->flush || !platter_image_size(log) ||
	    plt_image_format_map(log, 0, 1, &m, &count, NULL) ||
	    m.kind != PLATTER_MAP_DATA || m.offset || !m.child ||
	    !(m.flags & PLATTER_MAP_RECURSE) || !plt_image_grows(m.child))
		return log;
	return m.child;
}

/* `end` is what the log's size has just been set to, as far as it could be. */
static void choose_storage(struct plt_wlog_appender *a,
			   struct platter_image *log, uint64_t end)
{
	a->img = storage(log);
	a->grows = plt_image_grows(a->img) &&
		   platter_image_size(a->img) == end;
}

static int make_stage(struct plt_wlog_appender *a, struct platter_error *err)
{
	a->stage_room = PLT_MAX((size_t)STAGE, 3 * (size_t)a->sector_size);
	a->stage = plt_memalign(4096, a->stage_room, err);
	return a->stage ? 0 : -ENOMEM;
}

/* ---- a new log ---- */

static int begin(struct plt_wlog_appender *a, struct platter_image *log,
		 uint32_t sector_size, struct platter_error *err)
{
	const uint64_t sector = sector_size ? sector_size : SECTOR_DEFAULT;
	int rc;

	a->sector_size = (uint32_t)sector;
	a->end = sector;
	a->entries = a->counted = 0;
	rc = make_stage(a, err);
	if (!rc)
		rc = platter_image_resize(log, 0, err);
	/* All zeros: no super block, and the first header is none. */
	if (!rc && platter_image_size(log) < sector)
		rc = platter_image_resize(log, sector, err);
	if (rc)
		return rc;
	choose_storage(a, log, sector);
	if (!a->grows) {
		a->stage_len = 0;
		memset(a->stage, 0, sector);
		rc = plt_wlog_reserve(a, 2 * sector, err);
		if (!rc)
			rc = platter_image_pwrite(a->img, a->stage, sector, 0,
						  err);
		if (!rc)
			rc = plt_wlog_cut_at(a, sector, err);
	}
	return rc ? rc : plt_wlog_write_super(a, 0, err);
}

/* ---- one that is there ---- */

static int check_sectors(const struct platter_log *log, uint32_t wanted,
			 struct platter_error *err)
{
	if (!wanted || wanted == log->sector_size)
		return 0;
	return plt_err_set(err, -EINVAL, "%s: has log sectors of %u bytes, "
			   "log-sector-size says %u", log->name,
			   log->sector_size, wanted);
}

/*
 * Go to the end, and before the mark that says that nothing follows: what is
 * appended now does.
 */
static int find_end(struct platter_log *log, uint64_t *end, uint64_t *entries,
		    struct platter_error *err)
{
	struct platter_log_cursor *c;
	struct platter_log_entry e = { 0 };
	uint64_t from = log->index ? log->index->nr_entries : 0;
	int rc;

	rc = platter_log_cursor_new(&c, log, from ? from - 1 : 0, err);
	if (rc)
		return rc;
	do {
		*end = c->offset;
		*entries = c->number;
		rc = platter_log_next(c, &e, err);
	} while (!rc && !c->closed);
	if (rc > 0 && c->number < log->super_entries)
		rc = plt_err_set(err, -EUCLEAN, "%s: counts %" PRIu64
				 " entries, but entry %" PRIu64 " cannot be "
				 "proven (%s); platter log repair makes a log "
				 "that can be appended to", log->name,
				 log->super_entries, c->number, c->stop.text);
	platter_log_cursor_free(c);
	return rc < 0 ? rc : 0;
}

static int load_index(struct platter_log *log, struct platter_error *err)
{
	int rc = plt_wlog_sidecar_load(log, &log->index, err);

	if (rc != -ENOMEM)
		rc = 0;		/* none, or of another log: do without */
	if (!rc && err)
		*err = (struct platter_error) PLATTER_ERROR_INIT;
	return rc;
}

static int go_on(struct plt_wlog_appender *a, struct platter_image *img,
		 uint32_t sector_size, struct platter_error *err)
{
	struct platter_log *log;
	int rc;

	rc = plt_wlog_open(&log, img->ctx, storage(img), NULL, err);
	if (rc)
		return rc;
	a->sector_size = log->sector_size;
	rc = check_sectors(log, sector_size, err);
	if (!rc)
		rc = load_index(log, err);
	if (!rc)
		rc = find_end(log, &a->end, &a->entries, err);
	a->counted = a->entries;
	platter_log_close(log);
	if (!rc)
		rc = make_stage(a, err);
	if (!rc)
		rc = platter_image_resize(img, a->end, err);
	if (rc)
		return rc;
	choose_storage(a, img, a->end);
	if (!a->grows)
		rc = plt_wlog_cut_at(a, a->end, err);
	return rc ? rc : plt_wlog_write_super(a, a->entries, err);
}

int plt_wlog_appender_open(struct plt_wlog_appender *a,
			   struct platter_image *log,
			   const struct plt_wlog_append_options *opts,
			   struct platter_error *err)
{
	int rc;

	memset(a, 0, sizeof(*a));
	a->interval = opts->interval;
	rc = opts->append && platter_image_size(log) ?
	     go_on(a, log, opts->sector_size, err) :
	     begin(a, log, opts->sector_size, err);
	if (rc) {
		free(a->stage);
		return rc;
	}
	pthread_mutex_init(&a->lock, NULL);
	return 0;
}

void plt_wlog_appender_close(struct plt_wlog_appender *a)
{
	int rc = 0;

	/* Also of a log that is full: it takes no room. */
	if (a->entries > a->counted)
		rc = plt_wlog_write_super(a, a->entries, NULL);
	(void)rc;
	pthread_mutex_destroy(&a->lock);
	free(a->stage);
}
