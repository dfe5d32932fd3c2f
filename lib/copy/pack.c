// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Compressed targets.
 *
 * Every worker compresses the clusters of its batch at the same time as the
 * others; when its turn has come it stores them, so that they lie in the file
 * in the order of the guest, one behind the other.
 *
 * The room holds a length for each cluster of the batch and then what the
 * clusters became. It suffices: each gets smaller or takes none of it, and for
 * the one being compressed there is a whole cluster more.
 */
#include <string.h>

#include <platter/sys/driver.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/io.h"
#include "copy/copier.h"
#include "core/core.h"

#define PACK_ZERO	0u		/* the cluster is zeros */
#define PACK_PLAIN	UINT32_MAX	/* it does not become smaller */

static size_t most_clusters(const struct copier *c)
{
	return c->chunk / c->unit;
}

static size_t lengths_size(const struct copier *c)
{
	return plt_align_up(most_clusters(c) * sizeof(uint32_t), 4096);
}

size_t plt_pack_room(const struct copier *c)
{
	if (!c->opts->compress)
		return 0;
	return lengths_size(c) + plt_align_up(c->chunk + c->unit, 4096);
}

static int pack_cluster(struct copier *c, const uint8_t *in, size_t len,
			uint8_t *out, uint32_t *packed,
			struct platter_error *err)
{
	size_t out_len = 0;
	int rc;

	if (c->granule && plt_is_zero(in, len)) {
		*packed = PACK_ZERO;
		return 0;
	}
	rc = plt_image_compress(c->dst, in, len, out, &out_len, err);
	if (rc < 0)
		return rc;
	*packed = rc ? PACK_PLAIN : (uint32_t)out_len;
	return 0;
}

int plt_pack_batch(struct copier *c, const struct plt_segment *segs, size_t nr,
		   const uint8_t *data, void *room, struct platter_error *err)
{
	uint8_t *out = (uint8_t *)room + lengths_size(c);
	uint32_t *packed = room;
	int rc = 0;

	for (size_t i = 0; i < nr && !rc; i++) {
		uint64_t left = segs[i].kind == SEG_DATA ? segs[i].length : 0;

		if (segs[i].kind == SEG_DIGEST)
			data += segs[i].length;
		while (left && !rc && !plt_runner_stopped(c->run)) {
			size_t n = PLT_MIN(left, c->unit);

			rc = pack_cluster(c, data, n, out, packed, err);
			out += *packed == PACK_PLAIN ? 0 : *packed;
			packed++;
			data += n;
			left -= n;
		}
	}
	return rc;
}

static int store_cluster(struct copier *c, const uint8_t *data, size_t len,
			 uint64_t offset, const uint8_t *out, uint32_t packed,
			 struct platter_error *err)
{
	int rc;

	if (packed == PACK_ZERO) {
		c->zeroed += len;
		return plt_copier_write_zeros(c, offset, len, err);
	}
	if (packed == PACK_PLAIN)
		return plt_copier_write_data(c, data, len, offset, err);
	rc = plt_image_store_compressed(c->dst, out, packed, offset, err);
	if (!rc)
		c->written += len;
	return rc;
}

int plt_pack_store(struct copier *c, const struct plt_segment *segs, size_t nr,
		   const uint8_t *data, const void *room,
		   struct platter_error *err)
{
	const uint8_t *out = (const uint8_t *)room + lengths_size(c);
	const uint32_t *packed = room;
	int rc = 0;

	for (size_t i = 0; i < nr && !rc; i++) {
		uint64_t left = segs[i].kind == SEG_DATA ? segs[i].length : 0;
		uint64_t offset = segs[i].offset;

		if (segs[i].kind == SEG_ZERO)
			rc = plt_copier_write_zeros(c, offset, segs[i].length,
						    err);
		else if (segs[i].kind == SEG_DIGEST)
			data += segs[i].length;
		while (left && !rc && !plt_runner_stopped(c->run)) {
			size_t n = PLT_MIN(left, c->unit);

			rc = store_cluster(c, data, n, offset, out, *packed,
					   err);
			out += *packed == PACK_PLAIN ? 0 : *packed;
			packed++;
			data += n;
			offset += n;
			left -= n;
		}
	}
	return rc;
}
