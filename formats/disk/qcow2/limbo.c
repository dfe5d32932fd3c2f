/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clusters that have been given up, until it is safe to use them again.
 *
 * While anything on disk refers to a cluster, or a thread that has looked up
 * where it is still reads or writes there, it must not be allocated anew: a
 * crash would show one file's bytes in another, and a late write would land in
 * somebody else's data. So its refcount stays until a flush has made durable
 * what took the last reference away, and has the image to itself. Holes are
 * punched only then, for one punched later would wipe out what has been put
 * there since.
 */
#include "base/checked.h"
#include "base/error.h"
#include "disk/qcow2/alloc.h"

/* More than this is worth a flush of its own. */
#define MAX_RANGES	4096u
#define MAX_BYTES	(UINT64_C(4) << 30)

struct range {
	uint64_t first, count;	/* clusters, one reference each */
	bool discard;
};

struct plt_qcow2_limbo {
	struct range *range;
	size_t nr, room;
	uint64_t clusters;
};

void plt_qcow2_limbo_free(struct plt_qcow2_limbo *limbo)
{
	if (!limbo)
		return;
	free(limbo->range);
	free(limbo);
}

bool plt_qcow2_limbo_empty(const struct plt_qcow2 *s)
{
	return !s->limbo || !s->limbo->nr;
}

static bool merge(struct plt_qcow2_limbo *limbo, uint64_t first,
		  uint64_t count, bool discard)
{
	struct range *last = limbo->nr ? &limbo->range[limbo->nr - 1] : NULL;

	if (!last || last->discard != discard)
		return false;
	if (last->first + last->count != first) {
		if (first + count != last->first)
			return false;
		last->first = first;
	}
	last->count += count;
	return true;
}

static void add(struct plt_qcow2 *s, uint64_t host, uint64_t len, bool discard)
{
	uint64_t first = host >> s->cluster_bits;
	uint64_t count = plt_qcow2_clusters(s, host + len) - first;
	struct plt_qcow2_limbo *limbo;

	if (!s->limbo)
		s->limbo = plt_calloc(1, sizeof(*s->limbo), NULL);
	limbo = s->limbo;
	if (!limbo || !len)
		return;
	if (!merge(limbo, first, count, discard)) {
		if (plt_grow(&limbo->range, &limbo->room, limbo->nr + 1,
			     sizeof(*limbo->range), NULL))
			return;
		limbo->range[limbo->nr++] = (struct range) {
			first, count, discard
		};
	}
	limbo->clusters += count;
	if (limbo->nr > MAX_RANGES ||
	    limbo->clusters << s->cluster_bits > MAX_BYTES)
		platter_image_want_flush(s->img);
}

void plt_qcow2_give_up(struct plt_qcow2 *s, uint64_t host, uint64_t len)
{
	add(s, host, len, false);
}

void plt_qcow2_give_up_discard(struct plt_qcow2 *s, uint64_t host,
			       uint64_t len)
{
	add(s, host, len, true);
}

void plt_qcow2_unalloc(struct plt_qcow2 *s, uint64_t host, uint64_t len)
{
	uint64_t first = host >> s->cluster_bits;
	uint64_t end = plt_qcow2_clusters(s, host + len);

	for (uint64_t c = first; c < end; c++) {
		if (plt_qcow2_refcount_lower(s, c, NULL) < 0)
			return;
	}
}

/* ---- giving back ---- */

/* A hole is only a help: what cannot be punched stays. */
static void punch(struct plt_qcow2 *s, uint64_t first, uint64_t end)
{
	uint64_t host = first << s->cluster_bits;
	uint64_t size = platter_image_size(s->file);
	uint64_t len = (end - first) << s->cluster_bits;
	int rc;

	if (first >= end || host >= size)
		return;
	rc = platter_image_discard(s->file, host, PLT_MIN(len, size - host),
				   NULL);
	(void)rc;
}

static int process(struct plt_qcow2 *s, const struct range *r,
		   struct platter_error *err)
{
	uint64_t hole = r->first;	/* free from there on */
	int rc = 0;

	for (uint64_t c = r->first; c < r->first + r->count; c++) {
		rc = plt_qcow2_refcount_lower(s, c, err);
		if (rc == 1)
			continue;
		if (r->discard)
			punch(s, hole, c);
		hole = c + 1;
		if (rc < 0)
			return rc;
	}
	if (r->discard)
		punch(s, hole, r->first + r->count);
	return 0;
}

int plt_qcow2_limbo_process(struct plt_qcow2 *s, struct platter_error *err)
{
	struct plt_qcow2_limbo *limbo;
	int rc = 0;

	PLT_LOCK_SCOPE(&s->lock);
	/* Whatever comes while `lock` is let go is for the next time. */
	limbo = plt_steal(s->limbo);
	for (size_t i = 0; limbo && rc == 0 && i < limbo->nr; i++)
		rc = process(s, &limbo->range[i], err);
	plt_qcow2_limbo_free(limbo);
	return rc;
}
