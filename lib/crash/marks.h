/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The marks a checker is told of. */
#ifndef PLT_CRASH_MARKS_H
#define PLT_CRASH_MARKS_H

#include "crash/crash.h"

/* Of a slot; zeroed = nothing yet. */
struct plt_crash_marks {
	char *path;		/* the file of marks */
	int fd;			/* of it, where there is a path */
	const struct platter_crash *crash;	/* whose marks are in it */
	uint64_t count;		/* marks in the file */
	char *last;		/* text of the last one, escaped; or NULL */
};

/*
 * mark, mark_text and marks_file of a task on that state. `dir` NULL: TMPDIR.
 */
int plt_crash_marks_fill(struct plt_crash_marks *m, const char *dir,
			 const struct platter_crash_state *state,
			 struct platter_crash_task *task,
			 struct platter_error *err) PLATTER_MUST_CHECK;
void plt_crash_marks_free(struct plt_crash_marks *m);

#endif
