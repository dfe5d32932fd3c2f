/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checking qcow2: the refcount table, its blocks, and what they say compared
 * with what was counted.
 *
 * A block behind the end of the file is read as zeros, as QEMU does; one that
 * lies across two clusters is not read at all.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/endian.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "disk/qcow2/check.h"

int plt_qcow2_check_load_reftable(struct plt_qcow2_checker *c,
				  struct platter_error *err)
{
	const struct plt_qcow2_header *h = &c->s->h;
	const size_t bytes = (size_t)h->reftable_clusters <<
			     c->s->cluster_bits;
	int rc;

	if (bytes > QCOW2_MAX_REFTABLE_BYTES)
		return plt_err_set(err, -EINVAL, "refcount table of %zu bytes "
				   "is over the limit of %u", bytes,
				   QCOW2_MAX_REFTABLE_BYTES);
	free(c->reftable);
	c->reftable_entries = bytes / 8;
	c->reftable = plt_calloc(c->reftable_entries + 1, 8, err);
	if (!c->reftable)
		return -ENOMEM;
	rc = plt_qcow2_check_read(c, c->reftable, bytes, h->reftable_offset,
				  err);
	if (rc)
		return plt_err_prefix(err, rc, "refcount table");
	for (size_t i = 0; i < c->reftable_entries; i++)
		c->reftable[i] = be64toh(c->reftable[i]);
	c->refblock_at = UINT64_MAX;
	return 0;
}

/* ---- counting the structures themselves ---- */

static void corrupt_block(struct plt_qcow2_checker *c, const char *kind,
			  size_t i, const char *what)
{
	c->rebuild = true;
	plt_qcow2_check_found(c, QCOW2_FOUND_CORRUPTION, false, kind,
			      c->s->h.reftable_offset + i * 8, QCOW2_NOWHERE,
			      "refcount block %zu %s", i, what);
}

static int count_block(struct plt_qcow2_checker *c, size_t i,
		       struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	uint64_t entry = c->reftable[i];
	uint64_t offset = entry & QCOW2_REFTABLE_OFFSET_MASK;
	uint64_t cluster = offset >> s->cluster_bits, refs;
	int rc;

	if (!entry)
		return 0;
	if (entry & QCOW2_REFTABLE_RESERVED) {
		corrupt_block(c, "reftable-reserved", i,
			      "has reserved bits set in its table entry");
		return 0;
	}
	if (offset & (s->cluster_size - 1)) {
		corrupt_block(c, "refblock-unaligned", i, "is not cluster "
			      "aligned; refcount table entry corrupted");
		return 0;
	}
	if (cluster >= c->counts.clusters) {
		bool rebuild = c->rebuild || c->fix_errors;

		/* Leaks can be given back in spite of it. */
		corrupt_block(c, "refblock-outside", i, "is outside image");
		c->rebuild = rebuild;
		return 0;
	}
	rc = plt_qcow2_check_count(c, offset, s->cluster_size,
				   "refcount block", QCOW2_NOWHERE, err);
	if (rc)
		return rc;
	refs = plt_qcow2_counts_get(&c->counts, cluster);
	if (refs != 1) {
		char text[48];

		snprintf(text, sizeof(text), "refcount=%" PRIu64, refs);
		corrupt_block(c, "refblock-shared", i, text);
	}
	return 0;
}

int plt_qcow2_check_reftable(struct plt_qcow2_checker *c,
			     struct platter_error *err)
{
	int rc;

	c->in_structures = true;
	rc = plt_qcow2_check_count(c, c->s->h.reftable_offset,
				   c->reftable_entries * 8, "refcount table",
				   QCOW2_NOWHERE, err);
	for (size_t i = 0; i < c->reftable_entries && !rc; i++)
		rc = count_block(c, i, err);
	c->in_structures = false;
	return rc;
}

/* ---- what is stored ---- */

static int load_block(struct plt_qcow2_checker *c, uint64_t index)
{
	uint64_t offset = c->reftable[index] & QCOW2_REFTABLE_OFFSET_MASK;

	if (!offset)
		return 1;
	if (offset & (c->s->cluster_size - 1))
		return -EIO;
	return plt_qcow2_check_read(c, c->refblock, c->s->cluster_size, offset,
				    NULL);
}

int plt_qcow2_check_refblock(struct plt_qcow2_checker *c, uint64_t index)
{
	if (index >= c->reftable_entries)
		return 1;
	if (index != c->refblock_at) {
		c->refblock_rc = load_block(c, index);
		c->refblock_at = index;
	}
	return c->refblock_rc;
}

int plt_qcow2_check_stored(struct plt_qcow2_checker *c, uint64_t cluster,
			   uint64_t *out)
{
	const struct plt_qcow2 *s = c->s;
	int rc = plt_qcow2_check_refblock(c, cluster >> s->refblock_bits);

	*out = 0;
	if (!rc)
		*out = plt_qcow2_refcount_load(c->refblock, cluster &
				((UINT64_C(1) << s->refblock_bits) - 1),
				s->h.refcount_order);
	return rc < 0 ? rc : 0;
}

/* ---- the comparison ---- */

static void unreadable(struct plt_qcow2_checker *c, uint64_t cluster)
{
	c->mismatches++;
	/* A rebuild does not need what it said. */
	if (c->rebuild && c->fix_errors)
		return;
	plt_qcow2_check_found(c, QCOW2_FOUND_ERROR, false,
			      "refcount-unreadable",
			      cluster << c->s->cluster_bits, QCOW2_NOWHERE,
			      "Can't get refcount for cluster %" PRIu64,
			      cluster);
}

static void differs(struct plt_qcow2_checker *c, uint64_t cluster,
		    uint64_t stored, uint64_t counted)
{
	const bool leak = stored > counted;
	/* A rebuild makes it 1, too. */
	const bool kept = leak && plt_qcow2_counts_wanted(&c->counts,
							  cluster) != counted;

	c->mismatches++;
	/* A cluster that counts as free may be given away at any time. */
	if (!stored)
		c->rebuild = true;
	plt_qcow2_check_found(c, leak ? QCOW2_FOUND_LEAK :
					QCOW2_FOUND_CORRUPTION,
			      leak ? c->fix_leaks && !kept : c->fix_errors,
			      leak ? "refcount-leak" : "refcount-low",
			      cluster << c->s->cluster_bits, QCOW2_NOWHERE,
			      "cluster %" PRIu64 " refcount=%" PRIu64
			      " reference=%" PRIu64, cluster, stored, counted);
}

/* Clusters [first, end), whose refcounts are all in block `index`. */
static void compare_block(struct plt_qcow2_checker *c, uint64_t index,
			  uint64_t first, uint64_t end)
{
	const unsigned int order = c->s->h.refcount_order;
	int rc = plt_qcow2_check_refblock(c, index);

	if (rc == 1 && !plt_qcow2_counts_any(&c->counts, first, end - first))
		return;
	for (uint64_t i = 0; i < end - first; i++) {
		uint64_t stored = 0, counted;

		if (rc < 0) {
			unreadable(c, first + i);
			continue;
		}
		if (!rc)
			stored = plt_qcow2_refcount_load(c->refblock, i,
							 order);
		counted = plt_qcow2_counts_get(&c->counts, first + i);
		if (stored | counted)
			c->highest = first + i;
		if (stored != counted)
			differs(c, first + i, stored, counted);
	}
}

int plt_qcow2_check_compare(struct plt_qcow2_checker *c,
			    struct platter_error *err)
{
	const unsigned int bits = c->s->refblock_bits;
	const uint64_t clusters = c->counts.clusters;

	c->highest = 0;
	c->mismatches = 0;
	for (uint64_t i = 0; i << bits < clusters; i++) {
		uint64_t first = i << bits, end = (i + 1) << bits;

		compare_block(c, i, first, end < clusters ? end : clusters);
		if (!(i % 64)) {
			int rc = plt_qcow2_check_progress(c, 0, err);

			if (rc)
				return rc;
		}
	}
	return 0;
}
