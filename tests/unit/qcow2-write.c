/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random writes, zeros, discards and flushes by many threads on one qcow2
 * image, for every kind of image, against a model in memory.
 *
 * The first half of the disk is slots of 3000 bytes, dealt out to the threads
 * in turn: neighbours share clusters, and one's copy-on-write must not lose the
 * other's bytes. The second half is dealt out by clusters, which are compressed
 * and discarded as well. Then all threads write to the same few places, where
 * each sector must end as some thread wrote it.
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

#include "base/mem.h"

#define THREADS		6
#define SIZE		(3u << 20)
#define HALF		(SIZE / 2)
#define SLOT		3000u
#define ROUNDS		150
#define REOPENS		2
#define SHARED		(256u << 10)	/* bytes that all write to */
#define SECTOR		512u

struct kind {
	const char *name;
	unsigned int cluster;		/* bytes */
	const char *options[6];
	bool no_compression, backing;
};

static const struct kind kinds[] = {
	{ "64k", 65536, { "cluster_size=64k" }, false, false },
	{ "backing", 65536, { "cluster_size=64k" }, false, true },
	{ "4k", 4096, { "cluster_size=4k" }, false, true },
	{ "512", 512, { "cluster_size=512" }, false, false },
	{ "v2", 4096, { "cluster_size=4k", "compat=0.10" }, false, true },
	{ "extl2", 16384, { "cluster_size=16k", "extended_l2=on" }, false,
	  true },
	{ "1 bit", 4096, { "cluster_size=4k", "refcount_bits=1" }, false,
	  false },
	{ "64 bits", 512, { "cluster_size=512", "refcount_bits=64" }, false,
	  false },
	{ "2 bits", 1024, { "cluster_size=1k", "refcount_bits=2" }, false,
	  true },
	{ "data file", 65536, { "cluster_size=64k", "data_file=t.data" }, true,
	  false },
	{ "raw", 4096, { "cluster_size=4k", "data_file=t.data",
	  "data_file_raw=on" }, true, false },
	{ "lazy", 32768, { "cluster_size=32k", "lazy_refcounts=on" }, false,
	  false },
};

struct worker {
	pthread_t thread;
	const struct kind *kind;
	struct platter_image *img;
	uint8_t *model;		/* of the disk; own parts only */
	unsigned int index;
	uint64_t random;
	struct platter_error err;
	const char *wrong;
};

static uint64_t rnd(struct worker *w, uint64_t below)
{
	w->random = w->random * 6364136223846793005u + 1442695040888963407u;
	return (w->random >> 33) % below;
}

/* ---- one thread's operations ---- */

static int write_bytes(struct worker *w, uint64_t at, size_t len)
{
	memset(w->model + at, (int)(1 + rnd(w, 255)), len);
	return platter_image_pwrite(w->img, w->model + at, len, at, &w->err);
}

static int zero_bytes(struct worker *w, uint64_t at, size_t len)
{
	memset(w->model + at, 0, len);
	return platter_image_zero(w->img, at, len, rnd(w, 2) ?
				  PLATTER_ZERO_UNMAP : 0, &w->err);
}

static int read_bytes(struct worker *w, uint64_t at, size_t len)
{
	uint8_t *buf = malloc(len);
	int rc = platter_image_pread(w->img, buf, len, at, &w->err);

	if (rc == 0 && memcmp(buf, w->model + at, len))
		w->wrong = "somebody's bytes are lost";
	free(buf);
	return rc;
}

static int in_slot(struct worker *w)
{
	uint64_t slots = HALF / SLOT / THREADS;
	uint64_t at = (rnd(w, slots) * THREADS + w->index) * SLOT;
	uint64_t from = rnd(w, SLOT), len = 1 + rnd(w, SLOT - from);

	switch (rnd(w, 8)) {
	case 0:
		return zero_bytes(w, at + from, len);
	case 1:
		return read_bytes(w, at, SLOT);
	default:
		return write_bytes(w, at + from, len);
	}
}

static int in_cluster(struct worker *w)
{
	unsigned int size = w->kind->cluster;
	uint64_t n = HALF / size / THREADS;
	uint64_t at = HALF + (rnd(w, n) * THREADS + w->index) * size;
	int rc;

	switch (rnd(w, 8)) {
	case 0:
		return zero_bytes(w, at, size);
	case 1:
		/* What it reads as then is not said, so write to it. */
		rc = platter_image_discard(w->img, at, size, &w->err);
		return rc ? rc : write_bytes(w, at, size);
	case 2:
		return read_bytes(w, at, size);
	case 3:
	case 4:
		if (w->kind->no_compression)
			break;
		memset(w->model + at, (int)(1 + rnd(w, 255)), size);
		return platter_image_write_compressed(w->img, w->model + at,
						      size, at, &w->err);
	default:
		break;
	}
	return write_bytes(w, at + rnd(w, size / 2), 1 + rnd(w, size / 2));
}

static void *work(void *arg)
{
	struct worker *w = arg;
	int rc = 0;

	for (int i = 0; rc == 0 && !w->wrong && i < ROUNDS; i++) {
		rc = rnd(w, 2) ? in_slot(w) : in_cluster(w);
		if (rc == 0 && rnd(w, 40) == 0)
			rc = platter_image_flush(w->img, &w->err);
	}
	return NULL;
}

/* All at the same places; a sector is of one byte. */
static void *work_together(void *arg)
{
	struct worker *w = arg;
	uint8_t buf[16 * SECTOR];
	int rc = 0;

	for (int i = 0; rc == 0 && i < ROUNDS; i++) {
		uint64_t n = 1 + rnd(w, 16), max = SHARED / SECTOR - n;
		uint64_t at = rnd(w, max) * SECTOR;

		memset(buf, (int)(w->index * 40 + 1 + rnd(w, 40)), sizeof(buf));
		switch (rnd(w, 10)) {
		case 0:
			rc = platter_image_zero(w->img, at, n * SECTOR,
						PLATTER_ZERO_UNMAP, &w->err);
			break;
		case 1:
			rc = platter_image_pread(w->img, buf, n * SECTOR, at,
						 &w->err);
			break;
		case 2:
			if (w->index == 0)
				rc = platter_image_flush(w->img, &w->err);
			break;
		default:
			rc = platter_image_pwrite(w->img, buf, n * SECTOR, at,
						  &w->err);
		}
	}
	return NULL;
}

/* ---- the image ---- */

static void make_backing(struct platter_context *ctx, uint8_t *model)
{
	const struct platter_create_options create = { .size = SIZE };
	const struct platter_open_options opts = {
		.format = "raw", .flags = PLATTER_O_RDWR,
	};
	struct platter_image *img;

	unlink("base.raw");
	assert_int_equal(platter_image_create(ctx, "base.raw", &create, NULL),
			 0);
	assert_int_equal(platter_image_open(&img, ctx, "base.raw", &opts,
					    NULL), 0);
	for (size_t i = 0; i < SIZE; i++)
		model[i] = (uint8_t)(i / 700 * 7 + 1);
	assert_int_equal(platter_image_pwrite(img, model, SIZE, 0, NULL), 0);
	assert_int_equal(platter_image_close(img, NULL), 0);
}

static void make_image(struct platter_context *ctx, const struct kind *kind,
		       uint8_t *model)
{
	const char *options[10] = { NULL };
	const struct platter_create_options create = {
		.format = "qcow2", .size = SIZE, .options = options,
		.replace = true,
	};
	struct platter_error err = PLATTER_ERROR_INIT;
	int nr = 0;

	while (kind->options[nr]) {
		options[nr] = kind->options[nr];
		nr++;
	}
	memset(model, 0, SIZE);
	if (kind->backing) {
		make_backing(ctx, model);
		options[nr++] = "backing_file=base.raw";
		options[nr] = "backing_fmt=raw";
	}
	unlink("t.data");
	if (platter_image_create(ctx, "t.qcow2", &create, &err))
		fail_msg("%s: %s", kind->name, err.msg);
}

static struct platter_image *open_image(struct platter_context *ctx,
					unsigned int flags)
{
	const struct platter_open_options opts = {
		.format = "qcow2", .flags = flags,
	};
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *img = NULL;

	if (platter_image_open(&img, ctx, "t.qcow2", &opts, &err))
		fail_msg("%s", err.msg);
	return img;
}

static void check_sound(struct platter_context *ctx, const struct kind *kind)
{
	const struct platter_check_options none = { 0 };
	struct platter_image *img = open_image(ctx, PLATTER_O_CHECK);
	struct platter_check_result r;

	assert_int_equal(platter_image_check(img, &none, &r, NULL), 0);
	if (r.corruptions || r.leaks || r.check_errors)
		fail_msg("%s: %d corruptions, %d leaks", kind->name,
			 (int)r.corruptions, (int)r.leaks);
	assert_int_equal(platter_image_close(img, NULL), 0);
}


static void check_content(struct platter_context *ctx, const struct kind *kind,
			  const uint8_t *model)
{
	struct platter_image *img = open_image(ctx, 0);
	uint8_t *buf = malloc(SIZE);

	assert_int_equal(platter_image_pread(img, buf, SIZE, 0, NULL), 0);
	for (size_t i = 0; i < SIZE; i++) {
		if (buf[i] != model[i])
			fail_msg("%s: byte %zu is %d, not %d", kind->name, i,
				 buf[i], model[i]);
	}
	free(buf);
	assert_int_equal(platter_image_close(img, NULL), 0);
}

static void check_sectors(struct platter_context *ctx, const struct kind *kind)
{
	struct platter_image *img = open_image(ctx, 0);
	uint8_t buf[SECTOR];

	for (uint64_t at = 0; at < SHARED; at += SECTOR) {
		assert_int_equal(platter_image_pread(img, buf, SECTOR, at,
						     NULL), 0);
		for (size_t i = 1; i < SECTOR; i++) {
			if (buf[i] != buf[0])
				fail_msg("%s: a sector at %d of two writes",
					 kind->name, (int)at);
		}
	}
	assert_int_equal(platter_image_close(img, NULL), 0);
}

/* ---- all of it ---- */

static void run_threads(struct platter_context *ctx, const struct kind *kind,
			uint8_t *model, uint64_t seed, void *(*fn)(void *))
{
	struct platter_image *img = open_image(ctx, PLATTER_O_RDWR);
	struct platter_error err = PLATTER_ERROR_INIT;
	struct worker w[THREADS];

	for (unsigned int i = 0; i < THREADS; i++) {
		w[i] = (struct worker) {
			.kind = kind, .img = img, .model = model, .index = i,
			.random = seed * THREADS + i,
		};
		assert_int_equal(pthread_create(&w[i].thread, NULL, fn, &w[i]),
				 0);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		if (w[i].err.code || w[i].wrong)
			fail_msg("%s: %s%s", kind->name, w[i].err.msg,
				 w[i].wrong ? w[i].wrong : "");
	}
	if (platter_image_close(img, &err))
		fail_msg("%s: %s", kind->name, err.msg);
}

static void agrees_with_the_model(void **state)
{
	struct platter_context *ctx = *state;
	uint8_t *model = malloc(SIZE);

	for (size_t k = 0; k < PLT_ARRAY_SIZE(kinds); k++) {
		make_image(ctx, &kinds[k], model);
		for (uint64_t i = 0; i < REOPENS; i++) {
			run_threads(ctx, &kinds[k], model, k * REOPENS + i + 1,
				    work);
			check_sound(ctx, &kinds[k]);
			check_content(ctx, &kinds[k], model);
		}
	}
	free(model);
}

static void writes_to_one_place_do_not_mix(void **state)
{
	struct platter_context *ctx = *state;
	uint8_t *model = malloc(SIZE);

	for (size_t k = 0; k < PLT_ARRAY_SIZE(kinds); k++) {
		make_image(ctx, &kinds[k], model);
		if (kinds[k].backing)
			continue;
		run_threads(ctx, &kinds[k], model, k + 1, work_together);
		check_sound(ctx, &kinds[k]);
		check_sectors(ctx, &kinds[k]);
	}
	free(model);
}

/* *state is a context, and the current folder a new one. */
static int set_up(void **state)
{
	static char folder[] = "/tmp/qcow2-write.XXXXXX";
	struct platter_context *ctx;

	if (!mkdtemp(folder) || chdir(folder) ||
	    platter_context_new(&ctx, NULL))
		return -1;
	*state = ctx;
	return 0;
}

static int tear_down(void **state)
{
	char folder[64];

	platter_context_free(*state);
	unlink("t.qcow2");
	unlink("t.data");
	unlink("base.raw");
	return !getcwd(folder, sizeof(folder)) || rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_model),
		cmocka_unit_test(writes_to_one_place_do_not_mix),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
