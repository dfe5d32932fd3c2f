// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Hash the guest's content of an image, whole or in pieces.
 *
 * Data is read ahead by many threads and comes in order; what the map says is
 * zero is hashed without being read. That may be most of a disk, so it is done
 * in steps between which the user can stop it, and a piece that is nothing but
 * zeros is hashed once.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include <platter/job.h>
#include <platter/out.h>

#include "base/error.h"
#include "base/mem.h"
#include "copy/digest.h"
#include "copy/scan.h"
#include "core/core.h"

#define ZERO_STEP	(UINT64_C(64) << 20)	/* bytes */

_Static_assert(PLATTER_HASH_HEX_MAX == PLT_HASH_HEX_MAX,
	       "the public length of a hash is not ours");

typedef char hex_text[PLATTER_HASH_HEX_MAX];

struct hasher {
	struct platter_progress progress;	/* in front of the user's */
	const struct platter_hash_options *opts;
	const char *const *names;
	unsigned int nr;
	struct plt_digest *digests[PLATTER_HASHES_MAX];
	uint64_t size;
	uint64_t begin, end;	/* of the piece */
	uint64_t at;		/* hashed up to here */
	bool has_data;		/* some of the piece was read */
	bool has_zeros;		/* `zeros` is that of a whole piece */
	hex_text hex[PLATTER_HASHES_MAX];
	hex_text zeros[PLATTER_HASHES_MAX];
	_Atomic bool stop;
};

static int update_progress(struct platter_progress *self, uint64_t done,
			   uint64_t total)
{
	struct hasher *h = (struct hasher *)self;
	struct platter_progress *next = h->opts->progress;

	if (next && next->update(next, done, total))
		h->stop = true;
	return h->stop;
}

/* Up to `offset`, in the piece, there is nothing but zeros. */
static int add_zeros(struct hasher *h, uint64_t offset,
		     struct platter_error *err)
{
	int rc = 0;

	while (h->at < offset && !rc) {
		h->at += PLT_MIN(offset - h->at, ZERO_STEP);
		for (unsigned int i = 0; i < h->nr && !rc; i++)
			rc = plt_digest_at(h->digests[i], h->at, NULL, 0, err);
		if (!rc && h->stop)
			rc = plt_err_set(err, -ECANCELED, "interrupted at %"
					 PRIu64 " of %" PRIu64, h->at,
					 h->size);
	}
	return rc;
}

static int hash_piece(struct hasher *h, struct platter_error *err)
{
	uint64_t length = h->end - h->begin;
	bool plain = !h->has_data && length == h->opts->piece;
	int rc;

	if (plain && h->has_zeros) {
		memcpy(h->hex, h->zeros, sizeof(h->hex));
		h->at = h->end;
		return 0;
	}
	rc = add_zeros(h, h->end, err);
	for (unsigned int i = 0; i < h->nr && !rc; i++)
		rc = plt_digest_end(h->digests[i], h->end, h->hex[i], err);
	if (!rc && plain) {
		memcpy(h->zeros, h->hex, sizeof(h->zeros));
		h->has_zeros = true;
	}
	return rc;
}

static int start_piece(struct hasher *h, uint64_t begin,
		       struct platter_error *err)
{
	uint64_t left = h->size - begin;
	int rc = 0;

	h->begin = begin;
	h->at = begin;
	h->end = h->opts->piece && h->opts->piece < left ?
		 begin + h->opts->piece : h->size;
	h->has_data = false;
	for (unsigned int i = 0; i < h->nr && !rc; i++)
		rc = plt_digest_start(h->digests[i], begin, err);
	return rc;
}

static int end_piece(struct hasher *h, struct platter_error *err)
{
	struct platter_hash_piece piece = {
		.offset = h->begin,
		.length = h->end - h->begin,
		.nr = h->nr,
		.names = h->names,
		.hex = h->hex,
	};
	int rc = hash_piece(h, err);

	if (!rc)
		rc = h->opts->found(h->opts->arg, &piece, err);
	return rc;
}

static int next_piece(struct hasher *h, struct platter_error *err)
{
	int rc = end_piece(h, err);

	return rc ? rc : start_piece(h, h->end, err);
}

static int add_data(void *arg, uint64_t offset, const void *buf, size_t len,
		    struct platter_error *err)
{
	struct hasher *h = arg;
	const char *p = buf;
	int rc = 0;

	while (len && !rc) {
		size_t n;

		while (offset >= h->end && !rc)
			rc = next_piece(h, err);
		n = PLT_MIN(len, h->end - offset);
		if (!rc)
			rc = add_zeros(h, offset, err);
		for (unsigned int i = 0; i < h->nr && !rc; i++)
			rc = plt_digest_at(h->digests[i], offset, p, n, err);
		h->has_data = true;
		offset += n;
		h->at = offset;
		p += n;
		len -= n;
	}
	return rc;
}

/* What lies behind the last data, and the last piece in any case. */
static int add_rest(struct hasher *h, struct platter_error *err)
{
	int rc = 0;

	while (h->end < h->size && !rc) {
		rc = next_piece(h, err);
		if (!rc)
			rc = plt_progress(&h->progress, h->at, h->size, err);
	}
	return rc ? rc : end_piece(h, err);
}

static int make_digests(struct hasher *h, struct platter_error *err)
{
	int rc = 0;

	for (; h->names[h->nr] && !rc; h->nr++) {
		if (h->nr == PLATTER_HASHES_MAX)
			return plt_err_set(err, -EINVAL, "more than %u hashes "
					   "at once", PLATTER_HASHES_MAX);
		rc = plt_digest_new(&h->digests[h->nr], h->names[h->nr], err);
		if (rc)
			break;
	}
	return rc;
}

int platter_hash(struct platter_image *img,
		 const struct platter_hash_options *opts,
		 struct platter_error *err)
{
	static const char *const usual[] = { "sha256", NULL };
	struct hasher h = {
		.progress.update = update_progress,
		.opts = opts,
		.names = opts->algorithms ? opts->algorithms : usual,
		.size = platter_image_size(img),
	};
	struct plt_scan_options scan = {
		.length = h.size,
		.workers = opts->workers,
		.progress = &h.progress,
		.data = add_data,
		.arg = &h,
	};
	int rc = make_digests(&h, err);

	if (!rc)
		rc = start_piece(&h, 0, err);
	if (!rc)
		rc = plt_scan(img, &scan, err);
	if (!rc)
		rc = add_rest(&h, err);
	for (unsigned int i = 0; i < h.nr; i++)
		plt_digest_free(h.digests[i]);
	return rc;
}
