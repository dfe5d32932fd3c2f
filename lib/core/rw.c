/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * I/O through the map.
 *
 * A protocol moves bytes itself. A filter may; what it leaves out goes to its
 * child "file". A format only says where bytes are: this file walks its map
 * and moves them to and from the children, after asking the driver to make
 * ranges writable that are not. Every request is checked against the node's
 * size first, so drivers get only ranges that lie inside.
 *
 * Zeros, discards and flushes are in clear.c, which shares rw.h.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "core/rw.h"

#define MAPS		16	/* asked from a driver at a time */

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

int plt_rw_check(const struct platter_image *img, const char *what,
		       uint64_t offset, uint64_t len,
		       struct platter_error *err)
{
	if (!platter_image_writable(img))
		return plt_err_set(err, -EROFS, "%s: is open for reading only",
				   img->name);
	return check_range(img, what, offset, len, err);
}

struct platter_image *plt_image_below(struct platter_image *img)
{
	return platter_image_child(img, plt_driver_primary(img->drv));
}

/* ---- one call among others ---- */

/* A protocol keeps nothing that a call could lose under way. */
static bool keeps_apart(const struct platter_image *img)
{
	return img->drv->kind != PLATTER_DRIVER_PROTOCOL;
}

void plt_io_begin(struct platter_image *img)
{
	if (keeps_apart(img))
		pthread_rwlock_rdlock(&img->io);
}

int plt_io_end(struct platter_image *img, int rc, struct platter_error *err)
{
	if (!keeps_apart(img))
		return rc;
	pthread_rwlock_unlock(&img->io);
	if (rc < 0 || !img->want_flush)
		return rc;
	img->want_flush = false;
	return platter_image_flush(img, err);
}

void platter_image_enter_alone(struct platter_image *img)
{
	pthread_rwlock_wrlock(&img->io);
}

void platter_image_leave_alone(struct platter_image *img)
{
	pthread_rwlock_unlock(&img->io);
}

void platter_image_want_flush(struct platter_image *img)
{
	img->want_flush = true;
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

int platter_image_pread_inside(struct platter_image *img, void *buf,
			       size_t len, uint64_t offset,
			       struct platter_error *err)
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
	return platter_image_pread(plt_image_below(img), buf, len, offset,
				   err);
}

int platter_image_pread(struct platter_image *img, void *buf, size_t len,
			uint64_t offset, struct platter_error *err)
{
	int rc;

	plt_io_begin(img);
	rc = platter_image_pread_inside(img, buf, len, offset, err);
	return plt_io_end(img, rc, err);
}

/* ---- making a range writable ---- */

static int cannot_write(const struct platter_image *img, uint64_t offset,
			struct platter_error *err)
{
	return plt_err_set(err, -ENOTSUP, "%s: driver %s cannot write at "
			   "offset %" PRIu64, img->name, img->drv->name,
			   offset);
}

bool plt_map_in_place(const struct platter_map *m)
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
	if (rc < 0 || plt_map_in_place(m))
		return rc;
	if (!ops->alloc)
		return cannot_write(img, offset, err);
	rc = ops->alloc(img, offset, m->length, err);
	if (rc < 0)
		return plt_image_prefix(img, rc, err);
	count = 1;
	rc = plt_image_format_map(img, offset, m->length, m, &count, err);
	if (rc == 0 && !plt_map_in_place(m))
		rc = cannot_write(img, offset, err);
	return rc;
}

/* ---- writing ---- */

/* How a format's child is written to: platter_image_pwrite() or _fua(). */
typedef int write_function(struct platter_image *img, const void *buf,
			   size_t len, uint64_t offset,
			   struct platter_error *err);

/* What is not writable in place, by a driver that does it in its own order. */
static int write_new(struct platter_image *img, const unsigned char *buf,
		     uint64_t *len, uint64_t offset, struct platter_error *err)
{
	size_t done = 0;
	int rc;

	rc = img->drv->format->write(img, buf, *len, offset, &done, err);
	if (rc < 0)
		return plt_image_prefix(img, rc, err);
	if (!done || done > *len)
		return cannot_write(img, offset, err);
	*len = done;
	return 0;
}

/* Write the first piece of a range; *len becomes how long it was. */
static int write_piece(struct platter_image *img, const unsigned char *buf,
		       uint64_t *len, uint64_t offset, write_function *below,
		       struct platter_error *err)
{
	struct platter_map maps[MAPS];
	uint64_t behind = *len;
	size_t count = MAPS, n = 0;
	int rc;

	if (!img->drv->format->write) {
		rc = map_writable(img, offset, *len, &maps[0], err);
	} else {
		rc = plt_image_format_map(img, offset, *len, maps, &count,
					  err);
		/* All there is up to what can be overwritten, in one go. */
		while (rc == 0 && n < count && !plt_map_in_place(&maps[n]))
			behind -= maps[n++].length;
		if (rc == 0 && n) {
			*len -= n < count ? behind : 0;
			return write_new(img, buf, len, offset, err);
		}
	}
	if (rc < 0)
		return rc;
	*len = maps[0].length;
	return below(maps[0].child, buf, *len, maps[0].offset, err);
}

static int write_format(struct platter_image *img, const unsigned char *buf,
			size_t len, uint64_t offset, write_function *below,
			struct platter_error *err)
{
	int rc = 0;

	while (len && !rc) {
		uint64_t n = len;

		rc = write_piece(img, buf, &n, offset, below, err);
		/* Even of a write that failed some may have arrived. */
		if (img->drv->format->written)
			img->drv->format->written(img, offset, n);
		buf += n;
		len -= n;
		offset += n;
	}
	return rc;
}

int platter_image_pwrite_inside(struct platter_image *img, const void *buf,
				size_t len, uint64_t offset,
				struct platter_error *err)
{
	const struct platter_io_ops *io = img->drv->io;
	int rc;

	rc = plt_rw_check(img, "writing", offset, len, err);
	if (rc < 0 || len == 0)
		return rc;
	if (img->drv->kind == PLATTER_DRIVER_FORMAT)
		return write_format(img, buf, len, offset,
				    platter_image_pwrite, err);
	if (io && io->pwrite)
		return plt_image_prefix(img, io->pwrite(img, buf, len, offset,
							err), err);
	if (img->drv->kind == PLATTER_DRIVER_PROTOCOL)
		return cannot_write(img, offset, err);
	return platter_image_pwrite(plt_image_below(img), buf, len, offset,
				    err);
}

int platter_image_pwrite(struct platter_image *img, const void *buf, size_t len,
			 uint64_t offset, struct platter_error *err)
{
	int rc;

	plt_io_begin(img);
	rc = platter_image_pwrite_inside(img, buf, len, offset, err);
	return plt_io_end(img, rc, err);
}

/* ---- writing at the end ---- */

bool plt_image_grows(const struct platter_image *img)
{
	return img->drv->kind == PLATTER_DRIVER_PROTOCOL && img->drv->io &&
	       img->drv->io->pwrite && img->drv->io->pwrite_grows;
}

int plt_image_pwrite_grow(struct platter_image *img, const void *buf,
			  size_t len, uint64_t offset,
			  struct platter_error *err)
{
	uint64_t size = platter_image_size(img), end;
	int rc;

	if (!platter_image_writable(img))
		return plt_rw_check(img, "writing", 0, 0, err);
	if (!plt_image_grows(img) || offset > size)
		return cannot_write(img, offset, err);
	if (!plt_add_u64(&end, offset, len) || end > PLT_OFFSET_MAX)
		return plt_err_set(err, -EFBIG, "%s: size %" PRIu64
				   " is over the limit of %" PRIu64, img->name,
				   end, PLT_OFFSET_MAX);
	rc = img->drv->io->pwrite(img, buf, len, offset, err);
	if (!rc && end > size)
		platter_image_set_size(img, end);
	return plt_image_prefix(img, rc, err);
}

/* ---- durable writing ---- */

/*
 * A format without a flush of its own keeps nothing back, so its bytes are
 * durable when its child's are.
 */
static bool passes_fua(const struct platter_image *img)
{
	const struct platter_driver *drv = img->drv;

	switch (drv->kind) {
	case PLATTER_DRIVER_FORMAT:
		return !drv->format->flush && !drv->format->write &&
		       !drv->format->alloc;
	case PLATTER_DRIVER_FILTER:
		return !drv->io || !drv->io->pwrite;
	default:
		return false;
	}
}

static int write_fua(struct platter_image *img, const void *buf, size_t len,
		     uint64_t offset, struct platter_error *err)
{
	const struct platter_io_ops *io = img->drv->io;
	int rc;

	rc = plt_rw_check(img, "writing", offset, len, err);
	if (rc < 0 || len == 0)
		return rc;
	if (io && io->pwrite_fua)
		return plt_image_prefix(img, io->pwrite_fua(img, buf, len,
						offset, err), err);
	if (img->drv->kind == PLATTER_DRIVER_FORMAT)
		return write_format(img, buf, len, offset,
				    platter_image_pwrite_fua, err);
	return platter_image_pwrite_fua(plt_image_below(img), buf, len, offset,
					err);
}

int platter_image_pwrite_fua(struct platter_image *img, const void *buf,
			     size_t len, uint64_t offset,
			     struct platter_error *err)
{
	const struct platter_io_ops *io = img->drv->io;
	int rc;

	if (!(io && io->pwrite_fua) && !passes_fua(img)) {
		rc = platter_image_pwrite(img, buf, len, offset, err);
		return rc ? rc : platter_image_flush(img, err);
	}
	plt_io_begin(img);
	rc = write_fua(img, buf, len, offset, err);
	return plt_io_end(img, rc, err);
}

/* ---- compressed writing ---- */

bool plt_image_can_compress(const struct platter_image *img)
{
	return img->drv->kind == PLATTER_DRIVER_FORMAT &&
	       img->drv->format->compress &&
	       img->drv->format->write_compressed;
}

int plt_image_compress(struct platter_image *img, const void *in, size_t len,
		       void *out, size_t *out_len, struct platter_error *err)
{
	if (!plt_image_can_compress(img))
		return plt_err_set(err, -ENOTSUP, "%s: format %s has no "
				   "compression", img->name, img->drv->name);
	return plt_image_prefix(img, img->drv->format->compress(img, in, len,
				out, out_len, err), err);
}

int plt_image_store_compressed(struct platter_image *img, const void *data,
			       size_t len, uint64_t offset,
			       struct platter_error *err)
{
	const struct platter_format_ops *ops = img->drv->format;
	struct platter_image_facts facts;
	uint64_t size = platter_image_size(img);
	int rc;

	rc = plt_rw_check(img, "writing", offset, 1, err);
	if (rc == 0)
		rc = platter_image_facts(img, &facts, err);
	if (rc < 0)
		return rc;
	plt_io_begin(img);
	rc = ops->write_compressed(img, data, len, offset, err);
	if (ops->written)
		ops->written(img, offset, PLT_MIN(facts.cluster_size,
						  size - offset));
	return plt_io_end(img, plt_image_prefix(img, rc, err), err);
}

static int write_cluster(struct platter_image *img, const void *buf,
			 size_t len, uint64_t offset, void *room,
			 struct platter_error *err)
{
	size_t packed;
	int rc;

	rc = plt_image_compress(img, buf, len, room, &packed, err);
	if (rc < 0)
		return rc;
	if (rc > 0)
		return platter_image_pwrite(img, buf, len, offset, err);
	return plt_image_store_compressed(img, room, packed, offset, err);
}

int platter_image_write_compressed(struct platter_image *img, const void *buf,
				   size_t len, uint64_t offset,
				   struct platter_error *err)
{
	uint64_t size = platter_image_size(img);
	plt_auto_free void *room = NULL;
	struct platter_image_facts facts;
	const unsigned char *from = buf;
	int rc;

	rc = plt_rw_check(img, "writing", offset, len, err);
	if (rc == 0)
		rc = platter_image_facts(img, &facts, err);
	if (rc < 0 || len == 0)
		return rc;
	if (!plt_image_can_compress(img) || !facts.cluster_size)
		return plt_err_set(err, -ENOTSUP, "%s: format %s has no "
				   "compression", img->name, img->drv->name);
	if (offset % facts.cluster_size ||
	    (len % facts.cluster_size && offset + len != size))
		return plt_err_set(err, -EINVAL, "%s: compressed data of %zu "
				   "bytes at offset %" PRIu64 " is not made of "
				   "whole clusters of %" PRIu64, img->name, len,
				   offset, facts.cluster_size);
	room = plt_calloc(1, facts.cluster_size, err);
	if (!room)
		return -ENOMEM;
	while (len && !rc) {
		size_t n = PLT_MIN((uint64_t)len, facts.cluster_size);

		rc = write_cluster(img, from, n, offset, room, err);
		from += n;
		len -= n;
		offset += n;
	}
	return rc;
}
