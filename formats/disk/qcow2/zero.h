/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking guest clusters out of use. */
#ifndef PLT_QCOW2_ZERO_H
#define PLT_QCOW2_ZERO_H

#include "disk/qcow2/qcow2.h"

enum plt_qcow2_clear {
	QCOW2_CLEAR_ZERO,	/* reads as zeros, keeps its space */
	QCOW2_CLEAR_UNMAP,	/* reads as zeros, gives it up */
	QCOW2_CLEAR_DISCARD,	/* the same, as a guest's discard does */
	QCOW2_CLEAR_EMPTY,	/* unallocated: the backing file shows */
};

/*
 * What the clusters of [guest, guest + len) hold. `guest` is a multiple of the
 * cluster size, and the last cluster is meant as a whole. Without `lock`.
 */
int plt_qcow2_clear(struct plt_qcow2 *s, enum plt_qcow2_clear how,
		    uint64_t guest, uint64_t len, struct platter_error *err)
	PLATTER_MUST_CHECK;

#endif
