/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checkers by name: their names, what they need, and what marks promise. */
#include <errno.h>
#include <inttypes.h>
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

#include "base/endian.h"
#include "base/mem.h"
#include "crash/builtin.h"

#define SECTOR		512u
#define DIR_NAME	"crash-builtin.dir"
#define LOG_NAME	"crash-builtin.log"

/* A log of marks, put down by hand: Linux, drivers/md/dm-log-writes.c. */
static void make_log(const char *const *marks, size_t nr)
{
	uint8_t sector[SECTOR] = { 0 };
	FILE *f = fopen(LOG_NAME, "w");

	assert_non_null(f);
	plt_put_le64(sector, UINT64_C(0x6a736677736872));
	plt_put_le64(sector + 8, 1);
	plt_put_le64(sector + 16, nr);
	plt_put_le32(sector + 24, SECTOR);
	assert_int_equal(fwrite(sector, SECTOR, 1, f), 1);
	for (size_t i = 0; i < nr; i++) {
		memset(sector, 0, sizeof(sector));
		plt_put_le64(sector + 16, PLATTER_LOG_MARK);
		plt_put_le64(sector + 24, strlen(marks[i]));
		memcpy(sector + 32, marks[i], strlen(marks[i]));
		assert_int_equal(fwrite(sector, SECTOR, 1, f), 1);
	}
	assert_int_equal(fclose(f), 0);
}

static struct platter_crash *open_log(struct platter_context **ctx,
				      const char *const *marks, size_t nr)
{
	const struct platter_crash_options opts = {
		.log.index = "", .size = 1 << 20,
	};
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_crash *crash;

	make_log(marks, nr);
	assert_int_equal(platter_context_new(ctx, &err), 0);
	assert_int_equal(platter_crash_open(&crash, *ctx, LOG_NAME, &opts,
					    &err), 0);
	return crash;
}

static void close_log(struct platter_context *ctx, struct platter_crash *crash)
{
	platter_crash_close(crash);
	platter_context_free(ctx);
	unlink(LOG_NAME);
}

/* ---- names ---- */

static int new_checker(struct platter_crash *crash, const char *spec,
		       struct platter_error *err)
{
	const struct platter_crash_builtin_options opts = {
		.crash = crash, .spec = spec, .slots = 1,
	};
	struct platter_crash_checker *checker;
	int rc = platter_crash_builtin_new(&checker, &opts, err);

	if (!rc)
		platter_crash_checker_free(checker);
	return rc;
}

static void a_name_that_is_unknown_lists_those_that_are(void **state)
{
	static const struct { const char *spec, *text; } v[] = {
		{ "fsck=ext4", "fs=ext4, xfs, btrfs, vfat or ntfs" },
		{ "fs", "image=qcow2" },
		{ "fs=zfs", "unknown file system \"zfs\"" },
		{ "image=nosuch", "is not an image format" },
		{ "image=file", "is not an image format" },
		{ "sqlite=a.db", "begins with a slash" },
		{ "acked=", "no file is promised" },
		{ "acked=/nonexistent", "is neither a folder" },
	};
	struct platter_context *ctx;
	struct platter_crash *crash = open_log(&ctx, NULL, 0);

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		struct platter_error err = PLATTER_ERROR_INIT;

		assert_int_equal(new_checker(crash, v[i].spec, &err), -EINVAL);
		if (!strstr(err.msg, v[i].text))
			fail_msg("%s: %s", v[i].spec, err.msg);
	}
	close_log(ctx, crash);
}

static void a_program_that_is_missing_is_named_with_its_package(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_context *ctx;
	struct platter_crash *crash = open_log(&ctx, NULL, 0);
	char *path = strdup(getenv("PATH"));

	(void)state;
	assert_non_null(path);
	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(new_checker(crash, "sqlite=", &err), -ENOENT);
	setenv("PATH", path, 1);
	free(path);
	assert_non_null(strstr(err.msg, "the program sqlite3"));
	assert_non_null(strstr(err.msg, "package sqlite3"));
	close_log(ctx, crash);
}

/* ---- promises ---- */

/* How many hold at a point, and the first of them. */
static size_t holding(const struct plt_promises *p, uint64_t point,
		      const struct plt_promise **first)
{
	size_t n = 0;

	*first = NULL;
	for (size_t i = 0; i < p->nr; i++) {
		if (!plt_promise_holds(&p->promise[i], point))
			continue;
		if (!n++)
			*first = &p->promise[i];
	}
	return n;
}

static void a_promise_holds_until_it_is_taken_back(void **state)
{
	static const char *const marks[] = {
		"begin",
		"one acked md5=00ff path=/a b",
		"acked sql=SELECT 1",
		"acked is no payload behind blanks, but this is acked",
		"two acked SHA256=00 path=/x",
	};
	static const char *const good[] = {
		"begin",
		"one acked md5=00FF path=/a b",
		"acked sql=SELECT 1",
		"three acked sha256=aa path=/a b",
		"four removed path=/a b",
		"removed sql=SELECT 1",
	};
	static const struct {
		uint64_t point;
		size_t n;
		const char *hex;
	} v[] = {
		{ 0, 0, NULL }, { 1, 0, NULL }, { 2, 1, "00ff" },
		{ 3, 2, "00ff" }, { 4, 2, "" }, { 5, 1, "" }, { 6, 0, NULL },
	};
	struct platter_error err = PLATTER_ERROR_INIT;
	const struct plt_promise *first;
	struct plt_promises p = { 0 };
	struct platter_context *ctx;
	struct platter_crash *crash;

	(void)state;
	crash = open_log(&ctx, good, PLT_ARRAY_SIZE(good));
	assert_int_equal(plt_promises_of_marks(&p, crash, &err), 0);
	assert_int_equal(plt_promises_sort(&p, &err), 0);
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		assert_int_equal(holding(&p, v[i].point, &first), v[i].n);
		if (v[i].hex)
			assert_string_equal(first->hex, v[i].hex);
	}
	assert_string_equal(p.promise[0].mark, "one");
	assert_string_equal(p.promise[0].what, "/a b");
	assert_string_equal(p.promise[1].mark, "2");
	plt_promises_free(&p);
	close_log(ctx, crash);
	for (size_t n = 3; n <= PLT_ARRAY_SIZE(marks); n++) {
		crash = open_log(&ctx, marks, n);
		assert_int_equal(plt_promises_of_marks(&p, crash, &err),
				 n == 3 ? 0 : -EINVAL);
		plt_promises_free(&p);
		close_log(ctx, crash);
	}
}

static void put(const char *name, const char *text)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), DIR_NAME "/%s", name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void hashes_are_in_lists(void **state)
{
	static const char *const marks[] = { "m-1", "m-2", "m-3" };
	static const struct {
		const char *where;
		int rc;
		size_t n[4];	/* at each point */
		const char *text;
	} v[] = {
		{ DIR_NAME, 0, { 0, 1, 3, 2 }, "" },
		{ DIR_NAME "/m-2.sha1@m-%", 0, { 0, 1, 2, 1 }, "" },
		{ DIR_NAME "/m-2.sha1@n-%", -ENOENT, { 0 }, "no mark \"n-1\"" },
		{ DIR_NAME "/m-2.sha1@m-2", -EINVAL, { 0 }, "LIST@MARK" },
		{ DIR_NAME "/other@m-%", -EINVAL, { 0 }, "that of a hash" },
		{ DIR_NAME "/nosuch.md5@m-%", -ENOENT, { 0 }, "nosuch.md5" },
		{ DIR_NAME "/bad@m-%.md5", -EINVAL, { 0 }, "of a hash" },
	};
	struct platter_context *ctx;
	struct platter_crash *crash = open_log(&ctx, marks, 3);

	(void)state;
	mkdir(DIR_NAME, 0700);
	put("m-1.md5", "00 */mnt/one\r\n");
	put("m-2.sha1", "11  /mnt/two\n22  /mnt/three four\n"
	    "# removed m-3 /mnt/two\n# anything\n");
	put("other", "neither\n");
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		struct platter_error err = PLATTER_ERROR_INIT;
		const struct plt_promise *first;
		struct plt_promises p = { 0 };

		assert_int_equal(plt_promises_of_files(&p, crash, v[i].where,
						       &err), v[i].rc);
		assert_non_null(strstr(err.msg, v[i].text));
		assert_int_equal(plt_promises_sort(&p, &err), 0);
		for (size_t j = 0; j < 4 && !v[i].rc; j++)
			assert_int_equal(holding(&p, j, &first), v[i].n[j]);
		plt_promises_free(&p);
	}
	unlink(DIR_NAME "/m-1.md5");
	unlink(DIR_NAME "/m-2.sha1");
	unlink(DIR_NAME "/other");
	rmdir(DIR_NAME);
	close_log(ctx, crash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_that_is_unknown_lists_those_that_are),
		cmocka_unit_test(
			a_program_that_is_missing_is_named_with_its_package),
		cmocka_unit_test(a_promise_holds_until_it_is_taken_back),
		cmocka_unit_test(hashes_are_in_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
