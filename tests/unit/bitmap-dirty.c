/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dirty bitmaps in memory: against a plain array, and from many threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/mem.h"
#include "bitmap/dirty.h"

#define BITS_MAX	200000u		/* several chunks */

struct model {
	uint8_t bit[BITS_MAX];		/* one each */
	uint64_t size;
	unsigned int granularity_bits;
};

static uint64_t model_bits(const struct model *m)
{
	uint64_t g = UINT64_C(1) << m->granularity_bits;

	return (m->size + g - 1) / g;
}

static void model_set(struct model *m, uint64_t offset, uint64_t len)
{
	uint64_t bits = model_bits(m);

	for (uint64_t i = 0; len && i < bits; i++) {
		uint64_t start = i << m->granularity_bits;
		uint64_t end = (i + 1) << m->granularity_bits;

		if (start < offset + len && offset < end && offset < m->size)
			m->bit[i] = 1;
	}
}

static void model_resize(struct model *m, uint64_t size)
{
	m->size = size;
	memset(m->bit + model_bits(m), 0, BITS_MAX - model_bits(m));
}

static void compare(const struct model *m, const struct plt_dirty *d)
{
	uint64_t bits = model_bits(m), count = 0, offset = 0, start, len;
	uint64_t g = UINT64_C(1) << m->granularity_bits;
	uint8_t *buf = calloc(1, bits / 8 + 9);

	assert_int_equal(plt_dirty_bits(d), bits);
	plt_dirty_or_into(d, 0, bits, buf);
	for (uint64_t i = 0; i < bits; i++) {
		assert_int_equal(buf[i / 8] >> i % 8 & 1, m->bit[i]);
		count += m->bit[i];
	}
	assert_int_equal(plt_dirty_count(d), count);
	free(buf);
	for (uint64_t i = 0; i < bits; i++) {
		uint64_t end = i;

		if (!m->bit[i])
			continue;
		while (end < bits && m->bit[end])
			end++;
		assert_true(plt_dirty_next(d, offset, &start, &len));
		assert_int_equal(start, i * g);
		assert_int_equal(len, PLT_MIN(end * g, m->size) - start);
		offset = start + len;
		i = end;
	}
	assert_false(plt_dirty_next(d, offset, &start, &len));
}

static void agrees_with_a_plain_array(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	struct plt_dirty *d;

	(void)state;
	srand(7);
	m->granularity_bits = 9;
	m->size = (uint64_t)BITS_MAX * 512 - 100;
	assert_int_equal(plt_dirty_new(&d, m->size, 9, NULL), 0);
	for (int i = 0; i < 200; i++) {
		uint64_t offset = ((uint64_t)rand() << 12 ^ (uint64_t)rand()) %
				  ((uint64_t)BITS_MAX * 512 + 1000);
		uint64_t len = i % 7 ? (uint64_t)rand() % 70000 :
				       (uint64_t)rand() % 20000000;

		if (i % 10 == 9) {
			uint64_t size = (uint64_t)rand() % BITS_MAX * 512;

			model_resize(m, size + 1);
			assert_int_equal(plt_dirty_resize(d, size + 1, NULL),
					 0);
		}
		model_set(m, offset, len);
		plt_dirty_set(d, offset, len);
		if (i % 10 > 7)
			compare(m, d);
	}
	compare(m, d);
	plt_dirty_free(d);
	free(m);
}

static void edges_of_words_and_chunks(void **state)
{
	static const uint64_t at[] = { 0, 1, 63, 64, 127, 128, 32767, 32768,
				       32831, 65535, 65536 };
	struct model *m = calloc(1, sizeof(*m));

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(at); i++) {
		for (size_t j = i; j < PLT_ARRAY_SIZE(at); j++) {
			uint64_t from = at[i] << 12;
			uint64_t len = ((at[j] + 1) << 12) - from;
			struct plt_dirty *d;

			memset(m, 0, sizeof(*m));
			m->granularity_bits = 12;
			m->size = UINT64_C(65537) << 12;
			assert_int_equal(plt_dirty_new(&d, m->size, 12, NULL),
					 0);
			model_set(m, from, len);
			plt_dirty_set(d, from, len);
			compare(m, d);
			assert_int_equal(plt_dirty_any(d, at[j] + 1, 100000),
					 false);
			assert_int_equal(plt_dirty_any(d, 0, at[i]), false);
			assert_int_equal(plt_dirty_any(d, at[j], 1), true);
			plt_dirty_free(d);
		}
	}
	free(m);
}

static void what_is_cut_off_does_not_come_back(void **state)
{
	struct plt_dirty *d;

	(void)state;
	assert_int_equal(plt_dirty_new(&d, 1 << 20, 9, NULL), 0);
	plt_dirty_set(d, 0, 1 << 20);
	assert_int_equal(plt_dirty_resize(d, 5000, NULL), 0);
	assert_int_equal(plt_dirty_count(d), 10);
	assert_int_equal(plt_dirty_resize(d, 1 << 20, NULL), 0);
	assert_int_equal(plt_dirty_count(d), 10);
	plt_dirty_free(d);
}

static void an_empty_disk_has_no_bits(void **state)
{
	uint64_t start, len;
	struct plt_dirty *d;

	(void)state;
	assert_int_equal(plt_dirty_new(&d, 0, 16, NULL), 0);
	plt_dirty_set(d, 0, 100);
	assert_int_equal(plt_dirty_bits(d), 0);
	assert_int_equal(plt_dirty_count(d), 0);
	assert_false(plt_dirty_next(d, 0, &start, &len));
	plt_dirty_free(d);
}

#define THREADS	8

struct worker {
	pthread_t thread;
	struct plt_dirty *d;
	unsigned int nr;
};

/* Every eighth bit, so that all work on the same words. */
static void *work(void *arg)
{
	struct worker *w = arg;

	for (uint64_t i = w->nr; i < 100000; i += THREADS)
		plt_dirty_set(w->d, i << 9, 1);
	return NULL;
}

static void threads_lose_nothing(void **state)
{
	struct worker w[THREADS];
	struct plt_dirty *d;

	(void)state;
	assert_int_equal(plt_dirty_new(&d, 100000u << 9, 9, NULL), 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .d = d, .nr = i };
		assert_int_equal(pthread_create(&w[i].thread, NULL, work,
						&w[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(w[i].thread, NULL);
	assert_int_equal(plt_dirty_count(d), 100000);
	plt_dirty_free(d);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_a_plain_array),
		cmocka_unit_test(edges_of_words_and_chunks),
		cmocka_unit_test(what_is_cut_off_does_not_come_back),
		cmocka_unit_test(an_empty_disk_has_no_bits),
		cmocka_unit_test(threads_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
