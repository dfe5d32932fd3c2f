/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stands in until states-nbd.c is there. */
#include <errno.h>

#include "states.h"

int serve_states_nbd(struct platter_crash_presenter **out,
		     const struct serve_states_options *opts,
		     struct platter_error *err)
{
	(void)out;
	(void)opts;
	return platter_error_set(err, -ENOSYS, "%s", __func__);
}
