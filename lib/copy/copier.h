/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the copy engine share: one copy under way. */
#ifndef PLT_COPY_COPIER_H
#define PLT_COPY_COPIER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "copy/copy.h"
#include "copy/runner.h"

struct plt_rate;

/* Kinds of segments. */
enum {
	SEG_NONE,	/* nothing to do */
	SEG_DATA,	/* through a buffer */
	SEG_DIGEST,	/* the same, but not written */
	SEG_OFFLOAD,	/* stored in one long piece of a plain file */
	SEG_ZERO,
};

struct copier {
	struct platter_image *src;
	struct platter_image *dst;
	const struct plt_copy_options *opts;
	/*
	 * The target's cluster size, or 1: a cluster is copied whole or left
	 * out, so that none is allocated in pieces.
	 */
	uint64_t unit;
	uint64_t chunk;			/* most bytes in a buffer */
	uint64_t granule;		/* of zero detection, 0 = none */
	struct plt_runner *run;
	struct plt_rate *rate;		/* or NULL */
	uint64_t skipped;		/* guest bytes no worker sees */
	unsigned int write_stage;	/* of the runner; the digest is 0 */
	bool in_order;			/* the writing is a stage as well */
	pthread_mutex_t salvage;	/* guards the callback */
	void *zeros;			/* PLT_CHUNK_MAX of them, or NULL */
	_Atomic bool no_offload;	/* tried, and not supported */
	_Atomic uint64_t written;
	_Atomic uint64_t zeroed;
};

/* Bytes from `offset` to the next multiple of `unit`, at most `len`. */
static inline uint64_t plt_up_to_multiple(uint64_t offset, uint64_t len,
					  uint64_t unit)
{
	return PLT_MIN(len, unit - (offset & (unit - 1)));
}

static inline bool plt_segment_is_read(const struct plt_segment *seg)
{
	return seg->kind == SEG_DATA || seg->kind == SEG_DIGEST;
}

/* True when zeros there need not be written. */
static inline bool plt_copier_zero_already(const struct copier *c,
					   uint64_t offset)
{
	return c->opts->target_is_zero && !c->opts->allocate &&
	       offset >= c->opts->zero_from;
}

/* ---- work.c ---- */

/* What a worker does with a batch. */
int plt_copier_batch(void *arg, const struct plt_segment *segs, size_t nr,
		     void *buf, struct platter_error *err) PLATTER_MUST_CHECK;
/* Bytes of buffer it needs in front of the data. */
size_t plt_copier_notes(const struct copier *c);
int plt_copier_write_data(struct copier *c, const uint8_t *buf, size_t len,
			  uint64_t offset, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_copier_write_zeros(struct copier *c, uint64_t offset, uint64_t len,
			   struct platter_error *err) PLATTER_MUST_CHECK;
/* Read a segment; where that fails and it is wanted, what can be read of it. */
int plt_copier_read(struct copier *c, const struct plt_segment *seg,
		    uint8_t *buf, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- pack.c: compressed targets ---- */

/* Bytes of buffer that needs in front of the data. */
size_t plt_pack_room(const struct copier *c);
/* Compress `data`, of the batch's segments, into that room. */
int plt_pack_batch(struct copier *c, const struct plt_segment *segs, size_t nr,
		   const uint8_t *data, void *room, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Store what came of it. */
int plt_pack_store(struct copier *c, const struct plt_segment *segs, size_t nr,
		   const uint8_t *data, const void *room,
		   struct platter_error *err) PLATTER_MUST_CHECK;

#endif
