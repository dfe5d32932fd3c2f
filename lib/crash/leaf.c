/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The leaves of a scratch node.
 *
 * Reads are noted by sectors of 512 bytes, in the leaves. A sector that was
 * written over as a whole is the user's own from then on. Where noting would
 * take too many leaves everything counts as read.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "crash/leaf.h"

#define READ_LEAVES_MAX	65536u		/* 26 MiB of them, 16 GiB of disk */

struct plt_leaf plt_zero_leaf;

static void clean_leaf(struct plt_leaf *leaf, bool zero)
{
	for (size_t i = 0; i < PLT_LEAF_PAGES; i++)
		leaf->page[i] = zero ? PLT_LEAF_ZERO : PLT_LEAF_BELOW;
	memset(leaf->own, zero ? 0xff : 0, sizeof(leaf->own));
	for (size_t i = 0; i < PLT_LEAF_WORDS; i++)
		atomic_init(&leaf->read[i], 0);
}

static int note_used(struct plt_scratch *s, size_t number,
		     struct platter_error *err)
{
	int rc = plt_grow(&s->used, &s->room_used, s->nr_used + 1,
			  sizeof(*s->used), err);

	if (!rc)
		s->used[s->nr_used++] = number;
	return rc;
}

/* The leaf, made if need be; its stripe is held for writing. */
int plt_leaf_get(struct plt_scratch *s, size_t number, struct plt_leaf **out,
		 struct platter_error *err)
{
	struct plt_leaf *old = s->leaf[number], *leaf;
	int rc = 0;

	if (old && old != &plt_zero_leaf) {
		*out = old;
		return 0;
	}
	PLT_LOCK_SCOPE(&s->lock);
	leaf = s->spare;
	if (!leaf) {
		leaf = plt_calloc(1, sizeof(*leaf), err);
		if (!leaf)
			return -ENOMEM;
		leaf->next = NULL;
	}
	if (!old)
		rc = note_used(s, number, err);
	if (rc) {
		if (leaf != s->spare)
			free(leaf);
		return rc;
	}
	s->spare = leaf->next;
	clean_leaf(leaf, old);
	s->leaf[number] = leaf;
	*out = leaf;
	return 0;
}

void plt_leaf_put_page(struct plt_scratch *s, uint32_t *page, uint32_t instead)
{
	if (*page < PLT_LEAF_ZERO)
		plt_store_put(&s->store, *page);
	*page = instead;
}

/* The whole leaf is zeros; its stripe is held for writing. */
int plt_leaf_zero(struct plt_scratch *s, size_t number,
		  struct platter_error *err)
{
	struct plt_leaf *leaf = s->leaf[number];
	int rc = 0;

	if (leaf == &plt_zero_leaf)
		return 0;
	/* What was read of it has to stay known. */
	for (size_t i = 0; leaf && i < PLT_LEAF_WORDS; i++) {
		if (!atomic_load(&leaf->read[i]))
			continue;
		for (size_t j = 0; j < PLT_LEAF_PAGES; j++)
			plt_leaf_put_page(s, &leaf->page[j], PLT_LEAF_ZERO);
		memset(leaf->own, 0xff, sizeof(leaf->own));
		return 0;
	}
	for (size_t i = 0; leaf && i < PLT_LEAF_PAGES; i++)
		plt_leaf_put_page(s, &leaf->page[i], PLT_LEAF_BELOW);
	PLT_LOCK_SCOPE(&s->lock);
	if (!leaf)
		rc = note_used(s, number, err);
	if (rc)
		return rc;
	if (leaf) {
		leaf->next = s->spare;
		s->spare = leaf;
	}
	s->leaf[number] = &plt_zero_leaf;
	return 0;
}

/* ---- noting reads ---- */

/* The bits [from, to) that lie in word i. */
static uint64_t word_bits(size_t i, size_t from, size_t to)
{
	const size_t low = PLT_MAX(from, i * 64) - i * 64;
	const size_t high = PLT_MIN(to, i * 64 + 64) - i * 64;
	const uint64_t below = high == 64 ? ~UINT64_C(0) :
			       (UINT64_C(1) << high) - 1;

	return below & ~((UINT64_C(1) << low) - 1);
}

/* Of a leaf whose stripe is held, either way. */
static void note_in_leaf(struct plt_leaf *leaf, size_t in, size_t len)
{
	const size_t from = in / PLT_LEAF_SECTOR;
	const size_t to = (in + len - 1) / PLT_LEAF_SECTOR + 1;

	for (size_t i = from / 64; i <= (to - 1) / 64; i++) {
		const uint64_t bits = word_bits(i, from, to) & ~leaf->own[i];

		/* Mostly they are set already. */
		if (bits & ~atomic_load_explicit(&leaf->read[i],
						 memory_order_relaxed))
			atomic_fetch_or_explicit(&leaf->read[i], bits,
						 memory_order_relaxed);
	}
}

static bool too_many(struct plt_scratch *s)
{
	PLT_LOCK_SCOPE(&s->lock);
	return s->nr_used >= READ_LEAVES_MAX;
}

void plt_leaf_note_read(struct plt_scratch *s, size_t number, size_t in,
			size_t len)
{
	struct plt_leaf *leaf;

	if (!atomic_load_explicit(&s->watch, memory_order_relaxed) ||
	    atomic_load_explicit(&s->read_all, memory_order_relaxed))
		return;
	pthread_rwlock_rdlock(plt_leaf_stripe(s, number));
	leaf = s->leaf[number];
	if (leaf && leaf != &plt_zero_leaf)
		note_in_leaf(leaf, in, len);
	pthread_rwlock_unlock(plt_leaf_stripe(s, number));
	if (leaf)
		return;
	pthread_rwlock_wrlock(plt_leaf_stripe(s, number));
	if (s->leaf[number] == &plt_zero_leaf)
		;
	else if ((!s->leaf[number] && too_many(s)) ||
		 plt_leaf_get(s, number, &leaf, NULL))
		atomic_store(&s->read_all, true);
	else
		note_in_leaf(leaf, in, len);
	pthread_rwlock_unlock(plt_leaf_stripe(s, number));
}

void plt_scratch_watch(struct platter_image *scratch, bool watch)
{
	struct plt_scratch *s = platter_image_state(scratch);

	atomic_store(&s->read_all, false);
	for (size_t i = 0; i < s->nr_used; i++) {
		struct plt_leaf *leaf = s->leaf[s->used[i]];

		if (leaf == &plt_zero_leaf)
			continue;
		for (size_t j = 0; j < PLT_LEAF_WORDS; j++)
			atomic_store(&leaf->read[j], 0);
	}
	atomic_store(&s->watch, watch);
}

static int add_reads(const struct plt_leaf *leaf, uint64_t start, uint64_t size,
		     struct plt_crash_ranges *reads)
{
	int rc = 0;

	for (size_t i = 0; i < PLT_LEAF_WORDS; i++) {
		uint64_t bits = atomic_load(&leaf->read[i]);

		while (bits && !rc) {
			const unsigned int bit = __builtin_ctzll(bits);
			const uint64_t at = start + (i * 64 + bit) *
					    PLT_LEAF_SECTOR;

			rc = plt_crash_ranges_add(reads, at,
				PLT_MIN((uint64_t)PLT_LEAF_SECTOR, size - at));
			bits &= bits - 1;
		}
	}
	return rc;
}

int plt_scratch_reads(struct platter_image *scratch,
		      struct plt_crash_ranges *reads,
		      struct platter_error *err)
{
	struct plt_scratch *s = platter_image_state(scratch);
	const uint64_t size = platter_image_size(scratch);
	int rc = 0;

	reads->nr = 0;
	if (atomic_load(&s->read_all))
		rc = plt_crash_ranges_add(reads, 0, size);
	else
		for (size_t i = 0; !rc && i < s->nr_used; i++)
			if (s->leaf[s->used[i]] != &plt_zero_leaf)
				rc = add_reads(s->leaf[s->used[i]],
					       s->used[i] * PLT_LEAF, size,
					       reads);
	plt_crash_ranges_sort(reads);
	return rc ? plt_err_set(err, rc, "no memory for %zu ranges",
				reads->nr + 1) : 0;
}

/* ---- what was written ---- */

void plt_leaf_note_own(struct plt_leaf *leaf, size_t in, size_t len)
{
	const size_t from = (in + PLT_LEAF_SECTOR - 1) / PLT_LEAF_SECTOR;
	const size_t to = (in + len) / PLT_LEAF_SECTOR;

	for (size_t i = from / 64; from < to && i <= (to - 1) / 64; i++)
		leaf->own[i] |= word_bits(i, from, to);
}

int plt_leaf_clear_all(struct plt_scratch *s, uint64_t size,
		       struct plt_crash_ranges *written)
{
	const uint64_t page = PLT_STORE_PAGE;
	int rc = 0;

	for (size_t i = 0; i < s->nr_used; i++) {
		const uint64_t start = s->used[i] * PLT_LEAF;
		struct plt_leaf *leaf = s->leaf[s->used[i]];

		for (size_t j = 0; written && !rc && j < PLT_LEAF_PAGES; j++) {
			const uint64_t at = start + j * PLT_STORE_PAGE;

			if (at < size && (leaf == &plt_zero_leaf ||
					  leaf->page[j] != PLT_LEAF_BELOW))
				rc = plt_crash_ranges_add(written, at,
					PLT_MIN(page, size - at));
		}
		if (leaf != &plt_zero_leaf) {
			leaf->next = s->spare;
			s->spare = leaf;
		}
		s->leaf[s->used[i]] = NULL;
	}
	s->nr_used = 0;
	return rc;
}
