/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making new images: the file first, then the format's metadata in it.
 *
 * The fallback format has no metadata; its options are the protocol's.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/opts.h"
#include "core/core.h"

#define SECTOR 512u

static int find_drivers(struct platter_context *ctx, const char *filename,
			const char *format, const struct platter_driver **drv,
			const struct platter_driver **proto,
			struct platter_error *err)
{
	*drv = plt_driver_find(ctx, format);
	if (!*drv)
		return plt_err_set(err, -EINVAL, "unknown format \"%s\"",
				   format);
	if (!*filename)
		return plt_err_set(err, -EINVAL, "the file name is empty");
	*proto = (*drv)->kind == PLATTER_DRIVER_PROTOCOL ? *drv :
		 plt_driver_claiming(ctx, filename);
	if (!*proto)
		return plt_spec_unclaimed(filename, err);
	if (!(*proto)->create)
		return plt_err_set(err, -ENOTSUP, "driver %s cannot create",
				   (*proto)->name);
	return 0;
}

static bool has_metadata(const struct platter_driver *drv)
{
	return drv->kind != PLATTER_DRIVER_PROTOCOL &&
	       strcmp(drv->name, PLT_FORMAT_FALLBACK);
}

static int create_format(struct platter_context *ctx, const char *filename,
			 const struct platter_driver *drv,
			 const struct platter_driver *proto, uint64_t size,
			 struct platter_options *opts,
			 struct platter_error *err)
{
	struct platter_options *none;
	struct stat st;
	int rc;

	if (!drv->create)
		return plt_err_set(err, -ENOTSUP, "format %s cannot be created",
				   drv->name);
	none = plt_options_new(err);
	if (!none)
		return -ENOMEM;
	rc = proto->create(ctx, filename, 0, none, err);
	plt_options_free(none);
	if (rc < 0)
		return rc;
	rc = drv->create(ctx, filename, size, opts, err);
	if (rc == 0)
		rc = plt_options_check_used(opts, err);
	/* The file is ours: the protocol would not have replaced another. */
	if (rc < 0 && lstat(filename, &st) == 0 && S_ISREG(st.st_mode))
		unlink(filename);
	return rc;
}

int platter_image_create(struct platter_context *ctx, const char *filename,
			 const struct platter_create_options *opts,
			 struct platter_error *err)
{
	const char *format = opts->format ? opts->format : PLT_FORMAT_FALLBACK;
	const struct platter_driver *drv = NULL, *proto = NULL;
	struct platter_options *tree;
	uint64_t size = opts->size;
	int rc;

	rc = find_drivers(ctx, filename, format, &drv, &proto, err);
	if (rc < 0)
		return rc;
	if (size > PLT_OFFSET_MAX - SECTOR)
		return plt_err_set(err, -EFBIG, "size %" PRIu64 " is over the "
				   "limit of %" PRIu64, size,
				   PLT_OFFSET_MAX - SECTOR);
	size = plt_align_up(size, SECTOR);
	rc = plt_options_parse_list(&tree, opts->options, err);
	if (rc < 0)
		return rc;
	if (has_metadata(drv))
		rc = create_format(ctx, filename, drv, proto, size, tree, err);
	else
		rc = proto->create(ctx, filename, size, tree, err);
	plt_options_free(tree);
	return rc < 0 ? plt_err_prefix(err, rc, "%s", filename) : 0;
}
