/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of built-in drivers: the only file that names every one.
 *
 * Among protocols, the first to claim a file name gets it: `file` takes
 * whatever is left and comes last.
 */
#include "base/mem.h"
#include "drivers.h"

static const struct platter_driver *const drivers[] = {
	&plt_raw_driver,
	&plt_qcow2_driver,
	&plt_writelog_driver,
	&plt_blkdebug_driver,
	&plt_blklogwrites_driver,
	&plt_host_device_driver,
	&plt_null_driver,
	&plt_file_driver,
};

int platter_context_new(struct platter_context **out, struct platter_error *err)
{
	return platter_context_new_with(out, drivers, PLT_ARRAY_SIZE(drivers),
					err);
}
