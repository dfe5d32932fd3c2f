/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The qcow2 driver's own view of an open image, and what its files give to
 * one another.
 *
 * Order of writes (a crash may leak clusters, never corrupt). Metadata changes
 * in memory first, and goes to disk in these steps, each durable before the
 * next begins (writeback.c):
 *   1. new refcount blocks and raised refcounts, and all guest data so far;
 *   2. the refcount table's new entries;
 *   3. L2 tables;
 *   4. L1 entries;
 *   5. lowered refcounts of what 3 and 4 no longer refer to.
 * Step 5 is what the `limbo` list is for: clusters given up are noted there,
 * and their refcounts are lowered only when nothing on disk refers to them and
 * nobody who looked them up is still reading or writing there. Until then they
 * cannot be allocated again.
 *
 * Threads: any number may read and write. `lock` guards everything below that
 * is not constant after open; it is not held while guest data is moved. A range
 * of guest clusters whose allocation is being changed is claimed, and so is an
 * L2 table that is being made: a writer that allocates lets go of `lock` while
 * it moves the data, and others wait and look anew afterwards. What changes the image as a whole
 * (snapshots, resize, amend, check -r) runs alone: the core sees to that.
 */
#ifndef PLT_QCOW2_H
#define PLT_QCOW2_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/sys/driver.h>

#include "base/claims.h"
#include "disk/qcow2/format.h"

/* ---- header.c ---- */

/* A header extension this version does not know: kept as it is. */
struct plt_qcow2_unknown_ext {
	struct plt_qcow2_unknown_ext *next;
	uint32_t type;
	uint32_t len;
	uint8_t data[];
};

/* The header and its extensions, decoded and checked. */
struct plt_qcow2_header {
	uint32_t version;		/* 2 or 3 */
	unsigned int cluster_bits;
	uint64_t size;			/* guest bytes */
	uint32_t crypt_method;
	uint32_t l1_size;		/* entries */
	uint64_t l1_offset;
	uint64_t reftable_offset;
	uint32_t reftable_clusters;
	uint32_t nb_snapshots;
	uint64_t snapshots_offset;
	uint64_t incompatible, compatible, autoclear;
	unsigned int refcount_order;	/* refcounts have 1 << this bits */
	uint32_t length;		/* of the fixed part, as read */
	uint8_t compression;		/* QCOW2_COMPRESSION_* */
	uint8_t *beyond;		/* fixed part behind byte 112, or NULL */
	char *backing_filename;		/* or NULL */
	char *backing_format;		/* or NULL */
	char *data_filename;		/* or NULL */
	bool has_bitmaps;		/* the extension is there */
	uint32_t nb_bitmaps;
	uint64_t bitmap_directory_size, bitmap_directory_offset;
	bool has_crypto;
	uint64_t crypto_offset, crypto_length;
	struct plt_qcow2_unknown_ext *unknown;
};

/*
 * Read and check a header. Every field is within its limit afterwards, every
 * table offset cluster-aligned; whether tables lie inside the file or on one
 * another is for others. PLATTER_O_CHECK in `flags` lets a broken snapshot
 * table or bitmap extension pass. Freed with plt_qcow2_header_free().
 */
int plt_qcow2_header_read(struct plt_qcow2_header *h,
			  struct platter_image *file, unsigned int flags,
			  struct platter_error *err) PLATTER_MUST_CHECK;
void plt_qcow2_header_free(struct plt_qcow2_header *h);
/*
 * The header cluster as bytes, `size` of them, zero-padded: fixed part,
 * extensions, backing file name. -ENOSPC when it does not fit.
 */
int plt_qcow2_header_encode(const struct plt_qcow2_header *h, uint8_t *buf,
			    size_t size, struct platter_error *err)
	PLATTER_MUST_CHECK;
struct plt_qcow2;
/* Rewrite the header cluster with one write, and flush. */
int plt_qcow2_header_write(struct plt_qcow2 *s, struct platter_error *err)
	PLATTER_MUST_CHECK;
/*
 * Rewrite the fixed part only, with one write that no power cut can tear, and
 * flush: for table offsets and feature bits.
 */
int plt_qcow2_header_write_fixed(struct plt_qcow2 *s,
				 struct platter_error *err) PLATTER_MUST_CHECK;
/* Set and clear incompatible and autoclear bits on disk, if they differ. */
int plt_qcow2_set_features(struct plt_qcow2 *s, uint64_t incompatible,
			   uint64_t autoclear, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Mark the image corrupt: from now on it is not written. Returns -EIO. */
int plt_qcow2_corrupt(struct plt_qcow2 *s, struct platter_error *err,
		      const char *fmt, ...) PLATTER_PRINTF(3, 4);

/* ---- the open image ---- */

struct plt_qcow2_cache;		/* cache.c */
struct plt_qcow2_limbo;		/* limbo.c */
struct plt_qcow2_bitmaps;	/* bitmap.c */
struct plt_qcow2_snapshots;	/* snapshot.c */
struct plt_qcow2_inflated;	/* compress.c */

struct plt_qcow2 {
	/* Constant after open. */
	struct platter_image *img;
	struct platter_image *file;	/* metadata */
	struct platter_image *data;	/* guest data: `file`, or a data file */
	struct platter_image *backing;	/* or NULL */
	uint32_t cluster_size;		/* bytes */
	unsigned int cluster_bits;
	bool extl2;
	unsigned int subclusters;	/* 1 or 32 per cluster */
	unsigned int subcluster_bits;	/* log2 of its bytes */
	unsigned int l2_entry_size;	/* 8 or 16 bytes */
	unsigned int l2_bits;		/* log2 of entries in an L2 table */
	unsigned int refblock_bits;	/* log2 of refcounts in a block */
	uint64_t refcount_max;
	unsigned int csize_shift;	/* of a compressed descriptor: */
	uint64_t csize_mask;		/* additional 512-byte sectors */
	uint64_t coffset_mask;		/* host offset */
	bool data_file;			/* guest data is in its own file */
	bool data_raw;			/* ... which is a raw image */
	bool holes;			/* ask the file for holes: holes.c */
	bool snapshot_view;		/* shows an internal snapshot: read only */
	/* Compression, and a few clusters decompressed; it locks itself. */
	struct plt_qcow2_inflated *inflated;

	pthread_mutex_t lock;
	/* Guarded by `lock`. */
	struct plt_qcow2_header h;
	uint64_t *l1;			/* h.l1_size entries, as on disk */
	uint8_t *l1_dirty;		/* a flag for each 512 bytes of it */
	uint64_t *reftable;		/* as on disk */
	size_t reftable_entries;
	uint8_t *reftable_dirty;	/* a flag for each 512 bytes of it */
	struct plt_qcow2_cache *cache;	/* L2 and refcount blocks, in slices */
	struct plt_qcow2_limbo *limbo;
	struct plt_claims claims;	/* guest bytes, whole clusters */
	struct plt_claims tables;	/* numbers of L1 entries */
	bool allocating;		/* a thread is choosing clusters */
	pthread_cond_t allocated;	/* ... no longer */
	/* Bytes of the file that were ever in use: beyond, it is all zeros. */
	uint64_t used_end;
	uint64_t file_size;		/* as it was when we looked last */
	uint64_t free_guess;		/* no free cluster number below this */
	uint64_t compressed_next;	/* host byte for compressed data, 0 = none */
	bool marked_dirty;		/* the dirty bit is set on disk, by us */
	bool broken;			/* found corrupt: no more writes */
	struct plt_qcow2_snapshots *snapshots;	/* loaded table, or NULL */
	struct plt_qcow2_bitmaps *bitmaps;	/* loaded, or NULL */

	/* Only one thread writes metadata back; taken before `lock`. */
	pthread_mutex_t writeback;
};

static inline uint64_t plt_qcow2_l1_index(const struct plt_qcow2 *s,
					  uint64_t guest)
{
	return guest >> (s->cluster_bits + s->l2_bits);
}

static inline uint64_t plt_qcow2_l2_index(const struct plt_qcow2 *s,
					  uint64_t guest)
{
	return (guest >> s->cluster_bits) & ((UINT64_C(1) << s->l2_bits) - 1);
}

/* ---- entry.c: what an L2 entry says ---- */

enum plt_qcow2_kind {
	QCOW2_UNALLOCATED,
	QCOW2_ZERO,		/* reads as zeros, no cluster */
	QCOW2_ZERO_ALLOCATED,	/* reads as zeros, keeps a cluster */
	QCOW2_NORMAL,
	QCOW2_COMPRESSED,
};

/*
 * One guest cluster's entry. With extended L2 a normal cluster has subclusters
 * of different kinds: `alloc` and `zero` are the two halves of its bitmap; one
 * without has them all ones or zeros as its kind says.
 */
struct plt_qcow2_entry {
	enum plt_qcow2_kind kind;	/* with subclusters: of the cluster */
	bool copied;			/* refcount is exactly 1 */
	uint64_t host;			/* cluster, or first compressed byte */
	uint32_t compressed_len;	/* at most so many bytes, rounded up */
	uint32_t alloc, zero;		/* bit per subcluster */
};

/* -EIO with a message when it breaks a rule of the format. */
int plt_qcow2_entry_decode(const struct plt_qcow2 *s, const uint8_t *raw,
			   struct plt_qcow2_entry *out,
			   struct platter_error *err) PLATTER_MUST_CHECK;
/* The inverse; the entry is one that decode gives. */
void plt_qcow2_entry_encode(const struct plt_qcow2 *s,
			    const struct plt_qcow2_entry *e, uint8_t *raw);
/* The kind of subcluster `sub`, 0 <= sub < s->subclusters. */
enum plt_qcow2_kind plt_qcow2_entry_sub(const struct plt_qcow2 *s,
					const struct plt_qcow2_entry *e,
					unsigned int sub);

/* ---- cache.c: tables in memory, a slice at a time. Under `lock`. ---- */

enum plt_qcow2_table {
	QCOW2_TABLE_L2,
	QCOW2_TABLE_REFBLOCK,
};

struct plt_qcow2_slice {
	uint64_t offset;	/* in the file */
	uint8_t *data;		/* plt_qcow2_slice_size() bytes, as on disk */
	/* The rest is cache.c's. */
	enum plt_qcow2_table table;
	unsigned int pins;
	bool dirty, busy, valid, checked;
	struct plt_qcow2_slice *hash_next, *lru_next, *lru_prev;
};

/* A divisor of the cluster size, at most 4096. */
uint32_t plt_qcow2_slice_size(const struct plt_qcow2 *s);
int plt_qcow2_cache_new(struct plt_qcow2_cache **out, struct plt_qcow2 *s,
			size_t bytes, struct platter_error *err)
	PLATTER_MUST_CHECK;
void plt_qcow2_cache_free(struct plt_qcow2_cache *c);	/* NULL is ok */
/*
 * The slice that holds file byte `offset`, pinned; read when it is not there,
 * for which `lock` is let go meanwhile: look at everything anew.
 */
int plt_qcow2_slice_get(struct plt_qcow2 *s, enum plt_qcow2_table table,
			uint64_t offset, struct plt_qcow2_slice **out,
			struct platter_error *err) PLATTER_MUST_CHECK;
void plt_qcow2_slice_put(struct plt_qcow2 *s, struct plt_qcow2_slice *slice);
/* Its data has been changed. */
void plt_qcow2_slice_dirty(struct plt_qcow2 *s, struct plt_qcow2_slice *slice);
/* Forget what is cached of [offset, offset + len), dirty or not. */
void plt_qcow2_cache_drop(struct plt_qcow2 *s, uint64_t offset, uint64_t len);

/* ---- map.c ---- */

int plt_qcow2_map(struct platter_image *img, uint64_t offset, uint64_t len,
		  struct platter_map *maps, size_t *count,
		  struct platter_error *err) PLATTER_MUST_CHECK;
/* The entry of the guest cluster at `guest`. Under `lock`, lets it go. */
int plt_qcow2_lookup(struct plt_qcow2 *s, uint64_t guest,
		     struct plt_qcow2_entry *out, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- holes.c ---- */

/* Whether clusters that are allocated may be holes of the file. At open. */
bool plt_qcow2_has_holes(struct plt_qcow2 *s);

/* ---- compress.c ---- */

int plt_qcow2_inflated_new(struct plt_qcow2 *s, struct platter_error *err)
	PLATTER_MUST_CHECK;
void plt_qcow2_inflated_free(struct plt_qcow2 *s);
/* Forget what was decompressed of guest bytes [offset, offset + len). */
void plt_qcow2_inflated_drop(struct plt_qcow2 *s, uint64_t offset,
			     uint64_t len);
int plt_qcow2_read_special(struct platter_image *img, void *buf, size_t len,
			   uint64_t offset, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_qcow2_compress(struct platter_image *img, const void *in, size_t len,
		       void *out, size_t *out_len, struct platter_error *err)
	PLATTER_MUST_CHECK;

/*
 * ---- refcount.c ----
 *
 * Refcounts as they lie in a block: of 1 << order bits. What comes after these
 * two is under `lock`, and lets it go while it reads.
 */

uint64_t plt_qcow2_refcount_load(const uint8_t *block, uint64_t index,
				 unsigned int order);
void plt_qcow2_refcount_store(uint8_t *block, uint64_t index,
			      unsigned int order, uint64_t value);

int plt_qcow2_reftable_load(struct plt_qcow2 *s, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_qcow2_refcount_get(struct plt_qcow2 *s, uint64_t cluster,
			   uint64_t *out, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Raise the refcounts of [host, host + len) by one; -EFBIG at the maximum. */
int plt_qcow2_refcount_raise(struct plt_qcow2 *s, uint64_t host, uint64_t len,
			     struct platter_error *err) PLATTER_MUST_CHECK;
/*
 * Find `len` bytes (rounded up to clusters) of consecutive free clusters, with
 * refcounts raised to 1 in memory. With `at_least` != NULL fewer may do: *len
 * is then what was found, one cluster or more.
 */
int plt_qcow2_alloc(struct plt_qcow2 *s, uint64_t len, uint64_t *host,
		    struct platter_error *err) PLATTER_MUST_CHECK;
int plt_qcow2_alloc_some(struct plt_qcow2 *s, uint64_t *len, uint64_t *host,
			 struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- limbo.c ---- */

void plt_qcow2_limbo_free(struct plt_qcow2_limbo *limbo);	/* NULL is ok */

/*
 * Give up one reference to each cluster of [host, host + len), once all that
 * refers to them on disk is gone. Cannot fail: what finds no memory leaks.
 */
void plt_qcow2_give_up(struct plt_qcow2 *s, uint64_t host, uint64_t len);
/* And punch holes in the file where nothing uses them any more. */
void plt_qcow2_give_up_discard(struct plt_qcow2 *s, uint64_t host,
			       uint64_t len);
/* The same for one that was allocated and never referred to on disk. */
void plt_qcow2_unalloc(struct plt_qcow2 *s, uint64_t host, uint64_t len);

/* ---- writeback.c ---- */

/* Steps 1 to 4 above. Without `lock`. `durable`: and flush behind the last. */
int plt_qcow2_writeback(struct plt_qcow2 *s, bool durable,
			struct platter_error *err) PLATTER_MUST_CHECK;
/* Steps 1 to 5 while nothing else is under way: for what runs alone. */
int plt_qcow2_settle(struct plt_qcow2 *s, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* The driver's flush: 1 to 5, waiting for I/O under way where 5 needs it. */
int plt_qcow2_flush(struct platter_image *img, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- write.c, zero.c, compressed writes in write-compressed.c ---- */

int plt_qcow2_write(struct platter_image *img, const void *buf, size_t len,
		    uint64_t offset, size_t *done, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_qcow2_write_compressed(struct platter_image *img, const void *data,
			       size_t len, uint64_t offset,
			       struct platter_error *err) PLATTER_MUST_CHECK;
int plt_qcow2_zero(struct platter_image *img, uint64_t offset, uint64_t len,
		   unsigned int flags, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_qcow2_discard(struct platter_image *img, uint64_t offset, uint64_t len,
		      struct platter_error *err) PLATTER_MUST_CHECK;
int plt_qcow2_make_empty(struct platter_image *img, struct platter_error *err)
	PLATTER_MUST_CHECK;
/*
 * Allocate clusters for [offset, offset + len) without writing data, which
 * then reads as zeros: preallocation. Alone.
 */
int plt_qcow2_preallocate(struct plt_qcow2 *s, uint64_t offset, uint64_t len,
			  struct platter_error *err) PLATTER_MUST_CHECK;

/* preallocate.c: the same in one of the modes, as the driver's operation. */
int plt_qcow2_preallocate_mode(struct platter_image *img, uint64_t offset,
			       uint64_t len, enum platter_preallocation mode,
			       struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- overlap.c ---- */

/*
 * Refuse to write [host, host + len) of the file where metadata lies: -EIO,
 * and the image is marked corrupt. `ignore`: what the range is supposed to be.
 */
#define QCOW2_OL_HEADER		(1u << 0)
#define QCOW2_OL_L1		(1u << 1)
#define QCOW2_OL_L2		(1u << 2)
#define QCOW2_OL_REFTABLE	(1u << 3)
#define QCOW2_OL_REFBLOCK	(1u << 4)
#define QCOW2_OL_SNAPSHOTS	(1u << 5)
#define QCOW2_OL_BITMAPS	(1u << 6)
int plt_qcow2_check_overlap(struct plt_qcow2 *s, unsigned int ignore,
			    uint64_t host, uint64_t len,
			    struct platter_error *err) PLATTER_MUST_CHECK;
/* The same question without consequences. With `lock`. */
bool plt_qcow2_overlaps(const struct plt_qcow2 *s, uint64_t host, uint64_t len);

/* ---- resize.c ---- */

int plt_qcow2_resize(struct platter_image *img, uint64_t size,
		     struct platter_error *err) PLATTER_MUST_CHECK;
/* Make the L1 table at least `entries` long. Alone. */
int plt_qcow2_grow_l1(struct plt_qcow2 *s, uint64_t entries,
		      struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- snapshot.c ---- */

/* Loaded at open, as far as `flags` (PLATTER_O_*) allow. */
int plt_qcow2_snapshots_load(struct plt_qcow2 *s, unsigned int flags,
			     struct platter_error *err) PLATTER_MUST_CHECK;
void plt_qcow2_snapshots_free(struct plt_qcow2 *s);
/* Show the snapshot `name` (name or ID): set s->l1, size, snapshot_view. */
int plt_qcow2_snapshot_view(struct plt_qcow2 *s, const char *name,
			    struct platter_error *err) PLATTER_MUST_CHECK;
int plt_qcow2_snapshots_list(struct platter_image *img,
			     const struct platter_snapshot **list,
			     size_t *count, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_qcow2_snapshot_create(struct platter_image *img, const char *name,
			      struct platter_error *err) PLATTER_MUST_CHECK;
int plt_qcow2_snapshot_apply(struct platter_image *img, const char *name,
			     struct platter_error *err) PLATTER_MUST_CHECK;
int plt_qcow2_snapshot_delete(struct platter_image *img, const char *name,
			      struct platter_error *err) PLATTER_MUST_CHECK;
/* Where the L1 table of snapshot `i` is. False behind the last. */
bool plt_qcow2_snapshot_l1(const struct plt_qcow2 *s, size_t i,
			   uint64_t *offset, uint32_t *entries);
/* Bytes of the snapshot table on disk. */
uint64_t plt_qcow2_snapshot_table_size(const struct plt_qcow2 *s);
/* For amend: rewrite the table, e.g. with the extra data version 3 needs. */
int plt_qcow2_snapshots_store(struct plt_qcow2 *s, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- bitmap.c ---- */

/*
 * Loaded at open. For writing: every enabled bitmap is marked in use on disk
 * first. An inconsistent one is kept and left alone.
 */
int plt_qcow2_bitmaps_load(struct plt_qcow2 *s, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Store them, with the in-use marks taken off. At close, and after resize. */
int plt_qcow2_bitmaps_store(struct plt_qcow2 *s, struct platter_error *err)
	PLATTER_MUST_CHECK;
void plt_qcow2_bitmaps_free(struct plt_qcow2 *s);
void plt_qcow2_bitmaps_written(struct platter_image *img, uint64_t offset,
			       uint64_t len);
int plt_qcow2_bitmaps_resize(struct plt_qcow2 *s, uint64_t size,
			     struct platter_error *err) PLATTER_MUST_CHECK;
int plt_qcow2_bitmaps_list(struct platter_image *img,
			   const struct platter_bitmap_info **list,
			   size_t *count, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_qcow2_bitmap_read(struct platter_image *img, const char *name,
			  uint8_t **bits, size_t *len,
			  struct platter_error *err) PLATTER_MUST_CHECK;
int plt_qcow2_bitmap_add(struct platter_image *img,
			 const struct platter_bitmap_info *info,
			 const uint8_t *bits, size_t len,
			 struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- check.c, repair.c ---- */

int plt_qcow2_check(struct platter_image *img,
		    const struct platter_check_options *opts,
		    struct platter_check_result *result,
		    struct platter_error *err) PLATTER_MUST_CHECK;
/* At open for writing: recount refcounts of an image whose dirty bit is set. */
int plt_qcow2_clean_up(struct plt_qcow2 *s, struct platter_error *err)
	PLATTER_MUST_CHECK;

/* ---- create.c, measure.c, amend.c, describe.c ---- */

extern const struct platter_option plt_qcow2_create_options[];
extern const struct platter_option plt_qcow2_amend_options[];
int plt_qcow2_create(struct platter_context *ctx, const char *filename,
		     uint64_t size, struct platter_options *opts,
		     struct platter_error *err) PLATTER_MUST_CHECK;
int plt_qcow2_measure(struct platter_options *opts, struct platter_image *src,
		      uint64_t size, struct platter_measure *out,
		      struct platter_error *err) PLATTER_MUST_CHECK;
/* stream.c: write a new image from front to back. */
int plt_qcow2_stream(struct platter_sink *sink, struct platter_image *src,
		     struct platter_options *opts, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_qcow2_amend(struct platter_image *img, struct platter_options *opts,
		    bool force, struct platter_progress *progress,
		    struct platter_error *err) PLATTER_MUST_CHECK;
int plt_qcow2_change_backing(struct platter_image *img, const char *filename,
			     const char *format, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_qcow2_facts(struct platter_image *img, struct platter_image_facts *out,
		    struct platter_error *err) PLATTER_MUST_CHECK;
int plt_qcow2_describe(struct platter_image *img, struct platter_printer *out,
		       struct platter_error *err) PLATTER_MUST_CHECK;

#endif
