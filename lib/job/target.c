/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The target of a job.
 *
 * A new raw file is written beside its name and renamed, so that a job which
 * fails or is killed leaves what was there. The file it will replace is held
 * open meanwhile, which takes the locks that tell whether a running machine
 * uses it: renaming over it would not.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/newfile.h"
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
		rc = open_raw(&t->img, ctx, plt_newfile_part(t->newfile), opts,
			      err);
	if (!rc)
		rc = name_nodes(t->img, opts->path, err);
	if (!rc)
		rc = platter_image_resize(t->img, opts->size, err);
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
	if (!rc)
		rc = open_raw(&t->img, ctx, opts->path, opts, err);
	if (!rc && opts->refuse_magic)
		rc = check_magic(t->img, err);
	if (rc)
		plt_target_abandon(t);
	else
		t->is_zero = platter_image_size(t->img) == 0;
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

static bool same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	return !stat(a, &sa) && !stat(b, &sb) && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

bool plt_image_uses_path(struct platter_image *img, const char *path)
{
	if (img->drv->kind == PLATTER_DRIVER_PROTOCOL)
		return same_file(img->name, path);
	for (size_t i = 0; i < img->nr_children; i++) {
		if (plt_image_uses_path(img->children[i].img, path))
			return true;
	}
	return false;
}

bool plt_image_shares_file(struct platter_image *a, struct platter_image *b)
{
	if (b->drv->kind == PLATTER_DRIVER_PROTOCOL)
		return plt_image_uses_path(a, b->name);
	for (size_t i = 0; i < b->nr_children; i++) {
		if (plt_image_shares_file(a, b->children[i].img))
			return true;
	}
	return false;
}
