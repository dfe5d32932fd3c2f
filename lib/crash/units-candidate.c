/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hash of what differs from all or from none of what is pending.
 *
 * Each sector must count once, however many pieces meet in it. Where pieces
 * are missing, it is the version that shows which counts, and what is below it
 * is found by walking down past those that are stamped as missing. Where only
 * pieces are there, they come the latest first, and the first that shows in a
 * sector stamps the sector's last version: the sector is done.
 */
#include "crash/units.h"

uint32_t plt_crash_units_stamp(struct plt_crash_units *u)
{
	if (++u->stamp == 0) {
		for (uint32_t i = 0; i < u->ring_size; i++)
			u->ring[i].stamp = 0;
		u->stamp = 1;
	}
	return u->stamp;
}

void plt_crash_units_stamp_range(struct plt_crash_units *u, uint64_t sector,
				 uint32_t count, uint32_t stamp)
{
	for (uint64_t s = sector; s < sector + count; s++) {
		const struct plt_crash_leaf *leaf = plt_crash_leaf_find(u, s);
		const unsigned int i = s % PLT_CRASH_LEAF;

		if (leaf && leaf->live & 1u << i)
			plt_crash_version_at(u, leaf->top[i])->stamp = stamp;
	}
}

/* What shows where the stamped versions are missing. */
static struct plt_hash128 without_hash(const struct plt_crash_units *u,
				       const struct plt_crash_leaf *leaf,
				       unsigned int i, uint32_t number,
				       uint32_t stamp)
{
	while (plt_crash_visible(u, &number)) {
		const struct plt_crash_version *v =
			plt_crash_version_at(u, number);

		if (v->stamp != stamp)
			return v->hash;
		number = v->below;
	}
	return leaf->hash[i];
}

void plt_crash_units_without(struct plt_crash_units *u,
			     const struct plt_crash_piece *piece, size_t nr,
			     struct plt_crash_tally *out)
{
	const uint32_t stamp = plt_crash_units_stamp(u);
	struct plt_crash_versions it;
	uint32_t n, top;

	plt_crash_tally_copy(u, out, &u->all);
	for (size_t k = 0; k < nr; k++) {
		it = plt_crash_versions_of(&u->pending[piece[k].index],
					   piece[k].first, piece[k].count);
		while (plt_crash_versions_next(&it, &n))
			plt_crash_version_at(u, n)->stamp = stamp;
	}
	for (size_t k = 0; k < nr; k++) {
		it = plt_crash_versions_of(&u->pending[piece[k].index],
					   piece[k].first, piece[k].count);
		while (plt_crash_versions_next(&it, &n)) {
			const struct plt_crash_version *v =
				plt_crash_version_at(u, n);
			const struct plt_crash_leaf *leaf =
				plt_crash_leaf_at(u, v->leaf);

			top = leaf->top[v->sector];
			if (!plt_crash_visible(u, &top) || top != n)
				continue;
			plt_crash_tally_change(u, out, leaf, v->sector, v->hash,
				without_hash(u, leaf, v->sector, v->below,
					     stamp));
		}
	}
}

void plt_crash_units_with(struct plt_crash_units *u,
			  const struct plt_crash_piece *piece, size_t nr,
			  struct plt_crash_tally *out)
{
	const uint32_t stamp = plt_crash_units_stamp(u);
	struct plt_crash_versions it;
	uint32_t n;

	plt_crash_tally_copy(u, out, &u->none);
	for (size_t k = 0; k < nr; k++) {
		it = plt_crash_versions_of(&u->pending[piece[k].index],
					   piece[k].first, piece[k].count);
		while (plt_crash_versions_next(&it, &n)) {
			const struct plt_crash_version *v =
				plt_crash_version_at(u, n);
			const struct plt_crash_leaf *leaf =
				plt_crash_leaf_at(u, v->leaf);
			struct plt_crash_version *top =
				plt_crash_version_at(u, leaf->top[v->sector]);

			/* The top's stamp is the sector's: a later one won. */
			if (v->gone || top->stamp == stamp ||
			    (plt_crash_is_live(u, top->solid) &&
			     plt_crash_is_newer(top->solid, n)))
				continue;
			top->stamp = stamp;
			plt_crash_tally_change(u, out, leaf, v->sector,
				plt_crash_durable_hash(u, leaf, v->sector),
				v->hash);
		}
	}
}

size_t plt_crash_pending_of(const struct plt_crash_units *u, uint32_t number)
{
	size_t low = u->first, high = u->nr, mid;

	/* Of those without versions, which begin with the same, the last. */
	while (high - low > 1) {
		mid = low + (high - low) / 2;
		if (plt_crash_is_newer(u->pending[mid].one.version, number))
			high = mid;
		else
			low = mid;
	}
	return low;
}
