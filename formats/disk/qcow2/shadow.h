/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shadow of the refcounts from within: shadow.c and shadow-switch.c. */
#ifndef PLT_QCOW2_SHADOW_H
#define PLT_QCOW2_SHADOW_H

#include "disk/qcow2/alloc.h"
#include "disk/qcow2/snapshot.h"

/* A refcount block that has changed. */
struct plt_qcow2_shadow_block {
	uint8_t *data;		/* NULL: written to `offset` */
	uint64_t offset;	/* its new place, 0 = none yet */
	bool changed;		/* since it was written there */
	bool released;		/* the old one has been given up */
};

struct plt_qcow2_shadow_run {
	uint64_t offset, len;
};

struct plt_qcow2_shadow {
	struct plt_qcow2 *s;
	uint64_t *old;			/* refcount table as on disk */
	size_t old_entries;
	struct plt_qcow2_shadow_block **block;	/* NULL: as in `old` */
	size_t entries;			/* of `block` */
	size_t *order;			/* loaded ones, oldest first: a ring */
	size_t order_room, order_at, nr_loaded, max_loaded;
	/* Free clusters. */
	uint64_t next;			/* the first not looked at */
	uint8_t *view;			/* the old block `view_index` */
	size_t view_index;		/* SIZE_MAX: none */
	/* Where the new refcount table goes. */
	uint64_t table_offset, table_len;
	bool table_released;		/* the old one has been given up */
	struct plt_qcow2_shadow_run *freed;
	size_t nr_freed, freed_room;
};

enum plt_qcow2_shadow_change {
	SHADOW_RAISE,		/* one more; not from 0 */
	SHADOW_LOWER,		/* one less */
	SHADOW_TAKE,		/* from 0 to 1 */
};

/* Change the refcounts of [host, host + len). */
int plt_qcow2_shadow_change(struct plt_qcow2_shadow *sh, uint64_t host,
			    uint64_t len, enum plt_qcow2_shadow_change what,
			    struct platter_error *err) PLATTER_MUST_CHECK;
/* Find `clusters` free ones in a row; they are not counted yet. */
int plt_qcow2_shadow_take(struct plt_qcow2_shadow *sh, uint64_t clusters,
			  uint64_t *first, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Where the old block of that number is; 0 when there is none. */
int plt_qcow2_shadow_old(const struct plt_qcow2_shadow *sh, size_t index,
			 uint64_t *offset, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Write to clusters that have been found so. */
int plt_qcow2_shadow_put(struct plt_qcow2_shadow *sh, const void *buf,
			 size_t len, uint64_t offset, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Write a block that is in memory to its place, if it has changed. */
int plt_qcow2_shadow_put_block(struct plt_qcow2_shadow *sh,
			       struct plt_qcow2_shadow_block *b,
			       struct platter_error *err) PLATTER_MUST_CHECK;

#endif
