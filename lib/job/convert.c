/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Convert: copy the whole of an image into another, as qemu-img convert does.
 *
 * A new or existing regular file is made anew and renamed; a block device, and
 * any target with no_create, is written in place.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/opts.h"
#include "copy/copy.h"
#include "core/core.h"
#include "job/job.h"

#define ZEROS UINT64_C(1048576)	/* bytes written at a time */

enum preallocation {
	PREALLOC_OFF,
	PREALLOC_FALLOC,	/* space is taken, unwritten */
	PREALLOC_FULL,		/* every byte is written */
};

static int parse_preallocation(struct platter_options *tree,
			       enum preallocation *out,
			       struct platter_error *err)
{
	static const char *const names[] = { "off", "falloc", "full" };
	const char *text = platter_options_string(tree, "preallocation");

	*out = PREALLOC_OFF;
	if (!text)
		return 0;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(names); i++) {
		if (!strcmp(text, names[i])) {
			*out = (enum preallocation)i;
			return 0;
		}
	}
	return plt_err_set(err, -EINVAL, "preallocation \"%s\" is none of off, "
			   "falloc and full", text);
}

static int parse_options(const struct platter_convert_options *opts,
			 enum preallocation *prealloc,
			 struct platter_error *err)
{
	struct platter_options *tree;
	int rc;

	rc = plt_options_parse_list(&tree, opts->target_options, err);
	if (rc)
		return rc;
	rc = parse_preallocation(tree, prealloc, err);
	if (!rc)
		rc = plt_options_check_used(tree, err);
	plt_options_free(tree);
	return rc;
}

static int check_format(struct platter_context *ctx, const char *format,
			struct platter_error *err)
{
	if (!format || !strcmp(format, PLT_FORMAT_FALLBACK))
		return 0;
	if (!plt_driver_find(ctx, format))
		return plt_err_set(err, -EINVAL, "unknown format \"%s\"",
				   format);
	return plt_err_set(err, -ENOTSUP, "format %s cannot be created",
			   format);
}

static int write_out_zeros(struct platter_image *img,
			   struct platter_error *err)
{
	plt_auto_free void *zeros = plt_memalign(4096, ZEROS, err);
	uint64_t size = platter_image_size(img);
	int rc = zeros ? 0 : -ENOMEM;

	if (!rc)
		memset(zeros, 0, ZEROS);
	for (uint64_t off = 0; off < size && !rc; off += ZEROS)
		rc = platter_image_pwrite(img, zeros,
					  PLT_MIN(size - off, ZEROS), off,
					  err);
	return rc;
}

static int preallocate(struct platter_image *img, enum preallocation how,
		       struct platter_error *err)
{
	uint64_t size = platter_image_size(img);

	if (how == PREALLOC_OFF || !size)
		return 0;
	if (how == PREALLOC_FULL)
		return write_out_zeros(img, err);
	return platter_image_zero(img, 0, size, 0, err);
}

/* ---- the target ---- */

static int is_the_source(const char *target, struct platter_error *err)
{
	return plt_err_set(err, -EINVAL, "%s: is the source as well", target);
}

static int check_size(struct platter_image *src, struct platter_image *dst,
		      struct platter_error *err)
{
	uint64_t need = platter_image_size(src);
	uint64_t have = platter_image_size(dst);

	if (have >= need)
		return 0;
	return plt_err_set(err, -ENOSPC, "%s: %" PRIu64 " bytes are too few "
			   "for the %" PRIu64 " of %s",
			   platter_image_name(dst), have, need,
			   platter_image_name(src));
}

static int open_existing(struct plt_target *t, struct platter_context *ctx,
			 struct platter_image *src,
			 const struct platter_convert_options *opts,
			 struct platter_error *err)
{
	const struct platter_open_options open_opts = {
		.format = opts->target_image_opts ? NULL :
			  opts->target_format ? opts->target_format :
			  PLT_FORMAT_FALLBACK,
		.image_opts = opts->target_image_opts,
		.flags = PLATTER_O_RDWR | opts->open_flags,
		.cache = opts->target_cache,
	};
	int rc;

	*t = (struct plt_target){ .is_zero = opts->target_is_zero };
	if (!opts->target_image_opts &&
	    plt_image_uses_path(src, plt_target_path(opts->target)))
		return is_the_source(opts->target, err);
	rc = platter_image_open(&t->img, ctx, opts->target, &open_opts, err);
	if (!rc && plt_image_shares_file(src, t->img))
		rc = is_the_source(opts->target, err);
	return rc;
}

static int open_created(struct plt_target *t, struct platter_context *ctx,
			struct platter_image *src,
			const struct platter_convert_options *opts,
			struct platter_error *err)
{
	const char *path = plt_target_path(opts->target);
	const struct plt_target_options target = {
		.path = path,
		.size = platter_image_size(src),
		.flags = opts->open_flags,
		.cache = opts->target_cache,
	};
	enum plt_target_kind kind;
	enum preallocation how;
	int rc;

	rc = check_format(ctx, opts->target_format, err);
	if (!rc)
		rc = parse_options(opts, &how, err);
	if (!rc)
		rc = plt_target_look(path, &kind, err);
	if (rc)
		return rc;
	if (plt_image_uses_path(src, path))
		return is_the_source(path, err);
	if (kind == PLT_TARGET_DEVICE)
		return plt_target_open(t, ctx, &target, err);
	rc = plt_target_make(t, ctx, &target, err);
	return rc ? rc : preallocate(t->img, how, err);
}

static int check_request(const struct platter_convert_options *opts,
			 struct platter_error *err)
{
	if (opts->target_image_opts && !opts->no_create)
		return plt_err_set(err, -EINVAL, "a target given by image "
				   "options must exist");
	if (opts->target_is_zero && !opts->no_create)
		return plt_err_set(err, -EINVAL, "only a target that exists "
				   "can be said to be zero");
	if (opts->no_create && opts->target_options &&
	    opts->target_options[0])
		return plt_err_set(err, -EINVAL, "a target that exists takes "
				   "no creation options");
	return 0;
}

int platter_convert(struct platter_context *ctx, struct platter_image *src,
		    const struct platter_convert_options *opts,
		    struct platter_error *err)
{
	struct plt_copy_options copy = {
		.length = platter_image_size(src),
		.sparse_size = opts->sparse_size,
		.allocate = opts->sparse_size == 0,
		.workers = opts->workers,
		.progress = opts->progress,
	};
	struct plt_target t = { .is_zero = false };
	int rc = check_request(opts, err);

	if (!rc && opts->no_create)
		rc = open_existing(&t, ctx, src, opts, err);
	else if (!rc)
		rc = open_created(&t, ctx, src, opts, err);
	if (!rc)
		rc = check_size(src, t.img, err);
	if (!rc) {
		copy.target_is_zero = t.is_zero;
		rc = plt_copy(src, t.img, &copy, NULL, err);
	}
	if (rc) {
		plt_target_abandon(&t);
		return rc;
	}
	return plt_target_commit(&t, err);
}
