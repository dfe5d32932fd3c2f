/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Made results of crash states, and reports of them. */
#ifndef CRASH_REPORT_TEST_H
#define CRASH_REPORT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <platter/crash.h>

#include "crash/report.h"
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
static inline void make_record(struct platter_crash_record *r, uint64_t index,
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

static inline void make_summary(struct platter_crash_summary *s,
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

static inline struct platter_crash_report *make_shard(uint32_t shard,
						      uint32_t shards)
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
static inline char *text_of(const struct platter_crash_report *r,
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

#endif
