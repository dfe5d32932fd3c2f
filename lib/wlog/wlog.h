/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Write logs inside the library: the log object, its index, and the state of
 * the device at a point.
 */
#ifndef PLT_WLOG_WLOG_H
#define PLT_WLOG_WLOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <platter/log.h>

#include "wlog/format.h"

struct plt_wlog_index;

/* Why a walk over the entries ended. */
enum plt_wlog_stop_kind {
	PLT_WLOG_STOP_NONE,
	PLT_WLOG_STOP_EOF,	/* exactly at the end of the storage */
	PLT_WLOG_STOP_ZERO,	/* a header of zeros: nothing written yet */
	PLT_WLOG_STOP_END_MARK,	/* the kernel closed the log here */
	PLT_WLOG_STOP_TORN,	/* an entry that runs past the end */
	PLT_WLOG_STOP_NOT_ENTRY,	/* bytes that are no entry header */
};

struct plt_wlog_stop {
	enum plt_wlog_stop_kind kind;
	uint64_t number;	/* of the entry that is not there */
	uint64_t offset;	/* bytes into the log */
	char text[144];		/* the reason, for people */
};

/* An open log. Immutable but for `summary` and `index`: see <platter/log.h>. */
struct platter_log {
	struct platter_context *ctx;
	struct platter_image *img;	/* the log's storage */
	bool owns_img;
	char *name;
	uint64_t size;			/* bytes of storage */
	uint32_t sector_size;		/* bytes, power of two */
	unsigned int sector_bits;
	bool super_valid;
	uint64_t super_entries;		/* 0 unless super_valid */
	char super_problem[160];	/* why the super block is not believed */
	uint8_t super[32];		/* its bytes */
	char *index_path;		/* sidecar, NULL = none */
	struct platter_log_summary *summary;	/* once scanned */
	struct platter_log_problem *problems;	/* of `summary` */
	size_t nr_problems, room_problems;
	struct plt_wlog_index *index;	/* once built or loaded */
	pthread_mutex_t end_lock;	/* guards `end` */
	struct plt_wlog_stop end;	/* once some cursor has reached it */
};

/* A log on a node that is open already and stays the caller's. */
int plt_wlog_open(struct platter_log **out, struct platter_context *ctx,
		  struct platter_image *img,
		  const struct platter_log_options *opts,
		  struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- reader.c: headers ---- */

/*
 * Headers are read through a window: one sector where entries are large and
 * far apart, up to the whole window where they are small and close.
 */
#define PLT_WLOG_WINDOW (64u << 10)

struct platter_log_cursor {
	struct platter_log *log;
	uint64_t number;	/* of the next entry */
	uint64_t offset;	/* of its header, bytes into the log */
	bool closed;		/* the last entry was the kernel's end mark */
	struct plt_wlog_stop stop;
	uint8_t *buf;		/* PLT_WLOG_WINDOW bytes */
	uint64_t buf_offset;
	size_t buf_len;
	size_t ahead;		/* bytes to read next; 0 = a header */
	bool last_ext;		/* the last entry carries platter's extension */
};

/*
 * Decode and judge the header at `offset`, which is entry `number`.
 * `hdr` holds the header's sector, or its first 64 KiB where sectors are
 * larger. 0 = *entry filled, 1 = no entry (reason in *stop).
 */
int plt_wlog_decode(const struct platter_log *log, const uint8_t *hdr,
		    uint64_t offset, uint64_t number,
		    struct platter_log_entry *entry,
		    struct plt_wlog_stop *stop);
/* Read one entry whose place is known; -EUCLEAN when it is none. */
int plt_wlog_entry_at(struct platter_log *log, uint64_t offset,
		      uint64_t number, uint8_t *hdr,
		      struct platter_log_entry *entry,
		      struct platter_error *err) PLATTER_MUST_CHECK;
/* Why and where the log ends; walks it only if nobody has been there yet. */
int plt_wlog_find_end(struct platter_log *log, struct plt_wlog_stop *end,
		      struct platter_error *err) PLATTER_MUST_CHECK;
/* Bytes of a header that are looked at. */
size_t plt_wlog_header_bytes(const struct platter_log *log);
/* True when a header sector carries platter's extension. */
bool plt_wlog_has_ext(const struct platter_log *log, const uint8_t *hdr);

/* ---- follow.c ---- */

const char *plt_wlog_follow_path(const struct platter_log_follow *f);

/* ---- open.c: believing, doubting and doing without the super block ---- */

/* Set sector_size and super_*; -EINVAL when this is no write log. */
int plt_wlog_read_super(struct platter_log *log, uint32_t force_sector_size,
			struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- index.c ---- */

/*
 * Every entry, and every distinct extent (start, length, discard or not) with
 * the ascending numbers of the entries that wrote it. "Who wrote this sector
 * last before N" is a search among the extents over it and one in the numbers
 * of each. Arrays lie in one block of memory: built, or a mapped sidecar.
 */
struct plt_wlog_index {
	uint64_t nr_entries;
	uint64_t nr_extents;
	uint64_t nr_versions;
	uint64_t nr_marks;
	uint64_t end;			/* bytes of log the entries take */
	uint64_t device_sectors;
	const uint64_t *entries;	/* header offset | flags */
	const uint64_t *starts;		/* log sectors, ascending */
	const uint64_t *lengths;	/* log sectors | PLT_WLOG_EXTENT_DISCARD */
	const uint32_t *first;		/* nr_extents + 1 places in versions */
	const uint32_t *versions;	/* entry numbers */
	const uint32_t *marks;		/* entry numbers */
	/*
	 * reach[0] holds the largest end of each PLT_WLOG_FANOUT extents,
	 * reach[l] the largest of each PLT_WLOG_FANOUT values of reach[l-1].
	 */
	const uint64_t *reach[16];
	uint64_t nr_reach[16];
	unsigned int levels;
	void *memory;			/* what all of them point into */
	size_t memory_size;
	bool mapped;			/* munmap, not free */
};

#define PLT_WLOG_EXTENT_DISCARD	(UINT64_C(1) << 63)
/* Header offsets are multiples of 32, so five flag bits fit below. */
#define PLT_WLOG_OFFSET_MASK	(~UINT64_C(31))
#define PLT_WLOG_FANOUT		32u

struct plt_wlog_counts {
	uint64_t entries, extents, versions, marks;
};

/* Place the arrays for these counts in `memory` (NULL: only measure). */
size_t plt_wlog_index_layout(struct plt_wlog_index *ix, void *memory,
			     const struct plt_wlog_counts *counts);
int plt_wlog_index_build(struct platter_log *log,
			 struct platter_progress *progress,
			 struct plt_wlog_index **out,
			 struct platter_error *err) PLATTER_MUST_CHECK;
void plt_wlog_index_free(struct plt_wlog_index *ix);

static inline uint64_t plt_wlog_extent_end(const struct plt_wlog_index *ix,
					   uint64_t i)
{
	return ix->starts[i] + (ix->lengths[i] & ~PLT_WLOG_EXTENT_DISCARD);
}

/* First extent whose start is >= `sector`. */
uint64_t plt_wlog_index_lower_bound(const struct plt_wlog_index *ix,
				    uint64_t sector);
/*
 * Call `fn` for each extent that starts before `sector` and ends behind it,
 * the last in the index first: of one start that is the longest.
 * A non-zero return stops the walk and is returned.
 */
int plt_wlog_index_stab(const struct plt_wlog_index *ix, uint64_t sector,
			int (*fn)(void *arg, uint64_t extent), void *arg);
/* The last entry in [from, to) that wrote extent i, or UINT32_MAX. */
uint32_t plt_wlog_index_version(const struct plt_wlog_index *ix, uint64_t i,
				uint64_t from, uint64_t to);
/* The number of entries in [from, to) that wrote extent i. */
uint64_t plt_wlog_index_count(const struct plt_wlog_index *ix, uint64_t i,
			      uint64_t from, uint64_t to);

/* ---- sidecar.c ---- */

/* 0 = *out mapped, 1 = none there, -EUCLEAN = there, but not for this log. */
int plt_wlog_sidecar_load(struct platter_log *log, struct plt_wlog_index **out,
			  struct platter_error *err) PLATTER_MUST_CHECK;
int plt_wlog_sidecar_save(struct platter_log *log,
			  const struct plt_wlog_index *ix,
			  struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- state.c: the device at a point ---- */

enum plt_wlog_segment_kind {
	PLT_WLOG_NONE,		/* no entry between the points wrote it */
	PLT_WLOG_DATA,
	PLT_WLOG_ZERO,		/* discarded last */
	/* Bytes nobody wrote, see plt_wlog_noise(): */
	PLT_WLOG_PATTERN,	/* what a discard may leave */
	PLT_WLOG_GARBAGE,	/* what a torn write may leave */
};

struct plt_wlog_segment {
	uint64_t start;		/* device bytes */
	uint64_t length;
	enum plt_wlog_segment_kind kind;
	uint64_t log_offset;	/* DATA: bytes into the log */
	uint32_t entry;		/* DATA: who wrote it; ZERO: the last who did */
};

/* What a range of the device holds, whatever the log says. */
struct plt_wlog_patch {
	uint64_t start, length;	/* device bytes */
	enum plt_wlog_segment_kind kind;
	uint64_t log_offset;	/* DATA */
};

/* Patches that several states have in common; freed with the last hold. */
struct plt_wlog_shared {
	atomic_uint refs;
	size_t nr;
	struct plt_wlog_patch *patches;
	uint64_t *tags;		/* of each, the maker's */
};
void plt_wlog_shared_unref(struct plt_wlog_shared *shared);  /* NULL is ok */

/* The changes the entries in [from, to) make. */
struct plt_wlog_state {
	struct platter_log *log;	/* with an index */
	uint64_t from, to;
	bool no_discard;	/* leave discards out */
	bool pattern_discard;	/* they leave PATTERN, not zeros */
	bool apart;		/* segments of two entries are never merged */
	const struct plt_wlog_patch *patches;	/* ascending, disjoint */
	size_t nr_patches;
	struct plt_wlog_shared *under;	/* below the patches, or NULL */
	struct plt_wlog_resume *resume;	/* or NULL: every call starts anew */
};

/*
 * Where the last call for a state stopped. A walk along the device then goes
 * on from there and does not look again for what lies over its next sector.
 */
int plt_wlog_resume_new(struct plt_wlog_resume **out, struct platter_error *err)
	PLATTER_MUST_CHECK;
void plt_wlog_resume_free(struct plt_wlog_resume *resume);  /* NULL is ok */

/*
 * What [offset, offset + len) holds, as segments that follow each other from
 * `offset` on. *count is the room and then the number; at least one is filled,
 * the last may end early. Neighbours that are both zero are merged. Safe in
 * any number of threads.
 */
int plt_wlog_state_map(const struct plt_wlog_state *state, uint64_t offset,
		       uint64_t len, struct plt_wlog_segment *segs,
		       size_t *count, struct platter_error *err)
	PLATTER_MUST_CHECK;

/*
 * Fill `buf` with what a PATTERN or GARBAGE segment holds at a place of the
 * device: the same bytes on every machine, others for each sector.
 */
void plt_wlog_noise(enum plt_wlog_segment_kind kind, uint64_t offset,
		    void *buf, size_t len);

/* ---- view.c: a state as a node ---- */

/*
 * A node over a state and an optional `base`, which stay the caller's and
 * must outlive it; but the patches, and a hold on those under them, are the
 * node's once it is made. `size` is bytes of the device.
 */
int plt_wlog_view(struct platter_image **out,
		  const struct plt_wlog_state *state,
		  struct platter_image *base, uint64_t size,
		  struct platter_error *err) PLATTER_MUST_CHECK;
/* The map callback behind it, for the writelog driver. */
struct platter_map;
int plt_wlog_state_fill_maps(const struct plt_wlog_state *state,
			     struct platter_image *base, uint64_t offset,
			     uint64_t len, struct platter_map *maps,
			     size_t *count, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* ... and its read_special callback. */
int plt_wlog_state_read_noise(const struct plt_wlog_state *state, void *buf,
			      size_t len, uint64_t offset,
			      struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- point.c: a point of a log that grows ---- */

struct plt_wlog_watch;

/* -EINVAL for what cannot be waited for: end-1, mark:NAME-1. */
int plt_wlog_watch_new(struct plt_wlog_watch **out, const char *text,
		       struct platter_error *err) PLATTER_MUST_CHECK;
void plt_wlog_watch_free(struct plt_wlog_watch *w);	/* NULL is ok */
/* Show it every entry, in order. */
void plt_wlog_watch_meet(struct plt_wlog_watch *w,
			 const struct platter_log_entry *e);
/* Whether the point lies at or before the one behind `entries` entries. */
bool plt_wlog_watch_reached(const struct plt_wlog_watch *w, uint64_t entries);

/* ---- writer.c ---- */

struct plt_wlog_writer {
	struct platter_image *img;	/* open for writing */
	uint32_t sector_size;
	uint64_t end;			/* bytes written so far */
	uint64_t entries;
};

/* Start a log at the beginning of `img`, which grows. */
int plt_wlog_writer_start(struct plt_wlog_writer *w, struct platter_image *img,
			  uint32_t sector_size, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* Append [begin, end) of another log's bytes, which hold `entries` entries. */
int plt_wlog_writer_append(struct plt_wlog_writer *w, struct platter_log *log,
			   uint64_t begin, uint64_t end, uint64_t entries,
			   struct platter_progress *progress,
			   struct platter_error *err) PLATTER_MUST_CHECK;
/* Write the super block, last, so that it never counts what is not there. */
int plt_wlog_writer_finish(struct plt_wlog_writer *w, struct platter_error *err)
	PLATTER_MUST_CHECK;

#endif
