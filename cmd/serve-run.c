/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter serve --run`: the command, given to the shell.
 *
 * What takes the place of {} and {nbd} is quoted for the shell where it has
 * to be, and also in the environment.
 */
#include <spawn.h>
#include <string.h>
#include <unistd.h>

#include "served.h"

#define SHELL	"/bin/sh"

bool serve_run_wants(const char *command, const char *placeholder)
{
	return command && strstr(command, placeholder);
}

/* ---- the command ---- */

static void put_quoted(FILE *f, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%,";

	if (*text && text[strspn(text, plain)] == '\0') {
		fputs(text, f);
		return;
	}
	putc('\'', f);
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", f);
		else
			putc(*text, f);
	}
	putc('\'', f);
}

static char *expand(const struct serve_run *run)
{
	const char *p = run->command;
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	while (*p) {
		if (run->path && !strncmp(p, "{}", 2)) {
			put_quoted(f, run->path);
			p += 2;
		} else if (run->uri && !strncmp(p, "{nbd}", 5)) {
			put_quoted(f, run->uri);
			p += 5;
		} else {
			putc(*p++, f);
		}
	}
	return fclose(f) ? NULL : text;
}

/* ---- its environment ---- */

struct variable {
	const char *name, *value;
};

/* The first *own strings are the caller's to free, the others are not. */
static char **environment(const struct variable *set, size_t nr_set,
			  size_t *own)
{
	size_t n = 0, count = 0;
	char **env;

	while (environ[count])
		count++;
	env = calloc(count + nr_set + 1, sizeof(*env));
	for (size_t i = 0; env && i < nr_set; i++) {
		if (!set[i].value)
			continue;
		if (asprintf(&env[n], "%s=%s", set[i].name, set[i].value) < 0)
			break;
		n++;
	}
	*own = n;
	for (size_t i = 0; env && i < count; i++) {
		size_t len = strcspn(environ[i], "=");
		bool ours = false;

		for (size_t k = 0; k < nr_set; k++)
			ours |= strlen(set[k].name) == len &&
				!strncmp(set[k].name, environ[i], len);
		if (!ours)
			env[n++] = environ[i];
	}
	return env;
}

static int spawn(const char *command, char **env, const sigset_t *mask,
		 pid_t *pid)
{
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)command,
			       NULL };
	posix_spawnattr_t attr;
	sigset_t defaults;
	int rc;

	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigaddset(&defaults, SIGXFSZ);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
				 POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, mask);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	rc = posix_spawn(pid, SHELL, NULL, &attr, argv, env);
	posix_spawnattr_destroy(&attr);
	return -rc;
}

int serve_run_start(const struct serve_run *run, const sigset_t *mask,
		    pid_t *pid, struct platter_error *err)
{
	const struct variable set[] = {
		{ "PLATTER_PATH", run->path },
		{ "PLATTER_NBD", run->uri },
		{ SERVE_SESSION_ENV, run->session },
	};
	char *command = expand(run);
	size_t own = 0;
	char **env = environment(set, CMD_ARRAY_SIZE(set), &own);
	int rc = command && env ? spawn(command, env, mask, pid) : -ENOMEM;

	for (size_t i = 0; i < own; i++)
		free(env[i]);
	free(env);
	free(command);
	return rc ? platter_error_errno(err, rc, SHELL) : 0;
}
