/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * replay --verify on storage that lies: a protocol driver over ordinary files
 * that takes a write or a zeroing and does not do it.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <platter/platter.h>
#include <platter/sys/driver.h>

#include "base/endian.h"
#include "wlog/format.h"

#include "drivers.h"

#define SECTOR	512u
#define LOG	"replay-verify.log"
#define TARGET	"replay-verify.raw"
#define BASE	"replay-verify.base"
#define NOWHERE	UINT64_MAX

/* Bytes of the target whose writes, or zeroing, are lost. */
static uint64_t lost_write, lost_zero;

struct liar {
	int fd;
};

static int liar_open(struct platter_image *img, struct platter_options *opts,
		     struct platter_error *err)
{
	struct liar *l = platter_image_state(img);
	const char *name = platter_options_string(opts, "filename");
	struct stat st;

	(void)err;
	l->fd = open(name, platter_image_flags(img) & PLATTER_O_RDWR ?
		     O_RDWR : O_RDONLY);
	if (l->fd < 0 || fstat(l->fd, &st))
		return -errno;
	platter_image_set_size(img, st.st_size);
	return 0;
}

static void liar_close(struct platter_image *img)
{
	struct liar *l = platter_image_state(img);

	close(l->fd);
}

static int liar_pread(struct platter_image *img, void *buf, size_t len,
		      uint64_t offset, struct platter_error *err)
{
	struct liar *l = platter_image_state(img);

	(void)err;
	return pread(l->fd, buf, len, offset) == (ssize_t)len ? 0 : -EIO;
}

static bool holds(uint64_t offset, uint64_t len, uint64_t at)
{
	return at >= offset && at - offset < len;
}

static int liar_pwrite(struct platter_image *img, const void *buf, size_t len,
		       uint64_t offset, struct platter_error *err)
{
	struct liar *l = platter_image_state(img);

	(void)err;
	if (holds(offset, len, lost_write))
		return 0;
	return pwrite(l->fd, buf, len, offset) == (ssize_t)len ? 0 : -EIO;
}

static int liar_zero(struct platter_image *img, uint64_t offset, uint64_t len,
		     unsigned int flags, struct platter_error *err)
{
	struct liar *l = platter_image_state(img);
	static const uint8_t zeros[SECTOR];

	(void)flags;
	(void)err;
	if (holds(offset, len, lost_zero))
		return 0;
	for (; len; len -= SECTOR, offset += SECTOR)
		if (pwrite(l->fd, zeros, SECTOR, offset) != SECTOR)
			return -EIO;
	return 0;
}

static int liar_resize(struct platter_image *img, uint64_t size,
		       struct platter_error *err)
{
	struct liar *l = platter_image_state(img);

	(void)err;
	if (ftruncate(l->fd, size))
		return -errno;
	platter_image_set_size(img, size);
	return 0;
}

static bool liar_claims(const char *filename)
{
	(void)filename;
	return true;
}

static const struct platter_option liar_options[] = {
	{ "filename", "the file" },
	{ NULL, NULL },
};

static const struct platter_io_ops liar_io = {
	.pread = liar_pread,
	.pwrite = liar_pwrite,
	.zero = liar_zero,
	.resize = liar_resize,
};

static const struct platter_driver liar_driver = {
	.name = "liar",
	.kind = PLATTER_DRIVER_PROTOCOL,
	.state_size = sizeof(struct liar),
	.options = liar_options,
	.claims = liar_claims,
	.open = liar_open,
	.close = liar_close,
	.io = &liar_io,
};

static const struct platter_driver *const drivers[] = {
	&plt_raw_driver, &liar_driver,
};

/* ---- */

static void put(FILE *f, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	uint8_t s[SECTOR] = { 0 };

	plt_put_le64(s, a);
	plt_put_le64(s + 8, b);
	plt_put_le64(s + 16, c);
	plt_put_le64(s + 24, d);
	assert_int_equal(fwrite(s, SECTOR, 1, f), 1);
}

static void put_data(FILE *f, int byte, size_t sectors)
{
	for (size_t i = 0; i < sectors * SECTOR; i++)
		assert_int_equal(fputc(byte, f), byte);
}

/* Writes of sectors 0 to 8 and 100 to 108, a discard of 40 to 60. */
static void make_log(void)
{
	FILE *f = fopen(LOG, "w");

	assert_non_null(f);
	put(f, PLT_WLOG_MAGIC, PLT_WLOG_VERSION, 3, SECTOR);
	put(f, 0, 8, 0, 0);
	put_data(f, 0x11, 8);
	put(f, 100, 8, 0, 0);
	put_data(f, 0x22, 8);
	put(f, 40, 20, PLATTER_LOG_DISCARD, 0);
	assert_int_equal(fclose(f), 0);
}

static void make_file(const char *name, size_t sectors)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	put_data(f, 0xee, sectors);
	assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
	(void)state;
	lost_write = lost_zero = NOWHERE;
	unlink(TARGET);
	make_log();
	make_file(BASE, 200);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(TARGET);
	unlink(LOG);
	unlink(BASE);
	return 0;
}

static int replay(struct platter_replay_options *opts,
		  struct platter_error *err)
{
	const struct platter_log_options log_opts = { .index = "" };
	struct platter_replay_result result;
	struct platter_context *ctx;
	struct platter_log *log;
	int rc;

	opts->target = TARGET;
	opts->to = 3;
	opts->workers = 2;
	assert_int_equal(platter_context_new_with(&ctx, drivers, 2, err), 0);
	assert_int_equal(platter_log_open(&log, ctx, LOG, &log_opts, err), 0);
	rc = platter_replay(ctx, log, opts, &result, err);
	platter_log_close(log);
	platter_context_free(ctx);
	return rc;
}

/* Passes as it is, is noticed with verify, and not without. */
static void check(struct platter_replay_options opts, uint64_t *lost,
		  uint64_t at, const char *where)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	const bool new = access(TARGET, F_OK);

	opts.verify = true;
	*lost = at;
	assert_int_equal(replay(&opts, &err), -EIO);
	assert_non_null(strstr(err.msg, where));
	/* What was to be new is not there, as it is not right. */
	if (new && !opts.base)
		assert_int_not_equal(access(TARGET, F_OK), 0);
	opts.verify = false;
	assert_int_equal(replay(&opts, &err), 0);
	opts.verify = true;
	*lost = NOWHERE;
	assert_int_equal(replay(&opts, &err), 0);
}

static void a_lost_write_is_found(void **state)
{
	(void)state;
	check((struct platter_replay_options){ .in_order = false },
	      &lost_write, 100 * SECTOR, "offset 51200");
}

static void a_lost_write_is_found_in_order(void **state)
{
	(void)state;
	check((struct platter_replay_options){ .in_order = true },
	      &lost_write, 3 * SECTOR, "offset 0");
}

static void a_lost_write_of_the_base_is_found(void **state)
{
	(void)state;
	check((struct platter_replay_options){ .base = BASE },
	      &lost_write, 199 * SECTOR, "offset ");
}

static void a_lost_discard_is_found(void **state)
{
	(void)state;
	make_file(TARGET, 200);
	check((struct platter_replay_options){ .in_order = false },
	      &lost_zero, 50 * SECTOR, "offset 20480");
}

static void a_lost_discard_is_found_in_order(void **state)
{
	(void)state;
	make_file(TARGET, 200);
	check((struct platter_replay_options){ .in_order = true },
	      &lost_zero, 50 * SECTOR, "offset 20480");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_lost_write_is_found, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_lost_write_is_found_in_order,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_lost_write_of_the_base_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(a_lost_discard_is_found, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			a_lost_discard_is_found_in_order, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
