// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * SHA-256 by OpenSSL's EVP interface, XXH3 by xxhash.
 */
#include "base/hash.h"

#include <stdlib.h>

#include <openssl/evp.h>
#include <xxhash.h>

#include "base/error.h"
#include "base/mem.h"

struct plt_sha256 {
	EVP_MD_CTX *ctx;
};

struct plt_xxh3 {
	XXH3_state_t *state;
};

static int sha256_error(struct platter_error *err)
{
	return plt_err_set(err, -EIO, "libcrypto cannot compute SHA-256");
}

int plt_sha256_new(struct plt_sha256 **out, struct platter_error *err)
{
	struct plt_sha256 *h = plt_calloc(1, sizeof(*h), err);
	int rc;

	if (!h)
		return -ENOMEM;
	h->ctx = EVP_MD_CTX_new();
	rc = h->ctx ? plt_sha256_reset(h, err) :
		      plt_err_set(err, -ENOMEM, "out of memory for SHA-256");
	if (rc) {
		plt_sha256_free(h);
		return rc;
	}
	*out = h;
	return 0;
}

void plt_sha256_free(struct plt_sha256 *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

int plt_sha256_reset(struct plt_sha256 *h, struct platter_error *err)
{
	/* Without a digest, what the context has is started over, cheaply. */
	const EVP_MD *md = EVP_MD_CTX_get0_md(h->ctx) ? NULL : EVP_sha256();

	return EVP_DigestInit_ex(h->ctx, md, NULL) ? 0 : sha256_error(err);
}

int plt_sha256_update(struct plt_sha256 *h, const void *buf, size_t len,
		      struct platter_error *err)
{
	return EVP_DigestUpdate(h->ctx, buf, len) ? 0 : sha256_error(err);
}

int plt_sha256_final(struct plt_sha256 *h, char hex[PLT_SHA256_HEX],
		     struct platter_error *err)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int len;

	if (!EVP_DigestFinal_ex(h->ctx, md, &len) ||
	    len != (PLT_SHA256_HEX - 1) / 2)
		return sha256_error(err);
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
