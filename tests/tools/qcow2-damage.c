/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Damages a sound qcow2 image in one known place.
 *
 * `qcow2-damage --list` prints each kind of damage with the image it is meant
 * for (see tests/58-check.bats); `qcow2-damage KIND IMAGE` does it in place.
 * What a guest offset stands for is found by walking the tables, so that it
 * does not matter who made the image.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPIED		(UINT64_C(1) << 63)
#define COMPRESSED	(UINT64_C(1) << 62)
#define OFFSET		UINT64_C(0x00fffffffffffe00)
#define ZERO		UINT64_C(1)

/* Where the images have what; in clusters of the guest. */
#define SHARED		0	/* data, the snapshot's too */
#define OWN		1	/* data, not the snapshot's */
#define OWN_TOO		2
#define PACKED		3	/* compressed */
#define ZEROED		4	/* reads as zeros, with a cluster */
#define NOTHING		5	/* not allocated */

/* Fields of the header. */
#define H_BITS		20
#define H_L1_SIZE	36
#define H_L1		40
#define H_REFTABLE	48
#define H_NB_SNAPSHOTS	60
#define H_SNAPSHOTS	64
#define H_INCOMPATIBLE	72
#define H_ORDER		96

static int fd;

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "qcow2-damage: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t get64(uint64_t at)
{
	uint64_t v = 0;

	if (pread(fd, &v, 8, (off_t)at) < 0)
		die("reading");
	return be64toh(v);
}

static uint32_t get32(uint64_t at)
{
	uint32_t v = 0;

	if (pread(fd, &v, 4, (off_t)at) < 0)
		die("reading");
	return be32toh(v);
}

static void put(uint64_t at, const void *buf, size_t len)
{
	if (pwrite(fd, buf, len, (off_t)at) != (ssize_t)len)
		die("writing");
}

static void put64(uint64_t at, uint64_t v)
{
	v = htobe64(v);
	put(at, &v, 8);
}

static void put32(uint64_t at, uint32_t v)
{
	v = htobe32(v);
	put(at, &v, 4);
}

static void put16(uint64_t at, uint16_t v)
{
	v = htobe16(v);
	put(at, &v, 2);
}

static void put8(uint64_t at, uint8_t v)
{
	put(at, &v, 1);
}

static uint64_t file_end(void)
{
	struct stat st;

	if (fstat(fd, &st))
		die("fstat");
	return (uint64_t)st.st_size;
}

/* ---- finding one's way ---- */

static unsigned int bits(void)
{
	return get32(H_BITS);
}

static uint64_t cluster_size(void)
{
	return UINT64_C(1) << bits();
}

static bool extl2(void)
{
	return get64(H_INCOMPATIBLE) & 16;
}

static uint64_t l1_at(uint64_t i)
{
	return get64(H_L1) + i * 8;
}

/* Where the L2 entry of guest cluster `n`, below the first table, is. */
static uint64_t l2_at(uint64_t n)
{
	return (get64(l1_at(0)) & OFFSET) + n * (extl2() ? 16 : 8);
}

static uint64_t host_of(uint64_t n)
{
	return get64(l2_at(n)) & OFFSET;
}

static uint64_t reftable(void)
{
	return get64(H_REFTABLE);
}

static void set_refcount(uint64_t host, uint64_t value)
{
	const unsigned int order = get32(4) < 3 ? 4 : get32(H_ORDER);
	const uint64_t cluster = host >> bits();
	const unsigned int block_bits = bits() + 3 - order;
	uint64_t block = get64(reftable() + (cluster >> block_bits) * 8);
	uint64_t i = cluster & ((UINT64_C(1) << block_bits) - 1);
	uint8_t byte;

	switch (order) {
	case 0:
		if (pread(fd, &byte, 1, (off_t)(block + i / 8)) != 1)
			die("reading");
		byte = (uint8_t)((byte & ~(1u << i % 8)) |
				 (unsigned int)value << i % 8);
		put8(block + i / 8, byte);
		return;
	case 3:
		put8(block + i, (uint8_t)value);
		return;
	case 4:
		put16(block + i * 2, (uint16_t)value);
		return;
	case 6:
		put64(block + i * 8, value);
		return;
	default:
		fprintf(stderr, "qcow2-damage: refcount order %u\n", order);
		exit(2);
	}
}

static uint64_t append_cluster(void)
{
	uint64_t end = (file_end() + cluster_size() - 1) &
		       ~(cluster_size() - 1);

	if (ftruncate(fd, (off_t)(end + cluster_size())))
		die("ftruncate");
	return end;
}

/* The data of the header extension of that type. */
static uint64_t extension(uint32_t type)
{
	uint64_t at = get32(100);

	while (get32(at) && get32(at) != type)
		at += 8 + ((get32(at + 4) + 7) & ~UINT64_C(7));
	return at + 8;
}

static uint64_t bitmap_ext(void)
{
	return extension(0x23852875u);
}

static uint64_t bitmap_dir(void)
{
	return get64(bitmap_ext() + 16);
}

static uint64_t bitmap_table(void)
{
	return get64(bitmap_dir());
}

static void xor64(uint64_t at, uint64_t v)
{
	put64(at, get64(at) ^ v);
}

/* ---- the kinds ---- */

static void none(void)
{
}

static void leak(void)
{
	set_refcount(append_cluster(), 1);
}

static void leaks_many(void)
{
	for (int i = 0; i < 5; i++)
		set_refcount(append_cluster(), 2);
}

static void refcount_high(void)
{
	set_refcount(host_of(OWN), 5);
}

static void refcount_low(void)
{
	set_refcount(host_of(SHARED), 1);
}

static void refcount_zero(void)
{
	set_refcount(host_of(OWN), 0);
}

static void refcount_mixed(void)
{
	refcount_low();
	leak();
}

static void refcount_header(void)
{
	set_refcount(0, 0);
}

static void l2_reserved_low(void)
{
	xor64(l2_at(OWN), 0x2);
}

static void l2_reserved_high(void)
{
	xor64(l2_at(OWN), UINT64_C(1) << 58);
}

static void l1_reserved_low(void)
{
	xor64(l1_at(0), 1);
}

static void l1_reserved_high(void)
{
	xor64(l1_at(0), UINT64_C(1) << 60);
}

static void l2_unaligned(void)
{
	xor64(l1_at(1), 512);
}

static void data_unaligned(void)
{
	xor64(l2_at(OWN), 512);
}

static void zero_unaligned(void)
{
	xor64(l2_at(ZEROED), 512);
}

static void copied_shared(void)
{
	xor64(l2_at(SHARED), COPIED);
}

static void copied_missing(void)
{
	xor64(l2_at(OWN), COPIED);
}

static void copied_l1_missing(void)
{
	xor64(l1_at(0), COPIED);
}

static void copied_compressed(void)
{
	xor64(l2_at(PACKED), COPIED);
}

static void copied_and_leak(void)
{
	copied_missing();
	leak();
}

static void past_end_data(void)
{
	put64(l2_at(OWN), UINT64_C(1) << 40 | COPIED);
}

static void past_end_next(void)
{
	uint64_t end = (file_end() + cluster_size() - 1) &
		       ~(cluster_size() - 1);

	put64(l2_at(OWN), end | COPIED);
}

static void past_end_short(void)
{
	/* Half of a cluster is there: that is allowed. */
	uint64_t at = append_cluster();

	if (ftruncate(fd, (off_t)(at + cluster_size() / 2)))
		die("ftruncate");
	put64(l2_at(OWN), at | COPIED);
}

static void past_end_l2(void)
{
	put64(l1_at(1), UINT64_C(1) << 40 | COPIED);
}

static void past_end_compressed(void)
{
	put64(l2_at(NOTHING), COMPRESSED | UINT64_C(1) << 40);
}

static void l1_no_offset(void)
{
	put64(l1_at(1), COPIED);
}

static void l2_shared(void)
{
	put64(l1_at(1), get64(l1_at(0)));
}

static void l2_is_data(void)
{
	put64(l2_at(OWN), (get64(l1_at(1)) & OFFSET) | COPIED);
}

static void data_shared(void)
{
	put64(l2_at(OWN_TOO), get64(l2_at(OWN)));
}

static void data_is_l1(void)
{
	put64(l2_at(OWN), get64(H_L1) | COPIED);
}

static void data_is_reftable(void)
{
	put64(l2_at(OWN), reftable() | COPIED);
}

static void data_is_refblock(void)
{
	put64(l2_at(OWN), get64(reftable()) | COPIED);
}

static void data_is_snapshots(void)
{
	put64(l2_at(OWN), get64(H_SNAPSHOTS) | COPIED);
}

static void l1_is_data(void)
{
	/* The L1 entry leads to a data cluster of the same image. */
	put64(l1_at(1), get64(l2_at(OWN)));
}

static void reftable_reserved(void)
{
	xor64(reftable(), 4);
}

static void refblock_unaligned(void)
{
	xor64(reftable(), 512);
}

static void refblock_past_end(void)
{
	put64(reftable(), (file_end() & ~(cluster_size() - 1)) +
	      16 * cluster_size());
}

static void refblock_spare_past_end(void)
{
	put64(reftable() + 8, (file_end() & ~(cluster_size() - 1)) +
	      16 * cluster_size());
}

static void refblock_twice(void)
{
	put64(reftable() + 8, get64(reftable()));
}

static void refblock_missing(void)
{
	put64(reftable(), 0);
}

static void refblock_zeroed(void)
{
	uint64_t at = get64(reftable());

	for (uint64_t i = 0; i < cluster_size(); i += 8)
		put64(at + i, 0);
}

static void reftable_past_end(void)
{
	put64(H_REFTABLE, (file_end() & ~(cluster_size() - 1)) +
	      16 * cluster_size());
}

static void reftable_is_l1(void)
{
	put64(H_REFTABLE, get64(H_L1));
}

static void snapshot_l1_unaligned(void)
{
	xor64(get64(H_SNAPSHOTS), 512);
}

static void snapshot_l1_large(void)
{
	put32(get64(H_SNAPSHOTS) + 8, 0x7fffffff);
}

static void snapshot_extra_missing(void)
{
	put32(get64(H_SNAPSHOTS) + 36, 0);
}

/* The table anew, with more of it than is allowed. */
static void snapshot_extra_long(void)
{
	const uint64_t old = get64(H_SNAPSHOTS), at = append_cluster();
	const uint32_t extra = 2000, had = get32(old + 36);
	uint8_t row[256] = { 0 };

	if (pread(fd, row, sizeof(row), (off_t)old) < 0)
		die("reading");
	put(at, row, 40 + had);
	put32(at + 36, extra);
	put(at + 40 + extra, row + 40 + had, sizeof(row) - 40 - had);
	set_refcount(at, 1);
	set_refcount(old, 0);
	put64(H_SNAPSHOTS, at);
}

static void snapshot_one_more(void)
{
	put32(H_NB_SNAPSHOTS, get32(H_NB_SNAPSHOTS) + 1);
}

static void snapshots_unaligned(void)
{
	xor64(H_SNAPSHOTS, 512);
}

static void snapshots_past_end(void)
{
	put64(H_SNAPSHOTS, UINT64_C(1) << 40);
}

static void snapshot_l2_entry(void)
{
	uint64_t l1 = get64(get64(H_SNAPSHOTS));

	xor64((get64(l1) & OFFSET) + OWN * 8, 0x4);
}

static void snapshot_zero_unaligned(void)
{
	uint64_t l1 = get64(get64(H_SNAPSHOTS));

	put64((get64(l1) & OFFSET) + NOTHING * 8, host_of(OWN) | 512 | ZERO);
}

/* A table of one snapshot without anything. */
static void snapshot_new(void)
{
	uint64_t at = append_cluster();

	put32(at + 36, 16);
	put64(H_SNAPSHOTS, at);
	put32(H_NB_SNAPSHOTS, 1);
	set_refcount(at, 1);
}

static void bitmap_dir_past_end(void)
{
	put64(bitmap_ext() + 16, UINT64_C(1) << 40);
}

static void bitmap_dir_is_l2(void)
{
	put64(bitmap_ext() + 16, get64(l1_at(0)) & OFFSET);
}

static void bitmap_one_more(void)
{
	put32(bitmap_ext(), get32(bitmap_ext()) + 1);
}

static void bitmap_type(void)
{
	put8(bitmap_dir() + 16, 7);
}

static void bitmap_flags(void)
{
	put32(bitmap_dir() + 12, 0x80);
}

static void bitmap_granularity(void)
{
	put8(bitmap_dir() + 17, 3);
}

static void bitmap_table_unaligned(void)
{
	xor64(bitmap_dir(), 512);
}

static void bitmap_table_is_l1(void)
{
	put64(bitmap_dir(), get64(H_L1));
}

static void bitmap_data_unaligned(void)
{
	put64(bitmap_table(), host_of(OWN) | 512);
}

static void bitmap_data_reserved(void)
{
	xor64(bitmap_table(), 2);
}

static void bitmap_data_shared(void)
{
	put64(bitmap_table(), host_of(OWN));
}

static void bitmap_ignored(void)
{
	/* Without the autoclear bit they are no bitmaps any more: leaks. */
	xor64(88, 1);
}

static void corrupt_bit(void)
{
	xor64(H_INCOMPATIBLE, 2);
}

static void dirty_bit(void)
{
	xor64(H_INCOMPATIBLE, 1);
}

static void dirty_refcounts(void)
{
	dirty_bit();
	refcount_zero();
}

static void corrupt_refcounts(void)
{
	corrupt_bit();
	refcount_low();
}

static void cut(void)
{
	if (ftruncate(fd, (off_t)(file_end() / 2 & ~(cluster_size() - 1))))
		die("ftruncate");
}

static void compressed_data_file(void)
{
	put64(l2_at(NOTHING), COMPRESSED | cluster_size());
}

static void sub_conflict(void)
{
	xor64(l2_at(OWN) + 8, UINT64_C(1) << 32);
}

static void sub_unallocated(void)
{
	put64(l2_at(NOTHING) + 8, 1);
}

static void sub_zero_only(void)
{
	put64(l2_at(NOTHING) + 8, UINT64_C(1) << 33);
}

static void sub_compressed(void)
{
	put64(l2_at(PACKED) + 8, 1);
}

static void sub_zero_unaligned(void)
{
	put64(l2_at(OWN), host_of(OWN) | 512 | COPIED);
	put64(l2_at(OWN) + 8, UINT64_C(0xffff) << 32);
}

static const struct kind {
	const char *name, *image;
	void (*damage)(void);
} kinds[] = {
	{ "none", "full", none },
	{ "none", "bitmaps", none },
	{ "none", "v2", none },
	{ "none", "subclusters", none },
	{ "none", "data-file", none },
	{ "none", "one-bit", none },
	{ "none", "wide", none },
	{ "leak", "full", leak },
	{ "leak", "v2", leak },
	{ "leak", "one-bit", leak },
	{ "leaks-many", "full", leaks_many },
	{ "leaks-many", "wide", leaks_many },
	{ "refcount-high", "full", refcount_high },
	{ "refcount-low", "full", refcount_low },
	{ "refcount-low", "v2", refcount_low },
	{ "refcount-zero", "full", refcount_zero },
	{ "refcount-zero", "v2", refcount_zero },
	{ "refcount-zero", "one-bit", refcount_zero },
	{ "refcount-zero", "wide", refcount_zero },
	{ "refcount-mixed", "full", refcount_mixed },
	{ "refcount-header", "full", refcount_header },
	{ "refcount-overflow", "one-bit", data_shared },
	{ "l2-reserved-low", "full", l2_reserved_low },
	{ "l2-reserved-high", "full", l2_reserved_high },
	{ "l1-reserved-low", "full", l1_reserved_low },
	{ "l1-reserved-high", "full", l1_reserved_high },
	{ "l2-unaligned", "full", l2_unaligned },
	{ "data-unaligned", "full", data_unaligned },
	{ "zero-unaligned", "full", zero_unaligned },
	{ "copied-shared", "full", copied_shared },
	{ "copied-missing", "full", copied_missing },
	{ "copied-missing", "data-file", copied_missing },
	{ "copied-l1-missing", "full", copied_l1_missing },
	{ "copied-compressed", "full", copied_compressed },
	{ "copied-and-leak", "full", copied_and_leak },
	{ "past-end-data", "full", past_end_data },
	{ "past-end-next", "full", past_end_next },
	{ "past-end-short", "full", past_end_short },
	{ "past-end-l2", "full", past_end_l2 },
	{ "past-end-compressed", "full", past_end_compressed },
	{ "l1-no-offset", "full", l1_no_offset },
	{ "l2-shared", "full", l2_shared },
	{ "l2-is-data", "full", l2_is_data },
	{ "data-shared", "full", data_shared },
	{ "data-is-l1", "full", data_is_l1 },
	{ "data-is-reftable", "full", data_is_reftable },
	{ "data-is-refblock", "full", data_is_refblock },
	{ "data-is-snapshots", "full", data_is_snapshots },
	{ "l1-is-data", "full", l1_is_data },
	{ "reftable-reserved", "full", reftable_reserved },
	{ "reftable-past-end", "full", reftable_past_end },
	{ "reftable-is-l1", "full", reftable_is_l1 },
	{ "refblock-unaligned", "full", refblock_unaligned },
	{ "refblock-past-end", "full", refblock_past_end },
	{ "refblock-spare-past-end", "full", refblock_spare_past_end },
	{ "refblock-twice", "full", refblock_twice },
	{ "refblock-missing", "full", refblock_missing },
	{ "refblock-zeroed", "full", refblock_zeroed },
	{ "refblock-zeroed", "one-bit", refblock_zeroed },
	{ "refblock-zeroed", "wide", refblock_zeroed },
	{ "snapshot-l1-unaligned", "full", snapshot_l1_unaligned },
	{ "snapshot-l1-large", "full", snapshot_l1_large },
	{ "snapshot-extra-missing", "full", snapshot_extra_missing },
	{ "snapshot-extra-long", "full", snapshot_extra_long },
	{ "snapshot-one-more", "full", snapshot_one_more },
	{ "snapshots-unaligned", "full", snapshots_unaligned },
	{ "snapshots-past-end", "full", snapshots_past_end },
	{ "snapshot-l2-entry", "full", snapshot_l2_entry },
	{ "snapshot-zero-unaligned", "full", snapshot_zero_unaligned },
	{ "snapshot-data-file", "data-file", snapshot_new },
	{ "bitmap-dir-past-end", "bitmaps", bitmap_dir_past_end },
	{ "bitmap-dir-is-l2", "bitmaps", bitmap_dir_is_l2 },
	{ "bitmap-one-more", "bitmaps", bitmap_one_more },
	{ "bitmap-type", "bitmaps", bitmap_type },
	{ "bitmap-flags", "bitmaps", bitmap_flags },
	{ "bitmap-granularity", "bitmaps", bitmap_granularity },
	{ "bitmap-table-unaligned", "bitmaps", bitmap_table_unaligned },
	{ "bitmap-table-is-l1", "bitmaps", bitmap_table_is_l1 },
	{ "bitmap-data-unaligned", "bitmaps", bitmap_data_unaligned },
	{ "bitmap-data-reserved", "bitmaps", bitmap_data_reserved },
	{ "bitmap-data-shared", "bitmaps", bitmap_data_shared },
	{ "bitmap-ignored", "bitmaps", bitmap_ignored },
	{ "corrupt-bit", "full", corrupt_bit },
	{ "dirty-bit", "full", dirty_bit },
	{ "dirty-refcounts", "full", dirty_refcounts },
	{ "corrupt-refcounts", "full", corrupt_refcounts },
	{ "cut", "full", cut },
	{ "compressed-data-file", "data-file", compressed_data_file },
	{ "sub-conflict", "subclusters", sub_conflict },
	{ "sub-unallocated", "subclusters", sub_unallocated },
	{ "sub-zero-only", "subclusters", sub_zero_only },
	{ "sub-compressed", "subclusters", sub_compressed },
	{ "sub-zero-unaligned", "subclusters", sub_zero_unaligned },
};

#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (size_t i = 0; i < NR_KINDS; i++)
			printf("%s %s\n", kinds[i].name, kinds[i].image);
		return 0;
	}
	if (argc != 3) {
		fputs("Usage: qcow2-damage KIND IMAGE\n"
		      "  or:  qcow2-damage --list\n", stderr);
		return 2;
	}
	fd = open(argv[2], O_RDWR);
	if (fd < 0)
		die(argv[2]);
	for (size_t i = 0; i < NR_KINDS; i++) {
		if (strcmp(argv[1], kinds[i].name))
			continue;
		kinds[i].damage();
		return 0;
	}
	fprintf(stderr, "qcow2-damage: there is no kind '%s'\n", argv[1]);
	return 2;
}
