/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The device at a point of its log.
 *
 * A sweep along the device: the extents over the current sector are kept in a
 * heap by the entry that last wrote them before the point, and the youngest
 * one owns the sector until it ends or a younger one begins. Extents come in
 * ascending order from the index, so a whole device costs one pass and the
 * output is in the order a disk likes best.
 *
 * A call starts from the extents over its first sector. Finding them can mean
 * looking at most of the index where extents lie over one another, so a state
 * may keep the last sweep for the call that goes on where it stopped. A thread
 * takes it away while it uses it; another one starts a sweep of its own.
 */
#include <pthread.h>
#include <string.h>

#include "base/error.h"
#include "base/heap.h"
#include "base/mem.h"
#include "wlog/wlog.h"

/* An extent under the sweep. */
struct layer {
	uint64_t end;		/* log sectors */
	uint64_t extent;
	uint64_t entry;
};

struct sweep {
	const struct plt_wlog_state *state;
	const struct plt_wlog_index *ix;
	struct plt_heap heap;	/* layers, the youngest entry first */
	uint64_t next;		/* first extent not yet met */
	struct platter_error *err;
};

/*
 * What is older and ends sooner than the new layer will not be seen again.
 * Entries and extents are numbered in 32 bits: a log can put all of them here.
 */
static int push(struct sweep *s, const struct layer *layer)
{
	const struct plt_heap_item item = {
		.key = (UINT32_MAX - layer->entry) << 32 | layer->extent,
		.a = layer->end,
	};

	while (s->heap.nr && s->heap.item[0].key > item.key &&
	       s->heap.item[0].a <= item.a)
		plt_heap_pop(&s->heap);
	return plt_heap_push(&s->heap, &item, s->err);
}

static void youngest(const struct sweep *s, struct layer *layer)
{
	const struct plt_heap_item *item = &s->heap.item[0];

	*layer = (struct layer){
		.entry = UINT32_MAX - (item->key >> 32),
		.extent = item->key & UINT32_MAX,
		.end = item->a,
	};
}

/* The layer extent i is between the two points; false when it is not there. */
static bool layer_of(const struct sweep *s, uint64_t i, struct layer *layer)
{
	const struct plt_wlog_state *st = s->state;

	if (st->no_discard && s->ix->lengths[i] & PLT_WLOG_EXTENT_DISCARD)
		return false;
	layer->entry = plt_wlog_index_version(s->ix, i, st->from, st->to);
	layer->extent = i;
	layer->end = plt_wlog_extent_end(s->ix, i);
	return layer->entry != UINT32_MAX;
}

/* An older layer under a younger one that reaches as far is never seen. */
static bool is_hidden(const struct sweep *s, const struct layer *layer)
{
	struct layer top;

	if (!s->heap.nr)
		return false;
	youngest(s, &top);
	return top.entry > layer->entry && top.end >= layer->end;
}

static int meet(void *arg, uint64_t extent)
{
	struct sweep *s = arg;
	struct layer layer;

	if (!layer_of(s, extent, &layer) || is_hidden(s, &layer))
		return 0;
	return push(s, &layer);
}

/* Take in the extents that start at or before `sector`. */
static int meet_until(struct sweep *s, uint64_t sector)
{
	int rc = 0;

	while (!rc && s->next < s->ix->nr_extents &&
	       s->ix->starts[s->next] <= sector)
		rc = meet(s, s->next++);
	return rc;
}

/* Where the youngest layer stops owning the device; `end` at the latest. */
static int owned_until(struct sweep *s, const struct layer *top, uint64_t end,
		       uint64_t *until)
{
	struct layer layer;
	int rc;

	*until = PLT_MIN(top->end, end);
	while (s->next < s->ix->nr_extents &&
	       s->ix->starts[s->next] < *until) {
		if (layer_of(s, s->next, &layer)) {
			if (layer.entry > top->entry) {
				*until = s->ix->starts[s->next];
				return 0;
			}
			/* Older: matters only where it reaches further. */
			rc = layer.end > top->end ? push(s, &layer) : 0;
			if (rc)
				return rc;
		}
		s->next++;
	}
	return 0;
}

/* The first sector from `pos` on that some layer owns; `end` if none. */
static uint64_t unowned_until(struct sweep *s, uint64_t end)
{
	struct layer layer;

	while (s->next < s->ix->nr_extents && s->ix->starts[s->next] < end) {
		if (layer_of(s, s->next, &layer))
			return s->ix->starts[s->next];
		s->next++;
	}
	return end;
}

static void describe(const struct sweep *s, const struct layer *top,
		     uint64_t pos, uint64_t until, struct plt_wlog_segment *seg)
{
	const struct platter_log *log = s->state->log;
	const unsigned int bits = log->sector_bits;

	memset(seg, 0, sizeof(*seg));
	seg->start = pos << bits;
	seg->length = (until - pos) << bits;
	seg->kind = PLT_WLOG_NONE;
	if (!top)
		return;
	seg->entry = top->entry;
	seg->kind = s->state->pattern_discard ? PLT_WLOG_PATTERN :
		    PLT_WLOG_ZERO;
	if (s->ix->lengths[top->extent] & PLT_WLOG_EXTENT_DISCARD)
		return;
	seg->kind = PLT_WLOG_DATA;
	seg->log_offset = (s->ix->entries[top->entry] & PLT_WLOG_OFFSET_MASK) +
			  log->sector_size +
			  ((pos - s->ix->starts[top->extent]) << bits);
}

/* One segment from *pos on; moves *pos behind it. */
static int step(struct sweep *s, uint64_t *pos, uint64_t end,
		struct plt_wlog_segment *seg)
{
	struct layer top;
	uint64_t until;
	int rc;

	rc = meet_until(s, *pos);
	if (rc)
		return rc;
	while (s->heap.nr && s->heap.item[0].a <= *pos)
		plt_heap_pop(&s->heap);
	if (!s->heap.nr) {
		until = unowned_until(s, end);
		describe(s, NULL, *pos, until, seg);
	} else {
		youngest(s, &top);
		rc = owned_until(s, &top, end, &until);
		if (rc)
			return rc;
		describe(s, &top, *pos, until, seg);
	}
	*pos = until;
	return 0;
}

/* Cut the segments of whole log sectors down to the bytes asked for. */
static void clip(struct plt_wlog_segment *segs, size_t count, uint64_t offset,
		 uint64_t end)
{
	struct plt_wlog_segment *first = &segs[0], *last = &segs[count - 1];
	const uint64_t before = offset - first->start;

	first->start += before;
	first->length -= before;
	if (first->kind == PLT_WLOG_DATA)
		first->log_offset += before;
	if (last->start + last->length > end)
		last->length = end - last->start;
}

/* ---- going on where the last call stopped ---- */

struct plt_wlog_resume {
	pthread_mutex_t lock;		/* guards all below */
	bool valid;
	uint64_t pos;			/* log sector */
	uint64_t next;
	struct plt_heap heap;
};

int plt_wlog_resume_new(struct plt_wlog_resume **out, struct platter_error *err)
{
	*out = plt_calloc(1, sizeof(**out), err);
	if (!*out)
		return -ENOMEM;
	pthread_mutex_init(&(*out)->lock, NULL);
	return 0;
}

void plt_wlog_resume_free(struct plt_wlog_resume *resume)
{
	if (!resume)
		return;
	plt_heap_clear(&resume->heap);
	pthread_mutex_destroy(&resume->lock);
	free(resume);
}

static bool take_over(struct sweep *s, uint64_t pos)
{
	struct plt_wlog_resume *r = s->state->resume;

	if (!r)
		return false;
	PLT_LOCK_SCOPE(&r->lock);
	if (!r->valid || r->pos != pos)
		return false;
	s->next = r->next;
	s->heap = r->heap;
	r->heap = (struct plt_heap){ .nr = 0 };
	r->valid = false;
	return true;
}

static void leave(struct sweep *s, uint64_t pos)
{
	struct plt_wlog_resume *r = s->state->resume;
	struct plt_heap unused = s->heap;

	if (r) {
		PLT_LOCK_SCOPE(&r->lock);

		unused = r->heap;
		r->heap = s->heap;
		r->next = s->next;
		r->pos = pos;
		r->valid = true;
	}
	plt_heap_clear(&unused);
}

static int start(struct sweep *s, uint64_t pos)
{
	if (take_over(s, pos))
		return 0;
	s->next = plt_wlog_index_lower_bound(s->ix, pos);
	return plt_wlog_index_stab(s->ix, pos, meet, s);
}

/* Make one segment of two where nobody cares who discarded which part. */
static bool merge(struct plt_wlog_segment *last,
		  const struct plt_wlog_segment *seg)
{
	if (last->kind != PLT_WLOG_ZERO || seg->kind != PLT_WLOG_ZERO)
		return false;
	last->length += seg->length;
	last->entry = PLT_MAX(last->entry, seg->entry);
	return true;
}

static int map_log(const struct plt_wlog_state *state, uint64_t offset,
		   uint64_t len, struct plt_wlog_segment *segs, size_t *count,
		   struct platter_error *err)
{
	const uint64_t mask = state->log->sector_size - 1;
	const unsigned int bits = state->log->sector_bits;
	uint64_t pos = offset >> bits;
	const uint64_t end = (offset + len + mask) >> bits;
	struct sweep s = {
		.state = state, .ix = state->log->index, .err = err,
	};
	size_t n = 0;
	int rc;

	rc = start(&s, pos);
	while (!rc && pos < end && n < *count) {
		rc = step(&s, &pos, end, &segs[n]);
		if (!rc && !(n && !state->apart &&
			     merge(&segs[n - 1], &segs[n])))
			n++;
	}
	if (rc) {
		plt_heap_clear(&s.heap);
		return rc;
	}
	leave(&s, pos);
	clip(segs, n, offset, offset + len);
	*count = n;
	return 0;
}

/* ---- patches ---- */

void plt_wlog_shared_unref(struct plt_wlog_shared *shared)
{
	if (!shared || atomic_fetch_sub(&shared->refs, 1) != 1)
		return;
	free(shared->patches);
	free(shared->tags);
	free(shared);
}

/* Layers of a state, each showing the next where it has nothing. */
enum layer_kind {
	LAYER_PATCHES,
	LAYER_UNDER,
	LAYER_LOG,
};

/* The first patch that ends behind `offset`. */
static size_t patch_from(const struct plt_wlog_patch *patches, size_t nr,
			 uint64_t offset)
{
	size_t low = 0, high = nr, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (patches[mid].start + patches[mid].length <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void from_patch(const struct plt_wlog_patch *patch, uint64_t offset,
		       uint64_t len, struct plt_wlog_segment *seg)
{
	const uint64_t skip = offset - patch->start;

	*seg = (struct plt_wlog_segment){
		.start = offset,
		.length = PLT_MIN(len, patch->length - skip),
		.kind = patch->kind,
	};
	if (patch->kind == PLT_WLOG_DATA)
		seg->log_offset = patch->log_offset + skip;
}

static int map_layer(const struct plt_wlog_state *state, enum layer_kind kind,
		     uint64_t offset, uint64_t len,
		     struct plt_wlog_segment *segs, size_t *count,
		     struct platter_error *err)
{
	const struct plt_wlog_patch *p = state->patches;
	const uint64_t end = offset + len;
	size_t nr = state->nr_patches, n = 0, at, room;
	int rc = 0;

	if (kind == LAYER_LOG)
		return map_log(state, offset, len, segs, count, err);
	if (kind == LAYER_UNDER) {
		p = state->under ? state->under->patches : NULL;
		nr = p ? state->under->nr : 0;
	}
	at = patch_from(p, nr, offset);
	while (!rc && offset < end && n < *count) {
		const uint64_t gap = at < nr ? PLT_MIN(end, p[at].start) : end;

		room = 1;
		if (gap > offset) {
			room = *count - n;
			rc = map_layer(state, kind + 1, offset, gap - offset,
				       &segs[n], &room, err);
		} else {
			from_patch(&p[at++], offset, end - offset, &segs[n]);
		}
		if (!rc) {
			n += room;
			offset = segs[n - 1].start + segs[n - 1].length;
		}
	}
	*count = n;
	return rc;
}

int plt_wlog_state_map(const struct plt_wlog_state *state, uint64_t offset,
		       uint64_t len, struct plt_wlog_segment *segs,
		       size_t *count, struct platter_error *err)
{
	return map_layer(state, LAYER_PATCHES, offset, len, segs, count, err);
}
