/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening nodes: from an option tree to a tree of nodes.
 *
 * A node opens its own children from its driver's open callback. When no
 * driver is named, the protocol node at the bottom is opened first and probed,
 * and then becomes the primary child of the format node (`inner`).
 *
 * An error is prefixed with the name of the node it arose in and of no other:
 * `child_failed` tells a parent that this has been done below.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/opts.h"
#include "core/core.h"

/* What a new node gets from where it is opened. */
struct place {
	struct platter_context *ctx;
	unsigned int flags;
	enum platter_cache cache;
	unsigned int depth;
	const char *snapshot;	/* of the node itself, not of its children */
};

static struct place place_below(const struct platter_image *img,
				unsigned int flags)
{
	return (struct place) {
		.ctx = img->ctx,
		.flags = flags | (img->flags & PLATTER_O_SHARE),
		.cache = img->cache,
		.depth = img->depth + 1,
	};
}

static int open_tree(struct platter_image **out, const struct place *at,
		     struct platter_options *opts,
		     const struct platter_driver *drv,
		     struct platter_error *err);

/* ---- one node ---- */

static int node_new(struct platter_image **out, const struct place *at,
		    const struct platter_driver *drv, const char *name,
		    struct platter_error *err)
{
	struct platter_image *img;

	if (at->depth >= PLT_MAX_DEPTH)
		return plt_err_set(err, -ELOOP,
				   "images are nested more than %d deep; "
				   "does one lead back to itself?",
				   PLT_MAX_DEPTH);
	img = plt_calloc(1, sizeof(*img), err);
	if (!img)
		return -ENOMEM;
	img->fd = -1;
	img->ctx = at->ctx;
	img->drv = drv;
	img->flags = at->flags;
	img->cache = at->cache;
	img->depth = at->depth;
	plt_image_init_locks(img);
	img->state = plt_calloc(1, PLT_MAX(drv->state_size, (size_t)1), err);
	img->name = plt_strdup(name, err);
	if (!img->state || !img->name) {
		plt_image_free(img);
		return -ENOMEM;
	}
	*out = img;
	return 0;
}

int plt_image_new(struct platter_image **out, struct platter_context *ctx,
		  const struct platter_driver *drv, const char *name,
		  struct platter_error *err)
{
	const struct place at = { .ctx = ctx };
	int rc;

	rc = node_new(out, &at, drv, name, err);
	if (!rc)
		(*out)->opened = true;
	return rc;
}

static int driver_open(struct platter_image *img, struct platter_options *opts,
		       struct platter_error *err)
{
	const struct platter_driver *drv = img->drv;
	const char *primary = plt_driver_primary(drv);
	int rc;

	if (drv->open)
		rc = drv->open(img, opts, err);
	else if (drv->kind == PLATTER_DRIVER_PROTOCOL)
		rc = 0;
	else
		rc = platter_image_open_child(img, primary, opts, NULL,
					      img->flags, err);
	if (rc == -ENODATA && err->code == 0)
		return plt_err_set(err, -EINVAL, "driver \"%s\" needs the "
				   "option \"%s\"", drv->name, primary);
	return rc;
}

/* What every driver would have to do after its own open. */
static int node_complete(struct platter_image *img,
			 struct platter_options *opts,
			 struct platter_error *err)
{
	struct platter_image *below;

	below = platter_image_child(img, plt_driver_primary(img->drv));
	if (img->drv->kind == PLATTER_DRIVER_FILTER) {
		if (!below)
			return plt_err_set(err, -EINVAL, "filter %s has "
					   "nothing below it", img->drv->name);
		if (!img->size)
			img->size = platter_image_size(below);
	}
	platter_options_string(opts, "driver");
	return plt_options_check_used(opts, err);
}

/*
 * Make a node of `drv` from `opts`. `inner` and `fd`, when there are any, go
 * to the node, or are closed on error.
 */
static int node_open(struct platter_image **out, const struct place *at,
		     const struct platter_driver *drv,
		     struct platter_options *opts,
		     struct platter_image *inner, int fd,
		     struct platter_error *err)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	struct platter_image *img = NULL;
	int rc;

	rc = node_new(&img, at, drv, inner ? inner->name : drv->name, &e);
	if (rc < 0) {
		plt_image_free(inner);
		plt_cleanup_fd(&fd);
		goto fail;
	}
	img->inner = inner;
	img->fd = fd;
	rc = driver_open(img, opts, &e);
	if (rc == 0) {
		img->opened = true;
		rc = node_complete(img, opts, &e);
	}
	if (rc == 0) {
		*out = img;
		return 0;
	}
	if (!img->child_failed && strcmp(img->name, drv->name))
		rc = plt_image_prefix(img, rc, &e);
	plt_image_free(img);
fail:
	return plt_err_set(err, rc, "%s", e.msg);
}

/* ---- protocols and probing ---- */

/* `opts` has a "filename" and perhaps a "driver". */
static int open_protocol(struct platter_image **out, const struct place *at,
			 struct platter_options *opts,
			 struct platter_error *err)
{
	const struct platter_driver *drv;
	const char *filename;

	if (platter_options_string(opts, "driver"))
		return open_tree(out, at, opts, NULL, err);
	filename = platter_options_string(opts, "filename");
	if (!filename)
		return plt_err_set(err, -EINVAL, "neither \"driver\" nor "
				   "\"filename\" is given");
	if (!*filename)
		return plt_err_set(err, -EINVAL, "the file name is empty");
	drv = plt_driver_claiming(at->ctx, filename);
	if (!drv)
		return plt_spec_unclaimed(filename, err);
	return node_open(out, at, drv, opts, NULL, -1, err);
}

/* The child `role` of `opts` as a protocol node. */
static int open_protocol_child(struct platter_image **out,
			       const struct place *at,
			       struct platter_options *opts, const char *role,
			       struct platter_error *err)
{
	const char *filename = platter_options_string(opts, role);
	struct platter_options *tree = plt_options_tree(opts, role);
	int rc;

	if (!filename)
		return open_protocol(out, at, tree, err);
	rc = plt_spec_filename(&tree, filename, NULL, err);
	if (rc < 0)
		return rc;
	rc = open_protocol(out, at, tree, err);
	plt_options_free(tree);
	return rc;
}

static int refuse_probed_raw(const struct platter_image *file,
			     struct platter_error *err)
{
	return plt_err_set(err, -EPERM, "%s: no format was given and none is "
			   "recognized, so it would be written as raw; say "
			   "-f raw if it is", file->name);
}

/* Put a format node over the protocol node `file`, which is used up. */
static int open_over(struct platter_image **out, const struct place *at,
		     const struct platter_driver *drv,
		     struct platter_options *opts, struct platter_image *file,
		     struct platter_error *err)
{
	bool probed = !drv;
	int rc;

	if (probed) {
		rc = plt_probe(file, &drv, err);
		if (rc < 0)
			goto fail;
		if (!strcmp(drv->name, PLT_FORMAT_FALLBACK) &&
		    (at->flags & PLATTER_O_RDWR) &&
		    !(at->flags & PLATTER_O_PROBED_RAW)) {
			rc = refuse_probed_raw(file, err);
			goto fail;
		}
	}
	if (drv == file->drv) {
		*out = file;
		return 0;
	}
	rc = node_open(out, at, drv, opts, file, -1, err);
	if (rc == 0)
		(*out)->probed = probed;
	return rc;
fail:
	plt_image_free(file);
	return rc;
}

/*
 * `opts` names no driver: it describes a file ("filename" and the protocol's
 * options), or a format's own options with a "file". `drv` NULL is probed.
 */
static int open_layered(struct platter_image **out, const struct place *at,
			struct platter_options *opts,
			const struct platter_driver *drv,
			struct platter_error *err)
{
	bool own = plt_options_has(opts, "filename");
	struct platter_options *empty = NULL;
	struct place below = *at;
	struct platter_image *file;
	int rc;

	below.depth++;
	below.snapshot = NULL;
	if (own)
		rc = open_protocol(&file, &below, opts, err);
	else if (plt_options_has(opts, "file"))
		rc = open_protocol_child(&file, &below, opts, "file", err);
	else
		rc = plt_err_set(err, -EINVAL, "the options name no "
				 "\"driver\", \"filename\" or \"file\"");
	if (rc < 0)
		return rc;
	if (own) {
		empty = plt_options_new(err);
		if (!empty) {
			plt_image_free(file);
			return -ENOMEM;
		}
	}
	if (at->snapshot) {
		rc = plt_options_set(own ? empty : opts, "snapshot",
				     at->snapshot, err);
		if (rc < 0) {
			plt_image_free(file);
			plt_options_free(empty);
			return rc;
		}
	}
	rc = open_over(out, at, drv, own ? empty : opts, file, err);
	plt_options_free(empty);
	return rc;
}

static int open_tree(struct platter_image **out, const struct place *at,
		     struct platter_options *opts,
		     const struct platter_driver *drv,
		     struct platter_error *err)
{
	const char *name = platter_options_string(opts, "driver");

	if (name) {
		drv = plt_driver_find(at->ctx, name);
		if (!drv)
			return plt_err_set(err, -EINVAL,
					   "unknown driver \"%s\"", name);
	} else if (!drv || (drv->kind != PLATTER_DRIVER_PROTOCOL &&
			    plt_options_has(opts, "filename"))) {
		return open_layered(out, at, opts, drv, err);
	}
	return node_open(out, at, drv, opts, NULL, -1, err);
}

/* ---- roots and children ---- */

/* The name a person knows the image by, unless it is a plain file name. */
static int name_root(struct platter_image *img, const char *spec,
		     const struct platter_open_options *opts,
		     struct platter_error *err)
{
	if (!(opts && opts->image_opts) && strncmp(spec, "json:", 5))
		return 0;
	return platter_image_set_name(img, spec, err);
}

int platter_image_open(struct platter_image **out, struct platter_context *ctx,
		       const char *spec,
		       const struct platter_open_options *opts,
		       struct platter_error *err)
{
	struct place at = {
		.ctx = ctx,
		.flags = opts ? opts->flags : 0,
		.cache = opts ? opts->cache : PLATTER_CACHE_WRITEBACK,
	};
	struct platter_options *tree;
	struct platter_image *img;
	int rc;

	rc = plt_spec_parse(&tree, ctx, spec, opts, err);
	if (rc < 0)
		return rc;
	/* With a driver named, its options are at hand; else see below. */
	if (opts && opts->snapshot && platter_options_string(tree, "driver"))
		rc = plt_options_set(tree, "snapshot", opts->snapshot, err);
	else
		at.snapshot = opts ? opts->snapshot : NULL;
	if (rc < 0) {
		plt_options_free(tree);
		return rc;
	}
	rc = open_tree(&img, &at, tree, NULL, err);
	plt_options_free(tree);
	if (rc < 0)
		return rc;
	rc = name_root(img, spec, opts, err);
	if (rc < 0)
		plt_image_free(img);
	else
		*out = img;
	return rc;
}

int plt_image_open_over(struct platter_image **out, struct platter_image *file,
			const char *format, unsigned int flags,
			struct platter_error *err)
{
	const struct place at = {
		.ctx = file->ctx,
		.flags = flags,
		.cache = file->cache,
	};
	const struct platter_driver *drv = plt_driver_find(file->ctx, format);
	struct platter_options *empty = drv ? plt_options_new(err) : NULL;
	int rc;

	if (!empty) {
		rc = drv ? -ENOMEM : plt_err_set(err, -EINVAL, "unknown "
						 "format \"%s\"", format);
		plt_image_free(file);
		return rc;
	}
	rc = open_over(out, &at, drv, empty, file, err);
	plt_options_free(empty);
	return rc;
}

int plt_image_open_tree(struct platter_image **out,
			struct platter_context *ctx,
			struct platter_options *tree, unsigned int flags,
			enum platter_cache cache, struct platter_error *err)
{
	const struct place at = {
		.ctx = ctx,
		.flags = flags,
		.cache = cache,
	};

	return open_tree(out, &at, tree, NULL, err);
}

static int find_format(const struct platter_driver **out,
		       const struct platter_context *ctx, const char *format,
		       struct platter_error *err)
{
	*out = NULL;
	if (!format)
		return 0;
	*out = plt_driver_find(ctx, format);
	return *out ? 0 : plt_err_set(err, -EINVAL, "unknown format \"%s\"",
				      format);
}

static int open_child(struct platter_image **out, struct platter_image *img,
		      const char *role, struct platter_options *opts,
		      const char *format, unsigned int flags,
		      struct platter_error *err)
{
	const char *filename = platter_options_string(opts, role);
	struct platter_options *made = NULL, *tree;
	struct place at = place_below(img, flags);
	const struct platter_driver *drv;
	int rc;

	rc = find_format(&drv, img->ctx, format, err);
	if (rc < 0)
		return rc;
	/* A format's own file is not itself an image, unless it is said so. */
	if (!drv && img->drv->kind == PLATTER_DRIVER_FORMAT &&
	    !strcmp(role, plt_driver_primary(img->drv)))
		return open_protocol_child(out, &at, opts, role, err);
	if (filename) {
		rc = plt_spec_filename(&made, filename, drv, err);
		if (rc < 0)
			return rc;
	}
	tree = made ? made : plt_options_tree(opts, role);
	rc = open_tree(out, &at, tree, drv, err);
	plt_options_free(made);
	return rc;
}

/* An image goes by the name of its file, unless the driver knows better. */
static int adopt(struct platter_image *img, const char *role,
		 struct platter_image *child, struct platter_error *err)
{
	int rc;

	rc = plt_image_add_child(img, role, child, err);
	if (rc < 0 || strcmp(role, plt_driver_primary(img->drv)) ||
	    strcmp(img->name, img->drv->name))
		return rc;
	return platter_image_set_name(img, child->name, err);
}

int platter_image_open_child(struct platter_image *img, const char *role,
			     struct platter_options *opts, const char *format,
			     unsigned int flags, struct platter_error *err)
{
	struct platter_image *child;
	int rc;

	if (img->inner && !strcmp(role, plt_driver_primary(img->drv)))
		return adopt(img, role, plt_steal(img->inner), err);
	if (!plt_options_has(opts, role))
		return -ENODATA;
	rc = open_child(&child, img, role, opts, format, flags, err);
	img->child_failed = rc < 0;
	/* What a disk says of a bad sector; it must not read as "absent". */
	if (rc == -ENODATA)
		rc = -EIO;
	return rc < 0 ? rc : adopt(img, role, child, err);
}

/* ---- files an image names ---- */

static int open_gated(struct platter_image **out, const struct place *at,
		      const char *image_path, const char *filename,
		      struct platter_error *err)
{
	bool rdwr = at->flags & PLATTER_O_RDWR;
	const struct platter_driver *drv;
	struct platter_options *opts;
	plt_auto_free char *path = NULL;
	char proc[32];
	int fd, rc;

	path = plt_gate_path(image_path, filename, err);
	if (!path)
		return -ENOMEM;
	fd = plt_gate_open(at->ctx->follow, image_path, filename,
			   (rdwr ? O_RDWR : O_RDONLY) |
			   plt_cache_open_flags(at->cache), err);
	if (fd < 0)
		return fd;
	/* Asks which protocol it is of the file the gate let through. */
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	drv = plt_driver_claiming(at->ctx, proc);
	rc = drv ? plt_spec_filename(&opts, path, drv, err) :
		   plt_spec_unclaimed(filename, err);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	rc = node_open(out, at, drv, opts, NULL, fd, err);
	plt_options_free(opts);
	return rc;
}

static int open_named(struct platter_image **out, struct platter_image *img,
		      const char *filename, const char *format,
		      unsigned int flags, struct platter_error *err)
{
	struct place at = place_below(img, flags), below = at;
	const char *image_path = plt_image_local_path(img);
	const struct platter_driver *drv;
	struct platter_options *empty;
	struct platter_image *file;
	int rc;

	rc = find_format(&drv, img->ctx, format, err);
	if (rc < 0)
		return rc;
	if (!image_path)
		return plt_err_set(err, -ENOTSUP, "%s names the file \"%s\", "
				   "but is not a local file itself", img->name,
				   filename);
	below.depth++;
	rc = open_gated(&file, &below, image_path, filename, err);
	if (rc < 0)
		return rc;
	empty = plt_options_new(err);
	if (!empty) {
		plt_image_free(file);
		return -ENOMEM;
	}
	rc = open_over(out, &at, drv, empty, file, err);
	plt_options_free(empty);
	return rc;
}

int platter_image_open_named(struct platter_image *img, const char *role,
			     const char *filename, const char *format,
			     unsigned int flags, struct platter_error *err)
{
	struct platter_image *child;
	int rc;

	rc = open_named(&child, img, filename, format, flags, err);
	img->child_failed = rc < 0;
	return rc < 0 ? rc : adopt(img, role, child, err);
}
