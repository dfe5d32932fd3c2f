/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Content hashes of the states of a log, as a sum over its log sectors.
 *
 *	units.c			from entry to entry
 *	units-base.c		reading log and base
 *	units-leaf.c		what is known of sectors
 *	units-candidate.c	the hash of a state
 *	walk-reads.c		read sets
 *
 * The hash of a disk is the sum, over its sectors, of a hash of content and
 * number of the sector, less the same of the base. So what nobody ever wrote
 * counts nothing, and a change costs what it touches.
 *
 * A struct plt_crash_units stands at a point. It knows two contents: all that
 * the log wrote so far, and only what is durable; and of every sector that
 * something in the window [flushed[point], point) wrote, the versions. What
 * lies before the window is one hash for each sector.
 */
#ifndef PLT_CRASH_UNITS_H
#define PLT_CRASH_UNITS_H

#include "base/hash.h"
#include "crash/crash.h"

/* A hash of a disk, and of what each read set has of it. */
struct plt_crash_tally {
	struct plt_hash128 disk;
	struct plt_hash128 set[PLT_CRASH_READ_SETS];
};

#define PLT_CRASH_LEAF	16u	/* sectors; a page is eight */

/* Sectors that something has written. */
struct plt_crash_leaf {
	uint64_t index;			/* of the first sector / LEAF */
	uint16_t known;			/* bits: hash[] is filled */
	uint16_t live;			/* bits: top[] is in the window */
	uint32_t top[PLT_CRASH_LEAF];	/* the last version, its number */
	struct plt_hash128 hash[PLT_CRASH_LEAF]; /* before the window */
	uint64_t *sets;			/* of each sector, or NULL */
};

/*
 * What an entry of the window left in a sector. Versions are numbered as they
 * come, modulo 2^32; a number that has left the window stands for what lies
 * before it.
 */
struct plt_crash_version {
	struct plt_hash128 hash;
	uint32_t below;		/* the version it covers */
	/* The last durable one of the sector, this or below. */
	uint32_t solid;
	uint32_t stamp;		/* of the candidate it was looked at for */
	unsigned int leaf : 26;
	unsigned int sector : 4;	/* in the leaf */
	unsigned int same : 1;	/* as all that is below: a no-op */
	unsigned int gone : 1;	/* a discard that did nothing after all */
};
#define PLT_CRASH_LEAVES (1u << 26)

/* Neighbouring sectors of an entry that have versions. */
struct plt_crash_run {
	uint32_t first, count;	/* log sectors of the entry */
	uint32_t version;	/* of the first */
};

/* An entry of the window that wrote something. */
struct plt_crash_pending {
	uint64_t entry;
	bool durable;
	uint32_t nr_runs;
	uint32_t versions;	/* in all its runs */
	struct plt_crash_run one;	/* a write has just this */
	struct plt_crash_run *run;	/* else, a discard's */
};

struct plt_crash_units {
	struct platter_crash *crash;
	enum platter_crash_discard discard;	/* what durable ones leave */
	uint64_t point;
	struct plt_crash_tally all, none;

	struct plt_crash_leaf **chunk;	/* of leaves */
	size_t nr_chunks, room_chunks;
	uint32_t nr_leaves;
	uint32_t *slot;			/* hash table: leaf + 1, 0 = free */
	size_t nr_slots;		/* a power of two */
	struct plt_crash_leaf *last;	/* looked up */
	uint32_t last_id;

	struct plt_crash_version *ring;
	uint32_t ring_size;		/* a power of two */
	uint32_t head, tail;		/* first number, and behind the last */
	struct plt_crash_pending *pending;	/* in the order of the log */
	size_t first, nr, room;		/* first: those before have left */

	uint32_t stamp;
	struct plt_hash128 zero;	/* content of a sector of zeros */
	uint8_t *buf;			/* PLT_CRASH_READ bytes of the log */
	uint64_t buf_offset;
	size_t buf_len;
	uint8_t *base;			/* as much of the base */
	uint64_t base_offset;
	size_t base_len;
	uint64_t extent, extent_end;	/* of the base, bytes, looked at last */
	bool extent_zero;
	uint64_t no_ops;		/* versions that changed nothing */

	struct plt_crash_ranges reads[PLT_CRASH_READ_SETS];
	uint64_t sets;			/* bits: in use */
};

#define PLT_CRASH_READ	(1u << 20)

int plt_crash_units_new(struct plt_crash_units **out,
			struct platter_crash *crash,
			enum platter_crash_discard discard,
			struct platter_error *err) PLATTER_MUST_CHECK;
void plt_crash_units_free(struct plt_crash_units *u);	/* NULL is ok */
/* One entry on. */
int plt_crash_units_advance(struct plt_crash_units *u,
			    struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- units-base.c: reading ---- */

/*
 * `len` bytes of the log at `offset`, at most PLT_CRASH_READ or a sector; good
 * until the next call.
 */
int plt_crash_units_log(struct plt_crash_units *u, uint64_t offset, size_t len,
			const uint8_t **data, struct platter_error *err)
	PLATTER_MUST_CHECK;
/* How far from `offset` on the base is zeros (*zero), or is not. */
int plt_crash_base_extent(struct plt_crash_units *u, uint64_t offset,
			  bool *zero, uint64_t *until,
			  struct platter_error *err) PLATTER_MUST_CHECK;
/* The hash of a sector in the base; up to `end`, bytes, more will be asked. */
int plt_crash_base_hash(struct plt_crash_units *u, uint64_t sector,
			uint64_t end, struct plt_hash128 *out,
			struct platter_error *err) PLATTER_MUST_CHECK;

/* ---- sectors and versions ---- */

/* Of a sector with this content. */
struct plt_hash128 plt_crash_sector_hash(struct plt_hash128 content,
					 uint64_t sector);

/* The leaf of a sector, or NULL when nothing wrote there. */
struct plt_crash_leaf *plt_crash_leaf_find(struct plt_crash_units *u,
					   uint64_t sector);

/*
 * The leaf of a sector, made if need be; what was there before is known then.
 * `end`, bytes: up to there more will be touched.
 */
int plt_crash_units_touch(struct plt_crash_units *u, uint64_t sector,
			  uint64_t end, struct plt_crash_leaf **out,
			  struct platter_error *err) PLATTER_MUST_CHECK;
/* Room for as many leaves again. */
int plt_crash_units_grow(struct plt_crash_units *u, struct platter_error *err)
	PLATTER_MUST_CHECK;

static inline struct plt_crash_leaf *
plt_crash_leaf_at(const struct plt_crash_units *u, uint32_t id)
{
	return &u->chunk[id / 1024][id % 1024];
}

static inline struct plt_crash_version *
plt_crash_version_at(const struct plt_crash_units *u, uint32_t number)
{
	return &u->ring[number & (u->ring_size - 1)];
}

/* Is it in the window? */
static inline bool plt_crash_is_live(const struct plt_crash_units *u,
				     uint32_t number)
{
	return number - u->head < u->tail - u->head;
}

/* Of two numbers, both in the window or one of them before it. */
static inline bool plt_crash_is_newer(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

/* The version from `number` down that shows; false: none of the window. */
static inline bool plt_crash_visible(const struct plt_crash_units *u,
				     uint32_t *number)
{
	while (plt_crash_is_live(u, *number)) {
		const struct plt_crash_version *v =
			plt_crash_version_at(u, *number);

		if (!v->gone)
			return true;
		*number = v->below;
	}
	return false;
}

/* What a sector with a version in the window holds of what is durable. */
static inline struct plt_hash128
plt_crash_durable_hash(const struct plt_crash_units *u,
		       const struct plt_crash_leaf *leaf, unsigned int i)
{
	uint32_t solid = plt_crash_version_at(u, leaf->top[i])->solid;

	if (plt_crash_is_live(u, solid))
		return plt_crash_version_at(u, solid)->hash;
	return leaf->hash[i];
}

/* The same of any sector that was touched. */
static inline struct plt_hash128
plt_crash_only_durable_hash(const struct plt_crash_units *u,
			    const struct plt_crash_leaf *leaf, unsigned int i)
{
	return leaf->live & 1u << i ? plt_crash_durable_hash(u, leaf, i) :
	       leaf->hash[i];
}

/* ... and of all that is written so far. */
static inline struct plt_hash128
plt_crash_shown_hash(const struct plt_crash_units *u,
		     const struct plt_crash_leaf *leaf, unsigned int i)
{
	uint32_t number = leaf->top[i];

	if (leaf->live & 1u << i && plt_crash_visible(u, &number))
		return plt_crash_version_at(u, number)->hash;
	return leaf->hash[i];
}

static inline uint64_t plt_crash_version_sector(const struct plt_crash_units *u,
						uint32_t number)
{
	const struct plt_crash_version *v = plt_crash_version_at(u, number);

	return plt_crash_leaf_at(u, v->leaf)->index * PLT_CRASH_LEAF +
	       v->sector;
}

/* May the version be there or not, and would it matter? */
static inline bool plt_crash_is_choice(const struct plt_crash_units *u,
				       const struct plt_crash_leaf *leaf,
				       uint32_t number)
{
	const struct plt_crash_version *v = plt_crash_version_at(u, number);
	const uint32_t solid =
		plt_crash_version_at(u, leaf->top[v->sector])->solid;

	return !v->gone && !v->same &&
	       (!plt_crash_is_live(u, solid) ||
		plt_crash_is_newer(number, solid));
}

static inline struct plt_hash128 plt_hash128_add(struct plt_hash128 a,
						 struct plt_hash128 b)
{
	return (struct plt_hash128){ a.lo + b.lo, a.hi + b.hi };
}

static inline struct plt_hash128 plt_hash128_sub(struct plt_hash128 a,
						 struct plt_hash128 b)
{
	return (struct plt_hash128){ a.lo - b.lo, a.hi - b.hi };
}

static inline bool plt_hash128_same(struct plt_hash128 a, struct plt_hash128 b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

/* Sector i of a leaf is `now` instead of `before`. */
static inline void plt_crash_tally_change(const struct plt_crash_units *u,
					  struct plt_crash_tally *t,
					  const struct plt_crash_leaf *leaf,
					  unsigned int i,
					  struct plt_hash128 before,
					  struct plt_hash128 now)
{
	const struct plt_hash128 d = plt_hash128_sub(now, before);

	t->disk = plt_hash128_add(t->disk, d);
	if (!u->sets || !leaf->sets)
		return;
	for (uint64_t m = leaf->sets[i]; m; m &= m - 1) {
		struct plt_hash128 *h = &t->set[__builtin_ctzll(m)];

		*h = plt_hash128_add(*h, d);
	}
}

/* Copy what there is of it. */
void plt_crash_tally_copy(const struct plt_crash_units *u,
			  struct plt_crash_tally *to,
			  const struct plt_crash_tally *from);

/* Walks the versions an entry left in some of its sectors. */
struct plt_crash_versions {
	const struct plt_crash_pending *pending;
	uint32_t first, end;	/* sectors of the entry */
	uint32_t run, at;
};
static inline struct plt_crash_versions
plt_crash_versions_of(const struct plt_crash_pending *p, uint32_t first,
		      uint32_t count)
{
	return (struct plt_crash_versions){
		.pending = p, .first = first, .end = first + count,
	};
}
/* False behind the last. */
static inline bool plt_crash_versions_next(struct plt_crash_versions *it,
					   uint32_t *number)
{
	const struct plt_crash_pending *p = it->pending;

	for (; it->run < p->nr_runs; it->run++, it->at = 0) {
		const struct plt_crash_run *r =
			p->run ? &p->run[it->run] : &p->one;

		if (r->first >= it->end)
			return false;
		if (r->first + it->at < it->first)
			it->at = it->first - r->first;
		if (it->at < r->count && r->first + it->at < it->end) {
			*number = r->version + it->at++;
			return true;
		}
	}
	return false;
}

/* The pending[] whose version it is. */
size_t plt_crash_pending_of(const struct plt_crash_units *u, uint32_t number);

/* ---- candidates: the tally of what differs from all or none ---- */

/* A number no version is stamped with. */
uint32_t plt_crash_units_stamp(struct plt_crash_units *u);
/* Stamp the last version of each sector that has one. */
void plt_crash_units_stamp_range(struct plt_crash_units *u, uint64_t sector,
				 uint32_t count, uint32_t stamp);

/* Some sectors of a pending entry: pending[index]. */
struct plt_crash_piece {
	size_t index;
	uint32_t first, count;
};
/* All but the pieces are present. Any order; none overlap in one entry. */
void plt_crash_units_without(struct plt_crash_units *u,
			     const struct plt_crash_piece *piece, size_t nr,
			     struct plt_crash_tally *out);
/* Of what is pending only the pieces are present; in descending order. */
void plt_crash_units_with(struct plt_crash_units *u,
			  const struct plt_crash_piece *piece, size_t nr,
			  struct plt_crash_tally *out);

/* ---- walk-reads.c ---- */

/* Read set `id` is these from now on. */
int plt_crash_units_watch(struct plt_crash_units *u, unsigned int id,
			  const struct plt_crash_ranges *reads,
			  struct platter_error *err) PLATTER_MUST_CHECK;
/* What the read sets say of a leaf that is new. */
int plt_crash_leaf_watch(struct plt_crash_units *u, struct plt_crash_leaf *leaf,
			 struct platter_error *err) PLATTER_MUST_CHECK;
/* The hash of any content of the disk in a read set. */
int plt_crash_units_read_hash(struct plt_crash_units *u, unsigned int id,
			      struct platter_image *img,
			      struct plt_hash128 *out,
			      struct platter_error *err) PLATTER_MUST_CHECK;

#endif
