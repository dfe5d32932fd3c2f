/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where in a write log the last write of each block is.
 *
 * A word for each 4 KiB: 0, a place in the log, or ZERO. Where smaller writes
 * came it points to eight words, one for each 512 bytes. Words are kept in
 * leaves of 256 KiB of disk, which come as they are needed; a leaf that is all
 * zeros is none. So a disk written from end to end takes 8 bytes for 4 KiB,
 * and one written here and there half a KiB for each place.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "wlog/overlay.h"

#define BLOCK		4096u
#define PARTS		(BLOCK / PLT_OVERLAY_SECTOR)
#define LEAF_BLOCKS	64u
#define LEAF		((uint64_t)LEAF_BLOCKS * BLOCK)

/* Places in the log are multiples of 512, so there is room below. */
#define ZERO	UINT64_C(1)
#define FINE	UINT64_C(2)	/* a pointer to PARTS words */

struct leaf {
	uint64_t word[LEAF_BLOCKS];
};

struct plt_overlay {
	pthread_rwlock_t lock;		/* guards all */
	size_t nr;
	struct leaf **leaf;		/* NULL: not written */
};

static struct leaf zero_leaf;		/* only its address */

static uint64_t *fine_words(uint64_t word)
{
	return (uint64_t *)(uintptr_t)(word & ~FINE);
}

static void free_word(uint64_t *word)
{
	if (*word & FINE)
		free(fine_words(*word));
	*word = 0;
}

static void free_leaf(struct leaf **leaf)
{
	if (*leaf && *leaf != &zero_leaf) {
		for (size_t i = 0; i < LEAF_BLOCKS; i++)
			free_word(&(*leaf)->word[i]);
		free(*leaf);
	}
	*leaf = NULL;
}

int plt_overlay_new(struct plt_overlay **out, uint64_t size,
		    struct platter_error *err)
{
	struct plt_overlay *o = plt_calloc(1, sizeof(*o), err);

	if (!o)
		return -ENOMEM;
	o->nr = size / LEAF + !!(size % LEAF);
	o->leaf = plt_calloc(o->nr + 1, sizeof(*o->leaf), err);
	if (!o->leaf) {
		free(o);
		return -ENOMEM;
	}
	pthread_rwlock_init(&o->lock, NULL);
	*out = o;
	return 0;
}

void plt_overlay_free(struct plt_overlay *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->nr; i++)
		free_leaf(&o->leaf[i]);
	pthread_rwlock_destroy(&o->lock);
	free(o->leaf);
	free(o);
}

/* ---- setting ---- */

/* The word for what lies `skip` bytes behind where `word` begins. */
static uint64_t word_behind(uint64_t word, uint64_t skip)
{
	return word && word != ZERO ? word + skip : word;
}

static int make_leaf(struct leaf **at, struct platter_error *err)
{
	struct leaf *leaf;

	if (*at && *at != &zero_leaf)
		return 0;
	leaf = plt_calloc(1, sizeof(*leaf), err);
	if (!leaf)
		return -ENOMEM;
	for (size_t i = 0; *at && i < LEAF_BLOCKS; i++)
		leaf->word[i] = ZERO;
	*at = leaf;
	return 0;
}

static int make_fine(uint64_t *word, struct platter_error *err)
{
	uint64_t *fine;

	if (*word & FINE)
		return 0;
	fine = plt_calloc(PARTS, sizeof(*fine), err);
	if (!fine)
		return -ENOMEM;
	for (size_t i = 0; i < PARTS; i++)
		fine[i] = word_behind(*word, i * PLT_OVERLAY_SECTOR);
	*word = (uintptr_t)fine | FINE;
	return 0;
}

/* A range inside one block. */
static int set_in_block(uint64_t *word, uint64_t from, uint64_t len,
			uint64_t value, struct platter_error *err)
{
	int rc;

	if (len == BLOCK) {
		free_word(word);
		*word = value;
		return 0;
	}
	rc = make_fine(word, err);
	for (uint64_t at = 0; at < len && !rc; at += PLT_OVERLAY_SECTOR)
		fine_words(*word)[(from + at) / PLT_OVERLAY_SECTOR] =
			word_behind(value, at);
	return rc;
}

/* A range inside one leaf. */
static int set_in_leaf(struct leaf **leaf, uint64_t from, uint64_t len,
		       uint64_t value, struct platter_error *err)
{
	int rc;

	if (len == LEAF && value == ZERO) {
		free_leaf(leaf);
		*leaf = &zero_leaf;
		return 0;
	}
	rc = make_leaf(leaf, err);
	while (len && !rc) {
		uint64_t in = from % BLOCK, n = PLT_MIN(len, BLOCK - in);

		rc = set_in_block(&(*leaf)->word[from / BLOCK], in, n, value,
				  err);
		from += n;
		len -= n;
		value = word_behind(value, n);
	}
	return rc;
}

int plt_overlay_set(struct plt_overlay *o, uint64_t offset, uint64_t len,
		    uint64_t log_offset, struct platter_error *err)
{
	uint64_t value = log_offset ? log_offset : ZERO;
	int rc = 0;

	pthread_rwlock_wrlock(&o->lock);
	while (len && !rc && offset / LEAF < o->nr) {
		uint64_t in = offset % LEAF, n = PLT_MIN(len, LEAF - in);

		rc = set_in_leaf(&o->leaf[offset / LEAF], in, n, value, err);
		offset += n;
		len -= n;
		value = word_behind(value, n);
	}
	pthread_rwlock_unlock(&o->lock);
	return rc;
}

/* ---- looking ---- */

/* The word for the byte at `offset`; *len is how far it goes. */
static uint64_t word_at(const struct plt_overlay *o, uint64_t offset,
			uint64_t *len)
{
	const struct leaf *leaf;
	uint64_t word, in;

	in = offset % LEAF;
	leaf = offset / LEAF < o->nr ? o->leaf[offset / LEAF] : NULL;
	*len = LEAF - in;
	if (!leaf || leaf == &zero_leaf)
		return leaf ? ZERO : 0;
	word = leaf->word[in / BLOCK];
	in %= BLOCK;
	*len = BLOCK - in;
	if (!(word & FINE))
		return word_behind(word, in);
	word = fine_words(word)[in / PLT_OVERLAY_SECTOR];
	in %= PLT_OVERLAY_SECTOR;
	*len = PLT_OVERLAY_SECTOR - in;
	return word_behind(word, in);
}

struct plt_overlay_part plt_overlay_get(struct plt_overlay *o,
					uint64_t offset, uint64_t len)
{
	struct plt_overlay_part part = { .kind = PLT_OVERLAY_DATA };
	uint64_t first, next, n;

	pthread_rwlock_rdlock(&o->lock);
	first = next = word_at(o, offset, &n);
	do {
		part.length += PLT_MIN(n, len - part.length);
		if (part.length == len)
			break;
		next = word_at(o, offset + part.length, &n);
	} while (next == word_behind(first, part.length));
	pthread_rwlock_unlock(&o->lock);
	if (!first)
		part.kind = PLT_OVERLAY_NONE;
	else if (first == ZERO)
		part.kind = PLT_OVERLAY_ZERO;
	else
		part.log_offset = first;
	return part;
}

/* ---- resizing ---- */

int plt_overlay_resize(struct plt_overlay *o, uint64_t size,
		       struct platter_error *err)
{
	size_t nr = size / LEAF + !!(size % LEAF);
	struct leaf **leaf;

	leaf = plt_calloc(nr + 1, sizeof(*leaf), err);
	if (!leaf)
		return -ENOMEM;
	pthread_rwlock_wrlock(&o->lock);
	for (size_t i = nr; i < o->nr; i++)
		free_leaf(&o->leaf[i]);
	memcpy(leaf, o->leaf, PLT_MIN(nr, o->nr) * sizeof(*leaf));
	free(o->leaf);
	o->leaf = leaf;
	o->nr = nr;
	pthread_rwlock_unlock(&o->lock);
	return 0;
}
