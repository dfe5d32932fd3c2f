/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file and host_device protocols: reading, writing, flushing.
 *
 * An open never hangs or has side effects: what is not the right kind of file
 * is found out with stat() before, and again with fstat() after, opening it
 * without blocking.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "core/core.h"
#include "proto/posix.h"

#define CACHED_WRITE	(256u << 10)	/* bytes written with a call, at most */

bool plt_posix_plain_name(const char *filename)
{
	return !plt_spec_scheme(filename) || access(filename, F_OK) == 0;
}

/* ---- opening ---- */

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a regular file";
	case S_IFDIR:
		return "a directory";
	case S_IFBLK:
		return "a block device";
	case S_IFCHR:
		return "a character device";
	case S_IFIFO:
		return "a FIFO";
	case S_IFSOCK:
		return "a socket";
	default:
		return "a special file";
	}
}

static int check_type(const struct stat *st, bool device,
		      struct platter_error *err)
{
	bool is_device = S_ISBLK(st->st_mode) || S_ISCHR(st->st_mode);

	if (device ? is_device : S_ISREG(st->st_mode))
		return 0;
	return plt_err_set(err, S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL,
			   "is %s, not %s", type_name(st->st_mode),
			   device ? "a block or character device" :
				    "a regular file");
}

static int open_error(int rc, int flags, struct platter_error *err)
{
	if (rc == -EINVAL && (flags & O_DIRECT))
		return plt_err_set(err, rc, "the file system does not support "
				   "O_DIRECT; use another cache mode");
	return plt_err_errno(err, rc, "opening");
}

static int open_path(const char *filename, bool device, int flags,
		     struct platter_error *err)
{
	struct stat st;
	int fd, rc;

	if (stat(filename, &st) < 0)
		return plt_err_set(err, -errno, "%s", strerror(errno));
	rc = check_type(&st, device, err);
	if (rc < 0)
		return rc;
	fd = open(filename, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return open_error(-errno, flags, err);
	/* Only the open itself was not to block. */
	if (fcntl(fd, F_SETFL, flags) < 0) {
		rc = plt_err_errno(err, -errno, "setting file flags");
		close(fd);
		return rc;
	}
	return fd;
}

static int set_up(struct platter_image *img, struct plt_posix *s, bool device,
		  int flags, struct platter_error *err)
{
	uint64_t size = 0;
	struct stat st;
	int rc;

	if (fstat(s->fd, &st) < 0)
		return plt_err_errno(err, -errno, "fstat");
	rc = check_type(&st, device, err);
	if (rc < 0)
		return rc;
	s->block = S_ISBLK(st.st_mode);
	s->character = S_ISCHR(st.st_mode);
	s->direct = flags & O_DIRECT;
	s->sync = flags & O_DSYNC;
	s->no_flush = platter_image_cache(img) == PLATTER_CACHE_UNSAFE;
	if (!s->character) {
		rc = plt_fd_size(s->fd, &size);
		if (rc < 0)
			return plt_err_errno(err, rc, "asking for the size");
	}
	platter_image_set_size(img, size);
	return s->direct ? plt_direct_init(s, st.st_mode, err) : 0;
}

/*
 * No lock for looking at the outside of an image: `info` of a raw one that is
 * in use works, as with qemu-img.
 */
static bool wants_lock(const struct plt_posix *s, unsigned int flags)
{
	/* A character device holds no image, and /dev/null is everybody's. */
	if ((flags & PLATTER_O_SHARE) || s->character)
		return false;
	return (flags & PLATTER_O_RDWR) || !(flags & PLATTER_O_NO_IO);
}

static int open_and_lock(struct platter_image *img, struct plt_posix *s,
			 const char *filename, bool device,
			 struct platter_error *err)
{
	bool rdwr = platter_image_writable(img);
	int flags, rc;

	flags = plt_cache_open_flags(platter_image_cache(img));
	flags |= rdwr ? O_RDWR : O_RDONLY;
	/* The gate has opened what an image names. */
	s->fd = img->fd >= 0 ? plt_steal_fd(img->fd) :
		open_path(filename, device, flags, err);
	if (s->fd < 0)
		return s->fd;
	rc = set_up(img, s, device, flags, err);
	if (rc == 0 && wants_lock(s, platter_image_flags(img)))
		rc = plt_lock_image(s->fd, rdwr, filename, err);
	if (rc < 0)
		close(s->fd);
	return rc;
}

int plt_posix_open(struct platter_image *img, struct platter_options *opts,
		   bool device, struct platter_error *err)
{
	const char *filename = platter_options_string(opts, "filename");
	struct plt_posix *s = platter_image_state(img);
	const char *prefix = device ? "host_device:" : "file:";
	int rc;

	if (!filename)
		return plt_err_set(err, -EINVAL, "driver %s needs the option "
				   "\"filename\"", platter_image_format(img));
	/* As a person may write it; a name inside an image is literal. */
	if (img->fd < 0 && !strncmp(filename, prefix, strlen(prefix)))
		filename += strlen(prefix);
	rc = platter_image_set_name(img, filename, err);
	if (rc == 0)
		rc = open_and_lock(img, s, filename, device, err);
	if (rc < 0)
		return rc;
	pthread_rwlock_init(&s->rmw, NULL);
	pthread_mutex_init(&s->flush, NULL);
	return 0;
}

/* One that was opened for looking at its outside only is now looked into. */
static int posix_lock(struct platter_image *img, struct platter_error *err)
{
	unsigned int flags = platter_image_flags(img);
	struct plt_posix *s = platter_image_state(img);
	bool has = wants_lock(s, flags);

	if (has || !wants_lock(s, flags & ~PLATTER_O_NO_IO))
		return 0;
	return plt_lock_image(s->fd, false, platter_image_name(img), err);
}

/* ---- from reading to writing ---- */

/*
 * From `old`, which reads, to `fd`, which is to write. The locks of the one
 * would be in the way of the other's, so for a moment there are none. Where
 * someone has come between, `old` reads on, with its lock if that can be had.
 */
static int move_lock(int old, int fd, const char *name,
		     struct platter_error *err)
{
	int rc;

	plt_unlock_image(old);
	rc = plt_lock_image(fd, true, name, err);
	if (rc < 0) {
		plt_unlock_image(fd);
		if (plt_lock_image(old, false, name, NULL))
			plt_unlock_image(old);
	}
	return rc;
}

/* The new descriptor takes the place of the old one. */
static int posix_reopen_rw(struct platter_image *img,
			   struct platter_error *err)
{
	struct plt_posix *s = platter_image_state(img);
	plt_auto_fd int fd = -1;
	char proc[32];
	int flags, rc = 0;

	flags = O_RDWR | O_CLOEXEC |
		plt_cache_open_flags(platter_image_cache(img));
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", s->fd);
	fd = open(proc, flags);
	if (fd < 0)
		return open_error(-errno, flags, err);
	if (wants_lock(s, platter_image_flags(img)))
		rc = move_lock(s->fd, fd, platter_image_name(img), err);
	if (rc < 0)
		return rc;
	if (dup3(fd, s->fd, O_CLOEXEC) < 0)
		return plt_err_errno(err, -errno, "reopening for writing");
	return 0;
}

void plt_posix_close(struct platter_image *img)
{
	struct plt_posix *s = platter_image_state(img);

	pthread_rwlock_destroy(&s->rmw);
	pthread_mutex_destroy(&s->flush);
	close(s->fd);
}

/* ---- reading and writing ---- */

static int posix_pread(struct platter_image *img, void *buf, size_t len,
		       uint64_t offset, struct platter_error *err)
{
	struct plt_posix *s = platter_image_state(img);
	ssize_t n;

	n = s->direct ? plt_direct_pread(s, buf, len, offset) :
			plt_pread(s->fd, buf, len, offset);
	if (n < 0)
		return plt_err_errno(err, (int)n, "reading %zu bytes at offset "
				     "%" PRIu64, len, offset);
	if ((size_t)n < len)
		return plt_err_set(err, -EIO, "ends at %" PRIu64 " now, but "
				   "was %" PRIu64 " bytes when it was opened",
				   offset + (uint64_t)n,
				   platter_image_size(img));
	return 0;
}

/*
 * Through the page cache in pieces: for a long write the kernel looks for
 * memory in as large blocks, which is slow when there is none at hand, and
 * the speed of short ones is the same.
 */
static int write_cached(int fd, const unsigned char *buf, size_t len,
			uint64_t offset)
{
	int rc = 0;

	while (len && !rc) {
		size_t n = PLT_MIN(len, CACHED_WRITE - offset % CACHED_WRITE);

		rc = plt_pwrite(fd, buf, n, offset);
		buf += n;
		offset += n;
		len -= n;
	}
	return rc;
}

/* Direct writes are of whole blocks, so the end is put in its place before. */
static int write_direct(struct plt_posix *s, const void *buf, size_t len,
			uint64_t offset, uint64_t size)
{
	if (offset + len > size) {
		size = offset + len;
		if (ftruncate(s->fd, (off_t)size) < 0)
			return -errno;
	}
	return plt_direct_pwrite(s, buf, len, offset, size);
}

static int posix_pwrite(struct platter_image *img, const void *buf, size_t len,
			uint64_t offset, struct platter_error *err)
{
	struct plt_posix *s = platter_image_state(img);
	int rc;

	rc = s->direct ? write_direct(s, buf, len, offset,
				      platter_image_size(img)) :
			 write_cached(s->fd, buf, len, offset);
	s->writes++;
	if (rc < 0)
		return plt_err_errno(err, rc, "writing %zu bytes at offset %"
				     PRIu64, len, offset);
	return 0;
}

/* O_DIRECT writes go in pieces, so the flush that follows is one for all. */
static int posix_pwrite_fua(struct platter_image *img, const void *buf,
			    size_t len, uint64_t offset,
			    struct platter_error *err)
{
	struct plt_posix *s = platter_image_state(img);
	int rc;

	if (s->direct || s->no_flush) {
		rc = posix_pwrite(img, buf, len, offset, err);
		return rc ? rc : plt_posix_flush(img, err);
	}
	rc = plt_pwrite_dsync(s->fd, buf, len, offset);
	if (rc < 0)
		return plt_err_errno(err, rc, "writing %zu bytes at offset %"
				     PRIu64, len, offset);
	return 0;
}

int plt_posix_flush(struct platter_image *img, struct platter_error *err)
{
	struct plt_posix *s = platter_image_state(img);
	uint64_t writes = s->writes;

	if (s->no_flush)
		return 0;
	PLT_LOCK_SCOPE(&s->flush);
	if (!s->flush_error && s->flushed < writes) {
		/* Those that finished while we waited are covered as well. */
		writes = s->writes;
		if (fdatasync(s->fd) < 0)
			s->flush_error = -errno;
		else
			s->flushed = writes;
	}
	if (s->flush_error)
		return plt_err_errno(err, s->flush_error, "flushing");
	return 0;
}

static int posix_resize(struct platter_image *img, uint64_t size,
			struct platter_error *err)
{
	struct plt_posix *s = platter_image_state(img);
	uint64_t now = platter_image_size(img);

	if (s->block || s->character) {
		if (size <= now)
			return 0;
		return plt_err_set(err, -ENOTSUP, "a device of %" PRIu64
				   " bytes cannot grow to %" PRIu64, now, size);
	}
	if (ftruncate(s->fd, (off_t)size) < 0)
		return plt_err_errno(err, -errno, "changing the size to %"
				     PRIu64, size);
	s->writes++;
	platter_image_set_size(img, size);
	return 0;
}

static int64_t posix_allocated(struct platter_image *img)
{
	struct plt_posix *s = platter_image_state(img);
	struct stat st;

	/* In units of 512 bytes whatever the block size: stat(2). */
	return fstat(s->fd, &st) < 0 ? -1 : (int64_t)st.st_blocks * 512;
}

const struct platter_io_ops plt_posix_io = {
	.pread = posix_pread,
	.pwrite = posix_pwrite,
	.pwrite_fua = posix_pwrite_fua,
	.pwrite_grows = true,
	.zero = plt_posix_zero,
	.discard = plt_posix_discard,
	.flush = plt_posix_flush,
	.resize = posix_resize,
	.extent = plt_posix_extent,
	.allocated = posix_allocated,
	.reopen_rw = posix_reopen_rw,
	.lock = posix_lock,
	.copy_range = plt_posix_copy_range,
};
