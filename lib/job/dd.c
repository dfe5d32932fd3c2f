/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dd: copy a part of an image or a stream to a place in another.
 *
 * From image to image the copy engine does it, which wants the same offset on
 * both sides: where skip and seek differ, it gets the source through a node
 * that is the source shifted. A stream has no map and is moved a buffer at a
 * time; what it becomes grows with it, for nobody knows how long it is.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "copy/copy.h"
#include "core/core.h"
#include "job/job.h"

#define BUFFER	(1u << 20)	/* bytes moved at a time */
#define SPARSE	4096u		/* zeros that become holes of a new file */
#define SECTOR	512u

struct dd {
	struct platter_context *ctx;
	struct platter_image *src;	/* NULL: a stream */
	const struct platter_dd_options *opts;
	struct plt_target target;
	bool to_stream, made;
	uint64_t from, to;		/* bytes skipped on both sides */
	uint64_t length;		/* to copy; of a stream, at most */
};

/* ---- a source, shifted ---- */

struct shifted {
	struct platter_image *src;
	uint64_t from, to;		/* src byte `from` is at `to` */
};

static int shifted_pread(struct platter_image *img, void *buf, size_t len,
			 uint64_t offset, struct platter_error *err)
{
	const struct shifted *s = platter_image_state(img);
	size_t before = offset < s->to ? PLT_MIN((uint64_t)len,
						 s->to - offset) : 0;

	memset(buf, 0, before);
	if (before == len)
		return 0;
	return platter_image_pread(s->src, (uint8_t *)buf + before,
				   len - before,
				   offset + before - s->to + s->from, err);
}

static int shifted_extent(struct platter_image *img, uint64_t offset,
			  uint64_t len, struct platter_extent *ext,
			  struct platter_error *err)
{
	const struct shifted *s = platter_image_state(img);
	struct platter_extent e;
	size_t count = 1;
	int rc;

	if (offset < s->to) {
		ext->length = PLT_MIN(len, s->to - offset);
		ext->flags = PLATTER_EXTENT_ZERO | PLATTER_EXTENT_PRESENT;
		return 0;
	}
	rc = platter_image_map(s->src, offset - s->to + s->from, len, &e,
			       &count, err);
	if (rc)
		return rc;
	ext->length = e.length;
	if (e.flags & PLATTER_EXTENT_ZERO)
		ext->flags = PLATTER_EXTENT_ZERO | PLATTER_EXTENT_PRESENT;
	return 0;
}

static const struct platter_io_ops shifted_ops = {
	.pread = shifted_pread,
	.extent = shifted_extent,
};

static const struct platter_driver shifted_driver = {
	.name = "shifted",
	.kind = PLATTER_DRIVER_PROTOCOL,
	.state_size = sizeof(struct shifted),
	.io = &shifted_ops,
};

static int shifted_new(const struct dd *dd, struct platter_image **out,
		       struct platter_error *err)
{
	struct shifted *s;
	int rc;

	rc = plt_image_new(out, dd->ctx, &shifted_driver,
			   platter_image_name(dd->src), err);
	if (rc)
		return rc;
	s = platter_image_state(*out);
	*s = (struct shifted){ dd->src, dd->from, dd->to };
	platter_image_set_size(*out, dd->to + dd->length);
	return 0;
}

/* ---- the target ---- */

static bool is_raw(const struct dd *dd)
{
	return !dd->opts->target_format ||
	       !strcmp(dd->opts->target_format, PLT_FORMAT_FALLBACK);
}

/* A size the target's format can have. */
static uint64_t size_for(const struct dd *dd, uint64_t size)
{
	return is_raw(dd) ? size : plt_align_up(size, SECTOR);
}

static int grow(struct dd *dd, uint64_t end, struct platter_error *err)
{
	struct platter_image *img = dd->target.img;

	if (platter_image_size(img) >= end)
		return 0;
	return platter_image_resize(img, size_for(dd, end), err);
}

static int open_existing(struct dd *dd, const char *path,
			 struct platter_error *err)
{
	const struct platter_open_options open = {
		.format = is_raw(dd) ? PLT_FORMAT_FALLBACK :
			  dd->opts->target_format,
		.flags = PLATTER_O_RDWR | dd->opts->open_flags,
		.cache = dd->opts->target_cache,
	};

	return platter_image_open(&dd->target.img, dd->ctx, path, &open, err);
}

/* As dd does: what lies before the place written to stays. */
static int keep_front(struct dd *dd, struct platter_error *err)
{
	struct platter_image *old = dd->target.replaced;
	struct plt_copy_options opts = {
		.target_is_zero = true,
		.sparse_size = SPARSE,
	};

	if (!old || !is_raw(dd))
		return 0;
	opts.length = PLT_MIN(dd->to, platter_image_size(old));
	return plt_copy(old, dd->target.img, &opts, NULL, err);
}

static int make_target(struct dd *dd, const struct plt_target_options *make,
		       struct platter_error *err)
{
	int rc = plt_target_make(&dd->target, dd->ctx, make, err);

	return rc ? rc : keep_front(dd, err);
}

/* As large as is known to be needed. */
static int open_target(struct dd *dd, struct platter_error *err)
{
	const char *path = plt_target_path(dd->opts->target);
	uint64_t size = dd->to + (dd->src ? dd->length : 0);
	const struct plt_target_options make = {
		.path = path,
		.format = dd->opts->target_format,
		.size = size_for(dd, size),
		.flags = dd->opts->open_flags,
		.cache = dd->opts->target_cache,
	};
	enum plt_target_kind kind;
	int rc = plt_target_look(path, &kind, err);

	if (rc)
		return rc;
	if (dd->src && plt_image_uses_path(dd->src, path))
		return plt_err_set(err, -EINVAL, "%s: is the source as well",
				   path);
	dd->made = kind == PLT_TARGET_ABSENT ||
		   (kind == PLT_TARGET_FILE && !dd->opts->no_truncate);
	if (dd->made)
		return make_target(dd, &make, err);
	rc = open_existing(dd, path, err);
	return rc ? rc : grow(dd, size, err);
}

/* ---- image to image ---- */

static int copy(struct dd *dd, struct platter_error *err)
{
	const struct plt_copy_options opts = {
		.offset = dd->to,
		.length = dd->length,
		.target_is_zero = dd->made,
		.sparse_size = dd->made ? SPARSE : 0,
		.progress = dd->opts->progress,
	};
	struct platter_image *shifted = NULL;
	int rc = 0;

	if (!dd->length)
		return 0;
	if (dd->from != dd->to)
		rc = shifted_new(dd, &shifted, err);
	if (!rc)
		rc = plt_copy(shifted ? shifted : dd->src, dd->target.img,
			      &opts, NULL, err);
	plt_image_free(shifted);
	return rc;
}

/* ---- streams ---- */

/* Also looks whether the user wants to stop; a stream may wait for ever. */
static int report(const struct dd *dd, uint64_t done,
		  struct platter_error *err)
{
	uint64_t total = dd->length;

	if (total == UINT64_MAX)
		done = 0;
	return plt_progress(dd->opts->progress, done, total, err);
}

/* Fill the buffer as far as the stream goes. */
static int read_stream(struct dd *dd, void *buf, size_t len, uint64_t done,
		       size_t *got, struct platter_error *err)
{
	*got = 0;
	while (*got < len) {
		ssize_t n = read(dd->opts->input, (char *)buf + *got,
				 len - *got);
		int rc = 0;

		if (n < 0 && errno != EINTR)
			return plt_err_errno(err, -errno, "standard input");
		if (n < 0)
			rc = report(dd, done, err);
		if (rc)
			return rc;
		if (!n)
			break;
		*got += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int skip_stream(struct dd *dd, void *buf, struct platter_error *err)
{
	uint64_t left = dd->from;
	size_t got = 1;
	int rc = 0;

	if (!left || lseek(dd->opts->input, (off_t)left, SEEK_CUR) >= 0)
		return 0;
	while (left && got && !rc) {
		rc = read_stream(dd, buf, PLT_MIN(left, (uint64_t)BUFFER), 0,
				 &got, err);
		left -= got;
	}
	return rc;
}

static int seek_stream(struct dd *dd, struct platter_error *err)
{
	if (!dd->to || lseek(dd->opts->output, (off_t)dd->to, SEEK_CUR) >= 0)
		return 0;
	return plt_err_errno(err, -errno, "standard output: moving to offset %"
			     PRIu64, dd->to);
}

static int take(struct dd *dd, void *buf, size_t len, uint64_t done,
		size_t *got, struct platter_error *err)
{
	if (!dd->src)
		return read_stream(dd, buf, len, done, got, err);
	*got = len;
	return platter_image_pread(dd->src, buf, len, dd->from + done, err);
}

static int put(struct dd *dd, const void *buf, size_t len, uint64_t done,
	       struct platter_error *err)
{
	int rc;

	if (dd->to_stream) {
		rc = plt_write(dd->opts->output, buf, len);
		return rc ? plt_err_errno(err, rc, "standard output") : 0;
	}
	rc = grow(dd, dd->to + done + len, err);
	if (rc || (dd->made && plt_is_zero(buf, len)))
		return rc;
	return platter_image_pwrite(dd->target.img, buf, len, dd->to + done,
				    err);
}

static int pump(struct dd *dd, uint64_t *done, struct platter_error *err)
{
	plt_auto_free uint8_t *buf = plt_memalign(4096, BUFFER, err);
	int rc = buf ? 0 : -ENOMEM;

	if (!rc && !dd->src)
		rc = skip_stream(dd, buf, err);
	if (!rc && dd->to_stream)
		rc = seek_stream(dd, err);
	while (!rc && *done < dd->length) {
		size_t len = PLT_MIN(dd->length - *done, (uint64_t)BUFFER);

		rc = take(dd, buf, len, *done, &len, err);
		if (rc || !len)
			break;
		rc = put(dd, buf, len, *done, err);
		*done += len;
		if (!rc)
			rc = report(dd, *done, err);
	}
	return rc;
}

/* ---- */

static int find_range(struct dd *dd, struct platter_dd_result *result,
		      struct platter_error *err)
{
	const struct platter_dd_options *o = dd->opts;
	uint64_t size = dd->src ? platter_image_size(dd->src) : UINT64_MAX;

	if (!plt_mul_u64(&dd->from, o->skip, o->block_size) ||
	    !plt_mul_u64(&dd->to, o->seek, o->block_size) ||
	    dd->from > PLT_OFFSET_MAX || dd->to > PLT_OFFSET_MAX)
		return plt_err_set(err, -EFBIG, "skip or seek is over the "
				   "limit of %" PRIu64 " bytes",
				   PLT_OFFSET_MAX);
	if (!plt_mul_u64(&dd->length, o->count, o->block_size))
		dd->length = UINT64_MAX;
	result->skipped_all = dd->from > size;
	if (dd->src)
		dd->length = result->skipped_all ? 0 :
			     PLT_MIN(dd->length, size - dd->from);
	if (dd->src && dd->length > PLT_OFFSET_MAX - dd->to)
		return plt_err_set(err, -EFBIG, "the target would end beyond "
				   "the limit of %" PRIu64 " bytes",
				   PLT_OFFSET_MAX);
	return 0;
}

int platter_dd(struct platter_context *ctx, struct platter_image *src,
	       const struct platter_dd_options *opts,
	       struct platter_dd_result *result, struct platter_error *err)
{
	struct dd dd = {
		.ctx = ctx,
		.src = src,
		.opts = opts,
		.to_stream = !opts->target,
	};
	int rc;

	*result = (struct platter_dd_result){ .copied = 0 };
	if (dd.to_stream && !is_raw(&dd))
		return plt_err_set(err, -ENOTSUP, "only raw can be written to "
				   "standard output");
	rc = find_range(&dd, result, err);
	if (!rc && !dd.to_stream)
		rc = open_target(&dd, err);
	if (!rc && (!src || dd.to_stream)) {
		rc = pump(&dd, &result->copied, err);
	} else if (!rc) {
		rc = copy(&dd, err);
		result->copied = dd.length;
	}
	if (dd.to_stream)
		return rc;
	if (rc) {
		plt_target_abandon(&dd.target);
		return rc;
	}
	return plt_target_commit(&dd.target, err);
}
