/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preallocation: room for data that has not been written yet.
 *
 * Zeroing without leave to punch a hole reserves space on any storage that can
 * do that, and writes zeros on the others.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "core/rw.h"

#define ZEROS	(1u << 20)	/* bytes written at a time */

static const char *const names[PLATTER_NR_PREALLOC] = {
	[PLATTER_PREALLOC_OFF] = "off",
	[PLATTER_PREALLOC_METADATA] = "metadata",
	[PLATTER_PREALLOC_FALLOC] = "falloc",
	[PLATTER_PREALLOC_FULL] = "full",
};

int platter_preallocation_parse(enum platter_preallocation *out,
				const char *name, struct platter_error *err)
{
	for (unsigned int i = 0; i < PLATTER_NR_PREALLOC; i++) {
		if (!strcmp(name, names[i])) {
			*out = i;
			return 0;
		}
	}
	return plt_err_set(err, -EINVAL, "preallocation \"%s\" is not one of "
			   "off, metadata, falloc, full", name);
}

int plt_image_reserve(struct platter_image *img, uint64_t offset, uint64_t len,
		      enum platter_preallocation mode,
		      struct platter_error *err)
{
	plt_auto_free void *zeros = NULL;
	int rc = 0;

	if (mode == PLATTER_PREALLOC_FALLOC)
		return len ? platter_image_zero(img, offset, len, 0, err) : 0;
	zeros = plt_calloc(1, ZEROS, err);
	if (!zeros)
		return -ENOMEM;
	while (rc == 0 && len) {
		uint64_t n = PLT_MIN(len, (uint64_t)ZEROS);

		rc = platter_image_pwrite(img, zeros, n, offset, err);
		offset += n;
		len -= n;
	}
	return rc;
}

int platter_image_preallocate(struct platter_image *img, uint64_t offset,
			      uint64_t len, enum platter_preallocation mode,
			      struct platter_error *err)
{
	const struct platter_format_ops *format = img->drv->format;
	int rc;

	rc = plt_rw_check(img, "preallocating", offset, len, err);
	if (rc < 0 || mode == PLATTER_PREALLOC_OFF || len == 0)
		return rc;
	if (img->drv->kind == PLATTER_DRIVER_FORMAT && format->preallocate) {
		platter_image_enter_alone(img);
		rc = format->preallocate(img, offset, len, mode, err);
		platter_image_leave_alone(img);
		return plt_image_prefix(img, rc, err);
	}
	if (mode == PLATTER_PREALLOC_METADATA)
		return plt_err_set(err, -ENOTSUP, "%s: Unsupported "
				   "preallocation mode: %s has no metadata",
				   img->name, img->drv->name);
	return plt_image_reserve(img, offset, len, mode, err);
}
