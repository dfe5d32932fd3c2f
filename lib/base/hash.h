/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Content hashes: SHA-256 for people, XXH3 for our own files. */
#ifndef PLT_BASE_HASH_H
#define PLT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include <platter/error.h>

#define PLT_SHA256_HEX 65

struct plt_sha256;

int plt_sha256_new(struct plt_sha256 **out, struct platter_error *err)
	PLATTER_MUST_CHECK;
void plt_sha256_free(struct plt_sha256 *h);	/* NULL is ok */
/* Start over; a new hash is started already. */
int plt_sha256_reset(struct plt_sha256 *h, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_sha256_update(struct plt_sha256 *h, const void *buf, size_t len,
		      struct platter_error *err) PLATTER_MUST_CHECK;
int plt_sha256_final(struct plt_sha256 *h, char hex[PLT_SHA256_HEX],
		     struct platter_error *err) PLATTER_MUST_CHECK;

/* 64-bit XXH3, streaming. */
struct plt_xxh3;
int plt_xxh3_new(struct plt_xxh3 **out, struct platter_error *err)
	PLATTER_MUST_CHECK;
void plt_xxh3_update(struct plt_xxh3 *h, const void *buf, size_t len);
uint64_t plt_xxh3_digest(const struct plt_xxh3 *h);
void plt_xxh3_free(struct plt_xxh3 *h);		/* NULL is ok */

#endif
