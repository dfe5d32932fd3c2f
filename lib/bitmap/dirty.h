/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A dirty bitmap in memory: one bit for each 2^granularity_bits bytes of a
 * disk.
 *
 * Any number of threads may set bits at once; nothing else may run beside
 * resize() and free(). Memory is taken as bits are set, for 32768 of them at a
 * time.
 */
#ifndef PLT_BITMAP_DIRTY_H
#define PLT_BITMAP_DIRTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/error.h>

struct plt_dirty;

int plt_dirty_new(struct plt_dirty **out, uint64_t size,
		  unsigned int granularity_bits, struct platter_error *err)
	PLATTER_MUST_CHECK;
void plt_dirty_free(struct plt_dirty *d);	/* NULL is ok */

uint64_t plt_dirty_bits(const struct plt_dirty *d);	/* how many it has */
/*
 * Mark all that [offset, offset + len) touches; what lies beyond the size is
 * left out. Where there is no memory, all is dirty from then on.
 */
void plt_dirty_set(struct plt_dirty *d, uint64_t offset, uint64_t len);
/* True when any bit of [first, first + count) is set. */
bool plt_dirty_any(const struct plt_dirty *d, uint64_t first, uint64_t count);
/*
 * Set in `buf` (least significant bit first, bit 0 is `first`) what is set in
 * [first, first + count). `first` is a multiple of 64.
 */
void plt_dirty_or_into(const struct plt_dirty *d, uint64_t first,
		       uint64_t count, uint8_t *buf);
/* How many bits are set. */
uint64_t plt_dirty_count(const struct plt_dirty *d);
/* The first dirty bytes at or behind `offset`; false when there are none. */
bool plt_dirty_next(const struct plt_dirty *d, uint64_t offset,
		    uint64_t *start, uint64_t *len);
/* What is added is clean. -ENOMEM leaves it as it was. */
int plt_dirty_resize(struct plt_dirty *d, uint64_t size,
		     struct platter_error *err) PLATTER_MUST_CHECK;

#endif
