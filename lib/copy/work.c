// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The workers' side of the copy engine.
 *
 * Data is read from where the map said it is: asking the drivers again for
 * each piece would cost more than the copying. Pieces that follow each other
 * for the guest are gathered and written with one call, however they are
 * stored.
 */
#include <string.h>

#include <platter/sys/driver.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/io.h"
#include "copy/copier.h"
#include "copy/digest.h"
#include "core/core.h"

#define SECTOR 512u	/* the smallest thing that can be unreadable */

/* ---- writing ---- */

int plt_copier_write_data(struct copier *c, const uint8_t *buf, size_t len,
			  uint64_t offset, struct platter_error *err)
{
	int rc;

	if (!len)
		return 0;
	rc = platter_image_pwrite(c->dst, buf, len, offset, err);
	if (!rc)
		c->written += len;
	return rc;
}

/* So that they are allocated; other formats do that when they zero. */
static int write_zeros_out(struct copier *c, uint64_t offset, uint64_t len,
			   struct platter_error *err)
{
	int rc = 0;

	while (len && !rc) {
		uint64_t n = plt_up_to_multiple(offset, len, PLT_CHUNK_MAX);

		rc = platter_image_pwrite(c->dst, c->zeros, n, offset, err);
		offset += n;
		len -= n;
	}
	return rc;
}

int plt_copier_write_zeros(struct copier *c, uint64_t offset, uint64_t len,
			   struct platter_error *err)
{
	if (plt_copier_zero_already(c, offset))
		return 0;
	if (c->zeros)
		return write_zeros_out(c, offset, len, err);
	return platter_image_zero(c->dst, offset, len, c->opts->allocate ? 0 :
				  PLATTER_ZERO_UNMAP, err);
}

/* ---- zeros in what was read ---- */

/*
 * The granules of a range are noted, a byte for each, before the worker's turn
 * to write comes: looking for zeros takes a good part of the time writing does.
 */
static size_t count_granules(const struct copier *c, uint64_t offset,
			     size_t len)
{
	if (!c->granule || !len)
		return 0;
	return (offset + len - 1) / c->granule - offset / c->granule + 1;
}

size_t plt_copier_notes(const struct copier *c)
{
	if (!c->granule || c->opts->compress)
		return 0;
	/* Each piece may begin and end in the middle of one. */
	return plt_align_up(c->chunk / c->granule + 2 * PLT_BATCH_SEGMENTS,
			    4096);
}

static void note_zeros(const struct copier *c, const uint8_t *buf, size_t len,
		       uint64_t offset, uint8_t *zero)
{
	for (size_t pos = 0; c->granule && pos < len;) {
		size_t n = plt_up_to_multiple(offset + pos, len - pos,
					      c->granule);

		*zero++ = plt_is_zero(buf + pos, n);
		pos += n;
	}
}

/* How far the granules go on being zero, or not, as the first one. */
static size_t run_length(const struct copier *c, size_t len, uint64_t offset,
			 const uint8_t *zero, size_t *granules)
{
	size_t n = 1, pos = plt_up_to_multiple(offset, len, c->granule);

	while (pos < len && zero[n] == zero[0]) {
		pos += plt_up_to_multiple(offset + pos, len - pos, c->granule);
		n++;
	}
	*granules = n;
	return pos;
}

/* Write a chunk; runs of zeros that are long enough become holes. */
static int write_chunk(struct copier *c, const uint8_t *buf, size_t len,
		       uint64_t offset, const uint8_t *zero,
		       struct platter_error *err)
{
	size_t begin = 0;	/* of data not written yet */
	size_t pos = 0;
	int rc = 0;

	while (c->granule && pos < len && !rc) {
		size_t granules;
		size_t n = run_length(c, len - pos, offset + pos, zero,
				      &granules);

		if (*zero && n >= c->opts->sparse_size) {
			rc = plt_copier_write_data(c, buf + begin, pos - begin,
						   offset + begin, err);
			if (!rc)
				rc = plt_copier_write_zeros(c, offset + pos, n,
							    err);
			c->zeroed += n;
			begin = pos + n;
		}
		zero += granules;
		pos += n;
	}
	if (rc)
		return rc;
	return plt_copier_write_data(c, buf + begin, len - begin,
				     offset + begin, err);
}

/* ---- reading ---- */

static int read_part(struct copier *c, const struct plt_segment *seg,
		     uint64_t skip, uint8_t *buf, size_t len,
		     struct platter_error *err)
{
	if (seg->file)
		return platter_image_pread(seg->file, buf, len,
					   seg->host_offset + skip, err);
	return platter_image_pread(c->src, buf, len, seg->offset + skip, err);
}

/* Unreadable bytes that follow each other are told of once. */
struct loss {
	uint64_t offset;
	uint64_t length;
	struct platter_error why;	/* of the first */
};

static void tell_loss(struct copier *c, struct loss *loss)
{
	if (loss->length) {
		PLT_LOCK_SCOPE(&c->salvage);
		c->opts->salvage->unreadable(c->opts->salvage->arg,
					     loss->offset, loss->length,
					     &loss->why);
	}
	loss->length = 0;
}

static void add_loss(struct copier *c, struct loss *loss, uint64_t offset,
		     uint64_t length, const struct platter_error *why)
{
	if (loss->length && loss->offset + loss->length != offset)
		tell_loss(c, loss);
	if (!loss->length) {
		loss->offset = offset;
		loss->why = *why;
	}
	loss->length += length;
}

/* What can be read of [skip, skip + len) of a segment; the rest is zeros. */
static void salvage_part(struct copier *c, const struct plt_segment *seg,
			 uint64_t skip, uint8_t *buf, size_t len,
			 struct loss *loss)
{
	struct platter_error why = PLATTER_ERROR_INIT;
	size_t half = SECTOR;

	if (plt_runner_stopped(c->run) ||
	    !read_part(c, seg, skip, buf, len, &why))
		return;
	if (len <= SECTOR) {
		memset(buf, 0, len);
		add_loss(c, loss, seg->offset + skip, len, &why);
		return;
	}
	while (half * 2 < len)
		half *= 2;
	salvage_part(c, seg, skip, buf, half, loss);
	salvage_part(c, seg, skip + half, buf + half, len - half, loss);
}

int plt_copier_read(struct copier *c, const struct plt_segment *seg,
		    uint8_t *buf, struct platter_error *err)
{
	struct loss loss = { .length = 0 };

	if (!c->opts->salvage)
		return read_part(c, seg, 0, buf, seg->length, err);
	salvage_part(c, seg, 0, buf, seg->length, &loss);
	tell_loss(c, &loss);
	return 0;
}

/* Put the data of a batch into the buffer, piece behind piece. */
static int read_batch(struct copier *c, const struct plt_segment *segs,
		      size_t nr, uint8_t *buf, struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < nr && !rc && !plt_runner_stopped(c->run); i++) {
		if (!plt_segment_is_read(&segs[i]))
			continue;
		rc = plt_copier_read(c, &segs[i], buf, err);
		buf += segs[i].length;
	}
	return rc;
}

/* ---- copying inside the kernel ---- */

/*
 * Copy inside the kernel as far as that goes. Less than everything is no
 * error: the rest goes through a buffer.
 */
static int offload(struct copier *c, struct plt_segment *seg,
		   struct platter_error *err)
{
	const struct platter_io_ops *ops = seg->file->drv->io;
	struct platter_image *file;
	uint64_t host, copied = 0;
	int rc = 0;

	file = plt_image_plain(c->dst, seg->offset, seg->length, &host);
	if (!file || file->drv->io->copy_range != ops->copy_range)
		rc = -ENOTSUP;
	while (!rc && copied < seg->length) {
		uint64_t n = 0;

		rc = ops->copy_range(seg->file, seg->host_offset + copied,
				     file, host + copied, seg->length - copied,
				     &n, err);
		copied += n;
	}
	c->written += copied;
	seg->offset += copied;
	seg->host_offset += copied;
	seg->length -= copied;
	if (rc != -ENOTSUP)
		return rc;
	c->no_offload = true;
	return 0;
}

/* What the kernel could not copy; nobody looks for zeros in it. */
static int copy_rest(struct copier *c, struct plt_segment seg, uint8_t *buf,
		     struct platter_error *err)
{
	uint64_t end = seg.offset + seg.length;
	int rc = 0;

	while (seg.offset < end && !rc) {
		seg.length = plt_up_to_multiple(seg.offset, end - seg.offset,
						c->chunk);
		rc = plt_copier_read(c, &seg, buf, err);
		if (!rc)
			rc = plt_copier_write_data(c, buf, seg.length,
						   seg.offset, err);
		seg.offset += seg.length;
		seg.host_offset += seg.length;
	}
	return rc;
}

static int offload_batch(struct copier *c, const struct plt_segment *segs,
			 size_t nr, uint8_t *buf, struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < nr && !rc && !plt_runner_stopped(c->run); i++) {
		struct plt_segment seg = segs[i];

		if (seg.kind != SEG_OFFLOAD)
			continue;
		if (!c->no_offload)
			rc = offload(c, &seg, err);
		if (!rc)
			rc = copy_rest(c, seg, buf, err);
	}
	return rc;
}

/* ---- a batch ---- */

/* The pieces that follow each other for the guest are written together. */
static size_t adjoining(const struct plt_segment *segs, size_t nr, size_t *len)
{
	size_t n = 1;

	*len = segs[0].length;
	while (n < nr && segs[n].kind == segs[0].kind &&
	       segs[n].offset == segs[0].offset + *len)
		*len += segs[n++].length;
	return n;
}

static void note_batch(const struct copier *c, const struct plt_segment *segs,
		       size_t nr, const uint8_t *buf, uint8_t *zero)
{
	for (size_t i = 0; i < nr;) {
		size_t len, n = adjoining(segs + i, nr - i, &len);

		if (segs[i].kind == SEG_DATA) {
			note_zeros(c, buf, len, segs[i].offset, zero);
			zero += count_granules(c, segs[i].offset, len);
		}
		if (plt_segment_is_read(&segs[i]))
			buf += len;
		i += n;
	}
}

static int write_batch(struct copier *c, const struct plt_segment *segs,
		       size_t nr, const uint8_t *buf, const uint8_t *zero,
		       struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < nr && !rc && !plt_runner_stopped(c->run);) {
		const struct plt_segment *seg = &segs[i];
		size_t len, n = adjoining(seg, nr - i, &len);

		if (seg->kind == SEG_ZERO) {
			rc = plt_copier_write_zeros(c, seg->offset, len, err);
		} else if (seg->kind == SEG_DATA) {
			rc = write_chunk(c, buf, len, seg->offset, zero, err);
			zero += count_granules(c, seg->offset, len);
		}
		if (plt_segment_is_read(seg))
			buf += len;
		i += n;
	}
	return rc;
}

static int feed_digest(struct copier *c, const struct plt_segment *segs,
		       size_t nr, const uint8_t *buf,
		       struct platter_error *err)
{
	int rc = plt_runner_begin_turn(c->run, segs, 0);

	if (rc)
		return rc;
	for (size_t i = 0; i < nr && !rc; i++) {
		if (!plt_segment_is_read(&segs[i]))
			continue;
		rc = plt_digest_at(c->opts->digest, segs[i].offset, buf,
				   segs[i].length, err);
		buf += segs[i].length;
	}
	plt_runner_end_turn(c->run, segs, 0);
	return rc;
}

int plt_copier_batch(void *arg, const struct plt_segment *segs, size_t nr,
		     void *buf, struct platter_error *err)
{
	struct copier *c = arg;
	uint8_t *notes = buf;
	uint8_t *data = notes + plt_copier_notes(c) + plt_pack_room(c);
	int rc;

	rc = read_batch(c, segs, nr, data, err);
	if (!rc && c->opts->compress)
		rc = plt_pack_batch(c, segs, nr, data, buf, err);
	else if (!rc)
		note_batch(c, segs, nr, data, notes);
	if (!rc && c->opts->digest)
		rc = feed_digest(c, segs, nr, data, err);
	if (!rc && c->in_order)
		rc = plt_runner_begin_turn(c->run, segs, c->write_stage);
	if (rc)
		return rc;
	if (c->opts->compress)
		rc = plt_pack_store(c, segs, nr, data, buf, err);
	else
		rc = write_batch(c, segs, nr, data, notes, err);
	if (!rc)
		rc = offload_batch(c, segs, nr, data, err);
	if (c->in_order)
		plt_runner_end_turn(c->run, segs, c->write_stage);
	return rc;
}
