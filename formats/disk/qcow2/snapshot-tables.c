/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * L1 and L2 tables, when snapshots are changed.
 *
 * L2 tables are read from disk whole, which is good as all has been written
 * back before; what lies together is counted by one call. A table that is to
 * change is written to a new place and takes the old one's.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "disk/qcow2/snapshot-tables.h"

typedef int counter(struct plt_qcow2_shadow *sh, uint64_t host, uint64_t len,
		    struct platter_error *err);

/* ---- L1 tables ---- */

uint64_t *plt_qcow2_change_new_l1(uint32_t entries, struct platter_error *err)
{
	return plt_calloc(entries / QCOW2_PER_SECTOR + 1, QCOW2_SECTOR, err);
}

static int l1_check(const struct plt_qcow2 *s, uint64_t entry, uint32_t i,
		    struct platter_error *err)
{
	uint64_t offset = entry & QCOW2_OFFSET_MASK;

	if (!(entry & QCOW2_L1_RESERVED) && !(offset & (s->cluster_size - 1)))
		return 0;
	return plt_err_set(err, -EIO, "L1 entry %" PRIu32 " is %#" PRIx64
			   ", which is not a cluster's offset", i, entry);
}

int plt_qcow2_change_put_l1(struct plt_qcow2_change *c, const uint64_t *l1,
			    uint32_t entries, uint64_t *offset,
			    struct platter_error *err)
{
	*offset = 0;
	if (!entries)
		return 0;
	return plt_qcow2_shadow_write(c->sh, l1, (size_t)entries * 8, offset,
				      err);
}

int plt_qcow2_change_lower_l1(struct plt_qcow2_change *c, uint64_t offset,
			      uint32_t entries, struct platter_error *err)
{
	if (!entries)
		return 0;
	return plt_qcow2_shadow_lower(c->sh, offset, (uint64_t)entries * 8,
				      err);
}

/* ---- L2 tables ---- */

static int l2_read(struct plt_qcow2_change *c, uint64_t offset,
		   struct platter_error *err)
{
	uint64_t size = platter_image_size(c->s->file);
	uint64_t len = c->s->cluster_size;

	if (offset >= size)
		return plt_err_set(err, -EIO, "L2 table at offset %" PRIu64
				   " lies beyond the end of the file at %"
				   PRIu64, offset, size);
	len = PLT_MIN(len, size - offset);
	memset(c->l2 + len, 0, c->s->cluster_size - len);
	return platter_image_pread(c->s->file, c->l2, len, offset, err);
}

/* Host bytes that one entry refers to; no length when it refers to none. */
static int entry_range(const struct plt_qcow2 *s, const uint8_t *raw,
		       uint64_t *host, uint64_t *len, struct platter_error *err)
{
	struct plt_qcow2_entry e;
	int rc;

	rc = plt_qcow2_entry_decode(s, raw, &e, err);
	if (rc)
		return rc;
	*len = 0;
	if (plt_qcow2_has_host(&e)) {
		*host = e.host;
		*len = s->cluster_size;
	} else if (e.kind == QCOW2_COMPRESSED) {
		*host = plt_align_down(e.host, s->cluster_size);
		*len = e.host + e.compressed_len - *host;
	}
	return 0;
}

/* Count, by `count`, all that the table in c->l2 refers to. */
static int l2_count(struct plt_qcow2_change *c, counter *count,
		    struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	uint64_t run = 0, run_len = 0, host, len;
	int rc;

	for (uint32_t at = 0; at < s->cluster_size; at += s->l2_entry_size) {
		if (!plt_be64(c->l2 + at))
			continue;
		rc = entry_range(s, c->l2 + at, &host, &len, err);
		if (rc)
			return rc;
		if (!len)
			continue;
		if (run_len && run + run_len == host) {
			run_len = plt_align_up(run_len + len,
					       s->cluster_size);
			continue;
		}
		rc = run_len ? count(c->sh, run, run_len, err) : 0;
		if (rc)
			return rc;
		run = host;
		run_len = plt_align_up(len, s->cluster_size);
	}
	return run_len ? count(c->sh, run, run_len, err) : 0;
}

/* Take COPIED off every entry of c->l2. Returns whether one had it. */
static bool l2_clear_copied(struct plt_qcow2_change *c)
{
	bool any = false;

	for (uint32_t at = 0; at < c->s->cluster_size;
	     at += c->s->l2_entry_size) {
		if (!(c->l2[at] & 0x80))
			continue;
		c->l2[at] &= 0x7f;
		any = true;
	}
	return any;
}

/* Put COPIED where the refcount is 1 now, off where it is not. */
static int l2_fix_copied(struct plt_qcow2_change *c, bool *changed,
			 struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	uint64_t count;
	int rc;

	*changed = false;
	for (uint32_t at = 0; at < s->cluster_size; at += s->l2_entry_size) {
		uint64_t raw = plt_be64(c->l2 + at), value = raw;
		struct plt_qcow2_entry e;

		if (!raw)
			continue;
		rc = plt_qcow2_entry_decode(s, c->l2 + at, &e, err);
		if (rc)
			return rc;
		if (!plt_qcow2_has_host(&e))
			continue;
		rc = plt_qcow2_shadow_get(c->sh, e.host >> s->cluster_bits,
					  &count, err);
		if (rc)
			return rc;
		value = count == 1 ? raw | QCOW2_COPIED : raw & ~QCOW2_COPIED;
		if (value == raw)
			continue;
		plt_put_be64(c->l2 + at, value);
		*changed = true;
	}
	return 0;
}

/* ---- all below an L1 table, or one entry of it ---- */

int plt_qcow2_change_lower(struct plt_qcow2_change *c, const uint64_t *l1,
			   uint32_t entries, struct platter_error *err)
{
	int rc = 0;

	for (uint32_t i = 0; i < entries && !rc; i++) {
		uint64_t entry = plt_be64(&l1[i]);
		uint64_t offset = entry & QCOW2_OFFSET_MASK;

		rc = l1_check(c->s, entry, i, err);
		if (rc || !offset)
			continue;
		rc = l2_read(c, offset, err);
		if (!rc)
			rc = l2_count(c, plt_qcow2_shadow_lower, err);
		if (!rc)
			rc = plt_qcow2_shadow_lower(c->sh, offset,
						    c->s->cluster_size, err);
	}
	return rc;
}

int plt_qcow2_change_share(struct plt_qcow2_change *c, const uint64_t *l1,
			   uint32_t i, bool replace, uint64_t *entry,
			   struct platter_error *err)
{
	uint64_t was = plt_be64(&l1[i]), now = was & QCOW2_OFFSET_MASK;
	int rc;

	*entry = 0;
	rc = l1_check(c->s, was, i, err);
	if (rc || !now)
		return rc;
	rc = l2_read(c, now, err);
	if (!rc)
		rc = l2_count(c, plt_qcow2_shadow_raise, err);
	if (rc)
		return rc;
	if (!l2_clear_copied(c)) {
		*entry = now;
		return plt_qcow2_shadow_raise(c->sh, now, c->s->cluster_size,
					      err);
	}
	rc = plt_qcow2_shadow_write(c->sh, c->l2, c->s->cluster_size, entry,
				    err);
	if (rc)
		return rc;
	if (!replace) {
		*entry |= QCOW2_COPIED;
		return 0;
	}
	rc = plt_qcow2_shadow_raise(c->sh, *entry, c->s->cluster_size, err);
	if (!rc)
		rc = plt_qcow2_shadow_lower(c->sh, now, c->s->cluster_size,
					    err);
	return rc;
}

int plt_qcow2_change_own(struct plt_qcow2_change *c, uint32_t i,
			 uint64_t *entry, struct platter_error *err)
{
	const struct plt_qcow2 *s = c->s;
	uint64_t was = plt_be64(&s->l1[i]), offset = was & QCOW2_OFFSET_MASK;
	uint64_t count;
	bool changed;
	int rc;

	*entry = 0;
	rc = l1_check(s, was, i, err);
	if (rc || !offset)
		return rc;
	rc = plt_qcow2_shadow_get(c->sh, offset >> s->cluster_bits, &count,
				  err);
	if (rc)
		return rc;
	*entry = count == 1 ? offset | QCOW2_COPIED : offset;
	/* What a shared table refers to is shared itself. */
	if (count != 1)
		return 0;
	rc = l2_read(c, offset, err);
	if (!rc)
		rc = l2_fix_copied(c, &changed, err);
	if (rc || !changed)
		return rc;
	rc = plt_qcow2_shadow_write(c->sh, c->l2, s->cluster_size, entry, err);
	*entry |= QCOW2_COPIED;
	if (!rc)
		rc = plt_qcow2_shadow_lower(c->sh, offset, s->cluster_size,
					    err);
	return rc;
}
