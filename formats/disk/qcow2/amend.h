/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The larger steps of amending. All run alone and not under `lock`. */
#ifndef PLT_QCOW2_AMEND_H
#define PLT_QCOW2_AMEND_H

#include "disk/qcow2/qcow2.h"

/* Give every refcount 1 << `order` bits. */
int plt_qcow2_change_refcount_order(struct plt_qcow2 *s, unsigned int order,
				    struct platter_progress *progress,
				    struct platter_error *err)
	PLATTER_MUST_CHECK;
/* From version 2 to 3. */
int plt_qcow2_upgrade(struct plt_qcow2 *s, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Whether version 2 can hold the image, when its refcounts have 16 bits. */
int plt_qcow2_check_downgrade(struct plt_qcow2 *s, bool force,
			      struct platter_error *err) PLATTER_MUST_CHECK;
/* From version 3 to 2, with refcounts of 16 bits. */
int plt_qcow2_downgrade(struct plt_qcow2 *s, struct platter_progress *progress,
			struct platter_error *err) PLATTER_MUST_CHECK;

#endif
