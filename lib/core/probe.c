/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Probing: which format a file has, by the magic numbers of all drivers.
 *
 * Magic numbers are data, so one read of the head (and one of the tail) serves
 * every format. A driver's verify only confirms. Two formats that both match
 * are an error: guessing between them is how an image gets misread.
 */
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/mem.h"
#include "core/core.h"

/* The largest distance of a magic number from either end, in bytes. */
#define PROBE_MAX 65536u

struct probe {
	unsigned char *head, *tail;
	size_t head_len, tail_len;	/* bytes wanted, then bytes there */
};

static void probe_reach(struct probe *p, const struct platter_magic *m)
{
	uint64_t reach;

	if (m->len > PROBE_MAX || m->offset > (int64_t)PROBE_MAX ||
	    m->offset < -(int64_t)PROBE_MAX)
		return;
	if (m->offset >= 0) {
		reach = (uint64_t)m->offset + m->len;
		p->head_len = PLT_MAX(p->head_len, (size_t)reach);
	} else {
		p->tail_len = PLT_MAX(p->tail_len, (size_t)-m->offset);
	}
}

static int probe_read(struct probe *p, struct platter_image *file,
		      struct platter_error *err)
{
	const struct platter_context *ctx = file->ctx;
	uint64_t size = platter_image_size(file);
	int rc = 0;

	for (size_t i = 0; i < ctx->nr_drivers; i++) {
		const struct platter_driver *drv = ctx->drivers[i];

		for (size_t m = 0; m < drv->nr_magics; m++)
			probe_reach(p, &drv->magics[m]);
	}
	p->head_len = PLT_MIN((uint64_t)p->head_len, size);
	p->tail_len = PLT_MIN((uint64_t)p->tail_len, size);
	p->head = plt_calloc(p->head_len + 1, 1, err);
	p->tail = plt_calloc(p->tail_len + 1, 1, err);
	if (!p->head || !p->tail)
		return -ENOMEM;
	if (p->head_len)
		rc = platter_image_pread(file, p->head, p->head_len, 0, err);
	if (rc == 0 && p->tail_len)
		rc = platter_image_pread(file, p->tail, p->tail_len,
					 size - p->tail_len, err);
	return rc;
}

static bool magic_matches(const struct probe *p, const struct platter_magic *m)
{
	const unsigned char *buf = m->offset < 0 ? p->tail : p->head;
	size_t len = m->offset < 0 ? p->tail_len : p->head_len;
	uint64_t at = (uint64_t)m->offset;

	if (m->offset < 0) {
		if ((uint64_t)-m->offset > len)
			return false;
		at = len - (uint64_t)-m->offset;
	}
	if (at > len || m->len > len - at)
		return false;
	return !memcmp(buf + at, m->bytes, m->len);
}

static bool driver_matches(const struct probe *p,
			   const struct platter_driver *drv,
			   struct platter_image *file)
{
	for (size_t m = 0; m < drv->nr_magics; m++) {
		if (magic_matches(p, &drv->magics[m]))
			return !drv->verify || drv->verify(file) == 0;
	}
	return false;
}

static int probe_scan(const struct probe *p, struct platter_image *file,
		      const struct platter_driver **out,
		      struct platter_error *err)
{
	const struct platter_context *ctx = file->ctx;
	const struct platter_driver *found = NULL;

	for (size_t i = 0; i < ctx->nr_drivers; i++) {
		const struct platter_driver *drv = ctx->drivers[i];

		if (!driver_matches(p, drv, file))
			continue;
		if (found)
			return plt_err_set(err, -EINVAL, "%s: looks like %s as "
					   "well as %s; say which with -f",
					   file->name, found->name, drv->name);
		found = drv;
	}
	if (!found)
		found = plt_driver_find(ctx, PLT_FORMAT_FALLBACK);
	if (!found)
		return plt_err_set(err, -EINVAL, "%s: the format is not known",
				   file->name);
	*out = found;
	return 0;
}

int plt_probe(struct platter_image *file, const struct platter_driver **out,
	      struct platter_error *err)
{
	struct probe p = { 0 };
	int rc;

	rc = probe_read(&p, file, err);
	if (rc == 0)
		rc = probe_scan(&p, file, out, err);
	free(p.head);
	free(p.tail);
	return rc;
}
