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
	uint64_t number;		/* in the set, from 1; used once */
	uint64_t size;			/* fixed, bytes; 0 = the node's */
	_Atomic int64_t changed;	/* mtime, in nanoseconds */
	/* The rest is for files that come and go. */
	atomic_uint busy;		/* requests that use the node */
	atomic_bool shut;		/* nobody may use it any more */
	bool direct;			/* those who open it see no page cache */
	/* With lazy writes: written to behind its end; the kernel thinks it
	 * longer now, and nobody can tell it otherwise. */
	atomic_bool overrun;
	unsigned int opens;		/* under the lock of the set, */
	uint64_t holds;			/* as these: lookups of the kernel */
	struct serve_file *prev, *next;
};

struct serve_files;

/* Who has files that come into being when they are looked up. */
struct serve_files_ops {
	/*
	 * Only those who have a file open look at it: what is written to it may
	 * stay in the page cache until they close it or sync. So it is late
	 * that a write behind the end is refused; the file is `overrun` then.
	 */
	bool lazy_writes;
	/* Under the lock. NULL: there is none of that name. */
	struct serve_file *(*lookup)(struct serve_files *files,
				     const char *name);
	/* Somebody opens it, and counts already. 0 or an errno. Or NULL. */
	int (*open)(struct serve_files *files, struct serve_file *file);
	/* Under the lock: somebody has closed it. */
	void (*released)(struct serve_files *files, struct serve_file *file);
	/* Under the lock: the kernel does not know it any more. */
	void (*forgotten)(struct serve_files *files, struct serve_file *file);
	/* 0 or an errno. NULL: files cannot be removed. */
	int (*unlink)(struct serve_files *files, const char *name);
	/* There is no mount any more, but requests are. Or NULL. */
	void (*stop)(struct serve_files *files);
	/* With the set: all that is left goes, and then the owner, or NULL. */
	void (*free)(struct serve_files *files, struct serve_file *file);
	void (*end)(struct serve_files *files);
};

struct serve_files {
	bool directory;		/* FUSE_ROOT_ID is a directory of them */
	struct serve_file *file;	/* those that stay, or */
	size_t count;
	const struct serve_files_ops *ops;	/* those that come and go */
	void *owner;
	struct serve_file *first, *last;	/* by number */
	uint64_t next_number;
	pthread_mutex_t lock;
	pthread_cond_t cond;	/* one was closed or has no requests left */
};

/* `ops` NULL: they are those of fill(). */
void serve_files_init(struct serve_files *files,
		      const struct serve_files_ops *ops, void *owner);
int serve_files_fill(struct serve_files *files, bool directory,
		     const struct serve_disk *disks, size_t count,
		     struct platter_error *err) PLATTER_MUST_CHECK;
void serve_files_free(struct serve_files *files);
/* The file of a number the kernel was given; NULL is the directory. */
struct serve_file *serve_files_get(struct serve_files *files, fuse_ino_t ino);
/* The file of a name, NULL if there is none. The kernel then holds it once. */
struct serve_file *serve_files_lookup(struct serve_files *files,
				      const char *name);
/* The kernel gives up `count` holds. */
void serve_files_forget(struct serve_files *files, struct serve_file *file,
			uint64_t count);
/* Count who has it open. ESTALE: it is shut, look the name up again. */
int serve_files_open(struct serve_files *files, struct serve_file *file);
void serve_files_release(struct serve_files *files, struct serve_file *file);

struct serve_listed {
	char name[256];
	fuse_ino_t ino;
	uint64_t number, size;
};
/* The first file with a number above `after`; false: there is none. */
bool serve_files_list(struct serve_files *files, uint64_t after,
		      struct serve_listed *out);

/* A request uses the node until leave(). False: it is shut. */
bool serve_file_enter(struct serve_file *file);
void serve_file_leave(struct serve_files *files, struct serve_file *file);
/* Under the lock: no request uses the node when this returns, or later. */
void serve_file_shut(struct serve_files *files, struct serve_file *file);
/* Under the lock: a new one is in the set, or not any more. */
void serve_file_add(struct serve_files *files, struct serve_file *file);
void serve_file_remove(struct serve_files *files, struct serve_file *file);

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
	bool direct, no_readahead;
	uid_t uid;
	gid_t gid;
	mode_t mode;		/* permissions, before read_only */
	pthread_t threads[SERVE_FUSE_THREADS];
	unsigned int nr_threads;
	atomic_uint running;	/* of them */
	atomic_uint readers;	/* waiting for a request */
	atomic_uint parked;	/* waiting to be one of the readers */
	sem_t wanted;		/* a reader is */
	atomic_uint drops;	/* requests to drop_pages(), in fuse-io.c */
	int ended;		/* eventfd: unmounted from outside */
	pthread_mutex_t lock;	/* of what follows */
	struct platter_error lost;	/* an error no client may have seen */
};

/* serve_fuse_start() for either kind of files: `ops` NULL takes opts->disks. */
int serve_fuse_start_ops(struct serve_fuse **out,
			 const struct serve_fuse_options *opts,
			 const struct serve_files_ops *ops, void *owner,
			 struct platter_error *err) PLATTER_MUST_CHECK;
/* This thread's buffer of SERVE_FUSE_MAX_IO bytes. */
void *serve_fuse_buffer(void);
/* Remember an error of a request nobody waits for. */
void serve_fuse_lost(struct serve_fuse *fuse, const struct platter_error *err);

#endif
