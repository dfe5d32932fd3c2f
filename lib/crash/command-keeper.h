/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the two files of a keeper share. */
#ifndef PLT_CRASH_COMMAND_KEEPER_H
#define PLT_CRASH_COMMAND_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "crash/command.h"

#define PLT_KEEPER_SOCK	3	/* the descriptor of its end of the socket */

struct plt_keeper {
	struct plt_keeper_shared *shared;
	int children;		/* signalfd */
	pid_t self;
	bool gone;		/* platter is, or wants no more */
	/* The strings of a request, with the vectors that point into them. */
	void *map;
	size_t map_size;
	char **words, **env;
	const char *program;
	/* The last of the output, as a ring. */
	char output[PLATTER_CRASH_OUTPUT_MAX];
	uint64_t written;
	char chunk[64u << 10];	/* to read into */
};

/* ---- command-child.c ---- */

/*
 * Run the program of a request, whose vectors are laid out, to its end and the
 * end of all it has started. What it printed is in the ring, all else in `a`.
 */
void plt_keeper_run(struct plt_keeper *k, const struct plt_keeper_request *req,
		    struct plt_keeper_answer *a);

#endif
