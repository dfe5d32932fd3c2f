/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What marks promise: files and their hashes, and queries that are true.
 *
 * A program that has been told that something is durable says so with a mark,
 * whose text carries what, or which names a list of hashes kept beside the log.
 * The syntax of both is in platter-crash-explore(1).
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "crash/builtin.h"

#define ACKED	"acked "
#define REMOVED	"removed "
#define COMMENT	"# "

static const char *find_algorithm(const char *name, size_t len)
{
	for (const char *const *n = plt_hash_names; *n; n++) {
		if (strlen(*n) == len && !strncmp(*n, name, len))
			return *n;
	}
	return NULL;
}

/* ---- a list of them ---- */

static int add(struct plt_promises *p, const struct plt_promise *promise,
	       const char *what, const char *hex, const char *mark,
	       struct platter_error *err)
{
	struct plt_promise *new;
	int rc;

	rc = plt_grow(&p->promise, &p->room, p->nr + 1, sizeof(*p->promise),
		      err);
	if (rc < 0)
		return rc;
	new = &p->promise[p->nr++];
	*new = *promise;
	new->until = UINT64_MAX;
	new->what = plt_strdup(what, err);
	new->hex = plt_strdup(hex ? hex : "", err);
	new->mark = plt_strdup(mark, err);
	if (!new->what || !new->hex || !new->mark)
		return -ENOMEM;
	for (char *c = new->hex; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return 0;
}

void plt_promises_free(struct plt_promises *p)
{
	for (size_t i = 0; i < p->nr; i++) {
		free(p->promise[i].what);
		free(p->promise[i].hex);
		free(p->promise[i].mark);
	}
	free(p->promise);
	*p = (struct plt_promises) { 0 };
}

static int by_entry(const void *a, const void *b)
{
	const struct plt_promise *x = a, *y = b;

	return (x->entry > y->entry) - (x->entry < y->entry);
}

static int by_thing(const void *a, const void *b)
{
	const struct plt_promise *const *x = a, *const *y = b;
	int rc = (*x)->sql - (*y)->sql;

	if (!rc)
		rc = strcmp((*x)->what, (*y)->what);
	return rc ? rc : by_entry(*x, *y);
}

int plt_promises_sort(struct plt_promises *p, struct platter_error *err)
{
	struct plt_promise **at;

	if (!p->nr)
		return 0;
	qsort(p->promise, p->nr, sizeof(*p->promise), by_entry);
	at = plt_calloc(p->nr, sizeof(struct plt_promise *), err);
	if (!at)
		return -ENOMEM;
	for (size_t i = 0; i < p->nr; i++)
		at[i] = &p->promise[i];
	qsort(at, p->nr, sizeof(struct plt_promise *), by_thing);
	for (size_t i = 1; i < p->nr; i++) {
		if (at[i - 1]->sql == at[i]->sql &&
		    !strcmp(at[i - 1]->what, at[i]->what) &&
		    at[i - 1]->entry != at[i]->entry)
			at[i - 1]->until = at[i]->entry;
	}
	free(at);
	return 0;
}

/* ---- marks ---- */

struct mark {
	uint64_t entry;
	const char *text;
};

/* "ALGORITHM=HEX path=PATH" */
static int parse_hash(struct plt_promise *p, const char *text, char **hex,
		      const char **path)
{
	const size_t name = strcspn(text, "= ");
	const char *digits = text + name + 1;
	size_t len;

	p->algorithm = find_algorithm(text, name);
	if (!p->algorithm || text[name] != '=')
		return -EINVAL;
	len = strspn(digits, "0123456789abcdefABCDEF");
	*path = digits + len;
	if (!len || strncmp(*path, " path=/", 7))
		return -EINVAL;
	*path += strlen(" path=");
	*hex = plt_asprintf(NULL, "%.*s", (int)len, digits);
	return *hex ? 0 : -ENOMEM;
}

static int take(struct plt_promises *list, const struct mark *m,
		const char *name, const char *payload, bool removed,
		struct platter_error *err)
{
	struct plt_promise p = { .entry = m->entry, .removed = removed };
	const char *what = payload;
	char *hex = NULL;
	int rc = 0;

	p.sql = !strncmp(payload, "sql=", 4);
	if (p.sql)
		what += 4;
	else if (!removed)
		rc = parse_hash(&p, payload, &hex, &what);
	else if (!strncmp(payload, "path=/", 6))
		what += 5;
	else
		rc = -EINVAL;
	if (!rc && !*what)
		rc = -EINVAL;
	if (rc == -EINVAL)
		rc = plt_err_set(err, rc, "entry %" PRIu64 ": the mark \"%s\" "
				 "promises nothing that is understood; it has "
				 "\"acked sha256=HEX path=/FILE\", \"acked "
				 "sql=QUERY\", or \"removed\" with a path or "
				 "sql", m->entry, m->text);
	else if (!rc)
		rc = add(list, &p, what, hex, name, err);
	free(hex);
	return rc;
}

/* The payload begins the text, or stands behind a name without blanks. */
static int of_mark(struct plt_promises *list, const struct mark *m,
		   struct platter_error *err)
{
	const char *text = m->text;
	const size_t first = strcspn(text, " ");
	char name[64];
	bool removed;

	snprintf(name, sizeof(name), "%.*s", (int)first, text);
	if (strncmp(text, ACKED, strlen(ACKED)) &&
	    strncmp(text, REMOVED, strlen(REMOVED)))
		text += first + (text[first] == ' ');
	else
		snprintf(name, sizeof(name), "%" PRIu64, m->entry);
	removed = !strncmp(text, REMOVED, strlen(REMOVED));
	if (!removed && strncmp(text, ACKED, strlen(ACKED)))
		return 0;
	text += removed ? strlen(REMOVED) : strlen(ACKED);
	return take(list, m, name, text, removed, err);
}

int plt_promises_of_marks(struct plt_promises *p, struct platter_crash *crash,
			  struct platter_error *err)
{
	int rc = 0;

	for (uint64_t i = 0; !rc && i < crash->nr_marks; i++) {
		const struct mark m = {
			crash->mark[i], crash->mark_text[i]
		};

		/* A line feed would end a line of somebody's script. */
		if (!strchr(m.text, '\n'))
			rc = of_mark(p, &m, err);
	}
	return rc;
}

/* ---- lists of hashes ---- */

static int find_mark(const struct platter_crash *crash, const char *where,
		     const char *text, uint64_t *entry,
		     struct platter_error *err)
{
	for (uint64_t i = crash->nr_marks; i-- > 0;) {
		*entry = crash->mark[i];
		if (!strcmp(crash->mark_text[i], text))
			return 0;
	}
	return plt_err_set(err, -ENOENT, "%s: the log has no mark \"%s\"",
			   where, text);
}

/* A line of md5sum: HEX, a blank, a blank or '*', PATH. */
static int take_hash(struct plt_promises *p, const struct plt_promise *like,
		     const char *mark, char *line, const char *file,
		     size_t number, struct platter_error *err)
{
	const size_t len = strspn(line, "0123456789abcdefABCDEF");
	const char *path = line + len + 2;

	if (!len || line[len] != ' ' || !line[len + 1] || *path != '/')
		return plt_err_set(err, -EINVAL, "%s: line %zu is not a hash, "
				   "two blanks and a path that begins with a "
				   "slash, as %ssum prints it", file, number,
				   like->algorithm);
	line[len] = '\0';
	return add(p, like, path, line, mark, err);
}

/* "# removed MARK PATH", which md5sum takes for a comment. */
static int take_comment(struct plt_promises *p,
			const struct platter_crash *crash, char *line,
			const char *file, struct platter_error *err)
{
	struct plt_promise removed = { .removed = true };
	char *path = strstr(line, " /");
	char *mark = line + strlen(COMMENT REMOVED);
	int rc;

	if (strncmp(line, COMMENT REMOVED, strlen(COMMENT REMOVED)) || !path ||
	    path <= mark)
		return 0;
	*path++ = '\0';
	rc = find_mark(crash, file, mark, &removed.entry, err);
	return rc ? rc : add(p, &removed, path, NULL, mark, err);
}

struct list {
	const char *file;
	const char *algorithm;
	const char *mark;	/* with a percent sign if `numbered` */
	bool numbered;
};

/* Line `n` that is no comment. */
static int take_line(struct plt_promises *p, const struct platter_crash *crash,
		     const struct list *l, char *line, size_t n,
		     struct platter_error *err)
{
	struct plt_promise like = { .algorithm = l->algorithm };
	const size_t before = strcspn(l->mark, "%");
	char mark[512];
	int rc;

	if (l->numbered)
		snprintf(mark, sizeof(mark), "%.*s%zu%s", (int)before, l->mark,
			 n, l->mark + before + 1);
	else
		snprintf(mark, sizeof(mark), "%s", l->mark);
	rc = find_mark(crash, l->file, mark, &like.entry, err);
	return rc ? rc : take_hash(p, &like, mark, line, l->file, n, err);
}

static int take_file(struct plt_promises *p, const struct platter_crash *crash,
		     const struct list *l, struct platter_error *err)
{
	FILE *f = fopen(l->file, "re");
	char *line = NULL;
	size_t room = 0, n = 0;
	int rc = 0;

	if (!f)
		return plt_err_errno(err, -errno, "%s", l->file);
	while (!rc && getline(&line, &room, f) > 0) {
		line[strcspn(line, "\r\n")] = '\0';
		rc = *line == '#' ? take_comment(p, crash, line, l->file, err) :
		     take_line(p, crash, l, line, ++n, err);
	}
	free(line);
	fclose(f);
	return rc;
}

/* The hash's name behind the last dot, or NULL. */
static const char *algorithm_of(const char *file)
{
	const char *dot = strrchr(file, '.');

	return dot ? find_algorithm(dot + 1, strlen(dot + 1)) : NULL;
}

static int take_named(struct plt_promises *p, const struct platter_crash *crash,
		      const char *where, const char *name,
		      struct platter_error *err)
{
	struct list l = { .algorithm = algorithm_of(name) };
	char *file plt_auto_free = NULL;
	char *mark plt_auto_free = NULL;

	if (!l.algorithm || *name == '.')
		return 0;
	l.file = file = plt_asprintf(err, "%s/%s", where, name);
	l.mark = mark = plt_asprintf(err, "%.*s",
				     (int)(strrchr(name, '.') - name), name);
	return file && mark ? take_file(p, crash, &l, err) : -ENOMEM;
}

static int take_folder(struct plt_promises *p,
		       const struct platter_crash *crash, const char *where,
		       struct platter_error *err)
{
	struct dirent **names;
	int n, rc = 0;

	n = scandir(where, &names, NULL, alphasort);
	if (n < 0)
		return plt_err_errno(err, -errno, "%s", where);
	for (int i = 0; i < n; i++) {
		if (!rc)
			rc = take_named(p, crash, where, names[i]->d_name,
					err);
		free(names[i]);
	}
	free(names);
	return rc;
}

int plt_promises_of_files(struct plt_promises *p, struct platter_crash *crash,
			  const char *where, struct platter_error *err)
{
	const char *at = strrchr(where, '@');
	char *file plt_auto_free = NULL;
	struct list l = { .numbered = true };
	struct stat st;

	if (!stat(where, &st) && S_ISDIR(st.st_mode))
		return take_folder(p, crash, where, err);
	if (!at || !strchr(at, '%'))
		return plt_err_set(err, -EINVAL, "\"%s\" is neither a folder "
				   "with files MARK.md5 or MARK.sha256 nor "
				   "LIST@MARK, where LIST is such a file and "
				   "%% in MARK stands for the number of a line",
				   where);
	l.file = file = plt_asprintf(err, "%.*s", (int)(at - where), where);
	if (!file)
		return -ENOMEM;
	l.mark = at + 1;
	l.algorithm = algorithm_of(file);
	if (l.algorithm)
		return take_file(p, crash, &l, err);
	return plt_err_set(err, -EINVAL, "%s: the name does not end with that "
			   "of a hash, as in .md5 or .sha256", file);
}
