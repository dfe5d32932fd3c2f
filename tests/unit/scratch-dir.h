/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A folder for what unit tests make, which goes also when they fail. */
#ifndef SCRATCH_DIR_H
#define SCRATCH_DIR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Go to a new folder below $TMPDIR, which it is from then on; and away. */
static inline int enter_scratch(void **state)
{
	const char *top = getenv("TMPDIR");
	char *path;

	if (asprintf(&path, "%s/unit-test.XXXXXX", top ? top : "/tmp") < 0 ||
	    !mkdtemp(path) || chdir(path) || setenv("TMPDIR", path, 1))
		return -1;
	*state = path;
	return 0;
}

static inline int leave_scratch(void **state)
{
	char *path = *state, *command;
	int rc = -1;

	if (!chdir("/") && asprintf(&command, "rm -rf '%s'", path) > 0) {
		rc = system(command);
		free(command);
	}
	*strrchr(path, '/') = '\0';
	setenv("TMPDIR", path, 1);
	free(path);
	return rc;
}

#endif
