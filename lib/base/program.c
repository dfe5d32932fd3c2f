/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding a program as a shell does, to run it or say that it is missing. */
#include <string.h>
#include <sys/stat.h>

#include <platter/crash.h>

#include "base/error.h"
#include "base/mem.h"

#define PATH_DEFAULT	"/usr/bin:/bin"

/* As the shell tells it: what is there but cannot be run is -EACCES. */
static int runnable(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	return S_ISREG(st.st_mode) && !access(path, X_OK) ? 0 : -EACCES;
}

static int search(char **out, const char *name, struct platter_error *err)
{
	const char *path = getenv("PATH");
	int found = -ENOENT;

	for (path = path ? path : PATH_DEFAULT;; path++) {
		size_t len = strcspn(path, ":");
		char *file = plt_asprintf(err, "%.*s%s%s", (int)len, path,
					  len ? "/" : "./", name);
		int rc = file ? runnable(file) : -ENOMEM;

		if (!rc) {
			*out = file;
			return 0;
		}
		free(file);
		if (rc == -EACCES || rc == -ENOMEM)
			found = rc;
		path += len;
		if (!*path || rc == -ENOMEM)
			return found;
	}
}

int platter_program_find(char **path, const char *name,
			 struct platter_error *err)
{
	int rc;

	if (!strchr(name, '/')) {
		rc = *name ? search(path, name, err) : -ENOENT;
	} else {
		rc = runnable(name);
		*path = rc ? NULL : plt_strdup(name, err);
		if (!rc && !*path)
			rc = -ENOMEM;
	}
	if (rc == -EACCES)
		return plt_err_set(err, rc, "%s: it cannot be executed", name);
	if (rc == -ENOENT || rc == -ENOTDIR)
		return plt_err_set(err, -ENOENT, "%s: command not found", name);
	return !rc || rc == -ENOMEM ? rc : plt_err_errno(err, rc, "%s", name);
}
