/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of `platter log record` share. */
#ifndef CMD_LOG_RECORD_H
#define CMD_LOG_RECORD_H

#include <signal.h>

#include "cmd.h"
#include "serve/serve.h"

struct record_options {
	unsigned int nr_words;		/* of the command */
	struct cmd_image image;
	struct cmd_output output;
	enum platter_cache cache;
	const char *cache_name;		/* as given, or NULL */
	struct cmd_key_values disks;	/* --disk NAME=SPEC */
	struct cmd_key_values logs;	/* --log FILE, PREFIX, NAME=FILE */
	uint64_t sector_size;		/* bytes, 0 = the log's, or 512 */
	bool append, force, overlay, nbd;
	bool base_copy;
	const char *base_path;		/* NULL = LOG.base */
	uint64_t stop_size;		/* bytes the logs grow by, 0 = no end */
	uint64_t stop_ns;		/* 0 = no end */
	const char *session;		/* where its socket goes, or NULL */
	bool progress, quiet;
};

struct record_disk {
	const char *name;		/* of --disk; NULL: the only one */
	const char *spec;
	const char *file;		/* the name it is served by */
	char *log, *base;		/* paths; `base` NULL = no copy */
	char *node;			/* spec of the node that records */
	bool made_log, made_base;
	char *path, *uri;		/* where it is served, or NULL */
	struct platter_image *img;	/* `node`, when served from here */
	uint64_t first_size;		/* bytes of log when it began */
	struct platter_record_stats stats;	/* as last asked for */
};

struct record {
	struct cmd *cmd;
	const struct record_options *o;
	char *const *command;		/* with placeholders */
	unsigned int nr_words;
	struct record_disk *disks;
	size_t nr_disks;
	char *program;			/* path of the command */
	bool wants_file, wants_nbd;
	char *dir;			/* private, for mounts and sockets */
	char *mount;			/* the file or folder FUSE covers */
	char *session_path;
	struct serve_disk *served;
	struct serve_session *session;
	struct serve_fuse *fuse;
	struct serve_nbd *nbd;
	sigset_t mask;			/* of the signals, for the command */
	uint64_t began, ended;		/* ns, monotonic */
	bool stopped;			/* by --stop-after */
};

/* log-record-disks.c: images, logs and copies; nothing is served yet. */
int record_disks(struct record *r, struct platter_error *err);
/* Look at the images, and make what there has to be before the command. */
int record_prepare(struct record *r, struct platter_error *err);
/* `keep`: the command has run, so the logs and copies stay. */
void record_disks_free(struct record *r, bool keep);

/* log-record-serve.c */
int record_serve(struct record *r, struct platter_error *err);
/* End the logs, and serve no longer. The first error is the one to tell. */
int record_serve_end(struct record *r, struct platter_error *err);

/* log-record-command.c */
/* What of {}, {nbd}, {a} and {nbd:a} the command's words have. */
int record_command_needs(struct record *r, struct platter_error *err);
/* Run it to its end; returns its exit status as a shell tells it. */
int record_command_run(struct record *r, struct platter_error *err);

/* log-record-report.c */
/* Ask the session about every disk; false where nobody answers. */
bool record_ask(struct record *r);
/* Bytes the logs have grown by, as last asked. */
uint64_t record_grown(const struct record *r);
void record_progress(struct record *r);
/* For SIGUSR1. */
void record_progress_line(struct record *r);
void record_progress_end(struct record *r);
int record_summary(struct record *r, int status, struct platter_error *err);

#endif
