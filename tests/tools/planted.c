/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Programs with a planted bug of crash consistency, each in a file of its own:
 *
 *	planted [--fixed] NAME write DISK	the work it does
 *	planted [--fixed] NAME recover DISK	what it does after a crash
 *	planted [--fixed] NAME check DISK	recover; is all as it should be?
 *
 * The disk is a file of at least 1 MiB that began as zeros. The check exits
 * with 1, and a sentence, when it is not whole. With --fixed it is the same
 * program without the bug. None of them is wrong as long as nothing crashes.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <err.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "planted.h"

#define CHATTER	(512u << 10)	/* where it is, bytes */

static const struct planted *const all[] = {
	&planted_rename,
	&planted_torn,
	&planted_one_epoch,
	&planted_fua,
	&planted_early_flush,
	&planted_double_write,
	&planted_redo,
};

void put(int disk, uint64_t offset, const void *buf, size_t len)
{
	if (pwrite(disk, buf, len, (off_t)offset) != (ssize_t)len)
		err(2, "writing %zu bytes", len);
}

void put_fua(int disk, uint64_t offset, const void *buf, size_t len)
{
	struct iovec v = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };

	if (pwritev2(disk, &v, 1, (off_t)offset, RWF_DSYNC) != (ssize_t)len)
		err(2, "writing %zu bytes by FUA", len);
}

void get(int disk, uint64_t offset, void *buf, size_t len)
{
	if (pread(disk, buf, len, (off_t)offset) != (ssize_t)len)
		err(2, "reading %zu bytes", len);
}

void flush(int disk)
{
	if (fdatasync(disk))
		err(2, "flushing");
}

void fill(void *buf, size_t len, uint32_t version)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < len; i++)
		p[i] = version ? (uint8_t)(version * 37 + i / SECTOR + 1) : 0;
}

bool is_version(const void *buf, size_t len, uint32_t version)
{
	uint8_t whole[BLOCK];

	fill(whole, len, version);
	return !memcmp(buf, whole, len);
}

/* FNV-1a */
uint32_t checksum(const void *buf, size_t len)
{
	const uint8_t *p = buf;
	uint32_t sum = 2166136261;

	while (len--)
		sum = (sum ^ *p++) * 16777619;
	return sum;
}

void chatter(int disk)
{
	static uint32_t n;
	uint8_t buf[BLOCK];

	for (int i = 0; i < 3; i++) {
		n++;
		fill(buf, BLOCK, n);
		put(disk, CHATTER + n * 7 % 32 * BLOCK, buf, BLOCK);
	}
}

void mark(const char *fmt, ...)
{
	char platter[] = "platter", log[] = "log", verb[] = "mark", text[64];
	char *words[] = { platter, log, verb, text, NULL };
	int status;
	va_list ap;
	pid_t pid;

	if (!getenv("PLATTER_SESSION"))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (posix_spawnp(&pid, words[0], NULL, NULL, words, environ) ||
	    waitpid(pid, &status, 0) != pid || status)
		errx(2, "no mark %s was made", text);
}

void wrong(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	exit(1);
}

static int usage(void)
{
	fputs("Usage: planted [--fixed] NAME write|recover|check DISK\n",
	      stderr);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		fprintf(stderr, "  %-13s %s\n", all[i]->name, all[i]->bug);
	return 2;
}

static int run(const struct planted *p, const char *what, int disk, bool fixed)
{
	if (!strcmp(what, "write")) {
		p->write(disk, fixed);
		return 0;
	}
	if (p->recover)
		p->recover(disk, fixed);
	if (!strcmp(what, "check"))
		p->check(disk, fixed);
	else if (strcmp(what, "recover"))
		return usage();
	return 0;
}

int main(int argc, char **argv)
{
	bool fixed = argc > 1 && !strcmp(argv[1], "--fixed");
	int disk;

	argc -= fixed;
	argv += fixed;
	if (argc != 4)
		return usage();
	disk = open(argv[3], O_RDWR);
	if (disk < 0)
		err(2, "%s", argv[3]);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(all[i]->name, argv[1]))
			return run(all[i], argv[2], disk, fixed);
	return usage();
}
