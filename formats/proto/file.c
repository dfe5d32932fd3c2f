/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file protocol: regular files, which it can also create. */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/opts.h"
#include "drivers.h"
#include "proto/posix.h"

#define PREFIX		"file:"
#define FULL_BUFFER	(1u << 20)	/* bytes written at a time */

static bool file_claims(const char *filename)
{
	return !strncmp(filename, PREFIX, strlen(PREFIX)) ||
	       plt_posix_plain_name(filename);
}

static int file_open(struct platter_image *img, struct platter_options *opts,
		     struct platter_error *err)
{
	return plt_posix_open(img, opts, false, err);
}

/* ---- creating ---- */

static int read_preallocation(struct platter_options *opts,
			      enum platter_preallocation *out,
			      struct platter_error *err)
{
	const char *text = platter_options_string(opts, "preallocation");
	int rc;

	*out = PLATTER_PREALLOC_OFF;
	rc = text ? platter_preallocation_parse(out, text, err) : 0;
	if (*out == PLATTER_PREALLOC_METADATA)
		return plt_err_set(err, -ENOTSUP, "Unsupported preallocation "
				   "mode: a file as such has no metadata");
	return rc;
}

static int write_all_zeros(int fd, uint64_t size, struct platter_error *err)
{
	plt_auto_free void *zeros = plt_calloc(1, FULL_BUFFER, err);
	int rc;

	if (!zeros)
		return -ENOMEM;
	for (uint64_t at = 0; at < size; at += FULL_BUFFER) {
		rc = plt_pwrite(fd, zeros, PLT_MIN((uint64_t)FULL_BUFFER,
						   size - at), at);
		if (rc < 0)
			return plt_err_errno(err, rc, "writing zeros at offset "
					     "%" PRIu64, at);
	}
	if (fsync(fd) < 0)
		return plt_err_errno(err, -errno, "flushing");
	return 0;
}

static int fill(int fd, uint64_t size, enum platter_preallocation prealloc,
		struct platter_error *err)
{
	int rc;

	if (ftruncate(fd, (off_t)size) < 0)
		return plt_err_errno(err, -errno, "setting the size to %"
				     PRIu64, size);
	if (prealloc == PLATTER_PREALLOC_FULL)
		return write_all_zeros(fd, size, err);
	if (prealloc == PLATTER_PREALLOC_FALLOC && size) {
		rc = posix_fallocate(fd, 0, (off_t)size);
		if (rc)
			return plt_err_errno(err, -rc, "reserving %" PRIu64
					     " bytes", size);
	}
	return 0;
}

/*
 * A new file, or one that is there and empty: it was made under another name
 * and is still its maker's.
 */
static int make_empty_file(const char *filename, bool *made,
			   struct platter_error *err)
{
	struct stat st;
	int fd;

	fd = open(filename, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	*made = fd >= 0;
	if (fd < 0 && errno == EEXIST) {
		if (!lstat(filename, &st) && S_ISREG(st.st_mode) &&
		    !st.st_size)
			fd = open(filename, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
		else
			errno = EEXIST;
	}
	return fd >= 0 ? fd : plt_err_errno(err, -errno, "creating");
}

/*
 * The next two are wishes: most file systems have no such thing, and the file
 * is as good without.
 */
static void set_nocow(int fd)
{
	int flags;

	if (!ioctl(fd, FS_IOC_GETFLAGS, &flags)) {
		flags |= FS_NOCOW_FL;
		(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
}

static void set_extent_hint(int fd, uint64_t bytes)
{
	struct fsxattr attr;

	if (!ioctl(fd, FS_IOC_FSGETXATTR, &attr)) {
		attr.fsx_xflags |= FS_XFLAG_EXTSIZE;
		attr.fsx_extsize = (uint32_t)bytes;
		(void)ioctl(fd, FS_IOC_FSSETXATTR, &attr);
	}
}

static int file_create(struct platter_context *ctx, const char *filename,
		       uint64_t size, struct platter_options *opts,
		       struct platter_error *err)
{
	enum platter_preallocation prealloc;
	plt_auto_fd int fd = -1;
	bool made, nocow = false;
	uint64_t hint = 0;
	int rc;

	(void)ctx;
	rc = read_preallocation(opts, &prealloc, err);
	if (rc == 0)
		rc = platter_options_bool(opts, "nocow", &nocow, err);
	if (rc == 0)
		rc = platter_options_size(opts, "extent_size_hint", &hint, err);
	if (rc == 0 && hint > UINT32_MAX)
		rc = plt_err_set(err, -EINVAL, "extent_size_hint %" PRIu64
				 " is over the limit of %" PRIu32, hint,
				 UINT32_MAX);
	if (rc == 0)
		rc = plt_options_check_used(opts, err);
	if (rc < 0)
		return rc;
	if (!strncmp(filename, PREFIX, strlen(PREFIX)))
		filename += strlen(PREFIX);
	fd = make_empty_file(filename, &made, err);
	if (fd < 0)
		return fd;
	if (nocow)
		set_nocow(fd);
	if (hint)
		set_extent_hint(fd, hint);
	rc = fill(fd, size, prealloc, err);
	if (rc < 0 && made)
		unlink(filename);
	return rc;
}

static const struct platter_option file_options[] = {
	{ "filename", "path of a regular file" },
	{ NULL, NULL }
};

static const struct platter_option file_create_options[] = {
	{ "size", "size of the disk, in bytes", PLATTER_OPTION_SIZE },
	{ "preallocation", "off, falloc or full (default off)" },
	{ "nocow", "no copy-on-write, on btrfs (default off)",
	  PLATTER_OPTION_BOOL },
	{ "extent_size_hint", "bytes the file system is to allocate at a time",
	  PLATTER_OPTION_SIZE },
	{ NULL, NULL }
};

const struct platter_driver plt_file_driver = {
	.name = "file",
	.kind = PLATTER_DRIVER_PROTOCOL,
	.state_size = sizeof(struct plt_posix),
	.options = file_options,
	.create_options = file_create_options,
	.claims = file_claims,
	.open = file_open,
	.close = plt_posix_close,
	.create = file_create,
	.io = &plt_posix_io,
};
