// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A file that appears under its name only when it is complete.
 *
 * The part file lies in the directory of the final name, so that the rename
 * never crosses a file system. Where the name must be new, the kernel checks
 * that at the rename (RENAME_NOREPLACE) or at link(); only a file system with
 * neither leaves a gap between looking and renaming.
 */
#include "base/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"

#define RANDOM_LEN	6
#define SUFFIX		".part"
/* A file name's room, less what the part name adds with its dot. */
#define STEM_MAX	(NAME_MAX - 1 - RANDOM_LEN - ((int)sizeof(SUFFIX) - 1))
#define TRIES		100
#define MAX_LINKS	40	/* as many as Linux follows */

struct plt_newfile {
	char *path;		/* final, no symbolic link at its end */
	char *part;
	bool replace;
	bool replaces;		/* there was a file, of mode `mode` */
	mode_t mode;
	bool made;		/* the part file exists */
};

/* The length of the directory part of `path`, with its last slash. */
static size_t dir_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) + 1 : 0;
}

/* The directory of `path` as open() takes it; the caller frees. */
static char *dir_of(const char *path, struct platter_error *err)
{
	size_t len = dir_len(path);

	if (!len)
		return plt_strdup(".", err);
	return plt_asprintf(err, "%.*s", (int)len, path);
}

/* Replace *path by what it points to while it is a symbolic link. */
static int follow_links(char **path, struct platter_error *err)
{
	char target[PATH_MAX];

	for (int i = 0; i < MAX_LINKS; i++) {
		ssize_t n = readlink(*path, target, sizeof(target) - 1);
		char *next;

		if (n < 0)	/* no link, or none there */
			return 0;
		target[n] = '\0';
		if (target[0] == '/')
			next = plt_strdup(target, err);
		else
			next = plt_asprintf(err, "%.*s%s",
					    (int)dir_len(*path), *path,
					    target);
		if (!next)
			return -ENOMEM;
		free(*path);
		*path = next;
	}
	return plt_err_errno(err, -ELOOP, "%s", *path);
}

static int look_at_target(struct plt_newfile *nf, struct platter_error *err)
{
	struct stat st;

	if (!*nf->path || nf->path[strlen(nf->path) - 1] == '/')
		return plt_err_set(err, -EINVAL,
				   "'%s' is not the name of a file", nf->path);
	if (stat(nf->path, &st)) {
		if (errno == ENOENT)
			return 0;
		return plt_err_errno(err, -errno, "%s", nf->path);
	}
	if (!nf->replace)
		return plt_err_errno(err, -EEXIST, "%s", nf->path);
	if (!S_ISREG(st.st_mode))
		return plt_err_set(err, -EINVAL,
				   "%s: not a regular file, so it cannot be replaced",
				   nf->path);
	nf->replaces = true;
	nf->mode = st.st_mode & 0777;
	return 0;
}

static int random_letters(char text[RANDOM_LEN + 1])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
	unsigned char bytes[RANDOM_LEN];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -errno;
	for (int i = 0; i < RANDOM_LEN; i++)
		text[i] = letters[bytes[i] % (sizeof(letters) - 1)];
	text[RANDOM_LEN] = '\0';
	return 0;
}

/* mkostemps() would force mode 0600; the umask must decide. */
static int make_part(struct plt_newfile *nf, struct platter_error *err)
{
	size_t dir = dir_len(nf->path);
	mode_t mode = nf->replaces ? nf->mode | 0600 : 0666;
	char letters[RANDOM_LEN + 1];
	int fd = -1;
	int rc;

	for (int i = 0; i < TRIES && fd < 0; i++) {
		rc = random_letters(letters);
		if (rc)
			return plt_err_errno(err, rc, "random numbers");
		free(nf->part);
		nf->part = plt_asprintf(err, "%.*s%.*s.%s" SUFFIX, (int)dir,
					nf->path, STEM_MAX, nf->path + dir,
					letters);
		if (!nf->part)
			return -ENOMEM;
		fd = open(nf->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
			  mode);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd < 0)
		return plt_err_errno(err, -errno, "%s: creating it", nf->path);
	nf->made = true;
	/* What replaces a private file is private from the start. */
	if (nf->replaces && fchmod(fd, mode)) {
		rc = -errno;
		close(fd);
		return plt_err_errno(err, rc, "%s: setting its mode",
				     nf->part);
	}
	close(fd);
	return 0;
}

int plt_newfile_new(struct plt_newfile **out, const char *path, bool replace,
		    struct platter_error *err)
{
	struct plt_newfile *nf = plt_calloc(1, sizeof(*nf), err);
	int rc = -ENOMEM;

	if (!nf)
		return rc;
	nf->replace = replace;
	nf->path = plt_strdup(path, err);
	if (nf->path)
		rc = follow_links(&nf->path, err);
	if (!rc)
		rc = look_at_target(nf, err);
	if (!rc)
		rc = make_part(nf, err);
	if (rc) {
		plt_newfile_free(nf);
		return rc;
	}
	*out = nf;
	return 0;
}

const char *plt_newfile_part(const struct plt_newfile *nf)
{
	return nf->part;
}

const char *plt_newfile_path(const struct plt_newfile *nf)
{
	return nf->path;
}

/* The last resort, for file systems that can neither check nor link. */
static int rename_if_absent(const char *part, const char *path)
{
	struct stat st;

	if (!lstat(path, &st))
		return -EEXIST;
	return rename(part, path) ? -errno : 0;
}

static int rename_new(const char *part, const char *path)
{
	if (!renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (!link(part, path)) {
		/* Both names are the complete file now. */
		unlink(part);
		return 0;
	}
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	return rename_if_absent(part, path);
}

static int sync_path(const char *path, int flags, struct platter_error *err)
{
	plt_auto_fd int fd = open(path, flags | O_RDONLY | O_CLOEXEC);

	/* Some file systems have directories that cannot be synced. */
	if (fd < 0 || (fsync(fd) && (errno != EINVAL || !flags)))
		return plt_err_errno(err, -errno, "%s: flushing it", path);
	return 0;
}

static int prepare_commit(const struct plt_newfile *nf, bool sync,
			  struct platter_error *err)
{
	int rc = sync ? sync_path(nf->part, 0, err) : 0;

	if (!rc && nf->replaces && (nf->mode & 0600) != 0600 &&
	    chmod(nf->part, nf->mode))
		return plt_err_errno(err, -errno, "%s: setting its mode",
				     nf->part);
	return rc;
}

static int take_name(struct plt_newfile *nf, struct platter_error *err)
{
	int rc;

	if (!nf->replace)
		rc = rename_new(nf->part, nf->path);
	else
		rc = rename(nf->part, nf->path) ? -errno : 0;
	if (rc)
		return plt_err_errno(err, rc, "%s", nf->path);
	nf->made = false;
	return 0;
}

static int sync_dir(const struct plt_newfile *nf, struct platter_error *err)
{
	plt_auto_free char *dir = dir_of(nf->path, err);

	return dir ? sync_path(dir, O_DIRECTORY, err) : -ENOMEM;
}

int plt_newfile_commit_all(struct plt_newfile *const *nf, size_t nr, bool sync,
			   struct platter_error *err)
{
	size_t named = 0;
	int rc = 0;

	for (size_t i = 0; i < nr && !rc; i++)
		rc = prepare_commit(nf[i], sync, err);
	while (named < nr && !rc) {
		rc = take_name(nf[named], err);
		named += !rc;
	}
	if (named < nr) {
		while (named--)
			if (!nf[named]->replace)
				unlink(nf[named]->path);
		return rc;
	}
	for (size_t i = 0; i < nr && sync && !rc; i++)
		rc = sync_dir(nf[i], err);
	return rc;
}

int plt_newfile_commit(struct plt_newfile *nf, bool sync,
		       struct platter_error *err)
{
	return plt_newfile_commit_all(&nf, 1, sync, err);
}

bool plt_newfile_same(const struct plt_newfile *a, const struct plt_newfile *b)
{
	plt_auto_free char *dir_a = dir_of(a->path, NULL);
	plt_auto_free char *dir_b = dir_of(b->path, NULL);

	return plt_same_file(dir_a, dir_b) &&
	       !strcmp(a->path + dir_len(a->path), b->path + dir_len(b->path));
}

void plt_newfile_free(struct plt_newfile *nf)
{
	if (!nf)
		return;
	if (nf->made)
		unlink(nf->part);
	free(nf->part);
	free(nf->path);
	free(nf);
}
