/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sectors that are neither old nor new: shorn, garbage, and what discards may
 * leave that is not zeros.
 *
 * Of each pending write some units are damaged in turn, and all of it at once,
 * with the others kept and with the others dropped. A shorn sector has the
 * first half of the new bytes and behind it what lies below; that has to be
 * read, from the log or from a node of what was there before the window.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "crash/walk.h"

#define UNITS_MAX	8u		/* damaged in turn, of one write */
#define SECTORS_MAX	(1u << 16)	/* of a write damaged as a whole */

/* ---- what is in a sector ---- */

/* The disk as it was before the window. */
static int open_before(struct platter_crash_walk *w, struct platter_error *err)
{
	const struct platter_crash *c = w->crash;
	const enum platter_crash_discard d = plt_crash_walk_units(w)->discard;
	const struct plt_wlog_state view = {
		.log = c->log, .to = c->flushed[w->point],
		.no_discard = d == PLATTER_CRASH_DISCARD_OLD,
		.pattern_discard = d == PLATTER_CRASH_DISCARD_PATTERN,
	};

	if (w->before && w->before_to == view.to && w->before_discard == d)
		return 0;
	plt_image_free(w->before);
	w->before = NULL;
	w->before_to = view.to;
	w->before_discard = d;
	return plt_wlog_view(&w->before, &view, c->base, c->size, err);
}

/* Bytes of a sector as a version left it, or as it was before the window. */
static int read_version(struct platter_crash_walk *w, uint64_t sector,
			uint32_t number, uint8_t *buf,
			struct platter_error *err)
{
	struct plt_crash_units *u = plt_crash_walk_units(w);
	const uint32_t bytes = w->crash->sector;
	const struct plt_crash_entry *e;
	const uint8_t *data;
	int rc;

	if (!plt_crash_is_live(u, number)) {
		rc = open_before(w, err);
		return rc ? rc : platter_image_pread(w->before, buf, bytes,
						     sector * bytes, err);
	}
	e = &w->crash->entry[u->pending[plt_crash_pending_of(u, number)].entry];
	if (plt_crash_is_discard(e)) {
		memset(buf, 0, bytes);
		if (e->durable <= w->point &&
		    u->discard == PLATTER_CRASH_DISCARD_PATTERN)
			plt_wlog_noise(PLT_WLOG_PATTERN, sector * bytes, buf,
				       bytes);
		return 0;
	}
	rc = plt_crash_units_log(u, e->data_offset + sector * bytes - e->start,
				 bytes, &data, err);
	if (!rc)
		memcpy(buf, data, bytes);
	return rc;
}

static int shorn_hash(struct platter_crash_walk *w, uint64_t sector,
		      uint32_t number, uint32_t below,
		      struct plt_hash128 *out, struct platter_error *err)
{
	const uint32_t bytes = w->crash->sector;
	uint8_t *new plt_auto_free = plt_calloc(2, bytes, err);
	int rc;

	if (!new)
		return -ENOMEM;
	rc = read_version(w, sector, number, new, err);
	if (!rc)
		rc = read_version(w, sector, below, new + bytes, err);
	if (rc)
		return rc;
	memcpy(new + bytes / 2, new + bytes + bytes / 2, bytes - bytes / 2);
	*out = plt_crash_sector_hash(plt_xxh3_128(new, bytes), sector);
	return 0;
}

static int noise_hash(struct platter_crash_walk *w, uint64_t sector,
		      enum plt_wlog_segment_kind kind, struct plt_hash128 *out,
		      struct platter_error *err)
{
	const uint32_t bytes = w->crash->sector;
	uint8_t *buf plt_auto_free = plt_calloc(1, bytes, err);

	if (!buf)
		return -ENOMEM;
	plt_wlog_noise(kind, sector * bytes, buf, bytes);
	*out = plt_crash_sector_hash(plt_xxh3_128(buf, bytes), sector);
	return 0;
}

/* ---- changing the candidate ---- */

/* Number `n` is damaged; what it covers with the others kept or dropped. */
static int damage_version(struct platter_crash_walk *w, uint32_t n,
			  enum platter_crash_fate fate,
			  struct platter_error *err)
{
	struct plt_crash_units *u = plt_crash_walk_units(w);
	const struct plt_crash_version *v = plt_crash_version_at(u, n);
	const struct plt_crash_leaf *leaf = plt_crash_leaf_at(u, v->leaf);
	const uint64_t sector = leaf->index * PLT_CRASH_LEAF + v->sector;
	const bool kept = w->candidate.rest == PLATTER_CRASH_KEPT;
	const uint32_t solid =
		plt_crash_version_at(u, leaf->top[v->sector])->solid;
	uint32_t top = leaf->top[v->sector], below = kept ? v->below : solid;
	struct plt_hash128 hash;
	bool shows;
	int rc;

	shows = kept ? plt_crash_visible(u, &top) && top == n :
		!plt_crash_is_live(u, solid) || plt_crash_is_newer(n, solid);
	if (!shows)
		return 0;
	if (!plt_crash_visible(u, &below))
		below = u->head - 1;
	rc = fate == PLATTER_CRASH_SHORN ?
	     shorn_hash(w, sector, n, below, &hash, err) :
	     noise_hash(w, sector, fate == PLATTER_CRASH_GARBAGE ?
			PLT_WLOG_GARBAGE : PLT_WLOG_PATTERN, &hash, err);
	if (!rc)
		plt_crash_tally_change(u, &w->candidate.tally, leaf, v->sector,
				       kept ? v->hash :
				       plt_crash_durable_hash(u, leaf,
							      v->sector),
				       hash);
	return rc;
}

static int damage(struct platter_crash_walk *w, size_t index, uint32_t first,
		  uint32_t count, enum platter_crash_fate fate,
		  struct platter_error *err)
{
	const struct plt_crash_units *u = plt_crash_walk_units(w);
	const struct plt_crash_item item = {
		.entry = u->pending[index].entry, .first = first,
		.count = count, .fate = fate,
	};
	struct plt_crash_versions it =
		plt_crash_versions_of(&u->pending[index], first, count);
	uint32_t n;
	int rc = plt_crash_candidate_item(w, &item, err);

	while (!rc && plt_crash_versions_next(&it, &n))
		rc = damage_version(w, n, fate, err);
	return rc;
}

/* ---- shorn and garbage ---- */

/* Number `k` of what may be damaged: all of it, or a unit; false: no more. */
static bool place(struct platter_crash_walk *w, size_t index, unsigned int k,
		  uint32_t *first, uint32_t *count)
{
	const uint32_t parts = plt_crash_walk_parts(w, index);
	const uint32_t nr = PLT_MIN(parts, UNITS_MAX);
	uint32_t part;

	if (k > nr || (k && parts == 1))
		return false;
	if (!k) {
		*first = 0;
		*count = plt_crash_walk_sectors(w, index);
		return true;
	}
	w->cursor.skipped |= parts > UNITS_MAX;
	part = (uint64_t)(k - 1) * (parts - 1) / (nr - 1);
	plt_crash_walk_part(w, index, part, part + 1, first, count);
	return true;
}

/* Is it one whose damage can be told, and of the kind? */
static bool fits(struct platter_crash_walk *w, size_t index, bool discard)
{
	const struct plt_crash_units *u = plt_crash_walk_units(w);
	const struct plt_crash_entry *e =
		&w->crash->entry[u->pending[index].entry];

	if (plt_crash_is_discard(e) != discard)
		return false;
	if (plt_crash_walk_sectors(w, index) <= SECTORS_MAX)
		return true;
	w->cursor.skipped = true;
	return false;
}

static int next_damage(struct platter_crash_walk *w, struct platter_error *err)
{
	const enum platter_crash_fate fate =
		w->strategy == PLT_CRASH_SHORN ? PLATTER_CRASH_SHORN :
		PLATTER_CRASH_GARBAGE;
	struct plt_crash_cursor *c = &w->cursor;
	uint32_t first, count;

	for (; c->i < w->nr_choices; c->i++, c->step = 0) {
		const size_t index = w->choice[c->i];
		const bool dropped = c->step & 1;

		if (!fits(w, index, false) ||
		    !place(w, index, c->step / 2, &first, &count))
			continue;
		c->step++;
		plt_crash_candidate_begin(w, dropped ? PLATTER_CRASH_DROPPED :
					  PLATTER_CRASH_KEPT);
		plt_crash_candidate_end(w);
		return damage(w, index, first, count, fate, err);
	}
	return 1;
}

const struct plt_crash_maker plt_crash_make_damage = {
	.begin = plt_crash_walk_choices,
	.next = next_damage,
};

/* ---- pending discards that leave a pattern ---- */

/* A discard of what was zeros anyway has no versions there, but may now. */
static int cover_untouched(struct platter_crash_walk *w, size_t index,
			   struct platter_error *err)
{
	struct plt_crash_units *u = plt_crash_walk_units(w);
	const struct plt_crash_entry *e =
		&w->crash->entry[u->pending[index].entry];
	const uint64_t first = e->start / w->crash->sector;
	const uint64_t end = first + e->length / w->crash->sector;
	struct plt_crash_versions it =
		plt_crash_versions_of(&u->pending[index], 0, UINT32_MAX);
	struct plt_crash_leaf *leaf;
	struct plt_hash128 hash;
	uint32_t n;
	bool more = plt_crash_versions_next(&it, &n);
	int rc = 0;

	for (uint64_t s = first; s < end && !rc; s++) {
		if (more && plt_crash_version_sector(u, n) == s) {
			more = plt_crash_versions_next(&it, &n);
			continue;
		}
		rc = plt_crash_units_touch(u, s, e->start + e->length,
					   &leaf, err);
		/* Who wrote it since is above, kept or durable. */
		if (rc || (leaf->live & 1u << s % PLT_CRASH_LEAF &&
			   (w->candidate.rest == PLATTER_CRASH_KEPT ||
			    plt_crash_is_live(u, plt_crash_version_at(u,
				leaf->top[s % PLT_CRASH_LEAF])->solid))))
			continue;
		rc = noise_hash(w, s, PLT_WLOG_PATTERN, &hash, err);
		if (!rc)
			plt_crash_tally_change(u, &w->candidate.tally, leaf,
					       s % PLT_CRASH_LEAF,
					       leaf->hash[s % PLT_CRASH_LEAF],
					       hash);
	}
	return rc;
}

static int begin_discards(struct platter_crash_walk *w,
			  struct platter_error *err)
{
	(void)err;
	w->cursor.i = plt_crash_walk_units(w)->first;
	return 0;
}

static int next_discard(struct platter_crash_walk *w,
			struct platter_error *err)
{
	struct plt_crash_units *u = plt_crash_walk_units(w);
	struct plt_crash_cursor *c = &w->cursor;
	int rc;

	for (; c->i < u->nr; c->i++, c->step = 0) {
		const size_t index = c->i;

		if (c->step == 2 || u->pending[index].durable ||
		    !fits(w, index, true))
			continue;
		plt_crash_candidate_begin(w, c->step++ ? PLATTER_CRASH_DROPPED :
					  PLATTER_CRASH_KEPT);
		plt_crash_candidate_end(w);
		rc = damage(w, index, 0, plt_crash_walk_sectors(w, index),
			    PLATTER_CRASH_PATTERN, err);
		return rc ? rc : cover_untouched(w, index, err);
	}
	return 1;
}

const struct plt_crash_maker plt_crash_make_discards = {
	.begin = begin_discards,
	.next = next_discard,
};
