/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checkers by name: programs of others, their private folder, and verdicts.
 *
 * The file systems' programs lie in /usr/sbin, which the PATH of ordinary users
 * does not have; they need no rights to look at a file.
 */
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "crash/builtin.h"
#include "crash/command.h"

#define GRACE_MS	1000u	/* from SIGTERM to SIGKILL */
#define WORDS		24u	/* of a command, at most */
/* Exit codes of the script that mounts. */
#define NOT_MOUNTED	40
#define NO_LOOP		41
#define OUTPUT_NOTES	(16u << 10)	/* bytes of lines added */

static const struct {
	const char *name, *package;
} programs[PLT_NR_PROGRAMS] = {
	[PLT_PROGRAM_E2FSCK] = { "e2fsck", "e2fsprogs" },
	[PLT_PROGRAM_DEBUGFS] = { "debugfs", "e2fsprogs" },
	[PLT_PROGRAM_XFS_REPAIR] = { "xfs_repair", "xfsprogs" },
	[PLT_PROGRAM_XFS_LOGPRINT] = { "xfs_logprint", "xfsprogs" },
	[PLT_PROGRAM_BTRFS] = { "btrfs", "btrfs-progs" },
	[PLT_PROGRAM_FSCK_FAT] = { "fsck.fat", "dosfstools" },
	[PLT_PROGRAM_MCOPY] = { "mcopy", "mtools" },
	[PLT_PROGRAM_NTFSFIX] = { "ntfsfix", "ntfs-3g" },
	[PLT_PROGRAM_NTFSCAT] = { "ntfscat", "ntfs-3g" },
	[PLT_PROGRAM_SQLITE3] = { "sqlite3", "sqlite3" },
	[PLT_PROGRAM_UNSHARE] = { "unshare", "util-linux" },
	[PLT_PROGRAM_SH] = { "sh", "dash" },
};

/* ---- finding them ---- */

int plt_builtin_need(struct plt_builtin *b, enum plt_program which,
		     struct platter_error *err)
{
	static const char *const folders[] = { "", "/usr/sbin/", "/sbin/" };
	const char *name = programs[which].name;
	char path[64];

	for (size_t i = 0; i < PLT_ARRAY_SIZE(folders); i++) {
		if (b->program[which])
			return 0;
		snprintf(path, sizeof(path), "%s%s", folders[i], name);
		if (platter_program_find(&b->program[which], path, NULL))
			b->program[which] = NULL;
	}
	if (b->program[which])
		return 0;
	return plt_err_set(err, -ENOENT, "%s: needs the program %s, which is "
			   "neither in PATH nor in /usr/sbin; it is in "
			   "Debian's package %s", b->name, name,
			   programs[which].package);
}

int plt_builtin_start(struct plt_builtin *b, struct platter_error *err)
{
	return b->keepers ? 0 : plt_keepers_new(&b->keepers, b->slots, GRACE_MS,
					      err);
}

/* ---- the kernel's file systems ---- */

int plt_builtin_try_mounts(struct plt_builtin *b, enum plt_fs fs,
			   struct platter_error *err)
{
	static const char script[] =
		"test -w /dev/loop-control && "
		"{ grep -qw \"$1\" /proc/filesystems || modprobe -q \"$1\"; }";
	const struct platter_crash_task task = { .timeout_ms = 10000 };
	struct platter_crash_result result = { 0 };
	int rc;

	if (geteuid() || plt_builtin_need(b, PLT_PROGRAM_UNSHARE, NULL) ||
	    plt_builtin_need(b, PLT_PROGRAM_SH, NULL))
		return 0;
	rc = plt_builtin_run(b, &task, &result, err, PLT_PROGRAM_UNSHARE, "-m",
			     "--", b->program[PLT_PROGRAM_SH], "-c", script,
			     "sh", plt_fs_name(fs), (char *)NULL);
	b->mounts = rc == 0 && result.status == 0;
	platter_crash_result_clear(&result);
	return rc < 0 ? rc : 0;
}

/* ---- the private folder ---- */

int plt_builtin_make_dir(struct plt_builtin *b, struct platter_error *err)
{
	char path[PATH_MAX];
	char *dir;

	if (b->dir)
		return 0;
	dir = plt_asprintf(err, "%s/platter-crash-XXXXXX",
			   b->below ? b->below : plt_tmp_dir());
	if (!dir)
		return -ENOMEM;
	if (!mkdtemp(dir)) {
		int rc = plt_err_errno(err, -errno, "%s", dir);

		free(dir);
		return rc;
	}
	b->dir = dir;
	for (unsigned int i = 0; i < b->slots; i++) {
		plt_builtin_path(b, i, "", path);
		if (mkdir(path, 0700))
			return plt_err_errno(err, -errno, "%s", path);
		plt_builtin_path(b, i, "mnt", path);
		if (mkdir(path, 0700))
			return plt_err_errno(err, -errno, "%s", path);
	}
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path) ? 0 : 0;
}

void plt_builtin_remove_dir(struct plt_builtin *b)
{
	if (b->dir)
		(void)!nftw(b->dir, remove_one, 8,
			    FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	free(b->dir);
	b->dir = NULL;
}

void plt_builtin_path(const struct plt_builtin *b, unsigned int slot,
		      const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%u/%s", b->dir, slot, name);
}

/* ---- verdicts ---- */

int plt_builtin_verdict(struct platter_crash_result *result,
			enum platter_crash_verdict verdict, const char *fmt,
			...)
{
	va_list ap;

	result->verdict = verdict;
	va_start(ap, fmt);
	vsnprintf(result->reason, sizeof(result->reason), fmt, ap);
	va_end(ap);
	return 1;
}

void plt_builtin_note(struct platter_crash_result *result, const char *fmt,
		      ...)
{
	const size_t old = result->output ? result->output_len : 0;
	char line[1024], *all;
	va_list ap;
	size_t len;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	len = strlen(line);
	if (old > PLATTER_CRASH_OUTPUT_MAX - OUTPUT_NOTES ||
	    !(all = realloc(result->output, old + len + 2)))
		return;
	memcpy(all + old, line, len);
	memcpy(all + old + len, "\n", 2);
	result->output = all;
	result->output_len = old + len + 1;
}

/* ---- running them ---- */

/* How much of the task's time is left; 1 for none, as 0 has no limit. */
static unsigned int time_left(const struct platter_crash_task *task,
			      const struct platter_crash_result *result)
{
	const uint64_t used = result->time_ns / 1000000;

	if (!task->timeout_ms)
		return 0;
	return used < task->timeout_ms ? task->timeout_ms - (unsigned int)used :
					 1;
}

int plt_builtin_run(struct plt_builtin *b,
		    const struct platter_crash_task *task,
		    struct platter_crash_result *result,
		    struct platter_error *err, enum plt_program which, ...)
{
	/* The last keeps mtools from doubting small disks. */
	static char locale[] = "LC_ALL=C", mtools[] = "MTOOLS_SKIP_CHECK=1";
	static char *const env[] = { locale, mtools, NULL };
	struct platter_crash_result one = { 0 };
	char *words[WORDS];
	const struct plt_run run = {
		.program = b->program[which],
		.words = words,
		.env = env,
		.timeout_ms = time_left(task, result),
		.keep_output = true,
	};
	size_t n = 0;
	va_list ap;
	int rc;

	words[n++] = (char *)programs[which].name;
	va_start(ap, which);
	do {
		words[n] = va_arg(ap, char *);
	} while (words[n] && ++n < WORDS - 1);
	va_end(ap);
	words[n] = NULL;
	rc = plt_keepers_run(b->keepers, task->slot, &run, &one, err);
	if (rc) {
		platter_crash_result_clear(&one);
		return rc;
	}
	one.time_ns += result->time_ns;
	free(result->output);
	*result = one;
	if (one.verdict != PLATTER_CRASH_ERROR && !one.signal && !one.timed_out)
		return 0;
	return plt_builtin_verdict(result, one.verdict, "%s: %s",
				   programs[which].name, one.reason);
}

/*
 * In a mount namespace of its own, so that nothing is left when it is killed;
 * a loop device goes with its mount.
 */
int plt_builtin_mount(struct plt_builtin *b,
		      const struct platter_crash_task *task, enum plt_fs fs,
		      const char *line, struct platter_crash_result *result,
		      struct platter_error *err)
{
	char *script plt_auto_free = NULL;
	char mnt[PATH_MAX], dir[PATH_MAX];
	int rc;

	plt_builtin_path(b, task->slot, "mnt", mnt);
	plt_builtin_path(b, task->slot, "", dir);
	/* Two disks of one btrfs at a time are one too many for the kernel. */
	script = plt_asprintf(err, "%smount -t %s -o loop,nodev,nosuid,"
			      "noexec%s \"$1\" \"$2\" || {\n"
			      "losetup -f >/dev/null && exit %d\nexit %d; }\n%s\numount \"$2\"\n",
			      fs == PLT_FS_BTRFS ?
			      "exec 9</dev/loop-control\nflock 9\n" : "",
			      plt_fs_name(fs),
			      fs == PLT_FS_XFS ? ",nouuid" : "",
			      NOT_MOUNTED, NO_LOOP, line);
	if (!script)
		return -ENOMEM;
	rc = plt_builtin_run(b, task, result, err, PLT_PROGRAM_UNSHARE, "-m",
			     "--", b->program[PLT_PROGRAM_SH], "-c", script,
			     "sh", task->path, mnt, dir, (char *)NULL);
	if (rc || !result->status)
		return rc;
	if (result->status == NOT_MOUNTED)
		return plt_builtin_verdict(result, PLATTER_CRASH_FAIL,
					   "it cannot be mounted");
	return plt_builtin_verdict(result, PLATTER_CRASH_ERROR,
				   "%s, exit status %d",
				   result->status == NO_LOOP ?
				   "no loop device is free" :
				   "it cannot be unmounted", result->status);
}
