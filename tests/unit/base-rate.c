// SPDX-License-Identifier: LGPL-2.1-or-later
/* The rate limit, against a clock that only sleeping and the test move on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rate.h"

#define SECOND INT64_C(1000000000)

static int64_t now;

static int64_t fake_now(void *arg)
{
	(void)arg;
	return now;
}

static void fake_sleep(void *arg, int64_t ns)
{
	(void)arg;
	assert_true(ns > 0);
	now += ns;
}

static const struct plt_clock fake = { .now = fake_now, .sleep = fake_sleep };

static struct plt_rate *new_rate(uint64_t speed)
{
	struct plt_rate *rate;

	now = 5 * SECOND;
	assert_int_equal(plt_rate_new(&rate, speed, &fake, NULL), 0);
	return rate;
}

/* Less the tenth of a second's worth that is there at the start. */
static void many_takes_last_what_the_rate_says(void **state)
{
	static const uint64_t sizes[] = { 1, 512, 65536, 1 << 20, 7 << 20 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t speed = 100 * sizes[i];
		struct plt_rate *rate = new_rate(speed);
		int64_t begin = now;

		for (int n = 0; n < 1000; n++)
			plt_rate_take(rate, sizes[i]);
		assert_int_equal(now - begin, 10 * SECOND - SECOND / 10);
		plt_rate_free(rate);
	}
}

static void one_large_take_is_waited_for(void **state)
{
	struct plt_rate *rate = new_rate(1000);
	int64_t begin = now;

	(void)state;
	plt_rate_take(rate, 3100);
	assert_int_equal(now - begin, 3 * SECOND);
	plt_rate_free(rate);
}

static void what_was_not_used_is_kept_for_a_tenth_of_a_second(void **state)
{
	struct plt_rate *rate = new_rate(1000);
	int64_t begin;

	(void)state;
	plt_rate_take(rate, 100);
	now += 3600 * SECOND;
	begin = now;
	plt_rate_take(rate, 100);
	assert_int_equal(now, begin);
	plt_rate_take(rate, 1000);
	assert_int_equal(now - begin, SECOND);
	plt_rate_free(rate);
}

static void a_rate_is_never_exceeded_by_rounding(void **state)
{
	struct plt_rate *rate = new_rate(3);
	int64_t begin = now;

	(void)state;
	for (int n = 0; n < 30; n++)
		plt_rate_take(rate, 1);
	assert_true(now - begin >= 10 * SECOND - SECOND / 10);
	assert_true(now - begin <= 10 * SECOND);
	plt_rate_free(rate);
}

static void no_size_overflows(void **state)
{
	struct plt_rate *rate = new_rate(1);
	int64_t begin = now;

	(void)state;
	plt_rate_take(rate, UINT64_MAX);
	plt_rate_take(rate, UINT64_MAX);
	assert_true(now > begin);
	plt_rate_free(rate);
}

static void a_rate_of_zero_is_refused(void **state)
{
	struct plt_rate *rate;

	(void)state;
	assert_int_equal(plt_rate_new(&rate, 0, &fake, NULL), -EINVAL);
	plt_rate_take(NULL, 1);
	plt_rate_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_takes_last_what_the_rate_says),
		cmocka_unit_test(one_large_take_is_waited_for),
		cmocka_unit_test(
			what_was_not_used_is_kept_for_a_tenth_of_a_second),
		cmocka_unit_test(a_rate_is_never_exceeded_by_rounding),
		cmocka_unit_test(no_size_overflows),
		cmocka_unit_test(a_rate_of_zero_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
