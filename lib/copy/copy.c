/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The copy engine: every job that moves blocks from one node to another.
 *
 * The calling thread walks the source's map in ascending order and cuts it
 * into segments; workers move them. Data that is contiguous for the guest is
 * one segment up to a chunk, in however many pieces it is stored: reading it
 * gathers them. Only a long run that is stored in one piece is offered to the
 * kernel for copying inside the file system, and only where nobody wants to
 * look for zeros in it.
 *
 * Chunks end at multiples of their size, so that runs of zeros are found the
 * same way whatever the extents before them were.
 */
#include "copy/copy.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <time.h>

#include <platter/sys/driver.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "copy/extents.h"
#include "copy/runner.h"
#include "core/core.h"

#define GRANULE_MAX	4096u		/* zeros are looked for in these */
/*
 * copy_file_range() of cached data costs as much as reading and writing it,
 * and more for small pieces; it pays where it makes reflinks.
 */
#define OFFLOAD_MIN	(64u << 10)
#define OFFLOAD_MAX	(16u << 20)
/* A zero call that a driver must write out is to end in a few seconds. */
#define ZERO_MAX	(256u << 20)
#define ZERO_CALLS	4096u
#define PROGRESS_NS	20000000	/* between two reports */

enum {
	SEG_NONE,
	SEG_DATA,	/* through a buffer */
	SEG_OFFLOAD,	/* stored in one piece at host_offset of file */
	SEG_ZERO,
};

struct copier {
	struct platter_image *src;
	struct platter_image *dst;
	const struct plt_copy_options *opts;
	uint64_t granule;		/* of zero detection, 0 = none */
	struct plt_runner *run;
	struct plt_segment pending;	/* SEG_DATA or SEG_ZERO being gathered */
	uint64_t skipped;		/* guest bytes no worker sees */
	int64_t reported_ns;
	_Atomic bool no_offload;	/* tried, and not supported */
	_Atomic uint64_t written;
	_Atomic uint64_t zeroed;
};

/* ---- the workers' side ---- */

static int write_data(struct copier *c, const uint8_t *buf, size_t len,
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

static int write_zeros(struct copier *c, uint64_t offset, uint64_t len,
		       struct platter_error *err)
{
	unsigned int flags = c->opts->allocate ? 0 : PLATTER_ZERO_UNMAP;
	int rc = 0;

	if (c->opts->allocate || !c->opts->target_is_zero)
		rc = platter_image_zero(c->dst, offset, len, flags, err);
	return rc;
}

/* Bytes from `offset` to the next multiple of `unit`, at most `len`. */
static uint64_t up_to_multiple(uint64_t offset, uint64_t len, uint64_t unit)
{
	return PLT_MIN(len, unit - (offset & (unit - 1)));
}

/* How far `buf` goes on being zero, or not zero, as at its beginning. */
static size_t run_length(const struct copier *c, const uint8_t *buf,
			 size_t len, uint64_t offset, bool *zero)
{
	size_t pos = up_to_multiple(offset, len, c->granule);

	*zero = plt_is_zero(buf, pos);
	while (pos < len) {
		size_t n = up_to_multiple(offset + pos, len - pos, c->granule);

		if (plt_is_zero(buf + pos, n) != *zero)
			break;
		pos += n;
	}
	return pos;
}

/* Write a chunk; runs of zeros that are long enough become holes. */
static int write_chunk(struct copier *c, const uint8_t *buf, size_t len,
		       uint64_t offset, struct platter_error *err)
{
	size_t begin = 0;	/* of data not written yet */
	size_t pos = 0;
	int rc = 0;

	while (c->granule && pos < len && !rc) {
		bool zero;
		size_t n = run_length(c, buf + pos, len - pos, offset + pos,
				      &zero);

		if (zero && n >= c->opts->sparse_size) {
			rc = write_data(c, buf + begin, pos - begin,
					offset + begin, err);
			if (!rc)
				rc = write_zeros(c, offset + pos, n, err);
			c->zeroed += n;
			begin = pos + n;
		}
		pos += n;
	}
	if (rc)
		return rc;
	return write_data(c, buf + begin, len - begin, offset + begin, err);
}

static int copy_buffered(struct copier *c, uint64_t offset, uint64_t len,
			 void *buf, struct platter_error *err)
{
	int rc = 0;

	while (len && !rc) {
		size_t n = up_to_multiple(offset, len, PLT_CHUNK_MAX);

		rc = platter_image_pread(c->src, buf, n, offset, err);
		if (!rc)
			rc = write_chunk(c, buf, n, offset, err);
		offset += n;
		len -= n;
	}
	return rc;
}

/*
 * Copy inside the kernel as far as that goes; *copied says how far. Leaves
 * the rest to buffers where it is not supported.
 */
static int offload(struct copier *c, const struct plt_segment *seg,
		   uint64_t *copied, struct platter_error *err)
{
	const struct platter_io_ops *ops = seg->file->drv->io;
	struct platter_image *file;
	uint64_t host;
	int rc = 0;

	*copied = 0;
	file = plt_image_plain(c->dst, seg->offset, seg->length, &host);
	if (!file || !ops || !ops->copy_range || !file->drv->io ||
	    ops->copy_range != file->drv->io->copy_range)
		rc = -ENOTSUP;
	while (!rc && *copied < seg->length) {
		uint64_t n = 0;

		rc = ops->copy_range(seg->file, seg->host_offset + *copied,
				     file, host + *copied,
				     seg->length - *copied, &n, err);
		if (!rc)
			*copied += n;
	}
	c->written += *copied;
	if (rc == -ENOTSUP) {
		c->no_offload = true;
		rc = 0;
	}
	return rc;
}

static int copy_segment(void *arg, const struct plt_segment *seg, void *buf,
			struct platter_error *err)
{
	struct copier *c = arg;
	uint64_t copied = 0;
	int rc = 0;

	if (seg->kind == SEG_ZERO)
		return write_zeros(c, seg->offset, seg->length, err);
	if (seg->kind == SEG_OFFLOAD && !c->no_offload)
		rc = offload(c, seg, &copied, err);
	if (rc)
		return rc;
	return copy_buffered(c, seg->offset + copied, seg->length - copied,
			     buf, err);
}

/* ---- the walk ---- */

/* The longest piece of a segment that one worker gets. */
static uint64_t piece_length(const struct copier *c,
			     const struct plt_segment *seg)
{
	uint64_t unit = PLT_CHUNK_MAX;

	if (seg->kind == SEG_OFFLOAD)
		unit = OFFLOAD_MAX;
	/* Zeroing 8 EiB of hole must not take 2^35 calls. */
	while (seg->kind == SEG_ZERO &&
	       (unit < ZERO_MAX || c->opts->length / unit > ZERO_CALLS))
		unit *= 2;
	return up_to_multiple(seg->offset, seg->length, unit);
}

/* Hand out whole pieces; the last one too if `all`, else it may grow. */
static int hand_out(struct copier *c, struct plt_segment *seg, bool all,
		    struct platter_error *err)
{
	while (seg->length) {
		struct plt_segment piece = *seg;
		int rc;

		piece.length = piece_length(c, seg);
		if (!all && piece.length == seg->length)
			return 0;
		rc = plt_runner_add(c->run, &piece,
				    seg->kind == SEG_ZERO ? 0 : piece.length,
				    err);
		if (rc)
			return rc;
		seg->offset += piece.length;
		seg->length -= piece.length;
		seg->host_offset += piece.length;
	}
	return 0;
}

static unsigned int extent_kind(const struct copier *c,
				const struct platter_extent *ext)
{
	const struct plt_copy_options *opts = c->opts;

	if (opts->only_present &&
	    (ext->depth || !(ext->flags & PLATTER_EXTENT_PRESENT)))
		return SEG_NONE;
	if (ext->flags & PLATTER_EXTENT_ZERO)
		return SEG_ZERO;
	if (opts->sparse_size || c->no_offload || ext->length < OFFLOAD_MIN ||
	    !(ext->flags & PLATTER_EXTENT_OFFSET) || !ext->file ||
	    (ext->flags & PLATTER_EXTENT_COMPRESSED))
		return SEG_DATA;
	return SEG_OFFLOAD;
}

static int add_extent(struct copier *c, const struct platter_extent *ext,
		      struct platter_error *err)
{
	struct plt_segment seg = {
		.offset = ext->offset,
		.length = ext->length,
		.kind = extent_kind(c, ext),
		.host_offset = ext->host_offset,
		.file = ext->file,
	};
	int rc;

	if (seg.kind == SEG_ZERO && !ext->depth &&
	    (ext->flags & PLATTER_EXTENT_PRESENT))
		c->zeroed += seg.length;
	/* The walk is ascending, so what is pending ends here or before. */
	if (c->pending.length && c->pending.kind == seg.kind &&
	    c->pending.offset + c->pending.length == seg.offset &&
	    seg.kind != SEG_OFFLOAD) {
		c->pending.length += seg.length;
		return hand_out(c, &c->pending, false, err);
	}
	rc = hand_out(c, &c->pending, true, err);
	if (rc)
		return rc;
	c->pending.kind = SEG_NONE;
	if (seg.kind == SEG_NONE ||
	    (seg.kind == SEG_ZERO && c->opts->target_is_zero &&
	     !c->opts->allocate)) {
		c->skipped += seg.length;
		return 0;
	}
	c->pending = seg;
	return hand_out(c, &c->pending, false, err);
}

static int report(struct copier *c, struct platter_error *err)
{
	struct timespec ts;
	int64_t now;

	if (!c->opts->progress)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	if (now - c->reported_ns < PROGRESS_NS)
		return 0;
	c->reported_ns = now;
	return plt_progress(c->opts->progress,
			    c->skipped + plt_runner_done(c->run),
			    c->opts->length, err);
}

static int walk(struct copier *c, struct platter_error *err)
{
	uint64_t end = c->opts->offset + c->opts->length;
	struct plt_extents *map;
	uint64_t offset = c->opts->offset;
	plt_auto_free void *memory = plt_calloc(1, sizeof(*map), err);
	int rc = memory ? 0 : -ENOMEM;

	map = memory;
	if (!rc)
		plt_extents_init(map, c->src, end);
	while (!rc && offset < end) {
		struct platter_extent ext;

		rc = plt_extents_at(map, offset, &ext, err);
		if (rc)
			break;
		rc = add_extent(c, &ext, err);
		if (!rc)
			rc = report(c, err);
		offset += ext.length;
	}
	if (!rc)
		rc = hand_out(c, &c->pending, true, err);
	return rc ? rc : plt_runner_finish(c->run, err);
}

static int check_range(const struct platter_image *img,
		       const struct plt_copy_options *opts,
		       struct platter_error *err)
{
	uint64_t size = platter_image_size(img);

	if (opts->offset <= size && opts->length <= size - opts->offset)
		return 0;
	return plt_err_set(err, -EINVAL, "%s: %" PRIu64 " bytes at %" PRIu64
			   " reach beyond its end at %" PRIu64,
			   platter_image_name(img), opts->length,
			   opts->offset, size);
}

/* The largest power of two up to what the caller calls a run. */
static uint64_t detection_granule(uint64_t sparse_size)
{
	uint64_t granule = GRANULE_MAX;

	while (granule > sparse_size)
		granule /= 2;
	return granule;
}

int plt_copy(struct platter_image *src, struct platter_image *dst,
	     const struct plt_copy_options *opts,
	     struct plt_copy_result *result, struct platter_error *err)
{
	struct copier c = {
		.src = src,
		.dst = dst,
		.opts = opts,
		.granule = detection_granule(opts->sparse_size),
	};
	int rc = check_range(src, opts, err);

	if (!rc)
		rc = check_range(dst, opts, err);
	if (!rc)
		rc = plt_runner_new(&c.run, opts->workers, PLT_CHUNK_MAX,
				    copy_segment, &c, err);
	if (!rc)
		rc = walk(&c, err);
	plt_runner_free(c.run);
	if (!rc)
		rc = plt_progress(opts->progress, opts->length, opts->length,
				  err);
	if (!rc && result)
		*result = (struct plt_copy_result){
			.written = c.written,
			.zeroed = c.zeroed,
		};
	return rc;
}
