/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * New logs from old ones: repair keeps every entry that can be proven, cut
 * keeps those between two points.
 *
 * Entries lie one behind the other, so either is one stretch of the old log
 * with a new super block in front. The new log is written beside its name and
 * renamed; the old one is only read.
 */
#include <errno.h>
#include <inttypes.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/newfile.h"
#include "copy/copy.h"
#include "job/job.h"
#include "wlog/wlog.h"

/* Entries [first, first + entries) and the bytes of log they take. */
struct stretch {
	uint64_t begin, end;
	uint64_t entries;
};

static int open_part(struct platter_image **out, struct platter_context *ctx,
		     const struct plt_newfile *nf, struct platter_error *err)
{
	const struct platter_open_options opts = {
		.format = "raw",
		.flags = PLATTER_O_RDWR,
	};

	return platter_image_open(out, ctx, plt_newfile_part(nf), &opts, err);
}

static int write_stretch(struct platter_log *log, struct plt_newfile *nf,
			 const struct stretch *s,
			 struct platter_progress *progress, uint64_t *bytes,
			 struct platter_error *err)
{
	struct plt_wlog_writer writer;
	struct platter_image *img;
	int rc, closed;

	rc = open_part(&img, log->ctx, nf, err);
	if (rc)
		return rc;
	rc = plt_wlog_writer_start(&writer, img, log->sector_size, err);
	if (!rc)
		rc = plt_wlog_writer_append(&writer, log, s->begin, s->end,
					    s->entries, progress, err);
	if (!rc)
		rc = plt_wlog_writer_finish(&writer, err);
	*bytes = writer.end;
	closed = platter_image_close(img, rc ? NULL : err);
	return rc ? rc : closed;
}

/* Nothing a command writes may take the place of what it reads. */
static int begin_target(struct platter_log *log, struct platter_image *base,
			const char *path, bool force, struct plt_newfile **nf,
			struct platter_error *err)
{
	if (plt_image_uses_path(log->img, path))
		return plt_err_set(err, -EINVAL,
				   "%s: is the log itself; name another file",
				   path);
	if (base && plt_image_uses_path(base, path))
		return plt_err_set(err, -EINVAL, "%s: is the base as well",
				   path);
	return plt_newfile_new(nf, path, force, err);
}

int platter_log_repair(struct platter_log *log, const char *path, bool force,
		       struct platter_progress *progress,
		       struct platter_log_copy_result *result,
		       struct platter_error *err)
{
	const struct platter_log_summary *s;
	struct stretch all = { .begin = log->sector_size };
	struct plt_newfile *nf;
	int rc;

	rc = platter_log_scan(log, NULL, &s, err);
	if (rc)
		return rc;
	all.end = s->end;
	all.entries = s->entries;
	rc = begin_target(log, NULL, path, force, &nf, err);
	if (rc)
		return rc;
	rc = write_stretch(log, nf, &all, progress, &result->bytes, err);
	if (!rc)
		rc = plt_newfile_commit(nf, true, err);
	plt_newfile_free(nf);
	result->entries = s->entries;
	result->dropped_entries = s->super_entries > s->entries ?
				  s->super_entries - s->entries : 0;
	result->dropped_bytes = 0;
	for (size_t i = 0; i < s->nr_problems; i++)
		if (s->problems[i].offset == s->end)
			result->dropped_bytes = s->log_size - s->end;
	return rc;
}

/* ---- cut ---- */

static int find_stretch(struct platter_log *log, uint64_t from, uint64_t to,
			struct stretch *s, struct platter_error *err)
{
	struct platter_log_cursor *c;
	struct platter_log_entry e;
	int rc;

	if (from > to)
		return plt_err_set(err, -EINVAL,
				   "%s: the cut would begin at point %" PRIu64 ", behind its end at %" PRIu64,
				   log->name, from,
				   to);
	rc = platter_log_cursor_new(&c, log, from, err);
	if (rc)
		return rc;
	s->begin = c->offset;
	while (c->number < to && (rc = platter_log_next(c, &e, err)) == 0)
		;
	if (rc > 0)
		rc = plt_err_set(err, -ERANGE,
				 "%s: point %" PRIu64 " is past the end; the log has %" PRIu64 " entries",
				 log->name, to,
				 c->number);
	s->end = c->offset;
	s->entries = to - from;
	platter_log_cursor_free(c);
	return rc;
}

/* The disk at the cut's start, as a raw image. */
static int squash_onto(struct platter_image *img, struct platter_log *log,
		       const struct platter_log_cut_options *opts,
		       struct platter_image *base, struct platter_error *err)
{
	const struct plt_wlog_state state = { .log = log, .to = opts->from };
	struct plt_copy_options copy = {
		.target_is_zero = true,
		.sparse_size = 4096,
		.progress = opts->progress,
	};
	struct platter_image *view;
	int rc;

	rc = platter_log_extent_of(log, 0, UINT64_MAX, &copy.length, err);
	if (rc)
		return rc;
	if (base)
		copy.length = PLT_MAX(copy.length, platter_image_size(base));
	rc = plt_wlog_view(&view, &state, base, copy.length, err);
	if (rc)
		return rc;
	rc = platter_image_resize(img, copy.length, err);
	if (!rc && copy.length)
		rc = plt_copy(view, img, &copy, NULL, err);
	platter_image_close(view, NULL);
	return rc;
}

static int squash(struct platter_context *ctx, struct platter_log *log,
		  const struct platter_log_cut_options *opts,
		  struct platter_image *base, const struct plt_newfile *nf,
		  struct platter_error *err)
{
	struct platter_image *img;
	int rc, closed;

	rc = platter_log_index(log, NULL, err);
	if (!rc)
		rc = open_part(&img, ctx, nf, err);
	if (rc)
		return rc;
	rc = squash_onto(img, log, opts, base, err);
	closed = platter_image_close(img, rc ? NULL : err);
	return rc ? rc : closed;
}

/* What a cut makes: the image, where one is wanted, and the log. */
struct outputs {
	struct plt_newfile *file[2];
	size_t nr;
};

static int begin_outputs(struct outputs *out, struct platter_log *log,
			 struct platter_image *base, const char *path,
			 const struct platter_log_cut_options *opts,
			 struct platter_error *err)
{
	int rc;

	rc = begin_target(log, base, path, opts->force, &out->file[0], err);
	if (rc)
		return rc;
	out->nr = 1;
	if (!opts->squash_path)
		return 0;
	rc = begin_target(log, base, opts->squash_path, opts->force,
			  &out->file[1], err);
	if (rc)
		return rc;
	out->nr = 2;
	if (plt_newfile_same(out->file[0], out->file[1]))
		return plt_err_set(err, -EINVAL,
				   "%s: cannot be both the new log and its base",
				   path);
	return 0;
}

static int write_outputs(struct platter_context *ctx, struct platter_log *log,
			 struct platter_image *base, struct outputs *out,
			 const struct platter_log_cut_options *opts,
			 const struct stretch *part, uint64_t *bytes,
			 struct platter_error *err)
{
	int rc;

	rc = write_stretch(log, out->file[0], part, opts->progress, bytes,
			   err);
	if (!rc && out->nr == 2)
		rc = squash(ctx, log, opts, base, out->file[1], err);
	return rc ? rc : plt_newfile_commit_all(out->file, out->nr, true, err);
}

int platter_log_cut(struct platter_context *ctx, struct platter_log *log,
		    const char *path,
		    const struct platter_log_cut_options *opts,
		    struct platter_log_copy_result *result,
		    struct platter_error *err)
{
	const struct platter_open_options open_opts = {
		.format = opts->base_format,
	};
	struct platter_image *base = NULL;
	struct outputs out = { .nr = 0 };
	struct stretch part;
	int rc;

	*result = (struct platter_log_copy_result){ 0 };
	rc = find_stretch(log, opts->from, opts->to, &part, err);
	if (!rc && opts->squash_path && opts->base)
		rc = platter_image_open(&base, ctx, opts->base, &open_opts,
					err);
	if (!rc)
		rc = begin_outputs(&out, log, base, path, opts, err);
	if (!rc)
		rc = write_outputs(ctx, log, base, &out, opts, &part,
				   &result->bytes, err);
	for (size_t i = 0; i < out.nr; i++)
		plt_newfile_free(out.file[i]);
	platter_image_close(base, NULL);
	result->entries = opts->to - opts->from;
	return rc;
}
