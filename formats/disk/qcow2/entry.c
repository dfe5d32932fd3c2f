/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an L2 entry says, and how to say it.
 *
 * Source: QEMU docs/interop/qcow2.rst, "L2 table entry". An entry has 64 bits,
 * or 128 with extended L2, whose second half has an "allocated" and a "zero"
 * bit for each of the 32 subclusters.
 */
#include <inttypes.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "disk/qcow2/qcow2.h"

static int check_compressed(const struct plt_qcow2 *s, uint64_t e,
			    uint64_t bitmap, struct platter_error *err)
{
	if (s->data_file)
		return plt_err_set(err, -EIO, "L2 entry %#" PRIx64 " of a "
				   "compressed cluster, in an image with a "
				   "data file", e);
	if (bitmap)
		return plt_err_set(err, -EIO, "L2 entry %#" PRIx64 " of a "
				   "compressed cluster has the subcluster "
				   "bitmap %#" PRIx64, e, bitmap);
	return 0;
}

static int decode_compressed(const struct plt_qcow2 *s, uint64_t e,
			     uint64_t bitmap, struct plt_qcow2_entry *out,
			     struct platter_error *err)
{
	uint64_t sectors = (e >> s->csize_shift) & s->csize_mask;
	int rc;

	rc = check_compressed(s, e, bitmap, err);
	if (rc < 0)
		return rc;
	out->kind = QCOW2_COMPRESSED;
	out->host = e & s->coffset_mask;
	/* It begins anywhere in a sector, and ends in one `sectors` later. */
	out->compressed_len = (uint32_t)((sectors + 1) * 512 -
					 out->host % 512);
	out->alloc = out->zero = 0;
	return 0;
}

static int check_standard(const struct plt_qcow2 *s, uint64_t e,
			  struct platter_error *err)
{
	uint64_t reserved = QCOW2_L2_RESERVED;
	uint64_t host = e & QCOW2_OFFSET_MASK;

	/* Older than the zero flag, or with a bitmap to say it. */
	if (s->h.version < 3 || s->extl2)
		reserved |= QCOW2_L2_ZERO;
	if (e & reserved)
		return plt_err_set(err, -EIO, "L2 entry %#" PRIx64 " has the "
				   "reserved bits %#" PRIx64 " set", e,
				   e & reserved);
	if (host & (s->cluster_size - 1))
		return plt_err_set(err, -EIO, "L2 entry %#" PRIx64 " points to "
				   "the middle of a cluster of %" PRIu32
				   " bytes", e, s->cluster_size);
	return 0;
}

/* With a data file, offset 0 is a place like any other: bit 63 tells. */
static bool has_host(const struct plt_qcow2 *s, uint64_t e)
{
	if (e & QCOW2_OFFSET_MASK)
		return true;
	return s->data_file && (e & QCOW2_COPIED);
}

static int decode_extended(uint64_t e, uint64_t bitmap,
			   struct plt_qcow2_entry *out,
			   struct platter_error *err)
{
	bool host = out->kind == QCOW2_NORMAL;

	out->alloc = (uint32_t)bitmap;
	out->zero = (uint32_t)(bitmap >> 32);
	if (out->alloc & out->zero)
		return plt_err_set(err, -EIO, "L2 entry %#" PRIx64 " says both "
				   "allocated and zero of subclusters %#"
				   PRIx32, e, out->alloc & out->zero);
	if (out->alloc && !host)
		return plt_err_set(err, -EIO, "L2 entry %#" PRIx64 " has no "
				   "cluster, but the subclusters %#" PRIx32,
				   e, out->alloc);
	if (!host && out->zero)
		out->kind = QCOW2_ZERO;
	return 0;
}

int plt_qcow2_entry_decode(const struct plt_qcow2 *s, const uint8_t *raw,
			   struct plt_qcow2_entry *out,
			   struct platter_error *err)
{
	uint64_t bitmap = s->extl2 ? plt_be64(raw + 8) : 0;
	uint64_t e = plt_be64(raw);
	int rc;

	out->copied = e & QCOW2_COPIED;
	if (e & QCOW2_L2_COMPRESSED)
		return decode_compressed(s, e, bitmap, out, err);
	rc = check_standard(s, e, err);
	if (rc < 0)
		return rc;
	out->compressed_len = 0;
	out->host = e & QCOW2_OFFSET_MASK;
	out->kind = has_host(s, e) ? QCOW2_NORMAL : QCOW2_UNALLOCATED;
	if (s->extl2)
		return decode_extended(e, bitmap, out, err);
	if (e & QCOW2_L2_ZERO)
		out->kind = out->kind == QCOW2_NORMAL ? QCOW2_ZERO_ALLOCATED :
							QCOW2_ZERO;
	out->alloc = out->kind == QCOW2_NORMAL ? UINT32_MAX : 0;
	out->zero = out->kind == QCOW2_ZERO ||
		    out->kind == QCOW2_ZERO_ALLOCATED ? UINT32_MAX : 0;
	return 0;
}

void plt_qcow2_entry_encode(const struct plt_qcow2 *s,
			    const struct plt_qcow2_entry *e, uint8_t *raw)
{
	uint64_t v = e->copied ? QCOW2_COPIED : 0;
	uint64_t sectors;

	if (e->kind == QCOW2_COMPRESSED) {
		sectors = (e->host % 512 + e->compressed_len - 1) / 512;
		v = QCOW2_L2_COMPRESSED | e->host |
		    sectors << s->csize_shift;
	} else if (e->kind == QCOW2_NORMAL ||
		   e->kind == QCOW2_ZERO_ALLOCATED) {
		v |= e->host;
	} else {
		v = 0;
	}
	if (!s->extl2) {
		if (e->kind == QCOW2_ZERO || e->kind == QCOW2_ZERO_ALLOCATED)
			v |= QCOW2_L2_ZERO;
		plt_put_be64(raw, v);
		return;
	}
	plt_put_be64(raw, v);
	plt_put_be64(raw + 8, e->kind == QCOW2_COMPRESSED ? 0 :
		     (uint64_t)e->zero << 32 | e->alloc);
}

enum plt_qcow2_kind plt_qcow2_entry_sub(const struct plt_qcow2 *s,
					const struct plt_qcow2_entry *e,
					unsigned int sub)
{
	uint32_t bit = UINT32_C(1) << sub;

	if (!s->extl2 || e->kind == QCOW2_COMPRESSED)
		return e->kind;
	if (e->alloc & bit)
		return QCOW2_NORMAL;
	if (!(e->zero & bit))
		return QCOW2_UNALLOCATED;
	return e->kind == QCOW2_NORMAL || e->kind == QCOW2_ZERO_ALLOCATED ?
	       QCOW2_ZERO_ALLOCATED : QCOW2_ZERO;
}
