/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What FUSE and NBD do alike with the node they serve. */
#include <errno.h>

#include "serve.h"

int serve_read(const struct serve_disk *disk, void *buf, size_t len,
	       uint64_t offset, struct platter_error *err)
{
	return platter_image_pread(disk->img, buf, len, offset, err);
}

int serve_write(const struct serve_disk *disk, const void *buf, size_t len,
		uint64_t offset, bool fua, struct platter_error *err)
{
	return fua ? platter_image_pwrite_fua(disk->img, buf, len, offset,
					      err) :
		     platter_image_pwrite(disk->img, buf, len, offset, err);
}

int serve_zero(const struct serve_disk *disk, uint64_t offset, uint64_t len,
	       bool unmap, bool fua, struct platter_error *err)
{
	int rc = platter_image_zero(disk->img, offset, len,
				    unmap ? PLATTER_ZERO_UNMAP : 0, err);

	return rc || !fua ? rc : platter_image_flush(disk->img, err);
}

int serve_discard(const struct serve_disk *disk, uint64_t offset, uint64_t len,
		  bool fua, struct platter_error *err)
{
	int rc = platter_image_discard(disk->img, offset, len, err);

	return rc || !fua ? rc : platter_image_flush(disk->img, err);
}

int serve_flush(const struct serve_disk *disk, struct platter_error *err)
{
	return platter_image_flush(disk->img, err);
}

/* What a client can make something of; the rest is an I/O error. */
int serve_errno(int rc)
{
	switch (-rc) {
	case 0:
	case EINVAL:
	case ENOMEM:
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
	case EROFS:
	case EPERM:
	case EIO:
		return -rc;
	case ENOTSUP:
		return EOPNOTSUPP;
	default:
		return EIO;
	}
}
