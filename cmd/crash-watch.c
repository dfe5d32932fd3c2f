/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looking for a cause: how far it is, and the way to stop it. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crash-cause.h"

#define LOOK_NS	100000000	/* between two looks at how it goes */

static void draw(struct cmd_crash_watch *w)
{
	const uint64_t tried = atomic_load(&w->tried);

	if (!w->terminal || !tried)
		return;
	fprintf(w->cmd->err, "\r%" PRIu64 " states tried, at most %" PRIu64
		" more in this round\033[K", tried, atomic_load(&w->left));
	fflush(w->cmd->err);
	w->drawn = true;
}

static void *watch(void *arg)
{
	struct cmd_crash_watch *w = arg;
	const struct timespec look = { .tv_nsec = LOOK_NS };

	while (!atomic_load(&w->over)) {
		const uint64_t tried = atomic_load(&w->tried);

		if (w->signals->update(w->signals, tried,
				       tried + atomic_load(&w->left))) {
			atomic_store(&w->stopped, true);
			platter_crash_harness_stop(w->harness);
			break;
		}
		draw(w);
		nanosleep(&look, NULL);
	}
	return NULL;
}

int cmd_crash_watch_start(struct cmd_crash_watch *w, struct cmd *cmd,
			  const struct cmd_progress *opts,
			  struct platter_crash_harness *harness,
			  struct platter_error *err)
{
	const char *term = getenv("TERM");
	int rc;

	*w = (struct cmd_crash_watch){
		.cmd = cmd, .opts = opts, .harness = harness,
		.terminal = !opts->quiet && !opts->show &&
			    isatty(fileno(cmd->err)) &&
			    !(term && !strcmp(term, "dumb")),
	};
	rc = platter_progress_new(&w->signals, PLATTER_PROGRESS_NONE, cmd->err,
				  err);
	if (rc)
		return rc;
	rc = -pthread_create(&w->thread, NULL, watch, w);
	if (rc) {
		platter_progress_free(w->signals, false);
		return platter_error_errno(err, rc, "no thread");
	}
	return 0;
}

bool cmd_crash_watch_tried(struct cmd_crash_watch *w, const char *state,
			   const struct platter_crash_result *result,
			   uint64_t left)
{
	atomic_fetch_add(&w->tried, 1);
	atomic_store(&w->left, left);
	if (w->opts->show && !w->opts->quiet)
		fprintf(w->cmd->err, "%s: %s%s%s\n", state,
			platter_crash_verdict_name(result->verdict),
			*result->reason ? ", " : "", result->reason);
	return atomic_load(&w->stopped);
}

int cmd_crash_watch_end(struct cmd_crash_watch *w, int rc)
{
	atomic_store(&w->over, true);
	pthread_join(w->thread, NULL);
	if (w->drawn) {
		fputs("\r\033[K", w->cmd->err);
		fflush(w->cmd->err);
	}
	platter_progress_free(w->signals, !rc);
	return rc;
}
