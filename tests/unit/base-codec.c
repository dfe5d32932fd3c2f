/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Codecs: what they write is read again, by others too; damage is noticed. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/mem.h"

#define BLOCK 65536u

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Data of many kinds: `kind` & 7 says how much of it repeats, and how far. */
static void fill(uint8_t *p, size_t len, unsigned int kind)
{
	uint32_t state = kind * 77u + 1;

	for (size_t i = 0; i < len; i++) {
		uint32_t r = next_random(&state);
		size_t back = 1 + r % (kind & 4 ? 60000 : 5000);

		if ((kind & 7) == 0)
			p[i] = (uint8_t)(i >> 12);
		else if (r % 64 < (kind & 3) && back <= i)
			for (size_t n = 3 + r % 300; n && i < len; n--, i++)
				p[i] = p[i - back];
		if (i < len && (kind & 7))
			p[i] = kind & 8 ? (uint8_t)"etaoin shrdlu"[r % 13] :
					  (uint8_t)next_random(&state);
	}
}

/*
 * Decompress with a window of 4 KiB and no more: a byte at a time, so that
 * nothing but that window is there to copy from.
 */
static void strict_inflate(const uint8_t *in, size_t len, const uint8_t *want,
			   size_t want_len)
{
	z_stream z = { .next_in = (Bytef *)in, .avail_in = (uInt)len };
	uint8_t c;
	int rc = Z_OK;

	assert_int_equal(inflateInit2(&z, -12), Z_OK);
	for (size_t i = 0; i < want_len; i++) {
		z.next_out = &c;
		z.avail_out = 1;
		rc = inflate(&z, Z_NO_FLUSH);
		assert_true(rc == Z_OK || rc == Z_STREAM_END);
		assert_int_equal(z.avail_out, 0);
		assert_int_equal(c, want[i]);
	}
	z.avail_out = 0;
	if (rc != Z_STREAM_END)
		rc = inflate(&z, Z_FINISH);
	assert_int_equal(rc, Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);
	inflateEnd(&z);
}

static void check_block(struct plt_codec *codec, const uint8_t *in, size_t len,
			bool strict)
{
	uint8_t *packed = malloc(len + 64), *out = malloc(len);
	struct platter_error err = PLATTER_ERROR_INIT;
	size_t n = 0;
	int rc;

	rc = plt_codec_compress(codec, in, len, packed, len, &n, &err);
	assert_int_equal(err.code, 0);
	if (rc == 0) {
		assert_true(n <= len);
		if (strict)
			strict_inflate(packed, n, in, len);
		/* What follows is not the codec's. */
		memset(packed + n, 0xa5, 64);
		assert_int_equal(plt_codec_expand(codec, packed, n + 64, out,
						  len, &err), 0);
		assert_memory_equal(in, out, len);
	} else {
		assert_int_equal(rc, 1);
	}
	free(packed);
	free(out);
}

static void check_kind(enum plt_codec_kind kind)
{
	static const size_t sizes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 100, 512, 513,
					4096, 65536, 300000 };
	uint8_t *in = malloc(300000);
	struct plt_codec *codec;

	if (plt_codec_new(&codec, kind, NULL)) {
		free(in);
		skip();
	}
	for (size_t i = 0; i < PLT_ARRAY_SIZE(sizes); i++) {
		for (unsigned int k = 0; k < 16; k++) {
			fill(in, sizes[i], k);
			check_block(codec, in, sizes[i],
				    kind == PLT_CODEC_DEFLATE);
		}
	}
	plt_codec_free(codec);
	free(in);
}

static void deflate_is_read_with_a_4_kib_window(void **state)
{
	check_kind(PLT_CODEC_DEFLATE);
}

static void zstd_is_read_again(void **state)
{
	check_kind(PLT_CODEC_ZSTD);
}

static void deflate_compresses_nearly_as_zlib(void **state)
{
	uint8_t *in = malloc(BLOCK), *out = malloc(BLOCK * 2);
	size_t ours = 0, theirs = 0, n;
	struct plt_codec *codec;

	assert_int_equal(plt_codec_new(&codec, PLT_CODEC_DEFLATE, NULL), 0);
	for (unsigned int k = 9; k < 12; k++) {
		z_stream z = { .avail_in = BLOCK, .avail_out = BLOCK * 2 };

		fill(in, BLOCK, k);
		assert_int_equal(plt_codec_compress(codec, in, BLOCK, out,
						    BLOCK, &n, NULL), 0);
		ours += n;
		z.next_in = in;
		z.next_out = out;
		assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -12, 9,
					      Z_DEFAULT_STRATEGY), Z_OK);
		assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
		theirs += z.total_out;
		deflateEnd(&z);
	}
	assert_true(ours < theirs + theirs / 12);
	plt_codec_free(codec);
	free(in);
	free(out);
}

static void deflate_with_any_window_is_read(void **state)
{
	uint8_t *in = malloc(BLOCK), *packed = malloc(BLOCK * 2);
	uint8_t *out = malloc(BLOCK);
	z_stream z = { .avail_in = BLOCK, .avail_out = BLOCK * 2 };
	struct plt_codec *codec;

	fill(in, BLOCK, 7);
	z.next_in = in;
	z.next_out = packed;
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 9,
				      Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(plt_codec_new(&codec, PLT_CODEC_DEFLATE, NULL), 0);
	assert_int_equal(plt_codec_expand(codec, packed, z.total_out, out,
					  BLOCK, NULL), 0);
	assert_memory_equal(in, out, BLOCK);
	/* More than fits: what fits is taken, as by QEMU. */
	assert_int_equal(plt_codec_expand(codec, packed, z.total_out, out,
					  BLOCK / 2, NULL), 0);
	assert_memory_equal(in, out, BLOCK / 2);
	deflateEnd(&z);
	plt_codec_free(codec);
	free(in);
	free(packed);
	free(out);
}

static void check_damage(enum plt_codec_kind kind)
{
	uint8_t *in = malloc(BLOCK), *packed = malloc(BLOCK);
	uint8_t *out = malloc(BLOCK);
	struct platter_error err = PLATTER_ERROR_INIT;
	struct plt_codec *codec;
	size_t n;

	if (plt_codec_new(&codec, kind, NULL))
		goto out;
	fill(in, BLOCK, 9);
	assert_int_equal(plt_codec_compress(codec, in, BLOCK, packed, BLOCK,
					    &n, NULL), 0);
	/* Cut short. */
	assert_int_equal(plt_codec_expand(codec, packed, n / 2, out, BLOCK,
					  &err), -EIO);
	assert_true(strlen(err.msg) > 0);
	assert_int_equal(plt_codec_expand(codec, packed, 0, out, BLOCK, &err),
			 -EIO);
	/* Less than the block. */
	assert_int_equal(plt_codec_compress(codec, in, BLOCK / 2, packed,
					    BLOCK, &n, NULL), 0);
	assert_int_equal(plt_codec_expand(codec, packed, n, out, BLOCK, &err),
			 -EIO);
	/* It is none the worse for it. */
	assert_int_equal(plt_codec_expand(codec, packed, n, out, BLOCK / 2,
					  &err), 0);
	assert_memory_equal(in, out, BLOCK / 2);
	plt_codec_free(codec);
out:
	free(in);
	free(packed);
	free(out);
}

static void damage_is_an_error(void **state)
{
	check_damage(PLT_CODEC_DEFLATE);
	check_damage(PLT_CODEC_ZSTD);
}

static void zstd_of_several_frames_is_read(void **state)
{
	uint8_t *in = malloc(BLOCK), *packed = malloc(BLOCK);
	uint8_t *out = malloc(BLOCK);
	struct plt_codec *codec;
	size_t a, b;

	if (plt_codec_new(&codec, PLT_CODEC_ZSTD, NULL)) {
		free(in);
		free(packed);
		free(out);
		skip();
	}
	fill(in, BLOCK, 9);
	assert_int_equal(plt_codec_compress(codec, in, 1000, packed, BLOCK,
					    &a, NULL), 0);
	assert_int_equal(plt_codec_compress(codec, in + 1000, BLOCK - 1000,
					    packed + a, BLOCK - a, &b, NULL),
			 0);
	assert_int_equal(plt_codec_expand(codec, packed, a + b, out, BLOCK,
					  NULL), 0);
	assert_memory_equal(in, out, BLOCK);
	/* Enough with a part of the second. */
	assert_int_equal(plt_codec_expand(codec, packed, a + b, out,
					  BLOCK / 2, NULL), 0);
	assert_memory_equal(in, out, BLOCK / 2);
	plt_codec_free(codec);
	free(in);
	free(packed);
	free(out);
}

struct worker {
	pthread_t thread;
	struct plt_codec *codec;
	unsigned int kind;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	uint8_t *in = malloc(BLOCK);

	for (unsigned int i = 0; i < 20; i++) {
		fill(in, BLOCK, w->kind + i);
		check_block(w->codec, in, BLOCK, false);
	}
	free(in);
	return NULL;
}

static void many_threads_share_a_codec(void **state)
{
	struct worker w[8];
	struct plt_codec *codec;

	assert_int_equal(plt_codec_new(&codec, PLT_CODEC_DEFLATE, NULL), 0);
	for (unsigned int i = 0; i < PLT_ARRAY_SIZE(w); i++) {
		w[i].codec = codec;
		w[i].kind = i;
		assert_int_equal(pthread_create(&w[i].thread, NULL, work,
						&w[i]), 0);
	}
	for (unsigned int i = 0; i < PLT_ARRAY_SIZE(w); i++)
		pthread_join(w[i].thread, NULL);
	plt_codec_free(codec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deflate_is_read_with_a_4_kib_window),
		cmocka_unit_test(deflate_compresses_nearly_as_zlib),
		cmocka_unit_test(deflate_with_any_window_is_read),
		cmocka_unit_test(zstd_is_read_again),
		cmocka_unit_test(zstd_of_several_frames_is_read),
		cmocka_unit_test(damage_is_an_error),
		cmocka_unit_test(many_threads_share_a_codec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
