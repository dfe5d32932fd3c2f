/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the verbs that look for a cause share: shrink and bisect. */
#ifndef CMD_CRASH_CAUSE_H
#define CMD_CRASH_CAUSE_H

#include <pthread.h>
#include <stdatomic.h>

#include "crash.h"

/*
 * ---- crash-watch.c: how far it is, and stopping it ----
 *
 * A checker may take long, and what is looked for is not known before it has
 * ended. So a thread of its own shows how it goes and takes notice of a Ctrl-C.
 */
struct cmd_crash_watch {
	struct cmd *cmd;
	const struct cmd_progress *opts;
	struct platter_crash_harness *harness;
	struct platter_progress *signals;	/* to hear of them */
	bool terminal;			/* a line that is rewritten */
	bool drawn;
	atomic_uint_least64_t tried, left;
	atomic_bool stopped, over;
	pthread_t thread;
};
int cmd_crash_watch_start(struct cmd_crash_watch *w, struct cmd *cmd,
			  const struct cmd_progress *opts,
			  struct platter_crash_harness *harness,
			  struct platter_error *err) PLATTER_MUST_CHECK;
/* A state was tried; `left`: how many more it may take. True: stop. */
bool cmd_crash_watch_tried(struct cmd_crash_watch *w, const char *state,
			   const struct platter_crash_result *result,
			   uint64_t left);
/* Passes `rc` on. */
int cmd_crash_watch_end(struct cmd_crash_watch *w, int rc);

/*
 * ---- crash-where.c: what a file system calls places of the disk ----
 */
struct cmd_crash_place {
	uint64_t offset, length;	/* bytes */
	char *what;
};
struct cmd_crash_where {
	struct cmd_crash_place *place;
	size_t nr;
};
/*
 * What the pieces of a cause are, by the state that passes: so far for ext2,
 * ext3 and ext4, by debugfs. Without it, or in anything else, nothing.
 */
int cmd_crash_where(struct cmd *cmd, const struct cmd_crash_checkers *o,
		    const struct platter_crash_cause *cause,
		    struct cmd_crash_where *where, struct platter_error *err)
	PLATTER_MUST_CHECK;
void cmd_crash_where_free(struct cmd_crash_where *where);

/* "platter crash export ...", for free(): makes a state of that name. */
char *cmd_crash_export_line(const struct cmd_crash_log *o, const char *log,
			    const char *state);

#endif
