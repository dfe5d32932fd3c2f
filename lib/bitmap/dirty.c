/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A dirty bitmap in memory.
 *
 * Two levels: an array of pointers to chunks of bits, filled in as they are
 * needed. Setting takes no lock: a chunk is put in place by compare and swap,
 * a word is changed by an atomic or, and only when it lacks a bit, so that
 * threads which write the same places again do not fight for cache lines.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "bitmap/dirty.h"

#define CHUNK_WORDS	512u
#define CHUNK_BITS	(UINT64_C(64) * CHUNK_WORDS)

struct chunk {
	_Atomic uint64_t word[CHUNK_WORDS];
};

struct plt_dirty {
	uint64_t size;		/* bytes */
	uint64_t bits;
	unsigned int granularity_bits;
	_Atomic bool all;	/* there was no memory: everything is dirty */
	size_t nr;
	_Atomic(struct chunk *) *chunk;
};

static uint64_t bits_of(uint64_t size, unsigned int granularity_bits)
{
	return (size >> granularity_bits) +
	       !!(size & ((UINT64_C(1) << granularity_bits) - 1));
}

static size_t chunks_of(uint64_t bits)
{
	return (size_t)(bits / CHUNK_BITS + !!(bits % CHUNK_BITS));
}

/* The bits from `from` to `to`, which are 0 to 64, in a word. */
static uint64_t mask(uint64_t from, uint64_t to)
{
	uint64_t below = to >= 64 ? UINT64_MAX : (UINT64_C(1) << to) - 1;

	return from >= 64 ? 0 : below & (UINT64_MAX << from);
}

int plt_dirty_new(struct plt_dirty **out, uint64_t size,
		  unsigned int granularity_bits, struct platter_error *err)
{
	struct plt_dirty *d = plt_calloc(1, sizeof(*d), err);

	if (!d)
		return -ENOMEM;
	d->size = size;
	d->granularity_bits = granularity_bits;
	d->bits = bits_of(size, granularity_bits);
	d->nr = chunks_of(d->bits);
	d->chunk = plt_calloc(d->nr ? d->nr : 1, sizeof(*d->chunk), err);
	if (!d->chunk) {
		free(d);
		return -ENOMEM;
	}
	*out = d;
	return 0;
}

void plt_dirty_free(struct plt_dirty *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->nr; i++)
		free(atomic_load(&d->chunk[i]));
	free(d->chunk);
	free(d);
}

uint64_t plt_dirty_bits(const struct plt_dirty *d)
{
	return d->bits;
}

/* ---- setting ---- */

static struct chunk *chunk_make(struct plt_dirty *d, size_t i)
{
	struct chunk *c = atomic_load_explicit(&d->chunk[i],
					       memory_order_acquire);
	struct chunk *mine;

	if (c)
		return c;
	mine = calloc(1, sizeof(*mine));
	if (!mine)
		return NULL;
	if (atomic_compare_exchange_strong(&d->chunk[i], &c, mine))
		return mine;
	free(mine);
	return c;
}

static void set_in_chunk(struct chunk *c, uint64_t from, uint64_t to)
{
	while (from < to) {
		uint64_t w = from / 64;
		uint64_t end = PLT_MIN(to, (w + 1) * 64);
		uint64_t bits = mask(from % 64, end - w * 64);

		if ((atomic_load_explicit(&c->word[w], memory_order_relaxed) &
		     bits) != bits)
			atomic_fetch_or_explicit(&c->word[w], bits,
						 memory_order_relaxed);
		from = end;
	}
}

void plt_dirty_set(struct plt_dirty *d, uint64_t offset, uint64_t len)
{
	uint64_t bit, end;

	if (offset >= d->size || !len)
		return;
	len = PLT_MIN(len, d->size - offset);
	bit = offset >> d->granularity_bits;
	end = ((offset + len - 1) >> d->granularity_bits) + 1;
	while (bit < end) {
		uint64_t base = plt_align_down(bit, CHUNK_BITS);
		uint64_t stop = PLT_MIN(end, base + CHUNK_BITS);
		struct chunk *c = chunk_make(d, (size_t)(base / CHUNK_BITS));

		if (!c) {
			atomic_store(&d->all, true);
			return;
		}
		set_in_chunk(c, bit - base, stop - base);
		bit = stop;
	}
}

/* ---- looking ---- */

/* Word number `w` of the whole, without what lies behind the last bit. */
static uint64_t word_at(const struct plt_dirty *d, uint64_t w)
{
	uint64_t valid = mask(0, PLT_MIN(d->bits - w * 64, UINT64_C(64)));
	const struct chunk *c;

	if (atomic_load(&d->all))
		return valid;
	c = atomic_load(&d->chunk[w / CHUNK_WORDS]);
	return c ? atomic_load(&c->word[w % CHUNK_WORDS]) & valid : 0;
}

/* True when the chunk word `w` lies in has no bits at all. */
static bool chunk_empty(const struct plt_dirty *d, uint64_t w)
{
	return !atomic_load(&d->all) &&
	       !atomic_load(&d->chunk[w / CHUNK_WORDS]);
}

/*
 * The first bit at or behind `bit` that is (or, with `clear`, is not) set;
 * d->bits when there is none.
 */
static uint64_t find(const struct plt_dirty *d, uint64_t bit, bool clear)
{
	while (bit < d->bits) {
		uint64_t w = bit / 64, v;

		if (!clear && chunk_empty(d, w)) {
			bit = plt_align_down(bit, CHUNK_BITS) + CHUNK_BITS;
			continue;
		}
		v = word_at(d, w);
		v = (clear ? ~v : v) & mask(bit % 64, 64);
		if (v)
			return PLT_MIN(w * 64 + (uint64_t)__builtin_ctzll(v),
				       d->bits);
		bit = (w + 1) * 64;
	}
	return d->bits;
}

bool plt_dirty_any(const struct plt_dirty *d, uint64_t first, uint64_t count)
{
	uint64_t at = find(d, first, false);

	return at < d->bits && at - first < count;
}

void plt_dirty_or_into(const struct plt_dirty *d, uint64_t first,
		       uint64_t count, uint8_t *buf)
{
	uint64_t end = PLT_MIN(count, first < d->bits ? d->bits - first : 0);

	for (uint64_t at = 0; at < end; at += 64) {
		uint64_t v = word_at(d, (first + at) / 64);

		v &= mask(0, PLT_MIN(end - at, UINT64_C(64)));
		for (uint8_t *p = buf + at / 8; v; v >>= 8)
			*p++ |= (uint8_t)v;
	}
}

uint64_t plt_dirty_count(const struct plt_dirty *d)
{
	uint64_t n = 0;

	for (uint64_t w = 0; w * 64 < d->bits; w++)
		n += (uint64_t)__builtin_popcountll(word_at(d, w));
	return n;
}

bool plt_dirty_next(const struct plt_dirty *d, uint64_t offset,
		    uint64_t *start, uint64_t *len)
{
	uint64_t bit, end;

	if (offset >= d->size)
		return false;
	bit = find(d, offset >> d->granularity_bits, false);
	if (bit == d->bits)
		return false;
	end = find(d, bit, true);
	*start = PLT_MAX(bit << d->granularity_bits, offset);
	*len = (end == d->bits ? d->size : end << d->granularity_bits) - *start;
	return true;
}

/* ---- resizing ---- */

/* No bit behind the last one may be set, or it would come back when growing. */
static void trim(struct plt_dirty *d)
{
	struct chunk *c;
	uint64_t last = d->bits % CHUNK_BITS;

	if (!last)
		return;
	c = atomic_load(&d->chunk[d->nr - 1]);
	if (!c)
		return;
	for (uint64_t w = last / 64; w < CHUNK_WORDS; w++)
		atomic_fetch_and(&c->word[w],
				 mask(0, w == last / 64 ? last % 64 : 0));
}

int plt_dirty_resize(struct plt_dirty *d, uint64_t size,
		     struct platter_error *err)
{
	uint64_t bits = bits_of(size, d->granularity_bits);
	size_t nr = chunks_of(bits);
	_Atomic(struct chunk *) *chunk;

	chunk = plt_calloc(nr ? nr : 1, sizeof(*chunk), err);
	if (!chunk)
		return -ENOMEM;
	for (size_t i = 0; i < d->nr; i++) {
		struct chunk *c = atomic_load(&d->chunk[i]);

		if (i < nr)
			atomic_store(&chunk[i], c);
		else
			free(c);
	}
	free(d->chunk);
	d->chunk = chunk;
	d->nr = nr;
	d->bits = bits;
	d->size = size;
	trim(d);
	return 0;
}
