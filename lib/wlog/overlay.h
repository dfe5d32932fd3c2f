/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where in a write log the last write of each block is, for a disk whose
 * writes are kept in the log alone.
 *
 * Any number of threads may look; what changes it locks out the others.
 */
#ifndef PLT_WLOG_OVERLAY_H
#define PLT_WLOG_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>

#include <platter/error.h>

struct plt_overlay;

#define PLT_OVERLAY_SECTOR	512u	/* all ranges are multiples of it */

enum plt_overlay_kind {
	PLT_OVERLAY_NONE,	/* not written */
	PLT_OVERLAY_DATA,
	PLT_OVERLAY_ZERO,
};

struct plt_overlay_part {
	enum plt_overlay_kind kind;
	uint64_t length;
	uint64_t log_offset;	/* DATA: bytes into the log */
};

int plt_overlay_new(struct plt_overlay **out, uint64_t size,
		    struct platter_error *err) PLATTER_MUST_CHECK;
void plt_overlay_free(struct plt_overlay *o);	/* NULL is ok */

/*
 * [offset, offset + len) is now at `log_offset` of the log, or zeros when that
 * is 0. -ENOMEM may have done a part.
 */
int plt_overlay_set(struct plt_overlay *o, uint64_t offset, uint64_t len,
		    uint64_t log_offset, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* What [offset, offset + len) begins with; len > 0, any multiple of 1. */
struct plt_overlay_part plt_overlay_get(struct plt_overlay *o,
					uint64_t offset, uint64_t len);
int plt_overlay_resize(struct plt_overlay *o, uint64_t size,
		       struct platter_error *err) PLATTER_MUST_CHECK;

#endif
