/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading and writing a scratch node, and where it is zeros.
 *
 * Locks are striped over the leaves: a reader holds one for reading while it
 * copies, a writer while it replaces; what is below is immutable and needs
 * none.
 */
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "core/core.h"
#include "crash/leaf.h"

#define PAGE	PLT_STORE_PAGE
#define LEAF	PLT_LEAF

/* ---- reading ---- */

/* Pages from *len bytes on that are all below, or just the first one. */
static uint32_t run_of(const struct plt_leaf *leaf, size_t in, size_t *len)
{
	const uint32_t page = leaf->page[in / PAGE];
	size_t n = PAGE - in % PAGE;

	while (page >= PLT_LEAF_ZERO && n < *len &&
	       leaf->page[(in + n) / PAGE] == page)
		n += PAGE;
	*len = PLT_MIN(*len, n);
	return page;
}

static int read_leaf(struct plt_scratch *s, const struct plt_leaf *leaf,
		     unsigned char *buf, size_t len, uint64_t offset,
		     struct platter_error *err)
{
	size_t in = offset % LEAF;
	int rc = 0;

	while (len && !rc) {
		size_t n = len;
		const uint32_t page = run_of(leaf, in, &n);

		if (page == PLT_LEAF_BELOW)
			rc = platter_image_pread(s->lower, buf, n, offset,
						 err);
		else if (page == PLT_LEAF_ZERO)
			memset(buf, 0, n);
		else
			rc = plt_store_read(&s->store, page, buf, n, in % PAGE,
					    err);
		buf += n;
		in += n;
		offset += n;
		len -= n;
	}
	return rc;
}

static int scratch_pread(struct platter_image *img, void *buf, size_t len,
			 uint64_t offset, struct platter_error *err)
{
	struct plt_scratch *s = platter_image_state(img);
	unsigned char *p = buf;
	int rc = 0;

	while (len && !rc) {
		const size_t number = offset / LEAF;
		const size_t n = PLT_MIN((uint64_t)len, LEAF - offset % LEAF);
		pthread_rwlock_t *stripe = plt_leaf_stripe(s, number);
		struct plt_leaf *leaf;

		plt_leaf_note_read(s, number, offset % LEAF, n);
		pthread_rwlock_rdlock(stripe);
		leaf = s->leaf[number];
		if (leaf == &plt_zero_leaf)
			memset(p, 0, n);
		else if (leaf)
			rc = read_leaf(s, leaf, p, n, offset, err);
		pthread_rwlock_unlock(stripe);
		if (!leaf)
			rc = platter_image_pread(s->lower, p, n, offset, err);
		p += n;
		offset += n;
		len -= n;
	}
	return rc;
}

/* ---- writing ---- */

/* What a page holds that is not in the store yet. */
static int old_page(struct platter_image *img, const struct plt_scratch *s,
		    uint32_t page, uint64_t offset, unsigned char buf[PAGE],
		    struct platter_error *err)
{
	const uint64_t size = platter_image_size(img);
	const size_t there = PLT_MIN((uint64_t)PAGE, size - offset);

	memset(buf, 0, PAGE);
	if (page == PLT_LEAF_ZERO)
		return 0;
	return platter_image_pread(s->lower, buf, there, offset, err);
}

static int new_page(struct platter_image *img, struct plt_scratch *s,
		    uint32_t *page, const void *buf, size_t len,
		    uint64_t offset, struct platter_error *err)
{
	unsigned char whole[PAGE];
	uint32_t got;
	int rc;

	if (len < PAGE) {
		rc = old_page(img, s, *page, offset - offset % PAGE, whole,
			      err);
		if (rc)
			return rc;
		memcpy(whole + offset % PAGE, buf, len);
		buf = whole;
	}
	rc = plt_store_get(&s->store, &got, err);
	if (rc)
		return rc;
	rc = plt_store_write(&s->store, got, buf, PAGE, 0, err);
	if (rc)
		plt_store_put(&s->store, got);
	else
		*page = got;
	return rc;
}

/* Within one page of a leaf whose stripe is held for writing. */
static int write_page(struct platter_image *img, struct plt_scratch *s,
		      struct plt_leaf *leaf, const void *buf, size_t len,
		      uint64_t offset, struct platter_error *err)
{
	uint32_t *page = &leaf->page[offset % LEAF / PAGE];
	int rc;

	if (*page >= PLT_LEAF_ZERO)
		rc = new_page(img, s, page, buf, len, offset, err);
	else
		rc = plt_store_write(&s->store, *page, buf, len,
				     offset % PAGE, err);
	if (!rc)
		plt_leaf_note_own(leaf, offset % LEAF, len);
	return rc;
}

static int write_leaf(struct platter_image *img, struct plt_scratch *s,
		      const unsigned char *buf, size_t len, uint64_t offset,
		      struct platter_error *err)
{
	struct plt_leaf *leaf;
	int rc;

	rc = plt_leaf_get(s, offset / LEAF, &leaf, err);
	while (len && !rc) {
		const size_t n = PLT_MIN(len, PAGE - (size_t)(offset % PAGE));

		rc = write_page(img, s, leaf, buf, n, offset, err);
		buf += n;
		offset += n;
		len -= n;
	}
	return rc;
}

static int scratch_pwrite(struct platter_image *img, const void *buf,
			  size_t len, uint64_t offset,
			  struct platter_error *err)
{
	struct plt_scratch *s = platter_image_state(img);
	const unsigned char *p = buf;
	int rc = 0;

	while (len && !rc) {
		const size_t n = PLT_MIN((uint64_t)len, LEAF - offset % LEAF);
		pthread_rwlock_t *stripe = plt_leaf_stripe(s, offset / LEAF);

		pthread_rwlock_wrlock(stripe);
		rc = write_leaf(img, s, p, n, offset, err);
		pthread_rwlock_unlock(stripe);
		p += n;
		offset += n;
		len -= n;
	}
	return rc;
}

/* ---- zeros ---- */

/* A part of a leaf whose stripe is held for writing. */
static int zero_part(struct platter_image *img, struct plt_scratch *s,
		     size_t len, uint64_t offset, struct platter_error *err)
{
	static const unsigned char zeros[PAGE];
	const uint64_t size = platter_image_size(img);
	struct plt_leaf *leaf;
	int rc;

	rc = plt_leaf_get(s, offset / LEAF, &leaf, err);
	while (len && !rc) {
		const size_t n = PLT_MIN(len, PAGE - (size_t)(offset % PAGE));
		uint32_t *page = &leaf->page[offset % LEAF / PAGE];

		if (n == PAGE || (!(offset % PAGE) && offset + n == size)) {
			plt_leaf_put_page(s, page, PLT_LEAF_ZERO);
			plt_leaf_note_own(leaf, offset % LEAF, n);
		} else {
			rc = write_page(img, s, leaf, zeros, n, offset, err);
		}
		offset += n;
		len -= n;
	}
	return rc;
}

static int scratch_zero(struct platter_image *img, uint64_t offset,
			uint64_t len, unsigned int flags,
			struct platter_error *err)
{
	struct plt_scratch *s = platter_image_state(img);
	int rc = 0;

	(void)flags;
	while (len && !rc) {
		const uint64_t n = PLT_MIN(len, LEAF - offset % LEAF);
		pthread_rwlock_t *stripe = plt_leaf_stripe(s, offset / LEAF);

		pthread_rwlock_wrlock(stripe);
		rc = n == LEAF ? plt_leaf_zero(s, offset / LEAF, err) :
		     zero_part(img, s, n, offset, err);
		pthread_rwlock_unlock(stripe);
		offset += n;
		len -= n;
	}
	return rc;
}

/* Zeros, too: any other answer would differ from run to run. */
static int scratch_discard(struct platter_image *img, uint64_t offset,
			   uint64_t len, struct platter_error *err)
{
	return scratch_zero(img, offset, len, 0, err);
}

static int scratch_flush(struct platter_image *img, struct platter_error *err)
{
	(void)img;
	(void)err;
	return 0;
}

/* ---- the map ---- */

/* What a place shows, as in plt_leaf.page; *len is cut to the same. */
static uint32_t look(struct plt_scratch *s, uint64_t offset, uint64_t *len)
{
	const size_t number = offset / LEAF;
	size_t n = PLT_MIN(*len, LEAF - offset % LEAF);
	uint32_t page = PLT_LEAF_BELOW;
	struct plt_leaf *leaf;

	pthread_rwlock_rdlock(plt_leaf_stripe(s, number));
	leaf = s->leaf[number];
	if (leaf == &plt_zero_leaf)
		page = PLT_LEAF_ZERO;
	else if (leaf)
		page = run_of(leaf, offset % LEAF, &n);
	pthread_rwlock_unlock(plt_leaf_stripe(s, number));
	*len = n;
	return page;
}

static int below(struct plt_scratch *s, uint64_t offset, uint64_t *len,
		 unsigned int *flags, struct platter_error *err)
{
	struct platter_extent e;
	uint64_t at, n;
	size_t count = 1;
	int rc;

	rc = platter_image_map(s->lower, offset, *len, &e, &count, err);
	if (rc)
		return rc;
	*flags = e.flags;
	*len = PLT_MIN(*len, e.length);
	for (at = 0; at < *len; at += n) {
		n = *len - at;
		if (look(s, offset + at, &n) != PLT_LEAF_BELOW)
			break;
	}
	*len = at;
	/* Whoever is told that there are zeros has read them. */
	for (at = 0; at < *len; at += n) {
		n = PLT_MIN(*len - at, LEAF - (offset + at) % LEAF);
		plt_leaf_note_read(s, (offset + at) / LEAF,
				   (offset + at) % LEAF, n);
	}
	return 0;
}

static int scratch_extent(struct platter_image *img, uint64_t offset,
			  uint64_t len, struct platter_extent *e,
			  struct platter_error *err)
{
	struct plt_scratch *s = platter_image_state(img);
	uint64_t n = len;
	const uint32_t page = look(s, offset, &n);
	unsigned int flags = page == PLT_LEAF_ZERO ? PLATTER_EXTENT_ZERO : 0;
	int rc = 0;

	if (page == PLT_LEAF_BELOW) {
		n = len;
		rc = below(s, offset, &n, &flags, err);
	}
	if (rc)
		return rc;
	e->length = n;
	e->flags = PLATTER_EXTENT_PRESENT | PLATTER_EXTENT_OFFSET;
	e->flags |= flags & PLATTER_EXTENT_ZERO ? PLATTER_EXTENT_ZERO :
		    PLATTER_EXTENT_DATA;
	return 0;
}

const struct platter_io_ops plt_scratch_io_ops = {
	.pread = scratch_pread,
	.pwrite = scratch_pwrite,
	.zero = scratch_zero,
	.discard = scratch_discard,
	.flush = scratch_flush,
	.extent = scratch_extent,
};
