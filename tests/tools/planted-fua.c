/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Planted bug: FUA taken for a barrier.
 *
 * The disk holds a tree, of which nothing is ever overwritten: a new version's
 * nodes go to free places, and then the super block, which says where the root
 * is, is written by FUA. That makes the super block durable, and nothing else:
 * the nodes may still be in the disk's cache.
 */
#include "planted.h"

#define VERSIONS	3u
#define NODES		3u		/* in each, the root first */
#define SUPER		0u
#define TREE		(64u << 10)

struct super {
	uint32_t version;
	uint32_t unused;
	uint64_t root;			/* offset on the disk */
	uint8_t rest[SECTOR - 16];
};

static void write_tree(int disk, bool fixed)
{
	for (uint32_t i = 1; i <= VERSIONS; i++) {
		struct super super = { .version = i };
		uint8_t node[BLOCK];

		super.root = TREE + i * NODES * BLOCK;
		fill(node, BLOCK, i);
		for (uint32_t j = 0; j < NODES; j++)
			put(disk, super.root + j * BLOCK, node, BLOCK);
		chatter(disk);
		if (fixed)
			flush(disk);
		put_fua(disk, SUPER, &super, sizeof(super));
		mark("tree %u", i);
	}
}

static void check(int disk, bool fixed)
{
	uint8_t node[BLOCK];
	struct super super;

	(void)fixed;
	get(disk, SUPER, &super, sizeof(super));
	for (uint32_t j = 0; super.version && j < NODES; j++) {
		get(disk, super.root + j * BLOCK, node, BLOCK);
		if (!is_version(node, BLOCK, super.version))
			wrong("node %u of tree %u is not there", j,
			      super.version);
	}
}

const struct planted planted_fua = {
	.name = "fua",
	.bug = "FUA taken for a barrier",
	.write = write_tree,
	.check = check,
};
