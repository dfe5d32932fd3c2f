/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qcow2: making a new image.
 *
 * What is written: the header cluster, the refcount table, the refcount blocks
 * that cover all of this, and the L1 table, in that order and without gaps. L2
 * tables and data come with preallocation, which opens the new image and
 * allocates as any writer would. On a block device the old first cluster goes
 * first and the new one last, so that there is never half an image.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/opts.h"
#include "core/core.h"
#include "disk/qcow2/qcow2.h"
#include "disk/qcow2/settings.h"

#define BLOCK	4096u	/* what file systems allocate at least */

/* ---- the layout ---- */

struct layout {
	uint64_t l1_entries;
	uint64_t reftable_clusters, refblocks, l1_clusters;
	uint64_t clusters;		/* of all of it */
};

int plt_qcow2_l1_entries(unsigned int cluster_bits, bool extl2, uint64_t size,
			 uint64_t *out, struct platter_error *err)
{
	unsigned int shift = 2 * cluster_bits - (extl2 ? 4 : 3);
	uint64_t entries = (size >> shift) +
			   !!(size & ((UINT64_C(1) << shift) - 1));

	if (entries > QCOW2_MAX_L1_BYTES / 8)
		return plt_err_set(err, -EFBIG, "a disk of %" PRIu64 " bytes "
				   "with clusters of %u needs %" PRIu64
				   " L1 entries, over the limit of %u; use a "
				   "larger cluster_size", size,
				   1u << cluster_bits, entries,
				   QCOW2_MAX_L1_BYTES / 8);
	*out = entries;
	return 0;
}

static uint64_t clusters_of(const struct plt_qcow2_settings *c, uint64_t bytes)
{
	return plt_align_up(bytes, UINT64_C(1) << c->cluster_bits) >>
	       c->cluster_bits;
}

static uint64_t round_up_shift(uint64_t v, unsigned int bits)
{
	return (v >> bits) + !!(v & ((UINT64_C(1) << bits) - 1));
}

/* They count themselves, so some are added until it fits. */
void plt_qcow2_refcount_clusters(unsigned int cluster_bits,
				 unsigned int refcount_order,
				 uint64_t clusters, uint64_t *blocks,
				 uint64_t *table)
{
	unsigned int block_bits = cluster_bits + 3 - refcount_order;
	uint64_t all, before = 0;

	*blocks = *table = 0;
	for (;;) {
		all = clusters + *blocks + *table;
		if (all == before)
			return;
		before = all;
		*blocks = round_up_shift(all, block_bits);
		*table = round_up_shift(*blocks, cluster_bits - 3);
	}
}

static int plan(const struct plt_qcow2_settings *c, uint64_t size,
		struct layout *l, struct platter_error *err)
{
	int rc;

	*l = (struct layout) { .reftable_clusters = 0 };
	rc = plt_qcow2_l1_entries(c->cluster_bits, c->extl2, size,
				  &l->l1_entries, err);
	if (rc < 0)
		return rc;
	l->l1_clusters = clusters_of(c, l->l1_entries * 8);
	plt_qcow2_refcount_clusters(c->cluster_bits, c->refcount_order,
				    1 + l->l1_clusters, &l->refblocks,
				    &l->reftable_clusters);
	l->clusters = 1 + l->reftable_clusters + l->refblocks + l->l1_clusters;
	return 0;
}

/* ---- writing ---- */

/*
 * The file is zeros where nothing is written: what ends in zeros is written
 * without them, so that large clusters do not take up space for nothing.
 */
static int write_start(struct platter_image *file, const uint8_t *buf,
		       uint64_t len, uint64_t offset, struct platter_error *err)
{
	while (len > BLOCK && plt_is_zero(buf + len - BLOCK, BLOCK))
		len -= BLOCK;
	return platter_image_pwrite(file, buf, len, offset, err);
}

static int write_refcounts(const struct plt_qcow2_settings *c,
			   const struct layout *l, struct platter_image *file,
			   struct platter_error *err)
{
	uint32_t cluster = UINT32_C(1) << c->cluster_bits;
	uint64_t first = 1 + l->reftable_clusters;
	unsigned int bits = 1u << c->refcount_order;
	plt_auto_free uint8_t *buf = NULL;
	uint64_t table_bytes = l->reftable_clusters * cluster;
	uint64_t block_bytes = l->refblocks * cluster;
	int rc;

	/* Bounded by the L1 table's limit of 32 MiB. */
	buf = plt_calloc(1, table_bytes + block_bytes, err);
	if (!buf)
		return -ENOMEM;
	for (uint64_t i = 0; i < l->refblocks; i++)
		plt_put_be64(buf + i * 8, (first + i) << c->cluster_bits);
	for (uint64_t i = 0; i < l->clusters; i++) {
		uint8_t *block = buf + table_bytes;

		/* A wider one is big-endian: its last byte holds the 1. */
		if (bits < 8)
			block[i * bits / 8] |= 1u << (i * bits % 8);
		else
			block[(i + 1) * bits / 8 - 1] = 1;
	}
	rc = write_start(file, buf, table_bytes, cluster, err);
	if (rc == 0)
		rc = write_start(file, buf + table_bytes, block_bytes,
				 cluster + table_bytes, err);
	return plt_err_prefix(err, rc, "writing refcounts");
}

static int fill_header(const struct plt_qcow2_settings *c,
		       const struct layout *l, uint64_t size,
		       struct plt_qcow2_header *h, struct platter_error *err)
{
	*h = (struct plt_qcow2_header) {
		.version = c->version,
		.cluster_bits = c->cluster_bits,
		.size = size,
		.l1_size = (uint32_t)l->l1_entries,
		.l1_offset = l->l1_entries ?
			     (1 + l->reftable_clusters + l->refblocks) <<
			     c->cluster_bits : 0,
		.reftable_offset = UINT64_C(1) << c->cluster_bits,
		.reftable_clusters = (uint32_t)l->reftable_clusters,
		.refcount_order = c->refcount_order,
		.length = c->version < 3 ? QCOW2_HDR_V2_LENGTH :
					   QCOW2_HDR_OUR_LENGTH,
		.compression = c->compression,
		.incompatible =
			(c->data_file ? QCOW2_INCOMPAT_DATA_FILE : 0) |
			(c->compression ? QCOW2_INCOMPAT_COMPRESSION : 0) |
			(c->extl2 ? QCOW2_INCOMPAT_EXTL2 : 0),
		.compatible = c->lazy ? QCOW2_COMPAT_LAZY_REFCOUNTS : 0,
		.autoclear = c->data_raw ? QCOW2_AUTOCLEAR_DATA_RAW : 0,
	};
	if (c->backing_file) {
		h->backing_filename = plt_strdup(c->backing_file, err);
		if (!h->backing_filename)
			return -ENOMEM;
	}
	if (c->backing_format) {
		h->backing_format = plt_strdup(c->backing_format, err);
		if (!h->backing_format)
			return -ENOMEM;
	}
	if (c->data_file) {
		h->data_filename = plt_strdup(c->data_file, err);
		if (!h->data_filename)
			return -ENOMEM;
	}
	return 0;
}

static int write_header(const struct plt_qcow2_settings *c,
			const struct layout *l, uint64_t size,
			struct platter_image *file, struct platter_error *err)
{
	uint32_t cluster = UINT32_C(1) << c->cluster_bits;
	plt_auto_free uint8_t *buf = plt_calloc(1, cluster, err);
	struct plt_qcow2_header h;
	int rc;

	if (!buf)
		return -ENOMEM;
	rc = fill_header(c, l, size, &h, err);
	if (rc == 0)
		rc = plt_qcow2_header_encode(&h, buf, cluster, err);
	if (rc == 0)
		rc = write_start(file, buf, cluster, 0, err);
	plt_qcow2_header_free(&h);
	return rc;
}

/* A node of just the bytes, whatever the file is called. */
static int open_node(struct platter_image **out, struct platter_context *ctx,
		     const char *format, const char *filename,
		     const char *data_path, enum platter_cache cache,
		     struct platter_error *err)
{
	struct platter_options *tree = plt_options_new(err);
	int rc;

	if (!tree)
		return -ENOMEM;
	rc = plt_options_set(tree, "driver", format, err);
	if (rc == 0)
		rc = plt_options_set(tree, "file.filename", filename, err);
	if (rc == 0 && data_path)
		rc = plt_options_set(tree, "data-file.driver", "raw", err);
	if (rc == 0 && data_path)
		rc = plt_options_set(tree, "data-file.file.filename",
				     data_path, err);
	if (rc == 0)
		rc = plt_image_open_tree(out, ctx, tree,
					 PLATTER_O_RDWR | PLATTER_O_NO_BACKING,
					 cache, err);
	plt_options_free(tree);
	return rc;
}

static int write_metadata(const struct plt_qcow2_settings *c,
			  const struct layout *l, uint64_t size,
			  struct platter_image *file, struct platter_error *err)
{
	uint64_t end = l->clusters << c->cluster_bits;
	bool device = platter_image_size(file) > 0;
	int rc = 0;

	if (device && platter_image_size(file) < end)
		return plt_err_set(err, -ENOSPC, "the device of %" PRIu64
				   " bytes is too small for tables of %" PRIu64,
				   platter_image_size(file), end);
	if (!device)
		rc = platter_image_resize(file, end, err);
	else
		rc = platter_image_zero(file, 0, end, 0, err);
	if (rc == 0)
		rc = platter_image_flush(file, err);
	if (rc == 0)
		rc = write_refcounts(c, l, file, err);
	if (rc == 0)
		rc = platter_image_flush(file, err);
	if (rc == 0)
		rc = write_header(c, l, size, file, err);
	if (rc == 0)
		rc = platter_image_flush(file, err);
	return rc;
}

/* ---- all of it ---- */

static int preallocate(const struct plt_qcow2_settings *c,
		       struct platter_context *ctx, const char *filename,
		       const char *data_path, uint64_t size,
		       enum platter_cache cache, struct platter_error *err)
{
	struct platter_image *img = NULL;
	int rc, closed;

	rc = open_node(&img, ctx, "qcow2", filename, data_path, cache, err);
	if (rc < 0)
		return rc;
	rc = platter_image_preallocate(img, 0, size, c->prealloc, err);
	closed = platter_image_close(img, rc ? NULL : err);
	return rc ? rc : closed;
}

int plt_qcow2_create(struct platter_context *ctx, const char *filename,
		     uint64_t size, struct platter_options *opts,
		     struct platter_error *err)
{
	const char *data_path = platter_options_string(opts,
						       PLT_CREATE_DATA_PATH);
	enum platter_cache cache =
		platter_options_string(opts, PLT_CREATE_NO_FLUSH) ?
		PLATTER_CACHE_UNSAFE : PLATTER_CACHE_WRITEBACK;
	struct plt_qcow2_settings c;
	struct platter_image *file = NULL;
	struct layout l;
	int rc, closed;

	rc = plt_qcow2_settings_read(&c, opts, err);
	if (rc == 0)
		rc = plt_qcow2_settings_check(&c, err);
	if (rc == 0)
		rc = plan(&c, size, &l, err);
	if (rc == 0)
		rc = open_node(&file, ctx, "raw", filename, NULL, cache, err);
	if (rc < 0)
		return rc;
	rc = write_metadata(&c, &l, size, file, err);
	closed = platter_image_close(file, rc ? NULL : err);
	rc = rc ? rc : closed;
	if (rc == 0 && c.prealloc)
		rc = preallocate(&c, ctx, filename, data_path, size, cache,
				 err);
	return rc;
}
