/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The target of a job.
 *
 * A new file is written beside its name and renamed, so that a job which
 * fails or is killed leaves what was there. The file it will replace is held
 * open meanwhile, which takes the locks that tell whether a running machine
 * uses it: renaming over it would not.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/newfile.h"
#include "base/opts.h"
#include "core/core.h"
#include "job/job.h"

const char *plt_target_path(const char *name)
{
	static const char *const prefixes[] = { "file:", "host_device:" };

	for (size_t i = 0; i < PLT_ARRAY_SIZE(prefixes); i++) {
		size_t len = strlen(prefixes[i]);

		if (!strncmp(name, prefixes[i], len))
			return name + len;
	}
	return name;
}

int plt_target_look(const char *path, enum plt_target_kind *kind,
		    struct platter_error *err)
{
	struct stat st;

	*kind = PLT_TARGET_ABSENT;
	if (stat(path, &st)) {
		if (errno == ENOENT)
			return 0;
		return plt_err_errno(err, -errno, "%s", path);
	}
	if (S_ISREG(st.st_mode))
		*kind = PLT_TARGET_FILE;
	else if (S_ISBLK(st.st_mode))
		*kind = PLT_TARGET_DEVICE;
	else
		return plt_err_set(err, -EINVAL,
				   "%s: is neither a regular file nor a block "
				   "device", path);
	return 0;
}

/* ---- opening ---- */

static int check_magic(struct platter_image *img, struct platter_error *err)
{
	const char *path = platter_image_name(img);
	struct platter_error why = PLATTER_ERROR_INIT;
	const struct platter_driver *drv;
	struct platter_image *file = platter_image_child(img, "file");
	int rc;

	rc = plt_probe(file, &drv, &why);
	if (rc < 0)
		return plt_err_set(err, -EEXIST, "%s; say -f raw to overwrite "
				   "it", why.msg);
	if (strcmp(drv->name, PLT_FORMAT_FALLBACK))
		return plt_err_set(err, -EEXIST,
				   "%s: holds data of format %s; say -f raw to "
				   "overwrite it", path, drv->name);
	return 0;
}

static int open_raw(struct platter_image **out, struct platter_context *ctx,
		    const char *path, const struct plt_target_options *opts,
		    struct platter_error *err)
{
	const struct platter_open_options open_opts = {
		.format = PLT_FORMAT_FALLBACK,
		.flags = PLATTER_O_RDWR | opts->flags,
		.cache = opts->cache,
	};

	return platter_image_open(out, ctx, path, &open_opts, err);
}

/* ---- images of other formats ---- */

static bool has_format(const struct plt_target_options *opts)
{
	return (opts->format && strcmp(opts->format, PLT_FORMAT_FALLBACK)) ||
	       (opts->options && opts->options[0]);
}

/* "role.file.filename": a file that the user named among the options. */
static int add_named(struct platter_options *spec, const char *role,
		     const char *image, const char *name, const char *format,
		     struct platter_error *err)
{
	plt_auto_free char *path = plt_gate_path(image, name, err);
	plt_auto_free char *driver = plt_asprintf(err, "%s.driver", role);
	plt_auto_free char *file = plt_asprintf(err, "%s.file.filename", role);
	int rc;

	if (!path || !driver || !file)
		return -ENOMEM;
	rc = plt_options_set(spec, driver, format, err);
	return rc ? rc : plt_options_set(spec, file, path, err);
}

/*
 * The new image, with the files its options name: the user named them, so they
 * are opened wherever they are.
 */
static int describe_made(struct platter_options *spec, const char *where,
			 const struct plt_target_options *opts,
			 struct platter_error *err)
{
	struct platter_options *tree;
	const char *backing, *format, *data;
	int rc;

	rc = plt_options_parse_list(&tree, opts->options, err);
	if (rc)
		return rc;
	backing = platter_options_string(tree, "backing_file");
	format = platter_options_string(tree, "backing_fmt");
	data = platter_options_string(tree, "data_file");
	rc = plt_options_set(spec, "driver", opts->format ? opts->format :
			     PLT_FORMAT_FALLBACK, err);
	if (!rc)
		rc = plt_options_set(spec, "file.filename", where, err);
	if (!rc && backing && format)
		rc = add_named(spec, "backing", where, backing, format, err);
	if (!rc && data)
		rc = add_named(spec, "data-file", where, data,
			       PLT_FORMAT_FALLBACK, err);
	plt_options_free(tree);
	return rc;
}

static int open_made(struct plt_target *t, struct platter_context *ctx,
		     const char *where, const struct plt_target_options *opts,
		     struct platter_error *err)
{
	struct platter_options *spec = plt_options_new(err);
	int rc;

	if (!spec)
		return -ENOMEM;
	rc = describe_made(spec, where, opts, err);
	if (!rc)
		rc = plt_image_open_tree(&t->img, ctx, spec,
					 PLATTER_O_RDWR | opts->flags,
					 opts->cache, err);
	plt_options_free(spec);
	return rc;
}

/* Make the image in `where`, and open it. */
static int make_format(struct plt_target *t, struct platter_context *ctx,
		       const char *where,
		       const struct plt_target_options *opts,
		       struct platter_error *err)
{
	const struct platter_create_options create = {
		.format = opts->format,
		.size = opts->size,
		.options = opts->options,
		.replace = true,
		/* A device is not renamed, so the order is not all the same. */
		.no_flush = t->newfile,
	};
	struct platter_image *backing;
	int rc;

	rc = platter_image_create(ctx, where, &create, err);
	if (!rc)
		rc = open_made(t, ctx, where, opts, err);
	if (rc)
		return rc;
	t->is_zero = true;
	backing = platter_image_child(t->img, "backing");
	t->zero_from = backing ? platter_image_size(backing) : 0;
	return 0;
}

/* People know the file by the name it would have got. */
static void hide_part(const struct plt_newfile *nf, const char *path,
		      struct platter_error *err)
{
	const char *part = plt_newfile_part(nf);
	char rest[PLATTER_ERROR_MAX];
	char *at;

	/* The path is shorter than its part name, unless it is a link. */
	while (err && (at = strstr(err->msg, part))) {
		size_t room = sizeof(err->msg) - (size_t)(at - err->msg);

		snprintf(rest, sizeof(rest), "%s", at + strlen(part));
		snprintf(at, room, "%s%s", path, rest);
	}
}

/* Messages name the file the user asked for, not the one beside it. */
static int name_nodes(struct platter_image *img, const char *path,
		      struct platter_error *err)
{
	struct platter_image *file = platter_image_child(img, "file");
	int rc = platter_image_set_name(img, path, err);

	if (!rc && file)
		rc = platter_image_set_name(file, path, err);
	return rc;
}

static int hold_replaced(struct plt_target *t, struct platter_context *ctx,
			 const struct plt_target_options *opts,
			 struct platter_error *err)
{
	int rc;

	rc = open_raw(&t->replaced, ctx, opts->path, opts, err);
	if (!rc && opts->refuse_magic)
		rc = check_magic(t->replaced, err);
	return rc;
}

static int open_part(struct plt_target *t, struct platter_context *ctx,
		     const struct plt_target_options *opts,
		     struct platter_error *err)
{
	const char *part = plt_newfile_part(t->newfile);
	int rc;

	if (has_format(opts)) {
		rc = make_format(t, ctx, part, opts, err);
	} else {
		rc = open_raw(&t->img, ctx, part, opts, err);
		if (!rc)
			rc = platter_image_resize(t->img, opts->size, err);
	}
	if (rc)
		hide_part(t->newfile, opts->path, err);
	return rc;
}

int plt_target_make(struct plt_target *t, struct platter_context *ctx,
		    const struct plt_target_options *opts,
		    struct platter_error *err)
{
	int rc;

	*t = (struct plt_target){ .is_zero = true };
	if (!plt_driver_claiming(ctx, opts->path))
		return plt_spec_unclaimed(opts->path, err);
	rc = plt_target_look(opts->path, &t->kind, err);
	if (!rc && t->kind == PLT_TARGET_FILE)
		rc = hold_replaced(t, ctx, opts, err);
	if (!rc)
		rc = plt_newfile_new(&t->newfile, opts->path,
				     t->kind == PLT_TARGET_FILE, err);
	if (!rc)
		rc = open_part(t, ctx, opts, err);
	if (!rc)
		rc = name_nodes(t->img, opts->path, err);
	if (rc)
		plt_target_abandon(t);
	return rc;
}

int plt_target_open(struct plt_target *t, struct platter_context *ctx,
		    const struct plt_target_options *opts,
		    struct platter_error *err)
{
	int rc;

	*t = (struct plt_target){ .is_zero = false };
	rc = plt_target_look(opts->path, &t->kind, err);
	if (!rc && has_format(opts)) {
		rc = make_format(t, ctx, opts->path, opts, err);
	} else if (!rc) {
		rc = open_raw(&t->img, ctx, opts->path, opts, err);
		if (!rc && opts->refuse_magic)
			rc = check_magic(t->img, err);
		t->is_zero = !rc && platter_image_size(t->img) == 0;
	}
	if (rc)
		plt_target_abandon(t);
	return rc;
}

/* ---- the end ---- */

int plt_target_commit(struct plt_target *t, struct platter_error *err)
{
	bool sync = t->img->cache != PLATTER_CACHE_UNSAFE;
	int rc, closed;

	rc = platter_image_flush(t->img, err);
	closed = platter_image_close(t->img, rc ? NULL : err);
	t->img = NULL;
	rc = rc ? rc : closed;
	if (!rc && t->newfile)
		rc = plt_newfile_commit(t->newfile, sync, err);
	plt_target_abandon(t);
	return rc;
}

void plt_target_abandon(struct plt_target *t)
{
	plt_image_free(t->img);
	plt_newfile_free(t->newfile);
	plt_image_free(t->replaced);
	*t = (struct plt_target){ .is_zero = false };
}

/* ---- is it the same file? ---- */

bool plt_image_uses_path(struct platter_image *img, const char *path)
{
	if (img->drv->kind == PLATTER_DRIVER_PROTOCOL)
		return plt_same_file(img->name, path);
	for (size_t i = 0; i < img->nr_children; i++) {
		if (plt_image_uses_path(img->children[i].img, path))
			return true;
	}
	return false;
}

bool plt_image_shares_file(struct platter_image *a, struct platter_image *b)
{
	/* A backing file may well be below both. */
	if (!platter_image_writable(b))
		return false;
	if (b->drv->kind == PLATTER_DRIVER_PROTOCOL)
		return plt_image_uses_path(a, b->name);
	for (size_t i = 0; i < b->nr_children; i++) {
		if (plt_image_shares_file(a, b->children[i].img))
			return true;
	}
	return false;
}
