/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The copy engine: every job that moves blocks from one node to another.
 *
 * The calling thread walks the source's map in ascending order and cuts it
 * into segments; workers move them. What the map says about where the bytes
 * are is used for reading them: asking the drivers again for each piece would
 * cost more than the copying. Pieces that follow each other for the guest are
 * gathered and written with one call, however they are stored.
 *
 * Only a long run that is stored in one piece is offered to the kernel for
 * copying inside the file system, and only where nobody wants to look for
 * zeros in it.
 */
#include "copy/copy.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
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
#define ZERO_SPEED	64u	/* times as fast as writing, at least */
#define PROGRESS_NS	20000000	/* between two reports */

enum {
	SEG_NONE,	/* nothing to do */
	SEG_DATA,	/* through a buffer */
	SEG_OFFLOAD,	/* stored in one long piece of a plain file */
	SEG_ZERO,
};

struct copier {
	struct platter_image *src;
	struct platter_image *dst;
	const struct plt_copy_options *opts;
	uint64_t granule;		/* of zero detection, 0 = none */
	struct plt_runner *run;
	uint64_t skipped;		/* guest bytes no worker sees */
	int64_t reported_ns;
	bool one_writer;		/* take turns, with `turn` */
	pthread_mutex_t turn;
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

	if (c->opts->target_is_zero && !c->opts->allocate)
		return 0;
	return platter_image_zero(c->dst, offset, len, flags, err);
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

static int read_segment(struct copier *c, const struct plt_segment *seg,
			void *buf, struct platter_error *err)
{
	if (seg->file)
		return platter_image_pread(seg->file, buf, seg->length,
					   seg->host_offset, err);
	return platter_image_pread(c->src, buf, seg->length, seg->offset, err);
}

/* Put the data of a batch into the buffer, piece behind piece. */
static int read_batch(struct copier *c, const struct plt_segment *segs,
		      size_t nr, uint8_t *buf, struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < nr && !rc && !plt_runner_stopped(c->run); i++) {
		if (segs[i].kind != SEG_DATA)
			continue;
		rc = read_segment(c, &segs[i], buf, err);
		buf += segs[i].length;
	}
	return rc;
}

/* The pieces that follow each other for the guest are written together. */
static size_t adjoining(const struct plt_segment *segs, size_t nr, size_t *len)
{
	size_t n = 1;

	*len = segs[0].length;
	while (n < nr && segs[n].kind == SEG_DATA &&
	       segs[n].offset == segs[0].offset + *len)
		*len += segs[n++].length;
	return n;
}

static int write_batch(struct copier *c, const struct plt_segment *segs,
		       size_t nr, const uint8_t *buf,
		       struct platter_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < nr && !rc && !plt_runner_stopped(c->run);) {
		const struct plt_segment *seg = &segs[i];
		size_t len, n = 1;

		if (seg->kind == SEG_ZERO) {
			rc = write_zeros(c, seg->offset, seg->length, err);
		} else if (seg->kind == SEG_DATA) {
			n = adjoining(seg, nr - i, &len);
			rc = write_chunk(c, buf, len, seg->offset, err);
			buf += len;
		}
		i += n;
	}
	return rc;
}

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

/* What the kernel could not copy. */
static int copy_rest(struct copier *c, struct plt_segment seg, void *buf,
		     struct platter_error *err)
{
	uint64_t end = seg.offset + seg.length;
	int rc = 0;

	while (seg.offset < end && !rc) {
		seg.length = up_to_multiple(seg.offset, end - seg.offset,
					    PLT_CHUNK_MAX);
		rc = read_segment(c, &seg, buf, err);
		if (!rc)
			rc = write_chunk(c, buf, seg.length, seg.offset, err);
		seg.offset += seg.length;
		seg.host_offset += seg.length;
	}
	return rc;
}

static int offload_batch(struct copier *c, const struct plt_segment *segs,
			 size_t nr, void *buf, struct platter_error *err)
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

static int copy_batch(void *arg, const struct plt_segment *segs, size_t nr,
		      void *buf, struct platter_error *err)
{
	struct copier *c = arg;
	int rc;

	rc = read_batch(c, segs, nr, buf, err);
	if (rc)
		return rc;
	if (c->one_writer)
		pthread_mutex_lock(&c->turn);
	rc = write_batch(c, segs, nr, buf, err);
	if (c->one_writer)
		pthread_mutex_unlock(&c->turn);
	return rc ? rc : offload_batch(c, segs, nr, buf, err);
}

/* ---- the walk ---- */

/* The longest piece that one worker gets; a power of two. */
static uint64_t piece_unit(const struct copier *c, unsigned int kind)
{
	uint64_t unit = ZERO_MAX;

	if (kind != SEG_ZERO)
		return kind == SEG_OFFLOAD ? OFFLOAD_MAX : PLT_CHUNK_MAX;
	/* Zeroing 8 EiB of hole must not take 2^35 calls. */
	while (c->opts->length / unit > ZERO_CALLS)
		unit *= 2;
	return unit;
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
	    !(ext->flags & PLT_EXTENT_DIRECT) ||
	    !ext->file->drv->io->copy_range)
		return SEG_DATA;
	return SEG_OFFLOAD;
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

static int add_extent(struct copier *c, const struct platter_extent *ext,
		      struct platter_error *err)
{
	struct plt_segment seg = {
		.offset = ext->offset,
		.kind = extent_kind(c, ext),
		.file = ext->flags & PLT_EXTENT_DIRECT ? ext->file : NULL,
		.host_offset = ext->host_offset,
	};
	uint64_t left = ext->length;
	int rc = 0;

	if (seg.kind == SEG_ZERO && !ext->depth &&
	    (ext->flags & PLATTER_EXTENT_PRESENT))
		c->zeroed += left;
	if (seg.kind == SEG_ZERO && c->opts->target_is_zero &&
	    !c->opts->allocate)
		seg.kind = SEG_NONE;
	if (seg.kind == SEG_NONE) {
		c->skipped += left;
		return report(c, err);
	}
	while (left && !rc) {
		seg.length = up_to_multiple(seg.offset, left,
					    piece_unit(c, seg.kind));
		rc = plt_runner_add(c->run, &seg,
				    seg.kind == SEG_ZERO ?
				    seg.length / ZERO_SPEED : seg.length,
				    err);
		if (!rc)
			rc = report(c, err);
		seg.offset += seg.length;
		seg.host_offset += seg.length;
		left -= seg.length;
	}
	return rc;
}

static int walk(struct copier *c, struct platter_error *err)
{
	uint64_t end = c->opts->offset + c->opts->length;
	uint64_t offset = c->opts->offset;
	plt_auto_free struct plt_extents *map = NULL;
	int rc = plt_extents_new(&map, c->src, end, err);

	while (!rc && offset < end) {
		struct platter_extent ext;

		rc = plt_extents_at(map, offset, &ext, err);
		if (rc)
			break;
		rc = add_extent(c, &ext, err);
		offset += ext.length;
	}
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

/*
 * File systems let one thread at a time write to the cache of a file, and the
 * others spin for it. Taking turns lets them read instead.
 */
static bool wants_one_writer(struct platter_image *dst)
{
	struct platter_image *file;
	uint64_t host;

	if (dst->cache == PLATTER_CACHE_NONE ||
	    dst->cache == PLATTER_CACHE_DIRECTSYNC)
		return false;
	file = plt_image_plain(dst, 0, 1, &host);
	return file && !strcmp(file->drv->name, "file");
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
		.one_writer = wants_one_writer(dst),
		.turn = PTHREAD_MUTEX_INITIALIZER,
	};
	int rc = check_range(src, opts, err);

	if (!rc)
		rc = check_range(dst, opts, err);
	if (!rc)
		rc = plt_runner_new(&c.run, opts->workers, PLT_CHUNK_MAX,
				    copy_batch, &c, err);
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
