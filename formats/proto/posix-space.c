/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Holes in files and unmapped ranges of block devices.
 *
 * What a file system cannot do is -ENOTSUP without a message, and the core
 * writes zeros or does nothing. Long ranges go in steps, so that no one call
 * is uninterruptible for minutes; every step counts.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "proto/posix.h"

#define STEP		(1ULL << 30)	/* bytes per call, a multiple of any */
#define COPY_STEP	(64ULL << 20)	/* bytes per copy_file_range() */
#define DEVICE_ALIGN	4096u		/* covers every logical block size */
#define ZERO_BUFFER	DEVICE_ALIGN

/* ---- one call, in steps ---- */

static int no_support(int rc)
{
	switch (rc) {
	case -EINVAL:
	case -ENODEV:
	case -ENOSYS:
	case -ENOTTY:
	case -EOPNOTSUPP:
	case -EPERM:		/* a sealed or append-only file */
		return -ENOTSUP;
	default:
		return rc;
	}
}

static int fallocate_all(int fd, int mode, uint64_t offset, uint64_t len)
{
	while (len) {
		uint64_t n = PLT_MIN(len, STEP);

		if (fallocate(fd, mode, (off_t)offset, (off_t)n) < 0) {
			if (errno == EINTR)
				continue;
			return no_support(-errno);
		}
		offset += n;
		len -= n;
	}
	return 0;
}

static int ioctl_all(int fd, unsigned long request, uint64_t offset,
		     uint64_t len)
{
	while (len) {
		uint64_t range[2] = { offset, PLT_MIN(len, STEP) };

		if (ioctl(fd, request, range) < 0) {
			if (errno == EINTR)
				continue;
			return no_support(-errno);
		}
		offset += range[1];
		len -= range[1];
	}
	return 0;
}

static int punch(int fd, uint64_t offset, uint64_t len)
{
	return fallocate_all(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			     offset, len);
}

/* ---- zero ---- */

static int zero_file(int fd, uint64_t offset, uint64_t len, unsigned int flags)
{
	int rc = -ENOTSUP;

	if (flags & PLATTER_ZERO_UNMAP)
		rc = punch(fd, offset, len);
	if (rc == -ENOTSUP)
		rc = fallocate_all(fd, FALLOC_FL_ZERO_RANGE |
				   FALLOC_FL_KEEP_SIZE, offset, len);
	if (rc == -ENOTSUP && !(flags & PLATTER_ZERO_UNMAP)) {
		/* The same in two steps, where only the parts are known. */
		rc = punch(fd, offset, len);
		if (rc == 0)
			rc = fallocate_all(fd, FALLOC_FL_KEEP_SIZE, offset,
					   len);
	}
	return rc;
}

static int zero_device(int fd, uint64_t offset, uint64_t len,
		       unsigned int flags)
{
	int rc = -ENOTSUP;

	if (flags & PLATTER_ZERO_UNMAP)
		rc = punch(fd, offset, len);
	/* That may write them; the kernel does not say. */
	if (rc == -ENOTSUP && !(flags & PLATTER_ZERO_FAST))
		rc = ioctl_all(fd, BLKZEROOUT, offset, len);
	return rc;
}

/* The whole blocks in [*offset, *offset + *len); false when there are none. */
static bool whole_blocks(uint64_t *offset, uint64_t *len)
{
	uint64_t start = plt_align_up(*offset, DEVICE_ALIGN);
	uint64_t end = plt_align_down(*offset + *len, DEVICE_ALIGN);

	if (start >= end)
		return false;
	*offset = start;
	*len = end - start;
	return true;
}

/* Less than a block of zeros, through the driver's own write. */
static int zero_edge(struct platter_image *img, uint64_t start, uint64_t end,
		     struct platter_error *err)
{
	static const unsigned char zeros[ZERO_BUFFER];

	if (start == end)
		return 0;
	return plt_posix_io.pwrite(img, zeros, end - start, start, err);
}

static int zero_device_any(struct platter_image *img, struct plt_posix *s,
			   uint64_t offset, uint64_t len, unsigned int flags,
			   struct platter_error *err)
{
	uint64_t start = offset, n = len;
	int rc;

	if (!whole_blocks(&start, &n))
		return -ENOTSUP;
	rc = zero_device(s->fd, start, n, flags);
	if (rc < 0)
		return rc;
	rc = zero_edge(img, offset, start, err);
	if (rc == 0)
		rc = zero_edge(img, start + n, offset + len, err);
	return rc;
}

/* After the space of a file changed under a mode that makes writes durable. */
static int finish(struct plt_posix *s, struct platter_error *err)
{
	s->writes++;
	if (s->sync && fdatasync(s->fd) < 0)
		return plt_err_errno(err, -errno, "flushing");
	return 0;
}

int plt_posix_zero(struct platter_image *img, uint64_t offset, uint64_t len,
		   unsigned int flags, struct platter_error *err)
{
	struct plt_posix *s = platter_image_state(img);
	struct platter_error e = PLATTER_ERROR_INIT;
	int rc;

	pthread_rwlock_rdlock(&s->rmw);
	rc = s->block ? zero_device(s->fd, offset, len, flags) :
			zero_file(s->fd, offset, len, flags);
	pthread_rwlock_unlock(&s->rmw);
	if (rc == -ENOTSUP && s->block)
		rc = zero_device_any(img, s, offset, len, flags, &e);
	if (e.code)
		return plt_err_set(err, rc, "%s", e.msg);
	if (rc == -ENOTSUP)
		return rc;
	if (rc < 0)
		return plt_err_errno(err, rc, "zeroing %" PRIu64
				     " bytes at offset %" PRIu64, len, offset);
	return finish(s, err);
}

/* ---- discard ---- */

int plt_posix_discard(struct platter_image *img, uint64_t offset, uint64_t len,
		      struct platter_error *err)
{
	struct plt_posix *s = platter_image_state(img);
	int rc;

	/* Bytes at the edges of a device's blocks may stay as they are. */
	if (s->block && !whole_blocks(&offset, &len))
		return 0;
	pthread_rwlock_rdlock(&s->rmw);
	rc = s->block ? ioctl_all(s->fd, BLKDISCARD, offset, len) :
			punch(s->fd, offset, len);
	pthread_rwlock_unlock(&s->rmw);
	if (rc == -ENOTSUP)
		return rc;
	if (rc < 0)
		return plt_err_errno(err, rc, "discarding %" PRIu64
				     " bytes at offset %" PRIu64, len, offset);
	return finish(s, err);
}

/* ---- extents ---- */

/* The file ended before `offset` when we asked; a hole, or became shorter? */
static int at_end(struct plt_posix *s, uint64_t offset,
		  struct platter_error *err)
{
	uint64_t size;
	int rc;

	rc = plt_fd_size(s->fd, &size);
	if (rc < 0)
		return plt_err_errno(err, rc, "asking for the size");
	if (offset >= size)
		return plt_err_set(err, -EIO, "ends at %" PRIu64 " now, but "
				   "was longer when it was opened", size);
	return 1;
}

static void set_hole(struct platter_extent *extent)
{
	extent->flags &= ~PLATTER_EXTENT_DATA;
	extent->flags |= PLATTER_EXTENT_ZERO;
}

/* extent comes in as all data, which is right where lseek() cannot tell. */
int plt_posix_extent(struct platter_image *img, uint64_t offset, uint64_t len,
		     struct platter_extent *extent, struct platter_error *err)
{
	struct plt_posix *s = platter_image_state(img);
	off_t data, hole;

	data = lseek(s->fd, (off_t)offset, SEEK_DATA);
	if (data < 0 && errno == ENXIO) {
		int rc = at_end(s, offset, err);

		if (rc > 0)
			set_hole(extent);
		return PLT_MIN(rc, 0);
	}
	if (data < (off_t)offset)	/* an error, or nonsense */
		return 0;
	if (data > (off_t)offset) {
		set_hole(extent);
		extent->length = PLT_MIN(len, (uint64_t)data - offset);
		return 0;
	}
	hole = lseek(s->fd, (off_t)offset, SEEK_HOLE);
	if (hole > (off_t)offset)
		extent->length = PLT_MIN(len, (uint64_t)hole - offset);
	return 0;
}

/* ---- copying ---- */

static int copy_error(int rc)
{
	switch (rc) {
	case -EXDEV:
	case -EBADF:
	case -ETXTBSY:
		return -ENOTSUP;
	default:
		return no_support(rc);
	}
}

int plt_posix_copy_range(struct platter_image *src, uint64_t src_offset,
			 struct platter_image *dst, uint64_t dst_offset,
			 uint64_t len, uint64_t *copied,
			 struct platter_error *err)
{
	struct plt_posix *from = platter_image_state(src);
	struct plt_posix *to = platter_image_state(dst);
	off_t in = (off_t)src_offset, out = (off_t)dst_offset;
	ssize_t n;
	int rc;

	/* It would go through the page cache, which O_DIRECT is to avoid. */
	if (from->direct || to->direct)
		return -ENOTSUP;
	do {
		n = copy_file_range(from->fd, &in, to->fd, &out,
				    PLT_MIN(len, COPY_STEP), 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		rc = copy_error(-errno);
		if (rc == -ENOTSUP)
			return rc;
		return plt_err_errno(err, rc, "copying %" PRIu64
				     " bytes to offset %" PRIu64, len,
				     dst_offset);
	}
	/* Some file systems say so instead of "not supported". */
	if (n == 0)
		return -ENOTSUP;
	*copied = (uint64_t)n;
	return finish(to, err);
}
