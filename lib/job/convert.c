// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Convert: copy the whole of an image into another, as qemu-img convert does.
 *
 * A new or existing regular file is made anew and renamed; a block device, and
 * any target with no_create, is written in place.
 *
 * With a backing file for the target, what the source shows from the same file
 * is left out. It need not be the same file: then it stands for the one below
 * the source itself, as with qemu-img, and it is for the user to know that
 * their content is the same.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/opts.h"
#include "copy/copy.h"
#include "copy/digest.h"
#include "core/core.h"
#include "job/job.h"

_Static_assert(PLATTER_HASH_HEX_MAX == PLT_HASH_HEX_MAX,
	       "the public length of a hash is not ours");

struct conversion {
	struct platter_context *ctx;
	struct platter_image *src;
	const struct platter_convert_options *opts;
	struct plt_target target;
	struct plt_copy_options copy;
	struct plt_salvage salvage;
	char **list;			/* creation options, with the backing */
};

/* ---- what is asked for ---- */

static int check_existing(const struct platter_convert_options *opts,
			  struct platter_error *err)
{
	if (opts->target_options && opts->target_options[0])
		return plt_err_set(err, -EINVAL, "a target that exists takes "
				   "no creation options");
	if (opts->target_size)
		return plt_err_set(err, -EINVAL, "the size of a target that "
				   "exists is not changed");
	return 0;
}

static int check_request(const struct platter_convert_options *opts,
			 struct platter_error *err)
{
	if (opts->no_create)
		return check_existing(opts, err);
	if (opts->target_image_opts)
		return plt_err_set(err, -EINVAL, "a target given by image "
				   "options must exist");
	if (opts->target_is_zero)
		return plt_err_set(err, -EINVAL, "only a target that exists "
				   "can be said to be zero");
	return 0;
}

static int check_combinations(const struct platter_convert_options *opts,
			      struct platter_error *err)
{
	if (opts->skip_broken_bitmaps && !opts->bitmaps)
		return plt_err_set(err, -EINVAL, "broken bitmaps can be left "
				   "out only where bitmaps are copied");
	if (opts->copy_range && opts->compress)
		return plt_err_set(err, -EINVAL, "the kernel cannot compress "
				   "what it copies");
	if (opts->copy_range && opts->unreadable)
		return plt_err_set(err, -EINVAL, "where the kernel copies "
				   "nothing can be salvaged");
	if (opts->backing_file && !opts->backing_format)
		return plt_err_set(err, -EINVAL, "backing file \"%s\" is given "
				   "without its format; say -F FORMAT",
				   opts->backing_file);
	if (opts->backing_format && !opts->backing_file)
		return plt_err_set(err, -EINVAL, "a backing format is of no "
				   "use without a backing file");
	return 0;
}

/* Before a target is made that would be in vain. */
static int check_compression(const struct conversion *c,
			     struct platter_error *err)
{
	const char *format = c->opts->target_format;
	const struct platter_driver *drv;
	struct platter_options *tree;
	const char *prealloc;
	int rc;

	if (!c->opts->compress || c->opts->no_create)
		return 0;
	drv = plt_driver_find(c->ctx, format ? format : PLT_FORMAT_FALLBACK);
	if (drv && !(drv->format && drv->format->write_compressed))
		return plt_err_set(err, -ENOTSUP, "format %s has no "
				   "compression", drv->name);
	rc = plt_options_parse_list(&tree, c->opts->target_options, err);
	if (rc)
		return rc;
	prealloc = platter_options_string(tree, "preallocation");
	if (prealloc && strcmp(prealloc, "off"))
		rc = plt_err_set(err, -EINVAL, "compression and preallocation "
				 "exclude each other");
	if (platter_options_string(tree, "data_file"))
		rc = plt_err_set(err, -EINVAL, "compressed clusters cannot be "
				 "in a data file");
	plt_options_free(tree);
	return rc;
}

/* ---- the backing file ---- */

/* Which layer of the source the file is; 1 when none is. */
static unsigned int shared_depth(struct platter_image *src, const char *path)
{
	struct platter_image *layer = src;

	for (unsigned int depth = 0; layer; depth++) {
		struct platter_image *file;

		while (layer->drv->kind == PLATTER_DRIVER_FILTER)
			layer = platter_image_child(layer,
					plt_driver_primary(layer->drv));
		file = platter_image_child(layer,
					   plt_driver_primary(layer->drv));
		if (file && plt_image_uses_path(file, path))
			return depth;
		layer = platter_image_child(layer, "backing");
	}
	return 1;
}

/* How large the target's backing file is, and which layer of the source. */
static int look_at_backing(struct conversion *c, const char *target,
			   struct platter_error *err)
{
	const struct platter_open_options open = {
		.format = c->opts->backing_format,
		.flags = PLATTER_O_NO_BACKING | PLATTER_O_NO_IO,
	};
	plt_auto_free char *path = NULL;
	struct platter_image *img;
	int rc;

	path = plt_gate_path(target, c->opts->backing_file, err);
	if (!path)
		return -ENOMEM;
	rc = platter_image_open(&img, c->ctx, path, &open, err);
	if (rc)
		return rc;
	c->copy.shared_size = platter_image_size(img);
	c->copy.shared_depth = shared_depth(c->src, path);
	plt_image_free(img);
	return 0;
}

/* The creation options with those of the backing file; c->list is freed. */
static int build_options(struct conversion *c, struct platter_error *err)
{
	const char *const *given = c->opts->target_options;
	size_t n = 0;

	while (given && given[n])
		n++;
	c->list = plt_calloc(n + 3, sizeof(*c->list), err);
	if (!c->list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		c->list[i] = plt_strdup(given[i], err);
		if (!c->list[i])
			return -ENOMEM;
	}
	if (!c->opts->backing_file)
		return 0;
	c->list[n] = plt_asprintf(err, "backing_file=%s",
				  c->opts->backing_file);
	if (c->list[n])
		c->list[n + 1] = plt_asprintf(err, "backing_fmt=%s",
					      c->opts->backing_format);
	return c->list[n] && c->list[n + 1] ? 0 : -ENOMEM;
}

static void free_options(struct conversion *c)
{
	for (size_t i = 0; c->list && c->list[i]; i++)
		free(c->list[i]);
	free(c->list);
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

static int open_existing(struct conversion *c, struct platter_error *err)
{
	const struct platter_convert_options *opts = c->opts;
	const struct platter_open_options open_opts = {
		.format = opts->target_image_opts ? NULL :
			  opts->target_format ? opts->target_format :
			  PLT_FORMAT_FALLBACK,
		.image_opts = opts->target_image_opts,
		.flags = PLATTER_O_RDWR | opts->open_flags,
		.cache = opts->target_cache,
	};
	struct plt_target *t = &c->target;
	const char *path = plt_target_path(opts->target);
	int rc = 0;

	*t = (struct plt_target){ .is_zero = opts->target_is_zero };
	if (!opts->target_image_opts && plt_image_uses_path(c->src, path))
		return is_the_source(opts->target, err);
	if (opts->backing_file)
		rc = look_at_backing(c, opts->target_image_opts ? "" : path,
				     err);
	if (!rc)
		rc = platter_image_open(&t->img, c->ctx, opts->target,
					&open_opts, err);
	if (!rc && plt_image_shares_file(c->src, t->img))
		rc = is_the_source(opts->target, err);
	if (opts->backing_file)
		t->zero_from = c->copy.shared_size;
	return rc;
}

static int open_created(struct conversion *c, struct platter_error *err)
{
	const struct platter_convert_options *opts = c->opts;
	const char *path = plt_target_path(opts->target);
	struct plt_target_options target = {
		.path = path,
		.size = opts->target_size ? opts->target_size :
			platter_image_size(c->src),
		.flags = opts->open_flags,
		.cache = opts->target_cache,
		.format = opts->target_format,
	};
	enum plt_target_kind kind;
	int rc;

	rc = build_options(c, err);
	target.options = (const char *const *)c->list;
	if (!rc)
		rc = plt_target_look(path, &kind, err);
	if (rc)
		return rc;
	if (plt_image_uses_path(c->src, path))
		return is_the_source(path, err);
	if (opts->backing_file)
		rc = look_at_backing(c, path, err);
	if (rc)
		return rc;
	if (kind == PLT_TARGET_DEVICE)
		return plt_target_open(&c->target, c->ctx, &target, err);
	return plt_target_make(&c->target, c->ctx, &target, err);
}

static int open_target(struct conversion *c, struct platter_error *err)
{
	int rc;

	rc = check_request(c->opts, err);
	if (!rc)
		rc = check_combinations(c->opts, err);
	if (!rc)
		rc = check_compression(c, err);
	if (!rc && c->opts->bitmaps)
		rc = plt_bitmaps_check(c->src, c->opts->skip_broken_bitmaps,
				       err);
	if (rc)
		return rc;
	rc = c->opts->no_create ? open_existing(c, err) : open_created(c, err);
	if (!rc)
		rc = check_size(c->src, c->target.img, err);
	if (!rc && c->opts->compress && !plt_image_can_compress(c->target.img))
		rc = plt_err_set(err, -ENOTSUP, "%s: format %s has no "
				 "compression", c->opts->target,
				 platter_image_format(c->target.img));
	return rc;
}

/* ---- the copy ---- */

static void fill_copy(struct conversion *c)
{
	const struct platter_convert_options *opts = c->opts;
	struct plt_copy_options *copy = &c->copy;

	copy->length = platter_image_size(c->src);
	copy->target_is_zero = c->target.is_zero;
	copy->zero_from = c->target.zero_from;
	copy->sparse_size = opts->copy_range ? 0 : opts->sparse_size;
	copy->allocate = !opts->copy_range && !opts->sparse_size;
	copy->compress = opts->compress;
	copy->unordered = opts->unordered && !opts->compress;
	copy->rate = opts->rate;
	copy->workers = opts->workers;
	copy->progress = opts->progress;
	if (opts->unreadable) {
		c->salvage.unreadable = opts->unreadable;
		c->salvage.arg = opts->unreadable_arg;
		copy->salvage = &c->salvage;
	}
}

/* A new target larger than the source is zeros behind it, not its backing's. */
static int clear_rest(struct conversion *c, struct platter_error *err)
{
	uint64_t begin = platter_image_size(c->src);
	uint64_t end = PLT_MIN(platter_image_size(c->target.img),
			       c->target.zero_from);

	if (c->opts->no_create || begin >= end)
		return 0;
	return platter_image_zero(c->target.img, begin, end - begin,
				  PLATTER_ZERO_UNMAP, err);
}

static int copy_all(struct conversion *c, struct platter_error *err)
{
	int rc = 0;

	if (c->opts->hash)
		rc = plt_digest_new(&c->copy.digest, c->opts->hash, err);
	if (!rc)
		rc = plt_copy(c->src, c->target.img, &c->copy, NULL, err);
	if (!rc)
		rc = clear_rest(c, err);
	if (!rc && c->copy.digest)
		rc = plt_digest_end(c->copy.digest, c->copy.length,
				    c->opts->hash_hex, err);
	if (!rc && c->opts->bitmaps)
		rc = plt_bitmaps_copy(c->src, c->target.img,
				      c->opts->skip_broken_bitmaps, err);
	plt_digest_free(c->copy.digest);
	return rc;
}

int platter_convert(struct platter_context *ctx, struct platter_image *src,
		    const struct platter_convert_options *opts,
		    struct platter_error *err)
{
	struct conversion c = { .ctx = ctx, .src = src, .opts = opts };
	int rc;

	rc = open_target(&c, err);
	if (!rc) {
		fill_copy(&c);
		rc = copy_all(&c, err);
	}
	free_options(&c);
	if (rc) {
		plt_target_abandon(&c.target);
		return rc;
	}
	return plt_target_commit(&c.target, err);
}
