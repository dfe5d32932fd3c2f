/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A directory in which every name of a crash state is a file.
 *
 * A name that is looked up is parsed and no more; opening the file makes the
 * state's node and a scratch for what is written. Programs that close a file
 * and open it again, as e2fsck does when it has replayed a journal, must find
 * what they have written. So a file that nobody has open lingers for a while,
 * or until it is removed.
 *
 * A thread takes away those that have lingered. The kernel is told to drop the
 * name and then forgets the file, for which it needs answers of ours: no thread
 * that carries out requests may do that.
 *
 * A scratch gets an eighth of the memory that is not given to others, so that
 * all together never have more than there is.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuse.h"

#define LINGER_NS	(INT64_C(5) * 1000000000)
#define SHARE		8

struct state_file {
	struct serve_file file;
	struct platter_crash_state *state;
	struct platter_image *lower;	/* the state, below the scratch */
	uint64_t memory;		/* of the scratch */
	pthread_mutex_t making;		/* taken before the lock of the set */
	int64_t used;			/* when last, on the monotonic clock */
};

struct states {
	struct platter_crash *crash;
	struct serve_fuse *fuse;
	uint64_t memory;		/* left */
	pthread_t thread;
	bool has_thread, ending;
};

static struct state_file *state_file(struct serve_file *file)
{
	return (struct state_file *)file;
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* ---- names ---- */

/* All ways to write a state lead to one file. */
static struct serve_file *find(struct serve_files *files, const char *name)
{
	struct serve_file *file = files->first;

	while (file && (atomic_load(&file->shut) ||
			strcmp(file->disk.name, name)))
		file = file->next;
	return file;
}

static struct serve_file *make(struct serve_files *files,
			       struct platter_crash_state *state)
{
	const struct states *states = files->owner;
	struct state_file *f = calloc(1, sizeof(*f));

	if (!f) {
		platter_crash_state_unref(state);
		return NULL;
	}
	f->state = state;
	f->file.disk.name = platter_crash_state_name(state);
	f->file.size = platter_crash_size(states->crash);
	pthread_mutex_init(&f->making, NULL);
	serve_file_add(files, &f->file);
	return &f->file;
}

static struct serve_file *lookup(struct serve_files *files, const char *name)
{
	const struct states *states = files->owner;
	struct serve_file *file = find(files, name);
	struct platter_crash_state *state;
	const char *shortest;

	if (!file) {
		if (platter_crash_state_parse(&state, states->crash, name,
					      NULL))
			return NULL;
		shortest = platter_crash_state_name(state);
		file = shortest ? find(files, shortest) : NULL;
		if (file || !shortest)
			platter_crash_state_unref(state);
		else
			file = make(files, state);
	}
	if (file)
		state_file(file)->used = now();
	return file;
}

/* ---- content ---- */

/* Once shut, or when the kernel knows nothing of it. */
static void drop_content(struct state_file *f)
{
	platter_image_close(f->file.disk.img, NULL);
	platter_image_close(f->lower, NULL);
	f->file.disk.img = NULL;
	f->lower = NULL;
}

static int make_content(struct serve_files *files, struct state_file *f)
{
	struct states *states = files->owner;
	struct platter_image *img = NULL;
	uint64_t memory;
	int rc;

	pthread_mutex_lock(&files->lock);
	memory = states->memory / SHARE;
	states->memory -= memory;
	pthread_mutex_unlock(&files->lock);
	rc = platter_crash_state_image(&f->lower, f->state, NULL);
	if (!rc)
		rc = platter_scratch_new(&img, f->lower, memory, NULL);
	if (rc) {
		platter_image_close(f->lower, NULL);
		f->lower = NULL;
	}
	pthread_mutex_lock(&files->lock);
	f->file.disk.img = img;
	f->memory = img ? memory : 0;
	states->memory += memory - f->memory;
	pthread_mutex_unlock(&files->lock);
	return serve_errno(rc);
}

static int open_file(struct serve_files *files, struct serve_file *file)
{
	struct state_file *f = state_file(file);
	int rc = 0;

	pthread_mutex_lock(&f->making);
	if (!file->disk.img)
		rc = make_content(files, f);
	pthread_mutex_unlock(&f->making);
	return rc;
}

static void released(struct serve_files *files, struct serve_file *file)
{
	(void)files;
	state_file(file)->used = now();
}

static void free_file(struct serve_files *files, struct serve_file *file)
{
	struct states *states = files->owner;
	struct state_file *f = state_file(file);

	drop_content(f);
	states->memory += f->memory;
	platter_crash_state_unref(f->state);
	pthread_mutex_destroy(&f->making);
	free(f);
}

static void forgotten(struct serve_files *files, struct serve_file *file)
{
	serve_file_remove(files, file);
	free_file(files, file);
}

/* Removed by hand: the next who looks for it finds it as it was. */
static int unlink_file(struct serve_files *files, const char *name)
{
	struct serve_file *file;
	int rc = 0;

	pthread_mutex_lock(&files->lock);
	file = lookup(files, name);
	if (!file)
		rc = ENOENT;
	else if (file->opens)
		rc = EBUSY;
	else
		serve_file_shut(files, file);
	if (file && !rc)
		drop_content(state_file(file));
	pthread_mutex_unlock(&files->lock);
	return rc;
}

/* ---- taking away what nobody uses any more ---- */

static bool is_over(const struct serve_file *file, int64_t at)
{
	const struct state_file *f = (const struct state_file *)file;

	return file->disk.img && !file->opens && !atomic_load(&file->shut) &&
	       at - f->used >= LINGER_NS;
}

/* Under the lock, which is let go of meanwhile. */
static void take_away(struct serve_files *files, struct serve_file *file)
{
	const struct states *states = files->owner;

	file->holds++;
	serve_file_shut(files, file);
	drop_content(state_file(file));
	pthread_mutex_unlock(&files->lock);
	fuse_lowlevel_notify_inval_entry(states->fuse->session, FUSE_ROOT_ID,
					 file->disk.name,
					 strlen(file->disk.name));
	pthread_mutex_lock(&files->lock);
	if (!--file->holds)
		forgotten(files, file);
}

static void *tidy(void *arg)
{
	struct serve_files *files = arg;
	struct states *states = files->owner;
	struct serve_file *file;
	struct timespec until;

	pthread_mutex_lock(&files->lock);
	while (!states->ending) {
		file = files->first;
		while (file && !is_over(file, now()))
			file = file->next;
		if (file) {
			take_away(files, file);
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec++;
		pthread_cond_timedwait(&files->cond, &files->lock, &until);
	}
	pthread_mutex_unlock(&files->lock);
	return NULL;
}

static void stop(struct serve_files *files)
{
	struct states *states = files->owner;

	pthread_mutex_lock(&files->lock);
	states->ending = true;
	pthread_cond_broadcast(&files->cond);
	pthread_mutex_unlock(&files->lock);
	if (states->has_thread)
		pthread_join(states->thread, NULL);
	states->has_thread = false;
}

static void end(struct serve_files *files)
{
	free(files->owner);
}

static const struct serve_files_ops ops = {
	.lookup = lookup,
	.open = open_file,
	.released = released,
	.forgotten = forgotten,
	.unlink = unlink_file,
	.stop = stop,
	.free = free_file,
	.end = end,
};

/* ---- start ---- */

static int start_thread(struct states *states, struct platter_error *err)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&states->thread, NULL, tidy, &states->fuse->files);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	states->has_thread = !rc;
	return rc ? platter_error_errno(err, -rc, "starting a thread") : 0;
}

int serve_fuse_states(struct serve_fuse **out,
		      const struct serve_fuse_options *opts,
		      struct platter_crash *crash, uint64_t memory,
		      struct platter_error *err)
{
	struct states *states = calloc(1, sizeof(*states));
	int rc;

	if (!states)
		return platter_error_errno(err, -ENOMEM, "%s", opts->path);
	states->crash = crash;
	states->memory = memory;
	rc = serve_fuse_start_ops(&states->fuse, opts, &ops, states, err);
	if (rc)
		return rc;
	*out = states->fuse;
	rc = start_thread(states, err);
	if (rc)
		serve_fuse_stop(*out, NULL);
	return rc;
}
