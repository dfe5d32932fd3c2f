/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hash of guest content, fed in ascending order with zeros left out: the
 * same value for the same bytes in any format.
 *
 *	plt_digest_new(&d, "sha256", err);
 *	plt_digest_at(d, 65536, buf, len, err);	 (0 to 65536 are zeros)
 *	plt_digest_end(d, size, hex, err);	 (and so is the rest)
 *	plt_digest_free(d);
 *
 * plt_scan() of copy/scan.h calls back in just that manner. To hash pieces of
 * an image, plt_digest_start() at the beginning of each.
 */
#ifndef PLT_COPY_DIGEST_H
#define PLT_COPY_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include <platter/error.h>

#include "base/hash.h"

struct plt_digest;

/* `name` is one of plt_hash_names. Starts at offset 0. */
int plt_digest_new(struct plt_digest **out, const char *name,
		   struct platter_error *err) PLATTER_MUST_CHECK;
void plt_digest_free(struct plt_digest *d);	/* NULL is ok */
/* Forget what was hashed; what comes next is at `offset`. */
int plt_digest_start(struct plt_digest *d, uint64_t offset,
		     struct platter_error *err) PLATTER_MUST_CHECK;
/* Zeros up to `offset`, which is not before what was hashed, then `buf`. */
int plt_digest_at(struct plt_digest *d, uint64_t offset, const void *buf,
		  size_t len, struct platter_error *err) PLATTER_MUST_CHECK;
/* Zeros up to `end`; then the hash, at most PLT_HASH_HEX_MAX bytes. */
int plt_digest_end(struct plt_digest *d, uint64_t end, char *hex,
		   struct platter_error *err) PLATTER_MUST_CHECK;

#endif
