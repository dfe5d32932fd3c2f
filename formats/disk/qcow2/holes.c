/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the file may have holes where clusters are allocated.
 *
 * An image made with preallocation has all its clusters from the start, and
 * nothing in them: the map then asks the file, so that nobody reads zeros in
 * earnest. For other images that would cost a system call per extent and tell
 * nothing. As with QEMU, it is a matter of how many clusters have a refcount
 * and how few of them the file has room for.
 */
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/qcow2.h"

/* True when at least `enough` clusters of the file are in use. */
static bool many_in_use(struct plt_qcow2 *s, uint64_t clusters, uint64_t enough)
{
	uint64_t used = 0, refcount;

	PLT_LOCK_SCOPE(&s->lock);
	for (uint64_t i = 0; i < clusters && used < enough; i++) {
		if (plt_qcow2_refcount_get(s, i, &refcount, NULL) < 0)
			return false;
		used += refcount != 0;
	}
	return used >= enough;
}

bool plt_qcow2_has_holes(struct plt_qcow2 *s)
{
	int64_t allocated = platter_image_allocated(s->file);
	uint64_t size = platter_image_size(s->file);
	uint64_t clusters = (size >> s->cluster_bits) +
			    !!(size & (s->cluster_size - 1));
	uint64_t stored, enough;

	if (s->data_file || allocated < 0)
		return false;
	stored = (uint64_t)allocated >> s->cluster_bits;
	enough = PLT_MAX(stored * 10 / 9, stored + 2);
	/* Most files are not sparse, and done with here. */
	if (enough > clusters)
		return false;
	if (!s->reftable && plt_qcow2_reftable_load(s, NULL) < 0)
		return false;
	return many_in_use(s, clusters, enough);
}
