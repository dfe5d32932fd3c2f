/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compare the content of two images, extent by extent.
 *
 * Both maps are walked side by side. What both say is zero is never read, and
 * what one says is zero is read from the other alone. Chunks are compared by
 * several workers, handed out in ascending order. Nobody stops at a difference
 * or an unreadable chunk but those who would look behind it: when all are done,
 * the lowest is the one a single reader would have met first.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "copy/extents.h"
#include "copy/runner.h"
#include "core/core.h"
#include "job/job.h"

#define NOWHERE		UINT64_MAX
#define FAILED_MAP	3	/* qemu-img's exit codes */
#define FAILED_READ	4
#define PROGRESS_EVERY	(16u << 20)	/* bytes */

enum {
	SEG_NONE,	/* nothing to read */
	SEG_BOTH,
	SEG_A,		/* `b` reads as zeros there */
	SEG_B,
};

struct comparer {
	struct platter_image *a, *b;
	const struct plt_compare_request *req;
	struct plt_extents *map_a, *map_b;
	struct plt_same_host same_host;
	struct plt_runner *run;
	uint64_t skipped;		/* bytes no worker sees */
	uint64_t reported;
	uint64_t allocation;		/* first difference in allocation */
	int failed;
	_Atomic uint64_t stop;		/* lowest offset with either of: */
	pthread_mutex_t lock;		/* guards those below */
	uint64_t content;		/* lowest difference found */
	uint64_t unreadable;		/* lowest that cannot be read */
	int rc;
	struct platter_error error;
};

/* ---- the workers' side ---- */

#define STEP 4096u

static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t len)
{
	size_t pos = 0;

	if (!memcmp(a, b, len))
		return len;
	while (len - pos > STEP && !memcmp(a + pos, b + pos, STEP))
		pos += STEP;
	while (a[pos] == b[pos])
		pos++;
	return pos;
}

static size_t first_nonzero(const uint8_t *buf, size_t len)
{
	size_t pos = 0;

	if (plt_is_zero(buf, len))
		return len;
	while (len - pos > STEP && plt_is_zero(buf + pos, STEP))
		pos += STEP;
	while (!buf[pos])
		pos++;
	return pos;
}

static void stop_at(struct comparer *c, uint64_t offset)
{
	c->stop = PLT_MIN((uint64_t)c->stop, offset);
}

static void found(struct comparer *c, uint64_t offset)
{
	PLT_LOCK_SCOPE(&c->lock);

	c->content = PLT_MIN(c->content, offset);
	stop_at(c, offset);
}

static void failed(struct comparer *c, uint64_t offset, int rc,
		   const struct platter_error *error)
{
	PLT_LOCK_SCOPE(&c->lock);

	if (offset >= c->unreadable)
		return;
	c->unreadable = offset;
	c->rc = rc;
	c->error = *error;
	stop_at(c, offset);
}

static void compare_segment(struct comparer *c, const struct plt_segment *seg,
			    void *buf, struct platter_error *err)
{
	uint8_t *other = (uint8_t *)buf + PLT_CHUNK_MAX;
	size_t pos;
	int rc = 0;

	if (seg->kind != SEG_B)
		rc = platter_image_pread(c->a, buf, seg->length, seg->offset,
					 err);
	if (!rc && seg->kind != SEG_A)
		rc = platter_image_pread(c->b, other, seg->length,
					 seg->offset, err);
	if (rc) {
		failed(c, seg->offset, rc, err);
		return;
	}
	if (seg->kind == SEG_BOTH)
		pos = first_difference(buf, other, seg->length);
	else
		pos = first_nonzero(seg->kind == SEG_A ? buf : other,
				    seg->length);
	if (pos < seg->length)
		found(c, seg->offset + pos);
}

size_t plt_compare_merge(struct plt_segment *seg,
			 const struct plt_segment *segs, size_t nr)
{
	size_t n = 1;

	*seg = segs[0];
	while (n < nr && segs[n].kind == seg->kind &&
	       segs[n].offset == seg->offset + seg->length &&
	       seg->length + segs[n].length <= PLT_CHUNK_MAX)
		seg->length += segs[n++].length;
	return n;
}

static int compare_batch(void *arg, const struct plt_segment *segs, size_t nr,
			 void *buf, struct platter_error *err)
{
	struct comparer *c = arg;
	struct plt_segment seg;

	for (size_t i = 0; i < nr && segs[i].offset < c->stop &&
	     !plt_runner_stopped(c->run);) {
		i += plt_compare_merge(&seg, segs + i, nr - i);
		compare_segment(c, &seg, buf, err);
	}
	return 0;
}

/* ---- the walk ---- */

int plt_compare_extent(struct plt_extents *map, uint64_t offset, uint64_t end,
		       struct platter_extent *ext, struct platter_error *err)
{
	if (offset < map->end)
		return plt_extents_at(map, offset, ext, err);
	*ext = (struct platter_extent){
		.offset = offset,
		.length = end - offset,
		.flags = PLATTER_EXTENT_ZERO,
	};
	return 0;
}

static unsigned int segment_kind(struct comparer *c,
				 const struct platter_extent *a,
				 const struct platter_extent *b)
{
	bool zero_a = a->flags & PLATTER_EXTENT_ZERO;
	bool zero_b = b->flags & PLATTER_EXTENT_ZERO;

	if (c->req->only_present &&
	    (a->depth || !(a->flags & PLATTER_EXTENT_PRESENT)))
		return SEG_NONE;
	if (zero_a)
		return zero_b ? SEG_NONE : SEG_B;
	if (plt_same_host(&c->same_host, a, b))
		return SEG_NONE;
	return zero_b ? SEG_A : SEG_BOTH;
}

static bool allocation_differs(const struct platter_extent *a,
			       const struct platter_extent *b)
{
	const unsigned int mask = PLATTER_EXTENT_DATA | PLATTER_EXTENT_ZERO |
				  PLATTER_EXTENT_PRESENT;

	return (a->flags & mask) != (b->flags & mask);
}

static int report(struct comparer *c, struct platter_error *err)
{
	uint64_t done = c->skipped + plt_runner_done(c->run);

	if (done - c->reported < PROGRESS_EVERY)
		return 0;
	c->reported = done;
	return plt_progress(c->req->progress, done, c->req->length, err);
}

static int hand_out(struct comparer *c, uint64_t offset, uint64_t length,
		    unsigned int kind, struct platter_error *err)
{
	struct plt_segment seg = { .offset = offset, .kind = kind };
	int rc = 0;

	if (kind == SEG_NONE)
		c->skipped += length;
	while (kind != SEG_NONE && length && !rc && seg.offset < c->stop) {
		seg.length = PLT_MIN(length, PLT_CHUNK_MAX -
				     seg.offset % PLT_CHUNK_MAX);
		rc = plt_runner_add(c->run, &seg, seg.length, err);
		if (!rc)
			rc = report(c, err);
		seg.offset += seg.length;
		length -= seg.length;
	}
	return rc;
}

/* One step along both maps; *offset moves behind it. */
static int step(struct comparer *c, uint64_t *offset, uint64_t end,
		struct platter_error *err)
{
	struct platter_extent a, b;
	uint64_t len;
	int rc;

	rc = plt_compare_extent(c->map_a, *offset, end, &a, err);
	if (!rc)
		rc = plt_compare_extent(c->map_b, *offset, end, &b, err);
	if (rc) {
		c->failed = FAILED_MAP;
		return rc;
	}
	if (c->req->strict && allocation_differs(&a, &b)) {
		c->allocation = *offset;
		return 0;
	}
	len = PLT_MIN(a.length, b.length);
	rc = hand_out(c, *offset, len, segment_kind(c, &a, &b), err);
	*offset += len;
	return rc;
}

static int walk(struct comparer *c, struct platter_error *err)
{
	uint64_t end = c->req->offset + c->req->length;
	uint64_t offset = c->req->offset;
	int rc = 0;

	while (!rc && offset < end && offset < c->stop &&
	       c->allocation == NOWHERE) {
		rc = step(c, &offset, end, err);
		if (!rc)
			rc = report(c, err);
	}
	return rc ? rc : plt_runner_finish(c->run, err);
}

/* No worker runs any more. */
static int judge(struct comparer *c, struct platter_compare_result *result,
		 struct platter_error *err)
{
	if (c->unreadable < PLT_MIN(c->content, c->allocation)) {
		c->failed = FAILED_READ;
		return plt_err_set(err, c->rc, "%s", c->error.msg);
	}
	if (c->content < c->allocation) {
		result->verdict = PLATTER_COMPARE_CONTENT;
		result->offset = c->content;
	} else if (c->allocation != NOWHERE) {
		result->verdict = PLATTER_COMPARE_ALLOCATION;
		result->offset = c->allocation;
	}
	return 0;
}

int plt_compare_range(struct platter_image *a, struct platter_image *b,
		      const struct plt_compare_request *req,
		      struct platter_compare_result *result,
		      struct platter_error *err)
{
	struct comparer c = {
		.a = a,
		.b = b,
		.req = req,
		.allocation = NOWHERE,
		.content = NOWHERE,
		.unreadable = NOWHERE,
		.stop = NOWHERE,
	};
	int rc;

	pthread_mutex_init(&c.lock, NULL);
	*result = (struct platter_compare_result){
		.verdict = PLATTER_COMPARE_SAME,
	};
	rc = plt_extents_new(&c.map_a, a, req->offset + req->length, err);
	if (!rc)
		rc = plt_extents_new(&c.map_b, b, req->offset + req->length,
				     err);
	if (!rc)
		rc = plt_runner_new(&c.run, req->workers, 2 * PLT_CHUNK_MAX,
				    compare_batch, &c, err);
	if (!rc)
		rc = walk(&c, err);
	plt_runner_free(c.run);
	free(c.map_a);
	free(c.map_b);
	pthread_mutex_destroy(&c.lock);
	if (!rc)
		rc = judge(&c, result, err);
	result->failed = c.failed;
	return rc;
}

int platter_compare(struct platter_image *a, struct platter_image *b,
		    const struct platter_compare_options *opts,
		    struct platter_compare_result *result,
		    struct platter_error *err)
{
	uint64_t size_a = platter_image_size(a);
	uint64_t size_b = platter_image_size(b);
	uint64_t common = PLT_MIN(size_a, size_b);
	const struct plt_compare_request req = {
		.length = PLT_MAX(size_a, size_b),
		.strict = opts->strict,
		.workers = opts->workers,
		.progress = opts->progress,
	};
	int rc;

	if (opts->found)
		return plt_compare_all(a, b, opts, result, err);
	if (opts->strict && size_a != size_b) {
		*result = (struct platter_compare_result){
			.verdict = PLATTER_COMPARE_SIZE,
			.offset = common,
			.size_differs = true,
		};
		return 0;
	}
	rc = plt_compare_range(a, b, &req, result, err);
	/* Not worth a word where the part both have differs already. */
	result->size_differs = size_a != size_b &&
			       (result->verdict == PLATTER_COMPARE_SAME ||
				result->offset >= common);
	if (!rc)
		rc = plt_progress(opts->progress, req.length, req.length, err);
	return rc;
}
