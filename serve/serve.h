/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes put where other programs can use them: as files (FUSE) and as NBD
 * exports (nbdkit with our plugin), and the socket a running server is
 * controlled by. Built on the public headers; used by the command, by the
 * plugin, and by nothing in the library.
 */
#ifndef SERVE_H
#define SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <platter/platter.h>

/* One image that is served. */
struct serve_disk {
	const char *name;	/* of the file, or of the export */
	struct platter_image *img;	/* the caller's; must outlive the server */
	bool read_only;
};

/* ---- disk.c: what FUSE and NBD do alike ---- */

/*
 * All take any range inside the image and return 0 or a negative errno, with a
 * message in `err`. `fua`: durable when it returns.
 */
int serve_read(const struct serve_disk *disk, void *buf, size_t len,
	       uint64_t offset, struct platter_error *err);
int serve_write(const struct serve_disk *disk, const void *buf, size_t len,
		uint64_t offset, bool fua, struct platter_error *err);
/* `unmap`: the range may lose its space. */
int serve_zero(const struct serve_disk *disk, uint64_t offset, uint64_t len,
	       bool unmap, bool fua, struct platter_error *err);
int serve_discard(const struct serve_disk *disk, uint64_t offset, uint64_t len,
		  bool fua, struct platter_error *err);
int serve_flush(const struct serve_disk *disk, struct platter_error *err);
/* The errno a client gets for one of the library's. */
int serve_errno(int rc);

/* ---- fuse.c ---- */

struct serve_fuse;

struct serve_fuse_options {
	/*
	 * A regular file: it becomes the one disk. A directory: the disks
	 * appear in it under their names. Nothing: a file that is made for it
	 * and removed at the end.
	 */
	const char *path;
	const char *source;	/* what is mounted, for df; NULL = "platter" */
	const struct serve_disk *disks;
	size_t nr_disks;
	bool direct;		/* no page cache: others write to the nodes */
	bool no_readahead;	/* only pages that programs ask for are read */
	bool allow_other;	/* let other users in */
};

/*
 * Mount and serve with threads of its own; when this returns, the files can be
 * used. -ENOTSUP: built without FUSE, or /dev/fuse or fusermount3 is missing,
 * with the remedy in the message.
 */
int serve_fuse_start(struct serve_fuse **out,
		     const struct serve_fuse_options *opts,
		     struct platter_error *err) PLATTER_MUST_CHECK;
/* True when it has been unmounted from outside. Any thread. */
bool serve_fuse_ended(const struct serve_fuse *fuse);
/* A descriptor that becomes readable when it has ended, for poll(). */
int serve_fuse_fd(const struct serve_fuse *fuse);
/*
 * Unmount (at once, whoever still has the file open), wait for the requests
 * under way, flush every disk and free. The error is the first a flush gave,
 * also an earlier one no client has been told of. NULL is ok.
 */
int serve_fuse_stop(struct serve_fuse *fuse, struct platter_error *err);

/*
 * Unmount what is mounted at `path` by a server in another process, wait until
 * that has written everything, and return its error. `lazy`: unmount also what
 * is in use, and do not wait.
 */
int serve_fuse_umount(const char *path, bool lazy, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- states*.c: where checkers find crash states ---- */

enum serve_states_how {
	SERVE_STATES_FUSE,	/* files of a mount, one for each slot */
	SERVE_STATES_COPY,	/* scratch copies, reflinked where possible */
	SERVE_STATES_NBD,	/* files and NBD exports */
	SERVE_STATES_ANY,	/* FUSE, or copies where it is missing */
};

struct serve_states_options {
	enum serve_states_how how;
	const char *dir;	/* existing, private; made things go below it */
	unsigned int slots;
	uint64_t size;		/* bytes of the disk */
	bool exact_reads;	/* for a harness that watches them; FUSE */
};
/*
 * For a harness. With ANY, *why (or NULL) is why it is not FUSE: a message in
 * the presenter's memory. -ENOTSUP as serve_fuse_start().
 */
int serve_states_new(struct platter_crash_presenter **out,
		     const struct serve_states_options *opts, const char **why,
		     struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * A directory in which every name of a state is a file that can be written,
 * with a private copy in memory that is gone some seconds after the last has
 * closed it, or when it is removed. Listed are those in use. `opts` has a path,
 * which is a folder, and no disks; the rest is as with serve_fuse_start(), and
 * serve_fuse_stop() ends it. `memory`: bytes for what is written, of all.
 */
int serve_fuse_states(struct serve_fuse **out,
		      const struct serve_fuse_options *opts,
		      struct platter_crash *crash, uint64_t memory,
		      struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- fuse-report.c: what became of a server, for serve_fuse_umount() ---- */

struct serve_report;

int serve_report_new(struct serve_report **out, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* For serve_fuse_options. */
const char *serve_report_source(const struct serve_report *report);
/*
 * Tell those who ask, now that all images are closed; NULL or code 0 is good
 * news. Frees. `exiting`: they go on to wait until this process has ended.
 * `report` NULL is ok. Returns how many were told.
 */
unsigned int serve_report_send(struct serve_report *report,
			       const struct platter_error *err, bool exiting);

/* ---- nbdkit.c: NBD by a child process that runs nbdkit ---- */

struct serve_nbd;

struct serve_nbd_options {
	const char *socket;	/* path of a Unix socket to make; or NULL and */
	const char *port;	/* a TCP port of 127.0.0.1, or ADDRESS:PORT */
	/*
	 * What the plugin is to serve, "key=value", NULL-terminated: see
	 * doc/man/nbdkit-platter-plugin.1.scd. The child opens the images.
	 */
	const char *const *params;
	bool read_only;
	unsigned int threads;	/* 0 = nbdkit's default */
};

/*
 * Start nbdkit and wait until it accepts connections. -ENOTSUP: nbdkit or the
 * plugin was not found, with the remedy. What nbdkit said when it would not
 * start is in the message.
 */
int serve_nbd_start(struct serve_nbd **out,
		    const struct serve_nbd_options *opts,
		    struct platter_error *err) PLATTER_MUST_CHECK;
/* nbd+unix:///NAME?socket=PATH or nbd://localhost:PORT/NAME; caller frees. */
char *serve_nbd_uri(const struct serve_nbd *nbd, const char *name);
/* A descriptor that becomes readable when nbdkit has exited, for poll(). */
int serve_nbd_fd(const struct serve_nbd *nbd);
/*
 * Ask it to end, wait until it has flushed and closed everything, and free.
 * The error tells of a bad exit. NULL is ok.
 */
int serve_nbd_stop(struct serve_nbd *nbd, struct platter_error *err);

/* ---- session.c: a running server's control socket ---- */

/* The environment variable that names the socket to a command run by it. */
#define SERVE_SESSION_ENV	"PLATTER_SESSION"

struct serve_session;

/*
 * Listen on a new Unix socket at `path` (mode 0600), in a thread, and carry out
 * what clients ask of the disks. The longest path is 107 bytes.
 */
int serve_session_start(struct serve_session **out, const char *path,
			const struct serve_disk *disks, size_t nr_disks,
			struct platter_error *err) PLATTER_MUST_CHECK;
/* Close, remove the socket, free. NULL is ok. */
void serve_session_stop(struct serve_session *session);

/*
 * The other side. `path` NULL takes SERVE_SESSION_ENV; without either -ENOENT
 * with the remedy. Errors of the server come back as they were there.
 */
/* A mark in the log of every disk. */
int serve_session_mark(const char *path, const char *text, size_t len,
		       struct platter_error *err) PLATTER_MUST_CHECK;
int serve_session_pause(const char *path, struct platter_error *err)
	PLATTER_MUST_CHECK;
int serve_session_resume(const char *path, struct platter_error *err)
	PLATTER_MUST_CHECK;
int serve_session_end(const char *path, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Of disk number `disk`; -ERANGE behind the last. */
int serve_session_stats(const char *path, size_t disk,
			struct platter_record_stats *out,
			struct platter_error *err) PLATTER_MUST_CHECK;

#endif
