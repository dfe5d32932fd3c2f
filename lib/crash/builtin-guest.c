/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest had flushed to an image must be there after a crash: told from
 * the log of the image's file alone.
 *
 * Let F be the point of the last flush that covers all before it, and p that of
 * the crash. The image at F is what the guest had flushed. Nobody tells which
 * writes the guest has issued since, but the prefixes of the log from F to p
 * show all guest data in the order it was changed; so whatever reads the same
 * at each of them was not being written, and has to read so in every crash
 * state at p. The rest is in flight and may read as anything.
 *
 * Two prefixes that are one entry apart are compared by their maps: guest
 * ranges that moved, or lie where the entry wrote, are read and compared; all
 * else cannot differ. The same is done for F and the state.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"
#include "crash/builtin.h"
#include "wlog/recording.h"

#define SPANS		4u	/* kept */
#define EXTENTS		128u	/* asked at once */
#define PIECE		(64u << 10)	/* bytes compared at once */
#define UNIT		512u		/* bytes that differ or do not */
#define DIFF_MAX	65536u		/* ranges two states may differ in */

/* ---- an image at a moment ---- */

struct guest {
	struct platter_image *disk;	/* what `img` is stored in, or NULL */
	struct platter_image *img;
	struct platter_extent *extent;	/* all of it, in order */
	size_t nr, room;
};

static void guest_close(struct guest *g)
{
	platter_image_close(g->img, NULL);
	platter_image_close(g->disk, NULL);
	free(g->extent);
	*g = (struct guest) { 0 };
}

static int guest_map(struct guest *g, struct platter_error *err)
{
	const uint64_t size = platter_image_size(g->img);
	uint64_t at = 0;
	size_t n;
	int rc;

	for (g->nr = 0; at < size; at = g->extent[g->nr - 1].offset +
					g->extent[g->nr - 1].length) {
		rc = plt_grow(&g->extent, &g->room, g->nr + EXTENTS,
			      sizeof(*g->extent), err);
		if (rc < 0)
			return rc;
		n = EXTENTS;
		rc = platter_image_map(g->img, at, size - at,
				       g->extent + g->nr, &n, err);
		if (rc)
			return rc;
		g->nr += n;
	}
	return 0;
}

/* The prefix of the log up to `point`. */
static int guest_open(struct guest *g, struct platter_crash *crash,
		      const char *format, uint64_t point,
		      enum platter_crash_discard discard,
		      struct platter_error *err)
{
	struct platter_crash_state *state;
	struct platter_image *file;
	int rc;

	rc = plt_crash_state_new(&state, crash, point, discard,
				 PLATTER_CRASH_KEPT, NULL, 0, err);
	if (rc)
		return rc;
	rc = platter_crash_state_image(&g->disk, state, err);
	platter_crash_state_unref(state);
	if (!rc)	/* so that maps end there, and not in the log */
		rc = plt_recording_new(&file, g->disk, err);
	if (!rc)
		rc = plt_image_open_over(&g->img, file, format, PLATTER_O_CHECK
					 | PLATTER_O_NO_BACKING, err);
	if (!rc)
		rc = guest_map(g, err);
	if (rc)
		guest_close(g);
	return rc;
}

/* ---- what differs between two of them ---- */

static bool meets(const struct plt_crash_ranges *r, uint64_t offset,
		  uint64_t length)
{
	size_t low = 0, high = r->nr;

	while (low < high) {	/* the first that ends behind `offset` */
		const size_t mid = (low + high) / 2;

		if (r->range[mid].offset + r->range[mid].length > offset)
			high = mid;
		else
			low = mid + 1;
	}
	return low < r->nr && r->range[low].offset < offset + length;
}

/* Whether [at, at + len) must be the same, by the extents it lies in. */
static bool same_by_map(const struct platter_extent *a,
			const struct platter_extent *b, uint64_t at,
			uint64_t len, const struct plt_crash_ranges *changed)
{
	const uint64_t host = a->host_offset + (at - a->offset);

	if (a->flags & b->flags & PLATTER_EXTENT_ZERO)
		return true;
	if (!(a->flags & b->flags & PLATTER_EXTENT_OFFSET) ||
	    ((a->flags | b->flags) & PLATTER_EXTENT_COMPRESSED) ||
	    ((a->flags ^ b->flags) & PLATTER_EXTENT_ZERO))
		return false;
	return host == b->host_offset + (at - b->offset) && changed &&
	       !meets(changed, host, len);
}

/* Where the bytes of a range differ, in units. */
static int compare_bytes(struct platter_image *a, struct platter_image *b,
			 uint64_t at, uint64_t len,
			 struct plt_crash_ranges *out,
			 struct platter_error *err)
{
	uint8_t *buf plt_auto_free = plt_calloc(2, PIECE, err);
	int rc = buf ? 0 : -ENOMEM;

	while (!rc && len) {
		const size_t n = PLT_MIN(len, (uint64_t)PIECE);

		rc = platter_image_pread(a, buf, n, at, err);
		if (!rc)
			rc = platter_image_pread(b, buf + PIECE, n, at, err);
		for (size_t i = 0, u; !rc && i < n; i += u) {
			u = PLT_MIN(n - i, (size_t)UNIT);
			if (memcmp(buf + i, buf + PIECE + i, u) &&
			    plt_crash_ranges_add(out, at + i, u))
				rc = plt_err_nomem(err, sizeof(*out->range));
		}
		at += n;
		len -= n;
	}
	return rc;
}

/*
 * Guest ranges in which two images differ, when their files differ in `changed`
 * (NULL: anywhere). What only one of them is long enough for is no difference.
 */
static int differences(const struct guest *a, const struct guest *b,
		       const struct plt_crash_ranges *changed,
		       struct plt_crash_ranges *out, struct platter_error *err)
{
	uint64_t at = 0, end;
	size_t i = 0, j = 0;
	int rc = 0;

	while (!rc && i < a->nr && j < b->nr) {
		const struct platter_extent *x = &a->extent[i];
		const struct platter_extent *y = &b->extent[j];

		end = PLT_MIN(x->offset + x->length, y->offset + y->length);
		if (!same_by_map(x, y, at, end - at, changed))
			rc = compare_bytes(a->img, b->img, at, end - at, out,
					   err);
		at = end;
		i += x->offset + x->length == end;
		j += y->offset + y->length == end;
	}
	return rc;
}

/* ---- from a flush on ---- */

/* A guest range that was changed, and the first point that has it. */
struct touch {
	uint64_t offset, length, point;
};

/* Guarded by the lock of its plt_guests, but for `flushed`, once made. */
struct span {
	unsigned int refs;
	uint64_t from, to;	/* points: F, and how far it has been looked */
	enum platter_crash_discard discard;
	uint64_t unreadable;	/* first point with no image, or UINT64_MAX */
	struct guest flushed;	/* at F */
	struct guest last;	/* at `to`; none at F */
	struct touch *touch;	/* by point */
	size_t nr, room;
};

struct plt_guests {
	struct platter_crash *crash;
	const char *format;
	pthread_mutex_t lock;
	struct span *span[SPANS];	/* used last first */
};

/* The lock is held in these. */
static void span_put(struct span *s)
{
	if (!s || --s->refs)
		return;
	guest_close(&s->flushed);
	guest_close(&s->last);
	free(s->touch);
	free(s);
}

static bool is_trouble(int rc)
{
	return rc == -ENOMEM;
}

static int span_new(struct plt_guests *g, uint64_t from,
		    enum platter_crash_discard discard, struct span **out,
		    struct platter_error *err)
{
	struct span *s = plt_calloc(1, sizeof(*s), err);
	int rc;

	if (!s)
		return -ENOMEM;
	s->refs = 1;
	s->from = s->to = from;
	s->discard = discard;
	rc = guest_open(&s->flushed, g->crash, g->format, from, discard, NULL);
	s->unreadable = rc ? from : UINT64_MAX;
	if (is_trouble(rc)) {
		span_put(s);
		return plt_err_nomem(err, 0);
	}
	*out = s;
	return 0;
}

static int span_touch(struct span *s, const struct plt_crash_ranges *r,
		      struct platter_error *err)
{
	int rc = plt_grow(&s->touch, &s->room, s->nr + r->nr,
			  sizeof(*s->touch), err);

	for (size_t i = 0; rc >= 0 && i < r->nr; i++)
		s->touch[s->nr++] = (struct touch) {
			r->range[i].offset, r->range[i].length, s->to
		};
	return rc < 0 ? rc : 0;
}

/* One point further. */
static int span_step(struct plt_guests *g, struct span *s,
		     struct platter_error *err)
{
	const struct plt_crash_entry *e = &g->crash->entry[s->to++];
	struct platter_crash_range written = { e->start, e->length };
	const struct plt_crash_ranges changed = { .range = &written, .nr = 1 };
	struct plt_crash_ranges differ = { 0 };
	struct guest now = { 0 };
	int rc;

	if (s->unreadable <= s->to || !plt_crash_writes(e))
		return 0;
	rc = guest_open(&now, g->crash, g->format, s->to, s->discard, NULL);
	if (!rc)
		rc = differences(s->last.img ? &s->last : &s->flushed, &now,
				 &changed, &differ, NULL);
	if (!rc)
		rc = span_touch(s, &differ, NULL);
	plt_crash_ranges_free(&differ);
	guest_close(&s->last);
	s->last = now;
	if (rc)
		s->unreadable = s->to;
	return is_trouble(rc) ? plt_err_nomem(err, 0) : 0;
}

static int span_get(struct plt_guests *g, uint64_t from, uint64_t to,
		    enum platter_crash_discard discard, struct span **out,
		    struct plt_crash_ranges *touched,
		    struct platter_error *err)
{
	struct span *s = NULL;
	size_t i;
	int rc = 0;

	for (i = 0; i < SPANS && g->span[i]; i++) {
		s = g->span[i];
		if (s->from == from && s->discard == discard)
			break;
		s = NULL;
	}
	if (!s) {
		rc = span_new(g, from, discard, &s, err);
		if (rc)
			return rc;
		i = PLT_MIN(i, (size_t)SPANS - 1);
		span_put(g->span[i]);
	}
	memmove(&g->span[1], &g->span[0], i * sizeof(*g->span));
	g->span[0] = s;
	while (!rc && s->to < to)
		rc = span_step(g, s, err);
	for (i = 0; !rc && i < s->nr && s->touch[i].point <= to; i++) {
		if (plt_crash_ranges_add(touched, s->touch[i].offset,
					 s->touch[i].length))
			rc = plt_err_nomem(err, sizeof(*touched->range));
	}
	if (rc)
		return rc;
	plt_crash_ranges_sort(touched);
	s->refs++;
	*out = s;
	return 0;
}

int plt_guests_new(struct plt_guests **out, struct platter_crash *crash,
		   const char *format, struct platter_error *err)
{
	struct plt_guests *g = plt_calloc(1, sizeof(*g), err);

	if (!g)
		return -ENOMEM;
	g->crash = crash;
	g->format = format;
	pthread_mutex_init(&g->lock, NULL);
	*out = g;
	return 0;
}

void plt_guests_free(struct plt_guests *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < SPANS; i++)
		span_put(g->span[i]);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

/* ---- a state ---- */

/* Behind the point of the state, where it has early writes. */
static uint64_t last_point(const struct platter_crash_state *state)
{
	uint64_t point = state->point;

	for (size_t i = 0; i < state->nr; i++)
		point = PLT_MAX(point, state->item[i].entry + 1);
	return point;
}

/* Where the files at F and of the state may differ; 1: anywhere. */
static int changed_files(const struct platter_crash_state *state,
			 uint64_t from, struct plt_crash_ranges *out,
			 struct platter_error *err)
{
	struct platter_crash_state *flushed;
	int rc;

	rc = plt_crash_state_new(&flushed, state->crash, from, state->discard,
				 PLATTER_CRASH_KEPT, NULL, 0, err);
	if (rc)
		return rc;
	rc = plt_crash_state_diff(flushed, state, DIFF_MAX, out, err);
	platter_crash_state_unref(flushed);
	return rc;
}

static int lose(const struct platter_crash_range *r, uint64_t from,
		struct platter_crash_result *result)
{
	if (!result->reason[0])
		plt_builtin_verdict(result, PLATTER_CRASH_FAIL, "guest data at "
				    "offset %" PRIu64 " had been flushed "
				    "before entry %" PRIu64 " and reads as "
				    "something else", r->offset, from);
	plt_builtin_note(result, "flushed guest data is lost: %" PRIu64
			 " bytes at offset %" PRIu64, r->length, r->offset);
	return 1;
}

/* What is lost, less what was touched; both are sorted. */
static int judge(const struct plt_crash_ranges *lost,
		 const struct plt_crash_ranges *touched, uint64_t from,
		 struct platter_crash_result *result)
{
	int rc = 0;

	for (size_t i = 0, j = 0; i < lost->nr; i++) {
		struct platter_crash_range left = lost->range[i];
		const uint64_t end = left.offset + left.length;

		while (left.offset < end) {
			const struct platter_crash_range *t;

			while (j < touched->nr &&
			       touched->range[j].offset +
			       touched->range[j].length <= left.offset)
				j++;
			t = j < touched->nr ? &touched->range[j] : NULL;
			if (!t || t->offset > left.offset) {
				left.length = (t ? PLT_MIN(t->offset, end) :
						   end) - left.offset;
				rc = lose(&left, from, result);
				left.offset += left.length;
			} else {
				left.offset = t->offset + t->length;
			}
		}
	}
	return rc;
}

static int compare(struct span *s, const struct platter_crash_state *state,
		   struct platter_image *img,
		   const struct plt_crash_ranges *touched,
		   struct platter_crash_result *result,
		   struct platter_error *err)
{
	struct plt_crash_ranges changed = { 0 }, lost = { 0 };
	struct guest now = { .img = img };
	int rc, any;

	rc = any = changed_files(state, s->from, &changed, err);
	if (rc >= 0)
		rc = guest_map(&now, err);
	if (!rc)
		rc = differences(&s->flushed, &now, any ? NULL : &changed,
				 &lost, err);
	if (!rc)
		rc = judge(&lost, touched, s->from, result);
	free(now.extent);
	plt_crash_ranges_free(&changed);
	plt_crash_ranges_free(&lost);
	return rc;
}

int plt_guests_compare(struct plt_guests *g,
		       const struct platter_crash_state *state,
		       struct platter_image *img,
		       struct platter_crash_result *result,
		       struct platter_error *err)
{
	struct plt_crash_ranges touched = { 0 };
	struct span *s = NULL;
	bool unreadable = true;
	uint64_t from;
	int rc;

	if (state->crash != g->crash)
		return 0;	/* of a recovery, which has no guest */
	from = g->crash->flushed[state->point];
	pthread_mutex_lock(&g->lock);
	rc = span_get(g, from, last_point(state), state->discard, &s, &touched,
		      err);
	if (!rc)
		unreadable = s->unreadable <= last_point(state);
	pthread_mutex_unlock(&g->lock);
	if (!rc && !unreadable)
		rc = compare(s, state, img, &touched, result, err);
	plt_crash_ranges_free(&touched);
	pthread_mutex_lock(&g->lock);
	span_put(s);
	pthread_mutex_unlock(&g->lock);
	return rc;
}
