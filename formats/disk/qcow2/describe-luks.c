/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The LUKS header in an encrypted image, for `info`: nothing is decrypted.
 *
 * Source: LUKS1 On-Disk Format Specification 1.2.3, section 2. Texts in it are
 * padded with zeros, numbers are big-endian, offsets count sectors of 512.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <platter/out.h>

#include "base/endian.h"
#include "base/error.h"
#include "disk/qcow2/describe.h"

#define LUKS_HEADER		592	/* bytes */
#define LUKS_MAGIC		"LUKS\xba\xbe"
#define LUKS_VERSION		6
#define LUKS_CIPHER_NAME	8	/* 32 bytes, as are the next two */
#define LUKS_CIPHER_MODE	40
#define LUKS_HASH		72
#define LUKS_PAYLOAD		104
#define LUKS_KEY_BYTES		108
#define LUKS_DIGEST_ITERS	164
#define LUKS_UUID		168	/* 40 bytes */
#define LUKS_SLOTS		208
#define LUKS_NR_SLOTS		8
#define LUKS_SLOT		48
#define SLOT_ACTIVE		0
#define SLOT_ITERS		4
#define SLOT_OFFSET		40
#define SLOT_STRIPES		44
#define SLOT_IS_ACTIVE		0x00ac71f3u
#define SECTOR			512u
#define TEXT			41

static void take_text(char out[TEXT], const uint8_t *p, size_t len)
{
	memcpy(out, p, len);
	out[len] = '\0';
}

/* "xts-plain64", "cbc-essiv:sha256": mode, IV generator, its hash. */
static void split_mode(char *mode, const char **ivgen, const char **hash)
{
	char *dash = strchr(mode, '-'), *colon;

	*ivgen = *hash = NULL;
	if (!dash)
		return;
	*dash = '\0';
	*ivgen = dash + 1;
	colon = strchr(dash + 1, ':');
	if (colon) {
		*colon = '\0';
		*hash = colon + 1;
	}
}

static void print_slot(struct platter_printer *out, const uint8_t *slot)
{
	bool active = plt_be32(slot + SLOT_ACTIVE) == SLOT_IS_ACTIVE;

	platter_out_map(out, NULL);
	platter_out_bool(out, "active", active);
	if (active)
		platter_out_u64(out, "iters", plt_be32(slot + SLOT_ITERS));
	platter_out_u64(out, "key-offset", (uint64_t)SECTOR *
			plt_be32(slot + SLOT_OFFSET));
	if (active)
		platter_out_u64(out, "stripes", plt_be32(slot + SLOT_STRIPES));
	platter_out_end(out);
}

static void print_cipher(struct platter_printer *out, const uint8_t *p)
{
	uint32_t bits = plt_be32(p + LUKS_KEY_BYTES) * 8;
	char name[TEXT], mode[TEXT], text[TEXT + 16];
	char hash_alg[TEXT], uuid[TEXT];
	const char *ivgen, *hash;

	take_text(name, p + LUKS_CIPHER_NAME, 32);
	take_text(mode, p + LUKS_CIPHER_MODE, 32);
	take_text(hash_alg, p + LUKS_HASH, 32);
	take_text(uuid, p + LUKS_UUID, 40);
	split_mode(mode, &ivgen, &hash);
	/* XTS takes two keys of half the length. */
	if (!strcmp(mode, "xts"))
		bits /= 2;
	snprintf(text, sizeof(text), "%s-%" PRIu32, name, bits);
	if (ivgen)
		platter_out_string(out, "ivgen-alg", ivgen);
	platter_out_string(out, "hash-alg", hash_alg);
	platter_out_string(out, "cipher-alg", text);
	platter_out_string(out, "uuid", uuid);
	if (hash)
		platter_out_string(out, "ivgen-hash-alg", hash);
	platter_out_string(out, "format", "luks");
	platter_out_string(out, "cipher-mode", mode);
}

int plt_qcow2_describe_luks(const struct plt_qcow2 *s,
			    struct platter_printer *out,
			    struct platter_error *err)
{
	uint64_t end = platter_image_size(s->file);
	uint8_t p[LUKS_HEADER];
	int rc;

	if (!s->h.has_crypto || s->h.crypto_offset > end ||
	    end - s->h.crypto_offset < sizeof(p)) {
		platter_out_string(out, "format", "luks");
		return 0;
	}
	rc = platter_image_pread(s->file, p, sizeof(p), s->h.crypto_offset,
				 err);
	if (rc < 0)
		return plt_err_prefix(err, rc, "reading the LUKS header");
	if (memcmp(p, LUKS_MAGIC, strlen(LUKS_MAGIC)) ||
	    plt_be16(p + LUKS_VERSION) != 1) {
		platter_out_string(out, "format", "luks");
		return 0;
	}
	print_cipher(out, p);
	platter_out_list(out, "slots");
	for (unsigned int i = 0; i < LUKS_NR_SLOTS; i++)
		print_slot(out, p + LUKS_SLOTS + i * LUKS_SLOT);
	platter_out_end(out);
	platter_out_u64(out, "payload-offset", (uint64_t)SECTOR *
			plt_be32(p + LUKS_PAYLOAD));
	platter_out_u64(out, "master-key-iters",
			plt_be32(p + LUKS_DIGEST_ITERS));
	return 0;
}
