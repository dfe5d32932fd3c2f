/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files that check and repair a qcow2 image share.
 *
 * A check counts every reference to every host cluster by walking the tables
 * (check-l2.c, check-extra.c, check-reftable.c), compares that with the stored
 * refcounts (check-refcounts.c), and then the COPIED flags with these
 * (check-copied.c). What is damaged, and how it is counted, is as in QEMU 7.2,
 * so that both give the same verdict.
 *
 * Everything is read from the file and not from the cache: it must be settled.
 */
#ifndef PLT_QCOW2_CHECK_H
#define PLT_QCOW2_CHECK_H

#include "disk/qcow2/qcow2.h"

/* QEMU checks no image of more host clusters than fit an int. */
#define QCOW2_CHECK_MAX_CLUSTERS	((uint64_t)INT32_MAX)

/* ---- check-counts.c: counted references, by host cluster ---- */

#define QCOW2_COUNTS_BITS	14	/* clusters in a piece */
#define QCOW2_COUNTS_PIECE	(UINT64_C(1) << QCOW2_COUNTS_BITS)

/* A piece is NULL while nothing in it is referred to. */
struct plt_qcow2_counts {
	struct plt_qcow2_counts_piece **piece;
	size_t nr_pieces;
	uint64_t clusters;	/* how many are being counted */
};

int plt_qcow2_counts_init(struct plt_qcow2_counts *counts, uint64_t clusters,
			  struct platter_error *err) PLATTER_MUST_CHECK;
/* Count up to `clusters` at least; never fewer than before. */
int plt_qcow2_counts_extend(struct plt_qcow2_counts *counts, uint64_t clusters,
			    struct platter_error *err) PLATTER_MUST_CHECK;
void plt_qcow2_counts_free(struct plt_qcow2_counts *counts);
uint64_t plt_qcow2_counts_get(const struct plt_qcow2_counts *counts,
			      uint64_t cluster);
int plt_qcow2_counts_set(struct plt_qcow2_counts *counts, uint64_t cluster,
			 uint64_t value, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* An active table refers to the cluster, with the COPIED flag or without. */
int plt_qcow2_counts_mark(struct plt_qcow2_counts *counts, uint64_t cluster,
			  bool copied, struct platter_error *err)
	PLATTER_MUST_CHECK;
/*
 * One of the references is by an L1 entry. How many are: 0 also where they are
 * more than 254.
 */
int plt_qcow2_counts_add_table(struct plt_qcow2_counts *counts,
			       uint64_t cluster, struct platter_error *err)
	PLATTER_MUST_CHECK;
uint64_t plt_qcow2_counts_tables(const struct plt_qcow2_counts *counts,
				 uint64_t cluster);
/* Whether the flags marked are right, if the counts are the refcounts. */
bool plt_qcow2_counts_copied_right(const struct plt_qcow2_counts *counts);
/* Do not take the cluster for free, though no reference to it counts. */
int plt_qcow2_counts_keep(struct plt_qcow2_counts *counts, uint64_t cluster,
			  struct platter_error *err) PLATTER_MUST_CHECK;
/* The refcount a repair gives it: what was counted, or 1 for one kept. */
uint64_t plt_qcow2_counts_wanted(const struct plt_qcow2_counts *counts,
				 uint64_t cluster);
/* False when all of [cluster, cluster + nr) has no reference. */
bool plt_qcow2_counts_any(const struct plt_qcow2_counts *counts,
			  uint64_t cluster, uint64_t nr);

/* ---- one check ---- */

/* A row of the snapshot table: what a check wants of it. */
struct plt_qcow2_check_snapshot {
	uint64_t l1_offset;
	uint32_t l1_size;
	uint32_t extra;		/* bytes of extra data */
};

/* What is said to lie behind the end of the file. */
struct plt_qcow2_beyond {
	uint64_t first, end;	/* clusters */
};

/* An L2 entry whose cluster cannot be had, but is not needed for reading. */
struct plt_qcow2_mend {
	uint64_t table;		/* the L2 table it is in */
	uint64_t at;		/* the entry, in the file */
	uint64_t guest;
	uint64_t host;		/* the bad offset */
	uint8_t raw[16];	/* what to put there */
};

struct plt_qcow2_checker {
	struct plt_qcow2 *s;
	struct platter_image *file;
	const struct platter_check_options *opts;
	struct platter_check_result *res;
	bool fix_leaks, fix_errors;
	uint64_t file_size;	/* bytes, rounded up to 512 */
	struct plt_qcow2_counts counts;

	uint64_t *reftable;	/* from disk, native order */
	size_t reftable_entries;
	uint8_t *refblock;	/* the one looked at last */
	uint64_t refblock_at;	/* its index, UINT64_MAX = none */
	int refblock_rc;	/* of reading it */

	struct plt_qcow2_check_snapshot *snapshots;
	uint32_t nr_snapshots;
	uint64_t snapshots_size;	/* bytes of the table */
	bool fix_snapshots;	/* it can be rewritten without a loss */
	uint64_t snapshot_corruptions;	/* what that mends */

	/* Entries of L2 tables that are to read as zeros; see mend_entries(). */
	struct plt_qcow2_mend *mend;
	size_t nr_mend, mend_room;

	struct plt_qcow2_beyond *beyond;
	size_t nr_beyond, beyond_room;

	bool overflow;		/* some cluster had too many references */
	bool rebuild;		/* the refcount structures must be made anew */
	uint64_t mismatches;	/* clusters stored and counted differently */
	bool flags_suspect;	/* not every COPIED flag could be marked */
	bool silent;		/* find, but do not tell or count */
	bool in_structures;	/* counting the refcount structures' own */
	uint64_t structure_corruptions;	/* found then; a rebuild mends them */
	uint64_t highest;	/* the last cluster in use */
	uint64_t done, total;	/* progress, in bytes of tables */
};

enum plt_qcow2_finding {
	QCOW2_FOUND_ERROR,	/* could not be checked */
	QCOW2_FOUND_CORRUPTION,
	QCOW2_FOUND_LEAK,
};

#define QCOW2_NOWHERE	UINT64_MAX

/* Count a damaged place and tell of it. Offsets may be QCOW2_NOWHERE. */
void plt_qcow2_check_found(struct plt_qcow2_checker *c,
			   enum plt_qcow2_finding what, bool fixed,
			   const char *kind, uint64_t offset, uint64_t guest,
			   const char *fmt, ...) PLATTER_PRINTF(7, 8);
/* Read [offset, offset + len) of the file; zeros behind its end. */
int plt_qcow2_check_read(struct plt_qcow2_checker *c, void *buf, size_t len,
			 uint64_t offset, struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_qcow2_check_progress(struct plt_qcow2_checker *c, uint64_t bytes,
			     struct platter_error *err) PLATTER_MUST_CHECK;

/* One more reference to each cluster of [offset, offset + len). */
int plt_qcow2_check_count(struct plt_qcow2_checker *c, uint64_t offset,
			  uint64_t len, const char *what, uint64_t guest,
			  struct platter_error *err) PLATTER_MUST_CHECK;

/* Whether each cluster of [offset, offset + len) is referred to just once. */
bool plt_qcow2_check_alone(const struct plt_qcow2_checker *c, uint64_t offset,
			   uint64_t len);

/* check-l2.c: an L1 table, its L2 tables and what these refer to. */
int plt_qcow2_check_l1(struct plt_qcow2_checker *c, uint64_t l1_offset,
		       uint32_t l1_size, bool active,
		       struct platter_error *err) PLATTER_MUST_CHECK;

/* Called for the L2 tables of an L1 table in its order; `l2` may be changed. */
struct plt_qcow2_l2_visitor {
	int (*visit)(struct plt_qcow2_l2_visitor *self,
		     struct plt_qcow2_checker *c, uint32_t l1_index,
		     uint64_t l2_offset, uint8_t *l2,
		     struct platter_error *err);
};
/* `l1` is in native order. Offset 0, with flags, is a table or it is not. */
int plt_qcow2_check_l2_tables(struct plt_qcow2_checker *c, const uint64_t *l1,
			      uint32_t l1_size, bool with_zero_offset,
			      struct plt_qcow2_l2_visitor *visitor,
			      struct platter_error *err) PLATTER_MUST_CHECK;
/* The same kinds as entry.c's, but of entries that may break every rule. */
enum plt_qcow2_kind plt_qcow2_check_kind(const struct plt_qcow2 *s,
					 uint64_t entry);

/* check-extra.c: the snapshot table, the crypto header, the bitmaps. */
int plt_qcow2_check_read_snapshots(struct plt_qcow2_checker *c,
				   struct platter_error *err)
	PLATTER_MUST_CHECK;
int plt_qcow2_check_snapshots(struct plt_qcow2_checker *c,
			      struct platter_error *err) PLATTER_MUST_CHECK;
int plt_qcow2_check_bitmaps(struct plt_qcow2_checker *c,
			    struct platter_error *err) PLATTER_MUST_CHECK;

/* check-refcounts.c */
int plt_qcow2_check_load_reftable(struct plt_qcow2_checker *c,
				  struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Count the refcount table and its blocks. */
int plt_qcow2_check_reftable(struct plt_qcow2_checker *c,
			     struct platter_error *err) PLATTER_MUST_CHECK;
/* The block of that index in c->refblock: 1 = there is none. */
int plt_qcow2_check_refblock(struct plt_qcow2_checker *c, uint64_t index);
int plt_qcow2_check_stored(struct plt_qcow2_checker *c, uint64_t cluster,
			   uint64_t *out);
/* Compare what is stored with what was counted; changes nothing. */
int plt_qcow2_check_compare(struct plt_qcow2_checker *c,
			    struct platter_error *err) PLATTER_MUST_CHECK;

/* One more of c->mend. */
int plt_qcow2_check_mend(struct plt_qcow2_checker *c,
			 const struct plt_qcow2_mend *mend,
			 struct platter_error *err) PLATTER_MUST_CHECK;

/* check-copied.c: take note of the flag of an active entry, for later. */
int plt_qcow2_check_mark(struct plt_qcow2_checker *c, uint64_t entry,
			 struct platter_error *err) PLATTER_MUST_CHECK;
/* Mends the flags where `repair`. */
int plt_qcow2_check_copied(struct plt_qcow2_checker *c, bool repair,
			   struct platter_error *err) PLATTER_MUST_CHECK;

/*
 * repair.c. May the L2 table there be written to? Not if something else than L1
 * tables refers to its cluster: what looks like a bad entry is then perhaps the
 * guest's data.
 */
bool plt_qcow2_repair_may_write_l2(const struct plt_qcow2_checker *c,
				   uint64_t table);
int plt_qcow2_repair_entries(struct plt_qcow2_checker *c,
			     struct platter_error *err) PLATTER_MUST_CHECK;
/* Store the counted refcounts in the blocks there are. */
int plt_qcow2_repair_refcounts(struct plt_qcow2_checker *c,
			       struct platter_error *err) PLATTER_MUST_CHECK;
/* check.c: count every reference. Without the refcount structures' if told. */
int plt_qcow2_check_count_all(struct plt_qcow2_checker *c, bool structures,
			      struct platter_error *err) PLATTER_MUST_CHECK;
/* repair-rebuild.c: make a new table and new blocks of what is counted. */
int plt_qcow2_repair_rebuild(struct plt_qcow2_checker *c,
			     struct platter_error *err) PLATTER_MUST_CHECK;

#endif
