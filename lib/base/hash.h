/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Content hashes: those people know by name, XXH3 for our own files. */
#ifndef PLT_BASE_HASH_H
#define PLT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include <platter/error.h>

#define PLT_SHA256_HEX 65
#define PLT_HASH_HEX_MAX 129	/* of the longest, sha512 */

struct plt_hash;

/* "md5", "sha1", "sha224", "sha256", "sha384", "sha512", NULL. */
extern const char *const plt_hash_names[];

/* -EINVAL lists the names. */
int plt_hash_new(struct plt_hash **out, const char *name,
		 struct platter_error *err) PLATTER_MUST_CHECK;
void plt_hash_free(struct plt_hash *h);	/* NULL is ok */
const char *plt_hash_name(const struct plt_hash *h);
/* Start over; a new hash is started already. */
int plt_hash_reset(struct plt_hash *h, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_hash_update(struct plt_hash *h, const void *buf, size_t len,
		    struct platter_error *err) PLATTER_MUST_CHECK;
/* As many bytes of zeros. */
int plt_hash_zeros(struct plt_hash *h, uint64_t len, struct platter_error *err)
	PLATTER_MUST_CHECK;
/*
 * Lower-case digits, two for each byte of the hash, and a NUL; at most
 * PLT_HASH_HEX_MAX bytes. Reset before going on.
 */
int plt_hash_final(struct plt_hash *h, char *hex, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* 64-bit XXH3, streaming. */
struct plt_xxh3;
int plt_xxh3_new(struct plt_xxh3 **out, struct platter_error *err)
	PLATTER_MUST_CHECK;
void plt_xxh3_update(struct plt_xxh3 *h, const void *buf, size_t len);
uint64_t plt_xxh3_digest(const struct plt_xxh3 *h);
void plt_xxh3_free(struct plt_xxh3 *h);		/* NULL is ok */

/* 128-bit XXH3 of bytes in memory; the same on every machine. */
struct plt_hash128 {
	uint64_t lo, hi;
};
struct plt_hash128 plt_xxh3_128(const void *buf, size_t len);

#endif
