/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of a mount: by name, by number, and in order.
 *
 * Either the root is the one file, or it is a directory and its files have the
 * numbers that follow. All are there from the beginning and stay, so there is
 * nothing to count; files that come into being when they are looked up would
 * begin in serve_files_lookup() and end in serve_files_forget().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuse.h"

#define FIRST_INO	(FUSE_ROOT_ID + 1)	/* in a directory */

int serve_files_init(struct serve_files *files, bool directory,
		     const struct serve_disk *disks, size_t count,
		     struct platter_error *err)
{
	int64_t now = (int64_t)time(NULL) * 1000000000;

	if (!directory && count != 1)
		return platter_error_set(err, -EINVAL, "%zu images cannot be "
					 "one file; name a directory", count);
	files->file = calloc(count, sizeof(*files->file));
	if (!files->file)
		return platter_error_errno(err, -ENOMEM, "%zu files", count);
	files->directory = directory;
	files->count = count;
	for (size_t i = 0; i < count; i++) {
		files->file[i].disk = disks[i];
		files->file[i].ino = directory ? FIRST_INO + i : FUSE_ROOT_ID;
		atomic_init(&files->file[i].changed, now);
	}
	return 0;
}

void serve_files_free(struct serve_files *files)
{
	free(files->file);
	files->file = NULL;
}

struct serve_file *serve_files_get(struct serve_files *files, fuse_ino_t ino)
{
	if (!files->directory)
		return &files->file[0];
	return ino == FUSE_ROOT_ID ? NULL : &files->file[ino - FIRST_INO];
}

struct serve_file *serve_files_lookup(struct serve_files *files,
				      const char *name)
{
	for (size_t i = 0; i < files->count && files->directory; i++)
		if (!strcmp(files->file[i].disk.name, name))
			return &files->file[i];
	return NULL;
}

void serve_files_forget(struct serve_files *files, fuse_ino_t ino,
			uint64_t count)
{
	(void)files;
	(void)ino;
	(void)count;
}

struct serve_file *serve_files_list(struct serve_files *files, size_t place)
{
	return place < files->count ? &files->file[place] : NULL;
}
