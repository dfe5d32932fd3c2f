/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unmounting what another process serves.
 *
 * The mount is never looked at, only what is around it: its server may have
 * gone, or hang.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse.h"

#define TYPE	"fuse.platter"

/* Its folder is resolved, its last part is not. The caller frees. */
static char *resolve(const char *path)
{
	char *one = strdup(path), *two = strdup(path);
	char *dir = one ? realpath(dirname(one), NULL) : NULL;
	char *out = NULL;

	if (dir && two &&
	    asprintf(&out, "%s/%s", dir[1] ? dir : "", basename(two)) < 0)
		out = NULL;
	free(one);
	free(two);
	free(dir);
	return out;
}

/* A symbolic link leads to a mount, too. */
static char *find(const char *path, struct serve_mounted *m)
{
	char *full = resolve(path);

	if (full && serve_mounted(m, full))
		return full;
	free(full);
	full = realpath(path, NULL);
	if (full && serve_mounted(m, full))
		return full;
	free(full);
	return NULL;
}

static int unmount_and_wait(const char *path, const struct serve_mounted *m,
			    bool lazy, struct platter_error *err)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	int fd = lazy ? -1 : serve_report_ask(m->source);
	int rc;

	rc = serve_unmount_path(path, lazy, err);
	if (!rc && fd >= 0) {
		rc = serve_report_wait(fd, &e);
		return rc ? platter_error_set(err, rc, "%s: %s", path, e.msg) :
			    0;
	}
	if (fd >= 0)
		close(fd);
	else if (!rc && !lazy && serve_report_known(m->source))
		rc = platter_error_set(err, -EIO, "%s: unmounted, but its "
				       "server had gone: what had not been "
				       "flushed may be lost", path);
	return rc;
}

int serve_fuse_umount(const char *path, bool lazy, struct platter_error *err)
{
	struct serve_mounted m;
	char *full = find(path, &m);
	int rc;

	if (!full)
		return platter_error_set(err, -EINVAL, "%s: nothing is mounted "
					 "there", path);
	if (strcmp(m.type, TYPE))
		rc = platter_error_set(err, -EINVAL, "%s: what is mounted there "
				       "is not platter's but of type %s", path,
				       m.type);
	else
		rc = unmount_and_wait(full, &m, lazy, err);
	free(m.line);
	free(full);
	return rc;
}
