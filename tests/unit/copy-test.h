/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images for testing jobs, in memory and without a driver table.
 *
 * store: a protocol that knows for each unit of 512 bytes whether it is data
 *	or a hole, counts what is done to it and can fail where it is told to.
 * invert: a filter that turns over every bit it reads.
 * layer: a format over a store whose units lie there in any order, or are
 *	zero, or shine through from a backing image.
 */
#ifndef COPY_TEST_H
#define COPY_TEST_H

#include "core-test.h"

#include <stdatomic.h>

#include "base/error.h"
#include "base/io.h"

#define UNIT	512u
#define NEVER	UINT64_MAX

/* ---- store ---- */

struct store {
	uint8_t *data;
	char *kind;			/* of each unit: D or Z */
	/* A request over this offset fails. */
	uint64_t bad_read, bad_write, bad_offload;
	bool solid;			/* cannot zero */
	uint64_t offload;		/* bytes copied in a call, 0 = none */
	_Atomic uint64_t reads, writes, zeros, zero_reads;
	_Atomic uint64_t bytes_written, offloaded;
};

static inline bool touches(uint64_t bad, uint64_t offset, uint64_t len)
{
	return bad >= offset && bad - offset < len;
}

static int store_pread(struct platter_image *img, void *buf, size_t len,
		       uint64_t offset, struct platter_error *err)
{
	struct store *s = platter_image_state(img);

	s->reads++;
	for (uint64_t u = offset / UNIT; u < (offset + len) / UNIT; u++)
		s->zero_reads += s->kind[u] == 'Z';
	if (touches(s->bad_read, offset, len))
		return plt_err_set(err, -EIO, "bad read at %llu",
				   (unsigned long long)s->bad_read);
	memcpy(buf, s->data + offset, len);
	return 0;
}

static int store_pwrite(struct platter_image *img, const void *buf, size_t len,
			uint64_t offset, struct platter_error *err)
{
	struct store *s = platter_image_state(img);

	s->writes++;
	s->bytes_written += len;
	if (touches(s->bad_write, offset, len))
		return plt_err_set(err, -ENOSPC, "bad write at %llu",
				   (unsigned long long)s->bad_write);
	memcpy(s->data + offset, buf, len);
	memset(s->kind + offset / UNIT, 'D', (len + UNIT - 1) / UNIT);
	return 0;
}

static int store_zero(struct platter_image *img, uint64_t offset, uint64_t len,
		      unsigned int flags, struct platter_error *err)
{
	struct store *s = platter_image_state(img);

	(void)err;
	if (s->solid)
		return -ENOTSUP;
	s->zeros++;
	memset(s->data + offset, 0, len);
	memset(s->kind + offset / UNIT,
	       flags & PLATTER_ZERO_UNMAP ? 'Z' : 'D', len / UNIT);
	return 0;
}

static int store_extent(struct platter_image *img, uint64_t offset,
			uint64_t len, struct platter_extent *extent,
			struct platter_error *err)
{
	struct store *s = platter_image_state(img);
	const char *kind = s->kind + offset / UNIT;
	uint64_t n = UNIT - offset % UNIT;

	(void)err;
	for (uint64_t i = 1; n < len && kind[i] == kind[0]; i++)
		n += UNIT;
	extent->length = PLT_MIN(n, len);
	if (kind[0] == 'Z') {
		extent->flags &= ~PLATTER_EXTENT_DATA;
		extent->flags |= PLATTER_EXTENT_ZERO;
	}
	return 0;
}

static int store_copy_range(struct platter_image *src, uint64_t src_offset,
			    struct platter_image *dst, uint64_t dst_offset,
			    uint64_t len, uint64_t *copied,
			    struct platter_error *err)
{
	struct store *from = platter_image_state(src);
	struct store *to = platter_image_state(dst);

	if (to->offload < UNIT || touches(to->bad_offload, dst_offset, len))
		return -ENOTSUP;
	*copied = PLT_MIN(len, to->offload);
	to->offloaded += *copied;
	return store_pwrite(dst, from->data + src_offset, *copied, dst_offset,
			    err);
}

static const struct platter_io_ops store_ops = {
	.pread = store_pread,
	.pwrite = store_pwrite,
	.zero = store_zero,
	.extent = store_extent,
	.copy_range = store_copy_range,
};

static void store_close(struct platter_image *img)
{
	struct store *s = platter_image_state(img);

	free(s->data);
	free(s->kind);
}

static const struct platter_driver store_driver = {
	.name = "store",
	.kind = PLATTER_DRIVER_PROTOCOL,
	.state_size = sizeof(struct store),
	.close = store_close,
	.io = &store_ops,
};

static inline struct platter_image *
new_store(struct platter_context *ctx, uint64_t size, const char *name)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *img;
	struct store *s;

	assert_ok(plt_image_new(&img, ctx, &store_driver, name, &err), &err);
	img->flags = PLATTER_O_RDWR;
	platter_image_set_size(img, size);
	s = platter_image_state(img);
	s->data = calloc(1, size + 1);
	s->kind = malloc(size / UNIT + 2);
	assert_non_null(s->data);
	assert_non_null(s->kind);
	memset(s->kind, 'Z', size / UNIT + 2);
	s->bad_read = NEVER;
	s->bad_write = NEVER;
	s->bad_offload = NEVER;
	return img;
}

/* Runs of holes, of noise and of data that is zeros, of any length. */
static inline void fill_store(struct platter_image *img, uint64_t *seed,
			      uint64_t longest)
{
	struct store *s = platter_image_state(img);
	uint64_t units = platter_image_size(img) / UNIT;

	for (uint64_t u = 0; u < units;) {
		uint64_t n = 1 + rnd(seed) % (rnd(seed) % 8 ? 12 : longest);
		unsigned int what = rnd(seed) % 4;

		n = PLT_MIN(n, units - u);
		memset(s->kind + u, what == 0 ? 'Z' : 'D', n);
		memset(s->data + u * UNIT, 0, n * UNIT);
		for (uint64_t i = 0; what > 1 && i < n; i++)
			s->data[(u + i) * UNIT + rnd(seed) % UNIT] = 1 +
							rnd(seed) % 255;
		u += n;
	}
}

/* ---- invert ---- */

static int invert_pread(struct platter_image *img, void *buf, size_t len,
			uint64_t offset, struct platter_error *err)
{
	struct platter_image *below = *(struct platter_image **)img->state;
	uint8_t *p = buf;
	int rc = platter_image_pread(below, buf, len, offset, err);

	for (size_t i = 0; i < len; i++)
		p[i] = ~p[i];
	return rc;
}

static const struct platter_io_ops invert_ops = {
	.pread = invert_pread,
};

static const struct platter_driver invert_driver = {
	.name = "invert",
	.kind = PLATTER_DRIVER_FILTER,
	.state_size = sizeof(struct platter_image *),
	.io = &invert_ops,
};

/* Over `below`, which it takes. */
static inline struct platter_image *
new_invert(struct platter_context *ctx, struct platter_image *below)
{
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *img;

	assert_ok(plt_image_new(&img, ctx, &invert_driver, "invert", &err),
		  &err);
	assert_ok(plt_image_add_child(img, "file", below, &err), &err);
	platter_image_set_size(img, platter_image_size(below));
	*(struct platter_image **)img->state = below;
	return img;
}

/* ---- layer ---- */

struct layer {
	struct platter_image *file;
	struct platter_image *backing;	/* or NULL */
	char *kind;			/* of each unit: D, Z or '.' */
	uint32_t *place;		/* of D units in `file` */
};

static int layer_map(struct platter_image *img, uint64_t offset, uint64_t len,
		     struct platter_map *maps, size_t *count,
		     struct platter_error *err)
{
	struct layer *s = platter_image_state(img);
	size_t n = 0;

	(void)err;
	for (; n < *count && len; n++) {
		uint64_t unit = offset / UNIT, in = offset % UNIT;
		struct platter_map *m = &maps[n];

		*m = (struct platter_map){
			.length = PLT_MIN(len, UNIT - in),
			.kind = PLATTER_MAP_ZERO,
		};
		if (s->kind[unit] == 'D') {
			m->kind = PLATTER_MAP_DATA;
			m->child = s->file;
			m->offset = (uint64_t)s->place[unit] * UNIT + in;
		} else if (s->kind[unit] == '.') {
			m->kind = PLATTER_MAP_BACKING;
			m->child = s->backing;
		}
		offset += m->length;
		len -= m->length;
	}
	*count = n;
	return 0;
}

static const struct platter_format_ops layer_ops = {
	.map = layer_map,
};

static void layer_close(struct platter_image *img)
{
	struct layer *s = platter_image_state(img);

	free(s->kind);
	free(s->place);
}

static const struct platter_driver layer_driver = {
	.name = "layer",
	.kind = PLATTER_DRIVER_FORMAT,
	.state_size = sizeof(struct layer),
	.close = layer_close,
	.format = &layer_ops,
};

/* Over the stores, which stay the caller's; runs of units of each kind. */
static inline struct platter_image *
new_layer(struct platter_context *ctx, struct platter_image *file,
	  struct platter_image *backing, uint64_t *seed)
{
	uint64_t units = platter_image_size(file) / UNIT;
	struct platter_error err = PLATTER_ERROR_INIT;
	struct platter_image *img;
	struct layer *s;

	assert_ok(plt_image_new(&img, ctx, &layer_driver, "layer", &err),
		  &err);
	platter_image_set_size(img, units * UNIT);
	s = platter_image_state(img);
	s->file = file;
	s->backing = backing;
	s->kind = malloc(units + 1);
	s->place = malloc((units + 1) * sizeof(*s->place));
	assert_non_null(s->kind);
	assert_non_null(s->place);
	for (uint64_t u = 0; u < units;) {
		uint64_t n = PLT_MIN(1 + rnd(seed) % 30, units - u);
		char kind = "DDDZ.."[rnd(seed) % 6];
		uint64_t at = rnd(seed) % (units - n + 1);

		memset(s->kind + u, kind, n);
		for (uint64_t i = 0; i < n; i++)
			s->place[u++] = at + i;
	}
	return img;
}

/* What the layer reads as, worked out byte by byte. */
static inline uint8_t layer_byte(struct platter_image *img, uint64_t offset)
{
	struct layer *s = platter_image_state(img);
	uint64_t unit = offset / UNIT;
	struct store *from;

	if (s->kind[unit] == 'D') {
		from = platter_image_state(s->file);
		return from->data[(uint64_t)s->place[unit] * UNIT +
				  offset % UNIT];
	}
	if (s->kind[unit] != '.' || !s->backing ||
	    offset >= platter_image_size(s->backing))
		return 0;
	from = platter_image_state(s->backing);
	return from->data[offset];
}

/* ---- progress ---- */

struct watcher {
	struct platter_progress progress;
	pthread_t thread;
	uint64_t calls, last, total;
	uint64_t stop_after;		/* calls; 0 = never */
};

static int watch(struct platter_progress *self, uint64_t done, uint64_t total)
{
	struct watcher *w = (struct watcher *)self;

	assert_true(pthread_equal(w->thread, pthread_self()));
	assert_true(done >= w->last);
	assert_true(done <= total);
	w->last = done;
	w->total = total;
	w->calls++;
	return w->stop_after && w->calls >= w->stop_after;
}

static inline struct watcher new_watcher(uint64_t stop_after)
{
	return (struct watcher){
		.progress = { .update = watch },
		.thread = pthread_self(),
		.stop_after = stop_after,
	};
}

#endif
