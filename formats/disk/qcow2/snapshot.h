/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Internal snapshots: the table in memory, and the shadow of the metadata by
 * which they are changed.
 */
#ifndef PLT_QCOW2_SNAPSHOT_H
#define PLT_QCOW2_SNAPSHOT_H

#include "disk/qcow2/qcow2.h"

/* ---- snapshot.c: the table ---- */

/* What a row says beyond what users are told. */
struct plt_qcow2_snapshot_row {
	uint64_t l1_offset;
	uint32_t l1_size;	/* entries */
	uint8_t *extra;		/* extra data behind what is known, or NULL */
	uint32_t extra_len;
};

struct plt_qcow2_snapshots {
	size_t nr;
	struct platter_snapshot *list;		/* strings are owned */
	struct plt_qcow2_snapshot_row *row;	/* as many */
	uint64_t table_size;	/* bytes on disk of what was loaded */
};

/* A copy without number `skip` (SIZE_MAX: none) and with room for one more. */
int plt_qcow2_snapshots_copy(struct plt_qcow2_snapshots **out,
			     const struct plt_qcow2_snapshots *old,
			     size_t skip, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Put a row behind the others; `id` and `name` of `info` are copied. */
int plt_qcow2_snapshots_append(struct plt_qcow2_snapshots *t,
			       const struct platter_snapshot *info,
			       const struct plt_qcow2_snapshot_row *row,
			       struct platter_error *err) PLATTER_MUST_CHECK;
void plt_qcow2_snapshots_table_free(struct plt_qcow2_snapshots *t);
/* Its bytes on disk: sets t->table_size, *buf is NULL for an empty table. */
int plt_qcow2_snapshots_encode(struct plt_qcow2_snapshots *t, uint8_t **buf,
			       struct platter_error *err) PLATTER_MUST_CHECK;
/* By ID or name; -ENOENT. */
int plt_qcow2_snapshot_find(const struct plt_qcow2 *s, const char *name,
			    bool name_first, size_t *index,
			    struct platter_error *err) PLATTER_MUST_CHECK;
/* The L1 table of number `i`, checked; the caller frees. */
int plt_qcow2_snapshot_read_l1(struct plt_qcow2 *s, size_t i, uint64_t **l1,
			       struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- shadow.c ---- */

/*
 * Changed metadata is written to clusters that are free, beside the old, with
 * a refcount table of its own that counts the new instead of the old. One
 * write of the header then switches over. Until then nothing on disk that is
 * in use has changed; from then on the old is free.
 *
 * For what runs alone, after plt_qcow2_settle(). Not under `lock`.
 */
struct plt_qcow2_shadow;

/* What the header says after the switch. */
struct plt_qcow2_switch {
	uint64_t size;			/* guest bytes */
	uint64_t *l1;			/* the new one, taken over; or NULL */
	uint32_t l1_size;		/* entries */
	uint64_t l1_offset;
	uint32_t nb_snapshots;
	uint64_t snapshots_offset;
};

int plt_qcow2_shadow_new(struct plt_qcow2_shadow **out, struct plt_qcow2 *s,
			 struct platter_error *err) PLATTER_MUST_CHECK;
void plt_qcow2_shadow_free(struct plt_qcow2_shadow *sh);	/* NULL ok */
/* The refcount of a cluster, as it will be. */
int plt_qcow2_shadow_get(struct plt_qcow2_shadow *sh, uint64_t cluster,
			 uint64_t *count, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Change the refcounts of [host, host + len) by one; those in use only. */
int plt_qcow2_shadow_raise(struct plt_qcow2_shadow *sh, uint64_t host,
			   uint64_t len, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_qcow2_shadow_lower(struct plt_qcow2_shadow *sh, uint64_t host,
			   uint64_t len, struct platter_error *err)
	PLATTER_MUST_CHECK;
/*
 * Write `len` bytes, padded with zeros to whole clusters, to consecutive
 * clusters that are free now, and count them once.
 */
int plt_qcow2_shadow_write(struct plt_qcow2_shadow *sh, const void *buf,
			   size_t len, uint64_t *host,
			   struct platter_error *err) PLATTER_MUST_CHECK;
/* Make all of it durable, and switch. */
int plt_qcow2_shadow_commit(struct plt_qcow2_shadow *sh,
			    struct plt_qcow2_switch *to,
			    struct platter_error *err) PLATTER_MUST_CHECK;

#endif
