/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `platter serve --run`: the command, given to the shell.
 *
 * What takes the place of {} and {nbd} is quoted for the shell where it has
 * to be, and also in the environment.
 */
#include <string.h>

#include "child.h"
#include "served.h"

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

/* ---- starting it ---- */

/* Without a value, what an outer one has set is not passed on either. */
static void set(struct cmd_environment *env, const char *name,
		const char *value)
{
	if (value)
		cmd_environment_set(env, "%s%s", name, value);
	else
		cmd_environment_remove(env, name);
}

int serve_run_start(const struct serve_run *run, const sigset_t *mask,
		    pid_t *pid, struct platter_error *err)
{
	char *line = expand(run);
	struct cmd_environment env = { .list = NULL };
	const struct cmd_child child = {
		.line = line,
		.env = &env,
		.mask = mask,
	};
	int rc;

	set(&env, "PLATTER_PATH=", run->path);
	set(&env, "PLATTER_NBD=", run->uri);
	set(&env, SERVE_SESSION_ENV "=", run->session);
	rc = line ? cmd_child_start(&child, pid, err) :
		    platter_error_errno(err, -ENOMEM, "--run");
	cmd_environment_free(&env);
	free(line);
	return rc;
}
