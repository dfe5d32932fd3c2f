/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files that change an image share with one another: refcounts,
 * allocation, claims, and tables that may be written.
 *
 * Everything here is under `lock`, and what may do I/O lets it go meanwhile.
 */
#ifndef PLT_QCOW2_ALLOC_H
#define PLT_QCOW2_ALLOC_H

#include "base/endian.h"
#include "base/mem.h"
#include "disk/qcow2/qcow2.h"

/* A power cut leaves a sector old or new, and so L1 entries go out by these. */
#define QCOW2_SECTOR		512u
#define QCOW2_PER_SECTOR	(QCOW2_SECTOR / 8)

static inline uint64_t plt_qcow2_l1_get(const struct plt_qcow2 *s, uint64_t i)
{
	return plt_be64(&s->l1[i]);
}

static inline void plt_qcow2_l1_set(struct plt_qcow2 *s, uint64_t i,
				    uint64_t value)
{
	plt_put_be64(&s->l1[i], value);
	s->l1_dirty[i / QCOW2_PER_SECTOR] = 1;
}

static inline uint64_t plt_qcow2_clusters(const struct plt_qcow2 *s,
					  uint64_t bytes)
{
	return (bytes >> s->cluster_bits) +
	       !!(bytes & (s->cluster_size - 1));
}

/* True when the cluster may be written by nobody but this image's guest. */
static inline bool plt_qcow2_own_host(const struct plt_qcow2_entry *e)
{
	return e->copied && (e->kind == QCOW2_NORMAL ||
			     e->kind == QCOW2_ZERO_ALLOCATED);
}

static inline bool plt_qcow2_has_host(const struct plt_qcow2_entry *e)
{
	return e->kind == QCOW2_NORMAL || e->kind == QCOW2_ZERO_ALLOCATED;
}

/* ---- refcount.c ---- */

/* The block with the refcount of `cluster`; 0 = there is none. */
int plt_qcow2_refblock(struct plt_qcow2 *s, uint64_t cluster, uint64_t *block,
		       struct platter_error *err) PLATTER_MUST_CHECK;
/* The slice with it, in that block, and its index in there. */
int plt_qcow2_refcount_slice(struct plt_qcow2 *s, uint64_t cluster,
			     uint64_t block, struct plt_qcow2_slice **out,
			     uint64_t *index, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* How many refcounts a slice has. */
uint64_t plt_qcow2_refcounts_per_slice(const struct plt_qcow2 *s);
/*
 * Lower the refcount of a cluster that nothing on disk refers to by this
 * reference. 1: it is free now.
 */
int plt_qcow2_refcount_lower(struct plt_qcow2 *s, uint64_t cluster,
			     struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- reftable.c: the refcount table grows ---- */

/* A new block for the part of the table `index` stands for, at `cluster`. */
int plt_qcow2_refblock_add(struct plt_qcow2 *s, uint64_t index,
			   uint64_t cluster, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Make room in the table for the index `last`. */
int plt_qcow2_reftable_grow(struct plt_qcow2 *s, uint64_t last,
			    struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- alloc.c ---- */

struct plt_qcow2_run {
	uint64_t host;		/* bytes */
	uint64_t clusters;
	bool fresh;		/* the file is zeros there */
};

/* Between `min` and `want` consecutive clusters. */
int plt_qcow2_alloc_run(struct plt_qcow2 *s, uint64_t min, uint64_t want,
			struct plt_qcow2_run *out, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Make `s->file` at least `end` bytes long. */
int plt_qcow2_extend_file(struct plt_qcow2 *s, uint64_t end,
			  struct platter_error *err) PLATTER_MUST_CHECK;
/* Cut off what extending in larger steps has added. Alone. */
int plt_qcow2_trim_file(struct plt_qcow2 *s, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Write outside of `lock` what has been allocated. */
int plt_qcow2_put(struct plt_qcow2 *s, const void *buf, uint64_t len,
		  uint64_t host, struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- limbo.c ---- */

bool plt_qcow2_limbo_empty(const struct plt_qcow2 *s);
/*
 * Step 5: lower the refcounts. Alone, without `lock`, with all that gave the
 * clusters up durable. What fails leaks.
 */
int plt_qcow2_limbo_process(struct plt_qcow2 *s, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- l2.c ---- */

/*
 * The slice with the entry of the guest cluster at `guest`, of a table that is
 * the active one's own, made if need be; *raw is the entry in it, and *left
 * how many entries the slice has from there on. The claim on the cluster keeps
 * it so until the slice is put.
 */
int plt_qcow2_l2_write(struct plt_qcow2 *s, uint64_t guest,
		       struct plt_qcow2_slice **out, uint8_t **raw,
		       uint64_t *left, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* How far a request at `offset` goes with the entries of one slice. */
uint64_t plt_qcow2_l2_clip(const struct plt_qcow2 *s, uint64_t offset,
			   uint64_t len);
/* Give up what an entry that is not used any more stands for. */
void plt_qcow2_release(struct plt_qcow2 *s, const struct plt_qcow2_entry *e,
		       bool discard);

/* Nothing is written to an image found corrupt. */
int plt_qcow2_check_broken(const struct plt_qcow2 *s,
			   struct platter_error *err) PLATTER_MUST_CHECK;

#endif
