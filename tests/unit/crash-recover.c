/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two crashes: recording a recovery, its states by name, telling two apart. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <platter/platter.h>

#include "base/mem.h"
#include "crash/crash.h"
#include "wlog/recording.h"
#include "scratch-dir.h"

#define DISK	(64u << 10)
#define SECTOR	512u

struct fixture {
	struct platter_context *ctx;
	struct platter_crash *crash;
	struct platter_crash_harness *harness;
	char path[64];
};

/* A recovery that writes `value` to sector `at`, flushes, and then to 8. */
struct writer {
	struct platter_crash_checker checker;
	uint8_t value;
	uint64_t at;		/* UINT64_MAX: it writes nothing */
};

static int write_sector(struct platter_image *img, uint8_t value, uint64_t at,
			struct platter_error *err)
{
	uint8_t buf[SECTOR];

	memset(buf, value, sizeof(buf));
	return platter_image_pwrite(img, buf, sizeof(buf), at * SECTOR, err);
}

static int check(struct platter_crash_checker *self,
		 const struct platter_crash_task *task,
		 struct platter_crash_result *result,
		 struct platter_error *err)
{
	struct writer *w = (struct writer *)self;
	int rc = 0;

	result->verdict = PLATTER_CRASH_PASS;
	if (w->at == UINT64_MAX)
		return 0;
	rc = write_sector(task->img, w->value, w->at, err);
	if (!rc)
		rc = platter_image_flush(task->img, err);
	return rc ? rc : write_sector(task->img, w->value, 8, err);
}

static struct writer writer = {
	.checker = { .check = check, .name = "writer" },
};

/* ---- a log of two writes ---- */

static void make_log(struct platter_context *ctx, const char *path)
{
	const struct platter_open_options opts = {
		.format = "raw", .flags = PLATTER_O_RDWR,
	};
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *log, *disk, *below, *node;
	uint64_t entries;

	assert_int_equal(platter_image_open(&log, ctx, path, &opts, &err), 0);
	assert_int_equal(platter_image_open(&disk, ctx, "null-co://", NULL,
					    &err), 0);
	assert_int_equal(platter_scratch_new(&below, disk, 1 << 20, &err), 0);
	assert_int_equal(plt_recording_new(&node, below, &err), 0);
	assert_int_equal(plt_recording_begin(node, log, SECTOR, &err), 0);
	assert_int_equal(write_sector(node, 0x11, 0, &err), 0);
	assert_int_equal(platter_image_flush(node, &err), 0);
	assert_int_equal(write_sector(node, 0x22, 4, &err), 0);
	assert_int_equal(plt_recording_end(node, &entries, &err), 0);
	assert_int_equal(entries, 3);
	platter_image_close(node, NULL);
	platter_image_close(below, NULL);
	platter_image_close(disk, NULL);
	assert_int_equal(platter_image_close(log, &err), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct platter_crash_checker *checkers[] = { &writer.checker };
	const struct platter_crash_harness_options harness = {
		.slots = 1, .checkers = checkers, .nr_checkers = 1,
	};
	static struct platter_crash_checker *kept;
	struct platter_crash_harness_options opts = harness;
	const struct platter_crash_options crash = {
		.log.index = "", .size = DISK,
	};
	struct platter_error err = PLATTER_ERROR_INIT;
	int fd;

	assert_non_null(f);
	strcpy(f->path, "crash-recover.XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	kept = &writer.checker;
	opts.checkers = &kept;
	assert_int_equal(platter_context_new(&f->ctx, &err), 0);
	make_log(f->ctx, f->path);
	assert_int_equal(platter_crash_open(&f->crash, f->ctx, f->path, &crash,
					    &err), 0);
	assert_int_equal(platter_crash_harness_new(&f->harness, &opts, &err),
			 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	platter_crash_harness_free(f->harness);
	platter_crash_close(f->crash);
	platter_context_free(f->ctx);
	unlink(f->path);
	free(f);
	return 0;
}

/* ---- the tests ---- */

static int recover(struct fixture *f, const char *name, uint8_t value,
		   uint64_t at, struct platter_crash_state **out,
		   struct platter_crash_recovery *did,
		   struct platter_error *err)
{
	struct platter_crash_result result = { 0 };
	int rc;

	writer.value = value;
	writer.at = at;
	rc = platter_crash_recover_state(out, f->crash, name, f->harness, did,
					 &result, err);
	platter_crash_result_clear(&result);
	return rc;
}

static void close_state(struct platter_crash_state *state)
{
	struct platter_crash *nested = platter_crash_state_crash(state);

	platter_crash_state_unref(state);
	platter_crash_recovery_close(nested);
}

static uint8_t byte_of(const struct platter_crash_state *state, uint64_t sector)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *img;
	uint8_t byte;

	assert_int_equal(platter_crash_state_image(&img, state, &err), 0);
	assert_int_equal(platter_image_size(img), DISK);
	assert_int_equal(platter_image_pread(img, &byte, 1, sector * SECTOR,
					     &err), 0);
	platter_image_close(img, NULL);
	return byte;
}

/* Of each crash what is missing there is missing, and nothing else. */
static void states_lie_on_the_first_one(void **s)
{
	static const struct { const char *name; uint8_t at[4]; } v[] = {
		{ "2@0",	{ 0x11, 0, 0, 0 } },
		{ "3@0",	{ 0x11, 0x22, 0, 0 } },
		{ "3@1",	{ 0x11, 0x22, 0x33, 0 } },
		{ "3@1+",	{ 0x11, 0x22, 0, 0 } },
		{ "3@3",	{ 0x11, 0x22, 0x33, 0x33 } },
		{ "3@3+",	{ 0x11, 0x22, 0x33, 0 } },
		{ "3-2@3",	{ 0x11, 0, 0x33, 0x33 } },
	};
	static const uint64_t sectors[] = { 0, 4, 6, 8 };
	struct fixture *f = *s;

	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		struct platter_error err = PLATTER_ERROR_INIT;
		struct platter_crash_state *state;
		int rc = recover(f, v[i].name, 0x33, 6, &state, NULL, &err);

		if (rc)
			fail_msg("%s: %s", v[i].name, err.msg);
		for (size_t j = 0; j < PLT_ARRAY_SIZE(sectors); j++)
			assert_int_equal(byte_of(state, sectors[j]),
					 v[i].at[j]);
		close_state(state);
	}
}

static void the_same_recovery_is_told_from_another(void **s)
{
	static const struct {
		uint8_t value;
		uint64_t at;
		int rc;
		const char *text;
	} v[] = {
		{ 0x33, 6, 0, "" },
		{ 0x44, 6, -ESTALE, "but other content" },
		{ 0x33, 7, -ESTALE, "something else" },
	};
	struct platter_crash_recovery then, now;
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_crash_state *state;
	struct fixture *f = *s;

	assert_int_equal(recover(f, "3@0", 0x33, 6, &state, &then, &err), 0);
	assert_int_equal(then.entries, 4);	/* two, a flush, the end mark */
	close_state(state);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		assert_int_equal(recover(f, "3@0", v[i].value, v[i].at, &state,
					 &now, &err), 0);
		close_state(state);
		assert_int_equal(platter_crash_recovery_compare(&then, &now,
								&err),
				 v[i].rc);
		assert_non_null(strstr(err.msg, v[i].text));
	}
}

static void errors_are_told(void **s)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_crash_recovery did;
	struct platter_crash_state *state;
	struct fixture *f = *s;

	assert_int_equal(recover(f, "3", 0x33, 6, &state, NULL, &err),
			 -EINVAL);
	assert_int_equal(recover(f, "9@0", 0x33, 6, &state, NULL, &err),
			 -EINVAL);
	assert_int_equal(recover(f, "3@9", 0x33, 6, &state, NULL, &err),
			 -EINVAL);
	assert_int_equal(recover(f, "3@0", 0, UINT64_MAX, &state, NULL, &err),
			 -ENOENT);
	assert_int_equal(platter_crash_recovery_of(f->crash, &did, &err),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(states_lie_on_the_first_one,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_same_recovery_is_told_from_another, setup,
			teardown),
		cmocka_unit_test_setup_teardown(errors_are_told, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, enter_scratch, leave_scratch);
}
