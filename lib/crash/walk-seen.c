/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The set of hashes that were seen: 16 bytes each, in a table that is between
 * two thirds and 85 % full and grows by a quarter.
 *
 * The set is emptied at each mark, because states on its two sides are
 * different ones whatever they hold; so it never keeps the mark itself.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/walk.h"

#define ROOM_MIN	1024u
#define ROOM_MAX	(UINT64_C(1) << 32)	/* of 32 bits of a hash */

static const struct plt_hash128 free_slot;

/* The slot of a hash, or the free one it belongs in. */
static struct plt_hash128 *find(struct plt_hash128 *slot, uint64_t room,
				struct plt_hash128 hash)
{
	uint64_t i = ((hash.lo >> 32) * room) >> 32;

	while (!plt_hash128_same(slot[i], free_slot) &&
	       !plt_hash128_same(slot[i], hash))
		i = i + 1 < room ? i + 1 : 0;
	return &slot[i];
}

static int grow(struct plt_crash_seen *s, struct platter_error *err)
{
	const uint64_t room = PLT_MAX(s->room + s->room / 4,
				      (uint64_t)ROOM_MIN);
	struct plt_hash128 *slot;

	if (room > ROOM_MAX)
		return plt_err_set(err, -EFBIG, "%llu states since the last "
				   "mark are over the limit",
				   (unsigned long long)s->nr);
	slot = plt_calloc(room, sizeof(*slot), err);
	if (!slot)
		return -ENOMEM;
	for (uint64_t i = 0; i < s->room; i++)
		if (!plt_hash128_same(s->slot[i], free_slot))
			*find(slot, room, s->slot[i]) = s->slot[i];
	free(s->slot);
	s->slot = slot;
	s->room = room;
	return 0;
}

int plt_crash_seen_add(struct plt_crash_seen *s, struct plt_hash128 hash,
		       struct platter_error *err)
{
	struct plt_hash128 *slot;
	int rc;

	if (plt_hash128_same(hash, free_slot)) {
		rc = !s->zero;
		s->zero = true;
		return rc;
	}
	if (s->nr >= s->room / 100 * 85) {
		rc = grow(s, err);
		if (rc)
			return rc;
	}
	slot = find(s->slot, s->room, hash);
	if (plt_hash128_same(*slot, hash))
		return 0;
	*slot = hash;
	s->nr++;
	return 1;
}

void plt_crash_seen_clear(struct plt_crash_seen *s)
{
	s->zero = false;
	if (!s->nr)
		return;
	s->nr = 0;
	if (s->room <= ROOM_MIN)
		memset(s->slot, 0, s->room * sizeof(*s->slot));
	else
		plt_crash_seen_free(s);
}

void plt_crash_seen_free(struct plt_crash_seen *s)
{
	free(s->slot);
	*s = (struct plt_crash_seen){ .nr = 0 };
}
