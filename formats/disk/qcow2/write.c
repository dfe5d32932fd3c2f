/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing where guest data cannot be overwritten in place.
 *
 * A request is cut to what one slice of an L2 table describes. Its clusters are
 * claimed, then taken in runs of one of two kinds: those that keep their
 * cluster (it reads as zeros so far, or some subclusters have no data), and
 * those that get a new one. For a run the data is written first, together with
 * what it shares a subcluster with (copy-on-write), and without `lock`; the L2
 * entries change after that, and the old clusters are given up. When anything
 * fails in between, the entries are as they were.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "disk/qcow2/alloc.h"

/* Copy-on-write up to this goes out together with the data, in one write. */
#define BOUNCE_MAX	(256u << 10)
/* Zeros in a fresh part of the file, from this on, are not worth a copy. */
#define ZEROS_MIN	(16u << 10)

/* A run of clusters, and what is to be written there. */
struct run {
	uint64_t guest;		/* its first cluster */
	uint64_t clusters;
	uint64_t host;
	bool fresh;		/* the file is zeros there */
	bool keep;		/* the clusters are the old ones */
	uint64_t offset, len;	/* the data, in guest bytes */
	uint64_t start, end;	/* with copy-on-write around it */
};

/* ---- what is to be copied ---- */

/* Subclusters that have bytes of their own. */
static uint32_t allocated(const struct plt_qcow2 *s,
			  const struct plt_qcow2_entry *e)
{
	uint32_t all = (uint32_t)((UINT64_C(1) << s->subclusters) - 1);

	return (e->kind == QCOW2_COMPRESSED ? all : e->alloc) & all;
}

static unsigned int subcluster(const struct plt_qcow2 *s, uint64_t guest)
{
	return (guest & (s->cluster_size - 1)) >> s->subcluster_bits;
}

/* Where copying begins in the cluster of the data's first byte. */
static uint64_t copy_start(const struct plt_qcow2 *s, const struct run *r,
			   const struct plt_qcow2_entry *e)
{
	unsigned int sub = subcluster(s, r->offset);
	uint32_t alloc = allocated(s, e);

	if (r->keep && plt_qcow2_entry_sub(s, e, sub) == QCOW2_NORMAL)
		return r->offset;
	if (!r->keep && alloc)
		sub = PLT_MIN(sub, (unsigned int)__builtin_ctz(alloc));
	return r->guest + ((uint64_t)sub << s->subcluster_bits);
}

/* Where it ends in the cluster of the last one. */
static uint64_t copy_end(const struct plt_qcow2 *s, const struct run *r,
			 const struct plt_qcow2_entry *e)
{
	uint64_t last = r->offset + r->len - 1;
	unsigned int sub = subcluster(s, last);
	uint32_t alloc = allocated(s, e);

	if (r->keep && plt_qcow2_entry_sub(s, e, sub) == QCOW2_NORMAL)
		return last + 1;
	if (!r->keep && alloc)
		sub = PLT_MAX(sub, 31 - (unsigned int)__builtin_clz(alloc));
	return plt_align_down(last, s->cluster_size) +
	       ((uint64_t)(sub + 1) << s->subcluster_bits);
}

/* ---- reading what is to be copied ---- */

/* 1: all of it is zeros, and `buf` is not filled. */
static int known_zero(struct plt_qcow2 *s, uint64_t guest, uint64_t len,
		      struct platter_error *err)
{
	struct platter_map maps[8];

	while (len) {
		size_t count = PLT_ARRAY_SIZE(maps);
		int rc;

		rc = plt_qcow2_map(s->img, guest, len, maps, &count, err);
		if (rc < 0)
			return rc;
		for (size_t i = 0; i < count; i++) {
			if (maps[i].kind != PLATTER_MAP_ZERO &&
			    (maps[i].kind != PLATTER_MAP_BACKING ||
			     (maps[i].child &&
			      guest < platter_image_size(maps[i].child))))
				return 0;
			guest += maps[i].length;
			len -= maps[i].length;
		}
	}
	return 1;
}

/* A part beside the data. Without `lock`. */
struct part {
	uint64_t guest, len;
	bool zero;
	uint8_t *buf;		/* unless zero */
};

static void free_part(struct part *p)
{
	free(p->buf);
}

static int read_child(struct platter_image *child, uint8_t *buf, uint64_t len,
		      uint64_t offset, struct platter_error *err)
{
	uint64_t size = child ? platter_image_size(child) : 0;

	if (offset >= size)
		return 0;
	return platter_image_pread(child, buf, PLT_MIN(len, size - offset),
				   offset, err);
}

static int read_map(struct plt_qcow2 *s, const struct platter_map *m,
		    uint8_t *buf, uint64_t guest, struct platter_error *err)
{
	switch (m->kind) {
	case PLATTER_MAP_DATA:
		return read_child(m->child, buf, m->length, m->offset, err);
	case PLATTER_MAP_BACKING:
		return read_child(m->child, buf, m->length, guest, err);
	case PLATTER_MAP_SPECIAL:
		return plt_qcow2_read_special(s->img, buf, m->length, guest,
					      err);
	case PLATTER_MAP_ZERO:
		break;
	}
	return 0;
}

/*
 * Through the map and not through the node: the last cluster may be longer
 * than the image, and goes with all it has. `buf` is zeros.
 */
static int read_old(struct plt_qcow2 *s, uint8_t *buf, uint64_t len,
		    uint64_t guest, struct platter_error *err)
{
	int rc = 0;

	while (rc == 0 && len) {
		struct platter_map m;
		size_t count = 1;

		rc = plt_qcow2_map(s->img, guest, len, &m, &count, err);
		if (rc == 0)
			rc = read_map(s, &m, buf, guest, err);
		if (rc < 0)
			break;
		buf += m.length;
		guest += m.length;
		len -= m.length;
	}
	return rc;
}

static int read_part(struct plt_qcow2 *s, struct part *p,
		     struct platter_error *err)
{
	int rc;

	if (!p->len)
		return 0;
	rc = known_zero(s, p->guest, p->len, err);
	if (rc < 0)
		return rc;
	p->zero = rc;
	if (p->zero)
		return 0;
	p->buf = plt_calloc(1, p->len, err);
	return p->buf ? read_old(s, p->buf, p->len, p->guest, err) : -ENOMEM;
}

/* ---- writing the data ---- */

static uint64_t host_of(const struct run *r, uint64_t guest)
{
	return r->host + (guest - r->guest);
}

static int write_part(struct plt_qcow2 *s, const struct run *r,
		      const struct part *p, struct platter_error *err)
{
	if (!p->len)
		return 0;
	if (p->zero)
		return platter_image_zero(s->data, host_of(r, p->guest),
					  p->len, 0, err);
	return platter_image_pwrite(s->data, p->buf, p->len,
				    host_of(r, p->guest), err);
}

static void copy_part(uint8_t *to, const struct part *p)
{
	if (p->len && !p->zero)
		memcpy(to, p->buf, p->len);
}

static int write_together(struct plt_qcow2 *s, const struct run *r,
			  const uint8_t *buf, const struct part *head,
			  const struct part *tail, struct platter_error *err)
{
	uint64_t len = head->len + r->len + tail->len;
	plt_auto_free uint8_t *all = plt_calloc(1, len, err);

	if (!all)
		return -ENOMEM;
	copy_part(all, head);
	memcpy(all + head->len, buf, r->len);
	copy_part(all + head->len + r->len, tail);
	return platter_image_pwrite(s->data, all, len,
				    host_of(r, r->offset) - head->len, err);
}

static int write_parts(struct plt_qcow2 *s, const struct run *r,
		       const uint8_t *buf, const struct part *head,
		       const struct part *tail, struct platter_error *err)
{
	uint64_t zeros = head->zero * head->len + tail->zero * tail->len;
	uint64_t all = head->len + r->len + tail->len;
	int rc = 0;

	if (!(head->len + tail->len))
		return platter_image_pwrite(s->data, buf, r->len,
					    host_of(r, r->offset), err);
	/* A fresh part is zeros anyway, but it gets its space now. */
	if (r->fresh && zeros == head->len + tail->len && zeros >= ZEROS_MIN) {
		rc = platter_image_zero(s->data, host_of(r, r->start), all, 0,
					err);
		return rc < 0 ? rc : platter_image_pwrite(s->data, buf, r->len,
						host_of(r, r->offset), err);
	}
	if (all <= BOUNCE_MAX)
		return write_together(s, r, buf, head, tail, err);
	rc = write_part(s, r, head, err);
	if (rc == 0)
		rc = platter_image_pwrite(s->data, buf, r->len,
					  host_of(r, r->offset), err);
	if (rc == 0)
		rc = write_part(s, r, tail, err);
	return rc;
}

/* Without `lock`: nothing refers to the run yet, or the claim protects it. */
static int write_run(struct plt_qcow2 *s, const struct run *r,
		     const uint8_t *buf, struct platter_error *err)
{
	struct part head __attribute__((cleanup(free_part))) = {
		.guest = r->start,
		.len = r->offset - r->start,
	};
	struct part tail __attribute__((cleanup(free_part))) = {
		.guest = r->offset + r->len,
		.len = r->end - (r->offset + r->len),
	};
	int rc;

	rc = read_part(s, &head, err);
	if (rc == 0)
		rc = read_part(s, &tail, err);
	if (rc < 0)
		return plt_err_prefix(err, rc, "copy-on-write");
	return write_parts(s, r, buf, &head, &tail, err);
}

/* ---- where it goes ---- */

/* How many clusters from `raw` on are of one kind, at most `max`. */
static int measure_run(struct plt_qcow2 *s, struct run *r, const uint8_t *raw,
		       uint64_t max, struct platter_error *err)
{
	struct plt_qcow2_entry e;
	uint64_t n;
	int rc;

	for (n = 0; n < max; n++) {
		rc = plt_qcow2_entry_decode(s, raw + n * s->l2_entry_size, &e,
					    err);
		if (rc < 0)
			return rc;
		if (n == 0) {
			r->keep = plt_qcow2_own_host(&e);
			r->host = e.host;
		}
		if (plt_qcow2_own_host(&e) != r->keep ||
		    (r->keep && e.host != r->host + (n << s->cluster_bits)))
			break;
	}
	r->clusters = n;
	return 0;
}

/* A data file has the bytes at their guest offset. */
static int place_in_data_file(struct plt_qcow2 *s, struct run *r,
			      struct platter_error *err)
{
	uint64_t size = platter_image_size(s->data);

	r->host = r->guest;
	r->fresh = !r->keep && r->host >= size;
	return r->end <= size ? 0 : platter_image_resize(s->data, r->end, err);
}

static int place(struct plt_qcow2 *s, struct run *r, struct platter_error *err)
{
	struct plt_qcow2_run got;
	int rc;

	if (r->keep) {
		rc = plt_qcow2_check_overlap(s, 0, r->host, r->clusters <<
					     s->cluster_bits, err);
		return rc < 0 ? rc : plt_qcow2_extend_file(s, r->host +
				(r->clusters << s->cluster_bits), err);
	}
	rc = plt_qcow2_alloc_run(s, 1, r->clusters, &got, err);
	if (rc < 0)
		return rc;
	r->host = got.host;
	r->clusters = got.clusters;
	r->fresh = got.fresh;
	return 0;
}

/* Fill in what of the run is written; the entries at `raw` are the old ones. */
static int frame_run(struct plt_qcow2 *s, struct run *r, const uint8_t *raw,
		     uint64_t offset, uint64_t len, struct platter_error *err)
{
	uint64_t end = r->guest + (r->clusters << s->cluster_bits);
	struct plt_qcow2_entry first, last;
	int rc;

	r->offset = offset;
	r->len = PLT_MIN(len, end - offset);
	rc = plt_qcow2_entry_decode(s, raw, &first, err);
	if (rc == 0)
		rc = plt_qcow2_entry_decode(s, raw + (r->clusters - 1) *
					    s->l2_entry_size, &last, err);
	if (rc < 0)
		return rc;
	r->start = copy_start(s, r, &first);
	r->end = copy_end(s, r, &last);
	/* A raw data file is as long as the image, not longer. */
	if (s->data_file && r->end > platter_image_size(s->img))
		r->end = PLT_MAX(offset + r->len, platter_image_size(s->img));
	return 0;
}

/* ---- making it known ---- */

/* The subclusters of cluster `i` of the run that have been written. */
static uint32_t written_subs(const struct plt_qcow2 *s, const struct run *r,
			     uint64_t i)
{
	uint64_t guest = r->guest + (i << s->cluster_bits);
	uint64_t end = guest + s->cluster_size;
	unsigned int first = r->start > guest ? subcluster(s, r->start) : 0;
	unsigned int last = r->end < end ? subcluster(s, r->end - 1) :
					   s->subclusters - 1;

	return (uint32_t)((UINT64_C(2) << last) - (UINT64_C(1) << first));
}

static void update_entry(struct plt_qcow2 *s, const struct run *r, uint64_t i,
			 uint8_t *raw, struct plt_qcow2_entry *old)
{
	struct plt_qcow2_entry e = *old;
	uint32_t subs = written_subs(s, r, i);

	if (!s->extl2)
		subs = UINT32_MAX;
	if (old->kind == QCOW2_COMPRESSED)
		e.alloc = e.zero = 0;
	e.kind = QCOW2_NORMAL;
	e.copied = true;
	e.host = r->host + (i << s->cluster_bits);
	e.alloc |= subs;
	e.zero &= ~subs;
	plt_qcow2_entry_encode(s, &e, raw);
}

static int update_entries(struct plt_qcow2 *s, const struct run *r,
			  struct plt_qcow2_slice *slice, uint8_t *raw,
			  struct platter_error *err)
{
	for (uint64_t i = 0; i < r->clusters; i++) {
		uint8_t *at = raw + i * s->l2_entry_size;
		struct plt_qcow2_entry old;
		int rc;

		/* It was good before, and the claim has kept it. */
		rc = plt_qcow2_entry_decode(s, at, &old, err);
		if (rc < 0)
			return rc;
		update_entry(s, r, i, at, &old);
		if (!r->keep)
			plt_qcow2_release(s, &old, false);
	}
	plt_qcow2_slice_dirty(s, slice);
	return 0;
}

/* ---- one run ---- */

static int store_run(struct plt_qcow2 *s, struct run *r, const uint8_t *buf,
		     struct plt_qcow2_slice *slice, uint8_t *raw,
		     struct platter_error *err)
{
	int rc;

	pthread_mutex_unlock(&s->lock);
	rc = write_run(s, r, buf, err);
	pthread_mutex_lock(&s->lock);
	if (rc == 0)
		rc = update_entries(s, r, slice, raw, err);
	if (rc < 0 && !r->keep && !s->data_file)
		plt_qcow2_unalloc(s, r->host, r->clusters << s->cluster_bits);
	return rc;
}

static int write_slice(struct plt_qcow2 *s, const uint8_t *buf, uint64_t *len,
		       uint64_t offset, struct plt_qcow2_slice *slice,
		       uint8_t *raw, struct platter_error *err)
{
	struct run r = { .guest = plt_align_down(offset, s->cluster_size) };
	uint64_t want = plt_qcow2_clusters(s, offset - r.guest + *len);
	int rc;

	rc = measure_run(s, &r, raw, want, err);
	if (rc == 0 && !s->data_file)
		rc = place(s, &r, err);
	if (rc < 0)
		return rc;
	rc = frame_run(s, &r, raw, offset, *len, err);
	if (rc == 0 && s->data_file)
		rc = place_in_data_file(s, &r, err);
	*len = r.len;
	return rc < 0 ? rc : store_run(s, &r, buf, slice, raw, err);
}

static int write_claimed(struct plt_qcow2 *s, const uint8_t *buf, uint64_t *len,
			 uint64_t offset, struct platter_error *err)
{
	struct plt_qcow2_slice *slice;
	uint64_t left;
	uint8_t *raw;
	int rc;

	rc = plt_qcow2_l2_write(s, offset, &slice, &raw, &left, err);
	if (rc < 0)
		return rc;
	rc = write_slice(s, buf, len, offset, slice, raw, err);
	plt_qcow2_slice_put(s, slice);
	return rc;
}

int plt_qcow2_write(struct platter_image *img, const void *buf, size_t len,
		    uint64_t offset, size_t *done, struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	uint64_t n = plt_qcow2_l2_clip(s, offset, len);
	struct plt_claim claim;
	int rc;

	PLT_LOCK_SCOPE(&s->lock);
	plt_claim_take(&s->claims, &claim,
		       plt_align_down(offset, s->cluster_size),
		       plt_align_up(offset + n, s->cluster_size), &s->lock);
	rc = write_claimed(s, buf, &n, offset, err);
	plt_claim_drop(&s->claims, &claim);
	*done = n;
	return rc;
}
