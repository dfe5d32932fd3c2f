/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Replay: bring a file or device to the state of a log's device at a point.
 *
 * The state is a node (lib/wlog/view.c), so replaying is copying: only what the
 * entries wrote, each sector once, in ascending order. With a base the node is
 * the whole device and one pass makes the target. Everything that can be known
 * to be wrong is checked before the target is touched.
 */
#include <inttypes.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "copy/copy.h"
#include "core/core.h"
#include "job/job.h"
#include "wlog/wlog.h"

#define PARTS_MAX 3

/*
 * Zeros in the data of a log become holes of a new file: QEMU logs its
 * write-zeroes requests as data.
 */
#define SPARSE_SIZE 4096

/* A range of the device, and the node that says what belongs there. */
struct part {
	struct platter_image *src;
	uint64_t begin, end;
	bool only_present;	/* leave alone what no entry wrote */
};

/* One progress bar over several steps, each worth its bytes of device. */
struct steps {
	struct platter_progress progress;
	struct platter_progress *outer;
	uint64_t done, total;
	uint64_t span;		/* of the step under way */
};

struct replay {
	struct platter_context *ctx;
	struct platter_log *log;
	const struct platter_replay_options *opts;
	struct platter_replay_result *result;
	const char *path;		/* of the target */
	struct platter_image *base;	/* or NULL */
	struct plt_wlog_state state;	/* between the points */
	struct plt_wlog_state before;	/* no entry: the base alone */
	struct platter_image *view;
	struct platter_image *base_view;
	enum plt_target_kind kind;
	struct plt_target target;
	uint64_t need;			/* bytes of device in log and base */
	uint64_t size;			/* bytes of the target, when done */
	uint64_t begin, end;		/* bytes of device to replay */
	struct part parts[PARTS_MAX];
	size_t nr_parts;
	struct steps steps;
};

/* ---- progress ---- */

static int steps_update(struct platter_progress *self, uint64_t done,
			uint64_t total)
{
	struct steps *s = (struct steps *)self;	/* the first member */
	double share = total ? (double)done / (double)total : 1;

	return s->outer->update(s->outer, s->done +
				(uint64_t)((double)s->span * share), s->total);
}

static struct platter_progress *begin_step(struct replay *r, uint64_t span)
{
	struct steps *s = &r->steps;

	s->done += s->span;
	s->span = span;
	s->outer = r->opts->progress;
	s->progress.update = steps_update;
	return s->outer ? &s->progress : NULL;
}

/* ---- checks, before anything is written ---- */

static int check_points(const struct replay *r, struct platter_error *err)
{
	uint64_t entries = r->log->index->nr_entries;

	if (r->opts->to > entries)
		return plt_err_set(err, -ERANGE, "%s: point %" PRIu64
				   " is beyond its %" PRIu64 " entries",
				   r->log->name, r->opts->to, entries);
	if (r->opts->from > r->opts->to)
		return plt_err_set(err, -EINVAL, "%s: point %" PRIu64
				   " to start from is behind point %" PRIu64
				   " to end at", r->log->name, r->opts->from,
				   r->opts->to);
	return 0;
}

static int check_range(struct replay *r, struct platter_error *err)
{
	const struct platter_replay_options *opts = r->opts;

	r->begin = 0;
	r->end = r->need;
	if (!opts->has_range)
		return 0;
	if (opts->range_offset > r->size ||
	    opts->range_length > r->size - opts->range_offset)
		return plt_err_set(err, -ERANGE, "range %" PRIu64 "+%" PRIu64
				   " reaches beyond the device of %" PRIu64
				   " bytes", opts->range_offset,
				   opts->range_length, r->size);
	r->begin = PLT_MIN(opts->range_offset, r->need);
	r->end = PLT_MIN(opts->range_offset + opts->range_length, r->need);
	return 0;
}

/* ---- opening ---- */

static int open_base(struct replay *r, struct platter_error *err)
{
	const struct platter_open_options opts = {
		.format = r->opts->base_format,
	};

	if (!r->opts->base)
		return 0;
	return platter_image_open(&r->base, r->ctx, r->opts->base, &opts, err);
}

/*
 * The smallest device that holds the whole log, and the base. Not only up to
 * the point: the disk had one size, and the writelog driver shows no other.
 */
static int find_size(struct replay *r, struct platter_error *err)
{
	int rc;

	rc = platter_log_extent_of(r->log, 0, UINT64_MAX, &r->need, err);
	if (rc)
		return rc;
	if (r->need > PLT_OFFSET_MAX)
		return plt_err_set(err, -EFBIG, "%s: needs a device of %" PRIu64
				   " bytes, over the limit of %" PRIu64,
				   r->log->name, r->need, PLT_OFFSET_MAX);
	if (r->base)
		r->need = PLT_MAX(r->need, platter_image_size(r->base));
	r->size = r->need;
	return 0;
}

static int open_in_place(struct replay *r,
			 const struct plt_target_options *target,
			 struct platter_error *err)
{
	uint64_t have;
	int rc;

	rc = plt_target_open(&r->target, r->ctx, target, err);
	if (rc)
		return rc;
	have = platter_image_size(r->target.img);
	if (r->kind == PLT_TARGET_DEVICE && have < r->need)
		return plt_err_set(err, -ENOSPC, "%s: %" PRIu64 " bytes are "
				   "too few for the log's device of %" PRIu64,
				   target->path, have, r->need);
	r->size = PLT_MAX(r->need, have);
	rc = check_range(r, err);
	if (!rc && have < r->size)
		rc = platter_image_resize(r->target.img, r->size, err);
	return rc;
}

static int open_target(struct replay *r, struct platter_error *err)
{
	struct plt_target_options target = {
		.path = r->path,
		.size = r->size,
		.flags = r->opts->open_flags,
		.cache = r->opts->target_cache,
		.refuse_magic = !r->opts->target_format,
	};
	int rc;

	if (r->kind == PLT_TARGET_DEVICE ||
	    (r->kind == PLT_TARGET_FILE && !r->base))
		return open_in_place(r, &target, err);
	rc = check_range(r, err);
	return rc ? rc : plt_target_make(&r->target, r->ctx, &target, err);
}

static int open_views(struct replay *r, struct platter_error *err)
{
	int rc;

	r->state = (struct plt_wlog_state){
		.log = r->log,
		.from = r->opts->from,
		.to = r->opts->to,
		.no_discard = r->opts->no_discard,
	};
	r->before = r->state;
	r->before.to = r->before.from;
	rc = plt_wlog_view(&r->view, &r->state, r->base, r->need, err);
	if (!rc && r->base)
		rc = plt_wlog_view(&r->base_view, &r->before, r->base,
				   r->need, err);
	return rc;
}

static void add_part(struct replay *r, struct platter_image *src,
		     uint64_t begin, uint64_t end, bool only_present)
{
	if (begin < end)
		r->parts[r->nr_parts++] = (struct part){
			src, begin, end, only_present,
		};
}

/*
 * What the target shall be: with a base all that log and base reach, without
 * one only what entries wrote.
 */
static void divide(struct replay *r)
{
	uint64_t compared = 0, written;

	if (r->base)
		add_part(r, r->base_view, 0, r->begin, false);
	add_part(r, r->view, r->begin, r->end, !r->base);
	if (r->base)
		add_part(r, r->base_view, r->end, r->need, false);
	for (size_t i = 0; i < r->nr_parts; i++)
		compared += r->parts[i].end - r->parts[i].begin;
	written = compared;
	if (r->opts->in_order)
		written = r->end - r->begin + (r->base ? r->need : 0);
	r->steps.total = written + (r->opts->verify ? compared : 0);
}

static int prepare(struct replay *r, struct platter_error *err)
{
	int rc;

	rc = platter_log_index(r->log, NULL, err);
	if (!rc)
		rc = check_points(r, err);
	if (!rc)
		rc = plt_target_look(r->path, &r->kind, err);
	if (!rc)
		rc = open_base(r, err);
	if (!rc)
		rc = plt_replay_check_target(r->opts, r->base,
					     plt_image_uses_path(r->log->img,
								 r->path),
					     err);
	if (!rc)
		rc = find_size(r, err);
	if (!rc)
		rc = open_target(r, err);
	if (!rc)
		rc = open_views(r, err);
	if (!rc)
		divide(r);
	return rc;
}

/* ---- the work ---- */

static int copy_part(struct replay *r, const struct part *part,
		     struct platter_error *err)
{
	const struct plt_copy_options copy = {
		.offset = part->begin,
		.length = part->end - part->begin,
		.target_is_zero = r->target.is_zero,
		.only_present = part->only_present,
		.sparse_size = r->target.is_zero && !r->base ? SPARSE_SIZE : 0,
		.workers = r->opts->workers,
		.progress = begin_step(r, part->end - part->begin),
	};
	struct plt_copy_result result;
	int rc;

	rc = plt_copy(part->src, r->target.img, &copy, &result, err);
	if (rc)
		return rc;
	r->result->written += result.written;
	r->result->zeroed += result.zeroed;
	return 0;
}

static int replay_merged(struct replay *r, struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < r->nr_parts && !rc; i++)
		rc = copy_part(r, &r->parts[i], err);
	return rc;
}

static int replay_in_order(struct replay *r, struct platter_error *err)
{
	const struct part all = { r->base_view, 0, r->need, false };
	struct plt_in_order job = {
		.log = r->log,
		.target = r->target.img,
		.from = r->opts->from,
		.to = r->opts->to,
		.begin = r->begin,
		.end = r->end,
		.no_discard = r->opts->no_discard,
	};
	int rc = 0;

	if (r->base)
		rc = copy_part(r, &all, err);
	if (rc)
		return rc;
	job.progress = begin_step(r, r->end - r->begin);
	return plt_replay_in_order(&job, r->result, err);
}

static int verify_part(struct replay *r, const struct part *part,
		       struct platter_error *err)
{
	const struct plt_compare_request req = {
		.offset = part->begin,
		.length = part->end - part->begin,
		.only_present = part->only_present,
		.workers = r->opts->workers,
		.progress = begin_step(r, part->end - part->begin),
	};

	return plt_replay_verify(part->src, r->target.img, &req, err);
}

static int verify(struct replay *r, struct platter_error *err)
{
	int rc = platter_image_flush(r->target.img, err);

	for (size_t i = 0; i < r->nr_parts && !rc; i++)
		rc = verify_part(r, &r->parts[i], err);
	return rc;
}

static int run(struct replay *r, struct platter_error *err)
{
	int rc = prepare(r, err);

	if (!rc)
		rc = r->opts->in_order ? replay_in_order(r, err) :
					 replay_merged(r, err);
	if (!rc && r->opts->verify)
		rc = verify(r, err);
	if (rc)
		return rc;
	r->result->from = r->opts->from;
	r->result->to = r->opts->to;
	r->result->entries = r->opts->to - r->opts->from;
	r->result->target_size = r->size;
	r->result->created = r->target.newfile != NULL;
	return plt_target_commit(&r->target, err);
}

int platter_replay(struct platter_context *ctx, struct platter_log *log,
		   const struct platter_replay_options *opts,
		   struct platter_replay_result *result,
		   struct platter_error *err)
{
	struct replay r = {
		.ctx = ctx,
		.log = log,
		.opts = opts,
		.result = result,
		.path = plt_target_path(opts->target),
	};
	int rc;

	*result = (struct platter_replay_result){ 0 };
	rc = run(&r, err);
	plt_target_abandon(&r.target);
	/* The views are on the log and the base, so they go first. */
	plt_image_free(r.view);
	plt_image_free(r.base_view);
	plt_image_free(r.base);
	return rc;
}
