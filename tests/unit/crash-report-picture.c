/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reports of crash states: their pictures. */
#include <zlib.h>

#include "base/mem.h"
#include "crash-report-test.h"
#include "crash/crash.h"
#include "crash/report-picture.h"

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
		cmocka_unit_test(a_png_holds_its_pixels),
		cmocka_unit_test(a_lone_failure_is_drawn),
		cmocka_unit_test(addresses_nobody_writes_to_are_squeezed),
	};

	return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
