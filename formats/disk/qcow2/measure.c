/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qcow2: how large an image would be, without making it.
 *
 * All metadata is counted as if every cluster were allocated, for the image
 * needed now as well; the two differ in data only. The numbers are those of
 * qemu-img 7.2, which programs that make volumes to measure rely on.
 */
#include <inttypes.h>
#include <string.h>

#include <platter/job.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/opts.h"
#include "disk/qcow2/qcow2.h"
#include "disk/qcow2/settings.h"

#define EXTENTS	64	/* asked for at a time */

/* The file with every cluster of `size` allocated; `size` is whole clusters. */
static uint64_t full_size(const struct plt_qcow2_settings *c, uint64_t size)
{
	uint64_t cluster = UINT64_C(1) << c->cluster_bits;
	uint64_t l2_entry = c->extl2 ? 16 : 8;
	uint64_t l2, l1, blocks, table;

	l2 = plt_align_up(size >> c->cluster_bits, cluster / l2_entry) *
	     l2_entry;
	l1 = plt_align_up(l2 >> c->cluster_bits, cluster / 8) * 8;
	plt_qcow2_refcount_clusters(c->cluster_bits, c->refcount_order,
				    (cluster + l2 + l1 + size) >>
				    c->cluster_bits, &blocks, &table);
	return cluster + l2 + l1 + ((blocks + table) << c->cluster_bits) + size;
}

/* Bytes of the clusters in which the source has data. */
static int count_data(struct platter_image *src, uint64_t cluster,
		      uint64_t *out, struct platter_error *err)
{
	const unsigned int data = PLATTER_EXTENT_DATA | PLATTER_EXTENT_PRESENT;
	uint64_t size = platter_image_size(src);
	uint64_t asked = 0, counted = 0;
	struct platter_extent ext[EXTENTS];

	*out = 0;
	while (asked < size) {
		size_t count = EXTENTS;
		int rc = platter_image_map(src, asked, size - asked, ext,
					   &count, err);

		if (rc < 0)
			return rc;
		for (size_t i = 0; i < count; i++) {
			uint64_t end = ext[i].offset + ext[i].length;
			uint64_t at = plt_align_down(ext[i].offset, cluster);

			asked = end;
			if ((ext[i].flags & PLATTER_EXTENT_ZERO) ||
			    (ext[i].flags & data) != data || end <= counted)
				continue;
			at = PLT_MAX(at, counted);
			counted = plt_align_up(end, cluster);
			*out += counted - at;
		}
	}
	return 0;
}

/* As many as the source has, those in use too, and every cluster allocated. */
static int measure_bitmaps(struct platter_image *src, uint64_t cluster,
			   struct platter_measure *out,
			   struct platter_error *err)
{
	const struct platter_bitmap_info *list = NULL;
	uint64_t directory = 0, size = platter_image_size(src);
	size_t count = 0;
	int rc;

	rc = platter_image_bitmaps(src, &list, &count, err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		uint64_t bits = (size + list[i].granularity - 1) /
				list[i].granularity;
		uint64_t bytes = (bits + 7) / 8;
		uint64_t clusters = plt_align_up(bytes, cluster) / cluster;

		out->bitmaps += clusters * cluster +
				plt_align_up(clusters * 8, cluster);
		directory += plt_align_up(QCOW2_BITMAP_ROW +
					  strlen(list[i].name), 8);
	}
	out->bitmaps += plt_align_up(directory, cluster);
	return rc;
}

static bool can_have_bitmaps(struct platter_image *img)
{
	const struct plt_qcow2 *s;

	if (!img || strcmp(platter_image_format(img), "qcow2"))
		return false;
	s = platter_image_state(img);
	return s->h.version >= 3;
}

int plt_qcow2_measure(struct platter_options *opts, struct platter_image *src,
		      uint64_t size, struct platter_measure *out,
		      struct platter_error *err)
{
	struct plt_qcow2_settings c;
	uint64_t cluster, entries, data = 0;
	int rc;

	rc = plt_qcow2_settings_read(&c, opts, err);
	if (rc < 0)
		return rc;
	cluster = UINT64_C(1) << c.cluster_bits;
	if (src)
		size = platter_image_size(src);
	rc = plt_qcow2_l1_entries(c.cluster_bits, c.extl2, size, &entries, err);
	if (rc < 0)
		return rc;
	size = plt_align_up(size, cluster);
	/* How much of it the backing file has is not known. */
	if ((src && c.backing_file) || c.prealloc >= PLATTER_PREALLOC_FALLOC)
		data = size;
	else if (src)
		rc = count_data(src, cluster, &data, err);
	out->fully_allocated = full_size(&c, size);
	out->required = out->fully_allocated - size + data;
	out->has_bitmaps = c.version >= 3 && can_have_bitmaps(src);
	if (rc == 0 && out->has_bitmaps)
		rc = measure_bitmaps(src, cluster, out, err);
	return rc;
}
