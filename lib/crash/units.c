/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Content hashes of states: what is there, and the versions of the window.
 *
 * Advancing by one entry hashes its data, once, and puts a version on each of
 * its sectors. When a flush makes entries durable they leave the window from
 * its front, and the last one's hash is what the sector holds. What is durable
 * behind one that is not (FUA) stays as a "solid" version: nothing below it
 * can show any more.
 *
 * Discards are the trickier ones. Where the base has zeros and nobody wrote,
 * they change nothing, so that discarding a whole disk costs nothing. And what
 * one leaves may change as it becomes durable: pending it left zeros, durable
 * whatever durable discards are to leave.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "crash/units.h"

/* Versions at once; half of what their numbers could tell apart. */
#define WINDOW_MAX	(UINT32_C(1) << 31)

/* ---- versions ---- */

static int grow_ring(struct plt_crash_units *u, struct platter_error *err)
{
	const uint32_t size = u->ring_size ? 2 * u->ring_size : 4096;
	struct plt_crash_version *ring;

	if (u->ring_size == WINDOW_MAX)
		return plt_err_set(err, -EFBIG, "over %u sectors are pending "
				   "at point %" PRIu64, WINDOW_MAX, u->point);
	ring = plt_calloc(size, sizeof(*ring), err);
	if (!ring)
		return -ENOMEM;
	for (uint32_t n = u->head; n != u->tail; n++)
		ring[n & (size - 1)] = *plt_crash_version_at(u, n);
	free(u->ring);
	u->ring = ring;
	u->ring_size = size;
	return 0;
}

/* Put a version on top of a sector that has been touched. */
static int push(struct plt_crash_units *u, struct plt_crash_leaf *leaf,
		unsigned int i, struct plt_hash128 hash, bool durable,
		struct platter_error *err)
{
	const bool live = leaf->live & 1u << i;
	const uint32_t none = u->head - 1;
	const struct plt_hash128 shown = plt_crash_shown_hash(u, leaf, i);
	const struct plt_crash_version *top;
	struct plt_crash_version *v;
	int rc;

	if (u->tail - u->head == u->ring_size) {
		rc = grow_ring(u, err);
		if (rc)
			return rc;
	}
	top = live ? plt_crash_version_at(u, leaf->top[i]) : NULL;
	v = plt_crash_version_at(u, u->tail);
	*v = (struct plt_crash_version){
		.hash = hash,
		.below = live ? leaf->top[i] : none,
		.solid = durable ? u->tail : live ? top->solid : none,
		.leaf = u->last_id,
		.sector = i,
		.same = plt_hash128_same(hash, shown) && (!live || top->same),
	};
	u->no_ops += v->same;
	plt_crash_tally_change(u, &u->all, leaf, i, shown, hash);
	if (durable)
		plt_crash_tally_change(u, &u->none, leaf, i,
				       plt_crash_only_durable_hash(u, leaf, i),
				       hash);
	leaf->top[i] = u->tail++;
	leaf->live |= 1u << i;
	return 0;
}

static int new_pending(struct plt_crash_units *u, bool durable,
		       struct plt_crash_pending **out,
		       struct platter_error *err)
{
	int rc;

	/* Move what is left to the front once most has gone. */
	if (u->first > 64 && u->first > u->nr / 2) {
		memmove(u->pending, u->pending + u->first,
			(u->nr - u->first) * sizeof(*u->pending));
		u->nr -= u->first;
		u->first = 0;
	}
	rc = plt_grow(&u->pending, &u->room, u->nr + 1, sizeof(*u->pending),
		      err);
	if (rc)
		return rc;
	*out = &u->pending[u->nr++];
	**out = (struct plt_crash_pending){
		.entry = u->point, .durable = durable,
		.one.version = u->tail,
	};
	return 0;
}

static int add_write(struct plt_crash_units *u,
		     const struct plt_crash_entry *e,
		     struct plt_crash_pending *p, struct platter_error *err)
{
	const uint32_t bytes = u->crash->sector;
	const uint32_t step = PLT_MAX(PLT_CRASH_READ / bytes, 1u);
	const uint32_t sectors = e->length / bytes;
	const uint64_t start = e->start / bytes;
	struct plt_crash_leaf *leaf;
	const uint8_t *data = NULL;
	int rc = 0;

	for (uint32_t s = 0; s < sectors && !rc; s++) {
		if (s % step == 0)
			rc = plt_crash_units_log(u, e->data_offset +
						 (uint64_t)s * bytes,
						 (size_t)bytes *
						 PLT_MIN(step, sectors - s),
						 &data, err);
		if (!rc)
			rc = plt_crash_units_touch(u, start + s,
						   e->start + e->length, &leaf,
						   err);
		if (rc)
			break;
		rc = push(u, leaf, (start + s) % PLT_CRASH_LEAF,
			  plt_crash_sector_hash(
				plt_xxh3_128(data + (size_t)(s % step) * bytes,
					     bytes), start + s),
			  p->durable, err);
		p->one.count += !rc;
	}
	p->nr_runs = 1;
	p->versions = p->one.count;
	return rc;
}

/* ---- discards ---- */

static struct plt_hash128 pattern_hash(struct plt_crash_units *u,
				       uint64_t sector)
{
	const uint32_t bytes = u->crash->sector;

	u->base_len = 0;
	plt_wlog_noise(PLT_WLOG_PATTERN, sector * bytes, u->base, bytes);
	return plt_crash_sector_hash(plt_xxh3_128(u->base, bytes), sector);
}

/*
 * Sectors from `sector` on, up to `end`, that nobody wrote and the base has
 * zeros in: there a discard leaves what is there.
 */
static int untouched(struct plt_crash_units *u, uint64_t sector, uint64_t end,
		     uint64_t *until, struct platter_error *err)
{
	const uint32_t bytes = u->crash->sector;
	struct plt_crash_leaf *leaf;
	uint64_t extent;
	bool zero;
	int rc;

	*until = sector;
	rc = plt_crash_base_extent(u, sector * bytes, &zero, &extent, err);
	if (rc || !zero)
		return rc;
	end = PLT_MIN(end, extent / bytes);
	while (*until < end) {
		leaf = plt_crash_leaf_find(u, *until);
		if (!leaf)
			*until = PLT_MIN(end, (*until / PLT_CRASH_LEAF + 1) *
					 PLT_CRASH_LEAF);
		else if (leaf->known & 1u << *until % PLT_CRASH_LEAF)
			break;
		else
			++*until;
	}
	return 0;
}

static int add_run(struct plt_crash_pending *p, uint32_t first,
		   uint32_t version, struct platter_error *err)
{
	struct plt_crash_run *last = p->nr_runs ? &p->run[p->nr_runs - 1] :
				     NULL;
	size_t room = p->nr_runs;

	if (last && last->first + last->count == first) {
		last->count++;
		return 0;
	}
	/* Powers of two, so that the count tells the room. */
	if (!(p->nr_runs & (p->nr_runs - 1))) {
		room = p->nr_runs ? 2 * p->nr_runs : 1;
		last = realloc(p->run, room * sizeof(*p->run));
		if (!last)
			return plt_err_nomem(err, room * sizeof(*p->run));
		p->run = last;
	}
	p->run[p->nr_runs++] = (struct plt_crash_run){
		.first = first, .count = 1, .version = version,
	};
	return 0;
}

static int add_discard(struct plt_crash_units *u,
		       const struct plt_crash_entry *e,
		       struct plt_crash_pending *p, struct platter_error *err)
{
	const uint32_t bytes = u->crash->sector;
	const uint64_t start = e->start / bytes;
	const uint64_t end = start + e->length / bytes;
	const bool pattern = u->discard == PLATTER_CRASH_DISCARD_PATTERN;
	struct plt_crash_leaf *leaf;
	uint64_t until;
	int rc = 0;

	for (uint64_t s = start; s < end && !rc; s++) {
		if (!pattern) {
			rc = untouched(u, s, end, &until, err);
			s = until;
			if (rc || s == end)
				break;
		}
		rc = plt_crash_units_touch(u, s, e->start + e->length, &leaf,
					   err);
		if (!rc)
			rc = add_run(p, s - start, u->tail, err);
		if (!rc)
			rc = push(u, leaf, s % PLT_CRASH_LEAF,
				  p->durable && pattern ? pattern_hash(u, s) :
				  plt_crash_sector_hash(u->zero, s),
				  p->durable, err);
		p->versions += !rc;
	}
	return rc;
}

/* ---- what becomes durable ---- */

static void no_longer_same(struct plt_crash_units *u,
			   const struct plt_crash_leaf *leaf, uint32_t number)
{
	uint32_t n = leaf->top[plt_crash_version_at(u, number)->sector];

	while (n != number) {
		plt_crash_version_at(u, n)->same = 0;
		n = plt_crash_version_at(u, n)->below;
	}
	plt_crash_version_at(u, number)->same = 0;
}

/* A discard becomes what durable discards are. */
static void settle_discard(struct plt_crash_units *u,
			   struct plt_crash_leaf *leaf, uint32_t number)
{
	struct plt_crash_version *v = plt_crash_version_at(u, number);
	const struct plt_hash128 before =
		plt_crash_shown_hash(u, leaf, v->sector);

	if (u->discard == PLATTER_CRASH_DISCARD_OLD)
		v->gone = 1;
	else if (u->discard == PLATTER_CRASH_DISCARD_PATTERN)
		v->hash = pattern_hash(u, leaf->index * PLT_CRASH_LEAF +
				       v->sector);
	else
		return;
	no_longer_same(u, leaf, number);
	plt_crash_tally_change(u, &u->all, leaf, v->sector, before,
			       plt_crash_shown_hash(u, leaf, v->sector));
}

/* To be called for the later of two versions first. */
static void solidify(struct plt_crash_units *u, struct plt_crash_leaf *leaf,
		     uint32_t number)
{
	struct plt_crash_version *v = plt_crash_version_at(u, number);
	const struct plt_hash128 before =
		plt_crash_durable_hash(u, leaf, v->sector);
	uint32_t n = leaf->top[v->sector];
	struct plt_crash_version *w;

	if (v->gone)
		return;
	for (;; n = w->below) {
		w = plt_crash_version_at(u, n);
		if (plt_crash_is_live(u, w->solid) &&
		    plt_crash_is_newer(w->solid, number))
			return;
		w->solid = number;
		if (n == number)
			break;
	}
	plt_crash_tally_change(u, &u->none, leaf, v->sector, before, v->hash);
}

static void make_durable(struct plt_crash_units *u,
			 struct plt_crash_pending *p)
{
	const bool discard =
		plt_crash_is_discard(&u->crash->entry[p->entry]);

	p->durable = true;
	for (uint32_t r = p->nr_runs; r-- > 0;) {
		const struct plt_crash_run *run = p->run ? &p->run[r] :
						  &p->one;

		for (uint32_t i = run->count; i-- > 0;) {
			const uint32_t number = run->version + i;
			struct plt_crash_leaf *leaf = plt_crash_leaf_at(u,
				plt_crash_version_at(u, number)->leaf);

			if (discard)
				settle_discard(u, leaf, number);
			solidify(u, leaf, number);
		}
	}
}

static void retire(struct plt_crash_units *u, struct plt_crash_pending *p)
{
	for (uint32_t i = 0; i < p->versions; i++, u->head++) {
		const struct plt_crash_version *v =
			plt_crash_version_at(u, u->head);
		struct plt_crash_leaf *leaf = plt_crash_leaf_at(u, v->leaf);

		if (!v->gone)
			leaf->hash[v->sector] = v->hash;
		if (leaf->top[v->sector] == u->head)
			leaf->live &= ~(1u << v->sector);
	}
	free(p->run);
	p->run = NULL;
}

/* The later ones first: what a durable one covers need not be looked at. */
static void settle(struct plt_crash_units *u)
{
	const uint64_t flushed = u->crash->flushed[u->point];
	const bool flush = u->crash->entry[u->point - 1].flags &
			   PLATTER_LOG_FLUSH;

	for (size_t i = u->nr; flush && i-- > u->first;) {
		struct plt_crash_pending *p = &u->pending[i];

		if (!p->durable &&
		    u->crash->entry[p->entry].durable <= u->point)
			make_durable(u, p);
	}
	while (u->first < u->nr && u->pending[u->first].entry < flushed)
		retire(u, &u->pending[u->first++]);
}

int plt_crash_units_advance(struct plt_crash_units *u,
			    struct platter_error *err)
{
	const struct plt_crash_entry *e = &u->crash->entry[u->point];
	const bool durable = e->durable == u->point + 1;
	const bool discard = plt_crash_is_discard(e);
	struct plt_crash_pending *p;
	int rc = 0;

	if (plt_crash_writes(e) &&
	    !(discard && durable && u->discard == PLATTER_CRASH_DISCARD_OLD)) {
		rc = new_pending(u, durable, &p, err);
		if (!rc)
			rc = discard ? add_discard(u, e, p, err) :
			     add_write(u, e, p, err);
	}
	if (rc)
		return plt_err_prefix(err, rc, "entry %" PRIu64, u->point);
	u->point++;
	if (durable || e->flags & PLATTER_LOG_FLUSH)
		settle(u);
	return 0;
}

/* ---- making and freeing ---- */

static int fill(struct plt_crash_units *u, struct platter_error *err)
{
	const size_t size = PLT_MAX(PLT_CRASH_READ, u->crash->sector);
	int rc = plt_crash_units_grow(u, err);

	if (rc)
		return rc;
	u->buf = plt_memalign(4096, size, err);
	u->base = u->buf ? plt_memalign(4096, size, err) : NULL;
	if (!u->base)
		return -ENOMEM;
	memset(u->base, 0, u->crash->sector);
	u->zero = plt_xxh3_128(u->base, u->crash->sector);
	return grow_ring(u, err);
}

int plt_crash_units_new(struct plt_crash_units **out,
			struct platter_crash *crash,
			enum platter_crash_discard discard,
			struct platter_error *err)
{
	struct plt_crash_units *u = plt_calloc(1, sizeof(*u), err);
	int rc;

	if (!u)
		return -ENOMEM;
	u->crash = crash;
	u->discard = discard;
	rc = fill(u, err);
	if (rc) {
		plt_crash_units_free(u);
		return rc;
	}
	*out = u;
	return 0;
}

void plt_crash_units_free(struct plt_crash_units *u)
{
	if (!u)
		return;
	for (uint32_t id = 0; id < u->nr_leaves; id++)
		free(plt_crash_leaf_at(u, id)->sets);
	for (size_t i = 0; i < u->nr_chunks; i++)
		free(u->chunk[i]);
	for (size_t i = u->first; i < u->nr; i++)
		free(u->pending[i].run);
	for (size_t i = 0; i < PLT_CRASH_READ_SETS; i++)
		plt_crash_ranges_free(&u->reads[i]);
	free(u->chunk);
	free(u->slot);
	free(u->ring);
	free(u->pending);
	free(u->buf);
	free(u->base);
	free(u);
}
