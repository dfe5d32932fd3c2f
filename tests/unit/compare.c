/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Comparing: the first difference is the first however many threads look, and
 * an unreadable place counts only where a single reader would have met it.
 */
#include "copy-test.h"

#include <platter/job.h>

#include "job/job.h"

#define SIZE (24u << 20)

static struct platter_context *ctx;
static struct platter_image *a, *b;
static struct store *in_a, *in_b;

static int setup(void **state)
{
	uint64_t seed = 11;

	(void)state;
	ctx = new_context();
	a = new_store(ctx, SIZE, "a");
	b = new_store(ctx, SIZE, "b");
	in_a = platter_image_state(a);
	in_b = platter_image_state(b);
	fill_store(a, &seed, 4000);
	memcpy(in_b->data, in_a->data, SIZE);
	memcpy(in_b->kind, in_a->kind, SIZE / UNIT);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	plt_image_free(a);
	plt_image_free(b);
	platter_context_free(ctx);
	return 0;
}

static struct platter_compare_result compare(bool strict, unsigned int workers)
{
	const struct platter_compare_options opts = {
		.strict = strict, .workers = workers,
	};
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_compare_result result;

	assert_ok(platter_compare(a, b, &opts, &result, &err), &err);
	return result;
}

static void assert_differs(unsigned int workers, uint64_t offset)
{
	struct platter_compare_result result = compare(false, workers);

	assert_int_equal(result.verdict, PLATTER_COMPARE_CONTENT);
	assert_int_equal(result.offset, offset);
}

static void change(struct store *s, uint64_t offset)
{
	s->data[offset] ^= 0x55;
	s->kind[offset / UNIT] = 'D';
}

static void equal_images_are_the_same(void **state)
{
	(void)state;
	assert_int_equal(compare(false, 2).verdict, PLATTER_COMPARE_SAME);
	assert_int_equal(compare(true, 2).verdict, PLATTER_COMPARE_SAME);
	assert_int_equal(in_a->zero_reads + in_b->zero_reads, 0);
}

static void a_hole_equals_zeros_unless_strict(void **state)
{
	uint8_t *zeros = memmem(in_a->data, SIZE, (uint8_t[8192]){ 0 }, 8192);
	uint64_t unit;

	(void)state;
	assert_non_null(zeros);
	unit = (uint64_t)(zeros - in_a->data) / UNIT + 1;
	in_a->kind[unit] = 'D';
	in_b->kind[unit] = 'Z';
	assert_int_equal(compare(false, 2).verdict, PLATTER_COMPARE_SAME);
	assert_int_equal(compare(true, 2).verdict,
			 PLATTER_COMPARE_ALLOCATION);
	assert_int_equal(compare(true, 2).offset, unit * UNIT);
	/* A difference in content before it is what there is to say. */
	change(in_a, unit * UNIT - 700);
	assert_int_equal(compare(true, 2).verdict,
			 in_b->kind[unit - 2] == 'D' ?
			 PLATTER_COMPARE_CONTENT : PLATTER_COMPARE_ALLOCATION);
}

static void the_lowest_of_many_differences_is_found(void **state)
{
	uint64_t seed = 5;

	(void)state;
	for (int round = 0; round < 60; round++) {
		unsigned int n = 1 + rnd(&seed) % 40;
		uint64_t first = 0;

		memcpy(in_b->data, in_a->data, SIZE);
		memcpy(in_b->kind, in_a->kind, SIZE / UNIT);

		while (n--)
			change(rnd(&seed) % 2 ? in_a : in_b,
			       rnd(&seed) % SIZE);
		while (in_a->data[first] == in_b->data[first])
			first++;
		assert_differs(1 + round % 4, first);
	}
}

static void only_differences_before_a_bad_place_are_told(void **state)
{
	const struct platter_compare_options opts = { .workers = 4 };
	struct platter_compare_result result;
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	memset(in_a->kind, 'D', SIZE / UNIT);
	in_a->bad_read = 9 << 20;
	change(in_b, (9 << 20) - 1);
	for (int i = 0; i < 20; i++)
		assert_differs(4, (9 << 20) - 1);
	in_a->bad_read = 5 << 20;
	in_b->bad_read = 6 << 20;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(platter_compare(a, b, &opts, &result, &err),
				 -EIO);
		assert_string_equal(err.msg, "a: bad read at 5242880");
		assert_int_equal(result.failed, 4);
	}
}

static void the_longer_image_must_end_in_zeros(void **state)
{
	struct platter_compare_result result;

	(void)state;
	memset(in_b->data + 20000 * UNIT, 0, SIZE - 20000 * UNIT);
	memset(in_a->data + 20000 * UNIT, 0, SIZE - 20000 * UNIT);
	platter_image_set_size(a, 20000 * UNIT);
	result = compare(false, 2);
	assert_int_equal(result.verdict, PLATTER_COMPARE_SAME);
	assert_true(result.size_differs);
	result = compare(true, 2);
	assert_int_equal(result.verdict, PLATTER_COMPARE_SIZE);
	change(in_b, SIZE - 1);
	result = compare(false, 2);
	assert_int_equal(result.verdict, PLATTER_COMPARE_CONTENT);
	assert_int_equal(result.offset, SIZE - 1);
	assert_true(result.size_differs);
	change(in_b, 77);
	result = compare(false, 2);
	assert_int_equal(result.offset, 77);
	assert_false(result.size_differs);
}

static void what_the_first_does_not_hold_is_left_out(void **state)
{
	const struct plt_compare_request req = {
		.length = SIZE, .only_present = true, .workers = 2,
	};
	struct platter_compare_result result;
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *layer;
	struct layer *s;
	uint64_t seed = 9;

	(void)state;
	layer = new_layer(ctx, a, NULL, &seed);
	s = platter_image_state(layer);
	for (uint64_t i = 0; i < SIZE; i++)
		if (s->kind[i / UNIT] != '.')
			in_b->data[i] = layer_byte(layer, i);
	memset(in_b->kind, 'D', SIZE / UNIT);
	assert_ok(plt_compare_range(layer, b, &req, &result, &err), &err);
	assert_int_equal(result.verdict, PLATTER_COMPARE_SAME);
	for (uint64_t i = SIZE / 2; i < SIZE; i++) {
		if (s->kind[i / UNIT] == '.')
			continue;
		change(in_b, i);
		assert_ok(plt_compare_range(layer, b, &req, &result, &err),
			  &err);
		assert_int_equal(result.verdict, PLATTER_COMPARE_CONTENT);
		assert_int_equal(result.offset, i);
		break;
	}
	plt_image_free(layer);
}

static void progress_can_stop_it(void **state)
{
	struct watcher watcher = new_watcher(1);
	const struct platter_compare_options opts = {
		.progress = &watcher.progress, .workers = 2,
	};
	struct platter_compare_result result;
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	assert_int_equal(platter_compare(a, b, &opts, &result, &err),
			 -ECANCELED);
	assert_int_equal(watcher.calls, 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(equal_images_are_the_same),
		TEST(a_hole_equals_zeros_unless_strict),
		TEST(the_lowest_of_many_differences_is_found),
		TEST(only_differences_before_a_bad_place_are_told),
		TEST(the_longer_image_must_end_in_zeros),
		TEST(what_the_first_does_not_hold_is_left_out),
		TEST(progress_can_stop_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
