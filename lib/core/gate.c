/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The gate: which files an image may have opened on its behalf.
 *
 * A backing file's name is chosen by whoever made the image, so by default it
 * must lie in or below the image's own directory, which the kernel enforces
 * while it walks the path (openat2(2), RESOLVE_BENEATH): there is no moment
 * between check and use. Where the kernel cannot do that, the answer is no.
 *
 * The file is opened with O_PATH first, which touches nothing: a FIFO does not
 * block, a device is not woken. Only a regular file or block device is then
 * opened for real, through its descriptor, so it cannot be swapped.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"

/* The directory part of a path, as something open() understands. */
static char *directory_of(const char *path, struct platter_error *err)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return plt_strdup(".", err);
	if (slash == path)
		return plt_strdup("/", err);
	return plt_asprintf(err, "%.*s", (int)(slash - path), path);
}

char *plt_gate_path(const char *image_path, const char *name,
		    struct platter_error *err)
{
	const char *slash = strrchr(image_path, '/');

	if (name[0] == '/' || !slash)
		return plt_strdup(name, err);
	return plt_asprintf(err, "%.*s%s", (int)(slash - image_path) + 1,
			    image_path, name);
}

static int openat2_path(int dirfd, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/*
 * An absolute name is fine when it spells out the image's own directory; the
 * rest of it then goes through the same check as a relative one.
 */
static const char *strip_directory(const char *dir, const char *name)
{
	plt_auto_free char *real = realpath(dir, NULL);
	size_t len = real ? strlen(real) : 0;

	if (name[0] != '/' || !real)
		return name;
	if (len == 1)		/* "/" */
		len = 0;
	if (strncmp(name, real, len) || name[len] != '/')
		return name;
	name += len;
	return name + strspn(name, "/");
}

static int beneath_error(int rc, const char *name, struct platter_error *err)
{
	switch (rc) {
	case -EXDEV:
		return plt_err_set(err, -EACCES, "the image names \"%s\", "
				   "which is outside its own directory; "
				   "--follow=any allows that", name);
	case -ENOSYS:
		return plt_err_set(err, -EACCES, "the image names \"%s\", and "
				   "this kernel cannot keep that inside its "
				   "own directory (no openat2); --follow=any "
				   "opens it regardless", name);
	default:
		return plt_err_errno(err, rc, "\"%s\", which the image names",
				     name);
	}
}

static int open_path(enum platter_follow follow, const char *image_path,
		     const char *name, struct platter_error *err)
{
	plt_auto_free char *dir = directory_of(image_path, err);
	plt_auto_fd int dirfd = -1;
	int fd;

	if (!dir)
		return -ENOMEM;
	dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return plt_err_errno(err, -errno, "directory %s", dir);
	if (follow == PLATTER_FOLLOW_ANY) {
		fd = openat(dirfd, name, O_PATH | O_CLOEXEC);
		fd = fd < 0 ? -errno : fd;
	} else {
		fd = openat2_path(dirfd, strip_directory(dir, name));
	}
	return fd < 0 ? beneath_error(fd, name, err) : fd;
}

int plt_gate_open(enum platter_follow follow, const char *image_path,
		  const char *name, int open_flags, struct platter_error *err)
{
	plt_auto_fd int path = -1;
	char proc[32];
	struct stat st;
	int fd;

	if (follow == PLATTER_FOLLOW_NONE)
		return plt_err_set(err, -EACCES, "the image names \"%s\", and "
				   "opening such files is switched off", name);
	path = open_path(follow, image_path, name, err);
	if (path < 0)
		return path;
	if (fstat(path, &st) < 0)
		return plt_err_errno(err, -errno, "\"%s\", which the image "
				     "names", name);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return plt_err_set(err, -EACCES, "\"%s\", which the image "
				   "names, is neither a regular file nor a "
				   "block device", name);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", path);
	fd = open(proc, open_flags | O_CLOEXEC);
	if (fd < 0)
		return plt_err_errno(err, -errno, "\"%s\", which the image "
				     "names", name);
	return fd;
}
