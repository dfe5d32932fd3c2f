/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes a large qcow2 image whose clusters lie evenly all over the disk, no two
 * of them next to each other, in a moment: only the metadata is written, the
 * clusters themselves are holes of the file.
 *
 * The layout is the one qcow2 has in docs/interop/qcow2.txt of QEMU: header,
 * refcount table, refcount blocks, L1 table; then each L2 table in front of its
 * clusters, as writing the disk from its front to its back makes it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLUSTER_BITS	16
#define CLUSTER		(UINT64_C(1) << CLUSTER_BITS)
#define ENTRIES		(CLUSTER / 8)	/* of an L2 table */
#define REFCOUNTS	(CLUSTER / 2)	/* of a refcount block, 16 bits each */
#define COPIED		(UINT64_C(1) << 63)

static int fd;

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "qcow2-spread: %s\n", what);
	exit(2);
}

static void put(const void *buf, size_t len, uint64_t offset)
{
	if (pwrite(fd, buf, len, (off_t)offset) != (ssize_t)len)
		die(strerror(errno));
}

static uint64_t div_up(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

static void write_header(uint64_t size, uint64_t l1_size, uint64_t l1)
{
	const uint32_t head[26] = {
		htobe32(0x514649fb), htobe32(3), [5] = htobe32(CLUSTER_BITS),
		htobe32((uint32_t)(size >> 32)), htobe32((uint32_t)size),
		[9] = htobe32((uint32_t)l1_size), 0, htobe32((uint32_t)l1),
		0, htobe32((uint32_t)CLUSTER), htobe32(1),
		[24] = htobe32(4), htobe32(104),
	};

	put(head, sizeof(head), 0);
}

/* A count of 1 for each cluster of the file. */
static void write_refcounts(uint64_t blocks, uint64_t clusters)
{
	static uint16_t block[REFCOUNTS];

	for (uint64_t i = 0; i < blocks; i++) {
		uint64_t entry = htobe64((2 + i) * CLUSTER);

		for (uint64_t k = 0; k < REFCOUNTS; k++)
			block[k] = htobe16(i * REFCOUNTS + k < clusters);
		put(&entry, sizeof(entry), CLUSTER + i * sizeof(entry));
		put(block, sizeof(block), (2 + i) * CLUSTER);
	}
}

/* Cluster i of `count` goes to i / count of the disk. Returns the end. */
static uint64_t write_tables(uint64_t size, uint64_t count, uint64_t l1)
{
	static uint64_t table[ENTRIES];
	uint64_t total = size / CLUSTER, i = 0, end = l1 / CLUSTER + 1;

	for (uint64_t first = 0; first < total; first += ENTRIES) {
		uint64_t at = end++ * CLUSTER, entry = htobe64(at | COPIED);

		memset(table, 0, sizeof(table));
		for (; i < count && i * total / count < first + ENTRIES; i++)
			table[i * total / count - first] =
				htobe64(end++ * CLUSTER | COPIED);
		put(table, sizeof(table), at);
		put(&entry, sizeof(entry), l1 + first / ENTRIES * 8);
	}
	return end;
}

int main(int argc, char **argv)
{
	uint64_t size, count, l1_size, clusters, blocks, l1;

	if (argc != 4)
		die("usage: qcow2-spread FILE GIB CLUSTERS");
	size = strtoull(argv[2], NULL, 10) << 30;
	count = strtoull(argv[3], NULL, 10);
	l1_size = div_up(size, ENTRIES * CLUSTER);
	if (!count || count > size / CLUSTER / 2 || l1_size > ENTRIES)
		die("up to 4096 GIB, and up to 8192 CLUSTERS in each");
	/* Those of the blocks themselves are a thousandth of the rest. */
	clusters = 3 + l1_size + count;
	blocks = div_up(clusters + div_up(clusters, REFCOUNTS) + 1, REFCOUNTS);
	clusters += blocks;
	l1 = (2 + blocks) * CLUSTER;
	fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		die(strerror(errno));
	write_header(size, l1_size, l1);
	write_refcounts(blocks, clusters);
	if (write_tables(size, count, l1) != clusters)
		die("the clusters were counted wrongly");
	if (ftruncate(fd, (off_t)(clusters * CLUSTER)))
		die(strerror(errno));
	return 0;
}
