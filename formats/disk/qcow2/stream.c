/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qcow2: writing a new image from front to back, to what cannot seek.
 *
 * Everything is laid out before the first byte is sent: header, refcount table
 * and blocks, L1 table, L2 tables, data. For that the source's map is walked
 * once to count clusters, again for each kind of table, and a last time along
 * with the data, so that memory does not grow with the image. What the map says
 * is data gets a cluster, be it zeros or not. A source that changes meanwhile
 * is noticed: the clusters that arrive are compared with the ones promised.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/opts.h"
#include "copy/extents.h"
#include "disk/qcow2/qcow2.h"
#include "disk/qcow2/settings.h"

/* ---- runs of guest clusters with data ---- */

struct runs {
	struct plt_extents *map;
	unsigned int cluster_bits;
	uint64_t size;		/* of the disk */
	uint64_t offset;	/* the map has been seen up to here */
	uint64_t first, count;	/* clusters of the run */
};

static int runs_open(struct runs *r, struct platter_image *src,
		     unsigned int cluster_bits, struct platter_error *err)
{
	*r = (struct runs){
		.cluster_bits = cluster_bits,
		.size = platter_image_size(src),
	};
	return plt_extents_new(&r->map, src, r->size, err);
}

static void runs_close(struct runs *r)
{
	free(r->map);
}

/* The next run; 1 when there is none. */
static int runs_next(struct runs *r, struct platter_error *err)
{
	uint64_t next = r->first + r->count;
	struct platter_extent ext;
	int rc;

	while (r->offset < r->size) {
		uint64_t first, end;

		rc = plt_extents_at(r->map, r->offset, &ext, err);
		if (rc)
			return rc;
		r->offset += ext.length;
		if (ext.flags & PLATTER_EXTENT_ZERO)
			continue;
		/* A cluster may hold more than one extent. */
		first = PLT_MAX(ext.offset >> r->cluster_bits, next);
		end = ((r->offset - 1) >> r->cluster_bits) + 1;
		if (first >= end)
			continue;
		r->first = first;
		r->count = end - first;
		return 0;
	}
	return 1;
}

/* ---- the layout ---- */

struct streamer {
	struct plt_qcow2_settings c;
	struct platter_sink *sink;
	struct platter_image *src;
	uint64_t size;			/* of the disk */
	unsigned int entry_size;	/* of an L2 entry, bytes */
	unsigned int l2_bits;
	/* Clusters of each part, in the order of the file. */
	uint64_t reftable, refblocks, l1, l2, data;
	uint64_t l1_entries;
	uint8_t *buf;			/* a cluster */
	/* While data is sent. */
	struct runs promised;
	uint64_t at;			/* guest byte, unless `begun` is 0 */
	uint64_t sent;			/* clusters begun */
};

static uint32_t cluster_size(const struct streamer *s)
{
	return UINT32_C(1) << s->c.cluster_bits;
}

static uint64_t l1_cluster(const struct streamer *s)
{
	return 1 + s->reftable + s->refblocks;
}

static uint64_t l2_cluster(const struct streamer *s)
{
	return l1_cluster(s) + s->l1;
}

static uint64_t data_cluster(const struct streamer *s)
{
	return l2_cluster(s) + s->l2;
}

/* Count the clusters with data and the L2 tables they need. */
static int count_clusters(struct streamer *s, struct platter_error *err)
{
	uint64_t table = UINT64_MAX;
	struct runs r;
	int rc = runs_open(&r, s->src, s->c.cluster_bits, err);

	while (!rc && !(rc = runs_next(&r, err))) {
		uint64_t first = r.first >> s->l2_bits;
		uint64_t last = (r.first + r.count - 1) >> s->l2_bits;

		s->data += r.count;
		s->l2 += last - first + (first != table);
		table = last;
	}
	runs_close(&r);
	return rc > 0 ? 0 : rc;
}

static int check_limits(const struct streamer *s, struct platter_error *err)
{
	uint64_t clusters = data_cluster(s) + s->data;

	if (s->reftable > (QCOW2_MAX_REFTABLE_BYTES >> s->c.cluster_bits))
		return plt_err_set(err, -EFBIG, "%" PRIu64 " clusters need a "
				   "refcount table over the limit of %u bytes; "
				   "use a larger cluster_size", clusters,
				   QCOW2_MAX_REFTABLE_BYTES);
	if (clusters > QCOW2_MAX_HOST_OFFSET >> s->c.cluster_bits)
		return plt_err_set(err, -EFBIG, "%" PRIu64 " clusters are over "
				   "the limit of 2^56 bytes", clusters);
	return 0;
}

static int plan(struct streamer *s, struct platter_error *err)
{
	int rc;

	rc = plt_qcow2_l1_entries(s->c.cluster_bits, s->c.extl2, s->size,
				  &s->l1_entries, err);
	if (rc)
		return rc;
	s->l1 = plt_align_up(s->l1_entries * 8, cluster_size(s)) >>
		s->c.cluster_bits;
	rc = count_clusters(s, err);
	if (rc)
		return rc;
	plt_qcow2_refcount_clusters(s->c.cluster_bits, s->c.refcount_order,
				    1 + s->l1 + s->l2 + s->data,
				    &s->refblocks, &s->reftable);
	return check_limits(s, err);
}

/* ---- metadata ---- */

static int send_cluster(struct streamer *s, struct platter_error *err)
{
	int rc = s->sink->write(s->sink, s->buf, cluster_size(s), err);

	memset(s->buf, 0, cluster_size(s));
	return rc;
}

static int send_header(struct streamer *s, struct platter_error *err)
{
	const struct plt_qcow2_header h = {
		.version = s->c.version,
		.cluster_bits = s->c.cluster_bits,
		.size = s->size,
		.l1_size = (uint32_t)s->l1_entries,
		.l1_offset = s->l1_entries ?
			     l1_cluster(s) << s->c.cluster_bits : 0,
		.reftable_offset = cluster_size(s),
		.reftable_clusters = (uint32_t)s->reftable,
		.refcount_order = s->c.refcount_order,
		.length = s->c.version < 3 ? QCOW2_HDR_V2_LENGTH :
					     QCOW2_HDR_OUR_LENGTH,
		.compression = s->c.compression,
		.incompatible =
			(s->c.compression ? QCOW2_INCOMPAT_COMPRESSION : 0) |
			(s->c.extl2 ? QCOW2_INCOMPAT_EXTL2 : 0),
		.compatible = s->c.lazy ? QCOW2_COMPAT_LAZY_REFCOUNTS : 0,
	};
	int rc = plt_qcow2_header_encode(&h, s->buf, cluster_size(s), err);

	return rc ? rc : send_cluster(s, err);
}

static int send_reftable(struct streamer *s, struct platter_error *err)
{
	uint64_t per_cluster = cluster_size(s) / 8;
	int rc = 0;

	for (uint64_t i = 0; i < s->reftable * per_cluster && !rc; i++) {
		if (i < s->refblocks)
			plt_put_be64(s->buf + i % per_cluster * 8,
				     (1 + s->reftable + i) <<
				     s->c.cluster_bits);
		if ((i + 1) % per_cluster == 0)
			rc = send_cluster(s, err);
	}
	return rc;
}

/* Refcount number `i` of a block becomes 1. */
static void put_one(const struct streamer *s, uint64_t i)
{
	unsigned int bits = 1u << s->c.refcount_order;

	/* A wider one is big-endian: its last byte holds the 1. */
	if (bits < 8)
		s->buf[i * bits / 8] |= 1u << (i * bits % 8);
	else
		s->buf[(i + 1) * bits / 8 - 1] = 1;
}

static int send_refblocks(struct streamer *s, struct platter_error *err)
{
	uint64_t left = data_cluster(s) + s->data;
	uint64_t per_block = UINT64_C(1) << (s->c.cluster_bits + 3 -
					     s->c.refcount_order);
	int rc = 0;

	for (uint64_t i = 0; i < s->refblocks && !rc; i++) {
		uint64_t n = PLT_MIN(left, per_block);

		for (uint64_t j = 0; j < n; j++)
			put_one(s, j);
		left -= n;
		rc = send_cluster(s, err);
	}
	return rc;
}

/* Bounded by the L1 table's limit of 32 MiB. */
static int send_l1(struct streamer *s, struct platter_error *err)
{
	uint64_t next = l2_cluster(s), table = UINT64_MAX;
	plt_auto_free uint8_t *l1 = NULL;
	struct runs r;
	int rc;

	if (!s->l1)
		return 0;
	l1 = plt_calloc(s->l1, cluster_size(s), err);
	if (!l1)
		return -ENOMEM;
	rc = runs_open(&r, s->src, s->c.cluster_bits, err);
	while (!rc && !(rc = runs_next(&r, err))) {
		uint64_t first = r.first >> s->l2_bits;
		uint64_t last = (r.first + r.count - 1) >> s->l2_bits;

		for (uint64_t i = first + (first == table); i <= last; i++)
			plt_put_be64(l1 + i * 8, next++ << s->c.cluster_bits |
				     QCOW2_COPIED);
		table = last;
	}
	runs_close(&r);
	if (rc < 0)
		return rc;
	return s->sink->write(s->sink, l1, s->l1 * cluster_size(s), err);
}

static void put_l2(const struct streamer *s, uint64_t guest, uint64_t host)
{
	uint64_t i = guest & ((UINT64_C(1) << s->l2_bits) - 1);
	uint8_t *entry = s->buf + i * s->entry_size;

	plt_put_be64(entry, host << s->c.cluster_bits | QCOW2_COPIED);
	/* Every subcluster is allocated. */
	if (s->c.extl2)
		plt_put_be64(entry + 8, UINT32_MAX);
}

static int send_l2(struct streamer *s, struct platter_error *err)
{
	uint64_t next = data_cluster(s), table = UINT64_MAX;
	struct runs r;
	int rc = runs_open(&r, s->src, s->c.cluster_bits, err);

	while (!rc && !(rc = runs_next(&r, err))) {
		for (uint64_t i = 0; i < r.count && !rc; i++) {
			uint64_t guest = r.first + i;

			if (table != UINT64_MAX &&
			    guest >> s->l2_bits != table)
				rc = send_cluster(s, err);
			table = guest >> s->l2_bits;
			put_l2(s, guest, next++);
		}
	}
	runs_close(&r);
	if (rc < 0)
		return rc;
	return table == UINT64_MAX ? 0 : send_cluster(s, err);
}

static int send_metadata(struct streamer *s, struct platter_error *err)
{
	int rc = send_header(s, err);

	if (!rc)
		rc = send_reftable(s, err);
	if (!rc)
		rc = send_refblocks(s, err);
	if (!rc)
		rc = send_l1(s, err);
	return rc ? rc : send_l2(s, err);
}

/* ---- data ---- */

static int source_changed(const struct streamer *s, struct platter_error *err)
{
	return plt_err_set(err, -EIO, "%s: has changed while it was read",
			   platter_image_name(s->src));
}

/* The next cluster to send must be the one promised. */
static int begin_cluster(struct streamer *s, uint64_t cluster,
			 struct platter_error *err)
{
	struct runs *r = &s->promised;
	int rc;

	if (!r->count) {
		rc = runs_next(r, err);
		if (rc)
			return rc > 0 ? source_changed(s, err) : rc;
	}
	if (cluster != r->first || s->sent == s->data)
		return source_changed(s, err);
	r->first++;
	r->count--;
	s->sent++;
	return 0;
}

/* Zeros up to the end of the cluster that was begun, if one was. */
static int end_cluster(struct streamer *s, struct platter_error *err)
{
	uint32_t rest = -(uint32_t)s->at & (cluster_size(s) - 1);

	s->at += rest;
	return rest ? s->sink->write(s->sink, NULL, rest, err) : 0;
}

/* Up to `offset` there are zeros, as far as clusters are sent. */
static int skip_to(struct streamer *s, uint64_t offset,
		   struct platter_error *err)
{
	uint64_t begin = plt_align_down(offset, cluster_size(s));
	uint64_t gap;
	int rc = 0;

	if (s->at < begin) {
		rc = end_cluster(s, err);
		s->at = begin;
	}
	gap = offset - s->at;
	if (rc || !gap)
		return rc;
	if (s->at == begin)
		rc = begin_cluster(s, begin >> s->c.cluster_bits, err);
	s->at = offset;
	return rc ? rc : s->sink->write(s->sink, NULL, gap, err);
}

static int on_data(void *arg, uint64_t offset, const void *buf, size_t len,
		   struct platter_error *err)
{
	struct streamer *s = arg;
	uint64_t end = offset + len, mask = cluster_size(s) - 1;
	int rc = skip_to(s, offset, err);

	/* Every cluster that begins in this piece. */
	for (uint64_t at = (offset + mask) & ~mask; at < end && !rc;
	     at += mask + 1)
		rc = begin_cluster(s, at >> s->c.cluster_bits, err);
	s->at = end;
	return rc ? rc : s->sink->write(s->sink, buf, len, err);
}

static int send_data(struct streamer *s, struct platter_error *err)
{
	int rc = runs_open(&s->promised, s->src, s->c.cluster_bits, err);

	if (!rc)
		rc = s->sink->scan(s->sink, on_data, s, err);
	if (!rc)
		rc = end_cluster(s, err);
	if (!rc && s->sent != s->data)
		rc = source_changed(s, err);
	runs_close(&s->promised);
	return rc;
}

/* ---- all of it ---- */

static int check_settings(const struct plt_qcow2_settings *c,
			  struct platter_error *err)
{
	if (c->backing_file || c->data_file || c->prealloc)
		return plt_err_set(err, -ENOTSUP, "what is written from front "
				   "to back can have no %s",
				   c->backing_file ? "backing file" :
				   c->data_file ? "data file" :
				   "preallocation");
	return 0;
}

int plt_qcow2_stream(struct platter_sink *sink, struct platter_image *src,
		     struct platter_options *opts, struct platter_error *err)
{
	struct streamer s = {
		.sink = sink,
		.src = src,
		.size = platter_image_size(src),
	};
	int rc;

	rc = plt_qcow2_settings_read(&s.c, opts, err);
	if (!rc)
		rc = plt_options_check_used(opts, err);
	if (!rc)
		rc = plt_qcow2_settings_check(&s.c, err);
	if (!rc)
		rc = check_settings(&s.c, err);
	if (rc)
		return rc;
	s.entry_size = s.c.extl2 ? 16 : 8;
	s.l2_bits = s.c.cluster_bits - (s.c.extl2 ? 4 : 3);
	rc = plan(&s, err);
	if (rc)
		return rc;
	s.buf = plt_calloc(1, cluster_size(&s), err);
	rc = s.buf ? send_metadata(&s, err) : -ENOMEM;
	if (!rc)
		rc = send_data(&s, err);
	free(s.buf);
	return rc;
}
