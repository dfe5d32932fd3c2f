/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The recorder: requests that fail, logs that are full, and logs on devices,
 * which cannot grow and have held something else before.
 */
#include <signal.h>
#include <sys/resource.h>

#include "record-test.h"

/* ---- trouble ---- */

static void writes_that_fail_are_not_logged(void **state)
{
	char buf[1024] = { 1 };
	struct fixture f;

	(void)state;
	begin(&f, LOG_FILE);
	do_write(f.img, buf, sizeof(buf), 0);
	let(&gate.fail_writes, true);
	assert_int_equal(platter_image_pwrite(f.img, buf, 512, 0, NULL), -EIO);
	assert_int_equal(platter_image_pwrite(f.img, buf, 100, 7, NULL), -EIO);
	assert_int_equal(platter_image_pwrite_fua(f.img, buf, 512, 0, NULL),
			 -EIO);
	let(&gate.fail_writes, false);
	do_write(f.img, buf, 100, 7);
	assert_log(f.ctx, "WW");
	assert_replay_gives_disk(f.ctx);
	finish(&f);
}

static void *write_until_full(void *arg)
{
	struct worker *w = arg;
	char buf[4096] = { 1 };

	while (!w->rc) {
		w->rc = platter_image_pwrite(w->img, buf, sizeof(buf),
					     w->offset * 4096, &w->err);
		w->seed += !w->rc;
	}
	return NULL;
}

static uint64_t fill(struct platter_image *img)
{
	struct worker w[THREADS];
	uint64_t written = 0;

	for (unsigned int i = 0; i < THREADS; i++)
		start(&w[i], img, write_until_full, i);
	for (unsigned int i = 0; i < THREADS; i++) {
		join(&w[i], -ENOSPC);
		assert_has(w[i].err.msg, "the write log is full at ");
		written += w[i].seed;
	}
	return written;
}

static void assert_full(struct fixture *f, uint64_t written)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_record_stats s = stats(f->img);
	char buf[512];

	assert_int_equal(s.writes, written);
	assert_int_equal(s.entries, written);
	assert_int_equal(s.log_size, 512 + written * (512 + 4096));
	do_read(f->img, buf, sizeof(buf), 0);
	assert_int_equal(platter_image_pwrite(f->img, buf, 512, 0, &err),
			 -ENOSPC);
	assert_has(err.msg, "full");
	assert_int_equal(platter_image_flush(f->img, NULL), -ENOSPC);
	assert_int_equal(platter_record_mark(&f->img, 1, "m", 1, NULL, NULL),
			 -ENOSPC);
	/* That the last flush could not be logged is an error, too. */
	assert_int_equal(platter_image_close(f->img, NULL), -ENOSPC);
}

static void a_full_log_is_an_error_for_all(void **state)
{
	struct rlimit old, limit;
	struct fixture f;
	uint64_t written;
	struct stat st;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	begin(&f, LOG_FILE);
	limit = old;
	limit.rlim_cur = 100000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	written = fill(f.img);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	/* Those that are written together get in together, or none does. */
	assert_in_range(written, 21 - THREADS, (100000 - 512) / (512 + 4096));
	assert_full(&f, written);
	assert_int_equal(stat("log", &st), 0);
	assert_int_equal(st.st_size, 512 + written * (512 + 4096));
	platter_context_free(f.ctx);
}

#define LOG_FIXED ",log.driver=fixed,log.file.driver=file,log.file.filename=log"

/* A device that held another log before: nothing of it comes to light. */
static void make_device(const char *name, size_t size)
{
	unsigned char *buf = malloc(size);

	assert_non_null(buf);
	memset(buf, 0, size);
	/* Every sector is a header of a write of nothing, with a flush. */
	for (size_t at = 0; at < size; at += 512)
		buf[at + 16] = 1;
	memcpy(buf, "rhswfsj\0\1\0\0\0\0\0\0\0\377", 17);
	buf[25] = 2;
	make_file(name, buf, size);
	free(buf);
}

static void begin_device(struct fixture *f, size_t size, const char *more)
{
	char all[128];

	begin(f, LOG_FILE);
	close_image(f->img);
	make_device("log", size);
	snprintf(all, sizeof(all), "%s" LOG_FIXED, more);
	open_recorder(f, all);
}

static void nothing_old_shows_on_a_device(void **state)
{
	char *buf = calloc(1, 200000);
	struct fixture f;

	(void)state;
	assert_non_null(buf);
	begin_device(&f, 1 << 20, "");
	assert_log(f.ctx, "");
	memset(buf, 'x', 200000);
	do_write(f.img, buf, 4096, 4096);
	assert_log(f.ctx, "W");
	do_write(f.img, buf, 199680, 8192);
	assert_log(f.ctx, "WW");
	assert_int_equal(platter_image_zero(f.img, 0, 131072, 0, NULL), 0);
	assert_log(f.ctx, "WWW");
	mark(f.img, "m");
	assert_log(f.ctx, "WWW[m]");
	assert_replay_gives_disk(f.ctx);
	finish(&f);
	/* And where it goes on. */
	f.ctx = gate_context();
	open_recorder(&f, ",log-append=on" LOG_FIXED);
	do_write(f.img, buf, 4096, 0);
	assert_log(f.ctx, "WWW[m]FW");
	assert_replay_gives_disk(f.ctx);
	finish(&f);
	free(buf);
}

static void threads_share_a_device(void **state)
{
	struct fixture f;

	(void)state;
	begin_device(&f, 64 << 20, "");
	run_load(f.img, false);
	assert_replay_gives_disk(f.ctx);
	finish(&f);
}

static void a_full_device_is_an_error_for_all(void **state)
{
	struct fixture f;
	uint64_t written;

	(void)state;
	begin_device(&f, 512 + 20 * (512 + 4096) + 2048, "");
	written = fill(f.img);
	assert_in_range(written, 20 - THREADS, 20);
	assert_full(&f, written);
	assert_log(f.ctx, &"WWWWWWWWWWWWWWWWWWWW"[20 - written]);
	platter_context_free(f.ctx);
}

static void marks_are_checked(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	char text[512];
	struct fixture f;

	(void)state;
	begin(&f, LOG_FILE);
	memset(text, 'm', sizeof(text));
	assert_int_equal(platter_record_mark(&f.img, 1, text, 0, NULL, &err),
			 -EINVAL);
	assert_int_equal(platter_record_mark(&f.img, 1, text, 480, NULL, &err),
			 -EINVAL);
	assert_has(err.msg, "480 bytes is over the limit of 479");
	assert_int_equal(platter_record_mark(&f.img, 1, "a\0b", 3, NULL, &err),
			 -EINVAL);
	assert_int_equal(stats(f.img).marks, 0);
	assert_int_equal(platter_record_mark(&f.img, 1, text, 479, NULL, &err),
			 0);
	assert_int_equal(stats(f.img).marks, 1);
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(writes_that_fail_are_not_logged),
		TEST(a_full_log_is_an_error_for_all),
		TEST(nothing_old_shows_on_a_device),
		TEST(threads_share_a_device),
		TEST(a_full_device_is_an_error_for_all),
		TEST(marks_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
