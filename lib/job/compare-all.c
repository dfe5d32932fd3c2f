/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compare two images to the end, and tell of every range that differs.
 *
 * Chunks are read and compared by several workers at once; one that finds a
 * difference waits for its turn, so that ranges come in ascending order while
 * nothing but the buffers is kept. Differences are looked for in blocks of 512
 * bytes that begin at multiples of it: what a block differs in is one range,
 * and so are ranges that are less than that apart. Which ranges come out does
 * not depend on how the images are stored.
 */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "copy/extents.h"
#include "copy/runner.h"
#include "core/core.h"
#include "job/job.h"

#define BLOCK		512u
#define FAILED_MAP	3	/* qemu-img's exit codes */
#define FAILED_READ	4

enum {
	SEG_BOTH,
	SEG_A,		/* `b` reads as zeros there */
	SEG_B,
};

struct lister {
	struct platter_image *a, *b;
	const struct platter_compare_options *opts;
	struct platter_compare_result *result;
	struct plt_extents *map_a, *map_b;
	struct plt_same_host same_host;
	struct plt_runner *run;
	uint64_t length;		/* bytes of the longer image */
	uint64_t skipped;		/* bytes no worker sees */
	uint64_t begin, end;	/* found and not told; for who has the turn */
};

/* ---- what is found ---- */

static void tell(struct lister *l)
{
	if (l->begin == l->end)
		return;
	if (!l->result->ranges++)
		l->result->offset = l->begin;
	l->result->bytes += l->end - l->begin;
	l->opts->found(l->opts->arg, l->begin, l->end - l->begin);
}

static void add(struct lister *l, uint64_t begin, uint64_t end)
{
	if (l->begin == l->end || begin - l->end >= BLOCK) {
		tell(l);
		l->begin = begin;
	}
	l->end = end;
}

/* The first and the last difference in each block. */
static void scan(struct lister *l, const uint8_t *a, const uint8_t *b,
		 size_t len, uint64_t offset)
{
	for (size_t pos = 0, n; pos < len; pos += n) {
		size_t first = pos, last;

		n = PLT_MIN(len - pos,
			    (size_t)(BLOCK - (offset + pos) % BLOCK));
		if (!memcmp(a + pos, b + pos, n))
			continue;
		last = pos + n - 1;
		while (a[first] == b[first])
			first++;
		while (a[last] == b[last])
			last--;
		add(l, offset + first, offset + last + 1);
	}
}

/* ---- the workers' side ---- */

static int read_one(struct platter_image *img, void *buf, size_t len,
		    uint64_t offset, bool zero, struct platter_error *err)
{
	if (!zero)
		return platter_image_pread(img, buf, len, offset, err);
	memset(buf, 0, len);
	return 0;
}

static int compare_batch(void *arg, const struct plt_segment *segs, size_t nr,
			 void *buf, struct platter_error *err)
{
	struct lister *l = arg;
	uint8_t *a = buf, *b = a + PLT_CHUNK_MAX;
	bool my_turn = false;
	int rc = 0;

	for (size_t i = 0; i < nr && !rc && !plt_runner_stopped(l->run);) {
		struct plt_segment seg;

		i += plt_compare_merge(&seg, segs + i, nr - i);
		rc = read_one(l->a, a, seg.length, seg.offset,
			      seg.kind == SEG_B, err);
		if (!rc)
			rc = read_one(l->b, b, seg.length, seg.offset,
				      seg.kind == SEG_A, err);
		if (rc || !memcmp(a, b, seg.length))
			continue;
		if (!my_turn)
			rc = plt_runner_begin_turn(l->run, segs, 0);
		my_turn = !rc;
		/* Another batch has failed; that is the error to report. */
		if (rc)
			return 0;
		scan(l, a, b, seg.length, seg.offset);
	}
	if (my_turn)
		plt_runner_end_turn(l->run, segs, 0);
	return rc;
}

/* ---- the walk ---- */

static int hand_out(struct lister *l, uint64_t offset, uint64_t length,
		    unsigned int kind, struct platter_error *err)
{
	struct plt_segment seg = { .offset = offset, .kind = kind };
	int rc = 0;

	while (length && !rc) {
		seg.length = PLT_MIN(length, PLT_CHUNK_MAX -
				     seg.offset % PLT_CHUNK_MAX);
		rc = plt_runner_add(l->run, &seg, seg.length, err);
		if (!rc)
			rc = plt_runner_report(l->run, l->opts->progress,
					       l->skipped, l->length, err);
		seg.offset += seg.length;
		length -= seg.length;
	}
	return rc;
}

static int step(struct lister *l, uint64_t *offset, struct platter_error *err)
{
	struct platter_extent a, b;
	uint64_t begin = *offset, len;
	bool zero_a, zero_b;
	int rc;

	rc = plt_compare_extent(l->map_a, begin, l->length, &a, err);
	if (!rc)
		rc = plt_compare_extent(l->map_b, begin, l->length, &b, err);
	if (rc) {
		l->result->failed = FAILED_MAP;
		return rc;
	}
	len = PLT_MIN(a.length, b.length);
	*offset += len;
	zero_a = a.flags & PLATTER_EXTENT_ZERO;
	zero_b = b.flags & PLATTER_EXTENT_ZERO;
	if ((zero_a && zero_b) || plt_same_host(&l->same_host, &a, &b)) {
		l->skipped += len;
		return plt_runner_report(l->run, l->opts->progress, l->skipped,
					 l->length, err);
	}
	return hand_out(l, begin, len, zero_a ? SEG_B : zero_b ? SEG_A :
			SEG_BOTH, err);
}

static int walk(struct lister *l, struct platter_error *err)
{
	uint64_t offset = 0;
	int rc = 0;

	while (!rc && offset < l->length)
		rc = step(l, &offset, err);
	if (!rc)
		rc = plt_runner_finish(l->run, err);
	if (rc && !l->result->failed)
		l->result->failed = FAILED_READ;
	return rc;
}

static int list(struct lister *l, struct platter_error *err)
{
	int rc;

	rc = plt_extents_new(&l->map_a, l->a, l->length, err);
	if (!rc)
		rc = plt_extents_new(&l->map_b, l->b, l->length, err);
	if (!rc)
		rc = plt_runner_new(&l->run, l->opts->workers,
				    2 * PLT_CHUNK_MAX, compare_batch, l, err);
	if (!rc) {
		plt_runner_order(l->run, 1);
		rc = walk(l, err);
	}
	plt_runner_free(l->run);
	free(l->map_a);
	free(l->map_b);
	return rc;
}

int plt_compare_all(struct platter_image *a, struct platter_image *b,
		    const struct platter_compare_options *opts,
		    struct platter_compare_result *result,
		    struct platter_error *err)
{
	struct lister l = {
		.a = a,
		.b = b,
		.opts = opts,
		.result = result,
		.length = PLT_MAX(platter_image_size(a),
				  platter_image_size(b)),
	};
	int rc;

	*result = (struct platter_compare_result){
		.verdict = PLATTER_COMPARE_SAME,
		.size_differs = platter_image_size(a) != platter_image_size(b),
	};
	if (opts->strict)
		return plt_err_set(err, -EINVAL, "every difference cannot be "
				   "listed in strict mode");
	rc = list(&l, err);
	if (rc)
		return rc;
	tell(&l);
	if (result->ranges)
		result->verdict = PLATTER_COMPARE_CONTENT;
	return plt_progress(opts->progress, l.length, l.length, err);
}
