/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reports of crash states, from made results: what is written is read again,
 * what nobody could have written is refused.
 */
#include <errno.h>

#include "base/mem.h"
#include "crash-report-test.h"

static int read_text(struct platter_crash_report **out, const char *text,
		     size_t len, struct platter_error *err)
{
	char path[] = "crash-report.XXXXXX";
	const int fd = mkstemp(path);
	int rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
	rc = platter_crash_report_read(out, path, err);
	unlink(path);
	return rc;
}

/* ---- written and read ---- */

static void what_is_added_comes_back(void **state)
{
	struct platter_crash_report *r = make_shard(0, 1);

	(void)state;
	assert_int_equal(platter_crash_report_count(r), STATES + 2);
	for (size_t i = 0; i < 21; i++) {
		const struct platter_crash_record *got =
			platter_crash_report_get(r, i);
		struct platter_crash_record want;
		char name[32];

		make_record(&want, i, name);
		assert_string_equal(got->state, want.state);
		assert_string_equal(got->strategy, want.strategy);
		assert_string_equal(got->result.reason, want.result.reason);
		assert_memory_equal(got->hash, want.hash, 16);
		assert_int_equal(got->mark_entry, want.mark_entry);
		assert_int_equal(got->result.status, want.result.status);
		assert_int_equal(got->result.output_len,
				 want.result.output_len);
		if (want.result.output)
			assert_memory_equal(got->result.output, every_byte,
					    want.result.output_len);
	}
	platter_crash_report_free(r);
}

static void what_is_written_is_read(void **state)
{
	struct platter_crash_report *r = make_shard(0, 1), *again;
	char *text plt_auto_free = NULL, *second plt_auto_free = NULL;
	struct platter_error err = PLATTER_ERROR_INIT;
	size_t len, second_len;

	(void)state;
	text = text_of(r, PLATTER_CRASH_JSONL, &len);
	assert_int_equal(read_text(&again, text, len, &err), 0);
	second = text_of(again, PLATTER_CRASH_JSONL, &second_len);
	assert_string_equal(text, second);
	assert_int_equal(platter_crash_run_same(&r->run, &again->run, NULL),
			 0);
	assert_memory_equal(platter_crash_report_get(again, 0)->result.output,
			    every_byte, sizeof(every_byte) - 1);
	assert_int_equal(platter_crash_report_summary(again)->check_ns,
			 9000000002);
	platter_crash_report_free(r);
	platter_crash_report_free(again);
}

static void a_result_out_of_order_is_refused(void **state)
{
	struct platter_crash_report *r = make_shard(0, 1);
	struct platter_crash_record rec;
	struct platter_error err;
	char name[32];

	(void)state;
	make_record(&rec, STATES - 1, name);
	assert_int_equal(platter_crash_report_add(r, &rec, &err), -EINVAL);
	assert_string_equal(err.msg, "state 59 comes after state 59");
	platter_crash_report_free(r);
}

/* Whatever a kill leaves is a report of what came before. */
static void cut_anywhere_it_is_read_up_to_there(void **state)
{
	struct platter_crash_report *r = make_shard(0, 1), *cut;
	char *text plt_auto_free = NULL;
	size_t len, first, lines = 0;
	struct platter_error err;

	(void)state;
	text = text_of(r, PLATTER_CRASH_JSONL, &len);
	first = (size_t)(strchr(text, '\n') - text);
	for (size_t at = first; at < len; at += 7) {
		size_t whole = 0;

		for (size_t i = 0; i < at; i++)
			whole += text[i] == '\n';
		/* A line that lacks nothing but its end is whole, too. */
		lines = whole + (at && text[at] == '\n') - 1;
		if (lines > STATES + 2)
			break;
		assert_int_equal(read_text(&cut, text, at, &err), 0);
		assert_int_equal(platter_crash_report_count(cut), lines);
		assert_null(platter_crash_report_summary(cut));
		platter_crash_report_free(cut);
	}
	assert_int_equal(read_text(&cut, text, first / 2, &err), -EINVAL);
	platter_crash_report_free(r);
}

/* ---- refused ---- */

/* In the text of a report the first `from` becomes `to`. */
static void refuses_line(const char *text, const char *from, const char *to,
			 const char *message)
{
	const char *at = strstr(text, from);
	struct platter_crash_report *r = NULL;
	struct platter_error err = PLATTER_ERROR_INIT;
	char *changed = NULL;
	const int rc = at ? asprintf(&changed, "%.*s%s%s", (int)(at - text),
				     text, to, at + strlen(from)) : -1;

	assert_true(rc >= 0);
	assert_int_equal(read_text(&r, changed, (size_t)rc, &err), -EINVAL);
	if (!strstr(err.msg, message))
		fail_msg("'%s' is not in: %s", message, err.msg);
	free(changed);
}

static void what_nobody_writes_is_refused(void **state)
{
	static const struct {
		const char *from, *to, *message;
	} v[] = {
		{ "\"version\": 1", "\"version\": 2", "line 1: version 2" },
		{ "{ \"type\": \"run\"", "[ \"type\", \"run\"", "line 1: " },
		{ "\"type\": \"run\"", "\"type\": \"end\"", "line 1: " },
		{ "\"entries\": 40", "\"entries\": -1", "\"entries\"" },
		{ "\"entries\": 40", "\"entries\": 1e3", "\"entries\"" },
		{ "\"to\": 40", "\"to\": 41", "\"to\" is no number from 0 to "
					       "40" },
		{ "\"from\": 1", "\"from\": 41", "\"from\"" },
		{ "\"shards\": 1", "\"shards\": 0", "\"shards\"" },
		{ "\"shard\": 0", "\"shard\": 1", "\"shard\"" },
		{ "fedcba9876543210", "fedcba987654321", "\"log-hash\"" },
		{ "fedcba9876543210", "fedcba987654321g", "\"log-hash\"" },
		{ "\"model\": \"sector\"", "\"model\": \"vector\"", "vector" },
		{ "[\"zero\", \"old\"]", "[\"none\"]", "\"discards\"" },
		{ "[\"zero\", \"old\"]", "[1]", "\"discards\"" },
		{ "[\"zero\", \"old\"]", "[\"zero\", \"new\"]",
		  "\"discards\"" },
		{ "\"regions\": []", "\"regions\": [1]", "\"regions\"" },
		{ "\"depth\": 2", "\"depth\": 3", "\"depth\"" },
		{ "\"depth\": 2", "\"depth\": 1",
		  "line 24: \"depth\" is no number from 0 to 1" },
		{ "\"checker\"", "\"nobody\"", "\"checker\" is missing" },
		{ "\"index\": 1,", "\"index\": 0,",
		  "line 3: state 0 comes after state 0" },
		{ "\"index\": 1,", "\"depth\": 2, \"index\": 1,",
		  "line 3: a second crash of state 1 does not come behind" },
		{ "\"index\": 1,", "\"log\": \"x\", \"log\": 1,",
		  "line 3: no JSON object" },
		{ "\"state\": \"2-1[1:3]\"", "\"state\": \"2 1\"",
		  "line 2: \"state\" is no name" },
		{ "\"state\": \"2-1[1:3]\"", "\"state\": \"\"", "line 2: " },
		{ "\"state\": \"2-1[1:3]\"", "\"state\": \"\\u0000\"",
		  "line 2: " },
		{ "\"point\": 2,", "\"point\": 41,", "\"point\"" },
		{ "\"verdict\": \"pass\"", "\"verdict\": \"fine\"", "fine" },
		{ "\"exit-status\": 0", "\"exit-status\": 256", "line 2: " },
		{ "\"signal\": 11", "\"signal\": \"11\"", "\"signal\"" },
		{ "\"timed-out\": true", "\"timed-out\": 1", "\"timed-out\"" },
		{ "\"seconds\": 0.123456789", "\"seconds\": -1",
		  "\"seconds\"" },
		{ "\"seconds\": 0.123456789", "\"seconds\": 1e300",
		  "\"seconds\"" },
		{ "\"done\": 62", "\"done\": 61", "line 64: \"done\" is 61, "
						  "but there are 62" },
		{ "\"pass\": 40", "\"pass\": 41", "\"pass\" is 41" },
		{ "\"end\": \"all\"", "\"end\": \"some\"", "some" },
		{ "\"unique\": 60", "\"unique\": 61",
		  "line 64: of 61 states there are 60" },
		{ "\"index\": 59", "\"index\": 60",
		  "line 64: state 60 is beyond the 60" },
		{ "\"done\"", "\"gone\"", "\"done\"" },
		{ "9.000000002}\n", "9.000000002}\n{}\n", "line 65: " },
	};
	struct platter_crash_report *r = make_shard(0, 1);
	char *text plt_auto_free = NULL;
	size_t len;

	(void)state;
	text = text_of(r, PLATTER_CRASH_JSONL, &len);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++)
		refuses_line(text, v[i].from, v[i].to, v[i].message);
	platter_crash_report_free(r);
}

static void a_state_of_another_shard_is_refused(void **state)
{
	struct platter_crash_report *r = make_shard(1, 2);
	char *text plt_auto_free = NULL;
	size_t len;

	(void)state;
	text = text_of(r, PLATTER_CRASH_JSONL, &len);
	refuses_line(text, "\"index\": 3,", "\"index\": 4,",
		     "line 3: state 4 is not of shard 1 of 2");
	platter_crash_report_free(r);
}

static void a_line_without_end_is_refused(void **state)
{
	const size_t len = 33u << 20;
	char *text plt_auto_free = malloc(len);
	struct platter_crash_report *r;
	struct platter_error err;

	(void)state;
	memset(text, '[', len);
	assert_int_equal(read_text(&r, text, len, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "line 1: longer than 33554432 bytes"));
}

/* Nothing but an error may come of whatever a byte becomes. */
static void any_byte_may_be_wrong(void **state)
{
	struct platter_crash_report *r = make_shard(0, 9), *read;
	char *text plt_auto_free = NULL;
	uint32_t seed = 5;
	size_t len;

	(void)state;
	text = text_of(r, PLATTER_CRASH_JSONL, &len);
	for (size_t at = 0; at < len; at += 3) {
		const char was = text[at];

		seed = seed * 1664525u + 1013904223u;
		text[at] = (char)(seed >> 24);
		if (!read_text(&read, text, len, NULL))
			platter_crash_report_free(read);
		text[at] = was;
	}
	platter_crash_report_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_added_comes_back),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_result_out_of_order_is_refused),
		cmocka_unit_test(cut_anywhere_it_is_read_up_to_there),
		cmocka_unit_test(what_nobody_writes_is_refused),
		cmocka_unit_test(a_state_of_another_shard_is_refused),
		cmocka_unit_test(a_line_without_end_is_refused),
		cmocka_unit_test(any_byte_may_be_wrong),
	};

	return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
