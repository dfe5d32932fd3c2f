/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Planted bug: the flush is issued before the write has completed.
 *
 * A thread writes data in the background. A flush covers writes that have
 * completed, and this program flushes while the data is still on its way; it
 * waits for the write afterwards, and then writes the index entry that says
 * the data is there.
 *
 * A disk may take any time for a write. So that each run has the same order,
 * here it takes until the flush is over.
 */
#include <pthread.h>
#include <semaphore.h>

#include "planted.h"

#define ITEMS	4u
#define INDEX	0u			/* a sector for each item */
#define DATA	(64u << 10)

struct entry {
	uint32_t item;			/* its data is there; 0 = not yet */
	uint8_t unused[SECTOR - 4];
};

struct background {
	int disk;
	uint32_t item;
	sem_t go;			/* the disk gets round to it */
	pthread_t thread;
};

static void *write_behind(void *arg)
{
	struct background *b = arg;
	uint8_t data[BLOCK];

	fill(data, BLOCK, b->item);
	sem_wait(&b->go);
	put(b->disk, DATA + b->item * BLOCK, data, BLOCK);
	return NULL;
}

static void wait_for(struct background *b)
{
	sem_post(&b->go);
	pthread_join(b->thread, NULL);
}

static void write_item(int disk, uint32_t item, bool fixed)
{
	struct background b = { .disk = disk, .item = item };
	struct entry entry = { .item = item };

	sem_init(&b.go, 0, 0);
	pthread_create(&b.thread, NULL, write_behind, &b);
	chatter(disk);
	if (fixed)
		wait_for(&b);
	flush(disk);
	if (!fixed)
		wait_for(&b);		/* too late */
	put(disk, INDEX + item * SECTOR, &entry, sizeof(entry));
	flush(disk);
	sem_destroy(&b.go);
	mark("item %u", item);
}

static void write_items(int disk, bool fixed)
{
	for (uint32_t item = 1; item <= ITEMS; item++)
		write_item(disk, item, fixed);
}

static void check(int disk, bool fixed)
{
	uint8_t data[BLOCK];
	struct entry entry;

	(void)fixed;
	for (uint32_t item = 1; item <= ITEMS; item++) {
		get(disk, INDEX + item * SECTOR, &entry, sizeof(entry));
		get(disk, DATA + item * BLOCK, data, BLOCK);
		if (entry.item && !is_version(data, BLOCK, item))
			wrong("item %u is in the index, but its data is not "
			      "there", item);
	}
}

const struct planted planted_early_flush = {
	.name = "early-flush",
	.bug = "a flush issued before the write has completed",
	.write = write_items,
	.check = check,
};
