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
#include <sys/stat.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/newfile.h"
#include "copy/copy.h"
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
static int check_target(const struct platter_log *log,
			const struct plt_newfile *nf,
			struct platter_error *err)
{
	struct stat a, b;

	if (!stat(log->name, &a) && !stat(plt_newfile_path(nf), &b) &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return plt_err_set(err, -EINVAL,
				   "%s: is the log itself; name another file",
				   plt_newfile_path(nf));
	return 0;
}

static int begin_target(struct platter_log *log, const char *path, bool force,
			struct plt_newfile **nf, struct platter_error *err)
{
	int rc;

	rc = plt_newfile_new(nf, path, force, err);
	if (rc)
		return rc;
	rc = check_target(log, *nf, err);
	if (rc) {
		plt_newfile_free(*nf);
		*nf = NULL;
	}
	return rc;
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
	rc = begin_target(log, path, force, &nf, err);
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

static int squash_onto(struct platter_context *ctx, struct platter_log *log,
		       const struct platter_log_cut_options *opts,
		       struct platter_image *base,
		       const struct plt_newfile *nf, struct platter_error *err)
{
	const struct plt_wlog_state state = { .log = log, .to = opts->from };
	struct plt_copy_options copy = {
		.target_is_zero = true,
		.sparse_size = 4096,
		.progress = opts->progress,
	};
	struct platter_image *view, *img;
	int rc, closed;

	rc = platter_log_extent_of(log, 0, UINT64_MAX, &copy.length, err);
	if (rc)
		return rc;
	if (base)
		copy.length = PLT_MAX(copy.length, platter_image_size(base));
	rc = plt_wlog_view(&view, &state, base, copy.length, err);
	if (rc)
		return rc;
	rc = open_part(&img, ctx, nf, err);
	if (!rc) {
		rc = platter_image_resize(img, copy.length, err);
		if (!rc && copy.length)
			rc = plt_copy(view, img, &copy, NULL, err);
		closed = platter_image_close(img, rc ? NULL : err);
		rc = rc ? rc : closed;
	}
	platter_image_close(view, NULL);
	return rc;
}

static int squash(struct platter_context *ctx, struct platter_log *log,
		  const struct platter_log_cut_options *opts,
		  const struct plt_newfile *nf, struct platter_error *err)
{
	const struct platter_open_options open_opts = {
		.format = opts->base_format,
	};
	struct platter_image *base = NULL;
	int rc;

	rc = platter_log_index(log, NULL, err);
	if (!rc && opts->base)
		rc = platter_image_open(&base, ctx, opts->base, &open_opts,
					err);
	if (!rc)
		rc = squash_onto(ctx, log, opts, base, nf, err);
	platter_image_close(base, NULL);
	return rc;
}

int platter_log_cut(struct platter_context *ctx, struct platter_log *log,
		    const char *path,
		    const struct platter_log_cut_options *opts,
		    struct platter_log_copy_result *result,
		    struct platter_error *err)
{
	struct plt_newfile *nf = NULL, *image = NULL;
	struct stretch part;
	int rc;

	*result = (struct platter_log_copy_result){ 0 };
	rc = find_stretch(log, opts->from, opts->to, &part, err);
	if (!rc)
		rc = begin_target(log, path, opts->force, &nf, err);
	if (!rc && opts->squash_path)
		rc = begin_target(log, opts->squash_path, opts->force, &image,
				  err);
	if (!rc)
		rc = write_stretch(log, nf, &part, opts->progress,
				   &result->bytes, err);
	if (!rc && image)
		rc = squash(ctx, log, opts, image, err);
	/* The image first: a cut log without its base is of little use. */
	if (!rc && image)
		rc = plt_newfile_commit(image, true, err);
	if (!rc)
		rc = plt_newfile_commit(nf, true, err);
	plt_newfile_free(image);
	plt_newfile_free(nf);
	result->entries = opts->to - opts->from;
	return rc;
}
