/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many threads on one qcow2 image: some read small pieces of compressed
 * clusters while others write the same clusters anew, compressed or not. Each
 * word of the image says where it belongs, and how often it was written.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <platter/platter.h>

#include "base/endian.h"

#define CLUSTER		16384u
#define CLUSTERS	96u
#define READERS		5
#define WRITERS		3
#define READS		10000
#define WRITES		600

struct worker {
	pthread_t thread;
	struct platter_image *img;
	unsigned int index;
	uint32_t random;
	uint32_t *version;	/* of each cluster; a writer has its own */
	struct platter_error err;
	bool wrong;
};

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void make_cluster(uint8_t *buf, uint32_t cluster, uint32_t version)
{
	for (uint32_t i = 0; i < CLUSTER; i += 16) {
		plt_put_le64(buf + i, (uint64_t)cluster * CLUSTER + i);
		plt_put_le64(buf + i + 8, version);
	}
}

static void *read_pieces(void *arg)
{
	struct worker *w = arg;
	uint8_t buf[4096];

	for (unsigned int i = 0; i < READS && !w->err.code; i++) {
		uint64_t at = next_random(&w->random) %
			      (CLUSTERS * CLUSTER / 512 - 8) * 512;
		size_t len = 512 * (1 + next_random(&w->random) % 8);

		if (platter_image_pread(w->img, buf, len, at, &w->err))
			break;
		for (size_t n = 0; n < len; n += 16)
			w->wrong |= plt_le64(buf + n) != at + n;
	}
	return NULL;
}

static int write_cluster(struct worker *w, uint32_t cluster)
{
	uint64_t at = (uint64_t)cluster * CLUSTER;
	uint8_t buf[CLUSTER];

	make_cluster(buf, cluster, ++w->version[cluster]);
	switch (next_random(&w->random) % 3) {
	case 0:
		return platter_image_pwrite(w->img, buf, CLUSTER, at, &w->err);
	case 1:
		return platter_image_write_compressed(w->img, buf, CLUSTER, at,
						      &w->err);
	default:
		/* In two, of which the first has to fill up the second. */
		return platter_image_pwrite(w->img, buf, 5120, at, &w->err) ? :
		       platter_image_pwrite(w->img, buf + 5120, CLUSTER - 5120,
					    at + 5120, &w->err);
	}
}

static void *write_clusters(void *arg)
{
	struct worker *w = arg;

	for (unsigned int i = 0; i < WRITES && !w->err.code; i++) {
		uint32_t cluster = next_random(&w->random) %
				   (CLUSTERS / WRITERS) * WRITERS + w->index;

		if (write_cluster(w, cluster))
			break;
		if (i % 40 == 39 && platter_image_flush(w->img, &w->err))
			break;
	}
	return NULL;
}

static struct platter_image *make_image(struct platter_context *ctx,
					const char *compression)
{
	const char *const options[] = { "cluster_size=16k", compression, NULL };
	const struct platter_create_options create = {
		.format = "qcow2", .size = (uint64_t)CLUSTER * CLUSTERS,
		.options = options,
	};
	const struct platter_open_options opts = {
		.format = "qcow2", .flags = PLATTER_O_RDWR,
	};
	struct platter_image *img;
	uint8_t buf[CLUSTER];

	assert_int_equal(platter_image_create(ctx, "t.qcow2", &create, NULL),
			 0);
	assert_int_equal(platter_image_open(&img, ctx, "t.qcow2", &opts, NULL),
			 0);
	for (uint32_t i = 0; i < CLUSTERS; i++) {
		make_cluster(buf, i, 0);
		assert_int_equal(platter_image_write_compressed(img, buf,
				 CLUSTER, (uint64_t)i * CLUSTER, NULL), 0);
	}
	return img;
}

static void check_image(struct platter_context *ctx, const uint32_t *version)
{
	const struct platter_open_options opts = {
		.format = "qcow2", .flags = PLATTER_O_CHECK,
	};
	const struct platter_check_options none = { 0 };
	struct platter_check_result result;
	uint8_t buf[CLUSTER], want[CLUSTER];
	struct platter_image *img;

	assert_int_equal(platter_image_open(&img, ctx, "t.qcow2", &opts, NULL),
			 0);
	for (uint32_t i = 0; i < CLUSTERS; i++) {
		make_cluster(want, i, version[i]);
		assert_int_equal(platter_image_pread(img, buf, CLUSTER,
				 (uint64_t)i * CLUSTER, NULL), 0);
		assert_memory_equal(buf, want, CLUSTER);
	}
	assert_int_equal(platter_image_check(img, &none, &result, NULL), 0);
	assert_int_equal(result.corruptions, 0);
	assert_int_equal(result.leaks, 0);
	assert_int_equal(result.check_errors, 0);
	assert_int_equal(platter_image_close(img, NULL), 0);
}

static void run(const char *compression)
{
	struct worker w[READERS + WRITERS];
	uint32_t version[CLUSTERS] = { 0 };
	struct platter_context *ctx;
	struct platter_image *img;

	assert_int_equal(platter_context_new(&ctx, NULL), 0);
	img = make_image(ctx, compression);
	for (unsigned int i = 0; i < READERS + WRITERS; i++) {
		w[i] = (struct worker) {
			.img = img, .index = i, .random = i + 1,
			.version = version,
		};
		assert_int_equal(pthread_create(&w[i].thread, NULL, i < WRITERS
				 ? write_clusters : read_pieces, &w[i]), 0);
	}
	for (unsigned int i = 0; i < READERS + WRITERS; i++) {
		pthread_join(w[i].thread, NULL);
		assert_string_equal(w[i].err.msg, "");
		assert_false(w[i].wrong);
	}
	assert_int_equal(platter_image_close(img, NULL), 0);
	check_image(ctx, version);
	platter_context_free(ctx);
	unlink("t.qcow2");
}

static void readers_and_writers_of_deflate(void **state)
{
	run("compression_type=zlib");
}

static void readers_and_writers_of_zstd(void **state)
{
#ifdef HAVE_ZSTD
	run("compression_type=zstd");
#else
	skip();
#endif
}

static int enter_folder(void **state)
{
	static char dir[] = "/tmp/qcow2-threads-XXXXXX";

	*state = dir;
	return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int leave_folder(void **state)
{
	return chdir("/") || rmdir(*state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_and_writers_of_deflate),
		cmocka_unit_test(readers_and_writers_of_zstd),
	};

	return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
