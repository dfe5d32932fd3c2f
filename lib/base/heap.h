/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A binary heap: the item with the smallest key comes first. */
#ifndef PLT_BASE_HEAP_H
#define PLT_BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include <platter/error.h>

struct plt_heap_item {
	uint64_t key;
	uint64_t a;		/* the caller's */
};

/* All zero is an empty heap; item[0] is the first while nr > 0. */
struct plt_heap {
	struct plt_heap_item *item;
	size_t nr, room;
};

int plt_heap_push(struct plt_heap *heap, const struct plt_heap_item *item,
		  struct platter_error *err) PLATTER_MUST_CHECK;
/* Remove the first item; the heap must not be empty. */
void plt_heap_pop(struct plt_heap *heap);
void plt_heap_clear(struct plt_heap *heap);	/* and free its memory */

#endif
