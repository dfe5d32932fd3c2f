/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The recorder: what stands in the log, and in which order, while many threads
 * write, flush, mark and pause.
 */
#include "record-test.h"

/* ---- the content ---- */

static void replays_what_threads_wrote(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_record_stats s;
	struct fixture f;

	(void)state;
	begin(&f, LOG_FILE);
	run_load(f.img, false);
	s = stats(f.img);
	assert_int_equal(s.entries, s.writes + s.flushes + s.discards +
				    s.marks);
	assert_ok(platter_record_end(f.img, &err), &err);
	finish(&f);
	f.ctx = new_context();
	assert_replay_gives_disk(f.ctx);
	platter_context_free(f.ctx);
}

static void replays_what_was_written_in_pauses(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, ",log-sector-size=4096" LOG_FILE);
	run_load(f.img, true);
	assert_int_equal(platter_record_resume(f.img, NULL), 0);
	assert_false(stats(f.img).paused);
	assert_replay_gives_disk(f.ctx);
	finish(&f);
}

static void counts_what_is_written_with_fua(void **state)
{
	struct fixture f;
	char buf[4096] = { 1 };
	unsigned char super[32];
	FILE *log;

	(void)state;
	begin(&f, LOG_FILE);
	do_write(f.img, buf, sizeof(buf), 0);
	assert_int_equal(platter_image_pwrite_fua(f.img, buf, 512, 512, NULL),
			 0);
	log = fopen("log", "rb");
	assert_non_null(log);
	assert_int_equal(fread(super, 1, sizeof(super), log), sizeof(super));
	fclose(log);
	assert_int_equal(super[16], 2);
	assert_log(f.ctx, "WU");
	finish(&f);
}

static void pausing_leaves_marks(void **state)
{
	struct fixture f;
	char buf[512] = { 1 };

	(void)state;
	begin(&f, LOG_FILE);
	do_write(f.img, buf, sizeof(buf), 0);
	assert_int_equal(platter_record_pause(f.img, NULL), 0);
	assert_int_equal(platter_record_pause(f.img, NULL), 0);
	assert_true(stats(f.img).paused);
	do_write(f.img, buf, sizeof(buf), 8192);
	assert_int_equal(platter_image_flush(f.img, NULL), 0);
	mark(f.img, "own");
	assert_int_equal(platter_record_end(f.img, NULL), 0);
	assert_true(stats(f.img).ended);
	assert_int_equal(platter_image_pwrite(f.img, buf, 512, 0, NULL),
			 -EROFS);
	assert_int_equal(platter_image_flush(f.img, NULL), 0);
	finish(&f);
	f.ctx = new_context();
	assert_log(f.ctx, "W[platter-pause][own]W[platter-resume]"
		   "[dm-log-writes-end]");
	assert_replay_gives_disk(f.ctx);
	platter_context_free(f.ctx);
}

/* ---- the order ---- */

static void holds_writes_back_until_the_flush_is_logged(void **state)
{
	struct worker flush1, flush2, w;
	char buf[512] = { 'f' };
	struct fixture f;

	(void)state;
	begin(&f, LOG_FILE);
	gate.hold_flushes = true;
	start(&flush1, f.img, flush_one, 0);
	wait_for(&gate.flushes, 1);
	start(&w, f.img, write_one, 4096);
	wait_for(&gate.writes, 1);
	assert_int_equal(platter_image_pwrite_fua(f.img, buf, 512, 0, NULL), 0);
	mark(f.img, "meanwhile");
	assert_false(w.done);
	assert_log(f.ctx, "U[meanwhile]");
	let_more(&gate.flushes_let);
	join(&flush1, 0);
	join(&w, 0);
	assert_log(f.ctx, "U[meanwhile]FW");
	start(&flush2, f.img, flush_one, 0);
	wait_for(&gate.flushes, 2);
	let(&gate.hold_flushes, false);
	join(&flush2, 0);
	assert_log(f.ctx, "U[meanwhile]FWF");
	finish(&f);
}

static void a_flush_that_fails_is_not_logged(void **state)
{
	struct worker flush, w;
	struct fixture f;

	(void)state;
	begin(&f, LOG_FILE);
	gate.hold_flushes = gate.fail_flushes = true;
	start(&flush, f.img, flush_one, 0);
	wait_for(&gate.flushes, 1);
	start(&w, f.img, write_one, 0);
	wait_for(&gate.writes, 1);
	let(&gate.hold_flushes, false);
	join(&flush, -EIO);
	join(&w, 0);
	assert_log(f.ctx, "W");
	let(&gate.fail_flushes, false);
	finish(&f);
}

static void overlapping_requests_wait(void **state)
{
	struct worker first, second, other;
	struct fixture f;

	(void)state;
	begin(&f, ",log-sector-size=4096" LOG_FILE);
	gate.hold_writes = true;
	start(&first, f.img, write_one, 0);
	wait_for(&gate.writes, 1);
	/* Other bytes, but of the same log sector. */
	start(&second, f.img, write_one, 2048);
	start(&other, f.img, write_one, 8192);
	wait_for(&gate.writes, 2);
	/* The second would have come through by now, or comes never. */
	usleep(10000);
	pthread_mutex_lock(&gate.lock);
	assert_int_equal(gate.writes, 2);
	pthread_mutex_unlock(&gate.lock);
	let(&gate.hold_writes, false);
	join(&first, 0);
	join(&second, 0);
	join(&other, 0);
	assert_log(f.ctx, "WWW");
	assert_replay_gives_disk(f.ctx);
	finish(&f);
}

static void issue_numbers_tell_the_order_of_asking(void **state)
{
	struct worker first, second;
	unsigned char hdr[64];
	struct fixture f;
	FILE *log;

	(void)state;
	begin(&f, LOG_FILE);
	gate.hold_writes = true;
	start(&first, f.img, write_one, 0);
	wait_for(&gate.writes, 1);
	start(&second, f.img, write_one, 4096);
	wait_for(&gate.writes, 2);
	/* The first one stays, the second goes. */
	gate.hold_writes = true;
	let(&gate.hold_writes, false);
	join(&first, 0);
	join(&second, 0);
	finish(&f);
	log = fopen("log", "rb");
	assert_non_null(log);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fseek(log, 512 + i * 1024, SEEK_SET), 0);
		assert_int_equal(fread(hdr, 1, sizeof(hdr), log), sizeof(hdr));
		assert_memory_equal(hdr + 40, "pltrext1", 8);
		/* Sector 0 was asked for first. */
		assert_int_equal(hdr[48], hdr[0] ? 2 : 1);
	}
	fclose(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(replays_what_threads_wrote),
		TEST(replays_what_was_written_in_pauses),
		TEST(counts_what_is_written_with_fua),
		TEST(pausing_leaves_marks),
		TEST(holds_writes_back_until_the_flush_is_logged),
		TEST(a_flush_that_fails_is_not_logged),
		TEST(overlapping_requests_wait),
		TEST(issue_numbers_tell_the_order_of_asking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
