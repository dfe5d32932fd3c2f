/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the FUSE server share. */
#ifndef SERVE_FUSE_H
#define SERVE_FUSE_H

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "serve.h"

/* The largest request, and so the size of each thread's buffers (bytes). */
#define SERVE_FUSE_MAX_IO	(UINT32_C(1) << 20)
/* Requests that are worked on at once: that many threads. */
#define SERVE_FUSE_THREADS	16
/* Of them, how many wait for the next request; the others rest. */
#define SERVE_FUSE_READERS	1

/* ---- fuse-files.c: which files there are ---- */

/* A file the kernel knows, from the lookup until it is forgotten. */
struct serve_file {
	struct serve_disk disk;
	fuse_ino_t ino;
	_Atomic int64_t changed;	/* mtime, in nanoseconds */
};

struct serve_files {
	bool directory;		/* FUSE_ROOT_ID is a directory of them */
	struct serve_file *file;
	size_t count;
};

int serve_files_init(struct serve_files *files, bool directory,
		     const struct serve_disk *disks, size_t count,
		     struct platter_error *err) PLATTER_MUST_CHECK;
void serve_files_free(struct serve_files *files);
/* The file of a number the kernel was given; NULL is the directory. */
struct serve_file *serve_files_get(struct serve_files *files, fuse_ino_t ino);
/* The file of a name, NULL if there is none. The kernel then holds it once. */
struct serve_file *serve_files_lookup(struct serve_files *files,
				      const char *name);
/* The kernel gives up `count` holds. */
void serve_files_forget(struct serve_files *files, fuse_ino_t ino,
			uint64_t count);
/* What readdir lists at a place, counted from 0; NULL behind the last. */
struct serve_file *serve_files_list(struct serve_files *files, size_t place);

/* ---- fuse-mount.c: being mounted ---- */

struct serve_mount {
	char *path;		/* resolved; NULL = not mounted */
	int id;			/* in mountinfo */
	bool created;		/* the file was made for this */
	mode_t mode;		/* of what is mounted over, with its type */
};

/*
 * Mount at `path`, which is made as an empty file if there is nothing. *fd is
 * the open /dev/fuse.
 */
int serve_mount(struct serve_mount *m, const struct serve_fuse_options *opts,
		int *fd, struct platter_error *err) PLATTER_MUST_CHECK;
/* False when somebody has unmounted it; another may be mounted there then. */
bool serve_is_mounted(const struct serve_mount *m);
/* Unmount if it still is; whoever has a file open keeps it. */
int serve_unmount(const struct serve_mount *m, struct platter_error *err);
/* The same of any path. Not lazy: -EBUSY or -EPERM while it is in use. */
int serve_unmount_path(const char *path, bool lazy, struct platter_error *err);
/* When no request can come any more: remove the file made for it, and free. */
void serve_mount_free(struct serve_mount *m);

/* What is mounted at a place. */
struct serve_mounted {
	int id;
	char *type, *source;
	char *line;		/* what the others point into; the caller frees */
};
/* False: nothing. `path` is resolved, and not looked at. */
bool serve_mounted(struct serve_mounted *out, const char *path);

/* ---- fuse-report.c: what became of a server ---- */

/* Ask the server of a mount with that source: a descriptor for
 * serve_report_wait(), or -1 if nobody is there. */
int serve_report_ask(const char *source);
/* Does the source of a mount say whom to ask? nbdkit's does not. */
bool serve_report_known(const char *source);
/* Until the server has ended. Its error is ours. Closes `fd`. */
int serve_report_wait(int fd, struct platter_error *err);

/* ---- fuse-ops.c ---- */

extern const struct fuse_lowlevel_ops serve_fuse_ops;

/* ---- fuse.c ---- */

struct serve_fuse {
	struct serve_files files;
	struct serve_mount mount;
	struct fuse_session *session;
	bool direct;
	uid_t uid;
	gid_t gid;
	mode_t mode;		/* permissions, before read_only */
	pthread_t threads[SERVE_FUSE_THREADS];
	unsigned int nr_threads;
	atomic_uint running;	/* of them */
	atomic_uint readers;	/* waiting for a request */
	atomic_uint parked;	/* waiting to be one of the readers */
	sem_t wanted;		/* a reader is */
	atomic_uint drops;	/* requests to drop_pages(), in fuse-ops.c */
	int ended;		/* eventfd: unmounted from outside */
	pthread_mutex_t lock;	/* of what follows */
	struct platter_error lost;	/* an error no client may have seen */
};

/* This thread's buffer of SERVE_FUSE_MAX_IO bytes. */
void *serve_fuse_buffer(void);
/* Remember an error of a request nobody waits for. */
void serve_fuse_lost(struct serve_fuse *fuse, const struct platter_error *err);

#endif
