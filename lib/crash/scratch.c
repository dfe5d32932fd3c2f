/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is written on top of a node, kept apart from it.
 *
 * The disk is divided into leaves of 64 pages. A leaf is there once some of it
 * was written, or read while reads are noted; its pages show the node below
 * until they are written. One that is zeroed as a whole is no leaf but a mark
 * in the table, so that a discarded disk costs nothing. scratch-io.c reads and
 * writes, this makes, resets and closes.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "crash/crash.h"
#include "crash/leaf.h"

static int map_table(struct plt_scratch *s, uint64_t size,
		     struct platter_error *err)
{
	const size_t nr = size / PLT_LEAF + !!(size % PLT_LEAF);
	const size_t bytes = PLT_MAX(nr, (size_t)1) * sizeof(*s->leaf);
	void *table;

	s->nr_leaves = nr;
	if (s->leaf && bytes <= s->mapped)
		return 0;
	/* Mapped, so that what is not used costs nothing. */
	table = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		     MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED)
		return plt_err_nomem(err, bytes);
	if (s->leaf)
		munmap(s->leaf, s->mapped);
	s->leaf = table;
	s->mapped = bytes;
	return 0;
}

int plt_scratch_reset(struct platter_image *scratch,
		      struct platter_image *lower,
		      struct plt_crash_ranges *written,
		      struct platter_error *err)
{
	struct plt_scratch *s = platter_image_state(scratch);
	int rc;

	if (written)
		written->nr = 0;
	rc = plt_leaf_clear_all(s, platter_image_size(scratch), written);
	if (rc)
		rc = plt_err_set(err, rc, "no memory for %zu ranges",
				 written->nr + 1);
	if (written)
		plt_crash_ranges_sort(written);
	plt_store_reset(&s->store);
	atomic_store(&s->read_all, false);
	if (!rc)
		rc = map_table(s, platter_image_size(lower), err);
	if (rc)
		return rc;
	s->lower = lower;
	platter_image_set_size(scratch, platter_image_size(lower));
	return 0;
}

static void scratch_close(struct platter_image *img)
{
	struct plt_scratch *s = platter_image_state(img);
	struct plt_leaf *leaf;

	if (s->leaf) {
		plt_leaf_clear_all(s, 0, NULL);
		munmap(s->leaf, s->mapped);
	}
	while ((leaf = s->spare)) {
		s->spare = leaf->next;
		free(leaf);
	}
	free(s->used);
	plt_store_clear(&s->store);
	pthread_mutex_destroy(&s->lock);
	for (size_t i = 0; i < PLT_LEAF_STRIPES; i++)
		pthread_rwlock_destroy(&s->stripe[i]);
}

static const struct platter_driver driver = {
	.name = "scratch",
	.kind = PLATTER_DRIVER_PROTOCOL,
	.state_size = sizeof(struct plt_scratch),
	.close = scratch_close,
	.io = &plt_scratch_io_ops,
};

int platter_scratch_new(struct platter_image **out, struct platter_image *lower,
			uint64_t memory, struct platter_error *err)
{
	struct platter_image *img;
	struct plt_scratch *s;
	int rc;

	rc = plt_image_new(&img, platter_image_context(lower), &driver,
			   platter_image_name(lower), err);
	if (rc)
		return rc;
	s = platter_image_state(img);
	pthread_mutex_init(&s->lock, NULL);
	for (size_t i = 0; i < PLT_LEAF_STRIPES; i++)
		pthread_rwlock_init(&s->stripe[i], NULL);
	rc = plt_store_init(&s->store, memory, err);
	if (!rc)
		rc = map_table(s, platter_image_size(lower), err);
	if (rc) {
		plt_image_free(img);
		return rc;
	}
	s->lower = lower;
	img->flags |= PLATTER_O_RDWR;
	platter_image_set_size(img, platter_image_size(lower));
	*out = img;
	return 0;
}
