/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where guest bytes are: the L1 and L2 tables as maps.
 *
 * A call answers as many maps as there is room for, going over the L2 tables a
 * slice at a time and merging what belongs together, so that the map of a large
 * image costs about as much as reading its L2 tables. `lock` is held, but let
 * go while a slice is read; what was looked up before is looked up again then.
 */
#include <inttypes.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/qcow2.h"

/* In one call, so that `lock` is not held for long: 1 MiB of L2 tables. */
#define SLICES_A_CALL	256

/* Neither in memory nor on disk is there an L2 table for these bytes. */
#define NO_TABLE	1

/*
 * The slice with the entry of guest byte `guest`, pinned, and where in it the
 * entry is. NO_TABLE when the L1 table has none.
 */
static int get_slice(struct plt_qcow2 *s, uint64_t guest,
		     struct plt_qcow2_slice **out, uint32_t *at,
		     struct platter_error *err)
{
	uint64_t index = plt_qcow2_l1_index(s, guest), table, offset;
	uint64_t entry;
	int rc;

	if (index >= s->h.l1_size)
		return NO_TABLE;
	for (;;) {
		entry = s->l1[index];
		table = plt_be64(&entry) & QCOW2_OFFSET_MASK;
		if (!table)
			return NO_TABLE;
		if (table & (s->cluster_size - 1))
			return plt_err_set(err, -EIO, "L1 entry %" PRIu64
				" points to the middle of a cluster, at offset "
				"%#" PRIx64, index, table);
		offset = table + plt_qcow2_l2_index(s, guest) *
			 s->l2_entry_size;
		rc = plt_qcow2_slice_get(s, QCOW2_TABLE_L2, offset, out, err);
		if (rc < 0)
			return plt_err_prefix(err, rc, "reading the L2 table "
					      "for offset %" PRIu64, guest);
		/* It was not locked meanwhile. */
		if (s->l1[index] == entry)
			break;
		plt_qcow2_slice_put(s, *out);
	}
	*at = (uint32_t)(offset - (*out)->offset);
	return 0;
}

static int no_guest_data(struct platter_error *err)
{
	return plt_err_set(err, -EPERM, "the image was opened without its "
			   "guest data");
}

/* The entry of guest byte `guest`; which one it is goes in front of errors. */
static int decode(const struct plt_qcow2 *s, const uint8_t *raw,
		  uint64_t guest, struct plt_qcow2_entry *e,
		  struct platter_error *err)
{
	int rc = plt_qcow2_entry_decode(s, raw, e, err);

	if (rc < 0)
		return plt_err_prefix(err, rc, "offset %" PRIu64, guest);
	return 0;
}

int plt_qcow2_lookup(struct plt_qcow2 *s, uint64_t guest,
		     struct plt_qcow2_entry *out, struct platter_error *err)
{
	struct plt_qcow2_slice *slice;
	uint32_t at;
	int rc;

	if (!s->l1)
		return no_guest_data(err);
	*out = (struct plt_qcow2_entry) { .kind = QCOW2_UNALLOCATED };
	rc = get_slice(s, guest, &slice, &at, err);
	if (rc)
		return rc == NO_TABLE ? 0 : rc;
	rc = decode(s, slice->data + at, guest, out, err);
	plt_qcow2_slice_put(s, slice);
	return rc;
}

/* ---- maps ---- */

struct filling {
	struct platter_map *maps;
	size_t count, room;
	unsigned int slices;
	bool writable;
};

static bool mergeable(const struct platter_map *a, const struct platter_map *b)
{
	bool placed = a->kind == PLATTER_MAP_BACKING ? a->reserved :
						       a->child;

	if (a->kind != b->kind || a->flags != b->flags ||
	    a->child != b->child || a->reserved != b->reserved)
		return false;
	return !placed || a->offset + a->length == b->offset;
}

/* False when there is no room. */
static bool add(struct filling *f, const struct platter_map *m)
{
	struct platter_map *last = f->count ? &f->maps[f->count - 1] : NULL;

	if (last && mergeable(last, m)) {
		last->length += m->length;
		return true;
	}
	if (f->count == f->room)
		return false;
	f->maps[f->count++] = *m;
	return true;
}

/* `in` is the offset within the cluster. */
static struct platter_map one_map(const struct plt_qcow2 *s,
				  const struct filling *f,
				  const struct plt_qcow2_entry *e,
				  enum plt_qcow2_kind kind, uint32_t in,
				  uint64_t len)
{
	struct platter_map m = { .length = len };

	switch (kind) {
	case QCOW2_UNALLOCATED:
		m.kind = PLATTER_MAP_BACKING;
		m.child = s->backing;
		/* Of a cluster whose other subclusters are in use. */
		if (e->kind == QCOW2_NORMAL) {
			m.reserved = s->data;
			m.offset = e->host + in;
		}
		break;
	case QCOW2_ZERO:
		m.kind = PLATTER_MAP_ZERO;
		break;
	case QCOW2_COMPRESSED:
		m.kind = PLATTER_MAP_SPECIAL;
		break;
	case QCOW2_NORMAL:
		m.kind = PLATTER_MAP_DATA;
		/*
		 * Past the end of the file, it has to be made longer first;
		 * over metadata, the writer refuses.
		 */
		if (e->copied && f->writable &&
		    e->host + in + len <= platter_image_size(s->data) &&
		    (s->data_file || !plt_qcow2_overlaps(s, e->host + in,
							 len)))
			m.flags = PLATTER_MAP_WRITABLE;
		if (s->holes)
			m.flags |= PLATTER_MAP_HOLES;
		m.child = s->data;
		m.offset = e->host + in;
		break;
	case QCOW2_ZERO_ALLOCATED:
		m.kind = PLATTER_MAP_ZERO;
		m.child = s->data;
		m.offset = e->host + in;
		break;
	}
	return m;
}

/*
 * Maps for `len` bytes at `in` of one cluster. *done is how many fitted; less
 * than `len` when there is no more room.
 */
static void map_cluster(const struct plt_qcow2 *s, struct filling *f,
			const struct plt_qcow2_entry *e, uint32_t in,
			uint64_t len, uint64_t *done)
{
	bool whole = !s->extl2 || e->kind == QCOW2_COMPRESSED;
	struct platter_map m;
	uint64_t n;

	*done = 0;
	while (len) {
		unsigned int sub = whole ? 0 : in >> s->subcluster_bits;
		uint32_t size = UINT32_C(1) << s->subcluster_bits;

		n = whole ? len : PLT_MIN(len, (uint64_t)(size -
							 (in & (size - 1))));
		m = one_map(s, f, e, plt_qcow2_entry_sub(s, e, sub), in, n);
		if (!add(f, &m))
			return;
		*done += n;
		in += (uint32_t)n;
		len -= n;
	}
}

/* As much as one slice tells. *done < len is the end of it, or of the room. */
static int map_slice(struct plt_qcow2 *s, struct filling *f,
		     const struct plt_qcow2_slice *slice, uint32_t at,
		     uint64_t offset, uint64_t len, uint64_t *done,
		     struct platter_error *err)
{
	uint32_t end = plt_qcow2_slice_size(s);
	int rc = 0;

	*done = 0;
	for (; at < end && len; at += s->l2_entry_size) {
		uint32_t in = (uint32_t)(offset & (s->cluster_size - 1));
		uint64_t n = PLT_MIN(len, (uint64_t)(s->cluster_size - in));
		struct plt_qcow2_entry e;
		uint64_t fitted;

		rc = decode(s, slice->data + at, offset, &e, err);
		if (rc < 0)
			break;
		map_cluster(s, f, &e, in, n, &fitted);
		*done += fitted;
		if (fitted < n)
			break;
		offset += n;
		len -= n;
	}
	return rc;
}

/* What has no L2 table: to the end of what that table would cover. */
static void map_no_table(struct plt_qcow2 *s, struct filling *f,
			 uint64_t offset, uint64_t len, uint64_t *done)
{
	uint64_t covers = UINT64_C(1) << (s->cluster_bits + s->l2_bits);
	struct platter_map m = {
		.length = PLT_MIN(len, covers - (offset & (covers - 1))),
		.kind = PLATTER_MAP_BACKING,
		.child = s->backing,
	};

	*done = add(f, &m) ? m.length : 0;
}

static int map_some(struct plt_qcow2 *s, struct filling *f, uint64_t offset,
		    uint64_t len, uint64_t *done, struct platter_error *err)
{
	struct plt_qcow2_slice *slice;
	uint32_t at;
	int rc;

	rc = get_slice(s, offset, &slice, &at, err);
	if (rc == NO_TABLE) {
		map_no_table(s, f, offset, len, done);
		return 0;
	}
	if (rc < 0)
		return rc;
	f->slices++;
	rc = map_slice(s, f, slice, at, offset, len, done, err);
	plt_qcow2_slice_put(s, slice);
	return rc;
}

int plt_qcow2_map(struct platter_image *img, uint64_t offset, uint64_t len,
		  struct platter_map *maps, size_t *count,
		  struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	struct filling f = {
		.maps = maps,
		.room = *count,
		.writable = platter_image_writable(img),
	};
	/* What is damaged further on is for the call that begins there. */
	struct platter_error later = PLATTER_ERROR_INIT;
	int rc = 0;

	if (!s->l1)
		return no_guest_data(err);
	PLT_LOCK_SCOPE(&s->lock);
	while (rc == 0 && len && f.slices < SLICES_A_CALL) {
		uint64_t done = 0;

		rc = map_some(s, &f, offset, len, &done, f.count ? &later :
			      err);
		if (rc == 0 && done == 0)
			break;
		offset += done;
		len -= done;
	}
	*count = f.count;
	return f.count ? 0 : rc;
}
