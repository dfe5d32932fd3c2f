/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A scratch node's leaves: what of a part of the disk was written, and read.
 *
 * The table says what there is of each leaf; locks are striped over its
 * places. plt_leaf_get() and _zero() want the leaf's lock for writing.
 */
#ifndef PLT_CRASH_LEAF_H
#define PLT_CRASH_LEAF_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crash/crash.h"
#include "crash/store.h"

#define PLT_LEAF_SECTOR		512u
#define PLT_LEAF_PAGES		64u
#define PLT_LEAF		((uint64_t)PLT_LEAF_PAGES * PLT_STORE_PAGE)
#define PLT_LEAF_WORDS		(PLT_LEAF / PLT_LEAF_SECTOR / 64)
#define PLT_LEAF_STRIPES	64u

/* What a page of a leaf is, instead of one in the store. */
#define PLT_LEAF_BELOW	UINT32_MAX
#define PLT_LEAF_ZERO	(UINT32_MAX - 1)

struct plt_leaf {
	uint32_t page[PLT_LEAF_PAGES];
	uint64_t own[PLT_LEAF_WORDS];	/* sectors written as a whole */
	_Atomic uint64_t read[PLT_LEAF_WORDS];
	struct plt_leaf *next;		/* while it is spare */
};

struct plt_scratch {
	struct platter_image *lower;
	struct plt_leaf **leaf;		/* mapped; NULL: as below */
	size_t nr_leaves, mapped;
	pthread_rwlock_t stripe[PLT_LEAF_STRIPES];	/* by leaf number */
	struct plt_store store;
	atomic_bool watch;
	atomic_bool read_all;
	pthread_mutex_t lock;		/* guards all below */
	struct plt_leaf *spare;
	size_t *used;			/* numbers of leaves */
	size_t nr_used, room_used;
};

/* In the table for a leaf that is zeros, all of it the user's; an address. */
extern struct plt_leaf plt_zero_leaf;

static inline pthread_rwlock_t *plt_leaf_stripe(struct plt_scratch *s,
						size_t number)
{
	return &s->stripe[number % PLT_LEAF_STRIPES];
}

/* The leaf, made if need be. */
int plt_leaf_get(struct plt_scratch *s, size_t number, struct plt_leaf **out,
		 struct platter_error *err) PLATTER_MUST_CHECK;
/* The whole leaf is zeros from now on. */
int plt_leaf_zero(struct plt_scratch *s, size_t number,
		  struct platter_error *err) PLATTER_MUST_CHECK;
void plt_leaf_put_page(struct plt_scratch *s, uint32_t *page, uint32_t instead);
/* Bytes [in, in + len) of the leaf were written. */
void plt_leaf_note_own(struct plt_leaf *leaf, size_t in, size_t len);
/* ... or are read; takes the lock itself. */
void plt_leaf_note_read(struct plt_scratch *s, size_t number, size_t in,
			size_t len);
/* Take all back, telling what was written (unless NULL). */
int plt_leaf_clear_all(struct plt_scratch *s, uint64_t size,
		       struct plt_crash_ranges *written);

/* scratch-io.c */
extern const struct platter_io_ops plt_scratch_io_ops;

#endif
