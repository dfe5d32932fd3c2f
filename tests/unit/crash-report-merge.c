/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reports of crash states: shards join to the whole, and nothing else does. */
#include <errno.h>

#include "base/mem.h"
#include "crash-report-test.h"

static void shards_join_to_the_whole(void **state)
{
	struct platter_crash_report *whole = make_shard(0, 1);
	size_t len;
	char *want plt_auto_free = text_of(whole, PLATTER_CRASH_JSONL, &len);

	(void)state;
	for (uint32_t nr = 1; nr < 8; nr += 2) {
		struct platter_crash_report *shard[8], *joined;
		struct platter_error err = PLATTER_ERROR_INIT;
		char *got plt_auto_free = NULL;

		/* Given in any order. */
		for (uint32_t i = 0; i < nr; i++)
			shard[i] = make_shard((i + nr / 2) % nr, nr);
		assert_int_equal(platter_crash_report_merge(&joined, shard, nr,
							    &err), 0);
		/* The time of all checkers is a sum. */
		joined->summary.check_ns = whole->summary.check_ns;
		got = text_of(joined, PLATTER_CRASH_JSONL, &len);
		assert_string_equal(got, want);
		for (uint32_t i = 0; i < nr; i++)
			platter_crash_report_free(shard[i]);
		platter_crash_report_free(joined);
	}
	platter_crash_report_free(whole);
}

static void does_not_merge(struct platter_crash_report *const *shard,
			   size_t nr, const char *message)
{
	struct platter_crash_report *joined = NULL;
	struct platter_error err = PLATTER_ERROR_INIT;

	assert_int_equal(platter_crash_report_merge(&joined, shard, nr, &err),
			 -EINVAL);
	if (!strstr(err.msg, message))
		fail_msg("'%s' is not in: %s", message, err.msg);
}

static void missing_and_doubled_shards_are_named(void **state)
{
	struct platter_crash_report *s[5];

	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		s[i] = make_shard(i, 5);
	does_not_merge((struct platter_crash_report *[]){ s[0], s[2], s[3] },
		       3, "the run has 5 shards; missing: 1, 4");
	does_not_merge((struct platter_crash_report *[]){ s[0], s[1], s[2],
							  s[1], s[3], s[4] },
		       6, "the run has 5 shards; given more than once: 1");
	does_not_merge((struct platter_crash_report *[]){ s[0], s[0] }, 2,
		       "missing: 1, 2, 3, 4; given more than once: 0");
	for (uint32_t i = 0; i < 5; i++)
		platter_crash_report_free(s[i]);
}

static void shards_that_counted_otherwise_do_not_merge(void **state)
{
	struct platter_crash_report *s[2] = { make_shard(0, 2),
					      make_shard(1, 2) };

	(void)state;
	s[1]->summary.census.unique++;
	does_not_merge(s, 2, "shards 0 and 1 did not walk the same states");
	platter_crash_report_free(s[0]);
	platter_crash_report_free(s[1]);
}

/* As of two versions with other orders: one state twice, another never. */
static void shards_of_other_walks_do_not_merge(void **state)
{
	struct platter_crash_report *shard[2], *joined;
	struct platter_error err = PLATTER_ERROR_INIT;

	(void)state;
	shard[0] = make_shard(0, 2);
	shard[1] = make_shard(1, 2);
	memcpy(shard[1]->kept[3].hash, shard[0]->kept[2].hash,
	       sizeof(shard[1]->kept[3].hash));
	assert_int_equal(platter_crash_report_merge(&joined, shard, 2, &err),
			 -EINVAL);
	assert_string_equal(err.msg, "reports 1 and 2 are not of the same "
			    "states: number 4 in one, 4-2[1:3], is number 7 in "
			    "the other, 5-3[1:3]; were they run by one "
			    "version?");
	/* After another mark the same content is another state. */
	shard[1]->kept[3].mark_entry = 3;
	assert_int_equal(platter_crash_report_merge(&joined, shard, 2, &err),
			 0);
	platter_crash_report_free(joined);
	platter_crash_report_free(shard[0]);
	platter_crash_report_free(shard[1]);
}

static void a_shard_without_end_leaves_the_whole_without(void **state)
{
	struct platter_crash_report *s[2] = { make_shard(0, 2),
					      make_shard(1, 2) }, *joined;
	struct platter_error err;

	(void)state;
	s[1]->ended = false;
	assert_int_equal(platter_crash_report_merge(&joined, s, 2, &err), 0);
	assert_null(platter_crash_report_summary(joined));
	assert_int_equal(platter_crash_report_count(joined), STATES + 2);
	platter_crash_report_free(joined);
	s[1]->ended = true;
	s[1]->summary.end = PLATTER_CRASH_END_TIME;
	s[1]->summary.census.made--;
	assert_int_equal(platter_crash_report_merge(&joined, s, 2, &err), 0);
	assert_int_equal(platter_crash_report_summary(joined)->end,
			 PLATTER_CRASH_END_TIME);
	assert_int_equal(platter_crash_report_summary(joined)->census.made,
			 77);
	platter_crash_report_free(joined);
	platter_crash_report_free(s[0]);
	platter_crash_report_free(s[1]);
}

static void runs_differ_in_what_makes_states(void **state)
{
	static const char *const region[] = { "a..b=tears", NULL };
	struct platter_crash_run v[12];
	static const char *const said[] = {
		"entries", "sector size", "their entries", "size of the disk",
		"base", "first point", "model", "unit", "strategies",
		"region", "checker", "read",
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++)
		v[i] = base_run;
	v[0].entries++;
	v[1].sector_size = 4096;
	v[2].log_hash++;
	v[3].size++;
	v[4].base = "before/other.img";
	v[5].plan.from++;
	v[6].plan.model = PLATTER_CRASH_MODEL_SHORN;
	v[7].plan.unit = 4096;
	v[8].plan.strategies = "prefixes,random=5,seed=8";
	v[9].plan.regions = region;
	v[10].checker = "true";
	v[11].read_guided = true;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		struct platter_error err;

		assert_int_equal(platter_crash_run_same(&base_run, &v[i],
							&err), -EINVAL);
		if (!strstr(err.msg, said[i]))
			fail_msg("'%s' is not in: %s", said[i], err.msg);
	}
	/* Another machine may keep the same files elsewhere. */
	v[0] = base_run;
	v[0].log = "elsewhere/run.log";
	v[0].base = "elsewhere/start.img";
	v[0].how = "scratch copies";
	v[0].plan.shard = 1;
	v[0].plan.shards = 2;
	assert_int_equal(platter_crash_run_same(&base_run, &v[0], NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shards_join_to_the_whole),
		cmocka_unit_test(missing_and_doubled_shards_are_named),
		cmocka_unit_test(shards_that_counted_otherwise_do_not_merge),
		cmocka_unit_test(shards_of_other_walks_do_not_merge),
		cmocka_unit_test(a_shard_without_end_leaves_the_whole_without),
		cmocka_unit_test(runs_differ_in_what_makes_states),
	};

	return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
