/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The dm-log-writes format as it is stored; see platter-write-log(5).
 *
 * Little-endian, counted in log sectors. Sector 0 is the super block; entries
 * follow, each a header that fills one log sector and then its data. Sources:
 * Linux drivers/md/dm-log-writes.c and its admin-guide page, QEMU
 * block/blklogwrites.c, and logs both have written.
 */
#ifndef PLT_WLOG_FORMAT_H
#define PLT_WLOG_FORMAT_H

#include <stdint.h>

#define PLT_WLOG_MAGIC		UINT64_C(0x6a736677736872)
#define PLT_WLOG_VERSION	1

/* Limits QEMU's log-sector-size has had since its commit ba814c82. */
#define PLT_WLOG_SECTOR_MIN	32u
#define PLT_WLOG_SECTOR_MAX	(8u << 20)

/*
 * Entries are numbered in 32 bits throughout the index: 2^32 headers alone are
 * 2 TiB of log at 512-byte sectors.
 */
#define PLT_WLOG_ENTRIES_MAX	UINT32_MAX

struct plt_wlog_disk_super {
	uint64_t magic;
	uint64_t version;
	uint64_t nr_entries;
	uint32_t sector_size;
	/* The kernel writes four bytes more, from its stack: not looked at. */
} __attribute__((packed));

struct plt_wlog_disk_entry {
	uint64_t sector;
	uint64_t nr_sectors;
	uint64_t flags;
	uint64_t data_len;	/* of a mark's text; no guide to data behind */
} __attribute__((packed));

/* Bytes of a header that are looked at. */
#define PLT_WLOG_HEADER_MAX	(64u << 10)

/*
 * platter's recorder keeps issue order and time behind the entry. Bytes 32..39
 * stay zero, because xfstests' replay-log takes a non-zero byte there for a
 * mark; other readers ignore the rest of the sector.
 */
#define PLT_WLOG_EXT_OFFSET	40u
#define PLT_WLOG_EXT_TAG	"pltrext1"

struct plt_wlog_disk_ext {
	char tag[8];
	uint64_t issued;	/* number of the request when it was issued */
	uint64_t time_ns;	/* monotonic clock at completion */
} __attribute__((packed));

/* What the kernel appends when the target is removed cleanly. */
#define PLT_WLOG_END_MARK	"dm-log-writes-end"

#endif
