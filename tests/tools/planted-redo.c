/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Planted bug: recovery that is not idempotent.
 *
 * The log says by how much the balance changes; recovery adds it all up, writes
 * the balance, and then says how far the log has been applied. After one crash
 * that is right. If recovery itself crashes between the two, the next one adds
 * the same again. The fixed one goes by what the balance itself, in the same
 * sector, says is in it.
 */
#include "planted.h"

#define RECORDS	4u
#define BALANCE	0u
#define APPLIED	(32u << 10)
#define LOG	(64u << 10)		/* a sector for each record */

struct balance {
	uint64_t amount;
	uint32_t records;		/* the last that is in it */
	uint8_t unused[SECTOR - 12];
} __attribute__((packed));

struct applied {
	uint32_t records;
	uint8_t unused[SECTOR - 4];
};

struct record {
	uint32_t number;		/* from 1; 0 = not written */
	uint32_t change;
	uint8_t unused[SECTOR - 8];
};

static void write_log(int disk, bool fixed)
{
	(void)fixed;
	for (uint32_t i = 1; i <= RECORDS; i++) {
		struct record r = { .number = i, .change = 10 * i };

		put(disk, LOG + i * SECTOR, &r, sizeof(r));
		chatter(disk);
		flush(disk);
		mark("record %u", i);
	}
}

static void recover(int disk, bool fixed)
{
	struct applied applied;
	struct balance balance;
	struct record r;
	uint32_t from;

	get(disk, BALANCE, &balance, sizeof(balance));
	get(disk, APPLIED, &applied, sizeof(applied));
	from = fixed ? balance.records : applied.records;
	for (uint32_t i = from + 1; i <= RECORDS; i++) {
		get(disk, LOG + i * SECTOR, &r, sizeof(r));
		if (r.number != i)
			break;
		balance.amount += r.change;
		balance.records = i;
	}
	put(disk, BALANCE, &balance, sizeof(balance));
	flush(disk);
	applied.records = balance.records;
	put(disk, APPLIED, &applied, sizeof(applied));
	flush(disk);
}

static void check(int disk, bool fixed)
{
	struct balance balance;
	struct record r;
	uint64_t sum = 0;

	(void)fixed;
	for (uint32_t i = 1; i <= RECORDS; i++) {
		get(disk, LOG + i * SECTOR, &r, sizeof(r));
		if (r.number != i)
			break;
		sum += r.change;
	}
	get(disk, BALANCE, &balance, sizeof(balance));
	if (balance.amount != sum)
		wrong("the balance is %llu, but the records make %llu",
		      (unsigned long long)balance.amount,
		      (unsigned long long)sum);
}

const struct planted planted_redo = {
	.name = "redo",
	.bug = "recovery that is not idempotent",
	.write = write_log,
	.recover = recover,
	.check = check,
};
