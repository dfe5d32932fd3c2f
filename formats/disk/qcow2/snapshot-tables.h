/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the changes of snapshots do to L1 and L2 tables. */
#ifndef PLT_QCOW2_SNAPSHOT_TABLES_H
#define PLT_QCOW2_SNAPSHOT_TABLES_H

#include "disk/qcow2/alloc.h"
#include "disk/qcow2/snapshot.h"

/* One change under way. */
struct plt_qcow2_change {
	struct plt_qcow2 *s;
	struct plt_qcow2_shadow *sh;
	struct plt_qcow2_snapshots *table;	/* the new one */
	struct plt_qcow2_switch to;
	uint8_t *l2;			/* a cluster */
};

/* An L1 table of zeros, in whole sectors as the image holds its own. */
uint64_t *plt_qcow2_change_new_l1(uint32_t entries, struct platter_error *err);
/* Write one to free clusters; 0 for the place of one without entries. */
int plt_qcow2_change_put_l1(struct plt_qcow2_change *c, const uint64_t *l1,
			    uint32_t entries, uint64_t *offset,
			    struct platter_error *err) PLATTER_MUST_CHECK;
/* Count down the clusters of an L1 table. */
int plt_qcow2_change_lower_l1(struct plt_qcow2_change *c, uint64_t offset,
			      uint32_t entries, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Count down all that an L1 table leads to; not the table itself. */
int plt_qcow2_change_lower(struct plt_qcow2_change *c, const uint64_t *l1,
			   uint32_t entries, struct platter_error *err)
	PLATTER_MUST_CHECK;
/*
 * Count up all that the entry `i` of `l1` leads to, for a second L1 table that
 * shares it. `replace`: an L2 table with COPIED in it is written anew without,
 * for both; else for the second alone. `*entry` is the second's.
 */
int plt_qcow2_change_share(struct plt_qcow2_change *c, const uint64_t *l1,
			   uint32_t i, bool replace, uint64_t *entry,
			   struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Set COPIED in and below the active entry `i` where refcounts are 1 now.
 * `*entry` is what it becomes.
 */
int plt_qcow2_change_own(struct plt_qcow2_change *c, uint32_t i,
			 uint64_t *entry, struct platter_error *err)
	PLATTER_MUST_CHECK;

#endif
