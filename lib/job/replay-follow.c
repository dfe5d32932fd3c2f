/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Replay of a log that grows: the target stays a step behind it.
 *
 * A replica has to be there under its name while it is one, so nothing is
 * renamed at the end as a replay does: a file is made first, empty or from the
 * base, and from then on changed in place. How large the device is a log does
 * not say; the target grows with what the entries reach.
 */
#include <inttypes.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "copy/copy.h"
#include "core/core.h"
#include "job/job.h"
#include "wlog/wlog.h"

struct replica {
	struct platter_context *ctx;
	struct platter_log_follow *f;
	const struct platter_replay_options *opts;
	struct platter_replay_result *result;
	const char *path;		/* of the target */
	struct platter_image *base;	/* or NULL */
	struct plt_target target;
	bool device;
	struct plt_in_order job;
	struct plt_player player;
	uint64_t from, to;		/* points; from > to: no entry yet */
};

/* ---- the target ---- */

static int copy_base(struct replica *r, struct platter_error *err)
{
	const struct plt_copy_options copy = {
		.length = platter_image_size(r->base),
		.target_is_zero = r->target.is_zero,
		.workers = r->opts->workers,
		.progress = r->opts->progress,
	};
	struct plt_copy_result result;
	int rc;

	if (!copy.length)
		return 0;
	rc = plt_copy(r->base, r->target.img, &copy, &result, err);
	r->result->written += rc ? 0 : result.written;
	r->result->zeroed += rc ? 0 : result.zeroed;
	return rc;
}

static int open_in_place(struct replica *r,
			 const struct plt_target_options *options,
			 struct platter_error *err)
{
	uint64_t have, need = r->base ? platter_image_size(r->base) : 0;
	int rc;

	rc = plt_target_open(&r->target, r->ctx, options, err);
	if (rc)
		return rc;
	have = platter_image_size(r->target.img);
	if (r->device && have < need)
		return plt_err_set(err, -ENOSPC, "%s: %" PRIu64 " bytes are "
				   "too few for the base of %" PRIu64, r->path,
				   have, need);
	return r->device && r->base ? copy_base(r, err) : 0;
}

/* A new file, complete as far as there is anything yet, under its name. */
static int make_file(struct replica *r,
		     const struct plt_target_options *options,
		     struct platter_error *err)
{
	int rc;

	rc = plt_target_make(&r->target, r->ctx, options, err);
	if (!rc && r->base)
		rc = copy_base(r, err);
	if (!rc)
		rc = plt_target_commit(&r->target, err);
	r->result->created = !rc;
	return rc;
}

static int open_target(struct replica *r, struct platter_error *err)
{
	struct plt_target_options options = {
		.path = r->path,
		.size = r->base ? platter_image_size(r->base) : 0,
		.flags = r->opts->open_flags,
		.cache = r->opts->target_cache,
		.refuse_magic = !r->opts->target_format,
	};
	enum plt_target_kind kind;
	int rc;

	rc = plt_target_look(r->path, &kind, err);
	if (rc)
		return rc;
	r->device = kind == PLT_TARGET_DEVICE;
	if (kind == PLT_TARGET_ABSENT || (kind == PLT_TARGET_FILE && r->base)) {
		/* What it begins with then is the base's. */
		options.refuse_magic = false;
		rc = make_file(r, &options, err);
	}
	return rc ? rc : open_in_place(r, &options, err);
}

static int prepare(struct replica *r, struct platter_error *err)
{
	const struct platter_open_options base = {
		.format = r->opts->base_format,
	};
	bool is_log = plt_same_file(plt_wlog_follow_path(r->f), r->path);
	int rc = 0;

	if (r->opts->has_range &&
	    !plt_add_u64(&r->job.end, r->opts->range_offset,
			 r->opts->range_length))
		return plt_err_set(err, -ERANGE, "range %" PRIu64 "+%" PRIu64
				   " reaches beyond what a device can have",
				   r->opts->range_offset,
				   r->opts->range_length);
	if (r->opts->base)
		rc = platter_image_open(&r->base, r->ctx, r->opts->base, &base,
					err);
	if (!rc)
		rc = plt_replay_check_target(r->opts, r->base, is_log, err);
	if (!rc)
		rc = open_target(r, err);
	if (rc)
		return rc;
	r->job.target = r->target.img;
	return plt_player_begin(&r->player, &r->job, r->result, err);
}

/* ---- following ---- */

static int make_room(struct replica *r, const struct platter_log_entry *e,
		     struct platter_error *err)
{
	const uint64_t have = platter_image_size(r->target.img);
	uint64_t end = PLT_MIN(e->start + e->length, r->job.end);

	if (!e->length || end <= have)
		return 0;
	if (r->device)
		return plt_err_set(err, -ENOSPC, "%s: %" PRIu64 " bytes are "
				   "too few for a write that ends at %" PRIu64,
				   r->path, have, end);
	return platter_image_resize(r->target.img, end, err);
}

static int apply(struct replica *r, const struct platter_log_entry *e,
		 struct platter_error *err)
{
	int rc;

	rc = make_room(r, e, err);
	if (!rc)
		rc = plt_player_entry(&r->player, e, err);
	if (rc)
		return plt_err_prefix(err, rc, "entry %" PRIu64, e->number);
	r->from = PLT_MIN(r->from, e->number);
	r->to = e->number + 1;
	return 0;
}

static int follow(struct replica *r, struct platter_error *err)
{
	struct platter_log_entry e;
	int rc, last;

	while ((rc = platter_log_follow_wait(r->f, err)) == 0) {
		r->job.log = platter_log_follow_log(r->f);
		while ((rc = platter_log_follow_next(r->f, &e, err)) == 0) {
			rc = apply(r, &e, err);
			if (rc)
				break;
		}
		if (rc < 0)
			break;
	}
	/* Whatever ended it, what the target is at is to stay. */
	last = platter_image_flush(r->target.img, rc < 0 ? NULL : err);
	if (rc == -ECANCELED)
		return plt_err_set(err, rc, "interrupted; %s is at entry %"
				   PRIu64 " of the log", r->path, r->to);
	return rc < 0 ? rc : last;
}

/* ---- verifying ---- */

static int compare(struct replica *r, struct platter_image *view,
		   uint64_t size, struct platter_error *err)
{
	const uint64_t begin = PLT_MIN(r->job.begin, size);
	const struct plt_compare_request req = {
		.offset = begin,
		.length = PLT_MIN(r->job.end, size) - begin,
		.only_present = !r->base,
		.workers = r->opts->workers,
		.progress = r->opts->progress,
	};

	return plt_replay_verify(view, r->target.img, &req, err);
}

/* Against the state at the point reached, which the index gives. */
static int verify(struct replica *r, struct platter_error *err)
{
	struct platter_log *log = platter_log_follow_log(r->f);
	const struct plt_wlog_state state = {
		.log = log,
		.from = r->from,
		.to = r->to,
		.no_discard = r->opts->no_discard,
	};
	struct platter_image *view;
	uint64_t size;
	int rc;

	rc = platter_log_index(log, NULL, err);
	if (!rc)
		rc = platter_log_extent_of(log, r->from, r->to, &size, err);
	if (rc)
		return rc;
	if (r->base)
		size = PLT_MAX(size, platter_image_size(r->base));
	rc = plt_wlog_view(&view, &state, r->base, size, err);
	if (rc)
		return rc;
	rc = compare(r, view, size, err);
	plt_image_free(view);
	return rc;
}

static int run(struct replica *r, struct platter_error *err)
{
	int rc;

	rc = prepare(r, err);
	if (!rc)
		rc = follow(r, err);
	if (rc)
		return rc;
	r->from = PLT_MIN(r->from, r->to);
	if (r->opts->verify)
		rc = verify(r, err);
	if (rc)
		return rc;
	r->result->from = r->from;
	r->result->to = r->to;
	r->result->entries = r->to - r->from;
	r->result->target_size = platter_image_size(r->target.img);
	return plt_target_commit(&r->target, err);
}

int platter_replay_follow(struct platter_context *ctx,
			  struct platter_log_follow *f,
			  const struct platter_replay_options *opts,
			  struct platter_replay_result *result,
			  struct platter_error *err)
{
	struct replica r = {
		.ctx = ctx,
		.f = f,
		.opts = opts,
		.result = result,
		.path = plt_target_path(opts->target),
		.job = {
			.begin = opts->has_range ? opts->range_offset : 0,
			.end = UINT64_MAX,
			.no_discard = opts->no_discard,
		},
		.from = UINT64_MAX,
	};
	int rc;

	*result = (struct platter_replay_result){ 0 };
	rc = run(&r, err);
	plt_player_end(&r.player);
	plt_target_abandon(&r.target);
	plt_image_free(r.base);
	return rc;
}
