// SPDX-License-Identifier: LGPL-2.1-or-later
/* The hash of guest content, fed in ascending order with zeros left out. */
#include "copy/digest.h"

#include <inttypes.h>

#include "base/error.h"
#include "base/mem.h"

struct plt_digest {
	struct plt_hash *hash;
	uint64_t at;		/* hashed up to here, bytes */
};

int plt_digest_new(struct plt_digest **out, const char *name,
		   struct platter_error *err)
{
	struct plt_digest *d = plt_calloc(1, sizeof(*d), err);
	int rc;

	if (!d)
		return -ENOMEM;
	rc = plt_hash_new(&d->hash, name, err);
	if (rc) {
		free(d);
		return rc;
	}
	*out = d;
	return 0;
}

void plt_digest_free(struct plt_digest *d)
{
	if (!d)
		return;
	plt_hash_free(d->hash);
	free(d);
}

int plt_digest_start(struct plt_digest *d, uint64_t offset,
		     struct platter_error *err)
{
	d->at = offset;
	return plt_hash_reset(d->hash, err);
}

int plt_digest_at(struct plt_digest *d, uint64_t offset, const void *buf,
		  size_t len, struct platter_error *err)
{
	int rc;

	if (offset < d->at)
		return plt_err_set(err, -EINVAL, "offset %" PRIu64 " is hashed "
				   "already, up to %" PRIu64, offset, d->at);
	rc = plt_hash_zeros(d->hash, offset - d->at, err);
	if (!rc && len)
		rc = plt_hash_update(d->hash, buf, len, err);
	d->at = offset + len;
	return rc;
}

int plt_digest_end(struct plt_digest *d, uint64_t end, char *hex,
		   struct platter_error *err)
{
	int rc = plt_digest_at(d, end, NULL, 0, err);

	return rc ? rc : plt_hash_final(d->hash, hex, err);
}
