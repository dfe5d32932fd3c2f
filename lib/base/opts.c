// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Node options: a tree of strings, from key=value text or from JSON.
 *
 * Each level is a short array searched from the front. Keys may be given with
 * dots anywhere: "file.filename" is the entry "filename" of the tree "file".
 * Two limits keep a hostile text from costing more than it should: the depth,
 * which bounds recursion, and the entries of a level, which bound searching.
 */
#include "base/opts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "base/mem.h"

#define MAX_DEPTH	128	/* two levels for each of 64 nodes */
#define MAX_ENTRIES	1024	/* of one level */

struct entry {
	char *key;
	char *value;			/* or, when NULL, ... */
	struct platter_options *tree;
	bool used;
};

struct platter_options {
	struct entry *entries;
	size_t count, room;
	unsigned int depth;
};

struct platter_options *plt_options_new(struct platter_error *err)
{
	return plt_calloc(1, sizeof(struct platter_options), err);
}

void plt_options_free(struct platter_options *opts)
{
	if (!opts)
		return;
	for (size_t i = 0; i < opts->count; i++) {
		free(opts->entries[i].key);
		free(opts->entries[i].value);
		plt_options_free(opts->entries[i].tree);
	}
	free(opts->entries);
	free(opts);
}

/* ---- finding and adding ---- */

/* The entry called by the first `len` bytes of `key`, on this level. */
static struct entry *find_here(const struct platter_options *opts,
			       const char *key, size_t len)
{
	for (size_t i = 0; i < opts->count; i++) {
		struct entry *e = &opts->entries[i];

		if (!strncmp(e->key, key, len) && !e->key[len])
			return e;
	}
	return NULL;
}

/* The entry at the dotted path `key`; `mark` the trees on the way as known. */
static struct entry *find(const struct platter_options *opts, const char *key,
			  bool mark)
{
	for (;;) {
		size_t len = strcspn(key, ".");
		struct entry *e = find_here(opts, key, len);

		if (!e || !key[len])
			return e;
		if (!e->tree)
			return NULL;
		e->used |= mark;
		opts = e->tree;
		key += len + 1;
	}
}

static int add_entry(struct platter_options *opts, const char *key, size_t len,
		     struct entry **out, struct platter_error *err)
{
	struct entry *e;
	int rc;

	if (!len)
		return plt_err_set(err, -EINVAL, "option name is empty");
	if (opts->count == MAX_ENTRIES)
		return plt_err_set(err, -EINVAL,
				   "more than %d options on one level",
				   MAX_ENTRIES);
	rc = plt_grow(&opts->entries, &opts->room, opts->count + 1,
		      sizeof(*opts->entries), err);
	if (rc)
		return rc;
	e = &opts->entries[opts->count];
	memset(e, 0, sizeof(*e));
	e->key = plt_asprintf(err, "%.*s", (int)len, key);
	if (!e->key)
		return -ENOMEM;
	opts->count++;
	*out = e;
	return 0;
}

/* The tree at the entry called by `len` bytes of `key`, made when absent. */
static int descend(struct platter_options **opts, const char *key, size_t len,
		   struct platter_error *err)
{
	struct entry *e = find_here(*opts, key, len);
	unsigned int depth = (*opts)->depth + 1;
	int rc;

	if (e && e->value)
		return plt_err_set(err, -EINVAL,
				   "option '%s' is both a value and a group",
				   e->key);
	if (!e) {
		if (depth > MAX_DEPTH)
			return plt_err_set(err, -EINVAL,
					   "options nested over the limit of %d levels",
					   MAX_DEPTH);
		rc = add_entry(*opts, key, len, &e, err);
		if (rc)
			return rc;
	}
	if (!e->tree) {
		e->tree = plt_options_new(err);
		if (!e->tree)
			return -ENOMEM;
		e->tree->depth = depth;
	}
	*opts = e->tree;
	return 0;
}

int plt_options_set(struct platter_options *opts, const char *key,
		    const char *value, struct platter_error *err)
{
	const char *name = key;
	struct entry *e;
	size_t len;
	int rc;

	for (len = strcspn(name, "."); name[len]; len = strcspn(name, ".")) {
		rc = descend(&opts, name, len, err);
		if (rc)
			return rc;
		name += len + 1;
	}
	e = find_here(opts, name, len);
	if (e)
		return plt_err_set(err, -EINVAL,
				   e->value ? "option '%s' is given twice" :
				   "option '%s' is both a value and a group",
				   key);
	rc = add_entry(opts, name, len, &e, err);
	if (rc)
		return rc;
	e->value = plt_strdup(value, err);
	return e->value ? 0 : -ENOMEM;
}

/* ---- key=value text ---- */

/* Undouble the commas of the value at `p`; returns what follows it. */
static char *end_value(char *p)
{
	char *out = p;

	for (; *p; p++) {
		if (*p == ',' && *++p != ',') {
			*out = '\0';
			return p;
		}
		*out++ = *p;
	}
	*out = '\0';
	return p;
}

int plt_options_parse(struct platter_options **out, const char *text,
		      struct platter_error *err)
{
	plt_auto_free char *copy = plt_strdup(text, err);
	struct platter_options *opts;
	char *p = copy;
	int rc = 0;

	if (!copy)
		return -ENOMEM;
	opts = plt_options_new(err);
	if (!opts)
		return -ENOMEM;
	while (!rc && *p) {
		char *key = p;
		char end;

		p += strcspn(p, "=,");
		end = *p;
		if (end)
			*p++ = '\0';
		if (end == '=') {
			char *value = p;

			p = end_value(value);
			rc = plt_options_set(opts, key, value, err);
		} else {
			rc = plt_options_set(opts, key, "on", err);
		}
	}
	if (rc) {
		plt_options_free(opts);
		return plt_err_prefix(err, rc, "options '%s'", text);
	}
	*out = opts;
	return 0;
}

int plt_options_parse_list(struct platter_options **out,
			   const char *const *list, struct platter_error *err)
{
	struct platter_options *opts = plt_options_new(err);
	int rc = 0;

	if (!opts)
		return -ENOMEM;
	for (size_t i = 0; list && list[i] && !rc; i++) {
		plt_auto_free char *item = plt_strdup(list[i], err);
		char *equals;

		if (!item) {
			rc = -ENOMEM;
			break;
		}
		equals = strchr(item, '=');
		if (equals)
			*equals = '\0';
		rc = plt_options_set(opts, item, equals ? equals + 1 : "on",
				     err);
	}
	if (rc) {
		plt_options_free(opts);
		return rc;
	}
	*out = opts;
	return 0;
}

/* ---- JSON ---- */

static int add_object(struct platter_options *opts, json_t *object,
		      struct platter_error *err);

static int add_member(struct platter_options *opts, const char *key,
		      json_t *value, struct platter_error *err)
{
	char number[32];

	switch (json_typeof(value)) {
	case JSON_STRING:
		return plt_options_set(opts, key, json_string_value(value),
				       err);
	case JSON_TRUE:
		return plt_options_set(opts, key, "on", err);
	case JSON_FALSE:
		return plt_options_set(opts, key, "off", err);
	case JSON_INTEGER:
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(value));
		return plt_options_set(opts, key, number, err);
	case JSON_OBJECT:
		for (;;) {
			size_t len = strcspn(key, ".");
			int rc = descend(&opts, key, len, err);

			if (rc)
				return rc;
			if (!key[len])
				return add_object(opts, value, err);
			key += len + 1;
		}
	default:
		return plt_err_set(err, -EINVAL,
				   "option '%s' must be a string, an integer, a boolean or an object",
				   key);
	}
}

static int add_object(struct platter_options *opts, json_t *object,
		      struct platter_error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value) {
		int rc;

		/* Such a name could not be spelled on a command line. */
		if (strpbrk(key, "=,"))
			return plt_err_set(err, -EINVAL,
					   "option name '%s' has a '=' or ',' in it",
					   key);
		rc = add_member(opts, key, value, err);
		if (rc)
			return rc;
	}
	return 0;
}

int plt_options_parse_json(struct platter_options **out, const char *text,
			   struct platter_error *err)
{
	struct platter_options *opts;
	json_error_t error;
	json_t *root;
	int rc;

	root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (!root)
		return plt_err_set(err, -EINVAL,
				   "JSON, line %d, column %d: %s", error.line,
				   error.column, error.text);
	opts = plt_options_new(err);
	rc = opts ? add_object(opts, root, err) : -ENOMEM;
	if (!rc && !json_is_object(root))
		rc = plt_err_set(err, -EINVAL, "JSON is not an object");
	json_decref(root);
	if (rc) {
		plt_options_free(opts);
		return rc;
	}
	*out = opts;
	return 0;
}

/* ---- reading ---- */

bool plt_options_has(const struct platter_options *opts, const char *key)
{
	return find(opts, key, false) != NULL;
}

struct platter_options *plt_options_tree(struct platter_options *opts,
					 const char *key)
{
	struct entry *e = find(opts, key, true);

	if (!e || !e->tree)
		return NULL;
	e->used = true;
	return e->tree;
}

const char *platter_options_string(struct platter_options *opts,
				   const char *key)
{
	struct entry *e = find(opts, key, true);

	if (!e || !e->value)
		return NULL;
	e->used = true;
	return e->value;
}

int platter_options_size(struct platter_options *opts, const char *key,
			 uint64_t *out, struct platter_error *err)
{
	const char *value = platter_options_string(opts, key);

	if (!value)
		return 0;
	return plt_err_prefix(err, platter_size_parse(out, value, err),
			      "option '%s'", key);
}

int platter_options_bool(struct platter_options *opts, const char *key,
			 bool *out, struct platter_error *err)
{
	static const char *const words[][2] = {
		{ "off", "on" }, { "no", "yes" }, { "false", "true" },
		{ "n", "y" },
	};
	const char *value = platter_options_string(opts, key);

	if (!value)
		return 0;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(words); i++) {
		for (int v = 0; v < 2; v++) {
			if (!strcmp(value, words[i][v])) {
				*out = v;
				return 0;
			}
		}
	}
	return plt_err_set(err, -EINVAL,
			   "option '%s' must be 'on' or 'off', not '%s'", key,
			   value);
}

int plt_options_check_used(const struct platter_options *opts,
			   struct platter_error *err)
{
	for (size_t i = 0; i < opts->count; i++) {
		if (!opts->entries[i].used)
			return plt_err_set(err, -EINVAL, "unknown option '%s'",
					   opts->entries[i].key);
	}
	return 0;
}
