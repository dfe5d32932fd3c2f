/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * I/O through the map.
 *
 * A protocol moves bytes itself. A filter may; what it leaves out goes to its
 * child "file". A format only says where bytes are: this file walks its map
 * and moves them to and from the children, after asking the driver to make
 * ranges writable that are not. Every request is checked against the node's
 * size first, so drivers get only ranges that lie inside.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"

#define MAPS		16	/* asked from a driver at a time */
#define ZERO_BUFFER	65536u	/* bytes of zeros written at a time */

static const unsigned char zeros[ZERO_BUFFER];

/* ---- what all requests have in common ---- */

static int check_range(const struct platter_image *img, const char *what,
		       uint64_t offset, uint64_t len,
		       struct platter_error *err)
{
	uint64_t size = platter_image_size(img);

	if (offset <= size && len <= size - offset)
		return 0;
	return plt_err_set(err, -EINVAL, "%s: %s %" PRIu64 " bytes at offset %"
			   PRIu64 " is beyond the size of %" PRIu64,
			   img->name, what, len, offset, size);
}

static int check_write(const struct platter_image *img, const char *what,
		       uint64_t offset, uint64_t len,
		       struct platter_error *err)
{
	if (!platter_image_writable(img))
		return plt_err_set(err, -EROFS, "%s: is open for reading only",
				   img->name);
	return check_range(img, what, offset, len, err);
}

static struct platter_image *below(struct platter_image *img)
{
	return platter_image_child(img, plt_driver_primary(img->drv));
}

/* Ask a format for its map, and check the answer as nobody else would. */
int plt_image_format_map(struct platter_image *img, uint64_t offset,
			 uint64_t len, struct platter_map *maps, size_t *count,
			 struct platter_error *err)
{
	uint64_t left = len;
	int rc;

	rc = img->drv->format->map(img, offset, len, maps, count, err);
	if (rc < 0)
		return plt_image_prefix(img, rc, err);
	for (size_t i = 0; i < *count; i++) {
		if (maps[i].length == 0 || maps[i].length > left ||
		    (maps[i].kind == PLATTER_MAP_DATA && !maps[i].child))
			goto bad;
		left -= maps[i].length;
	}
	if (*count)
		return 0;
bad:
	return plt_err_set(err, -EIO, "%s: driver %s answers nonsense for "
			   "offset %" PRIu64, img->name, img->drv->name,
			   offset);
}

/* ---- reading ---- */

/* A child may be shorter than the image says: beyond it there are zeros. */
static int read_child(struct platter_image *child, unsigned char *buf,
		      uint64_t len, uint64_t offset, struct platter_error *err)
{
	uint64_t size = platter_image_size(child);
	uint64_t there = offset < size ? PLT_MIN(len, size - offset) : 0;

	memset(buf + there, 0, len - there);
	if (!there)
		return 0;
	return platter_image_pread(child, buf, there, offset, err);
}

static int read_map(struct platter_image *img, const struct platter_map *m,
		    unsigned char *buf, uint64_t offset,
		    struct platter_error *err)
{
	const struct platter_format_ops *ops = img->drv->format;

	switch (m->kind) {
	case PLATTER_MAP_DATA:
		return read_child(m->child, buf, m->length, m->offset, err);
	case PLATTER_MAP_BACKING:
		if (m->child)
			return read_child(m->child, buf, m->length, offset,
					  err);
		break;
	case PLATTER_MAP_ZERO:
		break;
	case PLATTER_MAP_SPECIAL:
		if (!ops->read_special)
			return plt_err_set(err, -ENOTSUP, "%s: driver %s "
					   "cannot read this", img->name,
					   img->drv->name);
		return plt_image_prefix(img, ops->read_special(img, buf,
					m->length, offset, err), err);
	}
	memset(buf, 0, m->length);
	return 0;
}

static int read_format(struct platter_image *img, unsigned char *buf,
		       size_t len, uint64_t offset, struct platter_error *err)
{
	struct platter_map maps[MAPS];

	while (len) {
		size_t count = MAPS;
		int rc;

		rc = plt_image_format_map(img, offset, len, maps, &count, err);
		for (size_t i = 0; rc == 0 && i < count; i++) {
			rc = read_map(img, &maps[i], buf, offset, err);
			buf += maps[i].length;
			len -= maps[i].length;
			offset += maps[i].length;
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

int platter_image_pread(struct platter_image *img, void *buf, size_t len,
			uint64_t offset, struct platter_error *err)
{
	const struct platter_io_ops *io = img->drv->io;
	int rc;

	rc = check_range(img, "reading", offset, len, err);
	if (rc < 0 || len == 0)
		return rc;
	if (img->drv->kind == PLATTER_DRIVER_FORMAT)
		return read_format(img, buf, len, offset, err);
	if (io && io->pread)
		return plt_image_prefix(img, io->pread(img, buf, len, offset,
						       err), err);
	return platter_image_pread(below(img), buf, len, offset, err);
}

/* ---- making a range writable ---- */

static int cannot_write(const struct platter_image *img, uint64_t offset,
			struct platter_error *err)
{
	return plt_err_set(err, -ENOTSUP, "%s: driver %s cannot write at "
			   "offset %" PRIu64, img->name, img->drv->name,
			   offset);
}

static bool in_place(const struct platter_map *m)
{
	return m->kind == PLATTER_MAP_DATA && (m->flags & PLATTER_MAP_WRITABLE);
}

/*
 * The first map at `offset`, after allocating it if it was not writable; that
 * has been tried once when this returns.
 */
static int map_writable(struct platter_image *img, uint64_t offset,
			uint64_t len, struct platter_map *m,
			struct platter_error *err)
{
	const struct platter_format_ops *ops = img->drv->format;
	size_t count = 1;
	int rc;

	rc = plt_image_format_map(img, offset, len, m, &count, err);
	if (rc < 0 || in_place(m))
		return rc;
	if (!ops->alloc)
		return cannot_write(img, offset, err);
	rc = ops->alloc(img, offset, m->length, err);
	if (rc < 0)
		return plt_image_prefix(img, rc, err);
	count = 1;
	rc = plt_image_format_map(img, offset, m->length, m, &count, err);
	if (rc == 0 && !in_place(m))
		rc = cannot_write(img, offset, err);
	return rc;
}

/* ---- writing ---- */

static int write_format(struct platter_image *img, const unsigned char *buf,
			size_t len, uint64_t offset, struct platter_error *err)
{
	while (len) {
		struct platter_map m;
		int rc;

		rc = map_writable(img, offset, len, &m, err);
		if (rc < 0)
			return rc;
		rc = platter_image_pwrite(m.child, buf, m.length, m.offset,
					  err);
		if (rc < 0)
			return rc;
		buf += m.length;
		len -= m.length;
		offset += m.length;
	}
	return 0;
}

int platter_image_pwrite(struct platter_image *img, const void *buf, size_t len,
			 uint64_t offset, struct platter_error *err)
{
	const struct platter_io_ops *io = img->drv->io;
	int rc;

	rc = check_write(img, "writing", offset, len, err);
	if (rc < 0 || len == 0)
		return rc;
	if (img->drv->kind == PLATTER_DRIVER_FORMAT)
		return write_format(img, buf, len, offset, err);
	if (io && io->pwrite)
		return plt_image_prefix(img, io->pwrite(img, buf, len, offset,
							err), err);
	if (img->drv->kind == PLATTER_DRIVER_PROTOCOL)
		return cannot_write(img, offset, err);
	return platter_image_pwrite(below(img), buf, len, offset, err);
}

/* ---- zeros ---- */

static int write_zeros(struct platter_image *img, uint64_t offset,
		       uint64_t len, struct platter_error *err)
{
	while (len) {
		/* Ends on a multiple, so that all but the first are aligned. */
		uint64_t n = ZERO_BUFFER - offset % ZERO_BUFFER;
		int rc;

		n = PLT_MIN(n, len);
		rc = platter_image_pwrite(img, zeros, n, offset, err);
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
	if (in_place(m))
		return platter_image_zero(m->child, m->offset, m->length,
					  flags, err);
	if (m->kind == PLATTER_MAP_ZERO ||
	    (m->kind == PLATTER_MAP_BACKING && backing_is_zero(m, offset)))
		return 0;
	return write_zeros(img, offset, m->length, err);
}

static int discard_map(const struct platter_map *m, struct platter_error *err)
{
	if (!in_place(m))
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

int platter_image_zero(struct platter_image *img, uint64_t offset,
		       uint64_t len, unsigned int flags,
		       struct platter_error *err)
{
	const struct platter_format_ops *format = img->drv->format;
	const struct platter_io_ops *io = img->drv->io;
	int rc;

	rc = check_write(img, "zeroing", offset, len, err);
	if (rc < 0 || len == 0)
		return rc;
	if (img->drv->kind == PLATTER_DRIVER_FORMAT) {
		if (!format->zero)
			return clear_format(img, offset, len, false, flags,
					    err);
		rc = format->zero(img, offset, len, flags, err);
	} else if (io && io->zero) {
		rc = io->zero(img, offset, len, flags, err);
	} else if (img->drv->kind == PLATTER_DRIVER_FILTER &&
		   !(io && io->pwrite)) {
		return platter_image_zero(below(img), offset, len, flags, err);
	} else {
		rc = -ENOTSUP;
	}
	if (rc == -ENOTSUP)
		return write_zeros(img, offset, len, err);
	return plt_image_prefix(img, rc, err);
}

int platter_image_discard(struct platter_image *img, uint64_t offset,
			  uint64_t len, struct platter_error *err)
{
	const struct platter_format_ops *format = img->drv->format;
	const struct platter_io_ops *io = img->drv->io;
	int rc;

	rc = check_write(img, "discarding", offset, len, err);
	if (rc < 0 || len == 0)
		return rc;
	if (img->drv->kind == PLATTER_DRIVER_FORMAT) {
		if (!format->discard)
			return clear_format(img, offset, len, true, 0, err);
		rc = format->discard(img, offset, len, err);
	} else if (io && io->discard) {
		rc = io->discard(img, offset, len, err);
	} else if (img->drv->kind == PLATTER_DRIVER_FILTER) {
		return platter_image_discard(below(img), offset, len, err);
	} else {
		return 0;
	}
	return rc == -ENOTSUP ? 0 : plt_image_prefix(img, rc, err);
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
	rc = platter_image_resize(below(img), size, err);
	if (rc == 0)
		platter_image_set_size(img, platter_image_size(below(img)));
	return rc;
}

int platter_image_resize(struct platter_image *img, uint64_t size,
			 struct platter_error *err)
{
	int rc;

	rc = check_write(img, "resizing", 0, 0, err);
	if (rc < 0)
		return rc;
	if (size > PLT_OFFSET_MAX)
		return plt_err_set(err, -EFBIG, "%s: size %" PRIu64
				   " is over the limit of %" PRIu64, img->name,
				   size, PLT_OFFSET_MAX);
	return plt_image_prefix(img, resize_driver(img, size, err), err);
}
