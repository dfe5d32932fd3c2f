/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qcow2: preallocation, of new images and of what a resize has added.
 *
 * Clusters are allocated as any writer would, which is all of "metadata". For
 * the other modes they are given their space on the storage as well; they lie
 * between tables, so the map is asked where each is.
 */
#include <inttypes.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "disk/qcow2/qcow2.h"

/* A run of clusters that follow each other in the file. */
struct run {
	uint64_t host, len;
};

static int add_to_run(struct plt_qcow2 *s, struct run *run, uint64_t host,
		      enum platter_preallocation mode,
		      struct platter_error *err)
{
	int rc = 0;

	if (run->len && run->host + run->len == host) {
		run->len += s->cluster_size;
		return 0;
	}
	if (run->len)
		rc = plt_image_reserve(s->data, run->host, run->len, mode, err);
	*run = (struct run) { .host = host, .len = s->cluster_size };
	return rc;
}

static int reserve_data(struct plt_qcow2 *s, uint64_t offset, uint64_t len,
			enum platter_preallocation mode,
			struct platter_error *err)
{
	uint64_t at = plt_align_down(offset, s->cluster_size);
	struct run run = { .len = 0 };
	int rc = 0;

	for (; rc == 0 && at < offset + len; at += s->cluster_size) {
		struct plt_qcow2_entry e;

		pthread_mutex_lock(&s->lock);
		rc = plt_qcow2_lookup(s, at, &e, err);
		pthread_mutex_unlock(&s->lock);
		/* One the range only touches may hold data already. */
		if (rc < 0 || at < offset)
			continue;
		if (e.kind == QCOW2_NORMAL || e.kind == QCOW2_ZERO_ALLOCATED)
			rc = add_to_run(s, &run, e.host, mode, err);
	}
	if (rc == 0 && run.len)
		rc = plt_image_reserve(s->data, run.host, run.len, mode, err);
	return rc;
}

int plt_qcow2_preallocate_mode(struct platter_image *img, uint64_t offset,
			       uint64_t len, enum platter_preallocation mode,
			       struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	int rc;

	rc = plt_qcow2_preallocate(s, offset, len, err);
	if (rc == 0)
		rc = plt_qcow2_settle(s, err);
	if (rc == 0 && mode > PLATTER_PREALLOC_METADATA)
		rc = reserve_data(s, offset, len, mode, err);
	return rc;
}
