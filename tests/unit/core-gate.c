/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The gate: a file an image names is opened only from its own folder down, and
 * every way out is tried. `secret` lies outside, images/ is the folder.
 */
#include "core-deny.h"

#include "base/error.h"

struct attempt {
	const char *name;
	enum platter_follow follow;
	int rc;			/* 0: opens */
	const char *part;
};

static void try(const struct attempt *a)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	int fd;

	fd = plt_gate_open(a->follow, "images/top", a->name, O_RDONLY, &err);
	if (a->rc == 0) {
		if (fd < 0)
			fail_msg("%s: %s", a->name, err.msg);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		close(fd);
		return;
	}
	if (fd >= 0)
		fail_msg("\"%s\" was opened", a->name);
	assert_int_equal(fd, a->rc);
	assert_has(err.msg, a->part);
}

static void lay_out(void)
{
	assert_int_equal(mkdir("images", 0700), 0);
	assert_int_equal(mkdir("images/sub", 0700), 0);
	assert_int_equal(mkdir("images2", 0700), 0);
	make_sparse("secret", 512);
	make_sparse("images2/secret", 512);
	make_sparse("images/base", 512);
	make_sparse("images/sub/base", 512);
	make_sparse("images/a:b", 512);
	assert_int_equal(mkfifo("images/fifo", 0600), 0);
	assert_int_equal(symlink("base", "images/link"), 0);
	assert_int_equal(symlink("../secret", "images/out"), 0);
	assert_int_equal(symlink("..", "images/up"), 0);
	assert_int_equal(symlink("loop2", "images/loop"), 0);
	assert_int_equal(symlink("loop", "images/loop2"), 0);
	assert_int_equal(symlink("/etc/passwd", "images/abs"), 0);
	assert_int_equal(symlink("/proc/self/fd/0", "images/magic"), 0);
}

#define BENEATH	PLATTER_FOLLOW_BENEATH
#define ANY	PLATTER_FOLLOW_ANY
#define NONE	PLATTER_FOLLOW_NONE
#define OUTSIDE	"which is outside its own directory; --follow=any allows that"
#define KIND	"is neither a regular file nor a block device"

static void keeps_images_in_their_own_folder(void **state)
{
	static const struct attempt v[] = {
		{ "base", BENEATH, 0, NULL },
		{ "./base", BENEATH, 0, NULL },
		{ "sub/base", BENEATH, 0, NULL },
		{ "sub/../base", BENEATH, 0, NULL },
		{ "link", BENEATH, 0, NULL },
		{ "a:b", BENEATH, 0, NULL },
		{ "../secret", BENEATH, -EACCES, OUTSIDE },
		{ "sub/../../secret", BENEATH, -EACCES, OUTSIDE },
		{ "../images/base", BENEATH, -EACCES, OUTSIDE },
		{ "out", BENEATH, -EACCES, OUTSIDE },
		{ "up/secret", BENEATH, -EACCES, OUTSIDE },
		{ "/etc/passwd", BENEATH, -EACCES, OUTSIDE },
		{ "abs", BENEATH, -EACCES, OUTSIDE },
		{ "magic", BENEATH, -EACCES, OUTSIDE },
		{ "/proc/self/fd/0", BENEATH, -EACCES, OUTSIDE },
		{ "/proc/self/root/etc/passwd", BENEATH, -EACCES, OUTSIDE },
		{ "loop", BENEATH, -ELOOP, "\"loop\", which the image names" },
		{ "gone", BENEATH, -ENOENT, "No such file" },
		{ "", BENEATH, -ENOENT, "No such file" },
		{ ".", BENEATH, -EACCES, KIND },
		{ "sub", BENEATH, -EACCES, KIND },
		{ "fifo", BENEATH, -EACCES, KIND },
		{ "json:{}", BENEATH, -ENOENT, "No such file" },
	};

	(void)state;
	lay_out();
	alarm(20);	/* for the FIFO */
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++)
		try(&v[i]);
	alarm(0);
}

static void an_absolute_name_inside_the_folder_is_inside(void **state)
{
	char *here = get_current_dir_name(), *name;
	struct attempt a = { .follow = BENEATH, .part = OUTSIDE };

	(void)state;
	lay_out();
	assert_true(asprintf(&name, "%s/images/sub/base", here) > 0);
	a.name = name;
	try(&a);
	free(name);
	a.rc = -EACCES;
	/* Another folder whose name begins the same, and a way back out. */
	assert_true(asprintf(&name, "%s/images2/secret", here) > 0);
	a.name = name;
	try(&a);
	free(name);
	assert_true(asprintf(&name, "%s/images/../secret", here) > 0);
	a.name = name;
	try(&a);
	free(name);
	free(here);
}

static void following_can_be_switched_off_or_set_free(void **state)
{
	static const struct attempt v[] = {
		{ "base", NONE, -EACCES, "\"base\", and opening such files is "
		  "switched off" },
		{ "base", ANY, 0, NULL },
		{ "../secret", ANY, 0, NULL },
		{ "out", ANY, 0, NULL },
		{ "/etc/passwd", ANY, 0, NULL },
		/* Anything, but still files. */
		{ "fifo", ANY, -EACCES, KIND },
		{ "/dev/zero", ANY, -EACCES, KIND },
		{ "..", ANY, -EACCES, KIND },
	};

	(void)state;
	lay_out();
	alarm(20);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++)
		try(&v[i]);
	alarm(0);
}

static int base_is_refused(void)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	int fd;

	fd = plt_gate_open(BENEATH, "images/top", "base", O_RDONLY, &err);
	if (fd != -EACCES || !strstr(err.msg, "no openat2"))
		return DENY_WRONG;
	fd = plt_gate_open(ANY, "images/top", "base", O_RDONLY, &err);
	return fd >= 0 ? DENY_OK : DENY_WRONG;
}

static void refuses_where_the_kernel_cannot_confine(void **state)
{
	(void)state;
	lay_out();
	in_denied_child(SYS_openat2, -1, ENOSYS, base_is_refused);
}

/* ---- as a driver uses it ---- */

/* A format whose file holds nothing but the name of its backing file. */
static int namer_open(struct platter_image *img, struct platter_options *opts,
		      struct platter_error *err)
{
	char name[64] = "";
	int rc;

	rc = platter_image_open_child(img, "file", opts, NULL,
				      platter_image_flags(img), err);
	if (rc == 0)
		rc = platter_image_pread(platter_image_child(img, "file"),
					 name, 32, 8, err);
	if (rc == 0 && name[0])
		rc = platter_image_open_named(img, "backing", name, NULL, 0,
					      err);
	platter_image_set_size(img, 512);
	return rc;
}

static int namer_map(struct platter_image *img, uint64_t offset, uint64_t len,
		     struct platter_map *maps, size_t *count,
		     struct platter_error *err)
{
	(void)offset;
	(void)err;
	*count = 1;
	maps[0] = (struct platter_map) {
		.length = len,
		.kind = PLATTER_MAP_BACKING,
		.child = platter_image_child(img, "backing"),
	};
	return 0;
}

static const struct platter_magic namer_magic = { "NAMER:::", 8, 0 };
static const struct platter_format_ops namer_ops = { .map = namer_map };
static const struct platter_driver namer_driver = {
	.name = "namer", .kind = PLATTER_DRIVER_FORMAT,
	.magics = &namer_magic, .nr_magics = 1,
	.open = namer_open, .format = &namer_ops,
};

static void make_namer(const char *name, const char *backing)
{
	char buf[64] = "NAMER:::";

	strcpy(buf + 8, backing);
	make_file(name, buf, sizeof(buf));
}

static struct platter_context *namer_context(void)
{
	static const struct platter_driver *table[64];
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_context *builtin = new_context(), *ctx;
	size_t n = 0;

	for (; n < builtin->nr_drivers; n++)
		table[n] = builtin->drivers[n];
	platter_context_free(builtin);
	table[n++] = &namer_driver;
	assert_ok(platter_context_new_with(&ctx, table, n, &err), &err);
	return ctx;
}

static void chains_open_through_the_gate(void **state)
{
	struct platter_context *ctx = namer_context();
	struct platter_image *img, *backing;
	char buf[6];

	(void)state;
	assert_int_equal(mkdir("d", 0700), 0);
	assert_int_equal(mkdir("d/e", 0700), 0);
	make_namer("d/top", "e/mid");
	make_namer("d/e/mid", "base");
	make_file("d/e/base", "bottom", 6);
	img = open_with(ctx, "d/top", NULL);
	do_read(img, buf, 6, 0);
	assert_memory_equal(buf, "bottom", 6);
	backing = platter_image_child(img, "backing");
	assert_string_equal(platter_image_format(backing), "namer");
	assert_string_equal(platter_image_name(backing), "d/e/mid");
	backing = platter_image_child(backing, "backing");
	assert_string_equal(platter_image_format(backing), "raw");
	assert_string_equal(platter_image_name(backing), "d/e/base");
	close_image(img);
	platter_context_free(ctx);
}

static void chains_end_at_the_gate(void **state)
{
	struct platter_context *ctx = namer_context();

	(void)state;
	assert_int_equal(mkdir("d", 0700), 0);
	make_file("secret", "s", 1);
	make_namer("d/out", "../secret");
	make_namer("d/uri", "nbd://localhost/x");
	make_namer("d/json", "json:{\"driver\":\"null\"}");
	make_namer("d/self", "self");
	make_namer("d/ping", "pong");
	make_namer("d/pong", "ping");
	refuse(ctx, "d/out", NULL, -EACCES, OUTSIDE);
	refuse(ctx, "d/uri", NULL, -ENOENT, "No such file");
	refuse(ctx, "d/json", NULL, -ENOENT, "No such file");
	refuse(ctx, "d/self", NULL, -ELOOP, "does one lead back to itself?");
	refuse(ctx, "d/ping", NULL, -ELOOP, "does one lead back to itself?");
	platter_context_set_follow(ctx, PLATTER_FOLLOW_ANY);
	close_image(open_with(ctx, "d/out", NULL));
	platter_context_free(ctx);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter_scratch, leave_scratch)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(keeps_images_in_their_own_folder),
		TEST(an_absolute_name_inside_the_folder_is_inside),
		TEST(following_can_be_switched_off_or_set_free),
		TEST(refuses_where_the_kernel_cannot_confine),
		TEST(chains_open_through_the_gate),
		TEST(chains_end_at_the_gate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
