/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checkers by name: their names, and the beginning and end of each.
 *
 * Each of them does to a state what would happen to the disk when the machine
 * comes up again, and then looks whether all is well. What the programs prove
 * and what they do not is told in platter-crash-explore(1).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/endian.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "crash/builtin.h"
#include "crash/command.h"

static const struct plt_builtin_kind *const kinds[] = {
	&plt_builtin_fs,
	&plt_builtin_image,
	&plt_builtin_sqlite,
	&plt_builtin_acked,
};

/* ---- file systems ---- */

static const struct {
	const char *name;
	enum plt_fs fs;
} fs_names[] = {
	{ "ext4", PLT_FS_EXT },
	{ "xfs", PLT_FS_XFS },
	{ "btrfs", PLT_FS_BTRFS },
	{ "vfat", PLT_FS_VFAT },
	{ "ntfs", PLT_FS_NTFS },
	{ "ext2", PLT_FS_EXT },
	{ "ext3", PLT_FS_EXT },
};

int plt_fs_parse(enum plt_fs *out, const char *name, struct platter_error *err)
{
	for (size_t i = 0; i < PLT_ARRAY_SIZE(fs_names); i++) {
		*out = fs_names[i].fs;
		if (!strcmp(name, fs_names[i].name))
			return 0;
	}
	return plt_err_set(err, -EINVAL, "unknown file system \"%s\"; there "
			   "are ext4 (also as ext2 and ext3), xfs, btrfs, vfat "
			   "and ntfs", name);
}

const char *plt_fs_name(enum plt_fs fs)
{
	for (size_t i = 0; i < PLT_ARRAY_SIZE(fs_names); i++) {
		if (fs_names[i].fs == fs)
			return fs_names[i].name;
	}
	return "none";
}

/* Sources: the magic numbers of file(1). */
static const struct {
	enum plt_fs fs;
	uint64_t offset;
	const char *bytes;
	size_t len;
} magics[] = {
	{ PLT_FS_XFS, 0, "XFSB", 4 },
	{ PLT_FS_EXT, 1080, "\x53\xef", 2 },
	{ PLT_FS_BTRFS, 65600, "_BHRfS_M", 8 },
	{ PLT_FS_NTFS, 3, "NTFS    ", 8 },
	{ PLT_FS_VFAT, 82, "FAT32   ", 8 },
	{ PLT_FS_VFAT, 54, "FAT", 3 },
};

int plt_fs_probe(struct platter_image *img, enum plt_fs *out,
		 struct platter_error *err)
{
	char buf[8];
	int rc;

	*out = PLT_FS_NONE;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(magics); i++) {
		if (magics[i].offset + sizeof(buf) > platter_image_size(img))
			continue;
		rc = platter_image_pread(img, buf, sizeof(buf),
					 magics[i].offset, err);
		if (rc)
			return rc;
		if (memcmp(buf, magics[i].bytes, magics[i].len))
			continue;
		*out = magics[i].fs;
		break;
	}
	return 0;
}

/* ---- a checker ---- */

static void builtin_free(struct platter_crash_checker *checker)
{
	struct plt_builtin *b = (struct plt_builtin *)checker;

	b->kind->close(b);
	plt_keepers_free(b->keepers);
	plt_builtin_remove_dir(b);
	for (size_t i = 0; i < PLT_NR_PROGRAMS; i++)
		free(b->program[i]);
	free(b->name);
	free(b);
}

static void builtin_stop(struct platter_crash_checker *checker)
{
	struct plt_builtin *b = (struct plt_builtin *)checker;

	if (b->keepers)
		plt_keepers_stop(b->keepers);
}

uint64_t plt_builtin_point(const struct platter_crash_task *task)
{
	const struct platter_crash_state *state = task->state;

	while (state->crash->outer)
		state = state->crash->outer;
	return state->point;
}

static int builtin_check(struct platter_crash_checker *checker,
			 const struct platter_crash_task *task,
			 struct platter_crash_result *result,
			 struct platter_error *err)
{
	struct plt_builtin *b = (struct plt_builtin *)checker;
	uint64_t begin;
	int rc;

	*result = (struct platter_crash_result) { .status = -1 };
	begin = plt_now_ns();
	rc = b->kind->check(b, task, result, err);
	result->time_ns = plt_now_ns() - begin;
	if (rc < 0)
		return rc;
	if (rc == 0) {
		result->verdict = PLATTER_CRASH_PASS;
		result->status = 0;
	}
	if (result->verdict != PLATTER_CRASH_PASS)
		return 0;
	free(result->output);
	result->output = NULL;
	result->output_len = 0;
	result->reason[0] = '\0';
	return 0;
}

/* "fs=ext4, xfs, ...; image=FORMAT; ..." */
static int unknown(const char *spec, struct platter_error *err)
{
	char list[256] = "";

	for (size_t i = 0; i < PLT_ARRAY_SIZE(kinds); i++) {
		strcat(list, i ? "; " : "");
		strcat(list, kinds[i]->name);
		strcat(list, "=");
		strcat(list, kinds[i]->values);
	}
	return plt_err_set(err, -EINVAL, "there is no checker \"%s\"; there "
			   "are %s", spec, list);
}

static const struct plt_builtin_kind *find(const char *spec)
{
	for (size_t i = 0; i < PLT_ARRAY_SIZE(kinds); i++) {
		const size_t len = strlen(kinds[i]->name);

		if (!strncmp(spec, kinds[i]->name, len) && spec[len] == '=')
			return kinds[i];
	}
	return NULL;
}

int platter_crash_builtin_new(struct platter_crash_checker **out,
			      const struct platter_crash_builtin_options *opts,
			      struct platter_error *err)
{
	const struct plt_builtin_kind *kind = find(opts->spec);
	struct plt_builtin *b;
	int rc = 0;

	if (!kind)
		return unknown(opts->spec, err);
	b = plt_calloc(1, sizeof(*b), err);
	if (!b)
		return -ENOMEM;
	b->kind = kind;
	b->crash = opts->crash;
	b->slots = opts->slots ? opts->slots : 1;
	b->below = opts->dir;
	b->name = plt_strdup(opts->spec, err);
	if (!b->name) {
		rc = -ENOMEM;
		goto out;
	}
	b->value = b->name + strlen(kind->name) + 1;
	b->checker = (struct platter_crash_checker) {
		.check = builtin_check,
		.stop = builtin_stop,
		.free = builtin_free,
		.name = b->name,
		.needs_path = kind->needs_path,
	};
	if (opts->fs)
		rc = plt_fs_parse(&b->fs, opts->fs, err);
	if (!rc)
		rc = kind->open(b, err);
out:
	if (rc)
		builtin_free(&b->checker);
	else
		*out = &b->checker;
	return rc;
}
