/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A binary heap in an array: children of i are 2i + 1 and 2i + 2. */
#include <stdlib.h>

#include "base/heap.h"
#include "base/mem.h"

int plt_heap_push(struct plt_heap *heap, const struct plt_heap_item *item,
		  struct platter_error *err)
{
	size_t i = heap->nr, parent;
	int rc;

	rc = plt_grow(&heap->item, &heap->room, heap->nr + 1,
		      sizeof(*heap->item), err);
	if (rc)
		return rc;
	heap->nr++;
	while (i && heap->item[parent = (i - 1) / 2].key > item->key) {
		heap->item[i] = heap->item[parent];
		i = parent;
	}
	heap->item[i] = *item;
	return 0;
}

void plt_heap_pop(struct plt_heap *heap)
{
	struct plt_heap_item *item = heap->item;
	const struct plt_heap_item moved = item[--heap->nr];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < heap->nr) {
		if (child + 1 < heap->nr && item[child + 1].key < item[child].key)
			child++;
		if (item[child].key >= moved.key)
			break;
		item[i] = item[child];
		i = child;
	}
	item[i] = moved;
}

void plt_heap_clear(struct plt_heap *heap)
{
	free(heap->item);
	*heap = (struct plt_heap){ .item = NULL };
}
