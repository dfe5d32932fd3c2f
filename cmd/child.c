/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs that verbs run for the user.
 *
 * They are spawned, not forked: there are threads by then, and those may hold
 * locks. Signals that are ignored stay so in a new program, and no shell can
 * undo that, so what dispatch.c ignores is set back.
 */
#include <spawn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

#define SHELL		"/bin/sh"
#define SIGNAL_STATUS	128	/* and the signal */

/* ---- its environment ---- */

/* Takes `variable`, also when there is no room for it. */
static void append(struct cmd_environment *env, char *variable)
{
	char **list = NULL;

	if (variable)
		list = reallocarray(env->list, env->count + 2, sizeof(*list));
	if (!list) {
		free(variable);
		env->failed = true;
		return;
	}
	env->list = list;
	list[env->count++] = variable;
	list[env->count] = NULL;
}

static void begin(struct cmd_environment *env)
{
	if (env->list || env->failed)
		return;
	env->list = calloc(1, sizeof(*env->list));
	env->failed = !env->list;
	for (char **v = environ; *v && !env->failed; v++)
		append(env, strdup(*v));
}

/* All that begin so. */
static void take_out(struct cmd_environment *env, const char *start, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < env->count; i++) {
		if (!strncmp(env->list[i], start, len))
			free(env->list[i]);
		else
			env->list[kept++] = env->list[i];
	}
	env->count = kept;
	if (env->list)
		env->list[kept] = NULL;
}

void cmd_environment_set(struct cmd_environment *env, const char *fmt, ...)
{
	char *variable;
	va_list ap;
	int len;

	begin(env);
	va_start(ap, fmt);
	len = vasprintf(&variable, fmt, ap);
	va_end(ap);
	if (len < 0)
		variable = NULL;
	else
		take_out(env, variable, strcspn(variable, "=") + 1);
	append(env, variable);
}

void cmd_environment_remove(struct cmd_environment *env, const char *start)
{
	begin(env);
	take_out(env, start, strlen(start));
}

void cmd_environment_free(struct cmd_environment *env)
{
	for (size_t i = 0; i < env->count; i++)
		free(env->list[i]);
	free(env->list);
	*env = (struct cmd_environment){ .list = NULL };
}

/* ---- starting it ---- */

static int spawn(const struct cmd_child *child, pid_t *pid)
{
	char *const shell[] = { (char *)"sh", (char *)"-c",
				(char *)child->line, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t defaults;
	short flags = POSIX_SPAWN_SETSIGDEF;
	int rc;

	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigaddset(&defaults, SIGXFSZ);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	if (child->mask) {
		flags |= POSIX_SPAWN_SETSIGMASK;
		posix_spawnattr_setsigmask(&attr, child->mask);
	}
	posix_spawnattr_setflags(&attr, flags);
	if (child->output_to_stderr)
		posix_spawn_file_actions_adddup2(&files, STDERR_FILENO,
						 STDOUT_FILENO);
	rc = posix_spawn(pid, child->line ? SHELL : child->program, &files,
			 &attr, child->line ? shell : child->words,
			 child->env->list);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -rc;
}

int cmd_child_start(const struct cmd_child *child, pid_t *pid,
		    struct platter_error *err)
{
	int rc = child->env->failed ? -ENOMEM : spawn(child, pid);

	if (rc)
		return platter_error_errno(err, rc, "%s", child->line ?
					   SHELL : child->words[0]);
	return 0;
}

int cmd_child_status(int status)
{
	return WIFSIGNALED(status) ? SIGNAL_STATUS + WTERMSIG(status) :
				     WEXITSTATUS(status);
}
