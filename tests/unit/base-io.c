// SPDX-License-Identifier: LGPL-2.1-or-later
/* Full-length I/O, one file or two, finding zeros, and the memory helpers. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"

/* The tests ask for impossible sizes; sanitizers are to say no, not stop. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

/*
 * These take the place of the C library's: every other call is interrupted,
 * and the rest move at most `most` bytes.
 */
static size_t most;
static unsigned int calls;

static bool interrupted(size_t *len)
{
	if (!most)
		return false;
	*len = PLT_MIN(*len, most);
	errno = EINTR;
	return calls++ % 2;
}

ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	return interrupted(&len) ? -1 : syscall(SYS_pread64, fd, buf, len,
						offset);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	return interrupted(&len) ? -1 : syscall(SYS_pwrite64, fd, buf, len,
						offset);
}

ssize_t write(int fd, const void *buf, size_t len)
{
	return interrupted(&len) ? -1 : syscall(SYS_write, fd, buf, len);
}

static int temp_file(void)
{
	char name[] = "base-io.XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	return fd;
}

static void reads_until_the_end(void **state)
{
	plt_auto_fd int fd = temp_file();
	char buf[16];
	uint64_t size;

	(void)state;
	assert_int_equal(plt_pwrite(fd, "0123456789", 10, 5), 0);
	assert_int_equal(plt_fd_size(fd, &size), 0);
	assert_int_equal(size, 15);
	assert_int_equal(plt_pread(fd, buf, 4, 5), 4);
	assert_memory_equal(buf, "0123", 4);
	assert_int_equal(plt_pread(fd, buf, 16, 10), 5);
	assert_memory_equal(buf, "56789", 5);
	assert_int_equal(plt_pread(fd, buf, 16, 15), 0);
	assert_int_equal(plt_pread(fd, buf, 0, 0), 0);
	assert_int_equal(plt_pread(fd, buf, 1, UINT64_MAX), -EINVAL);
	assert_int_equal(plt_pwrite(fd, buf, 1, UINT64_MAX), -EINVAL);
}

static void reports_errors(void **state)
{
	plt_auto_fd int full = open("/dev/full", O_RDWR | O_CLOEXEC);
	uint64_t size;
	char c = 0;

	(void)state;
	assert_int_equal(plt_pread(-1, &c, 1, 0), -EBADF);
	assert_int_equal(plt_pwrite(-1, &c, 1, 0), -EBADF);
	assert_int_equal(plt_write(-1, &c, 1), -EBADF);
	assert_int_equal(plt_fd_size(-1, &size), -EBADF);
	assert_int_equal(plt_write(full, &c, 1), -ENOSPC);
	assert_int_equal(plt_fd_size(full, &size), -ENOTSUP);
}

static void moves_everything(void **state)
{
	static const char digits[] = "0123456789abcdef";
	char buf[32];

	(void)state;
	for (size_t part = 1; part < 20; part++) {
		plt_auto_fd int fd = temp_file();
		int rc[2];
		ssize_t n[2];

		most = part;
		rc[0] = plt_write(fd, digits, 16);
		rc[1] = plt_pwrite(fd, digits, 16, 16);
		n[0] = plt_pread(fd, buf, 32, 0);
		n[1] = plt_pread(fd, buf, 32, 7);
		most = 0;
		assert_int_equal(rc[0], 0);
		assert_int_equal(rc[1], 0);
		assert_int_equal(n[0], 32);
		assert_int_equal(n[1], 25);
		assert_memory_equal(buf, digits + 7, 9);
		assert_memory_equal(buf + 9, digits, 16);
	}
}

static void tells_one_file_by_two_names(void **state)
{
	char dir[] = "base-io.XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(mknod("a", S_IFREG | 0600, 0), 0);
	assert_int_equal(mknod("b", S_IFREG | 0600, 0), 0);
	assert_int_equal(link("a", "hard"), 0);
	assert_int_equal(symlink("a", "soft"), 0);
	assert_int_equal(symlink("none", "dangling"), 0);

	assert_true(plt_same_file("a", "a"));
	assert_true(plt_same_file("a", "hard"));
	assert_true(plt_same_file("soft", "./hard"));
	assert_true(plt_same_file(".", "./"));
	assert_false(plt_same_file("a", "b"));
	assert_false(plt_same_file("a", "none"));
	assert_false(plt_same_file("none", "none"));
	assert_false(plt_same_file("none", "dangling"));
	assert_false(plt_same_file("a", NULL));
	assert_false(plt_same_file(NULL, NULL));

	unlink("a");
	unlink("b");
	unlink("hard");
	unlink("soft");
	unlink("dangling");
	assert_int_equal(chdir(".."), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* Every length, place and alignment; what lies beside must not matter. */
static void finds_the_byte_that_is_not_zero(void **state)
{
	unsigned char buf[300];

	(void)state;
	for (size_t start = 0; start < 17; start++) {
		for (size_t len = 0; len < 200; len++) {
			memset(buf, 0xff, sizeof(buf));
			memset(buf + start, 0, len);
			assert_true(plt_is_zero(buf + start, len));
			for (size_t i = 0; i < len; i++) {
				buf[start + i] = 0x80;
				assert_false(plt_is_zero(buf + start, len));
				buf[start + i] = 0;
			}
		}
	}
}

static void reads_no_byte_beyond(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_true(map != MAP_FAILED);
	assert_int_equal(mprotect(map + page, page, PROT_NONE), 0);
	for (size_t len = 0; len <= page; len++)
		assert_true(plt_is_zero(map + page - len, len));
	munmap(map, 2 * page);
}

static void grows_arrays(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	uint64_t *array = NULL;
	uint64_t *kept;
	size_t room = 0;
	size_t grown = 0;

	(void)state;
	for (size_t i = 0; i < 100000; i++) {
		size_t before = room;

		assert_int_equal(plt_grow(&array, &room, i + 1,
					  sizeof(*array), &err), 0);
		assert_true(room > i);
		grown += room != before;
		array[i] = i;
	}
	assert_true(grown < 30);
	for (size_t i = 0; i < 100000; i++)
		assert_int_equal(array[i], i);

	kept = array;
	grown = room;
	assert_int_equal(plt_grow(&array, &room, SIZE_MAX / 4, 8, &err),
			 -ENOMEM);
	assert_int_equal(err.code, -ENOMEM);
	assert_int_equal(plt_grow(&array, &room, SIZE_MAX / 2, 1, NULL),
			 -ENOMEM);
	assert_ptr_equal(array, kept);
	assert_int_equal(room, grown);
	free(array);
}

static void says_what_it_could_not_get(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	void *p;

	(void)state;
	assert_null(plt_calloc(SIZE_MAX / 2, 16, &err));
	assert_int_equal(err.code, -ENOMEM);
	assert_null(plt_calloc(SIZE_MAX / 2, 1, NULL));
	p = plt_calloc(0, 8, &err);
	assert_non_null(p);
	free(p);
	p = plt_memalign(4096, 1, &err);
	assert_int_equal((uintptr_t)p % 4096, 0);
	free(p);
	p = plt_memalign(1, 0, &err);
	assert_non_null(p);
	free(p);
	p = plt_asprintf(&err, "%s-%d", "a", 7);
	assert_string_equal(p, "a-7");
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_until_the_end),
		cmocka_unit_test(reports_errors),
		cmocka_unit_test(moves_everything),
		cmocka_unit_test(tells_one_file_by_two_names),
		cmocka_unit_test(finds_the_byte_that_is_not_zero),
		cmocka_unit_test(reads_no_byte_beyond),
		cmocka_unit_test(grows_arrays),
		cmocka_unit_test(says_what_it_could_not_get),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
