/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What rw.c and clear.c share. */
#ifndef PLT_CORE_RW_H
#define PLT_CORE_RW_H

#include <stdbool.h>
#include <stdint.h>

#include <platter/sys/driver.h>

/* -EROFS or -EINVAL when [offset, offset + len) cannot be written. */
int plt_rw_check(const struct platter_image *img, const char *what,
		 uint64_t offset, uint64_t len, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* The primary child. */
struct platter_image *plt_image_below(struct platter_image *img);
/* True when the range may be overwritten where it is. */
bool plt_map_in_place(const struct platter_map *m);

/* Around one I/O call; end passes `rc` on, or that of the flush asked for. */
void plt_io_begin(struct platter_image *img);
int plt_io_end(struct platter_image *img, int rc, struct platter_error *err)
	PLATTER_MUST_CHECK;

#endif
