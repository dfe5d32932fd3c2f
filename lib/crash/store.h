/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages of a scratch node: some in memory, the others in an unlinked file
 * below TMPDIR. Getting and putting back is safe in any number of threads; who
 * may touch a page is the caller's to order.
 */
#ifndef PLT_CRASH_STORE_H
#define PLT_CRASH_STORE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/error.h>

#define PLT_STORE_PAGE	4096u

struct plt_store_free {
	uint32_t *at;
	size_t nr, room;
};

struct plt_store {
	unsigned char *memory;		/* all of it, mapped; resident as used */
	uint64_t max_memory;		/* pages; immutable */
	pthread_mutex_t lock;		/* guards all below */
	uint64_t nr_memory;		/* pages that were ever in use */
	uint64_t nr_file;
	struct plt_store_free free_memory, free_file;
	int fd;				/* -1 until needed */
};

/* `memory`: bytes. */
int plt_store_init(struct plt_store *s, uint64_t memory,
		   struct platter_error *err) PLATTER_MUST_CHECK;
void plt_store_clear(struct plt_store *s);
/* Take all pages back; memory is kept, the file is emptied. */
void plt_store_reset(struct plt_store *s);

/* A page, of any content. */
int plt_store_get(struct plt_store *s, uint32_t *page,
		  struct platter_error *err) PLATTER_MUST_CHECK;
void plt_store_put(struct plt_store *s, uint32_t page);
int plt_store_read(struct plt_store *s, uint32_t page, void *buf, size_t len,
		   size_t in, struct platter_error *err) PLATTER_MUST_CHECK;
int plt_store_write(struct plt_store *s, uint32_t page, const void *buf,
		    size_t len, size_t in, struct platter_error *err)
	PLATTER_MUST_CHECK;

#endif
