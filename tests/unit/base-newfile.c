// SPDX-License-Identifier: LGPL-2.1-or-later
/* New files: nothing under the name until complete, and nothing left over. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/newfile.h"

static char *previous;
static bool no_noreplace;	/* as on NFS and old kernels */
static bool no_links;		/* as on FAT */

/* These take the place of the C library's. */
int renameat2(int from_dir, const char *from, int to_dir, const char *to,
	      unsigned int flags)
{
	if (flags && no_noreplace) {
		errno = EINVAL;
		return -1;
	}
	return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

int link(const char *from, const char *to)
{
	if (no_links) {
		errno = EPERM;
		return -1;
	}
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

static int enter(void **state)
{
	char dir[] = "base-newfile.XXXXXX";

	if (!mkdtemp(dir))
		return -1;
	previous = getcwd(NULL, 0);
	*state = strdup(dir);
	umask(022);
	return chdir(dir);
}

static int leave(void **state)
{
	DIR *dir = opendir(".");
	struct dirent *e;
	int rc;

	while ((e = readdir(dir))) {
		if (remove(e->d_name) && e->d_name[0] != '.')
			unlinkat(AT_FDCWD, e->d_name, AT_REMOVEDIR);
	}
	closedir(dir);
	rc = chdir(previous) || rmdir(*state);
	free(previous);
	free(*state);
	return rc;
}

static void put(const char *path, const char *text)
{
	plt_auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	assert_true(fd >= 0);
	assert_int_equal(plt_write(fd, text, strlen(text)), 0);
}

static void assert_content(const char *path, const char *text)
{
	plt_auto_fd int fd = open(path, O_RDONLY);
	char buf[64];
	ssize_t n;

	assert_true(fd >= 0);
	n = plt_pread(fd, buf, sizeof(buf), 0);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static int entries(void)
{
	DIR *dir = opendir(".");
	struct dirent *e;
	int n = 0;

	while ((e = readdir(dir)))
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(dir);
	return n;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static struct plt_newfile *make(const char *path, bool replace)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct plt_newfile *nf = NULL;

	if (plt_newfile_new(&nf, path, replace, &err))
		fail_msg("%s", err.msg);
	return nf;
}

static void appears_when_committed(void **state)
{
	(void)state;
	for (int sync = 0; sync < 2; sync++) {
		struct plt_newfile *nf = make("a", false);
		const char *part = plt_newfile_part(nf);

		assert_int_equal(strncmp(part, "a.", 2), 0);
		assert_string_equal(part + strlen(part) - 5, ".part");
		assert_int_equal(strlen(part), 2 + 6 + 5);
		assert_string_equal(plt_newfile_path(nf), "a");
		put(part, "new");
		assert_int_equal(access("a", F_OK), -1);
		assert_int_equal(plt_newfile_commit(nf, sync, NULL), 0);
		plt_newfile_free(nf);
		assert_content("a", "new");
		assert_int_equal(mode_of("a"), 0644);
		assert_int_equal(entries(), 1);
		unlink("a");
	}
}

static void leaves_nothing_when_dropped(void **state)
{
	struct plt_newfile *nf = make("a", false);

	(void)state;
	put(plt_newfile_part(nf), "half");
	assert_int_equal(entries(), 1);
	plt_newfile_free(nf);
	assert_int_equal(entries(), 0);
	put("a", "old");
	nf = make("a", true);
	put(plt_newfile_part(nf), "half");
	plt_newfile_free(nf);
	assert_content("a", "old");
	assert_int_equal(entries(), 1);
	plt_newfile_free(NULL);
}

static void never_overwrites_unasked(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct plt_newfile *nf;

	(void)state;
	put("a", "old");
	assert_int_equal(plt_newfile_new(&nf, "a", false, &err), -EEXIST);
	assert_string_equal(err.msg, "a: File exists");
	unlink("a");
	/* Nor one that came into being meanwhile. */
	nf = make("a", false);
	put(plt_newfile_part(nf), "new");
	put("a", "other");
	assert_int_equal(plt_newfile_commit(nf, true, &err), -EEXIST);
	plt_newfile_free(nf);
	assert_content("a", "other");
	assert_int_equal(entries(), 1);
}

static void replaces_and_keeps_the_mode(void **state)
{
	static const mode_t modes[] = { 0600, 0640, 0444, 0666, 0200 };

	(void)state;
	for (size_t i = 0; i < PLT_ARRAY_SIZE(modes); i++) {
		struct plt_newfile *nf;

		put("a", "old");
		assert_int_equal(chmod("a", modes[i]), 0);
		nf = make("a", true);
		assert_int_equal(mode_of(plt_newfile_part(nf)),
				 modes[i] | 0600);
		put(plt_newfile_part(nf), "new");
		assert_content("a", "old");
		assert_int_equal(plt_newfile_commit(nf, true, NULL), 0);
		plt_newfile_free(nf);
		assert_int_equal(mode_of("a"), modes[i]);
		assert_int_equal(chmod("a", 0600), 0);
		assert_content("a", "new");
		assert_int_equal(entries(), 1);
		unlink("a");
	}
}

static void replaces_what_a_link_points_to(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct plt_newfile *nf;
	struct stat st;

	(void)state;
	assert_int_equal(mkdir("d", 0777), 0);
	put("d/real", "old");
	assert_int_equal(symlink("d/inner", "outer"), 0);
	assert_int_equal(symlink("real", "d/inner"), 0);
	assert_int_equal(plt_newfile_new(&nf, "outer", false, &err), -EEXIST);
	nf = make("outer", true);
	assert_string_equal(plt_newfile_path(nf), "d/real");
	put(plt_newfile_part(nf), "new");
	assert_int_equal(plt_newfile_commit(nf, true, NULL), 0);
	plt_newfile_free(nf);
	assert_int_equal(lstat("outer", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_content("outer", "new");

	/* A link to nothing: its target comes into being. */
	unlink("d/real");
	nf = make("outer", false);
	put(plt_newfile_part(nf), "newer");
	assert_int_equal(plt_newfile_commit(nf, false, NULL), 0);
	plt_newfile_free(nf);
	assert_content("d/real", "newer");

	unlink("outer");
	assert_int_equal(symlink("outer", "outer"), 0);
	assert_int_equal(plt_newfile_new(&nf, "outer", true, &err), -ELOOP);
	unlink("d/real");
	unlink("d/inner");
}

static void refuses_what_is_no_file(void **state)
{
	static const struct { const char *path; int rc; } v[] = {
		{ "d", -EINVAL },
		{ "d/", -EINVAL },
		{ "", -EINVAL },
		{ "none/a", -ENOENT },
		{ "/dev/null", -EINVAL },
		{ "f/a", -ENOTDIR },
	};

	(void)state;
	assert_int_equal(mkdir("d", 0777), 0);
	put("f", "");
	for (size_t i = 0; i < PLT_ARRAY_SIZE(v); i++) {
		struct platter_error err = PLATTER_ERROR_INIT;
		struct plt_newfile *nf;

		assert_int_equal(plt_newfile_new(&nf, v[i].path, true, &err),
				 v[i].rc);
		assert_int_equal(err.code, v[i].rc);
	}
	assert_int_equal(entries(), 2);
}

static void takes_the_longest_name(void **state)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	char name[NAME_MAX + 2];
	struct plt_newfile *nf;

	(void)state;
	memset(name, 'n', sizeof(name));
	name[NAME_MAX] = '\0';
	nf = make(name, false);
	assert_int_equal(strlen(plt_newfile_part(nf)), NAME_MAX);
	put(plt_newfile_part(nf), "x");
	assert_int_equal(plt_newfile_commit(nf, true, NULL), 0);
	plt_newfile_free(nf);
	assert_content(name, "x");
	name[NAME_MAX] = 'n';
	name[NAME_MAX + 1] = '\0';
	assert_int_equal(plt_newfile_new(&nf, name, true, &err),
			 -ENAMETOOLONG);
	assert_int_equal(entries(), 1);
}

static void umask_rules(void **state)
{
	struct plt_newfile *nf;

	(void)state;
	umask(077);
	nf = make("a", false);
	assert_int_equal(plt_newfile_commit(nf, false, NULL), 0);
	plt_newfile_free(nf);
	assert_int_equal(mode_of("a"), 0600);
}

static void does_without_the_kernels_check(void **state)
{
	(void)state;
	no_noreplace = true;
	for (int i = 0; i < 2; i++, no_links = true) {
		struct platter_error err = PLATTER_ERROR_INIT;
		struct plt_newfile *nf = make("a", false);

		put(plt_newfile_part(nf), "new");
		put("a", "other");
		assert_int_equal(plt_newfile_commit(nf, true, &err), -EEXIST);
		assert_content("a", "other");
		unlink("a");
		assert_int_equal(plt_newfile_commit(nf, true, &err), 0);
		plt_newfile_free(nf);
		assert_content("a", "new");
		assert_int_equal(entries(), 1);
		unlink("a");
	}
	no_noreplace = no_links = false;
}

int main(void)
{
#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, enter, leave)
	const struct CMUnitTest tests[] = {
		IN_DIR(appears_when_committed),
		IN_DIR(leaves_nothing_when_dropped),
		IN_DIR(never_overwrites_unasked),
		IN_DIR(replaces_and_keeps_the_mode),
		IN_DIR(replaces_what_a_link_points_to),
		IN_DIR(refuses_what_is_no_file),
		IN_DIR(takes_the_longest_name),
		IN_DIR(umask_rules),
		IN_DIR(does_without_the_kernels_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
