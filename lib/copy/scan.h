/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Read an image from front to back: many threads read and decompress, one at a
 * time gets to see the data, in ascending order.
 */
#ifndef PLT_COPY_SCAN_H
#define PLT_COPY_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include <platter/image.h>

struct platter_progress;

struct plt_scan_options {
	uint64_t offset;	/* bytes; the range to read */
	uint64_t length;
	unsigned int workers;	/* 0 = one per processor */
	struct platter_progress *progress;	/* or NULL */
	/*
	 * Called on a worker, never by two at once, with pieces of at most
	 * 1 MiB that do not overlap. What lies between them is zeros, which
	 * are not read; data may be zeros as well. An error ends the scan.
	 */
	int (*data)(void *arg, uint64_t offset, const void *buf, size_t len,
		    struct platter_error *err);
	void *arg;
};

int plt_scan(struct platter_image *img, const struct plt_scan_options *opts,
	     struct platter_error *err) PLATTER_MUST_CHECK;

#endif
