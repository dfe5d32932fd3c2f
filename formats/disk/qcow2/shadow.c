/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changing metadata beside the old, and switching over with one write.
 *
 * What changes the refcounts of a whole image cannot do so where they are: a
 * COPIED flag and the refcount it stands for lie in different clusters, and
 * whichever is written first, a power cut between the two leaves an image that
 * contradicts itself. So every refcount block that changes is copied to a
 * cluster that is free now, as are the tables our callers write, and a new
 * refcount table refers to the copies. All of it is flushed; then the header is
 * written, whose offsets and sizes lie within one sector; then that is flushed.
 * A crash before leaves the old image, bit for bit, with rubbish in clusters
 * that are free. A crash after leaves the new one. Neither has leaks.
 *
 * Clusters are taken in one pass upwards over those that are free on disk now;
 * what the new refcounts free is still in use until the switch, and so is never
 * handed out. Blocks in memory are bounded: the one loaded longest ago is
 * written to its place and read again when needed.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/shadow.h"

#define LOADED_BYTES	(48u << 20)	/* of blocks in memory */
#define MAX_RUNS	65536u	/* freed ranges whose space we give back */

int plt_qcow2_shadow_new(struct plt_qcow2_shadow **out, struct plt_qcow2 *s,
			 struct platter_error *err)
{
	struct plt_qcow2_shadow *sh = plt_calloc(1, sizeof(*sh), err);

	if (!sh)
		return -ENOMEM;
	sh->s = s;
	sh->view_index = SIZE_MAX;
	sh->next = s->free_guess;
	sh->entries = s->reftable_entries;
	sh->old_entries = s->reftable_entries;
	sh->max_loaded = PLT_MAX((size_t)(LOADED_BYTES >> s->cluster_bits),
				 (size_t)8);
	sh->order_room = sh->max_loaded;
	sh->view = plt_calloc(1, s->cluster_size, err);
	sh->order = plt_calloc(sh->order_room, sizeof(*sh->order), err);
	sh->old = plt_calloc(sh->entries + 1, sizeof(*sh->old), err);
	sh->block = plt_calloc(sh->entries + 1, sizeof(void *), err);
	if (!sh->view || !sh->order || !sh->old || !sh->block) {
		plt_qcow2_shadow_free(sh);
		return -ENOMEM;
	}
	memcpy(sh->old, s->reftable, sh->entries * sizeof(*sh->old));
	*out = sh;
	return 0;
}

void plt_qcow2_shadow_free(struct plt_qcow2_shadow *sh)
{
	if (!sh)
		return;
	for (size_t i = 0; sh->block && i < sh->entries; i++) {
		if (sh->block[i])
			free(sh->block[i]->data);
		free(sh->block[i]);
	}
	free(sh->block);
	free(sh->old);
	free(sh->order);
	free(sh->view);
	free(sh->freed);
	free(sh);
}

/* ---- old blocks ---- */

int plt_qcow2_shadow_old(const struct plt_qcow2_shadow *sh, size_t index,
		      uint64_t *offset, struct platter_error *err)
{
	uint64_t entry = 0;

	if (index < sh->old_entries)
		entry = plt_be64(&sh->old[index]);
	*offset = entry & QCOW2_REFTABLE_OFFSET_MASK;
	if ((entry & QCOW2_REFTABLE_RESERVED) ||
	    (*offset & (sh->s->cluster_size - 1)))
		return plt_err_set(err, -EIO, "refcount table entry %zu is %#"
				   PRIx64 ", which is not a cluster's offset",
				   index, entry);
	return 0;
}

static int read_cluster(struct plt_qcow2 *s, uint64_t offset, uint8_t *buf,
			const char *what, struct platter_error *err)
{
	uint64_t size = platter_image_size(s->file);
	uint64_t len = s->cluster_size;
	int rc;

	if (offset >= size)
		return plt_err_set(err, -EIO, "%s at offset %" PRIu64 " lies "
				   "beyond the end of the file at %" PRIu64,
				   what, offset, size);
	/* The last cluster of a file need not be there in full. */
	len = PLT_MIN(len, size - offset);
	memset(buf + len, 0, s->cluster_size - len);
	rc = platter_image_pread(s->file, buf, len, offset, err);
	if (rc)
		return plt_err_prefix(err, rc, "%s at offset %" PRIu64, what,
				      offset);
	return 0;
}

/* Have the old block of that number in sh->view; zeros where there is none. */
static int view(struct plt_qcow2_shadow *sh, size_t index,
		struct platter_error *err)
{
	uint64_t offset;
	int rc;

	if (sh->view_index == index)
		return 0;
	sh->view_index = SIZE_MAX;
	rc = plt_qcow2_shadow_old(sh, index, &offset, err);
	if (rc)
		return rc;
	if (offset)
		rc = read_cluster(sh->s, offset, sh->view, "refcount block",
				  err);
	else
		memset(sh->view, 0, sh->s->cluster_size);
	if (!rc)
		sh->view_index = index;
	return rc;
}

/* ---- shadow blocks ---- */

int plt_qcow2_shadow_put(struct plt_qcow2_shadow *sh, const void *buf,
			 size_t len, uint64_t offset, struct platter_error *err)
{
	struct plt_qcow2 *s = sh->s;
	uint64_t end = plt_align_up(offset + len, s->cluster_size);
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = plt_qcow2_check_overlap(s, 0, offset, end - offset, err);
	if (!rc)
		rc = plt_qcow2_extend_file(s, end, err);
	pthread_mutex_unlock(&s->lock);
	if (rc)
		return rc;
	return platter_image_pwrite(s->file, buf, len, offset, err);
}

int plt_qcow2_shadow_put_block(struct plt_qcow2_shadow *sh,
			       struct plt_qcow2_shadow_block *b,
			       struct platter_error *err)
{
	int rc = 0;

	if (b->changed)
		rc = plt_qcow2_shadow_put(sh, b->data, sh->s->cluster_size,
					  b->offset, err);
	if (!rc)
		b->changed = false;
	return rc;
}

/* Make room for another block in memory. */
static int evict(struct plt_qcow2_shadow *sh, struct platter_error *err)
{
	struct plt_qcow2_shadow_block *b;
	uint64_t first;
	int rc;

	if (sh->nr_loaded < sh->max_loaded)
		return 0;
	b = sh->block[sh->order[sh->order_at]];
	if (!b->offset) {
		/* Looked for only; it is counted at the end. */
		rc = plt_qcow2_shadow_take(sh, 1, &first, err);
		if (rc)
			return rc;
		b->offset = first << sh->s->cluster_bits;
	}
	rc = plt_qcow2_shadow_put_block(sh, b, err);
	if (rc)
		return rc;
	free(b->data);
	b->data = NULL;
	sh->order_at = (sh->order_at + 1) % sh->order_room;
	sh->nr_loaded--;
	return 0;
}

static int grow_to(struct plt_qcow2_shadow *sh, size_t index,
		   struct platter_error *err)
{
	size_t per = sh->s->cluster_size / 8;
	size_t want = (index / per + 1) * per;
	struct plt_qcow2_shadow_block **bigger;

	if (index < sh->entries)
		return 0;
	if (want > QCOW2_MAX_REFTABLE_BYTES / 8)
		return plt_err_set(err, -EFBIG, "refcount table of %zu "
				   "entries is over the limit of %u", want,
				   QCOW2_MAX_REFTABLE_BYTES / 8);
	bigger = plt_calloc(want, sizeof(void *), err);
	if (!bigger)
		return -ENOMEM;
	memcpy(bigger, sh->block, sh->entries * sizeof(*bigger));
	free(sh->block);
	sh->block = bigger;
	sh->entries = want;
	return 0;
}

static int block_load(struct plt_qcow2_shadow *sh, size_t index,
		      struct plt_qcow2_shadow_block *b,
		      struct platter_error *err)
{
	uint64_t offset = b->offset;
	int rc = 0;

	b->data = plt_calloc(1, sh->s->cluster_size, err);
	if (!b->data)
		return -ENOMEM;
	if (!offset)
		rc = plt_qcow2_shadow_old(sh, index, &offset, err);
	if (!rc && offset)
		rc = read_cluster(sh->s, offset, b->data, "refcount block",
				  err);
	if (rc) {
		free(b->data);
		b->data = NULL;
	}
	return rc;
}

/* The shadow of block number `index`, in memory until the next call. */
static int block_get(struct plt_qcow2_shadow *sh, size_t index,
		     struct plt_qcow2_shadow_block **out,
		     struct platter_error *err)
{
	struct plt_qcow2_shadow_block *b;
	int rc;

	rc = grow_to(sh, index, err);
	if (rc)
		return rc;
	b = sh->block[index];
	if (b && b->data) {
		*out = b;
		return 0;
	}
	rc = evict(sh, err);
	if (rc)
		return rc;
	if (!b) {
		b = plt_calloc(1, sizeof(*b), err);
		if (!b)
			return -ENOMEM;
		b->changed = true;
		sh->block[index] = b;
	}
	rc = block_load(sh, index, b, err);
	if (rc)
		return rc;
	sh->order[(sh->order_at + sh->nr_loaded++) % sh->order_room] = index;
	*out = b;
	return 0;
}

/* ---- refcounts ---- */

/* Remember a cluster that nothing refers to any more. */
static void freed(struct plt_qcow2_shadow *sh, uint64_t cluster)
{
	uint64_t offset = cluster << sh->s->cluster_bits;
	struct plt_qcow2_shadow_run *last = NULL;

	if (sh->nr_freed)
		last = &sh->freed[sh->nr_freed - 1];
	if (last && last->offset + last->len == offset) {
		last->len += sh->s->cluster_size;
		return;
	}
	/* Without memory, the space is not given back to the file system. */
	if (sh->nr_freed == MAX_RUNS ||
	    plt_grow(&sh->freed, &sh->freed_room, sh->nr_freed + 1,
		     sizeof(*sh->freed), NULL))
		return;
	sh->freed[sh->nr_freed++] = (struct plt_qcow2_shadow_run){
		.offset = offset, .len = sh->s->cluster_size,
	};
}

static int change_one(struct plt_qcow2_shadow *sh,
		      struct plt_qcow2_shadow_block *b, uint64_t cluster,
		      enum plt_qcow2_shadow_change what,
		      struct platter_error *err)
{
	const struct plt_qcow2 *s = sh->s;
	uint64_t i = cluster & ((UINT64_C(1) << s->refblock_bits) - 1);
	uint64_t v = plt_qcow2_refcount_load(b->data, i, s->h.refcount_order);

	if ((v == 0) != (what == SHADOW_TAKE))
		return plt_err_set(err, -EIO, "cluster at offset %" PRIu64
				   " is %s, but its refcount is %" PRIu64
				   "; \"platter check -r all\" mends that",
				   cluster << s->cluster_bits,
				   what == SHADOW_TAKE ? "free" : "in use", v);
	if (what != SHADOW_LOWER && v == s->refcount_max)
		return plt_err_set(err, -EINVAL, "cluster at offset %" PRIu64
				   " has refcount %" PRIu64 " already, the "
				   "most that %u bits hold",
				   cluster << s->cluster_bits, v,
				   1u << s->h.refcount_order);
	plt_qcow2_refcount_store(b->data, i, s->h.refcount_order,
				 what == SHADOW_LOWER ? v - 1 : v + 1);
	b->changed = true;
	if (what == SHADOW_LOWER && v == 1)
		freed(sh, cluster);
	return 0;
}

int plt_qcow2_shadow_change(struct plt_qcow2_shadow *sh, uint64_t host,
			    uint64_t len, enum plt_qcow2_shadow_change what,
			    struct platter_error *err)
{
	const struct plt_qcow2 *s = sh->s;
	uint64_t c = host >> s->cluster_bits, end, stop;
	struct plt_qcow2_shadow_block *b;
	int rc = 0;

	if (host > QCOW2_MAX_HOST_OFFSET || len > QCOW2_MAX_HOST_OFFSET - host)
		return plt_err_set(err, -EFBIG, "offset %" PRIu64 " is over "
				   "the limit of %" PRIu64, host,
				   QCOW2_MAX_HOST_OFFSET);
	end = plt_align_up(host + len, s->cluster_size) >> s->cluster_bits;
	while (c < end && !rc) {
		size_t index = (size_t)(c >> s->refblock_bits);

		/* Nothing in use lies where there are no refcounts. */
		if (what != SHADOW_TAKE && index >= sh->entries)
			return plt_err_set(err, -EIO, "cluster at offset %"
				PRIu64 " is in use, but beyond the refcount "
				"table", c << s->cluster_bits);
		rc = block_get(sh, index, &b, err);
		stop = PLT_MIN(end, (uint64_t)(index + 1) << s->refblock_bits);
		for (; c < stop && !rc; c++)
			rc = change_one(sh, b, c, what, err);
	}
	return rc;
}

int plt_qcow2_shadow_raise(struct plt_qcow2_shadow *sh, uint64_t host,
			   uint64_t len, struct platter_error *err)
{
	return plt_qcow2_shadow_change(sh, host, len, SHADOW_RAISE, err);
}

int plt_qcow2_shadow_lower(struct plt_qcow2_shadow *sh, uint64_t host,
			   uint64_t len, struct platter_error *err)
{
	return plt_qcow2_shadow_change(sh, host, len, SHADOW_LOWER, err);
}

int plt_qcow2_shadow_get(struct plt_qcow2_shadow *sh, uint64_t cluster,
			 uint64_t *count, struct platter_error *err)
{
	const struct plt_qcow2 *s = sh->s;
	size_t index = (size_t)(cluster >> s->refblock_bits);
	uint64_t i = cluster & ((UINT64_C(1) << s->refblock_bits) - 1);
	const uint8_t *data;
	struct plt_qcow2_shadow_block *b;
	int rc = 0;

	*count = 0;
	if (index >= sh->entries)
		return 0;
	if (sh->block[index]) {
		rc = block_get(sh, index, &b, err);
		data = rc ? NULL : b->data;
	} else {
		rc = view(sh, index, err);
		data = sh->view;
	}
	if (!rc)
		*count = plt_qcow2_refcount_load(data, i, s->h.refcount_order);
	return rc;
}

/* ---- free clusters ---- */

/* Find `clusters` free ones in a row; they are not counted yet. */
int plt_qcow2_shadow_take(struct plt_qcow2_shadow *sh, uint64_t clusters,
		uint64_t *first, struct platter_error *err)
{
	const struct plt_qcow2 *s = sh->s;
	uint64_t in_block = (UINT64_C(1) << s->refblock_bits) - 1;
	uint64_t run = 0;
	int rc;

	while (run < clusters) {
		uint64_t c = sh->next;

		if (c >= QCOW2_MAX_HOST_OFFSET >> s->cluster_bits)
			return plt_err_set(err, -EFBIG, "there are no free "
					   "clusters below the limit of %"
					   PRIu64 " bytes",
					   QCOW2_MAX_HOST_OFFSET);
		rc = view(sh, (size_t)(c >> s->refblock_bits), err);
		if (rc)
			return rc;
		/* Cluster 0 is the header, whatever is counted. */
		if (c == 0 ||
		    plt_qcow2_refcount_load(sh->view, c & in_block,
					    s->h.refcount_order))
			run = 0;
		else
			run++;
		sh->next++;
	}
	*first = sh->next - clusters;
	return 0;
}

int plt_qcow2_shadow_write(struct plt_qcow2_shadow *sh, const void *buf,
			   size_t len, uint64_t *host,
			   struct platter_error *err)
{
	const struct plt_qcow2 *s = sh->s;
	uint64_t size = plt_align_up(len, s->cluster_size), first;
	int rc;

	rc = plt_qcow2_shadow_take(sh, size >> s->cluster_bits, &first, err);
	if (rc)
		return rc;
	*host = first << s->cluster_bits;
	rc = plt_qcow2_shadow_change(sh, *host, size, SHADOW_TAKE, err);
	if (rc)
		return rc;
	rc = plt_qcow2_shadow_put(sh, buf, len, *host, err);
	if (rc || size == len)
		return rc;
	return platter_image_zero(s->file, *host + len, size - len, 0, err);
}
