/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checkers that are commands of the user. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/command.h"
#include "crash/crash.h"

#define PATH_PLACE	"{}"
#define URI_PLACE	"{nbd}"
#define VARIABLES	6
/* The kernel's MAX_ARG_STRLEN where pages have 4 KiB, with the NUL. */
#define VARIABLE_MAX	(128u << 10)

struct command {
	struct platter_crash_checker base;
	struct plt_keepers *runner;
	char *program;		/* path */
	char *const *words;	/* with placeholders */
	size_t nr_words;
	char name[];
};

/* ---- words and environment of one run ---- */

/* The placeholder at `p`: its length, and what it stands for. 0 = none. */
static size_t placeholder(const char *p, const struct platter_crash_task *task,
			  const char **value)
{
	if (!strncmp(p, PATH_PLACE, strlen(PATH_PLACE))) {
		*value = task->path;
		return strlen(PATH_PLACE);
	}
	if (!strncmp(p, URI_PLACE, strlen(URI_PLACE))) {
		*value = task->uri;
		return strlen(URI_PLACE);
	}
	return 0;
}

static char *expand(const char *word, const struct platter_crash_task *task)
{
	char *text = NULL;
	size_t size, len;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	while (*word) {
		const char *value = NULL;

		len = placeholder(word, task, &value);
		if (len)
			fputs(value ? value : "", f);
		else
			putc(*word, f);
		word += len ? len : 1;
	}
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

static void free_list(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}

static char **make_words(const struct command *c,
			 const struct platter_crash_task *task,
			 struct platter_error *err)
{
	char **words = plt_calloc(c->nr_words + 1, sizeof(*words), err);

	for (size_t i = 0; words && i < c->nr_words; i++) {
		words[i] = expand(c->words[i], task);
		if (!words[i]) {
			free_list(words);
			plt_err_nomem(err, strlen(c->words[i]));
			return NULL;
		}
	}
	return words;
}

/* Without a value, what an outer run has set is not for this one. */
static char *variable(const char *name, const char *value,
		      struct platter_error *err)
{
	return plt_asprintf(err, value ? "%s=%s" : "%s", name, value);
}

static char **make_environment(const struct platter_crash_task *task,
			       struct platter_error *err)
{
	const bool fits = strlen(task->name) + sizeof("PLATTER_STATE=") <=
			  VARIABLE_MAX;
	char entry[24];
	const char *const set[VARIABLES][2] = {
		{ "PLATTER_STATE", fits ? task->name : NULL },
		{ "PLATTER_ENTRY", entry },
		{ "PLATTER_MARK", task->mark_text },
		{ "PLATTER_MARKS", task->marks_file },
		{ "PLATTER_PATH", task->path },
		{ "PLATTER_NBD", task->uri },
	};
	char **env = plt_calloc(VARIABLES + 1, sizeof(*env), err);

	snprintf(entry, sizeof(entry), "%" PRIu64,
		 platter_crash_state_point(task->state));
	for (size_t i = 0; env && i < VARIABLES; i++) {
		env[i] = variable(set[i][0], set[i][1], err);
		if (!env[i]) {
			free_list(env);
			return NULL;
		}
	}
	return env;
}

/* ---- the checker ---- */

static int check(struct platter_crash_checker *self,
		 const struct platter_crash_task *task,
		 struct platter_crash_result *result,
		 struct platter_error *err)
{
	struct command *c = (struct command *)self;
	char **words = make_words(c, task, err);
	char **env = make_environment(task, err);
	const struct plt_run run = {
		.program = c->program,
		.words = words,
		.env = env,
		.timeout_ms = task->timeout_ms,
	};
	int rc = words && env ? plt_keepers_run(c->runner, task->slot, &run,
					       result, err) : -ENOMEM;

	free_list(words);
	free_list(env);
	return rc;
}

static void stop(struct platter_crash_checker *self)
{
	plt_keepers_stop(((struct command *)self)->runner);
}

static void free_command(struct platter_crash_checker *self)
{
	struct command *c = (struct command *)self;

	plt_keepers_free(c->runner);
	free(c->program);
	free(c);
}

static struct command *new_command(char *const *words,
				   struct platter_error *err)
{
	size_t len = 1, nr = 0;
	struct command *c;

	for (; words[nr]; nr++)
		len += strlen(words[nr]) + 1;
	c = plt_calloc(1, sizeof(*c) + len, err);
	if (!c)
		return NULL;
	*c = (struct command){
		.base = {
			.check = check,
			.stop = stop,
			.free = free_command,
			.name = c->name,
		},
		.words = words,
		.nr_words = nr,
	};
	for (size_t i = 0; i < nr; i++) {
		strcat(strcat(c->name, i ? " " : ""), words[i]);
		c->base.needs_uri |= strstr(words[i], URI_PLACE) != NULL;
		c->base.needs_path |= strstr(words[i], PATH_PLACE) != NULL;
	}
	/* It may find the file in PLATTER_PATH. */
	c->base.needs_path |= !c->base.needs_uri;
	return c;
}

int platter_crash_command_new(struct platter_crash_checker **out,
			      const struct platter_crash_command_options *opts,
			      struct platter_error *err)
{
	struct command *c;
	int rc;

	if (!opts->words || !opts->words[0])
		return plt_err_set(err, -EINVAL, "a checker of no words");
	c = new_command(opts->words, err);
	if (!c)
		return -ENOMEM;
	rc = platter_program_find(&c->program, opts->words[0], err);
	if (!rc)
		rc = plt_keepers_new(&c->runner, opts->slots ? opts->slots : 1,
				    opts->grace_ms, err);
	if (rc)
		free_command(&c->base);
	else
		*out = &c->base;
	return rc;
}
