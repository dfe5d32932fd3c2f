/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file and host_device protocols: O_DIRECT with odd requests, holes, long
 * discards, creating, copying, and files that change under us.
 */
#include "core-deny.h"


/* ---- O_DIRECT ---- */

static struct platter_image *open_cache(struct platter_context *ctx,
					const char *name,
					enum platter_cache cache)
{
	struct platter_open_options opts = {
		.format = "file", .flags = PLATTER_O_RDWR, .cache = cache,
	};

	return open_with(ctx, name, &opts);
}

static bool have_direct(void)
{
	int fd = open("probe", O_RDWR | O_CREAT | O_DIRECT, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void random_bytes(char *buf, size_t len, uint64_t *seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (char)rnd(seed);
}

/* Mostly odd, some aligned, some ending at the end of the file. */
static void choose_range(uint64_t *seed, size_t size, size_t *at, size_t *len)
{
	*at = rnd(seed) % size;
	*len = 1 + rnd(seed) % (rnd(seed) % 8 ? 9000 : size);
	if (rnd(seed) % 4 == 0) {
		*at &= ~(size_t)4095;
		*len = (*len + 4095) & ~(size_t)4095;
	}
	if (*len > size - *at || rnd(seed) % 8 == 0)
		*len = size - *at;
}

static void check_content(const char *name, const char *shadow, size_t size)
{
	char *buf = malloc(size + 1);
	FILE *f = fopen(name, "r");

	assert_non_null(buf);
	assert_non_null(f);
	assert_int_equal(fread(buf, 1, size + 1, f), size);
	assert_memory_equal(buf, shadow, size);
	fclose(f);
	free(buf);
}

static void odd_requests(struct platter_image *img, char *shadow, size_t size,
			 char *buf, uint64_t *seed)
{
	struct platter_error err = PLATTER_ERROR_INIT;

	for (int i = 0; i < 400; i++) {
		char *p = buf + rnd(seed) % 3;
		size_t at, len;

		choose_range(seed, size, &at, &len);
		switch (rnd(seed) % 8) {
		case 0:
			assert_ok(platter_image_zero(img, at, len, i & 1,
						     &err), &err);
			memset(shadow + at, 0, len);
			break;
		case 1:
		case 2:
		case 3:
			random_bytes(p, len, seed);
			do_write(img, p, len, at);
			memcpy(shadow + at, p, len);
			break;
		default:
			do_read(img, p, len, at);
			assert_memory_equal(p, shadow + at, len);
		}
	}
	assert_ok(platter_image_flush(img, &err), &err);
}

static void direct_with_size(struct platter_context *ctx,
			     enum platter_cache cache, size_t size,
			     uint64_t seed)
{
	char *shadow = calloc(1, size), *buf = malloc(size + 3);
	struct platter_image *img;

	assert_non_null(shadow);
	assert_non_null(buf);
	random_bytes(shadow, size, &seed);
	unlink("f");
	make_file("f", shadow, size);
	img = open_cache(ctx, "f", cache);
	odd_requests(img, shadow, size, buf, &seed);
	close_image(img);
	check_content("f", shadow, size);
	free(shadow);
	free(buf);
}

static void direct_io_of_any_alignment_equals_a_shadow(void **state)
{
	static const size_t sizes[] = {
		1, 511, 512, 1000, 4095, 4096, 4097, 100000, 131072, 3000001,
	};
	struct platter_context *ctx = new_context();

	(void)state;
	if (!have_direct())
		skip();
	for (size_t i = 0; i < PLT_ARRAY_SIZE(sizes); i++) {
		direct_with_size(ctx, PLATTER_CACHE_NONE, sizes[i], i);
		direct_with_size(ctx, PLATTER_CACHE_DIRECTSYNC, sizes[i], i);
	}
	platter_context_free(ctx);
}

static void every_cache_mode_moves_the_same_bytes(void **state)
{
	static const enum platter_cache modes[] = {
		PLATTER_CACHE_WRITEBACK, PLATTER_CACHE_WRITETHROUGH,
		PLATTER_CACHE_UNSAFE,
	};
	struct platter_context *ctx = new_context();

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(modes); i++)
		direct_with_size(ctx, modes[i], 100001, i);
	platter_context_free(ctx);
}

static void cache_modes_set_the_open_flags(void **state)
{
	static const struct { enum platter_cache cache; int flags; } v[] = {
		{ PLATTER_CACHE_WRITEBACK, 0 },
		{ PLATTER_CACHE_NONE, O_DIRECT },
		{ PLATTER_CACHE_WRITETHROUGH, O_DSYNC },
		{ PLATTER_CACHE_DIRECTSYNC, O_DIRECT | O_DSYNC },
		{ PLATTER_CACHE_UNSAFE, 0 },
	};
	struct platter_context *ctx = new_context();

	(void)state;
	if (!have_direct())
		skip();
	make_sparse("f", 4096);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		/* The next descriptor to be opened. */
		int fd = open("/dev/null", O_RDONLY);
		struct platter_image *img;

		close(fd);
		img = open_cache(ctx, "f", v[i].cache);
		assert_int_equal(fcntl(fd, F_GETFL) & (O_DIRECT | O_DSYNC |
						       O_NONBLOCK), v[i].flags);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		close_image(img);
	}
	platter_context_free(ctx);
}

/* ---- holes ---- */

static int64_t allocated(const char *name)
{
	struct stat st;

	assert_int_equal(stat(name, &st), 0);
	return (int64_t)st.st_blocks * 512;
}

#define LONG (300u << 20)	/* bytes; twice the 128 MiB of careless tools */

static void discards_of_300_mib_take_effect(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_context *ctx = new_context();
	struct platter_image *img;
	char buf[512];

	(void)state;
	make_sparse("f", LONG + 8192);
	img = open_raw(ctx, "f", PLATTER_O_RDWR);
	memset(buf, 'x', sizeof(buf));
	for (uint64_t at = 0; at < LONG + 8192; at += 1 << 20)
		do_write(img, buf, 512, at);
	assert_true(allocated("f") > 1 << 20);
	assert_ok(platter_image_discard(img, 4096, LONG, &err), &err);
	for (uint64_t at = 1 << 20; at < LONG; at += 1 << 20) {
		do_read(img, buf, 512, at);
		assert_int_equal(buf[0], 0);
	}
	do_read(img, buf, 1, 0);
	assert_int_equal(buf[0], 'x');
	assert_in_range(allocated("f"), 4096, 65536);
	assert_int_equal(platter_image_allocated(img), allocated("f"));
	close_image(img);
	platter_context_free(ctx);
}

static void zeroing_gives_space_back_only_when_it_may(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_context *ctx = new_context();
	struct platter_image *img;
	char *buf = malloc(1 << 20);

	(void)state;
	assert_non_null(buf);
	memset(buf, 'x', 1 << 20);
	make_file("f", buf, 1 << 20);
	img = open_raw(ctx, "f", PLATTER_O_RDWR);
	assert_ok(platter_image_zero(img, 0, 1 << 20, 0, &err), &err);
	assert_true(allocated("f") >= 1 << 20);
	assert_ok(platter_image_zero(img, 0, 1 << 20, PLATTER_ZERO_UNMAP, &err),
		  &err);
	assert_in_range(allocated("f"), 0, 65536);
	do_read(img, buf, 1 << 20, 0);
	assert_int_equal(buf[0] | buf[777777], 0);
	close_image(img);
	free(buf);
	platter_context_free(ctx);
}

/* A file system without holes: everything is data, and zeros are written. */
static int zero_without_holes(void)
{
	struct platter_open_options opts = {
		.format = "raw", .flags = PLATTER_O_RDWR,
	};
	struct platter_context *ctx = new_context();
	struct platter_image *img;
	struct platter_extent ext;
	size_t one = 1;
	char buf[4096];

	if (platter_image_open(&img, ctx, "f", &opts, NULL) ||
	    platter_image_zero(img, 100, 3000, PLATTER_ZERO_UNMAP, NULL) ||
	    platter_image_discard(img, 0, 4096, NULL) ||
	    platter_image_pread(img, buf, 4096, 0, NULL) ||
	    platter_image_map(img, 0, 1 << 20, &ext, &one, NULL))
		return DENY_WRONG;
	if (buf[99] != 'x' || buf[100] || buf[3099] || buf[3100] != 'x')
		return DENY_WRONG;
	return DENY_OK;
}

static int map_without_holes(void)
{
	struct platter_context *ctx = new_context();
	struct platter_image *img;
	struct platter_extent ext;
	size_t one = 1;

	if (platter_image_open(&img, ctx, "f", NULL, NULL) ||
	    platter_image_map(img, 0, 1 << 20, &ext, &one, NULL))
		return DENY_WRONG;
	return ext.length == 1 << 20 && (ext.flags & PLATTER_EXTENT_DATA) ?
	       DENY_OK : DENY_WRONG;
}

static void does_without_holes(void **state)
{
	char buf[4096];

	(void)state;
	memset(buf, 'x', sizeof(buf));
	make_file("f", buf, sizeof(buf));
	assert_int_equal(truncate("f", 1 << 20), 0);
	in_denied_child(SYS_fallocate, -1, EOPNOTSUPP, zero_without_holes);
	make_file("f", buf, sizeof(buf));
	assert_int_equal(truncate("f", 1 << 20), 0);
	in_denied_child(SYS_lseek, -1, EINVAL, map_without_holes);
}

/* ---- creating ---- */

static int create(struct platter_context *ctx, const char *name, uint64_t size,
		  const char *option, struct platter_error *err)
{
	const char *const options[] = { option, NULL };
	struct platter_create_options opts = {
		.size = size, .options = option ? options : NULL,
	};

	*err = (struct platter_error)PLATTER_ERROR_INIT;
	return platter_image_create(ctx, name, &opts, err);
}

static void creates_files_once_and_whole(void **state)
{
	struct platter_error err;
	struct platter_context *ctx = new_context();
	struct stat st;

	(void)state;
	assert_ok(create(ctx, "off", 1000, NULL, &err), &err);
	assert_int_equal(stat("off", &st), 0);
	assert_int_equal(st.st_size, 1024);	/* as qemu-img create */
	assert_int_equal(st.st_blocks, 0);
	assert_ok(create(ctx, "falloc", 1 << 20, "preallocation=falloc", &err),
		  &err);
	assert_true(allocated("falloc") >= 1 << 20);
	assert_ok(create(ctx, "full", 3 << 20, "preallocation=full", &err),
		  &err);
	assert_true(allocated("full") >= 3 << 20);
	assert_int_equal(stat("full", &st), 0);
	assert_int_equal(st.st_size, 3 << 20);

	assert_int_equal(create(ctx, "off", 512, NULL, &err), -EEXIST);
	assert_has(err.msg, "off: creating: File exists");
	assert_int_equal(symlink("nowhere", "link"), 0);
	assert_int_equal(create(ctx, "link", 512, NULL, &err), -EEXIST);
	platter_context_free(ctx);
}

static void creates_nothing_when_it_refuses(void **state)
{
	struct platter_create_options odd = { .format = "qcow9" };
	struct platter_error err;
	struct platter_context *ctx = new_context();

	(void)state;
	assert_int_equal(create(ctx, "new", 512, "preallocation=some", &err),
			 -EINVAL);
	assert_has(err.msg,
		   "\"some\" is not one of off, metadata, falloc, full");
	assert_int_equal(create(ctx, "new", 512, "preallocation=metadata",
				&err), -ENOTSUP);
	assert_has(err.msg, "new: Unsupported preallocation mode");
	assert_int_equal(create(ctx, "new", 512, "cluster_size=1", &err),
			 -EINVAL);
	assert_has(err.msg, "new: unknown option 'cluster_size'");
	assert_int_equal(create(ctx, "new", UINT64_MAX, NULL, &err), -EFBIG);
	assert_int_equal(create(ctx, "", 512, NULL, &err), -EINVAL);
	assert_int_equal(create(ctx, "null-co://", 512, NULL, &err), -ENOTSUP);
	assert_int_equal(create(ctx, "nbd://x", 512, NULL, &err),
			 -EPROTONOSUPPORT);
	assert_int_equal(create(ctx, "no/such/folder", 512, NULL, &err),
			 -ENOENT);
	assert_int_equal(platter_image_create(ctx, "new", &odd, &err),
			 -EINVAL);
	/* More than any file system holds: the file is removed again. */
	assert_true(create(ctx, "new", INT64_MAX / 512 * 512 - 512,
			   "preallocation=falloc", &err) < 0);
	assert_int_equal(access("new", F_OK), -1);
	platter_context_free(ctx);
}

/* ---- copying ---- */

static void copies_inside_the_kernel(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_context *ctx = new_context();
	struct platter_image *src, *dst;
	char in[5000], out[5000];
	uint64_t seed = 1, copied;
	int rc;

	(void)state;
	random_bytes(in, sizeof(in), &seed);
	make_file("a", in, sizeof(in));
	make_sparse("b", 10000);
	src = open_cache(ctx, "a", PLATTER_CACHE_WRITEBACK);
	dst = open_cache(ctx, "b", PLATTER_CACHE_WRITEBACK);
	for (uint64_t done = 0; done < 4000; done += copied) {
		rc = dst->drv->io->copy_range(src, 100 + done, dst, 333 + done,
					      4000 - done, &copied, &err);
		if (rc == -ENOTSUP)
			skip();
		assert_ok(rc, &err);
		assert_in_range(copied, 1, 4000 - done);
	}
	do_read(dst, out, 4000, 333);
	assert_memory_equal(out, in + 100, 4000);
	/* What cannot be done so is for the caller to do by hand. */
	rc = dst->drv->io->copy_range(src, 0, src, 10, 100, &copied, &err);
	assert_int_equal(rc, -ENOTSUP);
	assert_int_equal(err.code, 0);
	close_image(src);
	close_image(dst);
	platter_context_free(ctx);
}

/* ---- surprises ---- */

static void a_file_that_became_shorter_is_an_error(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_context *ctx = new_context();
	struct platter_extent ext;
	struct platter_image *img;
	size_t one = 1;
	char buf[512];

	(void)state;
	make_sparse("f", 8192);
	img = open_raw(ctx, "f", 0);
	assert_int_equal(truncate("f", 4096), 0);
	assert_int_equal(platter_image_pread(img, buf, 512, 4000, &err), -EIO);
	assert_string_equal(err.msg, "f: ends at 4096 now, but was 8192 bytes "
			    "when it was opened");
	assert_int_equal(platter_image_map(img, 4096, 512, &ext, &one, &err),
			 -EIO);
	close_image(img);
	platter_context_free(ctx);
}

static void opening_never_waits_for_a_fifo(void **state)
{
	static const char *const specs[] = {
		"driver=file,filename=p", "driver=host_device,filename=p",
		"driver=raw,file=p",
	};
	struct platter_context *ctx = new_context();

	(void)state;
	assert_int_equal(mkfifo("p", 0600), 0);
	alarm(20);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(specs); i++) {
		struct platter_open_options o = { .image_opts = true };

		refuse(ctx, specs[i], &o, -EINVAL, "p: is a FIFO");
		o.flags = PLATTER_O_RDWR;
		refuse(ctx, specs[i], &o, -EINVAL, "p: is a FIFO");
	}
	alarm(0);
	platter_context_free(ctx);
}

/* ---- block devices ---- */

struct loop {
	char path[32];
	int fd;
};

/*
 * A loop device over `name`; false where we may not have one. It is detached
 * at once, which takes effect when its last user has gone, however that goes.
 */
static bool attach(struct loop *loop, const char *name, unsigned int sector)
{
	char command[128];
	FILE *f;

	memset(loop, 0, sizeof(*loop));
	if (geteuid())
		return false;
	snprintf(command, sizeof(command),
		 "losetup -b %u -f --show %s 2>/dev/null", sector, name);
	f = popen(command, "r");
	if (!f)
		return false;
	if (!fgets(loop->path, sizeof(loop->path), f))
		loop->path[0] = 0;
	loop->path[strcspn(loop->path, "\n")] = 0;
	if (pclose(f) || strncmp(loop->path, "/dev/", 5))
		return false;
	loop->fd = open(loop->path, O_RDONLY);
	snprintf(command, sizeof(command), "losetup -d %s", loop->path);
	return system(command) == 0 && loop->fd >= 0;
}

static void use_device(struct platter_context *ctx, const char *dev,
		       enum platter_cache cache, uint64_t seed)
{
	struct platter_open_options opts = {
		.format = "host_device", .flags = PLATTER_O_RDWR,
		.cache = cache,
	};
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *img = open_with(ctx, dev, &opts);
	size_t size = platter_image_size(img);
	char *shadow = calloc(1, size), *buf = malloc(size + 3);

	assert_int_equal(size, 1 << 20);
	assert_non_null(shadow);
	assert_non_null(buf);
	do_write(img, shadow, size, 0);
	odd_requests(img, shadow, size, buf, &seed);
	assert_ok(platter_image_discard(img, 4096, 65536, &err), &err);
	assert_ok(platter_image_discard(img, 100, 200, &err), &err);
	do_read(img, buf, size, 0);
	assert_memory_equal(buf, shadow, 4096);
	assert_memory_equal(buf + 69632, shadow + 69632, size - 69632);
	assert_int_equal(platter_image_resize(img, size + 512, &err), -ENOTSUP);
	assert_int_equal(platter_image_resize(img, size, &err), 0);
	close_image(img);
	free(shadow);
	free(buf);
}

static void block_devices_work_like_files(void **state)
{
	struct platter_context *ctx = new_context();
	struct loop loop;

	(void)state;
	make_sparse("disk", 1 << 20);
	for (unsigned int sector = 512; sector <= 4096; sector *= 8) {
		if (!attach(&loop, "disk", sector))
			skip();
		use_device(ctx, loop.path, PLATTER_CACHE_WRITEBACK, 1);
		use_device(ctx, loop.path, PLATTER_CACHE_NONE, 2);
		use_device(ctx, loop.path, PLATTER_CACHE_DIRECTSYNC, 3);
		close(loop.fd);
	}
	platter_context_free(ctx);
}

static void block_devices_are_told_from_files(void **state)
{
	struct platter_open_options as_file = { .format = "file" };
	struct platter_context *ctx = new_context();
	struct platter_image *img, *file;
	struct platter_error err;
	struct loop loop;

	(void)state;
	make_sparse("disk", 1 << 20);
	if (!attach(&loop, "disk", 512))
		skip();
	img = open_with(ctx, loop.path, NULL);
	file = platter_image_child(img, "file");
	assert_string_equal(platter_image_format(img), "raw");
	assert_string_equal(platter_image_format(file), "host_device");
	close_image(img);
	refuse(ctx, loop.path, &as_file, -EINVAL,
	       "is a block device, not a regular");
	assert_ok(create(ctx, loop.path, 1 << 20, NULL, &err), &err);
	assert_int_equal(create(ctx, loop.path, (1 << 20) + 1, NULL, &err),
			 -ENOSPC);
	assert_has(err.msg, "of 1048576 bytes is too small for 1049088");
	close(loop.fd);
	platter_context_free(ctx);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter_scratch, leave_scratch)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(direct_io_of_any_alignment_equals_a_shadow),
		TEST(every_cache_mode_moves_the_same_bytes),
		TEST(cache_modes_set_the_open_flags),
		TEST(discards_of_300_mib_take_effect),
		TEST(zeroing_gives_space_back_only_when_it_may),
		TEST(does_without_holes),
		TEST(creates_files_once_and_whole),
		TEST(creates_nothing_when_it_refuses),
		TEST(copies_inside_the_kernel),
		TEST(a_file_that_became_shorter_is_an_error),
		TEST(opening_never_waits_for_a_fifo),
		TEST(block_devices_work_like_files),
		TEST(block_devices_are_told_from_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
