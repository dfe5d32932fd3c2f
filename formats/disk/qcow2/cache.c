/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * L2 tables and refcount blocks in memory, a slice of at most 4 KiB at a time.
 *
 * Both kinds share one bounded pool, with a hash by file offset and a list in
 * order of use. A slice stays while it is pinned or dirty. Reading one lets go
 * of `lock`; whoever wants the same slice meanwhile waits for that read instead
 * of starting another. Dirty slices leave only through a writeback, which the
 * thread that needs room starts when it finds nothing clean, or more than half
 * of the pool dirty. The writeback pins what it writes: a slice read anew
 * before it is written would be the old one.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "disk/qcow2/cache.h"

#define SLICE_MAX	4096u
#define SLICES_MIN	64	/* so that every thread has its few pins */

struct plt_qcow2_cache {
	struct plt_qcow2_slice **hash;
	size_t hash_mask;
	struct plt_qcow2_slice lru;	/* lru.lru_next: used last */
	size_t nr, max;
	struct plt_qcow2_slice **dirty;	/* room for `max` */
	size_t nr_dirty;
	pthread_cond_t changed;		/* read, or unpinned */
};

uint32_t plt_qcow2_slice_size(const struct plt_qcow2 *s)
{
	return PLT_MIN(s->cluster_size, SLICE_MAX);
}

int plt_qcow2_cache_new(struct plt_qcow2_cache **out, struct plt_qcow2 *s,
			size_t bytes, struct platter_error *err)
{
	struct plt_qcow2_cache *c = plt_calloc(1, sizeof(*c), err);
	size_t buckets = 1;

	if (!c)
		return -ENOMEM;
	c->max = PLT_MAX(bytes / plt_qcow2_slice_size(s), (size_t)SLICES_MIN);
	while (buckets < c->max)
		buckets *= 2;
	c->hash_mask = buckets - 1;
	c->hash = plt_calloc(buckets, sizeof(struct plt_qcow2_slice *), err);
	c->dirty = plt_calloc(c->max, sizeof(struct plt_qcow2_slice *), err);
	if (!c->hash || !c->dirty) {
		free(c->hash);
		free(c->dirty);
		free(c);
		return -ENOMEM;
	}
	c->lru.lru_next = &c->lru;
	c->lru.lru_prev = &c->lru;
	pthread_cond_init(&c->changed, NULL);
	*out = c;
	return 0;
}

static void slice_free(struct plt_qcow2_slice *slice)
{
	free(slice->data);
	free(slice);
}

void plt_qcow2_cache_free(struct plt_qcow2_cache *c)
{
	if (!c)
		return;
	for (struct plt_qcow2_slice *p = c->lru.lru_next, *next; p != &c->lru;
	     p = next) {
		next = p->lru_next;
		slice_free(p);
	}
	pthread_cond_destroy(&c->changed);
	free(c->hash);
	free(c->dirty);
	free(c);
}

/* ---- hash and order of use ---- */

static struct plt_qcow2_slice **bucket(struct plt_qcow2_cache *c,
				       uint64_t offset)
{
	/* Fibonacci hashing: offsets differ in their middle bits only. */
	return &c->hash[(offset >> 9) * UINT64_C(0x9e3779b97f4a7c15) >> 32 &
			c->hash_mask];
}

static struct plt_qcow2_slice *find(struct plt_qcow2_cache *c, uint64_t offset)
{
	struct plt_qcow2_slice *p = *bucket(c, offset);

	while (p && p->offset != offset)
		p = p->hash_next;
	return p;
}

static void lru_remove(struct plt_qcow2_slice *p)
{
	p->lru_prev->lru_next = p->lru_next;
	p->lru_next->lru_prev = p->lru_prev;
}

static void lru_add(struct plt_qcow2_cache *c, struct plt_qcow2_slice *p)
{
	p->lru_next = c->lru.lru_next;
	p->lru_prev = &c->lru;
	p->lru_next->lru_prev = p;
	c->lru.lru_next = p;
}

static void unhash(struct plt_qcow2_cache *c, struct plt_qcow2_slice *p)
{
	struct plt_qcow2_slice **at = bucket(c, p->offset);

	while (*at != p)
		at = &(*at)->hash_next;
	*at = p->hash_next;
}

static void insert(struct plt_qcow2_cache *c, struct plt_qcow2_slice *p)
{
	struct plt_qcow2_slice **at = bucket(c, p->offset);

	p->hash_next = *at;
	*at = p;
	lru_add(c, p);
}

/* Out of everything; the memory stays the caller's. */
static void detach(struct plt_qcow2_cache *c, struct plt_qcow2_slice *p)
{
	unhash(c, p);
	lru_remove(p);
	for (size_t i = 0; p->dirty && i < c->nr_dirty; i++) {
		if (c->dirty[i] == p)
			c->dirty[i--] = c->dirty[--c->nr_dirty];
	}
	p->dirty = false;
}

/* ---- room ---- */

static struct plt_qcow2_slice *victim(struct plt_qcow2_cache *c)
{
	for (struct plt_qcow2_slice *p = c->lru.lru_prev; p != &c->lru;
	     p = p->lru_prev) {
		if (!p->pins && !p->dirty)
			return p;
	}
	return NULL;
}

static struct plt_qcow2_slice *slice_new(struct plt_qcow2 *s,
					 struct platter_error *err)
{
	struct plt_qcow2_slice *p = plt_calloc(1, sizeof(*p), err);

	if (!p)
		return NULL;
	p->data = plt_memalign(SLICE_MAX, plt_qcow2_slice_size(s), err);
	if (p->data)
		return p;
	free(p);
	return NULL;
}

static int write_back_unlocked(struct plt_qcow2 *s, struct platter_error *err)
{
	int rc;

	pthread_mutex_unlock(&s->lock);
	rc = plt_qcow2_writeback(s, false, err);
	pthread_mutex_lock(&s->lock);
	return rc;
}

/*
 * A slice that is in neither hash nor list. 1: `lock` was let go to get one, so
 * the caller has to look again whether somebody else has brought it in.
 */
static int make_room(struct plt_qcow2 *s, struct plt_qcow2_slice **out,
		     struct platter_error *err)
{
	struct plt_qcow2_cache *c = s->cache;
	struct plt_qcow2_slice *p;
	int rc;

	if (c->nr < c->max && c->nr_dirty <= c->max / 2) {
		*out = slice_new(s, err);
		c->nr += *out != NULL;
		return *out ? 0 : -ENOMEM;
	}
	p = victim(c);
	if (c->nr_dirty > (p ? c->max / 2 : 0)) {
		rc = write_back_unlocked(s, err);
		return rc < 0 ? rc : 1;
	}
	if (!p) {
		pthread_cond_wait(&c->changed, &s->lock);
		return 1;
	}
	detach(c, p);
	*out = p;
	return 0;
}

/* ---- getting and putting ---- */

static const char *table_name(enum plt_qcow2_table table)
{
	return table == QCOW2_TABLE_L2 ? "L2 table" : "refcount block";
}

/* A table's last bytes may lie past the end of a truncated file. */
static int read_slice(struct plt_qcow2 *s, struct plt_qcow2_slice *p,
		      struct platter_error *err)
{
	uint32_t len = plt_qcow2_slice_size(s);
	uint64_t size = platter_image_size(s->file);
	uint64_t there = p->offset < size ? size - p->offset : 0;
	int rc = 0;

	if (there < len)
		memset(p->data + there, 0, len - there);
	if (there)
		rc = platter_image_pread(s->file, p->data,
					 PLT_MIN(there, (uint64_t)len),
					 p->offset, err);
	return plt_err_prefix(err, rc, "reading the %s at offset %" PRIu64,
			      table_name(p->table), p->offset);
}

static int fill(struct plt_qcow2 *s, struct plt_qcow2_slice *p,
		struct platter_error *err)
{
	struct plt_qcow2_cache *c = s->cache;
	int rc;

	p->busy = true;
	p->checked = false;
	p->pins = 1;
	insert(c, p);
	pthread_mutex_unlock(&s->lock);
	rc = read_slice(s, p, err);
	pthread_mutex_lock(&s->lock);
	p->busy = false;
	p->valid = rc == 0;
	pthread_cond_broadcast(&c->changed);
	if (rc == 0)
		return 0;
	/* Out of sight at once; the last of those that waited frees it. */
	detach(c, p);
	plt_qcow2_slice_put(s, p);
	return rc;
}

static void pin(struct plt_qcow2_cache *c, struct plt_qcow2_slice *p)
{
	p->pins++;
	lru_remove(p);
	lru_add(c, p);
}

/* True when it could be had. Not when its read failed: try that again. */
static bool pin_valid(struct plt_qcow2 *s, struct plt_qcow2_slice *p)
{
	pin(s->cache, p);
	while (p->busy)
		pthread_cond_wait(&s->cache->changed, &s->lock);
	if (p->valid)
		return true;
	plt_qcow2_slice_put(s, p);
	return false;
}

int plt_qcow2_slice_get(struct plt_qcow2 *s, enum plt_qcow2_table table,
			uint64_t offset, struct plt_qcow2_slice **out,
			struct platter_error *err)
{
	struct plt_qcow2_slice *p;

	offset = plt_align_down(offset, plt_qcow2_slice_size(s));
	for (;;) {
		int rc;

		p = find(s->cache, offset);
		if (p) {
			if (!pin_valid(s, p))
				continue;
			/* A damaged image may use a cluster for both. */
			if (!p->dirty)
				p->table = table;
			*out = p;
			return 0;
		}
		rc = make_room(s, &p, err);
		if (rc < 0)
			return rc;
		if (rc > 0)
			continue;
		p->offset = offset;
		p->table = table;
		p->valid = false;
		rc = fill(s, p, err);
		*out = p;
		return rc;
	}
}

void plt_qcow2_slice_put(struct plt_qcow2 *s, struct plt_qcow2_slice *slice)
{
	if (--slice->pins)
		return;
	if (!slice->valid) {
		slice_free(slice);
		s->cache->nr--;
	}
	pthread_cond_broadcast(&s->cache->changed);
}

void plt_qcow2_slice_dirty(struct plt_qcow2 *s, struct plt_qcow2_slice *slice)
{
	struct plt_qcow2_cache *c = s->cache;

	if (slice->dirty)
		return;
	slice->dirty = true;
	c->dirty[c->nr_dirty++] = slice;
}

/* ---- dropping ---- */

static void drop_slice(struct plt_qcow2 *s, struct plt_qcow2_slice *p)
{
	while (p && p->pins) {
		uint64_t offset = p->offset;

		pthread_cond_wait(&s->cache->changed, &s->lock);
		p = find(s->cache, offset);
	}
	if (!p)
		return;
	detach(s->cache, p);
	slice_free(p);
	s->cache->nr--;
}

static void drop_all_in(struct plt_qcow2 *s, uint64_t offset, uint64_t len)
{
	struct plt_qcow2_cache *c = s->cache;
	struct plt_qcow2_slice *p = c->lru.lru_next;

	while (p != &c->lru) {
		struct plt_qcow2_slice *next = p->lru_next;
		bool waited = p->pins > 0;

		if (p->offset - offset < len) {
			drop_slice(s, p);
			/* The list may be another after waiting. */
			next = waited ? c->lru.lru_next : next;
		}
		p = next;
	}
}

void plt_qcow2_cache_drop(struct plt_qcow2 *s, uint64_t offset, uint64_t len)
{
	uint32_t step = plt_qcow2_slice_size(s);

	if (!s->cache)
		return;
	if (len / step > s->cache->nr) {
		drop_all_in(s, offset, len);
		return;
	}
	for (uint64_t at = offset; at - offset < len; at += step)
		drop_slice(s, find(s->cache, at));
}

/* ---- for the writeback ---- */

size_t plt_qcow2_cache_nr_dirty(const struct plt_qcow2_cache *c)
{
	return c->nr_dirty;
}

static int compare(const void *a, const void *b)
{
	const struct plt_qcow2_slice *x = *(struct plt_qcow2_slice *const *)a;
	const struct plt_qcow2_slice *y = *(struct plt_qcow2_slice *const *)b;

	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

void plt_qcow2_cache_take_dirty(struct plt_qcow2 *s,
				struct plt_qcow2_slice **out)
{
	struct plt_qcow2_cache *c = s->cache;

	for (size_t i = 0; i < c->nr_dirty; i++) {
		out[i] = c->dirty[i];
		out[i]->dirty = false;
		out[i]->pins++;
	}
	qsort(out, c->nr_dirty, sizeof(struct plt_qcow2_slice *), compare);
	c->nr_dirty = 0;
}
