/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Storing persistent bitmaps, and adding one.
 *
 * What is stored is marked in use on disk until the end, so its bits and its
 * table may be written in place in any order; only refcounts matter to a check
 * before that. Order of writes (R9):
 *   1. bits, in their clusters or in new ones; the new clusters' refcounts;
 *   2. tables, and a directory that has grown, to new clusters where they do
 *      not fit the old;
 *   3. the autoclear bit is taken off: nobody trusts the bitmaps;
 *   4. the directory is written in place, or the header refers to the new one;
 *   5. the autoclear bit is set: they are good again;
 *   6. clusters that no table refers to any more are given up.
 * Each is durable before the next. Clusters that are all zeros or all ones are
 * not stored; a word in the table says so.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/endian.h"
#include "base/error.h"
#include "base/io.h"
#include "base/mem.h"
#include "disk/qcow2/alloc.h"
#include "disk/qcow2/bitmap.h"

struct range {
	uint64_t offset, len;
};

struct ranges {
	struct range *list;
	size_t nr, room;
};

/* One storing under way. */
struct store {
	struct plt_qcow2 *s;
	struct ranges old;		/* to be given up at the end */
	struct ranges new;		/* to be given back on failure */
	uint8_t *buf;			/* a cluster */
};

/* Where a bitmap's bits come from: what is stored, and what was set since. */
struct source {
	const struct plt_qcow2_bitmap *b;
	const uint64_t *table;		/* or NULL */
	const uint8_t *bits;		/* or these, from the caller */
};

/* ---- clusters ---- */

static int note(struct ranges *r, uint64_t offset, uint64_t len,
		struct platter_error *err)
{
	int rc;

	if (!len)
		return 0;
	rc = plt_grow(&r->list, &r->room, r->nr + 1, sizeof(*r->list), err);
	if (!rc)
		r->list[r->nr++] = (struct range){ offset, len };
	return rc;
}

static int alloc(struct store *st, uint64_t len, uint64_t *host,
		 struct platter_error *err)
{
	int rc;

	rc = plt_grow(&st->new.list, &st->new.room, st->new.nr + 1,
		      sizeof(*st->new.list), err);
	if (rc)
		return rc;
	pthread_mutex_lock(&st->s->lock);
	rc = plt_qcow2_alloc(st->s, len, host, err);
	pthread_mutex_unlock(&st->s->lock);
	return rc ? rc : note(&st->new, *host, len, err);
}

/* `len` bytes, padded with zeros to whole clusters. */
static int put(struct store *st, const void *buf, uint64_t len, uint64_t host,
	       struct platter_error *err)
{
	uint64_t end = plt_align_up(len, st->s->cluster_size);
	int rc;

	rc = platter_image_pwrite(st->s->file, buf, len, host, err);
	if (!rc && end > len)
		rc = platter_image_zero(st->s->file, host + len, end - len, 0,
					err);
	return rc;
}

/* 1 when writing [offset, offset + len) changes nothing but this bitmap. */
static int is_ours(struct store *st, uint64_t offset, uint64_t len,
		   struct platter_error *err)
{
	struct plt_qcow2 *s = st->s;
	uint64_t count = 1;
	int rc;

	PLT_LOCK_SCOPE(&s->lock);
	len = plt_align_up(len, s->cluster_size);
	rc = plt_qcow2_check_overlap(s, 0, offset, len, err);
	for (uint64_t at = 0; at < len && !rc && count == 1;
	     at += s->cluster_size)
		rc = plt_qcow2_refcount_get(s, (offset + at) >> s->cluster_bits,
					    &count, err);
	return rc ? rc : count == 1;
}

/* ---- bits ---- */

static int gather(struct store *st, const struct source *from, uint64_t i,
		  uint64_t bits, struct platter_error *err)
{
	uint64_t per = plt_qcow2_bitmap_per(st->s), first = i * per;
	const struct plt_qcow2_bitmap *b = from->b;
	int rc = 0;

	memset(st->buf, 0, st->s->cluster_size);
	if (from->bits) {
		memcpy(st->buf, from->bits + first / 8,
		       (PLT_MIN(per, bits - first) + 7) / 8);
	} else if (from->table && i < b->table_size && first < b->valid) {
		rc = plt_qcow2_bitmap_cluster(st->s, from->table[i], st->buf,
					      err);
		plt_qcow2_bitmap_trim(st->s, st->buf, b->valid - first);
	}
	if (b->since)
		plt_dirty_or_into(b->since, first, per, st->buf);
	plt_qcow2_bitmap_trim(st->s, st->buf, bits - first);
	return rc;
}

static bool all_ones(const uint8_t *buf, size_t len)
{
	return buf[0] == 0xff && !memcmp(buf, buf + 1, len - 1);
}

/* Store st->buf as what `*entry` stands for; was it a cluster, it may stay. */
static int put_bits(struct store *st, uint64_t *entry,
		    struct platter_error *err)
{
	uint64_t old = *entry & QCOW2_OFFSET_MASK;
	uint32_t len = st->s->cluster_size;
	int rc;

	*entry = 0;
	if (all_ones(st->buf, len))
		*entry = QCOW2_BITMAP_ALL_ONES;
	if (*entry || plt_is_zero(st->buf, len))
		return old ? note(&st->old, old, len, err) : 0;
	rc = old ? is_ours(st, old, len, err) : 0;
	if (rc < 0)
		return rc;
	if (!rc) {
		rc = old ? note(&st->old, old, len, err) : 0;
		if (!rc)
			rc = alloc(st, len, &old, err);
		if (rc)
			return rc;
	}
	*entry = old;
	return put(st, st->buf, len, old, err);
}

/* True when what is stored in cluster `i` is not what is to be there. */
static bool differs(const struct plt_qcow2 *s, const struct source *from,
		    uint64_t i, uint64_t bits)
{
	uint64_t per = plt_qcow2_bitmap_per(s), first = i * per;
	const struct plt_qcow2_bitmap *b = from->b;

	if (from->bits || (b->since && plt_dirty_any(b->since, first, per)))
		return true;
	/* Void bits in it, or ones that have become so. */
	return i < b->table_size && bits != b->valid &&
	       first + per > PLT_MIN(bits, b->valid);
}

/* Write the bits of all clusters, and say where they are in `table`. */
static int put_clusters(struct store *st, const struct source *from,
			uint64_t *table, uint64_t entries, uint64_t bits,
			struct platter_error *err)
{
	const struct plt_qcow2_bitmap *b = from->b;
	uint64_t had = from->table ? b->table_size : 0;
	int rc = 0;

	for (uint64_t i = 0; i < entries && !rc; i++) {
		table[i] = i < had ? from->table[i] : 0;
		if (i * plt_qcow2_bitmap_per(st->s) >= bits ||
		    !differs(st->s, from, i, bits))
			continue;
		rc = gather(st, from, i, bits, err);
		if (!rc)
			rc = put_bits(st, &table[i], err);
	}
	/* A table that has become shorter. */
	for (uint64_t i = entries; i < had && !rc; i++) {
		uint64_t offset = from->table[i] & QCOW2_OFFSET_MASK;

		if (offset)
			rc = note(&st->old, offset, st->s->cluster_size, err);
	}
	return rc;
}

/* ---- one bitmap ---- */

/* What is to become of it; nothing in memory has changed so far. */
struct plan {
	uint64_t *table;		/* big-endian */
	uint64_t table_offset;
	uint32_t table_size;
	bool changed;			/* the table is to be written */
};

static int plan_table(struct store *st, const struct plt_qcow2_bitmap *b,
		      const uint64_t *old, struct plan *p,
		      struct platter_error *err)
{
	uint64_t len = (uint64_t)p->table_size * 8;
	int fits = old && b->table_size == p->table_size, rc = 0;

	p->table_offset = b->table_offset;
	p->changed = !fits || memcmp(old, p->table, len);
	for (uint32_t i = 0; i < p->table_size; i++)
		plt_put_be64(&p->table[i], p->table[i]);
	if (fits && p->changed)
		fits = is_ours(st, b->table_offset, len, err);
	if (fits)
		return PLT_MIN(fits, 0);
	if (old)
		rc = note(&st->old, b->table_offset,
			  (uint64_t)b->table_size * 8, err);
	if (!rc)
		rc = alloc(st, len, &p->table_offset, err);
	return rc;
}

/* Step 1 for one bitmap. `bits`: from the caller, or NULL. */
static int store_bits(struct store *st, const struct plt_qcow2_bitmap *b,
		      const uint8_t *bits, struct plan *p,
		      struct platter_error *err)
{
	uint64_t nr = plt_qcow2_bitmap_bits(b, st->s->h.size);
	uint64_t entries = PLT_MAX(plt_qcow2_bitmap_entries(st->s, nr),
				   UINT64_C(1));
	uint64_t *old plt_auto_free = NULL;
	struct source from = { .b = b, .bits = bits };
	int rc;

	rc = plt_qcow2_bitmap_table(st->s, b, &old, err);
	if (rc)
		return rc;
	from.table = old;
	p->table_size = (uint32_t)entries;
	p->table = plt_calloc(entries, 8, err);
	if (!p->table)
		return -ENOMEM;
	rc = put_clusters(st, &from, p->table, entries, nr, err);
	return rc ? rc : plan_table(st, b, old, p, err);
}

static int put_table(struct store *st, const struct plan *p,
		     struct platter_error *err)
{
	if (!p->changed)
		return 0;
	return put(st, p->table, (uint64_t)p->table_size * 8,
		   p->table_offset, err);
}

/* ---- the end ---- */

/* Steps 3 to 5 where the directory is not the one the header knows. */
static int new_directory(struct plt_qcow2 *s, uint64_t offset, uint64_t size,
			 struct platter_error *err)
{
	uint64_t set = s->h.autoclear | QCOW2_AUTOCLEAR_BITMAPS;
	int rc;

	rc = plt_qcow2_set_features(s, s->h.incompatible,
				    set & ~QCOW2_AUTOCLEAR_BITMAPS, err);
	if (rc)
		return rc;
	s->h.has_bitmaps = true;
	s->h.nb_bitmaps = (uint32_t)s->bitmaps->nr;
	s->h.bitmap_directory_offset = offset;
	s->h.bitmap_directory_size = size;
	rc = plt_qcow2_header_write(s, err);
	if (!rc)
		rc = plt_qcow2_set_features(s, s->h.incompatible, set, err);
	return rc;
}

/* Undo or finish with the clusters; a crash before has leaked them. */
static int release(struct store *st, int rc, struct platter_error *err)
{
	struct plt_qcow2 *s = st->s;
	struct ranges *r = rc ? &st->new : &st->old;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < r->nr; i++)
		plt_qcow2_give_up(s, r->list[i].offset, r->list[i].len);
	pthread_mutex_unlock(&s->lock);
	free(st->old.list);
	free(st->new.list);
	free(st->buf);
	if (rc)
		return rc;
	return plt_qcow2_settle(s, err);
}

static int start(struct store *st, struct plt_qcow2 *s,
		 struct platter_error *err)
{
	*st = (struct store){ .s = s };
	st->buf = plt_calloc(1, s->cluster_size, err);
	return st->buf ? 0 : -ENOMEM;
}

/* ---- storing all ---- */

/* Steps 1 and 2. One that cannot be stored stays in use. */
static int store_all(struct store *st, struct plan *plans,
		     struct platter_error *err)
{
	struct plt_qcow2_bitmaps *all = st->s->bitmaps;
	int rc = 0;

	for (size_t i = 0; i < all->nr && !rc; i++) {
		if (!all->list[i].marked)
			continue;
		rc = store_bits(st, &all->list[i], NULL, &plans[i], err);
		if (rc)
			plt_err_prefix(err, rc, "bitmap '%s'",
				       all->list[i].name);
	}
	if (!rc)
		rc = plt_qcow2_writeback(st->s, true, err);
	for (size_t i = 0; i < all->nr && !rc; i++) {
		if (all->list[i].marked)
			rc = put_table(st, &plans[i], err);
	}
	return rc ? rc : platter_image_flush(st->s->file, err);
}

static void adopt(struct plt_qcow2 *s, const struct plan *plans)
{
	for (size_t i = 0; i < s->bitmaps->nr; i++) {
		struct plt_qcow2_bitmap *b = &s->bitmaps->list[i];

		if (!b->marked)
			continue;
		b->table_offset = plans[i].table_offset;
		b->table_size = plans[i].table_size;
		b->valid = plt_qcow2_bitmap_bits(b, s->h.size);
		b->marked = false;
		plt_dirty_free(b->since);
		b->since = NULL;
	}
}

int plt_qcow2_bitmaps_store(struct plt_qcow2 *s, struct platter_error *err)
{
	struct plan *plans;
	struct store st;
	bool any = false;
	int rc;

	for (size_t i = 0; s->bitmaps && i < s->bitmaps->nr; i++)
		any |= s->bitmaps->list[i].marked;
	if (!any)
		return 0;
	plans = plt_calloc(s->bitmaps->nr, sizeof(*plans), err);
	if (!plans)
		return -ENOMEM;
	rc = start(&st, s, err);
	if (!rc) {
		rc = store_all(&st, plans, err);
		if (!rc) {
			adopt(s, plans);
			rc = plt_qcow2_bitmaps_rewrite(s, err);
		}
		rc = release(&st, rc, err);
	}
	for (size_t i = 0; i < s->bitmaps->nr; i++)
		free(plans[i].table);
	free(plans);
	return rc;
}

/* ---- adding one ---- */

static int check_new(const struct plt_qcow2 *s,
		     const struct platter_bitmap_info *info, size_t len,
		     struct platter_error *err)
{
	uint64_t g = info->granularity, bits, room;
	size_t name = strlen(info->name);

	if (s->h.version < 3)
		return plt_err_set(err, -ENOTSUP, "Cannot store dirty bitmaps "
				   "in qcow2 v2 files");
	if (!name || name > QCOW2_MAX_BITMAP_NAME)
		return plt_err_set(err, -EINVAL, "bitmap name of %zu bytes is "
				   "not between 1 and %u", name,
				   QCOW2_MAX_BITMAP_NAME);
	if (!plt_is_power_of_2(g) ||
	    g < UINT64_C(1) << QCOW2_MIN_GRANULARITY_BITS ||
	    g > UINT64_C(1) << QCOW2_MAX_GRANULARITY_BITS)
		return plt_err_set(err, -EINVAL, "granularity %" PRIu64
				   " is not a power of two between 2^%u and "
				   "2^%u", g, QCOW2_MIN_GRANULARITY_BITS,
				   QCOW2_MAX_GRANULARITY_BITS);
	if (plt_qcow2_bitmap_find(s, info->name))
		return plt_err_set(err, -EEXIST, "Bitmap already exists: %s",
				   info->name);
	bits = s->h.size / g + !!(s->h.size % g);
	if (len != bits / 8 + !!(bits % 8))
		return plt_err_set(err, -EINVAL, "bitmap '%s' has %zu bytes, "
				   "not the %" PRIu64 " that the size takes",
				   info->name, len, bits / 8 + !!(bits % 8));
	room = plt_qcow2_bitmap_entries(s, bits) << s->cluster_bits;
	if (room > QCOW2_MAX_BITMAP_RAM)
		return plt_err_set(err, -EFBIG, "bitmap '%s' of %" PRIu64
				   " bytes is over the limit of %u: use a "
				   "larger granularity", info->name, room,
				   QCOW2_MAX_BITMAP_RAM);
	return 0;
}

static int append(struct plt_qcow2 *s, const struct platter_bitmap_info *info,
		  struct platter_error *err)
{
	struct plt_qcow2_bitmaps *all = s->bitmaps;
	struct plt_qcow2_bitmap b = {
		.granularity_bits = plt_log2(info->granularity),
		.enabled = info->enabled,
		.marked = info->enabled,
	};
	int rc;

	if (all->nr >= QCOW2_MAX_BITMAPS)
		return plt_err_set(err, -EOVERFLOW, "there are %zu bitmaps "
				   "already, the limit", all->nr);
	rc = plt_grow(&all->list, &all->room, all->nr + 1, sizeof(*all->list),
		      err);
	if (rc)
		return rc;
	b.name = plt_strdup(info->name, err);
	if (!b.name)
		return -ENOMEM;
	if (b.enabled)
		rc = plt_dirty_new(&b.since, s->h.size, b.granularity_bits,
				   err);
	all->list[all->nr++] = b;
	if (!rc)
		rc = plt_qcow2_bitmaps_inform(all, err);
	if (!rc && plt_qcow2_bitmaps_directory_size(all) >
		   QCOW2_MAX_BITMAP_DIRECTORY)
		rc = plt_err_set(err, -EINVAL, "Not enough space in the bitmap "
				 "directory: the limit is %u bytes",
				 QCOW2_MAX_BITMAP_DIRECTORY);
	return rc;
}

/* Take the last one off again. */
static void forget(struct plt_qcow2 *s)
{
	plt_qcow2_bitmap_clear(&s->bitmaps->list[--s->bitmaps->nr]);
	(void)!plt_qcow2_bitmaps_inform(s->bitmaps, NULL);
}

static int add(struct store *st, const uint8_t *bits, struct plan *p,
	       struct platter_error *err)
{
	struct plt_qcow2 *s = st->s;
	struct plt_qcow2_bitmap *b = &s->bitmaps->list[s->bitmaps->nr - 1];
	uint64_t size = plt_qcow2_bitmaps_directory_size(s->bitmaps), offset;
	uint8_t *dir plt_auto_free = NULL;
	int rc;

	rc = store_bits(st, b, bits, p, err);
	if (!rc)
		rc = alloc(st, size, &offset, err);
	if (rc)
		return rc;
	b->table_offset = p->table_offset;
	b->table_size = p->table_size;
	b->valid = plt_qcow2_bitmap_bits(b, s->h.size);
	dir = plt_qcow2_bitmaps_encode(s->bitmaps, err);
	if (!dir)
		return -ENOMEM;
	rc = plt_qcow2_writeback(s, true, err);
	if (!rc)
		rc = put_table(st, p, err);
	if (!rc)
		rc = put(st, dir, size, offset, err);
	if (!rc)
		rc = platter_image_flush(s->file, err);
	if (!rc && s->h.has_bitmaps &&
	    (s->h.autoclear & QCOW2_AUTOCLEAR_BITMAPS))
		rc = note(&st->old, s->h.bitmap_directory_offset,
			  s->h.bitmap_directory_size, err);
	return rc ? rc : new_directory(s, offset, size, err);
}

int plt_qcow2_bitmap_add(struct platter_image *img,
			 const struct platter_bitmap_info *info,
			 const uint8_t *bits, size_t len,
			 struct platter_error *err)
{
	struct plt_qcow2 *s = platter_image_state(img);
	struct plan p = { .table = NULL };
	struct store st;
	size_t had;
	int rc;

	rc = check_new(s, info, len, err);
	if (!rc)
		rc = plt_qcow2_check_broken(s, err);
	if (rc)
		return rc;
	if (!s->bitmaps)
		s->bitmaps = plt_calloc(1, sizeof(*s->bitmaps), err);
	if (!s->bitmaps)
		return -ENOMEM;
	rc = start(&st, s, err);
	if (rc)
		return rc;
	had = s->bitmaps->nr;
	rc = append(s, info, err);
	if (!rc)
		rc = add(&st, bits, &p, err);
	if (rc && s->bitmaps->nr > had)
		forget(s);
	rc = release(&st, rc, err);
	free(p.table);
	return rc;
}
