/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The recorder: images that are not to change, with their writes in the log
 * only.
 */
#include "record-test.h"

/* ---- overlay ---- */

static void assert_overlay(struct platter_image *img, const char *want)
{
	char *got = malloc(DISK);

	assert_non_null(got);
	do_read(img, got, DISK, 0);
	assert_memory_equal(got, want, DISK);
	free(got);
}

static void change(struct platter_image *img, char *shadow, uint64_t *seed)
{
	for (int i = 0; i < 400; i++) {
		uint64_t len = 1 + rnd(seed) % (i % 9 ? 6000 : 400000);
		uint64_t at = rnd(seed) % (DISK - len);

		if (i % 3)
			at &= ~(uint64_t)511;
		if (i % 7 == 0) {
			memset(shadow + at, 0, len);
			assert_int_equal(platter_image_zero(img, at, len, 0,
							    NULL), 0);
			continue;
		}
		memset(shadow + at, i % 255 + 1, len);
		do_write(img, shadow + at, len, at);
	}
}

static void an_overlay_leaves_the_image_alone(void **state)
{
	char *shadow = malloc(DISK), *base = malloc(DISK);
	uint64_t seed = 1;
	struct fixture f;
	FILE *disk;

	(void)state;
	begin(&f, LOG_FILE);
	close_image(f.img);
	for (size_t i = 0; i < DISK; i++)
		base[i] = shadow[i] = (char)(i / 512 + 1);
	make_file("disk", base, DISK);
	assert_int_equal(chmod("disk", 0444), 0);
	open_recorder(&f, ",overlay=on" LOG_FILE);
	assert_overlay(f.img, shadow);
	change(f.img, shadow, &seed);
	assert_overlay(f.img, shadow);
	assert_replay_is(f.ctx, "disk", shadow);
	assert_int_equal(platter_record_pause(f.img, NULL), -ENOTSUP);
	close_image(f.img);
	/* It is all there when the log is opened again. */
	open_recorder(&f, ",overlay=on,log-append=on" LOG_FILE);
	assert_overlay(f.img, shadow);
	change(f.img, shadow, &seed);
	assert_overlay(f.img, shadow);
	assert_replay_is(f.ctx, "disk", shadow);
	assert_int_equal(gate.writes, 0);
	finish(&f);
	disk = fopen("disk", "rb");
	assert_int_equal(fread(shadow, 1, DISK, disk), DISK);
	fclose(disk);
	assert_memory_equal(shadow, base, DISK);
	free(shadow);
	free(base);
}

static void threads_share_an_overlay(void **state)
{
	char *now = malloc(DISK);
	struct fixture f;

	(void)state;
	begin(&f, ",overlay=on" LOG_FILE);
	run_load(f.img, false);
	do_read(f.img, now, DISK, 0);
	assert_replay_is(f.ctx, "disk", now);
	finish(&f);
	free(now);
}

static void the_map_of_an_overlay_shows_its_own(void **state)
{
	struct platter_extent ext[8];
	char buf[4096] = { 1 };
	struct fixture f;
	size_t n = 8;

	(void)state;
	begin(&f, ",overlay=on" LOG_FILE);
	do_write(f.img, buf, 4096, 8192);
	assert_int_equal(platter_image_map(f.img, 0, DISK, ext, &n, NULL), 0);
	assert_int_equal(n, 3);
	assert_true(ext[0].flags & PLATTER_EXTENT_ZERO);
	assert_true(ext[1].flags & PLATTER_EXTENT_DATA);
	assert_int_equal(ext[1].offset, 8192);
	assert_int_equal(ext[1].length, 4096);
	assert_true(ext[2].flags & PLATTER_EXTENT_ZERO);
	assert_false(ext[1].flags & PLATTER_EXTENT_OFFSET);
	/* Grown, cut and grown again, there are zeros. */
	assert_int_equal(platter_image_resize(f.img, 8192, NULL), 0);
	assert_int_equal(platter_image_resize(f.img, 2 * DISK, NULL), 0);
	memset(buf, 1, sizeof(buf));
	do_read(f.img, buf, sizeof(buf), 8192);
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 0);
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_overlay_leaves_the_image_alone),
		TEST(threads_share_an_overlay),
		TEST(the_map_of_an_overlay_shows_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
