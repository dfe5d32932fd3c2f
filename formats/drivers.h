/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every built-in driver; builtin.c puts them into the table. */
#ifndef PLT_FORMATS_DRIVERS_H
#define PLT_FORMATS_DRIVERS_H

#include <platter/sys/driver.h>

/* proto/ */
extern const struct platter_driver plt_file_driver;
extern const struct platter_driver plt_host_device_driver;
extern const struct platter_driver plt_null_driver;

/* disk/ */
extern const struct platter_driver plt_qcow2_driver;
extern const struct platter_driver plt_raw_driver;
extern const struct platter_driver plt_writelog_driver;

/* filter/ */
extern const struct platter_driver plt_blkdebug_driver;
extern const struct platter_driver plt_blklogwrites_driver;

#endif
