/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reports of crash states, from made results: what is written is read again,
 * what nobody could have written is refused, shards join to the whole.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include <platter/crash.h>

#include "base/mem.h"
#include "crash/crash.h"
#include "crash/report-picture.h"
#include "scratch-dir.h"

#define STATES	60u

static const struct platter_crash_run base_run = {
	.log = "run.log",
	.base = "before/start.img",
	.entries = 40,
	.size = 1 << 20,
	.log_hash = UINT64_C(0xfedcba9876543210),
	.sector_size = 512,
	.plan = {
		.from = 1,
		.to = 40,
		.model = PLATTER_CRASH_MODEL_SECTOR,
		.unit = 512,
		.strategies = "prefixes,random=5,seed=7",
		.discards = 1u << PLATTER_CRASH_DISCARD_ZERO |
			    1u << PLATTER_CRASH_DISCARD_OLD,
		.shards = 1,
	},
	.checker = "sh -c 'fsck {}'",
	.how = "FUSE",
	.depth = 2,
};

static const char every_byte[] = "a\0b\n\t\\x41 \xff\xc3\xa4 <&\"'> \x1b[31m";

/* State `index` of every run here; a third fails in different ways. */
static void make_record(struct platter_crash_record *r, uint64_t index,
			char name[32])
{
	static char output[sizeof(every_byte)];

	memcpy(output, every_byte, sizeof(output));
	snprintf(name, 32, "%u-%u[1:3]", (unsigned int)index / 2 + 2,
		 (unsigned int)index / 3 + 1);
	*r = (struct platter_crash_record){
		.index = index,
		.state = name,
		.point = index / 2 + 2,
		.strategy = index % 2 ? "random" : "prefixes",
		.mark = index > 9 ? "a \\x00 mark" : NULL,
		.mark_entry = index > 9 ? 5 : UINT64_MAX,
		.result = { .time_ns = 123456789 + index, .status = -1 },
		.same_as = index == 33 ? "9-2" : NULL,
	};
	memset(r->hash, (int)index * 5, sizeof(r->hash));
	if (index % 3)
		return;
	r->result.verdict = (enum platter_crash_verdict)(1 + index / 3 % 4);
	r->result.status = (int)(index % 256);
	r->result.signal = index == 30 ? 11 : 0;
	r->result.timed_out = index == 27;
	strcpy(r->result.reason, "exit status 3");
	r->result.output = output;
	r->result.output_len = sizeof(output) - 1;
}

static void make_summary(struct platter_crash_summary *s,
			 const struct platter_crash_report *r)
{
	*s = (struct platter_crash_summary){
		.census = {
			.points = 39, .made = 77, .unique = STATES,
			.no_ops = 3, .hidden = 2, .nr = 2,
			.strategies = {
				{ "prefixes", 40, 40, 39, 39 },
				{ "random", 37, UINT64_MAX, 39, 0 },
			},
			.text = "every prefix, and 5 more",
		},
		.done = r->nr,
		.time_ns = 5000000001,
		.check_ns = 9000000002,
	};
	memcpy(s->verdicts, r->verdicts, sizeof(s->verdicts));
	s->nested = r->nested;
}

static struct platter_crash_report *make_shard(uint32_t shard, uint32_t shards)
{
	struct platter_crash_run run = base_run;
	struct platter_crash_summary sum;
	struct platter_crash_report *r;
	struct platter_error err;

	run.plan.shard = shard;
	run.plan.shards = shards;
	assert_int_equal(platter_crash_report_new(&r, &run, &err), 0);
	for (uint64_t i = shard; i < STATES; i += shards) {
		struct platter_crash_record rec;
		char name[32];

		make_record(&rec, i, name);
		assert_int_equal(platter_crash_report_add(r, &rec, &err), 0);
		/* One has two states of its recovery. */
		for (unsigned int n = 0; i == 21 && n < 2; n++) {
			strcpy(name, n ? "12-8[1:3]@2" : "12-8[1:3]@1");
			rec.depth = 2;
			rec.point = n + 1;
			assert_int_equal(platter_crash_report_add(r, &rec,
								  &err), 0);
		}
	}
	make_summary(&sum, r);
	assert_int_equal(platter_crash_report_end(r, &sum, &err), 0);
	return r;
}

/* A report as the text of its file. The caller frees. */
static char *text_of(const struct platter_crash_report *r,
		     enum platter_crash_form form, size_t *len)
{
	char path[] = "crash-report.XXXXXX";
	const int fd = mkstemp(path);
	struct platter_error err;
	char *text;
	FILE *f;

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(platter_crash_report_save(r, form, path, NULL, &err),
			 0);
	f = fopen(path, "r");
	unlink(path);
	fseek(f, 0, SEEK_END);
	*len = (size_t)ftell(f);
	rewind(f);
	text = calloc(1, *len + 1);
	assert_int_equal(fread(text, 1, *len, f), *len);
	fclose(f);
	return text;
}

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

/* ---- shards ---- */

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

/* ---- pictures ---- */

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

/* The data of the chunk of that type; checks every chunk's sum. */
static const unsigned char *find_chunk(const unsigned char *file, size_t len,
				       const char *type, uint32_t *chunk_len)
{
	const unsigned char *found = NULL;

	for (size_t at = 8; at < len; at += *chunk_len + 12) {
		*chunk_len = be32(file + at);
		assert_int_equal(be32(file + at + 8 + *chunk_len),
				 crc32(0, file + at + 4, *chunk_len + 4));
		if (!memcmp(file + at + 4, type, 4)) {
			found = file + at + 8;
			break;
		}
	}
	assert_non_null(found);
	return found;
}

static void a_png_holds_its_pixels(void **state)
{
	uint8_t pixels[3 * 5];
	struct plt_png png = { .width = 5, .height = 3, .pixels = pixels };
	unsigned char *file plt_auto_free = NULL, raw[3 * 6];
	uLongf raw_len = sizeof(raw);
	const unsigned char *data;
	struct platter_error err;
	uint32_t data_len;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(pixels); i++)
		pixels[i] = (uint8_t)(i % PLT_PNG_COLOURS);
	png.palette[3][1] = 77;
	assert_int_equal(plt_png_encode(&png, &file, &len, &err), 0);
	assert_memory_equal(file, "\x89PNG\r\n\x1a\n", 8);
	data = find_chunk(file, len, "IHDR", &data_len);
	assert_int_equal(be32(data), 5);
	assert_int_equal(be32(data + 4), 3);
	data = find_chunk(file, len, "PLTE", &data_len);
	assert_int_equal(data[3 * 3 + 1], 77);
	data = find_chunk(file, len, "IDAT", &data_len);
	assert_int_equal(uncompress(raw, &raw_len, data, data_len), Z_OK);
	assert_int_equal(raw_len, sizeof(raw));
	for (uint32_t y = 0; y < 3; y++)
		assert_memory_equal(raw + y * 6 + 1, pixels + y * 5, 5);
	find_chunk(file, len, "IEND", &data_len);
}

/* One failing state among 100,000 entries' is seen. */
static void a_lone_failure_is_drawn(void **state)
{
	struct platter_crash_run run = base_run;
	struct platter_crash_report *r;
	struct plt_picture p;
	struct platter_error err;
	uint32_t red = 0;

	(void)state;
	run.entries = run.plan.to = 100000;
	assert_int_equal(platter_crash_report_new(&r, &run, &err), 0);
	for (uint64_t i = 0; i < 3000; i++) {
		struct platter_crash_record rec;
		char name[32];

		make_record(&rec, i, name);
		rec.point = i * 30;
		rec.result.verdict = i == 1777 ? PLATTER_CRASH_FAIL :
						 PLATTER_CRASH_PASS;
		assert_int_equal(platter_crash_report_add(r, &rec, &err), 0);
	}
	assert_int_equal(plt_picture_draw(&p, r, NULL, &err), 0);
	for (uint32_t x = 0; x < p.width; x++) {
		const uint8_t *bottom = p.verdicts.pixels +
			(size_t)(p.verdicts.height - 1) * p.width;

		if (bottom[x] != PLT_PICTURE_FAIL)
			continue;
		assert_in_range(x, UINT64_C(1777) * 30 * p.width / 100001 - 1,
				UINT64_C(1777) * 30 * p.width / 100001 + 1);
		red++;
	}
	assert_int_equal(red, 3);
	plt_picture_free(&p);
	platter_crash_report_free(r);
}

/* Two specks at the ends of a disk are drawn as what is written. */
static void addresses_nobody_writes_to_are_squeezed(void **state)
{
	struct plt_crash_entry entry[] = {
		{ .start = 0, .length = UINT64_C(1) << 40,
		  .flags = PLATTER_LOG_DISCARD },
		{ .start = 0, .length = 1 << 20 },
		{ .start = UINT64_C(1) << 34, .length = 1 << 20 },
	};
	const struct platter_crash crash = {
		.nr = 3, .entry = entry, .size = UINT64_C(1) << 40,
	};
	const uint64_t end = (UINT64_C(1) << 34) + (1 << 20);
	struct plt_axis a;
	uint32_t last = 0;

	(void)state;
	plt_axis_init(&a, &crash);
	assert_int_equal(a.end, end);
	assert_in_range(plt_axis_y(&a, a.part, 1000), 400, 500);
	assert_in_range(plt_axis_y(&a, end - a.part, 1000), 500, 600);
	assert_in_range(plt_axis_y(&a, end, 1000), 990, 1000);
	for (uint64_t at = 0; at < end; at += end / 5000) {
		const uint32_t y = plt_axis_y(&a, at, 1000);

		assert_true(y >= last);
		last = y;
	}
	for (uint32_t y = 0; y < 1000; y += 10)
		assert_in_range(plt_axis_y(&a, plt_axis_address(&a, y, 1000),
					   1000), y ? y - 1 : 0, y + 1);
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
		cmocka_unit_test(shards_join_to_the_whole),
		cmocka_unit_test(missing_and_doubled_shards_are_named),
		cmocka_unit_test(shards_that_counted_otherwise_do_not_merge),
		cmocka_unit_test(shards_of_other_walks_do_not_merge),
		cmocka_unit_test(a_shard_without_end_leaves_the_whole_without),
		cmocka_unit_test(runs_differ_in_what_makes_states),
		cmocka_unit_test(a_png_holds_its_pixels),
		cmocka_unit_test(a_lone_failure_is_drawn),
		cmocka_unit_test(addresses_nobody_writes_to_are_squeezed),
	};

	return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
