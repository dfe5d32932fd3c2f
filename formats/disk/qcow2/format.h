/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qcow2 on disk: where each field lies, what its bits mean, and the limits.
 *
 * All numbers are big-endian. Source: QEMU docs/interop/qcow2.rst; the limits
 * are those of QEMU's block/qcow2.h, so that what one of the two makes the
 * other opens.
 */
#ifndef PLT_QCOW2_FORMAT_H
#define PLT_QCOW2_FORMAT_H

#include <stdint.h>

#define QCOW2_MAGIC		0x514649fbu	/* "QFI\xfb" */

/* ---- header: byte offsets ---- */

#define QCOW2_HDR_MAGIC			0
#define QCOW2_HDR_VERSION		4
#define QCOW2_HDR_BACKING_OFFSET	8
#define QCOW2_HDR_BACKING_SIZE		16
#define QCOW2_HDR_CLUSTER_BITS		20
#define QCOW2_HDR_SIZE			24
#define QCOW2_HDR_CRYPT_METHOD		32
#define QCOW2_HDR_L1_SIZE		36
#define QCOW2_HDR_L1_OFFSET		40
#define QCOW2_HDR_REFTABLE_OFFSET	48
#define QCOW2_HDR_REFTABLE_CLUSTERS	56
#define QCOW2_HDR_NB_SNAPSHOTS		60
#define QCOW2_HDR_SNAPSHOTS_OFFSET	64
#define QCOW2_HDR_V2_LENGTH		72	/* version 2 ends here */
#define QCOW2_HDR_INCOMPATIBLE		72
#define QCOW2_HDR_COMPATIBLE		80
#define QCOW2_HDR_AUTOCLEAR		88
#define QCOW2_HDR_REFCOUNT_ORDER	96
#define QCOW2_HDR_LENGTH		100
#define QCOW2_HDR_V3_LENGTH		104	/* the least version 3 has */
#define QCOW2_HDR_COMPRESSION		104	/* u8 */
#define QCOW2_HDR_OUR_LENGTH		112	/* what is written today */

#define QCOW2_INCOMPAT_DIRTY		(UINT64_C(1) << 0)
#define QCOW2_INCOMPAT_CORRUPT		(UINT64_C(1) << 1)
#define QCOW2_INCOMPAT_DATA_FILE	(UINT64_C(1) << 2)
#define QCOW2_INCOMPAT_COMPRESSION	(UINT64_C(1) << 3)
#define QCOW2_INCOMPAT_EXTL2		(UINT64_C(1) << 4)
#define QCOW2_INCOMPAT_KNOWN		UINT64_C(0x1f)

#define QCOW2_COMPAT_LAZY_REFCOUNTS	(UINT64_C(1) << 0)

#define QCOW2_AUTOCLEAR_BITMAPS		(UINT64_C(1) << 0)
#define QCOW2_AUTOCLEAR_DATA_RAW	(UINT64_C(1) << 1)
#define QCOW2_AUTOCLEAR_KNOWN		UINT64_C(3)

#define QCOW2_CRYPT_NONE		0
#define QCOW2_CRYPT_AES			1
#define QCOW2_CRYPT_LUKS		2

#define QCOW2_COMPRESSION_ZLIB		0	/* raw deflate */
#define QCOW2_COMPRESSION_ZSTD		1

/* Header extensions: type u32, length u32, data padded to 8 bytes. */
#define QCOW2_EXT_END			0x00000000u
#define QCOW2_EXT_BACKING_FORMAT	0xe2792acau
#define QCOW2_EXT_FEATURE_NAMES		0x6803f857u	/* rows of 48 bytes */
#define QCOW2_EXT_BITMAPS		0x23852875u	/* 24 bytes */
#define QCOW2_EXT_CRYPTO		0x0537be77u	/* 16 bytes */
#define QCOW2_EXT_DATA_FILE		0x44415441u	/* "DATA" */

/* ---- table entries ---- */

#define QCOW2_COPIED			(UINT64_C(1) << 63)
#define QCOW2_L2_COMPRESSED		(UINT64_C(1) << 62)
#define QCOW2_L2_ZERO			(UINT64_C(1) << 0)	/* v3, not extL2 */
#define QCOW2_OFFSET_MASK		UINT64_C(0x00fffffffffffe00)
/* Must be zero in an L1 entry, and in an L2 entry of a standard cluster. */
#define QCOW2_L1_RESERVED		UINT64_C(0x7f000000000001ff)
#define QCOW2_L2_RESERVED		UINT64_C(0x3f000000000001fe)
#define QCOW2_REFTABLE_OFFSET_MASK	UINT64_C(0xfffffffffffffe00)
#define QCOW2_REFTABLE_RESERVED		UINT64_C(0x1ff)

/* ---- snapshots ---- */

#define QCOW2_SNAPSHOT_ROW		40	/* bytes, before extra data */
#define QCOW2_SNAPSHOT_EXTRA_V3		16	/* vmstate64 and disk size */

/* ---- bitmaps ---- */

#define QCOW2_BITMAP_ROW		24	/* bytes of a directory entry */
#define QCOW2_BITMAP_TYPE_DIRTY		1
#define QCOW2_BITMAP_IN_USE		(1u << 0)
#define QCOW2_BITMAP_AUTO		(1u << 1)
#define QCOW2_BITMAP_EXTRA_COMPATIBLE	(1u << 2)
#define QCOW2_BITMAP_RESERVED		0xfffffff8u
#define QCOW2_BITMAP_ALL_ONES		UINT64_C(1)	/* table entry, no offset */

/* ---- limits ---- */

#define QCOW2_MIN_CLUSTER_BITS		9
#define QCOW2_MAX_CLUSTER_BITS		21
#define QCOW2_MIN_EXTL2_CLUSTER_BITS	14
#define QCOW2_SUBCLUSTERS		32
#define QCOW2_MAX_REFCOUNT_ORDER	6
#define QCOW2_MAX_L1_BYTES		(32u << 20)
#define QCOW2_MAX_REFTABLE_BYTES	(8u << 20)
#define QCOW2_MAX_BACKING_NAME		1023
#define QCOW2_MAX_SNAPSHOTS		65536
#define QCOW2_MAX_SNAPSHOT_TABLE	(64u << 20)
#define QCOW2_MAX_SNAPSHOT_EXTRA	1024
#define QCOW2_MAX_BITMAPS		65535
#define QCOW2_MAX_BITMAP_DIRECTORY	(1024u * 65535u)
#define QCOW2_MAX_BITMAP_NAME		1023
#define QCOW2_MAX_BITMAP_RAM		(512u << 20)
#define QCOW2_MIN_GRANULARITY_BITS	9
#define QCOW2_MAX_GRANULARITY_BITS	31
/* Host offsets have 56 bits. */
#define QCOW2_MAX_HOST_OFFSET		(UINT64_C(1) << 56)

#endif
