// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Named hashes by OpenSSL's EVP interface, XXH3 by xxhash.
 */
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <xxhash.h>

#include "base/error.h"
#include "base/mem.h"

#define ZEROS 65536u	/* bytes hashed with a call; they stay cached */

struct plt_hash {
	EVP_MD_CTX *ctx;
	const char *name;
};

struct plt_xxh3 {
	XXH3_state_t *state;
};

const char *const plt_hash_names[] = {
	"md5", "sha1", "sha224", "sha256", "sha384", "sha512", NULL
};

static const unsigned char zeros[ZEROS];

static int hash_error(const struct plt_hash *h, struct platter_error *err)
{
	return plt_err_set(err, -EIO, "libcrypto cannot compute %s", h->name);
}

/* Our own copy of the name, or NULL. */
static const char *find_name(const char *name)
{
	for (size_t i = 0; plt_hash_names[i]; i++) {
		if (!strcmp(plt_hash_names[i], name))
			return plt_hash_names[i];
	}
	return NULL;
}

int plt_hash_new(struct plt_hash **out, const char *name,
		 struct platter_error *err)
{
	struct plt_hash *h;
	const char *known = find_name(name);
	const EVP_MD *md;
	int rc = 0;

	if (!known)
		return plt_err_set(err, -EINVAL, "hash \"%s\" is none of "
				   "md5, sha1, sha224, sha256, sha384 and "
				   "sha512", name);
	h = plt_calloc(1, sizeof(*h), err);
	if (!h)
		return -ENOMEM;
	h->name = known;
	h->ctx = EVP_MD_CTX_new();
	md = EVP_get_digestbyname(known);
	if (!h->ctx)
		rc = plt_err_set(err, -ENOMEM, "out of memory for %s", known);
	else if (!md || !EVP_DigestInit_ex(h->ctx, md, NULL))
		rc = hash_error(h, err);
	if (rc) {
		plt_hash_free(h);
		return rc;
	}
	*out = h;
	return 0;
}

void plt_hash_free(struct plt_hash *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

const char *plt_hash_name(const struct plt_hash *h)
{
	return h->name;
}

int plt_hash_reset(struct plt_hash *h, struct platter_error *err)
{
	/* Without a digest, what the context has is started over, cheaply. */
	return EVP_DigestInit_ex(h->ctx, NULL, NULL) ? 0 : hash_error(h, err);
}

int plt_hash_update(struct plt_hash *h, const void *buf, size_t len,
		    struct platter_error *err)
{
	return EVP_DigestUpdate(h->ctx, buf, len) ? 0 : hash_error(h, err);
}

int plt_hash_zeros(struct plt_hash *h, uint64_t len, struct platter_error *err)
{
	int rc = 0;

	while (len && !rc) {
		size_t n = PLT_MIN(len, (uint64_t)ZEROS);

		rc = plt_hash_update(h, zeros, n, err);
		len -= n;
	}
	return rc;
}

int plt_hash_final(struct plt_hash *h, char *hex, struct platter_error *err)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int len;

	if (!EVP_DigestFinal_ex(h->ctx, md, &len) ||
	    len > (PLT_HASH_HEX_MAX - 1) / 2)
		return hash_error(h, err);
	for (unsigned int i = 0; i < len; i++) {
		hex[2 * i] = digits[md[i] >> 4];
		hex[2 * i + 1] = digits[md[i] & 15];
	}
	hex[2 * len] = '\0';
	return 0;
}

int plt_xxh3_new(struct plt_xxh3 **out, struct platter_error *err)
{
	struct plt_xxh3 *h = plt_calloc(1, sizeof(*h), err);

	if (!h)
		return -ENOMEM;
	h->state = XXH3_createState();
	if (!h->state) {
		free(h);
		return plt_err_set(err, -ENOMEM, "out of memory for XXH3");
	}
	XXH3_64bits_reset(h->state);
	*out = h;
	return 0;
}

void plt_xxh3_update(struct plt_xxh3 *h, const void *buf, size_t len)
{
	XXH3_64bits_update(h->state, buf, len);
}

uint64_t plt_xxh3_digest(const struct plt_xxh3 *h)
{
	return XXH3_64bits_digest(h->state);
}

void plt_xxh3_free(struct plt_xxh3 *h)
{
	if (!h)
		return;
	XXH3_freeState(h->state);
	free(h);
}

struct plt_hash128 plt_xxh3_128(const void *buf, size_t len)
{
	const XXH128_hash_t h = XXH3_128bits(buf, len);

	return (struct plt_hash128){ .lo = h.low64, .hi = h.high64 };
}
