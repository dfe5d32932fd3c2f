/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Zeros and discards, with QEMU's meaning.
 *
 * Version 3 says "reads as zeros" in the L2 entry, for a cluster or, with
 * extended L2, a subcluster. Zeroing keeps a cluster's space unless it may be
 * unmapped; a compressed one loses it. The edges of a range, that are less than
 * such a unit, are written as zeros unless the rest of the unit reads as zeros
 * anyway. A discard takes whole clusters only, and makes them read as zeros
 * where a backing file would show otherwise. Version 2 knows no zeros: without
 * a backing file clusters are dropped, with one they are written and discards
 * are ignored.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "disk/qcow2/alloc.h"
#include "disk/qcow2/zero.h"

#define ZERO_BUFFER	65536u

static const uint8_t zeros[ZERO_BUFFER];

static bool has_backing(const struct plt_qcow2 *s)
{
	return s->backing || s->h.backing_filename;
}

/* ---- whole clusters ---- */

/* What becomes of an entry: false when it stays as it is. */
static bool change_entry(const struct plt_qcow2 *s, enum plt_qcow2_clear how,
			 const struct plt_qcow2_entry *old,
			 struct plt_qcow2_entry *new)
{
	bool mapped = plt_qcow2_has_host(old) || old->kind == QCOW2_COMPRESSED;

	*new = (struct plt_qcow2_entry) { .kind = QCOW2_ZERO };
	new->zero = UINT32_MAX;
	switch (how) {
	case QCOW2_CLEAR_ZERO:
		if (plt_qcow2_has_host(old)) {
			new->kind = s->extl2 ? QCOW2_NORMAL :
					       QCOW2_ZERO_ALLOCATED;
			new->host = old->host;
			new->copied = old->copied;
		}
		break;
	case QCOW2_CLEAR_UNMAP:
		break;
	case QCOW2_CLEAR_DISCARD:
		if (!mapped && !has_backing(s))
			return false;
		if (s->h.version < 3)
			new->kind = QCOW2_UNALLOCATED;
		break;
	case QCOW2_CLEAR_EMPTY:
		new->kind = QCOW2_UNALLOCATED;
		new->zero = 0;
		break;
	}
	return true;
}

/* True when the old cluster is not used any more. */
static bool lets_go(const struct plt_qcow2_entry *old,
		    const struct plt_qcow2_entry *new)
{
	return (plt_qcow2_has_host(old) && !plt_qcow2_has_host(new)) ||
	       old->kind == QCOW2_COMPRESSED;
}

static int clear_entry(struct plt_qcow2 *s, enum plt_qcow2_clear how,
		       struct plt_qcow2_slice *slice, uint8_t *raw,
		       struct platter_error *err)
{
	struct plt_qcow2_entry old, new;
	uint8_t bytes[16];
	int rc;

	rc = plt_qcow2_entry_decode(s, raw, &old, err);
	if (rc < 0 || !change_entry(s, how, &old, &new))
		return rc;
	plt_qcow2_entry_encode(s, &new, bytes);
	if (!memcmp(bytes, raw, s->l2_entry_size))
		return 0;
	memcpy(raw, bytes, s->l2_entry_size);
	plt_qcow2_slice_dirty(s, slice);
	if (lets_go(&old, &new))
		plt_qcow2_release(s, &old, true);
	return 0;
}

/* Without a table there is nothing to let go of. */
static bool nothing_there(const struct plt_qcow2 *s, uint64_t guest,
			  enum plt_qcow2_clear how)
{
	uint64_t i = plt_qcow2_l1_index(s, guest);

	if (i >= s->h.l1_size || plt_qcow2_l1_get(s, i) & QCOW2_OFFSET_MASK)
		return false;
	return how == QCOW2_CLEAR_EMPTY ||
	       (how == QCOW2_CLEAR_DISCARD && !has_backing(s));
}

/* As many as one slice has; *len becomes how much that was. */
static int clear_slice(struct plt_qcow2 *s, enum plt_qcow2_clear how,
		       uint64_t guest, uint64_t *len, struct platter_error *err)
{
	struct plt_qcow2_slice *slice;
	uint64_t left, n;
	uint8_t *raw;
	int rc = 0;

	*len = plt_qcow2_l2_clip(s, guest, *len);
	if (nothing_there(s, guest, how))
		return 0;
	rc = plt_qcow2_l2_write(s, guest, &slice, &raw, &left, err);
	if (rc < 0)
		return rc;
	n = PLT_MIN(plt_qcow2_clusters(s, *len), left);
	for (uint64_t i = 0; rc == 0 && i < n; i++)
		rc = clear_entry(s, how, slice, raw + i * s->l2_entry_size,
				 err);
	plt_qcow2_slice_put(s, slice);
	return rc;
}

/*
 * The space in a data file is not refcounted: it can be given back at once,
 * while the claim keeps others from using it anew.
 */
static void discard_data_file(struct plt_qcow2 *s, uint64_t guest, uint64_t len)
{
	uint64_t size = platter_image_size(s->data);
	int rc;

	if (guest >= size)
		return;
	pthread_mutex_unlock(&s->lock);
	rc = platter_image_discard(s->data, guest,
				   PLT_MIN(len, size - guest), NULL);
	(void)rc;
	pthread_mutex_lock(&s->lock);
}

int plt_qcow2_clear(struct plt_qcow2 *s, enum plt_qcow2_clear how,
		    uint64_t guest, uint64_t len, struct platter_error *err)
{
	bool discard = s->data_file && !s->data_raw && how != QCOW2_CLEAR_ZERO;
	struct plt_claim claim;
	int rc = 0;

	PLT_LOCK_SCOPE(&s->lock);
	while (rc == 0 && len) {
		uint64_t n = plt_qcow2_l2_clip(s, guest, len);

		plt_claim_take(&s->claims, &claim, guest,
			       plt_align_up(guest + n, s->cluster_size),
			       &s->lock);
		rc = clear_slice(s, how, guest, &n, err);
		if (rc == 0 && discard)
			discard_data_file(s, guest, n);
		plt_claim_drop(&s->claims, &claim);
		guest += n;
		len -= n;
	}
	return rc;
}

/* ---- subclusters ---- */

/* 1: this cluster has no flags for that, or holds data there. */
static int zero_subs_claimed(struct plt_qcow2 *s, uint64_t guest, uint64_t len,
			     bool only_empty, struct platter_error *err)
{
	uint64_t in = guest & (s->cluster_size - 1), left;
	unsigned int first = (unsigned int)(in >> s->subcluster_bits);
	unsigned int last = (unsigned int)((in + len - 1) >>
					   s->subcluster_bits);
	struct plt_qcow2_slice *slice;
	struct plt_qcow2_entry e;
	uint32_t bits;
	uint8_t *raw;
	int rc;

	bits = (uint32_t)((UINT64_C(2) << last) - (UINT64_C(1) << first));
	rc = plt_qcow2_l2_write(s, guest, &slice, &raw, &left, err);
	if (rc < 0)
		return rc;
	rc = plt_qcow2_entry_decode(s, raw, &e, err);
	if (rc == 0 && (e.kind == QCOW2_COMPRESSED ||
			(only_empty && (e.alloc & bits))))
		rc = 1;
	if (rc == 0 && (~e.zero & bits)) {
		e.alloc &= ~bits;
		e.zero |= bits;
		if (!plt_qcow2_has_host(&e))
			e.kind = QCOW2_ZERO;
		plt_qcow2_entry_encode(s, &e, raw);
		plt_qcow2_slice_dirty(s, slice);
	}
	plt_qcow2_slice_put(s, slice);
	return rc;
}

/* Set the flags of subclusters of one cluster; 1 as above. */
static int zero_subs(struct plt_qcow2 *s, uint64_t guest, uint64_t len,
		     bool only_empty, struct platter_error *err)
{
	uint64_t start = plt_align_down(guest, s->cluster_size);
	struct plt_claim claim;
	int rc;

	PLT_LOCK_SCOPE(&s->lock);
	plt_claim_take(&s->claims, &claim, start, start + s->cluster_size,
		       &s->lock);
	rc = zero_subs_claimed(s, guest, len, only_empty, err);
	plt_claim_drop(&s->claims, &claim);
	return rc;
}

/* ---- a range of any kind ---- */

static int write_zeros(struct plt_qcow2 *s, uint64_t guest, uint64_t len,
		       struct platter_error *err)
{
	int rc = 0;

	while (rc == 0 && len) {
		uint64_t n = PLT_MIN(len, (uint64_t)ZERO_BUFFER);

		rc = platter_image_pwrite_inside(s->img, zeros, n, guest, err);
		guest += n;
		len -= n;
	}
	return rc;
}

/* What the backing file shows, zeros behind its end. */
static bool backing_zeros(struct platter_image *backing, uint64_t guest,
			  uint64_t len)
{
	uint64_t size = backing ? platter_image_size(backing) : 0;

	len = guest < size ? PLT_MIN(len, size - guest) : 0;
	while (len) {
		struct platter_extent ext;
		size_t count = 1;

		if (platter_image_map(backing, guest, len, &ext, &count,
				      NULL) ||
		    !(ext.flags & PLATTER_EXTENT_ZERO))
			return false;
		guest += ext.length;
		len -= ext.length;
	}
	return true;
}

/*
 * By this node's own map: the one of the core would wait for the call that
 * this is a part of.
 */
static bool reads_as_zeros(struct plt_qcow2 *s, uint64_t guest, uint64_t len)
{
	while (len) {
		struct platter_map m;
		size_t count = 1;

		if (plt_qcow2_map(s->img, guest, len, &m, &count, NULL))
			return false;
		if (m.kind != PLATTER_MAP_ZERO &&
		    (m.kind != PLATTER_MAP_BACKING ||
		     !backing_zeros(m.child, guest, m.length)))
			return false;
		guest += m.length;
		len -= m.length;
	}
	return true;
}

/* Whoever reads a raw data file by itself must see the zeros too. */
static int zero_data_file(struct plt_qcow2 *s, uint64_t guest, uint64_t len,
			  unsigned int flags, struct platter_error *err)
{
	uint64_t size = platter_image_size(s->data);

	if (guest >= size)
		return 0;
	return platter_image_zero(s->data, guest, PLT_MIN(len, size - guest),
				  flags, err);
}

/* Without a backing file, and so zeros. */
static bool nothing_stored(struct plt_qcow2 *s, uint64_t guest, uint64_t end)
{
	struct platter_map m;
	size_t count = 1;

	if (plt_qcow2_map(s->img, guest, end - guest, &m, &count, NULL))
		return false;
	return m.kind == PLATTER_MAP_BACKING && !m.child &&
	       m.length == end - guest;
}

/* Less than one unit. */
static int zero_edge(struct plt_qcow2 *s, uint64_t guest, uint64_t len,
		     struct platter_error *err)
{
	uint64_t unit = UINT64_C(1) << s->subcluster_bits;
	uint64_t start = plt_align_down(guest, unit);
	uint64_t end = PLT_MIN(start + unit, platter_image_size(s->img));
	int rc = 1;

	if (s->h.version < 3)
		return nothing_stored(s, start, end) ? 0 :
		       write_zeros(s, guest, len, err);
	if (reads_as_zeros(s, start, guest - start) &&
	    reads_as_zeros(s, guest + len, end - (guest + len)))
		rc = zero_subs(s, start, unit, true, err);
	if (rc == 0 && s->data_raw)
		rc = zero_data_file(s, guest, len, 0, err);
	return rc > 0 ? write_zeros(s, guest, len, err) : rc;
}

/*
 * [guest, end) is whole units, but at the end of the image. When one is of a
 * compressed cluster, zeros are written to all of it, as QEMU does.
 */
static int zero_units(struct plt_qcow2 *s, uint64_t guest, uint64_t end,
		      unsigned int flags, struct platter_error *err)
{
	enum plt_qcow2_clear how = flags & PLATTER_ZERO_UNMAP ?
				   QCOW2_CLEAR_UNMAP : QCOW2_CLEAR_ZERO;
	uint64_t first = PLT_MIN(plt_align_up(guest, s->cluster_size), end);
	uint64_t last = end == platter_image_size(s->img) ? end :
			PLT_MAX(plt_align_down(end, s->cluster_size), first);
	int rc = 0;

	if (s->h.version < 3)
		how = QCOW2_CLEAR_DISCARD;
	if (s->data_raw)
		rc = zero_data_file(s, guest, end - guest, flags, err);
	if (rc == 0 && guest < first)
		rc = zero_subs(s, guest, first - guest, false, err);
	if (rc == 0 && first < last)
		rc = plt_qcow2_clear(s, how, first, last - first, err);
	if (rc == 0 && last < end)
		rc = zero_subs(s, last, end - last, false, err);
	return rc > 0 ? write_zeros(s, guest, end - guest, err) : rc;
}

int plt_qcow2_zero(struct platter_image *img, uint64_t offset, uint64_t len,
		   unsigned int flags, struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	uint64_t unit = UINT64_C(1) << s->subcluster_bits;
	uint64_t end = offset + len;
	uint64_t first = PLT_MIN(plt_align_up(offset, unit), end);
	uint64_t last = end == platter_image_size(img) ? end :
			PLT_MAX(plt_align_down(end, unit), first);
	int rc = 0;

	if (s->h.version < 3 && has_backing(s))
		return -ENOTSUP;
	if (offset < first)
		rc = zero_edge(s, offset, first - offset, err);
	if (rc == 0 && first < last)
		rc = zero_units(s, first, last, flags, err);
	if (rc == 0 && last < end)
		rc = zero_edge(s, last, end - last, err);
	return rc;
}

int plt_qcow2_discard(struct platter_image *img, uint64_t offset, uint64_t len,
		      struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	uint64_t first = plt_align_up(offset, s->cluster_size);
	uint64_t last = offset + len;
	int rc;

	if (last != platter_image_size(img))
		last = plt_align_down(last, s->cluster_size);
	if (first >= last || (s->h.version < 3 && has_backing(s)))
		return 0;
	if (s->data_raw) {
		rc = zero_data_file(s, first, last - first, PLATTER_ZERO_UNMAP,
				    err);
		if (rc < 0)
			return rc;
	}
	return plt_qcow2_clear(s, QCOW2_CLEAR_DISCARD, first, last - first,
			       err);
}
