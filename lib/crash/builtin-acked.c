/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checker acked=DIR: what was acknowledged as durable is there.
 *
 * At each state every promise of a mark before its point, and not taken back
 * before, has to hold. Hash lists are often made where the file system was
 * mounted, so a path is looked for as it stands, and then without its first
 * directories: that finds no file by mistake, as its content has to be right.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "crash/builtin.h"

#define PIECE	(256u << 10)

/* ---- the promises that are to hold at a state ---- */

struct place {
	const char *path;	/* in the promise's path */
	const struct plt_promise *promise;
};

struct places {
	struct place *place;
	const char **paths;	/* the same, for plt_builtin_files_get() */
	size_t nr, room;
};

static void places_free(struct places *p)
{
	free(p->place);
	free(p->paths);
}

/* All of "/mnt/d1/f", "/d1/f", "/f". */
static int add_places(struct places *p, const struct plt_promise *promise,
		      struct platter_error *err)
{
	const char *path = promise->what;
	int rc;

	while (path) {
		rc = plt_grow(&p->place, &p->room, p->nr + 1,
			      sizeof(*p->place), err);
		if (rc < 0)
			return rc;
		p->place[p->nr++] = (struct place) { path, promise };
		path = strchr(path + 1, '/');
	}
	return 0;
}

static int find_places(struct places *p, const struct plt_promises *all,
		       uint64_t point, struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < all->nr; i++) {
		if (!all->promise[i].sql &&
		    plt_promise_holds(&all->promise[i], point))
			rc = add_places(p, &all->promise[i], err);
	}
	if (rc || !p->nr)
		return rc;
	p->paths = plt_calloc(p->nr, sizeof(const char *), err);
	if (!p->paths)
		return -ENOMEM;
	for (size_t i = 0; i < p->nr; i++)
		p->paths[i] = p->place[i].path;
	return 0;
}

/* ---- whether they do ---- */

/* 1: there is no such file. */
static int hash_file(const char *path, const char *algorithm,
		     char hex[PLT_HASH_HEX_MAX], struct platter_error *err)
{
	struct plt_hash *h = NULL;
	char *buf plt_auto_free = NULL;
	FILE *f = fopen(path, "re");
	size_t n;
	int rc;

	if (!f)
		return errno == ENOENT ? 1 : plt_err_errno(err, -errno, "%s",
							   path);
	buf = plt_calloc(1, PIECE, err);
	rc = buf ? plt_hash_new(&h, algorithm, err) : -ENOMEM;
	while (!rc && (n = fread(buf, 1, PIECE, f)) > 0)
		rc = plt_hash_update(h, buf, n, err);
	if (!rc && ferror(f))
		rc = plt_err_set(err, -EIO, "%s: reading", path);
	if (!rc)
		rc = plt_hash_final(h, hex, err);
	plt_hash_free(h);
	fclose(f);
	return rc;
}

/*
 * Places [i, *next) are those of one promise: 0 = it holds, 1 = it is missing,
 * 2 = something else is there.
 */
static int look(struct plt_builtin *b, unsigned int slot,
		const struct places *p, size_t i, size_t *next,
		struct platter_error *err)
{
	const struct plt_promise *promise = p->place[i].promise;
	char name[32], path[PATH_MAX], hex[PLT_HASH_HEX_MAX];
	int rc, found = 1;

	for (*next = i; *next < p->nr; ++*next) {
		if (p->place[*next].promise != promise)
			break;
		if (!found)
			continue;
		snprintf(name, sizeof(name), "file-%zu", *next);
		plt_builtin_path(b, slot, name, path);
		rc = hash_file(path, promise->algorithm, hex, err);
		if (rc < 0)
			return rc;
		if (!rc)
			found = strcmp(hex, promise->hex) ? 2 : 0;
	}
	return found;
}

static int judge(struct plt_builtin *b, const struct platter_crash_task *task,
		 const struct places *p, struct platter_crash_result *result,
		 struct platter_error *err)
{
	int rc = 0, found;

	for (size_t i = 0, next; i < p->nr; i = next) {
		const struct plt_promise *promise = p->place[i].promise;
		char text[256];

		found = look(b, task->slot, p, i, &next, err);
		if (found < 0)
			return found;
		if (!found)
			continue;
		snprintf(text, sizeof(text), "%s, acknowledged by mark %s, %s",
			 promise->what, promise->mark,
			 found == 1 ? "is missing" : "has another content");
		if (!rc)
			rc = plt_builtin_verdict(result, PLATTER_CRASH_FAIL,
						 "%s", text);
		plt_builtin_note(result, "%s", text);
	}
	return rc;
}

/* ---- the checker ---- */

static int acked_open(struct plt_builtin *b, struct platter_error *err)
{
	struct plt_promises *p = plt_calloc(1, sizeof(*p), err);
	size_t files = 0;
	int rc;

	b->state = p;
	if (!p)
		return -ENOMEM;
	rc = plt_promises_of_marks(p, b->crash, err);
	if (!rc && *b->value)
		rc = plt_promises_of_files(p, b->crash, b->value, err);
	if (!rc)
		rc = plt_promises_sort(p, err);
	for (size_t i = 0; !rc && i < p->nr; i++)
		files += !p->promise[i].sql;
	if (!rc && !files)
		rc = plt_err_set(err, -EINVAL, "%s: no file is promised, by "
				 "marks with \"acked sha256=HEX path=/FILE\" "
				 "or by hashes in a folder", b->name);
	return rc ? rc : plt_builtin_files_open(b, err);
}

static int acked_check(struct plt_builtin *b,
		       const struct platter_crash_task *task,
		       struct platter_crash_result *result,
		       struct platter_error *err)
{
	struct places p = { 0 };
	int rc;

	rc = find_places(&p, b->state, plt_builtin_point(task), err);
	if (!rc && p.nr)
		rc = plt_builtin_files_get(b, task, p.paths, p.nr, result,
					   err);
	if (!rc && p.nr)
		rc = judge(b, task, &p, result, err);
	places_free(&p);
	return rc;
}

static void acked_close(struct plt_builtin *b)
{
	if (b->state)
		plt_promises_free(b->state);
	free(b->state);
}

const struct plt_builtin_kind plt_builtin_acked = {
	.name = "acked",
	.values = "DIR or LIST@MARK-%",
	.needs_path = true,
	.open = acked_open,
	.check = acked_check,
	.close = acked_close,
};
