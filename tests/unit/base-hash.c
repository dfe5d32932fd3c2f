// SPDX-License-Identifier: LGPL-2.1-or-later
/* Hashes against published values, whole and in pieces. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "base/hash.h"
#include "base/mem.h"

/* Published: FIPS 180-2, appendices A to C, RFC 1321, and of the empty text. */
static const struct { const char *name, *text, *hex; } known[] = {
	{ "md5", "", "d41d8cd98f00b204e9800998ecf8427e" },
	{ "md5", "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
	{ "sha1", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
	{ "sha224", "abc", "23097d223405d8228642a477bda255b3"
			   "2aadbce4bda0b3f7e36c9da7" },
	{ "sha256", "", "e3b0c44298fc1c149afbf4c8996fb924"
			"27ae41e4649b934ca495991b7852b855" },
	{ "sha256", "abc", "ba7816bf8f01cfea414140de5dae2223"
			   "b00361a396177a9cb410ff61f20015ad" },
	{ "sha256", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	  "248d6a61d20638b8e5c026930c3e6039"
	  "a33ce45964ff2167f6ecedd419db06c1" },
	{ "sha384", "abc", "cb00753f45a35e8bb5a03d699ac65007"
			   "272c32ab0eded1631a8b605a43ff5bed"
			   "8086072ba1e7cc2358baeca134c825a7" },
	{ "sha512", "abc", "ddaf35a193617abacc417349ae204131"
			   "12e6fa4e89a97ea20a9eeee64b55d39a"
			   "2192992a274fc1a836ba3c23a3feebbd"
			   "454d4423643ce80e2a9ac94fa54ca49f" },
};

static void hashes_of_known_texts(void **state)
{
	char hex[PLT_HASH_HEX_MAX];
	struct plt_hash *h;

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(known); i++) {
		size_t len = strlen(known[i].text);

		assert_int_equal(plt_hash_new(&h, known[i].name, NULL), 0);
		assert_string_equal(plt_hash_name(h), known[i].name);
		/* Whole, then byte by byte; an abandoned start between. */
		for (size_t step = len + 1; step; step = step > 1 ? 1 : 0) {
			for (size_t at = 0; at < len; at += step)
				assert_int_equal(plt_hash_update(
					h, known[i].text + at,
					PLT_MIN(step, len - at), NULL), 0);
			assert_int_equal(plt_hash_final(h, hex, NULL), 0);
			assert_string_equal(hex, known[i].hex);
			assert_int_equal(plt_hash_reset(h, NULL), 0);
			assert_int_equal(plt_hash_update(h, "x", 1, NULL), 0);
			assert_int_equal(plt_hash_reset(h, NULL), 0);
		}
		plt_hash_free(h);
	}
	plt_hash_free(NULL);
}

static void zeros_hash_as_written_zeros(void **state)
{
	static const uint64_t lengths[] = { 0, 1, 65535, 65536, 200001 };
	static const unsigned char zeros[200001];
	char want[PLT_HASH_HEX_MAX], got[PLT_HASH_HEX_MAX];
	struct plt_hash *h;

	(void)state;
	assert_int_equal(plt_hash_new(&h, "sha1", NULL), 0);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(lengths); i++) {
		assert_int_equal(plt_hash_update(h, zeros, lengths[i], NULL),
				 0);
		assert_int_equal(plt_hash_final(h, want, NULL), 0);
		assert_int_equal(plt_hash_reset(h, NULL), 0);
		assert_int_equal(plt_hash_zeros(h, lengths[i], NULL), 0);
		assert_int_equal(plt_hash_final(h, got, NULL), 0);
		assert_int_equal(plt_hash_reset(h, NULL), 0);
		assert_string_equal(got, want);
	}
	plt_hash_free(h);
}

static void an_unknown_hash_is_refused(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct plt_hash *h;

	(void)state;
	assert_int_equal(plt_hash_new(&h, "crc", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "sha256"));
	for (size_t i = 0; plt_hash_names[i]; i++)
		assert_non_null(strstr(err.msg, plt_hash_names[i]));
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
		cmocka_unit_test(hashes_of_known_texts),
		cmocka_unit_test(zeros_hash_as_written_zeros),
		cmocka_unit_test(an_unknown_hash_is_refused),
		cmocka_unit_test(xxh3_in_pieces_is_xxh3),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
