/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sources of `platter convert`. */
#ifndef CMD_CONVERT_H
#define CMD_CONVERT_H

#include "cmd.h"

struct cmd_sources {
	struct cmd_image image;
	enum platter_cache cache;
	const char *snapshot;	/* as -l takes it, or NULL */
};

/* Open all of them, as one image. */
int cmd_sources_open(struct cmd *cmd, const struct cmd_sources *sources,
		     char *const *names, unsigned int nr,
		     struct platter_image **out, struct platter_error *err)
	PLATTER_MUST_CHECK;

#endif
