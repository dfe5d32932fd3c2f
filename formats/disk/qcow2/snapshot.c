/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of internal snapshots: read, kept in memory, shown, encoded.
 *
 * A row is 40 bytes, extra data, ID and name, and begins at a multiple of 8
 * (QEMU docs/interop/qcow2.rst, "Snapshots"). Rows have no fixed size, so the
 * table has none that the header would tell: it ends after the last row. What
 * the L1 tables of snapshots refer to is looked at only when one is used; a
 * snapshot that is damaged does not keep the image from being opened.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/snapshot.h"

#define WINDOW		(256u << 10)	/* bytes read at a time; > any row */
#define EXTRA_KNOWN	24u	/* VM state, disk size, icount */

/* ---- the table in memory ---- */

static void row_free(struct platter_snapshot *info,
		     struct plt_qcow2_snapshot_row *row)
{
	free((char *)info->id);
	free((char *)info->name);
	free(row->extra);
}

void plt_qcow2_snapshots_table_free(struct plt_qcow2_snapshots *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->nr; i++)
		row_free(&t->list[i], &t->row[i]);
	free(t->list);
	free(t->row);
	free(t);
}

static int table_new(struct plt_qcow2_snapshots **out, size_t room,
		     struct platter_error *err)
{
	struct plt_qcow2_snapshots *t = plt_calloc(1, sizeof(*t), err);

	if (!t)
		return -ENOMEM;
	t->list = plt_calloc(room ? room : 1, sizeof(*t->list), err);
	if (t->list)
		t->row = plt_calloc(room ? room : 1, sizeof(*t->row), err);
	if (!t->row) {
		plt_qcow2_snapshots_table_free(t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

/* The caller has seen to the room. */
static int append(struct plt_qcow2_snapshots *t,
		  const struct platter_snapshot *info, size_t id_len,
		  size_t name_len, const struct plt_qcow2_snapshot_row *row,
		  struct platter_error *err)
{
	struct platter_snapshot copy = *info;
	struct plt_qcow2_snapshot_row r = *row;
	char *id = plt_calloc(1, id_len + 1, err);
	char *name = id ? plt_calloc(1, name_len + 1, err) : NULL;

	copy.id = id;
	copy.name = name;
	r.extra = NULL;
	if (name && r.extra_len)
		r.extra = plt_calloc(1, r.extra_len, err);
	if (!name || (r.extra_len && !r.extra)) {
		row_free(&copy, &r);
		return -ENOMEM;
	}
	memcpy(id, info->id, id_len);
	memcpy(name, info->name, name_len);
	if (r.extra_len)
		memcpy(r.extra, row->extra, r.extra_len);
	t->list[t->nr] = copy;
	t->row[t->nr++] = r;
	return 0;
}

int plt_qcow2_snapshots_append(struct plt_qcow2_snapshots *t,
			       const struct platter_snapshot *info,
			       const struct plt_qcow2_snapshot_row *row,
			       struct platter_error *err)
{
	return append(t, info, strlen(info->id), strlen(info->name), row, err);
}

int plt_qcow2_snapshots_copy(struct plt_qcow2_snapshots **out,
			     const struct plt_qcow2_snapshots *old,
			     size_t skip, struct platter_error *err)
{
	struct plt_qcow2_snapshots *t;
	size_t nr = old ? old->nr : 0;
	int rc;

	rc = table_new(&t, nr + 1, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < nr && !rc; i++) {
		if (i != skip)
			rc = plt_qcow2_snapshots_append(t, &old->list[i],
							&old->row[i], err);
	}
	if (rc) {
		plt_qcow2_snapshots_table_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

/* ---- reading ---- */

struct window {
	struct platter_image *file;
	uint8_t *buf;		/* WINDOW bytes */
	uint64_t start, len;	/* what it holds of the file */
};

/* The `len` bytes at `offset`, good until the next call. */
static int window_get(struct window *w, uint64_t offset, size_t len,
		      const uint8_t **out, struct platter_error *err)
{
	uint64_t size = platter_image_size(w->file);

	if (offset > size || len > size - offset)
		return plt_err_set(err, -EINVAL, "snapshot table reaches to "
				   "offset %" PRIu64 ", beyond the end of the "
				   "file at %" PRIu64, offset + len, size);
	if (offset < w->start || offset + len > w->start + w->len) {
		uint64_t n = PLT_MIN(size - offset, (uint64_t)WINDOW);
		int rc = platter_image_pread(w->file, w->buf, n, offset, err);

		if (rc)
			return plt_err_prefix(err, rc, "snapshot table");
		w->start = offset;
		w->len = n;
	}
	*out = w->buf + (offset - w->start);
	return 0;
}

static void decode_extra(const uint8_t *p, uint32_t len,
			 struct platter_snapshot *info,
			 struct plt_qcow2_snapshot_row *row)
{
	if (len >= 8)
		info->vm_state_size = plt_be64(p);
	if (len >= 16)
		info->disk_size = plt_be64(p + 8);
	info->icount = len >= EXTRA_KNOWN ? plt_be64(p + 16) : UINT64_MAX;
	if (len > EXTRA_KNOWN) {
		row->extra_len = len - EXTRA_KNOWN;
		row->extra = (uint8_t *)p + EXTRA_KNOWN;
	}
}

/* The row at *offset of the file, which moves behind it. */
static int read_row(struct plt_qcow2 *s, struct window *w, uint64_t *offset,
		    struct plt_qcow2_snapshots *t, struct platter_error *err)
{
	struct platter_snapshot info = { .disk_size = s->h.size };
	struct plt_qcow2_snapshot_row row = { .l1_size = 0 };
	size_t id_len, name_len;
	const uint8_t *p;
	uint32_t extra;
	int rc;

	rc = window_get(w, *offset, QCOW2_SNAPSHOT_ROW, &p, err);
	if (rc)
		return rc;
	row.l1_offset = plt_be64(p);
	row.l1_size = plt_be32(p + 8);
	id_len = plt_be16(p + 12);
	name_len = plt_be16(p + 14);
	info.date_sec = plt_be32(p + 16);
	info.date_nsec = plt_be32(p + 20);
	info.vm_clock_nsec = plt_be64(p + 24);
	info.vm_state_size = plt_be32(p + 32);
	extra = plt_be32(p + 36);
	/* A repair writes the row anew, with as much as is allowed. */
	if (extra > (platter_image_flags(s->img) & PLATTER_O_CHECK ?
		     WINDOW / 4 : QCOW2_MAX_SNAPSHOT_EXTRA))
		return plt_err_set(err, -EFBIG, "snapshot table entry %zu has "
				   "%" PRIu32 " bytes of extra data, over the "
				   "limit of %u", t->nr, extra,
				   QCOW2_MAX_SNAPSHOT_EXTRA);
	rc = window_get(w, *offset + QCOW2_SNAPSHOT_ROW,
			extra + id_len + name_len, &p, err);
	if (rc)
		return rc;
	decode_extra(p, PLT_MIN(extra, (uint32_t)QCOW2_MAX_SNAPSHOT_EXTRA),
		     &info, &row);
	info.id = (const char *)p + extra;
	info.name = info.id + id_len;
	*offset = plt_align_up(*offset + QCOW2_SNAPSHOT_ROW + extra + id_len +
			       name_len, 8);
	return append(t, &info, id_len, name_len, &row, err);
}

static int read_table(struct plt_qcow2 *s, struct plt_qcow2_snapshots *t,
		      struct platter_error *err)
{
	struct window w = { .file = s->file };
	uint64_t offset = s->h.snapshots_offset;
	int rc = 0;

	w.buf = plt_calloc(1, WINDOW, err);
	if (!w.buf)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->h.nb_snapshots && !rc; i++) {
		rc = read_row(s, &w, &offset, t, err);
		if (!rc && offset - s->h.snapshots_offset >
			   QCOW2_MAX_SNAPSHOT_TABLE)
			rc = plt_err_set(err, -EFBIG, "snapshot table is over "
					 "the limit of %u bytes",
					 QCOW2_MAX_SNAPSHOT_TABLE);
		if (!rc)
			t->table_size = offset - s->h.snapshots_offset;
	}
	free(w.buf);
	return rc;
}

int plt_qcow2_snapshots_load(struct plt_qcow2 *s, unsigned int flags,
			     struct platter_error *err)
{
	struct platter_error why = PLATTER_ERROR_INIT;
	struct plt_qcow2_snapshots *t;
	uint32_t nr = s->h.nb_snapshots;
	int rc;

	plt_qcow2_snapshots_free(s);
	if (nr > QCOW2_MAX_SNAPSHOTS) {
		if (!(flags & PLATTER_O_CHECK))
			return plt_err_set(err, -EFBIG, "%" PRIu32 " snapshots "
					   "are over the limit of %u", nr,
					   QCOW2_MAX_SNAPSHOTS);
		nr = 0;
	}
	rc = table_new(&t, nr, err);
	if (rc)
		return rc;
	if (nr)
		rc = read_table(s, t, &why);
	/* A check tells what is wrong itself; the rows before are good. */
	if (rc && (rc == -ENOMEM || !(flags & PLATTER_O_CHECK))) {
		plt_qcow2_snapshots_table_free(t);
		return plt_err_set(err, rc, "%s", why.msg);
	}
	s->snapshots = t;
	return 0;
}

void plt_qcow2_snapshots_free(struct plt_qcow2 *s)
{
	plt_qcow2_snapshots_table_free(s->snapshots);
	s->snapshots = NULL;
}

/* ---- looking ---- */

int plt_qcow2_snapshots_list(struct platter_image *img,
			     const struct platter_snapshot **list,
			     size_t *count, struct platter_error *err)
{
	const struct plt_qcow2 *s = platter_image_state(img);

	(void)err;
	*list = s->snapshots ? s->snapshots->list : NULL;
	*count = s->snapshots ? s->snapshots->nr : 0;
	return 0;
}

bool plt_qcow2_snapshot_l1(const struct plt_qcow2 *s, size_t i,
			   uint64_t *offset, uint32_t *entries)
{
	if (!s->snapshots || i >= s->snapshots->nr)
		return false;
	*offset = s->snapshots->row[i].l1_offset;
	*entries = s->snapshots->row[i].l1_size;
	return true;
}

uint64_t plt_qcow2_snapshot_table_size(const struct plt_qcow2 *s)
{
	return s->snapshots ? s->snapshots->table_size : 0;
}

static bool find_by(const struct plt_qcow2_snapshots *t, const char *text,
		    bool by_name, size_t *index)
{
	for (size_t i = 0; t && i < t->nr; i++) {
		if (!strcmp(by_name ? t->list[i].name : t->list[i].id, text)) {
			*index = i;
			return true;
		}
	}
	return false;
}

int plt_qcow2_snapshot_find(const struct plt_qcow2 *s, const char *name,
			    bool name_first, size_t *index,
			    struct platter_error *err)
{
	if (find_by(s->snapshots, name, name_first, index) ||
	    find_by(s->snapshots, name, !name_first, index))
		return 0;
	return plt_err_set(err, -ENOENT, "snapshot '%s' not found", name);
}

int plt_qcow2_snapshot_read_l1(struct plt_qcow2 *s, size_t i, uint64_t **l1,
			       struct platter_error *err)
{
	const struct plt_qcow2_snapshot_row *row = &s->snapshots->row[i];
	uint64_t end, bytes = (uint64_t)row->l1_size * 8;
	uint64_t file = platter_image_size(s->file);
	int rc;

	if (bytes > QCOW2_MAX_L1_BYTES)
		return plt_err_set(err, -EFBIG, "snapshot L1 table of %" PRIu32
				   " entries is over the limit of %u",
				   row->l1_size, QCOW2_MAX_L1_BYTES / 8);
	if (row->l1_offset & (s->cluster_size - 1))
		return plt_err_set(err, -EINVAL, "snapshot L1 table at offset "
				   "%" PRIu64 " is not aligned to clusters of "
				   "%" PRIu32, row->l1_offset,
				   s->cluster_size);
	if (!plt_add_u64(&end, row->l1_offset, bytes) || end > file)
		return plt_err_set(err, -EINVAL, "snapshot L1 table at offset "
				   "%" PRIu64 " with %" PRIu32 " entries "
				   "reaches beyond the end of the file at %"
				   PRIu64, row->l1_offset, row->l1_size, file);
	*l1 = plt_calloc(row->l1_size ? row->l1_size : 1, 8, err);
	if (!*l1)
		return -ENOMEM;
	if (!bytes)
		return 0;
	rc = platter_image_pread(s->file, *l1, bytes, row->l1_offset, err);
	if (rc) {
		free(*l1);
		*l1 = NULL;
	}
	return rc;
}

int plt_qcow2_snapshot_view(struct plt_qcow2 *s, const char *name,
			    struct platter_error *err)
{
	uint64_t *l1, size, per_l1;
	uint32_t entries;
	size_t i;
	int rc;

	rc = plt_qcow2_snapshot_find(s, name, false, &i, err);
	if (rc)
		return rc;
	entries = s->snapshots->row[i].l1_size;
	size = s->snapshots->list[i].disk_size;
	per_l1 = UINT64_C(1) << (s->cluster_bits + s->l2_bits);
	if (size > PLT_OFFSET_MAX ||
	    size / per_l1 + !!(size % per_l1) > entries)
		return plt_err_set(err, -EINVAL, "snapshot '%s' has an L1 "
				   "table of %" PRIu32 " entries, too few for "
				   "its size of %" PRIu64, name, entries,
				   size);
	rc = plt_qcow2_snapshot_read_l1(s, i, &l1, err);
	if (rc)
		return rc;
	free(s->l1);
	s->l1 = l1;
	s->h.l1_size = entries;
	s->h.l1_offset = s->snapshots->row[i].l1_offset;
	s->h.size = size;
	s->snapshot_view = true;
	return 0;
}

/* ---- encoding ---- */

static uint64_t row_size(const struct plt_qcow2_snapshots *t, size_t i)
{
	return plt_align_up(QCOW2_SNAPSHOT_ROW + EXTRA_KNOWN +
			    t->row[i].extra_len + strlen(t->list[i].id) +
			    strlen(t->list[i].name), 8);
}

static void encode_row(const struct platter_snapshot *info,
		       const struct plt_qcow2_snapshot_row *row, uint8_t *p)
{
	size_t id = strlen(info->id), name = strlen(info->name);
	bool large = info->vm_state_size > UINT32_MAX;

	plt_put_be64(p, row->l1_offset);
	plt_put_be32(p + 8, row->l1_size);
	plt_put_be16(p + 12, (uint16_t)id);
	plt_put_be16(p + 14, (uint16_t)name);
	plt_put_be32(p + 16, info->date_sec);
	plt_put_be32(p + 20, info->date_nsec);
	plt_put_be64(p + 24, info->vm_clock_nsec);
	plt_put_be32(p + 32, large ? 0 : (uint32_t)info->vm_state_size);
	plt_put_be32(p + 36, EXTRA_KNOWN + row->extra_len);
	p += QCOW2_SNAPSHOT_ROW;
	plt_put_be64(p, info->vm_state_size);
	plt_put_be64(p + 8, info->disk_size);
	plt_put_be64(p + 16, info->icount);
	p += EXTRA_KNOWN;
	if (row->extra_len)
		memcpy(p, row->extra, row->extra_len);
	p += row->extra_len;
	memcpy(p, info->id, id);
	memcpy(p + id, info->name, name);
}

int plt_qcow2_snapshots_encode(struct plt_qcow2_snapshots *t, uint8_t **buf,
			       struct platter_error *err)
{
	uint64_t total = 0, at = 0;

	for (size_t i = 0; i < t->nr; i++)
		total += row_size(t, i);
	if (total > QCOW2_MAX_SNAPSHOT_TABLE)
		return plt_err_set(err, -EFBIG, "snapshot table of %" PRIu64
				   " bytes is over the limit of %u", total,
				   QCOW2_MAX_SNAPSHOT_TABLE);
	*buf = NULL;
	t->table_size = total;
	if (!total)
		return 0;
	*buf = plt_calloc(1, total, err);
	if (!*buf)
		return -ENOMEM;
	for (size_t i = 0; i < t->nr; i++) {
		encode_row(&t->list[i], &t->row[i], *buf + at);
		at += row_size(t, i);
	}
	return 0;
}
