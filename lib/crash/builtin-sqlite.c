/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checker sqlite=PATH: a database is whole after its own recovery, and what
 * was committed is in it.
 *
 * The database is taken out of the file system with its journal and its
 * write-ahead log, under one name, so that sqlite3 recovers from them as it
 * would there; the file of shared memory is not, as it would not survive.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "crash/builtin.h"

#define PIECE	(1u << 20)	/* bytes of a disk copied at once */

/* Where the files of plt_builtin_files_get() are to go. */
static const struct {
	const char *suffix, *name;
} files[] = {
	{ "", "db" },
	{ "-journal", "db-journal" },
	{ "-wal", "db-wal" },
};
#define NR_FILES PLT_ARRAY_SIZE(files)

struct sqlite {
	struct plt_promises promises;
	char *path[NR_FILES];	/* in the file system */
};

/* ---- taking it out ---- */

static void remove_db(struct plt_builtin *b, unsigned int slot)
{
	static const char *const names[] = {
		"db", "db-journal", "db-wal", "db-shm", "answers"
	};
	char path[PATH_MAX];

	for (size_t i = 0; i < PLT_ARRAY_SIZE(names); i++) {
		plt_builtin_path(b, slot, names[i], path);
		unlink(path);
	}
}

static int copy_to(int fd, struct platter_image *img,
		   struct platter_error *err)
{
	const uint64_t size = platter_image_size(img);
	char *buf plt_auto_free = plt_calloc(1, PIECE, err);
	uint64_t len;
	int rc = buf ? 0 : -ENOMEM;

	for (uint64_t at = 0; !rc && at < size; at += len) {
		len = PLT_MIN(size - at, (uint64_t)PIECE);
		rc = platter_image_pread(img, buf, len, at, err);
		if (!rc && !plt_is_zero(buf, len))
			rc = plt_pwrite(fd, buf, len, at);
	}
	if (!rc && ftruncate(fd, (off_t)size))
		rc = -errno;
	return rc;
}

static int copy_disk(struct plt_builtin *b,
		     const struct platter_crash_task *task,
		     struct platter_error *err)
{
	char path[PATH_MAX];
	int fd plt_auto_fd = -1;
	int rc;

	plt_builtin_path(b, task->slot, files[0].name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	rc = fd < 0 ? -errno : copy_to(fd, task->img, err);
	return rc && err && !err->code ? plt_err_errno(err, rc, "%s", path) :
					 rc;
}

/* Before anything is promised there need not be one. */
static int missing(const struct plt_builtin *b,
		   const struct platter_crash_task *task,
		   struct platter_crash_result *result)
{
	const struct sqlite *s = b->state;
	const uint64_t point = plt_builtin_point(task);

	for (size_t i = 0; i < s->promises.nr; i++) {
		const struct plt_promise *p = &s->promises.promise[i];

		if (p->sql && plt_promise_holds(p, point))
			return plt_builtin_verdict(result, PLATTER_CRASH_FAIL,
						   "there is no %s, but "
						   "acknowledged by mark %s: "
						   "%s", b->value, p->mark,
						   p->what);
	}
	return plt_builtin_verdict(result, PLATTER_CRASH_SKIP,
				   "there is no %s", b->value);
}

/* The database in the slot's folder. */
static int take_out(struct plt_builtin *b,
		    const struct platter_crash_task *task,
		    struct platter_crash_result *result,
		    struct platter_error *err)
{
	struct sqlite *s = b->state;
	const char *paths[NR_FILES];
	char name[32], from[PATH_MAX], to[PATH_MAX];
	struct stat st;
	int rc;

	remove_db(b, task->slot);
	if (!*b->value)
		return copy_disk(b, task, err);
	for (size_t i = 0; i < NR_FILES; i++)
		paths[i] = s->path[i];
	rc = plt_builtin_files_get(b, task, paths, NR_FILES, result, err);
	for (size_t i = 0; !rc && i < NR_FILES; i++) {
		snprintf(name, sizeof(name), "file-%zu", i);
		plt_builtin_path(b, task->slot, name, from);
		plt_builtin_path(b, task->slot, files[i].name, to);
		if (rename(from, to) && errno != ENOENT)
			rc = plt_err_errno(err, -errno, "%s", to);
	}
	plt_builtin_path(b, task->slot, files[0].name, to);
	if (rc || !stat(to, &st))
		return rc;
	return missing(b, task, result);
}

/* ---- asking it ---- */

/*
 * Answers go to a file, one line of "kept N" for each promise that holds; the
 * program's own output has the errors.
 */
static int write_questions(struct plt_builtin *b,
			   const struct platter_crash_task *task,
			   char script[PATH_MAX], struct platter_error *err)
{
	const struct sqlite *s = b->state;
	const uint64_t point = plt_builtin_point(task);
	char answers[PATH_MAX];
	FILE *f;

	plt_builtin_path(b, task->slot, "answers", answers);
	plt_builtin_path(b, task->slot, "questions", script);
	f = fopen(script, "we");
	if (!f)
		return plt_err_errno(err, -errno, "%s", script);
	fprintf(f, ".bail off\n.headers off\n.mode list\n.output \"%s\"\n"
		"PRAGMA integrity_check;\n", answers);
	for (size_t i = 0; i < s->promises.nr; i++) {
		const struct plt_promise *p = &s->promises.promise[i];

		if (p->sql && plt_promise_holds(p, point))
			fprintf(f, "SELECT 'kept %zu' WHERE (%s);\n", i,
				p->what);
	}
	return fclose(f) ? plt_err_errno(err, -errno, "%s", script) : 0;
}

/* Which promises were kept, and whether the first line is "ok". */
static int read_answers(struct plt_builtin *b, unsigned int slot, bool *ok,
			bool *kept, size_t nr, struct platter_crash_result *r,
			struct platter_error *err)
{
	char path[PATH_MAX], line[256];
	bool first = true;
	size_t n;
	FILE *f;

	plt_builtin_path(b, slot, "answers", path);
	*ok = false;
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? 0 : plt_err_errno(err, -errno, "%s",
							   path);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (first)
			*ok = !strcmp(line, "ok");
		first = false;
		if (sscanf(line, "kept %zu", &n) == 1 && n < nr)
			kept[n] = true;
		else if (strcmp(line, "ok"))
			plt_builtin_note(r, "integrity_check: %s", line);
	}
	fclose(f);
	return 0;
}

static int judge(struct plt_builtin *b, const struct platter_crash_task *task,
		 struct platter_crash_result *result,
		 struct platter_error *err)
{
	const struct plt_promises *all = &((struct sqlite *)b->state)->promises;
	const uint64_t point = plt_builtin_point(task);
	bool *kept plt_auto_free = NULL;
	bool ok;
	int rc;

	kept = plt_calloc(all->nr + 1, sizeof(*kept), err);
	if (!kept)
		return -ENOMEM;
	rc = read_answers(b, task->slot, &ok, kept, all->nr, result, err);
	if (!rc && !ok)
		rc = plt_builtin_verdict(result, PLATTER_CRASH_FAIL,
					 "the database is damaged");
	for (size_t i = 0; rc >= 0 && i < all->nr; i++) {
		const struct plt_promise *p = &all->promise[i];

		if (!p->sql || kept[i] || !plt_promise_holds(p, point))
			continue;
		if (!rc)
			rc = plt_builtin_verdict(result, PLATTER_CRASH_FAIL,
						 "not true any more, but "
						 "acknowledged by mark %s: %s",
						 p->mark, p->what);
		plt_builtin_note(result, "not true any more, but acknowledged "
				 "by mark %s: %s", p->mark, p->what);
	}
	return rc;
}

/* ---- the checker ---- */

static int sqlite_open(struct plt_builtin *b, struct platter_error *err)
{
	struct sqlite *s = plt_calloc(1, sizeof(*s), err);
	int rc;

	b->state = s;
	if (!s)
		return -ENOMEM;
	if (*b->value && *b->value != '/')
		return plt_err_set(err, -EINVAL, "%s: the path of a database "
				   "in the file system begins with a slash",
				   b->name);
	for (size_t i = 0; i < NR_FILES; i++) {
		s->path[i] = plt_asprintf(err, "%s%s", b->value,
					  files[i].suffix);
		if (!s->path[i])
			return -ENOMEM;
	}
	rc = plt_builtin_need(b, PLT_PROGRAM_SQLITE3, err);
	if (!rc)
		rc = plt_promises_of_marks(&s->promises, b->crash, err);
	if (!rc)
		rc = plt_promises_sort(&s->promises, err);
	if (rc)
		return rc;
	if (*b->value)
		return plt_builtin_files_open(b, err);
	b->checker.needs_path = false;
	rc = plt_builtin_start(b, err);
	return rc ? rc : plt_builtin_make_dir(b, err);
}

static int sqlite_check(struct plt_builtin *b,
			const struct platter_crash_task *task,
			struct platter_crash_result *result,
			struct platter_error *err)
{
	char *command plt_auto_free = NULL;
	char db[PATH_MAX], script[PATH_MAX];
	int rc;

	rc = take_out(b, task, result, err);
	if (!rc)
		rc = write_questions(b, task, script, err);
	if (rc)
		return rc;
	plt_builtin_path(b, task->slot, files[0].name, db);
	command = plt_asprintf(err, ".read \"%s\"", script);
	if (!command)
		return -ENOMEM;
	rc = plt_builtin_run(b, task, result, err, PLT_PROGRAM_SQLITE3,
			     "-batch", "-init", "/dev/null", db, command,
			     (char *)NULL);
	return rc ? rc : judge(b, task, result, err);
}

static void sqlite_close(struct plt_builtin *b)
{
	struct sqlite *s = b->state;

	if (!s)
		return;
	plt_promises_free(&s->promises);
	for (size_t i = 0; i < NR_FILES; i++)
		free(s->path[i]);
	free(s);
}

const struct plt_builtin_kind plt_builtin_sqlite = {
	.name = "sqlite",
	.values = "PATH, or nothing when the disk is the database",
	.needs_path = true,
	.open = sqlite_open,
	.check = sqlite_check,
	.close = sqlite_close,
};
