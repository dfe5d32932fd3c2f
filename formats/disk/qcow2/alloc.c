/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding free host clusters.
 *
 * First fit from `free_guess` on, by looking through the refcounts. One thread
 * at a time chooses (`allocating`), as `lock` is let go while slices are read;
 * the chosen clusters have their refcounts raised before the next one looks.
 * A part of the file without a refcount block is all free. When a run reaches
 * into one, its first cluster becomes the block, and the search starts over.
 */
#include <inttypes.h>

#include "base/checked.h"
#include "base/error.h"
#include "disk/qcow2/alloc.h"

/* How much more than needed the file grows at a time, to grow seldom. */
#define GROW_MIN	(UINT64_C(1) << 20)
#define GROW_MAX	(UINT64_C(64) << 20)

/* ---- the file ---- */

/* What others have added to the file (check -r) may all be in use. */
static uint64_t see_size(struct plt_qcow2 *s)
{
	uint64_t size = platter_image_size(s->file);

	if (size != s->file_size)
		s->used_end = size;
	s->file_size = size;
	return size;
}

int plt_qcow2_extend_file(struct plt_qcow2 *s, uint64_t end,
			  struct platter_error *err)
{
	uint64_t more = PLT_MAX(end / 16, GROW_MIN);
	uint64_t size = see_size(s);
	int rc;

	more = PLT_MIN(more, GROW_MAX);
	if (end <= size) {
		s->used_end = PLT_MAX(s->used_end, end);
		return 0;
	}
	/* Not at once for tables alone: a new image stays small. */
	if (end - size < s->cluster_size)
		more = 0;
	rc = platter_image_resize(s->file, plt_align_up(end + more, 512), NULL);
	if (rc < 0)
		rc = platter_image_resize(s->file, plt_align_up(end, 512), err);
	s->file_size = platter_image_size(s->file);
	/* Not what there is no room for: the file would be cut to that. */
	if (rc == 0)
		s->used_end = PLT_MAX(s->used_end, end);
	return rc == -ENOTSUP ? -ENOSPC : rc;
}

int plt_qcow2_trim_file(struct plt_qcow2 *s, struct platter_error *err)
{
	uint64_t end;
	int rc;

	PLT_LOCK_SCOPE(&s->lock);
	see_size(s);
	end = plt_align_up(s->used_end, 512);
	if (s->file_size == end)
		return 0;
	rc = platter_image_resize(s->file, end, err);
	s->file_size = platter_image_size(s->file);
	return rc == -ENOTSUP ? 0 : rc;
}

int plt_qcow2_put(struct plt_qcow2 *s, const void *buf, uint64_t len,
		  uint64_t host, struct platter_error *err)
{
	int rc;

	pthread_mutex_unlock(&s->lock);
	rc = platter_image_pwrite(s->file, buf, len, host, err);
	pthread_mutex_lock(&s->lock);
	return rc;
}

/* ---- the search ---- */

struct search {
	uint64_t min, want;	/* clusters */
	uint64_t at;		/* to be looked at next */
	uint64_t start, nr;	/* the run so far */
	uint64_t first_free;	/* UINT64_MAX: none seen yet */
	uint64_t guess;		/* what free_guess was */
};

static uint64_t max_cluster(const struct plt_qcow2 *s)
{
	return QCOW2_MAX_HOST_OFFSET >> s->cluster_bits;
}

static void take(struct search *f, uint64_t nr)
{
	if (!f->nr)
		f->start = f->at;
	if (f->first_free == UINT64_MAX)
		f->first_free = f->at;
	f->nr += nr;
	f->at += nr;
}

/* Look through one slice. */
static int search_slice(struct plt_qcow2 *s, struct search *f, uint64_t block,
			struct platter_error *err)
{
	uint64_t per = plt_qcow2_refcounts_per_slice(s), i;
	struct plt_qcow2_slice *slice;
	int rc;

	rc = plt_qcow2_refcount_slice(s, f->at, block, &slice, &i, err);
	if (rc < 0)
		return rc;
	for (; i < per && f->nr < f->want; i++) {
		if (plt_qcow2_refcount_load(slice->data, i,
					    s->h.refcount_order) == 0) {
			take(f, 1);
			continue;
		}
		if (f->nr && f->nr >= f->min)
			break;
		f->nr = 0;
		f->at++;
	}
	plt_qcow2_slice_put(s, slice);
	return 0;
}

/* True when the run ends here: what follows it is in use. */
static bool complete(const struct search *f)
{
	return f->nr >= f->want ||
	       (f->nr >= f->min && f->nr && f->start + f->nr == f->at);
}

static int search(struct plt_qcow2 *s, struct search *f,
		  struct platter_error *err)
{
	uint64_t part = UINT64_C(1) << s->refblock_bits;

	f->at = f->guess;
	f->nr = 0;
	f->first_free = UINT64_MAX;
	do {
		uint64_t was = f->at, block, rest = part - f->at % part;
		int rc;

		if (f->at >= max_cluster(s))
			return plt_err_set(err, -EFBIG, "no free cluster is "
					   "left below the limit of %" PRIu64
					   " bytes", QCOW2_MAX_HOST_OFFSET);
		rc = plt_qcow2_refblock(s, f->at, &block, err);
		if (rc == 0 && block)
			rc = search_slice(s, f, block, err);
		else if (rc == 0)
			take(f, PLT_MIN(rest, f->want - f->nr));
		if (rc < 0)
			return rc;
		/* A slice that ended before the run did goes on in the next. */
		if (f->at % plt_qcow2_refcounts_per_slice(s) == 0 &&
		    f->at != was && f->nr < f->want)
			continue;
		if (complete(f))
			return 0;
	} while (f->nr < f->want);
	return 0;
}

/* ---- allocating ---- */

/*
 * A part of the run without a refcount block gets one, and the search starts
 * over. 1 when that is so, 0 when all have theirs.
 */
static int add_block(struct plt_qcow2 *s, const struct search *f,
		     struct platter_error *err)
{
	uint64_t first = f->start >> s->refblock_bits;
	uint64_t last = (f->start + f->nr - 1) >> s->refblock_bits;
	uint64_t block;
	int rc;

	for (uint64_t i = first; i <= last; i++) {
		rc = plt_qcow2_refblock(s, i << s->refblock_bits, &block, err);
		if (rc < 0)
			return rc;
		if (block)
			continue;
		if (i >= s->reftable_entries)
			rc = plt_qcow2_reftable_grow(s, last, err);
		else
			rc = plt_qcow2_refblock_add(s, i, f->start, err);
		return rc < 0 ? rc : 1;
	}
	return 0;
}

static int take_run(struct plt_qcow2 *s, const struct search *f,
		    struct plt_qcow2_run *out, struct platter_error *err)
{
	uint64_t host = f->start << s->cluster_bits;
	uint64_t len = f->nr << s->cluster_bits;
	int rc;

	if (f->start + f->nr > max_cluster(s))
		return plt_err_set(err, -EFBIG, "no %" PRIu64 " free clusters "
				   "are left below the limit of %" PRIu64
				   " bytes", f->nr, QCOW2_MAX_HOST_OFFSET);
	rc = plt_qcow2_check_overlap(s, 0, host, len, err);
	if (rc < 0)
		return rc;
	rc = plt_qcow2_refcount_raise(s, host, len, err);
	if (rc < 0)
		return rc;
	see_size(s);
	*out = (struct plt_qcow2_run) {
		.host = host,
		.clusters = f->nr,
		.fresh = host >= s->used_end,
	};
	rc = plt_qcow2_extend_file(s, host + len, err);
	if (rc < 0) {
		plt_qcow2_unalloc(s, host, len);
		return rc;
	}
	/* Less when something was freed meanwhile. */
	s->free_guess = PLT_MIN(s->free_guess, f->first_free == f->start ?
				f->start + f->nr : f->first_free);
	return 0;
}

int plt_qcow2_alloc_run(struct plt_qcow2 *s, uint64_t min, uint64_t want,
			struct plt_qcow2_run *out, struct platter_error *err)
{
	struct search f = { .min = min, .want = want };
	int rc;

	rc = plt_qcow2_check_broken(s, err);
	if (rc < 0)
		return rc;
	while (s->allocating)
		pthread_cond_wait(&s->allocated, &s->lock);
	s->allocating = true;
	f.guess = s->free_guess;
	s->free_guess = UINT64_MAX;
	do {
		rc = search(s, &f, err);
		if (rc == 0)
			rc = add_block(s, &f, err);
	} while (rc > 0);
	if (rc == 0)
		rc = take_run(s, &f, out, err);
	if (rc < 0)
		s->free_guess = PLT_MIN(s->free_guess, f.guess);
	s->allocating = false;
	pthread_cond_broadcast(&s->allocated);
	return rc;
}

int plt_qcow2_alloc(struct plt_qcow2 *s, uint64_t len, uint64_t *host,
		    struct platter_error *err)
{
	uint64_t clusters = PLT_MAX(plt_qcow2_clusters(s, len), UINT64_C(1));
	struct plt_qcow2_run run;
	int rc;

	rc = plt_qcow2_alloc_run(s, clusters, clusters, &run, err);
	if (rc == 0)
		*host = run.host;
	return rc;
}

int plt_qcow2_alloc_some(struct plt_qcow2 *s, uint64_t *len, uint64_t *host,
			 struct platter_error *err)
{
	uint64_t clusters = PLT_MAX(plt_qcow2_clusters(s, *len), UINT64_C(1));
	struct plt_qcow2_run run;
	int rc;

	rc = plt_qcow2_alloc_run(s, 1, clusters, &run, err);
	if (rc < 0)
		return rc;
	*host = run.host;
	*len = run.clusters << s->cluster_bits;
	return 0;
}
