/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Image locks between two descriptors; that they are qemu's is for
 * 20-locks.bats to show with qemu itself.
 */
#include "core-deny.h"

static struct platter_context *ctx;

static struct platter_image *open_flags(unsigned int flags)
{
	return open_raw(ctx, "f", flags);
}

static void refuse_flags(unsigned int flags, const char *part)
{
	struct platter_open_options opts = { .format = "raw", .flags = flags };

	refuse(ctx, "f", &opts, -EAGAIN, part);
}

static int set_up(void **state)
{
	if (enter_scratch(state))
		return -1;
	ctx = new_context();
	make_sparse("f", 4096);
	return 0;
}

static int tear_down(void **state)
{
	platter_context_free(ctx);
	return leave_scratch(state);
}

static void readers_coexist(void **state)
{
	struct platter_image *a = open_flags(0), *b = open_flags(0);

	(void)state;
	close_image(a);
	close_image(b);
}

static void a_writer_is_alone(void **state)
{
	struct platter_image *a = open_flags(PLATTER_O_RDWR);

	(void)state;
	refuse_flags(PLATTER_O_RDWR, "f: Failed to get \"write\" lock");
	refuse_flags(0, "f: Failed to get shared \"write\" lock");
	close_image(a);
	/* And is gone when closed. */
	close_image(open_flags(PLATTER_O_RDWR));
}

static void a_reader_keeps_writers_out(void **state)
{
	struct platter_image *a = open_flags(0);

	(void)state;
	refuse_flags(PLATTER_O_RDWR, "f: Failed to get \"write\" lock");
	refuse_flags(PLATTER_O_RDWR, "use -U to share");
	close_image(a);
	close_image(open_flags(PLATTER_O_RDWR));
}

static void sharing_takes_none_and_checks_none(void **state)
{
	struct platter_image *a = open_flags(PLATTER_O_RDWR);
	struct platter_image *b = open_flags(PLATTER_O_SHARE);

	(void)state;
	close_image(a);
	close_image(open_flags(PLATTER_O_RDWR));
	close_image(b);
}

static void looking_from_outside_takes_none(void **state)
{
	struct platter_image *a = open_flags(PLATTER_O_RDWR);
	struct platter_image *b = open_flags(PLATTER_O_NO_IO);

	(void)state;
	close_image(a);
	close_image(open_flags(PLATTER_O_RDWR));
	close_image(b);
	/* But not when it is open for writing as well. */
	a = open_flags(0);
	refuse_flags(PLATTER_O_NO_IO | PLATTER_O_RDWR, "\"write\" lock");
	close_image(a);
}

/* A lock somebody else holds, exclusively or shared, on one byte. */
static int hold(short type, off_t byte)
{
	struct flock fl = { .l_type = type, .l_start = byte, .l_len = 1 };
	int fd = open("f", O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &fl), 0);
	return fd;
}

/* The bytes are what other programs see: docs in qemu's file driver. */
static void the_bytes_are_qemus(void **state)
{
	static const struct {
		off_t byte;
		unsigned int flags;
		const char *part;	/* NULL: no conflict */
	} v[] = {
		/* Others use a permission that we do not share. */
		{ 100, 0, NULL }, { 100, PLATTER_O_RDWR, NULL },
		{ 101, 0, "shared \"write\" lock" },
		{ 101, PLATTER_O_RDWR, "shared \"write\" lock" },
		{ 102, 0, NULL }, { 102, PLATTER_O_RDWR, NULL },
		{ 103, 0, "shared \"resize\" lock" },
		{ 103, PLATTER_O_RDWR, "shared \"resize\" lock" },
		/* Others do not share a permission that we use. */
		{ 200, 0, "get \"consistent read\" lock" },
		{ 201, 0, NULL }, { 203, 0, NULL },
		{ 201, PLATTER_O_RDWR, "get \"write\" lock" },
		{ 203, PLATTER_O_RDWR, "get \"resize\" lock" },
		{ 99, PLATTER_O_RDWR, NULL }, { 0, PLATTER_O_RDWR, NULL },
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		int fd = hold(F_RDLCK, v[i].byte);

		if (v[i].part)
			refuse_flags(v[i].flags, v[i].part);
		else
			close_image(open_flags(v[i].flags));
		close(fd);
	}
}

static void takes_the_bytes_it_should(void **state)
{
	static const struct { unsigned int flags; const char *bytes; } v[] = {
		{ 0, "100 201 203 " },
		{ PLATTER_O_RDWR, "100 101 103 201 203 " },
		{ PLATTER_O_SHARE | PLATTER_O_RDWR, "" },
	};

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		struct platter_image *img = open_flags(v[i].flags);
		int fd = open("f", O_RDWR);
		char bytes[128] = "";

		for (off_t b = 0; b < 300; b++) {
			struct flock fl = {
				.l_type = F_WRLCK, .l_start = b, .l_len = 1,
			};

			assert_int_equal(fcntl(fd, F_OFD_GETLK, &fl), 0);
			if (fl.l_type == F_UNLCK)
				continue;
			assert_int_equal(fl.l_type, F_RDLCK);
			snprintf(bytes + strlen(bytes), 8, "%d ", (int)b);
		}
		assert_string_equal(bytes, v[i].bytes);
		close(fd);
		close_image(img);
	}
}

static int opens_twice(void)
{
	struct platter_open_options opts = {
		.format = "raw", .flags = PLATTER_O_RDWR,
	};
	struct platter_image *a, *b;

	return platter_image_open(&a, ctx, "f", &opts, NULL) ||
	       platter_image_open(&b, ctx, "f", &opts, NULL) ? DENY_WRONG :
	       DENY_OK;
}

static void does_without_where_there_are_no_locks(void **state)
{
	(void)state;
	in_denied_child(SYS_fcntl, F_OFD_SETLK, EINVAL, opens_twice);
	in_denied_child(SYS_fcntl, F_OFD_SETLK, ENOLCK, opens_twice);
	in_denied_child(SYS_fcntl, F_OFD_GETLK, EOPNOTSUPP, opens_twice);
}

static int fails_to_open(void)
{
	return opens_twice() == DENY_OK ? DENY_WRONG : DENY_OK;
}

static void other_lock_errors_are_errors(void **state)
{
	(void)state;
	in_denied_child(SYS_fcntl, F_OFD_SETLK, EIO, fails_to_open);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(readers_coexist),
		TEST(a_writer_is_alone),
		TEST(a_reader_keeps_writers_out),
		TEST(sharing_takes_none_and_checks_none),
		TEST(looking_from_outside_takes_none),
		TEST(the_bytes_are_qemus),
		TEST(takes_the_bytes_it_should),
		TEST(does_without_where_there_are_no_locks),
		TEST(other_lock_errors_are_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
