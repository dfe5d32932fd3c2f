/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The map walker: layers and depths, and holes as qemu-img sees them. */
#include <inttypes.h>

#include <jansson.h>

#include "core-toy.h"

#define D (PLATTER_EXTENT_DATA | PLATTER_EXTENT_PRESENT | PLATTER_EXTENT_OFFSET)
#define Z (PLATTER_EXTENT_ZERO | PLATTER_EXTENT_PRESENT | PLATTER_EXTENT_OFFSET)
#define N PLATTER_EXTENT_ZERO
#define A (PLATTER_EXTENT_ZERO | PLATTER_EXTENT_PRESENT)
#define S (PLATTER_EXTENT_DATA | PLATTER_EXTENT_PRESENT | \
	   PLATTER_EXTENT_COMPRESSED)

struct want {
	uint64_t offset, length;	/* clusters */
	unsigned int flags, depth;
	uint64_t host;			/* clusters */
};

/* The whole map, asked for with room for `room` extents at a time. */
static size_t map_all(struct platter_image *img, struct platter_extent *all,
		      size_t max, size_t room)
{
	uint64_t size = platter_image_size(img), at = 0;
	size_t n = 0;

	while (at < size) {
		struct platter_error err = PLATTER_ERROR_INIT;
		size_t count = room;

		assert_true(n + room <= max);
		assert_ok(platter_image_map(img, at, size - at, all + n,
					    &count, &err), &err);
		assert_in_range(count, 1, room);
		for (size_t i = 0; i < count; i++) {
			assert_int_equal(all[n + i].offset, at);
			assert_true(all[n + i].length > 0);
			at += all[n + i].length;
		}
		n += count;
	}
	assert_int_equal(at, size);
	return n;
}

/* `direct`: bytes with an offset may be read there. */
static void check_map(struct platter_image *img, const struct want *want,
		      size_t count, bool direct)
{
	struct platter_extent all[64];

	for (size_t room = 1; room < 8; room += 3) {
		assert_int_equal(map_all(img, all, 64, room), count);
		for (size_t i = 0; i < count; i++) {
			assert_int_equal(all[i].offset,
					 want[i].offset * CLUSTER);
			assert_int_equal(all[i].length,
					 want[i].length * CLUSTER);
			assert_int_equal(all[i].flags & ~PLT_EXTENT_DIRECT,
					 want[i].flags);
			assert_int_equal(all[i].depth, want[i].depth);
			if (!(want[i].flags & PLATTER_EXTENT_OFFSET)) {
				assert_null(all[i].file);
				continue;
			}
			assert_int_equal(all[i].host_offset,
					 want[i].host * CLUSTER);
			assert_non_null(all[i].file);
			assert_int_equal(!!(all[i].flags & PLT_EXTENT_DIRECT),
					 direct);
		}
	}
}

static void walks_layers_and_merges(void **state)
{
	static const struct want want[] = {
		{ 0, 2, D, 0, 0 }, { 2, 1, A, 0, 0 }, { 3, 1, S, 0, 0 },
		{ 4, 1, D, 1, 4 }, { 5, 1, A, 1, 0 },
		/* Allocated nowhere: as deep as the last layer asked. */
		{ 6, 1, N, 1, 0 },
		/* The backing file ends: its overlay knows that. */
		{ 7, 2, N, 0, 0 },
	};
	struct platter_context *ctx = new_toy_context();
	struct platter_image *img;

	(void)state;
	make_sparse("f", 9 * CLUSTER);
	make_sparse("b", 9 * CLUSTER);
	img = open_toy(ctx, "driver=toy,file=f,layout=DDZS.....,"
		       "backing.driver=toy,backing.file=b,"
		       "backing.layout=DDDDDZ.", false);
	check_map(img, want, PLT_ARRAY_SIZE(want), true);
	close_image(img);
	platter_context_free(ctx);
}

static void finds_bytes_below_windows_and_filters(void **state)
{
	static const struct want want[] = {
		{ 0, 1, D, 0, 3 }, { 1, 1, A, 0, 0 }, { 2, 1, D, 0, 5 },
	};
	struct platter_context *ctx = new_toy_context();
	struct platter_image *img;

	(void)state;
	make_sparse("f", 9 * CLUSTER);
	img = open_toy(ctx, "driver=pass,file.driver=raw,file.offset=4k,"
		       "file.file.driver=toy,file.file.layout=DDZD,"
		       "file.file.file.driver=raw,file.file.file.offset=8k,"
		       "file.file.file.file=f", false);
	check_map(img, want, PLT_ARRAY_SIZE(want), false);
	close_image(img);
	platter_context_free(ctx);
}

static void nothing_is_read_directly_past_the_end_of_a_file(void **state)
{
	struct platter_context *ctx = new_toy_context();
	struct platter_extent all[4];
	struct platter_image *img;

	(void)state;
	make_sparse("f", CLUSTER + 512);
	img = open_toy(ctx, "driver=toy,file=f,layout=DZD", false);
	assert_int_equal(map_all(img, all, 4, 1), 3);
	assert_int_equal(all[0].flags, D | PLT_EXTENT_DIRECT);
	assert_int_equal(all[2].flags, D);
	close_image(img);
	platter_context_free(ctx);
}

static void plain_is_only_what_is_plain(void **state)
{
	struct platter_context *ctx = new_toy_context();
	struct platter_image *img, *file;
	uint64_t host;

	(void)state;
	make_sparse("f", 9 * CLUSTER);
	img = open_toy(ctx, "driver=raw,offset=512,file=f", true);
	file = platter_image_child(img, "file");
	assert_ptr_equal(plt_image_plain(img, 100, 1000, &host), file);
	assert_int_equal(host, 612);
	assert_null(plt_image_plain(img, 0, 0, &host));
	assert_null(plt_image_plain(img, 9 * CLUSTER - 512, 1, &host));
	assert_null(plt_image_plain(img, 1, UINT64_MAX, &host));
	close_image(img);
	img = open_toy(ctx, "driver=toy,layout=DZ,file=f", true);
	assert_non_null(plt_image_plain(img, 0, CLUSTER, &host));
	assert_null(plt_image_plain(img, 0, CLUSTER + 1, &host));
	assert_null(plt_image_plain(img, CLUSTER, 1, &host));
	close_image(img);
	img = open_toy(ctx, "driver=pass,file=f", false);
	assert_null(plt_image_plain(img, 0, 1, &host));
	close_image(img);
	img = open_toy(ctx, "driver=raw,file.driver=null", false);
	assert_null(plt_image_plain(img, 0, 1, &host));
	close_image(img);
	platter_context_free(ctx);
}

static void null_disks_say_zero_only_when_told(void **state)
{
	struct platter_context *ctx = new_toy_context();
	struct platter_extent all[4];
	struct platter_image *img;

	(void)state;
	img = open_toy(ctx, "driver=null,size=1M", false);
	assert_int_equal(map_all(img, all, 4, 1), 1);
	assert_int_equal(all[0].flags, D | PLT_EXTENT_DIRECT);
	close_image(img);
	img = open_toy(ctx, "driver=null,size=1M,read-zeroes=on", false);
	assert_int_equal(map_all(img, all, 4, 1), 1);
	assert_int_equal(all[0].flags, Z);
	close_image(img);
	platter_context_free(ctx);
}

/* ---- against qemu-img ---- */

static json_t *qemu_map(const char *name)
{
	char command[256];
	json_t *list;
	FILE *f;

	snprintf(command, sizeof(command),
		 "qemu-img map -f raw --output=json %s", name);
	f = popen(command, "r");
	assert_non_null(f);
	list = json_loadf(f, 0, NULL);
	assert_int_equal(pclose(f), 0);
	assert_non_null(list);
	return list;
}

static void check_row(const struct platter_extent *e, json_t *row)
{
	json_t *offset = json_object_get(row, "offset");

	assert_int_equal(e->offset,
			 json_integer_value(json_object_get(row, "start")));
	assert_int_equal(e->length,
			 json_integer_value(json_object_get(row, "length")));
	assert_int_equal(e->depth,
			 json_integer_value(json_object_get(row, "depth")));
	assert_int_equal(!!(e->flags & PLATTER_EXTENT_PRESENT),
			 json_is_true(json_object_get(row, "present")));
	assert_int_equal(!!(e->flags & PLATTER_EXTENT_ZERO),
			 json_is_true(json_object_get(row, "zero")));
	assert_int_equal(!!(e->flags & PLATTER_EXTENT_DATA),
			 json_is_true(json_object_get(row, "data")));
	assert_int_equal(!!(e->flags & PLATTER_EXTENT_OFFSET), !!offset);
	if (offset)
		assert_int_equal(e->host_offset, json_integer_value(offset));
}

static void compare_with_qemu(struct platter_context *ctx, const char *name)
{
	struct platter_image *img = open_raw(ctx, name, 0);
	struct platter_extent all[1024];
	json_t *list = qemu_map(name);
	size_t n = map_all(img, all, 1024, 16);

	/* qemu-img has one entry of length 0 for an image of size 0. */
	assert_int_equal(n ? n : 1, json_array_size(list));
	for (size_t i = 0; i < n; i++)
		check_row(&all[i], json_array_get(list, i));
	json_decref(list);
	close_image(img);
}

static void make_random_holes(const char *name, uint64_t *seed)
{
	uint64_t size = rnd(seed) % (1 << 20) + rnd(seed) % 4096;
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	for (int i = rnd(seed) % 40; i > 0 && size; i--) {
		uint64_t at = rnd(seed) % size;
		uint64_t len = PLT_MIN(rnd(seed) % 30000, size - at);
		char buf[30000];

		memset(buf, 'x', sizeof(buf));
		if (rnd(seed) % 3)
			assert_int_equal(pwrite(fd, buf, len, (off_t)at), len);
		else if (len)
			fallocate(fd, FALLOC_FL_PUNCH_HOLE |
				  FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len);
	}
	close(fd);
}

static void holes_are_where_qemu_img_sees_them(void **state)
{
	struct platter_context *ctx = new_toy_context();
	uint64_t seed = 20;

	(void)state;
	if (system("qemu-img --version >/dev/null 2>&1"))
		skip();
	for (int i = 0; i < 40; i++) {
		make_random_holes("f", &seed);
		compare_with_qemu(ctx, "f");
	}
	for (size_t size = 0; size < 1100; size += 499) {
		make_sparse("f", size);
		compare_with_qemu(ctx, "f");
	}
	platter_context_free(ctx);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter_scratch, leave_scratch)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(walks_layers_and_merges),
		TEST(finds_bytes_below_windows_and_filters),
		TEST(nothing_is_read_directly_past_the_end_of_a_file),
		TEST(plain_is_only_what_is_plain),
		TEST(null_disks_say_zero_only_when_told),
		TEST(holes_are_where_qemu_img_sees_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
