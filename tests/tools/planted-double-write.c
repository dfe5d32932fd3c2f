/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Planted bug: a double-write buffer without a checksum.
 *
 * Pages are overwritten in place. Lest a power cut leave half of one, its new
 * content goes to a buffer first, is flushed, and is what recovery takes. But
 * the buffer may be torn itself: the half of a page it holds then replaces a
 * page that was whole. The fixed one has a checksum of it.
 */
#include "planted.h"

#define PAGES	2u
#define PAGE	BLOCK
#define ROUNDS	2u
#define BUFFER	(64u << 10)

/* The first sector; the rest is version `version`. */
struct page {
	uint32_t number;		/* from 1 */
	uint32_t version;
	uint32_t sum;			/* of the rest */
	uint8_t unused[SECTOR - 12];
	uint8_t rest[PAGE - SECTOR];
};

static uint64_t home_of(uint32_t number)
{
	return (number - 1) * PAGE;
}

static void write_page(int disk, uint32_t number, uint32_t version)
{
	struct page p = { .number = number, .version = version };

	fill(p.rest, sizeof(p.rest), version);
	p.sum = checksum(p.rest, sizeof(p.rest));
	put(disk, BUFFER, &p, sizeof(p));
	chatter(disk);
	flush(disk);
	put(disk, home_of(number), &p, sizeof(p));
	flush(disk);
	mark("page %u is version %u", number, version);
}

static void write_pages(int disk, bool fixed)
{
	(void)fixed;
	for (uint32_t version = 1; version <= ROUNDS; version++)
		for (uint32_t i = 1; i <= PAGES; i++)
			write_page(disk, i, version);
}

static void recover(int disk, bool fixed)
{
	struct page p;

	get(disk, BUFFER, &p, sizeof(p));
	if (!p.number || p.number > PAGES)
		return;
	if (fixed && p.sum != checksum(p.rest, sizeof(p.rest)))
		return;			/* the page itself is whole */
	put(disk, home_of(p.number), &p, sizeof(p));
	flush(disk);
}

static void check(int disk, bool fixed)
{
	struct page p;

	(void)fixed;
	for (uint32_t i = 1; i <= PAGES; i++) {
		get(disk, home_of(i), &p, sizeof(p));
		if (!is_version(p.rest, sizeof(p.rest), p.version))
			wrong("page %u is torn, and says it is version %u", i,
			      p.version);
	}
}

const struct planted planted_double_write = {
	.name = "double-write",
	.bug = "a double-write buffer without a checksum",
	.write = write_pages,
	.recover = recover,
	.check = check,
};
