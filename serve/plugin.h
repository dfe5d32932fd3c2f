/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the nbdkit plugin share. */
#ifndef SERVE_PLUGIN_H
#define SERVE_PLUGIN_H

#include "serve.h"

/* An image and the name its export has. */
struct serve_export {
	const char *name;	/* "" when it is the only one and has none */
	const char *spec;	/* as the user gave it */
	char *file_name;	/* in a FUSE directory */
	char *description;
	uint32_t preferred;	/* block size, bytes */
	const struct serve_disk *disk;
};

/* What the parameters say; the strings are nbdkit's, or never freed. */
struct serve_plugin {
	struct serve_export *exports;
	struct serve_disk *disks;	/* one per export */
	size_t nr_exports;
	struct platter_open_options open;
	enum platter_follow follow;
	const char *session, *fuse;	/* absolute paths, or NULL */
	bool direct;
	int parent_fd;			/* or -1 */
};

/* Callbacks of nbdkit, by its names: plugin-config.c. */
extern const char serve_plugin_help[];
int serve_plugin_config(struct serve_plugin *p, const char *key,
			const char *value);
int serve_plugin_config_complete(const struct serve_plugin *p);
/* Was nbdkit started with -r? */
bool serve_plugin_read_only(void);

/* plugin-parent.c */
struct serve_parent;
/*
 * When nobody has the other end of the pipe `fd` any more, disconnect the
 * clients and end nbdkit. Connections to the Unix socket `spared` (or NULL) are
 * not clients.
 */
int serve_parent_watch(struct serve_parent **out, int fd, const char *spared);
void serve_parent_unwatch(struct serve_parent *parent);
/* Tell it that all is there which was asked for. */
int serve_parent_tell(int fd);

#endif
