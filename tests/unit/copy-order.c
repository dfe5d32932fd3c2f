// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The copy engine: the order of writes, targets with clusters, compression,
 * what is left alone, hashing and salvaging on the way; and reading in order.
 */
#include "copy-test.h"

#include <stdio.h>
#include <unistd.h>

#include "copy/copy.h"
#include "copy/digest.h"
#include "copy/scan.h"

#define SIZE	(6u << 20)
#define CLUSTER	65536u

static struct platter_context *ctx;
static struct platter_image *src, *dst, *below;
static struct store *from, *to;

/* ---- a filter that is slow to read, and looks at what is written ---- */

static _Atomic uint64_t last_write, unordered_writes, odd_writes;

static int watch_pread(struct platter_image *img, void *buf, size_t len,
		       uint64_t offset, struct platter_error *err)
{
	/* The first of every few takes longest. */
	usleep(offset / CLUSTER % 5 ? 0 : 3000);
	return platter_image_pread(platter_image_child(img, "file"), buf, len,
				   offset, err);
}

static int watch_pwrite(struct platter_image *img, const void *buf, size_t len,
			uint64_t offset, struct platter_error *err)
{
	uint64_t size = platter_image_size(img);

	unordered_writes += offset < last_write;
	last_write = offset;
	if (offset % CLUSTER || (len % CLUSTER && offset + len != size))
		odd_writes++;
	return platter_image_pwrite(platter_image_child(img, "file"), buf, len,
				    offset, err);
}

static const struct platter_io_ops watch_ops = {
	.pread = watch_pread,
	.pwrite = watch_pwrite,
};

static const struct platter_driver watch_driver = {
	.name = "watch",
	.kind = PLATTER_DRIVER_FILTER,
	.io = &watch_ops,
};

/* ---- a format with clusters, compressed when they are all of one byte ---- */

static _Atomic uint64_t compressed, last_compressed, unordered_compressed;

static int clusters_map(struct platter_image *img, uint64_t offset,
			uint64_t len, struct platter_map *maps, size_t *count,
			struct platter_error *err)
{
	(void)err;
	*count = 1;
	maps[0] = (struct platter_map){
		.length = len,
		.kind = PLATTER_MAP_DATA,
		.flags = PLATTER_MAP_WRITABLE,
		.child = platter_image_child(img, "file"),
		.offset = offset,
	};
	return 0;
}

static int clusters_facts(struct platter_image *img,
			  struct platter_image_facts *out,
			  struct platter_error *err)
{
	(void)img;
	(void)err;
	out->cluster_size = CLUSTER;
	return 0;
}

static int clusters_compress(struct platter_image *img, const void *in,
			     size_t len, void *out, size_t *out_len,
			     struct platter_error *err)
{
	const uint8_t *p = in;

	(void)img;
	(void)err;
	for (size_t i = 1; i < len; i++) {
		if (p[i] != p[0])
			return 1;
	}
	memcpy(out, in, 1);
	*out_len = 1;
	return 0;
}

static int clusters_store(struct platter_image *img, const void *data,
			  size_t len, uint64_t offset,
			  struct platter_error *err)
{
	uint64_t n = PLT_MIN((uint64_t)CLUSTER,
			     platter_image_size(img) - offset);

	(void)err;
	assert_int_equal(len, 1);
	assert_int_equal(offset % CLUSTER, 0);
	unordered_compressed += offset < last_compressed;
	last_compressed = offset;
	compressed++;
	memset(to->data + offset, *(const uint8_t *)data, n);
	return 0;
}

static const struct platter_format_ops clusters_ops = {
	.map = clusters_map,
	.facts = clusters_facts,
	.compress = clusters_compress,
	.write_compressed = clusters_store,
};

static const struct platter_driver clusters_driver = {
	.name = "clusters",
	.kind = PLATTER_DRIVER_FORMAT,
	.format = &clusters_ops,
};

/* ---- set up ---- */

static struct platter_image *new_over(const struct platter_driver *drv,
				      struct platter_image *file)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *img;

	assert_ok(plt_image_new(&img, ctx, drv, drv->name, &err), &err);
	assert_ok(plt_image_add_child(img, "file", file, &err), &err);
	img->flags = PLATTER_O_RDWR;
	platter_image_set_size(img, platter_image_size(file));
	return img;
}

static int setup(void **state)
{
	uint64_t seed = 11;

	(void)state;
	ctx = new_context();
	src = new_store(ctx, SIZE - UNIT, "src");
	dst = new_store(ctx, SIZE - UNIT, "dst");
	from = platter_image_state(src);
	to = platter_image_state(dst);
	fill_store(src, &seed, 900);
	below = NULL;
	last_write = unordered_writes = odd_writes = 0;
	compressed = last_compressed = unordered_compressed = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	plt_image_free(src);
	plt_image_free(dst);
	plt_image_free(below);
	platter_context_free(ctx);
	return 0;
}

static void copy(struct plt_copy_options opts)
{
	struct platter_error err = PLATTER_ERROR_INIT;

	opts.length = SIZE - UNIT;
	assert_ok(plt_copy(src, dst, &opts, NULL, &err), &err);
}

/* ---- order ---- */

static void writes_are_in_order_unless_asked_otherwise(void **state)
{
	(void)state;
	src = new_over(&watch_driver, src);
	dst = new_over(&watch_driver, dst);
	copy((struct plt_copy_options){ .workers = 8, .target_is_zero = true });
	assert_memory_equal(from->data, to->data, SIZE - UNIT);
	assert_int_equal(unordered_writes, 0);
	memset(to->data, 0xee, SIZE - UNIT);
	copy((struct plt_copy_options){ .workers = 8, .unordered = true });
	assert_memory_equal(from->data, to->data, SIZE - UNIT);
}

static void an_error_ends_those_that_wait_for_their_turn(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	const struct plt_copy_options opts = {
		.length = SIZE - UNIT, .workers = 8,
	};

	(void)state;
	src = new_over(&watch_driver, src);
	memset(from->kind, 'D', SIZE / UNIT);
	for (uint64_t at = 0; at < SIZE - UNIT; at += 1 << 20) {
		to->bad_write = at;
		assert_int_equal(plt_copy(src, dst, &opts, NULL, &err),
				 -ENOSPC);
	}
	to->bad_write = NEVER;
	from->bad_read = 3 << 20;
	assert_int_equal(plt_copy(src, dst, &opts, NULL, &err), -EIO);
}

/* ---- clusters ---- */

static void a_target_with_clusters_gets_whole_ones(void **state)
{
	(void)state;
	dst = new_over(&watch_driver, dst);
	dst = new_over(&clusters_driver, dst);
	copy((struct plt_copy_options){
		.workers = 4, .target_is_zero = true, .sparse_size = 4096,
	});
	assert_memory_equal(from->data, to->data, SIZE - UNIT);
	assert_int_equal(odd_writes, 0);
	assert_true(to->bytes_written < SIZE - UNIT);
	memset(to->data, 0xee, SIZE - UNIT);
	copy((struct plt_copy_options){ .allocate = true });
	assert_memory_equal(from->data, to->data, SIZE - UNIT);
	assert_int_equal(odd_writes, 0);
	assert_int_equal(to->zeros, 0);
}

static void compressed_clusters_are_stored_in_order(void **state)
{
	(void)state;
	for (uint64_t at = 0; at < SIZE; at += 3 * CLUSTER) {
		memset(from->data + at, 7, CLUSTER);
		memset(from->kind + at / UNIT, 'D', CLUSTER / UNIT);
	}
	src = new_over(&watch_driver, src);
	dst = new_over(&clusters_driver, dst);
	copy((struct plt_copy_options){
		.workers = 8, .target_is_zero = true, .sparse_size = 4096,
		.compress = true,
	});
	assert_memory_equal(from->data, to->data, SIZE - UNIT);
	assert_true(compressed >= SIZE / CLUSTER / 3);
	assert_int_equal(unordered_compressed, 0);
}

static void compression_needs_clusters(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	const struct plt_copy_options opts = {
		.length = UNIT, .compress = true,
	};

	(void)state;
	assert_int_equal(plt_copy(src, dst, &opts, NULL, &err), -ENOTSUP);
}

/* ---- what is left alone, and the hash ---- */

static void digest_of(struct platter_image *img, char *hex)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	uint64_t size = platter_image_size(img);
	uint8_t *buf = malloc(size);
	struct plt_hash *h;

	assert_non_null(buf);
	assert_ok(platter_image_pread(img, buf, size, 0, &err), &err);
	assert_ok(plt_hash_new(&h, "sha256", &err), &err);
	assert_ok(plt_hash_update(h, buf, size, &err), &err);
	assert_ok(plt_hash_final(h, hex, &err), &err);
	plt_hash_free(h);
	free(buf);
}

/* A layer over a backing image, which the target has below itself as well. */
static void one_overlay(uint64_t seed)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	char want[PLT_HASH_HEX_MAX], got[PLT_HASH_HEX_MAX];
	struct plt_copy_options opts = {
		.shared_depth = 1, .target_is_zero = true,
		.workers = rnd(&seed) % 8, .unordered = rnd(&seed) % 2,
		.sparse_size = rnd(&seed) % 2 ? 4096 : 0,
	};
	struct platter_image *file = new_store(ctx, SIZE - UNIT, "file");
	struct layer *s;

	fill_store(file, &seed, 900);
	opts.shared_size = rnd(&seed) % SIZE & ~511u;
	opts.zero_from = opts.shared_size;
	src = new_layer(ctx, file, below, &seed);
	s = platter_image_state(src);
	/* Below, the target shows what the backing image has. */
	memset(to->data, 0, SIZE - UNIT);
	memcpy(to->data, ((struct store *)platter_image_state(below))->data,
	       PLT_MIN(opts.shared_size, (uint64_t)SIZE - UNIT));
	assert_ok(plt_digest_new(&opts.digest, "sha256", &err), &err);
	to->bytes_written = 0;
	copy(opts);
	for (uint64_t at = 0; at < SIZE - UNIT; at++)
		assert_int_equal(to->data[at], layer_byte(src, at));
	assert_true(to->bytes_written < SIZE - UNIT);
	assert_non_null(memchr(s->kind, '.', SIZE / UNIT - 1));
	assert_ok(plt_digest_end(opts.digest, SIZE - UNIT, got, &err), &err);
	digest_of(src, want);
	assert_string_equal(got, want);
	plt_digest_free(opts.digest);
	plt_image_free(src);
	plt_image_free(file);
}

static void what_the_target_shows_is_hashed_but_not_written(void **state)
{
	uint64_t seed = 5;

	(void)state;
	plt_image_free(src);
	below = new_store(ctx, SIZE - UNIT, "below");
	fill_store(below, &seed, 900);
	for (seed = 100; seed < 120; seed++)
		one_overlay(seed);
	src = NULL;
}

static void a_digest_takes_what_is_left_out_for_zeros(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	char want[PLT_HASH_HEX_MAX], got[PLT_HASH_HEX_MAX];
	struct plt_digest *d;

	(void)state;
	memset(from->data, 0, SIZE - UNIT);
	memcpy(from->data + 70000, "text", 4);
	digest_of(src, want);
	assert_ok(plt_digest_new(&d, "sha256", &err), &err);
	assert_ok(plt_digest_at(d, 70000, "te", 2, &err), &err);
	assert_ok(plt_digest_at(d, 70002, "xt", 2, &err), &err);
	assert_int_equal(plt_digest_at(d, 70003, "t", 1, &err), -EINVAL);
	assert_ok(plt_digest_end(d, SIZE - UNIT, got, &err), &err);
	assert_string_equal(got, want);
	/* Started over elsewhere, it is that piece's. */
	assert_ok(plt_digest_start(d, 70000, &err), &err);
	assert_ok(plt_digest_at(d, 70000, "abc", 3, &err), &err);
	assert_ok(plt_digest_end(d, 70003, got, &err), &err);
	assert_string_equal(got, "ba7816bf8f01cfea414140de5dae2223"
				 "b00361a396177a9cb410ff61f20015ad");
	plt_digest_free(d);
	plt_digest_free(NULL);
}

/* ---- salvaging ---- */

struct losses {
	uint64_t count, offset, length;
};

static void note_loss(void *arg, uint64_t offset, uint64_t length,
		      const struct platter_error *why)
{
	struct losses *l = arg;

	assert_has(why->msg, "bad read");
	l->count++;
	l->offset = offset;
	l->length = length;
}

static void what_cannot_be_read_becomes_zeros(void **state)
{
	struct losses losses = { .count = 0 };
	const struct plt_salvage salvage = {
		.unreadable = note_loss, .arg = &losses,
	};
	static const uint64_t bad[] = { 0, 1000000, SIZE - UNIT - 1 };

	(void)state;
	memset(from->kind, 'D', SIZE / UNIT);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(bad); i++) {
		uint64_t sector = bad[i] / UNIT * UNIT;

		memset(to->data, 0xee, SIZE - UNIT);
		losses.count = 0;
		from->bad_read = bad[i];
		copy((struct plt_copy_options){
			.workers = 3, .salvage = &salvage,
		});
		assert_int_equal(losses.count, 1);
		assert_int_equal(losses.offset, sector);
		assert_int_equal(losses.length, UNIT);
		assert_true(plt_is_zero(to->data + sector, UNIT));
		memset(from->data + sector, 0, UNIT);
		assert_memory_equal(from->data, to->data, SIZE - UNIT);
	}
}

/* ---- scanning ---- */

struct seen {
	uint8_t *data;
	uint64_t at;
	_Atomic int inside;
};

static int see(void *arg, uint64_t offset, const void *buf, size_t len,
	       struct platter_error *err)
{
	struct seen *s = arg;

	assert_int_equal(s->inside++, 0);
	assert_true(offset >= s->at);
	assert_true(len > 0 && len <= 1 << 20);
	memcpy(s->data + offset, buf, len);
	s->at = offset + len;
	s->inside--;
	return s->at > SIZE - UNIT ? plt_err_set(err, -EIO, "too far") : 0;
}

static void a_scan_sees_the_data_in_order(void **state)
{
	struct seen seen = { .data = calloc(1, SIZE) };
	struct plt_scan_options opts = {
		.length = SIZE - UNIT, .data = see, .arg = &seen,
	};
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	assert_non_null(seen.data);
	src = new_over(&watch_driver, src);
	for (opts.workers = 1; opts.workers < 9; opts.workers *= 2) {
		memset(seen.data, 0, SIZE);
		seen.at = 0;
		assert_ok(plt_scan(src, &opts, &err), &err);
		assert_memory_equal(seen.data, from->data, SIZE - UNIT);
	}
	assert_int_equal(from->zero_reads, 0);
	opts.offset = UNIT;
	assert_int_equal(plt_scan(src, &opts, &err), -EINVAL);
	free(seen.data);
}

static int say_enough(void *arg, uint64_t offset, const void *buf, size_t len,
		  struct platter_error *err)
{
	(void)arg;
	(void)buf;
	(void)len;
	return offset < 2 << 20 ? 0 : plt_err_set(err, -EPIPE, "enough");
}

static void an_error_ends_a_scan(void **state)
{
	const struct plt_scan_options opts = {
		.length = SIZE - UNIT, .data = say_enough, .workers = 4,
	};
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	memset(from->kind, 'D', SIZE / UNIT);
	assert_int_equal(plt_scan(src, &opts, &err), -EPIPE);
	assert_string_equal(err.msg, "enough");
	from->bad_read = 1000000;
	assert_int_equal(plt_scan(src, &opts, &err), -EIO);
}

/* ---- several images as one ---- */

static void images_put_together_read_as_one(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *parts[4];
	uint64_t seed = 21, at = 0;
	uint8_t *want = malloc(4 << 20), *got = malloc(4 << 20);

	(void)state;
	assert_non_null(want);
	assert_non_null(got);
	for (size_t i = 0; i < 4; i++) {
		uint64_t size = i == 2 ? 0 : (i + 1) * 100 * UNIT;
		struct store *s;

		parts[i] = new_store(ctx, size, "part");
		s = platter_image_state(parts[i]);
		fill_store(parts[i], &seed, 50);
		memcpy(want + at, s->data, size);
		at += size;
	}
	plt_image_free(src);
	assert_ok(platter_image_concat(&src, ctx, parts, 4, &err), &err);
	assert_int_equal(platter_image_size(src), at);
	assert_ok(platter_image_pread(src, got, at, 0, &err), &err);
	assert_memory_equal(got, want, at);
	for (int i = 0; i < 500; i++) {
		uint64_t offset = rnd(&seed) % at;
		uint64_t len = rnd(&seed) % (at - offset);

		assert_ok(platter_image_pread(src, got, len, offset, &err),
			  &err);
		assert_memory_equal(got, want + offset, len);
	}
	free(want);
	free(got);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(writes_are_in_order_unless_asked_otherwise),
		TEST(an_error_ends_those_that_wait_for_their_turn),
		TEST(a_target_with_clusters_gets_whole_ones),
		TEST(compressed_clusters_are_stored_in_order),
		TEST(compression_needs_clusters),
		TEST(what_the_target_shows_is_hashed_but_not_written),
		TEST(a_digest_takes_what_is_left_out_for_zeros),
		TEST(what_cannot_be_read_becomes_zeros),
		TEST(a_scan_sees_the_data_in_order),
		TEST(an_error_ends_a_scan),
		TEST(images_put_together_read_as_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
