/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files out of file systems, for checkers.
 *
 * All of them with one process where a program can do that: debugfs by a list
 * of commands, the kernel by mounting. xfs and btrfs keep what was fsynced in
 * logs that only the kernel replays.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "crash/builtin.h"

#define SCRIPT		"script"	/* in the slot's folder */

/* Where the i-th file goes, below the slot's folder. */
static void target(const struct plt_builtin *b, unsigned int slot, size_t i,
		   char path[PATH_MAX])
{
	char name[32];

	snprintf(name, sizeof(name), "file-%zu", i);
	plt_builtin_path(b, slot, name, path);
}

static void remove_old(struct plt_builtin *b, unsigned int slot, size_t nr)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < nr; i++) {
		target(b, slot, i, path);
		unlink(path);
	}
}

static FILE *script_new(struct plt_builtin *b, unsigned int slot,
			char path[PATH_MAX], struct platter_error *err)
{
	FILE *f;

	plt_builtin_path(b, slot, SCRIPT, path);
	f = fopen(path, "we");
	if (!f)
		plt_err_errno(err, -errno, "%s", path);
	return f;
}

static int script_end(FILE *f, const char *path, struct platter_error *err)
{
	int rc = ferror(f) ? -EIO : 0;

	if (fclose(f))
		rc = -errno;
	return rc ? plt_err_errno(err, rc, "%s", path) : 0;
}

/* ---- ext ---- */

/* Source: fs/ext4/ext4.h, struct ext4_super_block. */
#define SUPER_INCOMPAT		(1024u + 0x60u)
#define INCOMPAT_RECOVER	0x4u

static int needs_recovery(struct platter_image *img, bool *out,
			  struct platter_error *err)
{
	uint8_t buf[4];
	int rc;

	rc = platter_image_pread(img, buf, sizeof(buf), SUPER_INCOMPAT, err);
	*out = plt_le32(buf) & INCOMPAT_RECOVER;
	return rc;
}

/* debugfs: quotes hold a word together, two of them inside stand for one. */
static void put_quoted(FILE *f, const char *text)
{
	putc('"', f);
	for (; *text; text++) {
		if (*text == '"')
			putc('"', f);
		putc(*text, f);
	}
	putc('"', f);
}

static int write_dumps(struct plt_builtin *b, unsigned int slot,
		       const char *const *paths, size_t nr,
		       char script[PATH_MAX], struct platter_error *err)
{
	FILE *f = script_new(b, slot, script, err);
	char out[PATH_MAX];

	if (!f)
		return err && err->code ? err->code : -EIO;
	for (size_t i = 0; i < nr; i++) {
		target(b, slot, i, out);
		fputs("dump ", f);
		put_quoted(f, paths[i]);
		fputs(" ", f);
		put_quoted(f, out);
		fputs("\n", f);
	}
	return script_end(f, script, err);
}

static int get_ext(struct plt_builtin *b,
		   const struct platter_crash_task *task,
		   const char *const *paths, size_t nr,
		   struct platter_crash_result *result,
		   struct platter_error *err)
{
	char script[PATH_MAX];
	bool recover = false;
	int rc;

	rc = needs_recovery(task->img, &recover, err);
	if (!rc && recover)
		rc = plt_builtin_run(b, task, result, err, PLT_PROGRAM_E2FSCK,
				     "-p", "-E", "journal_only", task->path,
				     (char *)NULL);
	if (!rc)
		rc = write_dumps(b, task->slot, paths, nr, script, err);
	return rc ? rc : plt_builtin_run(b, task, result, err,
					 PLT_PROGRAM_DEBUGFS, "-f", script,
					 task->path, (char *)NULL);
}

/* ---- by the kernel ---- */

static int get_mounted(struct plt_builtin *b,
		       const struct platter_crash_task *task,
		       const char *const *paths, size_t nr,
		       struct platter_crash_result *result,
		       struct platter_error *err)
{
	static const char line[] =
		"n=0\n"
		"while IFS= read -r file; do\n"
		"	[ -f \"$2/$file\" ] &&\n"
		"		cat <\"$2/$file\" >\"$3/file-$n\"\n"
		"	n=$((n + 1))\n"
		"done <\"$3/" SCRIPT "\"\n";
	char script[PATH_MAX];
	FILE *f;
	int rc;

	if (!b->mounts)
		return plt_builtin_verdict(result, PLATTER_CRASH_SKIP,
					   "what is in a log of %s is only to "
					   "be had by mounting, which takes "
					   "root and a loop device",
					   plt_fs_name(b->fs));
	f = script_new(b, task->slot, script, err);
	if (!f)
		return err && err->code ? err->code : -EIO;
	for (size_t i = 0; i < nr; i++)
		fprintf(f, "%s\n", paths[i]);
	rc = script_end(f, script, err);
	return rc ? rc : plt_builtin_mount(b, task, b->fs, line, result, err);
}

/* ---- vfat and ntfs: a process for each file ---- */

static int get_vfat(struct plt_builtin *b,
		    const struct platter_crash_task *task, const char *path,
		    const char *out, struct platter_crash_result *result,
		    struct platter_error *err)
{
	char *name plt_auto_free = plt_asprintf(err, "::%s", path);

	if (!name)
		return -ENOMEM;
	return plt_builtin_run(b, task, result, err, PLT_PROGRAM_MCOPY, "-i",
			       task->path, "-n", "-b", name, out,
			       (char *)NULL);
}

static int get_ntfs(struct plt_builtin *b,
		    const struct platter_crash_task *task, const char *path,
		    const char *out, struct platter_crash_result *result,
		    struct platter_error *err)
{
	static const char line[] =
		"\"$1\" -f \"$2\" \"$3\" >\"$4\" || rm -f \"$4\"";

	return plt_builtin_run(b, task, result, err, PLT_PROGRAM_SH, "-c",
			       line, "sh", b->program[PLT_PROGRAM_NTFSCAT],
			       task->path, path, out, (char *)NULL);
}

static int get_each(struct plt_builtin *b,
		    const struct platter_crash_task *task,
		    const char *const *paths, size_t nr,
		    struct platter_crash_result *result,
		    struct platter_error *err)
{
	char out[PATH_MAX];
	int rc = 0;

	for (size_t i = 0; !rc && i < nr; i++) {
		target(b, task->slot, i, out);
		rc = b->fs == PLT_FS_VFAT ?
		     get_vfat(b, task, paths[i], out, result, err) :
		     get_ntfs(b, task, paths[i], out, result, err);
	}
	return rc;
}

/* ---- any of them ---- */

static const struct {
	enum plt_program needs[2];
	size_t nr;
} needs[PLT_NR_FS] = {
	[PLT_FS_EXT] = { { PLT_PROGRAM_E2FSCK, PLT_PROGRAM_DEBUGFS }, 2 },
	[PLT_FS_VFAT] = { { PLT_PROGRAM_MCOPY }, 1 },
	[PLT_FS_NTFS] = { { PLT_PROGRAM_NTFSCAT, PLT_PROGRAM_SH }, 2 },
};

/* What the disk holds at the end of the log. */
static int probe_end(struct plt_builtin *b, struct platter_error *err)
{
	struct platter_crash_state *state;
	struct platter_image *img;
	int rc;

	rc = plt_crash_state_new(&state, b->crash, b->crash->nr,
				 PLATTER_CRASH_DISCARD_ZERO,
				 PLATTER_CRASH_KEPT, NULL, 0, err);
	if (rc)
		return rc;
	rc = platter_crash_state_image(&img, state, err);
	if (!rc) {
		rc = plt_fs_probe(img, &b->fs, err);
		platter_image_close(img, NULL);
	}
	platter_crash_state_unref(state);
	if (!rc && b->fs == PLT_FS_NONE)
		rc = plt_err_set(err, -EINVAL, "%s: there is no file system "
				 "that is known at the end of the log; --fs "
				 "says which it is", b->name);
	return rc;
}

int plt_builtin_files_open(struct plt_builtin *b, struct platter_error *err)
{
	int rc = b->fs == PLT_FS_NONE ? probe_end(b, err) : 0;

	for (size_t i = 0; !rc && i < needs[b->fs].nr; i++)
		rc = plt_builtin_need(b, needs[b->fs].needs[i], err);
	if (!rc)
		rc = plt_builtin_start(b, err);
	if (!rc)
		rc = plt_builtin_make_dir(b, err);
	if (!rc && (b->fs == PLT_FS_XFS || b->fs == PLT_FS_BTRFS))
		rc = plt_builtin_try_mounts(b, b->fs, err);
	return rc;
}

int plt_builtin_files_get(struct plt_builtin *b,
			  const struct platter_crash_task *task,
			  const char *const *paths, size_t nr,
			  struct platter_crash_result *result,
			  struct platter_error *err)
{
	remove_old(b, task->slot, nr);
	switch (b->fs) {
	case PLT_FS_EXT:
		return get_ext(b, task, paths, nr, result, err);
	case PLT_FS_XFS:
	case PLT_FS_BTRFS:
		return get_mounted(b, task, paths, nr, result, err);
	default:
		return get_each(b, task, paths, nr, result, err);
	}
}
