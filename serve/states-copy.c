/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crash states as copies, for a harness where there is no FUSE.
 *
 * Each slot has a folder with one file in it. Where the file system can share
 * blocks, the file is a clone of one nobody else can reach, which is kept up to
 * date by what changes from state to state. Elsewhere the file itself is: when
 * the one before has been left as it was, only what differs is written; when it
 * was written to, it is compared with the state.
 *
 * The change time tells whether it was touched, as nobody can set it. It has
 * the resolution of a tick, so a file is handed out when its tick is over.
 * Whoever still has a file open could change it at any time: a lease, which is
 * given only to one who is alone, tells of him, and he keeps that file.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "states.h"

#define CHUNK	(1u << 20)	/* copied at once */
#define BLOCK	4096u		/* what differs is written in these */

struct slot {
	char *dir, *path;
	int pristine;		/* with reflinks; else -1 */
	bool known;		/* the pristine or the file holds a state: */
	struct stat left;	/* the file, as we left it, */
	struct timespec left_dir;	/* and its folder's change time */
	char *buf;		/* two chunks */
};

struct presenter {
	struct platter_crash_presenter base;
	uint64_t size;
	bool reflink;
	unsigned int nr_slots;
	struct slot *slot;
};

static struct presenter *presenter_of(struct platter_crash_presenter *base)
{
	return (struct presenter *)base;
}

static int trouble(const struct slot *s, struct platter_error *err)
{
	return platter_error_errno(err, errno ? -errno : -EIO, "%s", s->path);
}

/* ---- content ---- */

static int write_all(const struct slot *s, int fd, const char *buf, size_t len,
		     uint64_t offset, struct platter_error *err)
{
	while (len) {
		ssize_t n = pwrite(fd, buf, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return trouble(s, err);
		buf += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int read_all(const struct slot *s, int fd, char *buf, size_t len,
		    uint64_t offset, struct platter_error *err)
{
	while (len) {
		ssize_t n = pread(fd, buf, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return trouble(s, err);
		buf += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int make_zero(const struct slot *s, int fd, uint64_t offset,
		     uint64_t len, struct platter_error *err)
{
	int rc = 0;

	if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       (off_t)offset, (off_t)len))
		return 0;
	memset(s->buf, 0, CHUNK);
	while (!rc && len) {
		size_t n = len < CHUNK ? (size_t)len : CHUNK;

		rc = write_all(s, fd, s->buf, n, offset, err);
		offset += n;
		len -= n;
	}
	return rc;
}

/* What of a chunk is not there yet. */
static int write_differing(const struct slot *s, int fd, size_t len,
			   uint64_t offset, struct platter_error *err)
{
	const char *want = s->buf, *have = s->buf + CHUNK;
	size_t start, at = 0;
	int rc = 0;

#define SAME(p)	(!memcmp(want + (p), have + (p), \
			 len - (p) < BLOCK ? len - (p) : BLOCK))
	while (!rc && at < len) {
		while (at < len && SAME(at))
			at += BLOCK;
		for (start = at; at < len && !SAME(at); at += BLOCK)
			;
		if (at > len)
			at = len;
		if (start < at)
			rc = write_all(s, fd, want + start, at - start,
				       offset + start, err);
	}
#undef SAME
	return rc;
}

static int put_data(const struct slot *s, int fd, struct platter_image *img,
		    uint64_t offset, uint64_t len, bool compare,
		    struct platter_error *err)
{
	int rc = 0;

	while (!rc && len) {
		size_t n = len < CHUNK ? (size_t)len : CHUNK;

		rc = platter_image_pread(img, s->buf, n, offset, err);
		if (!rc && compare)
			rc = read_all(s, fd, s->buf + CHUNK, n, offset, err);
		if (!rc)
			rc = compare ? write_differing(s, fd, n, offset, err) :
			     write_all(s, fd, s->buf, n, offset, err);
		offset += n;
		len -= n;
	}
	return rc;
}

enum put {
	PUT_FRESH,	/* the file holds zeros */
	PUT_ALL,
	PUT_DIFFERING,
};

/* Make a range as the node has it. */
static int put(const struct slot *s, int fd, struct platter_image *img,
	       uint64_t offset, uint64_t len, enum put how,
	       struct platter_error *err)
{
	struct platter_extent ext[32];
	size_t count;
	int rc = 0;

	while (!rc && len) {
		count = sizeof(ext) / sizeof(ext[0]);
		rc = platter_image_map(img, offset, len, ext, &count, err);
		for (size_t i = 0; !rc && i < count; i++) {
			if (!(ext[i].flags & PLATTER_EXTENT_ZERO))
				rc = put_data(s, fd, img, ext[i].offset,
					      ext[i].length,
					      how == PUT_DIFFERING, err);
			else if (how != PUT_FRESH)
				rc = make_zero(s, fd, ext[i].offset,
					       ext[i].length, err);
			offset += ext[i].length;
			len -= ext[i].length;
		}
	}
	return rc;
}

static int put_changed(const struct presenter *p, const struct slot *s, int fd,
		       struct platter_image *img,
		       const struct platter_crash_range *changed, size_t nr,
		       struct platter_error *err)
{
	int rc = 0;

	if (nr == SIZE_MAX)
		return put(s, fd, img, 0, p->size, PUT_DIFFERING, err);
	for (size_t i = 0; !rc && i < nr; i++)
		rc = put(s, fd, img, changed[i].offset, changed[i].length,
			 PUT_ALL, err);
	return rc;
}

/* ---- the folder ---- */

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path) ? -errno : 0;
}

static int remove_tree(const char *path)
{
	return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* A checker may have left anything there, under any name. */
static int empty_folder(struct slot *s, struct platter_error *err)
{
	if ((remove_tree(s->dir) && errno != ENOENT) || mkdir(s->dir, 0700))
		return trouble(s, err);
	return 0;
}

static int new_file(struct slot *s, uint64_t size, int *fd,
		    struct platter_error *err)
{
	int rc = empty_folder(s, err);

	if (rc)
		return rc;
	*fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (*fd >= 0 && !ftruncate(*fd, (off_t)size))
		return 0;
	rc = trouble(s, err);
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

/* Nothing was made, removed or renamed in the folder. */
static bool is_only_file(const struct slot *s)
{
	struct stat st;

	return !lstat(s->dir, &st) && S_ISDIR(st.st_mode) &&
	       st.st_ctim.tv_sec == s->left_dir.tv_sec &&
	       st.st_ctim.tv_nsec == s->left_dir.tv_nsec;
}

/* The file we gave out, if it still is there and nobody else's; or -1. */
static int take_back(struct slot *s, struct stat *st, bool *held)
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

/* ---- a state ---- */

static bool touched(const struct slot *s, const struct stat *st)
{
	return st->st_ctim.tv_sec != s->left.st_ctim.tv_sec ||
	       st->st_ctim.tv_nsec != s->left.st_ctim.tv_nsec ||
	       st->st_size != s->left.st_size;
}

static int update_file(const struct presenter *p, struct slot *s, int *fd,
		       struct platter_image *img,
		       const struct platter_crash_range *changed, size_t nr,
		       struct platter_error *err)
{
	struct stat st;
	bool held;
	int rc;

	*fd = s->known && is_only_file(s) ? take_back(s, &st, &held) : -1;
	s->known = false;
	if (*fd < 0) {
		rc = new_file(s, p->size, fd, err);
		return rc ? rc : put(s, *fd, img, 0, p->size, PUT_FRESH, err);
	}
	if (!touched(s, &st))
		return put_changed(p, s, *fd, img, changed, nr, err);
	if (fchmod(*fd, 0600) || ftruncate(*fd, (off_t)p->size))
		return trouble(s, err);
	return put(s, *fd, img, 0, p->size, PUT_DIFFERING, err);
}

static int clone_file(const struct presenter *p, struct slot *s, int *fd,
		      struct platter_image *img,
		      const struct platter_crash_range *changed, size_t nr,
		      struct platter_error *err)
{
	bool known = s->known;
	int rc;

	s->known = false;
	rc = put_changed(p, s, s->pristine, img, changed,
			 known ? nr : SIZE_MAX, err);
	if (!rc)
		rc = new_file(s, 0, fd, err);
	if (!rc && ioctl(*fd, FICLONE, s->pristine))
		rc = trouble(s, err);
	return rc;
}

/* Until a change would get another time than the last one of ours has. */
static int leave_file(struct slot *s, int fd, struct platter_error *err)
{
	const struct timespec pause = { .tv_nsec = 500000 };
	struct timespec now;
	struct stat dir;

	if (fstat(fd, &s->left) || stat(s->dir, &dir))
		return trouble(s, err);
	s->left_dir = dir.st_ctim;
	do {
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (now.tv_sec == s->left.st_ctim.tv_sec &&
		 now.tv_nsec <= s->left.st_ctim.tv_nsec &&
		 !nanosleep(&pause, NULL));
	s->known = true;
	return 0;
}

static int present(struct platter_crash_presenter *self, unsigned int slot,
		   const char *name, struct platter_image *img,
		   const struct platter_crash_range *changed, size_t nr_changed,
		   bool direct, struct platter_crash_place *place,
		   struct platter_error *err)
{
	struct presenter *p = presenter_of(self);
	struct slot *s = &p->slot[slot];
	int fd = -1, rc;

	(void)name;
	(void)direct;
	rc = p->reflink ?
		clone_file(p, s, &fd, img, changed, nr_changed, err) :
		update_file(p, s, &fd, img, changed, nr_changed, err);
	if (!rc)
		rc = leave_file(s, fd, err);
	if (fd >= 0)
		close(fd);
	*place = (struct platter_crash_place){ .path = s->path };
	return rc;
}

static int withdraw(struct platter_crash_presenter *self, unsigned int slot,
		    struct platter_error *err)
{
	struct presenter *p = presenter_of(self);
	struct slot *s = &p->slot[slot];
	struct stat st;
	bool held;
	int fd, rc;

	fd = take_back(s, &st, &held);
	if (fd >= 0)
		close(fd);
	if (fd >= 0 && !p->reflink)
		return 0;
	/* What is not only ours is not used again. */
	rc = empty_folder(s, err);
	s->known = s->known && p->reflink;
	return rc ? rc : held;
}

/* ---- start and stop ---- */

static void free_presenter(struct platter_crash_presenter *self)
{
	struct presenter *p = presenter_of(self);

	for (unsigned int i = 0; i < p->nr_slots; i++) {
		struct slot *s = &p->slot[i];

		if (s->pristine >= 0)
			close(s->pristine);
		if (s->dir)
			remove_tree(s->dir);
		free(s->dir);
		free(s->path);
		free(s->buf);
	}
	free(p->slot);
	free(p);
}

static int make_slot(struct presenter *p, unsigned int slot, const char *dir,
		     struct platter_error *err)
{
	struct slot *s = &p->slot[slot];

	if (asprintf(&s->dir, "%s/%u", dir, slot) < 0)
		s->dir = NULL;
	if (!s->dir || asprintf(&s->path, "%s/disk", s->dir) < 0)
		s->path = NULL;
	s->buf = malloc(2 * (size_t)CHUNK);
	if (!s->path || !s->buf)
		return platter_error_errno(err, -ENOMEM, "%s", dir);
	return 0;
}

/* A file that nobody else can open, if it can be cloned. */
static int try_reflink(struct presenter *p, struct slot *s,
		       struct platter_error *err)
{
	int fd = -1, rc;

	rc = new_file(s, p->size, &s->pristine, err);
	if (rc)
		return rc;
	rc = write_all(s, s->pristine, "x", 1, 0, err);
	unlink(s->path);
	if (!rc)
		rc = new_file(s, 0, &fd, err);
	if (rc)
		return rc;
	p->reflink = !ioctl(fd, FICLONE, s->pristine);
	close(fd);
	if (!p->reflink) {
		close(s->pristine);
		s->pristine = -1;
	}
	return 0;
}

static int start(struct presenter *p, const struct serve_states_options *opts,
		 struct platter_error *err)
{
	char *dir = realpath(opts->dir, NULL);
	int rc = 0;

	if (!dir)
		return platter_error_errno(err, -errno, "%s", opts->dir);
	p->size = opts->size;
	p->slot = calloc(opts->slots, sizeof(*p->slot));
	if (!p->slot)
		rc = platter_error_errno(err, -ENOMEM, "%s", dir);
	for (unsigned int i = 0; !rc && i < opts->slots; i++) {
		p->slot[i].pristine = -1;
		p->nr_slots = i + 1;
		rc = make_slot(p, i, dir, err);
		if (!rc && (!i || p->reflink))
			rc = try_reflink(p, &p->slot[i], err);
	}
	free(dir);
	return rc;
}

int serve_states_copy(struct platter_crash_presenter **out,
		      const struct serve_states_options *opts,
		      struct platter_error *err)
{
	struct presenter *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return platter_error_errno(err, -ENOMEM, "%s", opts->dir);
	p->base = (struct platter_crash_presenter){
		.present = present,
		.withdraw = withdraw,
		.free = free_presenter,
	};
	rc = start(p, opts, err);
	p->base.how = p->reflink ? "scratch copies (reflink)" :
				   "scratch copies";
	if (rc)
		free_presenter(&p->base);
	else
		*out = &p->base;
	return rc;
}
