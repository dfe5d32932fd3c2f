/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Planted bug: the commit record goes to the disk with what it commits.
 *
 * A transaction changes two blocks of the disk. Their new content goes to a
 * journal first, then a commit record, which says that the transaction is
 * whole. Nothing is flushed between the two, so the disk may have the record
 * and not the content.
 */
#include "planted.h"

#define TRANSACTIONS	3u
#define HOME		0u		/* the two blocks */
#define COMMIT		(32u << 10)
#define JOURNAL		(64u << 10)	/* two blocks for each transaction */

struct commit {
	uint32_t transaction;		/* the last one that is whole */
	uint8_t unused[SECTOR - 4];
};

static uint64_t journal_of(uint32_t transaction)
{
	return JOURNAL + transaction * 2 * BLOCK;
}

static void transact(int disk, uint32_t number, bool fixed)
{
	struct commit commit = { .transaction = number };
	uint8_t content[BLOCK];

	fill(content, BLOCK, number);
	put(disk, journal_of(number), content, BLOCK);
	put(disk, journal_of(number) + BLOCK, content, BLOCK);
	chatter(disk);
	if (fixed)
		flush(disk);
	put(disk, COMMIT, &commit, sizeof(commit));
	flush(disk);
	mark("committed %u", number);

	put(disk, HOME, content, BLOCK);
	put(disk, HOME + BLOCK, content, BLOCK);
	flush(disk);
}

static void write_transactions(int disk, bool fixed)
{
	for (uint32_t i = 1; i <= TRANSACTIONS; i++)
		transact(disk, i, fixed);
}

static void recover(int disk, bool fixed)
{
	uint8_t content[2 * BLOCK];
	struct commit commit;

	(void)fixed;
	get(disk, COMMIT, &commit, sizeof(commit));
	if (!commit.transaction)
		return;
	get(disk, journal_of(commit.transaction), content, sizeof(content));
	put(disk, HOME, content, sizeof(content));
	flush(disk);
}

static void check(int disk, bool fixed)
{
	uint8_t content[BLOCK];
	struct commit commit;

	(void)fixed;
	get(disk, COMMIT, &commit, sizeof(commit));
	for (unsigned int i = 0; i < 2; i++) {
		get(disk, HOME + i * BLOCK, content, BLOCK);
		if (!is_version(content, BLOCK, commit.transaction))
			wrong("block %u is not as transaction %u, which is "
			      "committed, left it", i, commit.transaction);
	}
}

const struct planted planted_one_epoch = {
	.name = "one-epoch",
	.bug = "commit record and data in one epoch",
	.write = write_transactions,
	.recover = recover,
	.check = check,
};
