/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of a mount: by name, by number, and in order.
 *
 * Either the root is the one file, or it is a directory and its files have the
 * numbers that follow, are there from the beginning and stay; or they come into
 * being when they are looked up. Such a file's number, for the kernel, is its
 * address: it is freed when the kernel has forgotten it, which it does when it
 * has no request left that names it.
 *
 * What a file of that kind shows can be taken away before: it is shut then,
 * once the requests that use its node are done. Of a request that comes and
 * somebody who shuts the file, at least one sees what the other has done.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuse.h"

#define FIRST_INO	(FUSE_ROOT_ID + 1)	/* in a directory */

static int64_t now(void)
{
	return (int64_t)time(NULL) * 1000000000;
}

void serve_files_init(struct serve_files *files,
		      const struct serve_files_ops *ops, void *owner)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&files->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&files->cond, &attr);
	pthread_condattr_destroy(&attr);
	files->ops = ops;
	files->owner = owner;
}

int serve_files_fill(struct serve_files *files, bool directory,
		     const struct serve_disk *disks, size_t count,
		     struct platter_error *err)
{
	files->directory = directory;
	if (!directory && files->ops)
		return platter_error_set(err, -ENOTDIR, "states are many "
					 "files; name a folder");
	if (!directory && count != 1)
		return platter_error_set(err, -EINVAL, "%zu images cannot be "
					 "one file; name a directory", count);
	if (files->ops)
		return 0;
	files->file = calloc(count, sizeof(*files->file));
	if (!files->file)
		return platter_error_errno(err, -ENOMEM, "%zu files", count);
	files->count = count;
	for (size_t i = 0; i < count; i++) {
		files->file[i].disk = disks[i];
		files->file[i].ino = directory ? FIRST_INO + i : FUSE_ROOT_ID;
		files->file[i].number = i + 1;
		atomic_init(&files->file[i].changed, now());
	}
	return 0;
}

void serve_files_free(struct serve_files *files)
{
	while (files->first) {
		struct serve_file *file = files->first;

		serve_file_remove(files, file);
		files->ops->free(files, file);
	}
	if (files->ops && files->ops->end)
		files->ops->end(files);
	free(files->file);
	files->file = NULL;
	pthread_cond_destroy(&files->cond);
	pthread_mutex_destroy(&files->lock);
}

struct serve_file *serve_files_get(struct serve_files *files, fuse_ino_t ino)
{
	if (!files->directory)
		return &files->file[0];
	if (ino == FUSE_ROOT_ID)
		return NULL;
	return files->ops ? (struct serve_file *)(uintptr_t)ino :
			    &files->file[ino - FIRST_INO];
}

struct serve_file *serve_files_lookup(struct serve_files *files,
				      const char *name)
{
	struct serve_file *file = NULL;

	if (files->ops) {
		pthread_mutex_lock(&files->lock);
		file = files->ops->lookup(files, name);
		if (file)
			file->holds++;
		pthread_mutex_unlock(&files->lock);
		return file;
	}
	for (size_t i = 0; i < files->count && files->directory; i++)
		if (!strcmp(files->file[i].disk.name, name))
			return &files->file[i];
	return NULL;
}

void serve_files_forget(struct serve_files *files, struct serve_file *file,
			uint64_t count)
{
	if (!files->ops || !file)
		return;
	pthread_mutex_lock(&files->lock);
	file->holds -= count;
	if (!file->holds)
		files->ops->forgotten(files, file);
	pthread_mutex_unlock(&files->lock);
}

int serve_files_open(struct serve_files *files, struct serve_file *file)
{
	int rc = 0;

	if (!files->ops)
		return 0;
	pthread_mutex_lock(&files->lock);
	if (atomic_load(&file->shut))
		rc = ESTALE;
	else
		file->opens++;
	pthread_mutex_unlock(&files->lock);
	if (rc || !files->ops->open)
		return rc;
	rc = files->ops->open(files, file);
	if (rc)
		serve_files_release(files, file);
	return rc;
}

void serve_files_release(struct serve_files *files, struct serve_file *file)
{
	if (!files->ops || !file)
		return;
	pthread_mutex_lock(&files->lock);
	file->opens--;
	files->ops->released(files, file);
	pthread_cond_broadcast(&files->cond);
	pthread_mutex_unlock(&files->lock);
}

bool serve_files_list(struct serve_files *files, uint64_t after,
		      struct serve_listed *out)
{
	struct serve_file *file;

	pthread_mutex_lock(&files->lock);
	file = files->first;
	while (file && (file->number <= after || !file->disk.img ||
			strlen(file->disk.name) >= sizeof(out->name)))
		file = file->next;
	if (after < files->count)
		file = &files->file[after];
	if (file) {
		*out = (struct serve_listed){
			.ino = file->ino,
			.number = file->number,
			.size = file->size ? file->size :
				platter_image_size(file->disk.img),
		};
		strcpy(out->name, file->disk.name);
	}
	pthread_mutex_unlock(&files->lock);
	return file;
}

bool serve_file_enter(struct serve_file *file)
{
	atomic_fetch_add(&file->busy, 1);
	return !atomic_load(&file->shut);
}

void serve_file_leave(struct serve_files *files, struct serve_file *file)
{
	if (atomic_fetch_sub(&file->busy, 1) > 1 || !atomic_load(&file->shut))
		return;
	pthread_mutex_lock(&files->lock);
	pthread_cond_broadcast(&files->cond);
	pthread_mutex_unlock(&files->lock);
}

void serve_file_shut(struct serve_files *files, struct serve_file *file)
{
	atomic_store(&file->shut, true);
	while (atomic_load(&file->busy))
		pthread_cond_wait(&files->cond, &files->lock);
}

void serve_file_add(struct serve_files *files, struct serve_file *file)
{
	file->ino = (fuse_ino_t)(uintptr_t)file;
	file->number = ++files->next_number;
	file->prev = files->last;
	*(files->last ? &files->last->next : &files->first) = file;
	files->last = file;
	atomic_init(&file->changed, now());
}

void serve_file_remove(struct serve_files *files, struct serve_file *file)
{
	*(file->prev ? &file->prev->next : &files->first) = file->next;
	*(file->next ? &file->next->prev : &files->last) = file->prev;
}
