/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checking qcow2: the COPIED flags of the active tables.
 *
 * The flag says that the refcount is exactly 1, so that writing in place is
 * allowed. It goes by the stored refcounts, as they are after their repair.
 *
 * The flags are noted down when references are counted. If these show that all
 * is well, as they mostly do, the tables need not be read a second time.
 */
#include <inttypes.h>

#include "base/endian.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "disk/qcow2/check.h"

#define ZERO_STEP	4096u

int plt_qcow2_check_mark(struct plt_qcow2_checker *c, uint64_t entry,
			 struct platter_error *err)
{
	const uint64_t cluster = (entry & QCOW2_OFFSET_MASK) >>
				 c->s->cluster_bits;
	const bool copied = entry & QCOW2_COPIED;

	if (cluster < c->counts.clusters)
		return plt_qcow2_counts_mark(&c->counts, cluster, copied, err);
	c->flags_suspect = true;
	return 0;
}

struct copied_walk {
	struct plt_qcow2_l2_visitor visitor;
	uint64_t *l1;
	bool repair;
	bool l1_ours;		/* nothing else lies where the L1 table does */
};

/* False: the refcount cannot be had, which has been told already. */
static bool stored(struct plt_qcow2_checker *c, uint64_t host, uint64_t *out)
{
	uint64_t cluster = host >> c->s->cluster_bits;

	/* The array in memory is faster, where it is the same. */
	if (!c->mismatches && cluster < c->counts.clusters) {
		*out = plt_qcow2_counts_get(&c->counts, cluster);
		return true;
	}
	return !plt_qcow2_check_stored(c, cluster, out);
}

static void found(struct plt_qcow2_checker *c, bool fixed, const char *what,
		  uint64_t at, uint64_t guest, uint64_t entry,
		  uint64_t refcount)
{
	plt_qcow2_check_found(c, QCOW2_FOUND_CORRUPTION, fixed, "copied-flag",
			      at, guest, "OFLAG_COPIED %s: entry=%" PRIx64
			      " refcount=%" PRIu64, what, entry, refcount);
}

static int check_l1_entry(struct plt_qcow2_checker *c,
			  const struct copied_walk *w, uint32_t i,
			  uint64_t refcount, struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	uint64_t at = s->h.l1_offset + (uint64_t)i * 8;
	uint64_t raw;
	bool fixed = w->repair && w->l1_ours;
	int rc = 0;

	if ((refcount == 1) == !!(w->l1[i] & QCOW2_COPIED))
		return 0;
	raw = htobe64(w->l1[i] ^ QCOW2_COPIED);
	if (fixed)
		rc = platter_image_pwrite(c->file, &raw, sizeof(raw), at, err);
	if (rc)
		return plt_err_prefix(err, rc, "L1 entry %" PRIu32, i);
	found(c, fixed, "L2 cluster", at,
	      (uint64_t)i << (s->l2_bits + s->cluster_bits), w->l1[i],
	      refcount);
	return 0;
}

/* Whether the flag of this entry is wrong. */
static bool wrong(struct plt_qcow2_checker *c, uint64_t entry,
		  uint64_t *refcount)
{
	const struct plt_qcow2 *s = c->s;
	enum plt_qcow2_kind kind = plt_qcow2_check_kind(s, entry);

	if (kind != QCOW2_NORMAL && kind != QCOW2_ZERO_ALLOCATED)
		return false;
	*refcount = 1;
	if (!s->data_file && !stored(c, entry & QCOW2_OFFSET_MASK, refcount))
		return false;
	return (*refcount == 1) != !!(entry & QCOW2_COPIED);
}

/* 1: something was changed. */
static int check_entry(struct plt_qcow2_checker *c, uint32_t l1_index,
		       uint64_t table, uint8_t *l2, uint32_t at, bool fix)
{
	const struct plt_qcow2 *s = c->s;
	uint64_t entry = plt_be64(l2 + at), refcount;

	if (!wrong(c, entry, &refcount))
		return 0;
	found(c, fix, "data cluster", table + at,
	      ((uint64_t)l1_index << (s->l2_bits + s->cluster_bits)) +
	      ((uint64_t)(at / s->l2_entry_size) << s->cluster_bits), entry,
	      refcount);
	if (fix)
		plt_put_be64(l2 + at, entry ^ QCOW2_COPIED);
	return fix;
}

static int visit(struct plt_qcow2_l2_visitor *self,
		 struct plt_qcow2_checker *c, uint32_t i, uint64_t table,
		 uint8_t *l2, struct platter_error *err)
{
	struct copied_walk *w = (struct copied_walk *)self;
	const struct plt_qcow2 *s = c->s;
	const bool fix = w->repair && plt_qcow2_repair_may_write_l2(c, table);
	bool dirty = false;
	uint64_t refcount;
	int rc;

	/* As in QEMU: nothing is said of a table one knows nothing of. */
	if (!stored(c, table, &refcount))
		return 0;
	rc = check_l1_entry(c, w, i, refcount, err);
	if (rc)
		return rc;
	for (uint32_t at = 0; at < s->cluster_size; at += s->l2_entry_size) {
		if (!(at % ZERO_STEP) && s->cluster_size >= ZERO_STEP &&
		    plt_is_zero(l2 + at, ZERO_STEP)) {
			at += ZERO_STEP - s->l2_entry_size;
			continue;
		}
		dirty |= check_entry(c, i, table, l2, at, fix);
	}
	if (!dirty)
		return 0;
	rc = platter_image_pwrite(c->file, l2, s->cluster_size, table, err);
	return plt_err_prefix(err, rc, "L2 table %" PRIu32, i);
}

int plt_qcow2_check_copied(struct plt_qcow2_checker *c, bool repair,
			   struct platter_error *err)
{
	const struct plt_qcow2_header *h = &c->s->h;
	plt_auto_free uint64_t *l1 = plt_calloc((size_t)h->l1_size + 1, 8,
						err);
	struct copied_walk w = {
		.visitor = { visit },
		.l1 = l1,
		.repair = repair,
		.l1_ours = plt_qcow2_check_alone(c, h->l1_offset,
						 (uint64_t)h->l1_size * 8),
	};
	int rc;

	if (!l1)
		return -ENOMEM;
	if (!c->mismatches && !c->flags_suspect && !c->res->corruptions &&
	    !c->res->check_errors &&
	    plt_qcow2_counts_copied_right(&c->counts))
		return 0;
	rc = plt_qcow2_check_read(c, l1, (size_t)h->l1_size * 8, h->l1_offset,
				  err);
	if (rc)
		return plt_err_prefix(err, rc, "L1 table");
	for (uint32_t i = 0; i < h->l1_size; i++)
		l1[i] = be64toh(l1[i]);
	return plt_qcow2_check_l2_tables(c, l1, h->l1_size, false, &w.visitor,
					 err);
}
