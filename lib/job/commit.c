/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commit: bring what an overlay holds into an image below it.
 *
 * The base is written only where a layer above it hides it, so that the
 * overlay reads the same at any moment; and it is durable before the overlay
 * gives its own data up. Between the two every byte is stored twice, and doing
 * it all again does no harm.
 */
#include <string.h>

#include "base/error.h"
#include "copy/copy.h"
#include "core/core.h"
#include "job/job.h"

struct commit {
	struct platter_image *top, *base;
	const struct platter_commit_options *opts;
	unsigned int depth;	/* of the base below the top */
	uint64_t base_size;	/* bytes, before it grows */
};

static int find_base(struct commit *c, struct platter_error *err)
{
	const char *name = platter_image_name(c->top);

	c->base = plt_chain_backing(c->top);
	c->depth = 1;
	if (!c->base)
		return plt_err_set(err, -EINVAL, "%s: Image does not have a "
				   "backing file", name);
	if (!c->opts->base)
		return 0;
	c->base = plt_chain_find(c->top, c->opts->base, &c->depth);
	if (!c->base)
		return plt_err_set(err, -EINVAL, "Did not find '%s' in the "
				   "backing chain of '%s'", c->opts->base,
				   name);
	return 0;
}

/* A guest that owns the first sector could have it taken for another format. */
static int refuse_probed_raw(const struct commit *c, struct platter_error *err)
{
	if (!c->base->probed ||
	    strcmp(c->base->drv->name, PLT_FORMAT_FALLBACK) ||
	    c->top->flags & PLATTER_O_PROBED_RAW)
		return 0;
	return plt_err_set(err, -EACCES, "%s: its format is not stored in the "
			   "image above it and was only guessed to be raw; "
			   "store it (rebase -u -F raw) before writing to it",
			   platter_image_name(c->base));
}

/* A format that has backing files itself hides what is longer below. */
static int grow_base(struct commit *c, struct platter_error *err)
{
	uint64_t size = platter_image_size(c->top);

	c->base_size = platter_image_size(c->base);
	if (c->base_size >= size)
		return 0;
	return platter_image_resize(c->base, size, err);
}

static int copy(struct commit *c, struct platter_error *err)
{
	const struct plt_copy_options copy = {
		.length = platter_image_size(c->top),
		.shared_depth = c->depth,
		.shared_size = c->base_size,
		.rest_is_new = true,
		.rate = c->opts->rate,
		.workers = c->opts->workers,
		.progress = c->opts->progress,
	};
	int rc = plt_copy(c->top, c->base, &copy, NULL, err);

	return rc ? rc : platter_image_flush(c->base, err);
}

/* A format that cannot keeps its copy: nothing is wrong with it. */
static int empty(struct commit *c, struct platter_error *err)
{
	struct platter_error why = PLATTER_ERROR_INIT;
	int rc = platter_image_make_empty(c->top, &why);

	if (rc == -ENOTSUP)
		return 0;
	if (rc)
		return plt_err_set(err, rc, "%s", why.msg);
	return platter_image_flush(c->top, err);
}

int platter_commit(struct platter_image *top,
		   const struct platter_commit_options *opts,
		   struct platter_error *err)
{
	struct commit c = { .top = top, .opts = opts };
	int rc = find_base(&c, err);

	if (!rc)
		rc = refuse_probed_raw(&c, err);
	if (!rc)
		rc = plt_image_reopen_rw(c.base, err);
	if (!rc)
		rc = grow_base(&c, err);
	if (!rc)
		rc = copy(&c, err);
	if (!rc && !opts->keep)
		rc = empty(&c, err);
	return rc;
}
