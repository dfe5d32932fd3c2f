/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crash states as copies: a slot's file, made in its folder, handed out, and
 * taken back.
 *
 * The change time tells whether it was touched, as nobody can set it. It has
 * the resolution of a tick, so a file is handed out when its tick is over.
 * Whoever still has a file open could change it at any time: a lease, which is
 * given only to one who is alone, tells of him, and he keeps that file.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "states-copy.h"

int serve_copy_trouble(const struct serve_copy_slot *s,
		       struct platter_error *err)
{
	return platter_error_errno(err, errno ? -errno : -EIO, "%s", s->path);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path) ? -errno : 0;
}

int serve_copy_remove_tree(const char *path)
{
	return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int serve_copy_empty_folder(struct serve_copy_slot *s,
			    struct platter_error *err)
{
	if ((serve_copy_remove_tree(s->dir) && errno != ENOENT) ||
	    mkdir(s->dir, 0700))
		return serve_copy_trouble(s, err);
	return 0;
}

int serve_copy_new_file(struct serve_copy_slot *s, uint64_t size, int *fd,
			struct platter_error *err)
{
	int rc = serve_copy_empty_folder(s, err);

	if (rc)
		return rc;
	*fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (*fd >= 0 && !ftruncate(*fd, (off_t)size))
		return 0;
	rc = serve_copy_trouble(s, err);
	if (*fd >= 0)
		close(*fd);
	return rc;
}

static bool is_alone(int fd)
{
	bool alone;

	/* If somebody wants to open it meanwhile, nothing is to come of it. */
	fcntl(fd, F_SETSIG, SIGURG);
	alone = !fcntl(fd, F_SETLEASE, F_WRLCK);
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return alone;
}

bool serve_copy_is_only_file(const struct serve_copy_slot *s)
{
	struct stat st;

	return !lstat(s->dir, &st) && S_ISDIR(st.st_mode) &&
	       st.st_ctim.tv_sec == s->left_dir.tv_sec &&
	       st.st_ctim.tv_nsec == s->left_dir.tv_nsec;
}

int serve_copy_take_back(struct serve_copy_slot *s, struct stat *st, bool *held)
{
	int fd = open(s->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	*held = false;
	if (fd < 0)
		return -1;
	if (!fstat(fd, st) && S_ISREG(st->st_mode) &&
	    st->st_ino == s->left.st_ino && st->st_dev == s->left.st_dev) {
		*held = !is_alone(fd);
		if (!*held)
			return fd;
	}
	close(fd);
	return -1;
}

bool serve_copy_touched(const struct serve_copy_slot *s, const struct stat *st)
{
	return st->st_ctim.tv_sec != s->left.st_ctim.tv_sec ||
	       st->st_ctim.tv_nsec != s->left.st_ctim.tv_nsec ||
	       st->st_size != s->left.st_size;
}

int serve_copy_leave_file(struct serve_copy_slot *s, int fd,
			  struct platter_error *err)
{
	const struct timespec pause = { .tv_nsec = 500000 };
	struct timespec now;
	struct stat dir;

	if (fstat(fd, &s->left) || stat(s->dir, &dir))
		return serve_copy_trouble(s, err);
	s->left_dir = dir.st_ctim;
	do {
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (now.tv_sec == s->left.st_ctim.tv_sec &&
		 now.tv_nsec <= s->left.st_ctim.tv_nsec &&
		 !nanosleep(&pause, NULL));
	s->known = true;
	return 0;
}
