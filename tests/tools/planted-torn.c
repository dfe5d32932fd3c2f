/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Planted bug: a write-ahead log that trusts a torn record.
 *
 * Each record is eight sectors, written at once and flushed. Its first sector
 * says that it is there, and recovery believes it, although a power cut may
 * leave that sector without the others. The fixed one has a checksum.
 */
#include "planted.h"

#define RECORDS	4u
#define HOME	0u
#define LOG	(64u << 10)
#define MAGIC	0x57414c31u

struct record {
	uint32_t magic, number;
	uint32_t sum;			/* of the content */
	uint8_t unused[SECTOR - 12];
	uint8_t content[BLOCK - SECTOR];
};

static void write_log(int disk, bool fixed)
{
	(void)fixed;
	for (uint32_t i = 1; i <= RECORDS; i++) {
		struct record r = { .magic = MAGIC, .number = i };

		fill(r.content, sizeof(r.content), i);
		r.sum = checksum(r.content, sizeof(r.content));
		put(disk, LOG + i * BLOCK, &r, sizeof(r));
		chatter(disk);
		flush(disk);
		mark("record %u", i);
	}
}

static bool is_there(const struct record *r, uint32_t number, bool fixed)
{
	if (r->magic != MAGIC || r->number != number)
		return false;
	return !fixed || r->sum == checksum(r->content, sizeof(r->content));
}

/* The newest record is what the disk is to hold. */
static void recover(int disk, bool fixed)
{
	struct record r, newest = { .number = 0 };

	for (uint32_t i = 1; i <= RECORDS; i++) {
		get(disk, LOG + i * BLOCK, &r, sizeof(r));
		if (!is_there(&r, i, fixed))
			break;
		newest = r;
	}
	if (newest.number)
		put(disk, HOME, &newest, sizeof(newest));
	flush(disk);
}

static void check(int disk, bool fixed)
{
	struct record r;

	(void)fixed;
	get(disk, HOME, &r, sizeof(r));
	if (!is_version(r.content, sizeof(r.content), r.number))
		wrong("what was recovered from record %u is not what was put "
		      "there", r.number);
}

const struct planted planted_torn = {
	.name = "torn",
	.bug = "a write-ahead log that trusts a torn record",
	.write = write_log,
	.recover = recover,
	.check = check,
};
