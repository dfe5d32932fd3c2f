/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parts of `info`. */
#ifndef PLT_QCOW2_DESCRIBE_H
#define PLT_QCOW2_DESCRIBE_H

#include "disk/qcow2/qcow2.h"

/* The LUKS header's facts as members of the open map; no key is needed. */
int plt_qcow2_describe_luks(const struct plt_qcow2 *s,
			    struct platter_printer *out,
			    struct platter_error *err) PLATTER_MUST_CHECK;

#endif
