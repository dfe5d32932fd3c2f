/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes as files, by FUSE: the session and its threads.
 *
 * A fixed number of threads of our own read requests from /dev/fuse and carry
 * them out; nodes may be called by any number. libfuse's own loop is not used:
 * it can only be ended by a signal or by an unmount, and the one would be the
 * caller's business, while the other never comes as long as a client has a
 * file open. Our threads can be cancelled, but only while they wait for a
 * request, so that each request under way is finished.
 *
 * The kernel gives a request to the reader that has waited longest. With all
 * threads waiting, each small request would wake another one, and a stream of
 * them is several times slower. So one waits, and wakes the next when it has a
 * request; a thread that is done before that goes on waiting itself.
 *
 * Nothing here may touch a file below the mount: it would wait for itself.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse.h"

/* Of a thread of ours. */
static _Thread_local void *buffer;

void *serve_fuse_buffer(void)
{
	return buffer;
}

void serve_fuse_lost(struct serve_fuse *fuse, const struct platter_error *err)
{
	pthread_mutex_lock(&fuse->lock);
	if (!fuse->lost.code)
		fuse->lost = *err;
	pthread_mutex_unlock(&fuse->lock);
}

/* ---- threads ---- */

struct worker {
	struct serve_fuse *fuse;
	struct fuse_buf in;	/* its memory is libfuse's idea, and malloc's */
	void *out;
};

static void end_worker(void *arg)
{
	struct worker *w = arg;
	struct serve_fuse *fuse = w->fuse;

	free(w->in.mem);
	free(w->out);
	/* If this is the end for one it is for all. */
	sem_post(&fuse->wanted);
	if (atomic_fetch_sub(&fuse->running, 1) == 1)
		eventfd_write(fuse->ended, 1);
}

/*
 * Rest while there are readers enough. Of a thread that comes to rest and one
 * that stops being a reader, at least one sees what the other has counted.
 */
static void park(struct serve_fuse *fuse)
{
	atomic_fetch_add(&fuse->parked, 1);
	if (atomic_load(&fuse->readers) >= SERVE_FUSE_READERS)
		while (sem_wait(&fuse->wanted) && errno == EINTR)
			;
	atomic_fetch_sub(&fuse->parked, 1);
}

static int next_request(struct worker *w)
{
	struct serve_fuse *fuse = w->fuse;
	int old, n;

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
	park(fuse);
	atomic_fetch_add(&fuse->readers, 1);
	n = fuse_session_receive_buf(fuse->session, &w->in);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	if (atomic_fetch_sub(&fuse->readers, 1) == 1 &&
	    atomic_load(&fuse->parked))
		sem_post(&fuse->wanted);
	return n;
}

static void *work(void *arg)
{
	struct worker w = { .fuse = arg };
	int n, old;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	pthread_cleanup_push(end_worker, &w);
	/* For O_DIRECT below. */
	w.out = aligned_alloc(4096, SERVE_FUSE_MAX_IO);
	buffer = w.out;
	while (buffer) {
		n = next_request(&w);
		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		fuse_session_process_buf(w.fuse->session, &w.in);
	}
	pthread_cleanup_pop(1);
	return NULL;
}

static void stop_threads(struct serve_fuse *fuse)
{
	for (unsigned int i = 0; i < fuse->nr_threads; i++)
		pthread_cancel(fuse->threads[i]);
	for (unsigned int i = 0; i < fuse->nr_threads; i++)
		pthread_join(fuse->threads[i], NULL);
	fuse->nr_threads = 0;
}

/* Signals are for the threads of the caller. */
static int start_threads(struct serve_fuse *fuse, struct platter_error *err)
{
	sigset_t all, old;
	int rc = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	/* All at once, or the first to end would think it was the last. */
	atomic_store(&fuse->running, SERVE_FUSE_THREADS);
	while (!rc && fuse->nr_threads < SERVE_FUSE_THREADS) {
		rc = pthread_create(&fuse->threads[fuse->nr_threads], NULL,
				    work, fuse);
		fuse->nr_threads += !rc;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc ? platter_error_errno(err, -rc, "%u threads for FUSE",
					SERVE_FUSE_THREADS) : 0;
}

/* ---- start and stop ---- */

/* On success the session owns `fd`. */
static int new_session(struct serve_fuse *fuse, int fd,
		       struct platter_error *err)
{
	char *argv[] = { (char *)"platter", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	char name[32];

	fuse->session = fuse_session_new(&args, &serve_fuse_ops,
					 sizeof(serve_fuse_ops), fuse);
	fuse_opt_free_args(&args);
	/* libfuse's name for one that is mounted already. */
	snprintf(name, sizeof(name), "/dev/fd/%d", fd);
	if (fuse->session && !fuse_session_mount(fuse->session, name))
		return 0;
	if (fuse->session)
		fuse_session_destroy(fuse->session);
	fuse->session = NULL;
	return platter_error_set(err, -EIO, "%s: libfuse makes no session",
				 fuse->mount.path);
}

static void free_all(struct serve_fuse *fuse)
{
	/* With this /dev/fuse is closed, and nobody waits for us any more. */
	if (fuse->session)
		fuse_session_destroy(fuse->session);
	serve_mount_free(&fuse->mount);
	serve_files_free(&fuse->files);
	if (fuse->ended >= 0)
		close(fuse->ended);
	sem_destroy(&fuse->wanted);
	pthread_mutex_destroy(&fuse->lock);
	free(fuse);
}

static int start(struct serve_fuse *fuse, const struct serve_fuse_options *opts,
		 struct platter_error *err)
{
	int fd, rc;

	fuse->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fuse->ended < 0)
		return platter_error_errno(err, -errno, "eventfd");
	rc = serve_mount(&fuse->mount, opts, &fd, err);
	if (rc)
		return rc;
	rc = new_session(fuse, fd, err);
	if (rc)
		close(fd);
	fuse->mode = (fuse->mount.mode & 0666) | 0600;
	if (!rc)
		rc = serve_files_fill(&fuse->files,
				      S_ISDIR(fuse->mount.mode), opts->disks,
				      opts->nr_disks, err);
	return rc ? rc : start_threads(fuse, err);
}

int serve_fuse_start_ops(struct serve_fuse **out,
			 const struct serve_fuse_options *opts,
			 const struct serve_files_ops *ops, void *owner,
			 struct platter_error *err)
{
	struct serve_fuse *fuse = calloc(1, sizeof(*fuse));
	int rc;

	if (!fuse)
		return platter_error_errno(err, -ENOMEM, "%s", opts->path);
	pthread_mutex_init(&fuse->lock, NULL);
	sem_init(&fuse->wanted, 0, 0);
	serve_files_init(&fuse->files, ops, owner);
	fuse->ended = -1;
	fuse->direct = opts->direct;
	fuse->no_readahead = opts->no_readahead;
	fuse->uid = getuid();
	fuse->gid = getgid();
	rc = start(fuse, opts, err);
	if (rc) {
		serve_unmount(&fuse->mount, NULL);
		stop_threads(fuse);
		free_all(fuse);
		return rc;
	}
	*out = fuse;
	return 0;
}

int serve_fuse_start(struct serve_fuse **out,
		     const struct serve_fuse_options *opts,
		     struct platter_error *err)
{
	return serve_fuse_start_ops(out, opts, NULL, NULL, err);
}

bool serve_fuse_ended(const struct serve_fuse *fuse)
{
	/* The threads may not have noticed yet. */
	return !atomic_load(&fuse->running) || !serve_is_mounted(&fuse->mount);
}

int serve_fuse_fd(const struct serve_fuse *fuse)
{
	return fuse->ended;
}

/* The first error there was, and every disk flushed whatever there was. */
static int flush_all(struct serve_fuse *fuse, struct platter_error *err)
{
	int rc = fuse->lost.code;

	if (rc)
		platter_error_set(err, rc, "%s", fuse->lost.msg);
	for (size_t i = 0; i < fuse->files.count; i++) {
		const struct serve_disk *disk = &fuse->files.file[i].disk;
		int flushed = disk->read_only ? 0 :
			serve_flush(disk, rc ? NULL : err);

		rc = rc ? rc : flushed;
	}
	return rc;
}

int serve_fuse_stop(struct serve_fuse *fuse, struct platter_error *err)
{
	struct platter_error late = PLATTER_ERROR_INIT;
	int rc, flushed;

	if (!fuse)
		return 0;
	rc = serve_unmount(&fuse->mount, err);
	if (fuse->files.ops && fuse->files.ops->stop)
		fuse->files.ops->stop(&fuse->files);
	stop_threads(fuse);
	flushed = flush_all(fuse, &late);
	if (flushed)
		rc = platter_error_set(err, flushed, "%s", late.msg);
	free_all(fuse);
	return rc;
}
