/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Repairing qcow2: L2 entries and refcounts, in place.
 *
 * What was readable before stays readable, and a crash in the middle loses
 * nothing: entries are changed before the refcounts of what they referred to,
 * and refcounts are raised before any is lowered. A table is only written to
 * where nothing else claims the cluster it is in.
 */
#include <inttypes.h>
#include <string.h>

#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/check.h"

bool plt_qcow2_repair_may_write_l2(const struct plt_qcow2_checker *c,
				   uint64_t table)
{
	const uint64_t cluster = table >> c->s->cluster_bits;
	uint64_t refs = plt_qcow2_counts_get(&c->counts, cluster);

	/* At the maximum there may have been more references than that. */
	if ((table & (c->s->cluster_size - 1)) ||
	    (c->overflow && refs == c->s->refcount_max))
		return false;
	return refs && refs == plt_qcow2_counts_tables(&c->counts, cluster);
}

int plt_qcow2_check_mend(struct plt_qcow2_checker *c,
			 const struct plt_qcow2_mend *mend,
			 struct platter_error *err)
{
	int rc = plt_grow(&c->mend, &c->mend_room, c->nr_mend + 1,
			  sizeof(c->mend[0]), err);

	if (!rc)
		c->mend[c->nr_mend++] = *mend;
	return rc;
}

int plt_qcow2_repair_entries(struct plt_qcow2_checker *c,
			     struct platter_error *err)
{
	const unsigned int size = c->s->l2_entry_size;
	uint8_t raw[16];
	int rc;

	for (size_t i = 0; i < c->nr_mend; i++) {
		const struct plt_qcow2_mend *m = &c->mend[i];
		bool may = plt_qcow2_repair_may_write_l2(c, m->table);

		/* Tables that snapshots share are met more than once. */
		rc = plt_qcow2_check_read(c, raw, size, m->at, err);
		if (!rc && !memcmp(raw, m->raw, size))
			continue;
		if (!rc && may)
			rc = platter_image_pwrite(c->file, m->raw,
						  size, m->at, err);
		if (rc)
			return plt_err_prefix(err, rc, "L2 entry at offset %"
					      PRIu64, m->at);
		plt_qcow2_check_found(c, QCOW2_FOUND_CORRUPTION, may,
				      "data-unaligned", m->at, m->guest,
				      "offset=%" PRIx64 ": Preallocated "
				      "cluster is not properly aligned; L2 "
				      "entry corrupted.", m->host);
	}
	return c->nr_mend ? platter_image_flush(c->file, err) : 0;
}

/* ---- refcounts ---- */

/* Change those of block `index` that are too low, or too high. */
static int adjust_block(struct plt_qcow2_checker *c, uint64_t index, bool raise,
			bool *changed, struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	const unsigned int order = s->h.refcount_order;
	const uint64_t first = index << s->refblock_bits;
	const uint64_t nr = PLT_MIN(UINT64_C(1) << s->refblock_bits,
				    c->counts.clusters - first);
	bool dirty = false;

	if (plt_qcow2_check_refblock(c, index))
		return 0;
	for (uint64_t i = 0; i < nr; i++) {
		uint64_t stored = plt_qcow2_refcount_load(c->refblock, i,
							  order);
		uint64_t wanted = plt_qcow2_counts_wanted(&c->counts,
							  first + i);

		if (raise ? stored >= wanted : stored <= wanted)
			continue;
		plt_qcow2_refcount_store(c->refblock, i, order, wanted);
		dirty = true;
	}
	if (!dirty)
		return 0;
	*changed = true;
	return platter_image_pwrite(c->file, c->refblock, s->cluster_size,
				    c->reftable[index] &
				    QCOW2_REFTABLE_OFFSET_MASK, err);
}

static int adjust(struct plt_qcow2_checker *c, bool raise,
		  struct platter_error *err)
{
	bool changed = false;
	int rc;

	for (uint64_t i = 0; i << c->s->refblock_bits < c->counts.clusters;
	     i++) {
		rc = adjust_block(c, i, raise, &changed, err);
		if (rc)
			return plt_err_prefix(err, rc, "refcount block %"
					      PRIu64, i);
	}
	return changed ? platter_image_flush(c->file, err) : 0;
}

int plt_qcow2_repair_refcounts(struct plt_qcow2_checker *c,
			       struct platter_error *err)
{
	int rc = 0;

	if (c->fix_errors)
		rc = adjust(c, true, err);
	if (!rc && c->fix_leaks)
		rc = adjust(c, false, err);
	if (rc)
		return rc;
	/* What was not to be changed still differs. */
	c->silent = true;
	rc = plt_qcow2_check_compare(c, err);
	c->silent = false;
	return rc;
}
