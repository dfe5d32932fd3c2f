/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What concerns an image as a whole: facts, checks, snapshots, bitmaps,
 * changes of its options.
 *
 * A filter has none of these; its child is asked. What changes the image runs
 * alone, as no I/O call could do anything sensible meanwhile.
 */
#include "base/error.h"
#include "base/mem.h"
#include "base/opts.h"
#include "core/core.h"
#include "core/rw.h"

/* The format node that `img` is or that the filters over it pass on to. */
static struct platter_image *format_of(struct platter_image *img)
{
	while (img && img->drv->kind == PLATTER_DRIVER_FILTER)
		img = plt_image_below(img);
	return img && img->drv->kind == PLATTER_DRIVER_FORMAT ? img : NULL;
}

static int unsupported(const struct platter_image *img, const char *what,
		       struct platter_error *err)
{
	return plt_err_set(err, -ENOTSUP, "%s: format %s does not support %s",
			   img->name, img->drv->name, what);
}

/* ---- facts ---- */

int platter_image_facts(struct platter_image *img,
			struct platter_image_facts *out,
			struct platter_error *err)
{
	struct platter_image *f = format_of(img);

	*out = (struct platter_image_facts){ .dirty = false };
	if (!f || !f->drv->format->facts)
		return 0;
	return plt_image_prefix(f, f->drv->format->facts(f, out, err), err);
}

char *platter_image_backing_path(struct platter_image *img,
				 struct platter_error *err)
{
	struct platter_image_facts facts;
	const char *path;

	if (platter_image_facts(img, &facts, err) || !facts.backing_filename)
		return NULL;
	path = plt_image_local_path(img);
	if (!path || plt_spec_scheme(facts.backing_filename))
		return plt_strdup(facts.backing_filename, err);
	return plt_gate_path(path, facts.backing_filename, err);
}

/* ---- changes ---- */

/* After a 0, end_alone() must follow. `can`: `f` has the operation. */
static int begin_alone(struct platter_image *img, struct platter_image *f,
		       bool can, const char *what, struct platter_error *err)
{
	int rc;

	if (!can)
		return unsupported(img, what, err);
	rc = plt_rw_check(img, what, 0, 0, err);
	if (!rc)
		platter_image_enter_alone(f);
	return rc;
}

static int end_alone(struct platter_image *f, int rc, struct platter_error *err)
{
	platter_image_leave_alone(f);
	return plt_image_prefix(f, rc, err);
}

int platter_image_make_empty(struct platter_image *img,
			     struct platter_error *err)
{
	struct platter_image *f = format_of(img);
	int rc;

	rc = begin_alone(img, f, f && f->drv->format->make_empty,
			 "emptying", err);
	if (rc)
		return rc;
	rc = f->drv->format->make_empty(f, err);
	return end_alone(f, rc, err);
}

int platter_image_change_backing(struct platter_image *img,
				 const char *filename, const char *format,
				 struct platter_error *err)
{
	struct platter_image *f = format_of(img);
	int rc;

	rc = begin_alone(img, f, f && f->drv->format->change_backing,
			 "backing files", err);
	if (rc)
		return rc;
	rc = f->drv->format->change_backing(f, filename, format, err);
	return end_alone(f, rc, err);
}

int platter_image_amend(struct platter_image *img, const char *const *options,
			bool force, struct platter_progress *progress,
			struct platter_error *err)
{
	struct platter_image *f = format_of(img);
	struct platter_options *tree;
	int rc;

	rc = plt_options_parse_list(&tree, options, err);
	if (rc)
		return rc;
	rc = begin_alone(img, f, f && f->drv->format->amend, "option amendment",
			 err);
	if (!rc) {
		rc = f->drv->format->amend(f, tree, force, progress, err);
		rc = end_alone(f, rc, err);
	}
	plt_options_free(tree);
	return rc;
}

int platter_image_check(struct platter_image *img,
			const struct platter_check_options *opts,
			struct platter_check_result *result,
			struct platter_error *err)
{
	struct platter_image *f = format_of(img);
	int rc;

	*result = (struct platter_check_result){ .leaks = 0 };
	if (!f || !f->drv->format->check)
		return unsupported(img, "checks", err);
	if (opts->repair != PLATTER_REPAIR_NONE) {
		rc = plt_rw_check(img, "repairing", 0, 0, err);
		if (rc)
			return rc;
	}
	platter_image_enter_alone(f);
	rc = f->drv->format->check(f, opts, result, err);
	return end_alone(f, rc, err);
}

/* ---- snapshots ---- */

int platter_image_snapshots(struct platter_image *img,
			    const struct platter_snapshot **list,
			    size_t *count, struct platter_error *err)
{
	struct platter_image *f = format_of(img);

	*list = NULL;
	*count = 0;
	if (!f || !f->drv->format->snapshots)
		return 0;
	return plt_image_prefix(f, f->drv->format->snapshots(f, list, count,
							     err), err);
}

int platter_image_snapshot_create(struct platter_image *img, const char *name,
				  struct platter_error *err)
{
	struct platter_image *f = format_of(img);
	int rc;

	rc = begin_alone(img, f, f && f->drv->format->snapshot_create,
			 "internal snapshots", err);
	if (rc)
		return rc;
	rc = f->drv->format->snapshot_create(f, name, err);
	return end_alone(f, rc, err);
}

int platter_image_snapshot_apply(struct platter_image *img, const char *name,
				 struct platter_error *err)
{
	struct platter_image *f = format_of(img);
	int rc;

	rc = begin_alone(img, f, f && f->drv->format->snapshot_apply,
			 "internal snapshots", err);
	if (rc)
		return rc;
	rc = f->drv->format->snapshot_apply(f, name, err);
	return end_alone(f, rc, err);
}

int platter_image_snapshot_delete(struct platter_image *img, const char *name,
				  struct platter_error *err)
{
	struct platter_image *f = format_of(img);
	int rc;

	rc = begin_alone(img, f, f && f->drv->format->snapshot_delete,
			 "internal snapshots", err);
	if (rc)
		return rc;
	rc = f->drv->format->snapshot_delete(f, name, err);
	return end_alone(f, rc, err);
}

/* ---- bitmaps ---- */

int platter_image_bitmaps(struct platter_image *img,
			  const struct platter_bitmap_info **list,
			  size_t *count, struct platter_error *err)
{
	struct platter_image *f = format_of(img);

	*list = NULL;
	*count = 0;
	if (!f || !f->drv->format->bitmaps)
		return 0;
	return plt_image_prefix(f, f->drv->format->bitmaps(f, list, count,
							   err), err);
}

/* ---- locks ---- */

int platter_image_lock(struct platter_image *file, struct platter_error *err)
{
	struct platter_image *below = plt_image_below(file);

	if (below)
		return platter_image_lock(below, err);
	if (!file->drv->io || !file->drv->io->lock)
		return 0;
	return plt_image_prefix(file, file->drv->io->lock(file, err), err);
}

/* ---- from reading to writing ---- */

int plt_image_reopen_rw(struct platter_image *img, struct platter_error *err)
{
	struct platter_image *below = plt_image_below(img);
	unsigned int flags = img->flags;
	int rc = 0;

	if (platter_image_writable(img))
		return 0;
	if (below)
		rc = plt_image_reopen_rw(below, err);
	if (rc)
		return rc;
	if (img->drv->kind == PLATTER_DRIVER_PROTOCOL &&
	    !(img->drv->io && img->drv->io->reopen_rw))
		return unsupported(img, "being reopened for writing", err);
	img->flags |= PLATTER_O_RDWR;
	if (img->drv->kind == PLATTER_DRIVER_FORMAT &&
	    img->drv->format->reopen_rw)
		rc = img->drv->format->reopen_rw(img, err);
	else if (img->drv->io && img->drv->io->reopen_rw)
		rc = img->drv->io->reopen_rw(img, err);
	if (rc)
		img->flags = flags;
	return plt_image_prefix(img, rc, err);
}
