/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the programs with planted bugs share: the disk, and a word about it. */
#ifndef PLANTED_H
#define PLANTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECTOR	512u
#define BLOCK	4096u

/*
 * One program: it writes to a disk, makes it whole again after a crash, and
 * says whether it is. `fixed`: without the bug.
 */
struct planted {
	const char *name;
	const char *bug;
	void (*write)(int disk, bool fixed);
	void (*recover)(int disk, bool fixed);	/* NULL: nothing to do */
	void (*check)(int disk, bool fixed);	/* or wrong() */
};
extern const struct planted planted_double_write;
extern const struct planted planted_early_flush;
extern const struct planted planted_fua;
extern const struct planted planted_one_epoch;
extern const struct planted planted_redo;
extern const struct planted planted_rename;
extern const struct planted planted_torn;

/* Offsets are bytes; each call is one request. They end it when they fail. */
void put(int disk, uint64_t offset, const void *buf, size_t len);
void put_fua(int disk, uint64_t offset, const void *buf, size_t len);
void get(int disk, uint64_t offset, void *buf, size_t len);
void flush(int disk);

/* All bytes of a thing's version follow from its number; version 0 is zeros. */
void fill(void *buf, size_t len, uint32_t version);
bool is_version(const void *buf, size_t len, uint32_t version);
uint32_t checksum(const void *buf, size_t len);

/* Writes nobody relies on, so that there is more than the bug to look at. */
void chatter(int disk);
/* Into the log of the disk, where it is recorded. */
void mark(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The disk is not whole: say so and exit with 1. */
void wrong(const char *fmt, ...)
	__attribute__((noreturn, format(printf, 1, 2)));

#endif
