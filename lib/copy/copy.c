// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The copy engine: every job that moves blocks from one node to another.
 *
 * The calling thread walks the source's map in ascending order and cuts it
 * into segments; workers move them (work.c).
 *
 * A target with clusters gets whole ones: where a cluster's worth of the
 * source is data in part, all of it is read through the source and written at
 * once. Anything less would make the target allocate it in pieces.
 *
 * Only a long run that is stored in one piece is offered to the kernel for
 * copying inside the file system, and only where nobody wants to look for
 * zeros in it.
 */
#include "copy/copy.h"

#include <string.h>

#include <platter/sys/driver.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/rate.h"
#include "copy/copier.h"
#include "copy/extents.h"
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
#define RATE_SLICES	20u	/* of a second, between looking for a signal */
#define UNIT_EXTENTS	16u	/* looked at together */
#define SALVAGE_STEP	(64u << 10)	/* where the map cannot be read */

/* ---- what is to be done with an extent ---- */

/* The longest piece that one worker gets; a power of two. */
static uint64_t piece_unit(const struct copier *c, unsigned int kind)
{
	uint64_t unit = ZERO_MAX;

	if (kind != SEG_ZERO)
		return kind == SEG_OFFLOAD ? OFFLOAD_MAX : c->chunk;
	/* Zeroing 8 EiB of hole must not take 2^35 calls. */
	while (c->opts->length / unit > ZERO_CALLS)
		unit *= 2;
	return unit;
}

/* True when the target shows the extent already, from below itself. */
static bool left_alone(const struct copier *c, const struct platter_extent *ext)
{
	const struct plt_copy_options *opts = c->opts;

	if (opts->only_present &&
	    (ext->depth || !(ext->flags & PLATTER_EXTENT_PRESENT)))
		return true;
	if (!opts->shared_depth)
		return false;
	if (ext->offset < opts->shared_size)
		return ext->depth >= opts->shared_depth;
	return opts->rest_is_new && !(ext->flags & PLATTER_EXTENT_PRESENT);
}

static bool can_offload(const struct copier *c,
			const struct platter_extent *ext)
{
	const struct plt_copy_options *opts = c->opts;

	return !opts->sparse_size && !opts->digest && !opts->compress &&
	       !opts->salvage && !c->no_offload &&
	       ext->length >= OFFLOAD_MIN &&
	       (ext->flags & PLT_EXTENT_DIRECT) &&
	       ext->file->drv->io->copy_range;
}

static unsigned int extent_kind(const struct copier *c,
				const struct platter_extent *ext)
{
	bool zero = ext->flags & PLATTER_EXTENT_ZERO;

	if (left_alone(c, ext))
		return c->opts->digest && !zero ? SEG_DIGEST : SEG_NONE;
	if (zero)
		return plt_copier_zero_already(c, ext->offset) ? SEG_NONE :
								 SEG_ZERO;
	return can_offload(c, ext) ? SEG_OFFLOAD : SEG_DATA;
}

/* ---- handing it out ---- */

static int report(struct copier *c, struct platter_error *err)
{
	return plt_runner_report(c->run, c->opts->progress, c->skipped,
				 c->opts->length, err);
}

/* Wait for so many bytes' worth of time, ready to be stopped. */
static int throttle(struct copier *c, uint64_t bytes,
		    struct platter_error *err)
{
	uint64_t slice = c->opts->rate / RATE_SLICES + 1;
	int rc = 0;

	while (c->rate && bytes && !rc) {
		uint64_t n = PLT_MIN(bytes, slice);

		plt_rate_take(c->rate, n);
		rc = report(c, err);
		bytes -= n;
	}
	return rc;
}

static int add_segments(struct copier *c, struct plt_segment seg,
			uint64_t left, struct platter_error *err)
{
	int rc = 0;

	while (left && !rc) {
		bool zero = seg.kind == SEG_ZERO;

		seg.length = plt_up_to_multiple(seg.offset, left,
						piece_unit(c, seg.kind));
		rc = zero ? 0 : throttle(c, seg.length, err);
		if (!rc)
			rc = plt_runner_add(c->run, &seg, zero ?
					    seg.length / ZERO_SPEED :
					    seg.length, err);
		if (!rc)
			rc = report(c, err);
		seg.offset += seg.length;
		seg.host_offset += seg.length;
		left -= seg.length;
	}
	return rc;
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

	if (!ext->depth && (ext->flags & PLATTER_EXTENT_ZERO) &&
	    (ext->flags & PLATTER_EXTENT_PRESENT))
		c->zeroed += ext->length;
	if (seg.kind == SEG_NONE) {
		c->skipped += ext->length;
		return report(c, err);
	}
	return add_segments(c, seg, ext->length, err);
}

/* ---- the walk ---- */

static void cut_at(struct platter_extent *ext, uint64_t boundary)
{
	if (boundary > ext->offset && boundary - ext->offset < ext->length)
		ext->length = boundary - ext->offset;
}

/* Several extents of which the target needs none. */
static bool all_left_alone(const struct copier *c, uint64_t offset,
			   uint64_t length)
{
	struct platter_extent ext[UNIT_EXTENTS];

	if (!c->opts->shared_depth && !c->opts->only_present)
		return false;
	while (length) {
		size_t count = UNIT_EXTENTS;

		if (platter_image_map(c->src, offset, length, ext, &count,
				      NULL))
			return false;
		for (size_t i = 0; i < count; i++) {
			if (!left_alone(c, &ext[i]))
				return false;
			offset += ext[i].length;
			length -= ext[i].length;
		}
	}
	return true;
}

/* Make an extent whole clusters, or the one cluster that it is a part of. */
static void whole_units(const struct copier *c, struct platter_extent *ext,
			uint64_t end)
{
	uint64_t stop = ext->offset + ext->length, length;

	if (stop < end)
		stop = plt_align_down(stop, c->unit);
	if (stop > ext->offset) {
		ext->length = stop - ext->offset;
		return;
	}
	length = plt_up_to_multiple(ext->offset, end - ext->offset, c->unit);
	if (all_left_alone(c, ext->offset, length)) {
		ext->length = length;
		return;
	}
	*ext = (struct platter_extent){
		.offset = ext->offset,
		.length = length,
		.flags = PLATTER_EXTENT_DATA | PLATTER_EXTENT_PRESENT,
	};
}

/* The next extent; where the map is unreadable, to be tried by reading. */
static int next_extent(struct copier *c, struct plt_extents *map,
		       uint64_t offset, uint64_t end,
		       struct platter_extent *ext, struct platter_error *err)
{
	struct platter_error why = PLATTER_ERROR_INIT;
	int rc = plt_extents_at(map, offset, ext, &why);

	if (rc && !c->opts->salvage)
		return plt_err_set(err, rc, "%s", why.msg);
	if (rc)
		*ext = (struct platter_extent){
			.offset = offset,
			.length = plt_up_to_multiple(offset, end - offset,
						     SALVAGE_STEP),
			.flags = PLATTER_EXTENT_DATA | PLATTER_EXTENT_PRESENT,
		};
	cut_at(ext, c->opts->zero_from);
	cut_at(ext, c->opts->shared_size);
	if (c->unit > 1)
		whole_units(c, ext, end);
	return 0;
}

static int walk(struct copier *c, struct platter_error *err)
{
	uint64_t end = c->opts->offset + c->opts->length;
	uint64_t offset = c->opts->offset;
	plt_auto_free struct plt_extents *map = NULL;
	int rc = plt_extents_new(&map, c->src, end, err);

	while (!rc && offset < end) {
		struct platter_extent ext;

		rc = next_extent(c, map, offset, end, &ext, err);
		if (rc)
			break;
		rc = add_extent(c, &ext, err);
		offset += ext.length;
	}
	return rc ? rc : plt_runner_finish(c->run, err);
}

/* ---- setting it up ---- */

/*
 * What goes to the cache of a plain file is in order when it leaves that, and
 * the file system lets one thread at a time write to it anyhow: its lock
 * passes from one to the next faster than turns do.
 */
static bool order_is_made_below(struct platter_image *dst)
{
	struct platter_image *file;
	uint64_t host;

	if (dst->cache == PLATTER_CACHE_NONE ||
	    dst->cache == PLATTER_CACHE_DIRECTSYNC)
		return false;
	file = plt_image_plain(dst, 0, 1, &host);
	return file && !strcmp(file->drv->name, "file");
}

static int find_unit(struct copier *c, struct platter_error *err)
{
	struct platter_image_facts facts;
	int rc;

	c->unit = 1;
	rc = platter_image_facts(c->dst, &facts, err);
	/* What the source leaves out is not to be overwritten. */
	if (!rc && !c->opts->only_present &&
	    plt_is_power_of_2(facts.cluster_size))
		c->unit = facts.cluster_size;
	c->chunk = PLT_MAX(c->unit, (uint64_t)PLT_CHUNK_MAX);
	return rc;
}

/* The largest power of two up to what the caller calls a run. */
static uint64_t detection_granule(const struct copier *c)
{
	uint64_t granule = GRANULE_MAX;

	while (granule > c->opts->sparse_size)
		granule /= 2;
	return granule ? PLT_MAX(granule, c->unit) : 0;
}

static int prepare(struct copier *c, struct platter_error *err)
{
	unsigned int stages = 0;
	int rc = find_unit(c, err);

	if (rc)
		return rc;
	if (c->opts->compress && c->unit == 1)
		return plt_err_set(err, -ENOTSUP, "%s: format %s has no "
				   "compression", c->dst->name,
				   c->dst->drv->name);
	c->granule = detection_granule(c);
	c->in_order = !c->opts->unordered && !order_is_made_below(c->dst);
	if (c->opts->allocate && c->unit > 1) {
		c->zeros = plt_calloc(1, PLT_CHUNK_MAX, err);
		if (!c->zeros)
			return -ENOMEM;
	}
	if (c->opts->rate)
		rc = plt_rate_new(&c->rate, c->opts->rate, NULL, err);
	if (!rc)
		rc = plt_runner_new(&c->run, c->opts->workers,
				    plt_copier_notes(c) + plt_pack_room(c) +
				    c->chunk,
				    plt_copier_batch, c, err);
	if (rc)
		return rc;
	if (c->opts->digest)
		stages = c->write_stage = 1;
	if (c->in_order)
		stages++;
	plt_runner_order(c->run, stages);
	return 0;
}

int plt_copy(struct platter_image *src, struct platter_image *dst,
	     const struct plt_copy_options *opts,
	     struct plt_copy_result *result, struct platter_error *err)
{
	struct copier c = {
		.src = src,
		.dst = dst,
		.opts = opts,
		.salvage = PTHREAD_MUTEX_INITIALIZER,
	};
	int rc;

	rc = plt_range_check(src, opts->offset, opts->length, err);
	if (!rc)
		rc = plt_range_check(dst, opts->offset, opts->length, err);
	if (!rc)
		rc = prepare(&c, err);
	if (!rc)
		rc = walk(&c, err);
	plt_runner_free(c.run);
	plt_rate_free(c.rate);
	free(c.zeros);
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
