/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file that appears under its name only when it is complete.
 *
 * It is written as NAME.XXXXXX.part in the same directory and renamed. A crash
 * leaves at most that part file; a failure or cancellation leaves nothing.
 */
#ifndef PLT_BASE_NEWFILE_H
#define PLT_BASE_NEWFILE_H

#include <stdbool.h>
#include <stddef.h>

#include <platter/error.h>

struct plt_newfile;

/*
 * Make the part file, empty, mode 0666 less the umask (or that of the file it
 * replaces). Without `replace`, a `path` that exists is -EEXIST now and again
 * at commit. A `path` that is a symbolic link replaces what it points to.
 */
int plt_newfile_new(struct plt_newfile **out, const char *path, bool replace,
		    struct platter_error *err) PLATTER_MUST_CHECK;
const char *plt_newfile_part(const struct plt_newfile *nf); /* path to write */
const char *plt_newfile_path(const struct plt_newfile *nf);
/* With `sync`, file and directory are durable before this returns. */
int plt_newfile_commit(struct plt_newfile *nf, bool sync,
		       struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Several at once: all are complete before the first gets its name, so that
 * little can come between them. When one cannot have its name, those that
 * were new lose theirs again.
 */
int plt_newfile_commit_all(struct plt_newfile *const *nf, size_t nr, bool sync,
			   struct platter_error *err) PLATTER_MUST_CHECK;
/* True when both would get the same name. */
bool plt_newfile_same(const struct plt_newfile *a, const struct plt_newfile *b);
/* Removes the part file unless committed. NULL is ok. */
void plt_newfile_free(struct plt_newfile *nf);

#endif
