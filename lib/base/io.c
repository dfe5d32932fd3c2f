// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Full-length I/O on file descriptors, and what there is to ask of files.
 *
 * The kernel moves at most 2 GiB - 4 KiB a call, may stop early, and may be
 * interrupted by a signal before the first byte; callers see none of it.
 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"

/*
 * With O_DIRECT, the last read of a file may end at an odd offset, and some
 * file systems refuse to read on from there rather than report the end.
 */
static bool at_end(int fd, uint64_t offset)
{
	uint64_t size;

	return !plt_fd_size(fd, &size) && offset >= size;
}

ssize_t plt_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (char *)buf + done, len - done,
				  (off_t)(offset + done));

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (!n)
			break;
		if (errno == EINTR)
			continue;
		if (errno == EINVAL && done && at_end(fd, offset + done))
			break;
		return -errno;
	}
	return (ssize_t)done;
}

/* pwritev2() would take an offset of -1 for the place the file is at. */
static ssize_t pwrite_dsync(int fd, const void *buf, size_t len, off_t offset)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	if (offset < 0) {
		errno = EINVAL;
		return -1;
	}
	return pwritev2(fd, &iov, 1, offset, RWF_DSYNC);
}

static int write_all(int fd, const void *buf, size_t len, uint64_t offset,
		     ssize_t (*some)(int fd, const void *buf, size_t len,
				     off_t offset))
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = some(fd, (const char *)buf + done, len - done,
				 (off_t)(offset + done));

		if (n > 0)
			done += (size_t)n;
		else if (!n)
			return -ENOSPC;	/* the end of a device */
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int plt_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	return write_all(fd, buf, len, offset, pwrite);
}

int plt_pwrite_dsync(int fd, const void *buf, size_t len, uint64_t offset)
{
	return write_all(fd, buf, len, offset, pwrite_dsync);
}

int plt_write(int fd, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);

		if (n > 0)
			done += (size_t)n;
		else if (!n)
			return -ENOSPC;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int plt_fd_size(int fd, uint64_t *size)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISREG(st.st_mode)) {
		*size = (uint64_t)st.st_size;
		return 0;
	}
	if (!S_ISBLK(st.st_mode))
		return -ENOTSUP;
	if (ioctl(fd, BLKGETSIZE64, size))
		return -errno;
	return 0;
}

bool plt_same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	return a && b && !stat(a, &sa) && !stat(b, &sb) &&
	       sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

const char *plt_tmp_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir ? dir : "/tmp";
}

/* Where the file system cannot make one without a name. */
static int named_tmp_file(const char *dir, const char *what,
			  struct platter_error *err)
{
	plt_auto_free char *path = NULL;
	int fd;

	path = plt_asprintf(err, "%s/platter.XXXXXX", dir);
	if (!path)
		return -ENOMEM;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return plt_err_errno(err, -errno, "%s in %s", what, dir);
	unlink(path);
	return fd;
}

int plt_tmp_file(const char *what, struct platter_error *err)
{
	const char *dir = plt_tmp_dir();
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	if (errno == EOPNOTSUPP || errno == EISDIR)
		return named_tmp_file(dir, what, err);
	return plt_err_errno(err, -errno, "%s in %s", what, dir);
}

#define HEAD	16	/* bytes looked at one by one */

bool plt_is_zero(const void *buf, size_t len)
{
	const unsigned char *p = buf;
	size_t head = len < HEAD ? len : HEAD;

	/* Data that is not zero mostly shows it at once. */
	for (size_t i = 0; i < head; i++) {
		if (p[i])
			return false;
	}
	/* The first 16 bytes are zero: are all equal to those 16 before? */
	return len <= HEAD || !memcmp(p, p + HEAD, len - HEAD);
}
