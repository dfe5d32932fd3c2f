/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is known of each sector that something has written: leaves of a hash
 * table, small ones, because logs write here and there.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/units.h"

#define CHUNK	1024u			/* leaves allocated at once */

/* ---- hashes ---- */

static inline uint64_t scramble(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

/* One to one for each sector, so that only equal contents are equal. */
struct plt_hash128 plt_crash_sector_hash(struct plt_hash128 content,
					 uint64_t sector)
{
	struct plt_hash128 h;

	h.lo = scramble(content.lo + sector * UINT64_C(0x9e3779b97f4a7c15));
	h.hi = scramble(content.hi ^ h.lo) + sector;
	h.hi = scramble(h.hi);
	h.lo ^= h.hi * UINT64_C(0xd6e8feb86659fd93);
	return h;
}

void plt_crash_tally_copy(const struct plt_crash_units *u,
			  struct plt_crash_tally *to,
			  const struct plt_crash_tally *from)
{
	to->disk = from->disk;
	for (uint64_t m = u->sets; m; m &= m - 1)
		to->set[__builtin_ctzll(m)] = from->set[__builtin_ctzll(m)];
}

/* ---- leaves ---- */

static size_t slot_of(const struct plt_crash_units *u, uint64_t index)
{
	return scramble(index) & (u->nr_slots - 1);
}

struct plt_crash_leaf *plt_crash_leaf_find(struct plt_crash_units *u,
					   uint64_t sector)
{
	const uint64_t index = sector / PLT_CRASH_LEAF;

	if (u->last && u->last->index == index)
		return u->last;
	for (size_t i = slot_of(u, index); u->slot[i];
	     i = (i + 1) & (u->nr_slots - 1)) {
		struct plt_crash_leaf *leaf =
			plt_crash_leaf_at(u, u->slot[i] - 1);

		if (leaf->index == index) {
			u->last = leaf;
			u->last_id = u->slot[i] - 1;
			return leaf;
		}
	}
	return NULL;
}

static void put_slot(struct plt_crash_units *u, uint32_t id)
{
	size_t i = slot_of(u, plt_crash_leaf_at(u, id)->index);

	while (u->slot[i])
		i = (i + 1) & (u->nr_slots - 1);
	u->slot[i] = id + 1;
}

int plt_crash_units_grow(struct plt_crash_units *u, struct platter_error *err)
{
	const size_t nr = u->nr_slots ? 2 * u->nr_slots : CHUNK;
	uint32_t *slot = plt_calloc(nr, sizeof(*slot), err);

	if (!slot)
		return -ENOMEM;
	free(u->slot);
	u->slot = slot;
	u->nr_slots = nr;
	for (uint32_t id = 0; id < u->nr_leaves; id++)
		put_slot(u, id);
	return 0;
}

static int new_chunk(struct plt_crash_units *u, struct platter_error *err)
{
	struct plt_crash_leaf *leaves;
	int rc;

	rc = plt_grow(&u->chunk, &u->room_chunks, u->nr_chunks + 1,
		      sizeof(*u->chunk), err);
	if (rc)
		return rc;
	leaves = plt_calloc(CHUNK, sizeof(*leaves), err);
	if (!leaves)
		return -ENOMEM;
	u->chunk[u->nr_chunks++] = leaves;
	return 0;
}

static int new_leaf(struct plt_crash_units *u, uint64_t sector,
		    struct plt_crash_leaf **out, struct platter_error *err)
{
	struct plt_crash_leaf *leaf;
	int rc = 0;

	if (u->nr_leaves == PLT_CRASH_LEAVES)
		return plt_err_set(err, -EFBIG, "the log writes more than %u x "
				   "%u sectors, which is the limit",
				   PLT_CRASH_LEAVES, PLT_CRASH_LEAF);
	if ((u->nr_leaves + 1) * 3 > u->nr_slots * 2)
		rc = plt_crash_units_grow(u, err);
	if (!rc && u->nr_leaves / CHUNK == u->nr_chunks)
		rc = new_chunk(u, err);
	if (rc)
		return rc;
	leaf = plt_crash_leaf_at(u, u->nr_leaves);
	memset(leaf, 0, sizeof(*leaf));
	leaf->index = sector / PLT_CRASH_LEAF;
	rc = u->sets ? plt_crash_leaf_watch(u, leaf, err) : 0;
	if (rc)
		return rc;
	put_slot(u, u->nr_leaves);
	u->last = leaf;
	u->last_id = u->nr_leaves++;
	*out = leaf;
	return 0;
}

int plt_crash_units_touch(struct plt_crash_units *u, uint64_t sector,
			  uint64_t end, struct plt_crash_leaf **out,
			  struct platter_error *err)
{
	const unsigned int i = sector % PLT_CRASH_LEAF;
	int rc = 0;

	*out = plt_crash_leaf_find(u, sector);
	if (!*out)
		rc = new_leaf(u, sector, out, err);
	if (rc || (*out)->known & 1u << i)
		return rc;
	rc = plt_crash_base_hash(u, sector, end, &(*out)->hash[i], err);
	if (!rc)
		(*out)->known |= 1u << i;
	return rc;
}
