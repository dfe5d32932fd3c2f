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

int plt_crash_units_watch(struct plt_crash_units *u, unsigned int id,
			  const struct plt_crash_ranges *reads,
			  struct platter_error *err)
{
	int rc;

	u->reads[id].nr = 0;
	rc = plt_crash_ranges_append(&u->reads[id], reads, err);
	u->sets |= UINT64_C(1) << id;
	memset(&u->all.set[id], 0, sizeof(u->all.set[id]));
	memset(&u->none.set[id], 0, sizeof(u->none.set[id]));
	for (uint32_t i = 0; i < u->nr_leaves && !rc; i++) {
		struct plt_crash_leaf *leaf = plt_crash_leaf_at(u, i);
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
	int rc = 0;

	if (!buf)
		return -ENOMEM;
	*out = (struct plt_hash128){ 0, 0 };
	for (uint32_t i = 0; i < u->nr_leaves && !rc; i++) {
		const struct plt_crash_leaf *leaf = plt_crash_leaf_at(u, i);

		rc = sum_image(u, leaf, sectors_in(u, leaf, &u->reads[id]),
			       img, buf, out, err);
	}
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
