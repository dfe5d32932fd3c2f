/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checker fs=NAME: recover as the file system would when it is mounted, then
 * check.
 *
 * What counts are the exit codes of the file systems' own programs; their man
 * pages have them. Where a program's recovery and the kernel's differ, the
 * comments below say what is done about it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "crash/builtin.h"

typedef int check_fn(struct plt_builtin *b,
		     const struct platter_crash_task *task,
		     struct platter_crash_result *result,
		     struct platter_error *err);

/* 0 = one of the accepted codes (bits of `ok`), else a failure. */
static int judge(struct platter_crash_result *result, const char *what,
		 unsigned int ok, const char *meaning)
{
	if (!((unsigned int)result->status & ~ok))
		return 0;
	return plt_builtin_verdict(result, PLATTER_CRASH_FAIL,
				   "%s: exit status %d%s%s", what,
				   result->status, *meaning ? ": " : "",
				   meaning);
}

/* ---- ext2, ext3, ext4 ---- */

#define E2FSCK_FIXED	3u	/* 1: corrected, 2: and reboot */

static const char *e2fsck_meaning(int status)
{
	if (status & 8)
		return "it could not be checked";
	if (status & 4)
		return "errors are left";
	return "";
}

/*
 * journal_only replays the journal and works off the list of inodes that were
 * unlinked or truncated when the power went, as the kernel does. It does so
 * only without -f, which makes it repair everything: then nothing would be
 * left to find. A check it forces by itself, of what is marked as broken or
 * has no journal, mends with -p only what is safe to mend.
 */
static int replay_ext(struct plt_builtin *b,
		      const struct platter_crash_task *task,
		      struct platter_crash_result *result,
		      struct platter_error *err)
{
	int rc;

	rc = plt_builtin_run(b, task, result, err, PLT_PROGRAM_E2FSCK, "-p",
			     "-E", "journal_only", task->path, (char *)NULL);
	if (!rc)
		rc = judge(result, "e2fsck -p -E journal_only", E2FSCK_FIXED,
			   e2fsck_meaning(result->status));
	if (rc || !result->output ||
	    !strstr(result->output, "with errors, check forced"))
		return rc;
	return plt_builtin_verdict(result, PLATTER_CRASH_FAIL,
				   "the file system is marked as broken");
}

static int check_ext(struct plt_builtin *b,
		     const struct platter_crash_task *task,
		     struct platter_crash_result *result,
		     struct platter_error *err)
{
	int rc;

	rc = replay_ext(b, task, result, err);
	if (!rc)
		rc = plt_builtin_run(b, task, result, err, PLT_PROGRAM_E2FSCK,
				     "-fn", task->path, (char *)NULL);
	return rc ? rc : judge(result, "e2fsck -fn", 0,
			       e2fsck_meaning(result->status));
}

/* ---- xfs ---- */

/*
 * The log is not replayed by any program but the kernel, and what is not
 * replayed is inconsistent without being wrong. What can be said of it is that
 * its records can be read, and that the rest can be taken for a file system.
 */
static int check_dirty_xfs(struct plt_builtin *b,
			   const struct platter_crash_task *task,
			   struct platter_crash_result *result,
			   struct platter_error *err)
{
	int rc;

	rc = plt_builtin_run(b, task, result, err, PLT_PROGRAM_XFS_REPAIR,
			     "-L", task->path, (char *)NULL);
	return rc ? rc : judge(result, "xfs_repair -L", 0, "");
}

static int check_xfs(struct plt_builtin *b,
		     const struct platter_crash_task *task,
		     struct platter_crash_result *result,
		     struct platter_error *err)
{
	int rc;

	if (b->mounts) {
		rc = plt_builtin_mount(b, task, PLT_FS_XFS, ":", result, err);
	} else {
		rc = plt_builtin_run(b, task, result, err,
				     PLT_PROGRAM_XFS_LOGPRINT, "-t",
				     task->path, (char *)NULL);
		if (!rc)
			rc = judge(result, "xfs_logprint -t", 0,
				   "the log cannot be read");
		if (!rc && result->output &&
		    strstr(result->output, "<DIRTY>"))
			return check_dirty_xfs(b, task, result, err);
	}
	if (!rc)
		rc = plt_builtin_run(b, task, result, err,
				     PLT_PROGRAM_XFS_REPAIR, "-n", task->path,
				     (char *)NULL);
	return rc ? rc : judge(result, "xfs_repair -n", 0, "errors were found");
}

/* ---- btrfs ---- */

/* Source: fs/btrfs/accessors.h, struct btrfs_super_block. */
#define BTRFS_LOG_ROOT	(65536u + 96u)

static int btrfs_has_log(struct platter_image *img, bool *out,
			 struct platter_error *err)
{
	uint8_t buf[8] = { 0 };
	int rc = 0;

	if (platter_image_size(img) >= BTRFS_LOG_ROOT + sizeof(buf))
		rc = platter_image_pread(img, buf, sizeof(buf), BTRFS_LOG_ROOT,
					 err);
	*out = plt_le64(buf);
	return rc;
}

static int btrfs_check(struct plt_builtin *b,
		       const struct platter_crash_task *task,
		       struct platter_crash_result *result,
		       struct platter_error *err)
{
	int rc = plt_builtin_run(b, task, result, err, PLT_PROGRAM_BTRFS,
				 "check", "--readonly", task->path,
				 (char *)NULL);

	return rc ? rc : judge(result, "btrfs check --readonly", 0,
			       "errors were found");
}

/*
 * What has been committed must be whole as it is. What was fsynced since is in
 * a log tree, which only the kernel replays.
 */
static int check_btrfs(struct plt_builtin *b,
		       const struct platter_crash_task *task,
		       struct platter_crash_result *result,
		       struct platter_error *err)
{
	bool log = false;
	int rc;

	rc = btrfs_check(b, task, result, err);
	if (!rc && b->mounts)
		rc = btrfs_has_log(task->img, &log, err);
	if (rc || !log)
		return rc;
	rc = plt_builtin_mount(b, task, PLT_FS_BTRFS, ":", result, err);
	return rc ? rc : btrfs_check(b, task, result, err);
}

/* ---- vfat ---- */

/*
 * Nothing is recovered on mount. What fsck.fat -a mends without asking (the
 * dirty flag, lost clusters, FATs that differ) is what a crash may leave; what
 * it mends may show it something else to mend.
 */
#define FAT_TURNS	4u

static int check_vfat(struct plt_builtin *b,
		      const struct platter_crash_task *task,
		      struct platter_crash_result *result,
		      struct platter_error *err)
{
	int rc = 0;

	result->status = 1;
	for (unsigned int i = 0; !rc && result->status && i < FAT_TURNS; i++) {
		rc = plt_builtin_run(b, task, result, err,
				     PLT_PROGRAM_FSCK_FAT, "-a", task->path,
				     (char *)NULL);
		if (!rc)
			rc = judge(result, "fsck.fat -a", 1,
				   "it could not be mended");
	}
	if (!rc)
		rc = plt_builtin_run(b, task, result, err,
				     PLT_PROGRAM_FSCK_FAT, "-n", task->path,
				     (char *)NULL);
	return rc ? rc : judge(result, "fsck.fat -n", 0, "errors are left");
}

/* ---- ntfs ---- */

static int check_ntfs(struct plt_builtin *b,
		      const struct platter_crash_task *task,
		      struct platter_crash_result *result,
		      struct platter_error *err)
{
	int rc;

	rc = plt_builtin_run(b, task, result, err, PLT_PROGRAM_NTFSFIX,
			     task->path, (char *)NULL);
	if (!rc)
		rc = judge(result, "ntfsfix", 0, "it could not be mended");
	if (!rc)
		rc = plt_builtin_run(b, task, result, err, PLT_PROGRAM_NTFSFIX,
				     "-n", task->path, (char *)NULL);
	return rc ? rc : judge(result, "ntfsfix -n", 0, "errors are left");
}

/* ---- the checker ---- */

static const struct {
	check_fn *check;
	enum plt_program needs[4];
	size_t nr;
} systems[PLT_NR_FS] = {
	[PLT_FS_EXT] = { check_ext, { PLT_PROGRAM_E2FSCK }, 1 },
	[PLT_FS_XFS] = { check_xfs, { PLT_PROGRAM_XFS_REPAIR,
				      PLT_PROGRAM_XFS_LOGPRINT }, 2 },
	[PLT_FS_BTRFS] = { check_btrfs, { PLT_PROGRAM_BTRFS }, 1 },
	[PLT_FS_VFAT] = { check_vfat, { PLT_PROGRAM_FSCK_FAT }, 1 },
	[PLT_FS_NTFS] = { check_ntfs, { PLT_PROGRAM_NTFSFIX }, 1 },
};

static int fs_open(struct plt_builtin *b, struct platter_error *err)
{
	int rc;

	rc = plt_fs_parse(&b->fs, b->value, err);
	for (size_t i = 0; !rc && i < systems[b->fs].nr; i++)
		rc = plt_builtin_need(b, systems[b->fs].needs[i], err);
	if (!rc)
		rc = plt_builtin_start(b, err);
	if (rc || (b->fs != PLT_FS_XFS && b->fs != PLT_FS_BTRFS))
		return rc;
	rc = plt_builtin_try_mounts(b, b->fs, err);
	return rc || !b->mounts ? rc : plt_builtin_make_dir(b, err);
}

static int fs_check(struct plt_builtin *b,
		    const struct platter_crash_task *task,
		    struct platter_crash_result *result,
		    struct platter_error *err)
{
	return systems[b->fs].check(b, task, result, err);
}

static void fs_close(struct plt_builtin *b)
{
	(void)b;
}

const struct plt_builtin_kind plt_builtin_fs = {
	.name = "fs",
	.values = "ext4, xfs, btrfs, vfat or ntfs",
	.needs_path = true,
	.open = fs_open,
	.check = fs_check,
	.close = fs_close,
};
