/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs that verbs run for the user: what they get, and how they ended. */
#ifndef CMD_CHILD_H
#define CMD_CHILD_H

#include <signal.h>
#include <sys/types.h>

#include "cmd.h"

/*
 * Environment of a child: ours, with changes. Zeroed, it is yet to be copied.
 * What has no memory is kept for cmd_child_start() to report.
 */
struct cmd_environment {
	char **list;		/* "NAME=value", NULL-terminated */
	size_t count;
	bool failed;
};

/*
 * Set one variable, instead of what it was. The format makes all of
 * "NAME=value".
 */
void cmd_environment_set(struct cmd_environment *env, const char *fmt, ...)
	PLATTER_PRINTF(2, 3);
/* Take out all that begin so: "NAME=" for one, "NAME_" for a family. */
void cmd_environment_remove(struct cmd_environment *env, const char *start);
void cmd_environment_free(struct cmd_environment *env);

/*
 * It stays in our process group and has our files. The signals that verbs
 * ignore end it, as they would without us.
 */
struct cmd_child {
	const char *line;	/* for sh -c; or NULL, and then */
	const char *program;	/* path of a file */
	char *const *words;	/* NULL-terminated, from its name on */
	struct cmd_environment *env;
	const sigset_t *mask;	/* signals blocked in it; NULL = as in us */
	bool output_to_stderr;	/* its standard output is our standard error */
};

/* The caller waits for it. A message names the shell, or words[0]. */
int cmd_child_start(const struct cmd_child *child, pid_t *pid,
		    struct platter_error *err) PLATTER_MUST_CHECK;
/* What waitpid() gave, as a shell reports it: 0 to 255. */
int cmd_child_status(int status);

#endif
