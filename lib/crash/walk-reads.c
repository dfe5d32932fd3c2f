/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Read sets: of each, the hash of what a state holds there.
 *
 * A leaf knows of each of its sectors which sets have it, so a change of a
 * sector changes their hashes as it changes the disk's. All are relative to
 * the base, as that is; so a state that the walk has left behind is compared
 * by reading it. What no entry has written yet is as in the base and counts
 * nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "crash/walk.h"

/* ---- which sectors of a leaf are in a set ---- */

/* A sector counts if any byte of it was read. */
static unsigned int sectors_in(const struct plt_crash_units *u,
			       const struct plt_crash_leaf *leaf,
			       const struct plt_crash_ranges *reads)
{
	const uint64_t bytes = u->crash->sector;
	const uint64_t start = leaf->index * PLT_CRASH_LEAF * bytes;
	const uint64_t end = start + PLT_CRASH_LEAF * bytes;
	size_t low = 0, high = reads->nr, mid;
	unsigned int bits = 0;

	/* The first range that reaches behind the start. */
	while (low < high) {
		mid = low + (high - low) / 2;
		if (reads->range[mid].offset + reads->range[mid].length <=
		    start)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < reads->nr && reads->range[low].offset < end; low++) {
		const uint64_t from = PLT_MAX(reads->range[low].offset, start);
		const uint64_t to = PLT_MIN(reads->range[low].offset +
					    reads->range[low].length, end);

		for (uint64_t s = (from - start) / bytes;
		     s * bytes < to - start; s++)
			bits |= 1u << s;
	}
	return bits;
}

static int mark_leaf(struct plt_crash_leaf *leaf, unsigned int id,
		     unsigned int sectors, struct platter_error *err)
{
	if (!leaf->sets && sectors) {
		leaf->sets = plt_calloc(PLT_CRASH_LEAF, sizeof(*leaf->sets),
					err);
		if (!leaf->sets)
			return -ENOMEM;
	}
	for (unsigned int i = 0; leaf->sets && i < PLT_CRASH_LEAF; i++) {
		leaf->sets[i] &= ~(UINT64_C(1) << id);
		leaf->sets[i] |= (uint64_t)(sectors >> i & 1) << id;
	}
	return 0;
}

int plt_crash_leaf_watch(struct plt_crash_units *u, struct plt_crash_leaf *leaf,
			 struct platter_error *err)
{
	int rc = 0;

	for (uint64_t m = u->sets; m && !rc; m &= m - 1) {
		const unsigned int id = __builtin_ctzll(m);

		rc = mark_leaf(leaf, id, sectors_in(u, leaf, &u->reads[id]),
			       err);
	}
	return rc;
}

/*
 * The leaves that some ranges touch: looked up one by one, or all leaves, if
 * that is less to do.
 */
struct leaves {
	struct plt_crash_units *u;
	const struct plt_crash_ranges *reads;
	bool all;
	uint64_t next;		/* number of a leaf, or its place on the disk */
	size_t range;		/* of reads */
};

static struct leaves leaves_of(struct plt_crash_units *u,
			       const struct plt_crash_ranges *reads)
{
	const uint64_t bytes = (uint64_t)PLT_CRASH_LEAF * u->crash->sector;
	struct leaves it = { .u = u, .reads = reads };
	uint64_t nr = 0;

	for (size_t i = 0; i < reads->nr && nr < u->nr_leaves; i++)
		nr += reads->range[i].length / bytes + 2;
	it.all = nr >= u->nr_leaves;
	return it;
}

/* NULL behind the last. */
static struct plt_crash_leaf *leaves_next(struct leaves *it)
{
	const uint64_t bytes = (uint64_t)PLT_CRASH_LEAF * it->u->crash->sector;

	if (it->all)
		return it->next < it->u->nr_leaves ?
		       plt_crash_leaf_at(it->u, it->next++) : NULL;
	while (it->range < it->reads->nr) {
		const struct platter_crash_range *r =
			&it->reads->range[it->range];
		struct plt_crash_leaf *leaf;

		it->next = PLT_MAX(it->next, r->offset / bytes);
		if (it->next * bytes >= r->offset + r->length) {
			it->range++;
			continue;
		}
		leaf = plt_crash_leaf_find(it->u, it->next++ * PLT_CRASH_LEAF);
		if (leaf)
			return leaf;
	}
	return NULL;
}

/* ---- the hash of a set, from the beginning ---- */

static void add(struct plt_hash128 *sum, struct plt_hash128 now,
		struct plt_hash128 base)
{
	*sum = plt_hash128_add(*sum, plt_hash128_sub(now, base));
}

/* What all and what is durable hold in a leaf that is in the set. */
static int sum_leaf(struct plt_crash_units *u,
		    const struct plt_crash_leaf *leaf, unsigned int id,
		    unsigned int sectors, struct platter_error *err)
{
	const uint64_t first = leaf->index * PLT_CRASH_LEAF;
	struct plt_hash128 base;
	int rc = 0;

	for (unsigned int i = 0; i < PLT_CRASH_LEAF && !rc; i++) {
		if (!(sectors & leaf->known & 1u << i))
			continue;
		rc = plt_crash_base_hash(u, first + i, (first + PLT_CRASH_LEAF)
					 * u->crash->sector, &base, err);
		if (rc)
			break;
		add(&u->all.set[id], plt_crash_shown_hash(u, leaf, i), base);
		add(&u->none.set[id], plt_crash_only_durable_hash(u, leaf, i),
		    base);
	}
	return rc;
}

/* The set that had the number before may have been dropped long ago. */
static int unmark(struct plt_crash_units *u, unsigned int id,
		  struct platter_error *err)
{
	struct leaves it = leaves_of(u, &u->reads[id]);
	struct plt_crash_leaf *leaf;
	int rc = 0;

	while (!rc && (leaf = leaves_next(&it)))
		rc = mark_leaf(leaf, id, 0, err);
	u->reads[id].nr = 0;
	return rc;
}

int plt_crash_units_watch(struct plt_crash_units *u, unsigned int id,
			  const struct plt_crash_ranges *reads,
			  struct platter_error *err)
{
	struct plt_crash_leaf *leaf;
	struct leaves it;
	int rc;

	rc = unmark(u, id, err);
	if (!rc)
		rc = plt_crash_ranges_append(&u->reads[id], reads, err);
	u->sets |= UINT64_C(1) << id;
	memset(&u->all.set[id], 0, sizeof(u->all.set[id]));
	memset(&u->none.set[id], 0, sizeof(u->none.set[id]));
	it = leaves_of(u, reads);
	while (!rc && (leaf = leaves_next(&it))) {
		const unsigned int sectors = sectors_in(u, leaf, reads);

		rc = mark_leaf(leaf, id, sectors, err);
		if (!rc)
			rc = sum_leaf(u, leaf, id, sectors, err);
	}
	return rc;
}

/* One leaf of an image. */
static int sum_image(struct plt_crash_units *u,
		     const struct plt_crash_leaf *leaf, unsigned int sectors,
		     struct platter_image *img, uint8_t *buf,
		     struct plt_hash128 *sum, struct platter_error *err)
{
	const uint64_t bytes = u->crash->sector;
	const uint64_t first = leaf->index * PLT_CRASH_LEAF;
	const uint64_t size = platter_image_size(img);
	struct plt_hash128 base;
	int rc;

	sectors &= leaf->known;
	if (!sectors)
		return 0;
	rc = platter_image_pread(img, buf, PLT_MIN(PLT_CRASH_LEAF * bytes,
						   size - first * bytes),
				 first * bytes, err);
	for (unsigned int i = 0; i < PLT_CRASH_LEAF && !rc; i++) {
		if (!(sectors & 1u << i))
			continue;
		rc = plt_crash_base_hash(u, first + i, (first + PLT_CRASH_LEAF)
					 * bytes, &base, err);
		if (!rc)
			add(sum, plt_crash_sector_hash(
				plt_xxh3_128(buf + i * bytes, bytes),
				first + i), base);
	}
	return rc;
}

int plt_crash_units_read_hash(struct plt_crash_units *u, unsigned int id,
			      struct platter_image *img,
			      struct plt_hash128 *out,
			      struct platter_error *err)
{
	uint8_t *buf plt_auto_free =
		plt_calloc(PLT_CRASH_LEAF, u->crash->sector, err);
	struct leaves it = leaves_of(u, &u->reads[id]);
	const struct plt_crash_leaf *leaf;
	int rc = 0;

	if (!buf)
		return -ENOMEM;
	*out = (struct plt_hash128){ 0, 0 };
	while (!rc && (leaf = leaves_next(&it)))
		rc = sum_image(u, leaf, sectors_in(u, leaf, &u->reads[id]),
			       img, buf, out, err);
	return rc;
}

/* ---- for exploring ---- */

static unsigned int choose_set(struct platter_crash_walk *w)
{
	const uint64_t sets = w->units[0]->sets;
	unsigned int id = 0;

	if (~sets)
		return __builtin_ctzll(~sets);
	for (unsigned int i = 1; i < PLT_CRASH_READ_SETS; i++)
		if (w->used[i] < w->used[id])
			id = i;
	return id;
}

static int hash_of(struct platter_crash_walk *w,
		   const struct platter_crash_state *state, unsigned int id,
		   struct plt_hash128 *out, struct platter_error *err)
{
	struct platter_image *img;
	size_t i = 0;
	int rc = platter_crash_state_image(&img, state, err);

	if (rc)
		return rc;
	/* Those know which sectors may be other than in the base. */
	while (i + 1 < w->nr_units && w->units[i]->discard != state->discard)
		i++;
	rc = plt_crash_units_read_hash(w->units[i], id, img, out, err);
	plt_image_free(img);
	return rc;
}

int plt_crash_walk_add_reads(struct platter_crash_walk *w,
			     const struct plt_crash_ranges *reads,
			     unsigned int *id, struct platter_error *err)
{
	int rc = 0;

	*id = choose_set(w);
	for (size_t i = 0; i < w->nr_units && !rc; i++)
		rc = plt_crash_units_watch(w->units[i], *id, reads, err);
	w->used[*id] = ++w->clock;
	/* The state found last was made when nobody watched. */
	if (!rc && w->state)
		rc = hash_of(w, w->state, *id, &w->candidate.tally.set[*id],
			     err);
	return rc;
}

/* Sectors know of them until their numbers are used again; nobody looks. */
void plt_crash_walk_drop_reads(struct platter_crash_walk *w)
{
	for (size_t i = 0; i < w->nr_units; i++)
		w->units[i]->sets = 0;
}

void plt_crash_walk_read_hash(const struct platter_crash_walk *w,
			      unsigned int id, uint8_t hash[16])
{
	plt_put_le64(hash, w->candidate.tally.set[id].lo);
	plt_put_le64(hash + 8, w->candidate.tally.set[id].hi);
}

int plt_crash_walk_read_hash_of(struct platter_crash_walk *w,
				const struct platter_crash_state *state,
				unsigned int id, uint8_t hash[16],
				struct platter_error *err)
{
	struct plt_hash128 h;
	int rc;

	w->used[id] = ++w->clock;
	rc = hash_of(w, state, id, &h, err);
	if (rc)
		return rc;
	plt_put_le64(hash, h.lo);
	plt_put_le64(hash + 8, h.hi);
	return 0;
}
