/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ddmin, by brute force: what is left fails, and less any one it does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crash/ddmin.h"

#define ELEMENTS	24u
#define ROUNDS		400u

/* Fails when all of some clause are there; sets of bits. */
struct oracle {
	struct plt_ddmin ddmin;
	uint32_t clause[3];
	size_t nr_clauses;
	uint32_t poison;	/* with only some of these nothing fails */
	size_t asked;
};

static bool fails(const struct oracle *o, uint32_t set)
{
	const uint32_t poison = set & o->poison;

	if (poison && poison != o->poison)
		return false;
	for (size_t i = 0; i < o->nr_clauses; i++)
		if ((set & o->clause[i]) == o->clause[i])
			return true;
	return false;
}

static uint32_t bits(const size_t *element, size_t nr)
{
	uint32_t set = 0;

	for (size_t i = 0; i < nr; i++)
		set |= UINT32_C(1) << element[i];
	return set;
}

static int first(struct plt_ddmin *d, const struct plt_ddmin_part *parts,
		 size_t nr, size_t *which, struct platter_error *err)
{
	struct oracle *o = (struct oracle *)d;

	(void)err;
	*which = nr;
	for (size_t i = 0; i < nr; i++) {
		uint32_t set = 0;

		for (size_t j = 0; j < d->nr; j++)
			if (plt_ddmin_in(&parts[i], j))
				set |= UINT32_C(1) << d->element[j];
		o->asked++;
		assert_int_not_equal(set, 0);
		if (fails(o, set)) {
			*which = i;
			break;
		}
	}
	return 0;
}

static uint32_t rnd(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static uint32_t some(uint32_t *seed, unsigned int nr)
{
	uint32_t set = 0;

	for (unsigned int i = 0; i < nr; i++)
		set |= UINT32_C(1) << rnd(seed) % ELEMENTS;
	return set;
}

static void run(struct oracle *o, size_t *element)
{
	for (size_t i = 0; i < ELEMENTS; i++)
		element[i] = i;
	o->ddmin.element = element;
	o->ddmin.nr = ELEMENTS;
	o->ddmin.first = first;
	assert_int_equal(plt_ddmin(&o->ddmin, NULL), 0);
}

static void is_minimal(const struct oracle *o)
{
	const uint32_t set = bits(o->ddmin.element, o->ddmin.nr);

	assert_true(fails(o, set));
	for (size_t i = 0; i < o->ddmin.nr; i++)
		assert_false(fails(o, set &
				   ~(UINT32_C(1) << o->ddmin.element[i])));
	for (size_t i = 1; i < o->ddmin.nr; i++)
		assert_true(o->ddmin.element[i - 1] < o->ddmin.element[i]);
}

static void is_1_minimal_where_more_fails_more(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct oracle o = { .nr_clauses = 1 + rnd(&seed) % 3 };
		size_t element[ELEMENTS];

		for (size_t j = 0; j < o.nr_clauses; j++)
			o.clause[j] = some(&seed, 1 + rnd(&seed) % 6);
		run(&o, element);
		is_minimal(&o);
	}
}

static void is_1_minimal_where_it_does_not(void **state)
{
	uint32_t seed = 2;

	(void)state;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct oracle o = {
			.clause = { some(&seed, 1 + rnd(&seed) % 4) },
			.nr_clauses = 1,
			.poison = some(&seed, 1 + rnd(&seed) % 6),
		};
		size_t element[ELEMENTS];

		run(&o, element);
		is_minimal(&o);
	}
}

static void one_of_many_takes_few_tries(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTS; i++) {
		struct oracle o = {
			.clause = { UINT32_C(1) << i }, .nr_clauses = 1,
		};
		size_t element[ELEMENTS];

		run(&o, element);
		assert_int_equal(o.ddmin.nr, 1);
		assert_int_equal(o.ddmin.element[0], i);
		assert_true(o.asked <= 2 * 5);
	}
}

static void all_may_be_needed(void **state)
{
	struct oracle o = {
		.clause = { (UINT32_C(1) << ELEMENTS) - 1 }, .nr_clauses = 1,
	};
	size_t element[ELEMENTS];

	(void)state;
	run(&o, element);
	assert_int_equal(o.ddmin.nr, ELEMENTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_1_minimal_where_more_fails_more),
		cmocka_unit_test(is_1_minimal_where_it_does_not),
		cmocka_unit_test(one_of_many_takes_few_tries),
		cmocka_unit_test(all_may_be_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
