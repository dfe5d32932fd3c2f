/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crash states as files of a mount, for a harness.
 *
 * Each slot has one file, looked up by the name of the state it has now. That
 * it is the same one for all states is what makes this fast: what the kernel
 * has read of one state it need not read again of the next, but for the ranges
 * that differ, which it is told to drop before anybody can look. A descriptor
 * of ours keeps the kernel from forgetting the file while no one has it open.
 *
 * A name is looked up each time it is used, as it means another file, or none,
 * later on.
 *
 * A state is over when everybody has closed the file, and with that has written
 * what he had changed in memory. The kernel tells of that a moment after the
 * process has ended. Who then has it still open keeps that file, which is shut
 * for good, with pages that are nobody else's; the slot gets a new one.
 *
 * A direct state is for somebody who records what is written. It is opened
 * without the page cache. Mapping the file shared into memory is not possible
 * then. For somebody who watches what is read, the kernel forgets all of the
 * last state, and reads no more ahead than it is asked to.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fuse.h"
#include "states.h"

#define PLACE		"states"	/* the mount point */
#define NAME_MAX_BYTES	200		/* longer ones are not file names */
#define WAIT_MS		100		/* for files to be closed */
#define INVAL_MAX	4096		/* ranges; more cost more than all */

struct slot {
	struct serve_file *file;	/* NULL: the next state makes one */
	int pin;			/* of it, or -1 */
	const char *name;		/* of the state, or NULL */
	char *path;			/* with that name */
	bool spoiled;			/* `file` is in place of the pinned */
};

struct presenter {
	struct platter_crash_presenter base;
	struct serve_fuse *fuse;
	char *dir;
	uint64_t size;
	unsigned int nr_slots;
	struct slot *slot;
};

static struct presenter *presenter_of(struct platter_crash_presenter *base)
{
	return (struct presenter *)base;
}

/* ---- the files ---- */

static struct serve_file *new_file(struct presenter *p)
{
	struct serve_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->size = p->size;
	atomic_init(&file->shut, true);
	serve_file_add(&p->fuse->files, file);
	return file;
}

/* One that the kernel thinks longer than the disk gives way to another. */
static struct serve_file *current(struct presenter *p, struct slot *s)
{
	struct serve_file *file;

	if (!atomic_load(&s->file->overrun) || s->file->opens)
		return s->file;
	file = new_file(p);
	if (!file)
		return s->file;
	file->disk = s->file->disk;
	file->direct = s->file->direct;
	atomic_store(&file->shut, false);
	atomic_store(&s->file->shut, true);
	s->file = file;
	s->spoiled = true;
	return file;
}

static struct serve_file *find(struct serve_files *files, const char *name)
{
	struct presenter *p = files->owner;

	for (unsigned int i = 0; i < p->nr_slots; i++)
		if (p->slot[i].name && !strcmp(p->slot[i].name, name))
			return current(p, &p->slot[i]);
	return NULL;
}

static void released(struct serve_files *files, struct serve_file *file)
{
	(void)files;
	(void)file;
}

/* One that is a slot's will be looked up again. */
static void forgotten(struct serve_files *files, struct serve_file *file)
{
	const struct presenter *p = files->owner;

	for (unsigned int i = 0; i < p->nr_slots; i++)
		if (p->slot[i].file == file)
			return;
	serve_file_remove(files, file);
	free(file);
}

static void free_file(struct serve_files *files, struct serve_file *file)
{
	(void)files;
	free(file);
}

static const struct serve_files_ops ops = {
	/* A journal's replay writes the same blocks again and again. */
	.lazy_writes = true,
	.lookup = find,
	.released = released,
	.forgotten = forgotten,
	.free = free_file,
};

/* ---- what the kernel has cached ---- */

static void inval(const struct presenter *p, const struct slot *s,
		  uint64_t offset, uint64_t length)
{
	fuse_lowlevel_notify_inval_inode(p->fuse->session, s->file->ino,
					 (off_t)offset, (off_t)length);
}

/* The kernel drops whole pages, so near ones go together. */
static void inval_ranges(const struct presenter *p, const struct slot *s,
			 const struct platter_crash_range *range, size_t nr)
{
	const uint64_t near = 4096;
	uint64_t start, end;
	size_t i = 0;

	while (i < nr) {
		start = range[i].offset;
		end = start + range[i].length;
		for (i++; i < nr && range[i].offset >= start &&
			  range[i].offset <= end + near; i++)
			if (range[i].offset + range[i].length > end)
				end = range[i].offset + range[i].length;
		if (end > start)
			inval(p, s, start, end - start);
	}
}

/* ---- a state ---- */

static int make_file(struct presenter *p, struct slot *s,
		     struct platter_error *err)
{
	struct serve_files *files = &p->fuse->files;

	pthread_mutex_lock(&files->lock);
	s->file = new_file(p);
	pthread_mutex_unlock(&files->lock);
	return s->file ? 0 :
			 platter_error_errno(err, -ENOMEM, "%s", p->dir);
}

static int set_path(const struct presenter *p, struct slot *s,
		    unsigned int slot, const char *name,
		    struct platter_error *err)
{
	char other[32];

	snprintf(other, sizeof(other), "state-%u", slot);
	if (strlen(name) > NAME_MAX_BYTES || strchr(name, '/') ||
	    name[0] == '.')
		name = other;
	free(s->path);
	if (asprintf(&s->path, "%s/%s", p->dir, name) < 0)
		s->path = NULL;
	s->name = s->path ? s->path + strlen(p->dir) + 1 : NULL;
	return s->path ? 0 : platter_error_errno(err, -ENOMEM, "%s", p->dir);
}

/* Without it the kernel would forget the file, and its pages, between states. */
static int pin(struct slot *s, struct platter_error *err)
{
	s->pin = open(s->path, O_PATH | O_CLOEXEC);
	return s->pin < 0 ? platter_error_errno(err, -errno, "%s", s->path) : 0;
}

static int present(struct platter_crash_presenter *self, unsigned int slot,
		   const char *name, struct platter_image *img,
		   const struct platter_crash_range *changed, size_t nr_changed,
		   bool direct, struct platter_crash_place *place,
		   struct platter_error *err)
{
	struct presenter *p = presenter_of(self);
	struct serve_files *files = &p->fuse->files;
	struct slot *s = &p->slot[slot];
	int rc = 0;

	if (!s->file)
		rc = make_file(p, s, err);
	else if (direct || nr_changed > INVAL_MAX)
		inval(p, s, 0, 0);
	else
		inval_ranges(p, s, changed, nr_changed);
	if (rc)
		return rc;
	pthread_mutex_lock(&files->lock);
	rc = set_path(p, s, slot, name, err);
	if (!rc) {
		s->file->disk.name = s->name;
		s->file->disk.img = img;
		/* The same for all: others look at it without the lock. */
		if (s->file->disk.read_only == platter_image_writable(img))
			s->file->disk.read_only = !platter_image_writable(img);
		s->file->direct = direct;
		atomic_store(&s->file->shut, false);
	}
	pthread_mutex_unlock(&files->lock);
	if (!rc && s->pin < 0)
		rc = pin(s, err);
	*place = (struct platter_crash_place){ .path = s->path };
	return rc;
}

/* False: somebody has not closed it by then. */
static bool wait_closed(struct serve_files *files, struct serve_file *file)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += WAIT_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	while (file->opens)
		if (pthread_cond_timedwait(&files->cond, &files->lock, &until))
			break;
	return !file->opens;
}

static int withdraw(struct platter_crash_presenter *self, unsigned int slot,
		    struct platter_error *err)
{
	struct presenter *p = presenter_of(self);
	struct serve_files *files = &p->fuse->files;
	struct slot *s = &p->slot[slot];
	bool closed, keep;
	fuse_ino_t ino;

	(void)err;
	if (!s->name)
		return 0;
	pthread_mutex_lock(&files->lock);
	closed = wait_closed(files, s->file);
	keep = closed && !s->spoiled && !atomic_load(&s->file->overrun);
	s->name = NULL;
	serve_file_shut(files, s->file);
	s->file->disk.img = NULL;
	s->file->disk.name = "";
	ino = s->file->ino;
	if (!keep)
		s->file = NULL;
	s->spoiled = false;
	pthread_mutex_unlock(&files->lock);
	if (keep)
		return 0;
	fuse_lowlevel_notify_inval_inode(p->fuse->session, ino, -1, 0);
	close(s->pin);
	s->pin = -1;
	return closed ? 0 : 1;
}

/* ---- start and stop ---- */

static void free_presenter(struct platter_crash_presenter *self)
{
	struct presenter *p = presenter_of(self);

	for (unsigned int i = 0; i < p->nr_slots; i++)
		if (p->slot[i].pin >= 0)
			close(p->slot[i].pin);
	/* There is nothing to flush that anybody would miss. */
	serve_fuse_stop(p->fuse, NULL);
	for (unsigned int i = 0; i < p->nr_slots; i++)
		free(p->slot[i].path);
	if (p->dir)
		rmdir(p->dir);
	free(p->dir);
	free(p->slot);
	free(p);
}

static int start(struct presenter *p, const struct serve_states_options *opts,
		 struct platter_error *err)
{
	struct serve_fuse_options fuse = {
		.source = "platter-states",
		.no_readahead = opts->exact_reads,
	};
	char *dir = realpath(opts->dir, NULL);

	p->size = opts->size;
	p->slot = calloc(opts->slots, sizeof(*p->slot));
	if (!dir)
		return platter_error_errno(err, -errno, "%s", opts->dir);
	if (!p->slot || asprintf(&p->dir, "%s/" PLACE, dir) < 0)
		p->dir = NULL;
	free(dir);
	if (!p->dir)
		return platter_error_errno(err, -ENOMEM, "%u slots",
					   opts->slots);
	p->nr_slots = opts->slots;
	for (unsigned int i = 0; i < opts->slots; i++)
		p->slot[i].pin = -1;
	if (mkdir(p->dir, 0700))
		return platter_error_errno(err, -errno, "%s", p->dir);
	fuse.path = p->dir;
	return serve_fuse_start_ops(&p->fuse, &fuse, &ops, p, err);
}

int serve_states_fuse(struct platter_crash_presenter **out,
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
		.how = "FUSE",
		.sees_reads = true,
	};
	rc = start(p, opts, err);
	if (rc)
		free_presenter(&p->base);
	else
		*out = &p->base;
	return rc;
}
