/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checkers by name: what their files share.
 *
 *	builtin.c		names, and the beginning and end of a checker
 *	builtin-tool.c		programs of others, and verdicts
 *	builtin-fs.c		file systems
 *	builtin-files.c		files out of file systems
 *	builtin-promise.c	what marks promise
 *	builtin-acked.c		... of files
 *	builtin-sqlite.c	databases, and what is promised of them
 *	builtin-image.c		images of a format
 *	builtin-guest.c		... and what a guest had flushed to them
 *
 * Functions that may decide on a state return 0 to go on, 1 when `result` has
 * the verdict, or a negative errno, which is trouble.
 */
#ifndef PLT_CRASH_BUILTIN_H
#define PLT_CRASH_BUILTIN_H

#include <limits.h>

#include "crash/crash.h"

enum plt_fs {
	PLT_FS_NONE,
	PLT_FS_EXT,
	PLT_FS_XFS,
	PLT_FS_BTRFS,
	PLT_FS_VFAT,
	PLT_FS_NTFS,
	PLT_NR_FS,
};

enum plt_program {
	PLT_PROGRAM_E2FSCK,
	PLT_PROGRAM_DEBUGFS,
	PLT_PROGRAM_XFS_REPAIR,
	PLT_PROGRAM_XFS_LOGPRINT,
	PLT_PROGRAM_BTRFS,
	PLT_PROGRAM_FSCK_FAT,
	PLT_PROGRAM_MCOPY,
	PLT_PROGRAM_NTFSFIX,
	PLT_PROGRAM_NTFSCAT,
	PLT_PROGRAM_SQLITE3,
	PLT_PROGRAM_UNSHARE,
	PLT_PROGRAM_SH,
	PLT_NR_PROGRAMS,
};

struct plt_builtin;

struct plt_builtin_kind {
	const char *name;	/* before the '=' */
	const char *values;	/* for people */
	bool needs_path;
	/* The programs and all else it needs; -ENOENT, -EINVAL. */
	int (*open)(struct plt_builtin *b, struct platter_error *err);
	/* As a checker's; the verdict is PASS unless it says otherwise. */
	int (*check)(struct plt_builtin *b,
		     const struct platter_crash_task *task,
		     struct platter_crash_result *result,
		     struct platter_error *err);
	void (*close)(struct plt_builtin *b);	/* also when open failed */
};
extern const struct plt_builtin_kind plt_builtin_acked;
extern const struct plt_builtin_kind plt_builtin_fs;
extern const struct plt_builtin_kind plt_builtin_image;
extern const struct plt_builtin_kind plt_builtin_sqlite;

struct plt_builtin {
	struct platter_crash_checker checker;	/* first */
	const struct plt_builtin_kind *kind;
	struct platter_crash *crash;
	char *name;		/* the whole spec */
	const char *value;	/* in it, behind the '=' */
	enum plt_fs fs;		/* NONE: to be probed */
	unsigned int slots;
	struct plt_keepers *keepers;
	const char *below;	/* `dir` goes there; while open() runs */
	char *dir;		/* private, with a folder for each slot */
	char *program[PLT_NR_PROGRAMS];	/* absolute paths, once needed */
	bool mounts;		/* the kernel may be asked to mount */
	void *state;		/* the kind's own */
};

/* ---- builtin.c ---- */

/* -EINVAL lists the names. */
int plt_fs_parse(enum plt_fs *out, const char *name, struct platter_error *err)
	PLATTER_MUST_CHECK;
const char *plt_fs_name(enum plt_fs fs);
/* By its magic number; NONE when there is none that is known. */
int plt_fs_probe(struct platter_image *img, enum plt_fs *out,
		 struct platter_error *err) PLATTER_MUST_CHECK;

/* The point of a state; of one of a recovery, that of the first crash. */
uint64_t plt_builtin_point(const struct platter_crash_task *task);

/* ---- builtin-tool.c ---- */

/* Find one, also where only root's PATH leads; -ENOENT names its package. */
int plt_builtin_need(struct plt_builtin *b, enum plt_program which,
		     struct platter_error *err) PLATTER_MUST_CHECK;
/* The keepers; no program can be run before. */
int plt_builtin_start(struct plt_builtin *b, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Sets b->mounts: root, loop devices and a file system the kernel has. */
int plt_builtin_try_mounts(struct plt_builtin *b, enum plt_fs fs,
			   struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Mount the task's path, and run a line of sh while it is: $2 is where, $3 the
 * slot's folder. What cannot be mounted is a FAIL, no loop device an ERROR.
 */
int plt_builtin_mount(struct plt_builtin *b,
		      const struct platter_crash_task *task, enum plt_fs fs,
		      const char *line, struct platter_crash_result *result,
		      struct platter_error *err) PLATTER_MUST_CHECK;
/* The private folder; before there are threads. */
int plt_builtin_make_dir(struct plt_builtin *b, struct platter_error *err)
	PLATTER_MUST_CHECK;
void plt_builtin_remove_dir(struct plt_builtin *b);
/* DIR/SLOT/NAME into `path`. */
void plt_builtin_path(const struct plt_builtin *b, unsigned int slot,
		      const char *name, char path[PATH_MAX]);
/*
 * Run a program with these arguments, ended by NULL, within what is left of the
 * task's time (result->time_ns counts what was used). 0: it exited, with
 * result->status and its output.
 */
int plt_builtin_run(struct plt_builtin *b,
		    const struct platter_crash_task *task,
		    struct platter_crash_result *result,
		    struct platter_error *err, enum plt_program which, ...)
	PLATTER_MUST_CHECK __attribute__((sentinel));
/* Decide; returns 1. */
int plt_builtin_verdict(struct platter_crash_result *result,
			enum platter_crash_verdict verdict, const char *fmt,
			...) PLATTER_PRINTF(3, 4);
/* Add a line to the output of a failure; no memory only loses it. */
void plt_builtin_note(struct platter_crash_result *result, const char *fmt,
		      ...) PLATTER_PRINTF(2, 3);

/* ---- builtin-files.c ---- */

/*
 * All it takes to get at files, of b->fs or, when that is NONE, of the file
 * system at the end of the log, which is then b->fs.
 */
int plt_builtin_files_open(struct plt_builtin *b, struct platter_error *err)
	PLATTER_MUST_CHECK;
/*
 * Copy `nr` files to "file-0" and on in the slot's folder, as they are once
 * the file system has recovered; no file is made for one that is missing. SKIP
 * where this cannot be done without root. Old ones are removed.
 */
int plt_builtin_files_get(struct plt_builtin *b,
			  const struct platter_crash_task *task,
			  const char *const *paths, size_t nr,
			  struct platter_crash_result *result,
			  struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- builtin-promise.c ---- */

struct plt_promise {
	uint64_t entry;		/* the mark that made it */
	/*
	 * The mark that took it back or made another one of the same thing;
	 * UINT64_MAX: none.
	 */
	uint64_t until;
	bool removed;		/* nothing is promised any more */
	bool sql;		/* `what` is a query that is to be true */
	char *what;		/* path or query */
	const char *algorithm;	/* of the hash; static */
	char *hex;
	char *mark;		/* its name for people */
};
struct plt_promises {
	struct plt_promise *promise;	/* by entry */
	size_t nr, room;
};
/* Of the texts of all marks. */
int plt_promises_of_marks(struct plt_promises *p, struct platter_crash *crash,
			  struct platter_error *err) PLATTER_MUST_CHECK;
/* Of a folder of MARK.md5 and the like, or LIST@MARK-% for a list of hashes. */
int plt_promises_of_files(struct plt_promises *p, struct platter_crash *crash,
			  const char *where, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* To be called once all are there. */
int plt_promises_sort(struct plt_promises *p, struct platter_error *err)
	PLATTER_MUST_CHECK;
void plt_promises_free(struct plt_promises *p);

static inline bool plt_promise_holds(const struct plt_promise *p,
				     uint64_t point)
{
	return !p->removed && p->entry < point && p->until >= point;
}

/* ---- builtin-guest.c ---- */

struct plt_guests;

int plt_guests_new(struct plt_guests **out, struct platter_crash *crash,
		   const char *format, struct platter_error *err)
	PLATTER_MUST_CHECK;
void plt_guests_free(struct plt_guests *g);	/* NULL is ok */
/* `img` is an image of the format on top of the state. */
int plt_guests_compare(struct plt_guests *g,
		       const struct platter_crash_state *state,
		       struct platter_image *img,
		       struct platter_crash_result *result,
		       struct platter_error *err) PLATTER_MUST_CHECK;

#endif
