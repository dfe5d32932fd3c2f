/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the presenter of copies share. */
#ifndef SERVE_STATES_COPY_H
#define SERVE_STATES_COPY_H

#include <sys/stat.h>
#include <time.h>

#include "states.h"

#define SERVE_COPY_CHUNK	(1u << 20)	/* copied at once */

struct serve_copy_slot {
	char *dir, *path;
	int pristine;		/* with reflinks; else -1 */
	bool known;		/* the pristine or the file holds a state: */
	struct stat left;	/* the file, as we left it, */
	struct timespec left_dir;	/* and its folder's change time */
	char *buf;		/* two chunks */
};

/* ---- states-copy-file.c ---- */

/* The error of the last system call on the slot's file. */
int serve_copy_trouble(const struct serve_copy_slot *s,
		       struct platter_error *err);
int serve_copy_remove_tree(const char *path);
/* A checker may have left anything there, under any name. */
int serve_copy_empty_folder(struct serve_copy_slot *s,
			    struct platter_error *err) PLATTER_MUST_CHECK;
/* In an empty folder. */
int serve_copy_new_file(struct serve_copy_slot *s, uint64_t size, int *fd,
			struct platter_error *err) PLATTER_MUST_CHECK;
/* Nothing was made, removed or renamed in the folder. */
bool serve_copy_is_only_file(const struct serve_copy_slot *s);
/*
 * The file we gave out, if it still is there and nobody else's; or -1. *held:
 * it is there, but somebody has it open.
 */
int serve_copy_take_back(struct serve_copy_slot *s, struct stat *st,
			 bool *held);
/* `st` is of the file we gave out: somebody has changed it since. */
bool serve_copy_touched(const struct serve_copy_slot *s, const struct stat *st);
/* Until a change would get another time than the last one of ours has. */
int serve_copy_leave_file(struct serve_copy_slot *s, int fd,
			  struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- states-copy-put.c ---- */

enum serve_copy_put {
	SERVE_COPY_FRESH,	/* the file holds zeros */
	SERVE_COPY_ALL,
	SERVE_COPY_DIFFERING,
};

int serve_copy_write(const struct serve_copy_slot *s, int fd, const char *buf,
		     size_t len, uint64_t offset, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Make a range as the node has it. */
int serve_copy_put(const struct serve_copy_slot *s, int fd,
		   struct platter_image *img, uint64_t offset, uint64_t len,
		   enum serve_copy_put how, struct platter_error *err)
	PLATTER_MUST_CHECK;

#endif
