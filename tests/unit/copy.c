/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The copy engine: every combination of its options against a copy made byte
 * by byte, and what it must never do.
 */
#include "copy-test.h"

#include "copy/copy.h"

#define SIZE (3u << 20)

static struct platter_context *ctx;

static int setup(void **state)
{
	(void)state;
	ctx = new_context();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	platter_context_free(ctx);
	return 0;
}

static void noise(struct platter_image *img)
{
	struct store *s = platter_image_state(img);

	memset(s->data, 0xee, platter_image_size(img));
	memset(s->kind, 'D', platter_image_size(img) / UNIT);
}

static struct plt_copy_options random_options(uint64_t *seed)
{
	static const uint64_t sparse[] = { 0, 512, 1536, 4096, 65536 };
	struct plt_copy_options opts = {
		.sparse_size = sparse[rnd(seed) % PLT_ARRAY_SIZE(sparse)],
		.target_is_zero = rnd(seed) % 2,
		.only_present = rnd(seed) % 2,
		.allocate = rnd(seed) % 4 == 0,
		.workers = rnd(seed) % 5,
		.unordered = rnd(seed) % 2,
		.length = SIZE,
	};

	if (rnd(seed) % 2) {
		opts.offset = rnd(seed) % SIZE & ~511u;
		opts.length = rnd(seed) % (SIZE - opts.offset + 1) & ~511u;
	}
	return opts;
}

/* What the target must be afterwards. */
static void expect(struct platter_image *src, uint8_t *want,
		   const struct plt_copy_options *opts)
{
	struct layer *s = platter_image_state(src);
	uint64_t end = opts->offset + opts->length;

	for (uint64_t i = opts->offset; i < end; i++) {
		if (!opts->only_present || s->kind[i / UNIT] != '.')
			want[i] = layer_byte(src, i);
	}
}

static void one_copy(uint64_t seed)
{
	struct platter_image *file = new_store(ctx, SIZE, "file");
	struct platter_image *backing = new_store(ctx, SIZE - 4096, "backing");
	struct platter_image *dst = new_store(ctx, SIZE, "dst");
	struct plt_copy_options opts = random_options(&seed);
	struct platter_error err = PLATTER_ERROR_INIT;
	struct store *got = platter_image_state(dst);
	struct watcher watcher = new_watcher(0);
	struct platter_image *src;
	uint8_t *want = malloc(SIZE);

	assert_non_null(want);
	fill_store(file, &seed, 600);
	fill_store(backing, &seed, 600);
	src = new_layer(ctx, file, rnd(&seed) % 4 ? backing : NULL, &seed);
	got->solid = rnd(&seed) % 4 == 0;
	got->offload = rnd(&seed) % 2 ? rnd(&seed) % 100000 & ~511u : 0;
	got->bad_offload = rnd(&seed) % (2 * SIZE);
	if (!opts.target_is_zero)
		noise(dst);
	memcpy(want, got->data, SIZE);
	expect(src, want, &opts);
	opts.progress = &watcher.progress;
	assert_ok(plt_copy(src, dst, &opts, NULL, &err), &err);
	assert_memory_equal(got->data, want, SIZE);
	assert_int_equal(watcher.last, opts.length);
	free(want);
	plt_image_free(src);
	plt_image_free(file);
	plt_image_free(backing);
	plt_image_free(dst);
}

static void random_copies_equal_copies_made_byte_by_byte(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 150; seed++)
		one_copy(seed);
}

/* ---- what it must not do ---- */

static struct platter_image *src, *dst;
static struct store *from, *to;

static int setup_pair(void **state)
{
	uint64_t seed = 7;

	setup(state);
	src = new_store(ctx, 32 << 20, "src");
	dst = new_store(ctx, 32 << 20, "dst");
	from = platter_image_state(src);
	to = platter_image_state(dst);
	fill_store(src, &seed, 6000);
	return 0;
}

static int teardown_pair(void **state)
{
	plt_image_free(src);
	plt_image_free(dst);
	return teardown(state);
}

static void holes_are_never_read(void **state)
{
	const struct plt_copy_options opts = {
		.length = 32 << 20, .target_is_zero = true,
	};
	struct platter_error err = PLATTER_ERROR_INIT;
	struct plt_copy_result result;

	(void)state;
	assert_ok(plt_copy(src, dst, &opts, &result, &err), &err);
	assert_int_equal(from->zero_reads, 0);
	assert_int_equal(to->zeros, 0);
	assert_int_equal(result.written, to->bytes_written);
	assert_int_equal(result.written + result.zeroed, 32 << 20);
	assert_memory_equal(from->data, to->data, 32 << 20);
	assert_memory_equal(from->kind, to->kind, (32 << 20) / UNIT);
}

static void zeros_in_data_become_holes(void **state)
{
	const struct plt_copy_options opts = {
		.length = 32 << 20, .target_is_zero = true,
		.sparse_size = 4096,
	};
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	memset(from->kind, 'D', (32 << 20) / UNIT);
	assert_ok(plt_copy(src, dst, &opts, NULL, &err), &err);
	assert_memory_equal(from->data, to->data, 32 << 20);
	for (uint64_t at = 0; at < 32 << 20; at += 4096) {
		char want = plt_is_zero(from->data + at, 4096) ? 'Z' : 'D';

		assert_int_equal(to->kind[at / UNIT], want);
	}
}

static void allocating_leaves_no_hole(void **state)
{
	const struct plt_copy_options opts = {
		.length = 32 << 20, .target_is_zero = true, .allocate = true,
	};
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	assert_ok(plt_copy(src, dst, &opts, NULL, &err), &err);
	assert_memory_equal(from->data, to->data, 32 << 20);
	assert_null(memchr(to->kind, 'Z', (32 << 20) / UNIT));
}

static void neighbours_are_written_together(void **state)
{
	struct platter_image *layer;
	struct plt_copy_options opts = { .length = 32 << 20, .workers = 2 };
	struct platter_error err = PLATTER_ERROR_INIT;
	struct layer *s;
	uint64_t seed = 3;

	(void)state;
	memset(from->kind, 'D', (32 << 20) / UNIT);
	layer = new_layer(ctx, src, NULL, &seed);
	s = platter_image_state(layer);
	memset(s->kind, 'D', (32 << 20) / UNIT);
	/* Pieces of 15.5 units on average, 256 to a batch: 2 MiB. */
	assert_ok(plt_copy(layer, dst, &opts, NULL, &err), &err);
	assert_true(from->reads > 1000);
	assert_true(to->writes < 100);
	plt_image_free(layer);
}

static void long_runs_are_copied_without_reading(void **state)
{
	const struct plt_copy_options opts = { .length = 32 << 20 };
	struct platter_error err = PLATTER_ERROR_INIT;
	struct plt_copy_result result;

	(void)state;
	to->offload = 1 << 20;
	assert_ok(plt_copy(src, dst, &opts, &result, &err), &err);
	assert_memory_equal(from->data, to->data, 32 << 20);
	assert_true(to->offloaded > to->bytes_written / 2);
	assert_int_equal(to->bytes_written, result.written);
}

/* Detecting zeros needs to see them. */
static void with_zero_detection_all_is_read(void **state)
{
	const struct plt_copy_options opts = {
		.length = 32 << 20, .sparse_size = 4096,
	};
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	to->offload = 1 << 20;
	assert_ok(plt_copy(src, dst, &opts, NULL, &err), &err);
	assert_memory_equal(from->data, to->data, 32 << 20);
	assert_int_equal(to->offloaded, 0);
}

static void a_filter_sees_all_that_is_read(void **state)
{
	const struct plt_copy_options opts = { .length = 32 << 20 };
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *layer;
	struct layer *s;
	uint64_t seed = 4;

	(void)state;
	to->offload = 1 << 20;
	memset(from->kind, 'D', (32 << 20) / UNIT);
	src = new_invert(ctx, src);
	assert_ok(plt_copy(src, dst, &opts, NULL, &err), &err);
	for (uint64_t i = 0; i < 32 << 20; i++)
		assert_true(to->data[i] + from->data[i] == 0xff);

	layer = new_layer(ctx, src, NULL, &seed);
	s = platter_image_state(layer);
	memset(s->kind, 'D', (32 << 20) / UNIT);
	for (uint64_t u = 0; u < (32 << 20) / UNIT; u++)
		s->place[u] = u;
	noise(dst);
	assert_ok(plt_copy(layer, dst, &opts, NULL, &err), &err);
	for (uint64_t i = 0; i < 32 << 20; i++)
		assert_true(to->data[i] + from->data[i] == 0xff);
	assert_int_equal(to->offloaded, 0);
	plt_image_free(layer);
}

static void the_first_error_ends_it(void **state)
{
	struct plt_copy_options opts = { .length = 32 << 20, .workers = 2 };

	(void)state;
	memset(from->kind, 'D', (32 << 20) / UNIT);
	for (unsigned int workers = 1; workers <= 4; workers++) {
		struct platter_error err = PLATTER_ERROR_INIT;

		opts.workers = workers;
		to->bad_write = 3 << 20;
		to->bytes_written = 0;
		assert_int_equal(plt_copy(src, dst, &opts, NULL, &err),
				 -ENOSPC);
		assert_string_equal(err.msg, "dst: bad write at 3145728");
		/* More than one may get ahead of the one that failed. */
		if (workers == 1)
			assert_int_equal(to->bytes_written, 4 << 20);
	}
}

static void a_read_error_ends_it(void **state)
{
	const struct plt_copy_options opts = { .length = 32 << 20 };
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	memset(from->kind, 'D', (32 << 20) / UNIT);
	from->bad_read = 20000000;
	assert_int_equal(plt_copy(src, dst, &opts, NULL, &err), -EIO);
	assert_string_equal(err.msg, "src: bad read at 20000000");
}

static void progress_can_stop_it(void **state)
{
	struct watcher watcher = new_watcher(1);
	const struct plt_copy_options opts = {
		.length = 32 << 20, .progress = &watcher.progress,
		.workers = 2,
	};
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	memset(from->kind, 'D', (32 << 20) / UNIT);
	assert_int_equal(plt_copy(src, dst, &opts, NULL, &err), -ECANCELED);
	assert_int_equal(watcher.calls, 1);
	assert_true(to->bytes_written < 16 << 20);
}

static void a_range_beyond_the_end_is_refused(void **state)
{
	const struct plt_copy_options opts = {
		.offset = 4096, .length = 32 << 20,
	};
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	assert_int_equal(plt_copy(src, dst, &opts, NULL, &err), -EINVAL);
	assert_has(err.msg, "src: 33554432 bytes at 4096");
	assert_int_equal(from->reads + to->writes, 0);
}

#define PAIR(test) \
	cmocka_unit_test_setup_teardown(test, setup_pair, teardown_pair)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			random_copies_equal_copies_made_byte_by_byte, setup,
			teardown),
		PAIR(holes_are_never_read),
		PAIR(zeros_in_data_become_holes),
		PAIR(allocating_leaves_no_hole),
		PAIR(neighbours_are_written_together),
		PAIR(long_runs_are_copied_without_reading),
		PAIR(with_zero_detection_all_is_read),
		PAIR(a_filter_sees_all_that_is_read),
		PAIR(the_first_error_ends_it),
		PAIR(a_read_error_ends_it),
		PAIR(progress_can_stop_it),
		PAIR(a_range_beyond_the_end_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
