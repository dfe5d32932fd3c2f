/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parameters of the nbdkit plugin. */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

#define NAME_MAX_BYTES	255u	/* it is a file's name too */

const char serve_plugin_help[] =
	"[file=]SPEC            the image: a file name or json:{...}\n"
	"disk=NAME=SPEC         one of several images; its export is NAME\n"
	"format=FORMAT          format of the images (probed)\n"
	"image-opts=true        SPEC is driver=...,key=value,...\n"
	"cache=MODE             none, writeback, writethrough, directsync,\n"
	"                       unsafe (writeback)\n"
	"follow=none|beneath|any\n"
	"                       which files an image may name and have opened\n"
	"                       (beneath: in or below its own directory)\n"
	"share=true             open an image another program has open too\n"
	"session=SOCKET         socket of the platter log verbs\n"
	"fuse=PATH              show the image as the file PATH, too, or the\n"
	"                       images in the directory PATH\n"
	"direct=true            keep no pages of that file in memory\n"
	"parent-fd=N            end when nobody reads from the pipe N any more";

/* ---- the images ---- */

static int bad_name(const char *name)
{
	size_t len = strlen(name);

	if (len > NAME_MAX_BYTES) {
		nbdkit_error("disk: a name of %zu bytes is over the limit of "
			     "%u", len, NAME_MAX_BYTES);
		return -1;
	}
	if (!len || !strcmp(name, ".") || !strcmp(name, "..") ||
	    strchr(name, '/')) {
		nbdkit_error("disk: '%s' cannot be the name of a file", name);
		return -1;
	}
	return 0;
}

static int add_export(struct serve_plugin *p, const char *name,
		      const char *spec)
{
	struct serve_export *all;

	if (!*spec) {
		nbdkit_error("an image has an empty name");
		return -1;
	}
	for (size_t i = 0; i < p->nr_exports; i++) {
		if (strcmp(p->exports[i].name, name))
			continue;
		if (*name)
			nbdkit_error("disk: there are two named '%s'", name);
		else
			nbdkit_error("file: there are two, '%s' and '%s'; name "
				     "them with disk=NAME=SPEC",
				     p->exports[i].spec, spec);
		return -1;
	}
	all = realloc(p->exports, (p->nr_exports + 1) * sizeof(*all));
	if (!all) {
		nbdkit_error("out of memory");
		return -1;
	}
	p->exports = all;
	all[p->nr_exports++] = (struct serve_export) {
		.name = name, .spec = spec,
	};
	return 0;
}

static int add_file(struct serve_plugin *p, const char *spec)
{
	return add_export(p, "", spec);
}

static int add_disk(struct serve_plugin *p, const char *value)
{
	const char *equals = strchr(value, '=');
	const char *name;

	if (!equals) {
		nbdkit_error("disk: '%s' is not NAME=SPEC", value);
		return -1;
	}
	name = nbdkit_strndup_intern(value, (size_t)(equals - value));
	if (!name || bad_name(name))
		return -1;
	return add_export(p, name, equals + 1);
}

/* ---- how they are opened ---- */

static int set_bool(bool *out, const char *value)
{
	int n = nbdkit_parse_bool(value);

	if (n < 0)
		return -1;
	*out = n;
	return 0;
}

static int set_format(struct serve_plugin *p, const char *value)
{
	p->open.format = value;
	return 0;
}

static int set_image_opts(struct serve_plugin *p, const char *value)
{
	return set_bool(&p->open.image_opts, value);
}

static int set_cache(struct serve_plugin *p, const char *value)
{
	struct platter_error e = PLATTER_ERROR_INIT;

	if (!platter_cache_parse(&p->open.cache, value, &e))
		return 0;
	nbdkit_error("%s", e.msg);
	return -1;
}

static int set_follow(struct serve_plugin *p, const char *value)
{
	static const char *const names[] = {
		[PLATTER_FOLLOW_BENEATH] = "beneath",
		[PLATTER_FOLLOW_NONE] = "none",
		[PLATTER_FOLLOW_ANY] = "any",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], value))
			continue;
		p->follow = (enum platter_follow)i;
		return 0;
	}
	nbdkit_error("follow: '%s' is not none, beneath or any", value);
	return -1;
}

static int set_share(struct serve_plugin *p, const char *value)
{
	bool share;

	if (set_bool(&share, value))
		return -1;
	p->open.flags = share ? PLATTER_O_SHARE : 0;
	return 0;
}

/* ---- where else they are shown ---- */

/* nbdkit changes its directory before it serves. */
static int set_path(const char **out, const char *value)
{
	char *path = *value ? nbdkit_absolute_path(value) : NULL;

	if (!*value)
		nbdkit_error("a path is empty");
	*out = path;
	return path ? 0 : -1;
}

static int set_session(struct serve_plugin *p, const char *value)
{
	return set_path(&p->session, value);
}

static int set_fuse(struct serve_plugin *p, const char *value)
{
	return set_path(&p->fuse, value);
}

static int set_direct(struct serve_plugin *p, const char *value)
{
	return set_bool(&p->direct, value);
}

/* ---- whose child nbdkit is ---- */

static int set_parent_fd(struct serve_plugin *p, const char *value)
{
	if (nbdkit_parse_int("parent-fd", value, &p->parent_fd))
		return -1;
	/* Nor may it stay open in a program that is started here. */
	if (fcntl(p->parent_fd, F_SETFD, FD_CLOEXEC) == 0)
		return 0;
	nbdkit_error("parent-fd: %d: %s", p->parent_fd, strerror(errno));
	return -1;
}

/* ---- all of them ---- */

static const struct {
	const char *key;
	int (*set)(struct serve_plugin *p, const char *value);
} keys[] = {
	{ "file", add_file },
	{ "disk", add_disk },
	{ "format", set_format },
	{ "image-opts", set_image_opts },
	{ "cache", set_cache },
	{ "follow", set_follow },
	{ "share", set_share },
	{ "session", set_session },
	{ "fuse", set_fuse },
	{ "direct", set_direct },
	{ "parent-fd", set_parent_fd },
};

int serve_plugin_config(struct serve_plugin *p, const char *key,
			const char *value)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(keys[i].key, key))
			return keys[i].set(p, value);
	nbdkit_error("unknown parameter '%s'; nbdkit platter --help lists them",
		     key);
	return -1;
}

int serve_plugin_config_complete(const struct serve_plugin *p)
{
	if (!p->nr_exports) {
		nbdkit_error("no image is given: file=SPEC or "
			     "disk=NAME=SPEC");
		return -1;
	}
	for (size_t i = 0; p->nr_exports > 1 && i < p->nr_exports; i++) {
		if (*p->exports[i].name)
			continue;
		nbdkit_error("file and disk cannot both be given: name the "
			     "image '%s' with disk=NAME=SPEC",
			     p->exports[i].spec);
		return -1;
	}
	if (p->direct && !p->fuse) {
		nbdkit_error("direct is for the file that fuse=PATH shows");
		return -1;
	}
	return 0;
}

/* ---- nbdkit -r ---- */

static bool is_read_only_word(const char *word)
{
	const char *p;
	size_t len;

	if (word[0] != '-')
		return false;
	if (word[1] == '-') {
		len = strlen(word);
		return len >= strlen("--re") &&
		       (!strncmp("--readonly", word, len) ||
			!strncmp("--read-only", word, len));
	}
	/* Behind one of these comes its own argument. */
	p = word + 1 + strcspn(word + 1, "rDegiptPuU");
	return *p == 'r';
}

/*
 * A plugin is told when a client connects; the images are opened before, when
 * an error can still be shown. So look at the command line: what it takes for
 * -r and is not makes the images unwritable, never the other way round,
 * because nbdkit itself refuses writes.
 */
bool serve_plugin_read_only(void)
{
	FILE *f = fopen("/proc/self/cmdline", "re");
	char *word = NULL;
	size_t room = 0;
	bool found = false;

	while (f && !found && getdelim(&word, &room, '\0', f) > 0) {
		if (!strcmp(word, "--"))
			break;
		found = is_read_only_word(word);
	}
	free(word);
	if (f)
		fclose(f);
	return found;
}
