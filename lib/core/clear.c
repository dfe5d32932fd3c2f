/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * I/O that carries no data: zeros, discards, flushes and changes of size.
 *
 * What a driver does not do itself is done through its map (rw.c).
 */
#include <inttypes.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "core/rw.h"

#define ZERO_BUFFER	65536u	/* bytes of zeros written at a time */

static const unsigned char zeros[ZERO_BUFFER];

/* ---- zeros ---- */

static int write_zeros(struct platter_image *img, uint64_t offset,
		       uint64_t len, unsigned int flags,
		       struct platter_error *err)
{
	if (flags & PLATTER_ZERO_FAST)
		return plt_err_set(err, -ENOTSUP, "%s: zeros would have to be "
				   "written at offset %" PRIu64, img->name,
				   offset);
	while (len) {
		/* Ends on a multiple, so that all but the first are aligned. */
		uint64_t n = ZERO_BUFFER - offset % ZERO_BUFFER;
		int rc;

		n = PLT_MIN(n, len);
		rc = platter_image_pwrite_inside(img, zeros, n, offset, err);
		if (rc < 0)
			return rc;
		offset += n;
		len -= n;
	}
	return 0;
}

/* True when what is below a BACKING map is zeros without looking at it. */
static bool backing_is_zero(const struct platter_map *m, uint64_t offset)
{
	return !m->child || offset >= platter_image_size(m->child);
}

static int zero_map(struct platter_image *img, const struct platter_map *m,
		    uint64_t offset, unsigned int flags,
		    struct platter_error *err)
{
	if (plt_map_in_place(m))
		return platter_image_zero(m->child, m->offset, m->length,
					  flags, err);
	if (m->kind == PLATTER_MAP_ZERO ||
	    (m->kind == PLATTER_MAP_BACKING && backing_is_zero(m, offset)))
		return 0;
	return write_zeros(img, offset, m->length, flags, err);
}

static int discard_map(const struct platter_map *m, struct platter_error *err)
{
	if (!plt_map_in_place(m))
		return 0;
	return platter_image_discard(m->child, m->offset, m->length, err);
}

/* A format without its own zero or discard: hand it to where the bytes are. */
static int clear_format(struct platter_image *img, uint64_t offset,
			uint64_t len, bool discard, unsigned int flags,
			struct platter_error *err)
{
	while (len) {
		struct platter_map m;
		size_t count = 1;
		int rc;

		rc = plt_image_format_map(img, offset, len, &m, &count, err);
		if (rc == 0)
			rc = discard ? discard_map(&m, err) :
				       zero_map(img, &m, offset, flags, err);
		if (rc < 0)
			return rc;
		offset += m.length;
		len -= m.length;
	}
	return 0;
}

static int zero_inside(struct platter_image *img, uint64_t offset,
		       uint64_t len, unsigned int flags,
		       struct platter_error *err)
{
	const struct platter_format_ops *format = img->drv->format;
	const struct platter_io_ops *io = img->drv->io;
	int rc = -ENOTSUP;

	if (img->drv->kind == PLATTER_DRIVER_FORMAT) {
		if (!format->zero)
			return clear_format(img, offset, len, false, flags,
					    err);
		rc = format->zero(img, offset, len, flags, err);
	} else if (io && io->zero) {
		rc = io->zero(img, offset, len, flags, err);
	} else if (img->drv->kind == PLATTER_DRIVER_FILTER &&
		   !(io && io->pwrite)) {
		return platter_image_zero(plt_image_below(img), offset, len,
					  flags, err);
	}
	if (rc == -ENOTSUP)
		return write_zeros(img, offset, len, flags, err);
	return plt_image_prefix(img, rc, err);
}

static void tell_written(struct platter_image *img, uint64_t offset,
			 uint64_t len)
{
	const struct platter_format_ops *format = img->drv->format;

	if (img->drv->kind == PLATTER_DRIVER_FORMAT && format->written)
		format->written(img, offset, len);
}

int platter_image_zero(struct platter_image *img, uint64_t offset,
		       uint64_t len, unsigned int flags,
		       struct platter_error *err)
{
	int rc;

	rc = plt_rw_check(img, "zeroing", offset, len, err);
	if (rc < 0 || len == 0)
		return rc;
	plt_io_begin(img);
	rc = zero_inside(img, offset, len, flags, err);
	tell_written(img, offset, len);
	return plt_io_end(img, rc, err);
}

static int discard_inside(struct platter_image *img, uint64_t offset,
			  uint64_t len, struct platter_error *err)
{
	const struct platter_format_ops *format = img->drv->format;
	const struct platter_io_ops *io = img->drv->io;
	int rc = 0;

	if (img->drv->kind == PLATTER_DRIVER_FORMAT) {
		if (!format->discard)
			return clear_format(img, offset, len, true, 0, err);
		rc = format->discard(img, offset, len, err);
	} else if (io && io->discard) {
		rc = io->discard(img, offset, len, err);
	} else if (img->drv->kind == PLATTER_DRIVER_FILTER) {
		return platter_image_discard(plt_image_below(img), offset, len,
					     err);
	}
	return rc == -ENOTSUP ? 0 : plt_image_prefix(img, rc, err);
}

int platter_image_discard(struct platter_image *img, uint64_t offset,
			  uint64_t len, struct platter_error *err)
{
	int rc;

	rc = plt_rw_check(img, "discarding", offset, len, err);
	if (rc < 0 || len == 0)
		return rc;
	plt_io_begin(img);
	rc = discard_inside(img, offset, len, err);
	tell_written(img, offset, len);
	return plt_io_end(img, rc, err);
}

/* ---- flush and resize ---- */

static int flush_children(struct platter_image *img, struct platter_error *err)
{
	for (size_t i = 0; i < img->nr_children; i++) {
		int rc = platter_image_flush(img->children[i].img, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int platter_image_flush(struct platter_image *img, struct platter_error *err)
{
	const struct platter_format_ops *format = img->drv->format;
	const struct platter_io_ops *io = img->drv->io;

	if (!platter_image_writable(img))
		return 0;
	if (img->drv->kind == PLATTER_DRIVER_FORMAT && format->flush)
		return plt_image_prefix(img, format->flush(img, err), err);
	if (img->drv->kind != PLATTER_DRIVER_FORMAT && io && io->flush)
		return plt_image_prefix(img, io->flush(img, err), err);
	return flush_children(img, err);
}

static int resize_driver(struct platter_image *img, uint64_t size,
			 struct platter_error *err)
{
	const struct platter_format_ops *format = img->drv->format;
	const struct platter_io_ops *io = img->drv->io;
	int rc;

	if (img->drv->kind == PLATTER_DRIVER_FORMAT && format->resize)
		return format->resize(img, size, err);
	if (img->drv->kind != PLATTER_DRIVER_FORMAT && io && io->resize)
		return io->resize(img, size, err);
	if (img->drv->kind != PLATTER_DRIVER_FILTER)
		return plt_err_set(err, -ENOTSUP,
				   "driver %s cannot change its size",
				   img->drv->name);
	rc = platter_image_resize(plt_image_below(img), size, err);
	if (rc == 0)
		platter_image_set_size(img, platter_image_size(plt_image_below(img)));
	return rc;
}

int platter_image_resize(struct platter_image *img, uint64_t size,
			 struct platter_error *err)
{
	int rc;

	rc = plt_rw_check(img, "resizing", 0, 0, err);
	if (rc < 0)
		return rc;
	if (size > PLT_OFFSET_MAX)
		return plt_err_set(err, -EFBIG, "%s: size %" PRIu64
				   " is over the limit of %" PRIu64, img->name,
				   size, PLT_OFFSET_MAX);
	platter_image_enter_alone(img);
	rc = resize_driver(img, size, err);
	platter_image_leave_alone(img);
	return plt_image_prefix(img, rc, err);
}
