// SPDX-License-Identifier: LGPL-2.1-or-later
/* Hashes against published values, whole and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "base/hash.h"
#include "base/mem.h"

static void sha256_of_known_texts(void **state)
{
	/* FIPS 180-2, appendix B, and the empty text. */
	static const struct { const char *text, *hex; } v[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb924"
		      "27ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223"
			 "b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039"
		  "a33ce45964ff2167f6ecedd419db06c1" },
	};
	struct plt_sha256 *h;
	char hex[PLT_SHA256_HEX];

	(void)state;
	assert_int_equal(plt_sha256_new(&h, NULL), 0);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		size_t len = strlen(v[i].text);

		/* Whole, then byte by byte; an abandoned start between. */
		for (size_t step = len + 1; step; step = step > 1 ? 1 : 0) {
			assert_int_equal(plt_sha256_reset(h, NULL), 0);
			for (size_t at = 0; at < len; at += step)
				assert_int_equal(plt_sha256_update(
					h, v[i].text + at,
					PLT_MIN(step, len - at), NULL), 0);
			assert_int_equal(plt_sha256_final(h, hex, NULL), 0);
			assert_string_equal(hex, v[i].hex);
			assert_int_equal(plt_sha256_reset(h, NULL), 0);
			assert_int_equal(plt_sha256_update(h, "x", 1, NULL),
					 0);
		}
	}
	plt_sha256_free(h);
	plt_sha256_free(NULL);
}

static void xxh3_in_pieces_is_xxh3(void **state)
{
	static unsigned char data[5000];
	struct plt_xxh3 *h;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 7 + i / 256);
	for (size_t step = 1; step < 1500; step = step * 3 + 1) {
		assert_int_equal(plt_xxh3_new(&h, NULL), 0);
		/* The published hash of nothing. */
		assert_int_equal(plt_xxh3_digest(h),
				 UINT64_C(0x2d06800538d394c2));
		for (size_t at = 0; at < sizeof(data); at += step) {
			plt_xxh3_update(h, data + at,
					PLT_MIN(step, sizeof(data) - at));
			plt_xxh3_digest(h);
		}
		assert_int_equal(plt_xxh3_digest(h),
				 XXH3_64bits(data, sizeof(data)));
		plt_xxh3_free(h);
	}
	plt_xxh3_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_of_known_texts),
		cmocka_unit_test(xxh3_in_pieces_is_xxh3),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
