/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* I/O through the map, through filters, and what the core fills in. */
#include "core-toy.h"

static void fill_file(const char *name, char with, size_t len)
{
	char *buf = malloc(len);

	assert_non_null(buf);
	memset(buf, with, len);
	make_file(name, buf, len);
	free(buf);
}

static void assert_all(const char *buf, size_t from, size_t to, char c)
{
	for (size_t i = from; i < to; i++) {
		if (buf[i] != c)
			fail_msg("byte %zu is 0x%02x, not 0x%02x", i,
				 (unsigned char)buf[i], (unsigned char)c);
	}
}

static void refuse_io(int rc, int want, const struct platter_error *err,
		      const char *part)
{
	assert_int_equal(rc, want);
	assert_int_equal(err->code, want);
	assert_has(err->msg, part);
}

static void reads_each_kind_of_map(void **state)
{
	struct platter_context *ctx = new_toy_context();
	struct platter_image *img;
	char buf[6 * CLUSTER];

	(void)state;
	fill_file("f", 'f', 2 * CLUSTER + 100);
	fill_file("b", 'b', CLUSTER * 4 + 512);
	img = open_toy(ctx, "driver=toy,file=f,layout=DZD.SS,"
		       "backing.driver=raw,backing.file=b", false);
	memset(buf, '?', sizeof(buf));
	do_read(img, buf, sizeof(buf), 0);
	assert_all(buf, 0, CLUSTER, 'f');
	assert_all(buf, CLUSTER, 2 * CLUSTER, 0);
	/* The file ends inside this cluster. */
	assert_all(buf, 2 * CLUSTER, 2 * CLUSTER + 100, 'f');
	assert_all(buf, 2 * CLUSTER + 100, 3 * CLUSTER, 0);
	assert_all(buf, 3 * CLUSTER, 4 * CLUSTER, 'b');
	assert_all(buf, 4 * CLUSTER, 6 * CLUSTER, 'S');
	do_read(img, buf, 2, CLUSTER - 1);
	assert_int_equal(buf[0], 'f');
	assert_int_equal(buf[1], 0);
	close_image(img);
	/* The backing image ends inside its second cluster. */
	fill_file("short", 'b', CLUSTER + 512);
	img = open_toy(ctx, "driver=toy,file=f,layout=...,backing=short",
		       false);
	do_read(img, buf, 3 * CLUSTER, 0);
	assert_all(buf, 0, CLUSTER + 512, 'b');
	assert_all(buf, CLUSTER + 512, 3 * CLUSTER, 0);
	close_image(img);
	platter_context_free(ctx);
}

static void copies_on_write(void **state)
{
	struct platter_context *ctx = new_toy_context();
	struct platter_image *img;
	char buf[5 * CLUSTER];

	(void)state;
	make_file("f", "", 0);
	fill_file("b", 'b', 4 * CLUSTER);
	img = open_toy(ctx, "driver=toy,file=f,layout=.ZS..,backing=b", true);
	assert_false(platter_image_writable(platter_image_child(img,
								"backing")));
	memset(buf, 'w', sizeof(buf));
	/* The last byte of 0, all of 1 and 2, the first byte of 3. */
	do_write(img, buf, 2 * CLUSTER + 2, CLUSTER - 1);
	do_read(img, buf, sizeof(buf), 0);
	assert_all(buf, 0, CLUSTER - 1, 'b');
	assert_all(buf, CLUSTER - 1, 3 * CLUSTER + 1, 'w');
	assert_all(buf, 3 * CLUSTER + 1, 4 * CLUSTER, 'b');
	assert_all(buf, 4 * CLUSTER, 5 * CLUSTER, 0);
	close_image(img);
	platter_context_free(ctx);
}

static void checks_ranges_without_overflow(void **state)
{
	static const struct { uint64_t offset; size_t len; } v[] = {
		{ 0, 8193 }, { 8192, 1 }, { 8193, 0 }, { 1, 8192 },
		{ UINT64_MAX, 1 }, { UINT64_MAX, SIZE_MAX }, { 1, SIZE_MAX },
		{ UINT64_MAX - 4095, 4096 },
	};
	struct platter_context *ctx = new_toy_context();
	struct platter_image *img;
	char buf[16];

	(void)state;
	make_sparse("a", 8192);
	img = open_raw(ctx, "a", PLATTER_O_RDWR);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		struct platter_error e = PLATTER_ERROR_INIT;
		struct platter_extent ext;
		uint64_t o = v[i].offset;
		size_t n = v[i].len, one = 1;

		refuse_io(platter_image_pread(img, buf, n, o, &e), -EINVAL, &e,
			  "beyond the size of 8192");
		refuse_io(platter_image_pwrite(img, buf, n, o, &e), -EINVAL,
			  &e, "a: writing");
		refuse_io(platter_image_zero(img, o, n, 0, &e), -EINVAL, &e,
			  "a: zeroing");
		refuse_io(platter_image_discard(img, o, n, &e), -EINVAL, &e,
			  "a: discarding");
		refuse_io(platter_image_map(img, o, n, &ext, &one, &e),
			  -EINVAL, &e, "a: mapping");
	}
	do_read(img, buf, 0, 8192);
	do_write(img, buf, 0, 8192);
	close_image(img);
	platter_context_free(ctx);
}

static void refuses_to_write_what_is_open_for_reading(void **state)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	struct platter_context *ctx = new_toy_context();
	struct platter_image *img;

	(void)state;
	make_sparse("a", 8192);
	img = open_raw(ctx, "a", 0);
	refuse_io(platter_image_pwrite(img, "x", 1, 0, &e), -EROFS, &e,
		  "a: is open for reading only");
	refuse_io(platter_image_zero(img, 0, 1, 0, &e), -EROFS, &e, "a:");
	refuse_io(platter_image_discard(img, 0, 1, &e), -EROFS, &e, "a:");
	refuse_io(platter_image_resize(img, 0, &e), -EROFS, &e, "a:");
	assert_int_equal(platter_image_flush(img, &e), 0);
	close_image(img);
	platter_context_free(ctx);
}

static void zeroes_by_writing_where_nothing_better_exists(void **state)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	struct platter_context *ctx = new_toy_context();
	struct platter_image *img;
	struct mem *mem;

	(void)state;
	img = open_toy(ctx, "driver=mem", true);
	mem = platter_image_state(img);
	assert_ok(platter_image_zero(img, 7, 700001, 0, &e), &e);
	assert_all(mem->data, 0, 7, 'm');
	assert_all(mem->data, 7, 700008, 0);
	assert_all(mem->data, 700008, MEM_SIZE, 'm');
	/* In pieces, and not one byte at a time. */
	assert_in_range(mem->largest, 4096, 65536);
	assert_ok(platter_image_discard(img, 0, MEM_SIZE, &e), &e);
	assert_all(mem->data, 700008, MEM_SIZE, 'm');
	refuse_io(platter_image_resize(img, 1, &e), -ENOTSUP, &e,
		  "mem: driver mem cannot change its size");
	close_image(img);
	platter_context_free(ctx);
}

static void zeroes_a_format_where_its_bytes_are(void **state)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	struct platter_context *ctx = new_toy_context();
	struct platter_image *img;
	char buf[5 * CLUSTER];

	(void)state;
	fill_file("f", 'f', 5 * CLUSTER);
	fill_file("b", 'b', 3 * CLUSTER);
	img = open_toy(ctx, "driver=toy,file=f,layout=DZ.S.,backing=b", true);
	assert_ok(platter_image_zero(img, 0, 5 * CLUSTER, 0, &e), &e);
	do_read(img, buf, sizeof(buf), 0);
	assert_all(buf, 0, sizeof(buf), 0);
	/* What was zero already needed none: 1, and 4 past the backing. */
	assert_string_equal(((struct toy *)img->state)->layout, "DZDD.");
	assert_ok(platter_image_discard(img, 0, 5 * CLUSTER, &e), &e);
	close_image(img);
	platter_context_free(ctx);
}

static void filters_pass_through(void **state)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	struct platter_context *ctx = new_toy_context();
	struct platter_image *img, *filter;
	char buf[16];

	(void)state;
	make_sparse("f", 8192);
	img = open_toy(ctx, "driver=pass,file.driver=upper,"
		       "file.file.driver=raw,file.file.file=f", true);
	filter = platter_image_child(img, "file");
	assert_int_equal(platter_image_size(img), 8192);
	assert_string_equal(platter_image_name(filter), "f");
	do_write(img, "hello", 5, 10);
	do_read(img, buf, 7, 9);
	assert_memory_equal(buf, "\0HELLO\0", 7);
	assert_int_equal(((struct upper *)filter->state)->written, 5);
	/* `upper` has no zero, so zeros go through its write. */
	assert_ok(platter_image_zero(img, 11, 2, 0, &e), &e);
	assert_int_equal(((struct upper *)filter->state)->written, 7);
	do_read(img, buf, 7, 9);
	assert_memory_equal(buf, "\0H\0\0LO\0", 7);
	assert_ok(platter_image_flush(img, &e), &e);
	assert_ok(platter_image_discard(img, 0, 8192, &e), &e);
	assert_ok(platter_image_resize(img, 16384, &e), &e);
	assert_int_equal(platter_image_size(img), 16384);
	assert_int_equal(platter_image_size(filter), 16384);
	assert_true(platter_image_allocated(img) >= 0);
	close_image(img);
	platter_context_free(ctx);
}

static void a_filter_probes_what_it_sits_on(void **state)
{
	struct platter_context *ctx = new_toy_context();
	struct platter_image *img;

	(void)state;
	make_sparse("f", 700);
	img = open_toy(ctx, "driver=pass,file=f", false);
	assert_int_equal(platter_image_size(img), 1024);
	assert_string_equal(platter_image_format(platter_image_child(img,
								     "file")),
			    "raw");
	close_image(img);
	platter_context_free(ctx);
}

static void names_the_node_an_error_arose_in_once(void **state)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	struct platter_context *ctx = new_toy_context();
	struct platter_image *img;
	char buf[512];

	(void)state;
	make_sparse("f", 8192);
	img = open_toy(ctx, "driver=pass,file.driver=raw,file.file.driver=mem,"
		       "file.file.broken=on", true);
	assert_int_equal(platter_image_pread(img, buf, 1, 0, &e), -EIO);
	assert_string_equal(e.msg, "mem: the memory is broken");
	close_image(img);
	e = (struct platter_error)PLATTER_ERROR_INIT;
	img = open_toy(ctx, "driver=toy,file=f,layout=D!.,solid=on", true);
	assert_int_equal(platter_image_pread(img, buf, 1, CLUSTER, &e), -EIO);
	assert_has(e.msg, "driver toy answers nonsense for offset 4096");
	assert_int_equal(platter_image_pwrite(img, buf, 1, 2 * CLUSTER, &e),
			 -ENOSPC);
	assert_has(e.msg, ": the toy is solid");
	close_image(img);
	platter_context_free(ctx);
}

static void writes_to_the_tail_of_an_odd_file(void **state)
{
	struct platter_context *ctx = new_toy_context();
	struct platter_image *img;
	struct stat st;
	char buf[1024];

	(void)state;
	fill_file("f", 'f', 1000);
	img = open_raw(ctx, "f", PLATTER_O_RDWR);
	assert_int_equal(platter_image_size(img), 1024);
	do_read(img, buf, 1024, 0);
	assert_all(buf, 0, 1000, 'f');
	assert_all(buf, 1000, 1024, 0);
	do_write(img, "abc", 3, 998);
	do_read(img, buf, 1024, 0);
	assert_memory_equal(buf + 997, "fabc\0\0", 6);
	assert_all(buf, 1001, 1024, 0);
	close_image(img);
	assert_int_equal(stat("f", &st), 0);
	assert_int_equal(st.st_size, 1024);
	platter_context_free(ctx);
}

static void a_raw_window_stays_inside(void **state)
{
	struct platter_error e = PLATTER_ERROR_INIT;
	struct platter_context *ctx = new_toy_context();
	struct platter_image *img;
	char buf[4096];

	(void)state;
	fill_file("f", 'f', 4096);
	img = open_toy(ctx, "driver=raw,offset=1000,size=512,file=f", true);
	do_write(img, "abc", 3, 0);
	do_write(img, "xyz", 3, 509);
	assert_ok(platter_image_zero(img, 100, 10, 0, &e), &e);
	assert_int_equal(platter_image_pwrite(img, "1", 1, 512, &e), -EINVAL);
	assert_int_equal(platter_image_resize(img, 1024, &e), -ENOTSUP);
	assert_has(e.msg, "f: the size is fixed");
	close_image(img);
	img = open_raw(ctx, "f", 0);
	do_read(img, buf, 4096, 0);
	close_image(img);
	assert_all(buf, 0, 1000, 'f');
	assert_memory_equal(buf + 1000, "abcf", 4);
	assert_all(buf, 1003, 1100, 'f');
	assert_all(buf, 1100, 1110, 0);
	assert_memory_equal(buf + 1508, "fxyzf", 5);
	assert_all(buf, 1512, 4096, 'f');
	/* Without a size it moves its end. */
	img = open_toy(ctx, "driver=raw,offset=1024,file=f", true);
	assert_int_equal(platter_image_size(img), 3072);
	assert_ok(platter_image_resize(img, 8192, &e), &e);
	assert_int_equal(platter_image_size(img), 8192);
	assert_int_equal(platter_image_size(platter_image_child(img, "file")),
			 9216);
	assert_int_equal(platter_image_resize(img, INT64_MAX, &e), -EFBIG);
	close_image(img);
	platter_context_free(ctx);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter_scratch, leave_scratch)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reads_each_kind_of_map),
		TEST(copies_on_write),
		TEST(checks_ranges_without_overflow),
		TEST(refuses_to_write_what_is_open_for_reading),
		TEST(zeroes_by_writing_where_nothing_better_exists),
		TEST(zeroes_a_format_where_its_bytes_are),
		TEST(filters_pass_through),
		TEST(a_filter_probes_what_it_sits_on),
		TEST(names_the_node_an_error_arose_in_once),
		TEST(writes_to_the_tail_of_an_odd_file),
		TEST(a_raw_window_stays_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
