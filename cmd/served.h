/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the verbs that serve an image share. */
#ifndef CMD_SERVED_H
#define CMD_SERVED_H

#include <signal.h>

#include "cmd.h"
#include "serve/serve.h"

/* -f, --image-opts, -U, ..., and -t, -r, --allow-other */
struct cmd_served {
	struct cmd_image image;
	enum platter_cache cache;
	const char *cache_name;		/* as given, or NULL */
	bool read_only;
	bool allow_other;
};
extern const struct argp cmd_served_argp;
#define CMD_CHILD_SERVED { .argp = &cmd_served_argp }
/*
 * Open it for writing, or for reading if it cannot be written whoever asks: a
 * snapshot, a moment of a log, an image on a read-only file system.
 */
int cmd_served_open(struct cmd *cmd, const struct cmd_served *o,
		    const char *spec, struct serve_disk *disk,
		    struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * Block the signals that end a server, and SIGCHLD, and make a descriptor that
 * reads them. Before there are threads. `mask` is what it was.
 */
int cmd_served_signals(int *fd, sigset_t *mask, struct platter_error *err)
	PLATTER_MUST_CHECK;

/*
 * A new private folder below TMPDIR to serve from, as an absolute path: a
 * command may have another current folder. The caller removes and frees it.
 */
int cmd_served_make_dir(char **dir, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* server.c: a process in the background that serves files */
struct cmd_server {
	const char *path;		/* where, as given */
	bool foreground;		/* stay, and be the process itself */
	/*
	 * In that process, which returns from the verb, too: open everything
	 * and serve it; `source` is for serve_fuse_options.
	 */
	int (*start)(void *arg, const char *source, struct serve_fuse **fuse,
		     struct platter_error *err);
	/* Close everything, now that nobody is served any more. */
	int (*finish)(void *arg, struct platter_error *err);
	void *arg;
};
/* Until it is unmounted or told to end. An exit code, or a negative errno. */
int cmd_server_run(const struct cmd_server *server, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* serve-run.c: the command of --run */
struct serve_run {
	const char *command;		/* with {} and {nbd} */
	const char *path, *uri, *session;	/* or NULL */
};
/* Is "{}" or "{nbd}" in it? */
bool serve_run_wants(const char *command, const char *placeholder);
int serve_run_start(const struct serve_run *run, const sigset_t *mask,
		    pid_t *pid, struct platter_error *err) PLATTER_MUST_CHECK;

#endif
