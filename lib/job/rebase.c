/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rebase: give an overlay another backing file and keep what it reads as.
 *
 * Where the overlay holds nothing itself, and the new chain differs from the
 * old one, the overlay gets the old content. What both chains read from the
 * same place of the same file, or both know to be zeros, is not looked at.
 * The rest is read and compared a cluster at a time, for a cluster is what the
 * overlay takes in anyway; or a subcluster, where it has those.
 *
 * Only when all that is durable does the name in the header change: before, the
 * overlay reads the same over the old file; afterwards, over the new one.
 */
#include <limits.h>
#include <string.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "copy/extents.h"
#include "copy/runner.h"
#include "core/core.h"
#include "job/job.h"

#define UNIT_DEFAULT	4096u	/* bytes, where there are no clusters */
#define NEVER		UINT_MAX
#define EXTENTS		16u

/* What is to be done with a cluster. */
enum {
	UNIT_SAME,
	UNIT_ZERO,
	UNIT_DATA,
};

struct rebase {
	struct platter_image *top;
	struct platter_image *new;	/* or NULL: no backing file */
	const struct platter_rebase_options *opts;
	uint64_t unit;			/* bytes of a (sub)cluster */
	uint64_t chunk;			/* most bytes in a segment */
	uint64_t size;			/* bytes of the overlay */
	/* From this depth on the top's chain is the new one. */
	unsigned int new_in_old;
	/* From this depth on the new chain is the top's backing file. */
	unsigned int old_in_new;
	struct plt_extents *map_top, *map_new;
	struct plt_same_host same_host;
	struct plt_runner *run;
	uint64_t begin, end;		/* to be compared, not handed out yet */
	uint64_t skipped;		/* bytes no worker sees */
};

/* The overlay itself says what is there. */
static bool is_own(const struct platter_extent *ext)
{
	return !ext->depth && (ext->flags & PLATTER_EXTENT_PRESENT);
}

/* ---- the workers' side ---- */

static int write_piece(struct rebase *r, const uint8_t *buf, uint64_t offset,
		       uint64_t len, unsigned int kind,
		       struct platter_error *err)
{
	if (kind == UNIT_ZERO)
		return platter_image_zero(r->top, offset, len,
					  PLATTER_ZERO_UNMAP, err);
	return platter_image_pwrite(r->top, buf, len, offset, err);
}

/* An overlay with subclusters may hold a part of a cluster already. */
static int write_around_own(struct rebase *r, const uint8_t *buf,
			    uint64_t offset, uint64_t len, unsigned int kind,
			    struct platter_error *err)
{
	struct platter_extent ext[EXTENTS];
	int rc = 0;

	while (len && !rc) {
		size_t count = EXTENTS;

		rc = platter_image_map(r->top, offset, len, ext, &count, err);
		for (size_t i = 0; i < count && !rc; i++) {
			if (!is_own(&ext[i]))
				rc = write_piece(r, buf, offset,
						 ext[i].length, kind, err);
			buf += ext[i].length;
			offset += ext[i].length;
			len -= ext[i].length;
		}
	}
	return rc;
}

static bool all_foreign(struct rebase *r, uint64_t offset, uint64_t len)
{
	struct platter_extent ext[EXTENTS];
	size_t count = EXTENTS;
	uint64_t seen = 0;

	if (platter_image_map(r->top, offset, len, ext, &count, NULL))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (is_own(&ext[i]))
			return false;
		seen += ext[i].length;
	}
	return seen == len;
}

static int write_units(struct rebase *r, const uint8_t *buf, uint64_t offset,
		       uint64_t len, unsigned int kind,
		       struct platter_error *err)
{
	int rc = 0;

	if (!r->opts->compress || kind == UNIT_ZERO)
		return write_around_own(r, buf, offset, len, kind, err);
	for (uint64_t pos = 0, n; pos < len && !rc; pos += n) {
		n = PLT_MIN(r->unit, len - pos);
		if (all_foreign(r, offset + pos, n))
			rc = platter_image_write_compressed(r->top, buf + pos,
							    n, offset + pos,
							    err);
		else
			rc = write_around_own(r, buf + pos, offset + pos, n,
					      kind, err);
	}
	return rc;
}

static unsigned int unit_kind(const uint8_t *old, const uint8_t *new,
			      size_t len)
{
	if (!memcmp(old, new, len))
		return UNIT_SAME;
	return plt_is_zero(old, len) ? UNIT_ZERO : UNIT_DATA;
}

/* How many bytes from the beginning on are of one kind. */
static size_t run_length(const struct rebase *r, const uint8_t *old,
			 const uint8_t *new, size_t len, unsigned int *kind)
{
	size_t pos = PLT_MIN(len, (size_t)r->unit);

	*kind = unit_kind(old, new, pos);
	while (pos < len) {
		size_t n = PLT_MIN(len - pos, (size_t)r->unit);

		if (unit_kind(old + pos, new + pos, n) != *kind)
			break;
		pos += n;
	}
	return pos;
}

static int read_new(struct rebase *r, uint8_t *buf, size_t len,
		    uint64_t offset, struct platter_error *err)
{
	uint64_t size = r->new ? platter_image_size(r->new) : 0;
	size_t there = offset < size ? PLT_MIN((uint64_t)len, size - offset) :
				       0;

	memset(buf + there, 0, len - there);
	if (!there)
		return 0;
	return platter_image_pread(r->new, buf, there, offset, err);
}

static int rebase_segment(struct rebase *r, const struct plt_segment *seg,
			  uint8_t *old, struct platter_error *err)
{
	uint8_t *new = old + r->chunk;
	uint64_t len = seg->length;
	int rc;

	rc = platter_image_pread(r->top, old, len, seg->offset, err);
	if (!rc)
		rc = read_new(r, new, len, seg->offset, err);
	for (uint64_t pos = 0, n; pos < len && !rc; pos += n) {
		unsigned int kind;

		n = run_length(r, old + pos, new + pos, len - pos, &kind);
		if (kind != UNIT_SAME)
			rc = write_units(r, old + pos, seg->offset + pos, n,
					 kind, err);
	}
	return rc;
}

static int rebase_batch(void *arg, const struct plt_segment *segs, size_t nr,
			void *buf, struct platter_error *err)
{
	struct rebase *r = arg;
	int rc = 0;

	for (size_t i = 0; i < nr && !rc && !plt_runner_stopped(r->run); i++)
		rc = rebase_segment(r, &segs[i], buf, err);
	return rc;
}

/* ---- the walk ---- */

static int report(struct rebase *r, struct platter_error *err)
{
	return plt_runner_report(r->run, r->opts->progress, r->skipped,
				 r->size, err);
}

/* Hand out what has been gathered. */
static int hand_out(struct rebase *r, struct platter_error *err)
{
	int rc = 0;

	while (r->begin < r->end && !rc) {
		struct plt_segment seg = {
			.offset = r->begin,
			.length = PLT_MIN(r->end - r->begin,
					  r->chunk - r->begin % r->chunk),
		};

		rc = plt_runner_add(r->run, &seg, seg.length, err);
		if (!rc)
			rc = report(r, err);
		r->begin += seg.length;
	}
	return rc;
}

/* Whole clusters, each of them once. */
static int gather(struct rebase *r, uint64_t offset, uint64_t len,
		  struct platter_error *err)
{
	uint64_t begin = offset - offset % r->unit;
	uint64_t end = offset + len, over = end % r->unit;
	int rc = 0;

	if (over)
		end = PLT_MIN(end - over + r->unit, r->size);
	if (begin > r->end) {
		rc = hand_out(r, err);
		r->skipped += begin - r->end;
		r->begin = begin;
	}
	r->end = PLT_MAX(r->end, end);
	if (!rc && r->end - r->begin >= 2 * r->chunk)
		rc = hand_out(r, err);
	return rc;
}

static bool reads_the_same(struct rebase *r, const struct platter_extent *old,
			   const struct platter_extent *new)
{
	if (old->flags & new->flags & PLATTER_EXTENT_ZERO)
		return true;
	return old->depth >= r->new_in_old || new->depth >= r->old_in_new ||
	       plt_same_host(&r->same_host, old, new);
}

/* Beyond its end the new backing file reads as zeros. */
static int new_extent(struct rebase *r, uint64_t offset,
		      struct platter_extent *ext, struct platter_error *err)
{
	if (r->map_new && offset < r->map_new->end)
		return plt_extents_at(r->map_new, offset, ext, err);
	*ext = (struct platter_extent){
		.offset = offset,
		.length = r->size - offset,
		.flags = PLATTER_EXTENT_ZERO,
	};
	return 0;
}

static int step(struct rebase *r, uint64_t *offset, struct platter_error *err)
{
	struct platter_extent old, new;
	int rc;

	rc = plt_extents_at(r->map_top, *offset, &old, err);
	if (rc)
		return rc;
	if (!is_own(&old)) {
		rc = new_extent(r, *offset, &new, err);
		if (rc)
			return rc;
		old.length = PLT_MIN(old.length, new.length);
		if (!reads_the_same(r, &old, &new))
			rc = gather(r, *offset, old.length, err);
	}
	*offset += old.length;
	return rc;
}

static int walk(struct rebase *r, struct platter_error *err)
{
	uint64_t offset = 0;
	int rc = 0;

	while (!rc && offset < r->size)
		rc = step(r, &offset, err);
	if (!rc)
		rc = hand_out(r, err);
	return rc ? rc : plt_runner_finish(r->run, err);
}

static int copy_differences(struct rebase *r, struct platter_error *err)
{
	int rc;

	rc = plt_extents_new(&r->map_top, r->top, r->size, err);
	if (!rc && r->new)
		rc = plt_extents_new(&r->map_new, r->new, r->size, err);
	if (!rc)
		rc = plt_runner_new(&r->run, r->opts->workers, 2 * r->chunk,
				    rebase_batch, r, err);
	if (!rc)
		rc = walk(r, err);
	plt_runner_free(r->run);
	free(r->map_top);
	free(r->map_new);
	return rc;
}

/* ---- before anything is written ---- */

static int check_request(const struct rebase *r, struct platter_error *err)
{
	const struct platter_driver *drv = plt_chain_format(r->top)->drv;
	const char *name = platter_image_name(r->top);
	const char *format = r->opts->format;

	if (!drv->format || !drv->format->change_backing)
		return plt_err_set(err, -ENOTSUP, "%s: format %s has no "
				   "backing files", name, drv->name);
	if (format && !plt_driver_find(r->top->ctx, format))
		return plt_err_set(err, -EINVAL, "unknown format \"%s\"",
				   format);
	if (r->opts->backing && !format)
		return plt_err_set(err, -EINVAL, "%s: Could not change the "
				   "backing file to '%s': backing format must "
				   "be specified (-F)", name,
				   r->opts->backing);
	if (r->opts->compress && !plt_image_can_compress(r->top))
		return plt_err_set(err, -ENOTSUP, "%s: format %s cannot "
				   "compress", name, drv->name);
	return 0;
}

/* A relative name is relative to the overlay, as it will be once stored. */
static int open_new(struct rebase *r, struct platter_error *err)
{
	const struct platter_open_options open = {
		.format = r->opts->format,
		.flags = r->opts->open_flags,
		.cache = r->opts->cache,
	};
	const char *own = plt_image_local_path(r->top);
	const char *name = r->opts->backing;
	plt_auto_free char *path = NULL;
	struct platter_image *file;

	path = own && !plt_spec_scheme(name) ? plt_gate_path(own, name, err) :
					       plt_strdup(name, err);
	if (!path)
		return -ENOMEM;
	file = plt_chain_format(r->top);
	file = platter_image_child(file, plt_driver_primary(file->drv));
	if (file && plt_image_uses_path(file, path))
		return plt_err_set(err, -EINVAL, "%s: cannot be its own "
				   "backing file",
				   platter_image_name(r->top));
	return platter_image_open(&r->new, r->top->ctx, path, &open, err);
}

static int look(struct rebase *r, struct platter_error *err)
{
	struct platter_image *old = plt_chain_backing(r->top);
	struct platter_image_facts facts = { .cluster_size = 0 };
	unsigned int depth;
	int rc = platter_image_facts(r->top, &facts, err);

	if (rc)
		return rc;
	r->size = platter_image_size(r->top);
	r->unit = r->opts->compress ? facts.cluster_size :
				      facts.subcluster_size;
	if (!r->unit)
		r->unit = UNIT_DEFAULT;
	r->chunk = PLT_CHUNK_MAX - PLT_CHUNK_MAX % r->unit;
	r->chunk = PLT_MAX(r->chunk, r->unit);
	r->new_in_old = r->old_in_new = NEVER;
	if (r->new && plt_chain_same(old, r->new, &depth))
		r->new_in_old = depth + 1;
	if (r->new && old && plt_chain_same(r->new, old, &depth))
		r->old_in_new = depth;
	return 0;
}

static int keep_content(struct rebase *r, struct platter_error *err)
{
	int rc = r->opts->backing ? open_new(r, err) : 0;

	if (!rc)
		rc = look(r, err);
	if (!rc)
		rc = copy_differences(r, err);
	if (!rc)
		rc = plt_progress(r->opts->progress, r->size, r->size, err);
	return rc;
}

int platter_rebase(struct platter_image *top,
		   const struct platter_rebase_options *opts,
		   struct platter_error *err)
{
	struct platter_rebase_options own = *opts;
	struct rebase r = { .top = top, .opts = &own };
	int rc;

	if (own.backing && !*own.backing)
		own.backing = NULL;
	rc = check_request(&r, err);
	if (!rc && !own.names_only)
		rc = keep_content(&r, err);
	if (!rc)
		rc = platter_image_flush(top, err);
	if (!rc)
		rc = platter_image_change_backing(top, own.backing,
						  own.backing ? own.format :
						  NULL, err);
	if (!rc)
		rc = platter_image_flush(top, err);
	platter_image_close(r.new, NULL);
	return rc;
}
