/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Image locks: the byte-range locks of qemu's file driver.
 *
 * Byte 100 + p is locked by whoever uses permission p, byte 200 + p by whoever
 * does not let others use it. All locks are shared; a conflict is found by
 * asking (F_OFD_GETLK) whether an exclusive lock on the opposite byte would be
 * possible. Open file description locks belong to the descriptor, so they need
 * no unlocking and are not lost when another descriptor of the file closes.
 *
 * Source: qemu block/file-posix.c; what qemu-img and qemu-io 7.2 do was looked
 * at with strace. Clients look for `Failed to get "write" lock` and
 * `Failed to get shared "write" lock` in the message.
 */
#include <fcntl.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"

#define LOCK_USED	100	/* + permission: it is used */
#define LOCK_UNSHARED	200	/* + permission: others must not use it */

/* qemu's BLK_PERM_* as bit numbers. */
enum perm {
	PERM_CONSISTENT_READ,
	PERM_WRITE,
	PERM_WRITE_UNCHANGED,
	PERM_RESIZE,
	NR_PERMS,
};

static const char *const perm_names[NR_PERMS] = {
	"consistent read", "write", "write unchanged", "resize",
};

#define BIT(perm)	(1u << (perm))
#define USED_READER	BIT(PERM_CONSISTENT_READ)
#define USED_WRITER	(BIT(PERM_CONSISTENT_READ) | BIT(PERM_WRITE) | \
			 BIT(PERM_RESIZE))
#define UNSHARED	(BIT(PERM_WRITE) | BIT(PERM_RESIZE))

static int lock_byte(int fd, int command, short type, off_t byte,
		     struct flock *fl)
{
	*fl = (struct flock) {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = byte,
		.l_len = 1,
	};
	return fcntl(fd, command, fl) < 0 ? -errno : 0;
}

/* The file system or the kernel has no such locks: do without. */
static bool unsupported(int rc)
{
	return rc == -EINVAL || rc == -ENOLCK || rc == -ENOSYS ||
	       rc == -EOPNOTSUPP;
}

static int conflict(const char *name, const char *shared, enum perm perm,
		    struct platter_error *err)
{
	return plt_err_set(err, -EAGAIN, "%s: Failed to get %s\"%s\" lock: "
			   "another process is using the image; stop it, or "
			   "use -U to share at your own risk", name, shared,
			   perm_names[perm]);
}

static int take(int fd, unsigned int perms, off_t base)
{
	for (enum perm p = 0; p < NR_PERMS; p++) {
		struct flock fl;
		int rc;

		if (!(perms & BIT(p)))
			continue;
		rc = lock_byte(fd, F_OFD_SETLK, F_RDLCK, base + p, &fl);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* The first of `perms` whose byte someone else holds, or NR_PERMS. */
static int find_held(int fd, unsigned int perms, off_t base, enum perm *held)
{
	for (*held = 0; *held < NR_PERMS; (*held)++) {
		struct flock fl;
		int rc;

		if (!(perms & BIT(*held)))
			continue;
		rc = lock_byte(fd, F_OFD_GETLK, F_WRLCK, base + *held, &fl);
		if (rc < 0)
			return rc;
		if (fl.l_type != F_UNLCK)
			return 0;
	}
	return 0;
}

static int check(int fd, unsigned int used, const char *name,
		 struct platter_error *err)
{
	enum perm held;
	int rc;

	rc = find_held(fd, used, LOCK_UNSHARED, &held);
	if (rc == 0 && held < NR_PERMS)
		return conflict(name, "", held, err);
	if (rc == 0)
		rc = find_held(fd, UNSHARED, LOCK_USED, &held);
	if (rc == 0 && held < NR_PERMS)
		return conflict(name, "shared ", held, err);
	return rc;
}

int plt_lock_image(int fd, bool writable, const char *name,
		   struct platter_error *err)
{
	unsigned int used = writable ? USED_WRITER : USED_READER;
	struct platter_error e = PLATTER_ERROR_INIT;
	int rc;

	rc = take(fd, used, LOCK_USED);
	if (rc == 0)
		rc = take(fd, UNSHARED, LOCK_UNSHARED);
	if (rc == 0)
		rc = check(fd, used, name, &e);
	if (e.code)
		return plt_err_set(err, rc, "%s", e.msg);
	if (rc == 0 || unsupported(rc))
		return 0;
	return plt_err_errno(err, rc, "%s: locking the image", name);
}

void plt_unlock_image(int fd)
{
	struct flock fl;

	for (enum perm p = 0; p < NR_PERMS; p++) {
		lock_byte(fd, F_OFD_SETLK, F_UNLCK, LOCK_USED + p, &fl);
		lock_byte(fd, F_OFD_SETLK, F_UNLCK, LOCK_UNSHARED + p, &fl);
	}
}

bool plt_lock_has_writer(int fd)
{
	enum perm held;

	return find_held(fd, BIT(PERM_WRITE), LOCK_USED, &held) == 0 &&
	       held < NR_PERMS;
}
