/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What writing metadata back needs of the cache, and nobody else. */
#ifndef PLT_QCOW2_CACHE_H
#define PLT_QCOW2_CACHE_H

#include "disk/qcow2/qcow2.h"

/* The most memory tables take when nothing else is said; DESIGN.md section 4 */
#define QCOW2_CACHE_BYTES	(32u << 20)

/* All under `lock`. */

size_t plt_qcow2_cache_nr_dirty(const struct plt_qcow2_cache *c);
/*
 * The dirty slices, ordered by table (refcount blocks last) and offset: made
 * clean and pinned. The array has room for nr_dirty() of them.
 */
void plt_qcow2_cache_take_dirty(struct plt_qcow2 *s,
				struct plt_qcow2_slice **out);

#endif
